//! Evenly spaced numbers: `arange`, `linspace`, `logspace`.

use std::panic::Location;

use super::creation::{Number, from_result, to_i64};
use super::{Meta, Op};
use crate::array::Array;
use crate::error::{Code, Error};
use crate::graph::called::called;
use crate::graph::dtype::DType;
use crate::graph::recorder::{self, Side};
use crate::graph::shape::Shape;
use crate::tensor::operand::Arg;
use crate::tensor::{Operand, Tensor};

impl Tensor {
    /// Numbers from `start` to before `end` in steps of 1: i64 for integers, f32 for reals. Nothing
    /// if `end` is not larger.
    ///
    /// ```
    /// use gradus_core::Tensor;
    /// assert_eq!(Tensor::arange(2, 5).to_vec::<i64>()?, [2, 3, 4]);
    /// assert_eq!(Tensor::arange(0.5, 2.0).to_vec::<f32>()?, [0.5, 1.5]);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    #[track_caller]
    pub fn arange<T: Into<Number>>(start: T, end: T) -> Tensor {
        let _called = called("arange");
        let (start, end) = (start.into(), end.into());
        match (start, end) {
            (Number::Integer(a), Number::Integer(b)) if b <= a => integers(0, 0, 1),
            (Number::Integer(a), Number::Integer(b)) => {
                integers(a, usize::try_from(b.saturating_sub(a)).unwrap_or(usize::MAX), 1)
            }
            _ if end.real() <= start.real() => reals(start.real(), 0, 1.0),
            _ => Tensor::arange_step(start, end, Number::Real(1.0)),
        }
    }

    /// Numbers from `start` to before `end` in steps of `step`: i64 for integers, f32 for reals.
    ///
    /// Element `i` is `start + i * step`, rounded once. With reals whether the last step still counts
    /// depends on rounding, as in NumPy; prefer [`Tensor::linspace`] where that matters. A step of 0,
    /// or one that leads away from `end`, is an error.
    ///
    /// ```
    /// use gradus_core::Tensor;
    /// assert_eq!(Tensor::arange_step(10, 0, -3).to_vec::<i64>()?, [10, 7, 4, 1]);
    /// assert_eq!(Tensor::arange_step(0.0, 1.0, 0.25).to_vec::<f32>()?, [0.0, 0.25, 0.5, 0.75]);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    #[track_caller]
    pub fn arange_step<T: Into<Number>>(start: T, end: T, step: T) -> Tensor {
        let _called = called("arange_step");
        let (start, end, step) = (start.into(), end.into(), step.into());
        let (a, b, s) = (start.real(), end.real(), step.real());
        let place = Location::caller();
        let wrong = |why: String, help: &str| {
            let error = Error::new(Code::Argument, format!("arange_step: {why}")).help(help);
            recorder::failed(error, place)
        };
        if s == 0.0 {
            return wrong("the step is 0".into(), "it would never reach the end");
        }
        if !(a.is_finite() && b.is_finite() && s.is_finite()) {
            return wrong(format!("{a} to {b} in steps of {s}"), "all three have to be finite");
        }
        if (b - a) * s < 0.0 {
            let help = "swap the ends, or change the sign of the step";
            return wrong(format!("steps of {s} lead from {a} away from {b}"), help);
        }
        if let (Number::Integer(a), Number::Integer(b), Number::Integer(s)) = (start, end, step) {
            let count = (i128::from(b) - i128::from(a)).unsigned_abs();
            let count = count.div_ceil(u128::from(s.unsigned_abs()));
            return integers(a, usize::try_from(count).unwrap_or(usize::MAX), s);
        }
        // Saturates; a count that is too large fails the check of the shape.
        reals(a, ((b - a) / s).ceil() as usize, s)
    }

