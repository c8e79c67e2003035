//! The thread pool: one fork-join at a time, spin for a moment, then park.
//!
//! Workers start when the first job is worth a fork and stay. A caller works on its own job, so a
//! job on `n` threads has `n - 1` workers; a thread that finds the pool busy (another thread's job,
//! or a job inside a job) runs its job alone. No cut that could change a bit depends on the number
//! of threads, so results do not either.
//!
//! `GRADUS_THREADS=n` sets the number of threads; `GRADUS_SPLIT=all` forks whatever it costs, so
//! that tests on small sizes run in many threads.

mod core;
mod sync;

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use self::core::{Core, Patience};

/// Below this much work a fork does not pay.
const FORK_NS: u64 = 20_000;
/// Work for which it pays to call one more thread.
const HELPER_NS: u64 = 10_000;
/// More threads than this are refused: the counts of the core have 16 bits.
const MOST_THREADS: usize = 4096;

static CORE: OnceLock<Core> = OnceLock::new();
/// Threads that share a job, the caller included; 0 before it is known.
static THREADS: AtomicUsize = AtomicUsize::new(0);
/// 0 before it is known, 1 for no, 2 for yes.
static SPLIT_ALL: AtomicU8 = AtomicU8::new(0);
/// Whether waiting threads may spin: not where more threads are wanted than there are processors.
static MAY_SPIN: AtomicBool = AtomicBool::new(true);
static WORKERS: AtomicUsize = AtomicUsize::new(0);
static STARTING: Mutex<()> = Mutex::new(());
/// How many threads ran a piece in this round of counting, and the number of the round.
static RAN: AtomicUsize = AtomicUsize::new(0);
static ROUND: AtomicU64 = AtomicU64::new(1);

thread_local! {
    /// The last round in which this thread was counted.
    static COUNTED: Cell<u64> = const { Cell::new(0) };
}

/// A piece of a job panicked; what it was writing is undefined but initialised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PiecePanicked;

/// Runs `job(i)` once for each `i` in `0..pieces`, on this thread and on idle workers.
///
/// `cost_ns` is the caller's estimate of the whole job on one thread: below the price of a fork
/// everything runs here. Pieces are claimed dynamically, so there may be more of them than threads.
///
/// # Errors
/// A panic in a piece is caught where it happens; the other pieces still run, then it is reported.
pub fn run(pieces: usize, cost_ns: u64, job: &(dyn Fn(usize) + Sync)) -> Result<(), PiecePanicked> {
    if pieces > 1 {
        let all = split_all();
        if (cost_ns >= FORK_NS || all) && threads() > 1 {
            return fork(pieces, cost_ns, all, job);
        }
    }
    alone(pieces, job)
}

#[inline]
fn alone(pieces: usize, job: &(dyn Fn(usize) + Sync)) -> Result<(), PiecePanicked> {
    if pieces > 0 {
        count_this_thread();
    }
    let mut result = Ok(());
    let next = Cell::new(0);
    while next.get() < pieces {
        let rest = catch_unwind(AssertUnwindSafe(|| {
            while next.get() < pieces {
                let piece = next.get();
                next.set(piece + 1);
                job(piece);
            }
        }));
        if let Err(payload) = rest {
            forget(payload);
            result = Err(PiecePanicked);
        }
    }
    result
}

fn fork(
    pieces: usize,
    cost_ns: u64,
    all: bool,
    job: &(dyn Fn(usize) + Sync),
) -> Result<(), PiecePanicked> {
    let core = CORE.get_or_init(Core::new);
    let threads = threads();
    if WORKERS.load(Ordering::Relaxed) + 1 < threads {
        start_workers(core, threads - 1);
    }
    let worth = if all { usize::MAX } else { (cost_ns / HELPER_NS).max(1) as usize };
    let helpers = (threads - 1).min(pieces - 1).min(worth);
    let panicked = AtomicBool::new(false);
    let call = |piece: usize| {
        count_this_thread();
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| job(piece))) {
            forget(payload);
            panicked.store(true, Ordering::Relaxed);
        }
    };
    let mut company = Spin::new(Duration::from_millis(1));
    let company: Option<&mut dyn Patience> = if all { Some(&mut company) } else { None };
    let workers = WORKERS.load(Ordering::Relaxed);
    // The caller spins as long as workers do: what it waits for is a piece under way.
    if !core.fork(pieces, helpers, workers, &call, &mut Spin::new(SPIN), company) {
        return alone(pieces, job);
    }
    if panicked.into_inner() { Err(PiecePanicked) } else { Ok(()) }
}

