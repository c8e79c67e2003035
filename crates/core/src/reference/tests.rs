//! Facts checked by hand, or against numbers that PyTorch gave.

use gradus_kernels::memory::KernelError;
use gradus_kernels::philox;
use gradus_kernels::program::RandomKey;

use super::eval;
use crate::array::Array;
use crate::graph::dtype::{DType, Scalar};
use crate::graph::shape::Shape;
use crate::ops::{Binary, Dist, Meta, Op, Reduction, Ternary, Unary};

mod structure;

const NAN: f32 = f32::NAN;
const INF: f32 = f32::INFINITY;

fn arr<T: Scalar>(shape: impl Into<Shape>, data: &[T]) -> Array {
    Array::new(shape, data).unwrap()
}

/// A vector.
fn v<T: Scalar>(data: &[T]) -> Array {
    arr([data.len()], data)
}

fn try_run<T: Scalar>(
    op: Op,
    ins: &[&Array],
    shape: impl Into<Shape>,
) -> Result<Vec<T>, KernelError> {
    let out = Meta { shape: shape.into(), dtype: T::DTYPE };
    let result = eval(&op, ins, out, 0.0, RandomKey::default())?;
    assert_eq!((result.shape(), result.dtype()), (out.shape, out.dtype));
    Ok(result.to_vec().unwrap())
}

fn run<T: Scalar>(op: Op, ins: &[&Array], shape: impl Into<Shape>) -> Vec<T> {
    try_run(op, ins, shape).unwrap()
}

/// A unary operation on f32 numbers.
fn unary(op: Unary, x: &[f32]) -> Vec<f32> {
    run(Op::Unary(op), &[&v(x)], [x.len()])
}

/// A binary operation on vectors.
fn binary<T: Scalar, R: Scalar>(op: Binary, a: &[T], b: &[T]) -> Vec<R> {
    run(Op::Binary(op), &[&v(a), &v(b)], [a.len()])
}

/// Equal bits but for NaNs, which are all one.
#[track_caller]
fn same(got: &[f32], want: &[f32]) {
    let bits = |x: &f32| if x.is_nan() { NAN.to_bits() } else { x.to_bits() };
    assert!(got.iter().map(bits).eq(want.iter().map(bits)), "{got:?} is not {want:?}");
}

/// Equal but for the last bits.
#[track_caller]
fn close(got: &[f32], want: &[f32]) {
    assert_eq!(got.len(), want.len());
    for (g, w) in got.iter().zip(want) {
        assert!((g - w).abs() <= 2e-6 * w.abs().max(1e-3), "{got:?} is not {want:?}");
    }
}

#[test]
fn numbers_take_the_type_of_the_result() {
    let meta = |dtype| Meta { shape: Shape::SCALAR, dtype };
    let slot = |x, dtype| eval(&Op::Slot, &[], meta(dtype), x, RandomKey::default()).unwrap();
    assert_eq!(slot(0.1, DType::F32).to_vec::<f32>().unwrap(), [0.1]);
    assert_eq!(slot(0.1, DType::F64).to_vec::<f64>().unwrap(), [0.1]);
    assert_eq!(slot(-2.9, DType::I64).to_vec::<i64>().unwrap(), [-2]);
    assert_eq!(slot(0.5, DType::Bool).to_vec::<bool>().unwrap(), [true]);
    assert_eq!(run::<f32>(Op::Const(1.5), &[], ()), [1.5]);
}

#[test]
fn indices_count_along_their_axis() {
    assert_eq!(run::<i64>(Op::Index(1), &[], [2, 3]), [0, 1, 2, 0, 1, 2]);
    assert_eq!(run::<i64>(Op::Index(0), &[], [2, 3]), [0, 0, 0, 1, 1, 1]);
    assert_eq!(run::<i64>(Op::Index(0), &[], [0]), [0; 0]);
    assert!(try_run::<i64>(Op::Index(2), &[], [2, 3]).is_err());
}

#[test]
fn random_numbers_are_those_of_the_fast_path() {
    let key = RandomKey { seed: 0x1234_5678_9abc_def0, stream: 3, draw: 7 };
    for n in [0, 1, 4, 1003] {
        let draw = |dist, dtype| {
            let out = Meta { shape: [n].into(), dtype };
            eval(&Op::Random(dist), &[], out, 0.0, key).unwrap()
        };
        let mut want = vec![0.0; n];
        philox::fill(key, Dist::Uniform, 0, &mut want);
        same(&draw(Dist::Uniform, DType::F32).to_vec::<f32>().unwrap(), &want);
        assert!(want.iter().all(|x| (0.0..1.0).contains(x)));

        philox::fill(key, Dist::Normal, 0, &mut want);
        let normal = draw(Dist::Normal, DType::F32);
        close(&normal.to_vec::<f32>().unwrap(), &want);
        assert_eq!(draw(Dist::Normal, DType::F64).to_f64(), normal.to_f64());
    }
}

