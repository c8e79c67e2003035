//! Activations as layers, for `seq!`; each is also a method of `Tensor`.
//!
//! Those without numbers are unit structs (`Relu`); the others are made by `new` with PyTorch's
//! arguments in PyTorch's order, or by `default` with PyTorch's defaults.

use gradus_core::{Code, Error, Tensor};

use crate::layer::Layer;
use crate::module::{Module, Visitor};

macro_rules! layer_of {
    ($name:ident) => {
        impl Module for $name {
            fn walk(&self, _: &mut dyn Visitor) {}
        }

        impl Layer for $name {
            #[track_caller]
            fn forward(&self, x: &Tensor) -> Tensor {
                $name::forward(self, x)
            }
        }
    };
}

/// Activations without numbers: doc, name, method.
macro_rules! plain {
    ($($(#[$doc:meta])* $name:ident, $op:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct $name;

        impl $name {
            /// The result, of `x`'s shape.
            #[track_caller]
            pub fn forward(&self, x: &Tensor) -> Tensor {
                x.$op()
            }
        }

        layer_of!($name);
    )*};
}

plain! {
    /// Rectified linear unit, `max(x, 0)`; NaN stays NaN.
    ///
    /// ```
    /// use gradus_core::Tensor;
    /// use gradus_nn::Relu;
    /// assert_eq!(Relu.forward(&Tensor::from([-1.0, 2.0])).to_vec::<f32>()?, [0.0, 2.0]);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    Relu, relu;

    /// Hyperbolic tangent.
    Tanh, tanh;

    /// Logistic function, `1 / (1 + e^-x)`.
    Sigmoid, sigmoid;

    /// Gaussian error linear unit, exactly: `x * Phi(x)`. Hendrycks and Gimpel, 2016.
    Gelu, gelu;

    /// Gaussian error linear unit by its `tanh` approximation, as in GPT-2.
    GeluTanh, gelu_tanh;

    /// [`Elu`] with the scale and slope that keep mean 0 and variance 1; see [`Tensor::selu`].
    Selu, selu;

    /// `min(max(x, 0), 6)`.
    Relu6, relu6;

    /// `x * sigmoid(x)`, also called swish. Elfwing and others, 2017.
    Silu, silu;

    /// `x * tanh(softplus(x))`. Misra, 2019.
    Mish, mish;

    /// `x / (1 + |x|)`.
    Softsign, softsign;

    /// The logarithm of the logistic function.
    LogSigmoid, log_sigmoid;

    /// A sigmoid of three straight lines, `relu6(x + 3) / 6`.
    Hardsigmoid, hardsigmoid;

    /// `x * hardsigmoid(x)`. Howard and others, 2019.
    Hardswish, hardswish;

    /// `x - tanh(x)`.
    Tanhshrink, tanhshrink;
}

/// Activations with numbers: doc, name, fields with their docs and defaults, and what they do.
macro_rules! numbered {
    ($($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $ty:ty = $default:expr),* }
       ($self:ident, $x:ident) => $call:expr;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq)]
        pub struct $name {
            $($(#[$field_doc])* pub $field: $ty,)*
        }

        impl $name {
            #[doc = concat!("A `", stringify!($name), "` layer; wrong numbers are an error of `forward`.")]
            pub fn new($($field: $ty),*) -> $name {
                $name { $($field),* }
            }

            /// The result for `x`.
            #[track_caller]
            pub fn forward(&$self, $x: &Tensor) -> Tensor {
                $call
            }
        }

        impl Default for $name {
            /// With PyTorch's defaults.
            fn default() -> $name {
                $name { $($field: $default),* }
            }
        }

        layer_of!($name);
    )*};
}

