//! The micro-kernel, and the table of what an instruction set has.

#![allow(clippy::needless_range_loop)] // rows and registers are indices into several arrays

use super::copy::{Ahead, Pad, Turn, add, pad, turn};
use crate::gemm::pack::{Pack, PackFn, panel};
use crate::gemm::simd::{Base, Simd};
use crate::isa::Isa;
use std::cell::Cell;

use crate::gemm::pack::Scratch;
pub(super) use crate::gemm::pack::with_scratch;

thread_local! {
    /// What several pieces read: packed weights, or partial sums.
    pub(super) static SHARED: Scratch = const { Cell::new(Vec::new()) };
    /// What one piece needs, on the thread that runs it.
    pub(super) static OWN: Scratch = const { Cell::new(Vec::new()) };
}

/// Taps in a block: one chain of multiply-adds. Part of the definition of the result.
pub(super) const BLOCK: usize = 512;

/// Rows of the largest tile of any instruction set.
pub(super) const MOST_ROWS: usize = 12;

/// Elements of the window that [`run`] takes together.
pub(super) const RUN: usize = 3;

/// Registers of the widest tile of any instruction set.
const MOST_VECTORS: usize = 3;

/// What a tile kernel works on: row `r` and tap `t` meet `a[rows[r] + taps[t]]` and row `t` of B,
/// and the sums go to `c[to[r]]`. In an `EACH` tile a row has data of its own for every lane.
#[derive(Clone, Copy)]
pub(super) struct Tile {
    pub(super) a: *const f32,
    pub(super) rows: *const usize,
    pub(super) taps: *const usize,
    pub(super) count: usize,
    /// Distance of two rows, where a tile takes its rows by it.
    pub(super) step: usize,
    /// Registers of a row side by side, rows so far apart.
    pub(super) b: *const f32,
    pub(super) b_row: usize,
    pub(super) c: *mut f32,
    pub(super) to: *const usize,
    /// Lanes of the last register that are stored, at least one.
    pub(super) tail: usize,
    /// Add to what C holds.
    pub(super) add: bool,
    /// Added last, an element a lane; null for none.
    pub(super) bias: *const f32,
    pub(super) relu: bool,
}

/// A tile of `[rows - 1][registers - 1]`.
pub(super) type TileFn = unsafe fn(&Tile);

/// # Safety
/// The machine has the instruction set of `S`; `rows` has `MR` offsets, `taps` and B `count` rows;
/// what their sums point to can be read (for `EACH`, whole registers), and `MR` rows of `NV`
/// registers less what the tail leaves out be written at C and read at the bias.
#[inline(always)]
unsafe fn tile<S: Simd, const MR: usize, const NV: usize, const EACH: bool>(t: &Tile) {
    // SAFETY: the contract above.
    unsafe {
        let rows: [*const f32; MR] =
            std::array::from_fn(|r| t.a.wrapping_add(*t.rows.wrapping_add(r)));
        let mut acc = [[S::zero(); NV]; MR];
        let mut b = t.b;
        let mut taps = t.taps;
        for _ in 0..t.count {
            let at = *taps;
            let bv: [S; NV] = std::array::from_fn(|v| S::load(b.wrapping_add(v * S::LANES)));
            for r in 0..MR {
                let p = rows[r].wrapping_add(at);
                if EACH {
                    for v in 0..NV {
                        acc[r][v] = S::load(p.wrapping_add(v * S::LANES)).step(bv[v], acc[r][v]);
                    }
                } else {
                    let x = S::splat(*p);
                    for v in 0..NV {
                        acc[r][v] = x.step(bv[v], acc[r][v]);
                    }
                }
            }
            b = b.wrapping_add(t.b_row);
            taps = taps.wrapping_add(1);
        }
        finish(t, acc);
    }
}

