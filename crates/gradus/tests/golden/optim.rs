//! The family `optim`: trajectories of optimizers, schedules, clipping. Initialisers are in
//! `init.rs`.

use crate::compare::list;
use crate::harness::{Outcome, Report, close, guarded, text};
use crate::store::{Bundle, Files, index};
use gradus::nn::optim::{
    Adadelta, Adafactor, Adagrad, Adamax, Asgd, Lbfgs, LineSearch, Muon, NAdam, RAdam, RmsProp,
    Rprop,
};
use gradus::nn::{Adam, AdamW, Module, Optimizer, Sgd, Visitor};
use gradus::train::schedule::{Cyclic, CyclicMode, OneCycle, Plateau, Schedule};
use gradus::{Code, Error, Param, Tensor};
use serde_json::Value;
use std::path::Path;

/// Runs the family.
pub(crate) fn run(folder: &Path, report: &mut Report) {
    let files = Files::new(folder);
    if folder.join("index.json").exists() {
        optimizers(folder, &files, report);
    }
    if folder.join("schedulers.json").exists() {
        schedules(folder, report);
    }
    if folder.join("clip.json").exists() {
        clipping(folder, &files, report);
    }
    if folder.join("init.json").exists() {
        crate::init::run(folder, &files, report);
    }
}

fn optimizers(folder: &Path, files: &Files, report: &mut Report) {
    let Some(index) = index(folder, "index.json", report) else { return };
    let problems = files.get(&index["files"]["problems"]);
    let trajectories = files.get(&index["files"]["trajectories"]);
    let (problems, trajectories) = match (problems, trajectories) {
        (Ok(problems), Ok(trajectories)) => (problems, trajectories),
        (Err(why), _) | (_, Err(why)) => {
            report.add("optim", "its files", Outcome::Failed(why));
            return;
        }
    };
    for run in list(&index["runs"]) {
        let what = format!("optim {}", text(&run["optimizer"]));
        if report.takes(&what) {
            let case = format!("{} {}", run["key"], run["options"]);
            report.add(&what, &case, guarded(|| trajectory(run, &problems, &trajectories)));
        }
    }
}

/// The parameters of a model, by name.
pub(crate) struct Params(pub(crate) Vec<(String, Param)>);

impl Module for Params {
    fn walk(&self, visitor: &mut dyn Visitor) {
        self.0.iter().for_each(|(name, param)| visitor.param(name, param));
    }
}

impl Params {
    /// All tensors of a file whose names begin so.
    pub(crate) fn starting(prefix: &str, file: &Bundle) -> Result<Params, String> {
        let mut names: Vec<&str> = file.names().filter_map(|n| n.strip_prefix(prefix)).collect();
        names.sort_unstable();
        let param = |name: &str| {
            Ok((name.to_string(), Param::new(file.array(&format!("{prefix}{name}"))?)))
        };
        names.into_iter().map(param).collect::<Result<_, String>>().map(Params)
    }

    pub(crate) fn get(&self, name: &str) -> Result<Tensor, String> {
        let found = self.0.iter().find(|(n, _)| n == name);
        found.map(|(_, param)| param.tensor()).ok_or_else(|| format!("no parameter `{name}`"))
    }
}

