//! Row kernels for rows of at most 16 elements: one vector each, which stays in registers. The bits
//! are those of the kernels for longer rows. They are loops of their own because the compiler makes
//! much better code of them than of one loop for both.

use super::vector::{V, first_lanes, load, store};
use super::{Larger, nan_row};
use crate::lanes::{LANES, Sum, short_tree};
use crate::levels::{lanewise, leveled, one_vector_a_turn};
use crate::vmath;

/// A row of one vector, which stays in registers: its elements, the largest, the terms
/// `exp(x - largest)` and their sum. Bits are those of [`max`] and [`sum_exp`].
///
/// # Safety
/// `readable >= n` elements may be read at `x`, and `n <= 16`.
#[inline(always)]
unsafe fn short_row<const FMA: bool>(x: *const f32, n: usize, readable: usize) -> (V, f32, V, f32) {
    // SAFETY: the caller's promise.
    let v = unsafe { load(x, n, readable, f32::NEG_INFINITY) };
    let v = std::hint::black_box(v); // see `tree`, which is also the reason for the other one
    let m = short_tree::<f32, Larger>(v);
    let v = first_lanes(v, n, m);
    let t = first_lanes(lanewise!(v => |x| vmath::exp::<FMA>(x - m)), n, 0.0);
    // The lanes start from 0, as in every sum: that makes no difference to terms, which are not -0.
    let t = std::hint::black_box(t);
    (v, m, t, short_tree::<f32, Sum>(t))
}

/// The number of each lane.
const LANE: [u32; LANES] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];
/// The bits of 1.0.
const ONE: u32 = 0x3f80_0000;

row_kernel!(softmax_rows(x: [*const f32; 1], readable: usize, y: *mut f32, rows: usize, n: usize)
    => softmax_body);
#[inline(always)]
unsafe fn softmax_body<const FMA: bool>(
    [x]: [*const f32; 1],
    readable: usize,
    y: *mut f32,
    rows: usize,
    n: usize,
) {
    for row in 0..rows {
        let at = row * n;
        // SAFETY: the row is inside, and what follows it may be read up to `readable`.
        unsafe {
            let (_, _, t, total) = short_row::<FMA>(x.add(at), n, readable - at);
            let scale = 1.0 / total;
            store(y.add(at), lanewise!(t => |t| t * scale), n);
            if total.is_nan() {
                nan_row(y.add(at), n);
            }
        }
        one_vector_a_turn();
    }
}

row_kernel!(log_softmax_rows(x: [*const f32; 1], readable: usize, y: *mut f32, rows: usize,
    n: usize) => log_softmax_body);
#[inline(always)]
unsafe fn log_softmax_body<const FMA: bool>(
    [x]: [*const f32; 1],
    readable: usize,
    y: *mut f32,
    rows: usize,
    n: usize,
) {
    for row in 0..rows {
        let at = row * n;
        // SAFETY: the row is inside, and what follows it may be read up to `readable`.
        unsafe {
            let (v, m, _, total) = short_row::<FMA>(x.add(at), n, readable - at);
            let log = vmath::log::<FMA>(total);
            store(y.add(at), lanewise!(v => |x| (x - m) - log), n);
            if total.is_nan() {
                nan_row(y.add(at), n);
            }
        }
        one_vector_a_turn();
    }
}

row_kernel!(cross_entropy_rows(x: *const f32, readable: usize, targets: &[i64], loss: *mut f32,
    n: usize, ignore: Option<i64>) => cross_entropy_body);
#[inline(always)]
unsafe fn cross_entropy_body<const FMA: bool>(
    x: *const f32,
    readable: usize,
    targets: &[i64],
    loss: *mut f32,
    n: usize,
    ignore: Option<i64>,
) {
    // The sums and targets of some rows first, then all their logarithms at once.
    for (block, targets) in targets.chunks(LANES).enumerate() {
        let (mut totals, mut rest) = ([1.0; LANES], [0.0; LANES]);
        for (i, (&target, (total, rest))) in
            targets.iter().zip(totals.iter_mut().zip(&mut rest)).enumerate()
        {
            if Some(target) == ignore {
                continue; // log(1) - 0
            }
            let at = (block * LANES + i) * n;
            // SAFETY: the row is inside, what follows it may be read up to `readable`, and a target
            // that is not to be ignored was checked to be a class.
            unsafe {
                let (_, m, _, sum) = short_row::<FMA>(x.add(at), n, readable - at);
                (*total, *rest) = (sum, x.add(at + target as usize).read() - m);
            }
            one_vector_a_turn();
        }
        let values = lanewise!(totals, rest => |total, rest| vmath::log::<FMA>(total) - rest);
        let values = lanewise!(values => |v| if v.is_nan() { f32::NAN } else { v });
        // SAFETY: these rows are inside.
        unsafe { store(loss.add(block * LANES), values, targets.len()) };
    }
}

row_kernel!(cross_entropy_grad_rows(x: *const f32, readable: usize, targets: &[i64], g: &[f32],
    step: usize, dx: *mut f32, n: usize, ignore: Option<i64>) => cross_entropy_grad_body);
#[inline(always)]
#[allow(clippy::too_many_arguments)]
unsafe fn cross_entropy_grad_body<const FMA: bool>(
    x: *const f32,
    readable: usize,
    targets: &[i64],
    g: &[f32],
    step: usize,
    dx: *mut f32,
    n: usize,
    ignore: Option<i64>,
) {
    for (row, &target) in targets.iter().enumerate() {
        let at = row * n;
        let g = g.get(row * step).copied().unwrap_or_default();
        // SAFETY: the row is inside, what follows it may be read up to `readable`, and a target
        // that is not to be ignored was checked to be a class.
        unsafe {
            if Some(target) == ignore {
                store(dx.add(at), [0.0; LANES], n);
                continue;
            }
            let (_, _, t, total) = short_row::<FMA>(x.add(at), n, readable - at);
            let scale = 1.0 / total;
            let hot = target as u32;
            let less = lanewise!(LANE => |lane| if lane == hot { ONE } else { 0 });
            let p = lanewise!(t => |t| t * scale);
            store(dx.add(at), lanewise!(p, less => |p, less| (p - f32::from_bits(less)) * g), n);
            if total.is_nan() {
                nan_row(dx.add(at), n);
            }
        }
        one_vector_a_turn();
    }
}
