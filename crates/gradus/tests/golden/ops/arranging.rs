//! Repeating, shifting, padding, diagonals, triangles.

use super::movement::axis;
use crate::harness::Family::{Exact, Sums};
use crate::harness::{Arg, Call, Line, one};
use gradus::{Pad, Tensor};

/// How PyTorch's functions of this family are written here.
pub(crate) fn lines() -> Vec<Line> {
    let rest: Vec<Line> = vec![
        ("flip", Exact, |c| one(c.x()?.flip(c.get(0, "dims").integers()?.as_slice()))),
        ("roll", Exact, |c| {
            let (by, axes) = (c.get(0, "shifts").integers()?, c.get(1, "dims"));
            let axes = if axes.is_none() { Vec::new() } else { axes.integers()? };
            if axes.is_empty() && by.len() == 1 {
                return one(c.x()?.roll_all(by[0]));
            }
            if axes.len() != by.len() || by.is_empty() {
                return Err("an axis for each shift: here by type, one call an axis".into());
            }
            one(by.iter().zip(&axes).fold(c.x()?, |x, (&by, &axis)| x.roll(by, axis)))
        }),
        ("rot90", Exact, |c| {
            let k = if c.get(0, "k").is_none() { 1 } else { c.get(0, "k").integer()? };
            let axes = c.get(1, "dims");
            let axes = if axes.is_none() { vec![0, 1] } else { axes.integers()? };
            match axes[..] {
                [a, b] => one(c.x()?.rot90(k, [a, b])),
                _ => Err("two axes, by type".into()),
            }
        }),
        ("repeat", Exact, |c| one(c.x()?.repeat(counts(c)?))),
        ("tile", Exact, |c| one(c.x()?.tile(counts(c)?))),
        ("repeat_interleave", Exact, |c| {
            let (counts, along) = (c.get(0, "repeats"), c.get(1, "dim"));
            let (x, axis) = match along {
                Arg::None => (c.x()?.reshape([-1]), 0),
                along => (c.x()?, along.integer()?),
            };
            one(match counts {
                Arg::Tensor(t) => x.repeat_interleave_each(&t, axis),
                count => x.repeat_interleave(count.size()?, axis),
            })
        }),
        ("unfold", Exact, |c| {
            let (size, step) = (c.get(1, "size").size()?, c.get(2, "step").size()?);
            one(c.x()?.unfold(c.get(0, "dimension").integer()?, size, step))
        }),
        ("nn.functional.pad", Sums, |c| {
            let value = if c.get(2, "value").is_none() { 0.0 } else { c.get(2, "value").real()? };
            let mode = match c.get(1, "mode") {
                Arg::Text(mode) if mode == "reflect" => Pad::Reflect,
                Arg::Text(mode) if mode == "replicate" => Pad::Replicate,
                Arg::Text(mode) if mode == "circular" => Pad::Circular,
                _ => Pad::Constant(value),
            };
            one(c.x()?.pad(c.get(0, "pad").integers()?, mode))
        }),
        ("tril", Exact, |c| one(c.x()?.tril(axis(c, 0, "diagonal", 0)?))),
        ("triu", Exact, |c| one(c.x()?.triu(axis(c, 0, "diagonal", 0)?))),
        ("tril_indices", Exact, |c| {
            let (rows, columns) = (c.input.size()?, c.get(0, "col").size()?);
            one(Tensor::tril_indices(rows, columns, axis(c, 1, "offset", 0)?))
        }),
        ("triu_indices", Exact, |c| {
            let (rows, columns) = (c.input.size()?, c.get(0, "col").size()?);
            one(Tensor::triu_indices(rows, columns, axis(c, 1, "offset", 0)?))
        }),
        ("diag", Exact, |c| one(c.x()?.diag(axis(c, 0, "diagonal", 0)?))),
        ("diagflat", Exact, |c| one(c.x()?.diagflat(axis(c, 0, "offset", 0)?))),
        ("diag_embed", Exact, |c| {
            let (offset, [a, b]) = plane(c, [-2, -1])?;
            one(c.x()?.diag_embed(offset, a, b))
        }),
        ("diagonal", Exact, |c| {
            let (offset, [a, b]) = plane(c, [0, 1])?;
            one(c.x()?.diagonal(offset, a, b))
        }),
        ("linalg.diagonal", Exact, |c| {
            let (offset, [a, b]) = plane(c, [-2, -1])?;
            one(c.x()?.diagonal(offset, a, b))
        }),
        ("slice_scatter", Exact, |c| {
            let (start, end) = (axis(c, 2, "start", 0)?, axis(c, 3, "end", isize::MAX)?);
            let (along, step) = (axis(c, 1, "dim", 0)?, axis(c, 4, "step", 1)?);
            one(c.x()?.slice_scatter(&c.get(0, "src").tensor()?, along, start, end, step))
        }),
        ("select_scatter", Exact, |c| {
            let (axis, index) = (c.get(1, "dim").integer()?, c.get(2, "index").integer()?);
            one(c.x()?.select_scatter(&c.get(0, "src").tensor()?, axis, index))
        }),
    ];
    [unary!["fliplr" Exact fliplr, "flipud" Exact flipud, "trace" Sums trace], rest].concat()
}

/// Counts of repetitions: one list, or one an argument.
fn counts(c: &Call) -> Result<Vec<usize>, String> {
    let mut out = Vec::new();
    for i in 0..c.args.len().max(1) {
        for count in c.get(i, "dims").integers()? {
            out.push(usize::try_from(count).map_err(|_| "counts are unsigned here, by type")?);
        }
    }
    Ok(out)
}

/// The offset and the two axes of a diagonal.
fn plane(c: &Call, [a, b]: [isize; 2]) -> Result<(isize, [isize; 2]), String> {
    let offset = axis(c, 0, "offset", 0)?;
    Ok((offset, [axis(c, 1, "dim1", a)?, axis(c, 2, "dim2", b)?]))
}
