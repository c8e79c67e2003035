//! Elementary functions of f32 as plain scalar code that LLVM vectorises.
//!
//! Each function is branch-free (selects only) and `#[inline(always)]`, so a loop over it becomes
//! vector code for whatever the enclosing `#[target_feature]` function allows. It must not know of
//! registers, programs or threads. Start at [`exp`]: the others follow its pattern of range
//! reduction, polynomial, and reconstruction. The coefficients are minimax fits made for this crate
//! (relative error, each rounded to f32 in turn and the rest fitted again).
//!
//! **Bits.** `FMA = true` writes each fused multiply-add as `mul_add` and nothing else is ever
//! contracted, so every level with FMA gives the same bits. `FMA = false` is for targets without
//! the instruction, where `mul_add` would be a call into libm: it multiplies, then adds, and may
//! differ in the last bits. Use [`BASE_FMA`] in code without a `#[target_feature]`.

mod gelu;
mod pow;
mod trig;
pub(crate) mod wide;

pub use gelu::{gelu, gelu_tanh};
pub use pow::pow;
pub use trig::{cos, cos_huge, reduce_fails, sin, sin_cos_turns, sin_huge};

/// Whether plain code of this target may use fused multiply-adds.
pub const BASE_FMA: bool = cfg!(any(target_arch = "aarch64", target_feature = "fma"));

/// `a * b + c`, fused where the level has the instruction.
#[inline(always)]
pub fn fma<const FMA: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FMA { a.mul_add(b, c) } else { a * b + c }
}

/// The same in f64.
#[inline(always)]
fn fma64<const FMA: bool>(a: f64, b: f64, c: f64) -> f64 {
    if FMA { a.mul_add(b, c) } else { a * b + c }
}

/// A polynomial by Horner's rule; the coefficients come in rising order.
#[inline(always)]
fn poly<const FMA: bool, const N: usize>(x: f32, c: [f32; N]) -> f32 {
    let mut sum = 0.0;
    let mut k = N;
    while k > 0 {
        k -= 1;
        sum = if k + 1 == N { c[k] } else { fma::<FMA>(sum, x, c[k]) };
    }
    sum
}

/// As [`poly`], in f64.
#[inline(always)]
fn poly64<const FMA: bool, const N: usize>(x: f64, c: [f64; N]) -> f64 {
    let mut sum = 0.0;
    let mut k = N;
    while k > 0 {
        k -= 1;
        sum = if k + 1 == N { c[k] } else { fma64::<FMA>(sum, x, c[k]) };
    }
    sum
}

/// `x`, but at most `hi`; a NaN stays.
#[inline(always)]
fn at_most(x: f32, hi: f32) -> f32 {
    if hi < x { hi } else { x }
}

/// `x`, but at least `lo`; a NaN stays.
#[inline(always)]
fn at_least(x: f32, lo: f32) -> f32 {
    if lo > x { lo } else { x }
}

/// Adding and subtracting this rounds to an integer, to even at ties, for `|x| < 2^22`; the low
/// bits of the sum are that integer.
const ROUND: f32 = 12_582_912.0;

/// 2^n for n in -126..=127.
#[inline(always)]
fn pow2(n: i32) -> f32 {
    f32::from_bits((n.wrapping_add(127) << 23) as u32)
}

const LOG2_E: f32 = std::f32::consts::LOG2_E;
/// ln 2 in two parts; the first has trailing zeros, so its product with a small integer is exact.
const LN2_HI: f32 = 0.693_145_75;
const LN2_LO: f32 = 1.428_606_8e-6;
const LN2: f32 = std::f32::consts::LN_2;

/// `x = n ln 2 + r`, as (n, r); for `|x| < 200`.
#[inline(always)]
fn exp_reduce<const FMA: bool>(x: f32) -> (i32, f32) {
    let shifted = fma::<FMA>(x, LOG2_E, ROUND);
    let n = (shifted.to_bits() as i32).wrapping_sub(ROUND.to_bits() as i32);
    let nf = shifted - ROUND;
    (n, fma::<FMA>(nf, -LN2_LO, fma::<FMA>(nf, -LN2_HI, x)))
}

