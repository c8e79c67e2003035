//! What a training was: its epochs, its best one, why it ended.

use std::fmt;
use std::path::PathBuf;

use gradus_core::{Code, Error, Result};
use gradus_data::Dataset;
use gradus_nn::Layer;
use serde::{Deserialize, Serialize};

use crate::callbacks::Mode;
use crate::evaluate::evaluate;
use crate::event::StopReason;
use crate::files;
use crate::loss::Loss;
use crate::metric::{Metrics, number};
use crate::tally::{MetricList, borrowed};

/// One epoch: a line of `metrics.jsonl`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EpochRecord {
    /// Which, from 1.
    pub epoch: usize,
    /// Steps made so far, in all epochs.
    pub steps: u64,
    /// The learning rate of its last step.
    pub lr: f64,
    /// How long it took, validation included.
    pub seconds: f64,
    /// `train.loss`, `valid.loss` and the like. Those of `train` are means over the epoch, while
    /// the weights changed.
    #[serde(flatten)]
    pub metrics: Metrics,
}

/// What [`Report::test`] measures with.
#[derive(Clone)]
pub(crate) struct Scorer {
    pub(crate) loss: Loss,
    pub(crate) metrics: MetricList,
    pub(crate) batch_size: usize,
    /// Where the report is kept.
    pub(crate) file: Option<PathBuf>,
}

/// What a training was. As text, a table of its epochs.
#[derive(Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Report {
    /// Classification, regression or two classes, by its loss, as a run's folder names it.
    pub task: String,
    /// Why it ended.
    pub stop: StopReason,
    /// Epochs that were made.
    pub epochs: usize,
    /// Steps that were made.
    pub steps: u64,
    /// The metric that says which epoch is the best.
    pub best_by: String,
    /// The best epoch; `None` if there was no complete one.
    pub best_epoch: Option<usize>,
    /// Whether the model has the weights of the best epoch.
    pub holds_best: bool,
    /// Every epoch.
    pub history: Vec<EpochRecord>,
    /// What [`Report::test`] measured; empty before.
    #[serde(default)]
    pub test: Metrics,
    /// What other models reached on the test data of [`Report::test`], by name: a yardstick.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub compared: Vec<(String, Metrics)>,
    /// Seconds of training, those before a resume included.
    pub seconds: f64,
    /// The hash of the weights that the model has; see [`model_sha256`](crate::model_sha256).
    pub model_sha256: String,
    /// Parameters that the loss does not depend on; they were not trained.
    pub untouched: Vec<String>,
    /// What a reader of the results should know.
    pub warnings: Vec<String>,
    #[serde(skip)]
    pub(crate) scorer: Option<Scorer>,
}

impl Report {
    /// A metric of the last epoch.
    pub fn last(&self, metric: &str) -> Option<f64> {
        self.history.last()?.metrics.get(metric)
    }

    /// The best epoch.
    pub fn best(&self) -> Option<&EpochRecord> {
        let best = self.best_epoch?;
        self.history.iter().find(|record| record.epoch == best)
    }

    /// Measures the model once on data that played no part in the training, with the loss and the
    /// metrics of the training, as `test.loss` and so on. Kept in the report and its file.
    ///
    /// The test set is for this alone: who looks at it twice and chooses has trained on it.
    ///
    /// ```
    /// use gradus_nn::{Adam, Linear, seq};
    /// use gradus_train::{Accuracy, Epochs, Loss, Trainer};
    /// let (train, valid, test) = gradus_data::digits()?.split3(0.1, 0.2, 17)?;
    /// let model = seq![Linear::new(64, 10)];
    /// let mut report = Trainer::new(&model, Adam::new(&model, 1e-2))
    ///     .loss(Loss::CrossEntropy)
    ///     .metric(Accuracy::new())
    ///     .fit(&train, &valid, Epochs(2))?;
    /// let metrics = report.test(&model, &test)?;
    /// assert!(metrics.get("test.accuracy").unwrap_or(0.0) > 0.8);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`evaluate`]; [`Code::State`] for a report that was read from a file.
    #[track_caller]
    pub fn test<L: Layer + ?Sized>(&mut self, model: &L, data: &Dataset) -> Result<Metrics> {
        let Some(scorer) = self.scorer.clone() else {
            return Err(Error::new(Code::State, "this report does not know its loss any more")
                .help("only the report that `fit` returned can test; else use `evaluate`"));
        };
        let metrics = borrowed(&scorer.metrics);
        let measured = evaluate(model, data, scorer.batch_size, scorer.loss, &metrics)?;
        self.test = measured.under("test");
        if let Some(file) = &scorer.file {
            files::write(file, self.to_json()?.as_bytes())?;
        }
        Ok(self.test.clone())
    }

