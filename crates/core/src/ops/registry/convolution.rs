//! Rows of convolutions.

use super::arrays::{any, exact};
use super::{ErrorCase, Gradient, Kind, OpRow, Sample, fails};
use crate::array::Array;
use crate::ops::conv::{ConvOptions, ConvTransposeOptions, Padding};
use crate::ops::pad::Pad;
use crate::tensor::{Operand, Tensor};

type Call = fn(&[Tensor]) -> Tensor;

fn options<const N: usize>() -> ConvOptions<N> {
    ConvOptions::new()
}

fn turned<const N: usize>() -> ConvTransposeOptions<N> {
    ConvTransposeOptions::new()
}

/// Operands: input, weight, and a bias where its size is given.
fn operands(x: &[usize], w: &[usize], bias: Option<usize>) -> Vec<Array> {
    let mut out = vec![any(x, 1), any(w, 2)];
    out.extend(bias.map(|n| any(&[n], 3)));
    out
}

pub(super) fn rows() -> Vec<OpRow> {
    let row = |name, signature, formula, pytorch, onnx, samples, errors| OpRow {
        name,
        signature,
        formula,
        kind: Kind::Product,
        pytorch,
        onnx: Some(onnx),
        gradient: Gradient::Yes,
        samples,
        errors,
    };
    let forward = "y[n, f, o] = bias[f] + sum over c, k of x[n, c, o * stride + k * dilation - padding] * w[f, c, k]";
    let back = "y[n, c, o * stride + k * dilation - padding] = bias[c] + sum over f, o, k of x[n, f, o] * w[f, c, k]";
    vec![
        row(
            "conv1d",
            "x.conv1d(&weight, Some(&bias), ConvOptions::new().stride(2))",
            forward,
            "torch.nn.functional.conv1d",
            "Conv",
            conv1d,
            || {
                vec![
                    fails!("no channels", Shape, "conv1d: the input has 1 axes", {
                        Tensor::zeros([8]).conv1d(Tensor::zeros([1, 1, 3]), None, options())
                    }),
                    fails!("integers", DType, "conv1d: takes f32 or f64, not i64", {
                        let x = Tensor::from([1, 2, 3]).reshape([1, 1, 3]);
                        x.conv1d(&x, None, options())
                    }),
                    fails!("same with a stride", Argument, "needs a stride of 1", {
                        let same = options().padding(Padding::Same).stride(2);
                        Tensor::zeros([1, 1, 8]).conv1d(Tensor::zeros([1, 1, 3]), None, same)
                    }),
                ]
            },
        ),
        row(
            "conv2d",
            "x.conv2d(&weight, Some(&bias), ConvOptions::new().padding(1))",
            forward,
            "torch.nn.functional.conv2d",
            "Conv",
            conv2d,
            conv2d_errors,
        ),
        row(
            "conv3d",
            "x.conv3d(&weight, Some(&bias), ConvOptions::new())",
            forward,
            "torch.nn.functional.conv3d",
            "Conv",
            conv3d,
            || {
                vec![fails!("too large", Shape, "the kernel of 2x2x5 is larger", {
                    let w = Tensor::zeros([1, 1, 2, 2, 5]);
                    Tensor::zeros([1, 1, 4, 4, 4]).conv3d(w, None, options())
                })]
            },
        ),
        row(
            "conv_transpose1d",
            "x.conv_transpose1d(&weight, Some(&bias), ConvTransposeOptions::new().stride(2))",
            back,
            "torch.nn.functional.conv_transpose1d",
            "ConvTranspose",
            || {
                let run: Call = |v| v[0].conv_transpose1d(&v[1], None, turned());
                vec![
                    Sample::new("plain", operands(&[2, 3, 4], &[3, 2, 3], None), run),
                    Sample::new("no batch", operands(&[3, 4], &[3, 2, 3], None), run),
                    Sample::new("dilated", operands(&[1, 2, 5], &[2, 3, 2], None), |v| {
                        v[0].conv_transpose1d(
                            &v[1],
                            None,
                            turned().dilation(3).output_padding(2).padding(1),
                        )
                    }),
                ]
            },
            || {
                vec![fails!("nothing left", Shape, "nothing is left of an input of 1", {
                    Tensor::zeros([1, 1, 1]).conv_transpose1d(
                        Tensor::zeros([1, 1, 3]),
                        None,
                        turned().padding(2),
                    )
                })]
            },
        ),
        row(
            "conv_transpose2d",
            "x.conv_transpose2d(&weight, Some(&bias), ConvTransposeOptions::new().stride(2))",
            back,
            "torch.nn.functional.conv_transpose2d",
            "ConvTranspose",
            transpose2d,
            || {
                vec![
                    fails!("channels", Shape, "takes 4 channels, the input has 3", {
                        Tensor::zeros([1, 3, 4, 4]).conv_transpose2d(
                            Tensor::zeros([4, 3, 2, 2]),
                            None,
                            turned(),
                        )
                    }),
                    fails!("output padding", Argument, "an output padding of 2x2", {
                        Tensor::zeros([1, 4, 4, 4]).conv_transpose2d(
                            Tensor::zeros([4, 3, 2, 2]),
                            None,
                            turned().stride(2).output_padding(2),
                        )
                    }),
                ]
            },
        ),
        row(
            "conv_transpose3d",
            "x.conv_transpose3d(&weight, Some(&bias), ConvTransposeOptions::new())",
            back,
            "torch.nn.functional.conv_transpose3d",
            "ConvTranspose",
            || {
                vec![
                    Sample::new("plain", operands(&[1, 2, 2, 3, 2], &[2, 2, 2, 2, 3], None), |v| {
                        v[0].conv_transpose3d(&v[1], None, turned())
                    }),
                    Sample::new(
                        "stride",
                        operands(&[1, 2, 2, 2, 2], &[2, 1, 2, 3, 2], Some(1)),
                        |v| {
                            let o = turned().stride([2, 1, 3]).padding([0, 1, 0]);
                            v[0].conv_transpose3d(&v[1], Some(&v[2] as &dyn Operand), o)
                        },
                    ),
                ]
            },
            || {
                vec![fails!("weight", Shape, "the weight has 4 axes", {
                    Tensor::zeros([1, 1, 2, 2, 2]).conv_transpose3d(
                        Tensor::zeros([1, 1, 2, 2]),
                        None,
                        turned(),
                    )
                })]
            },
        ),
    ]
}

