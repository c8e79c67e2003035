//! Elementary functions of f64, in the manner of the ones of f32: branch-free where that is possible,
//! so that loops vectorise. The rest is `libm`, one element at a time.
//!
//! Reductions and polynomials are those of FreeBSD's msun (the formulas, not the code) and Taylor
//! series where these are short enough. Errors are below 2 units of the last place.

use super::{fma64, poly64};

/// As `ROUND`, for `|x| < 2^51`.
const ROUND: f64 = 6_755_399_441_055_744.0;
const LN2_HI: f64 = f64::from_bits(0x3fe6_2e42_fee0_0000);
const LN2_LO: f64 = f64::from_bits(0x3dea_39ef_3579_3c76);

/// x rounded to an integer, as a number and as bits, for `|x| < 2^51`.
#[inline(always)]
fn nearest(x: f64) -> (f64, i64) {
    let shifted = x + ROUND;
    (shifted - ROUND, shifted.to_bits().wrapping_sub(ROUND.to_bits()) as i64)
}

/// 2^n for n in -1022..=1023.
#[inline(always)]
fn pow2(n: i64) -> f64 {
    f64::from_bits((n.wrapping_add(1023) as u64) << 52)
}

/// `2^n` as the product of two numbers, for n in -2044..=2046.
#[inline(always)]
fn pow2_halves(n: f64) -> (f64, f64) {
    let (half, a) = nearest(n * 0.5);
    let (_, b) = nearest(n - half);
    (pow2(a), pow2(b))
}

/// `x = n ln 2 + r` as n, and e^r - 1; for `|x| < 1100`.
#[inline(always)]
fn exp_parts<const FMA: bool>(x: f64) -> (f64, f64) {
    let (n, _) = nearest(x * std::f64::consts::LOG2_E);
    let r = fma64::<FMA>(n, -LN2_LO, fma64::<FMA>(n, -LN2_HI, x));
    // The Taylor series of (e^r - 1 - r) / r^2.
    let q = poly64::<FMA, 12>(
        r,
        [
            1.0 / 2.0,
            1.0 / 6.0,
            1.0 / 24.0,
            1.0 / 120.0,
            1.0 / 720.0,
            1.0 / 5040.0,
            1.0 / 40_320.0,
            1.0 / 362_880.0,
            1.0 / 3_628_800.0,
            1.0 / 39_916_800.0,
            1.0 / 479_001_600.0,
            1.0 / 6_227_020_800.0,
        ],
    );
    (n, fma64::<FMA>(r * r, q, r))
}

/// `x` between the two; a NaN stays.
#[inline(always)]
fn between(x: f64, lo: f64, hi: f64) -> f64 {
    let x = if hi < x { hi } else { x };
    if lo > x { lo } else { x }
}

/// e^x.
#[inline(always)]
pub(crate) fn exp<const FMA: bool>(x: f64) -> f64 {
    let (n, p) = exp_parts::<FMA>(between(x, -746.0, 710.0));
    let (a, b) = pow2_halves(n);
    (1.0 + p) * a * b
}

/// e^x - 1.
#[inline(always)]
pub(crate) fn expm1<const FMA: bool>(x: f64) -> f64 {
    let (n, p) = exp_parts::<FMA>(between(x, -40.0, 710.0));
    // 2^n (e^r - 1) + (2^n - 1), all of it halved so that n = 1024 fits.
    let (_, whole) = nearest(n - 1.0);
    let half = pow2(whole);
    let sum = 2.0 * fma64::<FMA>(half, p, half - 0.5);
    // The sum loses the sign of -0.
    if x == 0.0 { x } else { sum }
}

/// log of 1 + f, f between -0.3 and 0.42, plus k ln 2.
#[inline(always)]
fn log_parts<const FMA: bool>(f: f64, k: f64) -> f64 {
    let s = f / (2.0 + f);
    let z = s * s;
    let r = z * poly64::<FMA, 7>(
        z,
        [
            6.666_666_666_666_735e-1,
            3.999_999_999_940_942e-1,
            2.857_142_874_366_239e-1,
            2.222_219_843_214_978_4e-1,
            1.818_357_216_161_805e-1,
            1.531_383_769_920_937_3e-1,
            1.479_819_860_511_658_6e-1,
        ],
    );
    let half = 0.5 * f * f;
    let low = fma64::<FMA>(k, LN2_LO, s * (half + r));
    fma64::<FMA>(k, LN2_HI, f - (half - low))
}

