//! The recorder: one slab of nodes a thread, appended to by every operation.
//!
//! A [`Tensor`] is a slot and a generation in it. A node lives as long as a handle or another node
//! needs it; dropping the last handle of an unused node frees its slot at once. Nothing is
//! computed here: shapes and types are checked, and the first error travels along.

use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::BuildHasherDefault;
use std::panic::Location;
use std::sync::{Arc, Weak};

use gradus_kernels::program::RandomKey;

use super::dtype::DType;
use super::scope::{FastHash, ScopeId, Scopes, Tag};
use super::shape::Shape;
use super::snapshot::Snapshot;
use crate::array::Array;
use crate::error::{Error, Result};
use crate::ops::infer::infer;
use crate::ops::update::UpdateCall;
use crate::ops::{Meta, Op, Operands, Precision};
use crate::random::Streams;
use crate::tensor::Tensor;

/// Which gradient request used up a history.
#[derive(Clone, Copy)]
pub(crate) struct Consumed {
    /// The line of the `backward` or `step`.
    pub(crate) place: &'static Location<'static>,
    /// Its node (slot and generation); while that is alive it still needs the history.
    pub(crate) by: (Slot, u32),
}

/// A node's slot in the slab.
pub(crate) type Slot = u32;

/// What a node carries beside its operation.
#[derive(Clone)]
pub(crate) enum Side {
    None,
    /// The run-time number of a [`Op::Slot`].
    Number(f64),
    /// The key of an [`Op::Random`].
    Key(RandomKey),
    /// The parameter that a leaf is a snapshot of.
    Param(Snapshot),
    /// The buffer that an assignment writes.
    Buffer(Arc<crate::param::Cell>),
    /// The buffer that a leaf has the value of; it does not keep the buffer.
    Value(Weak<crate::param::Cell>),
    /// The parameters, states and numbers of an update.
    Update(Arc<UpdateCall>),
    /// The error of a failed node.
    Error(Error),
}

pub(crate) struct Node {
    pub(crate) op: Op,
    pub(crate) inputs: Operands<Slot>,
    pub(crate) shape: Shape,
    pub(crate) dtype: DType,
    pub(super) generation: u32,
    pub(crate) handles: u32,
    pub(crate) consumers: u32,
    /// Recording order.
    pub(crate) seq: u64,
    pub(crate) place: &'static Location<'static>,
    pub(crate) scope: ScopeId,
    /// The method that the user called, if it is made of other operations.
    pub(crate) called: Option<&'static str>,
    /// Whether gradients flow through it.
    pub(crate) grad: bool,
    /// It depends on a placeholder, so it has a shape and a type but no value.
    pub(crate) traced: bool,
    /// The `backward` or `step` that used up its history.
    pub(crate) consumed: Option<Consumed>,
    pub(crate) value: Option<Array>,
    pub(crate) side: Side,
    /// The last traversal that saw it, and its number there.
    pub(crate) mark: u32,
    pub(crate) local: u32,
}

impl Node {
    /// What the user called to make it, as messages show it.
    pub(crate) fn name(&self) -> &'static str {
        self.called.unwrap_or_else(|| self.op.name())
    }
}

/// How operations are recorded and run in a scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mode {
    pub(crate) grad: bool,
    pub(crate) training: bool,
    /// Random layers draw although it is no training (Monte-Carlo dropout).
    pub(crate) sampling: bool,
    pub(crate) eager: bool,
    /// Of products of f32.
    pub(crate) precision: Precision,
}

