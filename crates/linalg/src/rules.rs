//! Functions of matrices with their gradients. Shapes have been checked.
//!
//! Rules are written with tensors, so they have derivatives themselves. A rule that needs its own
//! function (a solver's) uses it to a depth of two, and then something simpler, since rules are
//! written down when the function is called.

use gradus_core::{Tensor, custom_gradient};

use crate::host::Host;

/// How deep a rule uses its own function.
const DEPTH: usize = 2;

pub(crate) fn t(x: &Tensor) -> Tensor {
    x.transpose(-2, -1)
}

/// The sizes of the last two axes.
pub(crate) fn size(x: &Tensor) -> (usize, usize) {
    match x.shape() {
        Ok(s) => (s.last(1), s.last(0)),
        Err(_) => (0, 0),
    }
}

/// A matrix of numbers, of the type of `like`.
fn mask(like: &Tensor, m: usize, n: usize, f: impl Fn(usize, usize) -> f64) -> Tensor {
    let values: Vec<f64> = (0..m * n).map(|k| f(k / n.max(1), k % n.max(1))).collect();
    let mask = Tensor::exact([m, n], &values);
    match like.dtype() {
        Ok(dtype) => mask.cast(dtype),
        Err(_) => mask,
    }
}

pub(crate) fn eye(like: &Tensor, n: usize) -> Tensor {
    mask(like, n, n, |i, j| f64::from(i == j))
}

/// `1 / x`, and 0 where `x` is 0.
fn inverse_or_zero(x: &Tensor) -> Tensor {
    let zero = x.eq(0.0);
    let safe = zero.where_(1.0, x);
    zero.where_(0.0, 1.0f64 / safe)
}

pub(crate) fn inverse(a: &Tensor) -> Tensor {
    custom_gradient(
        &[a],
        |v| Host::Inverse.of(&[&v[0]]),
        |_, y, g| vec![-t(y).matmul(g).matmul(t(y))],
    )
}

pub(crate) fn det(a: &Tensor) -> Tensor {
    custom_gradient(
        &[a],
        |v| Host::Det.of(&[&v[0]]),
        |v, y, g| vec![t(&inverse(&v[0])) * (y * g).unsqueeze(-1).unsqueeze(-1)],
    )
}

/// Sign, and logarithm of the absolute value.
pub(crate) fn slogdet(a: &Tensor) -> (Tensor, Tensor) {
    let both = custom_gradient(
        &[a],
        |v| Host::SlogDet.of(&[&v[0]]),
        |v, _, g| vec![t(&inverse(&v[0])) * g.narrow(-1, 1, 1).unsqueeze(-1)],
    );
    let sign = both.narrow(-1, 0, 1).squeeze(-1).detach();
    (sign, both.narrow(-1, 1, 1).squeeze(-1))
}

pub(crate) fn solve(a: &Tensor, b: &Tensor, depth: usize) -> Tensor {
    custom_gradient(
        &[a, b],
        |v| Host::Solve.of(&[&v[0], &v[1]]),
        |v, x, g| {
            let at = t(&v[0]);
            let gb = if depth < DEPTH { solve(&at, g, depth + 1) } else { inverse(&at).matmul(g) };
            vec![-gb.matmul(t(x)), gb]
        },
    )
}

pub(crate) fn solve_triangular(
    a: &Tensor,
    b: &Tensor,
    upper: bool,
    unit: bool,
    depth: usize,
) -> Tensor {
    custom_gradient(
        &[a, b],
        |v| Host::Triangular { upper, unit }.of(&[&v[0], &v[1]]),
        |v, x, g| {
            let n = size(&v[0]).0;
            let counts = mask(g, n, n, |i, j| {
                f64::from(if upper { i < j } else { i > j } || !unit && i == j)
            });
            let at = t(&v[0]);
            let gb = if depth < DEPTH {
                solve_triangular(&at, g, !upper, unit, depth + 1)
            } else {
                let whole = t(&(&v[0] * &counts));
                let whole = if unit { whole + eye(g, n) } else { whole };
                inverse(&whole).matmul(g)
            };
            vec![-gb.matmul(t(x)) * counts, gb]
        },
    )
}

