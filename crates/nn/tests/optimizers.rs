//! What optimizers promise beside their formulas (those are in `golden.rs`).

#![allow(clippy::unwrap_used, clippy::panic)]

use gradus_core::{Array, Code, Param, Tensor};
use gradus_nn::optim::GroupOptions;
use gradus_nn::{Adam, AdamW, Linear, Module, ModuleExt, Optimizer, Relu, Sgd, StateDict};

#[derive(Module)]
struct Two {
    a: Param,
    b: Param,
}

fn two() -> Two {
    let param = |v: f32| Param::new(Array::new([2], &[v, -v]).unwrap());
    Two { a: param(1.0), b: param(2.0) }
}

impl Two {
    fn bits(&self) -> Vec<u8> {
        self.state_dict().unwrap().to_bytes()
    }
    fn loss_a(&self) -> Tensor {
        self.a.tensor().square().sum()
    }
    fn loss(&self) -> Tensor {
        self.loss_a() + self.b.tensor().square().sum() * 0.5
    }
}

fn all(model: &Two) -> Vec<Box<dyn Optimizer>> {
    vec![
        Box::new(Sgd::new(model, 0.1)),
        Box::new(Sgd::new(model, 0.1).momentum(0.9).dampening(0.5)),
        Box::new(Adam::new(model, 0.1)),
        Box::new(AdamW::new(model, 0.1).amsgrad(true)),
    ]
}

#[test]
fn a_failed_step_leaves_parameters_state_and_counts() {
    for i in 0..4 {
        let model = two();
        let mut opt = all(&model).remove(i);
        opt.step(&model.loss()).unwrap();
        let (bits, state) = (model.bits(), opt.state_dict().unwrap().to_bytes());
        let bad = (model.loss() - model.loss().detach() - 1.0).log().sum();
        assert_eq!(opt.step(&bad).unwrap_err().code(), Code::NonFinite);
        let lost = Tensor::from([1.0]).with_grad().sum();
        assert_eq!(opt.step(&lost).unwrap_err().code(), Code::Gradient);
        let failed = model.a.tensor().matmul(Tensor::zeros([3, 3])).sum();
        assert_eq!(opt.step(&failed).unwrap_err().code(), Code::Shape);
        assert_eq!(model.bits(), bits);
        assert_eq!(opt.state_dict().unwrap().to_bytes(), state);
        assert_eq!(opt.steps(), 1);
    }
}

#[test]
fn a_parameter_that_joins_later_starts_with_its_own_first_step() {
    // `b` has no gradient in two steps. Then it moves as in an optimizer of its own.
    for i in 0..4 {
        let (model, apart) = (two(), two());
        let mut opt = all(&model).remove(i);
        assert_eq!(opt.step(&model.loss_a()).unwrap().untouched, [model.b.id()]);
        assert_eq!(opt.step(&model.loss_a()).unwrap().untouched, [model.b.id()]);
        opt.step(&model.loss()).unwrap();
        opt.step(&model.loss()).unwrap();
        let only_a = all(&apart).remove(i);
        let only_b = all(&apart).remove(i);
        let (mut only_a, mut only_b) = (only_a, only_b);
        for _ in 0..4 {
            only_a.step(&apart.loss_a()).unwrap();
        }
        for _ in 0..2 {
            only_b.step(&(apart.b.tensor().square().sum() * 0.5)).unwrap();
        }
        assert_eq!(model.bits(), apart.bits(), "optimizer {i}");
    }
}

#[test]
fn a_saved_optimizer_goes_on_bit_for_bit() {
    for i in 0..4 {
        let model = two();
        let mut opt = all(&model).remove(i);
        opt.step(&model.loss_a()).unwrap();
        opt.step(&model.loss()).unwrap();
        opt.set_lr(0.05);
        let weights = StateDict::from_bytes(&model.bits()).unwrap();
        let state = StateDict::from_bytes(&opt.state_dict().unwrap().to_bytes()).unwrap();
        for _ in 0..3 {
            opt.step(&model.loss()).unwrap();
        }
        let again = two();
        let mut opt = all(&again).remove(i);
        again.load_state_dict(&weights).unwrap();
        opt.load_state_dict(&state).unwrap();
        assert_eq!((opt.lr(), opt.steps()), (0.05, 2));
        for _ in 0..3 {
            opt.step(&again.loss()).unwrap();
        }
        assert_eq!(model.bits(), again.bits(), "optimizer {i}");
    }
}

