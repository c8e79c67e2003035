//! Layers, optimizers, clipping and initialisers against values dumped from PyTorch
//! (`fixtures/README.md`).

#![allow(clippy::unwrap_used, clippy::panic)]

use gradus_core::{Array, Param, Tensor};
use gradus_nn::init::{self, Fan, Nonlinearity};
use gradus_nn::{
    Adam, AdamW, Dropout, Gelu, Layer, Linear, ModuleExt, Optimizer, Relu, Sgd, Sigmoid, StateDict,
    Tanh,
};
use serde_json::Value;

fn tensors(name: &str) -> StateDict {
    StateDict::load(format!("tests/fixtures/{name}.safetensors")).unwrap()
}

fn index(name: &str) -> Value {
    let text = std::fs::read_to_string(format!("tests/fixtures/{name}.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// The largest difference, relative to `max(1, max|expected|)`.
fn difference(found: &Array, expected: &Array) -> f64 {
    assert_eq!(found.shape(), expected.shape());
    let (found, expected) = (found.to_f64(), expected.to_f64());
    let scale = expected.iter().fold(1.0f64, |m, v| m.max(v.abs()));
    let pairs = found.iter().zip(&expected);
    pairs.fold(0.0, |m, (a, b)| f64::max(m, (a - b).abs() / scale))
}

#[test]
fn layers_give_pytorchs_outputs_and_gradients() {
    let tensors = tensors("modules");
    let mut checked = 0;
    for module in list(&index("modules")["modules"]) {
        let name = module["name"].as_str().unwrap();
        for case in list(&module["cases"]) {
            let get = |key: &Value| {
                let key = format!("{name}.{}", key.as_str().unwrap());
                tensors.get(&key).unwrap_or_else(|| panic!("no {key}")).clone()
            };
            let ctor = &case["ctor"];
            let mut linear: Option<Linear> = None;
            let layer: Box<dyn Layer> = match name {
                "Linear" => {
                    let state = &case["state"];
                    let bias = state.get("bias").map(&get);
                    let layer = Linear::from_arrays(get(&state["weight"]), bias);
                    assert_eq!(layer.in_features() as u64, ctor["in_features"].as_u64().unwrap());
                    linear = Some(layer.share());
                    Box::new(layer)
                }
                "ReLU" => Box::new(Relu),
                "Tanh" => Box::new(Tanh),
                "Sigmoid" => Box::new(Sigmoid),
                "GELU" => Box::new(Gelu),
                "Dropout" => Box::new(Dropout::new(ctor["p"].as_f64().unwrap())),
                other => panic!("{other}"),
            };
            let input = list(&case["inputs"]).first().unwrap_or(&case["kwargs"]["input"]);
            let x = Tensor::from_array(&get(&input["tensor"])).with_grad();
            // Dropout is given in evaluation mode; gradients flow there too.
            let y = if case["mode"] == "eval" {
                gradus_core::inference(|| layer.forward(&x))
            } else {
                layer.forward(&x)
            };
            let expected = get(&list(&case["outputs"])[0]["tensor"]);
            let what = format!("{name} {}", case["id"]);
            assert!(difference(&y.to_array().unwrap(), &expected) < 1e-6, "{what}");
            checked += 1;
            if case["mode"] == "eval" {
                continue;
            }
            let cotangent = get(&list(&case["cotangents"])[0]["cot"]);
            let loss = (y * Tensor::from_array(&cotangent)).sum();
            let gradients = loss.backward().unwrap();
            gradus_core::sync().unwrap(); // all gradients in one plan
            let expected = get(&list(&case["input_grads"])[0]["grad"]);
            let found = gradients.of(&x).unwrap().to_array().unwrap();
            assert!(difference(&found, &expected) < 2e-5, "{what}");
            let Some(linear) = linear else { continue };
            for (name, param) in linear.named_parameters() {
                let expected = get(&case["param_grads"][&name]);
                let found = gradients.get(&param).unwrap().to_array().unwrap();
                assert!(difference(&found, &expected) < 2e-5, "{what} {name}");
            }
        }
    }
    assert_eq!(checked, 21);
}

/// An optimizer with the options of a run.
fn optimizer(model: &Problem, run: &Value) -> Box<dyn Optimizer> {
    let options = &run["options"];
    let number = |name: &str| options.get(name).and_then(Value::as_f64);
    let flag = |name: &str| options.get(name).and_then(Value::as_bool).unwrap_or(false);
    let lr = number("lr").unwrap();
    let known = [
        "lr",
        "momentum",
        "dampening",
        "nesterov",
        "weight_decay",
        "maximize",
        "betas",
        "eps",
        "amsgrad",
    ];
    for key in options.as_object().unwrap().keys() {
        assert!(known.contains(&key.as_str()), "{key}");
    }
    macro_rules! adam {
        ($t:ident) => {{
            let mut opt = $t::new(model, lr).amsgrad(flag("amsgrad")).maximize(flag("maximize"));
            if let [a, b] = list(&options["betas"]) {
                opt = opt.betas(a.as_f64().unwrap(), b.as_f64().unwrap());
            }
            if let Some(eps) = number("eps") {
                opt = opt.eps(eps);
            }
            if let Some(decay) = number("weight_decay") {
                opt = opt.weight_decay(decay);
            }
            Box::new(opt)
        }};
    }
    match run["optimizer"].as_str().unwrap() {
        "SGD" => Box::new(
            Sgd::new(model, lr)
                .momentum(number("momentum").unwrap_or(0.0))
                .dampening(number("dampening").unwrap_or(0.0))
                .weight_decay(number("weight_decay").unwrap_or(0.0))
                .nesterov(flag("nesterov"))
                .maximize(flag("maximize")),
        ),
        "Adam" => adam!(Adam),
        "AdamW" => adam!(AdamW),
        other => panic!("{other}"),
    }
}

/// The parameters of a problem, by name.
struct Problem(Vec<(String, Param)>);

impl gradus_nn::Module for Problem {
    fn walk(&self, visitor: &mut dyn gradus_nn::Visitor) {
        self.0.iter().for_each(|(name, param)| visitor.param(name, param));
    }
}

impl Problem {
    fn new(name: &str, tensors: &StateDict) -> Problem {
        let prefix = format!("{name}.init.");
        let params = tensors.iter().filter_map(|(key, value)| {
            Some((key.strip_prefix(&prefix)?.to_string(), Param::new(value.clone())))
        });
        Problem(params.collect())
    }

    fn param(&self, name: &str) -> Tensor {
        self.0.iter().find(|(n, _)| n == name).unwrap().1.tensor()
    }

    fn loss(&self, name: &str, tensors: &StateDict) -> Tensor {
        let data = |key: &str| Tensor::from_array(tensors.get(&format!("{name}.{key}")).unwrap());
        if name == "mlp" {
            let h = data("x").linear(self.param("0.weight"), Some(&self.param("0.bias"))).tanh();
            let logits = h.linear(self.param("2.weight"), Some(&self.param("2.bias")));
            return logits.cross_entropy(&data("y"));
        }
        let p = self.param("p");
        0.5 * (&p * data("A").matmul(&p)).sum() - (data("b") * &p).sum()
    }
}

#[test]
fn optimizers_follow_pytorchs_trajectories() {
    let tensors = tensors("optim");
    let index = index("optim");
    let runs = list(&index["runs"]);
    assert_eq!(runs.len(), 30);
    for run in runs {
        let (key, name) = (run["key"].as_str().unwrap(), run["problem"].as_str().unwrap());
        let problem = Problem::new(name, &tensors);
        let mut opt = optimizer(&problem, run);
        for (t, expected) in list(&run["loss"]).iter().enumerate() {
            let loss = problem.loss(name, &tensors);
            let found = if t < 20 { opt.step(&loss).unwrap().loss } else { loss.item().unwrap() };
            let expected = expected.as_f64().unwrap();
            let error = (found - expected).abs() / expected.abs().max(1.0);
            assert!(error < 5e-5, "{key}: loss {found} instead of {expected} at {t}");
            for (name, param) in &problem.0 {
                let after = format!("{key}.step{}.{name}", t + 1);
                if let (true, Some(expected)) = (t < 20, tensors.get(&after)) {
                    let error = difference(&param.get().unwrap(), expected);
                    let limit = if t < 5 { 1e-5 } else { 5e-5 };
                    assert!(error < limit, "{after}: {error:e}");
                }
            }
        }
        assert_eq!(opt.steps(), 20);
    }
}

#[test]
fn clipping_by_norm_is_pytorchs() {
    let tensors = tensors("clip");
    let index = index("optim");
    let cases = list(&index["clip"]);
    assert_eq!(cases.len(), 3);
    for case in cases {
        let get = |key: &Value| tensors.get(key.as_str().unwrap()).unwrap();
        let params: Vec<(Param, Array)> = list(&case["grads"])
            .iter()
            .map(|key| (Param::new(get(key).clone()), get(key).clone()))
            .collect();
        // A linear loss has the given gradients.
        let loss = params.iter().fold(Tensor::from(0.0), |loss, (param, gradient)| {
            loss + (param.tensor() * Tensor::from_array(gradient)).sum()
        });
        let gradients = loss.backward().unwrap();
        let norm = gradients.norm().item().unwrap();
        assert!((norm - case["total_norm"].as_f64().unwrap()).abs() <= 1e-6 * norm.max(1.0));
        let clipped = gradients.clip_norm(case["limit"].as_f64().unwrap());
        for ((param, _), key) in params.iter().zip(list(&case["clipped"])) {
            let found = clipped.get(param).unwrap().to_array().unwrap();
            assert!(difference(&found, get(key)) < 1e-6);
        }
    }
}

#[test]
fn initialisers_follow_their_laws() {
    gradus_core::seed(20261);
    let index = index("optim");
    let mut checked = 0;
    for case in list(&index["inits"]) {
        let (options, expect) = (&case["options"], &case["expect"]);
        let shape: Vec<usize> =
            list(&case["shape"]).iter().map(|d| d.as_u64().unwrap() as usize).collect();
        let number = |name: &str| options.get(name).and_then(Value::as_f64);
        let fan = if options["mode"] == "fan_out" { Fan::Out } else { Fan::In };
        let follows = match options.get("nonlinearity").and_then(Value::as_str) {
            Some("leaky_relu") => Nonlinearity::LeakyRelu(number("a").unwrap()),
            _ => Nonlinearity::Relu,
        };
        let gain = number("gain").unwrap_or(1.0);
        let name = case["init"].as_str().unwrap();
        let array = match name {
            "xavier_uniform" => init::xavier_uniform(&shape, gain),
            "xavier_normal" => init::xavier_normal(&shape, gain),
            "kaiming_uniform" => init::kaiming_uniform(&shape, fan, follows),
            "kaiming_normal" => init::kaiming_normal(&shape, fan, follows),
            "uniform" => {
                let (a, b) = (number("a").unwrap_or(0.0), number("b").unwrap_or(1.0));
                init::uniform(&shape, a as f32, b as f32)
            }
            "normal" => {
                let (mean, std) = (number("mean").unwrap_or(0.0), number("std").unwrap_or(1.0));
                init::normal(&shape, mean as f32, std as f32)
            }
            other => panic!("{other}"),
        };
        let values = array.unwrap().to_f64();
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let std = (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n).sqrt();
        let (law_mean, law_std) =
            (expect["mean"].as_f64().unwrap(), expect["std"].as_f64().unwrap());
        // Five standard errors of a mean and, about, of a standard deviation.
        assert!((mean - law_mean).abs() < 5.0 * law_std / n.sqrt(), "{case}: mean {mean}");
        assert!((std / law_std - 1.0).abs() < 5.0 / n.sqrt(), "{case}: std {std}");
        if let Some(bound) = expect.get("bound").and_then(Value::as_f64) {
            let most = values.iter().fold(0.0f64, |m, v| m.max(v.abs()));
            assert!(most <= bound * (1.0 + 1e-6) && most > 0.99 * bound, "{case}: {most}");
        }
        checked += 1;
    }
    assert_eq!(checked, 18);
    for case in list(&index["gains"]) {
        let gain = match case["nonlinearity"].as_str().unwrap() {
            "linear" | "conv2d" => Nonlinearity::Linear.gain(),
            "sigmoid" => Nonlinearity::Sigmoid.gain(),
            "tanh" => Nonlinearity::Tanh.gain(),
            "relu" => Nonlinearity::Relu.gain(),
            "leaky_relu" => {
                let slope = case.get("param").and_then(Value::as_f64).unwrap_or(0.01);
                Nonlinearity::LeakyRelu(slope).gain()
            }
            "selu" => Nonlinearity::Selu.gain(),
            other => panic!("{other}"),
        };
        assert!((gain - case["gain"].as_f64().unwrap()).abs() < 1e-12, "{case}");
    }
}

#[test]
fn a_linear_layer_starts_as_pytorchs() {
    gradus_core::seed(3);
    let index = index("optim");
    let law = &list(&index["defaults"])[0];
    assert_eq!(law["module"], "Linear(50, 40)");
    let layer = Linear::new(50, 40);
    for (name, param) in layer.named_parameters() {
        let bound = law[format!("{name}_bound")].as_f64().unwrap();
        let values = param.get().unwrap().to_f64();
        let most = values.iter().fold(0.0f64, |m, v| m.max(v.abs()));
        assert!(most <= bound * (1.0 + 1e-6) && most > 0.9 * bound, "{name}: {most}");
    }
}
