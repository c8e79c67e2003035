//! Whole models, one a file, with the names of their parts as in the models they are known from.

mod gcn;
mod gpt;
mod vit;

pub use gcn::Gcn;
pub use gpt::{Gpt, GptBlock, GptConfig};
pub use vit::{PatchProjection, VisionLayer, VisionTransformer, VisionTransformerConfig};
