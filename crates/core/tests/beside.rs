//! Gradients that are computed beside their updates: the same bits, nothing changed by a failed step,
//! and no allocation.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first failure")]

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gradus_core::{
    Array, Code, Isa, Param, Rng, Rule, Tensor, UpdateGroup, apply, eager, isa, profile,
    set_split_all, set_threads, step,
};

/// Threads and instruction sets are the process's.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether something else than the usual way is asked for.
fn unusual() -> bool {
    let set = |name| std::env::var(name).is_ok_and(|v| v == "1");
    set("GRADUS_EAGER") || set("GRADUS_CHECK")
}

struct Net {
    params: Vec<Param>,
    rule: Rule,
    group: Arc<UpdateGroup>,
    x: Array,
    y: Array,
    t: f64,
    /// Of the loss.
    scale: f64,
}

const ADAM: Rule = Rule::Adam { decoupled: false, amsgrad: false, maximize: false };

impl Net {
    /// Two layers whose gradients are taken, and one whose gradient is too small.
    fn new(rule: Rule) -> Net {
        Net::with(rule, 0.1)
    }

    /// With a first weight of this size.
    fn with(rule: Rule, first: f32) -> Net {
        let normal = |shape: &[usize], s: u64| {
            let size = if s == 1 { first } else { 0.1 };
            Param::new(Rng::new(s).normal(shape.to_vec(), 0.0, size).unwrap())
        };
        let params = vec![
            normal(&[200, 100], 1),
            normal(&[200], 2),
            normal(&[150, 200], 3),
            normal(&[150], 4),
            normal(&[10, 150], 5),
            normal(&[10], 6),
        ];
        let group = UpdateGroup::new(rule, &params.iter().collect::<Vec<_>>()).unwrap();
        let x = Rng::new(7).normal([64, 100], 0.0, 1.0).unwrap();
        let classes: Vec<i64> = (0..64).map(|i| i * 7 % 10).collect();
        let y = Array::new([64], &classes).unwrap();
        Net { params, rule, group: Arc::new(group), x, y, t: 0.0, scale: 1.0 }
    }

    fn loss(&self) -> Tensor {
        let h = Tensor::from(&self.x).linear(&self.params[0], Some(&self.params[1])).relu();
        let h = h.linear(&self.params[2], Some(&self.params[3])).relu();
        let logits = h.linear(&self.params[4], Some(&self.params[5]));
        logits.cross_entropy(&Tensor::from(&self.y)) * self.scale
    }

    fn step(&mut self) -> gradus_core::Result<()> {
        let loss = self.loss();
        self.update(&loss)
    }

    fn update(&mut self, loss: &Tensor) -> gradus_core::Result<()> {
        let numbers = self.numbers();
        step(loss, &[(&self.group, &numbers)]).map(drop)
    }

    /// Those of the next step.
    fn numbers(&mut self) -> [f64; 6] {
        self.t += 1.0;
        // Coupled decay is a form that is not computed beside a product.
        let decay = if self.rule == ADAM { 0.0 } else { 0.01 };
        [1e-2, 0.9, 0.999, 1e-8, decay, self.t]
    }

    fn values(&self) -> Vec<Array> {
        self.params.iter().map(|p| p.get().unwrap()).collect()
    }
}

fn same(what: &str, have: &[Array], want: &[Array]) {
    for (i, (a, b)) in have.iter().zip(want).enumerate() {
        assert!(a.same_bits(b), "parameter {i} differs: {what}");
    }
}

#[test]
fn training_has_the_bits_of_separate_updates() {
    let _alone = alone();
    let plain = [(false, false), (true, false), (false, true)];
    for (decoupled, amsgrad) in plain {
        let train = || {
            let mut net = Net::new(Rule::Adam { decoupled, amsgrad, maximize: false });
            (0..4).for_each(|_| net.step().unwrap());
            net.values()
        };
        let want = eager(train);
        for threads in [1, 2, 3] {
            set_threads(threads);
            set_split_all(threads > 1);
            same(&format!("{threads} threads"), &train(), &want);
        }
        set_split_all(false);
        for level in [Isa::Avx2, Isa::Avx512] {
            if isa::force(level) {
                same(level.name(), &train(), &want);
            }
        }
        isa::force(isa::best());
    }
}

