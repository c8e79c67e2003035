//! Every row of the op table inside `vmap`: the same as the op on each sample, and its gradients.
#![allow(clippy::print_stdout, clippy::panic)]

mod common;

use gradus_core::derivatives::vmap_many;
use gradus_core::ops::registry::{Kind, Sample, rows};
use gradus_core::{Array, Code, Scalar, Tensor};

/// Another operand of the same kind: the elements in reverse order.
fn other(a: &Array) -> Array {
    fn turn<T: Scalar>(a: &Array) -> Array {
        let mut v = a.to_vec::<T>().unwrap_or_default();
        v.reverse();
        Array::new(a.shape(), &v).unwrap_or_else(|e| panic!("{e}"))
    }
    match a.dtype() {
        d if d == f32::DTYPE => turn::<f32>(a),
        d if d == f64::DTYPE => turn::<f64>(a),
        d if d == i64::DTYPE => turn::<i64>(a),
        d if d == bool::DTYPE => turn::<bool>(a),
        _ => a.clone(),
    }
}

fn agree_values(a: &Array, b: &Array, tolerance: f64) -> Result<(), String> {
    let named = |a: &Array| [("the result".to_string(), a.clone())];
    common::agree(&named(a), &named(b), tolerance)
}

fn stack(ts: &[Tensor]) -> Tensor {
    Tensor::stack(&ts.iter().collect::<Vec<_>>(), 0)
}

/// A scalar that depends on every element in another way.
fn weigh(y: &Tensor) -> Option<Tensor> {
    let shape = y.shape().ok()?;
    let n = shape.numel();
    let w: Vec<f64> = (0..n).map(|i| 0.5 + ((i * 37 + 11) % 17) as f64 / 17.0).collect();
    let w = Tensor::exact(shape, &w).cast(y.dtype().ok()?);
    y.requires_grad().then(|| (y * w).sum())
}

/// Values and gradients of the op on two samples, mapped and one by one; the operands in `mask`
/// differ between the samples. False where that is not possible.
fn compare(sample: &Sample, mask: u32) -> Result<bool, String> {
    let text = |e: gradus_core::Error| e.to_string();
    let grad = |a: &Array| {
        let t = Tensor::from_array(a);
        if a.dtype().is_float() { t.with_grad() } else { t }
    };
    let moves = |i: usize| mask & (1 << i) != 0;
    let leaves: Vec<Vec<Tensor>> =
        sample.inputs.iter().map(|a| vec![grad(a), grad(&other(a))]).collect();
    let looped = || -> gradus_core::Result<Tensor> {
        let mut ys = Vec::new();
        for k in 0..2 {
            let ins: Vec<Tensor> = leaves
                .iter()
                .enumerate()
                .map(|(i, both)| both[if moves(i) { k } else { 0 }].clone())
                .collect();
            let y = (sample.run)(&ins);
            y.to_array()?;
            ys.push(y);
        }
        let y = stack(&ys);
        y.check().map(|()| y)
    };
    // The turned operands may be outside the op's domain, or give another shape.
    let Ok(want) = looped() else { return Ok(false) };
    let ins: Vec<Tensor> = leaves
        .iter()
        .enumerate()
        .map(|(i, both)| if moves(i) { stack(both) } else { both[0].clone() })
        .collect();
    let axes: Vec<Option<isize>> = (0..ins.len()).map(|i| moves(i).then_some(0)).collect();
    let mapped = vmap_many(|v| Ok(vec![(sample.run)(v)]), &ins.iter().collect::<Vec<_>>(), &axes);
    let have = match mapped {
        Ok(ys) => ys[0].clone(),
        // Ops that look at their operand's values while they are recorded say so.
        Err(e) if e.code() == Code::Argument && e.title().contains("has no value") => {
            return Ok(false);
        }
        // Nine axes.
        Err(e) if e.title().contains("at most 8 axes") => return Ok(false),
        Err(e) => return Err(text(e)),
    };
    agree_values(&have.to_array().map_err(text)?, &want.to_array().map_err(text)?, 1e-6)?;
    if sample.kinks {
        return Ok(true);
    }
    let (Some(a), Some(b)) = (weigh(&have), weigh(&want)) else {
        return match have.requires_grad() == want.requires_grad() {
            true => Ok(true),
            false => Err("gradients flow through one of the two only".to_string()),
        };
    };
    for leaf in leaves.iter().flatten().filter(|t| t.requires_grad()) {
        let of = |y: &Tensor| y.grad(leaf).and_then(|g| g.to_array());
        match (of(&a), of(&b)) {
            (Ok(x), Ok(y)) => agree_values(&x, &y, 2e-5)?,
            (Err(x), Err(y)) if x.code() == y.code() => {}
            (x, y) => return Err(format!("gradients: {x:?} and {y:?}")),
        }
    }
    Ok(true)
}

#[test]
fn every_op_is_mapped_over_samples() {
    let _alone = common::alone();
    let (mut done, mut left) = (0, Vec::new());
    let mut failures = Vec::new();
    for row in rows() {
        let mut any = false;
        for sample in (row.samples)() {
            let n = sample.inputs.len() as u32;
            if n == 0 || row.kind == Kind::Random {
                continue;
            }
            let all = (1 << n) - 1;
            let mut masks: Vec<u32> = (0..n).map(|i| 1 << i).chain([all]).collect();
            masks.dedup();
            for mask in masks {
                match compare(&sample, mask) {
                    Ok(compared) => {
                        done += u32::from(compared);
                        any |= compared;
                    }
                    Err(why) => failures
                        .push(format!("{} ({}), operands {mask:b}: {why}", row.name, sample.label)),
                }
            }
        }
        if !any {
            left.push(row.name);
        }
    }
    println!("{done} calls mapped; never: {left:?}");
    assert!(failures.is_empty(), "{}\n{}", failures.len(), failures.join("\n"));
    assert!(done > 500, "{done}");
}
