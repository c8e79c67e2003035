//! From a recorded graph to a list of steps over one arena, made once and kept.
//!
//! `expand` (gradients and broadcasts become nodes) -> `simplify` -> `channels` (last between
//! convolutions) -> `recompute` (cheap values, where they are needed) -> `fuse` (which values share a step) -> `lower` (steps over buffers) -> `defer` (gradients that only an update wants come last) -> `memory` (places in the arena) -> `verify` -> `bind` (small steps, ready to run). A plan
//! never depends on data: numbers, random keys and leaf values are bound when it runs.

pub(crate) mod bind;
pub(crate) mod cache;
mod channels;
mod defer;
pub(crate) mod expand;
mod explain;
mod fuse;
pub(crate) mod ir;
mod lower;
pub(crate) use lower::Output;
mod memory;
mod recompute;
mod simplify;
mod verify;
mod view;

use std::sync::atomic::{AtomicU64, Ordering};

use gradus_kernels::bound::Bound;

use crate::backend::{Effect, PlanStep, Step};
use crate::error::{Code, Error, Result};
use crate::ops::Op;
use expand::Recorded;
use ir::{Ir, Val};

/// Something to run.
pub(crate) struct Plan {
    /// No other plan of the process has it.
    pub(crate) id: u64,
    pub(crate) steps: Vec<PlanStep>,
    /// Byte offset in the arena of each buffer.
    pub(crate) offsets: Vec<usize>,
    pub(crate) outputs: Vec<lower::Output>,
    pub(crate) effects: Vec<Effect>,
    /// The last steps, if a run may compute them beside an effect.
    pub(crate) deferred: Option<defer::Deferred>,
    pub(crate) arena_bytes: usize,
    /// The small steps, ready to run.
    pub(crate) bound: Bound,
    /// It was laid out with red zones, so its runs are checked. Of the plan, because check mode may
    /// be switched by another thread between planning and running.
    pub(crate) zones: bool,
    /// The graph before any rewriting: what the reference executor checks against and what a
    /// failed step is replayed on.
    pub(crate) reference: Ir,
    /// (recorded node, value in `reference`) of each output.
    pub(crate) reference_outputs: Vec<(u32, Val)>,
    /// Values in `reference` that must be finite.
    pub(crate) reference_watch: Vec<Val>,
    /// Of each buffer: bytes, and its first and last step (for check mode).
    pub(crate) buffers: Vec<(usize, (usize, usize))>,
}

/// How plans are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Options {
    /// Fuse; otherwise every value is a step of its own (eager mode).
    pub(crate) fuse: bool,
    /// Leave red zones between buffers and share none.
    pub(crate) zones: bool,
}

/// The most an arena may take; a plan that needs more is an error before it runs.
const MAX_ARENA: usize = 1 << 46;

static NEXT: AtomicU64 = AtomicU64::new(0);

/// Makes a plan.
pub(crate) fn compile(recorded: &[Recorded], options: Options) -> Result<Plan> {
    let mut expanded = expand::expand(recorded)?;
    expanded.ir.rules = Vec::new();
    expanded.vals = Vec::new();
    let reference = expanded.ir.clone();
    let reference_outputs = expanded.outputs.clone();
    let reference_watch = expanded.watch.clone();
    let simple = simplify::simplify(expanded);
    if simple.ir.nodes.iter().any(|n| matches!(n.op, Op::Placeholder)) {
        return Err(Error::internal("a plan needs the value of a placeholder"));
    }
    let simple = if options.fuse { recompute::recompute(channels::turn(simple)) } else { simple };
    let fused = fuse::fuse(&simple, options.fuse);
    let mut lowered = lower::lower(&simple, &fused)?;
    let deferred = if options.fuse { defer::defer(&mut lowered) } else { None };
    let layout = memory::layout(&lowered, options.zones);
    verify::verify(&lowered, &layout)?;
    if layout.bytes > memory_limit() {
        return Err(too_large(&simple.ir, &lowered, &layout));
    }
    let bound = bind::bind(&lowered, &layout);
    let buffers =
        lowered.buffers.iter().zip(&layout.lives).map(|(b, &life)| (b.bytes(), life)).collect();
    Ok(Plan {
        id: NEXT.fetch_add(1, Ordering::Relaxed),
        steps: lowered.steps,
        offsets: layout.offsets,
        outputs: lowered.outputs,
        effects: lowered.effects,
        deferred,
        arena_bytes: layout.bytes,
        bound,
        zones: options.zones,
        reference,
        reference_outputs,
        reference_watch,
        buffers,
    })
}

/// Bytes that a plan's arena may take: `GRADUS_MEMORY_LIMIT` in bytes, else what can be addressed.
fn memory_limit() -> usize {
    static LIMIT: std::sync::OnceLock<usize> = std::sync::OnceLock::new();
    *LIMIT.get_or_init(|| {
        let set = std::env::var("GRADUS_MEMORY_LIMIT").ok().and_then(|v| v.parse().ok());
        set.unwrap_or(MAX_ARENA)
    })
}

#[cold]
fn too_large(ir: &Ir, l: &lower::Lowered, layout: &memory::Layout) -> Error {
    let mut largest: Vec<_> = l.buffers.iter().collect();
    largest.sort_by_key(|b| std::cmp::Reverse(b.bytes()));
    let mut error = Error::new(
        Code::Memory,
        format!("this computation needs {} bytes, more than is allowed", layout.bytes),
    );
    for b in largest.iter().take(3) {
        let node = ir.node(b.val);
        error = error.cells(
            "tensor",
            vec![
                format!("{} {}", node.dtype, node.shape),
                format!("{} bytes", b.bytes()),
                format!("output of `{}`", node.op.name()),
            ],
        );
    }
    error.help("use a smaller batch, or raise GRADUS_MEMORY_LIMIT")
}

impl Plan {
    /// The plan as text.
    pub(crate) fn explain(&self) -> String {
        explain::explain(self)
    }

    /// A step's kind, and what it makes of what.
    pub(crate) fn describe_step(&self, step: &Step) -> (&'static str, String) {
        (verify::name(step), explain::describe(step))
    }

    /// An effect's kind, and what it changes.
    pub(crate) fn describe_effect(&self, effect: &Effect) -> (&'static str, String) {
        explain::effect(effect)
    }

    /// About how many bytes the plan itself takes, for the cache's limit.
    pub(crate) fn weight(&self) -> usize {
        let offsets: usize = self
            .steps
            .iter()
            .map(|s| match &s.step {
                Step::Gemm(g) => (g.a_batch.len() + g.b_batch.len()) * 8,
                _ => 0,
            })
            .sum();
        offsets
            + self.steps.len() * 512
            + self.bound.weight()
            + self.reference.len() * size_of::<ir::IrNode>()
            + 1024
    }
}
