//! The reverse walk: from the planner's form of a loss to nodes that compute its gradients. Which rule
//! an operation has is said here, in one place; the rules themselves live with the operations.

use std::sync::Arc;

use smallvec::{SmallVec, smallvec};

use crate::error::{Error, Result};
use crate::graph::dtype::DType;
use crate::ops::{self, Meta, Op, Operands};
use crate::plan::ir::{Ir, Val};

/// Appends the gradient of `y` for each target; `None` where it is zero by structure.
pub(crate) fn expand(
    ir: &mut Ir,
    y: Val,
    seed: Option<Val>,
    targets: &[Val],
) -> Result<Vec<Option<Val>>> {
    let end = y as usize + 1;
    // Which nodes lie between a target and y.
    let mut needed = vec![false; end];
    for &t in targets {
        if let Some(n) = needed.get_mut(t as usize) {
            *n = true;
        }
    }
    for v in 0..end {
        if !needed[v] {
            let node = &ir.nodes[v];
            needed[v] = node.grad && node.inputs.iter().any(|&i| needed[i as usize]);
        }
    }
    let seed = seed.unwrap_or_else(|| {
        let one = ir.constant(1.0, y);
        let shape = ir.shape(y);
        ir.broadcast(one, shape)
    });
    let dtype = computable(ir.dtype(seed));
    let seed = ir.cast(seed, dtype);
    let wanted: Vec<bool> = {
        let mut w = vec![false; end];
        for &t in targets {
            if let Some(n) = w.get_mut(t as usize) {
                *n = true;
            }
        }
        w
    };
    let cotangents = walk(ir, 0, &[(y, seed)], y, &needed, &wanted)?;
    let found = targets.iter().map(|&t| {
        let g = cotangents.get(t as usize).copied().flatten()?;
        let dtype = ir.dtype(t);
        Some(ir.cast(g, dtype))
    });
    Ok(found.collect())
}

/// The type that cotangents of such values have: storage types cannot be added, so theirs are f32.
fn computable(dtype: DType) -> DType {
    if dtype.is_storage() { DType::F32 } else { dtype }
}

/// The reverse walk over nodes `start..=y`, with cotangents to begin with; returns the cotangents by
/// node number.
pub(crate) fn walk(
    ir: &mut Ir,
    start: usize,
    seeds: &[(Val, Val)],
    y: Val,
    needed: &[bool],
    wanted: &[bool],
) -> Result<Vec<Option<Val>>> {
    let mut cotangents: Vec<Option<Val>> = vec![None; y as usize + 1];
    for &(v, seed) in seeds {
        cotangents[v as usize] = Some(seed);
    }
    for v in (start..=y as usize).rev() {
        let (true, Some(g)) = (needed[v], cotangents[v]) else { continue };
        if !wanted[v] {
            cotangents[v] = None;
        }
        let node = ir.nodes[v].clone();
        ir.origin = node.origin;
        if let Some(parts) = ops::recurrent::all_at_once(ir, v as Val, g)? {
            for (i, part) in parts {
                let input = node.inputs[i];
                if needed[input as usize] && ir.dtype(input).is_float() {
                    accumulate(ir, &mut cotangents, input, part);
                }
            }
            continue;
        }
        if let Op::Checkpoint = node.op {
            through_region(ir, &node.inputs, g, needed, &mut cotangents)?;
            continue;
        }
        for (i, &input) in node.inputs.iter().enumerate() {
            if !needed[input as usize] || !ir.node(input).dtype.is_real() {
                continue;
            }
            if node.inputs.iter().take(i).any(|&earlier| earlier == input) && all_at_once(&node.op)
            {
                continue;
            }
            let Some(part) = vjp(ir, v as Val, g, i)? else { continue };
            accumulate(ir, &mut cotangents, input, part);
        }
    }
    Ok(cotangents)
}

