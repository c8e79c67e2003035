//! Other shapes and orders of axes for the same elements.

use std::panic::Location;

use super::Reduction;
use super::reduce::all_axes;
use crate::error::{Code, Error};
use crate::graph::called::called;
use crate::graph::recorder;
use crate::graph::shape::Shape;
use crate::tensor::{Axes, Tensor, operand};

impl Tensor {
    /// The axis counted from 0, or the failed tensor of a call that names one that does not exist.
    #[track_caller]
    pub(crate) fn along(&self, what: &str, axis: isize) -> Result<usize, Tensor> {
        let shape = self.peek().shape;
        match operand::resolve(axis, shape.rank()) {
            Some(axis) if recorder::error_of(self).is_none() => Ok(axis),
            Some(_) => Err(self.clone()),
            None => Err(self.refuse(operand::no_axis(what, axis, &shape))),
        }
    }

    /// [`Tensor::reshape`] under PyTorch's other name. It never fails for how elements lie in
    /// memory: that is not visible here.
    #[track_caller]
    #[must_use]
    pub fn view(&self, sizes: impl AsRef<[isize]>) -> Tensor {
        self.reshape(sizes)
    }

    /// The same elements under the shape of another tensor.
    #[track_caller]
    #[must_use]
    pub fn view_as(&self, other: &Tensor) -> Tensor {
        match recorder::error_of(other) {
            Some(_) => other.clone(),
            None => self.reshape_to(other.peek().shape),
        }
    }

    /// [`Tensor::view_as`] under its other name.
    #[track_caller]
    #[must_use]
    pub fn reshape_as(&self, other: &Tensor) -> Tensor {
        self.view_as(other)
    }

    /// Axes of size 1 repeated to `sizes`, and missing leading axes added; `-1` keeps a size:
    /// `x.expand([3, -1])`. No copy.
    ///
    /// # Errors
    /// [`Code::Shape`] when another size than 1 would change, or there are fewer sizes than axes.
    ///
    /// ```
    /// # use gradus_core::Tensor;
    /// let x = Tensor::from([[1.0], [2.0]]);
    /// assert_eq!(x.expand([-1, 3]).to_vec::<f32>()?, [1.0, 1.0, 1.0, 2.0, 2.0, 2.0]);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    #[track_caller]
    #[must_use]
    pub fn expand(&self, sizes: impl AsRef<[isize]>) -> Tensor {
        let _called = called("expand");
        let (sizes, shape) = (sizes.as_ref(), self.peek().shape);
        let new = sizes.len().wrapping_sub(shape.rank());
        let mut dims = Vec::with_capacity(sizes.len());
        for (i, &size) in sizes.iter().enumerate() {
            match (usize::try_from(size), i.checked_sub(new)) {
                (Ok(size), _) => dims.push(size),
                (Err(_), Some(axis)) if size == -1 && axis < shape.rank() => {
                    dims.push(shape.dim(axis));
                }
                _ => {
                    let text = format!("expand: {shape} has nothing to keep for {sizes:?}");
                    return self.refuse(Error::new(Code::Shape, text));
                }
            }
        }
        self.broadcast_to(dims)
    }

    /// [`Tensor::broadcast_to`] the shape of another tensor.
    #[track_caller]
    #[must_use]
    pub fn expand_as(&self, other: &Tensor) -> Tensor {
        let _called = called("expand_as");
        match recorder::error_of(other) {
            Some(_) => other.clone(),
            None => self.broadcast_to(other.peek().shape),
        }
    }

    /// Tensors brought to their common shape, as arithmetic does: the inverse of a sum over what
    /// is repeated. No copy.
    ///
    /// # Errors
    /// [`Code::Shape`] when the shapes do not broadcast.
    #[track_caller]
    pub fn broadcast_tensors(tensors: &[&Tensor]) -> Vec<Tensor> {
        let _called = called("broadcast_tensors");
        let place = Location::caller();
        let mut to = Shape::SCALAR;
        for t in tensors {
            let shape = t.peek().shape;
            match to.broadcast(&shape) {
                Some(common) => to = common,
                None => {
                    let text = format!("broadcast_tensors: {to} and {shape} do not broadcast");
                    let failed = match tensors.iter().find(|t| recorder::error_of(t).is_some()) {
                        Some(t) => (*t).clone(),
                        None => recorder::failed(Error::new(Code::Shape, text), place),
                    };
                    return vec![failed; tensors.len()];
                }
            }
        }
        let mut out = Vec::with_capacity(tensors.len());
        for t in tensors {
            out.push(t.broadcast_to(to));
        }
        out
    }

