//! What each element-wise operation does to one element.
//!
//! Each function here is a table from the operation to its formula; `None` where the operation is
//! not defined on such elements.

use std::f64::consts::{FRAC_1_SQRT_2, FRAC_2_PI};

use gradus_kernels::special;

use crate::ops::{Binary, Unary};

/// A formula of one operand.
type F1<A, R = A> = fn(A) -> R;
/// A formula of two operands.
type F2<A, R = A> = fn(A, A) -> R;

/// Real numbers.
pub(super) fn real_unary(op: Unary) -> Option<F1<f64>> {
    Some(match op {
        Unary::Neg => |x| -x,
        Unary::Abs => |x| x.abs(),
        // NaN, 0 and -0 are their own signs.
        Unary::Sign => |x| match x {
            x if x > 0.0 => 1.0,
            x if x < 0.0 => -1.0,
            x => x,
        },
        Unary::Square => |x| x * x,
        Unary::Sqrt => |x| x.sqrt(),
        Unary::Rsqrt => |x| 1.0 / x.sqrt(),
        Unary::Recip => |x| 1.0 / x,
        Unary::Exp => libm::exp,
        Unary::Expm1 => libm::expm1,
        Unary::Log => libm::log,
        Unary::Log1p => libm::log1p,
        Unary::Sin => libm::sin,
        Unary::Cos => libm::cos,
        Unary::Tanh => libm::tanh,
        Unary::Sigmoid => sigmoid,
        Unary::Erf => libm::erf,
        // Written so that NaN stays.
        Unary::Relu => |x| if x <= 0.0 { 0.0 } else { x },
        // x Phi(x); erfc keeps the left tail, where 1 + erf would be 0.
        Unary::Gelu => |x| weighted(x, 0.5 * libm::erfc(-x * FRAC_1_SQRT_2)),
        // 0.5 (1 + tanh(u)) is sigmoid(2 u).
        Unary::GeluTanh => |x| {
            let u = FRAC_2_PI.sqrt() * (x + 0.044715 * x * x * x);
            weighted(x, sigmoid(2.0 * u))
        },
        Unary::Floor => |x| x.floor(),
        Unary::Ceil => |x| x.ceil(),
        Unary::Round => |x| x.round_ties_even(),
        Unary::Trunc => |x| x.trunc(),
        Unary::Tan => libm::tan,
        Unary::Asin => libm::asin,
        Unary::Acos => libm::acos,
        Unary::Atan => libm::atan,
        Unary::Sinh => libm::sinh,
        Unary::Cosh => libm::cosh,
        Unary::Asinh => libm::asinh,
        Unary::Acosh => libm::acosh,
        Unary::Atanh => libm::atanh,
        Unary::Exp2 => libm::exp2,
        Unary::Log2 => libm::log2,
        Unary::Log10 => libm::log10,
        Unary::Erfc => libm::erfc,
        Unary::Lgamma => libm::lgamma,
        Unary::Erfcx => special::erfcx,
        Unary::Erfinv => special::erfinv,
        Unary::Digamma => special::digamma,
        Unary::I0 => special::i0,
        Unary::I1 => special::i1,
        Unary::Not | Unary::IsFinite | Unary::IsNan | Unary::SignBit => return None,
    })
}

/// Whole numbers; they wrap.
pub(super) fn whole_unary(op: Unary) -> Option<F1<i64>> {
    Some(match op {
        Unary::Neg => i64::wrapping_neg,
        Unary::Abs => i64::wrapping_abs,
        Unary::Sign => i64::signum,
        Unary::Square => |x| x.wrapping_mul(x),
        Unary::Relu => |x| x.max(0),
        Unary::Not => |x| !x,
        _ => return None,
    })
}

/// Questions about a real number; other elements are asked as the number that they are.
pub(super) fn test(op: Unary) -> Option<F1<f64, bool>> {
    Some(match op {
        Unary::IsFinite => f64::is_finite,
        Unary::IsNan => f64::is_nan,
        Unary::SignBit => |x| x.is_sign_negative() && !x.is_nan(),
        _ => return None,
    })
}

/// Real numbers.
pub(super) fn real_binary(op: Binary) -> Option<F2<f64>> {
    Some(match op {
        Binary::Add => |a, b| a + b,
        Binary::Sub => |a, b| a - b,
        Binary::Mul => |a, b| a * b,
        Binary::Div => |a, b| a / b,
        Binary::Pow => libm::pow,
        Binary::Max => larger,
        Binary::Min => smaller,
        // `%` has the sign of the dividend; the remainder has that of the divisor.
        Binary::Remainder => |a, b| match a % b {
            r if r != 0.0 && (r < 0.0) != (b < 0.0) => r + b,
            r => r,
        },
        Binary::Fmod => |a, b| a % b,
        Binary::FloorDivide => special::floor_divide,
        Binary::Atan2 => libm::atan2,
        Binary::Hypot => libm::hypot,
        Binary::LogAddExp => special::logaddexp,
        Binary::Polygamma => special::polygamma,
        Binary::BceLogits => |x, y| larger(x, 0.0) - x * y + libm::log1p(libm::exp(-x.abs())),
        _ => return None,
    })
}

