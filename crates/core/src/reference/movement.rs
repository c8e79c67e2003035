//! Operations that move elements without computing: each says, for a place in the result, where in
//! which operand its element comes from.

use gradus_kernels::memory::KernelError;
use half::{bf16, f16};

use super::Result;
use super::values::{Place, array, axis_of, elements, number_of, places};
use crate::array::Array;
use crate::graph::dtype::{DType, Scalar};
use crate::graph::shape::MAX_RANK;
use crate::ops::Meta;

/// Where an element comes from: which operand and which place in it; nowhere is zero.
type Origin = Option<(usize, Place)>;

/// The array whose element at each place is the one that `from` names. Bits stay as they are.
pub(super) fn rearrange(
    operands: &[&Array],
    out: Meta,
    from: impl Fn(Place) -> Origin,
) -> Result<Array> {
    match out.dtype {
        DType::F32 => rearrange_as::<f32>(operands, out, from),
        DType::F64 => rearrange_as::<f64>(operands, out, from),
        DType::I64 => rearrange_as::<i64>(operands, out, from),
        DType::I32 => rearrange_as::<i32>(operands, out, from),
        DType::U8 => rearrange_as::<u8>(operands, out, from),
        DType::Bool => rearrange_as::<bool>(operands, out, from),
        DType::BF16 => rearrange_as::<bf16>(operands, out, from),
        DType::F16 => rearrange_as::<f16>(operands, out, from),
    }
}

fn rearrange_as<T: Scalar + Default>(
    operands: &[&Array],
    out: Meta,
    from: impl Fn(Place) -> Origin,
) -> Result<Array> {
    let operands: Vec<_> =
        operands.iter().map(|x| Ok((x.shape(), elements::<T>(x)?))).collect::<Result<_>>()?;
    let element = |place| match from(place) {
        None => Some(T::default()),
        Some((operand, place)) => {
            let (shape, data) = operands.get(operand)?;
            data.get(number_of(*shape, place)?).copied()
        }
    };
    let data: Option<Vec<T>> = places(out.shape).map(element).collect();
    array(out.shape, &data.ok_or(KernelError::Bounds("an element from outside its operand"))?)
}

/// The same elements in row-major order under another shape.
pub(super) fn reshape(x: &Array, out: Meta) -> Result<Array> {
    x.reshape(out.shape).map_err(|_| KernelError::Bounds("elements do not fill the shape"))
}

/// Axis `i` of the result is axis `order[i]` of the operand.
pub(super) fn permute(order: &[u8; MAX_RANK], x: &Array, out: Meta) -> Result<Array> {
    let order = order.iter().take(out.shape.rank()).map(|&axis| axis_of(axis, x.shape()));
    let order: Vec<usize> = order.collect::<Result<_>>()?;
    rearrange(&[x], out, |place| {
        let mut source = Place::default();
        for (&axis, index) in order.iter().zip(place) {
            source[axis] = index;
        }
        Some((0, source))
    })
}

/// Axes of size 1 are repeated; missing leading axes too.
pub(super) fn broadcast(x: &Array, out: Meta) -> Result<Array> {
    let missing = out.shape.rank().checked_sub(x.shape().rank());
    let missing = missing.ok_or(KernelError::Bounds("a broadcast to fewer axes"))?;
    rearrange(&[x], out, |place| {
        let mut source = Place::default();
        for (axis, &size) in x.dims().iter().enumerate() {
            source[axis] = if size == 1 { 0 } else { place[axis + missing] };
        }
        Some((0, source))
    })
}

/// Along one axis, elements `start, start + step, ...`; a negative step walks backwards.
pub(super) fn slice(axis: u8, start: usize, step: isize, x: &Array, out: Meta) -> Result<Array> {
    let axis = axis_of(axis, out.shape)?;
    rearrange(&[x], out, |mut place| {
        // A place before the first element is as wrong as one behind the last.
        let index = (start as isize).saturating_add(step.saturating_mul(place[axis] as isize));
        place[axis] = usize::try_from(index).unwrap_or(usize::MAX);
        Some((0, place))
    })
}

/// The adjoint of [`slice`]: element `i` along the axis goes to `start + i * step`, and all other
/// places are zero.
pub(super) fn unslice(axis: u8, start: usize, step: isize, x: &Array, out: Meta) -> Result<Array> {
    let axis = axis_of(axis, out.shape)?;
    let size = x.shape().dim(axis);
    if step == 0 {
        return Err(KernelError::Bounds("a slice with step 0"));
    }
    let axis_range = 0..out.shape.dim(axis) as isize;
    let first = start as isize;
    let last = first.saturating_add(step.saturating_mul(size as isize - 1));
    if size > 0 && !(axis_range.contains(&first) && axis_range.contains(&last)) {
        return Err(KernelError::Bounds("a slice outside its axis"));
    }
    rearrange(&[x], out, |mut place| {
        let distance = place[axis] as isize - first;
        place[axis] = usize::try_from(distance / step).ok()?;
        (distance % step == 0 && place[axis] < size).then_some((0, place))
    })
}

/// Operands one after another along an axis.
pub(super) fn concat(axis: u8, parts: &[&Array], out: Meta) -> Result<Array> {
    let axis = axis_of(axis, out.shape)?;
    let total: usize = parts.iter().map(|part| part.shape().dim(axis)).sum();
    if total != out.shape.dim(axis) {
        return Err(KernelError::Bounds("parts that do not fill the axis"));
    }
    rearrange(parts, out, |mut place| {
        let mut part = 0;
        for x in parts {
            if place[axis] < x.shape().dim(axis) {
                break;
            }
            place[axis] -= x.shape().dim(axis);
            part += 1;
        }
        Some((part, place))
    })
}
