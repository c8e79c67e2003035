//! Rows of reductions composed of sums and extremes, of distances and of series.

use super::arrays::{any, beyond, edges, exact, ids, mild_edges, positive, truth, unit, whole};
use super::reduction::{Call, reduced, row};
use super::{ErrorCase, Gradient, OpRow, Sample, fails};
use crate::tensor::Tensor;

const ANSWER: Gradient = Gradient::None("the result is not a float");
const INF: f64 = f64::INFINITY;

/// The samples of a reduction with its three methods.
macro_rules! three {
    ($all:ident $dim:ident $keep:ident($($arg:expr),*)) => {{
        let mut samples = reduced(
            |v| v[0].$all($($arg),*),
            |v| v[0].$dim(-1 $(, $arg)*),
            |v| v[0].t().$dim(1 $(, $arg)*),
            |v| v[0].broadcast_to([3, 2, 5]).$dim([0, 2] $(, $arg)*),
        );
        samples.retain(|s| s.label != "edges");
        samples.push(Sample::new("kept", vec![any(&[2, 3, 4], 12)], |v| {
            v[0].$keep([1] $(, $arg)*)
        }));
        samples
    }};
}

/// The error of an axis that does not exist.
macro_rules! no_axis {
    ($dim:ident($($arg:expr),*)) => {
        vec![fails!("no such axis", Shape, concat!(stringify!($dim), ": axis 2 does not exist"), {
            Tensor::zeros([2, 3]).$dim(2 $(, $arg)*)
        })]
    };
}

fn none() -> Vec<ErrorCase> {
    Vec::new()
}

fn zeros() -> crate::array::Array {
    exact(&[1.5f32, 0.0, -2.0, 0.7])
}

pub(super) fn rows() -> Vec<OpRow> {
    [reductions(), norms(), series()].concat()
}

