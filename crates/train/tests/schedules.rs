//! Learning rates, averages and penalties within a training.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use gradus_core::{Code, Result, Tensor};
use gradus_nn::{ModuleExt, Sequential, Sgd, penalty};
use gradus_train::schedule::{OneCycle, Plateau, Schedule, ScheduleName, SchedulePlan};
use gradus_train::{
    Averaging, Callback, Epochs, Event, Flow, Loss, Report, Run, RunConfig, Scheduler, TrainState,
    Trainer, model_sha256,
};
use support::{create, model, parts};

fn trainer<'m>(model: &'m Sequential, plan: impl Into<SchedulePlan>) -> Trainer<'m> {
    Trainer::new(model, Sgd::new(model, 0.08).momentum(0.9))
        .loss(Loss::CrossEntropy)
        .batch_size(64)
        .seed(3)
        .callback(Scheduler::new(plan))
}

/// The rate of every step.
fn rates(plan: impl Into<SchedulePlan>, epochs: usize) -> Vec<f64> {
    let (train, valid, _) = parts();
    let model = model();
    let mut rates = Vec::new();
    trainer(&model, plan)
        .watch(|event| {
            if let Event::StepEnd { lr, .. } = event {
                rates.push(*lr);
            }
        })
        .fit(&train, &valid, Epochs(epochs))
        .unwrap();
    rates
}

#[test]
fn a_schedule_counts_steps_or_epochs() {
    let (train, _, _) = parts();
    let steps = train.len().div_ceil(64);
    let decay = Schedule::Exponential { gamma: 0.5 };
    let by_step = rates(decay.clone(), 2);
    assert!((0..5).all(|t| (by_step[t] - 0.08 * 0.5f64.powi(t as i32)).abs() < 1e-15));
    let by_epoch = rates(SchedulePlan::epochs(decay), 3);
    let expected: Vec<f64> =
        (0..3 * steps).map(|t| 0.08 * 0.5f64.powi((t / steps) as i32)).collect();
    assert_eq!(by_epoch, expected);
}

#[test]
fn named_schedules_fit_the_length_of_the_training() {
    for name in ScheduleName::ALL {
        let rates = rates(name, 2);
        let (first, last) = (rates[0], rates[rates.len() - 1]);
        let most = rates.iter().copied().fold(0.0, f64::max);
        assert!(most <= 0.08 + 1e-12 && most > 0.07, "{name:?}: {most}");
        match name {
            ScheduleName::Constant | ScheduleName::Plateau => assert_eq!(last, 0.08),
            ScheduleName::WarmupCosine | ScheduleName::OneCycle => assert!(first < 0.05),
            _ => assert!(first == 0.08 && last < 0.02, "{name:?}: {last}"),
        }
        assert_eq!(ScheduleName::parse(name.name()), Some(name));
    }
}

/// Notes the momentum that a schedule sets.
struct Momentum<'a>(&'a mut Vec<f64>);

impl Callback for Momentum<'_> {
    fn on_event(&mut self, event: &Event<'_>, state: &mut TrainState<'_>) -> Result<Flow> {
        if let Event::StepEnd { .. } = event {
            // The state does not tell; what a step does, does.
            let moves = state.set_momentum(0.9);
            self.0.push(f64::from(u8::from(moves)));
        }
        Ok(Flow::Continue)
    }
}

#[test]
fn one_cycle_moves_momentum_the_other_way() {
    let (train, valid, _) = parts();
    // The same rates with and without the momentum's way give other weights.
    let weights = |hold: bool| {
        let model = model();
        let plan = Schedule::OneCycle(OneCycle::new(0.05, 40));
        let mut moved = Vec::new();
        let trainer = trainer(&model, plan);
        let trainer = if hold { trainer.callback(Momentum(&mut moved)) } else { trainer };
        trainer.fit(&train, &valid, Epochs(1)).unwrap();
        assert!(moved.iter().all(|m| *m == 1.0));
        model_sha256(&model).unwrap()
    };
    assert_ne!(weights(true), weights(false));
}

#[test]
fn a_plateau_falls_when_its_metric_is_no_better() {
    let (train, valid, _) = parts();
    let model = model();
    // No epoch is better by so much.
    let plateau = Plateau::new().patience(1).factor(0.5).threshold(1e3).absolute(true);
    let report = trainer(&model, SchedulePlan::plateau(plateau, "train.loss"))
        .fit(&train, &valid, Epochs(5))
        .unwrap();
    // The rate after each epoch is noted before the callbacks see its end.
    let rates: Vec<f64> = report.history.iter().map(|r| r.lr).collect();
    assert_eq!(rates, [0.08, 0.08, 0.08, 0.04, 0.04]);
    let error = trainer(&model, SchedulePlan::plateau(Plateau::new(), "valid.los"))
        .fit(&train, &valid, Epochs(1))
        .unwrap_err();
    assert_eq!(error.code(), Code::Config);
    let senseless = Schedule::Step { step_size: 0, gamma: 0.1 };
    let error = trainer(&model, senseless).fit(&train, &valid, Epochs(1)).unwrap_err();
    assert_eq!(error.code(), Code::Argument);
}

