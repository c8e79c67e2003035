//! Rows of losses of numbers, of probabilities, and of margins. Those that are used most are in
//! `loss.rs`.

use super::arrays::{any, exact, ids, positive, truth, unit};
use super::loss::{Call, row};
use super::{OpRow, Sample, fails};
use crate::ops::loss::{
    Bce, CosineEmbedding, Focal, GaussianNll, HingeEmbedding, Huber, KlDiv, MarginRanking,
    MultiMargin, MultilabelSoftMargin, Nll, PoissonNll, Reduction, SmoothL1, TripletMargin,
};
use crate::tensor::Tensor;

pub(super) fn rows() -> Vec<OpRow> {
    [distances(), likelihoods(), binary(), margins(), classes()].concat()
}

/// Samples that every loss of a prediction and a target of one shape has.
fn pairs(make: fn(&[usize], u64) -> crate::Array, run: Call) -> Vec<Sample> {
    vec![
        Sample::new("vectors", vec![make(&[7], 1), make(&[7], 2)], run),
        Sample::new("matrices", vec![make(&[3, 5], 1), make(&[3, 5], 2)], run),
        Sample::new("scalars", vec![make(&[], 1), make(&[], 2)], run),
        Sample::new("nothing", vec![make(&[0], 1), make(&[0], 2)], run).kinks(),
    ]
}

/// 1 and -1, from truth.
fn signs(truth: &Tensor) -> Tensor {
    truth.cast(crate::DType::F32) * 2.0 - 1.0
}

fn distances() -> Vec<OpRow> {
    vec![
        row(
            [
                "half_mse_loss",
                "x.half_mse_loss(&target)",
                "mean((x - target)^2) / 2",
                "torch.nn.functional.mse_loss",
            ],
            None,
            || pairs(any, |v| v[0].half_mse_loss(&v[1])),
            || {
                vec![fails!("other shapes", Shape, "half_mse_loss: prediction [3]", {
                    Tensor::zeros([3]).half_mse_loss(&Tensor::zeros([3, 1]))
                })]
            },
        ),
        row(
            ["l1_loss", "x.l1_loss(&target)", "mean(|x - target|)", "torch.nn.functional.l1_loss"],
            None,
            || pairs(any, |v| v[0].l1_loss(&v[1])),
            || {
                vec![fails!("other shapes", Shape, "l1_loss: prediction [3]", {
                    Tensor::zeros([3]).l1_loss(&Tensor::zeros([3, 1]))
                })]
            },
        ),
        row(
            [
                "huber_loss",
                "x.huber_loss(&target)",
                "mean(d^2 / 2 if d < 1 else d - 1/2), d = |x - target|",
                "torch.nn.functional.huber_loss",
            ],
            None,
            || {
                let mut samples = pairs(any, |v| v[0].huber_loss(&v[1]));
                samples.push(Sample::new("delta", vec![any(&[9], 1), any(&[9], 2)], |v| {
                    v[0].huber_loss_with(&v[1], Huber { delta: 0.7, reduction: Reduction::None })
                }));
                samples
            },
            || {
                vec![fails!("no delta", Argument, "huber_loss: `delta` must be positive, not 0", {
                    let options = Huber { delta: 0.0, ..Huber::default() };
                    Tensor::zeros([3]).huber_loss_with(&Tensor::zeros([3]), options)
                })]
            },
        ),
        row(
            [
                "smooth_l1_loss",
                "x.smooth_l1_loss(&target)",
                "mean(d^2 / 2 if d < 1 else d - 1/2), d = |x - target|",
                "torch.nn.functional.smooth_l1_loss",
            ],
            None,
            || {
                let mut samples = pairs(any, |v| v[0].smooth_l1_loss(&v[1]));
                samples.push(Sample::new("beta", vec![any(&[9], 1), any(&[9], 2)], |v| {
                    let options = SmoothL1 { beta: 0.7, ..SmoothL1::default() };
                    v[0].smooth_l1_loss_with(&v[1], options)
                }));
                samples.push(Sample::new("beta 0", vec![any(&[9], 1), any(&[9], 2)], |v| {
                    v[0].smooth_l1_loss_with(&v[1], SmoothL1 { beta: 0.0, ..SmoothL1::default() })
                }));
                samples
            },
            || {
                vec![fails!("a negative beta", Argument, "smooth_l1_loss: `beta` must not", {
                    let options = SmoothL1 { beta: -1.0, ..SmoothL1::default() };
                    Tensor::zeros([3]).smooth_l1_loss_with(&Tensor::zeros([3]), options)
                })]
            },
        ),
    ]
}

