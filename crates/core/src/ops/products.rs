//! Products of vectors, matrices and batches of them, made of matrix products and sums.

use std::panic::Location;

use super::Op;
use crate::error::{Code, Error};
use crate::graph::called::called;
use crate::graph::recorder;
use crate::graph::shape::{MAX_RANK, Shape};
use crate::tensor::{Operand, Tensor, operand};

/// Which axes [`Tensor::tensordot`] sums over: the last `n` of the left and the first `n` of the right
/// tensor, or a list of axes for each.
pub trait Contracted {
    /// The axes of the left and of the right tensor.
    #[doc(hidden)]
    fn axes(&self, left: usize) -> (Vec<isize>, Vec<isize>);
}
impl Contracted for usize {
    fn axes(&self, left: usize) -> (Vec<isize>, Vec<isize>) {
        let n = *self as isize;
        // Too many give an axis that the left tensor does not have.
        let first = left as isize - n;
        let left = (0..n).map(|i| if first < 0 { n - 1 } else { first + i }).collect();
        (left, (0..n).collect())
    }
}
impl<const N: usize> Contracted for ([isize; N], [isize; N]) {
    fn axes(&self, _: usize) -> (Vec<isize>, Vec<isize>) {
        (self.0.to_vec(), self.1.to_vec())
    }
}
impl Contracted for (&[isize], &[isize]) {
    fn axes(&self, _: usize) -> (Vec<isize>, Vec<isize>) {
        (self.0.to_vec(), self.1.to_vec())
    }
}

/// The error of operands that do not have the ranks that a product wants.
#[track_caller]
fn wants(name: &str, form: &str, x: &Tensor, y: &Tensor) -> Tensor {
    for t in [x, y] {
        if t.is_failed() {
            return t.clone();
        }
    }
    let text = format!("{name}: takes {form}, not {} and {}", x.peek().shape, y.peek().shape);
    let error = Error::new(Code::Shape, text).help("`matmul` multiplies tensors of any ranks");
    let at = Location::caller();
    recorder::failed(recorder::with(|r| r.operands(error, &[x.slot(), y.slot()])), at)
}

fn ranks(x: &Tensor, y: &Tensor) -> (usize, usize) {
    (x.peek().shape.rank(), y.peek().shape.rank())
}

impl Tensor {
    /// The axes in another order that is known to be one.
    #[track_caller]
    pub(crate) fn reordered(&self, order: &[usize]) -> Tensor {
        if order.iter().enumerate().all(|(i, &axis)| i == axis) {
            return self.clone();
        }
        let mut perm = [0u8; MAX_RANK];
        for (slot, &axis) in perm.iter_mut().zip(order) {
            *slot = axis as u8;
        }
        self.apply(Op::Permute(perm), &[], None)
    }

    /// Inner product of two vectors of one length: `sum(x * y)`.
    ///
    /// ```
    /// use gradus_core::Tensor;
    /// let (x, y) = (Tensor::from([1.0, 2.0]), Tensor::from([3.0, 4.0]));
    /// assert_eq!(x.dot(&y).item()?, 11.0);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    #[track_caller]
    #[must_use]
    #[doc(alias = "vdot")]
    pub fn dot(&self, other: impl Operand) -> Tensor {
        let _called = called("dot");
        let y = other.arg().into_tensor();
        let same = self.peek().shape == y.peek().shape;
        if ranks(self, &y) != (1, 1) || !same {
            return wants("dot", "two vectors of one length", self, &y);
        }
        (self * y).sum()
    }

    /// Inner product over the last axis of both: `[.., k]` and `[.., k]` give all pairs of rows, with
    /// the leading axes of the left tensor first. With a scalar it is an ordinary product.
    ///
    /// ```
    /// use gradus_core::Tensor;
    /// let (x, y) = (Tensor::ones([2, 3]), Tensor::ones([4, 5, 3]));
    /// assert_eq!(x.inner(&y).shape()?.dims(), [2, 4, 5]);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    #[track_caller]
    #[must_use]
    pub fn inner(&self, other: impl Operand) -> Tensor {
        let _called = called("inner");
        let y = other.arg().into_tensor();
        match ranks(self, &y) {
            (0, _) | (_, 0) => self * y,
            (a, b) => self.contract("inner", &y, &[a as isize - 1], &[b as isize - 1]),
        }
    }

