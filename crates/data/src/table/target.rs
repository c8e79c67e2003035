//! The column that is predicted: classes or values of each row.

use std::collections::HashMap;

use gradus_core::{Array, Code, Error, Result};
use serde::{Deserialize, Serialize};

use crate::table::block::{Cells, MISSING, Type};
use crate::table::number::number;
use crate::table::read::Table;
use crate::table::schema::{ColumnInfo, Kind};
use crate::table::task::{TaskKind, TaskOptions, check_finite, mixed};

/// Whole numbers with at most this many different values are classes.
const FEW: usize = 20;
/// More classes than this are a mistake.
const MOST_CLASSES: usize = 10_000;

/// What is predicted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Target {
    pub(crate) name: String,
    /// Its place in the training file.
    pub(crate) column: usize,
    pub(crate) kind: TaskKind,
    /// Names of the classes in the order of their ids.
    pub(crate) classes: Vec<String>,
    /// How they are spelled in the file, if that is not their name.
    pub(crate) spelled: Vec<String>,
}

/// The targets of the rows of a table.
#[derive(Clone, Debug)]
pub(crate) struct Collected {
    /// One a row that has a target, in order.
    pub(crate) values: Values,
    /// The rows that have one; `None`: all.
    pub(crate) rows: Option<Vec<usize>>,
    pub(crate) dropped: usize,
}

#[derive(Clone, Debug)]
pub(crate) enum Values {
    Classes(Vec<i64>),
    Numbers(Vec<f64>),
}

impl Collected {
    pub(crate) fn counts(&self, classes: usize) -> Vec<usize> {
        let mut counts = vec![0; classes];
        if let Values::Classes(ids) = &self.values {
            for &id in ids {
                if let Some(count) = counts.get_mut(id as usize) {
                    *count += 1;
                }
            }
        }
        counts
    }

    pub(crate) fn len(&self) -> usize {
        match &self.values {
            Values::Classes(ids) => ids.len(),
            Values::Numbers(values) => values.len(),
        }
    }

    /// The rows that have a target, in order.
    pub(crate) fn row(&self, at: usize) -> usize {
        match &self.rows {
            None => at,
            Some(rows) => rows.get(at).copied().unwrap_or(usize::MAX),
        }
    }
}

impl Target {
    /// The class that a cell says: by its spelling, its name, or an equal number.
    pub(crate) fn class_of(&self, cell: &str) -> Option<usize> {
        let same = |list: &[String]| list.iter().position(|name| name == cell);
        same(&self.spelled).or_else(|| same(&self.classes)).or_else(|| {
            let value = number(cell.as_bytes(), false)?;
            self.spelled.iter().position(|name| number(name.as_bytes(), false) == Some(value))
        })
    }
}

/// Classification or regression, and why.
pub(crate) fn decide(
    table: &Table,
    at: usize,
    info: &ColumnInfo,
    options: &TaskOptions,
) -> Result<(TaskKind, String)> {
    let name = &info.name;
    let data = |title: String| Error::new(Code::Data, title);
    let file = table.name();
    if info.kind == Kind::Empty {
        return Err(data(format!("{file}: the target `{name}` has no values"))
            .help("name another column as the target"));
    }
    if info.kind == Kind::Constant || info.distinct == Some(1) {
        let value = info.examples.first().cloned().unwrap_or_default();
        return Err(data(format!(
            "{file}: the target `{name}` is always \"{value}\": there is only one class"
        ))
        .line("rows", format!("{} with a value, {} without", info.present(), info.missing))
        .help("nothing can be learned from it; name another column as the target"));
    }
    if options.kind == Some(TaskKind::Regression) {
        return match info.kind {
            Kind::Number | Kind::RowNumber => {
                check_finite(table, at, info)?;
                Ok((TaskKind::Regression, "regression was asked for".to_owned()))
            }
            Kind::Mixed => Err(mixed(table, at, info)),
            other => Err(data(format!(
                "{file}: the target `{name}` is not a number ({}), so there is no regression",
                other.name()
            ))
            .line("values", info.examples.join(", "))),
        };
    }
    if options.kind == Some(TaskKind::Classification) {
        check_finite(table, at, info)?;
        return Ok((TaskKind::Classification, "classification was asked for".to_owned()));
    }
    let class = |why: String| Ok((TaskKind::Classification, why));
    match info.kind {
        Kind::Bool => class(format!("`{name}` holds words for yes and no")),
        Kind::Category => {
            let count = info.distinct.map_or("many".to_owned(), |n| n.to_string());
            class(format!("`{name}` holds {count} different words"))
        }
        Kind::Text => Err(data(format!(
            "{file}: the target `{name}` is text that is nearly always different"
        ))
        .line("values", info.examples.join(", "))
        .help("name another column as the target, or ask for classification")),
        Kind::Date => Err(data(format!("{file}: the target `{name}` holds dates"))
            .line("values", info.examples.join(", "))
            .help("name another column as the target")),
        Kind::Mixed => Err(mixed(table, at, info)),
        _ => {
            check_finite(table, at, info)?;
            if table.dialect().facts.is_some() && at + 1 == table.columns().len() {
                return class("the first line of the file names the classes".to_owned());
            }
            match info.distinct {
                Some(n) if info.integers && n <= FEW && 2 * n <= info.present() => {
                    class(format!("`{name}` holds {n} different whole numbers"))
                }
                Some(n) if !info.integers => Ok((
                    TaskKind::Regression,
                    format!("`{name}` holds {n} different numbers that are not whole"),
                )),
                _ => Ok((
                    TaskKind::Regression,
                    format!("`{name}` holds numbers with many different values"),
                )),
            }
        }
    }
}

