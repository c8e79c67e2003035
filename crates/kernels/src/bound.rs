//! Kernel calls that are checked once and then run over and over.
//!
//! A small step of a plan takes longer to check than to compute. [`Bound`] holds such steps ready:
//! which memory each reads and writes, which kernels run on it. Sizes, types, bounds and overlaps are
//! looked at when a step is added, and the memory itself when a run [starts](Bound::start); then a
//! step only adds its offsets to the addresses of that run.
//!
//! **Bits.** A bound step calls the inner kernels of [`crate::map`], [`crate::reduce`] and
//! [`crate::gemm`] as they would call them, so it gives the same bits. What it has no form for is
//! not bound, and whoever runs the plan calls the ordinary kernel.

use crate::gemm;
use crate::isa::{self, Isa};
use crate::map::{self, Compiled};
use crate::memory::{Arena, Mem, Ty};
use crate::reduce::{self, ReduceKind};
use crate::scan;
use std::cell::Cell;
use std::marker::PhantomData;

pub use crate::gemm::BoundGemm;

/// Which memory a place is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Home {
    /// The arena of the run.
    Arena,
    /// Leaf number i of the run, which is only read.
    Leaf(u32),
}

/// A stretch of elements of one type, before anybody knows where its memory will be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Which memory.
    pub home: Home,
    /// Where it starts there, in bytes.
    pub start: usize,
    /// Elements.
    pub len: usize,
    /// Their type.
    pub ty: Ty,
}

impl Place {
    fn end(&self) -> Option<usize> {
        self.len.checked_mul(self.ty.size())?.checked_add(self.start)
    }

    /// Whether two places share a byte; no arithmetic can overflow once they are [located](Binder::at).
    pub(crate) fn overlaps(&self, other: &Place) -> bool {
        let (Some(end), Some(other_end)) = (self.end(), other.end()) else { return true };
        self.home == other.home && self.start < other_end && other.start < end
    }
}

/// Memories that a run knows: working memory, constants, the arena, leaves.
const BASES: usize = 32;
const WORK: u16 = 0;
const CONSTANTS: u16 = 1;
const ARENA: u16 = 2;
const LEAVES: u16 = 3;

/// The addresses of a run's memories.
pub(crate) type Table = [*mut u8; BASES];

/// An address to be: an offset in one of the memories.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct At {
    base: u16,
    /// Bytes from one element to the next; 0 for what stays where it is from block to block.
    pub(crate) step: u16,
    offset: u32,
}

impl At {
    #[inline(always)]
    pub(crate) fn ptr(self, table: &Table) -> *mut u8 {
        table[self.base as usize % BASES].wrapping_add(self.offset as usize)
    }

    /// The address of element `start`.
    #[inline(always)]
    pub(crate) fn from(self, table: &Table, start: usize) -> *mut u8 {
        self.ptr(table).wrapping_add(start * self.step as usize)
    }

    /// `bytes` further on, with a step.
    pub(crate) fn moved(self, bytes: usize, step: usize) -> Option<At> {
        let offset = self.offset.checked_add(u32::try_from(bytes).ok()?)?;
        Some(At { base: self.base, step: u16::try_from(step).ok()?, offset })
    }
}

/// What a step that is being bound finds out about its memory.
pub(crate) struct Binder<'a> {
    /// Bytes of the arena that places may lie in.
    arena: usize,
    leaves: &'a mut Vec<Option<(Ty, usize)>>,
    constants: &'a mut Vec<u64>,
    /// Working memory that this step uses so far.
    work: usize,
    pub(crate) level: Isa,
}

