//! Sums, means, extrema, variances, over axes.

use crate::harness::Family::{Exact, Sums};
use crate::harness::{Arg, Call, Line, Out, one, rank};
use gradus::Tensor;

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
        ("any", Exact, |c| reduction(c, |x, a| x.any_dim(a), |x, a| x.any_keepdim(a))),
        ("all", Exact, |c| reduction(c, |x, a| x.all_dim(a), |x, a| x.all_keepdim(a))),
        ("prod", Sums, |c| reduction(c, |x, a| x.prod_dim(a), |x, a| x.prod_keepdim(a))),
        ("nansum", Sums, |c| reduction(c, |x, a| x.nansum_dim(a), |x, a| x.nansum_keepdim(a))),
        ("nanmean", Sums, |c| reduction(c, |x, a| x.nanmean_dim(a), |x, a| x.nanmean_keepdim(a))),
        ("logsumexp", Sums, |c| {
            reduction(c, |x, a| x.logsumexp_dim(a), |x, a| x.logsumexp_keepdim(a))
        }),
        ("count_nonzero", Exact, |c| one(c.x()?.count_nonzero_dim(c.axes()?.0.as_slice()))),
        ("std", Sums, |c| {
            let (axes, correction, keep) = spread(c)?;
            let x = c.x()?;
            one(match keep {
                true => x.std_keepdim(axes.as_slice(), correction),
                false => x.std_dim(axes.as_slice(), correction),
            })
        }),
        ("var_mean", Sums, |c| {
            let (axes, correction, keep) = spread(c)?;
            let (var, mean) = c.x()?.var_mean_dim(axes.as_slice(), correction);
            kept(vec![var, mean], &c.x()?, &axes, keep)
        }),
        ("std_mean", Sums, |c| {
            let (axes, correction, keep) = spread(c)?;
            let (std, mean) = c.x()?.std_mean_dim(axes.as_slice(), correction);
            kept(vec![std, mean], &c.x()?, &axes, keep)
        }),
        ("norm", Sums, |c| {
            let p = match c.get(0, "p") {
                Arg::Text(name) if name == "fro" => 2.0,
                Arg::None => 2.0,
                Arg::Text(name) => return Err(format!("the norm `{name}` of a matrix")),
                p => p.real()?,
            };
            norm(c, p)
        }),
        ("linalg.vector_norm", Sums, |c| match c.get(0, "ord") {
            Arg::None => norm(c, 2.0),
            p => norm(c, p.real()?),
        }),
        ("dist", Sums, |c| {
            let (y, p) = (c.get(0, "other").tensor()?, number(c, 1, "p", 2.0)?);
            one(c.x()?.dist(&y, p))
        }),
        ("cdist", Sums, |c| {
            let (y, p) = (c.get(0, "x2").tensor()?, number(c, 1, "p", 2.0)?);
            // Products or differences: a choice of speed there.
            let _ = c.get(2, "compute_mode");
            one(c.x()?.cdist(&y, p))
        }),
        ("nn.functional.pdist", Sums, |c| one(c.x()?.pdist(number(c, 0, "p", 2.0)?))),
        ("nn.functional.pairwise_distance", Sums, |c| {
            let (y, p) = (c.get(0, "x2").tensor()?, number(c, 1, "p", 2.0)?);
            let d = c.x()?.pairwise_distance(&y, p, number(c, 2, "eps", 1e-6)?);
            one(if c.flag(3, "keepdim") { d.unsqueeze(-1) } else { d })
        }),
        ("nn.functional.cosine_similarity", Sums, |c| {
            let y = c.get(0, "x2").tensor()?;
            let dim = number(c, 1, "dim", 1.0)? as isize;
            one(c.x()?.cosine_similarity(&y, dim, number(c, 2, "eps", 1e-8)?))
        }),
        ("nn.functional.normalize", Sums, |c| {
            let (p, dim) = (number(c, 0, "p", 2.0)?, number(c, 1, "dim", 1.0)? as isize);
            one(c.x()?.normalize(p, dim, number(c, 2, "eps", 1e-12)?))
        }),
        ("renorm", Sums, |c| {
            let (p, dim) = (c.get(0, "p").real()?, c.get(1, "dim").integer()?);
            one(c.x()?.renorm(p, dim, c.get(2, "maxnorm").real()?))
        }),
        ("diff", Sums, |c| {
            let dim = number(c, 1, "dim", -1.0)? as isize;
            let more = [c.get(2, "prepend"), c.get(3, "append")];
            let n = match c.get(0, "n") {
                Arg::None => 1,
                n => n.size()?,
            };
            let [before, after] = more.map(|m| m.tensor().ok());
            let x = c.x()?;
            let parts: Vec<&Tensor> =
                [before.as_ref(), Some(&x), after.as_ref()].into_iter().flatten().collect();
            one(Tensor::concat(&parts, dim).diff(n, dim))
        }),
        ("trapezoid", Sums, |c| {
            let dim = dim_of(c)?;
            one(match c.get(0, "x") {
                Arg::None => c.x()?.trapezoid(named(c, "dx", 1.0)?, dim),
                x => c.x()?.trapezoid_at(&x.tensor()?, dim),
            })
        }),
        ("cumulative_trapezoid", Sums, |c| {
            let dim = dim_of(c)?;
            one(match c.get(0, "x") {
                Arg::None => c.x()?.cumulative_trapezoid(named(c, "dx", 1.0)?, dim),
                x => c.x()?.cumulative_trapezoid_at(&x.tensor()?, dim),
            })
        }),
        ("cov", Sums, |c| {
            let correction = named(c, "correction", 1.0)?;
            let [times, weights] = ["fweights", "aweights"].map(|n| c.named(n).tensor().ok());
            one(c.x()?.cov_weighted(correction, times.as_ref(), weights.as_ref()))
        }),
        ("corrcoef", Sums, |c| one(c.x()?.corrcoef())),
        ("histc", Exact, |c| {
            let bins = number(c, 0, "bins", 100.0)? as usize;
            let (low, high) = (number(c, 1, "min", 0.0)?, number(c, 2, "max", 0.0)?);
            one(c.x()?.histc(bins, low, high))
        }),
        ("bincount", Sums, |c| {
            let least = number(c, 1, "minlength", 0.0)? as usize;
            one(match c.get(0, "weights") {
                Arg::None => c.x()?.bincount(least),
                weights => c.x()?.bincount_weighted(&weights.tensor()?, least),
            })
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
        Arg::None => one(if max { x.argmax_flat() } else { x.argmin_flat() }),
        axis => {
            let (a, keep) = (axis.integer()?, c.flag(1, "keepdim"));
            let at = pick(&x, a);
            one(if keep && rank(&x) > 0 { at.unsqueeze(a) } else { at })
        }
    }
}

