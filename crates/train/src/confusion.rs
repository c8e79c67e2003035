//! Which classes are taken for which, and what follows from it: precision, recall, F1.

use gradus_core::{Array, Code, Error, Result, Tensor};

use crate::metric::Metric;
use crate::scores::{Average, F1};

/// How often each class was taken for each. Parts can be merged.
///
/// ```
/// use gradus_train::Confusion;
/// let mut confusion = Confusion::new(2);
/// for (truth, predicted) in [(0, 0), (0, 1), (1, 1), (1, 1)] {
///     confusion.add(truth, predicted);
/// }
/// assert_eq!(confusion.accuracy(), 0.75);
/// let classes = confusion.classes();
/// assert_eq!((classes[1].precision, classes[1].recall, classes[1].support), (2.0 / 3.0, 1.0, 2));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Confusion {
    classes: usize,
    /// A row a true class.
    counts: Vec<u64>,
}

/// How well one class is told from the others.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct ClassScores {
    /// Of the samples that were taken for this class, the fraction that is of it; 0 if none was.
    pub precision: f64,
    /// Of the samples of this class, the fraction that was taken for it; 0 if there is none.
    pub recall: f64,
    /// The harmonic mean of both; 0 if both are 0.
    pub f1: f64,
    /// Samples of this class.
    pub support: u64,
}

impl Confusion {
    /// Nothing counted yet.
    pub fn new(classes: usize) -> Confusion {
        Confusion { classes, counts: vec![0; classes * classes] }
    }

    /// From the counts as a metric has them, a row a true class.
    pub(crate) fn from_counts(counts: &[f64]) -> Confusion {
        let counts: Vec<u64> = counts.iter().map(|&n| n.round() as u64).collect();
        Confusion { classes: counts.len().isqrt(), counts }
    }

    /// Counts a sample. Classes that do not exist are not counted.
    pub fn add(&mut self, truth: usize, predicted: usize) {
        if truth < self.classes
            && predicted < self.classes
            && let Some(count) = self.counts.get_mut(truth * self.classes + predicted)
        {
            *count += 1;
        }
    }

    /// Counts a batch: logits `[batch, classes]` and class ids `[batch]`.
    ///
    /// # Errors
    /// The error of either tensor; [`Code::Shape`] when their sizes differ.
    pub fn add_batch(&mut self, logits: &Tensor, targets: &Tensor) -> Result<()> {
        let predicted = logits.argmax(-1).to_vec::<i64>()?;
        let targets = targets.to_vec::<i64>()?;
        if predicted.len() != targets.len() {
            let title = format!("{} predictions, but {} targets", predicted.len(), targets.len());
            return Err(Error::new(Code::Shape, title));
        }
        let id = |id: i64| usize::try_from(id).unwrap_or(usize::MAX);
        targets.into_iter().zip(predicted).for_each(|(t, p)| self.add(id(t), id(p)));
        Ok(())
    }

    /// Adds what was counted on other samples, of the same classes.
    pub fn merge(&mut self, other: &Confusion) {
        if self.classes == 0 {
            *self = other.clone();
            return;
        }
        for truth in 0..other.classes.min(self.classes) {
            for predicted in 0..other.classes.min(self.classes) {
                if let Some(count) = self.counts.get_mut(truth * self.classes + predicted) {
                    *count += other.count(truth, predicted);
                }
            }
        }
    }

    /// Number of classes.
    pub fn len(&self) -> usize {
        self.classes
    }

    /// Whether there are no classes.
    pub fn is_empty(&self) -> bool {
        self.classes == 0
    }

    /// Samples of class `truth` that were taken for `predicted`.
    pub fn count(&self, truth: usize, predicted: usize) -> u64 {
        if truth >= self.classes || predicted >= self.classes {
            return 0;
        }
        self.counts.get(truth * self.classes + predicted).copied().unwrap_or(0)
    }

    /// The counts, a row a true class.
    pub fn rows(&self) -> impl Iterator<Item = &[u64]> {
        self.counts.chunks(self.classes.max(1))
    }

