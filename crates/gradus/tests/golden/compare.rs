//! Outputs and gradients of one case against PyTorch's.

use crate::harness::close;
use crate::store::Store;
use gradus::{Array, Code, DType, Gradients, Tensor};
use serde_json::Value;

/// A list of the index; empty if there is none.
pub(crate) fn list(v: &Value) -> &[Value] {
    v.as_array().map_or(&[], Vec::as_slice)
}

/// Ten times what float32 costs PyTorch on this case: of outputs (0), of gradients (1).
pub(crate) fn deviation(v: &Value, i: usize) -> f64 {
    10.0 * v["f64_dev"][i].as_f64().unwrap_or(0.0)
}

/// Compares the outputs; gives the sum of `output * cotangent` over all of them.
pub(crate) fn outputs(
    store: &Store,
    v: &Value,
    outputs: &[Tensor],
    tolerance: f64,
) -> Result<Option<Tensor>, String> {
    let wanted = v["outputs"].as_array().ok_or("outputs that are no list")?;
    if wanted.len() != outputs.len() {
        return Err(format!("{} outputs, PyTorch has {}", outputs.len(), wanted.len()));
    }
    for (i, (have, want)) in outputs.iter().zip(wanted).enumerate() {
        let want = store.expected(want)?;
        let have = have.to_array().map_err(|e| e.to_string())?;
        close(&format!("output {i}"), &have, &want, tolerance)?;
    }
    let mut total: Option<Tensor> = None;
    for entry in list(&v["cotangents"]) {
        let at = wanted.iter().position(|w| w["tensor"] == entry["of"]).ok_or("no such output")?;
        let cotangent = store.array(entry["cot"].as_str().ok_or("a cotangent")?)?;
        let part = (&outputs[at] * Tensor::from(cotangent)).sum();
        total = Some(match total {
            Some(sum) => sum + part,
            None => part,
        });
    }
    Ok(total)
}

/// The gradients of that sum; none, if it reaches nothing.
pub(crate) fn gradients(total: Option<&Tensor>) -> Result<Option<Gradients>, String> {
    match total.map(Tensor::backward) {
        None => Ok(None),
        Some(Ok(gradients)) => Ok(Some(gradients)),
        Some(Err(error)) if error.code() == Code::Gradient => Ok(None),
        Some(Err(error)) => Err(error.to_string()),
    }
}

/// Compares a gradient with the one of this name; where there is none it is zero.
pub(crate) fn gradient(
    store: &Store,
    what: &str,
    have: Option<&Tensor>,
    like: &Array,
    want: &Value,
    tolerance: f64,
) -> Result<(), String> {
    let zeros = || Array::zeros(like.shape(), DType::F32).map_err(|e| e.to_string());
    let have = match have {
        Some(gradient) => gradient.to_array().map_err(|e| e.to_string())?,
        None => zeros()?,
    };
    let want = match want.as_str() {
        Some(name) => store.array(name)?,
        None => zeros()?,
    };
    close(&format!("gradient of {what}"), &have, &want, tolerance)
}
