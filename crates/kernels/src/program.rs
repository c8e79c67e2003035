//! The little programs that fused element-wise steps and reductions run, one block of lanes at a
//! time. A program is in single-assignment form: value `i` is `sources[i]` for the first values,
//! then the result of `instrs[i - sources.len()]`.

use crate::memory::Ty;

/// Dimensions of the highest rank a program iterates over.
pub const MAX_RANK: usize = 8;

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Source {
    /// Memory operand number `operand`; strides in elements, one an iteration axis (0 = broadcast).
    Operand {
        /// Index into the operands given at run time.
        operand: u16,
        /// Element type.
        ty: Ty,
        /// Offset of the first element, in elements.
        offset: usize,
        /// Step along each iteration axis, in elements; may be negative (a flipped axis).
        strides: [isize; MAX_RANK],
    },
    /// Run-time number `slot`, converted to `ty`.
    Slot {
        /// Index into the slots given at run time.
        slot: u16,
        /// Element type.
        ty: Ty,
    },
    /// A number that is part of the program.
    Const {
        /// The bits of the f64 value (so that programs can be compared and hashed).
        bits: u64,
        /// Element type.
        ty: Ty,
    },
    /// A random f32; its counter is the element's linear index in the iteration space.
    Random {
        /// Index into the random keys given at run time.
        key: u16,
        /// Which distribution.
        dist: Dist,
    },
    /// The i64 index of the element along an iteration axis.
    Index {
        /// Which axis.
        axis: u8,
    },
}

/// Distributions a program can draw from (f32).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dist {
    /// Uniform in [0, 1), 24 bits.
    Uniform,
    /// Standard normal (Box–Muller on two uniforms of the same counter).
    Normal,
}

/// Which random numbers: Philox4x32-10 with key `seed`; the counter is
/// (element / 4 as 64 bits, draw, stream), and lane `element % 4` of its output is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct RandomKey {
    /// The key.
    pub seed: u64,
    /// Which purpose the numbers serve (upper counter word).
    pub stream: u32,
    /// Number of the draw within the stream.
    pub draw: u32,
}

/// Operations on one value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs)] // the names are the documentation; formulas are in the op rows of the core
#[repr(u8)]
pub enum Unary {
    Neg,
    Abs,
    Sign,
    Square,
    Sqrt,
    Rsqrt,
    Recip,
    Exp,
    Expm1,
    Log,
    Log1p,
    Sin,
    Cos,
    Tanh,
    Sigmoid,
    Erf,
    Relu,
    Gelu,
    GeluTanh,
    Floor,
    Ceil,
    Round,
    Trunc,
    Not,
    IsFinite,
    IsNan,
    /// Whether the sign is minus; never for NaN, whose sign depends on the instructions that made it.
    SignBit,
    Tan,
    Asin,
    Acos,
    Atan,
    Sinh,
    Cosh,
    Asinh,
    Acosh,
    Atanh,
    Exp2,
    Log2,
    Log10,
    Erfc,
    Erfcx,
    Erfinv,
    Lgamma,
    Digamma,
    I0,
    I1,
}

/// Operations on two values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs)]
#[repr(u8)]
pub enum Binary {
    Add,
    Sub,
    Mul,
    Div,
    Pow,
    Max,
    Min,
    Remainder,
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
    And,
    Or,
    Xor,
    /// `max(x, 0) - x * y + log1p(exp(-|x|))`: binary cross-entropy of logit x with target y.
    BceLogits,
    Atan2,
    Hypot,
    Fmod,
    FloorDivide,
    LogAddExp,
    /// Derivative number `x` of digamma at `y`.
    Polygamma,
    ShiftLeft,
    ShiftRight,
}

/// Operations on three values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Ternary {
    /// `a ? b : c`, a boolean.
    Where,
    /// `min(max(a, b), c)`, NaN if any is NaN.
    Clamp,
}

/// One instruction; operands are value numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Instr {
    /// One operand.
    Unary(Unary, u16),
    /// Two operands of one type.
    Binary(Binary, u16, u16),
    /// Three operands.
    Ternary(Ternary, u16, u16, u16),
    /// Conversion to another type: floats to integers truncate and saturate (NaN gives 0), anything
    /// to bool is `!= 0` (NaN is true).
    Cast(Ty, u16),
}

/// A program over an iteration space.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Program {
    /// The first values.
    pub sources: Vec<Source>,
    /// The others, each using only earlier ones.
    pub instrs: Vec<Instr>,
    /// The values that are written, one an output; may repeat.
    pub results: Vec<u16>,
}
