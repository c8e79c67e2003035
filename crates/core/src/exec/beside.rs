//! Updates whose gradients are computed beside them: the decision, and what they read.

use gradus_kernels::gemm::{Activation, Gemm, gemm};
use gradus_kernels::memory::{KernelError, Mem, Ty};
use gradus_kernels::scan;
use gradus_kernels::update::{Gradient, Ready};
use smallvec::SmallVec;

use super::{Bindings, Run, effects};
use crate::array::Array;
use crate::backend::{Bank, Effect, GemmStep, Step, Strided};
use crate::plan::Plan;

/// Leaves that the deferred steps read, with their numbers.
pub(super) type Leaves = SmallVec<[(u32, Array); 4]>;

/// Sums below this stay finite however their terms are rounded.
const SAFE: f64 = 1e38;

/// Whether the deferred steps of a run may be left out: the kernels take them, and they cannot fail.
pub(super) fn possible(run: &Run<'_>, bindings: &Bindings) -> bool {
    let Some(deferred) = &run.plan.deferred else { return false };
    let Some(Effect::Update { call, rule, .. }) = run.plan.effects.get(deferred.effect) else {
        return false;
    };
    let Some(call) = bindings.calls.get(*call as usize) else { return false };
    let kernel = effects::with_numbers(*rule, &call.numbers);
    let ready = Ready::new(&kernel, Ty::F32);
    let largest = |x: &Strided| {
        let whole = run.bank(x.bank, x.extent(), x.dtype.ty());
        let part = whole.and_then(|w| w.slice(x.offset, x.shape.numel()));
        part.map_or(f64::INFINITY, |part| f64::from(scan::largest(part)))
    };
    products(run.plan).all(|(_, g)| {
        ready.takes(g.m, g.k, g.n) && g.k as f64 * largest(&g.a) * largest(&g.b) < SAFE
    })
}

/// The deferred steps, with the number of each one's gradient.
pub(super) fn products(plan: &Plan) -> impl Iterator<Item = (usize, &GemmStep)> {
    let deferred = plan.deferred.iter();
    deferred.flat_map(|d| {
        let steps = plan.steps.get(d.from..).unwrap_or(&[]);
        d.grads.iter().copied().zip(steps.iter().filter_map(|s| match &s.step {
            Step::Gemm(g) => Some(&**g),
            _ => None,
        }))
    })
}

/// Takes the leaves that are needed after all others are given back.
pub(super) fn leaves(plan: &Plan, leaves: &[Array]) -> Leaves {
    let mut kept = Leaves::new();
    for (_, g) in products(plan) {
        for bank in [g.a.bank, g.b.bank] {
            if let Bank::Leaf(i) = bank
                && !kept.iter().any(|(have, _)| *have == i)
                && let Some(leaf) = leaves.get(i as usize)
            {
                kept.push((i, leaf.clone()));
            }
        }
    }
    kept
}

/// A gradient of an update: in memory, or to be computed.
pub(super) enum Grad<'a> {
    Ready(Mem<'a>),
    /// The product, and its place in the arena.
    Product(Gradient<'a>, Mem<'a>),
}

impl<'a> Grad<'a> {
    /// What a deferred step computes.
    pub(super) fn of(run: &Run<'a>, kept: &'a Leaves, g: &GemmStep) -> Option<Grad<'a>> {
        let operand = |x: &Strided| {
            let whole = match x.bank {
                Bank::Leaf(i) => kept.iter().find(|(have, _)| *have == i)?.1.storage().read(),
                Bank::Buffer(_) => run.bank(x.bank, x.extent(), x.dtype.ty())?,
            };
            whole.slice(x.offset, x.shape.numel())
        };
        let gradient = Gradient {
            m: g.m,
            k: g.k,
            n: g.n,
            a: operand(&g.a)?,
            a_strides: g.a_strides,
            b: operand(&g.b)?,
            b_strides: g.b_strides,
        };
        Some(Grad::Product(gradient, run.mem(&g.out).ok()?))
    }

    /// The gradient in memory.
    pub(super) fn computed(self) -> Result<Mem<'a>, KernelError> {
        let (g, c) = match self {
            Grad::Ready(g) => return Ok(g),
            Grad::Product(g, c) => (g, c),
        };
        gemm(&Gemm {
            m: g.m,
            k: g.k,
            n: g.n,
            a: g.a,
            a_strides: g.a_strides,
            b: g.b,
            b_strides: g.b_strides,
            c,
            c_stride: g.n,
            batch: 1,
            a_batch: &[],
            b_batch: &[],
            accumulate: false,
            bias: None,
            activation: Activation::None,
            watch: false,
        })?;
        Ok(c)
    }
}
