//! Rates that go up and down: one cycle, or one after another.

use serde::{Deserialize, Serialize};
use std::f64::consts::PI;

/// The shape of a one-cycle schedule; [`OneCycle::new`] has the usual numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct OneCycle {
    /// The highest rate.
    pub max_lr: f64,
    /// Steps in all.
    pub total_steps: u64,
    /// The part of the steps that goes up; default 0.3.
    pub pct_start: f64,
    /// Along straight lines instead of cosines.
    pub linear: bool,
    /// The first rate is `max_lr / div_factor`; default 25.
    pub div_factor: f64,
    /// The last rate is the first one over this; default 10,000.
    pub final_div_factor: f64,
    /// Down to the first rate as slowly as up, and only then to the last.
    pub three_phase: bool,
    /// Momentum (or beta1) at the highest and at the lowest rate; default 0.85 and 0.95.
    pub momentum: (f64, f64),
}

impl Default for OneCycle {
    fn default() -> OneCycle {
        OneCycle::new(1e-2, 1000)
    }
}

impl OneCycle {
    /// With PyTorch's defaults.
    pub fn new(max_lr: f64, total_steps: u64) -> OneCycle {
        OneCycle {
            max_lr,
            total_steps,
            pct_start: 0.3,
            linear: false,
            div_factor: 25.0,
            final_div_factor: 1e4,
            three_phase: false,
            momentum: (0.85, 0.95),
        }
    }

    /// Rate and momentum of a step; after the last they stay.
    pub(super) fn at(&self, t: u64) -> (f64, f64) {
        let first = self.max_lr / self.div_factor;
        let (low, high) = self.momentum;
        let (last, total) = (first / self.final_div_factor, self.total_steps as f64);
        // Where each phase ends, and what it goes to.
        let up = (self.pct_start * total - 1.0, self.max_lr, low);
        let end = total - 1.0;
        let phases = match self.three_phase {
            true => {
                vec![up, (2.0 * self.pct_start * total - 2.0, first, high), (end, last, high)]
            }
            false => vec![up, (end, last, high)],
        };
        let t = (t as f64).min(end);
        let (mut from, mut rate, mut momentum) = (0.0, first, high);
        let count = phases.len();
        for (i, (until, to_rate, to_momentum)) in phases.into_iter().enumerate() {
            if t <= until || i + 1 == count {
                let part = if until > from { (t - from) / (until - from) } else { 1.0 };
                let between = |a: f64, b: f64| match self.linear {
                    true => (b - a) * part + a,
                    false => b + (a - b) / 2.0 * (1.0 + libm::cos(PI * part)),
                };
                return (between(rate, to_rate), between(momentum, to_momentum));
            }
            (from, rate, momentum) = (until, to_rate, to_momentum);
        }
        (rate, momentum)
    }
}

/// How the height of a cycle changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CyclicMode {
    /// Not.
    #[default]
    Triangular,
    /// Half as high each time.
    Triangular2,
    /// Times `gamma^t`.
    ExpRange,
}

/// The shape of a cyclic schedule; [`Cyclic::new`] has the usual numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Cyclic {
    /// The lowest rate.
    pub base_lr: f64,
    /// The highest rate.
    pub max_lr: f64,
    /// Steps up; default 2000.
    pub step_size_up: u64,
    /// Steps down; default as many as up.
    pub step_size_down: Option<u64>,
    /// How the height changes.
    pub mode: CyclicMode,
    /// Of [`CyclicMode::ExpRange`]; default 1.
    pub gamma: f64,
    /// Momentum (or beta1) at the highest and at the lowest rate; default 0.8 and 0.9.
    pub momentum: (f64, f64),
}

impl Default for Cyclic {
    fn default() -> Cyclic {
        Cyclic::new(1e-3, 1e-2)
    }
}

impl Cyclic {
    /// With PyTorch's defaults.
    pub fn new(base_lr: f64, max_lr: f64) -> Cyclic {
        Cyclic {
            base_lr,
            max_lr,
            step_size_up: 2000,
            step_size_down: None,
            mode: CyclicMode::Triangular,
            gamma: 1.0,
            momentum: (0.8, 0.9),
        }
    }

    pub(super) fn at(&self, t: u64) -> (f64, f64) {
        let up = self.step_size_up as f64;
        let total = up + self.step_size_down.unwrap_or(self.step_size_up) as f64;
        let t = t as f64;
        let cycle = (1.0 + t / total).floor();
        let x = 1.0 + t / total - cycle;
        let ratio = up / total;
        let height = if x <= ratio { x / ratio } else { (x - 1.0) / (ratio - 1.0) };
        let height = height
            * match self.mode {
                CyclicMode::Triangular => 1.0,
                CyclicMode::Triangular2 => libm::pow(0.5, cycle - 1.0),
                CyclicMode::ExpRange => libm::pow(self.gamma, t),
            };
        let (low, high) = self.momentum;
        (self.base_lr + (self.max_lr - self.base_lr) * height, high - (high - low) * height)
    }
}
