//! The command line: what can be asked, and checks that need nothing but the words themselves.
//!
//! A value that is wrong is a [`Wrong`]: a sentence, the choices, and the nearest one. Everything
//! that needs a file or a model is checked by the command itself.

use std::fmt;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use gradus::Precision;
use gradus::data::table::TaskKind;
use gradus::train::{OptimizerName, ScheduleName};

use crate::bench::sized::AnySize;

/// Define, train, understand and ship neural networks.
#[derive(Debug, Parser)]
#[command(name = "gradus", version, max_term_width = 100, disable_help_subcommand = true)]
#[command(after_help = "\
Start with:  gradus train digits        or, with a table of your own:
             gradus train FILE.csv --target COLUMN
Exit codes:  0 done, 1 failed, 2 a wrong argument, 130 stopped with Ctrl-C")]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Train a network on a table (CSV) or images and keep everything about it in a run folder
    Train(Box<TrainArgs>),
    /// Measure a trained run: accuracy, loss, and which classes are confused; R² for numbers
    Eval(EvalArgs),
    /// Predict the rows of a table, or images, with a trained run
    Predict(PredictArgs),
    /// Show what is in a run folder or a .safetensors file
    Inspect(InspectArgs),
    /// List all tensor operations
    Ops(OpsArgs),
    /// List all layers and models with what they compute
    Layers(LayersArgs),
    /// List all optimizers, penalties, clipping and learning-rate schedules
    #[command(visible_alias = "schedules")]
    Optimizers(OptimizersArgs),
    /// Explain an error code, such as `shape` in `error[shape]`
    Explain(ExplainArgs),
    /// Measure training steps and predictions per second
    Bench(BenchArgs),
}

impl Command {
    /// Whether stdout is for programs.
    pub(crate) fn json(&self) -> bool {
        match self {
            Command::Train(a) => a.json,
            Command::Eval(a) => a.json,
            Command::Predict(_) => false,
            Command::Inspect(a) => a.json,
            Command::Ops(a) => a.json,
            Command::Layers(a) => a.json,
            Command::Optimizers(a) => a.json,
            Command::Explain(a) => a.json,
            Command::Bench(a) => a.json,
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct TrainArgs {
    /// A table (.csv, .tsv, .txt, also .gz; `-` is stdin), a folder of IDX files such as MNIST's,
    /// or `digits` (built in)
    #[arg(required_unless_present = "resume")]
    pub(crate) data: Option<String>,
    /// Sizes of the hidden layers, as 128,64; `none` for a linear model [default: by the data]
    #[arg(long, value_name = "SIZES", value_parser = layers, allow_hyphen_values = true)]
    pub(crate) layers: Option<Layers>,
    /// What follows each hidden layer: relu, gelu, tanh or sigmoid [default: relu]
    #[arg(long, value_name = "NAME", value_parser = activation)]
    pub(crate) activation: Option<String>,
    /// How many times to go through the training data [default: by the data]
    #[arg(long, value_name = "N", value_parser = whole, allow_hyphen_values = true)]
    pub(crate) epochs: Option<usize>,
    /// Samples per step [default: by the data]
    #[arg(long, value_name = "N", value_parser = whole, allow_hyphen_values = true)]
    pub(crate) batch_size: Option<usize>,
    /// Learning rate, the highest of its schedule [default: by the optimizer: 0.002 for
    /// adam, 0.05 for sgd]
    #[arg(long, value_name = "RATE", value_parser = rate, allow_hyphen_values = true)]
    pub(crate) lr: Option<f64>,
    /// How the rate goes on: cosine (falls to nothing at the end), linear, exponential, step,
    /// warmup-cosine, one-cycle, plateau or constant [default: cosine]
    #[arg(long, value_name = "NAME", value_parser = schedule)]
    pub(crate) schedule: Option<String>,
    /// Scale the gradients of a step down to this norm at most [default: not]
    #[arg(long, value_name = "NORM", value_parser = norm, allow_hyphen_values = true)]
    pub(crate) clip_norm: Option<f64>,
    /// How products of matrices and convolutions round their operands in training: f32 (not at all) or
    /// bf16 (mixed precision, faster on CPUs with AVX512-BF16) [default: f32]
    #[arg(long, value_name = "NAME", value_parser = precision)]
    pub(crate) precision: Option<Precision>,
    /// How weights change: adam, adamw, sgd, muon, lion and others that `gradus optimizers` lists
    /// [default: adam; adamw for tables]
    #[arg(long, value_name = "NAME", value_parser = optimizer)]
    pub(crate) optimizer: Option<String>,
    /// How much weights shrink in each step, times the rate [default: the optimizer's; by the data
    /// for tables]
    #[arg(long, value_name = "DECAY", value_parser = decay, allow_hyphen_values = true)]
    pub(crate) weight_decay: Option<f64>,
    /// How much of the last step is kept, of sgd, rmsprop and muon [default: 0.9 for sgd]
    #[arg(long, value_name = "P", value_parser = momentum, allow_hyphen_values = true)]
    pub(crate) momentum: Option<f64>,
    /// Share of hidden units to leave out in each step, from 0 to below 1 [default: 0; by the data for tables]
    #[arg(long, value_name = "P", value_parser = share, allow_hyphen_values = true)]
    pub(crate) dropout: Option<f64>,
    /// Where all random numbers start: the same seed gives the same bits [default: 17]
    #[arg(long, value_name = "N", value_parser = seed, allow_hyphen_values = true)]
    pub(crate) seed: Option<u64>,
    /// Which rows or images are held out: the same seed holds out the same ones [default: 17]
    #[arg(long, value_name = "N", value_parser = seed, allow_hyphen_values = true)]
    pub(crate) split_seed: Option<u64>,
    /// Stop after so many epochs without a better validation loss; 0 never stops [default: 10; by
    /// the data for tables]
    #[arg(long, value_name = "N", value_parser = count, allow_hyphen_values = true)]
    pub(crate) patience: Option<usize>,
    /// The run folder to make [default: runs/DATA-N, N the next free number]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Go on with a run that was stopped; only --epochs, --threads and --json fit with it
    #[arg(long, value_name = "RUN", conflicts_with_all = ["data", "layers", "activation",
        "batch_size", "lr", "schedule", "clip_norm", "precision", "optimizer", "weight_decay", "momentum", "dropout", "seed", "split_seed", "patience", "out", "target", "task", "separator", "header",
        "no_header", "decimal_comma", "missing", "drop", "category", "keep", "one_hot", "stream"])]
    pub(crate) resume: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) threads: Threads,
    /// Print events as JSON lines on stdout
    #[arg(long)]
    pub(crate) json: bool,
    // Last, because its heading is that of all that follows.
    #[command(flatten)]
    pub(crate) table: TableArgs,
}

