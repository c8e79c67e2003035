//! The loop: it learns, it measures right, it stops, and watching it changes nothing.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use gradus_core::{Array, Code, Tensor, set_threads};
use gradus_data::{Dataset, moons, noisy_line};
use gradus_nn::{Adam, Layer, Linear, ModuleExt, Sgd, Tanh, seq};
use gradus_train::{
    Accuracy, Callback, EarlyStopping, Epochs, Event, Flow, Loss, Metric, StopReason, StopToken,
    TrainState, Trainer, accuracy, bce_with_logits, cross_entropy, evaluate, model_sha256, mse,
    state_sha256,
};
use support::{model, parts, trainer};

#[test]
fn digits_reaches_90_percent_in_three_epochs() {
    let (train, valid, test) = parts();
    let model = model();
    let mut report = trainer(&model).fit(&train, &valid, Epochs(3)).unwrap();
    assert_eq!((report.epochs, &report.stop), (3, &StopReason::Finished));
    assert!(report.last("valid.accuracy").unwrap() > 0.9, "{report}");
    assert!(report.last("train.accuracy").unwrap() > 0.9, "{report}");
    let tested = report.test(&model, &test).unwrap();
    assert_eq!(tested.get("test.accuracy").unwrap(), accuracy(&model, &test).unwrap());
    assert!(tested.get("test.accuracy").unwrap() > 0.9, "{report}");
    assert_eq!(report.model_sha256, model_sha256(&model).unwrap());
}

#[test]
fn one_seed_gives_one_hash_for_any_thread_count_and_another_seed_another() {
    let (train, valid, _) = parts();
    let hash = |threads, seed| {
        set_threads(threads);
        let model = model();
        trainer(&model).seed(seed).fit(&train, &valid, Epochs(2)).unwrap().model_sha256
    };
    let one = hash(1, 17);
    assert_eq!(hash(2, 17), one);
    assert_eq!(hash(3, 17), one);
    assert_ne!(hash(1, 18), one);
}

/// Looks at everything, and measures, in every event.
struct Nosy<'a>(&'a Dataset, usize);

impl Callback for Nosy<'_> {
    fn on_event(
        &mut self,
        event: &Event<'_>,
        state: &mut TrainState<'_>,
    ) -> gradus_core::Result<Flow> {
        self.1 += 1;
        if self.1.is_multiple_of(10) || !matches!(event, Event::StepEnd { .. }) {
            evaluate(state.model(), self.0, 50, Loss::CrossEntropy, &[&Accuracy::new()])?;
            state.model().state_dict()?;
            state.optimizer().state_dict()?;
            let _ = (state.lr(), state.history().len(), format!("{event:?}"));
        }
        Ok(Flow::Continue)
    }
}

#[test]
fn watching_measuring_and_writing_change_no_bit() {
    let (train, valid, test) = parts();
    let bare = {
        let model = model();
        let trainer = Trainer::new(&model, Adam::new(&model, 1e-2));
        let trainer = trainer.loss(Loss::CrossEntropy).batch_size(32).seed(17);
        trainer.fit(&train, None, Epochs(3)).unwrap().model_sha256
    };
    let folder = tempfile::tempdir().unwrap();
    let model = model();
    let report = trainer(&model)
        .callback(Nosy(&test, 0))
        .watch(|_| {})
        .callback(EarlyStopping::on("valid.loss").patience(100))
        .run(support::create(folder.path().join("run")).unwrap())
        .fit(&train, &valid, Epochs(3))
        .unwrap();
    assert_eq!(report.model_sha256, bare);
}

#[test]
fn the_trainer_does_what_a_loop_by_hand_does() {
    use gradus_nn::Optimizer;
    let (train, _, _) = parts();
    let by_hand = model();
    gradus_core::seed(17);
    let mut opt = Adam::new(&by_hand, 1e-2);
    for epoch in 0..2 {
        for (x, y) in train.shuffled(gradus_data::mix(17, epoch)).batches(32) {
            opt.step(&by_hand.forward(&x).cross_entropy(&y)).unwrap();
        }
    }
    let trained = model();
    trainer(&trained).fit(&train, None, Epochs(2)).unwrap();
    assert_eq!(model_sha256(&trained).unwrap(), model_sha256(&by_hand).unwrap());
}

