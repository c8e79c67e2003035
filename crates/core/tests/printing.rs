//! How tensors are printed.
#![allow(clippy::unwrap_used, reason = "a test stops at the first failure")]

use gradus_core::{DType, Tensor};

fn shows(x: &Tensor, want: &str) {
    assert_eq!(x.to_string(), want);
}

#[test]
fn scalars_and_vectors() {
    shows(&Tensor::from(3.25), "3.2500");
    shows(&Tensor::from(3.0), "3.");
    shows(&Tensor::from(-7), "-7");
    shows(&Tensor::from(true), "true");
    shows(&Tensor::from([1.5, -20.0, 0.0]), "[  1.5000, -20.0000,   0.0000]");
    shows(&Tensor::from([1.0, 20.0]), "[ 1., 20.]");
    shows(&Tensor::from([1, -20, 300]), "[  1, -20, 300]");
    shows(&Tensor::from([true, false]), "[ true, false]");
    shows(&Tensor::from([f64::NAN, 1.0, f64::NEG_INFINITY]), "[ NaN,   1., -inf]");
    shows(&Tensor::from([f64::NAN, 0.5]), "[   NaN, 0.5000]");
    shows(&Tensor::from(i64::MAX), "9223372036854775807");
}

#[test]
fn exponents_where_they_are_needed() {
    shows(&Tensor::from([1.0, 1e-6]), "[1.0000e+00, 1.0000e-06]");
    shows(&Tensor::from([1.5, -3e9]), "[ 1.5000e+00, -3.0000e+09]");
    shows(&Tensor::from([1.0, 1234567.0]), "[      1., 1234567.]");
    shows(&Tensor::from([0.0, 0.001]), "[0.0000, 0.0010]");
    assert_eq!(format!("{:e}", Tensor::from([1.0, 20.0])), "[1.0000e+00, 2.0000e+01]");
    assert_eq!(format!("{:.1e}", Tensor::from(1.5e-123).cast(DType::F64)), "0.0e+00 f64");
    assert_eq!(format!("{:.1e}", Tensor::exact((), &[1.5e-123])), "1.5e-123 f64");
}

#[test]
fn precision_is_the_formats() {
    let x = Tensor::from([1.0, 2.345]);
    assert_eq!(format!("{x:.2}"), "[1.00, 2.35]");
    assert_eq!(format!("{x:.0}"), "[1, 2]");
    assert_eq!(format!("{:.3}", Tensor::from([1, 2])), "[1, 2]");
    assert_eq!(format!("{:.8}", Tensor::exact([1], &[1e-6f64])), "[0.00000100] f64");
}

#[test]
fn nested_brackets() {
    shows(&Tensor::from([[1, 2], [30, 4]]), "[[ 1,  2],\n [30,  4]]");
    let cube = Tensor::arange(0, 8).reshape([2, 2, 2]);
    shows(&cube, "[[[0, 1],\n  [2, 3]],\n\n [[4, 5],\n  [6, 7]]]");
    shows(&Tensor::zeros([1, 1, 1, 1]), "[[[[0.]]]]");
    shows(&Tensor::zeros([1; 8]), "[[[[[[[[0.]]]]]]]]");
}

#[test]
fn types_and_shapes_where_they_are_not_evident() {
    shows(&Tensor::from([1.5]).cast(DType::F64), "[1.5000] f64");
    shows(&Tensor::from([1, 2]).cast(DType::I32), "[1, 2] i32");
    shows(&Tensor::from([1.5]).cast(DType::BF16), "[1.5000] bf16");
    shows(&Tensor::zeros([0]), "[] f32");
    shows(&Tensor::zeros([2, 0, 3]), "[] f32 [2, 0, 3]");
}

#[test]
fn long_ones_are_summarised() {
    shows(&Tensor::arange(0, 2000), "[   0,    1,    2, ..., 1997, 1998, 1999] i64 [2000]");
    let text = Tensor::arange(0, 10_000).reshape([100, 100]).to_string();
    assert!(text.starts_with("[[   0,    1,    2, ...,   97,   98,   99],\n"), "{text}");
    assert!(text.contains("\n ...,\n"), "{text}");
    assert!(text.ends_with("[9900, 9901, 9902, ..., 9997, 9998, 9999]] i64 [100, 100]"), "{text}");
    assert_eq!(text.lines().count(), 7);
    // What is not shown does not decide the width.
    let x = Tensor::zeros([2000]).with_i(1000, 1e6);
    shows(&x, "[0., 0., 0., ..., 0., 0., 0.] f32 [2000]");
    assert_eq!(format!("{:#}", Tensor::zeros([1001])).matches("0.").count(), 1001);
    let text = Tensor::arange(0, 100).to_string();
    assert!(text.lines().all(|l| l.len() <= 80) && text.lines().count() > 1, "{text}");
    assert!(text.lines().skip(1).all(|l| l.starts_with(" ") && !l.starts_with("  ")), "{text}");
}

#[test]
fn debug_computes_nothing() {
    let line = line!() + 1;
    let x = Tensor::zeros([2, 3]).flatten(0) * 2.0;
    let text = format!("{x:?}");
    assert!(text.starts_with("Tensor(f32 [6], `mul`, not computed, at "), "{text}");
    assert!(text.ends_with(&format!("tests/printing.rs:{line})")), "{text}");
    x.to_array().unwrap();
    assert!(format!("{x:?}").contains("computed"), "{x:?}");
    let leaf = Tensor::from([1.0]).with_grad();
    assert!(format!("{leaf:?}").starts_with("Tensor(f32 [1], data, with gradient, at"), "{leaf:?}");
    let failed = x.dot(Tensor::zeros([5]));
    assert!(format!("{failed:?}").starts_with("Tensor(failed: dot: takes two"), "{failed:?}");
    assert!(failed.to_string().starts_with("error[shape]"), "{failed}");
    let _ = gradus_core::sync();
}

/// Shapes of every rank, with and without elements, are printed.
#[test]
fn every_shape_is_printed() {
    for rank in 0..=8 {
        for sizes in [vec![1; rank], vec![2; rank], vec![0; rank], vec![3; rank]] {
            for x in [Tensor::zeros(sizes.clone()), Tensor::full(sizes.clone(), true)] {
                let text = x.to_string();
                let opened = text.matches('[').count();
                assert_eq!(opened, text.matches(']').count(), "{text}");
                assert!(!format!("{x:#.30}").is_empty());
            }
        }
    }
}
