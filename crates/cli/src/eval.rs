//! `gradus eval`: how good a trained run is, class by class.

use std::io::{self, Write};

use gradus::data::Dataset;
use gradus::prelude::*;
use gradus::train::{DataConfig, Metrics, Run};
use gradus::{Error, Result};
use serde_json::json;

use crate::args::EvalArgs;
use crate::data::{Source, of_run};
use crate::fail::Outcome;
use crate::json::Line;
use crate::progress::{map, percent};
use crate::runs;
use crate::text::{self, Table};

const BATCH_SIZE: usize = 256;
/// Confusions that are listed.
const LISTED: usize = 5;

pub(crate) fn run(args: &EvalArgs) -> Outcome {
    args.threads.apply();
    let run = runs::open(&args.run)?;
    let model = run.load_model()?;
    let (data, what) = data(&run, args.data.as_deref())?;
    let loss = run.config().build_loss()?;
    let metrics = evaluate(&model, &data, BATCH_SIZE, loss, &[&Accuracy::new()])?;
    let confusion = Confusion::measure(&model, &data)?;
    let mut out = io::BufWriter::new(io::stdout().lock());
    if args.json {
        let classes: Vec<_> = (0..confusion.classes)
            .map(|c| {
                json!({
                    "class": name(&run.config().data, c),
                    "samples": confusion.samples(c),
                    "right": confusion.count(c, c),
                })
            })
            .collect();
        let line = Line::event("eval")
            .with("run", run.path().display().to_string())
            .with("task", run.config().task.to_string())
            .with("data", what)
            .with("samples", data.len())
            .and(fields(&metrics))
            .with("classes", classes)
            .with("confusion", confusion.rows());
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
fn fits(data: &Dataset, config: &DataConfig) -> Result<()> {
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

/// How often a class was taken for another.
struct Confusion {
    classes: usize,
    counts: Vec<usize>,
}

impl Confusion {
    fn measure(model: &Sequential, data: &Dataset) -> Result<Confusion> {
        let classes = data.classes().unwrap_or(0);
        let mut counts = vec![0; classes * classes];
        for (x, y) in data.batches(BATCH_SIZE) {
            let predicted = model.predict(&x).argmax(-1).to_vec::<i64>()?;
            for (truth, predicted) in y.to_vec::<i64>()?.into_iter().zip(predicted) {
                let at = truth as usize * classes + predicted as usize;
                if let Some(count) = counts.get_mut(at) {
                    *count += 1;
                }
            }
        }
        Ok(Confusion { classes, counts })
    }

    /// Samples of class `truth` that were taken for `predicted`.
    fn count(&self, truth: usize, predicted: usize) -> usize {
        self.counts.get(truth * self.classes + predicted).copied().unwrap_or(0)
    }

    fn rows(&self) -> Vec<Vec<usize>> {
        self.counts.chunks(self.classes.max(1)).map(<[usize]>::to_vec).collect()
    }

    fn samples(&self, truth: usize) -> usize {
        (0..self.classes).map(|p| self.count(truth, p)).sum()
    }

    /// What a class is most often taken for, and how often.
    fn worst(&self, truth: usize) -> Option<(usize, usize)> {
        (0..self.classes)
            .filter(|&p| p != truth)
            .map(|p| (p, self.count(truth, p)))
            .filter(|&(_, n)| n > 0)
            .max_by_key(|&(p, n)| (n, std::cmp::Reverse(p)))
    }
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
    let mut table = Table::new(&["class", ">samples", ">right", "most often taken for"]);
    let mut hidden = 0;
    // Many classes: the worst ones are worth a look.
    let mut order: Vec<usize> = (0..confusion.classes).collect();
    let rate = |c: usize| confusion.count(c, c) as f64 / confusion.samples(c).max(1) as f64;
    if confusion.classes > 30 {
        order.sort_by(|&a, &b| rate(a).total_cmp(&rate(b)));
        hidden = order.len() - 20;
        order.truncate(20);
    }
    for class in order {
        let samples = confusion.samples(class);
        let right = if samples == 0 { "-".to_string() } else { percent(rate(class)) };
        let worst = confusion.worst(class).map(|(p, n)| format!("{} ({n} times)", name(config, p)));
        let worst = worst.unwrap_or_default().replace("(1 times)", "(once)");
        table.row(vec![name(config, class), text::thousands(samples), right, worst]);
    }
    write!(out, "\n{}", table.plain("  "))?;
    if hidden > 0 {
        writeln!(out, "  and {hidden} classes that are predicted better; --json has all")?;
    }
    let mut pairs: Vec<(usize, usize, usize)> = (0..confusion.classes)
        .flat_map(|t| (0..confusion.classes).map(move |p| (t, p)))
        .filter(|(t, p)| t != p)
        .map(|(t, p)| (confusion.count(t, p), t, p))
        .filter(|&(n, ..)| n > 0)
        .collect();
    pairs.sort_by_key(|&(n, t, p)| (std::cmp::Reverse(n), t, p));
    let wrong: usize = pairs.iter().map(|&(n, ..)| n).sum();
    if wrong > 0 {
        let list: Vec<String> = pairs
            .iter()
            .take(LISTED)
            .map(|&(n, t, p)| format!("{} as {} ({n})", name(config, t), name(config, p)))
            .collect();
        writeln!(out, "\n  {wrong} wrong; most often {}", list.join(", "))?;
    }
    Ok(())
}