    /// All products of the elements of two vectors: `[n]` and `[m]` give `[n, m]`.
    ///
    /// ```
    /// use gradus_core::Tensor;
    /// let table = Tensor::from([1, 2, 3]).outer(Tensor::from([10, 100]));
    /// assert_eq!(table.to_vec2::<i64>()?, [[10, 100], [20, 200], [30, 300]]);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    #[track_caller]
    #[must_use]
    pub fn outer(&self, other: impl Operand) -> Tensor {
        let _called = called("outer");
        let y = other.arg().into_tensor();
        if ranks(self, &y) != (1, 1) {
            return wants("outer", "two vectors", self, &y);
        }
        self.unsqueeze(1) * y
    }

    /// Matrix times vector: `[n, k]` and `[k]` give `[n]`.
    #[track_caller]
    #[must_use]
    pub fn mv(&self, vector: impl Operand) -> Tensor {
        let _called = called("mv");
        let y = vector.arg().into_tensor();
        match ranks(self, &y) {
            (2, 1) => self.matmul(y),
            _ => wants("mv", "a matrix and a vector", self, &y),
        }
    }

    /// Matrix times matrix, and nothing else: no broadcasting, no vectors. See [`Tensor::matmul`].
    #[track_caller]
    #[must_use]
    pub fn mm(&self, other: impl Operand) -> Tensor {
        let _called = called("mm");
        let y = other.arg().into_tensor();
        match ranks(self, &y) {
            (2, 2) => self.matmul(y),
            _ => wants("mm", "two matrices", self, &y),
        }
    }

    /// Products of two batches of matrices: `[b, n, k]` and `[b, k, m]` give `[b, n, m]`.
    #[track_caller]
    #[must_use]
    pub fn bmm(&self, other: impl Operand) -> Tensor {
        let _called = called("bmm");
        let y = other.arg().into_tensor();
        if ranks(self, &y) != (3, 3) || self.peek().shape.dim(0) != y.peek().shape.dim(0) {
            return wants("bmm", "two batches [b, n, k] and [b, k, m]", self, &y);
        }
        self.matmul(y)
    }

    /// `beta * self + alpha * product`, where the product decides the shape.
    #[track_caller]
    fn plus(&self, name: &'static str, product: &Tensor, beta: f64, alpha: f64) -> Tensor {
        let (have, out) = (self.peek().shape, product.peek().shape);
        for t in [self, product] {
            if t.is_failed() {
                return t.clone();
            }
        }
        if have.broadcast(&out) != Some(out) {
            let text = format!("{name}: {have} does not broadcast to the product's {out}");
            return recorder::failed(Error::new(Code::Shape, text), Location::caller());
        }
        let scaled = product * alpha;
        // As in PyTorch, nothing of `self` is used then, not even NaN.
        if beta == 0.0 { scaled } else { self * beta + scaled }
    }

    /// `beta * self + alpha * (a @ b)` of matrices; `self` broadcasts to the product. PyTorch's
    /// defaults for both factors are 1.
    ///
    /// ```
    /// use gradus_core::Tensor;
    /// let (bias, x, w) = (Tensor::ones([2]), Tensor::ones([3, 4]), Tensor::ones([4, 2]));
    /// assert_eq!(bias.addmm(&x, &w, 1.0, 0.5).to_vec::<f32>()?, [3.0; 6]);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    #[track_caller]
    #[must_use]
    pub fn addmm(&self, a: impl Operand, b: impl Operand, beta: f64, alpha: f64) -> Tensor {
        let _called = called("addmm");
        let product = a.arg().into_tensor().mm(b);
        self.plus("addmm", &product, beta, alpha)
    }

    /// `beta * self + alpha * (matrix @ vector)`.
    #[track_caller]
    #[must_use]
    pub fn addmv(&self, a: impl Operand, b: impl Operand, beta: f64, alpha: f64) -> Tensor {
        let _called = called("addmv");
        let product = a.arg().into_tensor().mv(b);
        self.plus("addmv", &product, beta, alpha)
    }

