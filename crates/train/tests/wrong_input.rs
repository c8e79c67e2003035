//! Wrong input: each has one message in words of the user, and nothing is left behind.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use gradus_core::{Array, Code, Error, Result};
use gradus_data::{Dataset, digits, noisy_line};
use gradus_nn::{Adam, Linear, Module, Relu, Sgd, Tanh, seq};
use gradus_train::{
    Accuracy, Epochs, Loss, Metrics, ModelConfig, Report, Run, RunConfig, Trainer, evaluate,
};
use support::{create, model, names, parts, trainer};

/// The error's code, and that its text says these things.
#[track_caller]
fn says<T: std::fmt::Debug>(result: Result<T>, code: Code, parts: &[&str]) -> Error {
    let error = result.unwrap_err();
    assert_eq!(error.code(), code, "{error}");
    for part in parts {
        assert!(error.to_string().contains(part), "`{part}` is not in\n{error}");
    }
    error
}

fn fit(loss: Loss, outputs: usize, data: &Dataset) -> Result<Report> {
    let width = data.sample_shape().numel();
    let model = seq![Linear::new(width, 8), Relu, Linear::new(8, outputs)];
    Trainer::new(&model, Adam::new(&model, 1e-3)).loss(loss).fit(data, None, Epochs(1))
}

#[test]
fn settings_out_of_range() {
    let (train, valid, _) = parts();
    let model = model();
    let t = || trainer(&model);
    says(t().batch_size(0).fit(&train, &valid, 1), Code::Argument, &["batch size is 0"]);
    says(t().fit(&train, &valid, 0), Code::Argument, &["0 epochs"]);
    let without = Trainer::new(&model, Adam::new(&model, 1e-3));
    says(without.fit(&train, None, 1), Code::Config, &["no loss", "Loss::CrossEntropy"]);
    let twice = t().metric(Accuracy::new());
    says(twice.fit(&train, None, 1), Code::Config, &["two metrics", "accuracy"]);
    let rate = Trainer::new(&model, Adam::new(&model, -1.0)).loss(Loss::CrossEntropy);
    says(rate.fit(&train, None, 1), Code::Argument, &["learning rate"]);
}

#[test]
fn empty_data() {
    let (train, valid, _) = parts();
    let model = model();
    let none = valid.take(0);
    says(trainer(&model).fit(&train, &none, 1), Code::Data, &["no samples", "validation"]);
    says(trainer(&model).fit(&none, &valid, 1), Code::Data, &["no samples", "training"]);
    let evaluated = evaluate(&model, &none, 10, Loss::CrossEntropy, &[]);
    says(evaluated, Code::Data, &["no samples"]);
}

#[test]
fn losses_that_do_not_suit_the_targets() {
    let digits = digits().unwrap();
    let line = noisy_line(64, 0.1, 0).unwrap();
    says(fit(Loss::Mse, 10, &digits), Code::Data, &["class ids", "CrossEntropy", "digits"]);
    says(fit(Loss::BceWithLogits, 1, &digits), Code::Data, &["two classes", "CrossEntropy"]);
    says(fit(Loss::CrossEntropy, 8, &digits), Code::Data, &["8 outputs", "10 classes"]);
    says(fit(Loss::CrossEntropy, 3, &line), Code::Data, &["needs class ids", "Loss::Mse"]);
    says(fit(Loss::BceWithLogits, 1, &line), Code::Data, &["0 to 1", "Loss::Mse"]);
    says(fit(Loss::Mse, 2, &line), Code::Shape, &["mse_loss", "[32, 2]", "[32, 1]"]);
    let moons = gradus_data::moons(50, 0.1, 0).unwrap();
    says(fit(Loss::BceWithLogits, 1, &moons), Code::Data, &["binary_targets()"]);
    says(fit(Loss::CrossEntropy, 1, &moons), Code::Data, &["1 output,", "2 classes"]);
    let rows =
        Loss::from(|p: &gradus_core::Tensor, t: &gradus_core::Tensor| p.cross_entropy_rows(t));
    says(fit(rows, 10, &digits), Code::Shape, &["single number", "mean()"]);
}