pub(crate) struct Recorder {
    pub(crate) nodes: Vec<Node>,
    free: Vec<Slot>,
    live: usize,
    pub(crate) next_seq: u64,
    pub(crate) mark: u32,
    /// Nodes recorded since the last flush that may still have to run.
    pub(crate) pending: Vec<(Slot, u32)>,
    /// Recorded effects that have not run, in order; each holds one reference to its node.
    pub(crate) effects: Vec<Slot>,
    /// The newest live leaf of each parameter, and which of its values it has.
    pub(super) params: HashMap<u64, (Slot, u32, u64), FastHash>,
    /// The value that a buffer is to have, and how many values before it wait to be computed.
    pub(super) assigned: HashMap<u64, (Slot, u32, u32), FastHash>,
    pub(crate) scopes: Scopes,
    pub(crate) mode: Mode,
    /// The composed method that is recording; see [`super::called`].
    pub(super) calling: Option<&'static str>,
    pub(crate) streams: Streams,
    first_error: Option<Error>,
    pub(super) release: Vec<Slot>,
    tidy_at: usize,
    /// A plan is running: a custom operation may read tensors of its own, but not step.
    pub(crate) running: bool,
    pub(super) spare_lists: Vec<Operands<Slot>>,
    /// Shapes and types of the operands of what is being recorded.
    metas: Vec<Meta>,
    pub(super) spare_calls: Vec<Arc<UpdateCall>>,
    pub(crate) reached: crate::autodiff::Reached,
    pub(crate) scratch: super::flush::Scratch,
    /// Values that are computed with a read; see [`Recorder::hold_assigned`].
    pub(super) beside: Vec<(Slot, u32)>,
    /// How many effects make it worth looking for those of buffers that are gone.
    pub(super) orphans_at: usize,
    /// A captured closure is being called.
    pub(crate) session: Option<Box<crate::capture::Session>>,
}

thread_local! {
    static RECORDER: RefCell<Recorder> = const { RefCell::new(Recorder::new()) };
}

/// Runs `f` on this thread's recorder.
///
/// The borrow is never held while user code runs, so it cannot fail in a live thread.
#[inline]
pub(crate) fn with<R>(f: impl FnOnce(&mut Recorder) -> R) -> R {
    RECORDER.with(|cell| f(&mut cell.borrow_mut()))
}

impl Recorder {
    const fn new() -> Recorder {
        Recorder {
            nodes: Vec::new(),
            free: Vec::new(),
            live: 0,
            next_seq: 0,
            mark: 0,
            pending: Vec::new(),
            effects: Vec::new(),
            params: HashMap::with_hasher(BuildHasherDefault::new()),
            assigned: HashMap::with_hasher(BuildHasherDefault::new()),
            scopes: Scopes::new(),
            mode: Mode {
                grad: true,
                training: true,
                sampling: false,
                eager: false,
                precision: Precision::F32,
            },
            calling: None,
            streams: Streams::new(),
            first_error: None,
            release: Vec::new(),
            tidy_at: 64,
            running: false,
            spare_lists: Vec::new(),
            metas: Vec::new(),
            spare_calls: Vec::new(),
            reached: crate::autodiff::Reached::new(),
            scratch: super::flush::Scratch::new(),
            beside: Vec::new(),
            orphans_at: 64,
            session: None,
        }
    }

    #[inline]
    pub(crate) fn node(&self, slot: Slot) -> &Node {
        &self.nodes[slot as usize]
    }

    #[inline]
    pub(crate) fn node_mut(&mut self, slot: Slot) -> &mut Node {
        &mut self.nodes[slot as usize]
    }

    /// Whether the slot still holds the node of that generation.
    #[inline]
    pub(crate) fn alive(&self, slot: Slot, generation: u32) -> bool {
        let node = self.node(slot);
        node.generation == generation && node.handles + node.consumers > 0
    }

    pub(crate) fn generation(&self, slot: Slot) -> u32 {
        self.node(slot).generation
    }

