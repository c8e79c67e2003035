//! Several tensors made one, and one tensor cut into several.
//!
//! What is cut are views, without a copy. A failed call that gives several tensors gives as many
//! failed ones as the call asked for (one where that depends on the tensor).

use std::panic::Location;

use crate::error::{Code, Error};
use crate::graph::called::called;
use crate::graph::recorder;
use crate::tensor::{Tensor, operand};

/// Which axes [`Tensor::meshgrid`] counts first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Meshgrid {
    /// Matrices: the first tensor varies along axis 0.
    #[default]
    Ij,
    /// Pictures: the first tensor varies along axis 1, the second along axis 0.
    Xy,
}

/// The tensors, each changed by `f`, one after another along an axis.
#[track_caller]
fn joined(what: &str, tensors: &[&Tensor], axis: isize, f: impl Fn(&Tensor) -> Tensor) -> Tensor {
    let place = Location::caller();
    if tensors.is_empty() {
        let text = format!("{what}: needs at least one tensor");
        return recorder::failed(Error::new(Code::Argument, text), place);
    }
    let mut wide = Vec::with_capacity(tensors.len());
    for t in tensors {
        if recorder::error_of(t).is_some() {
            return (*t).clone();
        }
        wide.push(f(t));
    }
    Tensor::concat(&wide.iter().collect::<Vec<_>>(), axis)
}

impl Tensor {
    /// Tensors side by side: along axis 1, vectors along axis 0.
    ///
    /// # Errors
    /// As [`Tensor::concat`].
    #[track_caller]
    #[must_use]
    pub fn hstack(tensors: &[&Tensor]) -> Tensor {
        let _called = called("hstack");
        let flat = tensors.first().is_some_and(|t| t.peek().shape.rank() < 2);
        joined("hstack", tensors, if flat { 0 } else { 1 }, |t| t.atleast_1d())
    }

    /// Tensors below each other, along axis 0; vectors are rows.
    ///
    /// # Errors
    /// As [`Tensor::concat`].
    #[track_caller]
    #[must_use]
    pub fn vstack(tensors: &[&Tensor]) -> Tensor {
        let _called = called("vstack");
        joined("vstack", tensors, 0, |t| t.atleast_2d())
    }

    /// Tensors behind each other, along axis 2; see [`Tensor::atleast_3d`].
    ///
    /// # Errors
    /// As [`Tensor::concat`].
    #[track_caller]
    #[must_use]
    pub fn dstack(tensors: &[&Tensor]) -> Tensor {
        let _called = called("dstack");
        joined("dstack", tensors, 2, |t| t.atleast_3d())
    }

    /// Tensors along axis 1; vectors are columns.
    ///
    /// # Errors
    /// As [`Tensor::concat`].
    #[track_caller]
    #[must_use]
    pub fn column_stack(tensors: &[&Tensor]) -> Tensor {
        let _called = called("column_stack");
        joined("column_stack", tensors, 1, |t| {
            if t.peek().shape.rank() < 2 { t.reshape([-1, 1]) } else { t.clone() }
        })
    }

    /// Matrices along the diagonal of a larger one, zeros elsewhere; vectors are rows, scalars
    /// `[1, 1]`.
    ///
    /// # Errors
    /// [`Code::Shape`] for more than two axes; as [`Tensor::concat`].
    #[track_caller]
    #[must_use]
    pub fn block_diag(tensors: &[&Tensor]) -> Tensor {
        let _called = called("block_diag");
        let place = Location::caller();
        let mut blocks = Vec::with_capacity(tensors.len());
        for t in tensors {
            if recorder::error_of(t).is_some() {
                return (*t).clone();
            }
            if t.peek().shape.rank() > 2 {
                let text = format!("block_diag: takes matrices, not {}", t.peek().shape);
                return recorder::failed(Error::new(Code::Shape, text), place);
            }
            blocks.push(t.atleast_2d());
        }
        let width: usize = blocks.iter().map(|b| b.peek().shape.dim(1)).sum();
        let (mut rows, mut at) = (Vec::with_capacity(blocks.len()), 0);
        for block in &blocks {
            rows.push(block.spread(1, at, 1, width));
            at += block.peek().shape.dim(1);
        }
        if rows.is_empty() {
            return Tensor::zeros([1, 0]);
        }
        Tensor::concat(&rows.iter().collect::<Vec<_>>(), 0)
    }

    /// The axis of a cut, and its size.
    #[track_caller]
    fn cut_axis(&self, what: &str, axis: isize) -> Result<usize, Tensor> {
        let at = self.along(what, axis)?;
        Ok(self.peek().shape.dim(at))
    }

    /// Parts of these sizes, one after another.
    #[track_caller]
    fn parts(&self, axis: isize, sizes: impl IntoIterator<Item = usize>) -> Vec<Tensor> {
        let (mut out, mut start) = (Vec::new(), 0);
        for size in sizes {
            out.push(self.narrow(axis, start, size));
            start += size;
        }
        out
    }

