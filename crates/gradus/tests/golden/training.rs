//! The family `training`: whole trainings, step by step.

use crate::compare::list;
use crate::harness::{Outcome, Report, close, guarded, text};
use crate::optim::{Params, optimizer};
use crate::store::{Bundle, Files, index};
use gradus::nn::Optimizer;
use gradus::{Array, Tensor};
use serde_json::Value;
use std::path::Path;

/// Runs the family.
pub(crate) fn run(folder: &Path, report: &mut Report) {
    let Some(index) = index(folder, "index.json", report) else { return };
    let files = Files::new(folder);
    for run in list(&index["runs"]) {
        let what = format!("training {}", text(&run["name"]));
        if report.takes(&what) {
            report.add(&what, "run", guarded(|| training(run, &files.get(&run["file"])?)));
        }
    }
}

/// The loss of a batch.
type Model = fn(&Params, &Tensor, &Tensor) -> Result<Tensor, String>;

fn mlp(p: &Params, x: &Tensor, y: &Tensor) -> Result<Tensor, String> {
    let layer = |x: &Tensor, n: &str| {
        let (w, b) = (p.get(&format!("{n}.weight"))?, p.get(&format!("{n}.bias"))?);
        Ok::<_, String>(x.linear(w, Some(&b)))
    };
    Ok(layer(&layer(x, "0")?.relu(), "2")?.cross_entropy(y))
}

fn training(run: &Value, file: &Bundle) -> Result<Outcome, String> {
    let model: Model = match text(&run["name"]) {
        "mlp_digits" => mlp,
        _ => {
            let why = format!("Gradus has not all layers of {}", run["model"]);
            return Ok(Outcome::OutOfScope(why));
        }
    };
    let params = Params::starting("init.", file)?;
    let mut options = run["optimizer"].clone();
    let name = options.as_object_mut().and_then(|o| o.remove("name")).unwrap_or_default();
    let mut opt = match optimizer(&params, text(&name), &options) {
        Ok(opt) => opt,
        Err(why) => return Ok(Outcome::OutOfScope(why)),
    };
    steps(run, file, model, &params, &mut *opt)?;
    for (name, param) in &params.0 {
        let have = param.get().map_err(|e| e.to_string())?;
        close(&format!("final {name}"), &have, &file.array(&format!("final.{name}"))?, 1e-4)?;
    }
    Ok(Outcome::Passed)
}

/// A tensor that may be named as a list of its chunks.
fn whole(v: &Value, file: &Bundle) -> Result<Array, String> {
    match v {
        Value::Array(chunks) => {
            let first = chunks.first().and_then(Value::as_str).ok_or("no chunks")?;
            file.array(first.rsplit_once('.').map_or(first, |(name, _)| name))
        }
        name => file.array(text(name)),
    }
}

fn steps(
    run: &Value,
    file: &Bundle,
    model: Model,
    params: &Params,
    opt: &mut dyn Optimizer,
) -> Result<(), String> {
    let tell = |e: gradus::Error| e.to_string();
    let x = Tensor::from(whole(&run["data"]["x"], file)?);
    let y = Tensor::from(whole(&run["data"]["y"], file)?);
    let order = whole(&run["order"], file)?;
    let batch = *order.dims().get(1).ok_or("an order that is not [steps, batch]")?;
    let rows: Vec<i64> = order.to_vec().map_err(tell)?;
    let rows: Vec<&[i64]> = rows.chunks_exact(batch).collect();
    let loss = |rows: &[i64]| {
        let rows = Tensor::from(rows.to_vec());
        model(params, &x.index_select(0, &rows), &y.index_select(0, &rows))
    };
    let far = |have: f64, want: f64, limit: f64| (have - want).abs() > limit * want.abs().max(1.0);
    let norms = list(&run["grad_norm"]);
    for (t, want) in list(&run["loss"]).iter().enumerate() {
        let loss = loss(rows.get(t).ok_or("too few batches")?)?;
        let gradients = loss.backward().map_err(tell)?;
        let (have, want) = (loss.item().map_err(tell)?, want.as_f64().ok_or("a loss")?);
        if far(have, want, if t < 10 { 1e-5 } else { 1e-4 }) {
            return Err(format!("loss {have} at step {t}, PyTorch's {want}"));
        }
        let norm = gradients.norm().item().map_err(tell)?;
        let want = norms.get(t).and_then(Value::as_f64).ok_or("no gradient norm")?;
        if (norm - want).abs() > 1e-4 * want {
            return Err(format!("gradient norm {norm} at step {t}, PyTorch's {want}"));
        }
        let gradients = match run["clip_grad_norm"].as_f64() {
            Some(limit) => gradients.clip_norm(limit),
            None => gradients,
        };
        opt.apply(&gradients).map_err(tell)?;
    }
    if let Some(want) = run["final_eval_loss_on_first_batch"].as_f64() {
        let have = gradus::inference(|| loss(rows.first().copied().unwrap_or_default()))?;
        let have = have.item().map_err(tell)?;
        if far(have, want, 1e-4) {
            return Err(format!("loss {have} after the last step, PyTorch's {want}"));
        }
    }
    Ok(())
}
