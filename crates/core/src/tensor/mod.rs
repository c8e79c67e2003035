//! The tensor: a handle on a node of this thread's recorder.

mod assign;
pub(crate) mod create;
mod display;
mod index;
pub(crate) mod operand;
mod operators;
mod rows;
mod select;

use std::marker::PhantomData;
use std::panic::Location;

use crate::array::Array;
use crate::error::{Code, Error, Result};
use crate::gradients::Gradients;
use crate::graph::dtype::{DType, Scalar};
use crate::graph::flush;
use crate::graph::recorder::{self, Side};
use crate::graph::shape::Shape;
use crate::ops::{Meta, Op};

pub use create::Literal;
pub use index::{By, Ellipsis, Index, IndexItem, NewAxis, Span, span};
pub use operand::{Axes, Operand};
pub(crate) use operand::{binary, ternary};
pub use rows::Rows;

/// A multi-dimensional value that may not have been computed yet.
///
/// Operations on tensors are recorded, checked at once, and run when a value is read or an
/// optimizer steps. Building never fails: an operation whose shapes do not fit gives a tensor that
/// carries the error with your source line, and everything that can fail reports it (`item`,
/// `to_vec`, `backward`, `step`, `shape`, `check`).
///
/// A tensor belongs to its thread. To pass values on, use [`Array`](crate::Array) or
/// [`Param`](crate::Param).
///
/// ```
/// use gradus_core::Tensor;
/// let x = Tensor::from([[1.0, 2.0], [3.0, 4.0]]);
/// let y = (&x * 10.0).sum_dim(0);
/// assert_eq!(y.to_vec::<f32>()?, [40.0, 60.0]);
/// # Ok::<(), gradus_core::Error>(())
/// ```
pub struct Tensor {
    slot: u32,
    generation: u32,
    not_send: PhantomData<*const ()>,
}

impl Tensor {
    #[inline]
    pub(crate) fn from_parts(slot: u32, generation: u32) -> Tensor {
        Tensor { slot, generation, not_send: PhantomData }
    }

    #[inline]
    pub(crate) fn slot(&self) -> u32 {
        self.slot
    }

    #[inline]
    pub(crate) fn peek(&self) -> Meta {
        recorder::peek(self)
    }

    /// A tensor in error state: it passes `error` to everything made from it.
    #[track_caller]
    pub fn failed(error: Error) -> Tensor {
        recorder::failed(error, Location::caller())
    }

    /// A tensor with the value of an array (shared, not copied).
    #[track_caller]
    pub fn from_array(array: &Array) -> Tensor {
        recorder::leaf(array.clone(), false, Location::caller())
    }

    /// A tensor from Rust values with exactly their type (`f32`, `f64`, `i64`, `i32`, `u8`, `bool`,
    /// and `bf16` and `f16` of the crate `half`).
    #[track_caller]
    pub fn exact<T: Scalar>(shape: impl Into<Shape>, data: &[T]) -> Tensor {
        match Array::new(shape, data) {
            Ok(array) => recorder::leaf(array, false, Location::caller()),
            Err(error) => recorder::failed(error, Location::caller()),
        }
    }

    /// The sizes.
    ///
    /// # Errors
    /// The error of the operation that failed to make this tensor.
    pub fn shape(&self) -> Result<Shape> {
        recorder::meta(self).map(|m| m.shape)
    }

    /// The sizes as an array of known length.
    ///
    /// # Errors
    /// [`Code::Shape`] when the rank is not `N`.
    pub fn dims<const N: usize>(&self) -> Result<[usize; N]> {
        let shape = self.shape()?;
        <[usize; N]>::try_from(shape.dims()).map_err(|_| {
            Error::new(Code::Shape, format!("dims: {shape} has {} axes, not {N}", shape.rank()))
        })
    }

    /// The element type.
    ///
    /// # Errors
    /// The error of the operation that failed to make this tensor.
    pub fn dtype(&self) -> Result<DType> {
        recorder::meta(self).map(|m| m.dtype)
    }

