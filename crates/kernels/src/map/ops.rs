//! What each instruction does to one lane, and which kernel an instruction takes: for f32, i64 and
//! bool; the other types are in `typed`.

use super::kernels::{Levels, one, three, two};
use super::typed;
use crate::memory::{KernelError, Ty};
use crate::program::{Binary, Ternary, Unary};
use crate::special;
use crate::vmath as v;
use std::marker::PhantomData;

/// What a register's lane can be.
pub(super) trait Lane: Copy + Default + Send + Sync + 'static {}
impl Lane for f32 {}
impl Lane for i64 {}
impl Lane for u8 {}

/// An operation on one lane.
pub(super) trait Op1 {
    type A: Lane;
    type O: Lane;
    /// Whether some lanes must be done again by [`Op1::patch`].
    const PATCHED: bool = false;
    /// Whether it is a long computation; see the sizes of steps in `kernels.rs`.
    const LONG: bool = false;
    fn lane<const FMA: bool>(a: Self::A) -> Self::O;
    fn needs_patch(_: Self::A) -> bool {
        false
    }
    fn patch<const FMA: bool>(a: Self::A) -> Self::O {
        Self::lane::<FMA>(a)
    }
}

/// An operation on two lanes of one type.
pub(super) trait Op2 {
    type A: Lane;
    type O: Lane;
    /// Whether it is a long computation.
    const LONG: bool = false;
    fn lane<const FMA: bool>(a: Self::A, b: Self::A) -> Self::O;
}

/// An operation on three lanes.
pub(super) trait Op3 {
    type A: Lane;
    type B: Lane;
    type C: Lane;
    type O: Lane;
    const PATCHED: bool = false;
    const LONG: bool = false;
    fn lane<const FMA: bool>(a: Self::A, b: Self::B, c: Self::C) -> Self::O;
    fn needs_patch(_: Self::A) -> bool {
        false
    }
    fn patch<const FMA: bool>(_: Self::A) -> Self::O {
        Self::O::default()
    }
}

macro_rules! op1 {
    ($($name:ident: $a:ty => $o:ty, $((LONG = $long:expr))? |$x:ident| $e:expr;)*) => {$(
        struct $name;
        impl Op1 for $name {
            type A = $a;
            type O = $o;
            $(const LONG: bool = $long;)?
            #[inline(always)]
            fn lane<const FMA: bool>($x: $a) -> $o {
                $e
            }
        }
    )*};
}
macro_rules! op2 {
    ($($name:ident: $a:ty => $o:ty, $((LONG = $long:expr))? |$x:ident, $y:ident| $e:expr;)*) => {$(
        struct $name;
        impl Op2 for $name {
            type A = $a;
            type O = $o;
            $(const LONG: bool = $long;)?
            #[inline(always)]
            fn lane<const FMA: bool>($x: $a, $y: $a) -> $o {
                $e
            }
        }
    )*};
}

