//! The table of learning-rate schedules.
//!
//! A row says what a schedule is called here and in PyTorch, how it is written, its formula and its
//! source, and gives *samples*, each with some of its rates worked out by hand, and *errors* (numbers
//! that make no sense). From the rows come tests below and the catalogue that `gradus optimizers`
//! prints. To add a schedule: add the variant and its row.

use super::{Cyclic, CyclicMode, OneCycle, Schedule};

/// One schedule.
#[derive(Clone, Debug)]
pub struct ScheduleRow {
    /// What it is called in messages; see [`Schedule::kind`].
    pub name: &'static str,
    /// How it is written; its options with their defaults.
    pub signature: &'static str,
    /// The rate after `t` steps, as plain text; `base` is the optimizer's own.
    pub formula: &'static str,
    /// Its name in PyTorch; "-" if there is none.
    pub pytorch: &'static str,
    /// The paper that it is from; "-" if there is none.
    pub source: &'static str,
    /// What `--schedule` and a file call the one that fits itself to the training; empty if none.
    pub named: &'static str,
    /// Schedules with some of their rates from a base of 1.
    pub samples: fn() -> Vec<Sample>,
    /// Schedules whose numbers make no sense.
    pub errors: fn() -> Vec<Schedule>,
}

/// A schedule with some of its rates.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Which.
    pub schedule: Schedule,
    /// The rates after some numbers of steps, from a base of 1.
    pub rates: Vec<(u64, f64)>,
}

fn sample(schedule: Schedule, rates: &[(u64, f64)]) -> Vec<Sample> {
    vec![Sample { schedule, rates: rates.to_vec() }]
}

/// All schedules, in reading order. [`Plateau`](super::Plateau), which watches a metric, is none of them.
///
/// ```
/// let rows = gradus_train::schedule::registry::rows();
/// let cosine = rows.iter().find(|row| row.name == "cosine").ok_or("no cosine")?;
/// assert_eq!(cosine.pytorch, "torch.optim.lr_scheduler.CosineAnnealingLR");
/// # Ok::<(), &str>(())
/// ```
pub fn rows() -> Vec<ScheduleRow> {
    [falling(), waves(), made_of_others()].concat()
}

fn falling() -> Vec<ScheduleRow> {
    vec![
        ScheduleRow {
            name: "constant",
            signature: "Schedule::Constant { factor, total_iters }",
            formula: "base factor for total_iters steps, then base",
            pytorch: "torch.optim.lr_scheduler.ConstantLR",
            source: "-",
            named: "constant",
            samples: || {
                let schedule = Schedule::Constant { factor: 0.25, total_iters: 3 };
                sample(schedule, &[(0, 0.25), (2, 0.25), (3, 1.0)])
            },
            errors: || vec![Schedule::Constant { factor: 0.0, total_iters: 3 }],
        },
        ScheduleRow {
            name: "step",
            signature: "Schedule::Step { step_size, gamma }",
            formula: "base gamma^floor(t / step_size)",
            pytorch: "torch.optim.lr_scheduler.StepLR",
            source: "-",
            named: "step",
            samples: || {
                let schedule = Schedule::Step { step_size: 3, gamma: 0.5 };
                sample(schedule, &[(0, 1.0), (2, 1.0), (3, 0.5), (9, 0.125)])
            },
            errors: || vec![Schedule::Step { step_size: 0, gamma: 0.1 }],
        },
        ScheduleRow {
            name: "multi-step",
            signature: "Schedule::MultiStep { milestones, gamma }",
            formula: "base gamma^n after n of the milestones",
            pytorch: "torch.optim.lr_scheduler.MultiStepLR",
            source: "-",
            named: "",
            samples: || {
                let schedule = Schedule::MultiStep { milestones: vec![2, 5], gamma: 0.1 };
                sample(schedule, &[(1, 1.0), (2, 0.1), (4, 0.1), (5, 0.01)])
            },
            errors: || vec![Schedule::MultiStep { milestones: vec![5, 2], gamma: 0.1 }],
        },
        ScheduleRow {
            name: "exponential",
            signature: "Schedule::Exponential { gamma }",
            formula: "base gamma^t",
            pytorch: "torch.optim.lr_scheduler.ExponentialLR",
            source: "-",
            named: "exponential",
            samples: || {
                sample(Schedule::Exponential { gamma: 0.5 }, &[(0, 1.0), (1, 0.5), (4, 0.0625)])
            },
            errors: || vec![Schedule::Exponential { gamma: f64::NAN }],
        },
        ScheduleRow {
            name: "linear",
            signature: "Schedule::Linear { start_factor, end_factor, total_iters }",
            formula: "from base start_factor straight to base end_factor: also a warm-up",
            pytorch: "torch.optim.lr_scheduler.LinearLR",
            source: "-",
            named: "linear",
            samples: || {
                let schedule =
                    Schedule::Linear { start_factor: 0.2, end_factor: 1.0, total_iters: 4 };
                sample(schedule, &[(0, 0.2), (1, 0.4), (3, 0.8), (4, 1.0), (9, 1.0)])
            },
            errors: || {
                vec![Schedule::Linear { start_factor: -1.0, end_factor: 1.0, total_iters: 4 }]
            },
        },
        ScheduleRow {
            name: "polynomial",
            signature: "Schedule::Polynomial { total_iters, power }",
            formula: "base (1 - t / total_iters)^power, then 0",
            pytorch: "torch.optim.lr_scheduler.PolynomialLR",
            source: "-",
            named: "",
            samples: || {
                let schedule = Schedule::Polynomial { total_iters: 4, power: 2.0 };
                sample(schedule, &[(0, 1.0), (1, 0.5625), (2, 0.25), (4, 0.0), (9, 0.0)])
            },
            errors: || vec![Schedule::Polynomial { total_iters: 0, power: 2.0 }],
        },
        ScheduleRow {
            name: "inverse-time",
            signature: "Schedule::InverseTime { decay }",
            formula: "base / (1 + decay t)",
            pytorch: "-",
            source: "Robbins and Monro, 1951",
            named: "",
            samples: || {
                let schedule = Schedule::InverseTime { decay: 0.5 };
                sample(schedule, &[(0, 1.0), (2, 0.5), (6, 0.25)])
            },
            errors: || vec![Schedule::InverseTime { decay: -1.0 }],
        },
        ScheduleRow {
            name: "noam",
            signature: "Schedule::Noam { d_model, warmup }",
            formula: "base d_model^-0.5 min(s^-0.5, s warmup^-1.5), s = t + 1",
            pytorch: "-",
            source: "Vaswani et al., 2017",
            named: "",
            samples: || {
                let schedule = Schedule::Noam { d_model: 4, warmup: 4 };
                sample(schedule, &[(0, 0.0625), (3, 0.25), (15, 0.125)])
            },
            errors: || vec![Schedule::Noam { d_model: 0, warmup: 4 }],
        },
    ]
}