fn reductions() -> Vec<OpRow> {
    vec![
        row(
            ["prod", "x.prod_dim(axes)", "the product along axes; 1 of nothing", "torch.prod"],
            Some("ReduceProd"),
            Gradient::Yes,
            || {
                let mut samples = three!(prod prod_dim prod_keepdim());
                samples.retain(|s| s.label != "long");
                samples.extend([
                    Sample::new("one zero", vec![zeros()], |v| v[0].prod()),
                    Sample::new("two zeros", vec![exact(&[0.5f32, 0.0, 2.0, 0.0])], |v| {
                        v[0].prod()
                    }),
                    Sample::new("outer axes", vec![any(&[2, 3, 4], 13)], |v| v[0].prod_dim([0, 2])),
                    Sample::new("integers", vec![whole(&[3, 5], 9)], |v| v[0].prod_dim(1)),
                    Sample::new("bools", vec![truth(&[5], 9)], |v| v[0].prod()),
                    Sample::new("of nothing", vec![any(&[3, 0], 16)], |v| v[0].prod_dim(1)),
                ]);
                samples
            },
            || no_axis!(prod_dim()),
        ),
        row(
            ["std", "x.std_dim(axes, correction)", "root of the variance", "torch.std"],
            None,
            Gradient::Yes,
            || {
                let mut samples = three!(std std_dim std_keepdim(0));
                samples.retain(|s| {
                    !["scalar", "the axis of a scalar", "one column"].contains(&s.label)
                });
                samples.extend([
                    Sample::new("unbiased", vec![any(&[3, 7], 11)], |v| v[0].std_dim(1, 1)),
                    Sample::new("a part", vec![any(&[3, 7], 11)], |v| v[0].std_dim(1, 0.5)),
                    Sample::new("equal elements", vec![exact(&[2.0f32, 2.0])], |v| v[0].std(0))
                        .kinks(),
                ]);
                samples
            },
            || no_axis!(std_dim(1)),
        ),
        row(
            ["var_mean", "x.var_mean_dim(axes, correction)", "variance and mean", "torch.var_mean"],
            None,
            Gradient::Yes,
            || {
                vec![
                    Sample::new("variance", vec![any(&[3, 7], 1)], |v| v[0].var_mean_dim(1, 1).0),
                    Sample::new("mean", vec![any(&[3, 7], 1)], |v| v[0].var_mean_dim(0, 1).1),
                ]
            },
            || {
                vec![fails!("no such axis", Shape, "var_mean_dim: axis 2 does not exist", {
                    Tensor::zeros([2, 3]).var_mean_dim(2, 1).0
                })]
            },
        ),
        row(
            [
                "std_mean",
                "x.std_mean_dim(axes, correction)",
                "deviation and mean",
                "torch.std_mean",
            ],
            None,
            Gradient::Yes,
            || {
                vec![
                    Sample::new("deviation", vec![any(&[3, 7], 1)], |v| v[0].std_mean_dim(1, 1).0),
                    Sample::new("mean", vec![any(&[3, 7], 1)], |v| v[0].std_mean_dim(0, 1).1),
                ]
            },
            none,
        ),
        row(
            ["any", "x.any_dim(axes)", "whether any is not 0", "torch.any"],
            None,
            ANSWER,
            || {
                let mut samples = three!(any any_dim any_keepdim());
                samples.extend([
                    Sample::new("bools", vec![truth(&[3, 5], 1)], |v| v[0].any_dim(1)),
                    Sample::new("of nothing", vec![any(&[3, 0], 1)], |v| v[0].any_dim(1)),
                    Sample::new("edges", vec![edges()], |v| v[0].any()).kinks(),
                ]);
                samples
            },
            || no_axis!(any_dim()),
        ),
        row(
            ["all", "x.all_dim(axes)", "whether all are not 0", "torch.all"],
            None,
            ANSWER,
            || {
                let mut samples = three!(all all_dim all_keepdim());
                samples.extend([
                    Sample::new("bools", vec![truth(&[3, 5], 1)], |v| v[0].all_dim(1)),
                    Sample::new("of nothing", vec![any(&[3, 0], 1)], |v| v[0].all_dim(1)),
                ]);
                samples
            },
            || no_axis!(all_dim()),
        ),
        row(
            ["aminmax", "x.aminmax_dim(axes)", "smallest and largest", "torch.aminmax"],
            None,
            Gradient::Yes,
            || {
                vec![
                    Sample::new("smallest", vec![any(&[3, 7], 1)], |v| v[0].aminmax_dim(1).0),
                    Sample::new("largest", vec![any(&[3, 7], 1)], |v| v[0].aminmax_dim(0).1),
                ]
            },
            none,
        ),
        row(
            ["argmax_flat", "x.argmax_flat()", "where the largest of all is", "torch.argmax"],
            None,
            ANSWER,
            || vec![Sample::new("matrix", vec![any(&[3, 5], 1)], |v| v[0].argmax_flat())],
            || {
                vec![fails!("of nothing", Shape, "nothing to choose from", {
                    Tensor::zeros([0, 2]).argmax_flat()
                })]
            },
        ),
        row(
            ["argmin_flat", "x.argmin_flat()", "where the smallest of all is", "torch.argmin"],
            None,
            ANSWER,
            || vec![Sample::new("matrix", vec![any(&[3, 5], 1)], |v| v[0].argmin_flat())],
            none,
        ),
        row(
            ["logsumexp", "x.logsumexp_dim(axes)", "ln of the sum of e^x", "torch.logsumexp"],
            Some("ReduceLogSumExp"),
            Gradient::Yes,
            || {
                let mut samples = three!(logsumexp logsumexp_dim logsumexp_keepdim());
                let inf = f32::INFINITY;
                samples.extend([
                    Sample::new("of -inf", vec![exact(&[-inf, -inf])], |v| v[0].logsumexp())
                        .kinks(),
                    Sample::new("of inf", vec![exact(&[1.0, inf])], |v| v[0].logsumexp()).kinks(),
                    Sample::new("of large ones", vec![exact(&[1000.0f32, 1001.0])], |v| {
                        v[0].logsumexp()
                    }),
                    Sample::new("of nothing", vec![any(&[3, 0], 1)], |v| v[0].logsumexp_dim(1)),
                ]);
                samples
            },
            || no_axis!(logsumexp_dim()),
        ),
        row(
            ["count_nonzero", "x.count_nonzero()", "how many are not 0", "torch.count_nonzero"],
            None,
            ANSWER,
            || {
                let mut samples = three!(count_nonzero count_nonzero_dim count_nonzero_keepdim());
                samples.push(Sample::new("edges", vec![edges()], |v| v[0].count_nonzero()).kinks());
                samples
            },
            || no_axis!(count_nonzero_dim()),
        ),
        row(
            ["nansum", "x.nansum_dim(axes)", "the sum of what is not NaN", "torch.nansum"],
            None,
            Gradient::Yes,
            || {
                let mut samples = three!(nansum nansum_dim nansum_keepdim());
                let some = exact(&[1.0, f32::NAN, 2.5]);
                samples.push(Sample::new("NaN", vec![some], |v| v[0].nansum()).kinks());
                samples.push(Sample::new("integers", vec![whole(&[3], 1)], |v| v[0].nansum()));
                samples
            },
            || no_axis!(nansum_dim()),
        ),
        row(
            ["nanmean", "x.nanmean_dim(axes)", "the mean of what is not NaN", "torch.nanmean"],
            None,
            Gradient::Yes,
            || {
                let mut samples = three!(nanmean nanmean_dim nanmean_keepdim());
                let some = exact(&[1.0, f32::NAN, 2.5]);
                samples.push(Sample::new("NaN", vec![some], |v| v[0].nanmean()).kinks());
                samples
            },
            || no_axis!(nanmean_dim()),
        ),
    ]
}

