//! Operations applied to each element. Operands have the result's shape: the recorder put
//! `Op::Broadcast` in front of those that had not.

use gradus_kernels::memory::KernelError;

use super::Result;
use super::formulas::{
    clamp, comparison, real_binary, real_unary, test, truth_binary, whole_binary, whole_unary,
};
use super::values::{Values, array, map, map2, map3};
use crate::array::Array;
use crate::graph::dtype::DType;
use crate::ops::{Binary, Meta, Ternary, Unary};

const UNDEFINED: KernelError = KernelError::Type("the operation is not defined on such elements");

/// Refuses operands of another shape than the result's.
fn same_shape(ins: &[&Array], out: Meta) -> Result<()> {
    if ins.iter().all(|x| x.shape() == out.shape) {
        Ok(())
    } else {
        Err(KernelError::Bounds("an element-wise operand has another shape than the result"))
    }
}

/// One operand.
pub(super) fn unary(op: Unary, x: &Array, out: Meta) -> Result<Array> {
    same_shape(&[x], out)?;
    let values = Values::of(x)?;
    if let Some(f) = test(op) {
        let answers = match values {
            Values::Real(v) => map(&v, f),
            Values::Whole(v) => map(&v, |x| f(x as f64)),
            Values::Truth(v) => map(&v, |_| f(0.0)),
        };
        return Values::Truth(answers).into_array(out);
    }
    match values {
        Values::Real(v) => Values::Real(map(&v, real_unary(op).ok_or(UNDEFINED)?)),
        Values::Whole(v) => Values::Whole(map(&v, whole_unary(op).ok_or(UNDEFINED)?)),
        Values::Truth(v) if op == Unary::Not => Values::Truth(map(&v, |x| !x)),
        Values::Truth(_) => return Err(UNDEFINED),
    }
    .into_array(out)
}

/// Two operands of one type.
pub(super) fn binary(op: Binary, a: &Array, b: &Array, out: Meta) -> Result<Array> {
    same_shape(&[a, b], out)?;
    match (Values::of(a)?, Values::of(b)?) {
        (Values::Real(a), Values::Real(b)) => match comparison(op) {
            Some(f) => Values::Truth(map2(&a, &b, f)),
            None => Values::Real(map2(&a, &b, real_binary(op).ok_or(UNDEFINED)?)),
        },
        (Values::Whole(a), Values::Whole(b)) => match comparison(op) {
            Some(f) => Values::Truth(map2(&a, &b, f)),
            None => Values::Whole(divisible(map2(&a, &b, whole_binary(op).ok_or(UNDEFINED)?))?),
        },
        (Values::Truth(a), Values::Truth(b)) => match comparison(op) {
            Some(f) => Values::Truth(map2(&a, &b, f)),
            None => Values::Truth(map2(&a, &b, truth_binary(op).ok_or(UNDEFINED)?)),
        },
        _ => return Err(UNDEFINED),
    }
    .into_array(out)
}

/// The results, or where the first one is missing because its divisor was 0.
fn divisible(results: Vec<Option<i64>>) -> Result<Vec<i64>> {
    let checked = results
        .into_iter()
        .enumerate()
        .map(|(position, result)| result.ok_or(KernelError::DivisionByZero { position }));
    checked.collect()
}

/// Three operands.
pub(super) fn ternary(op: Ternary, a: &Array, b: &Array, c: &Array, out: Meta) -> Result<Array> {
    same_shape(&[a, b, c], out)?;
    match (op, Values::of(a)?, Values::of(b)?, Values::of(c)?) {
        (Ternary::Where, Values::Truth(a), Values::Real(b), Values::Real(c)) => {
            Values::Real(map3(&a, &b, &c, pick))
        }
        (Ternary::Where, Values::Truth(a), Values::Whole(b), Values::Whole(c)) => {
            Values::Whole(map3(&a, &b, &c, pick))
        }
        (Ternary::Where, Values::Truth(a), Values::Truth(b), Values::Truth(c)) => {
            Values::Truth(map3(&a, &b, &c, pick))
        }
        (Ternary::Clamp, Values::Real(a), Values::Real(b), Values::Real(c)) => {
            Values::Real(map3(&a, &b, &c, clamp))
        }
        (Ternary::Clamp, Values::Whole(a), Values::Whole(b), Values::Whole(c)) => {
            Values::Whole(map3(&a, &b, &c, clamp))
        }
        _ => return Err(UNDEFINED),
    }
    .into_array(out)
}

fn pick<T>(condition: bool, yes: T, no: T) -> T {
    if condition { yes } else { no }
}

/// To another element type. Reals become whole by dropping the fraction, limited to the range of the
/// type (NaN is 0); whole numbers are limited to it as well; anything but 0 is true, also NaN.
pub(super) fn cast(x: &Array, out: Meta) -> Result<Array> {
    match (Values::of(x)?, out.dtype) {
        // Straight to f32: a way through f64 would round twice.
        (Values::Whole(v), DType::F32) => array(out.shape, &map(&v, |x| x as f32)),
        (values, dtype) => convert(values, dtype).into_array(out),
    }
}

/// The values as the kind that `to` is computed in, within its range.
pub(super) fn convert(values: Values, to: DType) -> Values {
    let (least, most) = match to {
        DType::I32 => (i64::from(i32::MIN), i64::from(i32::MAX)),
        DType::U8 => (0, 255),
        _ => (i64::MIN, i64::MAX),
    };
    match (values, to) {
        (Values::Real(v), DType::I64 | DType::I32 | DType::U8) => {
            Values::Whole(map(&v, |x| (x as i64).clamp(least, most)))
        }
        (Values::Real(v), DType::Bool) => Values::Truth(map(&v, |x| x != 0.0)),
        (Values::Real(v), _) => Values::Real(v),
        (Values::Whole(v), DType::I64 | DType::I32 | DType::U8) => {
            Values::Whole(map(&v, |x| x.clamp(least, most)))
        }
        (Values::Whole(v), DType::Bool) => Values::Truth(map(&v, |x| x != 0)),
        (Values::Whole(v), DType::BF16 | DType::F16) => Values::Real(map(&v, |x| {
            // What f64 cannot hold of a large number is beyond half of the last digit or not.
            if x.unsigned_abs() < 1 << 53 {
                return x as f64;
            }
            (x >> 11 | i64::from(x & 0x7ff != 0)) as f64 * 2048.0
        })),
        (Values::Whole(v), _) => Values::Real(map(&v, |x| x as f64)),
        (Values::Truth(v), DType::I64 | DType::I32 | DType::U8) => {
            Values::Whole(map(&v, i64::from))
        }
        (Values::Truth(v), DType::Bool) => Values::Truth(v),
        (Values::Truth(v), _) => Values::Real(map(&v, |x| f64::from(u8::from(x)))),
    }
}
