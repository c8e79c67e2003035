//! The rules of time: when a node runs, which value of a parameter it sees, what a held tensor
//! keeps, what a failed step leaves behind.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test stops at the first failure"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use gradus_core::{
    Array, Buffer, Code, CustomOp, DType, Meta, Param, Result, Rng, Rule, Shape, Tensor,
    UpdateGroup, apply, eager, live_nodes, no_grad, rng_state, seed, snapshot, step, sync,
};

const SGD: Rule = Rule::Sgd { momentum: true, nesterov: false, maximize: false };

fn param(values: &[f32]) -> Param {
    Param::new(Array::new([values.len()], values).unwrap())
}

fn sgd(params: &[&Param]) -> Arc<UpdateGroup> {
    Arc::new(UpdateGroup::new(SGD, params).unwrap())
}

/// lr 0.1, momentum 0.9; `first` on the first step.
fn numbers(first: bool) -> [f64; 5] {
    [0.1, 0.9, 0.0, 0.0, f64::from(u8::from(first))]
}

fn values(p: &Param) -> Vec<f32> {
    p.get().unwrap().to_vec().unwrap()
}

#[test]
fn an_operation_sees_the_value_a_parameter_had_when_it_was_recorded() {
    let w = param(&[1.0, 2.0]);
    let before = w.tensor() * 10.0;
    w.set(Array::new([2], &[5.0f32, 6.0]).unwrap()).unwrap();
    let after = w.tensor() * 10.0;
    assert_eq!(before.to_vec::<f32>().unwrap(), [10.0, 20.0]);
    assert_eq!(after.to_vec::<f32>().unwrap(), [50.0, 60.0]);
}

#[test]
fn a_held_snapshot_survives_updates_and_a_free_parameter_is_updated_in_place() {
    let w = param(&[1.0, 2.0]);
    let group = sgd(&[&w]);
    let held = w.get().unwrap();
    step(&w.tensor().square().sum(), &[(&group, &numbers(true))]).unwrap();
    assert_eq!(held.to_vec::<f32>().unwrap(), [1.0, 2.0]);
    assert_eq!(values(&w), [0.8, 1.6]);
    drop(held);
    let address = |w: &Param| w.get().unwrap().as_slice::<f32>().unwrap().as_ptr() as usize;
    let before = address(&w);
    let loss = w.tensor().square().sum();
    step(&loss, &[(&group, &numbers(false))]).unwrap();
    assert_eq!(address(&w), before, "nobody held the array, so it is updated in place");
}

#[test]
fn gradients_of_a_parameter_recorded_under_two_values_add_up() {
    let w = param(&[3.0]);
    let first = w.tensor().square().sum();
    w.set(Array::new([1], &[5.0f32]).unwrap()).unwrap();
    let loss = first + w.tensor().square().sum();
    let grads = loss.backward().unwrap();
    assert_eq!(grads.len(), 1);
    assert_eq!(grads.get(&w).unwrap().to_vec::<f32>().unwrap(), [16.0]);
}

#[test]
fn an_evaluation_between_forward_and_step_does_not_hide_a_parameter() {
    let w = param(&[2.0]);
    let group = sgd(&[&w]);
    let loss = w.tensor().square().sum();
    // Leaves of the same parameter come and go, newest and middle ones first.
    let evaluated = no_grad(|| w.tensor() * 3.0);
    w.set(Array::new([1], &[7.0f32]).unwrap()).unwrap();
    let newer = w.tensor() * 5.0;
    assert_eq!(evaluated.item().unwrap(), 6.0);
    drop(evaluated);
    assert_eq!(newer.item().unwrap(), 35.0);
    drop(newer);
    let report = step(&loss, &[(&group, &numbers(true))]).unwrap();
    assert!(report.untouched.is_empty());
    assert!((values(&w)[0] - (7.0 - 0.4)).abs() < 1e-6);
}

#[test]
fn reading_a_loss_before_the_step_changes_nothing() {
    let run = |read: bool| {
        let w = param(&[1.0, -2.0, 3.0]);
        let group = sgd(&[&w]);
        seed(3);
        for i in 0..5 {
            let hidden = (w.tensor() * 3.0).tanh().dropout(0.5);
            let loss = hidden.square().mean();
            if read {
                hidden.to_vec::<f32>().unwrap();
                loss.item().unwrap();
                loss.item().unwrap();
            }
            step(&loss, &[(&group, &numbers(i == 0))]).unwrap();
        }
        w.get().unwrap()
    };
    assert!(run(false).same_bits(&run(true)));
}