#[test]
fn a_state_of_another_optimizer_or_model_is_refused() {
    let model = two();
    let state = Adam::new(&model, 0.1).state_dict().unwrap();
    let error = AdamW::new(&model, 0.1).load_state_dict(&state).unwrap_err();
    assert!(error.title().contains("of Adam, not of AdamW"), "{error}");
    let error = Adam::new(&model, 0.1).amsgrad(true).load_state_dict(&state).unwrap_err();
    assert!(error.to_string().contains("state.a.max_exp_avg_sq"), "{error}");
    let error = Adam::new(&Linear::new(2, 2), 0.1).load_state_dict(&state).unwrap_err();
    assert_eq!(error.code(), Code::State);
    let error = Adam::new(&model, 0.1).load_state_dict(&model.state_dict().unwrap()).unwrap_err();
    assert!(error.title().contains("of no optimizer"), "{error}");
    let mut negative = state.clone();
    negative.insert("state.b.step", Array::new((), &[-1i64]).unwrap());
    let mut opt = Adam::new(&model, 0.1);
    let before = opt.state_dict().unwrap().to_bytes();
    assert_eq!(opt.load_state_dict(&negative).unwrap_err().code(), Code::State);
    assert_eq!(opt.state_dict().unwrap().to_bytes(), before);
}

#[test]
fn accumulating_halves_equals_the_whole_batch() {
    for i in 0..4 {
        let (model, whole) = (two(), two());
        let (mut opt, mut other) = (all(&model).remove(i), all(&whole).remove(i));
        for _ in 0..3 {
            let first = opt.accumulate(&(model.loss() * 0.5)).unwrap();
            let second = opt.accumulate(&(model.loss() * 0.5)).unwrap();
            opt.apply_accumulated().unwrap();
            let report = other.step(&whole.loss()).unwrap();
            assert!((first + second - report.loss).abs() < 1e-6);
            assert_eq!(model.bits(), whole.bits(), "optimizer {i}");
        }
        assert_eq!(opt.apply_accumulated().unwrap_err().code(), Code::Gradient);
        assert_eq!(opt.steps(), 3);
    }
}

#[test]
fn a_bad_part_is_not_added_to_the_sum() {
    let (model, clean) = (two(), two());
    let mut opt = Adam::new(&model, 0.1);
    opt.accumulate(&model.loss()).unwrap();
    let bad = (model.loss() * 0.0).log().sum();
    assert_eq!(opt.accumulate(&bad).unwrap_err().code(), Code::NonFinite);
    let lost = Tensor::from([1.0]).with_grad().sum();
    assert_eq!(opt.accumulate(&lost).unwrap_err().code(), Code::Gradient);
    opt.apply_accumulated().unwrap();
    Adam::new(&clean, 0.1).step(&clean.loss()).unwrap();
    assert_eq!(model.bits(), clean.bits());
    opt.accumulate(&model.loss()).unwrap();
    opt.clear_accumulated();
    assert!(opt.apply_accumulated().is_err());
}

#[test]
fn apply_and_step_with_do_what_step_does() {
    for i in 0..4 {
        let models = [two(), two(), two()];
        let mut opts: Vec<_> = models.iter().map(|m| all(m).remove(i)).collect();
        for _ in 0..3 {
            let [a, b, c] = &models;
            opts[0].step(&a.loss()).unwrap();
            opts[1].apply(&b.loss().backward().unwrap()).unwrap();
            opts[2].step_with(&mut || c.loss()).unwrap();
        }
        assert_eq!(models[0].bits(), models[1].bits(), "optimizer {i}");
        assert_eq!(models[0].bits(), models[2].bits());
        let partial = models[1].loss_a().backward().unwrap();
        opts[1].apply(&partial).unwrap();
        opts[0].step(&models[0].loss_a()).unwrap();
        opts[0].step(&models[0].loss()).unwrap();
        opts[1].apply(&models[1].loss().backward().unwrap()).unwrap();
        assert_eq!(models[0].bits(), models[1].bits(), "optimizer {i}");
    }
}

