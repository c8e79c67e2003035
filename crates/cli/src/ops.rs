//! `gradus ops`: the table of operations, from the rows that the engine's tests run.

use std::io::{self, Write};

use gradus::ops::registry::{Gradient, rows};
use serde_json::json;

use crate::args::OpsArgs;
use crate::fail::Outcome;
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
            let line = json!({
                "name": row.name, "signature": row.signature, "formula": row.formula,
                "kind": row.kind.name(), "gradient": gradient, "why_no_gradient": why,
                "pytorch": row.pytorch, "onnx": row.onnx,
            });
            writeln!(out, "{line}")?;
        }
        out.flush()?;
        return Ok(());
    }
    let code = |text: &str| if args.markdown { format!("`{text}`") } else { text.to_string() };
    let mut table =
        Table::new(&["operation", "written", "computes", "kind", "gradient", "PyTorch", "ONNX"]);
    for row in rows() {
        let gradient = match row.gradient {
            Gradient::Yes => "yes",
            Gradient::Zero => "zero",
            Gradient::None(_) => "none",
        };
        table.row(vec![
            row.name.to_string(),
            code(row.signature),
            row.formula.to_string(),
            row.kind.name().to_string(),
            gradient.to_string(),
            code(row.pytorch),
            row.onnx.unwrap_or("-").to_string(),
        ]);
    }
    if args.markdown {
        write!(out, "{}", table.markdown())?;
    } else {
        write!(out, "{}", table.plain(""))?;
        writeln!(out, "\n{} operations", rows().len())?;
    }
    out.flush()?;
    Ok(())
}
