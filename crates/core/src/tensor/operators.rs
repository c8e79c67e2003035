//! `+ - * / %`, unary minus, `& | ^ !`, for tensors, parameters and numbers in any order.

use super::Tensor;
use super::operand::{Arg, Operand, binary};
use crate::ops::{Binary, Op, Unary};
use crate::param::Param;

macro_rules! operator {
    ($($Trait:ident $method:ident $op:ident),*) => {$(
        impl<R: Operand> std::ops::$Trait<R> for &Tensor {
            type Output = Tensor;
            #[track_caller]
            #[inline]
            fn $method(self, right: R) -> Tensor {
                binary(Binary::$op, self.arg(), right.arg())
            }
        }
        impl<R: Operand> std::ops::$Trait<R> for Tensor {
            type Output = Tensor;
            #[track_caller]
            #[inline]
            fn $method(self, right: R) -> Tensor {
                binary(Binary::$op, Arg::Owned(self), right.arg())
            }
        }
        impl<R: Operand> std::ops::$Trait<R> for &Param {
            type Output = Tensor;
            #[track_caller]
            fn $method(self, right: R) -> Tensor {
                binary(Binary::$op, self.arg(), right.arg())
            }
        }
        // One float and one integer type only: with more, a literal on the left (`1.0 - &x`) would
        // have no type until something else gives it one, and `(1.0 - &x).square()` not compile.
        operator!(@number $Trait $method $op: f64, i64);
    )*};
    (@number $Trait:ident $method:ident $op:ident: $($t:ty),*) => {$(
        impl std::ops::$Trait<Tensor> for $t {
            type Output = Tensor;
            #[track_caller]
            fn $method(self, right: Tensor) -> Tensor {
                binary(Binary::$op, self.arg(), Arg::Owned(right))
            }
        }
        impl std::ops::$Trait<&Tensor> for $t {
            type Output = Tensor;
            #[track_caller]
            fn $method(self, right: &Tensor) -> Tensor {
                binary(Binary::$op, self.arg(), right.arg())
            }
        }
        impl std::ops::$Trait<&Param> for $t {
            type Output = Tensor;
            #[track_caller]
            fn $method(self, right: &Param) -> Tensor {
                binary(Binary::$op, self.arg(), right.arg())
            }
        }
    )*};
}
operator!(Add add Add, Sub sub Sub, Mul mul Mul, Div div Div, Rem rem Remainder);

macro_rules! logical {
    ($($Trait:ident $method:ident $op:ident),*) => {$(
        impl std::ops::$Trait<&Tensor> for &Tensor {
            type Output = Tensor;
            #[track_caller]
            fn $method(self, right: &Tensor) -> Tensor {
                binary(Binary::$op, self.arg(), right.arg())
            }
        }
        impl std::ops::$Trait<Tensor> for Tensor {
            type Output = Tensor;
            #[track_caller]
            fn $method(self, right: Tensor) -> Tensor {
                binary(Binary::$op, Arg::Owned(self), Arg::Owned(right))
            }
        }
    )*};
}
logical!(BitAnd bitand And, BitOr bitor Or, BitXor bitxor Xor);

macro_rules! unary_operator {
    ($($Trait:ident $method:ident $op:ident),*) => {$(
        impl std::ops::$Trait for &Tensor {
            type Output = Tensor;
            #[track_caller]
            fn $method(self) -> Tensor {
                self.apply(Op::Unary(Unary::$op), &[], None)
            }
        }
        impl std::ops::$Trait for Tensor {
            type Output = Tensor;
            #[track_caller]
            fn $method(self) -> Tensor {
                self.apply(Op::Unary(Unary::$op), &[], None)
            }
        }
    )*};
}
unary_operator!(Neg neg Neg, Not not Not);