#[test]
fn metrics_that_do_not_suit_the_targets() {
    let line = noisy_line(64, 0.1, 0).unwrap();
    let model = Linear::new(1, 1);
    let trainer = Trainer::new(&model, Sgd::new(&model, 0.1)).loss(Loss::Mse);
    let result = trainer.metric(Accuracy::new()).fit(&line, None, 1);
    says(result, Code::Data, &["accuracy needs classes", "regression"]);
    says(gradus_train::accuracy(&model, &line), Code::Data, &["accuracy needs classes"]);
}

#[test]
fn a_model_that_does_not_fit_names_its_layer_and_this_file() {
    #[derive(Module)]
    struct Outer {
        inner: gradus_nn::Sequential,
    }
    impl gradus_nn::Layer for Outer {
        fn forward(&self, x: &gradus_core::Tensor) -> gradus_core::Tensor {
            self.inner.forward(x)
        }
    }
    let (train, _, _) = parts();
    let model = Outer { inner: seq![Linear::new(64, 32), Relu, Linear::new(33, 10)] };
    let folder = tempfile::tempdir().unwrap();
    let run = create(folder.path().join("run")).unwrap();
    let trainer = Trainer::new(&model, Adam::new(&model, 1e-3)).loss(Loss::CrossEntropy);
    let result = trainer.run(run).fit(&train, None, 1);
    let error = says(result, Code::Shape, &["Outer > inner > 2: Linear(33 -> 10)"]);
    assert!(error.to_string().contains("wrong_input.rs"), "{error}");
    assert!(names(folder.path()).is_empty(), "nothing was trained, nothing is left");
}

#[test]
fn an_error_of_one_training_is_not_reported_by_the_next() {
    let (train, _, _) = parts();
    let digits = digits().unwrap();
    for _ in 0..2 {
        says(fit(Loss::CrossEntropy, 8, &digits), Code::Data, &[]);
        let model = model();
        trainer(&model).fit(&train.take(64), None, 1).unwrap();
    }
}

#[test]
fn validation_data_of_another_kind() {
    let (train, _, _) = parts();
    let model = model();
    let images = gradus_data::digits_images().unwrap();
    let result = trainer(&model).fit(&train, &images, 1);
    says(result, Code::Data, &["differ in their samples", "[8, 8]", "[64]"]);
    let (x, _) = train.arrays().unwrap();
    let values = Array::new([x.dims()[0], 1], &vec![0.0f32; x.dims()[0]]).unwrap();
    let values = Dataset::from_arrays(x, values).unwrap();
    says(trainer(&model).fit(&train, &values, 1), Code::Data, &["differ in their targets"]);
}

/// Digits with one pixel changed in some sample.
fn spoiled(row: usize, value: f32) -> Dataset {
    let (mut x, y) = digits().unwrap().arrays().unwrap();
    x.make_mut::<f32>().unwrap()[row * 64 + 5] = value;
    Dataset::from_arrays(x, y).unwrap().with_name("spoiled")
}

#[test]
fn nan_in_the_training_data_names_the_step_and_changes_nothing() {
    let model = model();
    let before = gradus_train::model_sha256(&model).unwrap();
    let data = spoiled(3, f32::NAN).take(32);
    let result = trainer(&model).fit(&data, None, 1);
    says(
        result,
        Code::NonFinite,
        &["the data is not finite", "1 of 1 (epoch 1)", "row 3 of `spoiled`"],
    );
    assert_eq!(gradus_train::model_sha256(&model).unwrap(), before);
}

#[test]
fn nan_in_the_validation_data_is_an_error_of_the_first_epoch() {
    let (train, _, _) = parts();
    let model = model();
    let result = trainer(&model).fit(&train, &spoiled(3, f32::NAN), 5);
    says(result, Code::NonFinite, &["valid.loss is NaN after epoch 1"]);
}

