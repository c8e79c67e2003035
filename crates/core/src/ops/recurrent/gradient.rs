//! Gradients of the recurrence as one node, and what it is in simpler ones.
//!
//! [`Op::Recurrent`] makes a *tape*: what others see, and behind it what its backward pass,
//! [`Op::RecurrentGrad`], wants to know. Second derivatives go through the expansion: forward pass and
//! its gradient, step by step, in operations that have gradients themselves.

use smallvec::smallvec;

use super::{Cell, Steps};
use crate::autodiff;
use crate::error::Result;
use crate::graph::shape::{MAX_RANK, Shape};
use crate::ops::attention::gradient as attention;
use crate::ops::{self, Binary, Meta, Op, Operands, Reduction, Ternary, Unary};
use crate::plan::ir::{Ir, Val};

/// Gradients for operands, by number.
pub(crate) type Parts = Vec<(usize, Val)>;

/// A part of a value of one axis, in another shape.
pub(in crate::ops) fn part(ir: &mut Ir, x: Val, start: usize, shape: Shape) -> Val {
    let len = shape.numel();
    let piece = match ir.shape(x).numel() == len {
        true => x,
        false => ir.slice(x, 0, start, 1, Shape::new(&[len])),
    };
    ir.reshape(piece, shape)
}

pub(in crate::ops) fn concat(ir: &mut Ir, parts: &[Val], axis: u8) -> Val {
    let Some(&first) = parts.first() else { return 0 };
    let sizes = parts.iter().map(|&p| ir.shape(p).dim(usize::from(axis))).sum();
    let shape = ir.shape(first).with(usize::from(axis), sizes);
    let meta = Meta { shape, dtype: ir.dtype(first) };
    ir.add_node(Op::Concat { axis }, parts.into(), meta)
}

fn turned(ir: &mut Ir, x: Val) -> Val {
    let mut perm = [0u8; MAX_RANK];
    (perm[0], perm[1]) = (1, 0);
    ir.permute(x, perm)
}

/// The gradient of the visible part of a tape, from that of the tape.
pub(in crate::ops) fn visible(ir: &mut Ir, g: Val, len: usize) -> Val {
    let node = ir.node(g);
    if let (Op::Unslice { axis: 0, start: 0, step: 1 }, &[x]) = (&node.op, node.inputs.as_slice())
        && ir.shape(x).numel() == len
    {
        // Where nothing else was looked at, which is always: no zeros around it.
        return x;
    }
    part(ir, g, 0, Shape::new(&[len]))
}

/// The gradients of all operands of a node whose rule gives them together; nothing for others.
pub(crate) fn all_at_once(ir: &mut Ir, v: Val, g: Val) -> Result<Option<Parts>> {
    Ok(match ir.node(v).op {
        Op::Recurrent(steps) => Some(forward(ir, steps, v, g)),
        Op::RecurrentGrad(steps) => Some(backward(ir, steps, v, g)?),
        Op::Attention(a) => Some(attention::forward(ir, a, v, g)),
        Op::AttentionGrad(a) => Some(attention::backward(ir, a, v, g)?),
        Op::CustomGrad => {
            let parts = ops::custom_gradient::vjp(ir, v, g);
            Some(parts.into_iter().enumerate().map(|(i, part)| (i + 1, part)).collect())
        }
        _ => None,
    })
}

