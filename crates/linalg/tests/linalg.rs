//! Decompositions and solvers: their defining equations, gradients of first and second order
//! against differences, batches, `vmap`, and what cannot be done.
#![allow(clippy::unwrap_used, clippy::panic)]

use gradus_core::derivatives::vmap;
use gradus_core::{Array, Code, DType, Rng, Tensor, check};
use gradus_linalg::{Linalg, MatrixNorm};

fn normal(seed: u64, dims: &[usize]) -> Array {
    let a = Rng::new(seed).normal(dims, 0.0, 1.0).unwrap();
    Array::new(a.shape(), &a.to_f64()).unwrap()
}

fn tensor(seed: u64, dims: &[usize]) -> Tensor {
    Tensor::from_array(&normal(seed, dims))
}

fn t(x: &Tensor) -> Tensor {
    x.transpose(-2, -1)
}

fn eye(n: usize) -> Tensor {
    Tensor::eye(n).cast(DType::F64)
}

/// Symmetric, positive definite.
fn definite(x: &Tensor) -> Tensor {
    let n = x.shape().unwrap().last(0);
    x.matmul(t(x)) + eye(n)
}

fn close(a: &Tensor, b: &Tensor) {
    let (a, b) = (a.to_array(), b.to_array());
    let (a, b) = (a.unwrap_or_else(|e| panic!("{e}")), b.unwrap_or_else(|e| panic!("{e}")));
    assert_eq!(a.shape(), b.shape());
    for (x, y) in a.to_f64().iter().zip(b.to_f64()) {
        assert!((x - y).abs() < 1e-10 * (1.0 + y.abs()), "{x} and {y}");
    }
}

#[test]
fn each_satisfies_its_equation() {
    for dims in [&[4, 4][..], &[3, 5, 5], &[1, 1], &[2, 2, 3, 3]] {
        let a = tensor(1, dims);
        let n = dims[dims.len() - 1];
        let one = eye(n).broadcast_to(dims);
        close(&a.inverse().matmul(&a), &one);
        let b = tensor(2, &[n, 2]);
        close(&a.matmul(a.solve(&b)), &b.broadcast_to(a.matmul(&b).shape().unwrap()));
        let d = definite(&a);
        let l = d.cholesky();
        close(&l.matmul(t(&l)), &d);
        close(&l.cholesky_inverse(), &d.inverse());
        close(&l.cholesky_solve(&b), &d.solve(&b));
        let (w, v) = d.eigh();
        close(&(&v * w.unsqueeze(-2)).matmul(t(&v)), &d);
        close(&t(&v).matmul(&v), &one);
        let (sign, log) = a.slogdet();
        close(&(sign * log.exp()), &a.det());
        close(&d.logdet(), &w.log().sum_dim(-1));
        close(&d.svdvals().sum_dim(-1), &w.sum_dim(-1));
        close(&(&a * 0.3).matrix_exp().matmul((&a * -0.3).matrix_exp()), &one);
    }
}

#[test]
fn rectangular_ones_too() {
    for dims in [&[5, 3][..], &[3, 5], &[2, 4, 2], &[2, 2, 4], &[3, 3]] {
        let a = tensor(3, dims);
        let (m, n) = (dims[dims.len() - 2], dims[dims.len() - 1]);
        let (u, s, vh) = a.svd();
        close(&(&u * s.unsqueeze(-2)).matmul(&vh), &a);
        let (q, r) = a.qr();
        close(&q.matmul(&r), &a);
        let one = eye(m.min(n));
        close(&t(&q).matmul(&q), &one.broadcast_to(t(&q).matmul(&q).shape().unwrap()));
        let p = a.pinv();
        close(&a.matmul(&p).matmul(&a), &a);
        close(&p.matmul(&a).matmul(&p), &p);
        let b = tensor(4, &[m, 2]);
        let x = a.lstsq(&b);
        // The rest is orthogonal to the columns.
        let rest = t(&a).matmul(a.matmul(&x) - &b);
        close(&rest, &(&rest * 0.0));
    }
    let low = tensor(1, &[4, 1]).matmul(tensor(2, &[1, 4]));
    assert_eq!(low.matrix_rank().item().unwrap(), 1.0);
    close(&low.matmul(low.pinv()).matmul(&low), &low);
}

/// First and second derivatives.
fn checked(what: &str, f: impl Fn(&[Tensor]) -> Tensor + Copy, inputs: &[Array]) {
    check::gradients(f, inputs).unwrap_or_else(|e| panic!("{what}: {e}"));
    check::second_order(f, inputs).unwrap_or_else(|e| panic!("{what}, second: {e}"));
}

#[test]
fn gradients_of_solvers() {
    let (a, b) = (normal(1, &[3, 3]), normal(2, &[3, 2]));
    let batch = normal(3, &[2, 3, 3]);
    let ab = [a.clone(), b];
    checked("inverse", |v| v[0].inverse(), std::slice::from_ref(&batch));
    checked("det", |v| v[0].det(), std::slice::from_ref(&batch));
    checked("slogdet", |v| v[0].slogdet().1, std::slice::from_ref(&a));
    checked("solve", |v| v[0].solve(&v[1]), &ab);
    for (upper, unit) in [(false, false), (true, false), (false, true), (true, true)] {
        checked("solve_triangular", |v| v[0].solve_triangular(&v[1], upper, unit), &ab);
    }
    checked("cholesky", |v| definite(&v[0]).cholesky(), std::slice::from_ref(&batch));
    checked("cholesky_solve", |v| definite(&v[0]).cholesky().cholesky_solve(&v[1]), &ab);
    checked("matrix_exp", |v| v[0].matrix_exp(), std::slice::from_ref(&a));
    // Third order, by way of the first derivative.
    let dx = |v: &[Tensor]| {
        let x = &v[0];
        let y = x.solve(&v[1]).sum() + (x * 0.5).matrix_exp().sum();
        if x.requires_grad() { y.grad(x).unwrap() } else { y * x }
    };
    check::second_order(dx, &ab).unwrap();
}