fn likelihoods() -> Vec<OpRow> {
    vec![
        row(
            [
                "poisson_nll_loss",
                "x.poisson_nll_loss(&target)",
                "mean(e^x - target x)",
                "torch.nn.functional.poisson_nll_loss",
            ],
            None,
            || {
                let mut samples = pairs(any, |v| v[0].poisson_nll_loss(&v[1]));
                samples.push(Sample::new("full", vec![any(&[9], 1), positive(&[9], 2)], |v| {
                    let options = PoissonNll { full: true, ..PoissonNll::default() };
                    v[0].poisson_nll_loss_with(&v[1], options)
                }));
                let rates = vec![positive(&[9], 1), positive(&[9], 2)];
                samples.push(Sample::new("rates", rates, |v| {
                    let options = PoissonNll { log_input: false, ..PoissonNll::default() };
                    v[0].poisson_nll_loss_with(&v[1], options)
                }));
                samples
            },
            || {
                vec![fails!("a negative eps", Argument, "poisson_nll_loss: `eps`", {
                    let options = PoissonNll { eps: -1.0, ..PoissonNll::default() };
                    Tensor::zeros([3]).poisson_nll_loss_with(&Tensor::zeros([3]), options)
                })]
            },
        ),
        row(
            [
                "gaussian_nll_loss",
                "x.gaussian_nll_loss(&target, &var)",
                "mean((ln var + (x - target)^2 / var) / 2)",
                "torch.nn.functional.gaussian_nll_loss",
            ],
            None,
            || {
                let run: Call = |v| v[0].gaussian_nll_loss(&v[1], &v[2]);
                let all = |of: &[usize]| vec![any(&[3, 5], 1), any(&[3, 5], 2), positive(of, 3)];
                vec![
                    Sample::new("each", all(&[3, 5]), run),
                    Sample::new("of rows", all(&[3]), run),
                    Sample::new("of rows, kept", all(&[3, 1]), run),
                    Sample::new("full", all(&[3, 5]), |v| {
                        let options = GaussianNll { full: true, ..GaussianNll::default() };
                        v[0].gaussian_nll_loss_with(&v[1], &v[2], options)
                    }),
                ]
            },
            || {
                vec![
                    fails!("other variances", Shape, "gaussian_nll_loss: variances [2]", {
                        let x = Tensor::zeros([3, 2]);
                        x.gaussian_nll_loss(&x, &Tensor::ones([2]))
                    }),
                    fails!("no eps", Argument, "gaussian_nll_loss: `eps` must be positive", {
                        let x = Tensor::zeros([3]);
                        let options = GaussianNll { eps: 0.0, ..GaussianNll::default() };
                        x.gaussian_nll_loss_with(&x, &Tensor::ones([3]), options)
                    }),
                ]
            },
        ),
        row(
            [
                "kl_div",
                "x.kl_div(&target)",
                "mean(target (ln target - x))",
                "torch.nn.functional.kl_div",
            ],
            None,
            || {
                let mut samples = pairs(unit, |v| v[0].kl_div(&v[1]));
                samples.push(Sample::new("logarithms", vec![any(&[9], 1), any(&[9], 2)], |v| {
                    let reduction = Reduction::BatchMean;
                    v[0].kl_div_with(&v[1], KlDiv { log_target: true, reduction })
                }));
                samples
            },
            || {
                vec![fails!("other shapes", Shape, "kl_div: prediction [3]", {
                    Tensor::zeros([3]).kl_div(&Tensor::zeros([4]))
                })]
            },
        ),
    ]
}

