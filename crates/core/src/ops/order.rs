//! Order statistics: medians, quantiles, the k-th and the most frequent element. All are composed
//! of a sort, so the gradient goes to the element that is chosen.

use crate::error::{Code, Error};
use crate::graph::dtype::DType;
use crate::graph::recorder;
use crate::tensor::{Tensor, operand};

/// What a quantile between two elements is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Quantile {
    /// In proportion between the two.
    Linear,
    /// The smaller one.
    Lower,
    /// The larger one.
    Higher,
    /// The nearer one; of equally near ones that of even rank.
    Nearest,
    /// Their mean.
    Midpoint,
}

/// Elements along an axis in ascending order.
struct Sorted {
    values: Tensor,
    order: Tensor,
    axis: isize,
    n: usize,
}

impl Sorted {
    /// The elements at a position of each line (`at` has size 1 along the axis), and where they were.
    #[track_caller]
    fn at(&self, at: &Tensor) -> (Tensor, Tensor) {
        let pick = |t: &Tensor| t.gather(self.axis, at);
        let (values, order) = (pick(&self.values), pick(&self.order));
        (values.squeeze(self.axis), order.squeeze(self.axis))
    }

    /// The elements of rank `k` from 0, and where they were.
    #[track_caller]
    fn rank(&self, k: usize) -> (Tensor, Tensor) {
        let (values, order) =
            (self.values.narrow(self.axis, k, 1), self.order.narrow(self.axis, k, 1));
        (values.squeeze(self.axis), order.squeeze(self.axis))
    }

    /// How many elements of each line are NaN.
    #[track_caller]
    fn missing(&self) -> Tensor {
        self.values.is_nan().sum_keepdim(self.axis)
    }
}

impl Tensor {
    /// Sorts along an axis that has elements; a scalar is a vector of one.
    #[track_caller]
    fn sorted(&self, what: &str, axis: isize) -> Result<Sorted, Tensor> {
        if recorder::error_of(self).is_some() {
            return Err(self.clone());
        }
        let shape = self.peek().shape;
        if operand::on_scalar(axis, shape.rank()) {
            return self.unsqueeze(0).sorted(what, 0);
        }
        let Some(at) = operand::resolve(axis, shape.rank()) else {
            return Err(Tensor::failed(operand::no_axis(what, axis, &shape)));
        };
        let n = shape.dim(at);
        if n == 0 {
            let text = format!("{what}: nothing to choose from in {shape}");
            return Err(Tensor::failed(Error::new(Code::Shape, text)));
        }
        let (values, order) = self.sort(axis, false);
        Ok(Sorted { values, order, axis: at as isize, n })
    }

    /// The middle element along an axis, which disappears, and its position: `(values, indices)`. Of
    /// an even number the smaller of the two in the middle; NaN if there is one.
    ///
    /// # Errors
    /// [`Code::Shape`] when the axis does not exist or has no elements.
    ///
    /// ```
    /// use gradus_core::Tensor;
    /// let (values, at) = Tensor::from([[3.0, 1.0, 2.0]]).median_dim(1);
    /// assert_eq!((values.item()?, at.item()?), (2.0, 2.0));
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    #[track_caller]
    #[must_use]
    pub fn median_dim(&self, axis: isize) -> (Tensor, Tensor) {
        let s = match self.sorted("median_dim", axis) {
            Ok(s) => s,
            Err(failed) => return (failed.clone(), failed),
        };
        // NaN is sorted last; the first one is taken.
        let missing = s.missing();
        let middle = ((s.n - 1) / 2) as i64;
        let at = missing.gt(0).where_(&missing * -1 + s.n as i64, middle);
        s.at(&at)
    }

    /// The middle one of all elements, as a scalar; see [`Tensor::median_dim`].
    #[track_caller]
    #[must_use]
    pub fn median(&self) -> Tensor {
        self.flat().median_dim(0).0
    }

    /// [`Tensor::median_dim`] of the elements that are not NaN; NaN where there is none.
    ///
    /// # Errors
    /// [`Code::Shape`] when the axis does not exist or has no elements.
    #[track_caller]
    #[must_use]
    pub fn nanmedian_dim(&self, axis: isize) -> (Tensor, Tensor) {
        let s = match self.sorted("nanmedian_dim", axis) {
            Ok(s) => s,
            Err(failed) => return (failed.clone(), failed),
        };
        let at = (s.missing() * -1 + (s.n as i64 - 1)).clamp_min(0).floor_divide(2);
        s.at(&at)
    }

