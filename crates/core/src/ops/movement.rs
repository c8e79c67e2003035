//! Operations that move elements without computing: reshape, permute, broadcast, slice, concat.

use std::panic::Location;

use super::{AxisMask, Meta, Op, Operands, Reduction};
use crate::error::{Code, Error};
use crate::graph::called::called;
use crate::graph::recorder::{self, Side};
use crate::graph::shape::{MAX_RANK, Shape};
use crate::plan::ir::{Ir, Val};
use crate::tensor::{Axes, Tensor, operand};

impl Tensor {
    /// The same elements in row-major order under another shape. One size may be `-1`, which is
    /// then computed: `x.reshape([-1, 28])`. Sizes are an array, or a vector or slice of `isize`.
    #[track_caller]
    #[must_use]
    pub fn reshape(&self, sizes: impl AsRef<[isize]>) -> Tensor {
        let place = Location::caller();
        let shape = self.peek().shape;
        match resolve_sizes(&shape, sizes.as_ref()) {
            Ok(to) if to == shape => self.clone(),
            Ok(to) => recorder::record(Op::Reshape, &[self], Some(to), Side::None, place),
            Err(_) if recorder::error_of(self).is_some() => self.clone(),
            Err(error) => recorder::failed(error, place),
        }
    }

    /// The same elements in row-major order under a shape.
    #[track_caller]
    #[must_use]
    pub fn reshape_to(&self, shape: impl Into<Shape>) -> Tensor {
        let shape = shape.into();
        if self.peek().shape == shape {
            return self.clone();
        }
        self.apply(Op::Reshape, &[], Some(shape))
    }

    /// Axes from `start` on made into one: `[batch, 28, 28]` with `flatten(1)` is `[batch, 784]`.
    #[track_caller]
    #[must_use]
    pub fn flatten(&self, start: isize) -> Tensor {
        let _called = called("flatten");
        let place = Location::caller();
        let shape = self.peek().shape;
        let Some(start) = operand::resolve(start, shape.rank().max(1)) else {
            return self.fail_axis("flatten", start, place);
        };
        let (kept, rest) = shape.dims().split_at(start.min(shape.rank()));
        self.reshape_to(Shape::joined([kept, &[rest.iter().product()]]))
    }

    #[track_caller]
    pub(super) fn fail_axis(
        &self,
        what: &str,
        axis: isize,
        place: &'static Location<'static>,
    ) -> Tensor {
        if recorder::error_of(self).is_some() {
            return self.clone();
        }
        recorder::failed(operand::no_axis(what, axis, &self.peek().shape), place)
    }

    /// Reorders the axes: axis `i` of the result is axis `order[i]` of this tensor. No copy.
    #[track_caller]
    #[must_use]
    pub fn permute(&self, order: impl AsRef<[isize]>) -> Tensor {
        let place = Location::caller();
        let order = order.as_ref();
        let shape = self.peek().shape;
        let mut perm = [0u8; MAX_RANK];
        let mut seen = 0u32;
        let mut ok = order.len() == shape.rank();
        for (slot, &axis) in perm.iter_mut().zip(order) {
            match operand::resolve(axis, shape.rank()) {
                Some(i) => {
                    ok &= seen & (1 << i) == 0;
                    seen |= 1 << i;
                    *slot = i as u8;
                }
                None => ok = false,
            }
        }
        if !ok {
            if recorder::error_of(self).is_some() {
                return self.clone();
            }
            let text = format!("permute: {order:?} is not an order of the axes of {shape}");
            return recorder::failed(Error::new(Code::Shape, text), place);
        }
        recorder::record(Op::Permute(perm), &[self], None, Side::None, place)
    }

