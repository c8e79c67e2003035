//! Running results along an axis: cumulative sums, products, extremes, and linear recurrences.

use std::panic::Location;

use super::{Binary, Op, Running, Ternary, Unary};
use crate::graph::dtype::DType;
use crate::graph::recorder::{self, Side};
use crate::plan::ir::{Ir, Val};
use crate::tensor::{Tensor, operand};

impl Tensor {
    /// Records a scan; a scalar is a line of one element.
    #[track_caller]
    fn scan(&self, what: &str, kind: Running, axis: isize, others: &[&Tensor]) -> Tensor {
        let place = Location::caller();
        if recorder::error_of(self).is_some() {
            return self.clone();
        }
        let shape = self.peek().shape;
        if operand::on_scalar(axis, shape.rank()) && others.is_empty() {
            return self.unsqueeze(0).scan(what, kind, 0, &[]).squeeze(0);
        }
        let Some(axis) = operand::resolve(axis, shape.rank()) else {
            return recorder::failed(operand::no_axis(what, axis, &shape), place);
        };
        let op = Op::Scan { kind, axis: axis as u8, reverse: false };
        let mut inputs = smallvec::SmallVec::<[&Tensor; 2]>::from_slice(&[self]);
        inputs.extend(others.iter().copied());
        recorder::record(op, &inputs, None, Side::None, place)
    }

    /// This tensor, as i64 if it is bool or of small integers, which would overflow.
    #[track_caller]
    pub(crate) fn wide(&self) -> Tensor {
        let dtype = self.peek().dtype;
        let small = dtype == DType::Bool || dtype.is_int();
        if small { operand::cast_to(self, DType::I64, Location::caller()) } else { self.clone() }
    }

    /// The sum of the elements so far along an axis, of this tensor's shape; bool and integers give
    /// i64, which wraps. Sums of f32 are kept in f64 on the way.
    ///
    /// # Errors
    /// [`Code::Shape`](crate::Code::Shape) when the axis does not exist.
    ///
    /// ```
    /// use gradus_core::Tensor;
    /// let y = Tensor::from([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]).cumsum(1);
    /// assert_eq!(y.to_vec::<f32>()?, [1.0, 3.0, 6.0, 4.0, 9.0, 15.0]);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    #[track_caller]
    #[must_use]
    pub fn cumsum(&self, axis: isize) -> Tensor {
        self.wide().scan("cumsum", Running::Sum, axis, &[])
    }

    /// The product of the elements so far along an axis, of this tensor's shape; bool and integers
    /// give i64, which wraps. Gradients are right with zeros among the elements.
    ///
    /// # Errors
    /// [`Code::Shape`](crate::Code::Shape) when the axis does not exist.
    #[track_caller]
    #[must_use]
    pub fn cumprod(&self, axis: isize) -> Tensor {
        self.wide().scan("cumprod", Running::Prod, axis, &[])
    }

    /// `log(sum(exp(x)))` of the elements so far along an axis, without overflow.
    ///
    /// # Errors
    /// [`Code::Shape`](crate::Code::Shape) when the axis does not exist.
    #[track_caller]
    #[must_use]
    pub fn logcumsumexp(&self, axis: isize) -> Tensor {
        self.scan("logcumsumexp", Running::LogSumExp, axis, &[])
    }

    /// The largest element so far along an axis, and its position: `(values, indices)`. Of equal
    /// ones the last counts; NaN stays. The gradient goes to the elements at the positions.
    ///
    /// # Errors
    /// [`Code::Shape`](crate::Code::Shape) when the axis does not exist.
    ///
    /// ```
    /// use gradus_core::Tensor;
    /// let (values, at) = Tensor::from([1.0, 3.0, 2.0]).cummax(0);
    /// assert_eq!(values.to_vec::<f32>()?, [1.0, 3.0, 3.0]);
    /// assert_eq!(at.to_vec::<i64>()?, [0, 1, 1]);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    #[track_caller]
    #[must_use]
    pub fn cummax(&self, axis: isize) -> (Tensor, Tensor) {
        self.running_extreme("cummax", Running::ArgMax, axis)
    }

    /// The smallest element so far along an axis, and its position; see [`Tensor::cummax`].
    ///
    /// # Errors
    /// [`Code::Shape`](crate::Code::Shape) when the axis does not exist.
    #[track_caller]
    #[must_use]
    pub fn cummin(&self, axis: isize) -> (Tensor, Tensor) {
        self.running_extreme("cummin", Running::ArgMin, axis)
    }

