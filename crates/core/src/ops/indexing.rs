//! Picking elements by index tensors.

use std::panic::Location;

use super::Op;
use super::scatter::write_rows;
use crate::error::{Code, Error};
use crate::graph::called::called;
use crate::graph::dtype::DType;
use crate::graph::recorder;
use crate::graph::shape::{MAX_RANK, Shape};
use crate::tensor::operand::{self, Arg};
use crate::tensor::{Operand, Tensor};

impl Tensor {
    /// One element per index along an axis: for axis 1 of a matrix, `out[i][j] = x[i][index[i][j]]`.
    ///
    /// `index` is i64, has the rank of this tensor, and is nowhere larger but on the axis; the
    /// result has its shape. Indices must be in `0..size` (found when run: [`Code::Index`]). A
    /// scalar counts as a vector of one.
    #[track_caller]
    #[must_use]
    pub fn gather(&self, axis: isize, index: &Tensor) -> Tensor {
        let x = self.atleast_1d();
        match x.along("gather", axis) {
            Ok(axis) => {
                let op = Op::Gather { axis: axis as u8 };
                x.apply(op, &[&index.atleast_1d()], None).reshape_like(index)
            }
            Err(failed) => failed,
        }
    }

    /// This tensor under another's shape; an error of its own stays.
    #[track_caller]
    fn reshape_like(&self, other: &Tensor) -> Tensor {
        if recorder::error_of(self).is_some() {
            return self.clone();
        }
        self.reshape_to(other.peek().shape)
    }

    /// Whole slices along an axis, in the order of a 1-d i64 index: rows of an embedding table.
    /// A scalar counts as a vector of one, also as the index.
    #[track_caller]
    #[must_use]
    pub fn index_select(&self, axis: isize, index: &Tensor) -> Tensor {
        let x = self.atleast_1d();
        let axis = match x.along("index_select", axis) {
            Ok(axis) => axis as u8,
            Err(failed) => return failed,
        };
        let out = x.apply(Op::IndexSelect { axis }, &[&index.atleast_1d()], None);
        let scalar = self.peek().shape.rank() == 0 && out.peek().shape.numel() == 1;
        if scalar && recorder::error_of(&out).is_none() { out.reshape_to(()) } else { out }
    }

    /// This i64 tensor, of which every element must be in `0..size`; with `negative` those in
    /// `-size..0` count from the end. Errors name the value, its position and the size.
    #[track_caller]
    pub(crate) fn within(&self, size: usize, negative: bool) -> Tensor {
        self.apply(Op::Within { size, negative }, &[], None)
    }

    /// Elements by their number in row-major order, as if this tensor were a vector; the result
    /// has the shape of the index (i64). Negative numbers count from the end.
    ///
    /// # Errors
    /// [`Code::Index`] for a number that there is not (found when run).
    ///
    /// ```
    /// # use gradus_core::Tensor;
    /// let x = Tensor::from([[1.0, 2.0], [3.0, 4.0]]);
    /// assert_eq!(x.take(&Tensor::from([3, 0, -2])).to_vec::<f32>()?, [4.0, 1.0, 3.0]);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    #[track_caller]
    #[must_use]
    pub fn take(&self, index: &Tensor) -> Tensor {
        let _called = called("take");
        let x = self.reshape([-1]);
        let at = index.within(x.peek().shape.numel(), true);
        x.index_select(0, &at.reshape([-1])).reshape_like(&at)
    }

    /// [`Tensor::gather`] where tensor and index broadcast on all axes but the one: with an index
    /// from `argsort` or `argmax` that kept its axis, the elements it speaks of.
    ///
    /// # Errors
    /// As [`Tensor::gather`]; [`Code::Shape`] for another rank or sizes that do not broadcast.
    #[track_caller]
    #[must_use]
    pub fn take_along_dim(&self, index: &Tensor, axis: isize) -> Tensor {
        let _called = called("take_along_dim");
        let axis_at = match self.along("take_along_dim", axis) {
            Ok(axis) => axis,
            Err(failed) => return failed,
        };
        let (shape, of) = (self.peek().shape, index.peek().shape);
        if recorder::error_of(index).is_some() {
            return index.clone();
        }
        let common = match shape.with(axis_at, 1).broadcast(&of.with(axis_at, 1)) {
            Some(common) if shape.rank() == of.rank() => common,
            _ => {
                let text = format!("take_along_dim: index {of} does not fit {shape}");
                return self.refuse(Error::new(Code::Shape, text));
            }
        };
        let x = self.broadcast_to(common.with(axis_at, shape.dim(axis_at)));
        x.gather(axis, &index.broadcast_to(common.with(axis_at, of.dim(axis_at))))
    }

