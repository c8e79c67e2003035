//! Linear algebra: decompositions, solvers and functions of matrices, as methods of [`Tensor`]
//! through the trait [`Linalg`].
//!
//! Matrices are the last two axes; all axes before them are a batch. Types are f32 and f64; both are
//! computed in f64, on the host, one matrix after the other, with the same bits for any number of
//! threads. Everything has gradients of every order, written with tensors.
//!
//! ```
//! use gradus_core::Tensor;
//! use gradus_linalg::Linalg;
//! let a = Tensor::from([[4.0, 1.0], [2.0, 3.0]]);
//! let x = a.solve(&Tensor::from([1.0, 2.0]));
//! assert_eq!(x.to_vec::<f32>()?, [0.1, 0.6]);
//! assert!((a.det().item()? - 10.0).abs() < 1e-5);
//! # Ok::<(), gradus_core::Error>(())
//! ```
//!
//! This crate is made from `gradus-core`'s public interface (custom operations and custom
//! gradients): start at `rules.rs`, then `host.rs`.

mod host;
mod rules;

use std::sync::LazyLock;

use gradus_core::{Code, DType, Error, Scope, Shape, Tag, Tensor};
use rules::{size, t};

/// Which norm of a matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MatrixNorm {
    /// The root of the sum of squares.
    Fro,
    /// The sum of the singular values.
    Nuc,
    /// The largest sum of sizes in a column.
    One,
    /// The smallest sum of sizes in a column (`ord=-1`).
    MinOne,
    /// The largest sum of sizes in a row.
    Inf,
    /// The smallest sum of sizes in a row (`ord=-inf`).
    MinInf,
    /// The largest singular value.
    Two,
    /// The smallest singular value (`ord=-2`).
    MinTwo,
}

/// Messages name the user's line through this scope.
#[track_caller]
fn scope() -> Scope {
    static TAG: LazyLock<Tag> = LazyLock::new(|| Tag::new("linear algebra"));
    TAG.enter()
}

/// Matrices of a type that can be decomposed; else a tensor in error state.
#[track_caller]
fn matrices(what: &str, a: &Tensor, square: bool) -> Result<(), Tensor> {
    let (shape, dtype) = match (a.shape(), a.dtype()) {
        (Ok(shape), Ok(dtype)) => (shape, dtype),
        _ => return Err(a.clone()),
    };
    if !matches!(dtype, DType::F32 | DType::F64) {
        let error = Error::new(Code::DType, format!("{what}: takes f32 or f64, not {dtype}"));
        return Err(Tensor::failed(error.help("`cast` it first")));
    }
    if shape.rank() < 2 {
        let text = format!("{what}: needs a matrix, not {shape}");
        return Err(Tensor::failed(Error::new(Code::Shape, text)));
    }
    if square && shape.last(0) != shape.last(1) {
        let text = format!("{what}: the matrix is not square: {shape}");
        return Err(Tensor::failed(Error::new(Code::Shape, text)));
    }
    Ok(())
}

macro_rules! need {
    ($check:expr) => {
        if let Err(failed) = $check {
            return failed;
        }
    };
}

/// Both with the batch axes of both; `b` must be `[.., n, k]`.
#[track_caller]
fn together(what: &str, a: &Tensor, b: &Tensor) -> Result<(Tensor, Tensor), Tensor> {
    matrices(what, b, false)?;
    let (Ok(sa), Ok(sb)) = (a.shape(), b.shape()) else { return Err(b.clone()) };
    let split = |s: Shape| Shape::new(s.dims().get(..s.rank() - 2).unwrap_or(&[]));
    let batch = split(sa).broadcast(&split(sb)).filter(|_| sa.last(1) == sb.last(1));
    let Some(batch) = batch.filter(|_| a.dtype() == b.dtype()) else {
        let text = match a.dtype() == b.dtype() {
            true => format!("{what}: {sa} and {sb} do not go together"),
            false => format!("{what}: the operands have different types"),
        };
        return Err(Tensor::failed(Error::new(Code::Shape, text)));
    };
    let with = |m: usize, n: usize| Shape::new(&[batch.dims(), &[m, n]].concat());
    let (a_to, b_to) = (with(sa.last(1), sa.last(0)), with(sb.last(1), sb.last(0)));
    Ok((a.broadcast_to(a_to), b.broadcast_to(b_to)))
}

fn pair(failed: Tensor) -> (Tensor, Tensor) {
    (failed.clone(), failed)
}

/// Linear algebra on the last two axes.
///
/// A matrix that cannot be treated (singular, not positive definite, infinite or NaN elements) is
/// an error when the value is read, and the message names the matrix of the batch; sizes and types
/// are checked at once. Names are PyTorch's.
pub trait Linalg {
    /// The inverse of square matrices. To solve equations, [`Linalg::solve`] is more exact.
    #[must_use]
    fn inverse(&self) -> Tensor;

    /// The determinant, `[.., n, n] -> [..]`. A gradient at a singular matrix is an error.
    #[must_use]
    fn det(&self) -> Tensor;

