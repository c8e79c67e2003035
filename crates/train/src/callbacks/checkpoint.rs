//! Keeps the best weights in a file.

use std::path::{Path, PathBuf};

use gradus_core::{Code, Error, Result};
use gradus_nn::{ModuleExt, StateDict};

use super::monitor::{Mode, Monitor};
use crate::event::{Callback, CallbackState, Event, Flow, TrainState};
use crate::files::{self, Saver};
use crate::metric::number;
use crate::run::MODEL;

/// Keeps the weights of the best epoch in `model.safetensors` of a folder.
///
/// The file is replaced as a whole when an epoch is better, so there is always a complete one. Its
/// metadata say which epoch it is from.
///
/// ```
/// use gradus_nn::{Adam, Linear, seq};
/// use gradus_train::{Checkpoint, Epochs, Loss, Trainer};
///
/// let folder = std::env::temp_dir().join("gradus_doc_checkpoint");
/// let (train, valid) = gradus_data::digits()?.split(0.8, 17)?;
/// let model = seq![Linear::new(64, 10)];
/// Trainer::new(&model, Adam::new(&model, 1e-2))
///     .loss(Loss::CrossEntropy)
///     .callback(Checkpoint::best("valid.loss", &folder))
///     .fit(&train, &valid, Epochs(2))?;
/// assert!(folder.join("model.safetensors").exists());
/// # std::fs::remove_dir_all(folder).ok();
/// # Ok::<(), gradus_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Checkpoint {
    monitor: Monitor,
    folder: PathBuf,
    restore: bool,
    saver: Saver,
}

impl Checkpoint {
    /// Keeps the best weights by a metric, such as `valid.loss`, in a folder, which is made if
    /// need be.
    pub fn best(metric: impl Into<String>, folder: impl AsRef<Path>) -> Checkpoint {
        let folder = folder.as_ref().to_path_buf();
        Checkpoint {
            monitor: Monitor::new(metric),
            folder,
            restore: false,
            saver: Saver::default(),
        }
    }

    /// Which values are better, where the metric's name does not say it right.
    #[must_use]
    pub fn mode(mut self, mode: Mode) -> Checkpoint {
        self.monitor.set_mode(mode);
        self
    }

    /// Puts the best weights back into the model at the end, however the training ends.
    #[must_use]
    pub fn restore_best(mut self) -> Checkpoint {
        self.restore = true;
        self
    }

    /// The file.
    pub fn path(&self) -> PathBuf {
        self.folder.join(MODEL)
    }
}

impl Callback for Checkpoint {
    fn on_event(&mut self, event: &Event<'_>, state: &mut TrainState<'_>) -> Result<Flow> {
        match event {
            Event::FitStart { info } => {
                self.monitor.check(info.metrics.iter().map(String::as_str))?;
                files::writable_folder(&self.folder)?;
                files::sweep(&self.folder, &[MODEL]);
            }
            Event::EpochEnd { epoch, metrics } => {
                if let Some(value) = self.monitor.update(*epoch, metrics)? {
                    let mut weights = state.model().state_dict()?;
                    weights.set_metadata("epoch", epoch.to_string());
                    weights.set_metadata("best_by", self.monitor.metric());
                    weights.set_metadata("best_value", number(value));
                    self.saver.save(&weights, &self.path())?;
                    let best = (self.monitor.metric().to_string(), value);
                    state.saved(self.path(), Some(best));
                }
            }
            Event::TrainingEnd { .. } => {
                files::sync(&self.path())?;
                let best = self.monitor.best().map(|(epoch, _)| epoch);
                let last = state.history().last().map(|record| record.epoch);
                // An epoch that was cut short has changed the weights since.
                if self.restore && best.is_some() && (best != last || state.step() > 0) {
                    state.model().load_state_dict(&StateDict::load(self.path())?)?;
                }
            }
            _ => {}
        }
        Ok(Flow::Continue)
    }

    fn name(&self) -> &'static str {
        "checkpoint"
    }

    fn save_state(&self) -> Option<CallbackState> {
        let json = serde_json::to_value(&self.monitor).unwrap_or_default();
        Some(CallbackState { json, arrays: StateDict::new() })
    }

    fn load_state(&mut self, state: CallbackState) -> Result<()> {
        let saved = serde_json::from_value(state.json).map_err(|e| {
            Error::new(Code::Format, format!("the saved state of a checkpoint is damaged: {e}"))
        })?;
        self.monitor.restore(saved)
    }

    fn monitor(&self) -> Option<&Monitor> {
        Some(&self.monitor)
    }

    fn keeps(&self) -> Option<PathBuf> {
        Some(self.path())
    }
}
