//! What happens to the rows of a block between its products, in vectors of 16.

use crate::lanes::{Fold, LANES, Larger, Sum, tree};
use crate::levels::{lanewise, leveled};
use crate::rows::vector::{V, first_lanes, for_vectors, load, store};
use crate::vmath;

/// The mask of a head: its first element, and distances of queries and keys.
#[derive(Clone, Copy)]
pub(super) enum Seen {
    All,
    /// Bools: whether a key is seen.
    Chosen(*const u8, usize, usize),
    /// Floats that are added.
    Added(*const f32, usize, usize),
}

/// A block of scores: `count` rows from query `first` on by `limit` keys from `key` on.
#[derive(Clone, Copy)]
pub(super) struct Block {
    pub(super) scores: *mut f32,
    /// Distance of rows; a multiple of the lanes, as much room has a row.
    pub(super) row: usize,
    pub(super) first: usize,
    pub(super) count: usize,
    pub(super) key: usize,
    pub(super) limit: usize,
    pub(super) causal: bool,
    pub(super) scale: f32,
    pub(super) seen: Seen,
    /// Two numbers for each query of the head: the largest score, and of the exponentials first the
    /// sum, then what they are multiplied with.
    pub(super) stats: *mut f32,
}

impl Block {
    /// How many keys row `r` looks at.
    #[inline(always)]
    fn sees(&self, r: usize) -> usize {
        let all = self.limit;
        if self.causal { all.min((self.first + r + 1).saturating_sub(self.key)) } else { all }
    }

    /// Up to where a row holds numbers that products read.
    #[inline(always)]
    fn end(&self) -> usize {
        self.limit.next_multiple_of(LANES)
    }
}

/// Scores of row `r` from `i` on with factor and mask; -inf beyond `count`.
///
/// # Safety
/// The block's pointers are good, and `r`, `i` and `count` inside of it.
#[inline(always)]
unsafe fn scores(b: &Block, r: usize, i: usize, count: usize) -> V {
    // SAFETY: the caller's promise; rows have room for whole vectors.
    unsafe {
        let x = b.scores.add(r * b.row + i).cast::<V>().read_unaligned();
        let scale = b.scale;
        let mut t = lanewise!(x => |x| x * scale);
        match b.seen {
            Seen::All => {}
            Seen::Added(mask, row, col) => {
                let from = mask.add((b.first + r) * row + (b.key + i) * col);
                let more = if col == 1 { load(from, count, count, 0.0) } else { [*from; LANES] };
                t = lanewise!(t, more => |t, m| t + m);
            }
            Seen::Chosen(mask, row, col) => {
                let from = mask.add((b.first + r) * row + (b.key + i) * col);
                for (l, t) in t.iter_mut().enumerate().take(count) {
                    if *from.add(l * col) == 0 {
                        *t = f32::NEG_INFINITY;
                    }
                }
            }
        }
        if count < LANES { first_lanes(t, count, f32::NEG_INFINITY) } else { t }
    }
}

/// Scores become exponentials of their distance from the largest so far, of this block and those
/// before; `total` rows of sums so far, `[count, width]`, shrink if that has grown. Sums of
/// exponentials and largest scores are noted.
///
/// # Safety
/// The block's pointers are good, and `total` for rows of `width` that are `total_row` apart.
pub(super) unsafe fn soften(
    b: Block,
    start: bool,
    total: *mut f32,
    total_row: usize,
    width: usize,
) {
    soften_at(b, start, total, total_row, width);
}

leveled!(fn soften_at[](b: Block, start: bool, total: *mut f32, total_row: usize, width: usize)
    => soften_body);
#[inline(always)]
fn soften_body<const FMA: bool>(
    b: Block,
    start: bool,
    total: *mut f32,
    total_row: usize,
    width: usize,
) {
    let masked = !matches!(b.seen, Seen::All);
    for r in 0..b.count {
        // SAFETY: the promise made to `soften`.
        unsafe {
            let row = b.scores.add(r * b.row);
            let n = b.sees(r);
            let stats = b.stats.add(2 * (b.first + r));
            let (was, sum) = if start { (f32::NEG_INFINITY, 0.0) } else { (*stats, *stats.add(1)) };
            let mut top = [was; LANES];
            for_vectors!(n => |i, count| {
                let t = scores(&b, r, i, count);
                if masked {
                    store(row.add(i), t, LANES);
                }
                top = lanewise!(top, t => |a, b| Larger::join(a, b));
            });
            let most = tree::<f32, Larger>(top);
            // Where everything is masked so far, all terms are 0; without a mask that is NaN.
            let from = if masked && most == f32::NEG_INFINITY { 0.0 } else { most };
            let scale = b.scale;
            let mut lanes: V = [0.0; LANES];
            for_vectors!(n => |i, count| {
                let x = row.add(i).cast::<V>().read_unaligned();
                let mut p = if masked {
                    lanewise!(x => |t| vmath::exp::<FMA>(t - from))
                } else {
                    lanewise!(x => |x| vmath::exp::<FMA>(x * scale - from))
                };
                if count < LANES {
                    p = first_lanes(p, count, 0.0);
                }
                store(row.add(i), p, LANES);
                lanes = lanewise!(lanes, p => |a, b| a + b);
            });
            let now = tree::<f32, Sum>(lanes);
            let mut i = n.next_multiple_of(LANES);
            while i < b.end() {
                store(row.add(i), [0.0; LANES], LANES);
                i += LANES;
            }
            if start {
                *stats.add(1) = now;
            } else {
                let less =
                    if was == f32::NEG_INFINITY { 0.0 } else { vmath::exp::<FMA>(was - from) };
                *stats.add(1) = sum * less + now;
                if less != 1.0 {
                    let total = total.add(r * total_row);
                    for_vectors!(width => |i, count| {
                        let x = load(total.add(i), count, count, 0.0);
                        store(total.add(i), lanewise!(x => |x| x * less), count);
                    });
                }
            }
            *stats = most;
        }
    }
}

