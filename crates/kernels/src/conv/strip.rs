//! Micro-kernels with places in the lanes, for few output channels: a channel of the result is a row
//! of a tile, and a register holds places side by side. Each element is the same chain of
//! multiply-adds as in [`super::tile`].

#![allow(clippy::needless_range_loop)] // rows and registers are indices into several arrays

use crate::gemm::simd::{Base, Simd};
use crate::isa::Isa;

/// Output channels that these kernels take.
pub(super) const NARROW: usize = 7;

/// Lanes of a sum over places, on any machine.
pub(super) const LANES: usize = 16;

/// Taps that [`dots`] sums together.
pub(super) const DOTS: usize = 6;

/// Places side by side: where in the data, where in the result, and how many.
#[derive(Clone, Copy)]
pub(super) struct Slot {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) len: usize,
}

/// A tile: places of a few slots by output channels.
#[derive(Clone, Copy)]
pub(super) struct Strip {
    pub(super) a: *const f32,
    /// As many as the kernel has registers a row; those of no length are not stored.
    pub(super) slots: *const Slot,
    pub(super) taps: *const usize,
    pub(super) count: usize,
    /// Weights: the output channels of a tap side by side.
    pub(super) w: *const f32,
    pub(super) c: *mut f32,
    /// Distance of two channels, and of two places, of the result.
    pub(super) c_row: usize,
    pub(super) c_step: usize,
    /// Add to what C holds.
    pub(super) add: bool,
}

/// # Safety
/// The machine has the instruction set of `S`. There are `NV` slots; a whole register can be read at
/// each slot and tap, `MR` weights a tap, and the slots' places be written.
#[inline(always)]
unsafe fn strip<S: Simd, const MR: usize, const NV: usize>(t: &Strip) {
    // SAFETY: the contract above.
    unsafe {
        let slots: [Slot; NV] = std::array::from_fn(|v| *t.slots.wrapping_add(v));
        let from: [*const f32; NV] = std::array::from_fn(|v| t.a.wrapping_add(slots[v].from));
        let mut acc = [[S::zero(); NV]; MR];
        let (mut taps, mut w) = (t.taps, t.w);
        for _ in 0..t.count {
            let at = *taps;
            let weights: [S; MR] = std::array::from_fn(|r| S::splat(*w.wrapping_add(r)));
            for v in 0..NV {
                let x = S::load(from[v].wrapping_add(at));
                for r in 0..MR {
                    acc[r][v] = x.fma(weights[r], acc[r][v]);
                }
            }
            taps = taps.wrapping_add(1);
            w = w.wrapping_add(MR);
        }
        for v in 0..NV {
            let Slot { to, len, .. } = slots[v];
            for r in 0..MR {
                let c = t.c.wrapping_add(r * t.c_row + to);
                if t.c_step > 1 {
                    let mut lanes = [0.0f32; LANES];
                    acc[r][v].store(lanes.as_mut_ptr());
                    for (i, &x) in lanes.iter().enumerate().take(len) {
                        let c = c.wrapping_add(i * t.c_step);
                        *c = if t.add { *c + x } else { x };
                    }
                    continue;
                }
                let mask = S::mask(len);
                let sum = if t.add { S::load_mask(c, mask).add(acc[r][v]) } else { acc[r][v] };
                sum.store_mask(c, mask);
            }
        }
    }
}

/// Sums over places: of a cotangent and of the data at some taps, in 16 lanes each.
#[derive(Clone, Copy)]
pub(super) struct Dots {
    pub(super) a: *const f32,
    pub(super) g: *const f32,
    pub(super) slots: *const Slot,
    pub(super) count: usize,
    /// At most [`DOTS`] offsets, and how many.
    pub(super) taps: *const usize,
    pub(super) rows: usize,
    /// The lanes of each tap, to which the sums are added.
    pub(super) sums: *mut f32,
}

