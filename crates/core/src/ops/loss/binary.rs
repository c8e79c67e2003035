//! Losses of yes or no.

use super::{Loss, Reduction, argument, either, matched, weighted};
use crate::ops::{Binary, Op};
use crate::tensor::Tensor;

/// Parameters of [`Tensor::binary_cross_entropy_with`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Bce<'a> {
    /// What each loss is multiplied with; broadcasts to the prediction.
    pub weight: Option<&'a Tensor>,
    /// How single losses become the result; the mean by default.
    pub reduction: Reduction,
}

/// Parameters of [`Tensor::binary_cross_entropy_with_logits_with`].
#[derive(Clone, Copy, Debug, Default)]
pub struct BceWithLogits<'a> {
    /// What each loss is multiplied with; broadcasts to the logits.
    pub weight: Option<&'a Tensor>,
    /// How much a target of 1 counts against one of 0, for rare events; broadcasts to the logits.
    pub pos_weight: Option<&'a Tensor>,
    /// How single losses become the result; the mean by default.
    pub reduction: Reduction,
}

/// Parameters of [`Tensor::sigmoid_focal_loss_with`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Focal {
    /// The weight of targets 1; targets 0 have `1 - alpha`. 0.25 by default; `None` weights none.
    pub alpha: Option<f64>,
    /// How fast easy examples count less; 2 by default, 0 is cross-entropy.
    pub gamma: f64,
    /// How single losses become the result; the mean by default.
    pub reduction: Reduction,
}

impl Default for Focal {
    fn default() -> Focal {
        Focal { alpha: Some(0.25), gamma: 2.0, reduction: Reduction::Mean }
    }
}

impl Tensor {
    /// Binary cross-entropy of logits, `mean(max(x, 0) - x y + log(1 + e^-|x|))`; a scalar.
    ///
    /// The sigmoid is inside, so it neither overflows nor loses digits. Targets are 0 or 1, or
    /// probabilities; the shapes must be equal.
    ///
    /// ```
    /// use gradus_core::Tensor;
    /// let loss = Tensor::from([0.0, 100.0]).binary_cross_entropy_with_logits(&Tensor::from([1, 1]));
    /// assert!((loss.item()? - 0.5 * 2f64.ln()).abs() < 1e-6);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    #[track_caller]
    #[must_use]
    pub fn binary_cross_entropy_with_logits(&self, target: &Tensor) -> Tensor {
        self.binary_cross_entropy_with_logits_with(target, BceWithLogits::default())
    }

    /// [`Tensor::binary_cross_entropy_with_logits`] with parameters.
    ///
    /// ```
    /// use gradus_core::{Tensor, ops::loss::BceWithLogits};
    /// let (x, y) = (Tensor::from([0.0, 0.0]), Tensor::from([1, 0]));
    /// let three = Tensor::from(3.0);
    /// let options = BceWithLogits { pos_weight: Some(&three), ..BceWithLogits::default() };
    /// let loss = x.binary_cross_entropy_with_logits_with(&y, options);
    /// assert!((loss.item()? - 2.0 * 2f64.ln()).abs() < 1e-6);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    #[track_caller]
    #[must_use]
    pub fn binary_cross_entropy_with_logits_with(
        &self,
        target: &Tensor,
        options: BceWithLogits<'_>,
    ) -> Tensor {
        either(with_logits(self, target, options))
    }

    /// Binary cross-entropy of probabilities, `-mean(y ln x + (1 - y) ln(1 - x))`; a scalar. The
    /// logarithms are at least -100, as in PyTorch, so that a sure mistake costs 100. Shapes must
    /// be equal.
    ///
    /// [`Tensor::binary_cross_entropy_with_logits`] is better where there are logits. A probability
    /// outside 0 to 1 gives NaN, which a step reports.
    ///
    /// ```
    /// use gradus_core::Tensor;
    /// let loss = Tensor::from([0.5, 0.0]).binary_cross_entropy(&Tensor::from([1, 1]));
    /// assert!((loss.item()? - 0.5 * (2f64.ln() + 100.0)).abs() < 1e-5);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    #[track_caller]
    #[must_use]
    pub fn binary_cross_entropy(&self, target: &Tensor) -> Tensor {
        self.binary_cross_entropy_with(target, Bce::default())
    }

