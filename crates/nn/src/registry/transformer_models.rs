//! Rows of models that are transformers.

use gradus_core::{Param, Tensor};

use super::samples::{floats, ids};
use super::{Built, Group, LayerRow, Sample, fails};
use crate::models::{Gpt, GptConfig, VisionTransformer, VisionTransformerConfig};

pub(super) fn rows() -> Vec<LayerRow> {
    vec![gpt(), vit()]
}

fn small() -> GptConfig {
    GptConfig { vocab_size: 7, n_positions: 4, n_embd: 8, n_layer: 2, n_head: 2, dropout: 0.0 }
}

/// The vectors of tokens and places start small, where a norm bends too much for differences.
fn spread(params: &[&Param]) {
    for (seed, param) in params.iter().enumerate() {
        // What cannot be set stays as it is, and the sample says so.
        let _ = floats(param.shape(), 40 + seed as u64).and_then(|value| param.set(value));
    }
}

fn spread_gpt(sizes: GptConfig) -> Built {
    let model = Gpt::new(sizes);
    spread(&[&model.wte.weight, &model.wpe.weight]);
    Built::layer(model)
}

fn spread_vit(sizes: VisionTransformerConfig) -> Built {
    let model = VisionTransformer::new(sizes);
    spread(&[&model.class_token, &model.pos_embedding, &model.head.weight]);
    Built::layer(model)
}

fn gpt() -> LayerRow {
    LayerRow {
        name: "Gpt",
        signature: "models::Gpt::new(GptConfig { vocab_size, n_positions, n_embd, n_layer, n_head, dropout })",
        computes: "logits of the next token after each one: ids [batch, tokens] -> [batch, tokens, \
                   vocab_size]",
        parameters: "wte, wpe, h.N.ln_1, h.N.attn.c_attn, h.N.attn.c_proj, h.N.ln_2, h.N.mlp.c_fc, \
                     h.N.mlp.c_proj, ln_f; the last map is wte",
        group: Group::Model,
        pytorch: "-",
        samples: || {
            vec![
                Sample::new("two layers", || spread_gpt(small()), || Ok(vec![ids([2, 4], 7, 1)?])),
                Sample::new(
                    "dropout, fewer tokens",
                    || spread_gpt(GptConfig { dropout: 0.2, n_layer: 1, ..small() }),
                    || Ok(vec![ids([1, 3], 7, 2)?]),
                ),
            ]
        },
        errors: || {
            vec![
                fails!("too many tokens", Shape, "5 tokens, but only 4 positions", {
                    Gpt::new(small()).forward(&Tensor::from([[0, 1, 2, 3, 4]]))
                }),
                fails!("no batch", Shape, "takes [batch, tokens] of i64, not i64 [2]", {
                    Gpt::new(small()).forward(&Tensor::from([0, 1]))
                }),
                fails!("an id too large", Index, "index 7", {
                    Gpt::new(small()).forward(&Tensor::from([[0, 7]]))
                }),
                fails!("heads that do not divide", Argument, "3 heads do not share a size of 8", {
                    Gpt::new(GptConfig { n_head: 3, ..small() }).forward(&Tensor::from([[0]]))
                }),
            ]
        },
    }
}

fn tiny() -> VisionTransformerConfig {
    VisionTransformerConfig {
        image_size: 4,
        patch_size: 2,
        in_channels: 2,
        num_layers: 1,
        num_heads: 2,
        hidden_dim: 8,
        mlp_dim: 5,
        num_classes: 3,
        dropout: 0.0,
        attention_dropout: 0.0,
    }
}

fn vit() -> LayerRow {
    LayerRow {
        name: "VisionTransformer",
        signature: "models::VisionTransformer::new(VisionTransformerConfig { image_size, patch_size, \
                    in_channels, num_layers, num_heads, hidden_dim, mlp_dim, num_classes, dropout, \
                    attention_dropout })",
        computes: "logits of images through an encoder over patches: [batch, in_channels, side, side] \
                   -> [batch, num_classes]",
        parameters: "class_token, conv_proj, encoder.pos_embedding, \
                     encoder.layers.encoder_layer_N, encoder.ln, heads.head",
        group: Group::Model,
        pytorch: "-",
        samples: || {
            vec![
                Sample::new(
                    "one layer",
                    || spread_vit(tiny()),
                    || Ok(vec![floats([2, 2, 4, 4], 1)?]),
                ),
                Sample::new(
                    "dropout",
                    || {
                        let sizes = VisionTransformerConfig {
                            dropout: 0.2,
                            attention_dropout: 0.1,
                            ..tiny()
                        };
                        spread_vit(sizes)
                    },
                    || Ok(vec![floats([1, 2, 4, 4], 2)?]),
                ),
            ]
        },
        errors: || {
            vec![
                fails!("other images", Shape, "takes [batch, 2, 4, 4], not [1, 2, 4, 5]", {
                    VisionTransformer::new(tiny()).forward(&Tensor::zeros([1, 2, 4, 5]))
                }),
                fails!("patches", Argument, "patches of 3 do not fill images of 4", {
                    let sizes = VisionTransformerConfig { patch_size: 3, ..tiny() };
                    VisionTransformer::new(sizes).forward(&Tensor::zeros([1, 2, 4, 4]))
                }),
            ]
        },
    }
}
