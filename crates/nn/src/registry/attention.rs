//! Rows of attention, transformers and positions.

use gradus_core::{Array, Tensor};

use super::samples::floats;
use super::{Built, Group, LayerRow, Sample, fails};
use crate::layers::AttentionMasks;
use crate::{
    LearnedPositions, MultiheadAttention, RotaryPositions, SinusoidalPositions, Transformer,
    TransformerDecoder, TransformerDecoderLayer, TransformerEncoder, TransformerEncoderLayer,
    TransformerMasks,
};

pub(super) fn rows() -> Vec<LayerRow> {
    vec![multihead(), encoder_layer(), decoder_layer(), encoder(), decoder(), transformer()]
        .into_iter()
        .chain(positions())
        .collect()
}

/// Attention of the first input to itself.
fn to_itself(layer: &MultiheadAttention, xs: &[Tensor]) -> Tensor {
    match xs {
        [x] => layer.forward(x, x, x),
        [x, mask] => {
            let masks = AttentionMasks { attn_mask: Some(mask), ..AttentionMasks::default() };
            layer.forward_with(x, x, x, masks).0
        }
        [x, mask, padding, ..] => {
            let masks = AttentionMasks {
                attn_mask: Some(mask),
                key_padding_mask: Some(padding),
                ..AttentionMasks::default()
            };
            // The weights are part of the result.
            let (y, weights) = layer.forward_with(x, x, x, masks);
            Tensor::concat(&[&y.flatten(0), &weights.flatten(0)], 0)
        }
        [] => Tensor::failed(gradus_core::Error::internal("a sample without inputs")),
    }
}

fn causal() -> AttentionMasks<'static> {
    AttentionMasks { is_causal: true, ..AttentionMasks::default() }
}

fn multihead() -> LayerRow {
    LayerRow {
        name: "MultiheadAttention",
        signature: "MultiheadAttention::new(embed_dim, num_heads).dropout(p).no_bias().batch_first(true)\
                    .kdim(n).vdim(n).add_bias_kv().add_zero_attn()",
        computes: "softmax(q k^T / sqrt(size)) v in each head, then a map: queries [L, B, E], keys \
                   [S, B, kdim], values [S, B, vdim] -> [L, B, E]",
        parameters: "in_proj_weight [3 E, E] (or q_proj_weight, k_proj_weight, v_proj_weight), \
                     in_proj_bias [3 E], bias_k, bias_v [1, 1, E], out_proj.weight, out_proj.bias",
        group: Group::Attention,
        pytorch: "torch.nn.MultiheadAttention",
        samples: || {
            vec![
                Sample::new(
                    "self-attention",
                    || Built::with(MultiheadAttention::new(4, 2), to_itself),
                    || Ok(vec![floats([3, 2, 4], 1)?]),
                ),
                Sample::new(
                    "batch first, a mask that is added",
                    || Built::with(MultiheadAttention::new(4, 2).batch_first(true), to_itself),
                    || Ok(vec![floats([2, 3, 4], 1)?, floats([3, 3], 2)?]),
                ),
                Sample::new(
                    "two masks of bool, one hides all keys of a sample; weights",
                    || Built::with(MultiheadAttention::new(4, 2).batch_first(true), to_itself),
                    || {
                        let own = [false, true, true, false, false, true, false, false, false];
                        let padding = [false, false, true, true, true, true];
                        Ok(vec![
                            floats([2, 3, 4], 1)?,
                            Array::new([3, 3], &own)?,
                            Array::new([2, 3], &padding)?,
                        ])
                    },
                ),
                Sample::new(
                    "keys and values of other sizes, no biases, no batch",
                    || {
                        let layer = MultiheadAttention::new(4, 2).kdim(3).vdim(5).no_bias();
                        Built::with(layer, |layer, xs| match xs {
                            [q, k, v, ..] => layer.forward(q, k, v),
                            _ => to_itself(layer, xs),
                        })
                    },
                    || Ok(vec![floats([3, 4], 1)?, floats([2, 3], 2)?, floats([2, 5], 3)?]),
                ),
                Sample::new(
                    "causal, with a learned key and one of zeros",
                    || {
                        let layer = MultiheadAttention::new(4, 2).add_bias_kv().add_zero_attn();
                        Built::with(layer, |layer, xs| match xs {
                            [x, ..] => layer.forward_with(x, x, x, causal()).0,
                            _ => to_itself(layer, xs),
                        })
                    },
                    || Ok(vec![floats([3, 2, 4], 1)?]),
                ),
                Sample::new(
                    "queries of one tensor, keys and values of another; dropout",
                    || {
                        let layer = MultiheadAttention::new(4, 1).batch_first(true).dropout(0.3);
                        Built::with(layer, |layer, xs| match xs {
                            [q, k, ..] => layer.forward(q, k, k),
                            _ => to_itself(layer, xs),
                        })
                    },
                    || Ok(vec![floats([2, 2, 4], 1)?, floats([2, 3, 4], 2)?]),
                ),
            ]
        },
        errors: || {
            vec![
                fails!("heads that do not divide", Argument, "3 heads do not share a size of 4", {
                    let x = Tensor::zeros([2, 1, 4]);
                    MultiheadAttention::new(4, 3).forward(&x, &x, &x)
                }),
                fails!("another size", Shape, "do not have the size 4 of this layer", {
                    let x = Tensor::zeros([2, 1, 6]);
                    MultiheadAttention::new(4, 2).forward(&x, &x, &x)
                }),
                fails!("too many axes", Shape, "takes rows of vectors", {
                    let x = Tensor::zeros([2, 1, 1, 4]);
                    MultiheadAttention::new(4, 2).forward(&x, &x, &x)
                }),
                fails!("a mask of integers", DType, "`attn_mask` is bool or float, not i64", {
                    let (x, mask) = (Tensor::zeros([1, 1, 4]), Tensor::from([[0]]));
                    let masks = AttentionMasks { attn_mask: Some(&mask), ..causal() };
                    MultiheadAttention::new(4, 2).forward_with(&x, &x, &x, masks).0
                }),
                fails!("dropout", Argument, "the probability 2 is not in [0, 1]", {
                    let x = Tensor::zeros([2, 1, 4]);
                    MultiheadAttention::new(4, 2).dropout(2.0).forward(&x, &x, &x)
                }),
            ]
        },
    }
}

