//! The shape and type rule of each operation: what comes out, or why it cannot.
//!
//! Rules see shapes and types only. Their errors are sentences without places; the recorder adds
//! the operands, the layer and the user's line.

use super::{Binary, Combine, Meta, Op, Rows, Running, Ternary, Unary};
use crate::error::{Code, Error, Result};
use crate::graph::dtype::DType;
use crate::graph::shape::Shape;

fn shape_error(op: &Op, text: impl std::fmt::Display) -> Error {
    Error::new(Code::Shape, format!("{}: {text}", op.name()))
}

fn dtype_error(op: &Op, text: impl std::fmt::Display) -> Error {
    Error::new(Code::DType, format!("{}: {text}", op.name()))
}

/// What `op` makes of its operands.
///
/// Ops whose result shape is an attribute (`Reshape`, `Broadcast`, `Slice`, scatters, leaves) get
/// it as `given`.
#[inline]
pub(crate) fn infer(op: &Op, ins: &[Meta], given: Option<Shape>) -> Result<Meta> {
    match (op, ins) {
        (Op::Unary(u), [x]) => unary(op, *u, x.dtype).map(|dtype| Meta { shape: x.shape, dtype }),
        (Op::Binary(b), [x, y]) => {
            let dtype = binary(op, *b, x.dtype, y.dtype)?;
            if x.shape == y.shape {
                return Ok(Meta { shape: x.shape, dtype });
            }
            match x.shape.broadcast(&y.shape) {
                Some(shape) => Ok(Meta { shape, dtype }),
                None => Err(broadcast_error(op, &x.shape, &y.shape)),
            }
        }
        _ => structured(op, ins, given),
    }
}

#[cold]
fn broadcast_error(op: &Op, x: &Shape, y: &Shape) -> Error {
    let rank = x.rank().max(y.rank());
    let clash = (0..rank).find(|&back| {
        let (a, b) = (x.last(back), y.last(back));
        a != b && a != 1 && b != 1
    });
    let detail = match clash {
        Some(back) => format!("sizes {} and {} do not broadcast", x.last(back), y.last(back)),
        None => "the shapes do not broadcast".to_string(),
    };
    shape_error(op, format!("{detail} ({x} and {y})"))
        .help("axes are compared from the last to the first; they must be equal, or one of them 1")
}

/// The error of computing with a type that only stores.
#[cold]
fn stores(op: &Op, dtype: DType) -> Error {
    dtype_error(op, format!("is not defined on {dtype}, which only stores numbers"))
        .help("convert it with `cast(DType::F32)` first")
}

fn unary(op: &Op, u: Unary, dtype: DType) -> Result<DType> {
    match u {
        _ if dtype.is_storage() => Err(stores(op, dtype)),
        Unary::Not if dtype == DType::Bool || dtype.is_int() => Ok(dtype),
        Unary::Not => Err(dtype_error(op, format!("takes bool or integers, not {dtype}"))),
        Unary::SignBit if dtype != DType::Bool => Ok(DType::Bool),
        Unary::IsFinite | Unary::IsNan => Ok(DType::Bool),
        Unary::Neg | Unary::Abs | Unary::Sign | Unary::Square | Unary::Relu if dtype.is_int() => {
            Ok(dtype)
        }
        _ if dtype.is_float() => Ok(dtype),
        _ => Err(dtype_error(op, format!("takes f32 or f64, not {dtype}"))
            .help("convert it with `cast(DType::F32)` first")),
    }
}

fn binary(op: &Op, b: Binary, x: DType, y: DType) -> Result<DType> {
    if x != y {
        return Err(dtype_error(op, format!("operands are {x} and {y}")));
    }
    match b {
        _ if x.is_storage() => Err(stores(op, x)),
        Binary::Eq | Binary::Ne | Binary::Lt | Binary::Le | Binary::Gt | Binary::Ge => {
            Ok(DType::Bool)
        }
        Binary::And | Binary::Or | Binary::Xor => {
            if x == DType::Bool || x.is_int() {
                Ok(x)
            } else {
                Err(dtype_error(op, format!("takes bool or integers, not {x}"))
                    .help("compare first, for example `x.gt(0.0)`"))
            }
        }
        Binary::ShiftLeft | Binary::ShiftRight if !x.is_int() => {
            Err(dtype_error(op, format!("takes integers, not {x}")))
        }
        Binary::BceLogits
        | Binary::Atan2
        | Binary::Hypot
        | Binary::LogAddExp
        | Binary::Polygamma
            if !x.is_float() =>
        {
            Err(dtype_error(op, format!("takes f32 or f64, not {x}")))
        }
        _ if x == DType::Bool => Err(dtype_error(op, "is not defined on bool")
            .help("use `&`, `|`, `^`, or `cast` to a number first")),
        _ => Ok(x),
    }
}

