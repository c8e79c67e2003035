//! Special functions of f64, as plain scalar code.
//!
//! They serve f64 tensors as they are, and f32 tensors by computing in f64 and rounding once. No
//! operation here is fused, so every instruction set gives the same bits. What `libm` has is not
//! repeated.

use std::f64::consts::{FRAC_2_SQRT_PI, LN_2, PI};

/// `2k! / B(2k)` of the Euler-Maclaurin sum, from k = 1.
const EULER_MACLAURIN: [f64; 12] = [
    12.0,
    -720.0,
    30_240.0,
    -1_209_600.0,
    47_900_160.0,
    -1_892_437_580.318_379_2,
    74_724_249_600.0,
    -2_950_130_727_918.164,
    116_467_828_143_500.67,
    -4_597_978_722_407_472.6,
    181_521_054_019_435_460.0,
    -7_166_165_256_175_667_000.0,
];

/// The derivative of `ln |gamma(x)|`. At 0 it is infinite with the opposite sign of the zero; at
/// negative integers NaN.
pub fn digamma(x: f64) -> f64 {
    if x == 0.0 {
        return f64::INFINITY.copysign(-x);
    }
    if x < 0.0 {
        let near = x - x.round_ties_even();
        return if near == 0.0 { f64::NAN } else { digamma(1.0 - x) - PI / libm::tan(PI * near) };
    }
    let (mut x, mut shift) = (x, 0.0);
    while x < 10.0 {
        shift -= 1.0 / x;
        x += 1.0;
    }
    // ln x - 1/2x - sum of B(2k) / (2k x^2k)
    let z = 1.0 / (x * x);
    let tail = [
        1.0 / 12.0,
        -1.0 / 120.0,
        1.0 / 252.0,
        -1.0 / 240.0,
        1.0 / 132.0,
        -691.0 / 32_760.0,
        1.0 / 12.0,
    ];
    let sum = tail.iter().rev().fold(0.0, |sum, c| (sum + c) * z);
    if x.is_infinite() { x } else { libm::log(x) - 0.5 / x - sum + shift }
}

/// The sum of `(q + k)^-s` over k from 0; for q > 0 and s > 1.
fn zeta_right(s: f64, q: f64) -> f64 {
    if q.is_infinite() {
        return 0.0;
    }
    let (mut a, mut b, mut sum) = (q, libm::pow(q, -s), libm::pow(q, -s));
    if sum.is_infinite() {
        return sum;
    }
    let mut taken = 0;
    while taken < 9 || a <= 9.0 {
        taken += 1;
        a += 1.0;
        b = libm::pow(a, -s);
        sum += b;
        if b <= f64::EPSILON * 0.5 * sum {
            return sum;
        }
    }
    sum += b * a / (s - 1.0) - 0.5 * b;
    let (mut rising, mut k) = (1.0, 0.0);
    for c in EULER_MACLAURIN {
        rising *= s + k;
        b /= a;
        let term = rising * b / c;
        sum += term;
        if term.abs() < f64::EPSILON * 0.5 * sum.abs() {
            break;
        }
        k += 1.0;
        rising *= s + k;
        b /= a;
        k += 1.0;
    }
    sum
}

/// Derivative number `order` (a whole number from 0) of [`digamma`].
pub fn polygamma(order: f64, x: f64) -> f64 {
    if order == 0.0 {
        return digamma(x);
    }
    if x.is_nan() || order < 0.0 || order != order.trunc() {
        return f64::NAN;
    }
    let s = order + 1.0;
    let odd = |n: f64| n % 2.0 != 0.0;
    let zeta = if x > 0.0 {
        zeta_right(s, x)
    } else if x == x.trunc() {
        f64::INFINITY
    } else {
        // The terms left of 0 are those of two sums on the right.
        let (right, left) = (x - x.floor(), x.ceil() - x);
        let mirrored = zeta_right(s, left) - zeta_right(s, 1.0 - x);
        zeta_right(s, right) + if odd(s) { -mirrored } else { mirrored }
    };
    let size = libm::tgamma(s) * zeta;
    if odd(order) { size } else { -size }
}

