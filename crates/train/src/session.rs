//! One training from its start to its report: the loop.
//!
//! Everything that decides the bits is here and in `resume`: the order of the samples, the random
//! streams, what is measured when. Callbacks are called, but what they see is already decided.

use std::time::Instant;

use gradus_core::{
    Code, Error, Result, StepReport, Tensor, autocast, isa, rng_state, seed, set_rng_state, threads,
};
use gradus_data::{Batch, Dataset, mix};
use gradus_nn::{ModuleExt, StateDict};

use crate::callbacks::{Checkpoint, Mode};
use crate::check;
use crate::config::{DataConfig, Task};
use crate::evaluate::measure;
use crate::event::{Event, FitInfo, Flow, Progress, Saved, StopReason, TrainState};
use crate::files::{self, Saver};
use crate::hash::model_sha256;
use crate::loss::Loss;
use crate::metric::{Metrics, number, record};
use crate::report::{EpochRecord, Report, Scorer};
use crate::resume::{Position, Settings, State};
use crate::run::Run;
use crate::tally::{Tally, borrowed};
use crate::trainer::Trainer;

pub(crate) struct Session<'a> {
    trainer: Trainer<'a>,
    train: &'a Dataset,
    valid: Option<&'a Dataset>,
    epochs: usize,
    loss: Loss,
    settings: Settings,
    progress: Progress,
    /// Sums of the epoch so far.
    tally: Tally,
    /// What the metrics recorded in a step; kept for its memory.
    recorded: Vec<Tensor>,
    /// The last file with the best weights.
    kept: Option<Saved>,
    untouched: Vec<String>,
    /// The loss of the first step of all.
    first_loss: Option<f64>,
    saver: Saver,
    /// When this session started, and the seconds of those before it.
    started: Instant,
    seconds_before: f64,
    /// Whether the first event was sent.
    begun: bool,
    /// What the best epoch is chosen by.
    best_by: (String, Mode),
}

