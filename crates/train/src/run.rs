//! A run on disk: a folder with its configuration, its numbers and its weights.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use gradus_core::{Code, Error, Result};
use gradus_nn::{ModuleExt, Sequential, StateDict};

use crate::config::RunConfig;
use crate::files;
use crate::lock::Lock;
use crate::report::{EpochRecord, Report};

pub(crate) const CONFIG: &str = "config.toml";
pub(crate) const METRICS: &str = "metrics.jsonl";
pub(crate) const MODEL: &str = "model.safetensors";
pub(crate) const STATE: &str = "state.safetensors";
pub(crate) const REPORT: &str = "report.json";
pub(crate) const ENCODER: &str = "encoder.json";
/// What the program adds for people: the predictions of the test set.
pub(crate) const PREDICTIONS: &str = "predictions.csv";
const OURS: [&str; 7] = [CONFIG, METRICS, MODEL, STATE, REPORT, ENCODER, PREDICTIONS];

/// A folder that holds a training: before, while and after it runs.
///
/// | file | what | written |
/// |---|---|---|
/// | `config.toml` | [`RunConfig`] | at the start |
/// | `metrics.jsonl` | a line an epoch, [`EpochRecord`] | after each epoch |
/// | `model.safetensors` | the weights of the best epoch | when an epoch is the best |
/// | `state.safetensors` | all that a resume needs, in one file | after each epoch |
/// | `report.json` | [`Report`] | at the end |
/// | `encoder.json` | of a table: what its columns mean | by [`Run::save_encoder`] |
/// | `predictions.csv` | of a table: the test rows, predicted | by the program, at the end |
///
/// Every file but `metrics.jsonl` is replaced as a whole, so a killed program leaves no half-written
/// one. One training at a time may write into a folder; a second one is an error.
///
/// ```
/// use gradus_nn::{Adam, ModuleExt};
/// use gradus_train::{Epochs, Loss, ModelConfig, Run, RunConfig, Trainer};
///
/// let folder = std::env::temp_dir().join("gradus_doc_run");
/// # std::fs::remove_dir_all(&folder).ok();
/// let (train, valid) = gradus_data::digits()?.split(0.8, 17)?;
/// let mut config = RunConfig::for_data(&train);
/// config.model = Some(ModelConfig::mlp(&train, &[16]));
/// let model = config.build_model()?;
/// Trainer::new(&model, Adam::new(&model, 3e-3))
///     .loss(Loss::CrossEntropy)
///     .run(Run::create(&folder, &config)?)
///     .fit(&train, &valid, Epochs(2))?;
///
/// let run = Run::open(&folder)?;
/// assert_eq!(run.metrics()?.len(), 2);
/// let again = run.load_model()?;
/// assert_eq!(again.num_parameters(), model.num_parameters());
/// # std::fs::remove_dir_all(folder).ok();
/// # Ok::<(), gradus_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Run {
    path: PathBuf,
    config: RunConfig,
    /// Whether `create` made the folder itself.
    made: bool,
    /// Whether it was begun by this process, not opened.
    fresh: bool,
    /// Of a run that this process begins or trains.
    lock: Lock,
}

impl Run {
    /// Begins a run in a new or empty folder, and writes its configuration.
    ///
    /// A folder in which a run began but finished no epoch counts as empty.
    ///
    /// # Errors
    /// [`Code::Io`] when the folder holds a run or other files, or cannot be written;
    /// [`Code::Config`] for a configuration that cannot be written.
    pub fn create(path: impl AsRef<Path>, config: &RunConfig) -> Result<Run> {
        Run::begin(path.as_ref(), config, false)
    }

    /// As [`Run::create`], but replaces a run that is there. Other files in the folder stay.
    ///
    /// # Errors
    /// As [`Run::create`]; [`Code::Io`] when files with a run's names are there that are not of a
    /// run.
    pub fn overwrite(path: impl AsRef<Path>, config: &RunConfig) -> Result<Run> {
        Run::begin(path.as_ref(), config, true)
    }

