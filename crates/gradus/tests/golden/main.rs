//! Golden values: the same calls as in PyTorch give the same outputs and gradients, and calls that
//! must fail do.
//!
//! `tests/fixtures/golden` holds a part of the values; `GRADUS_GOLDEN` names a folder with more. An
//! argument is a filter: `cargo test --release -p gradus --test golden -- softmax`.
//!
//! The last line is `golden: N passed, M failed, K out of scope`; before it stands what is out of
//! scope, and why. The files in `ops/` say how each of PyTorch's functions is written here.

// A test prints and may panic.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

mod compare;
mod harness;
mod init;
mod modules;
mod ops;
mod optim;
mod stats;
mod store;
mod training;

use harness::{Outcome, Report};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Runs the cases of a folder.
type Family = fn(&Path, &mut Report);

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    // A listing of tests has none of ours: they come from files.
    if args.iter().any(|a| a == "--list") {
        return ExitCode::SUCCESS;
    }
    let filter = args.into_iter().find(|a| !a.starts_with('-'));
    let all_of_own = filter.is_none() && std::env::var_os("GRADUS_GOLDEN").is_none();
    let own = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/golden");
    let folder = std::env::var_os("GRADUS_GOLDEN").map_or(own, PathBuf::from);
    gradus::set_threads(1);
    let mut report = Report::new(filter);
    harness::quiet_panics();
    for what in harness::blind_spots() {
        report.add("the harness itself", what, Outcome::Failed("it does not see this".into()));
    }
    let families: [(&str, Family); 5] = [
        ("ops", ops::run),
        ("modules", modules::run),
        ("optim", optim::run),
        ("training", training::run),
        ("stats", stats::run),
    ];
    let mut found = 0;
    for (name, run) in families {
        let family = folder.join(name);
        if family.is_dir() {
            found += 1;
            run(&family, &mut report);
        }
    }
    if found == 0 {
        let why = "no such folder, or none of ops, modules, optim, training, stats in it".into();
        report.add(&folder.display().to_string(), "golden values", Outcome::Failed(why));
    }
    let nodes = gradus::live_nodes();
    if nodes > 0 {
        report.add("all", "the end", Outcome::Failed(format!("{nodes} nodes still live")));
    }
    if all_of_own && report.passed() < 1200 {
        let why = format!("only {} passed: did the tables lose lines?", report.passed());
        report.add("all", "the end", Outcome::Failed(why));
    }
    report.print();
    if report.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
