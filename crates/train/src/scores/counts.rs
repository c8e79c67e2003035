//! Metrics that follow from which classes are taken for which.

use gradus_core::{Array, DType, Result, Tensor};

use super::{Pair, classes_only, pair};
use crate::confusion::{ClassScores, Confusion};
use crate::metric::Metric;

/// How the scores of classes become one number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Average {
    /// Their mean, every class counting the same.
    #[default]
    Macro,
    /// One score from the counts of all classes together. With one class a sample that is accuracy.
    Micro,
    /// Their mean, each class counting as often as it has samples.
    Weighted,
    /// The score of one class; of yes and no, yes is class 1.
    Class(usize),
}

impl Average {
    fn name(self, of: &str) -> String {
        match self {
            Average::Macro => format!("macro_{of}"),
            Average::Micro => format!("micro_{of}"),
            Average::Weighted => format!("weighted_{of}"),
            Average::Class(1) => of.to_string(),
            Average::Class(class) => format!("{of}_of_class_{class}"),
        }
    }

    fn of(self, confusion: &Confusion) -> ClassScores {
        match self {
            Average::Macro => confusion.macro_average(),
            Average::Micro => confusion.micro_average(),
            Average::Weighted => confusion.weighted_average(),
            Average::Class(class) => confusion.classes().get(class).copied().unwrap_or_default(),
        }
    }
}

/// Records the counts of a batch, a row a true class; ids that are ignored are not counted.
fn counts(
    what: &str,
    prediction: &Tensor,
    target: &Tensor,
    threshold: f64,
    ignored: Option<i64>,
) -> Tensor {
    let (predicted, truth, classes) = match pair(what, prediction, target) {
        Ok(Pair::Classes(x, ids)) => {
            let classes = x.shape().map_or(0, |s| s.last(0));
            (x.argmax(-1), ids, classes)
        }
        Ok(Pair::Binary(x, y)) => {
            let yes = y.gt(0.5).cast(DType::I64).flatten(0);
            (x.gt(threshold).cast(DType::I64).flatten(0), yes, 2)
        }
        Err(failed) => return failed,
    };
    // A batch has fewer than 2^24 samples, so its counts are exact in f32.
    let truth = match ignored {
        None => truth.one_hot(classes),
        Some(id) => {
            let keep = truth.ne(id);
            let safe = keep.where_(&truth, 0).one_hot(classes);
            safe * keep.cast(DType::F32).unsqueeze(-1)
        }
    };
    truth.t().matmul(predicted.one_hot(classes)).flatten(0)
}

macro_rules! threshold {
    () => {
        /// Predictions of yes or no count as yes above a threshold: 0.5 for probabilities, as a model
        /// has that ends in a sigmoid. It is 0, as for logits, unless it is given.
        #[must_use]
        pub fn threshold(mut self, threshold: f64) -> Self {
            self.threshold = threshold;
            self
        }
    };
}

macro_rules! averaged {
    ($(#[$doc:meta])* $name:ident, $text:literal, $field:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug)]
        pub struct $name {
            average: Average,
            threshold: f64,
            name: String,
        }

        impl Default for $name {
            fn default() -> $name {
                $name::new(Average::Macro)
            }
        }

        impl $name {
            /// With this average; the metric's name says which.
            pub fn new(average: Average) -> $name {
                $name { average, threshold: 0.0, name: average.name($text) }
            }

            threshold!();
        }

        impl Metric for $name {
            fn name(&self) -> &str {
                &self.name
            }

            fn record(&self, prediction: &Tensor, target: &Tensor) -> Tensor {
                counts(&self.name, prediction, target, self.threshold, None)
            }

            fn value(&self, sums: &[f64], _: usize) -> f64 {
                self.average.of(&Confusion::from_counts(sums)).$field
            }

            fn check(&self, targets: &Array) -> Result<()> {
                classes_only(&self.name, targets)
            }
        }
    };
}

averaged! {
    /// Of the samples that were taken for a class, the fraction that is of it; 0 if none was.
    ///
    /// For logits and class ids, or for logits and yes or no (then class 1 is yes). Called
    /// `macro_precision`, `micro_precision`, `weighted_precision`, or `precision` for
    /// [`Average::Class`] 1.
    ///
    /// ```
    /// use gradus_core::Tensor;
    /// use gradus_train::{Average, Meter, Precision};
    /// let mut yes = Meter::new(Precision::new(Average::Class(1)));
    /// yes.add_batch(&Tensor::from([[2.0], [1.0], [-1.0]]), &Tensor::from([[1.0], [0.0], [1.0]]))?;
    /// assert_eq!(yes.value(), 0.5);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    Precision, "precision", precision
}

averaged! {
    /// Of the samples of a class, the fraction that was taken for it; 0 if there is none. The macro
    /// average is also called balanced accuracy. For what, and its names, as [`Precision`].
    Recall, "recall", recall
}

averaged! {
    /// The harmonic mean of precision and recall, `2 right / (taken + there)`; 0 if both are 0. For
    /// what, and its names, as [`Precision`].
    F1, "f1", f1
}

/// Matthews' correlation of predicted and true classes: 1 is perfect, 0 no better than chance, also
/// where one class is rare. For any number of classes (Gorodkin, 2004); called `mcc`.
///
/// 0 where it is not defined (everything is one class, or is taken for one), as in scikit-learn.
///
/// ```
/// use gradus_core::Tensor;
/// use gradus_train::{Mcc, Meter};
/// let mut mcc = Meter::new(Mcc::new());
/// let y = Tensor::from([[1.0], [1.0], [1.0], [0.0]]);
/// mcc.add_batch(&Tensor::from([[1.0], [-1.0], [1.0], [1.0]]), &y)?;
/// assert!((mcc.value() + 1.0 / 3.0).abs() < 1e-12);
/// # Ok::<(), gradus_core::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Mcc {
    threshold: f64,
}