/// e^r for `|r| <= ln(2) / 2`.
#[inline(always)]
fn exp_poly<const FMA: bool>(r: f32) -> f32 {
    let q = [0.499_999_94, 0.166_665_21, 4.166_82e-2, 8.368_916e-3, 1.383_518_8e-3];
    fma::<FMA>(fma::<FMA>(poly::<FMA, 5>(r, q), r, 1.0), r, 1.0)
}

/// `x * 2^n` with one rounding, for n in -252..=254: two steps, so that subnormal results and
/// n = 128 come out right.
#[inline(always)]
fn scale(x: f32, n: i32) -> f32 {
    let half = n >> 1;
    x * pow2(half) * pow2(n.wrapping_sub(half))
}

/// e^x.
#[inline(always)]
pub fn exp<const FMA: bool>(x: f32) -> f32 {
    // Beyond these the result is infinity or 0 for certain.
    let x = at_least(at_most(x, 89.0), -104.0);
    let (n, r) = exp_reduce::<FMA>(x);
    scale(exp_poly::<FMA>(r), n)
}

/// e^x where the result is surely a normal number: `|x| <= 87`.
#[inline(always)]
fn exp_normal<const FMA: bool>(x: f32) -> f32 {
    let (n, r) = exp_reduce::<FMA>(x);
    exp_poly::<FMA>(r) * pow2(n)
}

/// e^x - 1.
#[inline(always)]
pub fn expm1<const FMA: bool>(x: f32) -> f32 {
    let clamped = at_least(at_most(x, 89.0), -20.0);
    let (n, r) = exp_reduce::<FMA>(clamped);
    // e^r - 1 = r + r^2 q(r)
    let q = poly::<FMA, 6>(
        r,
        [0.5, 0.166_666_66, 4.166_649_7e-2, 8.333_525e-3, 1.393_262_1e-3, 1.976_387_1e-4],
    );
    let s = r * r;
    // 2^n (e^r - 1) + (2^n - 1), all of it halved so that n = 128 fits. At n = 1 the two parts
    // cancel, so r + 1/2 (exact there) goes into the polynomial's sum.
    let p = fma::<FMA>(q, s, if n == 1 { r + 0.5 } else { r });
    let t = pow2(n.wrapping_sub(1));
    let general = fma::<FMA>(p, t, t - 0.5);
    let half = if n == 1 { p } else { general };
    let y = if n == 0 { p } else { half + half };
    // The sign is that of x; this keeps -0.
    y.copysign(x)
}

/// ln(1 + f) - f, divided by f^2, for f in -1/3..=1/3.
#[inline(always)]
fn log_poly<const FMA: bool>(f: f32) -> f32 {
    poly::<FMA, 9>(
        f,
        [
            -0.5,
            0.333_332_15,
            -0.249_998_05,
            0.200_104_4,
            -0.166_802,
            0.140_054_42,
            -0.121_879_12,
            0.139_861_51,
            -0.128_768_25,
        ],
    )
}

/// ln x, of a positive finite x.
#[inline(always)]
pub(crate) fn log_positive<const FMA: bool>(x: f32) -> f32 {
    // Subnormals are scaled into the normal range first.
    let tiny = x < f32::MIN_POSITIVE;
    let scaled = if tiny { x * 8_388_608.0 } else { x };
    let bias = if tiny { -23.0 } else { 0.0 };
    // x = 2^e m with m in 2/3..4/3, so that e = 0 around 1 and nothing cancels there.
    let bits = scaled.to_bits() as i32;
    let e = bits.wrapping_sub(0x3f2a_aaab) & !0x007f_ffff;
    let f = f32::from_bits(bits.wrapping_sub(e) as u32) - 1.0;
    let ef = (e >> 23) as f32 + bias;
    fma::<FMA>(ef, LN2, fma::<FMA>(log_poly::<FMA>(f), f * f, f))
}

