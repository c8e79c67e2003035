//! What is wanted of a table: the target, classification or regression, what is done with each
//! column. Nothing is fitted here; [`Task::prepare`] splits first and fits on one part.

use gradus_core::{Code, Error, Result};
use serde::{Deserialize, Serialize};

use crate::dataset::Dataset;
use crate::table::block::Type;
use crate::table::encoder::Encoder;
use crate::table::read::Table;
use crate::table::schema::{Column, ColumnInfo, Kind, Role, Schema};
use crate::table::target::{self, Collected, Target};

/// Classes or values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskKind {
    /// The target is one of some classes.
    Classification,
    /// The target is a number.
    Regression,
}

impl TaskKind {
    /// `classification` or `regression`.
    pub fn name(self) -> &'static str {
        match self {
            TaskKind::Classification => "classification",
            TaskKind::Regression => "regression",
        }
    }
}

/// What to predict from what. Everything has a default.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskOptions {
    pub(crate) target: Option<String>,
    pub(crate) kind: Option<TaskKind>,
    pub(crate) leave_out: Vec<String>,
    pub(crate) as_category: Vec<String>,
    pub(crate) keep: Vec<String>,
    pub(crate) one_hot_limit: usize,
    pub(crate) max_categories: usize,
}

impl Default for TaskOptions {
    fn default() -> TaskOptions {
        TaskOptions {
            target: None,
            kind: None,
            leave_out: Vec::new(),
            as_category: Vec::new(),
            keep: Vec::new(),
            one_hot_limit: 16,
            max_categories: 1000,
        }
    }
}

fn owned<S: Into<String>>(names: impl IntoIterator<Item = S>) -> Vec<String> {
    names.into_iter().map(Into::into).collect()
}

impl TaskOptions {
    /// Predicts the last column from all others that can be used.
    #[must_use]
    pub fn new() -> TaskOptions {
        TaskOptions::default()
    }

    /// The column to predict: its name, or its number from 1 if no column has that name.
    #[must_use]
    pub fn target(mut self, column: impl Into<String>) -> TaskOptions {
        self.target = Some(column.into());
        self
    }

    /// Classification or regression. Default: by what the target holds; see [`Task::reason`].
    #[must_use]
    pub fn kind(mut self, kind: TaskKind) -> TaskOptions {
        self.kind = Some(kind);
        self
    }

    /// Columns that are not used.
    #[must_use]
    pub fn leave_out<S: Into<String>>(mut self, c: impl IntoIterator<Item = S>) -> TaskOptions {
        self.leave_out = owned(c);
        self
    }

    /// Columns that hold categories, whatever they look like: numbers that are codes, text that
    /// would be left out.
    #[must_use]
    pub fn as_category<S: Into<String>>(mut self, c: impl IntoIterator<Item = S>) -> TaskOptions {
        self.as_category = owned(c);
        self
    }

    /// Columns that look like numbers of rows and are used as numbers all the same.
    #[must_use]
    pub fn keep<S: Into<String>>(mut self, c: impl IntoIterator<Item = S>) -> TaskOptions {
        self.keep = owned(c);
        self
    }

    /// Up to this many categories a column becomes one column for each; with more, ids for an
    /// embedding. Default: 16.
    #[must_use]
    pub fn one_hot_limit(mut self, categories: usize) -> TaskOptions {
        self.one_hot_limit = categories;
        self
    }

    /// The most categories of a column that get an id of their own, the most frequent ones; the
    /// others are unknown. Default: 1000.
    #[must_use]
    pub fn max_categories(mut self, categories: usize) -> TaskOptions {
        self.max_categories = categories.max(1);
        self
    }
}

/// Fractions of the rows that are held back; 0 for none.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Parts {
    /// To choose settings by.
    pub valid: f64,
    /// To measure the result by, once.
    pub test: f64,
}

/// A table with a target. Made by [`Table::task`].
#[derive(Clone, Debug)]
pub struct Task {
    pub(crate) table: Table,
    pub(crate) options: TaskOptions,
    pub(crate) schema: Schema,
    pub(crate) types: Vec<Type>,
    pub(crate) target: Target,
    pub(crate) labels: Collected,
    reason: String,
    notes: Vec<String>,
}

/// Datasets that are ready to train on, and the encoder that made them.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// The rows that the encoder was fitted on.
    pub train: Dataset,
    /// The rows to choose settings by.
    pub valid: Option<Dataset>,
    /// The rows to measure the result by.
    pub test: Option<Dataset>,
    /// Keep it with the model: it turns other files into the same numbers.
    pub encoder: Encoder,
    /// Sentences about what was found while fitting.
    pub notes: Vec<String>,
}

