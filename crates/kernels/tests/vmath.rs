//! Accuracy of the elementary functions at every level, against f64.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

use gradus_kernels::isa::{self, Isa};
use gradus_kernels::map;
use gradus_kernels::memory::{Mem, Ty};
use gradus_kernels::program::{Binary, Instr, MAX_RANK, Program, Source, Unary};
use gradus_kernels::special;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The level is process-global.
static LEVEL: Mutex<()> = Mutex::new(());

fn lock() -> MutexGuard<'static, ()> {
    LEVEL.lock().unwrap_or_else(PoisonError::into_inner)
}

fn levels() -> impl Iterator<Item = Isa> {
    [Isa::Generic, Isa::Avx2, Isa::Avx512].into_iter().filter(|i| i.supported())
}

fn operand(operand: u16) -> Source {
    let mut strides = [0; MAX_RANK];
    strides[0] = 1;
    Source::Operand { operand, ty: Ty::F32, offset: 0, strides }
}

fn unary(op: Unary, x: &[f32]) -> Vec<f32> {
    let program =
        Program { sources: vec![operand(0)], instrs: vec![Instr::Unary(op, 0)], results: vec![1] };
    let mut out = vec![0.0; x.len()];
    let compiled = program.compile().unwrap();
    map::run(&compiled, &[x.len()], &[Mem::read(x)], &[Mem::write(&mut out)], &[], &[]).unwrap();
    out
}

fn binary(op: Binary, x: &[f32], y: &[f32]) -> Vec<f32> {
    let program = Program {
        sources: vec![operand(0), operand(1)],
        instrs: vec![Instr::Binary(op, 0, 1)],
        results: vec![2],
    };
    let mut out = vec![0.0; x.len()];
    let compiled = program.compile().unwrap();
    let operands = [Mem::read(x), Mem::read(y)];
    map::run(&compiled, &[x.len()], &operands, &[Mem::write(&mut out)], &[], &[]).unwrap();
    out
}

/// The distance in units of the last place of the wanted value.
fn ulps(got: f32, want: f64) -> f64 {
    if got.is_nan() || want.is_nan() {
        return if got.is_nan() && want.is_nan() { 0.0 } else { f64::INFINITY };
    }
    let rounded = want as f32;
    if rounded == got {
        return 0.0;
    }
    let exponent = (libm::frexp(want.abs()).1 - 1).clamp(-126, 127);
    let unit = libm::exp2(f64::from(exponent - 23));
    // Infinity stands where the next power of two would.
    let got = if got.is_infinite() {
        f64::from(got.signum()) * libm::exp2(128.0)
    } else {
        f64::from(got)
    };
    let want = if want.is_infinite() { want.signum() * libm::exp2(128.0) } else { want };
    (got - want).abs() / unit
}

/// All magnitudes and both signs, and densely where functions change their branch.
fn inputs() -> Vec<f32> {
    let mut x: Vec<f32> = (0..=u32::MAX).step_by(499).map(f32::from_bits).collect();
    let near = [
        0.0_f32,
        1.0,
        -1.0,
        0.5,
        2.0,
        0.6,
        0.55,
        0.9,
        0.93,
        3.95,
        88.7228,
        -87.33,
        -103.97,
        14.5,
        -14.1,
        -5.5,
        10.9,
        10.0,
        std::f32::consts::PI,
        std::f32::consts::FRAC_PI_2,
        std::f32::consts::FRAC_PI_4,
        1_048_576.0,
        f32::MIN_POSITIVE,
        f32::MAX,
        f32::INFINITY,
        std::f32::consts::LN_2,
        0.34657,
        2.0 / 3.0,
        4.0 / 3.0,
        0.75,
        1.5,
        -0.25,
    ];
    for c in near {
        for c in [c, -c] {
            let b = i64::from(c.to_bits());
            x.extend(
                (-2000..2000).map(|d| f32::from_bits((b + d).clamp(0, i64::from(u32::MAX)) as u32)),
            );
        }
    }
    for k in 1..5000 {
        let t = (f64::from(k) * std::f64::consts::FRAC_PI_2) as f32;
        x.extend([t, -t, f32::from_bits(t.to_bits() + 1), f32::from_bits(t.to_bits() - 1)]);
    }
    x
}

