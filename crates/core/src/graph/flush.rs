//! From what is recorded to a run, and back: collect what is needed, find or make its plan, bind
//! the run-time values, run, and put values and history in order.
//!
//! The rules of time live here: a read runs only the ancestors of what is read (and what is to be
//! assigned from them, so that it can forget them; the write waits for its step); a step runs
//! everything that is alive and pending; a failed step leaves everything as it was.

use std::sync::{Arc, OnceLock};

use gradus_kernels::memory::KernelError;

use super::recorder::{self, Mode, Recorder, Side, Slot};
use crate::array::Array;
use crate::capture::Seen;
use crate::error::{Code, Error, Result};
use crate::exec::{self, Bindings, Fault, check, replay};
use crate::ops::Op;
use crate::param::Buffer;
use crate::plan::expand::Recorded;
use crate::plan::{self, Options, Plan, cache};
use crate::tensor::Tensor;

/// Vectors that are reused from flush to flush, so that a steady step does not allocate.
pub(crate) struct Scratch {
    stack: Vec<Slot>,
    roots: Vec<Slot>,
    order: Vec<(Slot, u32)>,
    words: Vec<u64>,
    bindings: Bindings,
    outputs: Vec<Array>,
}

impl Scratch {
    pub(crate) const fn new() -> Scratch {
        Scratch {
            stack: Vec::new(),
            roots: Vec::new(),
            order: Vec::new(),
            words: Vec::new(),
            bindings: Bindings::new(),
            outputs: Vec::new(),
        }
    }

    fn clear(&mut self) {
        self.stack.clear();
        self.roots.clear();
        self.order.clear();
        self.words.clear();
        self.bindings.clear();
        self.outputs.clear();
    }
}

/// What a flush is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Request {
    /// The value of one tensor.
    Read,
    /// One operation, in eager mode: its random draws count only with the next step or read.
    Eager,
    /// Everything that is pending, with all effects.
    Step,
    /// The assignments of one buffer.
    Assignments,
}

/// Whether every operation runs at once in this process (`GRADUS_EAGER=1`).
fn eager_by_environment() -> bool {
    static EAGER: OnceLock<bool> = OnceLock::new();
    *EAGER.get_or_init(|| std::env::var("GRADUS_EAGER").is_ok_and(|v| v == "1"))
}

pub(crate) fn is_eager(mode: Mode) -> bool {
    mode.eager || eager_by_environment()
}

/// Whether a new node runs at once.
#[inline]
pub(crate) fn runs_eagerly(r: &Recorder, slot: Slot) -> bool {
    let node = r.node(slot);
    is_eager(r.mode) && !node.traced && !matches!(node.op, Op::Failed)
}

/// The value of a tensor, computed if need be.
pub(crate) fn read(t: &Tensor) -> Result<Array> {
    let slot = t.slot();
    let value = recorder::with(|r| r.known(slot).map(|()| r.node(slot).value.clone()))?;
    if let Some(value) = value {
        return Ok(value);
    }
    if !beside(Some(slot)) {
        // Alone: what is to be assigned must not make a read fail.
        flush(Request::Read, |_, roots| roots.push(slot))?;
    }
    let value = recorder::with(|r| r.node(slot).value.clone());
    value.ok_or_else(|| Error::internal("a read left no value"))
}

/// Computes several tensors in one run.
pub(crate) fn read_together(tensors: &[Tensor]) -> Result<()> {
    flush(Request::Read, |_, roots| roots.extend(tensors.iter().map(Tensor::slot)))
}

/// Reads a tensor with the values to be assigned that go with it (all, without a tensor); false if
/// there are none, or something failed.
fn beside(root: Option<Slot>) -> bool {
    let values = recorder::with(|r| {
        let mut values = std::mem::take(&mut r.beside);
        values.clear();
        if !r.running {
            r.hold_assigned(root, &mut values);
        }
        values
    });
    let done = !values.is_empty()
        && flush(Request::Read, |_, roots| {
            roots.extend(root);
            roots.extend(values.iter().map(|&(slot, _)| slot));
        })
        .is_ok();
    recorder::with(|r| {
        for &(slot, generation) in &values {
            r.drop_handle(slot, generation);
        }
        r.beside = values;
    });
    done
}

/// Computes all values that wait to be assigned; the assignments still wait.
/// What fails is tried again, and told, with the step.
pub(super) fn run_assigned() -> bool {
    beside(None)
}

