//! How cells become numbers, fitted once and kept with the model.

use std::fs;
use std::io::Write;
use std::path::Path;

use gradus_core::{Code, Error, Result};
use serde::{Deserialize, Serialize};

use crate::source::cannot_read;
use crate::table::options::ReadOptions;
use crate::table::schema::Schema;
use crate::table::target::Target;
use crate::table::task::TaskKind;

/// What marks a saved encoder.
const FORMAT: &str = "gradus-table-encoder";
const VERSION: u32 = 1;

/// Turns rows of a table into rows of f32, and predictions back. Fitted on the training rows by
/// [`Task::prepare`](crate::table::Task::prepare); saved as JSON with every bit.
///
/// A row of features holds first the ordinary columns, in the order of the file, then the columns
/// of ids for embeddings (whole numbers in f32). A number is `(x - mean) / std`; a missing one is
/// the mean, and a column of 0 and 1 says so if a training row lacked it. Up to
/// [`one_hot_limit`](crate::table::TaskOptions::one_hot_limit) categories give a column of 0 and 1
/// each, an unknown one zeros in all of them. Beyond, id 0 is for unknown and rare categories.
#[derive(Clone, Debug, PartialEq)]
pub struct Encoder {
    pub(crate) read: ReadOptions,
    pub(crate) header: bool,
    pub(crate) schema: Schema,
    pub(crate) target: Target,
    /// Mean and standard deviation of a regression target.
    pub(crate) scale: (f64, f64),
    pub(crate) columns: Vec<Encoding>,
}

