//! Sums and means under each window, and their adjoint.

use super::{Axis, Divisor, Job, Real, TILE, along};
use crate::levels::leveled;

/// What the windows of a row of results are divided by.
struct Division<T> {
    by: Divisor,
    /// The same for all windows of the row, if it is.
    uniform: bool,
    tile: [T; TILE],
}

impl<T: Real> Division<T> {
    #[inline(always)]
    fn new(job: &Job, by: Divisor) -> Self {
        Division { by, uniform: job.axes[2].uniform(by), tile: [T::ZERO; TILE] }
    }

    /// Prepares for windows `first..first + width` of the row (a, b) of results.
    #[inline(always)]
    fn prepare(
        &mut self,
        job: &Job,
        (a, b): (usize, usize),
        (first, width): (usize, usize),
    ) -> &[T; TILE] {
        let [da, ha, wa] = job.axes;
        let rows = da.divisor(a, self.by) * ha.divisor(b, self.by);
        if self.uniform {
            self.tile = [T::count(rows * wa.divisor(0, self.by)); TILE];
        } else {
            for (j, to) in self.tile.iter_mut().take(width).enumerate() {
                *to = T::count(rows * wa.divisor(first + j, self.by));
            }
        }
        &self.tile
    }
}

leveled!(
    /// Rows of results from number `first` on.
    pub(super) fn mean[T: Real](job: &Job, x: &[T], by: Divisor, first: usize, out: &mut [T])
    => mean_body);
#[inline(always)]
fn mean_body<const FMA: bool, T: Real>(
    job: &Job,
    x: &[T],
    by: Divisor,
    first: usize,
    out: &mut [T],
) {
    let [da, ha, wa] = job.axes;
    let pairs = job.pairs();
    let mut division = Division::<T>::new(job, by);
    for (r, row) in out.chunks_exact_mut(wa.out).enumerate() {
        let (plane, a, b) = job.row(first + r);
        let x = x.get(plane * job.plane()..).unwrap_or_default();
        if pairs {
            let upper = x.get(2 * b * wa.size..).unwrap_or_default();
            let lower = upper.get(wa.size..).unwrap_or_default();
            let divisor = if by == Divisor::One { 1 } else { 4 };
            pair_row(upper, lower, T::count(divisor), row);
            continue;
        }
        let ((d0, dn), (h0, hn)) = (da.taps(a), ha.taps(b));
        for (tile, out) in row.chunks_mut(TILE).enumerate() {
            out.fill(T::ZERO);
            for d in 0..dn {
                for h in 0..hn {
                    let line = (d0 + d * da.step()) * ha.size + h0 + h * ha.step();
                    let line = x.get(line * wa.size..(line + 1) * wa.size).unwrap_or_default();
                    if line.len() != wa.size {
                        continue;
                    }
                    // Row by row: fewer roundings than one long chain.
                    let mut sums = [T::ZERO; TILE];
                    line_sum(&wa, line, tile * TILE, out.len(), &mut sums);
                    for (to, &sum) in out.iter_mut().zip(&sums) {
                        *to = to.plus(sum);
                    }
                }
            }
            if by != Divisor::One {
                let by = division.prepare(job, (a, b), (tile * TILE, out.len()));
                for (to, &by) in out.iter_mut().zip(by) {
                    *to = to.over(by);
                }
            }
        }
    }
}

#[inline(always)]
fn line_sum<T: Real>(axis: &Axis, row: &[T], first: usize, width: usize, sums: &mut [T; TILE]) {
    along!(axis, first, width.min(TILE), |j, i| {
        // SAFETY: `along` gives elements of the row, which has the axis' size, and windows of the
        // tile.
        unsafe {
            let to = sums.get_unchecked_mut(j);
            *to = to.plus(*row.get_unchecked(i));
        }
    });
}

/// Windows of 2 x 2.
#[inline(always)]
fn pair_row<T: Real>(upper: &[T], lower: &[T], by: T, out: &mut [T]) {
    let (upper, lower) = (upper.as_chunks::<2>().0, lower.as_chunks::<2>().0);
    for ((out, a), b) in out.iter_mut().zip(upper).zip(lower) {
        *out = a[0].plus(a[1]).plus(b[0].plus(b[1])).over(by);
    }
}

leveled!(
    /// Planes from number `first` on.
    pub(super) fn spread[T: Real](job: &Job, g: &[T], by: Divisor, first: usize, out: &mut [T])
    => spread_body);
#[inline(always)]
fn spread_body<const FMA: bool, T: Real>(
    job: &Job,
    g: &[T],
    by: Divisor,
    first: usize,
    out: &mut [T],
) {
    let [da, ha, wa] = job.axes;
    let (size, windows, pairs) = (job.plane(), job.windows(), job.pairs());
    let mut division = Division::<T>::new(job, by);
    let mut parts = [T::ZERO; TILE];
    for (p, out) in out.chunks_exact_mut(size).enumerate() {
        let plane = first + p;
        let g = g.get(plane * windows..(plane + 1) * windows).unwrap_or_default();
        out.fill(T::ZERO);
        for (r, g) in g.chunks_exact(wa.out.max(1)).enumerate() {
            if pairs {
                let out = out.get_mut(2 * r * wa.size..).unwrap_or_default();
                if let Some((upper, lower)) = out.split_at_mut_checked(wa.size) {
                    let divisor = if by == Divisor::One { 1 } else { 4 };
                    spread_pairs(g, T::count(divisor), upper, lower);
                }
                continue;
            }
            let (a, b) = (r / ha.out % da.out, r % ha.out);
            let ((d0, dn), (h0, hn)) = (da.taps(a), ha.taps(b));
            for (k, g) in g.chunks(TILE).enumerate() {
                let own = (k * TILE, g.len());
                let by = division.prepare(job, (a, b), own);
                for ((part, &g), &by) in parts.iter_mut().zip(g).zip(by) {
                    *part = g.over(by);
                }
                for d in 0..dn {
                    for h in 0..hn {
                        let line = (d0 + d * da.step()) * ha.size + h0 + h * ha.step();
                        let line = line * wa.size..(line + 1) * wa.size;
                        if let Some(line) = out.get_mut(line) {
                            line_add(&wa, line, own, &parts);
                        }
                    }
                }
            }
        }
    }
}

#[inline(always)]
fn line_add<T: Real>(
    axis: &Axis,
    row: &mut [T],
    (first, width): (usize, usize),
    parts: &[T; TILE],
) {
    if row.len() != axis.size {
        return;
    }
    along!(axis, first, width.min(TILE), |j, i| {
        // SAFETY: `along` gives elements of the row, which has the axis' size, and windows of the
        // tile.
        unsafe {
            let to = row.get_unchecked_mut(i);
            *to = to.plus(*parts.get_unchecked(j));
        }
    });
}

/// Windows of 2 x 2: each element of the plane is in one window at most.
#[inline(always)]
fn spread_pairs<T: Real>(g: &[T], by: T, upper: &mut [T], lower: &mut [T]) {
    let (upper, lower) = (upper.as_chunks_mut::<2>().0, lower.as_chunks_mut::<2>().0);
    for ((&g, upper), lower) in g.iter().zip(upper).zip(lower) {
        let part = g.over(by);
        *upper = [part; 2];
        *lower = [part; 2];
    }
}
