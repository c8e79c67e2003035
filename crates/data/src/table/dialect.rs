//! How a file separates cells, found out from its first records, and whether it names its columns.

use std::collections::HashMap;

use gradus_core::{Code, Error, Result};

use crate::table::fields::{Cut, Fields};
use crate::table::number::{Missing, number};
use crate::table::options::ReadOptions;

/// How one file is written.
#[derive(Clone, Debug)]
pub(crate) struct Dialect {
    pub(crate) cut: Cut,
    pub(crate) decimal_comma: bool,
    /// Names from the first line, or `column_1` and so on.
    pub(crate) names: Vec<String>,
    /// Whether the first record is not data: a header, or a line of facts.
    pub(crate) skip_first: bool,
    pub(crate) header: bool,
    /// A first line as in scikit-learn's files: number of rows, of features, names of classes.
    pub(crate) facts: Option<Facts>,
    /// Sentences about what was found.
    pub(crate) notes: Vec<String>,
}

/// The first line of scikit-learn's files.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    pub(crate) rows: u64,
    pub(crate) classes: Vec<String>,
}

/// Records that are looked at.
const RECORDS: usize = 200;

type Record = Vec<String>;

/// Finds out from the first bytes of a file (without byte-order mark) how it is written.
/// `whole` says whether there is nothing after `head`.
pub(crate) fn detect(
    name: &str,
    head: &[u8],
    whole: bool,
    options: &ReadOptions,
) -> Result<Dialect> {
    let missing = Missing::new(options);
    let newline = if head.contains(&b'\n') || !head.contains(&b'\r') { b'\n' } else { b'\r' };
    let cut_by = |separator: u8| Cut { separator, newline };
    let mut notes = Vec::new();
    let (cut, records) = match options.separator {
        Some(separator) => {
            let cut = cut_by(check_separator(separator)?);
            (cut, sample(head, whole, cut))
        }
        None => {
            let mut best: Option<(Score, Cut, Vec<Record>)> = None;
            for separator in [b',', b';', b'\t', b'|', b' '] {
                let cut = cut_by(separator);
                let records = sample(head, whole, cut);
                let score = Score::of(&records, separator, &missing);
                // Spaces are in texts everywhere, so they count only when nothing else does.
                let blank = separator == b' ';
                let better = match &best {
                    None => true,
                    Some((old, ..)) if blank => old.columns < 2 && score.columns > 1,
                    Some((old, ..)) => score.beats(old),
                };
                if better {
                    best = Some((score, cut, records));
                }
            }
            match best {
                Some((score, cut, records)) if score.columns > 1 => (cut, records),
                _ => {
                    let cut = cut_by(b',');
                    (cut, sample(head, whole, cut))
                }
            }
        }
    };
    if records.is_empty() {
        let error = |what: &str| Error::new(Code::Data, format!("{name} {what}"));
        return Err(match head.iter().all(u8::is_ascii_whitespace) {
            true => error("has only blank lines")
                .help("a table has a line of names and at least one row"),
            false => error("starts with a row whose quotes do not fit together")
                .help("close each quote, and write a quote inside a quoted cell as two (\"\")"),
        });
    }
    let columns = usual_width(records.get(1..).unwrap_or(&[]))
        .or_else(|| records.first().map(Vec::len))
        .unwrap_or(1);
    if columns > 1 && cut.separator != b',' {
        notes.push(format!("cells are separated by {}", cut.name()));
    }
    let decimal_comma = options
        .decimal_comma
        .unwrap_or_else(|| cut.separator != b',' && uses_decimal_commas(&records));
    if decimal_comma {
        notes.push("numbers are written with a decimal comma (1,5)".to_owned());
    }
    let facts = match options.header {
        Some(true) => None,
        _ => facts(&records, columns),
    };
    let first = records.first().map(Vec::as_slice).unwrap_or(&[]);
    let known = known_header(first, &options.known_names);
    let header = facts.is_none()
        && options
            .header
            .unwrap_or_else(|| known || looks_like_header(&records, decimal_comma, &missing));
    let names = if header {
        header_names(name, first, &mut notes)?
    } else {
        (1..=columns).map(|i| format!("column_{i}")).collect()
    };
    match &facts {
        Some(f) => notes.push(format!(
            "the first line is a summary as in scikit-learn's files ({} rows, {} features, \
             classes {}): the last column is the class and the columns have no names",
            f.rows,
            columns.saturating_sub(1),
            f.classes.join(", "),
        )),
        None if !header && options.header.is_none() => notes.push(format!(
            "the first line is data, not names: the columns are column_1 to column_{columns}"
        )),
        None => {}
    }
    Ok(Dialect {
        cut,
        decimal_comma,
        names,
        skip_first: header || facts.is_some(),
        header,
        facts,
        notes,
    })
}

