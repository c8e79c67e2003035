//! How good the probabilities of a classifier are, not only which class is first.

use gradus_core::{Array, DType, Result, Tensor};

use super::{Pair, classes_only, pair};
use crate::metric::Metric;

/// What a model gives: logits, or probabilities because it ends in a softmax or sigmoid.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum From {
    #[default]
    Logits,
    Probabilities,
}

/// The sum of single values and how many they are.
fn sum_and_count(values: &Tensor) -> Tensor {
    let count = Tensor::from(values.numel().unwrap_or(0) as f64).cast(DType::F64);
    Tensor::stack(&[&values.sum(), &count], 0)
}

/// The mean, from those.
fn mean(sums: &[f64]) -> f64 {
    match sums {
        [sum, count] => sum / count,
        _ => f64::NAN,
    }
}

/// In f64, between what a logarithm can take, as scikit-learn does: no nearer to 0 or 1 than the
/// type of the probabilities can tell from 1.
fn inside(p: &Tensor) -> Tensor {
    let wide = p.cast(DType::F64);
    let least = match p.dtype() {
        Ok(DType::F64) => f64::EPSILON,
        _ => f64::from(f32::EPSILON),
    };
    wide.clamp(least, 1.0 - least)
}

/// The negative logarithm of the probability of each sample's class.
fn surprise(
    what: &str,
    from: From,
    prediction: &Tensor,
    target: &Tensor,
) -> Result<Tensor, Tensor> {
    Ok(match (pair(what, prediction, target)?, from) {
        (Pair::Classes(x, ids), From::Logits) => x.cast(DType::F64).cross_entropy_rows(&ids),
        (Pair::Classes(p, ids), From::Probabilities) => {
            -inside(&p).gather(-1, &ids.unsqueeze(-1)).log()
        }
        (Pair::Binary(x, y), From::Logits) => {
            // max(x, 0) - x y + ln(1 + e^-|x|)
            let (x, y) = (x.cast(DType::F64), y.cast(DType::F64));
            x.relu() - &x * y + (-x.abs()).exp().log1p()
        }
        (Pair::Binary(p, y), From::Probabilities) => {
            let (p, y) = (inside(&p), y.cast(DType::F64));
            -(&y * p.log() + (1.0 - &y) * (1.0 - p).log())
        }
    })
}

macro_rules! from {
    ($name:ident) => {
        impl $name {
            /// The model gives probabilities, not logits.
            #[must_use]
            pub fn probabilities(mut self) -> $name {
                self.from = From::Probabilities;
                self
            }
        }
    };
}

/// The mean of `-ln p`, `p` being the probability that was given to what is true; in nats. It is
/// what cross-entropy minimises, here of probabilities too, and in f64. Called `log_loss`.
///
/// For logits `[batch, classes]` and class ids, or for logits and yes or no of the same shape. A
/// probability of 0 counts as the smallest difference to 1 of its type, as in scikit-learn.
///
/// ```
/// use gradus_core::Tensor;
/// use gradus_train::{LogLoss, Meter};
/// let mut loss = Meter::new(LogLoss::new().probabilities());
/// loss.add_batch(&Tensor::from([[0.5, 0.5], [0.2, 0.8]]), &Tensor::from([0, 1]))?;
/// assert!((loss.value() + (0.5f64 * 0.8).ln() / 2.0).abs() < 1e-7);
/// # Ok::<(), gradus_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct LogLoss {
    from: From,
}

impl LogLoss {
    /// Of logits.
    pub fn new() -> LogLoss {
        LogLoss::default()
    }
}

from!(LogLoss);

impl Metric for LogLoss {
    fn name(&self) -> &str {
        "log_loss"
    }

    fn record(&self, prediction: &Tensor, target: &Tensor) -> Tensor {
        match surprise("log_loss", self.from, prediction, target) {
            Ok(losses) => sum_and_count(&losses),
            Err(failed) => failed,
        }
    }

    fn value(&self, sums: &[f64], _: usize) -> f64 {
        mean(sums)
    }

