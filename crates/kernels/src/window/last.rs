//! The same with channels last: an image is `[.., height, width, channels]`, and vectors run along
//! the channels. Every channel gets the bits that a plane of its own would.

use super::{Axis, Divisor, Job, Real, TILE, along, beats};
use crate::levels::{lanewise, leveled};

/// The elements under a window, in order.
#[derive(Clone, Copy)]
struct Taps {
    /// First element, count and step along each axis.
    axes: [(usize, usize, usize); 3],
    sizes: [usize; 2],
}

impl Taps {
    #[inline(always)]
    fn new(job: &Job, at: [usize; 3]) -> Taps {
        let [a, b, c] = job.axes;
        let taps = |axis: Axis, j: usize| {
            let (first, count) = axis.taps(j);
            (first, count, axis.step())
        };
        Taps { axes: [taps(a, at[0]), taps(b, at[1]), taps(c, at[2])], sizes: [b.size, c.size] }
    }

    /// The number of the first element.
    #[inline(always)]
    fn first(&self) -> usize {
        let [(d, ..), (h, ..), (w, ..)] = self.axes;
        (d * self.sizes[0] + h) * self.sizes[1] + w
    }
}

/// Runs the body with the number of the first element of each row under the window.
macro_rules! rows {
    ($taps:expr, |$row:ident| $body:expr) => {{
        let [(d0, dn, ds), (h0, hn, hs), (w0, _, _)] = $taps.axes;
        let [height, width] = $taps.sizes;
        for d in 0..dn {
            for h in 0..hn {
                let $row = ((d0 + d * ds) * height + h0 + h * hs) * width + w0;
                $body
            }
        }
    }};
}

/// Runs the body with the number of each element under the window. Macros because closures may be
/// compiled for no level, see `lanewise`.
macro_rules! each {
    ($taps:expr, |$i:ident| $body:expr) => {{
        let (_, n, step) = $taps.axes[2];
        rows!($taps, |row| for k in 0..n {
            let $i = row + k * step;
            $body
        });
    }};
}

/// `N` channels of element `at`.
#[inline(always)]
fn lanes<T: Real, const N: usize>(x: &[T], at: usize) -> [T; N] {
    x.get(at..).and_then(|x| x.first_chunk::<N>()).copied().unwrap_or([T::ZERO; N])
}

/// Runs the body for all channels of a window, as many at a time as vectors hold.
macro_rules! channels {
    ($all:expr, |$c:ident, $n:ident| $body:expr) => {{
        let (all, mut $c): (usize, usize) = ($all, 0);
        while $c + 16 <= all {
            const $n: usize = 16;
            $body;
            $c += $n;
        }
        while $c + 4 <= all {
            const $n: usize = 4;
            $body;
            $c += $n;
        }
        while $c < all {
            const $n: usize = 1;
            $body;
            $c += $n;
        }
    }};
}

/// Runs the body for each window of some rows of results: its image, place and results.
macro_rules! windows {
    ($job:expr, $first:expr, $out:expr, |$image:ident, $at:ident, $to:ident| $body:expr) => {
        let (n, width) = ($job.channels, $job.axes[2].out);
        for (r, row) in $out.chunks_exact_mut((n * width).max(1)).enumerate() {
            let (image, a, b) = $job.row($first + r);
            let $image = image * $job.plane() * n;
            for (j, $to) in row.chunks_exact_mut(n.max(1)).enumerate() {
                let $at = [a, b, j];
                $body
            }
        }
    };
}

leveled!(
    /// The largest, for rows of results from number `first` on.
    pub(super) fn largest[T: Real](job: &Job, x: &[T], first: usize, out: &mut [T])
    => largest_body);
#[inline(always)]
fn largest_body<const FMA: bool, T: Real>(job: &Job, x: &[T], first: usize, out: &mut [T]) {
    if job.pairs() {
        let (n, width) = (job.channels, job.axes[2].size);
        windows!(job, first, out, |image, at, to| {
            let corner = 2 * (at[1] * width + at[2]);
            let of = |place: usize| x.get(image + place * n..).and_then(|x| x.get(..n));
            let four = [of(corner), of(corner + 1), of(corner + width), of(corner + width + 1)];
            if let [Some(a), Some(b), Some(c), Some(d)] = four {
                channels!(n, |at, N| {
                    let mut best = lanes::<T, N>(a, at);
                    for x in [b, c, d] {
                        let v = lanes::<T, N>(x, at);
                        for l in 0..N {
                            // As `beats` chooses.
                            let larger = if v[l] > best[l] { v[l] } else { best[l] };
                            best[l] = if v[l].is_nan() { v[l] } else { larger };
                        }
                    }
                    put(to, at, best);
                });
            }
        });
        return;
    }
    windows!(job, first, out, |image, at, to| {
        let taps = Taps::new(job, at);
        let x = x.get(image..).unwrap_or_default();
        channels!(job.channels, |c, N| {
            let mut best = [T::LOWEST; N];
            each!(taps, |i| {
                let v = lanes::<T, N>(x, i * job.channels + c);
                for l in 0..N {
                    best[l] = if beats(v[l], best[l]) { v[l] } else { best[l] };
                }
            });
            put(to, c, best);
        });
    });
}

