//! The layers. Each owns its parameters and a tag, and opens a scope around tensor operations.

mod activation;
mod attention;
mod conv;
mod conv_transpose;
mod dropout;
mod embedding;
mod flatten;
mod graph;
mod linear;
mod norm;
mod pool;
mod positions;
mod recurrent;
mod sequential;
mod transformer;

pub use activation::{Gelu, GeluTanh, Relu, Sigmoid, Tanh};
pub use attention::{AttentionMasks, MultiheadAttention};
pub use conv::{Conv1d, Conv2d, Conv3d};
pub use conv_transpose::{ConvTranspose1d, ConvTranspose2d, ConvTranspose3d};
pub use dropout::Dropout;
pub use embedding::{EmbedColumns, Embedding};
pub use flatten::{Flatten, Identity};
pub use graph::{Aggregation, Epsilon, GatConv, GcnConv, GinConv, SageConv};
pub use linear::Linear;
pub use norm::{BatchNorm, BatchNorm1d, BatchNorm2d, BatchNorm3d, RunningStats};
pub use norm::{GroupNorm, LayerNorm, LocalResponseNorm, RmsNorm};
pub use norm::{InstanceNorm, InstanceNorm1d, InstanceNorm2d, InstanceNorm3d};
pub use pool::*;
pub use positions::{LearnedPositions, RotaryPositions, SinusoidalPositions};
pub use recurrent::{Gru, GruCell, Lstm, LstmCell, RecurrentWeights, Rnn, RnnCell};
pub use sequential::Sequential;
pub use transformer::{Transformer, TransformerDecoder, TransformerDecoderLayer};
pub use transformer::{TransformerEncoder, TransformerEncoderLayer, TransformerMasks};

/// The first of some tensors that failed: what a layer hands on then, so that one mistake has one
/// message.
fn failed_among<'a>(
    tensors: impl IntoIterator<Item = &'a gradus_core::Tensor>,
) -> Option<gradus_core::Tensor> {
    tensors.into_iter().find(|t| t.check().is_err()).cloned()
}
