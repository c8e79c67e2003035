//! Products of few rows with rows of B side by side, summed over lanes all the same (see [`super`]): lane after
//! lane, or row after row of B.

#![allow(clippy::needless_range_loop)] // rows and registers are indices into several arrays

use super::super::simd::Simd;
use super::super::tile::{End, Tile};
use super::{BLOCK, Few, WIDE, end, tree};

/// Elements of the lanes and totals of a panel.
pub(super) const ROOM: usize = (WIDE + 1) * 512;

/// Columns of B whose lanes, for so many rows, stay in the L1 cache.
pub(super) fn panel(rows: usize) -> usize {
    [512, 256, 128, 128].get(rows.wrapping_sub(1)).copied().unwrap_or(128)
}

/// Steps of a lane by which rows of B are asked for: more would push one another out of the L1 cache.
const AHEAD: usize = 5;

/// Rows of B that are so many elements apart, or a multiple of it, share few sets of the L1 cache with those of the
/// same lane.
const ALIKE: usize = 64;

/// # Safety
/// As for [`super::few`], and the rows of B are side by side.
#[inline(always)]
pub(super) unsafe fn rows<S: Simd, const P: usize>(t: &Few) -> bool {
    // SAFETY: the contract.
    unsafe {
        if t.b_row.is_multiple_of(ALIKE) {
            // With registers of 16 lanes there are 32 of them.
            return match (t.m, P) {
                (1, 1) => added::<S, 1, 8>(t),
                (2, 1) => added::<S, 2, 8>(t),
                (3, 1) => added::<S, 3, 4>(t),
                (_, 1) => added::<S, 4, 4>(t),
                (1, _) => added::<S, 1, 4>(t),
                (2, _) => added::<S, 2, 2>(t),
                (3, _) => added::<S, 3, 2>(t),
                (..) => added::<S, 4, 2>(t),
            };
        }
        let mut finite = true;
        for i in (0..t.m).step_by(t.kernels.rows) {
            finite &= laned::<S>(t, i, t.kernels.rows.min(t.m - i));
        }
        finite
    }
}

/// `count` rows from row `i` on, rows of B side by side: lane after lane by the tile kernels, which take
/// every sixteenth row of B.
///
/// # Safety
/// As for [`few`].
#[inline(always)]
unsafe fn laned<S: Simd>(t: &Few, i: usize, count: usize) -> bool {
    let kernels = t.kernels;
    let most = if count <= 2 { kernels.wide } else { kernels.vectors } * kernels.lanes;
    let mut finite = true;
    for j in (0..t.columns).step_by(most) {
        let columns = most.min(t.columns - j);
        let (registers, padded) = (columns.div_ceil(kernels.lanes), columns.next_multiple_of(WIDE));
        let kernel = kernels.tables.tiles[(count - 1) & 7][(registers - 1) & 7];
        let totals = t.room.wrapping_add(WIDE * count * padded);
        for k0 in (0..t.k).step_by(BLOCK) {
            let k = (t.k - k0).min(BLOCK);
            for lane in 0..WIDE {
                let tile = Tile {
                    k: (k + WIDE - 1 - lane) / WIDE,
                    a: t.a.wrapping_add(i * t.a_row + k0 + lane),
                    a_row: t.a_row,
                    a_col: WIDE,
                    b: t.b.wrapping_add((k0 + lane) * t.b_row + j),
                    b_row: WIDE * t.b_row,
                    b_col: 1,
                    tail: columns - (registers - 1) * kernels.lanes,
                    padded: false,
                    ahead: AHEAD,
                    total: std::ptr::null(),
                    total_row: 0,
                    c: t.room.wrapping_add(lane * count * padded),
                    c_row: padded,
                    end: End::NOTHING,
                };
                // SAFETY: the contract; the kernel is the one for these rows and registers, and the
                // lanes have room.
                unsafe { kernel(&tile) };
            }
            let filled = if k.is_multiple_of(WIDE) { WIDE } else { k % WIDE };
            for r in 0..count {
                for v in (0..columns).step_by(S::LANES) {
                    let at = t.room.wrapping_add(r * padded + v);
                    // SAFETY: the contract; a row of lanes or totals is whole registers.
                    unsafe {
                        let lanes = std::array::from_fn(|l| {
                            let x = S::load(at.wrapping_add(l * count * padded));
                            // The last round is filled up with zeros, which make 0 of -0.
                            if l < filled { x } else { x.add(S::zero()) }
                        });
                        let total = totals.wrapping_add(r * padded + v);
                        let place = (i + r, j + v, (columns - v).min(S::LANES));
                        finite &= end::<S>(t, place, k0, tree(lanes), total);
                    }
                }
            }
        }
    }
    finite
}

