//! Speed of the matrix product beside crate `gemm` and a loop of multiply-adds in registers:
//! `cargo bench -p gradus-kernels --bench gemm [-- words of the rows to run]`.
//!
//! One thread; the contestants take turns, and the medians are shown, because the clock of a
//! shared machine wanders.

#![allow(clippy::print_stdout)] // a table on the screen is what this is for

use gradus_kernels::gemm::{Activation, Gemm, gemm};
use gradus_kernels::isa::{self, Isa};
use gradus_kernels::memory::Mem;
use std::hint::black_box;
use std::time::Instant;

#[derive(Clone, Copy, PartialEq)]
enum Form {
    Nn,
    Nt,
    Tn,
}
use Form::*;

/// Name of the row, m, k, n, form, batch.
const ROWS: &[(&str, usize, usize, usize, Form, usize)] = &[
    ("forward", 128, 784, 512, Nt, 1),
    ("forward", 128, 512, 256, Nt, 1),
    ("forward", 128, 256, 10, Nt, 1),
    ("weights", 512, 128, 784, Tn, 1),
    ("weights", 256, 128, 512, Tn, 1),
    ("weights", 10, 128, 256, Tn, 1),
    ("inputs", 128, 256, 512, Nn, 1),
    ("inputs", 128, 10, 256, Nn, 1),
    ("coder-fwd", 256, 784, 128, Nt, 1),
    ("coder-fwd", 256, 128, 32, Nt, 1),
    ("coder-fwd", 256, 32, 128, Nt, 1),
    ("coder-fwd", 256, 128, 784, Nt, 1),
    ("coder-dw", 128, 256, 784, Tn, 1),
    ("coder-dw", 32, 256, 128, Tn, 1),
    ("coder-dw", 128, 256, 32, Tn, 1),
    ("coder-dw", 784, 256, 128, Tn, 1),
    ("coder-dx", 256, 784, 128, Nn, 1),
    ("coder-dx", 256, 128, 32, Nn, 1),
    ("coder-dx", 256, 32, 128, Nn, 1),
    ("square", 512, 512, 512, Nn, 1),
    ("square", 512, 512, 512, Nt, 1),
    ("square", 512, 512, 512, Tn, 1),
    ("square", 1024, 1024, 1024, Nn, 1),
    ("square", 1024, 1024, 1024, Nt, 1),
    ("square", 1024, 1024, 1024, Tn, 1),
    ("large", 2048, 2048, 2048, Nn, 1),
    ("long", 4096, 256, 1024, Nn, 1),
    ("long", 4096, 256, 1024, Nt, 1),
    ("long", 4096, 256, 1024, Tn, 1),
    ("recurrent", 1024, 2048, 256, Tn, 1),
    ("recurrent", 1024, 2048, 64, Tn, 1),
    ("recurrent", 96, 2048, 256, Tn, 1),
    ("recurrent", 2048, 1024, 64, Nn, 1),
    ("recurrent", 2048, 64, 1024, Nt, 1),
    ("attention", 128, 32, 128, Nt, 64),
    ("attention", 128, 128, 32, Nn, 64),
    ("small", 4, 2, 8, Nt, 1),
    ("small", 4, 2, 8, Nn, 1),
    ("small", 4, 8, 1, Nt, 1),
    ("small", 8, 8, 8, Nn, 1),
    ("small", 8, 8, 8, Nt, 1),
    ("small", 8, 8, 8, Tn, 1),
    ("small", 32, 20, 64, Nt, 1),
    ("small", 32, 64, 32, Nt, 1),
    ("small", 32, 64, 32, Nn, 1),
    ("small", 32, 64, 32, Tn, 1),
    ("small", 64, 64, 10, Nn, 1),
    ("small", 16, 128, 128, Nt, 1),
    ("vector", 1, 784, 512, Nt, 1),
    ("vector", 1, 784, 512, Nn, 1),
    ("vector", 4, 784, 512, Nt, 1),
    ("vector", 4, 784, 512, Nn, 1),
    ("vector", 1, 256, 256, Nt, 1),
    ("vector", 1, 256, 256, Nn, 1),
    ("vector", 1, 2048, 2048, Nt, 1),
    ("vector", 1, 2048, 2048, Nn, 1),
    ("column", 128, 256, 1, Nt, 1),
];

/// Memory as the system has it: starting at a cache line.
struct Aligned(Vec<[f32; 16]>, usize);

impl Aligned {
    fn new(len: usize) -> Aligned {
        let mut lines = vec![[0.0; 16]; len.div_ceil(16) + 1];
        for (i, x) in lines.as_flattened_mut().iter_mut().enumerate() {
            *x = ((i * 7919 + 13) % 1009) as f32 / 1009.0 - 0.5;
        }
        let past = lines.as_ptr() as usize % 64 / 4;
        Aligned(lines, (16 - past) % 16)
    }

    fn get(&self) -> &[f32] {
        &self.0.as_flattened()[self.1..]
    }

    fn get_mut(&mut self) -> &mut [f32] {
        &mut self.0.as_flattened_mut()[self.1..]
    }
}

/// Multiply-adds in registers only: what the core could do. Returns GFLOP/s.
fn peak(level: Isa) -> f64 {
    const STEPS: usize = 20_000;
    let start = Instant::now();
    let flop = match level {
        // SAFETY: the level is one that this machine has.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => unsafe { peaks::avx512(STEPS) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => unsafe { peaks::avx2(STEPS) },
        _ => return f64::NAN,
    };
    flop as f64 / start.elapsed().as_nanos() as f64
}

