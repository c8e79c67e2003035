//! What the planner makes: fused steps, shared plans, limits.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test stops at the first failure"
)]

use gradus_core::{Code, Param, Rng, Tensor, explain, no_grad, plan_cache};

fn normal(shape: [usize; 2], seed: u64) -> Tensor {
    Tensor::from(Rng::new(seed).normal(shape, 0.0, 1.0).unwrap())
}

fn steps(t: &Tensor) -> Vec<String> {
    let text = explain(t).unwrap();
    let lines = text.lines().filter(|l| l.starts_with("   "));
    lines.filter_map(|l| l.split_whitespace().nth(1).map(str::to_string)).collect()
}

#[test]
fn a_linear_layer_with_relu_is_one_product() {
    let (x, w, b) = (normal([4, 3], 1), normal([5, 3], 2), normal([1, 5], 3).reshape([5]));
    let y = x.linear(&w, Some(&b)).relu();
    assert_eq!(steps(&y), ["gemm"]);
    let text = explain(&y).unwrap();
    assert!(text.contains("+ bias, relu"), "{text}");
}

#[test]
fn a_chain_of_elementwise_operations_is_one_map() {
    let (x, b) = (normal([4, 3], 1), normal([1, 3], 2));
    let y = ((&x + &b).tanh() * 2.0 - &x).exp();
    assert_eq!(steps(&y), ["map"]);
    // A held value in the middle is one more output of the same step.
    let middle = (&x + &b).tanh();
    let y = (&middle * 2.0 - &x).exp();
    assert_eq!(steps(&y), ["map"]);
    let bits = y.to_array().unwrap();
    drop(middle);
    let again = ((&x + &b).tanh() * 2.0 - &x).exp();
    assert!(again.to_array().unwrap().same_bits(&bits));
}

#[test]
fn a_loss_is_computed_inside_its_reduction() {
    let (x, y) = (normal([40, 30], 1), normal([40, 30], 2));
    let names = steps(&x.mse_loss(&y));
    assert_eq!(names, ["reduce", "map"]);
}

#[test]
fn heads_of_one_projection_are_read_and_written_where_they_are() {
    use gradus_core::ops::attention::Attention;
    let (x, w) = (normal([12, 8], 1).with_grad(), normal([24, 8], 2).with_grad());
    let all = x.reshape([2, 6, 8]).linear(&w, None);
    let part = |i: usize| all.narrow(-1, i * 8, 8).reshape([2, 6, 2, 4]).transpose(1, 2);
    let options = Attention { is_causal: true, ..Attention::default() };
    let y = part(0).scaled_dot_product_attention_with(&part(1), &part(2), options);
    let y = y.transpose(1, 2).reshape([2, 6, 8]);
    assert_eq!(steps(&y), ["gemm", "attention"]);
    let names = steps(&(&y * &y).sum().grad(&w).unwrap());
    // The gradient of the weight lies as the weight does.
    let names: Vec<&str> =
        names.iter().map(String::as_str).filter(|n| !matches!(*n, "map" | "reduce")).collect();
    assert_eq!(names, ["gemm", "attention", "attention", "gemm"]);
}

#[test]
fn the_gradient_of_an_activation_is_one_map() {
    let (x, w) = (normal([6, 4], 1), normal([5, 4], 2).with_grad());
    let hidden = x.linear(&w, None);
    let y = hidden.gelu().matmul(normal([5, 3], 3));
    let names = steps(&(&y * &y).sum().grad(&w).unwrap());
    // Two products, gelu, the loss and its gradient; the way back, the map, the weight's gradient.
    assert_eq!(names, ["gemm", "map", "gemm", "map", "reduce", "map", "gemm", "map", "gemm"]);
}

#[test]
fn transposes_slices_and_broadcasts_are_not_copied() {
    let (x, y) = (normal([6, 4], 1), normal([6, 4], 2));
    assert_eq!(steps(&x.t().matmul(&y)), ["gemm"]);
    assert_eq!(steps(&(x.t() + y.t().slice(0, 0, 4, 1))), ["map"]);
    assert_eq!(steps(&x.flip(0).sum_dim(0)), ["reduce"]);
    // A product does not walk backwards.
    assert_eq!(steps(&x.flip(0).t().matmul(&y)), ["copy", "gemm"]);
}

#[test]
fn equal_work_is_done_once() {
    let x = normal([6, 4], 1);
    let y = x.exp().sum_dim(0) + x.exp().sum_dim(0);
    let text = explain(&y).unwrap();
    assert_eq!(steps(&y), ["reduce", "map"], "{text}");
}

#[test]
fn other_numbers_use_the_same_plan_and_other_shapes_do_not() {
    let run = |n: usize, scale: f64| {
        let x = normal([n, 3], 1);
        (x.exp() * scale).sum().item().unwrap()
    };
    run(17, 1.5);
    let before = plan_cache();
    assert_ne!(run(17, 2.5), run(17, 3.5));
    // Other tests run beside this one; only their misses may be counted.
    let text = |n: usize| explain(&(normal([n, 3], 1).exp() * 2.5).sum()).unwrap();
    assert_eq!(text(17), text(17));
    assert!(plan_cache().hits >= before.hits + 2);
}

#[test]
fn too_large_a_computation_is_an_error_before_it_runs() {
    let x = Tensor::zeros([1 << 22, 1]);
    let huge = no_grad(|| x.matmul(x.t()));
    let error = huge.to_array().unwrap_err();
    assert_eq!(error.code(), Code::Memory, "{error}");
    let error = Tensor::zeros([usize::MAX, 16]).shape().unwrap_err();
    assert_eq!(error.code(), Code::Memory, "{error}");
}

#[test]
fn large_graphs_are_planned() {
    // Also a test that nothing recurses: 20,000 nodes deep, with gradients.
    let w = Param::new(Rng::new(1).normal([8], 0.0, 1.0).unwrap());
    let mut y = w.tensor();
    for i in 0..5000 {
        y = match i % 4 {
            0 => y.tanh(),
            1 => &y * 0.999,
            2 => y + w.tensor(),
            _ => y.reshape([2, 4]).t().reshape([8]),
        };
    }
    let grads = y.sum().backward().unwrap();
    let g = grads.get(&w).unwrap().to_vec::<f32>().unwrap();
    assert!(g.iter().all(|v| v.is_finite()));
}

#[test]
fn a_value_too_large_for_the_machine_is_an_error() {
    // A broadcast takes no memory until somebody wants its value.
    let huge = Tensor::zeros([1 << 44]);
    assert_eq!((&huge * 2.0).sum().check(), Ok(()));
    assert_eq!(huge.to_array().unwrap_err().code(), Code::Memory);
    assert_eq!(
        gradus_core::Array::zeros([1 << 50], gradus_core::DType::F32).unwrap_err().code(),
        Code::Memory
    );
}

#[test]
fn a_product_that_is_turned_is_made_turned() {
    let (x, g) = (normal([6, 4], 1), normal([6, 5], 2));
    // A reshape needs the elements one after another.
    let alone = x.t().matmul(&g).t().reshape([20]);
    assert_eq!(steps(&alone), ["gemm"], "nobody wants the product itself");
    let product = x.t().matmul(&g);
    let beside = product.t().reshape([20]);
    assert_eq!(steps(&beside), ["gemm", "copy"]);
    assert!(alone.to_array().unwrap().same_bits(&beside.to_array().unwrap()));
}