#[test]
fn only_steps_whose_gradients_nobody_else_wants_are_left_out() {
    let _alone = alone();
    if unusual() {
        return;
    }
    let ran = |f: &mut dyn FnMut()| {
        let ((), profile) = profile(f);
        let gradient = |s: &&gradus_core::StepCost| {
            s.kind == "gemm"
                && (s.text.contains("[200, 64, 100]") || s.text.contains("[150, 64, 200]"))
        };
        let products: Vec<_> = profile.steps.iter().filter(gradient).cloned().collect();
        let update = profile.steps.iter().position(|s| s.kind == "update").unwrap();
        // Of two that are left out, the places are the last ones before the update.
        products.iter().filter(|p| p.at + 2 >= profile.steps[update].at).count()
    };
    let mut net = Net::new(ADAM);
    assert_eq!(ran(&mut || net.step().unwrap()), 2);
    // A gradient that somebody reads is a step as before.
    let mut net = Net::new(ADAM);
    let mut held = None;
    let count = ran(&mut || {
        let loss = net.loss();
        let grads = loss.backward().unwrap();
        let numbers = net.numbers();
        apply(&grads, &[(&net.group, &numbers)]).unwrap();
        held = grads.get(&net.params[0]).cloned();
    });
    assert!(count <= 1, "{count} steps");
    let mut plain = Net::new(ADAM);
    plain.step().unwrap();
    same("a held gradient", &net.values(), &plain.values());
    assert!(held.unwrap().to_array().unwrap().to_f64().iter().any(|&g| g != 0.0));
}

#[test]
fn held_values_of_parameters_stay() {
    let _alone = alone();
    let (mut net, mut plain) = (Net::new(ADAM), Net::new(ADAM));
    for _ in 0..3 {
        let held = net.values();
        let copies: Vec<Vec<f64>> = held.iter().map(Array::to_f64).collect();
        net.step().unwrap();
        plain.step().unwrap();
        for (array, copy) in held.iter().zip(copies) {
            assert_eq!(array.to_f64(), copy);
        }
    }
    same("values held", &net.values(), &plain.values());
}

#[test]
fn large_operands_take_the_careful_way_and_a_failed_step_changes_nothing() {
    let _alone = alone();
    // A first weight of zeros hides what is in the input from everything but its own gradient.
    let with = |x: &[f32], scale: f64| {
        let mut net = Net::with(ADAM, 0.0);
        (net.x, net.scale) = (Array::new([64, 100], x).unwrap(), scale);
        net
    };
    let mut net = with(&[3e38; 6400], 1e5);
    let before = net.values();
    let error = net.step().unwrap_err();
    assert_eq!(error.code(), Code::NonFinite);
    same("after a failed step", &net.values(), &before);
    // Not small enough to be sure, but finite.
    let mut x = [1.0; 6400];
    x[5] = 3e38;
    let (mut net, mut plain) = (with(&x, 100.0), with(&x, 100.0));
    net.step().unwrap();
    eager(|| plain.step()).unwrap();
    same("large operands", &net.values(), &plain.values());
    assert!(!net.values()[0].same_bits(&before[0]));
}

#[test]
fn steps_allocate_nothing() {
    let _alone = alone();
    if unusual() {
        return;
    }
    set_threads(1);
    let mut net = Net::new(ADAM);
    (0..5).for_each(|_| net.step().unwrap());
    let count = allocation_counter::measure(|| (0..20).for_each(|_| net.step().unwrap()));
    assert_eq!(count.count_total, 0, "allocations in 20 steps");
}
