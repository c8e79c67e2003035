//! A layer: a module from one tensor to one tensor.

use std::sync::{Arc, LazyLock};

use gradus_core::{Tag, Tensor, inference};

use crate::module::Module;
use crate::walk::stamp_if_new;

/// A module that maps one tensor to one tensor.
///
/// Modules with other inputs (recurrent state, several tensors) have a `forward` of their own.
///
/// ```
/// use gradus_core::Tensor;
/// use gradus_nn::{Layer, Linear, Module, ModuleExt};
///
/// #[derive(Module)]
/// struct Mlp {
///     l1: Linear,
///     l2: Linear,
/// }
///
/// impl Layer for Mlp {
///     fn forward(&self, x: &Tensor) -> Tensor {
///         self.l2.forward(&self.l1.forward(x).relu())
///     }
/// }
///
/// let model = Mlp { l1: Linear::new(4, 8), l2: Linear::new(8, 3) };
/// let logits = model.predict(&Tensor::zeros([5, 4]));
/// assert_eq!(logits.dims::<2>()?, [5, 3]);
/// # Ok::<(), gradus_core::Error>(())
/// ```
pub trait Layer: Module {
    /// The result for a batch, recorded for training.
    // Not `track_caller`: operations in a user's `forward` are to show their own lines.
    fn forward(&self, x: &Tensor) -> Tensor;

    /// The result in evaluation mode: no gradients, dropout off.
    #[track_caller]
    fn predict(&self, x: &Tensor) -> Tensor {
        // The scope keeps the caller's line, which the closure would lose.
        static TAG: LazyLock<Tag> = LazyLock::new(|| Tag::new("predict"));
        let _scope = TAG.enter();
        stamp_if_new(self);
        inference(|| self.forward(x))
    }
}

macro_rules! pointer {
    ($($t:ty),*) => {$(
        impl<L: Layer + ?Sized> Layer for $t {
            #[track_caller]
            fn forward(&self, x: &Tensor) -> Tensor {
                (**self).forward(x)
            }
        }
    )*};
}
pointer!(Box<L>, Arc<L>, &L);
