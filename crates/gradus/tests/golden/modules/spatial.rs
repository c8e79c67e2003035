//! Pooling, padding, resizing and rearranging of images.

use super::Made;
use crate::harness::{Arg, Call};
use crate::ops::spatial::{avg_options, lp_options, max_options, out_sizes, sizes};
use gradus::Sizes;
use gradus::nn::{
    AdaptiveAvgPool1d, AdaptiveAvgPool2d, AdaptiveAvgPool3d, AdaptiveMaxPool1d, AdaptiveMaxPool2d,
    AdaptiveMaxPool3d, AvgPool1d, AvgPool2d, AvgPool3d, CircularPad1d, CircularPad2d,
    CircularPad3d, ConstantPad1d, ConstantPad2d, ConstantPad3d, LpPool1d, LpPool2d, LpPool3d,
    Margins, MaxPool1d, MaxPool2d, MaxPool3d, ReflectionPad1d, ReflectionPad2d, ReflectionPad3d,
    ReplicationPad1d, ReplicationPad2d, ReplicationPad3d, ZeroPad1d, ZeroPad2d, ZeroPad3d,
};

/// Calls builder methods for the arguments that are given.
macro_rules! given {
    ($c:expr, $n:literal, $layer:expr, $($name:ident),*) => {{
        let mut layer = $layer;
        $(
            let arg = $c.named(stringify!($name));
            if !arg.is_none() {
                let value: Sizes<$n> = sizes(&arg)?;
                layer = layer.$name(value);
            }
        )*
        layer
    }};
}

macro_rules! max_pool {
    ($c:expr, $n:literal, $layer:ident) => {{
        max_options::<$n>($c)?;
        let kernel: Sizes<$n> = sizes(&$c.named("kernel_size"))?;
        let layer = given!($c, $n, $layer::new(kernel), stride, padding, dilation);
        let layer = layer.ceil_mode(matches!($c.named("ceil_mode"), Arg::Truth(true)));
        let both = matches!($c.named("return_indices"), Arg::Truth(true));
        Made::with(layer, move |layer, call| {
            let (values, indices) = layer.forward_with_indices(&call.x()?);
            Ok(if both { vec![values, indices] } else { vec![layer.forward(&call.x()?)] })
        })
    }};
}

macro_rules! avg_pool {
    ($c:expr, $n:literal, $layer:ident) => {{
        avg_options::<$n>($c)?;
        let kernel: Sizes<$n> = sizes(&$c.named("kernel_size"))?;
        let mut layer = given!($c, $n, $layer::new(kernel), stride, padding);
        if let Arg::Truth(yes) = $c.named("count_include_pad") {
            layer = layer.count_include_pad(yes);
        }
        if let Arg::Integer(n) = $c.named("divisor_override") {
            layer = layer.divisor_override(n as usize);
        }
        Made::layer(layer.ceil_mode(matches!($c.named("ceil_mode"), Arg::Truth(true))))
    }};
}

macro_rules! lp_pool {
    ($c:expr, $n:literal, $layer:ident) => {{
        let (p, _) = lp_options::<$n>($c)?;
        let kernel: Sizes<$n> = sizes(&$c.named("kernel_size"))?;
        let layer = given!($c, $n, $layer::new(p, kernel), stride);
        Made::layer(layer.ceil_mode(matches!($c.named("ceil_mode"), Arg::Truth(true))))
    }};
}

/// One number, or one a side.
fn margins<const N: usize, const M: usize>(c: &Call) -> Result<Margins<N>, String>
where
    Margins<N>: From<[isize; M]>,
{
    let given = c.named("padding").integers()?;
    Ok(match given.as_slice() {
        [one] => <Margins<N> as From<isize>>::from(*one),
        each => {
            let each = <[isize; M]>::try_from(each).map_err(|e| e.to_string())?;
            <Margins<N> as From<[isize; M]>>::from(each)
        }
    })
}

/// A layer of this family.
pub(super) fn make(name: &str, c: &Call) -> Result<Option<Made>, String> {
    let to = || c.named("output_size");
    Ok(match name {
        "MaxPool1d" => max_pool!(c, 1, MaxPool1d),
        "MaxPool2d" => max_pool!(c, 2, MaxPool2d),
        "MaxPool3d" => max_pool!(c, 3, MaxPool3d),
        "AvgPool1d" => avg_pool!(c, 1, AvgPool1d),
        "AvgPool2d" => avg_pool!(c, 2, AvgPool2d),
        "AvgPool3d" => avg_pool!(c, 3, AvgPool3d),
        "LPPool1d" => lp_pool!(c, 1, LpPool1d),
        "LPPool2d" => lp_pool!(c, 2, LpPool2d),
        "LPPool3d" => lp_pool!(c, 3, LpPool3d),
        "AdaptiveAvgPool1d" => Made::layer(AdaptiveAvgPool1d::new(out_sizes::<1>(&to())?)),
        "AdaptiveAvgPool2d" => Made::layer(AdaptiveAvgPool2d::new(out_sizes::<2>(&to())?)),
        "AdaptiveAvgPool3d" => Made::layer(AdaptiveAvgPool3d::new(out_sizes::<3>(&to())?)),
        "AdaptiveMaxPool1d" => Made::layer(AdaptiveMaxPool1d::new(out_sizes::<1>(&to())?)),
        "AdaptiveMaxPool2d" => Made::layer(AdaptiveMaxPool2d::new(out_sizes::<2>(&to())?)),
        "AdaptiveMaxPool3d" => Made::layer(AdaptiveMaxPool3d::new(out_sizes::<3>(&to())?)),
        "ZeroPad1d" => Made::layer(ZeroPad1d::new(margins::<1, 2>(c)?)),
        "ZeroPad2d" => Made::layer(ZeroPad2d::new(margins::<2, 4>(c)?)),
        "ZeroPad3d" => Made::layer(ZeroPad3d::new(margins::<3, 6>(c)?)),
        "ReflectionPad1d" => Made::layer(ReflectionPad1d::new(margins::<1, 2>(c)?)),
        "ReflectionPad2d" => Made::layer(ReflectionPad2d::new(margins::<2, 4>(c)?)),
        "ReflectionPad3d" => Made::layer(ReflectionPad3d::new(margins::<3, 6>(c)?)),
        "ReplicationPad1d" => Made::layer(ReplicationPad1d::new(margins::<1, 2>(c)?)),
        "ReplicationPad2d" => Made::layer(ReplicationPad2d::new(margins::<2, 4>(c)?)),
        "ReplicationPad3d" => Made::layer(ReplicationPad3d::new(margins::<3, 6>(c)?)),
        "CircularPad1d" => Made::layer(CircularPad1d::new(margins::<1, 2>(c)?)),
        "CircularPad2d" => Made::layer(CircularPad2d::new(margins::<2, 4>(c)?)),
        "CircularPad3d" => Made::layer(CircularPad3d::new(margins::<3, 6>(c)?)),
        "ConstantPad1d" => {
            let value = c.named("value").real()?;
            Made::layer(ConstantPad1d::new(margins::<1, 2>(c)?, value))
        }
        "ConstantPad2d" => {
            let value = c.named("value").real()?;
            Made::layer(ConstantPad2d::new(margins::<2, 4>(c)?, value))
        }
        "ConstantPad3d" => {
            let value = c.named("value").real()?;
            Made::layer(ConstantPad3d::new(margins::<3, 6>(c)?, value))
        }
        _ => None,
    })
}
