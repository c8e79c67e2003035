//! Images of other sizes: nearest, linear and cubic interpolation, and means over areas.
//!
//! Interpolation works axis by axis: each axis is a choice of neighbours (an index) and their
//! weights, which are computed with the rest of the plan. So gradients of every order are those of
//! picking and multiplying.

use smallvec::SmallVec;

use crate::error::{Code, Error, Result};
use crate::graph::called::called;
use crate::graph::dtype::DType;
use crate::graph::recorder;
use crate::graph::shape::Shape;
use crate::ops::{Divisor, Op, Pooling, pool};
use crate::tensor::Tensor;

/// How a value between pixels is found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Interpolation {
    /// The pixel before: index `floor(i * scale)`.
    #[default]
    Nearest,
    /// The pixel that is nearest: index `floor((i + 0.5) * scale)`.
    NearestExact,
    /// A straight line between neighbours on each axis (PyTorch's linear, bilinear, trilinear).
    Linear,
    /// Keys' cubic over four neighbours on each axis, with a = -0.75 (PyTorch's bicubic).
    Cubic,
    /// The mean of the area that a pixel covers: adaptive average pooling.
    Area,
}

/// What size an image gets, and how: the options of [`Tensor::interpolate`].
///
/// ```
/// use gradus_core::{Interpolation, Resize, Tensor};
/// let x = Tensor::from([0.0, 1.0]).reshape([1, 1, 2]);
/// let y = x.interpolate(Resize::by(2.0));
/// assert_eq!(y.to_vec::<f32>()?, [0.0, 0.0, 1.0, 1.0]);
/// let smooth = Resize::to([4]).mode(Interpolation::Linear);
/// assert_eq!(x.interpolate(smooth).to_vec::<f32>()?, [0.0, 0.25, 0.75, 1.0]);
/// # Ok::<(), gradus_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Resize {
    target: Target,
    mode: Interpolation,
    align_corners: Option<bool>,
    recompute_scale_factor: bool,
}

/// Sizes or factors, one for all axes or one an axis; none of more than three.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Target {
    Sizes([usize; 3], usize),
    Factors([f64; 3], usize),
    TooMany(usize),
}

impl Resize {
    fn new(target: Target) -> Resize {
        Resize {
            target,
            mode: Interpolation::Nearest,
            align_corners: None,
            recompute_scale_factor: false,
        }
    }

    /// To these sizes of the last axes; one number stands for all.
    pub fn to(sizes: impl AsRef<[usize]>) -> Resize {
        let sizes = sizes.as_ref();
        let mut all = [0; 3];
        match all.get_mut(..sizes.len()) {
            Some(some) => some.copy_from_slice(sizes),
            None => return Resize::new(Target::TooMany(sizes.len())),
        }
        Resize::new(Target::Sizes(all, sizes.len()))
    }

    /// By one factor on all axes.
    pub fn by(factor: f64) -> Resize {
        Resize::by_each([factor])
    }

    /// By a factor on each of the last axes.
    pub fn by_each(factors: impl AsRef<[f64]>) -> Resize {
        let factors = factors.as_ref();
        let mut all = [0.0; 3];
        match all.get_mut(..factors.len()) {
            Some(some) => some.copy_from_slice(factors),
            None => return Resize::new(Target::TooMany(factors.len())),
        }
        Resize::new(Target::Factors(all, factors.len()))
    }

    /// How values between pixels are found; [`Interpolation::Nearest`] by default.
    #[must_use]
    pub fn mode(self, mode: Interpolation) -> Resize {
        Resize { mode, ..self }
    }

    /// Whether the corner pixels of both images lie on each other, instead of their corners; of
    /// linear and cubic interpolation. Not by default.
    #[must_use]
    pub fn align_corners(self, yes: bool) -> Resize {
        Resize { align_corners: Some(yes), ..self }
    }

    /// Whether pixels are found by the ratio of the sizes, which are rounded, instead of by the
    /// factor. Not by default.
    #[must_use]
    pub fn recompute_scale_factor(self, yes: bool) -> Resize {
        Resize { recompute_scale_factor: yes, ..self }
    }
}

impl std::fmt::Display for Resize {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.target {
            Target::Sizes(s, n) => write!(f, "to {:?}", s.get(..n).unwrap_or(&[]))?,
            Target::Factors(s, n) => write!(f, "by {:?}", s.get(..n).unwrap_or(&[]))?,
            Target::TooMany(n) => write!(f, "{n} sizes")?,
        }
        write!(f, ", {:?}", self.mode)?;
        if self.align_corners == Some(true) { f.write_str(", corners aligned") } else { Ok(()) }
    }
}

/// One axis: its sizes before and after, and pixels of the input for one of the output.
#[derive(Clone, Copy)]
struct Line {
    axis: usize,
    from: usize,
    to: usize,
    scale: f64,
}

