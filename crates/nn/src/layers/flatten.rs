//! Layers that change no value: flatten and identity.

use gradus_core::Tensor;

use crate::layer::Layer;
use crate::module::{Module, Visitor};

/// Joins all axes but the first: `[batch, a, b, ..]` to `[batch, a * b * ..]`.
///
/// ```
/// use gradus_core::Tensor;
/// use gradus_nn::Flatten;
/// assert_eq!(Flatten.forward(&Tensor::zeros([5, 28, 28])).dims::<2>()?, [5, 784]);
/// # Ok::<(), gradus_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flatten;

impl Flatten {
    /// The result, `[batch, features]`.
    #[track_caller]
    pub fn forward(&self, x: &Tensor) -> Tensor {
        x.flatten(1)
    }
}

/// Gives back its input; a place holder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Identity;

impl Identity {
    /// The input.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        x.clone()
    }
}

impl Module for Flatten {
    fn walk(&self, _: &mut dyn Visitor) {}
}

impl Layer for Flatten {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        Flatten::forward(self, x)
    }
}

impl Module for Identity {
    fn walk(&self, _: &mut dyn Visitor) {}
}

impl Layer for Identity {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        Identity::forward(self, x)
    }
}
