//! A captured closure does what the closure does, to the bit, and says when it cannot.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::cell::{Cell, RefCell};

use gradus_core::{
    Array, Captured, Code, Error, Result, Rng, Tensor, capture, inference, rng_state, seed,
    set_threads, sync,
};
use gradus_nn::optim::{Adafactor, Lookahead, RmsProp};
use gradus_nn::{
    Adam, AdamW, BatchNorm1d, BatchNorm2d, Conv2d, Dropout, Flatten, Layer, Linear, MaxPool2d,
    ModuleExt, Optimizer, Relu, Sequential, Sgd, seq,
};

/// Modes that are for finding bugs call the closure every time.
fn plain_mode() -> bool {
    std::env::var("GRADUS_EAGER").is_ok_and(|v| v == "1")
}

fn state(model: &Sequential) -> Vec<Array> {
    sync().unwrap();
    let state = model.state_dict().unwrap();
    let mut names: Vec<String> = state.iter().map(|(name, _)| name.to_string()).collect();
    names.sort();
    names.iter().map(|n| state.get(n).unwrap().clone()).collect()
}

fn mlp() -> Sequential {
    seq![Linear::new(20, 16), Relu, Linear::new(16, 8), Relu, Linear::new(8, 3)]
}

fn noisy() -> Sequential {
    seq![Linear::new(20, 16), BatchNorm1d::new(16), Relu, Dropout::new(0.3), Linear::new(16, 3)]
}

fn cnn() -> Sequential {
    seq![
        Conv2d::new(1, 4, 3),
        BatchNorm2d::new(4),
        Relu,
        MaxPool2d::new(2),
        Flatten,
        Dropout::new(0.25),
        Linear::new(4 * 4 * 2, 3)
    ]
}

fn data(image: bool) -> (Array, Array) {
    let x = Rng::new(3).uniform([64, 20], 0.0, 1.0).unwrap();
    let x = if image { Rng::new(3).uniform([64, 1, 10, 6], 0.0, 1.0).unwrap() } else { x };
    let y: Vec<i64> = (0..64).map(|i| i % 3).collect();
    (x, Array::new([64], &y).unwrap())
}

/// Steps of 8 rows with a rate that falls; how they are made is `step`'s affair.
fn train(
    make: fn() -> Sequential,
    image: bool,
    optimizer: &dyn Fn(&Sequential) -> Box<dyn Optimizer>,
    captured: bool,
    steps: usize,
) -> (Vec<Array>, Vec<f64>, u64) {
    seed(11);
    let model = make();
    let opt = RefCell::new(optimizer(&model));
    let (x, y) = data(image);
    let closure = |batch: &[Tensor]| {
        let loss = model.forward(&batch[0]).cross_entropy(&batch[1]);
        opt.borrow_mut().step(&loss)?;
        Ok(loss)
    };
    let mut replayed = capture(closure);
    let mut losses = Vec::new();
    for i in 0..steps {
        let rate = if i < 20 { 0.02 } else { 0.02 * 0.99f64.powi(i as i32) };
        opt.borrow_mut().set_lr(rate);
        let batch = |a: &Array| Tensor::from_array(&a.rows(i % 8 * 8, 8).unwrap());
        let batch = [batch(&x), batch(&y)];
        let loss = if captured { replayed.run(&batch) } else { closure(&batch) }.unwrap();
        losses.push(loss.item().unwrap());
    }
    let count = opt.borrow().steps();
    let saved = opt.borrow_mut().state_dict().unwrap();
    let mut all = state(&model);
    all.extend(saved.iter().map(|(_, a)| a.clone()));
    (all, losses, count)
}

fn same(make: fn() -> Sequential, image: bool, opt: &dyn Fn(&Sequential) -> Box<dyn Optimizer>) {
    set_threads(1);
    let (plain, losses, count) = train(make, image, opt, false, 300);
    let streams = rng_state();
    let (again, replayed, replays) = train(make, image, opt, true, 300);
    assert_eq!(losses, replayed);
    assert_eq!((count, streams), (replays, rng_state()));
    assert_eq!(plain.len(), again.len());
    assert!(plain.iter().zip(&again).all(|(a, b)| a.same_bits(b)));
    assert!(losses.last() < losses.first());
}