    /// `beta * self + alpha * outer(a, b)` of vectors.
    #[track_caller]
    #[must_use]
    pub fn addr(&self, a: impl Operand, b: impl Operand, beta: f64, alpha: f64) -> Tensor {
        let _called = called("addr");
        let product = a.arg().into_tensor().outer(b);
        self.plus("addr", &product, beta, alpha)
    }

    /// `beta * self + alpha * (a @ b)` of batches of matrices.
    #[track_caller]
    #[must_use]
    pub fn baddbmm(&self, a: impl Operand, b: impl Operand, beta: f64, alpha: f64) -> Tensor {
        let _called = called("baddbmm");
        let product = a.arg().into_tensor().bmm(b);
        self.plus("baddbmm", &product, beta, alpha)
    }

    /// `beta * self + alpha * (sum of the products of a batch)`: `[b, n, k]` and `[b, k, m]` give
    /// `[n, m]`, as one product over both `b` and `k`.
    #[track_caller]
    #[must_use]
    pub fn addbmm(&self, a: impl Operand, b: impl Operand, beta: f64, alpha: f64) -> Tensor {
        let _called = called("addbmm");
        let (a, b) = (a.arg().into_tensor(), b.arg().into_tensor());
        if ranks(&a, &b) != (3, 3) {
            return wants("addbmm", "two batches [b, n, k] and [b, k, m]", &a, &b);
        }
        let product = a.contract("addbmm", &b, &[0, 2], &[0, 1]);
        self.plus("addbmm", &product, beta, alpha)
    }

    /// Sums of products over axes of both tensors; the others stay, the left ones first.
    ///
    /// `axes` is a number `n`, for the last `n` axes of this tensor and the first `n` of the other, or
    /// a pair of lists: `([0, 1], [2, 0])` pairs axis 0 with 2 and 1 with 0. A size of 1 broadcasts.
    ///
    /// ```
    /// use gradus_core::Tensor;
    /// let (x, y) = (Tensor::ones([2, 3, 4]), Tensor::ones([3, 4, 5]));
    /// assert_eq!(x.tensordot(&y, 2).to_vec::<f32>()?, [12.0; 10]);
    /// assert_eq!(x.tensordot(&y, ([1], [0])).shape()?.dims(), [2, 4, 4, 5]);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    #[track_caller]
    #[must_use]
    pub fn tensordot(&self, other: impl Operand, axes: impl Contracted) -> Tensor {
        let _called = called("tensordot");
        let y = other.arg().into_tensor();
        let (left, right) = axes.axes(self.peek().shape.rank());
        // A size of 1 broadcasts: the other tensor is summed alone.
        let (sx, sy) = (self.peek().shape, y.peek().shape);
        let (mut sum_x, mut sum_y) = (Vec::new(), Vec::new());
        for (&i, &j) in left.iter().zip(&right) {
            let size =
                |shape: &Shape, axis| operand::resolve(axis, shape.rank()).map(|a| shape.dim(a));
            match (size(&sx, i), size(&sy, j)) {
                (Some(1), Some(n)) if n != 1 => sum_y.push(j),
                (Some(n), Some(1)) if n != 1 => sum_x.push(i),
                _ => {}
            }
        }
        let x = if sum_x.is_empty() { self.clone() } else { self.sum_keepdim(&sum_x[..]) };
        let y = if sum_y.is_empty() { y } else { y.sum_keepdim(&sum_y[..]) };
        x.contract("tensordot", &y, &left, &right)
    }