    /// Swaps two axes; a scalar has one to be swapped with itself. No copy.
    #[track_caller]
    #[must_use]
    pub fn transpose(&self, a: isize, b: isize) -> Tensor {
        let place = Location::caller();
        let rank = self.peek().shape.rank();
        if operand::on_scalar(a, rank) && operand::on_scalar(b, rank) {
            return self.clone();
        }
        let (Some(a), Some(b)) = (operand::resolve(a, rank), operand::resolve(b, rank)) else {
            let bad = if operand::resolve(a, rank).is_none() { a } else { b };
            return self.fail_axis("transpose", bad, place);
        };
        let mut perm = [0u8; MAX_RANK];
        for (i, slot) in perm.iter_mut().enumerate().take(rank) {
            *slot = i as u8;
        }
        perm.swap(a, b);
        recorder::record(Op::Permute(perm), &[self], None, Side::None, place)
    }

    /// The transpose of a matrix; a vector or a scalar is its own. No copy. Batches of matrices
    /// have [`Tensor::mT`].
    #[track_caller]
    #[must_use]
    pub fn t(&self) -> Tensor {
        let shape = self.peek().shape;
        match shape.rank() {
            0 | 1 => self.clone(),
            2 => self.transpose(0, 1),
            _ => {
                let text = format!("t: takes a matrix, not {shape}");
                let error = Error::new(Code::Shape, text)
                    .help("`mT` swaps the last two axes, `transpose` any two");
                recorder::failed(error, Location::caller())
            }
        }
    }

    /// A view of a larger shape: axes of size 1, and missing leading axes, are repeated.
    #[track_caller]
    #[must_use]
    pub fn broadcast_to(&self, shape: impl Into<Shape>) -> Tensor {
        let shape = shape.into();
        if self.peek().shape == shape {
            return self.clone();
        }
        self.apply(Op::Broadcast, &[], Some(shape))
    }

    /// A new axis of size 1 before axis `axis` (`-1`: at the end).
    #[track_caller]
    #[must_use]
    pub fn unsqueeze(&self, axis: isize) -> Tensor {
        let _called = called("unsqueeze");
        let place = Location::caller();
        let shape = self.peek().shape;
        let Some(axis) = operand::resolve(axis, shape.rank() + 1) else {
            return self.fail_axis("unsqueeze", axis, place);
        };
        self.reshape_to(shape.insert(axis, 1))
    }

    /// Removes one or several axes of size 1: `x.squeeze(-1)`, `x.squeeze([0, 2])`. Axes of
    /// another size stay.
    #[track_caller]
    #[must_use]
    pub fn squeeze(&self, axes: impl Axes) -> Tensor {
        let _called = called("squeeze");
        let shape = self.peek().shape;
        match axes.mask(shape.rank()) {
            Ok(mask) => self.without_ones(mask),
            Err(axis) => self.fail_axis("squeeze", axis, Location::caller()),
        }
    }

    /// Removes all axes of size 1.
    #[track_caller]
    #[must_use]
    pub fn squeeze_all(&self) -> Tensor {
        self.without_ones(AxisMask::MAX)
    }

    #[track_caller]
    fn without_ones(&self, mask: AxisMask) -> Tensor {
        let shape = self.peek().shape;
        let dims = shape.dims().iter().enumerate();
        let kept = dims.filter(|(i, d)| mask & (1 << i) == 0 || **d != 1).map(|(_, &d)| d);
        self.reshape_to(kept.collect::<Vec<_>>())
    }