#[test]
fn a_rate_that_diverges_keeps_the_best_and_says_where() {
    let (train, valid, _) = parts();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    let model = model();
    // Good for an epoch, then far too high.
    struct Break;
    impl gradus_train::Callback for Break {
        fn on_event(
            &mut self,
            event: &gradus_train::Event<'_>,
            state: &mut gradus_train::TrainState<'_>,
        ) -> Result<gradus_train::Flow> {
            if let gradus_train::Event::EpochEnd { .. } = event {
                state.set_lr(1e30);
            }
            Ok(gradus_train::Flow::Continue)
        }
    }
    let mut failed = false;
    let result = Trainer::new(&model, Sgd::new(&model, 0.1))
        .loss(Loss::CrossEntropy)
        .seed(17)
        .callback(Break)
        .watch(|event| failed |= matches!(event, gradus_train::Event::Failed { .. }))
        .run(create(&path).unwrap())
        .fit(&train, &valid, Epochs(5));
    let file = path.join("model.safetensors");
    let parts = ["(epoch 2)", "learning rate", file.to_str().unwrap(), "epoch 1 with valid.loss"];
    says(result, Code::NonFinite, &parts);
    assert!(failed);
    let run = Run::open(&path).unwrap();
    assert!(run.weights().unwrap().get("0.weight").is_some());
    let report = run.report().unwrap();
    assert!(report.stop.to_string().starts_with("failed: "), "{report}");
    assert_eq!(report.epochs, 1);
}

#[test]
fn a_rate_of_a_million_diverges_with_the_step() {
    let line = noisy_line(256, 0.1, 0).unwrap();
    let model = seq![Linear::new(1, 8), Tanh, Linear::new(8, 1)];
    let t = Trainer::new(&model, Sgd::new(&model, 1e6)).loss(Loss::Mse).seed(1);
    let result = t.fit(&line, None, Epochs(40));
    let error = says(result, Code::NonFinite, &["learning rate", "(epoch ", "wrong_input.rs"]);
    assert!(error.get("step").is_some(), "{error}");
}

#[test]
fn a_loss_that_grew_but_stayed_finite_is_a_warning() {
    let (train, valid, _) = parts();
    let model = model();
    let t = Trainer::new(&model, Sgd::new(&model, 1e6)).loss(Loss::CrossEntropy).seed(1);
    let report = t.fit(&train, &valid, Epochs(3)).unwrap();
    assert!(report.warnings.iter().any(|w| w.contains("learning rate")), "{report}");
    let calm = trainer(&model).fit(&train, &valid, Epochs(1)).unwrap();
    assert!(calm.warnings.is_empty());
}

#[test]
fn folders_that_cannot_be_used() {
    let folder = tempfile::tempdir().unwrap();
    let config = RunConfig::new();
    let file = folder.path().join("file");
    std::fs::write(&file, "x").unwrap();
    says(Run::create(&file, &config), Code::Io, &["it is a file", "file"]);
    says(Run::create(file.join("run"), &config), Code::Io, &["cannot make the folder"]);
    says(Run::create("/proc/gradus/run", &config), Code::Io, &["/proc/gradus/run"]);
    // A folder with other files: not without being asked, and never over files of the same name.
    let other = folder.path().join("other");
    std::fs::create_dir(&other).unwrap();
    std::fs::write(other.join("notes.txt"), "x").unwrap();
    says(Run::create(&other, &config), Code::Io, &["not empty", "notes.txt"]);
    Run::overwrite(&other, &config).unwrap();
    assert_eq!(names(&other), ["config.toml", "notes.txt"]);
    let foreign = folder.path().join("foreign");
    std::fs::create_dir(&foreign).unwrap();
    std::fs::write(foreign.join("config.toml"), "[package]\nname = 'x'\n").unwrap();
    let error = says(Run::overwrite(&foreign, &config), Code::Io, &["config.toml", "move them"]);
    assert!(!error.to_string().contains("format"), "{error}");
    let kept = std::fs::read_to_string(foreign.join("config.toml")).unwrap();
    assert!(kept.starts_with("[package]"));
}

#[test]
fn a_folder_that_becomes_unwritable_ends_the_training_with_its_path() {
    let (train, valid, _) = parts();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    let model = model();
    let gone = path.clone();
    let result = trainer(&model)
        .run(create(&path).unwrap())
        .watch(move |event| {
            if let gradus_train::Event::EpochStart { epoch: 2 } = event {
                // The folder turns into a file: nothing can be written into it, not even by root.
                std::fs::remove_dir_all(&gone).unwrap();
                std::fs::write(&gone, "").unwrap();
            }
        })
        .fit(&train, &valid, Epochs(3));
    says(result, Code::Io, &["cannot write", path.to_str().unwrap()]);
}

