//! Learning rates as functions of the step: what PyTorch calls schedulers.
//!
//! A [`Schedule`] has no state: the rate of a step follows from the optimizer's own rate and the
//! number of steps made before, so a resumed training goes on with the same rates, and a schedule
//! can be asked for any step. [`Plateau`] is the exception: it watches a metric.

use gradus_core::{Code, Error, Result};
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
    fn at(&self, t: u64) -> (f64, f64) {
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

    fn at(&self, t: u64) -> (f64, f64) {
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

    /// Whether the numbers make sense.
    ///
    /// # Errors
    /// [`Code::Argument`] with the number that does not.
    pub fn validate(&self) -> Result<()> {
        let count = |what: &str, n: u64| match n {
            0 => Err(argument(format!("{what} must be at least 1, not 0"))),
            _ => Ok(()),
        };
        let positive = |what: &str, x: f64| match x > 0.0 && x.is_finite() {
            true => Ok(()),
            false => Err(argument(format!("{what} must be above 0, not {x}"))),
        };
        match self {
            Schedule::Constant { factor, .. } => positive("factor", *factor),
            Schedule::Step { step_size, gamma } => {
                count("step_size", *step_size).and(positive("gamma", *gamma))
            }
            Schedule::MultiStep { milestones, gamma } => {
                if !milestones.is_sorted() {
                    return Err(argument(format!("milestones must rise: {milestones:?}")));
                }
                positive("gamma", *gamma)
            }
            Schedule::Exponential { gamma } => positive("gamma", *gamma),
            Schedule::Linear { start_factor, end_factor, total_iters } => {
                count("total_iters", *total_iters)?;
                if !(*start_factor >= 0.0 && *end_factor >= 0.0) {
                    let text = format!("factors must be 0 or more: {start_factor}, {end_factor}");
                    return Err(argument(text));
                }
                Ok(())
            }
            Schedule::Polynomial { total_iters, power } => {
                count("total_iters", *total_iters).and(positive("power", *power))
            }
            Schedule::InverseTime { decay } => match *decay >= 0.0 && decay.is_finite() {
                true => Ok(()),
                false => Err(argument(format!("decay must be 0 or more, not {decay}"))),
            },
            Schedule::Cosine { t_max, .. } => count("t_max", *t_max),
            Schedule::CosineWarmRestarts { t_0, t_mult, .. } => {
                count("t_0", *t_0).and(count("t_mult", *t_mult))
            }
            Schedule::OneCycle(c) => {
                count("total_steps", c.total_steps)?;
                positive("max_lr", c.max_lr)?;
                positive("div_factor", c.div_factor)?;
                positive("final_div_factor", c.final_div_factor)?;
                match (0.0..=1.0).contains(&c.pct_start) {
                    true => Ok(()),
                    false => {
                        Err(argument(format!("pct_start must be 0 to 1, not {}", c.pct_start)))
                    }
                }
            }
            Schedule::Cyclic(c) => {
                count("step_size_up", c.step_size_up)?;
                count("step_size_down", c.step_size_down.unwrap_or(1))?;
                positive("base_lr", c.base_lr).and(positive("max_lr", c.max_lr))
            }
            Schedule::Noam { d_model, warmup } => {
                count("d_model", *d_model).and(count("warmup", *warmup))
            }
            Schedule::Sequence(parts) => {
                if parts.first().is_none_or(|(from, _)| *from != 0)
                    || !parts.is_sorted_by_key(|(from, _)| *from)
                {
                    return Err(argument("a sequence starts at step 0 and rises".to_string()));
                }
                parts.iter().try_for_each(|(_, s)| s.validate())
            }
            Schedule::Product(parts) => parts.iter().try_for_each(Schedule::validate),
        }
    }
}

fn argument(text: String) -> Error {
    Error::new(Code::Argument, format!("learning-rate schedule: {text}"))
}

fn cosine(base: f64, low: f64, part: f64) -> f64 {
    low + (base - low) * (1.0 + libm::cos(PI * part)) / 2.0
}

/// Lowers the rate when a metric has not got better for some time; PyTorch's `ReduceLROnPlateau`.
///
/// ```
/// use gradus_train::schedule::Plateau;
/// let mut plateau = Plateau::new().patience(1).factor(0.5);
/// let rates: Vec<f64> = [1.0, 0.5, 0.5, 0.5].iter().map(|&loss| plateau.rate(0.1, loss)).collect();
/// assert_eq!(rates, [0.1, 0.1, 0.1, 0.05]);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Plateau {
    maximize: bool,
    factor: f64,
    patience: u64,
    threshold: f64,
    absolute: bool,
    cooldown: u64,
    min_lr: f64,
    best: Option<f64>,
    bad: u64,
    cooling: u64,
}

impl Default for Plateau {
    fn default() -> Plateau {
        Plateau {
            maximize: false,
            factor: 0.1,
            patience: 10,
            threshold: 1e-4,
            absolute: false,
            cooldown: 0,
            min_lr: 0.0,
            best: None,
            bad: 0,
            cooling: 0,
        }
    }
}

impl Plateau {
    /// With PyTorch's defaults.
    pub fn new() -> Plateau {
        Plateau::default()
    }

    /// Whether higher is better. Default lower.
    #[must_use]
    pub fn maximize(mut self, maximize: bool) -> Plateau {
        self.maximize = maximize;
        self
    }

    /// What the rate is multiplied by; default 0.1.
    #[must_use]
    pub fn factor(mut self, factor: f64) -> Plateau {
        self.factor = factor;
        self
    }

    /// How many values may be no better before the rate falls; default 10.
    #[must_use]
    pub fn patience(mut self, patience: u64) -> Plateau {
        self.patience = patience;
        self
    }

    /// How much better is better; default 1e-4.
    #[must_use]
    pub fn threshold(mut self, threshold: f64) -> Plateau {
        self.threshold = threshold;
        self
    }

    /// Whether the threshold is a difference instead of a part of the best value. Default off.
    #[must_use]
    pub fn absolute(mut self, absolute: bool) -> Plateau {
        self.absolute = absolute;
        self
    }

    /// Values after a fall that do not count; default 0.
    #[must_use]
    pub fn cooldown(mut self, cooldown: u64) -> Plateau {
        self.cooldown = cooldown;
        self
    }

    /// The lowest rate; default 0.
    #[must_use]
    pub fn min_lr(mut self, min_lr: f64) -> Plateau {
        self.min_lr = min_lr;
        self
    }

    /// The rate after one more value of the metric, from the rate `lr` before it.
    pub fn rate(&mut self, lr: f64, metric: f64) -> f64 {
        let better = self.best.is_none_or(|best| {
            let margin = if self.absolute { self.threshold } else { best * self.threshold };
            // As PyTorch has it: a part of a negative best value is negative.
            if self.maximize { metric > best + margin } else { metric < best - margin }
        });
        if better && !metric.is_nan() {
            self.best = Some(metric);
            self.bad = 0;
        } else {
            self.bad += 1;
        }
        if self.cooling > 0 {
            self.cooling -= 1;
            self.bad = 0;
        }
        if self.bad <= self.patience {
            return lr;
        }
        self.cooling = self.cooldown;
        self.bad = 0;
        let lower = (lr * self.factor).max(self.min_lr);
        // A change that small is noise of the rounding.
        if lr - lower > 1e-8 { lower } else { lr }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
