//! Where the largest or smallest element is.

use crate::levels::{lanewise, leveled, one_vector_a_turn};
use crate::memory::{Element, KernelError, Mem, Shared, Truth, Ty};
use crate::pool;

/// Which element's index is wanted; the first one of several.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ArgKind {
    /// The largest.
    ArgMax,
    /// The smallest.
    ArgMin,
}

/// What can be compared, with a NaN beyond every number.
trait Order: Element {
    /// Whether `a` is larger than `b`, or a NaN where `b` is none.
    fn beats(a: Self, b: Self, max: bool) -> bool;
}
macro_rules! floats {
    ($($t:ty),*) => {$(impl Order for $t {
        #[inline(always)]
        fn beats(a: $t, b: $t, max: bool) -> bool {
            let better = if max { a > b } else { a < b };
            (better | a.is_nan()) & !b.is_nan()
        }
    })*};
}
floats!(f32, f64);
macro_rules! integers {
    ($($t:ty),*) => {$(impl Order for $t {
        #[inline(always)]
        fn beats(a: $t, b: $t, max: bool) -> bool {
            if max { a > b } else { a < b }
        }
    })*};
}
integers!(i64, i32, u8);
impl Order for Truth {
    #[inline(always)]
    fn beats(a: Truth, b: Truth, max: bool) -> bool {
        if max { a.is_true() & !b.is_true() } else { !a.is_true() & b.is_true() }
    }
}

/// Indices of the extreme elements of `x`, seen as `[outer, len, inner]`, along `len`; `out` is i64,
/// `[outer, inner]`. The first of equal elements wins; a NaN is beyond everything.
///
/// # Errors
/// [`KernelError`] for windows that do not fit, and for `len` 0.
pub fn argreduce(
    kind: ArgKind,
    x: Mem<'_>,
    outer: usize,
    len: usize,
    inner: usize,
    out: Mem<'_>,
) -> Result<(), KernelError> {
    let results = outer.checked_mul(inner).ok_or(KernelError::Bounds("arg-reduction"))?;
    if results.checked_mul(len) != Some(x.len()) || out.len() != results {
        return Err(KernelError::Bounds("arg-reduction"));
    }
    if results > 0 && len == 0 {
        return Err(KernelError::Bounds("arg-reduction of nothing"));
    }
    if out.ty() != Ty::I64 || !out.writable() {
        return Err(KernelError::Type("output of an arg-reduction"));
    }
    if out.overlaps(&x) {
        return Err(KernelError::Overlap("output of an arg-reduction"));
    }
    let max = kind == ArgKind::ArgMax;
    match x.ty() {
        Ty::F32 => all::<f32>(max, x, outer, len, inner, out),
        Ty::F64 => all::<f64>(max, x, outer, len, inner, out),
        Ty::I64 => all::<i64>(max, x, outer, len, inner, out),
        Ty::I32 => all::<i32>(max, x, outer, len, inner, out),
        Ty::U8 => all::<u8>(max, x, outer, len, inner, out),
        Ty::Bool => all::<Truth>(max, x, outer, len, inner, out),
        Ty::BF16 | Ty::F16 => Err(KernelError::Type("arg-reduction of such elements")),
    }
}

/// Results that one piece makes side by side.
const TILE: usize = 64;

fn all<T: Order>(
    max: bool,
    x: Mem<'_>,
    outer: usize,
    len: usize,
    inner: usize,
    out: Mem<'_>,
) -> Result<(), KernelError> {
    // SAFETY: `out` does not overlap `x`, and windows are used by one kernel at a time.
    let (Some(xs), Some(out)) = (unsafe { (x.slice_of::<T>(), out.slice_of_mut::<i64>()) }) else {
        return Err(KernelError::Type("arg-reduction"));
    };
    if out.is_empty() {
        return Ok(());
    }
    let tiles = inner.div_ceil(TILE);
    let a_piece = (32 * 1024 / (len * inner.min(TILE))).clamp(1, outer * tiles);
    let items = outer * tiles;
    // SAFETY: pieces write different results.
    let to = unsafe { Shared::new(out.as_mut_ptr()) };
    pool::run(items.div_ceil(a_piece), xs.len() as u64, &|piece| {
        let own = piece * a_piece..((piece + 1) * a_piece).min(items);
        if inner == 1 {
            let slab = xs.get(own.start * len..own.end * len).unwrap_or_default();
            // SAFETY: these results are inside, and no other piece's.
            let results =
                unsafe { std::slice::from_raw_parts_mut(to.get().add(own.start), own.len()) };
            rows::<T>(slab, len, max, results);
            return;
        }
        for item in own {
            let (o, column) = (item / tiles, item % tiles * TILE);
            let w = (inner - column).min(TILE);
            let slab = xs.get(o * len * inner + column..(o + 1) * len * inner).unwrap_or_default();
            // SAFETY: results o * inner + column .. + w are inside, and no other item's.
            let results =
                unsafe { std::slice::from_raw_parts_mut(to.get().add(o * inner + column), w) };
            columns::<T>(slab, inner, max, results);
        }
    })?;
    Ok(())
}