    /// Sign and logarithm of the absolute value of the determinant: no overflow for large matrices.
    /// A singular matrix has sign 0 and logarithm `-inf`.
    #[must_use]
    fn slogdet(&self) -> (Tensor, Tensor);

    /// The logarithm of the determinant; NaN where that is negative, `-inf` where it is 0.
    #[must_use]
    fn logdet(&self) -> Tensor;

    /// `x` with `self @ x = b`, by LU with pivots; `b` is `[.., n, k]`, a vector `[n]`, or one
    /// vector for each matrix, `[.., n]` with exactly the batch axes of `self` (as in PyTorch, this
    /// reading comes first). Other batch axes broadcast.
    #[must_use]
    fn solve(&self, b: &Tensor) -> Tensor;

    /// `x` with `self @ x = b` where `self` is triangular: only that triangle is read, and with
    /// `unit` its diagonal counts as ones. `b` is `[.., n, k]`.
    #[must_use]
    fn solve_triangular(&self, b: &Tensor, upper: bool, unit: bool) -> Tensor;

    /// The lower triangular L with `self = L @ L^T`, for symmetric positive definite matrices (the
    /// lower triangle is read).
    #[must_use]
    fn cholesky(&self) -> Tensor;

    /// `x` with `A @ x = b`, where `self` is the Cholesky factor L of A.
    #[must_use]
    fn cholesky_solve(&self, b: &Tensor) -> Tensor;

    /// The inverse of A, where `self` is the Cholesky factor L of A.
    #[must_use]
    fn cholesky_inverse(&self) -> Tensor;

    /// Eigenvalues `[.., n]`, ascending, and eigenvectors (columns) of symmetric matrices; the lower
    /// triangle is read. The element of a vector that is largest in size is positive.
    ///
    /// Where eigenvalues are equal their vectors are not unique; a gradient then leaves out the
    /// parts that do not exist (PyTorch gives NaN).
    #[must_use]
    fn eigh(&self) -> (Tensor, Tensor);

    /// The eigenvalues of symmetric matrices, ascending.
    #[must_use]
    fn eigvalsh(&self) -> Tensor;

    /// The reduced singular value decomposition `self = U @ diag(S) @ Vh`: U `[.., m, k]`, S
    /// `[.., k]` descending, Vh `[.., k, n]`, with `k = min(m, n)`. Signs are chosen so that the
    /// element of each column of U that is largest in size is positive. Gradients as in
    /// [`Linalg::eigh`].
    #[must_use]
    fn svd(&self) -> (Tensor, Tensor, Tensor);

    /// The singular values, descending.
    #[must_use]
    fn svdvals(&self) -> Tensor;

    /// The reduced QR decomposition: Q `[.., m, k]` with orthonormal columns, R `[.., k, n]` upper
    /// triangular. The diagonal of R is not negative (PyTorch leaves its signs open).
    #[must_use]
    fn qr(&self) -> (Tensor, Tensor);

    /// The pseudo-inverse (Moore-Penrose) `[.., n, m]`: singular values of at most
    /// `max(m, n) * epsilon` times the largest count as 0.
    #[must_use]
    fn pinv(&self) -> Tensor;

    /// `x` for which `self @ x` is nearest to `b` (`[.., m, k]`), and of those the smallest.
    #[must_use]
    fn lstsq(&self, b: &Tensor) -> Tensor;

    /// The matrix exponential, `sum(A^k / k!)`.
    #[must_use]
    fn matrix_exp(&self) -> Tensor;

    /// A norm of matrices, `[.., m, n] -> [..]`.
    #[must_use]
    fn matrix_norm(&self, norm: MatrixNorm) -> Tensor;

    /// The condition number: a norm times that of the inverse. With [`MatrixNorm::Two`] the ratio of
    /// the largest and the smallest singular value, which also exists for other than square ones.
    #[must_use]
    fn cond(&self, norm: MatrixNorm) -> Tensor;

    /// The rank, as i64: how many singular values are more than `max(m, n) * epsilon` times the
    /// largest.
    #[must_use]
    fn matrix_rank(&self) -> Tensor;
}

impl Linalg for Tensor {
    #[track_caller]
    fn inverse(&self) -> Tensor {
        let _scope = scope();
        need!(matrices("inverse", self, true));
        rules::inverse(self)
    }

    #[track_caller]
    fn det(&self) -> Tensor {
        let _scope = scope();
        need!(matrices("det", self, true));
        rules::det(self)
    }

    #[track_caller]
    fn slogdet(&self) -> (Tensor, Tensor) {
        let _scope = scope();
        match matrices("slogdet", self, true) {
            Ok(()) => rules::slogdet(self),
            Err(failed) => pair(failed),
        }
    }

    #[track_caller]
    fn logdet(&self) -> Tensor {
        let _scope = scope();
        need!(matrices("logdet", self, true));
        let (sign, log) = rules::slogdet(self);
        sign.lt(0.0).where_(f64::NAN, log)
    }

