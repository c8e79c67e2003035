//! Features with mean 0 and variance 1, for datasets that do not come from a table.

use gradus_core::{Code, Error, Result};

use crate::dataset::Dataset;

/// Mean and standard deviation of each feature over one dataset: fitted on the training part,
/// applied to all parts, so that nothing of the others leaks into training.
///
/// ```
/// use gradus_data::{Standardizer, digits};
///
/// let (train, test) = digits()?.split(0.8, 17)?;
/// let scale = Standardizer::fit(&train)?;
/// let (train, test) = (scale.apply(&train)?, scale.apply(&test)?);
/// assert_eq!(train.sample_shape().dims(), [64]);
/// assert_eq!(test.classes(), Some(10));
/// # Ok::<(), gradus_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Standardizer {
    means: Vec<f64>,
    stds: Vec<f64>,
}

/// Samples that are looked at together.
const PIECE: usize = 256;

impl Standardizer {
    /// Means and standard deviations (of the whole, divided by n) of each feature, by Welford's
    /// method in f64, over the samples in their order.
    ///
    /// # Errors
    /// [`Code::Data`] without samples, [`Code::NonFinite`] when a feature is infinite or NaN.
    pub fn fit(data: &Dataset) -> Result<Standardizer> {
        let width = data.sample_shape().numel();
        let (mut means, mut squares) = (vec![0.0f64; width], vec![0.0f64; width]);
        let mut count = 0.0;
        for batch in data.array_batches(PIECE) {
            let batch = batch?;
            for row in batch.x.as_slice::<f32>()?.chunks_exact(width.max(1)) {
                count += 1.0;
                for ((mean, square), &value) in means.iter_mut().zip(&mut squares).zip(row) {
                    let delta = f64::from(value) - *mean;
                    *mean += delta / count;
                    *square += delta * (f64::from(value) - *mean);
                }
            }
        }
        if count == 0.0 {
            return Err(Error::new(Code::Data, format!("`{}` has no samples", data.name())));
        }
        if let Some(at) = squares.iter().position(|square| !square.is_finite()) {
            let title = format!("feature {at} of `{}` has an infinite or NaN value", data.name());
            return Err(Error::new(Code::NonFinite, title));
        }
        let stds = squares.iter().map(|square| (square / count).sqrt()).collect();
        Ok(Standardizer { means, stds })
    }

    /// `(x - mean) / std` for each feature, in memory; a feature that was always the same when
    /// fitted only loses its mean. Targets, names and order stay.
    ///
    /// # Errors
    /// [`Code::Shape`] when the samples have another number of features.
    pub fn apply(&self, data: &Dataset) -> Result<Dataset> {
        let width = self.means.len();
        if data.sample_shape().numel() != width {
            return Err(Error::new(
                Code::Shape,
                format!(
                    "a standardizer of {width} features for samples of {}",
                    data.sample_shape()
                ),
            ));
        }
        let (mut x, y) = data.arrays()?;
        for row in x.make_mut::<f32>()?.chunks_exact_mut(width.max(1)) {
            for ((value, mean), &std) in row.iter_mut().zip(&self.means).zip(&self.stds) {
                let centred = f64::from(*value) - mean;
                *value = (if std > 0.0 { centred / std } else { centred }) as f32;
            }
        }
        let made = Dataset::from_arrays(x, y)?.with_name(data.name());
        match (data.class_names(), data.classes()) {
            (Some(names), _) => made.with_class_names(names.to_vec()),
            (None, Some(classes)) => made.with_classes(classes),
            (None, None) => Ok(made),
        }
    }

    /// The mean of each feature.
    pub fn means(&self) -> &[f64] {
        &self.means
    }

    /// The standard deviation of each feature; 0 for one that was always the same.
    pub fn stds(&self) -> &[f64] {
        &self.stds
    }
}
