//! Activations and softmax.

use crate::harness::Family::{Elementwise, Sums};
use crate::harness::{Arg, Call, Line, one};

/// How PyTorch's functions of this family are written here.
pub(crate) fn lines() -> Vec<Line> {
    let rest: Vec<Line> = vec![
        ("nn.functional.gelu", Elementwise, |c| match c.named("approximate") {
            Arg::Text(how) if how == "tanh" => one(c.x()?.gelu_tanh()),
            Arg::Text(how) if how != "none" => Err("the kind of GELU is a method here".into()),
            _ => one(c.x()?.gelu()),
        }),
        ("nn.functional.elu", Elementwise, |c| one(c.x()?.elu(number(c, 0, "alpha", 1.0)?))),
        ("nn.functional.celu", Elementwise, |c| one(c.x()?.celu(number(c, 0, "alpha", 1.0)?))),
        ("nn.functional.softplus", Elementwise, |c| {
            let (beta, threshold) = (number(c, 0, "beta", 1.0)?, number(c, 1, "threshold", 20.0)?);
            one(c.x()?.softplus_threshold(beta, threshold))
        }),
        ("nn.functional.leaky_relu", Elementwise, |c| {
            one(c.x()?.leaky_relu(number(c, 0, "negative_slope", 0.01)?))
        }),
        ("nn.functional.hardtanh", Elementwise, |c| {
            let (low, high) = (number(c, 0, "min_val", -1.0)?, number(c, 1, "max_val", 1.0)?);
            one(c.x()?.hardtanh(low, high))
        }),
        ("nn.functional.hardshrink", Elementwise, |c| {
            one(c.x()?.hardshrink(number(c, 0, "lambd", 0.5)?))
        }),
        ("nn.functional.softshrink", Elementwise, |c| {
            one(c.x()?.softshrink(number(c, 0, "lambd", 0.5)?))
        }),
        ("nn.functional.threshold", Elementwise, |c| {
            let (at, value) = (c.get(0, "threshold").real()?, c.get(1, "value").real()?);
            one(c.x()?.threshold(at, value))
        }),
        ("nn.functional.prelu", Elementwise, |c| one(c.x()?.prelu(c.get(0, "weight").tensor()?))),
        ("nn.functional.glu", Elementwise, |c| {
            let dim = c.get(0, "dim");
            one(c.x()?.glu(if dim.is_none() { -1 } else { dim.integer()? }))
        }),
        ("nn.functional.softmin", Sums, |c| one(c.x()?.softmin(c.get(0, "dim").integer()?))),
        ("softmax", Sums, |c| one(c.x()?.softmax(c.get(0, "dim").integer()?))),
        ("log_softmax", Sums, |c| one(c.x()?.log_softmax(c.get(0, "dim").integer()?))),
    ];
    [
        unary![
        "nn.functional.relu" Elementwise relu,
        "nn.functional.relu6" Elementwise relu6,
        "nn.functional.selu" Elementwise selu,
        "nn.functional.silu" Elementwise silu,
        "nn.functional.mish" Elementwise mish,
        "nn.functional.softsign" Elementwise softsign,
        "nn.functional.hardswish" Elementwise hardswish,
        "nn.functional.hardsigmoid" Elementwise hardsigmoid,
        "nn.functional.tanhshrink" Elementwise tanhshrink,
        "nn.functional.logsigmoid" Elementwise log_sigmoid,
        ],
        rest,
    ]
    .concat()
}

/// A number that has a default.
fn number(c: &Call, i: usize, name: &str, default: f64) -> Result<f64, String> {
    match c.get(i, name) {
        Arg::None => Ok(default),
        some => some.real(),
    }
}
