//! What the engine can compute: the operations as data, and where each one's rules live.
//!
//! An [`Op`] is an operation with its attributes (axes, exponents: *structure*); the numbers that
//! change from step to step (scalars in arithmetic, learning rates, random offsets) are not in it.
//! Each op has a shape rule (`infer.rs`), a gradient rule or an expansion into simpler ops
//! (`vjp`, `expand` in the file of its family), a reference evaluation (`crate::reference`) and a
//! row in [`registry`]. To add one, follow CONTRIBUTING.md.

use std::sync::Arc;

use smallvec::SmallVec;

pub use gradus_kernels::program::{Binary, Dist, Ternary, Unary};
pub use gradus_kernels::running::Running;
pub use gradus_kernels::scatter::Combine;
pub(crate) use gradus_kernels::window::{Divisor, Pooling, Windows};

use crate::graph::dtype::DType;
use crate::graph::recorder;
use crate::graph::shape::{MAX_RANK, Shape};

pub(crate) mod activation;
pub(crate) mod arrange;
pub mod attention;
pub(crate) mod bags;
pub(crate) mod checkpoint;
pub(crate) mod conv;
pub(crate) mod creation;
pub(crate) mod custom;
pub(crate) mod custom_gradient;
pub(crate) mod diagonal;
pub(crate) mod distance;
pub(crate) mod dropout;
pub(crate) mod einsum;
pub(crate) mod elementwise;
pub(crate) mod grid;
pub(crate) mod indexing;
pub(crate) mod infer;
pub(crate) mod join;
pub mod loss;
pub(crate) mod masks;
pub(crate) mod matmul;
pub(crate) mod movement;
pub(crate) mod norm;
pub(crate) mod order;
pub(crate) mod pad;
pub(crate) mod patches;
pub(crate) mod pool;
pub(crate) mod products;
pub(crate) mod random;
pub(crate) mod ranges;
pub(crate) mod recurrent;
pub(crate) mod reduce;
pub mod registry;
pub(crate) mod resize;
pub(crate) mod sample;
pub(crate) mod scan;
pub(crate) mod scatter;
pub(crate) mod select;
pub(crate) mod series;
pub(crate) mod shapes;
pub(crate) mod softmax;
pub(crate) mod sort;
pub(crate) mod special;
pub(crate) mod statistics;
pub(crate) mod update;

pub use attention::Attended;
pub use bags::Bag;
pub use checkpoint::checkpoint;
pub use conv::{Conv, ConvPass};
pub use creation::Number;
pub use custom::CustomOp;
pub use custom_gradient::custom_gradient;
pub use order::Quantile;
pub use products::Contracted;
pub use recurrent::{Cell, Recurrence, States, Steps};
pub use update::{Pointwise, Rule};

/// Axes as a bit mask: bit `i` is axis `i`.
pub type AxisMask = u8;

/// What a reduction computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Reduction {
    /// The sum; 0 of nothing.
    Sum,
    /// The product; 1 of nothing.
    Prod,
    /// The largest; an error of nothing.
    Max,
    /// The smallest; an error of nothing.
    Min,
}

/// A kernel that works on whole rows (the last axis), contiguous.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rows {
    /// `exp(x - max) / sum(exp(x - max))`.
    Softmax,
    /// `x - max - log(sum(exp(x - max)))`.
    LogSoftmax,
    /// From (y, g): `y * (g - sum(g * y))`.
    SoftmaxGrad,
    /// From (y, g): `g - exp(y) * sum(g)`.
    LogSoftmaxGrad,
    /// From (logits, class ids): the loss of each row; 0 where the id is `ignore`.
    CrossEntropy {
        /// The class id that does not count.
        ignore: Option<i64>,
    },
    /// From (logits, class ids, g of each row): `(softmax - onehot) * g`.
    CrossEntropyGrad {
        /// The class id that does not count.
        ignore: Option<i64>,
    },
}

