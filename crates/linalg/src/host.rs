//! The decompositions themselves, on the host: matrix by matrix, in f64 whatever the type.

use std::sync::Arc;

use gradus_core::{Array, Code, CustomOp, DType, Error, Meta, Result, Shape, Tensor};
use nalgebra::{Cholesky, DMatrix, DVector, SVD, SymmetricEigen};

type Matrix = DMatrix<f64>;

/// What is computed. Several results lie in one matrix, below one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Host {
    /// `[n, n] -> [n, n]`.
    Inverse,
    /// `[n, n] -> [n, n]`, lower.
    Cholesky,
    /// `[n, n] -> [1 + n, n]`: eigenvalues, ascending, then eigenvectors as columns.
    Eigh,
    /// `[m, n] -> [1 + m + n, k]`: singular values, descending, then U, then V; `k = min(m, n)`.
    Svd,
    /// `[m, n] -> [m + n, k]`: Q, then R transposed.
    Qr,
    /// `[n, n] -> [2]`: sign of the determinant, logarithm of its absolute value.
    SlogDet,
    /// `[n, n] -> []`.
    Det,
    /// `[n, n], [n, k] -> [n, k]`.
    Solve,
    /// As `Solve`, reading one triangle.
    Triangular {
        /// The upper one.
        upper: bool,
        /// Its diagonal counts as ones.
        unit: bool,
    },
    /// `[n, n] -> [n, n]`.
    Exp,
}

impl Host {
    /// Records it; shapes have been checked.
    #[track_caller]
    pub(crate) fn of(self, inputs: &[&Tensor]) -> Tensor {
        Tensor::custom(Arc::new(self), inputs)
    }

    /// The result's last axes.
    fn result(self, m: usize, n: usize, right: usize) -> Vec<usize> {
        let k = m.min(n);
        match self {
            Host::Inverse | Host::Cholesky | Host::Exp => vec![n, n],
            Host::Eigh => vec![1 + n, n],
            Host::Svd => vec![1 + m + n, k],
            Host::Qr => vec![m + n, k],
            Host::SlogDet => vec![2],
            Host::Det => vec![],
            Host::Solve | Host::Triangular { .. } => vec![n, right],
        }
    }

    fn one(self, a: &Matrix, b: &Matrix) -> Result<Vec<f64>, String> {
        let n = a.ncols();
        let singular = || "is singular: it has no inverse".to_string();
        Ok(match self {
            Host::Inverse => rows(&a.clone().try_inverse().ok_or_else(singular)?),
            Host::Solve => {
                let lu = a.clone().lu();
                if !lu.is_invertible() {
                    return Err(singular());
                }
                rows(&lu.solve(b).ok_or_else(singular)?)
            }
            Host::Triangular { upper, unit } => {
                let mut x = b.clone();
                let solved = match (upper, unit) {
                    (false, false) => a.solve_lower_triangular_mut(&mut x),
                    (true, false) => a.solve_upper_triangular_mut(&mut x),
                    (upper, true) => {
                        let mut t = a.clone();
                        t.fill_diagonal(1.0);
                        match upper {
                            true => t.solve_upper_triangular_mut(&mut x),
                            false => t.solve_lower_triangular_mut(&mut x),
                        }
                    }
                };
                if !solved {
                    return Err("has a zero on its diagonal, so it is singular".to_string());
                }
                rows(&x)
            }
            Host::Cholesky => {
                let l = Cholesky::new(a.clone()).ok_or("is not positive definite")?;
                rows(&l.l())
            }
            Host::Eigh => {
                let (a, scale) = scaled(a);
                // The lower triangle counts.
                let whole = Matrix::from_fn(n, n, |i, j| a[(i.max(j), i.min(j))]);
                let found = SymmetricEigen::try_new(whole, f64::EPSILON, rounds(&a))
                    .ok_or("has eigenvalues that were not found")?;
                let order = sorted(&found.eigenvalues, false);
                let value = |&i: &usize| found.eigenvalues[i] * scale;
                let mut out: Vec<f64> = order.iter().map(value).collect();
                let vectors = signed(&found.eigenvectors.select_columns(&order));
                out.extend(rows(&vectors.0));
                out
            }
            Host::Svd => {
                let (a, scale) = scaled(a);
                let rounds = rounds(&a);
                let found = SVD::try_new(a, true, true, f64::EPSILON, rounds)
                    .ok_or("has singular values that were not found")?;
                let (Some(u), Some(vt)) = (found.u, found.v_t) else {
                    return Err("has singular vectors that were not found".to_string());
                };
                let order = sorted(&found.singular_values, true);
                let value = |&i: &usize| found.singular_values[i] * scale;
                let mut out: Vec<f64> = order.iter().map(value).collect();
                let (u, signs) = signed(&u.select_columns(&order));
                let mut v = vt.transpose().select_columns(&order);
                for (mut column, s) in v.column_iter_mut().zip(signs) {
                    column *= s;
                }
                out.extend(rows(&u));
                out.extend(rows(&v));
                out
            }
            Host::Qr => {
                let (a, scale) = scaled(a);
                let (mut q, mut r) = a.qr().unpack();
                r *= scale;
                for i in 0..r.nrows() {
                    if r[(i, i)] < 0.0 {
                        q.column_mut(i).neg_mut();
                        r.row_mut(i).neg_mut();
                    }
                }
                let mut out = rows(&q);
                out.extend(rows(&r.transpose()));
                out
            }
            Host::SlogDet | Host::Det => {
                let lu = a.clone().lu();
                let mut sign: f64 = lu.p().determinant();
                let (mut log, mut det) = (0.0, sign);
                for d in lu.u().diagonal().iter() {
                    sign *= if *d == 0.0 { 0.0 } else { d.signum() };
                    log += d.abs().ln();
                    det *= d;
                }
                if self == Host::Det { vec![det] } else { vec![sign, log] }
            }
            Host::Exp => rows(&exponential(a)?),
        })
    }
}

