//! What operations accept beside tensors: Rust numbers, parameters, axes.

use std::panic::Location;

use super::Tensor;
use crate::error::{Code, Error};
use crate::graph::dtype::DType;
use crate::graph::recorder::{self, Side};
use crate::graph::shape::Shape;
use crate::ops::{AxisMask, Binary, Op, Ternary};
use crate::param::{Buffer, Param};

/// The second operand of an operation: a tensor, a parameter, or a Rust number.
///
/// Numbers are weak: they take the type of the tensor, and are bound at run time, so another value
/// on the next step does not make another plan.
pub trait Operand {
    #[doc(hidden)]
    #[track_caller]
    fn arg(&self) -> Arg<'_>;
}

/// An operand, resolved; a tensor that exists is borrowed, so that no handle is made for it.
#[doc(hidden)]
pub enum Arg<'a> {
    Borrowed(&'a Tensor),
    Owned(Tensor),
    Real(f64),
    Integer(i64),
}

impl Arg<'_> {
    /// The tensor, if it is one.
    #[inline]
    fn tensor(&self) -> Option<&Tensor> {
        match self {
            Arg::Borrowed(t) => Some(t),
            Arg::Owned(t) => Some(t),
            _ => None,
        }
    }

    /// A tensor in any case; numbers become f32 or i64.
    #[track_caller]
    pub(crate) fn into_tensor(self) -> Tensor {
        match self {
            Arg::Borrowed(t) => t.clone(),
            Arg::Owned(t) => t,
            Arg::Real(v) => Tensor::from(v),
            Arg::Integer(v) => Tensor::from(v),
        }
    }
}

impl<T: Operand + ?Sized> Operand for &T {
    #[track_caller]
    #[inline]
    fn arg(&self) -> Arg<'_> {
        (**self).arg()
    }
}
impl Operand for Tensor {
    #[inline]
    fn arg(&self) -> Arg<'_> {
        Arg::Borrowed(self)
    }
}
impl Operand for Param {
    #[track_caller]
    fn arg(&self) -> Arg<'_> {
        Arg::Owned(self.tensor())
    }
}
impl Operand for Buffer {
    #[track_caller]
    fn arg(&self) -> Arg<'_> {
        Arg::Owned(self.tensor())
    }
}
macro_rules! numbers {
    ($($t:ty: $kind:ident),*) => {$(
        impl Operand for $t {
            #[inline]
            fn arg(&self) -> Arg<'_> {
                Arg::$kind((*self).into())
            }
        }
    )*};
}
numbers!(f64: Real, f32: Real, i64: Integer, i32: Integer, u32: Integer, u8: Integer);

/// The tensor as `dtype`, the same one if it already is.
pub(crate) fn cast_to(t: &Tensor, dtype: DType, place: &'static Location<'static>) -> Tensor {
    if t.peek().dtype == dtype {
        return t.clone();
    }
    recorder::record(Op::Cast(dtype), &[t], None, Side::None, place)
}

/// A run-time number as a scalar tensor.
pub(crate) fn number(value: f64, dtype: DType, place: &'static Location<'static>) -> Tensor {
    recorder::with(|r| {
        let meta = crate::ops::Meta { shape: Shape::SCALAR, dtype };
        let slot = r.append(
            Op::Slot,
            crate::ops::Operands::new(),
            meta,
            false,
            place,
            Side::Number(value),
        );
        r.handle(slot)
    })
}

/// A Rust number as a scalar tensor. Run-time numbers travel as f64; an integer that is too large
/// for that is data.
pub(crate) fn number_of(arg: &Arg<'_>, to: DType, place: &'static Location<'static>) -> Tensor {
    match arg {
        Arg::Integer(v) if !fits(*v, to) => {
            let error = Error::new(Code::DType, format!("the number {v} does not fit in {to}"))
                .help("`cast` the tensor to a wider type first");
            recorder::failed(error, place)
        }
        Arg::Integer(v) if to == DType::I64 && v.unsigned_abs() > 1 << f64::MANTISSA_DIGITS => {
            match crate::array::Array::new((), &[*v]) {
                Ok(array) => recorder::leaf(array, false, place),
                Err(error) => recorder::failed(error, place),
            }
        }
        _ => number(value_of(arg).0, to, place),
    }
}

