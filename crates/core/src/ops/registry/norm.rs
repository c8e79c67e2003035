//! Rows of normalisation, dropouts other than the plain one, and bags of embedded ids.

use super::arrays::{any, ids, positive, unit};
use super::{ErrorCase, Gradient, Kind, OpRow, Sample, fails};
use crate::mode::evaluation;
use crate::ops::Bag;
use crate::tensor::{Operand, Tensor};

/// A row of this file with gradients.
const fn row(
    [name, signature, formula, pytorch]: [&'static str; 4],
    onnx: Option<&'static str>,
    kind: Kind,
    samples: fn() -> Vec<Sample>,
    errors: fn() -> Vec<ErrorCase>,
) -> OpRow {
    OpRow {
        name,
        signature,
        formula,
        kind,
        pytorch,
        onnx,
        gradient: Gradient::Yes,
        samples,
        errors,
    }
}

fn op(tensor: &Tensor) -> Option<&dyn Operand> {
    Some(tensor)
}

fn norms() -> Vec<OpRow> {
    vec![
        row(
            [
                "layer_norm",
                "x.layer_norm([5], Some(&weight), Some(&bias), 1e-5)",
                "(x - mean) / sqrt(var + eps) * weight + bias over the last axes",
                "torch.nn.functional.layer_norm",
            ],
            Some("LayerNormalization"),
            Kind::Reduction,
            || {
                vec![
                    Sample::new("plain", vec![any(&[4, 6], 1)], |v| {
                        v[0].layer_norm(6, None, None, 1e-5)
                    }),
                    Sample::new(
                        "scaled and shifted",
                        vec![any(&[2, 3, 5], 1), any(&[5], 2), any(&[5], 3)],
                        |v| v[0].layer_norm(5, op(&v[1]), op(&v[2]), 1e-5),
                    ),
                    Sample::new("two axes", vec![any(&[3, 2, 4], 1), any(&[2, 4], 2)], |v| {
                        v[0].layer_norm([2, 4], op(&v[1]), None, 1e-3)
                    }),
                    Sample::new("far from zero", vec![any(&[3, 7], 1)], |v| {
                        (&v[0] + 4.0).layer_norm(7, None, None, 1e-5)
                    }),
                    Sample::new("a long row", vec![any(&[2, 131], 1)], |v| {
                        v[0].layer_norm(131, None, None, 1e-5).tanh()
                    }),
                    Sample::new("no rows", vec![any(&[0, 3], 1)], |v| {
                        v[0].layer_norm(3, None, None, 1e-5)
                    }),
                ]
            },
            || {
                vec![
                    fails!("other axes", Shape, "layer_norm: the last axes of [2, 3] are not", {
                        Tensor::zeros([2, 3]).layer_norm([3, 2], None, None, 1e-5)
                    }),
                    fails!("no axes", Shape, "layer_norm: the normalized shape has no", {
                        Tensor::zeros([2, 3]).layer_norm((), None, None, 1e-5)
                    }),
                    fails!("another weight", Shape, "layer_norm: an operand is [2]", {
                        Tensor::zeros([2, 3]).layer_norm(3, op(&Tensor::zeros([2])), None, 1e-5)
                    }),
                    fails!("of integers", DType, "layer_norm: takes f32 or f64", {
                        Tensor::from([[1, 2]]).layer_norm(2, None, None, 1e-5)
                    }),
                ]
            },
        ),
        row(
            [
                "rms_norm",
                "x.rms_norm([5], Some(&weight), 1e-6)",
                "x / sqrt(mean(x^2) + eps) * weight over the last axes",
                "torch.nn.functional.rms_norm",
            ],
            Some("RMSNormalization"),
            Kind::Reduction,
            || {
                vec![
                    Sample::new("plain", vec![any(&[4, 6], 1)], |v| v[0].rms_norm(6, None, 1e-5)),
                    Sample::new("its own eps", vec![any(&[3, 5], 1), any(&[5], 2)], |v| {
                        v[0].rms_norm(5, op(&v[1]), None)
                    }),
                    Sample::new("two axes", vec![any(&[3, 2, 4], 1), any(&[2, 4], 2)], |v| {
                        v[0].rms_norm([2, 4], op(&v[1]), 0.5)
                    }),
                ]
            },
            || {
                vec![
                    fails!("other axes", Shape, "rms_norm: the last axes of [2, 3] are not", {
                        Tensor::zeros([2, 3]).rms_norm(2, None, None)
                    }),
                    fails!("another weight", Shape, "rms_norm: an operand is [2]", {
                        Tensor::zeros([2, 3]).rms_norm(3, op(&Tensor::zeros([2])), None)
                    }),
                ]
            },
        ),
        row(
            [
                "group_norm",
                "x.group_norm(groups, Some(&weight), Some(&bias), 1e-5)",
                "layer_norm of each group of channels of each sample",
                "torch.nn.functional.group_norm",
            ],
            Some("GroupNormalization"),
            Kind::Reduction,
            || {
                vec![
                    Sample::new(
                        "images",
                        vec![any(&[2, 4, 3, 2], 1), any(&[4], 2), any(&[4], 3)],
                        |v| v[0].group_norm(2, op(&v[1]), op(&v[2]), 1e-5),
                    ),
                    Sample::new("one group", vec![any(&[3, 6], 1)], |v| {
                        v[0].group_norm(1, None, None, 1e-5)
                    }),
                    Sample::new("no samples", vec![any(&[0, 6, 2], 1)], |v| {
                        v[0].group_norm(3, None, None, 1e-5)
                    }),
                ]
            },
            || {
                vec![
                    fails!("uneven groups", Shape, "group_norm: the 7 channels of [2, 7]", {
                        Tensor::zeros([2, 7]).group_norm(2, None, None, 1e-5)
                    }),
                    fails!("no channels", Shape, "group_norm: [3] has no axis of channels", {
                        Tensor::zeros([3]).group_norm(1, None, None, 1e-5)
                    }),
                    fails!("nothing in a group", Shape, "group_norm: [1, 2, 0] has no", {
                        Tensor::zeros([1, 2, 0]).group_norm(1, None, None, 1e-5)
                    }),
                ]
            },
        ),
        row(
            [
                "instance_norm",
                "x.instance_norm(Some(&weight), Some(&bias), 1e-5)",
                "layer_norm of each channel of each sample",
                "torch.nn.functional.instance_norm",
            ],
            Some("InstanceNormalization"),
            Kind::Reduction,
            || {
                vec![
                    Sample::new(
                        "images",
                        vec![any(&[2, 3, 3, 2], 1), any(&[3], 2), any(&[3], 3)],
                        |v| v[0].instance_norm(op(&v[1]), op(&v[2]), 1e-5),
                    ),
                    Sample::new("series", vec![any(&[2, 3, 7], 1)], |v| {
                        v[0].instance_norm(None, None, 1e-3)
                    }),
                ]
            },
            || {
                vec![fails!("one element", Shape, "instance_norm: [2, 3, 1] has fewer than two", {
                    Tensor::zeros([2, 3, 1]).instance_norm(None, None, 1e-5)
                })]
            },
        ),
        row(
            [
                "batch_norm",
                "x.batch_norm(Some((&mean, &var)), Some(&weight), Some(&bias), 1e-5)",
                "(x - mean) / sqrt(var + eps) * weight + bias for each channel",
                "torch.nn.functional.batch_norm",
            ],
            Some("BatchNormalization"),
            Kind::Reduction,
            || {
                vec![
                    Sample::new("of this batch", vec![any(&[5, 3], 1)], |v| {
                        v[0].batch_norm(None, None, None, 1e-5)
                    }),
                    Sample::new(
                        "images, scaled and shifted",
                        vec![any(&[3, 2, 2, 3], 1), any(&[2], 2), any(&[2], 3)],
                        |v| v[0].batch_norm(None, op(&v[1]), op(&v[2]), 1e-5),
                    ),
                    Sample::new(
                        "given statistics",
                        vec![any(&[3, 2, 4], 1), any(&[2], 2), positive(&[2], 3), any(&[2], 4)],
                        |v| v[0].batch_norm(Some((&v[1], &v[2])), op(&v[3]), None, 1e-5),
                    ),
                    Sample::new("far from zero", vec![any(&[6, 2], 1)], |v| {
                        (&v[0] - 4.0).batch_norm(None, None, None, 1e-5)
                    }),
                ]
            },
            || {
                vec![
                    fails!("one value", Shape, "batch_norm: [1, 2] has fewer than two values", {
                        Tensor::zeros([1, 2]).batch_norm(None, None, None, 1e-5)
                    }),
                    fails!("other statistics", Shape, "batch_norm: an operand is [3]", {
                        let other = Tensor::ones([3]);
                        Tensor::zeros([4, 2]).batch_norm(Some((&other, &other)), None, None, 1e-5)
                    }),
                    fails!("no channels", Shape, "batch_norm: [3] has no axis of channels", {
                        Tensor::zeros([3]).batch_norm(None, None, None, 1e-5)
                    }),
                ]
            },
        ),
        row(
            [
                "channel_moments",
                "x.channel_moments()",
                "mean and variance of each channel over the batch and further axes",
                "torch.var_mean",
            ],
            None,
            Kind::Reduction,
            || {
                let both = |v: &[Tensor]| {
                    let (mean, var) = v[0].channel_moments();
                    mean * 2.0 + var
                };
                vec![
                    Sample::new("a matrix", vec![any(&[5, 3], 1)], both),
                    Sample::new("images", vec![any(&[3, 2, 2, 3], 1)], both),
                ]
            },
            || {
                vec![fails!("one value", Shape, "channel_moments: [1, 2] has fewer than two", {
                    Tensor::zeros([1, 2]).channel_moments().1
                })]
            },
        ),
        row(
            [
                "local_response_norm",
                "x.local_response_norm(size, 1e-4, 0.75, 1.0)",
                "x / (k + alpha * mean of x^2 over size channels)^beta",
                "torch.nn.functional.local_response_norm",
            ],
            Some("LRN"),
            Kind::Reduction,
            || {
                vec![
                    Sample::new("three channels", vec![any(&[2, 5, 3], 1)], |v| {
                        v[0].local_response_norm(3, 0.5, 0.75, 1.0)
                    }),
                    Sample::new("an even window", vec![any(&[2, 5, 2, 2], 1)], |v| {
                        v[0].local_response_norm(4, 0.5, 0.6, 1.5)
                    }),
                    Sample::new("wider than the channels", vec![any(&[2, 3], 1)], |v| {
                        v[0].local_response_norm(9, 0.5, 0.75, 1.0)
                    }),
                    Sample::new("itself only", vec![any(&[2, 3], 1)], |v| {
                        v[0].local_response_norm(1, 0.5, 0.5, 1.0)
                    }),
                    Sample::new("empty", vec![any(&[0, 3], 1)], |v| {
                        v[0].local_response_norm(3, 0.5, 0.75, 1.0)
                    }),
                ]
            },
            || {
                vec![
                    fails!("no window", Argument, "local_response_norm: a window of 0", {
                        Tensor::zeros([2, 3]).local_response_norm(0, 1.0, 1.0, 1.0)
                    }),
                    fails!("no channels", Shape, "local_response_norm: [3] has no axis", {
                        Tensor::zeros([3]).local_response_norm(3, 1.0, 1.0, 1.0)
                    }),
                ]
            },
        ),
    ]
}

fn dropouts() -> Vec<OpRow> {
    let random = Kind::Random;
    vec![
        row(
            [
                "classic_dropout",
                "x.classic_dropout(p)",
                "0 with probability p, else x; in evaluation (1 - p) x",
                "torch.nn.functional.dropout",
            ],
            None,
            random,
            || {
                vec![
                    Sample::new("half", vec![any(&[3, 5], 1)], |v| v[0].classic_dropout(0.5)),
                    Sample::new("evaluation", vec![any(&[3, 5], 1)], |v| {
                        evaluation(|| v[0].classic_dropout(0.25))
                    }),
                ]
            },
            || {
                vec![fails!("no probability", Argument, "classic_dropout: the probability -1", {
                    Tensor::zeros([2]).classic_dropout(-1.0)
                })]
            },
        ),
        row(
            [
                "feature_dropout",
                "x.feature_dropout(p)",
                "whole channels 0 with probability p, else x / (1 - p)",
                "torch.nn.functional.dropout2d",
            ],
            None,
            random,
            || {
                vec![
                    Sample::new("images", vec![any(&[2, 4, 2, 3], 1)], |v| {
                        v[0].feature_dropout(0.5)
                    }),
                    Sample::new("all", vec![any(&[2, 4, 3], 1)], |v| v[0].feature_dropout(1.0)),
                ]
            },
            || {
                vec![fails!("no channels", Shape, "feature_dropout: [3] has no axis", {
                    Tensor::zeros([3]).feature_dropout(0.5)
                })]
            },
        ),
        row(
            [
                "drop_path",
                "x.drop_path(p)",
                "whole samples 0 with probability p, else x / (1 - p)",
                "torch.nn.functional.dropout",
            ],
            None,
            random,
            || vec![Sample::new("half", vec![any(&[7, 3], 1)], |v| v[0].drop_path(0.5))],
            || {
                vec![fails!("a scalar", Shape, "drop_path: a scalar has no axis", {
                    Tensor::from(1.0).drop_path(0.5)
                })]
            },
        ),
        row(
            [
                "alpha_dropout",
                "x.alpha_dropout(p)",
                "a (x or -1.7581) + b, with mean and variance as before",
                "torch.nn.functional.alpha_dropout",
            ],
            None,
            random,
            || {
                vec![
                    Sample::new("half", vec![any(&[3, 5], 1)], |v| v[0].alpha_dropout(0.5)),
                    Sample::new("all", vec![any(&[5], 1)], |v| v[0].alpha_dropout(1.0)),
                ]
            },
            || {
                vec![fails!("no probability", Argument, "alpha_dropout: the probability 2", {
                    Tensor::zeros([2]).alpha_dropout(2.0)
                })]
            },
        ),
        row(
            [
                "feature_alpha_dropout",
                "x.feature_alpha_dropout(p)",
                "alpha_dropout of whole channels",
                "torch.nn.functional.feature_alpha_dropout",
            ],
            None,
            random,
            || {
                vec![Sample::new("images", vec![any(&[2, 4, 2, 3], 1)], |v| {
                    v[0].feature_alpha_dropout(0.3)
                })]
            },
            || {
                vec![fails!("no channels", Shape, "feature_alpha_dropout: [3] has no axis", {
                    Tensor::zeros([3]).feature_alpha_dropout(0.5)
                })]
            },
        ),
        row(
            [
                "rrelu",
                "x.rrelu(lower, upper)",
                "x where x > 0, else x times a slope drawn from [lower, upper)",
                "torch.nn.functional.rrelu",
            ],
            None,
            random,
            || {
                vec![
                    Sample::new("training", vec![any(&[3, 5], 1)], |v| v[0].rrelu(0.125, 0.3)),
                    Sample::new("evaluation", vec![any(&[3, 5], 1)], |v| {
                        evaluation(|| v[0].rrelu(0.125, 0.375))
                    }),
                ]
            },
            || {
                vec![fails!("crossed limits", Argument, "rrelu: the limits 0.5 and 0.25", {
                    Tensor::zeros([2]).rrelu(0.5, 0.25)
                })]
            },
        ),
    ]
}

fn bags() -> Vec<OpRow> {
    vec![row(
        [
            "embedding_bag",
            "table.embedding_bag(&ids, Some(&offsets), Bag::Mean, None, None)",
            "sum, mean or maximum of the rows that a bag of ids names",
            "torch.nn.functional.embedding_bag",
        ],
        None,
        Kind::Indexing,
        || {
            vec![
                Sample::new("rows, mean", vec![any(&[5, 3], 1), ids(&[2, 4], 5, 2)], |v| {
                    v[0].embedding_bag(&v[1], None, Bag::Mean, None, None)
                }),
                Sample::new(
                    "rows, a weighted sum with padding",
                    vec![any(&[5, 3], 1), ids(&[2, 4], 5, 2), unit(&[2, 4], 3)],
                    |v| v[0].embedding_bag(&v[1], None, Bag::Sum, Some(&v[2]), Some(1)),
                ),
                Sample::new(
                    "offsets, with a bag of nothing",
                    vec![any(&[5, 3], 1), ids(&[6], 5, 2)],
                    |v| {
                        let offsets = Tensor::from([0, 2, 2]);
                        v[0].embedding_bag(&v[1], Some(&offsets), Bag::Mean, None, Some(3))
                    },
                ),
                Sample::new("offsets, maximum", vec![any(&[7, 3], 1)], |v| {
                    let (all, offsets) = (Tensor::from([6, 1, 4, 3, 0]), Tensor::from([0, 2, 5]));
                    v[0].embedding_bag(&all, Some(&offsets), Bag::Max, None, Some(0))
                }),
                Sample::new("rows, maximum, padding only", vec![any(&[4, 2], 1)], |v| {
                    let all = Tensor::from([[1, 1], [2, 1]]);
                    v[0].embedding_bag(&all, None, Bag::Max, None, Some(1))
                }),
                Sample::new("no ids", vec![any(&[4, 2], 1)], |v| {
                    let none = Tensor::exact::<i64>([2, 0], &[]);
                    v[0].embedding_bag(&none, None, Bag::Sum, None, None)
                }),
            ]
        },
        || {
            vec![
                fails!("no such id", Index, "index 5", {
                    let ids = Tensor::from([[0, 5]]);
                    Tensor::zeros([5, 2]).embedding_bag(&ids, None, Bag::Sum, None, None)
                }),
                fails!("no offsets", Shape, "embedding_bag: a table [5, 2], ids [2]", {
                    let ids = Tensor::from([0, 1]);
                    Tensor::zeros([5, 2]).embedding_bag(&ids, None, Bag::Sum, None, None)
                }),
                fails!("weights of a mean", Argument, "embedding_bag: weights, and Mean", {
                    let (ids, w) = (Tensor::from([[0, 1]]), Tensor::ones([1, 2]));
                    Tensor::zeros([5, 2]).embedding_bag(&ids, None, Bag::Mean, Some(&w), None)
                }),
                fails!("ids that are no integers", DType, "embedding_bag: ids are i64", {
                    let ids = Tensor::from([[0.0, 1.0]]);
                    Tensor::zeros([5, 2]).embedding_bag(&ids, None, Bag::Sum, None, None)
                }),
            ]
        },
    )]
}

pub(super) fn rows() -> Vec<OpRow> {
    [norms(), dropouts(), bags()].concat()
}