/// All rows, rows of B side by side: each is added to the lanes of its steps, which stay in the L1 cache. `M` is
/// the number of rows, `R` how many steps of a lane are added at once.
///
/// # Safety
/// As for [`few`].
#[inline(always)]
unsafe fn added<S: Simd, const M: usize, const R: usize>(t: &Few) -> bool {
    let mut finite = true;
    let panel = panel(M);
    for j in (0..t.columns).step_by(panel) {
        let columns = panel.min(t.columns - j);
        let padded = columns.next_multiple_of(WIDE);
        let totals = t.room.wrapping_add(WIDE * M * padded);
        for k0 in (0..t.k).step_by(BLOCK) {
            let k = (t.k - k0).min(BLOCK);
            let a = t.a.wrapping_add(k0);
            let b = t.b.wrapping_add(k0 * t.b_row + j);
            let lanes =
                Lanes { a, a_row: t.a_row, b, b_row: t.b_row, columns, to: t.room, to_row: padded };
            // SAFETY: the contract; the steps are inside of the block, and the room has all lanes.
            unsafe {
                for s in (0..k).step_by(R * WIDE) {
                    for lane in 0..WIDE {
                        let first = s + lane;
                        if first + (R - 1) * WIDE < k {
                            lanes.add::<S, M, R>(lane, first, s == 0);
                            continue;
                        }
                        if first >= k && s == 0 {
                            lanes.add::<S, M, 0>(lane, first, true);
                        }
                        for step in (first..k).step_by(WIDE) {
                            lanes.add::<S, M, 1>(lane, step, step < WIDE);
                        }
                    }
                }
            }
            let filled = if k.is_multiple_of(WIDE) { WIDE } else { k % WIDE };
            for r in 0..M {
                for v in (0..columns).step_by(S::LANES) {
                    let at = t.room.wrapping_add(r * padded + v);
                    // SAFETY: the contract; a row of lanes or totals is whole registers.
                    unsafe {
                        let mut lanes = [S::zero(); WIDE];
                        for (l, x) in lanes.iter_mut().enumerate() {
                            *x = S::load(at.wrapping_add(l * M * padded));
                            if l >= filled {
                                // The last round is filled up with zeros, which make 0 of -0.
                                *x = x.add(S::zero());
                            }
                        }
                        let total = totals.wrapping_add(r * padded + v);
                        let place = (r, j + v, (columns - v).min(S::LANES));
                        finite &= end::<S>(t, place, k0, tree(lanes), total);
                    }
                }
            }
        }
    }
    finite
}

/// Lanes of the sums of some columns, over a block of k, a row of them after the other.
struct Lanes {
    a: *const f32,
    a_row: usize,
    b: *const f32,
    b_row: usize,
    columns: usize,
    to: *mut f32,
    to_row: usize,
}

impl Lanes {
    /// Adds the steps `step`, `step + WIDE` and so on, `R` of them, to a lane, which starts with 0 if it is
    /// `fresh`.
    ///
    /// # Safety
    /// As for [`few`]; the steps exist, and `to` has room for all lanes of `M` rows.
    #[inline(always)]
    unsafe fn add<S: Simd, const M: usize, const R: usize>(
        &self,
        lane: usize,
        step: usize,
        fresh: bool,
    ) {
        let to = self.to.wrapping_add(lane * M * self.to_row);
        let b = self.b.wrapping_add(step * self.b_row);
        // SAFETY: the contract; the last columns are read under a mask.
        unsafe {
            let mut x = [[S::zero(); R]; M];
            for (r, x) in x.iter_mut().enumerate() {
                for (q, x) in x.iter_mut().enumerate() {
                    *x = S::splat(*self.a.add(r * self.a_row + step + q * WIDE));
                }
            }
            let whole = self.columns - self.columns % S::LANES;
            for v in (0..whole).step_by(S::LANES) {
                let mut y = [S::zero(); R];
                for (q, y) in y.iter_mut().enumerate() {
                    *y = S::load(b.wrapping_add(q * WIDE * self.b_row + v));
                }
                for (r, x) in x.iter().enumerate() {
                    let at = to.wrapping_add(r * self.to_row + v);
                    let mut sum = if fresh { S::zero() } else { S::load(at) };
                    for q in 0..R {
                        sum = x[q].fma(y[q], sum);
                    }
                    sum.store(at);
                }
            }
            if whole < self.columns {
                let mask = S::mask(self.columns - whole);
                let mut y = [S::zero(); R];
                for (q, y) in y.iter_mut().enumerate() {
                    *y = S::load_mask(b.wrapping_add(q * WIDE * self.b_row + whole), mask);
                }
                for (r, x) in x.iter().enumerate() {
                    let at = to.wrapping_add(r * self.to_row + whole);
                    let mut sum = if fresh { S::zero() } else { S::load(at) };
                    for q in 0..R {
                        sum = x[q].fma(y[q], sum);
                    }
                    sum.store(at);
                }
            }
        }
    }
}