/// Check mode runs everything a second time, on the reference executor.
fn checking() -> bool {
    std::env::var("GRADUS_CHECK").is_ok_and(|v| v == "1")
}

#[test]
fn a_read_runs_only_the_ancestors_of_what_is_read() {
    if checking() {
        println!("skipped: check mode runs operations twice");
        return;
    }
    let counter = Arc::new(Counter::default());
    let x = Tensor::from([1.0]);
    let other = Tensor::custom(counter.clone(), &[&x]);
    assert_eq!((&x + 1.0).item().unwrap(), 2.0);
    assert_eq!(counter.runs.load(Ordering::Relaxed), 0);
    assert_eq!(other.item().unwrap(), 1.0);
    assert_eq!(other.item().unwrap(), 1.0);
    assert_eq!(counter.runs.load(Ordering::Relaxed), 1, "a value is computed once");
}

#[test]
fn a_step_runs_everything_that_is_pending_and_alive() {
    if checking() {
        println!("skipped: check mode runs operations twice");
        return;
    }
    let counter = Arc::new(Counter::default());
    let w = param(&[1.0]);
    let group = sgd(&[&w]);
    let metric = Tensor::custom(counter.clone(), &[&Tensor::from([7.0])]);
    let dropped = Tensor::custom(counter.clone(), &[&Tensor::from([8.0])]);
    drop(dropped);
    step(&w.tensor().sum(), &[(&group, &numbers(true))]).unwrap();
    assert_eq!(counter.runs.load(Ordering::Relaxed), 1);
    assert_eq!(metric.item().unwrap(), 7.0);
    assert_eq!(counter.runs.load(Ordering::Relaxed), 1);
}

#[test]
fn a_history_is_used_once_and_the_error_names_both_lines() {
    let w = param(&[2.0]);
    let group = sgd(&[&w]);
    let hidden = w.tensor().square();
    let first = hidden.sum();
    let second = (&hidden * 3.0).sum();
    step(&first, &[(&group, &numbers(true))]).unwrap();
    let before = values(&w);
    let error = step(&second, &[(&group, &numbers(false))]).unwrap_err();
    assert_eq!(error.code(), Code::History);
    let text = error.to_string();
    assert_eq!(text.matches("tests/time.rs").count(), 2, "{text}");
    assert!(text.contains("detach"), "{text}");
    assert_eq!(values(&w), before);
    // As data it may be used again.
    let w2 = param(&[1.0]);
    let loss = (hidden.detach() * w2.tensor()).sum();
    step(&loss, &[(&sgd(&[&w2]), &numbers(true))]).unwrap();
    assert!((values(&w2)[0] - 0.6).abs() < 1e-6);
}

#[test]
fn gradients_may_be_read_one_by_one_and_after_the_loss() {
    let (a, b) = (param(&[2.0, 3.0]), param(&[5.0, 7.0]));
    let product = a.tensor() * b.tensor();
    let loss = product.sum();
    let grads = loss.backward().unwrap();
    assert_eq!(loss.item().unwrap(), 31.0);
    assert_eq!(product.to_vec::<f32>().unwrap(), [10.0, 21.0]);
    let doubled = grads.get(&b).unwrap() * 2.0;
    assert_eq!(grads.get(&a).unwrap().to_vec::<f32>().unwrap(), [5.0, 7.0]);
    assert_eq!(loss.item().unwrap(), 31.0);
    assert_eq!(doubled.to_vec::<f32>().unwrap(), [4.0, 6.0]);
    assert_eq!(grads.get(&b).unwrap().to_vec::<f32>().unwrap(), [2.0, 3.0]);
    assert_eq!(loss.backward().err().unwrap().code(), Code::History);
}

#[test]
fn backward_twice_on_one_loss_is_an_error() {
    let w = param(&[2.0]);
    let loss = w.tensor().square().sum();
    let grads = loss.backward().unwrap();
    assert_eq!(loss.backward().err().unwrap().code(), Code::History);
    assert_eq!(grads.get(&w).unwrap().item().unwrap(), 4.0);
}

