//! Rows of indexing with `x.i(..)` and of assignment by value.

use super::arrays::{any, ids, truth, whole};
use super::{ErrorCase, Gradient, Kind, OpRow, Sample, fails};
use crate::tensor::{By, Ellipsis, NewAxis, Tensor};

/// A row of this file.
const fn row(
    [name, signature, formula, pytorch]: [&'static str; 4],
    samples: fn() -> Vec<Sample>,
    errors: fn() -> Vec<ErrorCase>,
) -> OpRow {
    let (kind, gradient) = (Kind::Indexing, Gradient::Yes);
    OpRow { name, signature, formula, kind, pytorch, onnx: None, gradient, samples, errors }
}

fn of(label: &'static str, run: fn(&[Tensor]) -> Tensor) -> Sample {
    Sample::new(label, vec![any(&[3, 4, 5], 1)], run)
}

fn two(label: &'static str, value: &[usize], run: fn(&[Tensor]) -> Tensor) -> Sample {
    Sample::new(label, vec![any(&[3, 4, 5], 1), any(value, 2)], run)
}

pub(super) fn rows() -> Vec<OpRow> {
    vec![
        row(
            [
                "i",
                "x.i((1..3, -1, &ids))",
                "what an index of positions, ranges, tensors and masks names",
                "torch.Tensor.__getitem__",
            ],
            || {
                vec![
                    of("a position", |v| v[0].i(1)),
                    of("ranges", |v| v[0].i((1.., -1, (..).by(-2)))),
                    of("new axes", |v| v[0].i((Ellipsis, NewAxis, 0))),
                    of("a list", |v| v[0].i((.., [0, 3, -1, 0]))),
                    of("lists together", |v| v[0].i(([0, 2], .., [1, 4]))),
                    of("lists broadcast", |v| v[0].i((0, Tensor::from([[0], [3]]), [1, 1, 2]))),
                    of("one place", |v| v[0].i((1, 2, 3))),
                    of("nothing", |v| v[0].i((2..2, [0, 0]))),
                    Sample::new(
                        "an index tensor",
                        vec![any(&[4, 3], 1), ids(&[2, 2], 4, 2)],
                        |v| v[0].i(&v[1]),
                    ),
                    Sample::new("a computed one", vec![any(&[4, 3], 1), ids(&[2, 2], 4, 2)], |v| {
                        v[0].i((&v[1] - 4, &v[1] % 3))
                    }),
                    Sample::new("a mask", vec![any(&[4, 3], 1), truth(&[4, 3], 2)], |v| {
                        v[0].i(&v[1])
                    }),
                    Sample::new("a mask of rows", vec![any(&[4, 3], 1), truth(&[4], 2)], |v| {
                        v[0].i((&v[1], 1..))
                    }),
                    Sample::new("integers", vec![whole(&[4, 3], 1)], |v| v[0].i((.., [0, 0]))),
                ]
            },
            || {
                vec![
                    fails!("outside", Index, "i: position 1 of the index is 7", {
                        Tensor::zeros([2, 3]).i((.., 7))
                    }),
                    fails!("outside, in a list", Index, "position 0 of the index is -3 at [1]", {
                        Tensor::zeros([2, 3]).i([0, -3])
                    }),
                    fails!("too many", Shape, "the index takes 3 axes, [2, 3] has 2", {
                        Tensor::zeros([2, 3]).i((0, 0, 0))
                    }),
                    fails!("a mask of another size", Shape, "is a mask [2], axis 0", {
                        Tensor::zeros([3]).i(Tensor::from([true, false]))
                    }),
                    fails!("reals", DType, "position 0 of the index is a tensor of f32", {
                        Tensor::zeros([3]).i(Tensor::from([0.0]))
                    }),
                ]
            },
        ),
        row(
            [
                "with_i",
                "x.with_i((0, ..2), &value)",
                "x with other values where an index points; x stays as it is",
                "torch.index_put",
            ],
            || {
                vec![
                    two("a position", &[5], |v| v[0].with_i(1, &v[1])),
                    two("ranges", &[2, 1], |v| v[0].with_i((1.., -1, (..).by(-2)), &v[1])),
                    two("lists", &[], |v| v[0].with_i(([0, 2], .., [1, 4]), &v[1])),
                    two("one place twice", &[2, 5], |v| v[0].with_i((0, [1, 1]), &v[1])),
                    two("a new axis", &[3, 1, 5], |v| v[0].with_i((.., NewAxis, 0), &v[1])),
                    two("all", &[3, 4, 5], |v| v[0].with_i((), &v[1])),
                    Sample::new(
                        "a mask",
                        vec![any(&[4, 3], 1), truth(&[4, 3], 2), any(&[], 3)],
                        |v| v[0].with_i(&v[1], &v[2]),
                    ),
                    of("a number", |v| v[0].with_i((.., 0), 0.5) * 2.0),
                    Sample::new("integers", vec![whole(&[4, 3], 1)], |v| v[0].with_i((0, 1..), 7)),
                ]
            },
            || {
                vec![
                    fails!("a value that is too large", Shape, "with_i: [4] cannot become [3]", {
                        Tensor::zeros([2, 3]).with_i(0, Tensor::zeros([4]))
                    }),
                    fails!("another type", DType, "with_i: the value is i64", {
                        Tensor::zeros([2, 3]).with_i(0, Tensor::from([1]))
                    }),
                ]
            },
        ),
        row(
            [
                "add_i",
                "x.add_i(&ids, &value)",
                "x plus a value where an index points",
                "torch.index_put",
            ],
            || {
                vec![
                    two("ranges", &[2, 1], |v| v[0].add_i((1.., -1, (..).by(-2)), &v[1])),
                    two("one place twice", &[3, 5], |v| v[0].add_i((0, [1, 1, -1]), &v[1])),
                    of("a number", |v| v[0].add_i((.., 0), 0.5)),
                ]
            },
            || {
                vec![fails!("outside", Index, "add_i: position 0 of the index is 2", {
                    Tensor::zeros([2, 3]).add_i(2, 1.0)
                })]
            },
        ),
    ]
}
