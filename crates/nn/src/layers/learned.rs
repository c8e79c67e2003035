//! Activations with parameters or maps of their own: PReLU, maxout, SwiGLU.

use std::fmt;

use gradus_core::{Code, Error, Param, Tag, Tensor};

use super::{Linear, broken};
use crate::init;
use crate::layer::Layer;
use crate::module::{Module, Visitor};

/// [`LeakyRelu`](crate::LeakyRelu) with a slope that is learned: one, or one for each channel (axis
/// 1). He and others, 2015.
///
/// `weight` is `[num_parameters]`, 1 by default, and starts at 0.25, as in PyTorch.
///
/// ```
/// use gradus_core::Tensor;
/// use gradus_nn::Prelu;
/// let y = Prelu::new().forward(&Tensor::from([-4.0, 2.0]));
/// assert_eq!(y.to_vec::<f32>()?, [-1.0, 2.0]);
/// # Ok::<(), gradus_core::Error>(())
/// ```
pub struct Prelu {
    /// `[num_parameters]`.
    pub weight: Param,
    init: f64,
    tag: Tag,
}

impl Prelu {
    /// One slope for everything.
    pub fn new() -> Prelu {
        Prelu::with(1, 0.25)
    }

    fn with(count: usize, init: f64) -> Prelu {
        let value = if count == 0 {
            Err(Error::new(Code::Argument, "Prelu: there is at least one slope"))
        } else {
            init::constant(count, init as f32)
        };
        let tag = Tag::new(format!("Prelu({count})"));
        Prelu { weight: Param::from_result(value), init, tag }
    }

    /// A slope for each of that many channels. 0 is an error, which the first `forward` reports.
    #[must_use]
    pub fn num_parameters(self, count: usize) -> Prelu {
        Prelu::with(count, self.init)
    }

    /// What slopes start at; 0.25 by default.
    #[must_use]
    pub fn init(self, init: f64) -> Prelu {
        Prelu::with(self.weight.numel(), init)
    }

    /// The result, of `x`'s shape.
    #[track_caller]
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let _scope = self.tag.enter();
        match broken(x, [&self.weight]) {
            Some(failed) => failed,
            None => x.prelu(&self.weight),
        }
    }
}

impl Default for Prelu {
    fn default() -> Prelu {
        Prelu::new()
    }
}

/// The largest of several affine maps: `[.., in_features]` becomes `[.., out_features]`.
///
/// `linear` is a [`Linear`] with `pieces` outputs for each of this layer's, which lie side by side.
/// Goodfellow and others, 2013.
///
/// ```
/// use gradus_core::Tensor;
/// use gradus_nn::Maxout;
/// let layer = Maxout::new(4, 2, 3);
/// assert_eq!(layer.forward(&Tensor::zeros([5, 4])).dims::<2>()?, [5, 2]);
/// # Ok::<(), gradus_core::Error>(())
/// ```
pub struct Maxout {
    /// The maps, `in_features -> out_features * pieces`.
    pub linear: Linear,
    pieces: usize,
    tag: Tag,
}

impl Maxout {
    /// The largest of `pieces` maps. A size of 0 is an error, which the first `forward` reports.
    pub fn new(in_features: usize, out_features: usize, pieces: usize) -> Maxout {
        Maxout {
            linear: Linear::new(in_features, out_features.saturating_mul(pieces)),
            pieces,
            tag: Tag::new(format!("Maxout({in_features} -> {out_features}, {pieces} pieces)")),
        }
    }

    /// The result, `[.., out_features]`.
    #[track_caller]
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let _scope = self.tag.enter();
        let maps = self.linear.forward(x);
        let Ok(shape) = maps.shape() else { return maps };
        let out = (shape.last(0) / self.pieces.max(1)) as isize;
        maps.unflatten(-1, [out, self.pieces as isize]).max_dim(-1)
    }
}

/// The gated feed-forward block of LLaMA: `down(silu(gate(x)) * up(x))`.
///
/// `[.., dim]` stays `[.., dim]`, with `hidden` features between; three [`Linear`] maps without
/// biases, named as in Hugging Face's LLaMA. Shazeer, 2020.
///
/// ```
/// use gradus_core::Tensor;
/// use gradus_nn::SwiGlu;
/// let block = SwiGlu::new(8, 21);
/// assert_eq!(block.forward(&Tensor::randn([2, 5, 8])).dims::<3>()?, [2, 5, 8]);
/// # Ok::<(), gradus_core::Error>(())
/// ```
pub struct SwiGlu {
    /// What opens the gate, `dim -> hidden`.
    pub gate_proj: Linear,
    /// What goes through it, `dim -> hidden`.
    pub up_proj: Linear,
    /// Back, `hidden -> dim`.
    pub down_proj: Linear,
    tag: Tag,
}

impl SwiGlu {
    /// A block of those sizes. A size of 0 is an error, which the first `forward` reports.
    pub fn new(dim: usize, hidden: usize) -> SwiGlu {
        SwiGlu {
            gate_proj: Linear::new(dim, hidden).no_bias(),
            up_proj: Linear::new(dim, hidden).no_bias(),
            down_proj: Linear::new(hidden, dim).no_bias(),
            tag: Tag::new(format!("SwiGlu({dim}, {hidden})")),
        }
    }

    /// The result, of `x`'s shape.
    #[track_caller]
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let _scope = self.tag.enter();
        let gate = self.gate_proj.forward(x).silu();
        self.down_proj.forward(&(gate * self.up_proj.forward(x)))
    }
}

macro_rules! tagged {
    ($($name:ident),*) => {$(
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.tag.describe())
            }
        }

        impl Layer for $name {
            #[track_caller]
            fn forward(&self, x: &Tensor) -> Tensor {
                $name::forward(self, x)
            }
        }
    )*};
}
tagged!(Prelu, Maxout, SwiGlu);

impl Module for Prelu {
    fn walk(&self, visitor: &mut dyn Visitor) {
        visitor.tag(&self.tag);
        visitor.param("weight", &self.weight);
    }
}

impl Module for Maxout {
    fn walk(&self, visitor: &mut dyn Visitor) {
        visitor.tag(&self.tag);
        visitor.child("linear", &self.linear);
    }
}

impl Module for SwiGlu {
    fn walk(&self, visitor: &mut dyn Visitor) {
        visitor.tag(&self.tag);
        visitor.child("gate_proj", &self.gate_proj);
        visitor.child("up_proj", &self.up_proj);
        visitor.child("down_proj", &self.down_proj);
    }
}