    /// The sum over what a broadcast from `sizes` to this shape would repeat: the adjoint of
    /// [`Tensor::broadcast_to`].
    ///
    /// # Errors
    /// [`Code::Shape`] when `sizes` does not broadcast to this shape.
    #[track_caller]
    #[must_use]
    pub fn sum_to_size(&self, sizes: impl Into<Shape>) -> Tensor {
        let _called = called("sum_to_size");
        let (shape, to) = (self.peek().shape, sizes.into());
        if to.broadcast(&shape) != Some(shape) {
            let text = format!("sum_to_size: {to} does not broadcast to {shape}");
            return self.refuse(Error::new(Code::Shape, text));
        }
        let repeated = |&axis: &usize| {
            let back = shape.rank() - 1 - axis;
            back >= to.rank() || (to.last(back) == 1 && shape.dim(axis) != 1)
        };
        let mask =
            all_axes(shape.rank()) & (0..shape.rank()).filter(repeated).fold(0, |m, a| m | 1 << a);
        self.reduce(Reduction::Sum, mask, true).reshape_to(to)
    }

    /// An axis split into several: `[6, 4]` with `unflatten(0, [2, -1])` is `[2, 3, 4]`.
    ///
    /// # Errors
    /// [`Code::Shape`] when the sizes do not multiply to the axis.
    #[track_caller]
    #[must_use]
    pub fn unflatten(&self, axis: isize, sizes: impl AsRef<[isize]>) -> Tensor {
        let _called = called("unflatten");
        let (shape, sizes) = (self.peek().shape, sizes.as_ref());
        let axis = match self.along("unflatten", axis) {
            Ok(axis) => axis,
            Err(failed) => return failed,
        };
        let parts = match super::movement::resolve_sizes(&Shape::new(&[shape.dim(axis)]), sizes) {
            Ok(parts) if parts.numel() == shape.dim(axis) && !sizes.is_empty() => parts,
            _ => {
                let size = shape.dim(axis);
                let text = format!("unflatten: {sizes:?} does not make {size} (axis {axis})");
                return self.refuse(Error::new(Code::Shape, text));
            }
        };
        let (before, rest) = shape.dims().split_at(axis);
        let after = rest.get(1..).unwrap_or_default();
        self.reshape_to(Shape::joined([before, parts.dims(), after]))
    }

    /// Axes `start..=end` made into one: `[2, 3, 4, 5]` with `flatten_dims(1, 2)` is `[2, 12, 5]`.
    ///
    /// # Errors
    /// [`Code::Shape`] when an axis does not exist, or `end` is before `start`.
    #[track_caller]
    #[must_use]
    pub fn flatten_dims(&self, start: isize, end: isize) -> Tensor {
        let _called = called("flatten");
        let shape = self.peek().shape;
        let rank = shape.rank().max(1);
        let ends = (operand::resolve(start, rank), operand::resolve(end, rank));
        let (first, last) = match ends {
            (Some(first), Some(last)) if first <= last => (first, last),
            (Some(_), Some(_)) => {
                let text = format!("flatten: axis {start} is behind axis {end} in {shape}");
                return self.refuse(Error::new(Code::Shape, text));
            }
            (first, _) => {
                let axis = if first.is_none() { start } else { end };
                return self.refuse(operand::no_axis("flatten", axis, &shape));
            }
        };
        let dims = shape.dims();
        let part = |from: usize, to: usize| dims.get(from..to.min(dims.len())).unwrap_or_default();
        let middle = [part(first, last + 1).iter().product()];
        let end = (last + 1).min(dims.len());
        self.reshape_to(Shape::joined([part(0, first), &middle, part(end, dims.len())]))
    }

    /// At least one axis: a scalar becomes `[1]`.
    #[track_caller]
    #[must_use]
    pub fn atleast_1d(&self) -> Tensor {
        if self.peek().shape.rank() == 0 { self.unsqueeze(0) } else { self.clone() }
    }

    /// At least two axes: a vector `[n]` becomes `[1, n]`.
    #[track_caller]
    #[must_use]
    pub fn atleast_2d(&self) -> Tensor {
        let x = self.atleast_1d();
        if x.peek().shape.rank() == 1 { x.unsqueeze(0) } else { x }
    }

    /// At least three axes: a vector `[n]` becomes `[1, n, 1]`, a matrix `[m, n]` `[m, n, 1]`.
    #[track_caller]
    #[must_use]
    pub fn atleast_3d(&self) -> Tensor {
        let x = self.atleast_2d();
        if x.peek().shape.rank() == 2 { x.unsqueeze(-1) } else { x }
    }

    /// The last two axes swapped: the transpose of each matrix of a batch. No copy.
    ///
    /// # Errors
    /// [`Code::Shape`] with fewer than two axes.
    #[track_caller]
    #[must_use]
    #[allow(non_snake_case)] // its name in the field
    pub fn mT(&self) -> Tensor {
        let _called = called("mT");
        let shape = self.peek().shape;
        if shape.rank() < 2 {
            let text = format!("mT: needs at least two axes, not {shape}");
            return self.refuse(Error::new(Code::Shape, text));
        }
        self.transpose(-2, -1)
    }

    /// All axes in reverse order. No copy.
    #[track_caller]
    #[must_use]
    #[allow(non_snake_case)] // its name in the field
    pub fn T(&self) -> Tensor {
        let _called = called("T");
        let rank = self.peek().shape.rank() as isize;
        self.permute((0..rank).rev().collect::<Vec<_>>())
    }

