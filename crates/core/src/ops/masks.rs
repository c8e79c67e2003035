//! Operations that follow masks, and those whose result's shape depends on values.
//!
//! `masked_select`, `masked_scatter`, `nonzero`, `argwhere`, `positions`, `unique` and
//! `repeat_interleave_each` read an operand when they are recorded (which runs only what that
//! operand needs), because the shape of the result must be known. What they record then is ordinary
//! indexing, so gradients flow and everything after them is planned as usual.

use std::panic::Location;

use crate::array::Array;
use crate::error::{Code, Error};
use crate::graph::called::called;
use crate::graph::dtype::DType;
use crate::graph::recorder;
use crate::graph::shape::Shape;
use crate::tensor::Tensor;

/// Different elements (or slices) of a tensor, and where they are; from [`Tensor::unique`].
#[derive(Clone)]
pub struct Unique {
    /// The different elements or slices.
    pub values: Tensor,
    /// For each element or slice of the tensor, its number among `values`; i64.
    pub inverse: Tensor,
    /// How often each of `values` occurs; i64.
    pub counts: Tensor,
}

impl Unique {
    fn failed(error: &Tensor) -> Unique {
        Unique { values: error.clone(), inverse: error.clone(), counts: error.clone() }
    }
}

impl Tensor {
    /// The value now, for an operation whose result's shape depends on it.
    #[track_caller]
    fn read_now(&self) -> Result<Array, Tensor> {
        if recorder::error_of(self).is_some() {
            return Err(self.clone());
        }
        match self.to_array() {
            Ok(array) => Ok(array),
            // Running it made this tensor a failed one.
            Err(_) if recorder::error_of(self).is_some() => Err(self.clone()),
            Err(error) => Err(recorder::failed(error, Location::caller())),
        }
    }

    /// The elements where the mask (bool) holds, as a vector; tensor and mask broadcast.
    ///
    /// Reads the mask when recorded: the result's size depends on it.
    ///
    /// # Errors
    /// [`Code::DType`] when the mask is not bool, [`Code::Shape`] when the shapes do not broadcast.
    ///
    /// ```
    /// # use gradus_core::Tensor;
    /// let x = Tensor::from([[1.0, 2.0], [3.0, 4.0]]);
    /// assert_eq!(x.masked_select(&x.gt(1.5)).to_vec::<f32>()?, [2.0, 3.0, 4.0]);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    #[track_caller]
    #[must_use]
    pub fn masked_select(&self, mask: &Tensor) -> Tensor {
        let _called = called("masked_select");
        match self.under("masked_select", mask) {
            Ok((x, at)) => x.reshape([-1]).index_select(0, &at),
            Err(failed) => failed,
        }
    }

    /// This tensor with the elements of `source` in the places where the mask (bool) holds, both in
    /// row-major order; tensor and mask broadcast. `source` may have more elements than are needed.
    ///
    /// Reads the mask when recorded.
    ///
    /// # Errors
    /// As [`Tensor::masked_select`]; [`Code::Shape`] when the source has too few elements.
    #[track_caller]
    #[must_use]
    pub fn masked_scatter(&self, mask: &Tensor, source: &Tensor) -> Tensor {
        let _called = called("masked_scatter");
        let (x, at) = match self.under("masked_scatter", mask) {
            Ok(found) => found,
            Err(failed) => return failed,
        };
        if recorder::error_of(source).is_some() {
            return source.clone();
        }
        let (need, have) = (at.peek().shape.numel(), source.peek().shape.numel());
        if need > have {
            let text = format!("masked_scatter: the mask takes {need} elements, there are {have}");
            return self.refuse(Error::new(Code::Shape, text));
        }
        let source = source.reshape([-1]).narrow(0, 0, need);
        x.reshape([-1]).index_copy(0, &at, &source).reshape_to(x.peek().shape)
    }

    /// This tensor broadcast with a mask, and the positions of the mask in row-major order.
    #[track_caller]
    fn under(&self, what: &str, mask: &Tensor) -> Result<(Tensor, Tensor), Tensor> {
        for t in [self, mask] {
            if recorder::error_of(t).is_some() {
                return Err(t.clone());
            }
        }
        let (shape, of) = (self.peek().shape, mask.peek().shape);
        if mask.peek().dtype != DType::Bool {
            let text = format!("{what}: the mask is {}, not bool", mask.peek().dtype);
            return Err(self.refuse(Error::new(Code::DType, text)));
        }
        let Some(to) = shape.broadcast(&of) else {
            let text = format!("{what}: the mask {of} and {shape} do not broadcast");
            return Err(self.refuse(Error::new(Code::Shape, text)));
        };
        let at = mask.broadcast_to(to).positions_flat()?;
        Ok((self.broadcast_to(to), at))
    }