    fn check(&self, targets: &Array) -> Result<()> {
        classes_only("log_loss", targets)
    }
}

/// `e` to the mean surprise: among how many equally likely tokens a language model is unsure. For
/// logits `[batch, vocabulary]`, `[batch, vocabulary, time]` or `[batch, time, vocabulary]` and ids.
/// Called `perplexity`.
///
/// ```
/// use gradus_core::Tensor;
/// use gradus_train::{Meter, Perplexity};
/// let mut p = Meter::new(Perplexity::new().ignore_index(0));
/// p.add_batch(&Tensor::zeros([2, 3, 8]), &Tensor::from([[1, 2, 0], [5, 0, 0]]))?;
/// assert!((p.value() - 8.0).abs() < 1e-12);
/// # Ok::<(), gradus_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Perplexity {
    from: From,
    ignored: Option<i64>,
}

impl Perplexity {
    /// Of logits.
    pub fn new() -> Perplexity {
        Perplexity::default()
    }

    /// An id in the target that does not count, such as that of padding.
    #[must_use]
    pub fn ignore_index(self, id: i64) -> Perplexity {
        Perplexity { ignored: Some(id), ..self }
    }
}

from!(Perplexity);

impl Metric for Perplexity {
    fn name(&self) -> &str {
        "perplexity"
    }

    fn record(&self, prediction: &Tensor, target: &Tensor) -> Tensor {
        let keep = self.ignored.map(|id| target.ne(id));
        let safe = keep.as_ref().map(|keep| keep.where_(target, 0));
        let target = safe.as_ref().unwrap_or(target);
        match (surprise("perplexity", self.from, prediction, target), keep) {
            (Ok(losses), None) => sum_and_count(&losses),
            (Ok(losses), Some(keep)) => {
                let keep = keep.flatten(0);
                let sum = keep.where_(losses.flatten(0), 0.0).sum();
                Tensor::stack(&[&sum, &keep.cast(DType::F64).sum()], 0)
            }
            (Err(failed), _) => failed,
        }
    }

    fn value(&self, sums: &[f64], _: usize) -> f64 {
        libm::exp(mean(sums))
    }

    fn check(&self, targets: &Array) -> Result<()> {
        classes_only("perplexity", targets)
    }
}

/// Brier's score, the mean squared error of probabilities: 0 is perfect. Called `brier`.
///
/// Of yes or no it is `mean((p - y)²)`, from 0 to 1; of class ids and `[batch, classes]` it is
/// `mean(sum_c (p[c] - [c is the class])²)`, from 0 to 2, as Brier has it, 1950. So two classes given
/// as ids have twice the score of the same as yes or no.
///
/// ```
/// use gradus_core::Tensor;
/// use gradus_train::{Brier, Meter};
/// let mut score = Meter::new(Brier::new().probabilities());
/// score.add_batch(&Tensor::from([0.5, 0.0]), &Tensor::from([1, 0]))?;
/// assert_eq!(score.value(), 0.125);
/// # Ok::<(), gradus_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Brier {
    from: From,
}

impl Brier {
    /// Of logits.
    pub fn new() -> Brier {
        Brier::default()
    }
}

from!(Brier);

/// Probabilities in f64.
fn probabilities(pair: Pair, from: From) -> Pair {
    let wide = |t: Tensor| t.cast(DType::F64);
    match (pair, from) {
        (Pair::Classes(x, ids), From::Logits) => Pair::Classes(wide(x).softmax(-1), ids),
        (Pair::Classes(p, ids), From::Probabilities) => Pair::Classes(wide(p), ids),
        (Pair::Binary(x, y), From::Logits) => Pair::Binary(wide(x).sigmoid(), y),
        (Pair::Binary(p, y), From::Probabilities) => Pair::Binary(wide(p), y),
    }
}

impl Metric for Brier {
    fn name(&self) -> &str {
        "brier"
    }

