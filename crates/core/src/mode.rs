//! How operations are recorded inside a closure: without gradients, for evaluation, eagerly.
//!
//! Modes are scoped, so none can be forgotten; they belong to the thread.

use crate::graph::recorder::{self, Mode};

/// Restores the mode when dropped, also when the closure panics.
struct Restore(Mode);

impl Drop for Restore {
    fn drop(&mut self) {
        recorder::with(|r| r.mode = self.0);
    }
}

fn with_mode<R>(change: impl FnOnce(&mut Mode), f: impl FnOnce() -> R) -> R {
    let _restore = recorder::with(|r| {
        let before = r.mode;
        change(&mut r.mode);
        Restore(before)
    });
    f()
}

/// Records without history: nothing in the closure has gradients.
///
/// ```
/// use gradus_core::{Tensor, no_grad};
/// let x = Tensor::from([1.0, 2.0]).with_grad();
/// assert!(!no_grad(|| &x * 2.0).requires_grad());
/// ```
pub fn no_grad<R>(f: impl FnOnce() -> R) -> R {
    with_mode(|m| m.grad = false, f)
}

/// Records with history, also inside [`no_grad`].
pub(crate) fn with_history<R>(f: impl FnOnce() -> R) -> R {
    with_mode(|m| m.grad = true, f)
}

/// Evaluation: no gradients, dropout off, normalisation by running statistics.
pub fn inference<R>(f: impl FnOnce() -> R) -> R {
    with_mode(
        |m| {
            m.grad = false;
            m.training = false;
        },
        f,
    )
}

/// Layers behave as in evaluation, and gradients flow: to train behind a layer whose statistics
/// stay as they are, or for the gradient of an input of a finished model.
///
/// ```
/// use gradus_core::{Tensor, evaluation, is_training};
/// let x = Tensor::from([1.0, 2.0]).with_grad();
/// let y = evaluation(|| if is_training() { x.clone() } else { &x * 3.0 });
/// assert_eq!(y.sum().grad(&x)?.to_vec::<f32>()?, [3.0, 3.0]);
/// # Ok::<(), gradus_core::Error>(())
/// ```
pub fn evaluation<R>(f: impl FnOnce() -> R) -> R {
    with_mode(|m| m.training = false, f)
}

/// Training mode again, inside an evaluation (Monte-Carlo dropout).
pub fn training<R>(f: impl FnOnce() -> R) -> R {
    with_mode(|m| m.training = true, f)
}

/// Whether layers behave as in training.
pub fn is_training() -> bool {
    recorder::with(|r| r.mode.training)
}

/// Runs each operation at once, by the same kernels and with the same bits: for debugging.
pub fn eager<R>(f: impl FnOnce() -> R) -> R {
    with_mode(|m| m.eager = true, f)
}
