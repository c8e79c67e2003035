//! Products that only an update wants: a weight's gradient. They become the last steps, so that a run
//! may leave them out and compute each beside its update, where the gradient never is in memory.
//!
//! All effects come after the last step that can fail. So a run leaves them out only if their operands
//! are so small that no sum can overflow (`exec/beside.rs`); otherwise they are steps like all others.

use gradus_kernels::gemm::{Activation, takes};

use super::lower::Lowered;
use crate::backend::{Bank, Effect, GemmStep, Loc, Step, Strided};
use crate::ops::{Precision, Rule};

/// The steps that a run may leave out.
#[derive(Debug)]
pub(crate) struct Deferred {
    /// The first of them; all after it are.
    pub(crate) from: usize,
    /// The effect that wants them, and of each the number of its gradient there.
    pub(crate) effect: usize,
    pub(crate) grads: Vec<usize>,
}

/// Puts such steps at the end.
pub(super) fn defer(l: &mut Lowered) -> Option<Deferred> {
    let (effect, grads) = l.effects.iter().enumerate().find_map(|(i, e)| match e {
        Effect::Update { rule: Rule::Adam { .. }, grads, .. } => Some((i, grads)),
        _ => None,
    })?;
    // How often each buffer is wanted.
    let mut wanted = vec![0u32; l.buffers.len()];
    let mut want = |bank: Bank| {
        if let Bank::Buffer(b) = bank {
            wanted[b as usize] += 1;
        }
    };
    l.steps.iter().for_each(|s| s.step.reads(&mut want));
    l.outputs.iter().for_each(|o| want(o.from.bank));
    for effect in &l.effects {
        match effect {
            Effect::Update { grads, .. } => grads.iter().for_each(|g| want(g.bank)),
            Effect::Assign { value, .. } => want(value.bank),
        }
    }
    let gradient = |step: &Step| -> Option<usize> {
        let Step::Gemm(g) = step else { return None };
        let Bank::Buffer(b) = g.out.bank else { return None };
        let at = grads.iter().position(|grad: &Loc| *grad == g.out)?;
        (wanted[b as usize] == 1 && fits(g)).then_some(at)
    };
    let found: Vec<Option<usize>> = l.steps.iter().map(|s| gradient(&s.step)).collect();
    let order: Vec<usize> = found.iter().copied().flatten().collect();
    if order.is_empty() {
        return None;
    }
    let (mut first, mut last) = (Vec::with_capacity(l.steps.len()), Vec::new());
    for (step, found) in std::mem::take(&mut l.steps).into_iter().zip(found) {
        if found.is_some() { &mut last } else { &mut first }.push(step);
    }
    let from = first.len();
    first.append(&mut last);
    l.steps = first;
    Some(Deferred { from, effect, grads: order })
}

/// Whether it can be computed beside an update, and its operands are no larger than the gradient: they
/// live longer for it, and a run looks at each of their elements.
fn fits(g: &GemmStep) -> bool {
    let whole = |x: &Strided| x.extent().checked_sub(x.offset) == Some(x.shape.numel());
    g.precision == Precision::F32
        && g.batch == 1
        && g.bias.is_none()
        && g.activation == Activation::None
        && g.watch
        && takes(g.m, g.k, g.n)
        && g.out.start == 0
        && g.out.len == g.m * g.n
        && whole(&g.a)
        && whole(&g.b)
        && g.k * (g.m + g.n) <= g.out.len
}
