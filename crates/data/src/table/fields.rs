//! Records and cells in bytes: the only place that knows separators, quotes and ends of lines.
//!
//! A record ends at a newline outside quotes; `\r` before it belongs to it. A cell is quoted when
//! its first byte, after spaces, is `"`; inside, `""` is one quote. A quote elsewhere is an
//! ordinary character. Spaces and tabs around a cell do not belong to it.

use std::borrow::Cow;

/// The bytes that cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cut {
    /// A space stands for runs of spaces and tabs.
    pub(crate) separator: u8,
    pub(crate) newline: u8,
}

impl Cut {
    pub(crate) fn name(self) -> String {
        match self.separator {
            b' ' => "spaces".to_owned(),
            b'\t' => "tabs".to_owned(),
            other => format!("`{}`", char::from(other)),
        }
    }

    #[inline]
    fn blanks(self) -> bool {
        self.separator == b' '
    }

    /// Whether a byte may be dropped around a cell.
    #[inline]
    fn is_padding(self, byte: u8) -> bool {
        (byte == b' ' || byte == b'\t') && byte != self.separator
    }
}

/// A cell as it lies in the file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Field<'a> {
    /// Without quotes and without spaces around.
    pub(crate) raw: &'a [u8],
    /// Whether `raw` has doubled quotes.
    pub(crate) escaped: bool,
}

impl<'a> Field<'a> {
    pub(crate) fn text(self) -> Cow<'a, [u8]> {
        if !self.escaped {
            return Cow::Borrowed(self.raw);
        }
        let mut text = Vec::with_capacity(self.raw.len());
        let mut bytes = self.raw.iter();
        while let Some(&byte) = bytes.next() {
            text.push(byte);
            if byte == b'"' {
                bytes.next();
            }
        }
        Cow::Owned(text)
    }
}

/// What is wrong with quotes, and at which byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum QuoteFault {
    /// Opened here and never closed.
    Unclosed(usize),
    /// Something other than a separator follows a closing quote.
    Trailing(usize),
}

/// Blank lines that were skipped, and whether the bytes ended.
pub(crate) struct Skipped {
    pub(crate) lines: usize,
    pub(crate) is_end: bool,
}

/// Walks over the cells of some bytes that start at a record.
pub(crate) struct Fields<'a> {
    bytes: &'a [u8],
    at: usize,
    cut: Cut,
}

impl<'a> Fields<'a> {
    pub(crate) fn new(bytes: &'a [u8], cut: Cut) -> Fields<'a> {
        Fields { bytes, at: 0, cut }
    }

    pub(crate) fn position(&self) -> usize {
        self.at
    }

    pub(crate) fn at_end(&self) -> bool {
        self.at >= self.bytes.len()
    }

    /// What has not been read yet.
    #[inline]
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or(&[])
    }

    /// At the start of a record: goes over lines with nothing but spaces.
    #[inline]
    pub(crate) fn skip_blank_lines(&mut self) -> Skipped {
        let mut lines = 0;
        loop {
            let rest = self.rest();
            let blank = rest.iter().take_while(|&&b| {
                (b == b' ' || b == b'\r' || (b == b'\t' && self.cut.separator != b'\t'))
                    && b != self.cut.newline
            });
            let padding = blank.count();
            match rest.get(padding) {
                None => {
                    lines += usize::from(padding > 0);
                    self.at = self.bytes.len();
                    return Skipped { lines, is_end: true };
                }
                Some(&b) if b == self.cut.newline => {
                    lines += 1;
                    self.at += padding + 1;
                }
                Some(_) => return Skipped { lines, is_end: false },
            }
        }
    }

    /// If a cell of `used` bytes is followed directly by a separator or an end of line, goes past
    /// it, hands its text to `with`, and says whether the record ended. For callers that parse
    /// `rest` themselves.
    #[inline]
    pub(crate) fn spelled(&mut self, used: usize, with: impl FnOnce(&[u8])) -> Option<bool> {
        let from = self.at;
        let ended = self.finish(used)?;
        with(self.bytes.get(from..from + used).unwrap_or(&[]));
        Some(ended)
    }

    #[inline]
    fn finish(&mut self, used: usize) -> Option<bool> {
        let at = self.at + used;
        match self.bytes.get(at) {
            Some(&b) if b == self.cut.separator && !self.cut.blanks() => {
                self.at = at + 1;
                Some(false)
            }
            Some(&b) if b == self.cut.newline => {
                self.at = at + 1;
                Some(true)
            }
            Some(b'\r') if self.bytes.get(at + 1) == Some(&b'\n') && self.cut.newline == b'\n' => {
                self.at = at + 2;
                Some(true)
            }
            None => {
                self.at = at;
                Some(true)
            }
            Some(_) => None,
        }
    }

