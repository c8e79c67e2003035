//! `check::gradients` finds wrong gradients and says what is wrong; and the gradients that are a
//! matter of convention are PyTorch's.

// Helpers of tests may panic, as tests do.
#![allow(clippy::unwrap_used)]

mod common;

use common::alone;
use gradus_core::{Array, Code, CustomOp, DType, Meta, Result, Tensor, check};
use std::sync::Arc;

fn vector(values: &[f32]) -> Array {
    Array::new(values.len(), values).unwrap()
}

/// `factor * x`, with a gradient that claims `claimed`.
struct Times {
    factor: f64,
    claimed: Option<f64>,
}

impl CustomOp for Times {
    fn name(&self) -> &'static str {
        "times"
    }
    fn key(&self) -> u64 {
        self.factor.to_bits() ^ self.claimed.map_or(1, f64::to_bits).rotate_left(7)
    }
    fn infer(&self, inputs: &[Meta]) -> Result<Meta> {
        Ok(inputs[inputs.len() - 1])
    }
    fn run(&self, inputs: &[Array]) -> Result<Array> {
        let x = &inputs[inputs.len() - 1];
        let y: Vec<f64> = x.to_f64().iter().map(|v| v * self.factor).collect();
        match x.dtype() {
            DType::F64 => Array::new(x.shape(), &y),
            _ => Array::new(x.shape(), &y.iter().map(|&v| v as f32).collect::<Vec<_>>()),
        }
    }
    fn vjp(&self, _: usize) -> Option<Arc<dyn CustomOp>> {
        self.claimed.map(|c| Arc::new(Times { factor: c, claimed: Some(c) }) as Arc<dyn CustomOp>)
    }
}

fn times(x: &Tensor, factor: f64, claimed: Option<f64>) -> Tensor {
    Tensor::custom(Arc::new(Times { factor, claimed }), &[x])
}

#[test]
fn a_wrong_gradient_is_found() {
    let _alone = alone();
    let x = Array::new([2, 2], &[0.5f32, -1.5, 2.0, 0.25]).unwrap();
    check::gradients(|v| times(&v[0], 3.0, Some(3.0)), std::slice::from_ref(&x)).unwrap();
    let w = vector(&[1.0, 2.0]);
    let error = check::gradients(|v| &v[0] * times(&v[1], 3.0, Some(2.0)), &[x, w]).unwrap_err();
    assert_eq!(error.code(), Code::Gradient);
    assert!(error.title().starts_with("check: the gradient for input 1 at [0] is "), "{error}");
    assert!(error.advice().unwrap().contains("rule is wrong"), "{error}");
}

#[test]
fn a_wrong_second_derivative_is_found() {
    let _alone = alone();
    // Right gradients of a function that is linear, but their own gradients are claimed to be others.
    let x = vector(&[0.5, -1.5]);
    let square = |v: &[Tensor]| v[0].square();
    check::second_order(square, std::slice::from_ref(&x)).unwrap();
    let wrong = |v: &[Tensor]| (&v[0] * times(&v[0], 3.0, Some(2.0))).sum();
    assert!(check::second_order(wrong, &[x]).is_err());
}

#[test]
fn kinks_dead_ends_and_infinities_are_named() {
    let _alone = alone();
    let zero = [vector(&[1.0, 0.0])];
    let error = check::gradients(|v| v[0].relu(), &zero).unwrap_err();
    assert!(error.title().contains("at [1]"), "{error}");
    assert!(error.advice().unwrap().contains("kink"), "{error}");
    let error = check::gradients(|v| v[0].detach() * 2.0, &[vector(&[1.0])]).unwrap_err();
    assert!(error.advice().unwrap().contains("detached"), "{error}");
    let error = check::gradients(|v| v[0].log(), &[vector(&[-1.0])]).unwrap_err();
    assert!(error.advice().unwrap().contains("not finite"), "{error}");
    let error = check::gradients(|v| v[0].cast(DType::F32), &[vector(&[1.0])]).unwrap_err();
    assert_eq!(error.code(), Code::DType);
    let error = check::gradients(|v| v[0].sum_dim(3), &[vector(&[1.0])]).unwrap_err();
    assert_eq!(error.code(), Code::Shape);
}

