//! Running a plan on the CPU: steps over one arena, then effects.
//!
//! Everything that can fail comes before the first effect. Kernels refuse windows that do not fit,
//! so a wrong plan is an internal error and not a wrong number.

mod attention;
mod beside;
pub(crate) mod check;
mod effects;
pub(crate) mod profile;
mod recurrent;
pub(crate) mod replay;
mod step;

use std::cell::RefCell;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use gradus_kernels::copy;
use gradus_kernels::memory::{Arena, KernelError, Mem, Storage};
use gradus_kernels::program::RandomKey;

use crate::array::Array;
use crate::backend::{Bank, Loc};
use crate::error::Error;
use crate::ops::update::UpdateCall;
use crate::param::Cell;
use crate::plan::Plan;
use crate::plan::ir::Val;

/// What a run is given.
#[derive(Default)]
pub(crate) struct Bindings {
    pub(crate) leaves: Vec<Array>,
    pub(crate) numbers: Vec<f64>,
    pub(crate) keys: Vec<RandomKey>,
    pub(crate) calls: Vec<Arc<UpdateCall>>,
    pub(crate) targets: Vec<Arc<Cell>>,
    /// Outputs that nobody wants of this run; empty if all are wanted.
    pub(crate) unwanted: Vec<bool>,
}

impl Bindings {
    pub(crate) const fn new() -> Bindings {
        Bindings {
            leaves: Vec::new(),
            numbers: Vec::new(),
            keys: Vec::new(),
            calls: Vec::new(),
            targets: Vec::new(),
            unwanted: Vec::new(),
        }
    }

    pub(crate) fn clear(&mut self) {
        self.leaves.clear();
        self.numbers.clear();
        self.keys.clear();
        self.calls.clear();
        self.targets.clear();
        self.unwanted.clear();
    }
}

/// Why a run stopped; nothing has changed then.
#[derive(Debug)]
pub(crate) enum Fault {
    /// A kernel refused its operands, or found a bad value in them.
    Kernel { origin: u32, error: KernelError },
    /// A user's operation failed.
    Custom { origin: u32, error: Error },
    /// A value that must be finite is not; which one is found by replaying.
    NonFinite { val: Val },
    /// The arena cannot be had.
    Memory { bytes: usize },
    /// A self-check failed.
    Internal(Error),
}

thread_local! {
    static ARENA: RefCell<Arena> = const { RefCell::new(Arena::new()) };
}

/// Gives this thread's workspace and cached blocks back to the system.
pub fn release_memory() {
    let _ = ARENA.try_with(|a| {
        if let Ok(mut arena) = a.try_borrow_mut() {
            arena.clear();
        }
    });
    gradus_kernels::memory::release_cached();
}

static COMMIT: RwLock<()> = RwLock::new(());

/// Held, shared, while values of parameters change.
pub(crate) fn commit_lock() -> RwLockReadGuard<'static, ()> {
    COMMIT.read().unwrap_or_else(PoisonError::into_inner)
}

/// Held alone while a consistent set of values is read: no step is half applied meanwhile.
pub(crate) fn snapshot_lock() -> RwLockWriteGuard<'static, ()> {
    COMMIT.write().unwrap_or_else(PoisonError::into_inner)
}

/// A run in progress: where places are.
pub(crate) struct Run<'a> {
    plan: &'a Plan,
    arena: &'a Arena,
    leaves: &'a [Array],
    numbers: &'a [f64],
    keys: &'a [RandomKey],
}

impl<'a> Run<'a> {
    #[inline]
    fn bank(&self, bank: Bank, len: usize, ty: gradus_kernels::memory::Ty) -> Option<Mem<'a>> {
        match bank {
            Bank::Leaf(i) => self.leaves.get(i as usize).map(|a| a.storage().read()),
            Bank::Buffer(b) => {
                let offset = *self.plan.offsets.get(b as usize)?;
                self.arena.mem(offset, ty, len)
            }
        }
    }

    #[inline]
    fn mem(&self, loc: &Loc) -> Result<Mem<'a>, KernelError> {
        let place = match loc.bank {
            // The usual case, without a second look at the bounds.
            Bank::Buffer(b) if loc.start == 0 => {
                let offset = self.plan.offsets.get(b as usize);
                offset.and_then(|&offset| self.arena.mem(offset, loc.dtype.ty(), loc.len))
            }
            _ => {
                let whole = self.bank(loc.bank, loc.start + loc.len, loc.dtype.ty());
                whole.and_then(|m| m.slice(loc.start, loc.len))
            }
        };
        place.ok_or(KernelError::Bounds("a place of the plan"))
    }
}

