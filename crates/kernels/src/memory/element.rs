//! The types of elements that memory can hold.

use half::{bf16, f16};

/// The type of the elements in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Ty {
    /// 32-bit float.
    F32,
    /// 64-bit float.
    F64,
    /// 64-bit signed integer.
    I64,
    /// 32-bit signed integer.
    I32,
    /// 8-bit unsigned integer.
    U8,
    /// One byte, 0 or 1.
    Bool,
    /// The upper half of an f32; storage only.
    BF16,
    /// IEEE 754 binary16; storage only.
    F16,
}

impl Ty {
    /// Bytes an element.
    #[inline]
    pub const fn size(self) -> usize {
        match self {
            Ty::F64 | Ty::I64 => 8,
            Ty::F32 | Ty::I32 => 4,
            Ty::BF16 | Ty::F16 => 2,
            Ty::U8 | Ty::Bool => 1,
        }
    }
}

/// A truth value in memory: 0 is false, anything else is true; kernels write 0 and 1.
///
/// Rust's `bool` cannot be it, because recycled memory holds any byte.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct Truth(pub u8);

impl From<bool> for Truth {
    #[inline(always)]
    fn from(value: bool) -> Truth {
        Truth(value as u8)
    }
}

impl Truth {
    /// Bytes as truth values.
    pub fn of(bytes: &[u8]) -> &[Truth] {
        // SAFETY: a truth value is a byte, and every byte is one.
        unsafe { std::slice::from_raw_parts(bytes.as_ptr().cast(), bytes.len()) }
    }

    /// Bytes as truth values, to write.
    pub fn of_mut(bytes: &mut [u8]) -> &mut [Truth] {
        // SAFETY: as in `of`.
        unsafe { std::slice::from_raw_parts_mut(bytes.as_mut_ptr().cast(), bytes.len()) }
    }

    /// Whether it is true.
    #[inline(always)]
    pub fn is_true(self) -> bool {
        self.0 != 0
    }
}

mod sealed {
    pub trait Sealed {}
}

/// A Rust type that memory can hold. Every pattern of bits is a value of each.
pub trait Element: Copy + Default + Send + Sync + 'static + sealed::Sealed {
    /// Its tag.
    const TY: Ty;
}
macro_rules! element {
    ($($t:ty => $ty:ident),*) => {$(
        impl sealed::Sealed for $t {}
        impl Element for $t { const TY: Ty = Ty::$ty; }
    )*};
}
element!(f32 => F32, f64 => F64, i64 => I64, i32 => I32, u8 => U8, Truth => Bool, bf16 => BF16,
    f16 => F16);
