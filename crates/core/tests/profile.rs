//! What `profile` measures: every step and effect once a run, on the thread that asks, nothing else.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::sync::Arc;

use gradus_core::{Param, Rng, Rule, Tensor, UpdateGroup, profile, step};

fn training() -> (Param, Arc<UpdateGroup>) {
    let w = Param::new(Rng::new(1).normal([8, 4], 0.0, 1.0).unwrap());
    let rule = Rule::Sgd { momentum: false, nesterov: false, maximize: false };
    let group = Arc::new(UpdateGroup::new(rule, &[&w]).unwrap());
    (w, group)
}

#[test]
fn every_step_and_effect_of_a_training_is_counted_once_a_run() {
    let (w, group) = training();
    let x = Tensor::from(Rng::new(2).normal([16, 8], 0.0, 1.0).unwrap());
    let train = || {
        let loss = x.matmul(w.tensor()).square().mean();
        step(&loss, &[(&group, &[0.1, 0.0, 0.0, 0.0, 1.0])]).unwrap();
    };
    train();
    let ((), costs) = profile(|| (0..5).for_each(|_| train()));
    assert_eq!(costs.runs, 5);
    assert!(costs.steps.len() > 3);
    for (i, row) in costs.steps.iter().enumerate() {
        assert_eq!((row.plan, row.at, row.calls), (0, i, 5), "{row:?}");
    }
    let products: Vec<f64> =
        costs.steps.iter().filter(|s| s.kind == "gemm").map(|s| s.flops).collect();
    assert_eq!(products, [2.0 * 16.0 * 8.0 * 4.0; 2], "forward and the gradient of w");
    let update = costs.steps.last().unwrap();
    assert_eq!((update.kind, update.bytes), ("update", 3.0 * 32.0 * 4.0));
    assert!(costs.in_steps() > 0.0 && costs.in_steps() <= costs.seconds);
}

#[test]
fn an_inner_profile_takes_its_part_and_the_outer_one_goes_on() {
    let x = Tensor::from(Rng::new(3).normal([64], 0.0, 1.0).unwrap());
    let (inner, outer) = profile(|| {
        x.exp().to_array().unwrap();
        let ((), inner) = profile(|| drop(x.sin().to_array().unwrap()));
        x.cos().to_array().unwrap();
        inner
    });
    assert_eq!((inner.runs, outer.runs), (1, 2));
    let ((), nothing) = profile(|| ());
    assert_eq!((nothing.runs, nothing.steps.len()), (0, 0));
}
