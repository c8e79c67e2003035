//! Element types and the Rust types that stand for them.

use std::fmt;

use gradus_kernels::memory::{Element, Truth, Ty};
use half::{bf16, f16};

/// The type of a tensor's elements.
///
/// | type | for | arithmetic |
/// |---|---|---|
/// | `F32` | real numbers, the default | yes |
/// | `F64` | real numbers, twice the digits: gradient checks, statistics | yes |
/// | `I64` | integers: class ids, indices | yes, wraps |
/// | `I32` | integers | yes, wraps |
/// | `U8` | bytes: pixels | yes, wraps |
/// | `Bool` | truth values: masks | logical |
/// | `BF16` | real numbers in two bytes, with the range of f32 and 8 bits of precision | no: storage |
/// | `F16` | real numbers in two bytes, up to 65504 with 11 bits of precision | no: storage |
///
/// Storage types are created, cast, moved, indexed, printed and saved; to compute with them,
/// `cast(DType::F32)` first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DType {
    /// 32-bit float: the default for real numbers.
    F32,
    /// 64-bit float.
    F64,
    /// 64-bit signed integer: class ids, indices.
    I64,
    /// 32-bit signed integer.
    I32,
    /// 8-bit unsigned integer: pixels.
    U8,
    /// Truth value: masks.
    Bool,
    /// 16-bit float, the upper half of an f32 (bfloat16); storage only.
    BF16,
    /// 16-bit float (IEEE 754 binary16); storage only.
    F16,
}

impl DType {
    /// All of them.
    pub const ALL: [DType; 8] = [
        DType::F32,
        DType::F64,
        DType::I64,
        DType::I32,
        DType::U8,
        DType::Bool,
        DType::BF16,
        DType::F16,
    ];

    /// Bytes an element.
    pub const fn size(self) -> usize {
        self.ty().size()
    }

    /// Whether arithmetic with real numbers runs in it: f32 and f64.
    pub const fn is_float(self) -> bool {
        matches!(self, DType::F32 | DType::F64)
    }

    /// Whether it holds real numbers, also as storage; gradients pass through these.
    pub const fn is_real(self) -> bool {
        matches!(self, DType::F32 | DType::F64 | DType::BF16 | DType::F16)
    }

    /// Whether it is an integer type: i64, i32, u8.
    pub const fn is_int(self) -> bool {
        matches!(self, DType::I64 | DType::I32 | DType::U8)
    }

    /// Whether it is a type of real numbers without arithmetic: bf16, f16.
    pub const fn is_storage(self) -> bool {
        matches!(self, DType::BF16 | DType::F16)
    }

    /// The kernels' tag.
    pub const fn ty(self) -> Ty {
        match self {
            DType::F32 => Ty::F32,
            DType::F64 => Ty::F64,
            DType::I64 => Ty::I64,
            DType::I32 => Ty::I32,
            DType::U8 => Ty::U8,
            DType::Bool => Ty::Bool,
            DType::BF16 => Ty::BF16,
            DType::F16 => Ty::F16,
        }
    }

    /// The type of a kernels' tag.
    pub(crate) const fn of(ty: Ty) -> DType {
        match ty {
            Ty::F32 => DType::F32,
            Ty::F64 => DType::F64,
            Ty::I64 => DType::I64,
            Ty::I32 => DType::I32,
            Ty::U8 => DType::U8,
            Ty::Bool => DType::Bool,
            Ty::BF16 => DType::BF16,
            Ty::F16 => DType::F16,
        }
    }

    /// The type that arithmetic on the two gives, as in PyTorch: bool < u8 < i32 < i64 < bf16, f16 <
    /// f32 < f64; bf16 with f16 gives f32.
    pub fn promote(self, other: DType) -> DType {
        let rank = |d| match d {
            DType::Bool => 0,
            DType::U8 => 1,
            DType::I32 => 2,
            DType::I64 => 3,
            DType::BF16 | DType::F16 => 4,
            DType::F32 => 5,
            DType::F64 => 6,
        };
        match rank(self).cmp(&rank(other)) {
            std::cmp::Ordering::Greater => self,
            std::cmp::Ordering::Less => other,
            std::cmp::Ordering::Equal if self == other => self,
            std::cmp::Ordering::Equal => DType::F32,
        }
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DType::F32 => "f32",
            DType::F64 => "f64",
            DType::I64 => "i64",
            DType::I32 => "i32",
            DType::U8 => "u8",
            DType::Bool => "bool",
            DType::BF16 => "bf16",
            DType::F16 => "f16",
        })
    }
}

/// A Rust type whose values an [`Array`](crate::Array) can hold: `f32`, `f64`, `i64`, `i32`, `u8`,
/// `bool`, and `bf16` and `f16` of the crate `half`.
pub trait Scalar: Copy + fmt::Debug + Send + Sync + 'static {
    /// The element type.
    const DTYPE: DType;
    /// How it lies in memory (`bool` as a [`Truth`]).
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
plain!(f32 => F32, f64 => F64, i64 => I64, i32 => I32, u8 => U8, bf16 => BF16, f16 => F16);

impl Scalar for bool {
    const DTYPE: DType = DType::Bool;
    type Repr = Truth;
    fn to_repr(self) -> Truth {
        Truth::from(self)
    }
    fn from_repr(repr: Truth) -> bool {
        repr.is_true()
    }
}

/// `with_element!(dtype, T => expression)`: the expression with `T` as the type in memory.
macro_rules! with_element {
    ($dtype:expr, $T:ident => $e:expr) => {
        match $dtype {
            $crate::graph::dtype::DType::F32 => {
                type $T = f32;
                $e
            }
            $crate::graph::dtype::DType::F64 => {
                type $T = f64;
                $e
            }
            $crate::graph::dtype::DType::I64 => {
                type $T = i64;
                $e
            }
            $crate::graph::dtype::DType::I32 => {
                type $T = i32;
                $e
            }
            $crate::graph::dtype::DType::U8 => {
                type $T = u8;
                $e
            }
            $crate::graph::dtype::DType::Bool => {
                type $T = gradus_kernels::memory::Truth;
                $e
            }
            $crate::graph::dtype::DType::BF16 => {
                type $T = half::bf16;
                $e
            }
            $crate::graph::dtype::DType::F16 => {
                type $T = half::f16;
                $e
            }
        }
    };
}
pub(crate) use with_element;
