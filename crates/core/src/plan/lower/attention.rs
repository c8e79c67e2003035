//! Attention: operands by their strides.

use super::Lower;
use crate::backend::{AttentionStep, Step};
use crate::error::Result;
use crate::graph::dtype::DType;
use crate::ops::Attended;
use crate::plan::ir::Val;

impl Lower<'_> {
    pub(super) fn attention(&mut self, v: Val, a: Attended, backward: bool) -> Result<()> {
        // The kernels are those of f32.
        if self.ir.dtype(v) != DType::F32 {
            return self.host(v);
        }
        let inputs = self.ir.node(v).inputs.clone();
        let first = if backward { 2 } else { 0 };
        let at = |i: usize| inputs.get(first + i).copied().unwrap_or(0);
        let operands = [self.strided(at(0))?, self.strided(at(1))?, self.strided(at(2))?];
        let heads = a.heads(operands[0].shape, operands[1].shape, operands[2].shape);
        let mask = if a.mask { Some(self.strided(at(3))?) } else { None };
        let backward = match backward {
            true => Some([self.contiguous(inputs[0])?, self.contiguous(inputs[1])?]),
            false => None,
        };
        let out = self.allocate(v);
        let step = AttentionStep { heads, operands, mask, backward, out };
        self.push(Step::Attention(Box::new(step)), v);
        Ok(())
    }
}
