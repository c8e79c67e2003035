//! Runs on disk: what is in the folder, and that a stopped run goes on bit for bit.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use std::fs;
use std::path::Path;

use gradus_core::{Code, Result};
use gradus_nn::{Adam, ModuleExt, Sequential};
use gradus_train::{
    Accuracy, Checkpoint, EarlyStopping, Epochs, Event, Loss, ModelConfig, Report, Run, RunConfig,
    StopReason, StopToken, Trainer, evaluate, model_sha256, state_sha256,
};
use support::{create, model, names, parts, trainer};

#[test]
fn a_run_leaves_its_five_files_and_can_be_opened() {
    let (train, valid, test) = parts();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a/run");
    let mut config = RunConfig::for_data(&gradus_data::digits().unwrap());
    config.data.valid = Some(0.15);
    let mut mlp = ModelConfig::mlp(&train, &[24, 16]);
    mlp.dropout = 0.1;
    config.model = Some(mlp);
    gradus_core::seed(17);
    let model = config.build_model().unwrap();
    let mut report = trainer(&model)
        .run(Run::create(&path, &config).unwrap())
        .fit(&train, &valid, Epochs(4))
        .unwrap();
    report.test(&model, &test).unwrap();
    let files =
        ["config.toml", "metrics.jsonl", "model.safetensors", "report.json", "state.safetensors"];
    assert_eq!(names(&path), files);

    let run = Run::open(&path).unwrap();
    let written = run.config();
    assert_eq!((written.format, written.seed), (1, 17));
    assert_eq!(written.gradus, env!("CARGO_PKG_VERSION"));
    assert_eq!(written.isa, gradus_core::isa::active().name());
    assert_eq!(written.data, config.data);
    assert_eq!(written.model, config.model);
    let training = &written.training;
    assert_eq!((training.batch_size, training.epochs, training.optimizer.lr), (32, 4, 1e-2));
    assert_eq!(training.loss, "cross_entropy");

    assert_eq!(run.metrics().unwrap(), report.history);
    let again = run.report().unwrap();
    assert_eq!(again.history, report.history);
    assert_eq!((&again.test, &again.stop), (&report.test, &report.stop));
    let best = run.load_model().unwrap();
    let measured = evaluate(&best, &valid, 32, Loss::CrossEntropy, &[&Accuracy::new()]).unwrap();
    let recorded = &report.best().unwrap().metrics;
    assert_eq!(measured.get("loss"), recorded.get("valid.loss"));
    assert_eq!(measured.get("accuracy"), recorded.get("valid.accuracy"));
    let metadata = run.weights().unwrap().metadata().clone();
    assert_eq!(metadata["epoch"], report.best_epoch.unwrap().to_string());
}

#[test]
fn a_run_is_not_replaced_unless_asked() {
    let (train, _, _) = parts();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    // Begun, but nothing trained: counts as empty.
    create(&path).unwrap();
    let run = create(&path).unwrap();
    trainer(&model()).run(run).fit(&train.take(64), None, Epochs(1)).unwrap();
    let error = create(&path).unwrap_err();
    assert_eq!(error.code(), Code::Io);
    assert!(error.to_string().contains("already holds a run"), "{error}");
    assert!(path.join("model.safetensors").exists());
    fs::write(path.join("notes.txt"), "mine").unwrap();
    fs::write(path.join(".model.safetensors.1.2.tmp"), "half").unwrap();
    Run::overwrite(&path, &RunConfig::new()).unwrap();
    assert_eq!(names(&path), ["config.toml", "notes.txt"]);
}

#[test]
fn a_checkpoint_has_the_best_weights_and_can_put_them_back() {
    let (train, valid, _) = parts();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new/folder");
    let model = model();
    let mut saved = Vec::new();
    let report = Trainer::new(&model, Adam::new(&model, 0.05))
        .loss(Loss::CrossEntropy)
        .metric(Accuracy::new())
        .seed(3)
        .callback(Checkpoint::best("valid.accuracy", &path).restore_best())
        .watch(|event| {
            if let Event::Saved { saved: file } = event {
                saved.push((file.epoch, file.best.clone().unwrap().1));
            }
        })
        .fit(&train.take(100), &valid, Epochs(12))
        .unwrap();
    assert_eq!(names(&path), ["model.safetensors"]);
    assert_eq!(report.best_by, "valid.accuracy");
    assert_eq!(saved.last().unwrap().0, report.best_epoch.unwrap());
    assert!(saved.windows(2).all(|w| w[0].1 < w[1].1), "{saved:?}");
    let file = gradus_nn::StateDict::load(path.join("model.safetensors")).unwrap();
    assert_eq!(state_sha256(&file).unwrap(), report.model_sha256);
    assert_eq!(model_sha256(&model).unwrap(), report.model_sha256);
    assert!(report.holds_best);
}

