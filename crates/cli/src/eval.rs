//! `gradus eval`: how good a trained run is, class by class.

use std::io::{self, Write};

use gradus::data::Dataset;
use gradus::prelude::*;
use gradus::train::{Confusion, DataConfig, Metrics, Run};
use gradus::{Error, Result};

use crate::args::EvalArgs;
use crate::data::{Source, of_run};
use crate::fail::Outcome;
use crate::json::Line;
use crate::progress::{map, percent};
use crate::{runs, table, text};

const BATCH_SIZE: usize = 256;

pub(crate) fn run(args: &EvalArgs) -> Outcome {
    args.threads.apply();
    let run = runs::open(&args.run)?;
    if run.config().data.table.is_some() {
        return table::eval::run(&run, args);
    }
    if let Some(file) = args.data.as_deref().filter(|d| table::is_table(d)) {
        let name = &run.config().data.name;
        let title = format!("{file} is a table, but the run was trained on images of {name}");
        return Err(Error::new(Code::Data, title)
            .help("give `digits`, or a folder of IDX files such as MNIST's")
            .into());
    }
    let model = run.load_model()?;
    let (data, what) = data(&run, args.data.as_deref())?;
    let loss = run.config().build_loss()?;
    let metrics = evaluate(&model, &data, BATCH_SIZE, loss, &[&Accuracy::new()])?;
    let mut confusion = Confusion::new(data.classes().unwrap_or(0));
    for (x, y) in data.batches(BATCH_SIZE) {
        confusion.add_batch(&model.predict(&x), &y)?;
    }
    let mut out = io::BufWriter::new(io::stdout().lock());
    if args.json {
        let classes = table::eval::classes(&confusion, |c| name(&run.config().data, c));
        let line = Line::event("eval")
            .with("run", run.path().display().to_string())
            .with("task", run.config().task.to_string())
            .with("data", what)
            .with("samples", data.len())
            .and(fields(&metrics))
            .with("classes", classes)
            .with("confusion", confusion.rows().map(<[u64]>::to_vec).collect::<Vec<_>>());
        writeln!(out, "{line}")?;
    } else {
        print(&mut out, &run, &what, data.len(), &metrics, &confusion)?;
    }
    out.flush()?;
    Ok(())
}

fn fields(metrics: &Metrics) -> Line {
    let get = |name: &str| metrics.get(name).unwrap_or(f64::NAN);
    Line::new()
        .with("accuracy", get("accuracy"))
        .with("loss", get("loss"))
        .with("metrics", map(metrics))
}

/// The samples to measure on, and what they are.
fn data(run: &Run, given: Option<&str>) -> Result<(Dataset, String)> {
    let config = &run.config().data;
    let held_out = |source: Source| {
        let what = format!("the test set of {}", config.name);
        Ok((source.split(config)?.test()?, what))
    };
    let Some(given) = given else { return held_out(of_run(config, run.path())?) };
    let source = Source::open(given)?;
    fits(&source.all, config)?;
    if source.all.fingerprint() == config.fingerprint {
        return held_out(source);
    }
    let what = source.name.clone();
    let data = source.unseen()?;
    fits(&data, config)?;
    let classes = config.classes.unwrap_or(0);
    Ok((data.with_classes(classes)?, what))
}

/// Whether a model that was trained on some data can be asked about other data.
pub(crate) fn fits(data: &Dataset, config: &DataConfig) -> Result<()> {
    let shape = |dims: &[usize]| format!("{dims:?}");
    let (then, now) = (shape(&config.sample_shape), shape(data.sample_shape().dims()));
    if then != now {
        let title = format!("{} does not fit the run: its images have another size", data.name());
        return Err(Error::new(Code::Data, title)
            .line("run", format!("{then}, of {}", config.name))
            .line("data", now)
            .help("measure on data of the same kind as it was trained on"));
    }
    let (then, now) = (config.classes.unwrap_or(0), data.classes().unwrap_or(0));
    if now > then {
        let title = format!("{} does not fit the run: it has more classes", data.name());
        return Err(Error::new(Code::Data, title)
            .line("run", format!("{then} classes, of {}", config.name))
            .line("data", format!("{now} classes")));
    }
    Ok(())
}

fn name(config: &DataConfig, class: usize) -> String {
    config.class_names.get(class).cloned().unwrap_or_else(|| class.to_string())
}

fn print(
    out: &mut impl Write,
    run: &Run,
    what: &str,
    samples: usize,
    metrics: &Metrics,
    confusion: &Confusion,
) -> Outcome {
    let config = &run.config().data;
    let get = |name: &str| metrics.get(name).unwrap_or(f64::NAN);
    let lines = [
        ("run", format!("{} ({})", run.path().display(), runs::model(run.config()))),
        ("data", format!("{what}, {} samples", text::thousands(samples))),
        ("right", percent(get("accuracy"))),
        ("loss", text::short(get("loss"))),
    ];
    for (label, text) in lines {
        writeln!(out, "{}", text::labelled(label, &text))?;
    }
    table::show::classes(out, confusion, |class| name(config, class))
}
