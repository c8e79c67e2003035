//! Check mode (`GRADUS_CHECK=1`): memory is poisoned before use and after the last use, red zones
//! lie between buffers, and every result is compared with the reference executor.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use gradus_kernels::memory::{Arena, Ty};

use super::{Bindings, Fault, replay};
use crate::array::Array;
use crate::error::Error;
use crate::graph::dtype::DType;
use crate::ops::Precision;
use crate::plan::Plan;

static FORCED: AtomicBool = AtomicBool::new(false);

/// Whether check mode is on.
pub(crate) fn enabled() -> bool {
    static SET: OnceLock<bool> = OnceLock::new();
    *SET.get_or_init(|| std::env::var("GRADUS_CHECK").is_ok_and(|v| v == "1"))
        || FORCED.load(Ordering::Relaxed)
}

/// Turns check mode on (or off) for the whole process, like `GRADUS_CHECK=1`.
///
/// Every plan then also runs on the reference executor, which is slow.
pub fn check_mode(on: bool) {
    FORCED.store(on, Ordering::Relaxed);
}

/// Width of the red zone behind each buffer.
const ZONE: usize = 64;

/// Fills everything with signalling NaN.
pub(super) fn poison(plan: &Plan, arena: &Arena) {
    arena.fill_nan(0, plan.arena_bytes);
}

/// Poisons what is dead after step `at`, and looks at the red zones.
pub(super) fn after_step(plan: &Plan, arena: &Arena, at: usize) -> Result<(), Fault> {
    for (b, &(bytes, (first, last))) in plan.buffers.iter().enumerate() {
        let offset = plan.offsets[b];
        if !(first..=last).contains(&at) {
            continue;
        }
        let padded = bytes.max(1).next_multiple_of(ZONE);
        let zone = arena.mem(offset + padded, Ty::I64, ZONE / 8).and_then(|m| m.to_vec::<i64>());
        if zone.is_some_and(|z| z.iter().any(|&w| w != z[0]) || z[0] == 0) {
            let text = format!("plan step {at} wrote behind buffer {b}\n{}", plan.explain());
            return Err(Fault::Internal(Error::internal(text)));
        }
        if last == at {
            arena.fill_nan(offset, bytes);
        }
    }
    Ok(())
}

/// Compares the outputs with the reference executor's.
pub(super) fn compare(plan: &Plan, bindings: &Bindings, outputs: &[Array]) -> Result<(), Fault> {
    let wanted = plan.reference_outputs.iter().map(|&(_, v)| v);
    let values =
        replay::values(plan, bindings, wanted, |_, _, _| false).map_err(Fault::Internal)?;
    // f64 values that were never f32 agree to more digits.
    let exact = plan.reference.nodes.iter().all(|node| node.dtype != DType::F32);
    let whole = plan.reference.nodes.iter().all(|node| !node.dtype.is_real());
    // A number near the middle of two of bf16 goes to one or to the other.
    let half = plan.reference.nodes.iter().any(|node| node.op.precision() == Precision::Bf16);
    let digits = if exact {
        1e-9
    } else if half {
        1e-2
    } else {
        2e-3
    };
    for (output, made) in plan.outputs.iter().zip(outputs) {
        let expected = plan
            .reference_outputs
            .iter()
            .find(|(r, _)| *r == output.recorded)
            .and_then(|&(_, v)| values[v as usize].as_ref());
        let Some(expected) = expected else { continue };
        if let Some(why) = differs(made, expected, digits, whole) {
            let text = format!(
                "check mode: the result of shape {} is not the reference executor's: {why}\n{}",
                made.shape(),
                plan.explain()
            );
            return Err(Fault::Internal(Error::internal(text)));
        }
    }
    Ok(())
}

/// The first difference beyond rounding, relative to the largest number; `whole` if no real number was
/// involved.
fn differs(made: &Array, expected: &Array, digits: f64, whole: bool) -> Option<String> {
    let (a, b) = (made.to_f64(), expected.to_f64());
    if a.len() != b.len() || made.dtype() != expected.dtype() {
        return Some("another size or type".to_string());
    }
    if !made.dtype().is_real() {
        // Near ties may fall either way when rounding differs.
        let wrong = a.iter().zip(&b).filter(|(x, y)| x != y).count();
        let allowed = if whole { 0 } else { 1 + a.len() / 100 };
        return (wrong > allowed).then(|| format!("{wrong} of {} differ", a.len()));
    }
    let scale = b.iter().filter(|v| v.is_finite()).fold(1f64, |m, v| m.max(v.abs()));
    let (rounding, big) = match made.dtype() {
        DType::F64 if digits < 1e-6 => (digits, f64::MAX),
        DType::BF16 => (1e-2, 1e38),
        DType::F16 => (digits.max(3e-3), 65504.0),
        _ => (digits, 1e38),
    };
    a.iter().zip(&b).enumerate().find_map(|(i, (&x, &y))| {
        let same = (x - y).abs() <= rounding * scale
            || x.is_nan() && y.is_nan()
            || x == y
            // Overflow in f32 where the reference has room in f64.
            || !x.is_finite() && (y.abs() > big / 10.0 || !y.is_finite());
        (!same).then(|| format!("element {i} is {x:e}, expected {y:e}"))
    })
}
