//! What a run remembers of a table: how it was read and what was asked of it (in `config.toml`), and
//! the encoder that turns other files into the same numbers (`encoder.json`).

use std::path::Path;

use gradus_core::{Code, Error, Result};
use gradus_data::Dataset;
use gradus_data::table::{Encoder, Prepared, ReadOptions, Storage, TaskKind, TaskOptions};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::files;
use crate::run::{ENCODER, Run};

/// How a table was read, and what was asked of it: enough to prepare the same data again.
///
/// What is not set was found out from the file, and would be found out again.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct TableConfig {
    /// The column that is predicted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Classification or regression.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task: Option<TaskKind>,
    /// Whether the first line has the names of the columns.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub header: Option<bool>,
    /// What is between cells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub separator: Option<char>,
    /// Whether numbers are written `1,5`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decimal_comma: Option<bool>,
    /// More words for a missing value.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<String>,
    /// Columns that are not used.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub drop: Vec<String>,
    /// Columns of categories, whatever they look like.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub category: Vec<String>,
    /// Columns that look like numbers of rows, and are used.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub keep: Vec<String>,
    /// Up to this many categories are one-hot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub one_hot: Option<usize>,
    /// Whether rows stay on disk.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub stream: bool,
}

impl TableConfig {
    /// How to read the file.
    pub fn read_options(&self) -> ReadOptions {
        let mut options = ReadOptions::new().also_missing(self.missing.iter().cloned());
        if let Some(header) = self.header {
            options = options.header(header);
        }
        if let Some(separator) = self.separator {
            options = options.separator(separator);
        }
        if let Some(comma) = self.decimal_comma {
            options = options.decimal_comma(comma);
        }
        if self.stream { options.storage(Storage::Disk) } else { options }
    }

    /// What to predict from what.
    pub fn task_options(&self) -> TaskOptions {
        let mut options = TaskOptions::new()
            .leave_out(self.drop.iter().cloned())
            .as_category(self.category.iter().cloned())
            .keep(self.keep.iter().cloned());
        if let Some(target) = &self.target {
            options = options.target(target);
        }
        if let Some(kind) = self.task {
            options = options.kind(kind);
        }
        match self.one_hot {
            Some(limit) => options.one_hot_limit(limit),
            None => options,
        }
    }
}

/// A SHA-256, in hexadecimal, of all parts of prepared data: their numbers and which rows they are.
///
/// Two files give the same one when the same rows would be trained on, chosen by and tested on.
pub fn prepared_sha256(data: &Prepared) -> String {
    let mut hash = Sha256::new();
    for part in [Some(&data.train), data.valid.as_ref(), data.test.as_ref()] {
        let fingerprint = part.map(Dataset::fingerprint).unwrap_or_default();
        hash.update((fingerprint.len() as u64).to_le_bytes());
        hash.update(fingerprint.as_bytes());
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Run {
    /// Keeps the encoder of the run's table, for [`Predictor`](crate::Predictor).
    ///
    /// # Errors
    /// [`Code::Io`] when it cannot be written.
    pub fn save_encoder(&self, encoder: &Encoder) -> Result<()> {
        files::write(&self.path().join(ENCODER), encoder.to_json()?.as_bytes())
    }

    /// The encoder of the table that the run was trained on.
    ///
    /// # Errors
    /// [`Code::State`] for a run that was not trained on a table; [`Code::Io`] and
    /// [`Code::Format`] when the file is missing or damaged.
    pub fn encoder(&self) -> Result<Encoder> {
        let file = self.path().join(ENCODER);
        if self.has_encoder() {
            return Encoder::load(&file);
        }
        Err(self.no_encoder(&file))
    }

    /// Whether there is an encoder.
    pub fn has_encoder(&self) -> bool {
        self.path().join(ENCODER).is_file()
    }

    fn no_encoder(&self, file: &Path) -> Error {
        let shown = self.path().display();
        if self.config().data.table.is_some() {
            let text = format!("{} is missing", file.display());
            return Error::new(Code::Io, text)
                .help("copy the whole run folder, with all its files");
        }
        Error::new(Code::State, format!("{shown} was not trained on a table"))
    }
}
