//! Attention: against the formula in f64 over random sizes, strides and masks, and bit for bit
//! between instruction sets and numbers of threads.

#![allow(clippy::unwrap_used)] // in helpers of tests

use gradus_kernels::attention::{Backward, Forward, Heads, Mask, Operand, backward, forward};
use gradus_kernels::isa::{self, Isa};
use gradus_kernels::memory::{KernelError, Mem, Truth};
use gradus_kernels::pool;
use half::bf16;
use std::sync::{Mutex, MutexGuard};

/// Level and threads are those of the whole process, so tests take turns.
fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(|e| e.into_inner())
}

fn numbers(seed: u64, len: usize) -> Vec<f32> {
    let mut s = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..len)
        .map(|_| {
            s ^= s << 13;
            s ^= s >> 7;
            s ^= s << 17;
            (s >> 40) as f32 / (1u64 << 23) as f32 - 1.0
        })
        .collect()
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Masked {
    No,
    /// Bools a head and key; those of the first query of each head hide everything.
    Chosen,
    /// Floats a query and key.
    Added,
    /// One bool a query.
    Queries,
}

struct Case {
    heads: Heads,
    q: Vec<f32>,
    k: Vec<f32>,
    v: Vec<f32>,
    g: Vec<f32>,
    seen: Vec<Truth>,
    rows: Vec<Truth>,
    added: Vec<f32>,
    masked: Masked,
}

impl Case {
    fn new(heads: Heads, masked: Masked) -> Case {
        let h = heads;
        let of_keys = h.batch * h.of_keys() * h.keys;
        let seed = (h.queries * 31 + h.keys * 7 + h.size) as u64;
        let scores = h.batch * h.heads * h.queries * h.keys;
        let chosen = numbers(seed + 5, scores);
        let hidden = |i: usize| (i / h.keys).is_multiple_of(h.queries);
        let seen = chosen.iter().enumerate().map(|(i, &x)| Truth(u8::from(x > -0.3 && !hidden(i))));
        Case {
            heads,
            q: numbers(seed, h.batch * h.heads * h.queries * h.size),
            k: numbers(seed + 1, of_keys * h.size),
            v: numbers(seed + 2, of_keys * h.out),
            g: numbers(seed + 3, h.visible()),
            seen: seen.collect(),
            rows: chosen.iter().take(h.queries).map(|&x| Truth(u8::from(x > -0.5))).collect(),
            added: numbers(seed + 4, h.queries * h.keys),
            masked,
        }
    }

