//! What is measured beside the loss, and measurements by name.

use std::fmt;

use gradus_core::{Array, Code, DType, Error, Result, Tensor, no_grad};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};

/// A number that says how good a model is, made from sums over samples.
///
/// Each batch gives sums as a small tensor, which is recorded before the training step and so
/// joins its plan. Sums of batches add up, so a metric is exact however the data is cut, and parts
/// can be merged.
///
/// ```
/// use gradus_core::Tensor;
/// use gradus_train::Metric;
///
/// /// Mean absolute error of predictions `[batch, 1]`.
/// struct Mae;
/// impl Metric for Mae {
///     fn name(&self) -> &str {
///         "mae"
///     }
///     fn record(&self, prediction: &Tensor, target: &Tensor) -> Tensor {
///         (prediction - target).abs().sum()
///     }
///     fn value(&self, sums: &[f64], samples: usize) -> f64 {
///         sums.iter().sum::<f64>() / samples as f64
///     }
/// }
/// assert_eq!(Mae.value(&[3.0], 4), 0.75);
/// ```
pub trait Metric: Send + Sync {
    /// The name, without the part: `accuracy` becomes `train.accuracy` and `valid.accuracy`.
    fn name(&self) -> &str;

    /// Records the sums of a batch, a small tensor of any shape. Without gradients.
    fn record(&self, prediction: &Tensor, target: &Tensor) -> Tensor;

    /// The value from the sums of all batches (or all that was gathered), and how many samples they
    /// were.
    fn value(&self, sums: &[f64], samples: usize) -> f64;

    /// Whether [`Metric::value`] needs what every batch recorded, one after the other, instead of
    /// its sum; then each sample must give the same number of values. For what no sums can say, such
    /// as [`RocAuc`](crate::RocAuc); it needs memory for all of a part.
    fn gathers(&self) -> bool {
        false
    }

    /// Looks at some targets before the training begins.
    ///
    /// # Errors
    /// When the metric makes no sense for them.
    fn check(&self, _targets: &Array) -> Result<()> {
        Ok(())
    }
}

/// The fraction of samples whose class is right, from 0 to 1.
///
/// With class ids as targets, the class of a prediction is its largest logit (`[batch, classes]`).
/// With targets of the prediction's shape that are 0 or 1, it is whether the logit is above 0.
///
/// ```
/// use gradus_core::Tensor;
/// use gradus_train::{Accuracy, Metric};
/// let logits = Tensor::from([[2.0, 1.0], [0.0, 3.0], [5.0, 4.0]]);
/// let right = Accuracy::new().record(&logits, &Tensor::from([0, 1, 1]));
/// assert_eq!(right.item()?, 2.0);
/// let binary = Accuracy::new().record(&Tensor::from([[0.5], [-2.0]]), &Tensor::from([[1.0], [1.0]]));
/// assert_eq!(binary.item()?, 1.0);
/// # Ok::<(), gradus_core::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Accuracy {
    threshold: Option<f64>,
}

impl Accuracy {
    /// Accuracy of logits.
    pub fn new() -> Accuracy {
        Accuracy::default()
    }

    /// Accuracy of two-class predictions that count as class 1 above a threshold: 0.5 for
    /// probabilities, as a model has that ends in a sigmoid.
    pub fn threshold(threshold: f64) -> Accuracy {
        Accuracy { threshold: Some(threshold) }
    }
}

impl Metric for Accuracy {
    fn name(&self) -> &str {
        "accuracy"
    }

    fn record(&self, prediction: &Tensor, target: &Tensor) -> Tensor {
        let (p, t) = match (prediction.shape(), target.shape()) {
            (Ok(p), Ok(t)) => (p, t),
            (Err(error), _) | (_, Err(error)) => return Tensor::failed(error),
        };
        let ids = p.rank() == t.rank() + 1 && p.dims().starts_with(t.dims());
        let right = if ids && self.threshold.is_none() {
            prediction.argmax(-1).eq(target.cast(DType::I64))
        } else if p == t {
            prediction.gt(self.threshold.unwrap_or(0.0)).eq(target.gt(0.5))
        } else {
            return Tensor::failed(
                Error::new(Code::Shape, format!("accuracy: prediction {p} and target {t}")).help(
                    "class ids [batch] go with logits [batch, classes], 0 or 1 with logits of \
                     the same shape",
                ),
            );
        };
        let right = right.cast(DType::F32).sum();
        // A sample with many targets (a sequence) counts as the fraction that is right.
        let targets: usize = t.dims().iter().skip(1).product();
        if targets > 1 { right / targets as f64 } else { right }
    }