    /// Sums of products over pairs of axes, as one matrix product.
    #[track_caller]
    fn contract(&self, name: &str, y: &Tensor, left: &[isize], right: &[isize]) -> Tensor {
        let place = Location::caller();
        for t in [self, y] {
            if t.is_failed() {
                return t.clone();
            }
        }
        let (sx, sy) = (self.peek().shape, y.peek().shape);
        let resolved = match (axes_of(name, left, &sx), axes_of(name, right, &sy)) {
            (Ok(a), Ok(b)) => Ok((a, b)),
            (Err(e), _) | (_, Err(e)) => Err(e),
        };
        let (a, b) = match resolved {
            Ok(both) => both,
            Err(error) => return recorder::failed(error, place),
        };
        let apart = a.iter().zip(&b).find(|&(&i, &j)| sx.dim(i) != sy.dim(j));
        if a.len() != b.len() || apart.is_some() {
            let text = match apart {
                Some((&i, &j)) => format!(
                    "axis {i} of the left has size {}, axis {j} of the right {}",
                    sx.dim(i),
                    sy.dim(j)
                ),
                None => format!("{} axes of the left, {} of the right", a.len(), b.len()),
            };
            let error = Error::new(Code::Shape, format!("{name}: {text}"));
            let error = recorder::with(|r| r.operands(error, &[self.slot(), y.slot()]));
            return recorder::failed(error, place);
        }
        let free = |shape: &Shape, used: &[usize]| {
            (0..shape.rank()).filter(|i| !used.contains(i)).collect::<Vec<_>>()
        };
        let (fx, fy) = (free(&sx, &a), free(&sy, &b));
        let size = |shape: &Shape, axes: &[usize]| {
            axes.iter().fold(1usize, |n, &i| n.saturating_mul(shape.dim(i)))
        };
        let k = size(&sx, &a);
        let x = self.reordered(&[&fx[..], &a].concat()).reshape_to([size(&sx, &fx), k]);
        let y = y.reordered(&[&b[..], &fy].concat()).reshape_to([k, size(&sy, &fy)]);
        let out = fx.iter().map(|&i| sx.dim(i)).chain(fy.iter().map(|&i| sy.dim(i)));
        x.matmul(y).reshape_to(out.collect::<Vec<_>>())
    }

    /// Kronecker product: each element of this tensor times the whole other one, as blocks. The
    /// tensor of lower rank gains leading axes of size 1.
    ///
    /// ```
    /// use gradus_core::Tensor;
    /// let y = Tensor::from([1, 10]).kron(Tensor::from([1, 2, 3]));
    /// assert_eq!(y.to_vec::<i64>()?, [1, 2, 3, 10, 20, 30]);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    #[track_caller]
    #[must_use]
    pub fn kron(&self, other: impl Operand) -> Tensor {
        let _called = called("kron");
        let y = other.arg().into_tensor();
        let (sx, sy) = (self.peek().shape, y.peek().shape);
        let rank = sx.rank().max(sy.rank());
        // Blocks and what is in them alternate; axes where one has size 1 need no second one.
        let (mut dx, mut dy, mut out) = (Vec::new(), Vec::new(), Vec::new());
        for back in (0..rank).rev() {
            let (n, m) = (sx.last(back), sy.last(back));
            if n != 1 && m != 1 {
                dx.extend([n, 1]);
                dy.extend([1, m]);
            } else {
                dx.push(n);
                dy.push(m);
            }
            out.push(n.saturating_mul(m));
        }
        (self.reshape_to(dx) * y.reshape_to(dy)).reshape_to(out)
    }

    /// Cross product of vectors of three elements along an axis; other axes broadcast.
    ///
    /// ```
    /// use gradus_core::Tensor;
    /// let (x, y) = (Tensor::from([1.0, 0.0, 0.0]), Tensor::from([0.0, 1.0, 0.0]));
    /// assert_eq!(x.cross(&y, -1).to_vec::<f32>()?, [0.0, 0.0, 1.0]);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    #[track_caller]
    #[must_use]
    pub fn cross(&self, other: impl Operand, axis: isize) -> Tensor {
        let _called = called("cross");
        let y = other.arg().into_tensor();
        for t in [self, &y] {
            if t.is_failed() {
                return t.clone();
            }
        }
        let (sx, sy) = (self.peek().shape, y.peek().shape);
        if sx.rank() != sy.rank() {
            return wants("cross", "tensors of one rank", self, &y);
        }
        let Some(i) = operand::resolve(axis, sx.rank()) else {
            return recorder::failed(operand::no_axis("cross", axis, &sx), Location::caller());
        };
        if (sx.dim(i), sy.dim(i)) != (3, 3) {
            return wants("cross", &format!("vectors of 3 elements along axis {axis}"), self, &y);
        }
        let i = i as isize;
        let (a0, a1, a2) = (self.narrow(i, 0, 1), self.narrow(i, 1, 1), self.narrow(i, 2, 1));
        let (b0, b1, b2) = (y.narrow(i, 0, 1), y.narrow(i, 1, 1), y.narrow(i, 2, 1));
        let parts = [&a1 * &b2 - &a2 * &b1, &a2 * &b0 - &a0 * &b2, &a0 * &b1 - &a1 * &b0];
        Tensor::concat(&[&parts[0], &parts[1], &parts[2]], i)
    }

