//! Sorting along an axis, and what follows from it.

use std::panic::Location;

use super::Op;
use crate::error::{Code, Error};
use crate::graph::recorder::{self, Side};
use crate::tensor::{Tensor, operand};

impl Tensor {
    /// The positions of the elements along an axis in ascending (or descending) order, i64, of this
    /// tensor's shape: `x.gather(axis, &x.argsort(axis, false))` is `x` sorted.
    ///
    /// Stable in both directions: equal elements keep their order. NaN is beyond every number, as
    /// in PyTorch: last when ascending, first when descending. Any element type; a scalar is taken
    /// as a vector of one. Has no gradient.
    ///
    /// # Errors
    /// [`Code::Shape`] when the axis does not exist.
    ///
    /// ```
    /// # use gradus_core::Tensor;
    /// let x = Tensor::from([3.0, 1.0, 2.0]);
    /// assert_eq!(x.argsort(0, false).to_vec::<i64>()?, [1, 2, 0]);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    #[track_caller]
    #[must_use]
    pub fn argsort(&self, axis: isize, descending: bool) -> Tensor {
        self.ordered("argsort", axis, descending)
    }

    #[track_caller]
    fn ordered(&self, what: &str, axis: isize, descending: bool) -> Tensor {
        let place = Location::caller();
        let shape = self.peek().shape;
        let rank = shape.rank();
        if recorder::error_of(self).is_some() {
            return self.clone();
        }
        if operand::on_scalar(axis, rank) {
            return Tensor::zeros(()).cast(crate::DType::I64);
        }
        let Some(at) = operand::resolve(axis, rank) else {
            return recorder::failed(operand::no_axis(what, axis, &shape), place);
        };
        let op = Op::Argsort { descending };
        let last = rank - 1;
        if at == last {
            return recorder::record(op, &[self], None, Side::None, place);
        }
        let turned = self.transpose(axis, -1);
        recorder::record(op, &[&turned], None, Side::None, place).transpose(axis, -1)
    }

    /// The elements along an axis in ascending (or descending) order, and their positions before:
    /// `(values, indices)`, both of this tensor's shape. Order, ties and NaN as in
    /// [`Tensor::argsort`].
    ///
    /// # Errors
    /// [`Code::Shape`] when the axis does not exist.
    ///
    /// ```
    /// # use gradus_core::Tensor;
    /// let (values, at) = Tensor::from([3.0, 1.0, 2.0]).sort(0, true);
    /// assert_eq!(values.to_vec::<f32>()?, [3.0, 2.0, 1.0]);
    /// assert_eq!(at.to_vec::<i64>()?, [0, 2, 1]);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    #[track_caller]
    #[must_use]
    pub fn sort(&self, axis: isize, descending: bool) -> (Tensor, Tensor) {
        let at = self.ordered("sort", axis, descending);
        let values = self.at_places(axis, &at);
        (values, at)
    }

    /// The elements of rows sorted along axis 0; `sort(0, false)` without the positions.
    #[track_caller]
    #[must_use]
    pub fn msort(&self) -> Tensor {
        let at = self.ordered("msort", 0, false);
        self.at_places(0, &at)
    }

    /// The `k` largest (or smallest) elements along an axis, best first, and their positions:
    /// `(values, indices)`, with size `k` on the axis. Of equal elements the earlier comes first;
    /// NaN counts as the largest.
    ///
    /// # Errors
    /// [`Code::Shape`] when the axis does not exist or has fewer than `k` elements.
    ///
    /// ```
    /// # use gradus_core::Tensor;
    /// let (values, at) = Tensor::from([[3.0, 1.0, 2.0]]).topk(2, -1, true);
    /// assert_eq!(values.to_vec::<f32>()?, [3.0, 2.0]);
    /// assert_eq!(at.to_vec::<i64>()?, [0, 2]);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    #[track_caller]
    #[must_use]
    pub fn topk(&self, k: usize, axis: isize, largest: bool) -> (Tensor, Tensor) {
        let place = Location::caller();
        let shape = self.peek().shape;
        let size = operand::resolve(axis, shape.rank()).map(|a| shape.dim(a));
        if let Some(n) = size.or(operand::on_scalar(axis, shape.rank()).then_some(1))
            && k > n
            && recorder::error_of(self).is_none()
        {
            let text = format!("topk: {k} of the {n} elements along axis {axis} of {shape}");
            let failed = recorder::failed(Error::new(Code::Shape, text), place);
            return (failed.clone(), failed);
        }
        let mut at = self.ordered("topk", axis, largest);
        if shape.rank() > 0 {
            at = at.slice(axis, 0, k as isize, 1);
        } else if k == 0 {
            at = at.unsqueeze(0).slice(0, 0, 0, 1);
        }
        let values = self.at_places(axis, &at);
        (values, at)
    }

