//! Random tensors and dropout.
//!
//! A draw is Philox(seed, stream, number, element): a value depends on nothing but these, so it
//! can be computed again instead of being stored, and is the same for any number of threads.

use std::panic::Location;

use super::{Binary, Dist, Meta, Op};
use crate::error::{Code, Error};
use crate::graph::dtype::DType;
use crate::graph::recorder::{self, Side};
use crate::graph::shape::Shape;
use crate::random::Stream;
use crate::tensor::Tensor;

#[track_caller]
fn draw(dist: Dist, shape: Shape, stream: Stream) -> Tensor {
    let place = Location::caller();
    if let Err(error) = shape.check("random") {
        return recorder::failed(error, place);
    }
    recorder::with(|r| {
        let key = r.streams.next(stream);
        let meta = Meta { shape, dtype: DType::F32 };
        let slot = r.record_source(Op::Random(dist), meta, Side::Key(key), place);
        r.handle(slot)
    })
}

impl Tensor {
    /// Uniform random f32 in [0, 1).
    #[track_caller]
    pub fn rand(shape: impl Into<Shape>) -> Tensor {
        draw(Dist::Uniform, shape.into(), Stream::User)
    }

    /// Standard normal random f32.
    #[track_caller]
    pub fn randn(shape: impl Into<Shape>) -> Tensor {
        draw(Dist::Normal, shape.into(), Stream::User)
    }

    /// Zeroes each element with probability `p` and divides the others by `1 - p`, while training;
    /// in inference mode it changes nothing (inverted dropout, as in PyTorch).
    ///
    /// `p` is in `[0, 1]`. Source: Srivastava et al., 2014.
    #[track_caller]
    #[must_use]
    pub fn dropout(&self, p: f64) -> Tensor {
        let place = Location::caller();
        if recorder::error_of(self).is_some() {
            return self.clone();
        }
        if !(0.0..=1.0).contains(&p) {
            let text = format!("dropout: the probability {p} is not in [0, 1]");
            return recorder::failed(Error::new(Code::Argument, text), place);
        }
        let meta = self.peek();
        if !meta.dtype.is_float() {
            let text = format!("dropout: takes f32 or f64, not {}", meta.dtype);
            return recorder::failed(Error::new(Code::DType, text), place);
        }
        if !recorder::with(|r| r.mode.training) || p == 0.0 {
            return self.clone();
        }
        let noise = draw(Dist::Uniform, meta.shape, Stream::Train);
        let p32 = crate::tensor::operand::number(p, DType::F32, place);
        let kept =
            recorder::record(Op::Binary(Binary::Ge), &[&noise, &p32], None, Side::None, place);
        let scale = if p < 1.0 { 1.0 / (1.0 - p) } else { 0.0 };
        let mask = kept.cast(meta.dtype);
        let scale = crate::tensor::operand::number(scale, meta.dtype, place);
        let mask =
            recorder::record(Op::Binary(Binary::Mul), &[&mask, &scale], None, Side::None, place);
        recorder::record(Op::Binary(Binary::Mul), &[self, &mask], None, Side::None, place)
    }
}