/// Natural logarithm; -inf at 0, NaN below.
#[inline(always)]
pub fn log<const FMA: bool>(x: f32) -> f32 {
    let y = log_positive::<FMA>(x);
    let edge = if x == 0.0 {
        f32::NEG_INFINITY
    } else if x < 0.0 {
        f32::NAN
    } else {
        x
    };
    if x > 0.0 && x < f32::INFINITY { y } else { edge }
}

/// ln(1 + x); -inf at -1, NaN below.
#[inline(always)]
pub fn log1p<const FMA: bool>(x: f32) -> f32 {
    // 1 + x = 2^e (1 + f) with f = x 2^-e + (2^-e - 1): no bit of a small x is lost.
    let e = ((1.0 + x).to_bits() as i32).wrapping_sub(0x3f40_0000) & !0x007f_ffff;
    let scaled = f32::from_bits((x.to_bits() as i32).wrapping_sub(e) as u32);
    // Four times 2^-e, as e may be 128.
    let four = f32::from_bits(0x4080_0000_i32.wrapping_sub(e) as u32);
    let f = scaled + (0.25 * four - 1.0);
    // The fit of `log_poly` for f in -1/4..=1/2.
    let q = poly::<FMA, 9>(
        f,
        [
            -0.5,
            0.333_334_5,
            -0.250_001_07,
            0.199_908_27,
            -0.166_468_84,
            0.144_779_6,
            -0.131_647_07,
            0.104_729_44,
            -4.514_992_2e-2,
        ],
    );
    let ef = (e >> 23) as f32;
    let y = fma::<FMA>(ef, LN2, fma::<FMA>(q, f * f, f)).copysign(x);
    let edge = if x == -1.0 {
        f32::NEG_INFINITY
    } else if x < -1.0 {
        f32::NAN
    } else {
        x
    };
    if x > -1.0 && x < f32::INFINITY { y } else { edge }
}

/// Hyperbolic tangent.
#[inline(always)]
pub fn tanh<const FMA: bool>(x: f32) -> f32 {
    let t = x.abs();
    // 1 - 2 / (e^2t + 1) cancels for small t, where a polynomial is better.
    let e = exp_normal::<FMA>(2.0 * at_most(t, 10.0));
    let large = 1.0 - 2.0 / (e + 1.0);
    let s = t * t;
    let q = poly::<FMA, 5>(
        s,
        [-0.333_333, 0.133_319_36, -5.378_471_7e-2, 2.079_862_5e-2, -5.897_967e-3],
    );
    let small = fma::<FMA>(q * s, t, t);
    (if t < 0.6 { small } else { large }).copysign(x)
}

/// 1 / (1 + e^-x).
#[inline(always)]
pub fn sigmoid<const FMA: bool>(x: f32) -> f32 {
    // e^-|x| never overflows, and as the numerator it keeps the far left tail.
    let e = exp::<FMA>(-x.abs());
    (if x < 0.0 { e } else { 1.0 }) / (1.0 + e)
}

/// The error function.
#[inline(always)]
pub fn erf<const FMA: bool>(x: f32) -> f32 {
    let t = x.abs();
    let s = t * t;
    let q = poly::<FMA, 6>(
        s,
        [
            0.128_379_15,
            -0.376_125_07,
            0.112_819_76,
            -2.677_309_3e-2,
            5.003_595_7e-3,
            -6.048_386_6e-4,
        ],
    );
    let small = fma::<FMA>(q, t, t);
    // Otherwise 1 - e^p(t), where p approximates ln(erfc t); it is 1 from 3.95 on.
    let c = at_most(t, 3.95);
    let p = poly::<FMA, 7>(
        c,
        [
            -1.528_202_8e-4,
            -1.127_854_6,
            -0.636_877_83,
            -0.104_201_324,
            2.235_811_4e-2,
            -3.076_408_5e-3,
            1.993_479_5e-4,
        ],
    );
    let large = 1.0 - exp_normal::<FMA>(p);
    (if t < 0.9 { small } else { large }).copysign(x)
}

