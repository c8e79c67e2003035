//! The family `ops`: single functions, from `ops/index.json`.

/// Methods of one tensor: `"name" Tolerances method`.
macro_rules! unary {
    ($($name:literal $family:ident $method:ident),* $(,)?) => {{
        let lines: Vec<$crate::harness::Line> =
            vec![$(($name, $family, |c| $crate::harness::one(c.x()?.$method()))),*];
        lines
    }};
}

/// Methods of a tensor and an operand called `other`: `"name" Tolerances x y => expression`.
macro_rules! binary {
    ($($name:literal $family:ident $x:ident $y:ident => $e:expr),* $(,)?) => {{
        let lines: Vec<$crate::harness::Line> = vec![$(($name, $family, |c| {
            let ($x, $y) = (&c.x()?, &*c.get(0, "other").operand()?);
            $crate::harness::one($e)
        })),*];
        lines
    }};
}

mod activations;
mod arranging;
mod attention;
pub(crate) mod convolutions;
mod creation;
mod elementwise;
mod indexing;
mod layers;
mod linalg;
mod losses;
mod movement;
mod norms;
mod order_statistics;
pub(crate) mod out_of_scope;
mod products;
mod reductions;
mod scans;
mod sorting;
pub(crate) mod spatial;

use crate::compare::{self, deviation, list};
use crate::harness::{Call, Family, Line, Out, Outcome, Report, guarded, text};
use crate::store::{Files, Store, index};
use gradus::Tensor;
use serde_json::Value;
use std::path::Path;

/// How PyTorch's functions are written here.
pub(crate) fn lines() -> Vec<Line> {
    [
        elementwise::lines(),
        activations::lines(),
        reductions::lines(),
        scans::lines(),
        movement::lines(),
        arranging::lines(),
        indexing::lines(),
        order_statistics::lines(),
        sorting::lines(),
        products::lines(),
        linalg::lines(),
        creation::lines(),
        losses::lines(),
        layers::lines(),
        norms::lines(),
        attention::lines(),
        spatial::lines(),
        convolutions::lines(),
    ]
    .concat()
}

/// Runs the family.
pub(crate) fn run(folder: &Path, report: &mut Report) {
    let Some(index) = index(folder, "index.json", report) else { return };
    let (lines, files) = (lines(), Files::new(folder));
    for (name, why) in out_of_scope::REASONS {
        if lines.iter().any(|line| line.0 == *name) {
            let why = format!("it has a line; take it out of `out_of_scope.rs` (`{why}`)");
            report.add(&format!("ops {name}"), "the table", Outcome::Failed(why));
        }
    }
    for entry in list(&index["ops"]) {
        let name = text(&entry["name"]);
        let mut what = format!("ops {name}");
        if !report.takes(&what) {
            continue;
        }
        if let Some(variant) = entry["variant"].as_str().filter(|v| !v.is_empty()) {
            what = format!("{what} {variant}");
        }
        let (samples, errors) = (list(&entry["samples"]), list(&entry["errors"]));
        let Some(&(_, family, f)) = lines.iter().find(|line| line.0 == name) else {
            let why = out_of_scope::missing(name);
            for _ in 0..samples.len() + errors.len() {
                report.add(&what, "", Outcome::OutOfScope(why.to_string()));
            }
            continue;
        };
        let file = match files.get(&entry["file"]) {
            Ok(file) => file,
            Err(why) => {
                report.add(&what, "its file", Outcome::Failed(why));
                continue;
            }
        };
        for v in samples {
            let outcome = guarded(|| sample(&Store::new(&file), v, name, family, f));
            report.add(&what, &format!("sample {}", v["id"]), outcome);
        }
        for (i, v) in errors.iter().enumerate() {
            let outcome = guarded(|| Ok(must_fail(&Store::new(&file), v, f)));
            report.add(&what, &format!("must fail {i}"), outcome);
        }
    }
}

/// Compares a sample's outputs and gradients.
fn sample(
    store: &Store,
    v: &Value,
    name: &str,
    family: Family,
    f: fn(&Call) -> Out,
) -> Result<Outcome, String> {
    // Running statistics, which layers keep here: those of `modules` are compared.
    let of_layers = ["nn.functional.batch_norm", "nn.functional.instance_norm"].contains(&name);
    let changes =
        v["mutated"].as_object().is_some_and(|m| !m.is_empty()) || !list(&v["mutated"]).is_empty();
    if changes && !of_layers {
        return Ok(Outcome::OutOfScope("a call that changes its inputs".into()));
    }
    match store.call(v) {
        Ok(call) => compared(store, v, &call, family.tolerances(), f),
        Err(why) => Ok(Outcome::OutOfScope(why)),
    }
}

/// Compares what a call gives, and the gradients of its inputs.
pub(crate) fn compared(
    store: &Store,
    v: &Value,
    call: &Call,
    tolerances: (f64, f64),
    f: fn(&Call) -> Out,
) -> Result<Outcome, String> {
    let outputs = match f(call) {
        Ok(outputs) => outputs,
        Err(why) => return Ok(Outcome::OutOfScope(why)),
    };
    if let Some(left) = call.ignored() {
        return Ok(Outcome::OutOfScope(left));
    }
    let total = compare::outputs(store, v, &outputs, tolerances.0.max(deviation(v, 0)))?;
    let gradients = compare::gradients(total.as_ref())?;
    let tolerance = tolerances.1.max(deviation(v, 1));
    let of_inputs = ["grads", "input_grads"].iter().flat_map(|key| list(&v[key]));
    for entry in of_inputs {
        let of = entry["of"].as_str().ok_or("a gradient of nothing")?;
        let have = gradients.as_ref().and_then(|g| g.of(&store.tensor(of).ok()?));
        compare::gradient(store, of, have, &store.array(of)?, &entry["grad"], tolerance)?;
    }
    for (name, grad) in v["param_grads"].as_object().into_iter().flatten() {
        let of = text(&v["state"][name]);
        let have = gradients.as_ref().and_then(|g| g.of(&store.tensor(of).ok()?));
        compare::gradient(store, name, have, &store.array(of)?, grad, tolerance)?;
    }
    Ok(Outcome::Passed)
}

/// A call that must fail, when recorded or when its value is read.
fn must_fail(store: &Store, v: &Value, f: fn(&Call) -> Out) -> Outcome {
    match store.call(v).and_then(|call| f(&call)) {
        Err(why) => Outcome::OutOfScope(why),
        Ok(outputs) => match outputs.iter().map(Tensor::to_array).find(Result::is_err) {
            Some(_) => Outcome::Passed,
            None => Outcome::Failed(format!("no error, but PyTorch says: {}", v["error"])),
        },
    }
}