    /// Number of elements.
    ///
    /// # Errors
    /// The error of the operation that failed to make this tensor.
    pub fn numel(&self) -> Result<usize> {
        self.shape().map(|s| s.numel())
    }

    /// Whether recording it went well so far; computes nothing.
    ///
    /// # Errors
    /// The first error of the operations that this tensor is made from.
    pub fn check(&self) -> Result<()> {
        recorder::meta(self).map(|_| ())
    }

    /// The error that this tensor carries, if making it failed. Unlike [`Tensor::check`] it does
    /// not count as having told anybody: the next step still reports it.
    pub fn failure(&self) -> Option<Error> {
        recorder::with(|r| match &r.node(self.slot).side {
            Side::Error(error) => Some(error.clone()),
            _ => None,
        })
    }

    pub(crate) fn is_failed(&self) -> bool {
        recorder::with(|r| matches!(r.node(self.slot).op, Op::Failed))
    }

    /// Shape, origin and source line in one line, as messages show operands; computes nothing.
    ///
    /// ```
    /// use gradus_core::Tensor;
    /// let x = Tensor::zeros([2, 3]).flatten(0);
    /// assert!(x.describe().starts_with("[6]  output of `flatten`  "));
    /// ```
    pub fn describe(&self) -> String {
        match self.failure() {
            Some(error) => format!("failed: {}", error.title()),
            None => recorder::with(|r| r.describe(self.slot).join("  ").trim_end().to_string()),
        }
    }

    /// Computes the value (only what it needs) and returns it.
    ///
    /// # Errors
    /// The error of a recorded operation, or of running them.
    pub fn to_array(&self) -> Result<Array> {
        self.check()?;
        flush::read(self)
    }

    /// Computes the value and copies its elements, in row-major order.
    ///
    /// # Errors
    /// As [`Tensor::to_array`]; [`Code::DType`] when `T` is not the element type.
    pub fn to_vec<T: Scalar>(&self) -> Result<Vec<T>> {
        self.to_array()?.to_vec()
    }

