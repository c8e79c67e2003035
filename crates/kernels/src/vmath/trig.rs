//! Sine and cosine: reduction by pi/2 in f64, two short polynomials, and an integer reduction for
//! huge arguments, which callers apply to the few lanes that need it.

use super::{fma, fma64, poly, round64};

/// pi/2 in two parts; the first has 33 bits, so its product with a 20-bit integer is exact.
const PIO2_HI: f64 = f64::from_bits(0x3ff9_21fb_5440_0000);
const PIO2_LO: f64 = 6.077_100_506_506_192e-11;

/// Beyond this magnitude (2^20) the quick reduction of [`sin`] and [`cos`] is not exact enough.
const QUICK: f32 = 1_048_576.0;

/// Whether [`sin`] and [`cos`] are wrong for this argument and [`sin_huge`] and [`cos_huge`] must
/// be used; true for infinities, false for NaN.
#[inline(always)]
pub fn reduce_fails(x: f32) -> bool {
    x.abs() > QUICK
}

/// x = q pi/2 + r, as (q, r).
#[inline(always)]
fn reduce<const FMA: bool>(x: f32) -> (i32, f32) {
    let d = x as f64;
    let (qf, q) = round64(d * std::f64::consts::FRAC_2_PI);
    let r = fma64::<FMA>(qf, -PIO2_LO, fma64::<FMA>(qf, -PIO2_HI, d));
    (q, r as f32)
}

/// sin r for `|r| <= pi/4`.
#[inline(always)]
fn sin_poly<const FMA: bool>(r: f32) -> f32 {
    let s = r * r;
    let q = poly::<FMA, 4>(s, [-0.166_666_67, 8.333_379e-3, -1.985_306_4e-4, 2.832_51e-6]);
    // In this order a zero keeps its sign.
    fma::<FMA>(q, s * r, r)
}

/// cos r for `|r| <= pi/4`.
#[inline(always)]
fn cos_poly<const FMA: bool>(r: f32) -> f32 {
    let s = r * r;
    let q = poly::<FMA, 3>(s, [4.166_664_6e-2, -1.388_730_1e-3, 2.443_067e-5]);
    fma::<FMA>(fma::<FMA>(q, s, -0.5), s, 1.0)
}

/// The sine of r turned by q quarter turns.
#[inline(always)]
fn quarter<const FMA: bool>(q: i32, r: f32) -> f32 {
    let y = if q & 1 == 0 { sin_poly::<FMA>(r) } else { cos_poly::<FMA>(r) };
    f32::from_bits(y.to_bits() ^ (((q & 2) as u32) << 30))
}

/// sin x, unless [`reduce_fails`].
#[inline(always)]
pub fn sin<const FMA: bool>(x: f32) -> f32 {
    let (q, r) = reduce::<FMA>(x);
    let y = quarter::<FMA>(q, r);
    // The reduction loses the sign of -0 and the last bits of subnormals.
    if x.abs() < 1e-30 { x } else { y }
}

/// cos x, unless [`reduce_fails`].
#[inline(always)]
pub fn cos<const FMA: bool>(x: f32) -> f32 {
    let (q, r) = reduce::<FMA>(x);
    quarter::<FMA>(q.wrapping_add(1), r)
}

/// sin x for any x.
#[cold]
pub fn sin_huge<const FMA: bool>(x: f32) -> f32 {
    let (q, r) = reduce_huge(x);
    quarter::<FMA>(q, r)
}

/// cos x for any x.
#[cold]
pub fn cos_huge<const FMA: bool>(x: f32) -> f32 {
    let (q, r) = reduce_huge(x);
    quarter::<FMA>(q.wrapping_add(1), r)
}

/// The first 256 bits of 2/pi behind the point.
const TWO_OVER_PI: [u32; 8] = [
    0xa2f9_836e,
    0x4e44_1529,
    0xfc27_57d1,
    0xf534_ddc0,
    0xdb62_9599,
    0x3c43_9041,
    0xfe51_63ab,
    0xdebb_c561,
];

/// The reduction of Payne and Hanek in integers: only those 96 bits of 2/pi are multiplied that
/// matter modulo 4 (the bits before them give whole turns).
fn reduce_huge(x: f32) -> (i32, f32) {
    if !x.is_finite() {
        return (0, f32::NAN);
    }
    let bits = x.to_bits();
    let field = (bits >> 23 & 0xff) as i32;
    if field < 127 {
        // Less than 1: nothing to reduce beyond what the quick way does well.
        return reduce::<false>(x);
    }
    let mantissa = u128::from(bits & 0x007f_ffff | 0x0080_0000);
    let exponent = field - 150; // |x| = mantissa * 2^exponent
    let start = (exponent - 2).max(0) as usize;
    let word = |i: usize| u128::from(TWO_OVER_PI.get(i).copied().unwrap_or(0));
    let (first, shift) = (start / 32, start % 32);
    let four = word(first) << 96 | word(first + 1) << 64 | word(first + 2) << 32 | word(first + 3);
    let window = (four << shift) >> 32;
    // x * 2/pi = product * 2^-point, modulo 4.
    let product = mantissa * window;
    let point = 96 - (exponent - start as i32);
    let fraction = product & ((1 << point) - 1);
    let mut q = (product >> point & 3) as i32;
    let mut turn = fraction as f64 / (1_u128 << point) as f64;
    if turn >= 0.5 {
        q += 1;
        // The subtraction is done in integers: the difference may be tiny.
        turn = -(((1_u128 << point) - fraction) as f64 / (1_u128 << point) as f64);
    }
    let r = (turn * std::f64::consts::FRAC_PI_2) as f32;
    if x < 0.0 { (-q, -r) } else { (q, r) }
}

/// (sin, cos) of `turns` whole turns, for turns in 0..1 with 24 bits: the angle needs no rounding,
/// which suits random numbers.
#[inline(always)]
pub fn sin_cos_turns<const FMA: bool>(turns: f32) -> (f32, f32) {
    let shifted = fma::<FMA>(turns, 4.0, super::ROUND);
    let q = shifted.to_bits();
    let f = turns * 4.0 - (shifted - super::ROUND);
    let s = f * f;
    let a = poly::<FMA, 4>(s, [1.570_796_4, -0.645_966_65, 7.971_251e-2, -4.685_889e-3]) * f;
    let b = fma::<FMA>(
        poly::<FMA, 4>(s, [-1.233_700_5, 0.253_668_52, -2.085_525_4e-2, 8.935_732e-4]),
        s,
        1.0,
    );
    let (sin, cos) = if q & 1 == 0 { (a, b) } else { (b, a) };
    // Quarter 1 and 2 have a negative cosine, 2 and 3 a negative sine.
    let flip_sin = (q & 2) << 30;
    let flip_cos = (q.wrapping_add(1) & 2) << 30;
    (f32::from_bits(sin.to_bits() ^ flip_sin), f32::from_bits(cos.to_bits() ^ flip_cos))
}
