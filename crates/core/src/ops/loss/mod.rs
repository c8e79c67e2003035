//! Losses: how far a prediction is from its target.
//!
//! Each is a method of the prediction with PyTorch's name and defaults, `x.huber_loss(&y)`, and a
//! second one that takes its parameters: `x.huber_loss_with(&y, Huber { delta: 2.0, ..Huber::default()
//! })`. Where the only parameter is the [`Reduction`], that is the argument:
//! `x.mse_loss_with(&y, Reduction::Sum)`.
//!
//! To leave elements or samples out of a loss, or to weigh them, ask it for all its elements and take
//! their mean with a mask: `x.mse_loss_with(&y, Reduction::None).masked_mean(&mask)`; see
//! [`Tensor::masked_mean`] and [`Tensor::weighted_mean`]. Where class ids say what does not count,
//! `ignore_index` does it.
//!
//! Losses never broadcast: a prediction and a target of different shapes are an error. They are made
//! from other operations, so they fuse into one pass and have gradients of every order.

mod binary;
mod contrast;
mod cross_entropy;
mod ctc;
mod distance;
mod likelihood;
mod margin;
mod masks;
mod overlap;

pub use binary::{Bce, BceWithLogits, Focal};
pub use contrast::{Contrastive, InfoNce};
pub use cross_entropy::{CrossEntropy, Nll};
pub use ctc::Ctc;
pub use distance::{Huber, SmoothL1};
pub use likelihood::{GaussianNll, KlDiv, PoissonNll};
pub use margin::{
    CosineEmbedding, Hinge, HingeEmbedding, MarginRanking, MultiMargin, MultilabelSoftMargin,
    TripletMargin,
};
pub use overlap::Dice;

use std::panic::Location;

use crate::error::{Code, Error};
use crate::graph::dtype::DType;
use crate::graph::recorder;
use crate::tensor::Tensor;

/// How the losses of single elements (or rows) become the result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reduction {
    /// Their mean, a scalar.
    #[default]
    Mean,
    /// Their sum, a scalar.
    Sum,
    /// Their sum divided by the size of the first axis, a scalar.
    BatchMean,
    /// Nothing: all of them.
    None,
}

impl Reduction {
    /// The result from single losses.
    #[track_caller]
    fn of(self, losses: &Tensor) -> Tensor {
        match self {
            Reduction::Mean => losses.mean(),
            Reduction::Sum => losses.sum(),
            Reduction::BatchMean => {
                let shape = losses.peek().shape;
                let batch = if shape.rank() == 0 { 1 } else { shape.dim(0) };
                losses.sum() / batch as f64
            }
            Reduction::None => losses.clone(),
        }
    }
}

/// The result of a loss, or a failed tensor that says why there is none.
type Loss = Result<Tensor, Tensor>;

fn either(loss: Loss) -> Tensor {
    match loss {
        Ok(tensor) | Err(tensor) => tensor,
    }
}

/// Fails with the first error of these operands, and if the first is not a float.
#[track_caller]
fn sound(what: &str, operands: &[&Tensor]) -> Result<(), Tensor> {
    for t in operands {
        if recorder::error_of(t).is_some() {
            return Err((*t).clone());
        }
    }
    let Some(x) = operands.first().map(|x| x.peek()) else { return Ok(()) };
    if x.dtype.is_float() {
        return Ok(());
    }
    let error = Error::new(Code::DType, format!("{what}: takes f32 or f64, not {}", x.dtype));
    Err(recorder::failed(
        error.help("convert the prediction with `cast(DType::F32)`"),
        Location::caller(),
    ))
}

/// The target in the prediction's type; fails unless both have the same shape (the classic silent
/// `[64, 1]` against `[64]`).
#[track_caller]
fn matched(what: &str, x: &Tensor, target: &Tensor) -> Loss {
    sound(what, &[x, target])?;
    let (a, b) = (x.peek(), target.peek());
    if a.shape == b.shape {
        return Ok(target.cast(a.dtype));
    }
    let help = if a.shape.numel() == b.shape.numel() {
        format!(
            "`target.reshape_to(..)` or `prediction.squeeze(-1)` makes them equal; \
             broadcasting would compare all {} pairs",
            a.shape.broadcast(&b.shape).map_or(0, |s| s.numel())
        )
    } else {
        "a loss compares element by element; the shapes must be equal".to_string()
    };
    let title = format!("{what}: prediction {} and target {} differ", a.shape, b.shape);
    let error = recorder::with(|r| {
        Error::new(Code::Shape, title)
            .cells("prediction", r.describe(x.slot()))
            .cells("target", r.describe(target.slot()))
    });
    Err(recorder::failed(error.help(help), Location::caller()))
}

/// Single losses times a weight that broadcasts to them.
#[track_caller]
fn weighted(what: &str, losses: Tensor, weight: Option<&Tensor>) -> Loss {
    let Some(weight) = weight else { return Ok(losses) };
    sound(what, &[weight])?;
    let (a, w) = (losses.peek().shape, weight.peek().shape);
    if w.broadcast(&a) == Some(a) {
        return Ok(losses * weight);
    }
    let error = Error::new(Code::Shape, format!("{what}: weight {w} does not broadcast to {a}"));
    Err(recorder::failed(error, Location::caller()))
}

/// Class ids of any integer type (or bool) as i64.
#[track_caller]
fn class_ids(what: &str, target: &Tensor) -> Loss {
    let dtype = target.peek().dtype;
    if !dtype.is_float() {
        return Ok(target.cast(DType::I64));
    }
    let error = Error::new(Code::DType, format!("{what}: class ids are i64, not {dtype}"));
    Err(recorder::failed(error.help("`cast(DType::I64)` them"), Location::caller()))
}

/// Fails unless a parameter is as it has to be.
#[track_caller]
fn argument(what: &str, holds: bool, rule: &str, value: f64) -> Result<(), Tensor> {
    if holds {
        return Ok(());
    }
    let error = Error::new(Code::Argument, format!("{what}: {rule}, not {value}"));
    Err(recorder::failed(error, Location::caller()))
}

/// A failed tensor because of shapes.
#[track_caller]
fn wrong_shapes(title: String, help: &str) -> Tensor {
    recorder::failed(Error::new(Code::Shape, title).help(help), Location::caller())
}