leveled!(
    /// One result for each row of `n`.
    fn rows[T: Order](xs: &[T], n: usize, max: bool, out: &mut [i64]) => rows_body);
#[inline(always)]
fn rows_body<const FMA: bool, T: Order>(xs: &[T], n: usize, max: bool, out: &mut [i64]) {
    for (slot, row) in out.iter_mut().zip(xs.chunks_exact(n)) {
        let at = match n {
            0..LANES => tiny_row::<T>(row, max),
            LANES..LONG => one_row::<T>(row, max),
            _ => long_row::<T>(row, max),
        };
        *slot = at as i64;
    }
}

/// Lanes that look for the extreme side by side.
const LANES: usize = 16;
/// From this length on it pays to skip blocks.
const LONG: usize = 2048;

#[inline(always)]
fn tiny_row<T: Order>(xs: &[T], max: bool) -> usize {
    let Some(&first) = xs.first() else { return 0 };
    let (mut best, mut at) = (first, 0);
    for (i, &x) in xs.iter().enumerate().skip(1) {
        let beats = T::beats(x, best, max);
        (best, at) = if beats { (x, i) } else { (best, at) };
    }
    at
}

/// Blocks in which nothing beats the best so far are skipped by a loop without a chain.
#[inline(always)]
fn long_row<T: Order>(xs: &[T], max: bool) -> usize {
    let Some(&first) = xs.first() else { return 0 };
    let (mut best, mut at) = (first, 0);
    for (block, part) in xs.chunks(64).enumerate() {
        if !part.iter().fold(false, |any, &x| any | T::beats(x, best, max)) {
            continue;
        }
        for (i, &x) in part.iter().enumerate() {
            if T::beats(x, best, max) {
                (best, at) = (x, block * 64 + i);
            }
        }
    }
    at
}

#[inline(always)]
fn one_row<T: Order>(xs: &[T], max: bool) -> usize {
    let Some(&first) = xs.first() else { return 0 };
    // First the extreme value, then where it is for the first time.
    let mut best = first;
    let (whole, rest) = xs.as_chunks::<LANES>();
    if !whole.is_empty() {
        let mut lanes = [first; LANES];
        for chunk in whole {
            lanes = lanewise!(lanes, *chunk => |b, x| if T::beats(x, b, max) { x } else { b });
            one_vector_a_turn();
        }
        for x in std::hint::black_box(lanes) {
            best = if T::beats(x, best, max) { x } else { best };
        }
    }
    for &x in rest {
        best = if T::beats(x, best, max) { x } else { best };
    }
    // It is there when it is not beaten: a NaN by nothing, a number by no equal one.
    for (i, chunk) in whole.iter().enumerate() {
        let missing = chunk.iter().fold(true, |all, &x| all & T::beats(best, x, max));
        if !missing {
            return i * LANES + place(chunk, best, max);
        }
    }
    whole.len() * LANES + place(rest, best, max)
}

/// Where `best` is for the first time; it is there.
#[inline(always)]
fn place<T: Order>(xs: &[T], best: T, max: bool) -> usize {
    let mut at = 0;
    for (i, &x) in xs.iter().enumerate().rev() {
        at = if T::beats(best, x, max) { at } else { i };
    }
    at
}

leveled!(fn columns[T: Order](xs: &[T], stride: usize, max: bool, out: &mut [i64])
    => columns_body);
#[inline(always)]
fn columns_body<const FMA: bool, T: Order>(xs: &[T], stride: usize, max: bool, out: &mut [i64]) {
    let Some(&any) = xs.first() else { return };
    let mut best = [any; TILE];
    for (b, &x) in best.iter_mut().zip(xs) {
        *b = x;
    }
    out.fill(0);
    for (i, row) in xs.chunks(stride).enumerate().skip(1) {
        for ((b, at), &x) in best.iter_mut().zip(out.iter_mut()).zip(row) {
            let beats = T::beats(x, *b, max);
            *b = if beats { x } else { *b };
            *at = if beats { i as i64 } else { *at };
        }
    }
}
