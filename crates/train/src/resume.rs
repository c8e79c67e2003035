//! What a run keeps to go on from: one file with everything, replaced as a whole, so that no kill
//! can leave parts of different epochs.

use std::collections::BTreeMap;
use std::path::Path;

use gradus_core::{Code, Error, Precision, Result, RngState, isa};
use gradus_nn::StateDict;
use serde::{Deserialize, Serialize};

use crate::clipping::Clipping;
use crate::config::FORMAT;
use crate::event::{CallbackState, StopReason};
use crate::files::Saver;
use crate::report::EpochRecord;
use crate::tally::Tally;

/// The key of the numbers in the file's metadata.
const KEY: &str = "gradus.training";

/// What decides the bits of a training beside its weights; it must be the same when it resumes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Settings {
    pub(crate) seed: u64,
    pub(crate) batch_size: usize,
    pub(crate) loss: String,
    pub(crate) metrics: Vec<String>,
    #[serde(flatten)]
    pub(crate) clipping: Clipping,
    /// Of products in training.
    #[serde(default, with = "crate::config::precision_name")]
    pub(crate) precision: Precision,
    /// Fingerprint of the training data.
    pub(crate) train: String,
    /// Fingerprint of the validation data; empty without.
    pub(crate) valid: String,
}

impl Settings {
    /// Fails when `self`, a resumed training, would not continue `saved`.
    pub(crate) fn must_equal(&self, saved: &Settings) -> Result<()> {
        let clipping = |s: &Settings| {
            let limits = s.clipping.limits().into_iter();
            let shown = limits.filter_map(|(name, limit)| Some(format!("{name} {}", limit?)));
            shown.collect::<Vec<_>>().join(", ")
        };
        let rows = [
            ("seed", self.seed.to_string(), saved.seed.to_string()),
            ("batch size", self.batch_size.to_string(), saved.batch_size.to_string()),
            ("loss", self.loss.clone(), saved.loss.clone()),
            ("metrics", self.metrics.join(", "), saved.metrics.join(", ")),
            ("clipping", clipping(self), clipping(saved)),
            ("precision", self.precision.name().to_string(), saved.precision.name().to_string()),
            ("training data", self.train.clone(), saved.train.clone()),
            ("validation data", self.valid.clone(), saved.valid.clone()),
        ];
        let Some((what, now, then)) = rows.into_iter().find(|(_, now, then)| now != then) else {
            return Ok(());
        };
        let short = |text: String| match text.get(..12) {
            _ if text.is_empty() => "none".to_string(),
            Some(start) if what.ends_with("data") => format!("sha256 {start}..."),
            _ => text,
        };
        Err(Error::new(Code::Config, format!("cannot resume: the {what} is not the same"))
            .line("saved", short(then))
            .line("now", short(now))
            .help("resume with the settings and data of the run, or begin a new one"))
    }
}

/// Where a training is, in numbers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Position {
    pub(crate) settings: Settings,
    /// The epoch to go on with, from 1.
    pub(crate) epoch: usize,
    /// Steps already made in it.
    pub(crate) step: usize,
    pub(crate) total_steps: u64,
    /// The sums of those steps.
    pub(crate) tally: Tally,
    pub(crate) history: Vec<EpochRecord>,
    /// Why it ended for good: not to be continued.
    pub(crate) stop: Option<StopReason>,
    pub(crate) seconds: f64,
    pub(crate) untouched: Vec<String>,
    pub(crate) first_loss: Option<f64>,
}

#[derive(Serialize, Deserialize)]
struct Saved {
    format: u32,
    gradus: String,
    isa: String,
    position: Position,
    rng_seed: u64,
    rng_draws: Vec<u32>,
    /// Metadata of the optimizer's state.
    optimizer: BTreeMap<String, String>,
    callbacks: Vec<(String, serde_json::Value)>,
}

/// Everything.
pub(crate) struct State {
    pub(crate) position: Position,
    pub(crate) rng: RngState,
    pub(crate) model: StateDict,
    pub(crate) optimizer: StateDict,
    /// By name, in order.
    pub(crate) callbacks: Vec<(String, CallbackState)>,
    /// Differences that may change the bits, for people.
    pub(crate) warnings: Vec<String>,
}

impl State {
    /// Writes the file, complete or not at all.
    pub(crate) fn save(&self, saver: &mut Saver, path: &Path) -> Result<()> {
        let mut all = StateDict::new();
        let mut put = |prefix: &str, part: &StateDict| {
            part.iter().for_each(|(n, array)| all.insert(format!("{prefix}.{n}"), array.clone()));
        };
        put("model", &self.model);
        put("optimizer", &self.optimizer);
        for (i, (_, state)) in self.callbacks.iter().enumerate() {
            put(&format!("callback.{i}"), &state.arrays);
        }
        let saved = Saved {
            format: FORMAT,
            gradus: env!("CARGO_PKG_VERSION").to_string(),
            isa: isa::active().name().to_string(),
            position: self.position.clone(),
            rng_seed: self.rng.seed,
            rng_draws: self.rng.draws.to_vec(),
            optimizer: self.optimizer.metadata().clone(),
            callbacks: self.callbacks.iter().map(|(n, s)| (n.clone(), s.json.clone())).collect(),
        };
        let json = serde_json::to_string(&saved)
            .map_err(|e| Error::internal(format!("a training's state is no JSON: {e}")))?;
        all.set_metadata(KEY, json);
        saver.save(&all, path)
    }

    /// Reads the file.
    pub(crate) fn load(path: &Path) -> Result<State> {
        if !path.exists() {
            let folder = path.parent().unwrap_or(path).display();
            let text = format!("cannot resume {folder}: it has no state.safetensors");
            return Err(Error::new(Code::Io, text).help("the training did not begin; train anew"));
        }
        let all = StateDict::load(path)?;
        let damaged =
            |what: &str| Error::new(Code::Format, format!("{} is damaged: {what}", path.display()));
        let json = all.metadata().get(KEY).ok_or_else(|| damaged("it is no training's state"))?;
        let saved: Saved = serde_json::from_str(json).map_err(|e| damaged(&e.to_string()))?;
        if saved.format != FORMAT {
            let text = format!("{} has format {}, this is {FORMAT}", path.display(), saved.format);
            return Err(Error::new(Code::Format, text)
                .help("resume with the version of Gradus that wrote the run"));
        }
        let part = |prefix: &str| -> StateDict {
            let strip =
                |name: &str| Some(name.strip_prefix(prefix)?.strip_prefix('.')?.to_string());
            all.iter().filter_map(|(n, array)| Some((strip(n)?, array.clone()))).collect()
        };
        let mut optimizer = part("optimizer");
        for (key, value) in &saved.optimizer {
            optimizer.set_metadata(key, value);
        }
        let draws = saved.rng_draws.try_into().map_err(|_| damaged("the random streams"))?;
        let callbacks = saved.callbacks.into_iter().enumerate().map(|(i, (name, json))| {
            (name, CallbackState { json, arrays: part(&format!("callback.{i}")) })
        });
        let mut warnings = Vec::new();
        let now = (env!("CARGO_PKG_VERSION"), isa::active().name());
        if (saved.gradus.as_str(), saved.isa.as_str()) != now {
            warnings.push(format!(
                "resumed with gradus {} on {}, begun with {} on {}: the last bits may differ",
                now.0, now.1, saved.gradus, saved.isa
            ));
        }
        Ok(State {
            position: saved.position,
            rng: RngState { seed: saved.rng_seed, draws },
            model: part("model"),
            optimizer,
            callbacks: callbacks.collect(),
            warnings,
        })
    }
}