/// The natural logarithm.
#[inline(always)]
pub(crate) fn log<const FMA: bool>(x: f64) -> f64 {
    let tiny = x < f64::MIN_POSITIVE;
    let scaled = if tiny { x * 18_014_398_509_481_984.0 } else { x };
    // The exponent of a number between sqrt(1/2) and sqrt(2) becomes 0.
    let bits = scaled.to_bits().wrapping_sub(0x3fe6_a09e_0000_0000);
    let m = f64::from_bits((bits & 0x000f_ffff_ffff_ffff).wrapping_add(0x3fe6_a09e_0000_0000));
    // The upper 12 bits of `bits`, as a signed number, without a conversion of integers.
    let biased = (bits >> 52).wrapping_add(2048) & 0xfff;
    let k = f64::from_bits(biased | 0x4330_0000_0000_0000) - (4_503_599_627_370_496.0 + 2048.0);
    let y = log_parts::<FMA>(m - 1.0, if tiny { k - 54.0 } else { k });
    let edge = if x == 0.0 { f64::NEG_INFINITY } else { f64::NAN };
    let y = if x > 0.0 { y } else { edge };
    if x == f64::INFINITY { x } else { y }
}

/// log(1 + x).
#[inline(always)]
pub(crate) fn log1p<const FMA: bool>(x: f64) -> f64 {
    let u = 1.0 + x;
    // What the rounding of 1 + x lost.
    let lost = if x.abs() < 1.0 { x - (u - 1.0) } else { 1.0 - (u - x) };
    let y = log::<FMA>(u) + lost / u;
    let y = if u == 1.0 { x } else { y };
    if (u == f64::INFINITY) | (u == 0.0) { log::<FMA>(u) } else { y }
}

/// The hyperbolic tangent.
#[inline(always)]
pub(crate) fn tanh<const FMA: bool>(x: f64) -> f64 {
    let e = expm1::<FMA>(2.0 * between(x.abs(), 0.0, 22.0));
    (e / (e + 2.0)).copysign(x)
}

/// `1 / (1 + e^-x)`.
#[inline(always)]
pub(crate) fn sigmoid<const FMA: bool>(x: f64) -> f64 {
    let e = exp::<FMA>(-x.abs());
    (if x < 0.0 { e } else { 1.0 }) / (1.0 + e)
}

/// `max(x, 0)`; NaN stays.
#[inline(always)]
fn positive(x: f64) -> f64 {
    if x <= 0.0 { 0.0 } else { x }
}

/// `max(x, 0) - x y + log(1 + e^-|x|)`.
#[inline(always)]
pub(crate) fn bce_logits<const FMA: bool>(x: f64, y: f64) -> f64 {
    positive(x) - x * y + log1p::<FMA>(exp::<FMA>(-x.abs()))
}

/// `x Phi(x)`. A weight of 0 wins even over an infinite x.
#[inline(always)]
pub(crate) fn gelu(x: f64) -> f64 {
    weighted(x, 0.5 * libm::erfc(-x * std::f64::consts::FRAC_1_SQRT_2))
}

/// The same with tanh for the distribution: `0.5 (1 + tanh u)` is the logistic function of `2 u`.
#[inline(always)]
pub(crate) fn gelu_tanh<const FMA: bool>(x: f64) -> f64 {
    const C: f64 = 0.797_884_560_802_865_4; // sqrt(2 / pi)
    let u = C * (x + 0.044715 * x * x * x);
    weighted(x, sigmoid::<FMA>(2.0 * u))
}

#[inline(always)]
fn weighted(x: f64, weight: f64) -> f64 {
    if weight == 0.0 { -0.0 } else { x * weight }
}

/// pi/2 in parts of 33 bits and the rest, so that their products with 20-bit integers are exact.
const PIO2: [f64; 4] = [
    f64::from_bits(0x3ff9_21fb_5440_0000),
    f64::from_bits(0x3dd0_b461_1a60_0000),
    f64::from_bits(0x3ba3_198a_2e00_0000),
    f64::from_bits(0x397b_839a_2520_49c1),
];

/// Whether [`sin`] and [`cos`] are not exact enough for this argument; not for NaN.
#[inline(always)]
pub(crate) fn reduce_fails(x: f64) -> bool {
    x.abs() > 1_000_000.0
}

