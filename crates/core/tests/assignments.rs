//! Assignments of buffers that no step runs: they wait, cost little, and never happen twice.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test stops at the first failure")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use gradus_core::{
    Array, Buffer, CustomOp, DType, Meta, Param, Result, Rule, Tensor, UpdateGroup, eager,
    live_nodes, step, sync,
};

/// Keeps a running mean and a count, as batch normalisation does.
struct Norm {
    mean: Buffer,
    count: Buffer,
    scale: Param,
}

impl Norm {
    fn new() -> Norm {
        Norm {
            mean: Buffer::new(Array::zeros([3], DType::F32).unwrap()),
            count: Buffer::new(Array::zeros((), DType::I64).unwrap()),
            scale: Param::new(Array::new([3], &[1.0f32, 1.0, 1.0]).unwrap()),
        }
    }

    fn forward(&self, x: &Tensor) -> Tensor {
        let mean = x.mean_dim(0);
        self.mean.assign(&(self.mean.tensor() * 0.5 + &mean * 0.5));
        self.count.assign(&(self.count.tensor() + 1));
        (x - mean) * &self.scale
    }

    fn state(&self) -> (Vec<f32>, i64) {
        let mean = self.mean.read().unwrap().to_vec::<f32>().unwrap();
        (mean, self.count.read().unwrap().to_vec::<i64>().unwrap()[0])
    }

    fn stored(&self) -> f32 {
        self.mean.get().unwrap().to_vec::<f32>().unwrap()[0]
    }
}

fn batch(i: usize) -> Tensor {
    Tensor::full([64, 3], (i % 7) as f64)
}

/// What `n` batches leave behind.
fn expected(n: usize) -> f32 {
    (0..n).fold(0.0, |mean, i| mean * 0.5 + (i % 7) as f32 * 0.5)
}

fn group(norm: &Norm) -> Arc<UpdateGroup> {
    let sgd = Rule::Sgd { momentum: false, nesterov: false, maximize: false };
    Arc::new(UpdateGroup::new(sgd, &[&norm.scale]).unwrap())
}

const NUMBERS: [f64; 5] = [0.1, 0.0, 0.0, 0.0, 1.0];

#[test]
fn a_loop_that_only_reads_outputs_does_not_grow() {
    for eagerly in [false, true] {
        let norm = Norm::new();
        let mut sizes = Vec::new();
        let mut run = || {
            for i in 0..100 {
                norm.forward(&batch(i)).to_vec::<f32>().unwrap();
                sizes.push(live_nodes());
            }
        };
        if eagerly {
            eager(&mut run)
        } else {
            run()
        }
        assert_eq!(sizes[10], sizes[99], "{sizes:?}");
        assert_eq!(norm.stored(), 0.0, "a read writes no buffer");
        assert_eq!(norm.state(), (vec![expected(100); 3], 100));
        sync().unwrap();
        assert_eq!(norm.state().1, 100);
    }
}

#[test]
fn a_loop_that_reads_nothing_does_not_grow_without_bound() {
    let norm = Norm::new();
    let mut sizes = Vec::new();
    for i in 0..200 {
        drop(norm.forward(&batch(i)));
        sizes.push(live_nodes());
    }
    let most = |part: &[usize]| part.iter().copied().max().unwrap();
    assert_eq!(most(&sizes[20..100]), most(&sizes[120..]), "{sizes:?}");
    assert_eq!(norm.state(), (vec![expected(200); 3], 200));
}

#[test]
fn several_forward_passes_before_one_step_all_count() {
    let norm = Norm::new();
    let group = group(&norm);
    let loss = norm.forward(&batch(1)).square().sum() + norm.forward(&batch(2)).square().sum();
    assert_eq!(norm.stored(), 0.0);
    step(&loss, &[(&group, &NUMBERS)]).unwrap();
    assert_eq!(norm.stored(), 1.25);
    assert_eq!(norm.state(), (vec![1.25; 3], 2));
}