    fn begin(path: &Path, config: &RunConfig, overwrite: bool) -> Result<Run> {
        let text = config.to_toml()?;
        let shown = path.display();
        if path.exists() && !path.is_dir() {
            let text = format!("cannot begin a run at {shown}: it is a file");
            return Err(Error::new(Code::Io, text).help("give the name of a folder"));
        }
        let made = !path.exists();
        let found = if made { Vec::new() } else { names_in(path)? };
        let old = found.iter().any(|name| name == CONFIG) && Run::open(path).is_ok();
        let begun = [METRICS, MODEL, REPORT].iter().any(|n| found.iter().any(|f| f == n));
        if old && begun && !overwrite {
            return Err(Error::new(Code::Io, format!("{shown} already holds a run"))
                .help("choose another folder, overwrite it, or resume it"));
        }
        let foreign = found.iter().any(|name| !(old && OURS.contains(&name.as_str())));
        if foreign && !overwrite {
            let text = format!("{shown} is not empty and holds no run");
            return Err(Error::new(Code::Io, text)
                .line("holds", some(&found))
                .help("choose a new folder; one with other files is only used on request"));
        }
        let taken: Vec<&String> = found.iter().filter(|n| OURS.contains(&n.as_str())).collect();
        if !old && !taken.is_empty() {
            let text = format!("{shown} has files that a run would overwrite, but holds no run");
            let taken: Vec<String> = taken.into_iter().cloned().collect();
            return Err(Error::new(Code::Io, text)
                .line("holds", some(&taken))
                .help("choose another folder, or move them away"));
        }
        files::writable_folder(path)?;
        let lock = Lock::take(path)?;
        files::sweep(path, &OURS);
        for name in taken {
            let file = path.join(name);
            fs::remove_file(&file).map_err(|e| files::io("cannot remove", &file, &e))?;
        }
        files::write(&path.join(CONFIG), text.as_bytes())?;
        Ok(Run { path: path.to_path_buf(), config: config.clone(), made, fresh: true, lock })
    }

