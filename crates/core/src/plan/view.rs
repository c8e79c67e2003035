//! Values that are another value's memory seen differently: offset and strides, nothing to run.

use super::ir::{Ir, Val};
use crate::graph::shape::{MAX_RANK, Shape};
use crate::ops::Op;

/// Element `i` of a value lies at `offset + sum(i[axis] * strides[axis])` of its base.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct View {
    pub(crate) base: Val,
    pub(crate) offset: usize,
    pub(crate) strides: [isize; MAX_RANK],
}

impl View {
    /// A value with memory of its own.
    pub(crate) fn whole(v: Val, shape: &Shape) -> View {
        View { base: v, offset: 0, strides: shape.strides() }
    }

    /// Whether the elements of `shape` lie one after another.
    pub(crate) fn contiguous(&self, shape: &Shape) -> bool {
        let want = shape.strides();
        shape.numel() <= 1
            || (0..shape.rank()).all(|i| shape.dim(i) == 1 || self.strides[i] == want[i])
    }

    /// The view that a view operation makes of `self`, which has shape `from`; `None` if a reshape
    /// needs a copy first.
    pub(crate) fn apply(&self, op: &Op, from: &Shape, to: &Shape) -> Option<View> {
        let mut out = *self;
        match op {
            Op::Detach => {}
            Op::Permute(perm) => {
                for (stride, &axis) in out.strides.iter_mut().zip(perm).take(to.rank()) {
                    *stride = self.strides[usize::from(axis)];
                }
            }
            Op::Broadcast => {
                let pad = to.rank() - from.rank();
                out.strides = [0; MAX_RANK];
                for axis in 0..from.rank() {
                    if from.dim(axis) == to.dim(axis + pad) {
                        out.strides[axis + pad] = self.strides[axis];
                    }
                }
            }
            Op::Slice { axis, start, step } => {
                let axis = usize::from(*axis);
                let stride = self.strides[axis];
                if to.numel() > 0 {
                    let shifted = self.offset as isize + *start as isize * stride;
                    out.offset = usize::try_from(shifted).ok()?;
                }
                out.strides[axis] = stride * step;
            }
            Op::Reshape => out.strides = reshape(&self.strides, from, to)?,
            _ => return None,
        }
        Some(out)
    }
}

/// Strides of `to` over the same memory, if there are any.
fn reshape(strides: &[isize; MAX_RANK], from: &Shape, to: &Shape) -> Option<[isize; MAX_RANK]> {
    let mut out = [0isize; MAX_RANK];
    if from.numel() == 0 {
        return Some(to.strides());
    }
    // Axes of size 1 do not matter on either side.
    let old: smallvec::SmallVec<[(usize, isize); MAX_RANK]> =
        (0..from.rank()).filter(|&i| from.dim(i) != 1).map(|i| (from.dim(i), strides[i])).collect();
    let new: smallvec::SmallVec<[usize; MAX_RANK]> =
        (0..to.rank()).filter(|&i| to.dim(i) != 1).collect();
    let (mut i, mut j) = (0, 0);
    while i < old.len() && j < new.len() {
        // The smallest groups of axes with equal products.
        let (i0, j0) = (i, j);
        let (mut a, mut b) = (old[i].0, to.dim(new[j]));
        i += 1;
        j += 1;
        while a != b {
            if a < b {
                a *= old.get(i)?.0;
                i += 1;
            } else {
                b *= to.dim(*new.get(j)?);
                j += 1;
            }
        }
        // Within a group the old axes must be one run.
        if (i0..i - 1).any(|k| old[k].1 != old[k + 1].1 * old[k + 1].0 as isize) {
            return None;
        }
        let mut step = old[i - 1].1;
        for &axis in new[j0..j].iter().rev() {
            out[axis] = step;
            step *= to.dim(axis) as isize;
        }
    }
    Some(out)
}

/// The views of all values, and which values must be copied to memory of their own because a
/// reshape of them is not a view.
pub(crate) fn views(ir: &Ir) -> (Vec<View>, Vec<bool>) {
    let mut views: Vec<View> = Vec::with_capacity(ir.len());
    let mut copied = vec![false; ir.len()];
    for (v, node) in ir.nodes.iter().enumerate() {
        let whole = View::whole(v as Val, &node.shape);
        if !node.op.is_view() {
            views.push(whole);
            continue;
        }
        let x = node.inputs[0];
        let from = ir.shape(x);
        let input = if copied[x as usize] { View::whole(x, &from) } else { views[x as usize] };
        match input.apply(&node.op, &from, &node.shape) {
            Some(view) => views.push(view),
            None => {
                copied[x as usize] = true;
                let input = View::whole(x, &from);
                views.push(input.apply(&node.op, &from, &node.shape).unwrap_or(whole));
            }
        }
    }
    (views, copied)
}
