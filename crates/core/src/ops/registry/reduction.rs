//! Rows of reductions, and of softmax.

use super::arrays::{any, edges, exact, ids, truth, whole, whole_edges};
use super::{Gradient, Kind, OpRow, Sample, fails};
use crate::tensor::Tensor;
use half::f16;

pub(super) type Call = fn(&[Tensor]) -> Tensor;

/// Every layout that a reduction may meet; `line` reduces the last axis.
pub(super) fn reduced(all: Call, line: Call, turned: Call, wide: Call) -> Vec<Sample> {
    vec![
        Sample::new("everything", vec![any(&[3, 5], 1)], all),
        Sample::new("scalar", vec![any(&[], 2)], all),
        Sample::new("long", vec![any(&[1031], 3)], all),
        Sample::new("rows", vec![any(&[3, 37], 4)], line),
        Sample::new("the axis of a scalar", vec![any(&[], 2)], line),
        Sample::new("one column", vec![any(&[4, 1], 5)], line),
        Sample::new("no rows", vec![any(&[0, 3], 6)], line),
        Sample::new("turned", vec![any(&[6, 4], 7)], turned),
        Sample::new("broadcast", vec![any(&[1, 5], 8)], wide).kinks(),
        Sample::new("edges", vec![edges()], all).kinks(),
    ]
}

