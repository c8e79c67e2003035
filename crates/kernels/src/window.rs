//! Pooling: what is made of the elements under a window that slides over the last axes.
//!
//! Operands are seen as planes of three axes (the first ones have size 1 where there are fewer), one
//! after another. Elements under a window are taken in row-major order; sums go row by row, so the
//! bits depend on the shape alone. Results of one row, or planes that are added to, are independent
//! pieces of work. The common 2 x 2 windows without overlap have loops of their own.
//!
//! With channels last ([`pooling_last`]) the planes of an image lie between one another, and vectors
//! run along the channels; the bits are the same.

mod last;
mod max;
mod mean;
mod place;

use crate::memory::{Element, KernelError, Mem, Shared, Ty};
use crate::pool;

/// What is made of the elements under a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Pooling {
    /// The largest; NaN if one is.
    Max,
    /// Its position in the plane, i64: the first one of several, the last NaN.
    MaxAt,
    /// From (x, v): the element of v where x has its largest.
    MaxPick,
    /// From (x, g): a plane of zeros, with each element of g added where x has the largest of that
    /// window. The adjoint of [`Pooling::MaxPick`].
    MaxPlace,
    /// The sum, divided.
    Mean(Divisor),
    /// From g: each element, divided, added to all elements under its window. The adjoint of
    /// [`Pooling::Mean`].
    Spread(Divisor),
}

impl Pooling {
    /// Words that are equal for equal kinds only.
    pub fn code(self) -> u8 {
        match self {
            Pooling::Max => 0,
            Pooling::MaxAt => 1,
            Pooling::MaxPick => 2,
            Pooling::MaxPlace => 3,
            Pooling::Mean(by) => 4 + by as u8,
            Pooling::Spread(by) => 8 + by as u8,
        }
    }

    /// Whether the result has the plane's sizes, not one element a window.
    pub fn spreads(self) -> bool {
        matches!(self, Pooling::MaxPlace | Pooling::Spread(_))
    }
}

/// What the sum of a window is divided by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Divisor {
    /// By nothing.
    One,
    /// By the count of its elements.
    Inside,
    /// By the count of its elements and of those in the padding.
    Padded,
}

/// How windows lie along an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Windows {
    /// Elements under a window; 0 for windows that share the axis out evenly.
    pub kernel: u16,
    /// From one window to the next.
    pub stride: u16,
    /// How far the first window starts before the axis.
    pub padding: u16,
    /// From one element of a window to the next.
    pub dilation: u16,
}

impl Windows {
    /// Windows of one element each: what an axis has that is not pooled.
    pub const NONE: Windows = Windows { kernel: 1, stride: 1, padding: 0, dilation: 1 };
    /// Window i of n goes from `floor(i size / n)` to `ceil((i + 1) size / n)`.
    pub const ADAPTIVE: Windows = Windows { kernel: 0, stride: 1, padding: 0, dilation: 1 };
}

/// An axis with its windows.
#[derive(Clone, Copy, Debug)]
pub struct Axis {
    /// Elements of the plane.
    pub size: usize,
    /// Windows.
    pub out: usize,
    /// How they lie.
    pub windows: Windows,
}

impl Axis {
    #[inline(always)]
    fn adaptive(&self) -> bool {
        self.windows.kernel == 0
    }

    /// Whether windows share no element, or are walked through one after the other.
    fn apart(&self) -> bool {
        let [kernel, stride, _, step] = self.numbers();
        self.adaptive() || stride > kernel.saturating_sub(1) * step
    }

    #[inline(always)]
    fn step(&self) -> usize {
        usize::from(self.windows.dilation)
    }

    /// The first element of window `j` inside the axis, and how many there are.
    #[inline(always)]
    pub fn taps(&self, j: usize) -> (usize, usize) {
        if self.adaptive() {
            let start = j * self.size / self.out;
            return (start, ((j + 1) * self.size).div_ceil(self.out) - start);
        }
        let [kernel, stride, padding, step] = self.numbers();
        let skip = padding.saturating_sub(j * stride);
        let skip = if step == 1 { skip } else { skip.div_ceil(step) };
        let first = (j * stride + skip * step).wrapping_sub(padding);
        if first >= self.size || skip >= kernel {
            return (0, 0);
        }
        let rest = self.size - 1 - first;
        let rest = if step == 1 { rest } else { rest / step };
        (first, (kernel - skip).min(rest + 1))
    }

