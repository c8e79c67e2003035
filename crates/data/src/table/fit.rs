//! From a task to datasets: split, fit on the training rows, encode all rows.
//!
//! Whoever wants an [`Encoder`] has to come through here, where the split comes first. So nothing
//! of a validation or test row can get into a mean or a list of categories.

use std::collections::HashMap;

use gradus_core::{Array, Code, DType, Error, Result};

use crate::dataset::Dataset;
use crate::disk::RowWriter;
use crate::table::block::{Block, Cells, MISSING, Words};
use crate::table::encode::{Columns, fill};
use crate::table::encoder::{Encoder, Encoding, How, Scale};
use crate::table::number::yes_or_no;
use crate::table::options::Storage;
use crate::table::schema::{Kind, Role};
use crate::table::source::{cannot_spool, temporary};
use crate::table::target::{Values, sort_words};
use crate::table::task::{Parts, Prepared, Task, TaskKind};

impl Task {
    /// Splits the rows (seeded; classes in proportion, as in [`Dataset::split3`]), fits an
    /// [`Encoder`] on the training rows, and encodes all rows with it.
    ///
    /// The rows are kept in memory, or, as [`ReadOptions::storage`](crate::table::ReadOptions)
    /// says, in a temporary file that is read at random; the bits are the same. On disk a table
    /// still needs about 80 bytes of memory a row at most, for its target and its places in orders.
    ///
    /// # Errors
    /// [`Code::Argument`] for fractions that leave a part empty, [`Code::Data`] for numbers whose
    /// spread f64 cannot hold, [`Code::Io`] when the file changed or a temporary file cannot be
    /// written.
    pub fn prepare(&self, parts: Parts, seed: u64) -> Result<Prepared> {
        let (train, valid, test) = self.split(parts, seed)?;
        let mut mask = vec![false; self.table.rows()];
        for &at in &train {
            if let Some(slot) = mask.get_mut(self.labels.row(at)) {
                *slot = true;
            }
        }
        let (encoder, notes) = self.fit(&mask, &train)?;
        drop(mask);
        let all = self.encode_all(&encoder)?;
        let name = self.table.name();
        let part = |rows: &[usize], what: &str| -> Result<Dataset> {
            Ok(all.subset(rows)?.with_name(format!("{name}/{what}")))
        };
        let held = |rows: &Option<Vec<usize>>, what: &str| -> Result<Option<Dataset>> {
            rows.as_ref().map(|rows| part(rows, what)).transpose()
        };
        Ok(Prepared {
            train: part(&train, "train")?,
            valid: held(&valid, "valid")?,
            test: held(&test, "test")?,
            encoder,
            notes,
        })
    }

    /// Rows (counted among those with a target) of the three parts.
    #[allow(clippy::type_complexity)] // once, and private
    fn split(
        &self,
        parts: Parts,
        seed: u64,
    ) -> Result<(Vec<usize>, Option<Vec<usize>>, Option<Vec<usize>>)> {
        // The targets alone are a dataset, which is split as any other is.
        let targets = self.labels.values.array((0.0, 1.0))?;
        let targets = Dataset::from_pixels([1], vec![0; self.labels.len()], targets)?
            .with_name(self.table.name());
        let rows = |data: &Dataset| data.indices().collect::<Vec<_>>();
        let Parts { valid, test } = parts;
        Ok(match (valid == 0.0, test == 0.0) {
            (true, true) => (rows(&targets), None, None),
            (true, false) | (false, true) => {
                let held = valid + test;
                let (train, other) = targets.split(1.0 - held, seed)?;
                let other = Some(rows(&other));
                if valid == 0.0 { (rows(&train), None, other) } else { (rows(&train), other, None) }
            }
            (false, false) => {
                let (train, valid, test) = targets.split3(valid, test, seed)?;
                (rows(&train), Some(rows(&valid)), Some(rows(&test)))
            }
        })
    }

