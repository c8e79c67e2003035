//! Placing and combining elements at indices.
//!
//! Of several elements for one place the last in index order stays (`scatter`, `index_copy`,
//! `index_put`), or they are combined in that order; so the bits never depend on threads. Only the
//! element that stays has a gradient.

use std::panic::Location;

use super::{Binary, Combine, Op, Ternary};
use crate::error::{Code, Error};
use crate::graph::called::called;
use crate::graph::dtype::DType;
use crate::graph::recorder::{self, Side};
use crate::graph::shape::Shape;
use crate::plan::ir::{Ir, Val};
use crate::tensor::operand::{self, Arg};
use crate::tensor::{Operand, Tensor};

/// How `scatter_reduce` and `index_reduce` combine the elements for one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ScatterReduce {
    /// The sum.
    Sum,
    /// The product.
    Prod,
    /// The mean; of integers, rounded down.
    Mean,
    /// The largest; NaN if there is one. Equal ones share the gradient evenly.
    Amax,
    /// The smallest; NaN if there is one. Equal ones share the gradient evenly.
    Amin,
}

impl Tensor {
    /// This tensor with `source` written at the places `index` along an axis: for axis 0 of a
    /// matrix, `out[index[i][j]][j] = source[i][j]`.
    ///
    /// `source` is a number, or a tensor of this element type that is nowhere smaller than the
    /// index (elements beyond are not used). The index is i64, has the rank of this tensor, and is
    /// nowhere larger but on the axis. Of several elements for one place the last stays; gradients
    /// flow to it and to what is not overwritten.
    ///
    /// # Errors
    /// [`Code::Shape`] for shapes that do not go together, [`Code::DType`] for another element
    /// type, [`Code::Index`] for an index that is not in `0..size` (found when run).
    ///
    /// ```
    /// # use gradus_core::Tensor;
    /// let x = Tensor::zeros([3]).scatter(0, &Tensor::from([2, 0]), Tensor::from([5.0, 7.0]));
    /// assert_eq!(x.to_vec::<f32>()?, [7.0, 0.0, 5.0]);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    #[track_caller]
    #[must_use]
    pub fn scatter(&self, axis: isize, index: &Tensor, source: impl Operand) -> Tensor {
        let _called = called("scatter");
        let source = self.values_for(index, source.arg());
        self.combined("scatter", axis, index, &source, Combine::Write, false)
    }

    /// A number as a tensor of this element type that fills the index; a tensor as it is.
    #[track_caller]
    fn values_for(&self, index: &Tensor, value: Arg<'_>) -> Tensor {
        let place = Location::caller();
        match value {
            Arg::Borrowed(t) => t.clone(),
            Arg::Owned(t) => t,
            number => operand::number_of(&number, self.peek().dtype, place)
                .broadcast_to(index.peek().shape),
        }
    }

    /// One combination at indices; a scalar is taken as a vector of one.
    #[track_caller]
    fn combined(
        &self,
        what: &str,
        axis: isize,
        index: &Tensor,
        source: &Tensor,
        how: Combine,
        whole: bool,
    ) -> Tensor {
        let shape = self.peek().shape;
        let (x, index, mut source) = (self.atleast_1d(), index.atleast_1d(), source.atleast_1d());
        let at = match x.along(what, axis) {
            Ok(axis) => axis as u8,
            Err(failed) => return failed,
        };
        if !whole {
            source = source.cut_to(index.peek().shape);
        }
        x.apply(Op::Scatter { axis: at, how, whole }, &[&index, &source], None).reshape_to(shape)
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
        self.added("scatter_add", axis, index, source, false)
    }

    /// This tensor plus whole slices of `source` added at a 1-d `index` along an axis (the adjoint
    /// of [`Tensor::index_select`]), duplicates in order.
    #[track_caller]
    #[must_use]
    pub fn index_add(&self, axis: isize, index: &Tensor, source: &Tensor) -> Tensor {
        let _called = called("index_add");
        self.added("index_add", axis, index, source, true)
    }