#[test]
fn groups_have_their_own_rate_and_decay() {
    let model = two();
    let mut opt = Sgd::new(&model, 0.1)
        .weight_decay(1.0)
        .group(|name, _| name == "b", GroupOptions::new().lr(0.2).weight_decay(0.0));
    let zero = || (model.a.tensor() * 0.0).sum() + (model.b.tensor() * 0.0 + 1.0).sum() * 3.0;
    opt.step(&zero()).unwrap();
    let near = |param: &Param, expected: [f64; 2]| {
        let found = param.get().unwrap().to_f64();
        assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6), "{found:?}");
    };
    near(&model.a, [0.9, -0.9]);
    near(&model.b, [2.0, -2.0]);
    // A new rate keeps the ratio: 0.05 for `a`, 0.1 for `b`.
    opt.set_lr(0.05);
    opt.step(&(model.b.tensor().sum() + (model.a.tensor() * 0.0).sum())).unwrap();
    near(&model.a, [0.855, -0.855]);
    near(&model.b, [1.9, -2.1]);
    let mut none = Sgd::new(&model, 0.1).group(|name, _| name == "c", GroupOptions::new());
    let error = none.step(&model.loss()).unwrap_err();
    assert!(error.advice().unwrap().contains("names look like a, b"), "{error}");
}

#[test]
fn hyper_parameters_out_of_range_are_errors_that_name_them() {
    let model = two();
    let says = |mut opt: Box<dyn Optimizer>, text: &str| {
        let before = model.bits();
        let error = opt.step(&model.loss()).unwrap_err();
        assert!(error.code() == Code::Argument && error.title().contains(text), "{error}");
        assert_eq!(model.bits(), before);
        assert!(opt.state_dict().is_err());
    };
    says(Box::new(Sgd::new(&model, -1.0)), "Sgd: the learning rate must be 0 or more, not -1");
    says(Box::new(Adam::new(&model, f64::NAN)), "Adam: the learning rate");
    says(Box::new(Adam::new(&model, f64::INFINITY)), "Adam: the learning rate");
    says(Box::new(Adam::new(&model, 0.1).betas((0.9, 1.0))), "Adam: the betas");
    says(Box::new(AdamW::new(&model, 0.1).betas((-0.1, 0.9))), "AdamW: the betas");
    says(Box::new(AdamW::new(&model, 0.1).eps(-1e-8)), "AdamW: the epsilon");
    says(Box::new(AdamW::new(&model, 0.1).weight_decay(-1.0)), "AdamW: the weight decay");
    says(Box::new(Sgd::new(&model, 0.1).momentum(-0.1)), "Sgd: the momentum");
    says(Box::new(Sgd::new(&model, 0.1).nesterov(true)), "Nesterov");
    let group = Sgd::new(&model, 0.0).group(|_, _| true, GroupOptions::new().lr(0.1));
    says(Box::new(group), "a group with the rate");
    let group = Sgd::new(&model, 0.1).group(|_, _| true, GroupOptions::new().weight_decay(-1.0));
    says(Box::new(group), "weight decay");
}

#[test]
fn a_model_without_parameters_says_so() {
    let error = Adam::new(&Relu, 0.1).step(&Tensor::from([1.0]).with_grad().sum()).unwrap_err();
    assert_eq!(error.code(), Code::Gradient);
    let error = Adam::new(&two(), 0.1).step(&Tensor::from([1.0]).sum()).unwrap_err();
    assert_eq!(error.code(), Code::Gradient);
}

#[test]
fn setters_during_training_keep_the_state() {
    let (model, other) = (two(), two());
    let mut opt = Adam::new(&model, 0.1);
    let mut reference = Adam::new(&other, 0.1);
    opt.step(&model.loss()).unwrap();
    reference.step(&other.loss()).unwrap();
    let mut opt = opt.weight_decay(0.0).group(|name, _| name == "b", GroupOptions::new());
    opt.step(&model.loss()).unwrap();
    reference.step(&other.loss()).unwrap();
    assert_eq!(model.bits(), other.bits());
    // With a further state it starts at zero, the others go on.
    let mut opt = opt.amsgrad(true);
    opt.step(&model.loss()).unwrap();
    assert_eq!(opt.state_dict().unwrap().len(), 2 + 2 * 4);
}

#[test]
fn two_optimizers_of_two_models_do_not_disturb_each_other() {
    let (g, d) = (Linear::new(2, 2), Linear::new(2, 1));
    let (mut opt_g, mut opt_d) = (Adam::new(&g, 0.1), Adam::new(&d, 0.1));
    let x = Tensor::ones([1, 2]);
    let before = g.weight.get().unwrap();
    let report = opt_d.step(&d.forward(&g.forward(&x)).sum()).unwrap();
    assert!(report.untouched.is_empty());
    assert!(g.weight.get().unwrap().same_bits(&before));
    opt_g.step(&d.forward(&g.forward(&x)).sum()).unwrap();
    assert!(!g.weight.get().unwrap().same_bits(&before));
    assert_eq!((opt_g.steps(), opt_d.steps()), (1, 1));
}