fn structured(op: &Op, ins: &[Meta], given: Option<Shape>) -> Result<Meta> {
    let given_shape = || given.ok_or_else(|| Error::internal(format!("{}: no shape", op.name())));
    match (op, ins) {
        (Op::Ternary(Ternary::Where), [c, x, y]) => {
            if c.dtype != DType::Bool {
                return Err(dtype_error(op, format!("the condition is {}, not bool", c.dtype)));
            }
            if x.dtype != y.dtype {
                return Err(dtype_error(op, format!("choices are {} and {}", x.dtype, y.dtype)));
            }
            let shape = x.shape.broadcast(&y.shape);
            let shape = shape.and_then(|s| s.broadcast(&c.shape));
            let shape = shape.ok_or_else(|| {
                shape_error(
                    op,
                    format!("{}, {} and {} do not broadcast", c.shape, x.shape, y.shape),
                )
            })?;
            Ok(Meta { shape, dtype: x.dtype })
        }
        (Op::Ternary(Ternary::Clamp), [x, lo, hi]) => {
            if x.dtype.is_storage() {
                return Err(stores(op, x.dtype));
            }
            if x.dtype != lo.dtype || x.dtype != hi.dtype || x.dtype == DType::Bool {
                return Err(dtype_error(
                    op,
                    format!("operands are {}, {} and {}", x.dtype, lo.dtype, hi.dtype),
                ));
            }
            let shape = x.shape.broadcast(&lo.shape);
            let shape = shape.and_then(|s| s.broadcast(&hi.shape));
            let shape = shape.ok_or_else(|| {
                let (a, b, c) = (x.shape, lo.shape, hi.shape);
                shape_error(op, format!("{a}, {b} and {c} do not broadcast"))
            })?;
            Ok(Meta { shape, dtype: x.dtype })
        }
        (Op::Cast(dtype), [x]) => Ok(Meta { shape: x.shape, dtype: *dtype }),
        (Op::Detach, [x]) | (Op::Checkpoint, [x, ..]) => Ok(*x),
        (Op::Reduce(kind, axes), [x]) => {
            let mut shape = x.shape;
            for axis in 0..x.shape.rank() {
                if axes & (1 << axis) != 0 {
                    shape = shape.with(axis, 1);
                }
            }
            if u32::from(*axes) >> x.shape.rank() != 0 {
                return Err(axis_error(op, *axes, &x.shape));
            }
            let dtype = match kind {
                _ if x.dtype.is_storage() => return Err(stores(op, x.dtype)),
                super::Reduction::Sum | super::Reduction::Prod if x.dtype == DType::Bool => {
                    return Err(dtype_error(op, "is not defined on bool")
                        .help("`cast` to i64 or f32 first"));
                }
                _ => x.dtype,
            };
            let extreme = matches!(kind, super::Reduction::Max | super::Reduction::Min);
            if extreme && x.shape.numel() == 0 && shape.numel() != 0 {
                return Err(shape_error(op, format!("nothing to choose from in {}", x.shape)));
            }
            Ok(Meta { shape, dtype })
        }
        (Op::ArgReduce { axis, .. }, [x]) => {
            let axis = usize::from(*axis);
            if axis >= x.shape.rank() {
                return Err(axis_error(op, 1 << axis.min(7), &x.shape));
            }
            if x.shape.dim(axis) == 0 {
                return Err(shape_error(op, format!("nothing to choose from in {}", x.shape)));
            }
            if x.dtype == DType::Bool {
                return Err(dtype_error(op, "is not defined on bool").help("`cast` to i64 first"));
            }
            if x.dtype.is_storage() {
                return Err(stores(op, x.dtype));
            }
            Ok(Meta { shape: x.shape.with(axis, 1), dtype: DType::I64 })
        }
        (Op::Reshape, [x]) => {
            let shape = given_shape()?;
            shape.check("reshape")?;
            if shape.numel() != x.shape.numel() {
                return Err(shape_error(
                    op,
                    format!(
                        "{} has {} elements, {shape} has {}",
                        x.shape,
                        x.shape.numel(),
                        shape.numel()
                    ),
                ));
            }
            Ok(Meta { shape, dtype: x.dtype })
        }
        (Op::Permute(perm), [x]) => {
            let mut dims = smallvec::SmallVec::<[usize; 8]>::new();
            for &axis in perm.iter().take(x.shape.rank()) {
                dims.push(x.shape.dim(usize::from(axis)));
            }
            Ok(Meta { shape: Shape::new(&dims), dtype: x.dtype })
        }
        (Op::Broadcast, [x]) => {
            let shape = given_shape()?;
            shape.check("broadcast_to")?;
            if x.shape.broadcast(&shape) != Some(shape) {
                return Err(shape_error(op, format!("{} cannot become {shape}", x.shape)));
            }
            Ok(Meta { shape, dtype: x.dtype })
        }
        (Op::Slice { .. } | Op::Unslice { .. }, [x]) => {
            Ok(Meta { shape: given_shape()?, dtype: x.dtype })
        }
        (Op::Concat { axis }, parts) => concat(op, usize::from(*axis), parts),
        (Op::Matmul(_), [a, b]) => matmul(op, a, b),
        (Op::Conv(_), [a, b]) => super::conv::infer(op, [a, b], given),
        (Op::Gather { axis }, [x, index]) => {
            let axis = usize::from(*axis);
            index_type(op, index)?;
            let fits = x.shape.rank() == index.shape.rank()
                && (0..x.shape.rank()).all(|i| i == axis || index.shape.dim(i) <= x.shape.dim(i));
            if !fits || axis >= x.shape.rank() {
                return Err(shape_error(
                    op,
                    format!("index {} does not fit {} along axis {axis}", index.shape, x.shape),
                )
                .help(
                    "the index has the rank of the tensor and is nowhere larger but on the axis",
                ));
            }
            Ok(Meta { shape: index.shape, dtype: x.dtype })
        }
        (Op::ScatterAdd { axis }, [src, index]) => {
            let shape = given_shape()?;
            let axis = usize::from(*axis);
            index_type(op, index)?;
            let fits = shape.rank() == index.shape.rank()
                && src.shape == index.shape
                && (0..shape.rank()).all(|i| i == axis || index.shape.dim(i) <= shape.dim(i));
            if !fits || axis >= shape.rank() {
                return Err(shape_error(
                    op,
                    format!(
                        "source {} and index {} do not fit {shape} along axis {axis}",
                        src.shape, index.shape
                    ),
                ));
            }
            Ok(Meta { shape, dtype: src.dtype })
        }
        (Op::IndexSelect { axis }, [x, index]) => {
            let axis = usize::from(*axis);
            index_type(op, index)?;
            if axis >= x.shape.rank() || index.shape.rank() != 1 {
                return Err(shape_error(
                    op,
                    format!("index {} along axis {axis} of {}", index.shape, x.shape),
                )
                .help("the index is 1-d"));
            }
            Ok(Meta { shape: x.shape.with(axis, index.shape.dim(0)), dtype: x.dtype })
        }
        (Op::IndexAdd { axis }, [src, index]) => {
            let shape = given_shape()?;
            let axis = usize::from(*axis);
            index_type(op, index)?;
            let fits = axis < shape.rank()
                && index.shape.rank() == 1
                && src.shape == shape.with(axis, index.shape.dim(0));
            if !fits {
                return Err(shape_error(
                    op,
                    format!("source {} and index {} do not fit {shape}", src.shape, index.shape),
                ));
            }
            Ok(Meta { shape, dtype: src.dtype })
        }
        (Op::Scan { kind, axis, .. }, ins) => scan(op, *kind, usize::from(*axis), ins),
        (Op::Scatter { axis, how, whole }, [x, index, src]) => {
            scatter(op, usize::from(*axis), *how, *whole, [x, index, src])
        }
        (Op::Within { .. }, [x]) => index_type(op, x).map(|()| *x),
        (Op::Argsort { .. }, [x]) => {
            if x.shape.rank() == 0 {
                return Err(shape_error(op, "needs at least one axis"));
            }
            Ok(Meta { shape: x.shape, dtype: DType::I64 })
        }
        (Op::Search { .. }, [sorted, values]) => search(op, sorted, values),
        (Op::Pool { kind, .. }, ins) => super::pool::infer(op, *kind, ins, given_shape()?),
        (Op::Rows(rows), ins) => rows_rule(op, *rows, ins),
        (Op::Attention(a), [q, k, v, ..]) => super::attention::tape(*a, [q, k, v]),
        (Op::AttentionGrad(a), [_, _, q, k, v, ..]) => super::attention::gradients(*a, [q, k, v]),
        (Op::Recurrent(steps), [gates, ..]) => super::recurrent::tape(*steps, *gates),
        (Op::RecurrentGrad(steps), [_, _, gates, ..]) => {
            super::recurrent::gradients(*steps, *gates)
        }
        (Op::Custom(custom), ins) => {
            let meta = custom
                .infer(ins)
                .map_err(|e| Error::new(Code::Custom, format!("{}: {e}", op.name())))?;
            meta.shape.check(op.name())?;
            Ok(meta)
        }
        _ => Err(Error::internal(format!("{}: {} operands", op.name(), ins.len()))),
    }
}