/// The hook has printed the panic. Dropping what was thrown could throw again, so it is leaked.
fn forget(payload: Box<dyn std::any::Any + Send>) {
    std::mem::forget(payload);
}

#[cold]
fn start_workers(core: &'static Core, wanted: usize) {
    let _one_at_a_time = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
    for i in WORKERS.load(Ordering::Relaxed)..wanted {
        let name = format!("gradus-{}", i + 1);
        let started =
            std::thread::Builder::new().name(name).spawn(|| core.serve(&mut Spin::new(SPIN)));
        if started.is_err() {
            return; // fewer threads than wanted: slower, but right
        }
        WORKERS.store(i + 1, Ordering::Relaxed);
    }
}

/// Makes jobs use `n` threads from now on (at least 1), the caller included.
pub fn set_threads(n: usize) {
    let n = n.clamp(1, MOST_THREADS);
    THREADS.store(n, Ordering::Relaxed);
    MAY_SPIN.store(n <= processors(), Ordering::Relaxed);
}

/// How many threads share a job: what [`set_threads`] or `GRADUS_THREADS` said, else one for each
/// processor that this process may use.
pub fn threads() -> usize {
    match THREADS.load(Ordering::Relaxed) {
        0 => {
            let asked = std::env::var("GRADUS_THREADS").ok().and_then(|s| s.trim().parse().ok());
            set_threads(asked.filter(|&n| n > 0).unwrap_or_else(processors));
            THREADS.load(Ordering::Relaxed)
        }
        n => n,
    }
}

fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Makes every job of more than one piece fork, whatever its cost; for tests.
pub fn set_split_all(all: bool) {
    SPLIT_ALL.store(if all { 2 } else { 1 }, Ordering::Relaxed);
}

fn split_all() -> bool {
    match SPLIT_ALL.load(Ordering::Relaxed) {
        0 => {
            let all = std::env::var("GRADUS_SPLIT").is_ok_and(|s| s.trim() == "all");
            set_split_all(all);
            all
        }
        n => n == 2,
    }
}

/// How many different threads ran a piece since [`reset_workers_that_ran`]; for tests.
pub fn workers_that_ran() -> usize {
    RAN.load(Ordering::Relaxed)
}

/// Starts counting [`workers_that_ran`] anew; call it when no job runs.
pub fn reset_workers_that_ran() {
    ROUND.fetch_add(1, Ordering::Relaxed);
    RAN.store(0, Ordering::Relaxed);
}

fn count_this_thread() {
    let round = ROUND.load(Ordering::Relaxed);
    if COUNTED.get() != round {
        COUNTED.set(round);
        RAN.fetch_add(1, Ordering::Relaxed);
    }
}

/// How long a thread without work spins before it sleeps. A training step has its forks some ten
/// microseconds apart, and waking a sleeper takes longer than that.
const SPIN: Duration = Duration::from_micros(50);
/// Spins, then gives up. It does not yield between: on a busy machine the scheduler brings back a
/// thread that yielded much later than one that slept and is called.
struct Spin {
    limit: Duration,
    start: Option<Instant>,
    looks: u32,
}

impl Spin {
    fn new(limit: Duration) -> Spin {
        Spin { limit, start: None, looks: 0 }
    }
}

impl Patience for Spin {
    fn wait(&mut self) -> bool {
        self.looks += 1;
        if self.looks.is_multiple_of(32) {
            let Some(start) = self.start else {
                self.start = Some(Instant::now());
                return MAY_SPIN.load(Ordering::Relaxed);
            };
            if start.elapsed() > self.limit || !MAY_SPIN.load(Ordering::Relaxed) {
                return false;
            }
        }
        std::hint::spin_loop();
        true
    }

    fn reset(&mut self) {
        (self.start, self.looks) = (None, 0);
    }
}
