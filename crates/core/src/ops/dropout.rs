//! Random zeros: dropout in its forms, and leaky rectifiers with random slopes.
//!
//! A draw happens in training (from the train stream) and in [`crate::sampling`] (from the inference
//! stream); otherwise these are what they are on average, or change nothing.

use std::panic::Location;

use super::norm::ones;
use super::random::draw;
use super::{Binary, Dist, Op};
use crate::error::{Code, Error};
use crate::graph::called::called;
use crate::graph::dtype::DType;
use crate::graph::recorder::{self, Side};
use crate::graph::shape::Shape;
use crate::random::Stream;
use crate::tensor::Tensor;
use crate::tensor::operand::{cast_to, number};

/// `-scale * alpha` of SELU: what its units give for very negative values.
const ALPHA: f64 = 1.758_099_340_847_376_6;

/// The stream that random layers draw from now, if they draw.
fn stream() -> Option<Stream> {
    let mode = recorder::with(|r| r.mode);
    match (mode.sampling, mode.training) {
        (true, _) => Some(Stream::Inference),
        (false, true) => Some(Stream::Train),
        (false, false) => None,
    }
}

impl Tensor {
    /// Whether dropout with this probability draws now.
    pub(super) fn draws(&self, p: f64) -> bool {
        p > 0.0 && stream().is_some()
    }

    /// An error, or the stream to draw from; `None` where nothing is to be drawn.
    #[track_caller]
    fn drawing(&self, what: &str, p: f64) -> Result<Option<Stream>, Tensor> {
        if self.is_failed() {
            return Err(self.clone());
        }
        let place = Location::caller();
        let fail = |error| Err(recorder::failed(error, place));
        if !(0.0..=1.0).contains(&p) {
            let text = format!("{what}: the probability {p} is not in [0, 1]");
            return fail(Error::new(Code::Argument, text));
        }
        let dtype = self.peek().dtype;
        if !dtype.is_float() {
            return fail(Error::new(Code::DType, format!("{what}: takes f32 or f64, not {dtype}")));
        }
        Ok(stream().filter(|_| p > 0.0))
    }

    /// 1 with probability `1 - p`, else 0, in this tensor's type.
    #[track_caller]
    fn kept(&self, shape: Shape, p: f64, stream: Stream) -> Tensor {
        let place = Location::caller();
        let noise = draw(Dist::Uniform, shape, stream);
        let p = number(p, DType::F32, place);
        let kept = recorder::record(Op::Binary(Binary::Ge), &[&noise, &p], None, Side::None, place);
        kept.cast(self.peek().dtype)
    }

    #[track_caller]
    fn times(&self, other: &Tensor) -> Tensor {
        let place = Location::caller();
        recorder::record(Op::Binary(Binary::Mul), &[self, other], None, Side::None, place)
    }

    /// Zeroes what shares a place in `shape`, which broadcasts to this one's, with probability `p`,
    /// and divides the rest by `1 - p`.
    #[track_caller]
    fn dropped(&self, what: &str, p: f64, shape: Shape) -> Tensor {
        match self.drawing(what, p) {
            Err(failed) => failed,
            Ok(None) => self.clone(),
            Ok(Some(stream)) => {
                let scale = if p < 1.0 { 1.0 / (1.0 - p) } else { 0.0 };
                let scale = number(scale, self.peek().dtype, Location::caller());
                self.times(&self.kept(shape, p, stream).times(&scale))
            }
        }
    }

    /// Zeroes each element with probability `p` and divides the others by `1 - p`, while training;
    /// in inference mode it changes nothing (inverted dropout, as in PyTorch).
    ///
    /// `p` is in `[0, 1]`. Source: Srivastava et al., 2014.
    #[track_caller]
    #[must_use]
    pub fn dropout(&self, p: f64) -> Tensor {
        let _called = called("dropout");
        self.dropped("dropout", p, self.peek().shape)
    }

    /// Dropout as it was first described: while training each element is zeroed with probability
    /// `p` and the others stay; otherwise all are multiplied by `1 - p`.
    ///
    /// Source: Srivastava et al., 2014.
    ///
    /// ```
    /// use gradus_core::{Tensor, evaluation};
    /// let y = evaluation(|| Tensor::from([4.0, 8.0]).classic_dropout(0.25));
    /// assert_eq!(y.to_vec::<f32>()?, [3.0, 6.0]);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    #[track_caller]
    #[must_use]
    pub fn classic_dropout(&self, p: f64) -> Tensor {
        let _called = called("classic_dropout");
        match self.drawing("classic_dropout", p) {
            Err(failed) => failed,
            Ok(None) => self * (1.0 - p),
            Ok(Some(stream)) => self.times(&self.kept(self.peek().shape, p, stream)),
        }
    }