impl<'a> Session<'a> {
    pub(crate) fn new(
        trainer: Trainer<'a>,
        train: &'a Dataset,
        valid: Option<&'a Dataset>,
        epochs: usize,
    ) -> Session<'a> {
        Session {
            trainer,
            train,
            valid,
            epochs,
            loss: Loss::Mse,
            settings: Settings::default(),
            progress: Progress::default(),
            tally: Tally::default(),
            recorded: Vec::new(),
            kept: None,
            untouched: Vec::new(),
            first_loss: None,
            saver: Saver::default(),
            started: Instant::now(),
            seconds_before: 0.0,
            begun: false,
            best_by: (String::new(), Mode::Min),
        }
    }

    pub(crate) fn run(mut self) -> Result<Report> {
        let done = self.go().map_err(|error| self.fail(error));
        if let Some(run) = &self.trainer.run {
            run.unlock();
        }
        done
    }

    fn go(&mut self) -> Result<Report> {
        self.check()?;
        let over = self.begin()?;
        self.begun = true;
        let mut flow = self.emit(&Event::FitStart { info: &self.progress.info.clone() })?;
        if flow == Flow::Stop {
            self.progress.stop.get_or_insert(StopReason::Callback);
        }
        // After the callbacks had their say, so that nothing is left behind when one refuses.
        if !over && self.progress.epoch == 0 {
            self.save_state(1)?;
        }
        let first = self.progress.info.first_epoch;
        let last = if over { 0 } else { self.epochs };
        for epoch in first..=last {
            self.progress.epoch = epoch;
            if flow == Flow::Continue {
                flow = self.epoch()?;
            }
            if flow == Flow::Stop {
                break;
            }
        }
        self.end()
    }

    /// What can be known to be wrong before anything is done.
    fn check(&mut self) -> Result<()> {
        self.loss = self.trainer.settle(self.epochs)?;
        let metrics = borrowed(&self.trainer.metrics);
        let model = &*self.trainer.model;
        let batch_size = self.trainer.batch_size;
        let part = |what: &'static str| move |e: Error| e.line("part", what);
        check::fits(model, &self.loss, &metrics, self.train, batch_size)
            .map_err(part("training"))?;
        if let Some(valid) = self.valid {
            if !valid.is_empty() {
                check::alike(self.train, valid)?;
            }
            check::fits(model, &self.loss, &metrics, valid, batch_size)
                .map_err(part("validation"))?;
        }
        Ok(())
    }

    /// Seeds or resumes; true if there is nothing left to train.
    fn begin(&mut self) -> Result<bool> {
        let names = |part: &'static str, metrics: &crate::tally::MetricList| {
            std::iter::once("loss".to_string())
                .chain(metrics.iter().map(|m| m.name().to_string()))
                .map(move |name| format!("{part}.{name}"))
                .collect::<Vec<_>>()
        };
        let mut metrics = names("train", &self.trainer.metrics);
        if self.valid.is_some() {
            metrics.extend(names("valid", &self.trainer.metrics));
        }
        let batch_size = self.trainer.batch_size;
        self.settings = Settings {
            seed: self.trainer.seed.unwrap_or_else(|| rng_state().seed),
            batch_size,
            loss: self.loss.name().to_string(),
            metrics: self.trainer.metrics.iter().map(|m| m.name().to_string()).collect(),
            clipping: self.trainer.clipping,
            precision: self.trainer.precision,
            train: String::new(),
            valid: String::new(),
        };
        self.progress.info = FitInfo {
            train_samples: self.train.len(),
            valid_samples: self.valid.map_or(0, Dataset::len),
            batch_size,
            steps: self.train.len().div_ceil(batch_size),
            epochs: self.epochs,
            first_epoch: 1,
            parameters: self.trainer.model.num_parameters(),
            metrics,
            warnings: Vec::new(),
        };
        let loss = if self.valid.is_some() { "valid.loss" } else { "train.loss" };
        let chosen = self.trainer.callbacks.iter().find_map(|c| c.monitor());
        let (metric, mode) = chosen.map_or((loss, Mode::Min), |c| (c.metric(), c.mode()));
        self.best_by = (metric.to_string(), mode);
        if let Some(run) = &mut self.trainer.run {
            run.lock()?;
            // Only a run is resumed, so only a run needs to know its data.
            self.settings.train = self.train.fingerprint();
            self.settings.valid = self.valid.map(Dataset::fingerprint).unwrap_or_default();
            let mut callbacks = self.trainer.callbacks.iter();
            if !callbacks.any(|c| c.keeps() == Some(run.model_path())) {
                let keeper = Checkpoint::best(metric, run.path()).mode(mode);
                self.trainer.callbacks.push(Box::new(keeper));
            }
        }
        match &self.trainer.run {
            Some(run) if !run.is_fresh() => self.resume(),
            run => {
                if let Some(seed_) = self.trainer.seed {
                    seed(seed_);
                }
                if run.is_some() {
                    self.describe()?;
                }
                Ok(false)
            }
        }
    }

    /// Fills in what this training knows of the run's configuration.
    fn describe(&mut self) -> Result<()> {
        let Some(run) = &mut self.trainer.run else { return Ok(()) };
        let lr = self.trainer.optimizer.lr();
        let (settings, epochs, train) = (&self.settings, self.epochs, self.train);
        let known = !matches!(self.loss, Loss::Custom(_));
        run.update(|config| {
            config.seed = settings.seed;
            config.threads = threads();
            config.isa = isa::active().name().to_string();
            if known {
                config.task = Task::of(&self.loss);
            }
            if config.data.fingerprint.is_empty() {
                config.data = DataConfig::of(train);
            }
            config.training.loss.clone_from(&settings.loss);
            config.training.batch_size = settings.batch_size;
            config.training.epochs = epochs;
            config.training.clip_norm = settings.clipping.norm;
            config.training.clip_value = settings.clipping.value;
            config.training.clip_adaptive = settings.clipping.adaptive;
            config.training.precision = settings.precision;
            config.training.optimizer.lr = lr;
        })
    }

    /// Goes on from a run's state; true if it is over.
    fn resume(&mut self) -> Result<bool> {
        let Some(run) = &mut self.trainer.run else {
            return Err(Error::internal("nothing to resume"));
        };
        run.sweep();
        let state = State::load(&run.state_path())?;
        let saved = state.position;
        if self.trainer.seed.is_none() {
            self.settings.seed = saved.settings.seed;
        }
        self.settings.must_equal(&saved.settings)?;
        self.trainer.model.load_state_dict(&state.model)?;
        self.trainer.optimizer.load_state_dict(&state.optimizer)?;
        let warnings = &mut self.progress.info.warnings;
        warnings.extend(state.warnings);
        let mut states = state.callbacks;
        for callback in &mut self.trainer.callbacks {
            if callback.save_state().is_none() {
                continue;
            }
            match states.iter().position(|(name, _)| name == callback.name()) {
                Some(at) => callback.load_state(states.remove(at).1)?,
                None => warnings.push(format!("the run had no callback `{}`", callback.name())),
            }
        }
        for (name, _) in states {
            warnings.push(format!("the run had a callback `{name}`, which is not there now"));
        }
        set_rng_state(state.rng);
        run.relog(&saved.history)?;
        let epochs = self.epochs;
        run.update(|config| config.training.epochs = epochs)?;
        let begun = saved.epoch > 1 || saved.step > 0;
        if begun && let Some(best) = best_kept(run, &saved.history, &self.best_by) {
            self.kept = Some(best);
        }
        self.progress.info.first_epoch = saved.epoch;
        self.progress.epoch = saved.epoch.saturating_sub(1).max(usize::from(begun));
        self.progress.step = saved.step;
        self.progress.total_steps = saved.total_steps;
        self.progress.history = saved.history;
        self.tally = saved.tally;
        self.seconds_before = saved.seconds;
        self.untouched = saved.untouched;
        self.first_loss = saved.first_loss;
        self.progress.stop = saved.stop;
        let over = self.progress.stop.is_some() || saved.epoch > self.epochs;
        if !over {
            // What it says is no longer so.
            let _ = std::fs::remove_file(run.report_path());
        }
        Ok(over)
    }

    /// One epoch, or the rest of one.
    fn epoch(&mut self) -> Result<Flow> {
        let started = Instant::now();
        let epoch = self.progress.epoch;
        let resumed = self.progress.step;
        if resumed == 0 {
            self.tally.clear();
        }
        if self.emit(&Event::EpochStart { epoch })? == Flow::Stop {
            return self.cut_short(StopReason::Callback);
        }
        let batch_size = self.settings.batch_size;
        let shuffled = self.train.shuffled(mix(self.settings.seed, epoch as u64 - 1));
        let rest = shuffled.skip(resumed.saturating_mul(batch_size));
        for batch in rest.array_batches(batch_size) {
            if self.trainer.stop.is_stopped() {
                return self.cut_short(StopReason::Stopped);
            }
            if self.step(batch?)? == Flow::Stop {
                return self.cut_short(StopReason::Callback);
            }
        }
        let metrics = borrowed(&self.trainer.metrics);
        let mut values = self.tally.metrics(&metrics).under("train");
        if let Some(valid) = self.valid {
            let model = &*self.trainer.model;
            let stop = &self.trainer.stop;
            let measured = measure(model, valid, batch_size, &self.loss, &metrics, stop)
                .map_err(|e| e.line("while", format!("validating after epoch {epoch}")))?;
            let Some(measured) = measured else {
                return self.cut_short(StopReason::Stopped);
            };
            values.extend(measured.metrics(&metrics).under("valid"));
        }
        no_nan(&values, epoch)?;
        let record = EpochRecord {
            epoch,
            steps: self.progress.total_steps,
            lr: self.trainer.optimizer.lr(),
            seconds: started.elapsed().as_secs_f64(),
            metrics: values,
        };
        self.progress.history.push(record.clone());
        self.progress.step = 0;
        let flow = self.emit(&Event::EpochEnd { epoch, metrics: &record.metrics })?;
        if flow == Flow::Stop {
            self.progress.stop.get_or_insert(StopReason::Callback);
        } else {
            // A reason without the wish is no reason.
            self.progress.stop = None;
        }
        if let Some(run) = &self.trainer.run {
            run.log(&record)?;
        }
        self.save_state(epoch + 1)?;
        if flow == Flow::Continue && epoch < self.epochs && self.trainer.stop.is_stopped() {
            self.progress.stop = Some(StopReason::Stopped);
            return Ok(Flow::Stop);
        }
        Ok(flow)
    }

    /// Ends within an epoch; a resume goes on with its next step.
    fn cut_short(&mut self, stop: StopReason) -> Result<Flow> {
        self.save_state(self.progress.epoch)?;
        self.progress.stop.get_or_insert(stop);
        Ok(Flow::Stop)
    }

    /// One step.
    fn step(&mut self, batch: Batch) -> Result<Flow> {
        let samples = batch.len();
        let (x, y) = (Tensor::from(&batch.x), Tensor::from(&batch.y));
        let Trainer { model, optimizer, metrics, penalty, .. } = &mut self.trainer;
        let (loss, recorded) = (&self.loss, &mut self.recorded);
        let lr = optimizer.lr();
        recorded.clear();
        let precision = self.settings.precision;
        let mut compute = || {
            let prediction = autocast(precision, || model.forward(&x));
            // Part of the step's plan; an optimizer that looks more than once is measured once.
            if recorded.is_empty() {
                recorded.extend(metrics.iter().map(|m| record(&**m, &prediction, &y)));
            }
            let loss = loss.compute(&prediction, &y);
            match penalty {
                Some(penalty) => loss + penalty(),
                None => loss,
            }
        };
        let report = self.settings.clipping.step(&**model, &mut **optimizer, &mut compute);
        let done = report.and_then(|report| {
            let gathers = self.trainer.metrics.iter().map(|m| m.gathers());
            self.tally.add(samples, report.loss, self.recorded.iter().zip(gathers))?;
            Ok(report)
        });
        self.recorded.clear();
        let (epoch, steps) = (self.progress.epoch, self.progress.info.steps);
        let step = self.progress.step + 1;
        let StepReport { loss, untouched } = done.map_err(|e| {
            let e = e.line("step", format!("{step} of {steps} (epoch {epoch})"));
            match spoiled(&batch, self.train) {
                Some(row) if e.code() == Code::NonFinite => e.line("sample", row),
                _ => e,
            }
        })?;
        if self.progress.total_steps == 0 {
            self.first_loss = Some(loss);
            if !untouched.is_empty() {
                self.name_untouched(&untouched);
            }
        }
        self.progress.step = step;
        self.progress.total_steps += 1;
        self.emit(&Event::StepEnd { epoch, step, steps, loss, lr })
    }

    #[cold]
    fn name_untouched(&mut self, ids: &[u64]) {
        let named = self.trainer.model.named_parameters();
        let names = named.into_iter().filter(|(_, param)| ids.contains(&param.id()));
        self.untouched = names.map(|(name, _)| name).collect();
    }

    /// Shows an event to all callbacks, then the files that they wrote meanwhile.
    fn emit(&mut self, event: &Event<'_>) -> Result<Flow> {
        let mut flow = self.show(event)?;
        for saved in std::mem::take(&mut self.progress.outbox) {
            if saved.best.is_some() {
                self.kept = Some(saved.clone());
            }
            if self.show(&Event::Saved { saved: &saved })? == Flow::Stop {
                flow = Flow::Stop;
            }
        }
        Ok(flow)
    }

    fn show(&mut self, event: &Event<'_>) -> Result<Flow> {
        let mut flow = Flow::Continue;
        let Trainer { model, optimizer, callbacks, run, .. } = &mut self.trainer;
        for callback in callbacks {
            let mut state = TrainState {
                model: &**model,
                optimizer: &mut **optimizer,
                progress: &mut self.progress,
                run: run.as_ref(),
            };
            if callback.on_event(event, &mut state)? == Flow::Stop {
                flow = Flow::Stop;
            }
        }
        Ok(flow)
    }

    fn seconds(&self) -> f64 {
        self.seconds_before + self.started.elapsed().as_secs_f64()
    }

    /// Writes what a resume needs, to go on with epoch `next`.
    fn save_state(&mut self, next: usize) -> Result<()> {
        let seconds = self.seconds();
        let Some(run) = &self.trainer.run else { return Ok(()) };
        let progress = &self.progress;
        let callbacks = self.trainer.callbacks.iter();
        let state = State {
            position: Position {
                settings: self.settings.clone(),
                epoch: next,
                step: progress.step,
                total_steps: progress.total_steps,
                tally: if progress.step > 0 { self.tally.clone() } else { Tally::default() },
                history: progress.history.clone(),
                stop: progress.stop.clone(),
                seconds,
                untouched: self.untouched.clone(),
                first_loss: self.first_loss,
            },
            rng: rng_state(),
            model: self.trainer.model.state_dict()?,
            optimizer: self.trainer.optimizer.state_dict()?,
            callbacks: callbacks
                .filter_map(|c| Some((c.name().to_string(), c.save_state()?)))
                .collect(),
            warnings: Vec::new(),
        };
        state.save(&mut self.saver, &run.state_path())
    }

    /// Puts back the best weights where a callback wants that, and reports.
    fn end(&mut self) -> Result<Report> {
        let stop = self.progress.stop.clone().unwrap_or(StopReason::Finished);
        let last = self.trainer.model.snapshot()?;
        self.emit(&Event::TrainingEnd { stop: &stop })?;
        let report = self.report(stop, &last)?;
        if let Some(run) = &self.trainer.run {
            if !run.model_path().exists() {
                // Stopped before the first epoch ended: better these weights than none.
                self.trainer.model.save(run.model_path())?;
            }
            run.sync()?;
            files::write(&run.report_path(), report.to_json()?.as_bytes())?;
        }
        self.emit(&Event::FitEnd { report: &report })?;
        Ok(report)
    }

    /// `last` are the weights before any were put back.
    fn report(&self, stop: StopReason, last: &StateDict) -> Result<Report> {
        let (best_by, mode) = &self.best_by;
        let history = &self.progress.history;
        let best_epoch = Report::best_of(history, best_by, *mode);
        let now = self.trainer.model.snapshot()?;
        let same = now.iter().zip(last.iter()).all(|((_, a), (_, b))| a.same_bits(b));
        let at_best = history.last().map(|r| r.epoch) == best_epoch && self.progress.step == 0;
        Ok(Report {
            task: Task::of(&self.loss).to_string(),
            stop,
            epochs: history.len(),
            steps: self.progress.total_steps,
            best_by: best_by.clone(),
            best_epoch,
            holds_best: best_epoch.is_some() && (at_best || !same),
            history: history.clone(),
            test: Metrics::new(),
            compared: Vec::new(),
            seconds: self.seconds(),
            model_sha256: model_sha256(&self.trainer.model)?,
            untouched: self.untouched.clone(),
            warnings: self.warnings(),
            scorer: Some(Scorer {
                loss: self.loss.clone(),
                metrics: self.trainer.metrics.clone(),
                batch_size: self.settings.batch_size,
                file: self.trainer.run.as_ref().map(Run::report_path),
            }),
        })
    }

    fn warnings(&self) -> Vec<String> {
        let mut warnings = self.progress.info.warnings.clone();
        let last = self.progress.history.last().and_then(|r| r.metrics.get("train.loss"));
        if let (Some(first), Some(last)) = (self.first_loss, last)
            && last > 10.0 * (first.abs() + 1.0)
        {
            warnings.push(format!(
                "train.loss grew from {} to {}: the training diverged, lower the learning rate",
                number(first),
                number(last)
            ));
        }
        warnings
    }

    /// Completes an error and leaves the run in order.
    fn fail(&mut self, error: Error) -> Error {
        if !self.begun || self.progress.total_steps == 0 {
            if let Some(run) = &self.trainer.run {
                run.discard();
            }
            if self.begun {
                let _ = self.show(&Event::Failed { error: &error });
            }
            return error;
        }
        let error = match &self.kept {
            Some(Saved { path, epoch, best: Some((metric, value)) }) => error.line(
                "kept",
                format!("{}, epoch {epoch} with {metric} {}", path.display(), number(*value)),
            ),
            _ => error,
        };
        // A second error, of the disk perhaps, must not hide the first.
        let _ = self.show(&Event::Failed { error: &error });
        if let (Some(run), Ok(last)) = (&self.trainer.run, self.trainer.model.snapshot()) {
            let stop = StopReason::Failed { error: error.title().to_string() };
            let json = self.report(stop, &last).and_then(|report| report.to_json());
            let _ = json.and_then(|json| files::write(&run.report_path(), json.as_bytes()));
        }
        error
    }
}

