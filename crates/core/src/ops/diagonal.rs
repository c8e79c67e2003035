//! Diagonals and triangles of matrices.

use super::Binary;
use crate::error::{Code, Error};
use crate::graph::called::called;
use crate::graph::shape::Shape;
use crate::tensor::{Axes, Tensor, operand};

/// Where diagonal `offset` of a matrix begins as an element number, and how long it is.
fn diagonal_of(offset: isize, m: usize, n: usize) -> (usize, usize) {
    let by = offset.unsigned_abs();
    if offset >= 0 {
        (by, m.min(n.saturating_sub(by)))
    } else {
        (by.saturating_mul(n), n.min(m.saturating_sub(by)))
    }
}

/// Rows and columns of the elements that `keep` (row, column) names.
#[track_caller]
fn places(rows: usize, columns: usize, keep: impl Fn(isize) -> bool) -> Tensor {
    let (mut i, mut j) = (Vec::new(), Vec::new());
    for row in 0..rows {
        for column in 0..columns {
            if keep(column as isize - row as isize) {
                i.push(row as i64);
                j.push(column as i64);
            }
        }
    }
    let count = i.len();
    i.append(&mut j);
    Tensor::exact([2, count], &i)
}

impl Tensor {
    /// Matrices (the last two axes) with zeros above diagonal number `diagonal` (0 is the main one,
    /// positive ones are above it).
    ///
    /// # Errors
    /// [`Code::Shape`] with fewer than two axes.
    #[track_caller]
    #[must_use]
    pub fn tril(&self, diagonal: isize) -> Tensor {
        let _called = called("tril");
        self.triangle("tril", diagonal, Binary::Le)
    }

    /// Matrices (the last two axes) with zeros below diagonal number `diagonal`.
    ///
    /// # Errors
    /// [`Code::Shape`] with fewer than two axes.
    #[track_caller]
    #[must_use]
    pub fn triu(&self, diagonal: isize) -> Tensor {
        let _called = called("triu");
        self.triangle("triu", diagonal, Binary::Ge)
    }

    #[track_caller]
    fn triangle(&self, what: &str, diagonal: isize, side: Binary) -> Tensor {
        let meta = self.peek();
        if meta.shape.rank() < 2 {
            let text = format!("{what}: needs a matrix, not {}", meta.shape);
            return self.refuse(Error::new(Code::Shape, text));
        }
        let rows = Tensor::arange(0, meta.shape.last(1) as i64).unsqueeze(-1);
        let columns = Tensor::arange(0, meta.shape.last(0) as i64);
        let limit = rows + diagonal as i64;
        let keep = if side == Binary::Le { columns.le(limit) } else { columns.ge(limit) };
        let none = operand::number(0.0, meta.dtype, std::panic::Location::caller());
        keep.where_(self, none)
    }

    /// Places of the lower triangle of a `[rows, columns]` matrix up to diagonal `offset`: i64
    /// `[2, count]`, rows and columns, in row-major order.
    #[track_caller]
    #[must_use]
    pub fn tril_indices(rows: usize, columns: usize, offset: isize) -> Tensor {
        places(rows, columns, |above| above <= offset)
    }

    /// Places of the upper triangle of a `[rows, columns]` matrix from diagonal `offset` on: i64
    /// `[2, count]`, rows and columns, in row-major order.
    #[track_caller]
    #[must_use]
    pub fn triu_indices(rows: usize, columns: usize, offset: isize) -> Tensor {
        places(rows, columns, |above| above >= offset)
    }

