//! Activations and softmax.

use crate::harness::Family::{Elementwise, Sums};
use crate::harness::{Arg, Line, one};

/// How PyTorch's functions of this family are written here.
pub(crate) fn lines() -> Vec<Line> {
    let rest: Vec<Line> = vec![
        ("nn.functional.gelu", Elementwise, |c| match c.named("approximate") {
            Arg::Text(how) if how == "tanh" => one(c.x()?.gelu_tanh()),
            Arg::Text(how) if how != "none" => Err("the kind of GELU is a method here".into()),
            _ => one(c.x()?.gelu()),
        }),
        ("softmax", Sums, |c| one(c.x()?.softmax(c.get(0, "dim").integer()?))),
        ("log_softmax", Sums, |c| one(c.x()?.log_softmax(c.get(0, "dim").integer()?))),
    ];
    [
        unary![
        "nn.functional.relu" Elementwise relu
        ],
        rest,
    ]
    .concat()
}
