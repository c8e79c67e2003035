//! The reference run of a plan's graph, node by node: to check results, and to find where a value
//! first became infinite or NaN.

use gradus_kernels::memory::KernelError;

use super::Bindings;
use crate::array::Array;
use crate::error::{Code, Error};
use crate::ops::{Meta, Op};
use crate::plan::Plan;
use crate::plan::ir::Val;
use crate::reference;

/// The value of every node that the last of `wanted` needs.
pub(crate) fn values(
    plan: &Plan,
    bindings: &Bindings,
    wanted: impl Iterator<Item = Val>,
    mut stop: impl FnMut(Val, &Array, &[&Array]) -> bool,
) -> Result<Vec<Option<Array>>, Error> {
    let ir = &plan.reference;
    let mut needed = vec![false; ir.len()];
    for v in wanted {
        needed[v as usize] = true;
    }
    for v in (0..ir.len()).rev() {
        if needed[v] {
            ir.nodes[v].inputs.iter().for_each(|&i| needed[i as usize] = true);
        }
    }
    let mut values: Vec<Option<Array>> = vec![None; ir.len()];
    for (v, node) in ir.nodes.iter().enumerate() {
        if !needed[v] {
            continue;
        }
        let ins: Option<Vec<&Array>> =
            node.inputs.iter().map(|&i| values[i as usize].as_ref()).collect();
        let ins = ins.ok_or_else(|| Error::internal("replay: an operand is missing"))?;
        let binding = node.binding as usize;
        let value = match &node.op {
            Op::Leaf => bindings
                .leaves
                .get(binding)
                .cloned()
                .ok_or_else(|| Error::internal("replay: a leaf is missing"))?,
            Op::Custom(op) => {
                let owned: Vec<Array> = ins.iter().map(|&a| a.clone()).collect();
                op.run(&owned)?
            }
            Op::Detach | Op::CustomGrad | Op::Checkpoint => ins[0].clone(),
            op => {
                let number = bindings.numbers.get(binding).copied().unwrap_or(0.0);
                let key = bindings.keys.get(binding).copied().unwrap_or_default();
                let out = Meta { shape: node.shape, dtype: node.dtype };
                reference::eval(op, &ins, out, number, key).map_err(|e| kernel(&e))?
            }
        };
        let stopped = stop(v as Val, &value, &ins);
        values[v] = Some(value);
        if stopped {
            break;
        }
    }
    Ok(values)
}

fn kernel(e: &KernelError) -> Error {
    Error::new(Code::Internal, format!("reference: {e:?}"))
}

/// A value that is not finite although its operands are.
pub(crate) struct Culprit {
    pub(crate) val: Val,
    /// Position of the first bad element, and the element.
    pub(crate) at: Vec<usize>,
    pub(crate) bad: f64,
}

/// The first such node on the way to what must be finite.
pub(crate) fn culprit(plan: &Plan, bindings: &Bindings) -> Option<Culprit> {
    let finite = |a: &Array| !a.dtype().is_float() || a.to_f64().iter().all(|v| v.is_finite());
    let mut found = None;
    let wanted = plan.reference_watch.iter().copied();
    let _ = values(plan, bindings, wanted, |v, value, ins| {
        if finite(value) || !ins.iter().all(|a| finite(a)) {
            return false;
        }
        let flat = value.to_f64();
        let i = flat.iter().position(|x| !x.is_finite()).unwrap_or(0);
        found = Some(Culprit {
            val: v,
            at: position(i, value.dims()),
            bad: flat.get(i).copied().unwrap_or(f64::NAN),
        });
        true
    });
    found
}

fn position(mut i: usize, dims: &[usize]) -> Vec<usize> {
    let mut at = vec![0; dims.len()];
    for (slot, &d) in at.iter_mut().zip(dims).rev() {
        *slot = i % d.max(1);
        i /= d.max(1);
    }
    at
}
