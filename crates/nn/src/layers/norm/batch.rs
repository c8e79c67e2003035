//! Batch normalisation.

use gradus_core::{Array, Buffer, Code, DType, Error, Param, Result, Tag, Tensor, is_training};

use super::{Affine, at_least_one, channel_norm, operand, refused};
use crate::init;
use crate::module::Visitor;

/// Running statistics of a layer: what it has seen in training, for evaluation.
pub struct RunningStats {
    /// Of the mean, `[num_features]`; starts at 0.
    pub mean: Buffer,
    /// Of the variance (unbiased), `[num_features]`; starts at 1.
    pub var: Buffer,
    /// How many batches were seen, i64.
    pub batches: Buffer,
}

impl RunningStats {
    pub(super) fn new(num_features: usize, checked: &Result<()>) -> RunningStats {
        let make = |init: &dyn Fn() -> Result<Array>| {
            Buffer::from_result(checked.clone().and_then(|()| init()))
        };
        RunningStats {
            mean: make(&|| init::zeros(num_features)),
            var: make(&|| init::ones(num_features)),
            batches: make(&|| Array::zeros((), DType::I64)),
        }
    }

    /// Moves towards the statistics of a batch, by `factor` of the way.
    pub(super) fn follow(&self, mean: &Tensor, var: &Tensor, factor: &Factor) {
        for (buffer, new) in [(&self.mean, mean), (&self.var, var)] {
            let (old, new) = (buffer.tensor(), new.detach().cast(buffer.dtype()));
            buffer.assign(&match factor {
                Factor::Fixed(f) => old * (1.0 - f) + new * *f,
                Factor::Of(f) => &old + (new - &old) * f,
            });
        }
    }

    /// Counts a batch; the number of it.
    fn count(&self) -> Tensor {
        let batches = self.batches.tensor() + 1;
        self.batches.assign(&batches);
        batches
    }

    pub(super) fn walk(&self, visitor: &mut dyn Visitor) {
        visitor.buffer("running_mean", &self.mean);
        visitor.buffer("running_var", &self.var);
        visitor.buffer("num_batches_tracked", &self.batches);
    }
}

/// How far running statistics move.
pub(super) enum Factor {
    Fixed(f64),
    Of(Tensor),
}

/// Each channel (axis 1) brought to mean 0 and variance 1 over the batch, then scaled and shifted.
///
/// [`BatchNorm1d`] takes `[batch, channels]` and `[batch, channels, length]`, [`BatchNorm2d`]
/// `[batch, channels, height, width]`, [`BatchNorm3d`] has a depth before them. While training the
/// statistics are those of the batch, and running ones follow them:
/// `running = (1 - momentum) * running + momentum * batch`; in evaluation (`predict`) the running ones
/// are used. They change when the step succeeds (or `sync`, or a read of the buffer), and not at all
/// when it fails.
///
/// Parameters `weight` (ones) and `bias` (zeros), buffers `running_mean` (zeros), `running_var` (ones,
/// of the unbiased variance) and `num_batches_tracked`, as in PyTorch. PyTorch's defaults: eps 1e-5,
/// momentum 0.1. Source: Ioffe and Szegedy, 2015.
///
/// Forward errors: [`Code::Shape`] for other axes or channels, and while training for a single value
/// a channel.
///
/// ```
/// use gradus_core::Tensor;
/// use gradus_nn::{BatchNorm2d, Layer};
/// let norm = BatchNorm2d::new(3);
/// let x = Tensor::randn([4, 3, 5, 5]) * 7.0 + 2.0;
/// assert!(norm.forward(&x).mean().item()?.abs() < 1e-5);
/// let y = norm.predict(&x); // by running statistics, which have moved a tenth of the way
/// assert_eq!(y.dims::<4>()?, [4, 3, 5, 5]);
/// # Ok::<(), gradus_core::Error>(())
/// ```
pub struct BatchNorm<const AXES: usize> {
    /// The scale, `[num_features]`, unless [`BatchNorm::no_affine`].
    pub weight: Option<Param>,
    /// The shift, `[num_features]`, unless [`BatchNorm::no_affine`] or [`BatchNorm::no_bias`].
    pub bias: Option<Param>,
    /// Unless [`BatchNorm::no_track_running_stats`].
    pub running: Option<RunningStats>,
    num_features: usize,
    eps: f64,
    momentum: Option<f64>,
    checked: Result<()>,
    tag: Tag,
}

