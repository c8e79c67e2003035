//! How elements are read and written.
//!
//! Arithmetic knows three kinds of elements: real numbers (all float types, as f64), whole numbers
//! (all integer types, as i64) and truth values. A real result is rounded to its type once, at the
//! very end, so it is the best answer that the type can hold; a whole result wraps there.

use gradus_kernels::memory::KernelError;
use half::{bf16, f16};

use super::Result;
use crate::array::Array;
use crate::graph::dtype::{DType, Scalar};
use crate::graph::shape::{MAX_RANK, Shape};
use crate::ops::{Meta, Precision};

/// The elements of an array in row-major order, as the type that they are computed in.
pub(super) enum Values {
    /// f32, f64, bf16, f16.
    Real(Vec<f64>),
    /// i64, i32, u8.
    Whole(Vec<i64>),
    /// bool.
    Truth(Vec<bool>),
}

impl Values {
    /// The elements of `x`; nothing is rounded.
    pub(super) fn of(x: &Array) -> Result<Values> {
        Ok(match x.dtype() {
            DType::F32 | DType::F64 | DType::BF16 | DType::F16 => Values::Real(x.to_f64()),
            DType::I64 => Values::Whole(elements(x)?),
            DType::I32 => Values::Whole(map(&elements::<i32>(x)?, i64::from)),
            DType::U8 => Values::Whole(map(&elements::<u8>(x)?, i64::from)),
            DType::Bool => Values::Truth(elements(x)?),
        })
    }

    /// An array of them; this is where real numbers are rounded and whole numbers wrap.
    pub(super) fn into_array(self, out: Meta) -> Result<Array> {
        match (self, out.dtype) {
            (Values::Real(v), DType::F32) => array(out.shape, &map(&v, |x| x as f32)),
            (Values::Real(v), DType::F64) => array(out.shape, &v),
            (Values::Real(v), DType::BF16) => {
                array(out.shape, &map(&v, |x| bf16::from_f64(nearest(x, BF16))))
            }
            (Values::Real(v), DType::F16) => {
                array(out.shape, &map(&v, |x| f16::from_f64(nearest(x, F16))))
            }
            (Values::Whole(v), DType::I64) => array(out.shape, &v),
            (Values::Whole(v), DType::I32) => array(out.shape, &map(&v, |x| x as i32)),
            (Values::Whole(v), DType::U8) => array(out.shape, &map(&v, |x| x as u8)),
            (Values::Truth(v), DType::Bool) => array(out.shape, &v),
            _ => Err(KernelError::Type("a reference result of another kind than was inferred")),
        }
    }
}

/// Binary digits, least exponent and largest number of a type of real numbers.
type Format = (i32, i32, f64);
const BF16: Format = (8, -126, 3.389_531_389_251_535_5e38);
const F16: Format = (11, -14, 65504.0);

/// The nearest number of that type, even on a tie; infinity beyond the largest.
fn nearest(x: f64, (digits, least, largest): Format) -> f64 {
    if x == 0.0 || !x.is_finite() {
        return x;
    }
    let exponent = libm::ilogb(x).max(least);
    // Powers of two, so both the division and the product are exact.
    let unit = libm::exp2(f64::from(exponent - digits + 1));
    let rounded = (x / unit).round_ties_even() * unit;
    if rounded.abs() > largest { f64::INFINITY.copysign(x) } else { rounded }
}

/// The elements of an array of real numbers.
pub(super) fn reals(x: &Array) -> Result<Vec<f64>> {
    match Values::of(x)? {
        Values::Real(v) => Ok(v),
        _ => Err(KernelError::Type("the operation takes f32 or f64")),
    }
}

/// An operand of a product in this precision.
pub(super) fn round(precision: Precision, x: f64) -> f64 {
    match precision {
        Precision::F32 => x,
        Precision::Bf16 => half::bf16::from_f32(x as f32).to_f64(),
    }
}

/// The elements of an array of type `T`.
pub(super) fn elements<T: Scalar>(x: &Array) -> Result<Vec<T>> {
    x.to_vec::<T>().map_err(|_| KernelError::Type("the operation takes another element type"))
}

/// An array of these elements.
pub(super) fn array<T: Scalar>(shape: Shape, data: &[T]) -> Result<Array> {
    Array::new(shape, data).map_err(|_| KernelError::Bounds("elements do not fill the shape"))
}

/// `f` of each element.
pub(super) fn map<A: Copy, R>(a: &[A], f: impl Fn(A) -> R) -> Vec<R> {
    a.iter().map(|&x| f(x)).collect()
}

/// `f` of each pair of elements.
pub(super) fn map2<A: Copy, B: Copy, R>(a: &[A], b: &[B], f: impl Fn(A, B) -> R) -> Vec<R> {
    a.iter().zip(b).map(|(&x, &y)| f(x, y)).collect()
}

/// `f` of each triple of elements.
pub(super) fn map3<A: Copy, B: Copy, C: Copy, R>(
    a: &[A],
    b: &[B],
    c: &[C],
    f: impl Fn(A, B, C) -> R,
) -> Vec<R> {
    a.iter().zip(b).zip(c).map(|((&x, &y), &z)| f(x, y, z)).collect()
}

/// Where an element is: its index along each axis; 0 past the last.
pub(super) type Place = [usize; MAX_RANK];

/// The places of all elements, in row-major order.
pub(super) fn places(shape: Shape) -> impl Iterator<Item = Place> {
    (0..shape.numel()).map(move |number| {
        let mut place = [0; MAX_RANK];
        let mut left = number;
        for (axis, &size) in shape.dims().iter().enumerate().rev() {
            place[axis] = left % size;
            left /= size;
        }
        place
    })
}

/// The row-major number of the element at a place; `None` if the place is outside the shape.
pub(super) fn number_of(shape: Shape, place: Place) -> Option<usize> {
    let mut number = 0;
    for (&index, &size) in place.iter().zip(shape.dims()) {
        if index >= size {
            return None;
        }
        number = number * size + index;
    }
    Some(number)
}

/// `axis` as a number, if the shape has it.
pub(super) fn axis_of(axis: u8, shape: Shape) -> Result<usize> {
    let axis = usize::from(axis);
    if axis < shape.rank() {
        Ok(axis)
    } else {
        Err(KernelError::Bounds("the operation's axis does not exist"))
    }
}
