//! Rows of recurrent layers and cells.

use gradus_core::{Array, Error, Result, Tensor};

use super::samples::floats;
use super::{Built, ErrorCase, Group, LayerRow, Sample, fails};
use crate::{Gru, GruCell, Lstm, LstmCell, Rnn, RnnCell};

const PARAMETERS: &str = "of layer k: weight_ih_lk [gates * hidden, input], weight_hh_lk [gates * \
                          hidden, hidden], bias_ih_lk, bias_hh_lk [gates * hidden]; _reverse";
const OF_CELLS: &str = "weight_ih [gates * hidden, input], weight_hh [gates * hidden, hidden], \
                        bias_ih, bias_hh [gates * hidden]";

pub(super) fn rows() -> Vec<LayerRow> {
    vec![
        LayerRow {
            name: "Rnn",
            signature: "Rnn::new(input_size, hidden_size).num_layers(n).bidirectional().relu()",
            computes: "h[t] = tanh(W_ih x[t] + W_hh h[t-1] + b): [time, batch, input_size] -> \
                       [time, batch, hidden_size], and the last states",
            parameters: PARAMETERS,
            group: Group::Recurrent,
            pytorch: "torch.nn.RNN",
            samples: rnn,
            errors: || {
                vec![
                    fails!("another width", Shape, "Rnn: takes [time, batch, 3]", {
                        Rnn::new(3, 2).forward(&Tensor::zeros([4, 2, 5])).0
                    }),
                    fails!("no units", Argument, "Rnn: sizes must be at least 1", {
                        Rnn::new(3, 0).forward(&Tensor::zeros([4, 2, 3])).1
                    }),
                    fails!("too many lengths", Shape, "Rnn: 3 lengths up to 4", {
                        let x = Tensor::zeros([4, 2, 3]);
                        Rnn::new(3, 2).forward_packed(&x, &[4, 1, 1], None).0
                    }),
                ]
            },
        },
        LayerRow {
            name: "Lstm",
            signature: "Lstm::new(input_size, hidden_size).num_layers(n).bidirectional().proj_size(p)",
            computes: "c[t] = f c[t-1] + i g, h[t] = o tanh(c[t]): [time, batch, input_size] -> \
                       [time, batch, hidden_size], and the last states (h, c)",
            parameters: PARAMETERS,
            group: Group::Recurrent,
            pytorch: "torch.nn.LSTM",
            samples: lstm,
            errors: lstm_errors,
        },
        LayerRow {
            name: "Gru",
            signature: "Gru::new(input_size, hidden_size).num_layers(n).bidirectional()",
            computes: "h[t] = (1 - z) n + z h[t-1]: [time, batch, input_size] -> [time, batch, \
                       hidden_size], and the last states",
            parameters: PARAMETERS,
            group: Group::Recurrent,
            pytorch: "torch.nn.GRU",
            samples: gru,
            errors: || {
                vec![fails!("a dropout of 2", Argument, "Gru: `dropout` must be in 0 to 1", {
                    Gru::new(3, 2).dropout(2.0).forward(&Tensor::zeros([4, 2, 3])).0
                })]
            },
        },
        LayerRow {
            name: "RnnCell",
            signature: "RnnCell::new(input_size, hidden_size).no_bias().relu()",
            computes: "tanh(W_ih x + W_hh h + b): [batch, input_size], [batch, hidden_size] -> \
                       [batch, hidden_size]",
            parameters: OF_CELLS,
            group: Group::Recurrent,
            pytorch: "torch.nn.RNNCell",
            samples: || {
                vec![
                    Sample::new(
                        "a step",
                        || Built::with(RnnCell::new(3, 2), |cell, v| cell.forward(&v[0], v.get(1))),
                        || Ok(vec![floats([4, 3], 1)?, floats([4, 2], 2)?]),
                    ),
                    Sample::new(
                        "relu, from zeros",
                        || {
                            Built::with(RnnCell::new(3, 2).relu(), |cell, v| {
                                cell.forward(&v[0], None)
                            })
                        },
                        || Ok(vec![floats([4, 3], 1)?]),
                    )
                    .kinks(),
                ]
            },
            errors: || {
                vec![fails!("another state", Shape, "RnnCell: a state is [4, 3], not [4, 2]", {
                    RnnCell::new(3, 2).forward(&Tensor::zeros([4, 3]), Some(&Tensor::zeros([4, 3])))
                })]
            },
        },
        LayerRow {
            name: "LstmCell",
            signature: "LstmCell::new(input_size, hidden_size).no_bias()",
            computes: "one step of an LSTM: [batch, input_size], (h, c) -> (h, c)",
            parameters: OF_CELLS,
            group: Group::Recurrent,
            pytorch: "torch.nn.LSTMCell",
            samples: || {
                vec![Sample::new(
                    "a step",
                    || {
                        Built::with(LstmCell::new(3, 2), |cell, v| {
                            let (h, c) = cell.forward(&v[0], Some((&v[1], &v[2])));
                            Tensor::concat(&[&h, &c], 0)
                        })
                    },
                    || Ok(vec![floats([4, 3], 1)?, floats([4, 2], 2)?, floats([4, 2], 3)?]),
                )]
            },
            errors: || {
                vec![fails!("another width", Shape, "LstmCell: takes [batch, 3] or [3]", {
                    LstmCell::new(3, 2).forward(&Tensor::zeros([4, 2]), None).0
                })]
            },
        },
        LayerRow {
            name: "GruCell",
            signature: "GruCell::new(input_size, hidden_size).no_bias()",
            computes: "one step of a GRU: [batch, input_size], [batch, hidden_size] -> [batch, \
                       hidden_size]",
            parameters: OF_CELLS,
            group: Group::Recurrent,
            pytorch: "torch.nn.GRUCell",
            samples: || {
                vec![Sample::new(
                    "a step without a batch",
                    || Built::with(GruCell::new(3, 2), |cell, v| cell.forward(&v[0], v.get(1))),
                    || Ok(vec![floats([3], 1)?, floats([2], 2)?]),
                )]
            },
            errors: || {
                vec![fails!("no inputs", Argument, "GruCell: sizes must be at least 1", {
                    GruCell::new(0, 2).forward(&Tensor::zeros([4, 0]), None)
                })]
            },
        },
    ]
}

