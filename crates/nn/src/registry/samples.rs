//! Inputs for samples: the same numbers in every run.

use gradus_core::{Array, Result, Rng, Shape};

/// f32 between -2 and 2.
pub(super) fn floats(shape: impl Into<Shape>, seed: u64) -> Result<Array> {
    Rng::new(seed).uniform(shape, -2.0, 2.0)
}

/// f32 between 0.1 and 0.9.
pub(super) fn unit(shape: impl Into<Shape>, seed: u64) -> Result<Array> {
    Rng::new(seed).uniform(shape, 0.1, 0.9)
}

/// i64 in `0..below`.
pub(super) fn ids(shape: impl Into<Shape>, below: usize, seed: u64) -> Result<Array> {
    let shape = shape.into();
    let drawn = Rng::new(seed).uniform(shape, 0.0, below as f32)?;
    let last = below.saturating_sub(1) as i64;
    let ids: Vec<i64> = drawn.to_f64().iter().map(|v| (*v as i64).min(last)).collect();
    Array::new(shape, &ids)
}