op1! {
    NegF: f32 => f32, |x| -x;
    AbsF: f32 => f32, |x| x.abs();
    SignF: f32 => f32, |x| if x > 0.0 { 1.0 } else if x < 0.0 { -1.0 } else { x };
    SquareF: f32 => f32, |x| x * x;
    Sqrt: f32 => f32, |x| x.sqrt();
    Rsqrt: f32 => f32, |x| v::rsqrt(x);
    Recip: f32 => f32, |x| 1.0 / x;
    Exp: f32 => f32, (LONG = true) |x| v::exp::<FMA>(x);
    Expm1: f32 => f32, (LONG = true) |x| v::expm1::<FMA>(x);
    Log: f32 => f32, (LONG = true) |x| v::log::<FMA>(x);
    Log1p: f32 => f32, (LONG = true) |x| v::log1p::<FMA>(x);
    Tanh: f32 => f32, (LONG = true) |x| v::tanh::<FMA>(x);
    Sigmoid: f32 => f32, (LONG = true) |x| v::sigmoid::<FMA>(x);
    Erf: f32 => f32, (LONG = true) |x| v::erf::<FMA>(x);
    ReluF: f32 => f32, |x| v::relu(x);
    Gelu: f32 => f32, (LONG = true) |x| v::gelu::<FMA>(x);
    GeluTanh: f32 => f32, (LONG = true) |x| v::gelu_tanh::<FMA>(x);
    Floor: f32 => f32, |x| v::floor::<FMA>(x);
    Ceil: f32 => f32, |x| v::ceil::<FMA>(x);
    Round: f32 => f32, |x| v::round::<FMA>(x);
    Trunc: f32 => f32, |x| v::trunc::<FMA>(x);
    IsFinite: f32 => u8, |x| (x.abs() < f32::INFINITY) as u8;
    IsNan: f32 => u8, |x| x.is_nan() as u8;
    // The sign of a NaN depends on the instructions that made it, so it is not shown.
    SignBitF: f32 => u8, |x| (x.is_sign_negative() & !x.is_nan()) as u8;
    NegI: i64 => i64, |x| x.wrapping_neg();
    AbsI: i64 => i64, |x| x.wrapping_abs();
    SignI: i64 => i64, |x| x.signum();
    SquareI: i64 => i64, |x| x.wrapping_mul(x);
    ReluI: i64 => i64, |x| if x > 0 { x } else { 0 };
    SignBitI: i64 => u8, |x| (x < 0) as u8;
    NotI: i64 => i64, |x| !x;
    NotB: u8 => u8, |x| (x == 0) as u8;
}

op2! {
    AddF: f32 => f32, |a, b| a + b;
    SubF: f32 => f32, |a, b| a - b;
    MulF: f32 => f32, |a, b| a * b;
    DivF: f32 => f32, |a, b| a / b;
    PowF: f32 => f32, (LONG = true) |a, b| v::pow::<FMA>(a, b);
    // Written so that a NaN on either side stays.
    MaxF: f32 => f32, |a, b| if (a > b) | a.is_nan() { a } else { b };
    MinF: f32 => f32, |a, b| if (a < b) | a.is_nan() { a } else { b };
    RemF: f32 => f32, |a, b| remainder(a, b);
    BceLogits: f32 => f32, (LONG = true) |a, b| v::bce_logits::<FMA>(a, b);
    Fmod: f32 => f32, |a, b| a % b;
    LogAddExp: f32 => f32, (LONG = true) |a, b| v::logaddexp::<FMA>(a, b);
    EqF: f32 => u8, |a, b| (a == b) as u8;
    NeF: f32 => u8, |a, b| (a != b) as u8;
    LtF: f32 => u8, |a, b| (a < b) as u8;
    LeF: f32 => u8, |a, b| (a <= b) as u8;
    GtF: f32 => u8, |a, b| (a > b) as u8;
    GeF: f32 => u8, |a, b| (a >= b) as u8;
    AddI: i64 => i64, |a, b| a.wrapping_add(b);
    SubI: i64 => i64, |a, b| a.wrapping_sub(b);
    MulI: i64 => i64, |a, b| a.wrapping_mul(b);
    // A zero divisor is reported before the kernel runs; here it must only not trap.
    DivI: i64 => i64, |a, b| if b == 0 { 0 } else { a.wrapping_div(b) };
    RemI: i64 => i64, |a, b| if b == 0 { 0 } else {
        let r = a.wrapping_rem(b);
        if r != 0 && (r < 0) != (b < 0) { r + b } else { r }
    };
    FmodI: i64 => i64, |a, b| if b == 0 { 0 } else { a.wrapping_rem(b) };
    FloorDivideI: i64 => i64, |a, b| if b == 0 { 0 } else {
        let q = a.wrapping_div(b);
        if a.wrapping_rem(b) != 0 && (a < 0) != (b < 0) { q - 1 } else { q }
    };
    PowI: i64 => i64, |a, b| special::whole_pow(a, b);
    ShiftLeftI: i64 => i64, |a, b| special::shift_left(a, b);
    ShiftRightI: i64 => i64, |a, b| special::shift_right(a, b);
    AndI: i64 => i64, |a, b| a & b;
    OrI: i64 => i64, |a, b| a | b;
    XorI: i64 => i64, |a, b| a ^ b;
    MaxI: i64 => i64, |a, b| if a > b { a } else { b };
    MinI: i64 => i64, |a, b| if a < b { a } else { b };
    EqI: i64 => u8, |a, b| (a == b) as u8;
    NeI: i64 => u8, |a, b| (a != b) as u8;
    LtI: i64 => u8, |a, b| (a < b) as u8;
    LeI: i64 => u8, |a, b| (a <= b) as u8;
    GtI: i64 => u8, |a, b| (a > b) as u8;
    GeI: i64 => u8, |a, b| (a >= b) as u8;
    EqB: u8 => u8, |a, b| ((a != 0) == (b != 0)) as u8;
    NeB: u8 => u8, |a, b| ((a != 0) != (b != 0)) as u8;
    AndB: u8 => u8, |a, b| (a != 0) as u8 & (b != 0) as u8;
    OrB: u8 => u8, |a, b| (a | b != 0) as u8;
}

