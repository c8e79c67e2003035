//! Rows of recurrent networks, and of the loss of sequences without an alignment.

use super::arrays::{exact, ids, unit};
use super::{ErrorCase, Gradient, Kind, OpRow, Sample, fails};
use crate::array::Array;
use crate::ops::loss::{Ctc, Reduction};
use crate::ops::{Cell, Recurrence, States};
use crate::tensor::Tensor;

pub(super) fn rows() -> Vec<OpRow> {
    vec![
        OpRow {
            name: "recurrence",
            signature: "gates.recurrence(&weight, Recurrence::default())",
            formula: "h[t] = tanh(gates[t] + W h[t-1]), or an LSTM, or a GRU",
            kind: Kind::Product,
            pytorch: "torch.nn.LSTM",
            onnx: Some("LSTM"),
            gradient: Gradient::Yes,
            samples,
            errors,
        },
        OpRow {
            name: "ctc_loss",
            signature: "x.ctc_loss(&targets, &input_lengths, &target_lengths)",
            formula: "-ln of the sum over alignments of e^(sum over time of x[t, label])",
            kind: Kind::Loss,
            pytorch: "torch.nn.functional.ctc_loss",
            onnx: None,
            gradient: Gradient::Yes,
            samples: ctc,
            errors: ctc_errors,
        },
    ]
}

/// All that comes out, one after the other.
fn all(states: &States) -> Tensor {
    let mut parts = vec![states.output.flatten(0), states.h.flatten(0)];
    parts.extend(states.c.as_ref().map(|c| c.flatten(0)));
    Tensor::concat(&parts.iter().collect::<Vec<_>>(), 0)
}

const fn of(cell: Cell) -> Recurrence<'static> {
    Recurrence {
        cell,
        reverse: false,
        lengths: None,
        h0: None,
        c0: None,
        bias: None,
        projection: None,
    }
}

/// Gates of a sequence, the weight, and a state to begin with.
fn sequence([time, batch, hidden]: [usize; 3], cell: Cell) -> Vec<Array> {
    let gates = cell.gates() * hidden;
    let signed = |shape: &[usize], seed: u64| {
        let array = unit(shape, seed);
        let shifted = array.to_f64().into_iter().map(|v| 1.3 * v as f32 - 0.6).collect::<Vec<_>>();
        Array::new(array.shape(), &shifted).unwrap_or(array)
    };
    vec![
        signed(&[time, batch, gates], 1),
        signed(&[gates, hidden], 2),
        signed(&[batch, hidden], 3),
        signed(&[batch, hidden], 4),
        signed(&[gates], 5),
    ]
}