    fn record(&self, prediction: &Tensor, target: &Tensor) -> Tensor {
        match pair("brier", prediction, target).map(|pair| probabilities(pair, self.from)) {
            Ok(Pair::Classes(p, ids)) => {
                let classes = p.shape().map_or(0, |s| s.last(0));
                sum_and_count(&(p - ids.one_hot(classes)).square().sum_dim(-1))
            }
            Ok(Pair::Binary(p, y)) => sum_and_count(&(p - y.cast(DType::F64)).square()),
            Err(failed) => failed,
        }
    }

    fn value(&self, sums: &[f64], _: usize) -> f64 {
        mean(sums)
    }

    fn check(&self, targets: &Array) -> Result<()> {
        classes_only("brier", targets)
    }
}

/// The expected calibration error: how far stated probabilities are from how often they come true,
/// 0 is perfect. Called `calibration_error`, or `max_calibration_error`.
///
/// Of class ids, the probability of the predicted class is compared with how often it is right; of
/// yes or no, that of yes with how often it is yes. Samples go into equal bins of probability,
/// `(i/n, (i+1)/n]`; the result is the mean over samples of their bin's difference.
///
/// Source: Guo and others, *On calibration of modern neural networks*, 2017.
///
/// ```
/// use gradus_core::Tensor;
/// use gradus_train::{CalibrationError, Meter};
/// let mut error = Meter::new(CalibrationError::new(10).probabilities());
/// error.add_batch(&Tensor::from([0.75, 0.75, 0.25, 0.25]), &Tensor::from([1, 0, 0, 0]))?;
/// assert_eq!(error.value(), 0.25);
/// # Ok::<(), gradus_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct CalibrationError {
    bins: usize,
    worst: bool,
    from: From,
}

impl Default for CalibrationError {
    fn default() -> CalibrationError {
        CalibrationError::new(15)
    }
}

impl CalibrationError {
    /// With so many bins, at least 1; 15 is usual. Of logits.
    pub fn new(bins: usize) -> CalibrationError {
        CalibrationError { bins: bins.max(1), worst: false, from: From::Logits }
    }

    /// The largest difference of a bin instead of the mean.
    #[must_use]
    pub fn max(self) -> CalibrationError {
        CalibrationError { worst: true, ..self }
    }
}

from!(CalibrationError);

impl Metric for CalibrationError {
    fn name(&self) -> &str {
        if self.worst { "max_calibration_error" } else { "calibration_error" }
    }

    /// For each bin: how many samples, their probabilities, how many came true.
    fn record(&self, prediction: &Tensor, target: &Tensor) -> Tensor {
        let (sure, right) = match pair(self.name(), prediction, target) {
            Ok(pair) => match probabilities(pair, self.from) {
                Pair::Classes(p, ids) => (p.max_dim(-1), p.argmax(-1).eq(ids)),
                Pair::Binary(p, y) => (p.flatten(0), y.gt(0.5).flatten(0)),
            },
            Err(failed) => return failed,
        };
        let last = (self.bins - 1) as f64;
        let bin = ((&sure * self.bins as f64).ceil() - 1.0).clamp(0.0, last).cast(DType::I64);
        let bins = bin.one_hot(self.bins).cast(DType::F64);
        let sum = |of: Tensor| (&bins * of.unsqueeze(-1)).sum_dim(0);
        Tensor::concat(&[&bins.sum_dim(0), &sum(sure), &sum(right.cast(DType::F64))], 0)
    }

    fn value(&self, sums: &[f64], _: usize) -> f64 {
        let (count, rest) = sums.split_at(self.bins.min(sums.len()));
        let (sure, right) = rest.split_at(self.bins.min(rest.len()));
        let bins = count.iter().zip(sure).zip(right).filter(|((n, _), _)| **n > 0.0);
        let apart = bins.map(|((&n, &sure), &right)| (n, (sure - right).abs()));
        if self.worst {
            return apart.map(|(n, d)| d / n).fold(f64::NAN, f64::max);
        }
        apart.map(|(_, d)| d).sum::<f64>() / count.iter().sum::<f64>()
    }

    fn check(&self, targets: &Array) -> Result<()> {
        classes_only(self.name(), targets)
    }
}
