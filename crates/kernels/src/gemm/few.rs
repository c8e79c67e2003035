//! Products of few rows, or of one column: predictions for one picture, `A v`. They read B once, so all
//! that counts is to read it as it lies, at the speed of the memory.
//!
//! With B transposed (the weights of a layer), the tiles of [`super::tile`] would have to turn
//! squares of it, and visit 16 or 32 far-away rows in turn. Here each element of C is a dot product
//! along a row of memory instead. That is another order of sums, so it is fixed by sizes alone, see
//! [`fits`], and holds for all strides: k is cut into blocks of 1024; in a block, 16 lanes take the
//! steps in turn, each lane one chain of fused multiply-adds that starts with 0, the last round
//! filled up with zeros; then the lanes are added in a tree: l and l + 8, l + 4, l + 2, l + 1. The
//! blocks are added in order, then the old C, then the bias.

#![allow(clippy::needless_range_loop)] // rows and registers are indices into several arrays

mod rows;

use super::driver::{Job, part};
use super::kernels::Kernels;
use super::pack::{OWN, SHARED, with_scratch};
use super::simd::Simd;
use super::tile::{End, Tile, finish};
use crate::pool::{self, PiecePanicked};
use std::cell::Cell;
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicBool, Ordering};

/// Lanes of the sums, for every instruction set.
pub(super) const WIDE: usize = 16;

/// Steps of k in a block: rows of B beside one another stay in the L2 cache from one lane to the next.
const BLOCK: usize = WIDE * 64;

/// Products with at most so many rows, counting those of all entries of the batch,
const ROWS: usize = 4;
/// at least so many steps,
const STEPS: usize = 256;
/// and at least so many elements of B (of A, for a product of one column) are summed as said above.
const ELEMENTS: usize = 16 << 10;

/// Rows of A that share what is read of B.
const MOST: usize = 4;

/// Elements of B in a piece for another thread.
const PIECE: usize = 64 << 10;

/// Whether a product of this shape is one of these. Part of the definition of the result; `rows` are those of
/// all entries, because entries with the same B may be taken together as rows of one product or not.
#[inline]
pub(super) fn fits(rows: usize, k: usize, n: usize) -> bool {
    let size = if n == 1 { rows } else { n };
    (rows <= ROWS || n == 1) && k >= STEPS && size.saturating_mul(k) >= ELEMENTS
}

/// One piece: all rows of some columns of an entry. Element (i, k) of A is `a + i * a_row + k`.
pub(super) struct Few {
    m: usize,
    k: usize,
    a: *const f32,
    a_row: usize,
    b: *const f32,
    b_row: usize,
    b_col: usize,
    columns: usize,
    c: *mut f32,
    c_row: usize,
    end: End,
    kernels: &'static Kernels,
    /// The last columns come first.
    backwards: bool,
    /// Room for [`room`] elements.
    room: *mut f32,
}

/// The kernel of an instruction set; says whether all written values are finite, if that is watched.
pub(super) type FewFn = unsafe fn(&Few) -> bool;

/// Whether B is read row by row, and not column by column.
fn by_rows(b_row: usize, b_col: usize) -> bool {
    b_col == 1 && b_row != 1
}

/// Elements that a piece needs.
fn room(k: usize, b_row: usize, b_col: usize) -> usize {
    if by_rows(b_row, b_col) {
        rows::ROOM
    } else if b_row == 1 {
        0
    } else {
        WIDE * k.min(BLOCK).next_multiple_of(WIDE)
    }
}

