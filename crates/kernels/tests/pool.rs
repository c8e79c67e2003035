//! The pool runs every piece once, whatever happens.
#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests

use gradus_kernels::pool::{
    self, PiecePanicked, reset_workers_that_ran, run, set_split_all, set_threads, workers_that_ran,
};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn alone() -> std::sync::MutexGuard<'static, ()> {
    ONE_AT_A_TIME.lock().unwrap_or_else(|e| e.into_inner())
}

fn each_piece_once(pieces: usize, cost_ns: u64) {
    let counts: Vec<AtomicUsize> = (0..pieces).map(|_| AtomicUsize::new(0)).collect();
    let job = |i: usize| {
        counts[i].fetch_add(1, Ordering::Relaxed);
    };
    assert_eq!(run(pieces, cost_ns, &job), Ok(()));
    assert!(counts.iter().all(|c| c.load(Ordering::Relaxed) == 1));
}

#[test]
fn every_piece_runs_once() {
    let _alone = alone();
    for threads in [1, 2, 3, 8, 2] {
        set_threads(threads);
        assert_eq!(pool::threads(), threads);
        for pieces in [0, 1, 2, 3, 7, 100, 1000] {
            for _ in 0..50 {
                each_piece_once(pieces, 1_000_000);
                each_piece_once(pieces, 0);
            }
        }
    }
    set_threads(2);
}

#[test]
fn jobs_after_a_pause_wake_the_workers() {
    let _alone = alone();
    set_threads(3);
    for _ in 0..20 {
        std::thread::sleep(std::time::Duration::from_millis(1));
        each_piece_once(64, 1_000_000);
    }
    set_threads(2);
}

#[test]
fn a_panic_is_reported_and_the_rest_runs() {
    let _alone = alone();
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| ()));
    for (threads, cost) in [(1, 0), (2, 1_000_000), (4, 1_000_000)] {
        set_threads(threads);
        for _ in 0..20 {
            let ran = AtomicUsize::new(0);
            let job = |i: usize| {
                ran.fetch_add(1, Ordering::Relaxed);
                assert!(i % 5 != 3);
            };
            assert_eq!(run(20, cost, &job), Err(PiecePanicked));
            assert_eq!(ran.load(Ordering::Relaxed), 20);
            each_piece_once(10, cost);
        }
    }
    std::panic::set_hook(hook);
    set_threads(2);
}

#[test]
fn nested_and_simultaneous_jobs() {
    let _alone = alone();
    set_threads(2);
    std::thread::scope(|s| {
        for _ in 0..3 {
            s.spawn(|| {
                for _ in 0..300 {
                    let total = AtomicUsize::new(0);
                    let job = |i: usize| {
                        let inner = |j: usize| {
                            total.fetch_add(i * 10 + j, Ordering::Relaxed);
                        };
                        assert_eq!(run(5, 1_000_000, &inner), Ok(()));
                    };
                    assert_eq!(run(4, 1_000_000, &job), Ok(()));
                    assert_eq!(total.load(Ordering::Relaxed), (10 + 20 + 30) * 5 + 10 * 4);
                }
            });
        }
    });
}

#[test]
fn splitting_everything_brings_more_threads_in() {
    let _alone = alone();
    set_threads(2);
    set_split_all(false);
    reset_workers_that_ran();
    each_piece_once(8, 10);
    assert_eq!(workers_that_ran(), 1);
    set_split_all(true);
    reset_workers_that_ran();
    // On a busy machine one thread may be done many times before another wakes up.
    for _ in 0..1_000_000 {
        each_piece_once(8, 0);
        if workers_that_ran() > 1 {
            break;
        }
    }
    assert!(workers_that_ran() > 1);
    set_split_all(false);
    reset_workers_that_ran();
    assert_eq!(workers_that_ran(), 0);
}

/// Not a test of a limit, since machines differ: shows what a fork costs.
/// `cargo test --release --test pool -- --ignored --nocapture`
#[test]
#[ignore = "measures"]
fn fork_join_time() {
    let _alone = alone();
    set_threads(2);
    let measure = |cost_ns: u64, work: u64| {
        let job = |_: usize| {
            let mut x = 1u64;
            for _ in 0..work {
                x = std::hint::black_box(x.wrapping_mul(3));
            }
        };
        let mut times: Vec<f64> = (0..20_000)
            .map(|_| {
                let start = std::time::Instant::now();
                let _ = run(2, cost_ns, &job);
                start.elapsed().as_nanos() as f64 / 1e3
            })
            .collect();
        times.sort_by(f64::total_cmp);
        (times[0], times[times.len() / 2], times[times.len() * 99 / 100])
    };
    for work in [0, 3000, 6000, 30_000] {
        println!(
            "work {work:6}: alone {:?} us, forked {:?} us (least, median, 99 %)",
            measure(0, work),
            measure(1_000_000, work)
        );
    }
}
