//! Writing and combining elements at indices, and checking indices.
//!
//! Tensors are seen as `[outer, len, inner]` around the axis that is indexed, as in [`crate::index`].
//! All indices are checked before anything is written. Several elements for one place are taken in
//! the order of the indices, whatever the number of threads: the last one written stays.

use crate::index::{Around, checked};
use crate::memory::{Element, KernelError, Mem, Shared, Ty};
use crate::pool;

/// What becomes of a place and an element for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Combine {
    /// The element.
    Write,
    /// The product.
    Prod,
    /// The larger; NaN if either is.
    Max,
    /// The smaller; NaN if either is.
    Min,
}

/// What can be combined.
trait Combined: Element {
    fn times(self, other: Self) -> Self;
    fn larger(self, other: Self) -> Self;
    fn smaller(self, other: Self) -> Self;
}
macro_rules! floats {
    ($($t:ty),*) => {$(impl Combined for $t {
        #[inline(always)]
        fn times(self, other: $t) -> $t {
            self * other
        }
        #[inline(always)]
        fn larger(self, other: $t) -> $t {
            if other > self || other.is_nan() { other } else { self }
        }
        #[inline(always)]
        fn smaller(self, other: $t) -> $t {
            if other < self || other.is_nan() { other } else { self }
        }
    })*};
}
floats!(f32, f64);
macro_rules! integers {
    ($($t:ty),*) => {$(impl Combined for $t {
        #[inline(always)]
        fn times(self, other: $t) -> $t {
            self.wrapping_mul(other)
        }
        #[inline(always)]
        fn larger(self, other: $t) -> $t {
            self.max(other)
        }
        #[inline(always)]
        fn smaller(self, other: $t) -> $t {
            self.min(other)
        }
    })*};
}
integers!(i64, i32, u8);

/// Combines `src` into `dst` at indices along the axis: `dst[o, index[j], i]` with `src[o, j, i]`
/// for a vector of `m` indices, or, when `each`, `dst[o, index[o, j, i], i]` with an index for each
/// element of `src`.
///
/// # Errors
/// [`KernelError::Index`] for an index out of range, others for windows that do not fit.
pub fn scatter(
    how: Combine,
    dst: Mem<'_>,
    index: Mem<'_>,
    src: Mem<'_>,
    around: Around,
    m: usize,
    each: bool,
) -> Result<(), KernelError> {
    if dst.ty() != src.ty() {
        return Err(KernelError::Type("operands of a scatter"));
    }
    let size = |n: usize| around.outer.checked_mul(n)?.checked_mul(around.inner);
    let indices = if each { size(m) } else { Some(m) };
    if size(around.len) != Some(dst.len())
        || size(m) != Some(src.len())
        || indices != Some(index.len())
    {
        return Err(KernelError::Bounds("operands of a scatter"));
    }
    if !dst.writable() {
        return Err(KernelError::Type("output of a scatter"));
    }
    if dst.overlaps(&index) || dst.overlaps(&src) {
        return Err(KernelError::Overlap("output of a scatter"));
    }
    let index = checked(&index, around.len)?;
    let job = Job { dst, index, src, around, m, each };
    match (how, dst.ty()) {
        (Combine::Write, ty) => match ty.size() {
            1 => job.run::<u8>(|_, b| b),
            2 => job.run::<u16>(|_, b| b),
            4 => job.run::<u32>(|_, b| b),
            _ => job.run::<u64>(|_, b| b),
        },
        (_, Ty::F32) => job.combine::<f32>(how),
        (_, Ty::F64) => job.combine::<f64>(how),
        (_, Ty::I64) => job.combine::<i64>(how),
        (_, Ty::I32) => job.combine::<i32>(how),
        (_, Ty::U8) => job.combine::<u8>(how),
        (Combine::Max, Ty::Bool) => job.run::<u8>(|a, b| u8::from(a != 0 || b != 0)),
        (_, Ty::Bool) => job.run::<u8>(|a, b| u8::from(a != 0 && b != 0)),
        (_, Ty::BF16 | Ty::F16) => {
            Err(KernelError::Type("a scatter of elements without arithmetic"))
        }
    }
}

