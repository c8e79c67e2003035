//! Rows of convolutions.

use gradus_core::{Pad, Padding, Tensor};

use super::samples::floats;
use super::{Built, ErrorCase, Group, LayerRow, Sample, fails};
use crate::{Conv1d, Conv2d, Conv3d, ConvTranspose1d, ConvTranspose2d, ConvTranspose3d};

const FORWARD: &str = "weighted sums over a window that moves over the input: \
     [batch, in_channels, ..] -> [batch, out_channels, ..]";
const BACK: &str = "the adjoint of a convolution, which enlarges: \
     [batch, in_channels, ..] -> [batch, out_channels, ..]";

pub(super) fn rows() -> Vec<LayerRow> {
    let row = |name, signature, pytorch, samples, errors| LayerRow {
        name,
        signature,
        computes: FORWARD,
        parameters: "weight [out_channels, in_channels / groups, *kernel_size], bias [out_channels]",
        group: Group::Convolution,
        pytorch,
        samples,
        errors,
    };
    let turned = |name, signature, pytorch, samples, errors| LayerRow {
        name,
        signature,
        computes: BACK,
        parameters: "weight [in_channels, out_channels / groups, *kernel_size], bias [out_channels]",
        group: Group::Convolution,
        pytorch,
        samples,
        errors,
    };
    vec![
        row(
            "Conv1d",
            "Conv1d::new(in_channels, out_channels, kernel_size)\
             .stride(s).padding(p).dilation(d).groups(g).padding_mode(m).no_bias()",
            "torch.nn.Conv1d",
            || {
                vec![
                    Sample::new(
                        "padded",
                        || Built::layer(Conv1d::new(2, 3, 3).padding(1)),
                        || Ok(vec![floats([2, 2, 5], 1)?]),
                    ),
                    Sample::new(
                        "circular, without a batch",
                        || {
                            let conv = Conv1d::new(2, 2, 3).padding(Padding::Same);
                            Built::layer(conv.padding_mode(Pad::Circular))
                        },
                        || Ok(vec![floats([2, 5], 2)?]),
                    ),
                ]
            },
            || {
                vec![fails!("a kernel of 0", Argument, "Conv1d: sizes must be at least 1", {
                    Conv1d::new(1, 1, 0).forward(&Tensor::zeros([1, 1, 4]))
                })]
            },
        ),
        row(
            "Conv2d",
            "Conv2d::new(in_channels, out_channels, kernel_size)\
             .stride(s).padding(p).dilation(d).groups(g).padding_mode(m).no_bias()",
            "torch.nn.Conv2d",
            conv2d,
            conv2d_errors,
        ),
        row(
            "Conv3d",
            "Conv3d::new(in_channels, out_channels, kernel_size)\
             .stride(s).padding(p).dilation(d).groups(g).padding_mode(m).no_bias()",
            "torch.nn.Conv3d",
            || {
                vec![Sample::new(
                    "another kernel along each axis",
                    || Built::layer(Conv3d::new(2, 2, (1, 2, 3)).stride([1, 2, 1])),
                    || Ok(vec![floats([1, 2, 2, 4, 3], 1)?]),
                )]
            },
            || {
                vec![fails!("too large", Shape, "conv3d: the kernel of 2x2x2 is larger", {
                    Conv3d::new(1, 1, 2).forward(&Tensor::zeros([1, 1, 1, 4, 4]))
                })]
            },
        ),
        turned(
            "ConvTranspose1d",
            "ConvTranspose1d::new(in_channels, out_channels, kernel_size)\
             .stride(s).padding(p).output_padding(o).dilation(d).groups(g).no_bias()",
            "torch.nn.ConvTranspose1d",
            || {
                vec![Sample::new(
                    "stride",
                    || Built::layer(ConvTranspose1d::new(2, 3, 3).stride(2).output_padding(1)),
                    || Ok(vec![floats([2, 2, 4], 1)?]),
                )]
            },
            || {
                vec![fails!("output padding", Argument, "an output padding of 1", {
                    ConvTranspose1d::new(1, 1, 2)
                        .output_padding(1)
                        .forward(&Tensor::zeros([1, 1, 4]))
                })]
            },
        ),
        turned(
            "ConvTranspose2d",
            "ConvTranspose2d::new(in_channels, out_channels, kernel_size)\
             .stride(s).padding(p).output_padding(o).dilation(d).groups(g).no_bias()",
            "torch.nn.ConvTranspose2d",
            || {
                vec![
                    Sample::new(
                        "twice as large",
                        || Built::layer(ConvTranspose2d::new(3, 2, 2).stride(2)),
                        || Ok(vec![floats([2, 3, 2, 3], 1)?]),
                    ),
                    Sample::new(
                        "groups, no bias",
                        || {
                            let conv = ConvTranspose2d::new(4, 2, 3).groups(2).padding(1);
                            Built::layer(conv.dilation((1, 2)).no_bias())
                        },
                        || Ok(vec![floats([1, 4, 3, 3], 2)?]),
                    ),
                ]
            },
            || {
                vec![fails!("channels", Shape, "takes 4 channels, the input has 3", {
                    ConvTranspose2d::new(4, 2, 2).forward(&Tensor::zeros([1, 3, 4, 4]))
                })]
            },
        ),
        turned(
            "ConvTranspose3d",
            "ConvTranspose3d::new(in_channels, out_channels, kernel_size)\
             .stride(s).padding(p).output_padding(o).dilation(d).groups(g).no_bias()",
            "torch.nn.ConvTranspose3d",
            || {
                vec![Sample::new(
                    "plain",
                    || Built::layer(ConvTranspose3d::new(2, 2, 2)),
                    || Ok(vec![floats([1, 2, 2, 2, 2], 1)?]),
                )]
            },
            || {
                vec![fails!("groups", Argument, "2 groups do not divide 3 -> 4 channels", {
                    ConvTranspose3d::new(3, 4, 2).groups(2).forward(&Tensor::zeros([1, 3, 2, 2, 2]))
                })]
            },
        ),
    ]
}