fn encoder_layer() -> LayerRow {
    LayerRow {
        name: "TransformerEncoderLayer",
        signature: "TransformerEncoderLayer::new(d_model, nhead).dim_feedforward(n).dropout(p)\
                    .activation(Tensor::gelu).layer_norm_eps(eps).norm_first(true).batch_first(true).no_bias()",
        computes: "x + attention(x), then x + maps(x), each normalised: [rows, batch, d_model] keeps \
                   its shape",
        parameters: "self_attn, linear1, linear2, norm1, norm2",
        group: Group::Attention,
        pytorch: "torch.nn.TransformerEncoderLayer",
        samples: || {
            vec![
                Sample::new(
                    "normalised afterwards",
                    || Built::layer(encoder_of_four().activation(Tensor::gelu)),
                    || Ok(vec![floats([3, 2, 4], 1)?]),
                ),
                Sample::new(
                    "normalised before, batch first, no biases",
                    || {
                        let layer = encoder_of_four().activation(Tensor::tanh);
                        Built::layer(layer.norm_first(true).batch_first(true).no_bias())
                    },
                    || Ok(vec![floats([2, 3, 4], 2)?]),
                ),
                Sample::new(
                    "causal, with dropout",
                    || {
                        let layer = encoder_of_four().activation(Tensor::gelu).dropout(0.3);
                        Built::with(layer, |layer, xs| match xs {
                            [x, ..] => layer.forward_with(x, causal()),
                            [] => Tensor::zeros(1),
                        })
                    },
                    || Ok(vec![floats([3, 4], 3)?]),
                ),
            ]
        },
        errors: || {
            vec![
                fails!("another size", Shape, "do not have the size 4 of this layer", {
                    encoder_of_four().forward(&Tensor::zeros([2, 1, 6]))
                }),
                fails!("no maps", Argument, "Linear: sizes must be at least 1", {
                    encoder_of_four().dim_feedforward(0).forward(&Tensor::zeros([2, 1, 4]))
                }),
            ]
        },
    }
}

fn encoder_of_four() -> TransformerEncoderLayer {
    TransformerEncoderLayer::new(4, 2).dim_feedforward(5).dropout(0.0)
}

