//! Normalisation among the channels of a sample: group norm and local response norm.

use std::fmt;

use gradus_core::{Code, Error, Param, Result, Tag, Tensor};

use super::{Affine, at_least_one, operand, refused, walk_affine};
use crate::layer::Layer;
use crate::module::{Module, Visitor};

/// Groups of channels (axis 1) of each sample brought to mean 0 and variance 1, then each channel
/// scaled and shifted.
///
/// `[batch, channels, ..]`. Parameters `weight` (ones) and `bias` (zeros) are `[num_channels]`.
/// PyTorch's eps, 1e-5, is the default. Source: Wu and He, 2018.
///
/// ```
/// use gradus_core::Tensor;
/// use gradus_nn::GroupNorm;
/// let norm = GroupNorm::new(2, 6);
/// assert_eq!(norm.forward(&Tensor::randn([3, 6, 4, 4])).dims::<4>()?, [3, 6, 4, 4]);
/// # Ok::<(), gradus_core::Error>(())
/// ```
pub struct GroupNorm {
    /// The scale, `[num_channels]`, unless [`GroupNorm::no_affine`].
    pub weight: Option<Param>,
    /// The shift, unless [`GroupNorm::no_affine`] or [`GroupNorm::no_bias`].
    pub bias: Option<Param>,
    num_groups: usize,
    num_channels: usize,
    eps: f64,
    checked: Result<()>,
    tag: Tag,
}

impl GroupNorm {
    /// That many equal groups of channels. Groups that do not divide the channels are an error, which
    /// the first `forward`, `step` or `save` reports.
    pub fn new(num_groups: usize, num_channels: usize) -> GroupNorm {
        let checked = at_least_one("GroupNorm", "the number of channels", num_channels)
            .and_then(|()| at_least_one("GroupNorm", "the number of groups", num_groups))
            .and_then(|()| divides(num_groups, num_channels));
        let affine = Affine::new(num_channels.into(), checked.clone());
        GroupNorm {
            weight: affine.weight,
            bias: affine.bias,
            num_groups,
            num_channels,
            eps: 1e-5,
            checked,
            tag: Tag::new(format!("GroupNorm({num_groups}, {num_channels})")),
        }
    }

    /// What is added to the variance; 1e-5 by default.
    #[must_use]
    pub fn eps(mut self, eps: f64) -> GroupNorm {
        self.eps = eps;
        self
    }

    /// Without scale and shift (PyTorch's `affine=False`).
    #[must_use]
    pub fn no_affine(mut self) -> GroupNorm {
        (self.weight, self.bias) = (None, None);
        self
    }

    /// Without shift.
    #[must_use]
    pub fn no_bias(mut self) -> GroupNorm {
        self.bias = None;
        self
    }

    /// The result, of `x`'s shape.
    #[track_caller]
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let _scope = self.tag.enter();
        if let Err(error) = &self.checked {
            return refused(x, error);
        }
        let Ok(shape) = x.shape() else { return x.clone() };
        if shape.rank() < 2 || shape.dim(1) != self.num_channels {
            let text = format!("GroupNorm: {shape} where {} channels go in", self.num_channels);
            let help = "the axes are [batch, channels, ..]";
            return Tensor::failed(Error::new(Code::Shape, text).help(help));
        }
        x.group_norm(self.num_groups, operand(&self.weight), operand(&self.bias), self.eps)
    }
}

fn divides(groups: usize, channels: usize) -> Result<()> {
    if channels.is_multiple_of(groups) {
        return Ok(());
    }
    let text = format!("GroupNorm: {channels} channels do not make {groups} equal groups");
    Err(Error::new(Code::Argument, text))
}

/// Each element divided by a power of the mean square of its neighbours in other channels; see
/// [`Tensor::local_response_norm`].
///
/// `[batch, channels, ..]`. PyTorch's defaults: alpha 1e-4, beta 0.75, k 1. Source: Krizhevsky,
/// Sutskever and Hinton, 2012 (AlexNet).
///
/// ```
/// use gradus_core::Tensor;
/// use gradus_nn::LocalResponseNorm;
/// let norm = LocalResponseNorm::new(5).alpha(1e-3).k(2.0);
/// assert_eq!(norm.forward(&Tensor::randn([2, 8, 3, 3])).dims::<4>()?, [2, 8, 3, 3]);
/// # Ok::<(), gradus_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LocalResponseNorm {
    size: usize,
    alpha: f64,
    beta: f64,
    k: f64,
}

impl LocalResponseNorm {
    /// A window of that many channels.
    pub fn new(size: usize) -> LocalResponseNorm {
        LocalResponseNorm { size, alpha: 1e-4, beta: 0.75, k: 1.0 }
    }

    /// The factor of the mean square; 1e-4 by default.
    #[must_use]
    pub fn alpha(mut self, alpha: f64) -> LocalResponseNorm {
        self.alpha = alpha;
        self
    }

    /// The exponent; 0.75 by default.
    #[must_use]
    pub fn beta(mut self, beta: f64) -> LocalResponseNorm {
        self.beta = beta;
        self
    }

    /// What is added; 1 by default.
    #[must_use]
    pub fn k(mut self, k: f64) -> LocalResponseNorm {
        self.k = k;
        self
    }

    /// The result, of `x`'s shape.
    #[track_caller]
    pub fn forward(&self, x: &Tensor) -> Tensor {
        x.local_response_norm(self.size, self.alpha, self.beta, self.k)
    }
}

impl fmt::Debug for GroupNorm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.tag.describe())
    }
}

impl Module for GroupNorm {
    fn walk(&self, visitor: &mut dyn Visitor) {
        visitor.tag(&self.tag);
        walk_affine(&self.weight, &self.bias, visitor);
    }
}

impl Layer for GroupNorm {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        GroupNorm::forward(self, x)
    }
}

impl Module for LocalResponseNorm {
    fn walk(&self, _: &mut dyn Visitor) {}
}

impl Layer for LocalResponseNorm {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        LocalResponseNorm::forward(self, x)
    }
}