#[test]
fn a_generator_and_its_critic_train_in_turn() {
    // d_loss uses the fake as data; g_loss differentiates through it afterwards.
    let (g, d) = (param(&[1.0]), param(&[0.5]));
    let (g_group, d_group) = (sgd(&[&g]), sgd(&[&d]));
    let fake = g.tensor() * 2.0;
    let d_loss = (fake.detach() * d.tensor()).sum();
    step(&d_loss, &[(&d_group, &numbers(true))]).unwrap();
    assert!((values(&d)[0] - 0.3).abs() < 1e-6);
    assert_eq!(values(&g), [1.0]);
    let g_loss = (&fake * d.tensor()).sum();
    step(&g_loss, &[(&g_group, &numbers(true))]).unwrap();
    assert!((values(&g)[0] - (1.0 - 0.1 * 2.0 * 0.3)).abs() < 1e-6);
    assert!((values(&d)[0] - 0.3).abs() < 1e-6);
}

#[test]
fn a_failed_step_leaves_every_bit_of_state_as_it_was() {
    seed(11);
    let w = param(&[1.0, 2.0]);
    let group = sgd(&[&w]);
    let stats = Buffer::new(Array::zeros([2], DType::F32).unwrap());
    let mut first = true;
    let mut good = |w: &Param| {
        let h = w.tensor().dropout(0.5);
        stats.assign(&(stats.tensor() + &h));
        let loss = h.square().sum() + w.tensor().sum();
        step(&loss, &[(&group, &numbers(first))]).unwrap();
        first = false;
    };
    good(&w);
    let state = |w: &Param| {
        let momentum = group.states(0)[0].get().unwrap();
        (w.get().unwrap().to_vec::<f32>().unwrap(), momentum.to_vec::<f32>().unwrap())
    };
    let (before, random) = (state(&w), rng_state());
    let buffer = stats.get().unwrap().to_vec::<f32>().unwrap();
    // The gradient overflows.
    {
        let h = w.tensor().dropout(0.5);
        stats.assign(&(stats.tensor() + &h));
        let loss = (h.sum() + w.tensor().sum() * 1e30 * 1e30).log();
        let error = step(&loss, &[(&group, &numbers(false))]).unwrap_err();
        assert_eq!(error.code(), Code::NonFinite);
        assert!(error.to_string().contains("tests/time.rs"), "{error}");
        // Again, from the same history.
        assert_eq!(step(&loss, &[(&group, &numbers(false))]).unwrap_err().code(), Code::NonFinite);
    }
    // A class id is out of range.
    {
        let logits = w.tensor().reshape([1, 2]);
        stats.assign(&(stats.tensor() + 1.0));
        let loss = logits.cross_entropy(&Tensor::from([2]));
        let error = step(&loss, &[(&group, &numbers(false))]).unwrap_err();
        assert_eq!(error.code(), Code::Index);
        assert!(error.title().contains("class id 2 at row 0"), "{error}");
    }
    assert_eq!(state(&w), before);
    assert_eq!(rng_state(), random);
    assert_eq!(stats.read().unwrap().to_vec::<f32>().unwrap(), buffer);
    good(&w);
    assert_ne!(state(&w), before);
}

#[test]
fn non_finite_errors_name_the_operation_that_began_it() {
    let w = param(&[1.0, 0.0]);
    let group = sgd(&[&w]);
    let logs = w.tensor().log();
    let loss = (logs * 2.0).tanh().sum() - w.tensor().log().sum();
    let error = step(&loss, &[(&group, &numbers(true))]).unwrap_err();
    assert!(error.title().contains("`log` made the first"), "{error}");
    assert!(error.to_string().contains("-inf at [1]"), "{error}");
    // sqrt is finite at 0, its derivative is not.
    let loss = w.tensor().sqrt().sum();
    let error = step(&loss, &[(&group, &numbers(true))]).unwrap_err();
    assert!(error.title().contains("the gradient of `sqrt`"), "{error}");
    w.set(Array::new([2], &[f32::NAN, 0.0]).unwrap()).unwrap();
    w.set_path("layer.weight");
    let error = step(&w.tensor().sum(), &[(&group, &numbers(true))]).unwrap_err();
    assert!(error.title().contains("parameter `layer.weight` is already"), "{error}");
}

