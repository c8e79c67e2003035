//! What all rows of a column have in common: the facts that a schema is inferred from.
//!
//! Blocks are added in order, and no result depends on where they were cut.

use std::collections::HashMap;

use crate::table::block::{Cells, Words};
use crate::table::few::Few;
use crate::table::number::{is_date, number, yes_or_no};
use crate::table::schema::{ColumnInfo, Kind};

/// More different words than this are not told apart; what is known of the column by then decides.
const MOST_WORDS: usize = 1 << 17;
/// A column with at least this share of numbers is one of numbers with mistakes in it.
const MOSTLY: f64 = 0.9;
/// Rows from which numbers that count 1, 2, 3 are numbers of rows.
const COUNTING: usize = 10;

#[derive(Clone, Debug, Default)]
pub(crate) struct Stats {
    rows: usize,
    missing: usize,
    decimal_comma: bool,
    numbers: Option<NumberStats>,
    words: Option<WordStats>,
}

#[derive(Clone, Debug)]
struct NumberStats {
    min: f64,
    max: f64,
    integers: bool,
    /// Whether each value is the one before plus one.
    counts: bool,
    last: Option<f64>,
    few: Few,
    infinite: Option<(usize, f64)>,
}

#[derive(Clone, Debug)]
struct WordStats {
    /// Rows of each word, and the first of them.
    seen: HashMap<Box<str>, (u64, usize)>,
    /// Rows with a word when there were too many words; 0 before.
    full_at: usize,
    dates: bool,
    yes_no: bool,
    /// Rows whose word is a number, and how many different ones.
    numbers: usize,
    number_words: usize,
    /// One of them is not a whole number, so they are measurements and not codes.
    fractions: bool,
    first_text: Option<(usize, String)>,
}

impl Stats {
    pub(crate) fn new(decimal_comma: bool) -> Stats {
        Stats { decimal_comma, ..Stats::default() }
    }

    pub(crate) fn add(&mut self, cells: &Cells, first_row: usize) {
        match cells {
            Cells::Numbers { values, few } => {
                let numbers = self.numbers.get_or_insert_with(NumberStats::new);
                self.rows += values.len();
                self.missing += numbers.add(values, few, first_row);
            }
            Cells::Words(words) => {
                let before = self.rows - self.missing;
                self.rows += words.codes.len();
                let present = words.seen.iter().map(|&(count, _)| count as usize).sum::<usize>();
                self.missing += words.codes.len() - present;
                let stats = self.words.get_or_insert_with(WordStats::new);
                stats.add(words, first_row, before, self.decimal_comma);
            }
            Cells::Conflict => {}
        }
    }

    /// Public facts about the column.
    pub(crate) fn info(&self, name: &str) -> ColumnInfo {
        let present = self.rows - self.missing;
        let mut info = ColumnInfo {
            name: name.to_owned(),
            kind: Kind::Empty,
            rows: self.rows,
            missing: self.missing,
            distinct: Some(0),
            range: None,
            integers: false,
            examples: Vec::new(),
        };
        if let (Some(numbers), true) = (&self.numbers, present > 0) {
            let finite = numbers.min.is_finite() && numbers.max.is_finite();
            info.range = finite.then_some((numbers.min, numbers.max));
            info.integers = numbers.integers;
            info.distinct = numbers.few.get().map(|few| few.len());
            info.kind = match info.distinct {
                Some(1) if self.missing == 0 => Kind::Constant,
                _ if numbers.counts && self.missing == 0 && self.rows >= COUNTING => {
                    Kind::RowNumber
                }
                _ => Kind::Number,
            };
            if let Some(few) = numbers.few.get() {
                info.examples = few.take(5).map(|(_, text)| text.to_owned()).collect();
            }
        } else if let (Some(words), true) = (&self.words, present > 0) {
            info.distinct = (words.full_at == 0).then_some(words.seen.len());
            info.kind = words.kind(present, self.missing);
            let mut order: Vec<(&str, usize)> =
                words.seen.iter().map(|(word, &(_, first))| (&**word, first)).collect();
            order.sort_by_key(|&(_, first)| first);
            info.examples = order.iter().take(5).map(|&(word, _)| shorten(word)).collect();
        }
        info
    }

    /// The first infinite number and its row.
    pub(crate) fn infinite(&self) -> Option<(usize, f64)> {
        self.numbers.as_ref()?.infinite
    }

    /// The few values of a column of numbers, with their spellings.
    pub(crate) fn few(&self) -> Option<Vec<(f64, String)>> {
        let few = self.numbers.as_ref()?.few.get()?;
        Some(few.map(|(value, text)| (value, text.to_owned())).collect())
    }

    /// For a column of both numbers and text: rows with numbers, and the first text with its row.
    pub(crate) fn first_text(&self) -> Option<(usize, usize, &str)> {
        let words = self.words.as_ref()?;
        let (row, text) = words.first_text.as_ref()?;
        Some((words.numbers, *row, text))
    }
}

