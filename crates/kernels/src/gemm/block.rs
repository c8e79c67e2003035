//! Products of small blocks for kernels that are made of several: the tile kernels on operands that
//! the caller packed and keeps in the cache, on the thread that asks.
//!
//! Each element is one chain of fused multiply-adds in order of k, so the bits are those of
//! [`gemm`](super::gemm()) of many rows for up to [`KB`](super::driver::KB) steps; likewise in bf16, whose
//! operands are rounded here.

use super::driver::KB;
use super::kernels::Kernels;
use super::pack::Pack;
use super::round::{Form, Rows, across, along};
use super::tile::{End, Tile};

/// Steps of k that a block may have.
pub(crate) const STEPS: usize = KB;

/// The kernels that blocks are computed with.
#[derive(Clone, Copy)]
pub(crate) struct Blocks {
    kernels: &'static Kernels,
    form: Form,
}

/// A packed right operand, `[k, n]`; `k` counts pairs where there are any.
#[derive(Clone, Copy)]
pub(crate) struct Panels {
    at: *const f32,
    k: usize,
    n: usize,
}

/// A left operand where it is: element (i, k) is at `i * row + k * col`.
#[derive(Clone, Copy)]
pub(crate) struct Left {
    pub(crate) at: *const f32,
    pub(crate) row: usize,
    pub(crate) col: usize,
}

/// Where sums go, and whether they are added to what is there.
#[derive(Clone, Copy)]
pub(crate) struct Into {
    pub(crate) at: *mut f32,
    pub(crate) row: usize,
    pub(crate) add: bool,
}

impl Blocks {
    /// Those of the level in use, in bf16 or not.
    pub(crate) fn of(bf16: bool) -> Blocks {
        let form = Form::of(bf16);
        // Of the largest tiles: panels of all operands look alike.
        Blocks { kernels: form.kernels(64, 64), form }
    }

    /// Elements that a copy of so many takes, where operands are rounded.
    pub(crate) fn copy(&self, elements: usize) -> usize {
        if self.form == Form::Full { 0 } else { elements }
    }

    /// A left operand `[m, k]` of rows that are `row` apart; rounded at `to`, whose rows are `to_row`
    /// apart. That may be the place where it is.
    ///
    /// # Safety
    /// The rows can be read, and where operands are rounded be written at `to`.
    pub(crate) unsafe fn left(
        &self,
        (at, row): (*const f32, usize),
        (m, k): (usize, usize),
        (to, to_row): (*mut f32, usize),
    ) -> Left {
        if self.form == Form::Full {
            return Left { at, row, col: 1 };
        }
        let rows = Rows { from: at, row, count: m, width: k, to, to_row };
        // SAFETY: the caller's promise.
        unsafe { along(self.form, rows) };
        Left { at: to, row: to_row, col: 1 }
    }

    /// A left operand whose columns lie in rows: `k` rows of `m`, `row` apart; rounded where it is.
    ///
    /// # Safety
    /// The rows can be read and written.
    pub(crate) unsafe fn turned(&self, at: *mut f32, row: usize, (m, k): (usize, usize)) -> Left {
        if self.form != Form::Full {
            let rows = Rows { from: at, row, count: k, width: m, to: at, to_row: row };
            // SAFETY: the caller's promise.
            unsafe { across(self.form, rows) };
        }
        Left { at, row: 1, col: row }
    }

    /// Columns of a panel of `n` columns; the last one may have fewer.
    fn width(&self, n: usize) -> usize {
        let vectors = n.div_ceil(self.kernels.lanes);
        vectors.div_ceil(vectors.div_ceil(self.kernels.vectors).max(1)) * self.kernels.lanes
    }

    /// Elements that a packed `[k, n]` takes.
    pub(crate) fn room(&self, k: usize, n: usize) -> usize {
        n.next_multiple_of(self.kernels.lanes) * k
    }