fn conv1d() -> Vec<Sample> {
    let run: Call = |v| v[0].conv1d(&v[1], None, options());
    let of = |label, x: &[usize], w: &[usize], call: Call| {
        Sample::new(label, operands(x, w, None), call)
    };
    vec![
        of("plain", &[2, 3, 9], &[4, 3, 3], run),
        of("no batch", &[3, 9], &[4, 3, 3], run),
        of("one element", &[1, 1, 1], &[1, 1, 1], run),
        of("stride beyond the window", &[2, 1, 11], &[2, 1, 2], |v| {
            v[0].conv1d(&v[1], None, options().stride(4))
        }),
        of("same, even kernel", &[1, 2, 7], &[3, 2, 4], |v| {
            v[0].conv1d(&v[1], None, options().padding(Padding::Same))
        }),
        of("long", &[1, 2, 1500], &[3, 2, 3], run),
        Sample::new("bias", operands(&[2, 3, 9], &[4, 3, 3], Some(4)), |v| {
            v[0].conv1d(&v[1], Some(&v[2] as &dyn Operand), options().padding(1).dilation(2))
        }),
    ]
}

fn conv2d() -> Vec<Sample> {
    let run: Call = |v| v[0].conv2d(&v[1], None, options());
    let padded: Call = |v| v[0].conv2d(&v[1], None, options().padding(1));
    let of = |label, x: &[usize], w: &[usize], call: Call| {
        Sample::new(label, operands(x, w, None), call)
    };
    let (inf, nan) = (f32::INFINITY, f32::NAN);
    vec![
        of("plain", &[2, 3, 6, 5], &[4, 3, 3, 2], run),
        of("no batch", &[3, 6, 5], &[4, 3, 3, 2], run),
        of("padding", &[2, 3, 5, 5], &[4, 3, 3, 3], padded),
        of("one by one", &[2, 5, 3, 3], &[4, 5, 1, 1], run),
        of("as large as the input", &[2, 3, 4, 4], &[4, 3, 4, 4], run),
        of("a remainder of the stride", &[2, 3, 8, 9], &[4, 3, 3, 3], |v| {
            v[0].conv2d(&v[1], None, options().stride(2).padding(1))
        }),
        of("stride and dilation", &[1, 2, 9, 8], &[3, 2, 2, 3], |v| {
            v[0].conv2d(&v[1], None, options().stride([2, 3]).dilation((3, 2)).padding([2, 1]))
        }),
        of("stride and dilation that share a factor", &[1, 2, 9, 9], &[3, 2, 3, 2], |v| {
            v[0].conv2d(&v[1], None, options().stride(2).dilation(2).padding(1))
        }),
        of("groups", &[2, 6, 5, 4], &[4, 3, 2, 2], |v| {
            v[0].conv2d(&v[1], None, options().groups(2))
        }),
        of("depthwise", &[2, 5, 5, 6], &[10, 1, 3, 3], |v| {
            v[0].conv2d(&v[1], None, options().groups(5).padding(1))
        }),
        of("depthwise, stride", &[2, 5, 7, 6], &[5, 1, 3, 3], |v| {
            v[0].conv2d(&v[1], None, options().groups(5).padding(1).stride(2))
        }),
        of("uneven padding", &[1, 2, 4, 4], &[2, 2, 3, 3], |v| {
            v[0].conv2d(&v[1], None, options().padding(Padding::Each([[0, 2], [1, 0]])))
        }),
        of("same", &[1, 2, 4, 5], &[2, 2, 4, 3], |v| {
            v[0].conv2d(&v[1], None, options().padding(Padding::Same).dilation(2))
        }),
        of("reflected", &[1, 2, 4, 5], &[2, 2, 3, 3], |v| {
            v[0].conv2d(&v[1], None, options().padding([1, 2]).padding_mode(Pad::Reflect))
        }),
        of("replicated", &[1, 2, 4, 5], &[2, 2, 3, 3], |v| {
            v[0].conv2d(&v[1], None, options().padding(2).padding_mode(Pad::Replicate).stride(2))
        }),
        of("circular", &[1, 2, 4, 5], &[2, 2, 3, 3], |v| {
            v[0].conv2d(&v[1], None, options().padding(Padding::Same).padding_mode(Pad::Circular))
        }),
        Sample::new("bias, then relu", operands(&[2, 3, 5, 5], &[4, 3, 3, 3], Some(4)), |v| {
            v[0].conv2d(&v[1], Some(&v[2] as &dyn Operand), options().padding(1)).relu()
        }),
        of("of a view", &[2, 6, 7, 3], &[3, 4, 2, 3], |v| {
            let x = v[0].permute([0, 3, 1, 2]).flip(2);
            x.conv2d(v[1].transpose(0, 1).slice(0, 0, 4, 1), None, options())
        }),
        Sample::new("with itself", vec![any(&[2, 2, 3, 3], 3)], |v| {
            v[0].conv2d(&v[0], None, options().padding(1))
        }),
        of("many channels", &[2, 70, 4, 4], &[50, 70, 3, 3], padded),
        of("no images", &[0, 3, 5, 5], &[4, 3, 3, 3], padded),
        of("no channels", &[2, 0, 5, 5], &[4, 0, 3, 3], padded),
        of("no results", &[2, 3, 5, 5], &[0, 3, 3, 3], padded),
        Sample::new(
            "infinite",
            vec![exact(&[inf, 1.0f32, 2.0, nan]), exact(&[1.0f32, 2.0])],
            |v| v[0].reshape([1, 1, 2, 2]).conv2d(v[1].reshape([1, 1, 1, 2]), None, options()),
        )
        .kinks(),
    ]
}

