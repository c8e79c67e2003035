//! Choices between elements, comparisons within a tolerance, and small arithmetic composed of the
//! primitives.

use crate::error::{Code, Error, Result};
use crate::graph::dtype::DType;
use crate::graph::recorder;
use crate::tensor::operand::pair;
use crate::tensor::{Operand, Tensor};

impl Tensor {
    /// Whether each element is infinite, as bool; integers never are.
    #[track_caller]
    #[must_use]
    pub fn is_inf(&self) -> Tensor {
        self.as_real().abs().eq(f64::INFINITY)
    }

    /// Whether each element is +inf, as bool.
    #[track_caller]
    #[must_use]
    pub fn is_posinf(&self) -> Tensor {
        self.as_real().eq(f64::INFINITY)
    }

    /// Whether each element is -inf, as bool.
    #[track_caller]
    #[must_use]
    pub fn is_neginf(&self) -> Tensor {
        self.as_real().eq(f64::NEG_INFINITY)
    }

    /// Whether elements are equal within `atol + rtol * |other|`, as bool. Infinities are close to
    /// themselves; NaN is close to NaN only if `equal_nan`.
    ///
    /// ```
    /// use gradus_core::Tensor;
    /// let x = Tensor::from([1.0, 2.0]);
    /// let close = x.is_close(Tensor::from([1.000_001, 2.1]), 1e-5, 1e-8, false);
    /// assert_eq!(close.to_vec::<bool>()?, [true, false]);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    #[track_caller]
    #[must_use]
    pub fn is_close(&self, other: impl Operand, rtol: f64, atol: f64, equal_nan: bool) -> Tensor {
        if rtol < 0.0 || atol < 0.0 {
            return self.refuse(
                Error::new(
                    Code::Argument,
                    format!("is_close: the tolerances {rtol} and {atol} must not be negative"),
                )
                .help("rtol is relative to |other|, atol absolute"),
            );
        }
        let (x, y) = pair(self, &other);
        let same = x.eq(&y);
        let (x, y) = (x.as_real(), y.as_real());
        let apart = (&x - &y).abs();
        let near = apart.is_finite() & apart.le((y.abs() * rtol) + atol);
        let close = same | near;
        if equal_nan { close | (x.is_nan() & y.is_nan()) } else { close }
    }

    /// Fails with `error`, unless this tensor failed before.
    #[track_caller]
    pub(crate) fn refuse(&self, error: Error) -> Tensor {
        match recorder::error_of(self) {
            Some(_) => self.clone(),
            None => Tensor::failed(error),
        }
    }

    /// Whether all elements are close; see [`Tensor::is_close`]. Reads both values.
    ///
    /// # Errors
    /// When shapes do not broadcast; the errors of computing the values.
    #[track_caller]
    pub fn all_close(
        &self,
        other: impl Operand,
        rtol: f64,
        atol: f64,
        equal_nan: bool,
    ) -> Result<bool> {
        let close = self.is_close(other, rtol, atol, equal_nan);
        Ok(close.to_vec::<bool>()?.iter().all(|&c| c))
    }

    /// Whether shapes and all elements are equal. Reads both values.
    ///
    /// # Errors
    /// The errors of computing the values.
    #[track_caller]
    pub fn equal(&self, other: &Tensor) -> Result<bool> {
        if self.shape()? != other.shape()? {
            return Ok(false);
        }
        Ok(self.eq(other).to_vec::<bool>()?.iter().all(|&c| c))
    }

    /// The larger of two; where one is NaN, the other. Of equal ones the first gets the gradient.
    #[track_caller]
    #[must_use]
    pub fn fmax(&self, other: impl Operand) -> Tensor {
        let (x, y) = pair(self, &other);
        (x.ge(&y) | y.is_nan()).where_(&x, &y)
    }

    /// The smaller of two; where one is NaN, the other. Of equal ones the first gets the gradient.
    #[track_caller]
    #[must_use]
    pub fn fmin(&self, other: impl Operand) -> Tensor {
        let (x, y) = pair(self, &other);
        (x.le(&y) | y.is_nan()).where_(&x, &y)
    }

    /// The size of self with the sign of `other`. The gradient at 0 is 0.
    #[track_caller]
    #[must_use]
    pub fn copysign(&self, other: impl Operand) -> Tensor {
        let (x, y) = pair(&self.as_real(), &other);
        let size = x.abs();
        y.signbit().where_(-&size, size)
    }

    /// 0 for negative elements and NaN, 1 for positive ones, and `value` at 0.
    #[track_caller]
    #[must_use]
    pub fn heaviside(&self, value: impl Operand) -> Tensor {
        let (x, value) = pair(self, &value);
        let step = x.gt(0.0).cast(x.peek().dtype);
        x.eq(0.0).where_(value, step)
    }

    /// NaN and infinities replaced by numbers; integers stay as they are.
    ///
    /// PyTorch's defaults are 0 and the largest and smallest numbers of the type.
    #[track_caller]
    #[must_use]
    pub fn nan_to_num(&self, nan: f64, posinf: f64, neginf: f64) -> Tensor {
        if !self.peek().dtype.is_float() {
            return self.clone();
        }
        let x = self.is_nan().where_(nan, self);
        let x = x.eq(f64::INFINITY).where_(posinf, x);
        x.eq(f64::NEG_INFINITY).where_(neginf, x)
    }

    /// Elements at least `low`; NaN stays. The gradient passes where `x >= low`.
    #[track_caller]
    #[must_use]
    pub fn clamp_min(&self, low: impl Operand) -> Tensor {
        let (x, low) = pair(self, &low);
        if x.peek().dtype.is_float() { x.clamp(low, f64::INFINITY) } else { x.maximum(low) }
    }

