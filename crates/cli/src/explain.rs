//! `gradus explain`: what an error code means, in a paragraph.

use std::io::{self, Write};

use gradus::{Code, Error};

use crate::args::{ExplainArgs, nearest};
use crate::fail::Outcome;
use crate::json::Line;
use crate::text::{Table, wrap};

pub(crate) fn run(args: &ExplainArgs) -> Outcome {
    let mut out = io::BufWriter::new(io::stdout().lock());
    let codes = match &args.code {
        Some(word) => vec![parse(word)?],
        None => Code::ALL.to_vec(),
    };
    if args.json {
        for code in codes {
            let line = Line::new().with("code", code.name()).with("text", code.explain());
            writeln!(out, "{line}")?;
        }
    } else if args.code.is_some() {
        for code in codes {
            write!(out, "error[{}]\n\n{}", code.name(), wrap(code.explain(), 80, "  "))?;
        }
    } else {
        let mut table = Table::new(&["code", "in short"]);
        for code in codes {
            let text = code.explain();
            let first = text.split(['.', ';']).next().unwrap_or(text);
            let first = wrap(first, 72, "");
            let mut lines = first.lines();
            let line = lines.next().unwrap_or_default();
            let more = if lines.next().is_some() { " ..." } else { "" };
            table.row(vec![code.name().to_string(), format!("{line}{more}")]);
        }
        write!(out, "{}\n`gradus explain CODE` says more about one.\n", table.plain(""))?;
    }
    out.flush()?;
    Ok(())
}

/// A code as it is typed or pasted: `shape`, `error[shape]`, `Shape`, `nonfinite`.
fn parse(word: &str) -> Result<Code, Error> {
    let plain = word.trim().trim_end_matches(':').to_lowercase();
    let plain = plain.strip_prefix("error").unwrap_or(&plain);
    let plain = plain.trim_start_matches('[').trim_end_matches(']');
    let bare = |name: &str| name.replace(['-', '_', ' '], "");
    if let Some(code) = Code::ALL.into_iter().find(|c| bare(c.name()) == bare(plain)) {
        return Ok(code);
    }
    let names: Vec<&str> = Code::ALL.iter().map(|c| c.name()).collect();
    let error = Error::new(Code::Config, format!("there is no error code `{word}`"))
        .line("choices", names[..8.min(names.len())].join(", "))
        .line("", names[8.min(names.len())..].join(", "));
    Err(match nearest(plain, names) {
        Some(name) => error.help(format!("did you mean `{name}`?")),
        None => error.help("the code is the word in brackets after `error`"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_found_as_they_are_pasted() {
        for word in ["shape", "error[shape]", "error[shape]:", "Shape"] {
            assert_eq!(parse(word), Ok(Code::Shape), "{word}");
        }
        assert_eq!(parse("nonfinite"), Ok(Code::NonFinite));
        let error = parse("shpae").unwrap_err();
        assert_eq!(error.advice(), Some("did you mean `shape`?"));
    }
}
