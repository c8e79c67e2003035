//! `gradus inspect`: what is in a run folder or in a file of weights.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use gradus::Result;
use gradus::prelude::*;
use gradus::train::{EpochRecord, Mode, Run, StopReason, state_sha256};

use crate::args::InspectArgs;
use crate::fail::Outcome;
use crate::json::Line;
use crate::progress::{map, percent};
use crate::runs;
use crate::text::{self, Table};

pub(crate) fn run(args: &InspectArgs) -> Outcome {
    let mut out = io::BufWriter::new(io::stdout().lock());
    let path = &args.target;
    if path.is_file() {
        let state = StateDict::load(path).map_err(|e| match path.parent() {
            Some(folder) if e.code() == Code::Format && folder.join("config.toml").is_file() => {
                e.help(format!("for the whole run: `gradus inspect {}`", text::path(folder)))
            }
            _ => e,
        })?;
        if args.json {
            json_parameters(&mut out, &state)?;
        } else {
            let size = fs::metadata(path).map(|m| m.len()).unwrap_or(0);
            label(&mut out, "file", &format!("{}, {}", path.display(), text::bytes(size)))?;
            parameters(&mut out, &state)?;
        }
    } else {
        let run = open(path)?;
        let records = run.metrics()?;
        if args.json {
            json_run(&mut out, &run, &records)?;
        } else {
            describe(&mut out, &run, &records)?;
            curve(&mut out, &records)?;
        }
        // A run that was stopped early enough has no weights yet; that is no reason to fail.
        if run.model_path().exists() {
            let state = run.weights()?;
            if args.json {
                json_parameters(&mut out, &state)?
            } else {
                parameters(&mut out, &state)?
            }
        }
    }
    out.flush()?;
    Ok(())
}

fn open(path: &Path) -> Result<Run> {
    let weights = path.join("model.safetensors");
    match runs::open(path) {
        Err(e) if e.code() == Code::Io && weights.is_file() => {
            Err(e.help(format!("the weights alone: `gradus inspect {}`", text::path(&weights))))
        }
        other => other,
    }
}

fn label(out: &mut impl Write, name: &str, text: &str) -> Outcome {
    writeln!(out, "{}", text::labelled(name, text))?;
    Ok(())
}

/// What was trained on what, and how it ended.
fn describe(out: &mut impl Write, run: &Run, records: &[EpochRecord]) -> Outcome {
    let config = run.config();
    let data = &config.data;
    label(out, "run", &run.path().display().to_string())?;
    let classes = data.classes.map(|c| format!(", {c} classes")).unwrap_or_default();
    let samples = text::thousands(data.samples);
    let source = if data.table.is_some() { &data.name } else { &data.source };
    let what = match &data.table {
        Some(table) => {
            let target = table.target.as_deref().unwrap_or("its last column");
            format!("{samples} rows, to predict {target} ({}{classes})", config.task)
        }
        None => format!("{samples} of {:?}{classes}", data.sample_shape),
    };
    label(out, "data", &format!("{source}: {what}"))?;
    if data.table.is_some() && data.source != crate::table::STDIN {
        label(out, "", &data.source)?;
    }
    label(out, "model", &runs::model(config))?;
    label(out, "train", &runs::training(config))?;
    let program = format!(
        "gradus {}, {}, {} thread{}",
        config.gradus,
        config.isa,
        config.threads,
        if config.threads == 1 { "" } else { "s" }
    );
    label(out, "made by", &program)?;
    match run.report() {
        Ok(report) => {
            let took = text::seconds(report.seconds);
            let s = if report.epochs == 1 { "" } else { "s" };
            let mut state = format!("{} epoch{s} in {took}, {}", report.epochs, report.stop);
            if matches!(report.stop, StopReason::Stopped | StopReason::Failed { .. }) {
                state.push_str(&go_on(run));
            }
            label(out, "state", &state)?;
            if let Some(accuracy) = report.test.get("accuracy").or(report.test.get("test.accuracy"))
            {
                label(out, "test", &format!("{} right", percent(accuracy)))?;
            }
            if let Some(r2) = report.test.get("test.r2") {
                label(out, "test", &format!("R² {r2:.4}"))?;
            }
            for (name, metrics) in &report.compared {
                let score = metrics.get("accuracy").map(percent);
                let r2 = || metrics.get("r2").map(|r2| format!("R² {:.4}", r2 + 0.0));
                label(out, "", &format!("{name}: {}", score.or_else(r2).unwrap_or_default()))?;
            }
        }
        Err(_) if run.can_resume() => {
            let state = format!("not finished, {} epochs so far{}", records.len(), go_on(run));
            label(out, "state", &state)?;
        }
        Err(_) => label(out, "state", "not finished")?,
    }
    let mut files: Vec<(String, u64)> = fs::read_dir(run.path())
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|f| {
            Some((f.file_name().to_string_lossy().into_owned(), f.metadata().ok()?.len()))
        })
        .collect();
    files.sort();
    let files: Vec<String> =
        files.iter().map(|(name, size)| format!("{name} {}", text::bytes(*size))).collect();
    for (i, line) in text::wrap(&files.join(", "), 88, "").lines().enumerate() {
        label(out, if i == 0 { "files" } else { "" }, line)?;
    }
    if run.has_encoder() {
        write!(out, "{}", crate::table::show::schema(run.encoder()?.schema()))?;
    }
    Ok(())
}

