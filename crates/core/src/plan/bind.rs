//! Small steps of a plan, bound to their places once: see [`gradus_kernels::bound`].

use gradus_kernels::bound::{Bound, BoundGemm, Home, Place};
use gradus_kernels::reduce::ReduceKind;

use super::lower::Lowered;
use super::memory::Layout;
use crate::backend::{Bank, GemmStep, Loc, Step, Strided};
use crate::graph::dtype::DType;
use crate::ops::{Precision, Reduction};

/// Binds the steps that have a bound form.
pub(super) fn bind(l: &Lowered, layout: &Layout) -> Bound {
    let mut bound = Bound::new(layout.bytes);
    for s in &l.steps {
        if step(&mut bound, layout, &s.step).is_none() {
            bound.skip();
        }
    }
    bound
}

/// Adds a step; `None` if nothing was added.
fn step(bound: &mut Bound, layout: &Layout, step: &Step) -> Option<bool> {
    let places = |locs: &[Loc]| locs.iter().map(|l| place(layout, l)).collect::<Option<Vec<_>>>();
    Some(match step {
        Step::Map { program, dims, operands, outputs, .. } => {
            bound.map(program, dims.dims(), &places(operands)?, &places(outputs)?)
        }
        Step::Reduce { kind, program, dims, axes, operands, outs, watch, .. } => {
            let (operands, outs) = (places(operands)?, places(outs)?);
            bound.reduce(kind_of(*kind), program, dims.dims(), *axes, &operands, &outs, *watch)
        }
        Step::Gemm(g) => bound.gemm(&product(layout, g)?),
        Step::Watch { x } => bound.watch(&place(layout, x)?),
        _ => return None,
    })
}

/// The kernels' name of a reduction.
pub(crate) fn kind_of(kind: Reduction) -> ReduceKind {
    match kind {
        Reduction::Sum => ReduceKind::Sum,
        Reduction::Prod => ReduceKind::Prod,
        Reduction::Max => ReduceKind::Max,
        Reduction::Min => ReduceKind::Min,
    }
}

fn product(layout: &Layout, g: &GemmStep) -> Option<BoundGemm> {
    if g.batch != 1 || g.precision != Precision::F32 {
        return None;
    }
    let operand = |x: &Strided| {
        let len = x.extent().checked_sub(x.offset)?;
        stretch(layout, x.bank, x.offset, len, x.dtype)
    };
    let bias = match &g.bias {
        Some(bias) => Some(place(layout, bias)?),
        None => None,
    };
    Some(BoundGemm {
        m: g.m,
        k: g.k,
        n: g.n,
        a: operand(&g.a)?,
        a_strides: g.a_strides,
        b: operand(&g.b)?,
        b_strides: g.b_strides,
        c: place(layout, &g.out)?,
        bias,
        activation: g.activation,
        watch: g.watch,
    })
}

fn place(layout: &Layout, l: &Loc) -> Option<Place> {
    stretch(layout, l.bank, l.start, l.len, l.dtype)
}

fn stretch(layout: &Layout, bank: Bank, start: usize, len: usize, dtype: DType) -> Option<Place> {
    let start = start.checked_mul(dtype.size())?;
    let ty = dtype.ty();
    Some(match bank {
        Bank::Leaf(i) => Place { home: Home::Leaf(i), start, len, ty },
        Bank::Buffer(b) => {
            let start = layout.offsets.get(b as usize)?.checked_add(start)?;
            Place { home: Home::Arena, start, len, ty }
        }
    })
}
