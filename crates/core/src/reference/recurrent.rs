//! Recurrent networks: forward and backward, one sample after the other.

use gradus_kernels::memory::KernelError;
use gradus_kernels::recurrent::{Cell, Walk};

use super::Result;
use super::values::{Values, elements, reals, round};
use crate::array::Array;
use crate::ops::{Meta, Precision, Steps};

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + libm::exp(-x))
}

/// The operands: gates, weight, first state, memory of an LSTM or bias of a GRU, lengths.
struct Given {
    walk: Walk,
    precision: Precision,
    gates: Vec<f64>,
    /// Rounded for the products, which nothing else reads.
    weight: Vec<f64>,
    h0: Vec<f64>,
    /// The first memory, or the bias.
    more: Vec<f64>,
    lengths: Option<Vec<i64>>,
}

impl Given {
    fn new(steps: Steps, ins: &[&Array]) -> Result<Given> {
        let wrong = KernelError::Bounds("the operands of a recurrence");
        let mut ins = ins.iter();
        let mut next = || ins.next().copied().ok_or(wrong.clone());
        let (gates, weight, h0) = (next()?, next()?, next()?);
        let walk = steps.walk(gates.shape());
        let more = match steps.cell {
            Cell::Lstm | Cell::Gru => reals(next()?)?,
            _ => Vec::new(),
        };
        let lengths = if steps.lengths { Some(elements::<i64>(next()?)?) } else { None };
        let (gates, mut weight, h0) = (reals(gates)?, reals(weight)?, reals(h0)?);
        let precision = steps.precision;
        for w in &mut weight {
            *w = round(precision, *w);
        }
        Ok(Given { walk, precision, gates, weight, h0, more, lengths })
    }

    fn counts(&self, sample: usize, t: usize) -> bool {
        self.lengths.as_ref().is_none_or(|l| l.get(sample).is_some_and(|&n| (t as i64) < n))
    }

    fn step(&self, i: usize) -> usize {
        if self.walk.reverse { self.walk.time - 1 - i } else { i }
    }

    /// What a state brings to gate number `j`.
    fn brought(&self, j: usize, h: &[f64]) -> f64 {
        let row = self.weight.chunks_exact(self.walk.hidden.max(1)).nth(j).unwrap_or(&[]);
        row.iter().zip(h).map(|(w, &h)| w * round(self.precision, h)).sum()
    }

    /// What the inputs bring to gate number `j` of a sample.
    fn x(&self, t: usize, sample: usize, j: usize) -> f64 {
        let width = self.walk.cell.gates() * self.walk.hidden;
        self.gates.get((t * self.walk.batch + sample) * width + j).copied().unwrap_or(f64::NAN)
    }
}

/// One unit after a step: its state, its memory, and what the backward pass wants to know.
#[derive(Clone, Copy, Default)]
struct Unit {
    h: f64,
    c: f64,
    kept: [f64; 4],
}

/// A unit of a sample after a step.
fn unit(g: &Given, t: usize, sample: usize, u: usize, before: &[Unit], h: &[f64]) -> Unit {
    let n = g.walk.hidden;
    let was = before.get(u).copied().unwrap_or_default();
    let own = |k: usize| g.brought(k * n + u, h);
    let a = |k: usize| g.x(t, sample, k * n + u) + own(k);
    match g.walk.cell {
        Cell::Tanh => Unit { h: libm::tanh(a(0)), ..Unit::default() },
        Cell::Relu => {
            let a = a(0);
            Unit { h: if a < 0.0 { 0.0 } else { a }, ..Unit::default() }
        }
        Cell::Lstm => {
            let kept = [sigmoid(a(0)), sigmoid(a(1)), libm::tanh(a(2)), sigmoid(a(3))];
            let c = kept[1] * was.c + kept[0] * kept[2];
            Unit { h: kept[3] * libm::tanh(c), c, kept }
        }
        Cell::Gru => {
            let own = |k: usize| own(k) + g.more.get(k * n + u).copied().unwrap_or(f64::NAN);
            let x = |k: usize| g.x(t, sample, k * n + u);
            let (r, z) = (sigmoid(x(0) + own(0)), sigmoid(x(1) + own(1)));
            let part = own(2);
            let new = libm::tanh(x(2) + r * part);
            Unit { h: new + z * (was.h - new), c: 0.0, kept: [r, z, new, part] }
        }
    }
}

/// All units of a sample before the first step, then after each step on the way.
fn way(g: &Given, sample: usize) -> Vec<Vec<Unit>> {
    let n = g.walk.hidden;
    let first = |u: usize| Unit {
        h: g.h0.get(sample * n + u).copied().unwrap_or(f64::NAN),
        c: if g.walk.cell == Cell::Lstm {
            g.more.get(sample * n + u).copied().unwrap_or(f64::NAN)
        } else {
            0.0
        },
        kept: [0.0; 4],
    };
    let mut all = vec![(0..n).map(first).collect::<Vec<Unit>>()];
    for i in 0..g.walk.time {
        let before = all.last().cloned().unwrap_or_default();
        let t = g.step(i);
        let next = if g.counts(sample, t) {
            let h: Vec<f64> = before.iter().map(|u| u.h).collect();
            (0..n).map(|u| unit(g, t, sample, u, &before, &h)).collect()
        } else {
            before.iter().map(|u| Unit { kept: [0.0; 4], ..*u }).collect()
        };
        all.push(next);
    }
    all
}