#[test]
fn integers_unused_inputs_and_nothing_are_fine() {
    let _alone = alone();
    let ids = Array::new([2], &[1i64, 0]).unwrap();
    let unused = vector(&[4.0]);
    let x = Array::new([2, 2], &[0.1f32, 0.2, 0.3, 0.4]).unwrap();
    check::gradients(|v| v[0].cross_entropy(&v[1]), &[x, ids, unused]).unwrap();
    check::gradients(|v| v[0].tanh(), &[vector(&[])]).unwrap();
    check::second_order(|v| v[0].tanh(), &[vector(&[])]).unwrap();
    check::gradients(|v| &v[0] * 2.0, &[Array::new((), &[1e6f32]).unwrap()]).unwrap();
}

#[test]
fn random_draws_are_the_same_at_each_evaluation() {
    let _alone = alone();
    gradus_core::seed(3);
    let x = vector(&[0.5; 40]);
    check::gradients(|v| v[0].dropout(0.5) * 3.0, &[x]).unwrap();
    // As after one evaluation.
    let next = Tensor::rand([4]).to_vec::<f32>().unwrap();
    gradus_core::seed(3);
    let _ = (Tensor::from(vec![0.5f32; 40]).dropout(0.5) * 3.0).to_array().unwrap();
    assert_eq!(next, Tensor::rand([4]).to_vec::<f32>().unwrap());
}

fn gradient(f: impl Fn(&Tensor) -> Tensor, x: &[f32]) -> Vec<f32> {
    let x = Tensor::from(x).with_grad();
    f(&x).sum().grad(&x).unwrap().to_vec().unwrap()
}

/// Where a function has no derivative, or where a formula would make NaN out of nothing.
#[test]
fn conventions() {
    let _alone = alone();
    let inf = f32::INFINITY;
    assert_eq!(gradient(|x| x.abs(), &[0.0, -0.0, -2.0]), [0.0, 0.0, -1.0]);
    assert_eq!(gradient(|x| x.relu(), &[0.0, 1.0, -1.0]), [0.0, 1.0, 0.0]);
    assert_eq!(gradient(|x| x.max(), &[1.0, 3.0, 3.0]), [0.0, 0.5, 0.5]);
    assert_eq!(
        gradient(|x| x.min(), &[1.0, 1.0, 1.0, 3.0]),
        [1.0 / 3.0, 1.0 / 3.0, 1.0 / 3.0, 0.0]
    );
    assert_eq!(gradient(|x| x.maximum(1.0), &[0.0, 1.0, 2.0]), [0.0, 0.5, 1.0]);
    assert_eq!(gradient(|x| x.maximum(x), &[1.0]), [1.0]);
    assert_eq!(gradient(|x| x.clamp(-1.0, 1.0), &[-1.0, 1.0, 2.0, -inf]), [1.0, 1.0, 0.0, 0.0]);
    assert_eq!(gradient(|x| x.pow(0.0), &[0.0, 2.0]), [0.0, 0.0]);
    assert_eq!(gradient(|x| x.pow(2.0), &[0.0, -3.0]), [0.0, -6.0]);
    assert_eq!(gradient(|x| x.pow(1.0), &[0.0]), [1.0]);
    assert_eq!(gradient(|x| Tensor::from(0.0).pow(x), &[2.0]), [0.0]);
    assert_eq!(gradient(|x| x.floor() + x.sign(), &[1.5]), [0.0]);
    let guarded = |x: &Tensor| x.gt(0.0).where_(x.log(), 0.0);
    assert_eq!(gradient(|x| x.gt(0.0).where_(x, 0.0), &[f32::NAN, 1.0]), [0.0, 1.0]);
    // As in PyTorch: 0 * (1 / 0) is NaN unless the operand itself is guarded.
    assert!(gradient(guarded, &[0.0])[0].is_nan());
    assert_eq!(gradient(|x| x.sqrt(), &[0.0])[0], inf);
    assert_eq!(gradient(|x| x.var(0), &[2.0]), [0.0]);
}

#[test]
fn second_derivatives_of_softmax_losses() {
    let _alone = alone();
    let x =
        Array::new([3, 4], &(0..12).map(|i| (i as f32 * 0.7).sin()).collect::<Vec<_>>()).unwrap();
    let ids = Array::new([3], &[2i64, 0, 3]).unwrap();
    check::second_order(|v| v[0].cross_entropy(&v[1]), &[x.clone(), ids.clone()]).unwrap();
    check::second_order(|v| v[0].log_softmax(-1).square(), std::slice::from_ref(&x)).unwrap();
    check::second_order(|v| v[0].softmax(0).square(), std::slice::from_ref(&x)).unwrap();
    // A third derivative: gradients of second-order results.
    let third = |v: &[Tensor]| {
        let g = v[0].softmax(-1).square().sum().grad(&v[0]).unwrap();
        g.square().sum().grad(&v[0]).unwrap()
    };
    check::gradients(third, &[x]).unwrap();
}

