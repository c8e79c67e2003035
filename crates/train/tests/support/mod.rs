//! What several tests need: digits in three parts, a small model, a trainer.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

use gradus_core::Result;
use gradus_data::{Dataset, digits};
use gradus_nn::{Adam, Dropout, Linear, Relu, Sequential, seq};
use gradus_train::{Accuracy, Loss, Run, RunConfig, Trainer};

pub fn parts() -> (Dataset, Dataset, Dataset) {
    digits().unwrap().split3(0.15, 0.2, 17).unwrap()
}

/// With dropout, so that random streams matter.
pub fn model() -> Sequential {
    gradus_core::seed(17);
    seq![Linear::new(64, 32), Relu, Dropout::new(0.1), Linear::new(32, 10)]
}

pub fn trainer(model: &Sequential) -> Trainer<'_> {
    Trainer::new(model, Adam::new(model, 1e-2))
        .loss(Loss::CrossEntropy)
        .metric(Accuracy::new())
        .batch_size(32)
        .seed(17)
}

pub fn create(path: impl AsRef<std::path::Path>) -> Result<Run> {
    Run::create(path, &RunConfig::for_data(&digits()?))
}

/// The names in a folder, sorted.
pub fn names(path: &std::path::Path) -> Vec<String> {
    let entries = std::fs::read_dir(path).unwrap();
    let mut names: Vec<String> =
        entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}
