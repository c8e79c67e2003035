//! Rows of activation functions and of special functions that are composed.

use super::arrays::{any, mild_edges, positive, unit};
use super::elementwise::{Call, one};
use super::{Gradient, Kind, OpRow, Sample, fails};
use crate::tensor::Tensor;

/// Rows of composed operations on one tensor; `words` is what the error of bools says, empty where
/// they count as 0 and 1.
macro_rules! composed {
    ($($name:ident $signature:literal = $formula:literal, $torch:literal, $onnx:expr,
       $make:ident, $words:literal, $x:ident => $call:expr;)*) => {
        &[$(OpRow {
            name: stringify!($name),
            signature: $signature,
            formula: $formula,
            kind: Kind::Elementwise,
            pytorch: $torch,
            onnx: $onnx,
            gradient: Gradient::Yes,
            samples: || {
                let plain: Call = |v| { let $x = &v[0]; $call };
                let mut samples = one($make, [
                    plain,
                    |v| { let $x = &v[0].t(); $call },
                    |v| { let $x = &v[0].flip(-1); $call },
                    |v| { let $x = &v[0].slice(1, 1, isize::MAX, 2); $call },
                    |v| { let $x = &v[0].broadcast_to([2, 4, 3]); $call },
                ]);
                // Where rounding within the composition shows, it is not the last place that counts.
                samples.retain(|s| s.label != "edges");
                samples.push(Sample::new("edges", vec![mild_edges()], plain).kinks());
                samples
            },
            errors: || {
                let of_bool = fails!("of bool", DType, $words, {
                    let $x = &Tensor::from([true, false]);
                    $call
                });
                if $words.is_empty() { Vec::new() } else { vec![of_bool] }
            },
        },)*]
    };
}

const ROWS: &[OpRow] = composed! {
    elu "x.elu(alpha)" = "x where x > 0, else alpha (e^x - 1)", "torch.nn.functional.elu",
        Some("Elu"), any, "", x => x.elu(0.7);
    celu "x.celu(alpha)" = "x where x > 0, else alpha (e^(x / alpha) - 1)",
        "torch.nn.functional.celu", Some("Celu"), any, "", x => x.celu(0.7);
    selu "x.selu()" = "1.0507 (x where x > 0, else 1.67326 (e^x - 1))",
        "torch.nn.functional.selu", Some("Selu"), any, "", x => x.selu();
    softplus "x.softplus(beta)" = "ln(1 + e^(beta x)) / beta", "torch.nn.functional.softplus",
        Some("Softplus"), any, "", x => x.softplus(2.0);
    softplus_threshold "x.softplus_threshold(beta, threshold)" =
        "softplus where beta x <= threshold, else x", "torch.nn.functional.softplus", None, any,
        "", x => x.softplus_threshold(2.0, 3.0);
    log_sigmoid "x.log_sigmoid()" = "-ln(1 + e^-x)", "torch.nn.functional.logsigmoid", None, any,
        "neg: takes f32 or f64", x => x.log_sigmoid();
    softsign "x.softsign()" = "x / (1 + |x|)", "torch.nn.functional.softsign", Some("Softsign"),
        any, "abs: takes f32 or f64", x => x.softsign();
    silu "x.silu()" = "x / (1 + e^-x)", "torch.nn.functional.silu", None, any,
        "sigmoid: takes f32 or f64", x => x.silu();
    mish "x.mish()" = "x tanh(ln(1 + e^x))", "torch.nn.functional.mish", Some("Mish"), any,
        "", x => x.mish();
    hardtanh "x.hardtanh(low, high)" = "min(max(x, low), high)", "torch.nn.functional.hardtanh",
        Some("Clip"), any, "", x => x.hardtanh(-1.0, 1.0);
    relu6 "x.relu6()" = "min(max(x, 0), 6)", "torch.nn.functional.relu6", None, any, "",
        x => x.relu6();
    hardsigmoid "x.hardsigmoid()" = "min(max(x + 3, 0), 6) / 6",
        "torch.nn.functional.hardsigmoid", Some("HardSigmoid"), any, "",
        x => x.hardsigmoid();
    hardswish "x.hardswish()" = "x hardsigmoid(x)", "torch.nn.functional.hardswish",
        Some("HardSwish"), any, "", x => x.hardswish();
    hardshrink "x.hardshrink(lambda)" = "x where |x| > lambda, else 0",
        "torch.nn.functional.hardshrink", Some("Shrink"), any, "", x => x.hardshrink(0.5);
    softshrink "x.softshrink(lambda)" = "sign(x) max(|x| - lambda, 0)",
        "torch.nn.functional.softshrink", Some("Shrink"), any, "", x => x.softshrink(0.5);
    tanhshrink "x.tanhshrink()" = "x - tanh(x)", "torch.nn.functional.tanhshrink", None, any,
        "tanh: takes f32 or f64", x => x.tanhshrink();
    threshold "x.threshold(threshold, value)" = "x where x > threshold, else value",
        "torch.nn.functional.threshold", Some("ThresholdedRelu"), any, "",
        x => x.threshold(0.5, -3.0);
    leaky_relu "x.leaky_relu(slope)" = "x where x > 0, else slope x",
        "torch.nn.functional.leaky_relu", Some("LeakyRelu"), any, "",
        x => x.leaky_relu(0.01);
    polygamma "x.polygamma(n)" = "derivative n of digamma", "torch.polygamma", None, positive,
        "", x => x.polygamma(1);
    entr "x.entr()" = "-x ln x; 0 at 0, -inf below", "torch.special.entr", None, positive,
        "", x => x.entr();
    ndtr "x.ndtr()" = "(1 + erf(x / sqrt 2)) / 2", "torch.special.ndtr", None, any,
        "", x => x.ndtr();
    log_ndtr "x.log_ndtr()" = "ln((1 + erf(x / sqrt 2)) / 2)", "torch.special.log_ndtr", None, any,
        "", x => x.log_ndtr();
    logit "x.logit()" = "ln(x / (1 - x))", "torch.logit", None, unit, "log: takes f32 or f64",
        x => x.logit();
    logit_eps "x.logit_eps(eps)" = "logit of x within eps and 1 - eps", "torch.logit", None, unit,
        "", x => x.logit_eps(0.125);
    sinc "x.sinc()" = "sin(pi x) / (pi x)", "torch.sinc", None, positive, "", x => x.sinc();
    frac "x.frac()" = "x - trunc(x)", "torch.frac", None, any, "trunc: takes f32 or f64",
        x => x.frac();
};

