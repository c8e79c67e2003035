//! `gradus bench`: the workloads that other frameworks are measured with, on ours.
//!
//! Models, batches, losses and the fields of the JSON lines are those of the peer scripts, so that
//! the lines can be put side by side. `work` has the models and data, `nets` the larger models, `sized` the
//! workloads of any size, `measure` the clocks, `profile` the costs of plan steps, `peaks` the machine's limits.

mod measure;
mod nets;
mod peaks;
mod profile;
pub(crate) mod sized;
mod work;

use std::io::{self, Write};

use gradus::autocast;

use crate::args::BenchArgs;
use crate::fail::Outcome;
use crate::json::Line;
use crate::text;

pub(crate) fn run(args: &BenchArgs) -> Outcome {
    args.threads.apply();
    if args.peaks {
        return peaks::run(args);
    }
    for (i, workload) in args.workload.0.iter().enumerate() {
        let name = workload.name.as_str();
        let (data, start) = measure::Start::data(i == 0, || match &workload.sized {
            Some(sized) => sized.data(),
            None => work::Data::load(name, args.data.as_deref()),
        })?;
        let made_up = data.made_up();
        if made_up && !args.json {
            writeln!(
                io::stderr(),
                "{name}: no --data, so the images are made up; speed is the same, losses are not"
            )?;
        }
        gradus::seed(0);
        let measured = if name.starts_with("infer_") {
            let mut predict = work::prediction(name, data.first()?)?;
            if args.profile {
                profile::run(args, name, predict)?;
                continue;
            }
            measure::infer(args, start, &mut predict)?
        } else {
            let mut training = match &workload.sized {
                Some(sized) => sized.training(data)?,
                None => work::Training::new(name, data)?,
            };
            let precision = args.precision.unwrap_or_default();
            let (batch_size, steps) = (training.batch_size, training.steps);
            let mut step = || autocast(precision, &mut training.step);
            if args.profile {
                profile::run(args, name, || step().map(drop))?;
                continue;
            }
            let measured = measure::train(args, batch_size, steps, start, step)?;
            measured.with("parameters", training.parameters)
        };
        let line = Line::new()
            .with("peer", "gradus")
            .with("version", env!("CARGO_PKG_VERSION"))
            .with("workload", name)
            .with("threads", gradus::threads())
            .and(measured)
            .with("precision", args.precision.unwrap_or_default().name())
            .with("isa", gradus::isa::active().name())
            .with("data", if made_up { "made up" } else { "real" });
        let mut out = io::stdout().lock();
        if args.json {
            writeln!(out, "{line}")?;
        } else {
            writeln!(out, "{}", human(name, &line))?;
        }
        out.flush()?;
    }
    Ok(())
}

/// A line for people.
fn human(name: &str, line: &Line) -> String {
    let get = |key: &str| line.number(key);
    let memory = format!("{:.0} MB", get("peak_rss_mb"));
    if name.starts_with("infer_") {
        return format!(
            "{name:25} {:8.2} us median, {:.2} at best, {:.2} p99   {memory}",
            get("median_us"),
            get("min_us"),
            get("p99_us"),
        );
    }
    format!(
        "{name:16} {:>9} steps/s, {:>12} samples/s   loss {} -> {}   first step after {:.3} s \
         (start {} ms, plans {} ms)   {memory}",
        text::thousands(get("steps_per_s").round() as usize),
        text::thousands(get("samples_per_s").round() as usize),
        text::short(get("first_loss")),
        text::short(get("final_loss")),
        get("first_step_s"),
        get("start_ms"),
        get("plan_ms"),
    )
}
