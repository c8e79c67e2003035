//! The family `training`: whole trainings, step by step.

use crate::compare::list;
use crate::harness::{Outcome, Report, close, guarded, text};
use crate::optim::{Params, optimizer};
use crate::store::{Bundle, Files, index};
use gradus::derivatives::functional_call;
use gradus::nn::{
    BatchNorm2d, Conv2d, Embedding, Flatten, LearnedPositions, Linear, Lstm, MaxPool2d, Module,
    ModuleExt, Optimizer, Relu, Sequential, TransformerEncoder, TransformerEncoderLayer,
};
use gradus::{Array, Tensor, seq};
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
type Model = Box<dyn Fn(&Params, &Tensor, &Tensor) -> Result<Tensor, String>>;

fn mlp(p: &Params, x: &Tensor, y: &Tensor) -> Result<Tensor, String> {
    let layer = |x: &Tensor, n: &str| {
        let (w, b) = (p.get(&format!("{n}.weight"))?, p.get(&format!("{n}.bias"))?);
        Ok::<_, String>(x.linear(w, Some(&b)))
    };
    Ok(layer(&layer(x, "0")?.relu(), "2")?.cross_entropy(y))
}

/// Two convolutions with batch norm, which keeps running statistics.
fn cnn(file: &Bundle) -> Result<Sequential, String> {
    let network = seq![
        Conv2d::new(1, 8, 3).padding(1),
        BatchNorm2d::new(8),
        Relu,
        MaxPool2d::new(2),
        Conv2d::new(8, 16, 3).padding(1),
        BatchNorm2d::new(16),
        Relu,
        MaxPool2d::new(2),
        Flatten,
        Linear::new(64, 10),
    ];
    for (name, buffer) in network.named_buffers() {
        buffer.set(file.array(&format!("init.{name}"))?).map_err(|e| e.to_string())?;
    }
    Ok(network)
}

/// An LSTM, of whose states the last one tells the class.
#[derive(Module)]
struct Reader {
    lstm: Lstm,
    fc: Linear,
}

fn lstm(p: &Params, x: &Tensor, y: &Tensor) -> Result<Tensor, String> {
    let model = Reader { lstm: Lstm::new(3, 20).batch_first(true), fc: Linear::new(20, 3) };
    with_values(&model, p, &[], || {
        let (states, _) = model.lstm.forward(x);
        model.fc.forward(&states.select(1, -1)).cross_entropy(y)
    })
}

/// A transformer that copies its input one place further.
#[derive(Module)]
struct Copier {
    embed: Embedding,
    positions: LearnedPositions,
    encoder: TransformerEncoder,
    head: Linear,
}

fn transformer(p: &Params, x: &Tensor, y: &Tensor) -> Result<Tensor, String> {
    let layer =
        || TransformerEncoderLayer::new(32, 4).dim_feedforward(64).dropout(0.0).batch_first(true);
    let model = Copier {
        embed: Embedding::new(12, 32),
        positions: LearnedPositions::new(8, 32),
        encoder: TransformerEncoder::new(2, layer),
        head: Linear::new(32, 12),
    };
    with_values(&model, p, &[("positions.weight", "pos")], || {
        let h = model.positions.forward(&model.embed.forward(x));
        let logits = model.head.forward(&model.encoder.forward(&h));
        logits.flatten_dims(0, 1).cross_entropy(&y.flatten(0))
    })
}

/// Calls `f` while a model has these values in place of its own; `names` are names that differ.
fn with_values(
    model: &impl Module,
    p: &Params,
    names: &[(&str, &str)],
    f: impl FnOnce() -> Tensor,
) -> Result<Tensor, String> {
    let mut pairs = Vec::new();
    for (name, param) in model.named_parameters() {
        let other = names.iter().find(|(own, _)| *own == name).map_or(&*name, |(_, other)| other);
        pairs.push((param, p.get(other)?));
    }
    let pairs: Vec<_> = pairs.iter().map(|(param, value)| (param, value)).collect();
    Ok(functional_call(&pairs, f))
}

fn training(run: &Value, file: &Bundle) -> Result<Outcome, String> {
    let model: Model = match text(&run["name"]) {
        "cnn_digits" => {
            let network = cnn(file)?;
            Box::new(move |p, x, y| {
                with_values(&network, p, &[], || network.forward(x).cross_entropy(y))
            })
        }
        "lstm_sequence" => Box::new(lstm),
        "mlp_digits" => Box::new(mlp),
        "transformer_copy" => Box::new(transformer),
        _ => {
            let why = format!("Gradus has not all layers of {}", run["model"]);
            return Ok(Outcome::OutOfScope(why));
        }
    };
    let mut params = Params::starting("init.", file)?;
    // What batch norm keeps is not trained; it is in the loss of the last evaluation.
    params.0.retain(|(name, _)| !name.contains("running_") && !name.ends_with("_tracked"));
    let mut options = run["optimizer"].clone();
    let name = options.as_object_mut().and_then(|o| o.remove("name")).unwrap_or_default();
    let mut opt = match optimizer(&params, text(&name), &options) {
        Ok(opt) => opt,
        Err(why) => return Ok(Outcome::OutOfScope(why)),
    };
    steps(run, file, &model, &params, &mut *opt)?;
    let undetermined = list(&run["undetermined"]["tensors"]);
    for (name, param) in &params.0 {
        let mut have = param.get().map_err(|e| e.to_string())?;
        let mut want = file.array(&format!("final.{name}"))?;
        if undetermined.iter().any(|n| text(n) == name) {
            // The bias of keys has no gradient but rounding, which an adaptive optimizer scales up.
            [have, want] = [without_middle(&have)?, without_middle(&want)?];
        }
        close(&format!("final {name}"), &have, &want, 1e-4)?;
    }
    Ok(Outcome::Passed)
}

/// The first and the last third of a vector.
fn without_middle(vector: &Array) -> Result<Array, String> {
    let x = Tensor::from(vector);
    let third = vector.numel() / 3;
    let ends = [x.narrow(0, 0, third), x.narrow(0, 2 * third, third)];
    Tensor::concat(&[&ends[0], &ends[1]], 0).to_array().map_err(|e| e.to_string())
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
    model: &Model,
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