    /// Appends a node with one handle. Its operands gain a consumer.
    #[inline]
    pub(crate) fn append(
        &mut self,
        op: Op,
        inputs: Operands<Slot>,
        meta: Meta,
        grad: bool,
        place: &'static Location<'static>,
        side: Side,
    ) -> Slot {
        let mut traced = matches!(op, Op::Placeholder);
        for &input in &inputs {
            let node = &mut self.nodes[input as usize];
            node.consumers += 1;
            traced |= node.traced;
        }
        let seq = self.next_seq;
        self.next_seq += 1;
        self.live += 1;
        let mut node = Node {
            op,
            inputs,
            shape: meta.shape,
            dtype: meta.dtype,
            generation: 0,
            handles: 1,
            consumers: 0,
            seq,
            place,
            scope: self.scopes.current,
            called: self.calling,
            grad,
            traced,
            consumed: None,
            value: None,
            side,
            mark: 0,
            local: 0,
        };
        if let Some(slot) = self.free.pop() {
            let old = &mut self.nodes[slot as usize];
            node.generation = old.generation;
            *old = node;
            slot
        } else {
            self.nodes.push(node);
            (self.nodes.len() - 1) as Slot
        }
    }

    #[inline]
    pub(crate) fn handle(&self, slot: Slot) -> Tensor {
        Tensor::from_parts(slot, self.node(slot).generation)
    }

    /// Gives up one handle.
    #[inline]
    pub(super) fn drop_handle(&mut self, slot: Slot, generation: u32) {
        let node = &mut self.nodes[slot as usize];
        if node.generation != generation {
            return;
        }
        node.handles -= 1;
        if node.handles == 0 && node.consumers == 0 {
            self.free_node(slot);
        }
    }

    /// Gives up one reference of a consumer.
    #[inline]
    pub(crate) fn drop_consumer(&mut self, slot: Slot) {
        let node = &mut self.nodes[slot as usize];
        node.consumers -= 1;
        if node.handles == 0 && node.consumers == 0 {
            self.free_node(slot);
        }
    }

    /// Frees a node and, without recursion, all that only it needed.
    fn free_node(&mut self, slot: Slot) {
        let mut stack = std::mem::take(&mut self.release);
        stack.push(slot);
        while let Some(slot) = stack.pop() {
            let node = &mut self.nodes[slot as usize];
            node.generation = node.generation.wrapping_add(1);
            node.value = None;
            if let Side::Param(snapshot) = std::mem::replace(&mut node.side, Side::None) {
                self.forget_leaf(slot, &snapshot);
            }
            let node = &mut self.nodes[slot as usize];
            node.side = Side::None;
            if matches!(node.op, Op::Custom(_)) {
                node.op = Op::Leaf;
            }
            let inputs = std::mem::take(&mut node.inputs);
            for &input in &inputs {
                let node = &mut self.nodes[input as usize];
                node.consumers -= 1;
                if node.handles == 0 && node.consumers == 0 {
                    stack.push(input);
                }
            }
            self.keep_list(inputs);
            self.free.push(slot);
            self.live -= 1;
        }
        self.release = stack;
        if self.live == 0 {
            self.scopes.clear_if_many();
        }
    }

    /// Makes a node with a value forget how it was made.
    pub(crate) fn cut_history(&mut self, slot: Slot) {
        let node = self.node_mut(slot);
        let inputs = std::mem::take(&mut node.inputs);
        // Messages still say where it is from.
        if !matches!(node.op, Op::Leaf) {
            node.called = Some(node.name());
        }
        node.op = Op::Leaf;
        for &input in &inputs {
            self.drop_consumer(input);
        }
        self.keep_list(inputs);
    }

    /// Whether a node's history serves nobody any more: it has no gradients, or the request that
    /// used it up is gone.
    pub(crate) fn history_is_spent(&self, slot: Slot) -> bool {
        let node = self.node(slot);
        match node.consumed {
            Some(Consumed { by: (grad, generation), .. }) => !self.alive(grad, generation),
            None => !node.grad,
        }
    }

    /// Marks nodes as used up by the gradient request that these picks belong to.
    pub(crate) fn consume(
        &mut self,
        nodes: &[Slot],
        picks: &[Slot],
        place: &'static Location<'static>,
    ) {
        let Some(&grad) = picks.first().and_then(|&p| self.node(p).inputs.first()) else { return };
        let by = (grad, self.generation(grad));
        for &node in nodes {
            self.node_mut(node).consumed = Some(Consumed { place, by });
        }
    }