/// Whether an integer is one of the type (of a type of real numbers, the nearest counts).
fn fits(v: i64, to: DType) -> bool {
    match to {
        DType::I32 => i32::try_from(v).is_ok(),
        DType::U8 => u8::try_from(v).is_ok(),
        _ => true,
    }
}

fn number_type(tensor: DType, real: bool) -> DType {
    match (tensor, real) {
        (DType::Bool, false) => DType::I64,
        (other, true) if !other.is_real() => DType::F32,
        (other, _) => other,
    }
}

/// The common type of two operands, as PyTorch promotes: numbers are weak.
fn common_type(a: &Arg<'_>, b: &Arg<'_>) -> DType {
    match (a.tensor(), b.tensor()) {
        (Some(a), Some(b)) => a.peek().dtype.promote(b.peek().dtype),
        (Some(t), None) => number_type(t.peek().dtype, value_of(b).1),
        (None, Some(t)) => number_type(t.peek().dtype, value_of(a).1),
        (None, None) if value_of(a).1 || value_of(b).1 => DType::F32,
        (None, None) => DType::I64,
    }
}

/// Brings two operands to their common type.
fn promote(a: &Arg<'_>, b: &Arg<'_>, place: &'static Location<'static>) -> (Tensor, Tensor) {
    brought(a, b, common_type(a, b), place)
}

/// Two operands as `to`.
fn brought(
    a: &Arg<'_>,
    b: &Arg<'_>,
    to: DType,
    place: &'static Location<'static>,
) -> (Tensor, Tensor) {
    for t in [a, b].into_iter().filter_map(Arg::tensor) {
        if to == DType::F64 && t.peek().dtype == DType::F32 && t.requires_grad() {
            let failed = recorder::failed(widened(t), place);
            return (failed.clone(), failed);
        }
    }
    let one = |x: &Arg<'_>| match x.tensor() {
        Some(t) => cast_to(t, to, place),
        None => number_of(x, to, place),
    };
    (one(a), one(b))
}

/// A tensor and an operand, of a common type.
#[track_caller]
pub(crate) fn pair(a: &Tensor, b: &impl Operand) -> (Tensor, Tensor) {
    promote(&Arg::Borrowed(a), &b.arg(), Location::caller())
}

#[cold]
fn widened(t: &Tensor) -> Error {
    let what = match recorder::with(|r| r.parameter_behind(t.slot())) {
        Some(name) => format!("the f32 parameter {name}"),
        None => "an f32 value that is being trained".to_string(),
    };
    Error::new(Code::DType, format!("an f64 tensor meets {what}"))
        .help("the model would silently run in f64; `cast(DType::F32)` the data")
}

fn value_of(arg: &Arg<'_>) -> (f64, bool) {
    match arg {
        Arg::Real(v) => (*v, true),
        Arg::Integer(v) => (*v as f64, false),
        _ => (0.0, true),
    }
}

/// Records a binary operation after promotion; identities with a number are applied here.
#[track_caller]
#[inline]
pub(crate) fn binary(op: Binary, a: Arg<'_>, b: Arg<'_>) -> Tensor {
    let place = Location::caller();
    let op_node = Op::Binary(op);
    if let (Some(x), Some(y)) = (a.tensor(), b.tensor())
        && recorder::same_type(x, y)
    {
        let ordering = matches!(op, Binary::Lt | Binary::Le | Binary::Gt | Binary::Ge);
        if ordering && x.peek().dtype == DType::Bool {
            // false < true; the kernels order numbers only.
            let whole = |t| cast_to(t, DType::I64, place);
            return recorder::record(op_node, &[&whole(x), &whole(y)], None, Side::None, place);
        }
        if op == Binary::Div && !x.peek().dtype.is_real() {
            let real = |t| cast_to(t, DType::F32, place);
            return recorder::record(op_node, &[&real(x), &real(y)], None, Side::None, place);
        }
        return recorder::record(op_node, &[x, y], None, Side::None, place);
    }
    if let (Some(x), Arg::Real(v)) = (a.tensor(), &b) {
        let same = match op {
            Binary::Mul | Binary::Div | Binary::Pow => *v == 1.0,
            Binary::Sub => *v == 0.0 && v.is_sign_positive(),
            _ => false,
        };
        if same && x.peek().dtype.is_float() {
            return x.clone();
        }
    }
    let mut to = common_type(&a, &b);
    if op == Binary::Div && !to.is_real() {
        // True division, as in PyTorch.
        to = DType::F32;
    }
    let (a, b) = brought(&a, &b, to, place);
    recorder::record(op_node, &[&a, &b], None, Side::None, place)
}