    /// Numbers of the elements that are not 0, in row-major order.
    #[track_caller]
    fn positions_flat(&self) -> Result<Tensor, Tensor> {
        let values = self.read_now()?.to_f64();
        let found = values.iter().enumerate().filter(|(_, v)| **v != 0.0);
        let found: Vec<i64> = found.map(|(i, _)| i as i64).collect();
        Ok(Tensor::from(found))
    }

    /// The places of the elements that are not 0 (NaN is not 0): `[count, rank]` of i64, in
    /// row-major order. Reads this tensor when recorded. Has no gradient.
    ///
    /// ```
    /// # use gradus_core::Tensor;
    /// let x = Tensor::from([[0.0, 2.0], [3.0, 0.0]]);
    /// assert_eq!(x.nonzero().to_vec::<i64>()?, [0, 1, 1, 0]);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    #[track_caller]
    #[must_use]
    pub fn nonzero(&self) -> Tensor {
        let _called = called("nonzero");
        let values = match self.read_now() {
            Ok(array) => array.to_f64(),
            Err(failed) => return failed,
        };
        let shape = self.peek().shape;
        let strides = shape.strides();
        let mut out: Vec<i64> = Vec::new();
        let mut count = 0;
        for (number, _) in values.iter().enumerate().filter(|(_, v)| **v != 0.0) {
            count += 1;
            for (&size, &stride) in shape.dims().iter().zip(&strides) {
                out.push((number / stride.max(1) as usize % size) as i64);
            }
        }
        Tensor::exact([count, shape.rank()], &out)
    }

    /// [`Tensor::nonzero`] under its other name.
    #[track_caller]
    #[must_use]
    pub fn argwhere(&self) -> Tensor {
        let _called = called("argwhere");
        self.nonzero()
    }

    /// [`Tensor::nonzero`] as one vector for each axis, as indices are taken (`where` with one
    /// argument elsewhere); a scalar counts as a vector of one.
    #[track_caller]
    #[must_use]
    pub fn positions(&self) -> Vec<Tensor> {
        let _called = called("positions");
        let x = self.atleast_1d();
        let found = x.nonzero();
        let mut out = Vec::new();
        for axis in 0..x.peek().shape.rank() {
            out.push(match recorder::error_of(&found) {
                Some(_) => found.clone(),
                None => found.narrow(1, axis, 1).squeeze(1),
            });
        }
        out
    }

    /// For each element, whether it is among the elements of `of`; bool. NaN is equal to nothing.
    #[track_caller]
    #[must_use]
    pub fn isin(&self, of: &Tensor) -> Tensor {
        let _called = called("isin");
        for t in [self, of] {
            if recorder::error_of(t).is_some() {
                return t.clone();
            }
        }
        let n = of.peek().shape.numel();
        if n == 0 {
            return Tensor::from(false).broadcast_to(self.peek().shape);
        }
        let sorted = of.reshape([-1]).sort(0, false).0;
        let at = sorted.searchsorted(self, false).clamp(0, n as i64 - 1);
        sorted.take(&at).eq(self)
    }

    /// The different elements in ascending order, with where they are and how many; NaN is equal to
    /// nothing. `values` is a vector, `inverse` has this tensor's shape.
    ///
    /// Reads this tensor when recorded. Gradients go to the first of equal elements.
    ///
    /// ```
    /// # use gradus_core::Tensor;
    /// let u = Tensor::from([3, 1, 3]).unique();
    /// assert_eq!(u.values.to_vec::<i64>()?, [1, 3]);
    /// assert_eq!(u.inverse.to_vec::<i64>()?, [1, 0, 1]);
    /// assert_eq!(u.counts.to_vec::<i64>()?, [1, 2]);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    #[track_caller]
    #[must_use]
    pub fn unique(&self) -> Unique {
        let _called = called("unique");
        match self.distinct() {
            Ok(groups) => groups.of(&self.reshape([-1]), 0, self.peek().shape),
            Err(failed) => Unique::failed(&failed),
        }
    }

    /// The different slices along an axis, in lexicographic order; otherwise as
    /// [`Tensor::unique`].
    ///
    /// # Errors
    /// [`Code::Shape`] when the axis does not exist, or the slices have no elements.
    #[track_caller]
    #[must_use]
    pub fn unique_dim(&self, axis: isize) -> Unique {
        let _called = called("unique_dim");
        let (ids, n) = match self.slices("unique_dim", axis) {
            Ok(found) => found,
            Err(failed) => return Unique::failed(&failed),
        };
        // Elements by their rank among all elements, so that slices compare as integers do.
        let ranks = match ids.distinct() {
            Ok(groups) => groups.inverse,
            Err(failed) => return Unique::failed(&failed),
        };
        let width = ranks.len().checked_div(n).unwrap_or(0);
        let row = |i: usize| ranks.get(i * width..(i + 1) * width).unwrap_or_default();
        let mut order: Vec<usize> = (0..n).collect();
        order.sort_by(|&a, &b| row(a).cmp(row(b)));
        let new = |k: usize| {
            let at = |k: usize| row(order.get(k).copied().unwrap_or(0));
            k == 0 || at(k) != at(k - 1)
        };
        let groups = Groups::new(order.iter().copied(), (0..n).map(new), n);
        groups.of(self, axis, Shape::new(&[n]))
    }

