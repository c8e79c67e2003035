//! Mixed precision: the same quality as f32 but for what another seed changes, reproducible, resumable
//! only as it was.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use gradus_core::{Precision, Tensor, seed, set_threads};
use gradus_nn::{
    Adam, Conv2d, Dropout, Flatten, Layer, Linear, Lstm, MaxPool2d, Module, Relu, Unflatten, seq,
};
use gradus_train::{Epochs, Loss, Trainer, accuracy, model_sha256};
use support::{parts, trainer};

/// Accuracy on the test data after a few epochs from this seed, and the hash of the weights.
fn trained(precision: Precision, from: u64) -> (f64, String) {
    let (train, valid, test) = parts();
    seed(from);
    let model = seq![Linear::new(64, 32), Relu, Dropout::new(0.1), Linear::new(32, 10)];
    trainer(&model).seed(from).precision(precision).fit(&train, &valid, Epochs(4)).unwrap();
    (accuracy(&model, &test).unwrap(), model_sha256(&model).unwrap())
}

/// Reads a digit line by line.
#[derive(Module)]
struct Lines {
    lstm: Lstm,
    head: Linear,
}

impl Layer for Lines {
    fn forward(&self, x: &Tensor) -> Tensor {
        let lines = x.reshape([-1, 8, 8]).transpose(0, 1);
        let (states, _) = self.lstm.forward(&lines);
        self.head.forward(&states.select(0, -1))
    }
}

/// As [`trained`], of an LSTM.
fn trained_lstm(precision: Precision, from: u64) -> f64 {
    let (train, valid, test) = parts();
    seed(from);
    let model = Lines { lstm: Lstm::new(8, 32), head: Linear::new(32, 10) };
    Trainer::new(&model, Adam::new(&model, 1e-2))
        .loss(Loss::CrossEntropy)
        .batch_size(32)
        .seed(from)
        .precision(precision)
        .fit(&train, &valid, Epochs(5))
        .unwrap();
    accuracy(&model, &test).unwrap()
}

/// As [`trained`], of a small convolutional network.
fn trained_conv(precision: Precision, from: u64) -> f64 {
    let (train, valid, test) = parts();
    seed(from);
    let model = seq![
        Unflatten::new(1, [1, 8, 8]),
        Conv2d::new(1, 8, 3).padding(1),
        Relu,
        MaxPool2d::new(2),
        Conv2d::new(8, 16, 3).padding(1),
        Relu,
        Flatten,
        Linear::new(256, 10)
    ];
    trainer(&model).seed(from).precision(precision).fit(&train, &valid, Epochs(4)).unwrap();
    accuracy(&model, &test).unwrap()
}

#[test]
fn quality_is_that_of_f32_within_the_noise_of_seeds() {
    alike(0.9, |precision, seed| trained(precision, seed).0);
}

#[test]
fn quality_of_an_lstm_is_that_of_f32_within_the_noise_of_seeds() {
    // After so few epochs it is not as far as the other, in f32 either.
    alike(0.8, trained_lstm);
}

#[test]
fn quality_of_convolutions_is_that_of_f32_within_the_noise_of_seeds() {
    alike(0.9, trained_conv);
}

/// Five seeds in either precision; none is below `least` in bf16.
fn alike(least: f64, trained: impl Fn(Precision, u64) -> f64) {
    let runs = |precision| -> Vec<f64> { (0..5).map(|s| trained(precision, s)).collect() };
    let (full, half) = (runs(Precision::F32), runs(Precision::Bf16));
    let mean = |x: &[f64]| x.iter().sum::<f64>() / x.len() as f64;
    let spread = |x: &[f64]| {
        let m = mean(x);
        (x.iter().map(|v| (v - m).powi(2)).sum::<f64>() / (x.len() - 1) as f64).sqrt()
    };
    let noise = spread(&full).max(0.003);
    assert!((mean(&full) - mean(&half)).abs() < 2.0 * noise, "{full:?} and {half:?}");
    assert!(half.iter().all(|&a| a > least), "{half:?}");
}

#[test]
fn a_precision_gives_its_own_bits_for_any_number_of_threads() {
    set_threads(1);
    let one = trained(Precision::Bf16, 3).1;
    set_threads(3);
    assert_eq!(trained(Precision::Bf16, 3).1, one);
    assert_ne!(trained(Precision::F32, 3).1, one);
}
