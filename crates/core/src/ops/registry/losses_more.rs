//! Rows of losses that PyTorch has under no name, and of masks for any loss.

use super::arrays::{any, exact, ids, positive, truth, unit};
use super::loss::{Call, row};
use super::{OpRow, Sample, fails};
use crate::ops::loss::{Contrastive, Dice, Hinge, InfoNce, Reduction, TripletMargin};
use crate::tensor::Tensor;

pub(super) fn rows() -> Vec<OpRow> {
    [vec![dice()], vectors(), masks()].concat()
}

fn dice() -> OpRow {
    row(
        [
            "dice_loss",
            "p.dice_loss(&target)",
            "mean over regions of 1 - (2 sum(p t) + 1) / (sum(p) + sum(t) + 1)",
            "-",
        ],
        None,
        || {
            let run: Call = |v| v[0].dice_loss(&v[1]);
            let two = || vec![unit(&[2, 3, 4], 1), truth(&[2, 3, 4], 2)];
            vec![
                Sample::new("masks", two(), run),
                Sample::new("probabilities", vec![unit(&[2, 7], 1), unit(&[2, 7], 2)], run),
                Sample::new("one region", vec![unit(&[7], 1), truth(&[7], 2)], run),
                Sample::new("one element", vec![unit(&[], 1), truth(&[], 2)], run),
                Sample::new("class ids", vec![unit(&[2, 3, 5], 1), ids(&[2, 5], 3, 2)], run),
                Sample::new("classes", vec![unit(&[4, 3], 1), ids(&[4], 3, 2)], run),
                Sample::new("channels, squares", two(), |v| {
                    let (squared, reduction) = (true, Reduction::None);
                    let options = Dice { smooth: 1e-3, squared, channels: true, reduction };
                    v[0].dice_loss_with(&v[1], options)
                }),
                Sample::new("empty regions", vec![unit(&[2, 0], 1), truth(&[2, 0], 2)], run)
                    .kinks(),
            ]
        },
        || {
            vec![
                fails!("other shapes", Shape, "dice_loss: prediction [2, 3] and target [3]", {
                    Tensor::zeros([2, 3]).dice_loss(&Tensor::zeros([3]))
                }),
                fails!("no channels", Shape, "dice_loss: predictions [3] have no channels", {
                    let options = Dice { channels: true, ..Dice::default() };
                    Tensor::zeros([3]).dice_loss_with(&Tensor::zeros([3]), options)
                }),
                fails!("a negative smooth", Argument, "dice_loss: `smooth` must not be", {
                    let options = Dice { smooth: -1.0, ..Dice::default() };
                    Tensor::zeros([3]).dice_loss_with(&Tensor::zeros([3]), options)
                }),
                fails!("an id out of range", Index, "3", {
                    Tensor::zeros([1, 3, 2]).dice_loss(&Tensor::from([[0, 3]]))
                }),
            ]
        },
    )
}