/// With everything that has state: dropout, early stopping, a checkpoint.
fn full<'m>(model: &'m Sequential, run: Run) -> Trainer<'m> {
    trainer(model)
        .callback(EarlyStopping::on("valid.loss").patience(3).restore_best())
        .callback(Checkpoint::best("valid.loss", run.path()))
        .run(run)
}

/// A report without what is not the same twice.
fn timeless(report: &Report) -> Report {
    let mut report = report.clone();
    report.seconds = 0.0;
    report.history.iter_mut().for_each(|record| record.seconds = 0.0);
    report
}

#[track_caller]
fn same(a: &Report, b: &Report) {
    assert_eq!(a.to_json().map(|_| ()), Ok(()));
    let (a, b) = (timeless(a).to_json().unwrap(), timeless(b).to_json().unwrap());
    assert_eq!(a, b);
}

fn uninterrupted(path: &Path, epochs: usize) -> Report {
    let (train, valid, _) = parts();
    let model = model();
    full(&model, create(path).unwrap()).fit(&train, &valid, Epochs(epochs)).unwrap()
}

/// Trains in a process of its own would: a new model, another state of the random streams.
fn resumed(path: &Path, epochs: usize) -> Result<Report> {
    let (train, valid, _) = parts();
    gradus_core::seed(99);
    let model = gradus_nn::seq![
        gradus_nn::Linear::new(64, 32),
        gradus_nn::Relu,
        gradus_nn::Dropout::new(0.1),
        gradus_nn::Linear::new(32, 10)
    ];
    let trainer = full(&model, Run::open(path)?).resume(Run::open(path)?);
    let report = trainer.fit(&train, &valid, Epochs(epochs))?;
    assert_eq!(model_sha256(&model)?, report.model_sha256);
    Ok(report)
}

#[test]
fn a_run_in_two_parts_is_the_run_in_one() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (folder.path().join("one"), folder.path().join("two"));
    let whole = uninterrupted(&one, 6);
    uninterrupted(&two, 2);
    let second = resumed(&two, 4).unwrap();
    assert_eq!((second.epochs, &second.stop), (4, &StopReason::Finished));
    let third = resumed(&two, 6).unwrap();
    same(&whole, &third);
    // What lies on disk is the same too.
    let hash = |path: &Path| state_sha256(&Run::open(path).unwrap().weights().unwrap()).unwrap();
    assert_eq!(hash(&one), hash(&two));
    let lines = Run::open(&two).unwrap().metrics().unwrap();
    assert_eq!(lines.iter().map(|l| l.epoch).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6]);
    // A run that is over stays as it is.
    same(&third, &resumed(&two, 6).unwrap());
}

#[test]
fn a_run_stopped_within_an_epoch_goes_on_with_its_next_step() {
    let (train, valid, _) = parts();
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (folder.path().join("one"), folder.path().join("two"));
    let whole = uninterrupted(&one, 4);
    let steps = train.len().div_ceil(32);
    // In the first epoch; within a later one; after the last step of one; between two.
    for (at_epoch, at_step) in [(1, 1), (3, 7), (2, steps)] {
        let model = model();
        let token = StopToken::new();
        let stop = token.clone();
        let run = Run::overwrite(&two, &RunConfig::new()).unwrap();
        let report = full(&model, run)
            .stop_token(token)
            .watch(move |event| {
                if let Event::StepEnd { epoch, step, .. } = event
                    && (*epoch, *step) == (at_epoch, at_step)
                {
                    stop.stop();
                }
            })
            .fit(&train, &valid, Epochs(4))
            .unwrap();
        assert_eq!(report.stop, StopReason::Stopped, "{report}");
        assert_eq!(report.epochs, at_epoch - 1);
        same(&whole, &resumed(&two, 4).unwrap());
    }
}

#[test]
fn a_run_killed_anywhere_goes_on_from_the_last_epoch() {
    let (train, valid, _) = parts();
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (folder.path().join("one"), folder.path().join("two"));
    let whole = uninterrupted(&one, 4);
    // A kill is seen from the disk: whatever a copy taken at any event holds must do.
    let copy = |from: &Path, to: &Path| {
        fs::create_dir_all(to).unwrap();
        for name in names(from) {
            fs::copy(from.join(&name), to.join(&name)).unwrap();
        }
    };
    let mut taken = Vec::new();
    let model = model();
    full(&model, create(&two).unwrap())
        .watch(|event| {
            let wanted = match event {
                Event::StepEnd { step, .. } => *step == 3,
                Event::FitStart { .. } | Event::FitEnd { .. } => false,
                _ => true,
            };
            if wanted {
                let to = folder.path().join(format!("copy{}", taken.len()));
                copy(&two, &to);
                taken.push(to);
            }
        })
        .fit(&train, &valid, Epochs(4))
        .unwrap();
    assert!(taken.len() >= 12);
    for copied in taken {
        // Half-written files of the killed process, and a torn line.
        fs::write(copied.join(".state.safetensors.1.1.tmp"), "half").unwrap();
        let log = copied.join("metrics.jsonl");
        let text = fs::read_to_string(&log).unwrap_or_default() + "{\"epoch\": 9, \"tr";
        fs::write(&log, text).unwrap();
        same(&whole, &resumed(&copied, 4).unwrap());
        assert_eq!(names(&copied).len(), 5);
        assert_eq!(Run::open(&copied).unwrap().metrics().unwrap().len(), 4);
    }
}

