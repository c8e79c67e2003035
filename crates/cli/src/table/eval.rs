//! `gradus eval` of a run that was trained on a table.

use std::io::{self, Write};

use gradus::Result;
use gradus::data::Dataset;
use gradus::data::table::Labels;
use gradus::train::{Predictor, Run};
use gradus::{Code, Error};
use serde_json::json;

use super::show::{self, Scores, Truth, unit};
use crate::args::EvalArgs;
use crate::fail::Outcome;
use crate::json::Line;
use crate::progress::{map, percent};
use crate::{runs, text};

/// Measures on the run's own test rows, or on another file with a known target.
pub(crate) fn run(run: &Run, args: &EvalArgs) -> Outcome {
    let predictor = Predictor::of(run, run.load_model()?)?;
    let (scores, what) = match &args.data {
        None => {
            super::needs_source(run.config(), run.path(), "an evaluation")?;
            let source = run.config().data.source.clone();
            let data = super::again(run.config(), run.path(), &source)?;
            held_out(&predictor, run, data.data.test)?
        }
        Some(file) => given(&predictor, run, file)?,
    };
    print(run, &scores, &what, args.json)
}

fn held_out(predictor: &Predictor, run: &Run, test: Option<Dataset>) -> Result<(Scores, String)> {
    let test = test.ok_or_else(|| Error::internal("a run without test rows"))?;
    let mut scores = Scores::new(predictor.classes().len());
    let encoder = predictor.encoder();
    for batch in test.array_batches(4096) {
        let batch = batch?;
        let predictions = predictor.predict_array(&batch.x)?;
        let truth = match predictor.classes().is_empty() {
            false => {
                Truth::Classes(batch.y.to_vec::<i64>()?.into_iter().map(|v| v as usize).collect())
            }
            true => {
                let decode = |v| encoder.map_or(v, |e| e.decode_value(v));
                Truth::Values(batch.y.to_f64().into_iter().map(decode).collect())
            }
        };
        scores.add(&truth, &predictions)?;
    }
    Ok((scores, format!("the test rows of {}", run.config().data.name)))
}

fn given(predictor: &Predictor, run: &Run, file: &str) -> Result<(Scores, String)> {
    // The file of the training, perhaps in another place: only the rows it never saw count.
    if file != super::STDIN
        && let Ok(Some(ready)) = super::prepared(run.config(), file)
    {
        return held_out(predictor, run, ready.data.test);
    }
    let Some(encoder) = predictor.encoder() else {
        return Err(Error::internal("a table without an encoder"));
    };
    let table = super::open(file, &predictor.read_options())?;
    let mut scores = Scores::new(predictor.classes().len());
    let mut report = gradus::data::table::Report::default();
    for part in encoder.encode_chunks(&table)? {
        let part = part?;
        report.merge(part.report());
        let Some(labels) = part.labels() else {
            let title =
                format!("{} has no column `{}` to compare with", table.name(), encoder.target());
            let shown = text::path(run.path());
            return Err(Error::new(Code::Data, title)
                .help(format!("to predict it: `gradus predict {shown} {file}`")));
        };
        scores.add(&known(labels), &predictor.encoded(&part)?)?;
    }
    show::notes(report.notes());
    if scores.samples() == 0 {
        let title =
            format!("no row of {} has a `{}` that is known", table.name(), encoder.target());
        return Err(Error::new(Code::Data, title));
    }
    let name = if file == super::STDIN { "stdin" } else { file };
    Ok((scores, name.to_string()))
}

/// What does not count is an id that no class has, or NaN.
fn known(labels: &Labels) -> Truth {
    match labels {
        Labels::Classes(ids) => {
            Truth::Classes(ids.iter().map(|id| id.unwrap_or(usize::MAX)).collect())
        }
        Labels::Values(values) => {
            Truth::Values(values.iter().map(|v| v.unwrap_or(f64::NAN)).collect())
        }
    }
}

fn print(run: &Run, scores: &Scores, what: &str, json: bool) -> Outcome {
    let config = run.config();
    let metrics = scores.metrics();
    let name = |c: usize| config.data.class_names.get(c).cloned().unwrap_or_else(|| c.to_string());
    let mut out = io::BufWriter::new(io::stdout().lock());
    if json {
        let mut line = Line::event("eval")
            .with("run", run.path().display().to_string())
            .with("task", config.task.to_string())
            .with("data", what)
            .with("samples", scores.samples());
        for (key, value) in
            [("accuracy", "accuracy"), ("r2", "r2"), ("mae", "mae"), ("rmse", "rmse")]
        {
            if let Some(value) = metrics.get(value) {
                line = line.with(key, value);
            }
        }
        line = line.with("metrics", map(&metrics));
        if let Scores::Classes(confusion) = scores {
            line = line
                .with("classes", classes(confusion, name))
                .with("confusion", confusion.rows().map(<[u64]>::to_vec).collect::<Vec<_>>());
        }
        writeln!(out, "{line}")?;
        out.flush()?;
        return Ok(());
    }
    let get = |name: &str| metrics.get(name).unwrap_or(f64::NAN);
    let rows = match scores.samples() {
        1 => "1 row".to_string(),
        n => format!("{} rows", text::thousands(n)),
    };
    let mut lines = vec![
        ("run", format!("{} ({})", run.path().display(), runs::model(config))),
        ("data", format!("{what}, {rows}")),
    ];
    match scores {
        Scores::Classes(_) => lines.push(("right", percent(get("accuracy")))),
        Scores::Values(values) => {
            lines.push(("R²", format!("{:.4}", get("r2"))));
            let errors = format!(
                "{} on average, {} as the root of the mean square; the mean is {}",
                unit(get("mae")),
                unit(get("rmse")),
                unit(values.mean())
            );
            lines.push(("error", errors));
        }
    }
    for (label, text) in lines {
        writeln!(out, "{}", text::labelled(label, &text))?;
    }
    if let Scores::Classes(confusion) = scores {
        show::classes(&mut out, confusion, name)?;
    }
    out.flush()?;
    Ok(())
}

/// Per class, for programs.
pub(crate) fn classes(
    confusion: &gradus::train::Confusion,
    name: impl Fn(usize) -> String,
) -> serde_json::Value {
    let scores = confusion.classes();
    let rows = scores.iter().enumerate().map(|(c, s)| {
        json!({
            "class": name(c),
            "samples": s.support,
            "right": confusion.count(c, c),
            "precision": s.precision,
            "recall": s.recall,
            "f1": s.f1,
        })
    });
    rows.collect()
}
