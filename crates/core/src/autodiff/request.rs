//! Recording a request for gradients: what a loss depends on, the nodes that stand for its gradients,
//! and the errors of a loss that has none. Nothing is differentiated here.

use std::panic::Location;
use std::sync::Arc;

use smallvec::{SmallVec, smallvec};

use crate::error::{self, Code, Error, Result};
use crate::gradients::{Gradients, Key};
use crate::graph::dtype::DType;
use crate::graph::recorder::{self, Node, Recorder, Side, Slot};
use crate::graph::shape::Shape;
use crate::ops::update::UpdateGroup;
use crate::ops::{self, Meta, Op};
use crate::tensor::Tensor;

/// What a loss depends on. Its vectors are kept by the recorder from step to step.
#[derive(Default)]
pub(crate) struct Reached {
    /// Leaves that gradients reach: parameters and `with_grad` leaves.
    leaves: Vec<Slot>,
    /// Nodes with a history that gradients flow through.
    inner: Vec<Slot>,
    stack: Vec<Slot>,
    /// The leaves to differentiate for, and which group and member each is.
    targets: Vec<Slot>,
    found: Vec<(u32, u32)>,
    picks: Vec<Slot>,
}

impl Reached {
    pub(crate) const fn new() -> Reached {
        Reached {
            leaves: Vec::new(),
            inner: Vec::new(),
            stack: Vec::new(),
            targets: Vec::new(),
            found: Vec::new(),
            picks: Vec::new(),
        }
    }

    fn clear(&mut self) {
        self.leaves.clear();
        self.inner.clear();
        self.stack.clear();
        self.targets.clear();
        self.found.clear();
        self.picks.clear();
    }
}

/// Runs `f` with the recorder's vectors for a walk.
fn with_reached<R>(r: &mut Recorder, f: impl FnOnce(&mut Recorder, &mut Reached) -> R) -> R {
    let mut reached = std::mem::take(&mut r.reached);
    reached.clear();
    let result = f(r, &mut reached);
    r.reached = reached;
    result
}

/// Walks from `loss` over everything gradients flow through.
fn reach(r: &mut Recorder, loss: Slot, reached: &mut Reached) -> Result<()> {
    r.mark = r.mark.wrapping_add(1);
    let mark = r.mark;
    let Reached { leaves, inner, stack, .. } = reached;
    let visit = |r: &mut Recorder, slot: Slot, i: usize, stack: &mut Vec<Slot>| {
        let input = r.node(slot).inputs[i];
        let child = r.node_mut(input);
        if child.mark != mark {
            child.mark = mark;
            stack.push(input);
        }
    };
    stack.push(loss);
    r.node_mut(loss).mark = mark;
    // Rules of the user's that were passed, and whether gradients of gradients are asked for: then
    // what the rules compute with is reached too.
    let mut rules = SmallVec::<[Slot; 4]>::new();
    let mut again = false;
    loop {
        let Some(slot) = stack.pop() else {
            let Some(rule) = rules.pop().filter(|_| again) else { break };
            for i in r.node(rule).flow().end..r.node(rule).inputs.len() {
                visit(r, rule, i, stack);
            }
            continue;
        };
        let node = r.node(slot);
        if !node.grad || matches!(node.op, Op::Placeholder) {
            continue;
        }
        again |= matches!(node.op, Op::Grad { .. });
        if matches!(node.op, Op::CustomGrad) {
            rules.push(slot);
        }
        if node.inputs.is_empty() {
            match node.consumed {
                Some(by) => return Err(used_twice(r, slot, by.place)),
                None => leaves.push(slot),
            }
            continue;
        }
        if let Some(by) = node.consumed {
            return Err(used_twice(r, slot, by.place));
        }
        if let Op::Custom(op) = &node.op {
            let missing =
                (0..node.inputs.len()).any(|i| r.node(node.inputs[i]).grad && op.vjp(i).is_none());
            if missing {
                let error = Error::new(
                    Code::Gradient,
                    format!("the custom operation `{}` has no gradient", op.name()),
                )
                .help("implement `CustomOp::vjp`, or `detach()` its inputs");
                return Err(r.locate(error, node.scope, node.place));
            }
        }
        inner.push(slot);
        for i in r.node(slot).flow() {
            visit(r, slot, i, stack);
        }
    }
    // The walk's order depends on the stack; recording order is what users expect.
    leaves.sort_unstable_by_key(|&s| r.node(s).seq);
    Ok(())
}

#[cold]
fn used_twice(r: &Recorder, slot: Slot, by: &'static Location<'static>) -> Error {
    let node = r.node(slot);
    let first = r.user_line(by, 0).map_or_else(|| "an optimizer step".to_string(), error::place);
    let error =
        Error::new(Code::History, format!("the history of `{}` was already used", name_of(node)));
    let error = error.line("first", first);
    r.locate(error, node.scope, node.place).help(
        "add the losses before one `backward` or `step`, or `detach()` what should count as data",
    )
}

fn name_of(node: &Node) -> &'static str {
    if let Op::Leaf = node.op { "an earlier result" } else { node.name() }
}

