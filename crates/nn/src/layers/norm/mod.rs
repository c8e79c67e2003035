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
