//! Recurrent networks: a step with memory of its own to work in.

use super::{Buffer, Lower};
use crate::backend::{Bank, Loc, Step};
use crate::error::Result;
use crate::graph::dtype::DType;
use crate::ops::{Cell, Steps};
use crate::plan::ir::Val;

impl Lower<'_> {
    pub(super) fn recurrent(&mut self, v: Val, steps: Steps, backward: bool) -> Result<()> {
        // The kernels are those of f32.
        if self.ir.dtype(v) != DType::F32 {
            return self.host(v);
        }
        let inputs = self.ir.node(v).inputs.clone();
        // The backward pass has the tape and a gradient before the operands of the forward pass,
        // and needs neither the gates that went in nor a bias.
        let first = if backward { 2 } else { 0 };
        let walk = steps.walk(self.ir.shape(inputs[first]));
        let count = match steps.cell {
            Cell::Lstm => 4,
            Cell::Gru if !backward => 4,
            _ => 3,
        };
        let mut operands = Vec::with_capacity(first + count);
        for (i, &input) in inputs.iter().enumerate().take(first + count) {
            if !(backward && i == first) {
                operands.push(self.contiguous(input)?);
            }
        }
        let lengths = match (steps.lengths, inputs.last()) {
            (true, Some(&lengths)) => Some(self.contiguous(lengths)?),
            _ => None,
        };
        let out = self.allocate(v);
        let (len, dtype) = (walk.work(), DType::F32);
        let bank = Bank::Buffer(self.out.buffers.len() as u32);
        self.out.buffers.push(Buffer { val: v, len, dtype });
        let work = Loc { bank, start: 0, len, dtype };
        self.push(Step::Recurrent { walk, backward, operands, lengths, out, work }, v);
        Ok(())
    }
}
