//! A function of one sample, applied to a whole batch at once.

use std::panic::Location;

use super::batch::{Batcher, Memo};
use crate::error::{Code, Error, Result};
use crate::graph::flush;
use crate::graph::recorder;
use crate::graph::shape::MAX_RANK;
use crate::graph::trace::placeholder;
use crate::ops::{Meta, Op};
use crate::plan::expand::expand;
use crate::tensor::{Tensor, operand};

/// `f` of each sample of `x` (along axis 0), as one batched computation: `jax.vmap`.
///
/// `f` is called once, with a tensor that stands for one sample: it has a sample's shape and no
/// value, so reading it is an error. Every operation in `f` is then recorded for the whole batch:
/// the result is that of calling `f` on each sample and stacking (axis 0). Tensors and parameters
/// that `f` uses beside its argument are shared by all samples; gradients flow to them and to `x`.
/// Random numbers drawn in `f` (dropout) differ between samples, as they would in a loop.
///
/// Gradients inside `f` are gradients of one sample; that makes per-sample gradients and
/// Jacobians:
///
/// ```
/// use gradus_core::{Tensor, derivatives::vmap};
/// let x = Tensor::from([[1.0, 2.0], [3.0, 4.0]]);
/// let dot = vmap(|row| (row * row).sum(), &x);
/// assert_eq!(dot.to_vec::<f32>()?, [5.0, 25.0]);
/// # Ok::<(), gradus_core::Error>(())
/// ```
///
/// # Errors
/// The result is in error state when `x` is a scalar, when `f` fails or reads a value, or when a
/// batched value would have more than eight axes.
#[track_caller]
#[must_use]
pub fn vmap(f: impl FnOnce(&Tensor) -> Tensor, x: &Tensor) -> Tensor {
    let place = Location::caller();
    let call = |xs: &[Tensor]| match xs {
        [x] => Ok(vec![f(x)]),
        _ => Err(Error::internal("vmap: no sample")),
    };
    match run(call, &[x], &[Some(0)], place).map(|mut ys| ys.pop()) {
        Ok(Some(y)) => y,
        Ok(None) => recorder::failed(Error::internal("vmap: no result"), place),
        Err(error) => recorder::failed(error, place),
    }
}

/// [`vmap`] of a function of several tensors with several results.
///
/// `in_axes[i]` is the axis of `xs[i]` along which samples lie; `None` gives the whole tensor to
/// every sample. The batch is axis 0 of every result.
///
/// ```
/// use gradus_core::{Tensor, derivatives::vmap_many};
/// let (x, w) = (Tensor::from([[1.0, 2.0], [3.0, 4.0]]), Tensor::from([10.0, 1.0]));
/// let f = |v: &[Tensor]| Ok(vec![(&v[0] * &v[1]).sum(), v[0].max()]);
/// let ys = vmap_many(f, &[&x, &w], &[Some(1), None])?;
/// assert_eq!(ys[0].to_vec::<f32>()?, [13.0, 24.0]);
/// assert_eq!(ys[1].to_vec::<f32>()?, [3.0, 4.0]);
/// # Ok::<(), gradus_core::Error>(())
/// ```
///
/// # Errors
/// Any of `f`; [`Code::Shape`] when sizes along the mapped axes differ or no axis is mapped;
/// [`Code::Argument`] when `f` reads a value.
#[track_caller]
pub fn vmap_many(
    f: impl FnOnce(&[Tensor]) -> Result<Vec<Tensor>>,
    xs: &[&Tensor],
    in_axes: &[Option<isize>],
) -> Result<Vec<Tensor>> {
    run(f, xs, in_axes, Location::caller())
}

fn mistake(text: String, place: &'static Location<'static>) -> Error {
    recorder::with(|r| r.locate(Error::new(Code::Shape, text), r.scopes.current, place))
}

/// An axis moved to the front.
fn front(x: &Tensor, axis: usize) -> Tensor {
    let mut perm = [0u8; MAX_RANK];
    let rest = (0..x.peek().shape.rank()).filter(|&a| a != axis);
    for (slot, a) in perm.iter_mut().zip(std::iter::once(axis).chain(rest)) {
        *slot = a as u8;
    }
    if axis == 0 { x.clone() } else { x.apply(Op::Permute(perm), &[], None) }
}

