//! Recurrent networks over a sequence: one layer in one direction, as a single operation.
//!
//! What the inputs add to the gates of all time steps is one matrix product, made outside; here is
//! what has to go step by step. [`Tensor::recurrence`] checks the operands; `node` records it as one
//! node, whose gradients are in `gradient`; `composed` is the recurrence in other operations, for
//! what the node cannot do (projections).

mod composed;
pub(in crate::ops) mod gradient;
mod node;

pub use gradus_kernels::recurrent::Cell;
pub(crate) use gradus_kernels::recurrent::Walk;

pub(crate) use gradient::all_at_once;
pub(crate) use node::{gradients, tape};

use std::panic::Location;

use crate::error::{Code, Error};
use crate::graph::called::called;
use crate::graph::recorder;
use crate::graph::shape::Shape;
use crate::ops::Precision;
use crate::tensor::{Operand, Tensor};

/// The attributes of a recurrence that is a node of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Steps {
    /// What happens in a step.
    pub cell: Cell,
    /// From the last step to the first.
    pub reverse: bool,
    /// The last operand is how many steps of each sample count.
    pub lengths: bool,
    /// Of the products of states with the weight, and of their gradients.
    pub precision: Precision,
}

impl Steps {
    pub(crate) fn key(self) -> u64 {
        let precision = (self.precision as u64) << 6;
        self.cell as u64 | u64::from(self.reverse) << 4 | u64::from(self.lengths) << 5 | precision
    }

    /// The recurrence over gates of this shape.
    pub(crate) fn walk(self, gates: Shape) -> Walk {
        let hidden = gates.last(0) / self.cell.gates();
        let Steps { cell, reverse, .. } = self;
        let bf16 = self.precision == Precision::Bf16;
        Walk { cell, reverse, time: gates.dim(0), batch: gates.dim(1), hidden, bf16 }
    }
}

/// Parameters of [`Tensor::recurrence`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Recurrence<'a> {
    /// What happens in a time step.
    pub cell: Cell,
    /// From the last time step to the first.
    pub reverse: bool,
    /// How many time steps of each sample count, `[batch]`, i64; all by default. The rest of the
    /// result is 0.
    pub lengths: Option<&'a Tensor>,
    /// The state to begin with, `[batch, hidden]`; zeros by default.
    pub h0: Option<&'a Tensor>,
    /// The memory of an LSTM to begin with, `[batch, hidden]`; zeros by default.
    pub c0: Option<&'a Tensor>,
    /// Of a GRU: what is added to `W h`, `[3 hidden]`. In other cells it is no different from what
    /// the inputs bring, and belongs there.
    pub bias: Option<&'a Tensor>,
    /// Of an LSTM: the matrix that makes the state smaller, `[projection, hidden]`.
    pub projection: Option<&'a Tensor>,
}

/// What [`Tensor::recurrence`] gives.
#[derive(Clone, Debug)]
pub struct States {
    /// The state of every time step, `[time, batch, hidden]`.
    pub output: Tensor,
    /// The state at the end, `[batch, hidden]`.
    pub h: Tensor,
    /// The memory of an LSTM at the end, `[batch, hidden]`.
    pub c: Option<Tensor>,
}

/// Operands whose sizes fit.
struct Fitted<'a> {
    gates: &'a Tensor,
    weight: &'a Tensor,
    options: Recurrence<'a>,
    time: usize,
    hidden: usize,
}

