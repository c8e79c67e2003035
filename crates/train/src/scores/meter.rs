//! Any metric, one batch after the other, outside of a training.

use gradus_core::{Result, Tensor};

use crate::metric::{Metric, record};

/// A metric with what it has seen so far. Parts, measured apart, can be merged; the value is that of
/// all samples, in whatever batches they came.
///
/// ```
/// use gradus_core::Tensor;
/// use gradus_train::{Meter, TopK};
/// let mut first = Meter::new(TopK::new(2));
/// first.add_batch(&Tensor::from([[0.1, 0.3, 0.2]]), &Tensor::from([2]))?;
/// let mut second = Meter::new(TopK::new(2));
/// second.add_batch(&Tensor::from([[0.9, 0.3, 0.2], [0.0, 2.0, 1.0]]), &Tensor::from([2, 1]))?;
/// first.merge(&second);
/// assert_eq!((first.samples(), first.value()), (3, 2.0 / 3.0));
/// # Ok::<(), gradus_core::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Meter<M> {
    metric: M,
    samples: usize,
    sums: Vec<f64>,
}

impl<M: Metric> Meter<M> {
    /// Nothing seen yet.
    pub fn new(metric: M) -> Meter<M> {
        Meter { metric, samples: 0, sums: Vec::new() }
    }

    /// Adds the predictions of a batch and their targets.
    ///
    /// # Errors
    /// The first error of either tensor, or of the metric when they do not go together; nothing is
    /// added then.
    pub fn add_batch(&mut self, prediction: &Tensor, target: &Tensor) -> Result<()> {
        let values = record(&self.metric, prediction, target).to_array()?.to_f64();
        self.samples += target.shape()?.dims().first().copied().unwrap_or(1);
        add(&mut self.sums, &values, self.metric.gathers());
        Ok(())
    }

    /// Adds what was measured on other samples, with a metric of the same settings.
    pub fn merge(&mut self, other: &Meter<M>) {
        self.samples += other.samples;
        add(&mut self.sums, &other.sums, self.metric.gathers());
    }

    /// The value of all samples so far; NaN without any.
    pub fn value(&self) -> f64 {
        if self.samples == 0 { f64::NAN } else { self.metric.value(&self.sums, self.samples) }
    }

    /// How many samples.
    pub fn samples(&self) -> usize {
        self.samples
    }

    /// The metric.
    pub fn metric(&self) -> &M {
        &self.metric
    }
}

/// Adds what a batch recorded to what others did, or puts it behind.
pub(crate) fn add(sums: &mut Vec<f64>, more: &[f64], gathers: bool) {
    if gathers {
        sums.extend_from_slice(more);
        return;
    }
    sums.resize(sums.len().max(more.len()), 0.0);
    sums.iter_mut().zip(more).for_each(|(sum, value)| *sum += value);
}