impl NumberStats {
    fn new() -> NumberStats {
        NumberStats {
            min: f64::INFINITY,
            max: f64::NEG_INFINITY,
            integers: true,
            counts: true,
            last: None,
            few: Few::default(),
            infinite: None,
        }
    }

    /// Adds values; the number of missing ones.
    fn add(&mut self, values: &[f64], few: &Few, first_row: usize) -> usize {
        let mut missing = 0;
        for &value in values {
            missing += usize::from(value.is_nan());
            // Comparisons with NaN are false.
            self.min = if value < self.min { value } else { self.min };
            self.max = if value > self.max { value } else { self.max };
        }
        if self.integers {
            // 2^53: above it every double is an integer.
            let whole = |v: &f64| v.is_nan() || (v.trunc() == *v && v.abs() < 9.0e15);
            self.integers = values.iter().all(whole);
        }
        if self.counts {
            for &value in values {
                self.counts &= self.last.is_none_or(|last| value == last + 1.0);
                self.last = Some(value);
            }
        }
        if self.infinite.is_none() && (self.min == f64::NEG_INFINITY || self.max == f64::INFINITY) {
            let found = values.iter().position(|v| v.is_infinite());
            self.infinite = found.and_then(|at| Some((first_row + at, values.get(at).copied()?)));
        }
        self.few.merge(few);
        missing
    }
}

impl WordStats {
    fn new() -> WordStats {
        WordStats {
            seen: HashMap::new(),
            full_at: 0,
            dates: true,
            yes_no: true,
            numbers: 0,
            number_words: 0,
            fractions: false,
            first_text: None,
        }
    }

    fn add(&mut self, words: &Words, first_row: usize, present_before: usize, decimal_comma: bool) {
        let mut present = present_before;
        for (word, &(count, first)) in words.iter().zip(&words.seen) {
            present += count as usize;
            let row = first_row + first as usize;
            let full = self.seen.len() >= MOST_WORDS;
            let before = self.seen.len();
            match self.seen.get_mut(word) {
                Some((total, _)) => *total += u64::from(count),
                None if full => {
                    if self.full_at == 0 {
                        self.full_at = present.max(1);
                    }
                }
                None => {
                    self.seen.insert(word.into(), (u64::from(count), row));
                }
            }
            // Each is asked until one word says no.
            self.dates = self.dates && is_date(word);
            self.yes_no = self.yes_no && yes_or_no(word).is_some();
            if let Some(value) = number(word.as_bytes(), decimal_comma) {
                self.fractions |= value.fract() != 0.0;
                self.numbers += count as usize;
                self.number_words += self.seen.len() - before;
            } else if self.first_text.as_ref().is_none_or(|&(earlier, _)| row < earlier) {
                self.first_text = Some((row, shorten(word)));
            }
        }
    }

    fn kind(&self, present: usize, missing: usize) -> Kind {
        let distinct = self.seen.len();
        let both = || {
            let said = |answer| self.seen.keys().any(|word| yes_or_no(word) == Some(answer));
            said(true) && said(false)
        };
        if self.dates {
            Kind::Date
        } else if distinct == 1 && missing == 0 {
            Kind::Constant
        } else if self.yes_no && both() {
            Kind::Bool
        } else if self.is_mixed(present) {
            Kind::Mixed
        } else if self.is_free_text(present) {
            Kind::Text
        } else {
            Kind::Category
        }
    }

    /// A column of numbers with mistakes in it, not codes of which some happen to be numbers
    /// (`0`, `1`, `2`, `3+`): nearly all rows are numbers, and those are no whole numbers, or many,
    /// or the other rows very few.
    fn is_mixed(&self, present: usize) -> bool {
        let others = present - self.numbers.min(present);
        let nearly = self.numbers as f64 >= MOSTLY * present as f64;
        let many = self.fractions || self.number_words > 20 || 2 * self.number_words > self.numbers;
        let one = others == 1 && self.numbers >= 4;
        others > 0 && ((nearly && (many || others * 100 < present)) || (one && many))
    }

    /// Nearly all different: names, descriptions, identifiers. Nothing can be learned of a value
    /// that does not come back.
    fn is_free_text(&self, present: usize) -> bool {
        let (distinct, rows) = match self.full_at {
            0 => (self.seen.len(), present),
            rows => (MOST_WORDS, rows),
        };
        (distinct == rows && rows > 2) || (distinct > 16 && distinct * 2 >= rows)
    }
}

/// Text for a message.
pub(crate) fn shorten(text: &str) -> String {
    const MOST: usize = 40;
    let clean = |text: &str| text.replace(['\n', '\r', '\t'], " ");
    match text.char_indices().nth(MOST) {
        None => clean(text),
        Some((at, _)) => format!("{}...", clean(text.get(..at).unwrap_or(text))),
    }
}