    /// What window `j` counts for in a mean.
    #[inline(always)]
    fn divisor(&self, j: usize, by: Divisor) -> usize {
        match by {
            Divisor::One => 1,
            Divisor::Padded if !self.adaptive() => {
                let [kernel, stride, padding, _] = self.numbers();
                // Windows are cut at the end of the padding.
                kernel.min((self.size + 2 * padding).saturating_sub(j * stride))
            }
            _ => self.taps(j).1,
        }
    }

    /// Whether all windows have the same divisor.
    fn uniform(&self, by: Divisor) -> bool {
        let Some(last) = self.out.checked_sub(1) else { return true };
        let whole = usize::from(self.windows.kernel);
        match by {
            Divisor::One => true,
            _ if self.adaptive() => self.size.is_multiple_of(self.out),
            Divisor::Inside if self.windows.padding > 0 => false,
            _ => self.divisor(last, by) == whole,
        }
    }

    /// The windows of `j..j + width` whose element number `k` is inside: a range from 0.
    #[inline(always)]
    fn reach(&self, k: usize, j: usize, width: usize) -> (usize, usize) {
        let [_, stride, padding, step] = self.numbers();
        let at = k * step;
        // First with j stride + at >= padding, first with j stride + at >= padding + size.
        let past = |limit: usize| {
            let need = limit.saturating_sub(at);
            let windows = if stride == 1 { need } else { need.div_ceil(stride) };
            windows.saturating_sub(j).min(width)
        };
        (past(padding), past(padding + self.size))
    }

    #[inline(always)]
    fn numbers(&self) -> [usize; 4] {
        let Windows { kernel, stride, padding, dilation } = self.windows;
        [kernel, stride, padding, dilation].map(usize::from)
    }
}

/// The sizes of a job.
#[derive(Clone, Copy)]
struct Job {
    axes: [Axis; 3],
    /// Planes one after another; with channels last, images.
    planes: usize,
    /// How many planes lie between one another.
    channels: usize,
}

impl Job {
    /// Elements of a plane.
    fn plane(&self) -> usize {
        self.axes.iter().map(|a| a.size).product()
    }

    /// Windows of a plane.
    fn windows(&self) -> usize {
        self.axes.iter().map(|a| a.out).product()
    }

    /// 2 x 2 windows without overlap or padding, on planes of two axes.
    fn pairs(&self) -> bool {
        let two = Windows { kernel: 2, stride: 2, padding: 0, dilation: 1 };
        let [a, b, c] = self.axes;
        let fits = |x: Axis| x.windows == two && x.out * 2 <= x.size;
        [a.size, a.out] == [1, 1] && a.windows == Windows::NONE && fits(b) && fits(c)
    }

    /// Whether windows of [`Job::pairs`] see every element.
    fn covered(&self) -> bool {
        let [_, b, c] = self.axes;
        b.out * 2 == b.size && c.out * 2 == c.size
    }

    /// Which plane a row of results belongs to, and which of its rows it is.
    #[inline(always)]
    fn row(&self, row: usize) -> (usize, usize, usize) {
        let (a, b) = (self.axes[0].out, self.axes[1].out);
        (row / (a * b), row / b % a, row % b)
    }

    /// Elements that are looked at.
    fn work(&self) -> usize {
        let of = |a: &Axis| match a.windows.kernel {
            0 => a.size.div_ceil(a.out.max(1)).max(1),
            k => usize::from(k),
        };
        let taps = self.axes.iter().map(of).product::<usize>();
        self.planes * self.channels * self.windows() * taps
    }
}

/// What windows can be pooled.
trait Real: Element + PartialOrd {
    const ZERO: Self;
    const LOWEST: Self;
    fn is_nan(self) -> bool;
    fn plus(self, other: Self) -> Self;
    fn over(self, other: Self) -> Self;
    fn count(n: usize) -> Self;
}
macro_rules! real {
    ($($t:ty),*) => {$(impl Real for $t {
        const ZERO: $t = 0.0;
        const LOWEST: $t = <$t>::NEG_INFINITY;
        #[inline(always)]
        fn is_nan(self) -> bool {
            self != self
        }
        #[inline(always)]
        fn plus(self, other: $t) -> $t {
            self + other
        }
        #[inline(always)]
        fn over(self, other: $t) -> $t {
            self / other
        }
        #[inline(always)]
        fn count(n: usize) -> $t {
            n as $t
        }
    })*};
}
real!(f32, f64);