fn norms() -> Vec<OpRow> {
    vec![
        row(
            ["norm", "x.norm_dim(axes, p)", "sum(|x|^p)^(1/p)", "torch.linalg.vector_norm"],
            None,
            Gradient::Yes,
            || {
                let mut samples = three!(norm norm_dim norm_keepdim(2));
                samples.extend([
                    Sample::new("1", vec![any(&[3, 5], 1)], |v| v[0].norm_dim(1, 1)),
                    Sample::new("largest", vec![any(&[3, 5], 1)], |v| v[0].norm_dim(1, INF)),
                    Sample::new("smallest", vec![any(&[3, 5], 1)], |v| v[0].norm_dim(0, -INF)),
                    Sample::new("3", vec![any(&[3, 5], 1)], |v| v[0].norm_dim(1, 3)),
                    Sample::new("a half", vec![any(&[3, 5], 1)], |v| v[0].norm_dim(1, 0.5)),
                    Sample::new("-2", vec![any(&[3, 5], 1)], |v| v[0].norm_dim(1, -2)),
                    Sample::new("3, with a zero", vec![zeros()], |v| v[0].norm(3)).kinks(),
                    Sample::new("a half, with a zero", vec![zeros()], |v| v[0].norm(0.5)).kinks(),
                    Sample::new("-1, with a zero", vec![zeros()], |v| v[0].norm(-1)).kinks(),
                    Sample::new("of zeros", vec![exact(&[0.0f32; 3])], |v| v[0].norm(2)).kinks(),
                ]);
                samples
            },
            || {
                vec![fails!("of integers", DType, "norm: takes f32 or f64, not i64", {
                    Tensor::from([1, 2]).norm(2)
                })]
            },
        ),
        row(
            ["dist", "x.dist(y, p)", "norm of x - y", "torch.dist"],
            None,
            Gradient::Yes,
            || {
                vec![Sample::new("pair", vec![any(&[3, 5], 1), beyond(&[5], 2)], |v| {
                    v[0].dist(&v[1], 2)
                })]
            },
            none,
        ),
        row(
            [
                "pairwise_distance",
                "x.pairwise_distance(y, p, eps)",
                "norms of x - y + eps over the last axis",
                "torch.nn.functional.pairwise_distance",
            ],
            None,
            Gradient::Yes,
            || {
                vec![Sample::new("rows", vec![any(&[3, 5], 1), any(&[3, 5], 2)], |v| {
                    v[0].pairwise_distance(&v[1], 3, 1e-6)
                })]
            },
            none,
        ),
        row(
            ["cdist", "x.cdist(y, p)", "norms of all differences of rows", "torch.cdist"],
            None,
            Gradient::Yes,
            || {
                let run: Call = |v| v[0].cdist(&v[1], 2);
                vec![
                    Sample::new("rows", vec![any(&[3, 4], 1), any(&[5, 4], 2)], run),
                    Sample::new("batches", vec![any(&[2, 3, 4], 1), any(&[1, 2, 4], 2)], run),
                    Sample::new("p 1.5", vec![any(&[3, 4], 1), any(&[2, 4], 2)], |v| {
                        v[0].cdist(&v[1], 1.5)
                    }),
                    Sample::new("no rows", vec![any(&[0, 4], 1), any(&[2, 4], 2)], run),
                    Sample::new("equal rows", vec![any(&[3, 4], 1)], |v| v[0].cdist(&v[0], 2))
                        .kinks(),
                ]
            },
            || {
                vec![fails!("rows of two sizes", Shape, "cdist: rows of [2, 3] and [2, 4]", {
                    Tensor::zeros([2, 3]).cdist(&Tensor::zeros([2, 4]), 2)
                })]
            },
        ),
        row(
            ["pdist", "x.pdist(p)", "norms of all pairs of rows", "torch.nn.functional.pdist"],
            None,
            Gradient::Yes,
            || {
                vec![
                    Sample::new("rows", vec![any(&[4, 3], 1)], |v| v[0].pdist(2)),
                    Sample::new("one row", vec![any(&[1, 3], 1)], |v| v[0].pdist(2)),
                ]
            },
            || {
                vec![fails!("a vector", Shape, "pdist: takes a matrix, not [3]", {
                    Tensor::zeros([3]).pdist(2)
                })]
            },
        ),
        row(
            [
                "cosine_similarity",
                "x.cosine_similarity(y, axis, eps)",
                "cosine of the angle between vectors",
                "torch.nn.functional.cosine_similarity",
            ],
            None,
            Gradient::Yes,
            || {
                let run: Call = |v| v[0].cosine_similarity(&v[1], 1, 1e-8);
                vec![
                    Sample::new("rows", vec![any(&[3, 5], 1), any(&[3, 5], 2)], run),
                    Sample::new("one row with all", vec![any(&[3, 5], 1), any(&[1, 5], 2)], run),
                ]
            },
            || {
                vec![fails!("two shapes", Shape, "do not broadcast", {
                    Tensor::zeros([2, 3]).cosine_similarity(&Tensor::zeros([2, 4]), 1, 1e-8)
                })]
            },
        ),
        row(
            [
                "normalize",
                "x.normalize(p, axis, eps)",
                "x over its norm",
                "torch.nn.functional.normalize",
            ],
            Some("LpNormalization"),
            Gradient::Yes,
            || {
                vec![
                    Sample::new("rows", vec![any(&[3, 5], 1)], |v| v[0].normalize(2, 1, 1e-12)),
                    Sample::new("columns", vec![any(&[3, 5], 1)], |v| v[0].normalize(1, 0, 1e-12)),
                    Sample::new("zeros", vec![exact(&[0.0f32; 3])], |v| v[0].normalize(2, 0, 1e-6))
                        .kinks(),
                ]
            },
            || {
                vec![fails!("no such axis", Shape, "norm_keepdim: axis 2 does not exist", {
                    Tensor::zeros([2, 3]).normalize(2, 2, 1e-12)
                })]
            },
        ),
        row(
            [
                "renorm",
                "x.renorm(p, axis, most)",
                "slices of a norm of at most this",
                "torch.renorm",
            ],
            None,
            Gradient::Yes,
            || {
                vec![
                    Sample::new("rows", vec![any(&[3, 5], 1)], |v| v[0].renorm(2, 0, 2.2)),
                    Sample::new("middle", vec![any(&[2, 3, 4], 1)], |v| v[0].renorm(1, 1, 3.0)),
                ]
            },
            || {
                vec![fails!("a scalar", Shape, "renorm: axis 0 of []", {
                    Tensor::from(1.0).renorm(2, 0, 1.0)
                })]
            },
        ),
    ]
}

