//! Rows of the layers that were first: affine maps, tables of vectors, structure.

use gradus_core::{Array, Tensor};

use super::samples::{floats, ids};
use super::{Built, Group, LayerRow, Sample, fails};
use crate::seq;
use crate::{EmbedColumns, Embedding, Flatten, Identity, Linear, Tanh};

pub(super) fn rows() -> Vec<LayerRow> {
    vec![
        LayerRow {
            name: "Linear",
            signature: "Linear::new(in_features, out_features).no_bias()",
            computes: "x @ weight^T + bias: [.., in_features] -> [.., out_features]",
            parameters: "weight [out_features, in_features], bias [out_features]",
            group: Group::Linear,
            pytorch: "torch.nn.Linear",
            samples: || {
                vec![
                    Sample::new(
                        "a batch",
                        || Built::layer(Linear::new(3, 2)),
                        || Ok(vec![floats([4, 3], 1)?]),
                    ),
                    Sample::new(
                        "no bias, two batch axes",
                        || Built::layer(Linear::new(3, 2).no_bias()),
                        || Ok(vec![floats([2, 2, 3], 2)?]),
                    ),
                ]
            },
            errors: || {
                vec![
                    fails!("a size of 0", Argument, "Linear: sizes must be at least 1", {
                        Linear::new(0, 2).forward(&Tensor::zeros([1, 0]))
                    }),
                    fails!("another width", Shape, "matmul: inner sizes differ", {
                        Linear::new(3, 2).forward(&Tensor::zeros([1, 4]))
                    }),
                ]
            },
        },
        LayerRow {
            name: "Embedding",
            signature: "Embedding::new(num_embeddings, embedding_dim).padding_idx(id)",
            computes: "the vector of each id: [..] i64 -> [.., embedding_dim]",
            parameters: "weight [num_embeddings, embedding_dim]",
            group: Group::Embedding,
            pytorch: "torch.nn.Embedding",
            samples: || {
                vec![
                    Sample::new(
                        "two axes of ids",
                        || Built::layer(Embedding::new(5, 3)),
                        || Ok(vec![ids([2, 4], 5, 1)?]),
                    ),
                    Sample::new(
                        "padding, which is never trained",
                        || Built::layer(Embedding::new(5, 3).padding_idx(2)),
                        || Ok(vec![ids([6], 5, 2)?]),
                    )
                    .kinks(),
                ]
            },
            errors: || {
                vec![fails!("an id too large", Index, "index_select: index 3", {
                    Embedding::new(3, 2).forward(&Tensor::from([0i64, 3]))
                })]
            },
        },
        LayerRow {
            name: "EmbedColumns",
            signature: "EmbedColumns::new(dense, &[(ids, size), ..])",
            computes: "columns of a table: numbers as they are, a vector for each category",
            parameters: "a table of vectors for each column of categories",
            group: Group::Embedding,
            pytorch: "-",
            samples: || {
                vec![Sample::new(
                    "two numbers and a category",
                    || Built::layer(EmbedColumns::new(2, &[(4, 3)])),
                    // Away from whole numbers, where the id would jump.
                    || Ok(vec![Array::new([2, 3], &[0.3f32, -1.2, 2.5, 0.7, 0.1, 1.5])?]),
                )]
            },
            errors: || {
                vec![fails!("another width", Shape, "EmbedColumns: takes [batch, 3]", {
                    EmbedColumns::new(2, &[(4, 3)]).forward(&Tensor::zeros([1, 4]))
                })]
            },
        },
        LayerRow {
            name: "Flatten",
            signature: "Flatten",
            computes: "[batch, a, b, ..] -> [batch, a * b * ..]",
            parameters: "",
            group: Group::Structure,
            pytorch: "torch.nn.Flatten",
            samples: || {
                vec![Sample::new(
                    "images",
                    || Built::layer(Flatten),
                    || Ok(vec![floats([2, 3, 2], 1)?]),
                )]
            },
            errors: Vec::new,
        },
        LayerRow {
            name: "Identity",
            signature: "Identity",
            computes: "x",
            parameters: "",
            group: Group::Structure,
            pytorch: "torch.nn.Identity",
            samples: || {
                vec![Sample::new(
                    "any shape",
                    || Built::layer(Identity),
                    || Ok(vec![floats([2, 3], 1)?]),
                )]
            },
            errors: Vec::new,
        },
        LayerRow {
            name: "Sequential",
            signature: "seq![layer, layer, ..]",
            computes: "layers one after the other",
            parameters: "those of its layers, under \"0\", \"1\", ..",
            group: Group::Structure,
            pytorch: "torch.nn.Sequential",
            samples: || {
                vec![Sample::new(
                    "two maps",
                    || Built::layer(seq![Linear::new(3, 4), Tanh, Linear::new(4, 2)]),
                    || Ok(vec![floats([2, 3], 1)?]),
                )]
            },
            errors: Vec::new,
        },
    ]
}
