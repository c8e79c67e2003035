//! Element-wise operations: methods, names, gradient rules.

use super::{Binary, Op, Ternary, Unary};
use crate::graph::dtype::DType;
use crate::plan::ir::{Ir, Val};
use crate::tensor::{Operand, Tensor, binary, ternary};

macro_rules! unary_methods {
    ($($(#[$doc:meta])* $name:ident => $op:ident;)*) => {
        impl Tensor {
            $($(#[$doc])*
            #[track_caller]
            #[must_use]
            pub fn $name(&self) -> Tensor {
                self.apply(Op::Unary(Unary::$op), &[], None)
            })*
        }

        pub(crate) fn unary_name(op: Unary) -> &'static str {
            match op {
                Unary::Neg => "neg",
                Unary::Not => "not",
                Unary::Gelu => "gelu",
                Unary::GeluTanh => "gelu_tanh",
                Unary::IsFinite => "is_finite",
                Unary::IsNan => "is_nan",
                $(Unary::$op => stringify!($name),)*
            }
        }
    };
}

unary_methods! {
    /// Absolute value. The gradient at 0 is 0.
    abs => Abs;
    /// -1, 0 or 1; NaN stays NaN. Its gradient is zero.
    sign => Sign;
    /// `x * x`.
    square => Square;
    /// Square root; NaN below 0.
    sqrt => Sqrt;
    /// `1 / sqrt(x)`.
    rsqrt => Rsqrt;
    /// `1 / x`.
    recip => Recip;
    /// `e^x`.
    exp => Exp;
    /// `e^x - 1`, exact near 0.
    expm1 => Expm1;
    /// Natural logarithm; -inf at 0, NaN below.
    log => Log;
    /// `log(1 + x)`, exact near 0.
    log1p => Log1p;
    /// Sine (radians).
    sin => Sin;
    /// Cosine (radians).
    cos => Cos;
    /// Hyperbolic tangent.
    tanh => Tanh;
    /// Logistic function, `1 / (1 + e^-x)`.
    sigmoid => Sigmoid;
    /// Error function.
    erf => Erf;
    /// `1 - erf(x)`, exact where that is small.
    erfc => Erfc;
    /// `e^(x^2) erfc(x)`, which stays in range for large x.
    erfcx => Erfcx;
    /// The inverse of [`Tensor::erf`]; infinite at -1 and 1, NaN beyond.
    erfinv => Erfinv;
    /// `2^x`.
    exp2 => Exp2;
    /// Logarithm to base 2, exact for powers of 2; -inf at 0, NaN below.
    log2 => Log2;
    /// Logarithm to base 10; -inf at 0, NaN below.
    log10 => Log10;
    /// Tangent (radians).
    tan => Tan;
    /// Inverse sine, in `-pi/2..=pi/2`; NaN outside -1 to 1.
    asin => Asin;
    /// Inverse cosine, in `0..=pi`; NaN outside -1 to 1.
    acos => Acos;
    /// Inverse tangent, in `-pi/2..=pi/2`.
    atan => Atan;
    /// Hyperbolic sine.
    sinh => Sinh;
    /// Hyperbolic cosine.
    cosh => Cosh;
    /// Inverse hyperbolic sine.
    asinh => Asinh;
    /// Inverse hyperbolic cosine; NaN below 1.
    acosh => Acosh;
    /// Inverse hyperbolic tangent; infinite at -1 and 1, NaN beyond.
    atanh => Atanh;
    /// Logarithm of the absolute value of the gamma function.
    lgamma => Lgamma;
    /// The derivative of [`Tensor::lgamma`]; NaN at negative integers.
    digamma => Digamma;
    /// Modified Bessel function of the first kind, order 0.
    i0 => I0;
    /// Modified Bessel function of the first kind, order 1.
    i1 => I1;
    /// Whether the sign is minus, as bool; true for -0.0, false for NaN (whose sign means nothing; PyTorch shows it).
    signbit => SignBit;
    /// `max(x, 0)`; NaN stays NaN. The gradient at 0 is 0.
    relu => Relu;
    /// Largest integer not above x. Its gradient is zero.
    floor => Floor;
    /// Smallest integer not below x. Its gradient is zero.
    ceil => Ceil;
    /// Nearest integer, halves to even. Its gradient is zero.
    round => Round;
    /// Towards zero. Its gradient is zero.
    trunc => Trunc;
}

macro_rules! binary_methods {
    ($($(#[$doc:meta])* $name:ident => $op:ident;)*) => {
        impl Tensor {
            $($(#[$doc])*
            #[track_caller]
            #[must_use]
            pub fn $name(&self, other: impl Operand) -> Tensor {
                binary(Binary::$op, self.arg(), other.arg())
            })*
        }

        pub(crate) fn binary_name(op: Binary) -> &'static str {
            match op {
                Binary::Add => "add",
                Binary::Sub => "sub",
                Binary::Mul => "mul",
                Binary::Div => "div",
                Binary::Remainder => "remainder",
                Binary::And => "and",
                Binary::Or => "or",
                Binary::Xor => "xor",
                Binary::BceLogits => "binary_cross_entropy_with_logits",
                Binary::Polygamma => "polygamma",
                $(Binary::$op => stringify!($name),)*
            }
        }
    };
}

binary_methods! {
    /// `x^y` element by element; NaN for a negative base with a fractional exponent. Integers wrap,
    /// and give 0 for a negative exponent, unless the base is 1 or -1.
    pow => Pow;
    /// The larger of two; NaN if either is NaN. Equal elements share the gradient.
    maximum => Max;
    /// The smaller of two; NaN if either is NaN. Equal elements share the gradient.
    minimum => Min;
    /// The angle of the point (other, self) from the axis of `other`, in `-pi..=pi`.
    atan2 => Atan2;
    /// `sqrt(x^2 + y^2)` without overflow. The gradient at (0, 0) is NaN.
    hypot => Hypot;
    /// The remainder with the sign of the dividend, as C's `fmod` (`%` has that of the divisor).
    /// An integer divisor of 0 is an error.
    fmod => Fmod;
    /// The quotient rounded down, of floats and of integers. It is made from the exact remainder,
    /// so it agrees with `%`. Its gradient is zero; an integer divisor of 0 is an error.
    floor_divide => FloorDivide;
    /// `ln(e^x + e^y)` without overflow.
    logaddexp => LogAddExp;
    /// `x * 2^y` of integers by moving bits; 0 where y is negative or at least 64.
    bitwise_left_shift => ShiftLeft;
    /// `x / 2^y` of integers, rounded down; only the sign is left where y is negative or at least
    /// 64.
    bitwise_right_shift => ShiftRight;
    /// Where equal, as bool.
    eq => Eq;
    /// Where not equal, as bool (true for NaN).
    ne => Ne;
    /// Where smaller, as bool.
    lt => Lt;
    /// Where smaller or equal, as bool.
    le => Le;
    /// Where larger, as bool.
    gt => Gt;
    /// Where larger or equal, as bool.
    ge => Ge;
}

impl Tensor {
    /// Gaussian error linear unit, `x * Phi(x)`, with the exact normal distribution (erf).
    ///
    /// Source: Hendrycks and Gimpel, 2016.
    #[track_caller]
    #[must_use]
    pub fn gelu(&self) -> Tensor {
        self.apply(Op::Unary(Unary::Gelu), &[], None)
    }

    /// GELU by the tanh approximation, `0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))`.
    #[track_caller]
    #[must_use]
    pub fn gelu_tanh(&self) -> Tensor {
        self.apply(Op::Unary(Unary::GeluTanh), &[], None)
    }

    /// Whether each element is neither infinite nor NaN, as bool; integers always are.
    #[track_caller]
    #[must_use]
    pub fn is_finite(&self) -> Tensor {
        self.as_real().apply(Op::Unary(Unary::IsFinite), &[], None)
    }

    /// Whether each element is NaN, as bool; integers never are.
    #[track_caller]
    #[must_use]
    pub fn is_nan(&self) -> Tensor {
        self.as_real().apply(Op::Unary(Unary::IsNan), &[], None)
    }

    /// This tensor, as f32 if it is not a float.
    #[track_caller]
    pub(crate) fn as_real(&self) -> Tensor {
        if self.peek().dtype.is_float() { self.clone() } else { self.cast(DType::F32) }
    }

    /// Elements limited to `[low, high]`; NaN stays NaN. The gradient passes where
    /// `low <= x <= high`.
    #[track_caller]
    #[must_use]
    pub fn clamp(&self, low: impl Operand, high: impl Operand) -> Tensor {
        ternary(Ternary::Clamp, self.arg(), low.arg(), high.arg())
    }

    /// Takes `yes` where this condition (bool) holds and `no` elsewhere; all three broadcast.
    ///
    /// The gradient flows only into the chosen element.
    #[track_caller]
    #[must_use]
    pub fn where_(&self, yes: impl Operand, no: impl Operand) -> Tensor {
        ternary(Ternary::Where, self.arg(), yes.arg(), no.arg())
    }

    /// Converts to another element type. Floats to integers truncate and saturate (NaN gives 0);
    /// anything to bool is `!= 0`.
    #[track_caller]
    #[must_use]
    pub fn cast(&self, dtype: DType) -> Tensor {
        if self.peek().dtype == dtype {
            return self.clone();
        }
        self.apply(Op::Cast(dtype), &[], None)
    }
}

/// Gradient of a unary op for its operand.
pub(crate) fn vjp_unary(ir: &mut Ir, op: Unary, x: Val, y: Val, g: Val) -> Option<Val> {
    let u = |ir: &mut Ir, op, v| ir.unary(op, v);
    Some(match op {
        Unary::Neg => u(ir, Unary::Neg, g),
        Unary::Abs => {
            let s = u(ir, Unary::Sign, x);
            ir.mul(g, s)
        }
        Unary::Square => {
            let two = ir.scale(x, 2.0);
            ir.mul(g, two)
        }
        Unary::Sqrt => {
            let d = ir.scale(y, 2.0);
            ir.div(g, d)
        }
        Unary::Rsqrt => {
            // d x^(-1/2) = -1/2 x^(-3/2) = -1/2 y^3
            let y2 = u(ir, Unary::Square, y);
            let y3 = ir.mul(y2, y);
            let h = ir.scale(y3, -0.5);
            ir.mul(g, h)
        }
        Unary::Recip => {
            let y2 = u(ir, Unary::Square, y);
            let p = ir.mul(g, y2);
            u(ir, Unary::Neg, p)
        }
        Unary::Exp => ir.mul(g, y),
        Unary::Expm1 => {
            let e = ir.offset(y, 1.0);
            ir.mul(g, e)
        }
        Unary::Log => ir.div(g, x),
        Unary::Log1p => {
            let d = ir.offset(x, 1.0);
            ir.div(g, d)
        }
        Unary::Sin => {
            let c = u(ir, Unary::Cos, x);
            ir.mul(g, c)
        }
        Unary::Cos => {
            let s = u(ir, Unary::Sin, x);
            let p = ir.mul(g, s);
            u(ir, Unary::Neg, p)
        }
        Unary::Tanh => {
            let y2 = u(ir, Unary::Square, y);
            let d = ir.constant(1.0, y2);
            let d = ir.sub(d, y2);
            ir.mul(g, d)
        }
        Unary::Sigmoid => {
            let one = ir.constant(1.0, y);
            let n = ir.sub(one, y);
            let d = ir.mul(y, n);
            ir.mul(g, d)
        }
        Unary::Erf => {
            let d = gauss(ir, x, std::f64::consts::FRAC_2_SQRT_PI, -1.0);
            ir.mul(g, d)
        }
        Unary::Relu => {
            let zero = ir.constant(0.0, y);
            let on = ir.binary(Binary::Gt, y, zero);
            let none = ir.constant(0.0, g);
            ir.ternary(Ternary::Where, on, g, none)
        }
        Unary::Gelu => {
            // Phi(x) + x phi(x)
            let scaled = ir.scale(x, std::f64::consts::FRAC_1_SQRT_2);
            let e = u(ir, Unary::Erf, scaled);
            let e = ir.offset(e, 1.0);
            let cdf = ir.scale(e, 0.5);
            let pdf = gauss(
                ir,
                x,
                0.5 * std::f64::consts::FRAC_2_SQRT_PI * std::f64::consts::FRAC_1_SQRT_2,
                -0.5,
            );
            let xp = ir.mul(x, pdf);
            let d = ir.add(cdf, xp);
            ir.mul(g, d)
        }
        Unary::GeluTanh => {
            // With u = c (x + a x^3) and t = tanh(u): 0.5 (1 + t) + 0.5 x (1 - t^2) c (1 + 3 a x^2)
            let c = (2.0 / std::f64::consts::PI).sqrt();
            let a = 0.044715;
            let x2 = u(ir, Unary::Square, x);
            let inner = ir.scale(x2, a);
            let inner = ir.offset(inner, 1.0);
            let inner = ir.mul(inner, x);
            let inner = ir.scale(inner, c);
            let t = u(ir, Unary::Tanh, inner);
            let half = ir.offset(t, 1.0);
            let half = ir.scale(half, 0.5);
            let t2 = u(ir, Unary::Square, t);
            let one = ir.constant(1.0, t2);
            let dt = ir.sub(one, t2);
            let du = ir.scale(x2, 3.0 * a * c);
            let du = ir.offset(du, c);
            let right = ir.mul(dt, du);
            let right = ir.mul(right, x);
            let right = ir.scale(right, 0.5);
            let d = ir.add(half, right);
            ir.mul(g, d)
        }
        Unary::Tan
        | Unary::Asin
        | Unary::Acos
        | Unary::Atan
        | Unary::Sinh
        | Unary::Cosh
        | Unary::Asinh
        | Unary::Acosh
        | Unary::Atanh
        | Unary::Exp2
        | Unary::Log2
        | Unary::Log10
        | Unary::Erfc
        | Unary::Erfcx
        | Unary::Erfinv
        | Unary::Lgamma
        | Unary::Digamma
        | Unary::I0
        | Unary::I1 => {
            let d = super::special::derivative(ir, op, x, y)?;
            ir.mul(g, d)
        }
        Unary::Sign
        | Unary::SignBit
        | Unary::Floor
        | Unary::Ceil
        | Unary::Round
        | Unary::Trunc
        | Unary::Not
        | Unary::IsFinite
        | Unary::IsNan => return None,
    })
}

/// `factor * exp(rate * x^2)`.
fn gauss(ir: &mut Ir, x: Val, factor: f64, rate: f64) -> Val {
    let x2 = ir.unary(Unary::Square, x);
    let e = ir.scale(x2, rate);
    let e = ir.unary(Unary::Exp, e);
    ir.scale(e, factor)
}

/// Gradient of a binary op for operand `i`.
pub(crate) fn vjp_binary(
    ir: &mut Ir,
    op: Binary,
    [x, y]: [Val; 2],
    z: Val,
    g: Val,
    i: usize,
) -> Option<Val> {
    Some(match (op, i) {
        (Binary::Add, _) | (Binary::Sub | Binary::Remainder | Binary::Fmod, 0) => g,
        (Binary::Sub, _) => ir.unary(Unary::Neg, g),
        (Binary::Mul, 0) => ir.mul(g, y),
        (Binary::Mul, _) => ir.mul(g, x),
        (Binary::Div, 0) => ir.div(g, y),
        (Binary::Div, _) => {
            let q = ir.div(z, y);
            let p = ir.mul(g, q);
            ir.unary(Unary::Neg, p)
        }
        (Binary::Remainder | Binary::Fmod, _) => {
            let q = ir.div(x, y);
            let whole = if op == Binary::Fmod { Unary::Trunc } else { Unary::Floor };
            let f = ir.unary(whole, q);
            let p = ir.mul(g, f);
            ir.unary(Unary::Neg, p)
        }
        (Binary::Pow, 0) => {
            // y x^(y-1), and 0 where y = 0 (whatever x is)
            let less = ir.offset(y, -1.0);
            let power = ir.binary(Binary::Pow, x, less);
            let d = ir.mul(y, power);
            let d = ir.mul(g, d);
            let zero = ir.constant(0.0, y);
            let flat = ir.binary(Binary::Eq, y, zero);
            let none = ir.constant(0.0, d);
            ir.ternary(Ternary::Where, flat, none, d)
        }
        (Binary::Pow, _) => {
            // x^y log x, and 0 where x = 0 and y >= 0 (the limit)
            let l = ir.unary(Unary::Log, x);
            let d = ir.mul(z, l);
            let d = ir.mul(g, d);
            let zero = ir.constant(0.0, x);
            let base = ir.binary(Binary::Eq, x, zero);
            let up = ir.binary(Binary::Ge, y, zero);
            let flat = ir.binary(Binary::And, base, up);
            let none = ir.constant(0.0, d);
            ir.ternary(Ternary::Where, flat, none, d)
        }
        (Binary::Max | Binary::Min, i) => {
            let wins = match (op, i) {
                (Binary::Max, 0) | (Binary::Min, 1) => Binary::Gt,
                _ => Binary::Lt,
            };
            let mine = ir.binary(wins, x, y);
            let tie = ir.binary(Binary::Eq, x, y);
            let half = ir.scale(g, 0.5);
            let none = ir.constant(0.0, g);
            let rest = ir.ternary(Ternary::Where, tie, half, none);
            ir.ternary(Ternary::Where, mine, g, rest)
        }
        (Binary::Hypot, i) => {
            let d = ir.div(if i == 0 { x } else { y }, z);
            ir.mul(g, d)
        }
        (Binary::Atan2, i) => {
            // x / (x^2 + y^2), without squares that overflow.
            let h = ir.binary(Binary::Hypot, x, y);
            let d = ir.div(if i == 0 { y } else { x }, h);
            let d = ir.div(d, h);
            let p = ir.mul(g, d);
            if i == 0 { p } else { ir.unary(Unary::Neg, p) }
        }
        (Binary::LogAddExp, i) => {
            let apart = if i == 0 { ir.sub(x, y) } else { ir.sub(y, x) };
            let d = ir.unary(Unary::Sigmoid, apart);
            ir.mul(g, d)
        }
        (Binary::Polygamma, 1) => {
            let order = ir.offset(x, 1.0);
            let d = ir.binary(Binary::Polygamma, order, y);
            ir.mul(g, d)
        }
        (Binary::BceLogits, 0) => {
            let p = ir.unary(Unary::Sigmoid, x);
            let d = ir.sub(p, y);
            ir.mul(g, d)
        }
        (Binary::BceLogits, _) => {
            let p = ir.mul(g, x);
            ir.unary(Unary::Neg, p)
        }
        _ => return None,
    })
}

/// Gradient of a ternary op for operand `i`.
pub(crate) fn vjp_ternary(
    ir: &mut Ir,
    op: Ternary,
    [a, b, c]: [Val; 3],
    g: Val,
    i: usize,
) -> Option<Val> {
    let none = ir.constant(0.0, g);
    let mask = match (op, i) {
        (Ternary::Where, 1) => return Some(ir.ternary(Ternary::Where, a, g, none)),
        (Ternary::Where, 2) => return Some(ir.ternary(Ternary::Where, a, none, g)),
        (Ternary::Where, _) => return None,
        (Ternary::Clamp, 0) => {
            let above = ir.binary(Binary::Ge, a, b);
            let below = ir.binary(Binary::Le, a, c);
            ir.binary(Binary::And, above, below)
        }
        (Ternary::Clamp, 1) => {
            let under = ir.binary(Binary::Lt, a, b);
            let ordered = ir.binary(Binary::Le, b, c);
            ir.binary(Binary::And, under, ordered)
        }
        (Ternary::Clamp, _) => {
            let over = ir.binary(Binary::Gt, a, c);
            let crossed = ir.binary(Binary::Gt, b, c);
            ir.binary(Binary::Or, over, crossed)
        }
    };
    Some(ir.ternary(Ternary::Where, mask, g, none))
}