fn vectors() -> Vec<OpRow> {
    vec![
        row(
            ["hinge_loss", "x.hinge_loss(&target)", "mean(max(0, 1 - target x))", "-"],
            None,
            || {
                let run: Call = |v| v[0].hinge_loss(&sign(&v[1]));
                vec![
                    Sample::new("vectors", vec![any(&[7], 1), truth(&[7], 2)], run),
                    Sample::new("squares", vec![any(&[3, 5], 1), truth(&[3, 5], 2)], |v| {
                        let options = Hinge { margin: 1.55, squared: true, ..Hinge::default() };
                        v[0].hinge_loss_with(&sign(&v[1]), options)
                    }),
                ]
            },
            || {
                vec![fails!("other shapes", Shape, "hinge_loss: prediction [3]", {
                    Tensor::zeros([3]).hinge_loss(&Tensor::zeros([4]))
                })]
            },
        ),
        row(
            [
                "contrastive_loss",
                "a.contrastive_loss(&b, &target)",
                "mean((target d^2 + (1 - target) max(0, 1 - d)^2) / 2), d = |a - b|",
                "-",
            ],
            None,
            || {
                let run: Call = |v| v[0].contrastive_loss(&v[1], &v[2]);
                let near = || vec![unit(&[4, 5], 1), unit(&[4, 5], 3), truth(&[4], 2)];
                vec![
                    Sample::new("pairs", near(), run),
                    Sample::new("margin", near(), |v| {
                        let (margin, reduction) = (3.0, Reduction::None);
                        v[0].contrastive_loss_with(&v[1], &v[2], Contrastive { margin, reduction })
                    }),
                    Sample::new("one pair", vec![unit(&[5], 1), unit(&[5], 3), truth(&[], 2)], run),
                    Sample::new("equal vectors", vec![unit(&[2, 3], 1), truth(&[2], 2)], |v| {
                        v[0].contrastive_loss(&v[0].detach(), &v[1])
                    })
                    .kinks(),
                ]
            },
            || {
                vec![
                    fails!("targets of elements", Shape, "contrastive_loss: vectors [3, 2]", {
                        let x = Tensor::zeros([3, 2]);
                        x.contrastive_loss(&x, &x)
                    }),
                    fails!("no margin", Argument, "contrastive_loss: `margin` must be positive", {
                        let (x, y) = (Tensor::zeros([3, 2]), Tensor::zeros([3]));
                        let options = Contrastive { margin: 0.0, ..Contrastive::default() };
                        x.contrastive_loss_with(&x, &y, options)
                    }),
                ]
            },
        ),
        row(
            [
                "info_nce_loss",
                "queries.info_nce_loss(&keys)",
                "mean over rows of ln sum_j e^c[i, j] - c[i, i], c = cosines / 0.1",
                "-",
            ],
            None,
            || {
                let all = || vec![any(&[4, 5], 1), any(&[4, 5], 2)];
                vec![
                    Sample::new("rows", all(), |v| v[0].info_nce_loss(&v[1])),
                    Sample::new("both directions", all(), |v| {
                        let options =
                            InfoNce { temperature: 0.5, symmetric: true, ..InfoNce::default() };
                        v[0].info_nce_loss_with(&v[1], options)
                    }),
                    Sample::new("products", all(), |v| {
                        let (temperature, normalize) = (2.0, false);
                        let options = InfoNce { temperature, normalize, ..InfoNce::default() };
                        v[0].info_nce_loss_with(
                            &v[1],
                            InfoNce { reduction: Reduction::None, ..options },
                        )
                    }),
                    Sample::new("one row", vec![any(&[1, 5], 1), any(&[1, 5], 2)], |v| {
                        v[0].info_nce_loss(&v[1])
                    }),
                ]
            },
            || {
                vec![
                    fails!(
                        "no batch",
                        Shape,
                        "info_nce_loss: vectors [3] are not [batch, size]",
                        { Tensor::zeros([3]).info_nce_loss(&Tensor::zeros([3])) }
                    ),
                    fails!("no temperature", Argument, "info_nce_loss: `temperature` must be", {
                        let options = InfoNce { temperature: 0.0, ..InfoNce::default() };
                        let x = Tensor::ones([3, 2]);
                        x.info_nce_loss_with(&x, options)
                    }),
                ]
            },
        ),
        row(
            [
                "triplet_margin_with_distance_loss",
                "a.triplet_margin_with_distance_loss(&positive, &negative, distance, options)",
                "mean(max(0, margin + distance(a, positive) - distance(a, negative)))",
                "torch.nn.functional.triplet_margin_with_distance_loss",
            ],
            None,
            || {
                let all = || vec![any(&[4, 5], 1), any(&[4, 5], 2), any(&[4, 5], 3)];
                vec![
                    Sample::new("cosines", all(), |v| {
                        let options = TripletMargin::default();
                        v[0].triplet_margin_with_distance_loss(&v[1], &v[2], angle, options)
                    }),
                    Sample::new("swap", all(), |v| {
                        let options =
                            TripletMargin { margin: 2.0, swap: true, ..TripletMargin::default() };
                        v[0].triplet_margin_with_distance_loss(&v[1], &v[2], angle, options)
                    }),
                ]
            },
            || {
                vec![fails!("no margin", Argument, "triplet_margin_with_distance_loss", {
                    let options = TripletMargin { margin: 0.0, ..TripletMargin::default() };
                    let x = Tensor::ones([3, 2]);
                    x.triplet_margin_with_distance_loss(&x, &x, angle, options)
                })]
            },
        ),
    ]
}

/// 1 and -1, from truth.
fn sign(truth: &Tensor) -> Tensor {
    truth.cast(crate::DType::F32) * 2.0 - 1.0
}

fn angle(a: &Tensor, b: &Tensor) -> Tensor {
    1.0 - a.cosine_similarity(b, -1, 1e-8)
}

fn masks() -> Vec<OpRow> {
    vec![
        row(
            ["masked_mean", "losses.masked_mean(&mask)", "mean of x where the mask is true", "-"],
            None,
            || {
                let run: Call = |v| v[0].masked_mean(&v[1]);
                let inf = exact(&[f32::INFINITY, 1.0, f32::NAN, 3.0]);
                let known = exact(&[false, true, false, true]);
                vec![
                    Sample::new("elements", vec![any(&[3, 5], 1), truth(&[3, 5], 2)], run),
                    Sample::new("samples", vec![any(&[3, 5], 1), truth(&[3, 1], 2)], run),
                    Sample::new("infinite", vec![inf, known], run).kinks(),
                    Sample::new("nothing", vec![any(&[2], 1), exact(&[false, false])], run).kinks(),
                ]
            },
            || {
                vec![
                    fails!("numbers", DType, "masked_mean: a mask is bool, not f32", {
                        Tensor::zeros([3]).masked_mean(&Tensor::ones([3]))
                    }),
                    fails!("another shape", Shape, "masked_mean: mask [3] does not broadcast", {
                        Tensor::zeros([3, 2]).masked_mean(&Tensor::from([true, false, true]))
                    }),
                ]
            },
        ),
        row(
            ["weighted_mean", "losses.weighted_mean(&weights)", "sum(w x) / sum(w)", "-"],
            None,
            || {
                let run: Call = |v| v[0].weighted_mean(&v[1]);
                vec![
                    Sample::new("elements", vec![any(&[3, 5], 1), positive(&[3, 5], 2)], run),
                    Sample::new("samples", vec![any(&[3, 5], 1), positive(&[3, 1], 2)], run),
                    Sample::new("times", vec![any(&[5], 1), exact(&[1i64, 2, 0, 4, 1])], run),
                ]
            },
            || {
                vec![fails!("another shape", Shape, "weighted_mean: weights [3] does not", {
                    Tensor::zeros([3, 2]).weighted_mean(&Tensor::ones([3]))
                })]
            },
        ),
    ]
}