    /// A diagonal of the matrices of two axes, which disappear; it is the new last axis. No copy
    /// where the axes are the last two.
    ///
    /// # Errors
    /// [`Code::Shape`] for axes that do not exist or are the same.
    ///
    /// ```
    /// # use gradus_core::Tensor;
    /// let x = Tensor::from([[1.0, 2.0], [3.0, 4.0]]);
    /// assert_eq!(x.diagonal(0, 0, 1).to_vec::<f32>()?, [1.0, 4.0]);
    /// assert_eq!(x.diagonal(1, 0, 1).to_vec::<f32>()?, [2.0]);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    #[track_caller]
    #[must_use]
    pub fn diagonal(&self, offset: isize, axis1: isize, axis2: isize) -> Tensor {
        let _called = called("diagonal");
        let shape = self.peek().shape;
        let axes = [axis1, axis2];
        if let Err(axis) = axes.mask(shape.rank()) {
            return self.refuse(operand::no_axis("diagonal", axis, &shape));
        }
        if shape.rank() < 2 {
            let text = format!("diagonal: needs two axes, not {shape}");
            return self.refuse(Error::new(Code::Shape, text));
        }
        let x = self.movedim(axes, [-2, -1]);
        let turned = x.peek().shape;
        let (m, n) = (turned.last(1), turned.last(0));
        let (start, len) = diagonal_of(offset, m, n);
        let (before, _) = turned.dims().split_at(turned.rank() - 2);
        let flat = x.reshape_to(Shape::joined([before, &[m * n]]));
        if len == 0 {
            return flat.narrow(-1, 0, 0);
        }
        let end = start + (len - 1) * (n + 1) + 1;
        flat.slice(-1, start as isize, end as isize, n as isize + 1)
    }

    /// The sum of the main diagonal of a matrix.
    ///
    /// # Errors
    /// [`Code::Shape`] when this is no matrix.
    #[track_caller]
    #[must_use]
    pub fn trace(&self) -> Tensor {
        let _called = called("trace");
        let shape = self.peek().shape;
        if shape.rank() != 2 {
            let text = format!("trace: takes a matrix, not {shape}");
            return self.refuse(Error::new(Code::Shape, text));
        }
        self.diagonal(0, 0, 1).sum()
    }

    /// Matrices of zeros with the last axis on diagonal `offset`: the inverse of
    /// [`Tensor::diagonal`]. The axes of the matrices are `axis1` and `axis2` of the result.
    ///
    /// # Errors
    /// [`Code::Shape`] for axes that do not exist or are the same.
    #[track_caller]
    #[must_use]
    pub fn diag_embed(&self, offset: isize, axis1: isize, axis2: isize) -> Tensor {
        let _called = called("diag_embed");
        let x = self.atleast_1d();
        let shape = x.peek().shape;
        let axes = [axis1, axis2];
        if let Err(axis) = axes.mask(shape.rank() + 1) {
            return self.refuse(operand::no_axis("diag_embed", axis, &shape.insert(0, 1)));
        }
        let n = shape.last(0);
        let size = n.saturating_add(offset.unsigned_abs());
        let (start, _) = diagonal_of(offset, size, size);
        let (before, _) = shape.dims().split_at(shape.rank() - 1);
        x.spread(shape.rank() - 1, start, size as isize + 1, size.saturating_mul(size))
            .reshape_to(Shape::joined([before, &[size, size]]))
            .movedim([-2, -1], axes)
    }

    /// Of a vector, the matrix with it on diagonal `offset`; of a matrix, that diagonal.
    ///
    /// # Errors
    /// [`Code::Shape`] for other shapes.
    #[track_caller]
    #[must_use]
    pub fn diag(&self, offset: isize) -> Tensor {
        let _called = called("diag");
        let shape = self.peek().shape;
        match shape.rank() {
            1 => self.diag_embed(offset, 0, 1),
            2 => self.diagonal(offset, 0, 1),
            _ => {
                let text = format!("diag: takes a vector or a matrix, not {shape}");
                self.refuse(Error::new(Code::Shape, text))
            }
        }
    }

    /// The matrix with all elements, in row-major order, on diagonal `offset`.
    #[track_caller]
    #[must_use]
    pub fn diagflat(&self, offset: isize) -> Tensor {
        let _called = called("diagflat");
        self.reshape([-1]).diag_embed(offset, 0, 1)
    }
}
