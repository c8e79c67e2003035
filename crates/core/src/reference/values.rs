//! How elements are read and written.
//!
//! Arithmetic knows three kinds of elements: real numbers (f32 and f64 alike, as f64), whole numbers
//! and truth values. A real result is rounded to f32 once, at the very end, so it is the best answer
//! that an f32 can hold.

use gradus_kernels::memory::KernelError;

use super::Result;
use crate::array::Array;
use crate::graph::dtype::{DType, Scalar};
use crate::graph::shape::{MAX_RANK, Shape};
use crate::ops::Meta;

/// The elements of an array in row-major order, as the type that they are computed in.
pub(super) enum Values {
    /// f32 and f64.
    Real(Vec<f64>),
    /// i64.
    Whole(Vec<i64>),
    /// bool.
    Truth(Vec<bool>),
}

impl Values {
    /// The elements of `x`; nothing is rounded.
    pub(super) fn of(x: &Array) -> Result<Values> {
        Ok(match x.dtype() {
            DType::F32 | DType::F64 => Values::Real(x.to_f64()),
            DType::I64 => Values::Whole(elements(x)?),
            DType::Bool => Values::Truth(elements(x)?),
        })
    }

    /// An array of them; this is where real numbers are rounded to f32.
    pub(super) fn into_array(self, out: Meta) -> Result<Array> {
        match (self, out.dtype) {
            (Values::Real(v), DType::F32) => array(out.shape, &map(&v, |x| x as f32)),
            (Values::Real(v), DType::F64) => array(out.shape, &v),
            (Values::Whole(v), DType::I64) => array(out.shape, &v),
            (Values::Truth(v), DType::Bool) => array(out.shape, &v),
            _ => Err(KernelError::Type("a reference result of another kind than was inferred")),
        }
    }
}

/// The elements of an array of real numbers.
pub(super) fn reals(x: &Array) -> Result<Vec<f64>> {
    match Values::of(x)? {
        Values::Real(v) => Ok(v),
        _ => Err(KernelError::Type("the operation takes f32 or f64")),
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