/// A function, how f64 computes it, and its bounds with and without fused multiply-add, in ULP.
type Case = (Unary, fn(f64) -> f64, f64, f64);

fn check_unary(cases: &[Case]) {
    let _lock = lock();
    let x = inputs();
    for &(op, want, fused, plain) in cases {
        let want: Vec<f64> = x.iter().map(|&x| want(f64::from(x))).collect();
        let mut bits: Option<Vec<f32>> = None;
        for isa in levels() {
            isa::force(isa);
            let got = unary(op, &x);
            let mut worst = (0.0, 0);
            for (i, (&g, &w)) in got.iter().zip(&want).enumerate() {
                let u = ulps(g, w);
                if u > worst.0 {
                    worst = (u, i);
                }
            }
            let (u, i) = worst;
            println!(
                "{op:?} {}: {u:.3} ULP at {:e} ({:e}, want {:e})",
                isa.name(),
                x[i],
                got[i],
                want[i]
            );
            let bound = if isa == Isa::Generic { plain } else { fused };
            assert!(u <= bound, "{op:?} {}: {u} ULP at {:e}", isa.name(), x[i]);
            // The sign of zero counts too.
            for (i, (&g, &w)) in got.iter().zip(&want).enumerate() {
                assert!(
                    g != 0.0 || w.is_sign_negative() == g.is_sign_negative(),
                    "{op:?} at {:e}",
                    x[i]
                );
            }
            if isa != Isa::Generic {
                if let Some(bits) = &bits {
                    let same = bits
                        .iter()
                        .zip(&got)
                        .all(|(a, b)| a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan()));
                    assert!(same, "{op:?}: AVX2 and AVX-512 differ");
                }
                bits = Some(got);
            }
        }
    }
    isa::force(isa::best());
}

fn gelu(x: f64) -> f64 {
    if x == f64::NEG_INFINITY {
        -0.0
    } else {
        x * 0.5 * libm::erfc(-x * std::f64::consts::FRAC_1_SQRT_2)
    }
}

fn gelu_tanh(x: f64) -> f64 {
    if x == f64::NEG_INFINITY {
        return -0.0;
    }
    let u = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x * x * x);
    x / (1.0 + libm::exp(-2.0 * u))
}

#[test]
fn exponentials_are_within_two_ulp() {
    check_unary(&[
        (Unary::Exp, libm::exp, 1.0, 1.2),
        (Unary::Expm1, libm::expm1, 1.4, 1.5),
        (Unary::Sigmoid, |x| 1.0 / (1.0 + libm::exp(-x)), 2.3, 2.3),
        (Unary::Tanh, libm::tanh, 1.5, 1.5),
    ]);
}

#[test]
fn logarithms_are_within_two_ulp() {
    check_unary(&[(Unary::Log, libm::log, 1.0, 1.2), (Unary::Log1p, libm::log1p, 1.4, 1.4)]);
}

#[test]
fn sine_and_cosine_are_within_two_ulp_for_any_argument() {
    check_unary(&[(Unary::Sin, libm::sin, 1.6, 1.6), (Unary::Cos, libm::cos, 1.6, 1.6)]);
}

#[test]
fn erf_and_gelu_are_within_four_ulp_into_the_tail() {
    check_unary(&[
        (Unary::Erf, libm::erf, 1.2, 1.3),
        (Unary::Gelu, gelu, 4.0, 4.0),
        (Unary::GeluTanh, gelu_tanh, 3.3, 3.3),
    ]);
}

