//! What the tests of several kernels share.
#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests
#![allow(dead_code, unreachable_pub)]

use gradus_kernels::isa::{self, Isa};
use gradus_kernels::memory::{Element, KernelError, Mem, Truth, Ty};
use gradus_kernels::pool;
use gradus_kernels::program::{MAX_RANK, Program, Source};
use std::sync::{Mutex, MutexGuard};

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Levels, threads and splitting belong to the process: tests that change them take turns.
pub fn alone() -> MutexGuard<'static, ()> {
    ONE_AT_A_TIME.lock().unwrap_or_else(|e| e.into_inner())
}

/// Runs `f` at each level with FMA and for several numbers of threads; all must give the same.
pub fn everywhere<R: PartialEq + std::fmt::Debug>(f: impl Fn() -> R) -> R {
    let _alone = alone();
    levels(f)
}

/// As [`everywhere`] with bf16 in pairs, where the machine has them, and without: each has bits of its
/// own.
pub fn everywhere_in_bf16<R: PartialEq + std::fmt::Debug>(f: impl Fn() -> R) {
    let _alone = alone();
    isa::force(isa::best());
    if isa::force_bf16_pairs(true) {
        let mut first = None;
        for threads in [1, 2, 5] {
            pool::set_threads(threads);
            pool::set_split_all(threads > 1);
            let made = f();
            match &first {
                Some(first) => assert_eq!(&made, first, "pairs with {threads} threads"),
                None => first = Some(made),
            }
        }
    }
    isa::force_bf16_pairs(false);
    levels(&f);
    isa::force_bf16_pairs(true);
}

fn levels<R: PartialEq + std::fmt::Debug>(f: impl Fn() -> R) -> R {
    pool::set_threads(1);
    pool::set_split_all(false);
    isa::force(isa::best());
    let first = f();
    for level in [Isa::Avx2, Isa::Avx512] {
        if !isa::force(level) {
            continue;
        }
        for threads in [1, 2, 5] {
            pool::set_threads(threads);
            pool::set_split_all(threads > 1);
            assert_eq!(f(), first, "{} with {threads} threads", level.name());
        }
    }
    // Without FMA: other bits in places, but no trouble.
    isa::force(Isa::Generic);
    f();
    isa::force(isa::best());
    pool::set_threads(2);
    pool::set_split_all(false);
    first
}

/// Small, reproducible numbers.
pub struct Numbers(pub u64);

impl Numbers {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub fn f32(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1 << 23) as f32 - 1.0
    }

    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }
}

pub fn f32s(n: usize, seed: u64) -> Vec<f32> {
    let mut numbers = Numbers(seed.wrapping_mul(77) + 12345);
    (0..n).map(|_| numbers.f32()).collect()
}

pub fn bits(xs: &[f32]) -> Vec<u32> {
    xs.iter().map(|x| x.to_bits()).collect()
}

/// Row-major strides.
pub fn strides(dims: &[usize]) -> [isize; MAX_RANK] {
    let mut out = [0; MAX_RANK];
    let mut step = 1;
    for (axis, &d) in dims.iter().enumerate().rev() {
        out[axis] = step;
        step *= d as isize;
    }
    out
}

/// A program that gives back operand 0, laid out as said.
pub fn plain(ty: Ty, strides: [isize; MAX_RANK]) -> Program {
    Program {
        sources: vec![Source::Operand { operand: 0, ty, offset: 0, strides }],
        instrs: vec![],
        results: vec![0],
    }
}

/// What an output holds before a kernel runs, so that a place that is not written shows.
pub trait Poison {
    const POISON: Self;
}
macro_rules! poison {
    ($($t:ty: $value:expr;)*) => {$(impl Poison for $t {
        const POISON: $t = $value;
    })*};
}
poison! {
    f32: f32::NAN;
    f64: f64::NAN;
    i64: i64::MIN + 77;
    i32: i32::MIN + 77;
    u8: 0xa5;
    Truth: Truth(0xa5);
}

/// Runs a kernel on a fresh output of `len` elements and returns what it wrote.
pub fn output<T: Element + Poison>(
    len: usize,
    f: impl FnOnce(Mem<'_>) -> Result<(), KernelError>,
) -> Result<Vec<T>, KernelError> {
    let mut out = vec![T::POISON; len];
    f(Mem::write(&mut out))?;
    Ok(out)
}
