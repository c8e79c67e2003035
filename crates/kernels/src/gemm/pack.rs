//! Copies of parts of A and B in the order in which the tile kernels read them.
//!
//! B becomes panels (one row of registers a step of k, padded with zeros), A becomes slivers (the
//! rows of one tile side by side, a step of k after the other).

use super::simd::{Simd, prefetch};
use std::cell::Cell;
use std::thread::LocalKey;

/// One panel of B or one sliver of A to copy.
pub(crate) struct Pack {
    pub(crate) src: *const f32,
    /// Distance of two steps of k in the source.
    pub(crate) step: usize,
    /// Distance of two columns of B (or rows of A) in the source.
    pub(crate) across: usize,
    pub(crate) k: usize,
    /// Columns of B (or rows of A) in the source.
    pub(crate) count: usize,
    /// Elements a step in the copy, at least `count`.
    pub(crate) width: usize,
    pub(crate) dst: *mut f32,
    /// Slivers of A side by side (1 for B), and their distance in the copy.
    pub(crate) repeat: usize,
    pub(crate) apart: usize,
}

/// Steps by which lines of the copy are asked for in advance. Stores retire in order, so each one
/// that misses the L1 cache would hold up all others behind it.
const AHEAD: usize = 8;

/// Elements of a copy that do not stay in the L1 cache.
const LARGE: usize = 8 << 10;

/// A packing function.
pub(crate) type PackFn = unsafe fn(&Pack);

/// Packs a panel of B; `width` is a multiple of the lanes, and what is not in the source is zero.
///
/// # Safety
/// The machine has the instruction set of `S`; the source can be read and `k * width` elements
/// be written at `dst`.
#[inline(always)]
pub(crate) unsafe fn panel<S: Simd>(p: &Pack) {
    // SAFETY: the contract above.
    unsafe {
        if p.across == 1 {
            match p.width / S::LANES {
                1 => rows::<S, 1>(p),
                2 => rows::<S, 2>(p),
                _ => rows::<S, 3>(p),
            }
            return;
        }
        let large = p.k * p.width > LARGE;
        for first in (0..p.width).step_by(S::LANES) {
            let cols = p.count.saturating_sub(first).min(S::LANES);
            let dst = p.dst.wrapping_add(first);
            let src = p.src.wrapping_add(first * p.across);
            if p.step == 1 {
                let whole = p.k - p.k % S::LANES;
                for k in (0..whole).step_by(S::LANES) {
                    if large {
                        for j in 0..S::LANES {
                            prefetch(dst.wrapping_add((k + S::LANES + j) * p.width));
                        }
                    }
                    let block = S::transpose(src.wrapping_add(k), p.across, cols, S::LANES);
                    let mut to = dst.wrapping_add(k * p.width);
                    for x in block.as_ref() {
                        x.store(to);
                        to = to.wrapping_add(p.width);
                    }
                }
                if whole < p.k {
                    let rest = p.k - whole;
                    let block = S::transpose(src.wrapping_add(whole), p.across, cols, rest);
                    for (j, x) in block.as_ref().iter().enumerate().take(rest) {
                        x.store(dst.wrapping_add((whole + j) * p.width));
                    }
                }
            } else {
                for k in 0..p.k {
                    for j in 0..S::LANES {
                        let x = if j < cols {
                            *src.wrapping_add(k * p.step + j * p.across)
                        } else {
                            0.0
                        };
                        *dst.wrapping_add(k * p.width + j) = x;
                    }
                }
            }
        }
    }
}

