//! Affine maps, tables of vectors, dropout, and activations that are layers.

use super::Made;
use crate::harness::{Arg, Call};
use gradus::nn::{Dropout, Embedding, Gelu, GeluTanh, Identity, Linear, Relu, Sigmoid, Tanh};

/// A layer of this family.
pub(super) fn make(name: &str, c: &Call) -> Result<Option<Made>, String> {
    Ok(match name {
        "Linear" => {
            let sizes = (c.get(0, "in_features").size()?, c.get(1, "out_features").size()?);
            let layer = Linear::new(sizes.0, sizes.1);
            match c.get(2, "bias") {
                Arg::Truth(false) => Made::layer(layer.no_bias()),
                _ => Made::layer(layer),
            }
        }
        "Embedding" => {
            let sizes = (c.get(0, "num_embeddings").size()?, c.get(1, "embedding_dim").size()?);
            let layer = Embedding::new(sizes.0, sizes.1);
            match c.get(2, "padding_idx") {
                Arg::None => Made::layer(layer),
                // PyTorch's state may have anything in that row.
                id => Made::layer(layer.padding_idx(id.size()?)),
            }
        }
        "Dropout" => Made::layer(Dropout::new(c.get(0, "p").real()?)),
        "GELU" => match c.get(0, "approximate") {
            Arg::Text(how) if how == "tanh" => Made::layer(GeluTanh),
            _ => Made::layer(Gelu),
        },
        "Identity" => Made::layer(Identity),
        "ReLU" => Made::layer(Relu),
        "Sigmoid" => Made::layer(Sigmoid),
        "Tanh" => Made::layer(Tanh),
        _ => None,
    })
}