fn conv2d_errors() -> Vec<ErrorCase> {
    vec![
        fails!("channels", Shape, "conv2d: the weight takes 3 channels, the input has 4", {
            Tensor::zeros([2, 4, 8, 8]).conv2d(Tensor::zeros([5, 3, 3, 3]), None, options())
        }),
        fails!("channels last", Shape, "conv2d: the weight takes 3 channels, the input has 8", {
            Tensor::zeros([2, 8, 8, 3]).conv2d(Tensor::zeros([5, 3, 3, 3]), None, options())
        }),
        fails!("too large", Shape, "the kernel of 5x9 is larger than the padded input of 6x6", {
            let o = options().padding(1).dilation([1, 2]);
            Tensor::zeros([2, 3, 4, 4]).conv2d(Tensor::zeros([5, 3, 5, 5]), None, o)
        }),
        fails!("groups of results", Shape, "conv2d: 2 groups do not divide 5 channels", {
            let w = Tensor::zeros([5, 2, 3, 3]);
            Tensor::zeros([2, 4, 8, 8]).conv2d(w, None, options().groups(2))
        }),
        fails!("groups of the input", Shape, "takes 6 channels in 2 groups, the input has 4", {
            let w = Tensor::zeros([4, 3, 3, 3]);
            Tensor::zeros([2, 4, 8, 8]).conv2d(w, None, options().groups(2))
        }),
        fails!("no groups", Argument, "conv2d: groups must be at least 1", {
            let w = Tensor::zeros([4, 4, 3, 3]);
            Tensor::zeros([2, 4, 8, 8]).conv2d(w, None, options().groups(0))
        }),
        fails!("no stride", Argument, "conv2d: a stride is 1 to", {
            let w = Tensor::zeros([4, 4, 3, 3]);
            Tensor::zeros([2, 4, 8, 8]).conv2d(w, None, options().stride([1, 0]))
        }),
        fails!("no dilation", Argument, "conv2d: a dilation is 1 to", {
            let w = Tensor::zeros([4, 4, 3, 3]);
            Tensor::zeros([2, 4, 8, 8]).conv2d(w, None, options().dilation(0))
        }),
        fails!("an empty kernel", Shape, "conv2d: a kernel of 0x3", {
            Tensor::zeros([2, 4, 8, 8]).conv2d(Tensor::zeros([4, 4, 0, 3]), None, options())
        }),
        fails!("input of two axes", Shape, "conv2d: the input has 2 axes, not 3 or 4", {
            Tensor::zeros([8, 8]).conv2d(Tensor::zeros([4, 4, 3, 3]), None, options())
        }),
        fails!("weight of three axes", Shape, "conv2d: the weight has 3 axes, not 4", {
            Tensor::zeros([2, 4, 8, 8]).conv2d(Tensor::zeros([4, 4, 3]), None, options())
        }),
        fails!("bias", Shape, "the bias is [3], but there are 5 output channels", {
            let (w, b) = (Tensor::zeros([5, 4, 3, 3]), Tensor::zeros([3]));
            Tensor::zeros([2, 4, 8, 8]).conv2d(w, Some(&b), options())
        }),
        fails!("two types", DType, "conv2d: the input is f32, the weight i64", {
            let w = Tensor::from([1, 2, 3, 4]).reshape([1, 1, 2, 2]);
            Tensor::zeros([1, 1, 4, 4]).conv2d(w, None, options())
        }),
        fails!("nothing to reflect", Shape, "conv2d: 3 and 3 do not fit axis 3", {
            let o = options().padding(3).padding_mode(Pad::Reflect);
            Tensor::zeros([1, 1, 3, 3]).conv2d(Tensor::zeros([1, 1, 3, 3]), None, o)
        }),
    ]
}

