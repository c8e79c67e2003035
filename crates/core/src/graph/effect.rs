//! Recording what happens outside the graph: updates of parameters, writes to buffers.
//!
//! An effect is a node that the recorder holds by itself until it has happened, or never will.

use std::panic::Location;
use std::sync::Arc;

use super::dtype::DType;
use super::flush;
use super::recorder::{Recorder, Side, Slot, with};
use super::shape::Shape;
use crate::error::{Code, Error};
use crate::ops::update::{UpdateCall, UpdateGroup};
use crate::ops::{Meta, Op, Operands};
use crate::param::{Buffer, Cell};
use crate::tensor::Tensor;

/// How many lists of operands, and calls of updates, keep their memory for the next step.
const MOST_SPARE: usize = 256;

impl Recorder {
    /// Gradients do not flow through these picks, nor through the node they pick from.
    pub(crate) fn stop_grad(&mut self, picks: &[Slot]) {
        for &pick in picks {
            self.node_mut(pick).grad = false;
        }
        if let Some(&parent) = picks.first().and_then(|&p| self.node(p).inputs.first()) {
            self.node_mut(parent).grad = false;
        }
    }

    /// Gives up the handle that [`Recorder::append`] made.
    pub(crate) fn drop_own_handle(&mut self, slot: Slot) {
        let generation = self.node(slot).generation;
        self.drop_handle(slot, generation);
    }

    /// Records the effect that updates members of a group from their gradients.
    pub(crate) fn record_update(
        &mut self,
        call: Arc<UpdateCall>,
        grads: Operands<Slot>,
        place: &'static Location<'static>,
    ) {
        let meta = Meta { shape: Shape::SCALAR, dtype: DType::F32 };
        let Some(group) = &call.group else { return };
        let op = Op::Update(group.rule);
        let slot = self.append(op, grads, meta, false, place, Side::Update(call));
        self.hold_effect(slot);
    }

    /// An empty operand list, with the memory of an old long one if there is any.
    pub(crate) fn spare_operands(&mut self) -> Operands<Slot> {
        self.spare_lists.pop().unwrap_or_default()
    }

    /// Keeps the memory of a long operand list.
    pub(super) fn keep_list(&mut self, mut list: Operands<Slot>) {
        if list.spilled() && self.spare_lists.len() < MOST_SPARE {
            list.clear();
            self.spare_lists.push(list);
        }
    }

    /// A call without members that nobody shares, reused if possible.
    pub(crate) fn spare_call(
        &mut self,
        group: &Arc<UpdateGroup>,
        numbers: &[f64],
    ) -> Arc<UpdateCall> {
        while let Some(mut call) = self.spare_calls.pop() {
            if let Some(c) = Arc::get_mut(&mut call) {
                c.group = Some(Arc::clone(group));
                c.members.clear();
                c.numbers.clear();
                c.numbers.extend_from_slice(numbers);
                return call;
            }
        }
        Arc::new(UpdateCall {
            group: Some(Arc::clone(group)),
            members: Vec::new(),
            numbers: numbers.to_vec(),
        })
    }

    /// Keeps the memory of calls that have run.
    pub(crate) fn keep_calls(&mut self, calls: impl Iterator<Item = Arc<UpdateCall>>) {
        for mut call in calls {
            // The optimizer may go away; only the call's memory is kept.
            if let Some(c) = Arc::get_mut(&mut call)
                && self.spare_calls.len() < MOST_SPARE
            {
                c.group = None;
                self.spare_calls.push(call);
            }
        }
    }

    /// The handle of a new node becomes the reference of the effect list.
    fn hold_effect(&mut self, slot: Slot) {
        let node = self.node_mut(slot);
        node.handles = 0;
        node.consumers = 1;
        self.effects.push(slot);
    }

