//! Encoder and decoder together.

use std::fmt;

use gradus_core::{Tag, Tensor};

use super::decoder::{TransformerDecoder, TransformerDecoderLayer};
use super::encoder::{TransformerEncoder, TransformerEncoderLayer};
use super::{Activation, AttentionMasks};
use crate::layers::norm::LayerNorm;
use crate::module::{Module, Visitor};

/// A transformer from sequence to sequence: an encoder and a decoder that looks at its result.
///
/// Sources `[keys, batch, d_model]` and targets `[rows, batch, d_model]` give the targets' shape;
/// with [`Transformer::batch_first`] the batch is the first axis. Parts as in PyTorch:
/// `encoder.layers.N`, `encoder.norm`, `decoder.layers.N`, `decoder.norm`; all weights start with
/// Glorot's law. Defaults of the layers as in [`TransformerEncoderLayer`]; PyTorch's are `d_model`
/// 512, 8 heads and 6 layers each. Words, positions and the last map are not part of it. Vaswani et
/// al., 2017.
///
/// ```
/// use gradus_core::Tensor;
/// use gradus_nn::Transformer;
/// let model = Transformer::new(8, 2, 2, 2).dim_feedforward(16).batch_first(true);
/// let (src, tgt) = (Tensor::ones([3, 7, 8]), Tensor::ones([3, 5, 8]));
/// assert_eq!(model.forward(&src, &tgt).dims::<3>()?, [3, 5, 8]);
/// # Ok::<(), gradus_core::Error>(())
/// ```
pub struct Transformer {
    /// What reads the source.
    pub encoder: TransformerEncoder,
    /// What writes the target.
    pub decoder: TransformerDecoder,
    tag: Tag,
}

/// The masks of a [`Transformer`]; none by default.
#[derive(Clone, Copy, Debug, Default)]
pub struct TransformerMasks<'a> {
    /// Of the source in the encoder.
    pub src: AttentionMasks<'a>,
    /// Of the targets among themselves; `is_causal` for a decoder that writes.
    pub tgt: AttentionMasks<'a>,
    /// Of the encoder's result in the decoder.
    pub memory: AttentionMasks<'a>,
}

impl Transformer {
    /// A transformer of a size with so many heads and layers. Sizes that do not go together are an
    /// error, which the first `forward`, `step` or `save` reports.
    pub fn new(
        d_model: usize,
        nhead: usize,
        num_encoder_layers: usize,
        num_decoder_layers: usize,
    ) -> Transformer {
        let encoder = TransformerEncoder::new(num_encoder_layers, || {
            TransformerEncoderLayer::new(d_model, nhead).xavier()
        });
        let decoder = TransformerDecoder::new(num_decoder_layers, || {
            TransformerDecoderLayer::new(d_model, nhead).xavier()
        });
        Transformer {
            encoder: encoder.norm(LayerNorm::new(d_model)),
            decoder: decoder.norm(LayerNorm::new(d_model)),
            tag: Tag::new(format!("Transformer({d_model}, {nhead} heads)")),
        }
    }

    /// Changes all layers.
    fn each(
        mut self,
        encoder: impl FnMut(TransformerEncoderLayer) -> TransformerEncoderLayer,
        decoder: impl FnMut(TransformerDecoderLayer) -> TransformerDecoderLayer,
    ) -> Transformer {
        self.encoder.layers = self.encoder.layers.into_iter().map(encoder).collect();
        self.decoder.layers = self.decoder.layers.into_iter().map(decoder).collect();
        self
    }

    /// The size between the two maps of each layer; 2048 by default.
    #[must_use]
    pub fn dim_feedforward(self, size: usize) -> Transformer {
        self.each(|l| l.dim_feedforward(size).xavier(), |l| l.dim_feedforward(size).xavier())
    }

    /// The probability of dropout, everywhere; 0.1 by default.
    #[must_use]
    pub fn dropout(self, p: f64) -> Transformer {
        self.each(|l| l.dropout(p), |l| l.dropout(p))
    }

    /// The function between the two maps of each layer; `Tensor::relu` by default.
    #[must_use]
    pub fn activation(self, activation: Activation) -> Transformer {
        self.each(|l| l.activation(activation), |l| l.activation(activation))
    }

    /// What is added to variances; 1e-5 by default.
    #[must_use]
    pub fn layer_norm_eps(mut self, eps: f64) -> Transformer {
        self.encoder.norm = self.encoder.norm.map(|norm| norm.eps(eps));
        self.decoder.norm = self.decoder.norm.map(|norm| norm.eps(eps));
        self.each(|l| l.layer_norm_eps(eps), |l| l.layer_norm_eps(eps))
    }

    /// Whether to normalise before each part instead of after it; not by default.
    #[must_use]
    pub fn norm_first(self, first: bool) -> Transformer {
        self.each(|l| l.norm_first(first), |l| l.norm_first(first))
    }

    /// Whether the batch is the first axis; not by default.
    #[must_use]
    pub fn batch_first(self, first: bool) -> Transformer {
        self.each(|l| l.batch_first(first), |l| l.batch_first(first))
    }

    /// Without biases, in maps and normalisations alike.
    #[must_use]
    pub fn no_bias(mut self) -> Transformer {
        self.encoder.norm = self.encoder.norm.map(LayerNorm::no_bias);
        self.decoder.norm = self.decoder.norm.map(LayerNorm::no_bias);
        self.each(|l| l.no_bias(), |l| l.no_bias())
    }

    /// The result for sources and targets, without masks.
    #[track_caller]
    pub fn forward(&self, src: &Tensor, tgt: &Tensor) -> Tensor {
        self.forward_with(src, tgt, TransformerMasks::default())
    }

    /// The result with masks.
    #[track_caller]
    pub fn forward_with(&self, src: &Tensor, tgt: &Tensor, masks: TransformerMasks<'_>) -> Tensor {
        let _scope = self.tag.enter();
        let memory = self.encoder.forward_with(src, masks.src);
        self.decoder.forward_with(tgt, &memory, masks.tgt, masks.memory)
    }
}

impl fmt::Debug for Transformer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.tag.describe())
    }
}

impl Module for Transformer {
    fn walk(&self, visitor: &mut dyn Visitor) {
        visitor.tag(&self.tag);
        visitor.child("encoder", &self.encoder);
        visitor.child("decoder", &self.decoder);
    }
}
