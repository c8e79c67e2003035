//! Rows of element-wise operations on two and three tensors, beyond the operators: choices,
//! comparisons within a tolerance, bits.

use super::arrays::{any, beyond, edges, exact, ids, mild_edges, positive, truth, unit, whole};
use super::elementwise::{ANSWER, Call, two};
use super::{ErrorCase, Gradient, Kind, OpRow, Sample, fails};
use crate::array::Array;
use crate::tensor::Tensor;

/// Every pair of these edges.
fn pairs(e: &Array) -> Vec<Array> {
    let v: Vec<f32> = e.to_f64().iter().map(|&x| x as f32).collect();
    let left: Vec<f32> = v.iter().flat_map(|&x| std::iter::repeat_n(x, v.len())).collect();
    vec![exact(&left), exact(&v.repeat(v.len()))]
}

/// Rows of operations on two tensors that broadcast. `whole`: also on integers.
macro_rules! binary {
    ($($name:ident = $formula:literal, $torch:literal, $onnx:expr, $gradient:expr,
       $left:ident $right:ident, $edges:ident $(, [$($extra:expr),*])? $(, $whole:ident)?;)*) => {
        &[$(OpRow {
            name: stringify!($name),
            signature: concat!("x.", stringify!($name), "(y)"),
            formula: $formula,
            kind: Kind::Elementwise,
            pytorch: $torch,
            onnx: $onnx,
            gradient: $gradient,
            samples: || {
                let plain: Call = |v| v[0].$name(&v[1] $($(, $extra)*)?);
                let mut samples = two([$left, $right], [
                    plain,
                    |v| v[0].t().$name(&v[1] $($(, $extra)*)?),
                    |v| v[0].flip(0).$name(&v[1].flip(1) $($(, $extra)*)?),
                    |v| {
                        v[0].broadcast_to([2, 3, 5])
                            .$name(&v[1].broadcast_to([3, 5]) $($(, $extra)*)?)
                    },
                    |v| v[0].$name(&v[0] $($(, $extra)*)?),
                ]);
                samples.push(Sample::new("edges", pairs(&$edges()), plain).kinks());
                $(samples.push(
                    Sample::new("integers", vec![$whole(&[3, 4], 16), $whole(&[4], 17)], plain),
                );)?
                samples
            },
            errors: || vec![fails!("shapes that do not broadcast", Shape, "do not broadcast", {
                Tensor::zeros([2, 3]).$name(&Tensor::zeros([2]) $($(, $extra)*)?)
            })].into_iter().chain(by_zero(stringify!($name))).collect(),
        },)*]
    };
}

/// Integers cannot be divided by 0.
fn by_zero(name: &str) -> Option<ErrorCase> {
    let text = "integer division by zero";
    match name {
        "fmod" => Some(fails!("integers by zero", Argument, text, {
            Tensor::from([1, 2]).fmod(Tensor::from([1, 0]))
        })),
        "floor_divide" => Some(fails!("integers by zero", Argument, text, {
            Tensor::from([1, 2]).floor_divide(Tensor::from([1, 0]))
        })),
        "trunc_divide" => Some(fails!("integers by zero", Argument, text, {
            Tensor::from([1, 2]).trunc_divide(Tensor::from([1, 0]))
        })),
        _ => None,
    }
}

