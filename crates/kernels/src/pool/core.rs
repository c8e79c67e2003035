//! The protocol by which a caller and the workers share a job.
//!
//! Everything that must agree is in one atomic word: whether a caller owns the pool, how many
//! *seats* its job still offers, how many workers are inside the job, how many sleep. A worker takes
//! a seat and steps inside in one exchange; the caller closes the job by removing the seats, then
//! waits until nobody is inside. So a job is read only by workers that are counted, and written
//! only when none is.

use std::sync::PoisonError;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};

use super::sync::{AtomicU64, AtomicUsize, Condvar, Mutex, MutexGuard, UnsafeCell};

/// One worker inside the job.
const INSIDE: u64 = 1;
/// One free seat.
const SEAT: u64 = 1 << 16;
/// One sleeping worker.
const ASLEEP: u64 = 1 << 32;
/// Each of the three counts has 16 bits.
const COUNT: u64 = 0xffff;
/// A caller owns the pool.
const BUSY: u64 = 1 << 48;
/// The caller sleeps until nobody is inside.
const WAITING: u64 = 1 << 49;
/// The workers have to end.
const STOP: u64 = 1 << 50;

fn inside(state: u64) -> u64 {
    state & COUNT
}

fn seats(state: u64) -> u64 {
    (state / SEAT) & COUNT
}

fn asleep(state: u64) -> u64 {
    (state / ASLEEP) & COUNT
}

/// What to run: `call(i)` for `i` in `0..pieces`. The call must not unwind.
#[derive(Clone, Copy)]
struct Job {
    call: *const (dyn Fn(usize) + Sync),
    pieces: usize,
}

pub(super) struct Core {
    state: AtomicU64,
    /// The next piece that nobody has claimed.
    next: AtomicUsize,
    job: UnsafeCell<Job>,
    lock: Mutex<()>,
    /// Where workers sleep.
    work: Condvar,
    /// Where a caller sleeps.
    done: Condvar,
}

// SAFETY: `job` is written only by the caller that owns the pool while nobody is inside, and read
// only by workers inside; the state word orders the two. The call it points to is `Sync`, and lives
// until `fork` returns.
unsafe impl Sync for Core {}
// SAFETY: as above; nothing in it belongs to a thread.
unsafe impl Send for Core {}

/// How long to spin before sleeping; and whether to spin at all.
pub(super) trait Patience {
    /// Called again and again while there is nothing to do; false to go to sleep.
    fn wait(&mut self) -> bool;
    /// There was something to do.
    fn reset(&mut self);
}

impl Core {
    pub(super) fn new() -> Core {
        Core {
            state: AtomicU64::new(0),
            next: AtomicUsize::new(0),
            job: UnsafeCell::new(Job { call: &|_| (), pieces: 0 }),
            lock: Mutex::new(()),
            work: Condvar::new(),
            done: Condvar::new(),
        }
    }

    fn locked(&self) -> MutexGuard<'_, ()> {
        // The lock guards nothing but sleeping, so poison (which cannot happen) would mean nothing.
        self.lock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `call` for all pieces, here and in up to `helpers` of the `workers`; false, having done
    /// nothing, if another caller owns the pool. `company` makes it wait (a moment at most) for a
    /// worker before it starts; `call` must not unwind.
    pub(super) fn fork(
        &self,
        pieces: usize,
        helpers: usize,
        workers: usize,
        call: &(dyn Fn(usize) + Sync),
        patience: &mut dyn Patience,
        company: Option<&mut dyn Patience>,
    ) -> bool {
        if self.state.fetch_or(BUSY, Acquire) & BUSY != 0 {
            return false;
        }
        // SAFETY: only the lifetime changes. Nobody uses the pointer after this function returns:
        // it does so only when no worker is inside and no seat is left.
        let call = unsafe {
            std::mem::transmute::<*const (dyn Fn(usize) + Sync + '_), *const (dyn Fn(usize) + Sync)>(
                call,
            )
        };
        let job = Job { call, pieces };
        // SAFETY: we own the pool and nobody is inside, so nobody reads the job.
        self.job.with_mut(|cell| unsafe { *cell = job });
        self.next.store(0, Relaxed);
        let offered = (helpers as u64).min(COUNT);
        let before = self.state.fetch_add(offered * SEAT, AcqRel);
        let awake = (workers as u64).saturating_sub(asleep(before));
        let wake = offered.saturating_sub(awake).min(asleep(before));
        if wake > 0 {
            // A worker holds the lock from before it counts itself asleep until it waits: with the
            // lock taken once, none of those counted can miss the call.
            let _held = self.locked();
            for _ in 0..wake {
                self.work.notify_one();
            }
        }
        if let Some(company) = company {
            while seats(self.state.load(Relaxed)) == offered && company.wait() {}
        }
        self.work_on(job);
        // Close: nobody steps inside from here on.
        let mut state = self.state.fetch_and(!(COUNT * SEAT), AcqRel);
        patience.reset();
        while inside(state) > 0 && patience.wait() {
            state = self.state.load(Acquire);
        }
        if inside(state) > 0 {
            let mut held = self.locked();
            state = self.state.fetch_or(WAITING, AcqRel);
            while inside(state) > 0 {
                held = self.done.wait(held).unwrap_or_else(PoisonError::into_inner);
                state = self.state.load(Acquire);
            }
        }
        self.state.fetch_and(!(BUSY | WAITING), Release);
        true
    }