#[test]
fn events_come_in_the_documented_order() {
    let (train, valid, _) = parts();
    let (train, valid) = (train.take(70), valid.take(10));
    let model = model();
    let mut seen = Vec::new();
    trainer(&model)
        .watch(|event| {
            seen.push(match event {
                Event::FitStart { info } => {
                    assert_eq!((info.steps, info.train_samples, info.valid_samples), (3, 70, 10));
                    assert_eq!(
                        info.metrics,
                        ["train.loss", "train.accuracy", "valid.loss", "valid.accuracy"]
                    );
                    "fit start".to_string()
                }
                Event::EpochStart { epoch } => format!("epoch {epoch}"),
                Event::StepEnd { epoch, step, steps, loss, lr } => {
                    assert!(loss.is_finite() && *lr == 1e-2);
                    format!("step {epoch}.{step}/{steps}")
                }
                Event::EpochEnd { epoch, metrics } => format!("end {epoch} {}", metrics.len()),
                Event::TrainingEnd { stop } => format!("training end {stop}"),
                Event::FitEnd { report } => format!("fit end {}", report.epochs),
                other => format!("{other:?}"),
            });
        })
        .fit(&train, &valid, Epochs(2))
        .unwrap();
    let expected = [
        "fit start",
        "epoch 1",
        "step 1.1/3",
        "step 1.2/3",
        "step 1.3/3",
        "end 1 4",
        "epoch 2",
        "step 2.1/3",
        "step 2.2/3",
        "step 2.3/3",
        "end 2 4",
        "training end finished",
        "fit end 2",
    ];
    assert_eq!(seen, expected);
}

#[test]
fn an_evaluation_counts_every_sample_once() {
    let (_, valid, _) = parts();
    let model = model();
    let metrics: [&dyn Metric; 1] = [&Accuracy::new()];
    let n = valid.len();
    let whole = evaluate(&model, &valid, n, Loss::CrossEntropy, &metrics).unwrap();
    // 100 leaves a smaller last batch.
    assert_ne!(n % 100, 0);
    let cut = evaluate(&model, &valid, 100, cross_entropy, &metrics).unwrap();
    assert_eq!(whole.get("accuracy"), cut.get("accuracy"));
    assert!((whole.get("loss").unwrap() - cut.get("loss").unwrap()).abs() < 1e-6);
    let again = evaluate(&model, &valid, 100, cross_entropy, &metrics).unwrap();
    assert_eq!(cut, again);
    // By hand.
    let (x, y) = valid.arrays().unwrap();
    let logits = model.predict(&Tensor::from(x));
    let right = logits.argmax(-1).to_vec::<i64>().unwrap();
    let right = right.iter().zip(y.as_slice::<i64>().unwrap()).filter(|(a, b)| a == b).count();
    assert_eq!(whole.get("accuracy"), Some(right as f64 / n as f64));
}

#[test]
fn training_metrics_are_those_of_the_steps() {
    let (train, _, _) = parts();
    let train = train.take(100);
    let model = model();
    let mut losses = Vec::new();
    let report = trainer(&model)
        .watch(|event| {
            if let Event::StepEnd { loss, .. } = event {
                losses.push(*loss);
            }
        })
        .fit(&train, None, Epochs(1))
        .unwrap();
    let mean = (32.0 * (losses[0] + losses[1] + losses[2]) + 4.0 * losses[3]) / 100.0;
    assert!((report.last("train.loss").unwrap() - mean).abs() < 1e-12);
}

#[test]
fn early_stopping_stops_and_puts_the_best_weights_back() {
    let (train, valid, _) = parts();
    let train = train.take(60);
    let model = model();
    let mut hashes = Vec::new();
    struct Hashes<'a>(&'a mut Vec<String>);
    impl Callback for Hashes<'_> {
        fn on_event(
            &mut self,
            event: &Event<'_>,
            state: &mut TrainState<'_>,
        ) -> gradus_core::Result<Flow> {
            if let Event::EpochEnd { .. } = event {
                self.0.push(model_sha256(state.model())?);
            }
            Ok(Flow::Continue)
        }
    }
    let report = Trainer::new(&model, Adam::new(&model, 0.05))
        .loss(Loss::CrossEntropy)
        .seed(17)
        .callback(EarlyStopping::on("valid.loss").patience(2).restore_best())
        .callback(Hashes(&mut hashes))
        .fit(&train, &valid, Epochs(100))
        .unwrap();
    let expected = StopReason::EarlyStopped { metric: "valid.loss".to_string(), patience: 2 };
    assert_eq!(report.stop, expected);
    let best = report.best_epoch.unwrap();
    assert_eq!(report.epochs, best + 2, "{report}");
    assert!(report.epochs < 100 && report.holds_best);
    assert_eq!(report.model_sha256, hashes[best - 1]);
    assert_ne!(hashes[best - 1], hashes[report.epochs - 1]);
    let measured = evaluate(&model, &valid, 32, Loss::CrossEntropy, &[]).unwrap();
    assert_eq!(measured.get("loss"), report.best().unwrap().metrics.get("valid.loss"));
}

#[test]
fn early_stopping_on_a_metric_that_is_not_there_names_those_that_are() {
    let (train, _, _) = parts();
    let model = model();
    let early = EarlyStopping::on("valid.loss");
    let error = trainer(&model).callback(early).fit(&train, None, Epochs(1)).unwrap_err();
    assert_eq!(error.code(), Code::Config);
    assert!(error.to_string().contains("train.accuracy"), "{error}");
    assert!(error.to_string().contains("validation data"), "{error}");
}