// Functions that are rarely hot: computed in f64, one lane at a time, and rounded once, which is as
// good as f32 can be and the same on every level.
macro_rules! through_f64 {
    ($($name:ident($($x:ident),+): $trait:ident $f:expr;)*) => {$(
        struct $name;
        impl $trait for $name {
            type A = f32;
            type O = f32;
            const LONG: bool = true;
            #[inline(always)]
            fn lane<const FMA: bool>($($x: f32),+) -> f32 {
                $f($(f64::from($x)),+) as f32
            }
        }
    )*};
}
through_f64! {
    Tan(x): Op1 libm::tan;
    Asin(x): Op1 libm::asin;
    Acos(x): Op1 libm::acos;
    Atan(x): Op1 libm::atan;
    Sinh(x): Op1 libm::sinh;
    Cosh(x): Op1 libm::cosh;
    Asinh(x): Op1 libm::asinh;
    Acosh(x): Op1 libm::acosh;
    Atanh(x): Op1 libm::atanh;
    Exp2(x): Op1 libm::exp2;
    Log2(x): Op1 libm::log2;
    Log10(x): Op1 libm::log10;
    Erfc(x): Op1 libm::erfc;
    Erfcx(x): Op1 special::erfcx;
    Erfinv(x): Op1 special::erfinv;
    Lgamma(x): Op1 libm::lgamma;
    Digamma(x): Op1 special::digamma;
    I0(x): Op1 special::i0;
    I1(x): Op1 special::i1;
    Atan2(y, x): Op2 libm::atan2;
    Hypot(x, y): Op2 libm::hypot;
    FloorDivideF(x, y): Op2 special::floor_divide;
    Polygamma(n, x): Op2 special::polygamma;
}

/// Remainder with the sign of the divisor, as `torch.remainder`.
#[inline(always)]
fn remainder(a: f32, b: f32) -> f32 {
    let m = a % b;
    if m != 0.0 && (b < 0.0) != (m < 0.0) { m + b } else { m }
}

macro_rules! patched {
    ($($name:ident: $quick:ident, $huge:ident;)*) => {$(
        struct $name;
        impl Op1 for $name {
            type A = f32;
            type O = f32;
            const PATCHED: bool = true;
            #[inline(always)]
            fn lane<const FMA: bool>(x: f32) -> f32 {
                v::$quick::<FMA>(x)
            }
            #[inline(always)]
            fn needs_patch(x: f32) -> bool {
                v::reduce_fails(x)
            }
            #[inline(always)]
            fn patch<const FMA: bool>(x: f32) -> f32 {
                v::$huge::<FMA>(x)
            }
        }
    )*};
}
patched! {
    Sin: sin, sin_huge;
    Cos: cos, cos_huge;
}

/// `a` is ignored, `b` is taken: with a scalar `b`, a fill.
struct Second<T>(PhantomData<T>);
impl<T: Lane> Op3 for Second<T> {
    type A = T;
    type B = T;
    type C = u8;
    type O = T;
    #[inline(always)]
    fn lane<const FMA: bool>(_: T, b: T, _: u8) -> T {
        b
    }
}

pub(super) struct Where<T>(PhantomData<T>);
impl<T: Lane> Op3 for Where<T> {
    type A = u8;
    type B = T;
    type C = T;
    type O = T;
    #[inline(always)]
    fn lane<const FMA: bool>(a: u8, b: T, c: T) -> T {
        if a != 0 { b } else { c }
    }
}

