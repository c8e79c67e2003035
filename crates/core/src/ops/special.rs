//! Special functions: derivatives of the primitives, and functions composed of them.

use std::f64::consts::{FRAC_1_SQRT_2, FRAC_2_SQRT_PI, LN_2, LN_10, PI};

use super::{Binary, Unary};
use crate::plan::ir::{Ir, Val};
use crate::tensor::operand::{Arg, pair};
use crate::tensor::{Operand, Tensor, binary};

impl Tensor {
    /// Derivative number `order` of [`Tensor::digamma`]: 1 is trigamma.
    ///
    /// ```
    /// use gradus_core::Tensor;
    /// let y = Tensor::from([1.0]).polygamma(1); // pi^2 / 6
    /// assert!((y.item()? - 1.644_934).abs() < 1e-6);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    #[track_caller]
    #[must_use]
    pub fn polygamma(&self, order: u32) -> Tensor {
        binary(Binary::Polygamma, Arg::Real(f64::from(order)), self.arg())
    }

    /// `log2(2^x + 2^y)` without overflow.
    #[track_caller]
    #[must_use]
    pub fn logaddexp2(&self, other: impl Operand) -> Tensor {
        let (x, y) = pair(self, &other);
        (x * LN_2).logaddexp(y * LN_2) * (1.0 / LN_2)
    }

    /// `x * log(y)`, and 0 where x is 0 (unless y is NaN).
    #[track_caller]
    #[must_use]
    pub fn xlogy(&self, other: impl Operand) -> Tensor {
        let (x, y) = pair(&self.as_real(), &other);
        // What would make 0 * infinity is replaced before the logarithm, so that gradients are
        // finite too.
        let flat = x.eq(0.0) & (y.le(0.0) | y.eq(f64::INFINITY));
        x * flat.where_(1.0, &y).log()
    }

    /// `x * log(1 + y)`, exact for small y, and 0 where x is 0 (unless y is NaN).
    #[track_caller]
    #[must_use]
    pub fn xlog1py(&self, other: impl Operand) -> Tensor {
        let (x, y) = pair(&self.as_real(), &other);
        let flat = x.eq(0.0) & (y.le(-1.0) | y.eq(f64::INFINITY));
        x * flat.where_(0.0, &y).log1p()
    }

    /// Entropy of each element, `-x log(x)`; 0 at 0 and -inf below.
    #[track_caller]
    #[must_use]
    pub fn entr(&self) -> Tensor {
        let entropy = -self.xlogy(self);
        self.lt(0.0).where_(f64::NEG_INFINITY, entropy)
    }

    /// The distribution function of the standard normal distribution, with its digits also far in
    /// the left tail.
    #[track_caller]
    #[must_use]
    pub fn ndtr(&self) -> Tensor {
        (self * -FRAC_1_SQRT_2).erfc() * 0.5
    }

    /// The logarithm of [`Tensor::ndtr`], without underflow.
    #[track_caller]
    #[must_use]
    pub fn log_ndtr(&self) -> Tensor {
        // On the left erfc would vanish, so its exponential part is taken out; each side is kept
        // away from where the other is used.
        let left = self.lt(-1.0);
        let t = left.where_(self, -1.0) * -FRAC_1_SQRT_2;
        let tail = (t.erfcx() * 0.5).log() - t.square();
        let t = left.where_(-1.0, self) * FRAC_1_SQRT_2;
        let body = (t.erfc() * -0.5).log1p();
        left.where_(tail, body)
    }

    /// `log(x / (1 - x))`, the inverse of [`Tensor::sigmoid`]; NaN outside 0 to 1.
    #[track_caller]
    #[must_use]
    pub fn logit(&self) -> Tensor {
        self.log() - (-self).log1p()
    }

    /// [`Tensor::logit`] of x limited to `[eps, 1 - eps]`.
    #[track_caller]
    #[must_use]
    pub fn logit_eps(&self, eps: f64) -> Tensor {
        self.clamp(eps, 1.0 - eps).logit()
    }

