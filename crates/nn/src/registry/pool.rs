//! Rows of pooling layers.

use gradus_core::Tensor;

use super::samples::floats;
use super::{Built, ErrorCase, Group, LayerRow, Sample, fails};
use crate::{
    AdaptiveAvgPool1d, AdaptiveAvgPool2d, AdaptiveAvgPool3d, AdaptiveMaxPool1d, AdaptiveMaxPool2d,
    AdaptiveMaxPool3d, AvgPool1d, AvgPool2d, AvgPool3d, GlobalAvgPool, GlobalMaxPool, LpPool1d,
    LpPool2d, LpPool3d, MaxPool1d, MaxPool2d, MaxPool3d, MaxUnpool1d, MaxUnpool2d, MaxUnpool3d,
};

/// A row of this file: name, signature, what it computes, PyTorch's name.
fn row(
    [name, signature, computes, pytorch]: [&'static str; 4],
    samples: fn() -> Vec<Sample>,
    errors: fn() -> Vec<ErrorCase>,
) -> LayerRow {
    let (group, parameters) = (Group::Pooling, "");
    LayerRow { name, signature, computes, parameters, group, pytorch, samples, errors }
}

/// Samples of one input: label, layer, its shape.
macro_rules! samples {
    ($($label:literal, $layer:expr, $shape:expr;)*) => {
        || vec![$(Sample::new($label, || Built::layer($layer), || Ok(vec![floats($shape, 1)?]))),*]
    };
}

pub(super) fn rows() -> Vec<LayerRow> {
    [windows(), adaptive(), others()].concat()
}

fn windows() -> Vec<LayerRow> {
    vec![
        row(
            [
                "MaxPool1d",
                "MaxPool1d::new(kernel_size).stride(..).padding(..).dilation(..).ceil_mode(true)",
                "the largest under each window: [batch, channels, length]",
                "torch.nn.MaxPool1d",
            ],
            samples! {
                "pairs", MaxPool1d::new(2), [2, 3, 8];
                "dilated", MaxPool1d::new(3).stride(1).padding(2).dilation(2), [2, 7];
            },
            || {
                vec![fails!("too much padding", Argument, "max_pool1d: a padding of 2", {
                    MaxPool1d::new(2).padding(2).forward(&Tensor::zeros([1, 1, 8]))
                })]
            },
        ),
        row(
            [
                "MaxPool2d",
                "MaxPool2d::new(kernel_size).stride(..).padding(..).dilation(..).ceil_mode(true)",
                "the largest under each window: [batch, channels, height, width]",
                "torch.nn.MaxPool2d",
            ],
            samples! {
                "pairs", MaxPool2d::new(2), [2, 2, 4, 6];
                "of ResNet", MaxPool2d::new(3).stride(2).padding(1), [1, 2, 7, 6];
                "a size an axis, ceil", MaxPool2d::new((2, 3)).ceil_mode(true), [2, 5, 5];
            },
            || {
                vec![
                    fails!("too small", Shape, "max_pool2d: a window of 5 does not fit", {
                        MaxPool2d::new(5).forward(&Tensor::zeros([1, 1, 4, 4]))
                    }),
                    fails!("a matrix", Shape, "max_pool2d: takes [batch, channels, height", {
                        MaxPool2d::new(2).forward(&Tensor::zeros([4, 4]))
                    }),
                ]
            },
        ),
        row(
            [
                "MaxPool3d",
                "MaxPool3d::new(kernel_size).stride(..).padding(..).dilation(..).ceil_mode(true)",
                "the largest under each window: [batch, channels, depth, height, width]",
                "torch.nn.MaxPool3d",
            ],
            samples! { "cubes", MaxPool3d::new(2), [1, 2, 4, 4, 2]; },
            Vec::new,
        ),
        row(
            [
                "AvgPool1d",
                "AvgPool1d::new(kernel_size).stride(..).padding(..).count_include_pad(false)",
                "the mean under each window: [batch, channels, length]",
                "torch.nn.AvgPool1d",
            ],
            samples! {
                "pairs", AvgPool1d::new(2), [2, 3, 8];
                "ceil", AvgPool1d::new(3).stride(2).padding(1).ceil_mode(true), [2, 8];
            },
            Vec::new,
        ),
        row(
            [
                "AvgPool2d",
                "AvgPool2d::new(kernel_size).stride(..).padding(..).divisor_override(..)",
                "the mean under each window: [batch, channels, height, width]",
                "torch.nn.AvgPool2d",
            ],
            samples! {
                "pairs", AvgPool2d::new(2), [2, 2, 4, 6];
                "padded", AvgPool2d::new(3).stride(2).padding(1).count_include_pad(false), [2, 5, 6];
                "divided by 3", AvgPool2d::new([2, 1]).divisor_override(3), [1, 2, 4, 3];
            },
            || {
                vec![fails!("divided by 0", Argument, "avg_pool2d: the divisor is 0", {
                    let layer = AvgPool2d::new(2).divisor_override(0);
                    layer.forward(&Tensor::zeros([1, 1, 4, 4]))
                })]
            },
        ),
        row(
            [
                "AvgPool3d",
                "AvgPool3d::new(kernel_size).stride(..).padding(..).divisor_override(..)",
                "the mean under each window: [batch, channels, depth, height, width]",
                "torch.nn.AvgPool3d",
            ],
            samples! { "cubes", AvgPool3d::new(2), [1, 2, 4, 4, 2]; },
            Vec::new,
        ),
        row(
            [
                "LpPool1d",
                "LpPool1d::new(norm_type, kernel_size).stride(..).ceil_mode(true)",
                "(sum x^p)^(1/p) under each window: [batch, channels, length]",
                "torch.nn.LPPool1d",
            ],
            samples! { "euclidean", LpPool1d::new(2.0, 3).stride(2), [2, 3, 8]; },
            || {
                vec![fails!("no norm", Argument, "lp_pool1d: the norm must be", {
                    LpPool1d::new(f64::INFINITY, 2).forward(&Tensor::zeros([1, 1, 4]))
                })]
            },
        ),
        row(
            [
                "LpPool2d",
                "LpPool2d::new(norm_type, kernel_size).stride(..).ceil_mode(true)",
                "(sum x^p)^(1/p) under each window: [batch, channels, height, width]",
                "torch.nn.LPPool2d",
            ],
            samples! { "euclidean", LpPool2d::new(2.0, 2), [1, 2, 4, 4]; },
            Vec::new,
        ),
        row(
            [
                "LpPool3d",
                "LpPool3d::new(norm_type, kernel_size).stride(..).ceil_mode(true)",
                "(sum x^p)^(1/p) under each window: [batch, channels, depth, height, width]",
                "torch.nn.LPPool3d",
            ],
            samples! { "euclidean", LpPool3d::new(2.0, 2), [1, 2, 4, 2]; },
            Vec::new,
        ),
    ]
}

fn adaptive() -> Vec<LayerRow> {
    vec![
        row(
            [
                "AdaptiveAvgPool1d",
                "AdaptiveAvgPool1d::new(output_size)",
                "means that share the axis out evenly: [batch, channels, output_size]",
                "torch.nn.AdaptiveAvgPool1d",
            ],
            samples! { "uneven", AdaptiveAvgPool1d::new(3), [2, 3, 8]; },
            Vec::new,
        ),
        row(
            [
                "AdaptiveAvgPool2d",
                "AdaptiveAvgPool2d::new([Some(7), None])",
                "means that share the axes out evenly: [batch, channels, 7, width]",
                "torch.nn.AdaptiveAvgPool2d",
            ],
            samples! {
                "all", AdaptiveAvgPool2d::new(1), [2, 3, 5, 4];
                "uneven", AdaptiveAvgPool2d::new((3, 2)), [2, 7, 5];
                "one axis kept", AdaptiveAvgPool2d::new([Some(2), None]), [2, 6, 5];
            },
            || {
                vec![fails!("a matrix", Shape, "adaptive_avg_pool2d: takes", {
                    AdaptiveAvgPool2d::new(1).forward(&Tensor::zeros([4, 4]))
                })]
            },
        ),
        row(
            [
                "AdaptiveAvgPool3d",
                "AdaptiveAvgPool3d::new(output_size)",
                "means that share the axes out evenly",
                "torch.nn.AdaptiveAvgPool3d",
            ],
            samples! { "uneven", AdaptiveAvgPool3d::new([2, 1, 3]), [2, 3, 4, 5]; },
            Vec::new,
        ),
        row(
            [
                "AdaptiveMaxPool1d",
                "AdaptiveMaxPool1d::new(output_size)",
                "the largest in windows that share the axis out evenly",
                "torch.nn.AdaptiveMaxPool1d",
            ],
            samples! { "uneven", AdaptiveMaxPool1d::new(3), [2, 3, 8]; },
            Vec::new,
        ),
        row(
            [
                "AdaptiveMaxPool2d",
                "AdaptiveMaxPool2d::new([Some(7), None])",
                "the largest in windows that share the axes out evenly",
                "torch.nn.AdaptiveMaxPool2d",
            ],
            samples! { "uneven", AdaptiveMaxPool2d::new((3, 2)), [2, 7, 5]; },
            Vec::new,
        ),
        row(
            [
                "AdaptiveMaxPool3d",
                "AdaptiveMaxPool3d::new(output_size)",
                "the largest in windows that share the axes out evenly",
                "torch.nn.AdaptiveMaxPool3d",
            ],
            samples! { "uneven", AdaptiveMaxPool3d::new([2, 1, 3]), [2, 3, 4, 5]; },
            Vec::new,
        ),
        row(
            [
                "GlobalAvgPool",
                "GlobalAvgPool",
                "the mean of each channel: [batch, channels, ..] -> [batch, channels, 1, ..]",
                "torch.nn.AdaptiveAvgPool2d",
            ],
            samples! { "images", GlobalAvgPool, [2, 3, 4, 5]; },
            Vec::new,
        ),
        row(
            [
                "GlobalMaxPool",
                "GlobalMaxPool",
                "the largest of each channel: [batch, channels, ..] -> [batch, channels, 1, ..]",
                "torch.nn.AdaptiveMaxPool2d",
            ],
            samples! { "images", GlobalMaxPool, [2, 3, 4, 5]; },
            Vec::new,
        ),
    ]
}

/// There and back.
macro_rules! unpool {
    ($pool:ident, $unpool:ident, $shape:expr) => {
        || {
            vec![Sample::new(
                "there and back",
                || {
                    Built::with($unpool::new(2), |layer, xs| match xs.first() {
                        Some(x) => {
                            let (y, at) = $pool::new(2).forward_with_indices(x);
                            layer.forward(&y, &at)
                        }
                        None => Tensor::zeros([1]),
                    })
                },
                || Ok(vec![floats($shape, 1)?]),
            )]
        }
    };
}

fn others() -> Vec<LayerRow> {
    vec![
        row(
            [
                "MaxUnpool1d",
                "MaxUnpool1d::new(kernel_size).stride(..).padding(..)",
                "what MaxPool1d took, put back where it was; two inputs, values and indices",
                "torch.nn.MaxUnpool1d",
            ],
            unpool!(MaxPool1d, MaxUnpool1d, [2, 2, 8]),
            Vec::new,
        ),
        row(
            [
                "MaxUnpool2d",
                "MaxUnpool2d::new(kernel_size).stride(..).padding(..)",
                "what MaxPool2d took, put back where it was; two inputs, values and indices",
                "torch.nn.MaxUnpool2d",
            ],
            unpool!(MaxPool2d, MaxUnpool2d, [2, 2, 4, 4]),
            || {
                vec![fails!("two shapes", Shape, "max_unpool2d: values", {
                    let (x, at) = (Tensor::zeros([1, 2, 2]), Tensor::zeros([1, 2, 3]));
                    MaxUnpool2d::new(2).forward(&x, &at)
                })]
            },
        ),
        row(
            [
                "MaxUnpool3d",
                "MaxUnpool3d::new(kernel_size).stride(..).padding(..)",
                "what MaxPool3d took, put back where it was; two inputs, values and indices",
                "torch.nn.MaxUnpool3d",
            ],
            unpool!(MaxPool3d, MaxUnpool3d, [1, 2, 2, 4]),
            Vec::new,
        ),
    ]
}
