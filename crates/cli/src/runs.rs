//! Finding and describing runs that are there.

use std::path::Path;

use gradus::train::{Run, RunConfig};
use gradus::{Code, Result};

use crate::args::nearest;

/// Opens a run; a name that does not exist gets the nearest one that does.
pub(crate) fn open(path: &Path) -> Result<Run> {
    Run::open(path).map_err(|e| {
        if path.exists() || e.code() != Code::Io {
            return e;
        }
        let known = known(path);
        let word = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let last = |p: &str| p.rsplit('/').next().unwrap_or(p).to_string();
        let names: Vec<String> = known.iter().map(|p| last(p)).collect();
        let similar = nearest(&word, names.iter().map(String::as_str));
        match similar.and_then(|s| known.iter().find(|p| last(p) == s)) {
            Some(similar) => e.help(format!("did you mean {similar}?")),
            None if known.is_empty() => e.help("train one first: `gradus train digits`"),
            None => {
                let shown = known.iter().rev().take(5).cloned().collect::<Vec<_>>().join(", ");
                e.line("there", shown)
            }
        }
    })
}

/// Runs beside where one was looked for, and in `runs`.
fn known(path: &Path) -> Vec<String> {
    let beside = path.parent().filter(|p| !p.as_os_str().is_empty());
    let mut found = Vec::new();
    for folder in [beside, Some(Path::new("runs")), Some(Path::new("."))].into_iter().flatten() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.join("config.toml").is_file() {
                let shown = path.strip_prefix("./").unwrap_or(&path).display().to_string();
                if !found.contains(&shown) {
                    found.push(shown);
                }
            }
        }
    }
    found.sort();
    found
}

/// `784-512-10`, the sizes from the input to the output.
pub(crate) fn sizes(config: &RunConfig) -> Option<String> {
    let model = config.model.as_ref()?;
    let input: usize = model.input.iter().product();
    let all = std::iter::once(input).chain(model.layers.iter().copied()).chain([model.outputs]);
    Some(all.map(|n| n.to_string()).collect::<Vec<_>>().join("-"))
}

/// `128-64-10, relu, dropout 0.2`.
pub(crate) fn model(config: &RunConfig) -> String {
    let (Some(sizes), Some(model)) = (sizes(config), &config.model) else {
        return "a model of its own program".to_string();
    };
    let mut text = sizes;
    if !model.layers.is_empty() {
        text.push_str(&format!(", {}", model.activation.name()));
    }
    if model.dropout > 0.0 {
        text.push_str(&format!(", dropout {}", model.dropout));
    }
    text
}

/// `adam, lr 0.001, batch 32, seed 17`.
pub(crate) fn training(config: &RunConfig) -> String {
    let t = &config.training;
    let name = t.optimizer.name.map_or("an optimizer of its own", |n| n.name());
    format!("{name}, lr {}, batch {}, seed {}", t.optimizer.lr, t.batch_size, config.seed)
}
