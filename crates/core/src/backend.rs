//! What a backend has to run: a handful of step kinds over places in memory.
//!
//! A plan is a list of [`Step`]s. Operands and results are [`Loc`]s: a leaf given at run time, or a
//! stretch of the arena. The CPU backend is `exec`; `reference` is the obvious one, which also runs
//! what the CPU kernels do not support (row kernels in f64).

use gradus_kernels::attention::Heads;
use gradus_kernels::conv::Geometry;
use gradus_kernels::gemm::Activation;
use gradus_kernels::map::Compiled;
use gradus_kernels::recurrent::Walk;
use gradus_kernels::running::{Line, Running};
use gradus_kernels::window::{Axis, Pooling};

use crate::graph::dtype::DType;
use crate::graph::shape::{MAX_RANK, Shape};
use crate::ops::{Combine, ConvPass, Op, Precision, Reduction, Rows, Rule};
use crate::plan::ir::Val;

/// Where the memory of a place is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Bank {
    /// Leaf number i of the run.
    Leaf(u32),
    /// Buffer number i of the plan, placed in the arena by the memory pass.
    Buffer(u32),
}

/// A stretch of elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Loc {
    pub(crate) bank: Bank,
    /// First element.
    pub(crate) start: usize,
    /// Number of elements.
    pub(crate) len: usize,
    pub(crate) dtype: DType,
}

/// A stretch of elements seen with strides (in elements, relative to `start`).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Strided {
    pub(crate) bank: Bank,
    pub(crate) offset: usize,
    pub(crate) strides: [isize; MAX_RANK],
    pub(crate) shape: Shape,
    pub(crate) dtype: DType,
}

/// One unit of work.
#[derive(Debug)]
pub(crate) enum Step {
    /// A fused element-wise program; an operand is `plain` where it is read only contiguously, so
    /// that an output may take its place.
    Map {
        program: Box<Compiled>,
        instrs: usize,
        dims: Shape,
        operands: Vec<Loc>,
        plain: Vec<bool>,
        outputs: Vec<Loc>,
    },
    /// Reductions of what a fused element-wise program computes, in one pass; bit `i` of `watch`
    /// says that result `i` must be finite.
    Reduce {
        kind: Reduction,
        program: Box<Compiled>,
        instrs: usize,
        dims: Shape,
        axes: u8,
        operands: Vec<Loc>,
        outs: Vec<Loc>,
        watch: u8,
    },
    /// Position of the extreme along the middle of `[outer, len, inner]`.
    ArgReduce { max: bool, outer: usize, len: usize, inner: usize, x: Loc, out: Loc },
    /// A copy of `x`, with elements of `source` combined into it at indices along `axis`.
    Scatter {
        how: Combine,
        whole: bool,
        shape: Shape,
        axis: u8,
        m: usize,
        x: Loc,
        index: Loc,
        source: Loc,
        out: Loc,
    },
    /// Indices, checked.
    Within { size: usize, negative: bool, x: Loc, out: Loc },
    /// The order of the elements of rows of `n`.
    Sort { descending: bool, n: usize, x: Loc, out: Loc },
    /// Where values (rows of `m`) go in sorted rows of `n`.
    Search { right: bool, n: usize, m: usize, sorted: Loc, values: Loc, out: Loc },
    /// The result so far along an axis.
    Scan { kind: Running, reverse: bool, line: Line, operands: Vec<Loc>, out: Loc },
    /// A window that slides over planes.
    /// With `channels`, that many planes lie between one another: channels last.
    Pool {
        kind: Pooling,
        axes: [Axis; 3],
        planes: usize,
        channels: Option<usize>,
        operands: Vec<Loc>,
        out: Loc,
    },
    /// A (batched) matrix product with its epilogue.
    Gemm(Box<GemmStep>),
    /// A convolution or one of its gradients.
    Conv {
        pass: ConvPass,
        geometry: Box<Geometry>,
        a: Loc,
        b: Loc,
        bias: Option<Loc>,
        activation: Activation,
        out: Loc,
    },
    /// A recurrent network, forward or backward, with memory to work in.
    Recurrent {
        walk: Walk,
        backward: bool,
        operands: Vec<Loc>,
        lengths: Option<Loc>,
        out: Loc,
        work: Loc,
    },
    /// Attention, forward or backward.
    Attention(Box<AttentionStep>),
    /// A kernel on rows.
    Rows { rows: Rows, outer: usize, n: usize, operands: Vec<Loc>, out: Loc },
    /// Strided source to contiguous destination.
    Copy { from: Strided, to: Loc },
    /// Zeros, then the source written at strided places (the adjoint of a slice).
    Unslice {
        from: Loc,
        shape: Shape,
        axis: usize,
        start: usize,
        step: isize,
        out_shape: Shape,
        out: Loc,
    },
    /// Parts one after another: each part is `[outer, size * inner]` of `[outer, total * inner]`.
    Concat { parts: Vec<(Loc, usize)>, outer: usize, out: Loc },
    /// Picking and placing by index: `shape` is the tensor's (or, for scatters, the result's).
    Indexing { op: Op, shape: Shape, index_shape: Shape, x: Loc, index: Loc, out: Loc },
    /// An operation run by the reference executor, or a user's own.
    Host {
        op: Op,
        operands: Vec<(Loc, Shape)>,
        out: Loc,
        shape: Shape,
        key: Option<u32>,
        number: Option<u32>,
    },
    /// Fails the run if a value is not finite.
    Watch { x: Loc },
}

