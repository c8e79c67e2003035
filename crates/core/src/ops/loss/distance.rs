//! Losses of real numbers: squared, absolute, and between.

use super::{Loss, Reduction, argument, either, matched};
use crate::tensor::Tensor;

/// Parameters of [`Tensor::huber_loss_with`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Huber {
    /// Where squared becomes linear; 1 by default, must be positive.
    pub delta: f64,
    /// How single losses become the result; the mean by default.
    pub reduction: Reduction,
}

impl Default for Huber {
    fn default() -> Huber {
        Huber { delta: 1.0, reduction: Reduction::Mean }
    }
}

/// Parameters of [`Tensor::smooth_l1_loss_with`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SmoothL1 {
    /// Where squared becomes linear; 1 by default, 0 makes it [`Tensor::l1_loss`].
    pub beta: f64,
    /// How single losses become the result; the mean by default.
    pub reduction: Reduction,
}

impl Default for SmoothL1 {
    fn default() -> SmoothL1 {
        SmoothL1 { beta: 1.0, reduction: Reduction::Mean }
    }
}

impl Tensor {
    /// Mean squared error, `mean((self - target)^2)`; a scalar. Shapes must be equal.
    ///
    /// ```
    /// use gradus_core::Tensor;
    /// let loss = Tensor::from([1.0, 2.0]).mse_loss(&Tensor::from([1.0, 4.0]));
    /// assert_eq!(loss.item()?, 2.0);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    #[track_caller]
    #[must_use]
    pub fn mse_loss(&self, target: &Tensor) -> Tensor {
        self.mse_loss_with(target, Reduction::Mean)
    }

    /// [`Tensor::mse_loss`] with another reduction.
    #[track_caller]
    #[must_use]
    pub fn mse_loss_with(&self, target: &Tensor, reduction: Reduction) -> Tensor {
        match matched("mse_loss", self, target) {
            Ok(target) => reduction.of(&(self - target).square()),
            Err(failed) => failed,
        }
    }

    /// Half the mean squared error, `mean((self - target)^2) / 2`; a scalar. Its gradient is the
    /// difference itself. Shapes must be equal.
    ///
    /// ```
    /// use gradus_core::Tensor;
    /// let loss = Tensor::from([1.0, 2.0]).half_mse_loss(&Tensor::from([1.0, 4.0]));
    /// assert_eq!(loss.item()?, 1.0);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    #[track_caller]
    #[must_use]
    pub fn half_mse_loss(&self, target: &Tensor) -> Tensor {
        self.half_mse_loss_with(target, Reduction::Mean)
    }

    /// [`Tensor::half_mse_loss`] with another reduction.
    #[track_caller]
    #[must_use]
    pub fn half_mse_loss_with(&self, target: &Tensor, reduction: Reduction) -> Tensor {
        match matched("half_mse_loss", self, target) {
            Ok(target) => reduction.of(&((self - target).square() * 0.5)),
            Err(failed) => failed,
        }
    }

    /// Mean absolute error, `mean(|self - target|)`; a scalar. Shapes must be equal. The gradient
    /// is 0 where both are equal.
    ///
    /// ```
    /// use gradus_core::Tensor;
    /// let loss = Tensor::from([1.0, 2.0]).l1_loss(&Tensor::from([1.0, 4.0]));
    /// assert_eq!(loss.item()?, 1.0);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    #[track_caller]
    #[must_use]
    pub fn l1_loss(&self, target: &Tensor) -> Tensor {
        self.l1_loss_with(target, Reduction::Mean)
    }

    /// [`Tensor::l1_loss`] with another reduction.
    #[track_caller]
    #[must_use]
    pub fn l1_loss_with(&self, target: &Tensor, reduction: Reduction) -> Tensor {
        match matched("l1_loss", self, target) {
            Ok(target) => reduction.of(&(self - target).abs()),
            Err(failed) => failed,
        }
    }

