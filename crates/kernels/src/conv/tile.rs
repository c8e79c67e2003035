//! The micro-kernel, and the small functions around it that move data between layouts.

#![allow(clippy::needless_range_loop)] // rows and registers are indices into several arrays

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
pub(super) const MOST_ROWS: usize = 8;

/// What a tile kernel works on: row `r` and tap `t` meet `a[rows[r] + taps[t]]` and row `t` of B.
#[derive(Clone, Copy)]
pub(super) struct Tile {
    pub(super) a: *const f32,
    pub(super) rows: *const usize,
    pub(super) taps: *const usize,
    pub(super) count: usize,
    /// Registers of a row side by side, then the next row.
    pub(super) b: *const f32,
    pub(super) c: *mut f32,
    pub(super) c_row: usize,
    /// Add to what C holds.
    pub(super) add: bool,
}

/// A tile of `[rows - 1][registers - 1]`.
pub(super) type TileFn = unsafe fn(&Tile);

/// # Safety
/// The machine has the instruction set of `S`; `rows` has `MR` offsets, `taps` and B `count` rows;
/// what their sums point to can be read, and `MR` rows of `NV` registers written at C.
#[inline(always)]
unsafe fn tile<S: Simd, const MR: usize, const NV: usize>(t: &Tile) {
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
                let x = S::splat(*rows[r].wrapping_add(at));
                for v in 0..NV {
                    acc[r][v] = x.fma(bv[v], acc[r][v]);
                }
            }
            b = b.wrapping_add(NV * S::LANES);
            taps = taps.wrapping_add(1);
        }
        for r in 0..MR {
            for v in 0..NV {
                let c = t.c.wrapping_add(r * t.c_row + v * S::LANES);
                let sum = if t.add { S::load(c).add(acc[r][v]) } else { acc[r][v] };
                sum.store(c);
            }
        }
    }
}

/// A matrix to turn: `rows` rows of `cols` elements become `cols` rows of `rows`.
#[derive(Clone, Copy)]
pub(super) struct Turn {
    pub(super) src: *const f32,
    pub(super) src_row: usize,
    pub(super) rows: usize,
    pub(super) cols: usize,
    pub(super) dst: *mut f32,
    pub(super) dst_row: usize,
}

/// # Safety
/// The machine has the instruction set of `S`; the source can be read, the destination written.
#[inline(always)]
unsafe fn turn<S: Simd>(t: &Turn) {
    // SAFETY: the contract above.
    unsafe {
        for r in (0..t.rows).step_by(S::LANES) {
            let rows = (t.rows - r).min(S::LANES);
            let mask = S::mask(rows);
            for c in (0..t.cols).step_by(S::LANES) {
                let cols = (t.cols - c).min(S::LANES);
                let from = t.src.wrapping_add(r * t.src_row + c);
                let block = S::transpose(from, t.src_row, rows, cols);
                let mut to = t.dst.wrapping_add(c * t.dst_row + r);
                for x in block.as_ref().iter().take(cols) {
                    if rows == S::LANES {
                        x.store(to);
                    } else {
                        x.store_mask(to, mask);
                    }
                    to = to.wrapping_add(t.dst_row);
                }
            }
        }
    }
}

/// A copy of channels with zeros around: element `at` of the copy is element `from + at` of the
/// source, and zero outside of it.
#[derive(Clone, Copy)]
pub(super) struct Pad {
    pub(super) src: *const f32,
    pub(super) dims: [usize; 3],
    pub(super) src_channel: usize,
    pub(super) from: [isize; 3],
    pub(super) sizes: [usize; 3],
    pub(super) strides: [usize; 3],
    pub(super) channels: usize,
    pub(super) channel: usize,
    pub(super) dst: *mut f32,
}

/// # Safety
/// The machine has the instruction set of `S`; the source can be read, the copy written, and a
/// register more behind it.
#[inline(always)]
unsafe fn pad<S: Simd>(p: &Pad) {
    // Of each row: zeros, elements from `skip` on, zeros.
    let before = usize::try_from(-p.from[2]).unwrap_or(0).min(p.sizes[2]);
    let skip = usize::try_from(p.from[2]).unwrap_or(0).min(p.dims[2]);
    let n = (p.dims[2] - skip).min(p.sizes[2] - before);
    let tail = n % S::LANES;
    for c in 0..p.channels {
        for d in 0..p.sizes[0] {
            for h in 0..p.sizes[1] {
                let (z, y) = (p.from[0] + d as isize, p.from[1] + h as isize);
                let inside =
                    z >= 0 && (z as usize) < p.dims[0] && y >= 0 && (y as usize) < p.dims[1];
                let dst = p.dst.wrapping_add(c * p.channel + d * p.strides[0] + h * p.strides[1]);
                let (lead, n) = if inside { (before, n) } else { (p.sizes[2], 0) };
                // Each store may reach into what is written after it.
                // SAFETY: the contract.
                unsafe {
                    for at in (0..lead).step_by(S::LANES) {
                        S::zero().store(dst.wrapping_add(at));
                    }
                    if !inside {
                        continue;
                    }
                    let row = (z as usize * p.dims[1] + y as usize) * p.dims[2] + skip;
                    let src = p.src.wrapping_add(c * p.src_channel + row);
                    let dst = dst.wrapping_add(before);
                    let whole = n - tail;
                    for at in (0..whole).step_by(S::LANES) {
                        S::load(src.wrapping_add(at)).store(dst.wrapping_add(at));
                    }
                    let mut at = whole;
                    if tail > 0 {
                        S::load_mask(src.wrapping_add(at), S::mask(tail))
                            .store(dst.wrapping_add(at));
                        at += S::LANES;
                    }
                    while before + at < p.sizes[2] {
                        S::zero().store(dst.wrapping_add(at));
                        at += S::LANES;
                    }
                }
            }
        }
    }
}

