//! Conversions between element types, one element at a time.
//!
//! Floats become integers by dropping the fraction, limited to the range, NaN becomes 0; a wider
//! integer is limited to the range of a narrower one; anything becomes true that is not 0 (NaN is
//! true). Every conversion to a float rounds once, to the nearest, halves to even. All are written
//! without branches that depend on the data, so that loops over them vectorise.

use crate::memory::Truth;
use half::{bf16, f16};

/// Conversion to another element type.
pub trait Convert<To>: Copy {
    /// The nearest value of the other type.
    fn convert(self) -> To;
}

macro_rules! convert {
    ($($from:ty => $($to:ty),+: |$x:ident| $e:expr;)*) => {$($(
        impl Convert<$to> for $from {
            #[inline(always)]
            fn convert(self) -> $to {
                let $x = self;
                $e
            }
        }
    )+)*};
}

convert! {
    f32 => f32, f64, i64, i32, u8: |x| x as _;
    f64 => f32, f64, i64, i32, u8: |x| x as _;
    i64 => f32, f64, i64: |x| x as _;
    i32 => f32, f64, i64, i32: |x| x as _;
    u8 => f32, f64, i64, i32, u8: |x| x as _;
    i64 => i32: |x| x.clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as i32;
    i64 => u8: |x| x.clamp(0, 255) as u8;
    i32 => u8: |x| x.clamp(0, 255) as u8;
    f32 => Truth: |x| Truth::from(x != 0.0);
    f64 => Truth: |x| Truth::from(x != 0.0);
    i64 => Truth: |x| Truth::from(x != 0);
    i32 => Truth: |x| Truth::from(x != 0);
    u8 => Truth: |x| Truth::from(x != 0);
    bf16 => Truth: |x| Truth::from(x.to_bits() << 1 != 0);
    f16 => Truth: |x| Truth::from(x.to_bits() << 1 != 0);
    Truth => Truth: |x| Truth::from(x.is_true());
    Truth => f32, f64, i64, i32, u8: |x| x.is_true() as u8 as _;
    Truth => bf16: |x| bf16::from_bits(if x.is_true() { 0x3f80 } else { 0 });
    Truth => f16: |x| f16::from_bits(if x.is_true() { 0x3c00 } else { 0 });
    bf16 => bf16: |x| x;
    f16 => f16: |x| x;
    bf16 => f32, f64, i64, i32, u8: |x| bf16_to_f32(x) as _;
    f16 => f32, f64, i64, i32, u8: |x| f16_to_f32(x) as _;
    bf16 => f16: |x| f32_to_f16(bf16_to_f32(x));
    f16 => bf16: |x| f32_to_bf16(f16_to_f32(x));
    f32 => bf16: |x| f32_to_bf16(x);
    f32 => f16: |x| f32_to_f16(x);
    f64 => bf16: |x| f32_to_bf16(to_odd(x));
    f64 => f16: |x| f32_to_f16(to_odd(x));
    i64 => bf16: |x| f32_to_bf16(to_odd(sticky(x)));
    i64 => f16: |x| f32_to_f16(to_odd(sticky(x)));
    i32 => bf16: |x| f32_to_bf16(to_odd(f64::from(x)));
    i32 => f16: |x| f32_to_f16(to_odd(f64::from(x)));
    u8 => bf16: |x| f32_to_bf16(f32::from(x));
    u8 => f16: |x| f32_to_f16(f32::from(x));
}

/// Rounded to odd: between two f32, the one whose last bit is 1. A second rounding, to a type of at
/// least two bits less, then gives what one rounding would have given (Boldo and Melquiond, 2008).
#[inline(always)]
fn to_odd(x: f64) -> f32 {
    let near = x as f32;
    let back = f64::from(near);
    let bits = near.to_bits();
    // Towards zero, then the last bit set, unless it was exact (or NaN, which is not above).
    let down = bits.wrapping_sub((back.abs() > x.abs()) as u32);
    f32::from_bits(if back == x || x.is_nan() { bits } else { down | 1 })
}

/// An integer as a f64, with what is lost at the end of a large one summed up in one bit.
#[inline(always)]
fn sticky(x: i64) -> f64 {
    let large = (x >> 16) | (x & 0xffff != 0) as i64;
    if x.unsigned_abs() < 1 << 53 { x as f64 } else { large as f64 * 65536.0 }
}

#[inline(always)]
fn bf16_to_f32(x: bf16) -> f32 {
    f32::from_bits(u32::from(x.to_bits()) << 16)
}

#[inline(always)]
fn f32_to_bf16(x: f32) -> bf16 {
    bf16::from_bits((crate::gemm::round::round(x) >> 16) as u16)
}

#[inline(always)]
fn f16_to_f32(x: f16) -> f32 {
    let half = u32::from(x.to_bits());
    let (sign, rest) = ((half & 0x8000) << 16, (half & 0x7fff) << 13);
    let normal = rest + (112 << 23);
    // Infinity and NaN: the exponent becomes the largest.
    let special = normal + (112 << 23);
    // Zero and subnormals: exact, as a difference of normal numbers.
    let small = (f32::from_bits(rest + (113 << 23)) - f32::from_bits(113 << 23)).to_bits();
    let magnitude = match half & 0x7c00 {
        0x7c00 => special,
        0 => small,
        _ => normal,
    };
    f32::from_bits(magnitude | sign)
}

