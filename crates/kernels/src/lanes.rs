//! The order in which reductions add up, the same everywhere.
//!
//! The elements of one result are numbered `r = 0..n`. They are cut into chunks of [`CHUNK`]; in a
//! chunk, element `r` goes to lane `r % 16`, each lane is one sequential chain, and the lanes are
//! joined by the tree 8, 4, 2, 1; chunk results are joined by a [`Pairwise`] tree. Nothing of this
//! depends on memory layout, instruction set or threads, so neither do the bits.

use crate::levels::{lanewise, one_vector_a_turn};
use crate::memory::Truth;

/// Virtual lanes.
pub(crate) const LANES: usize = 16;
/// Elements in a chunk.
pub(crate) const CHUNK: usize = 4096;

/// Elements of reductions.
pub(crate) trait Num: Copy + Default + Send + Sync + 'static {}
impl<T: Copy + Default + Send + Sync + 'static> Num for T {}

/// A way to join two values.
pub(crate) trait Fold<T>: Copy + Send + Sync + 'static {
    /// Joined with anything it gives that thing back.
    const IDENTITY: T;
    /// Associative but for rounding.
    fn join(a: T, b: T) -> T;
    /// Applied to each final result: NaN gets one form, since which of several NaNs comes
    /// through an addition is the compiler's choice.
    fn finish(v: T) -> T;
}

/// Sums; integers wrap.
#[derive(Clone, Copy)]
pub(crate) struct Sum;
/// Products; integers wrap.
#[derive(Clone, Copy)]
pub(crate) struct Prod;
/// Largest; NaN wins.
#[derive(Clone, Copy)]
pub(crate) struct Max;
/// Smallest; NaN wins.
#[derive(Clone, Copy)]
pub(crate) struct Min;
/// Largest number: a NaN is passed over, where it comes back in another way, as through a sum.
#[derive(Clone, Copy)]
pub(crate) struct Larger;

macro_rules! folds {
    ($($f:ident $t:ty: $id:expr, |$a:ident, $b:ident| $join:expr, |$v:ident| $finish:expr;)*) => {$(
        impl Fold<$t> for $f {
            const IDENTITY: $t = $id;
            #[inline(always)]
            fn join($a: $t, $b: $t) -> $t { $join }
            #[inline(always)]
            fn finish($v: $t) -> $t { $finish }
        }
    )*};
}
folds! {
    Sum f32: 0.0, |a, b| a + b, |v| if v.is_nan() { f32::NAN } else { v };
    Prod f32: 1.0, |a, b| a * b, |v| if v.is_nan() { f32::NAN } else { v };
    Max f32: f32::NEG_INFINITY, |a, b| if (b > a) | b.is_nan() { b } else { a },
        |v| if v.is_nan() { f32::NAN } else { v };
    Min f32: f32::INFINITY, |a, b| if (b < a) | b.is_nan() { b } else { a },
        |v| if v.is_nan() { f32::NAN } else { v };
    Larger f32: f32::NEG_INFINITY, |a, b| if b > a { b } else { a }, |v| v;
    Sum f64: 0.0, |a, b| a + b, |v| if v.is_nan() { f64::NAN } else { v };
    Prod f64: 1.0, |a, b| a * b, |v| if v.is_nan() { f64::NAN } else { v };
    Max f64: f64::NEG_INFINITY, |a, b| if (b > a) | b.is_nan() { b } else { a },
        |v| if v.is_nan() { f64::NAN } else { v };
    Min f64: f64::INFINITY, |a, b| if (b < a) | b.is_nan() { b } else { a },
        |v| if v.is_nan() { f64::NAN } else { v };
    Sum i64: 0, |a, b| a.wrapping_add(b), |v| v;
    Prod i64: 1, |a, b| a.wrapping_mul(b), |v| v;
    Max i64: i64::MIN, |a, b| if b > a { b } else { a }, |v| v;
    Min i64: i64::MAX, |a, b| if b < a { b } else { a }, |v| v;
    Sum i32: 0, |a, b| a.wrapping_add(b), |v| v;
    Prod i32: 1, |a, b| a.wrapping_mul(b), |v| v;
    Max i32: i32::MIN, |a, b| if b > a { b } else { a }, |v| v;
    Min i32: i32::MAX, |a, b| if b < a { b } else { a }, |v| v;
    Sum u8: 0, |a, b| a.wrapping_add(b), |v| v;
    Prod u8: 1, |a, b| a.wrapping_mul(b), |v| v;
    Max u8: u8::MIN, |a, b| if b > a { b } else { a }, |v| v;
    Min u8: u8::MAX, |a, b| if b < a { b } else { a }, |v| v;
    Max Truth: Truth(0), |a, b| Truth::from(a.is_true() | b.is_true()), |v| v;
    Min Truth: Truth(1), |a, b| Truth::from(a.is_true() & b.is_true()), |v| v;
}