pub(super) struct Clamp<P, Q>(PhantomData<(P, Q)>);
impl<T: Lane, P: Op2<A = T, O = T>, Q: Op2<A = T, O = T>> Op3 for Clamp<P, Q> {
    type A = T;
    type B = T;
    type C = T;
    type O = T;
    #[inline(always)]
    fn lane<const FMA: bool>(a: T, b: T, c: T) -> T {
        Q::lane::<FMA>(P::lane::<FMA>(a, b), c)
    }
}

/// A kernel for every level, the result's type, and about how long it takes (ns a lane).
pub(super) struct Choice<K> {
    pub(super) kernels: K,
    pub(super) out: Ty,
    pub(super) cost: f32,
}

pub(super) const CHEAP: f32 = 0.03;
pub(super) const DIVIDE: f32 = 0.1;
pub(super) const ELEMENTARY: f32 = 0.4;
/// A function that is computed in f64, one lane at a time.
const SCALAR: f32 = 15.0;

/// The kernels of a conversion.
pub(super) fn cast(from: Ty, to: Ty) -> Option<Choice<&'static Levels>> {
    let kernels = typed::cast(from, to);
    Some(Choice { kernels, out: to, cost: DIVIDE })
}

/// The kernel that spreads scalar operand `b` over the output (`a` is read, not used).
pub(super) fn fill(ty: Ty) -> &'static Levels {
    match ty.size() {
        1 => three::<Second<u8>>()[3],
        2 => three::<Second<u16>>()[3],
        4 => three::<Second<f32>>()[3],
        _ => three::<Second<i64>>()[3],
    }
}

