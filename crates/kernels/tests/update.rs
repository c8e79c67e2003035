//! Optimizer steps against the formulas in f64, and PyTorch's results.
#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests

mod support;

use gradus_kernels::memory::{KernelError, Mem};
use gradus_kernels::update::*;
use support::{bits, everywhere, f32s};

const SGD: Sgd = Sgd {
    lr: 0.1,
    momentum: 0.9,
    dampening: 0.0,
    weight_decay: 0.0,
    nesterov: false,
    maximize: false,
    first_step: false,
};
const ADAM: Adam = Adam {
    lr: 1e-3,
    beta1: 0.9,
    beta2: 0.999,
    eps: 1e-8,
    weight_decay: 0.0,
    decoupled: false,
    amsgrad: false,
    maximize: false,
    step: 1,
};

/// One element in f64, written as PyTorch's single-tensor code.
fn naive(rule: &Rule, p: f64, g: f64, s: [f64; 3]) -> (f64, [f64; 3]) {
    match rule {
        Rule::Sgd(r) => {
            let mut g = if r.maximize { -g } else { g };
            g += r.weight_decay * p;
            let mut buf = s[0];
            if r.momentum != 0.0 {
                buf = if r.first_step { g } else { r.momentum * buf + (1.0 - r.dampening) * g };
                g = if r.nesterov { g + r.momentum * buf } else { buf };
            }
            (p - r.lr * g, [buf, 0.0, 0.0])
        }
        Rule::Adam(r) => {
            let mut g = if r.maximize { -g } else { g };
            let mut p = p;
            if r.decoupled {
                p *= 1.0 - r.lr * r.weight_decay;
            } else {
                g += r.weight_decay * p;
            }
            let m = r.beta1 * s[0] + (1.0 - r.beta1) * g;
            let v = r.beta2 * s[1] + (1.0 - r.beta2) * g * g;
            let most = if r.amsgrad { s[2].max(v) } else { v };
            let correct = |b: f64| 1.0 - b.powi(r.step as i32);
            let denom = most.sqrt() / correct(r.beta2).sqrt() + r.eps;
            (p - r.lr / correct(r.beta1) * m / denom, [m, v, if r.amsgrad { most } else { 0.0 }])
        }
        Rule::Pointwise(kind, n) => formula(*kind, n, p, g, s),
    }
}

/// The formulas as their papers have them.
fn formula(kind: Pointwise, n: &[f64; NUMBERS], p: f64, g: f64, s: [f64; 3]) -> (f64, [f64; 3]) {
    let [sign, decay, shrink, a, b, c, d, e, f, h] = *n;
    let (g, p) = (sign * g + decay * p, shrink * p);
    let sign = |x: f64| if x == 0.0 { 0.0 } else { x.signum() };
    match kind {
        Pointwise::Adagrad => {
            let sum = if c == 1.0 { d } else { s[0] } + g * g;
            (p + a * g / (sum.sqrt() + b), [sum, 0.0, 0.0])
        }
        Pointwise::Adadelta => {
            let square = b * s[0] + c * g * g;
            let x = ((s[1] + d) / (square + d)).sqrt() * g;
            (p + a * x, [square, b * s[1] + c * x * x, 0.0])
        }
        Pointwise::RmsProp { centered, momentum } => {
            let at = 1 + usize::from(momentum);
            let mut new = [b * s[0] + c * g * g, 0.0, 0.0];
            let mut inner = new[0];
            if centered {
                new[at] = s[at] + c * (g - s[at]);
                inner -= new[at] * new[at];
            }
            let way = g / (inner.sqrt() + d);
            if momentum {
                new[1] = e * s[1] + way;
            }
            (p + a * if momentum { new[1] } else { way }, new)
        }
        Pointwise::Adamax => {
            let m = s[0] + b * (g - s[0]);
            let u = (c * s[1]).max(g.abs() + d);
            (p + a * m / u, [m, u, 0.0])
        }
        Pointwise::NAdam => {
            let (m, v) = (s[0] + b * (g - s[0]), c * s[1] + d * g * g);
            (p + (a * g + h * m) / ((v / e).sqrt() + f), [m, v, 0.0])
        }
        Pointwise::RAdam => {
            let (m, v) = (s[0] + b * (g - s[0]), c * s[1] + d * g * g);
            (p + a * m / if f == 1.0 { 1.0 } else { v.sqrt() + e }, [m, v, 0.0])
        }
        Pointwise::Asgd => {
            let p = b * p + a * g;
            (p, [s[0] + c * (p - s[0]), 0.0, 0.0])
        }
        Pointwise::Rprop => {
            let turned = sign(g * s[0]);
            let factor = [b, 1.0, a][(turned + 1.0) as usize];
            let step = (if f == 1.0 { e } else { s[1] } * factor).clamp(c, d);
            let g = if turned < 0.0 { 0.0 } else { g };
            (p - sign(g) * step, [g, step, 0.0])
        }
        Pointwise::Lion => {
            let way = sign(b * s[0] + (1.0 - b) * g);
            (p + a * way, [c * s[0] + (1.0 - c) * g, 0.0, 0.0])
        }
    }
}

