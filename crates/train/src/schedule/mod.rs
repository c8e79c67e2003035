//! Learning rates as functions of the step: what PyTorch calls schedulers.
//!
//! A [`Schedule`] has no state: the rate of a step follows from the optimizer's own rate and the
//! number of steps made before, so a resumed training goes on with the same rates, and a schedule
//! can be asked for any step. [`Plateau`] is the exception: it watches a metric.
//!
//! In a training [`Scheduler`](crate::Scheduler) sets the rates; a [`SchedulePlan`] is what it, a file
//! or an argument says: a name, a schedule over steps or epochs, or a plateau.

mod cycle;
mod plan;
mod plateau;
pub mod registry;
mod validate;

pub use cycle::{Cyclic, CyclicMode, OneCycle};
pub use plan::{ScheduleName, SchedulePlan};
pub use plateau::Plateau;

use serde::{Deserialize, Serialize};
use std::f64::consts::PI;

/// The learning rate of each step, from the optimizer's rate `base`. Steps count from 0.
///
/// ```
/// use gradus_train::schedule::Schedule;
/// let warm = Schedule::Linear { start_factor: 0.1, end_factor: 1.0, total_iters: 10 };
/// let schedule = warm.then(10, Schedule::Cosine { t_max: 90, eta_min: 0.0 });
/// assert!((schedule.rate(0.1, 0) - 0.01).abs() < 1e-12);
/// assert_eq!(schedule.rate(0.1, 10), 0.1);
/// assert!(schedule.rate(0.1, 99) < 1e-4);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Schedule {
    /// `base * factor` for the first `total_iters` steps, then `base`.
    Constant {
        /// Above 0.
        factor: f64,
        /// Steps.
        total_iters: u64,
    },
    /// `base * gamma^(t / step_size)`, the quotient rounded down.
    Step {
        /// Steps from one fall to the next.
        step_size: u64,
        /// The factor of a fall.
        gamma: f64,
    },
    /// `base * gamma^n` after `n` of the milestones.
    MultiStep {
        /// The steps at which the rate falls.
        milestones: Vec<u64>,
        /// The factor of a fall.
        gamma: f64,
    },
    /// `base * gamma^t`.
    Exponential {
        /// The factor of a step.
        gamma: f64,
    },
    /// From `base * start_factor` straight to `base * end_factor`.
    Linear {
        /// Of the first step.
        start_factor: f64,
        /// From step `total_iters` on.
        end_factor: f64,
        /// Steps.
        total_iters: u64,
    },
    /// `base * (1 - t / total_iters)^power`, then 0.
    Polynomial {
        /// Steps.
        total_iters: u64,
        /// 1 is a straight line.
        power: f64,
    },
    /// `base / (1 + decay * t)`.
    InverseTime {
        /// How fast.
        decay: f64,
    },
    /// `eta_min + (base - eta_min) * (1 + cos(pi t / t_max)) / 2`; rises again after `t_max`.
    /// Loshchilov and Hutter, 2017.
    Cosine {
        /// Steps down.
        t_max: u64,
        /// The lowest rate.
        eta_min: f64,
    },
    /// Cosines one after another, each starting from `base`. Loshchilov and Hutter, 2017.
    CosineWarmRestarts {
        /// Steps of the first.
        t_0: u64,
        /// How much longer each is than the one before; 1 or more.
        t_mult: u64,
        /// The lowest rate.
        eta_min: f64,
    },
    /// Up to a rate and far down again, momentum the other way. The optimizer's own rate does not
    /// count. Smith and Topin, 2018.
    OneCycle(OneCycle),
    /// Up and down again and again. The optimizer's own rate does not count. Smith, 2017.
    Cyclic(Cyclic),
    /// `base * d_model^-0.5 * min(s^-0.5, s * warmup^-1.5)` with `s = t + 1`. Vaswani et al., 2017.
    Noam {
        /// Width of the model.
        d_model: u64,
        /// Steps up.
        warmup: u64,
    },
    /// One after another: each starts anew at the step beside it, the first at 0.
    Sequence(Vec<(u64, Schedule)>),
    /// All at once: their factors on `base` are multiplied.
    Product(Vec<Schedule>),
}

fn power(x: f64, n: u64) -> f64 {
    libm::pow(x, n as f64)
}

impl Schedule {
    /// This one before step `at`, then another that counts its steps from there.
    #[must_use]
    pub fn then(self, at: u64, next: Schedule) -> Schedule {
        match self {
            Schedule::Sequence(mut parts) => {
                parts.push((at, next));
                Schedule::Sequence(parts)
            }
            first => Schedule::Sequence(vec![(0, first), (at, next)]),
        }
    }

    /// Straight up from almost nothing for `steps` steps, then this one from its beginning.
    #[must_use]
    pub fn warmed_up(self, steps: u64) -> Schedule {
        let start_factor = 1.0 / (steps + 1) as f64;
        let up = Schedule::Linear { start_factor, end_factor: 1.0, total_iters: steps };
        up.then(steps, self)
    }

