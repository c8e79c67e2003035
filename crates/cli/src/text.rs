//! Plain text on a screen: tables, small curves, wrapped paragraphs, readable numbers.

use std::fmt::Write as _;
use std::path::Path;

/// A table of text; numbers are best right-aligned.
pub(crate) struct Table {
    heads: Vec<String>,
    right: Vec<bool>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// Columns; a head that starts with `>` is right-aligned.
    pub(crate) fn new(heads: &[&str]) -> Table {
        Table {
            right: heads.iter().map(|h| h.starts_with('>')).collect(),
            heads: heads.iter().map(|h| h.trim_start_matches('>').to_string()).collect(),
            rows: Vec::new(),
        }
    }

    pub(crate) fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    fn widths(&self) -> Vec<usize> {
        let mut widths: Vec<usize> = self.heads.iter().map(|h| width(h)).collect();
        for row in &self.rows {
            for (w, cell) in widths.iter_mut().zip(row) {
                *w = (*w).max(width(cell));
            }
        }
        widths
    }

    /// Lines for a screen, each starting with `indent`.
    pub(crate) fn plain(&self, indent: &str) -> String {
        let widths = self.widths();
        let mut out = String::new();
        for row in std::iter::once(&self.heads).chain(&self.rows) {
            let mut line = indent.to_string();
            for ((cell, &w), &right) in row.iter().zip(&widths).zip(&self.right) {
                let pad = " ".repeat(w.saturating_sub(width(cell)));
                let (before, after) =
                    if right { (pad, String::new()) } else { (String::new(), pad) };
                let _ = write!(line, "{before}{cell}{after}  ");
            }
            out.push_str(line.trim_end());
            out.push('\n');
        }
        out
    }

    /// A Markdown table.
    pub(crate) fn markdown(&self) -> String {
        let mut out = format!("| {} |\n|", self.heads.join(" | "));
        for &right in &self.right {
            out.push_str(if right { "---:|" } else { "---|" });
        }
        out.push('\n');
        for row in &self.rows {
            let cells: Vec<String> = row.iter().map(|c| c.replace('|', "\\|")).collect();
            let _ = writeln!(out, "| {} |", cells.join(" | "));
        }
        out
    }
}

fn width(text: &str) -> usize {
    text.chars().count()
}

/// A curve in one line, from low to high; long series are averaged into `columns` points.
pub(crate) fn sparkline(values: &[f64], columns: usize) -> String {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let points = columns.max(1).min(values.len());
    let mean = |i: usize| {
        let (from, to) = (i * values.len() / points, (i + 1) * values.len() / points);
        let part = values.get(from..to).unwrap_or(&[]);
        part.iter().sum::<f64>() / part.len().max(1) as f64
    };
    let means: Vec<f64> = (0..points).map(mean).collect();
    let finite = || means.iter().copied().filter(|v| v.is_finite());
    let (low, high) = (finite().fold(f64::MAX, f64::min), finite().fold(f64::MIN, f64::max));
    means
        .iter()
        .map(|&v| {
            if !v.is_finite() {
                return '!';
            }
            let at = if high > low { (v - low) / (high - low) * 7.0 } else { 0.0 };
            BARS.get(at.round() as usize).copied().unwrap_or(' ')
        })
        .collect()
}

/// Breaks a paragraph into lines of at most `columns` characters.
pub(crate) fn wrap(text: &str, columns: usize, indent: &str) -> String {
    let mut out = String::new();
    let mut line = indent.to_string();
    for word in text.split_whitespace() {
        if width(&line) + 1 + width(word) > columns && width(&line) > width(indent) {
            out.push_str(line.trim_end());
            out.push('\n');
            line = indent.to_string();
        }
        line.push_str(word);
        line.push(' ');
    }
    out.push_str(line.trim_end());
    out.push('\n');
    out
}

/// A word and what belongs to it, in the two columns of all our screens.
pub(crate) fn labelled(label: &str, text: &str) -> String {
    format!("{label:<7} {text}").trim_end().to_string()
}

/// 1234567 as `1,234,567`.
pub(crate) fn thousands(n: usize) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

/// "1 thread", "2 threads".
pub(crate) fn threads(n: usize) -> String {
    if n == 1 { "1 thread".to_string() } else { format!("{n} threads") }
}

/// A path as it can be typed in a shell.
pub(crate) fn path(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_alphanumeric() || "/._-+,:@%=~\\".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text;
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// A number of bytes, as `1.4 MB`.
pub(crate) fn bytes(n: u64) -> String {
    match n as f64 {
        b if b < 1e3 => format!("{n} B"),
        b if b < 1e6 => format!("{:.1} kB", b / 1e3),
        b if b < 1e9 => format!("{:.1} MB", b / 1e6),
        b => format!("{:.1} GB", b / 1e9),
    }
}

/// A time, as `0.82 s` or `3 min 20 s`.
pub(crate) fn seconds(s: f64) -> String {
    if s < 10.0 {
        return format!("{s:.2} s");
    }
    let whole = s.round() as u64;
    match (whole / 3600, whole / 60 % 60, whole % 60) {
        (0, 0, _) => format!("{s:.1} s"),
        (0, m, s) => format!("{m} min {s} s"),
        (h, m, _) => format!("{h} h {m} min"),
    }
}

/// A number with about four digits that count.
pub(crate) fn short(v: f64) -> String {
    match v.abs() {
        0.0 => "0".to_string(),
        a if (1e-3..1e4).contains(&a) => format!("{v:.4}"),
        _ => format!("{v:.3e}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_aligned() {
        let mut table = Table::new(&["name", ">n"]);
        table.row(vec!["a".into(), "10".into()]);
        table.row(vec!["long|er".into(), "7".into()]);
        assert_eq!(table.plain("  "), "  name      n\n  a        10\n  long|er   7\n");
        let markdown = table.markdown();
        assert!(markdown.starts_with("| name | n |\n|---|---:|\n"), "{markdown}");
        assert!(markdown.contains("long\\|er"), "{markdown}");
    }

    #[test]
    fn a_sparkline_goes_from_low_to_high() {
        assert_eq!(sparkline(&[0.0, 7.0], 10), "▁█");
        assert_eq!(sparkline(&[1.0, 1.0], 10), "▁▁");
        assert_eq!(sparkline(&[], 10), "");
        assert_eq!(sparkline(&[1.0, f64::NAN], 10), "▁!");
        assert_eq!(sparkline(&[0.0; 100], 20).chars().count(), 20);
    }

    #[test]
    fn paths_can_be_typed() {
        assert_eq!(path(Path::new("runs/digits-1")), "runs/digits-1");
        assert_eq!(path(Path::new("my runs/a'b")), "'my runs/a'\\''b'");
    }

    #[test]
    fn numbers_are_readable() {
        assert_eq!((thousands(7), thousands(1234567)), ("7".into(), "1,234,567".into()));
        assert_eq!((bytes(999), bytes(1_400_000)), ("999 B".into(), "1.4 MB".into()));
        assert_eq!((seconds(0.823), seconds(200.0)), ("0.82 s".into(), "3 min 20 s".into()));
        assert_eq!(seconds(3700.0), "1 h 1 min");
        assert_eq!(wrap("aa bb cc", 6, ""), "aa bb\ncc\n");
    }
}
