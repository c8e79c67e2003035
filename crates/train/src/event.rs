//! What callbacks see of a training, and how they can steer it.

use std::path::{Path, PathBuf};

use gradus_core::{Error, Result};
use gradus_nn::{Layer, Optimizer, StateDict};
use serde::{Deserialize, Serialize};

use crate::callbacks::Monitor;
use crate::metric::Metrics;
use crate::report::{EpochRecord, Report};
use crate::run::Run;

/// What happens during a training, in this order. Epochs and steps count from 1.
///
/// `FitStart (EpochStart StepEnd* EpochEnd)* TrainingEnd FitEnd`, with `Saved` after the event
/// during which a file was written; or `Failed` instead of what would have come next. An epoch
/// that is cut short, because somebody asked to stop, has no `EpochEnd`.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// Everything fits together; the first step comes next.
    FitStart {
        /// Sizes and names.
        info: &'a FitInfo,
    },
    /// A pass over the training data begins.
    EpochStart {
        /// Which.
        epoch: usize,
    },
    /// A step was made.
    StepEnd {
        /// Of which epoch.
        epoch: usize,
        /// Its number in the epoch.
        step: usize,
        /// Steps of the epoch.
        steps: usize,
        /// The loss of its batch, before the update.
        loss: f64,
        /// The learning rate it was made with.
        lr: f64,
    },
    /// A pass over the training data is over, and the validation data was measured.
    EpochEnd {
        /// Which.
        epoch: usize,
        /// `train.loss`, `valid.loss` and the like.
        metrics: &'a Metrics,
    },
    /// A file with weights was written.
    Saved {
        /// Which, and what it holds.
        saved: &'a Saved,
    },
    /// There will be no more steps; weights may still be put back (`restore_best`).
    TrainingEnd {
        /// Why.
        stop: &'a StopReason,
    },
    /// The weights are final.
    FitEnd {
        /// What `fit` returns.
        report: &'a Report,
    },
    /// The training ended with an error, which `fit` returns.
    Failed {
        /// The error.
        error: &'a Error,
    },
}

/// What a callback wants next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// Go on.
    Continue,
    /// Make no more steps. Other callbacks still see the event.
    Stop,
}

/// Sizes and names of a training, known before its first step.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct FitInfo {
    /// Samples to train on.
    pub train_samples: usize,
    /// Samples to validate with; 0 without validation.
    pub valid_samples: usize,
    /// Samples a step.
    pub batch_size: usize,
    /// Steps an epoch.
    pub steps: usize,
    /// Epochs in all.
    pub epochs: usize,
    /// The first epoch that this training makes: 1, or a later one when it resumes.
    pub first_epoch: usize,
    /// Numbers that are trained.
    pub parameters: usize,
    /// What `EpochEnd` will have: `train.loss`, `valid.loss`, ...
    pub metrics: Vec<String>,
    /// What a reader of the results should know, for example that a run is resumed with other
    /// instructions than it began with.
    pub warnings: Vec<String>,
}

/// A file with weights.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Saved {
    /// Where.
    pub path: PathBuf,
    /// After which epoch.
    pub epoch: usize,
    /// The metric for which these are the best weights so far, and its value.
    pub best: Option<(String, f64)>,
}

/// Why a training ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
#[non_exhaustive]
pub enum StopReason {
    /// All epochs were made.
    Finished,
    /// A metric did not get better for a number of epochs.
    EarlyStopped {
        /// Which metric.
        metric: String,
        /// How many epochs were waited.
        patience: usize,
    },
    /// Somebody asked to, with a [`StopToken`](crate::StopToken).
    Stopped,
    /// A callback asked to.
    Callback,
    /// An error.
    Failed {
        /// Its first line.
        error: String,
    },
}

impl std::fmt::Display for StopReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            StopReason::Finished => f.write_str("finished"),
            StopReason::EarlyStopped { metric, patience } => {
                write!(f, "stopped early: {metric} was no better for {patience} epochs")
            }
            StopReason::Stopped => f.write_str("stopped on request"),
            StopReason::Callback => f.write_str("stopped by a callback"),
            StopReason::Failed { error } => write!(f, "failed: {error}"),
        }
    }
}

/// How far a training is.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    pub(crate) info: FitInfo,
    pub(crate) epoch: usize,
    pub(crate) step: usize,
    pub(crate) total_steps: u64,
    pub(crate) history: Vec<EpochRecord>,
    pub(crate) outbox: Vec<Saved>,
    pub(crate) stop: Option<StopReason>,
}

/// What a callback may look at and change.
///
/// Looking never changes the bits of a training: measuring, reading values and writing files draw
/// no random numbers of the training and share no plan with it.
pub struct TrainState<'a> {
    pub(crate) model: &'a dyn Layer,
    pub(crate) optimizer: &'a mut dyn Optimizer,
    pub(crate) progress: &'a mut Progress,
    pub(crate) run: Option<&'a Run>,
}

