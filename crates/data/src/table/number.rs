//! What one cell means: a number, a missing value, a date, a yes or no.

use std::collections::HashSet;

use crate::table::options::ReadOptions;

/// The number that a whole cell is, possibly infinite (`inf`, `1e999`); `None` for other text.
/// A decimal number with an optional exponent; no thousands separators, no hexadecimal.
pub(crate) fn number(cell: &[u8], decimal_comma: bool) -> Option<f64> {
    if decimal_comma && cell.contains(&b',') {
        let mut copy = [0u8; 64];
        let copy = copy.get_mut(..cell.len())?;
        for (to, &from) in copy.iter_mut().zip(cell) {
            *to = match from {
                b',' => b'.',
                b'.' => return None,
                other => other,
            };
        }
        return number(copy, false);
    }
    let unsigned = match cell.split_first()? {
        (b'-' | b'+', rest) => rest,
        _ => cell,
    };
    match unsigned.first()? {
        b'0'..=b'9' => {}
        b'.' if unsigned.get(1).is_some_and(u8::is_ascii_digit) => {}
        b'i' | b'I' if is_infinity(unsigned) => {
            return Some(if cell.first() == Some(&b'-') {
                f64::NEG_INFINITY
            } else {
                f64::INFINITY
            });
        }
        _ => return None,
    }
    let value: f64 = fast_float2::parse(unsigned).ok()?;
    // `+ 0.0` makes one zero of two.
    Some(if cell.first() == Some(&b'-') { 0.0 - value } else { value + 0.0 })
}

fn is_infinity(text: &[u8]) -> bool {
    text.eq_ignore_ascii_case(b"inf") || text.eq_ignore_ascii_case(b"infinity")
}

/// The number at the start of `text` and how many bytes it takes, if it starts with a plain one.
#[inline]
pub(crate) fn leading_number(text: &[u8]) -> Option<(f64, usize)> {
    let (negative, unsigned) = match text.split_first()? {
        (b'-', rest) => (true, rest),
        _ => (false, text),
    };
    if !unsigned.first()?.is_ascii_digit() {
        return None;
    }
    let (value, used) = fast_float2::parse_partial::<f64, _>(unsigned).ok()?;
    Some(if negative { (0.0 - value, used + 1) } else { (value, used) })
}

/// The words for a missing value.
pub(crate) struct Missing {
    words: HashSet<Vec<u8>>,
    longest: usize,
}

impl Missing {
    pub(crate) fn new(options: &ReadOptions) -> Missing {
        let words: HashSet<Vec<u8>> =
            options.missing.iter().map(|word| word.trim().as_bytes().to_vec()).collect();
        let longest = words.iter().map(Vec::len).max().unwrap_or(0);
        Missing { words, longest }
    }

    /// Whether a cell, without spaces around it, is missing.
    #[inline]
    pub(crate) fn has(&self, cell: &[u8]) -> bool {
        cell.is_empty() || (cell.len() <= self.longest && self.words.contains(cell))
    }
}

/// Whether text is a date, a date with a time, or a time: `2024-05-31`, `2024-05-31T12:00:00Z`,
/// `31/05/2024`, `5/31/24`, `31.05.2024`, `12:30:05.5`.
pub(crate) fn is_date(text: &str) -> bool {
    let mut parts = text.splitn(2, ['T', ' ']);
    let first = parts.next().unwrap_or("");
    match parts.next() {
        None => is_day(first) || is_time(first),
        Some(time) => is_day(first) && is_time(time.trim_start()),
    }
}

fn is_day(text: &str) -> bool {
    for separator in ['-', '/', '.'] {
        let parts: Vec<&str> = text.split(separator).collect();
        let [a, b, c] = parts.as_slice() else { continue };
        let numbers = [*a, *b, *c].map(|part| {
            let digits = !part.is_empty() && part.len() <= 4;
            if digits && part.bytes().all(|b| b.is_ascii_digit()) {
                part.parse().ok()
            } else {
                None
            }
        });
        let [Some(x), Some(y), Some(z)] = numbers.map(|n: Option<u32>| n) else { continue };
        let day_and_month =
            |p: u32, q: u32| (1..=31).contains(&p) && (1..=31).contains(&q) && (p <= 12 || q <= 12);
        let year_first = a.len() == 4 && (1..=12).contains(&y) && (1..=31).contains(&z);
        let year_last = (c.len() == 4 || c.len() == 2) && a.len() <= 2 && day_and_month(x, y);
        // `1.2.03` is more often a version than a date.
        if year_first || (year_last && (separator != '.' || c.len() == 4)) {
            return true;
        }
    }
    false
}

