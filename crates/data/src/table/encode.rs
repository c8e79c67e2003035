//! Rows of a table as rows of f32, for training and for every file after it: one function,
//! [`fill`], so the bits are the same.

use std::collections::HashMap;

use gradus_core::{Array, Code, Error, Result};

use crate::dataset::Dataset;
use crate::table::block::{Block, Cells, MISSING, Type, Words};
use crate::table::encoder::{Encoder, Encoding, How, Scale};
use crate::table::fit::{Sink, meanings};
use crate::table::read::{Blocks, Table};
use crate::table::report::{Report, Unknown};
use crate::table::target::Values;
use crate::table::task::{TaskKind, check_finite, nearest};

/// Where the columns of an encoder are in a file.
#[derive(Clone, Debug)]
pub(crate) struct Columns {
    /// One for each column that is used.
    features: Vec<usize>,
    target: Option<usize>,
    lookups: Vec<HashMap<String, usize>>,
}

impl Columns {
    pub(crate) fn of_training(encoder: &Encoder) -> Columns {
        Columns {
            features: encoder.columns.iter().map(|column| column.column).collect(),
            target: Some(encoder.target.column),
            lookups: lookups(encoder),
        }
    }
}

/// Places of categories by their words.
fn lookups(encoder: &Encoder) -> Vec<HashMap<String, usize>> {
    let places = |how: &How| match how {
        How::OneHot { categories, .. } | How::Ids { categories, .. } => {
            categories.iter().cloned().enumerate().map(|(i, word)| (word, i)).collect()
        }
        _ => HashMap::new(),
    };
    encoder.columns.iter().map(|column| places(&column.how)).collect()
}

/// Rows that were encoded.
#[derive(Clone, Debug)]
pub struct Encoded {
    x: Array,
    first_row: usize,
    labels: Option<Labels>,
    report: Report,
    targets: Targets,
}

/// What is needed to turn labels into a dataset.
#[derive(Clone, Debug)]
struct Targets {
    file: String,
    target: String,
    classes: Vec<String>,
    scale: (f64, f64),
}

/// The target of each row of a file that has one; `None` where it is missing or not known.
#[derive(Clone, Debug, PartialEq)]
pub enum Labels {
    /// Ids of classes.
    Classes(Vec<Option<usize>>),
    /// Values in the units of the file.
    Values(Vec<Option<f64>>),
}

impl Encoded {
    /// The features, f32 `[rows, features]`.
    pub fn x(&self) -> &Array {
        &self.x
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.x.shape().dim(0)
    }

    /// The row of the file, from 0, that is the first here.
    pub fn first_row(&self) -> usize {
        self.first_row
    }

    /// The targets, if the file has them.
    pub fn labels(&self) -> Option<&Labels> {
        self.labels.as_ref()
    }

    /// What was found in these rows.
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// The rows with a known target as a dataset, for an evaluation; [`report`](Encoded::report)
    /// counts the others.
    ///
    /// # Errors
    /// [`Code::Data`] when the file has no target, or no row has one that is known.
    pub fn dataset(&self) -> Result<Dataset> {
        let Targets { file, target, classes, scale } = &self.targets;
        let data = |title: String| Error::new(Code::Data, title);
        let Some(labels) = &self.labels else {
            return Err(data(format!("{file} has no column `{target}` to compare with")));
        };
        let known: Vec<usize> = match labels {
            Labels::Classes(ids) => {
                (0..ids.len()).filter(|&i| matches!(ids.get(i), Some(Some(_)))).collect()
            }
            Labels::Values(values) => {
                (0..values.len()).filter(|&i| matches!(values.get(i), Some(Some(_)))).collect()
            }
        };
        if known.is_empty() {
            return Err(data(format!("no row of {file} has a `{target}` that is known"))
                .line("known", classes.join(", ")));
        }
        // Rows without a target get some value, and are then left out.
        let values = match labels {
            Labels::Classes(ids) => {
                Values::Classes(ids.iter().map(|id| id.unwrap_or(0) as i64).collect())
            }
            Labels::Values(values) => {
                Values::Numbers(values.iter().map(|v| v.unwrap_or(scale.0)).collect())
            }
        };
        let whole = Dataset::from_arrays(self.x.clone(), values.array(*scale)?)?;
        let part = if known.len() == self.rows() { whole } else { whole.subset(&known)? };
        let named = part.with_name(file.clone());
        if classes.is_empty() { Ok(named) } else { named.with_class_names(classes.clone()) }
    }
}

