//! The family `modules`: layers and losses, from `modules/index.json`.
//!
//! Layers of Gradus are built, loaded with the state, and run. Where Gradus has a function instead
//! of a layer (losses are functions here), that function is called
//! with the constructor's arguments, the state and the inputs, as its line in `ops/` says.

mod activations;
mod attention;
mod basic;
mod convolutions;
mod norms;
mod recurrent;
mod spatial;

use crate::compare::{self, deviation, list};
use crate::harness::{Arg, Call, Out, Outcome, Report, guarded, text};
use crate::ops;
use crate::store::{Files, Store, index};
use gradus::nn::{Layer, Module, ModuleExt, StateDict};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

/// Of outputs, and of gradients.
const TOLERANCES: (f64, f64) = (1e-5, 2e-5);

/// Modules that are functions here.
const FUNCTIONS: &[(&str, &str)] = &[
    ("BCELoss", "nn.functional.binary_cross_entropy"),
    ("BCEWithLogitsLoss", "nn.functional.binary_cross_entropy_with_logits"),
    ("CosineEmbeddingLoss", "nn.functional.cosine_embedding_loss"),
    ("CrossEntropyLoss", "nn.functional.cross_entropy"),
    ("GaussianNLLLoss", "nn.functional.gaussian_nll_loss"),
    ("HingeEmbeddingLoss", "nn.functional.hinge_embedding_loss"),
    ("HuberLoss", "nn.functional.huber_loss"),
    ("KLDivLoss", "nn.functional.kl_div"),
    ("L1Loss", "nn.functional.l1_loss"),
    ("MSELoss", "nn.functional.mse_loss"),
    ("MarginRankingLoss", "nn.functional.margin_ranking_loss"),
    ("MultiLabelMarginLoss", "nn.functional.multilabel_margin_loss"),
    ("MultiLabelSoftMarginLoss", "nn.functional.multilabel_soft_margin_loss"),
    ("MultiMarginLoss", "nn.functional.multi_margin_loss"),
    ("NLLLoss", "nn.functional.nll_loss"),
    ("PoissonNLLLoss", "nn.functional.poisson_nll_loss"),
    ("SmoothL1Loss", "nn.functional.smooth_l1_loss"),
    ("SoftMarginLoss", "nn.functional.soft_margin_loss"),
    ("TripletMarginLoss", "nn.functional.triplet_margin_loss"),
];

/// A module of Gradus that was made from PyTorch's constructor arguments, and how it is called.
pub(crate) struct Made {
    module: Arc<dyn Module>,
    run: Box<dyn Fn(&Call) -> Out>,
}

impl Made {
    /// A layer of one input.
    pub(crate) fn layer(layer: impl Layer + 'static) -> Option<Made> {
        Made::with(layer, |layer, call| {
            if !call.args.is_empty() {
                return Err("a layer of several inputs".into());
            }
            Ok(vec![layer.forward(&call.x()?)])
        })
    }

    /// A module that `run` calls, with all its outputs in PyTorch's order.
    pub(crate) fn with<M: Module + 'static>(
        module: M,
        run: impl Fn(&M, &Call) -> Out + 'static,
    ) -> Option<Made> {
        let module = Arc::new(module);
        let own = Arc::clone(&module);
        Some(Made { module, run: Box::new(move |call| run(&own, call)) })
    }
}

/// How PyTorch's constructors are written here, a file a family; none, if there is no such layer.
type Maker = fn(name: &str, ctor: &Call) -> Result<Option<Made>, String>;

#[rustfmt::skip] // one a line
const MAKERS: &[Maker] = &[
    activations::make,
    attention::make,
    basic::make,
    convolutions::make,
    recurrent::make,
    norms::make,
    spatial::make,
];

fn made(name: &str, ctor: &Call) -> Result<Option<Made>, String> {
    for make in MAKERS {
        if let Some(made) = make(name, ctor)? {
            return Ok(Some(made));
        }
    }
    Ok(None)
}

