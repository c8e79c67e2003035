//! What can be reached without looking at the features: a yardstick for every model.

use gradus_core::{Array, Code, DType, Error, Result};
use gradus_data::Dataset;

use crate::confusion::Confusion;
use crate::metric::Metrics;
use crate::regression::RegressionScores;

/// The prediction that knows only the targets it was fitted on: the most frequent class, or the
/// mean.
///
/// ```
/// use gradus_train::Baseline;
/// let (train, test) = gradus_data::digits()?.split(0.8, 17)?;
/// let baseline = Baseline::fit(&train)?;
/// let accuracy = baseline.scores(&test)?.get("accuracy").unwrap_or(1.0);
/// assert!(accuracy < 0.12);
/// # Ok::<(), gradus_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub enum Baseline {
    /// Always the most frequent class; of equal ones the first.
    Majority {
        /// Its id.
        class: usize,
        /// All classes.
        classes: usize,
    },
    /// Always the mean of each column of the targets.
    Mean {
        /// A value a column.
        values: Vec<f64>,
    },
}

/// Targets are read this many rows at a time.
const ROWS: usize = 4096;

impl Baseline {
    /// Looks at the targets of the training data, once.
    ///
    /// # Errors
    /// [`Code::Data`] when there are no samples; an error of reading them.
    pub fn fit(train: &Dataset) -> Result<Baseline> {
        if train.is_empty() {
            return Err(Error::new(Code::Data, format!("`{}` has no samples", train.name())));
        }
        if train.classes().is_some() {
            let counts = train.class_counts();
            let best = (0..counts.len()).rev().max_by_key(|&c| counts.get(c));
            return Ok(Baseline::Majority { class: best.unwrap_or(0), classes: counts.len() });
        }
        let columns = train.target_shape().numel();
        let mut sums = vec![0.0; columns];
        for batch in train.array_batches(ROWS) {
            for row in batch?.y.to_f64().chunks(columns.max(1)) {
                sums.iter_mut().zip(row).for_each(|(sum, v)| *sum += v);
            }
        }
        let n = train.len() as f64;
        Ok(Baseline::Mean { values: sums.into_iter().map(|sum| sum / n).collect() })
    }

    /// `accuracy` and `macro_f1`, or `r2`, `mae` and `rmse`, on a dataset.
    ///
    /// # Errors
    /// [`Code::Data`] when the targets are of the other kind; an error of reading them.
    pub fn scores(&self, data: &Dataset) -> Result<Metrics> {
        if matches!(self, Baseline::Majority { .. }) != data.classes().is_some() {
            let title = format!("a baseline of other targets than those of `{}`", data.name());
            return Err(Error::new(Code::Data, title));
        }
        match self {
            Baseline::Majority { class, classes } => {
                let mut confusion = Confusion::new(*classes);
                for (truth, count) in data.class_counts().into_iter().enumerate() {
                    (0..count).for_each(|_| confusion.add(truth, *class));
                }
                let f1 = confusion.macro_average().f1;
                Ok([("accuracy", confusion.accuracy()), ("macro_f1", f1)].into_iter().collect())
            }
            Baseline::Mean { values } => {
                let mut scores = RegressionScores::new();
                for batch in data.array_batches(ROWS) {
                    let y = batch?.y.to_f64();
                    let means = values.iter().cycle();
                    y.iter().zip(means).for_each(|(&truth, &mean)| scores.add(truth, mean));
                }
                let all = [("r2", scores.r2()), ("mae", scores.mae()), ("rmse", scores.rmse())];
                Ok(all.into_iter().collect())
            }
        }
    }

    /// What is predicted for a sample, whatever the sample: a class id, or the values.
    ///
    /// # Errors
    /// None today.
    pub fn prediction(&self) -> Result<Array> {
        match self {
            Baseline::Majority { class, .. } => Array::new((), &[*class as i64]),
            Baseline::Mean { values } => {
                let mut array = Array::zeros([values.len()], DType::F32)?;
                let out = array.make_mut::<f32>()?;
                out.iter_mut().zip(values).for_each(|(o, &v)| *o = v as f32);
                Ok(array)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_explains_nothing_and_the_majority_is_right_as_often_as_it_is_there() {
        let line = gradus_data::noisy_line(64, 0.1, 0).unwrap();
        let scores = Baseline::fit(&line).unwrap().scores(&line).unwrap();
        assert!(scores.get("r2").unwrap().abs() < 1e-6, "{scores}");
        let x = Array::zeros([5, 1], DType::F32).unwrap();
        let y = Array::new([5], &[2i64, 1, 1, 0, 1]).unwrap();
        let data = Dataset::from_arrays(x, y).unwrap();
        let baseline = Baseline::fit(&data).unwrap();
        assert_eq!(baseline, Baseline::Majority { class: 1, classes: 3 });
        assert_eq!(baseline.scores(&data).unwrap().get("accuracy"), Some(0.6));
        assert_eq!(baseline.prediction().unwrap().to_vec::<i64>().unwrap(), [1]);
        assert!(baseline.scores(&line).is_err());
    }
}
