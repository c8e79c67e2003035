//! Dropouts over time and in prediction, weights made from other parameters, layers side by side.
#![allow(clippy::unwrap_used, reason = "a test stops at the first failure")]

use gradus_core::{Array, Code, Tensor, inference, rng_state, sampling, seed, sync};
use gradus_nn::{
    AlphaDropout, BatchNorm1d, DropPath, Dropout, Dropout1d, Dropout2d, Layer, Linear, ModuleExt,
    Optimizer, Prelu, Rrelu, Sgd, SpectralNorm, WeightNorm, mc_predict, seq,
};

fn floats(t: &Tensor) -> Vec<f32> {
    t.to_vec::<f32>().unwrap()
}

fn share(values: &[f32], of: impl Fn(f32) -> bool) -> f64 {
    values.iter().filter(|&&v| of(v)).count() as f64 / values.len() as f64
}

#[test]
fn dropout_keeps_the_expectation_and_classic_dropout_corrects_it_in_prediction() {
    seed(3);
    let x = Tensor::ones([20_000]);
    let y = floats(&Dropout::new(0.25).forward(&x));
    assert!((share(&y, |v| v == 0.0) - 0.25).abs() < 0.015);
    assert!(y.iter().all(|&v| v == 0.0 || v == 1.0 / 0.75));
    let classic = Dropout::new(0.25).classic();
    let y = floats(&classic.forward(&x));
    assert!((share(&y, |v| v == 0.0) - 0.25).abs() < 0.015);
    assert!(y.iter().all(|&v| v == 0.0 || v == 1.0));
    assert!(floats(&classic.predict(&x)).iter().all(|&v| v == 0.75));
}

#[test]
fn feature_dropout_drops_whole_channels_and_drop_path_whole_samples() {
    seed(4);
    let x = Tensor::ones([50, 40, 3, 3]);
    for row in floats(&Dropout2d::new(0.5).forward(&x)).chunks(9) {
        assert!(row.iter().all(|v| *v == row[0]) && (row[0] == 0.0 || row[0] == 2.0));
    }
    let y = floats(&DropPath::new(0.5).forward(&x));
    for row in y.chunks(360) {
        assert!(row.iter().all(|v| *v == row[0]) && (row[0] == 0.0 || row[0] == 2.0));
    }
    assert!((share(&y, |v| v == 0.0) - 0.5).abs() < 0.25);
    // Without a batch: the first axis are channels.
    for row in floats(&Dropout1d::new(0.5).forward(&Tensor::ones([30, 4]))).chunks(4) {
        assert!(row.iter().all(|v| *v == row[0]));
    }
}

#[test]
fn alpha_dropout_keeps_mean_and_variance_of_standard_normal_values() {
    seed(5);
    let y = AlphaDropout::new(0.3).forward(&Tensor::randn([100_000]));
    assert!(y.mean().item().unwrap().abs() < 0.02);
    assert!((y.var(0).item().unwrap() - 1.0).abs() < 0.03);
}

#[test]
fn random_slopes_lie_between_their_limits() {
    seed(6);
    let y = floats(&Rrelu::new(0.25, 0.5).forward(&Tensor::full([10_000], -1.0)));
    assert!(y.iter().all(|v| (-0.5..=-0.25).contains(v)));
    let mean: f32 = y.iter().sum::<f32>() / y.len() as f32;
    assert!((mean + 0.375).abs() < 0.005);
}

#[test]
fn monte_carlo_dropout_has_the_mean_and_spread_of_its_law() {
    seed(7);
    // 400 weights of 1, each kept with probability 0.5 and doubled: mean 400, variance 400.
    let weight = Array::build::<f32>([1, 400], |out| out.fill(1.0)).unwrap();
    let model = seq![Dropout::new(0.5), Linear::from_arrays(weight, None)];
    let (mean, std) = mc_predict(&model, &Tensor::ones([2, 400]), 200);
    for (mean, std) in floats(&mean).into_iter().zip(floats(&std)) {
        assert!((mean - 400.0).abs() < 6.0, "{mean}");
        assert!((std - 20.0).abs() < 4.0, "{std}");
    }
    let error = mc_predict(&model, &Tensor::ones([1, 400]), 1).0.check().unwrap_err();
    assert_eq!(error.code(), Code::Argument);
    assert!(mc_predict(&model, &Tensor::ones([1, 3]), 5).1.check().is_err());
}

