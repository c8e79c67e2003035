//! How a product is cut: into pieces for threads, blocks of k, panels of columns and tiles.
//!
//! Everything here depends on the shape alone, never on the number of threads, and none of it
//! changes a bit of the result: the order of the sums is fixed by [`KB`].

use super::beside::{Room, Taken, Taker};
use super::kernels::{Kernels, THIN};
use super::pack::{OWN, Pack, SHARED, with_scratch};
use super::tile::{End, Tile, TileFn};
use crate::pool::PiecePanicked;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

/// Steps of k in a block. Part of the definition of the result, so it is the same everywhere.
pub(super) const KB: usize = 512;

/// Rows in a piece at most: with a block of k this many rows of A stay in the L2 cache.
const PIECE_ROWS: usize = 256;

/// Multiply-adds that make a piece worth handing to another thread.
const PIECE_WORK: usize = 1 << 21;

/// Panels of columns in a piece that goes over A several times.
const PIECE_PANELS: usize = 12;

/// Pieces that keep a few threads busy, and are preferred to wide pieces.
const FEW_PIECES: usize = 12;

/// Up to this many bytes, B is read where it is.
const SMALL_B: usize = 24 << 10;

/// Elements of an operand that are too many for the L2 cache.
const STREAM: usize = 128 << 10;

/// Elements of A and of B that are packed at once, before the pieces run.
const PACKED: usize = 4 << 20;

/// So many pieces of [`GROUP`] slivers are enough for each to pack its own A.
const OWN_PIECES: usize = 8;

/// With so many steps of k nothing is packed before, but each piece packs what it needs.
const MANY_STEPS: usize = 1 << 18;

/// A product whose windows were checked.
pub(super) struct Job<'a> {
    pub(super) m: usize,
    pub(super) k: usize,
    pub(super) n: usize,
    pub(super) a: *const f32,
    pub(super) a_row: usize,
    pub(super) a_col: usize,
    pub(super) b: *const f32,
    pub(super) b_row: usize,
    pub(super) b_col: usize,
    pub(super) c: *mut f32,
    pub(super) c_row: usize,
    pub(super) batch: usize,
    /// Offsets of the batch entries; empty for zeros.
    pub(super) a_batch: &'a [usize],
    pub(super) b_batch: &'a [usize],
    pub(super) c_batch: usize,
    pub(super) end: End,
    /// Takes the tiles; then nothing is written to C, and k is one block.
    pub(super) taker: Option<&'a dyn Taker>,
}

/// `total` things in `count` parts that differ by at most one: start and length of part `i`.
pub(super) fn part(total: usize, count: usize, i: usize) -> (usize, usize) {
    let (base, more) = (total / count, total % count);
    (i * base + i.min(more), base + usize::from(i < more))
}

/// The parts `i` of `count` as a range of things.
fn range(total: usize, count: usize, i: usize) -> Range<usize> {
    let (start, len) = part(total, count, i);
    start..start + len
}

/// Runs the job; says whether all written values are finite (true if that is not watched).
///
/// # Safety
/// The machine has the instruction set of the kernels, all elements of A, B and bias can be read,
/// those of C written, and C overlaps none of the others. No size but k is zero.
#[inline]
pub(super) unsafe fn run(kernels: &Kernels, job: &Job<'_>) -> Result<bool, PiecePanicked> {
    if let Some((kernel, tile)) = one_tile(kernels, job) {
        // SAFETY: the contract above; the kernel is the one for these rows and registers.
        return Ok(unsafe { kernel(&tile) });
    }
    // SAFETY: the contract above.
    unsafe { run_large(kernels, job) }
}

/// The tile that is the whole job, if it is: for the smallest products the rest of this file would
/// be most of the time.
#[inline(always)]
pub(super) fn one_tile(kernels: &Kernels, job: &Job<'_>) -> Option<(TileFn, Tile)> {
    let read = read_b(kernels, job);
    let most = read.most(kernels, job.m);
    let one_tile = job.m <= kernels.rows && job.n <= most * kernels.lanes && job.k <= KB;
    if !one_tile || job.batch != 1 || read == ReadB::Packed {
        return None;
    }
    let tail = (job.n - 1) % kernels.lanes + 1;
    let count = (job.n - tail) / kernels.lanes;
    let tile = Tile {
        k: job.k,
        a: job.a.wrapping_add(*job.a_batch.first().unwrap_or(&0)),
        a_row: job.a_row,
        a_col: job.a_col,
        b: job.b.wrapping_add(*job.b_batch.first().unwrap_or(&0)),
        b_row: job.b_row,
        b_col: job.b_col,
        tail,
        padded: false,
        ahead: 0,
        total: std::ptr::null(),
        total_row: 0,
        c: job.c,
        c_row: job.c_row,
        end: job.end,
    };
    Some((read.kernel(kernels, job.m, count + 1), tile))
}

