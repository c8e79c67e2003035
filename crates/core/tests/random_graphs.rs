//! Random programs: fused against eager bit for bit, and both against the reference executor.
//!
//! `GRADUS_CASES` sets how many (300 by default) and `GRADUS_SEED` which ones; a failure is shrunk and
//! printed as a program.

// Helpers of tests may panic, as tests do.
#![allow(clippy::panic)]

mod common;

use common::program::Program;
use common::{Setting, alone, leaf, same, under};
use gradus_core::{Array, Code, Tensor, check, check_mode, isa};
use gradus_kernels::pool;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

fn cases(default: u32) -> u32 {
    std::env::var("GRADUS_CASES").ok().and_then(|v| v.parse().ok()).unwrap_or(default)
}

fn program(smooth: bool, steps: std::ops::Range<usize>) -> impl Strategy<Value = Program> {
    let leaves = prop::collection::vec(0u8..18, 2..5);
    let steps = prop::collection::vec(any::<[u16; 4]>(), steps);
    (leaves, steps, any::<u64>(), any::<bool>()).prop_map(move |(leaves, steps, held, second)| {
        Program { leaves, steps, held, second, smooth, large: false }
    })
}

fn runner(cases: u32) -> TestRunner {
    let config =
        Config { cases, failure_persistence: None, max_shrink_iters: 4000, ..Config::default() };
    let mut seed = [0u8; 32];
    let number: u64 = std::env::var("GRADUS_SEED").ok().and_then(|v| v.parse().ok()).unwrap_or(17);
    seed[..8].copy_from_slice(&number.to_le_bytes());
    TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &seed))
}

/// What a program computes: held values, a scalar, its gradients, and maybe theirs.
fn tensors(p: &Program) -> Result<Vec<(String, Tensor)>, String> {
    let xs: Vec<Tensor> = p.operands().iter().map(leaf).collect();
    let (mut out, loss, _) = p.run(&xs);
    out.push(("loss".to_string(), loss.clone()));
    let mut sum: Option<Tensor> = None;
    for (i, x) in xs.iter().enumerate() {
        match loss.grad(x) {
            Ok(g) => {
                let part = g.square().sum();
                sum = Some(match sum {
                    Some(sum) => sum + part,
                    None => part,
                });
                out.push((format!("gradient {i}"), g));
            }
            // The scalar may not depend on it.
            Err(error) if error.code() == Code::Gradient => {}
            Err(error) => return Err(error.to_string()),
        }
    }
    let Some(sum) = sum.filter(|_| p.second) else { return Ok(out) };
    for (i, x) in xs.iter().enumerate() {
        match sum.grad(x) {
            Ok(g) => out.push((format!("second derivative {i}"), g)),
            Err(error) if error.code() == Code::Gradient => {}
            Err(error) => return Err(error.to_string()),
        }
    }
    Ok(out)
}

fn values(p: &Program, setting: Setting) -> Result<Vec<(String, Array)>, TestCaseError> {
    under(setting, || tensors(p)).map_err(|why| TestCaseError::fail(format!("{setting:?}: {why}")))
}

#[test]
fn random_programs() {
    let _alone = alone();
    compare(cases(300), program(false, 5..40));
}

/// Large enough that kernels work in pieces.
#[test]
fn large_random_programs() {
    let _alone = alone();
    let programs = program(false, 3..10).prop_map(|p| Program { large: true, second: false, ..p });
    pool::reset_workers_that_ran();
    compare(cases(300) / 40, programs);
    let ran = pool::workers_that_ran();
    assert!(ran > 1, "only {ran} thread did all the work");
}

fn compare(cases: u32, programs: impl Strategy<Value = Program>) {
    let plain = Setting::plain();
    let settings = [
        Setting { eager: true, ..plain },
        Setting { together: true, ..plain },
        Setting { hold: true, together: true, ..plain },
        Setting { split: true, together: true, ..plain },
    ];
    let result = runner(cases).run(&programs, |p| {
        let base = values(&p, plain)?;
        for setting in settings {
            let other = values(&p, setting)?;
            same(&base, &other)
                .map_err(|why| TestCaseError::fail(format!("{setting:?}: {why}")))?;
        }
        // Each plan against the reference executor, with poisoned memory.
        let portable = (isa::Isa::Generic, settings[2]);
        for (level, setting) in [(isa::best(), settings[1]), portable] {
            if p.large && level != isa::best() {
                continue;
            }
            check_mode(true);
            let checked = values(&p, Setting { isa: level, ..setting });
            check_mode(false);
            if level == isa::best() {
                same(&base, &checked?)
                    .map_err(|why| TestCaseError::fail(format!("checked: {why}")))?;
            } else {
                checked?;
            }
        }
        if gradus_core::live_nodes() != 0 {
            return Err(TestCaseError::fail("nodes are left over"));
        }
        Ok(())
    });
    if let Err(failure) = result {
        panic!("{failure}");
    }
}

/// Gradients of random smooth programs against differences, in f64; first and second order.
#[test]
fn random_gradients() {
    let _alone = alone();
    let options = check::Options { elements: 3, tolerance: 1e-5, ..check::Options::default() };
    let result = runner(cases(300) / 6).run(&program(true, 3..20), |p| {
        let f = |xs: &[Tensor]| p.run(xs).1;
        let operands = p.operands();
        let fail = |e: gradus_core::Error| TestCaseError::fail(e.to_string());
        check::gradients_with(&options, f, &operands).map_err(fail)?;
        check::second_order_with(&options, f, &operands).map_err(fail)
    });
    if let Err(failure) = result {
        panic!("{failure}");
    }
}
