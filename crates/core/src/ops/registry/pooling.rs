//! Rows of pooling.

use super::arrays::{any, exact, ids, positive};
use super::reduction::row;
use super::{ErrorCase, Gradient, OpRow, Sample, fails};
use crate::array::Array;
use crate::ops::pool::Pool;
use crate::tensor::Tensor;

fn image(shape: &[usize], seed: u64) -> Vec<Array> {
    vec![any(shape, seed)]
}

fn zeros(shape: &[usize]) -> Tensor {
    Tensor::zeros(shape)
}

/// Two rows of 6 with ties, infinities and NaN.
fn hard() -> Vec<Array> {
    let (inf, nan) = (f32::INFINITY, f32::NAN);
    let x = exact(&[1.0f32, 1.0, -inf, -inf, nan, 2.0, 0.0, -0.0, inf, 3.0, nan, nan]);
    vec![x.reshape([1, 2, 6]).unwrap_or(x)]
}

pub(super) fn rows() -> Vec<OpRow> {
    [maxima(), means(), norms(), adaptive(), back()].concat()
}

fn maxima() -> Vec<OpRow> {
    vec![
        row(
            [
                "max_pool1d",
                "x.max_pool1d(Pool::new(3).stride(2).padding(1))",
                "the largest under each window",
                "torch.nn.functional.max_pool1d",
            ],
            Some("MaxPool"),
            Gradient::Yes,
            || {
                vec![
                    Sample::new("pairs", image(&[2, 3, 8], 1), |v| v[0].max_pool1d(2)),
                    Sample::new("no batch", image(&[2, 9], 2), |v| v[0].max_pool1d(3)),
                    Sample::new("overlapping, padded", image(&[2, 2, 7], 3), |v| {
                        v[0].max_pool1d(Pool::new(3).stride(1).padding(1))
                    }),
                    Sample::new("dilated", image(&[1, 2, 9], 4), |v| {
                        v[0].max_pool1d(Pool::new(3).stride(2).dilation(2).padding(2))
                    }),
                    Sample::new("ceil", image(&[2, 1, 8], 5), |v| {
                        v[0].max_pool1d(Pool::new(3).stride(2).ceil_mode(true))
                    }),
                    Sample::new("long rows", image(&[1, 1, 150], 6), |v| {
                        v[0].max_pool1d(Pool::new(2).stride(1))
                    }),
                    Sample::new("indices", image(&[2, 3, 8], 7), |v| {
                        v[0].max_pool1d_with_indices(Pool::new(3).stride(2)).1
                    })
                    .kinks(),
                    Sample::new("no batch entries", image(&[0, 3, 8], 8), |v| v[0].max_pool1d(2)),
                    Sample::new("edges", hard(), |v| v[0].max_pool1d(2)).kinks(),
                ]
            },
            || {
                vec![
                    fails!(
                        "a matrix too few",
                        Shape,
                        "max_pool1d: takes [batch, channels, length]",
                        { zeros(&[4]).max_pool1d(2) }
                    ),
                    fails!(
                        "too much padding",
                        Argument,
                        "max_pool1d: a padding of 2 is more than",
                        { zeros(&[1, 2, 4]).max_pool1d(Pool::new(2).padding(2)) }
                    ),
                    fails!("too wide", Shape, "max_pool1d: a window of 5 does not fit axis 2", {
                        zeros(&[1, 2, 4]).max_pool1d(5)
                    }),
                    fails!("stands still", Argument, "max_pool1d: kernel 2, stride 0", {
                        zeros(&[1, 2, 4]).max_pool1d(Pool::new(2).stride(0))
                    }),
                    fails!("only padding", Shape, "max_pool1d: a window sees only padding", {
                        zeros(&[1, 2, 1]).max_pool1d(Pool::new(2).dilation(3).padding(2))
                    }),
                    fails!("a divisor", Argument, "max_pool1d: `count_include_pad`", {
                        zeros(&[1, 2, 4]).max_pool1d(Pool::new(2).divisor_override(3))
                    }),
                    fails!("of integers", DType, "max_pool1d: takes f32 or f64, not i64", {
                        Tensor::from([[1, 2, 3]]).max_pool1d(2)
                    }),
                ]
            },
        ),
        row(
            [
                "max_pool2d",
                "x.max_pool2d(2)",
                "the largest under each window",
                "torch.nn.functional.max_pool2d",
            ],
            Some("MaxPool"),
            Gradient::Yes,
            || {
                vec![
                    Sample::new("pairs", image(&[2, 2, 4, 6], 1), |v| v[0].max_pool2d(2)),
                    Sample::new("pairs with a rest", image(&[2, 5, 7], 2), |v| v[0].max_pool2d(2)),
                    Sample::new("of ResNet", image(&[1, 2, 7, 6], 3), |v| {
                        v[0].max_pool2d(Pool::new(3).stride(2).padding(1))
                    }),
                    Sample::new("turned", image(&[2, 4, 6, 2], 4), |v| {
                        v[0].permute([0, 3, 1, 2]).max_pool2d([3, 2])
                    }),
                    Sample::new("large windows", image(&[1, 1, 22, 24], 5), |v| {
                        v[0].max_pool2d(Pool::new(11).stride(4).padding(2))
                    }),
                    Sample::new("indices", image(&[2, 2, 5, 6], 6), |v| {
                        v[0].max_pool2d_with_indices(Pool::new(3).stride(2).padding(1)).1
                    })
                    .kinks(),
                ]
            },
            || {
                vec![
                    fails!("another rank", Shape, "max_pool2d: takes [batch, channels, height", {
                        zeros(&[5, 5]).max_pool2d(2)
                    }),
                    fails!("nothing", Shape, "max_pool2d: [2, 1, 10, 0] has no elements", {
                        zeros(&[2, 1, 10, 0]).max_pool2d(1)
                    }),
                    fails!("larger than 65535", Argument, "max_pool2d: 70000 is more than", {
                        zeros(&[1, 1, 4, 4]).max_pool2d(Pool::new(2).stride(70_000))
                    }),
                ]
            },
        ),
        row(
            [
                "max_pool3d",
                "x.max_pool3d(2)",
                "the largest under each window",
                "torch.nn.functional.max_pool3d",
            ],
            Some("MaxPool"),
            Gradient::Yes,
            || {
                vec![
                    Sample::new("cubes", image(&[1, 2, 4, 4, 4], 1), |v| v[0].max_pool3d(2)),
                    Sample::new("padded", image(&[2, 3, 4, 5], 2), |v| {
                        v[0].max_pool3d(Pool::new([2, 3, 3]).stride([1, 2, 1]).padding(1))
                    }),
                    Sample::new("flat windows", image(&[1, 3, 4, 4], 3), |v| {
                        v[0].max_pool3d([1, 2, 2])
                    }),
                ]
            },
            || {
                vec![fails!("another rank", Shape, "max_pool3d: takes [batch, channels, depth", {
                    zeros(&[5, 5, 5]).max_pool3d(2)
                })]
            },
        ),
        row(
            ["global_max_pool", "x.global_max_pool()", "the largest of each channel", "torch.amax"],
            Some("GlobalMaxPool"),
            Gradient::Yes,
            || vec![Sample::new("images", image(&[2, 3, 4, 5], 1), |v| v[0].global_max_pool())],
            || {
                vec![fails!("a matrix", Shape, "global_max_pool: takes [batch, channels, ..]", {
                    zeros(&[2, 3]).global_max_pool()
                })]
            },
        ),
    ]
}

