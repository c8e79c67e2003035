//! What was special about rows that were encoded: counted, so that nothing happens in silence.

use serde::Serialize;

/// Rows with a word that no training row had.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unknown {
    /// The column.
    pub column: String,
    /// How many rows.
    pub rows: usize,
    /// Up to five of the words.
    pub examples: Vec<String>,
}

/// What was found while rows were encoded with an [`Encoder`](crate::table::Encoder).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    pub(crate) rows: usize,
    /// Sentences about the columns of the file.
    pub(crate) columns: Vec<String>,
    pub(crate) unknown: Vec<Unknown>,
    /// Column and rows where a missing number was replaced by the mean.
    pub(crate) imputed: Vec<(String, usize)>,
    pub(crate) unlabelled: usize,
    pub(crate) unknown_classes: Option<Unknown>,
}

const EXAMPLES: usize = 5;

impl Unknown {
    pub(crate) fn new(column: &str) -> Unknown {
        Unknown { column: column.to_owned(), rows: 0, examples: Vec::new() }
    }

    pub(crate) fn add(&mut self, word: &str, rows: usize) {
        self.rows += rows;
        if self.examples.len() < EXAMPLES && !self.examples.iter().any(|w| w == word) {
            self.examples.push(word.to_owned());
        }
    }

    fn merge(&mut self, other: &Unknown) {
        self.rows += other.rows;
        for word in &other.examples {
            self.add(word, 0);
        }
    }
}

impl Report {
    /// Number of rows that were encoded.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Categories that were not in the training rows; they count as unknown.
    pub fn unknown(&self) -> &[Unknown] {
        &self.unknown
    }

    /// Columns of numbers where a missing value became the mean, and in how many rows.
    pub fn imputed(&self) -> &[(String, usize)] {
        &self.imputed
    }

    /// Rows without a value of the target, if the file has the target.
    pub fn unlabelled(&self) -> usize {
        self.unlabelled
    }

    /// Rows whose class was not in training.
    pub fn unknown_classes(&self) -> Option<&Unknown> {
        self.unknown_classes.as_ref()
    }

    /// All of it as sentences for people.
    pub fn notes(&self) -> Vec<String> {
        let rows =
            |n: usize| if n == 1 { "1 row has".to_owned() } else { format!("{n} rows have") };
        let mut notes = self.columns.clone();
        for Unknown { column, rows: n, examples } in &self.unknown {
            notes.push(format!(
                "{} a `{column}` that no training row had ({}): it counts as unknown",
                rows(*n),
                examples.join(", ")
            ));
        }
        for (column, n) in &self.imputed {
            notes.push(format!("{} no `{column}`: the mean of training is used", rows(*n)));
        }
        if let Some(Unknown { column, rows: n, examples }) = &self.unknown_classes {
            notes.push(format!(
                "{} a class in `{column}` that was not trained ({})",
                rows(*n),
                examples.join(", ")
            ));
        }
        if self.unlabelled > 0 {
            notes.push(format!("{} no value of the target", rows(self.unlabelled)));
        }
        notes
    }

    /// Adds what was found in later rows of the same file.
    pub fn merge(&mut self, later: &Report) {
        self.rows += later.rows;
        self.unlabelled += later.unlabelled;
        if self.columns.is_empty() {
            self.columns.clone_from(&later.columns);
        }
        for unknown in &later.unknown {
            match self.unknown.iter_mut().find(|u| u.column == unknown.column) {
                Some(mine) => mine.merge(unknown),
                None => self.unknown.push(unknown.clone()),
            }
        }
        for (column, n) in &later.imputed {
            match self.imputed.iter_mut().find(|(name, _)| name == column) {
                Some((_, mine)) => *mine += n,
                None => self.imputed.push((column.clone(), *n)),
            }
        }
        match (&mut self.unknown_classes, &later.unknown_classes) {
            (Some(mine), Some(other)) => mine.merge(other),
            (mine @ None, other) => mine.clone_from(other),
            (Some(_), None) => {}
        }
    }
}
