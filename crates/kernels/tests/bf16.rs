//! Products of bf16: against f64 sums of rounded operands, over shapes and strides, with the machine's
//! instruction for pairs and without.

#![allow(clippy::unwrap_used, clippy::print_stderr)] // in helpers of tests

mod support;

use gradus_kernels::gemm::{Activation, Gemm, gemm_bf16};
use gradus_kernels::isa::{self, Isa};
use gradus_kernels::memory::{KernelError, Mem};
use gradus_kernels::pool;
use half::bf16;
use support::{Numbers, alone};

fn numbers(seed: u64, n: usize) -> Vec<f32> {
    let mut next = Numbers(seed * 2 + 1);
    (0..n).map(|_| next.f32()).collect()
}

/// How the elements of an operand lie.
#[derive(Clone, Copy, Debug)]
enum Layout {
    Rows,
    Columns,
    /// Neither those of a row nor those of a column are neighbours.
    Apart,
}
use Layout::{Apart, Columns, Rows};

fn strides(layout: Layout, rows: usize, columns: usize) -> [usize; 2] {
    match layout {
        Rows => [columns, 1],
        Columns => [1, rows],
        Apart => [2 * columns + 1, 2],
    }
}

/// Sizes, how A and B lie, and the batch.
#[derive(Clone, Copy, Debug)]
struct Case {
    m: usize,
    k: usize,
    n: usize,
    layouts: [Layout; 2],
    batch: usize,
}

impl Case {
    /// Strides of A and of B.
    fn strides(&self) -> [[usize; 2]; 2] {
        [strides(self.layouts[0], self.m, self.k), strides(self.layouts[1], self.k, self.n)]
    }

    /// Elements of an entry of A and of B.
    fn sizes(&self) -> [usize; 2] {
        let [a, b] = self.strides();
        let size = |s: [usize; 2], rows, columns| (rows - 1) * s[0] + (columns - 1) * s[1] + 1;
        [size(a, self.m, self.k), size(b, self.k, self.n)]
    }
}

fn made(case: Case, a: &[f32], b: &[f32], bias: &[f32]) -> Vec<f32> {
    let Case { m, k, n, batch, .. } = case;
    let ([a_strides, b_strides], [a_size, b_size]) = (case.strides(), case.sizes());
    let mut c = vec![f32::NAN; batch * m * n];
    let starts = |size: usize| (0..batch).map(|i| i * size).collect::<Vec<_>>();
    let finite = gemm_bf16(&Gemm {
        m,
        k,
        n,
        a: Mem::read(a),
        a_strides,
        b: Mem::read(b),
        b_strides,
        c: Mem::write(&mut c),
        c_stride: n,
        batch,
        a_batch: &starts(a_size),
        b_batch: &starts(b_size),
        accumulate: false,
        bias: Some(Mem::read(bias)),
        activation: Activation::None,
        watch: true,
    });
    assert_eq!(finite, Ok(true), "{case:?}");
    c
}

fn close(case: Case, a: &[f32], b: &[f32], bias: &[f32], c: &[f32]) {
    let Case { m, k, n, batch, .. } = case;
    let ([sa, sb], [a_size, b_size]) = (case.strides(), case.sizes());
    let r = |x: f32| bf16::from_f32(x).to_f64();
    for e in 0..batch {
        for i in 0..m {
            for j in 0..n {
                let (mut sum, mut size) = (f64::from(bias[j]), 1.0);
                for s in 0..k {
                    let x = r(a[e * a_size + i * sa[0] + s * sa[1]]);
                    let y = r(b[e * b_size + s * sb[0] + j * sb[1]]);
                    sum += x * y;
                    size += (x * y).abs();
                }
                let got = f64::from(c[(e * m + i) * n + j]);
                assert!(
                    (got - sum).abs() <= 2e-6 * size,
                    "{case:?} ({e}, {i}, {j}): {got}, not {sum}"
                );
            }
        }
    }
}

#[test]
fn sums_of_rounded_operands_on_every_path_for_any_number_of_threads() {
    let _alone = alone();
    let sizes = [
        (1, 1, 1),
        (3, 15, 17),
        (2, 16, 16),
        (9, 33, 50),
        (64, 64, 64),
        (70, 1100, 49),
        (130, 31, 7),
    ];
    for (seed, (m, k, n)) in sizes.into_iter().enumerate() {
        for layouts in [
            [Rows, Rows],
            [Columns, Rows],
            [Rows, Columns],
            [Columns, Columns],
            [Apart, Rows],
            [Columns, Apart],
        ] {
            let case = Case { m, k, n, layouts, batch: if m < 10 { 3 } else { 1 } };
            let [a_size, b_size] = case.sizes();
            let a = numbers(seed as u64, case.batch * a_size);
            let b = numbers(100 + seed as u64, case.batch * b_size);
            let bias = numbers(200, n);
            for (level, pairs) in [
                (Isa::Avx512, true),
                (Isa::Avx512, false),
                (Isa::Avx2, false),
                (Isa::Generic, false),
            ] {
                if !isa::force(level) || isa::force_bf16_pairs(pairs) != pairs {
                    eprintln!(
                        "skipped: {} with pairs {pairs}; this machine has neither",
                        level.name()
                    );
                    continue;
                }
                let mut first = None;
                for threads in [1, 3] {
                    pool::set_threads(threads);
                    pool::set_split_all(threads > 1);
                    let c = made(case, &a, &b, &bias);
                    close(case, &a, &b, &bias, &c);
                    let bits: Vec<u32> = c.iter().map(|x| x.to_bits()).collect();
                    assert_eq!(
                        first.get_or_insert_with(|| bits.clone()),
                        &bits,
                        "{case:?}, threads"
                    );
                }
                pool::set_threads(2);
                pool::set_split_all(false);
            }
        }
    }
    isa::force(isa::best());
    isa::force_bf16_pairs(true);
}

#[test]
fn what_is_not_finite_stays_so_and_other_types_are_refused() {
    let _alone = alone();
    for pairs in [true, false] {
        isa::force_bf16_pairs(pairs);
        let (mut a, b) = (numbers(1, 32 * 32), numbers(2, 32 * 32));
        a[5] = f32::INFINITY;
        a[40] = f32::NAN;
        let mut c = vec![0.0f32; 32 * 32];
        let ints = [0i32; 4];
        let mut out = [0i32; 4];
        let job = Gemm {
            m: 32,
            k: 32,
            n: 32,
            a: Mem::read(&a),
            a_strides: [32, 1],
            b: Mem::read(&b),
            b_strides: [32, 1],
            c: Mem::write(&mut c),
            c_stride: 32,
            batch: 1,
            a_batch: &[],
            b_batch: &[],
            accumulate: false,
            bias: None,
            activation: Activation::None,
            watch: true,
        };
        assert_eq!(gemm_bf16(&job), Ok(false));
        let (a, b) = (Mem::read(&ints), Mem::read(&ints));
        let small = Gemm {
            m: 2,
            k: 2,
            n: 2,
            a,
            b,
            c: Mem::write(&mut out),
            c_stride: 2,
            a_strides: [2, 1],
            b_strides: [2, 1],
            ..job
        };
        assert!(matches!(gemm_bf16(&small), Err(KernelError::Type(_))));
        assert!(c[..32].iter().all(|x| x.is_infinite()) && c[32..64].iter().all(|x| x.is_nan()));
        assert!(c[64..].iter().all(|x| x.is_finite()));
    }
    isa::force_bf16_pairs(true);
}