fn waves() -> Vec<ScheduleRow> {
    vec![
        ScheduleRow {
            name: "cosine",
            signature: "Schedule::Cosine { t_max, eta_min }",
            formula: "eta_min + (base - eta_min) (1 + cos(pi t / t_max)) / 2",
            pytorch: "torch.optim.lr_scheduler.CosineAnnealingLR",
            source: "Loshchilov and Hutter, 2017",
            named: "cosine, warmup-cosine",
            samples: || {
                let schedule = Schedule::Cosine { t_max: 4, eta_min: 0.2 };
                sample(schedule, &[(0, 1.0), (2, 0.6), (4, 0.2), (8, 1.0)])
            },
            errors: || vec![Schedule::Cosine { t_max: 0, eta_min: 0.0 }],
        },
        ScheduleRow {
            name: "cosine with restarts",
            signature: "Schedule::CosineWarmRestarts { t_0, t_mult, eta_min }",
            formula: "cosines one after another, the first t_0 long, each t_mult times as long as the last",
            pytorch: "torch.optim.lr_scheduler.CosineAnnealingWarmRestarts",
            source: "Loshchilov and Hutter, 2017",
            named: "",
            samples: || {
                let schedule = Schedule::CosineWarmRestarts { t_0: 2, t_mult: 2, eta_min: 0.0 };
                sample(schedule, &[(0, 1.0), (1, 0.5), (2, 1.0), (4, 0.5), (6, 1.0), (10, 0.5)])
            },
            errors: || vec![Schedule::CosineWarmRestarts { t_0: 0, t_mult: 1, eta_min: 0.0 }],
        },
        ScheduleRow {
            name: "one-cycle",
            signature: "Schedule::OneCycle(OneCycle { max_lr, total_steps, pct_start: 0.3, linear: false, div_factor: 25, final_div_factor: 1e4, three_phase: false, momentum: (0.85, 0.95) })",
            formula: "up from max_lr / div_factor, far down; momentum the other way; base does not count",
            pytorch: "torch.optim.lr_scheduler.OneCycleLR",
            source: "Smith and Topin, 2018",
            named: "one-cycle",
            samples: || {
                let usual = OneCycle::new(0.5, 11);
                let line = OneCycle {
                    pct_start: 6.0 / 11.0,
                    linear: true,
                    final_div_factor: 1.0,
                    ..usual
                };
                let rates = [(0, 0.02), (5, 0.5), (10, 0.02)];
                sample(Schedule::OneCycle(line), &rates)
            },
            errors: || {
                vec![Schedule::OneCycle(OneCycle { pct_start: 1.5, ..OneCycle::new(0.1, 10) })]
            },
        },
        ScheduleRow {
            name: "cyclic",
            signature: "Schedule::Cyclic(Cyclic { base_lr, max_lr, step_size_up: 2000, step_size_down: None, mode: Triangular, gamma: 1, momentum: (0.8, 0.9) })",
            formula: "up and down between base_lr and max_lr, at one height or lower each time; base does not count",
            pytorch: "torch.optim.lr_scheduler.CyclicLR",
            source: "Smith, 2017",
            named: "",
            samples: || {
                let cyclic = Cyclic { step_size_up: 2, ..Cyclic::new(0.1, 0.5) };
                let half = Cyclic { mode: CyclicMode::Triangular2, ..cyclic.clone() };
                [
                    sample(Schedule::Cyclic(cyclic), &[(0, 0.1), (1, 0.3), (2, 0.5), (6, 0.5)]),
                    sample(Schedule::Cyclic(half), &[(2, 0.5), (4, 0.1), (6, 0.3), (10, 0.2)]),
                ]
                .concat()
            },
            errors: || vec![Schedule::Cyclic(Cyclic { step_size_up: 0, ..Cyclic::new(0.1, 0.5) })],
        },
    ]
}