    /// What kind it is, in a word.
    pub fn kind(&self) -> &'static str {
        match self {
            Schedule::Constant { .. } => "constant",
            Schedule::Step { .. } => "step",
            Schedule::MultiStep { .. } => "multi-step",
            Schedule::Exponential { .. } => "exponential",
            Schedule::Linear { .. } => "linear",
            Schedule::Polynomial { .. } => "polynomial",
            Schedule::InverseTime { .. } => "inverse-time",
            Schedule::Cosine { .. } => "cosine",
            Schedule::CosineWarmRestarts { .. } => "cosine with restarts",
            Schedule::OneCycle(_) => "one-cycle",
            Schedule::Cyclic(_) => "cyclic",
            Schedule::Noam { .. } => "noam",
            Schedule::Sequence(_) => "sequence",
            Schedule::Product(_) => "product",
        }
    }

    /// The rate of the step before which `t` steps were made.
    pub fn rate(&self, base: f64, t: u64) -> f64 {
        match self {
            &Schedule::Constant { factor, total_iters } => {
                if t < total_iters {
                    base * factor
                } else {
                    base
                }
            }
            &Schedule::Step { step_size, gamma } => base * power(gamma, t / step_size.max(1)),
            Schedule::MultiStep { milestones, gamma } => {
                base * power(*gamma, milestones.iter().filter(|&&m| m <= t).count() as u64)
            }
            &Schedule::Exponential { gamma } => base * power(gamma, t),
            &Schedule::Linear { start_factor, end_factor, total_iters } => {
                let part = t.min(total_iters) as f64 / total_iters.max(1) as f64;
                base * (start_factor + (end_factor - start_factor) * part)
            }
            &Schedule::Polynomial { total_iters, power } => {
                let left = 1.0 - t.min(total_iters) as f64 / total_iters.max(1) as f64;
                base * libm::pow(left, power)
            }
            &Schedule::InverseTime { decay } => base / (1.0 + decay * t as f64),
            &Schedule::Cosine { t_max, eta_min } => {
                cosine(base, eta_min, t as f64 / t_max.max(1) as f64)
            }
            &Schedule::CosineWarmRestarts { t_0, t_mult, eta_min } => {
                let (mut t, mut length) = (t, t_0.max(1));
                if t_mult <= 1 {
                    t %= length;
                } else {
                    while t >= length {
                        t -= length;
                        length = length.saturating_mul(t_mult);
                    }
                }
                cosine(base, eta_min, t as f64 / length as f64)
            }
            Schedule::OneCycle(cycle) => cycle.at(t).0,
            Schedule::Cyclic(cycle) => cycle.at(t).0,
            &Schedule::Noam { d_model, warmup } => {
                let step = (t + 1) as f64;
                let up = step * libm::pow(warmup.max(1) as f64, -1.5);
                base * libm::pow(d_model.max(1) as f64, -0.5) * up.min(1.0 / libm::sqrt(step))
            }
            Schedule::Sequence(parts) => {
                let part = parts.iter().rev().find(|(from, _)| *from <= t);
                part.map_or(base, |(from, schedule)| schedule.rate(base, t - from))
            }
            Schedule::Product(parts) => {
                parts.iter().fold(base, |rate, schedule| rate * schedule.rate(1.0, t))
            }
        }
    }

    /// The momentum (or beta1) of that step, of schedules that move it too.
    pub fn momentum(&self, t: u64) -> Option<f64> {
        match self {
            Schedule::OneCycle(cycle) => Some(cycle.at(t).1),
            Schedule::Cyclic(cycle) => Some(cycle.at(t).1),
            Schedule::Sequence(parts) => {
                let (from, schedule) = parts.iter().rev().find(|(from, _)| *from <= t)?;
                schedule.momentum(t - from)
            }
            Schedule::Product(parts) => parts.iter().find_map(|s| s.momentum(t)),
            _ => None,
        }
    }
}

fn cosine(base: f64, low: f64, part: f64) -> f64 {
    low + (base - low) * (1.0 + libm::cos(PI * part)) / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use gradus_core::Code;

    #[test]
    fn a_schedule_is_a_part_of_a_file() {
        let schedule = Schedule::OneCycle(OneCycle::new(0.1, 50))
            .warmed_up(5)
            .then(100, Schedule::Product(vec![Schedule::Exponential { gamma: 0.9 }]));
        schedule.validate().unwrap();
        let text = serde_json::to_string(&schedule).unwrap();
        assert_eq!(serde_json::from_str::<Schedule>(&text).unwrap(), schedule);
        assert_eq!(schedule.momentum(0), None);
        assert_eq!(schedule.momentum(5), Some(0.95));
        assert!((schedule.rate(1.0, 101) - 0.9).abs() < 1e-12);
    }

    #[test]
    fn steps_beyond_any_training_are_finite() {
        for schedule in [
            Schedule::OneCycle(OneCycle::new(0.1, 1)),
            Schedule::Cyclic(Cyclic::new(0.1, 0.2)),
            Schedule::CosineWarmRestarts { t_0: 1, t_mult: 2, eta_min: 0.0 },
            Schedule::Linear { start_factor: 0.0, end_factor: 1.0, total_iters: 0 },
            Schedule::Noam { d_model: 512, warmup: 4000 },
            Schedule::InverseTime { decay: 0.1 },
        ] {
            for t in [0, 1, 2, 1 << 40] {
                assert!(schedule.rate(0.1, t).is_finite(), "{schedule:?} {t}");
            }
        }
    }

    #[test]
    fn senseless_numbers_are_errors() {
        for schedule in [
            Schedule::Step { step_size: 0, gamma: 0.1 },
            Schedule::MultiStep { milestones: vec![3, 1], gamma: 0.1 },
            Schedule::OneCycle(OneCycle { pct_start: 1.5, ..OneCycle::new(0.1, 10) }),
            Schedule::Sequence(vec![(3, Schedule::Exponential { gamma: 0.5 })]),
            Schedule::Product(vec![Schedule::Exponential { gamma: f64::NAN }]),
        ] {
            assert_eq!(schedule.validate().unwrap_err().code(), Code::Argument, "{schedule:?}");
        }
    }
}
