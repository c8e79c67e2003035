//! How the learning rate falls while `gradus train` trains.
//!
//! Along a cosine from its first value to almost nothing (Loshchilov and Hutter, 2017): the last
//! epochs then settle instead of jumping about, which is worth some tenths of a percent and makes
//! results depend less on the seed.

use std::f64::consts::PI;

use gradus::train::{Callback, CallbackState, Event, Flow, TrainState};
use gradus::{Code, Error, Result};
use serde_json::json;

/// A rate that depends on how much of the training is done, and on nothing else, so a resumed
/// training goes on with the same rates.
pub(crate) struct Schedule {
    cosine: bool,
    peak: f64,
    total: u64,
}

impl Schedule {
    /// `cosine` or `constant`, starting from `peak`.
    pub(crate) fn new(name: &str, peak: f64) -> Schedule {
        Schedule { cosine: name == "cosine", peak, total: 1 }
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
        let json = json!({ "cosine": self.cosine, "peak": self.peak });
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