impl Encoder {
    /// Encodes all rows of a file. Columns are found by name, in any order; words that were not in
    /// training count as unknown and are reported.
    ///
    /// # Errors
    /// [`Code::Data`] when a column is missing (with the nearest name), has text where training had
    /// numbers, or an infinite number (with row and column).
    pub fn encode(&self, table: &Table) -> Result<Encoded> {
        let mut parts = self.encode_chunks(table)?;
        let mut all = Sink::memory(table.rows(), self.features())?;
        let mut labels: Option<Labels> = None;
        let mut report = Report { columns: parts.notes.clone(), ..Report::default() };
        while let Some(part) = parts.next_rows()? {
            all.add(&part.rows)?;
            report.merge(&part.report);
            match (&mut labels, part.labels) {
                (Some(Labels::Classes(all)), Some(Labels::Classes(more))) => all.extend(more),
                (Some(Labels::Values(all)), Some(Labels::Values(more))) => all.extend(more),
                (slot, more) => *slot = more,
            }
        }
        let Sink::Memory { rows: x, .. } = all else {
            return Err(Error::internal("rows in memory went elsewhere"));
        };
        Ok(Encoded { x, first_row: 0, labels, report, targets: parts.targets() })
    }

    /// Encodes a file in pieces of some thousand rows, in order, in bounded memory.
    ///
    /// # Errors
    /// As [`encode`](Encoder::encode); what is wrong with a row is the item of its piece.
    pub fn encode_chunks(&self, table: &Table) -> Result<EncodedParts> {
        let (columns, notes) = self.find_columns(table)?;
        let mut types = table.types().to_vec();
        for (encoding, &at) in self.columns.iter().zip(&columns.features) {
            let wanted = match encoding.how {
                How::Number { .. } => Type::Number,
                _ => Type::Text,
            };
            self.wants(table, &mut types, at, wanted, &encoding.name)?;
        }
        if let Some(at) = columns.target {
            let wanted = match self.target.kind {
                TaskKind::Classification => Type::Text,
                TaskKind::Regression => Type::Number,
            };
            self.wants(table, &mut types, at, wanted, &self.target.name)?;
        }
        let blocks = table.blocks(&types)?;
        let (encoder, file) = (self.clone(), table.name().to_owned());
        Ok(EncodedParts { encoder, columns, blocks, file, notes, failed: false })
    }

    /// Sets the type of a column; a column of text cannot become one of numbers.
    fn wants(
        &self,
        table: &Table,
        types: &mut [Type],
        at: usize,
        wanted: Type,
        name: &str,
    ) -> Result<()> {
        let Some(slot) = types.get_mut(at) else { return Ok(()) };
        if wanted == Type::Number {
            if *slot == Type::Text {
                let found = table.stats().get(at).and_then(|stats| stats.first_text());
                let (_, row, text) = found.unwrap_or((0, 0, ""));
                return Err(Error::new(
                    Code::Data,
                    format!(
                        "{}: `{name}` is a number in training, but \"{text}\" in row {}",
                        table.name(),
                        row + 1
                    ),
                )
                .line("row", format!("{} of {}", row + 1, table.rows()))
                .line("column", format!("`{name}`, number {}", at + 1))
                .help("correct it, leave it empty, or name it as a word for missing values"));
            }
            if let Some(info) = table.columns().get(at) {
                check_finite(table, at, info)?;
            }
        }
        *slot = wanted;
        Ok(())
    }