fn means() -> Vec<OpRow> {
    vec![
        row(
            [
                "avg_pool1d",
                "x.avg_pool1d(2)",
                "the mean under each window",
                "torch.nn.functional.avg_pool1d",
            ],
            Some("AveragePool"),
            Gradient::Yes,
            || {
                vec![
                    Sample::new("pairs", image(&[2, 3, 8], 1), |v| v[0].avg_pool1d(2)),
                    Sample::new("padded, counted", image(&[2, 7], 2), |v| {
                        v[0].avg_pool1d(Pool::new(3).stride(2).padding(1))
                    }),
                    Sample::new("padded, not counted", image(&[2, 7], 3), |v| {
                        v[0].avg_pool1d(Pool::new(3).stride(2).padding(1).count_include_pad(false))
                    }),
                    Sample::new("ceil", image(&[2, 2, 8], 4), |v| {
                        v[0].avg_pool1d(Pool::new(3).stride(2).padding(1).ceil_mode(true))
                    }),
                    Sample::new("long rows", image(&[1, 1, 150], 5), |v| {
                        v[0].avg_pool1d(Pool::new(3).stride(1).padding(1).count_include_pad(false))
                    }),
                    Sample::new("edges", hard(), |v| v[0].avg_pool1d(2)).kinks(),
                ]
            },
            || {
                vec![fails!(
                    "dilated",
                    Argument,
                    "avg_pool1d: windows of means have no dilation",
                    { zeros(&[1, 2, 4]).avg_pool1d(Pool::new(2).dilation(2)) }
                )]
            },
        ),
        row(
            [
                "avg_pool2d",
                "x.avg_pool2d(2)",
                "the mean under each window",
                "torch.nn.functional.avg_pool2d",
            ],
            Some("AveragePool"),
            Gradient::Yes,
            || {
                vec![
                    Sample::new("pairs", image(&[2, 2, 4, 6], 1), |v| v[0].avg_pool2d(2)),
                    Sample::new("pairs with a rest", image(&[2, 5, 7], 2), |v| v[0].avg_pool2d(2)),
                    Sample::new("overlapping", image(&[1, 2, 6, 5], 3), |v| {
                        v[0].avg_pool2d(Pool::new([3, 2]).stride(1).padding([1, 0]))
                    }),
                    Sample::new("divided by 3", image(&[1, 2, 6, 6], 4), |v| {
                        v[0].avg_pool2d(Pool::new(2).divisor_override(3))
                    }),
                    Sample::new("ceil, not counted", image(&[1, 2, 6, 5], 5), |v| {
                        let pool = Pool::new(3).stride(2).padding(1).ceil_mode(true);
                        v[0].avg_pool2d(pool.count_include_pad(false))
                    }),
                    Sample::new("large windows", image(&[1, 1, 22, 24], 6), |v| {
                        v[0].avg_pool2d(Pool::new(11).stride(4).padding(2))
                    }),
                ]
            },
            || {
                vec![fails!("divided by 0", Argument, "avg_pool2d: the divisor is 0", {
                    zeros(&[1, 2, 4, 4]).avg_pool2d(Pool::new(2).divisor_override(0))
                })]
            },
        ),
        row(
            [
                "avg_pool3d",
                "x.avg_pool3d(2)",
                "the mean under each window",
                "torch.nn.functional.avg_pool3d",
            ],
            Some("AveragePool"),
            Gradient::Yes,
            || {
                vec![
                    Sample::new("cubes", image(&[1, 2, 4, 4, 4], 1), |v| v[0].avg_pool3d(2)),
                    Sample::new("padded", image(&[2, 3, 4, 5], 2), |v| {
                        v[0].avg_pool3d(Pool::new([2, 3, 3]).stride([1, 2, 1]).padding(1))
                    }),
                ]
            },
            || {
                vec![fails!("too wide", Shape, "avg_pool3d: a window of 3 does not fit axis 1", {
                    zeros(&[1, 2, 4, 4]).avg_pool3d(3)
                })]
            },
        ),
        row(
            ["global_avg_pool", "x.global_avg_pool()", "the mean of each channel", "torch.mean"],
            Some("GlobalAveragePool"),
            Gradient::Yes,
            || vec![Sample::new("images", image(&[2, 3, 4, 5], 1), |v| v[0].global_avg_pool())],
            || {
                vec![fails!("a matrix", Shape, "global_avg_pool: takes [batch, channels, ..]", {
                    zeros(&[2, 3]).global_avg_pool()
                })]
            },
        ),
    ]
}

