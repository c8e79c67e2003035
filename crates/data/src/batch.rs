//! Batches: a dataset cut into pieces of equal size, each made into arrays when it is asked for.

use std::marker::PhantomData;

use gradus_core::{Array, Code, Error, Result};

use crate::dataset::Dataset;
use crate::rows::Rows;
use crate::tensors::FromBatch;

/// Some samples as arrays. `Send`, so another thread can make it.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The features, f32 `[batch, ...sample_shape]`.
    pub x: Array,
    /// The targets, i64 `[batch]` (class ids) or f32 `[batch, ...target_shape]`.
    pub y: Array,
    number: usize,
    rows: Rows,
}

impl Batch {
    /// Number of samples.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether it has no samples; no iterator of this crate makes such a batch.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Its place among the batches of an epoch, from 0.
    pub fn number(&self) -> usize {
        self.number
    }

    /// Which samples it holds: their row numbers in the data as it was loaded, in order.
    pub fn indices(&self) -> impl ExactSizeIterator<Item = usize> + '_ {
        self.rows.iter()
    }
}

/// How a dataset is cut: shared by the iterator and the loader, so that they cannot differ.
#[derive(Clone)]
pub(crate) struct Plan {
    data: Dataset,
    batch_size: usize,
    drop_last: bool,
}

impl Plan {
    pub(crate) fn new(data: &Dataset, batch_size: usize) -> Plan {
        Plan { data: data.clone(), batch_size, drop_last: false }
    }

    pub(crate) fn drop_last(&mut self, drop_last: bool) {
        self.drop_last = drop_last;
    }

    /// Number of batches. With a batch size of 0 there is one: the error.
    pub(crate) fn count(&self) -> usize {
        match (self.data.len(), self.batch_size) {
            (_, 0) => 1,
            (len, size) if self.drop_last => len / size,
            (len, size) => len.div_ceil(size),
        }
    }

    /// Makes one batch; needs no memory but that of its arrays, which is recycled.
    pub(crate) fn make(&self, number: usize) -> Result<Batch> {
        if self.batch_size == 0 {
            return Err(Error::new(Code::Argument, "batches: the batch size is 0")
                .help("use at least 1 sample a batch; 32 to 256 is usual"));
        }
        let rows = self.data.rows.slice(number.saturating_mul(self.batch_size), self.batch_size);
        let (x, y) = self.data.gather(&rows)?;
        Ok(Batch { x, y, number, rows })
    }
}

/// An iterator over the batches of a dataset, made by [`Dataset::array_batches`].
///
/// `T` is what it yields: any type that can be made from a `Result<Batch>`, see [`FromBatch`].
/// After an error it ends.
pub struct Batches<T = Result<Batch>> {
    plan: Plan,
    next: usize,
    kind: PhantomData<fn() -> T>,
}

impl<T> Batches<T> {
    /// Whether to leave out a last batch that is smaller than the others. Default: `false`.
    #[must_use]
    pub fn drop_last(mut self, drop_last: bool) -> Batches<T> {
        self.plan.drop_last(drop_last);
        self
    }
}

impl<T: FromBatch> Iterator for Batches<T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        if self.next >= self.plan.count() {
            return None;
        }
        let batch = self.plan.make(self.next);
        self.next = if batch.is_ok() { self.next + 1 } else { usize::MAX };
        Some(T::from_batch(batch))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.plan.count().saturating_sub(self.next);
        (left, Some(left))
    }
}

impl<T: FromBatch> ExactSizeIterator for Batches<T> {}
impl<T: FromBatch> std::iter::FusedIterator for Batches<T> {}

impl Dataset {
    /// The samples in order, `batch_size` at a time, as arrays. The last batch may be smaller.
    ///
    /// ```
    /// let digits = gradus_data::digits_images()?;
    /// let mut seen = 0;
    /// for batch in digits.array_batches(500) {
    ///     let batch = batch?;
    ///     assert_eq!(batch.x.dims()[1..], [8, 8]);
    ///     seen += batch.len();
    /// }
    /// assert_eq!(seen, 1797);
    /// assert_eq!(digits.array_batches(500).drop_last(true).len(), 3);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    ///
    /// With a batch size of 0 the first item is an error.
    pub fn array_batches(&self, batch_size: usize) -> Batches {
        self.batches_of(batch_size)
    }

    /// As [`array_batches`](Dataset::array_batches), in whatever form `T` gives a batch.
    pub fn batches_of<T: FromBatch>(&self, batch_size: usize) -> Batches<T> {
        Batches { plan: Plan::new(self, batch_size), next: 0, kind: PhantomData }
    }
}