numbered! {
    /// x where it is positive, `negative_slope * x` elsewhere. Maas and others, 2013.
    ///
    /// ```
    /// use gradus_core::Tensor;
    /// use gradus_nn::LeakyRelu;
    /// let y = LeakyRelu::new(0.5).forward(&Tensor::from([-4.0, 2.0]));
    /// assert_eq!(y.to_vec::<f32>()?, [-2.0, 2.0]);
    /// assert_eq!(LeakyRelu::default().negative_slope, 0.01);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    LeakyRelu {
        /// The slope of negative values.
        negative_slope: f64 = 0.01
    } (self, x) => x.leaky_relu(self.negative_slope);

    /// [`LeakyRelu`] with a slope that is drawn for each negative element while training, and the
    /// middle of the limits otherwise; see [`Tensor::rrelu`].
    Rrelu {
        /// The smallest slope.
        lower: f64 = 1.0 / 8.0,
        /// What slopes stay below.
        upper: f64 = 1.0 / 3.0
    } (self, x) => x.rrelu(self.lower, self.upper);

    /// x where it is positive, `alpha * (e^x - 1)` elsewhere. Clevert and others, 2015.
    Elu {
        /// The negative of the limit at -infinity.
        alpha: f64 = 1.0
    } (self, x) => x.elu(self.alpha);

    /// [`Elu`] with a derivative of 1 at 0. Barron, 2017.
    Celu {
        /// The negative of the limit at -infinity.
        alpha: f64 = 1.0
    } (self, x) => x.celu(self.alpha);

    /// `log(1 + e^(beta x)) / beta`, and x itself where `beta x` is above the threshold.
    Softplus {
        /// How sharp the bend is.
        beta: f64 = 1.0,
        /// Where the straight line begins.
        threshold: f64 = 20.0
    } (self, x) => x.softplus_threshold(self.beta, self.threshold);

    /// x where it is above the threshold, else `value`. Both are 0 by `default`: a ReLU.
    Threshold {
        /// What x has to be above of.
        threshold: f64 = 0.0,
        /// What stands for the others.
        value: f64 = 0.0
    } (self, x) => x.threshold(self.threshold, self.value);

    /// x limited to a range; the gradient at the limits is 0.
    Hardtanh {
        /// The lower limit.
        min_val: f64 = -1.0,
        /// The upper limit.
        max_val: f64 = 1.0
    } (self, x) => x.hardtanh(self.min_val, self.max_val);

    /// x where `|x| > lambd`, else 0.
    Hardshrink {
        /// What becomes 0.
        lambd: f64 = 0.5
    } (self, x) => x.hardshrink(self.lambd);

    /// x moved towards 0 by `lambd`, and 0 where it is nearer than that.
    Softshrink {
        /// How far.
        lambd: f64 = 0.5
    } (self, x) => x.softshrink(self.lambd);

    /// The first half along an axis times the sigmoid of the second. Dauphin and others, 2016.
    Glu {
        /// The axis that is cut into halves.
        dim: isize = -1
    } (self, x) => x.glu(self.dim);

    /// Probabilities along an axis. The last axis by `default` (PyTorch guesses from the rank).
    ///
    /// ```
    /// use gradus_core::Tensor;
    /// use gradus_nn::Softmax;
    /// let y = Softmax::new(-1).forward(&Tensor::from([[0.0, 0.0]]));
    /// assert_eq!(y.to_vec::<f32>()?, [0.5, 0.5]);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    Softmax {
        /// The axis along which they sum to 1.
        dim: isize = -1
    } (self, x) => x.softmax(self.dim);

    /// The logarithm of [`Softmax`], computed without underflow.
    LogSoftmax {
        /// The axis along which the probabilities sum to 1.
        dim: isize = -1
    } (self, x) => x.log_softmax(self.dim);

    /// [`Softmax`] of -x.
    Softmin {
        /// The axis along which they sum to 1.
        dim: isize = -1
    } (self, x) => x.softmin(self.dim);
}

/// Probabilities of channels at each place of an image: [`Softmax`] of axis 1 of
/// `[batch, channels, height, width]`, or axis 0 without the batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Softmax2d;

impl Softmax2d {
    /// The result, of `x`'s shape. Other axes are an error.
    #[track_caller]
    pub fn forward(&self, x: &Tensor) -> Tensor {
        match x.shape() {
            Ok(shape) if shape.rank() != 3 && shape.rank() != 4 => {
                let text = format!("Softmax2d: {shape} is no image");
                let help = "the axes are [batch, channels, height, width], or without the batch";
                Tensor::failed(Error::new(Code::Shape, text).help(help))
            }
            _ => x.softmax(-3),
        }
    }
}

layer_of!(Softmax2d);