/// Why no gradient reaches anything: names the operations that cut it.
#[cold]
fn unreachable(r: &mut Recorder, loss: Slot, what: &str) -> Error {
    let mut error = Error::new(Code::Gradient, format!("the loss does not depend on {what}"));
    r.mark = r.mark.wrapping_add(1);
    let mark = r.mark;
    let mut stack = vec![loss];
    let mut cuts = 0;
    while let Some(slot) = stack.pop() {
        if r.node(slot).mark == mark {
            continue;
        }
        r.node_mut(slot).mark = mark;
        let node = r.node(slot);
        let feeds_on_grad = node.inputs.iter().any(|&i| r.node(i).grad);
        if !node.grad && feeds_on_grad && cuts < 3 {
            cuts += 1;
            let line = r.user_line(node.place, node.scope).map(error::place).unwrap_or_default();
            error =
                error.line("cut by", format!("`{}`, which has no gradient, {line}", node.name()));
        }
        stack.extend(node.flow().map(|i| node.inputs[i]));
    }
    let help = match r.node(loss).grad || cuts > 0 {
        true => "gradients do not flow through comparisons, argmax, casts to integers or detach",
        false => "was it computed under `no_grad` or `predict`, or from data only?",
    };
    error.help(help)
}

fn scalar_loss(r: &Recorder, loss: Slot, at: &'static Location<'static>) -> Result<()> {
    let node = r.node(loss);
    if let Side::Error(error) = &node.side {
        return Err(error.clone());
    }
    if node.shape.numel() != 1 {
        let error = Error::new(
            Code::Gradient,
            format!("a gradient needs a single number, not {:?}", node.shape),
        );
        return Err(r
            .locate(error, 0, at)
            .help("reduce the loss first (`mean()`, `sum()`), or use `vjp` with a cotangent"));
    }
    Ok(())
}

/// Records the gradient of `loss` for `targets`, as one node and one pick a target.
fn record_grad(
    r: &mut Recorder,
    loss: Slot,
    seed: Option<Slot>,
    targets: &[Slot],
    picks: &mut Vec<Slot>,
    place: &'static Location<'static>,
) {
    let mut inputs = r.spare_operands();
    inputs.push(loss);
    inputs.extend(seed);
    inputs.extend(targets.iter().copied());
    let meta = Meta { shape: Shape::SCALAR, dtype: DType::F32 };
    let op = Op::Grad { seeded: seed.is_some() };
    let grad = r.node(loss).grad && r.mode.grad;
    let parent = r.append(op, inputs, meta, grad, place, Side::None);
    for (i, &target) in targets.iter().enumerate() {
        let node = r.node(target);
        let meta = Meta { shape: node.shape, dtype: node.dtype };
        let op = Op::Pick(i as u32);
        let pick = r.append(op, smallvec![parent], meta, grad, place, Side::None);
        r.push_pending(pick);
        picks.push(pick);
    }
    // The picks keep their parent alive.
    let node = r.node_mut(parent);
    node.handles = 0;
}

pub(crate) fn backward(
    loss: &Tensor,
    seed: Option<&Tensor>,
    place: &'static Location<'static>,
) -> Result<Gradients> {
    let mut entries = Gradients::list();
    recorder::with(|r| {
        take_error(r, loss)?;
        let slot = loss.slot();
        scalar_loss(r, slot, place)?;
        with_reached(r, |r, reached| {
            reach(r, slot, reached)?;
            let Reached { leaves, inner, picks, .. } = reached;
            if leaves.is_empty() {
                let error = unreachable(r, slot, "any parameter");
                return Err(r.locate(error, 0, place));
            }
            // Gradient nodes must not look consumed themselves, so they are recorded first.
            record_grad(r, slot, seed.map(Tensor::slot), leaves, picks, place);
            r.consume(inner, picks, place);
            // What was consumed here cannot be differentiated again, so neither can its gradients.
            r.stop_grad(picks);
            let key = |r: &Recorder, leaf: Slot| match &r.node(leaf).side {
                Side::Param(p) => Key::Param(p.cell.id()),
                _ => Key::Leaf(leaf, r.generation(leaf)),
            };
            let pairs = leaves.iter().zip(picks.iter());
            entries.extend(pairs.map(|(&leaf, &pick)| (key(r, leaf), r.handle(pick))));
            Ok(())
        })
    })?;
    Ok(Gradients::merged(entries))
}

/// Records gradient and update of every group's parameters that `loss` reaches; the result lists
/// the ids of those that it does not.
pub(crate) fn record_step(
    loss: &Tensor,
    groups: &[(&Arc<UpdateGroup>, &[f64])],
    place: &'static Location<'static>,
) -> Result<Vec<u64>> {
    recorder::with(|r| {
        take_error(r, loss)?;
        let slot = loss.slot();
        scalar_loss(r, slot, place)?;
        r.known(slot)?;
        with_reached(r, |r, reached| {
            reach(r, slot, reached)?;
            record_updates(r, slot, reached, groups, place)
        })
    })
}

