//! How good predicted values are: R², mean absolute error, root mean squared error.
//!
//! The metrics are for training, as sums that join a step's plan; [`RegressionScores`] measures the
//! same in f64 on values that are already there, one at a time, and parts of it merge.

use gradus_core::{Array, Code, DType, Error, Result, Tensor};

use crate::metric::Metric;

/// Prediction and target as f64 `[batch, columns]`, or why they do not go together.
fn columns(what: &str, prediction: &Tensor, target: &Tensor) -> Result<(Tensor, Tensor), Tensor> {
    let (p, t) = match (prediction.shape(), target.shape()) {
        (Ok(p), Ok(t)) => (p, t),
        (Err(error), _) | (_, Err(error)) => return Err(Tensor::failed(error)),
    };
    if p != t || p.rank() == 0 {
        let title = format!("{what}: prediction {p} and target {t} differ");
        return Err(Tensor::failed(
            Error::new(Code::Shape, title)
                .help("values are compared one by one; the shapes must be equal, as [batch, 1]"),
        ));
    }
    let wide = |x: &Tensor| match p.rank() {
        1 => x.cast(DType::F64).unsqueeze(-1),
        _ => x.cast(DType::F64).flatten(1),
    };
    Ok((wide(prediction), wide(target)))
}

fn values_only(what: &str, targets: &Array) -> Result<()> {
    if targets.dtype().is_float() {
        return Ok(());
    }
    let title = format!("{what} compares values, but the targets are class ids");
    Err(Error::new(Code::Data, title).help("use `Accuracy` to tell classes apart"))
}

/// The coefficient of determination, R²: 1 is perfect, 0 as good as always predicting the mean.
///
/// `1 - sum((y - p)²) / sum((y - mean(y))²)`, over all samples of a part; several columns are
/// averaged. As in scikit-learn, targets that are all equal give 1 if they are predicted exactly and
/// 0 if not. It does not depend on the unit of the targets.
///
/// ```
/// use gradus_core::Tensor;
/// use gradus_train::{Metric, R2};
/// let (p, y) = (Tensor::from([[2.5], [0.0], [2.0], [8.0]]), Tensor::from([[3.0], [-0.5], [2.0], [7.0]]));
/// let sums = R2::new().record(&p, &y).to_array()?.to_f64();
/// assert!((R2::new().value(&sums, 4) - 0.948608).abs() < 1e-6);
/// # Ok::<(), gradus_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct R2;

impl R2 {
    /// R².
    pub fn new() -> R2 {
        R2
    }
}

impl Metric for R2 {
    fn name(&self) -> &str {
        "r2"
    }

    fn record(&self, prediction: &Tensor, target: &Tensor) -> Tensor {
        match columns("r2", prediction, target) {
            Ok((p, y)) => {
                let error = (&y - &p).square().sum_dim(0);
                Tensor::concat(&[&error, &y.sum_dim(0), &y.square().sum_dim(0)], 0)
            }
            Err(failed) => failed,
        }
    }

    fn value(&self, sums: &[f64], samples: usize) -> f64 {
        let columns = sums.len() / 3;
        let (error, rest) = sums.split_at(columns);
        let (sum, square) = rest.split_at(columns.min(rest.len()));
        let each = error.iter().zip(sum).zip(square).map(|((&error, &sum), &square)| {
            r2(error, (square - sum * sum / samples as f64).max(0.0))
        });
        each.sum::<f64>() / columns as f64
    }

    fn check(&self, targets: &Array) -> Result<()> {
        values_only("r2", targets)
    }
}

/// From the sums of squares around the predictions and around the mean.
fn r2(error: f64, total: f64) -> f64 {
    if total > 0.0 {
        1.0 - error / total
    } else if error == 0.0 {
        1.0
    } else {
        0.0
    }
}

macro_rules! error_metric {
    ($(#[$doc:meta])* $name:ident, $text:literal, |$p:ident, $y:ident| $of:expr, |$mean:ident| $value:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub struct $name {
            unit: f64,
        }

        impl Default for $name {
            fn default() -> $name {
                $name::new()
            }
        }

        impl $name {
            /// In the unit of the targets.
            pub fn new() -> $name {
                $name { unit: 1.0 }
            }

            /// Times `unit`: for targets that were divided by it, their standard deviation perhaps,
            /// the error is then in the unit that they had before.
            pub fn in_units_of(unit: f64) -> $name {
                $name { unit }
            }
        }

        impl Metric for $name {
            fn name(&self) -> &str {
                $text
            }

            fn record(&self, prediction: &Tensor, target: &Tensor) -> Tensor {
                match columns($text, prediction, target) {
                    Ok((p, y)) => {
                        let ($p, $y) = (&p, &y);
                        // Over the columns the mean, over the samples the sum.
                        $of.mean_dim(-1).sum()
                    }
                    Err(failed) => failed,
                }
            }

            fn value(&self, sums: &[f64], samples: usize) -> f64 {
                let $mean = sums.iter().sum::<f64>() / samples as f64;
                self.unit * $value
            }

            fn check(&self, targets: &Array) -> Result<()> {
                values_only($text, targets)
            }
        }
    };
}