impl Binder<'_> {
    /// Where a place that is read will be.
    pub(crate) fn at(&mut self, place: &Place) -> Option<At> {
        let end = place.end()?;
        if !place.start.is_multiple_of(place.ty.size()) {
            return None;
        }
        let base = match place.home {
            Home::Arena if end > self.arena => return None,
            Home::Arena => ARENA,
            Home::Leaf(i) => {
                let i = i as usize;
                if i >= BASES - LEAVES as usize {
                    return None;
                }
                if self.leaves.len() <= i {
                    self.leaves.resize(i + 1, None);
                }
                let (ty, bytes) = self.leaves[i].get_or_insert((place.ty, 0));
                if *ty != place.ty {
                    return None;
                }
                *bytes = end.max(*bytes);
                LEAVES + i as u16
            }
        };
        Some(At { base, step: 0, offset: u32::try_from(place.start).ok()? })
    }

    /// Where a place that is written will be.
    pub(crate) fn written(&mut self, place: &Place) -> Option<At> {
        if place.home != Home::Arena {
            return None;
        }
        self.at(place)
    }

    /// Working memory for this step alone, at a cache line.
    pub(crate) fn room(&mut self, bytes: usize) -> Option<At> {
        let offset = u32::try_from(self.work).ok()?;
        self.work = self.work.checked_add(bytes)?.checked_next_multiple_of(64)?;
        Some(At { base: WORK, step: 0, offset })
    }

    /// A number that stays, in memory.
    pub(crate) fn constant(&mut self, bits: u64) -> Option<At> {
        let i = self.constants.iter().position(|&c| c == bits).unwrap_or_else(|| {
            self.constants.push(bits);
            self.constants.len() - 1
        });
        Some(At { base: CONSTANTS, step: 0, offset: u32::try_from(i * 8).ok()? })
    }
}

enum Step {
    Map(map::Bound),
    Reduce(reduce::Bound),
    Gemm(gemm::Tiled),
    Watch(At, usize),
}

/// The steps of a plan, those ready that can be.
pub struct Bound {
    steps: Vec<Option<Step>>,
    /// The type and the bytes that each leaf must have; `None` where no bound step reads it.
    leaves: Vec<Option<(Ty, usize)>>,
    constants: Vec<u64>,
    arena: usize,
    work: usize,
    slots: usize,
    level: Isa,
}

impl std::fmt::Debug for Bound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let bound = self.steps.iter().flatten().count();
        write!(f, "Bound({bound} of {} steps)", self.steps.len())
    }
}

impl Bound {
    /// No steps yet; their places lie in the first `arena` bytes of an arena.
    pub fn new(arena: usize) -> Bound {
        Bound {
            steps: Vec::new(),
            leaves: Vec::new(),
            constants: Vec::new(),
            arena: arena.next_multiple_of(64),
            work: 0,
            slots: 0,
            level: isa::active(),
        }
    }