    /// Opens a run that is there, to evaluate or to resume it.
    ///
    /// # Errors
    /// [`Code::Io`] when there is no such folder or no run in it, [`Code::Format`] when its
    /// configuration is damaged or of another version.
    pub fn open(path: impl AsRef<Path>) -> Result<Run> {
        let path = path.as_ref();
        let shown = path.display();
        if !path.is_dir() {
            let what = if path.exists() { "it is a file" } else { "there is no such folder" };
            return Err(Error::new(Code::Io, format!("no run at {shown}: {what}"))
                .help("a run is the folder that a training made"));
        }
        let file = path.join(CONFIG);
        let text = fs::read_to_string(&file).map_err(|e| match e.kind() {
            ErrorKind::NotFound => {
                Error::new(Code::Io, format!("{shown} holds no run: {CONFIG} is missing"))
                    .help("a run is the folder that a training made")
            }
            _ => files::io("cannot read", &file, &e),
        })?;
        let config = RunConfig::parse(&text, &file.display().to_string())?;
        let lock = Lock::default();
        Ok(Run { path: path.to_path_buf(), config, made: false, fresh: false, lock })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The configuration.
    pub fn config(&self) -> &RunConfig {
        &self.config
    }

    /// The file with the best weights; there is none before the first epoch ended.
    pub fn model_path(&self) -> PathBuf {
        self.path.join(MODEL)
    }

    /// The best weights.
    ///
    /// # Errors
    /// [`Code::Io`] when there are none yet, or they cannot be read; [`Code::Format`] when the
    /// file is damaged.
    pub fn weights(&self) -> Result<StateDict> {
        if !self.model_path().exists() {
            let text = format!("{} has no {MODEL}", self.path.display());
            return Err(Error::new(Code::Io, text)
                .help("it is written after the first epoch; resume the run, or train anew"));
        }
        StateDict::load(self.model_path())
    }

    /// The model with its best weights, for a run that describes its model.
    ///
    /// # Errors
    /// As [`Run::weights`] and [`RunConfig::build_model`]; [`Code::State`] when they do not fit.
    pub fn load_model(&self) -> Result<Sequential> {
        let model = self.config.build_model()?;
        let file = |e: Error| e.line("file", self.model_path().display().to_string());
        model.load_state_dict(&self.weights()?).map_err(file)?;
        Ok(model)
    }

    /// The epochs so far. A line that a full disk or a crash cut short is left out.
    ///
    /// # Errors
    /// [`Code::Io`] when the file cannot be read, [`Code::Format`] when a line is damaged.
    pub fn metrics(&self) -> Result<Vec<EpochRecord>> {
        let file = self.path.join(METRICS);
        let text = match fs::read_to_string(&file) {
            Ok(text) => text,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(files::io("cannot read", &file, &e)),
        };
        let complete = text.rfind('\n').and_then(|end| text.get(..end)).unwrap_or_default();
        let record = |(i, line): (usize, &str)| {
            serde_json::from_str(line).map_err(|e| {
                let text = format!("{}, line {}: {e}", file.display(), i + 1);
                Error::new(Code::Format, text)
            })
        };
        complete.lines().enumerate().map(record).collect()
    }

    /// The report, once the training ended.
    ///
    /// # Errors
    /// [`Code::Io`] before that, or when it cannot be read; [`Code::Format`] when it is damaged.
    pub fn report(&self) -> Result<Report> {
        let file = self.path.join(REPORT);
        let text = fs::read_to_string(&file).map_err(|e| match e.kind() {
            ErrorKind::NotFound => {
                let text = format!("{} has no {REPORT}", self.path.display());
                Error::new(Code::Io, text).help("it is written when the training ends")
            }
            _ => files::io("cannot read", &file, &e),
        })?;
        serde_json::from_str(&text)
            .map_err(|e| Error::new(Code::Format, format!("{}: {e}", file.display())))
    }

    /// Whether there is something to resume from.
    pub fn can_resume(&self) -> bool {
        self.path.join(STATE).exists()
    }

    pub(crate) fn state_path(&self) -> PathBuf {
        self.path.join(STATE)
    }

    pub(crate) fn report_path(&self) -> PathBuf {
        self.path.join(REPORT)
    }

    /// Whether it was made by `create` or `overwrite`.
    pub(crate) fn is_fresh(&self) -> bool {
        self.fresh
    }

    /// Makes sure that nobody else trains in the folder until [`Run::unlock`].
    pub(crate) fn lock(&mut self) -> Result<()> {
        if !self.lock.is_held() {
            self.lock = Lock::take(&self.path)?;
        }
        Ok(())
    }

    pub(crate) fn unlock(&self) {
        self.lock.release();
    }

    /// Writes the configuration again if `change` changes it; on disk for sure after
    /// [`Run::sync`].
    pub(crate) fn update(&mut self, change: impl FnOnce(&mut RunConfig)) -> Result<()> {
        let mut config = self.config.clone();
        change(&mut config);
        if config != self.config {
            files::replace(&self.path.join(CONFIG), config.to_toml()?.as_bytes(), false)?;
            self.config = config;
        }
        Ok(())
    }

    /// Adds a line to `metrics.jsonl`.
    pub(crate) fn log(&self, record: &EpochRecord) -> Result<()> {
        files::append(&self.path.join(METRICS), &line(record)?)
    }

    /// Writes `metrics.jsonl` anew, so that it has what the state has.
    pub(crate) fn relog(&self, history: &[EpochRecord]) -> Result<()> {
        let lines: Result<Vec<String>> = history.iter().map(|r| Ok(line(r)? + "\n")).collect();
        files::write(&self.path.join(METRICS), lines?.concat().as_bytes())
    }

    /// Makes sure that what was written is on disk.
    pub(crate) fn sync(&self) -> Result<()> {
        [CONFIG, MODEL, STATE, METRICS]
            .iter()
            .try_for_each(|name| files::sync(&self.path.join(name)))
    }

    /// Removes half-written files of a killed program.
    pub(crate) fn sweep(&self) {
        files::sweep(&self.path, &OURS);
    }

    /// Takes back a run in which nothing was trained.
    pub(crate) fn discard(&self) {
        if self.fresh {
            for name in [CONFIG, STATE, ENCODER] {
                let _ = fs::remove_file(self.path.join(name));
            }
            if self.made {
                // Only if it is empty.
                let _ = fs::remove_dir(&self.path);
            }
        }
    }
}

fn line(record: &EpochRecord) -> Result<String> {
    serde_json::to_string(record)
        .map_err(|e| Error::internal(format!("an epoch's record is no JSON: {e}")))
}

/// The names in a folder, without half-written files of ours.
fn names_in(path: &Path) -> Result<Vec<String>> {
    let fail = |e: &std::io::Error| files::io("cannot read the folder", path, e);
    let mut names = Vec::new();
    for entry in fs::read_dir(path).map_err(|e| fail(&e))? {
        let name = entry.map_err(|e| fail(&e))?.file_name().to_string_lossy().into_owned();
        if !(name.starts_with('.') && name.ends_with(".tmp")) {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// The first few names.
fn some(names: &[String]) -> String {
    let shown = names.iter().take(4).map(String::as_str).collect::<Vec<_>>().join(", ");
    if names.len() > 4 { format!("{shown}, ...") } else { shown }
}