error_metric! {
    /// Mean absolute error, `mean(|y - p|)`.
    ///
    /// ```
    /// use gradus_core::Tensor;
    /// use gradus_train::{Mae, Metric};
    /// let sums = Mae::new().record(&Tensor::from([[1.0], [5.0]]), &Tensor::from([[2.0], [2.0]]));
    /// assert_eq!(Mae::new().value(&sums.to_array()?.to_f64(), 2), 2.0);
    /// assert_eq!(Mae::in_units_of(1000.0).value(&[4.0], 2), 2000.0);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    Mae, "mae", |p, y| (p - y).abs(), |mean| mean
}

error_metric! {
    /// Root mean squared error, `sqrt(mean((y - p)²))`.
    ///
    /// ```
    /// use gradus_core::Tensor;
    /// use gradus_train::{Metric, Rmse};
    /// let sums = Rmse::new().record(&Tensor::from([[4.0], [5.0]]), &Tensor::from([[1.0], [1.0]]));
    /// assert_eq!(Rmse::new().value(&sums.to_array()?.to_f64(), 2), 12.5_f64.sqrt());
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    Rmse, "rmse", |p, y| (p - y).square(), |mean| mean.sqrt()
}

/// Mean squared error, `mean((y - p)²)`; it is in the square of the targets' unit.
///
/// ```
/// use gradus_core::Tensor;
/// use gradus_train::{Meter, Mse};
/// let mut mse = Meter::new(Mse::new());
/// mse.add_batch(&Tensor::from([[4.0], [5.0]]), &Tensor::from([[1.0], [1.0]]))?;
/// assert_eq!(mse.value(), 12.5);
/// # Ok::<(), gradus_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Mse;

impl Mse {
    /// Mean squared error.
    pub fn new() -> Mse {
        Mse
    }
}

impl Metric for Mse {
    fn name(&self) -> &str {
        "mse"
    }

    fn record(&self, prediction: &Tensor, target: &Tensor) -> Tensor {
        Rmse::new().record(prediction, target)
    }

    fn value(&self, sums: &[f64], samples: usize) -> f64 {
        sums.iter().sum::<f64>() / samples as f64
    }

    fn check(&self, targets: &Array) -> Result<()> {
        values_only("mse", targets)
    }
}

/// Mean absolute error as a fraction of the target, `mean(|y - p| / |y|)`: 0.1 is 10 %.
///
/// As in scikit-learn a target of 0 counts as 2.2e-16, so that one missed 0 shows; the metric is for
/// targets that are far from 0.
///
/// ```
/// use gradus_core::Tensor;
/// use gradus_train::{Mape, Meter};
/// let mut mape = Meter::new(Mape::new());
/// mape.add_batch(&Tensor::from([[90.0], [5.0]]), &Tensor::from([[100.0], [4.0]]))?;
/// assert!((mape.value() - 0.175).abs() < 1e-12);
/// # Ok::<(), gradus_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Mape;

impl Mape {
    /// Mean absolute percentage error.
    pub fn new() -> Mape {
        Mape
    }
}

impl Metric for Mape {
    fn name(&self) -> &str {
        "mape"
    }

    fn record(&self, prediction: &Tensor, target: &Tensor) -> Tensor {
        match columns("mape", prediction, target) {
            Ok((p, y)) => ((p - &y).abs() / y.abs().maximum(f64::EPSILON)).mean_dim(-1).sum(),
            Err(failed) => failed,
        }
    }

    fn value(&self, sums: &[f64], samples: usize) -> f64 {
        sums.iter().sum::<f64>() / samples as f64
    }

    fn check(&self, targets: &Array) -> Result<()> {
        values_only("mape", targets)
    }
}

/// How good predicted values are, from one pair after the other. In f64; parts can be merged.
///
/// ```
/// use gradus_train::RegressionScores;
/// let mut scores = RegressionScores::new();
/// for (truth, predicted) in [(3.0, 2.5), (-0.5, 0.0), (2.0, 2.0), (7.0, 8.0)] {
///     scores.add(truth, predicted);
/// }
/// assert!((scores.r2() - 0.948608).abs() < 1e-6);
/// assert_eq!((scores.mae(), scores.rmse()), (0.5, 0.375_f64.sqrt()));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RegressionScores {
    samples: u64,
    mean: f64,
    /// Squares around the mean.
    around: f64,
    squares: f64,
    absolute: f64,
    /// Absolute errors as fractions of the truth.
    relative: f64,
}

