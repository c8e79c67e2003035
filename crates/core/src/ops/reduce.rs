//! Reductions along axes: sum, mean, var, max, min, argmax, argmin.

use std::panic::Location;

use super::{AxisMask, Binary, Meta, Op, Reduction, Running, Ternary};
use crate::error::{Code, Error};
use crate::graph::dtype::DType;
use crate::graph::recorder::{self, Side};
use crate::graph::shape::{MAX_RANK, Shape};
use crate::plan::ir::{Ir, Val};
use crate::tensor::{Axes, Tensor, operand};

/// `shape` without the axes of the mask.
pub(crate) fn squeezed(shape: &Shape, mask: AxisMask) -> Shape {
    let mut dims = smallvec::SmallVec::<[usize; 8]>::new();
    for (i, &d) in shape.dims().iter().enumerate() {
        if mask & (1 << i) == 0 {
            dims.push(d);
        }
    }
    Shape::new(&dims)
}

/// All axes of a rank.
pub(crate) fn all_axes(rank: usize) -> AxisMask {
    ((1u32 << rank) - 1) as AxisMask
}

impl Tensor {
    #[track_caller]
    pub(crate) fn reduce(&self, kind: Reduction, mask: AxisMask, keep: bool) -> Tensor {
        let place = Location::caller();
        let Meta { shape, dtype } = self.peek();
        let widens = matches!(kind, Reduction::Sum | Reduction::Prod);
        if widens && (dtype == DType::Bool || dtype.is_int() && dtype != DType::I64) {
            // Small integers would overflow; as in PyTorch.
            return operand::cast_to(self, DType::I64, place).reduce(kind, mask, keep);
        }
        let out = if mask == 0 {
            self.clone()
        } else {
            recorder::record(Op::Reduce(kind, mask), &[self], None, Side::None, place)
        };
        if keep || mask == 0 {
            return out;
        }
        let to = squeezed(&shape, mask);
        recorder::record(Op::Reshape, &[&out], Some(to), Side::None, place)
    }

    #[track_caller]
    pub(crate) fn axes(&self, what: &str, axes: impl Axes) -> Result<AxisMask, Tensor> {
        // Not inside the closure: a closure's caller is this line.
        let place = Location::caller();
        let shape = self.peek().shape;
        axes.mask(shape.rank()).map_err(|axis| {
            if recorder::error_of(self).is_some() {
                return self.clone();
            }
            recorder::failed(operand::no_axis(what, axis, &shape), place)
        })
    }

    /// The sum of all elements, as a scalar; 0 of nothing. bool and integers give i64, which wraps.
    ///
    /// Sums run over 16 lanes and a fixed tree, so the bits do not depend on threads, layout or
    /// what is fused around them.
    #[track_caller]
    #[must_use]
    pub fn sum(&self) -> Tensor {
        self.reduce(Reduction::Sum, all_axes(self.peek().shape.rank()), false)
    }

    /// The sum over one or several axes, which disappear: `x.sum_dim(0)`, `x.sum_dim([1, -1])`.
    #[track_caller]
    #[must_use]
    pub fn sum_dim(&self, axes: impl Axes) -> Tensor {
        match self.axes("sum_dim", axes) {
            Ok(mask) => self.reduce(Reduction::Sum, mask, false),
            Err(failed) => failed,
        }
    }

    /// The sum over axes, which keep size 1 (`keepdim=True` elsewhere).
    #[track_caller]
    #[must_use]
    pub fn sum_keepdim(&self, axes: impl Axes) -> Tensor {
        match self.axes("sum_keepdim", axes) {
            Ok(mask) => self.reduce(Reduction::Sum, mask, true),
            Err(failed) => failed,
        }
    }

    /// The error of an average of integers or of a type that only stores, as in PyTorch.
    #[track_caller]
    pub(crate) fn not_real(&self, what: &str) -> Option<Tensor> {
        let dtype = self.peek().dtype;
        if dtype.is_float() || recorder::error_of(self).is_some() {
            return None;
        }
        let error = Error::new(Code::DType, format!("{what}: takes f32 or f64, not {dtype}"))
            .help("say in which type to compute: `cast(DType::F32)` first");
        Some(recorder::failed(error, Location::caller()))
    }

    #[track_caller]
    pub(crate) fn mean_over(&self, mask: AxisMask, keep: bool) -> Tensor {
        let meta = self.peek();
        let count = (meta.shape.numel() / squeezed(&meta.shape, mask).numel().max(1)) as f64;
        if let Some(failed) = self.not_real("mean") {
            return failed;
        }
        let sum = self.reduce(Reduction::Sum, mask, keep);
        divide(&sum, count)
    }

    /// The mean of all elements, as a scalar; NaN of nothing. Takes f32 or f64, as in PyTorch.
    #[track_caller]
    #[must_use]
    pub fn mean(&self) -> Tensor {
        self.mean_over(all_axes(self.peek().shape.rank()), false)
    }