fn plans() -> Vec<SchedulePlan> {
    vec![
        ScheduleName::Cosine.into(),
        ScheduleName::Plateau.into(),
        SchedulePlan::plateau(
            Plateau::new().patience(0).threshold(0.2).cooldown(1).factor(0.3),
            "valid.loss",
        ),
        Schedule::OneCycle(OneCycle::new(0.07, 90)).into(),
        Schedule::Product(vec![
            Schedule::InverseTime { decay: 0.01 },
            Schedule::Cosine { t_max: 50, eta_min: 0.01 },
        ])
        .warmed_up(7)
        .into(),
        SchedulePlan::epochs(Schedule::MultiStep { milestones: vec![1, 3], gamma: 0.2 }),
    ]
}

fn without_time(report: &Report) -> String {
    let mut report = report.clone();
    report.seconds = 0.0;
    report.history.iter_mut().for_each(|record| record.seconds = 0.0);
    report.to_json().unwrap()
}

#[test]
fn a_resumed_training_goes_on_with_its_schedule_and_average_bit_for_bit() {
    let (train, valid, _) = parts();
    for (i, plan) in plans().into_iter().enumerate() {
        let folder = tempfile::tempdir().unwrap();
        let all = |model: &Sequential, run: Run, resume: bool, epochs: usize| {
            let averaging = if i % 2 == 0 { Averaging::ema(0.9) } else { Averaging::swa(2) };
            // A resumed training makes its optimizer as the first one did.
            let trainer = trainer(model, plan.clone()).callback(averaging);
            let trainer = if resume { trainer.resume(run) } else { trainer.run(run) };
            trainer.fit(&train, &valid, Epochs(epochs)).unwrap()
        };
        // The same number of epochs from the start: named schedules depend on it.
        let (one, two) = (folder.path().join("one"), folder.path().join("two"));
        let whole = model();
        let report = all(&whole, create(&one).unwrap(), false, 4);
        let parted = model();
        let token = gradus_train::StopToken::new();
        let stop = token.clone();
        let averaging = if i % 2 == 0 { Averaging::ema(0.9) } else { Averaging::swa(2) };
        trainer(&parted, plan.clone())
            .callback(averaging)
            .run(create(&two).unwrap())
            .stop_token(token)
            .watch(move |event| {
                if let Event::StepEnd { epoch: 3, step: 2, .. } = event {
                    stop.stop();
                }
            })
            .fit(&train, &valid, Epochs(4))
            .unwrap();
        let again = model();
        let resumed = all(&again, Run::open(&two).unwrap(), true, 4);
        assert_eq!(without_time(&report), without_time(&resumed), "plan {i}");
        assert_eq!(model_sha256(&whole).unwrap(), model_sha256(&again).unwrap(), "plan {i}");
    }
}

#[test]
fn a_schedule_is_a_part_of_the_configuration() {
    for plan in plans() {
        let mut config = RunConfig::new();
        config.training.schedule = Some(plan);
        let text = config.to_toml().unwrap();
        assert_eq!(RunConfig::parse(&text, "config.toml").unwrap(), config, "{text}");
    }
    let mut config = RunConfig::new();
    config.training.schedule = Some(ScheduleName::WarmupCosine.into());
    let text = config.to_toml().unwrap();
    assert!(text.contains("schedule = \"warmup-cosine\""), "{text}");
    let error =
        RunConfig::parse(&text.replace("warmup-cosine", "warm"), "config.toml").unwrap_err();
    assert!(error.title().contains("a schedule: cosine, constant"), "{error}");
}

#[test]
fn a_penalty_is_in_the_loss_that_is_minimised() {
    let (train, _, _) = parts();
    let size = |lambda: f64| {
        let model = model();
        let mut report = trainer(&model, ScheduleName::Constant)
            .penalty(|| penalty::l1(&model, lambda, penalty::weights))
            .fit(&train, None, Epochs(4))
            .unwrap();
        let total = penalty::l1(&model, 1.0, penalty::weights).item().unwrap();
        let measured = report.test(&model, &train).unwrap().get("test.loss").unwrap();
        (total, report.last("train.loss").unwrap(), measured)
    };
    let (plain, with) = (size(0.0), size(1e-2));
    assert!(with.0 < 0.5 * plain.0, "{plain:?} {with:?}");
    assert!(with.1 > with.2 + 5e-3 * with.0, "the penalty is in train.loss only: {with:?}");
}

#[test]
fn averaged_weights_are_in_the_model_at_the_end() {
    let (train, valid, _) = parts();
    let model = model();
    let mut ends: Vec<Vec<f64>> = Vec::new();
    struct Ends<'a>(&'a mut Vec<Vec<f64>>);
    impl Callback for Ends<'_> {
        fn on_event(&mut self, event: &Event<'_>, state: &mut TrainState<'_>) -> Result<Flow> {
            if let Event::EpochEnd { .. } = event {
                let weights = state.model().named_parameters();
                self.0.push(weights[0].1.get()?.to_f64());
            }
            Ok(Flow::Continue)
        }
    }
    trainer(&model, ScheduleName::Constant)
        .callback(Ends(&mut ends))
        .callback(Averaging::swa(2))
        .fit(&train, &valid, Epochs(4))
        .unwrap();
    let found = Tensor::from(&model.named_parameters()[0].1.get().unwrap()).to_array().unwrap();
    for (i, found) in found.to_f64().into_iter().enumerate() {
        let mean = (ends[1][i] + ends[2][i] + ends[3][i]) / 3.0;
        assert!((found - mean).abs() < 1e-6);
    }
}
