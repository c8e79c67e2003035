//! The same bits for any number of threads, instruction set, mode and set of held tensors.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test stops at the first failure"
)]

use std::sync::Arc;

use gradus_core::{
    Array, Isa, Param, Rng, Rule, Tensor, UpdateGroup, eager, isa, seed, set_split_all,
    set_threads, step,
};

/// Trains a net with everything on the way that sums: products, reductions, norms, losses.
fn train(hold: bool) -> Vec<Array> {
    seed(9);
    let normal =
        |shape: &[usize], s: u64| Param::new(Rng::new(s).normal(shape.to_vec(), 0.0, 0.2).unwrap());
    let params = [
        normal(&[64, 37], 1),
        normal(&[64], 2),
        normal(&[10, 64], 3),
        normal(&[10], 4),
        normal(&[700, 3], 6),
        normal(&[300, 700], 7),
    ];
    let refs: Vec<&Param> = params.iter().collect();
    let rule = Rule::Adam { decoupled: true, amsgrad: false, maximize: false };
    let group = Arc::new(UpdateGroup::new(rule, &refs).unwrap());
    let x = Rng::new(5).normal([2049, 37], 0.0, 1.0).unwrap();
    let classes: Vec<i64> = (0..2049).map(|i| i * 7 % 10).collect();
    let y = Array::new([2049], &classes).unwrap();
    let mut held = Vec::new();
    for t in 1..=3 {
        let (x, y) = (Tensor::from(&x), Tensor::from(&y));
        let h = x.linear(&params[0], Some(&params[1]));
        let normed = (&h - h.mean_keepdim(1)) * (h.var_dim(1, 0).unsqueeze(1) + 1e-5).rsqrt();
        let active = normed.gelu().dropout(0.2);
        let logits = active.linear(&params[2], Some(&params[3]));
        // Products of few rows: this one, and the gradient of its turned operand.
        let turned = params[4].tensor().t();
        let few = turned.linear(&params[5], None);
        let loss = logits.cross_entropy(&y)
            + few.square().mean() * 0.1
            + logits.softmax(-1).square().mean() * 0.1
            + active.max_dim(0).sum() * 1e-3;
        if hold {
            held.extend([h, normed, active, logits, turned, few]);
        }
        let numbers = [1e-2, 0.9, 0.999, 1e-8, 0.01, f64::from(t)];
        step(&loss, &[(&group, &numbers)]).unwrap();
    }
    params.iter().map(|p| p.get().unwrap()).collect()
}

#[test]
fn training_gives_the_same_bits_however_it_is_run() {
    let best = isa::best();
    let want = train(false);
    let check = |what: &str, have: Vec<Array>| {
        for (i, (a, b)) in want.iter().zip(&have).enumerate() {
            assert!(a.same_bits(b), "parameter {i} differs: {what}");
        }
    };
    check("again", train(false));
    check("handles held", train(true));
    check("eager", eager(|| train(false)));
    for threads in [1, 2, 3, 4] {
        for split in [false, true] {
            set_threads(threads);
            set_split_all(split);
            gradus_core::reset_workers_that_ran();
            check(&format!("{threads} threads, split {split}"), train(threads == 3));
            // On a busy machine one worker may be done before another wakes up: so try again.
            for _ in 0..200 {
                if !split || threads == 1 || gradus_core::workers_that_ran() > 1 {
                    break;
                }
                check("tried again", train(false));
            }
            assert!(
                !split || threads == 1 || gradus_core::workers_that_ran() > 1,
                "only one worker ran"
            );
        }
    }
    set_split_all(false);
    for level in [Isa::Avx2, Isa::Avx512] {
        if !isa::force(level) {
            println!("skipped: this machine has no {}", level.name());
            continue;
        }
        if best >= Isa::Avx2 {
            check(level.name(), train(false));
        }
    }
    // The generic level has its own bits, but the same at any number of threads.
    isa::force(Isa::Generic);
    let one = train(false);
    set_threads(3);
    set_split_all(true);
    for (a, b) in one.iter().zip(&train(true)) {
        assert!(a.same_bits(b), "generic level");
    }
    isa::force(best);
}