/// A row of this file.
pub(super) const fn row(
    [name, signature, formula, pytorch]: [&'static str; 4],
    onnx: Option<&'static str>,
    gradient: Gradient,
    samples: fn() -> Vec<Sample>,
    errors: fn() -> Vec<super::ErrorCase>,
) -> OpRow {
    let kind = Kind::Reduction;
    OpRow { name, signature, formula, kind, pytorch, onnx, gradient, samples, errors }
}

pub(super) fn rows() -> Vec<OpRow> {
    vec![
        row(
            ["sum", "x.sum_dim(axes)", "the sum along axes; 0 of nothing", "torch.sum"],
            Some("ReduceSum"),
            Gradient::Yes,
            || {
                let mut samples = reduced(
                    |v| v[0].sum(),
                    |v| v[0].sum_dim(-1),
                    |v| v[0].t().sum_dim(1),
                    |v| v[0].broadcast_to([3, 2, 5]).sum_dim([0, 2]),
                );
                samples.extend([
                    Sample::new("columns", vec![any(&[37, 3], 11)], |v| v[0].sum_dim(0)),
                    Sample::new("middle", vec![any(&[2, 3, 4], 12)], |v| v[0].sum_keepdim([1])),
                    Sample::new("outer axes", vec![any(&[2, 3, 4], 13)], |v| v[0].sum_dim([0, 2])),
                    Sample::new("of bool", vec![truth(&[3, 5], 21)], |v| v[0].sum_dim(0)),
                    Sample::new("no axis", vec![any(&[2, 3], 14)], |v| {
                        v[0].sum_dim([] as [i32; 0])
                    }),
                    Sample::new("backwards", vec![any(&[3, 33], 15)], |v| v[0].flip(1).sum_dim(1)),
                    Sample::new("of nothing", vec![any(&[3, 0], 16)], |v| v[0].sum_dim(1)),
                    Sample::new("of an expression", vec![any(&[5, 19], 17)], |v| {
                        (v[0].exp() * 0.5).sum_dim(0)
                    }),
                    Sample::new("integers", vec![whole(&[3, 5], 18)], |v| v[0].sum_dim(0)),
                    Sample::new("integers wrap", vec![whole_edges()], |v| v[0].sum()),
                ]);
                samples
            },
            || {
                vec![
                    fails!(
                        "no such axis",
                        Shape,
                        "sum_dim: axis 2",
                        Tensor::zeros([2, 3]).sum_dim(2)
                    ),
                    fails!("no such axis, kept", Shape, "sum_keepdim: axis -3", {
                        Tensor::zeros([2, 3]).sum_keepdim([0, -3])
                    }),
                    fails!("an axis twice", Shape, "sum_dim: axis -1 is named twice", {
                        Tensor::zeros([2, 3]).sum_dim([1, -1])
                    }),
                    fails!("of storage", DType, "sum: ", Tensor::from([f16::ONE]).sum()),
                ]
            },
        ),
        row(
            ["mean", "x.mean_dim(axes)", "sum / count; NaN of nothing", "torch.mean"],
            Some("ReduceMean"),
            Gradient::Yes,
            || {
                let mut samples = reduced(
                    |v| v[0].mean(),
                    |v| v[0].mean_dim(-1),
                    |v| v[0].t().mean_dim(1),
                    |v| v[0].broadcast_to([3, 2, 5]).mean_keepdim([0, 2]),
                );
                samples.extend([Sample::new("of nothing", vec![any(&[3, 0], 16)], |v| {
                    v[0].mean_dim(1)
                })
                .kinks()]);
                samples
            },
            || {
                vec![
                    fails!("no such axis", Shape, "mean_dim: axis 1", {
                        Tensor::zeros([2]).mean_dim([0, 1])
                    }),
                    fails!("of integers", DType, "mean: takes f32 or f64, not i64", {
                        Tensor::from([1, 2]).mean()
                    }),
                ]
            },
        ),
        row(
            [
                "var",
                "x.var_dim(axes, correction)",
                "sum((x - mean)^2) / (count - correction)",
                "torch.var",
            ],
            None,
            Gradient::Yes,
            || {
                let mut samples = reduced(
                    |v| v[0].var(0),
                    |v| v[0].var_dim(-1, 0),
                    |v| v[0].t().var_dim(1, 1),
                    |v| v[0].broadcast_to([3, 2, 5]).var_dim([0, 2], 1),
                );
                samples.extend([
                    Sample::new("unbiased", vec![any(&[3, 7], 11)], |v| v[0].var(1)),
                    Sample::new("unbiased of one", vec![any(&[3, 1], 12)], |v| v[0].var_dim(1, 1))
                        .kinks(),
                    Sample::new("of nothing", vec![any(&[3, 0], 13)], |v| v[0].var_dim(1, 1))
                        .kinks(),
                ]);
                samples
            },
            || {
                vec![
                    fails!("no such axis", Shape, "var_dim: axis 5", {
                        Tensor::zeros([2, 3]).var_dim(5, 1)
                    }),
                    fails!("of integers", DType, "var: takes f32 or f64, not i64", {
                        Tensor::from([1, 2]).var(0)
                    }),
                ]
            },
        ),
        row(
            ["max", "x.max_dim(axes)", "the largest along axes; NaN if there is one", "torch.amax"],
            Some("ReduceMax"),
            Gradient::Yes,
            || {
                let mut samples = reduced(
                    |v| v[0].max(),
                    |v| v[0].max_dim(-1),
                    |v| v[0].t().max_dim(1),
                    |v| v[0].broadcast_to([3, 2, 5]).max_keepdim([0, 2]),
                );
                samples.extend([
                    Sample::new("columns", vec![any(&[37, 3], 11)], |v| v[0].max_dim(0)),
                    Sample::new("ties", vec![exact(&[1.0f32, 3.0, 3.0, -1.0])], |v| v[0].max())
                        .kinks(),
                    Sample::new("infinite", vec![exact(&[f32::NEG_INFINITY; 3])], |v| v[0].max())
                        .kinks(),
                    Sample::new("integers", vec![whole(&[3, 5], 12)], |v| v[0].max_dim(0)),
                    Sample::new("large integers", vec![whole_edges()], |v| v[0].max()),
                    Sample::new("any of bools", vec![truth(&[2, 3], 13)], |v| v[0].max_dim(0)),
                ]);
                samples
            },
            || {
                vec![
                    fails!("of nothing", Shape, "max: nothing to choose from", {
                        Tensor::zeros([2, 0]).max_dim(1)
                    }),
                    fails!("no such axis", Shape, "max_dim: axis 1", Tensor::zeros([2]).max_dim(1)),
                ]
            },
        ),
        row(
            [
                "min",
                "x.min_dim(axes)",
                "the smallest along axes; NaN if there is one",
                "torch.amin",
            ],
            Some("ReduceMin"),
            Gradient::Yes,
            || {
                let mut samples = reduced(
                    |v| v[0].min(),
                    |v| v[0].min_dim(-1),
                    |v| v[0].t().min_dim(1),
                    |v| v[0].broadcast_to([3, 2, 5]).min_dim([0, 2]),
                );
                samples.extend([
                    Sample::new("kept", vec![any(&[3, 7], 11)], |v| v[0].min_keepdim(1)),
                    Sample::new("integers", vec![whole(&[3, 5], 12)], |v| v[0].min_dim(0)),
                    Sample::new("all of bools", vec![truth(&[2, 3], 13)], |v| v[0].min_dim(0)),
                ]);
                samples
            },
            || {
                vec![
                    fails!("of nothing", Shape, "min: nothing to choose from", {
                        Tensor::zeros([0]).min()
                    }),
                    fails!("no such axis", Shape, "min_dim: axis 1", Tensor::zeros([2]).min_dim(1)),
                ]
            },
        ),
        row(
            [
                "argmax",
                "x.argmax(axis)",
                "position of the first largest; NaN is largest",
                "torch.argmax",
            ],
            Some("ArgMax"),
            Gradient::None("the result is a position"),
            || positions(|v| v[0].argmax(0), |v| v[0].argmax(-1), |v| v[0].mT().argmax(1)),
            || {
                vec![
                    fails!("of nothing", Shape, "argmax: nothing", Tensor::zeros([2, 0]).argmax(1)),
                    fails!("no such axis", Shape, "argmax: axis 1", Tensor::zeros([2]).argmax(1)),
                    fails!("of bool", DType, "argmax: ", Tensor::from([true]).argmax(0)),
                ]
            },
        ),
        row(
            [
                "argmin",
                "x.argmin(axis)",
                "position of the first smallest; NaN is smallest",
                "torch.argmin",
            ],
            Some("ArgMin"),
            Gradient::None("the result is a position"),
            || positions(|v| v[0].argmin(0), |v| v[0].argmin(-1), |v| v[0].mT().argmin(1)),
            || vec![fails!("no such axis", Shape, "argmin: axis 1", Tensor::zeros([2]).argmin(1))],
        ),
        row(
            ["softmax", "x.softmax(axis)", "e^(x - max) / sum(e^(x - max))", "torch.softmax"],
            Some("Softmax"),
            Gradient::Yes,
            || {
                lines(
                    |v| v[0].softmax(-1),
                    |v| v[0].softmax(0),
                    |v| v[0].t().softmax(1),
                    |v| v[0].flip(1).softmax(1),
                    |v| v[0].broadcast_to([2, 3, 5]).softmax(1),
                )
            },
            || {
                vec![
                    fails!(
                        "no such axis",
                        Shape,
                        "softmax: axis 2",
                        Tensor::zeros([2, 3]).softmax(2)
                    ),
                    fails!("of a scalar", Shape, "softmax: axis 1", Tensor::from(1.0).softmax(1)),
                    fails!("of integers", DType, "softmax: ", Tensor::from([1, 2]).softmax(0)),
                ]
            },
        ),
        row(
            [
                "log_softmax",
                "x.log_softmax(axis)",
                "x - max - ln sum(e^(x - max))",
                "torch.log_softmax",
            ],
            Some("LogSoftmax"),
            Gradient::Yes,
            || {
                lines(
                    |v| v[0].log_softmax(-1),
                    |v| v[0].log_softmax(0),
                    |v| v[0].t().log_softmax(1),
                    |v| v[0].flip(1).log_softmax(1),
                    |v| v[0].broadcast_to([2, 3, 5]).log_softmax(1),
                )
            },
            || {
                vec![
                    fails!("no such axis", Shape, "log_softmax: axis -3", {
                        Tensor::zeros([2, 3]).log_softmax(-3)
                    }),
                    fails!("of bool", DType, "log_softmax: ", Tensor::from([true]).log_softmax(0)),
                ]
            },
        ),
    ]
}

/// Samples for arg-reductions: along the first axis, the last, and of a transposed matrix.
fn positions(first: Call, last: Call, turned: Call) -> Vec<Sample> {
    vec![
        Sample::new("columns", vec![any(&[37, 3], 1)], first),
        Sample::new("rows", vec![any(&[3, 37], 2)], last),
        Sample::new("middle of three", vec![any(&[2, 5, 3], 2)], turned),
        Sample::new("one", vec![any(&[1], 3)], first),
        Sample::new("scalar", vec![any(&[], 3)], first),
        Sample::new("ties", vec![exact(&[1.0f32, 3.0, 3.0, 1.0])], first),
        Sample::new("edges", vec![edges()], first),
        Sample::new("zeros of both signs", vec![exact(&[-0.0f32, 0.0, -0.0])], first),
        Sample::new("turned", vec![any(&[4, 6], 4)], turned),
        Sample::new("no rows", vec![any(&[0, 3], 5)], last),
        Sample::new("integers", vec![ids(&[3, 9], 5, 6)], last),
        Sample::new("integers, columns", vec![ids(&[9, 3], 5, 6)], first),
        Sample::new("large integers", vec![whole_edges()], first),
    ]
}

/// Samples for softmax.
fn lines(last: Call, first: Call, turned: Call, back: Call, wide: Call) -> Vec<Sample> {
    let inf = f32::INFINITY;
    vec![
        Sample::new("rows", vec![any(&[3, 5], 1)], last),
        Sample::new("scalar", vec![any(&[], 1)], last),
        Sample::new("columns", vec![any(&[5, 3], 2)], first),
        Sample::new("vector", vec![any(&[37], 3)], last),
        Sample::new("one class", vec![any(&[4, 1], 4)], last),
        Sample::new("turned", vec![any(&[4, 3], 5)], turned),
        Sample::new("backwards", vec![any(&[2, 19], 6)], back),
        Sample::new("broadcast", vec![any(&[3, 1], 7)], wide),
        Sample::new("no rows", vec![any(&[0, 3], 8)], last),
        Sample::new("empty rows", vec![any(&[3, 0], 9)], last),
        Sample::new("large logits", vec![exact(&[1000.0f32, 999.0, -1000.0])], last),
        Sample::new("an infinite logit", vec![exact(&[1.0f32, -inf, 0.5])], last).kinks(),
        Sample::new("all -inf", vec![exact(&[-inf, -inf])], last).kinks(),
        Sample::new("a NaN", vec![exact(&[1.0f32, f32::NAN])], last).kinks(),
    ]
}
