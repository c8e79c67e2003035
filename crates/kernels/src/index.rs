//! Picking elements by index, and adding to them.
//!
//! Tensors are seen as `[outer, len, inner]` around the axis that is indexed. All indices are
//! checked before anything is written; negative ones are out of range here (the caller wraps them).
//! Additions to one place happen in the order of the indices, whatever the number of threads.

use crate::levels::leveled;
use crate::memory::{Element, KernelError, Mem, Shared, Ty};
use crate::pool;

/// Sizes around the indexed axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Around {
    /// Product of the sizes before the axis.
    pub outer: usize,
    /// Size of the indexed axis.
    pub len: usize,
    /// Product of the sizes after it.
    pub inner: usize,
}

/// Elements of a piece of a job, about.
const PIECE: usize = 16 * 1024;

/// `out[o, j, i] = x[o, index[j], i]`: rows of an embedding, for `outer` = 1.
///
/// # Errors
/// [`KernelError::Index`] for an index out of range, others for windows that do not fit.
pub fn index_select(
    x: Mem<'_>,
    index: Mem<'_>,
    out: Mem<'_>,
    around: Around,
) -> Result<(), KernelError> {
    let m = index.len();
    sizes(&x, &out, around, m)?;
    apart(&out, &[x, index])?;
    if out.is_empty() {
        return Ok(());
    }
    let index = checked(&index, around.len)?;
    let Around { outer, len, inner } = around;
    let row = inner * x.ty().size();
    // SAFETY: the output overlaps no operand; pieces write different rows.
    let shared = unsafe { Shared::new((x.ptr_bytes().cast_const(), out.ptr_bytes())) };
    let a_piece = (PIECE / inner).max(1);
    let rows = outer * m;
    pool::run(rows.div_ceil(a_piece), (out.len() / 4) as u64, &|piece| {
        let (from, to) = *shared.get();
        let mut r = piece * a_piece;
        let end = (r + a_piece).min(rows);
        while r < end {
            let (o, j) = (r / m, r % m);
            let part = index.get(j..(j + end - r).min(m)).unwrap_or_default();
            for (k, &i) in part.iter().enumerate() {
                // SAFETY: i was checked, and row r + k is one of this piece's.
                unsafe {
                    let src = from.add((o * len + i as usize) * row);
                    copy_row(src, to.add((r + k) * row), row);
                }
            }
            r += part.len().max(1);
        }
    })?;
    Ok(())
}

/// Copies a row of bytes; the usual small sizes without a call.
///
/// # Safety
/// Both must be good for `bytes` and not overlap.
#[inline(always)]
unsafe fn copy_row(src: *const u8, dst: *mut u8, bytes: usize) {
    // SAFETY: the caller's promise.
    unsafe {
        match bytes {
            1 => dst.write(src.read()),
            2 => dst.cast::<[u8; 2]>().write_unaligned(src.cast::<[u8; 2]>().read_unaligned()),
            4 => dst.cast::<[u8; 4]>().write_unaligned(src.cast::<[u8; 4]>().read_unaligned()),
            8 => dst.cast::<[u8; 8]>().write_unaligned(src.cast::<[u8; 8]>().read_unaligned()),
            _ => std::ptr::copy_nonoverlapping(src, dst, bytes),
        }
    }
}

/// `out[o, j, i] = x[o, index[o, j, i], i]`, as `torch.gather` with an index of `m` along the axis
/// and the operand's sizes along the others.
///
/// # Errors
/// [`KernelError::Index`] for an index out of range, others for windows that do not fit.
pub fn gather(
    x: Mem<'_>,
    index: Mem<'_>,
    out: Mem<'_>,
    around: Around,
    m: usize,
) -> Result<(), KernelError> {
    sizes(&x, &out, around, m)?;
    if index.len() != out.len() {
        return Err(KernelError::Bounds("index of a gather"));
    }
    apart(&out, &[x, index])?;
    if out.is_empty() {
        return Ok(());
    }
    let index = checked(&index, around.len)?;
    // SAFETY: the output overlaps no operand, indices are checked, types were found equal.
    unsafe {
        match x.ty().size() {
            1 => gather_of::<u8>(&x, index, &out, around, m),
            2 => gather_of::<u16>(&x, index, &out, around, m),
            4 => gather_of::<u32>(&x, index, &out, around, m),
            _ => gather_of::<u64>(&x, index, &out, around, m),
        }
    }
}

