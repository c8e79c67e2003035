//! `gradus predict`: what a trained run says about new rows. Rows go to stdout or a file, and nothing
//! else does; messages go to stderr.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use gradus::data::table::Report;
use gradus::train::{DataConfig, Predictions, Predictor, Run};
use gradus::{Code, Error, Result};

use crate::args::{Format, PredictArgs};
use crate::data::Source;
use crate::fail::{Failure, Outcome};
use crate::progress::header;
use crate::table::show;
use crate::{eval, runs, table, text};

pub(crate) fn run(args: &PredictArgs) -> Outcome {
    args.threads.apply();
    let run = runs::open(&args.run)?;
    let predictor = Predictor::of(&run, run.load_model()?)?;
    let out = args.out.as_deref().filter(|out| *out != Path::new("-"));
    let ends =
        |end: &str| out.is_some_and(|out| out.to_string_lossy().to_lowercase().ends_with(end));
    let json = ends(".json") || ends(".jsonl") || ends(".ndjson");
    let format = args.format.unwrap_or(if json { Format::Json } else { Format::Csv });
    match out {
        None => {
            let out = BufWriter::with_capacity(1 << 16, io::stdout().lock());
            rows(&run, &predictor, &args.data, Writer::new(out, format, &predictor))?;
        }
        Some(path) => {
            let mut file = Unfinished::new(path)?;
            let out = BufWriter::with_capacity(1 << 16, file.take()?);
            let done = rows(&run, &predictor, &args.data, Writer::new(out, format, &predictor));
            let n = done.map_err(|failure| about(failure, path))?;
            file.finish()?;
            let line = format!("{} rows in {}", text::thousands(n), path.display());
            header(&[("done", line)]);
        }
    }
    Ok(())
}

/// An error of writing, with the file that could not be written.
fn about(failure: Failure, path: &Path) -> Failure {
    match failure {
        Failure::Error(e) if e.title().starts_with("cannot write to the output") => {
            e.line("file", path.display().to_string()).into()
        }
        other => other,
    }
}

/// Predicts and writes all rows; how many there were.
fn rows<W: Write>(
    run: &Run,
    predictor: &Predictor,
    data: &str,
    mut writer: Writer<W>,
) -> Outcome<usize> {
    let mut n = 0;
    if predictor.encoder().is_none() {
        let data = images(data, &run.config().data)?;
        // As many as an image takes little of the memory.
        for start in (0..data.len()).step_by(4096) {
            let predictions = predictor.predict_dataset(&data.skip(start).take(4096))?;
            n += writer.all(&predictions)?;
        }
        writer.flush()?;
        return Ok(n);
    }
    let file = table::open(data, &predictor.read_options())?;
    let mut report = Report::default();
    for part in predictor.predict_chunks(&file)? {
        let (predictions, noticed) = part?;
        report.merge(&noticed);
        n += writer.all(&predictions)?;
    }
    writer.flush()?;
    show::notes(file.notes().iter().cloned().chain(report.notes()));
    Ok(n)
}

/// The samples of data of images.
fn images(data: &str, config: &DataConfig) -> Result<gradus::data::Dataset> {
    if table::is_table(data) {
        let title =
            format!("{data} is a table, but the run was trained on images of {}", config.name);
        return Err(Error::new(Code::Data, title)
            .help("give `digits`, or a folder of IDX files such as MNIST's"));
    }
    let source = Source::open(data)?;
    eval::fits(&source.all, config)?;
    source.unseen()
}

/// Predictions as lines of text.
pub(crate) struct Writer<W: Write> {
    out: W,
    format: Format,
    classes: Vec<String>,
    /// Columns before those of the prediction.
    before: Vec<String>,
    /// Whether the head is written: not before it is known that there are rows.
    begun: bool,
    /// The row that comes next, from 1.
    next: usize,
    line: String,
}

impl<W: Write> Writer<W> {
    fn new(out: W, format: Format, predictor: &Predictor) -> Writer<W> {
        let classes = predictor.classes().to_vec();
        Writer {
            out,
            format,
            classes,
            before: Vec::new(),
            begun: false,
            next: 1,
            line: String::new(),
        }
    }

    /// A CSV with columns before those of the prediction.
    pub(crate) fn csv(out: W, predictor: &Predictor, before: &[&str]) -> Writer<W> {
        let before = before.iter().map(ToString::to_string).collect();
        Writer { before, ..Writer::new(out, Format::Csv, predictor) }
    }

    fn begin(&mut self) -> Outcome {
        if self.begun || self.format == Format::Json {
            return Ok(());
        }
        self.begun = true;
        let mut cells = self.before.clone();
        cells.push("prediction".to_string());
        cells.extend(self.classes.iter().map(|class| format!("probability_{class}")));
        let cells: Vec<String> = cells.iter().map(|cell| quoted(cell)).collect();
        writeln!(self.out, "{}", cells.join(","))?;
        Ok(())
    }

