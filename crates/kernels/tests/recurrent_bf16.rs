//! Recurrent networks with products of bf16: every step against its formula in f64, from the rounded
//! numbers of the step before, with the machine's instruction for pairs and without.

#![allow(clippy::unwrap_used, clippy::print_stderr)] // in helpers of tests

mod support;

use gradus_kernels::isa::{self, Isa};
use gradus_kernels::memory::Mem;
use gradus_kernels::pool;
use gradus_kernels::recurrent::{Backward, Cell, Forward, Walk, backward, forward};
use half::bf16;
use support::{Numbers, alone};

fn numbers(seed: u64, n: usize) -> Vec<f32> {
    let mut next = Numbers(seed * 2 + 1);
    (0..n).map(|_| next.f32()).collect()
}

/// Rounded to bf16.
fn r(x: f32) -> f64 {
    bf16::from_f32(x).to_f64()
}

struct Case {
    walk: Walk,
    gates: Vec<f32>,
    weight: Vec<f32>,
    h0: Vec<f32>,
    c0: Vec<f32>,
    bias: Vec<f32>,
    g: Vec<f32>,
    lengths: Option<Vec<i64>>,
}

impl Case {
    fn new(walk: Walk, short: bool) -> Case {
        let width = walk.cell.gates() * walk.hidden;
        let scale = 1.0 / (walk.hidden as f32).sqrt();
        let lengths = (0..walk.batch).map(|s| (s * 7 % (walk.time + 1)) as i64).collect();
        Case {
            walk,
            gates: numbers(1, walk.gates()),
            weight: numbers(2, width * walk.hidden).iter().map(|x| x * scale).collect(),
            h0: numbers(3, walk.state()),
            c0: numbers(4, walk.state()),
            bias: numbers(5, width),
            g: numbers(6, walk.visible()),
            lengths: short.then_some(lengths),
        }
    }

    /// Tape and gradients.
    fn run(&self) -> (Vec<f32>, Vec<f32>) {
        let walk = self.walk;
        let (mut tape, mut work) = (vec![f32::NAN; walk.tape()], vec![f32::NAN; walk.work()]);
        let mut out = vec![f32::NAN; walk.gradients()];
        let lengths = self.lengths.as_deref().map(Mem::read);
        let c0 = Some(Mem::read(&self.c0));
        let (weight, h0) = (Mem::read(&self.weight), Mem::read(&self.h0));
        let ahead = Forward {
            walk,
            gates: Mem::read(&self.gates),
            weight,
            h0,
            c0,
            bias: Some(Mem::read(&self.bias)),
            lengths,
            tape: Mem::write(&mut tape),
            work: Mem::write(&mut work),
        };
        assert_eq!(forward(&ahead), Ok(()));
        let back = Backward {
            walk,
            tape: Mem::read(&tape),
            g: Mem::read(&self.g),
            weight,
            h0,
            c0,
            lengths,
            out: Mem::write(&mut out),
            work: Mem::write(&mut work),
        };
        assert_eq!(backward(&back), Ok(()));
        (tape, out)
    }

    fn counts(&self, sample: usize, t: usize) -> bool {
        self.lengths.as_ref().is_none_or(|l| (t as i64) < l[sample])
    }

    /// Step number `i` on the way.
    fn step(&self, i: usize) -> usize {
        if self.walk.reverse { self.walk.time - 1 - i } else { i }
    }

