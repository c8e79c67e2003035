//! What is seen of a training while it runs: a bar on a terminal, plain lines elsewhere, JSON lines
//! for programs. It only watches; the weights are the same without it.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use gradus::Result;
use gradus::train::{Callback, Event, FitInfo, Flow, Metrics, StopReason, TrainState};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::json::Line;
use crate::text;

/// A long training shows about this many epochs.
const LINES: usize = 20;
/// The bar is told of steps this often.
const TICK: Duration = Duration::from_millis(50);

/// Shows a training.
pub(crate) struct Progress {
    json: bool,
    bar: Option<ProgressBar>,
    ticked: Instant,
    epochs: usize,
    /// Steps before the epoch that runs now, not counting those before a resume.
    before: u64,
    steps: u64,
    every: usize,
    /// What was measured last on the validation data, as text.
    valid: Option<String>,
    best: f64,
    epoch_started: Instant,
    /// The last epoch and its line, if that was not shown.
    hidden: Option<String>,
}

impl Progress {
    pub(crate) fn new(json: bool) -> Progress {
        Progress {
            json,
            bar: None,
            ticked: Instant::now(),
            epochs: 0,
            before: 0,
            steps: 0,
            every: 1,
            valid: None,
            best: f64::INFINITY,
            epoch_started: Instant::now(),
            hidden: None,
        }
    }

    fn start(&mut self, info: &FitInfo) {
        self.epochs = info.epochs;
        self.every = info.epochs.div_ceil(LINES).max(1);
        let left = (info.epochs + 1).saturating_sub(info.first_epoch);
        if !self.json && io::stderr().is_terminal() {
            let template = "{prefix} [{bar:24}] {percent:>3} %  {msg}  {eta} left";
            let style = ProgressStyle::with_template(template)
                .unwrap_or_else(|_| ProgressStyle::default_bar())
                .progress_chars("=> ");
            let bar = ProgressBar::with_draw_target(
                Some((left * info.steps) as u64),
                ProgressDrawTarget::stderr(),
            );
            bar.set_style(style);
            self.bar = Some(bar);
        }
        for warning in &info.warnings {
            self.say(&format!("note    {warning}"));
        }
    }

    /// A line for people, above the bar.
    fn say(&self, line: &str) {
        if self.json {
            return;
        }
        match &self.bar {
            Some(bar) => bar.println(line),
            // A closed stderr is no reason to stop a training.
            None => drop(writeln!(io::stderr(), "{line}")),
        }
    }

    fn step(&mut self, epoch: usize, step: usize, loss: f64) {
        let Some(bar) = &self.bar else { return };
        if self.ticked.elapsed() < TICK {
            return;
        }
        self.ticked = Instant::now();
        bar.set_position(self.before + step as u64);
        bar.set_prefix(format!("epoch {epoch}/{}", self.epochs));
        let valid = self.valid.as_ref().map(|v| format!(", valid {v}"));
        bar.set_message(format!("loss {loss:.4}{}", valid.unwrap_or_default()));
    }

    fn epoch(&mut self, epoch: usize, metrics: &Metrics, lr: f64) {
        self.before += self.steps;
        let seconds = self.epoch_started.elapsed().as_secs_f64();
        self.valid = score(metrics, "valid");
        let loss = metrics.get("valid.loss").unwrap_or(f64::NAN);
        let best = loss < self.best;
        if best {
            self.best = loss;
        }
        if self.json {
            let line = Line::event("epoch")
                .with("epoch", epoch)
                .with("epochs", self.epochs)
                .with("train", map(&metrics.part("train")))
                .with("valid", map(&metrics.part("valid")))
                .with("best", best)
                .with("lr", lr)
                .with("seconds", seconds);
            // Nobody may be reading any more; the run folder has the same numbers.
            drop(writeln!(io::stdout(), "{line}"));
            return;
        }
        let get = |name: &str| metrics.get(name).unwrap_or(f64::NAN);
        let line = format!(
            "epoch {epoch:>width$}/{}   train loss {:.4} {:>7}   valid loss {loss:.4} {:>7}{}",
            self.epochs,
            get("train.loss"),
            score(metrics, "train").unwrap_or_default(),
            score(metrics, "valid").unwrap_or_default(),
            if best { "  best" } else { "" },
            width = self.epochs.to_string().len(),
        );
        if epoch == 1 || epoch.is_multiple_of(self.every) {
            self.say(&line);
            self.hidden = None;
        } else {
            self.hidden = Some(line);
        }
    }

    fn end(&mut self, stop: &StopReason) {
        if let StopReason::Stopped = stop
            && let Some(bar) = self.bar.take()
        {
            // The terminal has written "^C" after the bar, so it cannot be cleared; it says how far
            // the training went.
            bar.abandon();
            return;
        }
        if let Some(line) = self.hidden.take() {
            self.say(&line);
        }
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
        if let StopReason::EarlyStopped { .. } = stop {
            self.say(&format!("{stop}"));
        }
    }
}

impl Callback for Progress {
    fn on_event(&mut self, event: &Event<'_>, state: &mut TrainState<'_>) -> Result<Flow> {
        match event {
            Event::FitStart { info } => {
                self.start(info);
                for record in state.history() {
                    let loss = record.metrics.get("valid.loss").unwrap_or(f64::NAN);
                    self.best = self.best.min(loss);
                }
            }
            Event::EpochStart { .. } => {
                self.steps = state.info().steps as u64;
                self.epoch_started = Instant::now();
            }
            Event::StepEnd { epoch, step, loss, .. } => self.step(*epoch, *step, *loss),
            Event::EpochEnd { epoch, metrics } => self.epoch(*epoch, metrics, state.lr()),
            Event::TrainingEnd { stop } => self.end(stop),
            Event::Failed { .. } => self.end(&StopReason::Stopped),
            _ => {}
        }
        Ok(Flow::Continue)
    }
}

/// What people look at first, as text: the share that is right, or R².
fn score(metrics: &Metrics, part: &str) -> Option<String> {
    let get = |name: &str| metrics.get(&format!("{part}.{name}"));
    get("accuracy").map(percent).or_else(|| get("r2").map(|r2| format!("R² {r2:.4}")))
}

/// Measurements as a JSON object.
pub(crate) fn map(metrics: &Metrics) -> serde_json::Value {
    metrics.iter().map(|(name, value)| (name.to_string(), serde_json::Value::from(value))).collect()
}

/// 0.9712 as `97.12 %`.
pub(crate) fn percent(fraction: f64) -> String {
    format!("{:.2} %", 100.0 * fraction)
}

/// Prints the lines that say what is about to happen.
pub(crate) fn header(lines: &[(&str, String)]) {
    for (label, text) in lines {
        drop(writeln!(io::stderr(), "{}", text::labelled(label, text)));
    }
}