    /// An encoder from the rows in the mask. `train` lists the same rows among those with a target.
    fn fit(&self, mask: &[bool], train: &[usize]) -> Result<(Encoder, Vec<String>)> {
        let mut fits: Vec<(usize, Fit)> = Vec::new();
        for (at, column) in self.schema.columns.iter().enumerate() {
            let fit = match &column.role {
                Role::Target | Role::LeftOut { .. } => continue,
                Role::Number { .. } if column.info.kind == Kind::Bool => Fit::Bool(Moments::new()),
                Role::Number { .. } => Fit::Number(Moments::new()),
                Role::OneHot { .. } | Role::Ids { .. } => Fit::Category(Counts::default()),
            };
            fits.push((at, fit));
        }
        for block in self.table.blocks(&self.types)? {
            let block = block?;
            let end = block.first_row + block.rows;
            let rows = mask.get(block.first_row..end).unwrap_or(&[]);
            for (at, fit) in &mut fits {
                let cells = block.cells.get(*at).unwrap_or(&Cells::Conflict);
                fit.add(cells, rows)?;
            }
        }
        let mut schema = self.schema.clone();
        let (mut notes, mut columns) = (Vec::new(), Vec::new());
        for (at, fit) in fits {
            let Some(column) = schema.columns.get_mut(at) else { continue };
            let name = column.info.name.clone();
            let how = fit.finish(&name, &self.options, &mut notes)?;
            column.role = match &how {
                How::Number { scale: None, indicator: false }
                | How::Bool { scale: None, indicator: false } => {
                    Role::LeftOut { why: "the same value in every training row".to_owned() }
                }
                How::Number { indicator, .. } | How::Bool { indicator, .. } => {
                    Role::Number { indicator: *indicator }
                }
                How::OneHot { .. } if how.width() < 2 => {
                    Role::LeftOut { why: "the same value in every training row".to_owned() }
                }
                How::OneHot { .. } => Role::OneHot { columns: how.width() },
                How::Ids { .. } => Role::Ids { count: how.ids().unwrap_or(0) },
            };
            if let Role::LeftOut { why } = &column.role {
                notes.push(format!("`{name}` is left out: {why}"));
            } else {
                columns.push(Encoding { name, column: at, how });
            }
        }
        if columns.is_empty() {
            return Err(Error::new(
                Code::Data,
                "no column is left to learn from: each has one value in all training rows",
            ));
        }
        let scale = self.target_scale(train, &mut notes)?;
        let encoder = Encoder {
            read: self.table.options().clone(),
            header: self.table.has_header(),
            schema,
            target: self.target.clone(),
            scale,
            columns,
        };
        Ok((encoder, notes))
    }

    /// Mean and standard deviation of a regression target; which classes have no training row.
    fn target_scale(&self, train: &[usize], notes: &mut Vec<String>) -> Result<(f64, f64)> {
        let name = &self.target.name;
        match &self.labels.values {
            Values::Classes(ids) => {
                let mut counts = vec![0usize; self.target.classes.len()];
                for id in train.iter().filter_map(|&at| ids.get(at)) {
                    if let Some(count) = counts.get_mut(*id as usize) {
                        *count += 1;
                    }
                }
                for (class, _) in self.target.classes.iter().zip(&counts).filter(|(_, n)| **n == 0)
                {
                    notes.push(format!("no training row has the class `{class}`: too few rows"));
                }
                Ok((0.0, 1.0))
            }
            Values::Numbers(values) => {
                // In the order of the file, so that the sum does not depend on the shuffle.
                let mut rows = train.to_vec();
                rows.sort_unstable();
                let mut moments = Moments::new();
                rows.iter().filter_map(|&at| values.get(at)).for_each(|&v| moments.add(v));
                match moments.scale(name)? {
                    Some(scale) => Ok((scale.mean, scale.std)),
                    None => Err(Error::new(
                        Code::Data,
                        format!("the target `{name}` has one value in all training rows"),
                    )
                    .help("use more rows, or another seed")),
                }
            }
        }
    }