/// # Safety
/// As checked by [`gather`]; `T` has the elements' size.
unsafe fn gather_of<T: Copy + Send + Sync>(
    x: &Mem<'_>,
    index: &[i64],
    out: &Mem<'_>,
    around: Around,
    m: usize,
) -> Result<(), KernelError> {
    let Around { len, inner, .. } = around;
    // SAFETY: pieces write different rows.
    let shared = unsafe {
        Shared::new((x.ptr_bytes().cast::<T>().cast_const(), out.ptr_bytes().cast::<T>()))
    };
    let a_piece = (PIECE / inner).max(1) * inner;
    pool::run(index.len().div_ceil(a_piece), index.len() as u64, &|piece| {
        let (from, to) = *shared.get();
        let start = piece * a_piece;
        let part = index.get(start..).unwrap_or_default();
        for (r, row) in part.chunks(inner).take(a_piece / inner).enumerate() {
            let base = (start / inner + r) / m * len * inner;
            for (i, &at) in row.iter().enumerate() {
                // SAFETY: `at` was checked; the result is one of this piece's.
                unsafe {
                    let value = from.add(base + at as usize * inner + i).read();
                    to.add(start + r * inner + i).write(value);
                }
            }
        }
    })?;
    Ok(())
}

/// `dst[o, index[j], i] += src[o, j, i]`, in the order of `j`.
///
/// # Errors
/// [`KernelError::Index`] for an index out of range, others for windows that do not fit.
pub fn index_add(
    dst: Mem<'_>,
    index: Mem<'_>,
    src: Mem<'_>,
    around: Around,
) -> Result<(), KernelError> {
    add(dst, index, src, around, index.len(), false)
}

/// `dst[o, index[o, j, i], i] += src[o, j, i]`, in the order of `j`, as `torch.scatter_add` with an
/// index of `m` along the axis and the destination's sizes along the others.
///
/// # Errors
/// [`KernelError::Index`] for an index out of range, others for windows that do not fit.
pub fn scatter_add(
    dst: Mem<'_>,
    index: Mem<'_>,
    src: Mem<'_>,
    around: Around,
    m: usize,
) -> Result<(), KernelError> {
    if index.len() != src.len() {
        return Err(KernelError::Bounds("index of a scatter"));
    }
    add(dst, index, src, around, m, true)
}

fn add(
    dst: Mem<'_>,
    index: Mem<'_>,
    src: Mem<'_>,
    around: Around,
    m: usize,
    each: bool,
) -> Result<(), KernelError> {
    sizes(&dst, &src, around, m)?;
    apart(&dst, &[index, src])?;
    if src.is_empty() {
        return Ok(());
    }
    let index = checked(&index, around.len)?;
    match dst.ty() {
        Ty::F32 => add_of::<f32>(dst, index, src, around, m, each),
        Ty::F64 => add_of::<f64>(dst, index, src, around, m, each),
        Ty::I64 => add_of::<i64>(dst, index, src, around, m, each),
        Ty::I32 => add_of::<i32>(dst, index, src, around, m, each),
        Ty::U8 => add_of::<u8>(dst, index, src, around, m, each),
        Ty::Bool | Ty::BF16 | Ty::F16 => Err(KernelError::Type("sum of such elements")),
    }
}

/// What can be added to.
trait Sum: Element {
    fn plus(self, other: Self) -> Self;
}
macro_rules! sum {
    ($($t:ty: |$a:ident, $b:ident| $e:expr;)*) => {$(impl Sum for $t {
        #[inline(always)]
        fn plus(self, other: $t) -> $t {
            let ($a, $b) = (self, other);
            $e
        }
    })*};
}
sum! {
    f32: |a, b| a + b;
    f64: |a, b| a + b;
    i64: |a, b| a.wrapping_add(b);
    i32: |a, b| a.wrapping_add(b);
    u8: |a, b| a.wrapping_add(b);
}

