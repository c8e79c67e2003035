//! Recurrent layers and cells.

use super::Made;
use crate::harness::{Arg, Call, Out};
use gradus::Tensor;
use gradus::nn::{Gru, GruCell, Lstm, LstmCell, Rnn, RnnCell};

/// PyTorch's options, as methods of the layer.
macro_rules! options {
    ($layer:expr, $c:expr) => {{
        let (mut layer, c): (_, &Call) = ($layer, $c);
        if !matches!(c.get(2, "num_layers"), Arg::None) {
            layer = layer.num_layers(c.get(2, "num_layers").size()?);
        }
        if matches!(c.named("bias"), Arg::Truth(false)) {
            layer = layer.no_bias();
        }
        if matches!(c.named("bidirectional"), Arg::Truth(true)) {
            layer = layer.bidirectional();
        }
        if !c.named("dropout").is_none() {
            layer = layer.dropout(c.named("dropout").real()?);
        }
        layer.batch_first(matches!(c.named("batch_first"), Arg::Truth(true)))
    }};
}

/// A layer of this family.
pub(super) fn make(name: &str, c: &Call) -> Result<Option<Made>, String> {
    if !matches!(name, "RNN" | "LSTM" | "GRU" | "RNNCell" | "LSTMCell" | "GRUCell") {
        return Ok(None);
    }
    let sizes = (c.get(0, "input_size").size()?, c.get(1, "hidden_size").size()?);
    let relu = || matches!(c.named("nonlinearity"), Arg::Text(how) if how == "relu");
    let bias = || !matches!(c.named("bias"), Arg::Truth(false));
    Ok(match name {
        "RNN" => {
            let layer = options!(Rnn::new(sizes.0, sizes.1), c);
            Made::with(if relu() { layer.relu() } else { layer }, |layer, call| {
                let (y, h) = match one_state(call)? {
                    Some(h0) => layer.forward_from(&call.x()?, &h0),
                    None => layer.forward(&call.x()?),
                };
                Ok(vec![y, h])
            })
        }
        "GRU" => Made::with(options!(Gru::new(sizes.0, sizes.1), c), |layer, call| {
            let (y, h) = match one_state(call)? {
                Some(h0) => layer.forward_from(&call.x()?, &h0),
                None => layer.forward(&call.x()?),
            };
            Ok(vec![y, h])
        }),
        "LSTM" => {
            let mut layer = options!(Lstm::new(sizes.0, sizes.1), c);
            if !matches!(c.named("proj_size"), Arg::None | Arg::Integer(0)) {
                layer = layer.proj_size(c.named("proj_size").size()?);
            }
            Made::with(layer, |layer, call| {
                let (y, (h, c)) = match two_states(call)? {
                    Some((h0, c0)) => layer.forward_from(&call.x()?, (&h0, &c0)),
                    None => layer.forward(&call.x()?),
                };
                Ok(vec![y, h, c])
            })
        }
        "RNNCell" => {
            let cell = RnnCell::new(sizes.0, sizes.1);
            let cell = if bias() { cell } else { cell.no_bias() };
            Made::with(if relu() { cell.relu() } else { cell }, |cell, call| {
                Ok(vec![cell.forward(&call.x()?, one_state(call)?.as_ref())])
            })
        }
        "GRUCell" => {
            let cell = GruCell::new(sizes.0, sizes.1);
            Made::with(if bias() { cell } else { cell.no_bias() }, |cell, call| {
                Ok(vec![cell.forward(&call.x()?, one_state(call)?.as_ref())])
            })
        }
        _ => {
            let cell = LstmCell::new(sizes.0, sizes.1);
            Made::with(if bias() { cell } else { cell.no_bias() }, |cell, call| -> Out {
                let state = two_states(call)?;
                let state = state.as_ref().map(|(h, c)| (h, c));
                let (h, c) = cell.forward(&call.x()?, state);
                Ok(vec![h, c])
            })
        }
    })
}

fn one_state(call: &Call) -> Result<Option<Tensor>, String> {
    match call.get(0, "hx") {
        Arg::None => Ok(None),
        h0 => h0.tensor().map(Some),
    }
}

fn two_states(call: &Call) -> Result<Option<(Tensor, Tensor)>, String> {
    match call.get(0, "hx") {
        Arg::None => Ok(None),
        Arg::List(pair) => match pair.as_slice() {
            [h0, c0] => Ok(Some((h0.tensor()?, c0.tensor()?))),
            _ => Err("a state that is no pair".into()),
        },
        _ => Err("a state that is no pair".into()),
    }
}
