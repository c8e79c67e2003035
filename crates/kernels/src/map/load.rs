//! Reading an operand by its strides into a register: runs along the innermost axis, with an index
//! that is carried from block to block, so no element costs a division.

use crate::program::MAX_RANK;

/// Lanes behind the last one that [`Cursor::load`] may write.
pub(super) const SLACK: usize = 16;

/// Copies n < 16 lanes without a call.
///
/// # Safety
/// Both are valid for n lanes and do not overlap.
#[inline(always)]
pub(crate) unsafe fn copy_short<T: Copy>(from: *const T, to: *mut T, n: usize) {
    // SAFETY: each piece starts after the ones before it and ends within n; only the pieces whose
    // bit is set in n are copied.
    unsafe {
        let mut i = 0;
        if n & 8 != 0 {
            to.cast::<[T; 8]>().write_unaligned(from.cast::<[T; 8]>().read_unaligned());
            i = 8;
        }
        if n & 4 != 0 {
            to.add(i)
                .cast::<[T; 4]>()
                .write_unaligned(from.add(i).cast::<[T; 4]>().read_unaligned());
            i += 4;
        }
        if n & 2 != 0 {
            to.add(i)
                .cast::<[T; 2]>()
                .write_unaligned(from.add(i).cast::<[T; 2]>().read_unaligned());
            i += 2;
        }
        if n & 1 != 0 {
            to.add(i).write(from.add(i).read());
        }
    }
}

/// Copies n lanes.
///
/// # Safety
/// Both are valid for n lanes and do not overlap.
#[inline(always)]
unsafe fn copy_run<T: Copy>(from: *const T, to: *mut T, n: usize) {
    // SAFETY: the caller's promise; the pieces below stay within n lanes.
    unsafe {
        if n >= 64 {
            std::ptr::copy_nonoverlapping(from, to, n);
            return;
        }
        let mut i = 0;
        while i + 16 <= n {
            let x = from.add(i).cast::<[T; 16]>().read_unaligned();
            to.add(i).cast::<[T; 16]>().write_unaligned(x);
            i += 16;
        }
        copy_short(from.add(i), to.add(i), n - i);
    }
}

/// The axes of one operand after those of size 1 are dropped and neighbours that act as one are
/// merged.
#[derive(Clone, Copy, Debug)]
pub(super) struct Axes {
    pub(super) rank: usize,
    pub(super) dims: [usize; MAX_RANK],
    pub(super) strides: [isize; MAX_RANK],
}

impl Axes {
    /// No axes: one element.
    pub(super) const NONE: Axes = Axes { rank: 0, dims: [1; MAX_RANK], strides: [0; MAX_RANK] };

    /// Merges; no size may be 0.
    #[inline]
    pub(super) fn merged(dims: &[usize], strides: &[isize; MAX_RANK]) -> Axes {
        let mut out = Axes::NONE;
        for (&d, &s) in dims.iter().zip(strides) {
            if d == 1 {
                continue;
            }
            if out.rank > 0 {
                let last = out.rank - 1;
                if s.checked_mul(d as isize) == Some(out.strides[last]) {
                    out.dims[last] *= d;
                    out.strides[last] = s;
                    continue;
                }
            }
            out.dims[out.rank] = d;
            out.strides[out.rank] = s;
            out.rank += 1;
        }
        out
    }

    /// Without the outermost axis.
    pub(super) fn inner(&self) -> Axes {
        let mut out = *self;
        out.dims.copy_within(1.., 0);
        out.strides.copy_within(1.., 0);
        out.rank -= 1;
        out
    }
}

/// Where a walk through an operand stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor {
    /// Linear index of the next element; `usize::MAX` before the first.
    next: usize,
    index: [usize; MAX_RANK],
    offset: isize,
}

impl Cursor {
    /// A cursor that stands nowhere yet.
    pub(super) const START: Cursor = Cursor { next: usize::MAX, index: [0; MAX_RANK], offset: 0 };