/// An optimizer with these options; an error says what Gradus does not have.
pub(crate) fn optimizer(
    model: &Params,
    name: &str,
    options: &Value,
) -> Result<Box<dyn Optimizer>, String> {
    let number = |name: &str| options.get(name).and_then(Value::as_f64);
    let flag = |name: &str| options.get(name).and_then(Value::as_bool).unwrap_or(false);
    let known: &[&str] = match name {
        "SGD" => &["momentum", "dampening", "nesterov"],
        "Adam" | "AdamW" => &["betas", "eps", "amsgrad"],
        "Adagrad" => &["lr_decay", "initial_accumulator_value", "eps"],
        "Adadelta" => &["rho", "eps"],
        "RMSprop" => &["alpha", "eps", "momentum", "centered"],
        "Adamax" => &["betas", "eps"],
        "NAdam" => &["betas", "eps", "momentum_decay", "decoupled_weight_decay"],
        "RAdam" => &["betas", "eps", "decoupled_weight_decay"],
        "ASGD" => &["lambd", "alpha", "t0"],
        "Rprop" => &["etas", "step_sizes"],
        "Adafactor" => &["beta2_decay", "d"],
        "Muon" => &["momentum", "nesterov"],
        "LBFGS" => &["max_iter", "history_size", "line_search_fn"],
        _ => return Err("Gradus has no such optimizer".into()),
    };
    for key in options.as_object().into_iter().flat_map(|map| map.keys()) {
        if !known.contains(&key.as_str()) && !["lr", "weight_decay", "maximize"].contains(&&**key) {
            return Err(format!("the option `{key}`"));
        }
    }
    // What every run that was dumped names.
    let lr = number("lr").ok_or("no learning rate")?;
    let pair = |name: &str| match list(&options[name]) {
        [a, b] => a.as_f64().zip(b.as_f64()),
        _ => None,
    };
    /// Sets the options that are given.
    macro_rules! with {
        ($t:ident: $($get:ident $option:ident),*) => {{
            let mut opt = $t::new(model, lr).maximize(flag("maximize"));
            if let Some(decay) = number("weight_decay") {
                opt = opt.weight_decay(decay);
            }
            $(if let Some(value) = $get(stringify!($option)) {
                opt = opt.$option(value);
            })*
            Box::new(opt)
        }};
    }
    let flag_of = |name: &str| options.get(name).and_then(Value::as_bool);
    Ok(match name {
        "Adam" => with!(Adam: pair betas, number eps, flag_of amsgrad),
        "AdamW" => with!(AdamW: pair betas, number eps, flag_of amsgrad),
        "SGD" => with!(Sgd: number momentum, number dampening, flag_of nesterov),
        "Adagrad" => {
            with!(Adagrad: number lr_decay, number initial_accumulator_value, number eps)
        }
        "Adadelta" => with!(Adadelta: number rho, number eps),
        "RMSprop" => {
            with!(RmsProp: number alpha, number eps, number momentum, flag_of centered)
        }
        "Adamax" => with!(Adamax: pair betas, number eps),
        "NAdam" => {
            with!(NAdam: pair betas, number eps, number momentum_decay,
                flag_of decoupled_weight_decay)
        }
        "RAdam" => with!(RAdam: pair betas, number eps, flag_of decoupled_weight_decay),
        "ASGD" => with!(Asgd: number lambd, number alpha, number t0),
        "Adafactor" => with!(Adafactor: number beta2_decay, number d),
        "Muon" => with!(Muon: number momentum, flag_of nesterov),
        "LBFGS" => {
            let whole = |name: &str, default: u64| {
                options.get(name).and_then(Value::as_u64).unwrap_or(default) as usize
            };
            let wolfe = options["line_search_fn"] == "strong_wolfe";
            let line_search = if wolfe { LineSearch::StrongWolfe } else { LineSearch::None };
            let opt = Lbfgs::new(model, lr).max_iter(whole("max_iter", 20));
            Box::new(opt.history_size(whole("history_size", 100)).line_search(line_search))
        }
        _ => with!(Rprop: pair etas, pair step_sizes),
    })
}