fn binary() -> Vec<OpRow> {
    vec![
        row(
            [
                "binary_cross_entropy",
                "p.binary_cross_entropy(&target)",
                "-mean(target ln p + (1 - target) ln(1 - p))",
                "torch.nn.functional.binary_cross_entropy",
            ],
            None,
            || {
                let run: Call = |v| v[0].binary_cross_entropy(&v[1]);
                let mut samples = pairs(unit, run);
                samples.push(Sample::new(
                    "a weight",
                    vec![unit(&[4, 3], 1), truth(&[4, 3], 2), positive(&[4, 1], 3)],
                    |v| {
                        let options = Bce { weight: Some(&v[2]), ..Bce::default() };
                        v[0].binary_cross_entropy_with(&v[1], options)
                    },
                ));
                let sure = exact(&[0.0f32, 1.0, 0.0, 1.0]);
                let right = exact(&[0.0f32, 1.0, 1.0, 0.0]);
                samples.push(Sample::new("sure", vec![sure, right], run).kinks());
                samples
            },
            || {
                vec![fails!("other shapes", Shape, "binary_cross_entropy: prediction [3]", {
                    Tensor::zeros([3]).binary_cross_entropy(&Tensor::zeros([4]))
                })]
            },
        ),
        row(
            [
                "sigmoid_focal_loss",
                "x.sigmoid_focal_loss(&target)",
                "mean(-a (1 - p)^2 ln p), p of the right answer",
                "torch.nn.functional.binary_cross_entropy_with_logits",
            ],
            None,
            || {
                let run: Call = |v| v[0].sigmoid_focal_loss(&v[1]);
                vec![
                    Sample::new("probabilities", vec![any(&[7], 1), unit(&[7], 2)], run),
                    Sample::new("bools", vec![any(&[3, 5], 1), truth(&[3, 5], 2)], run),
                    Sample::new("gamma", vec![any(&[3, 5], 1), truth(&[3, 5], 2)], |v| {
                        let options = Focal { alpha: None, gamma: 1.5, ..Focal::default() };
                        v[0].sigmoid_focal_loss_with(&v[1], options)
                    }),
                ]
            },
            || {
                vec![
                    fails!("a negative gamma", Argument, "sigmoid_focal_loss: `gamma`", {
                        let x = Tensor::zeros([3]);
                        x.sigmoid_focal_loss_with(&x, Focal { gamma: -1.0, ..Focal::default() })
                    }),
                    fails!("a large alpha", Argument, "sigmoid_focal_loss: `alpha`", {
                        let options = Focal { alpha: Some(2.0), ..Focal::default() };
                        let x = Tensor::zeros([3]);
                        x.sigmoid_focal_loss_with(&x, options)
                    }),
                ]
            },
        ),
        row(
            [
                "soft_margin_loss",
                "x.soft_margin_loss(&target)",
                "mean(ln(1 + e^(-target x)))",
                "torch.nn.functional.soft_margin_loss",
            ],
            None,
            || pairs(any, |v| v[0].soft_margin_loss(&v[1])),
            || {
                vec![fails!("other shapes", Shape, "soft_margin_loss: prediction [3]", {
                    Tensor::zeros([3]).soft_margin_loss(&Tensor::zeros([4]))
                })]
            },
        ),
        row(
            [
                "multilabel_soft_margin_loss",
                "x.multilabel_soft_margin_loss(&target)",
                "mean over rows and classes of binary cross-entropy",
                "torch.nn.functional.multilabel_soft_margin_loss",
            ],
            None,
            || {
                vec![
                    Sample::new("bools", vec![any(&[3, 5], 1), truth(&[3, 5], 2)], |v| {
                        v[0].multilabel_soft_margin_loss(&v[1])
                    }),
                    Sample::new(
                        "a weight",
                        vec![any(&[3, 5], 1), unit(&[3, 5], 2), positive(&[5], 3)],
                        |v| {
                            let (weight, reduction) = (Some(&v[2]), Reduction::Sum);
                            let options = MultilabelSoftMargin { weight, reduction };
                            v[0].multilabel_soft_margin_loss_with(&v[1], options)
                        },
                    ),
                ]
            },
            || {
                vec![fails!("other shapes", Shape, "multilabel_soft_margin_loss: prediction", {
                    Tensor::zeros([3, 2]).multilabel_soft_margin_loss(&Tensor::zeros([3]))
                })]
            },
        ),
    ]
}

