//! The order of the elements of rows.
//!
//! Sorting is stable: equal elements keep their order, so the result does not depend on how it is
//! found. A NaN is beyond every number (last in ascending order, first in descending order) and
//! equal to every NaN; the two zeros are equal.

use crate::convert::Convert;
use crate::memory::{Element, KernelError, Mem, Shared, Truth, Ty};
use crate::pool;
use half::{bf16, f16};

/// An element type that can be sorted: as an unsigned number in the same order.
pub(crate) trait Key: Element {
    /// Whether the number has 32 bits at most.
    const NARROW: bool;
    /// The number.
    fn key(self) -> u64;
}

impl Key for f32 {
    const NARROW: bool = true;
    #[inline(always)]
    fn key(self) -> u64 {
        // Adding 0 makes one zero of two.
        let bits = (self + 0.0).to_bits();
        let ordered = if bits >> 31 == 0 { bits | 1 << 31 } else { !bits };
        u64::from(if self.is_nan() { u32::MAX } else { ordered })
    }
}
impl Key for f64 {
    const NARROW: bool = false;
    #[inline(always)]
    fn key(self) -> u64 {
        let bits = (self + 0.0).to_bits();
        let ordered = if bits >> 63 == 0 { bits | 1 << 63 } else { !bits };
        if self.is_nan() { u64::MAX } else { ordered }
    }
}
impl Key for i64 {
    const NARROW: bool = false;
    #[inline(always)]
    fn key(self) -> u64 {
        self as u64 ^ 1 << 63
    }
}
macro_rules! narrow {
    ($($t:ty: |$x:ident| $key:expr;)*) => {$(
        impl Key for $t {
            const NARROW: bool = true;
            #[inline(always)]
            fn key(self) -> u64 {
                let $x = self;
                $key
            }
        }
    )*};
}
narrow! {
    i32: |x| u64::from(x as u32 ^ 1 << 31);
    u8: |x| u64::from(x);
    Truth: |x| u64::from(x.is_true());
    bf16: |x| Convert::<f32>::convert(x).key();
    f16: |x| Convert::<f32>::convert(x).key();
}

/// For each row of `n` elements, the positions of its elements in ascending (or descending) order;
/// `out` is i64 of the same size. Equal elements keep their order in both.
///
/// # Errors
/// [`KernelError`] for windows that do not fit.
pub fn argsort(descending: bool, x: Mem<'_>, n: usize, out: Mem<'_>) -> Result<(), KernelError> {
    if x.len() != out.len() || (!x.is_empty() && !x.len().is_multiple_of(n.max(1))) {
        return Err(KernelError::Bounds("sort"));
    }
    if out.ty() != Ty::I64 || !out.writable() {
        return Err(KernelError::Type("output of a sort"));
    }
    if out.overlaps(&x) {
        return Err(KernelError::Overlap("output of a sort"));
    }
    match x.ty() {
        Ty::F32 => rows::<f32>(descending, x, n, out),
        Ty::F64 => rows::<f64>(descending, x, n, out),
        Ty::I64 => rows::<i64>(descending, x, n, out),
        Ty::I32 => rows::<i32>(descending, x, n, out),
        Ty::U8 => rows::<u8>(descending, x, n, out),
        Ty::Bool => rows::<Truth>(descending, x, n, out),
        Ty::BF16 => rows::<bf16>(descending, x, n, out),
        Ty::F16 => rows::<f16>(descending, x, n, out),
    }
}

fn rows<T: Key>(descending: bool, x: Mem<'_>, n: usize, out: Mem<'_>) -> Result<(), KernelError> {
    // SAFETY: `out` does not overlap `x`, and windows are used by one kernel at a time.
    let (Some(xs), Some(out)) = (unsafe { (x.slice_of::<T>(), out.slice_of_mut::<i64>()) }) else {
        return Err(KernelError::Type("sort"));
    };
    if xs.is_empty() {
        return Ok(());
    }
    let count = xs.len() / n;
    let a_piece = (4096 / n).clamp(1, count);
    // SAFETY: pieces write different rows.
    let to = unsafe { Shared::new(out.as_mut_ptr()) };
    // About log2(n) comparisons an element.
    let cost = xs.len() as u64 * u64::from(n.ilog2() + 1) * 2;
    pool::run(count.div_ceil(a_piece), cost, &|piece| {
        for r in piece * a_piece..((piece + 1) * a_piece).min(count) {
            let row = xs.get(r * n..(r + 1) * n).unwrap_or_default();
            // SAFETY: row r is inside, and no other piece's; an i64 may be seen as a u64.
            let slots =
                unsafe { std::slice::from_raw_parts_mut(to.get().add(r * n).cast::<u64>(), n) };
            one(descending, row, slots);
        }
    })?;
    Ok(())
}