    fn value(&self, sums: &[f64], samples: usize) -> f64 {
        sums.iter().sum::<f64>() / samples as f64
    }

    fn check(&self, targets: &Array) -> Result<()> {
        let values = if targets.dtype().is_float() { targets.to_f64() } else { Vec::new() };
        match values.iter().find(|&&v| v != 0.0 && v != 1.0) {
            None => Ok(()),
            Some(value) => Err(Error::new(
                Code::Data,
                format!("accuracy needs classes, but a target is {value}"),
            )
            .help("leave the metric out for regression; class ids are i64, or f32 of 0 and 1")),
        }
    }
}

/// Records a metric without gradients.
pub(crate) fn record(metric: &dyn Metric, prediction: &Tensor, target: &Tensor) -> Tensor {
    no_grad(|| metric.record(prediction, target))
}

/// Measurements by name, in order: `train.loss`, `valid.loss`, `valid.accuracy`.
///
/// As JSON, a map; numbers that are not finite are `null` there.
///
/// ```
/// use gradus_train::Metrics;
/// let mut metrics = Metrics::new();
/// metrics.insert("valid.loss", 0.25);
/// metrics.insert("valid.accuracy", 0.9);
/// assert_eq!(metrics.get("valid.loss"), Some(0.25));
/// assert_eq!(metrics.to_string(), "valid.loss 0.2500  valid.accuracy 0.9000");
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metrics(Vec<(String, f64)>);

impl Metrics {
    /// None.
    pub fn new() -> Metrics {
        Metrics::default()
    }

    /// Adds a measurement, or replaces the one of that name.
    pub fn insert(&mut self, name: impl Into<String>, value: f64) {
        let name = name.into();
        match self.0.iter_mut().find(|(n, _)| *n == name) {
            Some(entry) => entry.1 = value,
            None => self.0.push((name, value)),
        }
    }

    /// The measurement of that name.
    pub fn get(&self, name: &str) -> Option<f64> {
        self.0.iter().find(|(n, _)| n == name).map(|&(_, value)| value)
    }

    /// Names and values, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, f64)> {
        self.0.iter().map(|(name, value)| (name.as_str(), *value))
    }

    /// The names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The measurements of one part, without its name: `part("valid")` has `loss`, `accuracy`.
    #[must_use]
    pub fn part(&self, part: &str) -> Metrics {
        let strip = |name: &str| Some(name.strip_prefix(part)?.strip_prefix('.')?.to_string());
        self.iter().filter_map(|(name, value)| Some((strip(name)?, value))).collect()
    }

    /// The same under `part.name`.
    pub(crate) fn under(self, part: &str) -> Metrics {
        self.0.into_iter().map(|(name, value)| (format!("{part}.{name}"), value)).collect()
    }

    pub(crate) fn extend(&mut self, other: Metrics) {
        other.0.into_iter().for_each(|(name, value)| self.insert(name, value));
    }
}

impl<S: Into<String>> FromIterator<(S, f64)> for Metrics {
    fn from_iter<I: IntoIterator<Item = (S, f64)>>(entries: I) -> Metrics {
        let mut metrics = Metrics::new();
        entries.into_iter().for_each(|(name, value)| metrics.insert(name, value));
        metrics
    }
}

impl fmt::Display for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (name, value)) in self.iter().enumerate() {
            let space = if i == 0 { "" } else { "  " };
            write!(f, "{space}{name} {}", number(value))?;
        }
        Ok(())
    }
}

/// A measurement for people.
pub(crate) fn number(value: f64) -> String {
    let size = value.abs();
    if value == 0.0 || (1e-3..1e4).contains(&size) || !value.is_finite() {
        format!("{value:.4}")
    } else {
        format!("{value:.3e}")
    }
}

impl Serialize for Metrics {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.len()))?;
        for (name, value) in self.iter() {
            map.serialize_entry(name, &value.is_finite().then_some(value))?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Metrics {
    fn deserialize<D: Deserializer<'de>>(from: D) -> std::result::Result<Metrics, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Metrics;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of names to numbers")
            }
            fn visit_map<A: MapAccess<'de>>(
                self,
                mut map: A,
            ) -> std::result::Result<Metrics, A::Error> {
                let mut metrics = Metrics::new();
                while let Some((name, value)) = map.next_entry::<String, Option<f64>>()? {
                    metrics.insert(name, value.unwrap_or(f64::NAN));
                }
                Ok(metrics)
            }
        }
        from.deserialize_map(Entries)
    }
}