#[inline(always)]
fn f32_to_f16(x: f32) -> f16 {
    let sign = x.to_bits() & 0x8000_0000;
    let rest = x.to_bits() ^ sign;
    // Below 2^-14 the addition of 1/2 leaves as many bits as a subnormal has, rounded.
    let small = (f32::from_bits(rest) + 0.5).to_bits().wrapping_sub(0.5f32.to_bits());
    let odd = rest >> 13 & 1;
    let normal = rest.wrapping_sub(112 << 23).wrapping_add(0xfff + odd) >> 13;
    let large = if rest > 0x7f80_0000 { 0x7e00 } else { 0x7c00 };
    let magnitude = if rest >= 143 << 23 {
        large
    } else if rest < 113 << 23 {
        small
    } else {
        normal
    };
    f16::from_bits((magnitude | sign >> 16) as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The nearest number of so many digits and such least and largest exponents, by arithmetic
    /// that is exact in f64.
    fn nearest(x: f64, digits: i32, least: i32, largest: f64) -> f64 {
        if x == 0.0 || !x.is_finite() {
            return x;
        }
        let exponent = ((x.to_bits() >> 52 & 0x7ff) as i32 - 1023).max(least);
        let unit = 2f64.powi(exponent - digits + 1);
        let rounded = (x / unit).round_ties_even() * unit;
        if rounded.abs() > largest { f64::INFINITY.copysign(x) } else { rounded }
    }

    fn to_bf16(x: f64) -> f64 {
        nearest(x, 8, -126, f64::from(bf16::MAX))
    }

    fn to_f16(x: f64) -> f64 {
        nearest(x, 11, -14, f64::from(f16::MAX))
    }

    #[test]
    fn halves_come_back_exactly() {
        for bits in 0..=u16::MAX {
            let (b, h) = (bf16::from_bits(bits), f16::from_bits(bits));
            let (wide_b, wide_h): (f32, f32) = (b.convert(), h.convert());
            assert!(wide_b.to_bits() == b.to_f32().to_bits() || b.is_nan() && wide_b.is_nan());
            if h.is_nan() {
                assert!(wide_h.is_nan());
                continue;
            }
            assert_eq!(wide_h.to_bits(), h.to_f32().to_bits(), "{bits:#x}");
            assert_eq!(Convert::<f16>::convert(wide_h).to_bits(), bits);
            if !b.is_nan() {
                assert_eq!(Convert::<bf16>::convert(wide_b).to_bits(), bits);
            }
        }
    }

    #[test]
    fn reals_round_once_to_the_nearest() {
        let mut seed = 17u64;
        let mut random = || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963);
            seed ^ seed >> 29
        };
        for k in 0..400_000 {
            let bits = random();
            // Any bits; near ties of bf16; exponents around those of f16.
            let x = match k % 4 {
                0 => f64::from_bits(bits),
                1 => f64::from_bits(bits & !0xf_ffff_ffff | bits >> 63),
                2 => f64::from_bits(bits & 0x800f_ffff_ffff_ffff | (990 + bits % 60) << 52),
                _ => f64::from_bits(bits & 0xffff_fc00_0000_0000 | bits & 1),
            };
            if x.is_nan() {
                assert!(Convert::<bf16>::convert(x).is_nan());
                assert!(Convert::<f16>::convert(x as f32).is_nan());
                continue;
            }
            assert_eq!(f64::from(Convert::<bf16>::convert(x)), to_bf16(x), "{x:e}");
            assert_eq!(f64::from(Convert::<f16>::convert(x)), to_f16(x), "{x:e}");
            let x = x as f32;
            assert_eq!(f64::from(Convert::<bf16>::convert(x)), to_bf16(x.into()), "{x:e}");
            assert_eq!(f64::from(Convert::<f16>::convert(x)), to_f16(x.into()), "{x:e}");
        }
        let (up, down): (bf16, bf16) =
            ((1.0 + 2f64.powi(-8) + 2f64.powi(-50)).convert(), { (1.0 + 2f64.powi(-8)).convert() });
        assert_eq!((up.to_f64(), down.to_f64()), (1.0 + 2f64.powi(-7), 1.0));
    }

    #[test]
    fn integers_round_once_and_are_limited() {
        // Just above a tie of bf16, by less than a f64 can say.
        let above: bf16 = ((0x101i64 << 54) + 1).convert();
        let tie: bf16 = (0x101i64 << 54).convert();
        assert_eq!(above.to_f64(), f64::from(0x102) * 2f64.powi(54));
        assert_eq!(tie.to_f64(), f64::from(0x100) * 2f64.powi(54));
        assert_eq!(Convert::<f16>::convert(65519i64).to_f64(), 65504.0);
        assert!(Convert::<f16>::convert(-65520i64).is_infinite());
        assert_eq!(Convert::<u8>::convert(-3i64), 0);
        assert_eq!(Convert::<u8>::convert(256i32), 255);
        assert_eq!(Convert::<i32>::convert(i64::MIN), i32::MIN);
        assert_eq!(Convert::<u8>::convert(f32::NAN), 0);
        assert_eq!(Convert::<i32>::convert(1e30f64), i32::MAX);
        assert_eq!(Convert::<Truth>::convert(f16::NEG_ZERO), Truth(0));
        assert_eq!(Convert::<Truth>::convert(bf16::NAN), Truth(1));
        assert_eq!(Convert::<f32>::convert(Truth(7)), 1.0);
    }
}