fn loss(problem: &str, p: &Params, file: &Bundle) -> Result<Tensor, String> {
    // Relatives of a problem share its data.
    let data = |key: &str| {
        let own = file.array(&format!("{problem}.{key}"));
        let shared = || file.array(&format!("{}.{key}", problem.split('_').next().unwrap_or("")));
        own.or_else(|_| shared()).map(Tensor::from)
    };
    Ok(match problem {
        "mlp" | "mlp_ridge" | "mlp_nobias" => {
            let layer = |x: Tensor, n: &str| {
                let w = p.get(&format!("{n}.weight"))?;
                let b = p.get(&format!("{n}.bias")).ok().filter(|_| problem != "mlp_nobias");
                Ok::<_, String>(match b {
                    Some(b) => x.linear(w, Some(&b)),
                    None => x.linear(w, None),
                })
            };
            let logits = layer(layer(data("x")?, "0")?.tanh(), "2")?;
            let loss = logits.cross_entropy(&data("y")?);
            match problem {
                "mlp_ridge" => {
                    p.0.iter()
                        .fold(loss, |loss, (_, param)| loss + 0.02 * param.tensor().square().sum())
                }
                _ => loss,
            }
        }
        "quadratic" => {
            let p = p.get("p")?;
            0.5 * (&p * data("A")?.matmul(&p)).sum() - (data("b")? * &p).sum()
        }
        "quadratic_matrix" => 0.5 * (p.get("p")? - data("target")?).square().sum(),
        _ => return Err("Gradus's test does not know the problem".into()),
    })
}

fn trajectory(run: &Value, problems: &Bundle, trajectories: &Bundle) -> Result<Outcome, String> {
    let (key, problem) = (text(&run["key"]), text(&run["problem"]));
    // A relative of a problem may start where that one does.
    let own = Params::starting(&format!("{problem}.init."), problems)?;
    let params = match problem.split('_').next() {
        Some(first) if own.0.is_empty() => Params::starting(&format!("{first}.init."), problems)?,
        _ => own,
    };
    let opt = optimizer(&params, text(&run["optimizer"]), &run["options"]);
    let (mut opt, first) = match (opt, loss(problem, &params, problems)) {
        (Ok(opt), Ok(first)) => (opt, first),
        (Err(why), _) | (_, Err(why)) => return Ok(Outcome::OutOfScope(why)),
    };
    drop(first);
    // Line searches branch on rounding; PyTorch's Muon orthogonalises in bf16.
    let least = match text(&run["optimizer"]) {
        "LBFGS" => 1e-3,
        "Muon" => 3e-2,
        _ => 0.0,
    };
    let losses = list(&run["loss"]);
    let snapshots: Vec<usize> =
        list(&run["snapshots"]).iter().filter_map(|n| Some(n.as_u64()? as usize)).collect();
    for (t, want) in losses.iter().enumerate() {
        let last = t + 1 == losses.len();
        let mut loss = || {
            let failed = |why| Tensor::failed(Error::new(Code::State, why));
            loss(problem, &params, problems).unwrap_or_else(failed)
        };
        let have = match last {
            true => loss().item(),
            false => opt.step_with(&mut loss).map(|report| report.loss),
        };
        let (have, want) = (have.map_err(|e| e.to_string())?, want.as_f64().ok_or("a loss")?);
        if (have - want).abs() > f64::max(5e-5, least) * want.abs().max(1.0) {
            return Err(format!("loss {have} before step {}, PyTorch's {want}", t + 1));
        }
        let Some(snapshot) = snapshots.iter().position(|&n| n == t + 1).filter(|_| !last) else {
            continue;
        };
        let own = f64::max(least, if t < 5 { 1e-5 } else { 5e-5 });
        let tolerance = f64::max(own, crate::compare::deviation(run, snapshot));
        for (name, param) in &params.0 {
            let want = trajectories.array(&format!("{key}.step{}.{name}", t + 1))?;
            let have = param.get().map_err(|e| e.to_string())?;
            close(&format!("{name} after step {}", t + 1), &have, &want, tolerance)?;
        }
    }
    Ok(Outcome::Passed)
}

fn schedules(folder: &Path, report: &mut Report) {
    let Some(index) = index(folder, "schedulers.json", report) else { return };
    for entry in list(&index["schedulers"]) {
        let what = format!("optim schedule {}", text(&entry["scheduler"]));
        if report.takes(&what) {
            let case = entry["options"].to_string();
            report.add(&what, &case, guarded(|| rates(entry)));
        }
    }
}