struct Job<'a> {
    dst: Mem<'a>,
    index: &'a [i64],
    src: Mem<'a>,
    around: Around,
    m: usize,
    each: bool,
}

impl Job<'_> {
    fn combine<T: Combined>(&self, how: Combine) -> Result<(), KernelError> {
        match how {
            Combine::Write => self.run::<T>(|_, b| b),
            Combine::Prod => self.run::<T>(T::times),
            Combine::Max => self.run::<T>(T::larger),
            Combine::Min => self.run::<T>(T::smaller),
        }
    }

    /// Elements are of type `T`, or of its size if `f` only moves them.
    fn run<T: Copy + Send + Sync>(
        &self,
        f: impl Fn(T, T) -> T + Copy + Sync,
    ) -> Result<(), KernelError> {
        let (Around { outer, len, inner }, m, each, index) =
            (self.around, self.m, self.each, self.index);
        if self.src.is_empty() {
            return Ok(());
        }
        // Pieces own columns of the destination, or ranges of its rows where columns are few; each
        // goes through all indices in order, so the cut does not show in the result.
        let columns = if outer * inner.div_ceil(64) >= 8 || inner >= 256 { 64 } else { inner };
        let tiles = inner.div_ceil(columns);
        let ranges = if outer * tiles < 4 && m * columns >= 1 << 15 { len.min(8) } else { 1 };
        let rows = len.div_ceil(ranges);
        // SAFETY: the destination overlaps nothing else; pieces write different columns or rows.
        let shared = unsafe {
            let from = self.src.ptr_bytes().cast::<T>().cast_const();
            Shared::new((from, self.dst.ptr_bytes().cast::<T>()))
        };
        pool::run(outer * tiles * ranges, self.src.len() as u64, &|piece| {
            let (from, to) = *shared.get();
            let (o, rest) = (piece / (tiles * ranges), piece % (tiles * ranges));
            let (column, first) = (rest / ranges * columns, rest % ranges * rows);
            let width = (inner - column).min(columns);
            let own = first..(first + rows).min(len);
            for j in 0..m {
                let at = (o * m + j) * inner + column;
                let shared_index = if each { 0 } else { index.get(j).map_or(0, |&k| k as usize) };
                if !each && !own.contains(&shared_index) {
                    continue;
                }
                for i in 0..width {
                    let k = match each {
                        true => index.get(at + i).map_or(usize::MAX, |&k| k as usize),
                        false => shared_index,
                    };
                    if own.contains(&k) {
                        // SAFETY: k < len, and this piece's; the source's element is inside.
                        unsafe {
                            let place = to.add((o * len + k) * inner + column + i);
                            place.write(f(place.read(), from.add(at + i).read()));
                        }
                    }
                }
            }
        })?;
        Ok(())
    }
}

/// Copies indices, of which all must be in `0..size`; with `negative` also those from `-size` on
/// are, which count from the end.
///
/// # Errors
/// [`KernelError::Index`] for the first index out of range, others for windows that do not fit.
pub fn within(x: Mem<'_>, size: usize, negative: bool, out: Mem<'_>) -> Result<(), KernelError> {
    if x.len() != out.len() {
        return Err(KernelError::Bounds("indices"));
    }
    if out.overlaps(&x) {
        return Err(KernelError::Overlap("indices"));
    }
    // SAFETY: the windows do not overlap, and are used by one kernel at a time.
    let (Some(from), Some(to)) = (unsafe { (x.slice_of::<i64>(), out.slice_of_mut::<i64>()) })
    else {
        return Err(KernelError::Type("indices"));
    };
    for (position, (slot, &value)) in to.iter_mut().zip(from).enumerate() {
        let wrapped = if negative && value < 0 { value.wrapping_add(size as i64) } else { value };
        if wrapped as u64 >= size as u64 {
            return Err(KernelError::Index { position, value, size });
        }
        *slot = wrapped;
    }
    Ok(())
}
