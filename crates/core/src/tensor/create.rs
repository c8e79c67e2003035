//! Tensors from Rust literals, vectors and slices.
//!
//! Float literals become f32 and integer literals i64, whatever type Rust infers for them (f64 and
//! i32 are what it infers); types that nobody gets by accident (`u8`, `bool`, `bf16`, `f16`) stay.
//! `Tensor::exact` keeps Rust's type.

use std::panic::Location;

use gradus_kernels::memory::Truth;
use half::{bf16, f16};

use super::Tensor;
use crate::array::Array;
use crate::error::Result;
use crate::graph::recorder;
use crate::graph::shape::Shape;

/// A Rust type that [`Tensor::from`] accepts as element.
trait Literal: Copy {
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
         i64 => i64, |v| v; bool => Truth, |v| Truth::from(v);
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
    )*};
}
from!(f64, f32, i32, i64, bool, u8, bf16, f16);

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
