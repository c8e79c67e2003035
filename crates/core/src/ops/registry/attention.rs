//! The row of attention.

use super::arrays::{any, exact, truth};
use super::{Gradient, Kind, OpRow, Sample, fails};
use crate::array::Array;
use crate::ops::attention::Attention;
use crate::tensor::Tensor;

pub(super) fn rows() -> Vec<OpRow> {
    vec![OpRow {
        name: "scaled_dot_product_attention",
        signature: "q.scaled_dot_product_attention(&k, &v)",
        formula: "softmax(q @ k^T / sqrt(size)) @ v",
        kind: Kind::Product,
        pytorch: "torch.nn.functional.scaled_dot_product_attention",
        onnx: Some("Attention"),
        gradient: Gradient::Yes,
        samples,
        errors: || {
            vec![
                fails!("a vector", Shape, "scaled_dot_product_attention: takes rows", {
                    let x = Tensor::zeros([3]);
                    x.scaled_dot_product_attention(&x, &x)
                }),
                fails!("other sizes", Shape, "queries have size 3, keys 4", {
                    let k = Tensor::zeros([2, 4]);
                    Tensor::zeros([2, 3]).scaled_dot_product_attention(&k, &k)
                }),
                fails!("keys and values", Shape, "there are 5 keys, but 4 values", {
                    let (k, v) = (Tensor::zeros([5, 3]), Tensor::zeros([4, 3]));
                    Tensor::zeros([2, 3]).scaled_dot_product_attention(&k, &v)
                }),
                fails!("batch axes", Shape, "do not broadcast", {
                    let k = Tensor::zeros([2, 4, 3]);
                    Tensor::zeros([3, 4, 3]).scaled_dot_product_attention(&k, &k)
                }),
                fails!("integers", DType, "takes floats, not i64", {
                    let x = Tensor::from([[1, 2]]);
                    x.scaled_dot_product_attention(&x, &x)
                }),
                fails!("a mask of another shape", Shape, "a mask [3, 3] does not broadcast", {
                    let (x, mask) = (Tensor::zeros([4, 3]), Tensor::zeros([3, 3]));
                    let options = Attention { attn_mask: Some(&mask), ..Attention::default() };
                    x.scaled_dot_product_attention_with(&x, &x, options)
                }),
                fails!("a mask of integers", DType, "a mask is bool or float, not i64", {
                    let (x, mask) = (Tensor::zeros([1, 3]), Tensor::from([[1]]));
                    let options = Attention { attn_mask: Some(&mask), ..Attention::default() };
                    x.scaled_dot_product_attention_with(&x, &x, options)
                }),
                fails!("a probability", Argument, "the probability 1.5 is not in [0, 1]", {
                    let x = Tensor::zeros([1, 3]);
                    let options = Attention { dropout_p: 1.5, ..Attention::default() };
                    x.scaled_dot_product_attention_with(&x, &x, options)
                }),
                fails!("heads", Shape, "3 heads of queries cannot share 2 heads of keys", {
                    let (q, k) = (Tensor::zeros([3, 4, 5]), Tensor::zeros([2, 4, 5]));
                    let options = Attention { enable_gqa: true, ..Attention::default() };
                    q.scaled_dot_product_attention_with(&k, &k, options)
                }),
            ]
        },
    }]
}

fn with(v: &[Tensor], options: Attention<'_>) -> Tensor {
    v[0].scaled_dot_product_attention_with(&v[1], &v[2], options)
}

fn masked(v: &[Tensor], is_causal: bool) -> Tensor {
    with(v, Attention { attn_mask: v.get(3), is_causal, ..Attention::default() })
}

