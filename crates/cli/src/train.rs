//! `gradus train`: from data to a trained, saved and tested model.

use std::io::{self, IsTerminal, Write};
use std::path::Path;

use gradus::prelude::*;
use gradus::train::{
    Activation, ModelConfig, OptimizerConfig, OptimizerName, Report, Run, RunConfig, ScheduleName,
    Scheduler, StopReason, StopToken,
};
use gradus::{Error, Result};

use crate::args::TrainArgs;
use crate::data::{Parts, SPLIT_SEED, Source, free_run, of_run};
use crate::fail::Outcome;
use crate::json::Line;
use crate::progress::{Progress, header, map, percent};
use crate::{runs, signals, table, text};

const LAYERS: [usize; 2] = [128, 64];
/// Epochs and batch size. A large set has enough steps in few epochs, and larger batches are
/// faster.
const SMALL_SET: (usize, usize) = (30, 32);
const LARGE_SET: (usize, usize) = (10, 128);
const LARGE: usize = 20_000;
const SEED: u64 = 17;
const PATIENCE: usize = 10;

pub(crate) fn run(args: &TrainArgs) -> Outcome {
    args.threads.apply();
    let stop = signals::stop_token()?;
    let (run, parts) = match &args.resume {
        Some(path) => {
            let run = resumable(path, args.epochs)?;
            if run.config().data.table.is_some() {
                return table::train::resume(run, args, stop);
            }
            let parts = of_run(&run.config().data, path)?.split(&run.config().data)?;
            (run, parts)
        }
        None if args.data.as_deref().is_some_and(table::is_table) => {
            return table::train::begin(args, stop);
        }
        None => begin(args)?,
    };
    let config = run.config().clone();
    let path = run.path().to_path_buf();
    announce(&run, &parts, args.json)?;
    let (model, mut report) = fit(run, &parts, args, stop)?;
    if report.stop == StopReason::Stopped {
        return Err(stopped(&path, &report, args.json)?.into());
    }
    // Only now, and only once, the model meets the samples that were held out.
    let test_set = parts.test()?;
    let test = report.test(&model, &test_set)?;
    finish(&path, &config, &report, &test.part("test"), test_set.len(), args.json)
}

/// A new run: reads and splits the data, makes the folder.
fn begin(args: &TrainArgs) -> Result<(Run, Parts)> {
    if let Some(option) = args.table.given() {
        let data = args.data.as_deref().unwrap_or_default();
        let title = format!("{option} is for tables, and {data} is none");
        return Err(Error::new(Code::Config, title)
            .help("give a file (.csv, .tsv, also .gz), or leave the option out"));
    }
    let source = Source::open(args.data.as_deref().unwrap_or_default())?;
    let mut config = source.describe(args.split_seed.unwrap_or(SPLIT_SEED))?;
    configure(&mut config, args, &source.all)?;
    let folder = args.out.clone().unwrap_or_else(|| free_run(&source.short_name()));
    let parts = source.split(&config.data)?;
    runs::check_memory(&config)?;
    let run = Run::create(&folder, &config).map_err(|e| advise_out(e, &folder))?;
    Ok((run, parts))
}

fn configure(config: &mut RunConfig, args: &TrainArgs, data: &Dataset) -> Result<()> {
    let hidden = args.layers.as_ref().map_or(&LAYERS[..], |layers| &layers.0);
    let mut model = ModelConfig::mlp(data, hidden);
    model.dropout = args.dropout.unwrap_or(0.0);
    config.model = Some(model);
    let (epochs, batch_size) = if data.len() < LARGE { SMALL_SET } else { LARGE_SET };
    config.training.batch_size = args.batch_size.unwrap_or(batch_size);
    config.training.epochs = args.epochs.unwrap_or(epochs);
    config.training.patience = Some(args.patience.unwrap_or(PATIENCE)).filter(|&p| p > 0);
    settings(config, args, OptimizerName::ADAM, 2e-3)
}