    /// How many elements of a sorted row lie before each value, i64: where it would go in. This
    /// tensor is one sorted vector, which serves `values` of any shape, or has the sizes of
    /// `values` on all axes but the last, so that each row has its own.
    ///
    /// A value goes before equal elements, or behind them when `right`. NaN is beyond every number.
    /// That the rows are ascending is not checked. Has no gradient.
    ///
    /// # Errors
    /// [`Code::Shape`] when the shapes do not go together.
    ///
    /// ```
    /// # use gradus_core::Tensor;
    /// let at = Tensor::from([1, 3, 5]).searchsorted(&Tensor::from([0, 3, 9]), false);
    /// assert_eq!(at.to_vec::<i64>()?, [0, 1, 3]);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    #[track_caller]
    #[must_use]
    pub fn searchsorted(&self, values: &Tensor, right: bool) -> Tensor {
        let place = Location::caller();
        let to = self.peek().dtype.promote(values.peek().dtype);
        let as_is = [self, values].iter().any(|t| recorder::error_of(t).is_some());
        let common = |t: &Tensor| if as_is { t.clone() } else { operand::cast_to(t, to, place) };
        let ins = [&common(self), &common(values)];
        recorder::record(Op::Search { right }, &ins, None, Side::None, place)
    }

    /// [`Tensor::searchsorted`] in rows that are not sorted themselves: `order` says how they are,
    /// as [`Tensor::argsort`] does (`sorter` elsewhere).
    ///
    /// # Errors
    /// As [`Tensor::searchsorted`]; [`Code::Shape`] for an order of another shape, [`Code::Index`]
    /// when it leaves the row.
    #[track_caller]
    #[must_use]
    pub fn searchsorted_by(&self, order: &Tensor, values: &Tensor, right: bool) -> Tensor {
        let place = Location::caller();
        let (shape, of) = (self.peek().shape, order.peek().shape);
        let ok = [self, order].iter().all(|t| recorder::error_of(t).is_none());
        if ok && shape != of {
            let text = format!("searchsorted: the order is {of}, the rows {shape}");
            return recorder::failed(Error::new(Code::Shape, text), place);
        }
        self.gather(-1, order).searchsorted(values, right)
    }

    /// How many of the sorted `boundaries` (a vector) lie before each element: its bucket, i64.
    /// With `right` a boundary that is equal counts.
    ///
    /// # Errors
    /// [`Code::Shape`] when the boundaries are no vector.
    #[track_caller]
    #[must_use]
    pub fn bucketize(&self, boundaries: &Tensor, right: bool) -> Tensor {
        let place = Location::caller();
        let of = boundaries.peek().shape;
        let ok = [self, boundaries].iter().all(|t| recorder::error_of(t).is_none());
        if ok && of.rank() != 1 {
            let text = format!("bucketize: the boundaries are {of}, not a vector");
            return recorder::failed(Error::new(Code::Shape, text), place);
        }
        boundaries.searchsorted(self, right)
    }

    /// `gather`, where a scalar has nothing to be moved.
    #[track_caller]
    fn at_places(&self, axis: isize, at: &Tensor) -> Tensor {
        if recorder::error_of(at).is_some() {
            return at.clone();
        }
        match (self.peek().shape.rank(), at.peek().shape.rank()) {
            (0, 0) => self.clone(),
            (0, _) => self.unsqueeze(0).gather(0, at),
            _ => self.gather(axis, at),
        }
    }
}
