//! What a captured closure may return.

use crate::tensor::Tensor;

/// Results of a captured closure: nothing, a tensor, or several in a tuple, an array or a vector.
///
/// A Rust number would be the one of the call that was recorded, so it is none of them.
pub trait Outputs: Sized {
    /// Calls `f` with each tensor, in order.
    #[doc(hidden)]
    fn each(&self, f: &mut dyn FnMut(&Tensor));
    /// Makes the results from `count` tensors.
    #[doc(hidden)]
    fn make(count: usize, of: &mut dyn FnMut(usize) -> Tensor) -> Self;
}

impl Outputs for () {
    fn each(&self, _: &mut dyn FnMut(&Tensor)) {}
    fn make(_: usize, _: &mut dyn FnMut(usize) -> Tensor) {}
}

impl Outputs for Tensor {
    fn each(&self, f: &mut dyn FnMut(&Tensor)) {
        f(self);
    }
    fn make(_: usize, of: &mut dyn FnMut(usize) -> Tensor) -> Tensor {
        of(0)
    }
}

impl<const N: usize> Outputs for [Tensor; N] {
    fn each(&self, f: &mut dyn FnMut(&Tensor)) {
        self.iter().for_each(f);
    }
    fn make(_: usize, of: &mut dyn FnMut(usize) -> Tensor) -> [Tensor; N] {
        std::array::from_fn(of)
    }
}

impl Outputs for Vec<Tensor> {
    fn each(&self, f: &mut dyn FnMut(&Tensor)) {
        self.iter().for_each(f);
    }
    fn make(count: usize, of: &mut dyn FnMut(usize) -> Tensor) -> Vec<Tensor> {
        (0..count).map(of).collect()
    }
}

macro_rules! tuple {
    ($($i:tt $t:ident),*) => {
        impl Outputs for ($($t,)*) {
            fn each(&self, f: &mut dyn FnMut(&Tensor)) {
                $(f(&self.$i);)*
            }
            fn make(_: usize, of: &mut dyn FnMut(usize) -> Tensor) -> ($($t,)*) {
                ($(of($i),)*)
            }
        }
    };
}
tuple!(0 Tensor, 1 Tensor);
tuple!(0 Tensor, 1 Tensor, 2 Tensor);
tuple!(0 Tensor, 1 Tensor, 2 Tensor, 3 Tensor);
