//! What is minimised: the losses that a trainer knows by name, or any function.

use std::any::TypeId;
use std::fmt;
use std::sync::Arc;

use gradus_core::Tensor;

type LossFn = dyn Fn(&Tensor, &Tensor) -> Tensor + Send + Sync;

/// A loss: from a prediction and a target to one number, the mean over the batch.
///
/// Functions and closures convert, so `.loss(cross_entropy)` is the same as
/// `.loss(Loss::CrossEntropy)`. A loss that the trainer knows by name is checked against the data
/// before the first step.
///
/// ```
/// use gradus_core::Tensor;
/// use gradus_train::{Loss, cross_entropy};
///
/// assert_eq!(Loss::from(cross_entropy).name(), "cross_entropy");
/// let smooth = Loss::from(|p: &Tensor, t: &Tensor| ((p - t).square() + 1.0).sqrt().mean());
/// assert_eq!(smooth.name(), "custom");
/// let x = Tensor::from([1.0, 2.0]);
/// assert_eq!(smooth.compute(&x, &x).item()?, 1.0);
/// # Ok::<(), gradus_core::Error>(())
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub enum Loss {
    /// Cross-entropy of logits `[batch, classes]` with class ids `[batch]`.
    CrossEntropy,
    /// Mean squared error; prediction and target have the same shape.
    Mse,
    /// Mean absolute error; prediction and target have the same shape. Large errors count less than
    /// with [`Loss::Mse`].
    Mae,
    /// Huber's loss with a threshold of 1: squared (halved) up to it, linear beyond. For targets
    /// that are standardised, some of which are far off.
    Huber,
    /// Binary cross-entropy of logits; targets of the same shape are 0, 1 or probabilities.
    BceWithLogits,
    /// A function of the user's. It must give the mean over the batch, as a scalar.
    Custom(Arc<LossFn>),
}

impl Loss {
    /// All that have a name, in the order of messages.
    pub const NAMED: [Loss; 5] =
        [Loss::CrossEntropy, Loss::Mse, Loss::Mae, Loss::Huber, Loss::BceWithLogits];

    /// The name in reports and run folders.
    pub fn name(&self) -> &'static str {
        match self {
            Loss::CrossEntropy => "cross_entropy",
            Loss::Mse => "mse",
            Loss::Mae => "mae",
            Loss::Huber => "huber",
            Loss::BceWithLogits => "bce_with_logits",
            Loss::Custom(_) => "custom",
        }
    }

    /// The loss of that name; `None` for `custom`, which a name does not define.
    pub fn parse(name: &str) -> Option<Loss> {
        Loss::NAMED.into_iter().find(|l| l.name() == name)
    }

    /// The loss of a batch, a scalar.
    #[track_caller]
    pub fn compute(&self, prediction: &Tensor, target: &Tensor) -> Tensor {
        match self {
            Loss::CrossEntropy => prediction.cross_entropy(target),
            Loss::Mse => prediction.mse_loss(target),
            Loss::Mae => mae(prediction, target),
            Loss::Huber => huber(prediction, target),
            Loss::BceWithLogits => prediction.binary_cross_entropy_with_logits(target),
            Loss::Custom(f) => f(prediction, target),
        }
    }
}

impl fmt::Debug for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Loss({})", self.name())
    }
}

fn type_of<T: 'static>(_: T) -> TypeId {
    TypeId::of::<T>()
}

impl<F> From<F> for Loss
where
    F: Fn(&Tensor, &Tensor) -> Tensor + Send + Sync + 'static,
{
    /// A closure needs the types of its arguments: `|p: &Tensor, t: &Tensor| ..`.
    fn from(f: F) -> Loss {
        // Our own functions are recognised, so that their checks are made too.
        let own = TypeId::of::<F>();
        if own == type_of(cross_entropy) {
            Loss::CrossEntropy
        } else if own == type_of(mse) {
            Loss::Mse
        } else if own == type_of(mae) {
            Loss::Mae
        } else if own == type_of(huber) {
            Loss::Huber
        } else if own == type_of(bce_with_logits) {
            Loss::BceWithLogits
        } else {
            Loss::Custom(Arc::new(f))
        }
    }
}

/// Cross-entropy of logits `[batch, classes]` with class ids `[batch]`; see
/// [`Tensor::cross_entropy`].
#[track_caller]
pub fn cross_entropy(logits: &Tensor, target: &Tensor) -> Tensor {
    logits.cross_entropy(target)
}

/// Mean squared error; see [`Tensor::mse_loss`].
#[track_caller]
pub fn mse(prediction: &Tensor, target: &Tensor) -> Tensor {
    prediction.mse_loss(target)
}

/// Mean absolute error, `mean(|prediction - target|)`; a scalar. Shapes must be equal.
///
/// ```
/// use gradus_core::Tensor;
/// use gradus_train::mae;
/// assert_eq!(mae(&Tensor::from([1.0, 2.0]), &Tensor::from([1.0, 5.0])).item()?, 1.5);
/// # Ok::<(), gradus_core::Error>(())
/// ```
#[track_caller]
pub fn mae(prediction: &Tensor, target: &Tensor) -> Tensor {
    prediction.l1_loss(target)
}

/// Huber's loss with threshold 1: the mean of `d² / 2` where `d = |prediction - target|` is below 1,
/// of `d - 1/2` elsewhere. Shapes must be equal. Huber, 1964.
///
/// ```
/// use gradus_core::Tensor;
/// use gradus_train::huber;
/// assert_eq!(huber(&Tensor::from([0.5, 3.0]), &Tensor::from([0.0, 0.0])).item()?, 1.3125);
/// # Ok::<(), gradus_core::Error>(())
/// ```
#[track_caller]
pub fn huber(prediction: &Tensor, target: &Tensor) -> Tensor {
    prediction.huber_loss(target)
}

/// Binary cross-entropy of logits; see [`Tensor::binary_cross_entropy_with_logits`].
#[track_caller]
pub fn bce_with_logits(logits: &Tensor, target: &Tensor) -> Tensor {
    logits.binary_cross_entropy_with_logits(target)
}
