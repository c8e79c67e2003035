//! Rows of tensors made in the shape of another one, from ranges, and of random draws.

use super::arrays::{any, positive, unit, whole};
use super::{ErrorCase, Gradient, Kind, OpRow, Sample, fails};
use crate::tensor::Tensor;

const DATA: Gradient = Gradient::None("it has no operand");
const SHAPE: Gradient = Gradient::None("it uses the shape of its operand only");

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
    [like(), ranges(), draws()].concat()
}

fn like() -> Vec<OpRow> {
    vec![
        row(
            [
                "full_like",
                "x.full_like(0.5)",
                "one value in the shape and type of x (zeros_like, ones_like)",
                "torch.full_like",
            ],
            Kind::Creation,
            SHAPE,
            || {
                vec![
                    Sample::new("floats", vec![any(&[2, 3], 1)], |v| v[0].full_like(0.5)),
                    Sample::new("integers", vec![whole(&[2, 3], 1)], |v| v[0].full_like(-7)),
                    Sample::new("bools", vec![any(&[3], 1)], |v| v[0].gt(0.0).ones_like()),
                    Sample::new("zeros", vec![any(&[], 1)], |v| v[0].zeros_like()),
                    Sample::new("ones", vec![any(&[0, 2], 1)], |v| v[0].ones_like()),
                    Sample::new("used", vec![any(&[3, 2], 1)], |v| {
                        v[0].t().ones_like().matmul(v[0].full_like(2))
                    }),
                ]
            },
            Vec::new,
        ),
        row(
            [
                "from_fn",
                "Tensor::from_fn([2, 3], |at| at[0] + at[1])",
                "a function of the position",
                "torch.tensor",
            ],
            Kind::Creation,
            DATA,
            || {
                vec![
                    made("table", |_| {
                        Tensor::from_fn([2, 3, 4], |at| at[0] * 100 + at[1] * 10 + at[2])
                    }),
                    made("reals", |_| Tensor::from_fn([3], |at| at[0] as f64 / 2.0)),
                    made("scalar", |_| Tensor::from_fn((), |_| true)),
                    made("empty", |_| Tensor::from_fn([2, 0], |at| at[0])),
                ]
            },
            || {
                vec![fails!("too large", Memory, "from_fn", {
                    Tensor::from_fn([1 << 60, 16], |_| 1.0)
                })]
            },
        ),
        row(
            ["tri", "Tensor::tri(3, 0)", "1 on and below a diagonal", "torch.tril"],
            Kind::Creation,
            DATA,
            || {
                vec![
                    made("square", |_| Tensor::tri(4, 0)),
                    made("wide, above", |_| Tensor::tri([3, 5], 1)),
                    made("tall, below", |_| Tensor::tri([5, 3], -2)),
                    made("used", |_| Tensor::tri(5, 0).matmul(Tensor::full([5, 2], 3.0))),
                ]
            },
            || vec![fails!("three sizes", Shape, "tri: [2, 2, 2]", Tensor::tri([2, 2, 2], 0))],
        ),
    ]
}

fn ranges() -> Vec<OpRow> {
    vec![
        row(
            [
                "arange_step",
                "Tensor::arange_step(0.0, 1.0, 0.1)",
                "start + i * step, to before end",
                "torch.arange",
            ],
            Kind::Creation,
            DATA,
            || {
                vec![
                    made("reals", |_| Tensor::arange_step(0.0, 1.0, 0.1)),
                    made("backwards", |_| Tensor::arange_step(5, -2, -3)),
                    made("integers", |_| Tensor::arange_step(0, 10, 4) * 2),
                    made("nothing", |_| Tensor::arange_step(1.0, 1.0, 0.5)),
                ]
            },
            || {
                vec![
                    fails!("no step", Argument, "arange_step: the step is 0", {
                        Tensor::arange_step(0, 3, 0)
                    }),
                    fails!("the wrong way", Argument, "steps of 2 lead from 0 away from -3", {
                        Tensor::arange_step(0, -3, 2)
                    }),
                    fails!("infinite", Argument, "arange_step: 0 to inf", {
                        Tensor::arange_step(0.0, f64::INFINITY, 1.0)
                    }),
                ]
            },
        ),
        row(
            [
                "linspace (tensors)",
                "Tensor::linspace(&start, &end, 5)",
                "evenly spaced, both ends included",
                "torch.linspace",
            ],
            Kind::Creation,
            Gradient::Yes,
            || {
                vec![
                    Sample::new("both", vec![any(&[], 1), any(&[], 2)], |v| {
                        Tensor::linspace(&v[0], &v[1], 5)
                    }),
                    Sample::new("one", vec![any(&[], 1), any(&[], 2)], |v| {
                        Tensor::linspace(&v[0], &v[1], 1)
                    }),
                    Sample::new("a number", vec![any(&[], 2)], |v| Tensor::linspace(0.0, &v[0], 4)),
                ]
            },
            || {
                vec![fails!("a vector", Shape, "linspace: the start is a tensor [2]", {
                    Tensor::linspace(Tensor::zeros([2]), 3.0, 4)
                })]
            },
        ),
        row(
            [
                "logspace",
                "Tensor::logspace(0.0, 3.0, 4, 10.0)",
                "base to the power of evenly spaced exponents",
                "torch.logspace",
            ],
            Kind::Creation,
            DATA,
            || {
                vec![
                    made("ten", |_| Tensor::logspace(-2.0, 2.0, 5, 10.0)),
                    made("one", |_| Tensor::logspace(2.0, 3.0, 1, 2.0)),
                ]
            },
            || {
                vec![fails!("too large", Memory, "too large", {
                    Tensor::logspace(0.0, 1.0, usize::MAX, 10.0)
                })]
            },
        ),
    ]
}