/// One register a row. Rows lie `step` apart, and so do the [`RUN`] taps that follow each other, so
/// that what is read for one row is used for its neighbours: with a read for each multiplication
/// the machine would read more than it multiplies.
///
/// # Safety
/// As for [`tile`]; the count is a multiple of [`RUN`], and `rows` and `taps` are as said above.
#[inline(always)]
unsafe fn run<S: Simd, const MR: usize>(t: &Tile) {
    // SAFETY: the contract above.
    unsafe {
        let first = t.a.wrapping_add(*t.rows);
        let rows: [*const f32; MOST_ROWS + RUN - 1] =
            std::array::from_fn(|r| first.wrapping_add(r * t.step));
        let mut acc = [[S::zero(); 1]; MR];
        let mut b = t.b;
        let mut taps = t.taps;
        for _ in 0..t.count / RUN {
            let at = *taps;
            let bv: [S; RUN] = std::array::from_fn(|v| S::load(b.wrapping_add(v * t.b_row)));
            for q in 0..MR + RUN - 1 {
                let x = S::splat(*rows[q].wrapping_add(at));
                for v in 0..RUN {
                    if v <= q && q - v < MR {
                        acc[q - v][0] = x.step(bv[v], acc[q - v][0]);
                    }
                }
            }
            b = b.wrapping_add(RUN * t.b_row);
            taps = taps.wrapping_add(RUN);
        }
        finish(t, acc);
    }
}

/// Earlier blocks, bias, activation, then the stores.
///
/// # Safety
/// As for [`tile`].
#[inline(always)]
unsafe fn finish<S: Simd, const MR: usize, const NV: usize>(t: &Tile, mut acc: [[S; NV]; MR]) {
    // SAFETY: the contract of `tile`; the last register of a row is only touched under the mask.
    unsafe {
        let mask = S::mask(t.tail);
        let load = |p: *const f32, v: usize| {
            let p = p.wrapping_add(v * S::LANES);
            if v == NV - 1 { S::load_mask(p, mask) } else { S::load(p) }
        };
        if t.add {
            for r in 0..MR {
                let c = t.c.wrapping_add(*t.to.wrapping_add(r));
                for v in 0..NV {
                    acc[r][v] = load(c, v).add(acc[r][v]);
                }
            }
        }
        if !t.bias.is_null() {
            for v in 0..NV {
                let bias = load(t.bias, v);
                for row in &mut acc {
                    row[v] = row[v].add(bias);
                }
            }
        }
        if t.relu {
            for row in &mut acc {
                for x in row.iter_mut() {
                    *x = x.relu();
                }
            }
        }
        let whole = S::FREE_MASK || t.tail == S::LANES;
        for r in 0..MR {
            let c = t.c.wrapping_add(*t.to.wrapping_add(r));
            for v in 0..NV - 1 {
                acc[r][v].store(c.wrapping_add(v * S::LANES));
            }
            let last = c.wrapping_add((NV - 1) * S::LANES);
            if whole && !S::FREE_MASK {
                acc[r][NV - 1].store(last);
            } else {
                acc[r][NV - 1].store_mask(last, mask);
            }
        }
    }
}

/// What the drivers need to know about an instruction set.
pub(super) struct Kernels {
    /// Lanes in a register.
    pub(super) lanes: usize,
    /// Registers of the widest tile.
    pub(super) vectors: usize,
    /// Rows of the largest tile with so many registers, for data that all lanes share; and where
    /// each lane has its own.
    rows: [[usize; MOST_VECTORS]; 2],
    tiles: [[[TileFn; MOST_VECTORS]; MOST_ROWS]; 2],
    /// Tiles of neighbours, where they are worth it.
    runs: Option<[TileFn; MOST_ROWS]>,
    pub(super) turn: unsafe fn(&Turn),
    pub(super) add: unsafe fn(*mut f32, *const f32, usize),
    pub(super) pad: unsafe fn(&Pad),
    pub(super) panel: PackFn,
    /// Multiply-adds a nanosecond, roughly.
    pub(super) speed: u64,
}

impl Kernels {
    /// Rows of the largest tile that has so many registers.
    pub(super) fn rows(&self, each: bool, vectors: usize) -> usize {
        self.rows[usize::from(each)][vectors.clamp(1, self.vectors) - 1]
    }

    /// The tile of so many rows and registers.
    #[inline(always)]
    pub(super) fn tile(&self, each: bool, rows: usize, vectors: usize) -> TileFn {
        let vectors = vectors.clamp(1, self.vectors);
        self.tiles[usize::from(each)][rows.clamp(1, MOST_ROWS) - 1][vectors - 1]
    }