/// Whether `v` takes the place of the largest so far.
#[inline(always)]
fn beats<T: Real>(v: T, best: T) -> bool {
    (v > best) | v.is_nan()
}

/// Results of a row that are made side by side.
const TILE: usize = 64;
/// Elements that a piece of a job looks at, about.
const PIECE: usize = 32 * 1024;

/// `for j in 0..n`, with `o = j * stride`, compiled apart for the usual strides.
macro_rules! strided {
    ($n:expr, $stride:expr, |$j:ident, $o:ident| $body:expr) => {
        match $stride {
            1 => {
                for $j in 0..$n {
                    let $o = $j;
                    $body
                }
            }
            2 => {
                for $j in 0..$n {
                    let $o = 2 * $j;
                    $body
                }
            }
            stride => {
                for $j in 0..$n {
                    let $o = stride * $j;
                    $body
                }
            }
        }
    };
}

/// For the elements of a row of the plane and the windows `first..first + width` of its axis: runs
/// the body with the window's number `j` in the tile and the element's number `i` in the row, in the
/// order of the elements for each window. `i` is inside the row, `j` below `width`.
macro_rules! along {
    ($axis:expr, $first:expr, $width:expr, |$j:ident, $i:ident| $body:expr) => {{
        let (axis, first, width): (&Axis, usize, usize) = ($axis, $first, $width);
        let [kernel, stride, padding, step] = axis.numbers();
        if axis.adaptive() || width < 8 && kernel > 8 {
            for $j in 0..width {
                let (start, n) = axis.taps(first + $j);
                for k in 0..n {
                    let $i = start + k * step;
                    $body
                }
            }
        } else {
            for k in 0..kernel {
                let (low, high) = axis.reach(k, first, width);
                if low < high {
                    let start = (first + low) * stride + k * step - padding;
                    $crate::window::strided!(high - low, stride, |n, o| {
                        let ($j, $i) = (low + n, start + o);
                        $body
                    });
                }
            }
        }
    }};
}
use {along, strided};

