//! Cumulative sums, products, extrema.

use crate::harness::Family::{Exact, Sums};
use crate::harness::{Call, Line, Out, one};
use gradus::Tensor;

/// How PyTorch's functions of this family are written here.
pub(crate) fn lines() -> Vec<Line> {
    vec![
        ("cumsum", Sums, |c| one(c.x()?.cumsum(c.get(0, "dim").integer()?))),
        ("cumprod", Sums, |c| one(c.x()?.cumprod(c.get(0, "dim").integer()?))),
        ("logcumsumexp", Sums, |c| one(c.x()?.logcumsumexp(c.get(0, "dim").integer()?))),
        ("cummax", Exact, |c| both(c, Tensor::cummax)),
        ("cummin", Exact, |c| both(c, Tensor::cummin)),
    ]
}

fn both(c: &Call, f: fn(&Tensor, isize) -> (Tensor, Tensor)) -> Out {
    let (values, at) = f(&c.x()?, c.get(0, "dim").integer()?);
    Ok(vec![values, at])
}
