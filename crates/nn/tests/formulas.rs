//! Optimizers whose rule is written with tensors, and those that drive others: what they promise
//! beside their formulas (those are in the golden values).

#![allow(clippy::unwrap_used, clippy::panic)]

use gradus_core::{Array, Code, DType, Param, Rng, Tensor};
use gradus_nn::optim::{
    Adafactor, Average, GroupOptions, Lamb, Lbfgs, LineSearch, Lookahead, Muon, Proportional,
    ProportionalTo, Sam, Together, clip_adaptive,
};
use gradus_nn::{
    Adam, AdamW, Linear, Module, ModuleExt, Optimizer, Sequential, Sgd, StateDict, Tanh, penalty,
    seq,
};

fn model() -> Sequential {
    let model = seq![Linear::new(3, 5), Tanh, Linear::new(5, 2)];
    for (i, (_, param)) in model.named_parameters().into_iter().enumerate() {
        param.set(Rng::new(i as u64).normal(param.shape(), 0.0, 0.5).unwrap()).unwrap();
    }
    model
}

fn loss(model: &Sequential) -> Tensor {
    let x = Tensor::from(Rng::new(7).normal([8, 3], 0.0, 1.0).unwrap());
    let y = Tensor::from(Rng::new(8).normal([8, 2], 0.0, 1.0).unwrap());
    model.forward(&x).mse_loss(&y)
}

fn bits(model: &impl Module) -> Vec<u8> {
    model.state_dict().unwrap().to_bytes()
}

fn matrices(name: &str, _: &Param) -> bool {
    name.ends_with("weight")
}

/// Every optimizer of this file, fresh.
fn all(model: &Sequential) -> Vec<Box<dyn Optimizer>> {
    let muon = || Muon::new(&model.select(matrices), 0.02);
    let rest = model.select(|name, p| !matrices(name, p));
    vec![
        Box::new(Adafactor::new(model, 0.05).weight_decay(0.01)),
        Box::new(Lamb::new(model, 0.01).weight_decay(0.01)),
        Box::new(muon()),
        Box::new(Together::new(muon()).with(AdamW::new(&rest, 1e-2))),
        Box::new(Lookahead::new(Adam::new(model, 0.01)).k(2)),
        Box::new(Sam::new(Sgd::new(model, 0.05).momentum(0.9), 0.05)),
        Box::new(Sam::new(Adam::new(model, 0.05), 0.5).adaptive(true)),
        Box::new(Lbfgs::new(model, 1.0).max_iter(3).line_search(LineSearch::StrongWolfe)),
        Box::new(Lbfgs::new(model, 0.1).max_iter(2).history_size(2)),
        Box::new(Proportional::new(model, 0.05, ProportionalTo::Gradient)),
        Box::new(Proportional::new(model, 0.05, ProportionalTo::Loss)),
        Box::new(Proportional::new(model, 0.05, ProportionalTo::Value)),
    ]
}

#[test]
fn every_optimizer_lowers_the_loss() {
    for i in 0..12 {
        let model = model();
        let mut opt = all(&model).remove(i);
        let first = opt.step_with(&mut || loss(&model)).unwrap().loss;
        for _ in 0..20 {
            opt.step_with(&mut || loss(&model)).unwrap();
        }
        let last = loss(&model).item().unwrap();
        assert!(last < 0.95 * first, "optimizer {i}: {first} to {last}");
        assert_eq!(opt.steps(), 21);
    }
}

#[test]
fn a_failed_step_leaves_parameters_state_and_counts() {
    for i in 0..12 {
        let model = model();
        let mut opt = all(&model).remove(i);
        opt.step_with(&mut || loss(&model)).unwrap();
        let (before, state) = (bits(&model), opt.state_dict().unwrap().to_bytes());
        let bad = || (loss(&model) - loss(&model).detach() - 1.0).log().sum();
        let error = opt.step_with(&mut || bad()).map(|_| i).unwrap_err();
        assert_eq!(error.code(), Code::NonFinite, "optimizer {i}: {error}");
        let lost = || Tensor::from([1.0]).with_grad().sum();
        let error = opt.step_with(&mut || lost()).unwrap_err();
        assert_eq!(error.code(), Code::Gradient, "optimizer {i}: {error}");
        let failed = || loss(&model).reshape([7]);
        let error = opt.step_with(&mut || failed()).unwrap_err();
        assert_eq!(error.code(), Code::Shape, "optimizer {i}: {error}");
        assert_eq!(bits(&model), before, "optimizer {i}");
        assert_eq!(opt.state_dict().unwrap().to_bytes(), state, "optimizer {i}");
        assert_eq!(opt.steps(), 1);
        opt.step_with(&mut || loss(&model)).unwrap();
    }
}