/// How a table is read, and what is asked of it.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Tables")]
pub(crate) struct TableArgs {
    /// The column to predict: its name, or its number from 1 [default: the last one]
    #[arg(long, value_name = "COLUMN")]
    pub(crate) target: Option<String>,
    /// classification or regression [default: by what the target holds]
    #[arg(long, value_name = "NAME", value_parser = task)]
    pub(crate) task: Option<TaskKind>,
    /// What is between cells: a character, or comma, semicolon, tab, space [default: found out]
    #[arg(long, value_name = "CHAR", value_parser = separator, allow_hyphen_values = true)]
    pub(crate) separator: Option<char>,
    /// The first line has the names of the columns [default: found out]
    #[arg(long, conflicts_with = "no_header")]
    pub(crate) header: bool,
    /// The first line is data; columns are then column_1, column_2 and so on
    #[arg(long)]
    pub(crate) no_header: bool,
    /// Numbers are written 1,5 [default: found out]
    #[arg(long)]
    pub(crate) decimal_comma: bool,
    /// More words for a missing value, beside an empty cell, NA, null and the like
    #[arg(long, value_name = "WORD,...", value_delimiter = ',', allow_hyphen_values = true)]
    pub(crate) missing: Vec<String>,
    /// Columns that are not used
    #[arg(long, value_name = "COLUMN,...", value_delimiter = ',')]
    pub(crate) drop: Vec<String>,
    /// Columns that hold categories, even where they look like numbers
    #[arg(long, value_name = "COLUMN,...", value_delimiter = ',')]
    pub(crate) category: Vec<String>,
    /// Columns to use although they look like row numbers
    #[arg(long, value_name = "COLUMN,...", value_delimiter = ',')]
    pub(crate) keep: Vec<String>,
    /// One-hot up to this many categories of a column, an embedding beyond [default: 16]
    #[arg(long, value_name = "N", value_parser = count, allow_hyphen_values = true)]
    pub(crate) one_hot: Option<usize>,
    /// Keep the rows on disk, not in memory [default: above 512 MiB]
    #[arg(long)]
    pub(crate) stream: bool,
}