fn rules() -> Vec<Rule> {
    let mut rules = vec![];
    for first in [0.0, 1.0] {
        let rms = |centered, momentum| Pointwise::RmsProp { centered, momentum };
        for (kind, own) in [
            (Pointwise::Adagrad, [-0.1, 1e-3, first, 0.5, 0.0, 0.0, 0.0]),
            (Pointwise::Adadelta, [-0.5, 0.9, 0.1, 1e-3, 0.0, 0.0, 0.0]),
            (rms(false, false), [-0.01, 0.9, 0.1, 1e-2, 0.9, 0.0, 0.0]),
            (rms(false, true), [-0.01, 0.9, 0.1, 1e-2, 0.9, 0.0, 0.0]),
            (Pointwise::Adamax, [-0.02, 0.1, 0.9, 1e-3, 0.0, 0.0, 0.0]),
            (Pointwise::Adamax, [-0.02, 0.7, 0.9, 1e-3, 0.0, 0.0, 0.0]),
            (Pointwise::NAdam, [-0.02, 0.1, 0.9, 0.1, 0.3, 1e-2, -0.03]),
            (Pointwise::RAdam, [-0.02, 0.1, 0.9, 0.1, 1e-2, first, 0.0]),
            (Pointwise::Asgd, [-0.05, 0.999, first, 0.0, 0.0, 0.0, 0.0]),
            (Pointwise::Asgd, [-0.05, 0.999, 0.2, 0.0, 0.0, 0.0, 0.0]),
            (Pointwise::Rprop, [1.2, 0.5, 1e-3, 0.4, 0.01, first, 0.0]),
        ] {
            let shared = [1.0 - 2.0 * first, 0.01 * first, 1.0 - 0.01 * first];
            let mut all = [0.0; NUMBERS];
            all[..3].copy_from_slice(&shared);
            all[3..].copy_from_slice(&own);
            rules.push(Rule::Pointwise(kind, all));
        }
    }
    for weight_decay in [0.0, 0.01] {
        for maximize in [false, true] {
            let sgd = Sgd { weight_decay, maximize, ..SGD };
            rules.push(Rule::Sgd(Sgd { momentum: 0.0, ..sgd }));
            rules.push(Rule::Sgd(sgd));
            rules.push(Rule::Sgd(Sgd { nesterov: true, ..sgd }));
            rules.push(Rule::Sgd(Sgd { first_step: true, dampening: 0.5, ..sgd }));
            rules.push(Rule::Sgd(Sgd { dampening: 0.5, ..sgd }));
            let adam = Adam { weight_decay, maximize, ..ADAM };
            rules.push(Rule::Adam(adam));
            rules.push(Rule::Adam(Adam { step: 1000, decoupled: true, ..adam }));
            rules.push(Rule::Adam(Adam { step: 7, amsgrad: true, beta1: 0.3, ..adam }));
        }
    }
    rules
}

