//! Sets the learning rate while a model trains.

use gradus_core::{Code, Error, Result};
use serde::{Deserialize, Serialize};

use super::monitor::Monitor;
use crate::event::{Callback, CallbackState, Event, FitInfo, Flow, TrainState};
use crate::schedule::{Plateau, Schedule, ScheduleName, SchedulePlan};

/// Sets the learning rate before each step by a [`SchedulePlan`]: a name, a schedule over steps or
/// epochs, or a plateau. `base` is the optimizer's own rate; schedules that move momentum move the
/// optimizer's, where it has one.
///
/// Rates follow from how much of the training is done, so a resumed training goes on with the same
/// rates, bit for bit; of a plateau what it has seen is saved.
///
/// ```
/// use gradus_nn::{Adam, Linear};
/// use gradus_train::{Epochs, Loss, ScheduleName, Scheduler, Trainer};
/// let digits = gradus_data::digits()?.take(256);
/// let model = Linear::new(64, 10);
/// let report = Trainer::new(&model, Adam::new(&model, 1e-2))
///     .loss(Loss::CrossEntropy)
///     .callback(Scheduler::new(ScheduleName::Cosine))
///     .fit(&digits, None, Epochs(4))?;
/// assert!(report.history[3].lr < report.history[0].lr);
/// # Ok::<(), gradus_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Scheduler {
    saved: Saved,
    /// The schedule over steps or epochs that the plan is in this training.
    schedule: Option<Schedule>,
    metric: String,
}

/// What a resume needs.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Saved {
    plan: SchedulePlan,
    /// The rate that the schedule starts from: the optimizer's before the first step.
    base: Option<f64>,
}

impl Scheduler {
    /// Follows a plan.
    pub fn new(plan: impl Into<SchedulePlan>) -> Scheduler {
        let saved = Saved { plan: plan.into(), base: None };
        Scheduler { saved, schedule: None, metric: String::new() }
    }

    /// Finds out what the plan is in this training.
    fn begin(&mut self, info: &FitInfo, lr: f64) -> Result<()> {
        let base = *self.saved.base.get_or_insert(lr);
        let steps = info.epochs.saturating_mul(info.steps) as u64;
        if let SchedulePlan::Named(ScheduleName::Plateau) = self.saved.plan {
            self.saved.plan =
                SchedulePlan::Plateau { plateau: Plateau::new().patience(5), on: None };
        }
        self.schedule = match &self.saved.plan {
            SchedulePlan::Named(name) => name.over(steps, base),
            SchedulePlan::Steps(schedule) | SchedulePlan::Epochs { epochs: schedule } => {
                Some(schedule.clone())
            }
            SchedulePlan::Plateau { on, .. } => {
                let valid = info.metrics.iter().any(|name| name == "valid.loss");
                let usual = if valid { "valid.loss" } else { "train.loss" };
                self.metric = on.clone().unwrap_or_else(|| usual.to_string());
                Monitor::new(&self.metric).check(info.metrics.iter().map(String::as_str))?;
                None
            }
        };
        self.schedule.as_ref().map_or(Ok(()), Schedule::validate)
    }

    /// Sets the rate after `t` steps or epochs.
    fn set(&self, t: u64, state: &mut TrainState<'_>) {
        let (Some(schedule), Some(base)) = (&self.schedule, self.saved.base) else { return };
        state.set_lr(schedule.rate(base, t));
        if let Some(momentum) = schedule.momentum(t) {
            state.set_momentum(momentum);
        }
    }
}

impl Callback for Scheduler {
    fn on_event(&mut self, event: &Event<'_>, state: &mut TrainState<'_>) -> Result<Flow> {
        let by_epoch = matches!(self.saved.plan, SchedulePlan::Epochs { .. });
        match event {
            Event::FitStart { info } => self.begin(info, state.lr())?,
            Event::EpochStart { epoch } if by_epoch => self.set(*epoch as u64 - 1, state),
            Event::EpochStart { .. } | Event::StepEnd { .. } if !by_epoch => {
                self.set(state.total_steps(), state);
            }
            Event::EpochEnd { metrics, .. } => {
                if let SchedulePlan::Plateau { plateau, .. } = &mut self.saved.plan
                    && let Some(value) = metrics.get(&self.metric)
                {
                    let lr = plateau.rate(state.lr(), value);
                    state.set_lr(lr);
                }
            }
            _ => {}
        }
        Ok(Flow::Continue)
    }

    fn name(&self) -> &'static str {
        "schedule"
    }

    fn save_state(&self) -> Option<CallbackState> {
        let json = serde_json::to_value(&self.saved).unwrap_or_default();
        Some(CallbackState { json, ..CallbackState::default() })
    }

    fn load_state(&mut self, state: CallbackState) -> Result<()> {
        self.saved = serde_json::from_value(state.json).map_err(|e| {
            Error::new(Code::Format, format!("the saved learning-rate schedule is damaged: {e}"))
        })?;
        Ok(())
    }
}
