//! Initialisers, from `optim/init.json`: moments and bounds of a draw, exact values where there are
//! any, gains, and what layers start with.

use crate::compare::list;
use crate::harness::{Outcome, Report, close, guarded, text};
use crate::store::{Files, index};
use gradus::Array;
use gradus::nn::init::{self, Fan, Nonlinearity};
use gradus::nn::{Conv2d, Embedding, Linear, Lstm, ModuleExt};
use serde_json::Value;
use std::path::Path;

/// Runs the part.
pub(crate) fn run(folder: &Path, files: &Files, report: &mut Report) {
    let Some(index) = index(folder, "init.json", report) else { return };
    gradus::seed(20261);
    for case in list(&index["inits"]) {
        let what = format!("optim init {}", text(&case["init"]));
        if report.takes(&what) {
            report.add(&what, &case["shape"].to_string(), guarded(|| law(case)));
        }
    }
    for case in list(&index["exact"]) {
        let what = format!("optim init {}", text(&case["init"]));
        if report.takes(&what) {
            let exact =
                || exact(case, &files.get(&index["exact_file"])?.array(text(&case["tensor"]))?);
            report.add(&what, "exact", guarded(exact));
        }
    }
    for case in list(&index["gains"]) {
        if report.takes("optim init gain") {
            let name = case["nonlinearity"].to_string();
            report.add("optim init gain", &name, guarded(|| gain(case)));
        }
    }
    for case in list(&index["defaults"]) {
        let what = format!("optim init of {}", text(&case["module"]));
        if report.takes(&what) {
            report.add(&what, "default", guarded(|| default(case)));
        }
    }
}

fn array(case: &Value) -> Result<Array, String> {
    let options = &case["options"];
    let sizes: Vec<usize> =
        list(&case["shape"]).iter().filter_map(|d| Some(d.as_u64()? as usize)).collect();
    let number =
        |name: &str, default: f64| options.get(name).and_then(Value::as_f64).unwrap_or(default);
    let fan = if options["mode"] == "fan_out" { Fan::Out } else { Fan::In };
    let follows = match options["nonlinearity"].as_str() {
        Some("leaky_relu") => Nonlinearity::LeakyRelu(number("a", 0.0)),
        None | Some("relu") => Nonlinearity::Relu,
        Some(other) => return Err(format!("the nonlinearity {other}")),
    };
    let gain = number("gain", 1.0);
    let made = match text(&case["init"]) {
        "xavier_uniform" => init::xavier_uniform(&sizes, gain),
        "xavier_normal" => init::xavier_normal(&sizes, gain),
        "kaiming_uniform" => init::kaiming_uniform(&sizes, fan, follows),
        "kaiming_normal" => init::kaiming_normal(&sizes, fan, follows),
        "uniform" => init::uniform(&sizes, number("a", 0.0) as f32, number("b", 1.0) as f32),
        "normal" => init::normal(&sizes, number("mean", 0.0) as f32, number("std", 1.0) as f32),
        "orthogonal" => init::orthogonal(&sizes, gain),
        "trunc_normal" => init::trunc_normal(
            &sizes,
            number("mean", 0.0),
            number("std", 1.0),
            number("a", -2.0),
            number("b", 2.0),
        ),
        "sparse" => init::sparse(&sizes, number("sparsity", 0.0), number("std", 0.01)),
        "eye" => init::eye(&sizes),
        "dirac" => init::dirac(&sizes, number("groups", 1.0) as usize),
        _ => return Err("Gradus has no such initialiser".into()),
    };
    made.map_err(|e| e.to_string())
}

fn moments(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    (mean, (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n).sqrt())
}

/// Whether mean and deviation are the law's.
fn moments_follow(values: &[f64], mean: &Value, std: &Value) -> Result<Outcome, String> {
    let (Some(law_mean), Some(law_std)) = (mean.as_f64(), std.as_f64()) else {
        return Ok(Outcome::OutOfScope("a law without mean and deviation".into()));
    };
    let ((mean, std), n) = (moments(values), values.len() as f64);
    // Five standard errors of a mean and, about, of a standard deviation.
    if (mean - law_mean).abs() > 5.0 * law_std / n.sqrt() {
        return Err(format!("the mean of {n} values is {mean}, the law's {law_mean}"));
    }
    if (std / law_std - 1.0).abs() > 5.0 / n.sqrt() {
        return Err(format!("the deviation of {n} values is {std}, the law's {law_std}"));
    }
    Ok(Outcome::Passed)
}