    /// The mean over axes, which disappear.
    #[track_caller]
    #[must_use]
    pub fn mean_dim(&self, axes: impl Axes) -> Tensor {
        match self.axes("mean_dim", axes) {
            Ok(mask) => self.mean_over(mask, false),
            Err(failed) => failed,
        }
    }

    /// The mean over axes, which keep size 1.
    #[track_caller]
    #[must_use]
    pub fn mean_keepdim(&self, axes: impl Axes) -> Tensor {
        match self.axes("mean_keepdim", axes) {
            Ok(mask) => self.mean_over(mask, true),
            Err(failed) => failed,
        }
    }

    #[track_caller]
    pub(crate) fn var_over(&self, mask: AxisMask, correction: f64, keep: bool) -> Tensor {
        let shape = self.peek().shape;
        let count = shape.numel() / squeezed(&shape, mask).numel().max(1);
        if let Some(failed) = self.not_real("var") {
            return failed;
        }
        let centred = self - self.mean_over(mask, true);
        let sum = centred.square().reduce(Reduction::Sum, mask, keep);
        // PyTorch divides by max(0, n - correction): NaN or infinity for too few elements.
        divide(&sum, (count as f64 - correction).max(0.0))
    }

    /// The variance of all elements: the sum of squared deviations over `n - correction`.
    ///
    /// `correction` is 1 for the unbiased estimate (PyTorch's default) and 0 for the population.
    #[track_caller]
    #[must_use]
    pub fn var(&self, correction: impl Into<f64>) -> Tensor {
        self.var_over(all_axes(self.peek().shape.rank()), correction.into(), false)
    }

    /// The variance over axes, which disappear; see [`Tensor::var`].
    #[track_caller]
    #[must_use]
    pub fn var_dim(&self, axes: impl Axes, correction: impl Into<f64>) -> Tensor {
        match self.axes("var_dim", axes) {
            Ok(mask) => self.var_over(mask, correction.into(), false),
            Err(failed) => failed,
        }
    }

    /// The variance over axes, which keep size 1; see [`Tensor::var`].
    #[track_caller]
    #[must_use]
    pub fn var_keepdim(&self, axes: impl Axes, correction: impl Into<f64>) -> Tensor {
        match self.axes("var_keepdim", axes) {
            Ok(mask) => self.var_over(mask, correction.into(), true),
            Err(failed) => failed,
        }
    }

    /// The product of all elements, as a scalar; 1 of nothing. bool and integers give i64, which
    /// wraps. Gradients are right with zeros among the elements.
    #[track_caller]
    #[must_use]
    pub fn prod(&self) -> Tensor {
        self.reduce(Reduction::Prod, all_axes(self.peek().shape.rank()), false)
    }

    /// The product over axes, which disappear; see [`Tensor::prod`].
    #[track_caller]
    #[must_use]
    pub fn prod_dim(&self, axes: impl Axes) -> Tensor {
        match self.axes("prod_dim", axes) {
            Ok(mask) => self.reduce(Reduction::Prod, mask, false),
            Err(failed) => failed,
        }
    }

    /// The product over axes, which keep size 1; see [`Tensor::prod`].
    #[track_caller]
    #[must_use]
    pub fn prod_keepdim(&self, axes: impl Axes) -> Tensor {
        match self.axes("prod_keepdim", axes) {
            Ok(mask) => self.reduce(Reduction::Prod, mask, true),
            Err(failed) => failed,
        }
    }

    /// The largest element; NaN if there is one. Equal ones share the gradient evenly.
    #[track_caller]
    #[must_use]
    pub fn max(&self) -> Tensor {
        self.reduce(Reduction::Max, all_axes(self.peek().shape.rank()), false)
    }

    /// The largest elements over axes, which disappear (`amax` elsewhere).
    #[track_caller]
    #[must_use]
    pub fn max_dim(&self, axes: impl Axes) -> Tensor {
        match self.axes("max_dim", axes) {
            Ok(mask) => self.reduce(Reduction::Max, mask, false),
            Err(failed) => failed,
        }
    }

    /// The largest elements over axes, which keep size 1.
    #[track_caller]
    #[must_use]
    pub fn max_keepdim(&self, axes: impl Axes) -> Tensor {
        match self.axes("max_keepdim", axes) {
            Ok(mask) => self.reduce(Reduction::Max, mask, true),
            Err(failed) => failed,
        }
    }

    /// The smallest element; NaN if there is one. Equal ones share the gradient evenly.
    #[track_caller]
    #[must_use]
    pub fn min(&self) -> Tensor {
        self.reduce(Reduction::Min, all_axes(self.peek().shape.rank()), false)
    }

    /// The smallest elements over axes, which disappear (`amin` elsewhere).
    #[track_caller]
    #[must_use]
    pub fn min_dim(&self, axes: impl Axes) -> Tensor {
        match self.axes("min_dim", axes) {
            Ok(mask) => self.reduce(Reduction::Min, mask, false),
            Err(failed) => failed,
        }
    }

