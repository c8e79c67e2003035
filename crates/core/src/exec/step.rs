//! One step: places become windows, and a kernel runs on them.

use std::panic::{AssertUnwindSafe, catch_unwind};

use gradus_kernels::gemm::{Gemm, gemm, gemm_bf16};
use gradus_kernels::index::Around;
use gradus_kernels::memory::{KernelError, Mem};
use gradus_kernels::reduce::{ArgKind, argreduce};
use gradus_kernels::{conv, copy, index, map, reduce, rows, running, scan, scatter, sort, window};
use smallvec::SmallVec;

use super::{Run, attention, recurrent};
use crate::array::Array;
use crate::backend::{GemmStep, Loc, Step, Strided};
use crate::error::{Code, Error};
use crate::graph::shape::Shape;
use crate::ops::{Meta, Op, Precision, Rows};
use crate::plan::bind::kind_of;
use crate::reference;

/// Why a step stopped.
pub(super) enum Stop {
    Kernel(KernelError),
    Custom(Error),
}

impl From<KernelError> for Stop {
    fn from(e: KernelError) -> Stop {
        Stop::Kernel(e)
    }
}

type Windows<'a> = SmallVec<[Mem<'a>; 8]>;

/// Fills `out`, where it stays: giving the list back would copy its room for all.
#[inline]
fn fill<'a>(run: &Run<'a>, locs: &[Loc], out: &mut Windows<'a>) -> Result<(), KernelError> {
    for loc in locs {
        out.push(run.mem(loc)?);
    }
    Ok(())
}

/// Runs a step; false if a value that it watches is not finite.
pub(super) fn run(run: &Run<'_>, step: &Step) -> Result<bool, Stop> {
    match step {
        Step::Map { program, dims, operands, outputs, .. } => {
            let (mut ins, mut outs) = (Windows::new(), Windows::new());
            fill(run, operands, &mut ins)?;
            fill(run, outputs, &mut outs)?;
            map::run(program, dims.dims(), &ins, &outs, run.numbers, run.keys)?;
        }
        Step::Reduce { kind, program, dims, axes, operands, outs, watch, .. } => {
            let kind = kind_of(*kind);
            let (mut ins, mut to) = (Windows::new(), Windows::new());
            fill(run, operands, &mut ins)?;
            fill(run, outs, &mut to)?;
            let (dims, numbers, keys) = (dims.dims(), run.numbers, run.keys);
            let done = reduce::run(kind, program, dims, *axes, &ins, &to, numbers, keys, *watch);
            return Ok(done?);
        }
        Step::ArgReduce { max, outer, len, inner, x, out } => {
            let kind = if *max { ArgKind::ArgMax } else { ArgKind::ArgMin };
            argreduce(kind, run.mem(x)?, *outer, *len, *inner, run.mem(out)?)?;
        }
        Step::Scan { kind, reverse, line, operands, out } => {
            let mut ins = Windows::new();
            fill(run, operands, &mut ins)?;
            running::running(*kind, *reverse, &ins, *line, run.mem(out)?)?;
        }
        Step::Scatter { how, whole, shape, axis, m, x, index, source, out } => {
            let (from, to) = (run.mem(x)?, run.mem(out)?);
            copy::to_contiguous(&[from.len()], from, 0, &[1], to)?;
            let (index, source) = (run.mem(index)?, run.mem(source)?);
            scatter::scatter(*how, to, index, source, around(shape, *axis), *m, !*whole)?;
        }
        Step::Within { size, negative, x, out } => {
            scatter::within(run.mem(x)?, *size, *negative, run.mem(out)?)?;
        }
        Step::Sort { descending, n, x, out } => {
            sort::argsort(*descending, run.mem(x)?, *n, run.mem(out)?)?;
        }
        Step::Search { right, n, m, sorted, values, out } => {
            let (sorted, values) = (run.mem(sorted)?, run.mem(values)?);
            sort::search(*right, sorted, *n, values, *m, run.mem(out)?)?;
        }
        Step::Pool { kind, axes, planes, channels, operands, out } => {
            let (mut ins, out) = (Windows::new(), run.mem(out)?);
            fill(run, operands, &mut ins)?;
            match channels {
                Some(n) => {
                    let images = (planes.checked_div(*n).unwrap_or(0), *n);
                    window::pooling_last(*kind, *axes, images, &ins, out)?;
                }
                None => window::pooling(*kind, *axes, *planes, &ins, out)?,
            }
        }
        Step::Gemm(g) => return Ok(product(run, g)?),
        Step::Conv { pass, geometry, a, b, bias, activation, out } => {
            let bias = bias.as_ref().map(|l| run.mem(l)).transpose()?;
            let end = conv::Epilogue { bias, activation: *activation };
            conv::conv(*pass, geometry, run.mem(a)?, run.mem(b)?, &end, run.mem(out)?)?;
        }
        Step::Attention(a) => attention::run(run, a)?,
        Step::Recurrent { walk, backward, operands, lengths, out, work } => {
            let mut ins = Windows::new();
            fill(run, operands, &mut ins)?;
            let lengths = lengths.as_ref().map(|l| run.mem(l)).transpose()?;
            recurrent::run(*walk, *backward, &ins, lengths, run.mem(out)?, run.mem(work)?)?;
        }
        Step::Rows { rows, n, operands, out, .. } => {
            let mut ins = Windows::new();
            fill(run, operands, &mut ins)?;
            row_kernel(*rows, &ins, run.mem(out)?, *n)?;
        }
        Step::Copy { from, to } => strided_copy(run, from, to)?,
        Step::Unslice { from, shape, axis, start, step, out_shape, out } => {
            let (src, dst) = (run.mem(from)?, run.mem(out)?);
            scan::zero(dst)?;
            if shape.numel() > 0 {
                let whole = out_shape.strides();
                let mut strides = whole;
                if let Some(s) = strides.get_mut(*axis) {
                    *s *= *step;
                }
                let offset = *start * usize::try_from(whole[*axis]).unwrap_or(0);
                let rank = shape.rank();
                let from = shape.strides();
                copy::copy(
                    shape.dims(),
                    copy::Side { mem: src, offset: 0, strides: &from[..rank] },
                    copy::Side { mem: dst, offset, strides: &strides[..rank] },
                )?;
            }
        }
        Step::Concat { parts, outer, out } => {
            let dst = run.mem(out)?;
            let all: usize = parts.iter().map(|(_, size)| size).sum();
            let mut at = 0;
            for (part, size) in parts {
                copy::into_part(run.mem(part)?, dst, *outer, 1, (at, *size, all))?;
                at += size;
            }
        }
        Step::Indexing { op, shape, index_shape, x, index, out } => {
            indexing(run, op, shape, index_shape, [x, index, out])?;
        }
        Step::Host { op, operands, out, shape, key, number } => {
            host(run, op, operands, out, *shape, *key, *number)?;
        }
        Step::Watch { x } => return Ok(scan::all_finite(run.mem(x)?)),
    }
    Ok(true)
}

