//! Rows of activations.

use gradus_core::{Array, Result, Tensor};

use super::samples::floats;
use super::{Built, Group, LayerRow, Sample, fails};
use crate::{
    Celu, Elu, Gelu, GeluTanh, Glu, Hardshrink, Hardsigmoid, Hardswish, Hardtanh, LeakyRelu,
    LogSigmoid, LogSoftmax, Maxout, Mish, Prelu, Relu, Relu6, Rrelu, Selu, Sigmoid, Silu, Softmax,
    Softmax2d, Softmin, Softplus, Softshrink, Softsign, SwiGlu, Tanh, Tanhshrink, Threshold,
};

/// Away from the places where some activation has no derivative.
fn smooth() -> Result<Array> {
    Array::new([2, 4], &[-3.4f32, -1.3, -0.7, -0.2, 0.3, 0.8, 1.7, 6.4])
}

/// Rows of activations without parameters.
macro_rules! rows {
    ($($name:ident $signature:literal = $computes:literal, $torch:literal, $make:expr;)*) => {
        vec![$(LayerRow {
            name: stringify!($name),
            signature: $signature,
            computes: $computes,
            parameters: "",
            group: Group::Activation,
            pytorch: $torch,
            samples: || vec![Sample::new("of both signs", || Built::layer($make), || Ok(vec![smooth()?]))],
            errors: Vec::new,
        }),*]
    };
}

pub(super) fn rows() -> Vec<LayerRow> {
    let plain = rows! {
        Relu "Relu" = "max(x, 0)", "torch.nn.ReLU", Relu;
        Tanh "Tanh" = "tanh(x)", "torch.nn.Tanh", Tanh;
        Sigmoid "Sigmoid" = "1 / (1 + e^-x)", "torch.nn.Sigmoid", Sigmoid;
        Gelu "Gelu" = "x Phi(x)", "torch.nn.GELU", Gelu;
        GeluTanh "GeluTanh" = "x Phi(x) by tanh", "torch.nn.GELU(approximate='tanh')", GeluTanh;
        Selu "Selu" = "1.0507 (x where x > 0, else 1.67326 (e^x - 1))", "torch.nn.SELU", Selu;
        Relu6 "Relu6" = "min(max(x, 0), 6)", "torch.nn.ReLU6", Relu6;
        Silu "Silu" = "x / (1 + e^-x)", "torch.nn.SiLU", Silu;
        Mish "Mish" = "x tanh(ln(1 + e^x))", "torch.nn.Mish", Mish;
        Softsign "Softsign" = "x / (1 + |x|)", "torch.nn.Softsign", Softsign;
        LogSigmoid "LogSigmoid" = "-ln(1 + e^-x)", "torch.nn.LogSigmoid", LogSigmoid;
        Hardsigmoid "Hardsigmoid" = "min(max(x + 3, 0), 6) / 6", "torch.nn.Hardsigmoid",
            Hardsigmoid;
        Hardswish "Hardswish" = "x hardsigmoid(x)", "torch.nn.Hardswish", Hardswish;
        Tanhshrink "Tanhshrink" = "x - tanh(x)", "torch.nn.Tanhshrink", Tanhshrink;
        LeakyRelu "LeakyRelu::new(negative_slope)" = "x where x > 0, else negative_slope x",
            "torch.nn.LeakyReLU", LeakyRelu::new(0.1);
        Rrelu "Rrelu::new(lower, upper)" = "leaky ReLU with slopes that are drawn in training",
            "torch.nn.RReLU", Rrelu::default();
        Elu "Elu::new(alpha)" = "x where x > 0, else alpha (e^x - 1)", "torch.nn.ELU",
            Elu::new(0.7);
        Celu "Celu::new(alpha)" = "x where x > 0, else alpha (e^(x / alpha) - 1)",
            "torch.nn.CELU", Celu::new(0.7);
        Softplus "Softplus::new(beta, threshold)" = "ln(1 + e^(beta x)) / beta, or x",
            "torch.nn.Softplus", Softplus::new(2.0, 5.0);
        Threshold "Threshold::new(threshold, value)" = "x where x > threshold, else value",
            "torch.nn.Threshold", Threshold::new(0.1, -2.0);
        Hardtanh "Hardtanh::new(min_val, max_val)" = "min(max(x, min_val), max_val)",
            "torch.nn.Hardtanh", Hardtanh::default();
        Hardshrink "Hardshrink::new(lambd)" = "x where |x| > lambd, else 0",
            "torch.nn.Hardshrink", Hardshrink::default();
        Softshrink "Softshrink::new(lambd)" = "sign(x) max(|x| - lambd, 0)",
            "torch.nn.Softshrink", Softshrink::default();
        Glu "Glu::new(dim)" = "a sigmoid(b), the halves along an axis", "torch.nn.GLU",
            Glu::default();
        Softmax "Softmax::new(dim)" = "e^x / sum(e^x) along an axis", "torch.nn.Softmax",
            Softmax::new(1);
        LogSoftmax "LogSoftmax::new(dim)" = "x - ln(sum(e^x)) along an axis",
            "torch.nn.LogSoftmax", LogSoftmax::new(-1);
        Softmin "Softmin::new(dim)" = "softmax of -x", "torch.nn.Softmin", Softmin::new(0);
    };
    [plain, others()].concat()
}

