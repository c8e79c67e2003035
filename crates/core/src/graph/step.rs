//! Steps: what is recorded, then run as one plan that happens as a whole or not at all.

use std::panic::Location;
use std::sync::Arc;

use super::flush::{Request, flush, pending};
use super::recorder::{self, Recorder};
use crate::error::{Code, Error, Result};
use crate::ops::update::UpdateGroup;
use crate::tensor::Tensor;

/// Records with `record`, then runs all that is pending as one plan: a step of one's own, made of
/// gradients and of [`Param::assign`](crate::Param::assign) and
/// [`Buffer::assign`](crate::Buffer::assign).
///
/// Every assigned value must be finite. Values that `record` dropped stay inside the plan.
///
/// # Errors
/// Those of `record`, the first error of recording that nobody was told of, or of running;
/// parameters, buffers and random streams are then as before.
///
/// ```
/// use gradus_core::{Array, Buffer, Code, DType, Tensor, transaction};
/// let mean = Buffer::new(Array::zeros([2], DType::F32)?);
/// transaction(|| {
///     mean.assign(&(mean.tensor() * 0.9 + Tensor::from([1.0, 2.0]) * 0.1));
///     Ok(())
/// })?;
/// assert_eq!(mean.get()?.to_vec::<f32>()?, [0.1, 0.2]);
/// let bad = transaction(|| Ok(mean.assign(&mean.tensor().log().log())));
/// assert_eq!(bad.map_err(|e| e.code()), Err(Code::NonFinite));
/// assert_eq!(mean.get()?.to_vec::<f32>()?, [0.1, 0.2]);
/// # Ok::<(), gradus_core::Error>(())
/// ```
pub fn transaction<R>(record: impl FnOnce() -> Result<R>) -> Result<R> {
    let recorded = record().and_then(|done| match recorder::with(Recorder::take_error) {
        Some(error) => Err(error),
        None => Ok(done),
    });
    let done = recorded.inspect_err(|_| abandon())?;
    flush(Request::Step, pending)?;
    Ok(done)
}

/// A step that could not even be recorded: its forward pass leaves no effects behind.
pub(crate) fn abandon() {
    recorder::with(|r| {
        while let Some(&effect) = r.effects.last() {
            r.end_effect(effect);
        }
        r.roll_back();
    });
}

/// What a step did.
#[derive(Clone, Debug, PartialEq)]
pub struct StepReport {
    /// The loss before the update.
    pub loss: f64,
    /// Parameters of the optimizer that the loss did not depend on, by id; they are unchanged.
    pub untouched: Vec<u64>,
}

/// Differentiates `loss` for the parameters of the groups and updates them, as one plan.
///
/// `numbers[i]` are the numbers of `groups[i]` at this step (see [`crate::Rule`]).
///
/// # Errors
/// The first error of recording; [`Code::Gradient`] when no parameter is reached;
/// [`Code::NonFinite`] when the loss or a gradient is not finite; in every case parameters,
/// optimizer state, buffers and random streams are as before.
#[track_caller]
pub fn step(loss: &Tensor, groups: &[(&Arc<UpdateGroup>, &[f64])]) -> Result<StepReport> {
    let place = Location::caller();
    let untouched = crate::autodiff::record_step(loss, groups, place).inspect_err(|_| abandon())?;
    flush(Request::Step, pending)?;
    let value = recorder::with(|r| r.node(loss.slot()).value.clone());
    let value = value.ok_or_else(|| Error::internal("a step left no loss"))?;
    let loss = value.first_f64().ok_or_else(|| Error::internal("an empty loss"))?;
    Ok(StepReport { loss, untouched })
}

/// Updates the groups from gradients that were computed before (and maybe clipped).
///
/// # Errors
/// As [`step`].
#[track_caller]
pub fn apply(
    grads: &crate::gradients::Gradients,
    groups: &[(&Arc<UpdateGroup>, &[f64])],
) -> Result<()> {
    let place = Location::caller();
    record_apply(grads, groups, place).inspect_err(|_| abandon())?;
    flush(Request::Step, pending)
}

fn record_apply(
    grads: &crate::gradients::Gradients,
    groups: &[(&Arc<UpdateGroup>, &[f64])],
    place: &'static Location<'static>,
) -> Result<()> {
    let mut any = false;
    for (group, numbers) in groups {
        let mut members: Vec<u32> = Vec::new();
        let mut tensors: Vec<&Tensor> = Vec::new();
        for (i, param) in group.params().iter().enumerate() {
            if let Some(grad) = grads.get(param) {
                recorder::with(|r| r.known(grad.slot()))?;
                members.push(i as u32);
                tensors.push(grad);
            }
        }
        if !members.is_empty() {
            any = true;
            crate::ops::update::record(group, &members, &tensors, numbers, place)?;
        }
    }
    if !any {
        return Err(Error::new(Code::Gradient, "there is no gradient for any parameter"));
    }
    Ok(())
}