    /// All rows with a target, in the order of the file.
    fn encode_all(&self, encoder: &Encoder) -> Result<Dataset> {
        let width = encoder.features();
        let count = self.labels.len();
        let columns = Columns::of_training(encoder);
        let targets = self.labels.values.array(encoder.scale)?;
        let options = self.table.options();
        let bytes = (count as u64).saturating_mul(4 * width as u64);
        let on_disk = match options.storage {
            Storage::Memory => false,
            Storage::Disk => true,
            Storage::Auto => bytes > options.memory_limit,
        };
        let mut sink = if on_disk {
            Sink::Disk(RowWriter::new(temporary(options)?, width))
        } else {
            Sink::memory(count, width)?
        };
        let mut kept = 0; // rows with a target so far
        let mut buffer = Vec::new();
        for block in self.table.blocks(&self.types)? {
            let block: &Block = &*block?;
            let end = block.first_row + block.rows;
            fill(encoder, &columns, block, self.table.name(), &mut buffer, None)?;
            if self.labels.rows.is_none() {
                sink.add(&buffer)?;
                kept += block.rows;
                continue;
            }
            while kept < count && self.labels.row(kept) < end {
                let at = (self.labels.row(kept) - block.first_row) * width;
                sink.add(buffer.get(at..at + width).unwrap_or(&[]))?;
                kept += 1;
            }
        }
        if kept != count {
            return Err(Error::internal("a table has other rows than it had"));
        }
        let data = match sink {
            Sink::Memory { rows, .. } => Dataset::from_arrays(rows, targets)?,
            Sink::Disk(writer) => {
                Dataset::from_disk(writer.finish().map_err(|e| cannot_spool(&e))?, targets)?
            }
        };
        match encoder.kind() {
            TaskKind::Classification => data.with_class_names(encoder.classes().to_vec()),
            TaskKind::Regression => Ok(data),
        }
    }
}

/// Where encoded rows go.
pub(crate) enum Sink {
    Memory { rows: Array, filled: usize },
    Disk(RowWriter),
}

impl Sink {
    pub(crate) fn memory(count: usize, width: usize) -> Result<Sink> {
        Ok(Sink::Memory { rows: Array::zeros([count, width], DType::F32)?, filled: 0 })
    }

    pub(crate) fn add(&mut self, new: &[f32]) -> Result<()> {
        match self {
            Sink::Memory { rows, filled } => {
                let end = *filled + new.len();
                match rows.make_mut::<f32>()?.get_mut(*filled..end) {
                    Some(slots) => slots.copy_from_slice(new),
                    None => return Err(Error::internal("a table has more rows than it had")),
                }
                *filled = end;
            }
            Sink::Disk(writer) => writer.add(new).map_err(|cause| cannot_spool(&cause))?,
        }
        Ok(())
    }
}

/// What is gathered of a column over the training rows.
enum Fit {
    Number(Moments),
    Bool(Moments),
    Category(Counts),
}

/// Mean and spread by Welford's method, over the rows in order.
struct Moments {
    count: u64,
    missing: u64,
    mean: f64,
    squares: f64,
    largest: f64,
}

#[derive(Default)]
struct Counts {
    words: HashMap<Box<str>, u64>,
    missing: u64,
    /// Rows whose word came when there were too many already.
    beyond: u64,
}

/// More different words than this are not counted; only the most frequent ones get an id.
const MOST_COUNTED: usize = 1 << 20;

impl Moments {
    fn new() -> Moments {
        Moments { count: 0, missing: 0, mean: 0.0, squares: 0.0, largest: 0.0 }
    }

    #[inline]
    fn add(&mut self, value: f64) {
        if value.is_nan() {
            self.missing += 1;
            return;
        }
        self.count += 1;
        let delta = value - self.mean;
        self.mean += delta / self.count as f64;
        self.squares += delta * (value - self.mean);
        self.largest = self.largest.max(value.abs());
    }

