//! The kernels of f64, i32 and u8, and all conversions. Those of f32, i64 and bool are in `ops`.

use super::kernels::{Levels, one, three, two};
use super::ops::{CHEAP, Choice, Clamp, DIVIDE, ELEMENTARY, Lane, Op1, Op2, Where};
use crate::convert::Convert;
use crate::memory::{Truth, Ty};
use crate::program::{Binary, Ternary, Unary};
use crate::special;
use crate::vmath::wide as w;
use half::{bf16, f16};
use std::marker::PhantomData;

impl Lane for f64 {}
impl Lane for i32 {}
impl Lane for u16 {}
impl Lane for Truth {}
impl Lane for bf16 {}
impl Lane for f16 {}

/// A conversion.
struct Cast<A, B>(PhantomData<(A, B)>);
impl<A: Lane + Convert<B>, B: Lane> Op1 for Cast<A, B> {
    type A = A;
    type O = B;
    #[inline(always)]
    fn lane<const FMA: bool>(a: A) -> B {
        a.convert()
    }
}

/// The kernels of a conversion.
pub(super) fn cast(from: Ty, to: Ty) -> &'static Levels {
    match from {
        Ty::F32 => cast_from::<f32>(to),
        Ty::F64 => cast_from::<f64>(to),
        Ty::I64 => cast_from::<i64>(to),
        Ty::I32 => cast_from::<i32>(to),
        Ty::U8 => cast_from::<u8>(to),
        Ty::Bool => cast_from::<Truth>(to),
        Ty::BF16 => cast_from::<bf16>(to),
        Ty::F16 => cast_from::<f16>(to),
    }
}

fn cast_from<A>(to: Ty) -> &'static Levels
where
    A: Lane + Convert<f32> + Convert<f64> + Convert<i64> + Convert<i32> + Convert<u8>,
    A: Convert<Truth> + Convert<bf16> + Convert<f16>,
{
    match to {
        Ty::F32 => one::<Cast<A, f32>>(),
        Ty::F64 => one::<Cast<A, f64>>(),
        Ty::I64 => one::<Cast<A, i64>>(),
        Ty::I32 => one::<Cast<A, i32>>(),
        Ty::U8 => one::<Cast<A, u8>>(),
        Ty::Bool => one::<Cast<A, Truth>>(),
        Ty::BF16 => one::<Cast<A, bf16>>(),
        Ty::F16 => one::<Cast<A, f16>>(),
    }
}

macro_rules! real1 {
    ($($name:ident => $o:ty, $long:literal |$x:ident| $e:expr;)*) => {$(
        struct $name;
        impl Op1 for $name {
            type A = f64;
            type O = $o;
            const LONG: bool = $long;
            #[inline(always)]
            fn lane<const FMA: bool>($x: f64) -> $o {
                $e
            }
        }
    )*};
}
real1! {
    Neg => f64, false |x| -x;
    Abs => f64, false |x| x.abs();
    Sign => f64, false |x| if x > 0.0 { 1.0 } else if x < 0.0 { -1.0 } else { x };
    Square => f64, false |x| x * x;
    Sqrt => f64, false |x| x.sqrt();
    Rsqrt => f64, false |x| 1.0 / x.sqrt();
    Recip => f64, false |x| 1.0 / x;
    Exp => f64, true |x| w::exp::<FMA>(x);
    Expm1 => f64, true |x| w::expm1::<FMA>(x);
    Log => f64, true |x| w::log::<FMA>(x);
    Log1p => f64, true |x| w::log1p::<FMA>(x);
    Tanh => f64, true |x| w::tanh::<FMA>(x);
    Sigmoid => f64, true |x| w::sigmoid::<FMA>(x);
    Erf => f64, true |x| libm::erf(x);
    Relu => f64, false |x| if x <= 0.0 { 0.0 } else { x };
    Gelu => f64, true |x| w::gelu(x);
    GeluTanh => f64, true |x| w::gelu_tanh::<FMA>(x);
    Floor => f64, false |x| x.floor();
    Ceil => f64, false |x| x.ceil();
    Round => f64, false |x| x.round_ties_even();
    Trunc => f64, false |x| x.trunc();
    IsFinite => u8, false |x| (x.abs() < f64::INFINITY) as u8;
    IsNan => u8, false |x| x.is_nan() as u8;
    SignBit => u8, false |x| (x.is_sign_negative() & !x.is_nan()) as u8;
}

