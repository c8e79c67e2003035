//! One pass over a window: all zeros, a look whether all values are finite, the largest.

use crate::levels::leveled;
use crate::memory::{KernelError, Mem, Ty};

/// Writes zeros everywhere.
///
/// # Errors
/// [`KernelError::Type`] for a window that may not be written.
pub fn zero(out: Mem<'_>) -> Result<(), KernelError> {
    if !out.writable() {
        return Err(KernelError::Type("window to be zeroed"));
    }
    // SAFETY: the window has that many bytes, may be written, and zeros are a value of every type.
    unsafe { out.ptr_bytes().write_bytes(0, out.len() * out.ty().size()) };
    Ok(())
}

/// Whether no value is infinite or NaN; integers always are finite.
pub fn all_finite(x: Mem<'_>) -> bool {
    match x.ty() {
        // SAFETY: windows are used by one kernel at a time, so nobody writes while this reads.
        Ty::F32 => unsafe { x.slice_of::<f32>() }.is_none_or(finite_f32),
        // SAFETY: as above.
        Ty::F64 => unsafe { x.slice_of::<f64>() }
            .is_none_or(|v| v.iter().fold(0.0, |a, &b| a + b * 0.0) == 0.0),
        _ => true,
    }
}

leveled! {
    pub(crate) fn finite_f32[](x: &[f32]) -> bool => finite_body
}

/// x * 0 is 0 for finite values and NaN for the others; sums of those tell, without a branch.
#[inline(always)]
fn finite_body<const FMA: bool>(x: &[f32]) -> bool {
    let (blocks, rest) = x.as_chunks::<64>();
    let mut bad = false;
    if !blocks.is_empty() {
        let mut lanes = [0f32; 64];
        for block in blocks {
            for (lane, &v) in lanes.iter_mut().zip(block) {
                *lane += v * 0.0;
            }
        }
        bad = any_bad(&lanes);
    }
    // A small window is all rest: its bits are looked at, which do not wait for each other as a sum's
    // terms do.
    let (few, rest) = rest.as_chunks::<8>();
    for eight in few {
        bad |= any_bad(eight);
    }
    !(bad | any_bad(rest))
}

/// Whether one has the exponent of infinities and NaN.
#[inline(always)]
fn any_bad(x: &[f32]) -> bool {
    const EXPONENT: u32 = 0x7f80_0000;
    x.iter().fold(false, |bad, v| bad | (v.to_bits() & EXPONENT == EXPONENT))
}

/// The largest absolute value of a window of f32; infinite or NaN where one of them is, and for other types.
pub fn largest(x: Mem<'_>) -> f32 {
    // SAFETY: windows are used by one kernel at a time, so nobody writes while this reads.
    unsafe { x.slice_of::<f32>() }.map_or(f32::INFINITY, largest_f32)
}

leveled! {
    fn largest_f32[](x: &[f32]) -> f32 => largest_body
}

/// Without their signs, floats have the order of their bits, with NaN above infinity.
#[inline(always)]
fn largest_body<const FMA: bool>(x: &[f32]) -> f32 {
    const ABSOLUTE: u32 = 0x7fff_ffff;
    let (blocks, rest) = x.as_chunks::<64>();
    let mut lanes = [0u32; 64];
    for block in blocks {
        for (lane, &v) in lanes.iter_mut().zip(block) {
            *lane = (*lane).max(v.to_bits() & ABSOLUTE);
        }
    }
    let most = lanes.iter().fold(0, |a, &b| a.max(b));
    f32::from_bits(rest.iter().fold(most, |a, v| a.max(v.to_bits() & ABSOLUTE)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_bad_value_anywhere_is_seen() {
        for n in [0, 1, 7, 8, 9, 30, 63, 64, 65, 1000] {
            let mut x = vec![f32::MAX; n];
            assert!(all_finite(Mem::read(&x)));
            for i in 0..n {
                for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                    x[i] = bad;
                    assert!(!all_finite(Mem::read(&x)), "{bad} at {i} of {n}");
                }
                x[i] = -1.0;
            }
        }
    }

    #[test]
    fn the_largest_value_is_found_anywhere() {
        assert_eq!(largest(Mem::read(&[0f32; 0])), 0.0);
        assert!(largest(Mem::read(&[1.0f64])).is_infinite());
        for n in [1, 7, 63, 64, 65, 1000] {
            let mut x = vec![-1.0f32; n];
            for i in 0..n {
                x[i] = -3.0;
                assert_eq!(largest(Mem::read(&x)), 3.0);
                x[i] = f32::NEG_INFINITY;
                assert_eq!(largest(Mem::read(&x)), f32::INFINITY);
                x[i] = f32::NAN;
                assert!(largest(Mem::read(&x)).is_nan());
                x[i] = -1.0;
            }
        }
    }

    #[test]
    fn zeroing_needs_a_writable_window() {
        let mut x = [1.0f32; 7];
        assert!(zero(Mem::write(&mut x)).is_ok());
        assert_eq!(x, [0.0; 7]);
        assert!(zero(Mem::read(&x)).is_err());
    }
}