    /// A node that carries an error; remembered as the first one nobody was told of.
    pub(crate) fn fail(&mut self, error: Error, place: &'static Location<'static>) -> Slot {
        if self.first_error.is_none() {
            self.first_error = Some(error.clone());
        }
        self.failed(error, place)
    }

    fn failed(&mut self, error: Error, place: &'static Location<'static>) -> Slot {
        let meta = Meta { shape: Shape::SCALAR, dtype: DType::F32 };
        self.append(Op::Failed, Operands::new(), meta, false, place, Side::Error(error))
    }

    /// Takes the first error that was not reported yet.
    pub(crate) fn take_error(&mut self) -> Option<Error> {
        self.first_error.take()
    }

    /// The first error that was not reported yet, with another in its place.
    pub(crate) fn swap_error(&mut self, other: Option<Error>) -> Option<Error> {
        std::mem::replace(&mut self.first_error, other)
    }

    /// Marks an error as told to the user.
    pub(crate) fn reported(&mut self, error: &Error) {
        if self.first_error.as_ref() == Some(error) {
            self.first_error = None;
        }
    }

    /// Records an operation on live operands.
    #[inline]
    pub(crate) fn record(
        &mut self,
        op: Op,
        inputs: Operands<Slot>,
        given: Option<Shape>,
        side: Side,
        place: &'static Location<'static>,
    ) -> Slot {
        let mut metas = std::mem::take(&mut self.metas);
        metas.clear();
        let mut grad = false;
        for &input in &inputs {
            let node = self.node(input);
            if let Op::Failed = node.op
                && let Side::Error(error) = &node.side
            {
                let error = error.clone();
                return self.failed(error, place);
            }
            grad |= node.grad;
            metas.push(Meta { shape: node.shape, dtype: node.dtype });
        }
        let meta = infer(&op, &metas, given);
        self.metas = metas;
        match meta {
            Ok(meta) => {
                let grad =
                    grad && self.mode.grad && meta.dtype.is_real() && !matches!(op, Op::Detach);
                let slot = self.append(op, inputs, meta, grad, place, side);
                self.push_pending(slot);
                if self.pending.len() >= self.tidy_at {
                    self.tidy_pending(true);
                }
                slot
            }
            Err(error) => {
                let error = self.explain(&op, &inputs, error.called(self.calling), place);
                self.fail(error, place)
            }
        }
    }

    /// Records a node without operands that is not a leaf (random numbers, an index).
    pub(crate) fn record_source(
        &mut self,
        op: Op,
        meta: Meta,
        side: Side,
        place: &'static Location<'static>,
    ) -> Slot {
        let slot = self.append(op, Operands::new(), meta, false, place, side);
        self.push_pending(slot);
        slot
    }

    /// A new node may have to run with the next step.
    #[inline]
    pub(crate) fn push_pending(&mut self, slot: Slot) {
        let node = self.node(slot);
        if !node.traced {
            let generation = node.generation;
            self.pending.push((slot, generation));
        }
    }

    /// Forgets nodes that are gone or done; always, or only when the list has grown long.
    pub(crate) fn tidy_pending(&mut self, always: bool) {
        if !always && self.pending.len() < self.tidy_at {
            return;
        }
        let mut pending = std::mem::take(&mut self.pending);
        pending.retain(|&(slot, generation)| {
            self.alive(slot, generation) && self.node(slot).value.is_none()
        });
        self.tidy_at = 64 + 2 * pending.len();
        self.pending = pending;
    }

    /// Makes a live node a failed one (its operation could not be run).
    pub(crate) fn turn_failed(&mut self, slot: Slot, error: Error) {
        self.cut_history(slot);
        if self.first_error.is_none() {
            self.first_error = Some(error.clone());
        }
        let node = self.node_mut(slot);
        node.op = Op::Failed;
        node.grad = false;
        node.side = Side::Error(error);
    }
}

/// A new handle on the same node.
pub(crate) fn clone_handle(slot: Slot, generation: u32) {
    with(|r| {
        if r.node(slot).generation == generation {
            r.node_mut(slot).handles += 1;
        }
    });
}