/// Gradients of the forward pass `v`, given that of its tape.
fn forward(ir: &mut Ir, steps: Steps, v: Val, g: Val) -> Parts {
    let ins = ir.node(v).inputs.clone();
    let walk = steps.walk(ir.shape(ins[0]));
    let (batch, hidden, rows) = (walk.batch, walk.hidden, walk.time * walk.batch);
    let width = walk.cell.gates() * hidden;
    let dtype = ir.dtype(v);
    let g = visible(ir, g, walk.visible());
    let mut operands: Operands<Val> = smallvec![v, g];
    operands.extend(ins.iter().copied());
    let meta = Meta { shape: Shape::new(&[walk.gradients()]), dtype };
    let all = ir.add_node(Op::RecurrentGrad(steps), operands, meta);
    let state = Shape::new(&[batch, hidden]);
    let gates = part(ir, all, 0, Shape::new(&[walk.time, batch, width]));
    let h0 = part(ir, all, walk.gates(), state);
    // Of what the state brings to the gates: all steps in one product with the states before.
    let own = match walk.cell {
        Cell::Gru => part(ir, all, walk.gates() + walk.state(), Shape::new(&[rows, width])),
        _ => ir.reshape(gates, Shape::new(&[rows, width])),
    };
    let first = ir.reshape(ins[2], Shape::new(&[batch, hidden]));
    let before = if walk.time == 1 {
        first
    } else {
        let start = if walk.reverse { walk.state() } else { 0 };
        let others = Shape::new(&[(walk.time - 1) * batch, hidden]);
        let others = part(ir, v, start, others);
        let order = if walk.reverse { [others, first] } else { [first, others] };
        concat(ir, &order, 0)
    };
    let turned = turned(ir, own);
    let weight = ir.product(steps.precision, turned, before);
    let mut parts = vec![(0, gates), (1, weight), (2, h0)];
    match walk.cell {
        Cell::Lstm => parts.push((3, part(ir, all, walk.gates() + walk.state(), state))),
        Cell::Gru => {
            let bias = ir.reduce(Reduction::Sum, 1, own);
            parts.push((3, ir.reshape(bias, Shape::new(&[width]))));
        }
        _ => {}
    }
    parts
}

/// Gradients of the backward pass `v` (operands: tape, gradient of what is visible, and those of
/// the forward pass), through the expansion of both passes.
fn backward(ir: &mut Ir, steps: Steps, v: Val, g: Val) -> Result<Parts> {
    let ins = ir.node(v).inputs.clone();
    let (cotangent, operands) = (ins[1], &ins[2..]);
    let walk = steps.walk(ir.shape(operands[0]));
    let start = ir.len();
    // One tensor may be two operands, whose gradients are wanted apart.
    let own: Vec<Val> = operands.iter().map(|&i| alias(ir, i)).collect();
    let inner = ir.len();
    let expanded = expand(ir, steps, &own);
    let mut wanted = own.clone();
    wanted.extend(&expanded.own);
    let found = gradients(ir, inner, expanded.visible, cotangent, &own, &wanted)?;
    let mut parts: Vec<Val> = Vec::new();
    let state = walk.state();
    let firsts = if walk.cell == Cell::Lstm { 2 } else { 1 };
    let order = [(0, walk.gates()), (2, state), (3, state)];
    for &(i, len) in order.iter().take(1 + firsts) {
        let found = found.get(own[i] as usize).copied().flatten();
        parts.push(flat(ir, found, len, cotangent));
    }
    for &own in &expanded.own {
        let found = found.get(own as usize).copied().flatten();
        let len = ir.shape(own).numel();
        parts.push(flat(ir, found, len, cotangent));
    }
    let all = concat(ir, &parts, 0);
    let floats = operands.iter().copied().filter(|&i| ir.dtype(i).is_float());
    let mut targets: Vec<Val> = floats.collect();
    targets.push(cotangent);
    let found = gradients(ir, start, all, g, &targets, &targets)?;
    let of = |i: usize| Some((i, found.get(ins[i] as usize).copied().flatten()?));
    // An operand that is there twice has the sum already.
    Ok((1..ins.len()).filter(|&i| !ins[1..i].contains(&ins[i])).filter_map(of).collect())
}

/// The same value as a node of its own.
pub(in crate::ops) fn alias(ir: &mut Ir, x: Val) -> Val {
    let meta = Meta { shape: ir.shape(x), dtype: ir.dtype(x) };
    ir.add_node(Op::Reshape, smallvec![x], meta)
}

/// One axis of `len`; zeros if there is nothing.
pub(in crate::ops) fn flat(ir: &mut Ir, x: Option<Val>, len: usize, like: Val) -> Val {
    let shape = Shape::new(&[len]);
    match x {
        Some(x) => ir.reshape(x, shape),
        None => {
            let zero = ir.constant(0.0, like);
            ir.broadcast(zero, shape)
        }
    }
}

/// The gradients of `y`, with its own, through the nodes from `start` on, for what is `wanted`.
pub(in crate::ops) fn gradients(
    ir: &mut Ir,
    start: usize,
    y: Val,
    g: Val,
    targets: &[Val],
    wanted: &[Val],
) -> Result<Vec<Option<Val>>> {
    let end = y as usize + 1;
    let (mut needed, mut keep) = (vec![false; end], vec![false; end]);
    for &t in targets {
        if let Some(n) = needed.get_mut(t as usize) {
            *n = true;
        }
    }
    for &t in wanted {
        if let Some(k) = keep.get_mut(t as usize) {
            *k = true;
        }
    }
    for v in start..end {
        let node = &ir.nodes[v];
        needed[v] =
            needed[v] || node.dtype.is_real() && node.inputs.iter().any(|&i| needed[i as usize]);
    }
    autodiff::walk(ir, start, &[(y, g)], y, &needed, &keep)
}

