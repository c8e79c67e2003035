//! The family `stats`: hypothesis tests, entropies, correlations.

use crate::compare::list;
use crate::harness::{Outcome, Report, text};
use crate::store::index;
use std::path::Path;

/// Counts the family: Gradus has none of it.
pub(crate) fn run(folder: &Path, report: &mut Report) {
    let Some(index) = index(folder, "index.json", report) else { return };
    for entry in list(&index["tests"]) {
        let what = format!("stats {}", text(&entry["name"]));
        if report.takes(&what) {
            for _ in list(&entry["cases"]) {
                let why = "Gradus trains networks; it has no statistical tests";
                report.add(&what, "", Outcome::OutOfScope(why.into()));
            }
        }
    }
}
