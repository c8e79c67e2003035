//! Rows of layers that pad, resize and rearrange images.

use gradus_core::{Interpolation, Tensor};

use super::samples::floats;
use super::{Built, ErrorCase, Group, LayerRow, Sample, fails};
use crate::{
    ChannelShuffle, CircularPad1d, CircularPad2d, CircularPad3d, ConstantPad1d, ConstantPad2d,
    ConstantPad3d, Fold, PixelShuffle, PixelUnshuffle, ReflectionPad1d, ReflectionPad2d,
    ReflectionPad3d, ReplicationPad1d, ReplicationPad2d, ReplicationPad3d, Unflatten, Unfold,
    Upsample, ZeroPad1d, ZeroPad2d, ZeroPad3d,
};

/// A row of this file: name, signature, what it computes, PyTorch's name.
fn row(
    [name, signature, computes, pytorch]: [&'static str; 4],
    samples: fn() -> Vec<Sample>,
    errors: fn() -> Vec<ErrorCase>,
) -> LayerRow {
    let (group, parameters) = (Group::Spatial, "");
    LayerRow { name, signature, computes, parameters, group, pytorch, samples, errors }
}

/// Samples of one input: label, layer, its shape.
macro_rules! samples {
    ($($label:literal, $layer:expr, $shape:expr;)*) => {
        || vec![$(Sample::new($label, || Built::layer($layer), || Ok(vec![floats($shape, 1)?]))),*]
    };
}

/// A row of a padding layer.
macro_rules! pad {
    ($name:ident, $computes:literal, $pytorch:literal, $one:expr, $shape:expr, $each:expr) => {
        row(
            [stringify!($name), concat!(stringify!($name), "::new(padding)"), $computes, $pytorch],
            samples! {
                "one number", $name::new($one), $shape;
                "a number a side", $name::new($each), $shape;
            },
            Vec::new,
        )
    };
}

/// A row of a layer that pads with a number.
macro_rules! constant {
    ($name:ident, $pytorch:literal, $shape:expr, $each:expr) => {
        row(
            [
                stringify!($name),
                concat!(stringify!($name), "::new(padding, value)"),
                "a number around the image; negative padding takes away",
                $pytorch,
            ],
            samples! {
                "one number", $name::new(2, 1.5), $shape;
                "a number a side, some taken away", $name::new($each, -2.0), $shape;
            },
            Vec::new,
        )
    };
}

pub(super) fn rows() -> Vec<LayerRow> {
    [pads(), images()].concat()
}

fn pads() -> Vec<LayerRow> {
    let mut rows = vec![
        pad!(ZeroPad1d, "zeros around the axis", "torch.nn.ZeroPad1d", 1, [2, 2, 4], [1, 2]),
        pad!(ZeroPad2d, "zeros around the axes", "torch.nn.ZeroPad2d", 1, [2, 3, 4], [1, 2, 0, 3]),
        pad!(
            ZeroPad3d,
            "zeros around the axes",
            "torch.nn.ZeroPad3d",
            1,
            [1, 2, 3, 2],
            [1, 2, 0, 3, 1, 1]
        ),
        constant!(ConstantPad1d, "torch.nn.ConstantPad1d", [2, 2, 4], [-1, 2]),
        constant!(ConstantPad2d, "torch.nn.ConstantPad2d", [2, 3, 4], [1, -2, 0, 3]),
        constant!(ConstantPad3d, "torch.nn.ConstantPad3d", [1, 2, 3, 2], [1, 2, 0, -1, 1, 1]),
        pad!(
            ReflectionPad1d,
            "the axis mirrored at its ends",
            "torch.nn.ReflectionPad1d",
            2,
            [2, 2, 4],
            [3, 1]
        ),
    ];
    rows.push(row(
        [
            "ReflectionPad2d",
            "ReflectionPad2d::new(padding)",
            "the axes mirrored at their ends",
            "torch.nn.ReflectionPad2d",
        ],
        samples! {
            "one number", ReflectionPad2d::new(1), [2, 3, 4];
            "a number a side", ReflectionPad2d::new([3, 2, 0, 1]), [2, 2, 3, 4];
        },
        || {
            vec![
                fails!("more than there is", Shape, "pad: 4 and 4 do not fit axis 3", {
                    ReflectionPad2d::new(4).forward(&Tensor::zeros([1, 1, 4, 4]))
                }),
                fails!("another rank", Shape, "ReflectionPad2d: takes 2 axes after", {
                    ReflectionPad2d::new(1).forward(&Tensor::zeros([4, 4]))
                }),
                fails!("negative", Argument, "ReflectionPad2d: [-1, -1, -1, -1] would take", {
                    ReflectionPad2d::new(-1).forward(&Tensor::zeros([1, 4, 4]))
                }),
            ]
        },
    ));
    rows.extend([
        pad!(
            ReflectionPad3d,
            "the axes mirrored at their ends",
            "torch.nn.ReflectionPad3d",
            1,
            [1, 2, 3, 2],
            [1, 1, 2, 0, 1, 0]
        ),
        pad!(
            ReplicationPad1d,
            "the elements at the ends repeated",
            "torch.nn.ReplicationPad1d",
            2,
            [2, 2, 4],
            [3, 1]
        ),
        pad!(
            ReplicationPad2d,
            "the elements at the ends repeated",
            "torch.nn.ReplicationPad2d",
            1,
            [2, 3, 4],
            [3, 2, 0, 1]
        ),
        pad!(
            ReplicationPad3d,
            "the elements at the ends repeated",
            "torch.nn.ReplicationPad3d",
            1,
            [1, 2, 3, 2],
            [1, 1, 2, 0, 1, 0]
        ),
        pad!(
            CircularPad1d,
            "the axis continued from its other end",
            "torch.nn.CircularPad1d",
            2,
            [2, 2, 4],
            [3, 1]
        ),
        pad!(
            CircularPad2d,
            "the axes continued from their other ends",
            "torch.nn.CircularPad2d",
            1,
            [2, 3, 4],
            [3, 2, 0, 1]
        ),
        pad!(
            CircularPad3d,
            "the axes continued from their other ends",
            "torch.nn.CircularPad3d",
            1,
            [1, 2, 3, 2],
            [1, 1, 2, 0, 1, 0]
        ),
    ]);
    rows
}

fn images() -> Vec<LayerRow> {
    vec![
        row(
            [
                "Upsample",
                "Upsample::by(scale_factor).mode(Interpolation::Linear).align_corners(true)",
                "an image in other sizes: [batch, channels, ..]",
                "torch.nn.Upsample",
            ],
            samples! {
                "twice", Upsample::by(2.0), [1, 2, 3, 2];
                "bilinear", Upsample::to([5, 3]).mode(Interpolation::Linear), [1, 2, 3, 4];
                "bicubic", Upsample::by_each([1.5, 2.0]).mode(Interpolation::Cubic), [1, 1, 3, 4];
            },
            || {
                vec![fails!("a vector", Shape, "interpolate: takes [batch, channels, ..]", {
                    Upsample::by(2.0).forward(&Tensor::zeros([2, 3]))
                })]
            },
        ),
        row(
            [
                "PixelShuffle",
                "PixelShuffle::new(upscale_factor)",
                "channels to pixels: [.., c r r, h, w] -> [.., c, h r, w r]",
                "torch.nn.PixelShuffle",
            ],
            samples! { "twice", PixelShuffle::new(2), [1, 8, 2, 3]; },
            || {
                vec![fails!("odd channels", Shape, "pixel_shuffle: the channels of", {
                    PixelShuffle::new(2).forward(&Tensor::zeros([1, 3, 2, 2]))
                })]
            },
        ),
        row(
            [
                "PixelUnshuffle",
                "PixelUnshuffle::new(downscale_factor)",
                "pixels to channels: [.., c, h r, w r] -> [.., c r r, h, w]",
                "torch.nn.PixelUnshuffle",
            ],
            samples! { "half", PixelUnshuffle::new(2), [1, 2, 4, 6]; },
            Vec::new,
        ),
        row(
            [
                "ChannelShuffle",
                "ChannelShuffle::new(groups)",
                "runs of channels interleaved",
                "torch.nn.ChannelShuffle",
            ],
            samples! { "two groups", ChannelShuffle::new(2), [1, 6, 2, 2]; },
            Vec::new,
        ),
        row(
            [
                "Unfold",
                "Unfold::new(kernel_size).stride(..).padding(..).dilation(..)",
                "patches as columns: [batch, channels, h, w] -> [batch, channels k k, patches]",
                "torch.nn.Unfold",
            ],
            samples! {
                "every place", Unfold::new(2), [2, 2, 3, 4];
                "all options", Unfold::new([2, 3]).stride(2).padding(1).dilation([2, 1]), [1, 5, 6];
            },
            || {
                vec![fails!("too large", Shape, "unfold2d: a patch of 4 does not fit 3", {
                    Unfold::new(4).forward(&Tensor::zeros([1, 1, 3, 3]))
                })]
            },
        ),
        row(
            [
                "Fold",
                "Fold::new(output_size, kernel_size).stride(..).padding(..).dilation(..)",
                "the sum of patches in an image: the adjoint of Unfold",
                "torch.nn.Fold",
            ],
            samples! {
                "overlapping", Fold::new((3, 4), 2), [2, 8, 6];
                "padded", Fold::new(4, 2).stride(2).padding(1), [4, 9];
            },
            Vec::new,
        ),
        row(
            [
                "Unflatten",
                "Unflatten::new(dim, unflattened_size)",
                "one axis as several",
                "torch.nn.Unflatten",
            ],
            samples! { "features to images", Unflatten::new(1, [2, -1, 3]), [2, 12]; },
            || {
                vec![fails!("other sizes", Shape, "unflatten", {
                    Unflatten::new(1, [5, 2]).forward(&Tensor::zeros([2, 12]))
                })]
            },
        ),
    ]
}