fn record_updates(
    r: &mut Recorder,
    loss: Slot,
    reached: &mut Reached,
    groups: &[(&Arc<UpdateGroup>, &[f64])],
    place: &'static Location<'static>,
) -> Result<Vec<u64>> {
    let Reached { inner, targets, found, picks, .. } = reached;
    let mut untouched = Vec::new();
    let mark = r.mark;
    for (g, (group, numbers)) in groups.iter().enumerate() {
        if numbers.len() != group.rule.numbers() {
            return Err(Error::internal("an update with the wrong count of numbers"));
        }
        for (i, cell) in group.params.iter().enumerate() {
            let before = targets.len();
            for leaf in r.param_leaves(cell.id()) {
                let node = r.node(leaf);
                if node.mark == mark && node.grad {
                    targets.push(leaf);
                    found.push((g as u32, i as u32));
                }
            }
            if targets.len() == before {
                untouched.push(cell.id());
            }
        }
    }
    if targets.is_empty() {
        let error = unreachable(r, loss, "any parameter of the optimizer");
        return Err(r.locate(error, 0, place));
    }
    record_grad(r, loss, None, targets, picks, place);
    r.consume(inner, picks, place);
    r.stop_grad(picks);
    for (g, (group, numbers)) in groups.iter().enumerate() {
        let mut call = r.spare_call(group, numbers);
        let mut inputs = r.spare_operands();
        let Some(members) = Arc::get_mut(&mut call).map(|c| &mut c.members) else {
            return Err(Error::internal("an update call is shared"));
        };
        for (&(of, i), &pick) in found.iter().zip(picks.iter()) {
            if of != g as u32 {
                continue;
            }
            // A parameter recorded under two values: its gradient is the sum.
            if members.last() == Some(&i)
                && let Some(last) = inputs.last_mut()
            {
                let op = Op::Binary(ops::Binary::Add);
                *last = r.record(op, smallvec![*last, pick], None, Side::None, place);
                continue;
            }
            members.push(i);
            inputs.push(pick);
        }
        if !inputs.is_empty() {
            r.record_update(call, inputs, place);
        }
    }
    for &pick in picks.iter() {
        r.drop_own_handle(pick);
    }
    Ok(untouched)
}

/// The first unreported recording error belongs to whoever asks next.
fn take_error(r: &mut Recorder, t: &Tensor) -> Result<()> {
    if let Side::Error(error) = &r.node(t.slot()).side {
        let error = error.clone();
        r.reported(&error);
        return Err(error);
    }
    match r.take_error() {
        Some(error) => Err(error),
        None => Ok(()),
    }
}

/// The gradients of `y` for `xs`; an `x` that plays no part is an error.
pub(crate) fn grad(
    y: &Tensor,
    xs: &[&Tensor],
    cotangent: Option<&Tensor>,
    place: &'static Location<'static>,
) -> Result<Vec<Tensor>> {
    let found = grad_or_none(y, xs, cotangent, place)?;
    found
        .into_iter()
        .zip(xs)
        .map(|(g, x)| {
            g.ok_or_else(|| {
                recorder::with(|r| {
                    let error = unreachable(r, y.slot(), "this tensor");
                    let error = error.cells("tensor", r.describe(x.slot()));
                    r.locate(error, 0, place).help("make it with `with_grad()` before using it")
                })
            })
        })
        .collect()
}

/// [`grad`], with `None` for an `x` that plays no part.
pub(crate) fn grad_or_none(
    y: &Tensor,
    xs: &[&Tensor],
    cotangent: Option<&Tensor>,
    place: &'static Location<'static>,
) -> Result<Vec<Option<Tensor>>> {
    if xs.is_empty() {
        return Ok(Vec::new());
    }
    for t in xs.iter().copied().chain(cotangent) {
        if let Some(error) = recorder::error_of(t) {
            return Err(error);
        }
    }
    recorder::with(|r| {
        take_error(r, y)?;
        let slot = y.slot();
        match cotangent {
            None => scalar_loss(r, slot, place)?,
            Some(c) => {
                let (want, have) = (r.node(slot).shape, r.node(c.slot()).shape);
                if want != have || r.node(slot).dtype != r.node(c.slot()).dtype {
                    let text = format!("vjp: the cotangent is {have}, the result {want}");
                    return Err(r.locate(Error::new(Code::Shape, text), 0, place));
                }
            }
        }
        with_reached(r, |r, reached| reach(r, slot, reached))?;
        let mark = r.mark;
        let reached = |r: &Recorder, x: &Tensor| {
            let node = r.node(x.slot());
            node.mark == mark && node.grad
        };
        let found: SmallVec<[bool; 8]> = xs.iter().map(|x| reached(r, x)).collect();
        let targets = xs.iter().zip(&found).filter(|(_, found)| **found);
        let targets: SmallVec<[Slot; 8]> = targets.map(|(x, _)| x.slot()).collect();
        let mut picks = Vec::new();
        if !targets.is_empty() {
            record_grad(r, slot, cotangent.map(Tensor::slot), &targets, &mut picks, place);
        }
        let mut picks = picks.into_iter();
        let pick = |found: &bool| if *found { picks.next().map(|p| r.handle(p)) } else { None };
        Ok(found.iter().map(pick).collect())
    })
}
