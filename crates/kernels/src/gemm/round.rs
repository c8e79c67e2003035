//! Rows rounded to bf16, for kernels that keep the operands of their products in the cache.
//!
//! A rounded number either stays f32, or two neighbours in k share a 32-bit element, as the machine's
//! instruction for pairs reads them. Numbers below the smallest normal one are 0 in pairs, since that
//! instruction takes them for 0.

use super::bf16::round;
#[cfg(target_arch = "x86_64")]
use super::kernels::PAIRS;
use super::kernels::{self, Kernels};
use crate::levels::leveled;

/// What the operands of products are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// As they came.
    Full,
    /// Rounded to bf16, as f32.
    Wide,
    /// Pairs of bf16.
    Pairs,
}

impl Form {
    /// That of bf16 on this machine, or of f32.
    pub(crate) fn of(bf16: bool) -> Form {
        match bf16 {
            true if crate::isa::bf16_pairs() => Form::Pairs,
            true => Form::Wide,
            false => Form::Full,
        }
    }

    /// Elements that `k` numbers take.
    pub(crate) fn kept(self, k: usize) -> usize {
        if self == Form::Pairs { k.div_ceil(2) } else { k }
    }

    /// Tiles for such operands.
    pub(super) fn kernels(self, m: usize, n: usize) -> &'static Kernels {
        match self {
            #[cfg(target_arch = "x86_64")]
            Form::Pairs => &PAIRS,
            _ => kernels::of(crate::isa::active(), m, n),
        }
    }
}

/// Rows to round, and where they go.
#[derive(Clone, Copy)]
pub(crate) struct Lines {
    pub(crate) from: *const f32,
    pub(crate) row: usize,
    pub(crate) count: usize,
    /// Numbers in a row.
    pub(crate) width: usize,
    pub(crate) to: *mut f32,
    pub(crate) to_row: usize,
}

/// Rounds rows; neighbours in a row become pairs, the last of an odd number with 0.
///
/// # Safety
/// The rows can be read, and as many of [`Form::kept`] elements be written; the form is that of
/// [`Form::of`].
pub(crate) unsafe fn along(form: Form, lines: Lines) {
    match form {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the contract; the machine has the instructions where there are pairs.
        Form::Pairs => unsafe { x86::along(&lines) },
        _ => wide(lines),
    }
}

/// Rounds rows; numbers below one another in two rows become pairs, the last of an odd number of rows
/// with 0.
///
/// # Safety
/// The rows can be read, and [`Form::kept`] rows of as many elements be written; the form is that of
/// [`Form::of`].
pub(crate) unsafe fn across(form: Form, lines: Lines) {
    match form {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the contract; the machine has the instructions where there are pairs.
        Form::Pairs => unsafe { x86::across(&lines) },
        _ => wide(lines),
    }
}

