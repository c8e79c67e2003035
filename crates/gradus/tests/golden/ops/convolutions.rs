//! Convolutions.

use crate::harness::Family::Sums;
use crate::harness::{Arg, Call, Line, Out, one};
use gradus::{ConvOptions, ConvTransposeOptions, Operand, Padding};

/// A number for all axes, or one for each.
pub(crate) fn sizes<const N: usize>(arg: &Arg, missing: usize) -> Result<[usize; N], String> {
    match arg {
        Arg::None => Ok([missing; N]),
        Arg::List(list) if list.len() == N && N > 1 => {
            let sizes: Result<Vec<usize>, String> = list.iter().map(Arg::size).collect();
            sizes?.try_into().map_err(|_| "a list of sizes".into())
        }
        Arg::List(list) if list.len() == 1 => Ok([list[0].size()?; N]),
        one => Ok([one.size()?; N]),
    }
}

/// What PyTorch's `padding` is here.
pub(crate) fn padding<const N: usize>(arg: &Arg) -> Result<Padding<N>, String> {
    match arg {
        Arg::Text(how) if how == "same" => Ok(Padding::Same),
        Arg::Text(how) if how == "valid" => Ok(Padding::Valid),
        arg => Ok(Padding::Each(sizes::<N>(arg, 0)?.map(|p| [p, p]))),
    }
}

pub(crate) fn groups(arg: &Arg) -> Result<usize, String> {
    if arg.is_none() { Ok(1) } else { arg.size() }
}

fn options<const N: usize>(c: &Call) -> Result<ConvOptions<N>, String> {
    let mut options = ConvOptions::new();
    options.stride = sizes(&c.get(2, "stride"), 1)?;
    options.padding = padding(&c.get(3, "padding"))?;
    options.dilation = sizes(&c.get(4, "dilation"), 1)?;
    options.groups = groups(&c.get(5, "groups"))?;
    Ok(options)
}

fn transposed<const N: usize>(c: &Call) -> Result<ConvTransposeOptions<N>, String> {
    Ok(ConvTransposeOptions {
        stride: sizes(&c.get(2, "stride"), 1)?,
        padding: sizes(&c.get(3, "padding"), 0)?,
        output_padding: sizes(&c.get(4, "output_padding"), 0)?,
        groups: groups(&c.get(5, "groups"))?,
        dilation: sizes(&c.get(6, "dilation"), 1)?,
    })
}

/// Calls a method with input, weight and bias.
macro_rules! call {
    ($c:ident, $method:ident, $options:expr) => {{
        let (x, w, options) = ($c.x()?, $c.get(0, "weight").tensor()?, $options);
        match $c.get(1, "bias") {
            Arg::None => one(x.$method(&w, None, options)),
            bias => {
                let bias: Box<dyn Operand> = bias.operand()?;
                one(x.$method(&w, Some(&*bias), options))
            }
        }
    }};
}

fn conv2d(c: &Call) -> Out {
    call!(c, conv2d, options(c)?)
}

fn conv_transpose2d(c: &Call) -> Out {
    call!(c, conv_transpose2d, transposed(c)?)
}

/// How PyTorch's functions of this family are written here.
pub(crate) fn lines() -> Vec<Line> {
    vec![
        ("nn.functional.conv1d", Sums, |c| call!(c, conv1d, options(c)?)),
        ("nn.functional.conv2d", Sums, conv2d),
        ("nn.functional.conv3d", Sums, |c| call!(c, conv3d, options(c)?)),
        ("conv2d_more", Sums, conv2d),
        ("nn.functional.conv_transpose1d", Sums, |c| call!(c, conv_transpose1d, transposed(c)?)),
        ("nn.functional.conv_transpose2d", Sums, conv_transpose2d),
        ("nn.functional.conv_transpose3d", Sums, |c| call!(c, conv_transpose3d, transposed(c)?)),
        ("conv_transpose2d_more", Sums, conv_transpose2d),
    ]
}