fn decoder_of_four() -> TransformerDecoderLayer {
    TransformerDecoderLayer::new(4, 2).dim_feedforward(5).dropout(0.0).activation(Tensor::gelu)
}

fn decoder_layer() -> LayerRow {
    LayerRow {
        name: "TransformerDecoderLayer",
        signature: "TransformerDecoderLayer::new(d_model, nhead).dim_feedforward(n).dropout(p)\
                    .activation(Tensor::gelu).layer_norm_eps(eps).norm_first(true).batch_first(true).no_bias()",
        computes: "x + attention(x), x + attention(x, memory), x + maps(x), each normalised: targets \
                   [rows, batch, d_model] keep their shape",
        parameters: "self_attn, multihead_attn, linear1, linear2, norm1, norm2, norm3",
        group: Group::Attention,
        pytorch: "torch.nn.TransformerDecoderLayer",
        samples: || {
            vec![
                Sample::new(
                    "normalised afterwards",
                    || {
                        Built::with(decoder_of_four(), |layer, xs| match xs {
                            [tgt, memory, ..] => layer.forward(tgt, memory),
                            _ => Tensor::zeros(1),
                        })
                    },
                    || Ok(vec![floats([3, 2, 4], 1)?, floats([2, 2, 4], 2)?]),
                ),
                Sample::new(
                    "normalised before, batch first, causal",
                    || {
                        let layer = decoder_of_four().norm_first(true).batch_first(true);
                        Built::with(layer, |layer, xs| match xs {
                            [tgt, memory, ..] => {
                                layer.forward_with(tgt, memory, causal(), AttentionMasks::default())
                            }
                            _ => Tensor::zeros(1),
                        })
                    },
                    || Ok(vec![floats([2, 3, 4], 1)?, floats([2, 2, 4], 2)?]),
                ),
            ]
        },
        errors: || {
            vec![fails!("a memory of another size", Shape, "keys [2, 1, 3] do not have", {
                decoder_of_four().forward(&Tensor::zeros([2, 1, 4]), &Tensor::zeros([2, 1, 3]))
            })]
        },
    }
}

fn encoder() -> LayerRow {
    LayerRow {
        name: "TransformerEncoder",
        signature: "TransformerEncoder::new(num_layers, || TransformerEncoderLayer::new(..)).norm(norm)",
        computes: "layers one after the other: [rows, batch, d_model] keeps its shape",
        parameters: "layers.0, layers.1, .., norm",
        group: Group::Attention,
        pytorch: "torch.nn.TransformerEncoder",
        samples: || {
            vec![Sample::new(
                "two layers",
                || {
                    let layer = || encoder_of_four().activation(Tensor::gelu);
                    Built::layer(TransformerEncoder::new(2, layer))
                },
                || Ok(vec![floats([3, 2, 4], 1)?]),
            )]
        },
        errors: || {
            vec![fails!("another size", Shape, "do not have the size 4 of this layer", {
                TransformerEncoder::new(1, encoder_of_four).forward(&Tensor::zeros([2, 1, 6]))
            })]
        },
    }
}

fn decoder() -> LayerRow {
    LayerRow {
        name: "TransformerDecoder",
        signature: "TransformerDecoder::new(num_layers, || TransformerDecoderLayer::new(..)).norm(norm)",
        computes: "layers one after the other: targets [rows, batch, d_model] keep their shape",
        parameters: "layers.0, layers.1, .., norm",
        group: Group::Attention,
        pytorch: "torch.nn.TransformerDecoder",
        samples: || {
            vec![Sample::new(
                "two layers",
                || {
                    let stack = TransformerDecoder::new(2, decoder_of_four);
                    Built::with(stack, |stack, xs| match xs {
                        [tgt, memory, ..] => stack.forward(tgt, memory),
                        _ => Tensor::zeros(1),
                    })
                },
                || Ok(vec![floats([3, 1, 4], 1)?, floats([2, 1, 4], 2)?]),
            )]
        },
        errors: Vec::new,
    }
}