leveled!(fn wide[](lines: Lines) => wide_body);
/// Called only by functions whose callers vouch for the pointers.
#[inline(always)]
fn wide_body<const FMA: bool>(l: Lines) {
    let _ = FMA;
    for r in 0..l.count {
        let (from, to) = (l.from.wrapping_add(r * l.row), l.to.wrapping_add(r * l.to_row));
        for i in 0..l.width {
            // SAFETY: the contract of `along` and `across`.
            unsafe { *to.add(i) = f32::from_bits(round(*from.add(i))) };
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::Lines;
    use core::arch::x86_64::*;
    use std::mem::transmute;

    /// The first `n` lanes, at most all.
    fn first(n: usize) -> __mmask16 {
        ((1u32 << n.min(16)) - 1) as __mmask16
    }

    /// # Safety
    /// As for [`super::along`]; the machine has the instructions.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
    pub(super) unsafe fn along(l: &Lines) {
        for r in 0..l.count {
            let from = l.from.wrapping_add(r * l.row);
            let to = l.to.wrapping_add(r * l.to_row);
            for i in (0..l.width).step_by(32) {
                let left = l.width - i;
                // SAFETY: lanes outside of the masks are not touched; the types have the same bits.
                unsafe {
                    let a = _mm512_maskz_loadu_ps(first(left), from.wrapping_add(i));
                    let rest = first(left.saturating_sub(16));
                    let b = _mm512_maskz_loadu_ps(rest, from.wrapping_add(i + 16));
                    let x: __m512i = transmute(_mm512_cvtne2ps_pbh(b, a));
                    let to = to.wrapping_add(i / 2).cast::<i32>();
                    _mm512_mask_storeu_epi32(to, first(left.div_ceil(2)), x);
                }
            }
        }
    }

    /// For each pair of lanes, where they are in two registers of bf16 one after the other.
    static BESIDE: [u16; 32] = {
        let mut at = [0; 32];
        let mut i = 0;
        while i < 16 {
            (at[2 * i], at[2 * i + 1]) = (i as u16, 16 + i as u16);
            i += 1;
        }
        at
    };

    /// # Safety
    /// As for [`super::across`]; the machine has the instructions.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
    pub(super) unsafe fn across(l: &Lines) {
        // SAFETY: the table is as large.
        let beside = unsafe { _mm512_loadu_epi16(BESIDE.as_ptr().cast()) };
        for r in 0..l.count.div_ceil(2) {
            let low = l.from.wrapping_add(2 * r * l.row);
            let high = low.wrapping_add(l.row);
            let to = l.to.wrapping_add(r * l.to_row);
            let both = 2 * r + 1 < l.count;
            for i in (0..l.width).step_by(16) {
                let lanes = first(l.width - i);
                // SAFETY: lanes outside of the masks are not touched; the types have the same bits.
                unsafe {
                    let a = _mm512_maskz_loadu_ps(lanes, low.wrapping_add(i));
                    let seen = if both { lanes } else { 0 };
                    let b = _mm512_maskz_loadu_ps(seen, high.wrapping_add(i));
                    let x: __m512i = transmute(_mm512_cvtne2ps_pbh(b, a));
                    let x = _mm512_permutexvar_epi16(beside, x);
                    _mm512_mask_storeu_epi32(to.wrapping_add(i).cast(), lanes, x);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gemm::bf16::pair;

    /// Rows of every length, with ties, infinities and NaN, as rounded one by one.
    #[test]
    fn rows_are_rounded_as_numbers_are() {
        let special = [f32::INFINITY, f32::NEG_INFINITY, f32::MAX, -0.0, 1.0 + 1.0 / 256.0];
        let number = |i: usize| {
            let bits = (i as u32).wrapping_mul(2_654_435_761);
            match i % 11 {
                0 => special[i / 11 % special.len()],
                _ => f32::from_bits(bits & 0x80ff_ffff | 0x3f00_0000),
            }
        };
        let same = |x: f32, y: u32, what: &str| assert_eq!(x.to_bits(), y, "{what}");
        for form in [Form::Wide, Form::of(true)] {
            for (count, width) in [(1, 1), (2, 15), (3, 16), (5, 33), (4, 64), (7, 95)] {
                let row = width + 3;
                let from: Vec<f32> = (0..count * row).map(number).collect();
                let at = |r: usize, i: usize| {
                    if r < count && i < width { from[r * row + i] } else { 0.0 }
                };
                let mut to = vec![0.25f32; (count + 1) * row];
                let lines = Lines {
                    from: from.as_ptr(),
                    row,
                    count,
                    width,
                    to: to.as_mut_ptr(),
                    to_row: row,
                };
                // SAFETY: both are as large.
                unsafe { along(form, lines) };
                for r in 0..count {
                    for i in 0..form.kept(width) {
                        let want = match form {
                            Form::Pairs => pair(at(r, 2 * i), at(r, 2 * i + 1)),
                            _ => round(at(r, i)),
                        };
                        same(to[r * row + i], want, "along");
                    }
                    same(to[r * row + form.kept(width)], 0.25f32.to_bits(), "behind");
                }
                to.fill(0.25);
                // SAFETY: as above.
                unsafe { across(form, Lines { to: to.as_mut_ptr(), ..lines }) };
                for r in 0..form.kept(count) {
                    for i in 0..width {
                        let want = match form {
                            Form::Pairs => pair(at(2 * r, i), at(2 * r + 1, i)),
                            _ => round(at(r, i)),
                        };
                        same(to[r * row + i], want, "across");
                    }
                    same(to[r * row + width], 0.25f32.to_bits(), "behind");
                }
                same(to[form.kept(count) * row], 0.25f32.to_bits(), "below");
            }
        }
        let nan = [f32::NAN; 2];
        let mut to = [0.0f32; 2];
        let lines = Lines {
            from: nan.as_ptr(),
            row: 2,
            count: 1,
            width: 2,
            to: to.as_mut_ptr(),
            to_row: 2,
        };
        // SAFETY: both are as large.
        unsafe { along(Form::of(true), lines) };
        assert!(to[0].is_nan());
    }
}
