//! Shapes, joining, cutting.

use crate::harness::Family::{Exact, Sums};
use crate::harness::{Arg, Call, Line, Out, one, rank};
use gradus::{Meshgrid, Tensor};

/// How PyTorch's functions of this family are written here.
pub(crate) fn lines() -> Vec<Line> {
    let rest: Vec<Line> = vec![
        ("reshape", Exact, |c| one(c.x()?.reshape(c.get(0, "shape").integers()?))),
        ("view", Exact, |c| one(c.x()?.view(c.get(0, "shape").integers()?))),
        ("ravel", Exact, |c| one(c.x()?.flatten(0))),
        ("flatten", Exact, |c| {
            let (start, end) = (axis(c, 0, "start_dim", 0)?, axis(c, 1, "end_dim", -1)?);
            one(c.x()?.flatten_dims(start, end))
        }),
        ("unflatten", Exact, |c| {
            one(c.x()?.unflatten(c.get(0, "dim").integer()?, c.get(1, "sizes").integers()?))
        }),
        ("permute", Exact, |c| one(c.x()?.permute(c.get(0, "dims").integers()?))),
        ("transpose", Exact, |c| {
            one(c.x()?.transpose(c.get(0, "dim0").integer()?, c.get(1, "dim1").integer()?))
        }),
        ("movedim", Exact, |c| {
            let (from, to) = (c.get(0, "source").integers()?, c.get(1, "destination").integers()?);
            one(c.x()?.movedim(from.as_slice(), to.as_slice()))
        }),
        ("expand", Exact, |c| one(c.x()?.expand(c.get(0, "shape").integers()?))),
        ("broadcast_to", Exact, |c| one(c.x()?.expand(c.get(0, "size").integers()?))),
        ("expand_as", Exact, |c| one(c.x()?.expand_as(&c.get(0, "other").tensor()?))),
        ("broadcast_tensors", Exact, |c| all(c, Tensor::broadcast_tensors)),
        ("sum_to_size", Sums, |c| {
            let mut sizes = Vec::new();
            for i in 0..c.args.len() {
                sizes.extend(c.get(i, "size").integers()?.iter().map(|&s| s as usize));
            }
            one(c.x()?.sum_to_size(sizes))
        }),
        ("atleast_1d", Exact, |c| each(c, Tensor::atleast_1d)),
        ("atleast_2d", Exact, |c| each(c, Tensor::atleast_2d)),
        ("squeeze", Exact, |c| {
            one(match c.get(0, "dim") {
                Arg::None => c.x()?.squeeze_all(),
                some => c.x()?.squeeze(some.integers()?.as_slice()),
            })
        }),
        ("unsqueeze", Exact, |c| one(c.x()?.unsqueeze(c.get(0, "dim").integer()?))),
        ("nn.functional.channel_shuffle", Exact, |c| {
            one(c.x()?.channel_shuffle(c.get(0, "groups").size()?))
        }),
        ("nn.functional.pixel_shuffle", Exact, |c| {
            one(c.x()?.pixel_shuffle(c.get(0, "upscale_factor").size()?))
        }),
        ("nn.functional.pixel_unshuffle", Exact, |c| {
            one(c.x()?.pixel_unshuffle(c.get(0, "downscale_factor").size()?))
        }),
        ("cat", Exact, |c| joined(c, Tensor::concat)),
        ("stack", Exact, |c| joined(c, Tensor::stack)),
        ("hstack", Exact, |c| joined(c, |t, _| Tensor::hstack(t))),
        ("vstack", Exact, |c| joined(c, |t, _| Tensor::vstack(t))),
        ("dstack", Exact, |c| joined(c, |t, _| Tensor::dstack(t))),
        ("column_stack", Exact, |c| joined(c, |t, _| Tensor::column_stack(t))),
        ("block_diag", Exact, |c| all(c, |t| vec![Tensor::block_diag(t)])),
        ("cartesian_prod", Exact, |c| all(c, |t| vec![Tensor::cartesian_prod(t)])),
        ("meshgrid", Exact, |c| match c.named("indexing") {
            Arg::Text(order) if order == "xy" => all(c, |t| Tensor::meshgrid(t, Meshgrid::Xy)),
            _ => all(c, |t| Tensor::meshgrid(t, Meshgrid::Ij)),
        }),
        ("combinations", Exact, |c| {
            let r = if c.get(0, "r").is_none() { 2 } else { c.get(0, "r").size()? };
            one(c.x()?.combinations(r, c.flag(1, "with_replacement")))
        }),
        ("narrow", Exact, |c| {
            let (axis, start) = (c.get(0, "dim").integer()?, c.get(1, "start"));
            let start = match start {
                Arg::Tensor(t) if rank(&t) > 0 => return Err("positions are numbers here".into()),
                Arg::Tensor(t) if t.dtype().is_ok_and(|d| d == gradus::DType::Bool) => {
                    return Err("positions are numbers here".into());
                }
                Arg::Tensor(t) => t.item().map_err(|e| e.to_string())? as isize,
                start => start.integer()?,
            };
            // Counted from the end, where we take unsigned positions.
            let x = c.x()?;
            let size = x.shape().map_err(|e| e.to_string())?;
            let at = if axis < 0 { axis + size.rank() as isize } else { axis };
            let start = if start < 0 { start + size.dim(at as usize) as isize } else { start };
            let start = usize::try_from(start).map_err(|_| "positions are unsigned, by type")?;
            one(x.narrow(axis, start, c.get(2, "length").size()?))
        }),
        ("slice", Exact, |c| {
            let parts = [c.get(1, "start"), c.get(2, "end"), c.get(3, "step")];
            one(slice(&c.x()?, axis(c, 0, "dim", 0)?, &parts)?)
        }),
        ("select", Exact, |c| {
            one(c.x()?.select(c.get(0, "dim").integer()?, c.get(1, "index").integer()?))
        }),
        ("split", Exact, |c| {
            let axis = axis(c, 1, "dim", 0)?;
            match c.get(0, "split_size_or_sections") {
                Arg::List(_) => split_with_sizes(c),
                size => Ok(c.x()?.split(size.size()?, axis)),
            }
        }),
        ("split_with_sizes", Exact, split_with_sizes),
        ("chunk", Exact, |c| Ok(c.x()?.chunk(c.get(0, "chunks").size()?, axis(c, 1, "dim", 0)?))),
        ("tensor_split", Exact, |c| {
            let axis = axis(c, 1, "dim", 0)?;
            match c.get(0, "sections") {
                Arg::List(places) => {
                    let places: Result<Vec<_>, _> = places.iter().map(Arg::integer).collect();
                    Ok(c.x()?.tensor_split_at(&places?, axis))
                }
                Arg::Tensor(t) => {
                    let places = t.cast(gradus::DType::I64).to_vec::<i64>();
                    let places = places.map_err(|e| e.to_string())?;
                    let places: Vec<isize> = places.into_iter().map(|p| p as isize).collect();
                    Ok(match t.shape().map_err(|e| e.to_string())?.rank() {
                        0 => c.x()?.tensor_split(places[0] as usize, axis),
                        _ => c.x()?.tensor_split_at(&places, axis),
                    })
                }
                count => Ok(c.x()?.tensor_split(count.size()?, axis)),
            }
        }),
        ("unbind", Exact, |c| Ok(c.x()?.unbind(axis(c, 0, "dim", 0)?))),
    ];
    [unary!["mT" Exact mT, "T" Exact T, "t" Exact t], rest].concat()
}