#[test]
fn a_stop_token_ends_within_an_epoch() {
    let (train, valid, _) = parts();
    let model = model();
    let token = StopToken::new();
    let held = token.clone();
    let report = trainer(&model)
        .stop_token(token)
        .watch(move |event| {
            if let Event::StepEnd { epoch: 2, step: 3, .. } = event {
                held.stop();
            }
        })
        .fit(&train, &valid, Epochs(50))
        .unwrap();
    assert_eq!(report.stop, StopReason::Stopped);
    assert_eq!(report.epochs, 1);
    assert_eq!(report.steps, train.len().div_ceil(32) as u64 + 3);
}

#[test]
fn a_callback_can_stop() {
    struct Enough;
    impl Callback for Enough {
        fn on_event(&mut self, e: &Event<'_>, _: &mut TrainState<'_>) -> gradus_core::Result<Flow> {
            Ok(match e {
                Event::EpochEnd { epoch: 2, .. } => Flow::Stop,
                _ => Flow::Continue,
            })
        }
    }
    let (train, _, _) = parts();
    let model = model();
    let report = trainer(&model).callback(Enough).fit(&train, None, Epochs(9)).unwrap();
    assert_eq!((report.epochs, report.stop), (2, StopReason::Callback));
}

#[test]
fn regression_and_two_classes_train() {
    let line = noisy_line(200, 0.05, 0).unwrap();
    gradus_core::seed(1);
    let model = Linear::new(1, 1);
    let report =
        Trainer::new(&model, Sgd::new(&model, 0.1)).loss(mse).fit(&line, None, Epochs(30)).unwrap();
    assert_eq!(report.task, "regression");
    assert!(report.last("train.loss").unwrap() < 0.01, "{report}");

    let (train, valid) = moons(400, 0.1, 0).unwrap().split(0.75, 1).unwrap();
    let (train, valid) = (train.binary_targets().unwrap(), valid.binary_targets().unwrap());
    let model = seq![Linear::new(2, 16), Tanh, Linear::new(16, 1)];
    let report = Trainer::new(&model, Adam::new(&model, 0.03))
        .loss(bce_with_logits)
        .metric(Accuracy::new())
        .fit(&train, &valid, 30)
        .unwrap();
    assert_eq!(report.task, "binary");
    assert!(report.last("valid.accuracy").unwrap() > 0.93, "{report}");
    assert_eq!(report.last("valid.accuracy").unwrap(), accuracy(&model, &valid).unwrap());
}

#[test]
fn a_plain_trait_object_can_be_trained() {
    let (train, _, _) = parts();
    let model = model();
    let layer: &dyn Layer = &model;
    let report = Trainer::new(layer, Sgd::new(layer, 0.1))
        .loss_fn(|p, t| p.cross_entropy(t))
        .fit(&train, None, Epochs(1))
        .unwrap();
    assert!(report.last("train.loss").unwrap() < 2.3);
}

#[test]
fn parameters_that_play_no_part_are_named() {
    use gradus_nn::Module;
    #[derive(Module)]
    struct Odd {
        used: Linear,
        unused: Linear,
    }
    impl Layer for Odd {
        fn forward(&self, x: &Tensor) -> Tensor {
            self.used.forward(x)
        }
    }
    let (train, _, _) = parts();
    let model = Odd { used: Linear::new(64, 10), unused: Linear::new(3, 3) };
    let report = Trainer::new(&model, Sgd::new(&model, 0.1))
        .loss(cross_entropy)
        .fit(&train, None, Epochs(1))
        .unwrap();
    assert_eq!(report.untouched, ["unused.weight", "unused.bias"]);
}

#[test]
fn the_report_is_a_table() {
    let (train, valid, test) = parts();
    let model = model();
    let mut report = trainer(&model).fit(&train, &valid, Epochs(14)).unwrap();
    report.test(&model, &test).unwrap();
    let text = report.to_string();
    assert!(text.lines().next().unwrap().contains("valid.accuracy"), "{text}");
    assert!(text.lines().any(|l| l.starts_with('*')), "{text}");
    assert!(text.contains("...") && text.contains("14 epochs in"), "{text}");
    assert!(text.contains("test.accuracy") && text.contains(&report.model_sha256), "{text}");
    let json: serde_json::Value = serde_json::from_str(&report.to_json().unwrap()).unwrap();
    assert_eq!(json["stop"]["reason"], "finished");
    assert!(json["history"][0]["valid.loss"].is_number());
}

