//! Mixed precision: convolutions, recurrence and attention take it from the mode, keep it in their gradients, have the
//! same bits however they are run, and agree with the reference executor.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)] // tests may

mod common;

use common::alone;
use gradus_core::ops::attention::Attention;
use gradus_core::ops::{Cell, Recurrence};
use gradus_core::{
    Array, ConvOptions, ConvTransposeOptions, DType, Precision, Rng, Tensor, autocast, check_mode,
    eager, set_split_all, set_threads,
};

fn normal(shape: &[usize], seed: u64, scale: f32) -> Tensor {
    let x = Rng::new(seed).normal(shape.to_vec(), 0.0, scale).unwrap();
    Tensor::from_array(&x).with_grad()
}

/// Something of a few tensors that has gradients.
type Net = Box<dyn Fn(&[Tensor]) -> Tensor>;

fn recurrent(cell: Cell, reverse: bool) -> (Net, Vec<Tensor>) {
    let width = match cell {
        Cell::Tanh | Cell::Relu => 1,
        Cell::Gru => 3,
        Cell::Lstm => 4,
    } * 37;
    let operands = vec![
        normal(&[3, 5, width], 1, 1.0),
        normal(&[width, 37], 2, 0.15),
        normal(&[5, 37], 3, 0.5),
    ];
    let net: Net = Box::new(move |x: &[Tensor]| {
        let lengths = Tensor::from([3i64, 1, 2, 3, 3]);
        let bias = normal(&[width], 4, 0.3);
        let options = Recurrence {
            cell,
            reverse,
            lengths: Some(&lengths),
            h0: Some(&x[2]),
            bias: (cell == Cell::Gru).then_some(&bias),
            ..Recurrence::default()
        };
        x[0].recurrence(&x[1], options).output
    });
    (net, operands)
}

fn attention(is_causal: bool) -> (Net, Vec<Tensor>) {
    let operands = vec![
        normal(&[2, 2, 33, 19], 1, 1.0),
        normal(&[2, 2, 47, 19], 2, 1.0),
        normal(&[2, 2, 47, 21], 3, 1.0),
    ];
    let net: Net = Box::new(move |x: &[Tensor]| {
        let options = Attention { is_causal, ..Attention::default() };
        x[0].scaled_dot_product_attention_with(&x[1], &x[2], options)
    });
    (net, operands)
}

fn convolution(groups: usize, stride: usize) -> (Net, Vec<Tensor>) {
    let operands = vec![
        normal(&[3, 6, 9, 7], 1, 1.0),
        normal(&[12, 6 / groups, 3, 3], 2, 0.3),
        normal(&[12], 3, 0.5),
    ];
    let net: Net = Box::new(move |x: &[Tensor]| {
        let options = ConvOptions { groups, stride: [stride; 2], ..ConvOptions::new().padding(1) };
        x[0].conv2d(&x[1], Some(&x[2]), options).tanh()
    });
    (net, operands)
}

fn transposed() -> (Net, Vec<Tensor>) {
    let operands = vec![normal(&[2, 6, 11], 1, 1.0), normal(&[6, 5, 4], 2, 0.3)];
    let net: Net = Box::new(move |x: &[Tensor]| {
        let options = ConvTransposeOptions { stride: [2], ..ConvTransposeOptions::new() };
        x[0].conv_transpose1d(&x[1], None, options).tanh()
    });
    (net, operands)
}

fn nets() -> Vec<(&'static str, Net, Vec<Tensor>)> {
    let named = |name, (net, x)| (name, net, x);
    vec![
        named("tanh", recurrent(Cell::Tanh, false)),
        named("relu", recurrent(Cell::Relu, true)),
        named("gru", recurrent(Cell::Gru, false)),
        named("lstm", recurrent(Cell::Lstm, true)),
        named("convolution", convolution(1, 1)),
        named("groups", convolution(2, 2)),
        named("depthwise", convolution(6, 1)),
        named("transposed convolution", transposed()),
        named("attention", attention(false)),
        named("causal attention", attention(true)),
    ]
}

/// The result in a precision and its gradients, asked for outside of it; and gradients of those.
fn run(net: &Net, x: &[Tensor], precision: Precision, hold: bool) -> Vec<Array> {
    let y = autocast(precision, || net(x));
    let xs: Vec<&Tensor> = x.iter().collect();
    let first = y.square().sum().grads(&xs).unwrap();
    let held = hold.then(|| y.clone());
    let sum = first.iter().map(|g| g.square().sum()).reduce(|a, b| a + b).unwrap();
    let second = sum.grads(&xs).unwrap();
    let all = [y].into_iter().chain(first).chain(second);
    let all = all.map(|t| t.to_array().unwrap()).collect();
    drop(held);
    all
}

fn same(what: &str, a: &[Array], b: &[Array]) {
    for (i, (a, b)) in a.iter().zip(b).enumerate() {
        assert!(a.same_bits(b), "{what}: result {i}");
    }
}

#[test]
fn bits_are_the_same_however_they_are_computed() {
    let _alone = alone();
    for (name, net, x) in nets() {
        let want = run(&net, &x, Precision::Bf16, false);
        same(name, &want, &run(&net, &x, Precision::Bf16, true));
        same(name, &want, &eager(|| run(&net, &x, Precision::Bf16, false)));
        set_threads(3);
        set_split_all(true);
        same(name, &want, &run(&net, &x, Precision::Bf16, false));
        set_threads(1);
        set_split_all(false);
    }
}

#[test]
fn results_are_near_those_of_f32_and_not_the_same() {
    let _alone = alone();
    for (name, net, x) in nets() {
        let half = run(&net, &x, Precision::Bf16, false);
        let full = run(&net, &x, Precision::F32, false);
        for (i, (half, full)) in half.iter().zip(&full).enumerate() {
            let (half, full) = (half.to_f64(), full.to_f64());
            let size = full.iter().map(|x| x * x).sum::<f64>().sqrt();
            let off = half.iter().zip(&full).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt();
            assert!(off > 1e-6 * size && off < 0.05 * size, "{name} {i}: {off} of {size}");
        }
        same(name, &full, &run(&net, &x, Precision::F32, true));
    }
}

#[test]
fn the_reference_executor_agrees() {
    let _alone = alone();
    check_mode(true);
    for (_, net, x) in nets() {
        // What differs is an error.
        run(&net, &x, Precision::Bf16, false);
    }
    check_mode(false);
}

#[test]
fn f64_is_not_rounded() {
    let _alone = alone();
    for (name, net, x) in nets() {
        let x: Vec<Tensor> = x.iter().map(|x| x.cast(DType::F64)).collect();
        let in_f64 = |precision| autocast(precision, || net(&x)).to_array().unwrap();
        if name.contains("gru") {
            continue; // its bias is f32
        }
        same(name, &[in_f64(Precision::F32)], &[in_f64(Precision::Bf16)]);
    }
}