/// What is asked for in the same way whatever the data: activation, seed, optimizer, rate.
pub(crate) fn settings(
    config: &mut RunConfig,
    args: &TrainArgs,
    usual: OptimizerName,
    lr: f64,
) -> Result<()> {
    if let Some(model) = &mut config.model {
        let activation = args.activation.as_deref().and_then(Activation::parse);
        model.activation = activation.unwrap_or(Activation::Relu);
    }
    let name = args.optimizer.as_deref().and_then(OptimizerName::parse).unwrap_or(usual);
    // The rate is by the data for Adam and AdamW.
    let own =
        if [OptimizerName::ADAM, OptimizerName::ADAMW].contains(&name) { lr } else { name.lr() };
    let mut optimizer = OptimizerConfig::new(name, args.lr.unwrap_or(own));
    optimizer.weight_decay = args.weight_decay;
    optimizer.momentum = args.momentum.or((name == OptimizerName::SGD).then_some(0.9));
    optimizer.check()?;
    config.seed = args.seed.unwrap_or(SEED);
    config.training.optimizer = optimizer;
    let schedule = args.schedule.as_deref().and_then(ScheduleName::parse);
    config.training.schedule = Some(schedule.unwrap_or_default().into());
    config.training.clip_norm = args.clip_norm;
    config.training.precision = args.precision.unwrap_or_default();
    Ok(())
}

/// Says what to do about a folder in terms of this program's options.
pub(crate) fn advise_out(error: Error, folder: &Path) -> Error {
    if Run::open(folder).is_ok() {
        let shown = text::path(folder);
        return error.help(format!(
            "choose another --out, or go on with it: `gradus train --resume {shown}`"
        ));
    }
    match error.advice() {
        Some(_) => error.help("choose another folder with --out"),
        None => error,
    }
}

/// A run to go on with.
fn resumable(path: &Path, epochs: Option<usize>) -> Result<Run> {
    let run = runs::open(path)?;
    let shown = text::path(path);
    let made = run.metrics()?.len();
    let wanted = epochs.unwrap_or(run.config().training.epochs);
    if let Ok(report) = run.report() {
        let over = match &report.stop {
            StopReason::EarlyStopped { .. } => Some(format!("{shown} {}", report.stop)),
            _ if made >= wanted => Some(format!("{shown} has made its {made} epochs")),
            _ => None,
        };
        if let Some(title) = over {
            let help = match report.stop {
                StopReason::EarlyStopped { .. } => {
                    "it would stop again; train a new run with a larger --patience".to_string()
                }
                _ => format!("`gradus train --resume {shown} --epochs {}` trains on", 2 * made),
            };
            return Err(Error::new(Code::Config, title).help(help));
        }
    }
    if !run.can_resume() {
        return Err(Error::new(Code::State, format!("{shown} has nothing to go on from"))
            .help("it was not made by `gradus train`, or its state was removed; train a new run"));
    }
    runs::check_memory(run.config())?;
    Ok(run)
}

/// Says what is about to happen.
fn announce(run: &Run, parts: &Parts, json: bool) -> Outcome {
    let config = run.config();
    let parameters = usize::try_from(runs::parameters(config)).unwrap_or(usize::MAX);
    let (path, data) = (run.path().display().to_string(), &config.data);
    if json {
        let line = Line::event("start")
            .with("run", path)
            .with("task", config.task.to_string())
            .with("data", data.source.as_str())
            .with("train", parts.train.len())
            .with("valid", parts.valid.len())
            .with("classes", data.classes)
            .with("model", runs::sizes(config))
            .with("parameters", parameters)
            .with("epochs", config.training.epochs)
            .with("batch_size", config.training.batch_size)
            .with("optimizer", config.training.optimizer.name.map(|n| n.name()))
            .with("lr", config.training.optimizer.lr)
            .with("seed", config.seed)
            .with("threads", gradus::threads())
            .with("isa", gradus::isa::active().name());
        writeln!(io::stdout(), "{line}")?;
        return Ok(());
    }
    let n = text::thousands;
    let verb = if run.can_resume() { "going on with" } else { "into" };
    let test = match parts.test_len() {
        Some(test) => format!("{} to test", n(test)),
        None => "a test set of its own".to_string(),
    };
    let samples = format!(
        "{}: {} images to train, {} to validate, {test}; {} classes",
        data.name,
        n(parts.train.len()),
        n(parts.valid.len()),
        data.classes.unwrap_or(0),
    );
    let layers = format!("{}: {} parameters", runs::model(config), n(parameters));
    let training = format!("{}, {verb} {path}", runs::training(config));
    let mut lines = vec![("data", samples), ("model", layers), ("train", training)];
    if io::stderr().is_terminal() {
        lines.push(("", "Ctrl-C stops; `gradus train --resume` goes on from there".to_string()));
    }
    header(&lines);
    Ok(())
}

