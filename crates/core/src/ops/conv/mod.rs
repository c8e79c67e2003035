//! Convolutions: one family of three products over the same window.
//!
//! The input x, the result y and the weight w of a convolution are tied by one relation: element
//! `i = o * stride + k * dilation - before` of x meets element `o` of y through element `k` of w. Of
//! the three, each can be computed from the other two ([`ConvPass`]): the convolution, the gradient
//! for its input (which is the transposed convolution) and the gradient for its weight. So the
//! family is closed under differentiation, and has derivatives of every order.
//!
//! `options` has what users set, `methods` the methods of tensors, with their checks.

mod methods;
mod options;

pub use options::{ConvOptions, ConvTransposeOptions, Padding};

use gradus_kernels::conv::Geometry;
pub use gradus_kernels::conv::Pass as ConvPass;
use smallvec::smallvec;

use super::{Meta, Op, Precision};
use crate::error::{Error, Result};
use crate::graph::shape::Shape;
use crate::plan::ir::{Ir, Val};

/// Which of the three products, and the window. What is padded behind is in the shapes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Conv {
    /// What is computed from what.
    pub pass: ConvPass,
    /// Number of spatial axes, 1 to 3.
    pub axes: u8,
    /// Distance of two places of the window; of the first `axes` axes, else 1.
    pub stride: [u16; 3],
    /// Distance of two elements in the window.
    pub dilation: [u16; 3],
    /// Zeros before the input's first element; 0 beyond the axes.
    pub before: [u16; 3],
    /// Channels are cut into so many groups that do not see each other.
    pub groups: u32,
    /// How the operands are rounded.
    pub precision: Precision,
}

impl Conv {
    /// The same window, another product.
    pub(crate) fn of(self, pass: ConvPass) -> Conv {
        Conv { pass, ..self }
    }

    pub(crate) fn name(&self) -> &'static str {
        match (self.pass, self.axes) {
            (ConvPass::Forward, 1) => "conv1d",
            (ConvPass::Forward, 2) => "conv2d",
            (ConvPass::Forward, _) => "conv3d",
            (ConvPass::Input, 1) => "conv_transpose1d",
            (ConvPass::Input, 2) => "conv_transpose2d",
            (ConvPass::Input, _) => "conv_transpose3d",
            (ConvPass::Weight, 1) => "conv1d_weight",
            (ConvPass::Weight, 2) => "conv2d_weight",
            (ConvPass::Weight, _) => "conv3d_weight",
        }
    }

    pub(crate) fn key(&self, out: &mut impl FnMut(u64)) {
        let words = |x: [u16; 3]| u64::from(x[0]) | u64::from(x[1]) << 16 | u64::from(x[2]) << 32;
        let precision = (self.precision as u64) << 24;
        out(44 | (self.pass as u64) << 8 | u64::from(self.axes) << 16 | precision);
        out(words(self.stride));
        out(words(self.dilation));
        out(words(self.before));
        out(u64::from(self.groups));
    }

    /// The sizes that a kernel needs, from the shapes of the two operands and of the result; in
    /// memory the channels may be the last axis.
    pub(crate) fn geometry(&self, left: Shape, right: Shape, out: Shape, turned: bool) -> Geometry {
        let (x, w, y) = match self.pass {
            ConvPass::Forward => (left, right, out),
            ConvPass::Input => (out, right, left),
            ConvPass::Weight => (left, out, right),
        };
        // The last axis of the tensor is the last of three, so that it is always the fast one.
        let axes = usize::from(self.axes);
        let last = |missing: usize, of: &dyn Fn(usize) -> usize| {
            let mut all = [missing; 3];
            for i in 0..axes.min(3) {
                all[3 - axes + i] = of(i);
            }
            all
        };
        Geometry {
            batch: x.dim(0),
            groups: self.groups as usize,
            inputs: x.dim(1),
            outputs: y.dim(1),
            x: last(1, &|i| x.dim(i + 2)),
            y: last(1, &|i| y.dim(i + 2)),
            kernel: last(1, &|i| w.dim(i + 2)),
            stride: last(1, &|i| usize::from(self.stride[i])),
            dilation: last(1, &|i| usize::from(self.dilation[i])),
            before: last(0, &|i| usize::from(self.before[i])),
            last: turned,
            bf16: self.precision == Precision::Bf16,
        }
    }
}

/// The type rule; the methods have checked sizes, and give the result's shape.
pub(crate) fn infer(op: &Op, ins: [&Meta; 2], given: Option<Shape>) -> Result<Meta> {
    let [a, b] = ins;
    let name = op.name();
    let shape = given.ok_or_else(|| Error::internal(format!("{name}: no shape")))?;
    shape.check(name)?;
    methods::types(name, a, b)?;
    Ok(Meta { shape, dtype: a.dtype })
}

/// Gradient for operand `i` of a product of the family.
pub(crate) fn vjp(ir: &mut Ir, conv: Conv, [a, b]: [Val; 2], g: Val, i: usize) -> Val {
    use ConvPass::{Forward, Input, Weight};
    let (pass, ins) = match (conv.pass, i) {
        (Forward, 0) => (Input, [g, b]),
        (Forward, _) => (Weight, [a, g]),
        (Input, 0) => (Forward, [g, b]),
        (Input, _) => (Weight, [g, a]),
        (Weight, 0) => (Input, [b, g]),
        (Weight, _) => (Forward, [a, g]),
    };
    let target = if i == 0 { a } else { b };
    let meta = Meta { shape: ir.shape(target), dtype: ir.dtype(target) };
    ir.add_node(Op::Conv(conv.of(pass)), smallvec![ins[0], ins[1]], meta)
}