    /// Whether there are tiles for neighbours.
    pub(super) fn has_runs(&self) -> bool {
        self.runs.is_some()
    }

    /// Computes `count` rows from row `first` on, of which every `line` are neighbours.
    ///
    /// # Safety
    /// As for [`run`].
    pub(super) unsafe fn runs(
        &self,
        line: usize,
        first: usize,
        count: usize,
        t: &Tile,
        ahead: &mut Ahead,
    ) {
        let Some(runs) = &self.runs else { return };
        let (mut t, mut done) = (*t, 0);
        while done < count {
            let here = (line - (first + done) % line).min(count - done);
            let tiles = here.div_ceil(MOST_ROWS);
            let (base, more) = (here / tiles, here % tiles);
            for i in 0..tiles {
                let rows = base + usize::from(i < more);
                ahead.step();
                // SAFETY: the contract; the kernel is the one for these sizes.
                unsafe { runs[rows.clamp(1, MOST_ROWS) - 1](&t) };
                t.rows = t.rows.wrapping_add(rows);
                t.to = t.to.wrapping_add(rows);
            }
            done += here;
        }
    }

    /// Computes `count` rows, tile by tile.
    ///
    /// # Safety
    /// As for a tile of `count` rows and `vectors` registers.
    #[inline(always)]
    pub(super) unsafe fn sweep(
        &self,
        each: bool,
        vectors: usize,
        count: usize,
        t: &Tile,
        ahead: &mut Ahead,
    ) {
        let tiles = count.div_ceil(self.rows(each, vectors)).max(1);
        let (base, more) = (count / tiles, count % tiles);
        let mut t = *t;
        for i in 0..tiles {
            let rows = base + usize::from(i < more);
            ahead.step();
            if rows > 0 {
                // SAFETY: the contract; the kernel is the one for these sizes.
                unsafe { self.tile(each, rows, vectors)(&t) };
            }
            t.rows = t.rows.wrapping_add(rows);
            t.to = t.to.wrapping_add(rows);
        }
    }
}

/// The kernels of a level, for operands that are pairs of bf16 or not.
#[cfg_attr(not(target_arch = "x86_64"), allow(unused_variables))]
pub(super) fn of(isa: Isa, pairs: bool) -> &'static Kernels {
    match isa {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 if pairs => &PAIRS,
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => &AVX512,
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => &AVX2,
        _ => &GENERIC,
    }
}

