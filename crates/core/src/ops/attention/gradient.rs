//! Gradients of attention as one node, and what it is in simpler ones.
//!
//! [`Op::AttentionGrad`] computes the blocks of scores again. Second derivatives go through the
//! expansion: products, a softmax of rows and its gradient, with all scores in memory.

use smallvec::smallvec;

use super::node::Attended;
use crate::error::Result;
use crate::graph::dtype::DType;
use crate::graph::shape::{MAX_RANK, Shape};
use crate::ops::recurrent::gradient::{Parts, alias, concat, flat, gradients, part, visible};
use crate::ops::{Binary, Meta, Op, Operands, Reduction, Rows, Ternary};
use crate::plan::ir::{Ir, Val};

/// `[batch, a, b, size]` with the two in the middle exchanged.
fn exchanged(ir: &mut Ir, x: Val) -> Val {
    let mut perm = [0u8; MAX_RANK];
    perm[..4].copy_from_slice(&[0, 2, 1, 3]);
    ir.permute(x, perm)
}

/// Gradients of the forward pass `v`, given that of its tape.
pub(crate) fn forward(ir: &mut Ir, a: Attended, v: Val, g: Val) -> Parts {
    let ins = ir.node(v).inputs.clone();
    let shapes = [ir.shape(ins[0]), ir.shape(ins[1]), ir.shape(ins[2])];
    let heads = a.heads(shapes[0], shapes[1], shapes[2]);
    let dtype = ir.dtype(v);
    let g = visible(ir, g, heads.visible());
    let mut operands: Operands<Val> = smallvec![v, g];
    operands.extend(ins.iter().copied());
    let lens = heads.gradients();
    let meta = Meta { shape: Shape::new(&[lens.iter().sum()]), dtype };
    let all = ir.add_node(Op::AttentionGrad(a), operands, meta);
    let mut parts = Parts::new();
    let mut start = 0;
    for (i, (&shape, len)) in shapes.iter().zip(lens).enumerate() {
        let rows = Shape::new(&[shape.dim(0), shape.dim(2), shape.dim(1), shape.dim(3)]);
        let by_row = if heads.packed() {
            let three = ir.reshape(all, rows.insert(2, 3));
            let one = ir.slice(three, 2, i, 1, rows.insert(2, 1));
            ir.reshape(one, rows)
        } else {
            part(ir, all, start, rows)
        };
        start += len;
        parts.push((i, exchanged(ir, by_row)));
    }
    parts
}

/// Gradients of the backward pass `v` (operands: tape, gradient of what is visible, and those of
/// the forward pass), through the expansion of both passes.
pub(crate) fn backward(ir: &mut Ir, a: Attended, v: Val, g: Val) -> Result<Parts> {
    let ins = ir.node(v).inputs.clone();
    let cotangent = ins[1];
    let operands = [ins[2], ins[3], ins[4]];
    let shapes = operands.map(|i| ir.shape(i));
    let heads = a.heads(shapes[0], shapes[1], shapes[2]);
    let start = ir.len();
    // One tensor may be two operands, whose gradients are wanted apart.
    let own = operands.map(|i| alias(ir, i));
    let inner = ir.len();
    let y = expand(ir, a, own, ins.get(5).copied());
    let found = gradients(ir, inner, y, cotangent, &own, &own)?;
    let mut parts: Vec<Val> = Vec::new();
    for (&own, shape) in own.iter().zip(shapes) {
        let found = found.get(own as usize).copied().flatten();
        let one = flat(ir, found, shape.numel(), cotangent);
        let one = ir.reshape(one, shape);
        let one = exchanged(ir, one);
        let rows = ir.shape(one);
        let to = if heads.packed() { rows.insert(2, 1) } else { Shape::new(&[rows.numel()]) };
        parts.push(ir.reshape(one, to));
    }
    let all = concat(ir, &parts, if heads.packed() { 2 } else { 0 });
    let all = ir.reshape(all, Shape::new(&[heads.gradients().iter().sum()]));
    let targets = [operands[0], operands[1], operands[2], cotangent];
    let found = gradients(ir, start, all, g, &targets, &targets)?;
    let of = |i: usize| Some((i, found.get(ins[i] as usize).copied().flatten()?));
    // An operand that is there twice has the sum already.
    Ok((1..5).filter(|&i| !ins[1..i].contains(&ins[i])).filter_map(of).collect())
}

/// The forward pass in simpler operations: what is visible of the tape, of one axis.
fn expand(ir: &mut Ir, a: Attended, [q, k, v]: [Val; 3], mask: Option<Val>) -> Val {
    let (sq, sk, sv) = (ir.shape(q), ir.shape(k), ir.shape(v));
    let heads = a.heads(sq, sk, sv);
    let scores = Shape::new(&[heads.batch, heads.heads, heads.queries, heads.keys]);
    // Heads that share keys are rows of one product.
    let shared = [heads.batch, heads.of_keys(), heads.group * heads.queries];
    let with = |last: usize| Shape::new(&[shared[0], shared[1], shared[2], last]);
    let mut turned = [0u8; MAX_RANK];
    turned[..4].copy_from_slice(&[0, 1, 3, 2]);
    let k = ir.permute(k, turned);
    let q = ir.reshape(q, with(heads.size));
    let s = ir.product(a.precision, q, k);
    let s = ir.reshape(s, scores);
    let mut s = ir.scale(s, a.scale());
    let none = ir.constant(f64::NEG_INFINITY, s);
    let mut blind = None;
    let below = a.causal.then(|| {
        let (row, column) = (ir.index(scores, 2), ir.index(scores, 3));
        ir.binary(Binary::Ge, row, column)
    });
    if let Some(mask) = mask {
        let zero = ir.constant(0.0, s);
        let mut added = match ir.dtype(mask) {
            DType::Bool => ir.ternary(Ternary::Where, mask, zero, none),
            _ => mask,
        };
        if let Some(below) = below {
            added = ir.ternary(Ternary::Where, below, added, none);
        }
        let most = ir.reduce(Reduction::Max, 1 << 3, added);
        let dark = ir.binary(Binary::Eq, most, none);
        let dark = ir.broadcast(dark, scores);
        // Their softmax is over zeros instead, so all stays finite.
        let added = ir.ternary(Ternary::Where, dark, zero, added);
        s = ir.add(s, added);
        blind = Some(dark);
    } else if let Some(below) = below {
        s = ir.ternary(Ternary::Where, below, s, none);
    }
    let mut p = ir.rows(Rows::Softmax, &[s], scores);
    if let Some(blind) = blind {
        let zero = ir.constant(0.0, p);
        p = ir.ternary(Ternary::Where, blind, zero, p);
    }
    let p = ir.reshape(p, with(heads.keys));
    let y = ir.product(a.precision, p, v);
    let y = ir.reshape(y, scores.with(3, heads.out));
    let y = exchanged(ir, y);
    ir.reshape(y, Shape::new(&[heads.visible()]))
}
