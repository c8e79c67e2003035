//! The methods of tensors, and what they check.

use std::panic::Location;

use super::{Conv, ConvOptions, ConvPass, ConvTransposeOptions, Padding};
use crate::error::{Code, Error, Result};
use crate::graph::called::called;
use crate::graph::dtype::DType;
use crate::graph::recorder::{self, Side};
use crate::graph::shape::Shape;
use crate::ops::pad::Pad;
use crate::ops::{Meta, Op, Precision};
use crate::tensor::{Operand, Tensor};

macro_rules! methods {
    ($($name:ident $transpose:ident $axes:literal $spatial:literal $kernel:literal)*) => {
        impl Tensor {$(
            #[doc = concat!("Convolution over ", $axes, " spatial axes (cross-correlation, as is usual in networks).")]
            ///
            #[doc = concat!("`self` is `[batch, in_channels, ", $spatial, "]` (or without the batch), `weight`")]
            #[doc = concat!("`[out_channels, in_channels / groups, ", $kernel, "]`, `bias` `[out_channels]`.")]
            /// With `o`, `k` and `i` for places in the result, the weight and the input:
            /// `y[n, f, o] = bias[f] + sum over c, k of x[n, c, i] w[f, c, k]`, where
            /// `i = o * stride + k * dilation - padding`, and x is zero outside of its sizes. The result
            /// has `(size + padding before and behind - dilation * (kernel - 1) - 1) / stride + 1`
            /// places along an axis, rounded down. Dense 3 x 3 windows (stride, dilation and groups of 1, f32)
            /// over 16 channels or more on both sides are computed in tiles of 2 x 2 places (Winograd; Lavin
            /// and Gray 2016): rounding errors are relative to the largest elements and weights of a
            /// window, not to their products, and infinite elements may make NaN. In the scope of [`autocast`](crate::autocast), input and
            /// weight are rounded to bf16, and so are the operands of gradients. As `torch.nn.functional.
            #[doc = concat!(stringify!($name), "`.")]
            ///
            /// # Errors
            /// [`Code::Shape`] when channels do not fit the weight or the kernel is larger than the
            /// padded input; [`Code::Argument`] for a stride, dilation or number of groups that
            /// cannot be; [`Code::DType`] for anything but two f32 or two f64.
            #[track_caller]
            #[must_use]
            pub fn $name(
                &self,
                weight: impl Operand,
                bias: Option<&dyn Operand>,
                options: ConvOptions<$axes>,
            ) -> Tensor {
                let _called = called(stringify!($name));
                convolve(self, &weight.arg().into_tensor(), bias, &options, Location::caller())
            }

            #[doc = concat!("Transposed convolution over ", $axes, " spatial axes: the adjoint of [`Tensor::", stringify!($name), "`] for its input.")]
            ///
            #[doc = concat!("`self` is `[batch, in_channels, ", $spatial, "]` (or without the batch), `weight`")]
            #[doc = concat!("`[in_channels, out_channels / groups, ", $kernel, "]`, `bias` `[out_channels]`. The result has")]
            /// `(size - 1) * stride - 2 * padding + dilation * (kernel - 1) + output_padding + 1` places
            /// along an axis; rounded as the convolution. As `torch.nn.functional.
            #[doc = concat!(stringify!($transpose), "`.")]
            ///
            /// # Errors
            #[doc = concat!("As [`Tensor::", stringify!($name), "`]; [`Code::Argument`] for an output padding that is not less")]
            /// than the stride or the dilation.
            #[track_caller]
            #[must_use]
            pub fn $transpose(
                &self,
                weight: impl Operand,
                bias: Option<&dyn Operand>,
                options: ConvTransposeOptions<$axes>,
            ) -> Tensor {
                let _called = called(stringify!($transpose));
                transposed(self, &weight.arg().into_tensor(), bias, &options, Location::caller())
            }
        )*}
    };
}

methods! {
    conv1d conv_transpose1d 1 "length" "kernel"
    conv2d conv_transpose2d 2 "height, width" "kernel_height, kernel_width"
    conv3d conv_transpose3d 3 "depth, height, width" "kernel_depth, kernel_height, kernel_width"
}