/// The sine of x and `turns` quarters.
#[inline(always)]
fn turned<const FMA: bool>(x: f64, turns: i64) -> f64 {
    let (n, quarter) = nearest(x * std::f64::consts::FRAC_2_PI);
    // r + low, where each difference that rounds is made good in low.
    let a = x - n * PIO2[0];
    let b = n * PIO2[1];
    let r = a - b;
    let low = (a - r) - b;
    let c = n * PIO2[2];
    let s = r - c;
    let low = low + ((r - s) - c) - n * PIO2[3];
    let hi = s + low;
    let lo = (s - hi) + low;
    let z = hi * hi;
    let sin = poly64::<FMA, 5>(
        z,
        [
            8.333_333_333_322_49e-3,
            -1.984_126_982_985_795e-4,
            2.755_731_370_707_006_8e-6,
            -2.505_076_025_340_686_3e-8,
            1.589_690_995_211_55e-10,
        ],
    );
    let v = z * hi;
    let sine = hi - ((z * (0.5 * lo - v * sin) - lo) - v * -1.666_666_666_666_663_2e-1);
    let cos = z * poly64::<FMA, 6>(
        z,
        [
            4.166_666_666_666_66e-2,
            -1.388_888_888_887_411e-3,
            2.480_158_728_947_673e-5,
            -2.755_731_435_139_066_3e-7,
            2.087_572_321_298_175e-9,
            -1.135_964_755_778_819_5e-11,
        ],
    );
    let half = 0.5 * z;
    let w = 1.0 - half;
    let cosine = w + (((1.0 - w) - half) + (z * cos - hi * lo));
    let quarter = quarter.wrapping_add(turns);
    let y = if quarter & 1 == 0 { sine } else { cosine };
    f64::from_bits(y.to_bits() ^ (quarter as u64 & 2) << 62)
}

/// sin x, unless [`reduce_fails`].
#[inline(always)]
pub(crate) fn sin<const FMA: bool>(x: f64) -> f64 {
    let y = turned::<FMA>(x, 0);
    // The reduction loses the sign of -0 and the last bits of subnormals.
    if x.abs() < 1e-200 { x } else { y }
}

/// cos x, unless [`reduce_fails`].
#[inline(always)]
pub(crate) fn cos<const FMA: bool>(x: f64) -> f64 {
    turned::<FMA>(x, 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ulps(got: f64, want: f64) -> f64 {
        if got == want || got.is_nan() && want.is_nan() {
            return 0.0;
        }
        if !got.is_finite() || !want.is_finite() {
            return f64::INFINITY;
        }
        let unit = libm::exp2(f64::from(libm::ilogb(want).max(-1022) - 52));
        (got - want).abs() / unit
    }

    fn inputs() -> Vec<f64> {
        let mut seed = 5u64;
        let mut random = || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963);
            seed ^ seed >> 31
        };
        let mut x: Vec<f64> = (0..60_000).map(|_| f64::from_bits(random())).collect();
        x.extend((0..60_000).map(|_| (random() as i64 as f64) / 2f64.powi(58)));
        x.extend((0..60_000).map(|_| (random() as i64 as f64) / 2f64.powi(63)));
        x.extend((0..60_000).map(|_| (random() as i64 as f64) / 2f64.powi(53)));
        x.extend((0..2000).map(|k| f64::from(k) * std::f64::consts::FRAC_PI_2));
        x.extend([0.0, -0.0, 1.0, -1.0, f64::MIN_POSITIVE, 5e-324, f64::MAX]);
        x.extend([f64::INFINITY, f64::NEG_INFINITY, f64::NAN, 709.78, 709.79, -745.1, -745.2]);
        x.extend([-708.4, 1e-16, -1e-17, 1e-300, 0.5f64.sqrt(), 2f64.sqrt(), 36.8, -36.8]);
        x
    }

    #[test]
    fn functions_are_within_two_units_of_the_last_place() {
        type F = fn(f64) -> f64;
        let table: [(&str, [F; 2], F, f64); 8] = [
            ("exp", [exp::<true>, exp::<false>], libm::exp, 1.5),
            ("expm1", [expm1::<true>, expm1::<false>], libm::expm1, 2.0),
            ("log", [log::<true>, log::<false>], libm::log, 1.5),
            ("log1p", [log1p::<true>, log1p::<false>], libm::log1p, 2.0),
            ("tanh", [tanh::<true>, tanh::<false>], libm::tanh, 4.0),
            (
                "sigmoid",
                [sigmoid::<true>, sigmoid::<false>],
                |x| {
                    if x < 0.0 {
                        libm::exp(x) / (1.0 + libm::exp(x))
                    } else {
                        1.0 / (1.0 + libm::exp(-x))
                    }
                },
                3.0,
            ),
            ("sin", [sin::<true>, sin::<false>], libm::sin, 1.5),
            ("cos", [cos::<true>, cos::<false>], libm::cos, 1.5),
        ];
        let inputs = inputs();
        for (name, ours, want, most) in table {
            let mut worst = (0.0, 0.0);
            for f in ours {
                for &x in &inputs {
                    if matches!(name, "sin" | "cos") && (reduce_fails(x) || x.is_nan()) {
                        continue;
                    }
                    let error = ulps(f(x), want(x));
                    if error > worst.0 {
                        worst = (error, x);
                    }
                    assert!(x != 0.0 || f(x).to_bits() == want(x).to_bits(), "{name} of {x}");
                }
            }
            assert!(worst.0 <= most, "{name} of {:e} is {} units off", worst.1, worst.0);
        }
    }
}