fn product(run: &Run<'_>, g: &GemmStep) -> Result<bool, KernelError> {
    let bounds = KernelError::Bounds("an operand of a product");
    let operand = |x: &Strided| {
        let whole = run.bank(x.bank, x.extent(), x.dtype.ty())?;
        whole.slice(x.offset, whole.len().checked_sub(x.offset)?)
    };
    let bias = match &g.bias {
        Some(loc) => Some(run.mem(loc)?),
        None => None,
    };
    let kernel = match g.precision {
        Precision::F32 => gemm,
        Precision::Bf16 => gemm_bf16,
    };
    kernel(&Gemm {
        m: g.m,
        k: g.k,
        n: g.n,
        a: operand(&g.a).ok_or(bounds.clone())?,
        a_strides: g.a_strides,
        b: operand(&g.b).ok_or(bounds)?,
        b_strides: g.b_strides,
        c: run.mem(&g.out)?,
        c_stride: g.n,
        batch: g.batch,
        a_batch: &g.a_batch,
        b_batch: &g.b_batch,
        accumulate: false,
        bias,
        activation: g.activation,
        watch: g.watch,
    })
}

fn row_kernel(kind: Rows, ins: &[Mem<'_>], out: Mem<'_>, n: usize) -> Result<(), KernelError> {
    match (kind, ins) {
        (Rows::Softmax, &[x]) => rows::softmax(x, out, n),
        (Rows::LogSoftmax, &[x]) => rows::log_softmax(x, out, n),
        (Rows::SoftmaxGrad, &[y, g]) => rows::softmax_grad(y, g, out, n),
        (Rows::LogSoftmaxGrad, &[y, g]) => rows::log_softmax_grad(y, g, out, n),
        (Rows::CrossEntropy { ignore }, &[x, t]) => rows::cross_entropy(x, t, out, n, ignore),
        (Rows::CrossEntropyGrad { ignore }, &[x, t, g]) => {
            rows::cross_entropy_grad(x, t, g, out, n, ignore)
        }
        _ => Err(KernelError::Bounds("operands of a row kernel")),
    }
}

fn strided_copy(run: &Run<'_>, from: &Strided, to: &Loc) -> Result<(), KernelError> {
    let src = run.bank(from.bank, from.extent(), from.dtype.ty());
    let src = src.ok_or(KernelError::Bounds("source of a copy"))?;
    let strides = from.strides.get(..from.shape.rank()).unwrap_or(&[]);
    copy::to_contiguous(from.shape.dims(), src, from.offset, strides, run.mem(to)?)
}

/// Sizes before, along and after an axis.
fn around(shape: &Shape, axis: u8) -> Around {
    let axis = usize::from(axis);
    let product = |dims: &[usize]| dims.iter().product::<usize>();
    let dims = shape.dims();
    Around { outer: product(&dims[..axis]), len: dims[axis], inner: product(&dims[axis + 1..]) }
}

fn indexing(
    run: &Run<'_>,
    op: &Op,
    shape: &Shape,
    index_shape: &Shape,
    [x, index, out]: [&Loc; 3],
) -> Result<(), KernelError> {
    let (x, at, out) = (run.mem(x)?, run.mem(index)?, run.mem(out)?);
    match *op {
        Op::Gather { axis } => {
            let m = index_shape.dim(usize::from(axis));
            index::gather(x, at, out, around(shape, axis), m)
        }
        Op::IndexSelect { axis } => index::index_select(x, at, out, around(shape, axis)),
        Op::ScatterAdd { axis } => {
            scan::zero(out)?;
            let m = index_shape.dim(usize::from(axis));
            index::scatter_add(out, at, x, around(shape, axis), m)
        }
        Op::IndexAdd { axis } => {
            scan::zero(out)?;
            index::index_add(out, at, x, around(shape, axis))
        }
        _ => Err(KernelError::Bounds("indexing")),
    }
}

/// Runs an operation on arrays: by the reference executor, or the user's own.
fn host(
    run: &Run<'_>,
    op: &Op,
    operands: &[(Loc, Shape)],
    out: &Loc,
    shape: Shape,
    key: Option<u32>,
    number: Option<u32>,
) -> Result<(), Stop> {
    let mut arrays: SmallVec<[Array; 4]> = SmallVec::new();
    for (loc, shape) in operands {
        arrays.push(to_array(run.mem(loc)?, *shape, loc)?);
    }
    let meta = Meta { shape, dtype: out.dtype };
    let result = if let Op::Custom(custom) = op {
        let made = catch_unwind(AssertUnwindSafe(|| custom.run(&arrays)));
        let made = made.unwrap_or_else(|_| {
            let text = format!("the custom operation `{}` panicked", custom.name());
            Err(Error::new(Code::Custom, text))
        });
        let made = made.map_err(Stop::Custom)?;
        if made.shape() != shape || made.dtype() != out.dtype {
            let text = format!(
                "the custom operation `{}` promised {} {shape} and made {} {}",
                custom.name(),
                out.dtype,
                made.dtype(),
                made.shape()
            );
            return Err(Stop::Custom(Error::new(Code::Custom, text)));
        }
        made
    } else {
        let refs: SmallVec<[&Array; 4]> = arrays.iter().collect();
        let number = number.and_then(|n| run.numbers.get(n as usize)).copied().unwrap_or(0.0);
        let key = key.and_then(|k| run.keys.get(k as usize)).copied().unwrap_or_default();
        reference::eval(op, &refs, meta, number, key)?
    };
    let rank = shape.rank();
    let strides = shape.strides();
    let dst = run.mem(out)?;
    copy::to_contiguous(shape.dims(), result.storage().read(), 0, &strides[..rank], dst)?;
    Ok(())
}

fn to_array(mem: Mem<'_>, shape: Shape, loc: &Loc) -> Result<Array, KernelError> {
    let mut storage = gradus_kernels::memory::Storage::any(loc.dtype.ty(), shape.numel());
    let strides = shape.strides();
    let to = storage.write().ok_or(KernelError::Overlap("operand of a host step"))?;
    copy::to_contiguous(shape.dims(), mem, 0, &strides[..shape.rank()], to)?;
    Ok(Array::from_storage(storage, shape, loc.dtype))
}
