//! What is shown of a table: its columns, and how three models do on it.

use std::io::Write;

use gradus::data::table::{ColumnInfo, Role, Schema, Table, Task, TaskKind};
use gradus::train::{ClassScores, Confusion, Metrics, Predictions, RegressionScores};
use gradus::{Code, Error, Result};

use crate::fail::Outcome;
use crate::progress::{header, percent};
use crate::text::{self, Table as Grid};

/// Columns that are shown one by one.
const COLUMNS: usize = 40;

/// The lines about a file and what was asked of it.
pub(crate) fn lines(name: &str, table: &Table, task: &Task) -> Vec<(&'static str, String)> {
    let columns = table.columns().len();
    let streamed = if table.is_streamed() { ", read from disk in pieces" } else { "" };
    let rows = text::thousands(table.rows());
    let mut lines = vec![("data", format!("{name}: {rows} rows, {columns} columns{streamed}"))];
    let mut target = format!("{}: {}", task.target(), task.kind().name());
    if !task.classes().is_empty() {
        target = format!("{target} of {} classes", task.classes().len());
    }
    lines.push(("target", target));
    lines.push(("", format!("because {}", task.reason())));
    if task.kind() == TaskKind::Classification {
        let counts = task.class_counts();
        let shown = task.classes().iter().zip(&counts).take(8);
        let list: Vec<String> =
            shown.map(|(class, n)| format!("{class} {}", text::thousands(*n))).collect();
        let more = if counts.len() > 8 { ", ..." } else { "" };
        lines.push(("", format!("{}{more}", list.join(", "))));
    }
    lines
}

/// Shows sentences on stderr, broken to the width of a terminal.
pub(crate) fn notes(notes: impl IntoIterator<Item = String>) {
    for note in notes {
        let wrapped = text::wrap(&note, 88, "");
        for (i, line) in wrapped.lines().enumerate() {
            header(&[(if i == 0 { "note" } else { "" }, line.to_string())]);
        }
    }
}

/// Characters of a cell of the schema.
const CELL: usize = 30;

/// The columns as a table; of very many the first ones.
pub(crate) fn schema(schema: &Schema) -> String {
    let mut grid = Grid::new(&["column", "kind", ">missing", "values", "use"]);
    let columns = schema.columns();
    for column in columns.iter().take(COLUMNS) {
        let info = &column.info;
        let all = (info.present() + info.missing()).max(1);
        let missing = match (info.missing(), 100.0 * info.missing() as f64 / all as f64) {
            (0, _) => "-".to_string(),
            (n, share) if share < 0.1 => format!("{} rows", text::thousands(n)),
            (_, share) => format!("{share:.1} %"),
        };
        grid.row(vec![
            cut(info.name()),
            info.kind().name().to_string(),
            missing,
            cut(&values(info)),
            what(&column.role),
        ]);
    }
    let mut out = format!("\n{}", grid.plain("  "));
    let hidden = columns.len().saturating_sub(COLUMNS);
    if hidden > 0 {
        out.push_str(&format!(
            "  and {hidden} columns more; encoder.json in the run folder has all\n"
        ));
    }
    out
}

fn cut(text: &str) -> String {
    let plain: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    match plain.chars().count() > CELL {
        true => plain.chars().take(CELL - 3).collect::<String>() + "...",
        false => plain,
    }
}

fn values(info: &ColumnInfo) -> String {
    let list = || info.examples().iter().take(3).cloned().collect::<Vec<_>>().join(", ");
    match (info.range(), info.distinct()) {
        (Some((low, high)), _) => format!("{low} to {high}"),
        (None, Some(0)) => "none".to_string(),
        (None, Some(n)) if n <= 3 => list(),
        (None, Some(n)) => format!("{}: {}, ...", text::thousands(n), list()),
        (None, None) => format!("very many: {}, ...", list()),
    }
}

fn what(role: &Role) -> String {
    match role {
        Role::Target => "target".to_string(),
        Role::Number { indicator: false } => "standardised".to_string(),
        Role::Number { indicator: true } => "standardised, missing flagged".to_string(),
        Role::OneHot { columns } => format!("one-hot, {columns}"),
        Role::Ids { count } => format!("embedding of {}", text::thousands(*count)),
        Role::LeftOut { why } => format!("left out: {why}"),
        other => other.to_string(),
    }
}

/// How good predictions are, in the unit of the target.
pub(crate) enum Scores {
    Classes(Confusion),
    Values(RegressionScores),
}

/// What was there to be predicted.
pub(crate) enum Truth {
    Classes(Vec<usize>),
    Values(Vec<f64>),
}

impl Truth {
    pub(crate) fn len(&self) -> usize {
        match self {
            Truth::Classes(ids) => ids.len(),
            Truth::Values(values) => values.len(),
        }
    }
}

impl Scores {
    pub(crate) fn new(classes: usize) -> Scores {
        match classes {
            0 => Scores::Values(RegressionScores::new()),
            n => Scores::Classes(Confusion::new(n)),
        }
    }

