//! Tensors from nothing: zeros, ones, full, arange, eye.

use std::panic::Location;

use super::{Meta, Op};
use crate::array::Array;
use crate::error::{Code, Error};
use crate::graph::dtype::DType;
use crate::graph::recorder::{self, Side};
use crate::graph::shape::Shape;
use crate::tensor::Tensor;

impl Tensor {
    /// Zeros, f32.
    #[track_caller]
    pub fn zeros(shape: impl Into<Shape>) -> Tensor {
        Tensor::full(shape, 0.0)
    }

    /// Ones, f32.
    #[track_caller]
    pub fn ones(shape: impl Into<Shape>) -> Tensor {
        Tensor::full(shape, 1.0)
    }

    /// One f32 value everywhere; takes no memory until it is read.
    #[track_caller]
    pub fn full(shape: impl Into<Shape>, value: f64) -> Tensor {
        crate::tensor::operand::number(value, DType::F32, Location::caller()).broadcast_to(shape)
    }

    /// Integers `start..end`, i64.
    #[track_caller]
    pub fn arange(start: i64, end: i64) -> Tensor {
        let place = Location::caller();
        let count = usize::try_from(end.saturating_sub(start)).unwrap_or(0);
        let shape = Shape::new(&[count]);
        if let Err(error) = shape.check("arange") {
            return recorder::failed(error, place);
        }
        let index = recorder::with(|r| {
            let meta = Meta { shape, dtype: DType::I64 };
            let slot = r.record_source(Op::Index(0), meta, Side::None, place);
            r.handle(slot)
        });
        if start == 0 { index } else { index + start }
    }

    /// `count` evenly spaced f32 values from `start` to `end`, both included.
    #[track_caller]
    pub fn linspace(start: f64, end: f64, count: usize) -> Tensor {
        let step = if count > 1 { (end - start) / (count - 1) as f64 } else { 0.0 };
        // Counted from the nearer end, so that both ends are exact.
        let at = |i: usize| match i < count / 2 {
            true => start + step * i as f64,
            false if count > 1 => end - step * (count - 1 - i) as f64,
            false => start,
        };
        match Array::build::<f32>([count], |out| {
            for (i, o) in out.iter_mut().enumerate() {
                *o = at(i) as f32;
            }
        }) {
            Ok(array) => recorder::leaf(array, false, Location::caller()),
            Err(error) => recorder::failed(error, Location::caller()),
        }
    }

    /// The identity matrix `[n, n]`, f32.
    #[track_caller]
    pub fn eye(n: usize) -> Tensor {
        Tensor::arange(0, i64::try_from(n).unwrap_or(i64::MAX)).one_hot(n)
    }

    /// Tensors of one shape one above another on a new axis.
    #[track_caller]
    pub fn stack(tensors: &[&Tensor], axis: isize) -> Tensor {
        if tensors.is_empty() {
            let error = Error::new(Code::Argument, "stack: needs at least one tensor");
            return recorder::failed(error, Location::caller());
        }
        let wide: Vec<Tensor> = tensors.iter().map(|t| t.unsqueeze(axis)).collect();
        let refs: Vec<&Tensor> = wide.iter().collect();
        Tensor::concat(&refs, axis)
    }
}
