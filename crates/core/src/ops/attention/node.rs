//! Attention as one node, whose kernels keep no matrix of scores.

use smallvec::SmallVec;

use super::{Attention, Heads};
use crate::error::Result;
use crate::graph::dtype::DType;
use crate::graph::recorder;
use crate::graph::shape::{MAX_RANK, Shape};
use crate::ops::{Meta, Op, Precision};
use crate::tensor::Tensor;

/// The attributes of attention that is a node of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Attended {
    /// Whether query `i` sees only the keys `0..=i`.
    pub causal: bool,
    /// The last operand is a mask, of the shape of the scores.
    pub mask: bool,
    /// The bits of the factor of the scores, an f64.
    pub scale: u64,
    /// Of all products, and of their gradients.
    pub precision: Precision,
}

impl Attended {
    pub(crate) fn key(self, out: &mut impl FnMut(u64), tag: u64) {
        out(tag
            | u64::from(self.causal) << 8
            | u64::from(self.mask) << 9
            | (self.precision as u64) << 10);
        out(self.scale);
    }

    /// The factor of the scores.
    pub(crate) fn scale(self) -> f64 {
        f64::from_bits(self.scale)
    }

    /// Sizes for queries, keys and values of four axes.
    pub(crate) fn heads(self, q: Shape, k: Shape, v: Shape) -> gradus_kernels::attention::Heads {
        gradus_kernels::attention::Heads {
            batch: q.dim(0),
            heads: q.dim(1),
            group: q.dim(1) / k.dim(1).max(1),
            queries: q.dim(2),
            keys: k.dim(2),
            size: q.dim(3),
            out: v.dim(3),
            causal: self.causal,
            scale: self.scale() as f32,
            bf16: self.precision == Precision::Bf16,
        }
    }
}

/// With leading axes of size 1.
fn four(shape: Shape) -> Shape {
    (shape.rank()..4).fold(shape, |s, _| s.insert(0, 1))
}

/// Shapes of the operands with four axes each, if the node can do it.
pub(super) fn fits(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    options: &Attention<'_>,
) -> Option<[Shape; 3]> {
    let dtype = q.peek().dtype;
    let float = |t: &Tensor| t.peek().dtype == dtype;
    if !matches!(dtype, DType::F32 | DType::F64) || !float(k) || !float(v) {
        return None;
    }
    if let Some(mask) = options.attn_mask {
        // The gradient of a mask is as large as the scores.
        let learned = recorder::with(|r| r.node(mask.slot()).grad);
        if learned || !float(mask) && mask.peek().dtype != DType::Bool {
            return None;
        }
    }
    if q.draws(options.dropout_p) {
        return None;
    }
    let shapes = [q, k, v].map(|t| t.peek().shape);
    if shapes.iter().any(|s| s.rank() > 4 || s.numel() == 0) {
        return None;
    }
    let [q, k, v] = shapes.map(four);
    let same = k.dim(0) == q.dim(0) && v.dim(0) == q.dim(0) && v.dim(1) == k.dim(1);
    let shared = k.dim(1) <= q.dim(1) && q.dim(1).is_multiple_of(k.dim(1));
    // One head of keys is for all; several for some are checked by the caller.
    let small = q.dim(3) <= gradus_kernels::attention::MOST;
    (same && shared && small).then_some([q, k, v])
}

/// Records it; all fits.
#[track_caller]
pub(super) fn run(
    [q, k, v]: [&Tensor; 3],
    shapes: [Shape; 3],
    heads: &Heads,
    scale: f64,
    options: &Attention<'_>,
) -> Tensor {
    let [sq, sk, sv] = shapes;
    let mask = options.attn_mask.map(|mask| {
        let scores = Shape::new(&[sq.dim(0), sq.dim(1), sq.dim(2), sk.dim(2)]);
        mask.broadcast_to(heads.scores).reshape_to(scores)
    });
    let attended = Attended {
        causal: options.is_causal,
        mask: mask.is_some(),
        scale: scale.to_bits(),
        precision: Precision::of(q.peek().dtype),
    };
    let [q, k, v] = [(q, sq), (k, sk), (v, sv)].map(|(t, shape)| t.reshape_to(shape));
    let mut operands: SmallVec<[&Tensor; 4]> = SmallVec::from_slice(&[&k, &v]);
    operands.extend(&mask);
    let tape = q.apply(Op::Attention(attended), &operands, None);
    let sizes = attended.heads(sq, sk, sv);
    let seen = tape.narrow(0, 0, sizes.visible());
    let seen = seen.reshape_to([sizes.batch, sizes.queries, sizes.heads, sizes.out]);
    let mut perm = [0u8; MAX_RANK];
    perm[..4].copy_from_slice(&[0, 2, 1, 3]);
    let by_head = seen.apply(Op::Permute(perm), &[], None);
    by_head.reshape_to(heads.scores.with(heads.scores.rank() - 1, sizes.out))
}

/// Shape and type of a tape.
pub(crate) fn tape(a: Attended, [q, k, v]: [&Meta; 3]) -> Result<Meta> {
    let shape = Shape::new(&[a.heads(q.shape, k.shape, v.shape).tape()]);
    shape.check("scaled_dot_product_attention").map(|()| Meta { shape, dtype: q.dtype })
}

/// Shape and type of what its backward pass makes.
pub(crate) fn gradients(a: Attended, [q, k, v]: [&Meta; 3]) -> Result<Meta> {
    let all = a.heads(q.shape, k.shape, v.shape).gradients();
    let shape = Shape::new(&[all.iter().sum()]);
    shape.check("scaled_dot_product_attention").map(|()| Meta { shape, dtype: q.dtype })
}