impl Mcc {
    /// Matthews' correlation.
    pub fn new() -> Mcc {
        Mcc::default()
    }

    threshold!();
}

impl Metric for Mcc {
    fn name(&self) -> &str {
        "mcc"
    }

    fn record(&self, prediction: &Tensor, target: &Tensor) -> Tensor {
        counts("mcc", prediction, target, self.threshold, None)
    }

    fn value(&self, sums: &[f64], _: usize) -> f64 {
        Confusion::from_counts(sums).mcc()
    }

    fn check(&self, targets: &Array) -> Result<()> {
        classes_only("mcc", targets)
    }
}

/// Cohen's kappa: how much more often predicted and true class agree than they would by chance; 1 is
/// perfect, 0 is chance. Called `kappa`, `linear_kappa` or `quadratic_kappa`.
///
/// NaN where chance already agrees always.
///
/// Source: Cohen, 1960; with weights for ordered classes, Cohen, 1968.
#[derive(Clone, Copy, Debug, Default)]
pub struct Kappa {
    power: u32,
    threshold: f64,
}

impl Kappa {
    /// Every mistake counts the same.
    pub fn new() -> Kappa {
        Kappa::default()
    }

    /// For ordered classes: a mistake counts as far as it is off.
    #[must_use]
    pub fn linear(self) -> Kappa {
        Kappa { power: 1, ..self }
    }

    /// For ordered classes: a mistake counts as the square of how far it is off.
    #[must_use]
    pub fn quadratic(self) -> Kappa {
        Kappa { power: 2, ..self }
    }

    threshold!();
}

impl Metric for Kappa {
    fn name(&self) -> &str {
        match self.power {
            0 => "kappa",
            1 => "linear_kappa",
            _ => "quadratic_kappa",
        }
    }

    fn record(&self, prediction: &Tensor, target: &Tensor) -> Tensor {
        counts(self.name(), prediction, target, self.threshold, None)
    }

    fn value(&self, sums: &[f64], _: usize) -> f64 {
        Confusion::from_counts(sums).kappa(self.power)
    }

    fn check(&self, targets: &Array) -> Result<()> {
        classes_only(self.name(), targets)
    }
}

/// Intersection over union (Jaccard): of what is of a class or is taken for it, the fraction that is
/// both. For segmentation: logits `[batch, classes, ..]` and class ids `[batch, ..]`, or a mask.
///
/// The mean over the classes that occur (in truth or in predictions), `mean_iou`; or that of one
/// class, `iou` for class 1.
///
/// ```
/// use gradus_core::Tensor;
/// use gradus_train::{Iou, Meter};
/// let mut iou = Meter::new(Iou::mean().ignore_index(255));
/// let logits = Tensor::from([[[2.0, 2.0, 0.0, 0.0], [0.0, 0.0, 2.0, 2.0]]]);
/// iou.add_batch(&logits, &Tensor::from([[0, 1, 1, 255]]))?;
/// assert_eq!(iou.value(), 0.5);
/// # Ok::<(), gradus_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Iou {
    class: Option<usize>,
    threshold: f64,
    ignored: Option<i64>,
    name: String,
}

impl Default for Iou {
    fn default() -> Iou {
        Iou::mean()
    }
}

impl Iou {
    /// The mean over classes.
    pub fn mean() -> Iou {
        Iou { class: None, threshold: 0.0, ignored: None, name: "mean_iou".to_string() }
    }

    /// That of one class; of yes and no, yes is class 1.
    pub fn of(class: usize) -> Iou {
        Iou { class: Some(class), name: Average::Class(class).name("iou"), ..Iou::mean() }
    }

    /// A class id in the target that does not count, such as that of borders.
    #[must_use]
    pub fn ignore_index(self, id: i64) -> Iou {
        Iou { ignored: Some(id), ..self }
    }

    threshold!();
}

impl Metric for Iou {
    fn name(&self) -> &str {
        &self.name
    }

    fn record(&self, prediction: &Tensor, target: &Tensor) -> Tensor {
        counts(&self.name, prediction, target, self.threshold, self.ignored)
    }

    fn value(&self, sums: &[f64], _: usize) -> f64 {
        let confusion = Confusion::from_counts(sums);
        match self.class {
            None => confusion.mean_iou(),
            Some(class) => confusion.iou(class),
        }
    }

    fn check(&self, targets: &Array) -> Result<()> {
        classes_only(&self.name, targets)
    }
}