/// # Safety
/// As for [`run`].
unsafe fn run_large(kernels: &Kernels, job: &Job<'_>) -> Result<bool, PiecePanicked> {
    let work = job.m.saturating_mul(job.n).saturating_mul(job.k.max(1));
    let read = read_b(kernels, job);
    let most = read.most(kernels, job.m);
    // Panels end at whole registers, and slivers and panels differ little in size.
    let vectors = job.n.div_ceil(kernels.lanes);
    let (slivers, panels) = (job.m.div_ceil(kernels.rows), vectors.div_ceil(most));
    // Steps of A that are far apart cost a cache line and a page each, over and over. But no copy
    // of what is repeated: it is near, and the copy could be of any size.
    let repeated = job.a_row == 0 || job.a_col == 0;
    let pack_a = job.a_col != 1 && !repeated && panels > 3 && (17..MANY_STEPS).contains(&job.k);
    // Of a large A each piece packs its own block, which then stays in its cache.
    let own_a = pack_a && slivers >= OWN_PIECES * GROUP && job.m * job.k >= STREAM;
    let plan = Plan { kernels, job, slivers, vectors, panels, read, pack_a, own_a };
    let finite = AtomicBool::new(true);
    let note = |ok: bool| {
        if !ok {
            finite.store(false, Ordering::Relaxed);
        }
    };
    if job.batch > 1 && work < 8 * PIECE_WORK {
        let together = (PIECE_WORK / work).clamp(1, job.batch);
        let cost = work.saturating_mul(job.batch) as u64 / kernels.speed;
        crate::pool::run(job.batch.div_ceil(together), cost, &|p| {
            for entry in p * together..job.batch.min((p + 1) * together) {
                // SAFETY: the contract; each entry has its own part of C.
                note(unsafe { plan.product(entry, work, false) }.unwrap_or(false));
            }
        })?;
    } else {
        for entry in 0..job.batch {
            // SAFETY: the contract above.
            note(unsafe { plan.product(entry, work, work >= PIECE_WORK) }?);
        }
    }
    Ok(finite.load(Ordering::Relaxed))
}

/// Runs pieces here or, if they are many, by the pool.
fn spread(
    parallel: bool,
    pieces: usize,
    cost: u64,
    f: &(dyn Fn(usize) + Sync),
) -> Result<(), PiecePanicked> {
    if parallel && pieces > 1 {
        return crate::pool::run(pieces, cost, f);
    }
    for i in 0..pieces {
        f(i);
    }
    Ok(())
}

/// How B is read.
#[derive(Clone, Copy, PartialEq)]
enum ReadB {
    /// Where it is, rows of it are contiguous.
    InPlace,
    /// Where it is, transposed in registers.
    Thin,
    /// From packed copies of panels.
    Packed,
}

impl ReadB {
    /// Registers a row of the largest tile.
    #[inline(always)]
    fn most(self, kernels: &Kernels, rows: usize) -> usize {
        match self {
            ReadB::Thin => THIN,
            ReadB::InPlace if rows <= 2 => kernels.wide,
            _ => kernels.vectors,
        }
    }

    /// The kernel for so many rows and registers.
    #[inline(always)]
    fn kernel(self, kernels: &Kernels, rows: usize, count: usize) -> TileFn {
        let row = rows.wrapping_sub(1) & 7;
        match self {
            ReadB::Thin => kernels.tables.thin[row][count.wrapping_sub(1) & (THIN - 1)],
            _ => kernels.tables.tiles[row][count.wrapping_sub(1) & 7],
        }
    }
}

