//! Every row of the table of layers, through everything that a layer has to keep: gradients of
//! inputs and parameters, equal bits in every mode, agreement with the reference, saving and
//! loading, errors with their line.
//!
//! There is no test code for single layers here. A new row is tested by being there.

// Helpers of tests may panic, as tests do.
#![allow(clippy::print_stdout, clippy::panic, clippy::unwrap_used)]

#[path = "../../core/tests/common/mod.rs"]
mod common;

use std::collections::HashSet;

use common::{Setting, Settings, alone, outcome};
use gradus_core::derivatives::functional_call;
use gradus_core::{Array, Error, Param, Tensor, check, check_mode, evaluation, inference, seed};
use gradus_nn::ModuleExt;
use gradus_nn::registry::{Built, LayerRow, Sample, rows};

fn tell(error: Error) -> String {
    error.to_string()
}

/// Calls `f` for each sample and lists the failures together. `GRADUS_LAYER=Name` picks one.
fn each(what: &str, f: impl Fn(&LayerRow, &Sample) -> Result<(), String>) {
    let wanted = std::env::var("GRADUS_LAYER").ok();
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

/// The layer with the same initial values every time.
fn built(sample: &Sample) -> Built {
    seed(29);
    (sample.build)()
}

/// The inputs, then the values of the parameters.
fn values(sample: &Sample) -> Result<Vec<Array>, String> {
    let mut values = (sample.inputs)().map_err(tell)?;
    for (_, param) in built(sample).module.named_parameters() {
        values.push(param.get().map_err(tell)?);
    }
    Ok(values)
}

/// A fresh layer as a function of its inputs and its parameters: a layer that writes buffers
/// starts with the same ones at each call.
fn call(sample: &Sample, v: &[Tensor]) -> Tensor {
    let built = built(sample);
    let params: Vec<Param> = built.module.parameters();
    let (inputs, values) = v.split_at(v.len() - params.len());
    let pairs: Vec<(&Param, &Tensor)> = params.iter().zip(values).collect();
    seed(31);
    functional_call(&pairs, || (built.run)(inputs))
}

#[test]
fn the_table_is_in_order() {
    let mut names = HashSet::new();
    for row in rows() {
        assert!(names.insert(row.name), "{} is there twice", row.name);
        for text in [row.name, row.signature, row.computes, row.pytorch] {
            assert!(!text.trim().is_empty(), "{}: an empty cell", row.name);
        }
        assert!(row.pytorch == "-" || row.pytorch.starts_with("torch"), "{}", row.pytorch);
        let samples = (row.samples)();
        assert!(!samples.is_empty(), "{} has no samples", row.name);
        assert!(samples.iter().any(|s| !s.kinks), "{}: no gradients are measured", row.name);
        let mut labels = HashSet::new();
        let mut params = 0;
        for sample in &samples {
            assert!(labels.insert(sample.label), "{}: `{}` twice", row.name, sample.label);
            let built = built(sample);
            for (name, _) in built.module.named_parameters() {
                params += 1;
                // The last part of the name is the layer's own; names with numbers are described.
                let own = name.rsplit('.').next().unwrap_or(&name);
                let known = row.parameters.contains(own)
                    || name.contains('.')
                    || own.contains(|c: char| c.is_ascii_digit());
                assert!(known, "{}: its row does not name `{name}`", row.name);
            }
        }
        assert_eq!(params > 0, !row.parameters.is_empty(), "{}: parameters", row.name);
    }
}

/// First and second derivatives for inputs and parameters against differences, in f64, while
/// training and, first order, in evaluation.
#[test]
fn gradients() {
    let _alone = alone();
    each("gradients", |_, sample| {
        let options =
            check::Options { elements: 6, step: sample.step, ..check::Options::default() };
        let values = values(sample)?;
        if sample.kinks || !values.iter().any(|a| a.dtype().is_float()) {
            return Ok(());
        }
        let run = |v: &[Tensor]| call(sample, v);
        check::gradients_with(&options, run, &values).map_err(tell)?;
        check::second_order_with(&options, run, &values)
            .map_err(|e| format!("second order: {e}"))?;
        let run = |v: &[Tensor]| evaluation(|| call(sample, v));
        check::gradients_with(&options, run, &values).map_err(|e| format!("evaluation: {e}"))
    });
}

/// A gradient reaches every parameter.
#[test]
fn gradients_reach_all_parameters() {
    let _alone = alone();
    each("reached", |_, sample| {
        let built = built(sample);
        let names = built.module.named_parameters();
        if names.is_empty() || sample.kinks {
            return Ok(());
        }
        let inputs = (sample.inputs)().map_err(tell)?;
        let xs: Vec<Tensor> = inputs.iter().map(Tensor::from_array).collect();
        let gradients = (built.run)(&xs).sum().backward().map_err(tell)?;
        let missing: Vec<&str> = names
            .iter()
            .filter(|(_, param)| gradients.get(param).is_none())
            .map(|(name, _)| name.as_str())
            .collect();
        if missing.is_empty() { Ok(()) } else { Err(format!("no gradient: {missing:?}")) }
    });
}

/// Value, gradients and second derivatives have the same bits however they are computed.
#[test]
fn equal_bits_in_every_mode() {
    let _alone = alone();
    let settings = Settings::all_that_keep_bits();
    each("equal bits", |_, sample| {
        let values = values(sample)?;
        let run = |v: &[Tensor]| call(sample, v);
        let base = outcome(run, &values, Setting::plain())?;
        for setting in &settings {
            let other = outcome(run, &values, *setting)?;
            common::same(&base, &other).map_err(|why| format!("{setting:?}: {why}"))?;
        }
        Ok(())
    });
}

/// Check mode compares each plan with the reference executor.
#[test]
fn agreement_with_the_reference() {
    let _alone = alone();
    check_mode(true);
    each("reference", |_, sample| {
        let run = |v: &[Tensor]| call(sample, v);
        outcome(run, &values(sample)?, Setting { hold: true, ..Setting::plain() }).map(|_| ())
    });
    check_mode(false);
}

/// A state goes from one layer to another, with the names of the walk, and gives the same bits.
#[test]
fn states_are_saved_and_loaded() {
    let _alone = alone();
    each("states", |_, sample| {
        let first = built(sample);
        let inputs = (sample.inputs)().map_err(tell)?;
        let xs: Vec<Tensor> = inputs.iter().map(Tensor::from_array).collect();
        // Running statistics move.
        (first.run)(&xs).to_array().map_err(tell)?;
        let state = first.module.state_dict().map_err(tell)?;
        seed(57);
        let second = (sample.build)();
        second.module.load_state_dict(&state).map_err(tell)?;
        let value = |built: &Built| {
            seed(31);
            inference(|| (built.run)(&xs)).to_array().map_err(tell)
        };
        let (a, b) = (value(&first)?, value(&second)?);
        if a.same_bits(&b) { Ok(()) } else { Err(format!("{a:?} became {b:?}")) }
    });
}

/// Every case fails with its code, its words and the line of the call, recorded or eager.
#[test]
fn errors() {
    let _alone = alone();
    let mut failures = Vec::new();
    let mut count = 0;
    for row in rows() {
        for case in (row.errors)() {
            for eager in [false, true] {
                count += 1;
                let fail = || (case.run)().to_array();
                let result = if eager { gradus_core::eager(fail) } else { fail() };
                let name = format!("{} ({}), eager {eager}", row.name, case.label);
                match result {
                    Ok(array) => failures.push(format!("{name}: it gave {array:?}")),
                    Err(error) => {
                        if let Err(why) = common::tells(&error, case.code, case.words, case.at) {
                            failures.push(format!("{name}: {why}\n{error}"));
                        }
                    }
                }
            }
        }
    }
    println!("errors: {} of {count} cases passed", count - failures.len());
    assert!(failures.is_empty(), "{}\n{}", failures.len(), failures.join("\n"));
    assert_eq!(gradus_core::live_nodes(), 0);
}
