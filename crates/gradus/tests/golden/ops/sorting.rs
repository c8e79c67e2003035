//! Sorting, searching, counting.

use crate::harness::Family::Exact;
use crate::harness::{Arg, Call, Line, Out, one, rank};
use gradus::{Tensor, Unique};

/// How PyTorch's functions of this family are written here.
pub(crate) fn lines() -> Vec<Line> {
    vec![
        ("argsort", Exact, |c| {
            let (axis, down) = order(c)?;
            one(c.x()?.argsort(axis, down))
        }),
        ("sort", Exact, |c| {
            let (axis, down) = order(c)?;
            let (values, at) = c.x()?.sort(axis, down);
            Ok(vec![values, at])
        }),
        ("msort", Exact, |c| one(c.x()?.msort())),
        ("topk", Exact, |c| {
            let (k, axis) = (c.get(0, "k").size()?, c.get(1, "dim").integer().unwrap_or(-1));
            c.get(3, "sorted");
            let largest = !matches!(c.get(2, "largest"), Arg::Truth(false));
            let (values, at) = c.x()?.topk(k, axis, largest);
            Ok(vec![values, at])
        }),
        ("searchsorted", Exact, |c| {
            let values = match c.get(0, "input") {
                Arg::None => c.get(0, "self"),
                some => some,
            };
            let values = match values {
                Arg::Tensor(t) => t,
                Arg::Real(v) => Tensor::from(v),
                other => Tensor::from(other.integer()? as i64),
            };
            let right =
                c.flag(9, "right") || matches!(c.named("side"), Arg::Text(s) if s == "right");
            if c.flag(9, "out_int32") {
                return Err("positions as i32".into());
            }
            one(match c.named("sorter") {
                Arg::None => c.x()?.searchsorted(&values, right),
                order => c.x()?.searchsorted_by(&order.tensor()?, &values, right),
            })
        }),
        ("bucketize", Exact, |c| {
            if matches!(c.named("out_int32"), Arg::Truth(true)) {
                return Err("positions as i32".into());
            }
            let right = matches!(c.named("right"), Arg::Truth(true));
            one(c.x()?.bucketize(&c.get(0, "boundaries").tensor()?, right))
        }),
        ("isin", Exact, |c| {
            let invert = matches!(c.named("invert"), Arg::Truth(true));
            c.named("assume_unique");
            let of = match c.get(0, "test_elements") {
                Arg::Tensor(t) => t,
                other => Tensor::from(other.real()?),
            };
            let found = c.x()?.isin(&of);
            one(if invert { !found } else { found })
        }),
        ("unique", Exact, |c| {
            c.named("sorted");
            let u = match c.named("dim") {
                Arg::None => c.x()?.unique(),
                axis => c.x()?.unique_dim(axis.integer()?),
            };
            told(c, u)
        }),
        ("unique_consecutive", Exact, |c| {
            let u = match c.named("dim") {
                Arg::None => c.x()?.unique_consecutive(),
                axis => c.x()?.unique_consecutive_dim(axis.integer()?),
            };
            told(c, u)
        }),
    ]
}

/// The axis and whether the order is descending.
fn order(c: &Call) -> Result<(isize, bool), String> {
    c.named("stable");
    let (axis, down) = match (c.get(0, "dim"), c.get(1, "descending")) {
        (Arg::Truth(stable), _) => return Err(format!("stable={stable} as first argument")),
        (axis, down) => (axis, down),
    };
    let _ = rank(&c.x()?);
    Ok((if axis.is_none() { -1 } else { axis.integer()? }, matches!(down, Arg::Truth(true))))
}

/// Those of the results that were asked for.
fn told(c: &Call, u: Unique) -> Out {
    let mut out = vec![u.values];
    if matches!(c.named("return_inverse"), Arg::Truth(true)) {
        out.push(u.inverse);
    }
    if matches!(c.named("return_counts"), Arg::Truth(true)) {
        out.push(u.counts);
    }
    Ok(out)
}