    /// Finds the columns in a file, and says what is different from training.
    fn find_columns(&self, table: &Table) -> Result<(Columns, Vec<String>)> {
        let names = table.names();
        let data = |title: String| Error::new(Code::Data, title);
        let expected = self.schema.columns.len();
        if !self.header {
            return self.by_place(table);
        }
        if !table.has_header() {
            return Err(data(format!(
                "{} has no line of names, so its columns cannot be told",
                table.name()
            ))
            .line(
                "expected",
                self.columns.iter().map(|c| c.name.as_str()).collect::<Vec<_>>().join(", "),
            )
            .help("put the names of the columns into the first line"));
        }
        let place = |name: &str| names.iter().position(|other| *other == name);
        let known = |name: &str| self.schema.columns.iter().any(|c| c.info.name == name);
        let extra: Vec<&str> = names.iter().copied().filter(|name| !known(name)).collect();
        let missing: Vec<&str> = self
            .columns
            .iter()
            .map(|c| c.name.as_str())
            .filter(|name| place(name).is_none())
            .collect();
        if let Some(first) = missing.first() {
            let count = missing.len();
            let mut error = data(if count == 1 {
                format!("{} has no column `{first}`, which training used", table.name())
            } else {
                format!("{} lacks {count} columns that training used", table.name())
            });
            for name in missing.iter().take(20) {
                let near = nearest(name, extra.iter().copied())
                    .map_or("nothing like it".to_owned(), |near| format!("renamed to `{near}`?"));
                error = error.cells("missing", vec![format!("`{name}`"), near]);
            }
            return Err(error
                .line("found", names.join(", "))
                .help("give the columns the names of the training file"));
        }
        let features: Vec<usize> = self.columns.iter().filter_map(|c| place(&c.name)).collect();
        let mut notes = Vec::new();
        if !features.is_sorted() {
            notes.push("the columns are in another order than in training; names count".to_owned());
        }
        if !extra.is_empty() {
            notes.push(format!(
                "columns that training did not have are ignored: {}",
                extra.join(", ")
            ));
        }
        let target = place(&self.target.name);
        if features.len() != self.columns.len() || expected == 0 {
            return Err(Error::internal("columns were lost"));
        }
        Ok((Columns { features, target, lookups: lookups(self) }, notes))
    }

    /// Without names the places count; the target may be left out.
    fn by_place(&self, table: &Table) -> Result<(Columns, Vec<String>)> {
        let (found, expected) = (table.columns().len(), self.schema.columns.len());
        let features = || self.columns.iter().map(|column| column.column);
        let target = self.target.column;
        if found == expected {
            let columns = Columns {
                features: features().collect(),
                target: Some(target),
                lookups: lookups(self),
            };
            return Ok((columns, Vec::new()));
        }
        if found + 1 == expected {
            let features = features().map(|at| if at > target { at - 1 } else { at }).collect();
            let columns = Columns { features, target: None, lookups: lookups(self) };
            let note = format!("{found} columns: all of training but the target");
            return Ok((columns, vec![note]));
        }
        Err(Error::new(
            Code::Data,
            format!("{} has {found} columns where training had {expected}", table.name()),
        )
        .line("expected", format!("{expected} columns, or {} without the target", expected - 1))
        .help("the training file had no names of columns, so each has to be in its place"))
    }
}

/// An iterator over the pieces of a file, made by [`Encoder::encode_chunks`]. After an error it
/// ends.
pub struct EncodedParts {
    encoder: Encoder,
    columns: Columns,
    blocks: Blocks,
    file: String,
    notes: Vec<String>,
    failed: bool,
}

struct Part {
    rows: Vec<f32>,
    count: usize,
    first_row: usize,
    labels: Option<Labels>,
    report: Report,
}

impl EncodedParts {
    fn next_rows(&mut self) -> Result<Option<Part>> {
        let Some(block) = self.blocks.next() else { return Ok(None) };
        let block = block?;
        let mut rows = Vec::new();
        let mut report = Report { rows: block.rows, ..Report::default() };
        fill(&self.encoder, &self.columns, &block, &self.file, &mut rows, Some(&mut report))?;
        let labels = self.columns.target.and_then(|at| block.cells.get(at));
        let labels = labels.and_then(|cells| labels_of(&self.encoder, cells, &mut report));
        Ok(Some(Part { rows, count: block.rows, first_row: block.first_row, labels, report }))
    }