fn margins() -> Vec<OpRow> {
    vec![
        row(
            [
                "hinge_embedding_loss",
                "x.hinge_embedding_loss(&target)",
                "mean(x if target = 1 else max(0, 1 - x))",
                "torch.nn.functional.hinge_embedding_loss",
            ],
            None,
            || {
                vec![
                    Sample::new("signs", vec![any(&[3, 5], 1), truth(&[3, 5], 2)], |v| {
                        v[0].hinge_embedding_loss(&signs(&v[1]))
                    }),
                    Sample::new("margin", vec![any(&[3, 5], 1), truth(&[3, 5], 2)], |v| {
                        let options = HingeEmbedding { margin: 2.05, ..HingeEmbedding::default() };
                        v[0].hinge_embedding_loss_with(&signs(&v[1]), options)
                    }),
                ]
            },
            || {
                vec![fails!("other shapes", Shape, "hinge_embedding_loss: prediction [3]", {
                    Tensor::zeros([3]).hinge_embedding_loss(&Tensor::zeros([4]))
                })]
            },
        ),
        row(
            [
                "margin_ranking_loss",
                "a.margin_ranking_loss(&b, &target)",
                "mean(max(0, -target (a - b)))",
                "torch.nn.functional.margin_ranking_loss",
            ],
            None,
            || {
                let all = || vec![any(&[3, 5], 1), any(&[3, 5], 3), truth(&[3, 5], 2)];
                vec![
                    Sample::new("signs", all(), |v| v[0].margin_ranking_loss(&v[1], &signs(&v[2]))),
                    Sample::new("margin", all(), |v| {
                        let options = MarginRanking { margin: 0.5, ..MarginRanking::default() };
                        v[0].margin_ranking_loss_with(&v[1], &signs(&v[2]), options)
                    }),
                ]
            },
            || {
                vec![fails!("other shapes", Shape, "margin_ranking_loss: prediction [3]", {
                    let x = Tensor::zeros([3]);
                    x.margin_ranking_loss(&x, &Tensor::zeros([1]))
                })]
            },
        ),
        row(
            [
                "cosine_embedding_loss",
                "a.cosine_embedding_loss(&b, &target)",
                "mean(1 - cos if target = 1 else max(0, cos))",
                "torch.nn.functional.cosine_embedding_loss",
            ],
            None,
            || {
                let all = || vec![any(&[4, 5], 1), any(&[4, 5], 3), truth(&[4], 2)];
                vec![
                    Sample::new("signs", all(), |v| {
                        v[0].cosine_embedding_loss(&v[1], &signs(&v[2]))
                    }),
                    Sample::new("margin", all(), |v| {
                        let (margin, reduction) = (-0.4, Reduction::None);
                        let options = CosineEmbedding { margin, reduction };
                        v[0].cosine_embedding_loss_with(&v[1], &signs(&v[2]), options)
                    }),
                    Sample::new("one pair", vec![any(&[5], 1), any(&[5], 3), truth(&[], 2)], |v| {
                        v[0].cosine_embedding_loss(&v[1], &signs(&v[2]))
                    }),
                ]
            },
            || {
                vec![
                    fails!("targets of elements", Shape, "cosine_embedding_loss: vectors", {
                        let x = Tensor::zeros([3, 2]);
                        x.cosine_embedding_loss(&x, &x)
                    }),
                    fails!("a large margin", Argument, "cosine_embedding_loss: `margin`", {
                        let options = CosineEmbedding { margin: 2.0, ..CosineEmbedding::default() };
                        let x = Tensor::zeros([3, 2]);
                        x.cosine_embedding_loss_with(&x, &Tensor::ones([3]), options)
                    }),
                ]
            },
        ),
        row(
            [
                "triplet_margin_loss",
                "a.triplet_margin_loss(&positive, &negative)",
                "mean(max(0, 1 + |a - positive| - |a - negative|))",
                "torch.nn.functional.triplet_margin_loss",
            ],
            None,
            || {
                let all = || vec![any(&[4, 5], 1), any(&[4, 5], 2), any(&[4, 5], 3)];
                vec![
                    Sample::new("rows", all(), |v| v[0].triplet_margin_loss(&v[1], &v[2])),
                    Sample::new("swap", all(), |v| {
                        let options = TripletMargin { swap: true, ..TripletMargin::default() };
                        v[0].triplet_margin_loss_with(&v[1], &v[2], options)
                    }),
                    Sample::new("p 1", all(), |v| {
                        let options = TripletMargin { p: 1.0, ..TripletMargin::default() };
                        v[0].triplet_margin_loss_with(&v[1], &v[2], options)
                    }),
                    Sample::new("p 3", all(), |v| {
                        let options =
                            TripletMargin { p: 3.0, margin: 2.0, ..TripletMargin::default() };
                        v[0].triplet_margin_loss_with(&v[1], &v[2], options)
                    }),
                ]
            },
            || {
                vec![fails!("no margin", Argument, "triplet_margin_loss: `margin` must be", {
                    let options = TripletMargin { margin: 0.0, ..TripletMargin::default() };
                    let x = Tensor::zeros([3, 2]);
                    x.triplet_margin_loss_with(&x, &x, options)
                })]
            },
        ),
    ]
}

