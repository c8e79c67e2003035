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

mod harness;
mod ops;
mod store;

use harness::Report;
use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    // A listing of tests has none of ours: they come from files.
    if args.iter().any(|a| a == "--list") {
        return ExitCode::SUCCESS;
    }
    let filter = args.into_iter().find(|a| !a.starts_with('-'));
    let own = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/golden");
    let folder = std::env::var_os("GRADUS_GOLDEN").map_or(own, PathBuf::from);
    gradus::set_threads(1);
    let mut report = Report::new(filter);
    harness::quiet_panics();
    ops::run(&folder, &mut report);
    report.print();
    if report.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