/// The schedule of an entry.
fn schedule(name: &str, options: &Value) -> Option<Schedule> {
    let real = |key: &str| options.get(key).and_then(Value::as_f64);
    let whole = |key: &str| options.get(key).and_then(Value::as_u64);
    let flag = |key: &str| options.get(key).and_then(Value::as_bool).unwrap_or(false);
    Some(match name {
        "StepLR" => {
            Schedule::Step { step_size: whole("step_size")?, gamma: real("gamma").unwrap_or(0.1) }
        }
        "MultiStepLR" => Schedule::MultiStep {
            milestones: list(&options["milestones"]).iter().filter_map(Value::as_u64).collect(),
            gamma: real("gamma").unwrap_or(0.1),
        },
        "ExponentialLR" => Schedule::Exponential { gamma: real("gamma")? },
        "CosineAnnealingLR" => {
            Schedule::Cosine { t_max: whole("T_max")?, eta_min: real("eta_min").unwrap_or(0.0) }
        }
        "CosineAnnealingWarmRestarts" => Schedule::CosineWarmRestarts {
            t_0: whole("T_0")?,
            t_mult: whole("T_mult").unwrap_or(1),
            eta_min: real("eta_min").unwrap_or(0.0),
        },
        "LinearLR" => Schedule::Linear {
            start_factor: real("start_factor").unwrap_or(1.0 / 3.0),
            end_factor: real("end_factor").unwrap_or(1.0),
            total_iters: whole("total_iters").unwrap_or(5),
        },
        "PolynomialLR" => Schedule::Polynomial {
            total_iters: whole("total_iters").unwrap_or(5),
            power: real("power").unwrap_or(1.0),
        },
        "ConstantLR" => Schedule::Constant {
            factor: real("factor").unwrap_or(1.0 / 3.0),
            total_iters: whole("total_iters").unwrap_or(5),
        },
        "OneCycleLR" => {
            let plain = OneCycle::new(real("max_lr")?, whole("total_steps")?);
            Schedule::OneCycle(OneCycle {
                pct_start: real("pct_start").unwrap_or(plain.pct_start),
                linear: options["anneal_strategy"] == "linear",
                div_factor: real("div_factor").unwrap_or(plain.div_factor),
                final_div_factor: real("final_div_factor").unwrap_or(plain.final_div_factor),
                three_phase: flag("three_phase"),
                ..plain
            })
        }
        "CyclicLR" => Schedule::Cyclic(Cyclic {
            step_size_up: whole("step_size_up").unwrap_or(2000),
            step_size_down: whole("step_size_down"),
            mode: match options.get("mode").and_then(Value::as_str) {
                Some("triangular2") => CyclicMode::Triangular2,
                Some("exp_range") => CyclicMode::ExpRange,
                _ => CyclicMode::Triangular,
            },
            gamma: real("gamma").unwrap_or(1.0),
            ..Cyclic::new(real("base_lr")?, real("max_lr")?)
        }),
        "WarmupCosine" => {
            let total_iters = whole("warmup_steps")?;
            let start_factor = real("start_factor")?;
            Schedule::Linear { start_factor, end_factor: 1.0, total_iters }.then(
                total_iters,
                Schedule::Cosine { t_max: whole("T_max")?, eta_min: real("eta_min")? },
            )
        }
        _ => return None,
    })
}

