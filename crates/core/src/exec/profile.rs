//! What each step of each plan costs, measured while a function runs.

use std::cell::RefCell;
use std::time::Instant;

use crate::backend::{Effect, Loc, Step, Strided};
use crate::plan::Plan;

/// One step of a plan, over all its runs.
#[derive(Clone, Debug, PartialEq)]
pub struct StepCost {
    /// The plan, numbered from 0 in the order of first runs.
    pub plan: usize,
    /// The step's number in the plan; an effect (an update, an assignment) comes after the last.
    pub at: usize,
    /// The kind of step, as [`explain`](crate::explain) names it: `gemm`, `map`, ..
    pub kind: &'static str,
    /// What it reads and makes, as [`explain`](crate::explain) writes it.
    pub text: String,
    /// How often it ran.
    pub calls: u64,
    /// Wall time of all calls.
    pub seconds: f64,
    /// Multiplications and additions of one call, for products of matrices, convolutions and
    /// recurrent layers; 0 for what is bound by memory.
    pub flops: f64,
    /// Bytes of the operands and results of one call, each counted once.
    pub bytes: f64,
}

/// The costs of everything that ran.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Profile {
    /// In order of plans and steps.
    pub steps: Vec<StepCost>,
    /// Wall time of the function.
    pub seconds: f64,
    /// How many plans ran, counting each run.
    pub runs: u64,
}

impl Profile {
    /// Wall time within steps and effects; the rest is recording, looking plans up, and what else
    /// the function does.
    pub fn in_steps(&self) -> f64 {
        self.steps.iter().map(|s| s.seconds).sum()
    }
}

#[derive(Default)]
struct Collector {
    /// Numbers of plans, in the order of their first runs, and where their rows begin.
    plans: Vec<(u64, usize)>,
    profile: Profile,
}

thread_local! {
    static COLLECTOR: RefCell<Option<Collector>> = const { RefCell::new(None) };
}

/// Runs `f` and measures every step of every plan that this thread runs meanwhile.
///
/// The clock is read after each step, which takes some 30 ns. An inner call takes what happens in it away
/// from the outer one.
///
/// ```
/// use gradus_core::{Tensor, profile};
/// let a = Tensor::ones([64, 64]);
/// let (sum, profile) = profile(|| a.matmul(&a).sum().item());
/// assert_eq!(sum?, 262144.0);
/// let product = profile.steps.iter().find(|s| s.kind == "gemm");
/// assert_eq!(product.map(|s| s.flops), Some(2.0 * 64.0 * 64.0 * 64.0));
/// # Ok::<(), gradus_core::Error>(())
/// ```
pub fn profile<T>(f: impl FnOnce() -> T) -> (T, Profile) {
    /// Puts the outer collector back, also when `f` panics.
    struct Outer(Option<Collector>);
    impl Drop for Outer {
        fn drop(&mut self) {
            let outer = self.0.take();
            let _ = COLLECTOR.try_with(|c| c.replace(outer));
        }
    }
    let outer = Outer(COLLECTOR.with(|c| c.replace(Some(Collector::default()))));
    let started = Instant::now();
    let result = f();
    let seconds = started.elapsed().as_secs_f64();
    let collected = COLLECTOR.with(|c| c.take()).unwrap_or_default();
    drop(outer);
    (result, Profile { seconds, ..collected.profile })
}

/// Measures one run of a plan; does nothing where nobody asked.
pub(super) struct Clock {
    last: Option<(Instant, usize)>,
}

impl Clock {
    pub(super) fn start(plan: &Plan) -> Clock {
        let first =
            COLLECTOR.try_with(|c| c.borrow_mut().as_mut().map(|c| c.rows_of(plan))).ok().flatten();
        Clock { last: first.map(|first| (Instant::now(), first)) }
    }

    /// Step (or effect) number `at` has just ended.
    #[inline]
    pub(super) fn lap(&mut self, at: usize) {
        if self.last.is_some() {
            self.note(Some(at));
        }
    }

    /// What happened since the last step belongs to none.
    #[inline]
    pub(super) fn skip(&mut self) {
        if self.last.is_some() {
            self.note(None);
        }
    }

    #[cold]
    fn note(&mut self, at: Option<usize>) {
        let Some((last, first)) = &mut self.last else { return };
        let seconds = last.elapsed().as_secs_f64();
        COLLECTOR.with(|c| {
            if let (Some(at), Some(c)) = (at, c.borrow_mut().as_mut())
                && let Some(row) = c.profile.steps.get_mut(*first + at)
            {
                row.calls += 1;
                row.seconds += seconds;
            }
        });
        *last = Instant::now();
    }
}

