//! The engine end to end, on small things.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test stops at the first failure"
)]
use gradus_core::*;
use std::sync::Arc;

#[test]
fn arithmetic() {
    let x = Tensor::from([[1.0, 2.0], [3.0, 4.0]]);
    let y = (&x * 10.0).sum_dim(0);
    assert_eq!(y.to_vec::<f32>().unwrap(), [40.0, 60.0]);
    assert_eq!(x.matmul(&x).to_vec::<f32>().unwrap(), [7.0, 10.0, 15.0, 22.0]);
}

#[test]
fn second_derivative() {
    let x = Tensor::from([1.0, 2.0, 3.0]).with_grad();
    let dy = (&x * &x * &x + 2.0 * &x).sum().grad(&x).unwrap();
    assert_eq!(dy.to_vec::<f32>().unwrap(), [5.0, 14.0, 29.0]);
    let d2 = dy.sum().grad(&x).unwrap();
    assert_eq!(d2.to_vec::<f32>().unwrap(), [6.0, 12.0, 18.0]);
}

#[test]
fn a_step_trains() {
    let w1 = Param::new(Rng::new(1).normal([8, 2], 0.0, 1.0).unwrap());
    let b1 = Param::new(Array::zeros([8], DType::F32).unwrap());
    let w2 = Param::new(Rng::new(2).normal([1, 8], 0.0, 1.0).unwrap());
    let b2 = Param::new(Array::zeros([1], DType::F32).unwrap());
    let group = Arc::new(
        UpdateGroup::new(
            Rule::Sgd { momentum: false, nesterov: false, maximize: false },
            &[&w1, &b1, &w2, &b2],
        )
        .unwrap(),
    );
    let x = Tensor::from([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]);
    let y = Tensor::from([[0.0], [1.0], [1.0], [0.0]]);
    let mut last = 0.0;
    for _ in 0..2000 {
        let h = x.linear(&w1, Some(&b1)).tanh();
        let loss = h.linear(&w2, Some(&b2)).binary_cross_entropy_with_logits(&y);
        last = step(&loss, &[(&group, &[0.5, 0.0, 0.0, 0.0, 0.0])]).unwrap().loss;
    }
    assert!(last < 0.05, "{last}");
    drop((x, y));
    assert_eq!(live_nodes(), 0);
}

/// A number on the left has one type, so methods can follow at once.
#[test]
fn numbers_on_the_left() {
    let x = Tensor::from([1.0, 3.0]);
    assert_eq!((1.0 - &x).square().to_vec::<f32>().unwrap(), [0.0, 4.0]);
    assert_eq!((2 * &x).square().to_vec::<f32>().unwrap(), [4.0, 36.0]);
    let n = Tensor::from([1, 3]);
    assert_eq!((7 % n).to_vec::<i64>().unwrap(), [0, 1]);
}

/// Messages name the method that was called, not what it is made of.
#[test]
fn messages_name_what_was_called() {
    let x = Tensor::zeros([2, 3]).flatten(0);
    assert!(x.describe().starts_with("[6]  output of `flatten`  "), "{}", x.describe());
    let error = Tensor::zeros([2, 3, 2])
        .flatten(1)
        .matmul(Tensor::ones([4, 5]))
        .check()
        .unwrap_err()
        .to_string();
    assert!(error.contains("output of `flatten`"), "{error}");
    assert!(error.contains("output of `ones`"), "{error}");
    let kept = &x * 2.0;
    assert!(kept.reshape([6]).describe().contains("`mul`"), "{}", kept.describe());
}
