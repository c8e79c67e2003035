//! Areas under curves of all thresholds. They need every score, not only sums of batches.

use std::cmp::Ordering;

use gradus_core::{Array, Code, DType, Error, Result, Tensor};

use super::{Pair, classes_only, pair};
use crate::metric::Metric;

/// Scores with their truth, in groups of equal scores from the largest down: how many of a group are
/// true, how many are not. None if a score is NaN.
fn groups(pairs: &mut [(f64, bool)]) -> Option<Vec<(u64, u64)>> {
    if pairs.iter().any(|(score, _)| score.is_nan()) {
        return None;
    }
    pairs.sort_unstable_by(|a, b| b.0.partial_cmp(&a.0).unwrap_or(Ordering::Equal));
    let equal = pairs.chunk_by(|a, b| a.0 == b.0);
    Some(
        equal
            .map(|group| {
                let yes = group.iter().filter(|(_, truth)| *truth).count();
                (yes as u64, (group.len() - yes) as u64)
            })
            .collect(),
    )
}

/// The area under the ROC curve: the probability that a true sample has a larger score than a false
/// one; equal scores count half. Exact, whatever the order. NaN without samples of both kinds, or
/// with a score that is NaN.
///
/// ```
/// use gradus_train::roc_auc;
/// let area = roc_auc([(0.1, false), (0.4, false), (0.35, true), (0.8, true)]);
/// assert_eq!(area, 0.75);
/// ```
pub fn roc_auc(pairs: impl IntoIterator<Item = (f64, bool)>) -> f64 {
    let mut pairs: Vec<(f64, bool)> = pairs.into_iter().collect();
    let Some(groups) = groups(&mut pairs) else { return f64::NAN };
    // Twice the pairs that are in order, as whole numbers.
    let (mut above, mut ordered) = (0u128, 0u128);
    let mut below = 0u128;
    for (yes, no) in groups {
        let (yes, no) = (u128::from(yes), u128::from(no));
        ordered += no * (2 * above + yes);
        above += yes;
        below += no;
    }
    ordered as f64 / (2 * above * below) as f64
}

/// The area under the curve of precision over recall, as the mean precision at the place of each true
/// sample (scikit-learn's `average_precision_score`, without interpolation). Equal scores are one
/// threshold, so the order does not matter. NaN without true samples, or with a score that is NaN.
///
/// ```
/// use gradus_train::average_precision;
/// let area = average_precision([(0.1, false), (0.4, false), (0.35, true), (0.8, true)]);
/// assert!((area - 5.0 / 6.0).abs() < 1e-12);
/// ```
pub fn average_precision(pairs: impl IntoIterator<Item = (f64, bool)>) -> f64 {
    let mut pairs: Vec<(f64, bool)> = pairs.into_iter().collect();
    let Some(groups) = groups(&mut pairs) else { return f64::NAN };
    let (mut found, mut taken, mut sum) = (0u64, 0u64, 0.0);
    for (yes, no) in groups {
        found += yes;
        taken += yes + no;
        sum += yes as f64 * (found as f64 / taken as f64);
    }
    sum / found as f64
}

/// Records scores and truths, a row a sample: first the scores, then as many truths.
fn record(what: &str, prediction: &Tensor, target: &Tensor) -> Tensor {
    let columns = |x: Tensor, y: Tensor, columns: usize| {
        let rows = x.numel().unwrap_or(0) / columns.max(1);
        let wide = |t: Tensor| t.cast(DType::F64).reshape_to([rows, columns]);
        Tensor::concat(&[&wide(x), &wide(y)], 1)
    };
    // A row has to be a sample, so that the number of samples says how wide it is.
    let several = target.shape().is_ok_and(|s| s.rank() > 2)
        || prediction.shape().is_ok_and(|s| s.rank() > 2);
    if several {
        let title = format!("{what}: a sample has more than one row of scores");
        let help = "`flatten` prediction and target before; scores are [batch, classes]";
        return Tensor::failed(Error::new(Code::Shape, title).help(help));
    }
    match pair(what, prediction, target) {
        Ok(Pair::Classes(x, ids)) => {
            let classes = x.shape().map_or(0, |s| s.last(0));
            if classes == 2 {
                // The difference orders samples as the probability does, without losing digits.
                return columns(x.select(1, 1) - x.select(1, 0), ids, 1);
            }
            // One class against the rest compares samples, so scores have to be probabilities.
            let p = x.cast(DType::F64).softmax(-1);
            columns(p, ids.one_hot(classes), classes)
        }
        Ok(Pair::Binary(x, y)) => {
            let labels = x.shape().map_or(1, |s| if s.rank() == 2 { s.last(0) } else { 1 });
            columns(x, y, labels)
        }
        Err(failed) => failed,
    }
}

/// The mean over the columns in which there is something to find and something else.
fn value(kept: &[f64], samples: usize, area: fn(Vec<(f64, bool)>) -> f64) -> f64 {
    if kept.iter().any(|value| value.is_nan()) {
        return f64::NAN;
    }
    let width = kept.len() / samples.max(1);
    let columns = width / 2;
    let areas = (0..columns).map(|c| {
        let rows = kept.chunks_exact(width.max(1));
        area(rows.filter_map(|row| Some((*row.get(c)?, *row.get(columns + c)? > 0.5))).collect())
    });
    let (mut sum, mut count) = (0.0, 0u32);
    for area in areas {
        if !area.is_nan() {
            sum += area;
            count += 1;
        }
    }
    sum / f64::from(count)
}

macro_rules! area {
    ($(#[$doc:meta])* $name:ident, $text:literal, $area:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default)]
        pub struct $name;

        impl $name {
            /// Over all thresholds.
            pub fn new() -> $name {
                $name
            }
        }

        impl Metric for $name {
            fn name(&self) -> &str {
                $text
            }

            fn record(&self, prediction: &Tensor, target: &Tensor) -> Tensor {
                record($text, prediction, target)
            }

            fn value(&self, kept: &[f64], samples: usize) -> f64 {
                value(kept, samples, |pairs| $area(pairs))
            }

            fn gathers(&self) -> bool {
                true
            }

            fn check(&self, targets: &Array) -> Result<()> {
                classes_only($text, targets)
            }
        }
    };
}

area! {
    /// The area under the ROC curve: the probability that a sample of a class has a larger score than
    /// one of the others, equal scores counting half. 1 is perfect, 0.5 is chance.
    ///
    /// For yes or no and scores of the same shape, `[batch]` or `[batch, labels]` (the mean over the
    /// labels), or for class ids `[batch]` and logits `[batch, classes]`: of two classes it is class
    /// 1 against class 0, of more the mean over one class against the rest, by probabilities
    /// (softmax). Columns without both kinds are left out. Exact: it keeps all scores, 16 bytes a
    /// sample and column. Called `roc_auc`.
    ///
    /// ```
    /// use gradus_core::Tensor;
    /// use gradus_train::{Meter, RocAuc};
    /// let mut area = Meter::new(RocAuc::new());
    /// area.add_batch(&Tensor::from([0.1, 0.4]), &Tensor::from([0, 0]))?;
    /// area.add_batch(&Tensor::from([0.35, 0.8]), &Tensor::from([1, 1]))?;
    /// assert_eq!(area.value(), 0.75);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    RocAuc, "roc_auc", roc_auc
}

area! {
    /// The area under the curve of precision over recall; see [`average_precision`]. It says more
    /// than [`RocAuc`] where one class is rare: chance is as much as that class has. For what, as
    /// [`RocAuc`]. Called `average_precision`.
    AveragePrecision, "average_precision", average_precision
}
