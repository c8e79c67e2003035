//! `gradus train FILE.csv`: a table to a trained, saved and tested model, with two yardsticks beside
//! it.

use std::io::{self, IsTerminal, Write};
use std::path::Path;

use gradus::data::table::{Encoder, Prepared};
use gradus::prelude::*;
use gradus::train::{
    Baseline, Mae, ModelConfig, OptimizerConfig, OptimizerName, Predictor, R2, Report, Run,
    RunConfig, ScheduleName, Scheduler, StopReason, StopToken, Task, prepared_sha256,
};
use gradus::{Error, Result};
use serde_json::json;

use super::Ready;
use super::show::{self, Scores, Truth};
use crate::args::TrainArgs;
use crate::data::{SPLIT_SEED, free_run};
use crate::fail::Outcome;
use crate::json::Line;
use crate::predict::Writer;
use crate::progress::{Progress, header, map};
use crate::train::{advise_out, settings, stopped};
use crate::{runs, text};

/// Defaults by the number of rows to train on: hidden layers, batch size, epochs, patience, rate,
/// dropout and weight decay.
struct Defaults {
    layers: &'static [usize],
    batch_size: usize,
    epochs: usize,
    patience: usize,
    lr: f64,
    dropout: f64,
    decay: f64,
}

/// Few rows want a small model, many steps and something against learning them by heart; many rows
/// have enough steps in few epochs.
fn defaults(rows: usize) -> Defaults {
    let of = |layers, batch_size, epochs, patience, lr, dropout, decay| Defaults {
        layers,
        batch_size,
        epochs,
        patience,
        lr,
        dropout,
        decay,
    };
    match rows {
        0..2_000 => of(&[64, 32][..], 16, 100, 30, 2e-3, 0.1, 1e-2),
        2_000..10_000 => of(&[128, 64][..], 32, 60, 15, 2e-3, 0.1, 1e-2),
        10_000..100_000 => of(&[256, 128][..], 128, 60, 15, 3e-3, 0.0, 1e-2),
        100_000..500_000 => of(&[256, 128][..], 512, 20, 6, 3e-3, 0.0, 1e-2),
        _ => of(&[256, 128][..], 1024, 8, 4, 3e-3, 0.0, 1e-2),
    }
}

/// The linear model learns at a higher rate, and is done after so many steps.
const LINEAR_RATE: f64 = 1e-2;
const LINEAR_STEPS: usize = 3000;

/// A new run.
pub(crate) fn begin(args: &TrainArgs, stop: StopToken) -> Outcome {
    let source = args.data.as_deref().unwrap_or_default();
    let asked = super::asked(&args.table);
    let table = super::open(source, &asked.read_options())?;
    let task = table.task(&asked.task_options())?;
    let parts = super::parts(task.rows())?;
    let split_seed = args.split_seed.unwrap_or(SPLIT_SEED);
    let data = super::describe(source, &task, asked, parts, split_seed);
    let name = data.name.clone();
    if !args.json {
        header(&show::lines(&name, &table, &task));
        show::notes(table.notes().iter().chain(task.notes()).cloned());
        let _ = io::stderr().write_all(show::schema(task.schema()).as_bytes());
    }
    let ready = super::ready(&task, parts, split_seed)?;
    drop((task, table));
    let prepared = &ready.data;
    let mut config = RunConfig::for_data(&prepared.train);
    let described = config.data.clone();
    config.data = data;
    config.data.sample_shape = described.sample_shape;
    config.data.classes = described.classes;
    config.data.class_names = described.class_names;
    config.data.fingerprint = prepared_sha256(prepared);
    configure(&mut config, args, prepared)?;
    runs::check_memory(&config)?;
    let short = Path::new(&name).file_stem().map(|s| s.to_string_lossy().into_owned());
    let run = create(args, &short.unwrap_or(name), &config)?;
    run.save_encoder(&prepared.encoder)?;
    if !args.json {
        show::notes(prepared.notes.iter().cloned());
    }
    go(run, &ready, args, stop)
}

/// The folder that was asked for, or the next free one; another program may be as quick as this.
fn create(args: &TrainArgs, name: &str, config: &RunConfig) -> Result<Run> {
    if let Some(folder) = &args.out {
        return Run::create(folder, config).map_err(|e| advise_out(e, folder));
    }
    let short: String = name
        .trim_end_matches(".csv")
        .chars()
        .map(|c| if c.is_alphanumeric() || c == '_' { c } else { '-' })
        .collect();
    let short = short.trim_matches('-');
    let short = if short.is_empty() { "table" } else { short };
    let mut tries = 0;
    loop {
        let folder = free_run(short);
        match Run::create(&folder, config) {
            Err(e) if folder.exists() && tries < 20 && e.title().contains("in use") => tries += 1,
            other => return other.map_err(|e| advise_out(e, &folder)),
        }
    }
}

