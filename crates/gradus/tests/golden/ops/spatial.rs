//! Pooling, padding, resizing, sampling and patches of images.

use crate::harness::{Arg, Call, Family::*, Line, Out, one};
use gradus::{
    GridMode, GridPadding, Interpolation, OutSizes, Patches, Pool, Resize, Sizes, Tensor,
};

/// One size an axis, or one for all.
pub(crate) fn sizes<const N: usize>(arg: &Arg) -> Result<Sizes<N>, String> {
    let given = arg.integers()?;
    let given: Result<Vec<usize>, String> = given
        .into_iter()
        .map(|n| usize::try_from(n).map_err(|_| "sizes are unsigned here, by type".to_string()))
        .collect();
    match given?.as_slice() {
        [one] => Ok(Sizes::all(*one)),
        several => {
            let sizes = several.try_into().map_err(|_| "as many sizes as axes, by type")?;
            Ok(Sizes(sizes))
        }
    }
}

fn given(arg: &Arg) -> bool {
    !arg.is_none() && !matches!(arg, Arg::List(v) if v.is_empty())
}

/// Kernel, stride and padding.
fn base<const N: usize>(c: &Call) -> Result<Pool<N>, String> {
    let mut pool = Pool::new(sizes::<N>(&c.get(0, "kernel_size"))?);
    let (stride, padding) = (c.get(1, "stride"), c.get(2, "padding"));
    if given(&stride) {
        pool = pool.stride(sizes::<N>(&stride)?);
    }
    if given(&padding) {
        pool = pool.padding(sizes::<N>(&padding)?);
    }
    Ok(pool)
}

pub(crate) fn max_options<const N: usize>(c: &Call) -> Result<Pool<N>, String> {
    let mut pool = base(c)?;
    let dilation = c.get(3, "dilation");
    if given(&dilation) {
        pool = pool.dilation(sizes::<N>(&dilation)?);
    }
    Ok(pool.ceil_mode(c.flag(4, "ceil_mode")))
}

pub(crate) fn avg_options<const N: usize>(c: &Call) -> Result<Pool<N>, String> {
    let mut pool = base(c)?.ceil_mode(c.flag(3, "ceil_mode"));
    if let Arg::Truth(yes) = c.get(4, "count_include_pad") {
        pool = pool.count_include_pad(yes);
    }
    match c.get(5, "divisor_override") {
        Arg::None => Ok(pool),
        n => Ok(pool.divisor_override(n.size()?)),
    }
}

pub(crate) fn lp_options<const N: usize>(c: &Call) -> Result<(f64, Pool<N>), String> {
    let mut pool = Pool::new(sizes::<N>(&c.get(1, "kernel_size"))?);
    let stride = c.get(2, "stride");
    if given(&stride) {
        pool = pool.stride(sizes::<N>(&stride)?);
    }
    Ok((c.get(0, "norm_type").real()?, pool.ceil_mode(c.flag(3, "ceil_mode"))))
}

pub(crate) fn out_sizes<const N: usize>(arg: &Arg) -> Result<OutSizes<N>, String> {
    let Arg::List(v) = arg else { return Ok(sizes::<N>(arg)?.into()) };
    let each = |arg: &Arg| if arg.is_none() { Ok(None) } else { arg.size().map(Some) };
    let v: Vec<Option<usize>> = v.iter().map(each).collect::<Result<_, String>>()?;
    match v.as_slice() {
        [one] => Ok(OutSizes([*one; N])),
        several => {
            let several = several.try_into().map_err(|_| "as many sizes as axes, by type")?;
            Ok(OutSizes(several))
        }
    }
}

/// The values, and the indices if they are asked for.
fn with_indices(c: &Call, at: usize, both: impl FnOnce() -> (Tensor, Tensor)) -> Out {
    let (values, indices) = both();
    Ok(if c.flag(at, "return_indices") { vec![values, indices] } else { vec![values] })
}