// One element at a time.
real1! {
    Tan => f64, true |x| libm::tan(x);
    Asin => f64, true |x| libm::asin(x);
    Acos => f64, true |x| libm::acos(x);
    Atan => f64, true |x| libm::atan(x);
    Sinh => f64, true |x| libm::sinh(x);
    Cosh => f64, true |x| libm::cosh(x);
    Asinh => f64, true |x| libm::asinh(x);
    Acosh => f64, true |x| libm::acosh(x);
    Atanh => f64, true |x| libm::atanh(x);
    Exp2 => f64, true |x| libm::exp2(x);
    Log2 => f64, true |x| libm::log2(x);
    Log10 => f64, true |x| libm::log10(x);
    Erfc => f64, true |x| libm::erfc(x);
    Erfcx => f64, true |x| special::erfcx(x);
    Erfinv => f64, true |x| special::erfinv(x);
    Lgamma => f64, true |x| libm::lgamma(x);
    Digamma => f64, true |x| special::digamma(x);
    I0 => f64, true |x| special::i0(x);
    I1 => f64, true |x| special::i1(x);
}

macro_rules! turning {
    ($($name:ident: $quick:ident, $any:path;)*) => {$(
        struct $name;
        impl Op1 for $name {
            type A = f64;
            type O = f64;
            const PATCHED: bool = true;
            #[inline(always)]
            fn lane<const FMA: bool>(x: f64) -> f64 {
                w::$quick::<FMA>(x)
            }
            #[inline(always)]
            fn needs_patch(x: f64) -> bool {
                w::reduce_fails(x)
            }
            #[inline(always)]
            fn patch<const FMA: bool>(x: f64) -> f64 {
                $any(x)
            }
        }
    )*};
}
turning! {
    Sin: sin, libm::sin;
    Cos: cos, libm::cos;
}

macro_rules! real2 {
    ($($name:ident, $long:literal |$a:ident, $b:ident| $e:expr;)*) => {$(
        struct $name;
        impl Op2 for $name {
            type A = f64;
            type O = f64;
            const LONG: bool = $long;
            #[inline(always)]
            fn lane<const FMA: bool>($a: f64, $b: f64) -> f64 {
                $e
            }
        }
    )*};
}
real2! {
    Add, false |a, b| a + b;
    Sub, false |a, b| a - b;
    Mul, false |a, b| a * b;
    Div, false |a, b| a / b;
    Pow, true |a, b| libm::pow(a, b);
    // Written so that a NaN on either side stays.
    Max, false |a, b| if (a > b) | a.is_nan() { a } else { b };
    Min, false |a, b| if (a < b) | a.is_nan() { a } else { b };
    Rem, false |a, b| {
        let m = a % b;
        if m != 0.0 && (b < 0.0) != (m < 0.0) { m + b } else { m }
    };
    BceLogits, true |a, b| w::bce_logits::<FMA>(a, b);
    Fmod, true |a, b| a % b;
    FloorDivide, true |a, b| special::floor_divide(a, b);
    Atan2, true |a, b| libm::atan2(a, b);
    Hypot, true |a, b| libm::hypot(a, b);
    LogAddExp, true |a, b| special::logaddexp(a, b);
    Polygamma, true |a, b| special::polygamma(a, b);
}

