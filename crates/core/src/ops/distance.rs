//! Distances between vectors, and vectors of a given length.

use super::reduce::all_axes;
use crate::error::{Code, Error};
use crate::graph::recorder;
use crate::tensor::{Tensor, operand};

impl Tensor {
    /// The p-norm of the difference of all elements, as a scalar; shapes broadcast.
    #[track_caller]
    #[must_use]
    pub fn dist(&self, other: &Tensor, p: impl Into<f64>) -> Tensor {
        (self - other).norm(p)
    }

    /// The p-norm of `self - other + eps` over the last axis, which disappears; shapes broadcast.
    /// PyTorch's `eps` is 1e-6: it keeps the gradient of equal vectors away from 0 / 0, which here
    /// is 0 anyway.
    #[track_caller]
    #[must_use]
    pub fn pairwise_distance(&self, other: &Tensor, p: impl Into<f64>, eps: f64) -> Tensor {
        (self - other + eps).norm_dim(-1, p)
    }

    /// The p-norm of the difference of each row of `self` `[.., n, d]` and each row of `other`
    /// `[.., m, d]`: `[.., n, m]`. Batch axes broadcast.
    ///
    /// Differences are taken element by element, never from products, so near rows keep their
    /// digits.
    ///
    /// # Errors
    /// [`Code::Shape`] for tensors without rows, or with rows of different sizes.
    ///
    /// ```
    /// use gradus_core::Tensor;
    /// let x = Tensor::from([[0.0, 0.0], [3.0, 4.0]]);
    /// assert_eq!(x.cdist(&x, 2).to_vec::<f32>()?, [0.0, 5.0, 5.0, 0.0]);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    #[track_caller]
    #[must_use]
    pub fn cdist(&self, other: &Tensor, p: impl Into<f64>) -> Tensor {
        for t in [self, other] {
            if recorder::error_of(t).is_some() {
                return t.clone();
            }
        }
        let (a, b) = (self.peek().shape, other.peek().shape);
        if a.rank() < 2 || b.rank() < 2 || a.last(0) != b.last(0) {
            return Tensor::failed(
                Error::new(Code::Shape, format!("cdist: rows of {a} and {b}"))
                    .help("both are matrices (or batches of them) with rows of one size"),
            );
        }
        (self.unsqueeze(-2) - other.unsqueeze(-3)).norm_dim(-1, p)
    }

    /// The p-norms of the differences of all pairs of rows of `[n, d]`, first row first:
    /// `n (n - 1) / 2` of them.
    ///
    /// # Errors
    /// [`Code::Shape`] for a tensor that is no matrix.
    #[track_caller]
    #[must_use]
    pub fn pdist(&self, p: impl Into<f64>) -> Tensor {
        let shape = self.peek().shape;
        if recorder::error_of(self).is_some() {
            return self.clone();
        }
        if shape.rank() != 2 {
            return Tensor::failed(
                Error::new(Code::Shape, format!("pdist: takes a matrix, not {shape}"))
                    .help("its rows are the vectors"),
            );
        }
        let n = shape.dim(0) as i64;
        let (mut left, mut right) = (Vec::new(), Vec::new());
        for i in 0..n {
            for j in i + 1..n {
                left.push(i);
                right.push(j);
            }
        }
        let count = left.len();
        let [left, right] = [left, right].map(|rows| Tensor::exact([count], &rows));
        (self.index_select(0, &left) - self.index_select(0, &right)).norm_dim(-1, p)
    }

    /// The cosine of the angle between vectors along an axis, which disappears; lengths below `eps`
    /// count as `eps` (PyTorch: 1e-8). Shapes broadcast.
    #[track_caller]
    #[must_use]
    pub fn cosine_similarity(&self, other: &Tensor, axis: isize, eps: f64) -> Tensor {
        let (x, y) = operand::pair(self, &other);
        for t in [&x, &y] {
            if recorder::error_of(t).is_some() {
                return t.clone();
            }
        }
        let (a, b) = (x.peek().shape, y.peek().shape);
        let Some(shape) = a.broadcast(&b) else {
            return Tensor::failed(Error::new(
                Code::Shape,
                format!("cosine_similarity: {a} and {b} do not broadcast"),
            ));
        };
        let (x, y) = (x.broadcast_to(shape), y.broadcast_to(shape));
        (x.normalize(2, axis, eps) * y.normalize(2, axis, eps)).sum_dim(axis)
    }

    /// Vectors along an axis, divided by their p-norm (or by `eps` where that is larger; PyTorch:
    /// 1e-12).
    ///
    /// ```
    /// use gradus_core::Tensor;
    /// let x = Tensor::from([[3.0, 4.0]]).normalize(2, 1, 1e-12);
    /// assert_eq!(x.to_vec::<f32>()?, [0.6, 0.8]);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    #[track_caller]
    #[must_use]
    pub fn normalize(&self, p: impl Into<f64>, axis: isize, eps: f64) -> Tensor {
        self / self.norm_keepdim(axis, p).clamp_min(eps)
    }

    /// Each slice along an axis whose p-norm is above `most`, scaled down to that norm.
    ///
    /// # Errors
    /// [`Code::Shape`] for a tensor of fewer than two axes or without that axis.
    #[track_caller]
    #[must_use]
    pub fn renorm(&self, p: impl Into<f64>, axis: isize, most: f64) -> Tensor {
        let shape = self.peek().shape;
        if recorder::error_of(self).is_some() {
            return self.clone();
        }
        let Some(at) = operand::resolve(axis, shape.rank()).filter(|_| shape.rank() > 1) else {
            return Tensor::failed(
                Error::new(Code::Shape, format!("renorm: axis {axis} of {shape}"))
                    .help("it takes two axes at least, and one that exists"),
            );
        };
        let mask = all_axes(shape.rank()) & !(1 << at);
        let others: smallvec::SmallVec<[usize; 8]> =
            (0..shape.rank()).filter(|i| mask & (1 << i) != 0).collect();
        let norm = self.norm_keepdim(others.as_slice(), p);
        let large = norm.gt(most);
        // As in PyTorch, which divides by a little more than the norm.
        self * large.where_(most / (large.where_(&norm, 1.0) + 1e-7), 1.0)
    }
}