macro_rules! kernels {
    ($module:ident, $simd:ty, $(#[$feature:meta])?) => {
        mod $module {
            use super::*;
            /// # Safety
            /// See [`super::tile`].
            $(#[$feature])?
            pub(super) unsafe fn shared<const MR: usize, const NV: usize>(t: &Tile) {
                // SAFETY: the same contract.
                unsafe { tile::<$simd, MR, NV, false>(t) }
            }
            /// # Safety
            /// See [`super::tile`].
            $(#[$feature])?
            pub(super) unsafe fn each<const MR: usize, const NV: usize>(t: &Tile) {
                // SAFETY: the same contract.
                unsafe { tile::<$simd, MR, NV, true>(t) }
            }
            /// # Safety
            /// See [`run`].
            $(#[$feature])?
            #[allow(dead_code)] // one level has them
            pub(super) unsafe fn neighbours<const MR: usize>(t: &Tile) {
                // SAFETY: the same contract.
                unsafe { run::<$simd, MR>(t) }
            }
            /// # Safety
            /// See [`turn`].
            $(#[$feature])?
            pub(super) unsafe fn turned(t: &Turn) {
                // SAFETY: the same contract.
                unsafe { turn::<$simd>(t) }
            }
            /// # Safety
            /// See [`add`].
            $(#[$feature])?
            pub(super) unsafe fn added(a: *mut f32, b: *const f32, n: usize) {
                // SAFETY: the same contract.
                unsafe { add::<$simd>(a, b, n) }
            }
            /// # Safety
            /// See [`pad`].
            $(#[$feature])?
            pub(super) unsafe fn padded(p: &Pad) {
                // SAFETY: the same contract.
                unsafe { pad::<$simd>(p) }
            }
            /// # Safety
            /// See [`panel`].
            $(#[$feature])?
            pub(super) unsafe fn packed(p: &Pack) {
                // SAFETY: the same contract.
                unsafe { panel::<$simd>(p) }
            }
        }
    };
}

kernels!(generic, Base,);
#[cfg(target_arch = "x86_64")]
kernels!(avx2, crate::gemm::simd::Avx2, #[target_feature(enable = "avx2,fma")]);
#[cfg(target_arch = "x86_64")]
kernels!(
    avx512,
    crate::gemm::simd::Avx512,
    #[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl")]
);
#[cfg(target_arch = "x86_64")]
kernels!(
    pairs,
    crate::gemm::simd::Avx512Bf16,
    #[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl,avx512bf16")]
);

/// The table of an instruction set. For one, two and three registers: rows of the largest tile of
/// either kind; sizes that it lacks repeat the largest.
macro_rules! table {
    ($module:ident, lanes: $lanes:expr, vectors: $vectors:literal, speed: $speed:literal, runs: $runs:expr,
     shared: $s1:literal $s2:literal $s3:literal, each: $e1:literal $e2:literal $e3:literal) => {
        Kernels {
            lanes: $lanes,
            vectors: $vectors,
            rows: [[$s1, $s2, $s3], [$e1, $e2, $e3]],
            tiles: [
                table!(@rows $module shared $vectors $s1 $s2 $s3),
                table!(@rows $module each $vectors $e1 $e2 $e3),
            ],
            runs: $runs,
            turn: $module::turned,
            add: $module::added,
            pad: $module::padded,
            panel: $module::packed,
            speed: $speed,
        }
    };
    (@rows $module:ident $kind:ident $v:literal $a:literal $b:literal $c:literal) => {
        [
            table!(@row $module $kind $v 1 $a $b $c), table!(@row $module $kind $v 2 $a $b $c),
            table!(@row $module $kind $v 3 $a $b $c), table!(@row $module $kind $v 4 $a $b $c),
            table!(@row $module $kind $v 5 $a $b $c), table!(@row $module $kind $v 6 $a $b $c),
            table!(@row $module $kind $v 7 $a $b $c), table!(@row $module $kind $v 8 $a $b $c),
            table!(@row $module $kind $v 9 $a $b $c), table!(@row $module $kind $v 10 $a $b $c),
            table!(@row $module $kind $v 11 $a $b $c), table!(@row $module $kind $v 12 $a $b $c),
        ]
    };
    (@row $module:ident $kind:ident $v:literal $r:literal $a:literal $b:literal $c:literal) => {
        [
            $module::$kind::<{ if $r < $a { $r } else { $a } }, 1>,
            $module::$kind::<{ if $r < $b { $r } else { $b } }, 2>,
            $module::$kind::<{ if $r < $c { $r } else { $c } }, { if $v < 3 { 2 } else { 3 } }>,
        ]
    };
}

static GENERIC: Kernels = table!(generic, lanes: Base::LANES, vectors: 2, speed: 8, runs: None,
    shared: 6 4 4, each: 6 4 4);

#[cfg(target_arch = "x86_64")]
static AVX2: Kernels = table!(avx2, lanes: 8, vectors: 2, speed: 40, runs: None,
    shared: 12 6 6, each: 8 5 5);

/// Tiles of neighbours of a module.
#[cfg(target_arch = "x86_64")]
macro_rules! runs {
    ($module:ident: $($r:literal)*) => { Some([$($module::neighbours::<$r>),*]) };
}

#[cfg(target_arch = "x86_64")]
static AVX512: Kernels = table!(avx512, lanes: 16, vectors: 3, speed: 80,
    runs: runs!(avx512: 1 2 3 4 5 6 7 8 9 10 11 12),
    shared: 12 8 8, each: 12 9 9);

/// For operands that are pairs of bf16.
#[cfg(target_arch = "x86_64")]
static PAIRS: Kernels = table!(pairs, lanes: 16, vectors: 3, speed: 160,
    runs: runs!(pairs: 1 2 3 4 5 6 7 8 9 10 11 12),
    shared: 12 8 8, each: 12 9 9);
