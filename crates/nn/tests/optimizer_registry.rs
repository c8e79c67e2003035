//! Every row of the table of optimizers, averages, penalties and clipping, through everything that
//! they have to keep: what a plain loop in f64 computes, a falling loss, equal bits on any number of
//! threads, saved states that go on, settings that are refused, and training by name.
//!
//! There is no test code for single optimizers here. A new row is tested by being there.

#![allow(clippy::print_stdout, clippy::panic, clippy::unwrap_used)]

#[path = "../../core/tests/common/mod.rs"]
mod common;

use std::collections::HashSet;

use common::alone;
use gradus_core::{Code, DType, Error, check, eager, set_split_all, set_threads};
use gradus_core::{Param, Tensor, derivatives::functional_call};
use gradus_nn::optim::registry::{
    Group, OptimizerRow, Problem, Run, Sample, Settings, all_named, rows,
};
use gradus_nn::{Linear, ModuleExt, Optimizer, Sgd, StateDict, Tanh, seq};

fn tell(error: Error) -> String {
    error.to_string()
}

fn small(dtype: DType) -> Problem {
    Problem::new(3, 2, dtype).unwrap()
}

/// Calls `f` for each sample and lists the failures together. `GRADUS_OPTIMIZER=Name` picks one.
fn each(what: &str, f: impl Fn(&OptimizerRow, &Sample) -> Result<(), String>) {
    let wanted = std::env::var("GRADUS_OPTIMIZER").ok();
    let mut failures = Vec::new();
    let mut count = 0;
    for row in rows().iter().filter(|row| wanted.as_deref().is_none_or(|w| w == row.name)) {
        for sample in (row.samples)() {
            count += 1;
            if let Err(why) = f(row, &sample) {
                failures.push(format!("{} ({}): {why}", row.name, sample.label));
            }
        }
    }
    println!("{what}: {} of {count} samples passed", count - failures.len());
    assert!(failures.is_empty(), "{what}: {}\n{}", failures.len(), failures.join("\n"));
}

fn train(problem: &Problem, opt: &mut dyn Optimizer, steps: usize) -> Result<(), String> {
    for _ in 0..steps {
        opt.step_with(&mut || problem.loss()).map_err(tell)?;
    }
    Ok(())
}

/// What a sample gives after so many steps, in the problem's type.
fn result(problem: &Problem, sample: &Sample, steps: usize) -> Result<Vec<f64>, String> {
    match sample.run {
        Run::Optimizer(build) => {
            train(problem, &mut *build(problem), steps)?;
            problem.values().map_err(tell)
        }
        Run::Average(build) => {
            let mut average = build(problem);
            let mut opt = Sgd::new(problem, Problem::LR);
            for _ in 0..steps {
                train(problem, &mut opt, 1)?;
                average.update().map_err(tell)?;
            }
            average.with_averaged(|| problem.values()).map_err(tell)?.map_err(tell)
        }
        Run::Penalty(run) => Ok(vec![run(problem).item().map_err(tell)?]),
        Run::Clipping(run) => {
            let clipped = run(problem, problem.loss().backward().map_err(tell)?);
            let mut values = Vec::new();
            for param in [&problem.weight, &problem.bias] {
                let gradient = clipped.get(param).ok_or("no gradient")?;
                values.extend(gradient.to_array().map_err(tell)?.to_f64());
            }
            Ok(values)
        }
    }
}

#[test]
fn the_table_is_in_order() {
    let mut names = HashSet::new();
    for row in rows() {
        assert!(names.insert(row.name), "{} is there twice", row.name);
        for text in [row.name, row.signature, row.formula, row.pytorch, row.source] {
            assert!(!text.trim().is_empty(), "{}: an empty cell", row.name);
        }
        assert!(row.signature.contains(row.name), "{}: {}", row.name, row.signature);
        assert!(row.pytorch == "-" || row.pytorch.starts_with("torch"), "{}", row.pytorch);
        let mut labels = HashSet::new();
        for sample in (row.samples)() {
            assert!(labels.insert(sample.label), "{}: `{}` twice", row.name, sample.label);
        }
        assert!(!labels.is_empty(), "{} has no samples", row.name);
        // Penalties and clipping take any number.
        let free = matches!(row.group, Group::Penalty | Group::Clipping);
        assert!(free || !(row.errors)().is_empty(), "{} has no errors", row.name);
        if let Some(named) = row.named {
            assert_eq!(row.group, Group::Optimizer);
            assert!(named.lr > 0.0 && named.name == row.name.to_lowercase(), "{}", named.name);
        }
    }
}

/// In f64, against a loop that knows nothing of Gradus: parameters after 1, 2 and 12 steps.
#[test]
fn formulas() {
    let _alone = alone();
    each("formulas", |_, sample| {
        for steps in [1, 2, 12] {
            let problem = small(DType::F64);
            let want = (sample.expected)(&problem, steps);
            let have = result(&problem, sample, steps)?;
            let close = |(a, b): (&f64, &f64)| (a - b).abs() <= 1e-9 * b.abs().max(1.0);
            if have.len() != want.len() || !have.iter().zip(&want).all(close) {
                return Err(format!("after {steps} steps {have:?}, expected {want:?}"));
            }
        }
        Ok(())
    });
}