    /// Adds a step; `None` where it has no bound form, and the ordinary kernel is to be called.
    fn add(&mut self, make: impl FnOnce(&mut Binder<'_>) -> Option<Step>) -> bool {
        let mut binder = Binder {
            arena: self.arena,
            leaves: &mut self.leaves,
            constants: &mut self.constants,
            work: 0,
            level: self.level,
        };
        let step = make(&mut binder);
        let work = binder.work;
        if let Some(step) = &step {
            self.work = self.work.max(work);
            let slots = match step {
                Step::Map(map) => map.slots(),
                Step::Reduce(reduce) => reduce.slots(),
                _ => 0,
            };
            self.slots = self.slots.max(slots);
        }
        self.steps.push(step);
        self.steps.last().is_some_and(Option::is_some)
    }

    /// Adds a step that is not bound.
    pub fn skip(&mut self) -> bool {
        self.add(|_| None)
    }

    /// Adds a [map](crate::map::run); says whether it could be bound.
    pub fn map(
        &mut self,
        program: &Compiled,
        dims: &[usize],
        operands: &[Place],
        outputs: &[Place],
    ) -> bool {
        self.add(|b| map::Bound::new(b, program, dims, operands, Some(outputs)).map(Step::Map))
    }

    /// Adds a [reduction](crate::reduce::run); says whether it could be bound.
    #[allow(clippy::too_many_arguments)] // a step of a plan has that many parts
    pub fn reduce(
        &mut self,
        kind: ReduceKind,
        program: &Compiled,
        dims: &[usize],
        axes: u8,
        operands: &[Place],
        outs: &[Place],
        watch: u8,
    ) -> bool {
        self.add(|b| {
            reduce::Bound::new(b, kind, program, dims, axes, operands, outs, watch)
                .map(Step::Reduce)
        })
    }

    /// Adds a [product](crate::gemm::gemm) of f32; says whether it could be bound.
    pub fn gemm(&mut self, product: &BoundGemm) -> bool {
        self.add(|b| gemm::Tiled::new(b, product).map(Step::Gemm))
    }

    /// Adds a look whether all values are [finite](crate::scan::all_finite); says whether it could
    /// be bound.
    pub fn watch(&mut self, x: &Place) -> bool {
        self.add(|b| {
            let at = b.at(x).filter(|_| x.ty == Ty::F32)?;
            Some(Step::Watch(at, x.len))
        })
    }

    /// Bytes that the arena of a run must have: places, then working memory.
    pub fn arena_bytes(&self) -> usize {
        self.arena.saturating_add(self.work)
    }

    /// About how many bytes this takes.
    pub fn weight(&self) -> usize {
        self.steps.len() * 512
    }

    /// Looks at the memory of a run. `None` where it is not what the steps were bound for: the
    /// ordinary kernels say why.
    #[inline]
    pub fn start<'a>(
        &'a self,
        arena: &'a Arena,
        leaves: impl Iterator<Item = Mem<'a>>,
        slots: &'a [f64],
    ) -> Option<Running<'a>> {
        if self.level != isa::active() || self.slots > slots.len() {
            return None;
        }
        let whole = arena.mem(0, Ty::U8, arena.bytes())?;
        if whole.len() < self.arena_bytes() {
            return None;
        }
        let mut table: Table = [std::ptr::null_mut(); BASES];
        table[WORK as usize] = whole.ptr_bytes().wrapping_add(self.arena);
        table[CONSTANTS as usize] = self.constants.as_ptr().cast_mut().cast();
        table[ARENA as usize] = whole.ptr_bytes();
        let mut found = 0;
        for (need, leaf) in self.leaves.iter().zip(leaves) {
            if let &Some((ty, bytes)) = need {
                if leaf.ty() != ty || leaf.len() * ty.size() < bytes || leaf.overlaps(&whole) {
                    return None;
                }
                *table.get_mut(LEAVES as usize + found)? = leaf.ptr_bytes();
            }
            found += 1;
        }
        if found < self.leaves.len() {
            return None;
        }
        Some(Running { bound: self, table, slots, life: PhantomData })
    }
}

/// A run of bound steps, on memory that was looked at.
pub struct Running<'a> {
    bound: &'a Bound,
    table: Table,
    slots: &'a [f64],
    /// Windows that steps write are like cells.
    life: PhantomData<&'a Cell<u8>>,
}

impl Running<'_> {
    /// Runs step number `at`: whether all that it watches is finite; `None` if it is not bound.
    #[inline]
    pub fn step(&self, at: usize) -> Option<bool> {
        let step = self.bound.steps.get(at)?.as_ref()?;
        // SAFETY: when the step was bound, all that it touches was found inside its places, and
        // nothing that it writes overlaps anything else (but in place, element by element). Places
        // of the arena and of leaves are inside memory that `start` found long enough, of the
        // types that the step reads; only the arena is written, and no leaf lies in it. The arena
        // is not shared with another thread, it gives out no references, and working memory lies
        // behind all places. The kernels are those of the level of `start`, which the machine has.
        unsafe {
            Some(match step {
                Step::Map(map) => {
                    map.run(&self.table, self.slots);
                    true
                }
                Step::Reduce(reduce) => reduce.run(&self.table, self.slots),
                Step::Gemm(gemm) => gemm.run(&self.table),
                &Step::Watch(at, len) => {
                    let p = at.ptr(&self.table).cast_const().cast::<f32>();
                    scan::finite_f32(std::slice::from_raw_parts(p, len))
                }
            })
        }
    }
}
