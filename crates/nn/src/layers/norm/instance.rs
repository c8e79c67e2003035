//! Instance normalisation.

use gradus_core::{Code, Error, Param, Result, Tag, Tensor, is_training};

use super::batch::{Factor, RunningStats};
use super::{Affine, at_least_one, channel_norm, operand, refused};

/// Each channel (axis 1) of each sample brought to mean 0 and variance 1.
///
/// [`InstanceNorm1d`] takes `[batch, channels, length]`, [`InstanceNorm2d`] images,
/// [`InstanceNorm3d`] volumes, each also without the batch. As in PyTorch there are neither scale and
/// shift nor running statistics unless asked for, and `num_batches_tracked` stays 0. Another number of
/// channels is always an error here; PyTorch warns where there are no parameters.
///
/// Parameters `weight` and `bias` `[num_features]`, if [`InstanceNorm::affine`]. PyTorch's defaults:
/// eps 1e-5, momentum 0.1. Source: Ulyanov, Vedaldi and Lempitsky, 2016.
///
/// ```
/// use gradus_core::Tensor;
/// use gradus_nn::InstanceNorm1d;
/// let y = InstanceNorm1d::new(1).eps(0.0).forward(&Tensor::from([[[1.0, 3.0]], [[10.0, 30.0]]]));
/// assert_eq!(y.to_vec::<f32>()?, [-1.0, 1.0, -1.0, 1.0]);
/// # Ok::<(), gradus_core::Error>(())
/// ```
pub struct InstanceNorm<const AXES: usize> {
    /// The scale, `[num_features]`, if [`InstanceNorm::affine`].
    pub weight: Option<Param>,
    /// The shift, `[num_features]`, if [`InstanceNorm::affine`].
    pub bias: Option<Param>,
    /// If [`InstanceNorm::track_running_stats`].
    pub running: Option<RunningStats>,
    num_features: usize,
    eps: f64,
    momentum: f64,
    checked: Result<()>,
    tag: Tag,
}

/// [`InstanceNorm`] of `[batch, channels, length]`.
pub type InstanceNorm1d = InstanceNorm<1>;
/// [`InstanceNorm`] of images, `[batch, channels, height, width]`.
pub type InstanceNorm2d = InstanceNorm<2>;
/// [`InstanceNorm`] of volumes, `[batch, channels, depth, height, width]`.
pub type InstanceNorm3d = InstanceNorm<3>;

impl<const AXES: usize> InstanceNorm<AXES> {
    /// A layer for that many channels. 0 is an error, which the first `forward` reports.
    pub fn new(num_features: usize) -> InstanceNorm<AXES> {
        let name = format!("InstanceNorm{AXES}d");
        InstanceNorm {
            weight: None,
            bias: None,
            running: None,
            num_features,
            eps: 1e-5,
            momentum: 0.1,
            checked: at_least_one(&name, "the number of channels", num_features),
            tag: Tag::new(format!("{name}({num_features})")),
        }
    }

    /// What is added to the variance; 1e-5 by default.
    #[must_use]
    pub fn eps(mut self, eps: f64) -> Self {
        self.eps = eps;
        self
    }

    /// How far running statistics move to those of a batch; 0.1 by default.
    #[must_use]
    pub fn momentum(mut self, momentum: f64) -> Self {
        self.momentum = momentum;
        self
    }

    /// With a scale, which starts at ones, and a shift, which starts at zeros.
    #[must_use]
    pub fn affine(mut self) -> Self {
        let affine = Affine::new(self.num_features.into(), self.checked.clone());
        (self.weight, self.bias) = (affine.weight, affine.bias);
        self
    }

    /// Without the shift of [`InstanceNorm::affine`].
    #[must_use]
    pub fn no_bias(mut self) -> Self {
        self.bias = None;
        self
    }

    /// With running statistics, the mean over samples, which are used in evaluation.
    #[must_use]
    pub fn track_running_stats(mut self) -> Self {
        self.running = Some(RunningStats::new(self.num_features, &self.checked));
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
        let batched = shape.rank() == AXES + 2;
        let channels = if batched { shape.dim(1) } else { shape.dim(0) };
        if !(batched || shape.rank() == AXES + 1) || channels != self.num_features {
            let text =
                format!("InstanceNorm{AXES}d: {shape} where {} channels go in", self.num_features);
            let help = format!("the axes are [batch, channels] and {AXES} more, or without batch");
            return Tensor::failed(Error::new(Code::Shape, text).help(help));
        }
        let samples = if batched { x.clone() } else { x.unsqueeze(0) };
        let y = self.normalised(&samples);
        if batched { y } else { y.squeeze(0) }
    }

    #[track_caller]
    fn normalised(&self, x: &Tensor) -> Tensor {
        let (weight, bias) = (operand(&self.weight), operand(&self.bias));
        let Some(running) = &self.running else { return x.instance_norm(weight, bias, self.eps) };
        if !is_training() {
            let (mean, var) = (running.mean.tensor(), running.var.tensor());
            return x.batch_norm(Some((&mean, &var)), weight, bias, self.eps);
        }
        let y = x.instance_norm(weight, bias, self.eps);
        if y.failure().is_none() {
            let axes: [isize; AXES] = std::array::from_fn(|axis| 2 + axis as isize);
            let mean = x.mean_dim(axes.as_slice()).mean_dim(0);
            let var = x.var_dim(axes.as_slice(), 1).mean_dim(0);
            running.follow(&mean, &var, &Factor::Fixed(self.momentum));
        }
        y
    }
}

channel_norm!(InstanceNorm);