fn add_of<T: Sum>(
    dst: Mem<'_>,
    index: &[i64],
    src: Mem<'_>,
    around: Around,
    m: usize,
    each: bool,
) -> Result<(), KernelError> {
    let Around { outer, len, inner } = around;
    // Pieces own columns of the destination, or ranges of its rows where columns are few; each goes
    // through all indices in order, so the cut does not show in the result.
    let columns = if outer * inner.div_ceil(64) >= 8 || inner >= 256 { 64 } else { inner };
    let tiles = inner.div_ceil(columns);
    let ranges = if outer * tiles < 4 && m * columns >= 2 * PIECE { len.min(8) } else { 1 };
    let rows = len.div_ceil(ranges);
    // SAFETY: the destination overlaps nothing else; pieces write different columns or rows.
    let shared = unsafe { Shared::new((src.ptr::<T>().cast_const(), dst.ptr::<T>())) };
    pool::run(outer * tiles * ranges, src.len() as u64, &|piece| {
        let (from, to) = *shared.get();
        let (o, rest) = (piece / (tiles * ranges), piece % (tiles * ranges));
        let (column, first) = (rest / ranges * columns, rest % ranges * rows);
        let width = (inner - column).min(columns);
        let own = first..(first + rows).min(len);
        for j in 0..m {
            let at = (o * m + j) * inner + column;
            // SAFETY: the row of the source is inside.
            let row = unsafe { std::slice::from_raw_parts(from.add(at), width) };
            if each {
                for (i, &value) in row.iter().enumerate() {
                    let k = index.get(at + i).map_or(usize::MAX, |&k| k as usize);
                    if own.contains(&k) {
                        // SAFETY: k < len, and this piece's.
                        unsafe {
                            let place = to.add((o * len + k) * inner + column + i);
                            place.write(place.read().plus(value));
                        }
                    }
                }
            } else {
                let k = index.get(j).map_or(usize::MAX, |&k| k as usize);
                if own.contains(&k) {
                    // SAFETY: k < len, and this piece's.
                    let place = unsafe {
                        let start = to.add((o * len + k) * inner + column);
                        std::slice::from_raw_parts_mut(start, width)
                    };
                    add_row(place, row);
                }
            }
        }
    })?;
    Ok(())
}

leveled!(fn add_row[T: Sum](to: &mut [T], from: &[T]) => add_row_body);
#[inline(always)]
fn add_row_body<const FMA: bool, T: Sum>(to: &mut [T], from: &[T]) {
    for (a, &b) in to.iter_mut().zip(from) {
        *a = a.plus(b);
    }
}

/// Checks a tensor of `around` and one that has `m` along the axis instead.
fn sizes(long: &Mem<'_>, short: &Mem<'_>, around: Around, m: usize) -> Result<(), KernelError> {
    if long.ty() != short.ty() {
        return Err(KernelError::Type("operands of an indexed kernel"));
    }
    let size = |n: usize| around.outer.checked_mul(n)?.checked_mul(around.inner);
    if size(around.len) != Some(long.len()) || size(m) != Some(short.len()) {
        return Err(KernelError::Bounds("operands of an indexed kernel"));
    }
    Ok(())
}

fn apart(out: &Mem<'_>, operands: &[Mem<'_>]) -> Result<(), KernelError> {
    if !out.writable() {
        return Err(KernelError::Type("output of an indexed kernel"));
    }
    if operands.iter().any(|m| m.overlaps(out)) {
        return Err(KernelError::Overlap("output of an indexed kernel"));
    }
    Ok(())
}

/// The indices, all of them in `0..size`.
pub(crate) fn checked<'a>(index: &Mem<'a>, size: usize) -> Result<&'a [i64], KernelError> {
    // SAFETY: `apart` made sure that the index is not written while it is read.
    let Some(slice) = (unsafe { index.slice_of::<i64>() }) else {
        return Err(KernelError::Type("index"));
    };
    if all_below(slice, size) {
        return Ok(slice);
    }
    let found = slice.iter().enumerate().find(|(_, v)| !(0..size as i64).contains(*v));
    found.map_or(Ok(slice), |(position, &value)| Err(KernelError::Index { position, value, size }))
}

leveled!(fn all_below[](index: &[i64], size: usize) -> bool => all_below_body);
#[inline(always)]
fn all_below_body<const FMA: bool>(index: &[i64], size: usize) -> bool {
    index.iter().fold(true, |ok, &i| ok & ((i as u64) < size as u64))
}
