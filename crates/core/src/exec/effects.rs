//! What happens after a run has succeeded: updates and assignments. Nothing here can fail but by a
//! bug, which is reported as such.

use std::sync::Arc;

use gradus_kernels::copy;
use gradus_kernels::memory::{Mem, Storage, Ty};
use smallvec::SmallVec;

use gradus_kernels::update::{Adam, Ready, Rule as KernelRule, Sgd, UpdateTensor, update};

use super::beside::{Grad, Leaves, products};
use super::profile::Clock;
use super::{Bindings, Run};
use crate::array::Array;
use crate::backend::{Effect, Loc};
use crate::error::{Error, Result};
use crate::graph::shape::Shape;
use crate::ops::Rule;
use crate::ops::update::UpdateCall;
use crate::param::Cell;

/// Applies the effects. With `kept`, the deferred steps have not run, and these are their leaves.
pub(super) fn apply(
    run: &Run<'_>,
    bindings: &Bindings,
    kept: Option<&Leaves>,
    clock: &mut Clock,
) -> Result<()> {
    clock.skip();
    for (at, effect) in run.plan.effects.iter().enumerate() {
        match effect {
            Effect::Update { call, rule, grads } => {
                let call = bindings.calls.get(*call as usize);
                let call = call.ok_or_else(|| Error::internal("an update without its call"))?;
                let mine = run.plan.deferred.as_ref().is_some_and(|d| d.effect == at);
                group(run, *rule, call, grads, kept.filter(|_| mine), clock)?;
            }
            Effect::Assign { target, value, shape } => {
                let target = bindings.targets.get(*target as usize);
                let target = target.ok_or_else(|| Error::internal("an assignment to nothing"))?;
                assign(run, target, value, *shape)?;
            }
        }
        clock.lap(run.plan.steps.len() + at);
    }
    Ok(())
}

/// The kernels' rule with this step's numbers.
pub(super) fn with_numbers(rule: Rule, numbers: &[f64]) -> KernelRule {
    let n = |i: usize| numbers.get(i).copied().unwrap_or(0.0);
    match rule {
        Rule::Sgd { momentum, nesterov, maximize } => KernelRule::Sgd(Sgd {
            lr: n(0),
            momentum: if momentum { n(1) } else { 0.0 },
            dampening: n(2),
            weight_decay: n(3),
            nesterov,
            maximize,
            first_step: n(4) != 0.0,
        }),
        Rule::Adam { decoupled, amsgrad, maximize } => KernelRule::Adam(Adam {
            lr: n(0),
            beta1: n(1),
            beta2: n(2),
            eps: n(3),
            weight_decay: n(4),
            decoupled,
            amsgrad,
            maximize,
            step: n(5) as u64,
        }),
        Rule::Pointwise(kind) => KernelRule::Pointwise(kind, std::array::from_fn(n)),
    }
}

fn group(
    run: &Run<'_>,
    rule: Rule,
    call: &UpdateCall,
    grads: &[Loc],
    kept: Option<&Leaves>,
    clock: &mut Clock,
) -> Result<()> {
    let kernel = with_numbers(rule, &call.numbers);
    let ty = grads.first().map_or(Ty::F32, |g| g.dtype.ty());
    let ready = Ready::new(&kernel, ty);
    let one = |at: usize, g: Grad<'_>| {
        let group = call.group.as_ref();
        let member = call.members.get(at).map_or(usize::MAX, |&m| m as usize);
        let param = group.and_then(|g| g.params.get(member));
        let states = group.and_then(|g| g.states.get(member));
        let (Some(param), Some(states)) = (param, states) else {
            return Err(Error::internal("an update of an unknown parameter"));
        };
        parameter(&kernel, &ready, param, states, g)
    };
    let deferred = run.plan.deferred.as_ref().filter(|_| kept.is_some());
    if let (Some(kept), Some(deferred)) = (kept, deferred) {
        // In the order of their steps: a gradient that goes to memory after all may lie where operands of
        // an earlier one were.
        for (step, (at, g)) in (deferred.from..).zip(products(run.plan)) {
            let g = Grad::of(run, kept, g);
            one(at, g.ok_or_else(|| Error::internal("an operand of a gradient is gone"))?)?;
            clock.lap(step);
        }
    }
    for (at, grad) in grads.iter().enumerate() {
        if !deferred.is_some_and(|d| d.grads.contains(&at)) {
            let g = run.mem(grad).map_err(|e| Error::internal(format!("gradient: {e:?}")))?;
            one(at, Grad::Ready(g))?;
        }
    }
    Ok(())
}