    /// [`Tensor::binary_cross_entropy`] with parameters.
    #[track_caller]
    #[must_use]
    pub fn binary_cross_entropy_with(&self, target: &Tensor, options: Bce<'_>) -> Tensor {
        either(bce(self, target, options))
    }

    /// The focal loss of logits, `-a (1 - p)^2 ln p` where `p` is the probability of the right
    /// answer and `a` is 0.25 for targets 1 and 0.75 for targets 0; the mean, a scalar. Easy
    /// examples count little, which helps where most are easy (few objects, much background).
    /// Targets are 0 or 1; shapes must be equal.
    ///
    /// Source: Lin and others, *Focal loss for dense object detection*, 2017.
    ///
    /// ```
    /// use gradus_core::Tensor;
    /// let loss = Tensor::from([0.0, 0.0]).sigmoid_focal_loss(&Tensor::from([1, 0]));
    /// assert!((loss.item()? - 0.125 * 2f64.ln()).abs() < 1e-6);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    #[track_caller]
    #[must_use]
    pub fn sigmoid_focal_loss(&self, target: &Tensor) -> Tensor {
        self.sigmoid_focal_loss_with(target, Focal::default())
    }

    /// [`Tensor::sigmoid_focal_loss`] with parameters.
    ///
    /// # Errors
    /// [`Code::Argument`](crate::Code::Argument) when `gamma` is negative or `alpha` is not in 0 to 1.
    #[track_caller]
    #[must_use]
    pub fn sigmoid_focal_loss_with(&self, target: &Tensor, options: Focal) -> Tensor {
        either(focal(self, target, options))
    }
}

/// `max(x, 0) - x y + log(1 + e^-|x|)`, element by element.
#[track_caller]
pub(super) fn bce_of_logits(x: &Tensor, target: &Tensor) -> Tensor {
    x.apply(Op::Binary(Binary::BceLogits), &[target], None)
}

/// `ln(1 + e^x)`, element by element.
#[track_caller]
pub(super) fn softplus(x: &Tensor) -> Tensor {
    bce_of_logits(x, &Tensor::from(0.0).cast(x.peek().dtype))
}

#[track_caller]
fn with_logits(x: &Tensor, target: &Tensor, options: BceWithLogits<'_>) -> Loss {
    let what = "binary_cross_entropy_with_logits";
    let t = matched(what, x, target)?;
    let losses = match options.pos_weight {
        None => bce_of_logits(x, &t),
        Some(weight) => {
            // (1 - t) x + (1 + (w - 1) t) ln(1 + e^-x)
            let more = weighted(what, t.clone(), Some(weight))? - &t;
            (1.0 - &t) * x + (more + 1.0) * softplus(&-x)
        }
    };
    Ok(options.reduction.of(&weighted(what, losses, options.weight)?))
}

#[track_caller]
fn bce(x: &Tensor, target: &Tensor, options: Bce<'_>) -> Loss {
    let what = "binary_cross_entropy";
    let t = matched(what, x, target)?;
    // Chosen before the logarithm, so that the gradient there is 0 and not NaN.
    let least = (-100f64).exp();
    let (never, sure) = (x.abs().lt(least), (x - 1.0).abs().lt(least));
    let yes = never.where_(-100.0, never.where_(1.0, x).log());
    let no = sure.where_(-100.0, (-sure.where_(0.0, x)).log1p());
    let losses = (&t - 1.0) * no - &t * yes;
    Ok(options.reduction.of(&weighted(what, losses, options.weight)?))
}

#[track_caller]
fn focal(x: &Tensor, target: &Tensor, options: Focal) -> Loss {
    let what = "sigmoid_focal_loss";
    let t = matched(what, x, target)?;
    argument(what, options.gamma >= 0.0, "`gamma` must not be negative", options.gamma)?;
    let p = x.sigmoid();
    // The probability of the wrong answer.
    let wrong = &p * (1.0 - &t) + (1.0 - &p) * &t;
    let mut losses = bce_of_logits(x, &t) * wrong.pow(options.gamma);
    if let Some(alpha) = options.alpha {
        argument(what, (0.0..=1.0).contains(&alpha), "`alpha` must be in 0 to 1", alpha)?;
        losses = losses * (&t * (2.0 * alpha - 1.0) + (1.0 - alpha));
    }
    Ok(options.reduction.of(&losses))
}