#[test]
fn gradients_for_any_tensor() {
    let _alone = alone();
    let x = Tensor::from([0.3, -0.7, 1.1]).with_grad();
    let h = &x * 2.0;
    let y = h.square().sum();
    // For an intermediate value, before and after it has a value; for the result itself.
    assert_eq!(y.grad(&h).unwrap().to_vec::<f32>().unwrap(), [1.2, -2.8, 4.4]);
    h.to_array().unwrap();
    assert_eq!(y.grad(&h).unwrap().to_vec::<f32>().unwrap(), [1.2, -2.8, 4.4]);
    assert_eq!(y.grad(&y).unwrap().item().unwrap(), 1.0);
    let both = y.grads(&[&x, &h, &x]).unwrap();
    assert_eq!(both[0].to_vec::<f32>().unwrap(), both[2].to_vec::<f32>().unwrap());
}

/// A Jacobian-vector product is the gradient of a vector-Jacobian product for its cotangent.
#[test]
fn jvp_by_two_vjps() {
    let _alone = alone();
    let x = Tensor::from([0.3, -0.7, 1.1]).with_grad();
    let y = x.exp();
    let cotangent = Tensor::zeros([3]).with_grad();
    let back = y.vjp(&cotangent, &[&x]).unwrap().remove(0);
    let direction = Tensor::from([1.0, 2.0, -1.0]);
    let jvp = back.vjp(&direction, &[&cotangent]).unwrap().remove(0);
    let want = (x.exp() * &direction).to_vec::<f32>().unwrap();
    assert_eq!(jvp.to_vec::<f32>().unwrap(), want);
}

/// Programs of unusual form: wide, deep, and with large integers.
#[test]
fn wide_deep_and_large() {
    let _alone = alone();
    let leaves: Vec<Tensor> =
        (0..700).map(|i| Tensor::full([5], f64::from(i)).with_grad()).collect();
    let mut layer: Vec<Tensor> = leaves.iter().map(|x| x * x).collect();
    while layer.len() > 1 {
        layer =
            layer.chunks(2).map(|p| p.iter().skip(1).fold(p[0].clone(), |a, b| a + b)).collect();
    }
    let sum = layer[0].sum();
    let want = 5.0 * (0..700).map(|i| f64::from(i * i)).sum::<f64>();
    assert!((sum.item().unwrap() / want - 1.0).abs() < 1e-6);
    let g = sum.grad(&leaves[699]).unwrap();
    assert_eq!(g.to_vec::<f32>().unwrap(), [1398.0; 5]);
    let x = Tensor::from([1.0]).with_grad();
    let y = (0..3000).fold(x.clone(), |y, _| (y * 0.999).sin());
    let g = y.sum().grad(&x).unwrap().item().unwrap();
    assert!(g.is_finite() && g > 0.0, "{g}");
    // More numbers than a program can count.
    let y = (0..70_000).fold(Tensor::from([1.0]), |y, i| y + f64::from(i % 3) - 1.0);
    assert_eq!(y.to_vec::<f32>().unwrap(), [0.0]);
    let big = (1i64 << 53) + 1;
    assert_eq!((Tensor::from([0]) + big).to_vec::<i64>().unwrap(), [big]);
    assert_eq!(Tensor::from([big]).eq(big - 1).to_vec::<bool>().unwrap(), [false]);
    assert_eq!(Tensor::from([0]).maximum(i64::MAX).to_vec::<i64>().unwrap(), [i64::MAX]);
    assert_eq!((i64::MIN + Tensor::from([0])).to_vec::<i64>().unwrap(), [i64::MIN]);
}

/// A result as its own cotangent: both operands of the softmax gradient are one value.
#[test]
fn a_result_as_its_own_cotangent() {
    let _alone = alone();
    let x = Array::new([2, 3], &[0.5f32, -1.5, 2.0, 0.25, 0.0, -0.7]).unwrap();
    let own = |y: Tensor, x: &Tensor| y.vjp(&y, &[x]).unwrap().remove(0);
    check::gradients(|v| own(v[0].softmax(-1), &v[0]), std::slice::from_ref(&x)).unwrap();
    check::gradients(|v| own(v[0].log_softmax(-1), &v[0]), std::slice::from_ref(&x)).unwrap();
    check::gradients(|v| own(v[0].matmul(v[0].t()), &v[0]), &[x]).unwrap();
}