    /// Runs of equal elements made into one each, in their order: `values` is a vector, `inverse`
    /// has this tensor's shape. Otherwise as [`Tensor::unique`].
    ///
    /// ```
    /// # use gradus_core::Tensor;
    /// let u = Tensor::from([1, 1, 2, 1]).unique_consecutive();
    /// assert_eq!(u.values.to_vec::<i64>()?, [1, 2, 1]);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    #[track_caller]
    #[must_use]
    pub fn unique_consecutive(&self) -> Unique {
        let _called = called("unique_consecutive");
        let flat = self.reshape([-1]);
        match flat.starts() {
            Ok(new) => {
                let n = flat.peek().shape.numel();
                Groups::new(0..n, new.into_iter(), n).of(&flat, 0, self.peek().shape)
            }
            Err(failed) => Unique::failed(&failed),
        }
    }

    /// Runs of equal slices along an axis made into one each, in their order.
    ///
    /// # Errors
    /// As [`Tensor::unique_dim`].
    #[track_caller]
    #[must_use]
    pub fn unique_consecutive_dim(&self, axis: isize) -> Unique {
        let _called = called("unique_consecutive_dim");
        let found = self.slices("unique_consecutive_dim", axis);
        match found.and_then(|(rows, n)| Ok((rows.starts()?, n))) {
            Ok((new, n)) => Groups::new(0..n, new.into_iter(), n).of(self, axis, Shape::new(&[n])),
            Err(failed) => Unique::failed(&failed),
        }
    }

    /// Slices along an axis as rows, and how many.
    #[track_caller]
    fn slices(&self, what: &str, axis: isize) -> Result<(Tensor, usize), Tensor> {
        let shape = self.peek().shape;
        let at = self.along(what, axis)?;
        let (n, width) = (shape.dim(at), shape.remove(at).numel());
        if width == 0 && n > 0 {
            let text = format!("{what}: the slices of {shape} along axis {axis} have no elements");
            return Err(self.refuse(Error::new(Code::Shape, text)));
        }
        Ok((self.movedim(axis, 0).reshape_to([n, width]), n))
    }

    /// For each element of a vector, or row of a matrix, whether it differs from the one before it.
    #[track_caller]
    fn starts(&self) -> Result<Vec<bool>, Tensor> {
        let shape = self.peek().shape;
        let n = shape.dim(0);
        if n < 2 {
            self.read_now()?;
            return Ok(vec![true; n]);
        }
        let differ = self.narrow(0, 1, n - 1).ne(self.narrow(0, 0, n - 1));
        let differ = if shape.rank() == 2 { differ.max_dim(1) } else { differ };
        let new = differ.read_now()?.to_vec::<bool>().unwrap_or_default();
        Ok(std::iter::once(true).chain(new).collect())
    }

    /// The groups of equal elements, in ascending order of the elements.
    #[track_caller]
    fn distinct(&self) -> Result<Groups, Tensor> {
        if recorder::error_of(self).is_some() {
            return Err(self.clone());
        }
        let flat = self.reshape([-1]);
        let (sorted, order) = flat.sort(0, false);
        let new = sorted.starts()?;
        let order = order.read_now()?.to_vec::<i64>().unwrap_or_default();
        let n = order.len();
        Ok(Groups::new(order.into_iter().map(|i| i as usize), new.into_iter(), n))
    }
}

/// Groups of equal elements: the first of each, how many, and the group of each element.
struct Groups {
    first: Vec<i64>,
    counts: Vec<i64>,
    inverse: Vec<i64>,
}

impl Groups {
    /// From the `n` elements in an order in which equal ones follow each other, and whether each
    /// begins a new group.
    fn new(
        order: impl Iterator<Item = usize>,
        new: impl Iterator<Item = bool>,
        n: usize,
    ) -> Groups {
        let mut groups = Groups { first: Vec::new(), counts: Vec::new(), inverse: vec![0; n] };
        for (at, new) in order.zip(new) {
            if new {
                groups.first.push(at as i64);
                groups.counts.push(0);
            }
            if let Some(count) = groups.counts.last_mut() {
                *count += 1;
            }
            if let Some(slot) = groups.inverse.get_mut(at) {
                *slot = groups.first.len() as i64 - 1;
            }
        }
        groups
    }

    #[track_caller]
    fn of(&self, x: &Tensor, axis: isize, shape: Shape) -> Unique {
        Unique {
            values: x.index_select(axis, &Tensor::exact([self.first.len()], &self.first)),
            inverse: Tensor::exact(shape, &self.inverse),
            counts: Tensor::exact([self.counts.len()], &self.counts),
        }
    }
}