/// The x with `erf(x) = y`; infinite at -1 and 1, NaN beyond.
pub fn erfinv(y: f64) -> f64 {
    let t = y.abs();
    if t >= 1.0 || t.is_nan() {
        return if t == 1.0 { f64::INFINITY.copysign(y) } else { f64::NAN };
    }
    // Giles's approximation to single precision, and Newton's method from there.
    let w = -libm::log((1.0 - t) * (1.0 + t));
    let (w, c): (f64, [f64; 9]) = if w < 5.0 {
        (
            w - 2.5,
            [
                2.810_226_36e-8,
                3.432_739_39e-7,
                -3.523_387_7e-6,
                -4.391_506_54e-6,
                0.000_218_580_87,
                -0.001_253_725_03,
                -0.004_177_681_64,
                0.246_640_727,
                1.501_409_41,
            ],
        )
    } else {
        (
            w.sqrt() - 3.0,
            [
                -0.000_200_214_257,
                0.000_100_950_558,
                0.001_349_343_22,
                -0.003_673_428_44,
                0.005_739_507_73,
                -0.007_622_461_3,
                0.009_438_870_47,
                1.001_674_06,
                2.832_976_82,
            ],
        )
    };
    let mut x = c.iter().fold(0.0, |sum, c| sum * w + c) * t;
    for _ in 0..3 {
        // In the tail the difference from 1 is what has the digits.
        let off = if t > 0.5 { (1.0 - t) - libm::erfc(x) } else { libm::erf(x) - t };
        x -= off / (FRAC_2_SQRT_PI * libm::exp(-x * x));
    }
    x.copysign(y)
}

/// `e^(x^2) erfc(x)`, which neither overflows nor vanishes for large x.
pub fn erfcx(x: f64) -> f64 {
    if x < 0.0 {
        return 2.0 * libm::exp(x * x) - erfcx(-x);
    }
    if x < 25.0 {
        return libm::exp(x * x) * libm::erfc(x);
    }
    let z = 0.5 / (x * x);
    let series = 1.0 - z * (1.0 - 3.0 * z * (1.0 - 5.0 * z * (1.0 - 7.0 * z)));
    0.5 * FRAC_2_SQRT_PI / x * series
}

/// The modified Bessel function of the first kind, of order 0.
pub fn i0(x: f64) -> f64 {
    bessel(0.0, x.abs())
}

/// The modified Bessel function of the first kind, of order 1.
pub fn i1(x: f64) -> f64 {
    bessel(1.0, x.abs()).copysign(x)
}

fn bessel(order: f64, x: f64) -> f64 {
    if x < 30.0 || x.is_nan() {
        // Every term is positive, so the series loses nothing.
        let q = 0.25 * x * x;
        let (mut term, mut sum, mut k) = (1.0, 1.0, 1.0);
        while term > sum * 1e-17 {
            term *= q / (k * (k + order));
            sum += term;
            k += 1.0;
        }
        let sum = if x.is_nan() { x } else { sum };
        return if order == 0.0 { sum } else { 0.5 * x * sum };
    }
    if x.is_infinite() {
        return x;
    }
    let (mut term, mut sum) = (1.0, 1.0);
    for k in 1..60 {
        let odd = f64::from(2 * k - 1);
        term *= (odd * odd - 4.0 * order * order) / (f64::from(k) * 8.0 * x);
        sum += term;
        if term.abs() < 1e-17 {
            break;
        }
    }
    // e^x in two factors, as the result may be finite where e^x is not.
    let half = libm::exp(0.5 * x);
    half / (2.0 * PI * x).sqrt() * sum * half
}

/// `ln(e^a + e^b)` without overflow; NaN if either is.
pub fn logaddexp(a: f64, b: f64) -> f64 {
    if a == b {
        return a + LN_2;
    }
    let high = if a > b || a.is_nan() { a } else { b };
    high + libm::log1p(libm::exp(-(a - b).abs()))
}

/// The quotient rounded down, from the exact remainder (as Python does it), so that
/// `x = floor_divide(x, y) * y + remainder(x, y)` as far as digits reach.
pub fn floor_divide(a: f64, b: f64) -> f64 {
    if b == 0.0 {
        return a / b;
    }
    let rest = a % b;
    let mut whole = (a - rest) / b;
    if rest != 0.0 && (b < 0.0) != (rest < 0.0) {
        whole -= 1.0;
    }
    if whole == 0.0 {
        return 0f64.copysign(a / b);
    }
    let low = whole.floor();
    if whole - low > 0.5 { low + 1.0 } else { low }
}

/// `base^exponent` of integers, wrapping; with a negative exponent what is left of the fraction: 1
/// or -1 for these bases, else 0.
pub fn whole_pow(base: i64, exponent: i64) -> i64 {
    if exponent < 0 {
        return match base {
            1 => 1,
            -1 if exponent % 2 == 0 => 1,
            -1 => -1,
            _ => 0,
        };
    }
    let (mut base, mut left, mut power) = (base, exponent, 1i64);
    while left > 0 {
        if left & 1 == 1 {
            power = power.wrapping_mul(base);
        }
        base = base.wrapping_mul(base);
        left >>= 1;
    }
    power
}

