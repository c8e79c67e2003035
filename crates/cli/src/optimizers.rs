//! `gradus optimizers`: the catalogue of optimizers and what goes with them, and of learning-rate
//! schedules, from the rows that their tests run.

use std::io::{self, Write};

use gradus::nn::optim::registry::{Group, rows};
use gradus::train::schedule::registry::rows as schedules;

use crate::args::OptimizersArgs;
use crate::fail::Outcome;
use crate::json::Line;
use crate::text::Table;

const SCHEDULES: &str = "learning-rate schedule";

/// A row of either table, or of the schedule that watches a metric.
struct Entry {
    name: &'static str,
    signature: &'static str,
    formula: &'static str,
    group: &'static str,
    pytorch: &'static str,
    differs: &'static str,
    source: &'static str,
    /// How `gradus train` names it.
    argument: String,
}

fn entries() -> Vec<Entry> {
    let optimizers = rows().iter().map(|row| Entry {
        name: row.name,
        signature: row.signature,
        formula: row.formula,
        group: row.group.name(),
        pytorch: row.pytorch,
        differs: row.differs,
        source: row.source,
        argument: row.named.map(|n| format!("--optimizer {}", n.name)).unwrap_or_default(),
    });
    let schedules = schedules().into_iter().map(|row| Entry {
        name: row.name,
        signature: row.signature,
        formula: row.formula,
        group: SCHEDULES,
        pytorch: row.pytorch,
        differs: "",
        source: row.source,
        argument: match row.named {
            "" => String::new(),
            named => format!("--schedule {}", named.replace(", ", " or ")),
        },
    });
    let plateau = Entry {
        name: "plateau",
        signature: "Plateau::new().factor(0.1).patience(10).threshold(1e-4).absolute(false).cooldown(0).min_lr(0).maximize(false)",
        formula: "the rate times factor when a metric was no better for patience epochs",
        group: SCHEDULES,
        pytorch: "torch.optim.lr_scheduler.ReduceLROnPlateau",
        differs: "",
        source: "-",
        argument: "--schedule plateau".to_string(),
    };
    optimizers.chain(schedules).chain([plateau]).collect()
}

pub(crate) fn run(args: &OptimizersArgs) -> Outcome {
    let mut out = io::BufWriter::new(io::stdout().lock());
    let entries = entries();
    if args.json {
        for entry in &entries {
            let line = Line::new()
                .with("name", entry.name)
                .with("signature", entry.signature)
                .with("formula", entry.formula)
                .with("group", entry.group)
                .with("pytorch", some(entry.pytorch))
                .with("differs", some(entry.differs))
                .with("source", some(entry.source))
                .with("argument", some(&entry.argument));
            writeln!(out, "{line}")?;
        }
    } else if args.markdown {
        let heads = [
            "name",
            "made by, with defaults",
            "computes",
            "group",
            "PyTorch",
            "differs in",
            "source",
            "argument",
        ];
        let mut table = Table::new(&heads);
        let or_dash = |cell: &str| some(cell).unwrap_or("-").to_string();
        let code = |cell: &str| some(cell).map_or("-".to_string(), |cell| format!("`{cell}`"));
        for entry in &entries {
            table.row(vec![
                entry.name.to_string(),
                code(entry.signature),
                entry.formula.to_string(),
                entry.group.to_string(),
                code(entry.pytorch),
                or_dash(entry.differs),
                or_dash(entry.source),
                code(&entry.argument),
            ]);
        }
        write!(out, "{}", table.markdown())?;
    } else {
        for group in Group::ALL.map(Group::name).iter().chain([&SCHEDULES]) {
            writeln!(out, "{group}")?;
            let mut table = Table::new(&["made by, with defaults", "source"]);
            for entry in entries.iter().filter(|entry| entry.group == *group) {
                table.row(vec![entry.signature.to_string(), entry.source.to_string()]);
            }
            writeln!(out, "{}", table.plain("  "))?;
        }
        writeln!(out, "{} entries; --markdown adds formulas and PyTorch's names", entries.len())?;
    }
    out.flush()?;
    Ok(())
}

/// A cell that says something.
fn some(cell: &str) -> Option<&str> {
    Some(cell).filter(|cell| !cell.is_empty() && *cell != "-")
}