/// A matrix whose squares neither overflow nor vanish, and the power of two it was divided by.
fn scaled(a: &Matrix) -> (Matrix, f64) {
    let top = a.iter().fold(0.0f64, |top, v| top.max(v.abs()));
    if top == 0.0 || (1e-100..1e100).contains(&top) {
        return (a.clone(), 1.0);
    }
    // The exponent without the digits: dividing by it is exact.
    let power = f64::from_bits(top.to_bits() & (0x7ff << 52)).max(f64::MIN_POSITIVE);
    (a.map(|v| v / power), power)
}

/// After how many rounds an iteration is given up; a few for each row are usual.
fn rounds(a: &Matrix) -> usize {
    1000 + 100 * (a.nrows() + a.ncols())
}

/// The exponential by scaling and squaring an approximant of order 13: Higham, "The scaling and
/// squaring method for the matrix exponential revisited" (2005). (The one of nalgebra panics when
/// numbers overflow.)
fn exponential(a: &Matrix) -> Result<Matrix, String> {
    const B: [f64; 14] = [
        64_764_752_532_480_000.0,
        32_382_376_266_240_000.0,
        7_771_770_303_897_600.0,
        1_187_353_796_428_800.0,
        129_060_195_264_000.0,
        10_559_470_521_600.0,
        670_442_572_800.0,
        33_522_128_640.0,
        1_323_241_920.0,
        40_840_800.0,
        960_960.0,
        16_380.0,
        182.0,
        1.0,
    ];
    let columns = a.column_iter().map(|c| c.iter().map(|v| v.abs()).sum::<f64>());
    let norm = columns.fold(0.0f64, f64::max);
    let (mut halvings, mut factor) = (0, 1.0f64);
    // At most about 1025 times, since elements are finite.
    while norm * factor > 5.371_920_351_148_152 && factor > 0.0 {
        factor *= 0.5;
        halvings += 1;
    }
    let a = a.map(|v| v * factor);
    let one = Matrix::identity(a.nrows(), a.ncols());
    let a2 = &a * &a;
    let a4 = &a2 * &a2;
    let a6 = &a4 * &a2;
    let sum = |i: usize| &a6 * B[i + 6] + &a4 * B[i + 4] + &a2 * B[i + 2];
    let high = |i: usize| &a6 * (&a6 * B[i + 12] + &a4 * B[i + 10] + &a2 * B[i + 8]);
    let even = high(0) + sum(0) + &one * B[0];
    let odd = &a * (high(1) + sum(1) + &one * B[1]);
    let solved = (&even - &odd).lu().solve(&(even + odd));
    let mut e = solved.ok_or("has an exponential that was not found")?;
    for _ in 0..halvings {
        e = &e * &e;
    }
    Ok(e)
}

/// The elements in row-major order.
fn rows(m: &Matrix) -> Vec<f64> {
    m.transpose().as_slice().to_vec()
}

/// The order that sorts values.
fn sorted(values: &DVector<f64>, descending: bool) -> Vec<usize> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&i, &j| {
        let by = values[i].total_cmp(&values[j]);
        if descending { by.reverse() } else { by }
    });
    order
}

/// Columns are known up to their sign: the element that is largest in size becomes positive.
fn signed(m: &Matrix) -> (Matrix, Vec<f64>) {
    let mut m = m.clone();
    let mut signs = Vec::with_capacity(m.ncols());
    for mut column in m.column_iter_mut() {
        let mut top = 0.0f64;
        for &v in column.iter() {
            // Of nearly equal ones the first, so that rounding does not choose.
            if v.abs() > top.abs() * (1.0 + 1e-9) {
                top = v;
            }
        }
        let sign = if top < 0.0 { -1.0 } else { 1.0 };
        column *= sign;
        signs.push(sign);
    }
    (m, signs)
}