/// 1 / sqrt(x), by the two correctly rounded operations.
#[inline(always)]
pub fn rsqrt(x: f32) -> f32 {
    1.0 / x.sqrt()
}

/// Binary cross-entropy of the logit `x` with target `y`: `max(x, 0) - x y + ln(1 + e^-|x|)`.
#[inline(always)]
pub fn bce_logits<const FMA: bool>(x: f32, y: f32) -> f32 {
    // e^-|x| is in 0..=1, where ln(1 + e) needs none of log1p's special cases.
    let e = exp::<FMA>(-x.abs());
    relu(x) - x * y + log1p_unit::<FMA>(e)
}

/// `ln(e^a + e^b)` without overflow; NaN if either is.
#[inline(always)]
pub fn logaddexp<const FMA: bool>(a: f32, b: f32) -> f32 {
    let high = if (a > b) | a.is_nan() { a } else { b };
    // Equal infinities are no distance apart.
    let apart = if a == b { 0.0 } else { (a - b).abs() };
    high + log1p_unit::<FMA>(exp::<FMA>(-apart))
}

/// ln(1 + e) for e in 0..=1.
#[inline(always)]
fn log1p_unit<const FMA: bool>(e: f32) -> f32 {
    // Halving 1 + e above 1/2 keeps f in -1/4..=1/2, and (e - 1) / 2 is exact.
    let large = e > 0.5;
    let f = if large { 0.5 * (e - 1.0) } else { e };
    let q = poly::<FMA, 9>(
        f,
        [
            -0.5,
            0.333_334_5,
            -0.250_001_07,
            0.199_908_27,
            -0.166_468_84,
            0.144_779_6,
            -0.131_647_07,
            0.104_729_44,
            -4.514_992_2e-2,
        ],
    );
    let y = fma::<FMA>(q, f * f, f);
    if large { y + LN2 } else { y }
}

/// max(x, 0); NaN and -0 stay, as in the epilogue of a product.
#[inline(always)]
pub fn relu(x: f32) -> f32 {
    if x < 0.0 { 0.0 } else { x }
}

/// To the nearest integer, to even at ties.
#[inline(always)]
pub fn round<const FMA: bool>(x: f32) -> f32 {
    if FMA {
        return x.round_ties_even();
    }
    // The baseline of x86-64 has no rounding instruction, and a libm call does not vectorise.
    let t = x.abs();
    let r = (t + 8_388_608.0) - 8_388_608.0;
    (if t < 8_388_608.0 { r } else { t }).copysign(x)
}

/// To the next integer below.
#[inline(always)]
pub fn floor<const FMA: bool>(x: f32) -> f32 {
    if FMA {
        return x.floor();
    }
    let r = round::<FMA>(x);
    if r > x { r - 1.0 } else { r }
}

/// To the next integer above.
#[inline(always)]
pub fn ceil<const FMA: bool>(x: f32) -> f32 {
    if FMA { x.ceil() } else { -floor::<FMA>(-x) }
}

/// To the next integer towards zero.
#[inline(always)]
pub fn trunc<const FMA: bool>(x: f32) -> f32 {
    if FMA { x.trunc() } else { floor::<FMA>(x.abs()).copysign(x) }
}

/// Rounds an f64 of magnitude below 2^51 to an integer, to even at ties: (value, low 32 bits).
#[inline(always)]
fn round64(x: f64) -> (f64, i32) {
    let shifted = x + 6_755_399_441_055_744.0;
    (shifted - 6_755_399_441_055_744.0, shifted.to_bits() as i32)
}