/// # Safety
/// The machine has the instruction set of `S`; the places of all slots can be read at each tap, and
/// the sums be written.
#[inline(always)]
unsafe fn dots<S: Simd>(t: &Dots) {
    let mut row = 0;
    while row < t.rows {
        let step = if t.rows - row >= DOTS { DOTS } else { 1 };
        let part =
            Dots { taps: t.taps.wrapping_add(row), sums: t.sums.wrapping_add(row * LANES), ..*t };
        // SAFETY: the contract above; so many taps are left.
        unsafe {
            match LANES / S::LANES {
                1 if step == DOTS => dot::<S, DOTS, 1>(&part),
                1 => dot::<S, 1, 1>(&part),
                2 if step == DOTS => dot::<S, DOTS, 2>(&part),
                2 => dot::<S, 1, 2>(&part),
                _ if step == DOTS => dot::<S, DOTS, 4>(&part),
                _ => dot::<S, 1, 4>(&part),
            }
        }
        row += step;
    }
}

/// # Safety
/// As for [`dots`], with `MR` taps.
#[inline(always)]
unsafe fn dot<S: Simd, const MR: usize, const NV: usize>(t: &Dots) {
    // SAFETY: the contract above; lanes beyond a slot's places are not read, and count as zero.
    unsafe {
        let a: [*const f32; MR] =
            std::array::from_fn(|r| t.a.wrapping_add(*t.taps.wrapping_add(r)));
        let mut acc = [[S::zero(); NV]; MR];
        for i in 0..t.count {
            let slot = *t.slots.wrapping_add(i);
            for v in 0..NV {
                let first = v * S::LANES;
                let mask = S::mask(slot.len.saturating_sub(first).min(S::LANES));
                let g = S::load_mask(t.g.wrapping_add(slot.to + first), mask);
                for r in 0..MR {
                    let x = S::load_mask(a[r].wrapping_add(slot.from + first), mask);
                    acc[r][v] = x.fma(g, acc[r][v]);
                }
            }
        }
        for r in 0..MR {
            for v in 0..NV {
                let sum = t.sums.wrapping_add(r * LANES + v * S::LANES);
                S::load(sum).add(acc[r][v]).store(sum);
            }
        }
    }
}

/// A tile of so many channels and registers.
type StripFn = unsafe fn(&Strip);

/// The kernels of an instruction set.
pub(super) struct Strips {
    pub(super) lanes: usize,
    /// For 1 to [`NARROW`] channels: the kernel, and registers a row.
    pub(super) strips: [(StripFn, usize); NARROW],
    pub(super) dots: unsafe fn(&Dots),
}

/// Slots of a tile at most.
pub(super) const MOST_SLOTS: usize = 8;

/// The kernels of a level, for rows of so many places: in a short row a wide register is half empty.
#[cfg_attr(not(target_arch = "x86_64"), allow(unused_variables))]
pub(super) fn of(isa: Isa, places: usize) -> &'static Strips {
    match isa {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 if places > 8 => &AVX512,
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 | Isa::Avx2 => &AVX2,
        _ => &GENERIC,
    }
}

macro_rules! kernels {
    ($module:ident, $simd:ty, $(#[$feature:meta])?) => {
        mod $module {
            use super::*;
            /// # Safety
            /// See [`super::strip`].
            $(#[$feature])?
            pub(super) unsafe fn stripped<const MR: usize, const NV: usize>(t: &Strip) {
                // SAFETY: the same contract.
                unsafe { strip::<$simd, MR, NV>(t) }
            }
            /// # Safety
            /// See [`super::dots`].
            $(#[$feature])?
            pub(super) unsafe fn dotted(t: &Dots) {
                // SAFETY: the same contract.
                unsafe { dots::<$simd>(t) }
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

macro_rules! strips {
    ($module:ident, $($rows:literal $slots:literal)*) => {
        [$(($module::stripped::<$rows, $slots>, $slots)),*]
    };
}

static GENERIC: Strips = Strips {
    lanes: Base::LANES,
    strips: strips!(generic, 1 6 2 4 3 3 4 2 5 2 6 1 7 1),
    dots: generic::dotted,
};

#[cfg(target_arch = "x86_64")]
static AVX2: Strips =
    Strips { lanes: 8, strips: strips!(avx2, 1 8 2 6 3 4 4 2 5 2 6 1 7 1), dots: avx2::dotted };

#[cfg(target_arch = "x86_64")]
static AVX512: Strips = Strips {
    lanes: 16,
    strips: strips!(avx512, 1 8 2 8 3 8 4 6 5 4 6 4 7 3),
    dots: avx512::dotted,
};