#[cfg(target_arch = "x86_64")]
mod peaks {
    use core::arch::x86_64::*;
    use std::hint::black_box;

    macro_rules! peak {
        ($name:ident, $feature:literal, $zero:ident, $set:ident, $fma:ident, $n:literal, $lanes:literal) => {
            /// # Safety
            /// The machine has the feature.
            #[target_feature(enable = $feature)]
            pub(crate) unsafe fn $name(steps: usize) -> usize {
                let (x, y) = ($set(black_box(0.5)), $set(black_box(0.25)));
                let mut acc = [$zero(); $n];
                for _ in 0..steps {
                    for a in &mut acc {
                        *a = $fma(x, y, *a);
                    }
                }
                black_box(acc);
                2 * steps * $n * $lanes
            }
        };
    }
    peak!(avx512, "avx512f", _mm512_setzero_ps, _mm512_set1_ps, _mm512_fmadd_ps, 24, 16);
    peak!(avx2, "avx2,fma", _mm256_setzero_ps, _mm256_set1_ps, _mm256_fmadd_ps, 12, 8);
}

fn median(mut x: Vec<f64>) -> f64 {
    x.sort_by(f64::total_cmp);
    x[x.len() / 2]
}

fn main() {
    gradus_kernels::pool::set_threads(1);
    let words: Vec<String> = std::env::args().skip(1).filter(|w| !w.starts_with('-')).collect();
    let level = isa::active();
    println!("level {}; GFLOP/s are medians of interleaved samples", level.name());
    println!(
        "{:<10} {:>20} {:>3} {:>10} {:>8} {:>6} {:>8} {:>6}",
        "row", "m x k x n", "", "ns", "GFLOP/s", "share", "opponent", "ratio"
    );
    for &(name, m, k, n, form, batch) in ROWS {
        let label = format!("{m}x{k}x{n}");
        let wanted = |w: &String| name.contains(w.as_str()) || label.contains(w.as_str());
        if !words.is_empty() && !words.iter().any(wanted) {
            continue;
        }
        let (a, b) = (Aligned::new(m * k * batch), Aligned::new(k * n * batch));
        let (a, b) = (a.get(), b.get());
        let mut c = Aligned::new(m * n * batch);
        let c = c.get_mut();
        let a_strides = if form == Tn { [1, m] } else { [k, 1] };
        let b_strides = if form == Nt { [1, k] } else { [n, 1] };
        let a_batch: Vec<usize> = (0..batch).map(|i| i * m * k).collect();
        let b_batch: Vec<usize> = (0..batch).map(|i| i * k * n).collect();
        let mut ours = |times: usize| {
            let start = Instant::now();
            for _ in 0..times {
                let done = gemm(&Gemm {
                    m,
                    k,
                    n,
                    a: Mem::read(black_box(a)),
                    a_strides,
                    b: Mem::read(black_box(b)),
                    b_strides,
                    c: Mem::write(black_box(&mut *c)),
                    c_stride: n,
                    batch,
                    a_batch: &a_batch,
                    b_batch: &b_batch,
                    accumulate: false,
                    bias: None,
                    activation: Activation::None,
                    watch: false,
                });
                black_box(done.is_ok());
            }
            start.elapsed().as_nanos() as f64 / times as f64
        };
        let mut d = Aligned::new(m * n * batch);
        let d = d.get_mut();
        let mut theirs = |times: usize| {
            let start = Instant::now();
            for _ in 0..times {
                for e in 0..batch {
                    opponent(
                        [m, k, n],
                        black_box(&a[e * m * k..]),
                        a_strides,
                        black_box(&b[e * k * n..]),
                        b_strides,
                        black_box(&mut d[e * m * n..]),
                    );
                }
            }
            start.elapsed().as_nanos() as f64 / times as f64
        };
        let once = ours(3).min(ours(3));
        let times = (1e6 / once).ceil() as usize;
        let (mut x, mut y, mut p) = (vec![], vec![], vec![]);
        for _ in 0..25 {
            p.push(peak(level));
            x.push(ours(times));
            y.push(theirs(times));
        }
        let flop = (2 * m * k * n * batch) as f64;
        let (x, y, p) = (median(x), median(y), median(p));
        let form = ["NN", "NT", "TN"][form as usize];
        println!(
            "{name:<10} {label:>20} {form:>3} {x:>10.0} {:>8.1} {:>5.0}% {:>8.1} {:>6.2}",
            flop / x,
            100.0 * flop / x / p,
            flop / y,
            y / x
        );
    }
    println!("peak of multiply-adds in registers now: {:.0} GFLOP/s", peak(level));
}

fn opponent(
    [m, k, n]: [usize; 3],
    a: &[f32],
    [a_row, a_col]: [usize; 2],
    b: &[f32],
    [b_row, b_col]: [usize; 2],
    c: &mut [f32],
) {
    // SAFETY: the slices hold what sizes and strides say.
    unsafe {
        ::gemm::gemm(
            m,
            n,
            k,
            c.as_mut_ptr(),
            1,
            n as isize,
            false,
            a.as_ptr(),
            a_col as isize,
            a_row as isize,
            b.as_ptr(),
            b_col as isize,
            b_row as isize,
            0.0f32,
            1.0f32,
            false,
            false,
            false,
            ::gemm::Parallelism::None,
        );
    }
}
