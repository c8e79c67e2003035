//! The family `stats`: hypothesis tests, entropies, correlations, by `gradus::train::stats`.

use crate::compare::list;
use crate::harness::{Outcome, Report, guarded, text};
use crate::store::index;
use gradus::train::stats::{self, Alternative, Unit};
use serde_json::Value;
use std::path::Path;

/// What is compared: its name in the case, what we have, and the tolerance.
type Values = Vec<(&'static str, f64, f64)>;

/// Of statistics and of probabilities, relative.
const EXACT: f64 = 1e-9;
const P: f64 = 1e-7;

/// Runs the family.
pub(crate) fn run(folder: &Path, report: &mut Report) {
    let Some(index) = index(folder, "index.json", report) else { return };
    for entry in list(&index["tests"]) {
        let name = text(&entry["name"]);
        let what = format!("stats {name}");
        if !report.takes(&what) {
            continue;
        }
        for (i, v) in list(&entry["cases"]).iter().enumerate() {
            let outcome = guarded(|| case(name, v));
            report.add(&what, &format!("case {i}"), outcome);
        }
    }
}

fn case(name: &str, v: &Value) -> Result<Outcome, String> {
    let values = match computed(name, v).map_err(|e| e.to_string())? {
        Some(values) => values,
        None => return Ok(Outcome::OutOfScope("Gradus has no such test".into())),
    };
    for (key, have, tolerance) in values {
        let (key, at) = key.split_once(' ').unwrap_or((key, ""));
        let want = if at.is_empty() { &v[key] } else { &v[key][usize::from(at == "1")] };
        let want = number(want);
        let near = (have - want).abs() <= tolerance * want.abs().max(f64::MIN_POSITIVE);
        if !(near || have == want) {
            return Err(format!("{key} is {have}, SciPy has {want}"));
        }
    }
    Ok(Outcome::Passed)
}

fn number(v: &Value) -> f64 {
    match v["float"].as_str() {
        Some("inf") => f64::INFINITY,
        Some("-inf") => f64::NEG_INFINITY,
        _ => v.as_f64().unwrap_or(f64::NAN),
    }
}

fn numbers(v: &Value) -> Vec<f64> {
    list(v).iter().map(number).collect()
}

fn computed(name: &str, v: &Value) -> gradus::Result<Option<Values>> {
    let (x, y) = (numbers(&v["x"]), numbers(&v["y"]));
    let (p, q) = (numbers(&v["p"]), numbers(&v["q"]));
    let alternative = match v["alternative"].as_str() {
        Some("less") => Alternative::Less,
        Some("greater") => Alternative::Greater,
        _ => Alternative::TwoSided,
    };
    let t = |test: stats::TTest| {
        vec![("statistic", test.statistic, EXACT), ("p", test.p, P), ("df", test.df, EXACT)]
    };
    Ok(Some(match name {
        "ttest_1samp" => {
            let test = stats::t_test(&x, number(&v["popmean"]), alternative)?;
            let (low, high) = test.interval(0.95);
            [t(test), vec![("ci95 0", low, EXACT), ("ci95 1", high, EXACT)]].concat()
        }
        "ttest_ind_equal" => t(stats::t_test_pooled(&x, &y, alternative)?),
        "ttest_ind_welch" => t(stats::t_test_two(&x, &y, alternative)?),
        "ttest_paired" => t(stats::t_test_paired(&x, &y, alternative)?),
        "ks_2samp" => {
            // SciPy's `p_asymptotic` is another approximation than the limit we take when samples
            // are too large to count paths.
            let test = stats::ks_test(&x, &y)?;
            vec![("statistic", test.statistic, EXACT), ("p_exact", test.p, P)]
        }
        "chisquare" => {
            let (observed, expected) = (numbers(&v["observed"]), numbers(&v["expected"]));
            let fitted = number(&v["ddof"]) as usize;
            let test = stats::chi_square(&observed, Some(&expected), fitted)?;
            vec![("statistic", test.statistic, EXACT), ("p", test.p, P)]
        }
        "chi2_contingency" => {
            let rows: Vec<Vec<f64>> = list(&v["table"]).iter().map(numbers).collect();
            let rows: Vec<&[f64]> = rows.iter().map(Vec::as_slice).collect();
            let yates = v["yates"].as_bool().unwrap_or(true);
            let test = stats::chi_square_independence(&rows, yates)?;
            let expected: Vec<f64> = list(&v["expected"]).iter().flat_map(numbers).collect();
            let apart = expected.iter().zip(&test.expected).map(|(a, b)| (a - b).abs());
            let same = test.expected.len() == expected.len() && apart.fold(0.0, f64::max) < EXACT;
            let df = if same { test.df } else { f64::NAN };
            vec![("statistic", test.statistic, EXACT), ("p", test.p, P), ("df", df, EXACT)]
        }
        "entropy" => vec![
            ("nats", stats::entropy(&p, Unit::Nats)?, EXACT),
            ("bits", stats::entropy(&p, Unit::Bits)?, EXACT),
        ],
        "kl" => vec![
            ("kl_nats", stats::kl_divergence(&p, &q, Unit::Nats)?, EXACT),
            ("kl_bits", stats::kl_divergence(&p, &q, Unit::Bits)?, EXACT),
            ("cross_entropy_nats", stats::cross_entropy(&p, &q, Unit::Nats)?, EXACT),
            ("js_nats", stats::js_divergence(&p, &q, Unit::Nats)?, EXACT),
        ],
        "binary_entropy" => vec![
            ("nats", stats::binary_entropy(number(&v["p"]), Unit::Nats)?, EXACT),
            ("bits", stats::binary_entropy(number(&v["p"]), Unit::Bits)?, EXACT),
        ],
        "pearson" => {
            let r = stats::pearson(&x, &y)?;
            let (low, high) = r.interval(0.95);
            vec![
                ("statistic", r.coefficient, EXACT),
                ("p", r.p, P),
                ("ci95 0", low, EXACT),
                ("ci95 1", high, EXACT),
            ]
        }
        "spearman" => {
            let r = stats::spearman(&x, &y)?;
            vec![("statistic", r.coefficient, EXACT), ("p", r.p, P)]
        }
        _ => return Ok(None),
    }))
}