fn samples() -> Vec<Sample> {
    // Of gates, weight, state, memory, bias: those that a sample uses.
    let some = |sizes, cell, which: &[usize]| {
        let all = sequence(sizes, cell);
        which.iter().filter_map(|&i| all.get(i).cloned()).collect::<Vec<_>>()
    };
    let plain = |cell| some([3, 2, 4], cell, &[0, 1]);
    let with = |mut operands: Vec<Array>, last: Array| {
        operands.push(last);
        operands
    };
    let projected = || {
        let gates = sequence([3, 2, 3], Cell::Lstm).into_iter().next();
        let rest = [unit(&[12, 2], 6), unit(&[2, 2], 7), unit(&[2, 3], 8)];
        gates.into_iter().chain(rest).collect::<Vec<_>>()
    };
    vec![
        Sample::new("tanh", plain(Cell::Tanh), |v| all(&v[0].recurrence(&v[1], of(Cell::Tanh)))),
        Sample::new("relu, in reverse", plain(Cell::Relu), |v| {
            all(&v[0].recurrence(&v[1], Recurrence { reverse: true, ..of(Cell::Relu) }))
        }),
        Sample::new("tanh, a state", some([2, 3, 5], Cell::Tanh, &[0, 1, 2]), |v| {
            all(&v[0].recurrence(&v[1], Recurrence { h0: Some(&v[2]), ..of(Cell::Tanh) }))
        }),
        Sample::new(
            "relu, lengths",
            with(some([3, 2, 3], Cell::Relu, &[0, 1, 2]), exact(&[2i64, 3])),
            |v| {
                let (h0, lengths) = (Some(&v[2]), Some(&v[3]));
                all(&v[0].recurrence(&v[1], Recurrence { h0, lengths, ..of(Cell::Relu) }))
            },
        ),
        Sample::new("LSTM", plain(Cell::Lstm), |v| all(&v[0].recurrence(&v[1], of(Cell::Lstm)))),
        Sample::new("LSTM, wide", some([2, 5, 17], Cell::Lstm, &[0, 1, 2, 3]), |v| {
            let (h0, c0) = (Some(&v[2]), Some(&v[3]));
            v[0].recurrence(&v[1], Recurrence { h0, c0, ..of(Cell::Lstm) }).output
        }),
        Sample::new("LSTM, one step", some([1, 2, 3], Cell::Lstm, &[0, 1, 2, 3]), |v| {
            let (h0, c0) = (Some(&v[2]), Some(&v[3]));
            all(&v[0].recurrence(&v[1], Recurrence { h0, c0, ..of(Cell::Lstm) }))
        }),
        Sample::new(
            "LSTM, lengths, in reverse",
            with(some([4, 3, 2], Cell::Lstm, &[0, 1, 2, 3]), exact(&[4i64, 1, 3])),
            |v| {
                let (h0, c0, lengths) = (Some(&v[2]), Some(&v[3]), Some(&v[4]));
                let options = Recurrence { h0, c0, lengths, reverse: true, ..of(Cell::Lstm) };
                all(&v[0].recurrence(&v[1], options))
            },
        ),
        Sample::new(
            "LSTM, lengths, only the memory",
            with(some([4, 3, 2], Cell::Lstm, &[0, 1, 3]), exact(&[0i64, 1, 3])),
            |v| {
                let (c0, lengths) = (Some(&v[2]), Some(&v[3]));
                let states = v[0].recurrence(&v[1], Recurrence { c0, lengths, ..of(Cell::Lstm) });
                states.c.unwrap_or(states.h)
            },
        ),
        Sample::new("LSTM, projected", projected(), |v| {
            let options = Recurrence { projection: Some(&v[3]), h0: Some(&v[2]), ..of(Cell::Lstm) };
            all(&v[0].recurrence(&v[1], options))
        }),
        Sample::new("GRU", plain(Cell::Gru), |v| all(&v[0].recurrence(&v[1], of(Cell::Gru)))),
        Sample::new("GRU, a bias, in reverse", some([3, 2, 3], Cell::Gru, &[0, 1, 2, 4]), |v| {
            let (h0, bias) = (Some(&v[2]), Some(&v[3]));
            all(&v[0].recurrence(&v[1], Recurrence { h0, bias, reverse: true, ..of(Cell::Gru) }))
        }),
        Sample::new(
            "GRU, lengths",
            with(some([4, 3, 2], Cell::Gru, &[0, 1, 2, 4]), exact(&[0i64, 4, 2])),
            |v| {
                let (h0, bias, lengths) = (Some(&v[2]), Some(&v[3]), Some(&v[4]));
                all(&v[0].recurrence(&v[1], Recurrence { h0, bias, lengths, ..of(Cell::Gru) }))
            },
        ),
        Sample::new("no samples", some([2, 0, 3], Cell::Lstm, &[0, 1]), |v| {
            all(&v[0].recurrence(&v[1], of(Cell::Lstm)))
        })
        .kinks(),
    ]
}

fn errors() -> Vec<ErrorCase> {
    vec![
        fails!("no time", Shape, "recurrence: the gates are [0, 2, 3]", {
            Tensor::zeros([0, 2, 3]).recurrence(Tensor::zeros([3, 3]), of(Cell::Tanh)).h
        }),
        fails!("gates of another cell", Shape, "recurrence: the gates are [1, 2, 6]", {
            Tensor::zeros([1, 2, 6]).recurrence(Tensor::zeros([6, 2]), of(Cell::Lstm)).h
        }),
        fails!("another weight", Shape, "recurrence: the weight is [3, 2]", {
            Tensor::zeros([1, 2, 3]).recurrence(Tensor::zeros([3, 2]), of(Cell::Tanh)).output
        }),
        fails!("another state", Shape, "recurrence: `h0` is [1, 3], not [2, 3]", {
            let h0 = Tensor::zeros([1, 3]);
            let options = Recurrence { h0: Some(&h0), ..of(Cell::Tanh) };
            Tensor::zeros([1, 2, 3]).recurrence(Tensor::zeros([3, 3]), options).output
        }),
        fails!("a memory", Argument, "recurrence: a cell Gru has no `c0`", {
            let c0 = Tensor::zeros([2, 1]);
            let options = Recurrence { c0: Some(&c0), ..of(Cell::Gru) };
            Tensor::zeros([1, 2, 3]).recurrence(Tensor::zeros([3, 1]), options).output
        }),
        fails!("lengths that are no numbers", DType, "recurrence: lengths are i64, not f32", {
            let lengths = Tensor::zeros([2]);
            let options = Recurrence { lengths: Some(&lengths), ..of(Cell::Tanh) };
            Tensor::zeros([1, 2, 3]).recurrence(Tensor::zeros([3, 3]), options).output
        }),
        fails!("of integers", DType, "recurrence: takes f32 or f64, not i64", {
            Tensor::from([[[1]]]).recurrence(Tensor::zeros([1, 1]), of(Cell::Tanh)).output
        }),
    ]
}