fn made_of_others() -> Vec<ScheduleRow> {
    vec![
        ScheduleRow {
            name: "sequence",
            signature: "schedule.then(step, schedule), schedule.warmed_up(steps)",
            formula: "one after another, each counting from its own start; or first straight up",
            pytorch: "torch.optim.lr_scheduler.SequentialLR",
            source: "-",
            named: "",
            samples: || {
                let half = || Schedule::Exponential { gamma: 0.5 };
                [
                    sample(half().then(3, half()), &[(2, 0.25), (3, 1.0), (4, 0.5)]),
                    sample(half().warmed_up(3), &[(0, 0.25), (2, 0.75), (3, 1.0), (4, 0.5)]),
                ]
                .concat()
            },
            errors: || vec![Schedule::Sequence(vec![(3, Schedule::Exponential { gamma: 0.5 })])],
        },
        ScheduleRow {
            name: "product",
            signature: "Schedule::Product(schedules)",
            formula: "all at once: their factors on base are multiplied",
            pytorch: "torch.optim.lr_scheduler.ChainedScheduler",
            source: "-",
            named: "",
            samples: || {
                let parts = vec![
                    Schedule::Exponential { gamma: 0.5 },
                    Schedule::InverseTime { decay: 1.0 },
                ];
                sample(Schedule::Product(parts), &[(0, 1.0), (1, 0.25), (3, 0.03125)])
            },
            errors: || vec![Schedule::Product(vec![Schedule::Exponential { gamma: -1.0 }])],
        },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::ScheduleName;
    use gradus_core::Code;

    #[test]
    fn rates_are_those_worked_out_by_hand() {
        for row in rows() {
            for sample in (row.samples)() {
                assert_eq!(sample.schedule.kind(), row.name);
                sample.schedule.validate().unwrap();
                for (t, want) in sample.rates {
                    let have = sample.schedule.rate(1.0, t);
                    assert!((have - want).abs() < 1e-12, "{}, {t}: {have}, {want}", row.name);
                }
            }
        }
    }

    #[test]
    fn all_are_written_to_files_and_read_back() {
        for row in rows() {
            for Sample { schedule, .. } in (row.samples)() {
                let text = serde_json::to_string(&schedule).unwrap();
                assert_eq!(serde_json::from_str::<Schedule>(&text).unwrap(), schedule, "{text}");
            }
        }
    }

    #[test]
    fn senseless_numbers_are_errors() {
        for row in rows() {
            let errors = (row.errors)();
            assert!(!errors.is_empty(), "{}", row.name);
            for schedule in errors {
                assert_eq!(schedule.kind(), row.name);
                assert_eq!(schedule.validate().unwrap_err().code(), Code::Argument, "{}", row.name);
            }
        }
    }

    #[test]
    fn every_schedule_has_a_row() {
        let rows = rows();
        let names: std::collections::HashSet<_> = rows.iter().map(|row| row.name).collect();
        assert_eq!(names.len(), rows.len());
        // The compiler asks for a line here when there is a new variant, and for a row.
        let known = |schedule: &Schedule| match schedule {
            Schedule::Constant { .. }
            | Schedule::Step { .. }
            | Schedule::MultiStep { .. }
            | Schedule::Exponential { .. }
            | Schedule::Linear { .. }
            | Schedule::Polynomial { .. }
            | Schedule::InverseTime { .. }
            | Schedule::Cosine { .. }
            | Schedule::CosineWarmRestarts { .. }
            | Schedule::OneCycle(_)
            | Schedule::Cyclic(_)
            | Schedule::Noam { .. }
            | Schedule::Sequence(_)
            | Schedule::Product(_) => 14,
        };
        assert_eq!(rows.len(), known(&Schedule::Exponential { gamma: 1.0 }));
        // And every name that needs no metric is one of a row.
        for name in ScheduleName::ALL.iter().filter(|name| **name != ScheduleName::Plateau) {
            let mut of_rows = rows.iter().flat_map(|row| row.named.split(", "));
            assert!(of_rows.any(|own| own == name.name()), "{name:?}");
        }
    }
}