    /// Packs a right operand: element (k, j) is at `k * step + j * apart` of `from`; one of both is 1.
    /// `copy` has room for [`Blocks::copy`] of all elements, where `step` is 1.
    ///
    /// # Safety
    /// The source can be read, and [`Blocks::room`] elements be written at `to`.
    pub(crate) unsafe fn pack(
        &self,
        from: *const f32,
        (step, apart): (usize, usize),
        (k, n): (usize, usize),
        to: *mut f32,
        copy: *mut f32,
    ) -> Panels {
        let width = self.width(n);
        let (mut from, mut k, mut apart) = (from, k, apart);
        if self.form != Form::Full && step != 1 {
            // Rows are rounded into the panels.
            let pairs = self.form.kept(k);
            for first in (0..n).step_by(width.max(1)) {
                let count = width.min(n - first);
                let rows = Rows {
                    from: from.wrapping_add(first),
                    row: step,
                    count: k,
                    width: count,
                    to: to.wrapping_add(first * pairs),
                    to_row: count.next_multiple_of(self.kernels.lanes),
                };
                // SAFETY: the caller's promise.
                unsafe { across(self.form, rows) };
            }
            return Panels { at: to, k: pairs, n };
        }
        if self.form != Form::Full {
            let to_row = self.form.kept(k);
            let rows = Rows { from, row: apart, count: n, width: k, to: copy, to_row };
            // SAFETY: the caller's promise.
            unsafe { along(self.form, rows) };
            (from, k, apart) = (copy.cast_const(), to_row, to_row);
        }
        for first in (0..n).step_by(width.max(1)) {
            let count = width.min(n - first);
            let pack = Pack {
                src: from.wrapping_add(first * apart),
                step,
                across: apart,
                k,
                count,
                width: count.next_multiple_of(self.kernels.lanes),
                dst: to.wrapping_add(first * k),
                repeat: 1,
                apart: 0,
            };
            // SAFETY: the caller's promise; panels lie one after another.
            unsafe { (self.kernels.panel)(&pack) };
        }
        Panels { at: to, k, n }
    }

    /// The first `m` rows of the left operand times the first `k` rows and `n` columns of the right
    /// one; `k` is at most [`STEPS`]. Where operands are rounded, both are.
    ///
    /// # Safety
    /// The operands can be read and the result written, and it overlaps neither.
    pub(crate) unsafe fn product(
        &self,
        left: Left,
        right: &Panels,
        (m, k, n): (usize, usize, usize),
        into: Into,
    ) {
        let (lanes, rows, k) = (self.kernels.lanes, self.kernels.rows, self.form.kept(k));
        let width = self.width(right.n);
        let slivers = m.div_ceil(rows).max(1);
        let (base, more) = (m / slivers, m % slivers);
        for first in (0..n).step_by(width.max(1)) {
            let whole = width.min(right.n - first).next_multiple_of(lanes);
            let columns = width.min(n - first);
            let vectors = columns.div_ceil(lanes);
            let mut i = 0;
            for sliver in 0..slivers {
                let count = base + usize::from(sliver < more);
                if count == 0 {
                    return;
                }
                let tile = Tile {
                    k,
                    a: left.at.wrapping_add(i * left.row),
                    a_row: left.row,
                    a_col: left.col,
                    b: right.at.wrapping_add(first * right.k),
                    b_row: whole,
                    b_col: 1,
                    tail: (columns - 1) % lanes + 1,
                    padded: true,
                    ahead: 0,
                    total: std::ptr::null(),
                    total_row: 0,
                    c: into.at.wrapping_add(i * into.row + first),
                    c_row: into.row,
                    end: End { accumulate: into.add, ..End::NOTHING },
                };
                let table = &self.kernels.tables.tiles[(count - 1) & 7];
                // SAFETY: the caller's promise; the kernel is the one for these rows and registers.
                unsafe { (table[(vectors - 1) & 7])(&tile) };
                i += count;
            }
        }
    }
}