fn unpool<const N: usize>(
    c: &Call,
    plain: fn(&Tensor, &Tensor, Pool<N>) -> Tensor,
    to: fn(&Tensor, &Tensor, Pool<N>, Sizes<N>) -> Tensor,
) -> Out {
    let mut pool = Pool::new(sizes::<N>(&c.get(1, "kernel_size"))?);
    let (stride, padding) = (c.get(2, "stride"), c.get(3, "padding"));
    if given(&stride) {
        pool = pool.stride(sizes::<N>(&stride)?);
    }
    if given(&padding) {
        pool = pool.padding(sizes::<N>(&padding)?);
    }
    let (x, at) = (c.x()?, c.get(0, "indices").tensor()?);
    one(match c.get(4, "output_size") {
        Arg::None => plain(&x, &at, pool),
        size => {
            let all = size.integers()?;
            let last = all.get(all.len().saturating_sub(N)..).unwrap_or_default();
            let last = last.iter().map(|&n| Arg::Integer(n as i64)).collect();
            to(&x, &at, pool, sizes(&Arg::List(last))?)
        }
    })
}

macro_rules! pools {
    ($n:literal, $max:literal $max_m:ident, $avg:literal $avg_m:ident, $ada:literal $ada_m:ident,
     $amax:literal $amax_m:ident, $unpool:literal $unpool_m:ident $unpool_to:ident) => {{
        let lines: Vec<Line> = vec![
            ($max, Sums, |c| {
                let pool = max_options::<$n>(c)?;
                let x = c.x()?;
                with_indices(c, 5, || x.$max_m(pool))
            }),
            ($avg, Sums, |c| one(c.x()?.$avg_m(avg_options::<$n>(c)?))),
            ($ada, Sums, |c| one(c.x()?.$ada_m(out_sizes::<$n>(&c.get(0, "output_size"))?))),
            ($amax, Sums, |c| {
                let (x, to) = (c.x()?, out_sizes::<$n>(&c.get(0, "output_size"))?);
                with_indices(c, 1, || x.$amax_m(to))
            }),
            ($unpool, Sums, |c| {
                unpool::<$n>(
                    c,
                    |x, at, pool| x.$unpool_m(at, pool),
                    |x, at, pool, size| x.$unpool_to(at, pool, size),
                )
            }),
        ];
        lines
    }};
}

/// Size or factor.
pub(crate) fn target(size: &Arg, factor: &Arg) -> Result<Resize, String> {
    if size.is_none() {
        return Ok(match factor {
            Arg::List(v) => {
                Resize::by_each(v.iter().map(Arg::real).collect::<Result<Vec<_>, String>>()?)
            }
            one => Resize::by(one.real()?),
        });
    }
    let each = size.integers()?.into_iter().map(|n| usize::try_from(n).map_err(|e| e.to_string()));
    Ok(Resize::to(each.collect::<Result<Vec<_>, String>>()?))
}

pub(crate) fn interpolation(mode: &Arg) -> Result<Interpolation, String> {
    Ok(match mode {
        Arg::None => Interpolation::Nearest,
        Arg::Text(mode) => match mode.as_str() {
            "nearest" => Interpolation::Nearest,
            "nearest-exact" => Interpolation::NearestExact,
            "linear" | "bilinear" | "trilinear" => Interpolation::Linear,
            "bicubic" => Interpolation::Cubic,
            "area" => Interpolation::Area,
            other => return Err(format!("the mode {other}")),
        },
        _ => return Err("a mode that is no text".into()),
    })
}

fn interpolate(c: &Call) -> Out {
    let mode = interpolation(&c.get(2, "mode"))?;
    let mut how = target(&c.get(0, "size"), &c.get(1, "scale_factor"))?.mode(mode);
    if let Arg::Truth(yes) = c.get(3, "align_corners") {
        how = how.align_corners(yes);
    }
    one(c.x()?.interpolate(how.recompute_scale_factor(c.flag(4, "recompute_scale_factor"))))
}

