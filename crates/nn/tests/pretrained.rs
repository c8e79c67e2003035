//! Models with weights from PyTorch give what PyTorch gives.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first failure")]

use std::path::Path;

use gradus_core::{Array, Tensor};
use gradus_nn::models::{LeNet, MobileNetV2, ResNet, Vgg, VggConfig};
use gradus_nn::{Layer, Linear, ModuleExt, StateDict};

/// `fixtures/resnet_of_pytorch.safetensors` was written from PyTorch 2.13: a residual network of
/// bottleneck blocks with torchvision's names (`model.layer2.1.conv3.weight`), blocks 1, 2, 1, 1, width
/// 2, after three batches in training mode; its input and its output in evaluation mode.
#[test]
fn a_file_of_pytorch_loads_and_gives_its_outputs() {
    let file =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/resnet_of_pytorch.safetensors");
    let all = StateDict::load(&file).unwrap();
    let mut state = StateDict::new();
    for (name, value) in all.iter() {
        if let Some(name) = name.strip_prefix("model.") {
            state.insert(name, value.clone());
        }
    }
    let mut model = ResNet::imagenet([1, 2, 1, 1], 2, true, 3);
    model.load_state_dict(&state).unwrap();
    let x = Tensor::from(all.get("input").unwrap());
    let expected = all.get("output").unwrap().to_f64();
    close("ResNet", &model.predict(&x), &expected);

    // For another task: the head is another one, the rest is as it was and stays so.
    model.freeze();
    let features = model.features(&x).to_array().unwrap();
    model.fc = Linear::new(model.fc.in_features(), 5);
    let trained: Vec<String> = model
        .named_parameters()
        .into_iter()
        .filter(|(_, param)| !param.is_frozen())
        .map(|(name, _)| name)
        .collect();
    assert_eq!(trained, ["fc.weight", "fc.bias"]);
    assert_eq!(model.predict(&x).dims::<2>().unwrap(), [2, 5]);
    assert_eq!(features.shape().dims(), [2, 64]);
    // A state of the old head does not fit the new one, and says so.
    let error = model.load_state_dict(&state).unwrap_err().to_string();
    assert!(error.contains("fc.weight"), "{error}");
}

/// Every value of a model from the place of its name among all names and its own place, by a formula
/// that was given to the same models in PyTorch.
fn fill<L: Layer>(model: &L) {
    let mut state = StateDict::new();
    let own = model.state_dict().unwrap();
    let mut names: Vec<&str> =
        own.names().filter(|n| !n.ends_with("num_batches_tracked")).collect();
    names.sort_unstable();
    for (i, name) in names.into_iter().enumerate() {
        let shape = own.get(name).unwrap().shape();
        let fan: usize = shape.dims().iter().skip(1).product();
        let value = |k: usize| {
            let c = (0.37 * i as f64 + 0.91 * k as f64).cos();
            let v = match name.rsplit('.').next() {
                Some("running_var") => 1.0 + 0.5 * c,
                Some("running_mean" | "bias") => 0.1 * c,
                _ if shape.rank() == 1 => 1.0 + 0.2 * c,
                _ => (3.0 / fan as f64).sqrt() * c,
            };
            v as f32
        };
        let values: Vec<f32> = (0..shape.numel()).map(value).collect();
        state.insert(name, Array::new(shape, &values).unwrap());
    }
    for (name, value) in own.iter().filter(|(name, _)| name.ends_with("num_batches_tracked")) {
        state.insert(name, value.clone());
    }
    model.load_state_dict(&state).unwrap();
}

fn output<L: Layer>(model: &L, image: [usize; 3]) -> Tensor {
    fill(model);
    let [channels, height, width] = image;
    let pixels: Vec<f32> =
        (0..channels * height * width).map(|k| (0.13 * k as f64).cos() as f32).collect();
    model.predict(&Tensor::from(Array::new([1, channels, height, width], &pixels).unwrap()))
}

fn close(what: &str, output: &Tensor, expected: &[f64]) {
    let have = output.to_array().unwrap().to_f64();
    assert_eq!(have.len(), expected.len(), "{what}");
    for (have, expected) in have.iter().zip(expected) {
        let near = (have - expected).abs() <= 1e-5 * expected.abs().max(1.0);
        assert!(near, "{what}: {have}, not {expected}");
    }
}

/// Outputs of the same networks in PyTorch 2.13, in evaluation mode.
#[test]
fn the_other_networks_compute_what_pytorchs_do() {
    let out = output(&ResNet::cifar(2, 3, 4, 3), [3, 16, 16]);
    close("ResNet for small images", &out, &[-1.7672957, -0.894942, 2.3116806]);
    let out = output(&MobileNetV2::narrow(0.1, 3), [3, 64, 64]);
    close("MobileNetV2", &out, &[0.2162428, -0.4317041, 0.5933779]);
    let config = VggConfig {
        depth: 11,
        classes: 3,
        batch_norm: true,
        hidden: 6,
        narrow: 32,
        ..VggConfig::default()
    };
    close("Vgg", &output(&Vgg::with(config), [3, 64, 64]), &[-0.0586561, -0.0748927, -0.0335165]);
    let out = output(&LeNet::new(3), [1, 28, 28]);
    close("LeNet", &out, &[0.0640084, -0.3069542, -0.390117]);
}
