//! A steady step through layers and optimizers allocates nothing and makes no plan, whatever the
//! learning rate.

#![allow(clippy::unwrap_used, clippy::panic)]

use gradus_core::{Array, Rng, Tensor, plan_cache, set_threads};
use gradus_nn::optim::{Adafactor, GroupOptions, Lamb, Muon};
use gradus_nn::{
    AdamW, BatchNorm1d, Dropout, Layer, LayerNorm, Linear, ModuleExt, Optimizer, Relu, Sgd, seq,
};

#[test]
fn a_steady_step_and_a_steady_prediction_allocate_nothing() {
    let set = |name| std::env::var(name).is_ok_and(|v| v == "1");
    if set("GRADUS_CHECK") || set("GRADUS_EAGER") {
        return; // these modes are for finding bugs, not for speed
    }
    set_threads(1);
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
        let mut one = || {
            rate *= 0.99;
            opt.set_lr(rate);
            let loss = model.forward(&Tensor::from(&x)).cross_entropy(&Tensor::from(&y));
            opt.step(&loss).unwrap();
            model.predict(&Tensor::from(&x)).sum().item().unwrap();
        };
        (0..20).for_each(|_| one());
        let misses = plan_cache().misses;
        // A table that grows once is not a steady cost, so the best of three counts.
        let mut count = || allocation_counter::measure(|| (0..20).for_each(|_| one())).count_total;
        let counts = [count(), count(), count()];
        assert_eq!(plan_cache().misses, misses, "another rate makes no new plan");
        assert_eq!(counts.iter().min(), Some(&0), "allocations in 20 steps: {counts:?}");
    }
}