    /// Huber's loss with threshold 1; a scalar. With `d = |self - target|` it is the mean of
    /// `d^2 / 2` where `d < 1` and of `d - 1/2` elsewhere: squared near, linear far, so that a few
    /// targets that are far off do not decide everything. Shapes must be equal.
    ///
    /// Source: Huber, *Robust estimation of a location parameter*, 1964.
    ///
    /// ```
    /// use gradus_core::Tensor;
    /// let loss = Tensor::from([0.5, 3.0]).huber_loss(&Tensor::from([0.0, 0.0]));
    /// assert_eq!(loss.item()?, 1.3125);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    #[track_caller]
    #[must_use]
    pub fn huber_loss(&self, target: &Tensor) -> Tensor {
        self.huber_loss_with(target, Huber::default())
    }

    /// [`Tensor::huber_loss`] with parameters: `d^2 / 2` where `d < delta`, elsewhere
    /// `delta (d - delta / 2)`.
    ///
    /// # Errors
    /// [`Code::Argument`](crate::Code::Argument) when `delta` is not positive.
    ///
    /// ```
    /// use gradus_core::{Tensor, ops::loss::{Huber, Reduction}};
    /// let options = Huber { delta: 2.0, reduction: Reduction::Sum };
    /// let loss = Tensor::from([1.0, 4.0]).huber_loss_with(&Tensor::from([0.0, 0.0]), options);
    /// assert_eq!(loss.item()?, 6.5);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    #[track_caller]
    #[must_use]
    pub fn huber_loss_with(&self, target: &Tensor, options: Huber) -> Tensor {
        either(huber(self, target, options))
    }

    /// Huber's loss divided by its threshold, which is 1 here; a scalar. Far from the target it
    /// is the absolute error less a constant. Shapes must be equal.
    ///
    /// Source: Girshick, *Fast R-CNN*, 2015.
    ///
    /// ```
    /// use gradus_core::Tensor;
    /// let loss = Tensor::from([0.5, 3.0]).smooth_l1_loss(&Tensor::from([0.0, 0.0]));
    /// assert_eq!(loss.item()?, 1.3125);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    #[track_caller]
    #[must_use]
    pub fn smooth_l1_loss(&self, target: &Tensor) -> Tensor {
        self.smooth_l1_loss_with(target, SmoothL1::default())
    }

    /// [`Tensor::smooth_l1_loss`] with parameters: `d^2 / (2 beta)` where `d < beta`, elsewhere
    /// `d - beta / 2`.
    ///
    /// # Errors
    /// [`Code::Argument`](crate::Code::Argument) when `beta` is negative.
    #[track_caller]
    #[must_use]
    pub fn smooth_l1_loss_with(&self, target: &Tensor, options: SmoothL1) -> Tensor {
        either(smooth_l1(self, target, options))
    }
}

/// `d^2 / 2` where `d` is below a threshold, linear beyond.
#[track_caller]
fn bent(d: &Tensor, threshold: f64) -> Tensor {
    let near = d.minimum(threshold);
    &near * (d - &near * 0.5)
}

#[track_caller]
fn huber(x: &Tensor, target: &Tensor, options: Huber) -> Loss {
    let what = "huber_loss";
    let target = matched(what, x, target)?;
    argument(what, options.delta > 0.0, "`delta` must be positive", options.delta)?;
    Ok(options.reduction.of(&bent(&(x - target).abs(), options.delta)))
}

#[track_caller]
fn smooth_l1(x: &Tensor, target: &Tensor, options: SmoothL1) -> Loss {
    let what = "smooth_l1_loss";
    let target = matched(what, x, target)?;
    argument(what, options.beta >= 0.0, "`beta` must not be negative", options.beta)?;
    let d = (x - target).abs();
    let losses = if options.beta == 0.0 { d } else { bent(&d, options.beta) / options.beta };
    Ok(options.reduction.of(&losses))
}