#[test]
fn unary_formulas() {
    same(&unary(Unary::Neg, &[1.0, 0.0, -INF]), &[-1.0, -0.0, INF]);
    same(&unary(Unary::Abs, &[-1.0, -0.0, NAN]), &[1.0, 0.0, NAN]);
    same(&unary(Unary::Sign, &[-3.0, -0.0, 0.0, 2.0, NAN]), &[-1.0, -0.0, 0.0, 1.0, NAN]);
    same(&unary(Unary::Square, &[-3.0, 1e30]), &[9.0, INF]);
    same(&unary(Unary::Sqrt, &[4.0, -0.0, -1.0]), &[2.0, -0.0, NAN]);
    same(&unary(Unary::Rsqrt, &[4.0, 0.0, INF, -1.0]), &[0.5, INF, 0.0, NAN]);
    same(&unary(Unary::Recip, &[4.0, -0.0, INF]), &[0.25, -INF, 0.0]);
    same(&unary(Unary::Exp, &[0.0, 1.0, -INF, 89.0]), &[1.0, std::f32::consts::E, 0.0, INF]);
    same(&unary(Unary::Expm1, &[1e-10, -INF]), &[1e-10, -1.0]);
    same(&unary(Unary::Log, &[1.0, 0.0, -1.0, INF]), &[0.0, -INF, NAN, INF]);
    same(&unary(Unary::Log1p, &[1e-10, -1.0, -2.0]), &[1e-10, -INF, NAN]);
    same(&unary(Unary::Sin, &[0.0, INF]), &[0.0, NAN]);
    same(&unary(Unary::Cos, &[0.0, -INF]), &[1.0, NAN]);
    same(&unary(Unary::Tanh, &[-INF, 0.0, 50.0]), &[-1.0, 0.0, 1.0]);
    same(&unary(Unary::Sigmoid, &[-INF, 0.0, INF, NAN]), &[0.0, 0.5, 1.0, NAN]);
    // The left tail keeps its digits: e^-80.
    close(&[unary(Unary::Sigmoid, &[-80.0])[0] * 1e34], &[0.180_485_14]);
    same(&unary(Unary::Relu, &[-1.0, -0.0, 2.0, NAN]), &[0.0, 0.0, 2.0, NAN]);
    same(&unary(Unary::Floor, &[-1.5, 1.5]), &[-2.0, 1.0]);
    same(&unary(Unary::Ceil, &[-1.5, 1.5]), &[-1.0, 2.0]);
    same(&unary(Unary::Round, &[0.5, 1.5, -2.5, 2.6]), &[0.0, 2.0, -2.0, 3.0]);
    same(&unary(Unary::Trunc, &[-1.5, 1.5]), &[-1.0, 1.0]);
    same(&unary(Unary::Erf, &[0.0, INF, -INF]), &[0.0, 1.0, -1.0]);
    // PyTorch, golden/ops/erf.
    close(
        &unary(Unary::Erf, &[-0.808_203_7, 1.202_432_6, -2.150_830_7]),
        &[-0.746_950_03, 0.910_962_46, -0.997_647_8],
    );
}

#[test]
fn gelus_have_limits() {
    let x = [-INF, -1.0, -0.0, 1.0, INF, NAN];
    close(&unary(Unary::Gelu, &x[1..4]), &[-0.158_655_26, 0.0, 0.841_344_7]);
    close(&unary(Unary::GeluTanh, &x[1..4]), &[-0.158_808, 0.0, 0.841_192]);
    for op in [Unary::Gelu, Unary::GeluTanh] {
        let y = unary(op, &x);
        same(&[y[0], y[2], y[4], y[5]], &[-0.0, -0.0, INF, NAN]);
    }
}