    /// Draws since the last commit are drawn again, but for those of live tensors.
    pub(crate) fn roll_back(&mut self) {
        let held: Vec<_> = self
            .pending
            .iter()
            .filter_map(|&(slot, generation)| {
                match (&self.nodes.get(slot as usize)?.side, self.alive(slot, generation)) {
                    (Side::Key(key), true) => Some(*key),
                    _ => None,
                }
            })
            .collect();
        self.streams.roll_back(held.into_iter());
    }

    /// Whether an effect writes the buffer of that id.
    pub(crate) fn assigns(&self, effect: Slot, id: u64) -> bool {
        matches!(&self.node(effect).side, Side::Buffer(cell) if cell.id() == id)
    }

    /// An effect has happened, or never will.
    pub(crate) fn end_effect(&mut self, slot: Slot) {
        if let Some(at) = self.effects.iter().position(|&e| e == slot) {
            self.effects.remove(at);
            if let Side::Buffer(cell) = &self.node(slot).side {
                let id = cell.id();
                let later = self.effects.iter().any(|&e| self.assigns(e, id));
                if !later {
                    self.assigned.remove(&id);
                }
            }
            self.drop_consumer(slot);
        }
    }
}

pub(crate) fn buffer(buffer: &Buffer, place: &'static Location<'static>) -> Tensor {
    with(|r| {
        if let Some(&(slot, generation, _)) = r.assigned.get(&buffer.id())
            && r.alive(slot, generation)
        {
            r.node_mut(slot).handles += 1;
            return r.handle(slot);
        }
        r.assigned.remove(&buffer.id());
        match buffer.get() {
            Ok(value) => {
                let meta = Meta { shape: value.shape(), dtype: value.dtype() };
                let side = Side::Value(Arc::downgrade(&buffer.0));
                let slot = r.append(Op::Leaf, Operands::new(), meta, false, place, side);
                r.node_mut(slot).value = Some(value);
                r.handle(slot)
            }
            Err(error) => {
                let slot = r.fail(error, place);
                r.handle(slot)
            }
        }
    })
}

/// How many assignments of one buffer may wait for each other's values.
const CHAIN: u32 = 16;

/// Records that a buffer or a parameter becomes `value`.
///
/// It takes the place of an earlier one of the same cell that has not happened: both would happen
/// with the same step, or neither, and only the last is seen.
pub(crate) fn assign(
    cell: &Arc<Cell>,
    what: &str,
    value: &Tensor,
    place: &'static Location<'static>,
) {
    let plain = value.detach();
    let long = with(|r| {
        let node = r.node(plain.slot());
        if matches!(node.op, Op::Failed) {
            return false;
        }
        let meta = Meta { shape: node.shape, dtype: node.dtype };
        if let Err(error) = r.known(plain.slot()) {
            let text = format!("assign: {what} {} is written in {}", cell.name(), error.title());
            let mut own = Error::new(error.code(), text);
            if let Some(help) = error.advice() {
                own = own.help(help);
            }
            refuse(r, own, place);
            return false;
        }
        if meta.shape != cell.shape() || meta.dtype != cell.dtype() {
            let error = Error::new(
                Code::Shape,
                format!(
                    "assign: {what} {} is {} {:?}, the value {} {:?}",
                    cell.name(),
                    cell.dtype(),
                    cell.shape(),
                    meta.dtype,
                    meta.shape
                ),
            );
            refuse(r, error, place);
            return false;
        }
        let id = cell.id();
        let before = r.assigned.get(&id).copied();
        let chain = match before {
            Some((slot, generation, chain))
                if r.alive(slot, generation) && r.node(slot).value.is_none() =>
            {
                chain + 1
            }
            _ => 0,
        };
        if let Some(earlier) = r.effects.iter().copied().find(|&e| r.assigns(e, id)) {
            r.end_effect(earlier);
        }
        r.forget_orphans();
        let mut inputs = Operands::new();
        inputs.push(plain.slot());
        let side = Side::Buffer(Arc::clone(cell));
        let slot = r.append(Op::Assign, inputs, meta, false, place, side);
        r.hold_effect(slot);
        let generation = r.generation(plain.slot());
        r.assigned.insert(id, (plain.slot(), generation, chain % CHAIN));
        chain >= CHAIN
    });
    drop(plain);
    if long {
        // A loop that never reads nor steps: let go of what the values were made from. An error
        // is told by the step or read that needs them.
        let _ = flush::run_assigned();
    }
}