#[inline(always)]
fn put<T: Copy, const N: usize>(to: &mut [T], at: usize, values: [T; N]) {
    if let Some(to) = to.get_mut(at..).and_then(|to| to.first_chunk_mut::<N>()) {
        *to = values;
    }
}

/// Where the largest of `N` channels from `c` on are in the plane.
#[inline(always)]
fn search<T: Real, const N: usize>(x: &[T], taps: &Taps, n: usize, c: usize) -> [u32; N] {
    let mut best = [T::LOWEST; N];
    // Where all are -inf, it is the first one.
    let mut place = [taps.first() as u32; N];
    each!(taps, |i| {
        let v = lanes::<T, N>(x, i * n + c);
        for l in 0..N {
            let better = beats(v[l], best[l]);
            best[l] = if better { v[l] } else { best[l] };
            place[l] = if better { i as u32 } else { place[l] };
        }
    });
    place
}

leveled!(
    /// Positions in the plane, for rows of results from number `first` on.
    pub(super) fn positions[T: Real](job: &Job, x: &[T], first: usize, out: &mut [i64])
    => positions_body);
#[inline(always)]
fn positions_body<const FMA: bool, T: Real>(job: &Job, x: &[T], first: usize, out: &mut [i64]) {
    windows!(job, first, out, |image, at, to| {
        let taps = Taps::new(job, at);
        let x = x.get(image..).unwrap_or_default();
        channels!(job.channels, |c, N| {
            put(to, c, search::<T, N>(x, &taps, job.channels, c).map(i64::from));
        });
    });
}

leveled!(
    /// Elements of `v` at the positions, for rows of results from number `first` on.
    pub(super) fn pick[T: Real](job: &Job, x: &[T], v: &[T], first: usize, out: &mut [T])
    => pick_body);
#[inline(always)]
fn pick_body<const FMA: bool, T: Real>(job: &Job, x: &[T], v: &[T], first: usize, out: &mut [T]) {
    let n = job.channels;
    windows!(job, first, out, |image, at, to| {
        let taps = Taps::new(job, at);
        let (x, v) = (x.get(image..).unwrap_or_default(), v.get(image..).unwrap_or_default());
        channels!(n, |c, N| {
            let place = search::<T, N>(x, &taps, n, c);
            let mut found = [T::ZERO; N];
            each!(taps, |i| {
                let v = lanes::<T, N>(v, i * n + c);
                for l in 0..N {
                    found[l] = if place[l] == i as u32 { v[l] } else { found[l] };
                }
            });
            put(to, c, found);
        });
    });
}

leveled!(
    /// Sums, divided, for rows of results from number `first` on.
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
    let (n, pairs) = (job.channels, job.pairs());
    let width = job.axes[2].size;
    windows!(job, first, out, |image, at, to| {
        let taps = Taps::new(job, at);
        let x = x.get(image..).unwrap_or_default();
        let by = divisor::<T>(job, by, at);
        channels!(n, |c, N| {
            let mut all = [T::ZERO; N];
            if pairs {
                let corner = taps.first();
                let [a, b, d, e] = [corner, corner + 1, corner + width, corner + width + 1]
                    .map(|i| lanes::<T, N>(x, i * n + c));
                for l in 0..N {
                    all[l] = a[l].plus(b[l]).plus(d[l].plus(e[l]));
                }
            } else {
                // Row by row, as planes are.
                let (_, count, step) = taps.axes[2];
                rows!(taps, |row| {
                    let mut sum = [T::ZERO; N];
                    for k in 0..count {
                        let v = lanes::<T, N>(x, (row + k * step) * n + c);
                        for l in 0..N {
                            sum[l] = sum[l].plus(v[l]);
                        }
                    }
                    for l in 0..N {
                        all[l] = all[l].plus(sum[l]);
                    }
                });
            }
            put(to, c, lanewise!(all => |v| v.over(by)));
        });
    });
}

/// What the sum of a window is divided by; dividing by 1 changes nothing.
#[inline(always)]
fn divisor<T: Real>(job: &Job, by: Divisor, at: [usize; 3]) -> T {
    let [a, b, c] = job.axes;
    T::count(a.divisor(at[0], by) * b.divisor(at[1], by) * c.divisor(at[2], by))
}

