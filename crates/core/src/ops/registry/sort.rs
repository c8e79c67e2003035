//! Rows of operations that sort, and that search in what is sorted.

use super::arrays::{any, edges, exact, ids, truth, whole};
use super::{ErrorCase, Gradient, Kind, OpRow, Sample, fails};
use crate::array::Array;
use crate::tensor::Tensor;

type Call = fn(&[Tensor]) -> Tensor;

/// A row of this file.
const fn row(
    [name, signature, formula, pytorch]: [&'static str; 4],
    onnx: Option<&'static str>,
    gradient: Gradient,
    samples: fn() -> Vec<Sample>,
    errors: fn() -> Vec<ErrorCase>,
) -> OpRow {
    let kind = Kind::Indexing;
    OpRow { name, signature, formula, kind, pytorch, onnx, gradient, samples, errors }
}

const POSITIONS: Gradient = Gradient::None("positions are integers");

/// Few different values, so that there are ties.
fn ties(shape: &[usize]) -> Array {
    ids(shape, 3, 5)
}

/// The same call on the operands that sorting is tested with.
fn sorted(along_0: Call, along_1: Call) -> Vec<Sample> {
    let new = |label, input: Array, run| Sample::new(label, vec![input], run);
    vec![
        new("rows", any(&[3, 7], 1), along_1),
        new("columns", any(&[7, 3], 1), along_0),
        new("vector", any(&[33], 1), along_0),
        new("middle", any(&[2, 5, 3], 1), along_1),
        new("a scalar", any(&[], 1), along_0),
        new("one element", any(&[1], 1), along_0),
        new("nothing", any(&[3, 0], 1), along_1),
        new("no rows", any(&[0, 3], 1), along_1),
        new("integers with ties", ties(&[4, 9]), along_1),
        new("bools", truth(&[4, 9], 1), along_1),
        new("zeros, infinities, NaN", edges(), along_0).kinks(),
    ]
}

pub(super) fn rows() -> Vec<OpRow> {
    vec![
        row(
            [
                "argsort",
                "x.argsort(axis, descending)",
                "positions of the elements in order; stable, NaN beyond every number",
                "torch.argsort",
            ],
            None,
            POSITIONS,
            || {
                let mut samples = sorted(|v| v[0].argsort(0, false), |v| v[0].argsort(1, false));
                samples.extend([
                    Sample::new("descending", vec![any(&[3, 7], 1)], |v| v[0].argsort(-1, true)),
                    Sample::new("descending, ties", vec![ties(&[3, 7])], |v| {
                        v[0].argsort(-1, true)
                    }),
                    Sample::new("descending, bools", vec![truth(&[9], 1)], |v| {
                        v[0].argsort(0, true)
                    }),
                    Sample::new("descending, NaN", vec![edges()], |v| v[0].argsort(0, true))
                        .kinks(),
                    Sample::new("of a view", vec![any(&[7, 3], 1)], |v| v[0].t().argsort(1, false)),
                    Sample::new("of a broadcast", vec![any(&[3, 1], 1)], |v| {
                        v[0].broadcast_to([3, 4]).argsort(1, false)
                    }),
                    Sample::new("of what is computed", vec![any(&[3, 7], 1)], |v| {
                        (-&v[0]).argsort(0, false)
                    }),
                ]);
                samples
            },
            || {
                vec![
                    fails!("no such axis", Shape, "argsort: axis 2", {
                        Tensor::zeros([2, 3]).argsort(2, false)
                    }),
                    fails!("no such axis of a scalar", Shape, "argsort: axis 1", {
                        Tensor::zeros(()).argsort(1, false)
                    }),
                ]
            },
        ),
        row(
            [
                "sort",
                "x.sort(axis, descending)",
                "(elements in order, their positions)",
                "torch.sort",
            ],
            None,
            Gradient::Yes,
            || {
                let mut samples = sorted(|v| v[0].sort(0, false).0, |v| v[0].sort(1, false).0);
                samples.extend([
                    Sample::new("descending", vec![any(&[3, 7], 1)], |v| v[0].sort(-1, true).0),
                    Sample::new("values times positions", vec![any(&[3, 7], 1)], |v| {
                        let (values, at) = v[0].sort(-1, true);
                        values * at
                    }),
                ]);
                samples
            },
            || {
                vec![fails!("no such axis", Shape, "sort: axis -3", {
                    Tensor::zeros([2, 3]).sort(-3, false).0
                })]
            },
        ),
        row(
            ["msort", "x.msort()", "sorted along axis 0", "torch.msort"],
            None,
            Gradient::Yes,
            || sorted(|v| v[0].msort(), |v| v[0].msort()),
            Vec::new,
        ),
        row(
            [
                "topk",
                "x.topk(k, axis, largest)",
                "(the k largest or smallest elements, their positions)",
                "torch.topk",
            ],
            Some("TopK"),
            Gradient::Yes,
            || {
                vec![
                    Sample::new("largest of rows", vec![any(&[3, 7], 1)], |v| {
                        v[0].topk(3, 1, true).0
                    }),
                    Sample::new("smallest of columns", vec![any(&[7, 3], 1)], |v| {
                        v[0].topk(3, 0, false).0
                    }),
                    Sample::new("all", vec![any(&[5], 1)], |v| v[0].topk(5, -1, true).0),
                    Sample::new("none", vec![any(&[5], 1)], |v| v[0].topk(0, -1, true).0),
                    Sample::new("of a scalar", vec![any(&[], 1)], |v| v[0].topk(1, 0, true).0),
                    Sample::new("positions", vec![ties(&[4, 9])], |v| v[0].topk(4, 1, true).1),
                    Sample::new("positions, NaN", vec![edges()], |v| v[0].topk(9, 0, true).1)
                        .kinks(),
                ]
            },
            || {
                vec![
                    fails!("too many", Shape, "topk: 4 of the 3", {
                        Tensor::zeros([2, 3]).topk(4, 1, true).0
                    }),
                    fails!("no such axis", Shape, "topk: axis 2", {
                        Tensor::zeros([2, 3]).topk(1, 2, true).1
                    }),
                ]
            },
        ),
        row(
            [
                "searchsorted",
                "sorted.searchsorted(&values, right)",
                "how many elements of a sorted row lie before each value",
                "torch.searchsorted",
            ],
            None,
            POSITIONS,
            || {
                let left: Call = |v| v[0].sort(-1, false).0.searchsorted(&v[1], false);
                let right: Call = |v| v[0].sort(-1, false).0.searchsorted(&v[1], true);
                let new = |label, a: Array, b: Array, run| Sample::new(label, vec![a, b], run);
                vec![
                    new("one row", any(&[9], 1), any(&[2, 5], 2), left),
                    new("a row each", any(&[3, 9], 1), any(&[3, 5], 2), left),
                    new("a row each, right", any(&[3, 9], 1), any(&[3, 5], 2), right),
                    new("ties, left", ties(&[9]), ties(&[2, 5]), left),
                    new("ties, right", ties(&[9]), ties(&[2, 5]), right),
                    new("a scalar", any(&[9], 1), any(&[], 2), left),
                    new("in nothing", any(&[0], 1), any(&[4], 2), left),
                    new("nothing", any(&[3, 4], 1), any(&[3, 0], 2), left),
                    new("integers among reals", any(&[9], 1), whole(&[5], 2), right),
                    new("edges", edges(), edges(), left).kinks(),
                    new("edges, right", edges(), edges(), right).kinks(),
                    new("unsorted, with its order", any(&[3, 9], 1), any(&[3, 5], 2), |v| {
                        v[0].searchsorted_by(&v[0].argsort(-1, false), &v[1], false)
                    }),
                ]
            },
            || {
                vec![
                    fails!("other rows", Shape, "searchsorted: values [3]", {
                        Tensor::zeros([2, 4]).searchsorted(&Tensor::zeros([3]), false)
                    }),
                    fails!("a scalar to search in", Shape, "searchsorted: values [3]", {
                        Tensor::zeros(()).searchsorted(&Tensor::zeros([3]), false)
                    }),
                    fails!("an order of another size", Shape, "searchsorted: the order", {
                        let order = Tensor::from([0, 1]);
                        Tensor::zeros([3]).searchsorted_by(&order, &Tensor::zeros([3]), false)
                    }),
                    fails!("an order that leaves the row", Index, "gather: index 3", {
                        let order = Tensor::from([0, 1, 3]);
                        Tensor::zeros([3]).searchsorted_by(&order, &Tensor::zeros([3]), false)
                    }),
                ]
            },
        ),
        row(
            [
                "bucketize",
                "x.bucketize(&boundaries, right)",
                "how many of the sorted boundaries lie before each element",
                "torch.bucketize",
            ],
            None,
            POSITIONS,
            || {
                vec![
                    Sample::new("left", vec![ties(&[2, 5]), exact(&[0i64, 1, 2])], |v| {
                        v[0].bucketize(&v[1], false)
                    }),
                    Sample::new("right", vec![ties(&[2, 5]), exact(&[0i64, 1, 2])], |v| {
                        v[0].bucketize(&v[1], true)
                    }),
                    Sample::new("reals", vec![any(&[4, 5], 1), exact(&[-1.0f32, 0.0, 1.0])], |v| {
                        v[0].bucketize(&v[1], false)
                    }),
                ]
            },
            || {
                vec![fails!("boundaries in rows", Shape, "bucketize: the boundaries", {
                    Tensor::zeros([3]).bucketize(&Tensor::zeros([2, 2]), false)
                })]
            },
        ),
    ]
}
