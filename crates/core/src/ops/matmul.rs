//! Matrix products.

use std::panic::Location;

use super::{Op, Precision};
use crate::graph::dtype::DType;
use crate::graph::recorder::{self, Side};
use crate::graph::shape::MAX_RANK;
use crate::plan::ir::{Ir, Val};
use crate::tensor::{Operand, Tensor};

impl Tensor {
    /// Matrix product over the last two axes, `[.., m, k] @ [.., k, n] = [.., m, n]`.
    ///
    /// Leading axes broadcast. A vector on the left counts as a row, on the right as a column, and
    /// its axis disappears from the result, as in PyTorch. Transposed operands are not copied. Inside
    /// [`autocast`](crate::autocast), operands are rounded to bf16.
    #[track_caller]
    #[must_use]
    pub fn matmul(&self, other: impl Operand) -> Tensor {
        let place = Location::caller();
        let other = other.arg().into_tensor();
        let (ra, rb) = (self.peek().shape.rank(), other.peek().shape.rank());
        let f32s = self.peek().dtype == DType::F32 && other.peek().dtype == DType::F32;
        let op = Op::Matmul(if f32s { Precision::of(DType::F32) } else { Precision::F32 });
        if ra >= 2 && rb >= 2 || ra == 0 || rb == 0 {
            return recorder::record(op, &[self, &other], None, Side::None, place);
        }
        let a = if ra == 1 { self.unsqueeze(0) } else { self.clone() };
        let b = if rb == 1 { other.unsqueeze(-1) } else { other.clone() };
        let out = recorder::record(op, &[&a, &b], None, Side::None, place);
        let out = if rb == 1 { out.squeeze(-1) } else { out };
        if ra == 1 { out.squeeze(if rb == 1 { -1 } else { -2 }) } else { out }
    }

    /// Affine map of the last axis: `x @ weight^T + bias`.
    ///
    /// `x` is `[.., in_features]`, `weight` `[out_features, in_features]`, `bias`
    /// `[out_features]`; the result is `[.., out_features]`.
    #[track_caller]
    #[must_use]
    pub fn linear(&self, weight: impl Operand, bias: Option<&dyn Operand>) -> Tensor {
        let weight = weight.arg().into_tensor();
        let y = self.matmul(weight.t());
        match bias {
            Some(bias) => y + bias,
            None => y,
        }
    }
}

/// The last two axes swapped.
fn swap(ir: &mut Ir, x: Val) -> Val {
    let rank = ir.shape(x).rank();
    let mut perm = [0u8; MAX_RANK];
    for (i, slot) in perm.iter_mut().enumerate().take(rank) {
        *slot = i as u8;
    }
    if rank >= 2 {
        perm.swap(rank - 1, rank - 2);
    }
    ir.permute(x, perm)
}

/// Gradient of a product for operand `i`. In the IR the right operand either has the left one's
/// batch axes or is a plain matrix. It is computed in the precision of the product.
pub(crate) fn vjp(ir: &mut Ir, precision: Precision, [a, b]: [Val; 2], g: Val, i: usize) -> Val {
    if i == 0 {
        let bt = swap(ir, b);
        return ir.product(precision, g, bt);
    }
    let (sa, sb) = (ir.shape(a), ir.shape(b));
    if sb.rank() == 2 && sa.rank() > 2 {
        // One product over all rows of all batches, instead of a sum of many.
        let rows = sa.with(sa.rank() - 1, 1).numel();
        let a = ir.reshape(a, [rows, sa.last(0)].into());
        let g = ir.reshape(g, [rows, sb.last(0)].into());
        let at = swap(ir, a);
        return ir.product(precision, at, g);
    }
    let at = swap(ir, a);
    ir.product(precision, at, g)
}
