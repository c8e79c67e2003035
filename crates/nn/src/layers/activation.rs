//! Activations as layers, for `seq!`; each is also a method of `Tensor`.

use gradus_core::Tensor;

use crate::layer::Layer;
use crate::module::{Module, Visitor};

macro_rules! activation {
    ($(#[$doc:meta])* $name:ident, $op:ident) => {
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

activation! {
    /// Rectified linear unit, `max(x, 0)`; NaN stays NaN.
    ///
    /// ```
    /// use gradus_core::Tensor;
    /// use gradus_nn::Relu;
    /// assert_eq!(Relu.forward(&Tensor::from([-1.0, 2.0])).to_vec::<f32>()?, [0.0, 2.0]);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    Relu, relu
}

activation! {
    /// Hyperbolic tangent.
    Tanh, tanh
}

activation! {
    /// Logistic function, `1 / (1 + e^-x)`.
    Sigmoid, sigmoid
}

activation! {
    /// Gaussian error linear unit, exactly: `x * Phi(x)`. Hendrycks and Gimpel, 2016.
    Gelu, gelu
}

activation! {
    /// Gaussian error linear unit by its `tanh` approximation, as in GPT-2.
    GeluTanh, gelu_tanh
}