/// Runs the family.
pub(crate) fn run(folder: &Path, report: &mut Report) {
    let Some(index) = index(folder, "index.json", report) else { return };
    let (lines, files) = (ops::lines(), Files::new(folder));
    let lines: HashMap<_, _> = lines.into_iter().map(|(name, _, f)| (name, f)).collect();
    for module in list(&index["modules"]) {
        let name = text(&module["name"]);
        let what = format!("modules {name}");
        if !report.takes(&what) {
            continue;
        }
        let file = match files.get(&module["file"]) {
            Ok(file) => file,
            Err(why) => {
                report.add(&what, "its file", Outcome::Failed(why));
                continue;
            }
        };
        let function = FUNCTIONS.iter().find(|(module, _)| *module == name);
        let function = function.and_then(|(_, function)| lines.get(function));
        for v in list(&module["cases"]) {
            let outcome = guarded(|| {
                let store = Store::new(&file);
                let (ctor, call) = match (constructor(&store, v), forward(&store, v)) {
                    (Ok(ctor), Ok(call)) => (ctor, call),
                    (Err(why), _) | (_, Err(why)) => return Ok(Outcome::OutOfScope(why)),
                };
                let run = || match (made(name, &ctor), function) {
                    (Err(why), _) => Ok(Outcome::OutOfScope(why)),
                    (Ok(Some(made)), _) => compared(&store, v, &made, &ctor, &call),
                    (Ok(None), Some(f)) => ops::compared(&store, v, &call, TOLERANCES, *f),
                    (Ok(None), None) => {
                        Ok(Outcome::OutOfScope(ops::out_of_scope::missing(name).to_string()))
                    }
                };
                if v["mode"] == "eval" { gradus::evaluation(run) } else { run() }
            });
            report.add(&what, &format!("case {}", v["id"]), outcome);
        }
    }
}

fn arguments(store: &Store, v: &Value) -> Result<BTreeMap<String, Arg>, String> {
    let map = v.as_object().into_iter().flatten();
    map.map(|(name, v)| Ok((name.clone(), store.arg(v)?))).collect()
}

/// The constructor's arguments, all by name.
fn constructor(store: &Store, v: &Value) -> Result<Call, String> {
    Ok(Call::new(Arg::None, Vec::new(), arguments(store, &v["ctor"])?))
}

/// The call of the module as one of a function: inputs, then constructor's arguments and state.
fn forward(store: &Store, v: &Value) -> Result<Call, String> {
    let mut kwargs = arguments(store, &v["kwargs"])?;
    kwargs.extend(arguments(store, &v["ctor"])?);
    for (name, tensor) in v["state"].as_object().into_iter().flatten() {
        kwargs.insert(name.clone(), Arg::Tensor(store.tensor(text(tensor))?));
    }
    let inputs: Result<Vec<Arg>, String> =
        list(&v["inputs"]).iter().map(|v| store.arg(v)).collect();
    let mut inputs = inputs?.into_iter();
    let first = inputs.next().or_else(|| kwargs.remove("input"));
    Ok(Call::new(first.ok_or("no input")?, inputs.collect(), kwargs))
}

/// Compares what a layer gives, and the gradients of inputs and parameters.
fn compared(
    store: &Store,
    v: &Value,
    made: &Made,
    ctor: &Call,
    call: &Call,
) -> Result<Outcome, String> {
    if let Some(left) = ctor.ignored() {
        return Ok(Outcome::OutOfScope(left));
    }
    let layer = &made.module;
    let mut state = StateDict::new();
    for (name, tensor) in v["state"].as_object().into_iter().flatten() {
        state.insert(name.clone(), store.array(text(tensor))?);
    }
    layer.load_state_dict(&state).map_err(|e| e.to_string())?;
    let outputs = (made.run)(call)?;
    let total = compare::outputs(store, v, &outputs, TOLERANCES.0.max(deviation(v, 0)))?;
    let gradients = compare::gradients(total.as_ref())?;
    let tolerance = TOLERANCES.1.max(deviation(v, 1));
    for entry in list(&v["input_grads"]) {
        let of = entry["of"].as_str().ok_or("a gradient of nothing")?;
        let have = gradients.as_ref().and_then(|g| g.of(&store.tensor(of).ok()?));
        compare::gradient(store, of, have, &store.array(of)?, &entry["grad"], tolerance)?;
    }
    let params: HashMap<_, _> = layer.named_parameters().into_iter().collect();
    for (name, grad) in v["param_grads"].as_object().into_iter().flatten() {
        let param = params.get(name).ok_or_else(|| format!("no parameter `{name}`"))?;
        let have = gradients.as_ref().and_then(|g| g.get(param));
        let like = param.get().map_err(|e| e.to_string())?;
        compare::gradient(store, name, have, &like, grad, tolerance)?;
    }
    let after = layer.state_dict().map_err(|e| e.to_string())?;
    for (name, tensor) in v["state_after"].as_object().into_iter().flatten() {
        let have = after.get(name).ok_or_else(|| format!("no `{name}` in the state"))?;
        let want = store.array(text(tensor))?;
        crate::harness::close(&format!("{name} after the call"), have, &want, TOLERANCES.0)?;
    }
    Ok(Outcome::Passed)
}