#[cold]
fn axis_error(op: &Op, axes: u8, shape: &Shape) -> Error {
    let axis = 7 - axes.leading_zeros();
    shape_error(op, format!("axis {axis} does not exist in {shape}"))
        .help(format!("axes are counted from 0; the tensor has {} of them", shape.rank()))
}

fn index_type(op: &Op, index: &Meta) -> Result<()> {
    if index.dtype == DType::I64 {
        return Ok(());
    }
    Err(dtype_error(op, format!("the index is {}, not i64", index.dtype)))
}

fn concat(op: &Op, axis: usize, parts: &[Meta]) -> Result<Meta> {
    let Some(first) = parts.first() else {
        return Err(shape_error(op, "needs at least one tensor"));
    };
    if axis >= first.shape.rank() {
        return Err(axis_error(op, 1 << axis.min(7), &first.shape));
    }
    let mut total = 0usize;
    for (i, part) in parts.iter().enumerate() {
        if part.dtype != first.dtype {
            return Err(dtype_error(
                op,
                format!("tensor 0 is {}, tensor {i} is {}", first.dtype, part.dtype),
            ));
        }
        if part.shape.rank() != first.shape.rank()
            || part.shape.with(axis, 1) != first.shape.with(axis, 1)
        {
            return Err(shape_error(
                op,
                format!(
                    "tensor 0 is {}, tensor {i} is {}; they may differ on axis {axis} only",
                    first.shape, part.shape
                ),
            ));
        }
        total = total.saturating_add(part.shape.dim(axis));
    }
    let shape = first.shape.with(axis, total);
    shape.check("concat")?;
    Ok(Meta { shape, dtype: first.dtype })
}

