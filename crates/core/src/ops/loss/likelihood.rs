//! Negative log-likelihoods of counts and measurements, and the divergence of distributions.

use std::f64::consts::PI;

use super::{Loss, Reduction, argument, either, matched, sound, wrong_shapes};
use crate::tensor::Tensor;

/// Parameters of [`Tensor::poisson_nll_loss_with`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PoissonNll {
    /// Whether the prediction is the logarithm of the rate (the default) or the rate.
    pub log_input: bool,
    /// Whether to add Stirling's approximation of `ln(target!)`; not by default.
    pub full: bool,
    /// Added to a rate before its logarithm; 1e-8 by default.
    pub eps: f64,
    /// How single losses become the result; the mean by default.
    pub reduction: Reduction,
}

impl Default for PoissonNll {
    fn default() -> PoissonNll {
        PoissonNll { log_input: true, full: false, eps: 1e-8, reduction: Reduction::Mean }
    }
}

/// Parameters of [`Tensor::gaussian_nll_loss_with`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GaussianNll {
    /// Whether to add the constant `ln(2 pi) / 2`; not by default.
    pub full: bool,
    /// The smallest variance; smaller ones count as this. 1e-6 by default.
    pub eps: f64,
    /// How single losses become the result; the mean by default.
    pub reduction: Reduction,
}

impl Default for GaussianNll {
    fn default() -> GaussianNll {
        GaussianNll { full: false, eps: 1e-6, reduction: Reduction::Mean }
    }
}

/// Parameters of [`Tensor::kl_div_with`].
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct KlDiv {
    /// Whether the target holds logarithms too; not by default.
    pub log_target: bool,
    /// How single terms become the result; the mean by default.
    pub reduction: Reduction,
}

impl Tensor {
    /// The negative log-likelihood of counts under Poisson's law whose logarithm of the rate is
    /// predicted: `mean(e^x - target x)`, without the part that depends on the target alone; a
    /// scalar. Shapes must be equal.
    ///
    /// ```
    /// use gradus_core::Tensor;
    /// let loss = Tensor::from([0.0, 0.0]).poisson_nll_loss(&Tensor::from([0.0, 3.0]));
    /// assert_eq!(loss.item()?, 1.0);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    #[track_caller]
    #[must_use]
    pub fn poisson_nll_loss(&self, target: &Tensor) -> Tensor {
        self.poisson_nll_loss_with(target, PoissonNll::default())
    }

    /// [`Tensor::poisson_nll_loss`] with parameters; of a rate it is `x - target ln(x + eps)`, and
    /// `full` adds `t ln t - t + ln(2 pi t) / 2` for targets `t > 1`.
    ///
    /// # Errors
    /// [`Code::Argument`](crate::Code::Argument) when `eps` is negative.
    #[track_caller]
    #[must_use]
    pub fn poisson_nll_loss_with(&self, target: &Tensor, options: PoissonNll) -> Tensor {
        either(poisson(self, target, options))
    }

    /// The negative log-likelihood of measurements under normal laws whose mean (this) and
    /// variance are predicted: `mean((ln var + (x - target)^2 / var) / 2)`; a scalar.
    ///
    /// `var` has this tensor's shape, or lacks its last axis, or has size 1 there (one variance for
    /// each row). Variances below `eps` (1e-6) count as `eps`, negative ones too, and their gradient
    /// is that at `eps`.
    ///
    /// Source: Nix and Weigend, *Estimating the mean and variance of the target probability
    /// distribution*, 1994.
    ///
    /// ```
    /// use gradus_core::Tensor;
    /// let (x, y) = (Tensor::from([1.0, 2.0]), Tensor::from([1.0, 4.0]));
    /// assert_eq!(x.gaussian_nll_loss(&y, &Tensor::from([1.0, 1.0])).item()?, 1.0);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    #[track_caller]
    #[must_use]
    pub fn gaussian_nll_loss(&self, target: &Tensor, var: &Tensor) -> Tensor {
        self.gaussian_nll_loss_with(target, var, GaussianNll::default())
    }

