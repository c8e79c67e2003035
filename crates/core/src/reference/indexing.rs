//! Operations that follow index tensors. Indices are counted from 0; all of them are checked before
//! anything moves, and the first wrong one is reported.

use gradus_kernels::memory::KernelError;

use super::Result;
use super::formulas::{larger, smaller};
use super::movement::rearrange;
use super::values::{Place, Values, axis_of, elements, number_of, places};
use crate::array::Array;
use crate::graph::shape::Shape;
use crate::ops::{Combine, Meta};

/// An index tensor whose values were checked.
struct Index {
    shape: Shape,
    values: Vec<usize>,
}

impl Index {
    /// Reads an index tensor; its values must be in `0..size`.
    fn new(index: &Array, size: usize) -> Result<Index> {
        let check = |(position, value)| match usize::try_from(value) {
            Ok(index) if index < size => Ok(index),
            _ => Err(KernelError::Index { position, value, size }),
        };
        let values = elements::<i64>(index)?.into_iter().enumerate().map(check);
        Ok(Index { shape: index.shape(), values: values.collect::<Result<_>>()? })
    }

    /// The index at a place of the index tensor.
    fn at(&self, place: Place) -> Option<usize> {
        self.values.get(number_of(self.shape, place)?).copied()
    }

    /// The index number `i` of a 1-d index tensor.
    fn number(&self, i: usize) -> Option<usize> {
        self.values.get(i).copied()
    }
}

/// One index for each element of the result: `out[i][j] = x[index[i][j]][j]` for axis 0.
pub(super) fn gather(axis: u8, x: &Array, index: &Array, out: Meta) -> Result<Array> {
    let axis = axis_of(axis, x.shape())?;
    let index = Index::new(index, x.shape().dim(axis))?;
    rearrange(&[x], out, |mut place| {
        // A place without an index is outside the operand, which is an error.
        place[axis] = index.at(place).unwrap_or(usize::MAX);
        Some((0, place))
    })
}

/// Whole slices along an axis, in the order of a 1-d index.
pub(super) fn index_select(axis: u8, x: &Array, index: &Array, out: Meta) -> Result<Array> {
    let axis = axis_of(axis, x.shape())?;
    let index = Index::new(index, x.shape().dim(axis))?;
    rearrange(&[x], out, |mut place| {
        place[axis] = index.number(place[axis]).unwrap_or(usize::MAX);
        Some((0, place))
    })
}

/// The adjoint of [`gather`]: zeros, plus each element of `x` at its index.
pub(super) fn scatter_add(axis: u8, x: &Array, index: &Array, out: Meta) -> Result<Array> {
    let axis = axis_of(axis, out.shape)?;
    let index = Index::new(index, out.shape.dim(axis))?;
    add_at(x, out, |mut place| {
        place[axis] = index.at(place)?;
        Some(place)
    })
}

/// The adjoint of [`index_select`]: zeros, plus each slice of `x` at its index.
pub(super) fn index_add(axis: u8, x: &Array, index: &Array, out: Meta) -> Result<Array> {
    let axis = axis_of(axis, out.shape)?;
    let index = Index::new(index, out.shape.dim(axis))?;
    add_at(x, out, |mut place| {
        place[axis] = index.number(place[axis])?;
        Some(place)
    })
}

/// Zeros, plus each element of `x` at the place that `to` gives for its own. Several at one place
/// add up in order.
fn add_at(x: &Array, out: Meta, to: impl Fn(Place) -> Option<Place>) -> Result<Array> {
    let target = |place| to(place).and_then(|place| number_of(out.shape, place));
    let targets: Option<Vec<usize>> = places(x.shape()).map(target).collect();
    let targets = targets.ok_or(KernelError::Bounds("an element for outside the result"))?;
    let count = out.shape.numel();
    match Values::of(x)? {
        Values::Real(v) => Values::Real(super::reduce::sum(&v, &targets, count, |a, b| a + b)),
        Values::Whole(v) => {
            Values::Whole(super::reduce::sum(&v, &targets, count, i64::wrapping_add))
        }
        Values::Truth(_) => return Err(KernelError::Type("adding is not defined on bool")),
    }
    .into_array(out)
}

/// A copy of `x`, with each element of `source` combined into it at its index, in order; an index
/// for each element, or for each slice where `whole`.
pub(super) fn scatter(
    (how, whole): (Combine, bool),
    axis: u8,
    [x, index, source]: [&Array; 3],
    out: Meta,
) -> Result<Array> {
    let axis = axis_of(axis, out.shape)?;
    let index = Index::new(index, out.shape.dim(axis))?;
    let target = |mut place: Place| {
        place[axis] = if whole { index.number(place[axis])? } else { index.at(place)? };
        number_of(out.shape, place)
    };
    let targets: Option<Vec<usize>> = places(source.shape()).map(target).collect();
    let targets = targets.ok_or(KernelError::Bounds("an element for outside the result"))?;
    match (Values::of(x)?, Values::of(source)?) {
        (Values::Real(v), Values::Real(s)) => {
            let product = |a, b| a * b;
            Values::Real(combined(v, &s, &targets, [product, larger, smaller], how))
        }
        (Values::Whole(v), Values::Whole(s)) => {
            Values::Whole(combined(v, &s, &targets, [i64::wrapping_mul, larger, smaller], how))
        }
        (Values::Truth(v), Values::Truth(s)) => {
            let both = |a, b| a && b;
            Values::Truth(combined(v, &s, &targets, [both, larger, smaller], how))
        }
        _ => return Err(KernelError::Type("a scatter of elements of another type")),
    }
    .into_array(out)
}

/// `f` is the product, the larger and the smaller of two.
fn combined<T: Copy>(
    mut v: Vec<T>,
    source: &[T],
    targets: &[usize],
    [times, larger, smaller]: [fn(T, T) -> T; 3],
    how: Combine,
) -> Vec<T> {
    for (&s, &target) in source.iter().zip(targets) {
        v[target] = match how {
            Combine::Write => s,
            Combine::Prod => times(v[target], s),
            Combine::Max => larger(v[target], s),
            Combine::Min => smaller(v[target], s),
        };
    }
    v
}

/// The same indices, of which all must be in `0..size`; those from `-size` on count from the end
/// where `negative`.
pub(super) fn within(size: usize, negative: bool, x: &Array, out: Meta) -> Result<Array> {
    let check = |(position, value): (usize, i64)| {
        let wrapped = if negative && value < 0 { value.wrapping_add(size as i64) } else { value };
        match usize::try_from(wrapped) {
            Ok(index) if index < size => Ok(wrapped),
            _ => Err(KernelError::Index { position, value, size }),
        }
    };
    let checked = elements::<i64>(x)?.into_iter().enumerate().map(check);
    Values::Whole(checked.collect::<Result<_>>()?).into_array(out)
}