    /// Rows of `width` of several heads side by side.
    fn operand<'a>(x: &'a [f32], heads: usize, rows: usize, width: usize) -> Operand<'a> {
        let strides = [heads * rows * width, width, heads * width];
        Operand { mem: Mem::read(x), strides }
    }

    fn mask(&self) -> Option<Mask<'_>> {
        let h = self.heads;
        Some(match self.masked {
            Masked::No => return None,
            Masked::Chosen => {
                let head = h.queries * h.keys;
                let strides = [h.heads * head, head, h.keys, 1];
                Mask { mem: Mem::read(&self.seen), strides }
            }
            Masked::Added => Mask { mem: Mem::read(&self.added), strides: [0, 0, h.keys, 1] },
            Masked::Queries => Mask { mem: Mem::read(&self.rows), strides: [0, 0, 1, 0] },
        })
    }

    /// Tape and gradients.
    fn run(&self) -> Result<(Vec<f32>, Vec<f32>), KernelError> {
        let h = self.heads;
        let q = Case::operand(&self.q, h.heads, h.queries, h.size);
        let k = Case::operand(&self.k, h.of_keys(), h.keys, h.size);
        let v = Case::operand(&self.v, h.of_keys(), h.keys, h.out);
        let mut tape = vec![f32::NAN; h.tape()];
        let mut grads = vec![f32::NAN; h.gradients().iter().sum()];
        forward(&Forward { heads: h, q, k, v, mask: self.mask(), tape: Mem::write(&mut tape) })?;
        backward(&Backward {
            heads: h,
            q,
            k,
            v,
            mask: self.mask(),
            tape: Mem::read(&tape),
            g: Mem::read(&self.g),
            out: Mem::write(&mut grads),
        })?;
        Ok((tape, grads))
    }

    fn added(&self, sample: usize, head: usize, query: usize, key: usize) -> f64 {
        let h = self.heads;
        let hides = |seen: Truth| if seen.is_true() { 0.0 } else { f64::NEG_INFINITY };
        match self.masked {
            Masked::No => 0.0,
            Masked::Chosen => {
                let row = (sample * h.heads + head) * h.queries + query;
                hides(self.seen[row * h.keys + key])
            }
            Masked::Added => f64::from(self.added[query * h.keys + key]),
            Masked::Queries => hides(self.rows[query]),
        }
    }

    /// Result and gradients in f64, in the layout of the kernels.
    fn naive(&self) -> (Vec<f64>, Vec<f64>) {
        let h = self.heads;
        let row = |x: &[f32], sample, head, i, heads, rows, width| -> Vec<f64> {
            let at = ((sample * rows + i) * heads + head) * width;
            x[at..at + width].iter().map(|&x| f64::from(x)).collect()
        };
        // Operands of products.
        let r = |x: f64| if h.bf16 { bf16::from_f32(x as f32).to_f64() } else { x };
        let rounded = |x: Vec<f64>| x.into_iter().map(r).collect::<Vec<f64>>();
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let mut y = vec![0.0; h.visible()];
        let [len_q, len_k, len_v] = h.gradients();
        let mut grads = vec![0.0; len_q + len_k + len_v];
        let place = |i: usize, sample: usize, head: usize, row: usize| {
            if h.packed() {
                return (((sample * h.queries + row) * 3 + i) * h.heads + head) * h.size;
            }
            let (rows, heads) = if i == 0 { (h.queries, h.heads) } else { (h.keys, h.of_keys()) };
            let width = if i == 2 { h.out } else { h.size };
            [0, len_q, len_q + len_k][i] + ((sample * rows + row) * heads + head) * width
        };
        for sample in 0..h.batch {
            for head in 0..h.heads {
                let of_keys = head / h.group;
                let keys: Vec<Vec<f64>> = (0..h.keys)
                    .map(|j| rounded(row(&self.k, sample, of_keys, j, h.of_keys(), h.keys, h.size)))
                    .collect();
                let values: Vec<Vec<f64>> = (0..h.keys)
                    .map(|j| rounded(row(&self.v, sample, of_keys, j, h.of_keys(), h.keys, h.out)))
                    .collect();
                for i in 0..h.queries {
                    let q = rounded(row(&self.q, sample, head, i, h.heads, h.queries, h.size));
                    let whole = row(&self.g, sample, head, i, h.heads, h.queries, h.out);
                    let g = rounded(whole.clone());
                    let score = |j: usize| {
                        if h.causal && j > i {
                            return f64::NEG_INFINITY;
                        }
                        dot(&q, &keys[j]) * f64::from(h.scale) + self.added(sample, head, i, j)
                    };
                    let scores: Vec<f64> = (0..h.keys).map(score).collect();
                    let most = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                    if most == f64::NEG_INFINITY {
                        continue;
                    }
                    let terms: Vec<f64> = scores.iter().map(|s| (s - most).exp()).collect();
                    let sum: f64 = terms.iter().sum();
                    let p: Vec<f64> = terms.iter().map(|t| t / sum).collect();
                    let dp: Vec<f64> = values.iter().map(|v| dot(&g, v)).collect();
                    let at = ((sample * h.queries + i) * h.heads + head) * h.out;
                    for (term, value) in terms.iter().zip(&values) {
                        for c in 0..h.out {
                            y[at + c] += r(*term) / sum * value[c];
                        }
                    }
                    let mean = dot(&whole, &y[at..at + h.out]);
                    for j in 0..h.keys {
                        for c in 0..h.out {
                            grads[place(2, sample, of_keys, j) + c] += r(p[j]) * g[c];
                        }
                        let ds = r(p[j] * (dp[j] - mean) * f64::from(h.scale));
                        for c in 0..h.size {
                            grads[place(0, sample, head, i) + c] += ds * keys[j][c];
                            grads[place(1, sample, of_keys, j) + c] += ds * q[c];
                        }
                    }
                }
            }
        }
        (y, grads)
    }
}

fn sizes(
    [batch, heads, group]: [usize; 3],
    [queries, keys]: [usize; 2],
    [size, out]: [usize; 2],
    causal: bool,
) -> Heads {
    let scale = 1.0 / (size as f32).sqrt();
    Heads { batch, heads, group, queries, keys, size, out, causal, scale, bf16: false }
}

/// Tiny sizes, edges of registers and blocks, several blocks of keys, shared keys.
fn cases() -> Vec<Case> {
    let mut out = Vec::new();
    let shapes = [
        ([1, 1, 1], [1, 1], [1, 1]),
        ([2, 3, 1], [5, 7], [3, 2]),
        ([1, 2, 1], [33, 33], [16, 16]),
        ([2, 2, 1], [70, 70], [32, 32]),
        ([1, 4, 2], [40, 65], [20, 24]),
        ([1, 2, 2], [130, 300], [8, 33]),
        ([1, 1, 1], [600, 270], [64, 64]),
        ([1, 1, 1], [513, 513], [17, 17]),
    ];
    for (heads, rows, widths) in shapes {
        for causal in [false, true] {
            for masked in [Masked::No, Masked::Chosen, Masked::Added, Masked::Queries] {
                out.push(Case::new(sizes(heads, rows, widths, causal), masked));
            }
        }
    }
    out
}

