//! Tails of distributions, from the incomplete beta and gamma functions.
//!
//! Source: NIST's *Digital library of mathematical functions*, 8.17 and 8.7 to 8.9; continued
//! fractions by Lentz's method.

use std::f64::consts::PI;

use libm::{exp, fabs, lgamma, log, log1p, sqrt};

/// Enough for every argument below 10^7; fractions converge in about the root of it.
const ROUNDS: u32 = 20_000;
const TINY: f64 = 1e-300;

/// A continued fraction `1 / (1 + d1 / (1 + d2 / (1 + ...)))`, by Lentz's method.
fn fraction(mut term: impl FnMut(u32) -> f64) -> f64 {
    let (mut c, mut d, mut value) = (1.0, 0.0, 1.0);
    for k in 1..ROUNDS {
        let t = term(k);
        let nonzero = |v: f64| if fabs(v) < TINY { TINY } else { v };
        d = 1.0 / nonzero(1.0 + t * d);
        c = nonzero(1.0 + t / c);
        let step = c * d;
        value *= step;
        if fabs(step - 1.0) < 1e-16 {
            break;
        }
    }
    1.0 / value
}

/// From here on the series of [`beyond_stirling`] has all digits.
const LARGE: f64 = 30.0;

/// What `ln Γ(x)` is beyond Stirling's `(x - 1/2) ln x - x + ln(2π) / 2`; 5.11.1.
fn beyond_stirling(x: f64) -> f64 {
    let y = 1.0 / (x * x);
    (1.0 / 12.0 - y * (1.0 / 360.0 - y * (1.0 / 1260.0 - y / 1680.0))) / x
}

/// `ln Γ(a + b) - ln Γ(a)`, without the loss of digits that large `a` have.
fn rising(a: f64, b: f64) -> f64 {
    if a < LARGE {
        return lgamma(a + b) - lgamma(a);
    }
    let more = beyond_stirling(a + b) - beyond_stirling(a);
    (a - 0.5) * log1p(b / a) + b * (log(a + b) - 1.0) + more
}

/// The regularised incomplete beta function `I_x(a, b)`, with `1 - x` given apart so that neither
/// side loses digits.
fn beta(a: f64, b: f64, x: f64, rest: f64) -> f64 {
    if x <= 0.0 {
        return 0.0;
    }
    if rest <= 0.0 {
        return 1.0;
    }
    if x > (a + 1.0) / (a + b + 2.0) {
        return 1.0 - beta(b, a, rest, x);
    }
    let log_x = if x < 0.5 { log(x) } else { log1p(-rest) };
    let log_rest = if rest < 0.5 { log(rest) } else { log1p(-x) };
    let (large, small) = if a > b { (a, b) } else { (b, a) };
    let front = a * log_x + b * log_rest + rising(large, small) - lgamma(small) - log(a);
    let term = |k: u32| {
        let m = f64::from(k / 2);
        if k.is_multiple_of(2) {
            m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m))
        } else {
            -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0))
        }
    };
    exp(front) * fraction(term)
}

/// The probability that Student's t with `df` degrees of freedom is farther from 0 than `t`.
pub(super) fn t_two_sided(t: f64, df: f64) -> f64 {
    if t.is_nan() {
        return f64::NAN;
    }
    if t.is_infinite() {
        return 0.0;
    }
    let square = t * t;
    beta(0.5 * df, 0.5, df / (df + square), square / (df + square))
}

/// The `t` beyond which Student's distribution has the probability `tail` (at most 1/2).
pub(super) fn t_quantile(tail: f64, df: f64) -> f64 {
    beyond(|t| 0.5 * t_two_sided(t, df) > tail)
}

/// The `z` beyond which the normal distribution has the probability `tail` (at most 1/2).
pub(super) fn normal_quantile(tail: f64) -> f64 {
    beyond(|z| normal_tail(z) > tail)
}

/// The probability of a normal value above `z`.
pub(super) fn normal_tail(z: f64) -> f64 {
    0.5 * libm::erfc(z * std::f64::consts::FRAC_1_SQRT_2)
}

/// Where something ends to be true, from 0 on: bisection until no float is left between.
fn beyond(holds: impl Fn(f64) -> bool) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    while holds(high) && high < f64::MAX / 2.0 {
        low = high;
        high *= 2.0;
    }
    loop {
        let middle = 0.5 * (low + high);
        if middle <= low || middle >= high {
            return high;
        }
        if holds(middle) { low = middle } else { high = middle }
    }
}

