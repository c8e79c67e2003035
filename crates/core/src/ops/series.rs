//! Along an axis as a series: differences, integrals; and counts and correlations.

use super::Op;
use crate::error::{Code, Error};
use crate::graph::dtype::DType;
use crate::graph::recorder;
use crate::tensor::{Tensor, operand};

impl Tensor {
    /// The difference of each element from the one before along an axis, `n` times; the axis gets
    /// shorter by `n`. Of bools: whether they differ.
    ///
    /// # Errors
    /// [`Code::Shape`] when the axis does not exist.
    ///
    /// ```
    /// use gradus_core::Tensor;
    /// let x = Tensor::from([1.0, 4.0, 9.0, 16.0]);
    /// assert_eq!(x.diff(1, 0).to_vec::<f32>()?, [3.0, 5.0, 7.0]);
    /// assert_eq!(x.diff(2, 0).to_vec::<f32>()?, [2.0, 2.0]);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    #[track_caller]
    #[must_use]
    pub fn diff(&self, n: usize, axis: isize) -> Tensor {
        let mut x = self.clone();
        for _ in 0..n {
            let (late, early) = (x.slice(axis, 1, isize::MAX, 1), x.slice(axis, 0, -1, 1));
            let bools = x.peek().dtype == DType::Bool;
            x = if bools { late ^ early } else { late - early };
        }
        x
    }

    /// The integral along an axis, which disappears, by trapezoids of width `dx`.
    ///
    /// # Errors
    /// [`Code::Shape`] when the axis does not exist.
    #[track_caller]
    #[must_use]
    pub fn trapezoid(&self, dx: f64, axis: isize) -> Tensor {
        (self.neighbours(axis) * (0.5 * dx)).sum_dim(axis)
    }

    /// The integral along an axis, which disappears, by trapezoids between the places `x`: one for
    /// each element of the axis, or a tensor that broadcasts with this one.
    ///
    /// # Errors
    /// [`Code::Shape`] when the axis does not exist or the places do not fit.
    #[track_caller]
    #[must_use]
    pub fn trapezoid_at(&self, x: &Tensor, axis: isize) -> Tensor {
        (self.neighbours(axis) * 0.5 * self.widths(x, axis)).sum_dim(axis)
    }

    /// [`Tensor::trapezoid`] up to each element but the first.
    ///
    /// # Errors
    /// [`Code::Shape`] when the axis does not exist.
    #[track_caller]
    #[must_use]
    pub fn cumulative_trapezoid(&self, dx: f64, axis: isize) -> Tensor {
        (self.neighbours(axis) * (0.5 * dx)).cumsum(axis)
    }

    /// [`Tensor::trapezoid_at`] up to each element but the first.
    ///
    /// # Errors
    /// [`Code::Shape`] when the axis does not exist or the places do not fit.
    #[track_caller]
    #[must_use]
    pub fn cumulative_trapezoid_at(&self, x: &Tensor, axis: isize) -> Tensor {
        (self.neighbours(axis) * 0.5 * self.widths(x, axis)).cumsum(axis)
    }

    /// The sum of each element and the one before.
    #[track_caller]
    fn neighbours(&self, axis: isize) -> Tensor {
        let y = self.as_real();
        y.slice(axis, 1, isize::MAX, 1) + y.slice(axis, 0, -1, 1)
    }

    /// The distances of places, in a shape that broadcasts with `self`.
    #[track_caller]
    fn widths(&self, x: &Tensor, axis: isize) -> Tensor {
        let shape = self.peek().shape;
        for t in [self, x] {
            if recorder::error_of(t).is_some() {
                return t.clone();
            }
        }
        let Some(at) = operand::resolve(axis, shape.rank()) else {
            return Tensor::failed(operand::no_axis("trapezoid", axis, &shape));
        };
        let places = x.peek().shape;
        if places.rank() != 1 {
            return x.diff(1, at as isize - shape.rank() as isize);
        }
        let widths = x.diff(1, 0);
        let mut to = crate::graph::shape::Shape::new(&vec![1; shape.rank()]);
        to = to.with(at, widths.peek().shape.numel());
        widths.apply(Op::Reshape, &[], Some(to))
    }

    /// The covariance of variables: rows of `[variables, observations]` (a vector is one variable,
    /// whose covariance is a scalar). `correction` is 1 for the unbiased estimate (PyTorch's
    /// default), 0 for the population.
    ///
    /// # Errors
    /// [`Code::Shape`] for more than two axes.
    #[track_caller]
    #[must_use]
    pub fn cov(&self, correction: impl Into<f64>) -> Tensor {
        self.cov_weighted(correction, None, None)
    }