fn grid_sample(c: &Call) -> Out {
    let mode = match c.get(1, "mode") {
        Arg::Text(mode) if mode == "nearest" => GridMode::Nearest,
        Arg::Text(mode) if mode == "bicubic" => GridMode::Bicubic,
        _ => GridMode::Bilinear,
    };
    let padding = match c.get(2, "padding_mode") {
        Arg::Text(mode) if mode == "border" => GridPadding::Border,
        Arg::Text(mode) if mode == "reflection" => GridPadding::Reflection,
        _ => GridPadding::Zeros,
    };
    let grid = c.get(0, "grid").tensor()?;
    one(c.x()?.grid_sample(&grid, mode, padding, c.flag(3, "align_corners")))
}

/// Kernel, dilation, padding and stride from argument number `first` on.
fn patches(c: &Call, first: usize) -> Result<Patches, String> {
    let mut patches = Patches::new(sizes::<2>(&c.get(first, "kernel_size"))?);
    let (dilation, padding) = (c.get(first + 1, "dilation"), c.get(first + 2, "padding"));
    let stride = c.get(first + 3, "stride");
    if given(&dilation) {
        patches = patches.dilation(sizes::<2>(&dilation)?);
    }
    if given(&padding) {
        patches = patches.padding(sizes::<2>(&padding)?);
    }
    if given(&stride) {
        patches = patches.stride(sizes::<2>(&stride)?);
    }
    Ok(patches)
}

/// How PyTorch's functions of this family are written here.
pub(crate) fn lines() -> Vec<Line> {
    let own: Vec<Line> = vec![
        ("lp_pool1d", Sums, |c| {
            let (p, pool) = lp_options::<1>(c)?;
            one(c.x()?.lp_pool1d(p, pool))
        }),
        ("lp_pool2d", Sums, |c| {
            let (p, pool) = lp_options::<2>(c)?;
            one(c.x()?.lp_pool2d(p, pool))
        }),
        ("nn.functional.interpolate", Sums, interpolate),
        ("nn.functional.upsample_nearest", Sums, |c| {
            one(c.x()?.interpolate(target(&c.get(0, "size"), &c.get(1, "scale_factor"))?))
        }),
        ("nn.functional.upsample_bilinear", Sums, |c| {
            let how = target(&c.get(0, "size"), &c.get(1, "scale_factor"))?;
            one(c.x()?.interpolate(how.mode(Interpolation::Linear).align_corners(true)))
        }),
        ("nn.functional.grid_sample", Sums, grid_sample),
        ("affine_grid", Sums, |c| {
            let size: Vec<usize> =
                c.get(0, "size").integers()?.into_iter().map(|n| n as usize).collect();
            one(c.x()?.affine_grid(size, c.flag(1, "align_corners")))
        }),
        ("nn.functional.unfold", Sums, |c| one(c.x()?.unfold2d(patches(c, 0)?))),
        ("fold", Sums, |c| {
            let size = sizes::<2>(&c.get(0, "output_size"))?;
            one(c.x()?.fold2d(size, patches(c, 1)?))
        }),
    ];
    [
        own,
        pools!(1, "nn.functional.max_pool1d" max_pool1d_with_indices,
            "nn.functional.avg_pool1d" avg_pool1d,
            "nn.functional.adaptive_avg_pool1d" adaptive_avg_pool1d,
            "nn.functional.adaptive_max_pool1d" adaptive_max_pool1d_with_indices,
            "nn.functional.max_unpool1d" max_unpool1d max_unpool1d_to),
        pools!(2, "nn.functional.max_pool2d" max_pool2d_with_indices,
            "nn.functional.avg_pool2d" avg_pool2d,
            "nn.functional.adaptive_avg_pool2d" adaptive_avg_pool2d,
            "nn.functional.adaptive_max_pool2d" adaptive_max_pool2d_with_indices,
            "nn.functional.max_unpool2d" max_unpool2d max_unpool2d_to),
        pools!(3, "nn.functional.max_pool3d" max_pool3d_with_indices,
            "nn.functional.avg_pool3d" avg_pool3d,
            "nn.functional.adaptive_avg_pool3d" adaptive_avg_pool3d,
            "nn.functional.adaptive_max_pool3d" adaptive_max_pool3d_with_indices,
            "nn.functional.max_unpool3d" max_unpool3d max_unpool3d_to),
    ]
    .concat()
}