fn draws() -> Vec<OpRow> {
    let random = Kind::Random;
    vec![
        row(
            [
                "uniform",
                "Tensor::uniform([2, 3], low, high)",
                "uniform in [low, high)",
                "torch.rand",
            ],
            random,
            DATA,
            || vec![made("matrix", |_| Tensor::uniform([3, 5], -2.0, 2.0))],
            Vec::new,
        ),
        row(
            [
                "normal",
                "Tensor::normal([2, 3], mean, std)",
                "mean + std * z, z standard normal",
                "torch.normal",
            ],
            random,
            Gradient::Yes,
            || {
                vec![
                    Sample::new("tensors", vec![any(&[3, 1], 1), positive(&[5], 2)], |v| {
                        Tensor::normal([3, 5], &v[0], &v[1])
                    }),
                    made("numbers", |_| Tensor::normal([7], 1.0, 0.5)),
                ]
            },
            || {
                vec![fails!("a mean that is too large", Shape, "normal: ", {
                    Tensor::normal([2], Tensor::zeros([3]), 1.0)
                })]
            },
        ),
        row(
            [
                "exponential",
                "Tensor::exponential([2, 3], rate)",
                "density rate * exp(-rate * x)",
                "torch.Tensor.exponential_",
            ],
            random,
            DATA,
            || vec![made("matrix", |_| Tensor::exponential([3, 5], 2.0))],
            || {
                vec![fails!("a rate of 0", Argument, "exponential: the rate 0", {
                    Tensor::exponential([2], 0.0)
                })]
            },
        ),
        row(
            [
                "rand_like",
                "x.rand_like()",
                "uniform in [0, 1) in the shape of x",
                "torch.rand_like",
            ],
            random,
            SHAPE,
            || {
                vec![
                    Sample::new("uniform", vec![any(&[3, 5], 1)], |v| v[0].rand_like()),
                    Sample::new("normal", vec![any(&[3, 5], 1)], |v| v[0].randn_like()),
                ]
            },
            || {
                vec![fails!("integers", DType, "rand_like: a tensor of i64", {
                    Tensor::from([1]).rand_like()
                })]
            },
        ),
        row(
            [
                "bernoulli",
                "p.bernoulli()",
                "1 with the probability at that place, else 0",
                "torch.bernoulli",
            ],
            random,
            Gradient::None("a draw is not differentiable"),
            || vec![Sample::new("matrix", vec![unit(&[3, 5], 1)], |v| v[0].bernoulli())],
            || {
                vec![fails!("integers", DType, "bernoulli: probabilities of type i64", {
                    Tensor::from([1]).bernoulli()
                })]
            },
        ),
        row(
            [
                "randint",
                "Tensor::randint([2, 3], low, high)",
                "uniform integers from low to before high",
                "torch.randint",
            ],
            random,
            DATA,
            || {
                vec![
                    made("dice", |_| Tensor::randint([3, 5], 1, 7)),
                    made("wide", |_| Tensor::randint([7], -1_000_000_000_000, 1_000_000_000_000)),
                    made("one value", |_| Tensor::randint([2], 3, 4)),
                ]
            },
            || {
                vec![
                    fails!("nothing", Argument, "randint: there is no integer in 3..3", {
                        Tensor::randint([2], 3, 3)
                    }),
                    fails!("too many", Argument, "more than 2^48", {
                        Tensor::randint([2], i64::MIN, i64::MAX)
                    }),
                ]
            },
        ),
        row(
            ["randperm", "Tensor::randperm(5)", "0..n in random order", "torch.randperm"],
            random,
            DATA,
            || {
                vec![
                    made("nine", |_| Tensor::randperm(9)),
                    made("none", |_| Tensor::randperm(0)),
                    made("used", |_| Tensor::randperm(4) * 2),
                ]
            },
            || vec![fails!("too large", Memory, "too large", Tensor::randperm(usize::MAX))],
        ),
        row(
            [
                "multinomial",
                "weights.multinomial(3, true)",
                "random positions by weight",
                "torch.multinomial",
            ],
            random,
            Gradient::None("a draw is not differentiable"),
            || {
                vec![
                    Sample::new("with replacement", vec![unit(&[5], 1)], |v| {
                        v[0].multinomial(9, true)
                    }),
                    Sample::new("without", vec![unit(&[3, 5], 1)], |v| v[0].multinomial(5, false)),
                ]
            },
            || {
                vec![
                    fails!("too many", Argument, "have 2 positive ones, 3 are needed", {
                        Tensor::from([1.0, 0.0, 1.0]).multinomial(3, false)
                    }),
                    fails!("negative", Argument, "of row 1 have -1 at 0", {
                        Tensor::from([[1.0], [-1.0]]).multinomial(1, true)
                    }),
                    fails!("a scalar", Shape, "multinomial: weights []", {
                        Tensor::from(1.0).multinomial(1, true)
                    }),
                ]
            },
        ),
    ]
}