/// Runs an operation right after it was recorded; an error turns its tensor into a failed one.
pub(crate) fn run_eagerly(t: &Tensor) {
    let slot = t.slot();
    let result = flush(Request::Eager, |_, roots| roots.push(slot));
    if let Err(error) = result {
        recorder::with(|r| r.turn_failed(slot, error));
    }
}

/// Runs the pending assignments of a buffer.
pub(crate) fn run_assignments(buffer: &Buffer) -> Result<()> {
    let id = buffer.id();
    let any = recorder::with(|r| r.effects.iter().any(|&e| r.assigns(e, id)));
    if !any {
        return Ok(());
    }
    flush(Request::Assignments, |r, roots| {
        roots.extend(r.effects.iter().copied().filter(|&e| r.assigns(e, id)));
    })
}

/// Runs everything that is pending and alive, effects included.
///
/// # Errors
/// The first error of recording that nobody was told of, or of running; nothing has changed then.
pub fn sync() -> Result<()> {
    if let Some(error) = recorder::with(Recorder::take_error) {
        return Err(error);
    }
    flush(Request::Step, pending)
}

pub(super) fn pending(r: &Recorder, roots: &mut Vec<Slot>) {
    roots.extend(r.effects.iter().copied());
    // What is not a captured closure's own is no part of its step.
    let since = r.session.as_ref().map_or(0, |session| session.since);
    for &(slot, generation) in &r.pending {
        if r.alive(slot, generation) {
            let node = r.node(slot);
            let runs = !matches!(node.op, Op::Failed) && node.seq >= since;
            if node.handles > 0 && node.value.is_none() && runs {
                roots.push(slot);
            }
        }
    }
}

/// The plan that reading `t` would run, as text: one line a step.
///
/// # Errors
/// The error `t` carries, or one of planning.
pub fn explain(t: &Tensor) -> Result<String> {
    t.check()?;
    let slot = t.slot();
    let (found, graph, mut s, options) = recorder::with(|r| {
        r.known(slot)?;
        let mut s = std::mem::replace(&mut r.scratch, Scratch::new());
        s.clear();
        s.roots.push(slot);
        let options = options(r);
        collect(r, &mut s, Request::Read);
        let recompute = s.words.first() == Some(&1);
        let found = find_plan(&mut s, options);
        let graph = recorded(r, &s.order, recompute);
        Ok((found, graph, s, options))
    })?;
    let plan = match found {
        Some(plan) => Ok(plan),
        None => cache::make(&s.words, || plan::compile(&graph, options)),
    };
    s.clear();
    recorder::with(|r| r.scratch = s);
    Ok(plan?.explain())
}

fn options(r: &Recorder) -> Options {
    Options { fuse: !is_eager(r.mode), zones: check::enabled() }
}

/// Collects, plans, runs and commits.
pub(super) fn flush(request: Request, roots: impl FnOnce(&Recorder, &mut Vec<Slot>)) -> Result<()> {
    let prepared = recorder::with(|r| {
        if r.running && matches!(request, Request::Step | Request::Assignments) {
            return Err(Error::new(Code::Custom, "a custom operation cannot step or sync")
                .help("it runs inside a step; read tensors of its own instead"));
        }
        let mut s = std::mem::replace(&mut r.scratch, Scratch::new());
        s.clear();
        roots(r, &mut s.roots);
        if s.roots.is_empty() {
            r.scratch = s;
            return Ok(None);
        }
        let options = options(r);
        collect(r, &mut s, request);
        let recompute = s.words.first() == Some(&1);
        bind(r, &mut s);
        let found = find_plan(&mut s, options).ok_or_else(|| recorded(r, &s.order, recompute));
        let nested = std::mem::replace(&mut r.running, true);
        let watched = !nested && r.session.is_some();
        Ok(Some((found, s, nested, options, watched)))
    })?;
    let Some((found, mut s, nested, options, watched)) = prepared else { return Ok(()) };
    // The recorder is free while a plan is made and runs: custom operations may use tensors of
    // their own.
    let made = match found {
        Ok(plan) => Ok(plan),
        Err(graph) => cache::make(&s.words, || plan::compile(&graph, options)),
    };
    let made = match made {
        Ok(plan) if watched => watch(&s, request, &plan).map(|()| plan),
        made => made,
    };
    let plan = match made {
        Ok(plan) => plan,
        Err(error) => {
            return recorder::with(|r| {
                r.running = nested;
                if matches!(request, Request::Step | Request::Assignments) {
                    give_up(r, &s);
                }
                s.clear();
                r.scratch = s;
                Err(error)
            });
        }
    };
    let mut outputs = std::mem::take(&mut s.outputs);
    let mut bindings = std::mem::take(&mut s.bindings);
    let order = &s.order;
    let result = exec::run(&plan, &mut bindings, &mut outputs, |outputs| {
        recorder::with(|r| commit(r, order, &plan, outputs, request));
    });
    recorder::with(|r| r.running = nested);
    let result = result.map_err(|fault| {
        let culprit = match fault {
            Fault::NonFinite { .. } => replay::culprit(&plan, &bindings),
            _ => None,
        };
        recorder::with(|r| {
            let error = describe(r, order, &plan, fault, culprit);
            if matches!(request, Request::Step | Request::Assignments) {
                give_up(r, &s);
            }
            error
        })
    });
    recorder::with(|r| {
        r.keep_calls(bindings.calls.drain(..));
        s.outputs = outputs;
        s.bindings = bindings;
        s.clear();
        r.scratch = s;
    });
    result
}

