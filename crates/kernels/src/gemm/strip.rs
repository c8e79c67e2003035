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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gemm::{Activation, Gemm, gemm};
    use crate::memory::Mem;

    #[test]
    fn strips_have_the_bits_of_products_of_many_rows() {
        let number = |i: usize| ((i as u32).wrapping_mul(2_654_435_761) >> 8) as f32 / 8e6 - 1.0;
        let numbers = |n: usize| (0..n).map(number).collect::<Vec<f32>>();
        for (k, n) in [(1usize, 1usize), (511, 17), (512, 48), (513, 50), (1300, 33)] {
            for (m, accumulate) in [(10, false), (10, true), (23, false)] {
                let b_row = n.next_multiple_of(16);
                let (a, b, old) = (numbers(m * k), numbers(k * b_row), numbers(m * n));
                let (mut made, mut want) = (old.clone(), old);
                let product = Gemm {
                    m,
                    k,
                    n,
                    a: Mem::read(&a),
                    a_strides: [k, 1],
                    b: Mem::read(&b),
                    b_strides: [b_row, 1],
                    c: Mem::write(&mut want),
                    c_stride: n,
                    batch: 1,
                    a_batch: &[],
                    b_batch: &[],
                    accumulate,
                    bias: None,
                    activation: Activation::None,
                    watch: false,
                };
                assert_eq!(gemm(&product), Ok(true));
                let (a, b, c) = (a.as_ptr(), b.as_ptr(), made.as_mut_ptr());
                let form = Form::Full;
                let (a_row, c_row) = (k, n);
                // SAFETY: the operands are as large, and B has whole rows.
                unsafe {
                    strip(&Strip { m, k, n, a, a_row, b, b_row, c, c_row, accumulate, form })
                };
                let same = made.iter().zip(&want).all(|(x, y)| x.to_bits() == y.to_bits());
                assert!(same, "{m} {k} {n} {accumulate}");
            }
        }
    }
}
