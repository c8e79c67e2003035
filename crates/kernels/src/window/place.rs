//! Where the largest element under each window is, and what follows from that.

use super::{Axis, Job, Real, TILE, along, beats};
use crate::levels::leveled;

/// The largest elements of a tile of windows, and where they are in the plane.
struct Best<T> {
    value: [T; TILE],
    at: [u32; TILE],
}

/// Fills `best` for the windows `first..first + width` of the row (a, b) of results.
#[inline(always)]
fn search<T: Real>(
    job: &Job,
    plane: &[T],
    (a, b): (usize, usize),
    (first, width): (usize, usize),
    best: &mut Best<T>,
) {
    let [da, ha, wa] = job.axes;
    let ((d0, dn), (h0, hn)) = (da.taps(a), ha.taps(b));
    // Where all are -inf, it is the first one.
    let start = (d0 * ha.size + h0) * wa.size;
    best.value = [T::LOWEST; TILE];
    for (j, at) in best.at.iter_mut().take(width).enumerate() {
        *at = (start + wa.taps(first + j).0) as u32;
    }
    for d in 0..dn {
        for h in 0..hn {
            let line = ((d0 + d * da.step()) * ha.size + h0 + h * ha.step()) * wa.size;
            let row = plane.get(line..line + wa.size).unwrap_or_default();
            if row.len() == wa.size {
                line_of(&wa, row, line as u32, (first, width), best);
            }
        }
    }
}

#[inline(always)]
fn line_of<T: Real>(
    axis: &Axis,
    row: &[T],
    line: u32,
    (first, width): (usize, usize),
    best: &mut Best<T>,
) {
    let Best { value, at } = best;
    along!(axis, first, width.min(TILE), |j, i| {
        // SAFETY: `along` gives elements of the row, which has the axis' size, and windows of the
        // tile.
        unsafe {
            let v = *row.get_unchecked(i);
            let (best, at) = (value.get_unchecked_mut(j), at.get_unchecked_mut(j));
            let better = beats(v, *best);
            *best = if better { v } else { *best };
            *at = if better { line + i as u32 } else { *at };
        }
    });
}

macro_rules! tiles {
    ($job:expr, $x:expr, $first:expr, $out:expr, |$plane:ident, $best:ident, $tile:ident| $body:block) => {
        let mut $best = Best { value: [T::LOWEST; TILE], at: [0; TILE] };
        let (n, size) = ($job.axes[2].out, $job.plane());
        for (r, row) in $out.chunks_exact_mut(n).enumerate() {
            let (plane, a, b) = $job.row($first + r);
            let $plane = plane * size;
            let x = $x.get($plane..$plane + size).unwrap_or_default();
            for (k, $tile) in row.chunks_mut(TILE).enumerate() {
                search($job, x, (a, b), (k * TILE, $tile.len()), &mut $best);
                $body
            }
        }
    };
}

leveled!(
    /// Positions, for rows of results from number `first` on.
    pub(super) fn positions[T: Real](job: &Job, x: &[T], first: usize, out: &mut [i64])
    => positions_body);
#[inline(always)]
fn positions_body<const FMA: bool, T: Real>(job: &Job, x: &[T], first: usize, out: &mut [i64]) {
    tiles!(job, x, first, out, |_plane, best, tile| {
        for (to, &at) in tile.iter_mut().zip(&best.at) {
            *to = i64::from(at);
        }
    });
}

leveled!(
    /// Elements of `v` at the positions, for rows of results from number `first` on.
    pub(super) fn pick[T: Real](job: &Job, x: &[T], v: &[T], first: usize, out: &mut [T])
    => pick_body);
#[inline(always)]
fn pick_body<const FMA: bool, T: Real>(job: &Job, x: &[T], v: &[T], first: usize, out: &mut [T]) {
    tiles!(job, x, first, out, |plane, best, tile| {
        for (to, &at) in tile.iter_mut().zip(&best.at) {
            *to = v.get(plane + at as usize).copied().unwrap_or_default();
        }
    });
}

leveled!(
    /// Planes from number `first` on: zeros, with elements of `g` added at the positions.
    pub(super) fn place[T: Real](job: &Job, x: &[T], g: &[T], first: usize, out: &mut [T])
    => place_body);
#[inline(always)]
fn place_body<const FMA: bool, T: Real>(job: &Job, x: &[T], g: &[T], first: usize, out: &mut [T]) {
    let [da, ha, wa] = job.axes;
    let (size, windows, pairs) = (job.plane(), job.windows(), job.pairs());
    let mut best = Best { value: [T::LOWEST; TILE], at: [0; TILE] };
    for (p, out) in out.chunks_exact_mut(size).enumerate() {
        let plane = first + p;
        let x = x.get(plane * size..(plane + 1) * size).unwrap_or_default();
        let g = g.get(plane * windows..(plane + 1) * windows).unwrap_or_default();
        out.fill(T::ZERO);
        for (r, g) in g.chunks_exact(wa.out.max(1)).enumerate() {
            if pairs {
                let at = 2 * r * wa.size;
                let x = x.get(at..).unwrap_or_default();
                let out = out.get_mut(at..).unwrap_or_default();
                if let (Some((x0, x1)), Some((o0, o1))) =
                    (x.split_at_checked(wa.size), out.split_at_mut_checked(wa.size))
                {
                    pair_row([x0, x1], g, o0, o1);
                }
                continue;
            }
            let row = (r / ha.out % da.out, r % ha.out);
            for (k, g) in g.chunks(TILE).enumerate() {
                search(job, x, row, (k * TILE, g.len()), &mut best);
                for (&g, &at) in g.iter().zip(&best.at) {
                    if let Some(to) = out.get_mut(at as usize) {
                        *to = to.plus(g);
                    }
                }
            }
        }
    }
}

/// Windows of 2 x 2: each element of the plane is in one window at most.
#[inline(always)]
fn pair_row<T: Real>(x: [&[T]; 2], g: &[T], upper: &mut [T], lower: &mut [T]) {
    let [a, b] = x.map(|x| x.as_chunks::<2>().0);
    let (upper, lower) = (upper.as_chunks_mut::<2>().0, lower.as_chunks_mut::<2>().0);
    for ((((&g, a), b), upper), lower) in g.iter().zip(a).zip(b).zip(upper).zip(lower) {
        // Masks, not positions: no branch, so the loop is vectorised.
        let mut best = T::LOWEST;
        let wins = [a[0], a[1], b[0], b[1]].map(|v| {
            let better = beats(v, best);
            best = if better { v } else { best };
            better
        });
        let [_, w1, w2, w3] = wins;
        let only = |here: bool| if here { g } else { T::ZERO };
        *upper = [only(!(w1 | w2 | w3)), only(w1 & !w2 & !w3)];
        *lower = [only(w2 & !w3), only(w3)];
    }
}