    #[track_caller]
    fn running_extreme(&self, what: &str, kind: Running, axis: isize) -> (Tensor, Tensor) {
        let at = self.wide().scan(what, kind, axis, &[]);
        if recorder::error_of(&at).is_some() {
            return (at.clone(), at);
        }
        let values = if operand::on_scalar(axis, self.peek().shape.rank()) {
            self.clone()
        } else {
            self.gather(axis, &at)
        };
        (values, at)
    }

    /// The linear recurrence `h[t] = decay[t] h[t-1] + x[t]` along an axis, from `h = 0`; both of
    /// one shape. With a decay of 1 it is [`Tensor::cumsum`].
    ///
    /// # Errors
    /// [`Code::Shape`](crate::Code::Shape) when the shapes differ or the axis does not exist.
    ///
    /// ```
    /// use gradus_core::Tensor;
    /// let decay = Tensor::full([3], 0.5);
    /// let h = Tensor::from([8.0, 0.0, 1.0]).linear_recurrence(&decay, 0);
    /// assert_eq!(h.to_vec::<f32>()?, [8.0, 4.0, 3.0]);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    #[track_caller]
    #[must_use]
    pub fn linear_recurrence(&self, decay: &Tensor, axis: isize) -> Tensor {
        if recorder::error_of(self).is_some() {
            return self.clone();
        }
        decay.scan("linear_recurrence", Running::Linear, axis, &[self])
    }
}

/// The element before (`by` 1) or after (-1) each along an axis, and 0 where there is none.
fn shifted(ir: &mut Ir, x: Val, axis: u8, back: bool) -> Val {
    let shape = ir.shape(x);
    let n = shape.dim(usize::from(axis)).saturating_sub(1);
    let (from, to) = if back { (0, 1) } else { (1, 0) };
    let part = ir.slice(x, axis, from, 1, shape.with(usize::from(axis), n));
    ir.unslice(part, axis, to, 1, shape)
}

/// Where the index along an axis is the first or the last one, as bool.
fn at_end(ir: &mut Ir, like: Val, axis: u8, last: bool) -> Val {
    let shape = ir.shape(like);
    let index = ir.index(shape, axis);
    let end = if last { shape.dim(usize::from(axis)).saturating_sub(1) } else { 0 };
    let end = ir.constant(end as f64, index);
    ir.binary(Binary::Eq, index, end)
}

/// The product of the elements before each one, in the direction of the scan.
pub(crate) fn product_before(ir: &mut Ir, running: Val, axis: u8, reverse: bool) -> Val {
    let before = shifted(ir, running, axis, !reverse);
    let first = at_end(ir, before, axis, reverse);
    let one = ir.constant(1.0, before);
    ir.ternary(Ternary::Where, first, one, before)
}

/// Gradient of a scan for operand `i`, from its result y.
pub(crate) fn vjp(
    ir: &mut Ir,
    (kind, axis, reverse): (Running, u8, bool),
    x: Val,
    y: Val,
    g: Val,
    i: usize,
) -> Option<Val> {
    Some(match kind {
        Running::Sum => ir.scan(kind, axis, !reverse, &[g]),
        Running::Prod => {
            // Element i is in every later product: what is before it, times a sum over what comes
            // after, which is a recurrence. Nothing is divided, so zeros are like other numbers.
            let before = product_before(ir, y, axis, reverse);
            let next = shifted(ir, x, axis, reverse);
            let after = ir.scan(Running::Linear, axis, !reverse, &[next, g]);
            ir.mul(before, after)
        }
        Running::LogSumExp => {
            // e^(x_i - y_i) times the sum over k of g_k e^(y_i - y_k), which is a recurrence whose
            // factors are at most 1. Differences of two -inf count as -inf.
            let lowest = ir.constant(f64::NEG_INFINITY, y);
            let minus = |ir: &mut Ir, a: Val, b: Val| {
                let none = ir.binary(Binary::Eq, a, lowest);
                let d = ir.sub(a, b);
                let d = ir.ternary(Ternary::Where, none, lowest, d);
                ir.unary(Unary::Exp, d)
            };
            let next = shifted(ir, y, axis, reverse);
            let last = at_end(ir, y, axis, !reverse);
            let next = ir.ternary(Ternary::Where, last, y, next);
            let factor = minus(ir, y, next);
            let sum = ir.scan(Running::Linear, axis, !reverse, &[factor, g]);
            let own = minus(ir, x, y);
            ir.mul(own, sum)
        }
        Running::Linear => {
            let next = shifted(ir, x, axis, reverse);
            let sum = ir.scan(kind, axis, !reverse, &[next, g]);
            if i == 1 {
                return Some(sum);
            }
            let before = shifted(ir, y, axis, !reverse);
            ir.mul(before, sum)
        }
        Running::ArgMax | Running::ArgMin => return None,
    })
}
