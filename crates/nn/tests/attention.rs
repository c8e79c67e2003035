//! Attention layers: what PyTorch's values (in the facade's golden tests) do not show.
#![allow(clippy::unwrap_used, reason = "a test")]

use gradus_core::{Tensor, inference};
use gradus_nn::{AttentionMasks, ModuleExt, MultiheadAttention, RotaryPositions, Transformer};

fn close(a: &Tensor, b: &Tensor) {
    assert!(a.all_close(b, 1e-5, 1e-6, false).unwrap(), "{a}\nis not\n{b}");
}

fn x(rows: usize) -> Tensor {
    Tensor::from_fn([2, rows, 8], |at| {
        ((at[0] * 5 + at[1] * 7 + at[2] * 3) % 13) as f64 / 6.0 - 1.0
    })
}

#[test]
fn the_same_tensor_three_times_is_one_product_with_the_same_result() {
    let (layer, x) = (MultiheadAttention::new(8, 2).batch_first(true), x(4));
    let (k, v) = (x.clone(), x.clone());
    close(&layer.forward(&x, &x, &x), &layer.forward(&x, &k, &v));
    close(&layer.forward(&x, &x, &x), &layer.forward(&x, &k, &k));
}

#[test]
fn causal_with_extra_keys_shows_them_to_everybody() {
    let layer = MultiheadAttention::new(8, 2).batch_first(true).add_bias_kv().add_zero_attn();
    let x = x(3);
    let masks = AttentionMasks { is_causal: true, ..AttentionMasks::default() };
    let (y, weights) = layer.forward_with(&x, &x, &x, masks);
    let hidden = Tensor::from([[false, true, true], [false, false, true], [false, false, false]]);
    let masks = AttentionMasks { attn_mask: Some(&hidden), ..AttentionMasks::default() };
    let (z, same) = layer.forward_with(&x, &x, &x, masks);
    close(&y, &z);
    close(&weights, &same);
    assert_eq!(weights.dims::<3>().unwrap(), [2, 3, 5]);
    assert!(
        weights.select(0, 0).select(0, 0).to_vec::<f32>().unwrap()[3..].iter().all(|w| *w > 0.0)
    );
}

#[test]
fn a_query_that_sees_nothing_gets_the_bias_and_no_nan() {
    let layer = MultiheadAttention::new(8, 2).batch_first(true);
    let x = x(3);
    let padding = Tensor::from([[true, true, true], [false, false, true]]);
    let masks = AttentionMasks { key_padding_mask: Some(&padding), ..AttentionMasks::default() };
    let (y, _) = layer.forward_with(&x, &x, &x, masks);
    assert_eq!(y.select(0, 0).to_vec::<f32>().unwrap(), [0.0; 24]);
    let gradients = y.square().sum().backward().unwrap();
    let weight = gradients.get(layer.in_proj_weight.as_ref().unwrap()).unwrap();
    assert_eq!(weight.is_finite().all().item().unwrap(), 1.0);
}

#[test]
fn dropout_is_off_in_inference() {
    let layer = MultiheadAttention::new(8, 2).batch_first(true).dropout(0.5);
    let x = x(4);
    let run = || layer.forward(&x, &x, &x);
    let (a, b) = inference(|| (run(), run()));
    assert!(a.to_array().unwrap().same_bits(&b.to_array().unwrap()));
    assert!(!run().to_array().unwrap().same_bits(&b.to_array().unwrap()));
}

#[test]
fn names_are_those_of_pytorch() {
    let names = |layer: &MultiheadAttention| -> Vec<String> {
        layer.named_parameters().into_iter().map(|p| p.0).collect()
    };
    let packed = MultiheadAttention::new(8, 2);
    assert_eq!(
        names(&packed),
        ["in_proj_weight", "in_proj_bias", "out_proj.weight", "out_proj.bias"]
    );
    let apart = MultiheadAttention::new(8, 2).kdim(5).vdim(7).add_bias_kv().no_bias();
    let want =
        ["q_proj_weight", "k_proj_weight", "v_proj_weight", "bias_k", "bias_v", "out_proj.weight"];
    assert_eq!(names(&apart), want);
}

#[test]
fn misuse_is_an_error_that_says_why() {
    let title = |y: &Tensor| y.to_array().unwrap_err().title().to_string();
    let (layer, x) = (MultiheadAttention::new(8, 3).batch_first(true), x(4));
    assert!(title(&layer.forward(&x, &x, &x)).contains("3 heads do not share a size of 8"));
    let layer = MultiheadAttention::new(8, 2).batch_first(true);
    let y = layer.forward(&x, &Tensor::zeros([2, 4, 6]), &x);
    assert!(title(&y).contains("keys [2, 4, 6] do not have the size 8"), "{}", title(&y));
    let y = layer.forward(&x, &Tensor::zeros([3, 4, 8]), &Tensor::zeros([3, 4, 8]));
    assert!(title(&y).contains("differ"), "{}", title(&y));
    let mask = Tensor::from([[true, false]]);
    let masks = AttentionMasks { attn_mask: Some(&mask), ..AttentionMasks::default() };
    let y = layer.forward_with(&x, &x, &x, masks).0;
    assert!(title(&y).contains("`attn_mask` is [4, 4] or [4, 4, 4], not [1, 2]"), "{}", title(&y));
}

#[test]
fn rotary_positions_turn_pairs_by_their_place() {
    let x = Tensor::from([[1.0, 0.0, 0.0, 1.0], [1.0, 0.0, 0.0, 1.0], [1.0, 0.0, 0.0, 1.0]]);
    let y = RotaryPositions::new(9, 4).forward_from(&x, 2);
    let row = |p: f64| {
        let (a, b) = (p, p / 100.0); // the second pair turns 10000^(2/4) times more slowly
        [a.cos(), a.sin(), -b.sin(), b.cos()]
    };
    close(&y, &Tensor::from([row(2.0), row(3.0), row(4.0)]));
    // The other layout is the same with the columns in another order.
    let order = Tensor::from([0, 2, 1, 3]);
    let halves = RotaryPositions::new(9, 4).halves().forward_from(&x.index_select(1, &order), 2);
    close(&halves, &y.index_select(1, &order));
}

#[test]
fn a_transformer_has_the_names_and_the_parameters_of_pytorch() {
    let model = Transformer::new(8, 2, 2, 3).dim_feedforward(16);
    let state = model.state_dict().unwrap();
    assert_eq!(state.iter().count(), 2 * 12 + 2 + 3 * 18 + 2);
    for name in [
        "encoder.layers.1.self_attn.in_proj_weight",
        "encoder.layers.0.linear2.bias",
        "encoder.norm.weight",
        "decoder.layers.2.multihead_attn.out_proj.bias",
        "decoder.layers.0.norm3.weight",
        "decoder.norm.bias",
    ] {
        assert!(state.get(name).is_some(), "{name}");
    }
}
