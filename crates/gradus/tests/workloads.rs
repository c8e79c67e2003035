//! A steady step of each workload of the benchmarks, in a small variant, with data taken from a set as
//! a user takes it: no allocation, no page fault, no new plan. And memory stays where it is over many
//! steps. Full sizes: `gradus bench --json` prints the page faults of a step.
//!
//! `GRADUS_STEPS=100000` runs so many steps of every workload for the test of memory; by default it
//! takes the two smallest.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test stops at the first failure"
)]

use std::sync::Mutex;

use gradus::data::{Batches, Dataset};
use gradus::nn::models::{CharRnn, Gpt, GptConfig, ResNet};
use gradus::prelude::*;
use gradus::{Rng, plan_cache, set_threads};

/// Allocations and page faults are those of a process, so tests wait for each other.
static ALONE: Mutex<()> = Mutex::new(());

/// Modes for finding bugs are not for speed.
fn slow_mode() -> bool {
    let set = |name| std::env::var(name).is_ok_and(|v| v == "1");
    set("GRADUS_CHECK") || set("GRADUS_EAGER")
}

type Step = Box<dyn FnMut()>;

/// A set that is gone through round and round.
fn rounds(set: Dataset, size: usize) -> impl FnMut() -> (Tensor, Tensor) {
    let mut batches: Batches<(Tensor, Tensor)> = set.batches(size).drop_last(true);
    move || {
        batches.next().unwrap_or_else(|| {
            batches = set.batches(size).drop_last(true);
            batches.next().unwrap()
        })
    }
}

fn training(
    model: impl Layer + 'static,
    mut optimizer: impl Optimizer + 'static,
    mut next: impl FnMut() -> (Tensor, Tensor) + 'static,
    loss: fn(&Tensor, &Tensor, &Tensor) -> Tensor,
) -> Step {
    Box::new(move || {
        let (x, y) = next();
        let loss = loss(&model.forward(&x), &x, &y);
        assert!(optimizer.step(&loss).unwrap().loss.is_finite());
    })
}

/// Batches of rows of tokens: all but the last of each, and what comes after each.
fn tokens(rows: usize, length: usize, kinds: i64) -> impl FnMut() -> (Tensor, Tensor) {
    let ids: Vec<i64> = (0..(8 * rows * length) as i64).map(|i| (i * 7 + i % 3) % kinds).collect();
    let mut place = 0;
    move || {
        place = (place + 1) % 8;
        let part = &ids[place * rows * length..][..rows * length];
        let ids = Tensor::from(Array::new([rows, length], part).unwrap());
        (ids.slice(1, 0, -1, 1), ids.slice(1, 1, isize::MAX, 1))
    }
}

fn classes(out: &Tensor, _: &Tensor, y: &Tensor) -> Tensor {
    out.cross_entropy(y)
}

fn two(out: &Tensor, _: &Tensor, y: &Tensor) -> Tensor {
    out.binary_cross_entropy_with_logits(y)
}

fn each_token(out: &Tensor, _: &Tensor, y: &Tensor) -> Tensor {
    out.flatten_dims(0, 1).cross_entropy(&y.flatten(0))
}

fn images(shape: &[usize], count: usize) -> Dataset {
    let sizes: Vec<usize> = [&[count], shape].concat();
    let x = Rng::new(1).uniform(sizes, 0.0, 1.0).unwrap();
    let y: Vec<i64> = (0..count as i64).map(|i| i % 10).collect();
    Dataset::from_arrays(x, Array::new([count], &y).unwrap()).unwrap()
}

fn tabular() -> Step {
    let x = Rng::new(2).normal([1024, 20], 0.0, 1.0).unwrap();
    let y: Vec<f32> = (0..1024).map(|i| f32::from(u8::from(i % 3 == 0))).collect();
    let set = Dataset::from_arrays(x, Array::new([1024, 1], &y).unwrap()).unwrap();
    let model = seq![Linear::new(20, 64), Relu, Linear::new(64, 32), Relu, Linear::new(32, 1)];
    let optimizer = Adam::new(&model, 1e-3);
    training(model, optimizer, rounds(set, 32), two)
}

fn xor() -> Step {
    let model = seq![Linear::new(2, 8), Tanh, Linear::new(8, 1)];
    let optimizer = Sgd::new(&model, 0.5);
    training(model, optimizer, rounds(gradus::data::xor().unwrap(), 4), two)
}

fn perceptron() -> Sequential {
    seq![Linear::new(64, 48), Relu, Linear::new(48, 32), Relu, Linear::new(32, 10)]
}

fn convolutions() -> Sequential {
    seq![
        Conv2d::new(1, 8, 3),
        Relu,
        Conv2d::new(8, 16, 3),
        Relu,
        MaxPool2d::new(2),
        Dropout::new(0.25),
        Flatten,
        Linear::new(16 * 4 * 4, 32),
        Relu,
        Dropout::new(0.5),
        Linear::new(32, 10)
    ]
}

fn inference(model: Sequential, x: Tensor) -> Step {
    Box::new(move || drop(model.predict(&x).to_array().unwrap()))
}