fn rates(entry: &Value) -> Result<Outcome, String> {
    let (name, options) = (text(&entry["scheduler"]), &entry["options"]);
    let base = entry["base_lr"].as_f64().ok_or("no rate")?;
    let near = |what: &str, t: usize, have: f64, want: &Value| {
        let want = want.as_f64().ok_or("a rate that is no number")?;
        // A cosine near its end is a difference of numbers near 1.
        match (have - want).abs() <= 1e-6 * want.abs() + 1e-12 * base {
            true => Ok(()),
            false => Err(format!("the {what} of step {t} is {have}, PyTorch's {want}")),
        }
    };
    if name == "ReduceLROnPlateau" {
        let real = |key: &str| options.get(key).and_then(Value::as_f64);
        let whole = |key: &str| options.get(key).and_then(Value::as_u64);
        let mut plateau = Plateau::new()
            .maximize(options["mode"] == "max")
            .factor(real("factor").unwrap_or(0.1))
            .patience(whole("patience").unwrap_or(10))
            .threshold(real("threshold").unwrap_or(1e-4))
            .absolute(options["threshold_mode"] == "abs")
            .cooldown(whole("cooldown").unwrap_or(0))
            .min_lr(real("min_lr").unwrap_or(0.0));
        let mut lr = base;
        for (t, (want, metric)) in list(&entry["lr"]).iter().zip(list(&entry["metric"])).enumerate()
        {
            near("rate", t, lr, want)?;
            lr = plateau.rate(lr, metric.as_f64().ok_or("a metric")?);
        }
        return Ok(Outcome::Passed);
    }
    let Some(schedule) = schedule(name, options) else {
        return Ok(Outcome::OutOfScope("Gradus has no such schedule".into()));
    };
    schedule.validate().map_err(|e| e.to_string())?;
    for (t, want) in list(&entry["lr"]).iter().enumerate() {
        near("rate", t, schedule.rate(base, t as u64), want)?;
    }
    for (t, want) in list(&entry["momentum"]).iter().enumerate() {
        near("momentum", t, schedule.momentum(t as u64).ok_or("no momentum")?, want)?;
    }
    Ok(Outcome::Passed)
}

fn clipping(folder: &Path, files: &Files, report: &mut Report) {
    let Some(index) = index(folder, "clip.json", report) else { return };
    for case in list(&index["cases"]) {
        let what = format!("optim clip by {}", text(&case["kind"]));
        if report.takes(&what) {
            let outcome = guarded(|| clip(case, &files.get(&index["file"])?));
            report.add(&what, &format!("case {}", case["id"]), outcome);
        }
    }
}

fn clip(case: &Value, file: &Bundle) -> Result<Outcome, String> {
    let limit = case["limit"].as_f64().ok_or("no limit")?;
    let order = match &case["norm_type"] {
        Value::String(_) => f64::INFINITY,
        order => order.as_f64().unwrap_or(2.0),
    };
    // A linear loss has the given gradients.
    let mut loss = Tensor::from(0.0);
    let mut params = Vec::new();
    for key in list(&case["grads"]) {
        let gradient = file.array(text(key))?;
        let param = Param::new(gradient.clone());
        loss = loss + (param.tensor() * Tensor::from(gradient)).sum();
        params.push(param);
    }
    let gradients = loss.backward().map_err(|e| e.to_string())?;
    let clipped = match text(&case["kind"]) {
        "norm" => {
            let norm = gradients.norm_of(order).item().map_err(|e| e.to_string())?;
            let want = case["total_norm"].as_f64().ok_or("no norm")?;
            if (norm - want).abs() > 1e-6 * want.max(1.0) {
                return Err(format!("the norm is {norm}, PyTorch's {want}"));
            }
            gradients.clip_norm_of(limit, order)
        }
        "value" => gradients.clip_value(limit),
        kind => return Ok(Outcome::OutOfScope(format!("clipping by {kind}"))),
    };
    for (param, key) in params.iter().zip(list(&case["clipped"])) {
        let have = clipped.get(param).ok_or("no gradient")?.to_array();
        let have = have.map_err(|e| e.to_string())?;
        close(text(key), &have, &file.array(text(key))?, 1e-6)?;
    }
    Ok(Outcome::Passed)
}