/// Whether a draw has the law's mean, deviation and bounds.
fn law(case: &Value) -> Result<Outcome, String> {
    let expect = &case["expect"];
    let values = match array(case) {
        Ok(array) => array.to_f64(),
        Err(why) => return Ok(Outcome::OutOfScope(why)),
    };
    let number = |name: &str| expect.get(name).and_then(Value::as_f64);
    if let (Some(rows), Some(columns)) = (number("rows"), number("cols")) {
        return orthogonal(&values, rows as usize, columns as usize, &case["options"]);
    }
    if let Some(zeros) = number("zeros_per_column") {
        let columns = list(&case["shape"]).last().and_then(Value::as_u64).unwrap_or(1) as usize;
        for column in 0..columns {
            let found = values.iter().skip(column).step_by(columns).filter(|v| **v == 0.0).count();
            if found as f64 != zeros {
                return Err(format!("{found} zeros in column {column}, PyTorch has {zeros}"));
            }
        }
        let rest: Vec<f64> = values.into_iter().filter(|v| *v != 0.0).collect();
        return moments_follow(&rest, &expect["mean"], &expect["std_of_nonzero"]);
    }
    let followed = moments_follow(&values, &expect["mean"], &expect["std"])?;
    if !matches!(followed, Outcome::Passed) {
        return Ok(followed);
    }
    let bounds = match number("bound") {
        Some(bound) => Some((-bound, bound)),
        None => number("min_allowed").zip(number("max_allowed")),
    };
    if let Some((low, high)) = bounds {
        let least = values.iter().copied().fold(f64::INFINITY, f64::min);
        let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let (slack, reach) = (1e-6 * (high - low), 0.01 * (high - low));
        if least < low - slack || most > high + slack {
            return Err(format!("values in [{least}, {most}], the law's in [{low}, {high}]"));
        }
        if least > low + reach || most < high - reach {
            return Err(format!("values reach only from {least} to {most} in [{low}, {high}]"));
        }
    }
    Ok(Outcome::Passed)
}

/// Whether the rows, or the columns if there are fewer, are orthogonal and as long as the gain.
fn orthogonal(w: &[f64], rows: usize, cols: usize, options: &Value) -> Result<Outcome, String> {
    let gain = options["gain"].as_f64().unwrap_or(1.0);
    let (count, step, inner, along) =
        if rows <= cols { (rows, cols, 1, cols) } else { (cols, 1, cols, rows) };
    for i in 0..count {
        for j in 0..count {
            let at = |v: usize, k: usize| w.get(v * step + k * inner).copied().unwrap_or(f64::NAN);
            let product: f64 = (0..along).map(|k| at(i, k) * at(j, k)).sum();
            let want = if i == j { gain * gain } else { 0.0 };
            let near = (product - want).abs() < 1e-6 * gain * gain;
            if !near {
                return Err(format!("vectors {i} and {j} have the product {product}, not {want}"));
            }
        }
    }
    Ok(Outcome::Passed)
}

fn exact(case: &Value, want: &Array) -> Result<Outcome, String> {
    match array(case) {
        Ok(have) => close(text(&case["init"]), &have, want, 0.0).map(|()| Outcome::Passed),
        Err(why) => Ok(Outcome::OutOfScope(why)),
    }
}

fn gain(case: &Value) -> Result<Outcome, String> {
    let gain = match text(&case["nonlinearity"]) {
        "linear" | "conv2d" => Nonlinearity::Linear,
        "sigmoid" => Nonlinearity::Sigmoid,
        "tanh" => Nonlinearity::Tanh,
        "relu" => Nonlinearity::Relu,
        "leaky_relu" => Nonlinearity::LeakyRelu(case["param"].as_f64().unwrap_or(0.01)),
        "selu" => Nonlinearity::Selu,
        _ => return Ok(Outcome::OutOfScope("the nonlinearity".into())),
    };
    let (have, want) = (gain.gain(), case["gain"].as_f64().ok_or("no gain")?);
    if (have - want).abs() > 1e-12 {
        return Err(format!("the gain is {have}, PyTorch's {want}"));
    }
    Ok(Outcome::Passed)
}

/// Whether a new layer's parameters have their law.
fn default(case: &Value) -> Result<Outcome, String> {
    let module = text(&case["module"]);
    let numbers: Vec<usize> = module
        .split(|c: char| !c.is_ascii_digit())
        .filter_map(|digits| digits.parse().ok())
        .collect();
    if module == "Embedding" {
        let weight = Embedding::new(300, 100).weight.get().map_err(|e| e.to_string())?;
        return moments_follow(&weight.to_f64(), &case["mean"], &case["std"]);
    }
    let parameters = match (module.split('(').next(), numbers.as_slice()) {
        (Some("Linear"), &[a, b]) => Linear::new(a, b).named_parameters(),
        // The digit of the name is a number too.
        (Some("Conv2d"), &[_, a, b, k]) => Conv2d::new(a, b, k).named_parameters(),
        (Some("LSTM"), &[a, b]) => Lstm::new(a, b).named_parameters(),
        _ => return Ok(Outcome::OutOfScope("Gradus has no such layer".into())),
    };
    for (name, param) in parameters {
        let what = if name.starts_with("bias") { "bias_bound" } else { "weight_bound" };
        let bound = case[what].as_f64().ok_or("no bound")?;
        let values = param.get().map_err(|e| e.to_string())?.to_f64();
        let most = values.iter().fold(0.0f64, |m, v| m.max(v.abs()));
        // Of a few draws the largest may stay well below the bound: one in 3000 is below this.
        let low = bound * (8.0 / -(values.len() as f64)).exp();
        if most > bound * (1.0 + 1e-6) || most < low {
            return Err(format!(
                "{name} is in [-{most}, {most}], PyTorch's in [-{bound}, {bound}]"
            ));
        }
    }
    Ok(Outcome::Passed)
}
