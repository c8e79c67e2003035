//! GELU in its exact and its tanh form, accurate into the far negative tail.

use super::{LN2_HI, LN2_LO, LOG2_E, ROUND, at_most, exp_poly, fma, poly, scale};

/// e^(hi + lo) as (m, n), meaning m 2^n; for hi in -200..=0 and a tiny lo. The tails of both forms
/// need it: rounding the argument alone to f32 would cost 64 ULP at e^-100.
#[inline(always)]
fn exp_pair<const FMA: bool>(hi: f32, lo: f32) -> (f32, i32) {
    let shifted = fma::<FMA>(hi, LOG2_E, ROUND);
    let n = (shifted.to_bits() as i32).wrapping_sub(ROUND.to_bits() as i32);
    let nf = shifted - ROUND;
    let r = fma::<FMA>(nf, -LN2_LO, fma::<FMA>(nf, -LN2_HI, hi)) + lo;
    (exp_poly::<FMA>(r), n)
}

/// `a * b` as an exact sum (hi, lo).
#[inline(always)]
fn two_product<const FMA: bool>(a: f32, b: f32) -> (f32, f32) {
    let hi = a * b;
    let lo = if FMA {
        a.mul_add(b, -hi)
    } else {
        // The product of two f32 is exact in f64.
        (a as f64 * b as f64 - hi as f64) as f32
    };
    (hi, lo)
}

/// x times the normal distribution function of x.
#[inline(always)]
pub fn gelu<const FMA: bool>(x: f32) -> f32 {
    // At 14.5 the tail is 0 in f32.
    let t = at_most(x.abs(), 14.5);
    // The tail beyond t is e^(-t^2 / 2) M(t), and (t + 3.7) M(t) is a polynomial in
    // z = (t - 3.7) / (t + 3.7), which is in -1..=0.6.
    let (hi, lo) = two_product::<FMA>(-0.5 * t, t);
    let (m, n) = exp_pair::<FMA>(hi, lo);
    let w = 1.0 / (t + 3.7);
    // Not 1 - 7.4 w: near t = 0 that would keep w's rounding error and lose t.
    let z = fma::<FMA>(t * w, 2.0, -1.0);
    let p = poly::<FMA, 10>(
        z,
        [
            7.4919546e-01,
            -5.839121e-01,
            3.4570792e-01,
            -1.4444229e-01,
            3.321992e-02,
            2.5359616e-03,
            -4.0888493e-03,
            2.9379985e-04,
            4.7125772e-04,
            3.028517e-05,
        ],
    );
    let tail = scale(p * w * m * t, n);
    if x >= 0.0 { x - tail } else { -tail }
}

/// `-2 sqrt(2 / pi) (t + 0.044715 t^3)` as a sum (hi, lo).
#[inline(always)]
fn tanh_argument<const FMA: bool>(t: f32) -> (f32, f32) {
    const C0: f64 = 1.595_769_121_605_730_7;
    const C1: f64 = 0.071_354_816_272_600_25;
    if !FMA {
        let d = t as f64;
        let a = -d * (C0 + C1 * (d * d));
        let hi = a as f32;
        return (hi, (a - hi as f64) as f32);
    }
    // The same in pairs of f32, which is quicker than the conversions. The constants are split too.
    const C0_HI: f32 = C0 as f32;
    const C0_LO: f32 = (C0 - C0_HI as f64) as f32;
    const C1_HI: f32 = C1 as f32;
    const C1_LO: f32 = (C1 - C1_HI as f64) as f32;
    let (s, s_lo) = two_product::<FMA>(t, t);
    let (p, p_err) = two_product::<FMA>(C1_HI, s);
    let p_lo = fma::<FMA>(C1_LO, s, fma::<FMA>(C1_HI, s_lo, p_err));
    // The exact error of the sum (Knuth), as either summand may be the larger.
    let w = C0_HI + p;
    let q = w - C0_HI;
    let w_lo = (C0_HI - (w - q)) + (p - q) + (p_lo + C0_LO);
    let (a, a_err) = two_product::<FMA>(-t, w);
    (a, fma::<FMA>(-t, w_lo, a_err))
}

/// `0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)))`.
#[inline(always)]
pub fn gelu_tanh<const FMA: bool>(x: f32) -> f32 {
    // This is x times the sigmoid of twice the tanh's argument; from 10.9 on its tail is 0.
    let t = at_most(x.abs(), 10.9);
    let (hi, lo) = tanh_argument::<FMA>(t);
    let (m, n) = exp_pair::<FMA>(hi, lo);
    let e = scale(m, n);
    // The tail's last factors are multiplied in order of size, so it is rounded to a subnormal
    // only once.
    let w = 1.0 / (1.0 + e);
    let tail = scale(m * (t * w), n);
    if x >= 0.0 { x * w } else { -tail }
}
