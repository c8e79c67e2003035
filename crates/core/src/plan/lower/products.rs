//! Products and convolutions, with the bias and the ReLU that follow them.

use gradus_kernels::gemm::Activation;

use super::Lower;
use crate::backend::{GemmStep, Loc, Step, Strided};
use crate::error::Result;
use crate::graph::shape::MAX_RANK;
use crate::ops::{Binary, Conv, ConvPass, Op, Precision};
use crate::plan::channels;
use crate::plan::ir::Val;

impl Lower<'_> {
    /// The bias, of `n` elements, and the activation of a product whose step has these members.
    fn epilogue(&self, v: Val, members: &[Val], n: usize) -> Result<(Option<Loc>, Activation)> {
        let (mut bias, mut activation) = (None, Activation::None);
        for &member in members.iter().skip(1) {
            let node = self.ir.node(member);
            match node.op {
                Op::Binary(Binary::Add) => {
                    let other = if node.inputs[0] == v { node.inputs[1] } else { node.inputs[0] };
                    let view = self.f.view(self.ir, other);
                    let whole = self.whole(view.base)?;
                    bias = Some(Loc { start: view.offset, len: n, ..whole });
                }
                _ => activation = Activation::Relu,
            }
        }
        Ok((bias, activation))
    }

    pub(super) fn conv(&mut self, v: Val, c: Conv, members: &[Val]) -> Result<()> {
        let node = self.ir.node(v).clone();
        let (left, right) = (node.inputs[0], node.inputs[1]);
        // Weights are never turned.
        let of = |shape| channels::recorded(&node, shape);
        let (x, y) = (of(self.ir.shape(left)), self.ir.shape(right));
        let geometry = match c.pass {
            ConvPass::Weight => c.geometry(x, of(y), node.shape, node.last),
            _ => c.geometry(x, y, of(node.shape), node.last),
        };
        let (a, b) = (self.contiguous(left)?, self.contiguous(right)?);
        let (bias, activation) = self.epilogue(v, members, node.shape.last(0))?;
        let last = members.last().copied().unwrap_or(v);
        let out = self.allocate(last);
        let geometry = Box::new(geometry);
        self.push(Step::Conv { pass: c.pass, geometry, a, b, bias, activation, out }, last);
        Ok(())
    }

    pub(super) fn gemm(&mut self, v: Val, precision: Precision, members: &[Val]) -> Result<()> {
        let node = self.ir.node(v);
        let (va, vb) = (node.inputs[0], node.inputs[1]);
        let (a, b) = (self.strided(va)?, self.strided(vb)?);
        let (ra, rb) = (a.shape.rank(), b.shape.rank());
        let (mut m, k, n) = (a.shape.last(1), a.shape.last(0), b.shape.last(0));
        let step = |s: isize| usize::try_from(s).unwrap_or(0);
        let a_strides = [step(a.strides[ra - 2]), step(a.strides[ra - 1])];
        let b_strides = [step(b.strides[rb - 2]), step(b.strides[rb - 1])];
        let dims = &a.shape.dims()[..ra - 2];
        let mut batch: usize = dims.iter().product();
        let shared = rb == 2 || (0..rb - 2).all(|i| b.strides[i] == 0 || b.shape.dim(i) == 1);
        let mut rows_run = a_strides[0] as isize * m as isize;
        let one_run = m > 0
            && dims.iter().enumerate().rev().all(|(i, &d)| {
                let fits = d == 1 || a.strides[i] == rows_run;
                rows_run *= d as isize;
                fits
            });
        if batch > 1 && shared && one_run {
            // All batches are rows of one product.
            m *= batch;
            batch = 1;
        }
        let (mut a_batch, mut b_batch) = (Vec::new(), Vec::new());
        if batch > 1 {
            a_batch = offsets(&a, dims);
            b_batch = if rb == 2 { vec![0; batch] } else { offsets(&b, dims) };
        }
        let last = members.last().copied().unwrap_or(v);
        let (bias, activation) = self.epilogue(v, members, n)?;
        let watch = self.watched(last);
        let out = self.allocate(last);
        let step = GemmStep {
            precision,
            m,
            k,
            n,
            a,
            a_strides,
            b,
            b_strides,
            batch,
            a_batch,
            b_batch,
            bias,
            activation,
            watch,
            out,
        };
        self.push(Step::Gemm(Box::new(step)), last);
        Ok(())
    }
}

/// Element offsets of each batch entry.
fn offsets(x: &Strided, dims: &[usize]) -> Vec<usize> {
    let total: usize = dims.iter().product();
    let mut at = [0usize; MAX_RANK];
    let mut out = Vec::with_capacity(total);
    for _ in 0..total {
        let mut sum = 0isize;
        for (i, &p) in at.iter().enumerate().take(dims.len()) {
            sum += p as isize * x.strides[i];
        }
        out.push(usize::try_from(sum).unwrap_or(0));
        for axis in (0..dims.len()).rev() {
            at[axis] += 1;
            if at[axis] < dims[axis] {
                break;
            }
            at[axis] = 0;
        }
    }
    out
}