fn close(what: &str, case: &Case, got: &[f32], want: &[f64]) {
    let size = want.iter().fold(1e-3f64, |m, x| m.max(x.abs()));
    // Near the middle of two numbers of bf16, digits beyond f32 decide; and where there are several
    // blocks of keys, exponentials are rounded before they shrink.
    let (most, mean) = if case.heads.bf16 { (4e-3, 4e-4) } else { (3e-6, 3e-6) };
    let off = got.iter().zip(want).map(|(&got, &want)| (f64::from(got) - want).abs()).sum::<f64>();
    assert!(off <= mean * size * want.len() as f64, "{what} of {:?}: {off}", case.heads);
    for (i, (&got, &want)) in got.iter().zip(want).enumerate() {
        let off = (f64::from(got) - want).abs();
        let (heads, masked) = (case.heads, case.masked);
        assert!(off <= most * size, "{what} {i} of {heads:?} {masked:?}: {got}, not {want}");
    }
}

#[test]
fn attention_is_the_formula() {
    let _alone = alone();
    isa::force(isa::best());
    for case in cases() {
        let (tape, grads) = case.run().unwrap();
        let (y, want) = case.naive();
        close("result", &case, &tape[..y.len()], &y);
        close("gradient", &case, &grads, &want);
    }
}

#[test]
fn bits_are_the_same_for_levels_and_threads() {
    let _alone = alone();
    let bits = |x: &[f32]| x.iter().map(|x| x.to_bits()).collect::<Vec<u32>>();
    for case in cases() {
        let mut first = None;
        for level in [Isa::Avx2, Isa::Avx512] {
            if !isa::force(level) {
                continue;
            }
            for threads in [1, 3] {
                pool::set_threads(threads);
                pool::set_split_all(threads > 1);
                let (tape, grads) = case.run().unwrap();
                let now = (bits(&tape), bits(&grads));
                let first = first.get_or_insert_with(|| now.clone());
                assert!(*first == now, "{:?} {:?} {level:?}", case.heads, case.masked);
            }
        }
    }
    pool::set_threads(1);
    pool::set_split_all(false);
    isa::force(isa::best());
}

#[test]
fn a_level_without_fused_instructions_agrees() {
    let _alone = alone();
    if isa::force(Isa::Generic) {
        for case in cases().iter().step_by(3) {
            let (tape, grads) = case.run().unwrap();
            let (y, want) = case.naive();
            close("result", case, &tape[..y.len()], &y);
            close("gradient", case, &grads, &want);
        }
    }
    isa::force(isa::best());
}

/// The cases again, with products of bf16.
fn halves() -> Vec<Case> {
    let half = |case: Case| Case { heads: Heads { bf16: true, ..case.heads }, ..case };
    cases().into_iter().map(half).collect()
}

#[test]
fn products_of_bf16_are_those_of_rounded_operands_for_any_number_of_threads() {
    let _alone = alone();
    let bits = |x: &[f32]| x.iter().map(|x| x.to_bits()).collect::<Vec<u32>>();
    let all =
        [(Isa::Avx512, true), (Isa::Avx512, false), (Isa::Avx2, false), (Isa::Generic, false)];
    for case in halves() {
        let (y, want) = case.naive();
        let mut wide = None;
        for (level, pairs) in all {
            if !isa::force(level) || isa::force_bf16_pairs(pairs) != pairs {
                continue;
            }
            let mut first = None;
            for threads in [1, 3] {
                pool::set_threads(threads);
                pool::set_split_all(threads > 1);
                let (tape, grads) = case.run().unwrap();
                close("result", &case, &tape[..y.len()], &y);
                close("gradient", &case, &grads, &want);
                let now = (bits(&tape), bits(&grads));
                assert!(*first.get_or_insert_with(|| now.clone()) == now, "{:?}", case.heads);
            }
            if !pairs && level != Isa::Generic {
                assert!(*wide.get_or_insert_with(|| first.clone()) == first, "{:?}", case.heads);
            }
        }
    }
    pool::set_threads(1);
    pool::set_split_all(false);
    isa::force(isa::best());
    isa::force_bf16_pairs(true);
}

#[test]
fn windows_that_do_not_fit_are_refused() {
    let _alone = alone();
    let heads = sizes([1, 2, 1], [4, 4], [3, 3], false);
    let case = Case::new(heads, Masked::No);
    let q = Case::operand(&case.q, 2, 4, 3);
    let mut tape = vec![0.0; heads.tape()];
    let short = Operand { mem: Mem::read(&case.k[1..]), ..q };
    let made = |k, tape: &mut [f32]| {
        forward(&Forward { heads, q, k, v: q, mask: None, tape: Mem::write(tape) })
    };
    assert!(matches!(made(short, &mut tape), Err(KernelError::Bounds(_))));
    assert!(matches!(made(q, &mut tape[1..]), Err(KernelError::Bounds(_))));
    assert_eq!(made(q, &mut tape), Ok(()));
}