    #[track_caller]
    fn solve(&self, b: &Tensor) -> Tensor {
        let _scope = scope();
        need!(matrices("solve", self, true));
        let Ok(shape) = b.shape() else { return b.clone() };
        let vectors = self.shape().is_ok_and(|a| {
            let rows = a.dims().split_last().map_or(&[][..], |(_, rows)| rows);
            shape.dims() == rows
        });
        if shape.rank() == 1 || vectors {
            return self.solve(&b.unsqueeze(-1)).squeeze(-1);
        }
        match together("solve", self, b) {
            Ok((a, b)) => rules::solve(&a, &b, 0),
            Err(failed) => failed,
        }
    }

    #[track_caller]
    fn solve_triangular(&self, b: &Tensor, upper: bool, unit: bool) -> Tensor {
        let _scope = scope();
        need!(matrices("solve_triangular", self, true));
        match together("solve_triangular", self, b) {
            Ok((a, b)) => rules::solve_triangular(&a, &b, upper, unit, 0),
            Err(failed) => failed,
        }
    }

    #[track_caller]
    fn cholesky(&self) -> Tensor {
        let _scope = scope();
        need!(matrices("cholesky", self, true));
        rules::cholesky(self)
    }

    #[track_caller]
    fn cholesky_solve(&self, b: &Tensor) -> Tensor {
        let _scope = scope();
        need!(matrices("cholesky_solve", self, true));
        match together("cholesky_solve", self, b) {
            Ok((l, b)) => {
                let half = rules::solve_triangular(&l, &b, false, false, 0);
                rules::solve_triangular(&t(&l), &half, true, false, 0)
            }
            Err(failed) => failed,
        }
    }

    #[track_caller]
    fn cholesky_inverse(&self) -> Tensor {
        let _scope = scope();
        need!(matrices("cholesky_inverse", self, true));
        self.cholesky_solve(&rules::eye(self, size(self).0))
    }

    #[track_caller]
    fn eigh(&self) -> (Tensor, Tensor) {
        let _scope = scope();
        match matrices("eigh", self, true) {
            Ok(()) => rules::eigh(self),
            Err(failed) => pair(failed),
        }
    }

    #[track_caller]
    fn eigvalsh(&self) -> Tensor {
        self.eigh().0
    }

    #[track_caller]
    fn svd(&self) -> (Tensor, Tensor, Tensor) {
        let _scope = scope();
        match matrices("svd", self, false) {
            Ok(()) => {
                let (u, s, v) = rules::svd(self);
                (u, s, t(&v))
            }
            Err(failed) => (failed.clone(), failed.clone(), failed),
        }
    }

    #[track_caller]
    fn svdvals(&self) -> Tensor {
        self.svd().1
    }

    #[track_caller]
    fn qr(&self) -> (Tensor, Tensor) {
        let _scope = scope();
        match matrices("qr", self, false) {
            Ok(()) => rules::qr(self),
            Err(failed) => pair(failed),
        }
    }

    #[track_caller]
    fn pinv(&self) -> Tensor {
        let _scope = scope();
        need!(matrices("pinv", self, false));
        rules::pinv(self)
    }

    #[track_caller]
    fn lstsq(&self, b: &Tensor) -> Tensor {
        let _scope = scope();
        need!(matrices("lstsq", self, false));
        match together("lstsq", self, b) {
            Ok((a, b)) => rules::pinv(&a).matmul(b),
            Err(failed) => failed,
        }
    }

    #[track_caller]
    fn matrix_exp(&self) -> Tensor {
        let _scope = scope();
        need!(matrices("matrix_exp", self, true));
        rules::matrix_exp(self, 0)
    }

    #[track_caller]
    fn matrix_norm(&self, norm: MatrixNorm) -> Tensor {
        let _scope = scope();
        need!(matrices("matrix_norm", self, false));
        match norm {
            MatrixNorm::Fro => self.square().sum_dim([-2, -1]).sqrt(),
            MatrixNorm::Nuc => rules::svd(self).1.sum_dim(-1),
            MatrixNorm::One => self.abs().sum_dim(-2).max_dim(-1),
            MatrixNorm::MinOne => self.abs().sum_dim(-2).min_dim(-1),
            MatrixNorm::Inf => self.abs().sum_dim(-1).max_dim(-1),
            MatrixNorm::MinInf => self.abs().sum_dim(-1).min_dim(-1),
            MatrixNorm::Two => rules::svd(self).1.max_dim(-1),
            MatrixNorm::MinTwo => rules::svd(self).1.min_dim(-1),
        }
    }

    #[track_caller]
    fn cond(&self, norm: MatrixNorm) -> Tensor {
        let _scope = scope();
        let spectral = matches!(norm, MatrixNorm::Two | MatrixNorm::MinTwo);
        need!(matrices("cond", self, !spectral));
        if spectral {
            let s = rules::svd(self).1;
            let (high, low) = (s.max_dim(-1), s.min_dim(-1));
            return if norm == MatrixNorm::Two { high / low } else { low / high };
        }
        self.matrix_norm(norm) * rules::inverse(self).matrix_norm(norm)
    }

    #[track_caller]
    fn matrix_rank(&self) -> Tensor {
        let _scope = scope();
        need!(matrices("matrix_rank", self, false));
        rules::matrix_rank(self)
    }
}