    /// [`Tensor::cov`] of observations that count several times (`times`, integers) or have weights.
    /// Reads them, to refuse negative ones.
    ///
    /// # Errors
    /// [`Code::Shape`] for more than two axes, or weights that are not one for each observation;
    /// [`Code::DType`] for times that are not integers; [`Code::Argument`] for negative weights.
    #[track_caller]
    #[must_use]
    pub fn cov_weighted(
        &self,
        correction: impl Into<f64>,
        times: Option<&Tensor>,
        weights: Option<&Tensor>,
    ) -> Tensor {
        for t in [Some(self), times, weights].into_iter().flatten() {
            if recorder::error_of(t).is_some() {
                return t.clone();
            }
        }
        let (shape, correction) = (self.peek().shape, correction.into());
        if shape.rank() > 2 {
            return Tensor::failed(
                Error::new(Code::Shape, format!("cov: takes up to two axes, not {shape}"))
                    .help("rows are variables, columns observations"),
            );
        }
        let n = if shape.rank() == 0 { 1 } else { shape.last(0) };
        let x = self.as_real();
        let x = if shape.rank() == 2 { x } else { x.reshape([1, -1]) };
        for (name, w) in [("times", times), ("weights", weights)] {
            let Some(w) = w else { continue };
            if let Some(error) = wrong_weights(name, w, n) {
                return Tensor::failed(error);
            }
        }
        let dtype = x.peek().dtype;
        let w = match (times, weights) {
            (None, None) => None,
            (Some(w), None) | (None, Some(w)) => Some(w.cast(dtype)),
            (Some(t), Some(w)) => Some(t.cast(dtype) * w.cast(dtype)),
        };
        let (mean, total) = match &w {
            None => (x.mean_keepdim(1), Tensor::full([], n as f64).cast(dtype)),
            Some(w) => ((&x * w).sum_keepdim(1) / w.sum(), w.sum()),
        };
        let freedom = match (&w, weights) {
            (Some(w), Some(a)) if correction != 0.0 => {
                &total - (w * a.cast(dtype)).sum() / &total * correction
            }
            _ => &total - correction,
        };
        let centred = &x - mean;
        let left = match &w {
            None => centred.clone(),
            Some(w) => &centred * w,
        };
        let c = left.matmul(centred.t()) / freedom.clamp_min(0.0);
        if shape.rank() == 2 { c.squeezed() } else { c.reshape([]) }
    }

    /// One variable's covariance as a scalar.
    #[track_caller]
    fn squeezed(&self) -> Tensor {
        if self.peek().shape.numel() == 1 { self.reshape([]) } else { self.clone() }
    }

    /// The correlations of variables: [`Tensor::cov`] over the deviations of both, within -1 to 1.
    ///
    /// # Errors
    /// As [`Tensor::cov`].
    #[track_caller]
    #[must_use]
    pub fn corrcoef(&self) -> Tensor {
        let c = self.cov(1);
        let shape = c.peek().shape;
        if recorder::error_of(&c).is_some() {
            return c;
        }
        if shape.rank() == 0 {
            // One variable goes with itself, unless it does not vary.
            return &c / c.clone();
        }
        let n = shape.dim(0) as isize;
        let deviation = c.reshape([-1]).slice(0, 0, isize::MAX, n + 1).sqrt();
        (c / deviation.unsqueeze(1) / deviation).clamp(-1.0, 1.0)
    }

