//! Mixed precision: the same quality as f32 but for what another seed changes, reproducible, resumable
//! only as it was.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use gradus_core::{Precision, seed, set_threads};
use gradus_nn::{Dropout, Linear, Relu, seq};
use gradus_train::{Epochs, accuracy, model_sha256};
use support::{parts, trainer};

/// Accuracy on the test data after a few epochs from this seed, and the hash of the weights.
fn trained(precision: Precision, from: u64) -> (f64, String) {
    let (train, valid, test) = parts();
    seed(from);
    let model = seq![Linear::new(64, 32), Relu, Dropout::new(0.1), Linear::new(32, 10)];
    trainer(&model).seed(from).precision(precision).fit(&train, &valid, Epochs(4)).unwrap();
    (accuracy(&model, &test).unwrap(), model_sha256(&model).unwrap())
}

#[test]
fn quality_is_that_of_f32_within_the_noise_of_seeds() {
    let runs = |precision| -> Vec<f64> { (0..5).map(|s| trained(precision, s).0).collect() };
    let (full, half) = (runs(Precision::F32), runs(Precision::Bf16));
    let mean = |x: &[f64]| x.iter().sum::<f64>() / x.len() as f64;
    let spread = |x: &[f64]| {
        let m = mean(x);
        (x.iter().map(|v| (v - m).powi(2)).sum::<f64>() / (x.len() - 1) as f64).sqrt()
    };
    let noise = spread(&full).max(0.003);
    assert!((mean(&full) - mean(&half)).abs() < 2.0 * noise, "{full:?} and {half:?}");
    assert!(half.iter().all(|&a| a > 0.9), "{half:?}");
}

#[test]
fn a_precision_gives_its_own_bits_for_any_number_of_threads() {
    set_threads(1);
    let one = trained(Precision::Bf16, 3).1;
    set_threads(3);
    assert_eq!(trained(Precision::Bf16, 3).1, one);
    assert_ne!(trained(Precision::F32, 3).1, one);
}