/// A column that is used.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Encoding {
    pub(crate) name: String,
    /// Its place in the training file.
    pub(crate) column: usize,
    pub(crate) how: How,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum How {
    /// No `scale`: all training rows had the same number, only the indicator is used.
    Number {
        scale: Option<Scale>,
        indicator: bool,
    },
    Bool {
        scale: Option<Scale>,
        indicator: bool,
    },
    /// `missing`: the last column tells missing values.
    OneHot {
        categories: Vec<String>,
        missing: bool,
    },
    /// `missing`: the last id is for missing values.
    Ids {
        categories: Vec<String>,
        missing: bool,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Scale {
    pub(crate) mean: f64,
    pub(crate) std: f64,
}

impl How {
    /// Columns of features.
    pub(crate) fn width(&self) -> usize {
        match self {
            How::Number { scale, indicator } | How::Bool { scale, indicator } => {
                usize::from(scale.is_some()) + usize::from(*indicator)
            }
            How::OneHot { categories, missing } => categories.len() + usize::from(*missing),
            How::Ids { .. } => 1,
        }
    }

    /// Ids that an embedding needs.
    pub(crate) fn ids(&self) -> Option<usize> {
        match self {
            How::Ids { categories, missing } => Some(categories.len() + 1 + usize::from(*missing)),
            _ => None,
        }
    }
}

/// The file: the encoder with what marks it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Saved {
    format: String,
    version: u32,
    read: ReadOptions,
    header: bool,
    target: Target,
    target_scale: Scale,
    schema: Schema,
    columns: Vec<Encoding>,
}

impl Encoder {
    /// Number of features a row.
    pub fn features(&self) -> usize {
        self.columns.iter().map(|column| column.how.width()).sum()
    }

    /// Number of ordinary features, which come first; the others are ids.
    pub fn dense(&self) -> usize {
        self.features() - self.embeddings().len()
    }

    /// The columns of features that hold ids, with the number of ids: what embeddings need. Id 0
    /// stands for what was not seen in training: start its row at zero.
    pub fn embeddings(&self) -> Vec<(usize, usize)> {
        let ids = self.columns.iter().filter_map(|column| column.how.ids());
        let first = self.features() - ids.clone().count();
        ids.enumerate().map(|(i, count)| (first + i, count)).collect()
    }

    /// A name for each feature: `age`, `age is missing`, `color=red`, `city (id)`.
    pub fn feature_names(&self) -> Vec<String> {
        let mut names = Vec::new();
        let mut last = Vec::new();
        for Encoding { name, how, .. } in &self.columns {
            match how {
                How::Number { scale, indicator } | How::Bool { scale, indicator } => {
                    names.extend(scale.map(|_| name.clone()));
                    names.extend(indicator.then(|| format!("{name} is missing")));
                }
                How::OneHot { categories, missing } => {
                    names.extend(categories.iter().map(|category| format!("{name}={category}")));
                    names.extend(missing.then(|| format!("{name} is missing")));
                }
                How::Ids { .. } => last.push(format!("{name} (id)")),
            }
        }
        names.append(&mut last);
        names
    }

    /// Classification or regression.
    pub fn kind(&self) -> TaskKind {
        self.target.kind
    }

    /// The name of the target.
    pub fn target(&self) -> &str {
        &self.target.name
    }

    /// The classes in the order of their ids; empty for regression.
    pub fn classes(&self) -> &[String] {
        &self.target.classes
    }

    /// The name of a class, as in the training file.
    pub fn class_name(&self, id: usize) -> Option<&str> {
        self.target.classes.get(id).map(String::as_str)
    }

    /// Mean and standard deviation of a regression target in the training rows; (0, 1) for classes.
    pub fn target_scale(&self) -> (f64, f64) {
        self.scale
    }

    /// A standardised prediction in the units of the file.
    pub fn decode_value(&self, standardised: f64) -> f64 {
        standardised * self.scale.1 + self.scale.0
    }

    /// All columns of the training file and what is done with them.
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// How to read another file of this kind: the same words for missing values; whether there is
    /// a header is told by the names.
    pub fn read_options(&self) -> ReadOptions {
        let mut options = self.read.clone();
        options.header = None;
        // Another file may be separated in another way.
        options.separator = None;
        options.decimal_comma = None;
        if self.header {
            options.known_names = self.columns.iter().map(|column| column.name.clone()).collect();
        } else {
            options.header = Some(false);
        }
        options
    }

    /// As JSON: readable, with a format version and the exact bits of every number.
    ///
    /// # Errors
    /// [`Code::Internal`] should it not be possible.
    pub fn to_json(&self) -> Result<String> {
        let saved = Saved {
            format: FORMAT.to_owned(),
            version: VERSION,
            read: self.read.clone(),
            header: self.header,
            target: self.target.clone(),
            target_scale: Scale { mean: self.scale.0, std: self.scale.1 },
            schema: self.schema.clone(),
            columns: self.columns.clone(),
        };
        serde_json::to_string_pretty(&saved)
            .map_err(|cause| Error::internal(format!("an encoder cannot be written: {cause}")))
    }

    /// Reads what [`to_json`](Encoder::to_json) wrote; `name` is shown in messages.
    ///
    /// # Errors
    /// [`Code::Format`] when it is something else, of a newer version, or contradicts itself.
    pub fn from_json(json: &str, name: &str) -> Result<Encoder> {
        let wrong = |why: String| {
            Error::new(Code::Format, format!("{name} is not an encoder of a table: {why}"))
                .help("it is written beside the model when a table is trained on")
        };
        #[derive(Deserialize)]
        struct Head {
            format: String,
            version: u32,
        }
        let head: Head = serde_json::from_str(json).map_err(|e| wrong(e.to_string()))?;
        if head.format != FORMAT {
            return Err(wrong(format!("its format is {:?}", head.format)));
        }
        if head.version > VERSION {
            return Err(wrong(format!(
                "its version is {}, this program knows up to {VERSION}",
                head.version
            )));
        }
        let saved: Saved = serde_json::from_str(json).map_err(|e| wrong(e.to_string()))?;
        let encoder = Encoder {
            read: saved.read,
            header: saved.header,
            schema: saved.schema,
            target: saved.target,
            scale: (saved.target_scale.mean, saved.target_scale.std),
            columns: saved.columns,
        };
        encoder.check().map_err(wrong)?;
        Ok(encoder)
    }

    /// What a file could say that [`Task::prepare`](crate::table::Task::prepare) never does.
    fn check(&self) -> Result<(), String> {
        let good = |mean: f64, std: f64| mean.is_finite() && std.is_finite() && std > 0.0;
        if !good(self.scale.0, self.scale.1) {
            return Err("the scale of the target is not positive".to_owned());
        }
        let count = self.schema.columns.len();
        if self.columns.iter().any(|c| c.column >= count) || self.target.column >= count {
            return Err("a column is not in the schema".to_owned());
        }
        if self.target.classes.len() != self.target.spelled.len() {
            return Err("classes and their spellings differ in number".to_owned());
        }
        let classes = self.target.classes.len();
        if (self.target.kind == TaskKind::Classification) != (classes >= 2) {
            return Err(format!("a {} with {classes} classes", self.target.kind.name()));
        }
        for Encoding { name, how, .. } in &self.columns {
            match how {
                How::Number { scale, .. } | How::Bool { scale, .. } => {
                    if !scale.is_none_or(|s| good(s.mean, s.std)) {
                        return Err(format!("the scale of `{name}` is not positive"));
                    }
                }
                How::OneHot { categories, .. } | How::Ids { categories, .. } => {
                    let mut sorted: Vec<&String> = categories.iter().collect();
                    sorted.sort();
                    sorted.dedup();
                    // Ids above 2^24 have no f32 of their own.
                    if sorted.len() != categories.len() || categories.len() > 1 << 24 {
                        return Err(format!("the categories of `{name}` are not different"));
                    }
                }
            }
        }
        if self.features() == 0 {
            return Err("it uses no column".to_owned());
        }
        Ok(())
    }

    /// Writes [`to_json`](Encoder::to_json) to a file, under a temporary name first.
    ///
    /// # Errors
    /// [`Code::Io`] when that is not possible.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let json = self.to_json()?;
        let failed = |cause: &std::io::Error| Error::io("cannot write", path, cause);
        let folder = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let mut file = tempfile::NamedTempFile::new_in(folder).map_err(|e| failed(&e))?;
        file.write_all(json.as_bytes())
            .and_then(|()| file.write_all(b"\n"))
            .map_err(|e| failed(&e))?;
        file.persist(path).map_err(|e| failed(&e.error))?;
        Ok(())
    }

    /// Reads a file that [`save`](Encoder::save) wrote.
    ///
    /// # Errors
    /// [`Code::Io`] when it cannot be read, [`Code::Format`] when it is something else.
    pub fn load(path: impl AsRef<Path>) -> Result<Encoder> {
        let path = path.as_ref();
        let json = fs::read_to_string(path).map_err(|cause| cannot_read(path, &cause))?;
        Encoder::from_json(&json, &path.display().to_string())
    }
}