    /// Parts of `size` elements along an axis; the last may be smaller.
    ///
    /// # Errors
    /// [`Code::Shape`] when the axis does not exist, [`Code::Argument`] when `size` is 0 and the
    /// axis is not.
    ///
    /// ```
    /// # use gradus_core::Tensor;
    /// let parts = Tensor::arange(0, 5).split(2, 0);
    /// assert_eq!(parts.len(), 3);
    /// assert_eq!(parts[2].to_vec::<i64>()?, [4]);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    #[track_caller]
    #[must_use]
    pub fn split(&self, size: usize, axis: isize) -> Vec<Tensor> {
        let _called = called("split");
        let n = match self.cut_axis("split", axis) {
            Ok(n) => n,
            Err(failed) => return vec![failed],
        };
        if size == 0 && n > 0 {
            let text = format!("split: parts of 0 elements do not make {n}");
            return vec![self.refuse(Error::new(Code::Argument, text))];
        }
        let count = n.div_ceil(size.max(1)).max(1);
        self.parts(axis, (0..count).map(|i| size.min(n - (i * size).min(n))))
    }

    /// Parts of the given sizes along an axis, which they fill.
    ///
    /// # Errors
    /// [`Code::Shape`] when the axis does not exist, or the sizes do not add up to it.
    #[track_caller]
    #[must_use]
    pub fn split_with_sizes(&self, sizes: &[usize], axis: isize) -> Vec<Tensor> {
        let _called = called("split_with_sizes");
        let n = match self.cut_axis("split_with_sizes", axis) {
            Ok(n) => n,
            Err(failed) => return vec![failed; sizes.len()],
        };
        let total = sizes.iter().fold(0usize, |a, &b| a.saturating_add(b));
        if total != n {
            let text =
                format!("split_with_sizes: {sizes:?} add up to {total}, axis {axis} has {n}");
            return vec![self.refuse(Error::new(Code::Shape, text)); sizes.len().max(1)];
        }
        self.parts(axis, sizes.iter().copied())
    }

    /// About `count` parts of equal size along an axis; the last may be smaller, and there may be
    /// fewer. For exactly so many parts there is [`Tensor::tensor_split`].
    ///
    /// # Errors
    /// [`Code::Shape`] when the axis does not exist, [`Code::Argument`] when `count` is 0.
    #[track_caller]
    #[must_use]
    pub fn chunk(&self, count: usize, axis: isize) -> Vec<Tensor> {
        let _called = called("chunk");
        let n = match self.cut_axis("chunk", axis) {
            Ok(n) if count > 0 => n,
            Ok(_) => {
                let error = Error::new(Code::Argument, "chunk: needs at least one part");
                return vec![self.refuse(error)];
            }
            Err(failed) => return vec![failed; count.max(1)],
        };
        if n == 0 {
            return self.parts(axis, vec![0; count]);
        }
        self.split(n.div_ceil(count), axis)
    }

    /// Exactly `count` parts along an axis, the first ones larger by one where it does not divide.
    ///
    /// # Errors
    /// As [`Tensor::chunk`].
    #[track_caller]
    #[must_use]
    pub fn tensor_split(&self, count: usize, axis: isize) -> Vec<Tensor> {
        let _called = called("tensor_split");
        match self.cut_axis("tensor_split", axis) {
            Ok(n) if count > 0 => {
                self.parts(axis, (0..count).map(|i| n / count + usize::from(i < n % count)))
            }
            Ok(_) => {
                let error = Error::new(Code::Argument, "tensor_split: needs at least one part");
                vec![self.refuse(error)]
            }
            Err(failed) => vec![failed; count.max(1)],
        }
    }

    /// The parts before, between and behind the given places along an axis, as slices:
    /// `tensor_split_at(&[1, 3], 0)` gives `[..1]`, `[1..3]`, `[3..]`. Places may be negative.
    ///
    /// # Errors
    /// [`Code::Shape`] when the axis does not exist.
    #[track_caller]
    #[must_use]
    pub fn tensor_split_at(&self, places: &[isize], axis: isize) -> Vec<Tensor> {
        let _called = called("tensor_split_at");
        if let Err(failed) = self.cut_axis("tensor_split_at", axis) {
            return vec![failed; places.len() + 1];
        }
        let (mut out, mut start) = (Vec::with_capacity(places.len() + 1), 0);
        for &end in places.iter().chain([&isize::MAX]) {
            out.push(self.slice(axis, start, end, 1));
            start = end;
        }
        out
    }

    /// The slices along an axis, which disappears.
    ///
    /// # Errors
    /// [`Code::Shape`] when the axis does not exist.
    #[track_caller]
    #[must_use]
    pub fn unbind(&self, axis: isize) -> Vec<Tensor> {
        let _called = called("unbind");
        let n = match self.cut_axis("unbind", axis) {
            Ok(n) => n,
            Err(failed) => return vec![failed],
        };
        let mut out = Vec::with_capacity(n);
        for i in 0..n {
            out.push(self.select(axis, i as isize));
        }
        out
    }

