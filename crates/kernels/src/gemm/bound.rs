//! Products of one tile bound to places once, for the small steps of a plan: see [`crate::bound`].

use super::driver::{Job, one_tile};
use super::tile::{End, Tile, TileFn};
use super::{Activation, extent, few, kernels, orient};
use crate::bound::{At, Binder, Place, Table};
use crate::memory::Ty;

/// A product of f32 before anybody knows where its operands will be: [`Gemm`](super::Gemm) with one
/// entry, whose result is written without gaps.
#[derive(Clone, Copy, Debug)]
pub struct BoundGemm {
    /// Rows of A and C.
    pub m: usize,
    /// Columns of A, rows of B.
    pub k: usize,
    /// Columns of B and C.
    pub n: usize,
    /// The left operand, from its first element on.
    pub a: Place,
    /// Distance of two rows and of two columns of A, in elements.
    pub a_strides: [usize; 2],
    /// The right operand, from its first element on.
    pub b: Place,
    /// Distance of two rows and of two columns of B, in elements.
    pub b_strides: [usize; 2],
    /// The result.
    pub c: Place,
    /// One element a column.
    pub bias: Option<Place>,
    /// Applied last.
    pub activation: Activation,
    /// Look whether all written values are finite.
    pub watch: bool,
}

/// A tile with its places.
pub(crate) struct Tiled {
    kernel: TileFn,
    tile: Tile,
    a: At,
    b: At,
    c: At,
    bias: Option<At>,
}

// SAFETY: the pointers of the tile are null; each run makes a tile of its own.
unsafe impl Send for Tiled {}
// SAFETY: as above.
unsafe impl Sync for Tiled {}

impl Tiled {
    /// Binds what [`super::gemm`] would run; `None` where it would not be one tile.
    pub(crate) fn new(binder: &mut Binder<'_>, g: &BoundGemm) -> Option<Tiled> {
        let &BoundGemm { m, k, n, .. } = g;
        let long = |p: &Place, sizes, strides| {
            p.ty == Ty::F32 && extent(sizes, strides, 0).is_some_and(|len| len <= p.len)
        };
        if m == 0 || n == 0 || few::fits(m, k, n) || !long(&g.c, [m, n], [n, 1]) {
            return None;
        }
        if !long(&g.a, [m, k], g.a_strides) || !long(&g.b, [k, n], g.b_strides) {
            return None;
        }
        if g.bias.is_some_and(|w| !long(&w, [1, n], [n, 1]) || w.overlaps(&g.c)) {
            return None;
        }
        if g.c.overlaps(&g.a) || g.c.overlaps(&g.b) {
            return None;
        }
        let null = std::ptr::null_mut::<f32>();
        let mut job = Job {
            m,
            k,
            n,
            a: null,
            a_row: g.a_strides[0],
            a_col: g.a_strides[1],
            b: null,
            b_row: g.b_strides[0],
            b_col: g.b_strides[1],
            c: null,
            c_row: n,
            batch: 1,
            a_batch: &[],
            b_batch: &[],
            c_batch: 0,
            end: End {
                accumulate: false,
                bias: null,
                bias_each: true,
                relu: g.activation == Activation::Relu,
                watch: g.watch,
            },
            taker: None,
        };
        let (mut a, mut b) = (binder.at(&g.a)?, binder.at(&g.b)?);
        if orient(&mut job) {
            (a, b) = (b, a);
        }
        let (kernel, tile) = one_tile(kernels::of(binder.level, job.m, job.n), &job)?;
        let c = binder.written(&g.c)?;
        let bias = match &g.bias {
            Some(w) => Some(binder.at(w)?),
            None => None,
        };
        Some(Tiled { kernel, tile, a, b, c, bias })
    }

    /// Computes the product; says whether all written values are finite (true if not watched).
    ///
    /// # Safety
    /// The table has the memories that this was bound to, and nobody else uses what is written.
    #[inline]
    pub(crate) unsafe fn run(&self, table: &Table) -> bool {
        let mut tile = self.tile;
        tile.a = self.a.ptr(table).cast();
        tile.b = self.b.ptr(table).cast();
        tile.c = self.c.ptr(table).cast();
        if let Some(bias) = self.bias {
            tile.end.bias = bias.ptr(table).cast();
        }
        // SAFETY: the places hold all elements that sizes and strides reach, C overlaps none of the
        // operands, and the kernel is that for the tile's rows and registers.
        unsafe { (self.kernel)(&tile) }
    }
}
