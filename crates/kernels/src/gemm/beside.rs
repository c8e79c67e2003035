//! Products that nobody keeps: each tile is taken by something that works on it while the next one is
//! computed, such as the update of a parameter by its gradient.
//!
//! The taker's work is cut into turns, and a few steps of k lie between two of them. So what its turns
//! wait for (memory, roots, quotients) passes while the machine multiplies.

#![allow(clippy::needless_range_loop)] // rows and registers are indices into several arrays

use super::driver::KB;
use super::few;
use super::simd::Simd;
use super::tile::{Tile, TileFn, finish};
use super::{Gemm, product};
use crate::memory::KernelError;
use std::mem::MaybeUninit;

/// A tile that was computed: `rows` rows of `cols` elements of C.
#[derive(Clone, Copy)]
pub(crate) struct Taken {
    /// Its first element; rows are `value_row` apart, and may be read to the end of the last register.
    pub(crate) values: *const f32,
    pub(crate) value_row: usize,
    /// The number of its first element in C, where rows are `row` apart.
    pub(crate) at: usize,
    pub(crate) row: usize,
    pub(crate) rows: usize,
    pub(crate) cols: usize,
}

/// Takes the tiles of a product, several at once if there are several threads.
///
/// # Safety
/// The methods are called only with tiles that can be read, each once, with `at` and `row` inside of C.
pub(crate) unsafe trait Taker: Sync {
    /// Computes a tile, by `kernel` or with the same bits, and takes the one before it.
    ///
    /// # Safety
    /// As for `kernel`, and see above; `next` says where the values of `tile` will be.
    unsafe fn tile(&self, kernel: TileFn, tile: &Tile, before: Option<&Taken>, next: &Taken);

    /// Takes a tile after which no other comes.
    ///
    /// # Safety
    /// See above.
    unsafe fn take(&self, last: &Taken);
}

/// Elements of the largest tile.
const TILE: usize = 8 * 48;

/// Room for a tile.
#[repr(align(64))]
pub(super) struct Room(MaybeUninit<[f32; TILE]>);

impl Room {
    pub(super) const fn new() -> Room {
        Room(MaybeUninit::uninit())
    }

    pub(super) fn at(&mut self) -> *mut f32 {
        self.0.as_mut_ptr().cast()
    }
}

/// Whether a product of this size may be taken.
pub fn takes(m: usize, k: usize, n: usize) -> bool {
    m >= 64 && n >= 32 && (32..=KB).contains(&k) && !few::fits(m, k, n)
}

/// Computes the product for a taker. Nothing is written to `c`, whose size and place are checked as if.
///
/// # Errors
/// As for [`super::gemm`]; products with an epilogue, of several entries, or of other sizes than
/// [`takes`] says.
pub(crate) fn taken(args: &Gemm<'_>, taker: &dyn Taker) -> Result<(), KernelError> {
    let plain = !args.accumulate && args.bias.is_none() && args.batch == 1;
    if !plain || args.activation != super::Activation::None || !takes(args.m, args.k, args.n) {
        return Err(KernelError::Type("a product that cannot be taken"));
    }
    product(args, false, Some(taker)).map(drop)
}

/// Work beside a product.
pub(crate) trait Side {
    /// A part of it.
    ///
    /// # Safety
    /// What it touches is there.
    unsafe fn turn(&mut self);
}

/// As [`super::tile::tile`], for B in a packed panel and A in a packed sliver, with `turns` turns beside;
/// not more than steps.
///
/// # Safety
/// As for `tile`, and for the turns.
#[inline(always)]
pub(crate) unsafe fn tile<S: Simd, const MR: usize, const NV: usize>(
    t: &Tile,
    turns: usize,
    side: &mut impl Side,
) {
    // SAFETY: the contract.
    unsafe {
        let mut acc = [[S::zero(); NV]; MR];
        let (mut a, mut b) = (t.a, t.b);
        let each = t.k.checked_div(turns).unwrap_or(0);
        for _ in 0..turns {
            for _ in 0..each {
                step(&mut a, &mut b, &mut acc);
            }
            side.turn();
        }
        for _ in each * turns..t.k {
            step(&mut a, &mut b, &mut acc);
        }
        finish(t, acc);
    }
}

/// A step of k.
///
/// # Safety
/// As for [`tile`].
#[inline(always)]
unsafe fn step<S: Simd, const MR: usize, const NV: usize>(
    a: &mut *const f32,
    b: &mut *const f32,
    acc: &mut [[S; NV]; MR],
) {
    // SAFETY: the contract.
    unsafe {
        let mut bv = [S::zero(); NV];
        for (v, x) in bv.iter_mut().enumerate() {
            *x = S::load(b.wrapping_add(v * S::LANES));
        }
        for r in 0..MR {
            let x = S::splat(*a.wrapping_add(r));
            for v in 0..NV {
                acc[r][v] = x.step(bv[v], acc[r][v]);
            }
        }
    }
    *b = b.wrapping_add(NV * S::LANES);
    *a = a.wrapping_add(MR);
}