#[test]
fn effects_happen_exactly_once_and_in_order() {
    let count = Buffer::new(Array::zeros([], DType::F32).unwrap());
    let read = || count.get().unwrap().to_vec::<f32>().unwrap()[0];
    let w = param(&[1.0]);
    let group = sgd(&[&w]);
    let h = w.tensor() * 2.0;
    count.assign(&(count.tensor() + 1.0));
    count.assign(&(count.tensor() * 10.0));
    let loss = h.sum();
    // Reads do not run effects of others, however often.
    loss.item().unwrap();
    loss.item().unwrap();
    assert_eq!(read(), 0.0);
    step(&loss, &[(&group, &numbers(true))]).unwrap();
    assert_eq!(read(), 10.0);
    sync().unwrap();
    assert_eq!(read(), 10.0);
    // Without a step: when the buffer is read.
    count.assign(&(count.tensor() + 5.0));
    assert_eq!(read(), 10.0);
    assert_eq!(count.read().unwrap().to_vec::<f32>().unwrap(), [15.0]);
    assert_eq!(count.read().unwrap().to_vec::<f32>().unwrap(), [15.0]);
}

#[test]
fn gradients_of_recomputed_history_use_the_same_random_numbers() {
    seed(5);
    let w = param(&[1.0; 64]);
    let h = w.tensor().dropout(0.5);
    let seen = h.to_vec::<f32>().unwrap();
    let grads = h.sum().backward().unwrap();
    assert_eq!(grads.get(&w).unwrap().to_vec::<f32>().unwrap(), seen);
}

#[test]
fn gradients_are_values_that_can_be_clipped_and_applied() {
    let w = param(&[3.0, 4.0]);
    let group = sgd(&[&w]);
    let loss = w.tensor().square().sum() * 0.5;
    let grads = loss.backward().unwrap().clip_norm(1.0);
    apply(&grads, &[(&group, &numbers(true))]).unwrap();
    let want = [3.0 - 0.1 * 0.6, 4.0 - 0.1 * 0.8];
    for (have, want) in values(&w).iter().zip(want) {
        assert!((have - want).abs() < 1e-5);
    }
}

#[test]
fn a_step_without_a_path_to_a_parameter_says_what_cut_it() {
    let w = param(&[3.0, 4.0]);
    let group = sgd(&[&w]);
    let loss = (w.tensor().argmax(0).cast(DType::F32) - 1.0).square().sum();
    let error = step(&loss, &[(&group, &numbers(true))]).unwrap_err();
    assert_eq!(error.code(), Code::Gradient);
    assert!(error.to_string().contains("`argmax`, which has no gradient"), "{error}");
    let loss = no_grad(|| w.tensor().square().sum());
    let error = step(&loss, &[(&group, &numbers(true))]).unwrap_err();
    assert!(error.to_string().contains("no_grad"), "{error}");
    let error = step(&w.tensor(), &[(&group, &numbers(true))]).unwrap_err();
    assert!(error.to_string().contains("single number"), "{error}");
}

#[test]
fn parameters_that_play_no_part_are_listed_and_unchanged() {
    let (used, unused, frozen) = (param(&[1.0]), param(&[2.0]), param(&[3.0]));
    frozen.freeze(true);
    let group = sgd(&[&used, &unused, &frozen]);
    let loss = (used.tensor() * frozen.tensor()).sum();
    let report = step(&loss, &[(&group, &numbers(true))]).unwrap();
    assert_eq!(report.loss, 3.0);
    assert_eq!(report.untouched, [unused.id(), frozen.id()]);
    assert_eq!((values(&unused), values(&frozen)), (vec![2.0], vec![3.0]));
}

#[test]
fn errors_travel_to_the_step_and_are_told_once() {
    let w = param(&[1.0, 2.0]);
    let group = sgd(&[&w]);
    let bad = w.tensor() + Tensor::from([1.0, 2.0, 3.0]);
    let loss = (bad.tanh() * 2.0).sum();
    assert!(loss.shape().is_err());
    let error = step(&loss, &[(&group, &numbers(true))]).unwrap_err();
    assert_eq!(error.code(), Code::Shape);
    assert!(error.to_string().contains("tests/time.rs"), "{error}");
    // A failed tensor that was dropped unseen is reported by the next step.
    drop(w.tensor() + Tensor::from([1.0, 2.0, 3.0]));
    let good = w.tensor().sum();
    assert_eq!(step(&good, &[(&group, &numbers(true))]).unwrap_err().code(), Code::Shape);
    step(&good, &[(&group, &numbers(true))]).unwrap();
}