#[test]
fn losses_fall() {
    let _alone = alone();
    each("losses", |_, sample| {
        let Run::Optimizer(build) = sample.run else { return Ok(()) };
        let problem = small(DType::F32);
        let first = problem.loss().item().map_err(tell)?;
        let mut opt = build(&problem);
        train(&problem, &mut *opt, 25)?;
        let last = problem.loss().item().map_err(tell)?;
        // A matrix alone leaves what the vector costs.
        if last > 0.8 * first {
            return Err(format!("from {first} to {last}"));
        }
        if opt.steps() == 25 { Ok(()) } else { Err(format!("{} steps", opt.steps())) }
    });
}

#[test]
fn equal_bits_in_every_mode() {
    let _alone = alone();
    each("equal bits", |_, sample| {
        let run = || result(&Problem::new(70, 33, DType::F32).map_err(tell)?, sample, 3);
        let base = run()?;
        let (whole, at_once) = {
            set_split_all(true);
            set_threads(3);
            let done = (run(), eager(run));
            set_threads(1);
            set_split_all(false);
            done
        };
        let same = |other: &[f64]| base.iter().zip(other).all(|(a, b)| a.to_bits() == b.to_bits());
        match same(&whole?) && same(&at_once?) {
            true => Ok(()),
            false => Err("other bits with 3 threads".to_string()),
        }
    });
}

#[test]
fn a_saved_state_goes_on_bit_for_bit() {
    let _alone = alone();
    each("states", |_, sample| {
        let Run::Optimizer(build) = sample.run else { return Ok(()) };
        let (first, second) = (small(DType::F32), small(DType::F32));
        let mut opt = build(&first);
        train(&first, &mut *opt, 4)?;
        let bytes = |state: StateDict| StateDict::from_bytes(&state.to_bytes()).map_err(tell);
        let weights = bytes(first.state_dict().map_err(tell)?)?;
        let state = bytes(opt.state_dict().map_err(tell)?)?;
        second.load_state_dict(&weights).map_err(tell)?;
        let mut other = build(&second);
        other.load_state_dict(&state).map_err(tell)?;
        train(&first, &mut *opt, 4)?;
        train(&second, &mut *other, 4)?;
        let (a, b) = (first.state_dict().map_err(tell)?, second.state_dict().map_err(tell)?);
        let states = (opt.state_dict().map_err(tell)?, other.state_dict().map_err(tell)?);
        match a.to_bytes() == b.to_bytes() && states.0.to_bytes() == states.1.to_bytes() {
            true => Ok(()),
            false => Err(format!("{a:?} became {b:?}")),
        }
    });
}

/// A state of another optimizer is refused, and nothing changes.
#[test]
fn a_foreign_state_is_refused() {
    let _alone = alone();
    each("foreign states", |_, sample| {
        let Run::Optimizer(build) = sample.run else { return Ok(()) };
        let problem = small(DType::F32);
        let foreign = StateDict::from_bytes(&problem.state_dict().map_err(tell)?.to_bytes());
        match build(&problem).load_state_dict(&foreign.map_err(tell)?) {
            Err(error) if error.code() == Code::State => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
}

/// Penalties have gradients of the first and second order.
#[test]
fn gradients_of_penalties() {
    let _alone = alone();
    each("gradients", |_, sample| {
        let Run::Penalty(run) = sample.run else { return Ok(()) };
        let problem = small(DType::F64);
        let params: Vec<Param> = problem.parameters();
        let values: Result<Vec<_>, _> = params.iter().map(Param::get).collect();
        let call = |v: &[Tensor]| {
            let pairs: Vec<(&Param, &Tensor)> = params.iter().zip(v).collect();
            functional_call(&pairs, || run(&problem))
        };
        let values = values.map_err(tell)?;
        check::gradients(call, &values).map_err(tell)?;
        check::second_order(call, &values).map_err(tell)
    });
}

#[test]
fn errors() {
    let _alone = alone();
    let mut count = 0;
    for row in rows() {
        for case in (row.errors)() {
            count += 1;
            let problem = small(DType::F32);
            let before = problem.state_dict().unwrap().to_bytes();
            let Err(error) = (case.run)(&problem) else {
                panic!("{} ({}): no error", row.name, case.label)
            };
            let name = format!("{} ({}): {error}", row.name, case.label);
            assert_eq!(error.code(), Code::Argument, "{name}");
            assert!(error.title().contains(case.words), "{name}");
            assert_eq!(problem.state_dict().unwrap().to_bytes(), before, "{name}");
        }
    }
    println!("errors: {count} cases passed");
}

/// By its name, with each setting that it says it has, on a network with matrices and vectors.
#[test]
fn optimizers_by_name_train() {
    let _alone = alone();
    for named in all_named() {
        let settings = Settings {
            lr: named.lr,
            weight_decay: Some(1e-3),
            momentum: Some(0.8),
            nesterov: Some(true),
            betas: Some((0.8, 0.95)),
            eps: Some(1e-6),
        };
        for settings in [Settings { lr: named.lr, ..Settings::default() }, settings] {
            gradus_core::seed(3);
            let model = seq![Linear::new(4, 16), Tanh, Linear::new(16, 2)];
            let draw = |seed, size| gradus_core::Rng::new(seed).normal([32, size], 0.0, 1.0);
            let (x, y) = (Tensor::from(draw(1, 4).unwrap()), Tensor::from(draw(2, 2).unwrap()));
            let loss = || model.forward(&x).mse_loss(&y);
            let mut opt = (named.build)(&model, &settings);
            let first = loss().item().unwrap();
            for _ in 0..60 {
                opt.step(&loss()).unwrap();
            }
            let last = loss().item().unwrap();
            assert!(last < 0.97 * first, "{}: {first} to {last}", named.name);
            assert_eq!((opt.lr(), opt.parameters().len()), (named.lr, 4), "{}", named.name);
        }
    }
}