fn variance(c: &Call) -> Out {
    let (axes, correction, keep) = spread(c)?;
    let x = c.x()?;
    one(match keep {
        true => x.var_keepdim(axes.as_slice(), correction),
        false => x.var_dim(axes.as_slice(), correction),
    })
}

/// The axes of a variance, its correction, and whether the axes stay.
fn spread(c: &Call) -> Result<(Vec<isize>, f64, bool), String> {
    let x = c.x()?;
    let first = c.get(0, "dim");
    let unbiased = match (&first, &c.named("unbiased")) {
        (Arg::Truth(u), _) | (_, Arg::Truth(u)) => *u,
        _ => true,
    };
    let correction = match c.named("correction") {
        Arg::None => f64::from(u8::from(unbiased)),
        some => some.real()?,
    };
    let axes = match first {
        Arg::None | Arg::Truth(_) => (0..rank(&x) as isize).collect(),
        some => some.integers()?,
    };
    Ok((axes, correction, c.flag(1, "keepdim")))
}

/// Results with their axes put back, if they are to stay.
fn kept(results: Vec<Tensor>, x: &Tensor, axes: &[isize], keep: bool) -> Out {
    if !keep {
        return Ok(results);
    }
    let mut axes: Vec<isize> =
        axes.iter().map(|&a| if a < 0 { a + rank(x) as isize } else { a }).collect();
    axes.sort_unstable();
    let put = |t: Tensor| axes.iter().fold(t, |t, &a| t.unsqueeze(a));
    Ok(results.into_iter().map(put).collect())
}

fn norm(c: &Call, p: f64) -> Out {
    let x = c.x()?;
    let axes = match c.get(1, "dim") {
        Arg::None => (0..rank(&x) as isize).collect(),
        Arg::List(v) if v.is_empty() => (0..rank(&x) as isize).collect(),
        some => some.integers()?,
    };
    let axes = axes.as_slice();
    one(if c.flag(2, "keepdim") { x.norm_keepdim(axes, p) } else { x.norm_dim(axes, p) })
}

/// A number that has a default.
fn number(c: &Call, i: usize, name: &str, default: f64) -> Result<f64, String> {
    match c.get(i, name) {
        Arg::None => Ok(default),
        some => some.real(),
    }
}

/// A number that has only a name, and a default.
fn named(c: &Call, name: &str, default: f64) -> Result<f64, String> {
    match c.named(name) {
        Arg::None => Ok(default),
        some => some.real(),
    }
}

fn dim_of(c: &Call) -> Result<isize, String> {
    Ok(named(c, "dim", -1.0)? as isize)
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
