//! The largest element under each window.

use super::{Axis, Job, Real, TILE, along, beats};
use crate::levels::leveled;

leveled!(
    /// Rows of results from number `first` on.
    pub(super) fn largest[T: Real](job: &Job, x: &[T], first: usize, out: &mut [T])
    => largest_body);
#[inline(always)]
fn largest_body<const FMA: bool, T: Real>(job: &Job, x: &[T], first: usize, out: &mut [T]) {
    let [da, ha, wa] = job.axes;
    let pairs = job.pairs();
    for (r, row) in out.chunks_exact_mut(wa.out).enumerate() {
        let (plane, a, b) = job.row(first + r);
        let x = x.get(plane * job.plane()..).unwrap_or_default();
        if pairs {
            let upper = x.get(2 * b * wa.size..).unwrap_or_default();
            let lower = upper.get(wa.size..).unwrap_or_default();
            pair_row(upper, lower, row);
            continue;
        }
        row.fill(T::LOWEST);
        let ((d0, dn), (h0, hn)) = (da.taps(a), ha.taps(b));
        for (tile, out) in row.chunks_mut(TILE).enumerate() {
            for d in 0..dn {
                for h in 0..hn {
                    let line = (d0 + d * da.step()) * ha.size + h0 + h * ha.step();
                    let line = x.get(line * wa.size..(line + 1) * wa.size).unwrap_or_default();
                    if line.len() == wa.size {
                        line_of(&wa, line, tile * TILE, out);
                    }
                }
            }
        }
    }
}

/// The larger of what is in `out` and what the windows from number `first` on see of a row.
#[inline(always)]
fn line_of<T: Real>(axis: &Axis, row: &[T], first: usize, out: &mut [T]) {
    along!(axis, first, out.len(), |j, i| {
        // SAFETY: `along` gives elements of the row, which has the axis' size, and windows of the
        // tile.
        unsafe {
            let v = *row.get_unchecked(i);
            let best = out.get_unchecked_mut(j);
            *best = if beats(v, *best) { v } else { *best };
        }
    });
}

/// Windows of 2 x 2.
#[inline(always)]
fn pair_row<T: Real>(upper: &[T], lower: &[T], out: &mut [T]) {
    let (upper, lower) = (upper.as_chunks::<2>().0, lower.as_chunks::<2>().0);
    for ((out, a), b) in out.iter_mut().zip(upper).zip(lower) {
        let mut best = T::LOWEST;
        for v in [a[0], a[1], b[0], b[1]] {
            best = if beats(v, best) { v } else { best };
        }
        *out = best;
    }
}