    /// Elements at most `high`; NaN stays. The gradient passes where `x <= high`.
    #[track_caller]
    #[must_use]
    pub fn clamp_max(&self, high: impl Operand) -> Tensor {
        let (x, high) = pair(self, &high);
        if x.peek().dtype.is_float() { x.clamp(f64::NEG_INFINITY, high) } else { x.minimum(high) }
    }

    /// This tensor with `value` where the mask (bool) holds; the mask broadcasts.
    ///
    /// ```
    /// use gradus_core::Tensor;
    /// let x = Tensor::from([1.0, -2.0, 3.0]);
    /// assert_eq!(x.masked_fill(&x.lt(0.0), 0.0).to_vec::<f32>()?, [1.0, 0.0, 3.0]);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    #[track_caller]
    #[must_use]
    pub fn masked_fill(&self, mask: &Tensor, value: impl Operand) -> Tensor {
        mask.where_(value, self)
    }

    /// `self + weight * (end - self)`, exact at both ends.
    #[track_caller]
    #[must_use]
    pub fn lerp(&self, end: &Tensor, weight: impl Operand) -> Tensor {
        let (start, weight) = pair(self, &weight);
        let way = end - &start;
        let near = &start + &weight * &way;
        let far = end - &way * (1.0 - &weight);
        weight.abs().lt(0.5).where_(near, far)
    }

    /// `self + value * a * b`.
    #[track_caller]
    #[must_use]
    pub fn addcmul(&self, a: &Tensor, b: &Tensor, value: impl Operand) -> Tensor {
        self + (a * b) * value
    }

    /// `self + value * a / b`.
    #[track_caller]
    #[must_use]
    pub fn addcdiv(&self, a: &Tensor, b: &Tensor, value: impl Operand) -> Tensor {
        self + a / b * value
    }

    /// The quotient rounded towards 0; its gradient is zero. Integers stay integers, and must not
    /// be divided by 0.
    #[track_caller]
    #[must_use]
    pub fn trunc_divide(&self, other: impl Operand) -> Tensor {
        let (x, y) = pair(self, &other);
        if x.peek().dtype.is_float() { (x / y).trunc() } else { (&x - x.fmod(&y)).floor_divide(y) }
    }

    /// x without its whole part: `x - trunc(x)`, with the sign of x.
    #[track_caller]
    #[must_use]
    pub fn frac(&self) -> Tensor {
        self - self.trunc()
    }

    /// Rounded to that many decimals, halves to even; a negative number of decimals rounds to tens,
    /// hundreds and so on. The gradient is zero.
    #[track_caller]
    #[must_use]
    pub fn round_decimals(&self, decimals: i32) -> Tensor {
        let power = libm::pow(10.0, f64::from(decimals.unsigned_abs()));
        match decimals {
            0 => self.round(),
            1.. => (self * power).round() / power,
            _ => (self / power).round() * power,
        }
    }

    /// `x * 2^exponent`.
    #[track_caller]
    #[must_use]
    pub fn ldexp(&self, exponent: impl Operand) -> Tensor {
        self * exponent.arg().into_tensor().as_real().exp2()
    }

    /// Degrees to radians; integers give f32.
    #[track_caller]
    #[must_use]
    pub fn deg2rad(&self) -> Tensor {
        self.as_real() * (std::f64::consts::PI / 180.0)
    }

    /// Radians to degrees; integers give f32.
    #[track_caller]
    #[must_use]
    pub fn rad2deg(&self) -> Tensor {
        self.as_real() * (180.0 / std::f64::consts::PI)
    }

    /// Whether both differ from 0, as bool, for any types.
    #[track_caller]
    #[must_use]
    pub fn logical_and(&self, other: &Tensor) -> Tensor {
        self.cast(DType::Bool) & other.cast(DType::Bool)
    }

    /// Whether any differs from 0, as bool, for any types.
    #[track_caller]
    #[must_use]
    pub fn logical_or(&self, other: &Tensor) -> Tensor {
        self.cast(DType::Bool) | other.cast(DType::Bool)
    }

    /// Whether just one differs from 0, as bool, for any types.
    #[track_caller]
    #[must_use]
    pub fn logical_xor(&self, other: &Tensor) -> Tensor {
        self.cast(DType::Bool) ^ other.cast(DType::Bool)
    }

    /// Whether 0, as bool, for any type.
    #[track_caller]
    #[must_use]
    pub fn logical_not(&self) -> Tensor {
        !self.cast(DType::Bool)
    }

    /// The bits that both have, of integers; `and` of bools. The same as `x & y`.
    #[track_caller]
    #[must_use]
    pub fn bitwise_and(&self, other: impl Operand) -> Tensor {
        crate::tensor::binary(super::Binary::And, self.arg(), other.arg())
    }

    /// The bits that any has, of integers; `or` of bools. The same as `x | y`.
    #[track_caller]
    #[must_use]
    pub fn bitwise_or(&self, other: impl Operand) -> Tensor {
        crate::tensor::binary(super::Binary::Or, self.arg(), other.arg())
    }

    /// The bits that just one has, of integers; `xor` of bools. The same as `x ^ y`.
    #[track_caller]
    #[must_use]
    pub fn bitwise_xor(&self, other: impl Operand) -> Tensor {
        crate::tensor::binary(super::Binary::Xor, self.arg(), other.arg())
    }

    /// All bits turned, of integers; `not` of bools. The same as `!x`.
    #[track_caller]
    #[must_use]
    pub fn bitwise_not(&self) -> Tensor {
        !self
    }
}