#[test]
fn sampling_changes_neither_the_training_stream_nor_running_statistics() {
    seed(8);
    let model = seq![BatchNorm1d::new(4), Dropout::new(0.5), Linear::new(4, 1)];
    let x = Tensor::from([[1.0, 2.0, 3.0, 4.0]]);
    let (before, state) = (rng_state(), model.state_dict().unwrap());
    let first = sampling(|| model.forward(&x));
    let many: Vec<f32> = (0..20).flat_map(|_| floats(&sampling(|| model.forward(&x)))).collect();
    assert!(many.iter().any(|v| *v != many[0]), "{many:?}");
    assert!(!first.requires_grad());
    sync().unwrap();
    let train = gradus_core::Stream::Train as usize;
    assert_eq!(rng_state().draws[train], before.draws[train]);
    for (name, value) in state.iter() {
        assert!(model.state_dict().unwrap().get(name).unwrap().same_bits(value), "{name}");
    }
    // A prediction inside has no noise.
    let plain = floats(&inference(|| model.forward(&x)));
    assert_eq!(sampling(|| floats(&model.predict(&x))), plain);
}

#[test]
fn weight_norm_starts_as_the_layer_was_and_trains_length_and_direction() {
    seed(9);
    let x = Tensor::randn([5, 3]);
    let x = Tensor::from_array(&x.to_array().unwrap());
    let plain = Linear::new(3, 2);
    let wanted = floats(&plain.forward(&x));
    let layer = WeightNorm::new(plain);
    for (have, want) in floats(&layer.forward(&x)).iter().zip(wanted) {
        assert!((have - want).abs() < 1e-6);
    }
    assert_eq!(layer.weight_g.shape().dims(), [2, 1]);
    let names: Vec<String> = layer.named_parameters().into_iter().map(|p| p.0).collect();
    assert_eq!(names, ["bias", "weight_g", "weight_v"]);
    let mut opt = Sgd::new(&layer, 0.1);
    let loss = || layer.forward(&x).square().sum();
    let first = loss().item().unwrap();
    for _ in 0..20 {
        let report = opt.step(&loss()).unwrap();
        assert!(report.untouched.is_empty());
    }
    assert!(loss().item().unwrap() < first * 0.5);
    // Inside another layer the names stay beside its own.
    let model = seq![WeightNorm::new(Linear::new(3, 2).no_bias())];
    assert!(model.state_dict().unwrap().get("0.weight_g").is_some());
}

#[test]
fn spectral_norm_divides_by_the_largest_singular_value() {
    seed(10);
    // Singular values 6 and 2.
    let weight = Array::new([2, 2], &[6.0f32, 0.0, 0.0, -2.0]).unwrap();
    let layer = SpectralNorm::new(Linear::from_arrays(weight, None));
    let y = floats(&layer.predict(&Tensor::from([[1.0, 1.0]])));
    assert!((y[0] - 1.0).abs() < 1e-4 && (y[1] + 1.0 / 3.0).abs() < 1e-4, "{y:?}");
    let before = layer.weight_u.get().unwrap();
    let mut opt = Sgd::new(&layer, 0.1);
    opt.step(&layer.forward(&Tensor::from([[1.0, 2.0]])).sum()).unwrap();
    assert!(layer.weight_u.version() > 0, "a step of power iteration is kept");
    assert_eq!(layer.weight_u.get().unwrap().shape(), before.shape());
}

#[test]
fn a_learned_slope_of_its_own_starting_value() {
    let layer = Prelu::new().num_parameters(2).init(0.5);
    assert_eq!(floats(&layer.forward(&Tensor::from([[-2.0, -4.0]]))), [-1.0, -2.0]);
}
