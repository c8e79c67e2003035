//! Tensors from Rust literals, vectors and slices.
//!
//! Float literals become f32 and integer literals i64, whatever type Rust infers for them (f64 and
//! i32 are what it infers); types that nobody gets by accident (`u8`, `bool`, `bf16`, `f16`) stay.
//! `Tensor::exact` keeps Rust's type.

use std::ops::{Range, RangeInclusive};
use std::panic::Location;

use gradus_kernels::memory::Truth;
use half::{bf16, f16};

use super::Tensor;
use crate::array::Array;
use crate::error::{Code, Error, Result};
use crate::graph::recorder;
use crate::graph::shape::Shape;

/// A Rust type that [`Tensor::from`] and [`Tensor::from_fn`] accept as element.
pub trait Literal: Copy {
    /// The array of these elements.
    #[doc(hidden)]
    #[allow(clippy::missing_errors_doc)]
    fn array(shape: &[usize], data: &[Self]) -> Result<Array>;
}
macro_rules! literal {
    ($($t:ty => $to:ty, |$v:ident| $e:expr);*) => {$(
        impl Literal for $t {
            fn array(shape: &[usize], data: &[$t]) -> Result<Array> {
                Array::build::<$to>(Shape::new(shape), |out| {
                    for (o, &$v) in out.iter_mut().zip(data) {
                        *o = $e;
                    }
                })
            }
        }
    )*};
}
literal!(f64 => f32, |v| v as f32; f32 => f32, |v| v; i32 => i64, |v| i64::from(v);
         i64 => i64, |v| v; usize => i64, |v| v as i64; bool => Truth, |v| Truth::from(v);
         u8 => u8, |v| v; bf16 => bf16, |v| v; f16 => f16, |v| v);

#[track_caller]
fn make<T: Literal>(shape: &[usize], data: &[T]) -> Tensor {
    match T::array(shape, data) {
        Ok(array) => recorder::leaf(array, false, Location::caller()),
        Err(error) => recorder::failed(error, Location::caller()),
    }
}

macro_rules! from {
    ($($t:ty),*) => {$(
        impl From<$t> for Tensor {
            #[track_caller]
            fn from(value: $t) -> Tensor {
                make(&[], &[value])
            }
        }
        impl From<&[$t]> for Tensor {
            #[track_caller]
            fn from(values: &[$t]) -> Tensor {
                make(&[values.len()], values)
            }
        }
        impl From<Vec<$t>> for Tensor {
            #[track_caller]
            fn from(values: Vec<$t>) -> Tensor {
                make(&[values.len()], &values)
            }
        }
        impl From<&Vec<$t>> for Tensor {
            #[track_caller]
            fn from(values: &Vec<$t>) -> Tensor {
                make(&[values.len()], values)
            }
        }
        impl<const A: usize> From<[$t; A]> for Tensor {
            #[track_caller]
            fn from(values: [$t; A]) -> Tensor {
                make(&[A], &values)
            }
        }
        impl<const A: usize, const B: usize> From<[[$t; B]; A]> for Tensor {
            #[track_caller]
            fn from(values: [[$t; B]; A]) -> Tensor {
                make(&[A, B], values.as_flattened())
            }
        }
        impl<const A: usize, const B: usize, const C: usize> From<[[[$t; C]; B]; A]> for Tensor {
            #[track_caller]
            fn from(values: [[[$t; C]; B]; A]) -> Tensor {
                make(&[A, B, C], values.as_flattened().as_flattened())
            }
        }
        impl<const A: usize, const B: usize, const C: usize, const D: usize>
            From<[[[[$t; D]; C]; B]; A]> for Tensor
        {
            #[track_caller]
            fn from(values: [[[[$t; D]; C]; B]; A]) -> Tensor {
                make(&[A, B, C, D], values.as_flattened().as_flattened().as_flattened())
            }
        }
        impl<const A: usize> From<&[$t; A]> for Tensor {
            #[track_caller]
            fn from(values: &[$t; A]) -> Tensor {
                make(&[A], values)
            }
        }
        /// Rows of one length.
        impl<const B: usize> From<Vec<[$t; B]>> for Tensor {
            #[track_caller]
            fn from(rows: Vec<[$t; B]>) -> Tensor {
                make(&[rows.len(), B], rows.as_flattened())
            }
        }
        /// Rows of one length; a ragged list is an error.
        impl From<Vec<Vec<$t>>> for Tensor {
            #[track_caller]
            fn from(rows: Vec<Vec<$t>>) -> Tensor {
                let mut flat = Vec::new();
                match flatten("row", &rows, &mut flat) {
                    Ok(size) => make(&[rows.len(), size], &flat),
                    Err(error) => recorder::failed(error, Location::caller()),
                }
            }
        }
        /// Matrices of one shape; a ragged list is an error.
        impl From<Vec<Vec<Vec<$t>>>> for Tensor {
            #[track_caller]
            fn from(matrices: Vec<Vec<Vec<$t>>>) -> Tensor {
                let (mut rows, mut flat) = (Vec::new(), Vec::new());
                let sizes = flatten("matrix", &matrices, &mut rows)
                    .and_then(|n| flatten("row", &rows, &mut flat).map(|m| (n, m)));
                match sizes {
                    Ok((n, m)) => make(&[matrices.len(), n, m], &flat),
                    Err(error) => recorder::failed(error, Location::caller()),
                }
            }
        }
    )*};
}
from!(f64, f32, i32, i64, bool, u8, bf16, f16);

/// Appends the parts of all lists, which have to be of one length, and returns that.
fn flatten<T: Clone>(what: &str, lists: &[Vec<T>], out: &mut Vec<T>) -> Result<usize> {
    let size = lists.first().map_or(0, Vec::len);
    for (i, list) in lists.iter().enumerate() {
        if list.len() != size {
            let text =
                format!("Tensor::from: {what} 0 has {size} parts, {what} {i} has {}", list.len());
            return Err(Error::new(Code::Shape, text)
                .help("a tensor has no ragged axes: fill the short ones up"));
        }
        out.extend_from_slice(list);
    }
    Ok(size)
}

macro_rules! ranges {
    ($($t:ty),*) => {$(
        /// Integers, as [`Tensor::arange`].
        impl From<Range<$t>> for Tensor {
            #[track_caller]
            fn from(range: Range<$t>) -> Tensor {
                Tensor::arange(i64::from(range.start), i64::from(range.end))
            }
        }
        /// Integers, the last one included.
        impl From<RangeInclusive<$t>> for Tensor {
            #[track_caller]
            fn from(range: RangeInclusive<$t>) -> Tensor {
                Tensor::arange(i64::from(*range.start()), i64::from(*range.end()).saturating_add(1))
            }
        }
    )*};
}
ranges!(i32, i64);

impl From<&Array> for Tensor {
    #[track_caller]
    fn from(array: &Array) -> Tensor {
        Tensor::from_array(array)
    }
}

impl From<Array> for Tensor {
    #[track_caller]
    fn from(array: Array) -> Tensor {
        recorder::leaf(array, false, Location::caller())
    }
}
