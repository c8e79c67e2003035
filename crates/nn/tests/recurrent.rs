//! Recurrent layers over time: padding changes nothing, and cells are layers step by step.

#![allow(clippy::unwrap_used, clippy::panic)]

use gradus_core::{Rng, Tensor};
use gradus_nn::{Gru, Lstm, LstmCell, ModuleExt};

fn close(a: &Tensor, b: &Tensor, what: &str) {
    let (a, b) = (a.to_array().unwrap(), b.to_array().unwrap());
    assert_eq!(a.shape(), b.shape(), "{what}");
    let apart = a.to_f64().iter().zip(b.to_f64()).map(|(x, y)| (x - y).abs()).fold(0.0, f64::max);
    assert!(apart < 1e-6, "{what}: {apart:e} apart");
}

#[test]
fn a_padded_sequence_gives_what_it_gives_alone() {
    let lstm = Lstm::new(3, 4).num_layers(2).bidirectional();
    let gru = Gru::new(3, 4).num_layers(2).bidirectional();
    let x = Rng::new(3).uniform([6, 3, 3], -1.0, 1.0).unwrap();
    let x = Tensor::from(&x);
    let (h0, c0) =
        (Rng::new(4).uniform([4, 3, 4], -1.0, 1.0), Rng::new(5).uniform([4, 3, 4], -1.0, 1.0));
    let (h0, c0) = (Tensor::from(h0.unwrap()), Tensor::from(c0.unwrap()));
    let lengths = [4, 6, 1];
    let (y, (h, c)) = lstm.forward_packed(&x, &lengths, Some((&h0, &c0)));
    let (z, k) = gru.forward_packed(&x, &lengths, Some(&h0));
    for (i, &n) in lengths.iter().enumerate() {
        let own = |t: &Tensor| t.narrow(1, i, 1);
        let alone = own(&x).narrow(0, 0, n);
        let (y1, (h1, c1)) = lstm.forward_from(&alone, (&own(&h0), &own(&c0)));
        close(&own(&y).narrow(0, 0, n), &y1, "LSTM");
        close(&own(&h), &h1, "its state");
        close(&own(&c), &c1, "its memory");
        let (z1, k1) = gru.forward_from(&alone, &own(&h0));
        close(&own(&z).narrow(0, 0, n), &z1, "GRU");
        close(&own(&k), &k1, "its state");
        let rest = own(&y).narrow(0, n, 6 - n).to_vec::<f32>().unwrap();
        assert!(rest.iter().all(|&v| v == 0.0));
    }
}

#[test]
fn a_cell_step_by_step_is_the_layer() {
    let (layer, cell) = (Lstm::new(3, 5), LstmCell::new(3, 5));
    let names = layer.state_dict().unwrap();
    let mut own = gradus_nn::StateDict::new();
    for (name, value) in names.iter() {
        own.insert(name.trim_end_matches("_l0").to_string(), value.clone());
    }
    cell.load_state_dict(&own).unwrap();
    let x = Tensor::from(Rng::new(3).uniform([4, 2, 3], -1.0, 1.0).unwrap());
    let (y, (h, c)) = layer.forward(&x);
    let mut state: Option<(Tensor, Tensor)> = None;
    for t in 0..4 {
        state = Some(cell.forward(&x.select(0, t), state.as_ref().map(|(h, c)| (h, c))));
        close(&state.as_ref().unwrap().0, &y.select(0, t), "a step");
    }
    let (h1, c1) = state.unwrap();
    close(&h1.unsqueeze(0), &h, "the state");
    close(&c1.unsqueeze(0), &c, "the memory");
}
