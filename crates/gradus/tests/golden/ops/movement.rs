//! Shapes, joining, cutting.

use crate::harness::Family::Exact;
use crate::harness::{Arg, Call, Line, Out, dims, one, rank};
use gradus::Tensor;

/// How PyTorch's functions of this family are written here.
pub(crate) fn lines() -> Vec<Line> {
    let rest: Vec<Line> = vec![
        ("reshape", Exact, |c| reshape(&c.x()?, &c.get(0, "shape").integers()?)),
        ("view", Exact, |c| reshape(&c.x()?, &c.get(0, "shape").integers()?)),
        ("ravel", Exact, |c| one(c.x()?.flatten(0))),
        ("flatten", Exact, |c| {
            let (start, end) = (c.get(0, "start_dim"), c.get(1, "end_dim"));
            match (start, end) {
                (Arg::None, Arg::None) => one(c.x()?.flatten(0)),
                (start, Arg::None | Arg::Integer(-1)) => one(c.x()?.flatten(start.integer()?)),
                _ => Err("flattening up to an axis before the last".into()),
            }
        }),
        ("permute", Exact, |c| permute(&c.x()?, &c.get(0, "dims").integers()?)),
        ("transpose", Exact, |c| {
            one(c.x()?.transpose(c.get(0, "dim0").integer()?, c.get(1, "dim1").integer()?))
        }),
        ("t", Exact, |c| match rank(&c.x()?) {
            2 => one(c.x()?.t()),
            0 | 1 => Err("the transpose of a vector".into()),
            _ => Err("`t` swaps the last two of any number of axes".into()),
        }),
        ("T", Exact, |c| {
            let order: Vec<isize> = (0..rank(&c.x()?) as isize).rev().collect();
            permute(&c.x()?, &order)
        }),
        ("expand", Exact, |c| expand(c, "shape")),
        ("broadcast_to", Exact, |c| expand(c, "size")),
        ("cat", Exact, |c| {
            let Arg::List(parts) = &c.input else { return Err("no list".into()) };
            let parts: Vec<Tensor> = parts.iter().map(Arg::tensor).collect::<Result<_, _>>()?;
            let axis = match c.get(0, "dim") {
                Arg::None => 0,
                some => some.integer()?,
            };
            one(Tensor::concat(&parts.iter().collect::<Vec<_>>(), axis))
        }),
        ("stack", Exact, |c| {
            let Arg::List(parts) = &c.input else { return Err("no list".into()) };
            let parts: Vec<Tensor> = parts.iter().map(Arg::tensor).collect::<Result<_, _>>()?;
            let axis = c.get(0, "dim").integer().unwrap_or(0);
            one(Tensor::stack(&parts.iter().collect::<Vec<_>>(), axis))
        }),
        ("flip", Exact, |c| {
            let axes = c.get(0, "dims").integers()?;
            one(axes.iter().fold(c.x()?, |x, &a| x.flip(a)))
        }),
        ("squeeze", Exact, |c| {
            let x = c.x()?;
            let all: Vec<isize> = (0..rank(&x) as isize).collect();
            one(match c.get(0, "dim") {
                Arg::None => squeeze(&x, &all),
                some => squeeze(&x, &some.integers()?),
            })
        }),
        ("unsqueeze", Exact, |c| one(c.x()?.unsqueeze(c.get(0, "dim").integer()?))),
        ("narrow", Exact, |c| {
            let (axis, start) = (c.get(0, "dim").integer()?, c.get(1, "start").size()?);
            one(c.x()?.narrow(axis, start, c.get(2, "length").size()?))
        }),
        ("slice", Exact, |c| {
            let axis = c.get(0, "dim").integer().unwrap_or(0);
            let parts = [c.get(1, "start"), c.get(2, "end"), c.get(3, "step")];
            one(slice(&c.x()?, axis, &parts)?)
        }),
        ("select", Exact, |c| {
            one(select(&c.x()?, c.get(0, "dim").integer()?, c.get(1, "index").integer()?))
        }),
    ];
    [
        unary![
        "mT" Exact t
        ],
        rest,
    ]
    .concat()
}

fn reshape(x: &Tensor, sizes: &[isize]) -> Out {
    one(match *sizes {
        [] => x.reshape([]),
        [a] => x.reshape([a]),
        [a, b] => x.reshape([a, b]),
        [a, b, c] => x.reshape([a, b, c]),
        [a, b, c, d] => x.reshape([a, b, c, d]),
        _ => return Err("more than four sizes".into()),
    })
}

fn permute(x: &Tensor, order: &[isize]) -> Out {
    one(match *order {
        [] => x.permute([]),
        [a] => x.permute([a]),
        [a, b] => x.permute([a, b]),
        [a, b, c] => x.permute([a, b, c]),
        [a, b, c, d] => x.permute([a, b, c, d]),
        [a, b, c, d, e] => x.permute([a, b, c, d, e]),
        _ => return Err("more than five axes".into()),
    })
}

fn expand(c: &Call, name: &str) -> Out {
    let x = c.x()?;
    let sizes = c.get(0, name).integers()?;
    let new = sizes.len() - rank(&x).min(sizes.len());
    let size = |(i, &s): (usize, &isize)| match s {
        -1 if i >= new => dims(&x)[i - new],
        s => s as usize,
    };
    let sizes: Vec<usize> = sizes.iter().enumerate().map(size).collect();
    one(x.broadcast_to(sizes))
}

fn squeeze(x: &Tensor, axes: &[isize]) -> Tensor {
    let mut axes: Vec<isize> =
        axes.iter().map(|&a| if a < 0 { a + rank(x) as isize } else { a }).collect();
    axes.sort_unstable();
    axes.iter().rev().fold(x.clone(), |x, &a| x.squeeze(a))
}

pub(super) fn select(x: &Tensor, axis: isize, index: isize) -> Tensor {
    let end = if index == -1 { isize::MAX } else { index + 1 };
    x.slice(axis, index, end, 1).squeeze(axis)
}

pub(super) fn slice(x: &Tensor, axis: isize, parts: &[Arg]) -> Result<Tensor, String> {
    let part = |i: usize, default: isize| match parts.get(i) {
        None | Some(Arg::None) => Ok(default),
        Some(arg) => arg.integer(),
    };
    Ok(x.slice(axis, part(0, 0)?, part(1, isize::MAX)?, part(2, 1)?))
}
