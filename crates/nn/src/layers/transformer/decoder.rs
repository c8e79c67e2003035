//! The decoder: self-attention, attention to the encoder's result, then two maps.

use std::fmt;

use gradus_core::{Tag, Tensor};

use super::{Activation, AttentionMasks, FeedForward};
use crate::init;
use crate::layers::attention::MultiheadAttention;
use crate::layers::dropout::Dropout;
use crate::layers::linear::Linear;
use crate::layers::norm::LayerNorm;
use crate::module::{Module, Visitor};

/// One layer of a transformer's decoder: self-attention, attention to a memory (the encoder's
/// result), and a network of two maps, each with dropout, added to its input, and normalised.
///
/// Targets `[rows, batch, d_model]` keep their shape, the memory is `[keys, batch, d_model]`; with
/// [`TransformerDecoderLayer::batch_first`] the batch is the first axis. Parts as in PyTorch:
/// `self_attn`, `multihead_attn`, `linear1`, `linear2`, `norm1`, `norm2`, `norm3`. Defaults:
/// `dim_feedforward` 2048, dropout 0.1, ReLU, normalisation afterwards. Nothing is causal unless its
/// masks say so. Vaswani et al., 2017.
///
/// ```
/// use gradus_core::Tensor;
/// use gradus_nn::{AttentionMasks, TransformerDecoderLayer};
/// let layer = TransformerDecoderLayer::new(8, 2).dim_feedforward(16).batch_first(true);
/// let (target, memory) = (Tensor::ones([3, 5, 8]), Tensor::ones([3, 7, 8]));
/// let causal = AttentionMasks { is_causal: true, ..AttentionMasks::default() };
/// let y = layer.forward_with(&target, &memory, causal, AttentionMasks::default());
/// assert_eq!(y.dims::<3>()?, [3, 5, 8]);
/// # Ok::<(), gradus_core::Error>(())
/// ```
pub struct TransformerDecoderLayer {
    /// Attention of the targets to themselves.
    pub self_attn: MultiheadAttention,
    /// Attention of the targets to the memory.
    pub multihead_attn: MultiheadAttention,
    /// Of self-attention.
    pub norm1: LayerNorm,
    /// Of attention to the memory.
    pub norm2: LayerNorm,
    /// Of the two maps.
    pub norm3: LayerNorm,
    feed: FeedForward,
    dropout: Dropout,
    norm_first: bool,
    tag: Tag,
}

impl TransformerDecoderLayer {
    /// A layer of a size with `nhead` heads. Sizes that do not go together are an error, which the
    /// first `forward`, `step` or `save` reports.
    pub fn new(d_model: usize, nhead: usize) -> TransformerDecoderLayer {
        let attention = || MultiheadAttention::new(d_model, nhead).dropout(0.1);
        TransformerDecoderLayer {
            self_attn: attention(),
            multihead_attn: attention(),
            norm1: LayerNorm::new(d_model),
            norm2: LayerNorm::new(d_model),
            norm3: LayerNorm::new(d_model),
            feed: FeedForward::new(d_model, 2048, true),
            dropout: Dropout::new(0.1),
            norm_first: false,
            tag: Tag::new(format!("TransformerDecoderLayer({d_model}, {nhead} heads)")),
        }
    }

    /// The size between the two maps; 2048 by default.
    #[must_use]
    pub fn dim_feedforward(mut self, size: usize) -> TransformerDecoderLayer {
        self.feed = self.feed.resized(size);
        self
    }

    /// The probability of dropout, everywhere in the layer; 0.1 by default.
    #[must_use]
    pub fn dropout(mut self, p: f64) -> TransformerDecoderLayer {
        self.self_attn = self.self_attn.dropout(p);
        self.multihead_attn = self.multihead_attn.dropout(p);
        self.feed.dropout = Dropout::new(p);
        self.dropout = Dropout::new(p);
        self
    }

    /// The function between the two maps; `Tensor::relu` by default.
    #[must_use]
    pub fn activation(mut self, activation: Activation) -> TransformerDecoderLayer {
        self.feed.activation = activation;
        self
    }

    /// What is added to variances; 1e-5 by default.
    #[must_use]
    pub fn layer_norm_eps(mut self, eps: f64) -> TransformerDecoderLayer {
        (self.norm1, self.norm2) = (self.norm1.eps(eps), self.norm2.eps(eps));
        self.norm3 = self.norm3.eps(eps);
        self
    }

    /// Whether to normalise before each part instead of after it; not by default.
    #[must_use]
    pub fn norm_first(mut self, first: bool) -> TransformerDecoderLayer {
        self.norm_first = first;
        self
    }

    /// Whether the batch is the first axis; not by default.
    #[must_use]
    pub fn batch_first(mut self, first: bool) -> TransformerDecoderLayer {
        self.self_attn = self.self_attn.batch_first(first);
        self.multihead_attn = self.multihead_attn.batch_first(first);
        self
    }