/// Two operands of one type that computes.
pub(super) fn types(name: &str, a: &Meta, b: &Meta) -> Result<()> {
    let wrong = |text: String| Error::new(Code::DType, format!("{name}: {text}"));
    if a.dtype != b.dtype {
        return Err(wrong(format!("the input is {}, the weight {}", a.dtype, b.dtype))
            .help("`cast` one of them"));
    }
    if !a.dtype.is_float() || a.dtype.is_storage() {
        return Err(wrong(format!("takes f32 or f64, not {}", a.dtype))
            .help("convert it with `cast(DType::F32)` first"));
    }
    Ok(())
}

/// A window with numbers that can be.
fn window<const N: usize>(
    name: &str,
    pass: ConvPass,
    stride: [usize; N],
    dilation: [usize; N],
    before: [usize; N],
    groups: usize,
    dtype: DType,
) -> Result<Conv> {
    let wrong = |text: String| Error::new(Code::Argument, format!("{name}: {text}"));
    let small = |what: &str, x: [usize; N], least: usize, missing: u16| {
        let mut out = [missing; 3];
        for (to, &from) in out.iter_mut().zip(&x) {
            *to = u16::try_from(from).ok().filter(|_| from >= least).ok_or_else(|| {
                wrong(format!("a {what} is {least} to {}, not {}", u16::MAX, listed(&x)))
            })?;
        }
        Ok::<_, Error>(out)
    };
    Ok(Conv {
        pass,
        axes: N as u8,
        stride: small("stride", stride, 1, 1)?,
        dilation: small("dilation", dilation, 1, 1)?,
        before: small("padding", before, 0, 0)?,
        groups: u32::try_from(groups)
            .ok()
            .filter(|&g| g > 0)
            .ok_or_else(|| wrong(format!("groups must be at least 1, not {groups}")))?,
        precision: Precision::of(dtype),
    })
}

/// Sizes as people write them: `3x5`.
fn listed(sizes: &[usize]) -> String {
    sizes.iter().map(ToString::to_string).collect::<Vec<_>>().join("x")
}

/// Input and weight have the axes of such a convolution, and channels that groups divide.
fn check<const N: usize>(
    name: &str,
    x: &Meta,
    w: &Meta,
    groups: usize,
    transposed: bool,
) -> Result<()> {
    types(name, x, w)?;
    let wrong = |text: String| Error::new(Code::Shape, format!("{name}: {text}"));
    let places = ["length", "height, width", "depth, height, width"][N.clamp(1, 3) - 1];
    if x.shape.rank() != N + 2 {
        return Err(wrong(format!(
            "the input has {} axes, not {} or {}",
            x.shape.rank(),
            N + 1,
            N + 2
        ))
        .help(format!("an input is [batch, channels, {places}], or without the batch")));
    }
    // Text is made only for an error: it would be the one allocation of a steady step.
    let layout = || match transposed {
        true => format!("a weight is [in_channels, out_channels / groups, {N} kernel sizes]"),
        false => format!("a weight is [out_channels, in_channels / groups, {N} kernel sizes]"),
    };
    if w.shape.rank() != N + 2 {
        let text = format!("the weight has {} axes, not {}", w.shape.rank(), N + 2);
        return Err(wrong(text).help(layout()));
    }
    if w.shape.dims()[2..].contains(&0) {
        return Err(wrong(format!("a kernel of {}", listed(&w.shape.dims()[2..]))));
    }
    let channels = x.shape.dim(1);
    let wanted = if transposed { w.shape.dim(0) } else { w.shape.dim(1).saturating_mul(groups) };
    if !wanted.is_multiple_of(groups) || !w.shape.dim(0).is_multiple_of(groups) {
        let text = format!("{groups} groups do not divide {} channels", w.shape.dim(0));
        return Err(wrong(text).help(layout()));
    }
    if channels != wanted {
        let text = match groups {
            1 => format!("the weight takes {wanted} channels, the input has {channels}"),
            _ => format!(
                "the weight takes {wanted} channels in {groups} groups, the input has {channels}"
            ),
        };
        let swapped = x.shape.last(0) == wanted && N > 1;
        let help = if swapped {
            format!(
                "{}; an input is [batch, channels, {places}]: `permute` the channels first",
                layout()
            )
        } else {
            layout()
        };
        return Err(wrong(text).help(help));
    }
    Ok(())
}

