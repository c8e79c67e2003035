//! Pooling: windows that slide over the last axes, and what they make of what they see.
//!
//! One operation does all of it: `Op::Pool` says what is made ([`Pooling`]) and how the windows lie
//! ([`Windows`]). The options that users write are [`Pool`]; the methods are in `methods.rs`.

mod methods;

use gradus_kernels::window::Axis;

use super::{Divisor, Meta, Op, Operands, Pooling, Windows};
use crate::error::{Code, Error, Result};
use crate::graph::dtype::DType;
use crate::graph::shape::Shape;
use crate::graph::sizes::Sizes;
use crate::plan::ir::{Ir, Val};

/// How windows over `N` axes lie: the options of pooling.
///
/// Made from the size of the window alone, or with PyTorch's options; the stride is the size of the
/// window unless it is given.
///
/// ```
/// use gradus_core::{Pool, Tensor};
/// let x = Tensor::from([1.0, 5.0, 2.0, 3.0, 4.0]).reshape([1, 1, 5]);
/// assert_eq!(x.max_pool1d(2).to_vec::<f32>()?, [5.0, 3.0]);
/// let wide = Pool::new(3).stride(2).padding(1);
/// assert_eq!(x.max_pool1d(wide).to_vec::<f32>()?, [5.0, 5.0, 4.0]);
/// # Ok::<(), gradus_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Pool<const N: usize> {
    kernel: Sizes<N>,
    stride: Option<Sizes<N>>,
    padding: Sizes<N>,
    dilation: Sizes<N>,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: Option<usize>,
}

impl<const N: usize> Pool<N> {
    /// Windows of this size, one beside the other, from the first element on.
    pub fn new(kernel: impl Into<Sizes<N>>) -> Pool<N> {
        Pool {
            kernel: kernel.into(),
            stride: None,
            padding: Sizes::all(0),
            dilation: Sizes::all(1),
            ceil_mode: false,
            count_include_pad: true,
            divisor_override: None,
        }
    }

    /// From one window to the next; the size of the window by default.
    #[must_use]
    pub fn stride(self, stride: impl Into<Sizes<N>>) -> Pool<N> {
        Pool { stride: Some(stride.into()), ..self }
    }

    /// Elements before and behind each axis that count as the lowest (of a maximum) or as zeros (of
    /// a mean); at most half a window.
    #[must_use]
    pub fn padding(self, padding: impl Into<Sizes<N>>) -> Pool<N> {
        Pool { padding: padding.into(), ..self }
    }

    /// From one element of a window to the next; of maxima only.
    #[must_use]
    pub fn dilation(self, dilation: impl Into<Sizes<N>>) -> Pool<N> {
        Pool { dilation: dilation.into(), ..self }
    }

    /// Whether a last window that does not fit whole counts too; not by default.
    #[must_use]
    pub fn ceil_mode(self, yes: bool) -> Pool<N> {
        Pool { ceil_mode: yes, ..self }
    }

    /// Whether a mean counts the zeros of the padding; so it is by default.
    #[must_use]
    pub fn count_include_pad(self, yes: bool) -> Pool<N> {
        Pool { count_include_pad: yes, ..self }
    }

    /// Divides sums by this number instead of by the count of elements.
    #[must_use]
    pub fn divisor_override(self, divisor: usize) -> Pool<N> {
        Pool { divisor_override: Some(divisor), ..self }
    }

    /// The size of the window.
    pub fn kernel(&self) -> Sizes<N> {
        self.kernel
    }

    /// The stride: as given, or the size of the window.
    pub(crate) fn step(&self) -> Sizes<N> {
        self.stride.unwrap_or(self.kernel)
    }
}

/// The options that are not the default, for messages: `3x3, stride 2x2`.
impl<const N: usize> std::fmt::Display for Pool<N> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let sizes = |s: Sizes<N>| s.0.map(|n| n.to_string()).join("x");
        f.write_str(&sizes(self.kernel))?;
        if let Some(stride) = self.stride {
            write!(f, ", stride {}", sizes(stride))?;
        }
        if self.padding != Sizes::all(0) {
            write!(f, ", padding {}", sizes(self.padding))?;
        }
        if self.dilation != Sizes::all(1) {
            write!(f, ", dilation {}", sizes(self.dilation))?;
        }
        if self.ceil_mode {
            f.write_str(", ceil")?;
        }
        Ok(())
    }
}

/// Everything that makes sizes makes windows of that size.
impl<const N: usize, S: Into<Sizes<N>>> From<S> for Pool<N> {
    fn from(kernel: S) -> Pool<N> {
        Pool::new(kernel)
    }
}

