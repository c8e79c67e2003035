//! Ready models: names and sizes as in the models they are known from, and that they learn.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first failure")]

use gradus_core::{Tensor, seed};
use gradus_nn::models::{
    AutoEncoder, CharRnn, LeNet, Mlp, MobileNetV2, Observed, ResNet, VariationalAutoEncoder, Vgg,
    VggConfig,
};
use gradus_nn::{Adam, Layer, Linear, Module, ModuleExt, Optimizer};

/// Parameters, entries of the state (with the buffers of normalisations), and some names.
fn has<M: Module + ?Sized>(model: &M, parameters: usize, entries: usize, names: &[&str]) {
    assert_eq!(model.num_parameters(), parameters);
    let mut all: Vec<String> = model.named_parameters().into_iter().map(|(name, _)| name).collect();
    all.extend(model.named_buffers().into_iter().map(|(name, _)| name));
    assert_eq!(all.len(), entries);
    for name in names {
        assert!(all.iter().any(|have| have == name), "no {name} in {all:?}");
    }
}

/// The counts are those of torchvision's models with 1,000 classes.
#[test]
fn residual_networks_have_torchvisions_names_and_sizes() {
    let names = [
        "conv1.weight",
        "bn1.running_mean",
        "bn1.num_batches_tracked",
        "layer1.0.conv1.weight",
        "layer2.0.downsample.0.weight",
        "layer2.0.downsample.1.running_var",
        "layer4.1.bn2.bias",
        "fc.weight",
        "fc.bias",
    ];
    has(&ResNet::resnet18(1000), 11_689_512, 122, &names);
    has(&ResNet::resnet34(1000), 21_797_672, 218, &names);
    let names = ["layer1.0.downsample.0.weight", "layer1.0.conv3.weight", "layer4.2.bn3.weight"];
    let model = ResNet::resnet50(1000);
    has(&model, 25_557_032, 320, &names);
    let shapes: Vec<(String, Vec<usize>)> = model
        .named_parameters()
        .into_iter()
        .map(|(name, param)| (name, param.shape().dims().to_vec()))
        .collect();
    let shape = |name: &str| shapes.iter().find(|(n, _)| n == name).unwrap().1.clone();
    assert_eq!(shape("conv1.weight"), [64, 3, 7, 7]);
    assert_eq!(shape("layer3.0.conv2.weight"), [256, 256, 3, 3]);
    assert_eq!(shape("layer3.0.downsample.0.weight"), [1024, 512, 1, 1]);
    assert_eq!(shape("fc.weight"), [1000, 2048]);
}

/// The counts are those of the paper's form with option A.
#[test]
fn residual_networks_for_small_images_are_the_papers() {
    has(&ResNet::resnet20(10), 269_722, 116, &["layer3.2.conv2.weight", "fc.weight"]);
    has(&ResNet::resnet56(10), 853_018, 332, &["layer1.8.bn1.weight"]);
}

#[test]
fn mobilenet_has_torchvisions_names_and_sizes() {
    let names = [
        "features.0.0.weight",
        "features.0.1.running_mean",
        "features.1.conv.0.0.weight",
        "features.1.conv.1.weight",
        "features.1.conv.2.bias",
        "features.2.conv.0.0.weight",
        "features.17.conv.3.weight",
        "features.18.1.weight",
        "classifier.1.weight",
    ];
    has(&MobileNetV2::new(1000), 3_504_872, 314, &names);
}

/// The largest of the models, made once.
#[test]
fn vgg_has_torchvisions_names_and_sizes() {
    let names =
        ["features.0.weight", "features.28.bias", "classifier.0.weight", "classifier.6.bias"];
    has(&Vgg::new(16, 1000), 138_357_544, 32, &names);
    // Places of the convolutions with and without normalisation; a small head is quick to make.
    let small = VggConfig { hidden: 1, narrow: 64, ..VggConfig::default() };
    let convolutions = |depth: usize, batch_norm: bool| -> Vec<String> {
        let model = Vgg::with(VggConfig { depth, batch_norm, ..small });
        let params = model.named_parameters().into_iter();
        params.filter(|(_, p)| p.shape().rank() == 4).map(|(name, _)| name).collect()
    };
    let at = |places: &[usize]| -> Vec<String> {
        places.iter().map(|i| format!("features.{i}.weight")).collect()
    };
    assert_eq!(convolutions(11, false), at(&[0, 3, 6, 8, 11, 13, 16, 18]));
    assert_eq!(convolutions(11, true), at(&[0, 4, 8, 11, 15, 18, 22, 25]));
    assert_eq!(convolutions(13, false), at(&[0, 2, 5, 7, 10, 12, 15, 17, 20, 22]));
    assert_eq!(convolutions(16, true).last().unwrap(), "features.40.weight");
    assert_eq!(convolutions(19, false).last().unwrap(), "features.34.weight");
}