const BINARY: &[OpRow] = binary! {
    atan2 = "angle of the point (y, x)", "torch.atan2", None, Gradient::Yes, any positive,
        edges;
    hypot = "sqrt(x^2 + y^2)", "torch.hypot", None, Gradient::Yes, any positive, edges;
    logaddexp = "ln(e^x + e^y)", "torch.logaddexp", None, Gradient::Yes, any any, edges;
    logaddexp2 = "log2(2^x + 2^y)", "torch.logaddexp2", None, Gradient::Yes, any any, mild_edges;
    fmod = "x - trunc(x / y) y", "torch.fmod", Some("Mod"), Gradient::Yes, unit beyond, edges, whole;
    floor_divide = "x / y, rounded down", "torch.floor_divide", None, Gradient::Zero,
        unit beyond, edges, whole;
    trunc_divide = "x / y, rounded towards 0", "torch.div", None, Gradient::Zero, unit beyond,
        mild_edges, whole;
    fmax = "the larger; where one is NaN the other", "torch.fmax", None, Gradient::Yes,
        any positive, edges, whole;
    fmin = "the smaller; where one is NaN the other", "torch.fmin", None, Gradient::Yes,
        any positive, edges, whole;
    copysign = "|x| with the sign of y", "torch.copysign", None, Gradient::Yes, any any, edges, whole;
    heaviside = "0 below 0, 1 above, y at 0", "torch.heaviside", None, Gradient::Yes, any any,
        edges, whole;
    xlogy = "x ln y, 0 where x = 0", "torch.xlogy", None, Gradient::Yes, any positive,
        mild_edges, whole;
    xlog1py = "x ln(1 + y), 0 where x = 0", "torch.special.xlog1py", None, Gradient::Yes,
        any positive, mild_edges;
    ldexp = "x 2^y", "torch.ldexp", None, Gradient::Yes, any any, mild_edges,
        whole;
    clamp_min = "max(x, y)", "torch.clamp_min", Some("Max"), Gradient::Yes, any positive, edges, whole;
    clamp_max = "min(x, y)", "torch.clamp_max", Some("Min"), Gradient::Yes, any positive, edges, whole;
    is_close = "whether |x - y| <= atol + rtol |y|", "torch.isclose", None, ANSWER, any any,
        mild_edges, [1e-5, 1e-8, true], whole;
    logical_and = "whether both differ from 0", "torch.logical_and", Some("And"), ANSWER,
        any any, edges, ids2;
    logical_or = "whether any differs from 0", "torch.logical_or", Some("Or"), ANSWER,
        any any, edges, ids2;
    logical_xor = "whether just one differs from 0", "torch.logical_xor", Some("Xor"), ANSWER,
        any any, edges, ids2;
};

fn ids2(shape: &[usize], seed: u64) -> Array {
    ids(shape, 2, seed)
}

/// Rows of operations on bits of integers.
macro_rules! bits {
    ($($name:ident $formula:literal, $torch:literal, $onnx:expr, $right:ident $(, $truth:ident)?;)*) => {
        &[$(OpRow {
            name: stringify!($name),
            signature: concat!("x.", stringify!($name), "(y)"),
            formula: $formula,
            kind: Kind::Elementwise,
            pytorch: $torch,
            onnx: $onnx,
            gradient: ANSWER,
            samples: || {
                let plain: Call = |v| v[0].$name(&v[1]);
                let extremes = exact(&[i64::MIN, i64::MAX, -1, 0, 1, 5, -7]);
                let by = exact(&[1i64, 62, 63, 64, -1, 0, 3]);
                #[allow(unused_mut)]
                let mut samples = vec![
                    Sample::new("matrix", vec![whole(&[3, 5], 1), $right(&[3, 5], 2)], plain),
                    Sample::new("broadcast", vec![whole(&[3, 1], 1), $right(&[5], 2)], plain),
                    Sample::new("empty", vec![whole(&[0], 1), $right(&[1], 2)], plain),
                    Sample::new("extremes", vec![extremes, by], plain),
                    Sample::new("with a number", vec![whole(&[9], 1)], |v| v[0].$name(3)),
                    Sample::new("transposed", vec![whole(&[5, 3], 1), $right(&[3, 5], 2)], |v| {
                        v[0].t().$name(&v[1])
                    }),
                ];
                $(samples.push(
                    Sample::new("bools", vec![$truth(&[9], 1), $truth(&[9], 2)], plain),
                );)?
                samples
            },
            errors: || vec![
                fails!("of reals", DType, "integers, not f32", Tensor::from([1.5]).$name(2.0)),
                fails!("shapes that do not broadcast", Shape, "do not broadcast", {
                    Tensor::from([1, 2, 3]).$name(Tensor::from([1, 2]))
                }),
            ],
        },)*]
    };
}

fn small(shape: &[usize], seed: u64) -> Array {
    ids(shape, 9, seed)
}