/// A panel of `NV` registers a row whose source has rows too. Row by row: going down a column of
/// registers would come back to every cache line several times, and lose it in between.
///
/// # Safety
/// As for [`panel`].
#[inline(always)]
unsafe fn rows<S: Simd, const NV: usize>(p: &Pack) {
    // SAFETY: the contract; the last register is read under a mask.
    unsafe {
        let mask = S::mask(p.count - (NV - 1) * S::LANES);
        for k in 0..p.k {
            let (src, dst) = (p.src.wrapping_add(k * p.step), p.dst.wrapping_add(k * p.width));
            for v in 0..NV {
                prefetch(dst.wrapping_add(AHEAD * p.width + v * S::LANES));
            }
            for v in 0..NV - 1 {
                S::load(src.wrapping_add(v * S::LANES)).store(dst.wrapping_add(v * S::LANES));
            }
            let v = (NV - 1) * S::LANES;
            S::load_mask(src.wrapping_add(v), mask).store(dst.wrapping_add(v));
        }
    }
}

/// Packs slivers of A, all of `count` rows; `width == count`. Several at once, so that the cache
/// lines that they share and the pages of A are visited once.
///
/// # Safety
/// The source can be read and `k * width` elements be written at `dst` for each sliver.
#[inline(always)]
pub(super) unsafe fn slivers(p: &Pack) {
    // SAFETY: the contract above; the constant sizes make single moves of the copies.
    unsafe {
        match (p.across, p.count) {
            (1, 8) => copy_steps::<8>(p),
            (1, 7) => copy_steps::<7>(p),
            (1, 6) => copy_steps::<6>(p),
            (1, 5) => copy_steps::<5>(p),
            (1, 4) => copy_steps::<4>(p),
            _ => {
                for s in 0..p.repeat {
                    let src = p.src.wrapping_add(s * p.count * p.across);
                    let dst = p.dst.wrapping_add(s * p.apart);
                    for k in 0..p.k {
                        for i in 0..p.count {
                            *dst.wrapping_add(k * p.width + i) =
                                *src.wrapping_add(k * p.step + i * p.across);
                        }
                    }
                }
            }
        }
    }
}

/// # Safety
/// As for [`slivers`], with `N` elements side by side a step.
#[inline(always)]
unsafe fn copy_steps<const N: usize>(p: &Pack) {
    for k in 0..p.k {
        let mut src = p.src.wrapping_add(k * p.step);
        let mut dst = p.dst.wrapping_add(k * N);
        for _ in 0..p.repeat {
            prefetch(src.wrapping_add(AHEAD * p.step));
            prefetch(dst.wrapping_add(2 * AHEAD * N));
            let x = src.cast::<[f32; N]>();
            // SAFETY: the contract of `slivers`.
            unsafe { dst.cast::<[f32; N]>().write_unaligned(x.read_unaligned()) };
            (src, dst) = (src.wrapping_add(N), dst.wrapping_add(p.apart));
        }
    }
}

/// A cache line.
#[derive(Clone, Copy)]
#[repr(align(64))]
pub(crate) struct Line(#[allow(dead_code)] [f32; 16]);

thread_local! {
    /// Copies that several pieces of one product read.
    pub(super) static SHARED: Scratch = const { Cell::new(Vec::new()) };
    /// What one piece needs, on the thread that runs it.
    pub(super) static OWN: Scratch = const { Cell::new(Vec::new()) };
    /// Operands that were rounded to bf16.
    pub(crate) static ROUNDED: Scratch = const { Cell::new(Vec::new()) };
}

/// Memory that a thread keeps.
pub(crate) type Scratch = Cell<Vec<Line>>;

/// Calls `f` with a pointer to at least `elements` elements of this thread's scratch memory,
/// 64-byte aligned and initialised with something. It is grown once and kept.
pub(crate) fn with_scratch<R>(
    scratch: &'static LocalKey<Scratch>,
    elements: usize,
    f: impl FnOnce(*mut f32) -> R,
) -> R {
    let lines = elements.div_ceil(16);
    // A thread that is ending has no scratch memory any more, and then makes its own.
    let mut memory = scratch.try_with(Cell::take).unwrap_or_default();
    if memory.len() < lines {
        memory = vec![Line([0.0; 16]); lines];
    }
    let result = f(memory.as_mut_ptr().cast());
    let _ = scratch.try_with(|s| s.set(memory));
    result
}