/// The probability of more than `x` under the chi-square distribution: `Q(df / 2, x / 2)`.
pub(super) fn chi_square_tail(x: f64, df: f64) -> f64 {
    let (a, x) = (0.5 * df, 0.5 * x);
    if x.is_nan() || a.is_nan() {
        return f64::NAN;
    }
    if x <= 0.0 {
        return 1.0;
    }
    // Between large numbers whose difference is small, Stirling's formula takes it before rounding.
    let front = if a < LARGE {
        exp(a * log(x) - x - lgamma(a))
    } else {
        let apart = (x - a) / a;
        exp(a * (log1p(apart) - apart) - beyond_stirling(a)) * sqrt(a / (2.0 * PI))
    };
    if x < a + 1.0 {
        // P by its series.
        let (mut term, mut sum) = (1.0 / a, 1.0 / a);
        for k in 1..ROUNDS {
            term *= x / (a + f64::from(k));
            sum += term;
            if term < sum * 1e-17 {
                break;
            }
        }
        return 1.0 - front * sum;
    }
    // Q = front / (x + (1-a)/(1 + 1/(x + (2-a)/(1 + 2/(x + ...))))), as terms over 1.
    let term = |k: u32| {
        let n = f64::from(k.div_ceil(2));
        if k.is_multiple_of(2) { n / x } else { (n - a) / x }
    };
    front / x * fraction(term)
}

/// Kolmogorov's limit: the probability of a scaled distance above `x`.
pub(super) fn kolmogorov_tail(x: f64) -> f64 {
    if x <= 0.0 {
        return 1.0;
    }
    if x < 1.0 {
        // The other form of the theta function, which converges here.
        let step = |k: u32| exp(-f64::from((2 * k - 1) * (2 * k - 1)) * PI * PI / (8.0 * x * x));
        return 1.0 - sqrt(2.0 * PI) / x * (1..20).map(step).sum::<f64>();
    }
    let step = |k: u32| {
        let sign = if k % 2 == 1 { 2.0 } else { -2.0 };
        sign * exp(-2.0 * f64::from(k * k) * x * x)
    };
    (1..20).map(step).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values of SciPy 1.17: `2 * t.sf`, `chi2.sf`, `t.ppf`, `norm.ppf`, `kstwobign.sf`.
    #[test]
    fn tails_are_scipys() {
        let near = |have: f64, want: f64| {
            assert!((have / want - 1.0).abs() < 1e-11, "{have:e}, not {want:e}");
        };
        near(t_two_sided(0.5, 1.0), 0.7048327646991335);
        near(t_two_sided(2.3, 5.4), 0.06590402535457629);
        near(t_two_sided(12.0, 3.0), 0.0012450158007893362);
        near(t_two_sided(0.001, 20.0), 0.9992120229664732);
        near(t_two_sided(40.0, 200.0), 2.2487396535202197e-97);
        near(t_two_sided(3.0, 100000.0), 0.0027004608840647234);
        near(t_two_sided(1.7, 2.0), 0.23123342620157122);
        near(chi_square_tail(0.3, 1.0), 0.583882420770365);
        near(chi_square_tail(3.84, 1.0), 0.05004352124870519);
        near(chi_square_tail(280.8, 7.0), 7.579540487188108e-57);
        near(chi_square_tail(0.001, 5.0), 0.9999999983185123);
        near(chi_square_tail(50.0, 60.0), 0.8178960840225449);
        near(chi_square_tail(1000.0, 900.0), 0.010994608942135844);
        near(chi_square_tail(700.0, 6.0), 6.116726980003133e-148);
        near(t_quantile(0.025, 3.0), 3.1824463052837086);
        near(t_quantile(0.005, 20.3), 2.84098793515422);
        near(t_quantile(0.4, 1.0), 0.32491969623290634);
        near(normal_quantile(0.025), 1.9599639845400545);
        near(normal_quantile(1e-09), 5.9978070150076865);
        near(normal_quantile(0.3), 0.5244005127080409);
        near(kolmogorov_tail(0.3), 0.9999906941986655);
        near(kolmogorov_tail(0.8), 0.5441424115741981);
        near(kolmogorov_tail(1.0), 0.26999967167735456);
        near(kolmogorov_tail(1.36), 0.049485876755377876);
        near(kolmogorov_tail(3.0), 3.045995948942526e-08);
        assert_eq!(chi_square_tail(0.0, 3.0), 1.0);
        assert_eq!(t_two_sided(0.0, 3.0), 1.0);
        assert_eq!(t_two_sided(f64::INFINITY, 3.0), 0.0);
        assert!(chi_square_tail(f64::NAN, 3.0).is_nan());
    }
}
