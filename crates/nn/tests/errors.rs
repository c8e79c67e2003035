//! The text of messages: a newcomer sees the layer, the line and what to do.

#![allow(clippy::unwrap_used, clippy::panic)]

use gradus_core::{Array, Code, DType, Tensor};
use gradus_nn::{
    Adam, Dropout, Flatten, Layer, Linear, Module, ModuleExt, Optimizer, Relu, Sequential, Sgd, seq,
};

#[derive(Module)]
struct Mlp {
    l1: Linear,
    l2: Linear,
}

impl Layer for Mlp {
    fn forward(&self, x: &Tensor) -> Tensor {
        self.l2.forward(&self.l1.forward(x).relu()) // LINE: l1
    }
}

/// The line of this file that is marked.
fn line(mark: &str) -> usize {
    let source = include_str!("errors.rs");
    let mark = format!("// LINE: {mark}");
    source.lines().position(|line| line.ends_with(&mark)).unwrap() + 1
}

#[test]
fn a_wrong_width_names_operands_layer_path_line_and_remedy() {
    let model = Mlp { l1: Linear::new(784, 128), l2: Linear::new(128, 10) };
    let mut opt = Sgd::new(&model, 0.1); // stamps the model
    let images = Tensor::zeros([64, 28, 26]);
    let x = images.reshape([64, -1]); // LINE: reshape
    let loss = model.forward(&x).cross_entropy(&Tensor::zeros([64]).cast(DType::I64));
    let error = opt.step(&loss).unwrap_err();
    let file = file!();
    // In eager mode a result is data as soon as it is recorded.
    let eager = std::env::var("GRADUS_EAGER").is_ok_and(|v| v == "1");
    let left = if eager { "data" } else { "output of `reshape`" };
    let expected = format!(
        "error[shape]: matmul: inner sizes differ, 728 and 784
  left    [64, 728]   {left}    {file}:{}
  right   [784, 128]  parameter `l1.weight`  (stored as [128, 784])
  in      Mlp > l1: Linear(784 -> 128)  called at {file}:{}
  help    this layer expects 784 features in the last axis; the batch has 728",
        line("reshape"),
        line("l1"),
    );
    // Columns are aligned over all lines, so compare the words.
    let words = |text: &str| {
        let lines = text.lines().map(|l| l.split_whitespace().collect::<Vec<_>>().join(" "));
        lines.collect::<Vec<_>>().join("\n")
    };
    assert_eq!(words(&error.to_string()), words(&expected), "{error}");
    assert_eq!(error.code(), Code::Shape);
}

#[test]
fn inside_sequential_the_users_line_is_where_the_model_was_called() {
    let model = seq![Linear::new(4, 3), Relu, seq![Linear::new(5, 2)]];
    model.stamp("Net");
    let y = model.forward(&Tensor::zeros([2, 4])); // LINE: seq
    let error = y.check().unwrap_err();
    let text = error.get("in").unwrap();
    assert!(text.starts_with("Net > 2 > 0: Linear(5 -> 2)"), "{text}");
    assert!(text.ends_with(&format!("called at {}:{}", file!(), line("seq"))), "{text}");
    assert!(error.advice().unwrap().contains("expects 5 features"), "{error}");
    assert_eq!(error.to_string().matches("called at").count(), 1, "{error}");
}

#[test]
fn predict_names_the_layer_and_the_users_line() {
    let model = Mlp { l1: Linear::new(4, 3), l2: Linear::new(3, 2) };
    let error = model.predict(&Tensor::zeros([2, 5])).check().unwrap_err();
    let text = error.get("in").unwrap();
    assert!(text.starts_with("Mlp > l1: Linear(4 -> 3)"), "{text}");
    assert!(text.ends_with(&format!("{}:{}", file!(), line("l1"))), "{text}");
    // Without a user's line inside, the line of `predict`.
    let model = seq![Linear::new(4, 3)];
    let error = model.predict(&Tensor::zeros([2, 5])).check().unwrap_err(); // LINE: predict
    let text = error.get("in").unwrap();
    assert!(text.ends_with(&format!("{}:{}", file!(), line("predict"))), "{text}");
}

#[test]
fn a_generic_call_of_a_layer_has_a_line_too() {
    fn run<L: Layer>(layer: &L) -> Tensor {
        layer.forward(&Tensor::zeros([2, 5])) // LINE: generic
    }
    let error = run(&Linear::new(4, 3)).check().unwrap_err();
    let text = error.get("in").unwrap();
    assert!(text.ends_with(&format!("{}:{}", file!(), line("generic"))), "{text}");
}