fn classes() -> Vec<OpRow> {
    vec![
        row(
            [
                "nll_loss",
                "log_p.nll_loss(&ids)",
                "-mean(log_p[id])",
                "torch.nn.functional.nll_loss",
            ],
            Some("NegativeLogLikelihoodLoss"),
            || {
                let run: Call = |v| v[0].nll_loss(&v[1]);
                vec![
                    Sample::new("a batch", vec![any(&[5, 3], 1), ids(&[5], 3, 2)], run),
                    Sample::new("pixels", vec![any(&[2, 3, 4], 1), ids(&[2, 4], 3, 2)], run),
                    Sample::new("one row", vec![any(&[3], 1), ids(&[], 3, 2)], run),
                    Sample::new(
                        "weights, an ignored id",
                        vec![any(&[6, 3], 1), ids(&[6], 3, 2), positive(&[3], 3)],
                        |v| {
                            let (weight, ignore_index) = (Some(&v[2]), Some(1));
                            let options = Nll { weight, ignore_index, ..Nll::default() };
                            v[0].nll_loss_with(&v[1], options)
                        },
                    ),
                ]
            },
            || {
                vec![
                    fails!("batches that differ", Shape, "nll_loss: logits [2, 3]", {
                        Tensor::zeros([2, 3]).nll_loss(&Tensor::from([0, 1, 2]))
                    }),
                    fails!("real ids", DType, "nll_loss: class ids are i64, not f32", {
                        Tensor::zeros([2, 3]).nll_loss(&Tensor::zeros([2]))
                    }),
                ]
            },
        ),
        row(
            [
                "multi_margin_loss",
                "x.multi_margin_loss(&ids)",
                "mean over rows of sum_i max(0, 1 - x[id] + x[i]) / classes",
                "torch.nn.functional.multi_margin_loss",
            ],
            None,
            || {
                let run: Call = |v| v[0].multi_margin_loss(&v[1]);
                vec![
                    Sample::new("a batch", vec![any(&[5, 3], 1), ids(&[5], 3, 2)], run),
                    Sample::new("one row", vec![any(&[3], 1), ids(&[], 3, 2)], run),
                    Sample::new(
                        "squared, weights",
                        vec![any(&[5, 3], 1), ids(&[5], 3, 2), positive(&[3], 3)],
                        |v| {
                            let (squared, weight) = (true, Some(&v[2]));
                            let options = MultiMargin { squared, weight, ..MultiMargin::default() };
                            v[0].multi_margin_loss_with(&v[1], options)
                        },
                    ),
                ]
            },
            || {
                vec![
                    fails!("batches that differ", Shape, "multi_margin_loss: scores [2, 3]", {
                        Tensor::zeros([2, 3]).multi_margin_loss(&Tensor::from([0, 1, 2]))
                    }),
                    fails!("real ids", DType, "multi_margin_loss: class ids are i64", {
                        Tensor::zeros([2, 3]).multi_margin_loss(&Tensor::zeros([2]))
                    }),
                ]
            },
        ),
        row(
            [
                "multilabel_margin_loss",
                "x.multilabel_margin_loss(&ids)",
                "mean over rows of sum max(0, 1 - x[right] + x[wrong]) / classes",
                "torch.nn.functional.multilabel_margin_loss",
            ],
            None,
            || {
                let right = || exact(&[3i64, 0, -1, 1]);
                vec![
                    Sample::new("one row", vec![any(&[4], 1), right()], |v| {
                        v[0].multilabel_margin_loss(&v[1])
                    }),
                    Sample::new("a batch", vec![any(&[2, 4], 1), right()], |v| {
                        let ids = Tensor::stack(&[&v[1], &v[1].flip(0)], 0);
                        v[0].multilabel_margin_loss_with(&ids, Reduction::Sum)
                    }),
                    Sample::new("none right", vec![any(&[2], 1), exact(&[-1i64, 0])], |v| {
                        v[0].multilabel_margin_loss(&v[1])
                    })
                    .kinks(),
                ]
            },
            || {
                vec![
                    fails!("shapes that differ", Shape, "multilabel_margin_loss: scores", {
                        Tensor::zeros([2, 3]).multilabel_margin_loss(&Tensor::from([0, 1]))
                    }),
                    fails!("an id out of range", Index, "3", {
                        Tensor::zeros([2]).multilabel_margin_loss(&Tensor::from([3, -1]))
                    }),
                ]
            },
        ),
    ]
}