#[test]
fn the_hash_is_of_names_shapes_and_bits_not_of_the_file() {
    let model = model();
    let hash = model_sha256(&model).unwrap();
    let state = model.state_dict().unwrap();
    let bytes = gradus_nn::StateDict::from_bytes(&state.to_bytes()).unwrap();
    assert_eq!(state_sha256(&bytes).unwrap(), hash);
    let entries: Vec<(String, Array)> =
        state.iter().map(|(n, a)| (n.to_string(), a.clone())).collect();
    let backwards: gradus_nn::StateDict = entries.iter().rev().cloned().collect();
    assert_eq!(state_sha256(&backwards).unwrap(), hash);
    let mut renamed = state.clone();
    let weight = renamed.remove("0.weight").unwrap();
    renamed.insert("0.other", weight.clone());
    assert_ne!(state_sha256(&renamed).unwrap(), hash);
    let mut reshaped = state.clone();
    reshaped.insert("0.weight", weight.reshape([64, 32]).unwrap());
    assert_ne!(state_sha256(&reshaped).unwrap(), hash);
}

#[test]
fn clipped_steps_are_short_and_count_the_same_parameters() {
    let data = gradus_data::noisy_line(64, 0.1, 0).unwrap();
    let moved = |clip: [Option<f64>; 3]| {
        gradus_core::seed(1);
        let model = seq![Linear::new(1, 1)];
        let before = model.snapshot().unwrap();
        let report = Trainer::new(&model, Sgd::new(&model, 1.0))
            .loss(Loss::Mse)
            .clip_norm(clip[0])
            .clip_value(clip[1])
            .clip_adaptive(clip[2])
            .batch_size(64)
            .fit(&data, None, Epochs(1))
            .unwrap();
        assert!(report.untouched.is_empty());
        let after = model.snapshot().unwrap();
        let pairs = before.iter().zip(after.iter());
        pairs.map(|((_, a), (_, b))| (a.to_f64()[0], b.to_f64()[0])).collect::<Vec<_>>()
    };
    let steps = |clip| moved(clip).into_iter().map(|(a, b): (f64, f64)| (a - b).abs()).collect();
    let norm = |steps: Vec<f64>| steps.iter().map(|s| s * s).sum::<f64>().sqrt();
    assert!((norm(steps([Some(0.125), None, None])) - 0.125).abs() < 1e-4);
    assert_eq!(moved([Some(1e9), Some(1e9), Some(1e9)]), moved([None; 3]));
    // Each element by itself; then all together.
    let by_value: Vec<f64> = steps([None, Some(0.01), None]);
    assert!(by_value.iter().all(|step| (step - 0.01).abs() < 1e-6), "{by_value:?}");
    assert!((norm(steps([Some(0.005), Some(0.01), None])) - 0.005).abs() < 1e-6);
    // In proportion to the weights.
    for (before, after) in moved([None, None, Some(0.01)]) {
        let step = (before - after).abs();
        assert!((step - 0.01 * before.abs().max(1e-3)).abs() < 1e-6, "{before} {after}");
    }
    let model = Linear::new(1, 1);
    let wrong = || Trainer::new(&model, Sgd::new(&model, 1.0)).loss(Loss::Mse);
    for (trainer, words) in [
        (wrong().clip_norm(-1.0), "clipped to a norm of -1"),
        (wrong().clip_value(0.0), "clipped to values of 0"),
        (wrong().clip_adaptive(f64::NAN), "clipped to a length over the weights' of NaN"),
    ] {
        let error = trainer.fit(&data, None, Epochs(1)).unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
    }
    // An infinite gradient is no reason to step along nothing.
    let model = Linear::new(1, 1);
    let error = Trainer::new(&model, Sgd::new(&model, 1e30))
        .loss(Loss::Mse)
        .clip_norm(1e30)
        .fit(&data, None, Epochs(50))
        .unwrap_err();
    assert_eq!(error.code(), gradus_core::Code::NonFinite);
}

#[test]
fn values_are_learnt_by_every_loss_and_measured() {
    use gradus_train::{Mae, R2, Rmse};
    let (train, valid) = gradus_data::noisy_line(200, 0.05, 0).unwrap().split(0.8, 1).unwrap();
    for loss in [Loss::Mse, Loss::Mae, Loss::Huber] {
        gradus_core::seed(1);
        let model = Linear::new(1, 1);
        let report = Trainer::new(&model, Adam::new(&model, 0.05))
            .loss(loss.clone())
            .metric(R2::new())
            .metric(Mae::new())
            .metric(Rmse::in_units_of(1000.0))
            .seed(1)
            .fit(&train, &valid, Epochs(60))
            .unwrap();
        let last = |name| report.last(name).unwrap();
        assert!(last("valid.r2") > 0.95, "{loss:?} {report}");
        assert!(last("valid.rmse") > 1000.0 * last("valid.mae"), "{report}");
        assert_eq!(Loss::parse(loss.name()).unwrap().name(), loss.name());
    }
}