/// Goes on with a run.
pub(crate) fn resume(run: Run, args: &TrainArgs, stop: StopToken) -> Outcome {
    super::needs_source(run.config(), run.path(), "going on")?;
    let source = run.config().data.source.clone();
    let ready = super::again(run.config(), run.path(), &source)?;
    go(run, &ready, args, stop)
}

fn configure(config: &mut RunConfig, args: &TrainArgs, data: &Prepared) -> Result<()> {
    let rows = data.train.len();
    let Defaults { layers, batch_size, epochs, patience, lr, dropout, decay } = defaults(rows);
    let hidden = args.layers.as_ref().map_or(layers, |layers| &layers.0);
    let ids: Vec<usize> = data.encoder.embeddings().iter().map(|e| e.1).collect();
    let mut model = ModelConfig::mlp(&data.train, hidden).embed(&ids);
    if model.layers.is_empty() {
        model.dropout = args.dropout.unwrap_or(0.0);
    } else {
        model.dropout = args.dropout.unwrap_or(dropout);
    }
    config.model = Some(model);
    config.training.batch_size = args.batch_size.unwrap_or(batch_size);
    config.training.epochs = args.epochs.unwrap_or(epochs);
    config.training.patience = Some(args.patience.unwrap_or(patience)).filter(|&p| p > 0);
    settings(config, args, OptimizerName::ADAMW, lr)?;
    let optimizer = &mut config.training.optimizer;
    if optimizer.name == Some(OptimizerName::ADAMW) {
        optimizer.weight_decay.get_or_insert(decay);
    }
    Ok(())
}

/// Trains the yardsticks and the model, and shows all of them on the test rows.
fn go(run: Run, ready: &Ready, args: &TrainArgs, stop: StopToken) -> Outcome {
    let data = &ready.data;
    let config = run.config().clone();
    let path = run.path().to_path_buf();
    let Some(test) = &data.test else {
        return Err(Error::internal("a run of a table without test rows").into());
    };
    announce(&run, data, args.json)?;
    let baseline = Baseline::fit(&data.train)?;
    let linear = if config.model.as_ref().is_some_and(|model| model.layers.is_empty()) {
        None // That is what the model is.
    } else {
        linear(&config, data, &stop)?
    };
    let (model, mut report) = fit(run, data, args, stop)?;
    if report.stop == StopReason::Stopped {
        return Err(stopped(&path, &report, args.json)?.into());
    }
    let run = Run::open(&path)?;
    // Only now, and only once, the models meet the rows that were held out.
    let truth = truth(test, &data.encoder)?;
    let mut compared = vec![(baseline_name(&baseline, &data.encoder), {
        in_units(baseline.scores(test)?, data.encoder.target_scale().1)
    })];
    if let Some(linear) = linear {
        let predictor = Predictor::of(&run, linear)?;
        let mut scores = Scores::new(data.encoder.classes().len());
        scores.add(&truth, &predictor.predict_dataset(test)?)?;
        compared.push(("a linear model".to_string(), scores.metrics()));
    }
    report.compared = compared;
    report.test(&model, test)?;
    let predictor = Predictor::of(&run, model)?;
    let predictions = predictor.predict_dataset(test)?;
    let mut scores = Scores::new(data.encoder.classes().len());
    scores.add(&truth, &predictions)?;
    keep_predictions(&path, &ready.test_rows, &truth, &predictor, &predictions)?;
    let file = args.data.as_deref().unwrap_or(&config.data.source).to_string();
    finish(&path, &config, &report, &scores, &file, args.json)
}

/// What is held out, in the unit of the target.
fn truth(test: &Dataset, encoder: &Encoder) -> Result<Truth> {
    let mut truth = match encoder.classes().is_empty() {
        true => Truth::Values(Vec::with_capacity(test.len())),
        false => Truth::Classes(Vec::with_capacity(test.len())),
    };
    for batch in test.array_batches(4096) {
        let y = batch?.y;
        match &mut truth {
            Truth::Values(values) => {
                values.extend(y.to_f64().into_iter().map(|v| encoder.decode_value(v)));
            }
            Truth::Classes(ids) => ids.extend(y.to_vec::<i64>()?.into_iter().map(|id| id as usize)),
        }
    }
    Ok(truth)
}

fn baseline_name(baseline: &Baseline, encoder: &Encoder) -> String {
    match baseline {
        Baseline::Majority { class, .. } => {
            format!("always {}", encoder.class_name(*class).unwrap_or("the most frequent"))
        }
        Baseline::Mean { .. } => "always the mean".to_string(),
    }
}