#[test]
fn unary_of_other_types() {
    let x = v(&[-3i64, 0, i64::MIN]);
    let whole = |op| run::<i64>(Op::Unary(op), &[&x], [3]);
    assert_eq!(whole(Unary::Neg), [3, 0, i64::MIN]);
    assert_eq!(whole(Unary::Abs), [3, 0, i64::MIN]);
    assert_eq!(whole(Unary::Sign), [-1, 0, -1]);
    assert_eq!(whole(Unary::Square), [9, 0, 0]);
    assert_eq!(whole(Unary::Relu), [0, 0, 0]);
    assert_eq!(run::<bool>(Op::Unary(Unary::IsFinite), &[&x], [3]), [true; 3]);
    assert_eq!(run::<bool>(Op::Unary(Unary::Not), &[&v(&[true, false])], [2]), [false, true]);
    let odd = v(&[1.0, NAN, INF]);
    assert_eq!(run::<bool>(Op::Unary(Unary::IsFinite), &[&odd], [3]), [true, false, false]);
    assert_eq!(run::<bool>(Op::Unary(Unary::IsNan), &[&odd], [3]), [false, true, false]);
    assert!(try_run::<i64>(Op::Unary(Unary::Exp), &[&x], [3]).is_err());
    assert!(try_run::<bool>(Op::Unary(Unary::Neg), &[&v(&[true])], [1]).is_err());
    // An f64 is not rounded to f32.
    let third: Vec<f64> = run(Op::Unary(Unary::Recip), &[&v(&[3.0f64])], [1]);
    assert_eq!(third, [1.0 / 3.0]);
}

#[test]
fn binary_formulas() {
    let f = binary::<f32, f32>;
    same(&f(Binary::Add, &[0.1, INF], &[0.2, -INF]), &[0.1 + 0.2, NAN]);
    same(&f(Binary::Sub, &[1.0], &[3.0]), &[-2.0]);
    same(&f(Binary::Mul, &[0.1, 0.0], &[0.2, INF]), &[0.1 * 0.2, NAN]);
    same(&f(Binary::Div, &[1.0, 1.0, 0.0], &[3.0, -0.0, 0.0]), &[1.0 / 3.0, -INF, NAN]);
    same(&f(Binary::Max, &[1.0, NAN, 1.0], &[2.0, 1.0, NAN]), &[2.0, NAN, NAN]);
    same(&f(Binary::Min, &[1.0, NAN, 1.0], &[2.0, 1.0, NAN]), &[1.0, NAN, NAN]);
    same(&f(Binary::Pow, &[2.0, -8.0, 0.0, NAN], &[-2.0, 0.5, -1.0, 0.0]), &[0.25, NAN, INF, 1.0]);
    same(
        &f(Binary::Remainder, &[5.0, -5.0, 5.0, -5.0, 1.0], &[3.0, 3.0, -3.0, -3.0, 0.0]),
        &[2.0, 1.0, -1.0, -2.0, NAN],
    );
    // PyTorch, golden/ops/remainder and golden/ops/pow.
    close(
        &f(Binary::Remainder, &[-2.238_654_1, 8.866_011], &[7.104_964_7, 7.104_964_7]),
        &[4.866_310_6, 1.761_045_9],
    );
    close(
        &f(Binary::Pow, &[7.016_365, 0.658_775_75], &[4.481_352_3, 2.655_395]),
        &[6190.515, 0.330_123_72],
    );
    // log 2 at 0; a wrong, certain logit costs itself; a right one nothing.
    close(
        &f(Binary::BceLogits, &[0.0, 200.0, -200.0, 200.0], &[1.0, 0.0, 1.0, 1.0]),
        &[std::f32::consts::LN_2, 200.0, 200.0, 0.0],
    );
}

#[test]
fn integers_wrap_and_truncate() {
    let f = |op, a, b| binary::<i64, i64>(op, &[a], &[b])[0];
    assert_eq!(f(Binary::Add, i64::MAX, 1), i64::MIN);
    assert_eq!(f(Binary::Sub, i64::MIN, 1), i64::MAX);
    assert_eq!(f(Binary::Mul, i64::MAX, 2), -2);
    assert_eq!(f(Binary::Max, -1, 2), 2);
    assert_eq!(f(Binary::Min, -1, 2), -1);
    for (a, b, quotient, remainder) in [
        (7, 2, 3, 1),
        (-7, 2, -3, 1),
        (7, -2, -3, -1),
        (-7, -2, 3, -1),
        (i64::MIN, -1, i64::MIN, 0),
    ] {
        assert_eq!(f(Binary::Div, a, b), quotient);
        assert_eq!(f(Binary::Remainder, a, b), remainder);
    }
    for op in [Binary::Div, Binary::Remainder] {
        let got = try_run::<i64>(Op::Binary(op), &[&v(&[1i64, 2, 3]), &v(&[1i64, 0, 0])], [3]);
        assert_eq!(got, Err(KernelError::DivisionByZero { position: 1 }));
    }
}

