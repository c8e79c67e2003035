//! Operations that combine elements along axes: sums, extremes and their positions.

use gradus_kernels::memory::KernelError;

use super::Result;
use super::formulas::{above, below, larger, smaller};
use super::values::{Place, Values, axis_of, number_of, places};
use crate::array::Array;
use crate::graph::shape::Shape;
use crate::ops::{AxisMask, Meta, Reduction};

const NOTHING: KernelError = KernelError::Bounds("the extreme of no elements");

/// Sum, largest or smallest element along the axes in the mask, which keep size 1.
pub(super) fn reduce(kind: Reduction, axes: AxisMask, x: &Array, out: Meta) -> Result<Array> {
    let targets = targets(x.shape(), axes, out.shape)?;
    let count = out.shape.numel();
    match (Values::of(x)?, kind) {
        (Values::Real(v), Reduction::Sum) => Values::Real(sum(&v, &targets, count, |a, b| a + b)),
        (Values::Whole(v), Reduction::Sum) => {
            Values::Whole(sum(&v, &targets, count, i64::wrapping_add))
        }
        (Values::Real(v), Reduction::Prod) => {
            Values::Real(fold(&v, &targets, count, 1.0, |a, b| a * b))
        }
        (Values::Whole(v), Reduction::Prod) => {
            Values::Whole(fold(&v, &targets, count, 1, i64::wrapping_mul))
        }
        (Values::Real(v), Reduction::Max) => Values::Real(extreme(&v, &targets, count, larger)?),
        (Values::Real(v), Reduction::Min) => Values::Real(extreme(&v, &targets, count, smaller)?),
        (Values::Whole(v), Reduction::Max) => Values::Whole(extreme(&v, &targets, count, larger)?),
        (Values::Whole(v), Reduction::Min) => Values::Whole(extreme(&v, &targets, count, smaller)?),
        (Values::Truth(v), Reduction::Max) => Values::Truth(extreme(&v, &targets, count, larger)?),
        (Values::Truth(v), Reduction::Min) => Values::Truth(extreme(&v, &targets, count, smaller)?),
        (Values::Truth(_), Reduction::Sum | Reduction::Prod) => {
            return Err(KernelError::Type("the sum or product is not defined on bool"));
        }
    }
    .into_array(out)
}

/// For each element of the operand, the number of the result that it belongs to.
fn targets(shape: Shape, axes: AxisMask, out: Shape) -> Result<Vec<usize>> {
    let target = |mut place: Place| {
        for (axis, index) in place.iter_mut().enumerate() {
            if axes & (1 << axis) != 0 {
                *index = 0;
            }
        }
        number_of(out, place)
    };
    let all: Option<Vec<usize>> = places(shape).map(target).collect();
    all.ok_or(KernelError::Bounds("the result of a reduction"))
}

/// For each target, the sum of its elements, in order.
pub(super) fn sum<T: Copy + Default>(
    v: &[T],
    targets: &[usize],
    count: usize,
    add: impl Fn(T, T) -> T,
) -> Vec<T> {
    fold(v, targets, count, T::default(), add)
}

/// As [`sum`], from another start.
fn fold<T: Copy>(
    v: &[T],
    targets: &[usize],
    count: usize,
    start: T,
    join: impl Fn(T, T) -> T,
) -> Vec<T> {
    let mut joined = vec![start; count];
    for (&x, &target) in v.iter().zip(targets) {
        joined[target] = join(joined[target], x);
    }
    joined
}

/// For each target, the best of its elements; an error where it has none.
fn extreme<T: Copy>(
    v: &[T],
    targets: &[usize],
    count: usize,
    better: impl Fn(T, T) -> T,
) -> Result<Vec<T>> {
    let mut best: Vec<Option<T>> = vec![None; count];
    for (&x, &target) in v.iter().zip(targets) {
        best[target] = Some(best[target].map_or(x, |old| better(x, old)));
    }
    best.into_iter().map(|found| found.ok_or(NOTHING)).collect()
}

/// Position of the largest or smallest element along an axis, which keeps size 1. The first of equal
/// elements counts, and NaN is beyond every number.
pub(super) fn position(max: bool, axis: u8, x: &Array, out: Meta) -> Result<Array> {
    let axis = axis_of(axis, x.shape())?;
    let found = match Values::of(x)? {
        Values::Real(v) => positions(&v, x.shape(), axis, if max { above } else { below }),
        Values::Whole(v) => positions(&v, x.shape(), axis, if max { above } else { below }),
        Values::Truth(v) => positions(&v, x.shape(), axis, if max { above } else { below }),
    };
    Values::Whole(found?).into_array(out)
}

/// The position along `axis` of the element that is beyond all others, for each line of elements.
fn positions<T: Copy>(
    v: &[T],
    shape: Shape,
    axis: usize,
    beyond: fn(T, T) -> bool,
) -> Result<Vec<i64>> {
    let find = |mut place: Place| {
        let mut best: Option<(usize, T)> = None;
        for index in 0..shape.dim(axis) {
            place[axis] = index;
            let x = number_of(shape, place).and_then(|number| v.get(number).copied());
            let x = x.ok_or(KernelError::Bounds("the operand of an arg-reduction"))?;
            if best.is_none_or(|(_, old)| beyond(x, old)) {
                best = Some((index, x));
            }
        }
        best.map(|(index, _)| index as i64).ok_or(NOTHING)
    };
    places(shape.with(axis, 1)).map(find).collect()
}