#[test]
fn a_saved_optimizer_goes_on_bit_for_bit() {
    for i in 0..12 {
        let model = self::model();
        let mut opt = all(&model).remove(i);
        for _ in 0..3 {
            opt.step_with(&mut || loss(&model)).unwrap();
        }
        let rate = opt.lr() * 0.5;
        opt.set_lr(rate);
        let weights = StateDict::from_bytes(&bits(&model)).unwrap();
        let state = StateDict::from_bytes(&opt.state_dict().unwrap().to_bytes()).unwrap();
        let again = self::model();
        let mut other = all(&again).remove(i);
        again.load_state_dict(&weights).unwrap();
        other.load_state_dict(&state).unwrap();
        assert_eq!((other.lr(), other.steps()), (rate, 3), "optimizer {i}");
        for _ in 0..3 {
            opt.step_with(&mut || loss(&model)).unwrap();
            other.step_with(&mut || loss(&again)).unwrap();
        }
        assert_eq!(bits(&model), bits(&again), "optimizer {i}");
        let foreign = Adam::new(&model, 0.1).state_dict().unwrap();
        let error = other.load_state_dict(&foreign).unwrap_err();
        assert_eq!(error.code(), Code::State, "optimizer {i}");
    }
}

#[test]
fn accumulating_and_applying_do_what_a_step_does() {
    for i in [0, 1, 2, 4, 9, 11] {
        let models = [model(), model(), model()];
        let mut opts: Vec<_> = models.iter().map(|m| all(m).remove(i)).collect();
        for _ in 0..3 {
            opts[0].step(&loss(&models[0])).unwrap();
            opts[1].apply(&loss(&models[1]).backward().unwrap()).unwrap();
            opts[2].accumulate(&(loss(&models[2]) * 0.5)).unwrap();
            opts[2].accumulate(&(loss(&models[2]) * 0.5)).unwrap();
            opts[2].apply_accumulated().unwrap();
        }
        assert_eq!(bits(&models[0]), bits(&models[1]), "optimizer {i}");
        assert_eq!(bits(&models[0]), bits(&models[2]), "optimizer {i}");
    }
}

#[test]
fn drivers_say_how_they_are_called() {
    let model = model();
    for i in [5, 7] {
        let mut opt = all(&model).remove(i);
        let error = opt.step(&loss(&model)).unwrap_err();
        assert!(error.advice().unwrap().contains("step_with"), "{error}");
        assert!(opt.apply(&loss(&model).backward().unwrap()).is_err());
    }
}

#[test]
fn an_average_is_the_mean_or_a_moving_one() {
    let param = Param::new(Array::new([1], &[1.0f32]).unwrap());
    let holder = seq_of(&param);
    let set = |v: f32| param.set(Array::new([1], &[v]).unwrap()).unwrap();
    let now = || param.get().unwrap().to_f64()[0];
    let (mut swa, mut ema) = (Average::swa(&holder), Average::ema(&holder, 0.75));
    assert!(swa.swap().is_err() && swa.weights().is_err());
    for v in [1.0, 3.0, 5.0] {
        set(v);
        swa.update().unwrap();
        ema.update().unwrap();
    }
    assert!((swa.with_averaged(now).unwrap() - 3.0).abs() < 1e-6);
    // 1, then 1.5, then 2.375.
    assert_eq!(ema.with_averaged(now).unwrap(), 2.375);
    assert_eq!(now(), 5.0);
    let state = StateDict::from_bytes(&swa.state_dict().unwrap().to_bytes()).unwrap();
    let mut again = Average::swa(&holder);
    again.load_state_dict(&state).unwrap();
    set(7.0);
    again.update().unwrap();
    again.swap().unwrap();
    assert_eq!((now(), again.updates()), (4.0, 4));
    assert!(again.update().unwrap_err().advice().unwrap().contains("swap"));
    assert!(Average::ema(&holder, 1.5).update().is_err());
    assert_eq!(swa.load_state_dict(&StateDict::new()).unwrap_err().code(), Code::State);
}