/// A few steps on a few images; the loss falls to less than half.
fn learns<L: Layer>(model: &L, image: [usize; 3], rate: f64, steps: usize) {
    seed(5);
    let [channels, height, width] = image;
    let x = Tensor::randn([8, channels, height, width]);
    let y = Tensor::from([0, 1, 2, 0, 1, 2, 0, 1]);
    let x = Tensor::from(x.to_array().unwrap());
    let mut opt = Adam::new(model, rate);
    let losses: Vec<f64> =
        (0..steps).map(|_| opt.step(&model.forward(&x).cross_entropy(&y)).unwrap().loss).collect();
    let (first, last) = (losses[0], losses[steps - 1]);
    assert!(last < 0.5 * first, "{}: {losses:?}", model.name());
    assert_eq!(model.predict(&x).dims::<2>().unwrap(), [8, 3]);
}

#[test]
fn networks_for_images_learn() {
    seed(3);
    learns(&LeNet::new(3), [1, 28, 28], 2e-3, 12);
    learns(&ResNet::cifar(1, 3, 4, 3), [3, 8, 8], 1e-2, 25);
    learns(&ResNet::imagenet([1, 1, 1, 1], 4, true, 3), [3, 32, 32], 1e-2, 12);
    learns(&MobileNetV2::narrow(0.1, 3), [3, 32, 32], 3e-3, 40);
    let small = VggConfig { depth: 11, classes: 3, batch_norm: true, narrow: 32, ..SMALL };
    learns(&Vgg::with(small), [3, 32, 32], 1e-2, 15);
}

const SMALL: VggConfig =
    VggConfig { depth: 11, classes: 3, batch_norm: false, hidden: 32, narrow: 16, dropout: 0.0 };

/// Pre-trained without labels, then a head on the frozen code, then all of it.
#[test]
fn an_encoder_is_trained_then_frozen_then_tuned() {
    seed(7);
    let x = Tensor::from(Tensor::rand([32, 12]).to_array().unwrap());
    let y = x.select(1, 0).gt(0.5).cast(gradus_core::DType::I64);
    let y = Tensor::from(y.to_array().unwrap());
    let model = AutoEncoder::new(&[12, 16, 6]);
    let mut opt = Adam::new(&model, 1e-2);
    let step = |opt: &mut Adam| opt.step(&model.forward(&x).mse_loss(&x)).unwrap().loss;
    let first = step(&mut opt);
    let last = (0..100).map(|_| step(&mut opt)).last().unwrap();
    assert!(last < 0.4 * first, "{first} {last}");

    let classifier = gradus_nn::seq![model.encoder, Linear::new(6, 2)];
    let encoder = classifier.get(0).unwrap();
    encoder.freeze();
    let before = encoder.state_dict().unwrap();
    let mut opt = Adam::new(&classifier, 5e-2);
    let mut step = || opt.step(&classifier.forward(&x).cross_entropy(&y)).unwrap().loss;
    let losses: Vec<f64> = (0..20).map(|_| step()).collect();
    assert!(losses[19] < losses[0], "{losses:?}");
    let unchanged = encoder.state_dict().unwrap();
    for (name, value) in before.iter() {
        assert!(unchanged.get(name).unwrap().same_bits(value), "{name} has changed");
    }
    classifier.thaw();
    let mut opt = Adam::new(&classifier, 1e-2);
    let mut step = || opt.step(&classifier.forward(&x).cross_entropy(&y)).unwrap().loss;
    let tuned = (0..60).map(|_| step()).last().unwrap();
    assert!(tuned < 0.5 * losses[19], "{tuned} {}", losses[19]);
}