    /// State and memory of a sample before step number `i`.
    fn before<'a>(&'a self, tape: &'a [f32], i: usize, sample: usize) -> (&'a [f32], &'a [f32]) {
        let (walk, n) = (self.walk, self.walk.hidden);
        let lstm = walk.cell == Cell::Lstm;
        let at = |t: usize| (t * walk.batch + sample) * n;
        match i.checked_sub(1).map(|i| self.step(i)) {
            None => (&self.h0[sample * n..][..n], &self.c0[sample * n..][..n]),
            Some(t) if lstm => (&tape[at(t)..][..n], &tape[walk.visible() + at(t)..][..n]),
            Some(t) => (&tape[at(t)..][..n], &[]),
        }
    }

    /// Looks at one step of one sample, forward.
    fn ahead(&self, tape: &[f32], i: usize, sample: usize) {
        let (walk, n, t) = (self.walk, self.walk.hidden, self.step(i));
        let (h, c) = self.before(tape, i, sample);
        let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
        for u in 0..n {
            let own = |k: usize| -> f64 {
                let row = &self.weight[(k * n + u) * n..][..n];
                row.iter().zip(h).map(|(&w, &h)| r(w) * r(h)).sum()
            };
            let given = (t * walk.batch + sample) * walk.cell.gates() * n + u;
            let x = |k: usize| f64::from(self.gates[given + k * n]);
            let a = |k: usize| x(k) + own(k);
            let (was, bias) = (f64::from(h[u]), |k: usize| f64::from(self.bias[k * n + u]));
            let mut want = match walk.cell {
                Cell::Tanh => a(0).tanh(),
                Cell::Relu => a(0).max(0.0),
                Cell::Lstm => {
                    let c = sigmoid(a(1)) * f64::from(c[u]) + sigmoid(a(0)) * a(2).tanh();
                    sigmoid(a(3)) * c.tanh()
                }
                Cell::Gru => {
                    let z = sigmoid(a(1) + bias(1));
                    let new = x(2) + sigmoid(a(0) + bias(0)) * (own(2) + bias(2));
                    new.tanh() + z * (was - new.tanh())
                }
            };
            if !self.counts(sample, t) {
                want = was;
            }
            let got = f64::from(tape[(t * walk.batch + sample) * n + u]);
            assert!((got - want).abs() < 4e-6, "{walk:?} {i} {sample} {u}: {got}, not {want}");
        }
    }

    /// Looks at all steps of one sample, backward.
    fn back(&self, tape: &[f32], out: &[f32], sample: usize) {
        let (walk, n) = (self.walk, self.walk.hidden);
        let width = walk.cell.gates() * n;
        let (mut dh, mut dc) = (vec![0.0; n], vec![0.0; n]);
        let kept = |t, k, u| f64::from(tape[walk.kept_at(t, sample, k, u)]);
        for (u, dc) in dc.iter_mut().enumerate() {
            if walk.cell == Cell::Lstm {
                *dc = f64::from(self.g[walk.states() + sample * n + u]);
            }
        }
        let close = |what: &str, got: f32, want: f64| {
            let off = (f64::from(got) - want).abs();
            assert!(off < 2e-5 * (1.0 + want.abs()), "{walk:?} {what} {sample}: {got}, not {want}");
        };
        for i in (0..walk.time).rev() {
            let t = self.step(i);
            let row = (t * walk.batch + sample) * width;
            let behind = if walk.cell == Cell::Gru { walk.gates() + walk.state() } else { 0 };
            let (h0, c0) = self.before(tape, i, sample);
            let mut next = vec![0.0; n];
            for u in 0..n {
                let at = (t * walk.batch + sample) * n + u;
                let d = f64::from(self.g[at]) + dh[u];
                if !self.counts(sample, t) {
                    next[u] = d;
                    (0..walk.cell.gates()).for_each(|k| close("none", out[row + k * n + u], 0.0));
                    continue;
                }
                let k = |k| kept(t, k, u);
                let h = f64::from(tape[at]);
                let want = match walk.cell {
                    Cell::Tanh => vec![d * (1.0 - h * h)],
                    Cell::Relu => vec![if h > 0.0 { d } else { 0.0 }],
                    Cell::Lstm => {
                        let tanh = f64::from(tape[walk.visible() + at]).tanh();
                        let m = dc[u] + d * k(3) * (1.0 - tanh * tanh);
                        dc[u] = m * k(1);
                        let new = m * k(0) * (1.0 - k(2) * k(2));
                        let forget = m * f64::from(c0[u]) * k(1) * (1.0 - k(1));
                        let input = m * k(2) * k(0) * (1.0 - k(0));
                        vec![input, forget, new, d * tanh * k(3) * (1.0 - k(3))]
                    }
                    Cell::Gru => {
                        next[u] = d * k(1);
                        let new = d * (1.0 - k(1)) * (1.0 - k(2) * k(2));
                        close("own", out[behind + row + 2 * n + u], new * k(0));
                        let update = d * (f64::from(h0[u]) - k(2)) * k(1) * (1.0 - k(1));
                        vec![new * k(3) * k(0) * (1.0 - k(0)), update, new]
                    }
                };
                for (k, want) in want.into_iter().enumerate() {
                    close("gates", out[row + k * n + u], want);
                }
            }
            for j in 0..width {
                let own = r(out[behind + row + j]);
                for (next, &w) in next.iter_mut().zip(&self.weight[j * n..]) {
                    *next += r(w) * own;
                }
            }
            dh = next;
        }
        for (u, &dh) in dh.iter().enumerate() {
            close("first state", out[walk.gates() + sample * n + u], dh);
        }
    }
}

fn bits(x: &[f32]) -> Vec<u32> {
    x.iter().map(|x| x.to_bits()).collect()
}

#[test]
fn steps_are_their_formulas_of_rounded_operands_for_any_number_of_threads() {
    let _alone = alone();
    for cell in [Cell::Tanh, Cell::Relu, Cell::Lstm, Cell::Gru] {
        for (time, batch, hidden, reverse, short) in [
            (3, 2, 1, false, false),
            (2, 5, 7, true, true),
            (3, 1, 33, false, false),
            (4, 21, 32, false, true),
            (2, 67, 79, true, false),
            (2, 3, 160, false, false),
        ] {
            let walk = Walk { cell, reverse, time, batch, hidden, bf16: true };
            let case = Case::new(walk, short);
            let mut wide = None;
            for (level, pairs) in [
                (Isa::Avx512, true),
                (Isa::Avx512, false),
                (Isa::Avx2, false),
                (Isa::Generic, false),
            ] {
                if !isa::force(level) || isa::force_bf16_pairs(pairs) != pairs {
                    eprintln!("skipped: {} with pairs {pairs}", level.name());
                    continue;
                }
                let mut first = None;
                for threads in [1, 3] {
                    pool::set_threads(threads);
                    pool::set_split_all(threads > 1);
                    let (tape, out) = case.run();
                    let now = (bits(&tape), bits(&out));
                    if first.is_none() {
                        for sample in 0..batch {
                            (0..time).for_each(|i| case.ahead(&tape, i, sample));
                            case.back(&tape, &out, sample);
                        }
                    }
                    assert!(*first.get_or_insert_with(|| now.clone()) == now, "{walk:?}, threads");
                }
                pool::set_threads(2);
                pool::set_split_all(false);
                // All levels with fused instructions have the same bits but for pairs.
                if !pairs && level != Isa::Generic {
                    assert!(
                        *wide.get_or_insert_with(|| first.clone()) == first,
                        "{walk:?} {level:?}"
                    );
                }
            }
            // In f32 they are others.
            isa::force(isa::best());
            isa::force_bf16_pairs(true);
            let full = Case::new(Walk { bf16: false, ..walk }, short).run();
            assert_ne!(bits(&full.0), bits(&case.run().0), "{walk:?}");
        }
    }
}