/// Adds one contribution; the first is the cotangent.
fn accumulate(ir: &mut Ir, cotangents: &mut [Option<Val>], at: Val, part: Val) {
    cotangents[at as usize] = Some(match cotangents[at as usize] {
        Some(sum) => match ops::movement::joined(ir, sum, part) {
            Some(joined) => joined,
            None => ir.add(sum, part),
        },
        None => part,
    });
}

/// Ops whose expanded gradient already sums over equal operands.
fn all_at_once(op: &Op) -> bool {
    matches!(op, Op::Rows(r) if !has_rule(*r))
}

fn has_rule(rows: ops::Rows) -> bool {
    use ops::Rows;
    matches!(rows, Rows::Softmax | Rows::LogSoftmax | Rows::CrossEntropy { .. })
}

/// The cotangent that node `v` passes to operand `i`, given its own.
fn vjp(ir: &mut Ir, v: Val, g: Val, i: usize) -> Result<Option<Val>> {
    let node = ir.node(v).clone();
    let x = node.inputs.first().copied().unwrap_or(0);
    Ok(match &node.op {
        Op::Unary(op) => ops::elementwise::vjp_unary(ir, *op, x, v, g),
        Op::Binary(op) => ops::elementwise::vjp_binary(ir, *op, [x, node.inputs[1]], v, g, i),
        Op::Ternary(op) => {
            let operands = [x, node.inputs[1], node.inputs[2]];
            ops::elementwise::vjp_ternary(ir, *op, operands, g, i)
        }
        Op::Cast(_) => {
            let dtype = computable(ir.dtype(x));
            Some(ir.cast(g, dtype))
        }
        Op::Scan { kind, axis, reverse } => {
            ops::scan::vjp(ir, (*kind, *axis, *reverse), x, v, g, i)
        }
        Op::Reduce(kind, axes) => Some(ops::reduce::vjp(ir, *kind, *axes, x, v, g)),
        Op::Reshape => {
            let shape = ir.shape(x);
            Some(ir.reshape(g, shape))
        }
        Op::Permute(perm) => {
            let inverse = ops::movement::inverse(perm, node.shape.rank());
            Some(ir.permute(g, inverse))
        }
        Op::Broadcast => Some(ops::movement::vjp_broadcast(ir, x, g)),
        Op::Slice { axis, start, step } => {
            let shape = ir.shape(x);
            Some(ir.unslice(g, *axis, *start, *step, shape))
        }
        Op::Unslice { axis, start, step } => {
            let shape = ir.shape(x);
            Some(ir.slice(g, *axis, *start, *step, shape))
        }
        Op::Concat { axis } => Some(ops::movement::vjp_concat(ir, *axis, &node.inputs, g, i)),
        Op::Matmul(p) => Some(ops::matmul::vjp(ir, *p, [x, node.inputs[1]], g, i)),
        Op::Conv(c) => Some(ops::conv::vjp(ir, *c, [x, node.inputs[1]], g, i)),
        Op::Gather { axis } => {
            let shape = ir.shape(x);
            Some(ir.indexing(Op::ScatterAdd { axis: *axis }, g, node.inputs[1], shape))
        }
        Op::ScatterAdd { axis } => {
            let shape = ir.shape(x);
            Some(ir.indexing(Op::Gather { axis: *axis }, g, node.inputs[1], shape))
        }
        Op::IndexSelect { axis } => {
            let shape = ir.shape(x);
            Some(ir.indexing(Op::IndexAdd { axis: *axis }, g, node.inputs[1], shape))
        }
        Op::IndexAdd { axis } => {
            let shape = ir.shape(x);
            Some(ir.indexing(Op::IndexSelect { axis: *axis }, g, node.inputs[1], shape))
        }
        Op::Scatter { axis, how, whole } => {
            let operands = [x, node.inputs[1], node.inputs[2]];
            ops::scatter::vjp(ir, (*axis, *how, *whole), operands, v, g, i)
        }
        Op::Pool { kind, rank, windows } => {
            ops::pool::vjp(ir, (*kind, *rank, *windows), &node.inputs, g, i)
        }
        Op::Rows(rows) => vjp_rows(ir, *rows, &node.inputs, v, g, i)?,
        Op::Custom(op) => match op.vjp(i) {
            Some(rule) => {
                let mut ins: SmallVec<[Val; 6]> = node.inputs.iter().copied().collect();
                ins.extend([v, g]);
                let meta =
                    Meta { shape: ir.shape(node.inputs[i]), dtype: ir.dtype(node.inputs[i]) };
                Some(ir.custom(Arc::clone(&rule), &ins, meta))
            }
            None => None,
        },
        _ => None,
    })
}