impl TableArgs {
    /// The first option that was given.
    pub(crate) fn given(&self) -> Option<&'static str> {
        let given = [
            ("--target", self.target.is_some()),
            ("--task", self.task.is_some()),
            ("--separator", self.separator.is_some()),
            ("--header", self.header),
            ("--no-header", self.no_header),
            ("--decimal-comma", self.decimal_comma),
            ("--missing", !self.missing.is_empty()),
            ("--drop", !self.drop.is_empty()),
            ("--category", !self.category.is_empty()),
            ("--keep", !self.keep.is_empty()),
            ("--one-hot", self.one_hot.is_some()),
            ("--stream", self.stream),
        ];
        given.into_iter().find(|(_, given)| *given).map(|(name, _)| name)
    }
}

#[derive(Debug, Args)]
pub(crate) struct PredictArgs {
    /// A run folder that `gradus train` made
    pub(crate) run: PathBuf,
    /// Rows to predict: a table with the columns of the training (`-` is stdin); for a run of
    /// images `digits` or a folder of IDX files
    pub(crate) data: String,
    /// The file to write [default: stdout]
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// csv, or json for a JSON line a row [default: csv, or what --out ends in]
    #[arg(long, value_name = "NAME", value_parser = format)]
    pub(crate) format: Option<Format>,
    #[command(flatten)]
    pub(crate) threads: Threads,
}

/// How predictions are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Csv,
    Json,
}

#[derive(Debug, Args)]
pub(crate) struct EvalArgs {
    /// A run folder that `gradus train` made
    pub(crate) run: PathBuf,
    /// Other data to measure on: a table, `digits` or a folder of IDX files [default: the run's
    /// test set]
    pub(crate) data: Option<String>,
    #[command(flatten)]
    pub(crate) threads: Threads,
    /// Print the result as a JSON line on stdout
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct InspectArgs {
    /// A run folder, or a .safetensors file
    #[arg(value_name = "RUN|FILE")]
    pub(crate) target: PathBuf,
    /// Print a JSON line a parameter on stdout
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct OpsArgs {
    /// Print a Markdown table
    #[arg(long, conflicts_with = "json")]
    pub(crate) markdown: bool,
    /// Print a JSON line an operation on stdout
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct LayersArgs {
    /// Print a Markdown table
    #[arg(long, conflicts_with = "json")]
    pub(crate) markdown: bool,
    /// Print a JSON line a layer on stdout
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct OptimizersArgs {
    /// Print a Markdown table
    #[arg(long, conflicts_with = "json")]
    pub(crate) markdown: bool,
    /// Print a JSON line an entry on stdout
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    /// The word in the brackets of a message; without it, all codes are listed
    pub(crate) code: Option<String>,
    /// Print a JSON line a code on stdout
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct BenchArgs {
    /// mlp_mnist, mlp_tabular, xor, cnn_mnist, resnet20, lstm_char, gpt_mini, autoencoder,
    /// mlp_tabular_loop, xor_loop (100 captured steps a call), infer_mlp_mnist, infer_cnn_mnist
    /// (one sample; with _captured: recorded once, then replayed), several with commas, or all; of
    /// any size: mlp:100-333-77-10@57 (layers @ batch),
    /// cnn:channels-side-kernel-c1-c2-classes@batch, lstm:tokens-embedding-hidden-time@batch,
    /// gpt:tokens-width-layers-heads-time@batch
    #[arg(long, default_value = "all", value_parser = workloads)]
    pub(crate) workload: Workloads,
    #[command(flatten)]
    pub(crate) threads: Threads,
    /// Folder with MNIST's IDX files; without it the images are made up
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// How products of matrices, convolutions, recurrence and attention round their operands in
    /// training: f32 or bf16 [default: f32]
    #[arg(long, value_name = "NAME", value_parser = precision)]
    pub(crate) precision: Option<Precision>,
    /// Print what each plan step of a training step costs, and its share of the machine's peak
    #[arg(long)]
    pub(crate) profile: bool,
    /// Measure what this machine can do at most, and nothing else
    #[arg(long, conflicts_with_all = ["profile", "workload"])]
    pub(crate) peaks: bool,
    /// Length of a window, in seconds of CPU time
    #[arg(long, value_name = "S", default_value = "3", value_parser = seconds,
        allow_hyphen_values = true)]
    pub(crate) window: f64,
    /// Number of windows
    #[arg(long, value_name = "K", default_value = "3", value_parser = whole,
        allow_hyphen_values = true)]
    pub(crate) windows: usize,
    /// Seconds of steps before the first window
    #[arg(long, value_name = "S", default_value = "2", value_parser = seconds,
        allow_hyphen_values = true)]
    pub(crate) warmup: f64,
    /// Print a JSON line a workload on stdout
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Threads {
    /// Threads to compute with; results do not depend on it [default: all cores]
    #[arg(long, value_name = "N", value_parser = threads, allow_hyphen_values = true)]
    threads: Option<usize>,
}