    /// [`Tensor::gaussian_nll_loss`] with parameters.
    ///
    /// # Errors
    /// [`Code::Argument`](crate::Code::Argument) when `eps` is not positive.
    #[track_caller]
    #[must_use]
    pub fn gaussian_nll_loss_with(
        &self,
        target: &Tensor,
        var: &Tensor,
        options: GaussianNll,
    ) -> Tensor {
        either(gaussian(self, target, var, options))
    }

    /// The Kullback-Leibler divergence of a target distribution from a predicted one, which is
    /// given by logarithms: `mean(target (ln target - self))`; a scalar, in nats. Shapes must be
    /// equal; a target of 0 adds 0.
    ///
    /// As in PyTorch this is the mean over *elements*; the divergence of the mathematicians, one of
    /// each row, is the mean with [`Reduction::BatchMean`].
    ///
    /// ```
    /// use gradus_core::Tensor;
    /// let p = Tensor::from([[0.5, 0.5]]);
    /// let loss = Tensor::from([[0.25, 0.75]]).log().kl_div(&p);
    /// assert!((loss.item()? - 0.0719).abs() < 1e-4);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    #[track_caller]
    #[must_use]
    pub fn kl_div(&self, target: &Tensor) -> Tensor {
        self.kl_div_with(target, KlDiv::default())
    }

    /// [`Tensor::kl_div`] with parameters.
    #[track_caller]
    #[must_use]
    pub fn kl_div_with(&self, target: &Tensor, options: KlDiv) -> Tensor {
        match matched("kl_div", self, target) {
            Ok(t) if options.log_target => options.reduction.of(&(t.exp() * (&t - self))),
            Ok(t) => {
                // Both the value and the gradient are finite at 0.
                let some = t.gt(0.0);
                let log = some.where_(&t, 1.0).log();
                options.reduction.of(&(&t * (log - self)))
            }
            Err(failed) => failed,
        }
    }
}

#[track_caller]
fn poisson(x: &Tensor, target: &Tensor, options: PoissonNll) -> Loss {
    let what = "poisson_nll_loss";
    let t = matched(what, x, target)?;
    argument(what, options.eps >= 0.0, "`eps` must not be negative", options.eps)?;
    let mut losses =
        if options.log_input { x.exp() - &t * x } else { x - &t * (x + options.eps).log() };
    if options.full {
        let large = t.gt(1.0);
        let safe = large.where_(&t, 1.0);
        let stirling = &safe * safe.log() - &safe + (&safe * (2.0 * PI)).log() * 0.5;
        losses = losses + large.where_(stirling, 0.0);
    }
    Ok(options.reduction.of(&losses))
}

#[track_caller]
fn gaussian(x: &Tensor, target: &Tensor, var: &Tensor, options: GaussianNll) -> Loss {
    let what = "gaussian_nll_loss";
    let t = matched(what, x, target)?;
    sound(what, &[var])?;
    argument(what, options.eps > 0.0, "`eps` must be positive", options.eps)?;
    let (shape, of) = (x.peek().shape, var.peek().shape);
    let rank = shape.rank();
    let var = if of == shape || rank > 0 && of == shape.with(rank - 1, 1) {
        var.clone()
    } else if rank > 0 && of == shape.remove(rank - 1) {
        var.unsqueeze(-1)
    } else {
        let title = format!("{what}: variances {of} do not go with predictions {shape}");
        return Err(wrong_shapes(title, "one for each prediction, or one for each row"));
    };
    // The limit is not differentiated, so that small variances can grow again.
    let var = &var + (var.maximum(options.eps) - &var).detach();
    let mut losses = (var.log() + (x - t).square() / var) * 0.5;
    if options.full {
        losses = losses + 0.5 * (2.0 * PI).ln();
    }
    Ok(options.reduction.of(&losses))
}