/// An axis, or its default.
pub(super) fn axis(c: &Call, i: usize, name: &str, default: isize) -> Result<isize, String> {
    match c.get(i, name) {
        Arg::None => Ok(default),
        some => some.integer(),
    }
}

/// The tensors of a call: a list, or one an argument.
fn tensors(c: &Call) -> Result<Vec<Tensor>, String> {
    if let Arg::List(parts) = &c.input {
        return parts.iter().map(Arg::tensor).collect();
    }
    let mut out = vec![c.x()?];
    for i in 0..c.args.len() {
        out.push(c.get(i, "").tensor()?);
    }
    Ok(out)
}

fn all(c: &Call, f: fn(&[&Tensor]) -> Vec<Tensor>) -> Out {
    Ok(f(&tensors(c)?.iter().collect::<Vec<_>>()))
}

fn each(c: &Call, f: fn(&Tensor) -> Tensor) -> Out {
    Ok(tensors(c)?.iter().map(f).collect())
}

fn joined(c: &Call, f: fn(&[&Tensor], isize) -> Tensor) -> Out {
    let Arg::List(parts) = &c.input else { return Err("no list".into()) };
    let parts: Vec<Tensor> = parts.iter().map(Arg::tensor).collect::<Result<_, _>>()?;
    one(f(&parts.iter().collect::<Vec<_>>(), axis(c, 0, "dim", 0)?))
}

fn split_with_sizes(c: &Call) -> Out {
    let Arg::List(sizes) = c.get(0, "split_sizes") else { return Err("no sizes".into()) };
    let sizes: Vec<usize> = sizes.iter().map(Arg::size).collect::<Result<_, _>>()?;
    Ok(c.x()?.split_with_sizes(&sizes, axis(c, 1, "dim", 0)?))
}

pub(super) fn slice(x: &Tensor, axis: isize, parts: &[Arg]) -> Result<Tensor, String> {
    let part = |i: usize, default: isize| match parts.get(i) {
        None | Some(Arg::None) => Ok(default),
        Some(arg) => arg.integer(),
    };
    Ok(x.slice(axis, part(0, 0)?, part(1, isize::MAX)?, part(2, 1)?))
}