#[test]
fn eager_and_planned_steps_give_the_same_bits() {
    let run = || {
        seed(2);
        let w = Param::new(Rng::new(7).normal([5, 3], 0.0, 1.0).unwrap());
        let b = param(&[0.0; 5]);
        let group = sgd(&[&w, &b]);
        let x = Tensor::from(Rng::new(8).normal([4, 3], 0.0, 1.0).unwrap());
        let y = Tensor::from([0, 4, 2, 1]);
        for i in 0..6 {
            let h = x.linear(&w, Some(&b)).relu().dropout(0.3);
            let loss = h.cross_entropy(&y) + h.square().mean() * 0.1;
            step(&loss, &[(&group, &numbers(i == 0))]).unwrap();
        }
        (w.get().unwrap(), b.get().unwrap())
    };
    let (planned, eagerly) = (run(), eager(run));
    assert!(planned.0.same_bits(&eagerly.0) && planned.1.same_bits(&eagerly.1));
}

#[test]
fn a_model_is_read_consistently_while_another_thread_trains_it() {
    let (a, b) = (param(&[0.0; 1000]), param(&[0.0; 1000]));
    let done = AtomicU32::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let group = sgd(&[&a, &b]);
            for i in 0..200 {
                let loss = a.tensor().sum() + b.tensor().sum();
                step(&loss, &[(&group, &numbers(i == 0))]).unwrap();
            }
            done.store(1, Ordering::Release);
        });
        while done.load(Ordering::Acquire) == 0 {
            let (values, _) = snapshot(&[&a, &b], &[]).unwrap();
            assert!(values[0].same_bits(&values[1]), "half a step was seen");
        }
    });
}

#[test]
fn nothing_is_left_behind() {
    std::thread::spawn(|| {
        let w = param(&[1.0, 2.0]);
        let group = sgd(&[&w]);
        for i in 0..50 {
            let h = w.tensor().exp();
            let loss = h.sum();
            if i % 2 == 0 {
                loss.item().unwrap();
            }
            let y = (&h * 2.0).detach();
            step(&loss, &[(&group, &numbers(i == 0))]).unwrap();
            y.to_vec::<f32>().unwrap();
        }
        assert_eq!(live_nodes(), 0);
    })
    .join()
    .unwrap();
}

/// The identity, counting its runs.
#[derive(Default)]
struct Counter {
    runs: AtomicU32,
}

impl CustomOp for Counter {
    fn name(&self) -> &'static str {
        "counter"
    }
    fn key(&self) -> u64 {
        std::ptr::from_ref(self) as u64
    }
    fn infer(&self, inputs: &[Meta]) -> Result<Meta> {
        Ok(inputs[0])
    }
    fn run(&self, inputs: &[Array]) -> Result<Array> {
        self.runs.fetch_add(1, Ordering::Relaxed);
        Ok(inputs[0].clone())
    }
}

#[test]
fn a_panic_in_a_custom_operation_is_an_error() {
    struct Panics;
    impl CustomOp for Panics {
        fn name(&self) -> &'static str {
            "panics"
        }
        fn key(&self) -> u64 {
            1
        }
        fn infer(&self, _: &[Meta]) -> Result<Meta> {
            Ok(Meta { shape: Shape::SCALAR, dtype: DType::F32 })
        }
        fn run(&self, _: &[Array]) -> Result<Array> {
            panic!("on purpose")
        }
    }
    let t = Tensor::custom(Arc::new(Panics), &[]);
    let error = t.item().unwrap_err();
    assert_eq!(error.code(), Code::Custom);
    assert_eq!((Tensor::from([1.0]) + 1.0).item().unwrap(), 2.0);
}

#[test]
fn gradients_stop_at_the_results_of_backward_whether_they_were_read_or_not() {
    let run = |read: bool| {
        let w = param(&[3.0]);
        let group = sgd(&[&w]);
        let wt = w.tensor();
        let grads = (&wt * &wt * &wt).sum().backward().unwrap();
        let g = grads.get(&w).unwrap();
        assert!(!g.requires_grad());
        if read {
            assert_eq!(g.item().unwrap(), 27.0);
        }
        drop(wt);
        step(&(g * w.tensor()).sum(), &[(&group, &numbers(true))]).unwrap();
        values(&w)
    };
    assert!((run(false)[0] - (3.0 - 0.1 * 27.0)).abs() < 1e-6);
    assert_eq!(run(false), run(true));
}

