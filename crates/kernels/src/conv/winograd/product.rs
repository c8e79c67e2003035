//! The products of transformed sides, and what an instruction set has for this algorithm.

#![allow(clippy::needless_range_loop)] // rows and registers are indices into several arrays

use super::transform::{self, Cotangents, Data, Gradient, Results, Weights};
use super::{BLOCK, POINTS, pass, points, weight};
use crate::gemm::simd::{Base, Simd};
use crate::isa::Isa;

/// Registers of the widest panel of any instruction set.
const MOST_VECTORS: usize = 3;

/// Rows of products come in pairs, up to so many.
const PAIRS: usize = 12;

/// A product of some rows: of tiles by channels of the result, summed over channels ([`tiles`]), or of
/// channels by channels of the cotangent, summed over tiles ([`channels`]).
#[derive(Clone, Copy)]
pub(super) struct Multiply {
    /// Transformed data of a point, from the first row on.
    pub(super) a: *const f32,
    /// Steps of the sum.
    pub(super) count: usize,
    /// For each step a row of registers.
    pub(super) b: *const f32,
    pub(super) c: *mut f32,
    /// Add to what C holds.
    pub(super) add: bool,
}

/// Adds what C holds if so asked, and stores: rows and registers so far apart.
///
/// # Safety
/// The machine has the instruction set of `S`; C has so many.
#[inline(always)]
unsafe fn finish<S: Simd, const MR: usize, const NV: usize>(
    t: &Multiply,
    mut acc: [[S; NV]; MR],
    row: usize,
    register: usize,
) {
    for r in 0..MR {
        for v in 0..NV {
            let c = t.c.wrapping_add(r * row + v * register);
            // SAFETY: the contract above.
            unsafe {
                if t.add {
                    acc[r][v] = S::load(c).add(acc[r][v]);
                }
                acc[r][v].store(c);
            }
        }
    }
}

/// `MR` tiles of groups of [`pass::TOGETHER`]; registers of B side by side, of C in planes of their own.
/// All distances are known here, so the sum computes no address.
///
/// # Safety
/// The machine has the instruction set of `S`; A has `MR` tiles of `count` channels, B `count` rows and C
/// `MR` rows of `NV` registers.
#[inline(always)]
unsafe fn tiles<S: Simd, const MR: usize, const NV: usize>(t: &Multiply) {
    // SAFETY: the contract above.
    unsafe {
        let mut acc = [[S::zero(); NV]; MR];
        let (mut block, mut b) = (t.a, t.b);
        let mut left = t.count;
        while left > 0 {
            let mut a = block;
            let here = left.min(BLOCK);
            for _ in 0..here {
                let bv: [S; NV] = std::array::from_fn(|v| S::load(b.wrapping_add(v * S::LANES)));
                for r in 0..MR {
                    let x = S::splat(*a.wrapping_add(r * BLOCK));
                    for v in 0..NV {
                        acc[r][v] = x.fma(bv[v], acc[r][v]);
                    }
                }
                a = a.wrapping_add(1);
                b = b.wrapping_add(NV * S::LANES);
            }
            left -= here;
            block = block.wrapping_add(POINTS * points::<{ pass::TOGETHER }>(BLOCK));
        }
        finish(t, acc, S::LANES, POINTS * points::<{ pass::TOGETHER }>(S::LANES));
    }
}

/// `MR` channels of one block, of groups of [`weight::TOGETHER`]; registers of B in planes of their own, of
/// C side by side.
///
/// # Safety
/// The machine has the instruction set of `S`; A has `MR` channels of `count` tiles, B `count` rows and C
/// `MR` rows of `NV` registers.
#[inline(always)]
unsafe fn channels<S: Simd, const MR: usize, const NV: usize>(t: &Multiply) {
    // SAFETY: the contract above.
    unsafe {
        let apart = POINTS * points::<{ weight::TOGETHER }>(S::LANES);
        let mut acc = [[S::zero(); NV]; MR];
        let (mut a, mut b) = (t.a, t.b);
        for _ in 0..t.count {
            let bv: [S; NV] = std::array::from_fn(|v| S::load(b.wrapping_add(v * apart)));
            for r in 0..MR {
                let x = S::splat(*a.wrapping_add(r));
                for v in 0..NV {
                    acc[r][v] = x.fma(bv[v], acc[r][v]);
                }
            }
            a = a.wrapping_add(BLOCK);
            b = b.wrapping_add(S::LANES);
        }
        finish(t, acc, NV * S::LANES, S::LANES);
    }
}

type MultiplyFn = unsafe fn(&Multiply);

/// What an instruction set has.
pub(in crate::conv) struct Kernels {
    pub(super) weights: unsafe fn(&Weights),
    /// For the passes of `pass`, and for the gradient of the weight.
    pub(super) data: [unsafe fn(&Data); 2],
    pub(super) cotangents: unsafe fn(&Cotangents),
    pub(super) gradient: unsafe fn(&Gradient),
    pub(super) results: unsafe fn(&Results),
    lanes: usize,
    /// For one, two, three registers: tiles of the largest product, divisors of 24, and channels,
    /// divisors of a block.
    most: [usize; MOST_VECTORS],
    tiles: [[MultiplyFn; PAIRS]; MOST_VECTORS],
    rows: [usize; MOST_VECTORS],
    channels: [MultiplyFn; MOST_VECTORS],
}