fn conv3d() -> Vec<Sample> {
    vec![
        Sample::new("plain", operands(&[1, 2, 4, 3, 5], &[2, 2, 2, 3, 2], None), |v| {
            v[0].conv3d(&v[1], None, options())
        }),
        Sample::new("no batch", operands(&[2, 3, 3, 4], &[2, 2, 2, 2, 2], None), |v| {
            v[0].conv3d(&v[1], None, options())
        }),
        Sample::new("all settings", operands(&[1, 4, 4, 5, 4], &[4, 2, 2, 3, 2], Some(4)), |v| {
            let o = options().stride([2, 1, 2]).padding([1, 2, 0]).dilation([1, 2, 2]);
            v[0].conv3d(&v[1], Some(&v[2] as &dyn Operand), o.groups(2))
        }),
        Sample::new("same", operands(&[1, 1, 3, 3, 4], &[2, 1, 2, 3, 2], None), |v| {
            v[0].conv3d(&v[1], None, options().padding(Padding::Same))
        }),
    ]
}

fn transpose2d() -> Vec<Sample> {
    let run: Call = |v| v[0].conv_transpose2d(&v[1], None, turned());
    let of = |label, x: &[usize], w: &[usize], call: Call| {
        Sample::new(label, operands(x, w, None), call)
    };
    vec![
        of("plain", &[2, 3, 4, 3], &[3, 4, 3, 2], run),
        of("no batch", &[3, 4, 3], &[3, 4, 3, 2], run),
        of("stride", &[2, 3, 4, 3], &[3, 4, 2, 2], |v| {
            v[0].conv_transpose2d(&v[1], None, turned().stride(2))
        }),
        of("gaps", &[1, 3, 4, 3], &[3, 4, 2, 2], |v| {
            v[0].conv_transpose2d(&v[1], None, turned().stride(3))
        }),
        of("output padding", &[2, 3, 4, 3], &[3, 4, 3, 3], |v| {
            v[0].conv_transpose2d(&v[1], None, turned().stride(2).padding(1).output_padding([1, 0]))
        }),
        of("output padding within the dilation", &[1, 2, 3, 3], &[2, 2, 2, 2], |v| {
            v[0].conv_transpose2d(&v[1], None, turned().dilation(2).output_padding(1))
        }),
        Sample::new("groups and bias", operands(&[2, 4, 3, 3], &[4, 3, 2, 2], Some(6)), |v| {
            let o = turned().groups(2).stride(2).padding(1);
            v[0].conv_transpose2d(&v[1], Some(&v[2] as &dyn Operand), o)
        }),
        of("undone by a convolution of its weight", &[1, 2, 3, 3], &[2, 3, 3, 3], |v| {
            let up = v[0].conv_transpose2d(&v[1], None, turned().stride(2).padding(1));
            up.conv2d(&v[1], None, options().stride(2).padding(1))
        }),
        of("no images", &[0, 3, 4, 3], &[3, 4, 2, 2], run),
    ]
}