    /// Zeroes whole channels (axis 1 of `[batch, channels, ..]`) of single samples with probability
    /// `p` and divides the others by `1 - p`, while training.
    ///
    /// # Errors
    /// [`Code::Shape`] for fewer than two axes; else as [`Tensor::dropout`].
    ///
    /// Source: Tompson and others, 2015.
    #[track_caller]
    #[must_use]
    pub fn feature_dropout(&self, p: f64) -> Tensor {
        let _called = called("feature_dropout");
        match self.of_channels("feature_dropout") {
            Ok(shape) => self.dropped("feature_dropout", p, shape),
            Err(failed) => failed,
        }
    }

    /// Zeroes whole samples (axis 0) with probability `p` and divides the others by `1 - p`, while
    /// training: stochastic depth, for the branch of a residual block.
    ///
    /// # Errors
    /// [`Code::Shape`] for a scalar; else as [`Tensor::dropout`].
    ///
    /// Source: Huang and others, 2016.
    #[track_caller]
    #[must_use]
    pub fn drop_path(&self, p: f64) -> Tensor {
        let _called = called("drop_path");
        let shape = self.peek().shape;
        if shape.rank() == 0 {
            let error = Error::new(Code::Shape, "drop_path: a scalar has no axis of samples");
            return self.refuse(error);
        }
        self.dropped("drop_path", p, ones(shape.rank()).with(0, shape.dim(0)))
    }

    /// Dropout for SELU networks: elements become the value of a saturated unit with probability
    /// `p`, and an affine map brings mean and variance back, while training.
    ///
    /// # Errors
    /// As [`Tensor::dropout`].
    ///
    /// Source: Klambauer and others, 2017.
    #[track_caller]
    #[must_use]
    pub fn alpha_dropout(&self, p: f64) -> Tensor {
        let _called = called("alpha_dropout");
        self.alpha_dropped("alpha_dropout", p, self.peek().shape)
    }

    /// [`Tensor::alpha_dropout`] of whole channels (axis 1) of single samples.
    ///
    /// # Errors
    /// As [`Tensor::feature_dropout`].
    #[track_caller]
    #[must_use]
    pub fn feature_alpha_dropout(&self, p: f64) -> Tensor {
        let _called = called("feature_alpha_dropout");
        match self.of_channels("feature_alpha_dropout") {
            Ok(shape) => self.alpha_dropped("feature_alpha_dropout", p, shape),
            Err(failed) => failed,
        }
    }

    #[track_caller]
    fn alpha_dropped(&self, what: &str, p: f64, shape: Shape) -> Tensor {
        match self.drawing(what, p) {
            Err(failed) => failed,
            Ok(None) => self.clone(),
            // As in PyTorch: everything is dropped, and no map gives the variance back.
            Ok(Some(_)) if p == 1.0 => self * 0.0,
            Ok(Some(stream)) => {
                let kept = self.kept(shape, p, stream);
                let a = 1.0 / libm::sqrt((ALPHA * ALPHA * p + 1.0) * (1.0 - p));
                // a * x where it is kept, -a * ALPHA elsewhere, and both moved by a * ALPHA * p.
                let shift = (&kept - (1.0 - p)) * (ALPHA * a);
                self * (kept * a) + shift
            }
        }
    }

    /// One place for each channel of each sample.
    #[track_caller]
    fn of_channels(&self, what: &str) -> Result<Shape, Tensor> {
        let shape = self.peek().shape;
        if shape.rank() < 2 {
            let text = format!("{what}: {shape} has no axis of channels");
            let error = Error::new(Code::Shape, text).help("the axes are [batch, channels, ..]");
            return Err(self.refuse(error));
        }
        Ok(ones(shape.rank()).with(0, shape.dim(0)).with(1, shape.dim(1)))
    }

    /// [`Tensor::leaky_relu`] with a slope that is drawn for each negative element, uniform in
    /// `[lower, upper)`, while training, and the middle of them otherwise.
    ///
    /// PyTorch's defaults are 1/8 and 1/3.
    ///
    /// # Errors
    /// [`Code::Argument`] for limits that cross or are not finite.
    ///
    /// Source: Xu and others, 2015.
    ///
    /// ```
    /// use gradus_core::{Tensor, evaluation};
    /// let y = evaluation(|| Tensor::from([-4.0, 2.0]).rrelu(0.25, 0.75));
    /// assert_eq!(y.to_vec::<f32>()?, [-2.0, 2.0]);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    #[track_caller]
    #[must_use]
    pub fn rrelu(&self, lower: f64, upper: f64) -> Tensor {
        let _called = called("rrelu");
        if !(lower <= upper && lower.is_finite() && upper.is_finite()) {
            let text = format!("rrelu: the limits {lower} and {upper} cross or are not finite");
            return self.refuse(Error::new(Code::Argument, text));
        }
        match self.drawing("rrelu", 1.0) {
            Err(failed) => failed,
            Ok(None) => self.leaky_relu((lower + upper) / 2.0),
            Ok(Some(stream)) => {
                let place = Location::caller();
                let meta = self.peek();
                let noise = cast_to(&draw(Dist::Uniform, meta.shape, stream), meta.dtype, place);
                self.gt(0.0).where_(self, self * (noise * (upper - lower) + lower))
            }
        }
    }
}