    /// All samples.
    pub fn samples(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Samples of a class.
    pub fn support(&self, class: usize) -> u64 {
        (0..self.classes).map(|p| self.count(class, p)).sum()
    }

    /// The fraction of samples whose class is right; NaN without samples.
    pub fn accuracy(&self) -> f64 {
        let right: u64 = (0..self.classes).map(|c| self.count(c, c)).sum();
        right as f64 / self.samples() as f64
    }

    /// How often each class was taken for the right one.
    fn taken(&self) -> Vec<u64> {
        let mut taken = vec![0u64; self.classes];
        for row in self.rows() {
            taken.iter_mut().zip(row).for_each(|(sum, n)| *sum += n);
        }
        taken
    }

    /// The scores of each class.
    pub fn classes(&self) -> Vec<ClassScores> {
        let taken = self.taken();
        let over = |a: u64, b: u64| if b == 0 { 0.0 } else { a as f64 / b as f64 };
        let score = |(class, &taken): (usize, &u64)| {
            let (right, support) = (self.count(class, class), self.support(class));
            ClassScores {
                precision: over(right, taken),
                recall: over(right, support),
                f1: over(2 * right, taken + support),
                support,
            }
        };
        taken.iter().enumerate().map(score).collect()
    }

    /// The mean of the classes' scores, every class counting the same; its support is all samples.
    pub fn macro_average(&self) -> ClassScores {
        self.average(|_| 1.0)
    }

    /// The mean of the classes' scores, each counting as often as it has samples.
    pub fn weighted_average(&self) -> ClassScores {
        self.average(|scores| scores.support as f64)
    }

    /// The scores of the counts of all classes together: as every sample has one class and is taken
    /// for one, precision, recall and F1 are all the accuracy; 0 without samples.
    pub fn micro_average(&self) -> ClassScores {
        let all = if self.samples() == 0 { 0.0 } else { self.accuracy() };
        ClassScores { precision: all, recall: all, f1: all, support: self.samples() }
    }

    /// See [`Mcc`](crate::Mcc).
    pub fn mcc(&self) -> f64 {
        let (taken, n) = (self.taken(), self.samples() as f64);
        let right: u64 = (0..self.classes).map(|c| self.count(c, c)).sum();
        let (mut both, mut there, mut said) = (0.0, 0.0, 0.0);
        for (class, &taken) in taken.iter().enumerate() {
            let (t, p) = (self.support(class) as f64, taken as f64);
            both += t * p;
            there += t * t;
            said += p * p;
        }
        // Whole numbers below 2^53 as long as there are fewer than 90 million samples.
        let spread = (n * n - there) * (n * n - said);
        if spread == 0.0 { 0.0 } else { (right as f64 * n - both) / spread.sqrt() }
    }

    /// See [`Kappa`](crate::Kappa); a mistake counts as the distance of the classes to this power,
    /// so 0 for all alike, 1 linear, 2 quadratic.
    pub fn kappa(&self, power: u32) -> f64 {
        let (taken, n) = (self.taken(), self.samples() as f64);
        let (mut seen, mut chance) = (0.0, 0.0);
        for truth in 0..self.classes {
            let support = self.support(truth) as f64;
            for (predicted, &taken) in taken.iter().enumerate().filter(|(p, _)| *p != truth) {
                let weight = (truth.abs_diff(predicted) as f64).powi(power as i32);
                seen += weight * self.count(truth, predicted) as f64;
                chance += weight * support * taken as f64 / n;
            }
        }
        1.0 - seen / chance
    }

    /// Of the samples that are of a class or were taken for it, the fraction that is both; NaN if
    /// there are none. See [`Iou`](crate::Iou).
    pub fn iou(&self, class: usize) -> f64 {
        let both = self.count(class, class);
        let taken = self.taken().get(class).copied().unwrap_or(0);
        both as f64 / (self.support(class) + taken - both) as f64
    }

    /// The mean of [`Confusion::iou`] over the classes that occur.
    pub fn mean_iou(&self) -> f64 {
        let each: Vec<f64> =
            (0..self.classes).map(|c| self.iou(c)).filter(|iou| !iou.is_nan()).collect();
        each.iter().sum::<f64>() / each.len() as f64
    }

    fn average(&self, weight: impl Fn(&ClassScores) -> f64) -> ClassScores {
        let classes = self.classes();
        let total: f64 = classes.iter().map(&weight).sum();
        let mean = |of: fn(&ClassScores) -> f64| {
            let sum: f64 = classes.iter().map(|c| of(c) * weight(c)).sum();
            if total > 0.0 { sum / total } else { 0.0 }
        };
        ClassScores {
            precision: mean(|c| c.precision),
            recall: mean(|c| c.recall),
            f1: mean(|c| c.f1),
            support: self.samples(),
        }
    }

    /// What a class is most often taken for, and how often; `None` if it never is.
    pub fn most_often(&self, truth: usize) -> Option<(usize, u64)> {
        (0..self.classes)
            .filter(|&p| p != truth)
            .map(|p| (p, self.count(truth, p)))
            .filter(|&(_, n)| n > 0)
            .max_by_key(|&(p, n)| (n, std::cmp::Reverse(p)))
    }

    /// The mistakes as (true class, predicted class, how often), the most frequent first.
    pub fn mistakes(&self) -> Vec<(usize, usize, u64)> {
        let mut pairs: Vec<(usize, usize, u64)> = (0..self.classes)
            .flat_map(|t| (0..self.classes).map(move |p| (t, p)))
            .filter(|(t, p)| t != p)
            .map(|(t, p)| (t, p, self.count(t, p)))
            .filter(|&(.., n)| n > 0)
            .collect();
        pairs.sort_by_key(|&(t, p, n)| (std::cmp::Reverse(n), t, p));
        pairs
    }
}

/// The mean F1 of all classes, each counting the same; see [`ClassScores`].
///
/// Unlike [`Accuracy`](crate::Accuracy) it does not let a large class hide the small ones. The short
/// form of [`F1`] with [`Average::Macro`].
///
/// ```
/// use gradus_core::Tensor;
/// use gradus_train::{MacroF1, Metric};
/// let logits = Tensor::from([[2.0, 1.0], [0.0, 3.0], [5.0, 4.0], [0.0, 1.0]]);
/// let counts = MacroF1::new().record(&logits, &Tensor::from([0, 1, 1, 1])).to_array()?.to_f64();
/// assert!((MacroF1::new().value(&counts, 4) - (2.0 / 3.0 + 0.8) / 2.0).abs() < 1e-12);
/// # Ok::<(), gradus_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct MacroF1;

impl MacroF1 {
    /// Macro F1.
    pub fn new() -> MacroF1 {
        MacroF1
    }
}

impl Metric for MacroF1 {
    fn name(&self) -> &str {
        "macro_f1"
    }

