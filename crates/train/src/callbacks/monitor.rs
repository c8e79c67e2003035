//! Which epoch is the best, by a metric.

use gradus_core::{Code, Error, Result};
use serde::{Deserialize, Serialize};

use crate::metric::Metrics;

/// Which values of a metric are better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Small ones, as of a loss.
    Min,
    /// Large ones, as of an accuracy.
    Max,
}

impl Mode {
    /// What is usual for a metric: small for losses and errors, large for scores.
    ///
    /// ```
    /// use gradus_train::Mode;
    /// assert_eq!(Mode::of("valid.loss"), Mode::Min);
    /// assert_eq!(Mode::of("valid.accuracy"), Mode::Max);
    /// ```
    pub fn of(metric: &str) -> Mode {
        let name = metric.rsplit('.').next().unwrap_or(metric);
        let small = [
            "loss",
            "error",
            "mse",
            "rmse",
            "mae",
            "mape",
            "nll",
            "perplexity",
            "distance",
            "brier",
        ];
        if small.iter().any(|s| name.ends_with(s)) { Mode::Min } else { Mode::Max }
    }
}

/// The best value of a metric so far, and when it was.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Monitor {
    metric: String,
    mode: Mode,
    min_delta: f64,
    best: Option<(usize, f64)>,
}

impl Monitor {
    /// Watches a metric; which values are better is taken from its name.
    pub fn new(metric: impl Into<String>) -> Monitor {
        let metric = metric.into();
        Monitor { mode: Mode::of(&metric), metric, min_delta: 0.0, best: None }
    }

    /// The name of the metric.
    pub fn metric(&self) -> &str {
        &self.metric
    }

    /// Which values are better.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// The best epoch so far and its value.
    pub fn best(&self) -> Option<(usize, f64)> {
        self.best
    }

    pub(crate) fn set_mode(&mut self, mode: Mode) {
        self.mode = mode;
    }

    pub(crate) fn set_min_delta(&mut self, min_delta: f64) {
        self.min_delta = min_delta;
    }

    /// Fails unless there will be such a metric.
    pub(crate) fn check<'a>(&self, names: impl Iterator<Item = &'a str>) -> Result<()> {
        let names: Vec<&str> = names.collect();
        if names.contains(&self.metric.as_str()) {
            return Ok(());
        }
        let mut help = format!("there are {}", names.join(", "));
        if self.metric.starts_with("valid.") && !names.iter().any(|n| n.starts_with("valid.")) {
            help.push_str("; give `fit` validation data for the `valid.` ones");
        }
        Err(Error::new(Code::Config, format!("there is no metric `{}`", self.metric)).help(help))
    }

    /// Takes in an epoch; the result is its value if it is the best so far. NaN never is.
    pub(crate) fn update(&mut self, epoch: usize, metrics: &Metrics) -> Result<Option<f64>> {
        let Some(value) = metrics.get(&self.metric) else {
            self.check(metrics.names())?;
            return Ok(None);
        };
        let better = match (self.best, self.mode) {
            _ if value.is_nan() => false,
            (None, _) => true,
            (Some((_, best)), Mode::Min) => value < best - self.min_delta,
            (Some((_, best)), Mode::Max) => value > best + self.min_delta,
        };
        if better {
            self.best = Some((epoch, value));
        }
        Ok(better.then_some(value))
    }

    /// The saved best, of the same metric.
    pub(crate) fn restore(&mut self, saved: Monitor) -> Result<()> {
        if saved.metric != self.metric || saved.mode != self.mode {
            let text = format!("the run watched `{}`, this is `{}`", saved.metric, self.metric);
            return Err(Error::new(Code::Config, text)
                .help("resume with the callbacks that the run was started with"));
        }
        self.best = saved.best;
        Ok(())
    }
}
