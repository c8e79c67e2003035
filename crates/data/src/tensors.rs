//! What `batches` yields. The one place to change when batches become tensors.
//!
//! For pairs of tensors: implement [`FromBatch`] for `(Tensor, Tensor)` (an error becomes a pair of
//! error tensors) and let [`BatchItem`] be that type. Nothing else depends on it.

use gradus_core::Result;

use crate::batch::{Batch, Batches};
use crate::dataset::Dataset;

/// A form in which an iterator can hand out batches.
pub trait FromBatch {
    /// Turns a batch, or why it could not be made, into this form.
    fn from_batch(batch: Result<Batch>) -> Self;
}

impl FromBatch for Result<Batch> {
    fn from_batch(batch: Result<Batch>) -> Self {
        batch
    }
}

/// What [`Dataset::batches`] yields.
pub type BatchItem = Result<Batch>;

impl Dataset {
    /// The samples in order, `batch_size` at a time; see
    /// [`array_batches`](Dataset::array_batches).
    pub fn batches(&self, batch_size: usize) -> Batches<BatchItem> {
        self.batches_of(batch_size)
    }
}