/// All results, one after the other.
fn all(parts: &[&Tensor]) -> Tensor {
    let flat: Vec<Tensor> = parts.iter().map(|t| t.flatten(0)).collect();
    Tensor::concat(&flat.iter().collect::<Vec<_>>(), 0)
}

fn missing() -> Tensor {
    Tensor::failed(Error::internal("a sample without inputs"))
}

fn sequence() -> Result<Vec<Array>> {
    Ok(vec![floats([3, 2, 3], 1)?])
}

fn rnn() -> Vec<Sample> {
    vec![
        Sample::new(
            "two layers, both directions",
            || {
                Built::with(Rnn::new(3, 2).num_layers(2).bidirectional(), |layer, v| {
                    let (y, h) = layer.forward(&v[0]);
                    all(&[&y, &h])
                })
            },
            sequence,
        ),
        Sample::new(
            "a state, batch first",
            || {
                Built::with(Rnn::new(3, 2).batch_first(true).no_bias(), |layer, v| {
                    let (y, h) = layer.forward_from(&v[0], &v[1]);
                    all(&[&y, &h])
                })
            },
            || Ok(vec![floats([2, 3, 3], 1)?, floats([1, 2, 2], 2)?]),
        ),
        Sample::new(
            "relu, without a batch",
            || {
                Built::with(Rnn::new(3, 4).relu(), |layer, v| match v.first() {
                    Some(x) => layer.forward(x).0,
                    None => missing(),
                })
            },
            || Ok(vec![floats([4, 3], 1)?]),
        )
        .kinks(),
    ]
}

fn lstm() -> Vec<Sample> {
    vec![
        Sample::new(
            "one layer",
            || {
                Built::with(Lstm::new(3, 2), |layer, v| {
                    let (y, (h, c)) = layer.forward(&v[0]);
                    all(&[&y, &h, &c])
                })
            },
            sequence,
        ),
        Sample::new(
            "lengths, states, two layers, both directions",
            || {
                Built::with(Lstm::new(3, 2).num_layers(2).bidirectional(), |layer, v| {
                    let state = Some((&v[1], &v[2]));
                    let (y, (h, c)) = layer.forward_packed(&v[0], &[1, 3], state);
                    all(&[&y, &h, &c])
                })
            },
            || Ok(vec![floats([3, 2, 3], 1)?, floats([4, 2, 2], 2)?, floats([4, 2, 2], 3)?]),
        ),
        Sample::new(
            "a projection, dropout",
            || {
                Built::with(Lstm::new(3, 4).proj_size(2).num_layers(2).dropout(0.3), |layer, v| {
                    let (y, (h, c)) = layer.forward(&v[0]);
                    all(&[&y, &h, &c])
                })
            },
            sequence,
        ),
        Sample::new(
            "without a batch, with states",
            || {
                Built::with(Lstm::new(3, 2), |layer, v| {
                    let (y, (h, c)) = layer.forward_from(&v[0], (&v[1], &v[2]));
                    all(&[&y, &h, &c])
                })
            },
            || Ok(vec![floats([3, 3], 1)?, floats([1, 2], 2)?, floats([1, 2], 3)?]),
        ),
    ]
}

fn lstm_errors() -> Vec<ErrorCase> {
    vec![
        fails!("a large projection", Argument, "Lstm: `proj_size` must be below 2, not 2", {
            Lstm::new(3, 2).proj_size(2).forward(&Tensor::zeros([4, 2, 3])).0
        }),
        fails!("a long sequence", Shape, "Lstm: 2 lengths up to 5", {
            Lstm::new(3, 2).forward_packed(&Tensor::zeros([4, 2, 3]), &[4, 5], None).0
        }),
        fails!("another state", Shape, "Lstm: `c0` is [1, 2, 3], not [1, 2, 2]", {
            let (h, c) = (Tensor::zeros([1, 2, 2]), Tensor::zeros([1, 2, 3]));
            Lstm::new(3, 2).forward_from(&Tensor::zeros([4, 2, 3]), (&h, &c)).0
        }),
    ]
}

fn gru() -> Vec<Sample> {
    vec![
        Sample::new(
            "two layers",
            || {
                Built::with(Gru::new(3, 2).num_layers(2), |layer, v| {
                    let (y, h) = layer.forward(&v[0]);
                    all(&[&y, &h])
                })
            },
            sequence,
        ),
        Sample::new(
            "lengths, both directions, no bias",
            || {
                Built::with(Gru::new(3, 2).bidirectional().no_bias(), |layer, v| {
                    let (y, h) = layer.forward_packed(&v[0], &[2, 3], v.get(1));
                    all(&[&y, &h])
                })
            },
            || Ok(vec![floats([3, 2, 3], 1)?, floats([2, 2, 2], 2)?]),
        ),
    ]
}