fn norms() -> Vec<OpRow> {
    vec![
        row(
            [
                "lp_pool1d",
                "x.lp_pool1d(2.0, 3)",
                "(sum x^p)^(1/p) under each window",
                "torch.nn.functional.lp_pool1d",
            ],
            Some("LpPool"),
            Gradient::Yes,
            || {
                vec![
                    Sample::new("euclidean", image(&[2, 3, 8], 1), |v| v[0].lp_pool1d(2.0, 3)),
                    Sample::new("cubes", vec![positive(&[2, 8], 2)], |v| {
                        v[0].lp_pool1d(3.0, Pool::new(3).stride(2).ceil_mode(true))
                    }),
                    Sample::new("sums", image(&[2, 8], 3), |v| v[0].lp_pool1d(1.0, 2)),
                    Sample::new("of zeros", vec![exact(&[0.0f32, 0.0, 3.0, 4.0])], |v| {
                        v[0].reshape([1, 4]).lp_pool1d(2.0, 2)
                    })
                    .kinks(),
                ]
            },
            || {
                vec![
                    fails!("no norm", Argument, "lp_pool1d: the norm must be", {
                        zeros(&[1, 2, 4]).lp_pool1d(0.0, 2)
                    }),
                    fails!("padded", Argument, "lp_pool1d: has no padding", {
                        zeros(&[1, 2, 4]).lp_pool1d(2.0, Pool::new(2).padding(1))
                    }),
                ]
            },
        ),
        row(
            [
                "lp_pool2d",
                "x.lp_pool2d(2.0, 3)",
                "(sum x^p)^(1/p) under each window",
                "torch.nn.functional.lp_pool2d",
            ],
            Some("LpPool"),
            Gradient::Yes,
            || vec![Sample::new("euclidean", image(&[1, 2, 4, 6], 1), |v| v[0].lp_pool2d(2.0, 2))],
            Vec::<ErrorCase>::new,
        ),
        row(
            [
                "lp_pool3d",
                "x.lp_pool3d(2.0, 2)",
                "(sum x^p)^(1/p) under each window",
                "torch.nn.functional.lp_pool3d",
            ],
            Some("LpPool"),
            Gradient::Yes,
            || vec![Sample::new("euclidean", image(&[1, 4, 3, 4], 1), |v| v[0].lp_pool3d(2.0, 2))],
            Vec::<ErrorCase>::new,
        ),
    ]
}