    /// `count` evenly spaced f32 values from `start` to `end`, both included. The ends are numbers,
    /// or tensors of rank 0, which gradients reach.
    ///
    /// ```
    /// use gradus_core::Tensor;
    /// assert_eq!(Tensor::linspace(0.0, 1.0, 3).to_vec::<f32>()?, [0.0, 0.5, 1.0]);
    /// let end = Tensor::from(4.0).with_grad();
    /// let sum = Tensor::linspace(0.0, &end, 3).sum();
    /// assert_eq!(sum.grad(&end)?.item()?, 1.5);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    #[track_caller]
    #[allow(clippy::needless_pass_by_value, reason = "as all operands are taken")]
    pub fn linspace(start: impl Operand, end: impl Operand, count: usize) -> Tensor {
        let _called = called("linspace");
        let number = |v: &dyn Operand| match v.arg() {
            Arg::Real(v) => Some(v),
            Arg::Integer(v) => Some(v as f64),
            _ => None,
        };
        if let (Some(start), Some(end)) = (number(&start), number(&end)) {
            return spaced(start, end, count);
        }
        let (a, b) = match (scalar("start", start), scalar("end", end)) {
            (Ok(a), Ok(b)) => (real(&a), real(&b)),
            (Err(failed), _) | (_, Err(failed)) => return failed,
        };
        let i = Tensor::arange(0, to_i64(count));
        let back = to_i64(count.saturating_sub(1)) - &i;
        let step = (&b - &a) / (count.max(2) - 1) as f64;
        let from_start = &a + &step * real(&i);
        if count < 2 {
            return from_start;
        }
        // Counted from the nearer end, so that both ends are exact.
        let from_end = &b - &step * real(&back);
        i.lt(to_i64(count / 2)).where_(from_start, from_end)
    }

    /// `count` f32 values from `base^start` to `base^end` whose exponents are evenly spaced, both ends
    /// included. PyTorch's default for `base` is 10.
    ///
    /// ```
    /// use gradus_core::Tensor;
    /// assert_eq!(Tensor::logspace(0.0, 3.0, 4, 2.0).to_vec::<f32>()?, [1.0, 2.0, 4.0, 8.0]);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    #[track_caller]
    pub fn logspace(start: f64, end: f64, count: usize, base: f64) -> Tensor {
        let _called = called("logspace");
        let place = Location::caller();
        match Array::build::<f32>([count], |out| {
            for (i, o) in out.iter_mut().enumerate() {
                *o = base.powf(point(start, end, count, i)) as f32;
            }
        }) {
            Ok(array) => recorder::leaf(array, false, place),
            Err(error) => recorder::failed(error, place),
        }
    }
}

/// The same, as f32 if it is not a float.
#[track_caller]
fn real(x: &Tensor) -> Tensor {
    if x.peek().dtype.is_float() { x.clone() } else { x.cast(DType::F32) }
}

/// Point `i` of `count` from `start` to `end`, counted from the nearer end, so that both are exact.
fn point(start: f64, end: f64, count: usize, i: usize) -> f64 {
    let step = if count > 1 { (end - start) / (count - 1) as f64 } else { 0.0 };
    if i < count / 2 || count < 2 {
        start + step * i as f64
    } else {
        end - step * (count - 1 - i) as f64
    }
}

#[track_caller]
fn spaced(start: f64, end: f64, count: usize) -> Tensor {
    from_result(Array::build::<f32>([count], |out| {
        for (i, o) in out.iter_mut().enumerate() {
            *o = point(start, end, count, i) as f32;
        }
    }))
}

/// `start + i * step`, f32.
#[track_caller]
fn reals(start: f64, count: usize, step: f64) -> Tensor {
    from_result(Array::build::<f32>([count], |out| {
        for (i, o) in out.iter_mut().enumerate() {
            *o = (start + i as f64 * step) as f32;
        }
    }))
}

/// `start + i * step`, i64, computed where it is used.
#[track_caller]
fn integers(start: i64, count: usize, step: i64) -> Tensor {
    let place = Location::caller();
    let shape = Shape::new(&[count]);
    if let Err(error) = shape.check("arange") {
        return recorder::failed(error, place);
    }
    let index = recorder::with(|r| {
        let meta = Meta { shape, dtype: DType::I64 };
        let slot = r.record_source(Op::Index(0), meta, Side::None, place);
        r.handle(slot)
    });
    let scaled = if step == 1 { index } else { index * step };
    if start == 0 { scaled } else { scaled + start }
}

/// An operand that has to be a single number: its tensor.
#[track_caller]
fn scalar(name: &str, value: impl Operand) -> Result<Tensor, Tensor> {
    let value = value.arg().into_tensor();
    let shape = value.peek().shape;
    if value.is_failed() {
        return Err(value);
    }
    if shape.rank() == 0 {
        return Ok(value);
    }
    let text = format!("linspace: the {name} is a tensor {shape}, not a single number");
    let error = Error::new(Code::Shape, text).help("a tensor of rank 0 will do, as from `sum()`");
    Err(recorder::failed(error, Location::caller()))
}