    #[track_caller]
    fn added(
        &self,
        what: &str,
        axis: isize,
        index: &Tensor,
        source: &Tensor,
        whole: bool,
    ) -> Tensor {
        let shape = self.peek().shape;
        let x = self.atleast_1d();
        let axis = match x.along(what, axis) {
            Ok(axis) => axis as u8,
            Err(failed) => return failed,
        };
        if let Some(failed) = self.adds(what, source) {
            return failed;
        }
        let (index, mut source) = (index.atleast_1d(), source.atleast_1d());
        if !whole {
            source = source.cut_to(index.peek().shape);
        }
        let op = if whole { Op::IndexAdd { axis } } else { Op::ScatterAdd { axis } };
        (&x + source.apply(op, &[&index], Some(x.peek().shape))).reshape_to(shape)
    }

    /// The error of adding `source` to this tensor, if their types differ.
    #[track_caller]
    fn adds(&self, what: &str, source: &Tensor) -> Option<Tensor> {
        let (to, from) = (self.peek().dtype, source.peek().dtype);
        let error = if recorder::error_of(source).is_some() {
            return Some(source.clone());
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
        Some(self.refuse(error))
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

    /// This tensor with the elements of `source` combined into it at the places `index` along an
    /// axis, as in [`Tensor::scatter_add`]. Where `include_self` is false, what is at those places
    /// now does not count.
    ///
    /// # Errors
    /// As [`Tensor::scatter`].
    ///
    /// ```
    /// # use gradus_core::{ScatterReduce, Tensor};
    /// let index = Tensor::from([0, 0, 1]);
    /// let source = Tensor::from([1.0, 3.0, 5.0]);
    /// let means = Tensor::zeros([2]).scatter_reduce(0, &index, &source, ScatterReduce::Mean, false);
    /// assert_eq!(means.to_vec::<f32>()?, [2.0, 5.0]);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    #[track_caller]
    #[must_use]
    pub fn scatter_reduce(
        &self,
        axis: isize,
        index: &Tensor,
        source: &Tensor,
        how: ScatterReduce,
        include_self: bool,
    ) -> Tensor {
        let _called = called("scatter_reduce");
        self.reduced("scatter_reduce", axis, index, source, (how, include_self), false)
    }

    /// [`Tensor::scatter_reduce`] of whole slices of `source` at a 1-d `index` along an axis.
    ///
    /// # Errors
    /// As [`Tensor::scatter_reduce`].
    #[track_caller]
    #[must_use]
    pub fn index_reduce(
        &self,
        axis: isize,
        index: &Tensor,
        source: &Tensor,
        how: ScatterReduce,
        include_self: bool,
    ) -> Tensor {
        let _called = called("index_reduce");
        self.reduced("index_reduce", axis, index, source, (how, include_self), true)
    }

    #[track_caller]
    fn reduced(
        &self,
        what: &str,
        axis: isize,
        index: &Tensor,
        source: &Tensor,
        (how, include_self): (ScatterReduce, bool),
        whole: bool,
    ) -> Tensor {
        let place = Location::caller();
        let dtype = self.peek().dtype;
        if let Some(failed) = [self, index, source].iter().find(|t| recorder::error_of(t).is_some())
        {
            return (*failed).clone();
        }
        if dtype != source.peek().dtype || dtype == DType::Bool {
            let from = source.peek().dtype;
            let text = format!("{what}: {from} values cannot be combined with {dtype} ones");
            let error = Error::new(Code::DType, text).help("`cast` to one type of number first");
            return recorder::failed(error, place);
        }
        if dtype.is_storage() {
            let text = format!("{what}: is not defined on {dtype}, which only stores");
            let error = Error::new(Code::DType, text).help("`cast(DType::F32)` first");
            return recorder::failed(error, place);
        }
        let combine = match how {
            ScatterReduce::Sum | ScatterReduce::Mean => None,
            ScatterReduce::Prod => Some(Combine::Prod),
            ScatterReduce::Amax => Some(Combine::Max),
            ScatterReduce::Amin => Some(Combine::Min),
        };
        let mut x = self.clone();
        if !include_self {
            // What is there now is replaced by what changes nothing.
            let like = neutral(how, dtype, place).broadcast_to(source.peek().shape);
            x = x.combined(what, axis, index, &like, Combine::Write, whole);
        }
        if let Some(combine) = combine {
            return x.combined(what, axis, index, source, combine, whole);
        }
        let sum = x.added(what, axis, index, source, whole);
        if how == ScatterReduce::Sum {
            return sum;
        }
        let ones = |shape| operand::number(1.0, dtype, place).broadcast_to(shape);
        let mut count = ones(self.peek().shape);
        if !include_self {
            let none = operand::number(0.0, dtype, place).broadcast_to(source.peek().shape);
            count = count.combined(what, axis, index, &none, Combine::Write, whole);
        }
        let count = count.added(what, axis, index, &ones(source.peek().shape), whole);
        if dtype.is_float() { sum / count } else { sum.floor_divide(count) }
    }

    /// This tensor with whole slices of `source` written at a 1-d `index` along an axis; of several
    /// for one place the last stays.
    ///
    /// # Errors
    /// As [`Tensor::scatter`].
    #[track_caller]
    #[must_use]
    pub fn index_copy(&self, axis: isize, index: &Tensor, source: &Tensor) -> Tensor {
        let _called = called("index_copy");
        self.combined("index_copy", axis, index, source, Combine::Write, true)
    }

    /// This tensor with a value (a number, or a scalar tensor) in the whole slices at a 1-d `index`
    /// along an axis.
    ///
    /// # Errors
    /// As [`Tensor::scatter`]; [`Code::Shape`] when the value is not a scalar.
    #[track_caller]
    #[must_use]
    pub fn index_fill(&self, axis: isize, index: &Tensor, value: impl Operand) -> Tensor {
        let _called = called("index_fill");
        let place = Location::caller();
        let shape = self.atleast_1d().peek().shape;
        let Some(at) = operand::resolve(axis, shape.rank()) else {
            return self.refuse(operand::no_axis("index_fill", axis, &self.peek().shape));
        };
        let value = match value.arg() {
            Arg::Borrowed(t) => t.clone(),
            Arg::Owned(t) => t,
            number => operand::number_of(&number, self.peek().dtype, place),
        };
        if recorder::error_of(&value).is_some() {
            return value;
        }
        if value.peek().shape.rank() != 0 {
            let text = format!("index_fill: the value is {}, not a scalar", value.peek().shape);
            return self.refuse(Error::new(Code::Shape, text));
        }
        let value = operand::cast_to(&value, self.peek().dtype, place);
        let slices = value.broadcast_to(shape.with(at, index.atleast_1d().peek().shape.dim(0)));
        self.combined("index_fill", axis, index, &slices, Combine::Write, true)
    }
}

/// What changes nothing when it is combined: the reduction of no elements.
fn neutral(how: ScatterReduce, dtype: DType, place: &'static Location<'static>) -> Tensor {
    let (least, most) = match dtype {
        DType::I32 => (i64::from(i32::MIN), i64::from(i32::MAX)),
        DType::U8 => (0, i64::from(u8::MAX)),
        _ => (i64::MIN, i64::MAX),
    };
    let whole = |v: i64| operand::cast_to(&Tensor::from(v), dtype, place);
    match how {
        ScatterReduce::Sum | ScatterReduce::Mean => operand::number(0.0, dtype, place),
        ScatterReduce::Prod => operand::number(1.0, dtype, place),
        ScatterReduce::Amax if dtype.is_float() => operand::number(f64::NEG_INFINITY, dtype, place),
        ScatterReduce::Amin if dtype.is_float() => operand::number(f64::INFINITY, dtype, place),
        ScatterReduce::Amax => whole(least),
        ScatterReduce::Amin => whole(most),
    }
}

/// Gradient of a scatter for its tensor (operand 0) or its source (operand 2).
pub(crate) fn vjp(
    ir: &mut Ir,
    (axis, how, whole): (u8, Combine, bool),
    [x, index, source]: [Val; 3],
    y: Val,
    g: Val,
    i: usize,
) -> Option<Val> {
    let (shape, of) = (ir.shape(x), ir.shape(source));
    let taken = |ir: &mut Ir, v: Val| {
        let op = if whole { Op::IndexSelect { axis } } else { Op::Gather { axis } };
        ir.indexing(op, v, index, of)
    };
    let added = |ir: &mut Ir, v: Val| {
        let op = if whole { Op::IndexAdd { axis } } else { Op::ScatterAdd { axis } };
        ir.indexing(op, v, index, shape)
    };
    let only = |ir: &mut Ir, mask: Val, v: Val| {
        let none = ir.constant(0.0, v);
        ir.ternary(Ternary::Where, mask, v, none)
    };
    match (how, i) {
        (Combine::Write, 0) => {
            let none = ir.constant(0.0, g);
            let none = ir.broadcast(none, of);
            Some(ir.scatter((axis, how, whole), [g, index, none]))
        }
        (Combine::Write, _) => {
            let stays = stays(ir, (axis, whole), index, shape, of);
            let from = taken(ir, g);
            Some(only(ir, stays, from))
        }
        (Combine::Max | Combine::Min, _) => {
            let own = ir.binary(Binary::Eq, x, y);
            let best = taken(ir, y);
            let hit = ir.binary(Binary::Eq, source, best);
            let dtype = ir.dtype(g);
            let (a, b) = (ir.cast(own, dtype), ir.cast(hit, dtype));
            let b = added(ir, b);
            let count = ir.add(a, b);
            let share = ir.div(g, count);
            if i == 0 {
                return Some(only(ir, own, share));
            }
            let from = taken(ir, share);
            Some(only(ir, hit, from))
        }
        (Combine::Prod, _) => {
            // The product of all others: by division where nothing is 0, which is told apart.
            let none = ir.constant(0.0, x);
            let (zero_x, zero_source) =
                (ir.binary(Binary::Eq, x, none), ir.binary(Binary::Eq, source, none));
            let one = ir.constant(1.0, x);
            let x1 = ir.ternary(Ternary::Where, zero_x, one, x);
            let source1 = ir.ternary(Ternary::Where, zero_source, one, source);
            let rest = ir.scatter((axis, how, whole), [x1, index, source1]);
            let dtype = ir.dtype(x);
            let (a, b) = (ir.cast(zero_x, dtype), ir.cast(zero_source, dtype));
            let b = added(ir, b);
            let zeros = ir.add(a, b);
            let (mine, nonzero, is_zero, rest, zeros, g) = if i == 0 {
                (x, x1, zero_x, rest, zeros, g)
            } else {
                let of_place = [rest, zeros, g].map(|v| taken(ir, v));
                (source, source1, zero_source, of_place[0], of_place[1], of_place[2])
            };
            debug_assert_eq!(ir.shape(mine), ir.shape(g));
            let own = ir.cast(is_zero, dtype);
            let others = ir.sub(zeros, own);
            let none_else = ir.binary(Binary::Eq, others, none);
            let product = ir.div(rest, nonzero);
            let product = only(ir, none_else, product);
            Some(ir.mul(g, product))
        }
    }
}

/// Which elements of the source are the last ones for their place.
fn stays(ir: &mut Ir, (axis, whole): (u8, bool), index: Val, shape: Shape, of: Shape) -> Val {
    let at = usize::from(axis);
    let (places, along) = match whole {
        true => (Shape::new(&[shape.dim(at)]), 0),
        false => (shape, axis),
    };
    let numbers = ir.index(ir.shape(index), along);
    let nobody = ir.constant(-1.0, numbers);
    let nobody = ir.broadcast(nobody, places);
    let winner = ir.scatter((along, Combine::Write, whole), [nobody, index, numbers]);
    let op = if whole { Op::IndexSelect { axis: 0 } } else { Op::Gather { axis } };
    let winner = ir.indexing(op, winner, index, ir.shape(index));
    let stays = ir.binary(Binary::Eq, winner, numbers);
    if !whole {
        return stays;
    }
    let mut wide = Shape::new(&vec![1; of.rank()]);
    wide = wide.with(at, of.dim(at));
    let stays = ir.reshape(stays, wide);
    ir.broadcast(stays, of)
}

/// Records a write of `source` over this tensor at the 1-d positions `at` along axis 0.
#[track_caller]
pub(super) fn write_rows(x: &Tensor, at: &Tensor, source: &Tensor) -> Tensor {
    let op = Op::Scatter { axis: 0, how: Combine::Write, whole: true };
    recorder::record(op, &[x, at, source], None, Side::None, Location::caller())
}
