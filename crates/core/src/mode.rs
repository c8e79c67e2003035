//! How operations are recorded inside a closure: without gradients, for evaluation, eagerly.
//!
//! Modes are scoped, so none can be forgotten; they belong to the thread.

use crate::graph::recorder::{self, Mode};
use crate::ops::Precision;

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
            m.sampling = false;
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
    with_mode(
        |m| {
            m.training = false;
            m.sampling = false;
        },
        f,
    )
}

/// Evaluation with the noise of training: no gradients, normalisation by running statistics, but
/// dropout draws, from the inference stream, so that the numbers of a training do not change.
///
/// A model's results then are samples (Monte-Carlo dropout; Gal and Ghahramani, 2016).
///
/// ```
/// use gradus_core::{Tensor, is_training, sampling};
/// let x = Tensor::ones([100]);
/// let zeros = sampling(|| x.dropout(0.5)).eq(0.0).cast(gradus_core::DType::F32).sum().item()?;
/// assert!(zeros > 20.0 && zeros < 80.0);
/// assert!(!sampling(is_training));
/// # Ok::<(), gradus_core::Error>(())
/// ```
pub fn sampling<R>(f: impl FnOnce() -> R) -> R {
    with_mode(
        |m| {
            m.grad = false;
            m.training = false;
            m.sampling = true;
        },
        f,
    )
}

/// Whether it is a [`sampling`].
pub fn is_sampling() -> bool {
    recorder::with(|r| r.mode.sampling)
}

/// Training mode again, inside an evaluation. For dropout alone see [`sampling`].
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

/// Products of f32 round their operands first; with [`Precision::Bf16`], mixed precision: products of
/// matrices, convolutions, those of states and weight in recurrent layers, and those of attention.
///
/// What is recorded in the closure counts, and gradients of it are computed likewise, wherever they are asked
/// for. Parameters, results, sums and everything but products stay f32, so no scaling of the loss is needed:
/// bf16 has the exponents of f32. Products are up to twice as fast where the CPU multiplies pairs of bf16
/// (AVX512-BF16), and no faster elsewhere; depthwise convolutions are no faster anywhere.
///
/// PyTorch's `torch.autocast` hands on results in bf16 as well; here they stay f32, for accuracy.
///
/// ```
/// use gradus_core::{Precision, Tensor, autocast};
/// let (a, b) = (Tensor::from([[1.0 + 1.0 / 1024.0]]), Tensor::from([[1.0]]));
/// assert_eq!(a.matmul(&b).item()?, 1.0009765625);
/// assert_eq!(autocast(Precision::Bf16, || a.matmul(&b)).item()?, 1.0);
/// # Ok::<(), gradus_core::Error>(())
/// ```
pub fn autocast<R>(precision: Precision, f: impl FnOnce() -> R) -> R {
    with_mode(|m| m.precision = precision, f)
}
