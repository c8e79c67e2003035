//! What the trainer costs beside a loop by hand: `cargo bench -p gradus-train`.
//!
//! Interleaved pairs on one thread; the median of the ratios is what counts on a shared machine.

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

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn compare(what: &str, data: &Dataset, sizes: [usize; 3], batch: usize, epochs: usize) {
    let [inputs, a, b] = sizes;
    let model = || seq![Linear::new(inputs, a), Relu, Linear::new(a, b), Relu, Linear::new(b, 10)];
    let folder = std::env::temp_dir().join("gradus_overhead");
    let mut ratios: [Vec<f64>; 3] = Default::default();
    let mut hands = Vec::new();
    for round in 0..10 {
        let m = model();
        let hand = by_hand(&m, data, batch, epochs);
        let plain = timed(trainer(&m, batch), data, epochs);
        let metric = timed(trainer(&m, batch).metric(Accuracy::new()), data, epochs);
        let run = Run::overwrite(&folder, &RunConfig::new()).unwrap();
        let full =
            timed(trainer(&m, batch).metric(Accuracy::new()).watch(|_| {}).run(run), data, epochs);
        // The first round makes the plans.
        if round > 0 {
            hands.push(hand);
            for (ratio, time) in ratios.iter_mut().zip([plain, metric, full]) {
                ratio.push(time / hand);
            }
        }
    }
    let _ = std::fs::remove_dir_all(folder);
    let steps = (epochs * data.len().div_ceil(batch)) as f64;
    let micros = median(hands) / steps * 1e6;
    let percent = |r: Vec<f64>| 100.0 * (median(r) - 1.0);
    let [plain, metric, full] = ratios;
    println!(
        "{what:12} {micros:8.1} us a step by hand; trainer {:+.1} %, with accuracy {:+.1} %, with \
         a run folder too {:+.1} %",
        percent(plain),
        percent(metric),
        percent(full)
    );
}

fn main() {
    set_threads(1);
    compare("mlp_mnist", &images(128 * 469), [784, 512, 256], 128, 1);
    compare("digits", &gradus_data::digits().unwrap(), [64, 64, 32], 32, 10);
}
