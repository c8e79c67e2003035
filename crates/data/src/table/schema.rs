//! The columns of a table as people see them: what is in each, and what is done with it.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Kind {
    /// Numbers.
    Number,
    /// Words for yes and no.
    Bool,
    /// Words that come back.
    Category,
    /// Words that are nearly all different: names, descriptions, identifiers.
    Text,
    /// Dates or times.
    Date,
    /// Numbers with other text in a few rows.
    Mixed,
    /// One value in every row.
    Constant,
    /// Numbers that count the rows.
    RowNumber,
    /// No value at all.
    Empty,
}

impl Kind {
    /// One or two words for it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Number => "number",
            Kind::Bool => "yes/no",
            Kind::Category => "category",
            Kind::Text => "text",
            Kind::Date => "date",
            Kind::Mixed => "mixed",
            Kind::Constant => "constant",
            Kind::RowNumber => "row number",
            Kind::Empty => "empty",
        }
    }
}

/// What is known of a column after all rows were seen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ColumnInfo {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) rows: usize,
    pub(crate) missing: usize,
    pub(crate) distinct: Option<usize>,
    pub(crate) range: Option<(f64, f64)>,
    pub(crate) integers: bool,
    pub(crate) examples: Vec<String>,
}

impl ColumnInfo {
    /// Its name in the header, or `column_1` and so on.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it holds.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Rows without a value.
    pub fn missing(&self) -> usize {
        self.missing
    }

    /// Rows with a value.
    pub fn present(&self) -> usize {
        self.rows.saturating_sub(self.missing)
    }

    /// Number of different values; `None` when they were too many to count.
    pub fn distinct(&self) -> Option<usize> {
        self.distinct
    }

    /// Smallest and largest number; `None` for text, and when one is infinite.
    pub fn range(&self) -> Option<(f64, f64)> {
        self.range
    }

    /// Whether all its values are whole numbers.
    pub fn is_integer(&self) -> bool {
        self.integers
    }

    /// Some values, as they are written in the file.
    pub fn examples(&self) -> &[String] {
        &self.examples
    }

    /// Its values in a few words: a range, or how many different ones.
    fn summary(&self) -> String {
        let words = || {
            let mut text = self.examples.iter().take(3).cloned().collect::<Vec<_>>().join(", ");
            if self.distinct != Some(self.examples.len().min(3)) {
                text.push_str(", ...");
            }
            if text.chars().count() > 36 {
                text = text.chars().take(33).collect::<String>() + "...";
            }
            text
        };
        match (self.range, self.distinct) {
            (Some((min, max)), _) => format!("{min} to {max}"),
            (None, Some(0)) => "none".to_owned(),
            (None, Some(n)) => format!("{n} different: {}", words()),
            (None, None) => format!("very many: {}", words()),
        }
    }
}

/// What is done with a column.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Role {
    /// It is predicted.
    Target,
    /// A standardised number; missing values become the mean, and a second column tells them.
    Number {
        /// Whether there is a column that tells missing values.
        indicator: bool,
    },
    /// A column of 0 and 1 for each category.
    OneHot {
        /// Number of columns.
        columns: usize,
    },
    /// A column of numbers of categories, for an embedding.
    Ids {
        /// Number of ids, with 0 for unknown.
        count: usize,
    },
    /// Not used, and why.
    LeftOut {
        /// Why.
        why: String,
    },
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Role::Target => write!(f, "target"),
            Role::Number { indicator: false } => write!(f, "standardised"),
            Role::Number { indicator: true } => {
                write!(f, "standardised; missing: mean and a column that says so")
            }
            Role::OneHot { columns } => write!(f, "one-hot, {columns} columns"),
            Role::Ids { count } => write!(f, "ids for an embedding, {count}"),
            Role::LeftOut { why } => write!(f, "left out: {why}"),
        }
    }
}

/// One column of a schema.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Column {
    /// What it holds.
    pub info: ColumnInfo,
    /// What is done with it.
    pub role: Role,
}

/// All columns with what is done with them; printed as a table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Schema {
    pub(crate) columns: Vec<Column>,
}

impl Schema {
    /// The columns in the order of the file.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// Names of columns that are not used, with the reason.
    pub fn left_out(&self) -> impl Iterator<Item = (&str, &str)> {
        self.columns.iter().filter_map(|column| match &column.role {
            Role::LeftOut { why } => Some((column.info.name(), why.as_str())),
            _ => None,
        })
    }
}

impl fmt::Display for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rows = vec![["column", "kind", "missing", "values", "use"].map(str::to_owned)];
        for Column { info, role } in &self.columns {
            let missing = match info.missing {
                0 => "-".to_owned(),
                n => {
                    let share = 100.0 * n as f64 / info.rows.max(1) as f64;
                    // A few in a million are not none.
                    if share < 0.1 { format!("{n} rows") } else { format!("{share:.1} %") }
                }
            };
            let kind = info.kind.name().to_owned();
            rows.push([info.name.clone(), kind, missing, info.summary(), role.to_string()]);
        }
        let mut widths = [0usize; 5];
        for row in &rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        for (i, row) in rows.iter().enumerate() {
            let mut line = String::new();
            for (width, cell) in widths.iter().zip(row) {
                let padding = width - cell.chars().count() + 2;
                line.push_str(cell);
                line.extend(std::iter::repeat_n(' ', padding));
            }
            write!(f, "{}{}", if i == 0 { "" } else { "\n" }, line.trim_end())?;
        }
        Ok(())
    }
}
