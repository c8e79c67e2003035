//! The four matrices, applied to registers of channels.

#![allow(clippy::needless_range_loop)] // rows and columns are indices into several arrays

use super::{BLOCK, POINTS, SIDE, STEP, WINDOW, points};
use crate::gemm::simd::Simd;

/// Elements of a side of the window.
const SHORT: usize = 3;

/// Applies `f` to the columns of a square of registers, then to the rows of what that gives: what
/// `read` has at line and column, to `write`.
///
/// # Safety
/// That of the three functions.
#[inline(always)]
unsafe fn both<S: Simd, const FROM: usize, const TO: usize>(
    f: impl Fn([S; FROM]) -> [S; TO],
    read: impl Fn(usize, usize) -> S,
    mut write: impl FnMut(usize, usize, S),
) {
    // SAFETY: the contract above.
    unsafe {
        let mut lines = [[S::zero(); FROM]; TO];
        for x in 0..FROM {
            let column = f(std::array::from_fn(|y| read(y, x)));
            for y in 0..TO {
                lines[y][x] = column[y];
            }
        }
        for (y, line) in lines.into_iter().enumerate() {
            for (x, v) in f(line).into_iter().enumerate() {
                write(y, x, v);
            }
        }
    }
}

/// Weights to transform: `element` lanes for each element of the window, and as many for each point.
pub(super) struct Weights {
    pub(super) from: *const f32,
    pub(super) element: usize,
    /// The window's elements are in the opposite order.
    pub(super) flip: bool,
    pub(super) to: *mut f32,
    /// Distance of two points.
    pub(super) plane: usize,
}

/// `G g G^T`.
///
/// # Safety
/// The machine has the instruction set of `S`; both can be accessed, in whole registers.
#[inline(always)]
pub(super) unsafe fn weights<S: Simd>(t: &Weights) {
    // SAFETY: the contract above.
    unsafe {
        let (half, zero) = (S::splat(0.5), S::zero());
        let f = |[a, b, c]: [S; SHORT]| {
            let ends = a.add(c);
            [a, ends.add(b).fma(half, zero), ends.sub(b).fma(half, zero), c]
        };
        for at in (0..t.element).step_by(S::LANES) {
            let read = |y: usize, x: usize| {
                let tap = y * SHORT + x;
                let tap = if t.flip { WINDOW - 1 - tap } else { tap };
                S::load(t.from.wrapping_add(tap * t.element + at))
            };
            let write = |y: usize, x: usize, v: S| {
                v.store(t.to.wrapping_add((y * SIDE + x) * t.plane + at));
            };
            both(f, read, write);
        }
    }
}

/// Data of tiles side by side to transform, all their channels; to blocks of [`BLOCK`] channels, of which
/// each has for each point them of one tile after another.
pub(super) struct Data {
    pub(super) from: *const f32,
    pub(super) count: usize,
    /// Distances of two lines and two places.
    pub(super) line: usize,
    pub(super) place: usize,
    pub(super) channels: usize,
    pub(super) to: *mut f32,
}

/// `B^T d B`, for points of `T` tiles. What fills up the last block is zero, up to a whole register.
///
/// Two columns of a tile are its neighbour's too, and are read and transformed once.
///
/// # Safety
/// The machine has the instruction set of `S`; the data can be read, and whole registers written.
#[inline(always)]
pub(super) unsafe fn data<S: Simd, const T: usize>(t: &Data) {
    // SAFETY: the contract above.
    unsafe {
        let f = |[a, b, c, d]: [S; SIDE]| [a.sub(c), b.add(c), c.sub(b), b.sub(d)];
        for channel in (0..t.channels).step_by(S::LANES) {
            let left = t.channels - channel;
            let mask = S::mask(left.min(S::LANES));
            let whole = left >= S::LANES;
            let from = t.from.wrapping_add(channel);
            let mut lines: [*const f32; SIDE] =
                std::array::from_fn(|y| from.wrapping_add(y * t.line));
            let column = |lines: &[*const f32; SIDE], at: usize| -> [S; SIDE] {
                f(std::array::from_fn(|y| {
                    let p = lines[y].wrapping_add(at);
                    if whole { S::load(p) } else { S::load_mask(p, mask) }
                }))
            };
            let mut to =
                t.to.wrapping_add(channel / BLOCK * POINTS * points::<T>(BLOCK) + channel % BLOCK);
            let (mut a, mut b) = (column(&lines, 0), column(&lines, t.place));
            for _ in 0..t.count {
                lines = lines.map(|p| p.wrapping_add(STEP * t.place));
                let (c, d) = (column(&lines, 0), column(&lines, t.place));
                for y in 0..SIDE {
                    let line = f([a[y], b[y], c[y], d[y]]);
                    for x in 0..SIDE {
                        line[x].store(to.wrapping_add((y * SIDE + x) * points::<T>(BLOCK)));
                    }
                }
                (a, b) = (c, d);
                to = to.wrapping_add(BLOCK);
            }
        }
    }
}

