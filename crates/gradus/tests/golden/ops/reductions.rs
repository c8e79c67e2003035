//! Sums, means, extrema, variances, over axes.

use crate::harness::Family::{Exact, Sums};
use crate::harness::{Arg, Call, Line, Out, one, rank};
use gradus::{DType, Tensor};

/// How PyTorch's functions of this family are written here.
pub(crate) fn lines() -> Vec<Line> {
    vec![
        ("sum", Sums, |c| reduction(c, |x, a| x.sum_dim(a), |x, a| x.sum_keepdim(a))),
        ("mean", Sums, |c| reduction(c, |x, a| x.mean_dim(a), |x, a| x.mean_keepdim(a))),
        ("amax", Exact, |c| reduction(c, |x, a| x.max_dim(a), |x, a| x.max_keepdim(a))),
        ("amin", Exact, |c| reduction(c, |x, a| x.min_dim(a), |x, a| x.min_keepdim(a))),
        ("aminmax", Exact, |c| {
            let low = reduction(c, |x, a| x.min_dim(a), |x, a| x.min_keepdim(a))?;
            let high = reduction(c, |x, a| x.max_dim(a), |x, a| x.max_keepdim(a))?;
            Ok([low, high].concat())
        }),
        ("any", Exact, |c| {
            let bool = |x: &Tensor| x.cast(DType::Bool);
            let (axes, keep) = c.axes()?;
            let x = bool(&c.x()?);
            one(if keep { x.max_keepdim(axes.as_slice()) } else { x.max_dim(axes.as_slice()) })
        }),
        ("all", Exact, |c| {
            let (axes, keep) = c.axes()?;
            let x = c.x()?.cast(DType::Bool);
            one(if keep { x.min_keepdim(axes.as_slice()) } else { x.min_dim(axes.as_slice()) })
        }),
        ("var", Sums, variance),
        ("max", Exact, |c| extreme(c, true)),
        ("min", Exact, |c| extreme(c, false)),
        ("argmax", Exact, |c| position(c, true)),
        ("argmin", Exact, |c| position(c, false)),
    ]
}

fn extreme(c: &Call, max: bool) -> Out {
    let x = c.x()?;
    let pick = |x: &Tensor| if max { x.max() } else { x.min() };
    match c.get(0, "dim") {
        Arg::None => one(pick(&x)),
        Arg::Tensor(y) => one(if max { x.maximum(&y) } else { x.minimum(&y) }),
        axis => {
            let (a, keep) = (axis.integer()?, c.flag(1, "keepdim"));
            let values = if max { x.max_dim(a) } else { x.min_dim(a) };
            let at = if max { x.argmax(a) } else { x.argmin(a) };
            let keep = keep && rank(&x) > 0;
            Ok(if keep { vec![values.unsqueeze(a), at.unsqueeze(a)] } else { vec![values, at] })
        }
    }
}

fn position(c: &Call, max: bool) -> Out {
    let x = c.x()?;
    let pick = |x: &Tensor, a| if max { x.argmax(a) } else { x.argmin(a) };
    match c.get(0, "dim") {
        Arg::None => one(pick(&x.reshape([-1]), 0)),
        axis => {
            let (a, keep) = (axis.integer()?, c.flag(1, "keepdim"));
            let at = pick(&x, a);
            one(if keep && rank(&x) > 0 { at.unsqueeze(a) } else { at })
        }
    }
}

fn variance(c: &Call) -> Out {
    let x = c.x()?;
    let first = c.get(0, "dim");
    let unbiased = match (&first, &c.named("unbiased")) {
        (Arg::Truth(u), _) | (_, Arg::Truth(u)) => *u,
        _ => true,
    };
    let correction = match c.named("correction") {
        Arg::None => usize::from(unbiased),
        Arg::Integer(v) => usize::try_from(v).map_err(|_| "a negative correction")?,
        _ => return Err("a correction that is not an integer".into()),
    };
    let axes = match first {
        Arg::None | Arg::Truth(_) => (0..rank(&x) as isize).collect(),
        some => some.integers()?,
    };
    let axes = axes.as_slice();
    one(match c.flag(1, "keepdim") {
        true => x.var_keepdim(axes, correction),
        false => x.var_dim(axes, correction),
    })
}

fn reduction(
    c: &Call,
    f: fn(&Tensor, &[isize]) -> Tensor,
    kept: fn(&Tensor, &[isize]) -> Tensor,
) -> Out {
    let (axes, keep) = c.axes()?;
    let x = c.x()?;
    one(if keep { kept(&x, &axes) } else { f(&x, &axes) })
}