pub(crate) fn cholesky(a: &Tensor) -> Tensor {
    custom_gradient(
        &[a],
        |v| Host::Cholesky.of(&[&v[0]]),
        |_, l, g| {
            let n = size(l).0;
            // Murray, "Differentiation of the Cholesky decomposition", arXiv:1602.07527.
            let half = mask(g, n, n, |i, j| f64::from(i > j) + 0.5 * f64::from(i == j));
            let inverse = solve_triangular(l, &eye(l, n).broadcast_like(l), false, false, 1);
            let s = t(&inverse).matmul(t(l).matmul(g) * half).matmul(&inverse);
            vec![(&s + t(&s)) * 0.5]
        },
    )
}

trait BroadcastLike {
    fn broadcast_like(&self, like: &Tensor) -> Tensor;
}

impl BroadcastLike for Tensor {
    fn broadcast_like(&self, like: &Tensor) -> Tensor {
        match like.shape() {
            Ok(shape) => self.broadcast_to(shape),
            Err(error) => Tensor::failed(error),
        }
    }
}

/// Eigenvalues `[.., n]` and vectors.
pub(crate) fn eigh(a: &Tensor) -> (Tensor, Tensor) {
    let n = size(a).0;
    let split = move |y: &Tensor| (y.narrow(-2, 0, 1), y.narrow(-2, 1, n));
    let both = custom_gradient(
        &[a],
        |v| Host::Eigh.of(&[&v[0]]),
        move |_, y, g| {
            let ((w, v), (gw, gv)) = (split(y), split(g));
            let f = inverse_or_zero(&(&w - t(&w)));
            let inner = f * t(&v).matmul(gv) + eye(g, n) * gw;
            let s = v.matmul(inner).matmul(t(&v));
            vec![(&s + t(&s)) * 0.5]
        },
    );
    let (w, v) = split(&both);
    (w.squeeze(-2), v)
}

/// U `[.., m, k]`, the singular values `[.., k]`, V `[.., n, k]`.
pub(crate) fn svd(a: &Tensor) -> (Tensor, Tensor, Tensor) {
    let (m, n) = size(a);
    let k = m.min(n);
    let split = move |y: &Tensor| (y.narrow(-2, 1, m), y.narrow(-2, 0, 1), y.narrow(-2, 1 + m, n));
    let all = custom_gradient(
        &[a],
        |v| Host::Svd.of(&[&v[0]]),
        move |_, y, g| {
            // Townsend, "Differentiating the singular value decomposition" (2016).
            let ((u, s, v), (gu, gs, gv)) = (split(y), split(g));
            let s2 = s.square();
            let f = inverse_or_zero(&(&s2 - t(&s2)));
            let skew = |x: &Tensor, gx: &Tensor| {
                let p = t(x).matmul(gx);
                &f * (&p - t(&p))
            };
            let inner = skew(&u, &gu) * &s + t(&s) * skew(&v, &gv) + eye(g, k) * gs;
            let mut ga = u.matmul(inner).matmul(t(&v));
            let si = inverse_or_zero(&s);
            if m > k {
                let x = &gu * &si;
                ga = ga + (&x - u.matmul(t(&u).matmul(&x))).matmul(t(&v));
            }
            if n > k {
                let x = &gv * &si;
                ga = ga + u.matmul(t(&(&x - v.matmul(t(&v).matmul(&x)))));
            }
            vec![ga]
        },
    );
    let (u, s, v) = split(&all);
    (u, s.squeeze(-2), v)
}