    /// Without biases, in maps and normalisations alike.
    #[must_use]
    pub fn no_bias(mut self) -> TransformerDecoderLayer {
        self.self_attn = self.self_attn.no_bias();
        self.multihead_attn = self.multihead_attn.no_bias();
        self.feed = self.feed.no_bias();
        (self.norm1, self.norm2) = (self.norm1.no_bias(), self.norm2.no_bias());
        self.norm3 = self.norm3.no_bias();
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
    pub(super) fn xavier(mut self) -> TransformerDecoderLayer {
        self.feed = self.feed.xavier();
        for attention in [&mut self.self_attn, &mut self.multihead_attn] {
            let out = std::mem::replace(&mut attention.out_proj, Linear::new(1, 1));
            attention.out_proj = out.with_init(|shape| init::xavier_uniform(shape, 1.0));
        }
        self
    }

    /// The result for targets and a memory, without masks.
    #[track_caller]
    pub fn forward(&self, tgt: &Tensor, memory: &Tensor) -> Tensor {
        self.forward_with(tgt, memory, AttentionMasks::default(), AttentionMasks::default())
    }

    /// The result with masks: of the targets among themselves, and of the memory.
    #[track_caller]
    pub fn forward_with(
        &self,
        tgt: &Tensor,
        memory: &Tensor,
        tgt_masks: AttentionMasks<'_>,
        memory_masks: AttentionMasks<'_>,
    ) -> Tensor {
        let _scope = self.tag.enter();
        let own =
            |x: &Tensor| self.dropout.forward(&self.self_attn.forward_with(x, x, x, tgt_masks).0);
        let other = |x: &Tensor| {
            let y = self.multihead_attn.forward_with(x, memory, memory, memory_masks).0;
            self.dropout.forward(&y)
        };
        let feed = |x: &Tensor| self.dropout.forward(&self.feed.forward(x));
        if self.norm_first {
            let x = tgt + own(&self.norm1.forward(tgt));
            let x = &x + other(&self.norm2.forward(&x));
            return &x + feed(&self.norm3.forward(&x));
        }
        let x = self.norm1.forward(&(tgt + own(tgt)));
        let x = self.norm2.forward(&(&x + other(&x)));
        self.norm3.forward(&(&x + feed(&x)))
    }
}

impl fmt::Debug for TransformerDecoderLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.tag.describe())
    }
}

impl Module for TransformerDecoderLayer {
    fn walk(&self, visitor: &mut dyn Visitor) {
        visitor.tag(&self.tag);
        visitor.child("self_attn", &self.self_attn);
        visitor.child("multihead_attn", &self.multihead_attn);
        visitor.child("linear1", &self.feed.linear1);
        visitor.child("dropout", &self.feed.dropout);
        visitor.child("linear2", &self.feed.linear2);
        visitor.child("norm1", &self.norm1);
        visitor.child("norm2", &self.norm2);
        visitor.child("norm3", &self.norm3);
        visitor.child("dropout1", &self.dropout);
    }
}

/// Decoder layers one after the other, and a normalisation at the end if there is one.
///
/// Parts as in PyTorch: `layers.0`, `layers.1`, .., `norm`. There all layers start with the values of
/// one; here each has its own.
pub struct TransformerDecoder {
    /// The layers, in order.
    pub layers: Vec<TransformerDecoderLayer>,
    /// After the last layer.
    pub norm: Option<LayerNorm>,
    tag: Tag,
}

impl TransformerDecoder {
    /// So many layers, each made by a call of `layer`.
    pub fn new(
        num_layers: usize,
        layer: impl FnMut() -> TransformerDecoderLayer,
    ) -> TransformerDecoder {
        let layers: Vec<_> = std::iter::repeat_with(layer).take(num_layers).collect();
        let tag = Tag::new(format!("TransformerDecoder({num_layers} layers)"));
        TransformerDecoder { layers, norm: None, tag }
    }

    /// A normalisation after the last layer.
    #[must_use]
    pub fn norm(mut self, norm: LayerNorm) -> TransformerDecoder {
        self.norm = Some(norm);
        self
    }

    /// The result for targets and a memory, without masks.
    #[track_caller]
    pub fn forward(&self, tgt: &Tensor, memory: &Tensor) -> Tensor {
        self.forward_with(tgt, memory, AttentionMasks::default(), AttentionMasks::default())
    }

    /// The result with masks, which are those of every layer.
    #[track_caller]
    pub fn forward_with(
        &self,
        tgt: &Tensor,
        memory: &Tensor,
        tgt_masks: AttentionMasks<'_>,
        memory_masks: AttentionMasks<'_>,
    ) -> Tensor {
        let _scope = self.tag.enter();
        let mut x = tgt.clone();
        for layer in &self.layers {
            x = layer.forward_with(&x, memory, tgt_masks, memory_masks);
        }
        match &self.norm {
            Some(norm) => norm.forward(&x),
            None => x,
        }
    }
}

impl fmt::Debug for TransformerDecoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.tag.describe())
    }
}

impl Module for TransformerDecoder {
    fn walk(&self, visitor: &mut dyn Visitor) {
        visitor.tag(&self.tag);
        visitor.child("layers", &self.layers);
        if let Some(norm) = &self.norm {
            visitor.child("norm", norm);
        }
    }
}