fn case(name: &str) -> Step {
    gradus::seed(3);
    match name {
        "mlp_mnist" => {
            let model = perceptron();
            let optimizer = Adam::new(&model, 1e-3);
            training(model, optimizer, rounds(images(&[64], 128), 32), classes)
        }
        "mlp_tabular" => tabular(),
        "xor" => xor(),
        "cnn_mnist" => {
            let model = convolutions();
            let optimizer = Adam::new(&model, 1e-3);
            training(model, optimizer, rounds(images(&[1, 12, 12], 64), 16), classes)
        }
        "resnet20" => {
            let model = ResNet::cifar(1, 3, 8, 10);
            let optimizer = Sgd::new(&model, 0.01).momentum(0.9).weight_decay(5e-4);
            training(model, optimizer, rounds(images(&[3, 16, 16], 32), 8), classes)
        }
        "lstm_char" => {
            let model = CharRnn::new(24, 16, 32);
            let optimizer = Adam::new(&model, 1e-3);
            training(model, optimizer, tokens(4, 17, 24), each_token)
        }
        "gpt_mini" => {
            let sizes = GptConfig {
                vocab_size: 32,
                n_positions: 16,
                n_embd: 32,
                n_layer: 2,
                n_head: 4,
                dropout: 0.0,
            };
            let model = Gpt::new(sizes);
            let optimizer = AdamW::new(&model, 3e-4).weight_decay(0.01);
            training(model, optimizer, tokens(4, 17, 32), each_token)
        }
        "autoencoder" => {
            let model = seq![
                Linear::new(64, 32),
                Relu,
                Linear::new(32, 8),
                Relu,
                Linear::new(8, 32),
                Relu,
                Linear::new(32, 64),
                Sigmoid
            ];
            let optimizer = Adam::new(&model, 1e-3);
            let set = images(&[64], 128);
            training(model, optimizer, rounds(set, 32), |out, x, _| out.mse_loss(x))
        }
        "infer_mlp_mnist" => inference(perceptron(), Tensor::rand([1, 64])),
        _ => inference(convolutions(), Tensor::rand([1, 1, 12, 12])),
    }
}

/// Page faults of this process so far that needed no disk; 0 where the system does not say.
fn faults() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name of the program comes before, in brackets, and may hold anything.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    fields.split_whitespace().nth(7).and_then(|n| n.parse().ok()).unwrap_or(0)
}

/// Resident memory of this process in bytes; 0 where the system does not say.
fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm.split_whitespace().nth(1).and_then(|n| n.parse::<u64>().ok());
    pages.unwrap_or(0) * 4096
}

const WORKLOADS: [&str; 10] = [
    "mlp_mnist",
    "mlp_tabular",
    "xor",
    "cnn_mnist",
    "resnet20",
    "lstm_char",
    "gpt_mini",
    "autoencoder",
    "infer_mlp_mnist",
    "infer_cnn_mnist",
];

#[test]
fn a_steady_step_of_every_workload_allocates_nothing_and_faults_no_page() {
    let _alone = ALONE.lock().unwrap_or_else(|e| e.into_inner());
    if slow_mode() {
        return;
    }
    let mut wrong = Vec::new();
    for (name, threads) in WORKLOADS.into_iter().flat_map(|name| [(name, 1), (name, 2)]) {
        set_threads(threads);
        let mut step = case(name);
        (0..40).for_each(|_| step());
        let misses = plan_cache().misses;
        // A table that grows once is not a steady cost, and the system may take pages back, so the
        // best of five counts.
        let mut best = (u64::MAX, u64::MAX);
        for _ in 0..5 {
            let before = faults();
            let mut after = before;
            let counted = allocation_counter::measure(|| (0..20).for_each(|_| step()));
            after = after.max(faults());
            best = (best.0.min(counted.count_total), best.1.min(after - before));
        }
        let plans = plan_cache().misses - misses;
        let found = format!("{name}, {threads} threads: {} allocations, {} faults", best.0, best.1);
        println!("{found} in 20 steps");
        // What grows again counts as an allocation.
        if best != (0, 0) || plans != 0 {
            wrong.push(format!("{found}, {plans} plans"));
        }
    }
    assert!(wrong.is_empty(), "in 20 steady steps:\n{}", wrong.join("\n"));
}

#[test]
fn memory_stays_flat_over_many_steps() {
    let _alone = ALONE.lock().unwrap_or_else(|e| e.into_inner());
    if slow_mode() {
        return;
    }
    set_threads(1);
    let given = std::env::var("GRADUS_STEPS").ok().and_then(|n| n.parse::<usize>().ok());
    let loops = match given {
        Some(steps) => WORKLOADS.map(|name| (name, steps)).to_vec(),
        None => vec![("xor", 100_000), ("mlp_tabular", 10_000)],
    };
    for (name, steps) in loops {
        let mut step = case(name);
        (0..1000).for_each(|_| step());
        let (memory, nodes) = (resident(), gradus::live_nodes());
        (0..steps).for_each(|_| step());
        let grown = resident().saturating_sub(memory);
        println!("{name}: {grown} bytes more after {steps} steps");
        // A byte a step would be 100 KB; the system counts in pages.
        assert!(grown <= 64 << 10, "{name}: {grown} bytes more after {steps} steps");
        assert_eq!(gradus::live_nodes(), nodes, "{name}");
    }
}