    /// The next cell, and whether its record ends with it.
    pub(crate) fn next_field(&mut self) -> Result<(Field<'a>, bool), QuoteFault> {
        let rest = self.rest();
        let blanks = self.cut.blanks();
        let skipped =
            rest.iter().take_while(|&&b| self.cut.is_padding(b) || (blanks && b == b' ')).count();
        if rest.get(skipped) == Some(&b'"') {
            self.at += skipped;
            return self.quoted();
        }
        let (separator, newline) = (self.cut.separator, self.cut.newline);
        let body = rest.get(skipped..).unwrap_or(&[]);
        let end = |b: &u8| *b == separator || *b == newline || (blanks && *b == b'\t');
        let length = body.iter().position(end).unwrap_or(body.len());
        let mut raw = body.get(..length).unwrap_or(&[]);
        self.at += skipped + length;
        let ended = self.end_of_field();
        if ended && let Some(shorter) = raw.strip_suffix(b"\r") {
            raw = shorter;
        }
        while let Some((&last, shorter)) = raw.split_last() {
            if !self.cut.is_padding(last) {
                break;
            }
            raw = shorter;
        }
        Ok((Field { raw, escaped: false }, ended))
    }

    /// Goes past what follows a cell: a separator, a newline, or the end.
    fn end_of_field(&mut self) -> bool {
        let rest = self.rest();
        if self.cut.blanks() {
            // A run of blanks is one separator, and none before the end of a line.
            let run = rest.iter().take_while(|&&b| b == b' ' || b == b'\t').count();
            self.at += run;
            let after = rest.get(run..).unwrap_or(&[]);
            let line_end = match after.first() {
                None => 0,
                Some(&b) if b == self.cut.newline => 1,
                Some(b'\r') if after.get(1) == Some(&b'\n') => 2,
                Some(_) => return false,
            };
            self.at += line_end;
            return true;
        }
        match rest.first() {
            Some(&b) if b == self.cut.separator => {
                self.at += 1;
                false
            }
            Some(_) => {
                self.at += 1;
                true
            }
            None => true,
        }
    }

    fn quoted(&mut self) -> Result<(Field<'a>, bool), QuoteFault> {
        let opened = self.at;
        let start = opened + 1;
        let Some((length, escaped)) = quoted_length(self.bytes.get(start..).unwrap_or(&[])) else {
            return Err(QuoteFault::Unclosed(opened));
        };
        let raw = self.bytes.get(start..start + length).unwrap_or(&[]);
        let mut at = start + length + 1;
        while self.bytes.get(at).is_some_and(|&b| self.cut.is_padding(b)) {
            at += 1;
        }
        let carriage = self.bytes.get(at) == Some(&b'\r') && self.cut.newline == b'\n';
        if carriage && matches!(self.bytes.get(at + 1), None | Some(b'\n')) {
            at += 1;
        }
        self.at = at;
        match self.bytes.get(at) {
            None => {}
            Some(&b) if b == self.cut.separator || b == self.cut.newline => {}
            Some(b'\t') if self.cut.blanks() => {}
            Some(_) => return Err(QuoteFault::Trailing(at)),
        }
        Ok((Field { raw, escaped }, self.end_of_field()))
    }
}

/// Bytes up to the closing quote of text that starts after an opening one, and whether there are
/// doubled quotes between; `None` if it is not closed.
fn quoted_length(text: &[u8]) -> Option<(usize, bool)> {
    let (mut at, mut escaped) = (0, false);
    loop {
        at += memchr::memchr(b'"', text.get(at..)?)?;
        if text.get(at + 1) != Some(&b'"') {
            return Some((at, escaped));
        }
        escaped = true;
        at += 2;
    }
}

/// The end of the last whole record in bytes that start at a record; `None` if there is none.
/// `last` is the place of a quote that is still open, if there is one.
pub(crate) fn last_record_end(bytes: &[u8], cut: Cut) -> (Option<usize>, Option<usize>) {
    if memchr::memchr(b'"', bytes).is_none() {
        return (memchr::memrchr(cut.newline, bytes).map(|at| at + 1), None);
    }
    let (mut at, mut end) = (0, None);
    while let Some(found) = memchr::memchr2(b'"', cut.newline, bytes.get(at..).unwrap_or(&[])) {
        let here = at + found;
        at = here + 1;
        if bytes.get(here) != Some(&b'"') {
            end = Some(at);
            continue;
        }
        let before = bytes.get(..here).unwrap_or(&[]).iter().rev();
        let opens = match before.copied().find(|&b| !cut.is_padding(b)) {
            None => true,
            Some(b) => b == cut.separator || b == cut.newline || (cut.blanks() && b == b'\t'),
        };
        if opens {
            match quoted_length(bytes.get(at..).unwrap_or(&[])) {
                Some((length, _)) => at += length + 1,
                None => return (end, Some(here)),
            }
        }
    }
    (end, None)
}