#[test]
fn adaptive_clipping_is_by_unit() {
    let model = Linear::new(2, 2);
    model.weight.set(Array::new([2, 2], &[3.0f32, 4.0, 0.0, 0.0]).unwrap()).unwrap();
    let gradient = Tensor::from([[30.0, 40.0], [0.3, 0.4]]);
    let gradients = gradus_core::Gradients::from_pairs([(&model.weight, gradient)]);
    let clipped = clip_adaptive(&model, &gradients, 0.1, 0.01);
    let found = clipped.get(&model.weight).unwrap().to_vec::<f32>().unwrap();
    // The first row may be 0.5 long, the second 0.001.
    let expected = [0.3, 0.4, 0.0006, 0.0008];
    assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6), "{found:?}");
    let window = Param::new(Array::new([2, 1, 2, 2], &[1.0f32; 8]).unwrap());
    let gradients = gradus_core::Gradients::from_pairs([(&window, Tensor::ones([2, 1, 2, 2]))]);
    let clipped = clip_adaptive(&seq_of(&window), &gradients, 0.5, 1e-3);
    assert_eq!(clipped.get(&window).unwrap().to_vec::<f32>().unwrap(), [0.5; 8]);
}

#[test]
fn a_lasso_makes_weights_small_and_leaves_biases() {
    let model = Linear::new(2, 1);
    let bias = model.bias.as_ref().unwrap();
    bias.set(Array::new([1], &[3.0f32]).unwrap()).unwrap();
    let mut opt = Sgd::new(&model, 0.1);
    for _ in 0..50 {
        opt.step(&penalty::l1(&model, 0.1, penalty::weights)).unwrap();
    }
    assert!(model.weight.get().unwrap().to_f64().iter().all(|w| w.abs() < 0.6));
    assert_eq!(bias.get().unwrap().to_f64(), [3.0]);
    assert_eq!(penalty::l2(&model, 1.0, |_, _| false).item().unwrap(), 0.0);
}

#[test]
fn muon_names_what_it_cannot_train() {
    let model = model();
    let error = Muon::new(&model, 0.02).step(&loss(&model)).unwrap_err();
    assert!(error.title().contains("`0.bias`"), "{error}");
    assert!(error.advice().unwrap().contains("Together"), "{error}");
}

#[test]
fn frozen_parameters_stay_and_thawed_ones_start_with_their_first_step() {
    for i in [0, 1, 4] {
        let model = model();
        let mut opt = all(&model).remove(i);
        let head = model.select(|name, _| name.starts_with("2."));
        model.freeze();
        head.thaw();
        let before = model.state_dict().unwrap();
        let report = opt.step(&loss(&model)).unwrap();
        assert_eq!(report.untouched.len(), 2, "optimizer {i}");
        let same = |name: &str| {
            let now = model.state_dict().unwrap();
            now.get(name).unwrap().same_bits(before.get(name).unwrap())
        };
        assert!(same("0.weight") && same("0.bias") && !same("2.weight"), "optimizer {i}");
        // One layer more: its counts begin at 1, as the state says.
        model.thaw();
        assert!(opt.step(&loss(&model)).unwrap().untouched.is_empty());
        let state = opt.state_dict().unwrap();
        let base = if i == 4 { "base." } else { "" };
        let count =
            |name: &str| state.get(&format!("{base}state.{name}.step")).unwrap().to_f64()[0];
        assert_eq!((count("0.weight"), count("2.weight")), (1.0, 2.0), "optimizer {i}");
    }
}

#[test]
fn groups_have_their_own_rate_and_decay() {
    let model = model();
    let before = model.state_dict().unwrap();
    let frozen = GroupOptions::new().lr(0.0);
    let mut opt = Lamb::new(&model, 0.01).group(|name, _| name.starts_with("0."), frozen);
    opt.step(&loss(&model)).unwrap();
    let now = model.state_dict().unwrap();
    assert!(now.get("0.weight").unwrap().same_bits(before.get("0.weight").unwrap()));
    assert!(!now.get("2.weight").unwrap().same_bits(before.get("2.weight").unwrap()));
    assert!(Lamb::new(&model, -1.0).step(&loss(&model)).is_err());
    let error = Adafactor::new(&model, 0.1).d(0.5).step(&loss(&model)).unwrap_err();
    assert!(error.title().contains("threshold d must be 1 or more"), "{error}");
}

