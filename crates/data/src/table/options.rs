//! How a file is read: what cannot be seen in the file itself, and what a user overrides.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Cells that count as missing unless [`ReadOptions::missing`] says otherwise, besides empty ones.
/// Upper and lower case matter; spaces around a cell do not.
pub const MISSING: &[&str] = &[
    "NA", "N/A", "n/a", "#N/A", "#NA", "<NA>", "#N/A N/A", "NaN", "nan", "NAN", "-NaN", "-nan",
    "1.#IND", "-1.#IND", "1.#QNAN", "-1.#QNAN", "null", "NULL", "Null", "None", "none", "?", "-",
    "--", ".",
];

/// Above this many bytes (as text, or of encoded rows) a table is not kept in memory: 512 MiB.
pub const MEMORY_LIMIT: u64 = 512 << 20;

/// Where the cells of a table and the rows of its datasets are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Storage {
    /// In memory up to [`ReadOptions::memory_limit`], on disk above.
    #[default]
    Auto,
    /// In memory, however large.
    Memory,
    /// The file is read again in pieces for each pass, and encoded rows lie in a temporary file.
    /// The bits are those of [`Storage::Memory`].
    Disk,
}

/// How to read a table. Everything has a default; what is not set is found out from the file.
///
/// ```
/// use gradus_data::table::{ReadOptions, Table};
///
/// let options = ReadOptions::new().header(false).separator(';').also_missing(["unknown"]);
/// let table = Table::from_bytes("notes", b"1;2\nunknown;4\n", &options)?;
/// assert_eq!(table.names(), ["column_1", "column_2"]);
/// assert_eq!(table.columns()[0].missing(), 1);
/// # Ok::<(), gradus_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReadOptions {
    pub(crate) header: Option<bool>,
    pub(crate) separator: Option<char>,
    pub(crate) decimal_comma: Option<bool>,
    pub(crate) missing: Vec<String>,
    // These are about this machine, not about the file.
    #[serde(skip)]
    pub(crate) storage: Storage,
    #[serde(skip, default = "memory_limit")]
    pub(crate) memory_limit: u64,
    #[serde(skip)]
    pub(crate) temp_dir: Option<PathBuf>,
    /// Names of columns that a header is recognised by, from the training file.
    #[serde(skip)]
    pub(crate) known_names: Vec<String>,
}

fn memory_limit() -> u64 {
    MEMORY_LIMIT
}

impl Default for ReadOptions {
    fn default() -> ReadOptions {
        ReadOptions {
            header: None,
            separator: None,
            decimal_comma: None,
            missing: MISSING.iter().map(|&word| word.to_owned()).collect(),
            storage: Storage::Auto,
            memory_limit: MEMORY_LIMIT,
            temp_dir: None,
            known_names: Vec::new(),
        }
    }
}

impl ReadOptions {
    /// Everything is found out from the file.
    #[must_use]
    pub fn new() -> ReadOptions {
        ReadOptions::default()
    }

    /// Whether the first line holds the names of the columns.
    #[must_use]
    pub fn header(mut self, header: bool) -> ReadOptions {
        self.header = Some(header);
        self
    }

    /// The character between cells; a space stands for any run of spaces and tabs.
    #[must_use]
    pub fn separator(mut self, separator: char) -> ReadOptions {
        self.separator = Some(separator);
        self
    }

    /// Whether numbers are written `1,5`. Otherwise it is found out for files that are not
    /// separated by commas.
    #[must_use]
    pub fn decimal_comma(mut self, comma: bool) -> ReadOptions {
        self.decimal_comma = Some(comma);
        self
    }

    /// The words that mean a missing value, in place of [`MISSING`]; an empty cell always does.
    #[must_use]
    pub fn missing<S: Into<String>>(mut self, words: impl IntoIterator<Item = S>) -> ReadOptions {
        self.missing = words.into_iter().map(Into::into).collect();
        self
    }

    /// More words that mean a missing value.
    #[must_use]
    pub fn also_missing<S: Into<String>>(
        mut self,
        words: impl IntoIterator<Item = S>,
    ) -> ReadOptions {
        self.missing.extend(words.into_iter().map(Into::into));
        self
    }

    /// Where the cells are kept. Default: [`Storage::Auto`].
    #[must_use]
    pub fn storage(mut self, storage: Storage) -> ReadOptions {
        self.storage = storage;
        self
    }

    /// The bytes up to which [`Storage::Auto`] means memory. Default: [`MEMORY_LIMIT`].
    #[must_use]
    pub fn memory_limit(mut self, bytes: u64) -> ReadOptions {
        self.memory_limit = bytes;
        self
    }

    /// The folder for temporary files. Default: the system's.
    #[must_use]
    pub fn temp_dir(mut self, folder: impl Into<PathBuf>) -> ReadOptions {
        self.temp_dir = Some(folder.into());
        self
    }
}