/// Runs the job, whose C has its columns `c_col` apart; says whether all written values are finite.
///
/// # Safety
/// As for [`super::driver::run`].
pub(super) unsafe fn run(
    kernel: FewFn,
    kernels: &'static Kernels,
    job: &Job<'_>,
    c_col: usize,
) -> Result<bool, PiecePanicked> {
    let &Job { m, k, n, .. } = job;
    let straight = job.a_col == 1;
    // Short stretches of rows would be read slowly.
    let unit = if by_rows(job.b_row, job.b_col) { rows::panel(m) } else { WIDE };
    let groups = n.div_ceil(unit);
    let cuts = (k.saturating_mul(n) / PIECE).clamp(1, groups);
    let (turned, aside) = (if straight { 0 } else { m * k }, room(k, job.b_row, job.b_col));
    let apart = if c_col == 1 { 0 } else { (groups.div_ceil(cuts) * unit).next_multiple_of(WIDE) };
    let backwards = cuts > 1 && turns(job.b);
    let finite = AtomicBool::new(true);
    let entry_of = |entry: usize, rows: *mut f32| -> Result<(), PiecePanicked> {
        let at = |offsets: &[usize]| offsets.get(entry).copied().unwrap_or(0);
        let (mut a, mut a_row) = (job.a.wrapping_add(at(job.a_batch)), job.a_row);
        if !straight {
            for i in 0..m {
                for s in 0..k {
                    // SAFETY: inside A, and the copy has m * k elements.
                    unsafe { *rows.add(i * k + s) = *a.add(i * job.a_row + s * job.a_col) };
                }
            }
            (a, a_row) = (rows, k);
        }
        let whole = Few {
            m,
            k,
            a,
            a_row,
            b: job.b.wrapping_add(at(job.b_batch)),
            b_row: job.b_row,
            b_col: job.b_col,
            columns: n,
            c: job.c.wrapping_add(entry * job.c_batch),
            c_row: job.c_row,
            end: job.end,
            kernels,
            backwards,
            room: std::ptr::null_mut(),
        };
        let whole = Whole { few: whole, c_col };
        let cost = (m.saturating_mul(k).saturating_mul(n) / 16) as u64;
        pool::run(cuts, cost, &|piece| {
            let piece = if backwards { cuts - 1 - piece } else { piece };
            let (first, count) = part(groups, cuts, piece);
            let columns = first * unit..((first + count) * unit).min(n);
            with_scratch(&OWN, aside + apart, |scratch| {
                // SAFETY: the contract; pieces write different columns, and the scratch memory is
                // this piece's.
                if !unsafe { whole.piece(kernel, columns.clone(), scratch, aside) } {
                    finite.store(false, Ordering::Relaxed);
                }
            });
        })
    };
    with_scratch(&SHARED, turned, |rows| (0..job.batch).try_for_each(|e| entry_of(e, rows)))?;
    Ok(finite.load(Ordering::Relaxed))
}

/// Whether it is the turn of these weights to be read from their end: what was read last is what the caches
/// still have. It changes no bit, because no column needs another.
fn turns(b: *const f32) -> bool {
    thread_local! {
        /// A bit for each of 64 kinds of addresses.
        static TURNS: Cell<u64> = const { Cell::new(0) };
    }
    let bit = 1 << ((b as u64 >> 6).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 58);
    TURNS.set(TURNS.get() ^ bit);
    TURNS.get() & bit == 0
}

/// All columns of an entry.
struct Whole {
    few: Few,
    c_col: usize,
}

// SAFETY: the windows behind the pointers outlive the call that made it; A, B and bias are only read,
// and each piece writes its own columns of C.
unsafe impl Sync for Whole {}

impl Whole {
    /// # Safety
    /// As for [`run`]; `scratch` has `aside` elements and, if columns of C are apart, room for the piece's.
    unsafe fn piece(
        &self,
        kernel: FewFn,
        columns: std::ops::Range<usize>,
        scratch: *mut f32,
        aside: usize,
    ) -> bool {
        let all = &self.few;
        let first = columns.start;
        let mut few = Few {
            b: all.b.wrapping_add(first * all.b_col),
            columns: columns.len(),
            c: all.c.wrapping_add(first * self.c_col),
            room: scratch,
            ..*all
        };
        if few.end.bias_each && !few.end.bias.is_null() {
            few.end.bias = few.end.bias.wrapping_add(first);
        }
        if self.c_col == 1 {
            // SAFETY: the contract.
            return unsafe { kernel(&few) };
        }
        // Only a product of one column, so there is one row.
        let (far, near) = (few.c, scratch.wrapping_add(aside));
        // SAFETY: the contract; the piece's columns are at `far`, `c_col` apart.
        unsafe {
            for j in 0..few.columns {
                *near.add(j) = *far.add(j * self.c_col);
            }
            few.c = near;
            let finite = kernel(&few);
            for j in 0..few.columns {
                *far.add(j * self.c_col) = *near.add(j);
            }
            finite
        }
    }
}

/// Makes the lanes of some columns, for one to [`MOST`] rows.
pub(super) type DotsFn = unsafe fn(&Dots);