/// Cotangents of tiles side by side to transform, a panel of channels: for each register of it and
/// each point, them of one tile after another.
pub(super) struct Cotangents {
    pub(super) from: *const f32,
    pub(super) count: usize,
    /// Distances of two lines and two places.
    pub(super) line: usize,
    pub(super) place: usize,
    /// Lanes that are channels.
    pub(super) outs: usize,
    pub(super) to: *mut f32,
}

/// `A e A^T`, for points of `T` tiles; lanes that are no channels are zero.
///
/// # Safety
/// As for [`data`].
#[inline(always)]
pub(super) unsafe fn cotangents<S: Simd, const T: usize>(t: &Cotangents) {
    // SAFETY: the contract above.
    unsafe {
        let f = |[a, b]: [S; STEP]| [a, a.add(b), a.sub(b), S::zero().sub(b)];
        for lane in (0..t.outs).step_by(S::LANES) {
            let left = t.outs - lane;
            let mask = S::mask(left.min(S::LANES));
            let whole = left >= S::LANES;
            let mut from = t.from.wrapping_add(lane);
            let mut to = t.to.wrapping_add(lane / S::LANES * POINTS * points::<T>(S::LANES));
            for _ in 0..t.count {
                let read = |y: usize, x: usize| {
                    let p = from.wrapping_add(y * t.line + x * t.place);
                    if whole { S::load(p) } else { S::load_mask(p, mask) }
                };
                let write = |y: usize, x: usize, v: S| {
                    v.store(to.wrapping_add((y * SIDE + x) * points::<T>(S::LANES)));
                };
                both(f, read, write);
                from = from.wrapping_add(STEP * t.place);
                to = to.wrapping_add(S::LANES);
            }
        }
    }
}

/// Sums over tiles to transform: `element` lanes for each point, and for each element of the window.
pub(super) struct Gradient {
    pub(super) from: *const f32,
    pub(super) plane: usize,
    pub(super) element: usize,
    pub(super) to: *mut f32,
}

/// `G^T s G`.
///
/// # Safety
/// As for [`weights`].
#[inline(always)]
pub(super) unsafe fn gradient<S: Simd>(t: &Gradient) {
    // SAFETY: the contract above.
    unsafe {
        let (half, zero) = (S::splat(0.5), S::zero());
        let f = |[a, b, c, d]: [S; SIDE]| {
            let sum = b.add(c).fma(half, zero);
            [a.add(sum), b.sub(c).fma(half, zero), sum.add(d)]
        };
        for at in (0..t.element).step_by(S::LANES) {
            let read =
                |y: usize, x: usize| S::load(t.from.wrapping_add((y * SIDE + x) * t.plane + at));
            let write = |y: usize, x: usize, v: S| {
                v.store(t.to.wrapping_add((y * SHORT + x) * t.element + at));
            };
            both(f, read, write);
        }
    }
}

/// Products of tiles side by side to transform, finish and store; they lie as cotangents do.
#[derive(Clone, Copy)]
pub(super) struct Results {
    pub(super) from: *const f32,
    pub(super) to: *mut f32,
    /// Distances of two lines and two places, and how many are stored.
    pub(super) line: usize,
    pub(super) place: usize,
    pub(super) lines: usize,
    pub(super) places: usize,
    /// Lanes that are channels.
    pub(super) outs: usize,
    /// Added last, an element a lane; null for none.
    pub(super) bias: *const f32,
    pub(super) relu: bool,
}

/// `A^T m A`, for points of `T` tiles, bias and activation.
///
/// # Safety
/// The machine has the instruction set of `S`; whole registers of products can be read, and what
/// their places say be written and read at the bias.
#[inline(always)]
pub(super) unsafe fn results<S: Simd, const T: usize>(t: &Results) {
    // SAFETY: the contract above.
    unsafe {
        let f = |[a, b, c, d]: [S; SIDE]| [a.add(b).add(c), b.sub(c).sub(d)];
        for lane in (0..t.outs).step_by(S::LANES) {
            let left = (t.outs - lane).min(S::LANES);
            let (whole, mask) = (left == S::LANES, S::mask(left));
            let biased = !t.bias.is_null();
            let bias = match biased {
                true => S::load_mask(t.bias.wrapping_add(lane), mask),
                false => S::zero(),
            };
            let mut from = t.from.wrapping_add(lane / S::LANES * POINTS * points::<T>(S::LANES));
            let mut to = t.to.wrapping_add(lane);
            for tile in 0..t.places.div_ceil(STEP) {
                let all = t.lines == STEP && t.places - tile * STEP >= STEP;
                let read = |y: usize, x: usize| {
                    S::load(from.wrapping_add((y * SIDE + x) * points::<T>(S::LANES)))
                };
                let write = |y: usize, x: usize, mut v: S| {
                    if biased {
                        v = v.add(bias);
                    }
                    if t.relu {
                        v = v.relu();
                    }
                    if !all && (y >= t.lines || tile * STEP + x >= t.places) {
                        return;
                    }
                    let to = to.wrapping_add(y * t.line + x * t.place);
                    if whole {
                        v.store(to);
                    } else {
                        v.store_mask(to, mask);
                    }
                };
                both(f, read, write);
                from = from.wrapping_add(S::LANES);
                to = to.wrapping_add(STEP * t.place);
            }
        }
    }
}
