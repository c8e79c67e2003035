//! Elements repeated, shifted, turned, cut into windows, and parts of a tensor replaced.

use std::panic::Location;

use super::Op;
use super::join::no_slice;
use crate::error::{Code, Error};
use crate::graph::called::called;
use crate::graph::dtype::DType;
use crate::graph::recorder;
use crate::graph::shape::Shape;
use crate::tensor::{Axes, Tensor, operand};

impl Tensor {
    /// Rows of a matrix from left to right: axis 1 reversed. No copy.
    ///
    /// # Errors
    /// [`Code::Shape`] with fewer than two axes.
    #[track_caller]
    #[must_use]
    pub fn fliplr(&self) -> Tensor {
        let _called = called("fliplr");
        self.flip(1)
    }

    /// Rows of a matrix from top to bottom: axis 0 reversed. No copy.
    ///
    /// # Errors
    /// [`Code::Shape`] for a scalar.
    #[track_caller]
    #[must_use]
    pub fn flipud(&self) -> Tensor {
        let _called = called("flipud");
        match self.along("flipud", 0) {
            Ok(_) => self.flip(0),
            Err(failed) => failed,
        }
    }

    /// Elements moved `by` places on along an axis, around its end; several axes are rolled one
    /// after another.
    ///
    /// # Errors
    /// [`Code::Shape`] when the axis does not exist.
    ///
    /// ```
    /// # use gradus_core::Tensor;
    /// assert_eq!(Tensor::arange(0, 4).roll(1, 0).to_vec::<i64>()?, [3, 0, 1, 2]);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    #[track_caller]
    #[must_use]
    pub fn roll(&self, by: isize, axis: isize) -> Tensor {
        let _called = called("roll");
        let shape = self.peek().shape;
        let n = match self.along("roll", axis) {
            Ok(at) => shape.dim(at),
            Err(failed) => return failed,
        };
        let by = if n == 0 { 0 } else { by.rem_euclid(n as isize) as usize };
        if by == 0 {
            return self.clone();
        }
        let (tail, head) = (self.narrow(axis, n - by, by), self.narrow(axis, 0, n - by));
        Tensor::concat(&[&tail, &head], axis)
    }

    /// [`Tensor::roll`] of all elements in row-major order.
    #[track_caller]
    #[must_use]
    pub fn roll_all(&self, by: isize) -> Tensor {
        let _called = called("roll_all");
        self.reshape([-1]).roll(by, 0).reshape_to(self.peek().shape)
    }

    /// Turned by `k` quarters in the plane of two axes, from the first towards the second.
    ///
    /// # Errors
    /// [`Code::Shape`] for axes that do not exist or are the same.
    #[track_caller]
    #[must_use]
    pub fn rot90(&self, k: isize, axes: [isize; 2]) -> Tensor {
        let _called = called("rot90");
        let shape = self.peek().shape;
        if let Err(axis) = axes.mask(shape.rank()) {
            return self.refuse(operand::no_axis("rot90", axis, &shape));
        }
        if shape.rank() < 2 {
            let text = format!("rot90: needs two axes, not {shape}");
            return self.refuse(Error::new(Code::Shape, text));
        }
        let [a, b] = axes;
        match k.rem_euclid(4) {
            1 => self.flip(b).transpose(a, b),
            2 => self.flip(axes),
            3 => self.flip(a).transpose(a, b),
            _ => self.clone(),
        }
    }

    /// The whole tensor side by side, so often along each axis; more counts than axes add leading
    /// axes: a vector with `repeat([2, 3])` becomes `[2, 3 * n]`.
    ///
    /// # Errors
    /// [`Code::Shape`] for fewer counts than axes.
    #[track_caller]
    #[must_use]
    pub fn repeat(&self, counts: impl AsRef<[usize]>) -> Tensor {
        let _called = called("repeat");
        let (counts, shape) = (counts.as_ref(), self.peek().shape);
        let Some(new) = counts.len().checked_sub(shape.rank()) else {
            let text = format!("repeat: {} counts for the axes of {shape}", counts.len());
            let help = "`tile` takes fewer counts than axes";
            return self.refuse(Error::new(Code::Shape, text).help(help));
        };
        let mut dims = vec![1; new];
        dims.extend(shape.dims());
        let mut out = self.reshape_to(dims.clone());
        // The last axis first: what is copied again and again is small then.
        for (axis, &count) in counts.iter().enumerate().rev() {
            if count == 1 {
                continue;
            }
            let (before, after) = dims.split_at(axis);
            let (outer, inner): (usize, usize) = (before.iter().product(), after.iter().product());
            let blocks = out.reshape_to([outer, 1, inner]).broadcast_to([outer, count, inner]);
            if let Some(size) = dims.get_mut(axis) {
                *size = size.saturating_mul(count);
            }
            out = blocks.reshape_to(dims.clone());
        }
        out
    }