#[test]
fn adam_on_a_plain_net_gives_the_same_bits() {
    same(mlp, false, &|m| Box::new(Adam::new(m, 0.02)));
    same(mlp, false, &|m| {
        let options = gradus_nn::optim::GroupOptions::new().lr(0.01).weight_decay(0.0);
        Box::new(AdamW::new(m, 0.02).group(|name, _| name.ends_with("bias"), options))
    });
}

#[test]
fn dropout_and_batch_norm_give_the_same_bits() {
    same(noisy, false, &|m| Box::new(Sgd::new(m, 0.02).momentum(0.9).nesterov(true)));
    same(noisy, false, &|m| Box::new(RmsProp::new(m, 0.02)));
}

#[test]
fn a_convolutional_net_gives_the_same_bits() {
    same(cnn, true, &|m| Box::new(Sgd::new(m, 0.02).momentum(0.9)));
    same(cnn, true, &|m| Box::new(Adam::new(m, 0.02)));
}

#[test]
fn rows_of_a_data_set_give_the_same_bits_as_batches() {
    let run = |rows: bool| {
        seed(5);
        let model = noisy();
        let mut opt = Adam::new(&model, 0.01);
        let (x, y) = data(false);
        let (x, y) = (Tensor::from_array(&x), Tensor::from_array(&y));
        let mut step = capture(|b: &[Tensor]| {
            let output = model.forward(&b[0]);
            let loss = output.cross_entropy(&b[1]);
            let right = output.argmax(-1).eq(&b[1]).cast(gradus_core::DType::F32).mean();
            opt.step(&loss)?;
            Ok((loss, right))
        });
        let starts: Vec<usize> = (0..280).map(|i| i * 3 % 57).collect();
        let mut losses = Vec::new();
        if rows {
            for part in starts.chunks(70) {
                let (loss, right) = step.run_rows(&[&x, &y], 7, part).unwrap();
                assert_eq!(right.shape().unwrap().dims(), [70]);
                losses.extend(loss.to_vec::<f32>().unwrap());
            }
        } else {
            for &start in &starts {
                let (x, y) = (x.narrow(0, start, 7), y.narrow(0, start, 7));
                losses.push(step.run(&[&x, &y]).unwrap().0.item().unwrap() as f32);
            }
        }
        drop(step);
        (losses, state(&model), opt.steps())
    };
    let ((a, sa, na), (b, sb, nb)) = (run(false), run(true));
    assert_eq!((a, na), (b, nb));
    assert!(sa.iter().zip(&sb).all(|(a, b)| a.same_bits(b)));
}

#[test]
fn other_shapes_are_recorded_apart_and_predictions_follow_the_weights() {
    let model = noisy();
    let mut opt = Sgd::new(&model, 0.1);
    let calls = Cell::new(0);
    let mut predict = capture(|x: &[Tensor]| {
        calls.set(calls.get() + 1);
        Ok(model.predict(&x[0]))
    });
    let x = Rng::new(9).uniform([6, 20], 0.0, 1.0).unwrap();
    for i in 0..60 {
        let part = Tensor::from_array(&x.rows(0, 1 + i % 3).unwrap());
        let got = predict.run(&[&part]).unwrap().to_array().unwrap();
        assert!(got.same_bits(&model.predict(&part).to_array().unwrap()));
        let y = Tensor::from(&Array::new([6], &[0i64, 1, 2, 0, 1, 2]).unwrap());
        opt.step(&model.forward(&Tensor::from_array(&x)).cross_entropy(&y)).unwrap();
    }
    if !plain_mode() {
        // Three for each of three shapes; and again where another test freezes parameters meanwhile.
        assert!((9..45).contains(&calls.get()), "{} calls of 60", calls.get());
    }
}

fn error_of<T>(result: Result<T>) -> Error {
    result.err().unwrap()
}

/// The error of the first of some calls that fails.
fn fails<F>(mut step: Captured<F>, x: &Tensor) -> Option<Error>
where
    F: FnMut(&[Tensor]) -> Result<Tensor>,
{
    (0..4).find_map(|_| step.run(&[x]).err())
}