    /// The report as JSON, as in a run's `report.json`.
    ///
    /// # Errors
    /// None for a report that `fit` made.
    pub fn to_json(&self) -> Result<String> {
        serde_json::to_string_pretty(self)
            .map_err(|e| Error::internal(format!("a report is no JSON: {e}")))
    }

    /// Which epoch is the best by a metric.
    pub(crate) fn best_of(history: &[EpochRecord], metric: &str, mode: Mode) -> Option<usize> {
        let mut best: Option<(usize, f64)> = None;
        for record in history {
            let Some(value) = record.metrics.get(metric).filter(|v| !v.is_nan()) else { continue };
            let better = best.is_none_or(|(_, old)| match mode {
                Mode::Min => value < old,
                Mode::Max => value > old,
            });
            if better {
                best = Some((record.epoch, value));
            }
        }
        best.map(|(epoch, _)| epoch)
    }
}

/// Rows of the table that are shown at its ends.
const HEAD: usize = 3;
const TAIL: usize = 7;

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> =
            self.history.last().map(|r| r.metrics.names().collect()).unwrap_or_default();
        if !names.is_empty() {
            write!(f, "{:>6}", "epoch")?;
            for name in &names {
                write!(f, "  {name:>width$}", width = name.len().max(9))?;
            }
            writeln!(f, "  {:>8}", "seconds")?;
        }
        let rows = self.history.len();
        let mut skipped = false;
        for (i, record) in self.history.iter().enumerate() {
            let best = Some(record.epoch) == self.best_epoch;
            if i >= HEAD && i + TAIL < rows && rows > HEAD + TAIL + 1 && !best {
                if !skipped {
                    writeln!(f, "{:>6}", "...")?;
                }
                skipped = true;
                continue;
            }
            skipped = false;
            write!(f, "{} {:>4}", if best { "*" } else { " " }, record.epoch)?;
            for name in &names {
                let value = record.metrics.get(name).map(number).unwrap_or_default();
                write!(f, "  {value:>width$}", width = name.len().max(9))?;
            }
            writeln!(f, "  {:>8.2}", record.seconds)?;
        }
        let s = if self.epochs == 1 { "" } else { "s" };
        write!(f, "{} epoch{s} in {:.1} s, {}", self.epochs, self.seconds, self.stop)?;
        if let Some(best) = self.best() {
            let value = best.metrics.get(&self.best_by).map(number).unwrap_or_default();
            write!(f, "\nbest   epoch {}, {} {value}", best.epoch, self.best_by)?;
            write!(f, "{}", if self.holds_best { "; the model has its weights" } else { "" })?;
        }
        if !self.test.is_empty() {
            write!(f, "\ntest   {}", self.test)?;
        }
        write!(f, "\nmodel  sha256 {}", self.model_sha256)?;
        if !self.untouched.is_empty() {
            write!(f, "\nnote   not trained, the loss does not depend on them: ")?;
            write!(f, "{}", self.untouched.join(", "))?;
        }
        self.warnings.iter().try_for_each(|warning| write!(f, "\nnote   {warning}"))
    }
}

impl fmt::Debug for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