/// Goes over the target's column.
pub(crate) fn collect(
    table: &Table,
    at: usize,
    kind: TaskKind,
    types: &mut [Type],
) -> Result<(Target, Collected)> {
    let internal = || Error::internal("the target is not there");
    let info = table.columns().get(at).ok_or_else(internal)?;
    let few = table.stats().get(at).and_then(|stats| stats.few());
    // Numbers that are too many to have kept their spelling are read again as text.
    if kind == TaskKind::Classification && few.is_none() {
        *types.get_mut(at).ok_or_else(internal)? = Type::Text;
    }
    // Only the target matters in this pass, so what is in memory can be used when it fits.
    let own = types.get(at).copied().ok_or_else(internal)?;
    let same = table.types().get(at) == Some(&own);
    let blocks = table.blocks(if same { table.types() } else { types })?;
    let mut known = sorted_values(few);
    let mut words: HashMap<Box<str>, i64> = HashMap::new();
    let mut order: Vec<Box<str>> = Vec::new();
    let (mut ids, mut numbers) = (Vec::new(), Vec::new());
    let mut present = Vec::new();
    for block in blocks {
        let block = block?;
        match block.cells.get(at) {
            Some(Cells::Numbers { values, .. }) => {
                for (row, &value) in values.iter().enumerate() {
                    if value.is_nan() {
                        continue;
                    }
                    present.push(block.first_row + row);
                    if kind == TaskKind::Regression {
                        numbers.push(value);
                    } else {
                        let found = known.binary_search_by(|(v, _)| v.total_cmp(&value));
                        ids.push(found.map_err(|_| internal())? as i64);
                    }
                }
            }
            Some(Cells::Words(cells)) => {
                let mut codes = Vec::new();
                for word in cells.iter() {
                    let next = order.len() as i64;
                    let id = *words.entry(word.into()).or_insert(next);
                    if id == next {
                        order.push(word.into());
                    }
                    codes.push(id);
                }
                for (row, &code) in cells.codes.iter().enumerate() {
                    if code != MISSING {
                        present.push(block.first_row + row);
                        ids.push(codes.get(code as usize).copied().ok_or_else(internal)?);
                    }
                }
            }
            _ => return Err(internal()),
        }
    }
    let mut spelled: Vec<String> = known.drain(..).map(|(_, text)| text).collect();
    if kind == TaskKind::Regression {
        spelled.clear();
    } else if !order.is_empty() {
        let (names, new_ids) = sort_words(&order);
        spelled = names;
        for id in &mut ids {
            *id = new_ids.get(*id as usize).copied().ok_or_else(internal)?;
        }
    }
    if spelled.len() > MOST_CLASSES {
        return Err(Error::new(
            Code::Data,
            format!("the target `{}` would have {} classes", info.name, spelled.len()),
        )
        .line("allowed", MOST_CLASSES.to_string()));
    }
    let classes = class_names(table, at, &spelled).unwrap_or_else(|| spelled.clone());
    let dropped = table.rows() - present.len();
    let collected = Collected {
        values: match kind {
            TaskKind::Classification => Values::Classes(ids),
            TaskKind::Regression => Values::Numbers(numbers),
        },
        rows: (dropped > 0).then_some(present),
        dropped,
    };
    Ok((Target { name: info.name.clone(), column: at, kind, classes, spelled }, collected))
}

/// The few values of a column in order, with their spellings.
fn sorted_values(few: Option<Vec<(f64, String)>>) -> Vec<(f64, String)> {
    let mut values = few.unwrap_or_default();
    values.sort_by(|a, b| a.0.total_cmp(&b.0));
    values
}

/// Words in order (by number if all are numbers), and the new place of each.
pub(crate) fn sort_words(words: &[Box<str>]) -> (Vec<String>, Vec<i64>) {
    let values: Vec<Option<f64>> = words.iter().map(|w| number(w.as_bytes(), false)).collect();
    let numeric = values.iter().all(Option::is_some);
    let mut order: Vec<(usize, &Box<str>, f64)> = words
        .iter()
        .zip(&values)
        .enumerate()
        .map(|(i, (word, value))| (i, word, value.unwrap_or(0.0)))
        .collect();
    order.sort_by(|a, b| {
        let by_number = if numeric { a.2.total_cmp(&b.2) } else { std::cmp::Ordering::Equal };
        by_number.then_with(|| a.1.cmp(b.1))
    });
    let mut places = vec![0; words.len()];
    for (new, &(old, ..)) in order.iter().enumerate() {
        if let Some(place) = places.get_mut(old) {
            *place = new as i64;
        }
    }
    (order.iter().map(|&(_, word, _)| word.to_string()).collect(), places)
}

/// Names from a first line as in scikit-learn's files, when the classes are 0, 1, 2 ...
fn class_names(table: &Table, at: usize, spelled: &[String]) -> Option<Vec<String>> {
    let facts = table.dialect().facts.as_ref()?;
    let ids = spelled.iter().enumerate().all(|(i, text)| text.parse() == Ok(i));
    let last = at + 1 == table.columns().len();
    (last && ids && spelled.len() == facts.classes.len()).then(|| facts.classes.clone())
}

impl Values {
    /// As targets of a dataset: i64 `[rows]` or f32 `[rows, 1]`.
    pub(crate) fn array(&self, scale: (f64, f64)) -> Result<Array> {
        match self {
            Values::Classes(ids) => Array::new([ids.len()], ids),
            Values::Numbers(values) => Array::build([values.len(), 1], |out: &mut [f32]| {
                for (o, &value) in out.iter_mut().zip(values) {
                    *o = ((value - scale.0) / scale.1) as f32;
                }
            }),
        }
    }
}