impl Tensor {
    /// A recurrent network over a sequence. This tensor, `[time, batch, gates * hidden]`, is what
    /// the inputs add to the gates: `x.linear(&weight_ih, Some(&bias))`. The weight of the state is
    /// `[gates * hidden, hidden]`.
    ///
    /// With `lengths`, a sample's state stays as it is after its last time step (in reverse: until
    /// it), and the result is 0 there; it is what PyTorch gives for a packed sequence. Inside
    /// [`autocast`](crate::autocast), states and weight are rounded to bf16 for their product.
    ///
    /// Sources: Hochreiter and Schmidhuber, *Long short-term memory*, 1997; Cho and others, *Learning
    /// phrase representations using RNN encoder-decoder*, 2014, in the form of cuDNN.
    ///
    /// # Errors
    /// [`Code::Shape`] when the sizes do not go together, or there is no time step;
    /// [`Code::DType`] for operands that are not floats.
    ///
    /// ```
    /// use gradus_core::{Tensor, ops::{Cell, Recurrence}};
    /// // Running sums, as nothing is negative: h = max(x + h, 0).
    /// let x = Tensor::from([[[1.0]], [[2.0]], [[3.0]]]);
    /// let options = Recurrence { cell: Cell::Relu, ..Recurrence::default() };
    /// let states = x.recurrence(Tensor::ones([1, 1]), options);
    /// assert_eq!(states.output.to_vec::<f32>()?, [1.0, 3.0, 6.0]);
    /// assert_eq!(states.h.item()?, 6.0);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    #[track_caller]
    #[must_use]
    pub fn recurrence(&self, weight: impl Operand, options: Recurrence<'_>) -> States {
        let weight = weight.arg().into_tensor();
        match fitted(self, &weight, options) {
            Ok(fitted) => {
                let _called = called("recurrence");
                if node::fits(&fitted) { node::run(&fitted) } else { composed::run(&fitted) }
            }
            Err(failed) => {
                let c = (options.cell == Cell::Lstm).then(|| failed.clone());
                States { output: failed.clone(), h: failed, c }
            }
        }
    }
}

/// Checks the operands; what is wrong, as a failed tensor.
#[track_caller]
fn fitted<'a>(
    gates: &'a Tensor,
    weight: &'a Tensor,
    options: Recurrence<'a>,
) -> Result<Fitted<'a>, Tensor> {
    let place = Location::caller();
    let Recurrence { cell, lengths, h0, c0, bias, projection, .. } = options;
    let floats = [Some(gates), Some(weight), h0, c0, bias, projection];
    for t in floats.into_iter().flatten().chain(lengths) {
        if recorder::error_of(t).is_some() {
            return Err(t.clone());
        }
    }
    for t in floats.into_iter().flatten() {
        let dtype = t.peek().dtype;
        if !dtype.is_float() {
            let text = format!("recurrence: takes f32 or f64, not {dtype}");
            return Err(recorder::failed(Error::new(Code::DType, text), place));
        }
    }
    let (x, w) = (gates.peek().shape, weight.peek().shape);
    let count = cell.gates();
    let wrong = |text: String, help: &str| {
        let error = Error::new(Code::Shape, format!("recurrence: {text}")).help(help);
        Err(recorder::failed(error, place))
    };
    if x.rank() != 3 || !x.last(0).is_multiple_of(count) || x.dim(0) == 0 {
        let text = format!("the gates are {x}, of a cell with {count} for each unit");
        return wrong(text, "gates are [time, batch, gates * hidden], with a time step at least");
    }
    let (time, batch, hidden) = (x.dim(0), x.dim(1), x.last(0) / count);
    let state = match projection.map(|p| p.peek().shape) {
        None => hidden,
        Some(p) if cell == Cell::Lstm && p.rank() == 2 && p.last(0) == hidden => p.dim(0),
        Some(p) => {
            let text = format!("the projection is {p}, of {hidden} units");
            return wrong(text, "an LSTM may have one of [projection, hidden]");
        }
    };
    if w != Shape::new(&[count * hidden, state]) {
        let text = format!("the weight is {w}, for a state of {state} and gates {x}");
        return wrong(text, "it is [gates * hidden, hidden], or [.., projection] if there is one");
    }
    let rules = [
        (h0, "h0", Shape::new(&[batch, state]), true),
        (c0, "c0", Shape::new(&[batch, hidden]), cell == Cell::Lstm),
        (bias, "bias", Shape::new(&[count * hidden]), cell == Cell::Gru),
        (lengths, "lengths", Shape::new(&[batch]), true),
    ];
    for (operand, name, want, allowed) in rules {
        let Some(have) = operand.map(|t| t.peek().shape) else { continue };
        if !allowed {
            let text = format!("a cell {cell:?} has no `{name}`");
            let error = Error::new(Code::Argument, format!("recurrence: {text}"));
            return Err(recorder::failed(error, place));
        }
        if have != want {
            return wrong(format!("`{name}` is {have}, not {want}"), "one for each sample or unit");
        }
    }
    if let Some(dtype) = lengths.map(|t| t.peek().dtype)
        && dtype != crate::DType::I64
    {
        let text = format!("recurrence: lengths are i64, not {dtype}");
        return Err(recorder::failed(Error::new(Code::DType, text), place));
    }
    Ok(Fitted { gates, weight, options, time, hidden })
}
