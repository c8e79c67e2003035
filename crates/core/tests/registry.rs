//! Every row of the op table, through everything that an operation has to keep: shapes and types,
//! gradients, equal bits in every mode, agreement with the reference, errors with their line.
//!
//! There is no test code for single operations here. A new row is tested by being there.

// Helpers of tests may panic, as tests do.
#![allow(clippy::print_stdout, clippy::panic)]

mod common;

use common::{Setting, Settings, agree, alone, outcome};
use gradus_core::ops::registry::{Gradient, Kind, OpRow, Sample, rows};
use gradus_core::{Array, DType, Isa, Tensor, check, check_mode, isa};
use std::collections::HashSet;

/// Calls `f` for each sample and lists the failures together. `GRADUS_OP=name,name` picks rows.
fn each(what: &str, f: impl Fn(&OpRow, &Sample) -> Result<(), String>) {
    let picked = std::env::var("GRADUS_OP").ok();
    let wanted = |row: &&OpRow| picked.as_ref().is_none_or(|p| p.split(',').any(|n| n == row.name));
    let mut failures = Vec::new();
    let mut count = 0;
    for row in rows().iter().filter(wanted) {
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

fn leaves(sample: &Sample) -> Vec<Tensor> {
    sample.inputs.iter().map(Tensor::from_array).collect()
}

fn has_floats(sample: &Sample) -> bool {
    sample.inputs.iter().any(|a| a.dtype().is_float())
}

#[test]
fn the_table_is_in_order() {
    let mut names = HashSet::new();
    for row in rows() {
        assert!(names.insert(row.name), "{} is there twice", row.name);
        for text in [row.name, row.signature, row.formula, row.pytorch] {
            assert!(!text.trim().is_empty(), "{}: an empty cell", row.name);
        }
        // `-` where PyTorch has no such thing.
        assert!(row.pytorch == "-" || row.pytorch.starts_with("torch."), "{}", row.pytorch);
        let mut labels = HashSet::new();
        let samples = (row.samples)();
        assert!(!samples.is_empty(), "{} has no samples", row.name);
        for sample in &samples {
            assert!(labels.insert(sample.label), "{}: `{}` twice", row.name, sample.label);
        }
        if row.gradient == Gradient::Yes {
            let some = samples.iter().any(|s| !s.kinks && has_floats(s));
            assert!(some, "{}: no sample to check gradients with", row.name);
        }
    }
    assert!(rows().len() >= 70, "{} rows", rows().len());
}

/// What was inferred while recording is what comes out.
#[test]
fn shapes_and_types() {
    let _alone = alone();
    each("shapes and types", |row, sample| {
        let y = (sample.run)(&leaves(sample));
        let (shape, dtype) = (y.shape(), y.dtype());
        let array = y.to_array().map_err(|e| e.to_string())?;
        let (shape, dtype) = (shape.map_err(|e| e.to_string())?, dtype.map_err(|e| e.to_string())?);
        let inferred = (shape, dtype);
        if inferred != (array.shape(), array.dtype()) {
            return Err(format!("inferred {inferred:?}, computed {array:?}"));
        }
        let with = sample.inputs.iter().map(common::leaf).collect::<Vec<_>>();
        let flows = (sample.run)(&with).requires_grad();
        match row.gradient {
            Gradient::None(_) if flows => Err("gradients flow through it".to_string()),
            Gradient::Yes if !flows && dtype.is_float() && has_floats(sample) => {
                Err("no gradients flow through it".to_string())
            }
            _ => Ok(()),
        }
    });
}

/// First and second derivatives against differences, in f64.
#[test]
fn gradients() {
    let _alone = alone();
    let options = check::Options { elements: 24, ..check::Options::default() };
    each("gradients", |row, sample| {
        if matches!(row.gradient, Gradient::None(_)) || sample.kinks || !has_floats(sample) {
            return Ok(());
        }
        check::gradients_with(&options, sample.run, &sample.inputs).map_err(|e| e.to_string())?;
        check::second_order_with(&options, sample.run, &sample.inputs)
            .map_err(|e| format!("second order: {e}"))
    });
}

/// Value, gradients and second derivatives have the same bits however they are computed.
#[test]
fn equal_bits_in_every_mode() {
    let _alone = alone();
    let settings = Settings::all_that_keep_bits();
    each("equal bits", |_, sample| {
        let base = outcome(sample.run, &sample.inputs, Setting::plain())?;
        for setting in &settings {
            let other = outcome(sample.run, &sample.inputs, *setting)?;
            common::same(&base, &other).map_err(|why| format!("{setting:?}: {why}"))?;
        }
        Ok(())
    });
}

/// Check mode compares each plan with the reference executor; so do the portable kernels.
#[test]
fn agreement_with_the_reference() {
    let _alone = alone();
    for level in [isa::best(), Isa::Generic] {
        isa::force(level);
        check_mode(true);
        each(level.name(), |_, sample| {
            let held = Setting { hold: true, ..Setting::plain() };
            outcome(sample.run, &sample.inputs, held)?;
            outcome(sample.run, &sample.inputs, Setting { eager: true, ..held }).map(|_| ())
        });
        check_mode(false);
    }
    isa::force(isa::best());
}

/// The same call on the same numbers in f64: f32 is as good as its rounding allows.
#[test]
fn f32_is_close_to_f64() {
    let _alone = alone();
    for level in [isa::best(), Isa::Generic] {
        isa::force(level);
        each(&format!("close to f64, {}", level.name()), |row, sample| {
            if sample.kinks || row.name == "cast" {
                return Ok(());
            }
            let narrow = outcome(sample.run, &sample.inputs, Setting::plain())?;
            let wide: Vec<Array> = sample.inputs.iter().map(common::widen).collect();
            let wide = outcome(sample.run, &wide, Setting::plain())?;
            agree(&narrow, &wide, 2e-6)
        });
    }
    isa::force(isa::best());
}

/// Zeros, infinities, NaN, subnormals: each element is the f64 result rounded to f32, within a few
/// units in the last place.
#[test]
fn edges() {
    let _alone = alone();
    for level in [isa::best(), Isa::Generic] {
        isa::force(level);
        each(&format!("edges, {}", level.name()), |row, sample| {
            if !sample.kinks || row.name == "cast" || row.kind == Kind::Random {
                return Ok(());
            }
            let value = |inputs: Vec<Array>| {
                let xs: Vec<Tensor> = inputs.iter().map(Tensor::from_array).collect();
                (sample.run)(&xs).to_array().map_err(|e| e.to_string())
            };
            let narrow = value(sample.inputs.clone())?;
            let wide = value(sample.inputs.iter().map(common::widen).collect())?;
            let (a, b) = (narrow.to_f64(), wide.to_f64());
            for (k, (&x, &y)) in a.iter().zip(&b).enumerate() {
                let y = if narrow.dtype() == DType::F32 { f64::from(y as f32) } else { y };
                let same = x == y && (x != 0.0 || x.is_sign_positive() == y.is_sign_positive())
                    || x.is_nan() && y.is_nan()
                    || x.is_finite() && y.is_finite() && (x - y).abs() <= 2e-6 * y.abs();
                if !same {
                    let of: Vec<f64> =
                        sample.inputs.iter().map(|a| a.to_f64()[k % a.numel()]).collect();
                    return Err(format!("element {k} (of {of:?}) is {x:e}, not {y:e}"));
                }
            }
            Ok(())
        });
    }
    isa::force(isa::best());
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

/// An operation on a failed tensor passes the first error on and adds none.
#[test]
fn failed_operands() {
    let _alone = alone();
    each("failed operands", |_, sample| {
        if sample.inputs.is_empty() {
            return Ok(());
        }
        for broken in 0..sample.inputs.len() {
            let mut operands = leaves(sample);
            let error = gradus_core::Error::new(gradus_core::Code::Data, "the first error");
            operands[broken] = Tensor::failed(error);
            let y = (sample.run)(&operands);
            match y.check() {
                Err(error) if error.title() == "the first error" => {}
                Err(error) => return Err(format!("operand {broken}: {error}")),
                Ok(()) => return Err(format!("operand {broken}: no error")),
            }
            // Reported: nothing is left over for the next boundary.
            gradus_core::sync().map_err(|e| format!("operand {broken}: left over: {e}"))?;
        }
        Ok(())
    });
}