#[test]
fn roots_and_roundings_are_right() {
    check_unary(&[
        (Unary::Sqrt, f64::sqrt, 0.5, 0.5),
        (Unary::Rsqrt, |x| 1.0 / x.sqrt(), 1.5, 1.5),
        (Unary::Recip, |x| 1.0 / x, 0.5, 0.5),
        (Unary::Floor, libm::floor, 0.0, 0.0),
        (Unary::Ceil, libm::ceil, 0.0, 0.0),
        (Unary::Round, libm::rint, 0.0, 0.0),
        (Unary::Trunc, libm::trunc, 0.0, 0.0),
    ]);
}

/// What is computed in f64 is rounded once, on every level.
#[test]
fn functions_through_f64_are_rounded_right() {
    check_unary(&[
        (Unary::Tan, libm::tan, 0.5, 0.5),
        (Unary::Asin, libm::asin, 0.5, 0.5),
        (Unary::Cosh, libm::cosh, 0.5, 0.5),
        (Unary::Log2, libm::log2, 0.5, 0.5),
        (Unary::Erfc, libm::erfc, 0.5, 0.5),
        (Unary::Erfinv, special::erfinv, 0.5, 0.5),
        (Unary::Lgamma, libm::lgamma, 0.5, 0.5),
    ]);
}

#[test]
fn powers_are_within_one_ulp_and_follow_ieee() {
    let _lock = lock();
    let special = [
        0.0_f32,
        1.0,
        0.5,
        2.0,
        3.0,
        4.0,
        2.5,
        1e-3,
        1e-40,
        1e30,
        f32::MAX,
        f32::INFINITY,
        f32::NAN,
        16_777_216.0,
        8_388_607.0,
        1.5,
        0.999_999_9,
    ];
    let special: Vec<f32> = special.into_iter().flat_map(|v| [v, -v]).collect();
    let mut x = Vec::new();
    let mut y = Vec::new();
    for &a in &special {
        for &b in &special {
            x.push(a);
            y.push(b);
        }
    }
    let mut state = 1_u64;
    let mut next = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 32) as u32
    };
    for _ in 0..2_000_000 {
        let a = f32::from_bits(next());
        // Exponents for which the result is mostly finite.
        let scale = 100.0 / (a.abs().ln().abs() + 1e-3);
        let b = (next() as f32 / 2.0_f32.powi(31) - 1.0) * scale;
        x.push(a);
        y.push(if next() % 8 == 0 { b.round() } else { b });
    }
    for isa in levels() {
        isa::force(isa);
        let got = binary(Binary::Pow, &x, &y);
        let mut worst = (0.0, 0);
        for i in 0..x.len() {
            let want = libm::pow(f64::from(x[i]), f64::from(y[i]));
            let u = ulps(got[i], want);
            assert!(got[i] != 0.0 || want.is_sign_negative() == got[i].is_sign_negative());
            if u > worst.0 {
                worst = (u, i);
            }
        }
        let (u, i) = worst;
        println!("Pow {}: {u:.3} ULP at {:e}, {:e}: {:e}", isa.name(), x[i], y[i], got[i]);
        assert!(u <= 1.0, "{} to {}", x[i], y[i]);
    }
    isa::force(isa::best());
}

#[test]
fn bce_with_logits_is_close_in_absolute_terms() {
    let _lock = lock();
    let x: Vec<f32> = (-40_000..40_000).map(|i| i as f32 * 0.003).collect();
    let y: Vec<f32> = (0..x.len()).map(|i| (i % 7) as f32 / 6.0).collect();
    for isa in levels() {
        isa::force(isa);
        for ((&x, &y), &g) in x.iter().zip(&y).zip(&binary(Binary::BceLogits, &x, &y)) {
            let (x, y) = (f64::from(x), f64::from(y));
            let want = x.max(0.0) - x * y + libm::log1p(libm::exp(-x.abs()));
            assert!((f64::from(g) - want).abs() <= 2e-7 * (1.0 + x.abs()), "{x} {y}: {g} {want}");
        }
    }
    isa::force(isa::best());
}