    fn record(&self, prediction: &Tensor, target: &Tensor) -> Tensor {
        F1::new(Average::Macro).record(prediction, target)
    }

    fn value(&self, sums: &[f64], _: usize) -> f64 {
        Confusion::from_counts(sums).macro_average().f1
    }

    fn check(&self, targets: &Array) -> Result<()> {
        F1::new(Average::Macro).check(targets)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values of scikit-learn's `classification_report` for the same counts.
    #[test]
    fn the_scores_are_scikit_learns() {
        let mut confusion = Confusion::new(3);
        let counts = [[5, 1, 0], [2, 3, 0], [0, 4, 0]];
        for (t, row) in counts.iter().enumerate() {
            for (p, &n) in row.iter().enumerate() {
                (0..n).for_each(|_| confusion.add(t, p));
            }
        }
        let classes = confusion.classes();
        let near = |a: f64, b: f64| assert!((a - b).abs() < 1e-12, "{a} {b}");
        near(classes[0].precision, 5.0 / 7.0);
        near(classes[0].recall, 5.0 / 6.0);
        near(classes[0].f1, 10.0 / 13.0);
        near(classes[1].precision, 3.0 / 8.0);
        near(classes[1].f1, 6.0 / 13.0);
        // A class that is never predicted has precision 0, not NaN.
        assert_eq!((classes[2].precision, classes[2].recall, classes[2].f1), (0.0, 0.0, 0.0));
        near(confusion.accuracy(), 8.0 / 15.0);
        near(confusion.macro_average().f1, 16.0 / 39.0);
        near(confusion.weighted_average().recall, 8.0 / 15.0);
        assert_eq!(confusion.most_often(2), Some((1, 4)));
        assert_eq!(confusion.mistakes(), [(2, 1, 4), (1, 0, 2), (0, 1, 1)]);
    }

    #[test]
    fn parts_merge_and_strangers_are_not_counted() {
        let mut a = Confusion::new(2);
        a.add(0, 1);
        a.add(7, 1);
        let mut b = Confusion::default();
        b.merge(&a);
        b.merge(&a);
        assert_eq!((b.count(0, 1), b.samples(), b.count(3, 0)), (2, 2, 0));
        assert!(Confusion::new(2).accuracy().is_nan());
        let logits = Tensor::from([[1.0, 0.0]]);
        assert!(a.add_batch(&logits, &Tensor::from([0, 1])).is_err());
    }
}