impl Collector {
    /// Where the rows of a plan begin.
    fn rows_of(&mut self, plan: &Plan) -> usize {
        self.profile.runs += 1;
        if let Some(&(_, first)) = self.plans.iter().find(|(id, _)| *id == plan.id) {
            return first;
        }
        let (number, first) = (self.plans.len(), self.profile.steps.len());
        self.plans.push((plan.id, first));
        let steps = plan.steps.iter().map(|s| {
            let (kind, text) = plan.describe_step(&s.step);
            (kind, text, flops(&s.step), bytes(&s.step))
        });
        let effects = plan.effects.iter().map(|e| {
            let (kind, text) = plan.describe_effect(e);
            (kind, text, 0.0, effect_bytes(e))
        });
        let rows = steps.chain(effects).enumerate().map(|(at, (kind, text, flops, bytes))| {
            StepCost { plan: number, at, kind, text, calls: 0, seconds: 0.0, flops, bytes }
        });
        self.profile.steps.extend(rows);
        first
    }
}

/// Multiplications and additions.
fn flops(step: &Step) -> f64 {
    let product = |sizes: &[usize]| sizes.iter().map(|&n| n as f64).product::<f64>();
    match step {
        Step::Gemm(g) => 2.0 * product(&[g.batch, g.m, g.k, g.n]),
        Step::Conv { geometry, .. } => 2.0 * geometry.work() as f64,
        Step::Attention(a) => {
            let h = a.heads;
            let widths = match a.backward {
                Some(_) => 3 * h.size + 2 * h.out,
                None => h.size + h.out,
            };
            let all = 2.0 * product(&[h.batch, h.heads, h.queries, h.keys, widths]);
            // Of what nobody sees, next to nothing is computed.
            if h.causal { all / 2.0 } else { all }
        }
        Step::Recurrent { walk, .. } => {
            let gates = walk.cell.gates();
            2.0 * product(&[walk.time, walk.batch, walk.hidden, walk.hidden, gates])
        }
        _ => 0.0,
    }
}

/// Bytes of operands and results.
fn bytes(step: &Step) -> f64 {
    let size = |l: &Loc| (l.len * l.dtype.size()) as f64;
    let sum = |locs: &[Loc]| locs.iter().map(size).sum::<f64>();
    let mut written = 0.0;
    step.writes(|l| written += size(&l));
    let read = match step {
        Step::Map { operands, .. }
        | Step::Reduce { operands, .. }
        | Step::Scan { operands, .. }
        | Step::Pool { operands, .. }
        | Step::Rows { operands, .. }
        | Step::Recurrent { operands, .. } => sum(operands),
        Step::ArgReduce { x, .. }
        | Step::Sort { x, .. }
        | Step::Within { x, .. }
        | Step::Watch { x } => size(x),
        Step::Scatter { x, index, source, .. } => size(x) + size(index) + size(source),
        Step::Search { sorted, values, .. } => size(sorted) + size(values),
        Step::Gemm(g) => {
            let bias = g.bias.as_ref().map_or(0.0, size);
            bias + (g.batch * (g.m * g.k + g.k * g.n) * g.out.dtype.size()) as f64
        }
        Step::Conv { a, b, .. } => size(a) + size(b),
        Step::Attention(a) => {
            let strided = |x: &Strided| (x.shape.numel() * x.dtype.size()) as f64;
            let mask = a.mask.as_ref().map_or(0.0, strided);
            let more: f64 = a.backward.iter().flatten().map(size).sum();
            a.operands.iter().map(strided).sum::<f64>() + mask + more
        }
        Step::Copy { from, .. } => (from.shape.numel() * from.dtype.size()) as f64,
        Step::Unslice { from, .. } => size(from),
        Step::Concat { parts, .. } => parts.iter().map(|(l, _)| size(l)).sum(),
        // Of the table only the rows that are picked or changed.
        Step::Indexing { index, .. } => written + size(index),
        Step::Host { operands, .. } => operands.iter().map(|(l, _)| size(l)).sum(),
    };
    read + written
}

/// Bytes of an effect: gradients read, and parameters with their state read and written.
fn effect_bytes(effect: &Effect) -> f64 {
    let size = |l: &Loc| (l.len * l.dtype.size()) as f64;
    match effect {
        Effect::Update { rule, grads, .. } => {
            let passes = 1 + 2 * (1 + rule.states());
            grads.iter().map(size).sum::<f64>() * passes as f64
        }
        Effect::Assign { value, .. } => 2.0 * size(value),
    }
}
