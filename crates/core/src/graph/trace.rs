//! Placeholders: tensors with a shape and a type that stand for a value which is not known yet.
//!
//! A gradient rule of the user's is written down on them, and so is a function that is to be mapped
//! over a batch. What depends on one is *traced*: it is never run, only copied with something real
//! in the placeholder's place.

use std::panic::Location;

use super::flush;
use super::recorder::{self, Node, Recorder, Side, Slot};
use crate::error::{Code, Error, Result};
use crate::ops::{Meta, Op, Operands};
use crate::tensor::Tensor;

impl Node {
    /// The operands that gradients flow to.
    pub(crate) fn flow(&self) -> std::ops::Range<usize> {
        match self.op {
            // Not through the result itself; the gradients are for second derivatives only.
            Op::CustomGrad => 1..1 + self.inputs.len().saturating_sub(3) / 2,
            // Nor into a region that is not kept: past it, to what it was made from.
            Op::Checkpoint => 1..self.inputs.len(),
            _ => 0..self.inputs.len(),
        }
    }
}

impl Recorder {
    /// Whether a node can have a value.
    ///
    /// # Errors
    /// [`Code::Argument`] for what depends on a placeholder.
    pub(crate) fn known(&self, slot: Slot) -> Result<()> {
        let node = self.node(slot);
        if !node.traced {
            return Ok(());
        }
        let text = format!(
            "`{}` {:?} has no value here: it depends on a tensor that stands for values to come",
            node.op.name(),
            node.shape
        );
        Err(self.locate(Error::new(Code::Argument, text), node.scope, node.place).help(
            "inside a gradient rule or a function that is mapped over a batch, compute with \
             tensors (`where_`, `maximum`, masks) instead of reading, assigning or stepping",
        ))
    }
}

/// A placeholder.
pub(crate) fn placeholder(meta: Meta, grad: bool, place: &'static Location<'static>) -> Tensor {
    recorder::with(|r| {
        let slot = r.append(Op::Placeholder, Operands::new(), meta, grad, place, Side::None);
        r.handle(slot)
    })
}

/// The same value as a tensor that gradients reach, whatever `x` is; they flow on to `x` where it
/// has gradients.
pub(crate) fn open(x: &Tensor, place: &'static Location<'static>) -> Tensor {
    let (tensor, eager) = recorder::with(|r| {
        let node = r.node(x.slot());
        let meta = Meta { shape: node.shape, dtype: node.dtype };
        if !meta.dtype.is_float() || matches!(node.op, Op::Failed) {
            r.node_mut(x.slot()).handles += 1;
            return (r.handle(x.slot()), false);
        }
        let mut inputs = Operands::new();
        inputs.push(x.slot());
        let slot = r.append(Op::Reshape, inputs, meta, true, place, Side::None);
        r.push_pending(slot);
        (r.handle(slot), flush::runs_eagerly(r, slot))
    });
    if eager {
        flush::run_eagerly(&tensor);
    }
    tensor
}

/// Records a node some of whose operands are written with placeholders of its own: only the first
/// `open` of them say whether it has a value.
pub(crate) fn record_traced(
    op: Op,
    inputs: Operands<Slot>,
    open: usize,
    meta: Meta,
    place: &'static Location<'static>,
) -> Tensor {
    let (tensor, eager) = recorder::with(|r| {
        let traced = inputs.iter().take(open).any(|&i| r.node(i).traced);
        let slot = r.append(op, inputs, meta, true, place, Side::None);
        r.node_mut(slot).traced = traced;
        r.push_pending(slot);
        (r.handle(slot), flush::runs_eagerly(r, slot))
    });
    if eager {
        flush::run_eagerly(&tensor);
    }
    tensor
}