/// A handle goes away; harmless while the thread ends.
#[inline]
pub(crate) fn drop_handle(slot: Slot, generation: u32) {
    let _ = RECORDER.try_with(|cell| {
        if let Ok(mut r) = cell.try_borrow_mut() {
            r.drop_handle(slot, generation);
        }
    });
}

/// Records an operation and hands out its tensor; in eager mode it runs at once.
#[inline]
pub(crate) fn record(
    op: Op,
    inputs: &[&Tensor],
    given: Option<Shape>,
    side: Side,
    place: &'static Location<'static>,
) -> Tensor {
    let (tensor, eager) = with(|r| {
        let long = inputs.len() > Operands::<Slot>::new().inline_size();
        let mut slots = if long { r.spare_lists.pop() } else { None }.unwrap_or_default();
        slots.extend(inputs.iter().map(|t| t.slot()));
        let slot = r.record(op, slots, given, side, place);
        (r.handle(slot), super::flush::runs_eagerly(r, slot))
    });
    if eager {
        // An error turns the node into a failed one, like an error of the rule.
        super::flush::run_eagerly(&tensor);
    }
    tensor
}

/// A leaf with a value.
pub(crate) fn leaf(value: Array, grad: bool, place: &'static Location<'static>) -> Tensor {
    with(|r| {
        let meta = Meta { shape: value.shape(), dtype: value.dtype() };
        let slot = r.append(Op::Leaf, Operands::new(), meta, grad, place, Side::None);
        r.node_mut(slot).value = Some(value);
        r.handle(slot)
    })
}

/// A tensor in error state.
pub(crate) fn failed(error: Error, place: &'static Location<'static>) -> Tensor {
    with(|r| {
        let error = r.locate(error.called(r.calling), r.scopes.current, place);
        let slot = r.fail(error, place);
        r.handle(slot)
    })
}

pub(crate) fn enter_scope(tag: &Tag, place: &'static Location<'static>) -> ScopeId {
    with(|r| r.scopes.enter(tag, place))
}

pub(crate) fn leave_scope(parent: ScopeId) {
    let _ = RECORDER.try_with(|cell| {
        if let Ok(mut r) = cell.try_borrow_mut() {
            r.scopes.current = parent;
        }
    });
}

/// The error a tensor carries, if it failed.
pub(crate) fn error_of(tensor: &Tensor) -> Option<Error> {
    with(|r| {
        let node = r.node(tensor.slot());
        match (&node.op, &node.side) {
            (Op::Failed, Side::Error(error)) => {
                let error = error.clone();
                r.reported(&error);
                Some(error)
            }
            _ => None,
        }
    })
}

/// Shape and type of a tensor.
pub(crate) fn meta(tensor: &Tensor) -> Result<Meta> {
    if let Some(error) = error_of(tensor) {
        return Err(error);
    }
    Ok(peek(tensor))
}

/// Shape and type without looking for an error (failed tensors are f32 scalars).
#[inline]
pub(crate) fn peek(tensor: &Tensor) -> Meta {
    with(|r| {
        let node = r.node(tensor.slot());
        Meta { shape: node.shape, dtype: node.dtype }
    })
}

/// Whether two tensors have one element type, so that nothing needs promotion.
#[inline]
pub(crate) fn same_type(a: &Tensor, b: &Tensor) -> bool {
    with(|r| r.node(a.slot()).dtype == r.node(b.slot()).dtype)
}

/// How many nodes are alive in this thread; for tests of leaks.
#[doc(hidden)]
pub fn live_nodes() -> usize {
    with(|r| r.live)
}

/// Handles on everything that is recorded and has not run; for tests of observation.
#[doc(hidden)]
pub fn pending_tensors() -> Vec<Tensor> {
    with(|r| {
        let pending = r.pending.clone();
        let mut out = Vec::new();
        for (slot, generation) in pending {
            if r.alive(slot, generation) && r.node(slot).value.is_none() {
                r.node_mut(slot).handles += 1;
                out.push(r.handle(slot));
            }
        }
        out
    })
}