    /// Inner products along an axis, `sum(x * y)`; other axes broadcast.
    ///
    /// ```
    /// use gradus_core::Tensor;
    /// let x = Tensor::from([[1.0, 2.0], [3.0, 4.0]]);
    /// assert_eq!(x.vecdot(&x, -1).to_vec::<f32>()?, [5.0, 25.0]);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    #[track_caller]
    #[must_use]
    pub fn vecdot(&self, other: impl Operand, axis: isize) -> Tensor {
        let _called = called("vecdot");
        (self * other).sum_dim(axis)
    }

    /// The matrix product of several matrices, in the order that multiplies fewest numbers. The first
    /// may be a vector (a row) and the last one too (a column).
    ///
    /// ```
    /// use gradus_core::Tensor;
    /// let (a, b, c) = (Tensor::ones([2, 90]), Tensor::ones([90, 3]), Tensor::ones([3]));
    /// assert_eq!(Tensor::multi_dot(&[&a, &b, &c]).to_vec::<f32>()?, [270.0; 2]);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    #[track_caller]
    #[must_use]
    #[doc(alias = "chain_matmul")]
    pub fn multi_dot(tensors: &[&Tensor]) -> Tensor {
        let _called = called("multi_dot");
        let place = Location::caller();
        let last = tensors.len().saturating_sub(1);
        if tensors.len() < 2 {
            let error = Error::new(Code::Argument, "multi_dot: needs at least two tensors");
            return recorder::failed(error, place);
        }
        // Sizes between the factors: factor i is [sizes[i], sizes[i + 1]].
        let mut sizes = vec![1];
        for (i, t) in tensors.iter().enumerate() {
            let shape = t.peek().shape;
            if t.is_failed() {
                return (*t).clone();
            }
            let ends = i == 0 || i == last;
            let fits = shape.rank() == 2 || shape.rank() == 1 && ends;
            if !fits {
                let text = format!("multi_dot: tensor {i} is {shape}, not a matrix");
                let error = Error::new(Code::Shape, text)
                    .help("only the first and the last may be a vector");
                return recorder::failed(error, place);
            }
            match (shape.rank(), i) {
                (2, 0) => sizes = vec![shape.dim(0), shape.dim(1)],
                (2, _) => sizes.push(shape.dim(1)),
                (_, 0) => sizes.push(shape.dim(0)),
                _ => sizes.push(1),
            }
        }
        let split = cheapest(&sizes);
        product_of(tensors, &split, 0, last)
    }

    /// The matrix power `x @ x @ ...` (`n` factors) of a square matrix or a batch of them, by repeated
    /// squaring; the identity for 0.
    ///
    /// ```
    /// use gradus_core::Tensor;
    /// let fibonacci = Tensor::from([[1.0, 1.0], [1.0, 0.0]]).matrix_power(10);
    /// assert_eq!(fibonacci.to_vec::<f32>()?, [89.0, 55.0, 55.0, 34.0]);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    #[track_caller]
    #[must_use]
    pub fn matrix_power(&self, n: u32) -> Tensor {
        let _called = called("matrix_power");
        if self.is_failed() {
            return self.clone();
        }
        let meta = self.peek();
        let shape = meta.shape;
        if shape.rank() < 2 || shape.last(0) != shape.last(1) {
            let text = format!("matrix_power: {shape} is not a square matrix");
            return recorder::failed(Error::new(Code::Shape, text), Location::caller());
        }
        let mut power: Option<Tensor> = None;
        let (mut square, mut rest) = (self.clone(), n);
        while rest > 0 {
            if rest % 2 == 1 {
                power = Some(match power {
                    Some(p) => p.matmul(&square),
                    None => square.clone(),
                });
            }
            rest /= 2;
            if rest > 0 {
                square = square.matmul(&square);
            }
        }
        match power {
            Some(power) => power,
            // Zero times itself would keep infinities as NaN, so it is a new tensor.
            None => Tensor::eye(shape.last(0)).cast(meta.dtype).broadcast_to(shape),
        }
    }