/// Q `[.., m, k]` and R `[.., k, n]`.
pub(crate) fn qr(a: &Tensor) -> (Tensor, Tensor) {
    let (m, n) = size(a);
    let k = m.min(n);
    let split = move |y: &Tensor| (y.narrow(-2, 0, m), t(&y.narrow(-2, m, n)));
    let both = custom_gradient(
        &[a],
        |v| Host::Qr.of(&[&v[0]]),
        move |ins, y, g| {
            // Roberts and Roberts, "QR and LQ decomposition matrix backpropagation",
            // arXiv:2009.10071; for a wide matrix the columns after the k-th follow from Q.
            let ((q, r), (gq, gr)) = (split(y), split(g));
            let (u, gu) = (r.narrow(-1, 0, k), gr.narrow(-1, 0, k));
            let (gq, rest) = if n > k {
                let (y, gv) = (ins[0].narrow(-1, k, n - k), gr.narrow(-1, k, n - k));
                (gq + y.matmul(t(&gv)), Some(q.matmul(gv)))
            } else {
                (gq, None)
            };
            let p = u.matmul(t(&gu)) - t(&gq).matmul(&q);
            let below = &p * mask(g, k, k, |i, j| f64::from(i > j));
            let sym = &below + t(&below) + p * eye(g, k);
            let x = gq + q.matmul(sym);
            let first = t(&solve_triangular(&u, &t(&x), true, false, 1));
            vec![match rest {
                Some(rest) => Tensor::concat(&[&first, &rest], -1),
                None => first,
            }]
        },
    );
    split(&both)
}

/// The part of the singular values that counts, relative to the largest.
fn cutoff(m: usize, n: usize, a: &Tensor) -> f64 {
    let epsilon = match a.dtype() {
        Ok(gradus_core::DType::F64) => f64::EPSILON,
        _ => f64::from(f32::EPSILON),
    };
    m.max(n) as f64 * epsilon
}

pub(crate) fn pinv(a: &Tensor) -> Tensor {
    if size(a).0.min(size(a).1) == 0 {
        return t(a);
    }
    custom_gradient(
        &[a],
        |v| {
            let (m, n) = size(&v[0]);
            let (u, s, w) = svd(&v[0]);
            let s = s.unsqueeze(-2);
            let small = s.le(s.max_keepdim(-1) * cutoff(m, n, &v[0]));
            let si = small.where_(0.0, 1.0f64 / small.where_(1.0, &s));
            (w * si).matmul(t(&u))
        },
        |v, p, g| {
            // Golub and Pereyra, "The differentiation of pseudo-inverses" (1973).
            let (a, pt, gt) = (&v[0], t(p), t(g));
            let (ppt, ptp) = (p.matmul(&pt), pt.matmul(p));
            let one = gt.matmul(ppt);
            let two = ptp.matmul(&gt);
            let ga = (&one - a.matmul(p).matmul(&one)) + (&two - two.matmul(p).matmul(a))
                - pt.matmul(g).matmul(&pt);
            vec![ga]
        },
    )
}

pub(crate) fn matrix_rank(a: &Tensor) -> Tensor {
    let (m, n) = size(a);
    let s = svd(&a.detach()).1;
    if m.min(n) == 0 {
        return s.sum_dim(-1).cast(gradus_core::DType::I64);
    }
    s.gt(s.max_keepdim(-1) * cutoff(m, n, a)).cast(gradus_core::DType::I64).sum_dim(-1)
}

pub(crate) fn matrix_exp(a: &Tensor, depth: usize) -> Tensor {
    let n = size(a).0;
    custom_gradient(
        &[a],
        |v| Host::Exp.of(&[&v[0]]),
        move |v, _, g| {
            // The derivative in a direction is a block of the exponential of a larger matrix
            // (Van Loan, 1978).
            let at = t(&v[0]);
            let upper = Tensor::concat(&[&at, g], -1);
            let lower = Tensor::concat(&[&(&at * 0.0), &at], -1);
            let block = Tensor::concat(&[&upper, &lower], -2);
            let e = if depth < DEPTH { matrix_exp(&block, depth + 1) } else { series(&block) };
            vec![e.narrow(-2, 0, n).narrow(-1, n, n)]
        },
    )
}

/// The exponential by squaring a series, for derivatives of third and higher order.
fn series(a: &Tensor) -> Tensor {
    let n = size(a).0;
    let small = a * (1.0 / 256.0);
    let one = eye(a, n);
    // Horner: 1 + x (1 + x/2 (1 + x/3 ..)).
    let mut e = one.clone();
    for k in (1..=10).rev() {
        e = &one + small.matmul(&e) * (1.0 / f64::from(k));
    }
    for _ in 0..8 {
        e = e.matmul(&e);
    }
    e
}