fn others() -> Vec<LayerRow> {
    vec![
        LayerRow {
            name: "Softmax2d",
            signature: "Softmax2d",
            computes: "softmax of the channels at each place of an image",
            parameters: "",
            group: Group::Activation,
            pytorch: "torch.nn.Softmax2d",
            samples: || {
                vec![Sample::new(
                    "images",
                    || Built::layer(Softmax2d),
                    || Ok(vec![floats([2, 3, 2, 2], 1)?]),
                )]
            },
            errors: || {
                vec![fails!("no image", Shape, "Softmax2d: [2, 3] is no image", {
                    Softmax2d.forward(&Tensor::zeros([2, 3]))
                })]
            },
        },
        LayerRow {
            name: "Prelu",
            signature: "Prelu::new().num_parameters(1).init(0.25)",
            computes: "x where x > 0, else a learned slope times x",
            parameters: "weight [num_parameters]",
            group: Group::Activation,
            pytorch: "torch.nn.PReLU",
            samples: || {
                vec![
                    Sample::new("one slope", || Built::layer(Prelu::new()), || Ok(vec![smooth()?])),
                    Sample::new(
                        "a slope a channel",
                        || Built::layer(Prelu::new().num_parameters(4).init(0.1)),
                        || Ok(vec![smooth()?]),
                    ),
                ]
            },
            errors: || {
                vec![
                    fails!("other channels", Shape, "prelu: slopes [3] for [2, 4]", {
                        Prelu::new().num_parameters(3).forward(&Tensor::zeros([2, 4]))
                    }),
                    fails!("no slope", Argument, "Prelu: there is at least one slope", {
                        Prelu::new().num_parameters(0).forward(&Tensor::zeros([2, 4]))
                    }),
                ]
            },
        },
        LayerRow {
            name: "Maxout",
            signature: "Maxout::new(in_features, out_features, pieces)",
            computes: "the largest of several affine maps: [.., in] -> [.., out]",
            parameters: "linear.weight, linear.bias",
            group: Group::Activation,
            pytorch: "-",
            samples: || {
                vec![Sample::new(
                    "three pieces",
                    || Built::layer(Maxout::new(3, 2, 3)),
                    || Ok(vec![floats([4, 3], 1)?]),
                )]
            },
            errors: || {
                vec![fails!("no pieces", Argument, "Linear: sizes must be at least 1", {
                    Maxout::new(3, 2, 0).forward(&Tensor::zeros([4, 3]))
                })]
            },
        },
        LayerRow {
            name: "SwiGlu",
            signature: "SwiGlu::new(dim, hidden)",
            computes: "down(silu(gate(x)) * up(x)): [.., dim] -> [.., dim]",
            parameters: "gate_proj.weight, up_proj.weight, down_proj.weight",
            group: Group::Activation,
            pytorch: "-",
            samples: || {
                vec![Sample::new(
                    "a batch",
                    || Built::layer(SwiGlu::new(3, 5)),
                    || Ok(vec![floats([4, 3], 1)?]),
                )]
            },
            errors: || {
                vec![fails!("another width", Shape, "matmul: inner sizes differ", {
                    SwiGlu::new(3, 5).forward(&Tensor::zeros([4, 2]))
                })]
            },
        },
    ]
}
