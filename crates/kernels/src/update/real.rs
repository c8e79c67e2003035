//! The two float types that updates work on, and vectors of them.

use crate::map::copy_short;
use crate::memory::Element;
use std::ops::{Add, Div, Mul, Neg, Sub};

/// Elements of a vector.
pub(super) const LANES: usize = 16;

/// f32 or f64.
pub(super) trait Real:
    Element
    + Default
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + PartialOrd
{
    /// The nearest value of the type.
    fn of(x: f64) -> Self;
    /// `self * a + b`, fused where the level can.
    fn fma<const FMA: bool>(self, a: Self, b: Self) -> Self;
    /// The square root.
    fn root(self) -> Self;
    /// The larger; NaN if either is.
    fn larger(self, other: Self) -> Self;
    /// The smaller; NaN if either is.
    fn smaller(self, other: Self) -> Self;
    /// Without its sign.
    fn absolute(self) -> Self;
    /// -1, 0 or 1; NaN of NaN.
    fn signed(self) -> Self;
    /// Whether it lies between -1/2 and 1/2.
    fn less_than_half(self) -> bool;
    /// 0 for a subnormal.
    fn flushed(self) -> Self;

    /// The first `n <= 16` elements at `p`, zeros in the other lanes.
    ///
    /// # Safety
    /// `n` elements may be read at `p`.
    #[inline(always)]
    unsafe fn load(p: *const Self, n: usize) -> [Self; LANES] {
        if n == LANES {
            // SAFETY: all 16 may be read.
            return unsafe { p.cast::<[Self; LANES]>().read_unaligned() };
        }
        let mut v = [Self::default(); LANES];
        // SAFETY: n < 16 of them may be read, and the array is new.
        unsafe { copy_short(p, v.as_mut_ptr(), n) };
        v
    }

    /// Stores the first `n <= 16` lanes.
    ///
    /// # Safety
    /// `n` elements may be written at `p`.
    #[inline(always)]
    unsafe fn store(p: *mut Self, v: [Self; LANES], n: usize) {
        if n == LANES {
            // SAFETY: all 16 may be written.
            unsafe { p.cast::<[Self; LANES]>().write_unaligned(v) };
            return;
        }
        // SAFETY: n < 16 of them may be written, and the array is nobody else's.
        unsafe { copy_short(v.as_ptr(), p, n) };
    }
}

macro_rules! real {
    ($t:ty) => {
        impl Real for $t {
            #[inline(always)]
            fn of(x: f64) -> $t {
                x as $t
            }
            #[inline(always)]
            fn fma<const FMA: bool>(self, a: $t, b: $t) -> $t {
                if FMA { self.mul_add(a, b) } else { self * a + b }
            }
            #[inline(always)]
            fn root(self) -> $t {
                self.sqrt()
            }
            #[inline(always)]
            fn larger(self, other: $t) -> $t {
                if (other > self) | other.is_nan() { other } else { self }
            }
            #[inline(always)]
            fn smaller(self, other: $t) -> $t {
                if (other < self) | other.is_nan() { other } else { self }
            }
            #[inline(always)]
            fn absolute(self) -> $t {
                self.abs()
            }
            #[inline(always)]
            fn signed(self) -> $t {
                if self > 0.0 {
                    1.0
                } else if self < 0.0 {
                    -1.0
                } else {
                    self
                }
            }
            #[inline(always)]
            fn less_than_half(self) -> bool {
                self.abs() < 0.5
            }
            #[inline(always)]
            fn flushed(self) -> $t {
                if self.abs() < <$t>::MIN_POSITIVE { 0.0 } else { self }
            }
        }
    };
}
real!(f32);
real!(f64);
