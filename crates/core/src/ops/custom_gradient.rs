//! Functions with a gradient of the user's own, both written with ordinary tensors.

use std::panic::Location;

use crate::error::{Code, Error, Result};
use crate::graph::recorder;
use crate::graph::trace::{placeholder, record_traced};
use crate::ops::{Op, Operands};
use crate::plan::ir::{Ir, Rule, Val};
use crate::tensor::Tensor;

/// `forward` of the inputs, with `backward` as its gradient.
///
/// `forward(inputs)` gives the result y. `backward(inputs, y, g)` gives one gradient an input, from
/// the gradient `g` of the loss for `y`; each has its input's shape and type (those of integer and
/// bool inputs are not looked at). Both are recorded when this is called, so they fuse with what is
/// around them, and derivatives of every order exist: `backward` is differentiated in its turn.
///
/// Gradients reach the inputs only: a `forward` that uses another tensor or parameter that
/// gradients reach is an error. `g` and `y` stand for values to come; reading them is an error.
///
/// # Errors
/// The result is in error state when a gradient's shape or type differs from its input's.
///
/// The sign of a number as a step that gradients pass straight through (quantisation):
///
/// ```
/// use gradus_core::{Tensor, custom_gradient};
/// let x = Tensor::from([-0.3, 0.7]).with_grad();
/// let y = custom_gradient(&[&x], |v| v[0].sign(), |_, _, g| vec![g.clone()]);
/// assert_eq!(y.to_vec::<f32>()?, [-1.0, 1.0]);
/// assert_eq!((&y * 3.0).sum().grad(&x)?.to_vec::<f32>()?, [3.0, 3.0]);
/// # Ok::<(), gradus_core::Error>(())
/// ```
///
/// Nothing happens to the value, but the gradient that passes here is clipped:
///
/// ```
/// use gradus_core::{Tensor, custom_gradient};
/// let x = Tensor::from([1.0, 2.0]).with_grad();
/// let y = custom_gradient(&[&x], |v| v[0].clone(), |_, _, g| vec![g.clamp(-1.0, 1.0)]);
/// assert_eq!((&y * 100.0).sum().grad(&x)?.to_vec::<f32>()?, [1.0, 1.0]);
/// # Ok::<(), gradus_core::Error>(())
/// ```
#[track_caller]
#[must_use]
pub fn custom_gradient(
    inputs: &[&Tensor],
    forward: impl FnOnce(&[Tensor]) -> Tensor,
    backward: impl FnOnce(&[Tensor], &Tensor, &Tensor) -> Vec<Tensor>,
) -> Tensor {
    let place = Location::caller();
    record(inputs, forward, backward, place).unwrap_or_else(|error| {
        // An error that a tensor carries has its place already.
        recorder::failed(error, place)
    })
}

fn record(
    inputs: &[&Tensor],
    forward: impl FnOnce(&[Tensor]) -> Tensor,
    backward: impl FnOnce(&[Tensor], &Tensor, &Tensor) -> Vec<Tensor>,
    place: &'static Location<'static>,
) -> Result<Tensor> {
    if let Some(failed) = inputs.iter().find(|t| t.is_failed()) {
        return Ok((*failed).clone());
    }
    let plain: Vec<Tensor> = inputs.iter().map(|t| t.detach()).collect();
    let y = forward(&plain);
    if y.is_failed() {
        return Ok(y);
    }
    if y.requires_grad() {
        let text = "custom_gradient: the function uses a tensor or parameter that gradients \
                    reach and that is not among its inputs";
        return Err(Error::new(Code::Gradient, text)
            .help("pass it as an input, so that the gradient rule can serve it, or `detach` it"));
    }
    let meta = y.peek();
    let wanted = recorder::with(|r| r.mode.grad) && inputs.iter().any(|t| t.requires_grad());
    if !wanted || !meta.dtype.is_float() {
        return Ok(y);
    }
    let (cotangent, result) = (placeholder(meta, true, place), placeholder(meta, true, place));
    let own: Vec<Tensor> = inputs.iter().map(|&t| t.clone()).collect();
    let mut grads = backward(&own, &result, &cotangent);
    if grads.len() != inputs.len() {
        let (have, want) = (grads.len(), inputs.len());
        let text = format!("custom_gradient: {have} gradients for {want} inputs");
        return Err(Error::new(Code::Gradient, text).help("give one for each input, in order"));
    }
    for (i, (grad, input)) in grads.iter_mut().zip(inputs).enumerate() {
        let want = input.peek();
        if !want.dtype.is_float() {
            *grad = (*input).clone();
            continue;
        }
        if grad.is_failed() {
            return Ok(grad.clone());
        }
        let have = grad.peek();
        if have.shape != want.shape {
            let (have, want) = (have.shape, want.shape);
            let text = format!("custom_gradient: the gradient for input {i} is {have}, not {want}");
            return Err(Error::new(Code::Shape, text)
                .help("a gradient has the shape of its input; sum over what was broadcast"));
        }
        if have.dtype != want.dtype {
            let (have, want) = (have.dtype, want.dtype);
            let text = format!("custom_gradient: the gradient for input {i} is {have}, not {want}");
            return Err(Error::new(Code::DType, text).help("`cast` it to the input's type"));
        }
    }
    let tensors = std::iter::once(&y).chain(inputs.iter().copied()).chain(&grads);
    let slots: Operands<_> = tensors.chain([&cotangent, &result]).map(Tensor::slot).collect();
    Ok(record_traced(Op::CustomGrad, slots, 1 + inputs.len(), meta, place))
}