#[test]
fn two_gradients_of_one_value_are_two_tensors() {
    let (a, b) = (Tensor::from([1.0, 2.0]).with_grad(), Tensor::from([3.0, 4.0]).with_grad());
    let y = (&a + &b).square().sum();
    let gs = y.grads(&[&a, &b]).unwrap();
    let z = (gs[0].square() + &gs[1] * 3.0).sum();
    assert_eq!(z.grad(&gs[0]).unwrap().to_vec::<f32>().unwrap(), [16.0, 24.0]);
}

#[test]
fn leaves_of_a_parameter_that_die_together_do_not_hide_older_ones() {
    let w = param(&[3.0]);
    let group = sgd(&[&w]);
    let old = w.tensor() * 10.0;
    let teacher = no_grad(|| w.tensor());
    let gap = {
        let student = w.tensor();
        &teacher - &student
    };
    drop(teacher);
    drop(gap);
    step(&(old + w.tensor()).sum(), &[(&group, &numbers(true))]).unwrap();
    assert!((values(&w)[0] - (3.0 - 1.1)).abs() < 1e-6);
}

#[test]
fn a_step_refused_while_recording_leaves_no_effects() {
    let w = param(&[3.0]);
    let group = sgd(&[&w]);
    let count = Buffer::new(Array::zeros([], DType::F32).unwrap());
    let read = || count.get().unwrap().to_vec::<f32>().unwrap()[0];
    count.assign(&(count.tensor() + 1.0));
    let bad = w.tensor() + Tensor::from([1.0, 2.0, 3.0]) + Tensor::from([1.0, 2.0]);
    assert!(step(&bad.sum(), &[(&group, &numbers(true))]).is_err());
    sync().unwrap();
    assert_eq!(read(), 0.0);
    // An update of one group is not made when the next is refused.
    let other = param(&[1.0]);
    let wrong = sgd(&[&other]);
    let grads = (w.tensor() * other.tensor()).sum().backward().unwrap();
    let refused = apply(&grads, &[(&group, &numbers(true)), (&wrong, &[])]);
    assert!(refused.is_err());
    sync().unwrap();
    assert_eq!(values(&w), [3.0]);
    // A buffer recovers from an assignment that failed.
    count.assign(&(count.tensor() * f64::INFINITY * 0.0));
    assert!(count.read().is_err());
    count.assign(&(count.tensor() + 2.0));
    assert_eq!(count.read().unwrap().to_vec::<f32>().unwrap(), [2.0]);
}

#[test]
fn random_tensors_that_are_held_keep_their_numbers_to_themselves() {
    seed(4);
    let w = param(&[-1.0]);
    let group = sgd(&[&w]);
    let noise = Tensor::randn([4]);
    assert!(step(&w.tensor().log().sum(), &[(&group, &numbers(true))]).is_err());
    let other = Tensor::randn([4]);
    assert_ne!(noise.to_vec::<f32>().unwrap(), other.to_vec::<f32>().unwrap());
}

#[test]
fn a_loss_that_is_a_parameter_is_watched_too() {
    let w = param(&[f32::NAN]);
    let group = sgd(&[&w]);
    let error = step(&w.tensor(), &[(&group, &numbers(true))]).unwrap_err();
    assert_eq!(error.code(), Code::NonFinite);
    // Only what is used of a gradient has to be finite.
    let v = param(&[4.0]);
    let zeros = Tensor::zeros([2]);
    let joined = Tensor::concat(&[&v.tensor(), &zeros], 0).sqrt().sum();
    step(&joined, &[(&sgd(&[&v]), &numbers(true))]).unwrap();
    assert!((values(&v)[0] - (4.0 - 0.1 * 0.25)).abs() < 1e-6);
}

#[test]
fn wide_sums_of_products_are_cut_into_several_steps() {
    let parts: Vec<Tensor> = (0..3000).map(|i| Tensor::from([f64::from(i), 1.0])).collect();
    let mut level: Vec<Tensor> = parts.iter().map(|t| t * 2.0).collect();
    while level.len() > 1 {
        level = level
            .chunks(2)
            .map(|c| if c.len() == 2 { &c[0] + &c[1] } else { c[0].clone() })
            .collect();
    }
    let total = level.remove(0).sum();
    assert_eq!(total.item().unwrap(), f64::from(3000 * 2999 + 6000));
}
