//! Regions whose interior is computed again for a gradient instead of being kept for it.

use std::panic::Location;

use super::{Op, Operands};
use crate::graph::recorder::{self, Side, Slot};
use crate::plan::ir::{Ir, Val};
use crate::tensor::Tensor;

/// `f(x)`, whose intermediate values are not kept for the gradient: `torch.utils.checkpoint`.
///
/// A gradient needs the values of the forward pass, and in a deep network they are most of the
/// memory. The values inside `f` are dropped when its result is there, and computed again when the
/// gradient reaches it: one more forward pass of `f`, for the memory of one region at a time.
/// Values and gradients have the same bits as without; dropout inside draws the same masks again.
///
/// `f` may use parameters and tensors beside `x`. Gradients for tensors made inside `f` and taken
/// out of it do not exist; those for everything else are as without.
///
/// ```
/// use gradus_core::{Tensor, checkpoint};
/// let x = Tensor::from([0.5, 1.0]).with_grad();
/// let y = checkpoint(|x| x.exp().sin(), &x);
/// let plain = x.exp().sin().sum().grad(&x)?;
/// assert_eq!(y.sum().grad(&x)?.to_vec::<f32>()?, plain.to_vec::<f32>()?);
/// # Ok::<(), gradus_core::Error>(())
/// ```
#[track_caller]
#[must_use]
pub fn checkpoint(f: impl FnOnce(&Tensor) -> Tensor, x: &Tensor) -> Tensor {
    let place = Location::caller();
    let begin = recorder::with(|r| r.next_seq);
    let y = f(x);
    if y.is_failed() || !y.requires_grad() {
        return y;
    }
    let ends = boundary_of(&y, begin);
    let inputs: Vec<&Tensor> = std::iter::once(&y).chain(&ends).collect();
    recorder::record(Op::Checkpoint, &inputs, None, Side::None, place)
}

/// What the nodes recorded since `begin` that `y` is made from were made from.
fn boundary_of(y: &Tensor, begin: u64) -> Vec<Tensor> {
    recorder::with(|r| {
        r.mark = r.mark.wrapping_add(1);
        let mark = r.mark;
        let mut stack: Vec<Slot> = vec![y.slot()];
        let mut ends: Vec<Slot> = Vec::new();
        r.node_mut(y.slot()).mark = mark;
        while let Some(slot) = stack.pop() {
            let node = r.node(slot);
            if node.seq < begin || node.inputs.is_empty() && node.grad {
                ends.push(slot);
                continue;
            }
            for i in 0..r.node(slot).inputs.len() {
                let input = r.node(slot).inputs[i];
                let child = r.node_mut(input);
                if child.mark != mark {
                    child.mark = mark;
                    stack.push(input);
                }
            }
        }
        ends.sort_unstable_by_key(|&s| r.node(s).seq);
        let handle = |s: Slot, r: &mut recorder::Recorder| {
            r.node_mut(s).handles += 1;
            r.handle(s)
        };
        ends.into_iter().map(|s| handle(s, r)).collect()
    })
}

/// The operands of a region's node in the planner's graph: its result, and all that the region is
/// made from, which is what lies behind nodes that were named so, and leaves.
pub(crate) fn boundary(ir: &Ir, named: &[Val]) -> Operands<Val> {
    let mut out = Operands::new();
    let Some((&y, ends)) = named.split_first() else { return out };
    let mut seen = vec![false; y as usize + 1];
    let mut stack = vec![y];
    let mut found = Vec::new();
    seen[y as usize] = true;
    while let Some(v) = stack.pop() {
        let node = ir.node(v);
        if ends.contains(&v) || matches!(node.op, Op::Leaf | Op::Placeholder) {
            found.push(v);
            continue;
        }
        for &i in &node.inputs {
            if !std::mem::replace(&mut seen[i as usize], true) {
                stack.push(i);
            }
        }
    }
    found.sort_unstable();
    out.push(y);
    out.extend(found);
    out
}

/// Appends a copy of all between the boundary and `y`; the copy of `y`.
pub(crate) fn repeat(ir: &mut Ir, y: Val, boundary: &[Val]) -> Val {
    let mut needed = vec![false; y as usize + 1];
    needed[y as usize] = true;
    for v in (0..=y as usize).rev() {
        if boundary.binary_search(&(v as Val)).is_ok() {
            needed[v] = false;
        }
        if needed[v] {
            ir.nodes[v].inputs.iter().for_each(|&i| needed[i as usize] = true);
        }
    }
    ir.epochs += 1;
    let mut copies: Vec<Val> = (0..=y).collect();
    for v in 0..=y as usize {
        // Numbers take no memory.
        if !needed[v] || matches!(ir.nodes[v].op, Op::Slot | Op::Const(_)) {
            continue;
        }
        let mut node = ir.nodes[v].clone();
        node.inputs.iter_mut().for_each(|i| *i = copies[*i as usize]);
        node.epoch = ir.epochs;
        copies[v] = ir.push(node);
    }
    copies[y as usize]
}
