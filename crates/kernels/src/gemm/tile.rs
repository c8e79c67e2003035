//! The inner kernels: one tile of C, as many accumulators as the registers hold, one block of k.
//!
//! [`tile`] reads rows of B as registers; [`thin`] reads B transposed and turns squares of it in
//! registers, for so few rows of A that a packed copy of B would not pay. Both end in the same
//! epilogue. Every lane is one chain of multiply-adds in order of k, whatever the tile's shape.

#![allow(clippy::needless_range_loop)] // rows and registers are indices into several arrays

use super::simd::{Simd, prefetch};

/// What a tile kernel works on. Element (i, k) of A is `a + i * a_row + k * a_col`, and so on.
#[derive(Clone, Copy)]
pub(crate) struct Tile {
    /// Steps in this block of k.
    pub(crate) k: usize,
    pub(crate) a: *const f32,
    pub(crate) a_row: usize,
    pub(crate) a_col: usize,
    pub(crate) b: *const f32,
    pub(crate) b_row: usize,
    /// Only for [`thin`]; [`tile`] takes columns side by side.
    pub(crate) b_col: usize,
    /// Columns in the tile's last register, at least one.
    pub(crate) tail: usize,
    /// Whether B may be read beyond the last column (a packed panel).
    pub(crate) padded: bool,
    /// Where B comes from far away and is read once only: steps by which [`tile`] asks for it in advance,
    /// else 0.
    pub(crate) ahead: usize,
    /// Sum of the blocks of k before this one; null for the first.
    pub(crate) total: *const f32,
    pub(crate) total_row: usize,
    pub(crate) c: *mut f32,
    pub(crate) c_row: usize,
    pub(crate) end: End,
}

/// What happens to a tile's sums before they are stored.
#[derive(Clone, Copy)]
pub(crate) struct End {
    /// Add what C held.
    pub(crate) accumulate: bool,
    /// Null for none.
    pub(crate) bias: *const f32,
    /// One bias a column, or one for all.
    pub(crate) bias_each: bool,
    pub(crate) relu: bool,
    pub(crate) watch: bool,
}

impl End {
    /// The sums as they are.
    pub(crate) const NOTHING: End = End {
        accumulate: false,
        bias: std::ptr::null(),
        bias_each: false,
        relu: false,
        watch: false,
    };
}

/// A tile kernel; says whether all written values are finite (true if that is not watched).
pub(crate) type TileFn = unsafe fn(&Tile) -> bool;

/// `MR` rows by `NV` registers, B in rows.
///
/// # Safety
/// The machine has the instruction set of `S`; all elements that [`Tile`] describes can be read
/// and those of C written.
#[inline(always)]
pub(super) unsafe fn tile<S: Simd, const MR: usize, const NV: usize>(t: &Tile) -> bool {
    // SAFETY: the contract above; only elements inside of the tile's operands are touched.
    unsafe {
        let mut acc = [[S::zero(); NV]; MR];
        if t.k >= 32 {
            // The lines of C arrive while the loop runs.
            for r in 0..MR {
                for v in 0..NV {
                    prefetch(t.c.wrapping_add(r * t.c_row + v * S::LANES));
                }
            }
        }
        if t.padded || (!S::FREE_MASK && t.tail == S::LANES) {
            steps::<S, MR, NV, false>(t, &mut acc);
        } else {
            steps::<S, MR, NV, true>(t, &mut acc);
        }
        finish(t, acc)
    }
}

/// The loop over k of [`tile`]; `MASK` if the last register of a row of B is partly outside.
///
/// # Safety
/// As for [`tile`].
#[inline(always)]
unsafe fn steps<S: Simd, const MR: usize, const NV: usize, const MASK: bool>(
    t: &Tile,
    acc: &mut [[S; NV]; MR],
) {
    // SAFETY: the contract of `tile`.
    unsafe {
        let mask = S::mask(t.tail);
        let rows: [*const f32; MR] = std::array::from_fn(|r| t.a.wrapping_add(r * t.a_row));
        let mut b = t.b;
        let mut at = 0;
        for _ in 0..t.k {
            if MR <= 4 && t.ahead > 0 {
                for v in 0..NV {
                    prefetch(b.wrapping_add(t.ahead * t.b_row + v * S::LANES));
                }
            }
            let mut bv = [S::zero(); NV];
            for (v, x) in bv.iter_mut().enumerate() {
                let p = b.wrapping_add(v * S::LANES);
                *x = if MASK && v == NV - 1 { S::load_mask(p, mask) } else { S::load(p) };
            }
            for r in 0..MR {
                let x = S::splat(*rows[r].wrapping_add(at));
                for v in 0..NV {
                    acc[r][v] = x.step(bv[v], acc[r][v]);
                }
            }
            b = b.wrapping_add(t.b_row);
            at += t.a_col;
        }
    }
}

