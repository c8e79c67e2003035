//! Walks, names, identity: what the derive and the extension methods promise.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::sync::Arc;

use gradus_core::{Array, Buffer, DType, Param, Tag, Tensor};
use gradus_nn::{
    Adam, Dropout, Field, Flatten, Gelu, GeluTanh, Identity, Layer, Linear, Module, ModuleExt,
    Optimizer, Relu, Sequential, Sigmoid, Tanh, Visitor, seq,
};

fn param(shape: &[usize]) -> Param {
    Param::new(Array::zeros(shape, DType::F32).unwrap())
}

fn names(module: &impl Module) -> Vec<String> {
    module.named_parameters().into_iter().map(|(name, _)| name).collect()
}

struct Settings;

#[derive(Module)]
struct Everything {
    tag: Tag,
    scale: Param,
    count: Buffer,
    list: Vec<Linear>,
    maybe: Option<Linear>,
    nothing: Option<Linear>,
    boxed: Box<dyn Layer>,
    shared: Arc<Linear>,
    pair: (Linear, Param),
    array: [Param; 2],
    map: BTreeMap<String, Linear>,
    #[module(name = "c_attn")]
    attention: Linear,
    r#type: Param,
    width: usize,
    rate: f64,
    causal: bool,
    label: String,
    sizes: Vec<usize>,
    #[module(skip)]
    settings: Settings,
    marker: PhantomData<Tensor2>,
}

/// A stand-in; the derive would refuse the real name.
struct Tensor2;

fn everything() -> Everything {
    Everything {
        tag: Tag::new("Everything"),
        scale: param(&[1]),
        count: Buffer::new(Array::zeros([1], DType::I64).unwrap()),
        list: vec![Linear::new(1, 1).no_bias(), Linear::new(1, 1).no_bias()],
        maybe: Some(Linear::new(1, 1).no_bias()),
        nothing: None,
        boxed: Box::new(seq![Linear::new(1, 1).no_bias()]),
        shared: Arc::new(Linear::new(1, 1).no_bias()),
        pair: (Linear::new(1, 1), param(&[1])),
        array: [param(&[1]), param(&[1])],
        map: BTreeMap::from([("k".to_string(), Linear::new(1, 1).no_bias())]),
        attention: Linear::new(1, 1).no_bias(),
        r#type: param(&[1]),
        width: 1,
        rate: 0.5,
        causal: true,
        label: "x".to_string(),
        sizes: vec![1],
        settings: Settings,
        marker: PhantomData,
    }
}

#[test]
fn the_derive_walks_every_kind_of_field_in_order() {
    let model = everything();
    assert_eq!(
        names(&model),
        [
            "scale",
            "list.0.weight",
            "list.1.weight",
            "maybe.weight",
            "boxed.0.weight",
            "shared.weight",
            "pair.0.weight",
            "pair.0.bias",
            "pair.1",
            "array.0",
            "array.1",
            "map.k.weight",
            "c_attn.weight",
            "type",
        ]
    );
    assert_eq!(model.named_buffers()[0].0, "count");
    assert_eq!(model.num_parameters(), 14);
    assert_eq!(model.name(), "Everything");
    let Everything { width, rate, causal, label, sizes, settings: Settings, .. } = &model;
    assert_eq!((*width, *rate, *causal, label.as_str(), sizes.len()), (1, 0.5, true, "x", 1));
    assert!(model.nothing.is_none());
}

#[derive(Module)]
struct Residual<L, const N: usize> {
    inner: [L; N],
    scale: Param,
}

impl<L: Layer, const N: usize> Layer for Residual<L, N>
where
    Self: Module,
{
    fn forward(&self, x: &Tensor) -> Tensor {
        self.inner.iter().fold(x.clone(), |x, layer| &x + layer.forward(&x) * &self.scale)
    }
}

#[derive(Module)]
struct Pair(Linear, Relu);

#[derive(Module)]
struct Unit;

#[derive(Module)]
struct Borrowing<'a, M: ?Sized + Module> {
    inner: &'a M,
}