    /// Elements `start..end` along an axis, every `step`-th of them. No copy.
    ///
    /// Negative `start` and `end` count from the end and are limited to the axis, as in Python; a
    /// negative step walks backwards from `start` to before `end` (`flip` is
    /// `slice(axis, -1, isize::MIN, -1)`).
    #[track_caller]
    #[must_use]
    pub fn slice(&self, axis: isize, start: isize, end: isize, step: isize) -> Tensor {
        let place = Location::caller();
        let shape = self.peek().shape;
        let Some(axis) = operand::resolve(axis, shape.rank()) else {
            return self.fail_axis("slice", axis, place);
        };
        if step == 0 {
            let error = Error::new(Code::Argument, "slice: the step is 0");
            return recorder::failed(error, place);
        }
        let size = shape.dim(axis) as isize;
        let wrap = |i: isize| if i < 0 { i.saturating_add(size) } else { i };
        let (first, count) = if step > 0 {
            let (from, to) = (wrap(start).clamp(0, size), wrap(end).clamp(0, size));
            (from, (to - from).max(0).div_ceil_positive(step))
        } else {
            let (from, to) = (wrap(start).clamp(-1, size - 1), wrap(end).clamp(-1, size - 1));
            (from, (from - to).max(0).div_ceil_positive(step.saturating_neg()))
        };
        let (first, count) = (first.max(0) as usize, count as usize);
        if first == 0 && step == 1 && count == shape.dim(axis) {
            return self.clone();
        }
        let op = Op::Slice { axis: axis as u8, start: if count == 0 { 0 } else { first }, step };
        recorder::record(op, &[self], Some(shape.with(axis, count)), Side::None, place)
    }

    /// `length` elements from `start` on along an axis. No copy.
    #[track_caller]
    #[must_use]
    pub fn narrow(&self, axis: isize, start: usize, length: usize) -> Tensor {
        let _called = called("narrow");
        let place = Location::caller();
        let shape = self.peek().shape;
        let Some(index) = operand::resolve(axis, shape.rank()) else {
            return self.fail_axis("narrow", axis, place);
        };
        if start.checked_add(length).is_none_or(|end| end > shape.dim(index)) {
            if recorder::error_of(self).is_some() {
                return self.clone();
            }
            let error = Error::new(
                Code::Shape,
                format!("narrow: {length} elements from {start} on leave axis {axis} of {shape}"),
            );
            return recorder::failed(error, place);
        }
        self.slice(axis, start as isize, (start + length) as isize, 1)
    }

    /// The order along one or several axes reversed: `x.flip(0)`, `x.flip([0, 1])`. No copy.
    #[track_caller]
    #[must_use]
    pub fn flip(&self, axes: impl Axes) -> Tensor {
        let _called = called("flip");
        let rank = self.peek().shape.rank();
        let mask = match axes.mask(rank) {
            Ok(mask) => mask,
            Err(axis) => return self.fail_axis("flip", axis, Location::caller()),
        };
        let mut out = self.clone();
        for axis in (0..rank).filter(|i| mask & (1 << i) != 0) {
            out = out.slice(axis as isize, -1, isize::MIN, -1);
        }
        out
    }

    /// Tensors one after another along an axis; they differ in size on that axis only.
    #[track_caller]
    #[must_use]
    pub fn concat(tensors: &[&Tensor], axis: isize) -> Tensor {
        let place = Location::caller();
        let Some(first) = tensors.first() else {
            let error = Error::new(Code::Argument, "concat: needs at least one tensor");
            return recorder::failed(error, place);
        };
        if tensors.iter().any(|t| recorder::error_of(t).is_some()) {
            return recorder::record(Op::Concat { axis: 0 }, tensors, None, Side::None, place);
        }
        let Some(axis) = operand::resolve(axis, first.peek().shape.rank()) else {
            return first.fail_axis("concat", axis, place);
        };
        recorder::record(Op::Concat { axis: axis as u8 }, tensors, None, Side::None, place)
    }
}

trait DivCeil {
    fn div_ceil_positive(self, by: isize) -> isize;
}
impl DivCeil for isize {
    fn div_ceil_positive(self, by: isize) -> isize {
        if self == 0 { 0 } else { (self - 1) / by + 1 }
    }
}

