//! Random tensors.
//!
//! A draw is Philox(seed, stream, number, element): a value depends on nothing but these, so it
//! can be computed again instead of being stored, and is the same for any number of threads.

use std::panic::Location;

use super::{Dist, Meta, Op};
use crate::error::{Code, Error};
use crate::graph::called::called;
use crate::graph::dtype::DType;
use crate::graph::recorder::{self, Side};
use crate::graph::shape::Shape;
use crate::random::Stream;
use crate::tensor::{Operand, Tensor, operand};

#[track_caller]
pub(super) fn draw(dist: Dist, shape: Shape, stream: Stream) -> Tensor {
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

    /// Uniform random f32 in `[low, high)`.
    ///
    /// ```
    /// use gradus_core::Tensor;
    /// let x = Tensor::uniform([100], -1.0, 1.0);
    /// assert!(x.max().item()? < 1.0 && x.min().item()? >= -1.0);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    #[track_caller]
    pub fn uniform(shape: impl Into<Shape>, low: f64, high: f64) -> Tensor {
        let _called = called("uniform");
        Tensor::rand(shape) * (high - low) + low
    }

    /// Normal random f32: `mean + std * z` with `z` standard normal.
    ///
    /// `mean` and `std` are numbers, or tensors that broadcast to the shape; gradients flow to them
    /// (the reparametrisation trick; PyTorch's `torch.normal` has none).
    ///
    /// ```
    /// use gradus_core::Tensor;
    /// let mean = Tensor::from([[0.0], [100.0]]);
    /// let x = Tensor::normal([2, 50], &mean, 0.1);
    /// assert!((x.mean_dim(1).to_vec::<f32>()?[1] - 100.0).abs() < 1.0);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    #[track_caller]
    #[allow(clippy::needless_pass_by_value, reason = "as all operands are taken")]
    pub fn normal(shape: impl Into<Shape>, mean: impl Operand, std: impl Operand) -> Tensor {
        let _called = called("normal");
        let shape = shape.into();
        let y = Tensor::randn(shape) * std + mean;
        // Parameters that are larger than the shape would broadcast it.
        y.broadcast_to(shape)
    }

    /// Exponential random f32 with a rate: mean `1 / rate`, density `rate * exp(-rate * x)`.
    #[track_caller]
    pub fn exponential(shape: impl Into<Shape>, rate: f64) -> Tensor {
        let _called = called("exponential");
        if !(rate > 0.0 && rate.is_finite()) {
            let text = format!("exponential: the rate {rate} is not positive and finite");
            return recorder::failed(Error::new(Code::Argument, text), Location::caller());
        }
        // The draw is less than 1, so the logarithm is finite.
        (-Tensor::rand(shape)).log1p() * (-1.0 / rate)
    }

    /// Uniform random f32 in [0, 1) in the shape of this tensor; f64 if this is f64.
    #[track_caller]
    #[must_use]
    pub fn rand_like(&self) -> Tensor {
        let _called = called("rand_like");
        self.drawn_like(Dist::Uniform)
    }

    /// Standard normal random numbers in the shape and float type of this tensor.
    #[track_caller]
    #[must_use]
    pub fn randn_like(&self) -> Tensor {
        let _called = called("randn_like");
        self.drawn_like(Dist::Normal)
    }

    #[track_caller]
    fn drawn_like(&self, dist: Dist) -> Tensor {
        let meta = self.peek();
        if self.is_failed() {
            return self.clone();
        }
        if !meta.dtype.is_float() {
            let text = format!("rand_like: a tensor of {} has no such numbers", meta.dtype);
            let error = Error::new(Code::DType, text).help("`Tensor::randint` draws integers");
            return recorder::failed(error, Location::caller());
        }
        operand::cast_to(&draw(dist, meta.shape, Stream::User), meta.dtype, Location::caller())
    }

    /// 1 with the probability that this tensor has at that place, else 0, in its shape and type.
    ///
    /// Probabilities are in `[0, 1]`; smaller ones count as 0, larger ones as 1. Gradients do not
    /// flow through it.
    ///
    /// ```
    /// use gradus_core::Tensor;
    /// let coins = Tensor::from([0.0, 1.0]).bernoulli();
    /// assert_eq!(coins.to_vec::<f32>()?, [0.0, 1.0]);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    #[track_caller]
    #[must_use]
    pub fn bernoulli(&self) -> Tensor {
        let _called = called("bernoulli");
        let meta = self.peek();
        if self.is_failed() {
            return self.clone();
        }
        if !meta.dtype.is_float() {
            let text = format!("bernoulli: probabilities of type {}", meta.dtype);
            let error = Error::new(Code::DType, text).help("`cast` them to f32 first");
            return recorder::failed(error, Location::caller());
        }
        let noise = draw(Dist::Uniform, meta.shape, Stream::User);
        operand::cast_to(&noise, meta.dtype, Location::caller()).lt(self).cast(meta.dtype)
    }
}