/// Records a ternary operation; `where` promotes its choices, `clamp` all three.
#[track_caller]
pub(crate) fn ternary(op: Ternary, a: Arg<'_>, b: Arg<'_>, c: Arg<'_>) -> Tensor {
    let place = Location::caller();
    let record = |a: &Tensor, b: &Tensor, c: &Tensor| {
        recorder::record(Op::Ternary(op), &[a, b, c], None, Side::None, place)
    };
    let first = match a {
        // A number as a condition: true where it is not 0.
        Arg::Real(_) | Arg::Integer(_) => {
            let value = number(value_of(&a).0, DType::F32, place);
            cast_to(&value, DType::Bool, place)
        }
        other => other.into_tensor(),
    };
    if op == Ternary::Clamp {
        let (x1, lo) = promote(&Arg::Owned(first), &b, place);
        let (x2, hi) = promote(&Arg::Owned(x1), &c, place);
        let lo = cast_to(&lo, x2.peek().dtype, place);
        return record(&x2, &lo, &hi);
    }
    let (x, y) = promote(&b, &c, place);
    record(&first, &x, &y)
}

/// Axes of a tensor: one or several, counted from 0, or from the end with negative numbers.
pub trait Axes {
    #[doc(hidden)]
    fn mask(&self, rank: usize) -> Result<AxisMask, isize>;
    /// In the order in which they are given.
    #[doc(hidden)]
    fn list(&self) -> AxisList;
}

/// Axes as they were written.
pub(crate) type AxisList = smallvec::SmallVec<[isize; 8]>;

fn add_axis(mask: &mut AxisMask, axis: isize, rank: usize) -> Result<(), isize> {
    if on_scalar(axis, rank) {
        return Ok(());
    }
    let index = resolve(axis, rank).ok_or(axis)?;
    if *mask & (1 << index) != 0 {
        // Named twice; see `no_axis`.
        return Err(axis);
    }
    *mask |= 1 << index;
    Ok(())
}

/// Whether it is the one axis that a scalar is given in reductions, as in PyTorch: it counts as a
/// vector of one element.
pub(crate) fn on_scalar(axis: isize, rank: usize) -> bool {
    rank == 0 && (axis == 0 || axis == -1)
}

/// The axis counted from 0.
pub(crate) fn resolve(axis: isize, rank: usize) -> Option<usize> {
    let index = if axis < 0 { axis + rank as isize } else { axis };
    usize::try_from(index).ok().filter(|&i| i < rank)
}

macro_rules! axes {
    ($($t:ty),*) => {$(
        impl Axes for $t {
            fn mask(&self, rank: usize) -> Result<AxisMask, isize> {
                let mut mask = 0;
                add_axis(&mut mask, *self as isize, rank)?;
                Ok(mask)
            }
            fn list(&self) -> AxisList {
                AxisList::from_slice(&[*self as isize])
            }
        }
        impl Axes for &[$t] {
            fn mask(&self, rank: usize) -> Result<AxisMask, isize> {
                let mut mask = 0;
                for &axis in self.iter() {
                    add_axis(&mut mask, axis as isize, rank)?;
                }
                Ok(mask)
            }
            fn list(&self) -> AxisList {
                self.iter().map(|&axis| axis as isize).collect()
            }
        }
        impl<const N: usize> Axes for [$t; N] {
            fn mask(&self, rank: usize) -> Result<AxisMask, isize> {
                self.as_slice().mask(rank)
            }
            fn list(&self) -> AxisList {
                self.as_slice().list()
            }
        }
    )*};
}
axes!(i32, isize, usize);

/// The error for an axis that a tensor does not have.
#[cold]
pub(crate) fn no_axis(what: &str, axis: isize, shape: &Shape) -> Error {
    if resolve(axis, shape.rank()).is_some() {
        return Error::new(Code::Shape, format!("{what}: axis {axis} is named twice"));
    }
    Error::new(Code::Shape, format!("{what}: axis {axis} does not exist in {shape}")).help(format!(
        "axes go from 0 to {}, or from -{} to -1",
        shape.rank().saturating_sub(1),
        shape.rank()
    ))
}