/// Errors of standardised targets in the unit that they had.
fn in_units(metrics: Metrics, unit: f64) -> Metrics {
    let scaled = |(name, value): (&str, f64)| match name {
        "mae" | "rmse" => (name.to_string(), value * unit),
        _ => (name.to_string(), value),
    };
    metrics.iter().map(scaled).collect()
}

/// The same inputs without a hidden layer.
fn linear(config: &RunConfig, data: &Prepared, stop: &StopToken) -> Result<Option<Sequential>> {
    let mut linear = config.clone();
    if let Some(model) = &mut linear.model {
        model.layers.clear();
        model.dropout = 0.0;
    }
    let steps = data.train.len().div_ceil(config.training.batch_size.max(1));
    let epochs = (LINEAR_STEPS / steps.max(1)).clamp(3, 300);
    gradus::seed(config.seed);
    let model = linear.build_model()?;
    let optimizer = OptimizerConfig::new(OptimizerName::ADAM, LINEAR_RATE).build(&model)?;
    let report = Trainer::new(&model, optimizer)
        .loss(linear.build_loss()?)
        .batch_size(config.training.batch_size)
        .seed(config.seed)
        .callback(Scheduler::new(ScheduleName::Cosine))
        .callback(EarlyStopping::on("valid.loss").patience(epochs).restore_best())
        .stop_token(stop.clone())
        .fit(&data.train, data.valid.as_ref(), Epochs(epochs))?;
    Ok((report.stop != StopReason::Stopped).then_some(model))
}

/// Trains; the model that is given back has the best weights.
fn fit(
    run: Run,
    data: &Prepared,
    args: &TrainArgs,
    stop: StopToken,
) -> Result<(Sequential, Report)> {
    let config = run.config().clone();
    let folder = run.path().to_path_buf();
    gradus::seed(config.seed);
    let model = config.build_model()?;
    let optimizer = config.training.optimizer.build(&model)?;
    let mut trainer = Trainer::new(&model, optimizer)
        .loss(config.build_loss()?)
        .batch_size(config.training.batch_size)
        .seed(config.seed)
        .callback(Checkpoint::best("valid.loss", &folder).restore_best())
        .callback(Scheduler::new(config.training.schedule.clone().unwrap_or_default()))
        .clip_norm(config.training.clip_norm)
        .precision(config.training.precision)
        .stop_token(stop);
    trainer = match config.task {
        Task::Regression => {
            let unit = data.encoder.target_scale().1;
            trainer.metric(R2::new()).metric(Mae::in_units_of(unit))
        }
        _ => trainer.metric(Accuracy::new()),
    };
    if let Some(patience) = config.training.patience {
        trainer = trainer.callback(EarlyStopping::on("valid.loss").patience(patience));
    }
    let epochs = args.epochs.unwrap_or(config.training.epochs);
    let report = trainer.callback(Progress::new(args.json)).resume(run).fit(
        &data.train,
        data.valid.as_ref(),
        Epochs(epochs),
    )?;
    Ok((model, report))
}