fn conv2d() -> Vec<Sample> {
    vec![
        Sample::new(
            "padded",
            || Built::layer(Conv2d::new(3, 4, 3).padding(1)),
            || Ok(vec![floats([2, 3, 4, 4], 1)?]),
        ),
        Sample::new(
            "stride, groups, no bias",
            || Built::layer(Conv2d::new(4, 2, (2, 3)).stride(2).groups(2).no_bias()),
            || Ok(vec![floats([2, 4, 5, 6], 2)?]),
        ),
        Sample::new(
            "depthwise, dilated",
            || Built::layer(Conv2d::new(3, 6, 3).groups(3).dilation(2).padding(Padding::Same)),
            || Ok(vec![floats([1, 3, 5, 4], 3)?]),
        ),
        Sample::new(
            "reflected, without a batch",
            || Built::layer(Conv2d::new(2, 2, 3).padding(1).padding_mode(Pad::Reflect)),
            || Ok(vec![floats([2, 4, 3], 4)?]),
        ),
    ]
}

fn conv2d_errors() -> Vec<ErrorCase> {
    vec![
        fails!("no channels", Argument, "Conv2d: sizes must be at least 1", {
            Conv2d::new(0, 2, 3).forward(&Tensor::zeros([1, 0, 4, 4]))
        }),
        fails!("groups", Argument, "Conv2d: 2 groups do not divide 3 -> 4 channels", {
            Conv2d::new(3, 4, 3).groups(2).forward(&Tensor::zeros([1, 3, 4, 4]))
        }),
        fails!("channels", Shape, "conv2d: the weight takes 3 channels, the input has 1", {
            Conv2d::new(3, 4, 3).forward(&Tensor::zeros([1, 1, 4, 4]))
        }),
        fails!("too large", Shape, "the kernel of 5x5 is larger than the padded input of 4x4", {
            Conv2d::new(1, 4, 5).forward(&Tensor::zeros([1, 1, 4, 4]))
        }),
        fails!("no stride", Argument, "conv2d: a stride is 1 to 65535, not 0x0", {
            Conv2d::new(1, 4, 3).stride(0).forward(&Tensor::zeros([1, 1, 4, 4]))
        }),
    ]
}
