//! Assignment by value: a changed copy of a tensor.

use std::panic::Location;

use super::index::Index;
use super::select::{Merge, Parts};
use super::{Operand, Tensor};
use crate::array::Array;
use crate::error::{Code, Error, Result};
use crate::graph::called::called;
use crate::graph::recorder;
use crate::ops::Op;
use crate::tensor::operand::{Arg, cast_to};

/// What happens where the index points.
#[derive(Clone, Copy, PartialEq, Eq)]
enum How {
    Set,
    Add,
}

impl Tensor {
    /// This tensor with other values where an index points: `x[index] = value` of NumPy, by value.
    ///
    /// Tensors are values: `x` stays as it is, and the result is a new tensor. Write
    /// `x = x.with_i(..)` to go on with it. The index is as in [`Tensor::i`]; the value broadcasts to
    /// what it selects and has this tensor's type (numbers take it). Where a place is named twice the
    /// last value stays. Gradients flow to the value, and to this tensor where it was not replaced.
    /// Index tensors and masks are read when this is recorded.
    ///
    /// # Errors
    /// As [`Tensor::i`]; [`Code::Shape`] for a value that does not broadcast; [`Code::DType`] for one
    /// of another type.
    ///
    /// ```
    /// use gradus_core::{By, Tensor};
    /// let x = Tensor::zeros([2, 3]);
    /// let y = x.with_i((.., 0), 1.0).with_i((0, 1..), Tensor::from([5.0, 6.0]));
    /// assert_eq!(y.to_vec2::<f32>()?, [[1.0, 5.0, 6.0], [1.0, 0.0, 0.0]]);
    /// assert_eq!(y.with_i(y.gt(1.0), 9.0).max().item()?, 9.0);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    #[track_caller]
    #[must_use]
    pub fn with_i(&self, index: impl Index, value: impl Operand) -> Tensor {
        let _called = called("with_i");
        self.changed(How::Set, index, value.arg())
    }

    /// This tensor plus a value where an index points. A place that is named twice receives both, in
    /// order, so the bits are reproducible. See [`Tensor::with_i`].
    ///
    /// ```
    /// use gradus_core::Tensor;
    /// let counts = Tensor::zeros([4]).add_i([1, 1, 3], 1.0);
    /// assert_eq!(counts.to_vec::<f32>()?, [0.0, 2.0, 0.0, 1.0]);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    #[track_caller]
    #[must_use]
    pub fn add_i(&self, index: impl Index, value: impl Operand) -> Tensor {
        let _called = called("add_i");
        self.changed(How::Add, index, value.arg())
    }

    #[track_caller]
    fn changed(&self, how: How, index: impl Index, value: Arg<'_>) -> Tensor {
        let what = if how == How::Set { "with_i" } else { "add_i" };
        let items = index.items();
        let parts = match Parts::of(what, self, &items) {
            Ok(parts) => parts,
            Err(error) => return self.failed_index(&items, error),
        };
        let value = match self.typed(what, value) {
            Ok(value) => value,
            Err(failed) => return failed,
        };
        let view = parts.view(self);
        if parts.picks.is_empty() {
            let value = value.broadcast_to(parts.dims.as_slice());
            return self.embed(how, &parts, &value);
        }
        let merge = match Merge::of(what, &view, &parts.picks) {
            Ok(merge) => merge,
            Err(error) => return recorder::failed(error, Location::caller()),
        };
        let value = merge.gathered(&value.broadcast_to(merge.shape()));
        let linear = match merge.linear(what, &parts.picks) {
            Ok(linear) => linear,
            Err(error) => return recorder::failed(error, Location::caller()),
        };
        let place = merge.place as isize;
        let merged = merge.merge(&view);
        if how == How::Add {
            let sums = merged.zeros_like().index_add(place, &linear, &value);
            return self.embed(how, &parts, &merge.unmerge(&sums));
        }
        // Every place comes from the old tensor or from the value behind it.
        let source = match sources(&linear, merge.size()) {
            Ok(source) => source,
            Err(error) => return recorder::failed(error, Location::caller()),
        };
        let both = Tensor::concat(&[&merged, &value], place);
        self.embed(how, &parts, &merge.unmerge(&both.index_select(place, &source)))
    }

    /// The value in this tensor's type.
    #[track_caller]
    fn typed(&self, what: &str, value: Arg<'_>) -> std::result::Result<Tensor, Tensor> {
        let (to, place) = (self.peek().dtype, Location::caller());
        let fraction = matches!(value, Arg::Real(v) if v.fract() != 0.0 || !v.is_finite());
        let number = matches!(value, Arg::Real(_) | Arg::Integer(_));
        let value = value.into_tensor();
        if value.is_failed() {
            return Err(value);
        }
        let from = value.peek().dtype;
        if from == to || number && (to.is_real() || !fraction) {
            return Ok(cast_to(&value, to, place));
        }
        let text = match number {
            true => format!("{what}: the value is no whole number, the tensor is {to}"),
            false => format!("{what}: the value is {from}, the tensor {to}"),
        };
        let help = format!("`cast(DType::{to:?})` the value, or this tensor first");
        Err(recorder::failed(Error::new(Code::DType, text).help(help), place))
    }

    /// This tensor with the elements of the basic parts replaced by `value`, or plus it.
    #[track_caller]
    fn embed(&self, how: How, parts: &Parts, value: &Tensor) -> Tensor {
        let shape = self.peek().shape;
        let counts: Vec<usize> = parts.spans.iter().map(|s| s.1).collect();
        let mut wide = value.reshape_to(counts.as_slice());
        let mut inside: Option<Tensor> = None;
        for (axis, &(start, count, step)) in parts.spans.iter().enumerate() {
            let size = shape.dim(axis);
            if (start, count, step) == (0, size, 1) {
                continue;
            }
            let to = wide.peek().shape.with(axis, size);
            wide = wide.apply(Op::Unslice { axis: axis as u8, start, step }, &[], Some(to));
            if how == How::Set {
                let mut taken = vec![false; size];
                for i in 0..count {
                    let at = start as isize + i as isize * step;
                    if let Some(t) = usize::try_from(at).ok().and_then(|at| taken.get_mut(at)) {
                        *t = true;
                    }
                }
                let mut dims = vec![1; shape.rank()];
                dims[axis] = size;
                let taken = Tensor::from(taken).reshape_to(dims);
                inside = Some(match inside {
                    Some(inside) => &inside & &taken,
                    None => taken,
                });
            }
        }
        match (how, inside) {
            (How::Add, _) => self + wide,
            (How::Set, Some(inside)) => inside.where_(wide, self),
            (How::Set, None) => wide,
        }
    }
}

/// For each place of an axis of `size`: itself, or `size + k` if value `k` is the last one for it.
fn sources(linear: &Tensor, size: usize) -> Result<Tensor> {
    let mut source: Vec<i64> = (0..size as i64).collect();
    for (k, at) in linear.to_vec::<i64>()?.into_iter().enumerate() {
        let place = usize::try_from(at).ok().and_then(|at| source.get_mut(at));
        *place.ok_or_else(|| {
            let text = format!("with_i: index {at} at position {k} is not in 0..{size}");
            Error::new(Code::Index, text)
        })? = size as i64 + k as i64;
    }
    Ok(Tensor::from_array(&Array::new([size], &source)?))
}