impl TrainState<'_> {
    /// The model that is trained.
    pub fn model(&self) -> &dyn Layer {
        self.model
    }

    /// The optimizer.
    pub fn optimizer(&mut self) -> &mut dyn Optimizer {
        self.optimizer
    }

    /// The learning rate of the next step.
    pub fn lr(&self) -> f64 {
        self.optimizer.lr()
    }

    /// Sets the learning rate of the next step.
    pub fn set_lr(&mut self, lr: f64) {
        self.optimizer.set_lr(lr);
    }

    /// Sets the optimizer's momentum (or beta1) of the next step; whether it has one.
    pub fn set_momentum(&mut self, momentum: f64) -> bool {
        self.optimizer.set_momentum(momentum)
    }

    /// Sizes and names of this training.
    pub fn info(&self) -> &FitInfo {
        &self.progress.info
    }

    /// The epoch, from 1; 0 before the first.
    pub fn epoch(&self) -> usize {
        self.progress.epoch
    }

    /// Steps made in this epoch.
    pub fn step(&self) -> usize {
        self.progress.step
    }

    /// Steps made in all epochs.
    pub fn total_steps(&self) -> u64 {
        self.progress.total_steps
    }

    /// The epochs so far; at [`Event::EpochEnd`] with the one that ended.
    pub fn history(&self) -> &[EpochRecord] {
        &self.progress.history
    }

    /// The folder of the run, if it has one.
    pub fn run_folder(&self) -> Option<&Path> {
        self.run.map(Run::path)
    }

    /// Tells of a file with weights that was written; all callbacks then see [`Event::Saved`].
    pub fn saved(&mut self, path: impl Into<PathBuf>, best: Option<(String, f64)>) {
        let epoch = self.progress.epoch;
        self.progress.outbox.push(Saved { path: path.into(), epoch, best });
    }

    /// Says why [`Flow::Stop`] is returned; the first reason counts.
    pub fn stop_because(&mut self, reason: StopReason) {
        self.progress.stop.get_or_insert(reason);
    }
}

/// What a callback needs to go on after a resume.
#[derive(Clone, Debug, Default)]
pub struct CallbackState {
    /// Numbers and names.
    pub json: serde_json::Value,
    /// Arrays.
    pub arrays: StateDict,
}

/// Watches a training and may steer it.
///
/// ```
/// use gradus_core::Result;
/// use gradus_nn::{Linear, Sgd, seq};
/// use gradus_train::{Callback, Epochs, Event, Flow, Loss, TrainState, Trainer};
///
/// /// Halves the learning rate after each epoch.
/// struct Halve;
/// impl Callback for Halve {
///     fn on_event(&mut self, event: &Event<'_>, state: &mut TrainState<'_>) -> Result<Flow> {
///         if let Event::EpochEnd { .. } = event {
///             let lr = state.lr();
///             state.set_lr(lr / 2.0);
///         }
///         Ok(Flow::Continue)
///     }
/// }
///
/// let digits = gradus_data::digits()?.take(256);
/// let model = seq![Linear::new(64, 10)];
/// let report = Trainer::new(&model, Sgd::new(&model, 0.1))
///     .loss(Loss::CrossEntropy)
///     .callback(Halve)
///     .fit(&digits, None, Epochs(3))?;
/// assert_eq!(report.history[2].lr, 0.025);
/// # Ok::<(), gradus_core::Error>(())
/// ```
pub trait Callback {
    /// Called for every event, in the order in which callbacks were added.
    ///
    /// # Errors
    /// Whatever should end the training.
    fn on_event(&mut self, event: &Event<'_>, state: &mut TrainState<'_>) -> Result<Flow>;

    /// The name under which [`Callback::save_state`] is kept.
    fn name(&self) -> &'static str {
        "callback"
    }

    /// What has to be kept for a resume; nothing for a callback that only watches.
    fn save_state(&self) -> Option<CallbackState> {
        None
    }

    /// Goes on from a saved state.
    ///
    /// # Errors
    /// When it is not of this callback.
    fn load_state(&mut self, _state: CallbackState) -> Result<()> {
        Ok(())
    }

    /// The metric by which this callback chooses weights, if it does.
    fn monitor(&self) -> Option<&Monitor> {
        None
    }

    /// The file in which this callback keeps the best weights, if it does.
    fn keeps(&self) -> Option<PathBuf> {
        None
    }
}

/// A closure as a callback that only watches.
pub(crate) struct Watch<F>(pub(crate) F);

impl<F: FnMut(&Event<'_>)> Callback for Watch<F> {
    fn on_event(&mut self, event: &Event<'_>, _: &mut TrainState<'_>) -> Result<Flow> {
        (self.0)(event);
        Ok(Flow::Continue)
    }
}