fn adaptive() -> Vec<OpRow> {
    vec![
        row(
            [
                "adaptive_avg_pool1d",
                "x.adaptive_avg_pool1d(5)",
                "means that share the axis out evenly",
                "torch.nn.functional.adaptive_avg_pool1d",
            ],
            None,
            Gradient::Yes,
            || {
                vec![
                    Sample::new("uneven", image(&[2, 3, 8], 1), |v| v[0].adaptive_avg_pool1d(5)),
                    Sample::new("even", image(&[2, 8], 2), |v| v[0].adaptive_avg_pool1d(4)),
                    Sample::new("more than there are", image(&[2, 3], 3), |v| {
                        v[0].adaptive_avg_pool1d(7)
                    }),
                    Sample::new("none", image(&[2, 3], 3), |v| v[0].adaptive_avg_pool1d(0)),
                ]
            },
            || {
                vec![fails!("a vector", Shape, "adaptive_avg_pool1d: takes", {
                    zeros(&[4]).adaptive_avg_pool1d(2)
                })]
            },
        ),
        row(
            [
                "adaptive_avg_pool2d",
                "x.adaptive_avg_pool2d([Some(7), None])",
                "means that share the axes out evenly",
                "torch.nn.functional.adaptive_avg_pool2d",
            ],
            None,
            Gradient::Yes,
            || {
                vec![
                    Sample::new("all", image(&[2, 3, 5, 4], 1), |v| v[0].adaptive_avg_pool2d(1)),
                    Sample::new("uneven", image(&[2, 7, 9], 2), |v| {
                        v[0].adaptive_avg_pool2d([3, 4])
                    }),
                    Sample::new("one axis kept", image(&[2, 6, 5], 3), |v| {
                        v[0].adaptive_avg_pool2d([Some(4), None])
                    }),
                ]
            },
            Vec::<ErrorCase>::new,
        ),
        row(
            [
                "adaptive_avg_pool3d",
                "x.adaptive_avg_pool3d(2)",
                "means that share the axes out evenly",
                "torch.nn.functional.adaptive_avg_pool3d",
            ],
            None,
            Gradient::Yes,
            || {
                vec![Sample::new("uneven", image(&[2, 3, 4, 5], 1), |v| {
                    v[0].adaptive_avg_pool3d([2, 3, 2])
                })]
            },
            Vec::<ErrorCase>::new,
        ),
        row(
            [
                "adaptive_max_pool1d",
                "x.adaptive_max_pool1d(5)",
                "the largest in windows that share the axis out evenly",
                "torch.nn.functional.adaptive_max_pool1d",
            ],
            None,
            Gradient::Yes,
            || {
                vec![
                    Sample::new("uneven", image(&[2, 3, 8], 1), |v| v[0].adaptive_max_pool1d(5)),
                    Sample::new("indices", image(&[2, 8], 2), |v| {
                        v[0].adaptive_max_pool1d_with_indices(3).1
                    })
                    .kinks(),
                ]
            },
            || {
                vec![fails!("nothing", Shape, "adaptive_max_pool1d: [2, 0] has no elements", {
                    zeros(&[2, 0]).adaptive_max_pool1d(2)
                })]
            },
        ),
        row(
            [
                "adaptive_max_pool2d",
                "x.adaptive_max_pool2d(7)",
                "the largest in windows that share the axes out evenly",
                "torch.nn.functional.adaptive_max_pool2d",
            ],
            None,
            Gradient::Yes,
            || {
                vec![
                    Sample::new("uneven", image(&[2, 7, 9], 2), |v| {
                        v[0].adaptive_max_pool2d([3, 4])
                    }),
                    Sample::new("all", image(&[2, 3, 5, 4], 1), |v| v[0].adaptive_max_pool2d(1)),
                    Sample::new("indices", image(&[2, 7, 9], 3), |v| {
                        v[0].adaptive_max_pool2d_with_indices([Some(2), None]).1
                    })
                    .kinks(),
                ]
            },
            Vec::<ErrorCase>::new,
        ),
        row(
            [
                "adaptive_max_pool3d",
                "x.adaptive_max_pool3d(2)",
                "the largest in windows that share the axes out evenly",
                "torch.nn.functional.adaptive_max_pool3d",
            ],
            None,
            Gradient::Yes,
            || {
                vec![Sample::new("uneven", image(&[2, 3, 4, 5], 1), |v| {
                    v[0].adaptive_max_pool3d([2, 3, 2])
                })]
            },
            Vec::<ErrorCase>::new,
        ),
    ]
}

