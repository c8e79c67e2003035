//! The passes against formulas written out, and windows that do not fit.

use super::*;
use crate::memory::Mem;

fn numbers(len: usize, seed: u32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(1);
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as f32 / u32::MAX as f32 - 0.5
    };
    (0..len).map(|_| next()).collect()
}

fn tape(walk: Walk, lengths: Option<&[i64]>) -> Vec<f32> {
    let width = walk.cell.gates() * walk.hidden;
    let gates = numbers(walk.gates(), 1);
    let weight = numbers(width * walk.hidden, 2);
    let (h0, c0, bias) = (numbers(walk.state(), 3), numbers(walk.state(), 4), numbers(width, 5));
    let (mut tape, mut work) = (vec![f32::NAN; walk.tape()], vec![f32::NAN; walk.work()]);
    let args = Forward {
        walk,
        gates: Mem::read(&gates),
        weight: Mem::read(&weight),
        h0: Mem::read(&h0),
        c0: Some(Mem::read(&c0)),
        bias: Some(Mem::read(&bias)),
        lengths: lengths.map(Mem::read),
        tape: Mem::write(&mut tape),
        work: Mem::write(&mut work),
    };
    assert_eq!(forward(&args), Ok(()));
    tape
}

const LSTM: Walk =
    Walk { cell: Cell::Lstm, reverse: false, time: 3, batch: 21, hidden: 19, bf16: false };

#[test]
fn an_lstm_is_its_formula() {
    let walk = LSTM;
    let n = walk.hidden;
    let tape = tape(walk, None);
    let (gates, weight) = (numbers(walk.gates(), 1), numbers(4 * n * n, 2));
    let (mut h, mut c) = (numbers(walk.state(), 3), numbers(walk.state(), 4));
    for t in 0..walk.time {
        let (before, memory) = (h.clone(), c.clone());
        for (sample, unit) in (0..walk.batch).flat_map(|s| (0..n).map(move |u| (s, u))) {
            let a = |k: usize| {
                let row = &weight[(k * n + unit) * n..][..n];
                let own = &before[sample * n..][..n];
                let sum: f64 = row.iter().zip(own).map(|(w, h)| f64::from(w * h)).sum();
                sum + f64::from(gates[(t * walk.batch + sample) * 4 * n + k * n + unit])
            };
            let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
            let at = sample * n + unit;
            let next = sigmoid(a(1)) * f64::from(memory[at]) + sigmoid(a(0)) * a(2).tanh();
            c[at] = next as f32;
            h[at] = (sigmoid(a(3)) * next.tanh()) as f32;
            let made = tape[t * walk.state() + at];
            assert!((made - h[at]).abs() < 1e-5, "step {t}, {at}: {made}, not {}", h[at]);
        }
    }
    let last = &tape[walk.states()..][..walk.state()];
    assert!(last.iter().zip(&c).all(|(a, b)| (a - b).abs() < 1e-5));
}

#[test]
fn every_number_of_a_tape_is_written() {
    for cell in [Cell::Tanh, Cell::Relu, Cell::Lstm, Cell::Gru] {
        for reverse in [false, true] {
            let walk = Walk { cell, reverse, time: 3, batch: 5, hidden: 7, bf16: false };
            let width = cell.gates() * 7;
            // A GRU has a bias and a memory of other sizes than an LSTM, which are not looked at.
            let lengths = [0i64, 1, 2, 3, 9];
            let tape = tape(walk, Some(&lengths));
            assert!(tape.iter().all(|x| x.is_finite()), "{cell:?}");
            let g = numbers(walk.visible(), 6);
            let weight = numbers(width * 7, 2);
            let (h0, c0) = (numbers(walk.state(), 3), numbers(walk.state(), 4));
            let (mut out, mut work) =
                (vec![f32::NAN; walk.gradients()], vec![f32::NAN; walk.work()]);
            let args = Backward {
                walk,
                tape: Mem::read(&tape),
                g: Mem::read(&g),
                weight: Mem::read(&weight),
                h0: Mem::read(&h0),
                c0: Some(Mem::read(&c0)),
                lengths: Some(Mem::read(&lengths)),
                out: Mem::write(&mut out),
                work: Mem::write(&mut work),
            };
            assert_eq!(backward(&args), Ok(()));
            assert!(out.iter().all(|x| x.is_finite()), "{cell:?}");
            // A sample of no length hands the gradients of all its states to the first one.
            let sum: f32 = (0..3).map(|t| g[t * walk.state()]).sum();
            assert!((out[walk.gates()] - sum).abs() < 1e-6);
        }
    }
}

