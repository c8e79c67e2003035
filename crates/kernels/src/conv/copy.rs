//! The small functions that move data between layouts.

use crate::gemm::simd::Simd;

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
pub(super) unsafe fn turn<S: Simd>(t: &Turn) {
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

/// A copy of places, channels side by side, with zeros around: place `at` of the copy is place
/// `from + at` of the source, and zero outside of it.
#[derive(Clone, Copy)]
pub(super) struct Pad {
    pub(super) src: *const f32,
    pub(super) dims: [usize; 3],
    /// Distance of two channels, and of two places, of the source; one of them is 1.
    pub(super) src_channel: usize,
    pub(super) src_place: usize,
    pub(super) from: [isize; 3],
    pub(super) sizes: [usize; 3],
    pub(super) strides: [usize; 3],
    pub(super) channels: usize,
    pub(super) dst: *mut f32,
}

/// # Safety
/// The machine has the instruction set of `S`; the source can be read, the copy written, and a
/// register more behind it.
#[inline(always)]
pub(super) unsafe fn pad<S: Simd>(p: &Pad) {
    let step = p.strides[2];
    // Of each row: places of zeros, places from `skip` on, zeros.
    let before = usize::try_from(-p.from[2]).unwrap_or(0).min(p.sizes[2]);
    let skip = usize::try_from(p.from[2]).unwrap_or(0).min(p.dims[2]);
    let n = (p.dims[2] - skip).min(p.sizes[2] - before);
    let together = p.src_channel == 1 && p.src_place == step && p.channels == step;
    for d in 0..p.sizes[0] {
        for h in 0..p.sizes[1] {
            let (z, y) = (p.from[0] + d as isize, p.from[1] + h as isize);
            let inside = z >= 0 && (z as usize) < p.dims[0] && y >= 0 && (y as usize) < p.dims[1];
            let dst = p.dst.wrapping_add(d * p.strides[0] + h * p.strides[1]);
            // Each store may reach into what is written after it.
            // SAFETY: the contract.
            unsafe {
                if !inside {
                    clear::<S>(dst, p.sizes[2] * step);
                    continue;
                }
                let row = (z as usize * p.dims[1] + y as usize) * p.dims[2] + skip;
                let src = p.src.wrapping_add(row * p.src_place);
                clear::<S>(dst, before * step);
                let to = dst.wrapping_add(before * step);
                if together {
                    copy::<S>(src, n * step, to);
                } else if p.src_channel == 1 {
                    for w in 0..n {
                        let (src, to) =
                            (src.wrapping_add(w * p.src_place), to.wrapping_add(w * step));
                        copy::<S>(src, p.channels, to);
                    }
                } else {
                    turn::<S>(&Turn {
                        src,
                        src_row: p.src_channel,
                        rows: p.channels,
                        cols: n,
                        dst: to,
                        dst_row: step,
                    });
                }
                clear::<S>(to.wrapping_add(n * step), (p.sizes[2] - before - n) * step);
            }
        }
    }
}

/// `n` zeros, and up to a register more.
///
/// # Safety
/// The machine has the instruction set of `S`; there is room.
#[inline(always)]
unsafe fn clear<S: Simd>(to: *mut f32, n: usize) {
    for at in (0..n).step_by(S::LANES) {
        // SAFETY: the contract above.
        unsafe { S::zero().store(to.wrapping_add(at)) };
    }
}

/// `n` elements; what is behind them in the last register becomes zero.
///
/// # Safety
/// The machine has the instruction set of `S`; the elements can be read, and whole registers written.
#[inline(always)]
unsafe fn copy<S: Simd>(from: *const f32, n: usize, to: *mut f32) {
    let tail = n % S::LANES;
    let whole = n - tail;
    // SAFETY: the contract above.
    unsafe {
        for at in (0..whole).step_by(S::LANES) {
            S::load(from.wrapping_add(at)).store(to.wrapping_add(at));
        }
        if tail > 0 {
            let mask = S::mask(tail);
            S::load_mask(from.wrapping_add(whole), mask).store(to.wrapping_add(whole));
        }
    }
}

/// `n` elements of `a` plus those of `b`, to `a`; both have whole registers.
///
/// # Safety
/// The machine has the instruction set of `S`; `n` is a multiple of its lanes and both can be read
/// and `a` written.
#[inline(always)]
pub(super) unsafe fn add<S: Simd>(a: *mut f32, b: *const f32, n: usize) {
    // SAFETY: the contract above.
    unsafe {
        for i in (0..n).step_by(S::LANES) {
            S::load(a.wrapping_add(i)).add(S::load(b.wrapping_add(i))).store(a.wrapping_add(i));
        }
    }
}

/// Memory that the next unit reads: it is asked for a few lines a tile, so that it arrives while this
/// unit is computed.
pub(super) struct Ahead {
    regions: [(*const f32, usize); 2],
    /// Lines of each region to ask for at a time.
    lines: [usize; 2],
}

/// Elements of a cache line.
const LINE: usize = 16;

impl Ahead {
    /// Two regions, each where it starts and how many elements, to be asked for in so many steps.
    pub(super) fn new(regions: [(*const f32, usize); 2], steps: usize) -> Ahead {
        let lines = regions.map(|(_, n)| n.div_ceil(LINE).div_ceil(steps.max(1)));
        Ahead { regions, lines }
    }

    #[inline(always)]
    pub(super) fn step(&mut self) {
        for ((at, left), &lines) in self.regions.iter_mut().zip(&self.lines) {
            let n = (lines * LINE).min(*left);
            for i in (0..n).step_by(LINE) {
                far(at.wrapping_add(i));
            }
            (*at, *left) = (at.wrapping_add(n), *left - n);
        }
    }
}

/// Asks for the cache line at `p`, for the L2 cache; any address is allowed.
#[inline(always)]
fn far(p: *const f32) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: SSE is part of x86-64, and a prefetch of any address is allowed.
    unsafe {
        core::arch::x86_64::_mm_prefetch::<{ core::arch::x86_64::_MM_HINT_T1 }>(p.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = p;
}