/// A piece, with `P` registers for the lanes. The functions for the lanes are apart: in one, what each of them
/// works out before its loops would be worked out for all of them every time.
///
/// # Safety
/// The machine has the instruction set of `S`, `P * LANES` is [`WIDE`], all elements that [`Few`] describes can
/// be read, those of C and of the room written.
#[inline(always)]
pub(super) unsafe fn few<S: Simd, const P: usize>(t: &Few, dots_of: &[DotsFn; MOST]) -> bool {
    let mut finite = true;
    // SAFETY: the contract; columns and rows are inside of the piece.
    unsafe {
        if by_rows(t.b_row, t.b_col) {
            return rows::rows::<S, P>(t);
        }
        let mut lanes = [const { MaybeUninit::<[f32; WIDE * WIDE]>::uninit() }; MOST];
        let groups = t.columns.div_ceil(WIDE);
        for group in 0..groups {
            let j = WIDE * if t.backwards { groups - 1 - group } else { group };
            let columns = WIDE.min(t.columns - j);
            let mut totals = [[0.0f32; WIDE]; ROWS];
            for k0 in (0..t.k).step_by(BLOCK) {
                let k = (t.k - k0).min(BLOCK);
                let (mut b, mut b_col) = (t.b.wrapping_add(j * t.b_col + k0 * t.b_row), t.b_col);
                if t.b_row != 1 {
                    (b, b_col) = (gather(t, b, columns, k), k);
                }
                for i in (0..t.m).step_by(MOST) {
                    let count = MOST.min(t.m - i);
                    let a = t.a.wrapping_add(i * t.a_row + k0);
                    let to = lanes.as_mut_ptr().cast::<f32>();
                    let dots = Dots { a, a_row: t.a_row, b, b_col, k, columns, to };
                    dots_of[(count - 1) % MOST](&dots);
                    for c in (columns..WIDE).flat_map(|c| (0..count).map(move |r| r * WIDE + c)) {
                        for h in 0..P {
                            S::zero().store(to.wrapping_add(c * WIDE + h * S::LANES));
                        }
                    }
                    for r in 0..count {
                        for first in (0..columns).step_by(S::LANES) {
                            let sums = turned::<S, P>(to.wrapping_add((r * WIDE + first) * WIDE));
                            let total = totals[i + r].as_mut_ptr().wrapping_add(first);
                            let tail = (columns - first).min(S::LANES);
                            finite &= end::<S>(t, (i + r, j + first, tail), k0, sums, total);
                        }
                    }
                }
            }
        }
    }
    finite
}

/// Puts the block's columns of B side by side, for strides that are all apart.
///
/// # Safety
/// As for [`few`].
unsafe fn gather(t: &Few, b: *const f32, columns: usize, k: usize) -> *const f32 {
    for j in 0..columns {
        for s in 0..k {
            // SAFETY: the contract; the room is for `WIDE` columns of a block.
            unsafe { *t.room.add(j * k + s) = *b.add(j * t.b_col + s * t.b_row) };
        }
    }
    t.room
}

/// Lanes of the sums of up to [`MOST`] rows and [`WIDE`] columns, over a block of k.
pub(super) struct Dots {
    a: *const f32,
    a_row: usize,
    b: *const f32,
    b_col: usize,
    k: usize,
    columns: usize,
    /// Lanes side by side, columns one after the other, then rows.
    to: *mut f32,
}

impl Dots {
    /// # Safety
    /// As for [`few`].
    #[inline(always)]
    pub(super) unsafe fn all<S: Simd, const P: usize, const MR: usize, const NR: usize>(&self) {
        let mut j = 0;
        // SAFETY: the contract; these columns exist.
        unsafe {
            while j + NR <= self.columns {
                self.some::<S, P, MR, NR>(j);
                j += NR;
            }
            while j < self.columns {
                self.some::<S, P, MR, 1>(j);
                j += 1;
            }
        }
    }