#[test]
fn a_run_that_stopped_early_is_not_trained_further() {
    let (train, valid, _) = parts();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    let train = train.take(60);
    let fit = |run: Run| {
        let model = model();
        Trainer::new(&model, Adam::new(&model, 0.05))
            .loss(Loss::CrossEntropy)
            .seed(17)
            .callback(EarlyStopping::on("valid.loss").patience(2).restore_best())
            .resume(run)
            .fit(&train, &valid, Epochs(100))
            .unwrap()
    };
    let first = fit(create(&path).unwrap());
    assert!(matches!(first.stop, StopReason::EarlyStopped { .. }) && first.holds_best);
    same(&first, &fit(Run::open(&path).unwrap()));
}

#[test]
fn a_run_resumes_only_with_its_own_settings_and_data() {
    let (train, valid, test) = parts();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    uninterrupted(&path, 1);
    let open = || Run::open(&path).unwrap();
    let model = model();
    let error = |trainer: Trainer<'_>, train, valid| {
        trainer.resume(open()).fit(train, valid, Epochs(2)).unwrap_err()
    };
    let e = error(full(&model, open()).batch_size(64), &train, &valid);
    assert!(e.code() == Code::Config && e.to_string().contains("batch size"), "{e}");
    assert!(e.get("saved").unwrap() == "32" && e.get("now").unwrap() == "64", "{e}");
    let e = error(full(&model, open()).seed(18), &train, &valid);
    assert!(e.to_string().contains("seed"), "{e}");
    let e = error(full(&model, open()), &test, &valid);
    assert!(e.to_string().contains("training data"), "{e}");
    let e = error(full(&model, open()), &train, &test);
    assert!(e.to_string().contains("validation data"), "{e}");
    let sgd = Trainer::new(&model, gradus_nn::Sgd::new(&model, 0.1)).loss(Loss::CrossEntropy);
    let e = error(sgd.metric(Accuracy::new()), &train, &valid);
    assert_eq!(e.code(), Code::State, "{e}");
    // Nothing was damaged by the attempts.
    assert_eq!(resumed(&path, 2).unwrap().epochs, 2);
    fs::remove_file(path.join("state.safetensors")).unwrap();
    let e = resumed(&path, 3).unwrap_err();
    assert!(e.code() == Code::Io && e.to_string().contains("state.safetensors"), "{e}");
}

#[test]
fn a_setting_that_changed_the_callbacks_is_a_warning() {
    let (train, valid, _) = parts();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    uninterrupted(&path, 1);
    let model = model();
    let report =
        trainer(&model).resume(Run::open(&path).unwrap()).fit(&train, &valid, Epochs(2)).unwrap();
    assert_eq!(report.warnings.len(), 1, "{report}");
    assert!(report.warnings[0].contains("early_stopping"), "{report}");
}

#[test]
fn a_seed_that_was_not_given_is_the_runs_own() {
    let (train, valid, _) = parts();
    let folder = tempfile::tempdir().unwrap();
    let fit = |model: &Sequential, run: Run, epochs| {
        Trainer::new(model, Adam::new(model, 1e-2))
            .loss(Loss::CrossEntropy)
            .resume(run)
            .fit(&train, &valid, Epochs(epochs))
            .unwrap()
    };
    let one = fit(&model(), create(folder.path().join("one")).unwrap(), 3);
    let path = folder.path().join("two");
    fit(&model(), create(&path).unwrap(), 1);
    let other = model();
    gradus_core::seed(5);
    same(&one, &fit(&other, Run::open(&path).unwrap(), 3));
    assert_eq!(Run::open(&path).unwrap().config().seed, 17);
    assert_eq!(other.num_parameters(), 64 * 32 + 32 + 320 + 10);
}

/// The training that the next test kills: does nothing unless it is asked to.
#[test]
fn child_of_the_kill_test() {
    if let Ok(path) = std::env::var("GRADUS_TEST_CHILD") {
        if Path::new(&path).join("state.safetensors").exists() {
            resumed(Path::new(&path), 40).unwrap();
        } else {
            uninterrupted(Path::new(&path), 40);
        }
    }
}

