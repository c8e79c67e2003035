//! What the machine can do at most: multiply-adds in registers, bytes through each level of memory,
//! a fork and join of the pool. Speeds of kernels are compared with these.
//!
//! Other programs and neighbours on the same host only ever take speed away, so each function repeats
//! its loop for some time and reports the best round.

use std::time::{Duration, Instant};

use crate::gemm::simd::{Base, Simd};
#[cfg(target_arch = "x86_64")]
use crate::isa::Isa;
use crate::isa::active;
use crate::memory::{KernelError, Storage, Ty};
use crate::pool;

/// Multiply-adds that do not wait for each other: at least the latency times the units.
const CHAINS: usize = 12;
/// Turns of the loop between two looks at the clock.
const TURNS: usize = 20_000;

/// # Safety
/// The machine has the instruction set of `S`.
#[inline(always)]
unsafe fn chains<S: Simd>(start: f32) -> f32 {
    // SAFETY: the caller's.
    unsafe {
        let (half, one) = (S::splat(std::hint::black_box(0.5)), S::splat(start));
        let mut acc = [S::zero(); CHAINS];
        for _ in 0..TURNS {
            for a in &mut acc {
                *a = a.fma(half, one);
            }
        }
        let all = acc.into_iter().fold(S::zero(), |a, b| a.add(b));
        let mut out = [0.0f32; 16];
        all.store(out.as_mut_ptr());
        out.iter().sum()
    }
}

/// # Safety
/// The machine has the instruction set of `S`; `n` elements can be read at `p`, a multiple of 16 * 8.
#[inline(always)]
unsafe fn total<S: Simd>(p: *const f32, n: usize) -> f32 {
    // SAFETY: the caller's.
    unsafe {
        let mut acc = [S::zero(); 8];
        let mut at = 0;
        while at < n {
            for (i, a) in acc.iter_mut().enumerate() {
                *a = a.add(S::load(p.add(at + i * S::LANES)));
            }
            at += 8 * S::LANES;
        }
        let all = acc.into_iter().fold(S::zero(), |a, b| a.add(b));
        let mut out = [0.0f32; 16];
        all.store(out.as_mut_ptr());
        out.iter().sum()
    }
}

/// # Safety
/// As `total`, for `p` to read and `q` to write, which do not overlap.
#[inline(always)]
unsafe fn move_all<S: Simd>(p: *const f32, q: *mut f32, n: usize) {
    // SAFETY: the caller's.
    unsafe {
        let mut at = 0;
        while at < n {
            for i in 0..8 {
                S::load(p.add(at + i * S::LANES)).store(q.add(at + i * S::LANES));
            }
            at += 8 * S::LANES;
        }
    }
}