fn vjp_rows(
    ir: &mut Ir,
    rows: ops::Rows,
    ins: &Operands<Val>,
    v: Val,
    g: Val,
    i: usize,
) -> Result<Option<Val>> {
    use ops::Rows;
    let shape = ir.shape(ins[0]);
    Ok(match (rows, i) {
        (Rows::Softmax, _) => Some(ir.rows(Rows::SoftmaxGrad, &[v, g], shape)),
        (Rows::LogSoftmax, _) => Some(ir.rows(Rows::LogSoftmaxGrad, &[v, g], shape)),
        (Rows::CrossEntropy { ignore }, 0) => {
            Some(ir.rows(Rows::CrossEntropyGrad { ignore }, &[ins[0], ins[1], g], shape))
        }
        (Rows::CrossEntropy { .. }, _) => None,
        _ => through_expansion(ir, rows, ins, g, ins[i])?,
    })
}

/// Differentiates a node without a rule through its expansion into simpler ones.
fn through_expansion(
    ir: &mut Ir,
    rows: ops::Rows,
    ins: &Operands<Val>,
    g: Val,
    target: Val,
) -> Result<Option<Val>> {
    let start = ir.len();
    let Some(y) = ops::softmax::expand(ir, rows, ins) else {
        return Err(Error::internal(format!("{}: no gradient rule", Op::Rows(rows).name())));
    };
    let mut needed = vec![false; y as usize + 1];
    needed[target as usize] = true;
    for v in start..=y as usize {
        needed[v] =
            ir.nodes[v].dtype.is_real() && ir.nodes[v].inputs.iter().any(|&i| needed[i as usize]);
    }
    let mut wanted = vec![false; y as usize + 1];
    wanted[target as usize] = true;
    let cotangents = walk(ir, start, &[(y, g)], y, &needed, &wanted)?;
    Ok(cotangents[target as usize])
}

/// Computes a region again, from what it was made from, and differentiates that.
fn through_region(
    ir: &mut Ir,
    ins: &Operands<Val>,
    g: Val,
    needed: &[bool],
    cotangents: &mut [Option<Val>],
) -> Result<()> {
    let Some((&y, boundary)) = ins.split_first() else { return Ok(()) };
    let start = ir.len();
    let again = ops::checkpoint::repeat(ir, y, boundary);
    if again == y {
        if needed[y as usize] {
            accumulate(ir, cotangents, y, g);
        }
        return Ok(());
    }
    let end = again as usize + 1;
    let (mut inner, mut wanted) = (vec![false; end], vec![false; end]);
    // Contributions that are there already come first, as they would without a region.
    let mut seeds: SmallVec<[(Val, Val); 4]> = smallvec![(again, g)];
    for &b in boundary {
        inner[b as usize] = needed[b as usize];
        wanted[b as usize] = true;
        seeds.extend(cotangents[b as usize].map(|c| (b, c)));
    }
    for v in start..end {
        let node = &ir.nodes[v];
        inner[v] = node.grad && node.inputs.iter().any(|&i| inner[i as usize]);
    }
    let found = walk(ir, start, &seeds, again, &inner, &wanted)?;
    for &b in boundary {
        cotangents[b as usize] = found[b as usize];
    }
    Ok(())
}
