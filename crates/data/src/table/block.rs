//! A piece of a file as typed columns.
//!
//! A block is a run of whole records. Where a file is cut into blocks changes no result: what is
//! computed from blocks goes over their rows in order, or does not depend on the order.

use std::borrow::Cow;
use std::collections::HashMap;

use crate::table::dialect::Dialect;
use crate::table::few::Few;
use crate::table::fields::{Fields, QuoteFault};
use crate::table::number::{Missing, leading_number, number};

/// How the cells of a column are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Type {
    Number,
    Text,
}

/// The cells of one column in one block.
#[derive(Clone, Debug)]
pub(crate) enum Cells {
    /// NaN is a missing value; an infinity is one in the file.
    Numbers {
        values: Vec<f64>,
        few: Few,
    },
    Words(Words),
    /// Text was met where numbers were expected: the block has to be parsed again.
    Conflict,
}

/// Text cells: the different words once, and for each row which one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Words {
    text: String,
    ends: Vec<usize>,
    /// [`MISSING`] or the number of a word.
    pub(crate) codes: Vec<u32>,
    /// For each word in how many rows it is, and the first of them.
    pub(crate) seen: Vec<(u32, u32)>,
}

/// The code of a missing text.
pub(crate) const MISSING: u32 = u32::MAX;

impl Words {
    /// The words in order of their first row.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &str> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(from, &to)| self.text.get(from..to).unwrap_or(""))
    }

    pub(crate) fn bytes(&self) -> usize {
        self.text.capacity()
            + 8 * self.ends.capacity()
            + 4 * self.codes.capacity()
            + 8 * self.seen.capacity()
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Block {
    pub(crate) rows: usize,
    /// The row of the table, from 0, that is the first here; set by whoever puts blocks in order.
    pub(crate) first_row: usize,
    pub(crate) cells: Vec<Cells>,
    pub(crate) blank_lines: usize,
}

impl Block {
    /// Bytes of memory that the cells take.
    pub(crate) fn bytes(&self) -> usize {
        let size = |cells: &Cells| match cells {
            Cells::Numbers { values, few } => 8 * values.capacity() + few.bytes(),
            Cells::Words(words) => words.bytes(),
            Cells::Conflict => 0,
        };
        self.cells.iter().map(size).sum()
    }
}

/// Why a block cannot be parsed; places are bytes from its start.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Fault {
    Quote(QuoteFault),
    Ragged { at: usize, row: usize, found: usize },
    Encoding { at: usize, row: usize },
    TooLong { at: usize },
}

enum Builder<'a> {
    Numbers { values: Vec<f64>, few: Few },
    Words(WordsBuilder<'a>),
    Conflict,
}

struct WordsBuilder<'a> {
    codes: Vec<u32>,
    known: HashMap<Cow<'a, [u8]>, u32>,
    /// In order of the codes.
    order: Vec<Cow<'a, [u8]>>,
    seen: Vec<(u32, u32)>,
}

impl<'a> WordsBuilder<'a> {
    #[inline]
    fn push(&mut self, word: Cow<'a, [u8]>, row: usize) {
        if word.is_empty() {
            self.codes.push(MISSING);
            return;
        }
        // Equal cells often follow one another.
        if let Some(&last) = self.codes.last()
            && self.order.get(last as usize).is_some_and(|w| *w == word)
        {
            self.count(last);
            return;
        }
        if let Some(&code) = self.known.get(&word) {
            self.count(code);
            return;
        }
        let code = self.order.len() as u32;
        self.known.insert(word.clone(), code);
        self.order.push(word);
        self.seen.push((0, row as u32));
        self.count(code);
    }

    #[inline]
    fn count(&mut self, code: u32) {
        if let Some((count, _)) = self.seen.get_mut(code as usize) {
            *count += 1;
        }
        self.codes.push(code);
    }

    /// The finished column: words for missing values are taken out.
    fn finish(mut self, missing: &Missing) -> Words {
        let mut words = Words::default();
        let mut renumbered = Vec::with_capacity(self.order.len());
        for (word, seen) in self.order.iter().zip(&self.seen) {
            if missing.has(word) {
                renumbered.push(MISSING);
                continue;
            }
            renumbered.push(words.seen.len() as u32);
            words.seen.push(*seen);
            // The block was checked to be UTF-8.
            words.text.push_str(&String::from_utf8_lossy(word));
            words.ends.push(words.text.len());
        }
        if words.seen.len() != self.order.len() {
            for code in &mut self.codes {
                *code = renumbered.get(*code as usize).copied().unwrap_or(MISSING);
            }
        }
        words.codes = self.codes;
        words
    }
}

