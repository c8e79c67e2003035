//! Softmax and log-softmax, and what they expand into for second derivatives.

use super::{Op, Reduction, Rows, Unary};
use crate::plan::ir::{Ir, Val};
use crate::tensor::{Tensor, operand};

impl Tensor {
    #[track_caller]
    fn row_kernel(&self, rows: Rows, axis: isize) -> Tensor {
        let rank = self.peek().shape.rank();
        let failed = crate::graph::recorder::error_of(self).is_some();
        if operand::on_scalar(axis, rank) && !failed {
            return self.unsqueeze(0).row_kernel(rows, 0).squeeze(0);
        }
        let Some(axis) = operand::resolve(axis, rank) else {
            if failed {
                return self.clone();
            }
            let error = operand::no_axis(Op::Rows(rows).name(), axis, &self.peek().shape);
            return Tensor::failed(error);
        };
        if axis + 1 == rank {
            return self.apply(Op::Rows(rows), &[], None);
        }
        let (a, last) = (axis as isize, rank as isize - 1);
        self.transpose(a, last).apply(Op::Rows(rows), &[], None).transpose(a, last)
    }

    /// Probabilities along an axis: `exp(x - max) / sum(exp(x - max))`.
    #[track_caller]
    #[must_use]
    pub fn softmax(&self, axis: isize) -> Tensor {
        self.row_kernel(Rows::Softmax, axis)
    }

    /// The logarithm of [`Tensor::softmax`], computed without underflow.
    #[track_caller]
    #[must_use]
    pub fn log_softmax(&self, axis: isize) -> Tensor {
        self.row_kernel(Rows::LogSoftmax, axis)
    }
}

/// A row kernel in simpler operations, for differentiating it.
pub(crate) fn expand(ir: &mut Ir, rows: Rows, ins: &[Val]) -> Option<Val> {
    let last = |ir: &Ir, x: Val| 1u8 << (ir.shape(x).rank().max(1) - 1);
    Some(match (rows, ins) {
        (Rows::SoftmaxGrad, &[y, g]) => {
            let axes = last(ir, y);
            let gy = ir.mul(g, y);
            let sum = ir.reduce(Reduction::Sum, axes, gy);
            let sum = ir.broadcast(sum, ir.shape(y));
            let d = ir.sub(g, sum);
            ir.mul(y, d)
        }
        (Rows::LogSoftmaxGrad, &[y, g]) => {
            let axes = last(ir, y);
            let sum = ir.reduce(Reduction::Sum, axes, g);
            let sum = ir.broadcast(sum, ir.shape(y));
            let p = ir.unary(Unary::Exp, y);
            let p = ir.mul(p, sum);
            ir.sub(g, p)
        }
        (Rows::CrossEntropyGrad { ignore }, &[x, t, g]) => {
            let shape = ir.shape(x);
            let p = ir.rows(Rows::Softmax, &[x], shape);
            let column = ir.reshape(t, [shape.dim(0), 1].into());
            let ids = ir.broadcast(column, shape);
            let index = ir.index(shape, 1);
            let hit = ir.binary(super::Binary::Eq, ids, index);
            let dtype = ir.dtype(x);
            let one = ir.cast(hit, dtype);
            let d = ir.sub(p, one);
            let g = ir.reshape(g, [shape.dim(0), 1].into());
            let g = ir.broadcast(g, shape);
            let out = ir.mul(d, g);
            match ignore {
                None => out,
                Some(id) => {
                    let skip = ir.constant(id as f64, ids);
                    let counts = ir.binary(super::Binary::Ne, ids, skip);
                    let none = ir.constant(0.0, out);
                    ir.ternary(super::Ternary::Where, counts, out, none)
                }
            }
        }
        _ => return None,
    })
}