/// Pools planes. `operands` are the input (of [`Pooling::MaxPick`] and [`Pooling::MaxPlace`] two);
/// of [`Pooling::Spread`] it has one element a window.
///
/// # Errors
/// [`KernelError`] for windows that do not fit, types other than f32 and f64, and planes of 2^32
/// elements.
pub fn pooling(
    kind: Pooling,
    axes: [Axis; 3],
    planes: usize,
    operands: &[Mem<'_>],
    out: Mem<'_>,
) -> Result<(), KernelError> {
    checked(kind, Job { axes, planes, channels: 1 }, false, operands, out)
}

/// The same of images whose channels are the last axis, with the same bits.
///
/// # Errors
/// As [`pooling`].
pub fn pooling_last(
    kind: Pooling,
    axes: [Axis; 3],
    (images, channels): (usize, usize),
    operands: &[Mem<'_>],
    out: Mem<'_>,
) -> Result<(), KernelError> {
    checked(kind, Job { axes, planes: images, channels }, true, operands, out)
}

fn checked(
    kind: Pooling,
    job: Job,
    last: bool,
    operands: &[Mem<'_>],
    out: Mem<'_>,
) -> Result<(), KernelError> {
    let bounds = KernelError::Bounds("pooling");
    let axes = job.axes;
    let all = job.planes.checked_mul(job.channels).ok_or(bounds.clone())?;
    let size = |f: fn(&Axis) -> usize| {
        axes.iter().try_fold(all, |n, a| n.checked_mul(f(a))).ok_or(bounds.clone())
    };
    let (whole, windows) = (size(|a| a.size)?, size(|a| a.out)?);
    let bad = |a: &Axis| a.windows.stride == 0 || a.windows.dilation == 0;
    if axes.iter().any(bad) || u32::try_from(job.plane()).is_err() {
        return Err(bounds);
    }
    let fits = match (kind, operands) {
        (Pooling::Max | Pooling::MaxAt | Pooling::Mean(_), [x]) => {
            x.len() == whole && out.len() == windows
        }
        (Pooling::MaxPick, [x, v]) => x.len() == whole && v.len() == whole && out.len() == windows,
        (Pooling::MaxPlace, [x, g]) => x.len() == whole && g.len() == windows && out.len() == whole,
        (Pooling::Spread(_), [g]) => g.len() == windows && out.len() == whole,
        _ => false,
    };
    if !fits {
        return Err(bounds);
    }
    let ty = operands.first().map_or(Ty::F32, Mem::ty);
    let made = if kind == Pooling::MaxAt { Ty::I64 } else { ty };
    if operands.iter().any(|m| m.ty() != ty) || out.ty() != made || !out.writable() {
        return Err(KernelError::Type("pooling"));
    }
    if operands.iter().any(|m| m.overlaps(&out)) {
        return Err(KernelError::Overlap("pooling"));
    }
    match ty {
        Ty::F32 => run::<f32>(kind, &job, last, operands, &out),
        Ty::F64 => run::<f64>(kind, &job, last, operands, &out),
        _ => Err(KernelError::Type("pooling of such elements")),
    }
}

fn run<T: Real>(
    kind: Pooling,
    job: &Job,
    channels_last: bool,
    operands: &[Mem<'_>],
    out: &Mem<'_>,
) -> Result<(), KernelError> {
    let wrong = || KernelError::Type("pooling");
    // SAFETY: `out` overlaps no operand, and windows are used by one kernel at a time.
    let read = |k: usize| unsafe { operands.get(k).and_then(|m| m.slice_of::<T>()) };
    let x = read(0).ok_or_else(wrong)?;
    let second = || read(1).ok_or_else(wrong);
    if out.is_empty() {
        return Ok(());
    }
    if let Pooling::MaxAt = kind {
        // SAFETY: as above.
        let to = unsafe { out.slice_of_mut::<i64>() }.ok_or_else(wrong)?;
        let f = if channels_last { last::positions } else { place::positions };
        return rows(job, to, |first, to| f(job, x, first, to));
    }
    // SAFETY: as above.
    let to = unsafe { out.slice_of_mut::<T>() }.ok_or_else(wrong)?;
    match kind {
        Pooling::Max => {
            let f = if channels_last { last::largest } else { max::largest };
            rows(job, to, |first, to| f(job, x, first, to))
        }
        Pooling::MaxPick => {
            let (v, f) = (second()?, if channels_last { last::pick } else { place::pick });
            rows(job, to, |first, to| f(job, x, v, first, to))
        }
        Pooling::Mean(by) => {
            let f = if channels_last { last::mean } else { mean::mean };
            rows(job, to, |first, to| f(job, x, by, first, to))
        }
        Pooling::MaxPlace => {
            let (g, f) = (second()?, if channels_last { last::place } else { place::place });
            planes(job, to, |first, to| f(job, x, g, first, to))
        }
        Pooling::Spread(by) => {
            let f = if channels_last { last::spread } else { mean::spread };
            planes(job, to, |first, to| f(job, x, by, first, to))
        }
        Pooling::MaxAt => Err(wrong()),
    }
}

/// Runs pieces of whole rows of results: the first row's number, and where they go.
fn rows<T: Element>(
    job: &Job,
    out: &mut [T],
    f: impl Fn(usize, &mut [T]) + Sync,
) -> Result<(), KernelError> {
    let n = job.axes[2].out * job.channels;
    pieces(out, n, job.work(), f)
}

/// Runs pieces of whole planes.
fn planes<T: Element>(
    job: &Job,
    out: &mut [T],
    f: impl Fn(usize, &mut [T]) + Sync,
) -> Result<(), KernelError> {
    pieces(out, job.plane() * job.channels, job.work() + out.len(), f)
}

/// Runs pieces of whole units of `n` results.
fn pieces<T: Element>(
    out: &mut [T],
    n: usize,
    work: usize,
    f: impl Fn(usize, &mut [T]) + Sync,
) -> Result<(), KernelError> {
    let units = out.len() / n;
    let a_piece = (PIECE * units / work.max(1)).clamp(1, units);
    // SAFETY: pieces write different units.
    let to = unsafe { Shared::new(out.as_mut_ptr()) };
    pool::run(units.div_ceil(a_piece), work as u64, &|piece| {
        let first = piece * a_piece;
        let count = a_piece.min(units - first);
        // SAFETY: these units are inside, and no other piece's.
        let own = unsafe { std::slice::from_raw_parts_mut(to.get().add(first * n), count * n) };
        f(first, own);
    })?;
    Ok(())
}