#[test]
fn what_changes_from_call_to_call_is_an_error_with_its_line() {
    if plain_mode() {
        return;
    }
    let x = Tensor::from([1.0, 2.0]);
    let mut n = 0.0;
    let error = fails(
        capture(|x: &[Tensor]| {
            n += 1.0;
            Ok(&x[0] * n)
        }),
        &x,
    )
    .unwrap();
    let text = error.to_string();
    assert_eq!(error.code(), Code::Argument);
    assert!(text.contains("a number") && text.contains("tests/capture.rs"), "{text}");
    assert!(text.contains("pass it as an input"), "{text}");

    let mut n = 0;
    let grows = capture(|x: &[Tensor]| {
        n += 1;
        Ok((0..n).fold(x[0].clone(), |y, _| y.tanh()))
    });
    let text = fails(grows, &x).unwrap().to_string();
    assert!(text.contains("operation") && text.contains("tests/capture.rs"), "{text}");

    let mut n = 0.0f32;
    let other_data = capture(|x: &[Tensor]| {
        n += 1.0;
        Ok(&x[0] + Tensor::from_array(&Array::new([2], &[n, n])?))
    });
    let text = fails(other_data, &x).unwrap().to_string();
    assert!(text.contains("a value") && text.contains("tests/capture.rs"), "{text}");

    let reads = capture(|x: &[Tensor]| Ok(&x[0] * x[0].sum().item()?));
    let text = fails(reads, &x).unwrap().to_string();
    assert!(text.contains("cannot read"), "{text}");

    let model = noisy();
    let rows = Tensor::from_array(&data(false).0);
    let pending = capture(|x: &[Tensor]| Ok(model.forward(&x[0])));
    let text = fails(pending, &rows).unwrap().to_string();
    assert!(text.contains("assignments"), "{text}");
    sync().unwrap();
}

#[test]
fn optimizers_that_cannot_be_replayed_say_so() {
    let (x, y) = data(false);
    let (x, y) = (Tensor::from_array(&x), Tensor::from_array(&y));
    let model = mlp();
    let optimizers: [Box<dyn Optimizer>; 2] =
        [Box::new(Adafactor::new(&model, 1e-3)), Box::new(Lookahead::new(Adam::new(&model, 1e-3)))];
    for mut opt in optimizers {
        let step = capture(|x: &[Tensor]| {
            let loss = model.forward(&x[0]).cross_entropy(&y);
            opt.step(&loss)?;
            Ok(loss)
        });
        if !plain_mode() {
            let text = fails(step, &x).unwrap().to_string();
            assert!(text.contains("cannot be replayed"), "{text}");
        }
    }
}

#[test]
fn a_failed_replay_changes_nothing_and_names_the_layer() {
    let model = noisy();
    let mut opt = Adam::new(&model, 0.01);
    let mut step = capture(|b: &[Tensor]| {
        let loss = model.forward(&b[0]).cross_entropy(&b[1]);
        opt.step(&loss)?;
        Ok(loss)
    });
    let (x, y) = data(false);
    let (good, y) = (Tensor::from_array(&x), Tensor::from_array(&y));
    for _ in 0..8 {
        step.run(&[&good, &y]).unwrap();
    }
    let mut values = x.to_vec::<f32>().unwrap();
    values[70] = f32::INFINITY;
    let bad = Tensor::from_array(&Array::new([64, 20], &values).unwrap());
    let (before, streams) = (state(&model), rng_state());
    let error = error_of(step.run(&[&bad, &y]));
    assert_eq!(error.code(), Code::NonFinite);
    assert!(error.to_string().contains("data"), "{error}");
    let wrong = Tensor::from_array(&Array::new([64], &[7i64; 64]).unwrap());
    let error = error_of(step.run(&[&good, &wrong]));
    assert_eq!(error.code(), Code::Index);
    assert!(error.to_string().contains("class id 7"), "{error}");
    assert_eq!(rng_state(), streams);
    assert!(before.iter().zip(&state(&model)).all(|(a, b)| a.same_bits(b)));
    step.run(&[&good, &y]).unwrap();
    drop(step);
    assert_eq!(opt.steps(), 9);
}

