//! Exact clean-up of the planner's graph: dead code, common subexpressions, constants.
//!
//! Every rewrite here gives the same bits as the graph before it.

use std::collections::HashMap;

use smallvec::smallvec;

use super::expand::{Expanded, IrEffect};
use super::ir::{Ir, IrNode, Val};
use super::view;
use crate::graph::dtype::DType;
use crate::graph::scope::FastHash;
use crate::graph::shape::Shape;
use crate::ops::{Binary, Op, Operands};

/// Rewrites the graph; outputs, effects and watched values follow.
pub(crate) fn simplify(mut e: Expanded) -> Expanded {
    let live = live(&e);
    let turned = turned(&e, &live);
    let mut out = Ir { nodes: Vec::with_capacity(e.ir.len()), ..Ir::default() };
    let mut map: Vec<Val> = vec![Val::MAX; e.ir.len()];
    let mut seen: HashMap<Vec<u64>, Val, FastHash> = HashMap::default();
    let mut words = Vec::new();
    for (v, node) in e.ir.nodes.iter().enumerate() {
        if !live[v] {
            continue;
        }
        let mut inputs: Operands<Val> = node.inputs.iter().map(|&i| map[i as usize]).collect();
        if turned[v] {
            // (A B)^T = B^T A^T: the same sums, and turning an operand is only a way to read it.
            inputs =
                e.ir.node(node.inputs[0]).inputs.iter().rev().map(|&i| map[i as usize]).collect();
            for i in &mut inputs {
                let (shape, rank) = (out.shape(*i), node.shape.rank());
                let (rows, columns) = (shape.dim(rank - 2), shape.dim(rank - 1));
                let shape = shape.with(rank - 2, columns).with(rank - 1, rows);
                let turn = IrNode { inputs: smallvec![*i], shape, ..node.clone() };
                *i = reuse(&mut out, &mut seen, &mut words, turn);
            }
            let product =
                IrNode { op: e.ir.node(node.inputs[0]).op.clone(), inputs, ..node.clone() };
            map[v] = reuse(&mut out, &mut seen, &mut words, product);
            continue;
        }
        let node = IrNode { inputs, ..node.clone() };
        map[v] = reuse(&mut out, &mut seen, &mut words, node);
    }
    let follow = |v: &mut Val| *v = map[*v as usize];
    e.outputs.iter_mut().for_each(|(_, v)| follow(v));
    e.watch.iter_mut().for_each(follow);
    e.watch.sort_unstable();
    e.watch.dedup();
    for effect in &mut e.effects {
        match effect {
            IrEffect::Update { grads, .. } => grads.iter_mut().for_each(follow),
            IrEffect::Assign { value } => follow(value),
        }
    }
    e.ir = out;
    put_together(&mut e.ir);
    // Folding may have left nodes behind that nothing uses any more.
    sweep(e)
}

/// Which nodes swap the last two axes of a product that nobody else wants, as the gradient of a
/// layer's weight does.
fn turned(e: &Expanded, live: &[bool]) -> Vec<bool> {
    let mut uses = vec![0u32; e.ir.len()];
    roots(e, |v| uses[v as usize] += 1);
    for (node, _) in e.ir.nodes.iter().zip(live).filter(|(_, live)| **live) {
        node.inputs.iter().for_each(|&i| uses[i as usize] += 1);
    }
    let turns = |node: &IrNode| {
        let (Op::Permute(perm), Some(&x)) = (&node.op, node.inputs.first()) else { return false };
        let product = e.ir.node(x);
        let rank = node.shape.rank();
        let swaps = rank >= 2
            && (0..rank - 2).all(|i| usize::from(perm[i]) == i)
            && usize::from(perm[rank - 1]) == rank - 2;
        // A plain matrix for the whole batch cannot be the left operand.
        let same_rank = || product.inputs.iter().all(|&i| e.ir.shape(i).rank() == rank);
        swaps && matches!(product.op, Op::Matmul(_)) && uses[x as usize] == 1 && same_rank()
    };
    e.ir.nodes.iter().map(turns).collect()
}

/// Calls `f` with every value that is wanted outside of the graph.
fn roots(e: &Expanded, mut f: impl FnMut(Val)) {
    e.outputs.iter().for_each(|&(_, v)| f(v));
    e.watch.iter().for_each(|&v| f(v));
    for effect in &e.effects {
        match effect {
            IrEffect::Update { grads, .. } => grads.iter().for_each(|&v| f(v)),
            IrEffect::Assign { value } => f(*value),
        }
    }
}

/// Parts of a value that are put together as they were are that value again.
fn put_together(ir: &mut Ir) {
    if !ir.nodes.iter().any(|n| matches!(n.op, Op::Concat { .. })) {
        return;
    }
    let (views, copied) = view::views(ir);
    for v in 0..ir.len() {
        let node = &ir.nodes[v];
        let Op::Concat { axis } = node.op else { continue };
        let Some(&first) = node.inputs.first() else { continue };
        let whole = views[first as usize];
        let mut at = whole.offset;
        let mut follows = whole.base != first && ir.shape(whole.base).numel() == node.shape.numel();
        for &part in &node.inputs {
            let view = views[part as usize];
            follows &= !copied[part as usize]
                && view.base == whole.base
                && view.offset == at
                && view.strides == whole.strides;
            let size = ir.shape(part).dim(usize::from(axis)) as isize;
            let step = size * whole.strides[usize::from(axis)];
            at = usize::try_from(at as isize + step).unwrap_or(0);
        }
        if follows && whole.offset == 0 && whole.contiguous(&node.shape) {
            let node = &mut ir.nodes[v];
            (node.op, node.inputs) = (Op::Reshape, Operands::from_slice(&[whole.base]));
        }
    }
}

