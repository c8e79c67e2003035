//! Rows of operations that repeat, shift, pad, cut and join, and of diagonals and masks.

use super::arrays::{any, truth, whole};
use super::{ErrorCase, Gradient, Kind, OpRow, Sample, fails};
use crate::ops::join::Meshgrid;
use crate::ops::pad::Pad;
use crate::tensor::Tensor;

type Call = fn(&[Tensor]) -> Tensor;
type Case = (&'static str, &'static [usize], Call);

/// A row of operations on one tensor: samples are a label, a shape and a call.
fn row(
    [name, signature, formula, pytorch]: [&'static str; 4],
    samples: fn() -> Vec<Sample>,
    errors: fn() -> Vec<ErrorCase>,
) -> OpRow {
    let (kind, onnx, gradient) = (Kind::Movement, None, Gradient::Yes);
    OpRow { name, signature, formula, kind, pytorch, onnx, gradient, samples, errors }
}

fn of(cases: &[Case]) -> Vec<Sample> {
    cases.iter().map(|&(label, shape, run)| Sample::new(label, vec![any(shape, 1)], run)).collect()
}

fn under(run: Call) -> Vec<Sample> {
    let source = || any(&[12], 3);
    vec![
        Sample::new("matrix", vec![any(&[3, 4], 1), truth(&[3, 4], 2), source()], run),
        Sample::new("a broadcast mask", vec![any(&[3, 4], 1), truth(&[4], 2), source()], run),
        Sample::new("a broadcast tensor", vec![any(&[4], 1), truth(&[3, 4], 2), source()], run),
        Sample::new("integers", vec![whole(&[4], 1), truth(&[4], 2), whole(&[4], 3)], run),
    ]
}

fn joined(mut parts: Vec<Tensor>) -> Tensor {
    // Weighted, so that every part counts differently.
    for (i, part) in parts.iter_mut().enumerate() {
        *part = part.reshape([-1]) * (i as f64 + 1.0);
    }
    Tensor::concat(&parts.iter().collect::<Vec<_>>(), 0)
}

pub(super) fn rows() -> Vec<OpRow> {
    vec![
        row(
            [
                "expand",
                "x.expand([3, -1])",
                "size-1 axes repeated; -1 keeps a size",
                "torch.Tensor.expand",
            ],
            || {
                of(&[
                    ("an axis", &[2, 1], |v| v[0].expand([-1, 3])),
                    ("a new axis", &[2], |v| v[0].expand([4, -1])),
                ])
            },
            || {
                vec![
                    fails!(
                        "nothing to keep",
                        Shape,
                        "expand: ",
                        Tensor::zeros([2]).expand([-1, 2])
                    ),
                    fails!("another size", Shape, "expand: ", Tensor::zeros([2]).expand([3])),
                ]
            },
        ),
        row(
            ["movedim", "x.movedim(1, -1)", "axes at other positions", "torch.movedim"],
            || {
                of(&[
                    ("one", &[2, 3, 4], |v| v[0].movedim(0, -1)),
                    ("two", &[2, 3, 4], |v| v[0].movedim([0, 1], [2, 0])),
                ])
            },
            || {
                vec![fails!("other counts", Shape, "movedim: 2 axes", {
                    Tensor::zeros([2, 3]).movedim([0, 1], 0)
                })]
            },
        ),
        row(
            [
                "unflatten",
                "x.unflatten(0, [2, -1])",
                "an axis split into several",
                "torch.unflatten",
            ],
            || of(&[("middle", &[2, 6, 3], |v| v[0].unflatten(1, [2, -1]))]),
            || {
                vec![fails!("another size", Shape, "unflatten: [4]", {
                    Tensor::zeros([6]).unflatten(0, [4])
                })]
            },
        ),
        row(
            [
                "sum_to_size",
                "x.sum_to_size([1, 3])",
                "the adjoint of a broadcast",
                "torch.Tensor.sum_to_size",
            ],
            || {
                of(&[
                    ("an axis", &[2, 3], |v| v[0].sum_to_size([2, 1])),
                    ("a leading axis", &[4, 2, 3], |v| v[0].sum_to_size([1, 3])),
                ])
            },
            || {
                vec![fails!("no broadcast", Shape, "sum_to_size: [2]", {
                    Tensor::zeros([2, 3]).sum_to_size([2])
                })]
            },
        ),
        row(
            [
                "pixel_shuffle",
                "x.pixel_shuffle(2)",
                "channels to pixels",
                "torch.nn.functional.pixel_shuffle",
            ],
            || {
                of(&[
                    ("there", &[2, 8, 2, 3], |v| v[0].pixel_shuffle(2)),
                    ("and back", &[2, 4, 6], |v| v[0].pixel_unshuffle(2)),
                    ("channels", &[2, 6, 3], |v| v[0].channel_shuffle(3)),
                ])
            },
            || {
                vec![fails!("other channels", Shape, "pixel_shuffle: ", {
                    Tensor::zeros([3, 2, 2]).pixel_shuffle(2)
                })]
            },
        ),
        row(
            ["roll", "x.roll(by, axis)", "elements moved on, around the end", "torch.roll"],
            || {
                of(&[
                    ("rows", &[4, 3], |v| v[0].roll(1, 0)),
                    ("back", &[4, 3], |v| v[0].roll(-5, 1)),
                    ("all", &[4, 3], |v| v[0].roll_all(2)),
                ])
            },
            || vec![fails!("no such axis", Shape, "roll: axis 1", Tensor::zeros([2]).roll(1, 1))],
        ),
        row(
            ["rot90", "x.rot90(k, [0, 1])", "turned by quarters", "torch.rot90"],
            || {
                of(&[
                    ("once", &[2, 3], |v| v[0].rot90(1, [0, 1])),
                    ("twice", &[2, 3], |v| v[0].rot90(2, [0, 1])),
                    ("back", &[2, 3], |v| v[0].rot90(-1, [1, 0])),
                ])
            },
            || {
                vec![fails!("one axis twice", Shape, "rot90: axis 0", {
                    Tensor::zeros([2, 2]).rot90(1, [0, 0])
                })]
            },
        ),
        row(
            ["repeat", "x.repeat([2, 3])", "the tensor side by side", "torch.Tensor.repeat"],
            || {
                of(&[
                    ("both axes", &[2, 3], |v| v[0].repeat([3, 2])),
                    ("new axes", &[2], |v| v[0].repeat([2, 1, 3])),
                    ("tiled", &[2, 3], |v| v[0].tile([2])),
                    ("never", &[2, 3], |v| v[0].repeat([0, 2])),
                    ("each element", &[2, 3], |v| v[0].repeat_interleave(2, 1)),
                    ("each row by count", &[3, 2], |v| {
                        v[0].repeat_interleave_each(&Tensor::from([2, 0, 1]), 0)
                    }),
                ])
            },
            || {
                vec![fails!(
                    "too few",
                    Shape,
                    "repeat: 1 counts",
                    Tensor::zeros([2, 2]).repeat([1])
                )]
            },
        ),
        row(
            ["unfold", "x.unfold(axis, size, step)", "sliding windows", "torch.Tensor.unfold"],
            || {
                of(&[
                    ("rows", &[7, 2], |v| v[0].unfold(0, 3, 2)),
                    ("overlapping", &[2, 5], |v| v[0].unfold(1, 3, 1)),
                ])
            },
            || {
                vec![fails!("too large", Shape, "unfold: windows of 4", {
                    Tensor::zeros([3]).unfold(0, 4, 1)
                })]
            },
        ),
        row(
            [
                "pad",
                "x.pad([1, 1], Pad::Reflect)",
                "elements around the last axes",
                "torch.nn.functional.pad",
            ],
            || {
                of(&[
                    ("zeros", &[2, 3], |v| v[0].pad([1, 2, 0, 1], Pad::Constant(0.0))),
                    ("a number", &[2, 3], |v| v[0].pad([1, 2, 1, 0], Pad::Constant(1.5))),
                    ("taken away", &[4, 5], |v| v[0].pad([-1, 2, -1, -2], Pad::Constant(0.0))),
                    ("mirrored", &[3, 4], |v| v[0].pad([2, 3, 1, 2], Pad::Reflect)),
                    ("the edge", &[3, 4], |v| v[0].pad([2, 1, -1, 2], Pad::Replicate)),
                    ("around", &[3, 4], |v| v[0].pad([1, 4, 2, 0], Pad::Circular)),
                ])
            },
            || {
                vec![
                    fails!("too much mirrored", Shape, "pad: 3 and 0", {
                        Tensor::zeros([3]).pad([3, 0], Pad::Reflect)
                    }),
                    fails!("odd", Argument, "pad: [1]", Tensor::zeros([3]).pad([1], Pad::Reflect)),
                ]
            },
        ),
        row(
            ["split", "x.split(size, axis)", "parts along an axis", "torch.split"],
            || {
                of(&[
                    ("parts", &[5, 2], |v| joined(v[0].split(2, 0))),
                    ("sizes", &[5, 2], |v| joined(v[0].split_with_sizes(&[1, 0, 4], 0))),
                    ("chunks", &[2, 5], |v| joined(v[0].chunk(3, 1))),
                    ("even parts", &[2, 5], |v| joined(v[0].tensor_split(3, 1))),
                    ("places", &[5], |v| joined(v[0].tensor_split_at(&[1, -1], 0))),
                    ("slices", &[2, 3], |v| joined(v[0].unbind(1))),
                ])
            },
            || {
                vec![
                    fails!("other sizes", Shape, "split_with_sizes: [1, 1]", {
                        joined(Tensor::zeros([3]).split_with_sizes(&[1, 1], 0))
                    }),
                    fails!(
                        "no such slice",
                        Index,
                        "select: index 3",
                        Tensor::zeros([3]).select(0, 3)
                    ),
                ]
            },
        ),
        row(
            ["hstack", "Tensor::hstack(&[&a, &b])", "tensors side by side", "torch.hstack"],
            || {
                of(&[
                    ("matrices", &[2, 3], |v| Tensor::hstack(&[&v[0], &(&v[0] * 2.0)])),
                    ("below", &[3], |v| Tensor::vstack(&[&v[0], &(&v[0] * 2.0)])),
                    ("behind", &[2, 3], |v| Tensor::dstack(&[&v[0], &(&v[0] * 2.0)])),
                    ("columns", &[3], |v| Tensor::column_stack(&[&v[0], &(&v[0] * 2.0)])),
                    ("blocks", &[2, 3], |v| Tensor::block_diag(&[&v[0], &v[0].t()])),
                    ("grids", &[3], |v| {
                        let pair = [&v[0], &(&v[0] * 2.0)];
                        joined(Tensor::meshgrid(&pair, Meshgrid::Xy))
                    }),
                    ("products", &[3], |v| Tensor::cartesian_prod(&[&v[0], &(&v[0] * 2.0)])),
                    ("pairs", &[4], |v| v[0].combinations(2, true)),
                ])
            },
            || vec![fails!("none", Argument, "hstack: needs", Tensor::hstack(&[]))],
        ),
        row(
            ["tril", "x.tril(diagonal)", "zeros above a diagonal", "torch.tril"],
            || {
                of(&[
                    ("square", &[3, 3], |v| v[0].tril(0)),
                    ("above", &[2, 3, 4], |v| v[0].tril(1)),
                    ("the upper one", &[4, 3], |v| v[0].triu(-1)),
                ])
            },
            || vec![fails!("a vector", Shape, "tril: needs", Tensor::zeros([3]).tril(0))],
        ),
        row(
            [
                "diagonal",
                "x.diagonal(offset, axis1, axis2)",
                "a diagonal of matrices",
                "torch.diagonal",
            ],
            || {
                of(&[
                    ("main", &[3, 4], |v| v[0].diagonal(0, 0, 1)),
                    ("below, of a batch", &[4, 2, 3], |v| v[0].diagonal(-1, 0, 2)),
                    ("none", &[2, 2], |v| v[0].diagonal(5, 0, 1)),
                    ("embedded", &[2, 3], |v| v[0].diag_embed(1, 0, -1)),
                    ("flat", &[2, 3], |v| v[0].diagflat(-1)),
                    ("trace", &[3, 4], |v| v[0].trace()),
                ])
            },
            || {
                vec![fails!("a vector", Shape, "diagonal: axis 1", {
                    Tensor::zeros([3]).diagonal(0, 0, 1)
                })]
            },
        ),
        row(
            [
                "slice_scatter",
                "x.slice_scatter(&source, axis, start, end, step)",
                "a slice replaced",
                "torch.slice_scatter",
            ],
            || {
                of(&[
                    ("a run", &[5, 2], |v| {
                        v[0].slice_scatter(&(v[0].narrow(0, 0, 2) * 3.0), 0, 1, 3, 1)
                    }),
                    ("steps", &[2, 5], |v| {
                        v[0].slice_scatter(&(v[0].narrow(1, 0, 2) * 3.0), 1, 1, 5, 2)
                    }),
                    ("one", &[3, 2], |v| v[0].select_scatter(&(v[0].select(0, 0) * 3.0), 0, -1)),
                ])
            },
            || {
                vec![fails!("another source", Shape, "slice_scatter: the source", {
                    Tensor::zeros([3]).slice_scatter(&Tensor::zeros([2]), 0, 0, 3, 1)
                })]
            },
        ),
        row(
            [
                "masked_select",
                "x.masked_select(&mask)",
                "elements where a mask holds; reads the mask",
                "torch.masked_select",
            ],
            || under(|v| v[0].masked_select(&v[1]) + v[2].sum()),
            || {
                vec![fails!("no mask", DType, "masked_select: the mask is f32", {
                    Tensor::zeros([3]).masked_select(&Tensor::zeros([3]))
                })]
            },
        ),
        row(
            [
                "masked_scatter",
                "x.masked_scatter(&mask, &source)",
                "source where a mask holds; reads the mask",
                "torch.masked_scatter",
            ],
            || under(|v| v[0].masked_scatter(&v[1], &v[2])),
            || {
                vec![fails!("too few", Shape, "masked_scatter: the mask takes 2", {
                    let mask = Tensor::from([true, true]);
                    Tensor::zeros([2]).masked_scatter(&mask, &Tensor::zeros([1]))
                })]
            },
        ),
        row(
            ["unique", "x.unique()", "the different elements in order; reads x", "torch.unique"],
            || {
                let mut samples = of(&[
                    ("elements", &[3, 4], |v| v[0].unique().values),
                    ("slices", &[4, 2], |v| v[0].unique_dim(0).values),
                    ("runs", &[5], |v| v[0].unique_consecutive().values),
                    ("runs of slices", &[2, 5], |v| v[0].unique_consecutive_dim(1).values),
                ]);
                let whole = of(&[
                    ("positions", &[3, 4], |v| v[0].floor().unique().inverse),
                    ("counts", &[3, 4], |v| v[0].floor().unique_dim(1).counts),
                ]);
                // Positions and counts have no gradient.
                samples.extend(whole.into_iter().map(Sample::kinks));
                samples
            },
            || {
                vec![fails!("no such axis", Shape, "unique_dim: axis 1", {
                    Tensor::zeros([2]).unique_dim(1).values
                })]
            },
        ),
    ]
}
