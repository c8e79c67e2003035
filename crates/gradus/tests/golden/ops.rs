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
mod creation;
mod elementwise;
mod indexing;
mod layers;
mod linalg;
mod losses;
mod movement;
mod out_of_scope;
mod products;
mod reductions;
mod scans;
mod sorting;

use crate::harness::{Call, Family, Line, Out, Outcome, Report, close, guarded, text};
use crate::store::{Store, index};
use gradus::{Array, Code, DType, Error, Tensor};
use serde_json::Value;
use std::path::Path;

/// How PyTorch's functions are written here.
fn lines() -> Vec<Line> {
    [
        elementwise::lines(),
        activations::lines(),
        reductions::lines(),
        scans::lines(),
        movement::lines(),
        indexing::lines(),
        sorting::lines(),
        products::lines(),
        linalg::lines(),
        creation::lines(),
        losses::lines(),
        layers::lines(),
    ]
    .concat()
}

/// Runs the family, if the folder has it.
pub(crate) fn run(folder: &Path, report: &mut Report) {
    let folder = folder.join("ops");
    let Some(index) = index(&folder, report) else { return };
    let lines = lines();
    for (name, why) in out_of_scope::REASONS {
        if lines.iter().any(|line| line.0 == *name) {
            let what = format!("ops {name}");
            report.add(
                &what,
                "the table",
                Outcome::Failed(format!(
                    "it has a line, and `out_of_scope.rs` says: {why}; take it out there"
                )),
            );
        }
    }
    for entry in index["ops"].as_array().map_or(&[][..], Vec::as_slice) {
        let name = text(&entry["name"]);
        let mut what = format!("ops {name}");
        if !report.takes(&what) {
            continue;
        }
        if let Some(variant) = entry["variant"].as_str().filter(|v| !v.is_empty()) {
            what = format!("{what} {variant}");
        }
        let samples = entry["samples"].as_array().map_or(&[][..], Vec::as_slice);
        let errors = entry["errors"].as_array().map_or(&[][..], Vec::as_slice);
        let Some(&(_, family, f)) = lines.iter().find(|line| line.0 == name) else {
            let why = out_of_scope::REASONS.iter().find(|(n, _)| *n == name);
            let why = why.map_or("Gradus has no such operation", |(_, why)| why);
            for _ in 0..samples.len() + errors.len() {
                report.add(&what, "", Outcome::OutOfScope(why.to_string()));
            }
            continue;
        };
        let bytes = match entry["file"].as_str().map(|file| std::fs::read(folder.join(file))) {
            None => Vec::new(),
            Some(Ok(bytes)) => bytes,
            Some(Err(error)) => {
                report.add(&what, "its file", Outcome::Failed(error.to_string()));
                continue;
            }
        };
        for v in samples {
            let outcome = guarded(|| sample(&Store::new(&bytes)?, v, family, f));
            report.add(&what, &format!("sample {}", v["id"]), outcome);
        }
        for (i, v) in errors.iter().enumerate() {
            let outcome = guarded(|| must_fail(&Store::new(&bytes)?, v, f));
            report.add(&what, &format!("must fail {i}"), outcome);
        }
    }
}

/// Compares a sample's outputs and gradients.
fn sample(
    store: &Store<'_>,
    v: &Value,
    family: Family,
    f: fn(&Call) -> Out,
) -> Result<Outcome, String> {
    let call = match store.call(v) {
        Ok(call) => call,
        Err(why) => return Ok(Outcome::OutOfScope(why)),
    };
    let outputs = match f(&call) {
        Ok(outputs) => outputs,
        Err(why) => return Ok(Outcome::OutOfScope(why)),
    };
    if let Some(left) = call.ignored() {
        return Ok(Outcome::OutOfScope(left));
    }
    let scalar_axis =
        |e: &Error| e.code() == Code::Shape && e.title().ends_with("does not exist in []");
    if let Some(Err(error)) = outputs.iter().map(Tensor::check).find(|c| c.is_err())
        && scalar_axis(&error)
    {
        return Ok(Outcome::OutOfScope("PyTorch lets a scalar have an axis 0".into()));
    }
    compare(store, v, family, &outputs)?;
    Ok(Outcome::Passed)
}

fn compare(store: &Store<'_>, v: &Value, family: Family, outputs: &[Tensor]) -> Result<(), String> {
    let deviation = |i: usize| 10.0 * v["f64_dev"][i].as_f64().unwrap_or(0.0);
    let (output_tolerance, gradient_tolerance) = family.tolerances();
    let wanted = v["outputs"].as_array().ok_or("outputs that are no list")?;
    if wanted.len() != outputs.len() {
        return Err(format!("{} outputs, PyTorch has {}", outputs.len(), wanted.len()));
    }
    for (i, (have, want)) in outputs.iter().zip(wanted).enumerate() {
        let want = store.expected(want)?;
        let have = have.to_array().map_err(|e| e.to_string())?;
        close(&format!("output {i}"), &have, &want, output_tolerance.max(deviation(0)))?;
    }
    let mut total: Option<Tensor> = None;
    for entry in v["cotangents"].as_array().ok_or("no cotangents")? {
        let at = wanted.iter().position(|w| w["tensor"] == entry["of"]).ok_or("no such output")?;
        let cotangent = store.array(entry["cot"].as_str().ok_or("a cotangent")?)?;
        let part = (&outputs[at] * Tensor::from(cotangent)).sum();
        total = Some(match total {
            Some(sum) => sum + part,
            None => part,
        });
    }
    for entry in v["grads"].as_array().ok_or("no gradients")? {
        let of = entry["of"].as_str().ok_or("a gradient of nothing")?;
        let x = store.tensor(of)?;
        let total = total.as_ref().ok_or("gradients without cotangents")?;
        let have = match total.grad(&x) {
            Ok(g) => g.to_array().map_err(|e| e.to_string())?,
            // The input does not influence the outputs.
            Err(e) if e.code() == Code::Gradient => {
                let shape = x.shape().map_err(|e| e.to_string())?;
                Array::zeros(shape, DType::F32).map_err(|e| e.to_string())?
            }
            Err(e) => return Err(e.to_string()),
        };
        let want = match entry["grad"].as_str() {
            Some(name) => store.array(name)?,
            None => Array::zeros(have.shape(), have.dtype()).map_err(|e| e.to_string())?,
        };
        close(&format!("gradient of {of}"), &have, &want, gradient_tolerance.max(deviation(1)))?;
    }
    Ok(())
}

/// A call that must fail, when recorded or when its value is read.
fn must_fail(store: &Store<'_>, v: &Value, f: fn(&Call) -> Out) -> Result<Outcome, String> {
    let call = match store.call(v) {
        Ok(call) => call,
        Err(why) => return Ok(Outcome::OutOfScope(why)),
    };
    Ok(match f(&call) {
        Err(why) => Outcome::OutOfScope(why),
        Ok(outputs) => match outputs.iter().map(Tensor::to_array).find(Result::is_err) {
            Some(_) => Outcome::Passed,
            None => Outcome::Failed(format!("no error, but PyTorch says: {}", v["error"])),
        },
    })
}