impl Resize {
    /// The axes of an image of this shape.
    fn lines(&self, shape: &Shape) -> Result<SmallVec<[Line; 3]>> {
        let what = "interpolate";
        let wrong = |text: String| Error::new(Code::Argument, format!("{what}: {text}"));
        let rank = shape.rank().saturating_sub(2);
        if !(1..=3).contains(&rank) || shape.dims().iter().skip(1).any(|&d| d == 0) {
            let text = format!("{what}: takes [batch, channels, ..] with one to three axes of");
            let text = format!("{text} pixels, none of them empty, not {shape}");
            return Err(Error::new(Code::Shape, text));
        }
        let smooth = matches!(self.mode, Interpolation::Linear | Interpolation::Cubic);
        if self.align_corners.is_some() && !smooth {
            return Err(wrong(format!("{:?} has no `align_corners`", self.mode)));
        }
        let count = match self.target {
            Target::Sizes(_, n) | Target::Factors(_, n) | Target::TooMany(n) => n,
        };
        if count != 1 && count != rank {
            return Err(wrong(format!("{count} sizes for the {rank} axes of pixels of {shape}")));
        }
        let of = |i: usize| if count == 1 { 0 } else { i };
        let mut lines = SmallVec::new();
        for i in 0..rank {
            let (axis, from) = (i + 2, shape.dim(i + 2));
            let (to, given) = match self.target {
                Target::Sizes(s, _) => (s[of(i)], None),
                Target::Factors(s, _) => {
                    let factor = s[of(i)];
                    let to = libm::floor(from as f64 * factor);
                    if !(factor > 0.0 && to < 1e15) {
                        return Err(wrong(format!("a factor of {factor}")));
                    }
                    (to as usize, Some(factor).filter(|_| !self.recompute_scale_factor))
                }
                Target::TooMany(_) => (0, None),
            };
            if to == 0 {
                return Err(wrong(format!("axis {axis} of {shape} would have no pixels")));
            }
            let scale = match (self.align_corners, given) {
                (Some(true), _) if to > 1 => (from - 1) as f64 / (to - 1) as f64,
                (Some(true), _) => 0.0,
                (_, Some(factor)) => 1.0 / factor,
                (_, None) => from as f64 / to as f64,
            };
            lines.push(Line { axis, from, to, scale });
        }
        Ok(lines)
    }
}

impl Tensor {
    /// An image in other sizes: `[batch, channels, ..]` with one to three axes of pixels.
    ///
    /// The modes are PyTorch's; linear and cubic interpolation work on any number of axes (PyTorch
    /// has the cubic for two). There is no antialiasing: average before you shrink by much.
    ///
    /// # Errors
    /// [`Code::Shape`] for another rank or an empty image, [`Code::Argument`] for sizes that do not
    /// fit or `align_corners` where it has no meaning, [`Code::DType`] where other elements than f32
    /// and f64 would be averaged.
    #[track_caller]
    #[must_use]
    pub fn interpolate(&self, how: Resize) -> Tensor {
        let _called = called("interpolate");
        let meta = self.peek();
        let lines = match how.lines(&meta.shape) {
            Ok(lines) => lines,
            Err(error) => return self.refuse(error),
        };
        let averages = !matches!(how.mode, Interpolation::Nearest | Interpolation::NearestExact);
        if averages && !meta.dtype.is_float() {
            let text = format!("interpolate: takes f32 or f64, not {}", meta.dtype);
            return self.refuse(Error::new(Code::DType, text).help("`cast(DType::F32)` first"));
        }
        if recorder::error_of(self).is_some() {
            return self.clone();
        }
        if how.mode == Interpolation::Area {
            return self.areas(&lines);
        }
        // Axes that shrink first: less to do for the others.
        let mut out = self.clone();
        let (shrink, grow) = (|l: &&Line| l.to < l.from, |l: &&Line| l.to >= l.from);
        for line in lines.iter().filter(shrink).chain(lines.iter().rev().filter(grow)) {
            out = match how.mode {
                Interpolation::Nearest => out.nearest(line, false),
                Interpolation::NearestExact => out.nearest(line, true),
                Interpolation::Linear => out.linear_along(line, how.align_corners == Some(true)),
                _ => out.cubic_along(line, how.align_corners == Some(true)),
            };
        }
        out
    }

    #[track_caller]
    fn areas(&self, lines: &[Line]) -> Tensor {
        let shape = self.peek().shape;
        let sizes: SmallVec<[usize; 3]> = lines.iter().map(|l| l.to).collect();
        match pool::shared_out("interpolate", &shape, &sizes) {
            Ok((shape, windows)) => {
                let (kind, rank) = (Pooling::Mean(Divisor::Inside), lines.len() as u8);
                self.apply(Op::Pool { kind, rank, windows }, &[], Some(shape))
            }
            Err(error) => self.refuse(error),
        }
    }

