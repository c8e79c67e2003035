//! A steady step through layers and optimizers allocates nothing and makes no plan, whatever the
//! learning rate: called, replayed and over time.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::cell::RefCell;
use std::sync::{Mutex, MutexGuard, PoisonError};

use gradus_core::{Array, Precision, Rng, Tensor, autocast, capture, plan_cache, set_threads};
use gradus_nn::optim::{Adafactor, GroupOptions, Lamb, Muon};
use gradus_nn::{
    Adam, AdamW, BatchNorm1d, Conv2d, Dropout, Layer, LayerNorm, Linear, Lstm, Module, ModuleExt,
    MultiheadAttention, Optimizer, Relu, Sgd, seq,
};

/// The plan cache and the memory that is used again are the process's, so what counts them runs
/// alone: these tests share a file with no other, and this lock. None in the modes that are for
/// finding bugs, not for speed.
fn alone() -> Option<MutexGuard<'static, ()>> {
    static ALONE: Mutex<()> = Mutex::new(());
    let set = |name| std::env::var(name).is_ok_and(|v| v == "1");
    if set("GRADUS_CHECK") || set("GRADUS_EAGER") {
        return None;
    }
    let guard = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    set_threads(1);
    Some(guard)
}

/// Fails unless steps, after the first 20, make no plan and allocate nothing.
fn assert_steady(mut step: impl FnMut()) {
    (0..20).for_each(|_| step());
    let misses = plan_cache().misses;
    // A table that grows once is not a steady cost, so the best of three counts.
    let mut count = || allocation_counter::measure(|| (0..20).for_each(|_| step())).count_total;
    let counts = [count(), count(), count()];
    assert_eq!(plan_cache().misses, misses, "every step has the same plan");
    assert_eq!(counts.iter().min(), Some(&0), "allocations in 20 steps: {counts:?}");
}

#[test]
fn a_step_and_a_prediction() {
    let Some(_alone) = alone() else { return };
    let model = seq![
        Linear::new(20, 16),
        BatchNorm1d::new(16),
        Relu,
        Dropout::new(0.1),
        seq![Linear::new(16, 8), LayerNorm::new(8)],
        Linear::new(8, 3)
    ];
    let x = Rng::new(1).uniform([8, 20], 0.0, 1.0).unwrap();
    let y = Array::new([8], &[1i64; 8]).unwrap();
    let matrices = model.select(|_, param| param.shape().rank() == 2);
    let optimizers: [Box<dyn Optimizer>; 5] = [
        Box::new(
            AdamW::new(&model, 1e-3)
                .group(|name, _| name.ends_with("bias"), GroupOptions::new().weight_decay(0.0)),
        ),
        Box::new(Sgd::new(&model, 1e-3).momentum(0.9).dampening(0.1)),
        // Their rules are written with tensors.
        Box::new(Adafactor::new(&model, 1e-3)),
        Box::new(Lamb::new(&model, 1e-3).weight_decay(0.01)),
        Box::new(Muon::new(&matrices, 1e-3)),
    ];
    for mut opt in optimizers {
        let mut rate = 1e-3;
        assert_steady(|| {
            rate *= 0.99;
            opt.set_lr(rate);
            let loss = model.forward(&Tensor::from(&x)).cross_entropy(&Tensor::from(&y));
            opt.step(&loss).unwrap();
            model.predict(&Tensor::from(&x)).sum().item().unwrap();
        });
    }
}

#[test]
fn a_replayed_step() {
    let Some(_alone) = alone() else { return };
    let model = seq![
        Linear::new(20, 16),
        BatchNorm1d::new(16),
        Relu,
        Dropout::new(0.3),
        Linear::new(16, 3)
    ];
    let opt = RefCell::new(AdamW::new(&model, 1e-3));
    let mut step = capture(|b: &[Tensor]| {
        let loss = model.forward(&b[0]).cross_entropy(&b[1]);
        opt.borrow_mut().step(&loss)?;
        Ok(loss)
    });
    let x = Tensor::from(Rng::new(3).uniform([64, 20], 0.0, 1.0).unwrap());
    let y = Tensor::from(Array::new([64], &[0i64, 1, 2, 1].repeat(16)).unwrap());
    let mut rate = 1e-3;
    assert_steady(|| {
        rate *= 0.99;
        opt.borrow_mut().set_lr(rate);
        step.run(&[&x, &y]).unwrap();
    });
}

#[derive(Module)]
struct Recurrent {
    lstm: Lstm,
    head: Linear,
}

#[test]
fn a_step_over_time() {
    let Some(_alone) = alone() else { return };
    let model =
        Recurrent { lstm: Lstm::new(5, 8).num_layers(2).bidirectional(), head: Linear::new(16, 3) };
    let x = Rng::new(1).uniform([7, 4, 5], 0.0, 1.0).unwrap();
    let y = Array::new([4], &[1i64, 0, 2, 1]).unwrap();
    let mut opt = Adam::new(&model, 1e-3);
    assert_steady(|| {
        let (states, _) = model.lstm.forward(&Tensor::from(&x));
        let loss = model.head.forward(&states.select(0, -1)).cross_entropy(&Tensor::from(&y));
        opt.step(&loss).unwrap();
    });
}

/// Something of every product that mixed precision rounds.
#[derive(Module)]
struct Products {
    conv: Conv2d,
    depthwise: Conv2d,
    lstm: Lstm,
    attention: MultiheadAttention,
    head: Linear,
}

/// In bf16 operands are rounded into memory that is kept.
#[test]
fn a_step_in_mixed_precision() {
    let Some(_alone) = alone() else { return };
    let model = Products {
        conv: Conv2d::new(3, 16, 3).padding(1),
        depthwise: Conv2d::new(16, 16, 3).padding(1).stride(2).groups(16),
        lstm: Lstm::new(16, 24),
        attention: MultiheadAttention::new(24, 2).batch_first(true),
        head: Linear::new(24, 5),
    };
    let x = Rng::new(1).uniform([7, 3, 8, 8], 0.0, 1.0).unwrap();
    let y = Array::new([7], &[1i64, 0, 2, 1, 4, 3, 0]).unwrap();
    let mut opt = Adam::new(&model, 1e-3);
    assert_steady(|| {
        autocast(Precision::Bf16, || {
            let maps = model.depthwise.forward(&model.conv.forward(&Tensor::from(&x)).relu());
            // Places are times.
            let (states, _) = model.lstm.forward(&maps.flatten(2).permute([2, 0, 1]));
            let states = states.transpose(0, 1);
            let seen = model.attention.forward(&states, &states, &states);
            let loss = model.head.forward(&seen.mean_dim(1)).cross_entropy(&Tensor::from(&y));
            opt.step(&loss).unwrap();
        });
    });
}
