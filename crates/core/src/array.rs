//! Materialised values: contiguous, row-major, shared until written.

use std::fmt;

use gradus_kernels::convert::Convert;
use gradus_kernels::memory::{Element, Storage, Truth};
use half::{bf16, f16};

use crate::error::{Code, Error, Result};
use crate::graph::dtype::{DType, Scalar, with_element};
use crate::graph::shape::Shape;

/// A value in memory: contiguous, row-major, `Send + Sync`, cheap to clone (clones share).
///
/// ```
/// use gradus_core::Array;
/// let a = Array::new([2, 3], &[1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0])?;
/// assert_eq!(a.shape().dims(), [2, 3]);
/// assert_eq!(a.as_slice::<f32>()?[4], 5.0);
/// # Ok::<(), gradus_core::Error>(())
/// ```
#[derive(Clone)]
pub struct Array {
    storage: Storage,
    shape: Shape,
    dtype: DType,
}

impl Array {
    /// An array of a shape from its elements in row-major order.
    ///
    /// # Errors
    /// [`Code::Shape`] when the number of elements is not the product of the sizes.
    pub fn new<T: Scalar>(shape: impl Into<Shape>, data: &[T]) -> Result<Array> {
        let shape = shape.into();
        shape.check("Array::new")?;
        if data.len() != shape.numel() {
            return Err(Error::new(
                Code::Shape,
                format!(
                    "Array::new: {shape} has {} elements, but {} were given",
                    shape.numel(),
                    data.len()
                ),
            ));
        }
        Array::build(shape, |out: &mut [T::Repr]| {
            for (o, &v) in out.iter_mut().zip(data) {
                *o = v.to_repr();
            }
        })
    }

    /// An array of zeros.
    ///
    /// # Errors
    /// [`Code::Memory`] when the shape is too large.
    pub fn zeros(shape: impl Into<Shape>, dtype: DType) -> Result<Array> {
        let shape = shape.into();
        shape.check("Array::zeros")?;
        let storage = Storage::try_new(dtype.ty(), shape.numel(), true);
        let storage = storage.ok_or_else(|| no_memory(&shape, dtype))?;
        Ok(Array { storage, shape, dtype })
    }

    /// An array that `fill` writes in place; the slice starts with arbitrary values.
    ///
    /// For `bool` the representation is [`Truth`](crate::Truth).
    ///
    /// # Errors
    /// [`Code::Memory`] when the shape is too large.
    pub fn build<R: Element>(
        shape: impl Into<Shape>,
        fill: impl FnOnce(&mut [R]),
    ) -> Result<Array> {
        let shape = shape.into();
        shape.check("Array::build")?;
        let storage = Storage::try_new(R::TY, shape.numel(), false);
        let mut storage = storage.ok_or_else(|| no_memory(&shape, dtype_of::<R>()))?;
        match storage.get_mut_slice::<R>() {
            Some(slice) => fill(slice),
            None => return Err(Error::internal("new storage is shared")),
        }
        Ok(Array { storage, shape, dtype: dtype_of::<R>() })
    }

    pub(crate) fn from_storage(storage: Storage, shape: Shape, dtype: DType) -> Array {
        Array { storage, shape, dtype }
    }

    pub(crate) fn storage(&self) -> &Storage {
        &self.storage
    }

    pub(crate) fn storage_mut(&mut self) -> &mut Storage {
        &mut self.storage
    }

    /// The sizes.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// The sizes as a slice.
    pub fn dims(&self) -> &[usize] {
        self.shape.dims()
    }

    /// The element type.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// Number of elements.
    pub fn numel(&self) -> usize {
        self.shape.numel()
    }

    /// The elements in row-major order, without a copy (for `bool` use [`Array::to_vec`]).
    ///
    /// # Errors
    /// [`Code::DType`] when `T` is not the element type.
    pub fn as_slice<T: Scalar<Repr = T> + Element>(&self) -> Result<&[T]> {
        self.storage.as_slice::<T>().ok_or_else(|| self.wrong_type::<T>("as_slice"))
    }

    /// The elements, to be changed in place; copies first if somebody else shares them.
    ///
    /// # Errors
    /// [`Code::DType`] when `T` is not the element type.
    pub fn make_mut<T: Scalar<Repr = T> + Element>(&mut self) -> Result<&mut [T]> {
        if self.dtype != T::DTYPE {
            return Err(self.wrong_type::<T>("make_mut"));
        }
        if !self.storage.is_unique() {
            self.storage = Storage::from_slice(self.as_slice::<T>()?);
        }
        self.storage.get_mut_slice::<T>().ok_or_else(|| Error::internal("make_mut: shared storage"))
    }

    /// A copy of the elements in row-major order.
    ///
    /// # Errors
    /// [`Code::DType`] when `T` is not the element type.
    pub fn to_vec<T: Scalar>(&self) -> Result<Vec<T>> {
        if self.dtype != T::DTYPE {
            return Err(self.wrong_type::<T>("to_vec"));
        }
        let slice = self.storage.as_slice::<T::Repr>();
        let slice = slice.ok_or_else(|| Error::internal("to_vec: storage of another type"))?;
        Ok(slice.iter().map(|&r| T::from_repr(r)).collect())
    }

