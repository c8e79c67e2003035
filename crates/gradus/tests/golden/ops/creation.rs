//! Tensors from numbers.

use crate::harness::Family::{Elementwise, Exact};
use crate::harness::{Arg, Line, one};
use gradus::{DType, Tensor};

/// How PyTorch's functions of this family are written here.
pub(crate) fn lines() -> Vec<Line> {
    vec![
        ("linspace", Elementwise, |c| {
            let (start, end) = (c.input.real()?, c.get(0, "end").real()?);
            one(Tensor::linspace(start, end, c.get(1, "steps").size()?))
        }),
        ("arange", Exact, |c| {
            let whole = |arg: &Arg| arg.integer().map_err(|_| "a range of real numbers");
            let (start, end) = match c.get(0, "end") {
                Arg::None => (0, whole(&c.input)?),
                end => (whole(&c.input)?, whole(&end)?),
            };
            match c.get(1, "step") {
                Arg::None | Arg::Integer(1) => {
                    one(Tensor::arange(start as i64, end as i64).cast(DType::F32))
                }
                _ => Err("a range with a step".into()),
            }
        }),
        ("eye", Exact, |c| {
            let n = c.input.size()?;
            match c.get(0, "m") {
                Arg::None => one(Tensor::eye(n)),
                _ => Err("an identity that is not square".into()),
            }
        }),
        ("full", Exact, |c| {
            let sizes: Vec<usize> = c.input.integers()?.iter().map(|&s| s as usize).collect();
            one(Tensor::full(sizes, c.get(0, "fill_value").real()?))
        }),
        ("ones", Exact, |c| {
            let sizes: Vec<usize> = c.input.integers()?.iter().map(|&s| s as usize).collect();
            one(Tensor::ones(sizes))
        }),
        ("zeros", Exact, |c| {
            let sizes: Vec<usize> = c.input.integers()?.iter().map(|&s| s as usize).collect();
            one(Tensor::zeros(sizes))
        }),
    ]
}
