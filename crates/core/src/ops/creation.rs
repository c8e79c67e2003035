//! Tensors from nothing: one value everywhere, the identity, a function of the position, and the
//! same in the shape and type of another tensor. Ranges are in `ranges`, draws in `random`.

use std::panic::Location;

use crate::array::Array;
use crate::error::{Code, Error};
use crate::graph::called::called;
use crate::graph::dtype::DType;
use crate::graph::recorder;
use crate::graph::shape::Shape;
use crate::tensor::create::Literal;
use crate::tensor::{Tensor, operand};

/// A Rust number with its kind, for functions that make f32 from reals, i64 from integers and bool
/// from truth values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Number {
    /// Gives f32.
    Real(f64),
    /// Gives i64.
    Integer(i64),
    /// Gives bool.
    Truth(bool),
}

macro_rules! number {
    ($($t:ty => |$v:ident| $e:expr),*) => {$(
        impl From<$t> for Number {
            fn from($v: $t) -> Number {
                $e
            }
        }
    )*};
}
number!(f64 => |v| Number::Real(v), f32 => |v| Number::Real(f64::from(v)),
        i64 => |v| Number::Integer(v), i32 => |v| Number::Integer(i64::from(v)),
        bool => |v| Number::Truth(v));

impl Number {
    /// As a real number.
    pub(crate) fn real(self) -> f64 {
        match self {
            Number::Real(v) => v,
            Number::Integer(v) => v as f64,
            Number::Truth(v) => f64::from(u8::from(v)),
        }
    }

    /// The type it gives by itself.
    fn dtype(self) -> DType {
        match self {
            Number::Real(_) => DType::F32,
            Number::Integer(_) => DType::I64,
            Number::Truth(_) => DType::Bool,
        }
    }

    /// A scalar tensor of a type; the value is bound when run, so it is part of no plan.
    #[track_caller]
    fn tensor(self, dtype: DType) -> Tensor {
        let place = Location::caller();
        let exact = |v: i64| v.unsigned_abs() <= 1 << f64::MANTISSA_DIGITS;
        match self {
            // Run-time numbers travel as f64.
            Number::Integer(v) if !exact(v) => Tensor::from(v).cast(dtype),
            Number::Truth(v) => Tensor::from(v).cast(dtype),
            _ if [DType::F32, DType::F64, DType::I64].contains(&dtype) => {
                operand::number(self.real(), dtype, place)
            }
            _ => operand::number(self.real(), DType::F64, place).cast(dtype),
        }
    }
}

impl Tensor {
    /// Zeros, f32.
    ///
    /// ```
    /// use gradus_core::Tensor;
    /// assert_eq!(Tensor::zeros([2, 3]).sum().item()?, 0.0);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    #[track_caller]
    pub fn zeros(shape: impl Into<Shape>) -> Tensor {
        let _called = called("zeros");
        Tensor::full(shape, 0.0)
    }

    /// Ones, f32.
    #[track_caller]
    pub fn ones(shape: impl Into<Shape>) -> Tensor {
        let _called = called("ones");
        Tensor::full(shape, 1.0)
    }

    /// One value everywhere: f32 for a real number, i64 for an integer, bool for a truth value. It
    /// takes no memory until it is read.
    ///
    /// ```
    /// use gradus_core::{DType, Tensor};
    /// assert_eq!(Tensor::full([2], 0.5).to_vec::<f32>()?, [0.5, 0.5]);
    /// assert_eq!(Tensor::full([2], 7).dtype()?, DType::I64);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    #[track_caller]
    pub fn full(shape: impl Into<Shape>, value: impl Into<Number>) -> Tensor {
        let _called = called("full");
        let value = value.into();
        value.tensor(value.dtype()).broadcast_to(shape)
    }

    /// One value everywhere, in the shape and element type of this tensor.
    ///
    /// ```
    /// use gradus_core::Tensor;
    /// let ids = Tensor::from([3, 1]);
    /// assert_eq!(ids.full_like(-1).to_vec::<i64>()?, [-1, -1]);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    #[track_caller]
    #[must_use]
    pub fn full_like(&self, value: impl Into<Number>) -> Tensor {
        let _called = called("full_like");
        if self.is_failed() {
            return self.clone();
        }
        let meta = self.peek();
        value.into().tensor(meta.dtype).broadcast_to(meta.shape)
    }

    /// Zeros in the shape and element type of this tensor.
    #[track_caller]
    #[must_use]
    pub fn zeros_like(&self) -> Tensor {
        let _called = called("zeros_like");
        self.full_like(0)
    }

    /// Ones in the shape and element type of this tensor.
    #[track_caller]
    #[must_use]
    pub fn ones_like(&self) -> Tensor {
        let _called = called("ones_like");
        self.full_like(1)
    }