impl Threads {
    /// Tells the engine, if a number was asked for.
    pub(crate) fn apply(&self) {
        if let Some(n) = self.threads {
            gradus::set_threads(n);
        }
    }
}

/// Sizes of hidden layers; none for a linear model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Layers(pub(crate) Vec<usize>);

/// Workloads of `gradus bench`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Workloads(pub(crate) Vec<Workload>);

/// One of [`WORKLOADS`], or one that says its sizes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Workload {
    pub(crate) name: String,
    pub(crate) sized: Option<AnySize>,
}

/// Why a value cannot be taken, in a sentence that follows "--option VALUE: ".
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Wrong {
    pub(crate) why: String,
    pub(crate) choices: Option<String>,
    pub(crate) help: Option<String>,
}

impl Wrong {
    fn new(why: impl Into<String>) -> Wrong {
        Wrong { why: why.into(), choices: None, help: None }
    }

    fn help(self, help: impl Into<String>) -> Wrong {
        Wrong { help: Some(help.into()), ..self }
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

impl std::error::Error for Wrong {}

/// The choice most like a word, if one is close enough to be what was meant.
pub(crate) fn nearest<'a>(
    word: &str,
    choices: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let word = word.to_lowercase();
    choices
        .into_iter()
        .map(|c| {
            let distance = strsim::damerau_levenshtein(&word, c);
            let prefix = word.len() >= 2 && (c.starts_with(&word) || word.starts_with(c));
            (if prefix { distance.min(1) } else { distance }, c)
        })
        .filter(|&(d, c)| d <= 1 + c.len().min(word.len()) / 4)
        .min_by_key(|&(d, _)| d)
        .map(|(_, c)| c)
}

pub(crate) const ACTIVATIONS: [&str; 4] = ["relu", "gelu", "tanh", "sigmoid"];
pub(crate) const WORKLOADS: [&str; 14] = [
    "mlp_mnist",
    "mlp_tabular",
    "xor",
    "cnn_mnist",
    "resnet20",
    "lstm_char",
    "gpt_mini",
    "autoencoder",
    "mlp_tabular_loop",
    "xor_loop",
    "infer_mlp_mnist",
    "infer_cnn_mnist",
    "infer_mlp_mnist_captured",
    "infer_cnn_mnist_captured",
];

/// The optimizers that a run can name.
pub(crate) fn optimizers() -> Vec<&'static str> {
    OptimizerName::all().map(OptimizerName::name).collect()
}

/// One of some words, whatever the case of its letters.
fn choice<'a>(word: &str, choices: &[&'a str], what: &str) -> Result<&'a str, Wrong> {
    let lower = word.trim().to_lowercase();
    if let Some(found) = choices.iter().find(|c| **c == lower) {
        return Ok(found);
    }
    Err(Wrong {
        why: format!("there is no {what} `{word}`"),
        choices: Some(choices.join(", ")),
        help: nearest(word, choices.iter().copied()).map(|c| format!("did you mean `{c}`?")),
    })
}

fn activation(word: &str) -> Result<String, Wrong> {
    choice(word, &ACTIVATIONS, "activation").map(str::to_string)
}

fn optimizer(word: &str) -> Result<String, Wrong> {
    choice(word, &optimizers(), "optimizer").map(str::to_string)
}

fn precision(word: &str) -> Result<Precision, Wrong> {
    let name = choice(word, &Precision::ALL.map(Precision::name), "precision")?;
    Ok(Precision::parse(name).unwrap_or_default())
}