#[test]
fn a_process_that_is_killed_again_and_again_ends_with_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (folder.path().join("one"), folder.path().join("two"));
    let whole = uninterrupted(&one, 40);
    let mut killed = 0;
    for i in 0u64..8 {
        let mut child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child_of_the_kill_test"])
            .env("GRADUS_TEST_CHILD", &two)
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(std::time::Duration::from_millis(15 + 23 * i));
        killed += usize::from(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
    }
    assert!(killed > 0, "the child was never killed in time");
    same(&whole, &resumed(&two, 40).unwrap());
}

#[test]
fn the_best_weights_are_by_the_metric_that_a_callback_watches() {
    let (train, valid, _) = parts();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    let model = model();
    let report = Trainer::new(&model, Adam::new(&model, 0.05))
        .loss(Loss::CrossEntropy)
        .metric(Accuracy::new())
        .seed(17)
        .callback(EarlyStopping::on("valid.accuracy").patience(20))
        .run(create(&path).unwrap())
        .fit(&train.take(100), &valid, Epochs(10))
        .unwrap();
    let run = Run::open(&path).unwrap();
    assert_eq!(report.best_by, "valid.accuracy");
    let metadata = run.weights().unwrap().metadata().clone();
    assert_eq!(metadata["best_by"], "valid.accuracy");
    assert_eq!(metadata["epoch"], report.best_epoch.unwrap().to_string());
}

#[test]
fn a_configuration_builds_the_optimizer_it_names() {
    use gradus_nn::{Linear, Optimizer};
    use gradus_train::{OptimizerConfig, OptimizerName};
    let built = |config: &OptimizerConfig| {
        let text = toml(config);
        let model = Linear::new(2, 2);
        (text, config.build(&model).unwrap().state_dict().unwrap().metadata()["optimizer"].clone())
    };
    let mut config = OptimizerConfig::new(OptimizerName::ADAMW, 1e-3);
    config.betas = Some((0.8, 0.99));
    assert_eq!(built(&config).1, "AdamW");
    let mut config = OptimizerConfig::new(OptimizerName::SGD, 0.1);
    config.momentum = Some(0.9);
    config.nesterov = Some(true);
    let (text, name) = built(&config);
    assert_eq!(name, "Sgd");
    assert!(text.contains("momentum = 0.9") && text.contains("name = \"sgd\""), "{text}");
    for name in OptimizerName::all() {
        let (text, built) = built(&OptimizerConfig::new(name, name.lr()));
        assert!(text.contains(&format!("name = \"{}\"", name.name())), "{text}");
        let built = built.to_lowercase();
        assert!(built.contains(name.name()), "{built}");
    }
    let wrong = text.replace("\"sgd\"", "\"sdg\"");
    let error = RunConfig::parse(&wrong, "config.toml").unwrap_err();
    assert!(error.title().contains("no optimizer `sdg`; there are adam, adamw, sgd"), "{error}");
    let mut config = OptimizerConfig::new(OptimizerName::ADAM, 0.1);
    config.momentum = Some(0.9);
    let error = config.build(&Linear::new(2, 2)).err().unwrap();
    assert!(error.title().contains("the optimizer adam has no momentum"), "{error}");
    assert!(error.advice().unwrap().contains("sgd, rmsprop, muon"), "{error}");
}

/// The text of a configuration with this optimizer, which must read back as it was.
fn toml(optimizer: &gradus_train::OptimizerConfig) -> String {
    let mut config = RunConfig::new();
    config.training.optimizer = optimizer.clone();
    let text = config.to_toml().unwrap();
    assert_eq!(RunConfig::parse(&text, "text").unwrap(), config);
    text
}

#[test]
fn one_training_at_a_time_writes_into_a_folder() {
    let (train, valid, _) = parts();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    let run = create(&path).unwrap();
    // Begun by another training, which could be another process.
    let error = create(&path).unwrap_err();
    assert!(error.to_string().contains("in use by another training"), "{error}");
    let model = model();
    let report = trainer(&model)
        .watch(|event| {
            if let Event::EpochEnd { .. } = event {
                let other = gradus_nn::seq![gradus_nn::Linear::new(64, 10)];
                let error = Trainer::new(&other, Adam::new(&other, 1e-2))
                    .loss(Loss::CrossEntropy)
                    .resume(Run::open(&path).unwrap())
                    .fit(&train, &valid, Epochs(9))
                    .unwrap_err();
                assert!(error.to_string().contains("in use by another training"), "{error}");
            }
        })
        .run(run.clone())
        .fit(&train, &valid, Epochs(2))
        .unwrap();
    assert_eq!(report.epochs, 2);
    // Over, although a clone of the run is still there.
    Run::overwrite(&path, &RunConfig::new()).unwrap();
    drop(run);
}
