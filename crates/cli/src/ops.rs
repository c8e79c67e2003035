//! `gradus ops`: the table of operations, from the rows that the engine's tests run.

use std::io::{self, Write};

use gradus::ops::registry::{Gradient, rows};

use crate::args::OpsArgs;
use crate::fail::Outcome;
use crate::json::Line;
use crate::text::Table;

pub(crate) fn run(args: &OpsArgs) -> Outcome {
    let mut out = io::BufWriter::new(io::stdout().lock());
    if args.json {
        for row in rows() {
            let (gradient, why) = match row.gradient {
                Gradient::Yes => ("yes", None),
                Gradient::Zero => ("zero", None),
                Gradient::None(why) => ("none", Some(why)),
            };
            let line = Line::new()
                .with("name", row.name)
                .with("signature", row.signature)
                .with("formula", row.formula)
                .with("kind", row.kind.name())
                .with("gradient", gradient)
                .with("why_no_gradient", why)
                .with("pytorch", Some(row.pytorch).filter(|name| *name != "-"))
                .with("onnx", row.onnx);
            writeln!(out, "{line}")?;
        }
        out.flush()?;
        return Ok(());
    }
    let gradient = |gradient| match gradient {
        Gradient::Yes => "yes",
        Gradient::Zero => "zero",
        Gradient::None(_) => "none",
    };
    if args.markdown {
        let heads = ["operation", "written", "computes", "kind", "gradient", "PyTorch", "ONNX"];
        let mut table = Table::new(&heads);
        for row in rows() {
            table.row(vec![
                row.name.to_string(),
                format!("`{}`", row.signature),
                row.formula.to_string(),
                row.kind.name().to_string(),
                gradient(row.gradient).to_string(),
                if row.pytorch == "-" { "-".into() } else { format!("`{}`", row.pytorch) },
                row.onnx.unwrap_or("-").to_string(),
            ]);
        }
        write!(out, "{}", table.markdown())?;
    } else {
        // A screen is too narrow for everything, so the kinds are headings and the names that
        // other libraries use are left to --markdown.
        let mut kinds = Vec::new();
        rows().iter().for_each(|row| {
            if !kinds.contains(&row.kind) {
                kinds.push(row.kind);
            }
        });
        for kind in kinds {
            writeln!(out, "{}", kind.name())?;
            let mut table = Table::new(&["name", "written", "gradient", "computes"]);
            for row in rows().iter().filter(|row| row.kind == kind) {
                table.row(vec![
                    row.name.to_string(),
                    row.signature.to_string(),
                    gradient(row.gradient).to_string(),
                    row.formula.to_string(),
                ]);
            }
            writeln!(out, "{}", table.plain("  "))?;
        }
        writeln!(out, "{} operations; --markdown adds their names elsewhere", rows().len())?;
    }
    out.flush()?;
    Ok(())
}