impl RegressionScores {
    /// Nothing measured yet.
    pub fn new() -> RegressionScores {
        RegressionScores::default()
    }

    /// Adds a value and its prediction.
    pub fn add(&mut self, truth: f64, predicted: f64) {
        self.samples += 1;
        // Welford, 1962: no large sums that cancel.
        let before = truth - self.mean;
        self.mean += before / self.samples as f64;
        self.around += before * (truth - self.mean);
        let error = predicted - truth;
        self.squares += error * error;
        self.absolute += error.abs();
        self.relative += error.abs() / truth.abs().max(f64::EPSILON);
    }

    /// Adds what was measured on other samples.
    pub fn merge(&mut self, other: &RegressionScores) {
        if other.samples == 0 {
            return;
        }
        if self.samples == 0 {
            *self = *other;
            return;
        }
        let (a, b) = (self.samples as f64, other.samples as f64);
        let apart = other.mean - self.mean;
        self.mean += apart * b / (a + b);
        self.around += other.around + apart * apart * a * b / (a + b);
        self.samples += other.samples;
        self.squares += other.squares;
        self.absolute += other.absolute;
        self.relative += other.relative;
    }

    /// How many values.
    pub fn samples(&self) -> u64 {
        self.samples
    }

    /// Mean of the true values.
    pub fn mean(&self) -> f64 {
        self.mean
    }

    /// See [`R2`]; NaN without values.
    pub fn r2(&self) -> f64 {
        if self.samples == 0 { f64::NAN } else { r2(self.squares, self.around) }
    }

    /// Mean absolute error.
    pub fn mae(&self) -> f64 {
        self.absolute / self.samples as f64
    }

    /// Mean squared error.
    pub fn mse(&self) -> f64 {
        self.squares / self.samples as f64
    }

    /// See [`Mape`].
    pub fn mape(&self) -> f64 {
        self.relative / self.samples as f64
    }

    /// Root mean squared error.
    pub fn rmse(&self) -> f64 {
        (self.squares / self.samples as f64).sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_merge_to_the_whole() {
        let pairs: Vec<(f64, f64)> =
            (0..100).map(|i| (1e6 + f64::from(i % 7), 1e6 + f64::from(i % 5))).collect();
        let of = |pairs: &[(f64, f64)]| {
            let mut scores = RegressionScores::new();
            pairs.iter().for_each(|&(t, p)| scores.add(t, p));
            scores
        };
        let whole = of(&pairs);
        let mut parts = of(&pairs[..31]);
        parts.merge(&RegressionScores::new());
        parts.merge(&of(&pairs[31..]));
        assert_eq!(parts.samples(), 100);
        assert!((parts.r2() - whole.r2()).abs() < 1e-9, "{parts:?} {whole:?}");
        assert_eq!((parts.mae(), parts.rmse()), (whole.mae(), whole.rmse()));
        let mut none = RegressionScores::new();
        none.merge(&whole);
        assert_eq!(none, whole);
    }

    #[test]
    fn the_metrics_are_those_scores() {
        let (p, y) = ([1.5f32, 2.0, -3.0, 8.25], [1.0f32, 2.5, -2.0, 9.0]);
        let mut scores = RegressionScores::new();
        for (&p, &y) in p.iter().zip(&y) {
            scores.add(f64::from(y), f64::from(p));
        }
        let column = |v: &[f32]| Tensor::from(v).unsqueeze(-1);
        let value = |metric: &dyn Metric| {
            let sums = metric.record(&column(&p), &column(&y)).to_array().unwrap();
            metric.value(&sums.to_f64(), 4)
        };
        assert!((value(&R2::new()) - scores.r2()).abs() < 1e-12);
        assert!((value(&Mae::new()) - scores.mae()).abs() < 1e-12);
        assert!((value(&Mse::new()) - scores.mse()).abs() < 1e-12);
        assert!((value(&Mape::new()) - scores.mape()).abs() < 1e-12);
        assert!((value(&Rmse::new()) - scores.rmse()).abs() < 1e-12);
        let error = R2::new().record(&column(&p), &Tensor::from(&y[..])).check().unwrap_err();
        assert!(error.title().contains("[4, 1] and target [4]"), "{error}");
    }

    #[test]
    fn equal_targets_have_no_variance_to_explain() {
        let mut scores = RegressionScores::new();
        assert!(scores.r2().is_nan());
        scores.add(5.0, 5.0);
        assert_eq!(scores.r2(), 1.0);
        scores.add(5.0, 6.0);
        assert_eq!(scores.r2(), 0.0);
    }
}
