//! Activation functions, composed of the primitives; each is one fused pass.

use crate::error::{Code, Error};
use crate::tensor::{Operand, Tensor};

/// The scale and slope of SELU, for which activations keep mean 0 and variance 1.
const SELU: (f64, f64) = (1.050_700_987_355_480_5, 1.673_263_242_354_377_2);

impl Tensor {
    /// `max(x, 0) + min(alpha (e^x - 1), 0)` for a positive alpha.
    ///
    /// Source: Clevert and others, 2015.
    #[track_caller]
    #[must_use]
    pub fn elu(&self, alpha: f64) -> Tensor {
        self.gt(0.0).where_(self, self.clamp_max(0.0).expm1() * alpha)
    }

    /// ELU with a derivative of 1 at 0: `alpha (e^(x / alpha) - 1)` for negative x.
    ///
    /// Source: Barron, 2017.
    #[track_caller]
    #[must_use]
    pub fn celu(&self, alpha: f64) -> Tensor {
        self.gt(0.0).where_(self, (self.clamp_max(0.0) / alpha).expm1() * alpha)
    }

    /// ELU with the scale and slope that keep mean 0 and variance 1 from layer to layer.
    ///
    /// Source: Klambauer and others, 2017.
    #[track_caller]
    #[must_use]
    pub fn selu(&self) -> Tensor {
        self.elu(SELU.1) * SELU.0
    }

    /// `log(1 + e^(beta x)) / beta`, a smooth ReLU, without overflow.
    ///
    /// PyTorch switches to x itself beyond a threshold; see [`Tensor::softplus_threshold`].
    #[track_caller]
    #[must_use]
    pub fn softplus(&self, beta: f64) -> Tensor {
        (self * beta).logaddexp(0.0) / beta
    }

    /// [`Tensor::softplus`] where `beta x` is at most the threshold, and x itself beyond.
    #[track_caller]
    #[must_use]
    pub fn softplus_threshold(&self, beta: f64, threshold: f64) -> Tensor {
        (self * beta).gt(threshold).where_(self, self.softplus(beta))
    }

    /// The logarithm of [`Tensor::sigmoid`], without underflow.
    #[track_caller]
    #[must_use]
    pub fn log_sigmoid(&self) -> Tensor {
        -((-self).logaddexp(0.0))
    }

    /// `x / (1 + |x|)`.
    #[track_caller]
    #[must_use]
    pub fn softsign(&self) -> Tensor {
        self / (self.abs() + 1.0)
    }

    /// `x * sigmoid(x)`, also called swish.
    ///
    /// Source: Elfwing and others, 2017.
    #[track_caller]
    #[must_use]
    pub fn silu(&self) -> Tensor {
        self * self.sigmoid()
    }

    /// `x * tanh(softplus(x))`.
    ///
    /// Source: Misra, 2019.
    #[track_caller]
    #[must_use]
    pub fn mish(&self) -> Tensor {
        self * self.softplus(1.0).tanh()
    }

    /// x limited to `[low, high]`; unlike [`Tensor::clamp`], the gradient at the limits is 0.
    ///
    /// # Errors
    /// [`Code::Argument`] when `low` is above `high`.
    #[track_caller]
    #[must_use]
    pub fn hardtanh(&self, low: f64, high: f64) -> Tensor {
        if low > high {
            return self.refuse(
                Error::new(Code::Argument, format!("hardtanh: the limits {low} and {high} cross"))
                    .help("the first is the lower one"),
            );
        }
        self.le(low).where_(low, self.ge(high).where_(high, self))
    }

    /// `min(max(x, 0), 6)`. The gradient at the limits is 0.
    #[track_caller]
    #[must_use]
    pub fn relu6(&self) -> Tensor {
        self.hardtanh(0.0, 6.0)
    }

    /// A sigmoid of three straight lines, `relu6(x + 3) / 6`.
    #[track_caller]
    #[must_use]
    pub fn hardsigmoid(&self) -> Tensor {
        (self + 3.0).relu6() / 6.0
    }

    /// `x * hardsigmoid(x)`.
    ///
    /// Source: Howard and others, 2019.
    #[track_caller]
    #[must_use]
    pub fn hardswish(&self) -> Tensor {
        self * self.hardsigmoid()
    }

