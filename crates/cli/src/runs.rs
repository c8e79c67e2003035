//! Finding and describing runs that are there.

use std::path::Path;

use gradus::train::{ModelConfig, Run, RunConfig};
use gradus::{Code, Error, Precision, Result};

use crate::args::nearest;
use crate::text;

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

/// How many numbers the model trains.
pub(crate) fn parameters(config: &RunConfig) -> u128 {
    config.model.as_ref().map_or(0, ModelConfig::num_parameters)
}

/// Refuses a model that this machine cannot train, before memory runs out and the system ends the
/// program without a word.
pub(crate) fn check_memory(config: &RunConfig) -> Result<()> {
    // Weights, gradients, two moments, and a copy to save; all f32.
    let needed = parameters(config).saturating_mul(5 * 4);
    let Some(free) = free_memory() else { return Ok(()) };
    if needed <= u128::from(free) {
        return Ok(());
    }
    let numbers = parameters(config) as f64;
    let size = |bytes: u128| text::bytes(u64::try_from(bytes).unwrap_or(u64::MAX));
    let title = "the model is too large for this machine".to_string();
    Err(Error::new(Code::Memory, title)
        .line("model", format!("{}, {numbers:.3e} parameters", sizes(config).unwrap_or_default()))
        .line("needs", format!("about {} to train", size(needed)))
        .line("free", size(u128::from(free)))
        .help("use smaller --layers"))
}

/// Bytes that this process may still use, where the system says so.
fn free_memory() -> Option<u64> {
    let number = |file: &str| std::fs::read_to_string(file).ok()?.trim().parse::<u64>().ok();
    let info = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = info.lines().find_map(|l| l.strip_prefix("MemAvailable:"))?;
    let free = line.split_whitespace().next()?.parse::<u64>().ok()? * 1024;
    // A container may be allowed less than the machine has.
    let group = "/sys/fs/cgroup";
    let limit = number(&format!("{group}/memory.max"));
    let used = number(&format!("{group}/memory.current"));
    match (limit, used) {
        (Some(limit), Some(used)) => Some(free.min(limit.saturating_sub(used))),
        _ => Some(free),
    }
}

/// `128-64-10, relu, dropout 0.2`.
pub(crate) fn model(config: &RunConfig) -> String {
    let (Some(sizes), Some(model)) = (sizes(config), &config.model) else {
        return "a model of its own program".to_string();
    };
    let mut text = sizes;
    match model.embeddings.len() {
        0 => {}
        1 => text.push_str(", 1 embedding"),
        n => text.push_str(&format!(", {n} embeddings")),
    }
    if !model.layers.is_empty() {
        text.push_str(&format!(", {}", model.activation.name()));
    }
    if model.dropout > 0.0 {
        text.push_str(&format!(", dropout {}", model.dropout));
    }
    text
}

/// `adam, lr 0.001 cosine, batch 32, seed 17`.
pub(crate) fn training(config: &RunConfig) -> String {
    let t = &config.training;
    let name = t.optimizer.name.map_or("an optimizer of its own", |n| n.name());
    let lr = match t.optimizer.lr {
        lr if (1e-4..1e4).contains(&lr) => format!("{lr}"),
        lr => format!("{lr:e}"),
    };
    let schedule = t.schedule.as_ref().map(|s| format!(" {s}")).unwrap_or_default();
    let clip = t.clip_norm.map(|n| format!(", gradients clipped to {n}")).unwrap_or_default();
    let precision = match t.precision {
        Precision::F32 => "",
        Precision::Bf16 => ", products in bf16",
    };
    format!(
        "{name}, lr {lr}{schedule}, batch {}, seed {}{clip}{precision}",
        t.batch_size, config.seed
    )
}