/// The gradients of a [`Op::CustomGrad`] node for its inputs: the rule, with the cotangent and the
/// result in the places of what stands for them.
pub(crate) fn vjp(ir: &mut Ir, v: Val, g: Val) -> Vec<Val> {
    let Some(rule) = ir.rules.get(ir.node(v).binding as usize).cloned() else { return Vec::new() };
    substitute(ir, &rule.grads, &[(rule.cotangent, g), (rule.result, v)])
}

/// Copies what lies between the first values of `pairs` and the `targets`, with the second values
/// instead; the copies of the targets.
fn substitute(ir: &mut Ir, targets: &[Val], pairs: &[(Val, Val)]) -> Vec<Val> {
    let start = pairs.iter().map(|p| p.0).min().unwrap_or(0);
    let end = targets.iter().map(|&t| t + 1).max().unwrap_or(0).max(start);
    let len = (end - start) as usize;
    let mut needed = vec![false; len];
    let mark = |needed: &mut [bool], v: Val| {
        if let Some(n) = v.checked_sub(start).and_then(|at| needed.get_mut(at as usize)) {
            *n = true;
        }
    };
    targets.iter().for_each(|&t| mark(&mut needed, t));
    for at in (0..len).rev() {
        if needed[at] {
            let node = ir.node(start + at as Val);
            node.inputs.iter().for_each(|&i| mark(&mut needed, i));
            if let Some(rule) = rule_of(ir, start + at as Val) {
                rule.grads.iter().for_each(|&i| mark(&mut needed, i));
            }
        }
    }
    let mut copies: Vec<Option<Val>> = vec![None; len];
    for &(from, to) in pairs {
        if let Some(copy) = copies.get_mut((from - start) as usize) {
            *copy = Some(to);
        }
    }
    let follow = |copies: &[Option<Val>], v: Val| {
        let copy = v.checked_sub(start).and_then(|at| copies.get(at as usize).copied().flatten());
        copy.unwrap_or(v)
    };
    for at in 0..len {
        if !needed[at] || copies[at].is_some() {
            continue;
        }
        let v = start + at as Val;
        let mut node = ir.node(v).clone();
        let inputs: Operands<Val> = node.inputs.iter().map(|&i| follow(&copies, i)).collect();
        let rule = rule_of(ir, v).map(|r| {
            let grads: Vec<Val> = r.grads.iter().map(|&i| follow(&copies, i)).collect();
            (grads != r.grads, Rule { grads, ..r.clone() })
        });
        if inputs == node.inputs && !rule.as_ref().is_some_and(|(moved, _)| *moved) {
            continue;
        }
        if let Some((_, rule)) = rule {
            node.binding = ir.rules.len() as u32;
            ir.rules.push(rule);
        }
        node.grad &= inputs.iter().any(|&i| ir.node(i).grad);
        node.inputs = inputs;
        node.backward = true;
        copies[at] = Some(ir.push(node));
    }
    targets.iter().map(|&t| follow(&copies, t)).collect()
}

pub(crate) fn rule_of(ir: &Ir, v: Val) -> Option<&Rule> {
    let node = ir.node(v);
    if let Op::CustomGrad = node.op { ir.rules.get(node.binding as usize) } else { None }
}
