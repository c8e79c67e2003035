//! The encoder: self-attention, then two maps, each added to what it was given.

use std::fmt;

use gradus_core::{Tag, Tensor};

use super::{Activation, AttentionMasks, FeedForward};
use crate::init;
use crate::layer::Layer;
use crate::layers::attention::MultiheadAttention;
use crate::layers::dropout::Dropout;
use crate::layers::linear::Linear;
use crate::layers::norm::LayerNorm;
use crate::module::{Module, Visitor};

/// One layer of a transformer's encoder: self-attention and a network of two maps, each with
/// dropout, added to its input, and normalised.
///
/// `[rows, batch, d_model]` keeps its shape; with [`TransformerEncoderLayer::batch_first`] the
/// batch is the first axis. Parts as in PyTorch: `self_attn`, `linear1`, `linear2`, `norm1`,
/// `norm2`. Defaults: `dim_feedforward` 2048, dropout 0.1, ReLU, normalisation afterwards. Vaswani
/// et al., 2017.
///
/// ```
/// use gradus_core::Tensor;
/// use gradus_nn::TransformerEncoderLayer;
/// let layer = TransformerEncoderLayer::new(8, 2)
///     .dim_feedforward(16)
///     .activation(Tensor::gelu)
///     .norm_first(true)
///     .batch_first(true);
/// assert_eq!(layer.forward(&Tensor::ones([3, 5, 8])).dims::<3>()?, [3, 5, 8]);
/// # Ok::<(), gradus_core::Error>(())
/// ```
pub struct TransformerEncoderLayer {
    /// Attention of the sequence to itself.
    pub self_attn: MultiheadAttention,
    /// After attention (before it, with [`TransformerEncoderLayer::norm_first`]).
    pub norm1: LayerNorm,
    /// After the two maps (before them, with [`TransformerEncoderLayer::norm_first`]).
    pub norm2: LayerNorm,
    feed: FeedForward,
    dropout: Dropout,
    norm_first: bool,
    tag: Tag,
}

impl TransformerEncoderLayer {
    /// A layer of a size with `nhead` heads. Sizes that do not go together are an error, which the
    /// first `forward`, `step` or `save` reports.
    pub fn new(d_model: usize, nhead: usize) -> TransformerEncoderLayer {
        TransformerEncoderLayer {
            self_attn: MultiheadAttention::new(d_model, nhead).dropout(0.1),
            norm1: LayerNorm::new(d_model),
            norm2: LayerNorm::new(d_model),
            feed: FeedForward::new(d_model, 2048, true),
            dropout: Dropout::new(0.1),
            norm_first: false,
            tag: Tag::new(format!("TransformerEncoderLayer({d_model}, {nhead} heads)")),
        }
    }

    /// The size between the two maps; 2048 by default.
    #[must_use]
    pub fn dim_feedforward(mut self, size: usize) -> TransformerEncoderLayer {
        self.feed = self.feed.resized(size);
        self
    }

    /// The probability of dropout, everywhere in the layer; 0.1 by default.
    #[must_use]
    pub fn dropout(mut self, p: f64) -> TransformerEncoderLayer {
        self.self_attn = self.self_attn.dropout(p);
        self.feed.dropout = Dropout::new(p);
        self.dropout = Dropout::new(p);
        self
    }

    /// The function between the two maps; `Tensor::relu` by default.
    #[must_use]
    pub fn activation(mut self, activation: Activation) -> TransformerEncoderLayer {
        self.feed.activation = activation;
        self
    }

    /// What is added to variances; 1e-5 by default.
    #[must_use]
    pub fn layer_norm_eps(mut self, eps: f64) -> TransformerEncoderLayer {
        (self.norm1, self.norm2) = (self.norm1.eps(eps), self.norm2.eps(eps));
        self
    }

    /// Whether to normalise before attention and before the maps instead of after them, which trains
    /// deep stacks more easily; not by default.
    #[must_use]
    pub fn norm_first(mut self, first: bool) -> TransformerEncoderLayer {
        self.norm_first = first;
        self
    }

    /// Whether the batch is the first axis; not by default.
    #[must_use]
    pub fn batch_first(mut self, first: bool) -> TransformerEncoderLayer {
        self.self_attn = self.self_attn.batch_first(first);
        self
    }

    /// Without biases, in maps and normalisations alike.
    #[must_use]
    pub fn no_bias(mut self) -> TransformerEncoderLayer {
        self.self_attn = self.self_attn.no_bias();
        self.feed = self.feed.no_bias();
        (self.norm1, self.norm2) = (self.norm1.no_bias(), self.norm2.no_bias());
        self
    }

    /// The map into the middle, `[dim_feedforward, d_model]`.
    pub fn linear1(&self) -> &Linear {
        &self.feed.linear1
    }