#[test]
fn a_rate_set_in_the_closure_is_found() {
    if plain_mode() {
        return;
    }
    let (x, y) = data(false);
    let (x, y) = (Tensor::from_array(&x), Tensor::from_array(&y));
    let model = mlp();
    let mut opt = Adam::new(&model, 1e-3);
    let step = capture(|x: &[Tensor]| {
        opt.set_lr(opt.lr() * 0.9);
        let loss = model.forward(&x[0]).cross_entropy(&y);
        opt.step(&loss)?;
        Ok(loss)
    });
    let text = fails(step, &x).unwrap().to_string();
    assert!(text.contains("between two calls"), "{text}");
}

#[test]
fn two_steps_in_one_closure_and_loaded_states() {
    let make = |captured: bool| {
        seed(2);
        let (g, d) = (seq![Linear::new(4, 8), Relu, Linear::new(8, 2)], seq![Linear::new(2, 1)]);
        let (og, od) = (Adam::new(&g, 0.01), Sgd::new(&d, 0.05).momentum(0.5));
        let (og, od) = (RefCell::new(og), RefCell::new(od));
        let closure = |b: &[Tensor]| {
            let noise = Tensor::randn([16, 4]);
            let fake = g.forward(&noise);
            let real = (-d.forward(&b[0])).softplus(1.0).mean();
            let loss_d = real + d.forward(&fake.detach()).softplus(1.0).mean();
            od.borrow_mut().step(&loss_d)?;
            let loss_g = (-d.forward(&g.forward(&noise))).softplus(1.0).mean();
            og.borrow_mut().step(&loss_g)?;
            Ok([loss_d, loss_g])
        };
        let mut step = capture(closure);
        let real = Tensor::from_array(&Rng::new(1).normal([16, 2], 0.5, 0.3).unwrap());
        let mut losses = Vec::new();
        let mut saved = None;
        for i in 0..40 {
            if i == 20 {
                saved = Some((og.borrow_mut().state_dict().unwrap(), state(&g)));
            }
            if i == 30 {
                let (opt, values) = saved.as_ref().unwrap();
                og.borrow_mut().load_state_dict(opt).unwrap();
                assert_eq!(og.borrow().steps(), 20);
                let _ = values;
            }
            let both =
                if captured { step.run(&[&real]) } else { closure(std::slice::from_ref(&real)) };
            losses.push(both.unwrap().map(|t| t.item().unwrap()));
        }
        let count = (og.borrow().steps(), od.borrow().steps());
        (losses, state(&g), state(&d), count)
    };
    let (plain, replayed) = (make(false), make(true));
    assert_eq!((&plain.0, plain.3), (&replayed.0, replayed.3));
    assert!(plain.1.iter().zip(&replayed.1).all(|(a, b)| a.same_bits(b)));
    assert!(plain.2.iter().zip(&replayed.2).all(|(a, b)| a.same_bits(b)));
}

#[test]
fn frozen_parameters_and_pending_tensors() {
    let model = mlp();
    let mut opt = Sgd::new(&model, 0.1);
    let (x, y) = data(false);
    let (x, y) = (Tensor::from_array(&x), Tensor::from_array(&y));
    let all = opt.parameters();
    let mut step = capture(|b: &[Tensor]| {
        let loss = model.forward(&b[0]).cross_entropy(&b[1]);
        opt.step(&loss)?;
        Ok(loss)
    });
    for _ in 0..6 {
        step.run(&[&x, &y]).unwrap();
    }
    // What was recorded outside sees the values of its moment.
    let before = model.predict(&x).to_array().unwrap();
    let pending = inference(|| model.forward(&x));
    step.run(&[&x, &y]).unwrap();
    assert!(pending.to_array().unwrap().same_bits(&before));
    assert!(!model.predict(&x).to_array().unwrap().same_bits(&before));
    all[0].freeze(true);
    let kept = all[0].get().unwrap();
    for _ in 0..6 {
        step.run(&[&x, &y]).unwrap();
    }
    assert!(all[0].get().unwrap().same_bits(&kept));
    all[0].freeze(false);
    step.run(&[&x, &y]).unwrap();
    assert!(!all[0].get().unwrap().same_bits(&kept));
}