/// Parses a block of whole records. `types` has one entry a column.
pub(crate) fn parse(
    bytes: &[u8],
    dialect: &Dialect,
    types: &[Type],
    missing: &Missing,
) -> Result<Block, Fault> {
    if let Err(error) = std::str::from_utf8(bytes) {
        return Err(encoding_fault(bytes, dialect, error.valid_up_to()));
    }
    // A cell takes at least one byte, so that a line without end asks for no more.
    let room = likely_rows(bytes, dialect.cut.newline).min(bytes.len() / types.len().max(1) + 1);
    let mut builders: Vec<Builder> = types
        .iter()
        .map(|kind| match kind {
            Type::Number => {
                Builder::Numbers { values: Vec::with_capacity(room), few: Few::default() }
            }
            Type::Text => Builder::Words(WordsBuilder {
                codes: Vec::with_capacity(room),
                known: HashMap::new(),
                order: Vec::new(),
                seen: Vec::new(),
            }),
        })
        .collect();
    let mut fields = Fields::new(bytes, dialect.cut);
    let (mut row, mut blank_lines) = (0, 0);
    loop {
        let skipped = fields.skip_blank_lines();
        blank_lines += skipped.lines;
        if skipped.is_end {
            break;
        }
        let start = fields.position();
        let mut found = 0;
        let mut ended = false;
        for builder in &mut builders {
            if ended {
                break;
            }
            ended = cell(&mut fields, builder, dialect.decimal_comma, missing, row)
                .map_err(Fault::Quote)?;
            found += 1;
        }
        if !ended || found != builders.len() {
            while !ended {
                (_, ended) = fields.next_field().map_err(Fault::Quote)?;
                found += 1;
            }
            return Err(Fault::Ragged { at: start, row, found });
        }
        row += 1;
    }
    let cells = builders
        .into_iter()
        .map(|builder| match builder {
            Builder::Numbers { values, few } => Cells::Numbers { values, few },
            Builder::Words(words) => Cells::Words(words.finish(missing)),
            Builder::Conflict => Cells::Conflict,
        })
        .collect();
    Ok(Block { rows: row, first_row: 0, cells, blank_lines })
}

/// About the number of rows, from the first few, so that columns do not have to grow.
fn likely_rows(bytes: &[u8], newline: u8) -> usize {
    let head = bytes.get(..bytes.len().min(1 << 13)).unwrap_or(&[]);
    let lines = memchr::memchr_iter(newline, head).count().max(1);
    let rows = bytes.len() as f64 / head.len().max(1) as f64 * lines as f64;
    (rows * 1.05) as usize + 1
}

/// Reads one cell into a column; whether the record ended.
#[inline]
fn cell<'a>(
    fields: &mut Fields<'a>,
    builder: &mut Builder<'a>,
    decimal_comma: bool,
    missing: &Missing,
    row: usize,
) -> Result<bool, QuoteFault> {
    match builder {
        Builder::Numbers { values, few } => {
            // Most cells are a number and nothing else: no need to look for their end first.
            if let Some((value, used)) = leading_number(fields.rest())
                && let Some(ended) = fields.spelled(used, |text| few.add(value, text))
            {
                values.push(value);
                return Ok(ended);
            }
            let (field, ended) = fields.next_field()?;
            let text = field.text();
            if missing.has(&text) {
                values.push(f64::NAN);
            } else if let Some(value) = number(&text, decimal_comma) {
                few.add(value, &text);
                values.push(value);
            } else {
                *builder = Builder::Conflict;
            }
            Ok(ended)
        }
        Builder::Words(words) => {
            let (field, ended) = fields.next_field()?;
            words.push(field.text(), row);
            Ok(ended)
        }
        Builder::Conflict => Ok(fields.next_field()?.1),
    }
}

/// The row of the first byte that is not UTF-8.
fn encoding_fault(bytes: &[u8], dialect: &Dialect, at: usize) -> Fault {
    let mut fields = Fields::new(bytes, dialect.cut);
    let mut row = 0;
    while !fields.skip_blank_lines().is_end {
        loop {
            match fields.next_field() {
                Ok((_, false)) => {}
                Ok((_, true)) => break,
                Err(_) => return Fault::Encoding { at, row },
            }
        }
        if fields.position() > at {
            break;
        }
        row += 1;
    }
    Fault::Encoding { at, row }
}