    /// The elements converted to another type, by the rules of [`Tensor::cast`](crate::Tensor::cast);
    /// shared if it is the type they have.
    ///
    /// # Errors
    /// [`Code::Memory`] when there is no memory for them.
    pub fn cast(&self, dtype: DType) -> Result<Array> {
        if dtype == self.dtype {
            return Ok(self.clone());
        }
        with_element!(self.dtype, A => with_element!(dtype, B => {
            let from = self.storage.as_slice::<A>().unwrap_or(&[]);
            Array::build::<B>(self.shape, |to| {
                to.iter_mut().zip(from).for_each(|(t, &f)| *t = f.convert());
            })
        }))
    }

    /// The elements as f64, whatever their type.
    pub fn to_f64(&self) -> Vec<f64> {
        let s = &self.storage;
        with_element!(self.dtype, T => {
            s.as_slice::<T>().unwrap_or(&[]).iter().map(|&x| x.convert()).collect()
        })
    }

    /// The first element as f64.
    pub(crate) fn first_f64(&self) -> Option<f64> {
        let s = &self.storage;
        with_element!(self.dtype, T => s.as_slice::<T>()?.first().map(|&x| x.convert()))
    }

    /// The same elements under another shape, shared.
    ///
    /// # Errors
    /// [`Code::Shape`] when the numbers of elements differ.
    pub fn reshape(&self, shape: impl Into<Shape>) -> Result<Array> {
        let shape = shape.into();
        shape.check("Array::reshape")?;
        if shape.numel() != self.numel() {
            return Err(Error::new(
                Code::Shape,
                format!("Array::reshape: {} cannot become {shape}", self.shape),
            ));
        }
        Ok(Array { storage: self.storage.clone(), shape, dtype: self.dtype })
    }

    /// Whether two arrays have the same type, shape and bits.
    pub fn same_bits(&self, other: &Array) -> bool {
        if self.dtype != other.dtype || self.shape != other.shape {
            return false;
        }
        let (a, b) = (&self.storage, &other.storage);
        match self.dtype {
            DType::F32 => {
                let bits = |s: &Storage| {
                    s.as_slice::<f32>().map(|v| v.iter().map(|x| x.to_bits()).collect::<Vec<_>>())
                };
                bits(a) == bits(b)
            }
            DType::F64 => {
                let bits = |s: &Storage| {
                    s.as_slice::<f64>().map(|v| v.iter().map(|x| x.to_bits()).collect::<Vec<_>>())
                };
                bits(a) == bits(b)
            }
            DType::BF16 => {
                let bits = |s: &Storage| {
                    s.as_slice::<bf16>().map(|v| v.iter().map(|x| x.to_bits()).collect::<Vec<_>>())
                };
                bits(a) == bits(b)
            }
            DType::F16 => {
                let bits = |s: &Storage| {
                    s.as_slice::<f16>().map(|v| v.iter().map(|x| x.to_bits()).collect::<Vec<_>>())
                };
                bits(a) == bits(b)
            }
            DType::I64 => a.as_slice::<i64>() == b.as_slice::<i64>(),
            DType::I32 => a.as_slice::<i32>() == b.as_slice::<i32>(),
            DType::U8 => a.as_slice::<u8>() == b.as_slice::<u8>(),
            DType::Bool => a.as_slice::<Truth>() == b.as_slice::<Truth>(),
        }
    }

    /// `count` slices along the first axis from `start` on, shared: no element is copied.
    ///
    /// # Errors
    /// [`Code::Index`] when there are not so many; [`Code::Shape`] without a first axis.
    ///
    /// ```
    /// use gradus_core::Array;
    /// let a = Array::new([3, 2], &[1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0])?;
    /// assert_eq!(a.rows(1, 2)?.as_slice::<f32>()?, [3.0, 4.0, 5.0, 6.0]);
    /// assert!(a.rows(2, 2).is_err());
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    pub fn rows(&self, start: usize, count: usize) -> Result<Array> {
        if self.shape.rank() == 0 {
            return Err(Error::new(Code::Shape, "Array::rows: a scalar has no rows"));
        }
        let all = self.shape.dim(0);
        let shape = self.shape.with(0, count);
        let row = self.shape.dims().iter().skip(1).product::<usize>();
        let inside = start.checked_add(count).is_some_and(|end| end <= all);
        let storage = if inside { self.storage.part(start * row, count * row) } else { None };
        let storage = storage.ok_or_else(|| {
            let text = format!("Array::rows: {count} rows from row {start} on of {}", self.shape);
            Error::new(Code::Index, text)
        })?;
        Ok(Array { storage, shape, dtype: self.dtype })
    }

    fn wrong_type<T: Scalar>(&self, call: &str) -> Error {
        let have = self.dtype;
        let want = T::DTYPE;
        Error::new(Code::DType, format!("{call}: the array holds {have}, not {want}"))
            .help(format!("ask for {have}, or `cast` the tensor to {want} first"))
    }
}

#[cold]
fn no_memory(shape: &Shape, dtype: DType) -> Error {
    let bytes = shape.numel().saturating_mul(dtype.size());
    Error::new(Code::Memory, format!("no memory for {shape} of {dtype}, {bytes} bytes"))
}

fn dtype_of<R: Element>() -> DType {
    DType::of(R::TY)
}

impl fmt::Debug for Array {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Array({} {})", self.dtype, self.shape)
    }
}
