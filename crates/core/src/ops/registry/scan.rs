//! Rows of scans.

use super::arrays::{any, edges, exact, mild_edges, positive, truth, unit, whole};
use super::reduction::{Call, row};
use super::{Gradient, OpRow, Sample, fails};
use crate::tensor::Tensor;

/// Every layout that a scan may meet: along the last axis, the first one, a turned and a flipped
/// operand.
fn lines([last, first, turned, back]: [Call; 4]) -> Vec<Sample> {
    vec![
        Sample::new("rows", vec![any(&[3, 7], 1)], last),
        Sample::new("columns", vec![any(&[5, 3], 2)], first),
        Sample::new("many columns", vec![any(&[3, 2, 70], 3)], |v| v[0].cumsum(1)),
        Sample::new("a scalar", vec![any(&[], 4)], last),
        Sample::new("one element", vec![any(&[2, 1], 5)], last),
        Sample::new("no elements", vec![any(&[2, 0], 6)], last),
        Sample::new("turned", vec![any(&[4, 3], 7)], turned),
        Sample::new("backwards", vec![any(&[2, 5], 8)], back),
        Sample::new("edges", vec![edges()], last).kinks(),
    ]
}

macro_rules! scans {
    ($v:ident => $method:ident) => {
        lines([
            |$v| $v[0].$method(-1),
            |$v| $v[0].$method(0),
            |$v| $v[0].t().$method(1),
            |$v| $v[0].flip(1).$method(1),
        ])
    };
    ($v:ident => $method:ident . $part:tt) => {
        lines([
            |$v| $v[0].$method(-1).$part,
            |$v| $v[0].$method(0).$part,
            |$v| $v[0].t().$method(1).$part,
            |$v| $v[0].flip(1).$method(1).$part,
        ])
    };
}

pub(super) fn rows() -> Vec<OpRow> {
    vec![
        row(
            ["cumsum", "x.cumsum(axis)", "the sum so far", "torch.cumsum"],
            Some("CumSum"),
            Gradient::Yes,
            || {
                let mut samples = scans!(v => cumsum);
                samples.extend([
                    Sample::new("integers", vec![whole(&[3, 4], 9)], |v| v[0].cumsum(1)),
                    Sample::new("bools", vec![truth(&[9], 9)], |v| v[0].cumsum(0)),
                ]);
                samples
            },
            || {
                vec![fails!("no such axis", Shape, "cumsum: axis 2 does not exist in [2, 3]", {
                    Tensor::zeros([2, 3]).cumsum(2)
                })]
            },
        ),
        row(
            ["cumprod", "x.cumprod(axis)", "the product so far", "torch.cumprod"],
            Some("CumProd"),
            Gradient::Yes,
            || {
                let mut samples = scans!(v => cumprod);
                samples.extend([
                    Sample::new("one zero", vec![exact(&[1.5f32, 0.0, -2.0, 0.7])], |v| {
                        v[0].cumprod(0)
                    }),
                    Sample::new("two zeros", vec![exact(&[0.5f32, 0.0, 2.0, 0.0, 3.0])], |v| {
                        v[0].cumprod(0)
                    }),
                    Sample::new("integers", vec![whole(&[3, 4], 9)], |v| v[0].cumprod(1)),
                ]);
                samples
            },
            || {
                vec![fails!("no such axis", Shape, "cumprod: axis -3 does not exist in [2, 3]", {
                    Tensor::zeros([2, 3]).cumprod(-3)
                })]
            },
        ),
        row(
            [
                "logcumsumexp",
                "x.logcumsumexp(axis)",
                "ln of the sum of e^x so far",
                "torch.logcumsumexp",
            ],
            None,
            Gradient::Yes,
            || {
                let mut samples = scans!(v => logcumsumexp);
                samples.retain(|s| s.label != "edges");
                samples.push(
                    Sample::new("edges", vec![mild_edges()], |v| v[0].logcumsumexp(0)).kinks(),
                );
                samples
            },
            || {
                vec![fails!("of integers", DType, "logcumsumexp: takes f32 or f64, not i64", {
                    Tensor::from([1, 2]).logcumsumexp(0)
                })]
            },
        ),
        row(
            ["cummax", "x.cummax(axis).0", "the largest so far", "torch.cummax"],
            None,
            Gradient::Yes,
            || {
                let mut samples = scans!(v => cummax.0);
                samples.extend([
                    Sample::new("positions", vec![any(&[3, 7], 9)], |v| v[0].cummax(1).1).kinks(),
                    Sample::new("integers", vec![whole(&[3, 7], 9)], |v| v[0].cummax(1).0),
                    Sample::new("bools", vec![truth(&[9], 9)], |v| v[0].cummax(0).0),
                    Sample::new("positions at edges", vec![edges()], |v| v[0].cummax(0).1).kinks(),
                ]);
                samples
            },
            || {
                vec![fails!("no such axis", Shape, "cummax: axis 1 does not exist in [3]", {
                    Tensor::zeros([3]).cummax(1).0
                })]
            },
        ),
        row(
            ["cummin", "x.cummin(axis).0", "the smallest so far", "torch.cummin"],
            None,
            Gradient::Yes,
            || {
                let mut samples = scans!(v => cummin.0);
                samples.push(
                    Sample::new("positions", vec![any(&[3, 7], 9)], |v| v[0].cummin(1).1).kinks(),
                );
                samples
            },
            || {
                vec![fails!("no such axis", Shape, "cummin: axis 1 does not exist in [3]", {
                    Tensor::zeros([3]).cummin(1).1
                })]
            },
        ),
        row(
            [
                "linear_recurrence",
                "x.linear_recurrence(decay, axis)",
                "h[t] = decay[t] h[t-1] + x[t]",
                "torch.associative_scan",
            ],
            Some("Scan"),
            Gradient::Yes,
            || {
                let run: Call = |v| v[0].linear_recurrence(&v[1], 1);
                vec![
                    Sample::new("rows", vec![any(&[3, 7], 1), unit(&[3, 7], 2)], run),
                    Sample::new("columns", vec![any(&[5, 3], 1), any(&[5, 3], 2)], |v| {
                        v[0].linear_recurrence(&v[1], 0)
                    }),
                    Sample::new("turned", vec![any(&[5, 3], 1), positive(&[3, 5], 2)], |v| {
                        v[0].t().linear_recurrence(&v[1], -1)
                    }),
                    Sample::new("empty", vec![any(&[3, 0], 1), unit(&[3, 0], 2)], run),
                ]
            },
            || {
                vec![fails!(
                    "two shapes",
                    Shape,
                    "linear_recurrence: operands are f32 [3] and f32 [2]",
                    { Tensor::zeros([2]).linear_recurrence(&Tensor::zeros([3]), 0) }
                )]
            },
        ),
    ]
}