/// How the operands of a product are rounded before they are multiplied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Precision {
    /// Not at all.
    #[default]
    F32 = 0,
    /// To bf16 (8 bits of exponent, 8 of mantissa), if they are f32. Sums, bias and result are f32.
    Bf16 = 1,
}

impl Precision {
    /// All of them.
    pub const ALL: [Precision; 2] = [Precision::F32, Precision::Bf16];

    /// That of products of this type that are recorded now.
    pub(crate) fn of(dtype: DType) -> Precision {
        match dtype {
            DType::F32 => recorder::with(|r| r.mode.precision),
            _ => Precision::F32,
        }
    }

    /// The name that configurations take: `f32`, `bf16`.
    pub fn name(self) -> &'static str {
        match self {
            Precision::F32 => "f32",
            Precision::Bf16 => "bf16",
        }
    }

    /// The precision of that name.
    pub fn parse(name: &str) -> Option<Precision> {
        Precision::ALL.into_iter().find(|p| p.name() == name)
    }
}

/// An operation with its attributes.
#[derive(Clone, Debug)]
pub enum Op {
    /// A value that exists: data, a parameter's snapshot, an earlier result.
    Leaf,
    /// A Rust number, bound at run time (scalar shape).
    Slot,
    /// A number that is part of the structure (scalar shape).
    Const(f64),
    /// Random numbers; the key is bound at run time.
    Random(Dist),
    /// The index along an axis, as i64.
    Index(u8),
    /// Element-wise, one operand.
    Unary(Unary),
    /// Element-wise, two operands.
    Binary(Binary),
    /// Element-wise, three operands.
    Ternary(Ternary),
    /// To another element type.
    Cast(DType),
    /// The same value, without history.
    Detach,
    /// Combines elements along axes, which keep size 1.
    Reduce(Reduction, AxisMask),
    /// Position of the largest (true) or smallest element along an axis, which keeps size 1.
    ArgReduce {
        /// Largest or smallest.
        max: bool,
        /// Along which axis.
        axis: u8,
    },
    /// The result so far along an axis, from the front or the back.
    Scan {
        /// Which result; [`Running::Linear`] has two operands.
        kind: Running,
        /// Along which axis.
        axis: u8,
        /// From the back.
        reverse: bool,
    },
    /// The same elements in row-major order under the node's shape.
    Reshape,
    /// Axis `i` of the result is axis `perm[i]` of the operand.
    Permute([u8; MAX_RANK]),
    /// Size-1 axes repeated to the node's shape (missing leading axes too).
    Broadcast,
    /// Along one axis: elements `start, start + step, ...`; a negative step walks backwards.
    Slice {
        /// Which axis.
        axis: u8,
        /// First element.
        start: usize,
        /// Distance between elements, not 0.
        step: isize,
    },
    /// The adjoint of a slice: a tensor of zeros with the operand at those places.
    Unslice {
        /// Which axis.
        axis: u8,
        /// First element.
        start: usize,
        /// Distance between elements, not 0.
        step: isize,
    },
    /// Operands one after another along an axis.
    Concat {
        /// Which axis.
        axis: u8,
    },
    /// `[.., m, k] @ [.., k, n]`, equal batch axes (broadcast by the recorder).
    Matmul(Precision),
    /// A convolution or one of its gradients.
    Conv(Conv),
    /// `out[i][j] = x[index[i][j]][j]` for axis 0, and so on: one index an element.
    Gather {
        /// Which axis.
        axis: u8,
    },
    /// Adjoint of gather: zeros of the node's shape, plus the operand's elements at the indices.
    ScatterAdd {
        /// Which axis.
        axis: u8,
    },
    /// Whole slices along an axis, chosen by a 1-d index.
    IndexSelect {
        /// Which axis.
        axis: u8,
    },
    /// Adjoint of index_select: zeros of the node's shape, plus slices at the indices.
    IndexAdd {
        /// Which axis.
        axis: u8,
    },
    /// From (x, index, source): x, with elements of the source combined into it at the indices.
    Scatter {
        /// Which axis.
        axis: u8,
        /// How an element is combined with what is there.
        how: Combine,
        /// The index is 1-d, for whole slices; otherwise it has the source's shape.
        whole: bool,
    },
    /// Checked indices: the operand, of which every element must be in `0..size`.
    Within {
        /// How many there are to choose from.
        size: usize,
        /// Those in `-size..0` count from the end.
        negative: bool,
    },
    /// For each row (the last axis), the positions of its elements in order; stable.
    Argsort {
        /// From the largest to the smallest.
        descending: bool,
    },
    /// From (sorted rows, values): how many elements of the row lie before each value.
    Search {
        /// A value goes behind equal elements, not before them.
        right: bool,
    },
    /// What is made of the elements under a window that slides over the last axes.
    Pool {
        /// What.
        kind: Pooling,
        /// How many axes the window has.
        rank: u8,
        /// How it lies along each of them; the last one last.
        windows: [Windows; 3],
    },
    /// A kernel on rows.
    Rows(Rows),
    /// A recurrent network over a sequence: its tape, see `ops::recurrent`.
    Recurrent(Steps),
    /// From (tape, gradient of what is visible of it, the operands): gradients of the operands.
    RecurrentGrad(Steps),
    /// Attention over heads: its tape, see `ops::attention`.
    Attention(Attended),
    /// From (tape, gradient of what is visible of it, the operands): gradients of the operands.
    AttentionGrad(Attended),
    /// A host operation of the user's.
    Custom(Arc<dyn CustomOp>),
    /// Gradients of operand 0 (a scalar, or with operand 1 as cotangent when `seeded`) for the
    /// remaining operands; its results are read through [`Op::Pick`].
    Grad {
        /// Whether operand 1 is the cotangent of operand 0.
        seeded: bool,
    },
    /// Result number i of a [`Op::Grad`].
    Pick(u32),
    /// A value that is not known: what stands for the cotangent while a gradient is written down,
    /// or for one sample of a batch.
    Placeholder,
    /// Operand 0, with a gradient of the user's: operands are the result y, the n inputs, the n
    /// gradients, and what stands for the cotangent of y and for y in them.
    CustomGrad,
    /// Operand 0, whose interior a gradient computes again: it lies between operand 0 and the
    /// others.
    Checkpoint,
    /// Effect: updates parameters by a rule from their gradients.
    Update(Rule),
    /// Effect: writes the operand to a buffer.
    Assign,
    /// No value: an operation failed; the error is kept beside the node.
    Failed,
}

