//! Recurrent layers over time: padding changes nothing, cells are layers step by step, and a steady
//! step allocates nothing.

#![allow(clippy::unwrap_used, clippy::panic)]

use gradus_core::{Rng, Tensor, plan_cache, set_threads};
use gradus_nn::{Adam, Gru, Linear, Lstm, LstmCell, Module, ModuleExt, Optimizer};

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

#[derive(Module)]
struct Model {
    lstm: Lstm,
    head: Linear,
}

#[test]
fn a_steady_step_of_an_lstm_allocates_nothing() {
    let set = |name| std::env::var(name).is_ok_and(|v| v == "1");
    if set("GRADUS_CHECK") || set("GRADUS_EAGER") {
        return; // these modes are for finding bugs, not for speed
    }
    set_threads(1);
    let model =
        Model { lstm: Lstm::new(5, 8).num_layers(2).bidirectional(), head: Linear::new(16, 3) };
    let x = Rng::new(1).uniform([7, 4, 5], 0.0, 1.0).unwrap();
    let y = gradus_core::Array::new([4], &[1i64, 0, 2, 1]).unwrap();
    let mut opt = Adam::new(&model, 1e-3);
    let mut one = || {
        let (states, _) = model.lstm.forward(&Tensor::from(&x));
        let loss = model.head.forward(&states.select(0, -1)).cross_entropy(&Tensor::from(&y));
        opt.step(&loss).unwrap();
    };
    (0..20).for_each(|_| one());
    let misses = plan_cache().misses;
    let mut count = || allocation_counter::measure(|| (0..20).for_each(|_| one())).count_total;
    let counts = [count(), count(), count()];
    assert_eq!(plan_cache().misses, misses, "every step has the same plan");
    // A table that grows once is not a steady cost, so the best of three counts.
    assert_eq!(counts.iter().min(), Some(&0), "allocations in 20 steps: {counts:?}");
}
