//! The layers. Each owns its parameters and a tag, and opens a scope around tensor operations.

mod activation;
mod attention;
mod bilinear;
mod containers;
mod conv;
mod conv_transpose;
mod dropout;
mod embedding;
mod embedding_bag;
mod filter;
mod flatten;
mod graph;
mod image;
mod learned;
mod linear;
mod norm;
mod pad;
mod pool;
mod positions;
mod recurrent;
mod sequential;
mod transformer;

pub use activation::{Celu, Elu, Glu, Hardshrink, Hardsigmoid, Hardswish, Hardtanh, LeakyRelu};
pub use activation::{Gelu, GeluTanh, Relu, Sigmoid, Tanh};
pub use activation::{LogSigmoid, LogSoftmax, Mish, Relu6, Rrelu, Selu, Silu, Softmax};
pub use activation::{Softmax2d, Softmin, Softplus, Softshrink, Softsign, Tanhshrink, Threshold};
pub use attention::{AttentionMasks, MultiheadAttention};
pub use bilinear::Bilinear;
pub use containers::{Parallel, Residual};
pub use conv::{Conv1d, Conv2d, Conv3d};
pub use conv_transpose::{ConvTranspose1d, ConvTranspose2d, ConvTranspose3d};
pub use dropout::{AlphaDropout, DropPath, Dropout, FeatureAlphaDropout};
pub use dropout::{Dropout1d, Dropout2d, Dropout3d, FeatureDropout};
pub use embedding::{EmbedColumns, Embedding};
pub use embedding_bag::EmbeddingBag;
pub use flatten::{Flatten, Identity};
pub use graph::{Aggregation, Epsilon, GatConv, GcnConv, GinConv, SageConv};
pub use image::*;
pub use learned::{Maxout, Prelu, SwiGlu};
pub use linear::Linear;
pub use norm::{BatchNorm, BatchNorm1d, BatchNorm2d, BatchNorm3d, RunningStats};
pub use norm::{GroupNorm, LayerNorm, LocalResponseNorm, RmsNorm};
pub use norm::{InstanceNorm, InstanceNorm1d, InstanceNorm2d, InstanceNorm3d};
pub use norm::{SpectralNorm, WeightNorm};
pub use pad::*;
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

/// The result of a layer whose constructor failed, at the user's line: the input's own error, if it
/// has one, else that of the first parameter with one.
#[track_caller]
fn broken<'a>(
    x: &gradus_core::Tensor,
    params: impl IntoIterator<Item = &'a gradus_core::Param>,
) -> Option<gradus_core::Tensor> {
    let error = params.into_iter().find_map(gradus_core::Param::error)?.clone();
    Some(if x.failure().is_some() { x.clone() } else { gradus_core::Tensor::failed(error) })
}