const SHAPED: &[OpRow] = &[
    OpRow {
        name: "prelu",
        signature: "x.prelu(slopes)",
        formula: "x where x > 0, else slope x; a slope for each channel",
        kind: Kind::Elementwise,
        pytorch: "torch.nn.functional.prelu",
        onnx: Some("PRelu"),
        gradient: Gradient::Yes,
        samples: || {
            let run: Call = |v| v[0].prelu(&v[1]);
            vec![
                Sample::new("one slope", vec![any(&[3, 5], 1), unit(&[1], 2)], run),
                Sample::new("a slope each", vec![any(&[3, 5], 1), unit(&[5], 2)], run),
                Sample::new("images", vec![any(&[2, 3, 4, 2], 1), unit(&[3], 2)], run),
                Sample::new("a vector", vec![any(&[7], 1), unit(&[1], 2)], run),
                Sample::new("empty", vec![any(&[0, 3], 1), unit(&[3], 2)], run),
                Sample::new("edges", vec![mild_edges(), unit(&[1], 2)], run).kinks(),
            ]
        },
        errors: || {
            vec![fails!("slopes that are not the channels", Shape, "prelu: slopes [3]", {
                Tensor::zeros([2, 5]).prelu(Tensor::zeros([3]))
            })]
        },
    },
    OpRow {
        name: "softmin",
        signature: "x.softmin(axis)",
        formula: "softmax of -x",
        kind: Kind::Reduction,
        pytorch: "torch.nn.functional.softmin",
        onnx: None,
        gradient: Gradient::Yes,
        samples: || {
            vec![
                Sample::new("rows", vec![any(&[3, 5], 1)], |v| v[0].softmin(-1)),
                Sample::new("columns", vec![any(&[3, 5], 1)], |v| v[0].softmin(0)),
            ]
        },
        errors: || {
            vec![fails!("no such axis", Shape, "softmax: axis 2 does not exist in [2, 5]", {
                Tensor::zeros([2, 5]).softmin(2)
            })]
        },
    },
    OpRow {
        name: "glu",
        signature: "x.glu(axis)",
        formula: "a sigmoid(b), the halves along an axis",
        kind: Kind::Elementwise,
        pytorch: "torch.nn.functional.glu",
        onnx: None,
        gradient: Gradient::Yes,
        samples: || {
            vec![
                Sample::new("rows", vec![any(&[3, 6], 1)], |v| v[0].glu(-1)),
                Sample::new("columns", vec![any(&[4, 5], 1)], |v| v[0].glu(0)),
                Sample::new("empty", vec![any(&[4, 0], 1)], |v| v[0].glu(1)),
            ]
        },
        errors: || {
            vec![
                fails!("an odd size", Shape, "glu: axis 1 of [2, 5] has an odd size", {
                    Tensor::zeros([2, 5]).glu(1)
                }),
                fails!("no such axis", Shape, "glu: axis 2 does not exist in [2, 5]", {
                    Tensor::zeros([2, 5]).glu(2)
                }),
            ]
        },
    },
];

pub(super) fn rows() -> Vec<OpRow> {
    [ROWS, SHAPED].concat()
}