#[test]
fn lamb_follows_its_formula() {
    let start = [0.3, -0.2, 0.5];
    let param = Param::new(Array::new([3], &start.map(|v| v as f32)).unwrap());
    let holder = seq_of(&param);
    let mut opt = Lamb::new(&holder, 0.1).weight_decay(0.01);
    let (mut p, mut m, mut v) = (start, [0.0; 3], [0.0; 3]);
    for t in 1..=5 {
        opt.step(&(param.tensor().square().sum() * 0.5)).unwrap();
        let mut r = [0.0; 3];
        for k in 0..3 {
            m[k] = 0.9 * m[k] + 0.1 * p[k];
            v[k] = 0.999 * v[k] + 0.001 * p[k] * p[k];
            let (mean, square) = (m[k] / (1.0 - 0.9f64.powi(t)), v[k] / (1.0 - 0.999f64.powi(t)));
            r[k] = mean / (square.sqrt() + 1e-6) + 0.01 * p[k];
        }
        let norm = |x: &[f64; 3]| x.iter().map(|a| a * a).sum::<f64>().sqrt();
        let trust = norm(&p) / norm(&r);
        (0..3).for_each(|k| p[k] -= 0.1 * trust * r[k]);
        let found = param.get().unwrap().to_f64();
        assert!(found.iter().zip(p).all(|(a, b)| (a - b).abs() < 1e-5), "{found:?} {p:?}");
    }
}

struct Holder(Param);

impl Module for Holder {
    fn walk(&self, visitor: &mut dyn gradus_nn::Visitor) {
        visitor.param("p", &self.0);
    }
}

fn seq_of(param: &Param) -> Holder {
    Holder(param.share())
}

#[test]
fn sam_steps_with_the_gradient_at_the_worst_place_nearby() {
    let param = Param::new(Array::new([2], &[3.0f32, 4.0]).unwrap());
    let mut opt = Sam::new(Sgd::new(&seq_of(&param), 0.1), 0.5);
    opt.step_with(&mut || param.tensor().square().sum() * 0.5).unwrap();
    // e = 0.5 * (3, 4) / 5, and the gradient there is w + e.
    let found = param.get().unwrap().to_f64();
    let expected = [3.0 - 0.1 * 3.3, 4.0 - 0.1 * 4.4];
    assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-5), "{found:?}");
}

#[test]
fn lookahead_goes_half_of_the_way() {
    let param = Param::new(Array::new([1], &[8.0f32]).unwrap());
    let mut opt = Lookahead::new(Sgd::new(&seq_of(&param), 0.5)).k(2);
    let mut at = || {
        opt.step(&(param.tensor().square().sum() * 0.5)).unwrap();
        param.get().unwrap().to_f64()[0]
    };
    // Fast weights 4, 2; then halfway from 8 to 2.
    assert_eq!([at(), at(), at(), at()], [4.0, 5.0, 2.5, 5.0 + 0.5 * (1.25 - 5.0)]);
}

#[test]
fn rates_in_proportion_are_what_they_say() {
    let at = |to| {
        let param = Param::new(Array::new([1], &[2.0f32]).unwrap());
        let mut opt = Proportional::new(&seq_of(&param), 0.1, to);
        // The loss is 12, the gradient 12.
        opt.step(&(param.tensor().square().sum() * 3.0)).unwrap();
        param.get().unwrap().to_f64()[0]
    };
    assert!((at(ProportionalTo::Gradient) - (2.0 - 0.1 * 12.0 * 12.0)).abs() < 1e-4);
    assert!((at(ProportionalTo::Loss) - (2.0 - 0.1 * 12.0 * 12.0)).abs() < 1e-4);
    assert!((at(ProportionalTo::Value) - (2.0 - 0.1 * 2.0 * 12.0)).abs() < 1e-4);
    let model = model();
    let mut opt = Proportional::new(&model, 0.1, ProportionalTo::Loss);
    let error = opt.apply(&loss(&model).backward().unwrap()).unwrap_err();
    assert!(error.advice().unwrap().contains("step"), "{error}");
}

#[test]
fn double_precision_is_trained_in_double_precision() {
    let param = Param::new(Array::new([2, 2], &[1.0f64, 2.0, 3.0, 4.5]).unwrap());
    let holder = seq_of(&param);
    let optimizers: [Box<dyn Optimizer>; 4] = [
        Box::new(Adafactor::new(&holder, 0.1)),
        Box::new(Lamb::new(&holder, 0.1)),
        Box::new(Muon::new(&holder, 0.1)),
        Box::new(Lbfgs::new(&holder, 0.1)),
    ];
    for mut opt in optimizers {
        opt.step_with(&mut || param.tensor().square().sum()).unwrap();
        assert_eq!(param.get().unwrap().dtype(), DType::F64);
    }
}
