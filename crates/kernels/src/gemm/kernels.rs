//! The tables of kernels, one an instruction set, and the functions with `#[target_feature]`.

use super::few::{Dots, DotsFn, Few, FewFn, few};
use super::pack::{Pack, PackFn, panel, slivers};
use super::simd::{Base, Simd};
use super::tile::{Tile, TileFn, thin, tile};
use crate::isa::Isa;

/// Everything the driver needs to know about an instruction set.
pub(super) struct Kernels {
    /// Lanes in a register.
    pub(super) lanes: usize,
    /// Rows of the largest tile.
    pub(super) rows: usize,
    /// Registers a row of the largest tile.
    pub(super) vectors: usize,
    /// Registers a row of the largest tile of one or two rows, when B is in place.
    pub(super) wide: usize,
    pub(super) tables: Tables,
    pub(super) panel: PackFn,
    pub(super) slivers: PackFn,
    /// Multiply-adds a nanosecond, roughly.
    pub(super) speed: u64,
}

/// Registers a row of a tile that turns B: more would be more streams from memory.
pub(super) const THIN: usize = 2;

/// Tile kernels: `[rows - 1][registers - 1]`.
pub(super) struct Tables {
    pub(super) tiles: [[TileFn; 8]; 8],
    pub(super) thin: [[TileFn; THIN]; 8],
}