pub(super) fn resolve_sizes(shape: &Shape, sizes: &[isize]) -> Result<Shape, Error> {
    let bad = |why: String| Error::new(Code::Shape, format!("reshape: {why}"));
    let mut dims = smallvec::SmallVec::<[usize; 8]>::new();
    let mut open = None;
    for (i, &size) in sizes.iter().enumerate() {
        match usize::try_from(size) {
            Ok(d) => dims.push(d),
            Err(_) if size == -1 && open.is_none() => {
                open = Some(i);
                dims.push(1);
            }
            Err(_) if size == -1 => return Err(bad(format!("{sizes:?} has two sizes -1"))),
            Err(_) => return Err(bad(format!("{sizes:?} has a negative size"))),
        }
    }
    if let Some(i) = open {
        let known: usize = dims.iter().fold(1usize, |a, &b| a.saturating_mul(b));
        let total = shape.numel();
        if known == 0 || !total.is_multiple_of(known) {
            return Err(bad(format!("{shape} has {total} elements, which {sizes:?} cannot hold")));
        }
        if let Some(d) = dims.get_mut(i) {
            *d = total / known;
        }
    }
    Ok(Shape::new(&dims))
}

/// Gradient of a broadcast: the sum over what was repeated.
pub(crate) fn vjp_broadcast(ir: &mut Ir, x: Val, g: Val) -> Val {
    let (from, to) = (ir.shape(x), ir.shape(g));
    let mut mask = 0;
    for axis in 0..to.rank() {
        let back = to.rank() - 1 - axis;
        if back >= from.rank() || (from.last(back) == 1 && to.dim(axis) != 1) {
            mask |= 1 << axis;
        }
    }
    let sum = if mask == 0 { g } else { ir.reduce(Reduction::Sum, mask, g) };
    ir.reshape(sum, from)
}

/// The inverse of a permutation.
pub(crate) fn inverse(perm: &[u8; MAX_RANK], rank: usize) -> [u8; MAX_RANK] {
    let mut out = [0u8; MAX_RANK];
    for (i, &axis) in perm.iter().enumerate().take(rank) {
        if let Some(slot) = out.get_mut(usize::from(axis)) {
            *slot = i as u8;
        }
    }
    out
}

/// The sum of the gradients of two slices that lie side by side: one after another, with zeros
/// around them if there is more. `None` for anything else.
pub(crate) fn joined(ir: &mut Ir, a: Val, b: Val) -> Option<Val> {
    let slice = |v: Val| {
        let node = ir.node(v);
        match (&node.op, node.inputs.as_slice()) {
            (&Op::Unslice { axis, start, step: 1 }, &[x]) => Some((axis, start, x)),
            _ => None,
        }
    };
    let ((axis, start_a, a_in), (other, start_b, b_in)) = (slice(a)?, slice(b)?);
    let (whole, at) = (ir.shape(a), usize::from(axis));
    if other != axis || ir.shape(b) != whole {
        return None;
    }
    let len = |v: Val| ir.shape(v).dim(at);
    let (start, first, second) = if start_a + len(a_in) == start_b {
        (start_a, a_in, b_in)
    } else if start_b + len(b_in) == start_a {
        (start_b, b_in, a_in)
    } else {
        return None;
    };
    let mut parts = Operands::new();
    for v in [first, second] {
        // What was joined before.
        match ir.node(v) {
            node if matches!(node.op, Op::Concat { axis } if usize::from(axis) == at) => {
                parts.extend(node.inputs.iter().copied());
            }
            _ => parts.push(v),
        }
    }
    let size = len(first) + len(second);
    let meta = Meta { shape: whole.with(at, size), dtype: ir.dtype(a) };
    let both = ir.add_node(Op::Concat { axis }, parts, meta);
    Some(if size == whole.dim(at) { both } else { ir.unslice(both, axis, start, 1, whole) })
}

/// Gradient of a concatenation for part `i`.
pub(crate) fn vjp_concat(ir: &mut Ir, axis: u8, parts: &Operands<Val>, g: Val, i: usize) -> Val {
    let axis_index = usize::from(axis);
    let before =
        |ir: &Ir| parts.iter().take(i).map(|&p| ir.shape(p).dim(axis_index)).sum::<usize>();
    let start = before(ir);
    let shape = parts.get(i).map_or(Shape::SCALAR, |&p| ir.shape(p));
    ir.slice(g, axis, start, 1, shape)
}