impl Table {
    /// Decides what is predicted from what.
    ///
    /// # Errors
    /// [`Code::Config`] for a column that is not there (with the nearest names); [`Code::Data`]
    /// when the target has no values, only one class or value, or is a date or free text; when a
    /// column of numbers has text in it or an infinite number (with row and column); when no column
    /// is left to learn from.
    pub fn task(&self, options: &TaskOptions) -> Result<Task> {
        Task::new(self, options)
    }
}

impl Task {
    fn new(table: &Table, options: &TaskOptions) -> Result<Task> {
        let columns = table.columns();
        if columns.len() < 2 {
            return Err(Error::new(
                Code::Data,
                format!(
                    "{} has only one column, so there is nothing to predict from",
                    table.name()
                ),
            )
            .line("column", table.names().join(", "))
            .help("if its cells are separated by another character, name it"));
        }
        let named = options.leave_out.iter().chain(&options.as_category).chain(&options.keep);
        for name in named {
            find(table, name, false)?;
        }
        let mut notes = Vec::new();
        let at = match &options.target {
            Some(name) => find(table, name, true)?,
            None => {
                let last = columns.len() - 1;
                let name = columns.last().map_or("", ColumnInfo::name);
                notes.push(format!("no target was named: the last column, `{name}`, is predicted"));
                last
            }
        };
        let info = columns.get(at).ok_or_else(|| Error::internal("no such column"))?;
        let (kind, reason) = target::decide(table, at, info, options)?;
        let mut types = table.types().to_vec();
        let mut list = Vec::with_capacity(columns.len());
        for (i, info) in columns.iter().enumerate() {
            let role = if i == at { Role::Target } else { role(table, i, info, options)? };
            if options.as_category.contains(&info.name)
                && i != at
                && let Some(slot) = types.get_mut(i)
            {
                *slot = Type::Text;
            }
            list.push(Column { info: info.clone(), role });
        }
        let schema = Schema { columns: list };
        let used = |c: &Column| !matches!(c.role, Role::Target | Role::LeftOut { .. });
        if !schema.columns.iter().any(used) {
            let mut error = Error::new(Code::Data, "no column is left to learn from".to_owned());
            for (name, why) in schema.left_out() {
                error = error.line(format!("`{name}`"), why);
            }
            return Err(error);
        }
        let (target, labels) = target::collect(table, at, kind, &mut types)?;
        if labels.dropped > 0 {
            notes.push(format!(
                "{} of {} rows have no `{}` and are not used",
                labels.dropped,
                table.rows(),
                info.name
            ));
        }
        Ok(Task {
            table: table.clone(),
            options: options.clone(),
            schema,
            types,
            target,
            labels,
            reason,
            notes,
        })
    }

    /// Classification or regression.
    pub fn kind(&self) -> TaskKind {
        self.target.kind
    }

    /// Why, as a sentence.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// The name of the target.
    pub fn target(&self) -> &str {
        &self.target.name
    }

    /// The classes in the order of their ids: by number if all are numbers, else by alphabet.
    /// Empty for regression.
    pub fn classes(&self) -> &[String] {
        &self.target.classes
    }

    /// Rows of each class; empty for regression.
    pub fn class_counts(&self) -> Vec<usize> {
        self.labels.counts(self.target.classes.len())
    }

    /// Rows with a target: those that are used.
    pub fn rows(&self) -> usize {
        self.table.rows() - self.labels.dropped
    }

    /// The row of the table, from 0, that is a sample of the datasets; samples are the rows with a
    /// target, counted by [`Dataset::indices`].
    pub fn table_row(&self, sample: usize) -> usize {
        self.labels.row(sample)
    }

    /// Rows without a target.
    pub fn dropped(&self) -> usize {
        self.labels.dropped
    }

    /// The row of the table, from 0, of a row of the datasets, as
    /// [`Dataset::indices`](crate::Dataset::indices) numbers them: they lack rows without a target.
    pub fn file_row(&self, index: usize) -> Option<usize> {
        (index < self.rows()).then(|| self.labels.row(index))
    }

    /// All columns and what is done with them.
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// Sentences that a user should see.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The table.
    pub fn table(&self) -> &Table {
        &self.table
    }
}