    /// How many elements lie in each of `bins` equal parts of `low..=high`, in this tensor's type;
    /// what lies outside, and NaN, does not count. With `low == high` the smallest and the largest
    /// element are the limits. Has no gradient.
    ///
    /// # Errors
    /// [`Code::Argument`] for no bins, or limits that cross or are not finite.
    ///
    /// ```
    /// use gradus_core::Tensor;
    /// let x = Tensor::from([1.0, 2.0, 1.0, 4.0]);
    /// assert_eq!(x.histc(4, 0.0, 4.0).to_vec::<f32>()?, [0.0, 2.0, 1.0, 1.0]);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    #[track_caller]
    #[must_use]
    pub fn histc(&self, bins: usize, low: f64, high: f64) -> Tensor {
        if bins == 0 || low > high || !low.is_finite() || !high.is_finite() {
            return self.refuse(
                Error::new(Code::Argument, format!("histc: {bins} bins from {low} to {high}"))
                    .help("at least one bin, and finite limits in order"),
            );
        }
        if let Some(failed) = self.not_real("histc") {
            return failed;
        }
        let x = self.detach().flat();
        if recorder::error_of(&x).is_some() {
            return x;
        }
        let dtype = x.peek().dtype;
        let number = |v: f64| Tensor::full([], v).cast(dtype);
        let (low, high) = match (low == high, x.peek().shape.numel()) {
            (true, 0) => (number(0.0), number(1.0)),
            (true, _) => {
                let (low, high) = (x.min(), x.max());
                let flat = low.eq(&high);
                (&low - flat.cast(dtype), &high + flat.cast(dtype))
            }
            _ => (number(low), number(high)),
        };
        let inside = x.ge(&low) & x.le(&high);
        let place = (&x - &low) / (high - &low) * bins as f64;
        let place = inside.where_(place, 0.0).clamp(0.0, (bins - 1) as f64).cast(DType::I64);
        Tensor::zeros([bins]).cast(dtype).scatter_add(0, &place, &inside.cast(dtype))
    }

    /// How often each of `0..` occurs in a vector of integers, i64; at least `least` results. Reads
    /// the vector, as the number of results depends on it.
    ///
    /// # Errors
    /// [`Code::Shape`] for more than one axis, [`Code::DType`] for reals, [`Code::Argument`] for
    /// negative elements; the errors of computing the vector.
    ///
    /// ```
    /// use gradus_core::Tensor;
    /// let counts = Tensor::from([1, 3, 1]).bincount(0);
    /// assert_eq!(counts.to_vec::<i64>()?, [0, 2, 0, 1]);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    #[track_caller]
    #[must_use]
    pub fn bincount(&self, least: usize) -> Tensor {
        self.counted(None, least)
    }

    /// [`Tensor::bincount`] with a weight for each element, whose sums are the results.
    ///
    /// # Errors
    /// As [`Tensor::bincount`]; [`Code::Shape`] for weights of another shape.
    #[track_caller]
    #[must_use]
    pub fn bincount_weighted(&self, weights: &Tensor, least: usize) -> Tensor {
        self.counted(Some(weights), least)
    }

    #[track_caller]
    fn counted(&self, weights: Option<&Tensor>, least: usize) -> Tensor {
        for t in [Some(self), weights].into_iter().flatten() {
            if recorder::error_of(t).is_some() {
                return t.clone();
            }
        }
        let meta = self.peek();
        if !meta.dtype.is_int() {
            return Tensor::failed(Error::new(
                Code::DType,
                format!("bincount: takes integers, not {}", meta.dtype),
            ));
        }
        let shape = weights.map_or(meta.shape, |w| w.peek().shape);
        if meta.shape.rank() != 1 || shape != meta.shape {
            let text = format!("bincount: elements {} and weights {shape}", meta.shape);
            return Tensor::failed(
                Error::new(Code::Shape, text).help("both are vectors of one size"),
            );
        }
        let ids = self.cast(DType::I64);
        let read = match ids.to_vec::<i64>() {
            Ok(read) => read,
            Err(error) => return Tensor::failed(error),
        };
        if let Some(id) = read.iter().find(|&&id| id < 0) {
            return Tensor::failed(
                Error::new(Code::Argument, format!("bincount: an element is {id}"))
                    .help("elements count from 0"),
            );
        }
        let most = read.iter().max().map_or(0, |&most| most as usize + 1).max(least);
        let ones = Tensor::ones([read.len()]).cast(DType::I64);
        let source = weights.map_or(ones, Tensor::clone);
        Tensor::zeros([most]).cast(source.peek().dtype).scatter_add(0, &ids, &source)
    }
}

/// Why these are no weights of `n` observations.
fn wrong_weights(name: &str, w: &Tensor, n: usize) -> Option<Error> {
    let meta = w.peek();
    if meta.shape.rank() != 1 || meta.shape.dim(0) != n {
        return Some(
            Error::new(Code::Shape, format!("cov: {name} {} for {n} observations", meta.shape))
                .help("one for each column"),
        );
    }
    if name == "times" && !meta.dtype.is_int() {
        return Some(Error::new(Code::DType, format!("cov: times are {}", meta.dtype)));
    }
    match w.to_array() {
        Err(error) => Some(error),
        Ok(read) if read.to_f64().iter().any(|&v| v < 0.0) => {
            Some(Error::new(Code::Argument, format!("cov: {name} are negative")))
        }
        Ok(_) => None,
    }
}