/// `n` elements of `a` plus those of `b`, to `a`; both have whole registers.
///
/// # Safety
/// The machine has the instruction set of `S`; `n` is a multiple of its lanes and both can be read
/// and `a` written.
#[inline(always)]
unsafe fn add<S: Simd>(a: *mut f32, b: *const f32, n: usize) {
    // SAFETY: the contract above.
    unsafe {
        for i in (0..n).step_by(S::LANES) {
            S::load(a.wrapping_add(i)).add(S::load(b.wrapping_add(i))).store(a.wrapping_add(i));
        }
    }
}

/// What the drivers need to know about an instruction set.
pub(super) struct Kernels {
    /// Lanes in a register.
    pub(super) lanes: usize,
    /// Rows and registers of the largest tile.
    pub(super) rows: usize,
    pub(super) vectors: usize,
    pub(super) tiles: [[TileFn; 3]; MOST_ROWS],
    pub(super) turn: unsafe fn(&Turn),
    pub(super) add: unsafe fn(*mut f32, *const f32, usize),
    pub(super) pad: unsafe fn(&Pad),
    pub(super) panel: PackFn,
    /// Multiply-adds a nanosecond, roughly.
    pub(super) speed: u64,
}

impl Kernels {
    /// The tile of so many rows and registers.
    #[inline(always)]
    pub(super) fn tile(&self, rows: usize, vectors: usize) -> TileFn {
        let vectors = vectors.clamp(1, self.vectors);
        self.tiles[rows.wrapping_sub(1) & (MOST_ROWS - 1)][vectors - 1]
    }
}

/// The kernels of a level.
pub(super) fn of(isa: Isa) -> &'static Kernels {
    match isa {
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
            pub(super) unsafe fn tiled<const MR: usize, const NV: usize>(t: &Tile) {
                // SAFETY: the same contract.
                unsafe { tile::<$simd, MR, NV>(t) }
            }
            /// # Safety
            /// See [`super::turn`].
            $(#[$feature])?
            pub(super) unsafe fn turned(t: &Turn) {
                // SAFETY: the same contract.
                unsafe { turn::<$simd>(t) }
            }
            /// # Safety
            /// See [`super::add`].
            $(#[$feature])?
            pub(super) unsafe fn added(a: *mut f32, b: *const f32, n: usize) {
                // SAFETY: the same contract.
                unsafe { add::<$simd>(a, b, n) }
            }
            /// # Safety
            /// See [`super::pad`].
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

/// Tables by rows and registers; the sizes that an instruction set lacks repeat its largest.
macro_rules! tiles {
    ($module:ident, [$($rows:literal: $a:literal $b:literal $c:literal;)*]) => {
        [$([$module::tiled::<$rows, $a>, $module::tiled::<$rows, $b>, $module::tiled::<$rows, $c>]),*]
    };
}

static GENERIC: Kernels = Kernels {
    lanes: Base::LANES,
    rows: 4,
    vectors: 2,
    tiles: tiles!(generic, [
        1: 1 2 2; 2: 1 2 2; 3: 1 2 2; 4: 1 2 2; 4: 1 2 2; 4: 1 2 2; 4: 1 2 2; 4: 1 2 2;
    ]),
    turn: generic::turned,
    add: generic::added,
    pad: generic::padded,
    panel: generic::packed,
    speed: 8,
};

#[cfg(target_arch = "x86_64")]
static AVX2: Kernels = Kernels {
    lanes: 8,
    rows: 6,
    vectors: 2,
    tiles: tiles!(avx2, [
        1: 1 2 2; 2: 1 2 2; 3: 1 2 2; 4: 1 2 2; 5: 1 2 2; 6: 1 2 2; 6: 1 2 2; 6: 1 2 2;
    ]),
    turn: avx2::turned,
    add: avx2::added,
    pad: avx2::padded,
    panel: avx2::packed,
    speed: 40,
};

#[cfg(target_arch = "x86_64")]
static AVX512: Kernels = Kernels {
    lanes: 16,
    rows: 8,
    vectors: 3,
    tiles: tiles!(avx512, [
        1: 1 2 3; 2: 1 2 3; 3: 1 2 3; 4: 1 2 3; 5: 1 2 3; 6: 1 2 3; 7: 1 2 3; 8: 1 2 3;
    ]),
    turn: avx512::turned,
    add: avx512::added,
    pad: avx512::padded,
    panel: avx512::packed,
    speed: 80,
};
