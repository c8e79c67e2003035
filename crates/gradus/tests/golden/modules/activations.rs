//! Activations.

use super::Made;
use crate::harness::{Arg, Call};
use gradus::nn::{
    Celu, Elu, Glu, Hardshrink, Hardswish, Hardtanh, LeakyRelu, LogSigmoid, LogSoftmax, Mish,
    Prelu, Relu6, Rrelu, Selu, Silu, Softmax, Softmax2d, Softmin, Softplus, Softshrink, Softsign,
    Tanhshrink, Threshold,
};

/// A layer of this family.
pub(super) fn make(name: &str, c: &Call) -> Result<Option<Made>, String> {
    let number = |i, name, default| match c.get(i, name) {
        Arg::None => Ok(default),
        some => some.real(),
    };
    Ok(match name {
        "CELU" => Made::layer(Celu::new(number(0, "alpha", 1.0)?)),
        "ELU" => Made::layer(Elu::new(number(0, "alpha", 1.0)?)),
        "GLU" => Made::layer(match c.get(0, "dim") {
            Arg::None => Glu::default(),
            dim => Glu::new(dim.integer()?),
        }),
        "Hardshrink" => Made::layer(Hardshrink::new(number(0, "lambd", 0.5)?)),
        "Hardswish" => Made::layer(Hardswish),
        "Hardtanh" => {
            Made::layer(Hardtanh::new(number(0, "min_val", -1.0)?, number(1, "max_val", 1.0)?))
        }
        "LeakyReLU" => Made::layer(LeakyRelu::new(number(0, "negative_slope", 0.01)?)),
        "LogSigmoid" => Made::layer(LogSigmoid),
        "LogSoftmax" => Made::layer(LogSoftmax::new(c.get(0, "dim").integer()?)),
        "Mish" => Made::layer(Mish),
        "PReLU" => {
            let count = match c.get(0, "num_parameters") {
                Arg::None => 1,
                some => some.size()?,
            };
            Made::layer(Prelu::new().num_parameters(count).init(number(1, "init", 0.25)?))
        }
        "ReLU6" => Made::layer(Relu6),
        "RReLU" => {
            Made::layer(Rrelu::new(number(0, "lower", 1.0 / 8.0)?, number(1, "upper", 1.0 / 3.0)?))
        }
        "SELU" => Made::layer(Selu),
        "SiLU" => Made::layer(Silu),
        "Softmax" => Made::layer(Softmax::new(c.get(0, "dim").integer()?)),
        "Softmax2d" => Made::layer(Softmax2d),
        "Softmin" => Made::layer(Softmin::new(c.get(0, "dim").integer()?)),
        "Softplus" => {
            Made::layer(Softplus::new(number(0, "beta", 1.0)?, number(1, "threshold", 20.0)?))
        }
        "Softshrink" => Made::layer(Softshrink::new(number(0, "lambd", 0.5)?)),
        "Softsign" => Made::layer(Softsign),
        "Tanhshrink" => Made::layer(Tanhshrink),
        "Threshold" => {
            Made::layer(Threshold::new(c.get(0, "threshold").real()?, c.get(1, "value").real()?))
        }
        _ => None,
    })
}
