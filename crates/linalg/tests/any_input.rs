//! No function panics or runs for ever, whatever the shape, the type and the values: empty matrices
//! and batches, one element, zeros, NaN and infinities, the largest and the smallest numbers. What
//! has no result is an error.
#![allow(clippy::unwrap_used, clippy::panic)]

use gradus_core::{Array, DType, Rng, Tensor};
use gradus_linalg::{Linalg, MatrixNorm};

const NORMS: [MatrixNorm; 8] = [
    MatrixNorm::Fro,
    MatrixNorm::Nuc,
    MatrixNorm::One,
    MatrixNorm::MinOne,
    MatrixNorm::Inf,
    MatrixNorm::MinInf,
    MatrixNorm::Two,
    MatrixNorm::MinTwo,
];

/// All functions of the trait.
fn all(a: &Tensor, b: &Tensor) -> Vec<(&'static str, Tensor)> {
    let ((w, v), (q, r), (u, s, vh)) = (a.eigh(), a.qr(), a.svd());
    let (sign, log) = a.slogdet();
    let mut out = vec![
        ("inverse", a.inverse()),
        ("det", a.det()),
        ("slogdet", sign),
        ("slogdet", log),
        ("logdet", a.logdet()),
        ("solve", a.solve(b)),
        ("cholesky", a.cholesky()),
        ("cholesky_solve", a.cholesky_solve(b)),
        ("cholesky_inverse", a.cholesky_inverse()),
        ("eigh", w),
        ("eigh", v),
        ("eigvalsh", a.eigvalsh()),
        ("svd", u),
        ("svd", s),
        ("svd", vh),
        ("svdvals", a.svdvals()),
        ("qr", q),
        ("qr", r),
        ("pinv", a.pinv()),
        ("lstsq", a.lstsq(b)),
        ("matrix_exp", a.matrix_exp()),
        ("matrix_rank", a.matrix_rank()),
    ];
    for (upper, unit) in [(false, false), (true, false), (false, true), (true, true)] {
        out.push(("solve_triangular", a.solve_triangular(b, upper, unit)));
    }
    for norm in NORMS {
        out.push(("matrix_norm", a.matrix_norm(norm)));
        out.push(("cond", a.cond(norm)));
    }
    out
}

#[test]
fn nothing_panics() {
    let shapes: [(&[usize], &[usize]); 14] = [
        (&[], &[]),
        (&[3], &[3]),
        (&[0, 0], &[0]),
        (&[0, 0], &[0, 2]),
        (&[0, 3], &[0, 1]),
        (&[3, 0], &[3, 1]),
        (&[0, 2, 2], &[0, 2]),
        (&[2, 0, 0], &[2, 0]),
        (&[2, 2], &[2, 0]),
        (&[1, 1], &[1]),
        (&[3, 3], &[3, 2]),
        (&[2, 3, 3], &[2, 3]),
        (&[2, 3], &[2, 1]),
        (&[4, 2], &[4, 1]),
    ];
    let big = f64::MAX;
    let kinds: [&[f64]; 12] = [
        &[],
        &[0.0],
        &[1.0],
        &[-1.0],
        &[f64::NAN],
        &[f64::INFINITY, 0.0],
        &[f64::NEG_INFINITY],
        &[big, -big, 1.0],
        &[big],
        &[5e-324],
        &[1e-310, -3e-320, 0.0, 2e-308],
        &[1e300, 1e-300, -1.0, 0.0, big],
    ];
    for (dims, of_b) in shapes {
        for kind in kinds {
            for dtype in [DType::F64, DType::F32, DType::I64] {
                let fill = |dims: &[usize]| {
                    let n: usize = dims.iter().product();
                    let values: Vec<f64> = match kind {
                        [] => Rng::new(7).normal(dims, 0.0, 1.0).unwrap().to_f64(),
                        kind => kind.iter().copied().cycle().take(n).collect(),
                    };
                    let array = Array::new(dims, &values).unwrap();
                    let t = Tensor::from_array(&array).cast(dtype);
                    if dtype.is_float() { t.detach().with_grad() } else { t }
                };
                let (a, b) = (fill(dims), fill(of_b));
                let told = |what: &str, error: &dyn std::fmt::Display| {
                    let text = error.to_string();
                    assert!(
                        !text.contains("panic"),
                        "{what} of {dims:?}, {kind:?}, {dtype}: {text}"
                    );
                };
                for (what, y) in all(&a, &b) {
                    if let Err(e) = y.to_array() {
                        told(what, &e);
                    }
                    if let Err(e) = y.sum().grad(&a).and_then(|g| g.to_array()) {
                        told(&format!("gradient of {what}"), &e);
                    }
                }
            }
        }
    }
}

#[test]
fn empty_matrices_have_values() {
    let empty = Tensor::zeros([0, 0]);
    assert_eq!(empty.det().item().unwrap(), 1.0);
    let (sign, log) = empty.slogdet();
    assert_eq!((sign.item().unwrap(), log.item().unwrap()), (1.0, 0.0));
    assert_eq!(empty.matrix_rank().to_vec::<i64>().unwrap(), [0]);
    let dims = |t: Tensor| t.to_array().unwrap().dims().to_vec();
    assert_eq!(dims(empty.eigh().0), [0]);
    assert_eq!(dims(empty.eigh().1), [0, 0]);
    assert_eq!(dims(empty.solve(&Tensor::zeros([0, 2]))), [0, 2]);
    assert_eq!(dims(Tensor::zeros([2, 0, 3]).pinv()), [2, 3, 0]);
    assert_eq!(dims(Tensor::zeros([3, 0]).svd().0), [3, 0]);
    assert_eq!(dims(Tensor::zeros([0, 5, 5]).solve(&Tensor::zeros([0, 5]))), [0, 5]);
}

#[test]
fn the_largest_and_smallest_numbers() {
    for scale in [1e300, 1e-300] {
        let a = Tensor::exact([2, 2], &[2.0 * scale, scale, scale, 2.0 * scale]);
        let near = |t: &Tensor, want: [f64; 2]| {
            for (v, w) in t.to_vec::<f64>().unwrap().iter().zip(want) {
                assert!((v / (w * scale) - 1.0).abs() < 1e-14, "{v} and {w} * {scale}");
            }
        };
        near(&a.eigvalsh(), [1.0, 3.0]);
        near(&a.svdvals(), [3.0, 1.0]);
        let r = a.qr().1;
        let root = 5.0f64.sqrt();
        near(
            &r.to_vec::<f64>().map(|r| Tensor::exact([2], &[r[0], r[3]])).unwrap(),
            [root, 3.0 / root],
        );
    }
}

#[test]
fn vectors_one_for_each_matrix() {
    let a = Tensor::from_array(&Rng::new(3).normal([2, 3, 3], 0.0, 1.0).unwrap());
    let b = Tensor::from_array(&Rng::new(4).normal([2, 3], 0.0, 1.0).unwrap());
    let x = a.solve(&b);
    let back = a.matmul(x.unsqueeze(-1)).squeeze(-1);
    for (v, w) in back.to_vec::<f32>().unwrap().iter().zip(b.to_vec::<f32>().unwrap()) {
        assert!((v - w).abs() < 1e-5);
    }
}