fn check_separator(separator: char) -> Result<u8> {
    let fine = |b: &u8| b.is_ascii() && !b.is_ascii_alphanumeric() && !b"\"\n\r-+.".contains(b);
    u8::try_from(separator).ok().filter(fine).ok_or_else(|| {
        Error::new(Code::Argument, format!("{separator:?} cannot separate cells"))
            .help("use one of , ; | : a space, a tab or another ASCII sign")
    })
}

/// The first records, without spaces around cells. A record that is cut off by the end of `head`
/// is left out.
fn sample(head: &[u8], whole: bool, cut: Cut) -> Vec<Record> {
    let mut fields = Fields::new(head, cut);
    let mut records = Vec::new();
    while records.len() < RECORDS && !fields.skip_blank_lines().is_end {
        let mut record = Vec::new();
        loop {
            match fields.next_field() {
                Ok((field, end)) => {
                    record.push(String::from_utf8_lossy(&field.text()).into_owned());
                    if end {
                        break;
                    }
                }
                // Told with its place when the file is read.
                Err(_) => return records,
            }
        }
        if fields.at_end() && !whole && !head.ends_with(&[cut.newline]) && !records.is_empty() {
            break;
        }
        records.push(record);
    }
    records
}

/// The number of cells that most records have.
fn usual_width(records: &[Record]) -> Option<usize> {
    let mut widths: Vec<usize> = records.iter().map(Vec::len).collect();
    widths.sort_unstable();
    let runs = widths.chunk_by(|a, b| a == b);
    runs.max_by_key(|run| run.len()).and_then(|run| run.first()).copied()
}

/// How well a separator explains the records.
struct Score {
    columns: usize,
    /// Share of records with the usual number of cells.
    regular: f64,
    /// Share of cells that are numbers or missing.
    numbers: f64,
}

impl Score {
    fn of(records: &[Record], separator: u8, missing: &Missing) -> Score {
        // The first line may be a header that is shorter or longer: it counts when it is alone.
        let body = if records.len() > 1 { records.get(1..).unwrap_or(&[]) } else { records };
        let columns = usual_width(body).unwrap_or(0);
        let fitting = records.iter().filter(|r| r.len() == columns).count();
        let (mut cells, mut numbers) = (0usize, 0usize);
        for cell in body.iter().flatten() {
            cells += 1;
            let cell = cell.as_bytes();
            if missing.has(cell) || number(cell, separator != b',').is_some() {
                numbers += 1;
            }
        }
        let share = |part: usize, all: usize| part as f64 / all.max(1) as f64;
        Score { columns, regular: share(fitting, records.len()), numbers: share(numbers, cells) }
    }

    fn beats(&self, old: &Score) -> bool {
        if (self.columns > 1) != (old.columns > 1) {
            return self.columns > 1;
        }
        // A few ragged rows are a fault of the file, not of the separator.
        if (self.regular - old.regular).abs() > 0.1 {
            return self.regular > old.regular;
        }
        if (self.numbers - old.numbers).abs() > 0.02 {
            return self.numbers > old.numbers;
        }
        self.columns > old.columns
    }
}