/// The name that users know it by.
fn name(host: Host) -> &'static str {
    match host {
        Host::Inverse => "inverse",
        Host::Cholesky => "cholesky",
        Host::Eigh => "eigh",
        Host::Svd => "svd",
        Host::Qr => "qr",
        Host::SlogDet => "slogdet",
        Host::Det => "det",
        Host::Solve => "solve",
        Host::Triangular { .. } => "solve_triangular",
        Host::Exp => "matrix_exp",
    }
}

/// Rows and columns of the matrices.
fn size(dims: &[usize]) -> (usize, usize) {
    match dims {
        [.., m, n] => (*m, *n),
        _ => (1, 1),
    }
}

impl CustomOp for Host {
    fn name(&self) -> &'static str {
        name(*self)
    }

    fn key(&self) -> u64 {
        let tag = match *self {
            Host::Inverse => 1,
            Host::Cholesky => 2,
            Host::Eigh => 3,
            Host::Svd => 4,
            Host::Qr => 5,
            Host::SlogDet => 6,
            Host::Det => 7,
            Host::Solve => 8,
            Host::Triangular { upper, unit } => 9 + 2 * u64::from(upper) + u64::from(unit),
            Host::Exp => 13,
        };
        // Apart from the keys of others.
        0x6c69_6e61_6c67_0000 + tag
    }

    fn infer(&self, inputs: &[Meta]) -> Result<Meta> {
        let Some(a) = inputs.first() else { return Err(Error::internal("no matrix")) };
        let dims = a.shape.dims();
        let (m, n) = size(dims);
        let right = inputs.get(1).map_or(0, |b| b.shape.last(0));
        let batch = dims.get(..dims.len().saturating_sub(2)).unwrap_or(&[]);
        let shape = Shape::new(&[batch, &self.result(m, n, right)].concat());
        Ok(Meta { shape, dtype: a.dtype })
    }

    fn run(&self, inputs: &[Array]) -> Result<Array> {
        let metas: Vec<Meta> =
            inputs.iter().map(|a| Meta { shape: a.shape(), dtype: a.dtype() }).collect();
        let out = self.infer(&metas)?;
        let Some(a) = inputs.first() else { return Err(Error::internal("no matrix")) };
        let dims = a.dims();
        let (m, n) = size(dims);
        let batch = dims.get(..dims.len().saturating_sub(2)).unwrap_or(&[]);
        let count: usize = batch.iter().product();
        let left = a.to_f64();
        let (right, columns) = match inputs.get(1) {
            Some(b) => (b.to_f64(), b.shape().last(0)),
            None => (Vec::new(), 0),
        };
        if m == 0 || n == 0 || out.shape.numel() == 0 {
            // Of an empty matrix only a determinant has elements: 1 (sign 1, logarithm 0).
            let value = |k| f64::from(*self == Host::Det || *self == Host::SlogDet && k % 2 == 0);
            return array(&out, &(0..out.shape.numel()).map(value).collect::<Vec<_>>());
        }
        let mut values = Vec::with_capacity(out.shape.numel());
        for k in 0..count {
            let cut = |v: &[f64], r: usize, c: usize| {
                let part = v.get(k * r * c..(k + 1) * r * c).unwrap_or(&[]);
                Matrix::from_row_slice(r, c, part)
            };
            let (a, b) = (cut(&left, m, n), cut(&right, n, columns));
            let fail = |why: &str| {
                let text = format!("{}: {} {why}", name(*self), which(k, batch));
                Err(Error::new(Code::Argument, text))
            };
            if let Some(at) = left
                .get(k * m * n..(k + 1) * m * n)
                .unwrap_or(&[])
                .iter()
                .position(|v| !v.is_finite())
            {
                return fail(&format!("is not finite at [{}, {}]", at / n.max(1), at % n.max(1)));
            }
            match self.one(&a, &b) {
                Ok(made) => values.extend(made),
                Err(why) => return fail(&why),
            }
        }
        array(&out, &values)
    }
}

/// The values as an array of that type.
fn array(out: &Meta, values: &[f64]) -> Result<Array> {
    match out.dtype {
        DType::F64 => Array::new(out.shape, values),
        _ => Array::new(out.shape, &values.iter().map(|&v| v as f32).collect::<Vec<_>>()),
    }
}

/// Which matrix of a batch.
fn which(mut k: usize, batch: &[usize]) -> String {
    if batch.is_empty() {
        return "the matrix".to_string();
    }
    let mut at = vec![0; batch.len()];
    for (slot, &size) in at.iter_mut().zip(batch).rev() {
        *slot = k % size.max(1);
        k /= size.max(1);
    }
    format!("matrix {at:?} of the batch")
}