    fn targets(&self) -> Targets {
        Targets {
            file: self.file.clone(),
            target: self.encoder.target.name.clone(),
            classes: self.encoder.target.classes.clone(),
            scale: self.encoder.scale,
        }
    }
}

impl Iterator for EncodedParts {
    type Item = Result<Encoded>;

    fn next(&mut self) -> Option<Result<Encoded>> {
        if self.failed {
            return None;
        }
        let part = match self.next_rows() {
            Ok(None) => return None,
            Ok(Some(part)) => part,
            Err(error) => {
                self.failed = true;
                return Some(Err(error));
            }
        };
        if part.count == 0 {
            return self.next();
        }
        let mut report = part.report;
        if part.first_row == 0 {
            report.columns.clone_from(&self.notes);
        }
        let x = Array::new([part.count, self.encoder.features()], &part.rows);
        let (first_row, labels, targets) = (part.first_row, part.labels, self.targets());
        Some(x.map(|x| Encoded { x, first_row, labels, report, targets }))
    }
}

/// The targets of a block.
fn labels_of(encoder: &Encoder, cells: &Cells, report: &mut Report) -> Option<Labels> {
    match cells {
        Cells::Numbers { values, .. } => {
            let labels: Vec<Option<f64>> =
                values.iter().map(|v| v.is_finite().then_some(*v)).collect();
            report.unlabelled = labels.iter().filter(|label| label.is_none()).count();
            Some(Labels::Values(labels))
        }
        Cells::Words(words) => {
            let mut unknown = Unknown::new(&encoder.target.name);
            let classes: Vec<Option<usize>> = words
                .iter()
                .zip(&words.seen)
                .map(|(word, &(count, _))| {
                    let class = encoder.target.class_of(word);
                    if class.is_none() {
                        unknown.add(word, count as usize);
                    }
                    class
                })
                .collect();
            let label = |&code: &u32| classes.get(code as usize).copied().flatten();
            report.unlabelled = words.codes.iter().filter(|&&code| code == MISSING).count();
            report.unknown_classes = (unknown.rows > 0).then_some(unknown);
            Some(Labels::Classes(words.codes.iter().map(label).collect()))
        }
        Cells::Conflict => None,
    }
}

/// Encodes all rows of a block into `out`, one after the other.
pub(crate) fn fill(
    encoder: &Encoder,
    columns: &Columns,
    block: &Block,
    file: &str,
    out: &mut Vec<f32>,
    mut report: Option<&mut Report>,
) -> Result<()> {
    let width = encoder.features();
    out.clear();
    out.resize(block.rows * width, 0.0);
    let (mut next, mut next_id) = (0, encoder.dense());
    let places = columns.features.iter().zip(&columns.lookups);
    for (encoding, (&at, lookup)) in encoder.columns.iter().zip(places) {
        let place = match encoding.how {
            How::Ids { .. } => &mut next_id,
            _ => &mut next,
        };
        let offset = *place;
        *place += encoding.how.width();
        let cells = block.cells.get(at).unwrap_or(&Cells::Conflict);
        let mut writer = Writer { out, width, offset, imputed: 0, unknown: None };
        match (&encoding.how, cells) {
            (How::Number { scale, indicator }, Cells::Numbers { values, .. }) => {
                let bad = writer.numbers(values.iter().copied(), *scale, *indicator);
                if let Some(row) = bad {
                    let value = values.get(row).copied().unwrap_or(f64::NAN);
                    return Err(too_large(file, encoding, block.first_row + row, value));
                }
            }
            (How::Bool { scale, indicator }, Cells::Words(words)) => {
                let meaning = meanings(words);
                writer.look_for_unknown(encoding, words, |i, _| {
                    meaning.get(i).is_some_and(|m| !m.is_nan())
                });
                let value = |&code: &u32| meaning.get(code as usize).copied().unwrap_or(f64::NAN);
                writer.numbers(words.codes.iter().map(value), *scale, *indicator);
                writer.imputed = words.codes.iter().filter(|&&code| code == MISSING).count();
            }
            (How::OneHot { categories, missing }, Cells::Words(words)) => {
                let found = writer.look_up(encoding, words, lookup);
                writer.one_hot(words, &found, missing.then_some(categories.len()));
            }
            (How::Ids { categories, missing }, Cells::Words(words)) => {
                let found = writer.look_up(encoding, words, lookup);
                writer.ids(words, &found, missing.then_some(categories.len() + 1));
            }
            _ => return Err(Error::internal("a column changed its type")),
        }
        let Writer { imputed, unknown, .. } = writer;
        if let Some(report) = report.as_deref_mut() {
            if imputed > 0 {
                report.imputed.push((encoding.name.clone(), imputed));
            }
            report.unknown.extend(unknown);
        }
    }
    Ok(())
}