fn back() -> Vec<OpRow> {
    vec![
        row(
            [
                "max_unpool1d",
                "x.max_unpool1d(&indices, 2)",
                "what max_pool1d took, put back where it was",
                "torch.nn.functional.max_unpool1d",
            ],
            Some("MaxUnpool"),
            Gradient::Yes,
            || {
                vec![
                    Sample::new("there and back", image(&[2, 2, 8], 1), |v| {
                        let (y, at) = v[0].max_pool1d_with_indices(2);
                        y.max_unpool1d(&at, 2)
                    }),
                    Sample::new("a size of its own", image(&[1, 2, 9], 2), |v| {
                        let (y, at) = v[0].max_pool1d_with_indices(2);
                        y.max_unpool1d_to(&at, 2, 9)
                    }),
                ]
            },
            || {
                vec![
                    fails!(
                        "two shapes",
                        Shape,
                        "max_unpool1d: values [1, 2] and indices [1, 3]",
                        { zeros(&[1, 2]).max_unpool1d(&zeros(&[1, 3]), 2) }
                    ),
                    fails!("an index outside", Index, "max_unpool1d", {
                        let at = Tensor::from([[0, 9]]);
                        Tensor::from([[1.0, 2.0]]).max_unpool1d(&at, 2)
                    }),
                    fails!("another size", Argument, "max_unpool1d: 9 elements for windows", {
                        zeros(&[1, 2]).max_unpool1d_to(&zeros(&[1, 2]), 2, 9)
                    }),
                ]
            },
        ),
        row(
            [
                "max_unpool2d",
                "x.max_unpool2d(&indices, 2)",
                "what max_pool2d took, put back where it was",
                "torch.nn.functional.max_unpool2d",
            ],
            Some("MaxUnpool"),
            Gradient::Yes,
            || {
                vec![
                    Sample::new("there and back", image(&[1, 2, 4, 6], 1), |v| {
                        let (y, at) = v[0].max_pool2d_with_indices(2);
                        y.max_unpool2d(&at, 2)
                    }),
                    Sample::new(
                        "indices of one's own",
                        vec![any(&[2, 1, 2], 2), ids(&[2, 1, 2], 4, 3)],
                        |v| v[0].max_unpool2d(&v[1], Pool::new([2, 2]).stride([2, 1])),
                    )
                    .kinks(),
                ]
            },
            Vec::<ErrorCase>::new,
        ),
        row(
            [
                "max_unpool3d",
                "x.max_unpool3d(&indices, 2)",
                "what max_pool3d took, put back where it was",
                "torch.nn.functional.max_unpool3d",
            ],
            Some("MaxUnpool"),
            Gradient::Yes,
            || {
                vec![Sample::new("there and back", image(&[2, 2, 4, 4], 1), |v| {
                    let (y, at) = v[0].max_pool3d_with_indices(2);
                    y.max_unpool3d(&at, 2)
                })]
            },
            || {
                vec![fails!("whole numbers", DType, "max_unpool3d", {
                    let x = Tensor::zeros([1, 1, 1, 1]);
                    x.max_unpool3d(&x, 2)
                })]
            },
        ),
    ]
}