#[test]
fn all_rules_in_place_and_out_of_place() {
    // Sizes around vectors and pieces, in one call.
    let lens = [1usize, 15, 16, 17, 100, 16 * 1024 + 5, 0, 40_000];
    let data = |seed: u64| -> Vec<Vec<f32>> {
        lens.iter().enumerate().map(|(i, &n)| f32s(n, seed + i as u64)).collect()
    };
    let (p, g) = (data(1), data(100));
    let s: Vec<Vec<Vec<f32>>> = (0..3)
        .map(|k| data(200 + 50 * k).iter().map(|v| v.iter().map(|x| x.abs()).collect()).collect())
        .collect();
    for rule in rules() {
        let in_place = everywhere(|| {
            let (mut p, mut s) = (p.clone(), s.clone());
            let [s0, s1, s2] = &mut s[..] else { panic!() };
            let tensors: Vec<_> = p
                .iter_mut()
                .zip(&g)
                .zip(s0.iter_mut().zip(s1.iter_mut()).zip(s2.iter_mut()))
                .map(|((p, g), ((a, b), c))| {
                    let p = Mem::write(p);
                    let states = [a, b, c].map(|s| Mem::write(s)).map(|m| Some((m, m)));
                    UpdateTensor { p_src: p, p_dst: p, g: Mem::read(g), states }
                })
                .collect();
            update(&rule, &tensors).unwrap();
            (
                p.iter().map(|p| bits(p)).collect::<Vec<_>>(),
                s.iter().flatten().map(|s| bits(s)).collect::<Vec<_>>(),
            )
        });
        // Out of place, in f32 and f64.
        for i in 0..lens.len() {
            let mut out = vec![vec![0.0f32; lens[i]]; 4];
            let mut it = out.iter_mut();
            let p_dst = Mem::write(it.next().unwrap());
            let mut k = 0;
            let states = [(); 3].map(|()| {
                let pair = (Mem::read(&s[k][i]), Mem::write(it.next().unwrap()));
                k += 1;
                Some(pair)
            });
            let t = UpdateTensor { p_src: Mem::read(&p[i]), p_dst, g: Mem::read(&g[i]), states };
            update(&rule, &[t]).unwrap();
            assert_eq!(bits(&out[0]), in_place.0[i]);
            let wide = |v: &[f32]| v.iter().map(|&x| f64::from(x)).collect::<Vec<_>>();
            let (mut p64, g64) = (wide(&p[i]), wide(&g[i]));
            let mut s64: Vec<_> = s.iter().map(|s| wide(&s[i])).collect();
            let m = Mem::write(&mut p64);
            let states = s64.iter_mut().map(|s| Mem::write(s)).map(|m| Some((m, m)));
            let states: Vec<_> = states.collect();
            let states = [states[0], states[1], states[2]];
            update(&rule, &[UpdateTensor { p_src: m, p_dst: m, g: Mem::read(&g64), states }])
                .unwrap();
            for j in 0..lens[i] {
                let old = [0, 1, 2].map(|k| f64::from(s[k][i][j]));
                let (pe, se) = naive(&rule, f64::from(p[i][j]), f64::from(g[i][j]), old);
                assert!((p64[j] - pe).abs() < 1e-12, "{rule:?} {j}: {} {pe}", p64[j]);
                assert!((f64::from(out[0][j]) - pe).abs() < 1e-6, "{rule:?} {j}");
                for k in 0..rule.states() {
                    assert!((s64[k][j] - se[k]).abs() < 1e-12);
                    assert!((f64::from(out[1 + k][j]) - se[k]).abs() < 1e-6);
                }
            }
        }
    }
}

#[test]
fn pytorch_says_the_same() {
    // torch.optim.Adam([2.0, -1.0], lr=0.1, weight_decay=0.1), gradient [0.5, 0.25], two steps; by
    // hand: the first step moves by lr whatever the gradient's size.
    let mut p = [2.0f32, -1.0];
    let (mut m, mut v) = ([0.0f32; 2], [0.0f32; 2]);
    let g = [0.5f32, 0.25];
    let (mp, mm, mv) = (Mem::write(&mut p), Mem::write(&mut m), Mem::write(&mut v));
    let t = UpdateTensor {
        p_src: mp,
        p_dst: mp,
        g: Mem::read(&g),
        states: [Some((mm, mm)), Some((mv, mv)), None],
    };
    update(&Rule::Adam(Adam { lr: 0.1, weight_decay: 0.1, ..ADAM }), &[t]).unwrap();
    assert!((p[0] - 1.9).abs() < 1e-6 && (p[1] + 1.1).abs() < 1e-6, "{p:?}");
}

#[test]
fn subnormals_become_zero_and_nan_stays() {
    let tiny = f32::MIN_POSITIVE;
    let mut p = [tiny, 1.0, 1.0];
    let mut buf = [tiny, f32::NAN, -tiny];
    let g = [0.0f32; 3];
    let (mp, mb) = (Mem::write(&mut p), Mem::write(&mut buf));
    let t = UpdateTensor {
        p_src: mp,
        p_dst: mp,
        g: Mem::read(&g),
        states: [Some((mb, mb)), None, None],
    };
    update(&Rule::Sgd(Sgd { momentum: 0.5, ..SGD }), &[t]).unwrap();
    assert_eq!((buf[0], buf[2]), (0.0, 0.0));
    assert!(buf[1].is_nan() && p[1].is_nan());
    assert_eq!((p[0], p[2]), (tiny, 1.0));
    // A parameter that becomes subnormal, of every length of a part.
    for n in [1, 16, 17] {
        for rule in [Rule::Sgd(Sgd { momentum: 0.0, lr: 0.5, ..SGD }), Rule::Adam(ADAM)] {
            let mut p = vec![tiny / 2.0; n];
            let (mut m, mut v) = (vec![tiny / 2.0; n], vec![tiny / 2.0; n]);
            let g = vec![0.0f32; n];
            let windows = [&mut p, &mut m, &mut v].map(|x| Mem::write(x));
            let [p_src, first, second] = windows;
            let states = [Some((first, first)), Some((second, second)), None];
            let t = UpdateTensor { p_src, p_dst: p_src, g: Mem::read(&g), states };
            update(&rule, &[t]).unwrap();
            assert!(p.iter().all(|&p| p == 0.0 || p.is_normal()), "{rule:?}: {p:?}");
            if matches!(rule, Rule::Adam(_)) {
                assert!(m.iter().chain(&v).all(|&x| x == 0.0), "{m:?} {v:?}");
            }
        }
    }
}