/// The first sample of a batch that is not finite.
#[cold]
fn spoiled(batch: &Batch, data: &Dataset) -> Option<String> {
    let bad = [&batch.x, &batch.y].into_iter().find_map(|array| {
        let at = array.to_f64().iter().position(|v| !v.is_finite())?;
        at.checked_div(array.numel() / batch.len())
    })?;
    let row = batch.indices().nth(bad)?;
    Some(format!("row {row} of `{}`, counted from 0 as it was loaded", data.name()))
}

/// A NaN of the validation is an error at once: no later epoch can make it better.
fn no_nan(metrics: &Metrics, epoch: usize) -> Result<()> {
    match metrics.iter().find(|(name, value)| name.ends_with(".loss") && value.is_nan()) {
        None => Ok(()),
        Some((name, _)) => {
            let text = format!("{name} is NaN after epoch {epoch}");
            Err(Error::new(Code::NonFinite, text)
                .help("the weights are finite; look for NaN or huge values in the data"))
        }
    }
}

/// The file of best weights that an earlier session left.
fn best_kept(run: &Run, history: &[EpochRecord], best_by: &(String, Mode)) -> Option<Saved> {
    let epoch = Report::best_of(history, &best_by.0, best_by.1)?;
    let value = history.iter().find(|r| r.epoch == epoch)?.metrics.get(&best_by.0)?;
    let path = run.model_path();
    path.exists().then(|| Saved { path, epoch, best: Some((best_by.0.clone(), value)) })
}