/// Shape and type of an operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meta {
    /// The sizes.
    pub shape: Shape,
    /// The element type.
    pub dtype: DType,
}

impl Op {
    /// Whether each element of the result depends on the elements at the same place only.
    pub(crate) fn is_elementwise(&self) -> bool {
        matches!(self, Op::Unary(_) | Op::Binary(_) | Op::Ternary(_) | Op::Cast(_))
    }

    /// How the operands of its products are rounded.
    pub(crate) fn precision(&self) -> Precision {
        match self {
            Op::Matmul(precision) => *precision,
            Op::Recurrent(steps) | Op::RecurrentGrad(steps) => steps.precision,
            Op::Attention(a) | Op::AttentionGrad(a) => a.precision,
            Op::Conv(conv) => conv.precision,
            _ => Precision::F32,
        }
    }

    /// Whether the result is the operand's memory seen differently.
    pub(crate) fn is_view(&self) -> bool {
        matches!(self, Op::Reshape | Op::Permute(_) | Op::Broadcast | Op::Slice { .. } | Op::Detach)
    }

    /// Whether it changes something outside the graph.
    pub(crate) fn is_effect(&self) -> bool {
        matches!(self, Op::Update(_) | Op::Assign)
    }

    /// The user's name of the operation, as messages show it.
    pub fn name(&self) -> &'static str {
        match self {
            Op::Leaf => "value",
            Op::Slot | Op::Const(_) => "number",
            Op::Random(Dist::Uniform) => "rand",
            Op::Random(Dist::Normal) => "randn",
            Op::Index(_) => "index",
            Op::Unary(u) => elementwise::unary_name(*u),
            Op::Binary(b) => elementwise::binary_name(*b),
            Op::Ternary(Ternary::Where) => "where",
            Op::Ternary(Ternary::Clamp) => "clamp",
            Op::Cast(_) => "cast",
            Op::Detach => "detach",
            Op::Scan { kind: Running::Sum, .. } => "cumsum",
            Op::Scan { kind: Running::Prod, .. } => "cumprod",
            Op::Scan { kind: Running::LogSumExp, .. } => "logcumsumexp",
            Op::Scan { kind: Running::ArgMax, .. } => "cummax",
            Op::Scan { kind: Running::ArgMin, .. } => "cummin",
            Op::Scan { kind: Running::Linear, .. } => "linear_recurrence",
            Op::Reduce(Reduction::Prod, _) => "prod",
            Op::Reduce(Reduction::Sum, _) => "sum",
            Op::Reduce(Reduction::Max, _) => "max",
            Op::Reduce(Reduction::Min, _) => "min",
            Op::ArgReduce { max: true, .. } => "argmax",
            Op::ArgReduce { .. } => "argmin",
            Op::Reshape => "reshape",
            Op::Permute(_) => "permute",
            Op::Broadcast => "broadcast_to",
            Op::Slice { .. } => "slice",
            Op::Unslice { .. } => "unslice",
            Op::Concat { .. } => "concat",
            Op::Matmul(_) => "matmul",
            Op::Conv(c) => c.name(),
            Op::Gather { .. } => "gather",
            Op::ScatterAdd { .. } => "scatter_add",
            Op::IndexSelect { .. } => "index_select",
            Op::IndexAdd { .. } => "index_add",
            Op::Scatter { .. } => "scatter",
            Op::Within { .. } => "index",
            Op::Argsort { .. } => "argsort",
            Op::Search { .. } => "searchsorted",
            Op::Pool { kind: Pooling::Max | Pooling::MaxAt, .. } => "max_pool",
            Op::Pool { kind: Pooling::Mean(_), .. } => "avg_pool",
            Op::Pool { kind: Pooling::Spread(_), .. } => "avg_pool_grad",
            Op::Pool { .. } => "max_pool_grad",
            Op::Attention(_) => "scaled_dot_product_attention",
            Op::AttentionGrad(_) => "scaled_dot_product_attention_grad",
            Op::Recurrent(_) => "recurrence",
            Op::RecurrentGrad(_) => "recurrence_grad",
            Op::Rows(Rows::Softmax) => "softmax",
            Op::Rows(Rows::LogSoftmax) => "log_softmax",
            Op::Rows(Rows::SoftmaxGrad) => "softmax_grad",
            Op::Rows(Rows::LogSoftmaxGrad) => "log_softmax_grad",
            Op::Rows(Rows::CrossEntropy { .. }) => "cross_entropy",
            Op::Rows(Rows::CrossEntropyGrad { .. }) => "cross_entropy_grad",
            Op::Custom(c) => c.name(),
            Op::Grad { .. } => "gradient",
            Op::Pick(_) => "gradient",
            Op::Placeholder => "placeholder",
            Op::CustomGrad => "custom_gradient",
            Op::Checkpoint => "checkpoint",
            Op::Update(_) => "update",
            Op::Assign => "assign",
            Op::Failed => "failed",
        }
    }

    /// Appends words that two ops share exactly when they are equal.
    #[inline]
    pub(crate) fn key(&self, out: &mut impl FnMut(u64)) {
        let word = |tag: u64, a: u64, b: u64| tag | (a << 8) | (b << 32);
        match self {
            Op::Leaf => out(1),
            Op::Slot => out(2),
            Op::Const(v) => {
                out(3);
                out(v.to_bits());
            }
            Op::Random(d) => out(word(4, *d as u64, 0)),
            Op::Index(axis) => out(word(5, u64::from(*axis), 0)),
            Op::Unary(u) => out(word(6, *u as u64, 0)),
            Op::Binary(b) => out(word(7, *b as u64, 0)),
            Op::Ternary(t) => out(word(8, *t as u64, 0)),
            Op::Cast(d) => out(word(9, *d as u64, 0)),
            Op::Detach => out(10),
            Op::Reduce(r, axes) => out(word(11, *r as u64, u64::from(*axes))),
            Op::ArgReduce { max, axis } => out(word(12, u64::from(*max), u64::from(*axis))),
            Op::Reshape => out(13),
            Op::Permute(p) => {
                out(14);
                out(u64::from_le_bytes(*p));
            }
            Op::Broadcast => out(15),
            Op::Slice { axis, start, step } => {
                out(word(16, u64::from(*axis), 0));
                out(*start as u64);
                out(*step as u64);
            }
            Op::Unslice { axis, start, step } => {
                out(word(17, u64::from(*axis), 0));
                out(*start as u64);
                out(*step as u64);
            }
            Op::Concat { axis } => out(word(18, u64::from(*axis), 0)),
            Op::Matmul(p) => out(word(19, *p as u64, 0)),
            Op::Conv(c) => c.key(out),
            Op::Gather { axis } => out(word(20, u64::from(*axis), 0)),
            Op::ScatterAdd { axis } => out(word(21, u64::from(*axis), 0)),
            Op::IndexSelect { axis } => out(word(22, u64::from(*axis), 0)),
            Op::IndexAdd { axis } => out(word(23, u64::from(*axis), 0)),
            Op::Rows(r) => {
                let (tag, ignore) = match r {
                    Rows::Softmax => (0, None),
                    Rows::LogSoftmax => (1, None),
                    Rows::SoftmaxGrad => (2, None),
                    Rows::LogSoftmaxGrad => (3, None),
                    Rows::CrossEntropy { ignore } => (4, *ignore),
                    Rows::CrossEntropyGrad { ignore } => (5, *ignore),
                };
                out(word(24, tag, u64::from(ignore.is_some())));
                out(ignore.unwrap_or(0) as u64);
            }
            Op::Custom(c) => {
                out(25);
                out(c.key());
            }
            Op::Grad { seeded } => out(word(26, u64::from(*seeded), 0)),
            Op::Pick(i) => out(word(27, 0, u64::from(*i))),
            Op::Update(rule) => out(word(28, rule.key(), 0)),
            Op::Assign => out(29),
            Op::Failed => out(30),
            Op::Scan { kind, axis, reverse } => {
                out(word(60, *kind as u64, u64::from(*axis) | u64::from(*reverse) << 8));
            }
            Op::Argsort { descending } => out(word(40, u64::from(*descending), 0)),
            Op::Scatter { axis, how, whole } => {
                out(word(42, u64::from(*axis) << 8 | *how as u64, u64::from(*whole)));
            }
            Op::Within { size, negative } => {
                out(word(43, u64::from(*negative), 0));
                out(*size as u64);
            }
            Op::Search { right } => out(word(41, u64::from(*right), 0)),
            Op::Attention(a) => a.key(out, 92),
            Op::AttentionGrad(a) => a.key(out, 93),
            Op::Recurrent(steps) => out(word(90, steps.key(), 0)),
            Op::RecurrentGrad(steps) => out(word(91, steps.key(), 0)),
            Op::Pool { kind, rank, windows } => {
                out(word(44, u64::from(kind.code()) << 8 | u64::from(*rank), 0));
                for w in windows {
                    let of = [w.kernel, w.stride, w.padding, w.dilation];
                    out(of.iter().fold(0, |all, &v| all << 16 | u64::from(v)));
                }
            }
            Op::Placeholder => out(200),
            Op::CustomGrad => out(201),
            Op::Checkpoint => out(202),
        }
    }
}

/// Operand lists: nearly always at most four, which take no more room than a pointer and a length.
pub(crate) type Operands<T> = SmallVec<[T; 4]>;