#[test]
fn comparisons_and_logic() {
    let (a, b) = ([1.0, 2.0, 2.0, NAN], [2.0, 2.0, 1.0, NAN]);
    let wants = [
        (Binary::Eq, [false, true, false, false]),
        (Binary::Ne, [true, false, true, true]),
        (Binary::Lt, [true, false, false, false]),
        (Binary::Le, [true, true, false, false]),
        (Binary::Gt, [false, false, true, false]),
        (Binary::Ge, [false, true, true, false]),
    ];
    for (op, want) in wants {
        assert_eq!(binary::<f32, bool>(op, &a, &b), want);
        assert_eq!(binary::<i64, bool>(op, &[1, 2, 2], &[2, 2, 1]), want[..3]);
    }
    // Larger than 2^53: as f64 they would be equal.
    assert_eq!(binary::<i64, bool>(Binary::Eq, &[i64::MAX], &[i64::MAX - 1]), [false]);
    let (a, b) = ([false, false, true, true], [false, true, false, true]);
    let f = |op| binary::<bool, bool>(op, &a, &b);
    assert_eq!(f(Binary::And), [false, false, false, true]);
    assert_eq!(f(Binary::Or), [false, true, true, true]);
    assert_eq!(f(Binary::Xor), [false, true, true, false]);
    assert_eq!(f(Binary::Eq), [true, false, false, true]);
    let mixed = try_run::<bool>(Op::Binary(Binary::Eq), &[&v(&[1.0f32]), &v(&[1i64])], [1]);
    assert!(mixed.is_err());
    let shapes = try_run::<f32>(Op::Binary(Binary::Add), &[&v(&[1.0f32]), &v(&[1.0f32; 2])], [1]);
    assert!(shapes.is_err());
}

#[test]
fn where_picks_and_clamp_limits() {
    let c = v(&[true, false]);
    // The NaN that is not chosen leaves no trace.
    let op = || Op::Ternary(Ternary::Where);
    same(&run(op(), &[&c, &v(&[1.0, NAN]), &v(&[NAN, 2.0])], [2]), &[1.0, 2.0]);
    assert_eq!(run::<i64>(op(), &[&c, &v(&[1i64, 2]), &v(&[3i64, 4])], [2]), [1, 4]);
    assert_eq!(run::<bool>(op(), &[&c, &c, &c], [2]), [true, false]);

    let op = || Op::Ternary(Ternary::Clamp);
    let clamp = |x: &[f32], low: f32, high: f32| {
        let n = x.len();
        run::<f32>(op(), &[&v(x), &v(&vec![low; n]), &v(&vec![high; n])], [n])
    };
    same(&clamp(&[-3.0, 0.5, 3.0, NAN], -1.0, 1.0), &[-1.0, 0.5, 1.0, NAN]);
    same(&clamp(&[0.0], NAN, 1.0), &[NAN]);
    same(&clamp(&[0.0], 2.0, 1.0), &[1.0]);
    let (low, high) = (v(&[0i64, 0]), v(&[5i64, 5]));
    assert_eq!(run::<i64>(op(), &[&v(&[-1i64, 9]), &low, &high], [2]), [0, 5]);
}

#[test]
fn casts() {
    let x = v(&[-1.9, 0.0, 1e30, -1e30, NAN]);
    let whole: Vec<i64> = run(Op::Cast(DType::I64), &[&x], [5]);
    assert_eq!(whole, [-1, 0, i64::MAX, i64::MIN, 0]);
    let truth: Vec<bool> = run(Op::Cast(DType::Bool), &[&x], [5]);
    assert_eq!(truth, [true, false, true, true, true]);
    assert_eq!(run::<f32>(Op::Cast(DType::F32), &[&v(&[true, false])], [2]), [1.0, 0.0]);
    assert_eq!(run::<i64>(Op::Cast(DType::I64), &[&v(&[true, false])], [2]), [1, 0]);
    assert_eq!(run::<bool>(Op::Cast(DType::Bool), &[&v(&[-2i64, 0])], [2]), [true, false]);
    assert_eq!(run::<f32>(Op::Cast(DType::F32), &[&v(&[0.1f64])], [1]), [0.1]);
    assert_eq!(run::<f64>(Op::Cast(DType::F64), &[&v(&[0.1f32])], [1]), [f64::from(0.1f32)]);
    // Just above half way between two f32; by way of f64 it would be a tie and go down.
    let x = (1i64 << 61) + (1 << 37) + 1;
    let up = ((1i64 << 61) + (1 << 38)) as f32;
    assert_eq!(run::<f32>(Op::Cast(DType::F32), &[&v(&[x])], [1]), [up]);
}