    /// [`Tensor::repeat`] with counts for the last axes; missing ones are 1.
    #[track_caller]
    #[must_use]
    pub fn tile(&self, counts: impl AsRef<[usize]>) -> Tensor {
        let _called = called("tile");
        let counts = counts.as_ref();
        let missing = self.peek().shape.rank().saturating_sub(counts.len());
        self.repeat([vec![1; missing].as_slice(), counts].concat())
    }

    /// Each slice along an axis `count` times in a row; `flatten(0)` first for all elements.
    ///
    /// # Errors
    /// [`Code::Shape`] when the axis does not exist.
    ///
    /// ```
    /// # use gradus_core::Tensor;
    /// assert_eq!(Tensor::from([1, 2]).repeat_interleave(2, 0).to_vec::<i64>()?, [1, 1, 2, 2]);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    #[track_caller]
    #[must_use]
    pub fn repeat_interleave(&self, count: usize, axis: isize) -> Tensor {
        let _called = called("repeat_interleave");
        let x = self.atleast_1d();
        let shape = x.peek().shape;
        let at = match x.along("repeat_interleave", axis) {
            Ok(at) => at,
            Err(failed) => return failed,
        };
        let (before, after) = shape.dims().split_at(at + 1);
        let (outer, inner): (usize, usize) = (before.iter().product(), after.iter().product());
        x.reshape_to([outer, 1, inner])
            .broadcast_to([outer, count, inner])
            .reshape_to(shape.with(at, shape.dim(at).saturating_mul(count)))
    }

    /// Each slice along an axis as often in a row as its count in `counts` (a vector of i64, or one
    /// count for all). Reads the counts when recorded: the result's size depends on them.
    ///
    /// # Errors
    /// [`Code::Shape`] when the axis does not exist or has another number of slices,
    /// [`Code::DType`] for counts that are not i64, [`Code::Argument`] for a negative one.
    #[track_caller]
    #[must_use]
    pub fn repeat_interleave_each(&self, counts: &Tensor, axis: isize) -> Tensor {
        let _called = called("repeat_interleave_each");
        let x = self.atleast_1d();
        let at = match x.along("repeat_interleave_each", axis) {
            Ok(at) => at,
            Err(failed) => return failed,
        };
        if recorder::error_of(counts).is_some() {
            return counts.clone();
        }
        let (n, meta) = (x.peek().shape.dim(at), counts.peek());
        if meta.dtype != DType::I64 {
            let text = format!("repeat_interleave_each: the counts are {}, not i64", meta.dtype);
            return self.refuse(Error::new(Code::DType, text));
        }
        if meta.shape.rank() > 1 || !(meta.shape.numel() == n || meta.shape.numel() == 1) {
            let text = format!("repeat_interleave_each: counts {} for {n} slices", meta.shape);
            return self.refuse(Error::new(Code::Shape, text));
        }
        let place = Location::caller();
        let values = match counts.to_array().and_then(|a| a.to_vec::<i64>()) {
            Ok(values) => values,
            Err(error) => return recorder::failed(error, place),
        };
        let mut index: Vec<i64> = Vec::new();
        for i in 0..n {
            let count = values.get(i).or(values.first()).copied().unwrap_or(0);
            let Ok(count) = usize::try_from(count) else {
                let text = format!("repeat_interleave_each: count {count} at position {i}");
                return recorder::failed(Error::new(Code::Argument, text), place);
            };
            index.extend(std::iter::repeat_n(i as i64, count));
        }
        x.index_select(axis, &Tensor::exact([index.len()], &index))
    }