/// How a job should read B.
#[inline(always)]
fn read_b(kernels: &Kernels, job: &Job<'_>) -> ReadB {
    if job.b_col == 1 {
        let small = job.m <= 4 * kernels.rows || job.k * job.n * size_of::<f32>() <= SMALL_B;
        if small { ReadB::InPlace } else { ReadB::Packed }
    } else if job.b_row == 1 && job.m <= kernels.rows {
        ReadB::Thin
    } else {
        ReadB::Packed
    }
}

/// A job cut into slivers (rows of a tile) and panels (columns of a tile).
struct Plan<'a> {
    kernels: &'a Kernels,
    job: &'a Job<'a>,
    slivers: usize,
    /// Registers that a row of C takes.
    vectors: usize,
    panels: usize,
    read: ReadB,
    pack_a: bool,
    /// Each piece packs what it needs of A.
    own_a: bool,
}

/// What of one entry of the batch is packed already: a block of k after the other, and in it a
/// sliver or panel after the other.
struct Packed {
    /// Null for nothing.
    a: *mut f32,
    /// First row in `a`, and rows.
    row: usize,
    rows: usize,
    /// Null for nothing.
    b: *mut f32,
    /// First register in `b`, and registers a row of all its panels.
    vector: usize,
    vectors: usize,
}

// SAFETY: the windows behind the pointers outlive the call that made the plan, A, B and bias are
// only read, and each piece writes its own part of C or of the scratch memory.
unsafe impl Sync for Plan<'_> {}
// SAFETY: as above.
unsafe impl Sync for Job<'_> {}
// SAFETY: as above.
unsafe impl Sync for Packed {}

