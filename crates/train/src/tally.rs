//! Running sums of an epoch or an evaluation.

use std::sync::Arc;

use gradus_core::{Result, Tensor};
use serde::{Deserialize, Serialize};

use crate::metric::{Metric, Metrics};

/// The metrics of a trainer.
pub(crate) type MetricList = Vec<Arc<dyn Metric>>;

/// Sums over the samples so far: of the loss, and of each metric.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Tally {
    pub(crate) samples: usize,
    loss: f64,
    sums: Vec<Vec<f64>>,
}

impl Tally {
    /// Nothing yet; keeps its memory.
    pub(crate) fn clear(&mut self) {
        self.samples = 0;
        self.loss = 0.0;
        self.sums.iter_mut().for_each(|sums| sums.fill(0.0));
    }

    /// Adds a batch: its mean loss, and what its metrics recorded.
    pub(crate) fn add(&mut self, samples: usize, loss: f64, recorded: &[Tensor]) -> Result<()> {
        self.samples += samples;
        self.loss += loss * samples as f64;
        self.sums.resize(recorded.len(), Vec::new());
        for (sums, tensor) in self.sums.iter_mut().zip(recorded) {
            if tensor.numel()? == 1 {
                add(sums, &[tensor.item()?]);
            } else {
                add(sums, &tensor.to_array()?.to_f64());
            }
        }
        Ok(())
    }

    /// The values, as `loss` and the metrics' names.
    pub(crate) fn metrics(&self, metrics: &[&dyn Metric]) -> Metrics {
        let mut values = Metrics::new();
        values.insert("loss", self.loss / self.samples as f64);
        for (metric, sums) in metrics.iter().zip(&self.sums) {
            values.insert(metric.name(), metric.value(sums, self.samples));
        }
        values
    }
}

fn add(sums: &mut Vec<f64>, more: &[f64]) {
    sums.resize(more.len(), 0.0);
    sums.iter_mut().zip(more).for_each(|(sum, value)| *sum += value);
}

/// Borrows a list of metrics.
pub(crate) fn borrowed(metrics: &MetricList) -> Vec<&dyn Metric> {
    metrics.iter().map(|metric| &**metric).collect()
}