/// The place of a column by its name or, for a target, its number.
pub(crate) fn find(table: &Table, name: &str, numbers: bool) -> Result<usize> {
    let columns = table.columns();
    if let Some(at) = columns.iter().position(|column| column.name == name) {
        return Ok(at);
    }
    if numbers
        && let Ok(number) = name.parse::<usize>()
        && (1..=columns.len()).contains(&number)
    {
        return Ok(number - 1);
    }
    let names = table.names();
    let mut error = Error::new(Code::Config, format!("{} has no column `{name}`", table.name()));
    if let Some(near) = nearest(name, names.iter().copied()) {
        error = error.line("nearest", format!("`{near}`"));
    }
    let shown: Vec<&str> = names.iter().take(40).copied().collect();
    let more = match names.len().saturating_sub(shown.len()) {
        0 => String::new(),
        n => format!(" and {n} more"),
    };
    error = error.line("columns", format!("{}{more}", shown.join(", ")));
    Err(if numbers { error.help("name a column, or give its number from 1") } else { error })
}

/// The most similar name, if one is similar at all. Case does not count.
pub(crate) fn nearest<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let lower = name.to_lowercase();
    let scored = names.map(|other| (strsim::jaro_winkler(&lower, &other.to_lowercase()), other));
    let best = scored.max_by(|a, b| a.0.total_cmp(&b.0))?;
    (best.0 >= 0.75).then_some(best.1)
}

/// What is done with a column that is not the target.
fn role(table: &Table, at: usize, info: &ColumnInfo, options: &TaskOptions) -> Result<Role> {
    let out = |why: &str| Ok(Role::LeftOut { why: why.to_owned() });
    if options.leave_out.contains(&info.name) {
        return out("as asked");
    }
    let category = || {
        let distinct = info.distinct.unwrap_or(usize::MAX);
        let missing = usize::from(info.missing > 0);
        if distinct <= options.one_hot_limit {
            Role::OneHot { columns: distinct + missing }
        } else {
            Role::Ids { count: distinct.min(options.max_categories) + 1 + missing }
        }
    };
    match info.kind {
        Kind::Empty => return out("no values"),
        Kind::Constant => return out("the same value in every row"),
        _ if options.as_category.contains(&info.name) => return Ok(category()),
        _ => {}
    }
    check_finite(table, at, info)?;
    match info.kind {
        Kind::RowNumber if !options.keep.contains(&info.name) => out("it counts the rows"),
        Kind::Number | Kind::RowNumber | Kind::Bool => {
            Ok(Role::Number { indicator: info.missing > 0 })
        }
        Kind::Category => Ok(category()),
        Kind::Date => out("dates are not used"),
        Kind::Text => out(&match info.examples.iter().find(|text| is_written_number(text)) {
            Some(text) => format!("\"{text}\" is not read as a number: write plain digits"),
            None => "text that is nearly always different".to_owned(),
        }),
        Kind::Mixed => Err(mixed(table, at, info)),
        Kind::Empty | Kind::Constant => out("nothing to learn from"),
    }
}

/// Whether text is a number with a currency, a unit or separated thousands.
fn is_written_number(text: &str) -> bool {
    let digits = text.chars().filter(char::is_ascii_digit).count();
    let others = text.chars().filter(|c| !c.is_ascii_digit()).all(|c| " ,.'%$€£-+".contains(c));
    digits > 0 && others
}

/// An infinite number in a column that is used is an error.
pub(crate) fn check_finite(table: &Table, at: usize, info: &ColumnInfo) -> Result<()> {
    match table.stats().get(at).and_then(|stats| stats.infinite()) {
        None => Ok(()),
        Some((row, value)) => Err(Error::new(
            Code::Data,
            format!("{}: `{}` is infinite ({value}) in row {}", table.name(), info.name, row + 1),
        )
        .help("correct it, leave it empty, or name `inf` as a word for missing values")),
    }
}

/// A column of numbers with some other text in it.
pub(crate) fn mixed(table: &Table, at: usize, info: &ColumnInfo) -> Error {
    let found = table.stats().get(at).and_then(|stats| stats.first_text());
    let (numbers, row, text) = found.unwrap_or((0, 0, ""));
    let others = info.present().saturating_sub(numbers);
    Error::new(
        Code::Data,
        format!("{}: `{}` has text in row {}: \"{text}\"", table.name(), info.name, row + 1),
    )
    .line("column", format!("{numbers} numbers and {others} other texts"))
    .help(format!(
        "correct the text, or name it as a word for missing values, or name `{}` as a category",
        info.name
    ))
}