fn go_on(run: &Run) -> String {
    format!("; go on with `gradus train --resume {}`", text::path(run.path()))
}

/// Each metric as a small curve from the first to the last epoch.
fn curve(out: &mut impl Write, records: &[EpochRecord]) -> Outcome {
    let Some(last) = records.last() else { return Ok(()) };
    let epochs = format!("epoch 1 to {}", last.epoch);
    let mut table = Table::new(&["curve", ">first", &epochs, "last", "best"]);
    for name in last.metrics.names() {
        let values: Vec<f64> =
            records.iter().map(|r| r.metrics.get(name).unwrap_or(f64::NAN)).collect();
        let get = |i: usize| values.get(i).copied().unwrap_or(f64::NAN);
        let small = Mode::of(name) == Mode::Min;
        let better = |a: &f64, b: &f64| if small { b.total_cmp(a) } else { a.total_cmp(b) };
        // Of equal values the first one.
        let best = (0..values.len()).rev().max_by(|&a, &b| better(&get(a), &get(b))).unwrap_or(0);
        let epoch = records.get(best).map_or(0, |r| r.epoch);
        table.row(vec![
            name.to_string(),
            text::short(get(0)),
            text::sparkline(&values, 40),
            text::short(get(values.len() - 1)),
            format!("{} in epoch {epoch}", text::short(get(best))),
        ]);
    }
    write!(out, "\n{}", table.plain(""))?;
    Ok(())
}

/// Mean, standard deviation, smallest and largest.
struct Stats {
    mean: f64,
    std: f64,
    min: f64,
    max: f64,
}

impl Stats {
    fn of(array: &Array) -> Stats {
        let values = array.to_f64();
        let n = values.len().max(1) as f64;
        let mean = values.iter().sum::<f64>() / n;
        let variance = values.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / n;
        Stats {
            mean,
            std: variance.sqrt(),
            min: values.iter().copied().fold(f64::INFINITY, f64::min),
            max: values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        }
    }
}

fn parameters(out: &mut impl Write, state: &StateDict) -> Outcome {
    let mut table =
        Table::new(&["parameter", "type", "shape", ">numbers", ">mean", ">std", ">min", ">max"]);
    let (mut numbers, mut size, mut bad) = (0, 0, Vec::new());
    for (name, array) in state.iter() {
        let s = Stats::of(array);
        numbers += array.numel();
        size += array.numel() * array.dtype().size();
        if array.to_f64().iter().any(|v| !v.is_finite()) {
            bad.push(name);
        }
        let mut row = vec![
            name.to_string(),
            array.dtype().to_string(),
            array.shape().to_string(),
            text::thousands(array.numel()),
        ];
        row.extend([s.mean, s.std, s.min, s.max].map(text::short));
        table.row(row);
    }
    write!(out, "\n{}", table.plain(""))?;
    let (arrays, numbers) = (state.len(), text::thousands(numbers));
    writeln!(out, "\n{arrays} arrays, {numbers} numbers, {}", text::bytes(size as u64))?;
    label(out, "sha256", &state_sha256(state)?)?;
    for (key, value) in state.metadata().iter().filter(|(k, _)| !k.starts_with("gradus")) {
        let value: String = value.chars().take(100).collect();
        label(out, "note", &format!("{key}: {value}"))?;
    }
    if !bad.is_empty() {
        label(out, "warning", &format!("infinite or NaN values in {}", bad.join(", ")))?;
    }
    Ok(())
}

fn json_parameters(out: &mut impl Write, state: &StateDict) -> Outcome {
    for (name, array) in state.iter() {
        let s = Stats::of(array);
        let line = Line::event("parameter")
            .with("name", name)
            .with("dtype", array.dtype().to_string())
            .with("shape", array.dims().to_vec())
            .with("numbers", array.numel())
            .with("mean", s.mean)
            .with("std", s.std)
            .with("min", s.min)
            .with("max", s.max);
        writeln!(out, "{line}")?;
    }
    let numbers: usize = state.iter().map(|(_, a)| a.numel()).sum();
    let line = Line::event("parameters")
        .with("arrays", state.len())
        .with("numbers", numbers)
        .with("model_sha256", state_sha256(state)?);
    writeln!(out, "{line}")?;
    Ok(())
}

fn json_run(out: &mut impl Write, run: &Run, records: &[EpochRecord]) -> Outcome {
    let config = run.config();
    let report = run.report().ok();
    let line = Line::event("run")
        .with("run", run.path().display().to_string())
        .with("task", config.task.to_string())
        .with("data", config.data.source.as_str())
        .with("target", config.data.table.as_ref().and_then(|t| t.target.clone()))
        .with("model", runs::sizes(config))
        .with("optimizer", config.training.optimizer.name.map(|n| n.name()))
        .with("lr", config.training.optimizer.lr)
        .with("batch_size", config.training.batch_size)
        .with("seed", config.seed)
        .with("epochs", records.len())
        .with("finished", report.is_some())
        .with("test", report.as_ref().map(|r| map(&r.test)));
    writeln!(out, "{line}")?;
    for record in records {
        let line = Line::event("epoch")
            .with("epoch", record.epoch)
            .with("train", map(&record.metrics.part("train")))
            .with("valid", map(&record.metrics.part("valid")))
            .with("lr", record.lr)
            .with("seconds", record.seconds);
        writeln!(out, "{line}")?;
    }
    Ok(())
}