fn matmul(op: &Op, a: &Meta, b: &Meta) -> Result<Meta> {
    if a.dtype != b.dtype {
        return Err(dtype_error(op, format!("operands are {} and {}", a.dtype, b.dtype)));
    }
    if a.dtype.is_storage() {
        return Err(stores(op, a.dtype));
    }
    if a.dtype == DType::Bool {
        return Err(dtype_error(op, "takes numbers, not bool").help("`cast` to a number first"));
    }
    let (ra, rb) = (a.shape.rank(), b.shape.rank());
    if ra < 2 || rb < 2 {
        return Err(shape_error(op, format!("needs matrices, not {} and {}", a.shape, b.shape)));
    }
    let (m, k, k2, n) = (a.shape.last(1), a.shape.last(0), b.shape.last(1), b.shape.last(0));
    if k != k2 {
        return Err(shape_error(op, format!("inner sizes differ, {k} and {k2}")));
    }
    let batch_a = Shape::new(&a.shape.dims()[..ra - 2]);
    let batch_b = Shape::new(&b.shape.dims()[..rb - 2]);
    let Some(batch) = batch_a.broadcast(&batch_b) else {
        return Err(shape_error(
            op,
            format!("batch axes {batch_a} and {batch_b} do not broadcast"),
        ));
    };
    let mut dims = smallvec::SmallVec::<[usize; 8]>::from_slice(batch.dims());
    dims.extend([m, n]);
    let shape = Shape::new(&dims);
    shape.check("matmul")?;
    Ok(Meta { shape, dtype: a.dtype })
}