/// The order of one row.
fn one<T: Key>(descending: bool, row: &[T], slots: &mut [u64]) {
    let turn = if descending { u64::MAX } else { 0 };
    if T::NARROW && u32::try_from(row.len()).is_ok() {
        // Key and position in one number: equal keys are in order of position by themselves.
        for (i, (slot, &x)) in slots.iter_mut().zip(row).enumerate() {
            *slot = (x.key() ^ turn) << 32 | i as u64;
        }
        slots.sort_unstable();
        for slot in slots {
            *slot &= u64::from(u32::MAX);
        }
        return;
    }
    for (i, slot) in slots.iter_mut().enumerate() {
        *slot = i as u64;
    }
    let key = |&i: &u64| (row.get(i as usize).map_or(0, |x| x.key() ^ turn), i);
    slots.sort_unstable_by_key(key);
}

/// How many elements of a sorted row lie before each value: the place where it would go in. The
/// rows of `sorted` have `n` elements, and those of `values` `m`; with one row of `sorted` it serves
/// every row. A value goes before equal elements, or behind them for `right`.
///
/// # Errors
/// [`KernelError`] for windows that do not fit.
pub fn search(
    right: bool,
    sorted: Mem<'_>,
    n: usize,
    values: Mem<'_>,
    m: usize,
    out: Mem<'_>,
) -> Result<(), KernelError> {
    if sorted.ty() != values.ty() {
        return Err(KernelError::Type("operands of a search"));
    }
    if out.ty() != Ty::I64 || !out.writable() {
        return Err(KernelError::Type("output of a search"));
    }
    if out.overlaps(&sorted) || out.overlaps(&values) {
        return Err(KernelError::Overlap("output of a search"));
    }
    let count = values.len().checked_div(m).unwrap_or(0);
    let shared = sorted.len() == n;
    if values.len() != out.len()
        || count * m != values.len()
        || !shared && m > 0 && count.checked_mul(n) != Some(sorted.len())
    {
        return Err(KernelError::Bounds("operands of a search"));
    }
    match sorted.ty() {
        Ty::F32 => search_of::<f32>(right, sorted, n, values, m, out),
        Ty::F64 => search_of::<f64>(right, sorted, n, values, m, out),
        Ty::I64 => search_of::<i64>(right, sorted, n, values, m, out),
        Ty::I32 => search_of::<i32>(right, sorted, n, values, m, out),
        Ty::U8 => search_of::<u8>(right, sorted, n, values, m, out),
        Ty::Bool => search_of::<Truth>(right, sorted, n, values, m, out),
        Ty::BF16 => search_of::<bf16>(right, sorted, n, values, m, out),
        Ty::F16 => search_of::<f16>(right, sorted, n, values, m, out),
    }
}

fn search_of<T: Key>(
    right: bool,
    sorted: Mem<'_>,
    n: usize,
    values: Mem<'_>,
    m: usize,
    out: Mem<'_>,
) -> Result<(), KernelError> {
    // SAFETY: `out` overlaps neither, and windows are used by one kernel at a time.
    let (Some(all), Some(xs), Some(out)) =
        (unsafe { (sorted.slice_of::<T>(), values.slice_of::<T>(), out.slice_of_mut::<i64>()) })
    else {
        return Err(KernelError::Type("search"));
    };
    const PIECE: usize = 2048;
    // SAFETY: pieces write different results.
    let to = unsafe { Shared::new(out.as_mut_ptr()) };
    let cost = xs.len() as u64 * u64::from(n.max(1).ilog2() + 1) * 3;
    pool::run(xs.len().div_ceil(PIECE), cost, &|piece| {
        let from = piece * PIECE;
        let part = xs.get(from..(from + PIECE).min(xs.len())).unwrap_or_default();
        for (k, &x) in part.iter().enumerate() {
            let start = if all.len() == n { 0 } else { (from + k) / m * n };
            let row = all.get(start..start + n).unwrap_or_default();
            let x = x.key();
            let at = row.partition_point(|e| if right { e.key() <= x } else { e.key() < x });
            // SAFETY: result from + k is inside, and this piece's.
            unsafe { to.get().add(from + k).write(at as i64) };
        }
    })?;
    Ok(())
}