/// The forward pass in simpler operations.
struct Expanded {
    /// What others see, of one axis.
    visible: Val,
    /// Of a GRU: what the state brings to the gates, in order of time.
    own: Vec<Val>,
}

fn expand(ir: &mut Ir, steps: Steps, ins: &[Val]) -> Expanded {
    let (gates, weight, first) = (ins[0], ins[1], ins[2]);
    let walk = steps.walk(ir.shape(gates));
    let (batch, hidden) = (walk.batch, walk.hidden);
    let width = walk.cell.gates() * hidden;
    let lengths = steps.lengths.then(|| ins[ins.len() - 1]);
    let turned = turned(ir, weight);
    let (row, state) = (Shape::new(&[batch, width]), Shape::new(&[batch, hidden]));
    let mut h = first;
    let mut c = if walk.cell == Cell::Lstm { Some(ins[3]) } else { None };
    let mut states = vec![first; walk.time];
    let mut own = vec![first; if walk.cell == Cell::Gru { walk.time } else { 0 }];
    for i in 0..walk.time {
        let t = if walk.reverse { walk.time - 1 - i } else { i };
        let x = ir.slice(gates, 0, t, 1, Shape::new(&[1, batch, width]));
        let x = ir.reshape(x, row);
        let mut a = ir.product(steps.precision, h, turned);
        let gate = |ir: &mut Ir, x: Val, k: usize| ir.slice(x, 1, k * hidden, 1, state);
        let (mut next, mut memory) = match walk.cell {
            Cell::Tanh | Cell::Relu => {
                let a = ir.add(x, a);
                let op = if walk.cell == Cell::Tanh { Unary::Tanh } else { Unary::Relu };
                (ir.unary(op, a), None)
            }
            Cell::Lstm => {
                let a = ir.add(x, a);
                let ops = [Unary::Sigmoid, Unary::Sigmoid, Unary::Tanh, Unary::Sigmoid];
                let [i, f, g, o] = [0, 1, 2, 3].map(|k| {
                    let a = gate(ir, a, k);
                    ir.unary(ops[k], a)
                });
                let (kept, new) = (ir.mul(f, c.unwrap_or(f)), ir.mul(i, g));
                let memory = ir.add(kept, new);
                let tanh = ir.unary(Unary::Tanh, memory);
                (ir.mul(o, tanh), Some(memory))
            }
            Cell::Gru => {
                let bias = ir.broadcast(ins[3], row);
                a = ir.add(a, bias);
                own[t] = a;
                let [r, z] = [0, 1].map(|k| {
                    let (x, a) = (gate(ir, x, k), gate(ir, a, k));
                    let sum = ir.add(x, a);
                    ir.unary(Unary::Sigmoid, sum)
                });
                let (x, a) = (gate(ir, x, 2), gate(ir, a, 2));
                let a = ir.mul(r, a);
                let sum = ir.add(x, a);
                let n = ir.unary(Unary::Tanh, sum);
                let d = ir.sub(h, n);
                let d = ir.mul(z, d);
                (ir.add(n, d), None)
            }
        };
        if let Some(lengths) = lengths {
            let time = ir.constant(t as f64, lengths);
            let counts = ir.binary(Binary::Gt, lengths, time);
            let counts = ir.reshape(counts, Shape::new(&[batch, 1]));
            let counts = ir.broadcast(counts, state);
            next = ir.ternary(Ternary::Where, counts, next, h);
            memory = memory.zip(c).map(|(m, c)| ir.ternary(Ternary::Where, counts, m, c));
        }
        (h, c) = (next, memory);
        states[t] = next;
    }
    let mut flats: Vec<Val> = Vec::with_capacity(walk.time + 1);
    for s in states.into_iter().chain(c) {
        flats.push(ir.reshape(s, Shape::new(&[walk.state()])));
    }
    Expanded { visible: concat(ir, &flats, 0), own }
}
