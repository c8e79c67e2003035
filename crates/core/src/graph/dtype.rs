//! Element types and the Rust types that stand for them.

use std::fmt;

use gradus_kernels::memory::{Element, Ty};

/// The type of a tensor's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DType {
    /// 32-bit float: the default for real numbers.
    F32,
    /// 64-bit float: gradient checks; runs on the obvious, slow kernels.
    F64,
    /// 64-bit signed integer: class ids, indices.
    I64,
    /// Truth value: masks.
    Bool,
}

impl DType {
    /// All of them.
    pub const ALL: [DType; 4] = [DType::F32, DType::F64, DType::I64, DType::Bool];

    /// Bytes an element.
    pub const fn size(self) -> usize {
        self.ty().size()
    }

    /// Whether it is a real-number type, which can carry gradients.
    pub const fn is_float(self) -> bool {
        matches!(self, DType::F32 | DType::F64)
    }

    /// The kernels' tag.
    pub const fn ty(self) -> Ty {
        match self {
            DType::F32 => Ty::F32,
            DType::F64 => Ty::F64,
            DType::I64 => Ty::I64,
            DType::Bool => Ty::Bool,
        }
    }

    /// The type that arithmetic on the two gives, as in PyTorch: bool < i64 < f32 < f64.
    pub fn promote(self, other: DType) -> DType {
        let rank = |d| match d {
            DType::Bool => 0,
            DType::I64 => 1,
            DType::F32 => 2,
            DType::F64 => 3,
        };
        if rank(self) >= rank(other) { self } else { other }
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DType::F32 => "f32",
            DType::F64 => "f64",
            DType::I64 => "i64",
            DType::Bool => "bool",
        })
    }
}

/// A Rust type whose values an [`Array`](crate::Array) can hold: `f32`, `f64`, `i64`, `bool`.
pub trait Scalar: Copy + fmt::Debug + Send + Sync + 'static {
    /// The element type.
    const DTYPE: DType;
    /// How it lies in memory (`bool` is a `u8`, 0 or 1).
    type Repr: Element;
    /// To memory.
    fn to_repr(self) -> Self::Repr;
    /// From memory.
    fn from_repr(repr: Self::Repr) -> Self;
}

macro_rules! plain {
    ($($t:ty => $d:ident),*) => {$(
        impl Scalar for $t {
            const DTYPE: DType = DType::$d;
            type Repr = $t;
            #[inline]
            fn to_repr(self) -> $t { self }
            #[inline]
            fn from_repr(repr: $t) -> $t { repr }
        }
    )*};
}
plain!(f32 => F32, f64 => F64, i64 => I64);

impl Scalar for bool {
    const DTYPE: DType = DType::Bool;
    type Repr = u8;
    fn to_repr(self) -> u8 {
        u8::from(self)
    }
    fn from_repr(repr: u8) -> bool {
        repr != 0
    }
}