fn ctc() -> Vec<Sample> {
    let all = |time: usize, targets: Array, inputs: &[i64], lengths: &[i64]| {
        vec![unit(&[time, inputs.len(), 4], 1), targets, exact(inputs), exact(lengths)]
    };
    let table = |shape: [usize; 2], ids: &[i64]| Array::new(shape, ids).unwrap_or(exact(ids));
    vec![
        Sample::new("a batch", all(6, table([2, 2], &[1, 2, 3, 3]), &[6, 5], &[2, 2]), |v| {
            v[0].ctc_loss(&v[1], &v[2], &v[3])
        }),
        Sample::new(
            "one after the other, each sample",
            all(5, exact(&[1i64, 2, 1, 3]), &[5, 3, 4], &[1, 3, 0]),
            |v| {
                let options = Ctc { reduction: Reduction::None, ..Ctc::default() };
                v[0].ctc_loss_with(&v[1], &v[2], &v[3], options)
            },
        ),
        Sample::new("another blank", all(5, ids(&[2, 3], 3, 2), &[5, 5], &[1, 3]), |v| {
            let options = Ctc { blank: 3, reduction: Reduction::Sum, zero_infinity: true };
            v[0].log_softmax(-1).ctc_loss_with(&v[1], &v[2], &v[3], options)
        }),
        Sample::new(
            "too long, to be 0",
            all(3, table([2, 2], &[1, 1, 1, 2]), &[2, 3], &[2, 2]),
            |v| {
                let options = Ctc { zero_infinity: true, ..Ctc::default() };
                v[0].ctc_loss_with(&v[1], &v[2], &v[3], options)
            },
        ),
        Sample::new("no labels", all(3, table([1, 0], &[]), &[3], &[0]), |v| {
            v[0].ctc_loss(&v[1], &v[2], &v[3])
        }),
        Sample::new(
            "no batch",
            vec![unit(&[4, 3], 1), exact(&[2i64, 1]), exact(&[4i64]), exact(&[2i64])],
            |v| v[0].ctc_loss(&v[1], &v[2], &v[3]),
        ),
        Sample::new("too long, infinite", all(2, table([1, 2], &[1, 1]), &[2], &[2]), |v| {
            v[0].ctc_loss(&v[1], &v[2], &v[3])
        })
        .kinks(),
    ]
}

fn ctc_errors() -> Vec<ErrorCase> {
    vec![
        fails!("no such blank", Argument, "ctc_loss: `blank` is 3, of 3 classes", {
            let one = Tensor::from([1]);
            let options = Ctc { blank: 3, ..Ctc::default() };
            Tensor::zeros([2, 1, 3]).ctc_loss_with(&Tensor::from([[1]]), &one, &one, options)
        }),
        fails!("another batch", Shape, "ctc_loss: input_lengths are [1], for a batch of 2", {
            let one = Tensor::from([1]);
            Tensor::zeros([2, 2, 3]).ctc_loss(&Tensor::from([[1], [1]]), &one, &one)
        }),
        fails!("labels and lengths", Shape, "ctc_loss: 3 labels, for target lengths [1, 1]", {
            let one = Tensor::from([1, 1]);
            Tensor::zeros([2, 2, 3]).ctc_loss(&Tensor::from([1, 2, 1]), &one, &one)
        }),
        fails!("no such class", Index, "", {
            let one = Tensor::from([1]);
            Tensor::zeros([2, 1, 3]).ctc_loss(&Tensor::from([[7]]), &one, &one)
        }),
    ]
}
