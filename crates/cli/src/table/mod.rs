//! Tables: from the options of the command line to prepared data, the same for a new run, a resumed
//! one and an evaluation.

pub(crate) mod eval;
pub(crate) mod show;
pub(crate) mod train;

use std::io;
use std::path::Path;

use gradus::data::table::{Parts, Prepared, Table, Task};
use gradus::train::{DataConfig, RunConfig, TableConfig, prepared_sha256};
use gradus::{Code, Error, Result};

use crate::args::{TableArgs, nearest};
use crate::text;

/// The name of a table that comes through a pipe.
pub(crate) const STDIN: &str = "-";
/// With fewer rows, a part would hold next to nothing.
const FEWEST: usize = 20;
/// Of the rows, to measure the result by.
const TEST: f64 = 0.2;
/// More rows than this would not choose better.
const MOST_VALID: f64 = 5000.0;

/// Whether an argument means a table, not a folder of images or the built-in digits.
pub(crate) fn is_table(data: &str) -> bool {
    let path = Path::new(data);
    if data == STDIN || path.is_file() {
        return true;
    }
    // A table that is not there is told so.
    let name = data.to_lowercase();
    let name = name.strip_suffix(".gz").unwrap_or(&name);
    let ends = [".csv", ".tsv", ".tab", ".txt", ".dat", ".data"];
    !path.is_dir() && ends.iter().any(|end| name.ends_with(end))
}

/// What the options say, for `config.toml`.
pub(crate) fn asked(args: &TableArgs) -> TableConfig {
    let mut table = TableConfig::default();
    table.target.clone_from(&args.target);
    table.task = args.task;
    table.header = match (args.header, args.no_header) {
        (true, _) => Some(true),
        (_, true) => Some(false),
        _ => None,
    };
    table.separator = args.separator;
    table.decimal_comma = args.decimal_comma.then_some(true);
    table.missing.clone_from(&args.missing);
    table.drop.clone_from(&args.drop);
    table.category.clone_from(&args.category);
    table.keep.clone_from(&args.keep);
    table.one_hot = args.one_hot;
    table.stream = args.stream;
    table
}

/// Opens a file or stdin.
pub(crate) fn open(source: &str, options: &gradus::data::table::ReadOptions) -> Result<Table> {
    if source == STDIN {
        return Table::from_reader("stdin", io::stdin(), options);
    }
    Table::open(source, options).map_err(|e| match similar(Path::new(source)) {
        Some(file) => e.help(format!("did you mean `{file}`?")),
        None => e,
    })
}

/// Of a file that is not there: the one beside it with nearly that name.
fn similar(path: &Path) -> Option<String> {
    if path.exists() {
        return None;
    }
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty());
    let there: Vec<String> = std::fs::read_dir(folder.unwrap_or(Path::new(".")))
        .ok()?
        .flatten()
        .filter(|entry| entry.path().is_file())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    let name = path.file_name()?.to_string_lossy();
    let found = nearest(&name, there.iter().map(String::as_str))?;
    Some(text::path(&folder.map_or_else(|| found.into(), |f| f.join(found))))
}

/// The fractions of the rows that are held out to choose and to test by.
fn parts(rows: usize) -> Result<Parts> {
    if rows < FEWEST {
        let title = format!("there are only {rows} rows to learn from");
        return Err(Error::new(Code::Data, title)
            .help(format!("at least {FEWEST} are needed to train, validate and test")));
    }
    let share = if rows < 2000 { 0.15 } else { 0.1 };
    Ok(Parts { valid: f64::min(share, MOST_VALID / rows as f64), test: TEST })
}

/// Describes prepared data for a run.
fn describe(
    source: &str,
    task: &Task,
    mut asked: TableConfig,
    parts: Parts,
    seed: u64,
) -> DataConfig {
    let path = Path::new(source);
    let full = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
    let mut data = DataConfig::default();
    data.name = match path.file_name() {
        Some(name) if source != STDIN => name.to_string_lossy().into_owned(),
        _ => "stdin".to_string(),
    };
    data.source = if source == STDIN { STDIN.to_string() } else { full.display().to_string() };
    data.samples = task.rows();
    data.valid = Some(parts.valid);
    data.test = Some(parts.test);
    data.split_seed = seed;
    // As it was understood, so that it stays so.
    asked.target = Some(task.target().to_string());
    asked.task = Some(task.kind());
    data.table = Some(asked);
    data
}

/// Data that is ready, and where its test rows are in the file. The table itself is not kept: its
/// memory is for the training.
pub(crate) struct Ready {
    pub(crate) data: Prepared,
    /// From 0.
    pub(crate) test_rows: Vec<usize>,
}

/// Splits and encodes.
fn ready(task: &Task, parts: Parts, seed: u64) -> Result<Ready> {
    let data = task.prepare(parts, seed)?;
    let test = data.test.iter().flat_map(|test| test.indices());
    let test_rows = test.map(|sample| task.table_row(sample)).collect();
    Ok(Ready { data, test_rows })
}

/// The data of a run again, with the same rows in the same parts; `source` is where it is now.
pub(crate) fn again(config: &RunConfig, run: &Path, source: &str) -> Result<Ready> {
    match prepared(config, source)? {
        Some(data) => Ok(data),
        None => {
            Err(Error::new(Code::Data, format!("{source} has changed since the run was trained"))
                .line(
                    "run",
                    format!("{}: {} rows", run.display(), text::thousands(config.data.samples)),
                )
                .help("put the old file back, or train a new run"))
        }
    }
}

/// The data of a run, if that is what is in a file.
pub(crate) fn prepared(config: &RunConfig, source: &str) -> Result<Option<Ready>> {
    let data = &config.data;
    let Some(asked) = &data.table else { return Ok(None) };
    let table = open(source, &asked.read_options())?;
    // A file with other columns is simply another one.
    let Ok(task) = table.task(&asked.task_options()) else { return Ok(None) };
    if task.rows() != data.samples {
        return Ok(None);
    }
    let parts = Parts { valid: data.valid.unwrap_or(0.0), test: data.test.unwrap_or(0.0) };
    let ready = ready(&task, parts, data.split_seed)?;
    Ok((prepared_sha256(&ready.data) == data.fingerprint).then_some(ready))
}

/// Fails with a sentence about a file that is needed and not there.
pub(crate) fn needs_source(config: &RunConfig, run: &Path, what: &str) -> Result<()> {
    let source = &config.data.source;
    if source != STDIN && Path::new(source).is_file() {
        return Ok(());
    }
    let shown = text::path(run);
    let title = match source.as_str() {
        STDIN => {
            format!("{what} needs the rows that {shown} was trained on, which came from stdin")
        }
        _ => format!("{what} needs {source}, which {shown} was trained on and which is not there"),
    };
    let error = Error::new(Code::Data, title);
    Err(match what {
        "an evaluation" => {
            error.help(format!("give a file with a known target: `gradus eval {shown} FILE`"))
        }
        _ if source == STDIN => error.help("train from a file, and a run can be gone on with"),
        _ => error.help("put the file back where it was"),
    })
}
