//! Tensors from numbers.

use crate::harness::Family::{Elementwise, Exact};
use crate::harness::{Arg, Call, Line, one};
use gradus::{Number, Tensor};

/// The sizes that a call starts with.
fn sizes(c: &Call) -> Result<Vec<usize>, String> {
    Ok(c.input.integers()?.iter().map(|&s| s as usize).collect())
}

/// A number; all samples are f32.
fn number(arg: &Arg) -> Result<Number, String> {
    Ok(Number::Real(arg.real()?))
}

/// How PyTorch's functions of this family are written here.
pub(crate) fn lines() -> Vec<Line> {
    vec![
        ("linspace", Elementwise, |c| {
            let (start, end) = (c.input.operand()?, c.get(0, "end").operand()?);
            one(Tensor::linspace(&*start, &*end, c.get(1, "steps").size()?))
        }),
        ("arange", Exact, |c| {
            let (start, end) = match c.get(0, "end") {
                Arg::None => (Number::Real(0.0), number(&c.input)?),
                end => (number(&c.input)?, number(&end)?),
            };
            match c.get(1, "step") {
                Arg::None => one(Tensor::arange(start, end)),
                step => one(Tensor::arange_step(start, end, number(&step)?)),
            }
        }),
        ("eye", Exact, |c| {
            let n = c.input.size()?;
            match c.get(0, "m") {
                Arg::None => one(Tensor::eye(n)),
                m => one(Tensor::eye([n, m.size()?])),
            }
        }),
        ("full", Exact, |c| one(Tensor::full(sizes(c)?, c.get(0, "fill_value").real()?))),
        ("ones", Exact, |c| one(Tensor::ones(sizes(c)?))),
        ("zeros", Exact, |c| one(Tensor::zeros(sizes(c)?))),
        ("full_like", Exact, |c| one(c.x()?.full_like(c.get(0, "fill_value").real()?))),
        ("fill", Exact, |c| match c.get(0, "value") {
            Arg::Tensor(_) => Err("a tensor where we take a number".into()),
            Arg::Truth(v) => one(c.x()?.full_like(v)),
            v => one(c.x()?.full_like(v.real()?)),
        }),
        ("ones_like", Exact, |c| one(c.x()?.ones_like())),
        ("zeros_like", Exact, |c| one(c.x()?.zeros_like())),
    ]
}