    /// Moves to element `start`; free if it is the next one.
    #[inline]
    fn seek(&mut self, axes: &Axes, start: usize) {
        if self.next == start {
            return;
        }
        self.next = start;
        self.offset = 0;
        let mut rest = start;
        for k in (0..axes.rank).rev() {
            let d = axes.dims[k];
            self.index[k] = rest % d;
            rest /= d;
            self.offset += self.index[k] as isize * axes.strides[k];
        }
    }

    /// After `steps` steps along axis `k`, which are `elements` elements.
    #[inline(always)]
    fn advance(&mut self, axes: &Axes, mut k: usize, steps: usize, elements: usize) {
        self.next += elements;
        self.index[k] += steps;
        self.offset += steps as isize * axes.strides[k];
        while self.index[k] == axes.dims[k] {
            self.index[k] = 0;
            self.offset -= axes.dims[k] as isize * axes.strides[k];
            if k == 0 {
                // The end of the space.
                self.next = usize::MAX;
                return;
            }
            k -= 1;
            self.index[k] += 1;
            self.offset += axes.strides[k];
        }
    }

    /// Elements `start..start + n` of the operand at `base`: their address where they lie one after
    /// the other, otherwise they are copied to `to`.
    ///
    /// # Safety
    /// Every element of the axes is inside the operand's window, `start + n` is at most their
    /// number, and `to` is valid for writing n + [`SLACK`] lanes outside that window.
    #[inline(always)]
    pub(super) unsafe fn load<T: Copy>(
        &mut self,
        axes: &Axes,
        base: *const T,
        start: usize,
        n: usize,
        to: *mut T,
    ) -> *const T {
        if axes.rank == 0 {
            // SAFETY: one element, at the base.
            unsafe { to.write(base.read()) };
            return to;
        }
        self.seek(axes, start);
        let k = axes.rank - 1;
        let (inner, stride) = (axes.dims[k], axes.strides[k]);
        let mut done = 0;
        while done < n {
            let run = (inner - self.index[k]).min(n - done);
            let from = base.wrapping_offset(self.offset);
            let out = to.wrapping_add(done);
            // Columns that are neighbours in memory: whole rows are read column by column, so that
            // each line of the source is used at once.
            if k > 0
                && axes.strides[k - 1] == 1
                && stride != 0
                && 2 * inner <= n - done
                && run == inner
            {
                let rows = ((n - done) / inner).min(axes.dims[k - 1] - self.index[k - 1]);
                // SAFETY: rows * inner elements from here on are inside the axes, whose elements
                // are all inside the window, and at most n - done.
                unsafe { columns(from, stride, out, rows, inner) };
                self.advance(axes, k - 1, rows, rows * inner);
                done += rows * inner;
                continue;
            }
            // SAFETY: the cursor is inside the axes, whose elements are all inside the window;
            // done + run is at most n.
            unsafe {
                if stride == 1 {
                    if run == n {
                        self.advance(axes, k, run, run);
                        return from;
                    }
                    copy_run(from, out, run);
                } else if stride == 0 {
                    // Whole chunks; what lies behind the run is room, or written again.
                    let x = [from.read(); SLACK];
                    for i in (0..run).step_by(SLACK) {
                        out.add(i).cast::<[T; SLACK]>().write_unaligned(x);
                    }
                } else {
                    for i in 0..run {
                        out.add(i).write(from.offset(i as isize * stride).read());
                    }
                }
            }
            self.advance(axes, k, run, run);
            done += run;
        }
        to
    }
}

/// Reads `rows` rows of `inner` elements whose columns lie side by side in memory, the elements of
/// a column one after the other.
///
/// # Safety
/// `from.offset(r + c * stride)` is valid for each row r and column c, `to` for rows * inner lanes.
#[inline(always)]
unsafe fn columns<T: Copy>(from: *const T, stride: isize, to: *mut T, rows: usize, inner: usize) {
    for c in 0..inner {
        // SAFETY: the caller's promise.
        unsafe {
            let column = from.offset(c as isize * stride);
            let out = to.add(c);
            for r in 0..rows {
                out.add(r * inner).write(column.add(r).read());
            }
        }
    }
}