    /// One slice along an axis, which disappears; a negative index counts from the end.
    ///
    /// # Errors
    /// [`Code::Shape`] when the axis does not exist, [`Code::Index`] when the index does not.
    #[track_caller]
    #[must_use]
    pub fn select(&self, axis: isize, index: isize) -> Tensor {
        let _called = called("select");
        let shape = self.peek().shape;
        let at = match self.along("select", axis) {
            Ok(at) => at,
            Err(failed) => return failed,
        };
        match operand::resolve(index, shape.dim(at)) {
            Some(i) => self.narrow(axis, i, 1).reshape_to(shape.remove(at)),
            None => self.refuse(no_slice("select", index, axis, shape.dim(at))),
        }
    }

    /// Grids of coordinates from vectors (or scalars): each of the results has one axis a vector,
    /// along which that vector varies.
    ///
    /// # Errors
    /// [`Code::Shape`] for tensors with several axes, [`Code::Argument`] for none.
    #[track_caller]
    #[must_use]
    pub fn meshgrid(tensors: &[&Tensor], order: Meshgrid) -> Vec<Tensor> {
        let _called = called("meshgrid");
        let place = Location::caller();
        let mut wrong = None;
        for t in tensors {
            if recorder::error_of(t).is_some() {
                return vec![(*t).clone(); tensors.len()];
            }
            if t.peek().shape.rank() > 1 {
                wrong = Some(format!("meshgrid: takes vectors, not {}", t.peek().shape));
            }
        }
        if tensors.is_empty() {
            wrong = Some("meshgrid: needs at least one tensor".to_string());
        }
        if let Some(text) = wrong {
            let failed = recorder::failed(Error::new(Code::Shape, text), place);
            return vec![failed; tensors.len().max(1)];
        }
        let sizes: Vec<usize> = tensors.iter().map(|t| t.peek().shape.numel()).collect();
        let swap = order == Meshgrid::Xy && tensors.len() > 1;
        let mut out = Vec::with_capacity(tensors.len());
        for (i, t) in tensors.iter().enumerate() {
            let mut one = vec![1; sizes.len()];
            if let (Some(slot), Some(&size)) = (one.get_mut(i), sizes.get(i)) {
                *slot = size;
            }
            let grid = t.reshape_to(one).broadcast_to(sizes.clone());
            out.push(if swap { grid.transpose(0, 1) } else { grid });
        }
        out
    }

    /// All combinations of one element of each vector, as rows in lexicographic order of position;
    /// of a single vector the vector itself.
    ///
    /// # Errors
    /// As [`Tensor::meshgrid`].
    #[track_caller]
    #[must_use]
    pub fn cartesian_prod(tensors: &[&Tensor]) -> Tensor {
        let _called = called("cartesian_prod");
        if let [one] = tensors {
            return (*one).clone();
        }
        let grids = Tensor::meshgrid(tensors, Meshgrid::Ij);
        let mut columns = Vec::with_capacity(grids.len());
        for grid in &grids {
            columns.push(grid.reshape([-1]));
        }
        Tensor::stack(&columns.iter().collect::<Vec<_>>(), 1)
    }

    /// All choices of `r` elements of a vector, as rows in lexicographic order of position; with
    /// `again` an element may be chosen more than once.
    ///
    /// # Errors
    /// [`Code::Shape`] when this is no vector.
    ///
    /// ```
    /// # use gradus_core::Tensor;
    /// let pairs = Tensor::from([1, 2, 3]).combinations(2, false);
    /// assert_eq!(pairs.to_vec::<i64>()?, [1, 2, 1, 3, 2, 3]);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    #[track_caller]
    #[must_use]
    pub fn combinations(&self, r: usize, again: bool) -> Tensor {
        let _called = called("combinations");
        let shape = self.peek().shape;
        if shape.rank() != 1 {
            let text = format!("combinations: takes a vector, not {shape}");
            return self.refuse(Error::new(Code::Shape, text));
        }
        let n = shape.dim(0);
        let mut chosen: Vec<i64> = Vec::new();
        let mut now: Vec<usize> = (0..r).map(|i| if again { 0 } else { i }).collect();
        // The largest position that place i of a row can have.
        let last = |i: usize| if again { n } else { (n + i + 1).saturating_sub(r) };
        let mut count = 0;
        while r > 0 && now.iter().enumerate().all(|(i, &p)| p < last(i)) {
            chosen.extend(now.iter().map(|&p| p as i64));
            count += 1;
            let Some(at) = now.iter().enumerate().rposition(|(i, &p)| p + 1 < last(i)) else {
                break;
            };
            let next = now.get(at).copied().unwrap_or(0) + 1;
            for (k, slot) in now.iter_mut().enumerate().skip(at) {
                *slot = if again { next } else { next + (k - at) };
            }
        }
        self.index_select(0, &Tensor::exact([chosen.len()], &chosen)).reshape_to([count, r])
    }
}

/// The error of an index that an axis does not have.
#[cold]
pub(super) fn no_slice(what: &str, index: isize, axis: isize, size: usize) -> Error {
    let text = format!("{what}: index {index} does not exist on axis {axis} of size {size}");
    Error::new(Code::Index, text)
}