#[test]
fn reductions() {
    let x = arr([2, 3], &[1.0, 5.0, NAN, 4.0, 2.0, 3.0]);
    let f = |kind, axes, shape: [usize; 2]| run::<f32>(Op::Reduce(kind, axes), &[&x], shape);
    same(&f(Reduction::Sum, 0b10, [2, 1]), &[NAN, 9.0]);
    same(&f(Reduction::Sum, 0b01, [1, 3]), &[5.0, 7.0, NAN]);
    same(&f(Reduction::Max, 0b10, [2, 1]), &[NAN, 4.0]);
    same(&f(Reduction::Min, 0b01, [1, 3]), &[1.0, 2.0, NAN]);
    same(&f(Reduction::Max, 0b11, [1, 1]), &[NAN]);
    same(&f(Reduction::Max, 0, [2, 3]), &[1.0, 5.0, NAN, 4.0, 2.0, 3.0]);

    let x = arr([2, 2, 2], &[1i64, 2, 3, 4, 5, 6, 7, i64::MAX]);
    assert_eq!(run::<i64>(Op::Reduce(Reduction::Sum, 0b010), &[&x], [2, 1, 2])[..3], [4, 6, 12]);
    assert_eq!(run::<i64>(Op::Reduce(Reduction::Sum, 0b101), &[&x], [1, 2, 1])[0], 14);
    let wrapped: Vec<i64> = run(Op::Reduce(Reduction::Sum, 0b111), &[&x], [1, 1, 1]);
    assert_eq!(wrapped, [i64::MIN + 27]);

    let x = v(&[true, false]);
    assert_eq!(run::<bool>(Op::Reduce(Reduction::Max, 1), &[&x], [1]), [true]);
    assert_eq!(run::<bool>(Op::Reduce(Reduction::Min, 1), &[&x], [1]), [false]);
    assert!(try_run::<bool>(Op::Reduce(Reduction::Sum, 1), &[&x], [1]).is_err());

    let nothing = arr::<f32>([0, 2], &[]);
    assert_eq!(run::<f32>(Op::Reduce(Reduction::Sum, 0b01), &[&nothing], [1, 2]), [0.0, 0.0]);
    assert_eq!(run::<f32>(Op::Reduce(Reduction::Max, 0b10), &[&nothing], [0, 1]), [0.0; 0]);
    assert!(try_run::<f32>(Op::Reduce(Reduction::Max, 0b01), &[&nothing], [1, 2]).is_err());
    assert_eq!(run::<f32>(Op::Reduce(Reduction::Sum, 0), &[&arr((), &[2.0f32])], ()), [2.0]);
    // One rounding only: in f32, each 1 would be lost.
    let x = v(&[16_777_216.0f32, 1.0, 1.0]);
    assert_eq!(run::<f32>(Op::Reduce(Reduction::Sum, 1), &[&x], [1]), [16_777_218.0]);
}

#[test]
fn positions_of_extremes() {
    let f = |max, x: &[f32]| run::<i64>(Op::ArgReduce { max, axis: 0 }, &[&v(x)], [1])[0];
    assert_eq!(f(true, &[1.0, 3.0, 3.0]), 1);
    assert_eq!(f(false, &[1.0, 0.0, 0.0]), 1);
    assert_eq!(f(true, &[INF, NAN, NAN]), 1);
    assert_eq!(f(false, &[-INF, NAN, NAN]), 1);
    assert_eq!(f(true, &[-0.0, 0.0]), 0);
    let x = arr([2, 3], &[1i64, 5, 2, 4, 4, 9]);
    let op = |axis| Op::ArgReduce { max: true, axis };
    assert_eq!(run::<i64>(op(0), &[&x], [1, 3]), [1, 0, 1]);
    assert_eq!(run::<i64>(op(1), &[&x], [2, 1]), [1, 2]);
    let nothing = arr::<f32>([0, 2], &[]);
    assert!(try_run::<i64>(op(0), &[&nothing], [1, 2]).is_err());
    assert_eq!(run::<i64>(op(1), &[&nothing], [0, 1]), [0; 0]);
}