/// [`BatchNorm`] of `[batch, channels]` or `[batch, channels, length]`.
pub type BatchNorm1d = BatchNorm<1>;
/// [`BatchNorm`] of images, `[batch, channels, height, width]`.
pub type BatchNorm2d = BatchNorm<2>;
/// [`BatchNorm`] of volumes, `[batch, channels, depth, height, width]`.
pub type BatchNorm3d = BatchNorm<3>;

impl<const AXES: usize> BatchNorm<AXES> {
    /// A layer for that many channels. 0 is an error, which the first `forward`, `step` or `save`
    /// reports.
    pub fn new(num_features: usize) -> BatchNorm<AXES> {
        let name = format!("BatchNorm{AXES}d");
        let checked = at_least_one(&name, "the number of channels", num_features);
        let affine = Affine::new(num_features.into(), checked.clone());
        BatchNorm {
            weight: affine.weight,
            bias: affine.bias,
            running: Some(RunningStats::new(num_features, &checked)),
            num_features,
            eps: 1e-5,
            momentum: Some(0.1),
            checked,
            tag: Tag::new(format!("{name}({num_features})")),
        }
    }

    /// What is added to the variance; 1e-5 by default.
    #[must_use]
    pub fn eps(mut self, eps: f64) -> Self {
        self.eps = eps;
        self
    }

    /// How far running statistics move to those of a batch, in `[0, 1]`; 0.1 by default. `None` makes
    /// them the mean over all batches (PyTorch's cumulative average).
    #[must_use]
    pub fn momentum(mut self, momentum: impl Into<Option<f64>>) -> Self {
        self.momentum = momentum.into();
        self
    }

    /// Without scale and shift (PyTorch's `affine=False`).
    #[must_use]
    pub fn no_affine(mut self) -> Self {
        (self.weight, self.bias) = (None, None);
        self
    }

    /// Without shift.
    #[must_use]
    pub fn no_bias(mut self) -> Self {
        self.bias = None;
        self
    }

    /// Without running statistics: those of the batch are used in evaluation too.
    #[must_use]
    pub fn no_track_running_stats(mut self) -> Self {
        self.running = None;
        self
    }

    /// Number of channels.
    pub fn num_features(&self) -> usize {
        self.num_features
    }

    /// The result, of `x`'s shape.
    #[track_caller]
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let _scope = self.tag.enter();
        if let Err(error) = &self.checked {
            return refused(x, error);
        }
        let Ok(shape) = x.shape() else { return x.clone() };
        let rank = shape.rank();
        let fits = if AXES == 1 { rank == 2 || rank == 3 } else { rank == AXES + 2 };
        if !fits || shape.dim(1) != self.num_features {
            return Tensor::failed(self.misfit(&shape.to_string()));
        }
        let (weight, bias) = (operand(&self.weight), operand(&self.bias));
        match &self.running {
            Some(running) if is_training() => {
                let (mean, var) = x.channel_moments();
                let values = shape.numel() / self.num_features;
                if values > 1 && mean.failure().is_none() {
                    let batches = running.count();
                    let factor = match self.momentum {
                        Some(momentum) => Factor::Fixed(momentum),
                        None => Factor::Of(batches.cast(DType::F32).recip()),
                    };
                    let unbiased = &var * (values as f64 / (values - 1) as f64);
                    running.follow(&mean, &unbiased, &factor);
                }
                x.batch_norm(Some((&mean, &var)), weight, bias, self.eps)
            }
            Some(running) => {
                let (mean, var) = (running.mean.tensor(), running.var.tensor());
                x.batch_norm(Some((&mean, &var)), weight, bias, self.eps)
            }
            None => x.batch_norm(None, weight, bias, self.eps),
        }
    }

    #[cold]
    fn misfit(&self, shape: &str) -> Error {
        let axes = match AXES {
            1 => "[batch, channels] or [batch, channels, length]",
            2 => "[batch, channels, height, width]",
            _ => "[batch, channels, depth, height, width]",
        };
        let text = format!("BatchNorm{AXES}d: {shape} where {} channels go in", self.num_features);
        Error::new(Code::Shape, text).help(format!("the axes are {axes}"))
    }
}

channel_norm!(BatchNorm);