    /// Class ids to indicator vectors: `[..]` of i64 becomes `[.., classes]` of f32, 1 at the id.
    ///
    /// # Errors
    /// [`Code::DType`] for ids that are not i64, [`Code::Index`] for an id that is not in
    /// `0..classes` (found when run).
    #[track_caller]
    #[must_use]
    pub fn one_hot(&self, classes: usize) -> Tensor {
        let _called = called("one_hot");
        let place = Location::caller();
        let meta = self.peek();
        if recorder::error_of(self).is_some() {
            return self.clone();
        }
        if meta.dtype != DType::I64 {
            let text = format!("one_hot: takes i64 class ids, not {}", meta.dtype);
            return recorder::failed(Error::new(Code::DType, text), place);
        }
        let rank = meta.shape.rank();
        if let Err(error) = meta.shape.insert(rank, classes).check("one_hot") {
            return recorder::failed(error, place);
        }
        let classes_at = Tensor::arange(0, i64::try_from(classes).unwrap_or(i64::MAX));
        self.within(classes, false).unsqueeze(-1).eq(&classes_at).cast(DType::F32)
    }

    /// This tensor with values at the places that index tensors name, one for each axis from the
    /// first on (`None` takes all of an axis, as do missing ones): `x.index_put(&[Some(&rows),
    /// Some(&columns)], values, false)` writes `values[k]` at `[rows[k]][columns[k]]`.
    ///
    /// Indices broadcast with each other and may be negative; a bool index stands for the positions
    /// where it is true, and is read when this is recorded. Values are a number or a tensor that
    /// broadcasts to what indexing gives. With `accumulate` they are added, duplicates in order;
    /// otherwise the last of several stays.
    ///
    /// # Errors
    /// [`Code::Shape`] for too many indices or shapes that do not broadcast, [`Code::DType`] for
    /// other types, [`Code::Index`] for an index that there is not (found when run).
    ///
    /// ```
    /// # use gradus_core::Tensor;
    /// let x = Tensor::zeros([2, 2]);
    /// let (i, j) = (Tensor::from([0, 1]), Tensor::from([1, 0]));
    /// let y = x.index_put(&[Some(&i), Some(&j)], Tensor::from([5.0, 7.0]), false);
    /// assert_eq!(y.to_vec::<f32>()?, [0.0, 5.0, 7.0, 0.0]);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    #[track_caller]
    #[must_use]
    pub fn index_put(
        &self,
        indices: &[Option<&Tensor>],
        values: impl Operand,
        accumulate: bool,
    ) -> Tensor {
        let _called = called("index_put");
        let place = Location::caller();
        let plan = match Places::new("index_put", self, indices) {
            Ok(plan) => plan,
            Err(failed) => return failed,
        };
        let dtype = self.peek().dtype;
        let values = match values.arg() {
            Arg::Borrowed(t) => t.clone(),
            Arg::Owned(t) => t,
            number => operand::number_of(&number, dtype, place),
        };
        if recorder::error_of(&values).is_some() {
            return values;
        }
        let rows = plan.rows(&values.broadcast_to(plan.result()));
        let out = match accumulate {
            true => plan.x.index_add(0, &plan.at, &rows),
            false => write_rows(&plan.x, &plan.at, &rows),
        };
        plan.restored(&out)
    }
}

/// Where index tensors point in a tensor: the tensor as rows, and the number of a row for each index.
pub(crate) struct Places {
    /// The tensor as `[rows, elements of a row]`: the indexed axes are the rows.
    pub(crate) x: Tensor,
    /// Row numbers, checked, as a vector.
    pub(crate) at: Tensor,
    /// The common shape of the indices.
    shape: Shape,
    /// The axes in the order of `x`, and their sizes.
    order: Vec<isize>,
    sizes: Vec<usize>,
    /// How many axes are indexed.
    indexed: usize,
    /// Where the axes of the indices go in the result.
    front: usize,
}

