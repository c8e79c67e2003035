//! The recurrence as one node, and its results as parts of what that makes.

use smallvec::SmallVec;

use super::{Fitted, States, Steps};
use crate::error::Result;
use crate::graph::dtype::DType;
use crate::graph::shape::Shape;
use crate::ops::{Cell, Meta, Op, Precision};
use crate::tensor::{Tensor, operand};

/// Whether the node can do it: all of one type, and there is something to do.
pub(super) fn fits(f: &Fitted<'_>) -> bool {
    let o = &f.options;
    let dtype = f.gates.peek().dtype;
    let operands = [Some(f.weight), o.h0, o.c0, o.bias];
    let alike = operands.into_iter().flatten().all(|t| t.peek().dtype == dtype);
    let some = f.gates.peek().shape.numel() > 0;
    alike && some && matches!(dtype, DType::F32 | DType::F64) && o.projection.is_none()
}

/// A part of a tensor of one axis, in another shape.
#[track_caller]
fn part(x: &Tensor, start: usize, shape: Shape) -> Tensor {
    let len = shape.numel();
    let piece = if x.peek().shape.numel() == len { x.clone() } else { x.narrow(0, start, len) };
    piece.reshape_to(shape)
}

/// Records it.
#[track_caller]
pub(super) fn run(f: &Fitted<'_>) -> States {
    let options = &f.options;
    let lengths = options.lengths;
    let meta = f.gates.peek();
    let steps = Steps {
        cell: options.cell,
        reverse: options.reverse,
        lengths: lengths.is_some(),
        precision: Precision::of(meta.dtype),
    };
    let walk = steps.walk(meta.shape);
    let state = Shape::new(&[walk.batch, walk.hidden]);
    let place = std::panic::Location::caller();
    let zeros = |shape: Shape| operand::cast_to(&Tensor::zeros(shape), meta.dtype, place);
    let given = |t: Option<&Tensor>, shape: Shape| t.cloned().unwrap_or_else(|| zeros(shape));
    let h0 = given(options.h0, state);
    let more = match options.cell {
        Cell::Lstm => Some(given(options.c0, state)),
        Cell::Gru => Some(given(options.bias, Shape::new(&[3 * walk.hidden]))),
        _ => None,
    };
    let mut operands: SmallVec<[&Tensor; 5]> = SmallVec::from_slice(&[f.weight, &h0]);
    operands.extend(&more);
    operands.extend(lengths);
    let tape = f.gates.apply(Op::Recurrent(steps), &operands, None);
    let seen = part(&tape, 0, Shape::new(&[walk.visible()]));
    let all = part(&seen, 0, Shape::new(&[walk.time, walk.batch, walk.hidden]));
    let last = if walk.reverse { 0 } else { walk.time - 1 };
    let h = part(&seen, last * walk.state(), state);
    let c = (options.cell == Cell::Lstm).then(|| part(&seen, walk.states(), state));
    let output = match lengths {
        None => all,
        // A state stays as it is after the end; the result is 0 there.
        Some(lengths) => {
            let time = Tensor::arange(0, walk.time as i64).unsqueeze(1);
            time.lt(lengths.unsqueeze(0)).unsqueeze(2).where_(all, 0.0)
        }
    };
    States { output, h, c }
}

/// Shape and type of a tape.
pub(crate) fn tape(steps: Steps, gates: Meta) -> Result<Meta> {
    let shape = Shape::new(&[steps.walk(gates.shape).tape()]);
    shape.check("recurrence").map(|()| Meta { shape, dtype: gates.dtype })
}

/// Shape and type of what its backward pass makes.
pub(crate) fn gradients(steps: Steps, gates: Meta) -> Result<Meta> {
    let shape = Shape::new(&[steps.walk(gates.shape).gradients()]);
    shape.check("recurrence").map(|()| Meta { shape, dtype: gates.dtype })
}