/// Tape and gradients of some samples of `[time, batch, ..]` operands.
fn of_samples(walk: Walk, samples: usize) -> (Vec<f32>, Vec<f32>) {
    let width = walk.cell.gates() * walk.hidden;
    let some = |all: Vec<f32>, row: usize| -> Vec<f32> {
        let of_step = |step: &[f32]| step[..samples * row].to_vec();
        all.chunks_exact(walk.batch * row).flat_map(of_step).collect()
    };
    let n = walk.hidden;
    let gates = some(numbers(walk.gates(), 1), width);
    let (h0, c0) = (some(numbers(walk.state(), 3), n), some(numbers(walk.state(), 4), n));
    let g = some(numbers(walk.visible(), 6), n);
    let (weight, bias) = (numbers(width * n, 2), numbers(width, 5));
    let walk = Walk { batch: samples, ..walk };
    let (mut tape, mut work) = (vec![f32::NAN; walk.tape()], vec![f32::NAN; walk.work()]);
    let args = Forward {
        walk,
        gates: Mem::read(&gates),
        weight: Mem::read(&weight),
        h0: Mem::read(&h0),
        c0: Some(Mem::read(&c0)),
        bias: Some(Mem::read(&bias)),
        lengths: None,
        tape: Mem::write(&mut tape),
        work: Mem::write(&mut work),
    };
    assert_eq!(forward(&args), Ok(()));
    let mut out = vec![f32::NAN; walk.gradients()];
    let args = Backward {
        walk,
        tape: Mem::read(&tape),
        g: Mem::read(&g),
        weight: Mem::read(&weight),
        h0: Mem::read(&h0),
        c0: Some(Mem::read(&c0)),
        lengths: None,
        out: Mem::write(&mut out),
        work: Mem::write(&mut work),
    };
    assert_eq!(backward(&args), Ok(()));
    (tape, out)
}

/// How the work is cut depends on the sizes, and which threads do it on nothing; the bits of a
/// sample on neither.
#[test]
fn cuts_change_no_bit() {
    let threads = crate::pool::threads();
    for cell in [Cell::Tanh, Cell::Relu, Cell::Lstm, Cell::Gru] {
        for (hidden, reverse, bf16) in
            [(33, false, false), (140, true, false), (33, true, true), (140, false, true)]
        {
            let walk = Walk { cell, reverse, time: 3, batch: 67, hidden, bf16 };
            crate::pool::set_threads(3);
            let (tape, out) = of_samples(walk, walk.batch);
            crate::pool::set_threads(1);
            assert_eq!(of_samples(walk, walk.batch), (tape.clone(), out.clone()), "{cell:?}");
            for samples in [1, 2, 9] {
                let (some, back) = of_samples(walk, samples);
                for t in 0..walk.time {
                    let len = samples * hidden;
                    assert_eq!(some[t * len..][..len], tape[t * walk.state()..][..len], "{cell:?}");
                    let (row, len) = (walk.gates() / walk.time, len * cell.gates());
                    assert_eq!(back[t * len..][..len], out[t * row..][..len], "{cell:?}");
                }
            }
        }
    }
    crate::pool::set_threads(threads);
}

#[test]
fn windows_are_checked() {
    let walk = LSTM;
    let gates = numbers(walk.gates(), 1);
    let weight = numbers(4 * 19 * 19, 2);
    let state = numbers(walk.state(), 3);
    let (mut to, mut work) = (vec![0.0f32; walk.tape()], vec![0.0f32; walk.work()]);
    let good = Forward {
        walk,
        gates: Mem::read(&gates),
        weight: Mem::read(&weight),
        h0: Mem::read(&state),
        c0: Some(Mem::read(&state)),
        bias: None,
        lengths: None,
        tape: Mem::write(&mut to),
        work: Mem::write(&mut work),
    };
    assert_eq!(forward(&good), Ok(()));
    assert!(forward(&Forward { c0: None, ..good }).is_err());
    assert!(forward(&Forward { gates: good.weight, ..good }).is_err());
    assert!(forward(&Forward { work: good.tape, ..good }).is_err());
    assert!(forward(&Forward { tape: Mem::read(&gates), ..good }).is_err());
    assert!(forward(&Forward { lengths: Some(Mem::read(&[1i64, 2])), ..good }).is_err());
    assert!(forward(&Forward { lengths: Some(Mem::read(&state)), ..good }).is_err());
}
