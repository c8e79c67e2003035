//! What `batches` yields: pairs of tensors, ready for a model.

use gradus_core::{Result, Tensor};

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

impl FromBatch for (Tensor, Tensor) {
    /// A batch that could not be made is a pair of failed tensors: the loss made from them carries
    /// the error to `step`.
    fn from_batch(batch: Result<Batch>) -> Self {
        match batch {
            Ok(batch) => (Tensor::from(batch.x), Tensor::from(batch.y)),
            Err(error) => {
                let failed = Tensor::failed(error);
                (failed.clone(), failed)
            }
        }
    }
}

/// What [`Dataset::batches`] yields: features and targets.
pub type BatchItem = (Tensor, Tensor);

impl Dataset {
    /// The samples in order, `batch_size` at a time, as pairs of tensors; see
    /// [`array_batches`](Dataset::array_batches).
    ///
    /// ```
    /// let digits = gradus_data::digits()?;
    /// for (x, y) in digits.shuffled(0).batches(64).take(1) {
    ///     assert_eq!(x.dims::<2>()?, [64, 64]);
    ///     assert_eq!(y.dims::<1>()?, [64]);
    /// }
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    pub fn batches(&self, batch_size: usize) -> Batches<BatchItem> {
        self.batches_of(batch_size)
    }
}