impl Plan<'_> {
    /// Start and length of a sliver, in rows.
    fn sliver(&self, s: usize) -> (usize, usize) {
        part(self.job.m, self.slivers, s)
    }

    /// First column, columns and registers of a panel.
    fn panel(&self, p: usize) -> (usize, usize, usize) {
        let lanes = self.kernels.lanes;
        let (v, count) = part(self.vectors, self.panels, p);
        let j = v * lanes;
        (j, (count * lanes).min(self.job.n - j), count)
    }

    fn a(&self, entry: usize) -> *const f32 {
        self.job.a.wrapping_add(*self.job.a_batch.get(entry).unwrap_or(&0))
    }

    fn b(&self, entry: usize) -> *const f32 {
        self.job.b.wrapping_add(*self.job.b_batch.get(entry).unwrap_or(&0))
    }

    /// One entry of the batch, in parallel or not.
    ///
    /// # Safety
    /// As for [`run`].
    unsafe fn product(
        &self,
        entry: usize,
        work: usize,
        parallel: bool,
    ) -> Result<bool, PiecePanicked> {
        let (job, kernels) = (self.job, self.kernels);
        // What several pieces need packed is packed once, before them.
        let several = job.m > PIECE_ROWS && job.k < MANY_STEPS;
        let pack_b = self.read == ReadB::Packed && several;
        let pack_a = self.pack_a && !self.own_a;
        let none = std::ptr::null_mut();
        let nothing = Packed { a: none, row: 0, rows: 0, b: none, vector: 0, vectors: 0 };
        let (slivers, panels) = (0..self.slivers, 0..self.panels);
        if !pack_b && !pack_a {
            // SAFETY: the contract.
            return unsafe { self.pieces(entry, slivers, panels, &nothing, work, parallel) };
        }
        // In slabs, or the scratch memory would be as large as the operands.
        let slabs = |pack: bool, width: usize, parts: usize| {
            if pack { (width * job.k).div_ceil(PACKED).clamp(1, parts) } else { 1 }
        };
        let a_slabs = slabs(pack_a, job.m, self.slivers);
        let b_slabs = slabs(pack_b, self.vectors * kernels.lanes, self.panels);
        let size = |pack: bool, parts: usize, width: usize| {
            if pack { (parts * width * job.k).next_multiple_of(16) } else { 0 }
        };
        let a_size = size(pack_a, self.slivers.div_ceil(a_slabs), kernels.rows);
        let panel_width = kernels.vectors * kernels.lanes;
        let b_size = size(pack_b, self.panels.div_ceil(b_slabs), panel_width);
        with_scratch(&SHARED, a_size + b_size, |scratch| {
            let mut finite = true;
            for slab in 0..a_slabs * b_slabs {
                let slivers = range(self.slivers, a_slabs, slab / b_slabs);
                let panels = range(self.panels, b_slabs, slab % b_slabs);
                let (row, rows) = self.span(&slivers, |s| self.sliver(s));
                let lanes = kernels.lanes;
                let (vector, vectors) =
                    self.span(&panels, |p| (self.panel(p).0 / lanes, self.panel(p).2));
                let packed = Packed {
                    a: if pack_a { scratch } else { none },
                    row,
                    rows,
                    b: if pack_b { scratch.wrapping_add(a_size) } else { none },
                    vector,
                    vectors,
                };
                // A once for all slabs of B; if B has one slab only, that stays too.
                let new_a = pack_a && slab % b_slabs == 0;
                let new_b = pack_b && (b_slabs > 1 || slab == 0);
                let groups = if new_a { slivers.len().div_ceil(GROUP) } else { 0 };
                let moved_a = if new_a { rows * job.k } else { 0 };
                let moved_b = if new_b { vectors * lanes * job.k } else { 0 };
                let pieces = groups + if new_b { panels.len() } else { 0 };
                spread(parallel, pieces, (moved_a + moved_b) as u64 / 4, &|i| {
                    let packed = &packed;
                    // SAFETY: the contract; each i has its own part of the scratch memory.
                    unsafe {
                        if i < groups {
                            let first = slivers.start + i * GROUP;
                            let group = first..slivers.end.min(first + GROUP);
                            for k0 in (0..job.k).step_by(KB) {
                                self.pack_slivers(entry, group.clone(), k0, packed);
                            }
                        } else {
                            let p = panels.start + i - groups;
                            for k0 in (0..job.k).step_by(KB) {
                                let k = (job.k - k0).min(KB);
                                self.pack_panel(entry, p, k0, packed.panel(self, p, k0, k));
                            }
                        }
                    }
                })?;
                let share = work / (a_slabs * b_slabs);
                // SAFETY: the contract.
                finite &= unsafe { self.pieces(entry, slivers, panels, &packed, share, parallel) }?;
            }
            Ok(finite)
        })
    }

    /// Start and length of a range of parts, given those of each.
    fn span(&self, range: &Range<usize>, f: impl Fn(usize) -> (usize, usize)) -> (usize, usize) {
        let (start, (last, len)) = (f(range.start).0, f(range.end - 1));
        (start, last + len - start)
    }

    /// The pieces of some slivers and panels of an entry.
    ///
    /// # Safety
    /// As for [`run`].
    unsafe fn pieces(
        &self,
        entry: usize,
        slivers: Range<usize>,
        panels: Range<usize>,
        packed: &Packed,
        work: usize,
        parallel: bool,
    ) -> Result<bool, PiecePanicked> {
        let most = if self.own_a { GROUP } else { PIECE_ROWS / self.kernels.rows };
        let row_cuts = slivers.len().div_ceil(most);
        // Wide pieces use a block of A more often while it is in the cache.
        let mut column_cuts = panels.len().div_ceil(PIECE_PANELS);
        if self.own_a {
            column_cuts = 1;
        } else if parallel {
            let many = work / row_cuts / PIECE_WORK;
            let few = if self.job.k > KB || self.pack_a {
                column_cuts.max(FEW_PIECES.div_ceil(row_cuts))
            } else {
                usize::MAX
            };
            column_cuts = many.min(few).max(column_cuts).min(panels.len());
        }
        let finite = AtomicBool::new(true);
        let cost = work as u64 / self.kernels.speed;
        spread(parallel, row_cuts * column_cuts, cost, &|i| {
            let rows = range(slivers.len(), row_cuts, i / column_cuts);
            let rows = slivers.start + rows.start..slivers.start + rows.end;
            let columns = range(panels.len(), column_cuts, i % column_cuts);
            let columns = panels.start + columns.start..panels.start + columns.end;
            // SAFETY: the contract; the pieces cut C into disjoint parts.
            if !unsafe { self.piece(entry, rows, columns, packed) } {
                finite.store(false, Ordering::Relaxed);
            }
        })?;
        Ok(finite.load(Ordering::Relaxed))
    }

    /// One piece: some slivers by some panels.
    ///
    /// # Safety
    /// As for [`run`].
    unsafe fn piece(
        &self,
        entry: usize,
        slivers: Range<usize>,
        panels: Range<usize>,
        packed: &Packed,
    ) -> bool {
        let (job, kernels) = (self.job, self.kernels);
        let own_b = self.read == ReadB::Packed && packed.b.is_null();
        let b_size = if own_b { job.k.min(KB) * kernels.vectors * kernels.lanes } else { 0 };
        // With several blocks of k their sum grows in C, unless the old C is still needed.
        let (i0, rows) = self.span(&slivers, |s| self.sliver(s));
        let (j0, cols) = self.span(&panels, |p| (self.panel(p).0, self.panel(p).1));
        let total_size = if job.end.accumulate && job.k > KB { rows * cols } else { 0 };
        let none = std::ptr::null_mut();
        let a_size = if self.own_a { job.k.min(KB) * rows } else { 0 };
        let body = |scratch: *mut f32| {
            let own = if own_b { scratch } else { none };
            let own_a = if self.own_a { scratch.wrapping_add(b_size) } else { none };
            let sums = scratch.wrapping_add(b_size + a_size);
            let sums = if total_size > 0 { sums } else { none };
            let c = job.c.wrapping_add(entry * job.c_batch);
            let mut finite = true;
            let mut k0 = 0;
            loop {
                let k = (job.k - k0).min(KB);
                let last = k0 + k == job.k;
                // Where this block's sums go, and where those of the blocks before are.
                let in_c = (c.wrapping_add(i0 * job.c_row + j0), job.c_row);
                let apart = if sums.is_null() { in_c } else { (sums, cols) };
                let step = Step {
                    entry,
                    k0,
                    k,
                    own,
                    out: if last { in_c } else { apart },
                    total: if k0 == 0 { (none, 0) } else { apart },
                    end: if last { job.end } else { End::NOTHING },
                };
                // SAFETY: the contract, and the scratch memory has room for all parts.
                finite &= unsafe {
                    if self.own_a {
                        // Only this block of k is there.
                        let a = own_a.wrapping_sub(rows * k0);
                        let packed = Packed { a, row: i0, rows, ..*packed };
                        self.pack_slivers(entry, slivers.clone(), k0, &packed);
                        self.step(&step, slivers.clone(), panels.clone(), &packed)
                    } else {
                        self.step(&step, slivers.clone(), panels.clone(), packed)
                    }
                };
                if last {
                    return finite;
                }
                k0 += k;
            }
        };
        let size = b_size + a_size + total_size;
        if size == 0 { body(none) } else { with_scratch(&OWN, size, body) }
    }

    /// One block of k of a piece.
    ///
    /// # Safety
    /// As for [`run`].
    unsafe fn step(
        &self,
        step: &Step,
        slivers: Range<usize>,
        panels: Range<usize>,
        packed: &Packed,
    ) -> bool {
        let (job, kernels) = (self.job, self.kernels);
        let &Step { k0, k, .. } = step;
        let a = self.a(step.entry).wrapping_add(k0 * job.a_col);
        let b = self.b(step.entry).wrapping_add(k0 * job.b_row);
        let (i0, j0) = (self.sliver(slivers.start).0, self.panel(panels.start).0);
        let few = if self.read == ReadB::Thin { kernels.rows } else { 2 };
        let far = job.m <= few && job.k * job.n >= STREAM;
        let mut finite = true;
        let mut rooms = [const { Room::new() }; 2];
        let (mut before, mut turn) = (None, 0);
        for p in panels {
            let (j, cols, count) = self.panel(p);
            let mut t = Tile {
                k,
                a,
                a_row: job.a_row,
                a_col: job.a_col,
                b: b.wrapping_add(j * job.b_col),
                b_row: job.b_row,
                b_col: job.b_col,
                tail: cols - (count - 1) * kernels.lanes,
                padded: false,
                ahead: if far { 16 } else { 0 },
                total: std::ptr::null(),
                total_row: step.total.1,
                c: step.out.0,
                c_row: step.out.1,
                end: step.end,
            };
            if step.end.bias_each && !step.end.bias.is_null() {
                t.end.bias = step.end.bias.wrapping_add(j);
            }
            if self.read == ReadB::Packed {
                let panel = if packed.b.is_null() {
                    // SAFETY: the contract.
                    unsafe { self.pack_panel(step.entry, p, k0, step.own) };
                    step.own
                } else {
                    packed.panel(self, p, k0, k)
                };
                (t.b, t.b_row, t.padded) = (panel, count * kernels.lanes, true);
            }
            for s in slivers.clone() {
                let (i, rows) = self.sliver(s);
                if packed.a.is_null() {
                    t.a = a.wrapping_add(i * job.a_row);
                } else {
                    t.a = packed.a.wrapping_add(packed.rows * k0 + (i - packed.row) * k);
                    (t.a_row, t.a_col) = (1, rows);
                }
                t.c = step.out.0.wrapping_add((i - i0) * step.out.1 + (j - j0));
                if !step.total.0.is_null() {
                    t.total = step.total.0.wrapping_add((i - i0) * step.total.1 + (j - j0));
                }
                let kernel = self.read.kernel(kernels, rows, count);
                let Some(taker) = job.taker else {
                    // SAFETY: the contract; the kernel is the one for this many rows and registers.
                    finite &= unsafe { kernel(&t) };
                    continue;
                };
                (t.c, t.c_row) = (rooms[turn].at(), count * kernels.lanes);
                let (values, value_row, at) = (t.c.cast_const(), t.c_row, i * job.c_row + j);
                let next = Taken { values, value_row, at, row: job.c_row, rows, cols };
                // SAFETY: as above; the room of the tile before is the other one.
                unsafe { taker.tile(kernel, &t, before.as_ref(), &next) };
                (before, turn) = (Some(next), 1 - turn);
            }
        }
        if let (Some(taker), Some(last)) = (job.taker, before) {
            // SAFETY: it was computed, and nobody has taken it.
            unsafe { taker.take(&last) };
        }
        finite
    }

    /// Packs a panel's block of k that starts with `k0`.
    ///
    /// # Safety
    /// As for [`run`], and the panel has room at `dst`.
    unsafe fn pack_panel(&self, entry: usize, p: usize, k0: usize, dst: *mut f32) {
        let (job, kernels) = (self.job, self.kernels);
        let (j, cols, count) = self.panel(p);
        let pack = Pack {
            src: self.b(entry).wrapping_add(k0 * job.b_row + j * job.b_col),
            step: job.b_row,
            across: job.b_col,
            k: (job.k - k0).min(KB),
            count: cols,
            width: count * kernels.lanes,
            dst,
            repeat: 1,
            apart: 0,
        };
        // SAFETY: the contract.
        unsafe { (kernels.panel)(&pack) }
    }

    /// Packs a block of k of a group of slivers of A, the block that starts with `k0`.
    ///
    /// # Safety
    /// As for [`run`], and A has room in the scratch memory.
    unsafe fn pack_slivers(&self, entry: usize, group: Range<usize>, k0: usize, packed: &Packed) {
        let job = self.job;
        let k = (job.k - k0).min(KB);
        let (mut s, end) = (group.start, group.end);
        while s < end {
            // The first slivers may have a row more than the others.
            let (i, rows) = self.sliver(s);
            let repeat = (s..end).take_while(|&s| self.sliver(s).1 == rows).count();
            let pack = Pack {
                src: self.a(entry).wrapping_add(i * job.a_row + k0 * job.a_col),
                step: job.a_col,
                across: job.a_row,
                k,
                count: rows,
                width: rows,
                dst: packed.a.wrapping_add(packed.rows * k0 + (i - packed.row) * k),
                repeat,
                apart: rows * k,
            };
            // SAFETY: the contract; a sliver takes rows * k elements.
            unsafe { (self.kernels.slivers)(&pack) };
            s += repeat;
        }
    }
}

/// Slivers that are packed together.
const GROUP: usize = 8;

impl Packed {
    /// Where a panel's block of k is.
    fn panel(&self, plan: &Plan<'_>, p: usize, k0: usize, k: usize) -> *mut f32 {
        let lanes = plan.kernels.lanes;
        let v = part(plan.vectors, plan.panels, p).0 - self.vector;
        self.b.wrapping_add((self.vectors * k0 + v * k) * lanes)
    }
}

/// One block of k of a piece: what of A and B, and where the sums go.
struct Step {
    entry: usize,
    k0: usize,
    k: usize,
    /// Room for a packed panel.
    own: *mut f32,
    /// Where the piece starts, and distance of its rows.
    out: (*mut f32, usize),
    /// Sums of the blocks before; null for none.
    total: (*mut f32, usize),
    end: End,
}
