//! `gradus layers`: the catalogue of layers and models, from the rows that their tests run.

use std::io::{self, Write};

use gradus::nn::registry::{Group, LayerRow, rows};

use crate::args::LayersArgs;
use crate::fail::Outcome;
use crate::json::Line;
use crate::text::Table;

/// What somebody may look for here in vain.
const METHODS: &str =
    "losses and most activations are methods of tensors, x.mse_loss(&y): see `gradus ops`";

pub(crate) fn run(args: &LayersArgs) -> Outcome {
    let mut out = io::BufWriter::new(io::stdout().lock());
    if args.json {
        for row in rows() {
            let line = Line::new()
                .with("name", row.name)
                .with("signature", row.signature)
                .with("computes", row.computes)
                .with("parameters", some(row.parameters))
                .with("group", row.group.name())
                .with("pytorch", some(row.pytorch));
            writeln!(out, "{line}")?;
        }
    } else if args.markdown {
        let heads = ["layer", "made by", "computes", "parameters", "group", "PyTorch"];
        let mut table = Table::new(&heads);
        for row in rows() {
            table.row(vec![
                row.name.to_string(),
                format!("`{}`", row.signature),
                row.computes.to_string(),
                some(row.parameters).unwrap_or("-").to_string(),
                row.group.name().to_string(),
                some(row.pytorch).map_or("-".to_string(), |name| format!("`{name}`")),
            ]);
        }
        write!(out, "{}", table.markdown())?;
    } else {
        for group in Group::ALL {
            let of_group: Vec<&LayerRow> = rows().iter().filter(|r| r.group == group).collect();
            if of_group.is_empty() {
                continue;
            }
            writeln!(out, "{}", group.name())?;
            let mut table = Table::new(&["made by", "computes"]);
            for row in of_group {
                table.row(vec![row.signature.to_string(), row.computes.to_string()]);
            }
            writeln!(out, "{}", table.plain("  "))?;
        }
        writeln!(out, "{} layers; --markdown adds parameters and PyTorch's names", rows().len())?;
        writeln!(out, "{METHODS}")?;
    }
    out.flush()?;
    Ok(())
}

/// A cell that says something.
fn some(cell: &'static str) -> Option<&'static str> {
    Some(cell).filter(|cell| !cell.is_empty() && *cell != "-")
}
