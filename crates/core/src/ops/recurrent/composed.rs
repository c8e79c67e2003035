//! The recurrence in other operations, one time step after the other.

use super::{Cell, Fitted, States};
use crate::tensor::{Tensor, operand};

/// Gate `i` of each row.
#[track_caller]
fn gate(x: &Tensor, i: usize, hidden: usize) -> Tensor {
    x.narrow(-1, i * hidden, hidden)
}

/// Runs it.
#[track_caller]
pub(super) fn run(f: &Fitted<'_>) -> States {
    let options = &f.options;
    let (hidden, shape) = (f.hidden, f.gates.peek().shape);
    let state = f.weight.peek().shape.last(0);
    let place = std::panic::Location::caller();
    let start = |given: Option<&Tensor>, size: usize| match given {
        Some(t) => t.clone(),
        None => operand::cast_to(&Tensor::zeros([shape.dim(1), size]), f.gates.peek().dtype, place),
    };
    let mut h = start(options.h0, state);
    let mut c = start(options.c0, hidden);
    let weight = f.weight.t();
    let mut outputs = Vec::with_capacity(f.time);
    for step in 0..f.time {
        let t = if options.reverse { f.time - 1 - step } else { step };
        let x = f.gates.select(0, t as isize);
        let (next, memory) = match options.cell {
            Cell::Tanh => ((x + h.matmul(&weight)).tanh(), None),
            Cell::Relu => ((x + h.matmul(&weight)).relu(), None),
            Cell::Lstm => {
                let a = x + h.matmul(&weight);
                let [i, f, g, o] = [0, 1, 2, 3].map(|i| gate(&a, i, hidden));
                let memory = f.sigmoid() * &c + i.sigmoid() * g.tanh();
                (o.sigmoid() * memory.tanh(), Some(memory))
            }
            Cell::Gru => {
                let mut a = h.matmul(&weight);
                if let Some(bias) = options.bias {
                    a = a + bias;
                }
                let sum = |i: usize| gate(&x, i, hidden) + gate(&a, i, hidden);
                let (r, z) = (sum(0).sigmoid(), sum(1).sigmoid());
                let n = (gate(&x, 2, hidden) + r * gate(&a, 2, hidden)).tanh();
                (&n + z * (&h - &n), None)
            }
        };
        let next = match options.projection {
            Some(projection) => next.matmul(projection.t()),
            None => next,
        };
        match options.lengths {
            None => {
                outputs.push(next.clone());
                (h, c) = (next, memory.unwrap_or(c));
            }
            Some(lengths) => {
                let counts = lengths.gt(t as i64).unsqueeze(-1);
                outputs.push(counts.where_(&next, 0.0));
                h = counts.where_(&next, &h);
                if let Some(memory) = memory {
                    c = counts.where_(&memory, &c);
                }
            }
        }
    }
    if options.reverse {
        outputs.reverse();
    }
    let all: Vec<&Tensor> = outputs.iter().collect();
    let output = Tensor::stack(&all, 0);
    States { output, h, c: (options.cell == Cell::Lstm).then_some(c) }
}
