//! Leaves of parameters: each is a *snapshot*, the array that the parameter has at that moment.
//!
//! While a value lasts there is one leaf of it (and another where gradients are not wanted), so that
//! a parameter used twice is one operand. Live leaves of older values are linked, newest first:
//! an optimizer finds all that a loss was made from.

use std::panic::Location;
use std::sync::Arc;

use smallvec::SmallVec;

use super::recorder::{Recorder, Side, Slot, with};
use crate::ops::{Meta, Op, Operands};
use crate::param::{Cell, Param};
use crate::tensor::Tensor;

/// A parameter's cell, which of its values the leaf has, and the leaf of an older one.
#[derive(Clone)]
pub(crate) struct Snapshot {
    pub(crate) cell: Arc<Cell>,
    version: u64,
    older: Option<(Slot, u32)>,
}

impl Snapshot {
    /// Whether the parameter still has that value.
    pub(crate) fn is_current(&self) -> bool {
        self.version == self.cell.version()
    }
}

impl Recorder {
    /// The leaf of a parameter's current value; the same one until the value changes.
    fn param_leaf(&mut self, param: &Param, place: &'static Location<'static>) -> Slot {
        let cell = &param.0;
        let wanted = self.mode.grad && !param.is_frozen();
        for slot in self.param_leaves(cell.id()) {
            let node = self.node(slot);
            if let Side::Param(p) = &node.side
                && p.version == cell.version()
                && node.grad == wanted
            {
                self.node_mut(slot).handles += 1;
                return slot;
            }
        }
        let older = self.params.get(&cell.id()).map(|&(s, g, _)| (s, g));
        let version = cell.version();
        let value = match cell.get() {
            Ok(value) => value,
            Err(error) => return self.fail(error, place),
        };
        let meta = Meta { shape: value.shape(), dtype: value.dtype() };
        let grad = self.mode.grad && !param.is_frozen() && meta.dtype.is_float();
        let side = Side::Param(Snapshot { cell: Arc::clone(cell), version, older });
        let slot = self.append(Op::Leaf, Operands::new(), meta, grad, place, side);
        self.node_mut(slot).value = Some(value);
        let generation = self.node(slot).generation;
        self.params.insert(cell.id(), (slot, generation, version));
        slot
    }

    /// The name of a parameter that a node is, or is made from.
    #[cold]
    pub(crate) fn parameter_behind(&mut self, slot: Slot) -> Option<String> {
        self.mark = self.mark.wrapping_add(1);
        let mark = self.mark;
        let mut stack = vec![slot];
        while let Some(slot) = stack.pop() {
            let node = self.node_mut(slot);
            if node.mark == mark || !node.grad {
                continue;
            }
            node.mark = mark;
            if let Side::Param(p) = &node.side {
                return Some(p.cell.name());
            }
            stack.extend(node.inputs.iter().rev().copied());
        }
        None
    }

    /// The live leaves of a parameter, newest first.
    pub(crate) fn param_leaves(&self, id: u64) -> SmallVec<[Slot; 2]> {
        let mut out = SmallVec::new();
        let mut next = self.params.get(&id).map(|&(s, g, _)| (s, g));
        while let Some((slot, generation)) = next {
            if !self.alive(slot, generation) {
                break;
            }
            out.push(slot);
            next = match &self.node(slot).side {
                Side::Param(p) => p.older,
                _ => None,
            };
        }
        out
    }

    /// Takes the leaf at `slot` out of its parameter's chain of live leaves.
    pub(super) fn forget_leaf(&mut self, slot: Slot, gone: &Snapshot) {
        let id = gone.cell.id();
        let Some(&(head, generation, _)) = self.params.get(&id) else { return };
        if head == slot {
            match gone.older.filter(|&(s, g)| self.generation(s) == g) {
                Some((s, g)) => {
                    let version = match &self.node(s).side {
                        Side::Param(p) => p.version,
                        _ => 0,
                    };
                    self.params.insert(id, (s, g, version));
                }
                None => {
                    self.params.remove(&id);
                }
            }
            return;
        }
        let mut at = Some((head, generation));
        while let Some((s, g)) = at {
            // Leaves that die together may be without references and still linked.
            if self.generation(s) != g {
                return;
            }
            let Side::Param(p) = &mut self.node_mut(s).side else { return };
            if p.older.is_some_and(|(o, _)| o == slot) {
                p.older = gone.older;
                return;
            }
            at = p.older;
        }
    }
}

/// The leaf of a parameter.
pub(crate) fn param(param: &Param, place: &'static Location<'static>) -> Tensor {
    with(|r| {
        let slot = r.param_leaf(param, place);
        r.handle(slot)
    })
}
