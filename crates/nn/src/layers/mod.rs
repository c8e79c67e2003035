//! The layers. Each owns its parameters and a tag, and opens a scope around tensor operations.

mod activation;
mod dropout;
mod embedding;
mod flatten;
mod linear;
mod sequential;

pub use activation::{Gelu, GeluTanh, Relu, Sigmoid, Tanh};
pub use dropout::Dropout;
pub use embedding::{EmbedColumns, Embedding};
pub use flatten::{Flatten, Identity};
pub use linear::Linear;
pub use sequential::Sequential;