/// Runs a plan. `commit` is called once everything has succeeded, with the outputs, and then the
/// effects happen. `bindings.leaves` are dropped before the effects, so that parameters nobody else
/// holds are updated in place.
pub(crate) fn run(
    plan: &Plan,
    bindings: &mut Bindings,
    outputs: &mut Vec<Array>,
    commit: impl FnOnce(&mut Vec<Array>),
) -> Result<(), Fault> {
    ARENA.with(|cell| match cell.try_borrow_mut() {
        Ok(mut arena) => run_in(plan, &mut arena, bindings, outputs, commit),
        // A custom operation that evaluates tensors of its own.
        Err(_) => run_in(plan, &mut Arena::new(), bindings, outputs, commit),
    })
}

fn run_in(
    plan: &Plan,
    arena: &mut Arena,
    bindings: &mut Bindings,
    outputs: &mut Vec<Array>,
    commit: impl FnOnce(&mut Vec<Array>),
) -> Result<(), Fault> {
    let bytes = plan.arena_bytes.max(plan.bound.arena_bytes());
    if !arena.reserve(bytes) {
        return Err(Fault::Memory { bytes });
    }
    let checking = plan.zones;
    if checking {
        check::poison(plan, arena);
    }
    outputs.clear();
    let mut clock = profile::Clock::start(plan);
    let mut kept = None;
    {
        let run = Run {
            plan,
            arena,
            leaves: &bindings.leaves,
            numbers: &bindings.numbers,
            keys: &bindings.keys,
        };
        let leaves = bindings.leaves.iter().map(|leaf| leaf.storage().read());
        let bound = plan.bound.start(arena, leaves, &bindings.numbers);
        let mut bad = None;
        clock.skip();
        for (at, step) in plan.steps.iter().enumerate() {
            let last = plan.deferred.as_ref().is_some_and(|d| d.from == at) && bad.is_none();
            if last && beside::possible(&run, bindings) {
                kept = Some(beside::leaves(plan, &bindings.leaves));
                clock.skip();
                break;
            }
            let ready = bound.as_ref().and_then(|bound| bound.step(at));
            match ready.map_or_else(|| step::run(&run, &step.step), Ok) {
                Ok(true) => {}
                Ok(false) => bad = bad.or(Some(step.val)),
                Err(step::Stop::Kernel(error)) => {
                    return Err(Fault::Kernel { origin: step.origin, error });
                }
                Err(step::Stop::Custom(error)) => {
                    return Err(Fault::Custom { origin: step.origin, error });
                }
            }
            clock.lap(at);
            if checking {
                check::after_step(plan, arena, at)?;
            }
        }
        if let Some(val) = bad
            && !plan.effects.is_empty()
        {
            return Err(Fault::NonFinite { val });
        }
        for (i, output) in plan.outputs.iter().enumerate() {
            if bindings.unwanted.get(i) != Some(&true) {
                outputs.push(hand_out(&run, output)?);
            }
        }
        if checking {
            check::compare(plan, bindings, outputs)?;
        }
    }
    if plan.effects.is_empty() {
        commit(outputs);
        return Ok(());
    }
    let _commit = commit_lock();
    commit(outputs);
    bindings.leaves.clear();
    let run = Run { plan, arena, leaves: &[], numbers: &[], keys: &[] };
    effects::apply(&run, bindings, kept.as_ref(), &mut clock).map_err(Fault::Internal)
}

/// A held value, in memory of its own (a leaf's own memory where it is just that).
fn hand_out(run: &Run<'_>, output: &crate::plan::Output) -> Result<Array, Fault> {
    let fault = |error| Fault::Kernel { origin: output.recorded, error };
    let from = &output.from;
    let rank = from.shape.rank();
    if let Bank::Leaf(i) = from.bank
        && let Some(leaf) = run.leaves.get(i as usize)
        && from.offset == 0
        && leaf.numel() == from.shape.numel()
        && from.is_contiguous()
    {
        return Ok(Array::from_storage(leaf.storage().clone(), from.shape, from.dtype));
    }
    let wrong = || fault(KernelError::Bounds("an output of the plan"));
    let base = run.bank(from.bank, from.extent(), from.dtype.ty()).ok_or_else(wrong)?;
    let numel = from.shape.numel();
    let bytes = numel.saturating_mul(from.dtype.size());
    let storage = Storage::try_new(from.dtype.ty(), numel, false);
    let mut storage = storage.ok_or(Fault::Memory { bytes })?;
    let to = storage.write().ok_or_else(wrong)?;
    let strides = from.strides.get(..rank).unwrap_or(&[]);
    copy::to_contiguous(from.shape.dims(), base, from.offset, strides, to).map_err(fault)?;
    Ok(Array::from_storage(storage, from.shape, from.dtype))
}