fn samples() -> Vec<Sample> {
    let inf = f32::NEG_INFINITY;
    let qkv = |q: &[usize], k: &[usize], v: &[usize]| vec![any(q, 1), any(k, 2), any(v, 3)];
    let and = |mut inputs: Vec<Array>, mask: Array| {
        inputs.push(mask);
        inputs
    };
    vec![
        Sample::new("rows", qkv(&[4, 3], &[5, 3], &[5, 2]), |v| with(v, Attention::default())),
        Sample::new("heads", qkv(&[2, 3, 4, 5], &[2, 3, 6, 5], &[2, 3, 6, 4]), |v| {
            with(v, Attention::default())
        }),
        Sample::new("one head of keys", qkv(&[3, 4, 5], &[6, 5], &[6, 4]), |v| {
            with(v, Attention::default())
        }),
        Sample::new("causal", qkv(&[2, 5, 3], &[2, 5, 3], &[2, 5, 3]), |v| {
            with(v, Attention { is_causal: true, ..Attention::default() })
        }),
        Sample::new("causal, more keys", qkv(&[3, 4], &[5, 4], &[5, 4]), |v| {
            with(v, Attention { is_causal: true, ..Attention::default() })
        }),
        Sample::new("a scale", qkv(&[3, 4], &[5, 4], &[5, 4]), |v| {
            with(v, Attention { scale: Some(0.3), ..Attention::default() })
        }),
        Sample::new(
            "a mask of bool",
            and(qkv(&[2, 2, 4, 3], &[2, 2, 5, 3], &[2, 2, 5, 3]), truth(&[4, 5], 9)),
            |v| masked(v, false),
        ),
        Sample::new(
            "a mask a batch, and causal",
            and(qkv(&[2, 2, 4, 3], &[2, 2, 4, 3], &[2, 2, 4, 3]), truth(&[2, 1, 1, 4], 9)),
            |v| masked(v, true),
        ),
        Sample::new(
            "all masked",
            and(qkv(&[1, 3], &[2, 3], &[2, 3]), exact(&[false, false])),
            |v| masked(v, false),
        ),
        Sample::new(
            "a mask of floats",
            and(qkv(&[2, 4, 3], &[2, 5, 3], &[2, 5, 3]), any(&[2, 1, 5], 9)),
            |v| masked(v, false),
        ),
        Sample::new(
            "infinite masks",
            and(qkv(&[2, 3], &[2, 3], &[2, 3]), exact(&[inf, 0.5])),
            |v| masked(v, true),
        )
        .kinks(),
        Sample::new("shared keys", qkv(&[2, 4, 3, 5], &[2, 2, 6, 5], &[2, 2, 6, 5]), |v| {
            with(v, Attention { enable_gqa: true, ..Attention::default() })
        }),
        Sample::new(
            "shared keys and a mask",
            and(qkv(&[4, 3, 5], &[2, 3, 5], &[2, 3, 4]), truth(&[4, 3, 3], 5)),
            |v| {
                with(
                    v,
                    Attention {
                        attn_mask: v.get(3),
                        is_causal: true,
                        enable_gqa: true,
                        ..Attention::default()
                    },
                )
            },
        ),
        Sample::new(
            "weights that share a head of keys",
            qkv(&[2, 2, 3], &[1, 3, 3], &[1, 3, 3]),
            |v| {
                let (y, weights) = v[0].attention_with_weights(&v[1], &v[2], Attention::default());
                y + weights
            },
        ),
        Sample::new("one projection", vec![any(&[2, 6, 18], 1)], |v| {
            // Queries, keys and values of three heads side by side, as in a transformer.
            let part =
                |i: usize| v[0].narrow(-1, i * 6, 6).reshape_to([2, 6, 3, 2]).transpose(1, 2);
            let options = Attention { is_causal: true, ..Attention::default() };
            let y = part(0).scaled_dot_product_attention_with(&part(1), &part(2), options);
            y.transpose(1, 2).reshape_to([2, 6, 6])
        }),
        Sample::new("a tensor with itself", vec![any(&[2, 5, 3], 1)], |v| {
            v[0].scaled_dot_product_attention(&v[0], &v[0])
        }),
        Sample::new("turned operands", qkv(&[3, 4], &[3, 5], &[2, 5]), |v| {
            v[0].t().scaled_dot_product_attention(&v[1].t(), &v[2].t())
        }),
        Sample::new("more keys than a block", qkv(&[2, 2], &[300, 2], &[300, 2]), |v| {
            with(v, Attention::default())
        }),
        Sample::new(
            "a mask a key",
            and(qkv(&[2, 2, 3, 2], &[2, 2, 4, 2], &[2, 2, 4, 2]), truth(&[3, 1], 4)),
            |v| masked(v, false),
        ),
        Sample::new("weights", qkv(&[3, 4], &[5, 4], &[5, 4]), |v| {
            v[0].attention_with_weights(&v[1], &v[2], Attention::default()).1
        }),
        Sample::new("no keys", qkv(&[2, 3], &[0, 3], &[0, 4]), |v| with(v, Attention::default())),
        Sample::new("no queries", qkv(&[0, 3], &[2, 3], &[2, 4]), |v| {
            with(v, Attention::default())
        }),
    ]
}
