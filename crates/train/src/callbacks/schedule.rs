//! How the learning rate changes while a model trains.

use std::f64::consts::PI;

use gradus_core::{Code, Error, Result};
use serde::{Deserialize, Serialize};

use crate::event::{Callback, CallbackState, Event, Flow, TrainState};

/// The schedules that a file or an argument can name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScheduleName {
    /// Falls along a cosine from its first value to almost nothing.
    #[default]
    Cosine,
    /// Stays as it is.
    Constant,
}

impl ScheduleName {
    /// All, in the order of messages.
    pub const ALL: [ScheduleName; 2] = [ScheduleName::Cosine, ScheduleName::Constant];

    /// The name in files and arguments.
    pub fn name(self) -> &'static str {
        match self {
            ScheduleName::Cosine => "cosine",
            ScheduleName::Constant => "constant",
        }
    }

    /// The schedule of that name.
    pub fn parse(name: &str) -> Option<ScheduleName> {
        ScheduleName::ALL.into_iter().find(|s| s.name() == name)
    }
}

/// Sets the learning rate before each step, from how much of the training is done and from nothing
/// else, so a resumed training goes on with the same rates.
///
/// Along a cosine (Loshchilov and Hutter, 2017) the last epochs settle instead of jumping about:
/// worth some tenths of a percent, and results depend less on the seed.
///
/// ```
/// use gradus_nn::{Adam, Linear};
/// use gradus_train::{Epochs, Loss, Schedule, ScheduleName, Trainer};
/// let digits = gradus_data::digits()?.take(256);
/// let model = Linear::new(64, 10);
/// let report = Trainer::new(&model, Adam::new(&model, 1e-2))
///     .loss(Loss::CrossEntropy)
///     .callback(Schedule::new(ScheduleName::Cosine, 1e-2))
///     .fit(&digits, None, Epochs(4))?;
/// assert!(report.history[3].lr < report.history[0].lr);
/// # Ok::<(), gradus_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Schedule {
    cosine: bool,
    peak: f64,
    total: u64,
}

impl Schedule {
    /// A schedule that starts from the rate `peak`.
    pub fn new(name: ScheduleName, peak: f64) -> Schedule {
        Schedule { cosine: name == ScheduleName::Cosine, peak, total: 1 }
    }

    fn rate(&self, done: u64) -> f64 {
        if !self.cosine {
            return self.peak;
        }
        let part = (done as f64 / self.total as f64).min(1.0);
        // The very last steps would do nothing at a rate of zero.
        self.peak * (0.5 * (1.0 + (PI * part).cos())).max(1e-3)
    }
}

impl Callback for Schedule {
    fn on_event(&mut self, event: &Event<'_>, state: &mut TrainState<'_>) -> Result<Flow> {
        match event {
            Event::FitStart { info } => self.total = (info.epochs * info.steps).max(1) as u64,
            Event::EpochStart { .. } | Event::StepEnd { .. } => {}
            _ => return Ok(Flow::Continue),
        }
        if self.cosine {
            let rate = self.rate(state.total_steps());
            state.set_lr(rate);
        }
        Ok(Flow::Continue)
    }

    fn name(&self) -> &'static str {
        "schedule"
    }

    fn save_state(&self) -> Option<CallbackState> {
        let json = serde_json::json!({ "cosine": self.cosine, "peak": self.peak });
        Some(CallbackState { json, ..CallbackState::default() })
    }

    fn load_state(&mut self, state: CallbackState) -> Result<()> {
        let cosine = state.json.get("cosine").and_then(serde_json::Value::as_bool);
        let peak = state.json.get("peak").and_then(serde_json::Value::as_f64);
        let (Some(cosine), Some(peak)) = (cosine, peak) else {
            return Err(Error::new(Code::Format, "the saved learning-rate schedule is damaged"));
        };
        (self.cosine, self.peak) = (cosine, peak);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_falls_from_its_peak_to_almost_nothing() {
        let schedule = Schedule { cosine: true, peak: 0.1, total: 100 };
        assert_eq!(schedule.rate(0), 0.1);
        assert!((schedule.rate(50) - 0.05).abs() < 1e-12);
        assert!((0..100).all(|n| schedule.rate(n + 1) <= schedule.rate(n)));
        assert!(schedule.rate(100) > 0.0 && schedule.rate(1000) < 0.001);
        assert_eq!(Schedule { cosine: false, ..schedule }.rate(70), 0.1);
    }
}