#[test]
fn gradients_of_decompositions() {
    for dims in [&[3, 3][..], &[4, 2], &[2, 4], &[2, 3, 2]] {
        let a = normal(5, dims);
        let a = std::slice::from_ref(&a);
        checked("svdvals", |v| v[0].svdvals(), a);
        checked(
            "svd",
            |v| {
                let (u, s, vh) = v[0].svd();
                u.sum() * 0.3 + s.square().sum() + (vh.sin()).sum()
            },
            a,
        );
        checked(
            "qr",
            |v| {
                let (q, r) = v[0].qr();
                q.sin().sum() + r.cos().sum()
            },
            a,
        );
        checked("pinv", |v| v[0].pinv(), a);
        for norm in [MatrixNorm::Fro, MatrixNorm::Nuc, MatrixNorm::One, MatrixNorm::MinInf] {
            checked("matrix_norm", |v| v[0].matrix_norm(norm), a);
        }
        checked("cond", |v| v[0].cond(MatrixNorm::Two), a);
    }
    let a = normal(6, &[2, 3, 3]);
    checked(
        "eigh",
        |v| {
            let (w, x) = definite(&v[0]).eigh();
            w.square().sum() + x.sin().sum()
        },
        std::slice::from_ref(&a),
    );
}

#[test]
fn they_map_over_samples() {
    let a = tensor(1, &[4, 3, 3]);
    close(&vmap(|a| a.inverse(), &a), &a.inverse());
    let g = |a: &Tensor| gradus_core::derivatives::grad(|a| a.slogdet().1, a).unwrap();
    close(&vmap(g, &a), &t(&a.inverse()));
}

#[test]
fn known_values_in_f32() {
    let a = Tensor::from([[4.0, 1.0], [2.0, 3.0]]);
    assert_eq!(a.det().to_vec::<f32>().unwrap(), [10.0]);
    assert_eq!(a.solve(&Tensor::from([1.0, 2.0])).to_vec::<f32>().unwrap(), [0.1, 0.6]);
    let zero = Tensor::zeros([2, 2]);
    assert_eq!(zero.matrix_exp().to_vec::<f32>().unwrap(), [1.0, 0.0, 0.0, 1.0]);
    let (sign, log) = zero.slogdet();
    assert_eq!((sign.item().unwrap(), log.item().unwrap()), (0.0, f64::NEG_INFINITY));
    assert_eq!(zero.matrix_rank().to_vec::<i64>().unwrap(), [0]);
    assert!(Tensor::from([[-1.0, 0.0], [0.0, 1.0]]).logdet().item().unwrap().is_nan());
    let stiff = Tensor::from([[1.0, 0.0], [0.0, 1e-3]]);
    assert!((stiff.cond(MatrixNorm::Two).item().unwrap() - 1e3).abs() < 0.1);
    assert!((stiff.cond(MatrixNorm::Inf).item().unwrap() - 1e3).abs() < 0.1);
    let equal = Tensor::eye(3).with_grad();
    let g = equal.eigh().0.sum().grad(&equal).unwrap();
    assert!(g.to_vec::<f32>().unwrap().iter().all(|v| v.is_finite()));
    assert_eq!(Tensor::zeros([0, 2, 2]).inverse().to_array().unwrap().dims(), [0, 2, 2]);
}

#[test]
fn what_cannot_be_done_says_which_matrix() {
    let good = [[2.0, 0.0], [0.0, 1.0]];
    let batch = |bad: [[f64; 2]; 2]| {
        let flat: Vec<f64> = [good, bad].into_iter().flatten().flatten().collect();
        Tensor::exact([2, 2, 2], &flat)
    };
    let says = |y: Tensor, code: Code, words: &str| {
        let error = y.to_array().unwrap_err();
        assert_eq!(error.code(), code, "{error}");
        assert!(error.title().contains(words), "{error}");
        assert!(error.to_string().contains("tests/linalg.rs"), "{error}");
    };
    let singular = batch([[1.0, 2.0], [2.0, 4.0]]);
    says(singular.inverse(), Code::Argument, "inverse: matrix [1] of the batch is singular");
    says(singular.solve(&tensor(1, &[2, 1])), Code::Argument, "matrix [1] of the batch");
    let negative = batch([[-1.0, 0.0], [0.0, 1.0]]);
    says(negative.cholesky(), Code::Argument, "matrix [1] of the batch is not positive definite");
    let infinite = batch([[1.0, f64::NAN], [0.0, 1.0]]);
    says(infinite.svdvals(), Code::Argument, "matrix [1] of the batch is not finite at [0, 1]");
    says(tensor(1, &[2, 3]).inverse(), Code::Shape, "not square: [2, 3]");
    says(tensor(1, &[3]).qr().0, Code::Shape, "needs a matrix");
    says(tensor(1, &[3, 3]).solve(&tensor(2, &[4, 1])), Code::Shape, "do not go together");
    says(Tensor::from([[1i64, 2], [3, 4]]).det(), Code::DType, "takes f32 or f64");
}
