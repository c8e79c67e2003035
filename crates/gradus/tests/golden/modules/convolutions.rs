//! Convolutions and transposed convolutions.

use super::Made;
use crate::harness::{Arg, Call};
use crate::ops::convolutions::{groups, padding, sizes};
use gradus::Pad;
use gradus::nn::{Conv1d, Conv2d, Conv3d, ConvTranspose1d, ConvTranspose2d, ConvTranspose3d};

fn mode(arg: &Arg) -> Result<Pad, String> {
    match arg {
        Arg::Text(how) if how == "reflect" => Ok(Pad::Reflect),
        Arg::Text(how) if how == "replicate" => Ok(Pad::Replicate),
        Arg::Text(how) if how == "circular" => Ok(Pad::Circular),
        Arg::Text(how) if how != "zeros" => Err(format!("a padding mode `{how}`")),
        _ => Ok(Pad::Constant(0.0)),
    }
}

macro_rules! conv {
    ($c:ident, $layer:ident, $axes:literal) => {{
        let channels = ($c.get(0, "in_channels").size()?, $c.get(1, "out_channels").size()?);
        let kernel = sizes::<$axes>(&$c.get(2, "kernel_size"), 1)?;
        let mut layer = $layer::new(channels.0, channels.1, kernel)
            .stride(sizes::<$axes>(&$c.get(3, "stride"), 1)?)
            .padding(padding::<$axes>(&$c.get(4, "padding"))?)
            .dilation(sizes::<$axes>(&$c.get(5, "dilation"), 1)?)
            .groups(groups(&$c.get(6, "groups"))?);
        if let Arg::Truth(false) = $c.get(7, "bias") {
            layer = layer.no_bias();
        }
        Made::layer(layer.padding_mode(mode(&$c.get(8, "padding_mode"))?))
    }};
}

macro_rules! transposed {
    ($c:ident, $layer:ident, $axes:literal) => {{
        let channels = ($c.get(0, "in_channels").size()?, $c.get(1, "out_channels").size()?);
        let kernel = sizes::<$axes>(&$c.get(2, "kernel_size"), 1)?;
        let mut layer = $layer::new(channels.0, channels.1, kernel)
            .stride(sizes::<$axes>(&$c.get(3, "stride"), 1)?)
            .padding(sizes::<$axes>(&$c.get(4, "padding"), 0)?)
            .output_padding(sizes::<$axes>(&$c.get(5, "output_padding"), 0)?)
            .groups(groups(&$c.get(6, "groups"))?);
        if let Arg::Truth(false) = $c.get(7, "bias") {
            layer = layer.no_bias();
        }
        Made::layer(layer.dilation(sizes::<$axes>(&$c.get(8, "dilation"), 1)?))
    }};
}

/// A layer of this family.
pub(super) fn make(name: &str, c: &Call) -> Result<Option<Made>, String> {
    Ok(match name {
        "Conv1d" => conv!(c, Conv1d, 1),
        "Conv2d" => conv!(c, Conv2d, 2),
        "Conv3d" => conv!(c, Conv3d, 3),
        "ConvTranspose1d" => transposed!(c, ConvTranspose1d, 1),
        "ConvTranspose2d" => transposed!(c, ConvTranspose2d, 2),
        "ConvTranspose3d" => transposed!(c, ConvTranspose3d, 3),
        _ => None,
    })
}