fn live(e: &Expanded) -> Vec<bool> {
    let mut live = vec![false; e.ir.len()];
    roots(e, |v| live[v as usize] = true);
    for v in (0..e.ir.len()).rev() {
        if live[v] {
            for &i in &e.ir.nodes[v].inputs {
                live[i as usize] = true;
            }
        }
    }
    live
}

/// Drops what nothing uses.
pub(super) fn sweep(mut e: Expanded) -> Expanded {
    let live = live(&e);
    if live.iter().all(|&l| l) {
        return e;
    }
    let mut out = Ir { nodes: Vec::with_capacity(e.ir.len()), ..Ir::default() };
    let mut map: Vec<Val> = vec![Val::MAX; e.ir.len()];
    for (v, mut node) in e.ir.nodes.into_iter().enumerate() {
        if live[v] {
            node.inputs.iter_mut().for_each(|i| *i = map[*i as usize]);
            map[v] = out.push(node);
        }
    }
    let follow = |v: &mut Val| *v = map[*v as usize];
    e.outputs.iter_mut().for_each(|(_, v)| follow(v));
    e.watch.iter_mut().for_each(follow);
    for effect in &mut e.effects {
        match effect {
            IrEffect::Update { grads, .. } => grads.iter_mut().for_each(follow),
            IrEffect::Assign { value } => follow(value),
        }
    }
    e.ir = out;
    e
}

/// The node, or an equal one that exists already.
fn reuse(
    out: &mut Ir,
    seen: &mut HashMap<Vec<u64>, Val, FastHash>,
    words: &mut Vec<u64>,
    node: IrNode,
) -> Val {
    let node = match fold(out, node) {
        Ok(node) => node,
        Err(existing) => return existing,
    };
    words.clear();
    node.op.key(&mut |w| words.push(w));
    // What is computed again is not the first computation.
    words.push(u64::from(node.epoch));
    words.push(node.dtype as u64 | (node.shape.rank() as u64) << 8 | u64::from(node.binding) << 16);
    words.extend(node.shape.dims().iter().map(|&d| d as u64));
    words.extend(node.inputs.iter().map(|&i| u64::from(i)));
    if let Some(&v) = seen.get(words.as_slice()) {
        return v;
    }
    let v = out.push(node);
    seen.insert(words.clone(), v);
    v
}

/// The number a node is everywhere, if it is a constant.
fn constant(ir: &Ir, mut v: Val) -> Option<f64> {
    loop {
        let node = ir.node(v);
        match node.op {
            Op::Const(c) => return Some(c),
            Op::Broadcast | Op::Reshape => v = *node.inputs.first()?,
            _ => return None,
        }
    }
}

/// Applies one local rule: a changed node, or the number of a node that it equals.
fn fold(out: &mut Ir, node: IrNode) -> Result<IrNode, Val> {
    let first = node.inputs.first().copied();
    match (&node.op, first) {
        // What stopped gradients, or told two results apart, has done its work by now.
        (Op::Detach | Op::CustomGrad | Op::Checkpoint, Some(x)) => Err(x),
        (Op::Reshape, Some(x)) if out.shape(x) == node.shape => Err(x),
        (Op::Broadcast | Op::Reshape, Some(x)) => {
            let inner = out.node(x);
            // A broadcast of a broadcast, a reshape of a reshape: one is enough.
            if matches!(
                (&node.op, &inner.op),
                (Op::Broadcast, Op::Broadcast) | (Op::Reshape, Op::Reshape)
            ) {
                let x = inner.inputs[0];
                if out.shape(x) == node.shape {
                    return Err(x);
                }
                return Ok(IrNode { inputs: Operands::from_slice(&[x]), ..node });
            }
            // Constants have no layout.
            if let Some(c) = constant(out, x)
                && !matches!(inner.op, Op::Const(_))
            {
                return Ok(broadcast_const(out, c, &node));
            }
            Ok(node)
        }
        (Op::Binary(op), Some(x)) => {
            let y = node.inputs[1];
            let (a, b) = (constant(out, x), constant(out, y));
            if let (Some(a), Some(b), true) = (a, b, node.dtype.is_float())
                && let Some(c) = arithmetic(*op, a, b, node.dtype)
            {
                return Ok(broadcast_const(out, c, &node));
            }
            match (op, a, b) {
                (Binary::Mul | Binary::Div, _, Some(1.0)) => Err(x),
                (Binary::Mul, Some(1.0), _) => Err(y),
                _ => Ok(node),
            }
        }
        _ => Ok(node),
    }
}

fn broadcast_const(out: &mut Ir, c: f64, node: &IrNode) -> IrNode {
    let scalar = IrNode {
        op: Op::Const(c),
        inputs: Operands::new(),
        shape: Shape::SCALAR,
        binding: 0,
        ..node.clone()
    };
    if node.shape.rank() == 0 {
        return scalar;
    }
    let x = out.push(scalar);
    IrNode { op: Op::Broadcast, inputs: Operands::from_slice(&[x]), ..node.clone() }
}

/// What a kernel would compute from two constants, with its rounding.
fn arithmetic(op: Binary, a: f64, b: f64, dtype: DType) -> Option<f64> {
    let run64 = |a: f64, b: f64| match op {
        Binary::Add => Some(a + b),
        Binary::Sub => Some(a - b),
        Binary::Mul => Some(a * b),
        Binary::Div => Some(a / b),
        _ => None,
    };
    if dtype == DType::F64 {
        return run64(a, b);
    }
    let (a, b) = (a as f32, b as f32);
    Some(f64::from(match op {
        Binary::Add => a + b,
        Binary::Sub => a - b,
        Binary::Mul => a * b,
        Binary::Div => a / b,
        _ => return None,
    }))
}