/// Rows of sums become means: the sum of the exponentials is divided out. A row whose keys are all
/// masked is 0.
///
/// # Safety
/// As for [`soften`].
pub(super) unsafe fn finish(b: Block, total: *mut f32, total_row: usize, width: usize) {
    finish_at(b, total, total_row, width);
}

leveled!(fn finish_at[](b: Block, total: *mut f32, total_row: usize, width: usize) => finish_body);
#[inline(always)]
fn finish_body<const FMA: bool>(b: Block, total: *mut f32, total_row: usize, width: usize) {
    let masked = !matches!(b.seen, Seen::All);
    for r in 0..b.count {
        // SAFETY: the promise made to `finish`.
        unsafe {
            let stats = b.stats.add(2 * (b.first + r));
            let total = total.add(r * total_row);
            if masked && *stats == f32::NEG_INFINITY && *stats.add(1) == 0.0 {
                (*stats, *stats.add(1)) = (0.0, 0.0);
                total.write_bytes(0, width);
                continue;
            }
            let factor = 1.0 / *stats.add(1);
            *stats.add(1) = factor;
            for_vectors!(width => |i, count| {
                let x = load(total.add(i), count, count, 0.0);
                store(total.add(i), lanewise!(x => |x| x * factor), count);
            });
        }
    }
}

/// What the backward pass makes of a block: `grads`, of the layout of the scores, holds the gradients
/// of the weights and gets those of the scores (with their factor); the scores become weights. `y`
/// and `dy` are result and gradient of the block's first query, rows of `width`, `apart` elements
/// from one another.
///
/// # Safety
/// The block's pointers and all others are good for its rows.
pub(super) unsafe fn weigh(
    b: Block,
    grads: *mut f32,
    y: *const f32,
    dy: *const f32,
    apart: usize,
    width: usize,
) {
    weigh_at(b, grads, y, dy, apart, width);
}

leveled!(fn weigh_at[](b: Block, grads: *mut f32, y: *const f32, dy: *const f32, apart: usize,
    width: usize) => weigh_body);
#[inline(always)]
fn weigh_body<const FMA: bool>(
    b: Block,
    grads: *mut f32,
    y: *const f32,
    dy: *const f32,
    apart: usize,
    width: usize,
) {
    for r in 0..b.count {
        // SAFETY: the promise made to `weigh`.
        unsafe {
            let (row, grad) = (b.scores.add(r * b.row), grads.add(r * b.row));
            let n = b.sees(r);
            let stats = b.stats.add(2 * (b.first + r));
            let (most, factor, scale) = (*stats, *stats.add(1), b.scale);
            let (y, dy) = (y.add(r * apart), dy.add(r * apart));
            let mut lanes: V = [0.0; LANES];
            for_vectors!(width => |i, count| {
                let y = load(y.add(i), count, count, 0.0);
                let dy = load(dy.add(i), count, count, 0.0);
                let both = lanewise!(y, dy => |y, d| y * d);
                lanes = lanewise!(lanes, both => |a, b| a + b);
            });
            let mean = tree::<f32, Sum>(lanes);
            for_vectors!(n => |i, count| {
                let t = scores(&b, r, i, count);
                let mut p = lanewise!(t => |t| vmath::exp::<FMA>(t - most) * factor);
                if count < LANES {
                    p = first_lanes(p, count, 0.0);
                }
                let d = grad.add(i).cast::<V>().read_unaligned();
                let mut d = lanewise!(d, p => |d, p| p * (d - mean) * scale);
                if count < LANES {
                    d = first_lanes(d, count, 0.0);
                }
                store(row.add(i), p, LANES);
                store(grad.add(i), d, LANES);
            });
            let mut i = n.next_multiple_of(LANES);
            while i < b.end() {
                store(row.add(i), [0.0; LANES], LANES);
                store(grad.add(i), [0.0; LANES], LANES);
                i += LANES;
            }
        }
    }
}
