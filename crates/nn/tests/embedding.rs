//! Tables of vectors: what they give, what they learn, what they refuse.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use gradus_core::{Array, Code, DType, Tensor};
use gradus_nn::{EmbedColumns, Embedding, Layer, Linear, ModuleExt, Optimizer, Sgd, seq};

fn table() -> Array {
    Array::new([3, 2], &[1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0]).unwrap()
}

#[test]
fn ids_of_any_shape_become_vectors() {
    let e = Embedding::from_array(table());
    assert_eq!(e.named_parameters()[0].0, "weight");
    assert_eq!(e.forward(&Tensor::from([2, 0])).to_vec::<f32>().unwrap(), [5.0, 6.0, 1.0, 2.0]);
    let grid = e.forward(&Tensor::from([[0, 1], [2, 2]]));
    assert_eq!(grid.dims::<3>().unwrap(), [2, 2, 2]);
    assert_eq!(e.forward(&Tensor::from(1)).to_vec::<f32>().unwrap(), [3.0, 4.0]);
    assert_eq!(e.forward(&Tensor::zeros([0]).cast(DType::I64)).dims::<2>().unwrap(), [0, 2]);
}

#[test]
fn the_gradient_adds_up_where_an_id_repeats_and_spares_padding() {
    let ids = Tensor::from([1, 1, 0, 2]);
    let gradient = |e: &Embedding| {
        let loss = (e.forward(&ids) * Tensor::from([[1.0], [10.0], [100.0], [1000.0]])).sum();
        loss.backward().unwrap().get(&e.weight).unwrap().to_vec::<f32>().unwrap()
    };
    let e = Embedding::from_array(table());
    assert_eq!(gradient(&e), [100.0, 100.0, 11.0, 11.0, 1000.0, 1000.0]);
    let padded = Embedding::from_array(table()).padding_idx(0);
    assert_eq!(gradient(&padded), [0.0, 0.0, 11.0, 11.0, 1000.0, 1000.0]);
    assert_eq!(padded.forward(&Tensor::from([0])).to_vec::<f32>().unwrap(), [0.0, 0.0]);
}

#[test]
fn an_id_that_is_not_there_is_named_with_the_size() {
    let e = seq![Embedding::from_array(table())];
    for id in [3, -1] {
        let error = e.predict(&Tensor::from([0, id])).to_vec::<f32>().unwrap_err();
        let text = error.to_string();
        assert_eq!(error.code(), Code::Index);
        for word in [format!("index {id}").as_str(), "3", "position 1", "Embedding(3, 2)"] {
            assert!(text.contains(word), "no {word:?} in {text}");
        }
    }
    let error = e.forward(&Tensor::from([0.5])).check().unwrap_err();
    assert!(error.title().contains("ids are i64, not f32"), "{error}");
    let error = Embedding::new(0, 4).forward(&Tensor::from([0])).check().unwrap_err();
    assert!(error.title().contains("Embedding(0, 4)"), "{error}");
    let error = Embedding::new(2, 4).padding_idx(2).forward(&Tensor::from([0])).check();
    assert!(error.unwrap_err().title().contains("padding id 2"));
}

#[test]
fn columns_of_ids_are_replaced_by_their_vectors() {
    gradus_core::seed(3);
    let layer = EmbedColumns::new(1, &[(4, 2), (3, 1)]);
    assert_eq!((layer.in_features(), layer.out_features()), (3, 4));
    let names: Vec<String> = layer.named_parameters().into_iter().map(|(n, _)| n).collect();
    assert_eq!(names, ["tables.0.weight", "tables.1.weight"]);
    let x = Tensor::from([[0.5, 0.0, 2.0], [-1.0, 3.0, 0.0]]);
    let y = layer.predict(&x).to_vec::<f32>().unwrap();
    let (a, b) = (layer.tables[0].weight.get().unwrap(), layer.tables[1].weight.get().unwrap());
    let (a, b) = (a.to_vec::<f32>().unwrap(), b.to_vec::<f32>().unwrap());
    assert_eq!(y, [0.5, 0.0, 0.0, b[2], -1.0, a[6], a[7], 0.0]);
    let error = layer.predict(&Tensor::zeros([2, 4])).check().unwrap_err();
    assert!(error.to_string().contains("takes [batch, 3], not [2, 4]"), "{error}");
}

#[test]
fn what_belongs_to_an_id_is_learnt() {
    gradus_core::seed(5);
    let model = seq![EmbedColumns::new(0, &[(5, 2)]), Linear::new(2, 1)];
    let ids = Tensor::from([[0.0], [1.0], [2.0], [3.0], [4.0]]);
    let y = Tensor::from([[1.0], [-1.0], [2.0], [0.0], [3.0]]);
    let mut opt = Sgd::new(&model, 0.1).momentum(0.9);
    let mut last = f64::NAN;
    for _ in 0..400 {
        last = opt.step(&model.forward(&ids).mse_loss(&y)).unwrap().loss;
    }
    assert!(last < 1e-3, "{last}");
}