    /// The map back, `[d_model, dim_feedforward]`.
    pub fn linear2(&self) -> &Linear {
        &self.feed.linear2
    }

    /// Glorot's law for all weights.
    pub(super) fn xavier(mut self) -> TransformerEncoderLayer {
        self.feed = self.feed.xavier();
        self.self_attn.out_proj =
            self.self_attn.out_proj.with_init(|shape| init::xavier_uniform(shape, 1.0));
        self
    }

    /// The result for a sequence.
    #[track_caller]
    pub fn forward(&self, src: &Tensor) -> Tensor {
        self.forward_with(src, AttentionMasks::default())
    }

    /// The result with masks: which rows nobody may look at, and which row may look at which.
    #[track_caller]
    pub fn forward_with(&self, src: &Tensor, masks: AttentionMasks<'_>) -> Tensor {
        let _scope = self.tag.enter();
        let attend =
            |x: &Tensor| self.dropout.forward(&self.self_attn.forward_with(x, x, x, masks).0);
        let feed = |x: &Tensor| self.dropout.forward(&self.feed.forward(x));
        if self.norm_first {
            let x = src + attend(&self.norm1.forward(src));
            return &x + feed(&self.norm2.forward(&x));
        }
        let x = self.norm1.forward(&(src + attend(src)));
        self.norm2.forward(&(&x + feed(&x)))
    }
}

impl fmt::Debug for TransformerEncoderLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.tag.describe())
    }
}

impl Module for TransformerEncoderLayer {
    fn walk(&self, visitor: &mut dyn Visitor) {
        visitor.tag(&self.tag);
        visitor.child("self_attn", &self.self_attn);
        visitor.child("linear1", &self.feed.linear1);
        visitor.child("dropout", &self.feed.dropout);
        visitor.child("linear2", &self.feed.linear2);
        visitor.child("norm1", &self.norm1);
        visitor.child("norm2", &self.norm2);
        visitor.child("dropout1", &self.dropout);
    }
}

impl Layer for TransformerEncoderLayer {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        TransformerEncoderLayer::forward(self, x)
    }
}

/// Encoder layers one after the other, and a normalisation at the end if there is one.
///
/// Parts as in PyTorch: `layers.0`, `layers.1`, .., `norm`. There all layers start with the values of
/// one; here each has its own.
///
/// ```
/// use gradus_core::Tensor;
/// use gradus_nn::{TransformerEncoder, TransformerEncoderLayer};
/// let encoder = TransformerEncoder::new(3, || TransformerEncoderLayer::new(8, 2).batch_first(true));
/// assert_eq!(encoder.forward(&Tensor::ones([2, 5, 8])).dims::<3>()?, [2, 5, 8]);
/// # Ok::<(), gradus_core::Error>(())
/// ```
pub struct TransformerEncoder {
    /// The layers, in order.
    pub layers: Vec<TransformerEncoderLayer>,
    /// After the last layer.
    pub norm: Option<LayerNorm>,
    tag: Tag,
}

impl TransformerEncoder {
    /// So many layers, each made by a call of `layer`.
    pub fn new(
        num_layers: usize,
        layer: impl FnMut() -> TransformerEncoderLayer,
    ) -> TransformerEncoder {
        let layers: Vec<_> = std::iter::repeat_with(layer).take(num_layers).collect();
        let tag = Tag::new(format!("TransformerEncoder({num_layers} layers)"));
        TransformerEncoder { layers, norm: None, tag }
    }

    /// A normalisation after the last layer.
    #[must_use]
    pub fn norm(mut self, norm: LayerNorm) -> TransformerEncoder {
        self.norm = Some(norm);
        self
    }

    /// The result for a sequence.
    #[track_caller]
    pub fn forward(&self, src: &Tensor) -> Tensor {
        self.forward_with(src, AttentionMasks::default())
    }

    /// The result with masks, which are those of every layer.
    #[track_caller]
    pub fn forward_with(&self, src: &Tensor, masks: AttentionMasks<'_>) -> Tensor {
        let _scope = self.tag.enter();
        let mut x = src.clone();
        for layer in &self.layers {
            x = layer.forward_with(&x, masks);
        }
        match &self.norm {
            Some(norm) => norm.forward(&x),
            None => x,
        }
    }
}

impl fmt::Debug for TransformerEncoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.tag.describe())
    }
}

impl Module for TransformerEncoder {
    fn walk(&self, visitor: &mut dyn Visitor) {
        visitor.tag(&self.tag);
        visitor.child("layers", &self.layers);
        if let Some(norm) = &self.norm {
            visitor.child("norm", norm);
        }
    }
}

impl Layer for TransformerEncoder {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        TransformerEncoder::forward(self, x)
    }
}