macro_rules! compare {
    ($($name:ident $op:tt;)*) => {$(
        struct $name<T>(PhantomData<T>);
        impl<T: Lane + PartialOrd> Op2 for $name<T> {
            type A = T;
            type O = u8;
            #[inline(always)]
            fn lane<const FMA: bool>(a: T, b: T) -> u8 {
                (a $op b) as u8
            }
        }
    )*};
}
compare! {
    Eq ==;
    Ne !=;
    Lt <;
    Le <=;
    Gt >;
    Ge >=;
}

/// Integers, which wrap.
trait Whole: Lane + PartialOrd {
    fn to_i64(self) -> i64;
    /// The low bits.
    fn from_i64(x: i64) -> Self;
    fn neg(self) -> Self;
    fn abs(self) -> Self;
    fn sign(self) -> Self;
    fn add(self, b: Self) -> Self;
    fn sub(self, b: Self) -> Self;
    fn mul(self, b: Self) -> Self;
    /// 0 for a divisor of 0, which is reported before the kernel runs.
    fn div(self, b: Self) -> Self;
    /// With the sign of the divisor; 0 for a divisor of 0.
    fn rem(self, b: Self) -> Self;
}
impl Whole for i32 {
    #[inline(always)]
    fn to_i64(self) -> i64 {
        i64::from(self)
    }
    #[inline(always)]
    fn from_i64(x: i64) -> i32 {
        x as i32
    }
    #[inline(always)]
    fn neg(self) -> i32 {
        self.wrapping_neg()
    }
    #[inline(always)]
    fn abs(self) -> i32 {
        self.wrapping_abs()
    }
    #[inline(always)]
    fn sign(self) -> i32 {
        self.signum()
    }
    #[inline(always)]
    fn add(self, b: i32) -> i32 {
        self.wrapping_add(b)
    }
    #[inline(always)]
    fn sub(self, b: i32) -> i32 {
        self.wrapping_sub(b)
    }
    #[inline(always)]
    fn mul(self, b: i32) -> i32 {
        self.wrapping_mul(b)
    }
    #[inline(always)]
    fn div(self, b: i32) -> i32 {
        if b == 0 { 0 } else { self.wrapping_div(b) }
    }
    #[inline(always)]
    fn rem(self, b: i32) -> i32 {
        let r = if b == 0 { 0 } else { self.wrapping_rem(b) };
        if r != 0 && (r < 0) != (b < 0) { r + b } else { r }
    }
}
impl Whole for u8 {
    #[inline(always)]
    fn to_i64(self) -> i64 {
        i64::from(self)
    }
    #[inline(always)]
    fn from_i64(x: i64) -> u8 {
        x as u8
    }
    #[inline(always)]
    fn neg(self) -> u8 {
        self.wrapping_neg()
    }
    #[inline(always)]
    fn abs(self) -> u8 {
        self
    }
    #[inline(always)]
    fn sign(self) -> u8 {
        (self > 0) as u8
    }
    #[inline(always)]
    fn add(self, b: u8) -> u8 {
        self.wrapping_add(b)
    }
    #[inline(always)]
    fn sub(self, b: u8) -> u8 {
        self.wrapping_sub(b)
    }
    #[inline(always)]
    fn mul(self, b: u8) -> u8 {
        self.wrapping_mul(b)
    }
    #[inline(always)]
    fn div(self, b: u8) -> u8 {
        self.checked_div(b).unwrap_or(0)
    }
    #[inline(always)]
    fn rem(self, b: u8) -> u8 {
        self.checked_rem(b).unwrap_or(0)
    }
}

macro_rules! whole1 {
    ($($name:ident |$x:ident| $e:expr;)*) => {$(
        struct $name<T>(PhantomData<T>);
        impl<T: Whole> Op1 for $name<T> {
            type A = T;
            type O = T;
            #[inline(always)]
            fn lane<const FMA: bool>($x: T) -> T {
                $e
            }
        }
    )*};
}
whole1! {
    NegW |x| x.neg();
    AbsW |x| x.abs();
    SignW |x| x.sign();
    SquareW |x| x.mul(x);
    // Minus one less: all bits turned.
    NotW |x| x.neg().add(T::from_i64(-1));
    ReluW |x| if x > T::default() { x } else { T::default() };
}