impl Kernels {
    /// The products of `count` tiles, at most those that the caller's memory has room for.
    ///
    /// # Safety
    /// As for [`tiles`], with room for 24 tiles; what is behind `count` may be anything.
    pub(super) unsafe fn tiles(&self, vectors: usize, count: usize, t: &Multiply) {
        let v = vectors.clamp(1, MOST_VECTORS) - 1;
        let parts = count.div_ceil(self.most[v]).max(1);
        let pairs = count.div_ceil(parts).div_ceil(2).clamp(1, PAIRS);
        for i in 0..parts {
            let (a, c) = (i * pairs * 2 * BLOCK, i * pairs * 2 * self.lanes);
            let t = Multiply { a: t.a.wrapping_add(a), c: t.c.wrapping_add(c), ..*t };
            // SAFETY: the contract; the kernel is the one for these sizes.
            unsafe { self.tiles[v][pairs - 1](&t) };
        }
    }

    /// The products of a block of channels.
    ///
    /// # Safety
    /// As for [`channels`], with all channels of a block.
    pub(super) unsafe fn channels(&self, vectors: usize, t: &Multiply) {
        let v = vectors.clamp(1, MOST_VECTORS) - 1;
        for row in (0..BLOCK).step_by(self.rows[v]) {
            let c = t.c.wrapping_add(row * vectors * self.lanes);
            let t = Multiply { a: t.a.wrapping_add(row), c, ..*t };
            // SAFETY: the contract; the kernel is the one for these sizes.
            unsafe { self.channels[v](&t) };
        }
    }
}

/// The kernels of a level.
pub(in crate::conv) fn of(isa: Isa) -> &'static Kernels {
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
            kernels!(@transform $simd, $(#[$feature])? weights Weights);
            kernels!(@transform $simd, $(#[$feature])? gradient Gradient);
            kernels!(@groups $simd, $(#[$feature])? data Data);
            kernels!(@groups $simd, $(#[$feature])? cotangents Cotangents);
            kernels!(@groups $simd, $(#[$feature])? results Results);
            /// # Safety
            /// See [`super::tiles`].
            $(#[$feature])?
            pub(super) unsafe fn tiles<const MR: usize, const NV: usize>(t: &Multiply) {
                // SAFETY: the same contract.
                unsafe { super::tiles::<$simd, MR, NV>(t) }
            }
            /// # Safety
            /// See [`super::channels`].
            $(#[$feature])?
            pub(super) unsafe fn channels<const MR: usize, const NV: usize>(t: &Multiply) {
                // SAFETY: the same contract.
                unsafe { super::channels::<$simd, MR, NV>(t) }
            }
        }
    };
    (@transform $simd:ty, $(#[$feature:meta])? $name:ident $arguments:ident) => {
        /// # Safety
        /// See [`transform`].
        $(#[$feature])?
        pub(super) unsafe fn $name(t: &$arguments) {
            // SAFETY: the same contract.
            unsafe { transform::$name::<$simd>(t) }
        }
    };
    (@groups $simd:ty, $(#[$feature:meta])? $name:ident $arguments:ident) => {
        /// # Safety
        /// See [`transform`].
        $(#[$feature])?
        pub(super) unsafe fn $name<const T: usize>(t: &$arguments) {
            // SAFETY: the same contract.
            unsafe { transform::$name::<$simd, T>(t) }
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

/// The table of an instruction set. For one, two and three registers: tiles and channels of the
/// largest product; sizes that it lacks repeat the largest.
macro_rules! table {
    ($module:ident, $simd:ty, tiles: $t1:literal $t2:literal $t3:literal,
     channels: $c1:literal $c2:literal $c3:literal, third: $v:literal) => {
        Kernels {
            weights: $module::weights,
            data: [$module::data::<{ pass::TOGETHER }>, $module::data::<{ weight::TOGETHER }>],
            cotangents: $module::cotangents::<{ weight::TOGETHER }>,
            gradient: $module::gradient,
            results: $module::results::<{ pass::TOGETHER }>,
            lanes: <$simd>::LANES,
            most: [$t1, $t2, $t3],
            tiles: [
                table!(@tiles $module $t1 1: 2 4 6 8 10 12 14 16 18 20 22 24),
                table!(@tiles $module $t2 2: 2 4 6 8 10 12 14 16 18 20 22 24),
                table!(@tiles $module $t3 $v: 2 4 6 8 10 12 14 16 18 20 22 24),
            ],
            rows: [$c1, $c2, $c3],
            channels: [
                $module::channels::<$c1, 1>, $module::channels::<$c2, 2>, $module::channels::<$c3, $v>,
            ],
        }
    };
    (@tiles $module:ident $most:literal $v:literal: $($rows:literal)*) => {
        [$($module::tiles::<{ if $rows < $most { $rows } else { $most } }, $v>),*]
    };
}

static GENERIC: Kernels = table!(generic, Base, tiles: 6 4 4, channels: 4 4 4, third: 2);

#[cfg(target_arch = "x86_64")]
static AVX2: Kernels =
    table!(avx2, crate::gemm::simd::Avx2, tiles: 12 6 6, channels: 8 4 4, third: 2);

#[cfg(target_arch = "x86_64")]
static AVX512: Kernels =
    table!(avx512, crate::gemm::simd::Avx512, tiles: 24 12 8, channels: 16 8 8, third: 3);