    /// [`Tensor::transpose`] under NumPy's name.
    #[track_caller]
    #[must_use]
    pub fn swapaxes(&self, a: isize, b: isize) -> Tensor {
        self.transpose(a, b)
    }

    /// Moves axes to other positions; the others keep their order: `x.movedim(1, -1)`,
    /// `x.movedim([0, 1], [1, 0])`. No copy.
    ///
    /// # Errors
    /// [`Code::Shape`] for axes that do not exist, are named twice, or whose counts differ.
    #[track_caller]
    #[must_use]
    pub fn movedim(&self, from: impl Axes, to: impl Axes) -> Tensor {
        let _called = called("movedim");
        let shape = self.peek().shape;
        let rank = shape.rank();
        if let Err(axis) = from.mask(rank).and(to.mask(rank)) {
            return self.refuse(operand::no_axis("movedim", axis, &shape));
        }
        let (from, to) = (from.list(), to.list());
        if from.len() != to.len() {
            let (a, b) = (from.len(), to.len());
            let text = format!("movedim: {a} axes cannot go to {b} places");
            return self.refuse(Error::new(Code::Shape, text));
        }
        let at = |axis: &isize| operand::resolve(*axis, rank);
        let from: Vec<usize> = from.iter().filter_map(at).collect();
        let to: Vec<usize> = to.iter().filter_map(at).collect();
        let mut rest = (0..rank).filter(|axis| !from.contains(axis));
        let mut order = Vec::with_capacity(rank);
        for place in 0..rank {
            let moved = to.iter().position(|&t| t == place).and_then(|k| from.get(k).copied());
            order.extend(moved.or_else(|| rest.next()).map(|axis| axis as isize));
        }
        self.permute(order)
    }

    /// Channels (axis 1) dealt out anew: `groups` runs of channels are interleaved.
    ///
    /// # Errors
    /// [`Code::Shape`] with fewer than three axes, or channels that `groups` does not divide.
    #[track_caller]
    #[must_use]
    pub fn channel_shuffle(&self, groups: usize) -> Tensor {
        let _called = called("channel_shuffle");
        let shape = self.peek().shape;
        let channels = shape.dim(1);
        if shape.rank() < 3 || groups == 0 || !channels.is_multiple_of(groups) {
            let text = format!("channel_shuffle: {shape} has no {groups} groups on axis 1");
            let help = "shapes are [batch, channels, ..]; the groups divide the channels";
            return self.refuse(Error::new(Code::Shape, text).help(help));
        }
        let inner: usize = shape.dims().iter().skip(2).product();
        self.reshape_to([shape.dim(0), groups, channels / groups, inner])
            .transpose(1, 2)
            .reshape_to(shape)
    }

    /// Channels to pixels: `[.., c * r * r, h, w]` becomes `[.., c, h * r, w * r]`.
    ///
    /// # Errors
    /// [`Code::Shape`] with fewer than three axes, or channels that `r * r` does not divide.
    #[track_caller]
    #[must_use]
    pub fn pixel_shuffle(&self, r: usize) -> Tensor {
        let _called = called("pixel_shuffle");
        let shape = self.peek().shape;
        let [w, h, channels] = [0, 1, 2].map(|back| shape.last(back));
        if shape.rank() < 3 || r == 0 || !channels.is_multiple_of(r * r) {
            let text = format!("pixel_shuffle: the channels of {shape} do not make {r}x{r} pixels");
            let help = "shapes are [.., channels, height, width]";
            return self.refuse(Error::new(Code::Shape, text).help(help));
        }
        let (before, _) = shape.dims().split_at(shape.rank() - 3);
        let (outer, c) = (before.iter().product(), channels / (r * r));
        self.reshape_to([outer, c, r, r, h, w])
            .permute([0, 1, 4, 2, 5, 3])
            .reshape_to(Shape::joined([before, &[c, h * r, w * r]]))
    }

    /// Pixels to channels, the inverse of [`Tensor::pixel_shuffle`]: `[.., c, h * r, w * r]`
    /// becomes `[.., c * r * r, h, w]`.
    ///
    /// # Errors
    /// [`Code::Shape`] with fewer than three axes, or sizes that `r` does not divide.
    #[track_caller]
    #[must_use]
    pub fn pixel_unshuffle(&self, r: usize) -> Tensor {
        let _called = called("pixel_unshuffle");
        let shape = self.peek().shape;
        let [w, h, c] = [0, 1, 2].map(|back| shape.last(back));
        if shape.rank() < 3 || r == 0 || !h.is_multiple_of(r) || !w.is_multiple_of(r) {
            let text = format!("pixel_unshuffle: {r}x{r} pixels do not tile {shape}");
            let help = "shapes are [.., channels, height, width]";
            return self.refuse(Error::new(Code::Shape, text).help(help));
        }
        let (before, _) = shape.dims().split_at(shape.rank() - 3);
        let (h, w, outer) = (h / r, w / r, before.iter().product());
        self.reshape_to([outer, c, h, r, w, r])
            .permute([0, 1, 3, 5, 2, 4])
            .reshape_to(Shape::joined([before, &[c * r * r, h, w]]))
    }
}