    /// x where `|x| > lambda`, else 0; NaN stays.
    #[track_caller]
    #[must_use]
    pub fn hardshrink(&self, lambda: f64) -> Tensor {
        (self.ge(-lambda) & self.le(lambda)).where_(0.0, self)
    }

    /// x moved towards 0 by lambda, and 0 where it is nearer than that.
    ///
    /// # Errors
    /// [`Code::Argument`] for a negative lambda.
    #[track_caller]
    #[must_use]
    pub fn softshrink(&self, lambda: f64) -> Tensor {
        if lambda < 0.0 {
            return self.refuse(
                Error::new(Code::Argument, format!("softshrink: lambda is {lambda}"))
                    .help("it is a distance from 0, so it must not be negative"),
            );
        }
        self - self.clamp(-lambda, lambda)
    }

    /// `x - tanh(x)`.
    #[track_caller]
    #[must_use]
    pub fn tanhshrink(&self) -> Tensor {
        self - self.tanh()
    }

    /// x where it is above the threshold, else `value`; NaN stays.
    #[track_caller]
    #[must_use]
    pub fn threshold(&self, threshold: f64, value: f64) -> Tensor {
        self.le(threshold).where_(value, self)
    }

    /// x where it is positive, `slope * x` elsewhere.
    #[track_caller]
    #[must_use]
    pub fn leaky_relu(&self, slope: f64) -> Tensor {
        self.gt(0.0).where_(self, self * slope)
    }

    /// [`Tensor::leaky_relu`] with a slope that is learned: one, or one for each channel (axis 1).
    ///
    /// # Errors
    /// [`Code::Shape`] when the slopes are not one, and not as many as channels.
    ///
    /// ```
    /// use gradus_core::Tensor;
    /// let x = Tensor::from([[-1.0, -2.0], [3.0, -4.0]]);
    /// let y = x.prelu(&Tensor::from([0.5, 0.1]));
    /// assert_eq!(y.to_vec::<f32>()?, [-0.5, -0.2, 3.0, -0.4]);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    #[track_caller]
    #[must_use]
    pub fn prelu(&self, slopes: impl Operand) -> Tensor {
        let slopes = slopes.arg().into_tensor();
        let (x, s) = (self.peek().shape, slopes.peek().shape);
        for t in [self, &slopes] {
            if crate::graph::recorder::error_of(t).is_some() {
                return t.clone();
            }
        }
        if s.numel() == 1 {
            return self.gt(0.0).where_(self, self * slopes.reshape([]));
        }
        if s.rank() != 1 || x.rank() < 2 || x.dim(1) != s.dim(0) {
            return Tensor::failed(
                Error::new(Code::Shape, format!("prelu: slopes {s} for {x}"))
                    .help("give one slope, or one for each channel (axis 1)"),
            );
        }
        let mut wide = crate::graph::shape::Shape::new(&vec![1; x.rank()]);
        wide = wide.with(1, s.dim(0));
        let slopes = slopes.apply(super::Op::Reshape, &[], Some(wide));
        self.gt(0.0).where_(self, self * slopes)
    }

    /// [`Tensor::softmax`] of `-x`: the smallest gets the most.
    #[track_caller]
    #[must_use]
    pub fn softmin(&self, axis: isize) -> Tensor {
        (-self).softmax(axis)
    }

    /// The first half along an axis times the sigmoid of the second.
    ///
    /// # Errors
    /// [`Code::Shape`] for an axis that does not exist or has an odd size.
    ///
    /// Source: Dauphin and others, 2016.
    #[track_caller]
    #[must_use]
    pub fn glu(&self, axis: isize) -> Tensor {
        let shape = self.peek().shape;
        if crate::graph::recorder::error_of(self).is_some() {
            return self.clone();
        }
        let Some(index) = crate::tensor::operand::resolve(axis, shape.rank()) else {
            return Tensor::failed(crate::tensor::operand::no_axis("glu", axis, &shape));
        };
        let size = shape.dim(index);
        if !size.is_multiple_of(2) {
            return Tensor::failed(
                Error::new(Code::Shape, format!("glu: axis {axis} of {shape} has an odd size"))
                    .help("the axis is cut into two halves"),
            );
        }
        let half = (size / 2) as isize;
        let value = self.slice(axis, 0, half, 1);
        value * self.slice(axis, half, isize::MAX, 1).sigmoid()
    }
}