#[test]
fn images_without_flatten_are_told_to_flatten() {
    let layer = Linear::new(784, 10);
    let error = layer.forward(&Tensor::zeros([64, 28, 28])).check().unwrap_err();
    assert_eq!(
        error.advice(),
        Some(
            "this layer expects 784 features in the last axis; the batch has 28; put a `Flatten` \
             before it"
        )
    );
    let error = layer.forward(&Tensor::from(1.0)).check().unwrap_err();
    assert!(error.advice().unwrap().contains("the batch is a single number"), "{error}");
    assert_eq!(layer.forward(&Tensor::zeros([784])).dims::<1>().unwrap(), [10]);
    assert!(Flatten.forward(&Tensor::zeros([2, 3, 4])).dims::<2>().is_ok());
}

#[test]
fn the_first_error_passes_through_later_layers_unchanged() {
    let model = seq![Linear::new(4, 3), Linear::new(9, 9), Relu, Linear::new(7, 7)];
    let error = model.forward(&Tensor::zeros([2, 4])).check().unwrap_err();
    assert!(error.to_string().contains("Linear(9 -> 9)"), "{error}");
    let error = model.forward(&Tensor::zeros([2, 8])).check().unwrap_err();
    assert!(error.to_string().contains("Linear(4 -> 3)"), "{error}");
}

#[test]
fn an_invalid_layer_reports_at_forward_step_save_and_load() {
    let bad = || Mlp { l1: Linear::new(4, 0), l2: Linear::new(0, 2) };
    let says = |error: gradus_core::Error| {
        let text = "Linear: sizes must be at least 1, not 4 -> 0";
        assert!(error.title() == text && error.code() == Code::Argument, "{error}");
    };
    let model = bad();
    model.stamp("Mlp");
    let error = model.forward(&Tensor::zeros([2, 4])).check().unwrap_err();
    assert!(error.get("in").unwrap().starts_with("Mlp > l1: Linear(4 -> 0)"), "{error}");
    says(error);
    let loss = Tensor::from([1.0]).with_grad().sum();
    says(Adam::new(&bad(), 1e-3).step(&loss).unwrap_err());
    says(bad().state_dict().unwrap_err());
    let folder = tempfile::tempdir().unwrap();
    says(bad().save(folder.path().join("m.safetensors")).unwrap_err());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    says(bad().load_state_dict(&gradus_nn::StateDict::new()).unwrap_err());
    assert_eq!(bad().num_parameters(), 4, "counting does not fail");
}

#[test]
fn an_invalid_size_is_not_hidden_by_another_initialiser() {
    let layer = Linear::new(0, 3).with_init(gradus_nn::init::zeros);
    assert_eq!(layer.forward(&Tensor::zeros([1, 0])).check().unwrap_err().code(), Code::Argument);
    let layer = Linear::new(2, 3).with_init(|_| gradus_nn::init::zeros([2, 3]));
    let error = layer.forward(&Tensor::zeros([1, 2])).check().unwrap_err();
    assert!(error.title().contains("gave f32 [2, 3], not f32 [3, 2]"), "{error}");
}

#[test]
fn wrong_arrays_for_a_layer_are_reported() {
    let zeros = |shape: &[usize]| Array::zeros(shape, DType::F32).unwrap();
    let x = Tensor::zeros([1, 2]);
    for layer in [
        Linear::from_arrays(zeros(&[3]), None),
        Linear::from_arrays(zeros(&[3, 2]), Some(zeros(&[2]))),
        Linear::from_arrays(Array::zeros([3, 2], DType::I64).unwrap(), None),
    ] {
        assert!(layer.forward(&x).check().is_err());
    }
    assert!(Linear::from_arrays(zeros(&[3, 2]), Some(zeros(&[3]))).forward(&x).check().is_ok());
}

#[test]
fn a_dropout_probability_out_of_range_names_the_layer() {
    for p in [-0.1, 1.5, f64::NAN] {
        let error = Dropout::new(p).forward(&Tensor::zeros([2])).check().unwrap_err();
        assert_eq!(error.code(), Code::Argument);
        assert!(error.get("in").unwrap().starts_with("Dropout("), "{error}");
    }
}

#[test]
fn an_empty_sequential_is_the_identity() {
    let x = Tensor::from([1.0, 2.0]);
    assert_eq!(Sequential::new().forward(&x).to_vec::<f32>().unwrap(), [1.0, 2.0]);
    assert!(seq![].is_empty());
    assert!(seq![Relu].get(1).is_none());
}
