//! Transformers: layers of attention and two affine maps, stacks of them, and the whole.
//!
//! Names, defaults and initial values are PyTorch's. Masks come as [`AttentionMasks`]: of a bool mask
//! true hides.

mod decoder;
mod encoder;
mod whole;

pub use decoder::{TransformerDecoder, TransformerDecoderLayer};
pub use encoder::{TransformerEncoder, TransformerEncoderLayer};
pub use whole::{Transformer, TransformerMasks};

use gradus_core::Tensor;

use super::attention::AttentionMasks;
use super::dropout::Dropout;
use super::linear::Linear;
use crate::init;

/// The function between the two maps of a layer, for example `Tensor::gelu`.
pub(crate) type Activation = fn(&Tensor) -> Tensor;

/// Two affine maps with an activation and dropout between them; the part that is not attention.
struct FeedForward {
    linear1: Linear,
    linear2: Linear,
    dropout: Dropout,
    activation: Activation,
}

impl FeedForward {
    fn new(size: usize, hidden: usize, bias: bool) -> FeedForward {
        let linear = |from, to| match bias {
            true => Linear::new(from, to),
            false => Linear::new(from, to).no_bias(),
        };
        FeedForward {
            linear1: linear(size, hidden),
            linear2: linear(hidden, size),
            dropout: Dropout::new(0.1),
            activation: Tensor::relu,
        }
    }

    /// Another width between the maps, which start anew.
    fn resized(self, hidden: usize) -> FeedForward {
        let (size, bias) = (self.linear1.in_features(), self.linear1.bias.is_some());
        let FeedForward { dropout, activation, .. } = self;
        FeedForward { dropout, activation, ..FeedForward::new(size, hidden, bias) }
    }

    fn no_bias(mut self) -> FeedForward {
        self.linear1 = self.linear1.no_bias();
        self.linear2 = self.linear2.no_bias();
        self
    }

    fn xavier(mut self) -> FeedForward {
        self.linear1 = self.linear1.with_init(|shape| init::xavier_uniform(shape, 1.0));
        self.linear2 = self.linear2.with_init(|shape| init::xavier_uniform(shape, 1.0));
        self
    }

    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        let hidden = (self.activation)(&self.linear1.forward(x));
        self.linear2.forward(&self.dropout.forward(&hidden))
    }
}
