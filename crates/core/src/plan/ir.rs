//! The planner's own graph: plain nodes in topological order, numbered from 0.
//!
//! Differences from what the recorder holds: operands of element-wise nodes have equal shapes
//! (broadcasts are nodes), gradients are expanded, and nothing refers to handles or threads. A
//! node's operands always have smaller numbers.

use std::sync::Arc;

use smallvec::smallvec;

use crate::graph::dtype::DType;
use crate::graph::shape::{MAX_RANK, Shape};
use crate::ops::{
    AxisMask, Binary, Combine, CustomOp, Meta, Op, Operands, Precision, Reduction, Rows, Running,
    Ternary, Unary,
};

/// A node's number.
pub(crate) type Val = u32;

/// No recorded node behind it.
pub(crate) const NO_ORIGIN: u32 = u32::MAX;

#[derive(Clone, Debug)]
pub(crate) struct IrNode {
    pub(crate) op: Op,
    pub(crate) inputs: Operands<Val>,
    pub(crate) shape: Shape,
    pub(crate) dtype: DType,
    /// Whether gradients flow through it.
    pub(crate) grad: bool,
    /// The recorded node it comes from; a gradient's is that of the operation it belongs to.
    pub(crate) origin: u32,
    /// Which run-time leaf, number, key or effect it stands for.
    pub(crate) binding: u32,
    /// Made by differentiation.
    pub(crate) backward: bool,
    /// 0, or the number of the recomputation that it belongs to.
    pub(crate) epoch: u32,
    /// Of convolutions and pools: the channels of their images are the last axis, not the second.
    pub(crate) last: bool,
    /// A copy for its only user, which computes it inside.
    pub(crate) inlined: bool,
}

/// The graph. Its methods append nodes, with the shape rules already known to hold.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ir {
    pub(crate) nodes: Vec<IrNode>,
    /// Given to nodes as they are appended.
    pub(crate) origin: u32,
    /// Likewise.
    pub(crate) backward: bool,
    /// The rules of [`Op::CustomGrad`] nodes, by their binding; needed while gradients are
    /// expanded, empty afterwards.
    pub(crate) rules: Vec<Rule>,
    /// How many regions were computed again.
    pub(crate) epochs: u32,
}

/// A gradient of the user's, written with placeholders.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    /// The gradient for each input of the node (its operands after the first).
    pub(crate) grads: Vec<Val>,
    /// What stands for the node's cotangent, and for its result.
    pub(crate) cotangent: Val,
    pub(crate) result: Val,
}

impl Ir {
    pub(crate) fn node(&self, v: Val) -> &IrNode {
        &self.nodes[v as usize]
    }

    pub(crate) fn shape(&self, v: Val) -> Shape {
        self.node(v).shape
    }

    pub(crate) fn dtype(&self, v: Val) -> DType {
        self.node(v).dtype
    }

    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Appends a node as it is.
    pub(crate) fn push(&mut self, node: IrNode) -> Val {
        self.nodes.push(node);
        (self.nodes.len() - 1) as Val
    }

    pub(crate) fn add_node(&mut self, op: Op, inputs: Operands<Val>, meta: Meta) -> Val {
        let grad = meta.dtype.is_real() && inputs.iter().any(|&i| self.node(i).grad);
        let (origin, backward) = (self.origin, self.backward);
        let Meta { shape, dtype } = meta;
        self.push(IrNode {
            op,
            inputs,
            shape,
            dtype,
            grad,
            origin,
            binding: 0,
            backward,
            epoch: 0,
            last: false,
            inlined: false,
        })
    }

    pub(crate) fn unary(&mut self, op: Unary, x: Val) -> Val {
        let dtype = match op {
            Unary::IsFinite | Unary::IsNan | Unary::SignBit => DType::Bool,
            _ => self.dtype(x),
        };
        let meta = Meta { shape: self.shape(x), dtype };
        self.add_node(Op::Unary(op), smallvec![x], meta)
    }

    /// Both operands have the same shape, or one is a scalar, which is broadcast.
    pub(crate) fn binary(&mut self, op: Binary, x: Val, y: Val) -> Val {
        let shape = self.shape(x).broadcast(&self.shape(y)).unwrap_or(self.shape(x));
        let (x, y) = (self.broadcast(x, shape), self.broadcast(y, shape));
        let dtype = match op {
            Binary::Eq | Binary::Ne | Binary::Lt | Binary::Le | Binary::Gt | Binary::Ge => {
                DType::Bool
            }
            _ => self.dtype(x),
        };
        self.add_node(Op::Binary(op), smallvec![x, y], Meta { shape, dtype })
    }

    pub(crate) fn ternary(&mut self, op: Ternary, a: Val, b: Val, c: Val) -> Val {
        let shape =
            [b, c].iter().fold(self.shape(a), |s, &v| s.broadcast(&self.shape(v)).unwrap_or(s));
        let inputs =
            smallvec![self.broadcast(a, shape), self.broadcast(b, shape), self.broadcast(c, shape)];
        let dtype = self.dtype(b);
        self.add_node(Op::Ternary(op), inputs, Meta { shape, dtype })
    }

    pub(crate) fn add(&mut self, x: Val, y: Val) -> Val {
        self.binary(Binary::Add, x, y)
    }
    pub(crate) fn sub(&mut self, x: Val, y: Val) -> Val {
        self.binary(Binary::Sub, x, y)
    }
    pub(crate) fn mul(&mut self, x: Val, y: Val) -> Val {
        self.binary(Binary::Mul, x, y)
    }
    pub(crate) fn div(&mut self, x: Val, y: Val) -> Val {
        self.binary(Binary::Div, x, y)
    }

