//! Matrix products of f64: packed panels of B, packed slivers of A, tiles in registers.
//!
//! The order of the sums is that of the f32 products: k in blocks of 512, each one chain of fused
//! multiply-adds that starts with 0, added in order (to the old C, where that is wanted).

use super::driver::KB;
use crate::isa::{self, Isa};
use crate::memory::Shared;
use crate::pool::{self, PiecePanicked};
use std::cell::Cell;

/// A product whose windows were checked; no size but k is 0.
pub(super) struct Job {
    pub(super) m: usize,
    pub(super) k: usize,
    pub(super) n: usize,
    pub(super) a: *const f64,
    pub(super) a_strides: [usize; 2],
    pub(super) b: *const f64,
    pub(super) b_strides: [usize; 2],
    pub(super) c: *mut f64,
    pub(super) c_row: usize,
    pub(super) accumulate: bool,
}

/// A register of f64.
trait Lanes: Copy {
    const LANES: usize;
    /// # Safety
    /// The machine has the instructions of the type (so in all methods).
    unsafe fn splat(x: f64) -> Self;
    /// # Safety
    /// `LANES` elements can be read.
    unsafe fn load(p: *const f64) -> Self;
    /// # Safety
    /// `LANES` elements can be written.
    unsafe fn store(self, p: *mut f64);
    /// `self * b + c`.
    ///
    /// # Safety
    /// As for `splat`.
    unsafe fn fma(self, b: Self, c: Self) -> Self;
}

/// Two lanes in plain Rust.
#[derive(Clone, Copy)]
struct Plain([f64; 2]);