pub(super) fn run(
    f: impl FnOnce(&[Tensor]) -> Result<Vec<Tensor>>,
    xs: &[&Tensor],
    in_axes: &[Option<isize>],
    place: &'static Location<'static>,
) -> Result<Vec<Tensor>> {
    if xs.len() != in_axes.len() {
        let text = format!("vmap: {} tensors and {} axes", xs.len(), in_axes.len());
        return Err(mistake(text, place));
    }
    let mut size = None;
    // Each input with its samples along axis 0, and what stands for one of them.
    let mut given: Vec<Tensor> = Vec::with_capacity(xs.len());
    let mut mapped: Vec<(Tensor, Tensor)> = Vec::new();
    for (i, (&x, axis)) in xs.iter().zip(in_axes).enumerate() {
        x.check()?;
        let Some(axis) = *axis else {
            given.push(x.clone());
            continue;
        };
        let Meta { shape, dtype } = x.peek();
        let Some(at) = operand::resolve(axis, shape.rank()) else {
            return Err(mistake(format!("vmap: input {i} is {shape}: no axis {axis}"), place));
        };
        let n = shape.dim(at);
        if *size.get_or_insert(n) != n {
            let text = format!("vmap: input {i} has {n} samples, others {}", size.unwrap_or(0));
            return Err(mistake(text, place));
        }
        let batch = front(x, at);
        let meta = Meta { shape: shape.remove(at), dtype };
        let sample = placeholder(meta, x.requires_grad(), place);
        given.push(sample.clone());
        mapped.push((sample, batch));
    }
    let Some(size) = size else {
        return Err(mistake("vmap: no input has an axis to map over".to_string(), place));
    };
    let begin = recorder::with(|r| r.next_seq);
    let outer = recorder::with(|r| r.swap_error(None));
    let ys = f(&given);
    let inner = recorder::with(|r| r.swap_error(outer));
    let ys = ys?;
    for y in &ys {
        y.check()?;
    }
    // An error that no result carries, such as an assignment's.
    if let Some(error) = inner {
        return Err(error);
    }
    let (graph, order, results) = recorder::with(|r| {
        let order = flush::history(r, &ys);
        let results: Vec<u32> = ys.iter().map(|y| r.node(y.slot()).local).collect();
        (flush::recorded(r, &order, true), order, results)
    });
    let expanded = expand(&graph)?;
    let mut images = vec![None; expanded.ir.len()];
    let mut moving = Vec::new();
    let mut memo = Memo::new();
    recorder::with(|r| {
        for ((node, &(slot, _)), &val) in graph.iter().zip(&order).zip(&expanded.vals) {
            if matches!(node.op, Op::Grad { .. }) || node.op.is_effect() {
                continue;
            }
            // What `f` made from placeholders is made again, even where no value depends on them.
            if !(r.node(slot).traced && r.node(slot).seq >= begin) {
                r.node_mut(slot).handles += 1;
                images[val as usize] = Some(r.handle(slot));
            }
            if matches!(node.op, Op::Random(_)) && !node.leaf && r.node(slot).seq >= begin {
                moving.push(val);
            }
            if let Some((_, batch)) = mapped.iter().find(|(sample, _)| sample.slot() == slot) {
                moving.push(val);
                r.node_mut(batch.slot()).handles += 1;
                memo.insert(val, (r.handle(batch.slot()), true));
            }
        }
    });
    let origins = order.iter().map(|&(slot, _)| slot).collect();
    let batcher = Batcher { ir: expanded.ir, size, images, origins };
    let dep = batcher.dependents(moving.into_iter());
    let val = |&y: &u32| expanded.vals.get(y as usize).copied();
    let wanted: Vec<u32> = results.iter().filter_map(val).collect();
    batcher.run(&wanted, &dep, &mut memo)?;
    let mut out = Vec::with_capacity(wanted.len());
    for v in wanted {
        let y = memo.get(&v).ok_or_else(|| Error::internal("vmap: a result is missing"))?;
        out.push(batcher.full(y, batcher.ir.node(v))?);
    }
    Ok(out)
}
