//! Stops a training that no longer gets better.

use gradus_core::{Code, Error, Result};
use gradus_nn::{ModuleExt, StateDict};

use super::monitor::{Mode, Monitor};
use crate::event::{Callback, CallbackState, Event, Flow, StopReason, TrainState};

/// Stops when a metric was not better for some epochs, and may put the best weights back.
///
/// ```
/// use gradus_train::EarlyStopping;
/// let callback = EarlyStopping::on("valid.loss").patience(3).min_delta(1e-4).restore_best();
/// # let _ = callback;
/// ```
#[derive(Clone, Debug)]
pub struct EarlyStopping {
    monitor: Monitor,
    patience: usize,
    waited: usize,
    restore: bool,
    /// The weights of the best epoch, with `restore`.
    best: Option<StateDict>,
}

impl EarlyStopping {
    /// Watches a metric, such as `valid.loss`, with a patience of 3 epochs.
    pub fn on(metric: impl Into<String>) -> EarlyStopping {
        EarlyStopping {
            monitor: Monitor::new(metric),
            patience: 3,
            waited: 0,
            restore: false,
            best: None,
        }
    }

    /// How many epochs in a row may be no better before it stops; at least 1.
    #[must_use]
    pub fn patience(mut self, epochs: usize) -> EarlyStopping {
        self.patience = epochs.max(1);
        self
    }

    /// How much better an epoch must be to count; default 0.
    #[must_use]
    pub fn min_delta(mut self, min_delta: f64) -> EarlyStopping {
        self.monitor.set_min_delta(min_delta.abs());
        self
    }

    /// Which values are better, where the metric's name does not say it right.
    #[must_use]
    pub fn mode(mut self, mode: Mode) -> EarlyStopping {
        self.monitor.set_mode(mode);
        self
    }

    /// Keeps the weights of the best epoch in memory and puts them back at the end, however the
    /// training ends.
    #[must_use]
    pub fn restore_best(mut self) -> EarlyStopping {
        self.restore = true;
        self
    }
}

impl Callback for EarlyStopping {
    fn on_event(&mut self, event: &Event<'_>, state: &mut TrainState<'_>) -> Result<Flow> {
        match event {
            Event::FitStart { info } => {
                self.monitor.check(info.metrics.iter().map(String::as_str))?;
            }
            Event::EpochEnd { epoch, metrics } => {
                if self.monitor.update(*epoch, metrics)?.is_some() {
                    self.waited = 0;
                    if self.restore {
                        self.best = Some(state.model().state_dict()?);
                    }
                } else {
                    self.waited += 1;
                }
                if self.waited >= self.patience {
                    state.stop_because(StopReason::EarlyStopped {
                        metric: self.monitor.metric().to_string(),
                        patience: self.patience,
                    });
                    return Ok(Flow::Stop);
                }
            }
            Event::TrainingEnd { .. } => {
                if let Some(best) = self.best.take() {
                    state.model().load_state_dict(&best)?;
                }
            }
            _ => {}
        }
        Ok(Flow::Continue)
    }

    fn name(&self) -> &'static str {
        "early_stopping"
    }

    fn save_state(&self) -> Option<CallbackState> {
        let json = serde_json::json!({ "monitor": self.monitor, "waited": self.waited });
        Some(CallbackState { json, arrays: self.best.clone().unwrap_or_default() })
    }

    fn load_state(&mut self, state: CallbackState) -> Result<()> {
        let (monitor, waited): (Monitor, usize) = fields(&state.json)?;
        self.monitor.restore(monitor)?;
        self.waited = waited;
        self.best = (self.restore && !state.arrays.is_empty()).then_some(state.arrays);
        Ok(())
    }

    fn monitor(&self) -> Option<&Monitor> {
        Some(&self.monitor)
    }
}

/// `monitor` and `waited` of a saved state.
fn fields(json: &serde_json::Value) -> Result<(Monitor, usize)> {
    let wrong = |e: &dyn std::fmt::Display| {
        Error::new(Code::Format, format!("the saved state of early stopping is damaged: {e}"))
    };
    let of = |name: &str| json.get(name).cloned().unwrap_or_default();
    let monitor = serde_json::from_value(of("monitor")).map_err(|e| wrong(&e))?;
    let waited = serde_json::from_value(of("waited")).map_err(|e| wrong(&e))?;
    Ok((monitor, waited))
}
