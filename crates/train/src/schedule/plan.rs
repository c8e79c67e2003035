//! What a file or an argument says of the learning rate of a training.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{OneCycle, Plateau, Schedule};

/// Schedules that a name is enough for: they fit themselves to the length of the training.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScheduleName {
    /// Falls along a cosine to a thousandth: the last epochs settle instead of jumping about.
    #[default]
    Cosine,
    /// Stays as it is.
    Constant,
    /// Falls straight to a thousandth.
    Linear,
    /// Falls by the same factor each step, to a thousandth.
    Exponential,
    /// Falls to a tenth after half of the steps, and to a hundredth after three quarters.
    Step,
    /// Rises for a twentieth of the steps, then falls along a cosine.
    WarmupCosine,
    /// Rises from a 25th for three tenths of the steps, then falls far; momentum goes the other way.
    OneCycle,
    /// Falls to a tenth when the validation loss (else the training loss) was no better for 5 epochs.
    Plateau,
}

/// Where falling rates end: the very last steps would do nothing at a rate of zero.
const END: f64 = 1e-3;

impl ScheduleName {
    /// All, in the order of messages.
    pub const ALL: [ScheduleName; 8] = [
        ScheduleName::Cosine,
        ScheduleName::Constant,
        ScheduleName::Linear,
        ScheduleName::Exponential,
        ScheduleName::Step,
        ScheduleName::WarmupCosine,
        ScheduleName::OneCycle,
        ScheduleName::Plateau,
    ];

    /// The name in files and arguments.
    pub fn name(self) -> &'static str {
        match self {
            ScheduleName::Cosine => "cosine",
            ScheduleName::Constant => "constant",
            ScheduleName::Linear => "linear",
            ScheduleName::Exponential => "exponential",
            ScheduleName::Step => "step",
            ScheduleName::WarmupCosine => "warmup-cosine",
            ScheduleName::OneCycle => "one-cycle",
            ScheduleName::Plateau => "plateau",
        }
    }

    /// The schedule of that name.
    pub fn parse(name: &str) -> Option<ScheduleName> {
        ScheduleName::ALL.into_iter().find(|s| s.name() == name)
    }

    /// The schedule over `steps` steps from the rate `base`; none where the rate does not follow from
    /// the step.
    ///
    /// ```
    /// use gradus_train::ScheduleName;
    /// let Some(schedule) = ScheduleName::WarmupCosine.over(1000, 0.1) else { unreachable!() };
    /// assert!(schedule.rate(0.1, 0) < 0.01);
    /// assert_eq!(schedule.rate(0.1, 50), 0.1);
    /// assert!(schedule.rate(0.1, 999) < 0.001);
    /// ```
    pub fn over(self, steps: u64, base: f64) -> Option<Schedule> {
        let steps = steps.max(1);
        let cosine = |t_max: u64| Schedule::Cosine { t_max: t_max.max(1), eta_min: base * END };
        Some(match self {
            ScheduleName::Constant | ScheduleName::Plateau => return None,
            ScheduleName::Cosine => cosine(steps),
            ScheduleName::Linear => {
                Schedule::Linear { start_factor: 1.0, end_factor: END, total_iters: steps }
            }
            ScheduleName::Exponential => {
                Schedule::Exponential { gamma: libm::pow(END, 1.0 / steps as f64) }
            }
            ScheduleName::Step => {
                Schedule::MultiStep { milestones: vec![steps / 2, steps * 3 / 4], gamma: 0.1 }
            }
            ScheduleName::WarmupCosine => {
                let up = (steps / 20).max(1);
                cosine(steps.saturating_sub(up)).warmed_up(up)
            }
            ScheduleName::OneCycle => Schedule::OneCycle(OneCycle::new(base, steps)),
        })
    }
}

/// How the learning rate changes while a model trains, as a run's `config.toml` has it.
///
/// ```
/// use gradus_train::schedule::{Plateau, Schedule, ScheduleName, SchedulePlan};
/// let plans = [
///     SchedulePlan::from(ScheduleName::OneCycle),
///     SchedulePlan::from(Schedule::Exponential { gamma: 0.999 }),
///     SchedulePlan::epochs(Schedule::Step { step_size: 30, gamma: 0.1 }),
///     SchedulePlan::plateau(Plateau::new().patience(3), "valid.loss"),
/// ];
/// for plan in plans {
///     let text = serde_json::to_string(&plan).unwrap_or_default();
///     assert_eq!(serde_json::from_str::<SchedulePlan>(&text).ok(), Some(plan));
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(
    untagged,
    expecting = "a schedule: cosine, constant, linear, exponential, step, warmup-cosine, one-cycle, \
                 plateau, or a table with the numbers of one"
)]
#[non_exhaustive]
pub enum SchedulePlan {
    /// By name.
    Named(ScheduleName),
    /// A schedule that counts epochs.
    Epochs {
        /// Which.
        epochs: Schedule,
    },
    /// By a metric.
    Plateau {
        /// When and how far.
        plateau: Plateau,
        /// Which metric; by default `valid.loss`, without validation `train.loss`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        on: Option<String>,
    },
    /// A schedule that counts steps.
    Steps(Schedule),
}

impl SchedulePlan {
    /// A schedule that counts epochs instead of steps.
    pub fn epochs(schedule: Schedule) -> SchedulePlan {
        SchedulePlan::Epochs { epochs: schedule }
    }

    /// A rate that falls when a metric is no better.
    pub fn plateau(plateau: Plateau, metric: impl Into<String>) -> SchedulePlan {
        SchedulePlan::Plateau { plateau, on: Some(metric.into()) }
    }
}

impl Default for SchedulePlan {
    fn default() -> SchedulePlan {
        SchedulePlan::Named(ScheduleName::default())
    }
}

impl From<ScheduleName> for SchedulePlan {
    /// With what a name means: a plateau has a patience of 5 epochs.
    fn from(name: ScheduleName) -> SchedulePlan {
        SchedulePlan::Named(name)
    }
}

impl From<Schedule> for SchedulePlan {
    fn from(schedule: Schedule) -> SchedulePlan {
        SchedulePlan::Steps(schedule)
    }
}

/// In one word.
impl fmt::Display for SchedulePlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SchedulePlan::Named(name) => name.name(),
            SchedulePlan::Plateau { .. } => "plateau",
            SchedulePlan::Steps(schedule) | SchedulePlan::Epochs { epochs: schedule } => {
                schedule.kind()
            }
        })
    }
}