/// A matrix product.
#[derive(Debug)]
pub(crate) struct GemmStep {
    pub(crate) precision: Precision,
    pub(crate) m: usize,
    pub(crate) k: usize,
    pub(crate) n: usize,
    pub(crate) a: Strided,
    pub(crate) a_strides: [usize; 2],
    pub(crate) b: Strided,
    pub(crate) b_strides: [usize; 2],
    pub(crate) batch: usize,
    pub(crate) a_batch: Vec<usize>,
    pub(crate) b_batch: Vec<usize>,
    pub(crate) bias: Option<Loc>,
    pub(crate) activation: Activation,
    pub(crate) watch: bool,
    pub(crate) out: Loc,
}

/// Attention over heads.
#[derive(Debug)]
pub(crate) struct AttentionStep {
    pub(crate) heads: Heads,
    /// Queries, keys and values.
    pub(crate) operands: [Strided; 3],
    pub(crate) mask: Option<Strided>,
    /// Of a backward pass: the tape, and the gradient of what is visible.
    pub(crate) backward: Option<[Loc; 2]>,
    pub(crate) out: Loc,
}

/// A step with the node that it computes last, for messages.
#[derive(Debug)]
pub(crate) struct PlanStep {
    pub(crate) step: Step,
    /// The node whose value the step makes.
    pub(crate) val: Val,
    /// The recorded node behind it.
    pub(crate) origin: u32,
}

/// Something that happens outside the graph, after every step has succeeded.
#[derive(Debug)]
pub(crate) enum Effect {
    /// Update call number `call` of the run; one gradient a member.
    Update { call: u32, rule: Rule, grads: Vec<Loc> },
    /// Buffer number `target` of the run becomes a value.
    Assign { target: u32, value: Loc, shape: Shape },
}

impl Step {
    /// Calls `f` with every place that is read.
    pub(crate) fn reads(&self, mut f: impl FnMut(Bank)) {
        match self {
            Step::Map { operands, .. }
            | Step::Reduce { operands, .. }
            | Step::Scan { operands, .. }
            | Step::Pool { operands, .. }
            | Step::Rows { operands, .. } => {
                operands.iter().for_each(|l| f(l.bank));
            }
            Step::ArgReduce { x, .. }
            | Step::Sort { x, .. }
            | Step::Within { x, .. }
            | Step::Watch { x } => f(x.bank),
            Step::Scatter { x, index, source, .. } => {
                [x, index, source].iter().for_each(|l| f(l.bank));
            }
            Step::Search { sorted, values, .. } => {
                f(sorted.bank);
                f(values.bank);
            }
            Step::Recurrent { operands, lengths, .. } => {
                operands.iter().chain(lengths).for_each(|l| f(l.bank));
            }
            Step::Gemm(g) => {
                f(g.a.bank);
                f(g.b.bank);
                if let Some(bias) = g.bias {
                    f(bias.bank);
                }
            }
            Step::Attention(a) => {
                a.operands.iter().chain(&a.mask).for_each(|s| f(s.bank));
                a.backward.iter().flatten().for_each(|l| f(l.bank));
            }
            Step::Conv { a, b, bias, .. } => {
                f(a.bank);
                f(b.bank);
                if let Some(bias) = bias {
                    f(bias.bank);
                }
            }
            Step::Copy { from, .. } => f(from.bank),
            Step::Unslice { from, .. } => f(from.bank),
            Step::Concat { parts, .. } => parts.iter().for_each(|(l, _)| f(l.bank)),
            Step::Indexing { x, index, .. } => {
                f(x.bank);
                f(index.bank);
            }
            Step::Host { operands, .. } => operands.iter().for_each(|(l, _)| f(l.bank)),
        }
    }

    /// Calls `f` with every place that is written.
    pub(crate) fn writes(&self, mut f: impl FnMut(Loc)) {
        match self {
            Step::Map { outputs: outs, .. } | Step::Reduce { outs, .. } => {
                outs.iter().for_each(|&l| f(l));
            }
            Step::ArgReduce { out, .. }
            | Step::Scan { out, .. }
            | Step::Pool { out, .. }
            | Step::Sort { out, .. }
            | Step::Scatter { out, .. }
            | Step::Within { out, .. }
            | Step::Search { out, .. }
            | Step::Conv { out, .. }
            | Step::Rows { out, .. }
            | Step::Copy { to: out, .. }
            | Step::Unslice { out, .. }
            | Step::Concat { out, .. }
            | Step::Indexing { out, .. }
            | Step::Host { out, .. } => f(*out),
            Step::Recurrent { out, work, .. } => {
                f(*out);
                f(*work);
            }
            Step::Gemm(g) => f(g.out),
            Step::Attention(a) => f(a.out),
            Step::Watch { .. } => {}
        }
    }
}

impl Strided {
    /// One past the last element of the base that is read.
    pub(crate) fn extent(&self) -> usize {
        if self.shape.numel() == 0 {
            return self.offset;
        }
        let mut last = self.offset as isize;
        for (&d, &s) in self.shape.dims().iter().zip(&self.strides) {
            last += (d as isize - 1) * s.max(0);
        }
        usize::try_from(last).unwrap_or(0) + 1
    }

    /// Whether the elements lie one after another.
    pub(crate) fn is_contiguous(&self) -> bool {
        let want = self.shape.strides();
        (0..self.shape.rank()).all(|i| self.shape.dim(i) == 1 || self.strides[i] == want[i])
    }
}
