//! Exact clean-up of the planner's graph: dead code, common subexpressions, constants.
//!
//! Every rewrite here gives the same bits as the graph before it.

use std::collections::HashMap;

use super::expand::{Expanded, IrEffect};
use super::ir::{Ir, IrNode, Val};
use crate::graph::dtype::DType;
use crate::graph::scope::FastHash;
use crate::graph::shape::Shape;
use crate::ops::{Binary, Op, Operands};

/// Rewrites the graph; outputs, effects and watched values follow.
pub(crate) fn simplify(mut e: Expanded) -> Expanded {
    let live = live(&e);
    let mut out = Ir { nodes: Vec::with_capacity(e.ir.len()), ..Ir::default() };
    let mut map: Vec<Val> = vec![Val::MAX; e.ir.len()];
    let mut seen: HashMap<Vec<u64>, Val, FastHash> = HashMap::default();
    let mut words = Vec::new();
    for (v, node) in e.ir.nodes.iter().enumerate() {
        if !live[v] {
            continue;
        }
        let inputs: Operands<Val> = node.inputs.iter().map(|&i| map[i as usize]).collect();
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
    // Folding may have left nodes behind that nothing uses any more.
    sweep(e)
}

fn live(e: &Expanded) -> Vec<bool> {
    let mut live = vec![false; e.ir.len()];
    let mut mark = |v: Val| live[v as usize] = true;
    e.outputs.iter().for_each(|&(_, v)| mark(v));
    e.watch.iter().for_each(|&v| mark(v));
    for effect in &e.effects {
        match effect {
            IrEffect::Update { grads, .. } => grads.iter().for_each(|&v| mark(v)),
            IrEffect::Assign { value } => mark(*value),
        }
    }
    for v in (0..e.ir.len()).rev() {
        if live[v] {
            for &i in &e.ir.nodes[v].inputs {
                live[i as usize] = true;
            }
        }
    }
    live
}

fn sweep(mut e: Expanded) -> Expanded {
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