fn uses_decimal_commas(records: &[Record]) -> bool {
    let (mut commas, mut points) = (0usize, 0usize);
    for cell in records.iter().flatten().map(|cell| cell.as_bytes()) {
        if cell.contains(&b',') && number(cell, true).is_some() {
            commas += 1;
        } else if cell.contains(&b'.') && number(cell, false).is_some() {
            points += 1;
        }
    }
    commas > points
}

/// Recognises `rows,features,name of class,...` before rows of features and a class id.
fn facts(records: &[Record], columns: usize) -> Option<Facts> {
    let (first, body) = records.split_first()?;
    let [rows, features, classes @ ..] = first.as_slice() else { return None };
    let rows: u64 = rows.parse().ok().filter(|&n| n > 0)?;
    let features: usize = features.parse().ok()?;
    let plain = |cell: &String| number(cell.as_bytes(), false).is_none() && !cell.is_empty();
    let fits = features + 1 == columns && classes.len() >= 2 && classes.iter().all(plain);
    let count = classes.len();
    let ids = |record: &Record| {
        record.last().and_then(|cell| cell.parse::<usize>().ok()).is_some_and(|id| id < count)
    };
    if !fits || body.is_empty() || !body.iter().all(ids) {
        return None;
    }
    Some(Facts { rows, classes: classes.to_vec() })
}

/// Whether at least half of the known names are in a record.
fn known_header(first: &[String], known: &[String]) -> bool {
    let found = known.iter().filter(|name| first.contains(name)).count();
    found > 0 && found * 2 >= known.len()
}

/// A first record is a header when it has text over columns of numbers; when there are no columns
/// of numbers, when its cells are different texts that their columns do not repeat.
fn looks_like_header(records: &[Record], decimal_comma: bool, missing: &Missing) -> bool {
    let Some((first, body)) = records.split_first() else { return false };
    let is_number = |cell: &str| number(cell.as_bytes(), decimal_comma).is_some();
    if body.is_empty() {
        return !first.iter().any(|cell| is_number(cell));
    }
    let (mut text_over_numbers, mut numbers_over_numbers, mut repeated) = (0, 0, false);
    for (c, top) in first.iter().enumerate() {
        let cells = body.iter().filter_map(|record| record.get(c));
        let present: Vec<&String> = cells.filter(|cell| !missing.has(cell.as_bytes())).collect();
        repeated |= present.contains(&top);
        if present.is_empty() || !present.iter().all(|cell| is_number(cell)) {
            continue;
        }
        if is_number(top) {
            numbers_over_numbers += 1;
        } else if !missing.has(top.as_bytes()) {
            text_over_numbers += 1;
        }
    }
    if text_over_numbers + numbers_over_numbers > 0 {
        return text_over_numbers > 0 && text_over_numbers >= numbers_over_numbers;
    }
    let filled = first.iter().all(|cell| !missing.has(cell.as_bytes()) && !is_number(cell));
    let mut sorted: Vec<&String> = first.iter().collect();
    sorted.sort();
    sorted.dedup();
    filled && !repeated && sorted.len() == first.len()
}

/// The names of a header; empty ones become `column_3`.
fn header_names(file: &str, first: &[String], notes: &mut Vec<String>) -> Result<Vec<String>> {
    let mut names: Vec<String> = first.to_vec();
    for (i, name) in names.iter_mut().enumerate() {
        if name.is_empty() {
            *name = format!("column_{}", i + 1);
            notes.push(format!("column {} has no name in the header: it is `{name}`", i + 1));
        }
    }
    let mut places: HashMap<&str, usize> = HashMap::with_capacity(names.len());
    for (i, name) in names.iter().enumerate() {
        if let Some(earlier) = places.insert(name, i) {
            return Err(Error::new(
                Code::Data,
                format!("{file}: two columns have the name `{name}`"),
            )
            .line("columns", format!("{} and {}", earlier + 1, i + 1))
            .help("give each column a name of its own in the first line"));
        }
    }
    Ok(names)
}