/// Trains; the model that is given back has the best weights.
fn fit(run: Run, parts: &Parts, args: &TrainArgs, stop: StopToken) -> Result<(Sequential, Report)> {
    let config = run.config().clone();
    let folder = run.path().to_path_buf();
    gradus::seed(config.seed);
    let model = config.build_model()?;
    let optimizer = config.training.optimizer.build(&model)?;
    let mut trainer = Trainer::new(&model, optimizer)
        .loss(config.build_loss()?)
        .metric(Accuracy::new())
        .batch_size(config.training.batch_size)
        .seed(config.seed)
        .callback(Checkpoint::best("valid.loss", &folder).restore_best())
        .callback(Scheduler::new(config.training.schedule.clone().unwrap_or_default()))
        .clip_norm(config.training.clip_norm)
        .precision(config.training.precision)
        .stop_token(stop);
    if let Some(patience) = config.training.patience {
        trainer = trainer.callback(EarlyStopping::on("valid.loss").patience(patience));
    }
    let epochs = args.epochs.unwrap_or(config.training.epochs);
    let report = trainer.callback(Progress::new(args.json)).resume(run).fit(
        &parts.train,
        &parts.valid,
        Epochs(epochs),
    )?;
    Ok((model, report))
}

/// How a training that was stopped is reported.
pub(crate) fn stopped(path: &Path, report: &Report, json: bool) -> Outcome<Error> {
    let shown = text::path(path);
    if json {
        let line = Line::event("stopped")
            .with("run", path.display().to_string())
            .with("epochs", report.epochs)
            .with("steps", report.steps)
            .with("best_epoch", report.best_epoch);
        writeln!(io::stdout(), "{line}")?;
    }
    let title =
        format!("stopped with Ctrl-C after {} steps", text::thousands(report.steps as usize));
    let kept = match report.best() {
        Some(best) => format!(
            "the weights of epoch {}, {} {:.4}",
            best.epoch,
            report.best_by,
            best.metrics.get(&report.best_by).unwrap_or(f64::NAN)
        ),
        None => "the weights so far; no epoch was complete".to_string(),
    };
    Ok(Error::new(Code::Interrupted, title)
        .line("kept", format!("{kept}, in {shown}"))
        .help(format!("go on with `gradus train --resume {shown}`")))
}

/// Prints the result.
fn finish(
    path: &Path,
    config: &RunConfig,
    report: &Report,
    test: &gradus::train::Metrics,
    tested: usize,
    json: bool,
) -> Outcome {
    let shown = text::path(path);
    let valid = report.best().map(|best| best.metrics.part("valid")).unwrap_or_default();
    let mut out = io::stdout().lock();
    if json {
        let line = Line::event("done")
            .with("run", path.display().to_string())
            .with("task", config.task.to_string())
            .with("epochs", report.epochs)
            .with("steps", report.steps)
            .with("best_epoch", report.best_epoch)
            .with("valid", map(&valid))
            .with("test", map(test))
            .with("model_sha256", report.model_sha256.as_str())
            .with("seconds", report.seconds);
        writeln!(out, "{line}")?;
        return Ok(());
    }
    let right = |metrics: &gradus::train::Metrics| {
        format!(
            "{} right, loss {:.4}",
            percent(metrics.get("accuracy").unwrap_or(f64::NAN)),
            metrics.get("loss").unwrap_or(f64::NAN)
        )
    };
    let epochs = if report.epochs == 1 { "epoch" } else { "epochs" };
    let best = report.best_epoch.map(|e| format!(", the best is {e}")).unwrap_or_default();
    let n = text::thousands;
    let lines = [
        ("done", format!("{} {epochs} in {}{best}", report.epochs, text::seconds(report.seconds))),
        ("valid", right(&valid)),
        ("test", format!("{}, on {} images it never saw", right(test), n(tested))),
        ("model", path.join("model.safetensors").display().to_string()),
        ("sha256", report.model_sha256.clone()),
        ("next", format!("gradus eval {shown}")),
        ("", format!("gradus inspect {shown}")),
    ];
    for (label, text) in lines {
        writeln!(out, "{}", text::labelled(label, &text))?;
    }
    Ok(())
}
