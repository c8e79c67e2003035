//! Recording what happens outside the graph: updates of parameters, writes to buffers.
//!
//! An effect is a node that the recorder holds by itself until it has happened, or never will.

use std::panic::Location;
use std::sync::Arc;

use super::dtype::DType;
use super::recorder::{Recorder, Side, Slot, with};
use super::shape::Shape;
use crate::error::{Code, Error};
use crate::ops::update::{UpdateCall, UpdateGroup};
use crate::ops::{Meta, Op, Operands};
use crate::param::Buffer;
use crate::tensor::Tensor;

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
                && self.spare_calls.len() < 16
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
        if let Some(&(slot, generation)) = r.assigned.get(&buffer.id())
            && r.alive(slot, generation)
        {
            r.node_mut(slot).handles += 1;
            return r.handle(slot);
        }
        r.assigned.remove(&buffer.id());
        match buffer.get() {
            Ok(value) => {
                let meta = Meta { shape: value.shape(), dtype: value.dtype() };
                let slot = r.append(Op::Leaf, Operands::new(), meta, false, place, Side::None);
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

/// Records the effect `buffer = value`.
pub(crate) fn assign(buffer: &Buffer, value: &Tensor, place: &'static Location<'static>) {
    let plain = value.detach();
    with(|r| {
        let node = r.node(plain.slot());
        if matches!(node.op, Op::Failed) {
            return;
        }
        if let Err(error) = r.known(plain.slot()) {
            let error = r.locate(error, r.scopes.current, place);
            let slot = r.fail(error, place);
            r.drop_own_handle(slot);
            return;
        }
        if node.shape != buffer.shape() || node.dtype != buffer.dtype() {
            let error = Error::new(
                Code::Shape,
                format!(
                    "assign: buffer {} is {} {:?}, the value {} {:?}",
                    buffer.0.name(),
                    buffer.dtype(),
                    buffer.shape(),
                    node.dtype,
                    node.shape
                ),
            );
            let error = r.locate(error, r.scopes.current, place);
            let slot = r.fail(error, place);
            let generation = r.generation(slot);
            r.drop_handle(slot, generation);
            return;
        }
        let meta = Meta { shape: node.shape, dtype: node.dtype };
        let mut inputs = Operands::new();
        inputs.push(plain.slot());
        let side = Side::Buffer(Arc::clone(&buffer.0));
        let slot = r.append(Op::Assign, inputs, meta, false, place, side);
        r.hold_effect(slot);
        let generation = r.generation(plain.slot());
        r.assigned.insert(buffer.id(), (plain.slot(), generation));
    });
}