    /// `sin(pi x) / (pi x)`, and 1 at 0.
    #[track_caller]
    #[must_use]
    pub fn sinc(&self) -> Tensor {
        // sin(pi x) is (-1)^n sin(pi r) for x = n + r: it is 0 at every other integer.
        let zero = self.eq(0.0);
        let x = zero.where_(1.0, self);
        let n = x.round();
        let half = &n * 0.5;
        let sign = 1.0 - (&half - half.floor()) * 4.0;
        let sine = ((&x - n) * PI).sin() * sign;
        zero.where_(1.0, sine / (x * PI))
    }
}

/// The derivative of a function of this file's primitives, from its operand x and result y.
pub(crate) fn derivative(ir: &mut Ir, op: Unary, x: Val, y: Val) -> Option<Val> {
    /// `(1 - x)(1 + x)`, which keeps digits near 1.
    fn one_minus_square(ir: &mut Ir, x: Val) -> Val {
        let n = ir.unary(Unary::Neg, x);
        let (a, b) = (ir.offset(n, 1.0), ir.offset(x, 1.0));
        ir.mul(a, b)
    }
    /// `factor * e^(rate x^2)`.
    fn gauss(ir: &mut Ir, x: Val, factor: f64, rate: f64) -> Val {
        let s = ir.unary(Unary::Square, x);
        let e = ir.scale(s, rate);
        let e = ir.unary(Unary::Exp, e);
        ir.scale(e, factor)
    }
    Some(match op {
        Unary::Tan => {
            let s = ir.unary(Unary::Square, y);
            ir.offset(s, 1.0)
        }
        Unary::Asin => {
            let s = one_minus_square(ir, x);
            ir.unary(Unary::Rsqrt, s)
        }
        Unary::Acos => {
            let s = one_minus_square(ir, x);
            let r = ir.unary(Unary::Rsqrt, s);
            ir.unary(Unary::Neg, r)
        }
        Unary::Atan => {
            let s = ir.unary(Unary::Square, x);
            let s = ir.offset(s, 1.0);
            ir.unary(Unary::Recip, s)
        }
        Unary::Sinh => ir.unary(Unary::Cosh, x),
        Unary::Cosh => ir.unary(Unary::Sinh, x),
        Unary::Asinh => {
            let s = ir.unary(Unary::Square, x);
            let s = ir.offset(s, 1.0);
            ir.unary(Unary::Rsqrt, s)
        }
        Unary::Acosh => {
            let (a, b) = (ir.offset(x, -1.0), ir.offset(x, 1.0));
            let s = ir.mul(a, b);
            ir.unary(Unary::Rsqrt, s)
        }
        Unary::Atanh => {
            let s = one_minus_square(ir, x);
            ir.unary(Unary::Recip, s)
        }
        Unary::Exp2 => ir.scale(y, LN_2),
        Unary::Log2 | Unary::Log10 => {
            let r = ir.unary(Unary::Recip, x);
            ir.scale(r, 1.0 / if op == Unary::Log2 { LN_2 } else { LN_10 })
        }
        Unary::Erfc => gauss(ir, x, -FRAC_2_SQRT_PI, -1.0),
        Unary::Erfcx => {
            let p = ir.mul(x, y);
            let p = ir.scale(p, 2.0);
            ir.offset(p, -FRAC_2_SQRT_PI)
        }
        Unary::Erfinv => gauss(ir, y, 1.0 / FRAC_2_SQRT_PI, 1.0),
        Unary::Lgamma => ir.unary(Unary::Digamma, x),
        Unary::Digamma => {
            let order = ir.constant(1.0, x);
            ir.binary(Binary::Polygamma, order, x)
        }
        Unary::I0 => ir.unary(Unary::I1, x),
        Unary::I1 => {
            // i0(x) - i1(x) / x, whose limit at 0 is 1/2.
            let zero = ir.constant(0.0, x);
            let one = ir.constant(1.0, x);
            let half = ir.constant(0.5, x);
            let at_zero = ir.binary(Binary::Eq, x, zero);
            let safe = ir.ternary(super::Ternary::Where, at_zero, one, x);
            let q = ir.div(y, safe);
            let i0 = ir.unary(Unary::I0, x);
            let d = ir.sub(i0, q);
            ir.ternary(super::Ternary::Where, at_zero, half, d)
        }
        _ => return None,
    })
}
