//! Normalisation layers over time: running statistics, failed steps, evaluation, wrong uses.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops at the first failure")]

use gradus_core::derivatives::vmap;
use gradus_core::{Array, Buffer, Code, Tensor, evaluation, live_nodes, no_grad, sync};
use gradus_nn::{
    BatchNorm1d, BatchNorm2d, GroupNorm, InstanceNorm1d, Layer, LayerNorm, Linear, Module,
    ModuleExt, Optimizer, Sgd, seq,
};

fn values(buffer: &Buffer) -> Vec<f64> {
    buffer.read().unwrap().to_f64()
}

fn batch() -> Tensor {
    Tensor::from([[1.0, 10.0], [3.0, 30.0]])
}

#[test]
fn running_statistics_follow_the_batches() {
    let norm = BatchNorm1d::new(2).momentum(0.5);
    norm.forward(&batch());
    let running = norm.running.as_ref().unwrap();
    assert_eq!(values(&running.mean), [1.0, 10.0]);
    // The unbiased variance is 2 and 200.
    assert_eq!(values(&running.var), [1.5, 100.5]);
    assert_eq!(values(&running.batches), [1.0]);
    norm.forward(&batch());
    assert_eq!(values(&running.mean), [1.5, 15.0]);
    assert_eq!(values(&running.batches), [2.0]);
}

#[test]
fn without_momentum_they_are_the_mean_over_all_batches() {
    let norm = BatchNorm1d::new(1).momentum(None);
    for i in 0..4 {
        let x = Tensor::from([[f64::from(i)], [f64::from(i) + 2.0]]).cast(gradus_core::DType::F32);
        norm.forward(&x);
    }
    let running = norm.running.as_ref().unwrap();
    assert_eq!(values(&running.mean), [2.5]);
    assert_eq!(values(&running.var), [2.0]);
}

#[test]
fn evaluation_uses_running_statistics_and_changes_nothing() {
    let norm = BatchNorm1d::new(2).eps(0.0);
    let before = norm.state_dict().unwrap();
    assert_eq!(norm.predict(&batch()).to_vec::<f32>().unwrap(), [1.0, 10.0, 3.0, 30.0]);
    let x = batch().with_grad();
    let y = evaluation(|| norm.forward(&x));
    assert_eq!(y.sum().grad(&x).unwrap().to_vec::<f32>().unwrap(), [1.0; 4]);
    sync().unwrap();
    for (name, value) in before.iter() {
        assert!(norm.state_dict().unwrap().get(name).unwrap().same_bits(value), "{name}");
    }
    // Without running statistics the batch's own are used.
    let own = BatchNorm1d::new(2).eps(0.0).no_track_running_stats();
    assert_eq!(own.predict(&batch()).to_vec::<f32>().unwrap(), [-1.0, -1.0, 1.0, 1.0]);
}

#[test]
fn a_failed_step_leaves_running_statistics_as_they_were() {
    let model = seq![Linear::new(2, 2), BatchNorm1d::new(2)];
    let mut opt = Sgd::new(&model, 0.1);
    opt.step(&model.forward(&batch()).square().sum()).unwrap();
    let before = model.state_dict().unwrap();
    let loss = (model.forward(&batch()).sum() * 0.0 - 1.0).log();
    assert!(loss.item().unwrap().is_nan(), "reading it first changes nothing");
    assert_eq!(opt.step(&loss).unwrap_err().code(), Code::NonFinite);
    let after = model.state_dict().unwrap();
    for (name, value) in before.iter() {
        assert!(after.get(name).unwrap().same_bits(value), "{name}");
    }
}

#[test]
fn a_loop_of_forward_passes_in_training_mode_does_not_grow() {
    let model = seq![BatchNorm1d::new(2), Linear::new(2, 2), BatchNorm1d::new(2).momentum(None)];
    let mut sizes = Vec::new();
    for _ in 0..60 {
        no_grad(|| model.forward(&batch())).to_vec::<f32>().unwrap();
        sizes.push(live_nodes());
    }
    assert_eq!(sizes[20], sizes[59], "{sizes:?}");
    assert_eq!(model.state_dict().unwrap().get("0.num_batches_tracked").unwrap().to_f64(), [60.0]);
}

#[test]
fn names_in_files_are_those_of_pytorch() {
    let names = |m: &dyn Module| -> Vec<String> {
        m.state_dict().unwrap().iter().map(|(name, _)| name.to_string()).collect()
    };
    let all = ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"];
    let mut have = names(&BatchNorm2d::new(3));
    have.sort_unstable();
    let mut want = all;
    want.sort_unstable();
    assert_eq!(have, want);
    assert_eq!(names(&BatchNorm2d::new(3).no_affine().no_track_running_stats()), [""; 0]);
    assert_eq!(names(&LayerNorm::new([2, 3]).no_bias()), ["weight"]);
    assert_eq!(names(&InstanceNorm1d::new(3)), [""; 0]);
}

#[test]
fn wrong_uses_are_errors_that_name_the_layer() {
    let one = BatchNorm1d::new(2).forward(&Tensor::ones([1, 2])).check().unwrap_err();
    assert_eq!(one.code(), Code::Shape);
    assert!(one.title().contains("[1, 2] has fewer than two values"), "{one}");
    assert!(one.to_string().contains("BatchNorm1d(2)"), "{one}");
    assert!(one.to_string().contains("tests/norms.rs"), "{one}");
    // In evaluation one sample is enough.
    assert!(BatchNorm1d::new(2).predict(&Tensor::ones([1, 2])).check().is_ok());
    let axes = BatchNorm2d::new(2).forward(&Tensor::ones([3, 2])).check().unwrap_err();
    assert!(axes.title().contains("BatchNorm2d: [3, 2] where 2 channels go in"), "{axes}");
    let none = BatchNorm2d::new(0).forward(&Tensor::ones([2, 0, 3, 3])).check().unwrap_err();
    assert!(none.title().contains("at least 1"), "{none}");
    assert!(BatchNorm2d::new(0).state_dict().is_err());
    let groups = GroupNorm::new(2, 3).forward(&Tensor::ones([2, 3])).check().unwrap_err();
    assert!(groups.title().contains("3 channels do not make 2 equal groups"), "{groups}");
    let norm = BatchNorm1d::new(2);
    let mapped = vmap(|x| norm.forward(x), &Tensor::ones([4, 3, 2])).check().unwrap_err();
    assert!(mapped.title().contains("assign: buffer"), "{mapped}");
    sync().unwrap();
    // By running statistics it maps.
    let y = evaluation(|| vmap(|x| norm.forward(x), &Tensor::ones([4, 3, 2])));
    assert_eq!(y.dims::<3>().unwrap(), [4, 3, 2]);
}

#[test]
fn statistics_keep_their_type_when_data_are_f64() {
    let norm = BatchNorm1d::new(2).no_affine();
    let x = Tensor::exact([2, 2], &[1.0f64, 10.0, 3.0, 30.0]);
    let y = norm.forward(&x);
    assert_eq!(y.to_array().unwrap().dtype(), gradus_core::DType::F64);
    sync().unwrap();
    let mean: Array = norm.running.as_ref().unwrap().mean.get().unwrap();
    assert_eq!(mean.to_vec::<f32>().unwrap(), [0.2, 2.0]);
}
