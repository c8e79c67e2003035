//! Rows of random tensors, and of those made from nothing.

use super::arrays::any;
use super::{ErrorCase, Gradient, Kind, OpRow, Sample, fails};
use crate::tensor::Tensor;

const DATA: Gradient = Gradient::None("it has no operand");

/// A row of this file, without ONNX name.
const fn row(
    [name, signature, formula, pytorch]: [&'static str; 4],
    kind: Kind,
    gradient: Gradient,
    samples: fn() -> Vec<Sample>,
    errors: fn() -> Vec<ErrorCase>,
) -> OpRow {
    OpRow { name, signature, formula, kind, pytorch, onnx: None, gradient, samples, errors }
}

fn made(label: &'static str, run: fn(&[Tensor]) -> Tensor) -> Sample {
    Sample::new(label, Vec::new(), run)
}

pub(super) fn rows() -> Vec<OpRow> {
    let random = Kind::Random;
    vec![
        OpRow {
            onnx: Some("RandomUniform"),
            ..row(
                ["rand", "Tensor::rand([2, 3])", "uniform in [0, 1)", "torch.rand"],
                random,
                DATA,
                || {
                    vec![
                        made("matrix", |_| Tensor::rand([3, 5])),
                        made("scalar", |_| Tensor::rand(())),
                        made("long", |_| Tensor::rand([1031])),
                        made("empty", |_| Tensor::rand([0])),
                        made("in an expression", |_| (Tensor::rand([3, 5]) * 2.0 - 1.0).t()),
                        made("summed", |_| Tensor::rand([3, 37]).sum_dim(1)),
                        made("a view of it", |_| Tensor::rand([5, 7]).t().flip(0).exp()),
                        made("broadcast", |_| Tensor::rand([5, 1]).broadcast_to([5, 4]) * 2.0),
                    ]
                },
                || vec![fails!("too large", Memory, "random", Tensor::rand([usize::MAX, 2]))],
            )
        },
        OpRow {
            onnx: Some("RandomNormal"),
            ..row(
                ["randn", "Tensor::randn([2, 3])", "standard normal", "torch.randn"],
                random,
                DATA,
                || {
                    vec![
                        made("matrix", |_| Tensor::randn([3, 5])),
                        made("long", |_| Tensor::randn([1031])),
                        made("two draws differ", |_| Tensor::randn([7]) - Tensor::randn([7])),
                        made("one draw twice", |_| {
                            let x = Tensor::randn([7]);
                            &x - &x.flip(0)
                        }),
                    ]
                },
                || vec![fails!("nine axes", Shape, "at most 8 axes", Tensor::randn(vec![1; 9]))],
            )
        },
        row(
            [
                "dropout",
                "x.dropout(p)",
                "0 with probability p, else x / (1 - p)",
                "torch.nn.functional.dropout",
            ],
            random,
            Gradient::Yes,
            || {
                vec![
                    Sample::new("half", vec![any(&[3, 5], 1)], |v| v[0].dropout(0.5)),
                    Sample::new("none", vec![any(&[7], 1)], |v| v[0].dropout(0.0)),
                    Sample::new("all", vec![any(&[7], 1)], |v| v[0].dropout(1.0)),
                    Sample::new("a view", vec![any(&[5, 7], 1)], |v| v[0].t().dropout(0.3)),
                    Sample::new("evaluation", vec![any(&[7], 1)], |v| {
                        crate::mode::inference(|| v[0].dropout(0.5)) + &v[0]
                    }),
                    Sample::new("long", vec![any(&[1031], 1)], |v| v[0].dropout(0.1).tanh()),
                ]
            },
            || {
                vec![
                    fails!("no probability", Argument, "dropout: the probability 1.5", {
                        Tensor::zeros([2]).dropout(1.5)
                    }),
                    fails!("NaN", Argument, "dropout: the probability", {
                        Tensor::zeros([2]).dropout(f64::NAN)
                    }),
                    fails!("of integers", DType, "dropout: ", Tensor::from([1]).dropout(0.5)),
                ]
            },
        ),
        OpRow {
            onnx: Some("Range"),
            ..row(
                [
                    "arange",
                    "Tensor::arange(0, 5)",
                    "integers from start to before end",
                    "torch.arange",
                ],
                Kind::Creation,
                DATA,
                || {
                    vec![
                        made("from 0", |_| Tensor::arange(0, 7)),
                        made("from -3", |_| Tensor::arange(-3, 4)),
                        made("nothing", |_| Tensor::arange(4, 1)),
                        made("used", |_| Tensor::arange(0, 6).reshape([2, 3]).t() * 2),
                        made("summed", |_| Tensor::arange(0, 37).sum()),
                        made("a slice of it", |_| Tensor::arange(0, 9).slice(0, 7, 0, -3) + 1),
                    ]
                },
                || {
                    vec![fails!(
                        "too large",
                        Memory,
                        "arange: ",
                        Tensor::arange(i64::MIN, i64::MAX)
                    )]
                },
            )
        },
        row(
            [
                "full",
                "Tensor::full([2, 3], 0.5)",
                "one value everywhere (zeros, ones)",
                "torch.full",
            ],
            Kind::Creation,
            DATA,
            || {
                vec![
                    made("matrix", |_| Tensor::full([2, 3], 0.5)),
                    made("scalar", |_| Tensor::full((), -1.0)),
                    made("zeros", |_| Tensor::zeros([3])),
                    made("ones", |_| Tensor::ones([3, 0])),
                    made("used", |_| Tensor::ones([3, 4]).t().matmul(Tensor::full([3, 2], 2.0))),
                    made("summed", |_| Tensor::full([3, 37], 0.1).sum_dim(1)),
                ]
            },
            || vec![fails!("too large", Memory, "too large", Tensor::zeros([1 << 60, 16]))],
        ),
        row(
            [
                "linspace",
                "Tensor::linspace(0.0, 1.0, 5)",
                "evenly spaced, both ends included",
                "torch.linspace",
            ],
            Kind::Creation,
            DATA,
            || {
                vec![
                    made("five", |_| Tensor::linspace(-1.0, 1.0, 5)),
                    made("one", |_| Tensor::linspace(2.0, 3.0, 1)),
                    made("none", |_| Tensor::linspace(2.0, 3.0, 0)),
                ]
            },
            || {
                vec![fails!(
                    "too large",
                    Memory,
                    "too large",
                    Tensor::linspace(0.0, 1.0, usize::MAX)
                )]
            },
        ),
        OpRow {
            onnx: Some("EyeLike"),
            ..row(
                ["eye", "Tensor::eye(3)", "1 on the diagonal", "torch.eye"],
                Kind::Creation,
                DATA,
                || {
                    vec![
                        made("three", |_| Tensor::eye(3)),
                        made("none", |_| Tensor::eye(0)),
                        made("used", |_| Tensor::eye(5).matmul(Tensor::full([5, 2], 3.0))),
                    ]
                },
                || vec![fails!("too large", Memory, "too large", Tensor::eye(usize::MAX))],
            )
        },
    ]
}
