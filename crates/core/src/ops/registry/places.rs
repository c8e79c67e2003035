//! Rows of operations that place elements at indices, follow masks, or find different values.

use super::arrays::{any, exact, ids, truth, whole};
use super::{ErrorCase, Gradient, Kind, OpRow, Sample, fails};
use crate::array::Array;
use crate::ops::scatter::ScatterReduce;
use crate::tensor::Tensor;

type Call = fn(&[Tensor]) -> Tensor;

/// A row of this file.
const fn row(
    [name, signature, formula, pytorch]: [&'static str; 4],
    gradient: Gradient,
    samples: fn() -> Vec<Sample>,
    errors: fn() -> Vec<ErrorCase>,
) -> OpRow {
    let (kind, onnx) = (Kind::Indexing, None);
    OpRow { name, signature, formula, kind, pytorch, onnx, gradient, samples, errors }
}

fn to(x: &[usize], index: &[usize], below: u64, source: &[usize]) -> Vec<Array> {
    vec![any(x, 1), ids(index, below, 2), any(source, 3)]
}

fn new(label: &'static str, inputs: Vec<Array>, run: Call) -> Sample {
    Sample::new(label, inputs, run)
}

const WHOLE: Gradient = Gradient::None("positions are integers");

fn reductions() -> Vec<Sample> {
    use ScatterReduce::{Amax, Amin, Mean, Prod, Sum};
    let shape = || to(&[3, 4], &[3, 6], 4, &[3, 6]);
    let integers = || vec![whole(&[4], 1), ids(&[9], 4, 2), whole(&[9], 3)];
    vec![
        new("sums", shape(), |v| v[0].scatter_reduce(1, &v[1], &v[2], Sum, true)),
        new("sums of others", shape(), |v| v[0].scatter_reduce(1, &v[1], &v[2], Sum, false)),
        new("products", shape(), |v| v[0].scatter_reduce(1, &v[1], &v[2], Prod, true)),
        new("products of others", shape(), |v| v[0].scatter_reduce(1, &v[1], &v[2], Prod, false)),
        new("means", shape(), |v| v[0].scatter_reduce(1, &v[1], &v[2], Mean, true)),
        new("means of others", shape(), |v| v[0].scatter_reduce(1, &v[1], &v[2], Mean, false)),
        new("largest", shape(), |v| v[0].scatter_reduce(1, &v[1], &v[2], Amax, true)),
        new("largest of others", shape(), |v| v[0].scatter_reduce(1, &v[1], &v[2], Amax, false)),
        new("smallest", shape(), |v| v[0].scatter_reduce(1, &v[1], &v[2], Amin, true)),
        new("smallest of others", shape(), |v| v[0].scatter_reduce(1, &v[1], &v[2], Amin, false)),
        new("a smaller index", to(&[4, 5], &[2, 3], 4, &[3, 4]), |v| {
            v[0].scatter_reduce(0, &v[1], &v[2], Prod, true)
        }),
        new("integer means", integers(), |v| v[0].scatter_reduce(0, &v[1], &v[2], Mean, true)),
        new("largest integers", integers(), |v| v[0].scatter_reduce(0, &v[1], &v[2], Amax, false)),
    ]
}

pub(super) fn rows() -> Vec<OpRow> {
    vec![
        row(
            [
                "scatter",
                "x.scatter(axis, &index, source)",
                "x with source[i][j] written at [i][index[i][j]]; the last of several stays",
                "torch.scatter",
            ],
            Gradient::Yes,
            || {
                let columns: Call = |v| v[0].scatter(1, &v[1], &v[2]);
                let rows: Call = |v| v[0].scatter(0, &v[1], &v[2]);
                vec![
                    new("columns, with duplicates", to(&[3, 5], &[3, 7], 5, &[3, 7]), columns),
                    new("rows", to(&[3, 5], &[4, 5], 3, &[4, 5]), rows),
                    new("vector", to(&[4], &[33], 4, &[33]), rows),
                    new("many for few", to(&[9], &[40_000], 9, &[40_000]), |v| {
                        v[0].scatter(0, &v[1], v[2].detach()) * &v[0]
                    }),
                    new("a smaller index", to(&[4, 5], &[2, 3], 4, &[3, 5]), rows),
                    new("a number", vec![any(&[3, 5], 1), ids(&[3, 2], 5, 2)], |v| {
                        v[0].scatter(1, &v[1], 2.5)
                    }),
                    new("a scalar", to(&[], &[], 1, &[]), rows),
                    new("no index", to(&[3, 5], &[3, 0], 5, &[3, 0]), columns),
                    new("bools", vec![truth(&[5], 1), ids(&[3], 5, 2), truth(&[3], 3)], rows),
                ]
            },
            || {
                vec![
                    fails!(
                        "out of range",
                        Index,
                        "scatter: index 3 at position 1 is not in 0..3",
                        { Tensor::zeros([3]).scatter(0, &Tensor::from([0, 3]), 1.0) }
                    ),
                    fails!("other types", DType, "scatter: i64 values", {
                        Tensor::zeros([3]).scatter(0, &Tensor::from([0]), Tensor::from([1]))
                    }),
                    fails!("a smaller source", Shape, "scatter: source [1]", {
                        let index = Tensor::from([0, 1]);
                        Tensor::zeros([3]).scatter(0, &index, Tensor::zeros([1]))
                    }),
                ]
            },
        ),
        row(
            [
                "scatter_reduce",
                "x.scatter_reduce(axis, &index, &source, how, include_self)",
                "x with source combined into it at indices: sum, prod, mean, amax, amin",
                "torch.scatter_reduce",
            ],
            Gradient::Yes,
            reductions,
            || {
                vec![fails!("out of range", Index, "scatter_reduce: index -1 at position 0", {
                    let (index, one) = (Tensor::from([-1]), Tensor::ones([1]));
                    Tensor::zeros([3]).scatter_reduce(0, &index, &one, ScatterReduce::Amax, true)
                })]
            },
        ),
        row(
            [
                "index_reduce",
                "x.index_reduce(axis, &index, &source, how, include_self)",
                "scatter_reduce of whole slices",
                "torch.Tensor.index_reduce",
            ],
            Gradient::Yes,
            || {
                vec![
                    new("products of rows", to(&[3, 4], &[5], 3, &[5, 4]), |v| {
                        v[0].index_reduce(0, &v[1], &v[2], ScatterReduce::Prod, true)
                    }),
                    new("largest columns", to(&[3, 4], &[6], 4, &[3, 6]), |v| {
                        v[0].index_reduce(1, &v[1], &v[2], ScatterReduce::Amax, false)
                    }),
                    new("means", to(&[3, 4], &[5], 3, &[5, 4]), |v| {
                        v[0].index_reduce(0, &v[1], &v[2], ScatterReduce::Mean, true)
                    }),
                ]
            },
            Vec::new,
        ),
        row(
            [
                "index_copy",
                "x.index_copy(axis, &index, &source)",
                "x with slices of source at an index; the last of several stays",
                "torch.index_copy",
            ],
            Gradient::Yes,
            || {
                vec![
                    new("rows, with duplicates", to(&[3, 5], &[7], 3, &[7, 5]), |v| {
                        v[0].index_copy(0, &v[1], &v[2])
                    }),
                    new("columns", to(&[3, 5], &[2], 5, &[3, 2]), |v| {
                        v[0].index_copy(-1, &v[1], &v[2])
                    }),
                ]
            },
            || {
                vec![fails!("another source", Shape, "index_copy: source [3]", {
                    Tensor::zeros([3]).index_copy(0, &Tensor::from([0]), &Tensor::zeros([3]))
                })]
            },
        ),
        row(
            [
                "index_fill",
                "x.index_fill(axis, &index, value)",
                "a value in whole slices",
                "torch.index_fill",
            ],
            Gradient::Yes,
            || {
                vec![
                    new("rows", vec![any(&[3, 5], 1), ids(&[2], 3, 2)], |v| {
                        v[0].index_fill(0, &v[1], 0.5)
                    }),
                    new("a scalar tensor", to(&[3, 5], &[2], 5, &[]), |v| {
                        v[0].index_fill(1, &v[1], &v[2])
                    }),
                ]
            },
            || {
                vec![fails!("a vector", Shape, "index_fill: the value is [1]", {
                    Tensor::zeros([3]).index_fill(0, &Tensor::from([0]), Tensor::zeros([1]))
                })]
            },
        ),
        row(
            [
                "index_put",
                "x.index_put(&[Some(&i), Some(&j)], values, accumulate)",
                "x with values[k] at [i[k]][j[k]], written or added",
                "torch.index_put",
            ],
            Gradient::Yes,
            || {
                let places = |values: &[usize]| {
                    vec![any(&[3, 4, 2], 1), ids(&[5], 3, 2), ids(&[5], 4, 3), any(values, 4)]
                };
                vec![
                    new("two axes", places(&[5, 2]), |v| {
                        v[0].index_put(&[Some(&v[1]), Some(&v[2])], &v[3], false)
                    }),
                    new("two axes, added", places(&[2]), |v| {
                        v[0].index_put(&[Some(&v[1]), Some(&v[2])], &v[3], true)
                    }),
                    new(
                        "an axis between",
                        vec![any(&[3, 2, 4], 1), ids(&[5], 3, 2), ids(&[5], 4, 3), any(&[5, 2], 4)],
                        |v| v[0].index_put(&[Some(&v[1]), None, Some(&v[2])], &v[3], true),
                    ),
                    new(
                        "behind the first axis",
                        vec![any(&[2, 3, 4], 1), ids(&[5], 3, 2), any(&[2, 5, 4], 4)],
                        |v| v[0].index_put(&[None, Some(&v[1])], &v[2], false),
                    ),
                    new("a mask, a number", vec![any(&[3, 4], 1), truth(&[3, 4], 2)], |v| {
                        v[0].index_put(&[Some(&v[1])], 0.0, false)
                    }),
                ]
            },
            || {
                vec![
                    fails!(
                        "out of range",
                        Index,
                        "index_put: index 3 at position 1 is not in 0..3",
                        {
                            Tensor::zeros([3]).index_put(&[Some(&Tensor::from([0, 3]))], 1.0, false)
                        }
                    ),
                    fails!("too many", Shape, "index_put: 2 indices", {
                        let i = Tensor::from([0]);
                        Tensor::zeros([3]).index_put(&[Some(&i), Some(&i)], 1.0, false)
                    }),
                ]
            },
        ),
        row(
            ["take", "x.take(&index)", "elements by number in row-major order", "torch.take"],
            Gradient::Yes,
            || {
                vec![
                    new("a matrix of them", vec![any(&[3, 4], 1), ids(&[2, 3], 12, 2)], |v| {
                        v[0].take(&v[1])
                    }),
                    new("from the end", vec![any(&[3, 4], 1), exact(&[-1i64, 0, -12])], |v| {
                        v[0].take(&v[1])
                    }),
                ]
            },
            || {
                vec![fails!(
                    "out of range",
                    Index,
                    "take: index -5 at position 0 is not in 0..4",
                    { Tensor::zeros([2, 2]).take(&Tensor::from([-5])) }
                )]
            },
        ),
        row(
            [
                "take_along_dim",
                "x.take_along_dim(&index, axis)",
                "gather, where tensor and index broadcast",
                "torch.take_along_dim",
            ],
            Gradient::Yes,
            || {
                vec![
                    new("rows", vec![any(&[3, 4], 1), ids(&[1, 2], 4, 2)], |v| {
                        v[0].take_along_dim(&v[1], 1)
                    }),
                    new("columns", vec![any(&[3, 1], 1), ids(&[2, 4], 3, 2)], |v| {
                        v[0].take_along_dim(&v[1], 0)
                    }),
                ]
            },
            || {
                vec![fails!("another rank", Shape, "take_along_dim: index [1]", {
                    Tensor::zeros([2, 2]).take_along_dim(&Tensor::from([0]), 0)
                })]
            },
        ),
        row(
            ["isin", "x.isin(&of)", "whether each element is among those of another", "torch.isin"],
            Gradient::None("the result is bool"),
            || {
                vec![
                    new("integers", vec![ids(&[3, 4], 9, 1), ids(&[5], 9, 2)], |v| {
                        v[0].isin(&v[1])
                    }),
                    new("reals", vec![any(&[3, 4], 1), any(&[3, 4], 1)], |v| v[0].isin(&v[1])),
                    new("nothing", vec![ids(&[4], 9, 1), ids(&[0], 9, 2)], |v| v[0].isin(&v[1])),
                ]
            },
            Vec::new,
        ),
        row(
            [
                "nonzero",
                "x.nonzero()",
                "places of the elements that are not 0; reads x",
                "torch.nonzero",
            ],
            WHOLE,
            || {
                vec![
                    new("matrix", vec![ids(&[3, 4], 2, 1)], |v| v[0].nonzero()),
                    new("bools", vec![truth(&[2, 3, 2], 1)], |v| v[0].argwhere()),
                    new("scalar", vec![any(&[], 1)], |v| v[0].nonzero()),
                ]
            },
            Vec::new,
        ),
    ]
}