    /// Computes the value of a matrix and copies its rows.
    ///
    /// # Errors
    /// As [`Tensor::to_vec`]; [`Code::Shape`] when it is not a matrix.
    ///
    /// ```
    /// use gradus_core::Tensor;
    /// let x = Tensor::from([[1, 2], [3, 4], [5, 6]]);
    /// assert_eq!(x.t().to_vec2::<i64>()?, [[1, 3, 5], [2, 4, 6]]);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    pub fn to_vec2<T: Scalar>(&self) -> Result<Vec<Vec<T>>> {
        let [rows, columns] = self.sizes("to_vec2")?;
        let flat = self.to_vec::<T>()?;
        let row = |i: usize| flat.get(i * columns..(i + 1) * columns).unwrap_or(&[]).to_vec();
        Ok((0..rows).map(row).collect())
    }

    /// Computes a value of rank 3 and copies its matrices.
    ///
    /// # Errors
    /// As [`Tensor::to_vec`]; [`Code::Shape`] when its rank is not 3.
    pub fn to_vec3<T: Scalar>(&self) -> Result<Vec<Vec<Vec<T>>>> {
        let [matrices, rows, columns] = self.sizes("to_vec3")?;
        let flat = self.to_vec::<T>()?;
        let row = |i: usize| flat.get(i * columns..(i + 1) * columns).unwrap_or(&[]).to_vec();
        Ok((0..matrices).map(|m| (0..rows).map(|i| row(m * rows + i)).collect()).collect())
    }

    fn sizes<const N: usize>(&self, what: &str) -> Result<[usize; N]> {
        let shape = self.shape()?;
        <[usize; N]>::try_from(shape.dims()).map_err(|_| {
            let text = format!("{what}: {shape} has {} axes, not {N}", shape.rank());
            Error::new(Code::Shape, text).help("use `to_vec`, or `reshape` it first")
        })
    }

    /// The only element of a tensor, as f64.
    ///
    /// # Errors
    /// As [`Tensor::to_array`]; [`Code::Shape`] when it has more or fewer elements than one.
    pub fn item(&self) -> Result<f64> {
        let shape = self.shape()?;
        if shape.numel() != 1 {
            return Err(Error::new(
                Code::Shape,
                format!("item: {shape} has {} elements, not one", shape.numel()),
            )
            .help("use `to_vec`, or reduce it first (`mean`, `sum`)"));
        }
        let array = self.to_array()?;
        array.first_f64().ok_or_else(|| Error::internal("item: empty array"))
    }

    /// A leaf with this value that gradients reach (`requires_grad` elsewhere).
    ///
    /// On a tensor with a history it cuts the history, like `detach` first.
    #[track_caller]
    #[must_use]
    pub fn with_grad(&self) -> Tensor {
        let place = Location::caller();
        match self.to_array() {
            Ok(array) if array.dtype().is_float() => recorder::leaf(array, true, place),
            Ok(array) => recorder::failed(
                Error::new(
                    Code::Gradient,
                    format!("with_grad: {} values have no gradient", array.dtype()),
                )
                .help("use f32 or f64"),
                place,
            ),
            Err(error) => recorder::failed(error, place),
        }
    }

    /// The same value as data: gradients stop here.
    #[track_caller]
    #[must_use]
    pub fn detach(&self) -> Tensor {
        self.apply(Op::Detach, &[], None)
    }

    /// Whether gradients flow through this tensor.
    pub fn requires_grad(&self) -> bool {
        recorder::with(|r| r.node(self.slot).grad)
    }

    /// Gradients of this scalar for every parameter and `with_grad` leaf it depends on.
    ///
    /// Uses up the history; the gradients are ordinary tensors, computed with the step that uses
    /// them (or when read).
    ///
    /// # Errors
    /// [`Code::Gradient`] when this is not a scalar or reaches nothing; [`Code::History`] when the
    /// history was already used; the first error of recording.
    #[track_caller]
    pub fn backward(&self) -> Result<Gradients> {
        crate::autodiff::backward(self, None, Location::caller())
    }

    /// The gradient of this scalar for `x`, as a tensor that has gradients itself; the history
    /// stays. Zeros when it does not depend on `x`'s value differentiably but passes it.
    ///
    /// # Errors
    /// As [`Tensor::backward`]; [`Code::Gradient`] when `x` plays no part in this tensor.
    #[track_caller]
    pub fn grad(&self, x: &Tensor) -> Result<Tensor> {
        let mut all = crate::autodiff::grad(self, &[x], None, Location::caller())?;
        all.pop().ok_or_else(|| Error::internal("grad: no result"))
    }

    /// The gradients of this scalar for several tensors at once; see [`Tensor::grad`].
    ///
    /// # Errors
    /// As [`Tensor::grad`].
    #[track_caller]
    pub fn grads(&self, xs: &[&Tensor]) -> Result<Vec<Tensor>> {
        crate::autodiff::grad(self, xs, None, Location::caller())
    }

    /// Vector-Jacobian product: the gradient of `sum(self * cotangent)` for several tensors.
    ///
    /// # Errors
    /// As [`Tensor::grad`]; [`Code::Shape`] when the cotangent's shape differs.
    #[track_caller]
    pub fn vjp(&self, cotangent: &Tensor, xs: &[&Tensor]) -> Result<Vec<Tensor>> {
        crate::autodiff::grad(self, xs, Some(cotangent), Location::caller())
    }

    /// Records an operation with this tensor as first operand.
    #[track_caller]
    #[inline]
    pub(crate) fn apply(&self, op: Op, others: &[&Tensor], given: Option<Shape>) -> Tensor {
        let mut inputs = smallvec::SmallVec::<[&Tensor; 8]>::new();
        inputs.push(self);
        inputs.extend(others.iter().copied());
        recorder::record(op, &inputs, given, Side::None, Location::caller())
    }
}

impl Clone for Tensor {
    /// Another handle on the same value.
    fn clone(&self) -> Tensor {
        recorder::clone_handle(self.slot, self.generation);
        Tensor::from_parts(self.slot, self.generation)
    }
}

impl Drop for Tensor {
    #[inline]
    fn drop(&mut self) {
        recorder::drop_handle(self.slot, self.generation);
    }
}
