//! Statistics of sorted values: median, quantile, mode.

use crate::harness::Family::{Exact, Sums};
use crate::harness::{Arg, Call, Line, Out, one, rank};
use gradus::{Quantile, Tensor};

/// How PyTorch's functions of this family are written here.
pub(crate) fn lines() -> Vec<Line> {
    vec![
        ("median", Exact, |c| match c.get(0, "dim") {
            Arg::None => one(c.x()?.median()),
            dim => pair(c, dim.integer()?, 1, Tensor::median_dim),
        }),
        ("nanmedian", Exact, |c| match c.get(0, "dim") {
            Arg::None => one(c.x()?.nanmedian()),
            dim => pair(c, dim.integer()?, 1, Tensor::nanmedian_dim),
        }),
        ("mode", Exact, |c| pair(c, last(c.get(0, "dim"))?, 1, Tensor::mode_dim)),
        ("kthvalue", Exact, |c| {
            let (k, dim) = (c.get(0, "k").size()?, last(c.get(1, "dim"))?);
            let (values, at) = c.x()?.kthvalue(k, dim);
            kept(c, [values, at], dim, 2)
        }),
        ("quantile", Sums, |c| {
            let between = match c.named("interpolation") {
                Arg::Text(name) => match name.as_str() {
                    "lower" => Quantile::Lower,
                    "higher" => Quantile::Higher,
                    "nearest" => Quantile::Nearest,
                    "midpoint" => Quantile::Midpoint,
                    _ => Quantile::Linear,
                },
                _ => Quantile::Linear,
            };
            let (x, dim) = match c.get(1, "dim") {
                Arg::None => (c.x()?.reshape([-1]), 0),
                dim => (c.x()?, dim.integer()?),
            };
            let keep = c.flag(2, "keepdim") && rank(&x) > 0;
            let at = |q: f64| {
                let y = x.quantile(q, dim, between);
                if keep { y.unsqueeze(dim) } else { y }
            };
            one(match c.get(0, "q") {
                Arg::Tensor(q) => {
                    let q = q.to_array().map_err(|e| e.to_string())?;
                    let all: Vec<Tensor> = q.to_f64().into_iter().map(at).collect();
                    match q.shape().rank() {
                        0 => all[0].clone(),
                        _ => Tensor::stack(&all.iter().collect::<Vec<_>>(), 0),
                    }
                }
                q => at(q.real()?),
            })
        }),
    ]
}

fn last(dim: Arg) -> Result<isize, String> {
    if dim.is_none() { Ok(-1) } else { dim.integer() }
}

fn pair(c: &Call, dim: isize, keep: usize, f: fn(&Tensor, isize) -> (Tensor, Tensor)) -> Out {
    let (values, at) = f(&c.x()?, dim);
    kept(c, [values, at], dim, keep)
}

/// Results with the axis put back, if argument number `i` says so.
fn kept(c: &Call, results: [Tensor; 2], dim: isize, i: usize) -> Out {
    let keep = c.flag(i, "keepdim") && rank(&c.x()?) > 0;
    Ok(results.map(|t| if keep { t.unsqueeze(dim) } else { t }).to_vec())
}
