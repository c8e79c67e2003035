//! A steady step calls the allocator not once.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test stops at the first failure"
)]

use std::sync::Arc;

use gradus_core::{Array, Param, Rng, Rule, Tensor, UpdateGroup, plan_cache, set_threads, step};

#[test]
fn a_steady_step_allocates_nothing_and_finds_its_plan() {
    set_threads(1);
    let dims = [784, 64, 48, 40, 36, 32, 24, 16, 10];
    let mut params = Vec::new();
    for (i, pair) in dims.windows(2).enumerate() {
        let rng = Rng::new(i as u64);
        params.push(Param::new(rng.normal([pair[1], pair[0]], 0.0, 0.1).unwrap()));
        params.push(Param::new(rng.normal([pair[1]], 0.0, 0.1).unwrap()));
    }
    let refs: Vec<&Param> = params.iter().collect();
    let rule = Rule::Adam { decoupled: true, amsgrad: false, maximize: false };
    let group = Arc::new(UpdateGroup::new(rule, &refs).unwrap());
    let x = Rng::new(50).uniform([32, 784], 0.0, 1.0).unwrap();
    let y = Array::new([32], &[3i64; 32]).unwrap();
    let mut t = 0.0;
    let mut one = || {
        t += 1.0;
        let mut h = Tensor::from(&x);
        for (l, pair) in params.chunks(2).enumerate() {
            h = h.linear(&pair[0], Some(&pair[1]));
            if l + 2 < dims.len() {
                h = h.relu().dropout(0.1);
            }
        }
        let logits = h;
        // More operands than a node has room for, of a value that is kept.
        let part = logits.detach();
        let wide = Tensor::concat(&[&part; 12], 1);
        let loss = logits.cross_entropy(&Tensor::from(&y));
        let accuracy = logits.argmax(-1).eq(Tensor::from(&y)).cast(gradus_core::DType::F32).mean();
        let report = step(&loss, &[(&group, &[1e-3, 0.9, 0.999, 1e-8, 0.01, t])]).unwrap();
        assert!(report.loss.is_finite());
        accuracy.item().unwrap();
        wide.sum().item().unwrap();
    };
    for _ in 0..5 {
        one();
    }
    let misses = plan_cache().misses;
    let count = allocation_counter::measure(|| {
        for _ in 0..20 {
            one();
        }
    });
    assert_eq!(plan_cache().misses, misses, "a steady loop makes no plans");
    assert_eq!(count.count_total, 0, "allocations in 20 steps");
}