/// The kernels of an operation of one operand.
pub(super) fn unary(op: Unary, ty: Ty) -> Option<Choice<&'static Levels>> {
    use Unary as U;
    let float = |kernels, cost| Some(Choice { kernels, out: Ty::F32, cost });
    let whole = |kernels| Some(Choice { kernels, out: Ty::I64, cost: 2.0 * CHEAP });
    let truth = |kernels| Some(Choice { kernels, out: Ty::Bool, cost: CHEAP });
    match (op, ty) {
        (U::Neg, Ty::F32) => float(one::<NegF>(), CHEAP),
        (U::Abs, Ty::F32) => float(one::<AbsF>(), CHEAP),
        (U::Sign, Ty::F32) => float(one::<SignF>(), CHEAP),
        (U::Square, Ty::F32) => float(one::<SquareF>(), CHEAP),
        (U::Sqrt, Ty::F32) => float(one::<Sqrt>(), DIVIDE),
        (U::Rsqrt, Ty::F32) => float(one::<Rsqrt>(), 2.0 * DIVIDE),
        (U::Recip, Ty::F32) => float(one::<Recip>(), DIVIDE),
        (U::Exp, Ty::F32) => float(one::<Exp>(), ELEMENTARY),
        (U::Expm1, Ty::F32) => float(one::<Expm1>(), ELEMENTARY),
        (U::Log, Ty::F32) => float(one::<Log>(), ELEMENTARY),
        (U::Log1p, Ty::F32) => float(one::<Log1p>(), ELEMENTARY),
        (U::Sin, Ty::F32) => float(one::<Sin>(), ELEMENTARY),
        (U::Cos, Ty::F32) => float(one::<Cos>(), ELEMENTARY),
        (U::Tanh, Ty::F32) => float(one::<Tanh>(), ELEMENTARY),
        (U::Sigmoid, Ty::F32) => float(one::<Sigmoid>(), ELEMENTARY),
        (U::Erf, Ty::F32) => float(one::<Erf>(), ELEMENTARY),
        (U::Relu, Ty::F32) => float(one::<ReluF>(), CHEAP),
        (U::Gelu, Ty::F32) => float(one::<Gelu>(), ELEMENTARY),
        (U::GeluTanh, Ty::F32) => float(one::<GeluTanh>(), ELEMENTARY),
        (U::Floor, Ty::F32) => float(one::<Floor>(), CHEAP),
        (U::Ceil, Ty::F32) => float(one::<Ceil>(), CHEAP),
        (U::Round, Ty::F32) => float(one::<Round>(), CHEAP),
        (U::Trunc, Ty::F32) => float(one::<Trunc>(), CHEAP),
        (U::IsFinite, Ty::F32) => truth(one::<IsFinite>()),
        (U::IsNan, Ty::F32) => truth(one::<IsNan>()),
        (U::SignBit, Ty::F32) => truth(one::<SignBitF>()),
        (U::Tan, Ty::F32) => float(one::<Tan>(), SCALAR),
        (U::Asin, Ty::F32) => float(one::<Asin>(), SCALAR),
        (U::Acos, Ty::F32) => float(one::<Acos>(), SCALAR),
        (U::Atan, Ty::F32) => float(one::<Atan>(), SCALAR),
        (U::Sinh, Ty::F32) => float(one::<Sinh>(), SCALAR),
        (U::Cosh, Ty::F32) => float(one::<Cosh>(), SCALAR),
        (U::Asinh, Ty::F32) => float(one::<Asinh>(), SCALAR),
        (U::Acosh, Ty::F32) => float(one::<Acosh>(), SCALAR),
        (U::Atanh, Ty::F32) => float(one::<Atanh>(), SCALAR),
        (U::Exp2, Ty::F32) => float(one::<Exp2>(), SCALAR),
        (U::Log2, Ty::F32) => float(one::<Log2>(), SCALAR),
        (U::Log10, Ty::F32) => float(one::<Log10>(), SCALAR),
        (U::Erfc, Ty::F32) => float(one::<Erfc>(), SCALAR),
        (U::Erfcx, Ty::F32) => float(one::<Erfcx>(), SCALAR),
        (U::Erfinv, Ty::F32) => float(one::<Erfinv>(), SCALAR),
        (U::Lgamma, Ty::F32) => float(one::<Lgamma>(), SCALAR),
        (U::Digamma, Ty::F32) => float(one::<Digamma>(), SCALAR),
        (U::I0, Ty::F32) => float(one::<I0>(), SCALAR),
        (U::I1, Ty::F32) => float(one::<I1>(), SCALAR),
        (U::SignBit, Ty::I64) => truth(one::<SignBitI>()),
        (U::Not, Ty::I64) => whole(one::<NotI>()),
        (U::Neg, Ty::I64) => whole(one::<NegI>()),
        (U::Abs, Ty::I64) => whole(one::<AbsI>()),
        (U::Sign, Ty::I64) => whole(one::<SignI>()),
        (U::Square, Ty::I64) => whole(one::<SquareI>()),
        (U::Relu, Ty::I64) => whole(one::<ReluI>()),
        (U::Not, Ty::Bool) => truth(one::<NotB>()),
        _ => typed::unary(op, ty),
    }
}

