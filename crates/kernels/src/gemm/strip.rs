//! Small products on the calling thread, for kernels that cut their work themselves: the tiles of
//! [`super`], without its checks and plans.

use super::driver::{KB, part};
use super::kernels;
use super::pack::Pack;
use super::round::Form;
use super::tile::{End, Tile};
use std::mem::MaybeUninit;

/// `C = A B (+ C)`. Rows of A are contiguous, and B is a panel: its rows are `b_row` apart, a
/// multiple of 16, and may be read to their ends.
#[derive(Clone, Copy)]
pub(crate) struct Strip {
    pub(crate) m: usize,
    pub(crate) k: usize,
    pub(crate) n: usize,
    pub(crate) a: *const f32,
    pub(crate) a_row: usize,
    pub(crate) b: *const f32,
    pub(crate) b_row: usize,
    pub(crate) c: *mut f32,
    pub(crate) c_row: usize,
    /// Add to what C holds.
    pub(crate) accumulate: bool,
    /// What the elements of A and B are.
    pub(crate) form: Form,
}

/// Elements of the largest tile.
const TILE: usize = 8 * 48;

/// Computes the product, with the bits that [`super::gemm`] has for many rows; of operands that are pairs, `k` of them.
///
/// # Safety
/// No size is zero, the elements of A and B can be read and those of C written, and C overlaps
/// neither.
pub(crate) unsafe fn strip(s: &Strip) {
    let kernels = s.form.kernels(s.m, s.n);
    let most = if s.m <= 2 { kernels.wide } else { kernels.vectors };
    let (slivers, vectors) = (s.m.div_ceil(kernels.rows), s.n.div_ceil(kernels.lanes));
    let panels = vectors.div_ceil(most);
    // Sums of the blocks of k so far.
    let mut sums = [MaybeUninit::<f32>::uninit(); TILE];
    let sums: *mut f32 = sums.as_mut_ptr().cast();
    for p in 0..panels {
        let (v, count) = part(vectors, panels, p);
        let j = v * kernels.lanes;
        let cols = (count * kernels.lanes).min(s.n - j);
        for i in 0..slivers {
            let (i, rows) = part(s.m, slivers, i);
            let c = s.c.wrapping_add(i * s.c_row + j);
            let kernel = kernels.tables.tiles[rows - 1][count - 1];
            for k0 in (0..s.k).step_by(KB) {
                let k = (s.k - k0).min(KB);
                let last = k0 + k == s.k;
                let (to, to_row) = if last { (c, s.c_row) } else { (sums, cols) };
                let tile = Tile {
                    k,
                    a: s.a.wrapping_add(i * s.a_row + k0),
                    a_row: s.a_row,
                    a_col: 1,
                    b: s.b.wrapping_add(k0 * s.b_row + j),
                    b_row: s.b_row,
                    b_col: 1,
                    tail: cols - (count - 1) * kernels.lanes,
                    padded: true,
                    ahead: if s.m <= 2 { 16 } else { 0 },
                    total: if k0 == 0 { std::ptr::null() } else { sums },
                    total_row: cols,
                    c: to,
                    c_row: to_row,
                    end: End { accumulate: last && s.accumulate, ..End::NOTHING },
                };
                // SAFETY: the contract; the kernel is the one for these rows and registers, and the
                // sums of a tile have room.
                unsafe { kernel(&tile) };
            }
        }
    }
}

/// Packs a panel of B whose columns are not contiguous.
///
/// # Safety
/// As for [`super::pack::panel`].
pub(crate) unsafe fn pack(p: &Pack) {
    // SAFETY: the same contract; the level is one that this machine has.
    unsafe { (kernels::of(crate::isa::active(), usize::MAX, p.width).panel)(p) };
}
