//! Rows of operations that follow index tensors.

use super::arrays::{any, ids, truth, whole};
use super::{Gradient, Kind, OpRow, Sample, fails};
use crate::array::Array;
use crate::tensor::Tensor;

type Call = fn(&[Tensor]) -> Tensor;

/// A row of this file.
const fn row(
    [name, signature, formula, pytorch]: [&'static str; 4],
    onnx: Option<&'static str>,
    gradient: Gradient,
    samples: fn() -> Vec<Sample>,
    errors: fn() -> Vec<super::ErrorCase>,
) -> OpRow {
    let kind = Kind::Indexing;
    OpRow { name, signature, formula, kind, pytorch, onnx, gradient, samples, errors }
}

fn at(x: &[usize], index: &[usize], below: u64) -> Vec<Array> {
    vec![any(x, 1), ids(index, below, 2)]
}

fn to(x: &[usize], index: &[usize], below: u64, source: &[usize]) -> Vec<Array> {
    vec![any(x, 1), ids(index, below, 2), any(source, 3)]
}

pub(super) fn rows() -> Vec<OpRow> {
    vec![
        row(
            [
                "gather",
                "x.gather(axis, &index)",
                "out[i][j] = x[i][index[i][j]] for axis 1",
                "torch.gather",
            ],
            Some("GatherElements"),
            Gradient::Yes,
            || {
                let rows: Call = |v| v[0].gather(0, &v[1]);
                let columns: Call = |v| v[0].gather(1, &v[1]);
                vec![
                    Sample::new("columns", at(&[3, 5], &[3, 2], 5), columns),
                    Sample::new("rows", at(&[3, 5], &[7, 5], 3), rows),
                    Sample::new("vector", at(&[5], &[9], 5), rows),
                    Sample::new("middle", at(&[2, 4, 3], &[2, 5, 3], 4), columns),
                    Sample::new("a smaller index", at(&[4, 5], &[2, 3], 4), rows),
                    Sample::new("a smaller index, columns", at(&[4, 5], &[2, 3], 5), columns),
                    Sample::new("no index", at(&[3, 5], &[3, 0], 5), columns),
                    Sample::new("no rows of index", at(&[3, 5], &[0, 2], 5), columns),
                    Sample::new("of nothing", at(&[3, 0], &[3, 0], 1), columns),
                    Sample::new("views", at(&[5, 3], &[2, 3], 5), |v| {
                        v[0].t().gather(1, &v[1].t())
                    }),
                    Sample::new("broadcast index", at(&[3, 5], &[3, 1], 5), |v| {
                        v[0].gather(1, &v[1].broadcast_to([3, 4]))
                    }),
                    Sample::new("integers", vec![whole(&[3, 5], 1), ids(&[3, 2], 5, 2)], columns),
                    Sample::new("bools", vec![truth(&[3, 5], 1), ids(&[3, 2], 5, 2)], columns),
                ]
            },
            || {
                vec![
                    fails!("out of range", Index, "gather: index 3 at position 1", {
                        Tensor::zeros([3]).gather(0, &Tensor::from([0, 3]))
                    }),
                    fails!("negative", Index, "gather: index -1 at position 0", {
                        Tensor::zeros([3]).gather(0, &Tensor::from([-1, 1]))
                    }),
                    fails!("out of range, smaller index", Index, "gather: index 9", {
                        Tensor::zeros([3, 3]).gather(0, &Tensor::from([[0], [9]]))
                    }),
                    fails!("a real index", DType, "gather: the index is f32", {
                        Tensor::zeros([3]).gather(0, &Tensor::from([0.0]))
                    }),
                    fails!("another rank", Shape, "gather: index [2]", {
                        Tensor::zeros([3, 3]).gather(0, &Tensor::from([0, 1]))
                    }),
                    fails!("a larger index", Shape, "gather: index [2, 1]", {
                        Tensor::zeros([1, 3]).gather(1, &Tensor::from([[0], [1]]))
                    }),
                    fails!("no such axis", Shape, "gather: axis 1", {
                        Tensor::zeros([3]).gather(1, &Tensor::from([0]))
                    }),
                ]
            },
        ),
        row(
            [
                "index_select",
                "x.index_select(axis, &index)",
                "whole slices in the order of an index",
                "torch.index_select",
            ],
            Some("Gather"),
            Gradient::Yes,
            || {
                let rows: Call = |v| v[0].index_select(0, &v[1]);
                let columns: Call = |v| v[0].index_select(-1, &v[1]);
                vec![
                    Sample::new("rows", at(&[4, 3], &[7], 4), rows),
                    Sample::new("columns", at(&[4, 5], &[3], 5), columns),
                    Sample::new("middle", at(&[2, 4, 3], &[5], 4), |v| v[0].index_select(1, &v[1])),
                    Sample::new("vector", at(&[5], &[2], 5), rows),
                    Sample::new("no index", at(&[4, 3], &[0], 4), rows),
                    Sample::new("of nothing", at(&[0, 3], &[0], 1), rows),
                    Sample::new("empty rows", at(&[3, 0], &[2], 3), rows),
                    Sample::new("of a transpose", at(&[5, 4], &[3], 4), |v| {
                        v[0].t().index_select(0, &v[1])
                    }),
                    Sample::new("index backwards", at(&[4, 3], &[7], 4), |v| {
                        v[0].index_select(0, &v[1].flip(0))
                    }),
                    Sample::new("integers", vec![whole(&[4, 3], 1), ids(&[5], 4, 2)], rows),
                    Sample::new("bools", vec![truth(&[4, 3], 1), ids(&[5], 4, 2)], rows),
                ]
            },
            || {
                vec![
                    fails!("out of range", Index, "index_select: index 4 at position 2", {
                        Tensor::zeros([4, 2]).index_select(0, &Tensor::from([0, 1, 4]))
                    }),
                    fails!("from nothing", Index, "index_select: index 0", {
                        Tensor::zeros([0, 2]).index_select(0, &Tensor::from([0]))
                    }),
                    fails!("a matrix as index", Shape, "index_select: index [1, 1]", {
                        Tensor::zeros([4]).index_select(0, &Tensor::from([[0]]))
                    }),
                    fails!("bools as index", DType, "index_select: the index is bool", {
                        Tensor::zeros([2]).index_select(0, &Tensor::from([true, false]))
                    }),
                    fails!("no such axis", Shape, "index_select: axis -2", {
                        Tensor::zeros([4]).index_select(-2, &Tensor::from([0]))
                    }),
                ]
            },
        ),
        row(
            [
                "scatter_add",
                "x.scatter_add(axis, &index, &source)",
                "x with source[i][j] added at [i][index[i][j]]",
                "torch.scatter_add",
            ],
            Some("ScatterElements"),
            Gradient::Yes,
            || {
                let rows: Call = |v| v[0].scatter_add(0, &v[1], &v[2]);
                let columns: Call = |v| v[0].scatter_add(1, &v[1], &v[2]);
                vec![
                    Sample::new("columns", to(&[3, 5], &[3, 7], 5, &[3, 7]), columns),
                    Sample::new("rows", to(&[3, 5], &[4, 5], 3, &[4, 5]), rows),
                    Sample::new("vector", to(&[4], &[33], 4, &[33]), rows),
                    Sample::new("a smaller index", to(&[4, 5], &[2, 3], 4, &[2, 3]), rows),
                    Sample::new("a larger source", to(&[4, 5], &[2, 3], 4, &[3, 5]), rows),
                    Sample::new("no index", to(&[3, 5], &[3, 0], 5, &[3, 0]), columns),
                    Sample::new("views", to(&[5, 3], &[3, 2], 5, &[2, 3]), |v| {
                        v[0].t().scatter_add(1, &v[1], &v[2].t())
                    }),
                    Sample::new(
                        "integers",
                        vec![whole(&[4], 1), ids(&[9], 4, 2), whole(&[9], 3)],
                        rows,
                    ),
                ]
            },
            || {
                vec![
                    fails!("out of range", Index, "scatter_add: index 3 at position 1", {
                        Tensor::zeros([3]).scatter_add(
                            0,
                            &Tensor::from([0, 3]),
                            &Tensor::zeros([2]),
                        )
                    }),
                    fails!("a smaller source", Shape, "scatter_add: source [1]", {
                        Tensor::zeros([3]).scatter_add(
                            0,
                            &Tensor::from([0, 1]),
                            &Tensor::zeros([1]),
                        )
                    }),
                    fails!("other types", DType, "scatter_add: ", {
                        Tensor::zeros([3]).scatter_add(0, &Tensor::from([0]), &Tensor::from([1]))
                    }),
                    fails!("bools", DType, "scatter_add: ", {
                        let x = Tensor::from([true]);
                        x.scatter_add(0, &Tensor::from([0]), &Tensor::from([true]))
                    }),
                    fails!("no such axis", Shape, "scatter_add: axis 1", {
                        Tensor::zeros([3]).scatter_add(1, &Tensor::from([0]), &Tensor::zeros([1]))
                    }),
                ]
            },
        ),
        row(
            [
                "index_add",
                "x.index_add(axis, &index, &source)",
                "x with slices of source added at an index",
                "torch.index_add",
            ],
            None,
            Gradient::Yes,
            || {
                let rows: Call = |v| v[0].index_add(0, &v[1], &v[2]);
                let columns: Call = |v| v[0].index_add(1, &v[1], &v[2]);
                vec![
                    Sample::new("rows", to(&[3, 5], &[7], 3, &[7, 5]), rows),
                    Sample::new("columns", to(&[3, 5], &[7], 5, &[3, 7]), columns),
                    Sample::new("vector", to(&[4], &[33], 4, &[33]), rows),
                    Sample::new("no index", to(&[3, 5], &[0], 3, &[0, 5]), rows),
                    Sample::new("views", to(&[5, 3], &[2], 5, &[2, 3]), |v| {
                        v[0].t().index_add(1, &v[1].flip(0), &v[2].t())
                    }),
                    Sample::new(
                        "integers",
                        vec![whole(&[4], 1), ids(&[9], 4, 2), whole(&[9], 3)],
                        rows,
                    ),
                ]
            },
            || {
                vec![
                    fails!("out of range", Index, "index_add: index -1 at position 1", {
                        Tensor::zeros([3]).index_add(0, &Tensor::from([0, -1]), &Tensor::zeros([2]))
                    }),
                    fails!("another source", Shape, "index_add: source [3]", {
                        Tensor::zeros([3]).index_add(0, &Tensor::from([0, 1]), &Tensor::zeros([3]))
                    }),
                    fails!("other types", DType, "index_add: ", {
                        Tensor::zeros([3]).index_add(0, &Tensor::from([0]), &Tensor::from([1]))
                    }),
                ]
            },
        ),
        row(
            [
                "one_hot",
                "ids.one_hot(classes)",
                "1 at the id, 0 elsewhere",
                "torch.nn.functional.one_hot",
            ],
            Some("OneHot"),
            Gradient::None("ids are integers"),
            || {
                let run: Call = |v| v[0].one_hot(4);
                vec![
                    Sample::new("vector", vec![ids(&[9], 4, 1)], run),
                    Sample::new("matrix", vec![ids(&[2, 3], 4, 1)], run),
                    Sample::new("scalar", vec![ids(&[], 4, 1)], run),
                    Sample::new("view", vec![ids(&[2, 3], 4, 1)], |v| v[0].t().one_hot(4)),
                    Sample::new("no ids", vec![ids(&[0], 4, 1)], run),
                    Sample::new("no classes", vec![ids(&[0], 4, 1)], |v| v[0].one_hot(0)),
                ]
            },
            || {
                vec![
                    fails!("outside", Index, "one_hot: index 4 at position 1 is not in 0..4", {
                        Tensor::from([0, 4]).one_hot(4)
                    }),
                    fails!("negative", Index, "one_hot: index -1", Tensor::from([-1]).one_hot(4)),
                    fails!("real ids", DType, "one_hot: ", Tensor::from([1.0]).one_hot(3)),
                    fails!("too many axes", Shape, "one_hot: ", {
                        Tensor::from([1]).reshape_to([1; 8]).one_hot(3)
                    }),
                ]
            },
        ),
    ]
}