    /// One neighbour along an axis. The numbers are f32, as in PyTorch, so that the same pixel is
    /// chosen where rounding decides.
    #[track_caller]
    fn nearest(&self, line: &Line, exact: bool) -> Tensor {
        let Line { axis, from, to, scale } = *line;
        let scale = scale as f32;
        let last = (from - 1) as f32;
        let of = |i: usize| {
            let at = match exact {
                false => i as f32 * scale,
                true => ((i as f64 + 0.5) * f64::from(scale)) as f32,
            };
            libm::floorf(at).min(last) as usize
        };
        let shape = self.peek().shape;
        let factor = to / from;
        if (0..to).all(|i| of(i) == i / factor.max(1)) && factor * from == to {
            // Each pixel several times: no index is needed, and the gradient is a sum.
            let thin = shape.insert(axis + 1, 1);
            return self
                .reshape_to(thin)
                .broadcast_to(thin.with(axis + 1, factor))
                .reshape_to(shape.with(axis, to));
        }
        let i = Tensor::arange(0, to as i64);
        let at = match exact {
            false => i.cast(DType::F32) * scale,
            true => ((i.cast(DType::F64) + 0.5) * f64::from(scale)).cast(DType::F32),
        };
        let index = at.floor().clamp(0.0, last).cast(DType::I64);
        self.index_select(axis as isize, &index)
    }

    /// The element along an axis at each index of a vector, which is first limited to the axis.
    #[track_caller]
    fn beside(&self, axis: usize, at: &Tensor, from: usize) -> Tensor {
        let index = at.clamp(0.0, (from - 1) as f64).cast(DType::I64);
        self.index_select(axis as isize, &index)
    }

    /// A vector as weights along an axis, in this tensor's type.
    #[track_caller]
    fn weights(&self, axis: usize, w: &Tensor) -> Tensor {
        let meta = self.peek();
        let count = w.peek().shape.dim(0);
        let mut thin = Shape::SCALAR;
        for i in 0..meta.shape.rank() {
            thin = thin.insert(i, if i == axis { count } else { 1 });
        }
        w.cast(meta.dtype).reshape_to(thin)
    }

    #[track_caller]
    fn linear_along(&self, line: &Line, aligned: bool) -> Tensor {
        let Line { axis, from, .. } = *line;
        if line.stays() {
            return self.clone();
        }
        let at = line.source(aligned).clamp(0.0, (from - 1) as f64);
        let floor = at.floor();
        let t = self.weights(axis, &(&at - &floor));
        let low = self.beside(axis, &floor, from);
        let high = self.beside(axis, &(&floor + 1.0), from);
        &low * (1.0 - &t) + &high * &t
    }

    #[track_caller]
    fn cubic_along(&self, line: &Line, aligned: bool) -> Tensor {
        let Line { axis, from, .. } = *line;
        if line.stays() {
            return self.clone();
        }
        let at = line.source(aligned);
        let floor = at.floor();
        let parts = cubic(&(&at - &floor));
        let mut sum: Option<Tensor> = None;
        for (k, w) in parts.iter().enumerate() {
            let part = self.beside(axis, &(&floor + (k as f64 - 1.0)), from);
            let part = part * self.weights(axis, w);
            sum = Some(match sum {
                Some(sum) => sum + part,
                None => part,
            });
        }
        sum.unwrap_or_else(|| self.clone())
    }
}

impl Line {
    /// Whether each pixel stays where it is.
    fn stays(&self) -> bool {
        self.from == self.to && (self.scale == 1.0 || self.from == 1)
    }

    /// Where the pixels of the output lie on the input, f64; before limiting.
    #[track_caller]
    fn source(&self, aligned: bool) -> Tensor {
        let i = Tensor::arange(0, self.to as i64).cast(DType::F64);
        if aligned { i * self.scale } else { (i + 0.5) * self.scale - 0.5 }
    }
}

/// The weights of the four neighbours of a place `t` behind the second one: Keys, 1981, a = -0.75.
#[track_caller]
pub(crate) fn cubic(t: &Tensor) -> [Tensor; 4] {
    const A: f64 = -0.75;
    // |x| <= 1: (a + 2) x^3 - (a + 3) x^2 + 1; beyond: a x^3 - 5a x^2 + 8a x - 4a.
    let near = |x: &Tensor| ((x * (A + 2.0)) - (A + 3.0)) * x * x + 1.0;
    let far = |x: &Tensor| ((x * A - 5.0 * A) * x + 8.0 * A) * x - 4.0 * A;
    let back = 1.0 - t;
    [far(&(t + 1.0)), near(t), near(&back), far(&(&back + 1.0))]
}