struct SignBitW<T>(PhantomData<T>);
impl<T: Whole> Op1 for SignBitW<T> {
    type A = T;
    type O = u8;
    #[inline(always)]
    fn lane<const FMA: bool>(x: T) -> u8 {
        (x < T::default()) as u8
    }
}

macro_rules! whole2 {
    ($($name:ident |$a:ident, $b:ident| $e:expr;)*) => {$(
        struct $name<T>(PhantomData<T>);
        impl<T: Whole> Op2 for $name<T> {
            type A = T;
            type O = T;
            #[inline(always)]
            fn lane<const FMA: bool>($a: T, $b: T) -> T {
                $e
            }
        }
    )*};
}
whole2! {
    AddW |a, b| a.add(b);
    SubW |a, b| a.sub(b);
    MulW |a, b| a.mul(b);
    DivW |a, b| a.div(b);
    RemW |a, b| a.rem(b);
    MaxW |a, b| if a > b { a } else { b };
    MinW |a, b| if a < b { a } else { b };
    FmodW |a, b| T::from_i64(if b == T::default() { 0 } else { a.to_i64() % b.to_i64() });
    FloorDivideW |a, b| {
        let q = a.div(b);
        let down = a.rem(b) != T::default() && (a < T::default()) != (b < T::default());
        if down { q.add(T::from_i64(-1)) } else { q }
    };
    PowW |a, b| T::from_i64(special::whole_pow(a.to_i64(), b.to_i64()));
    ShiftLeftW |a, b| T::from_i64(special::shift_left(a.to_i64(), b.to_i64()));
    ShiftRightW |a, b| T::from_i64(special::shift_right(a.to_i64(), b.to_i64()));
    AndW |a, b| T::from_i64(a.to_i64() & b.to_i64());
    OrW |a, b| T::from_i64(a.to_i64() | b.to_i64());
    XorW |a, b| T::from_i64(a.to_i64() ^ b.to_i64());
}

/// The kernels of an operation of one operand.
pub(super) fn unary(op: Unary, ty: Ty) -> Option<Choice<&'static Levels>> {
    match ty {
        Ty::F64 => unary_real(op),
        Ty::I32 => unary_whole::<i32>(op, ty),
        Ty::U8 => unary_whole::<u8>(op, ty),
        _ => None,
    }
}