#[test]
fn a_mean_that_forgets_all_is_the_gradient_to_the_bit() {
    let g = [0.1f32, -3.0, 1e-3];
    let (mut p, mut m, mut v) = ([1.0f32; 3], [1e8f32, -77.7, 5.0], [1.0f32; 3]);
    let windows = [&mut p, &mut m, &mut v].map(|x| Mem::write(x));
    let [p_src, first, second] = windows;
    let states = [Some((first, first)), Some((second, second)), None];
    let t = UpdateTensor { p_src, p_dst: p_src, g: Mem::read(&g), states };
    update(&Rule::Adam(Adam { beta1: 0.0, ..ADAM }), &[t]).unwrap();
    assert_eq!(m, g);
}

#[test]
fn wrong_windows() {
    let (mut a, mut b, g) = ([1.0f32; 8], [1.0f32; 8], [1.0f32; 8]);
    let (a, b) = (Mem::write(&mut a), Mem::write(&mut b));
    let g = Mem::read(&g);
    let plain = Rule::Sgd(Sgd { momentum: 0.0, ..SGD });
    let t = |p_src, p_dst, g| UpdateTensor { p_src, p_dst, g, states: [None; 3] };
    assert_eq!(update(&plain, &[]), Ok(()));
    assert_eq!(update(&plain, &[t(a, b, g)]), Ok(()));
    // The same parameter twice, a gradient that is written, a shifted destination.
    assert!(matches!(update(&plain, &[t(a, a, g), t(a, a, g)]), Err(KernelError::Overlap(_))));
    assert!(matches!(update(&plain, &[t(a, a, a)]), Err(KernelError::Overlap(_))));
    let (low, high) = (a.slice(0, 4).unwrap(), a.slice(1, 4).unwrap());
    let g4 = g.slice(0, 4).unwrap();
    assert!(matches!(update(&plain, &[t(low, high, g4)]), Err(KernelError::Overlap(_))));
    assert!(matches!(update(&plain, &[t(low, low, g)]), Err(KernelError::Bounds(_))));
    assert!(matches!(update(&plain, &[t(a, g, g)]), Err(KernelError::Type(_))));
    assert!(matches!(update(&Rule::Sgd(SGD), &[t(a, a, g)]), Err(KernelError::Bounds(_))));
    let ints = [0i64; 8];
    assert!(matches!(update(&plain, &[t(a, a, Mem::read(&ints))]), Err(KernelError::Type(_))));
    // Two halves of one window, and a shared gradient, are fine.
    let other = a.slice(4, 4).unwrap();
    assert_eq!(update(&plain, &[t(low, low, g4), t(other, other, g4)]), Ok(()));
}

#[test]
fn formulas_of_edges() {
    // Centered: a mean of squares that is no less than the squared mean. Lion: a clear sign.
    let rms = |momentum| Pointwise::RmsProp { centered: true, momentum };
    for (kind, own) in [
        (rms(false), [-0.01, 0.9, 0.1, 1e-2, 0.9]),
        (rms(true), [-0.01, 0.9, 0.1, 1e-2, 0.9]),
        (Pointwise::Lion, [-0.01, 0.9, 0.99, 0.0, 0.0]),
    ] {
        let mut numbers = [0.0; NUMBERS];
        numbers[0] = 1.0;
        numbers[2] = 0.999;
        numbers[3..8].copy_from_slice(&own);
        let rule = Rule::Pointwise(kind, numbers);
        let (p, g, s) = (
            [0.5f64, -2.0, 0.0],
            [1.0f64, -0.25, 3.0],
            [[4.0f64, 3.0, 5.0], [1.0, 0.5, -1.0], [1.0, 0.5, -1.0]],
        );
        let (mut new, mut states) = (p, s);
        let m = Mem::write(&mut new);
        let [a, b, c] = &mut states;
        let windows = [a, b, c].map(|s| Mem::write(s)).map(|m| Some((m, m)));
        let t = UpdateTensor { p_src: m, p_dst: m, g: Mem::read(&g), states: windows };
        update(&rule, &[t]).unwrap();
        for i in 0..3 {
            let (want, wanted) = naive(&rule, p[i], g[i], [s[0][i], s[1][i], s[2][i]]);
            assert!((new[i] - want).abs() < 1e-12, "{rule:?} {i}: {} {want}", new[i]);
            for k in 0..rule.states() {
                assert!((states[k][i] - wanted[k]).abs() < 1e-12, "{rule:?} {i} {k}");
            }
        }
    }
}