/// `x << by`; 0 where `by` is negative or at least 64.
pub fn shift_left(x: i64, by: i64) -> i64 {
    if (0..64).contains(&by) { ((x as u64) << by) as i64 } else { 0 }
}

/// `x >> by` with copies of the sign; only the sign is left where `by` is negative or at least 64.
pub fn shift_right(x: i64, by: i64) -> i64 {
    if (0..64).contains(&by) { x >> by } else { x >> 63 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(have: f64, want: f64, tolerance: f64) {
        let off = (have - want).abs();
        assert!(have == want || off <= tolerance * want.abs(), "{have:e}, not {want:e}");
    }

    /// Reference values to 16 digits, from tables and from mpmath.
    #[test]
    fn known_values() {
        close(digamma(1.0), -0.577_215_664_901_532_9, 1e-14);
        close(digamma(0.5), -1.963_510_026_021_423_5, 1e-14);
        close(digamma(10.0), 2.251_752_589_066_721, 1e-14);
        close(digamma(-0.5), 0.036_489_973_978_576_52, 1e-12);
        close(polygamma(1.0, 1.0), PI * PI / 6.0, 1e-14);
        close(polygamma(1.0, 0.5), PI * PI / 2.0, 1e-14);
        close(polygamma(1.0, -0.5), PI * PI / 2.0 + 4.0, 1e-13);
        close(polygamma(2.0, 1.0), -2.404_113_806_319_188_5, 1e-14);
        close(polygamma(3.0, 1.0), PI.powi(4) / 15.0, 1e-14);
        close(polygamma(2.0, -0.5), -0.828_796_644_234_319_9, 1e-12);
        close(erfinv(0.5), 0.476_936_276_204_469_9, 1e-14);
        close(erfinv(-0.999), -2.326_753_765_513_525, 1e-13);
        close(erfinv(1e-10), 8.862_269_254_527_58e-11, 1e-14);
        close(erfcx(1.0), 0.427_583_576_155_807, 1e-14);
        close(erfcx(30.0), 0.018_795_888_861_416_75, 1e-13);
        close(erfcx(-1.0), 5.008_980_080_762_283, 1e-14);
        close(i0(1.0), 1.266_065_877_752_008_4, 1e-15);
        close(i0(50.0), 2.932_553_783_849_336e20, 1e-13);
        close(i1(1.0), 0.565_159_103_992_485, 1e-14);
        close(i1(-50.0), -2.903_078_590_103_557e20, 1e-13);
        close(logaddexp(0.0, 0.0), LN_2, 1e-16);
        close(logaddexp(1e300, -1e300), 1e300, 0.0);
        close(logaddexp(f64::INFINITY, f64::INFINITY), f64::INFINITY, 0.0);
        close(logaddexp(f64::NEG_INFINITY, f64::NEG_INFINITY), f64::NEG_INFINITY, 0.0);
    }

    /// The two sides of a change of method meet.
    #[test]
    fn no_steps_where_the_method_changes() {
        for (f, at) in [(i0 as fn(f64) -> f64, 30.0), (i1, 30.0), (erfcx, 25.0)] {
            let (a, b) = (f(at - 1e-13 * at), f(at));
            close(a, b, 2e-11);
        }
    }

    /// Derivatives by differences.
    #[test]
    fn each_polygamma_is_the_derivative_of_the_one_before() {
        for order in 0..6 {
            for x in [0.3, 1.7, 8.9, 40.0, -0.4, -3.6, -20.3] {
                let (n, h) = (f64::from(order), 1e-5);
                let slope = (polygamma(n, x + h) - polygamma(n, x - h)) / (2.0 * h);
                close(polygamma(n + 1.0, x), slope, 2e-6);
            }
        }
        // Far from 0, where counting up to it would never end.
        assert!(polygamma(1.0, -1e15 - 0.5).is_finite());
        assert_eq!(polygamma(1.0, -2.0), f64::INFINITY);
    }

    #[test]
    fn integers() {
        assert_eq!([whole_pow(3, 4), whole_pow(-2, 63), whole_pow(0, 0)], [81, i64::MIN, 1]);
        assert_eq!([whole_pow(2, -1), whole_pow(-1, -3), whole_pow(1, -9)], [0, -1, 1]);
        assert_eq!([shift_left(3, 2), shift_left(1, 64), shift_left(1, -1)], [12, 0, 0]);
        assert_eq!([shift_right(-8, 1), shift_right(-8, 64), shift_right(8, 99)], [-4, -1, 0]);
        assert_eq!([floor_divide(7.0, -2.0), floor_divide(-7.0, 2.0)], [-4.0, -4.0]);
        assert_eq!(floor_divide(1.0, 0.1), 9.0);
    }
}