impl Places {
    #[track_caller]
    pub(crate) fn new(
        what: &str,
        x: &Tensor,
        indices: &[Option<&Tensor>],
    ) -> Result<Places, Tensor> {
        let place = Location::caller();
        for t in indices.iter().flatten().copied().chain([x]) {
            if recorder::error_of(t).is_some() {
                return Err(t.clone());
            }
        }
        let size = x.peek().shape;
        let wrong = |text: String| {
            Err(recorder::failed(Error::new(Code::Shape, format!("{what}: {text}")), place))
        };
        // One index an axis; a mask gives one for each of its axes.
        let mut each: Vec<Option<Tensor>> = Vec::new();
        for index in indices {
            let Some(index) = index else {
                each.push(None);
                continue;
            };
            let meta = index.peek();
            if meta.dtype != DType::Bool {
                each.push(Some((*index).clone()));
                continue;
            }
            let first = each.len();
            let of = (0..meta.shape.rank()).map(|i| (meta.shape.dim(i), size.dim(first + i)));
            if first + meta.shape.rank() > size.rank() || of.into_iter().any(|(a, b)| a != b) {
                return wrong(format!("the mask {} does not fit {size}", meta.shape));
            }
            let found = index.nonzero();
            if recorder::error_of(&found).is_some() {
                return Err(found);
            }
            for axis in 0..meta.shape.rank() {
                each.push(Some(found.narrow(1, axis, 1).squeeze(1)));
            }
        }
        let axes: Vec<usize> =
            (0..each.len()).filter(|&i| each.get(i).is_some_and(Option::is_some)).collect();
        if each.len() > size.rank() {
            return wrong(format!("{} indices for the {} axes of {size}", each.len(), size.rank()));
        }
        let mut shape = Shape::SCALAR;
        for t in each.iter().flatten() {
            let of = t.peek().shape;
            let Some(common) = shape.broadcast(&of) else {
                return wrong(format!("indices {shape} and {of} do not broadcast"));
            };
            shape = common;
        }
        let rest = (0..size.rank()).filter(|axis| !axes.contains(axis));
        let order: Vec<usize> = axes.iter().copied().chain(rest).collect();
        let rows: usize = axes.iter().map(|&a| size.dim(a)).product();
        let mut at: Option<Tensor> = None;
        for (axis, t) in each.iter().enumerate() {
            let Some(t) = t else { continue };
            let checked = t.within(size.dim(axis), true);
            at = Some(match at {
                Some(at) => at * size.dim(axis) as i64 + checked,
                None => checked,
            });
        }
        let at = at.unwrap_or_else(|| Tensor::exact((), &[0i64]));
        let at = at.broadcast_to(shape).reshape([-1]);
        // Indices next to each other keep their place in the result; others go to the front.
        let adjacent = axes.windows(2).all(|w| w[0] + 1 == w[1]);
        let front = if adjacent { axes.first().copied().unwrap_or(0) } else { 0 };
        let sizes: Vec<usize> = order.iter().map(|&a| size.dim(a)).collect();
        let order: Vec<isize> = order.iter().map(|&a| a as isize).collect();
        let columns = sizes.iter().skip(axes.len()).product();
        let x = x.permute(&order).reshape_to([rows, columns]);
        Ok(Places { x, at, shape, order, sizes, indexed: axes.len(), front })
    }

    /// Sizes of the axes that are not indexed.
    fn rest(&self) -> &[usize] {
        self.sizes.get(self.indexed..).unwrap_or_default()
    }

    /// The shape that indexing gives.
    pub(crate) fn result(&self) -> Shape {
        let (before, after) = self.rest().split_at(self.front.min(self.rest().len()));
        Shape::joined([before, self.shape.dims(), after])
    }

    /// A tensor of the result's shape as rows.
    #[track_caller]
    fn rows(&self, values: &Tensor) -> Tensor {
        let rank = (self.shape.rank() + self.rest().len()).min(MAX_RANK) as isize;
        let (front, count) = (self.front as isize, self.shape.rank() as isize);
        let order = (front..front + count).chain(0..front).chain(front + count..rank);
        let columns = self.rest().iter().product();
        let turned = values.permute(order.collect::<Vec<_>>());
        turned.reshape_to([self.shape.numel(), columns])
    }

    /// Rows as a tensor of the result's shape.
    #[track_caller]
    #[allow(dead_code)] // the inverse of `rows`
    pub(crate) fn of_rows(&self, rows: &Tensor) -> Tensor {
        let (front, count) = (self.front as isize, self.shape.rank() as isize);
        let rank = count + self.rest().len() as isize;
        let wide = rows.reshape_to(Shape::joined([self.shape.dims(), self.rest()]));
        let order = (count..count + front).chain(0..count).chain(count + front..rank);
        wide.permute(order.collect::<Vec<_>>())
    }

    /// The tensor in its own shape again.
    #[track_caller]
    fn restored(&self, x: &Tensor) -> Tensor {
        let mut back = vec![0isize; self.order.len()];
        for (i, &axis) in self.order.iter().enumerate() {
            if let Some(slot) = back.get_mut(axis as usize) {
                *slot = i as isize;
            }
        }
        x.reshape_to(self.sizes.clone()).permute(back)
    }
}
