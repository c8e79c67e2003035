//! x^y through f64: 2^(y log2 |x|) with about 40 good bits, then the special cases of IEEE 754.

use super::{floor, fma64, poly64, round64};

/// log2 of a positive finite f32, to a relative error of about 2^-45.
#[inline(always)]
fn log2<const FMA: bool>(x: f32) -> f64 {
    // Subnormals are normal numbers in f64.
    let bits = (x as f64).to_bits();
    // x = 2^e m with m in sqrt(1/2)..sqrt(2); the constant is the bits of sqrt(1/2).
    let e = bits.wrapping_sub(0x3fe6_a09e_667f_3bcd) & 0xfff0_0000_0000_0000;
    let m = f64::from_bits(bits.wrapping_sub(e));
    // log2 m = 2 atanh(s) / ln 2 with s = (m - 1) / (m + 1)
    let s = (m - 1.0) / (m + 1.0);
    let q = poly64::<FMA, 6>(
        s * s,
        [
            2.885_390_081_777_85,
            0.961_796_694_114_295_8,
            0.577_077_942_068_642_2,
            0.412_209_284_229_443_2,
            0.319_904_315_151_994,
            0.282_920_927_123_676_45,
        ],
    );
    // The exponent field as a number; a 32-bit conversion exists on every level.
    fma64::<FMA>(q, s, ((e >> 32) as i32 >> 20) as f64)
}

/// 2^z as f32 for z in -160..=160.
#[inline(always)]
fn exp2<const FMA: bool>(z: f64) -> f32 {
    let (whole, n) = round64(z);
    let f = z - whole;
    let q = poly64::<FMA, 7>(
        f,
        [
            0.693_147_180_704_765_3,
            0.240_226_510_670_048_38,
            0.055_504_103_653_859_05,
            0.009_618_038_059_470_684,
            0.001_333_393_536_471_633_8,
            0.000_154_667_815_538_563_64,
            1.519_613_136_990_227_1e-5,
        ],
    );
    let p = fma64::<FMA>(q, f, 1.0);
    // The scaling is exact in f64, so the conversion is the one rounding, subnormal or not.
    (p * f64::from_bits((n.wrapping_add(1023) as u64) << 52)) as f32
}

/// x^y with the special cases of IEEE 754 (`pow(x, 0) = pow(1, y) = 1`, and so on).
#[inline(always)]
pub fn pow<const FMA: bool>(x: f32, y: f32) -> f32 {
    let a = x.abs();
    let l = if a == 0.0 {
        f64::NEG_INFINITY
    } else if a == f32::INFINITY {
        f64::INFINITY
    } else {
        log2::<FMA>(a)
    };
    // At |x| = 1 the logarithm is exactly 0, and 0 even times an infinite y.
    let z = if a == 1.0 { 0.0 } else { y as f64 * l };
    let z = if z > 160.0 { 160.0 } else { z };
    let z = if z < -160.0 { -160.0 } else { z };
    let r = exp2::<FMA>(z);
    let half = 0.5 * y;
    let integer = floor::<FMA>(y) == y;
    let odd = integer & (floor::<FMA>(half) != half) & (y.abs() < f32::INFINITY);
    let r = if odd { r.copysign(x) } else { r };
    let bad = (x < 0.0) & (x > f32::NEG_INFINITY) & !integer;
    let r = if bad | x.is_nan() | y.is_nan() { f32::NAN } else { r };
    if (x == 1.0) | (y == 0.0) { 1.0 } else { r }
}