    /// Bilinear form of two vectors: `out[o] = sum over i, j of x[i] * weight[o, i, j] * y[j] + bias[o]`.
    ///
    /// `x` is `[.., in1]`, `y` `[.., in2]`, `weight` `[out, in1, in2]`, `bias` `[out]`; the result is
    /// `[.., out]`.
    ///
    /// ```
    /// use gradus_core::Tensor;
    /// let (x, y, w) = (Tensor::ones([5, 2]), Tensor::ones([5, 3]), Tensor::ones([4, 2, 3]));
    /// assert_eq!(x.bilinear(&y, &w, None).to_vec::<f32>()?, [6.0; 20]);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    #[track_caller]
    #[must_use]
    pub fn bilinear(
        &self,
        other: impl Operand,
        weight: impl Operand,
        bias: Option<&dyn Operand>,
    ) -> Tensor {
        let _called = called("bilinear");
        let (y, w) = (other.arg().into_tensor(), weight.arg().into_tensor());
        let (sx, sy, sw) = (self.peek().shape, y.peek().shape, w.peek().shape);
        for t in [self, &y, &w] {
            if t.is_failed() {
                return t.clone();
            }
        }
        let batch = |s: &Shape| s.remove(s.rank().saturating_sub(1));
        let fits = sw.rank() == 3 && sx.rank() > 0 && sy.rank() > 0;
        if !fits || batch(&sx) != batch(&sy) || [sx.last(0), sy.last(0)] != sw.dims()[1..] {
            let text = format!("bilinear: {sx} and {sy} do not go with a weight {sw}");
            let error = Error::new(Code::Shape, text)
                .help("they are [.., in1], [.., in2] and [out, in1, in2]");
            return recorder::failed(error, Location::caller());
        }
        let (rows, out) = (batch(&sx).numel(), sw.dim(0));
        let x = self.reshape_to([rows, sx.last(0)]);
        // All products with x at once, then the sum over y's elements.
        let w = w.reordered(&[1, 0, 2]).reshape_to([sx.last(0), out.saturating_mul(sy.last(0))]);
        let half = x.matmul(w).reshape_to([rows, out, sy.last(0)]);
        let sums = (half * y.reshape_to([rows, 1, sy.last(0)])).sum_dim(2);
        let result = sums.reshape_to(sx.with(sx.rank() - 1, out));
        match bias {
            Some(bias) => result + bias,
            None => result,
        }
    }
}

fn axes_of(name: &str, axes: &[isize], shape: &Shape) -> Result<Vec<usize>, Error> {
    let mut out = Vec::with_capacity(axes.len());
    for &axis in axes {
        match operand::resolve(axis, shape.rank()) {
            Some(i) if !out.contains(&i) => out.push(i),
            _ => return Err(operand::no_axis(name, axis, shape)),
        }
    }
    Ok(out)
}

/// Where to split each run of factors so that fewest numbers are multiplied.
fn cheapest(sizes: &[usize]) -> Vec<Vec<usize>> {
    let n = sizes.len() - 1;
    let mut cost = vec![vec![0.0f64; n]; n];
    let mut split = vec![vec![0; n]; n];
    for length in 1..n {
        for first in 0..n - length {
            let last = first + length;
            cost[first][last] = f64::INFINITY;
            for at in first..last {
                let ends = sizes[first] as f64 * sizes[at + 1] as f64 * sizes[last + 1] as f64;
                let total = cost[first][at] + cost[at + 1][last] + ends;
                if total < cost[first][last] {
                    cost[first][last] = total;
                    split[first][last] = at;
                }
            }
        }
    }
    split
}

#[track_caller]
fn product_of(tensors: &[&Tensor], split: &[Vec<usize>], first: usize, last: usize) -> Tensor {
    if first == last {
        return tensors[first].clone();
    }
    let at = split[first][last];
    product_of(tensors, split, first, at).matmul(product_of(tensors, split, at + 1, last))
}