/// Lets a captured closure's session look at a run that is about to happen.
#[cold]
fn watch(s: &Scratch, request: Request, plan: &Arc<Plan>) -> Result<()> {
    recorder::with(|r| {
        let Some(mut session) = r.session.take() else { return Ok(()) };
        let recompute = s.words.first() == Some(&1);
        let (order, words) = (&s.order[..], &s.words[..]);
        let done = session.see(r, &Seen { order, words, recompute, request, plan });
        r.session = Some(session);
        done
    })
}

/// Whether a node is given to the run as a value.
pub(crate) fn is_leaf(node: &recorder::Node, recompute: bool) -> bool {
    node.value.is_some() && !(recompute && node.grad && !node.inputs.is_empty())
}

/// What `roots` were made from, in recording order, with the history of what has gradients; their
/// numbers in that order are left in the nodes.
pub(crate) fn history(r: &mut Recorder, roots: &[Tensor]) -> Vec<(Slot, u32)> {
    let mut s = Scratch::new();
    s.roots.extend(roots.iter().map(Tensor::slot));
    walk(r, &mut s, true);
    s.order
}

/// Whether somebody wants its value after the run.
#[inline]
fn is_held(node: &recorder::Node) -> bool {
    node.handles > 0 && node.value.is_none() && !node.traced && !node.op.is_effect()
}

/// Walks from the roots to everything that has to run; in recording order, leaves included.
/// Gradients need the history of what they differentiate, even where it has a value: the result is
/// whether the history of values was followed.
fn walk(r: &mut Recorder, s: &mut Scratch, mut recompute: bool) -> bool {
    loop {
        r.mark = r.mark.wrapping_add(1);
        let mark = r.mark;
        s.order.clear();
        s.stack.clear();
        let mut again = false;
        for i in 0..s.roots.len() {
            let root = s.roots[i];
            if r.node(root).mark != mark {
                r.node_mut(root).mark = mark;
                s.stack.push(root);
            }
            while let Some(slot) = s.stack.pop() {
                s.order.push((slot, r.generation(slot)));
                let node = r.node(slot);
                if is_leaf(node, recompute) {
                    continue;
                }
                again |= matches!(node.op, Op::Grad { .. }) && !recompute;
                for k in 0..r.node(slot).inputs.len() {
                    let input = r.node(slot).inputs[k];
                    let child = r.node_mut(input);
                    if child.mark != mark {
                        child.mark = mark;
                        s.stack.push(input);
                    }
                }
            }
        }
        if !again {
            break;
        }
        recompute = true;
    }
    // Consumers were found first, so this is nearly in order, which sorting is glad of.
    s.order.reverse();
    s.order.sort_unstable_by_key(|&(slot, _)| r.node(slot).seq);
    for (i, &(slot, _)) in s.order.iter().enumerate() {
        r.node_mut(slot).local = i as u32;
    }
    recompute
}

/// Collects what has to run, and writes down its key.
fn collect(r: &mut Recorder, s: &mut Scratch, request: Request) {
    let update = |&root: &Slot| matches!(r.node(root).op, Op::Update(_));
    let recompute = request == Request::Step && s.roots.iter().any(update);
    let recompute = walk(r, s, recompute);
    // The key, and with it whether a node is a leaf, is written down at once.
    s.words.clear();
    s.words.push(u64::from(recompute));
    for &(slot, _) in &s.order {
        key_of(r, slot, recompute, &mut s.words);
    }
}