fn unary_real(op: Unary) -> Option<Choice<&'static Levels>> {
    use Unary as U;
    let truth = |kernels| Some(Choice { kernels, out: Ty::Bool, cost: CHEAP });
    let (kernels, cost) = match op {
        U::Neg => (one::<Neg>(), CHEAP),
        U::Abs => (one::<Abs>(), CHEAP),
        U::Sign => (one::<Sign>(), CHEAP),
        U::Square => (one::<Square>(), CHEAP),
        U::Sqrt => (one::<Sqrt>(), DIVIDE),
        U::Rsqrt => (one::<Rsqrt>(), 2.0 * DIVIDE),
        U::Recip => (one::<Recip>(), DIVIDE),
        U::Exp => (one::<Exp>(), ELEMENTARY),
        U::Expm1 => (one::<Expm1>(), ELEMENTARY),
        U::Log => (one::<Log>(), ELEMENTARY),
        U::Log1p => (one::<Log1p>(), ELEMENTARY),
        U::Sin => (one::<Sin>(), ELEMENTARY),
        U::Cos => (one::<Cos>(), ELEMENTARY),
        U::Tanh => (one::<Tanh>(), ELEMENTARY),
        U::Sigmoid => (one::<Sigmoid>(), ELEMENTARY),
        U::Erf => (one::<Erf>(), SCALAR),
        U::Relu => (one::<Relu>(), CHEAP),
        U::Gelu => (one::<Gelu>(), SCALAR),
        U::GeluTanh => (one::<GeluTanh>(), ELEMENTARY),
        U::Floor => (one::<Floor>(), CHEAP),
        U::Ceil => (one::<Ceil>(), CHEAP),
        U::Round => (one::<Round>(), CHEAP),
        U::Trunc => (one::<Trunc>(), CHEAP),
        U::Tan => (one::<Tan>(), SCALAR),
        U::Asin => (one::<Asin>(), SCALAR),
        U::Acos => (one::<Acos>(), SCALAR),
        U::Atan => (one::<Atan>(), SCALAR),
        U::Sinh => (one::<Sinh>(), SCALAR),
        U::Cosh => (one::<Cosh>(), SCALAR),
        U::Asinh => (one::<Asinh>(), SCALAR),
        U::Acosh => (one::<Acosh>(), SCALAR),
        U::Atanh => (one::<Atanh>(), SCALAR),
        U::Exp2 => (one::<Exp2>(), SCALAR),
        U::Log2 => (one::<Log2>(), SCALAR),
        U::Log10 => (one::<Log10>(), SCALAR),
        U::Erfc => (one::<Erfc>(), SCALAR),
        U::Erfcx => (one::<Erfcx>(), SCALAR),
        U::Erfinv => (one::<Erfinv>(), SCALAR),
        U::Lgamma => (one::<Lgamma>(), SCALAR),
        U::Digamma => (one::<Digamma>(), SCALAR),
        U::I0 => (one::<I0>(), SCALAR),
        U::I1 => (one::<I1>(), SCALAR),
        U::IsFinite => return truth(one::<IsFinite>()),
        U::IsNan => return truth(one::<IsNan>()),
        U::SignBit => return truth(one::<SignBit>()),
        _ => return None,
    };
    Some(Choice { kernels, out: Ty::F64, cost: 2.0 * cost })
}

/// A function that is computed one element at a time, in ns.
const SCALAR: f32 = 8.0;

fn unary_whole<T: Whole>(op: Unary, ty: Ty) -> Option<Choice<&'static Levels>> {
    let kernels = match op {
        Unary::Neg => one::<NegW<T>>(),
        Unary::Abs => one::<AbsW<T>>(),
        Unary::Sign => one::<SignW<T>>(),
        Unary::Square => one::<SquareW<T>>(),
        Unary::Relu => one::<ReluW<T>>(),
        Unary::Not => one::<NotW<T>>(),
        Unary::SignBit => {
            return Some(Choice { kernels: one::<SignBitW<T>>(), out: Ty::Bool, cost: CHEAP });
        }
        _ => return None,
    };
    Some(Choice { kernels, out: ty, cost: CHEAP })
}

/// The kernels of an operation of two operands, in the forms of [`two`].
pub(super) fn binary(op: Binary, ty: Ty) -> Option<Choice<[&'static Levels; 3]>> {
    match ty {
        Ty::F64 => compared::<f64>(op).or_else(|| binary_real(op)),
        Ty::I32 => compared::<i32>(op).or_else(|| binary_whole::<i32>(op, ty)),
        Ty::U8 => compared::<u8>(op).or_else(|| binary_whole::<u8>(op, ty)),
        _ => None,
    }
}

fn compared<T: Lane + PartialOrd>(op: Binary) -> Option<Choice<[&'static Levels; 3]>> {
    let kernels = match op {
        Binary::Eq => two::<Eq<T>>(),
        Binary::Ne => two::<Ne<T>>(),
        Binary::Lt => two::<Lt<T>>(),
        Binary::Le => two::<Le<T>>(),
        Binary::Gt => two::<Gt<T>>(),
        Binary::Ge => two::<Ge<T>>(),
        _ => return None,
    };
    Some(Choice { kernels, out: Ty::Bool, cost: CHEAP })
}