    /// `MR` rows by `NR` columns from column `j` on.
    ///
    /// # Safety
    /// As for [`few`].
    #[inline(always)]
    unsafe fn some<S: Simd, const P: usize, const MR: usize, const NR: usize>(&self, j: usize) {
        let b = self.b.wrapping_add(j * self.b_col);
        let whole = self.k - self.k % WIDE;
        // SAFETY: the contract; the last steps are read under masks.
        unsafe {
            let mut acc = [[[S::zero(); P]; NR]; MR];
            for s in (0..whole).step_by(WIDE) {
                for h in 0..P {
                    let s = s + h * S::LANES;
                    let x: [S; MR] =
                        std::array::from_fn(|r| S::load(self.a.wrapping_add(r * self.a_row + s)));
                    for c in 0..NR {
                        let y = S::load(b.wrapping_add(c * self.b_col + s));
                        for r in 0..MR {
                            acc[r][c][h] = x[r].fma(y, acc[r][c][h]);
                        }
                    }
                }
            }
            if whole < self.k {
                for h in 0..P {
                    let s = whole + h * S::LANES;
                    let mask = S::mask(self.k.saturating_sub(s).min(S::LANES));
                    let x: [S; MR] = std::array::from_fn(|r| {
                        S::load_mask(self.a.wrapping_add(r * self.a_row + s), mask)
                    });
                    for c in 0..NR {
                        let y = S::load_mask(b.wrapping_add(c * self.b_col + s), mask);
                        for r in 0..MR {
                            acc[r][c][h] = x[r].fma(y, acc[r][c][h]);
                        }
                    }
                }
            }
            for r in 0..MR {
                for c in 0..NR {
                    let to = self.to.wrapping_add((r * WIDE + j + c) * WIDE);
                    for h in 0..P {
                        acc[r][c][h].store(to.wrapping_add(h * S::LANES));
                    }
                }
            }
        }
    }
}

/// The sums of a register's columns, whose lanes are side by side.
///
/// # Safety
/// As for [`few`]; `LANES * WIDE` elements can be read.
#[inline(always)]
unsafe fn turned<S: Simd, const P: usize>(lanes: *const f32) -> S {
    // SAFETY: the contract.
    unsafe {
        let mut all = [S::zero(); WIDE];
        for (c, to) in all.iter_mut().enumerate().take(S::LANES) {
            let mut x = [S::zero(); P];
            for (h, x) in x.iter_mut().enumerate() {
                *x = S::load(lanes.wrapping_add(c * WIDE + h * S::LANES));
            }
            let mut half = P / 2;
            while half > 0 {
                for h in 0..half {
                    x[h] = x[h].add(x[h + half]);
                }
                half /= 2;
            }
            *to = x[0];
        }
        S::sums(&all)
    }
}

/// Adds the lanes.
///
/// # Safety
/// As for [`few`].
#[inline(always)]
unsafe fn tree<S: Simd>(mut lanes: [S; WIDE]) -> S {
    // SAFETY: the contract.
    unsafe {
        for l in 0..8 {
            lanes[l] = lanes[l].add(lanes[l + 8]);
        }
        for l in 0..4 {
            lanes[l] = lanes[l].add(lanes[l + 4]);
        }
        for l in 0..2 {
            lanes[l] = lanes[l].add(lanes[l + 2]);
        }
        lanes[0].add(lanes[1])
    }
}

/// What happens to the sums of a block that starts with step `k0`, of a row and `tail` columns from `column`
/// on. `total` keeps them until the last block.
///
/// # Safety
/// As for [`few`].
#[inline(always)]
unsafe fn end<S: Simd>(
    t: &Few,
    (row, column, tail): (usize, usize, usize),
    k0: usize,
    sums: S,
    total: *mut f32,
) -> bool {
    // SAFETY: the contract; `total` has room for a register.
    unsafe {
        let sums = if k0 == 0 { sums } else { S::load(total).add(sums) };
        if k0 + BLOCK < t.k {
            sums.store(total);
            return true;
        }
        let mut end = t.end;
        if end.bias_each && !end.bias.is_null() {
            end.bias = end.bias.wrapping_add(column);
        }
        let tile = Tile {
            k: 0,
            a: t.a,
            a_row: 0,
            a_col: 0,
            b: t.b,
            b_row: 0,
            b_col: 0,
            tail,
            padded: false,
            ahead: 0,
            total: std::ptr::null(),
            total_row: 0,
            c: t.c.wrapping_add(row * t.c_row + column),
            c_row: t.c_row,
            end,
        };
        finish(&tile, [[sums]])
    }
}