/// Writes down what the key says of a node.
#[inline]
pub(crate) fn key_of(r: &Recorder, slot: Slot, recompute: bool, words: &mut Vec<u64>) {
    let node = r.node(slot);
    let leaf = is_leaf(node, recompute);
    let held = is_held(node);
    let flags = node.dtype as u64
        | (node.shape.rank() as u64) << 8
        | u64::from(leaf) << 16
        | u64::from(held) << 17
        | u64::from(node.grad) << 18
        | if leaf { 0 } else { (node.inputs.len() as u64) << 32 };
    words.push(flags);
    words.extend(node.shape.dims().iter().map(|&d| d as u64));
    if leaf {
        return;
    }
    node.op.key(&mut |w| words.push(w));
    words.extend(node.inputs.iter().map(|&i| u64::from(r.node(i).local)));
}

/// Finishes the key of what was collected, and looks for its plan.
fn find_plan(s: &mut Scratch, options: Options) -> Option<Arc<Plan>> {
    s.words.push(u64::from(options.fuse) << 1 | u64::from(options.zones));
    cache::find(&s.words)
}

/// What was collected, as the planner takes it.
pub(crate) fn recorded(r: &Recorder, order: &[(Slot, u32)], recompute: bool) -> Vec<Recorded> {
    let one = |&(slot, _): &(Slot, u32)| {
        let node = r.node(slot);
        let leaf = is_leaf(node, recompute);
        let inputs = if leaf { &[][..] } else { node.inputs.as_slice() };
        Recorded {
            op: node.op.clone(),
            inputs: inputs.iter().map(|&i| r.node(i).local).collect(),
            shape: node.shape,
            dtype: node.dtype,
            leaf,
            held: is_held(node),
            grad: node.grad,
        }
    };
    order.iter().map(one).collect()
}

/// Gathers the values of this run, in the order in which the planner numbered them.
fn bind(r: &Recorder, s: &mut Scratch) {
    let recompute = s.words.first() == Some(&1);
    let b = &mut s.bindings;
    for &(slot, _) in &s.order {
        let node = r.node(slot);
        if is_leaf(node, recompute) {
            b.leaves.extend(node.value.clone());
            continue;
        }
        match &node.side {
            Side::Number(v) => b.numbers.push(*v),
            Side::Key(k) => b.keys.push(*k),
            Side::Update(call) => b.calls.push(Arc::clone(call)),
            Side::Buffer(cell) => b.targets.push(Arc::clone(cell)),
            _ => {}
        }
    }
}

/// After success: values for the handles, and history cut where it is used up or not wanted.
fn commit(
    r: &mut Recorder,
    order: &[(Slot, u32)],
    plan: &Plan,
    outputs: &mut Vec<Array>,
    request: Request,
) {
    for (output, value) in plan.outputs.iter().zip(outputs.drain(..)) {
        let (slot, generation) = order[output.recorded as usize];
        if r.generation(slot) == generation {
            r.node_mut(slot).value = Some(value);
        }
    }
    for &(slot, generation) in order {
        if r.generation(slot) == generation && r.node(slot).op.is_effect() {
            r.end_effect(slot);
        }
    }
    // Consumers first, so that what only they needed goes with them. Gradient requests come after
    // what they differentiate, so they are gone, or known to stay, before the histories are cut.
    for &(slot, generation) in order.iter().rev() {
        if r.generation(slot) != generation {
            continue;
        }
        let node = r.node(slot);
        if node.value.is_some() && !node.inputs.is_empty() && r.history_is_spent(slot) {
            r.cut_history(slot);
        }
    }
    if request != Request::Eager {
        r.streams.commit();
    }
    r.tidy_pending(request == Request::Step);
}

/// After a failed step (or assignment): its effects are gone, its history is there again.
fn give_up(r: &mut Recorder, s: &Scratch) {
    for &(slot, generation) in &s.order {
        if r.generation(slot) == generation && r.node(slot).op.is_effect() {
            r.end_effect(slot);
        }
    }
    // The step's own gradient request went with its effects; those of others are still alive.
    for &(slot, generation) in &s.order {
        if r.generation(slot) == generation
            && !r.node(slot).inputs.is_empty()
            && r.node(slot).consumed.is_some()
            && r.history_is_spent(slot)
        {
            r.node_mut(slot).consumed = None;
        }
    }
    r.roll_back();
}

