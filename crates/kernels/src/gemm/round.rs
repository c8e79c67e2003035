//! Rows rounded to bf16, for kernels that keep the operands of their products in the cache.
//!
//! A rounded number either stays f32, or two numbers share a 32-bit element, as the machine's instruction
//! for pairs reads them. Numbers below the smallest normal one are 0 in pairs, since that instruction
//! takes them for 0.

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
pub(crate) struct Rows {
    pub(crate) from: *const f32,
    pub(crate) row: usize,
    pub(crate) count: usize,
    /// Numbers in a row.
    pub(crate) width: usize,
    pub(crate) to: *mut f32,
    pub(crate) to_row: usize,
}

impl Rows {
    /// `n` numbers that are rounded where they are.
    pub(crate) fn here(at: *mut f32, n: usize) -> Rows {
        Rows { from: at, row: n, count: 1, width: n, to: at, to_row: n }
    }

    /// Rows without gaps, as one row.
    pub(crate) fn one(self) -> Rows {
        Rows { count: self.count.min(1), width: self.width * self.count, ..self }
    }
}

/// Rounds rows; neighbours in a row become pairs, the last of an odd number with 0.
///
/// # Safety
/// The rows can be read, and as many of [`Form::kept`] elements be written; the form is that of
/// [`Form::of`], or not of pairs.
pub(crate) unsafe fn along(form: Form, rows: Rows) {
    match form {
        // SAFETY: the contract; the machine has the instructions where there are pairs.
        Form::Pairs => unsafe { neighbours(&rows) },
        _ => wide(rows),
    }
}

/// Rounds rows; numbers below one another in two rows become pairs, the last of an odd number of rows
/// with 0.
///
/// # Safety
/// The rows can be read, and [`Form::kept`] rows of as many elements be written; the form is that of
/// [`Form::of`], or not of pairs.
pub(crate) unsafe fn across(form: Form, rows: Rows) {
    if form != Form::Pairs {
        return wide(rows);
    }
    let two = Rows { row: 2 * rows.row, count: rows.count / 2, ..rows };
    // SAFETY: the contract; the machine has the instructions where there are pairs.
    unsafe { zip(&two, rows.from.wrapping_add(rows.row), rows.width) };
    if !rows.count.is_multiple_of(2) {
        let from = rows.from.wrapping_add(two.count * two.row);
        let to = rows.to.wrapping_add(two.count * rows.to_row);
        // SAFETY: as above.
        unsafe { zip(&Rows { from, to, count: 1, ..two }, std::ptr::null(), rows.width) };
    }
}

leveled!(fn wide[](rows: Rows) => wide_body);
/// Called only by functions whose callers vouch for the pointers.
#[inline(always)]
fn wide_body<const FMA: bool>(l: Rows) {
    let _ = FMA;
    for r in 0..l.count {
        let (from, to) = (l.from.wrapping_add(r * l.row), l.to.wrapping_add(r * l.to_row));
        // SAFETY: the contract of `along` and `across`. A loop over one slice needs no check whether
        // two of them overlap.
        let numbers = unsafe {
            if from != to {
                std::ptr::copy(from, to, l.width);
            }
            std::slice::from_raw_parts_mut(to, l.width)
        };
        for x in numbers {
            *x = f32::from_bits(round(*x));
        }
    }
}

/// The bits of the nearest bf16 in the upper half, ties to even; NaN stays NaN.
#[inline(always)]
pub(crate) fn round(x: f32) -> u32 {
    let bits = x.to_bits();
    let rounded = bits.wrapping_add(0x7fff + (bits >> 16 & 1)) & 0xffff_0000;
    if bits & 0x7fff_ffff > 0x7f80_0000 { bits & 0xffff_0000 | 0x0040_0000 } else { rounded }
}