/// Steps by which [`thin`] asks for B in advance.
const AHEAD: usize = 48;

/// `MR` rows by `NV` registers, B transposed: column j is at `b + j * b_col`, steps side by side.
///
/// # Safety
/// As for [`tile`].
#[inline(always)]
pub(super) unsafe fn thin<S: Simd, const MR: usize, const NV: usize>(t: &Tile) -> bool {
    // SAFETY: the contract of `tile`.
    unsafe {
        let mut acc = [[S::zero(); NV]; MR];
        let mut k = 0;
        while k < t.k {
            let steps = S::LANES.min(t.k - k);
            let a = t.a.wrapping_add(k * t.a_col);
            // So many streams are too many for the machine's own prefetching. At the end of these
            // columns, ask for the first steps of the next ones.
            let next = (NV * S::LANES * t.b_col).wrapping_sub(t.k);
            let ahead = if k + AHEAD < t.k { AHEAD } else { next.wrapping_add(AHEAD) };
            for v in 0..NV {
                let cols = if v == NV - 1 { t.tail } else { S::LANES };
                let p = t.b.wrapping_add(k + v * S::LANES * t.b_col);
                if t.ahead > 0 {
                    for j in 0..S::LANES {
                        prefetch(p.wrapping_add(ahead).wrapping_add(j * t.b_col));
                    }
                }
                let block = S::transpose(p, t.b_col, cols, steps);
                let mut sums: [S; MR] = std::array::from_fn(|r| acc[r][v]);
                if steps == S::LANES {
                    // The same as below; that the number is constant keeps the block in registers.
                    for (j, &x) in block.as_ref().iter().enumerate() {
                        for (r, sum) in sums.iter_mut().enumerate() {
                            let a = S::splat(*a.wrapping_add(r * t.a_row + j * t.a_col));
                            *sum = a.step(x, *sum);
                        }
                    }
                } else {
                    for (j, &x) in block.as_ref().iter().enumerate().take(steps) {
                        for (r, sum) in sums.iter_mut().enumerate() {
                            let a = S::splat(*a.wrapping_add(r * t.a_row + j * t.a_col));
                            *sum = a.step(x, *sum);
                        }
                    }
                }
                for (r, sum) in sums.into_iter().enumerate() {
                    acc[r][v] = sum;
                }
            }
            k += steps;
        }
        finish(t, acc)
    }
}

/// The epilogue, in registers: earlier blocks, old C, bias, activation, then the store.
///
/// # Safety
/// As for [`tile`].
#[inline(always)]
pub(super) unsafe fn finish<S: Simd, const MR: usize, const NV: usize>(
    t: &Tile,
    mut acc: [[S; NV]; MR],
) -> bool {
    // SAFETY: the contract of `tile`; the last register of a row is only touched under the mask.
    unsafe {
        let mask = S::mask(t.tail);
        let load = |p: *const f32, v: usize| {
            let p = p.wrapping_add(v * S::LANES);
            if v == NV - 1 { S::load_mask(p, mask) } else { S::load(p) }
        };
        if !t.total.is_null() {
            for r in 0..MR {
                for v in 0..NV {
                    acc[r][v] = load(t.total.wrapping_add(r * t.total_row), v).add(acc[r][v]);
                }
            }
        }
        if t.end.accumulate {
            for r in 0..MR {
                for v in 0..NV {
                    acc[r][v] = acc[r][v].add(load(t.c.wrapping_add(r * t.c_row), v));
                }
            }
        }
        if !t.end.bias.is_null() {
            for v in 0..NV {
                let bias =
                    if t.end.bias_each { load(t.end.bias, v) } else { S::splat(*t.end.bias) };
                for row in &mut acc {
                    row[v] = row[v].add(bias);
                }
            }
        }
        if t.end.relu {
            for row in &mut acc {
                for x in row.iter_mut() {
                    *x = x.relu();
                }
            }
        }
        for r in 0..MR {
            let c = t.c.wrapping_add(r * t.c_row);
            for v in 0..NV - 1 {
                acc[r][v].store(c.wrapping_add(v * S::LANES));
            }
            acc[r][NV - 1].store_mask(c.wrapping_add((NV - 1) * S::LANES), mask);
        }
        if !t.end.watch {
            return true;
        }
        // x * 0 is NaN exactly when x is not finite, and a sum keeps a NaN.
        let mut seen = S::zero();
        for row in acc {
            for (v, x) in row.into_iter().enumerate() {
                let x = if v == NV - 1 { x.keep(mask) } else { x };
                seen = x.fma(S::zero(), seen);
            }
        }
        !seen.any_nan()
    }
}
