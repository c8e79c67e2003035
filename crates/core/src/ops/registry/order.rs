//! Rows of order statistics.

use super::arrays::{any, exact, ids, whole};
use super::reduction::{Call, row};
use super::{Gradient, OpRow, Sample, fails};
use crate::ops::Quantile;
use crate::tensor::Tensor;

/// Values along both axes, positions, a scalar, NaN.
fn both(last: Call, first: Call, at: Call) -> Vec<Sample> {
    let nan = exact(&[2.0f32, f32::NAN, 1.0, f32::NAN]);
    vec![
        Sample::new("rows", vec![any(&[3, 7], 1)], last),
        Sample::new("columns", vec![any(&[6, 3], 2)], first),
        Sample::new("a scalar", vec![any(&[], 3)], first),
        Sample::new("positions", vec![any(&[3, 7], 1)], at).kinks(),
        Sample::new("integers", vec![whole(&[3, 7], 1)], last),
        Sample::new("NaN", vec![nan], first).kinks(),
    ]
}

pub(super) fn rows() -> Vec<OpRow> {
    vec![
        row(
            ["median", "x.median_dim(axis).0", "the middle element", "torch.median"],
            None,
            Gradient::Yes,
            || {
                let mut samples = both(
                    |v| v[0].median_dim(-1).0,
                    |v| v[0].median_dim(0).0,
                    |v| v[0].median_dim(1).1,
                );
                samples.push(Sample::new("all", vec![any(&[3, 4], 4)], |v| v[0].median()));
                samples
            },
            || {
                vec![fails!("of nothing", Shape, "median_dim: nothing to choose from in [2, 0]", {
                    Tensor::zeros([2, 0]).median_dim(1).0
                })]
            },
        ),
        row(
            [
                "nanmedian",
                "x.nanmedian_dim(axis).0",
                "the middle of what is not NaN",
                "torch.nanmedian",
            ],
            None,
            Gradient::Yes,
            || {
                let mut samples = both(
                    |v| v[0].nanmedian_dim(-1).0,
                    |v| v[0].nanmedian_dim(0).0,
                    |v| v[0].nanmedian_dim(1).1,
                );
                samples.push(Sample::new("all", vec![any(&[3, 4], 4)], |v| v[0].nanmedian()));
                samples
            },
            || {
                vec![fails!("no such axis", Shape, "nanmedian_dim: axis 2 does not exist", {
                    Tensor::zeros([2, 3]).nanmedian_dim(2).0
                })]
            },
        ),
        row(
            ["kthvalue", "x.kthvalue(k, axis).0", "the element of rank k", "torch.kthvalue"],
            None,
            Gradient::Yes,
            || {
                both(
                    |v| v[0].kthvalue(1, -1).0,
                    |v| v[0].kthvalue(1, 0).0,
                    |v| v[0].kthvalue(3, 1).1,
                )
            },
            || {
                vec![fails!("a large k", Argument, "kthvalue: k is 4, the axis has 3", {
                    Tensor::zeros([2, 3]).kthvalue(4, 1).0
                })]
            },
        ),
        row(
            [
                "quantile",
                "x.quantile(q, axis, between)",
                "below it lies a part q",
                "torch.quantile",
            ],
            None,
            Gradient::Yes,
            || {
                let nan = exact(&[2.0f32, f32::NAN, 1.0]);
                vec![
                    Sample::new("linear", vec![any(&[3, 7], 1)], |v| {
                        v[0].quantile(0.3, 1, Quantile::Linear)
                    }),
                    Sample::new("lower", vec![any(&[6, 3], 1)], |v| {
                        v[0].quantile(0.3, 0, Quantile::Lower)
                    }),
                    Sample::new("higher", vec![any(&[6, 3], 1)], |v| {
                        v[0].quantile(0.3, 0, Quantile::Higher)
                    }),
                    Sample::new("nearest", vec![any(&[6, 3], 1)], |v| {
                        v[0].quantile(0.3, 0, Quantile::Nearest)
                    }),
                    Sample::new("midpoint", vec![any(&[6, 3], 1)], |v| {
                        v[0].quantile(0.3, 0, Quantile::Midpoint)
                    }),
                    Sample::new("all", vec![any(&[7], 1)], |v| {
                        v[0].quantile(1.0, 0, Quantile::Linear)
                    }),
                    Sample::new("NaN", vec![nan], |v| v[0].quantile(0.0, 0, Quantile::Lower))
                        .kinks(),
                ]
            },
            || {
                vec![fails!("a large part", Argument, "quantile: q is 2", {
                    Tensor::zeros([3]).quantile(2.0, 0, Quantile::Linear)
                })]
            },
        ),
        row(
            ["mode", "x.mode_dim(axis).0", "the most frequent element", "torch.mode"],
            None,
            Gradient::Yes,
            || {
                vec![
                    Sample::new("rows", vec![any(&[3, 7], 1)], |v| v[0].mode_dim(-1).0),
                    Sample::new("integers", vec![ids(&[5, 9], 4, 1)], |v| v[0].mode_dim(1).0),
                    Sample::new("positions", vec![ids(&[9, 5], 4, 1)], |v| v[0].mode_dim(0).1),
                    Sample::new("a scalar", vec![any(&[], 1)], |v| v[0].mode_dim(0).0),
                ]
            },
            || {
                vec![fails!("of nothing", Shape, "mode_dim: nothing to choose from in [2, 0]", {
                    Tensor::zeros([2, 0]).mode_dim(1).0
                })]
            },
        ),
    ]
}