/// Zeros before and behind along each axis.
fn pads<const N: usize>(
    name: &str,
    options: &ConvOptions<N>,
    kernel: &[usize],
) -> Result<[[usize; 2]; N]> {
    let mut out = [[0; 2]; N];
    match options.padding {
        Padding::Valid => {}
        Padding::Each(pads) => out = pads,
        Padding::Same => {
            if options.stride != [1; N] {
                let text = format!(
                    "{name}: padding `Same` needs a stride of 1, not {}",
                    listed(&options.stride)
                );
                return Err(Error::new(Code::Argument, text)
                    .help("give the padding as numbers, for example half of the kernel"));
            }
            for (axis, pad) in out.iter_mut().enumerate() {
                let all = options.dilation[axis].saturating_mul(kernel[axis].saturating_sub(1));
                *pad = [all / 2, all - all / 2];
            }
        }
    }
    Ok(out)
}

#[track_caller]
fn convolve<const N: usize>(
    x: &Tensor,
    w: &Tensor,
    bias: Option<&dyn Operand>,
    options: &ConvOptions<N>,
    place: &'static Location<'static>,
) -> Tensor {
    if recorder::error_of(x).is_some() {
        return x.clone();
    }
    if recorder::error_of(w).is_some() {
        return w.clone();
    }
    let name = ["conv1d", "conv2d", "conv3d"][N.clamp(1, 3) - 1];
    let single = x.peek().shape.rank() == N + 1;
    let mut x = if single { x.unsqueeze(0) } else { x.clone() };
    let mut spatial = [[0; 2]; N];
    let rule = |x: &Tensor, spatial: &mut [[usize; 2]; N]| -> Result<(Conv, Shape)> {
        let (xm, wm) = (x.peek(), w.peek());
        let before = [0; N];
        let (stride, dilation) = (options.stride, options.dilation);
        let conv =
            window(name, ConvPass::Forward, stride, dilation, before, options.groups, xm.dtype)?;
        check::<N>(name, &xm, &wm, options.groups, false)?;
        let kernel = &wm.shape.dims()[2..];
        *spatial = pads(name, options, kernel)?;
        let mut out = xm.shape.with(1, wm.shape.dim(0));
        for axis in 0..N {
            let [before, behind] = spatial[axis];
            let padded =
                xm.shape.dim(axis + 2).checked_add(before).and_then(|n| n.checked_add(behind));
            let reach = (kernel[axis] - 1).checked_mul(dilation[axis]);
            let room =
                padded.zip(reach).and_then(|(n, reach)| n.checked_sub(reach)?.checked_sub(1));
            let Some(room) = room else {
                let padded: Vec<usize> =
                    (0..N).map(|i| xm.shape.dim(i + 2) + spatial[i][0] + spatial[i][1]).collect();
                let spread: Vec<usize> =
                    (0..N).map(|i| (kernel[i] - 1).saturating_mul(dilation[i]) + 1).collect();
                let text = format!(
                    "{name}: the kernel of {} is larger than the padded input of {}",
                    listed(&spread),
                    listed(&padded)
                );
                return Err(Error::new(Code::Shape, text)
                    .help("use a smaller kernel or more padding, or a larger input"));
            };
            out = out.with(axis + 2, room / stride[axis] + 1);
        }
        let before = spatial.map(|[before, _]| before);
        let dtype = xm.dtype;
        let conv = Conv {
            before: window(name, conv.pass, stride, dilation, before, options.groups, dtype)?
                .before,
            ..conv
        };
        out.check(name).map(|()| (conv, out))
    };
    let (mut conv, out) = match rule(&x, &mut spatial) {
        Ok(found) => found,
        Err(error) => return refuse(&x, w, error, place),
    };
    if options.padding_mode != Pad::Constant(0.0) && spatial.iter().flatten().any(|&p| p > 0) {
        // Last axis first.
        let mut around = [0isize; 6];
        for (i, &[before, behind]) in spatial.iter().rev().enumerate() {
            around[2 * i] = before as isize;
            around[2 * i + 1] = behind as isize;
        }
        x = x.pad(&around[..2 * N], options.padding_mode);
        conv.before = [0; 3];
    }
    let y = recorder::record(Op::Conv(conv), &[&x, w], Some(out), Side::None, place);
    finish::<N>(name, y, bias, single)
}