#[test]
fn the_derive_takes_generic_tuple_unit_and_borrowing_structs() {
    let model = Residual { inner: [Linear::new(2, 2), Linear::new(2, 2)], scale: param(&[1]) };
    assert_eq!(names(&model).len(), 5);
    assert_eq!(names(&model)[0], "inner.0.weight");
    assert_eq!(model.forward(&Tensor::ones([1, 2])).to_vec::<f32>().unwrap(), [1.0, 1.0]);
    assert_eq!(names(&Pair(Linear::new(1, 1), Relu)), ["0.weight", "0.bias"]);
    assert!(names(&Unit).is_empty() && Unit.name() == "Unit");
    assert_eq!(names(&Borrowing { inner: &model }).len(), 5);
    assert_eq!(names(&(&model, &Unit)).len(), 5);
    assert_eq!(Module::name(&model), "Residual");
}

#[derive(Module)]
struct Tied {
    encoder: Linear,
    decoder: Linear,
}

#[test]
fn a_shared_layer_is_listed_once_and_its_alias_recorded() {
    let encoder = Linear::new(3, 3);
    let model = Tied { decoder: encoder.share(), encoder };
    assert_eq!(names(&model), ["encoder.weight", "encoder.bias"]);
    assert_eq!(model.num_parameters(), 12);
    let aliases = model.aliases();
    assert_eq!(aliases[0], ("decoder.weight".to_string(), "encoder.weight".to_string()));
    assert_eq!(aliases.len(), 2);
    // Trained once: both see the same new value, moved by the sum of both gradients.
    let before = model.encoder.bias.as_ref().unwrap().get().unwrap();
    let x = Tensor::zeros([1, 3]);
    let loss = (model.encoder.forward(&x) + model.decoder.forward(&x)).sum();
    let mut opt = gradus_nn::Sgd::new(&model, 0.5);
    assert!(opt.step(&loss).unwrap().untouched.is_empty());
    let after = model.decoder.bias.as_ref().unwrap().get().unwrap();
    for (b, a) in before.to_f64().iter().zip(after.to_f64()) {
        assert!((b - 1.0 - a).abs() < 1e-6, "{b} {a}");
    }
}

#[test]
fn a_duplicate_starts_equal_and_goes_its_own_way() {
    let layer = Linear::new(2, 2);
    let copy = layer.duplicate();
    assert!(layer.weight.get().unwrap().same_bits(&copy.weight.get().unwrap()));
    let before = copy.weight.get().unwrap();
    let loss = layer.forward(&Tensor::ones([1, 2])).sum();
    Adam::new(&layer, 0.1).step(&loss).unwrap();
    assert!(copy.weight.get().unwrap().same_bits(&before));
    assert!(!layer.weight.get().unwrap().same_bits(&before));
}

#[test]
fn frozen_parameters_stay_and_thawed_ones_train() {
    let model = seq![Linear::new(2, 2), Tanh, Linear::new(2, 1)];
    let first = model.get(0).unwrap();
    first.freeze();
    let before = first.state_dict().unwrap();
    let mut opt = Adam::new(&model, 0.1);
    let step = |opt: &mut Adam| opt.step(&model.forward(&Tensor::ones([1, 2])).sum()).unwrap();
    assert_eq!(step(&mut opt).untouched.len(), 2);
    let weight = |state: &gradus_nn::StateDict| state.get("weight").unwrap().clone();
    assert!(weight(&before).same_bits(&weight(&first.state_dict().unwrap())));
    first.thaw();
    assert!(step(&mut opt).untouched.is_empty());
    assert!(!weight(&before).same_bits(&weight(&first.state_dict().unwrap())));
}

#[test]
fn paths_are_stamped_from_the_root_and_not_lost_to_a_part() {
    let model = Tied { encoder: Linear::new(1, 1), decoder: Linear::new(1, 1) };
    assert!(model.encoder.weight.path().is_none());
    model.stamp("Net");
    assert_eq!(model.encoder.weight.path().as_deref(), Some("encoder.weight"));
    assert_eq!(format!("{:?}", model.decoder), "Net > decoder: Linear(1 -> 1)");
    // An optimizer of a part leaves the names that the whole model gave.
    let _opt = Adam::new(&model.encoder, 0.1);
    assert_eq!(model.encoder.weight.path().as_deref(), Some("encoder.weight"));
    assert_eq!(format!("{:?}", model.encoder), "Net > encoder: Linear(1 -> 1)");
    // A model around it names it anew.
    let whole = (model,);
    let _opt = Adam::new(&whole, 0.1);
    assert_eq!(whole.0.encoder.weight.path().as_deref(), Some("0.encoder.weight"));
    // A layer alone is shown by its label.
    let alone = Linear::new(1, 1);
    alone.stamp("Linear");
    assert_eq!(format!("{alone:?}"), "Linear(1 -> 1)");
}