macro_rules! level {
    ($module:ident, $simd:ty $(, $feature:literal)?) => {
        mod $module {
            use super::*;
            /// # Safety
            /// As `super::chains`.
            $(#[target_feature(enable = $feature)])?
            pub(super) unsafe fn chains(start: f32) -> f32 {
                // SAFETY: the caller's.
                unsafe { super::chains::<$simd>(start) }
            }
            /// # Safety
            /// As `super::total`.
            $(#[target_feature(enable = $feature)])?
            pub(super) unsafe fn total(p: *const f32, n: usize) -> f32 {
                // SAFETY: the caller's.
                unsafe { super::total::<$simd>(p, n) }
            }
            /// # Safety
            /// As `super::move_all`.
            $(#[target_feature(enable = $feature)])?
            pub(super) unsafe fn move_all(p: *const f32, q: *mut f32, n: usize) {
                // SAFETY: the caller's.
                unsafe { super::move_all::<$simd>(p, q, n) }
            }
            pub(super) const LANES: usize = <$simd>::LANES;
        }
    };
}

level!(base, Base);
#[cfg(target_arch = "x86_64")]
level!(avx2, crate::gemm::simd::Avx2, "avx2,fma");
#[cfg(target_arch = "x86_64")]
level!(avx512, crate::gemm::simd::Avx512, "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl");

struct Level {
    lanes: usize,
    chains: unsafe fn(f32) -> f32,
    total: unsafe fn(*const f32, usize) -> f32,
    move_all: unsafe fn(*const f32, *mut f32, usize),
}

fn level() -> Level {
    macro_rules! of {
        ($m:ident) => {
            Level { lanes: $m::LANES, chains: $m::chains, total: $m::total, move_all: $m::move_all }
        };
    }
    match active() {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => of!(avx512),
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => of!(avx2),
        _ => of!(base),
    }
}

/// Repeats `round` for `time` (three times at least) and returns the seconds of the fastest one.
fn best(time: Duration, mut round: impl FnMut()) -> f64 {
    let (started, mut best, mut rounds) = (Instant::now(), f64::INFINITY, 0);
    while rounds < 3 || started.elapsed() < time {
        let before = Instant::now();
        round();
        best = best.min(before.elapsed().as_secs_f64());
        rounds += 1;
    }
    best.max(1e-9)
}

/// Multiplications and additions a second, f32, from registers, on `threads` threads of the pool at
/// once, with the instructions that kernels use ([`crate::isa::active`]).
pub fn multiply_adds(threads: usize, time: Duration) -> f64 {
    let level = level();
    let flops = (2 * CHAINS * TURNS * level.lanes * threads.max(1)) as f64;
    let one = |_: usize| {
        // SAFETY: `level` picks what this machine has.
        std::hint::black_box(unsafe { (level.chains)(std::hint::black_box(1.0)) });
    };
    let before = pool::threads();
    if before < threads {
        pool::set_threads(threads);
    }
    let seconds = best(time, || {
        if threads <= 1 {
            one(0);
        } else {
            // A panic of a piece cannot happen: it does nothing but arithmetic.
            let _ = pool::run(threads, u64::MAX / 4, &one);
        }
    });
    if before < threads {
        pool::set_threads(before);
    }
    flops / seconds
}

/// Bytes a second that one thread reads, and copies (counting what is read and what is written), of
/// arrays of `bytes` bytes that it goes through again and again.
///
/// # Errors
/// Memory that cannot be had.
pub fn bandwidth(bytes: usize, time: Duration) -> Result<[f64; 2], KernelError> {
    let n = (bytes / 4).next_multiple_of(16 * 8);
    let storage = |zeroed| {
        Storage::try_new(Ty::F32, n, zeroed).ok_or(KernelError::Bounds("bandwidth: no memory"))
    };
    let (mut from, mut to) = (storage(true)?, storage(true)?);
    let level = level();
    // Short loops are repeated, so that the clock's resolution does not matter.
    let times = (1usize << 18).div_ceil(n).max(1);
    let (Some(from), Some(to)) = (from.write(), to.write()) else {
        return Err(KernelError::Overlap("bandwidth: shared memory"));
    };
    let (p, q) = (from.ptr::<f32>(), to.ptr::<f32>());
    let read = best(time, || {
        for _ in 0..times {
            // SAFETY: n elements, a multiple of 128, can be read; the level is this machine's.
            std::hint::black_box(unsafe { (level.total)(std::hint::black_box(p), n) });
        }
    });
    let copied = best(time, || {
        for _ in 0..times {
            // SAFETY: as above, and q is another array of the same length, writable.
            unsafe { (level.move_all)(std::hint::black_box(p), std::hint::black_box(q), n) };
        }
    });
    let moved = (times * n * 4) as f64;
    Ok([moved / read, 2.0 * moved / copied])
}

/// Seconds that the pool takes to hand two empty pieces to two threads and to wait for both (the best of
/// many, and their median); `None` with one thread.
pub fn fork_join(time: Duration) -> Option<[f64; 2]> {
    if pool::threads() < 2 {
        return None;
    }
    let mut times = Vec::new();
    let started = Instant::now();
    while times.len() < 100 || started.elapsed() < time {
        let before = Instant::now();
        let _ = pool::run(2, u64::MAX / 4, &|_| {});
        times.push(before.elapsed().as_secs_f64());
    }
    times.sort_by(f64::total_cmp);
    Some([times.first().copied()?, times.get(times.len() / 2).copied()?])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speeds_are_positive_and_the_loops_compute() {
        let time = Duration::from_millis(1);
        assert!(multiply_adds(1, time) > 0.0);
        let [read, copied] = bandwidth(1000, time).unwrap();
        assert!(read > 0.0 && copied > 0.0);
        // 1/2 x + 1 from 0 tends to 2: CHAINS of them in every lane.
        // SAFETY: `level` picks what this machine has.
        let sum = unsafe { (level().chains)(1.0) };
        assert_eq!(sum, (2 * CHAINS * level().lanes) as f32);
        let data: Vec<f32> = (0..256).map(|i| i as f32).collect();
        // SAFETY: as above; 256 elements can be read.
        let total = unsafe { (level().total)(data.as_ptr(), 256) };
        assert_eq!(total, (255 * 128) as f32);
    }
}