const BITS: &[OpRow] = bits! {
    bitwise_and "bits that both have", "torch.bitwise_and", Some("BitwiseAnd"), whole, truth;
    bitwise_or "bits that any has", "torch.bitwise_or", Some("BitwiseOr"), whole, truth;
    bitwise_xor "bits that just one has", "torch.bitwise_xor", Some("BitwiseXor"), whole, truth;
    bitwise_left_shift "x 2^y", "torch.bitwise_left_shift", Some("BitShift"), small;
    bitwise_right_shift "x / 2^y, rounded down", "torch.bitwise_right_shift", Some("BitShift"),
        small;
};

/// Rows of operations on one tensor whose result is no float, or that take it as it is.
macro_rules! tests {
    ($($name:ident $formula:literal, $torch:literal, $gradient:expr, $x:ident => $call:expr,
       [$($label:literal $sample:expr),*];)*) => {
        &[$(OpRow {
            name: stringify!($name),
            signature: concat!("x.", stringify!($name), "()"),
            formula: $formula,
            kind: Kind::Elementwise,
            pytorch: $torch,
            onnx: None,
            gradient: $gradient,
            samples: || vec![$(Sample::new($label, vec![$sample], |v| {
                let $x = &v[0];
                $call
            }).kinks()),*],
            errors: Vec::<ErrorCase>::new,
        },)*]
    };
}

const TESTS: &[OpRow] = tests! {
    is_inf "whether infinite", "torch.isinf", ANSWER, x => x.is_inf(),
        ["edges" edges(), "integers" whole(&[3], 1), "bools" truth(&[3], 1)];
    is_posinf "whether +inf", "torch.isposinf", ANSWER, x => x.is_posinf(),
        ["edges" edges(), "integers" whole(&[3], 1)];
    is_neginf "whether -inf", "torch.isneginf", ANSWER, x => x.is_neginf(),
        ["edges" edges(), "integers" whole(&[3], 1)];
    signbit "whether the sign is minus", "torch.signbit", ANSWER, x => x.signbit(),
        ["edges" edges(), "integers" whole(&[9], 1), "matrix" any(&[3, 5], 1)];
    logical_not "whether 0", "torch.logical_not", ANSWER, x => x.logical_not(),
        ["edges" edges(), "integers" ids(&[9], 2, 1), "bools" truth(&[9], 1)];
    bitwise_not "all bits turned", "torch.bitwise_not", ANSWER, x => x.bitwise_not(),
        ["integers" whole(&[9], 1), "bools" truth(&[9], 1)];
};

/// Rows of operations on one tensor with attributes, on these samples.
macro_rules! others {
    ($($name:ident $signature:literal $formula:literal, $torch:literal, $gradient:expr,
       [$($label:literal $kinks:literal $inputs:expr => |$v:ident| $call:expr),* $(,)?],
       $errors:expr;)*) => {
        &[$(OpRow {
            name: stringify!($name),
            signature: $signature,
            formula: $formula,
            kind: Kind::Elementwise,
            pytorch: $torch,
            onnx: None,
            gradient: $gradient,
            samples: || vec![$({
                let mut sample = Sample::new($label, $inputs, |$v| $call);
                sample.kinks = $kinks;
                sample
            }),*],
            errors: || $errors,
        },)*]
    };
}