#[test]
fn opening_what_is_no_run() {
    let folder = tempfile::tempdir().unwrap();
    says(Run::open(folder.path().join("none")), Code::Io, &["no such folder"]);
    says(Run::open(folder.path()), Code::Io, &["holds no run", "config.toml is missing"]);
    let config = folder.path().join("config.toml");
    std::fs::write(&config, "format = 2\n").unwrap();
    says(Run::open(folder.path()), Code::Format, &["format 2", "reads 1"]);
    std::fs::write(&config, "x = 2\n").unwrap();
    says(Run::open(folder.path()), Code::Format, &["no `format`"]);
    std::fs::write(&config, "format = 1\nx = [\n").unwrap();
    says(Run::open(folder.path()), Code::Format, &["config.toml", "line 2"]);
    std::fs::write(&config, "format = 1\n").unwrap();
    says(Run::open(folder.path()), Code::Format, &["missing field `gradus`"]);
    std::fs::remove_file(&config).unwrap();
    let run = Run::create(folder.path(), &RunConfig::new()).unwrap();
    says(run.weights(), Code::Io, &["no model.safetensors", "first epoch"]);
    says(run.report(), Code::Io, &["no report.json"]);
    says(run.load_model(), Code::Config, &["does not describe its model"]);
    assert!(run.metrics().unwrap().is_empty());
    std::fs::write(run.model_path(), "rubbish").unwrap();
    says(run.weights(), Code::Format, &["model.safetensors"]);
    std::fs::write(folder.path().join("metrics.jsonl"), "{}\n{\"epoch\":").unwrap();
    says(run.metrics(), Code::Format, &["metrics.jsonl, line 1"]);
}

#[test]
fn weights_of_another_model_are_named_with_their_file() {
    let folder = tempfile::tempdir().unwrap();
    let digits = digits().unwrap();
    let mut config = RunConfig::for_data(&digits);
    config.model = Some(ModelConfig::mlp(&digits, &[32]));
    let run = Run::create(folder.path().join("run"), &config).unwrap();
    use gradus_nn::ModuleExt;
    seq![Linear::new(64, 16), Relu, Linear::new(16, 10)].save(run.model_path()).unwrap();
    says(run.load_model(), Code::State, &["0.weight", "model.safetensors"]);
}

#[test]
fn impossible_configurations() {
    let digits = digits().unwrap();
    let mut model = ModelConfig::mlp(&digits, &[32, 0]);
    says(model.build(), Code::Config, &["hidden layer 2 has size 0"]);
    model.layers = vec![32];
    model.dropout = 1.5;
    says(model.build(), Code::Config, &["dropout 1.5"]);
    let mut config = RunConfig::for_data(&digits);
    config.seed = u64::MAX;
    says(config.to_toml(), Code::Config, &["seed", "2^63"]);
    config.training.loss = "hinge".to_string();
    says(config.build_loss(), Code::Config, &["hinge", "cross_entropy"]);
    let linear = Linear::new(2, 2);
    let built = config.training.optimizer.build(&linear).map(|_| ());
    says(built, Code::Config, &["no optimizer"]);
    config.training.optimizer.name = Some(gradus_train::OptimizerName::ADAM);
    config.training.optimizer.momentum = Some(0.9);
    says(config.training.optimizer.build(&linear).map(|_| ()), Code::Config, &["no momentum"]);
}

#[test]
fn numbers_that_are_not_finite_are_null_in_json() {
    let metrics: Metrics = [("a", f64::NAN), ("b", 0.1)].into_iter().collect();
    let json = serde_json::to_string(&metrics).unwrap();
    assert_eq!(json, r#"{"a":null,"b":0.1}"#);
    let back: Metrics = serde_json::from_str(&json).unwrap();
    assert!(back.get("a").unwrap().is_nan());
    assert_eq!(back.get("b"), Some(0.1));
}
