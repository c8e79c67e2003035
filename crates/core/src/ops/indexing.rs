//! Picking and placing elements by index tensors.

use std::panic::Location;

use super::{Binary, Op};
use crate::error::{Code, Error};
use crate::graph::called::called;
use crate::graph::dtype::DType;
use crate::graph::recorder::{self, Side};
use crate::graph::shape::Shape;
use crate::tensor::{Tensor, operand};

impl Tensor {
    #[track_caller]
    fn along(&self, what: &str, axis: isize) -> Result<u8, Tensor> {
        let shape = self.peek().shape;
        match operand::resolve(axis, shape.rank()) {
            Some(axis) => Ok(axis as u8),
            None if recorder::error_of(self).is_some() => Err(self.clone()),
            None => Err(recorder::failed(operand::no_axis(what, axis, &shape), Location::caller())),
        }
    }

    /// One element per index along an axis: for axis 1 of a matrix, `out[i][j] = x[i][index[i][j]]`.
    ///
    /// `index` is i64, has the rank of this tensor, and is nowhere larger but on the axis; the
    /// result has its shape. Indices must be in `0..size` (found when run: [`Code::Index`]).
    #[track_caller]
    #[must_use]
    pub fn gather(&self, axis: isize, index: &Tensor) -> Tensor {
        match self.along("gather", axis) {
            Ok(axis) => self.apply(Op::Gather { axis }, &[index], None),
            Err(failed) => failed,
        }
    }

    /// Whole slices along an axis, in the order of a 1-d i64 index: rows of an embedding table.
    #[track_caller]
    #[must_use]
    pub fn index_select(&self, axis: isize, index: &Tensor) -> Tensor {
        match self.along("index_select", axis) {
            Ok(axis) => self.apply(Op::IndexSelect { axis }, &[index], None),
            Err(failed) => failed,
        }
    }

    /// This tensor plus `source` added at the places `index` along an axis (the adjoint of
    /// [`Tensor::gather`]). Duplicates add up in order of position, so the bits are reproducible.
    ///
    /// `index` is nowhere larger than `source`, whose other elements are not used, and nowhere
    /// larger than this tensor but on the axis.
    #[track_caller]
    #[must_use]
    pub fn scatter_add(&self, axis: isize, index: &Tensor, source: &Tensor) -> Tensor {
        let _called = called("scatter_add");
        let axis = match self.along("scatter_add", axis) {
            Ok(axis) => axis,
            Err(failed) => return failed,
        };
        let source = match self.adds("scatter_add", source) {
            Some(failed) => failed,
            None => source.cut_to(index.peek().shape),
        };
        let added = source.apply(Op::ScatterAdd { axis }, &[index], Some(self.peek().shape));
        self + added
    }

    /// The error of adding `source` to this tensor, if their types differ.
    #[track_caller]
    fn adds(&self, what: &str, source: &Tensor) -> Option<Tensor> {
        let (to, from) = (self.peek().dtype, source.peek().dtype);
        let error = if recorder::error_of(source).is_some() {
            return None;
        } else if to == DType::Bool {
            Error::new(Code::DType, format!("{what}: is not defined on bool"))
        } else if to.is_storage() {
            Error::new(Code::DType, format!("{what}: is not defined on {to}, which only stores"))
                .help("convert it with `cast(DType::F32)` first")
        } else if to != from {
            let text = format!("{what}: {from} values cannot be added to {to} ones");
            Error::new(Code::DType, text).help("`cast` one of them first")
        } else {
            return None;
        };
        Some(recorder::failed(error, Location::caller()))
    }

    /// The first elements along each axis; unchanged where the shapes do not go together.
    #[track_caller]
    fn cut_to(&self, to: Shape) -> Tensor {
        let shape = self.peek().shape;
        if shape.rank() != to.rank() || (0..to.rank()).any(|i| to.dim(i) > shape.dim(i)) {
            return self.clone();
        }
        let mut out = self.clone();
        for axis in 0..to.rank() {
            out = out.narrow(axis as isize, 0, to.dim(axis));
        }
        out
    }

    /// This tensor plus whole slices of `source` added at a 1-d `index` along an axis.
    #[track_caller]
    #[must_use]
    pub fn index_add(&self, axis: isize, index: &Tensor, source: &Tensor) -> Tensor {
        let _called = called("index_add");
        let axis = match self.along("index_add", axis) {
            Ok(axis) => axis,
            Err(failed) => return failed,
        };
        let failed = self.adds("index_add", source);
        let source = failed.as_ref().unwrap_or(source);
        let added = source.apply(Op::IndexAdd { axis }, &[index], Some(self.peek().shape));
        self + added
    }

    /// Class ids to indicator vectors: `[..]` of i64 becomes `[.., classes]` of f32, 1 at the id.
    ///
    /// An id outside `0..classes` gives a row of zeros; losses on class ids check them.
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
        let shape = meta.shape.insert(rank, classes);
        if let Err(error) = shape.check("one_hot") {
            return recorder::failed(error, place);
        }
        if rank + 1 > crate::graph::shape::MAX_RANK {
            let error = Error::new(Code::Shape, "one_hot: a tensor has at most 8 axes");
            return recorder::failed(error, place);
        }
        let index = recorder::with(|r| {
            let meta = super::Meta { shape: Shape::new(&[classes]), dtype: DType::I64 };
            let slot = r.record_source(Op::Index(0), meta, Side::None, place);
            r.handle(slot)
        });
        let ids = self.unsqueeze(-1);
        let hit =
            recorder::record(Op::Binary(Binary::Eq), &[&ids, &index], None, Side::None, place);
        hit.cast(DType::F32)
    }
}