    /// The smallest elements over axes, which keep size 1.
    #[track_caller]
    #[must_use]
    pub fn min_keepdim(&self, axes: impl Axes) -> Tensor {
        match self.axes("min_keepdim", axes) {
            Ok(mask) => self.reduce(Reduction::Min, mask, true),
            Err(failed) => failed,
        }
    }

    #[track_caller]
    fn arg(&self, max: bool, axis: isize) -> Tensor {
        let place = Location::caller();
        let shape = self.peek().shape;
        if operand::on_scalar(axis, shape.rank()) && recorder::error_of(self).is_none() {
            return self.unsqueeze(0).arg(max, 0);
        }
        let Some(index) = operand::resolve(axis, shape.rank()) else {
            if recorder::error_of(self).is_some() {
                return self.clone();
            }
            let what = if max { "argmax" } else { "argmin" };
            return recorder::failed(operand::no_axis(what, axis, &shape), place);
        };
        let op = Op::ArgReduce { max, axis: index as u8 };
        let kept = recorder::record(op, &[self], None, Side::None, place);
        recorder::record(Op::Reshape, &[&kept], Some(shape.remove(index)), Side::None, place)
    }

    /// The position of the largest element along an axis, which disappears; i64. The first of
    /// equal ones; NaN counts as the largest.
    #[track_caller]
    #[must_use]
    pub fn argmax(&self, axis: isize) -> Tensor {
        self.arg(true, axis)
    }

    /// The position of the smallest element along an axis, which disappears; i64. The first of
    /// equal ones; NaN counts as the smallest.
    #[track_caller]
    #[must_use]
    pub fn argmin(&self, axis: isize) -> Tensor {
        self.arg(false, axis)
    }
}

/// `x / n` with n as structure: it is a size, not a number of the user's.
#[track_caller]
pub(crate) fn divide(x: &Tensor, n: f64) -> Tensor {
    let place = Location::caller();
    let n = structural(n, x.peek().dtype, place);
    recorder::record(Op::Binary(Binary::Div), &[x, &n], None, Side::None, place)
}

/// A number that is part of the structure.
pub(crate) fn structural(n: f64, dtype: DType, place: &'static Location<'static>) -> Tensor {
    recorder::with(|r| {
        let meta = super::Meta { shape: Shape::SCALAR, dtype };
        let slot = r.append(Op::Const(n), super::Operands::new(), meta, false, place, Side::None);
        r.handle(slot)
    })
}

/// For each element the product of all others that are reduced with it, without a division, so
/// that zeros are like other numbers.
fn product_of_others(ir: &mut Ir, mask: AxisMask, x: Val) -> Val {
    let shape = ir.shape(x);
    let rank = shape.rank();
    // The axes that are reduced become one line, the last axis.
    let reduced = |i: &usize| mask & (1 << i) != 0;
    let mut order = [0u8; MAX_RANK];
    let kept = (0..rank).filter(|i| !reduced(i));
    for (to, from) in order.iter_mut().zip(kept.chain((0..rank).filter(reduced))) {
        *to = from as u8;
    }
    let turned = ir.permute(x, order);
    let between = ir.shape(turned);
    let n: usize = (0..rank).filter(reduced).map(|i| shape.dim(i)).product();
    let rows: usize = (0..rank).filter(|i| !reduced(i)).map(|i| shape.dim(i)).product();
    let lines = ir.reshape(turned, Shape::new(&[rows, n]));
    let [before, after] = [false, true].map(|reverse| {
        let running = ir.scan(Running::Prod, 1, reverse, &[lines]);
        super::scan::product_before(ir, running, 1, reverse)
    });
    let others = ir.mul(before, after);
    let others = ir.reshape(others, between);
    ir.permute(others, super::movement::inverse(&order, rank))
}

/// Gradient of a reduction.
pub(crate) fn vjp(ir: &mut Ir, kind: Reduction, mask: AxisMask, x: Val, y: Val, g: Val) -> Val {
    let shape = ir.shape(x);
    let wide = ir.broadcast(g, shape);
    match kind {
        Reduction::Sum => wide,
        Reduction::Prod => {
            let others = product_of_others(ir, mask, x);
            ir.mul(wide, others)
        }
        Reduction::Max | Reduction::Min => {
            let best = ir.broadcast(y, shape);
            let hit = ir.binary(Binary::Eq, x, best);
            let dtype = ir.dtype(g);
            let ones = ir.cast(hit, dtype);
            let count = ir.reduce(Reduction::Sum, mask, ones);
            let share = ir.div(g, count);
            let share = ir.broadcast(share, shape);
            let none = ir.constant(0.0, share);
            ir.ternary(Ternary::Where, hit, share, none)
        }
    }
}