    /// Claims pieces and runs them until none is left.
    fn work_on(&self, job: Job) {
        // SAFETY: the caller of `fork` keeps the call alive while anybody is inside, and both it
        // and the workers call this only while they are.
        let call = unsafe { &*job.call };
        loop {
            let piece = self.next.fetch_add(1, Relaxed);
            if piece >= job.pieces {
                return;
            }
            call(piece);
        }
    }

    /// What a worker thread does until [`Core::stop`].
    pub(super) fn serve(&self, patience: &mut dyn Patience) {
        loop {
            let state = self.state.load(Relaxed);
            if seats(state) > 0 {
                let entered = state - SEAT + INSIDE;
                if self.state.compare_exchange_weak(state, entered, Acquire, Relaxed).is_ok() {
                    // SAFETY: we are counted inside, so the job is not written now; that it was
                    // written is ordered by the exchange.
                    let job = self.job.with(|cell| unsafe { *cell });
                    self.work_on(job);
                    self.leave();
                    patience.reset();
                }
            } else if state & STOP != 0 {
                return;
            } else if !patience.wait() {
                self.sleep();
                patience.reset();
            }
        }
    }

    fn leave(&self) {
        let before = self.state.fetch_sub(INSIDE, AcqRel);
        if before & WAITING != 0 && inside(before) == 1 {
            // The caller holds the lock from before it says WAITING until it waits.
            let _held = self.locked();
            self.done.notify_one();
        }
    }

    /// Sleeps until somebody calls; or not at all if there is a seat already.
    fn sleep(&self) {
        let held = self.locked();
        let mut state = self.state.load(Relaxed);
        loop {
            if seats(state) > 0 || state & STOP != 0 {
                return;
            }
            match self.state.compare_exchange_weak(state, state + ASLEEP, AcqRel, Relaxed) {
                Ok(_) => break,
                Err(now) => state = now,
            }
        }
        drop(self.work.wait(held).unwrap_or_else(PoisonError::into_inner));
        self.state.fetch_sub(ASLEEP, AcqRel);
    }

    /// Ends the workers; for tests.
    #[cfg(all(test, loom))]
    pub(super) fn stop(&self) {
        self.state.fetch_or(STOP, AcqRel);
        let _held = self.locked();
        self.work.notify_all();
    }
}

/// All interleavings of small cases: `RUSTFLAGS="--cfg loom" cargo test --release --lib loom`.
#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use loom::sync::Arc;

    /// Sleeps at once, or after one more look.
    struct Looks(usize, usize);
    impl Patience for Looks {
        fn wait(&mut self) -> bool {
            loom::thread::yield_now();
            self.1 += 1;
            self.1 <= self.0
        }
        fn reset(&mut self) {
            self.1 = 0;
        }
    }

    fn check(workers: usize, jobs: usize, pieces: usize, looks: usize, preemptions: usize) {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(preemptions);
        model.check(move || {
            let core = Arc::new(Core::new());
            let threads: Vec<_> = (0..workers)
                .map(|_| {
                    let core = core.clone();
                    loom::thread::spawn(move || core.serve(&mut Looks(looks, 0)))
                })
                .collect();
            for job in 0..jobs {
                // Plain cells: loom reports a race if the join did not order the accesses.
                let cells: Vec<_> = (0..pieces).map(|_| loom::cell::UnsafeCell::new(0)).collect();
                let shared = Cells(&cells);
                let call = |i: usize| shared.add(i, job + i + 1);
                assert!(core.fork(pieces, workers, workers, &call, &mut Looks(looks, 0), None));
                for (i, cell) in cells.iter().enumerate() {
                    // SAFETY: the job is over.
                    assert_eq!(cell.with(|c| unsafe { *c }), job + i + 1);
                }
            }
            core.stop();
            for thread in threads {
                assert!(thread.join().is_ok());
            }
        });
    }

    struct Cells<'a>(&'a [loom::cell::UnsafeCell<usize>]);
    // SAFETY: loom checks that the accesses do not race.
    unsafe impl Sync for Cells<'_> {}
    impl Cells<'_> {
        fn add(&self, i: usize, n: usize) {
            // SAFETY: as above.
            self.0[i].with_mut(|c| unsafe { *c += n });
        }
    }

    #[test]
    fn loom_one_worker_that_sleeps_at_once() {
        check(1, 2, 2, 0, 4);
    }

    #[test]
    fn loom_one_worker_that_looks_again() {
        check(1, 2, 1, 1, 3);
    }

    #[test]
    fn loom_two_workers() {
        check(2, 1, 2, 0, 2);
    }

    #[test]
    fn loom_two_callers() {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(3);
        model.check(|| {
            let core = Arc::new(Core::new());
            let worker = {
                let core = core.clone();
                loom::thread::spawn(move || core.serve(&mut Looks(0, 0)))
            };
            let other = {
                let core = core.clone();
                loom::thread::spawn(move || caller(&core))
            };
            caller(&core);
            assert!(other.join().is_ok());
            core.stop();
            assert!(worker.join().is_ok());
        });
    }

    fn caller(core: &Core) {
        let cells = [loom::cell::UnsafeCell::new(0), loom::cell::UnsafeCell::new(0)];
        let shared = Cells(&cells);
        if core.fork(2, 1, 1, &|i| shared.add(i, 1), &mut Looks(0, 0), None) {
            // SAFETY: the job is over.
            assert!(cells.iter().all(|cell| cell.with(|c| unsafe { *c }) == 1));
        }
    }
}