fn schedule(word: &str) -> Result<String, Wrong> {
    choice(word, &ScheduleName::ALL.map(ScheduleName::name), "schedule").map(str::to_string)
}

fn task(word: &str) -> Result<TaskKind, Wrong> {
    Ok(match choice(word, &["classification", "regression"], "task")? {
        "regression" => TaskKind::Regression,
        _ => TaskKind::Classification,
    })
}

fn format(word: &str) -> Result<Format, Wrong> {
    Ok(match choice(word, &["csv", "json"], "format")? {
        "json" => Format::Json,
        _ => Format::Csv,
    })
}

fn separator(word: &str) -> Result<char, Wrong> {
    match word {
        "comma" => return Ok(','),
        "semicolon" => return Ok(';'),
        "tab" | "\\t" => return Ok('\t'),
        "space" => return Ok(' '),
        "pipe" => return Ok('|'),
        _ => {}
    }
    let mut chars = word.chars();
    match (chars.next(), chars.next()) {
        (Some(c), None) if c.is_ascii() && !c.is_ascii_alphanumeric() && !"\"\r\n.".contains(c) => {
            Ok(c)
        }
        _ => Err(Wrong::new(format!("`{word}` cannot separate cells"))
            .help("give one character, or comma, semicolon, tab, space, pipe")),
    }
}

fn workloads(words: &str) -> Result<Workloads, Wrong> {
    let named = |name: &str| Workload { name: name.to_string(), sized: None };
    let mut known = WORKLOADS.to_vec();
    known.push("all");
    let mut found = Vec::new();
    for word in words.split(',') {
        if let Some(sized) = AnySize::parse(word) {
            let sized = sized.map_err(|why| Wrong::new(format!("`{word}`: {why}")))?;
            found.push(Workload { name: sized.to_string(), sized: Some(sized) });
            continue;
        }
        match choice(word, &known, "workload")? {
            "all" => found.extend(WORKLOADS.map(named)),
            name => found.push(named(name)),
        }
    }
    Ok(Workloads(found))
}

/// A whole number in a range.
fn integer(word: &str, from: u64, to: u64, example: &str) -> Result<u64, Wrong> {
    let word = word.trim();
    let help = format!("for example {example}");
    if let Ok(n) = word.parse::<u64>() {
        if n < from {
            return Err(Wrong::new(format!("must be at least {from}, not {n}")).help(help));
        }
        if n > to {
            return Err(Wrong::new(format!("must be at most {to}, not {n}")).help(help));
        }
        return Ok(n);
    }
    let digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    Err(match word.strip_prefix('-') {
        Some(rest) if rest.parse::<f64>().is_ok() => {
            Wrong::new(format!("must be at least {from}, not {word}"))
        }
        _ if digits(word) => Wrong::new(format!("must be at most {to}, not {word}")),
        _ => Wrong::new(format!("must be a whole number, not `{word}`")),
    }
    .help(help))
}

/// Large enough for everything real; a size above it is a slip of the hand.
const MANY: u64 = 1_000_000_000;

fn whole(word: &str) -> Result<usize, Wrong> {
    integer(word, 1, MANY, "32").map(|n| n as usize)
}

fn count(word: &str) -> Result<usize, Wrong> {
    integer(word, 0, MANY, "5").map(|n| n as usize)
}

fn seed(word: &str) -> Result<u64, Wrong> {
    integer(word, 0, i64::MAX as u64, "17")
}

fn threads(word: &str) -> Result<usize, Wrong> {
    integer(word, 1, 1024, "4").map(|n| n as usize)
}

fn layers(words: &str) -> Result<Layers, Wrong> {
    const WIDEST: u64 = 1 << 20;
    let example = "128,64 (two hidden layers)";
    if ["none", "linear"].contains(&words.trim()) {
        return Ok(Layers(Vec::new()));
    }
    if words.contains([' ', 'x', ';']) && !words.contains(',') {
        let commas = words.split([' ', 'x', ';']).filter(|w| !w.is_empty()).collect::<Vec<_>>();
        return Err(Wrong::new(format!("`{words}` is not a list of sizes")).help(format!(
            "did you mean `{}`? write sizes with commas between",
            commas.join(",")
        )));
    }
    let sizes = words.split(',').map(|word| match word.trim() {
        "" => Err(Wrong::new("a size is missing").help(format!("for example {example}"))),
        "0" => Err(Wrong::new("a layer has at least 1 unit, not 0")
            .help("use `--layers none` for a model without hidden layers")),
        word => integer(word, 1, WIDEST, example).map(|n| n as usize),
    });
    sizes.collect::<Result<Vec<_>, _>>().map(Layers)
}