fn scatter(
    op: &Op,
    axis: usize,
    how: Combine,
    whole: bool,
    [x, index, src]: [&Meta; 3],
) -> Result<Meta> {
    index_type(op, index)?;
    if x.dtype != src.dtype {
        return Err(dtype_error(
            op,
            format!("{} values do not go into {} ones", src.dtype, x.dtype),
        )
        .help("`cast` one of them first"));
    }
    if how != Combine::Write && (x.dtype == DType::Bool || x.dtype.is_storage()) {
        return Err(dtype_error(op, format!("{how:?} is not defined on {}", x.dtype)));
    }
    let (to, from, at) = (x.shape, src.shape, index.shape);
    let fits = if whole {
        at.rank() == 1 && from == to.with(axis, at.dim(0))
    } else {
        at == from
            && to.rank() == at.rank()
            && (0..to.rank()).all(|i| i == axis || at.dim(i) <= to.dim(i))
    };
    if !fits || axis >= to.rank() {
        return Err(shape_error(
            op,
            format!("source {from} and index {at} do not fit {to} along axis {axis}"),
        ));
    }
    Ok(*x)
}

fn search(op: &Op, sorted: &Meta, values: &Meta) -> Result<Meta> {
    if sorted.dtype != values.dtype {
        return Err(dtype_error(op, format!("operands are {} and {}", sorted.dtype, values.dtype)));
    }
    let (s, v) = (sorted.shape, values.shape);
    let fits = s.rank() == 1
        || s.rank() == v.rank()
            && s.rank() > 1
            && s.with(s.rank() - 1, 1) == v.with(v.rank() - 1, 1);
    if !fits {
        return Err(shape_error(op, format!("values {v} do not fit sorted rows {s}")).help(
            "the sorted rows are one vector, or differ from the values on the last axis only",
        ));
    }
    Ok(Meta { shape: v, dtype: DType::I64 })
}

fn scan(op: &Op, kind: Running, axis: usize, ins: &[Meta]) -> Result<Meta> {
    let Some(&x) = ins.first() else {
        return Err(Error::internal(format!("{}: no operand", op.name())));
    };
    if axis >= x.shape.rank() {
        return Err(axis_error(op, 1 << axis.min(7), &x.shape));
    }
    let positions = matches!(kind, Running::ArgMax | Running::ArgMin);
    let real = matches!(kind, Running::LogSumExp | Running::Linear);
    if x.dtype.is_storage() {
        return Err(stores(op, x.dtype));
    }
    if !x.dtype.is_float() && (real || x.dtype != DType::I64) {
        return Err(dtype_error(op, format!("takes f32 or f64, not {}", x.dtype)));
    }
    if let Some(&y) = ins.get(1)
        && y != x
    {
        let text = format!("operands are {} {} and {} {}", x.dtype, x.shape, y.dtype, y.shape);
        return Err(shape_error(op, text).help("both must have one shape and type"));
    }
    Ok(if positions { Meta { shape: x.shape, dtype: DType::I64 } } else { x })
}

fn rows_rule(op: &Op, rows: Rows, ins: &[Meta]) -> Result<Meta> {
    let float = |m: &Meta| {
        if m.dtype.is_float() {
            Ok(())
        } else if m.dtype.is_storage() {
            Err(stores(op, m.dtype))
        } else {
            Err(dtype_error(op, format!("takes f32 or f64, not {}", m.dtype)))
        }
    };
    match (rows, ins) {
        (Rows::Softmax | Rows::LogSoftmax, [x]) => {
            float(x)?;
            if x.shape.rank() == 0 {
                return Err(shape_error(op, "needs at least one axis"));
            }
            Ok(*x)
        }
        (Rows::SoftmaxGrad | Rows::LogSoftmaxGrad, [y, g]) if y == g => Ok(*y),
        (Rows::CrossEntropy { .. }, [x, t]) => {
            float(x)?;
            index_type(op, t)?;
            if x.shape.rank() != 2 || t.shape.rank() != 1 || x.shape.dim(0) != t.shape.dim(0) {
                return Err(shape_error(
                    op,
                    format!("logits {} and class ids {} do not go together", x.shape, t.shape),
                )
                .help("logits are [batch, classes], class ids are [batch]"));
            }
            if x.shape.dim(1) == 0 {
                return Err(shape_error(op, format!("there are no classes in {}", x.shape)));
            }
            Ok(Meta { shape: t.shape, dtype: x.dtype })
        }
        (Rows::CrossEntropyGrad { .. }, [x, _, _]) => Ok(*x),
        _ => Err(Error::internal(format!("{}: operands {ins:?}", op.name()))),
    }
}