/// The tree over lanes that a loop has filled.
#[inline(always)]
pub(crate) fn tree<T: Copy, F: Fold<T>>(lanes: [T; LANES]) -> T {
    // The compiler must not look from the tree back into the loop: it would cut the loop's vectors
    // into the pairs that the tree needs, at half the speed.
    short_tree::<T, F>(std::hint::black_box(lanes))
}

/// The tree over the lanes of a single vector.
#[inline(always)]
pub(crate) fn short_tree<T: Copy, F: Fold<T>>(mut lanes: [T; LANES]) -> T {
    for i in 0..8 {
        lanes[i] = F::join(lanes[i], lanes[i + 8]);
    }
    for i in 0..4 {
        lanes[i] = F::join(lanes[i], lanes[i + 4]);
    }
    for i in 0..2 {
        lanes[i] = F::join(lanes[i], lanes[i + 2]);
    }
    F::join(lanes[0], lanes[1])
}

/// Adds elements to lanes, the first one to lane 0.
#[inline(always)]
pub(crate) fn feed<T: Copy, F: Fold<T>>(lanes: &mut [T; LANES], xs: &[T]) {
    let (whole, rest) = xs.as_chunks::<LANES>();
    let mut acc = *lanes;
    for x in whole {
        acc = lanewise!(acc, *x => |a, x| F::join(a, x));
        one_vector_a_turn();
    }
    for (a, &x) in acc.iter_mut().zip(rest) {
        *a = F::join(*a, x);
    }
    *lanes = acc;
}

/// Joins values that come one by one as a balanced tree would: values `2i` and `2i + 1` first, then
/// these pairs, and so on; what is left over at the end is joined from the latest to the earliest.
/// A whole subtree of `2^k` values may be computed elsewhere and pushed in place of its values, if
/// all but the last are.
#[derive(Clone, Copy)]
pub(crate) struct Pairwise<T, F> {
    levels: [T; 48],
    count: usize,
    fold: std::marker::PhantomData<F>,
}

impl<T: Copy, F: Fold<T>> Pairwise<T, F> {
    #[inline(always)]
    pub(crate) fn new() -> Self {
        Pairwise { levels: [F::IDENTITY; 48], count: 0, fold: std::marker::PhantomData }
    }

    #[inline(always)]
    pub(crate) fn push(&mut self, value: T) {
        let mut value = value;
        let level = self.count.trailing_ones() as usize;
        for earlier in self.levels.iter().take(level) {
            value = F::join(*earlier, value);
        }
        if let Some(slot) = self.levels.get_mut(level) {
            *slot = value;
        }
        self.count += 1;
    }

    /// The result; the identity if nothing was pushed.
    #[inline(always)]
    pub(crate) fn finish(&self) -> T {
        let mut left = self.count;
        let mut result = None;
        for &earlier in &self.levels {
            if left == 0 {
                break;
            }
            if left & 1 == 1 {
                result = Some(result.map_or(earlier, |later| F::join(earlier, later)));
            }
            left >>= 1;
        }
        result.unwrap_or(F::IDENTITY)
    }
}