impl Lanes for Plain {
    const LANES: usize = 2;
    #[inline(always)]
    unsafe fn splat(x: f64) -> Self {
        Plain([x; 2])
    }
    #[inline(always)]
    unsafe fn load(p: *const f64) -> Self {
        // SAFETY: the caller's promise.
        Plain(unsafe { p.cast::<[f64; 2]>().read_unaligned() })
    }
    #[inline(always)]
    unsafe fn store(self, p: *mut f64) {
        // SAFETY: the caller's promise.
        unsafe { p.cast::<[f64; 2]>().write_unaligned(self.0) }
    }
    #[inline(always)]
    unsafe fn fma(self, b: Self, c: Self) -> Self {
        Plain(std::array::from_fn(|i| {
            if crate::vmath::BASE_FMA {
                self.0[i].mul_add(b.0[i], c.0[i])
            } else {
                self.0[i] * b.0[i] + c.0[i]
            }
        }))
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::Lanes;
    use core::arch::x86_64::*;

    macro_rules! lanes {
        ($t:ty, $n:literal, $splat:ident, $load:ident, $store:ident, $fma:ident) => {
            impl Lanes for $t {
                const LANES: usize = $n;
                #[inline(always)]
                unsafe fn splat(x: f64) -> Self {
                    // SAFETY: the caller's promise.
                    unsafe { $splat(x) }
                }
                #[inline(always)]
                unsafe fn load(p: *const f64) -> Self {
                    // SAFETY: the caller's promise.
                    unsafe { $load(p) }
                }
                #[inline(always)]
                unsafe fn store(self, p: *mut f64) {
                    // SAFETY: the caller's promise.
                    unsafe { $store(p, self) }
                }
                #[inline(always)]
                unsafe fn fma(self, b: Self, c: Self) -> Self {
                    // SAFETY: the caller's promise.
                    unsafe { $fma(self, b, c) }
                }
            }
        };
    }
    lanes!(__m256d, 4, _mm256_set1_pd, _mm256_loadu_pd, _mm256_storeu_pd, _mm256_fmadd_pd);
    lanes!(__m512d, 8, _mm512_set1_pd, _mm512_loadu_pd, _mm512_storeu_pd, _mm512_fmadd_pd);
}

/// The most rows and columns of a tile, of all levels.
const MOST: usize = 8 * 24;
/// Rows of a piece: with a block of k they stay in the second-level cache.
const ROWS: usize = 48;
/// Multiply-adds that are worth a piece of their own.
const WORK: usize = 1 << 19;

/// One tile: `rows x columns` of C from a sliver of A and a panel of B.
#[derive(Clone, Copy)]
struct Tile {
    k: usize,
    a: *const f64,
    b: *const f64,
    c: *mut f64,
    c_row: usize,
    rows: usize,
    columns: usize,
    add: bool,
}

/// The kernel of a level: the rows and columns of its tiles.
#[derive(Clone, Copy)]
struct Kernel {
    rows: usize,
    columns: usize,
    tile: unsafe fn(&Tile),
}

/// # Safety
/// The machine has the instructions of `V`; sliver, panel and tile can be read and written.
#[inline(always)]
unsafe fn tile<V: Lanes, const R: usize, const W: usize>(t: &Tile) {
    // SAFETY: the caller's promise; partial tiles go through an array of a whole one.
    unsafe {
        let mut sums = [[V::splat(0.0); W]; R];
        let (mut a, mut b) = (t.a, t.b);
        for _ in 0..t.k {
            let mut row = [V::splat(0.0); W];
            for (w, x) in row.iter_mut().enumerate() {
                *x = V::load(b.add(w * V::LANES));
            }
            for (r, sum) in sums.iter_mut().enumerate() {
                let x = V::splat(*a.add(r));
                for (s, &y) in sum.iter_mut().zip(&row) {
                    *s = x.fma(y, *s);
                }
            }
            a = a.add(R);
            b = b.add(W * V::LANES);
        }
        let mut whole = [0.0f64; MOST];
        for (r, sum) in sums.iter().enumerate() {
            for (w, s) in sum.iter().enumerate() {
                s.store(whole.as_mut_ptr().add((r * W + w) * V::LANES));
            }
        }
        for (r, row) in whole.chunks_exact(W * V::LANES).take(t.rows).enumerate() {
            let to = std::slice::from_raw_parts_mut(t.c.add(r * t.c_row), t.columns);
            for (c, &s) in to.iter_mut().zip(row) {
                *c = if t.add { *c + s } else { s };
            }
        }
    }
}

macro_rules! kernels {
    ($($(#[$feature:meta])* $name:ident: $v:ty, $rows:literal, $width:literal;)*) => {$(
        /// # Safety
        /// As for [`tile`].
        $(#[$feature])*
        unsafe fn $name(t: &Tile) {
            // SAFETY: the caller's promise.
            unsafe { tile::<$v, $rows, $width>(t) }
        }
    )*};
}
kernels! {
    plain: Plain, 4, 2;
}
#[cfg(target_arch = "x86_64")]
kernels! {
    #[target_feature(enable = "avx2,fma")]
    avx2_narrow: core::arch::x86_64::__m256d, 4, 1;
    #[target_feature(enable = "avx2,fma")]
    avx2: core::arch::x86_64::__m256d, 4, 3;
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
    avx512_narrow: core::arch::x86_64::__m512d, 8, 1;
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
    avx512: core::arch::x86_64::__m512d, 8, 3;
}

/// The kernel of a level for so many columns.
fn kernel(isa: Isa, n: usize) -> Kernel {
    #[cfg(target_arch = "x86_64")]
    match isa {
        Isa::Avx512 if n <= 8 => return Kernel { rows: 8, columns: 8, tile: avx512_narrow },
        Isa::Avx512 => return Kernel { rows: 8, columns: 24, tile: avx512 },
        Isa::Avx2 if n <= 4 => return Kernel { rows: 4, columns: 4, tile: avx2_narrow },
        Isa::Avx2 => return Kernel { rows: 4, columns: 12, tile: avx2 },
        Isa::Generic => {}
    }
    let _ = (isa, n);
    Kernel { rows: 4, columns: 4, tile: plain }
}

/// Copies `count` rows of `k` steps so that the rows' elements of one step lie side by side, padded
/// with zeros to `width`.
///
/// # Safety
/// The source can be read, and `k * width` elements be written at `to`.
unsafe fn pack(
    from: *const f64,
    (across, step): (usize, usize),
    (count, k): (usize, usize),
    width: usize,
    to: *mut f64,
) {
    // SAFETY: the caller's promise.
    unsafe {
        if across == 1 {
            for p in 0..k {
                let row = to.add(p * width);
                std::ptr::copy_nonoverlapping(from.add(p * step), row, count);
                row.add(count).write_bytes(0, width - count);
            }
            return;
        }
        if count < width {
            to.write_bytes(0, k * width);
        }
        // Some steps of every row before the next ones, so that lines of the copy are used at once.
        for first in (0..k).step_by(8) {
            for i in 0..count {
                for p in first..(first + 8).min(k) {
                    to.add(p * width + i).write(from.add(i * across + p * step).read());
                }
            }
        }
    }
}

thread_local! {
    static SLIVERS: Cell<Vec<f64>> = const { Cell::new(Vec::new()) };
    static PANELS: Cell<Vec<f64>> = const { Cell::new(Vec::new()) };
}

/// Runs `f` with room for `len` elements that the thread keeps for the next time.
fn with_room<R>(
    from: &'static std::thread::LocalKey<Cell<Vec<f64>>>,
    len: usize,
    f: impl FnOnce(*mut f64) -> R,
) -> R {
    let mut room = from.take();
    if room.len() < len {
        room.resize(len, 0.0);
    }
    let result = f(room.as_mut_ptr());
    from.set(room);
    result
}

/// Runs pieces here or by the pool.
fn spread(
    alone: bool,
    pieces: usize,
    cost: u64,
    f: &(dyn Fn(usize) + Sync),
) -> Result<(), PiecePanicked> {
    if !alone {
        return pool::run(pieces, cost, f);
    }
    (0..pieces).for_each(f);
    Ok(())
}

/// Computes one product; `alone` on this thread only.
///
/// # Safety
/// All elements of A and B can be read, those of C written, and C overlaps neither.
pub(super) unsafe fn run(job: &Job, alone: bool) -> Result<(), PiecePanicked> {
    let &Job { m, k, n, c_row, .. } = job;
    if k == 0 && !job.accumulate {
        for i in 0..m {
            // SAFETY: the contract above; zeros are numbers.
            unsafe { job.c.add(i * c_row).write_bytes(0, n) };
        }
    }
    let kernel = kernel(isa::active(), n);
    let panels = n.div_ceil(kernel.columns);
    let rows = ROWS.min(m.next_multiple_of(kernel.rows));
    // Pieces of about equal size, also where n is small.
    let rows = (WORK / n.saturating_mul(k).max(1)).clamp(rows, 1024).next_multiple_of(kernel.rows);
    let pieces = m.div_ceil(rows);
    for first in (0..k).step_by(KB) {
        let depth = KB.min(k - first);
        let add = job.accumulate || first > 0;
        with_room(&PANELS, panels * depth * kernel.columns, |room| {
            // SAFETY: pieces write different panels, later different rows of C.
            let shared = unsafe { Shared::new((job, room)) };
            let together = (1 << 14) / (depth * kernel.columns) + 1;
            spread(
                alone,
                panels.div_ceil(together),
                depth.saturating_mul(n) as u64 / 2,
                &|piece| {
                    let &(job, room) = shared.get();
                    for panel in piece * together..((piece + 1) * together).min(panels) {
                        let column = panel * kernel.columns;
                        let count = kernel.columns.min(n - column);
                        let [step, across] = job.b_strides;
                        // SAFETY: inside B, and inside the room.
                        unsafe {
                            let from = job.b.add(first * step + column * across);
                            let to = room.add(panel * depth * kernel.columns);
                            pack(from, (across, step), (count, depth), kernel.columns, to);
                        }
                    }
                },
            )?;
            let cost = m.saturating_mul(n).saturating_mul(depth) as u64 / 24;
            spread(alone, pieces, cost, &|piece| {
                let &(job, room) = shared.get();
                let own = piece * rows..((piece + 1) * rows).min(m);
                // SAFETY: the contract of `run`; these rows are this piece's.
                unsafe { band(job, kernel, own, (first, depth), room, add) };
            })
        })?;
    }
    Ok(())
}

/// One band of rows of C.
///
/// # Safety
/// As for [`run`]; `panels` holds the packed block of B, and nobody else writes these rows.
unsafe fn band(
    job: &Job,
    kernel: Kernel,
    own: std::ops::Range<usize>,
    (first, depth): (usize, usize),
    panels: *const f64,
    add: bool,
) {
    let slivers = own.len().div_ceil(kernel.rows);
    let size = depth * kernel.rows;
    with_room(&SLIVERS, slivers * size, |room| {
        let [across, step] = job.a_strides;
        for sliver in 0..slivers {
            let row = own.start + sliver * kernel.rows;
            let count = kernel.rows.min(own.end - row);
            // SAFETY: inside A, and inside the room.
            unsafe {
                let from = job.a.add(row * across + first * step);
                pack(from, (across, step), (count, depth), kernel.rows, room.add(sliver * size));
            }
        }
        for column in (0..job.n).step_by(kernel.columns) {
            for sliver in 0..slivers {
                let row = own.start + sliver * kernel.rows;
                // SAFETY: inside the rooms and C; the level is the machine's.
                unsafe {
                    (kernel.tile)(&Tile {
                        k: depth,
                        a: room.add(sliver * size),
                        b: panels.add(column * depth),
                        c: job.c.add(row * job.c_row + column),
                        c_row: job.c_row,
                        rows: kernel.rows.min(own.end - row),
                        columns: kernel.columns.min(job.n - column),
                        add,
                    });
                }
            }
        }
    });
}