    /// The middle one of all elements that are not NaN; see [`Tensor::nanmedian_dim`].
    #[track_caller]
    #[must_use]
    pub fn nanmedian(&self) -> Tensor {
        self.flat().nanmedian_dim(0).0
    }

    /// The element of rank `k` from 1 along an axis, which disappears, and its position: `(values,
    /// indices)`. NaN is beyond every number.
    ///
    /// # Errors
    /// [`Code::Shape`] when the axis does not exist; [`Code::Argument`] when k is not from 1 to its
    /// size.
    #[track_caller]
    #[must_use]
    pub fn kthvalue(&self, k: usize, axis: isize) -> (Tensor, Tensor) {
        let s = match self.sorted("kthvalue", axis) {
            Ok(s) => s,
            Err(failed) => return (failed.clone(), failed),
        };
        if k == 0 || k > s.n {
            let text = format!("kthvalue: k is {k}, the axis has {} elements", s.n);
            let failed = Tensor::failed(Error::new(Code::Argument, text).help("k counts from 1"));
            return (failed.clone(), failed);
        }
        s.rank(k - 1)
    }

    /// The value below which a part `q` (0 to 1) of the elements along an axis lies; the axis
    /// disappears. NaN where there is one.
    ///
    /// # Errors
    /// [`Code::Shape`] when the axis does not exist or has no elements; [`Code::Argument`] for a q
    /// outside 0 to 1; [`Code::DType`] for integers.
    ///
    /// ```
    /// use gradus_core::{Quantile, Tensor};
    /// let x = Tensor::from([4.0, 1.0, 2.0, 3.0]);
    /// assert_eq!(x.quantile(0.5, 0, Quantile::Linear).item()?, 2.5);
    /// assert_eq!(x.quantile(0.5, 0, Quantile::Lower).item()?, 2.0);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    #[track_caller]
    #[must_use]
    pub fn quantile(&self, q: f64, axis: isize, between: Quantile) -> Tensor {
        if let Some(failed) = self.not_real("quantile") {
            return failed;
        }
        if !(0.0..=1.0).contains(&q) {
            return self.refuse(
                Error::new(Code::Argument, format!("quantile: q is {q}"))
                    .help("it is a part of the elements, from 0 to 1"),
            );
        }
        let s = match self.sorted("quantile", axis) {
            Ok(s) => s,
            Err(failed) => return failed,
        };
        let place = q * (s.n - 1) as f64;
        let (low, part) = (place.floor(), place - place.floor());
        let rank = |k: f64| s.rank(k as usize).0;
        let value = match between {
            Quantile::Lower => rank(low),
            Quantile::Higher => rank(place.ceil()),
            Quantile::Nearest => rank(place.round_ties_even()),
            Quantile::Linear | Quantile::Midpoint if part == 0.0 => rank(low),
            Quantile::Linear => rank(low).lerp(&rank(low + 1.0), part),
            Quantile::Midpoint => rank(low).lerp(&rank(low + 1.0), 0.5),
        };
        let last = rank((s.n - 1) as f64);
        last.is_nan().where_(last, value)
    }

    /// The most frequent element along an axis, which disappears, and the position where it is last:
    /// `(values, indices)`. Of equally frequent ones the smallest.
    ///
    /// # Errors
    /// [`Code::Shape`] when the axis does not exist or has no elements.
    ///
    /// ```
    /// use gradus_core::Tensor;
    /// let (values, at) = Tensor::from([5, 2, 5, 2, 7]).mode_dim(0);
    /// assert_eq!((values.item()?, at.item()?), (2.0, 3.0));
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    #[track_caller]
    #[must_use]
    pub fn mode_dim(&self, axis: isize) -> (Tensor, Tensor) {
        let s = match self.sorted("mode_dim", axis) {
            Ok(s) => s,
            Err(failed) => return (failed.clone(), failed),
        };
        // The length of the run of equal elements up to each one: h = h + 1 where it goes on, 1
        // where it starts.
        let values = s.values.detach();
        let (late, early) =
            (values.slice(s.axis, 1, isize::MAX, 1), values.slice(s.axis, 0, -1, 1));
        let goes_on = late.eq(&early).cast(DType::F64);
        let start = values.narrow(s.axis, 0, 1).ne(values.narrow(s.axis, 0, 1)).cast(DType::F64);
        let decay = Tensor::concat(&[&(start * 0.0), &goes_on], s.axis);
        let one = (&decay * 0.0) + 1.0;
        let run = one.linear_recurrence(&decay, s.axis);
        let at = run.argmax(s.axis).unsqueeze(s.axis);
        s.at(&at)
    }
}
