//! The data of a run: the built-in digits or a folder of IDX files, and its three parts.
//!
//! The parts are always the same for the same data, whatever `--seed` says: what was held out for
//! the test in one run is held out in all, unless `--split-seed` asks for others.

use std::path::{Path, PathBuf};

use gradus::data::{Dataset, ImageFolder, digits, mnist_folder};
use gradus::train::{DataConfig, RunConfig};
use gradus::{Code, Error, Result};

use crate::args::nearest;
use crate::text;

/// The name of the built-in data.
pub(crate) const DIGITS: &str = "digits";
/// Every run splits with this seed, unless another is asked for.
pub(crate) const SPLIT_SEED: u64 = 17;
/// Of the samples to train on; more than `MOST_VALID` samples would be a waste.
const VALID: f64 = 0.1;
const MOST_VALID: f64 = 5000.0;
/// Of the samples of data without a test set of its own.
const TEST: f64 = 0.2;
/// With fewer, a part would hold next to nothing.
const FEWEST: usize = 20;

/// Data that was found and read, before it is split.
pub(crate) struct Source {
    /// `digits`, or the full path of a folder.
    pub(crate) name: String,
    /// All that is split.
    pub(crate) all: Dataset,
    /// The folder, which may have a test set.
    folder: Option<ImageFolder>,
}

/// The parts of the data.
pub(crate) struct Parts {
    pub(crate) train: Dataset,
    pub(crate) valid: Dataset,
    /// Where the test set is; its own files are not read before the end.
    test: Held,
}

enum Held {
    Split(Dataset),
    Files(Box<ImageFolder>),
}

impl Source {
    /// Opens `digits` or a folder.
    pub(crate) fn open(name: &str) -> Result<Source> {
        let path = Path::new(name);
        if name == DIGITS && !path.is_dir() {
            return Ok(Source { name: name.to_string(), all: digits()?, folder: None });
        }
        if name.trim().is_empty() {
            return Err(Error::new(Code::Config, "the name of the data is empty")
                .help("give a table (CSV), `digits`, or a folder of IDX files"));
        }
        let bare = path.components().count() == 1 && !path.exists();
        if bare && nearest(name, [DIGITS]).is_some() {
            let title = format!("there is no data `{name}`");
            return Err(Error::new(Code::Config, title).help("did you mean `digits`?"));
        }
        let folder = mnist_folder(path).map_err(|e| match e.advice() {
            _ if table_in(path).is_some() => {
                let file = text::path(&table_in(path).unwrap_or_default());
                e.help(format!("to train on a table, name the file: `gradus train {file}`"))
            }
            Some(_) => e,
            None => {
                e.help("give a table (CSV), `digits`, or a folder of IDX files such as MNIST's")
            }
        })?;
        let full = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
        let name = full.display().to_string();
        Ok(Source { name, all: folder.train()?, folder: Some(folder) })
    }

    /// A short name for the run's folder.
    pub(crate) fn short_name(&self) -> String {
        let last = Path::new(&self.name).file_name().map(|n| n.to_string_lossy().into_owned());
        let name: String = last
            .unwrap_or_default()
            .chars()
            .map(|c| if c.is_alphanumeric() || c == '_' { c } else { '-' })
            .collect();
        let name = name.trim_matches('-').to_string();
        if name.is_empty() { "data".to_string() } else { name }
    }

    /// Whether the data has a test set of its own.
    fn has_test(&self) -> bool {
        self.folder.as_ref().is_some_and(ImageFolder::has_test)
    }

    /// What a new run says of its data.
    pub(crate) fn describe(&self, split_seed: u64) -> Result<RunConfig> {
        let n = self.all.len();
        if n < FEWEST {
            let title = format!("{} holds only {n} images to train on", self.name);
            return Err(Error::new(Code::Data, title)
                .help(format!("at least {FEWEST} are needed to train, validate and test")));
        }
        let mut config = RunConfig::for_data(&self.all);
        config.data.source.clone_from(&self.name);
        config.data.split_seed = split_seed;
        config.data.valid = Some(VALID.min(MOST_VALID / n as f64));
        config.data.test = (!self.has_test()).then_some(TEST);
        Ok(config)
    }

    /// The parts that a run's configuration asks for.
    pub(crate) fn split(self, config: &DataConfig) -> Result<Parts> {
        let valid = config.valid.unwrap_or(VALID);
        if let Some(test) = config.test {
            let (train, valid, test) = self.all.split3(valid, test, config.split_seed)?;
            return Ok(Parts { train, valid, test: Held::Split(test) });
        }
        let (train, valid) = self.all.split(1.0 - valid, config.split_seed)?;
        let Some(folder) = self.folder.filter(ImageFolder::has_test) else {
            return Err(Error::new(Code::Data, format!("{} has no test set any more", self.name)));
        };
        Ok(Parts { train, valid, test: Held::Files(Box::new(folder)) })
    }

    /// All that can be measured on in data that a run was not trained on.
    pub(crate) fn unseen(self) -> Result<Dataset> {
        match self.folder.map(|folder| folder.test()).transpose()?.flatten() {
            Some(test) => Ok(test),
            None => Ok(self.all),
        }
    }
}

impl Parts {
    /// The test set, read now if it has files of its own.
    pub(crate) fn test(&self) -> Result<Dataset> {
        match &self.test {
            Held::Split(test) => Ok(test.clone()),
            Held::Files(folder) => folder
                .test()?
                .ok_or_else(|| Error::new(Code::Data, "the folder has no test set any more")),
        }
    }

    /// The number of test samples, where it is known without reading files.
    pub(crate) fn test_len(&self) -> Option<usize> {
        match &self.test {
            Held::Split(test) => Some(test.len()),
            Held::Files(_) => None,
        }
    }
}

/// The data that a run was trained on, with the same contents.
pub(crate) fn of_run(config: &DataConfig, run: &Path) -> Result<Source> {
    let source = Source::open(&config.source).map_err(|e| {
        let help = "put it back where it was; `gradus eval RUN FOLDER` also takes its new place";
        e.line("run", format!("{} was trained on {}", run.display(), config.source)).help(help)
    })?;
    if source.all.fingerprint() != config.fingerprint {
        let title = format!("{} has changed since the run was trained", config.source);
        return Err(Error::new(Code::Data, title)
            .line("then", format!("{} samples", config.samples))
            .line("now", format!("{} samples", source.all.len()))
            .help("put the old files back, or train a new run"));
    }
    Ok(source)
}

/// A table in a folder, for a help text.
fn table_in(folder: &Path) -> Option<PathBuf> {
    if folder.join("config.toml").is_file() {
        return None; // The tables of a run are its results.
    }
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|f| f.path());
    files.filter(|f| f.extension().is_some_and(|e| e == "csv" || e == "tsv") && f.is_file()).min()
}

/// The next folder that is free: `runs/NAME-N`.
pub(crate) fn free_run(name: &str) -> PathBuf {
    let taken = std::fs::read_dir("runs").into_iter().flatten().flatten().filter_map(|entry| {
        let file = entry.file_name().to_string_lossy().into_owned();
        file.strip_prefix(name)?.strip_prefix('-')?.parse::<u64>().ok()
    });
    let next = taken.max().unwrap_or(0).saturating_add(1);
    Path::new("runs").join(format!("{name}-{next}"))
}
