//! Copies between strided layouts: transposes, slices, flips, broadcasts, and concatenation, which
//! is a copy into a part of the output for each operand.
//!
//! Neighbouring axes that act as one are merged first. What is left is planes: rows that are
//! contiguous on both sides are copied whole; where the source runs along another axis than the
//! destination, the plane is transposed in small squares, so that both sides use whole cache lines.

mod plane;

use crate::memory::{KernelError, Mem, Shared};
use crate::pool;
use crate::program::MAX_RANK;

/// One side of a copy: the element at index 0 of all axes, and the step along each, in elements.
#[derive(Clone, Copy, Debug)]
pub struct Side<'a> {
    /// The memory.
    pub mem: Mem<'a>,
    /// Offset of the first element.
    pub offset: usize,
    /// Step along each axis; may be negative, and 0 in a source (broadcast).
    pub strides: &'a [isize],
}

impl Side<'_> {
    /// Checks that all elements are inside the window.
    fn inside(&self, dims: &[usize]) -> Option<()> {
        let (mut low, mut high) = (self.offset as i128, self.offset as i128);
        for (&d, &s) in dims.iter().zip(self.strides) {
            let far = (d as i128 - 1) * s as i128;
            low += far.min(0);
            high += far.max(0);
        }
        (low >= 0 && high < self.mem.len() as i128).then_some(())
    }
}

/// One merged axis: size, step of the source, step of the destination.
type Axis = (usize, isize, isize);

/// Copies the elements of `dims` from one layout to another of the same element type.
///
/// # Errors
/// [`KernelError`] for windows that do not fit or overlap, and for a destination in which two
/// elements may share a place.
pub fn copy(dims: &[usize], src: Side<'_>, dst: Side<'_>) -> Result<(), KernelError> {
    if dims.len() > MAX_RANK || src.strides.len() != dims.len() || dst.strides.len() != dims.len() {
        return Err(KernelError::Bounds("rank of a copy"));
    }
    if src.mem.ty() != dst.mem.ty() || !dst.mem.writable() {
        return Err(KernelError::Type("copy"));
    }
    if dims.contains(&0) {
        return Ok(());
    }
    if src.inside(dims).is_none() || dst.inside(dims).is_none() {
        return Err(KernelError::Bounds("copy"));
    }
    if src.mem.overlaps(&dst.mem) {
        return Err(KernelError::Overlap("copy"));
    }
    let mut axes: [Axis; MAX_RANK] = [(1, 0, 0); MAX_RANK];
    let rank = merge(dims, src.strides, dst.strides, &mut axes)?;
    let Some(axes) = axes.get(..rank) else { return Ok(()) };
    // SAFETY: both offsets are inside their windows.
    let shared = unsafe {
        let size = src.mem.ty().size();
        Shared::new((
            src.mem.ptr_bytes().add(src.offset * size).cast_const(),
            dst.mem.ptr_bytes().add(dst.offset * size),
        ))
    };
    // SAFETY: all places are inside, no two destinations are the same, the sides do not overlap.
    unsafe {
        match src.mem.ty().size() {
            1 => planes::<u8>(axes, &shared),
            2 => planes::<u16>(axes, &shared),
            4 => planes::<u32>(axes, &shared),
            _ => planes::<u64>(axes, &shared),
        }
    }
}

/// Copies the elements of `dims`, `strides` apart in `src` from `offset` on, to all of `dst` in
/// row-major order.
///
/// # Errors
/// As [`copy`].
pub fn to_contiguous(
    dims: &[usize],
    src: Mem<'_>,
    offset: usize,
    strides: &[isize],
    dst: Mem<'_>,
) -> Result<(), KernelError> {
    let mut row_major = [0isize; MAX_RANK];
    let mut step = 1usize;
    for (axis, &d) in dims.iter().enumerate().rev() {
        if let Some(s) = row_major.get_mut(axis) {
            *s = step as isize;
        }
        step = step.checked_mul(d).ok_or(KernelError::Bounds("copy"))?;
    }
    if step != dst.len() {
        return Err(KernelError::Bounds("copy"));
    }
    let to = row_major.get(..dims.len()).ok_or(KernelError::Bounds("rank of a copy"))?;
    let in_order = |((&d, &s), &t): ((&usize, &isize), &isize)| d == 1 || s == t;
    if (1..=FEW).contains(&step)
        && strides.len() == dims.len()
        && dims.iter().zip(strides).zip(to).all(in_order)
    {
        return few(src.slice(offset, step).ok_or(KernelError::Bounds("copy"))?, dst);
    }
    copy(dims, Side { mem: src, offset, strides }, Side { mem: dst, offset: 0, strides: to })
}

/// Elements in order that are copied without a plan: a loss, a small result.
const FEW: usize = 256;

/// Copies a window to another one of its size.
fn few(src: Mem<'_>, dst: Mem<'_>) -> Result<(), KernelError> {
    if src.ty() != dst.ty() || !dst.writable() {
        return Err(KernelError::Type("copy"));
    }
    if src.overlaps(&dst) {
        return Err(KernelError::Overlap("copy"));
    }
    let bytes = src.len() * src.ty().size();
    // SAFETY: both windows have so many bytes, of one type, and share none.
    unsafe { std::ptr::copy_nonoverlapping(src.ptr_bytes(), dst.ptr_bytes(), bytes) };
    Ok(())
}