fn real(word: &str) -> Result<f64, Wrong> {
    let number = word.trim().parse::<f64>();
    number.map_err(|_| Wrong::new(format!("must be a number, not `{word}`")))
}

fn rate(word: &str) -> Result<f64, Wrong> {
    let help = "0.001 is usual for adam, 0.05 for sgd";
    let lr = real(word).map_err(|e| e.help(help))?;
    if !lr.is_finite() {
        return Err(Wrong::new(format!("must be finite, not {word}")).help(help));
    }
    if lr <= 0.0 {
        return Err(Wrong::new(format!("must be greater than 0, not {word}")).help(help));
    }
    Ok(lr)
}

fn norm(word: &str) -> Result<f64, Wrong> {
    let norm = real(word).map_err(|e| e.help("1.0 is usual"))?;
    if norm.is_finite() && norm > 0.0 {
        return Ok(norm);
    }
    Err(Wrong::new(format!("must be greater than 0 and finite, not {word}")).help("1.0 is usual"))
}

fn decay(word: &str) -> Result<f64, Wrong> {
    let decay = real(word).map_err(|e| e.help("0.01 is usual for adamw"))?;
    if decay.is_finite() && decay >= 0.0 {
        return Ok(decay);
    }
    Err(Wrong::new(format!("must be 0 or more and finite, not {word}"))
        .help("0.01 is usual for adamw"))
}

fn momentum(word: &str) -> Result<f64, Wrong> {
    let momentum = real(word).map_err(|e| e.help("0.9 is usual"))?;
    if (0.0..1.0).contains(&momentum) {
        return Ok(momentum);
    }
    Err(Wrong::new(format!("must be from 0 to below 1, not {word}")).help("0.9 is usual"))
}

fn share(word: &str) -> Result<f64, Wrong> {
    let help = "0.2 leaves out a fifth of the units in each step";
    let share = real(word).map_err(|e| e.help(help))?;
    if (0.0..1.0).contains(&share) {
        return Ok(share);
    }
    Err(Wrong::new(format!("must be from 0 to below 1, not {word}")).help(help))
}

fn seconds(word: &str) -> Result<f64, Wrong> {
    let seconds = real(word)?;
    if (0.0..=86400.0).contains(&seconds) {
        return Ok(seconds);
    }
    Err(Wrong::new(format!("must be a number of seconds from 0 to 86400, not {word}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_nearest_choice_is_close() {
        assert_eq!(nearest("rleu", ACTIVATIONS), Some("relu"));
        assert_eq!(nearest("sigmiod", ACTIVATIONS), Some("sigmoid"));
        assert_eq!(nearest("adm", optimizers()), Some("adam"));
        assert_eq!(nearest("mnist", WORKLOADS), None);
        assert_eq!(nearest("autoenc", WORKLOADS), Some("autoencoder"));
        assert_eq!(nearest("banana", ACTIVATIONS), None);
    }

    #[test]
    fn layers_are_positive_sizes() {
        assert_eq!(layers("128,64"), Ok(Layers(vec![128, 64])));
        assert_eq!(layers("none"), Ok(Layers(vec![])));
        for (bad, word) in [
            ("0", "at least 1"),
            ("-4", "at least 1"),
            ("8,,4", "missing"),
            ("", "missing"),
            ("wide", "whole number"),
            ("1.5", "whole number"),
            ("99999999999999999999", "at most"),
            ("128 64", "not a list"),
        ] {
            let error = layers(bad).unwrap_err();
            assert!(error.why.contains(word), "{bad}: {error:?}");
            assert!(error.help.is_some(), "{bad}");
        }
    }

    #[test]
    fn rates_are_positive_and_finite() {
        assert_eq!(rate("1e-3"), Ok(1e-3));
        for bad in ["0", "-1", "nan", "inf", "fast", ""] {
            assert!(rate(bad).is_err(), "{bad}");
        }
        assert!(share("1").is_err() && share("-0.1").is_err() && share("0").is_ok());
    }
}