#[test]
fn predict_stamps_a_new_model_and_records_no_gradients() {
    let model = seq![Linear::new(2, 2), Dropout::new(0.5), Linear::new(2, 2)];
    let y = model.predict(&Tensor::ones([1, 2]));
    assert!(!y.requires_grad());
    assert_eq!(model.parameters()[2].path().as_deref(), Some("2.weight"));
    assert!(model.forward(&Tensor::ones([1, 2])).requires_grad());
    let again = model.predict(&Tensor::ones([1, 2]));
    assert_eq!(y.to_vec::<f32>().unwrap(), again.to_vec::<f32>().unwrap());
}

#[test]
fn layers_know_their_shapes_in_seq() {
    let mut model = seq![
        Flatten,
        Linear::new(6, 4),
        Relu,
        Gelu,
        GeluTanh,
        Sigmoid,
        Tanh,
        Identity,
        Dropout::new(0.1),
    ];
    model.push(Linear::new(4, 2));
    assert_eq!(model.len(), 10);
    let names: Vec<&str> = model.iter().map(Module::name).collect();
    assert_eq!((names[0], names[2], names[8]), ("Flatten", "Relu", "Dropout"));
    assert_eq!(model.forward(&Tensor::ones([5, 2, 3])).dims::<2>().unwrap(), [5, 2]);
    let nested: Box<dyn Layer> = Box::new(seq![model, Relu]);
    assert_eq!(nested.predict(&Tensor::ones([5, 2, 3])).dims::<2>().unwrap(), [5, 2]);
    assert_eq!(nested.num_parameters(), 6 * 4 + 4 + 4 * 2 + 2);
}

#[test]
fn sequential_applies_its_layers_in_order() {
    let double = |w: f32| Linear::from_arrays(Array::new([1, 1], &[w]).unwrap(), None);
    let model = Sequential::from(vec![
        Box::new(double(-2.0)) as Box<dyn Layer>,
        Box::new(Relu),
        Box::new(double(3.0)),
    ]);
    let y = model.forward(&Tensor::from([[1.0], [-1.0]]));
    assert_eq!(y.to_vec::<f32>().unwrap(), [0.0, 6.0]);
}

#[test]
fn the_seed_decides_the_initial_weights() {
    let bits = |seed| {
        gradus_core::seed(seed);
        Linear::new(5, 5).weight.get().unwrap()
    };
    let (a, b) = (bits(17), bits(17));
    assert!(a.same_bits(&b) && !a.same_bits(&bits(18)));
}

#[test]
fn a_hand_written_walk_works_as_a_derived_one() {
    struct ByHand(Vec<Linear>);
    impl Module for ByHand {
        fn walk(&self, visitor: &mut dyn Visitor) {
            for (i, layer) in self.0.iter().enumerate() {
                layer.visit(&format!("block{i}"), visitor);
            }
        }
    }
    let model = ByHand(vec![Linear::new(1, 1).no_bias(), Linear::new(1, 1).no_bias()]);
    assert_eq!(names(&model), ["block0.weight", "block1.weight"]);
    assert_eq!(model.name(), "ByHand");
    let deep: &dyn Module = &model;
    assert_eq!(deep.num_parameters(), 2);
}

#[test]
fn models_pass_between_threads() {
    let model = Arc::new(seq![Linear::new(2, 2), Relu]);
    let other = Arc::clone(&model);
    let dims = std::thread::spawn(move || {
        other.predict(&Tensor::ones([3, 2])).to_array().unwrap().dims().to_vec()
    });
    assert_eq!(dims.join().unwrap(), [3, 2]);
}