    /// `None` when all values are the same or there are none.
    fn scale(&self, name: &str) -> Result<Option<Scale>> {
        if self.count == 0 || self.squares == 0.0 {
            return Ok(None);
        }
        let std = (self.squares / self.count as f64).sqrt();
        if !std.is_finite() || !self.mean.is_finite() {
            return Err(Error::new(
                Code::Data,
                format!("the values of `{name}` are too large to be standardised"),
            )
            .line("largest", format!("{:e}", self.largest))
            .help("correct them, or leave the column out"));
        }
        // Values that differ in their last bits only.
        Ok((std > 0.0).then_some(Scale { mean: self.mean, std }))
    }
}

impl Fit {
    fn add(&mut self, cells: &Cells, rows: &[bool]) -> Result<()> {
        match (self, cells) {
            (Fit::Number(moments), Cells::Numbers { values, .. }) => {
                for (&value, _) in values.iter().zip(rows).filter(|(_, used)| **used) {
                    moments.add(value);
                }
            }
            (Fit::Bool(moments), Cells::Words(words)) => {
                let meaning = meanings(words);
                for (&code, _) in words.codes.iter().zip(rows).filter(|(_, used)| **used) {
                    moments.add(meaning.get(code as usize).copied().unwrap_or(f64::NAN));
                }
            }
            (Fit::Category(counts), Cells::Words(words)) => counts.add(words, rows),
            _ => return Err(Error::internal("a column changed its type")),
        }
        Ok(())
    }

    fn finish(
        self,
        name: &str,
        options: &crate::table::task::TaskOptions,
        notes: &mut Vec<String>,
    ) -> Result<How> {
        Ok(match self {
            Fit::Number(m) => How::Number { scale: m.scale(name)?, indicator: m.missing > 0 },
            Fit::Bool(m) => How::Bool { scale: m.scale(name)?, indicator: m.missing > 0 },
            Fit::Category(counts) => counts.finish(name, options, notes),
        })
    }
}

/// 1 for yes, 0 for no, NaN for another word.
pub(crate) fn meanings(words: &Words) -> Vec<f64> {
    words
        .iter()
        .map(|word| yes_or_no(word).map_or(f64::NAN, |yes| f64::from(u8::from(yes))))
        .collect()
}

impl Counts {
    fn add(&mut self, words: &Words, rows: &[bool]) {
        let mut counts = vec![0u64; words.seen.len()];
        for (&code, _) in words.codes.iter().zip(rows).filter(|(_, used)| **used) {
            match counts.get_mut(code as usize) {
                Some(count) => *count += 1,
                None if code == MISSING => self.missing += 1,
                None => {}
            }
        }
        for (word, count) in words.iter().zip(counts).filter(|(_, count)| *count > 0) {
            let full = self.words.len() >= MOST_COUNTED;
            match self.words.get_mut(word) {
                Some(total) => *total += count,
                None if full => self.beyond += count,
                None => {
                    self.words.insert(word.into(), count);
                }
            }
        }
    }

    fn finish(
        self,
        name: &str,
        options: &crate::table::task::TaskOptions,
        notes: &mut Vec<String>,
    ) -> How {
        let missing = self.missing > 0;
        let distinct = self.words.len();
        if distinct <= options.one_hot_limit {
            let words: Vec<Box<str>> = self.words.into_keys().collect();
            return How::OneHot { categories: sort_words(&words).0, missing };
        }
        let mut order: Vec<(Box<str>, u64)> = self.words.into_iter().collect();
        order.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        let rest: u64 = order.iter().skip(options.max_categories).map(|(_, count)| count).sum();
        if distinct > options.max_categories || self.beyond > 0 {
            notes.push(format!(
                "`{name}` has {distinct} categories: the {} most frequent are kept, the others \
                 ({} training rows) are unknown",
                options.max_categories,
                rest + self.beyond
            ));
        }
        order.truncate(options.max_categories);
        let categories = order.into_iter().map(|(word, _)| word.into()).collect();
        How::Ids { categories, missing }
    }
}