/// Runs the body for each window of some images: the image's elements in `out`, the number of the
/// window's first channel in all windows, its place.
macro_rules! images {
    ($job:expr, $first:expr, $out:expr, |$image:ident, $own:ident, $window:ident, $at:ident| $body:expr) => {
        let ([a, b, c], n) = ($job.axes, $job.channels);
        let (size, windows) = ($job.plane() * n, $job.windows());
        for (p, $own) in $out.chunks_exact_mut(size.max(1)).enumerate() {
            let $image = ($first + p) * size;
            let mut $window = ($first + p) * windows * n;
            for i in 0..a.out {
                for j in 0..b.out {
                    for k in 0..c.out {
                        let $at = [i, j, k];
                        $body
                        $window += n;
                    }
                }
            }
        }
    };
}

leveled!(
    /// Images from number `first` on: zeros, with elements of `g` added at the positions.
    pub(super) fn place[T: Real](job: &Job, x: &[T], g: &[T], first: usize, out: &mut [T])
    => place_body);
#[inline(always)]
fn place_body<const FMA: bool, T: Real>(job: &Job, x: &[T], g: &[T], first: usize, out: &mut [T]) {
    let (n, pairs) = (job.channels, job.pairs());
    if !(pairs && job.covered()) {
        out.fill(T::ZERO);
    }
    images!(job, first, out, |image, own, window, at| {
        let taps = Taps::new(job, at);
        let x = x.get(image..image + own.len()).unwrap_or_default();
        channels!(n, |c, N| {
            let place = search::<T, N>(x, &taps, n, c);
            let g = lanes::<T, N>(g, window + c);
            each!(taps, |i| {
                let here = i * n + c;
                let mut to = lanes::<T, N>(own, here);
                for l in 0..N {
                    let only = place[l] == i as u32;
                    // Of windows without overlap each element has one gradient, or none.
                    let (hit, miss) =
                        if pairs { (g[l], T::ZERO) } else { (to[l].plus(g[l]), to[l]) };
                    to[l] = if only { hit } else { miss };
                }
                put(own, here, to);
            });
        });
    });
}

leveled!(
    /// Images from number `first` on: each element of `g`, divided, added to all under its window.
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
    let (n, pairs) = (job.channels, job.pairs());
    if !(pairs && job.covered()) {
        out.fill(T::ZERO);
    }
    if !job.axes[2].apart() {
        return overlapping(job, g, by, first, out);
    }
    images!(job, first, out, |_image, own, window, at| {
        let taps = Taps::new(job, at);
        let by = divisor::<T>(job, by, at);
        channels!(n, |c, N| {
            let part = lanewise!(lanes::<T, N>(g, window + c) => |g| g.over(by));
            each!(taps, |i| {
                let here = i * n + c;
                let mut to = lanes::<T, N>(own, here);
                for l in 0..N {
                    to[l] = if pairs { part[l] } else { to[l].plus(part[l]) };
                }
                put(own, here, to);
            });
        });
    });
}

/// Windows of a row that share elements: these get their parts in the order that planes add them in,
/// by the number in the window.
#[inline(always)]
fn overlapping<T: Real>(job: &Job, g: &[T], by: Divisor, first: usize, out: &mut [T]) {
    let ([da, ha, wa], n) = (job.axes, job.channels);
    let (size, windows) = (job.plane() * n, job.windows() * n);
    for (p, own) in out.chunks_exact_mut(size.max(1)).enumerate() {
        let g = g.get((first + p) * windows..).unwrap_or_default();
        for r in 0..da.out * ha.out {
            let (a, b) = (r / ha.out, r % ha.out);
            let ((d0, dn), (h0, hn)) = (da.taps(a), ha.taps(b));
            for tile in (0..wa.out).step_by(TILE) {
                let width = (wa.out - tile).min(TILE);
                for d in 0..dn {
                    for h in 0..hn {
                        let line = (d0 + d * da.step()) * ha.size + h0 + h * ha.step();
                        along!(&wa, tile, width, |j, i| {
                            let window = (r * wa.out + tile + j) * n;
                            let by = divisor::<T>(job, by, [a, b, tile + j]);
                            let here = (line * wa.size + i) * n;
                            channels!(n, |c, N| {
                                let part = lanes::<T, N>(g, window + c);
                                let mut to = lanes::<T, N>(own, here + c);
                                for l in 0..N {
                                    to[l] = to[l].plus(part[l].over(by));
                                }
                                put(own, here + c, to);
                            });
                        });
                    }
                }
            }
        }
    }
}
