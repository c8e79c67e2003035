//! Rows of operations that move elements.

use super::arrays::{any, truth, whole};
use super::{ErrorCase, Gradient, Kind, OpRow, Sample, fails};
use crate::array::Array;
use crate::error::Error;
use crate::graph::dtype::DType;
use crate::tensor::Tensor;

/// A row of this file.
const fn row(
    [name, signature, formula, pytorch]: [&'static str; 4],
    onnx: Option<&'static str>,
    samples: fn() -> Vec<Sample>,
    errors: fn() -> Vec<ErrorCase>,
) -> OpRow {
    let (kind, gradient) = (Kind::Movement, Gradient::Yes);
    OpRow { name, signature, formula, kind, pytorch, onnx, gradient, samples, errors }
}

/// A matrix, and operands of all other kinds for the same call.
fn each_type(label: &'static str, shape: &[usize], run: fn(&[Tensor]) -> Tensor) -> Vec<Sample> {
    let new = |label, input: Array| Sample::new(label, vec![input], run);
    vec![new(label, any(shape, 1)), new("integers", whole(shape, 2)), new("bools", truth(shape, 3))]
}

/// The sum of a view's elements times their positions: a use that reads through the view.
fn used(x: Tensor) -> Tensor {
    let Ok(n) = x.numel() else { return x };
    let weights = Tensor::arange(0, i64::try_from(n).unwrap_or(0));
    (x.reshape([-1]) * weights).sum()
}

pub(super) fn rows() -> Vec<OpRow> {
    vec![
        row(
            [
                "reshape",
                "x.reshape([-1, 28])",
                "the same elements under another shape",
                "torch.reshape",
            ],
            Some("Reshape"),
            || {
                let mut samples =
                    each_type("two to three axes", &[4, 6], |v| v[0].reshape([2, 2, -1]));
                samples.extend([
                    Sample::new("flat", vec![any(&[3, 5], 1)], |v| v[0].reshape([-1])),
                    Sample::new("to a scalar", vec![any(&[1, 1], 1)], |v| v[0].reshape([])),
                    Sample::new("from a scalar", vec![any(&[], 1)], |v| v[0].reshape([1, 1])),
                    Sample::new("of a transpose", vec![any(&[4, 6], 1)], |v| {
                        v[0].t().reshape([3, 8])
                    }),
                    Sample::new("of a reversal", vec![any(&[4, 6], 1)], |v| {
                        v[0].flip(1).reshape([-1])
                    }),
                    Sample::new("of a broadcast", vec![any(&[1, 6], 1)], |v| {
                        v[0].broadcast_to([4, 6]).reshape([2, 12])
                    }),
                    Sample::new("of a slice, used", vec![any(&[4, 6], 1)], |v| {
                        used(v[0].slice(1, 1, 5, 1).reshape([2, 8]))
                    }),
                    Sample::new("empty", vec![any(&[0, 4], 1)], |v| v[0].reshape([2, 0, 7])),
                    Sample::new("known shape", vec![any(&[2, 3], 1)], |v| v[0].reshape_to([3, 2])),
                ]);
                samples
            },
            || {
                vec![
                    fails!(
                        "another count",
                        Shape,
                        "reshape: [2, 3] has 6",
                        Tensor::zeros([2, 3]).reshape([4])
                    ),
                    fails!(
                        "two open sizes",
                        Shape,
                        "reshape: [-1, -1]",
                        Tensor::zeros([4]).reshape([-1, -1])
                    ),
                    fails!(
                        "no whole size",
                        Shape,
                        "reshape: [5] has 5",
                        Tensor::zeros([5]).reshape([2, -1])
                    ),
                    fails!("negative", Shape, "reshape: [-2]", Tensor::zeros([4]).reshape([-2])),
                    fails!(
                        "an open size of nothing",
                        Shape,
                        "reshape: ",
                        Tensor::zeros([0]).reshape([0, -1])
                    ),
                ]
            },
        ),
        row(
            ["flatten", "x.flatten(1)", "axes from one on become one", "torch.flatten"],
            Some("Flatten"),
            || {
                let mut samples = each_type("images", &[2, 3, 4], |v| v[0].flatten(1));
                samples.extend([
                    Sample::new("everything", vec![any(&[2, 3], 1)], |v| v[0].flatten(0)),
                    Sample::new("a scalar", vec![any(&[], 1)], |v| v[0].flatten(0)),
                    Sample::new("the last axis", vec![any(&[2, 3], 1)], |v| v[0].flatten(-1)),
                    Sample::new("turned", vec![any(&[2, 3, 4], 1)], |v| {
                        v[0].transpose(0, 2).flatten(1)
                    }),
                    Sample::new("empty", vec![any(&[2, 0, 3], 1)], |v| v[0].flatten(1)),
                ]);
                samples
            },
            || {
                vec![fails!(
                    "no such axis",
                    Shape,
                    "flatten: axis 2",
                    Tensor::zeros([2, 3]).flatten(2)
                )]
            },
        ),
        row(
            ["permute", "x.permute([0, 2, 1])", "axes in another order", "torch.permute"],
            Some("Transpose"),
            || {
                let mut samples = each_type("three axes", &[2, 3, 4], |v| v[0].permute([2, 0, 1]));
                samples.extend([
                    Sample::new("from the end", vec![any(&[2, 3, 4], 1)], |v| {
                        v[0].permute([-1, -3, -2])
                    }),
                    Sample::new("twice", vec![any(&[2, 3, 4], 1)], |v| {
                        v[0].permute([1, 2, 0]).permute([1, 2, 0])
                    }),
                    Sample::new("a scalar", vec![any(&[], 1)], |v| v[0].permute([])),
                    Sample::new("four axes, used", vec![any(&[2, 3, 2, 3], 1)], |v| {
                        used(v[0].permute([3, 1, 0, 2]))
                    }),
                    Sample::new("empty", vec![any(&[2, 0], 1)], |v| v[0].permute([1, 0])),
                ]);
                samples
            },
            || {
                vec![
                    fails!("too few", Shape, "permute: [0]", Tensor::zeros([2, 3]).permute([0])),
                    fails!(
                        "twice",
                        Shape,
                        "permute: [0, 0]",
                        Tensor::zeros([2, 3]).permute([0, 0])
                    ),
                    fails!(
                        "no such axis",
                        Shape,
                        "permute: [0, 2]",
                        Tensor::zeros([2, 3]).permute([0, 2])
                    ),
                ]
            },
        ),
        row(
            ["transpose", "x.transpose(0, 1)", "two axes swapped", "torch.transpose"],
            Some("Transpose"),
            || {
                let mut samples = each_type("a matrix", &[17, 19], |v| v[0].t());
                samples.extend([
                    Sample::new("outer axes", vec![any(&[2, 3, 4], 1)], |v| v[0].transpose(0, -1)),
                    Sample::new("an axis with itself", vec![any(&[2, 3], 1)], |v| {
                        v[0].transpose(1, 1)
                    }),
                    Sample::new("empty", vec![any(&[0, 3], 1)], |v| v[0].t()),
                ]);
                samples
            },
            || {
                vec![
                    fails!(
                        "no such axis",
                        Shape,
                        "transpose: axis 2",
                        Tensor::zeros([2, 3]).transpose(0, 2)
                    ),
                    fails!("a vector", Shape, "mT: needs", Tensor::zeros([3]).mT()),
                    fails!("a batch", Shape, "t: takes a matrix", Tensor::zeros([2, 2, 2]).t()),
                ]
            },
        ),
        row(
            ["unsqueeze", "x.unsqueeze(-1)", "a new axis of size 1", "torch.unsqueeze"],
            Some("Unsqueeze"),
            || {
                let mut samples = each_type("first", &[2, 3], |v| v[0].unsqueeze(0));
                samples.extend([
                    Sample::new("last", vec![any(&[2, 3], 1)], |v| v[0].unsqueeze(-1)),
                    Sample::new("of a view", vec![any(&[2, 3], 1)], |v| v[0].t().unsqueeze(1)),
                    Sample::new("a scalar", vec![any(&[], 1)], |v| v[0].unsqueeze(0)),
                ]);
                samples
            },
            || {
                vec![
                    fails!(
                        "no such place",
                        Shape,
                        "unsqueeze: axis 3",
                        Tensor::zeros([2, 3]).unsqueeze(3)
                    ),
                    fails!(
                        "a ninth axis",
                        Shape,
                        "at most 8 axes",
                        Tensor::zeros([1; 8]).unsqueeze(0)
                    ),
                ]
            },
        ),
        row(
            ["squeeze", "x.squeeze(-1)", "an axis of size 1 removed", "torch.squeeze"],
            Some("Squeeze"),
            || {
                let mut samples = each_type("last", &[3, 1], |v| v[0].squeeze(-1));
                samples.extend([
                    Sample::new("middle", vec![any(&[2, 1, 3], 1)], |v| v[0].squeeze(1)),
                    Sample::new("another size stays", vec![any(&[2, 3], 1)], |v| v[0].squeeze(0)),
                    Sample::new("to a scalar", vec![any(&[1], 1)], |v| v[0].squeeze(0)),
                ]);
                samples
            },
            || {
                vec![fails!(
                    "no such axis",
                    Shape,
                    "squeeze: axis 2",
                    Tensor::zeros([2, 1]).squeeze(2)
                )]
            },
        ),
        row(
            [
                "broadcast_to",
                "x.broadcast_to([4, 3])",
                "axes of size 1 repeated",
                "torch.broadcast_to",
            ],
            Some("Expand"),
            || {
                let mut samples = each_type("rows", &[1, 3], |v| v[0].broadcast_to([4, 3]));
                samples.extend([
                    Sample::new("new axes", vec![any(&[3], 1)], |v| v[0].broadcast_to([2, 4, 3])),
                    Sample::new("a scalar", vec![any(&[], 1)], |v| v[0].broadcast_to([2, 3])),
                    Sample::new("inner axis", vec![any(&[2, 1], 1)], |v| v[0].broadcast_to([2, 5])),
                    Sample::new("of a view, used", vec![any(&[3, 1, 2], 1)], |v| {
                        used(v[0].transpose(0, 2).broadcast_to([2, 2, 4, 3]))
                    }),
                    Sample::new("twice", vec![any(&[1, 1], 1)], |v| {
                        v[0].broadcast_to([3, 1]).broadcast_to([2, 3, 4])
                    }),
                    Sample::new("to nothing", vec![any(&[1, 3], 1)], |v| v[0].broadcast_to([0, 3])),
                    Sample::new("of nothing", vec![any(&[0, 1], 1)], |v| {
                        v[0].broadcast_to([2, 0, 3])
                    }),
                ]);
                samples
            },
            || {
                vec![
                    fails!(
                        "another size",
                        Shape,
                        "broadcast_to: [3]",
                        Tensor::zeros([3]).broadcast_to([2])
                    ),
                    fails!(
                        "fewer axes",
                        Shape,
                        "broadcast_to: [2, 3]",
                        Tensor::zeros([2, 3]).broadcast_to([3])
                    ),
                    fails!("too large", Memory, "broadcast_to: ", {
                        Tensor::zeros([1]).broadcast_to([1 << 40, 1 << 40])
                    }),
                ]
            },
        ),
        row(
            [
                "slice",
                "x.slice(axis, start, end, step)",
                "every step-th element of a range",
                "torch.ops.aten.slice",
            ],
            Some("Slice"),
            || {
                let mut samples = each_type("every other", &[3, 7], |v| v[0].slice(1, 0, 7, 2));
                samples.extend([
                    Sample::new("rows", vec![any(&[5, 3], 1)], |v| v[0].slice(0, 1, 4, 1)),
                    Sample::new("from the end", vec![any(&[5, 3], 1)], |v| {
                        v[0].slice(0, -3, -1, 1)
                    }),
                    Sample::new("backwards in twos", vec![any(&[9], 1)], |v| {
                        v[0].slice(0, -2, 0, -2)
                    }),
                    Sample::new("of slices", vec![any(&[9, 9], 1)], |v| {
                        v[0].slice(0, 8, 0, -3).slice(1, 1, 8, 2).slice(0, -1, isize::MIN, -1)
                    }),
                    Sample::new("limits beyond the axis", vec![any(&[4], 1)], |v| {
                        v[0].slice(0, -9, 99, 3)
                    }),
                    Sample::new("a step beyond the axis", vec![any(&[4], 1)], |v| {
                        v[0].slice(0, 1, 4, isize::MAX)
                    }),
                    Sample::new("nothing", vec![any(&[4, 2], 1)], |v| v[0].slice(0, 3, 1, 1)),
                    Sample::new("of nothing", vec![any(&[0, 2], 1)], |v| v[0].slice(0, 0, 5, 2)),
                    Sample::new("overlapping uses", vec![any(&[6], 1)], |v| {
                        v[0].slice(0, 0, 4, 1) * v[0].slice(0, 2, 6, 1)
                    }),
                    Sample::new("used", vec![any(&[4, 5], 1)], |v| {
                        used(v[0].t().slice(0, 4, 0, -2).broadcast_to([3, 2, 4]))
                    }),
                ]);
                samples
            },
            || {
                vec![
                    fails!(
                        "no such axis",
                        Shape,
                        "slice: axis 1",
                        Tensor::zeros([3]).slice(1, 0, 1, 1)
                    ),
                    fails!(
                        "no step",
                        Argument,
                        "slice: the step is 0",
                        Tensor::zeros([3]).slice(0, 0, 1, 0)
                    ),
                ]
            },
        ),
        row(
            ["narrow", "x.narrow(axis, start, length)", "a range of elements", "torch.narrow"],
            Some("Slice"),
            || {
                let mut samples = each_type("columns", &[3, 7], |v| v[0].narrow(1, 2, 3));
                samples.push(Sample::new("nothing", vec![any(&[3], 1)], |v| v[0].narrow(0, 3, 0)));
                samples
                    .push(Sample::new("everything", vec![any(&[3], 1)], |v| v[0].narrow(0, 0, 3)));
                samples
            },
            || {
                vec![
                    fails!(
                        "beyond the end",
                        Shape,
                        "narrow: 2 elements",
                        Tensor::zeros([3]).narrow(0, 2, 2)
                    ),
                    fails!(
                        "no such axis",
                        Shape,
                        "narrow: axis 1",
                        Tensor::zeros([3]).narrow(1, 0, 1)
                    ),
                    fails!(
                        "far beyond",
                        Shape,
                        "narrow: ",
                        Tensor::zeros([3]).narrow(0, usize::MAX, 2)
                    ),
                ]
            },
        ),
        row(
            ["flip", "x.flip(axis)", "the order along an axis reversed", "torch.flip"],
            None,
            || {
                let mut samples = each_type("columns", &[3, 7], |v| v[0].flip(1));
                samples.extend([
                    Sample::new("twice", vec![any(&[5], 1)], |v| v[0].flip(0).flip(0)),
                    Sample::new("both axes", vec![any(&[2, 3], 1)], |v| v[0].flip(0).flip(1)),
                    Sample::new("one", vec![any(&[1, 4], 1)], |v| v[0].flip(0)),
                    Sample::new("empty", vec![any(&[0], 1)], |v| v[0].flip(0)),
                    Sample::new("used", vec![any(&[3, 4], 1)], |v| used(v[0].flip(0).t())),
                ]);
                samples
            },
            || vec![fails!("no such axis", Shape, "flip: axis 1", Tensor::zeros([3]).flip(1))],
        ),
        row(
            [
                "concat",
                "Tensor::concat(&[&x, &y], axis)",
                "one after another along an axis",
                "torch.cat",
            ],
            Some("Concat"),
            || {
                let pair = |a: &[usize], b: &[usize]| vec![any(a, 1), any(b, 2)];
                let rows: fn(&[Tensor]) -> Tensor = |v| Tensor::concat(&[&v[0], &v[1]], 0);
                vec![
                    Sample::new("rows", pair(&[2, 3], &[4, 3]), rows),
                    Sample::new("columns", pair(&[2, 3], &[2, 4]), |v| {
                        Tensor::concat(&[&v[0], &v[1]], -1)
                    }),
                    Sample::new("views", pair(&[3, 2], &[4, 3]), |v| {
                        Tensor::concat(&[&v[0].t(), &v[1].flip(0)], 0)
                    }),
                    Sample::new("one", vec![any(&[2, 3], 1)], |v| Tensor::concat(&[&v[0]], 1)),
                    Sample::new("the same twice", vec![any(&[2, 3], 1)], |v| {
                        Tensor::concat(&[&v[0], &v[0], &v[0]], 1)
                    }),
                    Sample::new("an empty part", pair(&[0, 3], &[2, 3]), rows),
                    Sample::new("only empty parts", pair(&[0, 3], &[0, 3]), rows),
                    Sample::new("empty elsewhere", pair(&[2, 0], &[4, 0]), rows),
                    Sample::new("a broadcast part", pair(&[1, 3], &[2, 3]), |v| {
                        Tensor::concat(&[&v[0].broadcast_to([4, 3]), &v[1]], 0)
                    }),
                    Sample::new("integers", vec![whole(&[2], 1), whole(&[3], 2)], rows),
                    Sample::new("bools", vec![truth(&[2], 1), truth(&[3], 2)], rows),
                    Sample::new("a number", vec![any(&[2], 1)], |v| {
                        let half = Tensor::full([2], 0.5).cast(v[0].dtype().unwrap_or(DType::F32));
                        Tensor::concat(&[&v[0], &half, &v[0]], 0)
                    }),
                ]
            },
            || {
                vec![
                    fails!("nothing", Argument, "concat: needs", Tensor::concat(&[], 0)),
                    fails!("other sizes", Shape, "concat: tensor 0 is [2, 3]", {
                        Tensor::concat(&[&Tensor::zeros([2, 3]), &Tensor::zeros([2, 4])], 0)
                    }),
                    fails!("other ranks", Shape, "concat: tensor 0", {
                        Tensor::concat(&[&Tensor::zeros([2, 3]), &Tensor::zeros([3])], 0)
                    }),
                    fails!("other types", DType, "concat: tensor 0 is f32", {
                        Tensor::concat(&[&Tensor::zeros([1]), &Tensor::from([1])], 0)
                    }),
                    fails!("no such axis", Shape, "concat: axis 1", {
                        Tensor::concat(&[&Tensor::zeros([1]), &Tensor::zeros([1])], 1)
                    }),
                    fails!("a failed part", Argument, "broken", {
                        let broken = Tensor::failed(Error::new(crate::Code::Argument, "broken"));
                        Tensor::concat(&[&Tensor::zeros([1]), &broken], 0)
                    }),
                ]
            },
        ),
        row(
            [
                "stack",
                "Tensor::stack(&[&x, &y], axis)",
                "one above another on a new axis",
                "torch.stack",
            ],
            None,
            || {
                let two = || vec![any(&[2, 3], 1), any(&[2, 3], 2)];
                vec![
                    Sample::new("first axis", two(), |v| Tensor::stack(&[&v[0], &v[1]], 0)),
                    Sample::new("last axis", two(), |v| Tensor::stack(&[&v[0], &v[1]], -1)),
                    Sample::new("scalars", vec![any(&[], 1), any(&[], 2)], |v| {
                        Tensor::stack(&[&v[0], &v[1]], 0)
                    }),
                    Sample::new("empty", vec![any(&[0], 1)], |v| Tensor::stack(&[&v[0], &v[0]], 0)),
                ]
            },
            || {
                vec![
                    fails!("nothing", Argument, "stack: needs", Tensor::stack(&[], 0)),
                    fails!("other sizes", Shape, "stack: tensor 0", {
                        Tensor::stack(&[&Tensor::zeros([2]), &Tensor::zeros([3])], 0)
                    }),
                ]
            },
        ),
    ]
}