    /// Sliding windows of `size` elements along an axis, `step` apart: the axis then counts the
    /// windows, and their elements are a new last axis.
    ///
    /// # Errors
    /// [`Code::Shape`] when the axis does not exist or is shorter than a window,
    /// [`Code::Argument`] for a step of 0.
    ///
    /// ```
    /// # use gradus_core::Tensor;
    /// let windows = Tensor::arange(0, 5).unfold(0, 3, 2);
    /// assert_eq!(windows.to_vec::<i64>()?, [0, 1, 2, 2, 3, 4]);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    #[track_caller]
    #[must_use]
    pub fn unfold(&self, axis: isize, size: usize, step: usize) -> Tensor {
        let _called = called("unfold");
        let x = self.atleast_1d();
        let scalar = self.peek().shape.rank() == 0;
        let shape = x.peek().shape;
        let at = match x.along("unfold", axis) {
            Ok(at) => at,
            Err(failed) => return failed,
        };
        let n = shape.dim(at);
        if size > n || step == 0 {
            let (code, text) = match step {
                0 => (Code::Argument, "unfold: the step is 0".to_string()),
                _ => (Code::Shape, format!("unfold: windows of {size} on axis {axis} of {shape}")),
            };
            return self.refuse(Error::new(code, text));
        }
        let count = (n - size) / step + 1;
        let starts = Tensor::arange(0, count as i64) * step as i64;
        let index = starts.unsqueeze(-1) + Tensor::arange(0, size as i64);
        let picked = x.index_select(at as isize, &index.reshape([-1]));
        if scalar {
            return picked.reshape_to([size]);
        }
        let (before, after) = shape.dims().split_at(at);
        let after = after.get(1..).unwrap_or_default();
        let windows = Shape::joined([before, &[count, size], after]);
        picked.reshape_to(windows).movedim(at as isize + 1, -1)
    }

    /// Zeros of size `size` along an axis, with this tensor at `start, start + step, ..`: the
    /// adjoint of a slice.
    #[track_caller]
    pub(super) fn spread(&self, axis: usize, start: usize, step: isize, size: usize) -> Tensor {
        let shape = self.peek().shape.with(axis, size);
        if let Err(error) = shape.check("spread") {
            return self.refuse(error);
        }
        self.apply(Op::Unslice { axis: axis as u8, start, step }, &[], Some(shape))
    }

    /// This tensor with the slice `start..end` (every `step`-th element) along an axis replaced by
    /// `source`; see [`Tensor::slice`].
    ///
    /// # Errors
    /// [`Code::Shape`] when the axis does not exist or the source has another shape than the
    /// slice, [`Code::Argument`] when the step is not positive.
    #[track_caller]
    #[must_use]
    pub fn slice_scatter(
        &self,
        source: &Tensor,
        axis: isize,
        start: isize,
        end: isize,
        step: isize,
    ) -> Tensor {
        let _called = called("slice_scatter");
        let shape = self.peek().shape;
        let at = match self.along("slice_scatter", axis) {
            Ok(at) => at,
            Err(failed) => return failed,
        };
        if recorder::error_of(source).is_some() {
            return source.clone();
        }
        if step < 1 {
            let text = format!("slice_scatter: the step is {step}");
            return self.refuse(Error::new(Code::Argument, text));
        }
        let n = shape.dim(at) as isize;
        let wrap = |i: isize| (if i < 0 { i.saturating_add(n) } else { i }).clamp(0, n);
        let (first, last) = (wrap(start), wrap(end));
        let count = if last > first { ((last - first - 1) / step + 1) as usize } else { 0 };
        let of = source.peek().shape;
        if of != shape.with(at, count) {
            let text =
                format!("slice_scatter: the source is {of}, the slice {}", shape.with(at, count));
            return self.refuse(Error::new(Code::Shape, text));
        }
        if count == 0 {
            return self.clone();
        }
        if step > 1 {
            let places = Tensor::arange(0, count as i64) * step as i64 + first as i64;
            return self.index_copy(axis, &places, source);
        }
        let behind = first as usize + count;
        let (head, tail) =
            (self.narrow(axis, 0, first as usize), self.narrow(axis, behind, n as usize - behind));
        Tensor::concat(&[&head, source, &tail], axis)
    }

    /// This tensor with the slice at an index along an axis replaced by `source`, which lacks the
    /// axis.
    ///
    /// # Errors
    /// As [`Tensor::slice_scatter`]; [`Code::Index`] when the index does not exist.
    #[track_caller]
    #[must_use]
    pub fn select_scatter(&self, source: &Tensor, axis: isize, index: isize) -> Tensor {
        let _called = called("select_scatter");
        let at = match self.along("select_scatter", axis) {
            Ok(at) => at,
            Err(failed) => return failed,
        };
        let size = self.peek().shape.dim(at);
        let Some(index) = operand::resolve(index, size) else {
            return self.refuse(no_slice("select_scatter", index, axis, size));
        };
        let start = index as isize;
        let want: Shape = self.peek().shape.remove(at);
        let of = source.peek().shape;
        if recorder::error_of(source).is_none() && of != want {
            let text = format!("select_scatter: the source is {of}, the slice {want}");
            return self.refuse(Error::new(Code::Shape, text));
        }
        self.slice_scatter(&source.unsqueeze(at as isize), axis, start, start + 1, 1)
    }
}
