//! What the trainer costs beside a loop by hand: `cargo bench -p gradus-train`.
//!
//! Short interleaved rounds on one thread, the best of each: others on the machine only add time.

#![allow(missing_docs, clippy::print_stdout, clippy::unwrap_used)]

use std::time::Instant;

use gradus_core::{Array, set_threads};
use gradus_data::{Dataset, mix};
use gradus_nn::{Adam, Linear, Optimizer, Relu, Sequential, seq};
use gradus_train::{Accuracy, Epochs, Loss, Run, RunConfig, Trainer};

/// Images of MNIST's size.
fn images(n: usize) -> Dataset {
    let pixels = (0..n * 784).map(|i| (mix(1, i as u64) & 255) as u8).collect();
    let labels: Vec<i64> = (0..n).map(|i| (mix(2, i as u64) % 10) as i64).collect();
    Dataset::from_pixels([784], pixels, Array::new([n], &labels).unwrap()).unwrap()
}

fn by_hand(model: &Sequential, data: &Dataset, batch: usize, epochs: usize) -> f64 {
    let mut opt = Adam::new(model, 1e-3);
    let start = Instant::now();
    for epoch in 0..epochs as u64 {
        for (x, y) in data.shuffled(mix(17, epoch)).batches(batch) {
            opt.step(&model.forward(&x).cross_entropy(&y)).unwrap();
        }
    }
    start.elapsed().as_secs_f64()
}

fn trainer<'m>(model: &'m Sequential, batch: usize) -> Trainer<'m> {
    Trainer::new(model, Adam::new(model, 1e-3)).loss(Loss::CrossEntropy).batch_size(batch).seed(17)
}

fn timed(trainer: Trainer<'_>, data: &Dataset, epochs: usize) -> f64 {
    let start = Instant::now();
    trainer.fit(data, None, Epochs(epochs)).unwrap();
    start.elapsed().as_secs_f64()
}

fn best(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::INFINITY, f64::min)
}

fn compare(what: &str, data: &Dataset, sizes: [usize; 3], batch: usize, epochs: usize) {
    let [inputs, a, b] = sizes;
    let model = || seq![Linear::new(inputs, a), Relu, Linear::new(a, b), Relu, Linear::new(b, 10)];
    let folder = std::env::temp_dir().join("gradus_overhead");
    let mut times: [Vec<f64>; 4] = Default::default();
    for round in 0..60 {
        let m = model();
        let hand = by_hand(&m, data, batch, epochs);
        let plain = timed(trainer(&m, batch), data, epochs);
        let metric = timed(trainer(&m, batch).metric(Accuracy::new()), data, epochs);
        let run = Run::overwrite(&folder, &RunConfig::new()).unwrap();
        let full = trainer(&m, batch).metric(Accuracy::new()).watch(|_| {}).run(run);
        let full = timed(full, data, epochs);
        // The first round makes the plans.
        if round > 0 {
            for (list, time) in times.iter_mut().zip([hand, plain, metric, full]) {
                list.push(time);
            }
        }
    }
    let _ = std::fs::remove_dir_all(folder);
    let steps = (epochs * data.len().div_ceil(batch)) as f64;
    let [hand, plain, metric, full] = times.map(|list| best(&list) / steps * 1e6);
    let percent = |time: f64| 100.0 * (time / hand - 1.0);
    println!(
        "{what:10} {hand:7.1} us a step by hand; trainer {:+.1} %, with accuracy {:+.1} %, with a \
         run folder too {:+.1} %",
        percent(plain),
        percent(metric),
        percent(full)
    );
}

fn main() {
    set_threads(1);
    compare("mlp_mnist", &images(128 * 50), [784, 512, 256], 128, 1);
    compare("digits", &gradus_data::digits().unwrap(), [64, 64, 32], 32, 10);
}