    /// A tensor from a function of the position: `f(&[row, column])` for each element in row-major
    /// order. Reals give f32, integers i64.
    ///
    /// ```
    /// use gradus_core::Tensor;
    /// let table = Tensor::from_fn([2, 3], |at| (at[0] + 1) * (at[1] + 1));
    /// assert_eq!(table.to_vec::<i64>()?, [1, 2, 3, 2, 4, 6]);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    #[track_caller]
    pub fn from_fn<T: Literal>(
        shape: impl Into<Shape>,
        mut f: impl FnMut(&[usize]) -> T,
    ) -> Tensor {
        let (place, shape) = (Location::caller(), shape.into());
        if let Err(error) = shape.check("from_fn") {
            return recorder::failed(error, place);
        }
        let mut values = Vec::new();
        if values.try_reserve_exact(shape.numel()).is_err() {
            let text = format!("from_fn: no memory for {shape}");
            return recorder::failed(Error::new(Code::Memory, text), place);
        }
        let mut at = smallvec::SmallVec::<[usize; 8]>::from_elem(0, shape.rank());
        for _ in 0..shape.numel() {
            values.push(f(&at));
            for (index, &size) in at.iter_mut().zip(shape.dims()).rev() {
                *index += 1;
                if *index < size {
                    break;
                }
                *index = 0;
            }
        }
        from_result(T::array(shape.dims(), &values))
    }

    /// 1 on the diagonal, 0 elsewhere, f32: `eye(3)` is square, `eye([3, 4])` has 3 rows.
    ///
    /// ```
    /// use gradus_core::Tensor;
    /// assert_eq!(Tensor::eye([2, 3]).to_vec::<f32>()?, [1.0, 0.0, 0.0, 0.0, 1.0, 0.0]);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    #[track_caller]
    pub fn eye(size: impl Into<Shape>) -> Tensor {
        let _called = called("eye");
        match rows_and_columns("eye", size.into()) {
            Ok((n, m)) => {
                let row = Tensor::arange(0, to_i64(n)).unsqueeze(-1);
                row.eq(Tensor::arange(0, to_i64(m))).cast(DType::F32)
            }
            Err(error) => recorder::failed(error, Location::caller()),
        }
    }

    /// 1 on and below a diagonal, 0 above it, f32: `tri(3, 0)` is square, `tri([3, 4], 1)` has 3 rows
    /// and reaches one above the main diagonal.
    ///
    /// ```
    /// use gradus_core::Tensor;
    /// assert_eq!(Tensor::tri([2, 3], 0).to_vec::<f32>()?, [1.0, 0.0, 0.0, 1.0, 1.0, 0.0]);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    #[track_caller]
    pub fn tri(size: impl Into<Shape>, diagonal: isize) -> Tensor {
        let _called = called("tri");
        match rows_and_columns("tri", size.into()) {
            Ok((n, m)) => {
                let row = Tensor::arange(0, to_i64(n)).unsqueeze(1) + diagonal as i64;
                row.ge(Tensor::arange(0, to_i64(m))).cast(DType::F32)
            }
            Err(error) => recorder::failed(error, Location::caller()),
        }
    }

    /// Tensors of one shape one above another on a new axis.
    #[track_caller]
    #[must_use]
    pub fn stack(tensors: &[&Tensor], axis: isize) -> Tensor {
        let _called = called("stack");
        if tensors.is_empty() {
            let error = Error::new(Code::Argument, "stack: needs at least one tensor");
            return recorder::failed(error, Location::caller());
        }
        // A loop, not a closure: the line of the call is passed on.
        let mut wide = smallvec::SmallVec::<[Tensor; 8]>::new();
        for t in tensors {
            wide.push(t.unsqueeze(axis));
        }
        let refs: smallvec::SmallVec<[&Tensor; 8]> = wide.iter().collect();
        Tensor::concat(&refs, axis)
    }
}

/// A size as i64; too large a one is found by the check of the shape.
pub(crate) fn to_i64(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// A tensor from an array or its error.
#[track_caller]
pub(crate) fn from_result(array: crate::error::Result<Array>) -> Tensor {
    match array {
        Ok(array) => recorder::leaf(array, false, Location::caller()),
        Err(error) => recorder::failed(error, Location::caller()),
    }
}

fn rows_and_columns(what: &str, shape: Shape) -> crate::error::Result<(usize, usize)> {
    match *shape.dims() {
        [n] => Ok((n, n)),
        [n, m] => Ok((n, m)),
        _ => Err(Error::new(Code::Shape, format!("{what}: {shape} is not the size of a matrix"))
            .help("give one size for a square, or `[rows, columns]`")),
    }
}
