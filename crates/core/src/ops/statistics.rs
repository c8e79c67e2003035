//! Reductions composed of sums and extremes: deviations, norms, logical and NaN-aware ones.

use super::Reduction;
use super::reduce::{all_axes, squeezed};
use crate::graph::dtype::DType;
use crate::graph::recorder;
use crate::tensor::{Axes, Tensor};

/// The three methods of a reduction: of everything, over axes that disappear, over axes that keep
/// size 1.
macro_rules! reductions {
    ($($(#[$doc:meta])* $all:ident $dim:ident $keep:ident($($arg:ident: $ty:ty),*) => $over:ident;)*) => {
        impl Tensor {$(
            $(#[$doc])*
            #[track_caller]
            #[must_use]
            pub fn $all(&self $(, $arg: $ty)*) -> Tensor {
                self.$over(all_axes(self.peek().shape.rank()), false $(, $arg.into())*)
            }

            #[doc = concat!("[`Tensor::", stringify!($all), "`] over axes, which disappear.")]
            #[track_caller]
            #[must_use]
            pub fn $dim(&self, axes: impl Axes $(, $arg: $ty)*) -> Tensor {
                match self.axes(stringify!($dim), axes) {
                    Ok(mask) => self.$over(mask, false $(, $arg.into())*),
                    Err(failed) => failed,
                }
            }

            #[doc = concat!("[`Tensor::", stringify!($all), "`] over axes, which keep size 1.")]
            #[track_caller]
            #[must_use]
            pub fn $keep(&self, axes: impl Axes $(, $arg: $ty)*) -> Tensor {
                match self.axes(stringify!($keep), axes) {
                    Ok(mask) => self.$over(mask, true $(, $arg.into())*),
                    Err(failed) => failed,
                }
            }
        )*}
    };
}

reductions! {
    /// The standard deviation: the root of [`Tensor::var`]. The gradient is 0 where it is 0.
    ///
    /// ```
    /// use gradus_core::Tensor;
    /// let x = Tensor::from([[1.0, 3.0], [5.0, 5.0]]);
    /// assert_eq!(x.std_dim(1, 0).to_vec::<f32>()?, [1.0, 0.0]);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    std std_dim std_keepdim(correction: impl Into<f64>) => std_over;

    /// Whether any element differs from 0, as bool; false of nothing. NaN differs from 0.
    any any_dim any_keepdim() => any_over;

    /// Whether all elements differ from 0, as bool; true of nothing.
    all all_dim all_keepdim() => all_over;

    /// `log(sum(exp(x)))` without overflow; -inf of nothing.
    logsumexp logsumexp_dim logsumexp_keepdim() => logsumexp_over;

    /// The p-norm, `sum(|x|^p)^(1/p)`: 2 is the usual length, 1 the sum of absolute values, infinity
    /// the largest, -infinity the smallest, and 0 counts what is not 0. Where the norm is 0 so is its
    /// gradient.
    ///
    /// ```
    /// use gradus_core::Tensor;
    /// let x = Tensor::from([[3.0, 4.0], [0.0, -2.0]]);
    /// assert_eq!(x.norm_dim(1, 2).to_vec::<f32>()?, [5.0, 2.0]);
    /// assert_eq!(x.norm(f64::INFINITY).item()?, 4.0);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    norm norm_dim norm_keepdim(p: impl Into<f64>) => norm_over;

    /// How many elements are not 0, i64.
    count_nonzero count_nonzero_dim count_nonzero_keepdim() => count_nonzero_over;

    /// The sum of the elements that are not NaN; 0 of nothing.
    nansum nansum_dim nansum_keepdim() => nansum_over;

    /// The mean of the elements that are not NaN; NaN where there is none.
    nanmean nanmean_dim nanmean_keepdim() => nanmean_over;
}

impl Tensor {
    #[track_caller]
    fn std_over(&self, mask: u8, keep: bool, correction: f64) -> Tensor {
        self.var_over(mask, correction, keep).root()
    }

    /// The square root, with a gradient of 0 at 0.
    #[track_caller]
    pub(crate) fn root(&self) -> Tensor {
        let zero = self.eq(0.0);
        zero.where_(0.0, zero.where_(1.0, self).sqrt())
    }

    /// Whether a reduction has results, and nothing to make them of.
    fn of_nothing(&self, mask: u8) -> bool {
        let shape = self.peek().shape;
        shape.numel() == 0 && squeezed(&shape, mask).numel() != 0
    }

    #[track_caller]
    fn any_over(&self, mask: u8, keep: bool) -> Tensor {
        let x = self.cast(DType::Bool);
        if self.of_nothing(mask) {
            return x.reduce(Reduction::Sum, mask, keep).ne(0);
        }
        x.reduce(Reduction::Max, mask, keep)
    }

    #[track_caller]
    fn all_over(&self, mask: u8, keep: bool) -> Tensor {
        let x = self.cast(DType::Bool);
        if self.of_nothing(mask) {
            return x.reduce(Reduction::Sum, mask, keep).eq(0);
        }
        x.reduce(Reduction::Min, mask, keep)
    }

    #[track_caller]
    fn logsumexp_over(&self, mask: u8, keep: bool) -> Tensor {
        if let Some(failed) = self.not_real("logsumexp") {
            return failed;
        }
        if self.of_nothing(mask) {
            return self.reduce(Reduction::Sum, mask, keep).log();
        }
        let most = self.reduce(Reduction::Max, mask, true).detach();
        let most = most.is_finite().where_(most, 0.0);
        let sum = (self - &most).exp().reduce(Reduction::Sum, mask, keep);
        // Of -inf only: no gradient is better than 0 / 0.
        let none = sum.eq(0.0);
        let log = none.where_(f64::NEG_INFINITY, none.where_(1.0, sum).log());
        log + if keep { most } else { most.without(mask) }
    }

    /// Without the axes of the mask, which have size 1.
    #[track_caller]
    fn without(&self, mask: u8) -> Tensor {
        self.reshape_to(squeezed(&self.peek().shape, mask))
    }

    #[track_caller]
    fn norm_over(&self, mask: u8, keep: bool, p: f64) -> Tensor {
        if let Some(failed) = self.not_real("norm") {
            return failed;
        }
        if p == f64::INFINITY {
            return self.abs().reduce(Reduction::Max, mask, keep);
        }
        if p == f64::NEG_INFINITY {
            return self.abs().reduce(Reduction::Min, mask, keep);
        }
        if p == 0.0 {
            return self.ne(0.0).cast(self.peek().dtype).reduce(Reduction::Sum, mask, keep);
        }
        if p == 1.0 {
            return self.abs().reduce(Reduction::Sum, mask, keep);
        }
        if p == 2.0 {
            return self.square().reduce(Reduction::Sum, mask, keep).root();
        }
        // A power of 0 has an infinite derivative for p < 1, where PyTorch too takes 0.
        let size = self.abs();
        let zero = size.eq(0.0);
        let at_zero = if p < 0.0 { f64::INFINITY } else { 0.0 };
        let power = zero.where_(at_zero, zero.where_(1.0, size).pow(p));
        let sum = power.reduce(Reduction::Sum, mask, keep);
        let none = sum.eq(0.0);
        none.where_(0.0, none.where_(1.0, sum).pow(1.0 / p))
    }

    #[track_caller]
    fn count_nonzero_over(&self, mask: u8, keep: bool) -> Tensor {
        self.cast(DType::Bool).reduce(Reduction::Sum, mask, keep)
    }

    #[track_caller]
    fn nansum_over(&self, mask: u8, keep: bool) -> Tensor {
        self.is_nan().where_(0, self).reduce(Reduction::Sum, mask, keep)
    }

    #[track_caller]
    fn nanmean_over(&self, mask: u8, keep: bool) -> Tensor {
        if let Some(failed) = self.not_real("nanmean") {
            return failed;
        }
        let there = (!self.is_nan()).cast(self.peek().dtype);
        self.nansum_over(mask, keep) / there.reduce(Reduction::Sum, mask, keep)
    }

    /// The variance and the mean over axes, which disappear: `(variance, mean)`; see
    /// [`Tensor::var`].
    #[track_caller]
    #[must_use]
    pub fn var_mean_dim(&self, axes: impl Axes, correction: impl Into<f64>) -> (Tensor, Tensor) {
        match self.axes("var_mean_dim", axes) {
            Ok(mask) => {
                (self.var_over(mask, correction.into(), false), self.mean_over(mask, false))
            }
            Err(failed) => (failed.clone(), failed),
        }
    }

    /// The standard deviation and the mean over axes, which disappear: `(deviation, mean)`; see
    /// [`Tensor::std`].
    #[track_caller]
    #[must_use]
    pub fn std_mean_dim(&self, axes: impl Axes, correction: impl Into<f64>) -> (Tensor, Tensor) {
        let (var, mean) = self.var_mean_dim(axes, correction);
        (var.root(), mean)
    }

    /// The smallest and the largest elements over axes, which disappear: `(smallest, largest)`.
    #[track_caller]
    #[must_use]
    pub fn aminmax_dim(&self, axes: impl Axes) -> (Tensor, Tensor) {
        match self.axes("aminmax_dim", axes) {
            Ok(mask) => {
                (self.reduce(Reduction::Min, mask, false), self.reduce(Reduction::Max, mask, false))
            }
            Err(failed) => (failed.clone(), failed),
        }
    }

    /// The position of the largest of all elements in row-major order, as a scalar (`argmax` without
    /// an axis elsewhere); see [`Tensor::argmax`].
    #[track_caller]
    #[must_use]
    pub fn argmax_flat(&self) -> Tensor {
        self.flat().argmax(0)
    }

    /// The position of the smallest of all elements in row-major order; see
    /// [`Tensor::argmax_flat`].
    #[track_caller]
    #[must_use]
    pub fn argmin_flat(&self) -> Tensor {
        self.flat().argmin(0)
    }

    /// All elements on one axis.
    #[track_caller]
    pub(crate) fn flat(&self) -> Tensor {
        if recorder::error_of(self).is_some() {
            return self.clone();
        }
        self.reshape([-1])
    }
}