/// Says what is about to happen.
fn announce(run: &Run, data: &Prepared, json: bool) -> Outcome {
    let config = run.config();
    let parameters = usize::try_from(runs::parameters(config)).unwrap_or(usize::MAX);
    let len = |part: &Option<Dataset>| part.as_ref().map_or(0, Dataset::len);
    let (train, valid, test) = (data.train.len(), len(&data.valid), len(&data.test));
    let path = run.path().display().to_string();
    if json {
        let e = &data.encoder;
        let line = Line::event("start")
            .with("run", path)
            .with("task", config.task.to_string())
            .with("data", config.data.source.as_str())
            .with("target", e.target())
            .with("train", train)
            .with("valid", valid)
            .with("test", test)
            .with("classes", config.data.classes)
            .with("features", e.features())
            .with("columns", columns(e))
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
    let rows = format!("{} rows to train, {} to validate, {} to test", n(train), n(valid), n(test));
    let layers = format!("{}: {} parameters", runs::model(config), n(parameters));
    let training = format!("{}, {verb} {path}", runs::training(config));
    let mut lines = vec![("split", rows), ("model", layers), ("train", training)];
    if io::stderr().is_terminal() {
        lines.push(("", "Ctrl-C stops; `gradus train --resume` goes on from there".to_string()));
    }
    drop(writeln!(io::stderr()));
    header(&lines);
    Ok(())
}

/// The schema for programs.
pub(crate) fn columns(encoder: &Encoder) -> serde_json::Value {
    let columns = encoder.schema().columns().iter().map(|column| {
        json!({
            "name": column.info.name(),
            "kind": column.info.kind().name(),
            "missing": column.info.missing(),
            "use": column.role.to_string(),
        })
    });
    columns.collect()
}

/// Writes what was predicted for the test rows, with their numbers in the file.
fn keep_predictions(
    run: &Path,
    rows: &[usize],
    truth: &Truth,
    predictor: &Predictor,
    predictions: &gradus::train::Predictions,
) -> Outcome {
    let mut writer = Writer::csv(Vec::new(), predictor, &["row", "truth"]);
    let unit = predictor.encoder().map_or(1.0, |e| e.target_scale().1);
    let step = 10f64.powf((unit * 1e-6).log10().ceil());
    for (at, row) in rows.iter().enumerate() {
        let truth = match truth {
            Truth::Classes(ids) => {
                let id = ids.get(at).copied().unwrap_or(usize::MAX);
                predictor.classes().get(id).cloned().unwrap_or_default()
            }
            Truth::Values(values) => {
                // The last digits were lost when it was standardised.
                let value = values.get(at).copied().unwrap_or(f64::NAN);
                predictions.text((value / step).round() * step)
            }
        };
        writer.row(predictions, at, &[(row + 1).to_string(), truth])?;
    }
    let file = run.join("predictions.csv");
    std::fs::write(&file, writer.into_inner())
        .map_err(|e| Error::io("cannot write", &file, &e).into())
}

/// Prints the result.
fn finish(
    path: &Path,
    config: &RunConfig,
    report: &Report,
    scores: &Scores,
    file: &str,
    json: bool,
) -> Outcome {
    let shown = text::path(path);
    let valid = report.best().map(|best| best.metrics.part("valid")).unwrap_or_default();
    let mut out = io::stdout().lock();
    if json {
        let mut test = report.test.part("test");
        for (name, value) in scores.metrics().iter() {
            test.insert(name, value);
        }
        let compared: serde_json::Value = report
            .compared
            .iter()
            .map(|(name, m)| json!({ "name": name, "test": map(m) }))
            .collect();
        let line = Line::event("done")
            .with("run", path.display().to_string())
            .with("task", config.task.to_string())
            .with("epochs", report.epochs)
            .with("steps", report.steps)
            .with("best_epoch", report.best_epoch)
            .with("valid", map(&valid))
            .with("test", map(&test))
            .with("compared", compared)
            .with("model_sha256", report.model_sha256.as_str())
            .with("seconds", report.seconds);
        writeln!(out, "{line}")?;
        return Ok(());
    }
    let epochs = if report.epochs == 1 { "epoch" } else { "epochs" };
    let best = report.best_epoch.map(|e| format!(", the best is {e}")).unwrap_or_default();
    let done = format!("{} {epochs} in {}{best}", report.epochs, text::seconds(report.seconds));
    writeln!(out, "{}\n", text::labelled("done", &done))?;
    let title = format!("on {} rows it never saw", text::thousands(scores.samples()));
    let mut rows = report.compared.clone();
    rows.push(("this model".to_string(), scores.metrics()));
    write!(out, "{}", show::comparison(&title, &rows))?;
    if let Some(verdict) = verdict(&rows) {
        writeln!(out, "\n{}", text::labelled("note", &verdict))?;
    }
    if let Scores::Classes(confusion) = scores {
        let names = &config.data.class_names;
        show::classes(&mut out, confusion, |c| {
            names.get(c).cloned().unwrap_or_else(|| c.to_string())
        })?;
    }
    writeln!(out)?;
    let file = match file {
        super::STDIN => "new.csv".to_string(),
        source => text::path(Path::new(source)),
    };
    let lines = [
        ("model", path.join("model.safetensors").display().to_string()),
        ("sha256", report.model_sha256.clone()),
        ("next", format!("gradus predict {shown} {file}")),
        ("", format!("gradus eval {shown}")),
        ("", format!("gradus inspect {shown}")),
    ];
    for (label, text) in lines {
        writeln!(out, "{}", text::labelled(label, &text))?;
    }
    Ok(())
}

/// What a reader should not overlook when a yardstick is as good as the model, which is the last.
fn verdict(rows: &[(String, Metrics)]) -> Option<String> {
    let score = |m: &Metrics| m.get("accuracy").or_else(|| m.get("r2"));
    let (last, others) = rows.split_last()?;
    let reached = score(&last.1)?;
    let (name, metrics) = others.iter().find(|(_, m)| score(m).is_some_and(|s| s >= reached))?;
    let how = if score(metrics)? > reached { "better" } else { "as good" };
    Some(match name.starts_with("always") {
        true => format!("{name} is {how}: the other columns may say nothing about the target"),
        false => format!("{name} is {how} here, and simpler: `--layers none` trains one"),
    })
}