/// Writes one number; places are right by construction.
fn put(to: &mut [f64], at: usize, value: f64) {
    if let Some(x) = to.get_mut(at) {
        *x = value;
    }
}

/// The forward pass, in the layout of [`Walk::tape`].
pub(super) fn forward(steps: Steps, ins: &[&Array], out: Meta) -> Result<Array> {
    let g = Given::new(steps, ins)?;
    let walk = g.walk;
    let n = walk.hidden;
    let mut tape = vec![0.0; walk.tape()];
    for sample in 0..walk.batch {
        for (i, units) in way(&g, sample).iter().enumerate().skip(1) {
            let t = g.step(i - 1);
            for (u, unit) in units.iter().enumerate() {
                let at = (t * walk.batch + sample) * n + u;
                put(&mut tape, at, unit.h);
                if walk.cell == Cell::Lstm {
                    // The last one stays.
                    put(&mut tape, walk.states() + sample * n + u, unit.c);
                    put(&mut tape, walk.visible() + at, unit.c);
                }
                if matches!(walk.cell, Cell::Lstm | Cell::Gru) {
                    for (k, &x) in unit.kept.iter().enumerate() {
                        put(&mut tape, walk.kept_at(t, sample, k, u), x);
                    }
                }
            }
        }
    }
    Values::Real(tape).into_array(out)
}

/// The backward pass, in the layout of [`Walk::gradients`]; operands are the tape (which is not
/// looked at), the gradient of what is visible, and those of the forward pass.
pub(super) fn backward(steps: Steps, ins: &[&Array], out: Meta) -> Result<Array> {
    let [_, cotangent, rest @ ..] = ins else {
        return Err(KernelError::Bounds("the operands of a recurrence"));
    };
    let g = Given::new(steps, rest)?;
    let cotangent = reals(cotangent)?;
    let walk = g.walk;
    let (n, width) = (walk.hidden, walk.cell.gates() * walk.hidden);
    let given = |at: usize| cotangent.get(at).copied().unwrap_or(f64::NAN);
    let mut result = vec![0.0; walk.gradients()];
    for sample in 0..walk.batch {
        let way = way(&g, sample);
        let mut dh = vec![0.0; n];
        let mut dc: Vec<f64> =
            (0..n)
                .map(|u| {
                    if walk.cell == Cell::Lstm {
                        given(walk.states() + sample * n + u)
                    } else {
                        0.0
                    }
                })
                .collect();
        for (i, pair) in way.windows(2).enumerate().rev() {
            let [before, after] = pair else { continue };
            let t = g.step(i);
            let at = (t * walk.batch + sample) * n;
            for (u, d) in dh.iter_mut().enumerate() {
                *d += given(at + u);
            }
            if !g.counts(sample, t) {
                continue;
            }
            // Gradients of the gates, of what the state brings to them, and what goes on directly.
            let (mut gates, mut own) = (vec![0.0; width], vec![0.0; width]);
            let mut on = vec![0.0; n];
            for (u, (was, is)) in before.iter().zip(after).enumerate() {
                let d = dh.get(u).copied().unwrap_or(f64::NAN);
                let [k0, k1, k2, k3] = is.kept;
                let parts = match walk.cell {
                    Cell::Tanh => [d * (1.0 - is.h * is.h), 0.0, 0.0, 0.0],
                    Cell::Relu => [if is.h > 0.0 { d } else { 0.0 }, 0.0, 0.0, 0.0],
                    Cell::Lstm => {
                        let tanh = libm::tanh(is.c);
                        let memory = dc.get(u).copied().unwrap_or(f64::NAN);
                        let memory = memory + d * k3 * (1.0 - tanh * tanh);
                        put(&mut dc, u, memory * k1);
                        [
                            memory * k2 * k0 * (1.0 - k0),
                            memory * was.c * k1 * (1.0 - k1),
                            memory * k0 * (1.0 - k2 * k2),
                            d * tanh * k3 * (1.0 - k3),
                        ]
                    }
                    Cell::Gru => {
                        put(&mut on, u, d * k1);
                        let new = d * (1.0 - k1) * (1.0 - k2 * k2);
                        let reset = new * k3 * k0 * (1.0 - k0);
                        [reset, d * (was.h - k2) * k1 * (1.0 - k1), new, new * k0]
                    }
                };
                for (k, &part) in parts.iter().enumerate().take(walk.cell.gates()) {
                    put(&mut gates, k * n + u, part);
                    let last = walk.cell == Cell::Gru && k == 2;
                    put(&mut own, k * n + u, if last { parts[3] } else { part });
                }
            }
            let row = (t * walk.batch + sample) * width;
            for (j, (&a, &b)) in gates.iter().zip(&own).enumerate() {
                put(&mut result, row + j, a);
                if walk.cell == Cell::Gru {
                    put(&mut result, walk.gates() + walk.state() + row + j, b);
                }
            }
            for (row, &d) in g.weight.chunks_exact(n.max(1)).zip(&own) {
                let d = round(g.precision, d);
                for (x, &w) in on.iter_mut().zip(row) {
                    *x += w * d;
                }
            }
            dh = on;
        }
        for u in 0..n {
            let at = walk.gates() + sample * n + u;
            put(&mut result, at, dh.get(u).copied().unwrap_or(f64::NAN));
            if walk.cell == Cell::Lstm {
                put(&mut result, at + walk.state(), dc.get(u).copied().unwrap_or(f64::NAN));
            }
        }
    }
    Values::Real(result).into_array(out)
}
