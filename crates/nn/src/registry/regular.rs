//! Rows of dropouts, of bilinear maps and bags, and of layers side by side.

use gradus_core::{Bag, Tensor};

use super::samples::{floats, ids, unit};
use super::{Built, Group, LayerRow, Sample, fails};
use crate::{
    AlphaDropout, Bilinear, DropPath, Dropout, Dropout1d, Dropout2d, Dropout3d, EmbeddingBag,
    FeatureAlphaDropout, Linear, Parallel, Residual, Tanh, seq,
};

/// Rows of dropouts: name, what is dropped, PyTorch's name, sizes of a sample, what an error says.
macro_rules! dropouts {
    ($($name:ident $computes:literal, $torch:literal, $sizes:expr, $errors:expr;)*) => {
        vec![$(LayerRow {
            name: stringify!($name),
            signature: concat!(stringify!($name), "::new(p)"),
            computes: $computes,
            parameters: "",
            group: Group::Dropout,
            pytorch: $torch,
            samples: || {
                vec![
                    Sample::new("half", || Built::layer($name::new(0.5)), || Ok(vec![floats($sizes, 1)?])),
                    Sample::new("none", || Built::layer($name::new(0.0)), || Ok(vec![floats($sizes, 2)?])),
                ]
            },
            errors: || {
                let mut errors = vec![fails!("no probability", Argument, "the probability 1.5", {
                    $name::new(1.5).forward(&Tensor::zeros($sizes))
                })];
                errors.extend($errors);
                errors
            },
        }),*]
    };
}

pub(super) fn rows() -> Vec<LayerRow> {
    let dropouts = dropouts! {
        Dropout "0 with probability p, else x / (1 - p), in training", "torch.nn.Dropout",
            [3, 4], [];
        Dropout1d "whole channels of series 0 with probability p", "torch.nn.Dropout1d",
            [2, 3, 4], [fails!("other axes", Shape, "Dropout1d: [3] has other axes", {
                Dropout1d::new(0.5).forward(&Tensor::zeros([3]))
            })];
        Dropout2d "whole channels of images 0 with probability p", "torch.nn.Dropout2d",
            [2, 3, 2, 2], [fails!("other axes", Shape, "Dropout2d: [3, 2] has other axes", {
                Dropout2d::new(0.5).forward(&Tensor::zeros([3, 2]))
            })];
        Dropout3d "whole channels of volumes 0 with probability p", "torch.nn.Dropout3d",
            [2, 2, 2, 2, 2], [];
        AlphaDropout "saturated with probability p, mean and variance stay, in training",
            "torch.nn.AlphaDropout", [3, 4], [];
        FeatureAlphaDropout "whole channels saturated with probability p",
            "torch.nn.FeatureAlphaDropout", [2, 3, 4], [];
        DropPath "whole samples 0 with probability p, else x / (1 - p), in training", "-",
            [4, 3], [];
    };
    [dropouts, others()].concat()
}

fn others() -> Vec<LayerRow> {
    vec![
        LayerRow {
            name: "Bilinear",
            signature: "Bilinear::new(in1_features, in2_features, out_features).no_bias()",
            computes: "x1^T weight x2 + bias: [.., in1], [.., in2] -> [.., out]",
            parameters: "weight [out, in1, in2], bias [out]",
            group: Group::Linear,
            pytorch: "torch.nn.Bilinear",
            samples: || {
                vec![Sample::new(
                    "two inputs",
                    || Built::with(Bilinear::new(2, 3, 2), |layer, x| layer.forward(&x[0], &x[1])),
                    || Ok(vec![floats([4, 2], 1)?, floats([4, 3], 2)?]),
                )]
            },
            errors: || {
                vec![
                    fails!("another width", Shape, "bilinear: [4, 3] and [4, 3] do not go", {
                        Bilinear::new(2, 3, 2)
                            .forward(&Tensor::zeros([4, 3]), &Tensor::zeros([4, 3]))
                    }),
                    fails!("a size of 0", Argument, "Bilinear: sizes must be at least 1", {
                        Bilinear::new(0, 3, 2)
                            .forward(&Tensor::zeros([4, 0]), &Tensor::zeros([4, 3]))
                    }),
                ]
            },
        },
        LayerRow {
            name: "EmbeddingBag",
            signature: "EmbeddingBag::new(num_embeddings, embedding_dim).mode(Bag::Mean)",
            computes: "mean, sum or maximum of the vectors of a bag of ids",
            parameters: "weight [num_embeddings, embedding_dim]",
            group: Group::Embedding,
            pytorch: "torch.nn.EmbeddingBag",
            samples: || {
                vec![
                    Sample::new(
                        "rows, mean",
                        || Built::layer(EmbeddingBag::new(5, 3)),
                        || Ok(vec![ids([2, 4], 5, 1)?]),
                    ),
                    Sample::new(
                        "offsets, weighted sum",
                        || {
                            let layer = EmbeddingBag::new(5, 3).mode(Bag::Sum).padding_idx(1);
                            Built::with(layer.include_last_offset(), |layer, x| {
                                let offsets = Tensor::from([0, 2, 6]);
                                layer.forward_bags(&x[0], Some(&offsets), Some(&x[1]))
                            })
                        },
                        || Ok(vec![ids([6], 5, 2)?, unit([6], 3)?]),
                    ),
                ]
            },
            errors: || {
                vec![
                    fails!("a list without offsets", Shape, "embedding_bag: a table [5, 3]", {
                        EmbeddingBag::new(5, 3).forward(&Tensor::from([0, 1]))
                    }),
                    fails!("no ids to have", Argument, "Embedding(0, 3): a table needs ids", {
                        EmbeddingBag::new(0, 3).forward(&Tensor::from([[0]]))
                    }),
                ]
            },
        },
        LayerRow {
            name: "Residual",
            signature: "Residual::new(body).shortcut(layer)",
            computes: "x + body(x), or shortcut(x) + body(x)",
            parameters: "those of body and shortcut",
            group: Group::Structure,
            pytorch: "-",
            samples: || {
                vec![
                    Sample::new(
                        "a body",
                        || Built::layer(Residual::new(seq![Linear::new(3, 3), Tanh])),
                        || Ok(vec![floats([2, 3], 1)?]),
                    ),
                    Sample::new(
                        "a shortcut",
                        || {
                            Built::layer(
                                Residual::new(Linear::new(3, 2)).shortcut(Linear::new(3, 2)),
                            )
                        },
                        || Ok(vec![floats([2, 3], 2)?]),
                    ),
                ]
            },
            errors: Vec::new,
        },
        LayerRow {
            name: "Parallel",
            signature: "Parallel::concat(axis).branch(layer).branch(layer)",
            computes: "results of branches, joined along an axis or summed",
            parameters: "those of its branches, under \"0\", \"1\", ..",
            group: Group::Structure,
            pytorch: "-",
            samples: || {
                vec![
                    Sample::new(
                        "joined",
                        || {
                            let both = Parallel::concat(-1).branch(Linear::new(3, 2));
                            Built::layer(both.branch(Tanh))
                        },
                        || Ok(vec![floats([2, 3], 1)?]),
                    ),
                    Sample::new(
                        "summed",
                        || {
                            let sum = Parallel::sum().branch(Linear::new(3, 2));
                            Built::layer(sum.branch(Linear::new(3, 2)))
                        },
                        || Ok(vec![floats([2, 3], 2)?]),
                    ),
                ]
            },
            errors: Vec::new,
        },
    ]
}