/// Copies `src`, contiguous `[outer, len, inner]`, to places `start..start + len` of the middle axis
/// of `dst`, contiguous `[outer, all, inner]`: one operand of a concatenation.
///
/// # Errors
/// As [`copy`].
pub fn into_part(
    src: Mem<'_>,
    dst: Mem<'_>,
    outer: usize,
    inner: usize,
    (start, len, all): (usize, usize, usize),
) -> Result<(), KernelError> {
    let bounds = KernelError::Bounds("concatenation");
    let sizes = |n: usize| outer.checked_mul(n)?.checked_mul(inner);
    let inside = start.checked_add(len).is_some_and(|end| end <= all);
    if !inside || sizes(len) != Some(src.len()) || sizes(all) != Some(dst.len()) {
        return Err(bounds);
    }
    let row = len * inner;
    copy(
        &[outer, row],
        Side { mem: src, offset: 0, strides: &[row as isize, 1] },
        Side { mem: dst, offset: start * inner, strides: &[(all * inner) as isize, 1] },
    )
}

/// Drops axes of size 1, orders the others by the destination's steps, largest first, and merges
/// those that act as one. Returns how many are left.
fn merge(
    dims: &[usize],
    src: &[isize],
    dst: &[isize],
    axes: &mut [Axis; MAX_RANK],
) -> Result<usize, KernelError> {
    let mut rank = 0;
    for ((&d, &s), &t) in dims.iter().zip(src).zip(dst) {
        if let (true, Some(axis)) = (d != 1, axes.get_mut(rank)) {
            *axis = (d, s, t);
            rank += 1;
        }
    }
    let used = axes.get_mut(..rank).unwrap_or_default();
    used.sort_unstable_by_key(|a| std::cmp::Reverse(a.2.unsigned_abs()));
    // From the innermost out, each step must be beyond all that the inner axes reach.
    let mut reach = 1u128;
    for &(d, _, t) in used.iter().rev() {
        if (t.unsigned_abs() as u128) < reach {
            return Err(KernelError::Overlap("places of a copy's destination"));
        }
        reach += t.unsigned_abs() as u128 * (d as u128 - 1);
    }
    let mut last = 0;
    for i in 1..rank {
        let (d, s, t) = axes[i];
        let (outer_d, outer_s, outer_t) = axes[last];
        if outer_s == s * d as isize && outer_t == t * d as isize {
            axes[last] = (outer_d * d, s, t);
        } else {
            last += 1;
            axes[last] = (d, s, t);
        }
    }
    Ok(if rank == 0 { 0 } else { last + 1 })
}

/// Rows and columns of the largest part of a plane that one unit of work copies.
const UNIT: (usize, usize) = (64, 4096);
/// Elements of a piece of the job, about.
const PIECE: usize = 32 * 1024;

/// # Safety
/// Elements at all indices of `axes` must be inside both memories, destinations apart.
unsafe fn planes<T: Copy + Send + Sync + 'static>(
    axes: &[Axis],
    shared: &Shared<(*const u8, *mut u8)>,
) -> Result<(), KernelError> {
    let mut order = [(1usize, 0isize, 0isize); MAX_RANK];
    for (to, from) in order.iter_mut().zip(axes) {
        *to = *from;
    }
    let mut rank = axes.len();
    // The innermost axis is the destination's; the other one of the plane is the source's.
    let (columns, sc, dc) = if rank > 0 { order[rank - 1] } else { (1, 1, 1) };
    rank = rank.saturating_sub(1);
    if rank > 0 && sc != 1 {
        let step = |i: &usize| match order[*i].1.unsigned_abs() {
            0 => usize::MAX,
            s => s,
        };
        if let Some(along) = (0..rank).min_by_key(step) {
            order[along..rank].rotate_left(1);
        }
    }
    let (rows, sr, dr) = if rank > 0 { order[rank - 1] } else { (1, 0, 0) };
    let outer = order.get(..rank.saturating_sub(1)).unwrap_or_default();
    let (row_units, column_units) = (rows.div_ceil(UNIT.0), columns.div_ceil(UNIT.1));
    let units = outer.iter().map(|a| a.0).product::<usize>() * row_units * column_units;
    let elements = outer.iter().map(|a| a.0).product::<usize>() * rows * columns;
    let a_piece = (PIECE / (rows.min(UNIT.0) * columns.min(UNIT.1))).max(1);
    let cost = (elements * size_of::<T>()) as u64 / 8;
    pool::run(units.div_ceil(a_piece), cost, &|piece| {
        let (from, to) = *shared.get();
        let (from, to) = (from.cast::<T>(), to.cast::<T>());
        for unit in piece * a_piece..((piece + 1) * a_piece).min(units) {
            let (mut rest, part) =
                (unit / (row_units * column_units), unit % (row_units * column_units));
            let (row, column) = (part / column_units * UNIT.0, part % column_units * UNIT.1);
            let (mut s, mut d) = (
                row as isize * sr + column as isize * sc,
                row as isize * dr + column as isize * dc,
            );
            for &(size, step_s, step_d) in outer.iter().rev() {
                let i = (rest % size) as isize;
                rest /= size;
                s += i * step_s;
                d += i * step_d;
            }
            let size = ((rows - row).min(UNIT.0), (columns - column).min(UNIT.1));
            // SAFETY: all of this is at indices of `axes`; units have different destinations.
            unsafe { plane::copy(from.offset(s), to.offset(d), size, (sr, sc), (dr, dc)) };
        }
    })?;
    Ok(())
}