#[track_caller]
fn transposed<const N: usize>(
    x: &Tensor,
    w: &Tensor,
    bias: Option<&dyn Operand>,
    options: &ConvTransposeOptions<N>,
    place: &'static Location<'static>,
) -> Tensor {
    if recorder::error_of(x).is_some() {
        return x.clone();
    }
    if recorder::error_of(w).is_some() {
        return w.clone();
    }
    let name = ["conv_transpose1d", "conv_transpose2d", "conv_transpose3d"][N.clamp(1, 3) - 1];
    let single = x.peek().shape.rank() == N + 1;
    let x = if single { x.unsqueeze(0) } else { x.clone() };
    let rule = || -> Result<(Conv, Shape)> {
        let (xm, wm) = (x.peek(), w.peek());
        let &ConvTransposeOptions { stride, padding, output_padding, dilation, groups } = options;
        let conv = window(name, ConvPass::Input, stride, dilation, padding, groups, xm.dtype)?;
        check::<N>(name, &xm, &wm, groups, true)?;
        let kernel = &wm.shape.dims()[2..];
        let channels = wm.shape.dim(1).saturating_mul(groups);
        let mut out = xm.shape.with(1, channels);
        for axis in 0..N {
            let extra = output_padding[axis];
            if extra >= stride[axis].max(dilation[axis]) {
                let text = format!(
                    "{name}: an output padding of {} is not less than stride {} or dilation {}",
                    listed(&output_padding),
                    listed(&stride),
                    listed(&dilation)
                );
                return Err(Error::new(Code::Argument, text).help(
                    "it chooses between sizes that a convolution of that stride makes equal",
                ));
            }
            let n = xm.shape.dim(axis + 2);
            let reach = (kernel[axis] - 1).saturating_mul(dilation[axis]);
            let size = n
                .checked_sub(1)
                .map(|n| n.saturating_mul(stride[axis]).saturating_add(reach + extra + 1))
                .and_then(|n| n.checked_sub(2 * padding[axis]))
                .filter(|&n| n > 0);
            let Some(size) = size else {
                let text = format!(
                    "{name}: nothing is left of an input of {} with padding {}",
                    listed(&xm.shape.dims()[2..]),
                    listed(&padding)
                );
                return Err(Error::new(Code::Shape, text).help("use less padding"));
            };
            out = out.with(axis + 2, size);
        }
        out.check(name).map(|()| (conv, out))
    };
    match rule() {
        Ok((conv, out)) => {
            let y = recorder::record(Op::Conv(conv), &[&x, w], Some(out), Side::None, place);
            finish::<N>(name, y, bias, single)
        }
        Err(error) => refuse(&x, w, error, place),
    }
}

/// Adds the bias, and takes the batch away if there was none.
#[track_caller]
fn finish<const N: usize>(
    name: &str,
    y: Tensor,
    bias: Option<&dyn Operand>,
    single: bool,
) -> Tensor {
    let y = match bias {
        None => y,
        Some(bias) => {
            let bias = bias.arg().into_tensor();
            let (have, channels) = (bias.peek(), y.peek().shape.dim(1));
            let known = recorder::error_of(&bias).is_none() && recorder::error_of(&y).is_none();
            if known && have.shape != Shape::from(channels) {
                let text = format!(
                    "{name}: the bias is {}, but there are {channels} output channels",
                    have.shape
                );
                return y.refuse(Error::new(Code::Shape, text).help("a bias is [out_channels]"));
            }
            if known && have.dtype != y.peek().dtype {
                let text =
                    format!("{name}: the bias is {}, the input {}", have.dtype, y.peek().dtype);
                return y.refuse(Error::new(Code::DType, text).help("`cast` one of them"));
            }
            let mut shape = Shape::from(channels);
            for axis in 0..N {
                shape = shape.insert(axis + 1, 1);
            }
            y + bias.reshape_to(shape)
        }
    };
    if single { y.squeeze(0) } else { y }
}

/// The failed result, with both operands in the message.
#[cold]
fn refuse(x: &Tensor, w: &Tensor, error: Error, place: &'static Location<'static>) -> Tensor {
    let error = recorder::with(|r| r.operands(error, &[x.slot(), w.slot()]));
    recorder::failed(error, place)
}