/// The sizes that adaptive pooling makes, one an axis; `None` keeps a size.
///
/// ```
/// use gradus_core::{OutSizes, Tensor};
/// let x = Tensor::ones([1, 8, 6, 7]);
/// assert_eq!(x.adaptive_avg_pool2d(1).dims::<4>()?, [1, 8, 1, 1]);
/// assert_eq!(x.adaptive_avg_pool2d([Some(3), None]).dims::<4>()?, [1, 8, 3, 7]);
/// # Ok::<(), gradus_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct OutSizes<const N: usize>(pub [Option<usize>; N]);

impl<const N: usize, S: Into<Sizes<N>>> From<S> for OutSizes<N> {
    fn from(sizes: S) -> OutSizes<N> {
        OutSizes(sizes.into().0.map(Some))
    }
}
impl<const N: usize> From<[Option<usize>; N]> for OutSizes<N> {
    fn from(sizes: [Option<usize>; N]) -> OutSizes<N> {
        OutSizes(sizes)
    }
}

/// The sizes around the axes that windows lie on, and how many planes there are: `whole` has the
/// planes' sizes, `short` one element a window.
pub(crate) fn axes(
    whole: &Shape,
    short: &Shape,
    rank: u8,
    windows: &[Windows; 3],
) -> ([Axis; 3], usize) {
    let rank = usize::from(rank);
    let mut axes = windows.map(|windows| Axis { size: 1, out: 1, windows });
    for back in 0..rank.min(3) {
        axes[2 - back].size = whole.last(back);
        axes[2 - back].out = short.last(back);
    }
    let before = whole.rank().saturating_sub(rank);
    (axes, whole.dims().iter().take(before).product())
}

/// The shape and type rule; `given` is the result's shape, which the methods know.
pub(crate) fn infer(op: &Op, kind: Pooling, ins: &[Meta], given: Shape) -> Result<Meta> {
    let Some(x) = ins.first() else {
        return Err(Error::internal(format!("{}: no operand", op.name())));
    };
    if !x.dtype.is_float() {
        let text = format!("{}: takes f32 or f64, not {}", op.name(), x.dtype);
        return Err(Error::new(Code::DType, text).help("`cast(DType::F32)` first"));
    }
    given.check(op.name())?;
    let dtype = if kind == Pooling::MaxAt { DType::I64 } else { x.dtype };
    Ok(Meta { shape: given, dtype })
}

/// What a pool passes to operand `i`, given its own cotangent.
pub(crate) fn vjp(
    ir: &mut Ir,
    (kind, rank, windows): (Pooling, u8, [Windows; 3]),
    ins: &Operands<Val>,
    g: Val,
    i: usize,
) -> Option<Val> {
    let of = |kind| Op::Pool { kind, rank, windows };
    let x = *ins.first()?;
    let shape = ir.shape(*ins.get(i)?);
    match (kind, i) {
        (Pooling::Max, 0) | (Pooling::MaxPick, 1) => {
            Some(ir.pool(of(Pooling::MaxPlace), &[x, g], shape))
        }
        (Pooling::MaxPlace, 1) => Some(ir.pool(of(Pooling::MaxPick), &[x, g], shape)),
        (Pooling::Mean(by), _) => Some(ir.pool(of(Pooling::Spread(by)), &[g], shape)),
        (Pooling::Spread(by), _) => Some(ir.pool(of(Pooling::Mean(by)), &[g], shape)),
        // Where the largest is does not move.
        _ => None,
    }
}

/// What a user may do with windows.
#[derive(Clone, Copy)]
pub(crate) struct Allowed {
    pub(crate) dilation: bool,
    pub(crate) mean: bool,
}

/// A wrong option.
#[cold]
fn wrong(what: &str, text: impl std::fmt::Display) -> Error {
    Error::new(Code::Argument, format!("{what}: {text}"))
}

/// The shape must be that of a batch of images of `n` axes, or of one; nothing may be empty but the
/// batch.
pub(crate) fn image(what: &str, shape: &Shape, n: usize) -> Result<()> {
    let names = ["length", "height, width", "depth, height, width"];
    let names = names.get(n.wrapping_sub(1)).copied().unwrap_or("..");
    if shape.rank() != n + 1 && shape.rank() != n + 2 {
        let text =
            format!("{what}: takes [batch, channels, {names}] or [channels, {names}], not {shape}");
        return Err(Error::new(Code::Shape, text));
    }
    let batch = usize::from(shape.rank() == n + 2);
    match shape.dims().iter().skip(batch).position(|&d| d == 0) {
        Some(axis) => {
            let text = format!("{what}: {shape} has no elements on axis {}", axis + batch);
            Err(Error::new(Code::Shape, text).help("only the batch may be empty"))
        }
        None => Ok(()),
    }
}