/// The user's message for a fault.
#[cold]
fn describe(
    r: &Recorder,
    order: &[(Slot, u32)],
    plan: &Plan,
    fault: Fault,
    culprit: Option<replay::Culprit>,
) -> Error {
    let node_of = |origin: u32| {
        order.get(origin as usize).filter(|&&(s, g)| r.generation(s) == g).map(|&(s, _)| s)
    };
    let locate = |error: Error, origin: u32| match node_of(origin) {
        Some(slot) => {
            let node = r.node(slot);
            r.locate(error, node.scope, node.place)
        }
        None => error,
    };
    let name = |origin: u32| node_of(origin).map_or("plan", |slot| r.node(slot).name());
    match fault {
        Fault::Kernel { origin, error } => {
            let op = name(origin);
            let operands = |mut error: Error| {
                if let Some(slot) = node_of(origin) {
                    for (&input, label) in r.node(slot).inputs.iter().zip(["input", "index"]) {
                        error = error.cells(label, r.describe(input));
                    }
                }
                error
            };
            match error {
                KernelError::Index { position, value, size } if op == "cross_entropy" => {
                    let error = Error::new(
                        Code::Index,
                        format!("{op}: class id {value} at row {position} is not in 0..{size}"),
                    );
                    locate(operands(error), origin).help(format!(
                        "the model has {size} outputs, so class ids are 0 to {}; count the \
                         classes from 0, or give the last layer more outputs",
                        size.saturating_sub(1)
                    ))
                }
                KernelError::Index { position, value, size } => {
                    let error = Error::new(
                        Code::Index,
                        format!("{op}: index {value} at position {position} is not in 0..{size}"),
                    );
                    locate(operands(error), origin)
                }
                KernelError::DivisionByZero { position } => {
                    let error = Error::new(
                        Code::Argument,
                        format!("{op}: integer division by zero at position {position}"),
                    );
                    locate(operands(error), origin).help("`cast` to f32 for infinities instead")
                }
                KernelError::Panicked => {
                    locate(Error::internal(format!("a piece of `{op}` panicked")), origin)
                }
                other => {
                    let text = format!("`{op}`: {other:?}\n{}", plan.explain());
                    locate(Error::internal(text), origin)
                }
            }
        }
        Fault::Custom { origin, error } => locate(error, origin),
        Fault::Memory { bytes } => {
            Error::new(Code::Memory, format!("no memory for the {bytes} bytes this step needs"))
                .help("use a smaller batch")
        }
        Fault::Internal(error) => error,
        Fault::NonFinite { val } => non_finite(r, plan, val, culprit, &node_of, &locate),
    }
}

fn non_finite(
    r: &Recorder,
    plan: &Plan,
    val: u32,
    culprit: Option<replay::Culprit>,
    node_of: &dyn Fn(u32) -> Option<Slot>,
    locate: &dyn Fn(Error, u32) -> Error,
) -> Error {
    let help = "nothing was changed by this step; usual causes are a learning rate that is too \
                high, inputs that are not scaled, a logarithm or division of zero";
    let Some(found) = culprit else {
        let _ = val;
        return Error::new(Code::NonFinite, "the loss or a gradient is infinite or NaN").help(help);
    };
    let node = plan.reference.node(found.val);
    let bad = if found.bad.is_nan() { "NaN".to_string() } else { format!("{}", found.bad) };
    let slot = node_of(node.origin);
    let owner = slot.map_or("?", |s| r.node(s).name());
    let shape = format!("{:?}", node.shape);
    let at = format!("{bad} at {:?}", found.at);
    let (title, cells) = if let (Op::Leaf, Some(slot)) = (&node.op, slot) {
        match &r.node(slot).side {
            Side::Param(p) => (
                format!("parameter {} is already not finite", p.cell.name()),
                vec![shape, "parameter".to_string(), at],
            ),
            _ => ("the data is not finite".to_string(), vec![shape, "data".to_string(), at]),
        }
    } else if node.backward {
        (
            format!("the gradient of `{owner}` is the first value that is not finite"),
            vec![shape, format!("gradient of `{owner}`"), at],
        )
    } else {
        (
            format!("`{owner}` made the first value that is not finite"),
            vec![shape, format!("output of `{owner}`"), at],
        )
    };
    locate(Error::new(Code::NonFinite, title).cells("value", cells), node.origin).help(help)
}