/// Updates one parameter and its state: in place where nobody else holds the array.
fn parameter(
    rule: &KernelRule,
    ready: &Ready<'_>,
    param: &Cell,
    states: &[Arc<Cell>],
    g: Grad<'_>,
) -> Result<()> {
    let lost = || Error::internal("a parameter has no value");
    let mut slot = param.lock();
    let mut guards: SmallVec<[_; 3]> = SmallVec::new();
    for cell in states {
        guards.push(cell.lock());
    }
    let alone = |a: &Option<Array>| a.as_ref().is_some_and(|a| a.storage().is_unique());
    if alone(&slot) && guards.iter().all(|guard| alone(guard)) {
        // Where it is: the usual case.
        let mut own = [const { None }; 3];
        for (own, guard) in own.iter_mut().zip(&mut guards) {
            *own = guard.as_mut().map(Array::storage_mut);
        }
        let p = slot.as_mut().map(Array::storage_mut).ok_or_else(lost)?;
        let done = match &g {
            Grad::Ready(g) => ready.in_place(p, own, *g),
            Grad::Product(g, _) => ready.by_product(p, own, g),
        };
        states.iter().for_each(|cell| cell.bump());
        param.bump();
        return done.map_err(|e| Error::internal(format!("update: {e:?}")));
    }
    let g = g.computed().map_err(|e| Error::internal(format!("gradient: {e:?}")))?;
    let mut p = slot.take().ok_or_else(lost)?;
    let mut taken: [Option<Array>; 3] = [None, None, None];
    // Held until the new state is in place, so that nobody sees a cell without its value.
    for (t, guard) in taken.iter_mut().zip(&mut guards) {
        *t = guard.take();
    }
    let mut fresh_p = spare(&p);
    let mut fresh: [Option<Storage>; 3] = [const { None }; 3];
    for (f, t) in fresh.iter_mut().zip(&taken) {
        *f = t.as_ref().and_then(spare);
    }
    let done = {
        let (p_src, p_dst) = ends(&mut p, &mut fresh_p).ok_or_else(lost)?;
        let mut pairs = [None; 3];
        for ((pair, t), f) in pairs.iter_mut().zip(&mut taken).zip(&mut fresh) {
            *pair = t.as_mut().and_then(|t| ends(t, f));
        }
        update(rule, &[UpdateTensor { p_src, p_dst, g, states: pairs }])
    };
    for (((t, f), guard), cell) in taken.into_iter().zip(fresh).zip(&mut guards).zip(states) {
        if let Some(t) = t {
            **guard = Some(replaced(t, f));
            cell.bump();
        }
    }
    *slot = Some(replaced(p, fresh_p));
    param.bump();
    done.map_err(|e| Error::internal(format!("update: {e:?}")))
}

/// Memory for the new value, if the old one is shared.
fn spare(a: &Array) -> Option<Storage> {
    (!a.storage().is_unique()).then(|| Storage::any(a.dtype().ty(), a.numel()))
}

/// Where to read the old value and write the new one.
fn ends<'a>(a: &'a mut Array, fresh: &'a mut Option<Storage>) -> Option<(Mem<'a>, Mem<'a>)> {
    match fresh {
        Some(fresh) => Some((a.storage().read(), fresh.write()?)),
        None => {
            let both = a.storage_mut().write()?;
            Some((both, both))
        }
    }
}

fn replaced(old: Array, fresh: Option<Storage>) -> Array {
    match fresh {
        Some(storage) => Array::from_storage(storage, old.shape(), old.dtype()),
        None => old,
    }
}

fn assign(run: &Run<'_>, target: &Cell, value: &Loc, shape: Shape) -> Result<()> {
    let fail = |e| Error::internal(format!("assign: {e:?}"));
    let from = run.mem(value).map_err(fail)?;
    let mut storage = Storage::any(value.dtype.ty(), shape.numel());
    let to = storage.write().ok_or_else(|| Error::internal("assign: shared memory"))?;
    let strides = shape.strides();
    copy::to_contiguous(shape.dims(), from, 0, &strides[..shape.rank()], to).map_err(fail)?;
    *target.lock() = Some(Array::from_storage(storage, shape, value.dtype));
    target.bump();
    Ok(())
}
