//! Sums, means and maxima of embedded ids.

use std::fmt;

use gradus_core::{Bag, Param, Tag, Tensor};

use super::{Embedding, broken};
use crate::layer::Layer;
use crate::module::{Module, Visitor};

/// One vector for a bag of ids: the mean (or sum, or maximum) of the vectors of its ids.
///
/// `[bags, ids]` of i64 becomes `[bags, embedding_dim]`; [`EmbeddingBag::forward_bags`] takes bags of
/// different sizes. `weight` is `[num_embeddings, embedding_dim]` and starts standard normal, as in
/// PyTorch; a bag of nothing gives zeros. Of equal values in a maximum all share the gradient
/// (PyTorch gives it to one).
///
/// ```
/// use gradus_core::{Bag, Tensor};
/// use gradus_nn::EmbeddingBag;
/// let words = EmbeddingBag::new(1000, 16).mode(Bag::Sum);
/// assert_eq!(words.forward(&Tensor::from([[3, 1, 4], [1, 5, 9]])).dims::<2>()?, [2, 16]);
/// // Two bags in one list: ids 0 and 1, and the rest.
/// let (ids, offsets) = (Tensor::from([3, 1, 4, 1, 5]), Tensor::from([0, 2]));
/// assert_eq!(words.forward_bags(&ids, Some(&offsets), None).dims::<2>()?, [2, 16]);
/// # Ok::<(), gradus_core::Error>(())
/// ```
pub struct EmbeddingBag {
    /// `[num_embeddings, embedding_dim]`.
    pub weight: Param,
    mode: Bag,
    padding_idx: Option<usize>,
    include_last_offset: bool,
    tag: Tag,
}

impl EmbeddingBag {
    /// A table of `num_embeddings` vectors, whose mean is taken. A size of 0 is an error, which the
    /// first `forward`, `step` or `save` reports.
    pub fn new(num_embeddings: usize, embedding_dim: usize) -> EmbeddingBag {
        EmbeddingBag {
            weight: Embedding::new(num_embeddings, embedding_dim).weight,
            mode: Bag::Mean,
            padding_idx: None,
            include_last_offset: false,
            tag: Tag::new(format!("EmbeddingBag({num_embeddings}, {embedding_dim})")),
        }
    }

    /// What is made of the vectors; their mean by default.
    #[must_use]
    pub fn mode(mut self, mode: Bag) -> EmbeddingBag {
        self.mode = mode;
        self
    }

    /// The id of padding: it counts for nothing, starts at zero and is never trained.
    #[must_use]
    pub fn padding_idx(mut self, id: usize) -> EmbeddingBag {
        let table = self.weight.get().map(Embedding::from_array);
        self.weight = match table {
            Ok(table) => table.padding_idx(id).weight,
            Err(error) => Param::from_result(Err(error)),
        };
        self.padding_idx = Some(id);
        self
    }

    /// The last offset is the number of ids, not the start of a bag.
    #[must_use]
    pub fn include_last_offset(mut self) -> EmbeddingBag {
        self.include_last_offset = true;
        self
    }

    /// The vectors of `[bags, ids]`: `[bags, embedding_dim]`.
    #[track_caller]
    pub fn forward(&self, ids: &Tensor) -> Tensor {
        self.forward_bags(ids, None, None)
    }

    /// The vectors of bags that are rows of `ids`, or begin at `offsets` in a list of ids, with a
    /// weight for each id of a sum; see [`Tensor::embedding_bag`].
    #[track_caller]
    pub fn forward_bags(
        &self,
        ids: &Tensor,
        offsets: Option<&Tensor>,
        per_sample_weights: Option<&Tensor>,
    ) -> Tensor {
        let _scope = self.tag.enter();
        if let Some(failed) = broken(ids, [&self.weight]) {
            return failed;
        }
        let starts = offsets.map(|offsets| match offsets.shape() {
            Ok(shape) if self.include_last_offset && shape.rank() == 1 && shape.dim(0) > 0 => {
                offsets.narrow(0, 0, shape.dim(0) - 1)
            }
            _ => offsets.clone(),
        });
        let table = self.weight.tensor();
        table.embedding_bag(ids, starts.as_ref(), self.mode, per_sample_weights, self.padding_idx)
    }
}

impl fmt::Debug for EmbeddingBag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.tag.describe())
    }
}

impl Module for EmbeddingBag {
    fn walk(&self, visitor: &mut dyn Visitor) {
        visitor.tag(&self.tag);
        visitor.param("weight", &self.weight);
    }
}

impl Layer for EmbeddingBag {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        EmbeddingBag::forward(self, x)
    }
}