fn series() -> Vec<OpRow> {
    vec![
        row(
            ["diff", "x.diff(n, axis)", "differences of neighbours, n times", "torch.diff"],
            None,
            Gradient::Yes,
            || {
                vec![
                    Sample::new("once", vec![any(&[3, 5], 1)], |v| v[0].diff(1, 1)),
                    Sample::new("twice", vec![any(&[5, 3], 1)], |v| v[0].diff(2, 0)),
                    Sample::new("never", vec![any(&[5, 3], 1)], |v| v[0].diff(0, 0)),
                    Sample::new("too often", vec![any(&[2, 3], 1)], |v| v[0].diff(3, 0)),
                    Sample::new("integers", vec![whole(&[5], 1)], |v| v[0].diff(1, 0)),
                    Sample::new("bools", vec![truth(&[5], 1)], |v| v[0].diff(1, 0)),
                ]
            },
            || {
                vec![fails!("no such axis", Shape, "axis 2 does not exist", {
                    Tensor::zeros([2, 3]).diff(1, 2)
                })]
            },
        ),
        row(
            ["trapezoid", "y.trapezoid(dx, axis)", "integral by trapezoids", "torch.trapezoid"],
            None,
            Gradient::Yes,
            || {
                vec![
                    Sample::new("rows", vec![any(&[3, 5], 1)], |v| v[0].trapezoid(0.5, 1)),
                    Sample::new("places", vec![any(&[3, 5], 1), any(&[3], 2)], |v| {
                        v[0].trapezoid_at(&v[1], 0)
                    }),
                    Sample::new("places of each", vec![any(&[3, 5], 1), any(&[3, 5], 2)], |v| {
                        v[0].trapezoid_at(&v[1], -1)
                    }),
                ]
            },
            none,
        ),
        row(
            [
                "cumulative_trapezoid",
                "y.cumulative_trapezoid(dx, axis)",
                "integral by trapezoids so far",
                "torch.cumulative_trapezoid",
            ],
            None,
            Gradient::Yes,
            || {
                vec![
                    Sample::new("rows", vec![any(&[3, 5], 1)], |v| {
                        v[0].cumulative_trapezoid(0.5, 1)
                    }),
                    Sample::new("places", vec![any(&[3, 5], 1), any(&[3], 2)], |v| {
                        v[0].cumulative_trapezoid_at(&v[1], 0)
                    }),
                ]
            },
            none,
        ),
        row(
            ["cov", "x.cov(correction)", "covariance of rows", "torch.cov"],
            None,
            Gradient::Yes,
            || {
                vec![
                    Sample::new("matrix", vec![any(&[3, 7], 1)], |v| v[0].cov(1)),
                    Sample::new("vector", vec![any(&[7], 1)], |v| v[0].cov(0)),
                    Sample::new("weights", vec![any(&[3, 7], 1), unit(&[7], 2)], |v| {
                        v[0].cov_weighted(1, None, Some(&v[1]))
                    }),
                    Sample::new("times", vec![any(&[3, 7], 1), ids(&[7], 4, 2)], |v| {
                        v[0].cov_weighted(1, Some(&v[1]), None)
                    }),
                ]
            },
            || {
                vec![
                    fails!("three axes", Shape, "cov: takes up to two axes", {
                        Tensor::zeros([2, 3, 4]).cov(1)
                    }),
                    fails!("times of another size", Shape, "cov: times [2] for 3 observations", {
                        Tensor::zeros([2, 3]).cov_weighted(1, Some(&Tensor::from([1, 2])), None)
                    }),
                    fails!("negative weights", Argument, "cov: weights are negative", {
                        Tensor::zeros([2]).cov_weighted(1, None, Some(&Tensor::from([1.0, -2.0])))
                    }),
                ]
            },
        ),
        row(
            ["corrcoef", "x.corrcoef()", "correlations of rows", "torch.corrcoef"],
            None,
            Gradient::Yes,
            || {
                vec![Sample::new("matrix", vec![any(&[3, 7], 1)], |v| {
                    v[0].corrcoef().slice(0, 0, 1, 1).slice(1, 1, 3, 1)
                })]
            },
            none,
        ),
        row(
            ["histc", "x.histc(bins, low, high)", "how many in each bin", "torch.histc"],
            None,
            Gradient::None("a count"),
            || {
                vec![
                    Sample::new("limits", vec![any(&[3, 7], 1)], |v| v[0].histc(4, -1.0, 1.0)),
                    Sample::new("own limits", vec![positive(&[20], 1)], |v| {
                        v[0].histc(3, 0.0, 0.0)
                    }),
                    Sample::new("edges", vec![mild_edges()], |v| v[0].histc(3, 0.0, 3.0)).kinks(),
                ]
            },
            || {
                vec![fails!("limits that cross", Argument, "histc: 3 bins from 1 to 0", {
                    Tensor::zeros([2]).histc(3, 1.0, 0.0)
                })]
            },
        ),
        row(
            ["bincount", "x.bincount(least)", "how often each of 0.. occurs", "torch.bincount"],
            None,
            ANSWER,
            || {
                vec![
                    Sample::new("counts", vec![ids(&[20], 5, 1)], |v| v[0].bincount(0)),
                    Sample::new("at least", vec![ids(&[20], 5, 1)], |v| v[0].bincount(9)),
                    Sample::new("nothing", vec![ids(&[0], 5, 1)], |v| v[0].bincount(0)),
                ]
            },
            || {
                vec![
                    fails!("of reals", DType, "bincount: takes integers, not f32", {
                        Tensor::from([1.0]).bincount(0)
                    }),
                    fails!("negative", Argument, "bincount: an element is -2", {
                        Tensor::from([1, -2]).bincount(0)
                    }),
                ]
            },
        ),
        row(
            [
                "bincount_weighted",
                "x.bincount_weighted(weights, least)",
                "sums of weights for each of 0..",
                "torch.bincount",
            ],
            None,
            Gradient::Yes,
            || {
                vec![Sample::new("weights", vec![ids(&[20], 5, 1), unit(&[20], 2)], |v| {
                    v[0].bincount_weighted(&v[1], 0)
                })]
            },
            || {
                vec![fails!("of another size", Shape, "bincount: elements [2] and weights [3]", {
                    Tensor::from([1, 2]).bincount_weighted(&Tensor::zeros([3]), 0)
                })]
            },
        ),
    ]
}
