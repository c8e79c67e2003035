//! The loader: threads that make batches ahead of the training loop.
//!
//! Batch `k` is made by worker `k % workers`, each worker has its own bounded channel, and the
//! consumer asks the channels in turn. So the order is fixed without sorting anything, a worker
//! runs ahead by a few batches only, and the bits cannot depend on the number of workers.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{Builder, JoinHandle};

use gradus_core::{Code, Error, Result};

use crate::batch::{Batch, Plan};
use crate::dataset::Dataset;

/// Batches that a worker keeps ready beside the one it is making.
const AHEAD: usize = 2;
/// More threads than this is a mistake in a setting.
const MAX_WORKERS: usize = 64;

type Transform = Arc<dyn Fn(Batch) -> Result<Batch> + Send + Sync>;

/// Settings of a loader, made by [`Dataset::loader`]; iterate over it to run it.
#[derive(Clone)]
pub struct Loader {
    plan: Plan,
    workers: usize,
    transforms: Vec<Transform>,
}

impl Dataset {
    /// A loader: the same batches as [`array_batches`](Dataset::array_batches), made ahead by
    /// background threads. Worth it when a batch takes long to make, as with a costly
    /// [`map`](Loader::map).
    ///
    /// ```
    /// let digits = gradus_data::digits()?.shuffled(0);
    /// let mut seen = 0;
    /// for batch in digits.loader(64).workers(2) {
    ///     seen += batch?.len();
    /// }
    /// assert_eq!(seen, 1797);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    pub fn loader(&self, batch_size: usize) -> Loader {
        Loader { plan: Plan::new(self, batch_size), workers: 1, transforms: Vec::new() }
    }
}

impl Loader {
    /// Number of background threads, at most 64. Default: 1; with 0 batches are made when they are
    /// asked for. The batches have the same bits for any number.
    #[must_use]
    pub fn workers(mut self, workers: usize) -> Loader {
        self.workers = workers.min(MAX_WORKERS);
        self
    }

    /// Whether to leave out a last batch that is smaller than the others. Default: `false`.
    #[must_use]
    pub fn drop_last(mut self, drop_last: bool) -> Loader {
        self.plan.drop_last(drop_last);
        self
    }

    /// Changes each batch in the worker that made it; several are applied in order. To draw random
    /// numbers, start from [`Batch::number`], so that the result does not depend on threads. A panic
    /// inside becomes an error of that batch.
    #[must_use]
    pub fn map(
        mut self,
        transform: impl Fn(Batch) -> Result<Batch> + Send + Sync + 'static,
    ) -> Loader {
        self.transforms.push(Arc::new(transform));
        self
    }

    /// Number of batches.
    pub fn len(&self) -> usize {
        self.plan.count()
    }

    /// Whether there are no batches.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Starts the workers.
    pub fn iter(&self) -> Loading {
        Loading::start(self.clone())
    }

    fn make(&self, number: usize) -> Result<Batch> {
        let made = catch_unwind(AssertUnwindSafe(|| {
            self.transforms.iter().try_fold(self.plan.make(number)?, |batch, f| f(batch))
        }));
        made.unwrap_or_else(|payload| {
            let text = payload.downcast_ref::<&str>().map(|s| (*s).to_owned());
            let text = text.or_else(|| payload.downcast_ref::<String>().cloned());
            Err(Error::new(Code::Custom, format!("loader: making batch {number} panicked"))
                .line("panic", text.unwrap_or_else(|| "(no message)".to_owned())))
        })
    }

    /// A worker's life: every `workers`-th batch from `first`, until the consumer is gone.
    fn work(&self, first: usize, workers: usize, ready: &SyncSender<Result<Batch>>) {
        for number in (first..self.len()).step_by(workers) {
            let batch = self.make(number);
            let stop = batch.is_err();
            if ready.send(batch).is_err() || stop {
                return;
            }
        }
    }
}

impl IntoIterator for Loader {
    type Item = Result<Batch>;
    type IntoIter = Loading;

    fn into_iter(self) -> Loading {
        Loading::start(self)
    }
}

impl IntoIterator for &Loader {
    type Item = Result<Batch>;
    type IntoIter = Loading;

    fn into_iter(self) -> Loading {
        self.iter()
    }
}

/// A running loader: yields the batches in order. After an error it ends. Dropping it stops the
/// workers and waits for the batch that each is making.
pub struct Loading {
    loader: Arc<Loader>,
    ready: Vec<Receiver<Result<Batch>>>,
    threads: Vec<JoinHandle<()>>,
    /// Why a worker could not be started; reported instead of the first batch.
    failed: Option<Error>,
    next: usize,
}

impl Loading {
    fn start(loader: Loader) -> Loading {
        let workers = loader.workers.min(loader.len());
        let mut loading = Loading {
            loader: Arc::new(loader),
            ready: Vec::with_capacity(workers),
            threads: Vec::with_capacity(workers),
            failed: None,
            next: 0,
        };
        for first in 0..workers {
            let (sender, receiver) = sync_channel(AHEAD);
            let loader = Arc::clone(&loading.loader);
            let thread = Builder::new()
                .name(format!("gradus-loader-{first}"))
                .spawn(move || loader.work(first, workers, &sender));
            match thread {
                Ok(thread) => {
                    loading.ready.push(receiver);
                    loading.threads.push(thread);
                }
                Err(cause) => {
                    let title = format!("loader: cannot start thread {first}: {cause}");
                    loading.failed = Some(Error::new(Code::Io, title).help("use fewer workers"));
                    break;
                }
            }
        }
        loading
    }

    fn receive(&mut self) -> Result<Batch> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        match self.ready.get(self.next.checked_rem(self.ready.len()).unwrap_or(0)) {
            None => self.loader.make(self.next),
            Some(ready) => ready
                .recv()
                .unwrap_or_else(|_| Err(Error::internal("loader: a worker ended too early"))),
        }
    }
}

impl Iterator for Loading {
    type Item = Result<Batch>;

    fn next(&mut self) -> Option<Result<Batch>> {
        if self.next >= self.loader.len() {
            return None;
        }
        let batch = self.receive();
        self.next = if batch.is_ok() { self.next + 1 } else { usize::MAX };
        Some(batch)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.loader.len().saturating_sub(self.next);
        (left, Some(left))
    }
}

impl ExactSizeIterator for Loading {}
impl std::iter::FusedIterator for Loading {}

impl Drop for Loading {
    fn drop(&mut self) {
        // A worker that waits to hand over a batch notices that nobody will take it.
        self.ready.clear();
        for thread in self.threads.drain(..) {
            // Panics were caught inside and reported as errors.
            drop(thread.join());
        }
    }
}