#[cfg(target_arch = "x86_64")]
pub(crate) use x86::{clear, neighbours, zip};

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::Rows;
    use core::arch::x86_64::*;
    use std::mem::transmute;

    /// The first `n` lanes, at most all.
    #[inline(always)]
    fn first(n: usize) -> __mmask16 {
        ((1u32 << n.min(16)) - 1) as __mmask16
    }

    /// `n` zeros.
    ///
    /// # Safety
    /// There is room, and the machine has the instructions.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
    pub(crate) unsafe fn clear(to: *mut f32, n: usize) {
        for i in (0..n).step_by(16) {
            // SAFETY: lanes outside of the mask are not touched.
            unsafe {
                _mm512_mask_storeu_ps(to.wrapping_add(i), first(n - i), _mm512_setzero_ps());
            }
        }
    }

    /// Neighbours in a row become pairs, the last of an odd number with 0.
    ///
    /// # Safety
    /// The rows can be read and written, and the machine has the instructions.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
    pub(crate) unsafe fn neighbours(l: &Rows) {
        for r in 0..l.count {
            let from = l.from.wrapping_add(r * l.row);
            let to = l.to.wrapping_add(r * l.to_row);
            let whole = l.width - l.width % 32;
            // SAFETY: lanes outside of the masks are not touched; the types have the same bits.
            unsafe {
                for i in (0..whole).step_by(32) {
                    let a = _mm512_loadu_ps(from.wrapping_add(i));
                    let b = _mm512_loadu_ps(from.wrapping_add(i + 16));
                    let x: __m512i = transmute(_mm512_cvtne2ps_pbh(b, a));
                    _mm512_storeu_epi32(to.wrapping_add(i / 2).cast(), x);
                }
                let left = l.width - whole;
                if left > 0 {
                    let from = from.wrapping_add(whole);
                    let a = _mm512_maskz_loadu_ps(first(left), from);
                    let rest = first(left.saturating_sub(16));
                    let b = _mm512_maskz_loadu_ps(rest, from.wrapping_add(16));
                    let x: __m512i = transmute(_mm512_cvtne2ps_pbh(b, a));
                    let to = to.wrapping_add(whole / 2).cast();
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

    /// Numbers at the same place of rows that start at `high` become pairs with those of the rows; with
    /// 0 where it is null. Rows of the copy are `wide` elements, with zeros behind the numbers.
    ///
    /// # Safety
    /// The rows can be read and written, and the machine has the instructions.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
    pub(crate) unsafe fn zip(l: &Rows, high: *const f32, wide: usize) {
        // SAFETY: the table is as large.
        let beside = unsafe { _mm512_loadu_epi16(BESIDE.as_ptr().cast()) };
        let both = !high.is_null();
        let high = if both { high } else { l.from };
        for r in 0..l.count {
            let low = l.from.wrapping_add(r * l.row);
            let high = high.wrapping_add(r * l.row);
            let to = l.to.wrapping_add(r * l.to_row);
            let mut i = 0;
            // SAFETY: lanes outside of the masks are not touched; the types have the same bits.
            unsafe {
                while i < wide {
                    let lanes = first(l.width.saturating_sub(i));
                    let a = _mm512_maskz_loadu_ps(lanes, low.wrapping_add(i));
                    let seen = if both { lanes } else { 0 };
                    let b = _mm512_maskz_loadu_ps(seen, high.wrapping_add(i));
                    let x: __m512i = transmute(_mm512_cvtne2ps_pbh(b, a));
                    let x = _mm512_permutexvar_epi16(beside, x);
                    _mm512_mask_storeu_epi32(to.wrapping_add(i).cast(), first(wide - i), x);
                    i += 16;
                }
            }
        }
    }
}

/// Two bf16: the first in the lower half.
#[cfg(any(test, not(target_arch = "x86_64")))]
pub(crate) fn pair(first: f32, second: f32) -> u32 {
    round(first) >> 16 | round(second)
}

#[cfg(not(target_arch = "x86_64"))]
mod plain {
    //! Never called: no such machine has the instruction.
    use super::{Rows, pair};

    /// # Safety
    /// As on x86-64.
    pub(crate) unsafe fn clear(to: *mut f32, n: usize) {
        // SAFETY: the contract.
        unsafe { to.write_bytes(0, n) };
    }

    /// # Safety
    /// As on x86-64.
    pub(crate) unsafe fn neighbours(l: &Rows) {
        for r in 0..l.count {
            let (from, to) = (l.from.wrapping_add(r * l.row), l.to.wrapping_add(r * l.to_row));
            for i in 0..l.width.div_ceil(2) {
                // SAFETY: the contract.
                unsafe {
                    let high = if 2 * i + 1 < l.width { *from.add(2 * i + 1) } else { 0.0 };
                    *to.add(i) = f32::from_bits(pair(*from.add(2 * i), high));
                }
            }
        }
    }

    /// # Safety
    /// As on x86-64.
    pub(crate) unsafe fn zip(l: &Rows, high: *const f32, wide: usize) {
        for r in 0..l.count {
            let (from, to) = (l.from.wrapping_add(r * l.row), l.to.wrapping_add(r * l.to_row));
            for i in 0..wide {
                // SAFETY: the contract.
                unsafe {
                    let low = if i < l.width { *from.add(i) } else { 0.0 };
                    let both = i < l.width && !high.is_null();
                    let high = if both { *high.wrapping_add(r * l.row + i) } else { 0.0 };
                    *to.add(i) = f32::from_bits(pair(low, high));
                }
            }
        }
    }
}
#[cfg(not(target_arch = "x86_64"))]
pub(crate) use plain::{clear, neighbours, zip};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_is_to_the_nearest_and_keeps_what_is_no_number() {
        let to = |x: f32| f32::from_bits(round(x));
        assert_eq!(to(1.0), 1.0);
        assert_eq!(to(1.0 + 1.0 / 256.0), 1.0, "a tie goes to even");
        assert_eq!(to(1.0 + 3.0 / 256.0), 1.0 + 4.0 / 256.0);
        assert_eq!(to(f32::MAX), f32::INFINITY);
        assert_eq!(to(f32::NEG_INFINITY), f32::NEG_INFINITY);
        assert!(to(f32::NAN).is_nan() && to(f32::from_bits(0x7f80_0001)).is_nan());
        assert_eq!(pair(1.0, 2.0), 0x4000_3f80);
    }

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
                let rows = Rows {
                    from: from.as_ptr(),
                    row,
                    count,
                    width,
                    to: to.as_mut_ptr(),
                    to_row: row,
                };
                // SAFETY: both are as large.
                unsafe { along(form, rows) };
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
                unsafe { across(form, Rows { to: to.as_mut_ptr(), ..rows }) };
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
        let rows =
            Rows { from: nan.as_ptr(), row: 2, count: 1, width: 2, to: to.as_mut_ptr(), to_row: 2 };
        // SAFETY: both are as large.
        unsafe { along(Form::of(true), rows) };
        assert!(to[0].is_nan());
    }
}
