//! `gradus bench --profile`: where the time of a workload's steps goes, plan step by plan step.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use gradus::{Profile, Result, StepCost, profile};

use super::measure::round;
use super::peaks::Peaks;
use crate::args::BenchArgs;
use crate::fail::Outcome;
use crate::json::Line;
use crate::text::{self, Table};

/// Peaks are measured this long, before and after the steps.
const PEAK_TIME: Duration = Duration::from_millis(30);
/// Rows below this share of the time are added up.
const LEAST: f64 = 0.004;

/// Warms up, measures steps for a window, and prints the costs.
pub(super) fn run(args: &BenchArgs, name: &str, mut step: impl FnMut() -> Result<()>) -> Outcome {
    let started = Instant::now();
    let mut warm = 0;
    while warm < 3 || started.elapsed().as_secs_f64() < args.warmup.min(20.0) {
        step()?;
        warm += 1;
    }
    let before = Peaks::measure(PEAK_TIME)?;
    let mut steps = 0u32;
    let (result, costs) = profile(|| -> Result<()> {
        let started = Instant::now();
        while steps < 3 || started.elapsed().as_secs_f64() < args.window {
            step()?;
            steps += 1;
        }
        Ok(())
    });
    result?;
    let peaks = before.or(Peaks::measure(PEAK_TIME)?);
    let mut out = io::stdout().lock();
    if args.json {
        json(&mut out, name, &costs, steps, &peaks)
    } else {
        table(&mut out, name, &costs, steps, &peaks)
    }
}

/// Time of one training step in microseconds.
fn per_step(seconds: f64, steps: u32) -> f64 {
    seconds * 1e6 / f64::from(steps.max(1))
}

/// What a step reaches, its unit, and the share of the machine's peak.
fn speed(row: &StepCost, peaks: &Peaks) -> (f64, &'static str, f64) {
    let each = row.seconds / row.calls.max(1) as f64;
    if row.flops > 0.0 {
        let flops = row.flops / each;
        return (flops / 1e9, "GFLOP/s", flops / peaks.flops);
    }
    let bytes = row.bytes / each;
    (bytes / 1e9, "GB/s", bytes / peaks.bandwidth(row.bytes))
}

fn json(out: &mut impl Write, name: &str, costs: &Profile, steps: u32, peaks: &Peaks) -> Outcome {
    for row in &costs.steps {
        let (reached, unit, share) = speed(row, peaks);
        let line = Line::new()
            .with("workload", name)
            .with("plan", row.plan)
            .with("at", row.at)
            .with("kind", row.kind)
            .with("text", row.text.as_str())
            .with("calls_per_step", round(row.calls as f64 / f64::from(steps.max(1)), 3))
            .with("us_per_step", round(per_step(row.seconds, steps), 3))
            .with("share", round(row.seconds / costs.seconds, 4))
            .with("speed", round(reached, 2))
            .with("unit", unit)
            .with("of_peak", round(share, 3));
        writeln!(out, "{line}")?;
    }
    let rest = costs.seconds - costs.in_steps();
    let line = Line::new()
        .with("workload", name)
        .with("kind", "outside")
        .with("us_per_step", round(per_step(rest, steps), 3))
        .with("share", round(rest / costs.seconds, 4));
    writeln!(out, "{line}")?;
    Ok(())
}

fn table(out: &mut impl Write, name: &str, costs: &Profile, steps: u32, peaks: &Peaks) -> Outcome {
    writeln!(
        out,
        "{name}: {} us a step, {} us of them in {} plan steps; peak {} GFLOP/s, {}",
        text::short(per_step(costs.seconds, steps)),
        text::short(per_step(costs.in_steps(), steps)),
        costs.steps.iter().filter(|s| s.calls > 0).count(),
        text::short(peaks.flops / 1e9),
        text::threads(gradus::threads()),
    )?;
    let mut table = Table::new(&["us", "share", "speed", "of peak", "plan", "step", "what"]);
    let mut rows: Vec<&StepCost> = costs.steps.iter().filter(|s| s.calls > 0).collect();
    rows.sort_by(|a, b| b.seconds.total_cmp(&a.seconds));
    let (shown, small): (Vec<&StepCost>, Vec<&StepCost>) =
        rows.into_iter().partition(|r| r.seconds >= LEAST * costs.seconds);
    let percent = |x: f64| format!("{:.1}%", 100.0 * x);
    for row in shown {
        let (reached, unit, share) = speed(row, peaks);
        table.row(vec![
            text::short(per_step(row.seconds, steps)),
            percent(row.seconds / costs.seconds),
            format!("{reached:.1} {unit}"),
            format!("{:.0}%", 100.0 * share),
            row.plan.to_string(),
            row.at.to_string(),
            format!("{:<9} {}", row.kind, row.text),
        ]);
    }
    let plain = |seconds: f64, what: String| {
        let none = String::new;
        let us = text::short(per_step(seconds, steps));
        vec![us, percent(seconds / costs.seconds), none(), none(), none(), none(), what]
    };
    let rest: f64 = small.iter().map(|r| r.seconds).sum();
    if !small.is_empty() {
        table.row(plain(rest, format!("{} smaller steps", small.len())));
    }
    table.row(plain(
        costs.seconds - costs.in_steps(),
        "outside of steps: recording, looking up the plan, the loop".into(),
    ));
    writeln!(out, "{}", table.plain("  "))?;
    Ok(())
}
