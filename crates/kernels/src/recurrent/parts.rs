//! How a pass is cut, and the weight as its products read it.
//!
//! A *block* is some units with all their gates: after its product they need nothing of other
//! units, so what a step makes of a block is written while it is in the cache. Pieces are blocks by
//! samples. Where a step takes long enough, threads share each step, so that each of them reads a
//! part of the weight; else pieces are samples over all steps, which wait for nobody.

use std::cell::Cell as Slot;
use std::ops::Range;

use super::{BLOCK, Walk};
use crate::gemm::pack::{Pack, Scratch, with_scratch};
use crate::gemm::round::Form;
use crate::gemm::simd::prefetch;
use crate::gemm::strip::{self, Strip, strip};
use crate::pool::{self, PiecePanicked};

/// Samples of a piece of a step: its states stay in the cache with a panel of the weight.
const ROWS: usize = 64;

/// Nanoseconds that a step takes at least for threads to share it.
const SHARED_STEP: u64 = 16_000;

/// Bytes of a weight that stay in the L2 cache beside all else.
const NEAR: usize = 256 << 10;

/// Some units of some samples.
#[derive(Clone)]
pub(super) struct Part {
    pub(super) samples: Range<usize>,
    /// Of one block.
    pub(super) units: Range<usize>,
}

/// `total` things in parts of about `size`: the range of part `i`, and how many there are.
fn cut(total: usize, size: usize) -> (usize, impl Fn(usize) -> Range<usize>) {
    let count = total.div_ceil(size).max(1);
    (count, move |i| i * total / count..(i + 1) * total / count)
}

/// Calls `body(i, part)` for all steps `i` and all parts. A part runs when all parts of its samples
/// have run in the step before.
pub(super) fn run(
    walk: Walk,
    form: Form,
    steps: usize,
    body: &(dyn Fn(usize, &Part) + Sync),
) -> Result<(), PiecePanicked> {
    let Walk { batch, hidden, .. } = walk;
    let blocks = hidden.div_ceil(BLOCK);
    let units = |i: usize, block: usize| {
        // Every other step starts with what the step before used last.
        let first = BLOCK * if i.is_multiple_of(2) { block } else { blocks - 1 - block };
        first..hidden.min(first + BLOCK)
    };
    let cost = walk.cost(form);
    let near = form.kept(walk.weight()) * size_of::<f32>() <= NEAR;
    if cost >= SHARED_STEP && !(near && batch >= ROWS) {
        let (groups, samples) = cut(batch, ROWS);
        for i in 0..steps {
            pool::run(groups * blocks, cost, &|piece| {
                let part =
                    Part { samples: samples(piece % groups), units: units(i, piece / groups) };
                body(i, &part);
            })?;
        }
        return Ok(());
    }
    let (groups, samples) = cut(batch, if batch <= 128 { 16 } else { 24 });
    pool::run(groups, cost.saturating_mul(steps as u64), &|piece| {
        for i in 0..steps {
            for block in 0..blocks {
                body(i, &Part { samples: samples(piece), units: units(i, block) });
            }
        }
    })
}

/// Packs a matrix `[k, gates * hidden]`, block by block and in it panel by panel; element (i, j) is
/// at `i * row + j * col` of `from`. Where a block starts is [`start`].
///
/// # Safety
/// All elements can be read, and `k * gates * hidden` elements, with `hidden` rounded up to 16, be
/// written at `to`.
pub(super) unsafe fn pack(
    from: *const f32,
    (k, gates, hidden): (usize, usize, usize),
    (row, col): (usize, usize),
    to: *mut f32,
) {
    for first in (0..hidden).step_by(BLOCK) {
        let units = BLOCK.min(hidden - first);
        let columns = gates * units;
        for at in (0..columns).step_by(BLOCK) {
            let count = BLOCK.min(columns - at);
            let width = count.next_multiple_of(16);
            let to = to.wrapping_add(start(k, gates, first) + k * at);
            // A column is a unit's in a gate.
            let column = |j: usize| ((at + j) / units * hidden + first + (at + j) % units) * col;
            if units == BLOCK && col != 1 {
                let src = from.wrapping_add(column(0));
                let (step, across, dst, repeat, apart) = (row, col, to, 1, 0);
                let panel = Pack { src, step, across, k, count, width, dst, repeat, apart };
                // SAFETY: the contract; of a whole block, a panel is one gate.
                unsafe { strip::pack(&panel) };
                continue;
            }
            for i in 0..k {
                let (from, to) = (from.wrapping_add(i * row), to.wrapping_add(i * width));
                // SAFETY: the contract.
                unsafe {
                    if gates == 1 && col == 1 {
                        to.copy_from_nonoverlapping(from.add(column(0)), count);
                    } else {
                        (0..count).for_each(|j| *to.add(j) = *from.add(column(j)));
                    }
                    to.add(count).write_bytes(0, width - count);
                }
            }
        }
    }
}

/// Where the block that starts with unit `first` is in a packed matrix.
pub(super) fn start(k: usize, gates: usize, first: usize) -> usize {
    k * gates * first
}

/// The product of some samples with a block's columns of a packed matrix of `k` rows.
///
/// # Safety
/// As for [`strip`]: `a` has `m` rows of `k` elements, `a_row` apart, `c` has `m` rows of
/// `gates * units` elements, `c_row` apart, and `packed` is what [`pack`] made.
pub(super) unsafe fn product(
    (m, k): (usize, usize),
    (a, a_row): (*const f32, usize),
    packed: *const f32,
    (gates, units): (usize, &Range<usize>),
    (c, c_row): (*mut f32, usize),
    (form, accumulate): (Form, bool),
) {
    let columns = gates * units.len();
    let block = packed.wrapping_add(start(k, gates, units.start));
    for at in (0..columns).step_by(BLOCK) {
        let n = BLOCK.min(columns - at);
        let (b, b_row) = (block.wrapping_add(k * at), n.next_multiple_of(16));
        let c = c.wrapping_add(at);
        // SAFETY: the contract.
        unsafe { strip(&Strip { m, k, n, a, a_row, b, b_row, c, c_row, accumulate, form }) };
    }
}

/// Asks for `units` elements at `p`.
pub(super) fn fetch(p: *const f32, units: usize) {
    for i in (0..units).step_by(16) {
        prefetch(p.wrapping_add(i));
    }
}

thread_local! {
    /// The gates of a part.
    static ROOM: Scratch = const { Slot::new(Vec::new()) };
}

/// Calls `f` with room for so many elements, this thread's.
pub(super) fn with_room(elements: usize, f: impl FnOnce(*mut f32)) {
    with_scratch(&ROOM, elements, f);
}
