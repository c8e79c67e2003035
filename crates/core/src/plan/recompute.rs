//! Cheap values are computed again where they are needed, instead of kept in memory.
//!
//! A large tensor that is written and read back costs far more than the addition or comparison that
//! makes it: the mask of a ReLU, a difference from a mean, a gradient times a mask. Where a value
//! follows by a few such operations from tensors that are in memory anyway, each of its consumers
//! gets a copy of these operations of its own, which the next pass computes inside the consumer. So
//! in a training step a batch norm keeps its input and its result, nothing between them.
//!
//! What decides is the number of tensors that are moved. With `k` tensors in memory that the value is
//! made of, and `u` steps that need it: kept, it is made from `k`, written once and read `u` times;
//! computed again, `k` are read `u` times.
//!
//! **Bits.** The copies are the same operations on the same numbers.

use smallvec::SmallVec;

use super::expand::{Expanded, IrEffect};
use super::fuse::mappable;
use super::ir::{Ir, IrNode, Val};
use crate::ops::{Binary, Op, Operands, Ternary, Unary};

/// Values with fewer elements stay in the first-level cache anyway.
const SMALL: usize = 2048;
/// The most operations that are done again for one consumer.
const MOST: usize = 6;

/// What is known of a value.
#[derive(Clone, Default)]
struct Cost {
    /// The tensors in memory that it is made of; itself, if it is in memory.
    from: SmallVec<[Val; 4]>,
    /// By how many operations.
    operations: usize,
    /// It is to be computed again for each consumer that is a step of its own.
    again: bool,
}

/// Copies operations into their consumers; outputs, effects and watched values follow.
pub(crate) fn recompute(mut e: Expanded) -> Expanded {
    let (costs, summed) = decide(&e);
    if !costs.iter().any(|c| c.again) {
        return e;
    }
    let from = std::mem::take(&mut e.ir);
    let mut to = Ir { nodes: Vec::with_capacity(from.len() + from.len() / 4), ..Ir::default() };
    let mut map: Vec<Val> = Vec::with_capacity(from.len());
    for (v, node) in from.nodes.iter().enumerate() {
        let mut made: SmallVec<[(Val, Val); 4]> = SmallVec::new();
        let inputs = node
            .inputs
            .iter()
            .map(|&i| {
                // Maps of the forward pass share a step with the value itself.
                let apart = node.backward || from.node(i).backward || summed[v];
                let again = costs[i as usize].again && apart;
                if again {
                    copy(&from, &costs, &mut to, &map, &mut made, i)
                } else {
                    map[i as usize]
                }
            })
            .collect();
        map.push(to.push(IrNode { inputs, ..node.clone() }));
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
    e.ir = to;
    super::simplify::sweep(e)
}

/// A copy of a value for one consumer, down to what is in memory.
fn copy(
    from: &Ir,
    costs: &[Cost],
    to: &mut Ir,
    map: &[Val],
    made: &mut SmallVec<[(Val, Val); 4]>,
    v: Val,
) -> Val {
    if let Some(&(_, copy)) = made.iter().find(|(x, _)| *x == v) {
        return copy;
    }
    let node = from.node(v);
    let mut inputs = Operands::new();
    for &i in &node.inputs {
        // At most MOST operations deep.
        let deeper = costs[i as usize].operations > 0;
        inputs.push(if deeper { copy(from, costs, to, map, made, i) } else { map[i as usize] });
    }
    let copy = to.push(IrNode { inputs, backward: true, inlined: true, ..node.clone() });
    made.push((v, copy));
    copy
}

/// Whether doing it again costs next to nothing.
fn cheap(op: &Op) -> bool {
    match op {
        Op::Unary(u) => {
            matches!(u, Unary::Neg | Unary::Abs | Unary::Square | Unary::Relu | Unary::Not)
        }
        Op::Binary(b) => matches!(
            b,
            Binary::Add
                | Binary::Sub
                | Binary::Mul
                | Binary::Max
                | Binary::Min
                | Binary::Eq
                | Binary::Ne
                | Binary::Lt
                | Binary::Le
                | Binary::Gt
                | Binary::Ge
                | Binary::And
                | Binary::Or
        ),
        Op::Ternary(t) => matches!(t, Ternary::Where | Ternary::Clamp),
        Op::Cast(_) => true,
        _ => false,
    }
}

/// What is known of each value, and whether it ends in reductions only.
fn decide(e: &Expanded) -> (Vec<Cost>, Vec<bool>) {
    let ir = &e.ir;
    let mut users: Vec<SmallVec<[Val; 4]>> = vec![SmallVec::new(); ir.len()];
    for (v, node) in ir.nodes.iter().enumerate() {
        for &i in &node.inputs {
            if users[i as usize].last() != Some(&(v as Val)) {
                users[i as usize].push(v as Val);
            }
        }
    }
    let mut kept = vec![false; ir.len()];
    e.outputs.iter().for_each(|&(_, v)| kept[v as usize] = true);
    e.watch.iter().for_each(|&v| kept[v as usize] = true);
    for effect in &e.effects {
        match effect {
            IrEffect::Update { grads, .. } => grads.iter().for_each(|&g| kept[g as usize] = true),
            IrEffect::Assign { value } => kept[*value as usize] = true,
        }
    }
    let reduces = |u: Val| matches!(ir.node(u).op, Op::Reduce(..));
    let summed: Vec<bool> = (0..ir.len())
        .map(|v| reduces(v as Val) || !users[v].is_empty() && users[v].iter().all(|&u| reduces(u)))
        .collect();
    let mut costs: Vec<Cost> = Vec::with_capacity(ir.len());
    for v in 0..ir.len() as Val {
        let node = ir.node(v);
        let mut cost = Cost::default();
        let in_memory = SmallVec::from_slice(&[v]);
        match node.op {
            // Repeated numbers are read where they are.
            Op::Broadcast | Op::Const(_) | Op::Slot => {}
            _ if kept[v as usize]
                || node.shape.numel() < SMALL
                || node.epoch != 0
                || !cheap(&node.op)
                || !mappable(ir, v)
                || users[v as usize].iter().any(|&u| !absorbs(ir, u)) =>
            {
                cost.from = in_memory;
            }
            _ => {
                cost.operations = 1;
                for &i in &node.inputs {
                    let input = &costs[i as usize];
                    cost.operations += input.operations;
                    for &x in &input.from {
                        if !cost.from.contains(&x) {
                            cost.from.push(x);
                        }
                    }
                }
                let (k, u) = (cost.from.len(), steps(ir, &users[v as usize], &summed, v));
                // A map of the forward pass that makes it reads what it is made of anyway.
                let moved = if node.backward { k + 1 + u } else { 1 + u };
                if cost.operations > MOST || u > 0 && u * k >= moved {
                    cost = Cost { from: in_memory, ..Cost::default() };
                } else {
                    cost.again = u > 0;
                }
            }
        }
        costs.push(cost);
    }
    (costs, summed)
}

/// Whether a node can compute its operands inside.
fn absorbs(ir: &Ir, v: Val) -> bool {
    let node = ir.node(v);
    node.epoch == 0 && (matches!(node.op, Op::Reduce(..)) || mappable(ir, v))
}

/// About how many steps of their own would read a value. Reductions share one, and so do the maps of
/// the forward pass with the value itself.
fn steps(ir: &Ir, users: &[Val], summed: &[bool], v: Val) -> usize {
    let (mut maps, mut sums) = (0, false);
    for &u in users {
        if summed[u as usize] {
            sums = true;
        } else if ir.node(u).backward || ir.node(v).backward {
            maps += 1;
        }
    }
    maps + usize::from(sums)
}