#[test]
fn a_failed_step_undoes_assignments_whose_values_a_read_has_computed() {
    let norm = Norm::new();
    let group = group(&norm);
    let y = norm.forward(&batch(5));
    let loss = (y.sum() + norm.scale.tensor().sum() * -1.0).log();
    assert!(loss.item().unwrap().is_nan());
    assert!(step(&loss, &[(&group, &NUMBERS)]).is_err());
    assert_eq!(norm.state(), (vec![0.0; 3], 0));
    // And the step that works counts once.
    let loss = norm.forward(&batch(4)).square().sum();
    loss.item().unwrap();
    loss.item().unwrap();
    step(&loss, &[(&group, &NUMBERS)]).unwrap();
    assert_eq!(norm.state(), (vec![2.0; 3], 1));
}

#[test]
fn a_buffer_reads_as_what_was_last_assigned_while_the_write_waits() {
    let norm = Norm::new();
    norm.forward(&batch(6)).to_vec::<f32>().unwrap();
    assert_eq!(norm.mean.tensor().to_vec::<f32>().unwrap(), [3.0; 3]);
    assert_eq!(norm.stored(), 0.0);
    sync().unwrap();
    assert_eq!(norm.stored(), 3.0);
}

fn set(name: &str) -> bool {
    std::env::var(name).is_ok_and(|v| v == "1")
}

/// Gives back its operand and counts; fails on negative numbers.
#[derive(Debug, Default)]
struct Counter(AtomicU32);

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
        self.0.fetch_add(1, Ordering::Relaxed);
        if inputs[0].to_f64().iter().any(|&v| v < 0.0) {
            return Err(gradus_core::Error::new(gradus_core::Code::Custom, "counter: negative"));
        }
        Ok(inputs[0].clone())
    }
}

#[test]
fn a_read_of_something_else_does_not_compute_what_is_to_be_assigned() {
    if set("GRADUS_CHECK") || set("GRADUS_EAGER") {
        println!("skipped: operations run twice, or at once");
        return;
    }
    let counter = Arc::new(Counter::default());
    let buffer = Buffer::new(Array::zeros([8192], DType::F32).unwrap());
    let x = Tensor::custom(counter.clone(), &[&Tensor::ones([8192])]);
    buffer.assign(&x);
    assert_eq!((Tensor::from([1.0]) + 1.0).item().unwrap(), 2.0);
    assert_eq!(counter.0.load(Ordering::Relaxed), 0);
    assert_eq!(x.sum().item().unwrap(), 8192.0);
    assert_eq!(counter.0.load(Ordering::Relaxed), 1);
    assert_eq!(buffer.read().unwrap().to_f64()[0], 1.0);
    assert_eq!(counter.0.load(Ordering::Relaxed), 1, "the read has computed the value");
}

#[test]
fn a_value_that_cannot_be_computed_fails_its_own_buffer_and_no_other_read() {
    if set("GRADUS_EAGER") {
        println!("skipped: operations run, and fail, at once");
        return;
    }
    let buffer = Buffer::new(Array::zeros([1], DType::F32).unwrap());
    let x = Tensor::from([-1.0]) * 2.0;
    buffer.assign(&Tensor::custom(Arc::new(Counter::default()), &[&x]));
    assert_eq!(x.item().unwrap(), -2.0);
    assert!(buffer.read().unwrap_err().title().contains("counter: negative"));
    assert_eq!(buffer.read().unwrap().to_f64(), [0.0]);
}

#[test]
fn buffers_that_are_gone_leave_nothing_behind() {
    let mut sizes = Vec::new();
    for i in 0..300 {
        drop(Norm::new().forward(&batch(i)));
        sizes.push(live_nodes());
    }
    let most = |part: &[usize]| part.iter().copied().max().unwrap();
    assert_eq!(most(&sizes[..150]), most(&sizes[150..]), "{sizes:?}");
}
