//! Normalisation: layers that keep values at mean 0 and variance 1, with a scale and a shift that
//! are learned. What they compute is in the tensor methods of the same names.

mod batch;
mod group;
mod instance;
mod reparam;
mod rows;

pub use batch::{BatchNorm, BatchNorm1d, BatchNorm2d, BatchNorm3d, RunningStats};
pub use group::{GroupNorm, LocalResponseNorm};
pub use instance::{InstanceNorm, InstanceNorm1d, InstanceNorm2d, InstanceNorm3d};
pub use reparam::{SpectralNorm, WeightNorm};
pub use rows::{LayerNorm, RmsNorm};

use gradus_core::{Array, Code, Error, Operand, Param, Result, Shape, Tensor};

use crate::init;
use crate::module::Visitor;

/// A scale that starts at one and a shift that starts at zero; each may be missing.
struct Affine {
    weight: Option<Param>,
    bias: Option<Param>,
}

impl Affine {
    /// Both, or the error of the layer's arguments.
    fn new(shape: Shape, checked: Result<()>) -> Affine {
        let make = |init: fn(Shape) -> Result<Array>| {
            Some(Param::from_result(checked.clone().and_then(|()| init(shape))))
        };
        Affine { weight: make(init::ones), bias: make(init::zeros) }
    }
}

/// A parameter that may be missing, as tensor methods take it.
fn operand(param: &Option<Param>) -> Option<&dyn Operand> {
    param.as_ref().map(|param| param as &dyn Operand)
}

/// Shows a scale and a shift.
fn walk_affine(weight: &Option<Param>, bias: &Option<Param>, visitor: &mut dyn Visitor) {
    if let Some(weight) = weight {
        visitor.param("weight", weight);
    }
    if let Some(bias) = bias {
        visitor.param("bias", bias);
    }
}

/// The result for a layer whose arguments are wrong: the input's error, if it has one, else this.
#[track_caller]
fn refused(x: &Tensor, error: &Error) -> Tensor {
    if x.failure().is_some() { x.clone() } else { Tensor::failed(error.clone()) }
}

/// Whether a count is at least 1.
fn at_least_one(layer: &str, what: &str, count: usize) -> Result<()> {
    if count > 0 {
        return Ok(());
    }
    Err(Error::new(Code::Argument, format!("{layer}: {what} must be at least 1, not 0")))
}

/// `channel_norm!(Name);`: the traits of a layer `Name<AXES>` with the fields `tag`, `weight`, `bias` and
/// `running`.
macro_rules! channel_norm {
    ($name:ident) => {
        impl<const AXES: usize> std::fmt::Debug for $name<AXES> {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.tag.describe())
            }
        }

        impl<const AXES: usize> $crate::module::Module for $name<AXES> {
            fn walk(&self, visitor: &mut dyn $crate::module::Visitor) {
                visitor.tag(&self.tag);
                $crate::layers::norm::walk_affine(&self.weight, &self.bias, visitor);
                if let Some(running) = &self.running {
                    running.walk(visitor);
                }
            }

            fn name(&self) -> &'static str {
                match AXES {
                    1 => concat!(stringify!($name), "1d"),
                    2 => concat!(stringify!($name), "2d"),
                    3 => concat!(stringify!($name), "3d"),
                    _ => stringify!($name),
                }
            }
        }

        impl<const AXES: usize> $crate::layer::Layer for $name<AXES> {
            #[track_caller]
            fn forward(&self, x: &gradus_core::Tensor) -> gradus_core::Tensor {
                $name::forward(self, x)
            }
        }
    };
}
use channel_norm;