fn binary_real(op: Binary) -> Option<Choice<[&'static Levels; 3]>> {
    let (kernels, cost) = match op {
        Binary::Add => (two::<Add>(), CHEAP),
        Binary::Sub => (two::<Sub>(), CHEAP),
        Binary::Mul => (two::<Mul>(), CHEAP),
        Binary::Div => (two::<Div>(), DIVIDE),
        Binary::Pow => (two::<Pow>(), 2.0 * SCALAR),
        Binary::Max => (two::<Max>(), CHEAP),
        Binary::Min => (two::<Min>(), CHEAP),
        Binary::Remainder => (two::<Rem>(), SCALAR),
        Binary::BceLogits => (two::<BceLogits>(), 2.0 * ELEMENTARY),
        Binary::Fmod => (two::<Fmod>(), SCALAR),
        Binary::FloorDivide => (two::<FloorDivide>(), SCALAR),
        Binary::Atan2 => (two::<Atan2>(), SCALAR),
        Binary::Hypot => (two::<Hypot>(), SCALAR),
        Binary::LogAddExp => (two::<LogAddExp>(), SCALAR),
        Binary::Polygamma => (two::<Polygamma>(), 4.0 * SCALAR),
        _ => return None,
    };
    Some(Choice { kernels, out: Ty::F64, cost: 2.0 * cost })
}

fn binary_whole<T: Whole>(op: Binary, ty: Ty) -> Option<Choice<[&'static Levels; 3]>> {
    let (kernels, cost) = match op {
        Binary::Add => (two::<AddW<T>>(), CHEAP),
        Binary::Sub => (two::<SubW<T>>(), CHEAP),
        Binary::Mul => (two::<MulW<T>>(), CHEAP),
        Binary::Div => (two::<DivW<T>>(), 20.0 * DIVIDE),
        Binary::Remainder => (two::<RemW<T>>(), 20.0 * DIVIDE),
        Binary::Max => (two::<MaxW<T>>(), CHEAP),
        Binary::Min => (two::<MinW<T>>(), CHEAP),
        Binary::Fmod => (two::<FmodW<T>>(), 20.0 * DIVIDE),
        Binary::FloorDivide => (two::<FloorDivideW<T>>(), 20.0 * DIVIDE),
        Binary::Pow => (two::<PowW<T>>(), SCALAR),
        Binary::ShiftLeft => (two::<ShiftLeftW<T>>(), DIVIDE),
        Binary::ShiftRight => (two::<ShiftRightW<T>>(), DIVIDE),
        Binary::And => (two::<AndW<T>>(), CHEAP),
        Binary::Or => (two::<OrW<T>>(), CHEAP),
        Binary::Xor => (two::<XorW<T>>(), CHEAP),
        _ => return None,
    };
    Some(Choice { kernels, out: ty, cost })
}

/// The kernels of an operation of three operands, in the forms of [`three`].
pub(super) fn ternary(op: Ternary, ty: Ty) -> Option<[&'static Levels; 4]> {
    Some(match (op, ty) {
        // A choice does not look at what it chooses.
        (Ternary::Where, Ty::F64) => three::<Where<i64>>(),
        (Ternary::Where, Ty::I32) => three::<Where<f32>>(),
        (Ternary::Where, Ty::U8) => three::<Where<u8>>(),
        (Ternary::Where, Ty::BF16 | Ty::F16) => three::<Where<u16>>(),
        (Ternary::Clamp, Ty::F64) => three::<Clamp<Max, Min>>(),
        (Ternary::Clamp, Ty::I32) => three::<Clamp<MaxW<i32>, MinW<i32>>>(),
        (Ternary::Clamp, Ty::U8) => three::<Clamp<MaxW<u8>, MinW<u8>>>(),
        _ => return None,
    })
}