    /// Adds rows; those without a truth do not count.
    pub(crate) fn add(&mut self, truth: &Truth, predictions: &Predictions) -> Result<()> {
        if truth.len() != predictions.len() {
            return Err(Error::internal("predictions and targets of different rows"));
        }
        match (self, truth) {
            (Scores::Classes(confusion), Truth::Classes(ids)) => {
                for (row, &id) in ids.iter().enumerate() {
                    confusion.add(id, predictions.class(row).unwrap_or(usize::MAX));
                }
                Ok(())
            }
            (Scores::Values(scores), Truth::Values(values)) => {
                for (row, &value) in values.iter().enumerate().filter(|(_, v)| !v.is_nan()) {
                    scores.add(value, predictions.value(row).unwrap_or(f64::NAN));
                }
                Ok(())
            }
            _ => Err(Error::new(Code::Internal, "targets of another kind")),
        }
    }

    /// `accuracy` and `macro_f1`, or `r2`, `mae` and `rmse`.
    pub(crate) fn metrics(&self) -> Metrics {
        let all = match self {
            Scores::Classes(c) => {
                vec![("accuracy", c.accuracy()), ("macro_f1", c.macro_average().f1)]
            }
            Scores::Values(v) => vec![("r2", v.r2()), ("mae", v.mae()), ("rmse", v.rmse())],
        };
        all.into_iter().collect()
    }

    pub(crate) fn samples(&self) -> usize {
        match self {
            Scores::Classes(confusion) => confusion.samples() as usize,
            Scores::Values(scores) => scores.samples() as usize,
        }
    }
}

/// A number in the unit of the target.
pub(crate) fn unit(value: f64) -> String {
    match value.abs() {
        size if (1000.0..1e15).contains(&size) => {
            let sign = if value < 0.0 { "-" } else { "" };
            format!("{sign}{}", text::thousands(size.round() as usize))
        }
        size if size >= 1.0 => format!("{value:.2}"),
        _ => text::short(value),
    }
}

/// Several models, one below the other.
pub(crate) fn comparison(title: &str, rows: &[(String, Metrics)]) -> String {
    let values = rows.iter().any(|(_, metrics)| metrics.get("r2").is_some());
    let heads: [&str; 4] = match values {
        true => [title, ">R²", ">mean abs. error", ">root mean sq. error"],
        false => [title, ">right", ">macro F1", ">"],
    };
    let mut grid = Grid::new(&heads);
    for (name, metrics) in rows {
        let get = |name: &str| metrics.get(name).unwrap_or(f64::NAN);
        grid.row(match values {
            true => vec![
                name.clone(),
                format!("{:.4}", get("r2") + 0.0),
                unit(get("mae")),
                unit(get("rmse")),
            ],
            false => vec![
                name.clone(),
                percent(get("accuracy")),
                format!("{:.4}", get("macro_f1")),
                String::new(),
            ],
        });
    }
    grid.plain("  ")
}

/// A table of classes that is longer shows the worst ones.
const CLASSES: usize = 30;
/// Confusions that are listed.
const LISTED: usize = 5;

/// Precision, recall and F1 of each class, and what is taken for what.
pub(crate) fn classes(
    out: &mut impl Write,
    confusion: &Confusion,
    name: impl Fn(usize) -> String,
) -> Outcome {
    let heads = ["class", ">rows", ">precision", ">recall", ">F1", "most often taken for"];
    let mut grid = Grid::new(&heads);
    let scores = confusion.classes();
    let mut order: Vec<(usize, &ClassScores)> = scores.iter().enumerate().collect();
    let mut hidden = 0;
    if order.len() > CLASSES {
        order.sort_by(|a, b| a.1.f1.total_cmp(&b.1.f1));
        hidden = order.len() - CLASSES;
        order.truncate(CLASSES);
    }
    let row = |label: String, s: &ClassScores, last: String| {
        // A class without a row has no share of them.
        let of = |v: f64, n: u64| if n == 0 { "-".to_string() } else { percent(v) };
        let rows = text::thousands(s.support as usize);
        let f1 = of(s.f1, s.support);
        vec![label, rows, percent(s.precision), of(s.recall, s.support), f1, last]
    };
    for (class, s) in order {
        let worst = match confusion.most_often(class) {
            Some((p, 1)) => format!("{} (once)", name(p)),
            Some((p, n)) => format!("{} ({n} times)", name(p)),
            None => String::new(),
        };
        grid.row(row(name(class), s, worst));
    }
    if confusion.len() > 1 {
        grid.row(row("mean of classes".to_string(), &confusion.macro_average(), String::new()));
    }
    write!(out, "\n{}", grid.plain("  "))?;
    if hidden > 0 {
        writeln!(out, "  and {hidden} classes that are predicted better; --json has all")?;
    }
    let mistakes = confusion.mistakes();
    let wrong: u64 = mistakes.iter().map(|&(.., n)| n).sum();
    if wrong > 0 {
        let list: Vec<String> = mistakes
            .iter()
            .take(LISTED)
            .map(|&(t, p, n)| format!("{} as {} ({n})", name(t), name(p)))
            .collect();
        writeln!(out, "\n  {wrong} wrong; most often {}", list.join(", "))?;
    }
    Ok(())
}
