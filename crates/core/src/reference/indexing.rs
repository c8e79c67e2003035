//! Operations that follow index tensors. Indices are counted from 0; all of them are checked before
//! anything moves, and the first wrong one is reported.

use gradus_kernels::memory::KernelError;

use super::Result;
use super::movement::rearrange;
use super::values::{Place, Values, axis_of, elements, number_of, places};
use crate::array::Array;
use crate::graph::shape::Shape;
use crate::ops::Meta;

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