/// An assignment that cannot be recorded; the next step or `sync` tells.
fn refuse(r: &mut Recorder, error: Error, place: &'static Location<'static>) {
    let error = r.locate(error, r.scopes.current, place);
    let slot = r.fail(error, place);
    r.drop_own_handle(slot);
}

/// What a value may cost beside a read, in elements, and still be computed with it.
const CHEAP: usize = 4096;

impl Recorder {
    /// Gives a handle to each value that waits to be assigned and should be computed with a read of
    /// `root` (all of them, without one): those that need what the read computes anyway, and those
    /// that cost next to nothing.
    ///
    /// The writes wait for their step; but a value that is known needs no history, so a loop that
    /// only reads, with layers that keep statistics, does not hold all its batches.
    pub(super) fn hold_assigned(&mut self, root: Option<Slot>, held: &mut Vec<(Slot, u32)>) {
        if self.effects.is_empty() {
            return;
        }
        let mut stack = std::mem::take(&mut self.release);
        let own = root.map(|root| {
            let own = self.fresh_mark();
            self.mark_pending(root, own, &mut stack);
            own
        });
        for i in 0..self.effects.len() {
            let node = self.node(self.effects[i]);
            let (true, Some(&value)) = (matches!(node.op, Op::Assign), node.inputs.first()) else {
                continue;
            };
            if self.node(value).value.is_some() {
                continue;
            }
            if own.is_none_or(|own| self.goes_with(value, own, &mut stack)) {
                self.node_mut(value).handles += 1;
                held.push((value, self.generation(value)));
            }
        }
        self.release = stack;
    }

    /// Ends assignments of buffers that nobody has any more, now and then.
    fn forget_orphans(&mut self) {
        if self.effects.len() < self.orphans_at {
            return;
        }
        let gone = |side: &Side| matches!(side, Side::Buffer(cell) if Arc::strong_count(cell) == 1);
        let orphans: Vec<Slot> =
            self.effects.iter().copied().filter(|&e| gone(&self.node(e).side)).collect();
        for effect in orphans {
            self.end_effect(effect);
        }
        self.orphans_at = 64 + 2 * self.effects.len();
    }

    fn fresh_mark(&mut self) -> u32 {
        self.mark = self.mark.wrapping_add(1);
        self.mark
    }

    /// Marks what has to run for `root`.
    fn mark_pending(&mut self, root: Slot, mark: u32, stack: &mut Vec<Slot>) {
        stack.push(root);
        while let Some(slot) = stack.pop() {
            let node = self.node_mut(slot);
            if node.mark == mark || node.value.is_some() {
                continue;
            }
            node.mark = mark;
            stack.extend(node.inputs.iter().copied());
        }
    }

    /// Whether something that `value` needs is marked `own`, or all of it is cheap.
    fn goes_with(&mut self, value: Slot, own: u32, stack: &mut Vec<Slot>) -> bool {
        let seen = self.fresh_mark();
        let (mut shared, mut cost) = (false, 0usize);
        stack.push(value);
        while let Some(slot) = stack.pop() {
            let node = self.node_mut(slot);
            if node.mark == own {
                shared |= !node.inputs.is_empty();
                continue;
            }
            if node.mark == seen || node.value.is_some() {
                continue;
            }
            node.mark = seen;
            cost = cost.saturating_add(node.shape.numel());
            stack.extend(node.inputs.iter().copied());
        }
        shared || cost <= CHEAP
    }
}