    /// A structural number, of the type of `like`.
    pub(crate) fn constant(&mut self, value: f64, like: Val) -> Val {
        let meta = Meta { shape: Shape::SCALAR, dtype: self.dtype(like) };
        self.add_node(Op::Const(value), smallvec![], meta)
    }

    /// `x * factor`.
    pub(crate) fn scale(&mut self, x: Val, factor: f64) -> Val {
        let c = self.constant(factor, x);
        self.mul(x, c)
    }

    /// `x + amount`.
    pub(crate) fn offset(&mut self, x: Val, amount: f64) -> Val {
        let c = self.constant(amount, x);
        self.add(x, c)
    }

    pub(crate) fn cast(&mut self, x: Val, dtype: DType) -> Val {
        if self.dtype(x) == dtype {
            return x;
        }
        self.add_node(Op::Cast(dtype), smallvec![x], Meta { shape: self.shape(x), dtype })
    }

    pub(crate) fn reduce(&mut self, kind: Reduction, axes: AxisMask, x: Val) -> Val {
        let mut shape = self.shape(x);
        for axis in 0..shape.rank() {
            if axes & (1 << axis) != 0 {
                shape = shape.with(axis, 1);
            }
        }
        let dtype = self.dtype(x);
        self.add_node(Op::Reduce(kind, axes), smallvec![x], Meta { shape, dtype })
    }

    /// A scan whose result has the operands' type.
    pub(crate) fn scan(&mut self, kind: Running, axis: u8, reverse: bool, ins: &[Val]) -> Val {
        let x = ins.first().copied().unwrap_or(0);
        let meta = Meta { shape: self.shape(x), dtype: self.dtype(x) };
        self.add_node(Op::Scan { kind, axis, reverse }, ins.into(), meta)
    }

    /// A pool whose result has the operands' type.
    pub(crate) fn pool(&mut self, op: Op, ins: &[Val], shape: Shape) -> Val {
        let dtype = ins.first().map_or(DType::F32, |&x| self.dtype(x));
        self.add_node(op, ins.into(), Meta { shape, dtype })
    }

    pub(crate) fn reshape(&mut self, x: Val, shape: Shape) -> Val {
        if self.shape(x) == shape {
            return x;
        }
        let dtype = self.dtype(x);
        self.add_node(Op::Reshape, smallvec![x], Meta { shape, dtype })
    }

    pub(crate) fn broadcast(&mut self, x: Val, shape: Shape) -> Val {
        if self.shape(x) == shape {
            return x;
        }
        let dtype = self.dtype(x);
        self.add_node(Op::Broadcast, smallvec![x], Meta { shape, dtype })
    }

    pub(crate) fn permute(&mut self, x: Val, perm: [u8; MAX_RANK]) -> Val {
        let from = self.shape(x);
        let mut shape = from;
        for (i, &axis) in perm.iter().enumerate().take(from.rank()) {
            shape = shape.with(i, from.dim(usize::from(axis)));
        }
        let dtype = self.dtype(x);
        self.add_node(Op::Permute(perm), smallvec![x], Meta { shape, dtype })
    }

    pub(crate) fn slice(
        &mut self,
        x: Val,
        axis: u8,
        start: usize,
        step: isize,
        shape: Shape,
    ) -> Val {
        let dtype = self.dtype(x);
        self.add_node(Op::Slice { axis, start, step }, smallvec![x], Meta { shape, dtype })
    }

    pub(crate) fn unslice(
        &mut self,
        x: Val,
        axis: u8,
        start: usize,
        step: isize,
        shape: Shape,
    ) -> Val {
        let dtype = self.dtype(x);
        self.add_node(Op::Unslice { axis, start, step }, smallvec![x], Meta { shape, dtype })
    }

    /// `a` and `b` have equal batch axes, or `b` is a plain matrix.
    pub(crate) fn product(&mut self, precision: Precision, a: Val, b: Val) -> Val {
        let rank = self.shape(a).rank();
        let shape = self.shape(a).with(rank - 1, self.shape(b).last(0));
        let dtype = self.dtype(a);
        self.add_node(Op::Matmul(precision), smallvec![a, b], Meta { shape, dtype })
    }

    pub(crate) fn rows(&mut self, rows: Rows, ins: &[Val], shape: Shape) -> Val {
        let dtype = ins.first().map_or(DType::F32, |&x| self.dtype(x));
        self.add_node(Op::Rows(rows), ins.into(), Meta { shape, dtype })
    }

    pub(crate) fn index(&mut self, shape: Shape, axis: u8) -> Val {
        self.add_node(Op::Index(axis), smallvec![], Meta { shape, dtype: DType::I64 })
    }

    /// An indexing op on (tensor, index) with a known result shape.
    pub(crate) fn indexing(&mut self, op: Op, x: Val, index: Val, shape: Shape) -> Val {
        let dtype = self.dtype(x);
        self.add_node(op, smallvec![x, index], Meta { shape, dtype })
    }

    /// A scatter (axis, how, whole) on (tensor, index, source).
    pub(crate) fn scatter(
        &mut self,
        (axis, how, whole): (u8, Combine, bool),
        ins: [Val; 3],
    ) -> Val {
        let meta = Meta { shape: self.shape(ins[0]), dtype: self.dtype(ins[0]) };
        self.add_node(Op::Scatter { axis, how, whole }, ins.as_slice().into(), meta)
    }

    pub(crate) fn custom(&mut self, op: Arc<dyn CustomOp>, ins: &[Val], meta: Meta) -> Val {
        self.add_node(Op::Custom(op), ins.into(), meta)
    }
}