/// The windows of a pool over the last axes of `shape`, and the shape of what they make.
pub(crate) fn windows<const N: usize>(
    what: &str,
    shape: &Shape,
    pool: &Pool<N>,
    allowed: Allowed,
) -> Result<(Shape, [Windows; 3])> {
    image(what, shape, N)?;
    let Pool { kernel, padding, dilation, ceil_mode, .. } = *pool;
    let stride = pool.step();
    if !allowed.dilation && dilation != Sizes::all(1) {
        return Err(wrong(what, "windows of means have no dilation"));
    }
    if !allowed.mean && (!pool.count_include_pad || pool.divisor_override.is_some()) {
        return Err(wrong(what, "`count_include_pad` and `divisor_override` are of means"));
    }
    if pool.divisor_override == Some(0) {
        return Err(wrong(what, "the divisor is 0"));
    }
    let (mut out, mut made) = (*shape, [Windows::NONE; 3]);
    for i in 0..N {
        let [kernel, stride, padding, dilation] =
            [kernel.0[i], stride.0[i], padding.0[i], dilation.0[i]];
        if kernel == 0 || stride == 0 || dilation == 0 {
            let text = format!("kernel {kernel}, stride {stride} and dilation {dilation}");
            return Err(wrong(what, format!("{text} must be at least 1")));
        }
        let small = |n: usize| {
            let error = || wrong(what, format!("{n} is more than a window can have, 65535"));
            u16::try_from(n).map_err(|_| error())
        };
        let windows = Windows {
            kernel: small(kernel)?,
            stride: small(stride)?,
            padding: small(padding)?,
            dilation: small(dilation)?,
        };
        let reach = (kernel - 1) * dilation + 1;
        if padding > reach / 2 {
            let text = format!("a padding of {padding} is more than half of a window of {reach}");
            return Err(wrong(what, text).help("such windows would see nothing but padding"));
        }
        let axis = shape.rank() - N + i;
        let size = shape.dim(axis);
        let Some(rest) = (size + 2 * padding).checked_sub(reach) else {
            let text = format!("{what}: a window of {reach} does not fit axis {axis} of {shape}");
            let help = match padding {
                0 => "take a smaller window or pad".to_string(),
                _ => format!("with the padding the axis has {} elements", size + 2 * padding),
            };
            return Err(Error::new(Code::Shape, text).help(help));
        };
        let mut count = if ceil_mode { rest.div_ceil(stride) } else { rest / stride } + 1;
        if ceil_mode && (count - 1) * stride >= size + padding {
            // The last window starts inside or in the padding before.
            count -= 1;
        }
        out = out.with(axis, count);
        let slot = 3 - N + i;
        made[slot] = windows;
        let seen = Axis { size, out: count, windows };
        if dilation > 1 && padding > 0 && (0..count).any(|j| seen.taps(j).1 == 0) {
            let text = format!("{what}: a window sees only padding on axis {axis} of {shape}");
            return Err(Error::new(Code::Shape, text).help("take a smaller dilation or padding"));
        }
    }
    out.check(what)?;
    Ok((out, made))
}

/// The windows that share the last axes of `shape` out evenly, and the shape of what they make.
pub(crate) fn adaptive<const N: usize>(
    what: &str,
    shape: &Shape,
    sizes: OutSizes<N>,
) -> Result<(Shape, [Windows; 3])> {
    image(what, shape, N)?;
    let mut to = [0; N];
    for (i, (to, size)) in to.iter_mut().zip(sizes.0).enumerate() {
        *to = size.unwrap_or(shape.dim(shape.rank() - N + i));
    }
    shared_out(what, shape, &to)
}

/// The same for sizes that are known, of a shape that has them all.
pub(crate) fn shared_out(
    what: &str,
    shape: &Shape,
    sizes: &[usize],
) -> Result<(Shape, [Windows; 3])> {
    let (mut out, mut made) = (*shape, [Windows::NONE; 3]);
    for (i, &to) in sizes.iter().enumerate() {
        let back = sizes.len() - 1 - i;
        let size = shape.last(back);
        let even = size.checked_div(to).filter(|even| even * to == size);
        made[2 - back] = match even.and_then(|even| u16::try_from(even).ok()) {
            Some(kernel) if kernel > 0 => Windows { kernel, stride: kernel, ..Windows::NONE },
            _ => Windows::ADAPTIVE,
        };
        out = out.with(shape.rank() - 1 - back, to);
    }
    out.check(what)?;
    Ok((out, made))
}

/// What a mean's sums are divided by, and the number that comes on top.
pub(crate) fn divisor<const N: usize>(pool: &Pool<N>) -> (Divisor, Option<usize>) {
    let padded = pool.padding != Sizes::all(0) || pool.ceil_mode;
    match pool.divisor_override {
        Some(n) => (Divisor::One, Some(n)),
        None if padded && !pool.count_include_pad => (Divisor::Inside, None),
        None => (Divisor::Padded, None),
    }
}