/// The kernels of an operation of two operands, in the forms of [`two`].
pub(super) fn binary(op: Binary, ty: Ty) -> Option<Choice<[&'static Levels; 3]>> {
    use Binary as B;
    let float = |kernels, cost| Some(Choice { kernels, out: Ty::F32, cost });
    let whole = |kernels, cost| Some(Choice { kernels, out: Ty::I64, cost });
    let truth = |kernels| Some(Choice { kernels, out: Ty::Bool, cost: CHEAP });
    match (op, ty) {
        (B::Add, Ty::F32) => float(two::<AddF>(), CHEAP),
        (B::Sub, Ty::F32) => float(two::<SubF>(), CHEAP),
        (B::Mul, Ty::F32) => float(two::<MulF>(), CHEAP),
        (B::Div, Ty::F32) => float(two::<DivF>(), DIVIDE),
        (B::Pow, Ty::F32) => float(two::<PowF>(), 4.0 * ELEMENTARY),
        (B::Max, Ty::F32) => float(two::<MaxF>(), CHEAP),
        (B::Min, Ty::F32) => float(two::<MinF>(), CHEAP),
        (B::Remainder, Ty::F32) => float(two::<RemF>(), 5.0),
        (B::BceLogits, Ty::F32) => float(two::<BceLogits>(), 2.0 * ELEMENTARY),
        (B::Atan2, Ty::F32) => float(two::<Atan2>(), SCALAR),
        (B::Hypot, Ty::F32) => float(two::<Hypot>(), SCALAR),
        (B::Polygamma, Ty::F32) => float(two::<Polygamma>(), 5.0 * SCALAR),
        (B::FloorDivide, Ty::F32) => float(two::<FloorDivideF>(), SCALAR),
        (B::Fmod, Ty::F32) => float(two::<Fmod>(), 5.0),
        (B::LogAddExp, Ty::F32) => float(two::<LogAddExp>(), 2.0 * ELEMENTARY),
        (B::Eq, Ty::F32) => truth(two::<EqF>()),
        (B::Ne, Ty::F32) => truth(two::<NeF>()),
        (B::Lt, Ty::F32) => truth(two::<LtF>()),
        (B::Le, Ty::F32) => truth(two::<LeF>()),
        (B::Gt, Ty::F32) => truth(two::<GtF>()),
        (B::Ge, Ty::F32) => truth(two::<GeF>()),
        (B::Add, Ty::I64) => whole(two::<AddI>(), 2.0 * CHEAP),
        (B::Sub, Ty::I64) => whole(two::<SubI>(), 2.0 * CHEAP),
        (B::Mul, Ty::I64) => whole(two::<MulI>(), 4.0 * CHEAP),
        (B::Div, Ty::I64) => whole(two::<DivI>(), 3.0),
        (B::Remainder, Ty::I64) => whole(two::<RemI>(), 3.0),
        (B::Fmod, Ty::I64) => whole(two::<FmodI>(), 3.0),
        (B::FloorDivide, Ty::I64) => whole(two::<FloorDivideI>(), 3.0),
        (B::Pow, Ty::I64) => whole(two::<PowI>(), 5.0),
        (B::ShiftLeft, Ty::I64) => whole(two::<ShiftLeftI>(), 4.0 * CHEAP),
        (B::ShiftRight, Ty::I64) => whole(two::<ShiftRightI>(), 4.0 * CHEAP),
        (B::And, Ty::I64) => whole(two::<AndI>(), 2.0 * CHEAP),
        (B::Or, Ty::I64) => whole(two::<OrI>(), 2.0 * CHEAP),
        (B::Xor, Ty::I64) => whole(two::<XorI>(), 2.0 * CHEAP),
        (B::Max, Ty::I64) => whole(two::<MaxI>(), 2.0 * CHEAP),
        (B::Min, Ty::I64) => whole(two::<MinI>(), 2.0 * CHEAP),
        (B::Eq, Ty::I64) => truth(two::<EqI>()),
        (B::Ne, Ty::I64) => truth(two::<NeI>()),
        (B::Lt, Ty::I64) => truth(two::<LtI>()),
        (B::Le, Ty::I64) => truth(two::<LeI>()),
        (B::Gt, Ty::I64) => truth(two::<GtI>()),
        (B::Ge, Ty::I64) => truth(two::<GeI>()),
        (B::Eq, Ty::Bool) => truth(two::<EqB>()),
        (B::Ne | B::Xor, Ty::Bool) => truth(two::<NeB>()),
        (B::And, Ty::Bool) => truth(two::<AndB>()),
        (B::Or, Ty::Bool) => truth(two::<OrB>()),
        _ => typed::binary(op, ty),
    }
}

/// The kernels of an operation of three operands, in the forms of [`three`].
pub(super) fn ternary(op: Ternary, ty: Ty) -> Option<Choice<[&'static Levels; 4]>> {
    let kernels = match (op, ty) {
        (Ternary::Where, Ty::F32) => three::<Where<f32>>(),
        (Ternary::Where, Ty::I64) => three::<Where<i64>>(),
        (Ternary::Where, Ty::Bool) => three::<Where<u8>>(),
        (Ternary::Clamp, Ty::F32) => three::<Clamp<MaxF, MinF>>(),
        (Ternary::Clamp, Ty::I64) => three::<Clamp<MaxI, MinI>>(),
        _ => typed::ternary(op, ty)?,
    };
    Some(Choice { kernels, out: ty, cost: CHEAP })
}

/// The error of an instruction that has no kernel.
pub(super) const NO_KERNEL: KernelError =
    KernelError::Type("an operation is not defined for its operands' types");