const OTHERS: &[OpRow] = others! {
    deg2rad "x.deg2rad()" "x pi / 180", "torch.deg2rad", Gradient::Yes, [
        "matrix" false vec![any(&[3, 5], 1)] => |v| v[0].deg2rad(),
        "integers" false vec![whole(&[5], 1)] => |v| v[0].deg2rad(),
        "edges" true vec![mild_edges()] => |v| v[0].deg2rad(),
    ], Vec::new();
    rad2deg "x.rad2deg()" "x 180 / pi", "torch.rad2deg", Gradient::Yes, [
        "matrix" false vec![any(&[3, 5], 1)] => |v| v[0].rad2deg(),
        "integers" false vec![whole(&[5], 1)] => |v| v[0].rad2deg(),
    ], Vec::new();
    round_decimals "x.round_decimals(n)" "nearest multiple of 10^-n", "torch.round",
        Gradient::Zero, [
        "two" false vec![exact(&[1.238f32, -3.333, 0.017])] => |v| v[0].round_decimals(2),
        "none" false vec![any(&[3, 5], 1)] => |v| v[0].round_decimals(0),
        "tens" false vec![exact(&[123.0f32, -387.0, 14.9])] => |v| v[0].round_decimals(-1),
    ], vec![fails!("of bool", DType, "round: takes f32 or f64", {
        Tensor::from([true]).round_decimals(0)
    })];
    nan_to_num "x.nan_to_num(nan, posinf, neginf)" "NaN and infinities replaced",
        "torch.nan_to_num", Gradient::Yes, [
        "matrix" false vec![any(&[3, 5], 1)] => |v| v[0].nan_to_num(0.0, 1e30, -1e30),
        "edges" true vec![edges()] => |v| v[0].nan_to_num(7.0, 8.0, 9.0),
        "integers" false vec![whole(&[3, 5], 1)] => |v| v[0].nan_to_num(0.0, 1.0, 1.0),
    ], Vec::new();
    masked_fill "x.masked_fill(mask, value)" "value where the mask holds, else x",
        "torch.masked_fill", Gradient::Yes, [
        "a number" false vec![any(&[3, 5], 1), truth(&[3, 5], 2)] => |v| {
            v[0].masked_fill(&v[1], 0.5)
        },
        "a row of masks" false vec![any(&[3, 5], 1), truth(&[5], 2), any(&[], 3)] => |v| {
            v[0].masked_fill(&v[1], &v[2])
        },
        "integers" false vec![whole(&[5], 1), truth(&[5], 2)] => |v| v[0].masked_fill(&v[1], 7),
    ], vec![
        fails!("a mask of numbers", DType, "where: the condition is f32", {
            Tensor::from([1.0]).masked_fill(&Tensor::from([1.0]), 0.0)
        }),
        fails!("shapes that do not broadcast", Shape, "where: ", {
            Tensor::zeros([3]).masked_fill(&Tensor::from([true, false]), 0.0)
        }),
    ];
    lerp "x.lerp(end, weight)" "x + weight (end - x)", "torch.lerp", Gradient::Yes, [
        "a number" false vec![any(&[3, 5], 1), any(&[3, 5], 2)] => |v| v[0].lerp(&v[1], 0.3),
        "weights" false vec![any(&[3, 5], 1), any(&[3, 5], 2), beyond(&[5], 3)] => |v| {
            v[0].lerp(&v[1], &v[2])
        },
        "small weights" false vec![any(&[3, 5], 1), any(&[5], 2), exact(&[0.1f32])] => |v| {
            v[0].lerp(&v[1], &v[2])
        },
    ], vec![fails!("shapes that do not broadcast", Shape, "sub: ", {
        Tensor::zeros([3]).lerp(&Tensor::zeros([2]), 0.5)
    })];
    addcmul "x.addcmul(a, b, value)" "x + value a b", "torch.addcmul", Gradient::Yes, [
        "a number" false vec![any(&[3, 5], 1), any(&[3, 5], 2), any(&[5], 3)] => |v| {
            v[0].addcmul(&v[1], &v[2], 0.5)
        },
    ], vec![fails!("shapes that do not broadcast", Shape, "mul: ", {
        Tensor::zeros([3]).addcmul(&Tensor::zeros([2]), &Tensor::zeros([3]), 1.0)
    })];
    addcdiv "x.addcdiv(a, b, value)" "x + value a / b", "torch.addcdiv", Gradient::Yes, [
        "a number" false vec![any(&[3, 5], 1), any(&[3, 5], 2), positive(&[5], 3)] => |v| {
            v[0].addcdiv(&v[1], &v[2], 0.5)
        },
    ], vec![fails!("shapes that do not broadcast", Shape, "div: ", {
        Tensor::zeros([3]).addcdiv(&Tensor::zeros([2]), &Tensor::zeros([3]), 1.0)
    })];
};

pub(super) fn rows() -> Vec<OpRow> {
    [BINARY, BITS, TESTS, OTHERS].concat()
}