/// Whole numbers: they wrap, division truncates, and division by zero has no result.
pub(super) fn whole_binary(op: Binary) -> Option<F2<i64, Option<i64>>> {
    Some(match op {
        Binary::Add => |a, b| Some(a.wrapping_add(b)),
        Binary::Sub => |a, b| Some(a.wrapping_sub(b)),
        Binary::Mul => |a, b| Some(a.wrapping_mul(b)),
        Binary::Max => |a, b| Some(a.max(b)),
        Binary::Min => |a, b| Some(a.min(b)),
        Binary::Div => |a, b| match b {
            0 => None,
            b => Some(a.wrapping_div(b)),
        },
        Binary::Fmod => |a, b| match b {
            0 => None,
            b => Some(a.wrapping_rem(b)),
        },
        Binary::FloorDivide => |a, b| match b {
            0 => None,
            b if a.wrapping_rem(b) != 0 && (a < 0) != (b < 0) => Some(a.wrapping_div(b) - 1),
            b => Some(a.wrapping_div(b)),
        },
        Binary::Pow => |a, b| Some(special::whole_pow(a, b)),
        Binary::ShiftLeft => |a, b| Some(special::shift_left(a, b)),
        Binary::ShiftRight => |a, b| Some(special::shift_right(a, b)),
        Binary::And => |a, b| Some(a & b),
        Binary::Or => |a, b| Some(a | b),
        Binary::Xor => |a, b| Some(a ^ b),
        Binary::Remainder => |a, b| match b {
            0 => None,
            b => Some(match a.wrapping_rem(b) {
                r if r != 0 && (r < 0) != (b < 0) => r + b,
                r => r,
            }),
        },
        _ => return None,
    })
}

/// Truth values.
pub(super) fn truth_binary(op: Binary) -> Option<F2<bool>> {
    Some(match op {
        Binary::And => |a, b| a && b,
        Binary::Or => |a, b| a || b,
        Binary::Xor => |a, b| a != b,
        _ => return None,
    })
}

/// Comparisons; NaN differs from everything and is neither smaller nor larger.
pub(super) fn comparison<T: PartialOrd>(op: Binary) -> Option<F2<T, bool>> {
    Some(match op {
        Binary::Eq => |a, b| a == b,
        Binary::Ne => |a, b| a != b,
        Binary::Lt => |a, b| a < b,
        Binary::Le => |a, b| a <= b,
        Binary::Gt => |a, b| a > b,
        Binary::Ge => |a, b| a >= b,
        _ => return None,
    })
}

/// Whether `x` is NaN, for any type of element: NaN alone does not compare with itself.
fn is_nan<T: PartialOrd>(x: &T) -> bool {
    x.partial_cmp(x).is_none()
}

/// Whether `a` is beyond `b`: larger than it, or NaN where `b` is a number.
pub(super) fn above<T: PartialOrd>(a: T, b: T) -> bool {
    !is_nan(&b) && (is_nan(&a) || a > b)
}

/// Whether `a` is beyond `b`: smaller than it, or NaN where `b` is a number.
pub(super) fn below<T: PartialOrd>(a: T, b: T) -> bool {
    !is_nan(&b) && (is_nan(&a) || a < b)
}

/// The larger of two, the second of equal ones; NaN if either is. Of truth values: whether any is
/// true.
pub(super) fn larger<T: PartialOrd + Copy>(a: T, b: T) -> T {
    if above(a, b) { a } else { b }
}

/// The smaller of two, the second of equal ones; NaN if either is. Of truth values: whether all are
/// true.
pub(super) fn smaller<T: PartialOrd + Copy>(a: T, b: T) -> T {
    if below(a, b) { a } else { b }
}

/// `min(max(x, low), high)`; NaN if any is.
pub(super) fn clamp<T: PartialOrd + Copy>(x: T, low: T, high: T) -> T {
    smaller(larger(x, low), high)
}

/// `1 / (1 + e^-x)`, written so that `e` of something large never appears.
fn sigmoid(x: f64) -> f64 {
    let e = libm::exp(-x.abs());
    if x < 0.0 { e / (1.0 + e) } else { 1.0 / (1.0 + e) }
}

/// `x` times its weight in a smooth gate. A weight of 0 wins even over an infinite `x`.
fn weighted(x: f64, weight: f64) -> f64 {
    if weight == 0.0 { -0.0 } else { x * weight }
}
