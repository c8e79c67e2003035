//! Running sums of an epoch or an evaluation.

use std::sync::Arc;

use gradus_core::{Result, Tensor};
use serde::{Deserialize, Serialize};

use crate::metric::{Metric, Metrics};
use crate::scores::add;

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
        self.sums.iter_mut().for_each(Vec::clear);
    }

    /// Adds a batch: its mean loss, and what its metrics recorded, each with whether it gathers.
    pub(crate) fn add<'a>(
        &mut self,
        samples: usize,
        loss: f64,
        recorded: impl ExactSizeIterator<Item = (&'a Tensor, bool)>,
    ) -> Result<()> {
        self.samples += samples;
        self.loss += loss * samples as f64;
        self.sums.resize(recorded.len(), Vec::new());
        for (sums, (tensor, gathers)) in self.sums.iter_mut().zip(recorded) {
            if tensor.numel()? == 1 {
                add(sums, &[tensor.item()?], gathers);
            } else {
                add(sums, &tensor.to_array()?.to_f64(), gathers);
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

/// Borrows a list of metrics.
pub(crate) fn borrowed(metrics: &MetricList) -> Vec<&dyn Metric> {
    metrics.iter().map(|metric| &**metric).collect()
}
