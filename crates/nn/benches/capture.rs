//! Small training loops: called, replayed, and replayed over rows of the data set.
//!
//! `cargo bench -p gradus-nn --bench capture`, or with the names of loops. Rates are steps a second of
//! CPU time, the best of some windows.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "a benchmark prints, and stops at the first failure"
)]

use std::time::Instant;

use gradus_core::{Array, Rng, Tensor, capture, set_threads};
use gradus_nn::{Adam, Linear, Optimizer, Relu, Sequential, Sgd, Tanh, seq};

/// CPU seconds of this thread so far, where the system says; else what the clock says.
fn cpu_seconds(started: Instant) -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let ns = text.split_whitespace().next().and_then(|ns| ns.parse::<f64>().ok());
    ns.map_or_else(|| started.elapsed().as_secs_f64(), |ns| ns * 1e-9)
}

/// The best rate of some windows; a call makes `steps` steps.
fn rate(steps: usize, mut call: impl FnMut()) -> f64 {
    let started = Instant::now();
    for _ in 0..1 + 400 / steps {
        call();
    }
    let mut best = 0.0f64;
    for _ in 0..7 {
        let (start, mut n) = (cpu_seconds(started), 0);
        let mut spent = 0.0;
        while spent < 0.06 {
            for _ in 0..1 + 2000 / steps {
                call();
                n += steps;
            }
            spent = cpu_seconds(started) - start;
        }
        best = best.max(n as f64 / spent);
    }
    best
}

fn xor() -> (Sequential, Box<dyn Optimizer>, Array, Array, usize) {
    let model = seq![Linear::new(2, 8), Tanh, Linear::new(8, 1)];
    let opt = Sgd::new(&model, 0.5);
    let x = Array::new([4, 2], &[0.0f32, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0]).unwrap();
    let y = Array::new([4, 1], &[0.0f32, 1.0, 1.0, 0.0]).unwrap();
    (model, Box::new(opt), x, y, 4)
}

fn tabular() -> (Sequential, Box<dyn Optimizer>, Array, Array, usize) {
    let model = seq![Linear::new(20, 64), Relu, Linear::new(64, 32), Relu, Linear::new(32, 1)];
    let opt = Adam::new(&model, 1e-3);
    let x = Rng::new(0).normal([16384, 20], 0.0, 1.0).unwrap();
    let side: Vec<f32> = x.to_vec::<f32>().unwrap();
    let side: Vec<f32> = side.chunks(20).map(|r| f32::from(u8::from(r[3] > r[7]))).collect();
    (model, Box::new(opt), x, Array::new([16384, 1], &side).unwrap(), 32)
}

fn main() {
    set_threads(1);
    let args: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with('-')).collect();
    let want = |name: &str| args.is_empty() || args.iter().any(|a| a == name);
    for (name, make) in [("xor", xor as fn() -> _), ("mlp_tabular", tabular)] {
        let (model, mut opt, x, y, batch) = make();
        let starts: Vec<usize> = (0..100).map(|i| i * batch % x.dims()[0]).collect();
        let mut step = |b: &[Tensor]| {
            let loss = model.forward(&b[0]).binary_cross_entropy_with_logits(&b[1]);
            opt.step(&loss)?;
            Ok(loss)
        };
        let mut at = 0;
        let mut next = || {
            at = (at + 1) % starts.len();
            let rows = |a: &Array| Tensor::from_array(&a.rows(starts[at], batch).unwrap());
            [rows(&x), rows(&y)]
        };
        if want(name) {
            let called = rate(1, || drop(step(&next()).unwrap()));
            println!("{name:12} called        {called:9.0} steps/s");
        }
        let mut step = capture(step);
        if want(name) || want("replayed") {
            let replayed = rate(1, || drop(step.run(&next()).unwrap()));
            println!("{name:12} replayed      {replayed:9.0} steps/s");
        }
        let (x, y) = (Tensor::from_array(&x), Tensor::from_array(&y));
        if want(name) || want("rows") || want(&format!("{name}_rows")) {
            let rows = rate(100, || drop(step.run_rows(&[&x, &y], batch, &starts).unwrap()));
            println!("{name:12} over rows     {rows:9.0} steps/s");
        }
    }
}