    /// All rows; how many.
    fn all(&mut self, predictions: &Predictions) -> Outcome<usize> {
        for row in 0..predictions.len() {
            match self.format {
                Format::Csv => self.row(predictions, row, &[])?,
                Format::Json => self.object(predictions, row)?,
            }
        }
        Ok(predictions.len())
    }

    /// A row of a CSV.
    pub(crate) fn row(&mut self, all: &Predictions, row: usize, before: &[String]) -> Outcome {
        self.begin()?;
        let mut line = std::mem::take(&mut self.line);
        line.clear();
        for cell in before {
            line.push_str(&quoted(cell));
            line.push(',');
        }
        match all.class_name(row) {
            Some(class) => line.push_str(&quoted(class)),
            None => {
                let values: Vec<String> = all.values(row).iter().map(|&v| all.text(v)).collect();
                line.push_str(&values.join(","));
            }
        }
        for p in all.probabilities(row) {
            line.push(',');
            line.push_str(&p.to_string());
        }
        line.push('\n');
        self.out.write_all(line.as_bytes())?;
        self.line = line;
        self.next += 1;
        Ok(())
    }

    fn object(&mut self, all: &Predictions, row: usize) -> Outcome {
        let name = |text: &str| serde_json::Value::from(text).to_string();
        match all.class_name(row) {
            Some(class) => {
                let pairs: Vec<String> = self
                    .classes
                    .iter()
                    .zip(all.probabilities(row))
                    .map(|(class, p)| format!("{}:{p}", name(class)))
                    .collect();
                let (next, class, pairs) = (self.next, name(class), pairs.join(","));
                writeln!(
                    self.out,
                    "{{\"row\":{next},\"prediction\":{class},\"probabilities\":{{{pairs}}}}}"
                )?;
            }
            None => {
                let value = all.value(row).map(|v| all.text(v)).unwrap_or_default();
                writeln!(self.out, "{{\"row\":{},\"prediction\":{value}}}", self.next)?;
            }
        }
        self.next += 1;
        Ok(())
    }

    fn flush(&mut self) -> Outcome {
        self.begin()?;
        self.out.flush()?;
        Ok(())
    }

    pub(crate) fn into_inner(self) -> W {
        self.out
    }
}

/// A cell of a CSV.
fn quoted(cell: &str) -> String {
    let edge = cell.starts_with(' ') || cell.ends_with(' ');
    if !edge && !cell.contains([',', '"', '\n', '\r']) {
        return cell.to_string();
    }
    format!("\"{}\"", cell.replace('"', "\"\""))
}

/// A file under another name, until it is complete.
struct Unfinished {
    path: PathBuf,
    temporary: Option<PathBuf>,
    file: Option<File>,
}

impl Unfinished {
    fn new(path: &Path) -> Result<Unfinished> {
        let failed = |e: &io::Error| {
            let error = Error::io("cannot write", path, e);
            match e.kind() {
                io::ErrorKind::NotFound => error.help("make its folder first"),
                _ => error.help("choose another file with --out"),
            }
        };
        if path.is_dir() {
            let title = format!("cannot write {}: it is a folder", path.display());
            return Err(Error::new(Code::Io, title).help("give the name of a file in it"));
        }
        if path.exists() && !path.is_file() {
            // A pipe or a device is written as it is.
            let file = File::options().write(true).open(path).map_err(|e| failed(&e))?;
            return Ok(Unfinished { path: path.to_path_buf(), temporary: None, file: Some(file) });
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let temporary = path.with_file_name(format!(".{name}.{}.tmp", std::process::id()));
        let file = File::create(&temporary).map_err(|e| failed(&e))?;
        let path = path.to_path_buf();
        Ok(Unfinished { path, temporary: Some(temporary), file: Some(file) })
    }

    fn take(&mut self) -> Result<File> {
        self.file.take().ok_or_else(|| Error::internal("an output is written twice"))
    }

    fn finish(mut self) -> Result<()> {
        let Some(temporary) = self.temporary.take() else { return Ok(()) };
        fs::rename(&temporary, &self.path).map_err(|e| {
            let _ = fs::remove_file(&temporary);
            Error::io("cannot write", &self.path, &e)
        })
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if let Some(temporary) = self.temporary.take() {
            let _ = fs::remove_file(temporary);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn cells_are_quoted_where_they_must_be() {
        assert_eq!(quoted("a b"), "a b");
        assert_eq!(quoted("a,b"), "\"a,b\"");
        assert_eq!(quoted("say \"a\""), "\"say \"\"a\"\"\"");
        assert_eq!(quoted(" a"), "\" a\"");
        assert_eq!(quoted("a\nb"), "\"a\nb\"");
    }
}