#[test]
fn a_variational_autoencoder_learns_and_its_codes_are_means_in_evaluation() {
    seed(9);
    // Two kinds of inputs, which one bit of a code can tell.
    let x = Tensor::from_fn([16, 10], |at| if (at[0] + at[1] / 5) % 2 == 0 { 1.0f32 } else { 0.0 });
    let x = Tensor::from(x.to_array().unwrap());
    for observed in [Observed::Bernoulli, Observed::Normal] {
        let model = VariationalAutoEncoder::new(&[10, 12, 3]).observed(observed);
        let mut opt = Adam::new(&model, 2e-2);
        let losses: Vec<f64> = (0..120).map(|_| opt.step(&model.loss(&x)).unwrap().loss).collect();
        assert!(losses[119] < 0.6 * losses[0], "{observed:?} {} {}", losses[0], losses[119]);
        let (a, b) = (model.predict(&x), model.predict(&x));
        assert!(a.to_array().unwrap().same_bits(&b.to_array().unwrap()));
        let (a, b) = (Layer::forward(&model, &x), Layer::forward(&model, &x));
        assert!(!a.to_array().unwrap().same_bits(&b.to_array().unwrap()));
    }
    // At a code of mean 0 and variance 1 the divergence is 0.
    let model = VariationalAutoEncoder::new(&[10, 12, 3]).beta(1000.0);
    for layer in [&model.mean, &model.log_var] {
        layer.weight.set(gradus_nn::init::zeros([3, 12]).unwrap()).unwrap();
        layer.bias.as_ref().unwrap().set(gradus_nn::init::zeros(3).unwrap()).unwrap();
    }
    let loss = gradus_core::inference(|| model.loss(&x)).item().unwrap();
    let output = model.predict(&x).binary_cross_entropy_with_logits(&x).item().unwrap();
    assert!((loss - 10.0 * output).abs() < 1e-4, "{loss} {output}");
}

#[test]
fn a_perceptron_has_what_it_was_asked_for() {
    let model = Mlp::new(&[4, 8, 6, 2]).batch_norm().dropout(0.5);
    let names: Vec<String> = model.named_parameters().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names[..2], ["layers.0.weight", "layers.0.bias"]);
    assert!(names.contains(&"norms.1.weight".to_string()), "{names:?}");
    assert_eq!(model.num_parameters(), 4 * 8 + 8 + 8 * 6 + 6 + 6 * 2 + 2 + 2 * (8 + 6));
    let none = Mlp::new(&[4]);
    assert_eq!(none.forward(&Tensor::ones([2, 4])).dims::<2>().unwrap(), [2, 4]);
}

/// A text that an LSTM can know by heart after some steps; drawing depends on nothing but the seed.
#[test]
fn a_character_model_learns_a_text_and_says_it() {
    seed(11);
    let words: Vec<i64> = "hello gradus ".bytes().map(i64::from).collect();
    let mut known = words.clone();
    known.sort_unstable();
    known.dedup();
    let id = |byte: &i64| known.binary_search(byte).unwrap() as i64;
    let ids: Vec<i64> = words.iter().map(id).collect();
    let text: Vec<i64> = ids.iter().copied().cycle().take(4 * 26).collect();
    let model = CharRnn::new(known.len(), 8, 24);
    let names: Vec<String> = model.named_parameters().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names[..2], ["embedding.weight", "lstm.weight_ih_l0"]);
    let text = Tensor::from(Tensor::from(text).reshape([4, 26]).to_array().unwrap());
    let mut opt = Adam::new(&model, 2e-2);
    let losses: Vec<f64> = (0..120).map(|_| opt.step(&model.loss(&text)).unwrap().loss).collect();
    assert!(losses[119] < 0.1, "{} {}", losses[0], losses[119]);
    let said = model.generate(&ids[..6], 20, 0.0, None).unwrap();
    let expected: Vec<i64> = ids.iter().copied().cycle().take(26).collect();
    assert_eq!(said, expected);
    let drawn = |number| {
        seed(number);
        model.generate(&ids[..1], 30, 3.0, Some(20)).unwrap()
    };
    assert_eq!(drawn(1), drawn(1));
    assert_ne!(drawn(1), drawn(2));
    assert!(model.generate(&[], 1, 1.0, None).unwrap_err().title().contains("prompt is empty"));
    assert!(model.generate(&ids, 1, f64::NAN, None).unwrap_err().title().contains("temperature"));
    assert!(model.generate(&[99], 1, 1.0, None).is_err());
    // A text in two pieces is the text, if the state goes with it.
    let whole = gradus_core::inference(|| model.forward(&text)).to_array().unwrap();
    let (a, state) = gradus_core::inference(|| model.forward_from(&text.slice(1, 0, 10, 1), None));
    let (b, _) =
        gradus_core::inference(|| model.forward_from(&text.slice(1, 10, 26, 1), Some(&state)));
    let pieces = Tensor::concat(&[&a, &b], 1);
    let apart = (Tensor::from(whole) - pieces).abs().max().item().unwrap();
    assert!(apart < 1e-5, "{apart}");
}