/// The kernels of a level, for a product of this size.
#[inline]
#[cfg_attr(not(target_arch = "x86_64"), allow(unused_variables))]
pub(super) fn of(isa: Isa, m: usize, n: usize) -> &'static Kernels {
    match isa {
        // The bits are the same, and turning a smaller square takes less time.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 if n <= 8 && m <= 6 => &AVX2,
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
            /// See [`super::super::tile::tile`].
            $(#[$feature])?
            pub(super) unsafe fn tiled<const MR: usize, const NV: usize>(t: &Tile) -> bool {
                // SAFETY: the same contract.
                unsafe { tile::<$simd, MR, NV>(t) }
            }
            /// # Safety
            /// See [`super::super::tile::thin`].
            $(#[$feature])?
            pub(super) unsafe fn thinned<const MR: usize, const NV: usize>(t: &Tile) -> bool {
                // SAFETY: the same contract.
                unsafe { thin::<$simd, MR, NV>(t) }
            }
            /// # Safety
            /// See [`super::super::pack::panel`].
            $(#[$feature])?
            pub(super) unsafe fn pack_b(p: &Pack) {
                // SAFETY: the same contract.
                unsafe { panel::<$simd>(p) }
            }
            /// # Safety
            /// See [`super::super::pack::slivers`].
            $(#[$feature])?
            pub(super) unsafe fn pack_a(p: &Pack) {
                // SAFETY: the same contract.
                unsafe { slivers(p) }
            }
        }
    };
}

kernels!(generic, Base,);
#[cfg(target_arch = "x86_64")]
kernels!(avx2, super::super::simd::Avx2, #[target_feature(enable = "avx2,fma")]);
#[cfg(target_arch = "x86_64")]
kernels!(
    avx512,
    super::super::simd::Avx512,
    #[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl")]
);

#[cfg(target_arch = "x86_64")]
kernels!(
    pairs,
    super::super::simd::Avx512Bf16,
    #[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl,avx512bf16")]
);

/// The kernel of a level for few rows.
#[inline]
pub(super) fn few_of(isa: Isa) -> FewFn {
    match isa {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => few_avx512,
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => few_avx2,
        _ => few_generic,
    }
}

/// Registers for the lanes of a sum, and columns at once for one, two, and three or four rows.
macro_rules! few {
    ($name:ident, $dots:ident, $simd:ty, $lanes:literal, $one:literal $two:literal $four:literal, $(#[$feature:meta])?) => {
        /// # Safety
        /// See [`few`].
        $(#[$feature])?
        unsafe fn $dots<const MR: usize, const NR: usize>(dots: &Dots) {
            // SAFETY: the same contract.
            unsafe { dots.all::<$simd, $lanes, MR, NR>() }
        }
        /// # Safety
        /// See [`few`].
        $(#[$feature])?
        unsafe fn $name(t: &Few) -> bool {
            let dots: [DotsFn; 4] =
                [$dots::<1, $one>, $dots::<2, $two>, $dots::<3, $four>, $dots::<4, $four>];
            // SAFETY: the same contract.
            unsafe { few::<$simd, $lanes>(t, &dots) }
        }
    };
}

few!(few_generic, dots_generic, Base, 4, 2 1 1,);
#[cfg(target_arch = "x86_64")]
few!(few_avx2, dots_avx2, super::simd::Avx2, 2, 4 2 1, #[target_feature(enable = "avx2,fma")]);
#[cfg(target_arch = "x86_64")]
few!(
    few_avx512,
    dots_avx512,
    super::simd::Avx512,
    1,
    4 4 4,
    #[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl")]
);

/// Tables by rows and registers; the sizes that an instruction set lacks repeat its largest.
macro_rules! tables {
    ($module:ident, [$($rows:literal: $($vectors:literal)*;)*]) => {
        Tables {
            tiles: [$([$($module::tiled::<$rows, $vectors>),*]),*],
            thin: [$([$module::thinned::<$rows, 1>, $module::thinned::<$rows, 2>]),*],
        }
    };
}

static GENERIC: Kernels = Kernels {
    lanes: Base::LANES,
    rows: 4,
    vectors: 2,
    wide: 4,
    tables: tables!(generic, [
        1: 1 2 3 4 4 4 4 4;
        2: 1 2 3 4 4 4 4 4;
        3: 1 2 2 2 2 2 2 2;
        4: 1 2 2 2 2 2 2 2;
        4: 1 2 2 2 2 2 2 2;
        4: 1 2 2 2 2 2 2 2;
        4: 1 2 2 2 2 2 2 2;
        4: 1 2 2 2 2 2 2 2;
    ]),
    panel: generic::pack_b,
    slivers: generic::pack_a,
    speed: 8,
};

#[cfg(target_arch = "x86_64")]
static AVX2: Kernels = Kernels {
    lanes: 8,
    rows: 6,
    vectors: 2,
    wide: 6,
    tables: tables!(avx2, [
        1: 1 2 3 4 5 6 6 6;
        2: 1 2 3 4 5 6 6 6;
        3: 1 2 2 2 2 2 2 2;
        4: 1 2 2 2 2 2 2 2;
        5: 1 2 2 2 2 2 2 2;
        6: 1 2 2 2 2 2 2 2;
        6: 1 2 2 2 2 2 2 2;
        6: 1 2 2 2 2 2 2 2;
    ]),
    panel: avx2::pack_b,
    slivers: avx2::pack_a,
    speed: 40,
};

#[cfg(target_arch = "x86_64")]
static AVX512: Kernels = Kernels {
    lanes: 16,
    rows: 8,
    vectors: 3,
    wide: 8,
    tables: tables!(avx512, [
        1: 1 2 3 4 5 6 7 8;
        2: 1 2 3 4 5 6 7 8;
        3: 1 2 3 3 3 3 3 3;
        4: 1 2 3 3 3 3 3 3;
        5: 1 2 3 3 3 3 3 3;
        6: 1 2 3 3 3 3 3 3;
        7: 1 2 3 3 3 3 3 3;
        8: 1 2 3 3 3 3 3 3;
    ]),
    panel: avx512::pack_b,
    slivers: avx512::pack_a,
    speed: 80,
};

/// For operands that are pairs of bf16; sizes in k are numbers of pairs.
#[cfg(target_arch = "x86_64")]
pub(super) static PAIRS: Kernels = Kernels {
    lanes: 16,
    rows: 8,
    vectors: 3,
    wide: 8,
    tables: tables!(pairs, [
        1: 1 2 3 4 5 6 7 8;
        2: 1 2 3 4 5 6 7 8;
        3: 1 2 3 3 3 3 3 3;
        4: 1 2 3 3 3 3 3 3;
        5: 1 2 3 3 3 3 3 3;
        6: 1 2 3 3 3 3 3 3;
        7: 1 2 3 3 3 3 3 3;
        8: 1 2 3 3 3 3 3 3;
    ]),
    panel: pairs::pack_b,
    slivers: pairs::pack_a,
    speed: 160,
};
