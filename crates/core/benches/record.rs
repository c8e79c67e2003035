//! What recording, hashing and comparing cost a node, and small whole steps.
//!
//! `cargo bench -p gradus-core --bench record`
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark prints, and stops at the first failure"
)]

use std::sync::Arc;
use std::time::Instant;

use gradus_core::{Array, DType, Param, Rng, Rule, Tensor, UpdateGroup, step};

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let want = |name: &str| args.len() < 3 || args.iter().any(|a| a == name);
    if want("record") {
        record();
    }
    if want("plan") {
        plan();
    }
    for (name, dims, batch) in [
        ("xor", vec![2, 8, 1], 4),
        ("mlp_tabular", vec![20, 64, 32, 1], 32),
        ("mlp_mnist", vec![784, 512, 256, 10], 128),
        ("autoencoder", vec![784, 128, 32, 128, 784], 256),
    ] {
        if want(name) {
            train(name, &dims, batch);
        }
    }
}

/// A chain of additions that is never run.
fn record() {
    let x = Tensor::from([1.0, 2.0]);
    let n = 50;
    let mut best = f64::MAX;
    for _ in 0..2000 {
        let start = Instant::now();
        let mut y = x.clone();
        for _ in 0..n {
            y = &y + &x;
        }
        std::hint::black_box(&y);
        best = best.min(start.elapsed().as_secs_f64() / n as f64);
    }
    println!("record and drop: {:.1} ns a node", best * 1e9);
    // Views run no step, so this is recording, collecting, hashing, looking up and comparing, and
    // handing out one small value.
    let mut best = f64::MAX;
    for _ in 0..2000 {
        let start = Instant::now();
        let mut y = x.clone();
        for _ in 0..n / 2 {
            y = y.reshape([2, 1]).reshape([2]);
        }
        std::hint::black_box(y.to_array().unwrap());
        drop(y);
        best = best.min(start.elapsed().as_secs_f64() / n as f64);
    }
    println!("record, hash, compare, drop: {:.1} ns a node", best * 1e9);
}

/// Planning a graph of 20,000 nodes, half of them gradients.
fn plan() {
    let w = Param::new(Rng::new(1).normal([64], 0.0, 1.0).unwrap());
    for round in 0..3 {
        let start = Instant::now();
        let mut y = w.tensor();
        let mut nodes = 0;
        while nodes < 10_000 {
            // Another constant size each round, so that the plan is new.
            y = match nodes % 5 {
                0 => y.tanh(),
                1 => &y * 0.999,
                2 => y + w.tensor(),
                3 => y.reshape([8, 8]).t().reshape([64]),
                _ => y.narrow(0, round, 32).sum() + y,
            };
            nodes += 2;
        }
        let recorded = start.elapsed();
        let grads = y.sum().backward().unwrap();
        let g = grads.get(&w).unwrap().to_vec::<f32>().unwrap();
        assert!(g[0].is_finite());
        let total = start.elapsed();
        println!(
            "20,000 nodes: recorded in {:.1} ms, planned and run in {:.1} ms",
            recorded.as_secs_f64() * 1e3,
            (total - recorded).as_secs_f64() * 1e3
        );
    }
}

fn train(name: &str, dims: &[usize], batch: usize) {
    let mut params = Vec::new();
    for (i, pair) in dims.windows(2).enumerate() {
        let std = (1.0 / pair[0] as f32).sqrt();
        let rng = Rng::new(i as u64);
        params.push(Param::new(rng.normal([pair[1], pair[0]], 0.0, std).unwrap()));
        params.push(Param::new(Array::zeros([pair[1]], DType::F32).unwrap()));
    }
    let refs: Vec<&Param> = params.iter().collect();
    let sgd = name == "xor";
    let rule = if sgd {
        Rule::Sgd { momentum: false, nesterov: false, maximize: false }
    } else {
        Rule::Adam { decoupled: false, amsgrad: false, maximize: false }
    };
    let group = Arc::new(UpdateGroup::new(rule, &refs).unwrap());
    let rng = Rng::new(99);
    let x = rng.uniform([batch, dims[0]], 0.0, 1.0).unwrap();
    let last = dims[dims.len() - 1];
    let classes: Vec<i64> = (0..batch as i64).map(|i| i % last as i64).collect();
    let y = match name {
        "mlp_mnist" => Array::new([batch], &classes).unwrap(),
        "autoencoder" => x.clone(),
        _ => Rng::new(5).uniform([batch, 1], 0.0, 1.0).unwrap(),
    };
    let layers = dims.len() - 1;
    let mut t = 0.0;
    let mut one = || {
        t += 1.0;
        let (x, y) = (Tensor::from(&x), Tensor::from(&y));
        let mut h = x;
        for l in 0..layers {
            h = h.linear(&params[2 * l], Some(&params[2 * l + 1]));
            if l + 1 < layers {
                h = if sgd { h.tanh() } else { h.relu() };
            }
        }
        let loss = match name {
            "mlp_mnist" => h.cross_entropy(&y),
            "autoencoder" => h.sigmoid().mse_loss(&y),
            _ => h.binary_cross_entropy_with_logits(&y),
        };
        let numbers: &[f64] =
            if sgd { &[0.5, 0.0, 0.0, 0.0, 0.0] } else { &[1e-3, 0.9, 0.999, 1e-8, 0.0, t] };
        step(&loss, &[(&group, numbers)]).unwrap()
    };
    let start = Instant::now();
    one();
    let first = start.elapsed().as_secs_f64();
    let mut rates = Vec::new();
    for _ in 0..7 {
        let start = Instant::now();
        let mut n = 0;
        while start.elapsed().as_secs_f64() < 0.3 {
            for _ in 0..5 {
                one();
            }
            n += 5;
        }
        rates.push(f64::from(n) / start.elapsed().as_secs_f64());
    }
    rates.sort_by(f64::total_cmp);
    println!(
        "{name:12} {:10.1} steps/s median, {:10.1} best; first step {:.2} ms",
        rates[rates.len() / 2],
        rates[rates.len() - 1],
        first * 1e3
    );
}
