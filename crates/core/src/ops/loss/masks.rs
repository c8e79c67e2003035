//! Leaving elements or samples out of any loss, or letting some count more.

use super::{Loss, either, sound, wrong_shapes};
use crate::error::{Code, Error};
use crate::graph::dtype::DType;
use crate::graph::recorder;
use crate::tensor::Tensor;
use std::panic::Location;

impl Tensor {
    /// The mean of the elements where a mask is true; a scalar. With [`Reduction::None`] it takes
    /// elements or samples out of any loss: padding, missing targets, regions of no interest.
    ///
    /// The mask is bool and broadcasts to this tensor: `[batch, 1]` keeps or drops samples. Where it
    /// is false, values do not count and gradients are 0, also of values that are infinite. What a
    /// *target* of NaN gave is NaN in the gradient too, so give missing targets a number first:
    /// `y.nan_to_num(0.0, 0.0, 0.0)` with the mask `!y.is_nan()`. A mask without a true element gives
    /// NaN, as the mean of nothing does.
    ///
    /// [`Reduction::None`]: super::Reduction::None
    ///
    /// # Errors
    /// [`Code::DType`] when the mask is not bool, [`Code::Shape`] when it does not broadcast to this.
    ///
    /// ```
    /// use gradus_core::{Tensor, ops::loss::Reduction};
    /// let (x, y) = (Tensor::from([1.0, 2.0, 3.0]), Tensor::from([0.0, 9.0, 5.0]));
    /// let losses = x.mse_loss_with(&y, Reduction::None);
    /// let known = Tensor::from([true, false, true]);
    /// assert_eq!(losses.masked_mean(&known).item()?, 2.5);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    #[track_caller]
    #[must_use]
    pub fn masked_mean(&self, mask: &Tensor) -> Tensor {
        either(masked(self, mask))
    }

    /// The mean of the elements, each counting as a weight says: `sum(w x) / sum(w)`; a scalar. With
    /// [`Reduction::None`] it weighs elements or samples in any loss.
    ///
    /// Weights broadcast to this tensor: `[batch, 1]` weighs samples. A weight of 0 leaves a finite
    /// element out; [`Tensor::masked_mean`] leaves any out. Losses that have a `weight` of their own
    /// divide by the number of elements instead.
    ///
    /// [`Reduction::None`]: super::Reduction::None
    ///
    /// # Errors
    /// [`Code::Shape`] when the weights do not broadcast to this.
    ///
    /// ```
    /// use gradus_core::Tensor;
    /// let losses = Tensor::from([1.0, 2.0, 3.0]);
    /// assert_eq!(losses.weighted_mean(&Tensor::from([1.0, 0.0, 3.0])).item()?, 2.5);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    #[track_caller]
    #[must_use]
    pub fn weighted_mean(&self, weights: &Tensor) -> Tensor {
        either(weighed(self, weights))
    }
}

/// What says how much each element counts, if it broadcasts to them.
#[track_caller]
fn broadcast(what: &str, name: &str, x: &Tensor, of: &Tensor) -> Loss {
    let (shape, from) = (x.peek().shape, of.peek().shape);
    if from.broadcast(&shape) == Some(shape) {
        return Ok(of.broadcast_to(shape));
    }
    let title = format!("{what}: {name} {from} does not broadcast to {shape}");
    Err(wrong_shapes(title, "`unsqueeze(-1)` makes one for each sample, `[batch]`, fit"))
}

#[track_caller]
fn masked(x: &Tensor, mask: &Tensor) -> Loss {
    let what = "masked_mean";
    sound(what, &[x, mask])?;
    let dtype = mask.peek().dtype;
    if dtype != DType::Bool {
        let error = Error::new(Code::DType, format!("{what}: a mask is bool, not {dtype}"));
        let help = "`mask.ne(0)` makes it one; `weighted_mean` takes numbers";
        return Err(recorder::failed(error.help(help), Location::caller()));
    }
    let mask = broadcast(what, "mask", x, mask)?;
    // Counts of f32 are exact up to 2^24; beyond, they are as good as the sum they divide.
    let count = mask.cast(x.peek().dtype).sum();
    Ok(mask.where_(x, 0.0).sum() / count)
}

#[track_caller]
fn weighed(x: &Tensor, weights: &Tensor) -> Loss {
    let what = "weighted_mean";
    sound(what, &[x, weights])?;
    let weights = broadcast(what, "weights", x, &weights.cast(x.peek().dtype))?;
    Ok((x * &weights).sum() / weights.sum())
}

#[cfg(test)]
mod tests {
    use super::super::Reduction;
    use super::*;

    /// A loss with holes in its targets is the loss of the rest, and so is its gradient.
    #[test]
    fn missing_targets_do_not_count() {
        let x = Tensor::from([1.0, 2.0, 3.0]).with_grad();
        let y = Tensor::from([0.0, f64::NAN, 5.0]).cast(DType::F32);
        let filled = y.nan_to_num(0.0, 0.0, 0.0);
        let loss = x.mse_loss_with(&filled, Reduction::None).masked_mean(&!y.is_nan());
        let gradient = loss.grad(&x).unwrap().to_vec::<f32>().unwrap();
        assert_eq!(loss.item().unwrap(), 2.5);
        assert_eq!(gradient, [1.0, 0.0, -2.0]);
    }

    #[test]
    fn infinite_losses_that_are_masked_have_no_gradient() {
        let x = Tensor::from([f64::INFINITY, 1.0, 3.0]).cast(DType::F32).with_grad();
        let mean = x.masked_mean(&Tensor::from([false, true, true]));
        assert_eq!(mean.grad(&x).unwrap().to_vec::<f32>().unwrap(), [0.0, 0.5, 0.5]);
        assert_eq!(mean.item().unwrap(), 2.0);
    }
}