fn is_time(text: &str) -> bool {
    let text = text.trim_end_matches('Z').trim_end_matches(" UTC");
    // An offset such as +02:00.
    let text = match text.rfind(['+', '-']) {
        Some(at) if at > 0 => text.get(..at).unwrap_or(text),
        _ => text,
    };
    let parts: Vec<&str> = text.split(':').collect();
    if !(2..=3).contains(&parts.len()) {
        return false;
    }
    parts.iter().enumerate().all(|(i, part)| {
        let whole = if i == 2 { part.split('.').next().unwrap_or("") } else { part };
        let below = if i == 0 { 24 } else { 61 };
        (1..=2).contains(&whole.len())
            && whole.bytes().all(|b| b.is_ascii_digit())
            && whole.parse::<u32>().is_ok_and(|n| n < below)
            && part.bytes().all(|b| b.is_ascii_digit() || b == b'.')
    })
}

/// What a word such as `yes`, `F` or `TRUE` says; `None` for other words.
pub(crate) fn yes_or_no(word: &str) -> Option<bool> {
    match word.to_ascii_lowercase().as_str() {
        "true" | "t" | "yes" | "y" => Some(true),
        "false" | "f" | "no" | "n" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_decimal() {
        for (text, value) in [
            ("1", 1.0),
            ("-1.5", -1.5),
            ("+2", 2.0),
            (".5", 0.5),
            ("5.", 5.0),
            ("1e3", 1000.0),
            ("-1E-2", -0.01),
            ("007", 7.0),
            ("123456789012345678", 123_456_789_012_345_678.0),
        ] {
            assert_eq!(number(text.as_bytes(), false), Some(value), "{text}");
        }
        assert_eq!(number(b"-0", false).map(f64::to_bits), Some(0.0f64.to_bits()));
        assert_eq!(number(b"1,5", true), Some(1.5));
        assert_eq!(number(b"1.5", true), Some(1.5));
        assert_eq!(number(b"-inf", false), Some(f64::NEG_INFINITY));
        assert_eq!(number(b"1e999", false), Some(f64::INFINITY));
        for text in
            ["", "-", "+", ".", "x", "1x", "0x10", "1,5", "1 2", "nan", "1_000", "--1", "e5"]
        {
            assert_eq!(number(text.as_bytes(), false), None, "{text}");
        }
        assert_eq!(number(b"1.000,5", true), None);
        assert_eq!(number(&[b'9'; 100], true), number(&[b'9'; 100], false));
    }

    #[test]
    fn a_leading_number_tells_its_length() {
        assert_eq!(leading_number(b"12.5,x"), Some((12.5, 4)));
        assert_eq!(leading_number(b"-3\n"), Some((-3.0, 2)));
        assert_eq!(leading_number(b"1e5;"), Some((1e5, 3)));
        for text in [&b""[..], b"-", b",1", b"inf", b"+1", b"abc"] {
            assert_eq!(leading_number(text), None);
        }
    }

    #[test]
    fn dates_and_times() {
        for text in [
            "2024-05-31",
            "2024-05-31T12:00:00Z",
            "2024-05-31 12:00",
            "2024-05-31T12:00:00.123+02:00",
            "2024/5/31",
            "31/05/2024",
            "5/31/24",
            "31.05.2024",
            "12:30",
            "23:59:59.5",
        ] {
            assert!(is_date(text), "{text}");
        }
        for text in
            ["", "2024", "1.2.3", "2024-13-01", "99/99/2024", "25:00", "a-b-c", "1-2", "NEAR BAY"]
        {
            assert!(!is_date(text), "{text}");
        }
    }
}