/// Feeds four runs of one length at a time: one chain of additions alone waits for each to end.
#[inline(always)]
pub(crate) fn feed_four<T: Copy, F: Fold<T>>(xs: [&[T]; 4]) -> [[T; LANES]; 4] {
    let mut lanes = [[F::IDENTITY; LANES]; 4];
    let [a, b, c, d] = xs.map(|x| x.as_chunks::<LANES>());
    for ((a, b), (c, d)) in a.0.iter().zip(b.0).zip(c.0.iter().zip(d.0)) {
        lanes = [
            lanewise!(lanes[0], *a => |x, y| F::join(x, y)),
            lanewise!(lanes[1], *b => |x, y| F::join(x, y)),
            lanewise!(lanes[2], *c => |x, y| F::join(x, y)),
            lanewise!(lanes[3], *d => |x, y| F::join(x, y)),
        ];
        one_vector_a_turn();
    }
    lanes = std::hint::black_box(lanes); // see `tree`
    for (lanes, rest) in lanes.iter_mut().zip([a.1, b.1, c.1, d.1]) {
        for (a, &x) in lanes.iter_mut().zip(rest) {
            *a = F::join(*a, x);
        }
    }
    lanes
}

/// The fold of one contiguous run, `r` counted from its start.
#[inline(always)]
pub(crate) fn fold_run<T: Copy, F: Fold<T>>(xs: &[T]) -> T {
    if xs.len() <= CHUNK {
        let mut lanes = [F::IDENTITY; LANES];
        feed::<T, F>(&mut lanes, xs);
        return tree::<T, F>(lanes);
    }
    let mut all = Pairwise::<T, F>::new();
    let mut fours = xs.chunks_exact(4 * CHUNK);
    for four in &mut fours {
        let (a, rest) = four.split_at(CHUNK);
        let (b, rest) = rest.split_at(CHUNK);
        let (c, d) = rest.split_at(CHUNK);
        let lanes = feed_four::<T, F>([a, b, c, d]);
        for lanes in lanes {
            all.push(tree::<T, F>(lanes));
        }
    }
    for chunk in fours.remainder().chunks(CHUNK) {
        let mut lanes = [F::IDENTITY; LANES];
        feed::<T, F>(&mut lanes, chunk);
        all.push(tree::<T, F>(lanes));
    }
    all.finish()
}

/// As [`fold_run`] for elements that come in several runs.
pub(crate) struct Stream<T, F> {
    lanes: [T; LANES],
    chunks: Pairwise<T, F>,
    r: usize,
}

impl<T: Copy, F: Fold<T>> Stream<T, F> {
    #[inline(always)]
    pub(crate) fn new() -> Self {
        Stream { lanes: [F::IDENTITY; LANES], chunks: Pairwise::new(), r: 0 }
    }

    #[inline(always)]
    pub(crate) fn feed(&mut self, mut xs: &[T]) {
        while !xs.is_empty() {
            let lane = self.r % LANES;
            // Up to the next whole lane group, or to the end of the chunk.
            let room = if lane > 0 { LANES - lane } else { CHUNK - self.r % CHUNK };
            let (now, later) = xs.split_at(room.min(xs.len()));
            if lane > 0 {
                for (a, &x) in self.lanes.iter_mut().skip(lane).zip(now) {
                    *a = F::join(*a, x);
                }
            } else {
                feed::<T, F>(&mut self.lanes, now);
            }
            self.r += now.len();
            if self.r.is_multiple_of(CHUNK) {
                self.chunks.push(tree::<T, F>(self.lanes));
                self.lanes = [F::IDENTITY; LANES];
            }
            xs = later;
        }
    }

    #[inline(always)]
    pub(crate) fn finish(mut self) -> T {
        if !self.r.is_multiple_of(CHUNK) {
            self.chunks.push(tree::<T, F>(self.lanes));
        }
        self.chunks.finish()
    }
}