fn transformer() -> LayerRow {
    LayerRow {
        name: "Transformer",
        signature: "Transformer::new(d_model, nhead, num_encoder_layers, num_decoder_layers)\
                    .dim_feedforward(n).dropout(p).activation(Tensor::gelu).norm_first(true).batch_first(true)",
        computes: "decoder(tgt, encoder(src)): targets [rows, batch, d_model] keep their shape",
        parameters: "encoder.layers.N, encoder.norm, decoder.layers.N, decoder.norm",
        group: Group::Attention,
        pytorch: "torch.nn.Transformer",
        samples: || {
            vec![Sample::new(
                "one layer each, causal",
                || {
                    let model = Transformer::new(4, 2, 1, 1).dim_feedforward(5).dropout(0.0);
                    Built::with(model.activation(Tensor::gelu), |model, xs| match xs {
                        [src, tgt, ..] => {
                            let masks =
                                TransformerMasks { tgt: causal(), ..TransformerMasks::default() };
                            model.forward_with(src, tgt, masks)
                        }
                        _ => Tensor::zeros(1),
                    })
                },
                || Ok(vec![floats([3, 1, 4], 1)?, floats([2, 1, 4], 2)?]),
            )]
        },
        errors: Vec::new,
    }
}

fn positions() -> Vec<LayerRow> {
    vec![
        LayerRow {
            name: "SinusoidalPositions",
            signature: "SinusoidalPositions::new(max_len, size)",
            computes: "x + waves of each row's position: [.., rows, size] keeps its shape",
            parameters: "",
            group: Group::Attention,
            pytorch: "-",
            samples: || {
                vec![Sample::new(
                    "an odd size",
                    || Built::layer(SinusoidalPositions::new(4, 5)),
                    || Ok(vec![floats([2, 3, 5], 1)?]),
                )]
            },
            errors: || {
                vec![
                    fails!("too many rows", Index, "rows 0..5 of 4 positions", {
                        SinusoidalPositions::new(4, 2).forward(&Tensor::zeros([5, 2]))
                    }),
                    fails!("another size", Shape, "takes [.., rows, 2], not [4, 3]", {
                        SinusoidalPositions::new(4, 2).forward(&Tensor::zeros([4, 3]))
                    }),
                    fails!("a size of 0", Argument, "both sizes must be at least 1", {
                        SinusoidalPositions::new(4, 0).forward(&Tensor::zeros([4, 0]))
                    }),
                ]
            },
        },
        LayerRow {
            name: "LearnedPositions",
            signature: "LearnedPositions::new(max_len, size)",
            computes: "x + weight[row]: [.., rows, size] keeps its shape",
            parameters: "weight [max_len, size]",
            group: Group::Attention,
            pytorch: "-",
            samples: || {
                vec![
                    Sample::new(
                        "from the start",
                        || Built::layer(LearnedPositions::new(4, 3)),
                        || Ok(vec![floats([2, 3, 3], 1)?]),
                    ),
                    Sample::new(
                        "from the second position",
                        || {
                            Built::with(LearnedPositions::new(4, 3), |layer, xs| match xs {
                                [x, ..] => layer.forward_from(x, 1),
                                [] => Tensor::zeros(1),
                            })
                        },
                        || Ok(vec![floats([3, 3], 1)?]),
                    ),
                ]
            },
            errors: || {
                vec![fails!("too many rows", Index, "rows 3..5 of 4 positions", {
                    LearnedPositions::new(4, 2).forward_from(&Tensor::zeros([2, 2]), 3)
                })]
            },
        },
        LayerRow {
            name: "RotaryPositions",
            signature: "RotaryPositions::new(max_len, size).base(10000.0).halves()",
            computes: "pairs of columns turned by angles that grow with the row: [.., rows, size] \
                       keeps its shape",
            parameters: "",
            group: Group::Attention,
            pytorch: "-",
            samples: || {
                vec![
                    Sample::new(
                        "neighbours are pairs",
                        || Built::layer(RotaryPositions::new(4, 6)),
                        || Ok(vec![floats([2, 3, 6], 1)?]),
                    ),
                    Sample::new(
                        "halves, from the second position",
                        || {
                            let layer = RotaryPositions::new(4, 6).base(100.0).halves();
                            Built::with(layer, |layer, xs| match xs {
                                [x, ..] => layer.forward_from(x, 1),
                                [] => Tensor::zeros(1),
                            })
                        },
                        || Ok(vec![floats([3, 6], 1)?]),
                    ),
                ]
            },
            errors: || {
                vec![fails!("an odd size", Argument, "size 3 is odd", {
                    RotaryPositions::new(4, 3).forward(&Tensor::zeros([2, 3]))
                })]
            },
        },
    ]
}