fn too_large(file: &str, encoding: &Encoding, row: usize, value: f64) -> Error {
    Error::new(
        Code::Data,
        format!(
            "{file}: `{}` is {value:e} in row {}, too far from training",
            encoding.name,
            row + 1
        ),
    )
    .line("column", format!("number {}", encoding.column + 1))
    .help("correct it, or leave it empty")
}

/// Writes one column of cells into rows of features.
struct Writer<'a> {
    out: &'a mut Vec<f32>,
    width: usize,
    offset: usize,
    imputed: usize,
    unknown: Option<Unknown>,
}

impl Writer<'_> {
    /// The row of the first value that is not finite afterwards.
    fn numbers(
        &mut self,
        values: impl Iterator<Item = f64>,
        scale: Option<Scale>,
        indicator: bool,
    ) -> Option<usize> {
        let mut bad = None;
        let at_flag = self.offset + usize::from(scale.is_some());
        for (row, (out, value)) in self.out.chunks_exact_mut(self.width).zip(values).enumerate() {
            let missing = value.is_nan();
            self.imputed += usize::from(missing);
            if let (Some(Scale { mean, std }), Some(slot)) = (scale, out.get_mut(self.offset)) {
                *slot = if missing { 0.0 } else { ((value - mean) / std) as f32 };
                if !slot.is_finite() && bad.is_none() {
                    bad = Some(row);
                }
            }
            if indicator && let Some(slot) = out.get_mut(at_flag) {
                *slot = f32::from(u8::from(missing));
            }
        }
        bad
    }

    /// Counts the words that `known` does not know.
    fn look_for_unknown(
        &mut self,
        encoding: &Encoding,
        words: &Words,
        known: impl Fn(usize, &str) -> bool,
    ) {
        let mut unknown = Unknown::new(&encoding.name);
        for (i, (word, &(count, _))) in words.iter().zip(&words.seen).enumerate() {
            if !known(i, word) {
                unknown.add(word, count as usize);
            }
        }
        self.unknown = (unknown.rows > 0).then_some(unknown);
    }

    /// The category of each word.
    fn look_up(
        &mut self,
        encoding: &Encoding,
        words: &Words,
        places: &HashMap<String, usize>,
    ) -> Vec<Option<usize>> {
        self.look_for_unknown(encoding, words, |_, word| places.contains_key(word));
        words.iter().map(|word| places.get(word).copied()).collect()
    }

    fn one_hot(&mut self, words: &Words, found: &[Option<usize>], missing: Option<usize>) {
        for (out, &code) in self.out.chunks_exact_mut(self.width).zip(&words.codes) {
            let place = match code {
                MISSING => missing,
                code => found.get(code as usize).copied().flatten(),
            };
            if let Some(slot) = place.and_then(|place| out.get_mut(self.offset + place)) {
                *slot = 1.0;
            }
        }
    }

    fn ids(&mut self, words: &Words, found: &[Option<usize>], missing: Option<usize>) {
        for (out, &code) in self.out.chunks_exact_mut(self.width).zip(&words.codes) {
            let id = match code {
                MISSING => missing.unwrap_or(0),
                code => found.get(code as usize).copied().flatten().map_or(0, |place| place + 1),
            };
            if let Some(slot) = out.get_mut(self.offset) {
                *slot = id as f32;
            }
        }
    }
}
