//! The matrix product: bit for bit against scalar code, and against f64 over random shapes.

#![allow(clippy::unwrap_used)] // in helpers of tests

use gradus_kernels::gemm::{Activation, Gemm, gemm};
use gradus_kernels::isa::{self, Isa};
use gradus_kernels::memory::{KernelError, Mem};
use gradus_kernels::pool;
use proptest::prelude::*;
use std::sync::{Mutex, MutexGuard};

/// The level is the same for the whole process, so tests that set it take turns.
fn level(isa: Isa) -> Option<MutexGuard<'static, ()>> {
    static TURN: Mutex<()> = Mutex::new(());
    let guard = TURN.lock().unwrap_or_else(|e| e.into_inner());
    isa::force(isa).then_some(guard)
}

const LEVELS: [Isa; 3] = [Isa::Generic, Isa::Avx2, Isa::Avx512];

fn numbers(seed: u64, len: usize) -> Vec<f32> {
    let mut s = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..len)
        .map(|_| {
            s ^= s << 13;
            s ^= s >> 7;
            s ^= s << 17;
            (s >> 40) as f32 / (1u64 << 23) as f32 - 1.0
        })
        .collect()
}

/// Where the elements of an operand are.
#[derive(Clone, Copy, Debug)]
enum Layout {
    Rows,
    Columns,
    WideRows,
    WideColumns,
    Spread,
    RowRepeated,
    ColumnRepeated,
}
use Layout::*;
const LAYOUTS: [Layout; 7] =
    [Rows, Columns, WideRows, WideColumns, Spread, RowRepeated, ColumnRepeated];

fn strides(layout: Layout, rows: usize, cols: usize) -> [usize; 2] {
    match layout {
        Rows => [cols, 1],
        Columns => [1, rows],
        WideRows => [cols + 3, 1],
        WideColumns => [1, rows + 5],
        Spread => [2 * cols + 1, 2],
        RowRepeated => [0, 1],
        ColumnRepeated => [1, 0],
    }
}

fn reach(sizes: [usize; 2], strides: [usize; 2]) -> usize {
    if sizes.contains(&0) {
        0
    } else {
        (sizes[0] - 1) * strides[0] + (sizes[1] - 1) * strides[1] + 1
    }
}

#[derive(Clone, Debug)]
struct Case {
    m: usize,
    k: usize,
    n: usize,
    a: Layout,
    b: Layout,
    wide_c: usize,
    batch: usize,
    same_b: bool,
    accumulate: bool,
    bias: bool,
    relu: bool,
    seed: u64,
}

impl Case {
    fn plain(m: usize, k: usize, n: usize) -> Case {
        let seed = (m * 10_007 + k * 101 + n) as u64;
        Case {
            m,
            k,
            n,
            a: Rows,
            b: Rows,
            wide_c: 0,
            batch: 1,
            same_b: false,
            accumulate: false,
            bias: false,
            relu: false,
            seed,
        }
    }
}

/// The sum of a product of this shape as it is defined: `x` and `y` are the factors of a step.
fn defined(
    (rows, k, n): (usize, usize, usize),
    fused: bool,
    x: impl Fn(usize) -> f32,
    y: impl Fn(usize) -> f32,
) -> f32 {
    let step = |sum: f32, kk: usize| {
        if fused { x(kk).mul_add(y(kk), sum) } else { x(kk) * y(kk) + sum }
    };
    let few = (rows <= 4 || n == 1) && k >= 256 && k * if n == 1 { rows } else { n } >= 16 << 10;
    let block = if few { 1024 } else { 512 };
    let sums = (0..k.max(1)).step_by(block).map(|start| {
        let steps = start..k.min(start + block);
        if !few {
            return steps.fold(0.0, step);
        }
        let mut lanes = [0.0f32; 16];
        for (l, lane) in lanes.iter_mut().enumerate() {
            *lane = steps.clone().skip(l).step_by(16).fold(0.0, step);
            if steps.len() % 16 != 0 && l >= steps.len() % 16 {
                *lane += 0.0;
            }
        }
        for half in [8, 4, 2, 1] {
            for l in 0..half {
                lanes[l] += lanes[l + half];
            }
        }
        lanes[0]
    });
    sums.reduce(|a, b| a + b).unwrap_or(0.0)
}

/// What the kernel made of a case and what the definition says: exactly, and in f64 with the sum
/// of magnitudes. All windows have exactly the length that is needed.
struct Outcome {
    got: Vec<f32>,
    exact: Vec<f32>,
    f64s: Vec<(f64, f64)>,
    gaps_kept: bool,
}

fn run(case: &Case, fused: bool) -> Outcome {
    let &Case { m, k, n, batch, .. } = case;
    let (sa, sb) = (strides(case.a, m, k), strides(case.b, k, n));
    let (la, lb) = (reach([m, k], sa), reach([k, n], sb));
    let entries = if case.same_b { 1 } else { batch };
    // Windows inside of larger, poisoned buffers, so that a read outside shows in the result.
    let pad = 40;
    let mut a = vec![f32::NAN; la * batch + 2 * pad];
    a[pad..pad + la * batch].copy_from_slice(&numbers(case.seed + 1, la * batch));
    let mut b = vec![f32::NAN; lb * entries + 2 * pad];
    b[pad..pad + lb * entries].copy_from_slice(&numbers(case.seed + 2, lb * entries));
    let bias = numbers(case.seed + 3, n);
    let ldc = n + case.wide_c;
    let c_len = if m == 0 || n == 0 { 0 } else { (batch * m - 1) * ldc + n };
    let mut c = vec![7.5f32; c_len + 2 * pad];
    if case.accumulate {
        c[pad..pad + c_len].copy_from_slice(&numbers(case.seed + 4, c_len));
    }
    let before = c.clone();
    let a_batch: Vec<usize> = (0..batch).map(|i| i * la).collect();
    let b_batch: Vec<usize> = (0..batch).map(|i| if case.same_b { 0 } else { i * lb }).collect();
    let finite = gemm(&Gemm {
        m,
        k,
        n,
        a: Mem::read(&a[pad..pad + la * batch]),
        a_strides: sa,
        b: Mem::read(&b[pad..pad + lb * entries]),
        b_strides: sb,
        c: Mem::write(&mut c[pad..pad + c_len]),
        c_stride: ldc,
        batch,
        a_batch: &a_batch,
        b_batch: &b_batch,
        accumulate: case.accumulate,
        bias: case.bias.then(|| Mem::read(&bias)),
        activation: if case.relu { Activation::Relu } else { Activation::None },
        watch: true,
    })
    .unwrap();
    assert!(finite, "{case:?}");

    let (mut got, mut exact, mut f64s) = (vec![], vec![], vec![]);
    let mut written = vec![false; c.len()];
    for e in 0..batch {
        for i in 0..m {
            for j in 0..n {
                let at = pad + (e * m + i) * ldc + j;
                written[at] = true;
                // Of the large ones only a sample, because this side is slow.
                if m * n * k > 20_000_000 && (i * n + j) % 101 != 0 {
                    continue;
                }
                got.push(c[at]);
                let x = |kk: usize| a[pad + a_batch[e] + i * sa[0] + kk * sa[1]];
                let y = |kk: usize| b[pad + b_batch[e] + kk * sb[0] + j * sb[1]];
                let (mut sum, mut size) = (0.0f64, 0.0f64);
                for kk in 0..k {
                    sum += f64::from(x(kk)) * f64::from(y(kk));
                    size += f64::from(x(kk) * y(kk)).abs();
                }
                let mut total = defined((batch * m, k, n), fused, x, y);
                if case.accumulate {
                    total += before[at];
                    sum += f64::from(before[at]);
                    size += f64::from(before[at]).abs();
                }
                if case.bias {
                    total += bias[j];
                    sum += f64::from(bias[j]);
                    size += f64::from(bias[j]).abs();
                }
                if case.relu {
                    total = if 0.0 > total { 0.0 } else { total };
                    sum = sum.max(0.0);
                }
                exact.push(total);
                f64s.push((sum, size));
            }
        }
    }
    let same = |i: usize| c[i].to_bits() == before[i].to_bits();
    let gaps_kept = (0..c.len()).all(|i| written[i] || same(i));
    Outcome { got, exact, f64s, gaps_kept }
}

/// Runs the case at a level and compares bits.
fn check(case: &Case, isa: Isa) {
    let Some(_turn) = level(isa) else { return };
    let fused = isa != Isa::Generic || cfg!(any(target_arch = "aarch64", target_feature = "fma"));
    let out = run(case, fused);
    assert!(out.gaps_kept, "{}: wrote outside of C: {case:?}", isa.name());
    for (i, (got, want)) in out.got.iter().zip(&out.exact).enumerate() {
        assert_eq!(got.to_bits(), want.to_bits(), "{}: {got} {want} at {i}: {case:?}", isa.name());
    }
}

const SIZES: [usize; 12] = [1, 2, 3, 5, 7, 8, 9, 16, 17, 31, 49, 66];

#[test]
fn all_small_shapes_have_the_defined_bits() {
    for isa in LEVELS {
        for m in SIZES {
            for n in SIZES {
                for k in [0, 1, 2, 15, 16, 17, 40] {
                    for b in [Rows, Columns] {
                        check(&Case { b, ..Case::plain(m, k, n) }, isa);
                    }
                }
            }
        }
    }
}

#[test]
fn all_layouts_have_the_defined_bits() {
    for isa in LEVELS {
        for (m, k, n) in [(1, 33, 50), (3, 20, 34), (13, 21, 47), (40, 37, 101), (33, 70, 130)] {
            for a in LAYOUTS {
                for b in LAYOUTS {
                    check(&Case { a, b, wide_c: 2, bias: true, ..Case::plain(m, k, n) }, isa);
                }
            }
        }
    }
}

#[test]
fn several_blocks_of_k_are_summed_in_order() {
    for isa in LEVELS {
        for k in [511, 512, 513, 1024, 1300] {
            for (m, n) in [(1, 1), (1, 70), (9, 1), (5, 17), (34, 50), (40, 150)] {
                for (a, b) in [(Rows, Rows), (Rows, Columns), (Columns, Rows)] {
                    for accumulate in [false, true] {
                        let more = m % 2 == 0;
                        let case = Case { a, b, accumulate, bias: more, ..Case::plain(m, k, n) };
                        check(&case, isa);
                    }
                }
            }
        }
    }
}

#[test]
fn products_of_few_rows_have_the_defined_bits() {
    for isa in LEVELS {
        for m in [1, 2, 3, 4, 5, 7, 8, 9] {
            for (k, n) in [(256, 64), (300, 77), (784, 127), (2049, 10), (5500, 3), (515, 150)] {
                for b in if k < 1000 { LAYOUTS.to_vec() } else { vec![Rows, Columns] } {
                    let (bias, relu) = (n % 2 == 0, k % 2 == 0);
                    check(&Case { b, bias, relu, ..Case::plain(m, k, n) }, isa);
                }
            }
            check(&Case { b: Columns, ..Case::plain(m, 255, 70) }, isa);
            check(&Case { b: Columns, ..Case::plain(m, 256, 63) }, isa);
        }
        // One column, which may be stored apart.
        for (m, k) in [(64, 256), (63, 256), (70, 255), (100, 261), (1, 16384), (1, 16383)] {
            for a in LAYOUTS {
                for wide_c in [0, 3] {
                    let case = Case { a, wide_c, accumulate: true, ..Case::plain(m, k, 1) };
                    check(&case, isa);
                    check(&Case { b: Spread, bias: true, ..case }, isa);
                }
            }
        }
        // All rows of a batch count, however they are taken together.
        for same_b in [false, true] {
            for (batch, m, n) in [(2, 4, 70), (3, 3, 70), (5, 1, 67), (9, 1, 67), (40, 3, 1)] {
                let case = Case { batch, same_b, b: Columns, ..Case::plain(m, 259, n) };
                check(&Case { a: Columns, relu: true, wide_c: 1, ..case.clone() }, isa);
                check(&Case { b: Rows, accumulate: true, ..case }, isa);
            }
        }
    }
}

#[test]
fn products_of_few_rows_are_summed_in_blocks() {
    for isa in LEVELS {
        for k in [1023, 1024, 1025, 2049, 5130, 16400] {
            for (m, n) in [(1, 21), (5, 3), (1, 1), (20, 1)] {
                for b in [Rows, Columns, Spread] {
                    for accumulate in [false, true] {
                        check(&Case { b, accumulate, wide_c: m, ..Case::plain(m, k, n) }, isa);
                    }
                }
            }
        }
        for b in [Rows, Columns, WideRows] {
            check(&Case { b, relu: true, bias: true, ..Case::plain(1, 1000, 1000) }, isa);
            check(&Case { b, relu: true, bias: true, ..Case::plain(6, 520, 700) }, isa);
        }
    }
}

/// Lanes that a last round does not reach are filled up with zeros: of sums that are -0 (products too
/// small for f32) they make 0.
#[test]
fn few_rows_fill_up_the_last_round_with_zeros() {
    for isa in LEVELS {
        let Some(_turn) = level(isa) else { continue };
        let fused =
            isa != Isa::Generic || cfg!(any(target_arch = "aarch64", target_feature = "fma"));
        for (k, n) in [(304, 64), (300, 64), (304, 70), (300, 70), (1024, 64), (1030, 70)] {
            for (m, layout) in (1..5).flat_map(|m| [(m, Rows), (m, Columns)]) {
                let (a, b) = (vec![-1e-30f32; m * k], vec![1e-30f32; k * n]);
                let mut c = vec![7.0f32; m * n];
                let product = Gemm {
                    m,
                    k,
                    n,
                    a: Mem::read(&a),
                    a_strides: [k, 1],
                    b: Mem::read(&b),
                    b_strides: strides(layout, k, n),
                    c: Mem::write(&mut c),
                    c_stride: n,
                    batch: 1,
                    a_batch: &[],
                    b_batch: &[],
                    accumulate: false,
                    bias: None,
                    activation: Activation::None,
                    watch: false,
                };
                gemm(&product).unwrap();
                let want = defined((m, k, n), fused, |_| -1e-30, |_| 1e-30).to_bits();
                let same = c.iter().all(|x| x.to_bits() == want);
                assert!(same, "{} {m} {k} {n} {layout:?}: {c:?}", isa.name());
            }
        }
    }
}

#[test]
fn epilogues_have_the_defined_bits() {
    for isa in LEVELS {
        for flags in 0..8 {
            for (m, k, n) in [(4, 2, 8), (9, 12, 1), (10, 20, 100), (70, 30, 10)] {
                let [accumulate, bias, relu] = [1, 2, 4].map(|f| flags & f != 0);
                check(&Case { accumulate, bias, relu, wide_c: 1, ..Case::plain(m, k, n) }, isa);
                check(&Case { accumulate, bias, relu, b: Columns, ..Case::plain(m, k, n) }, isa);
            }
        }
    }
}

#[test]
fn shapes_cut_into_pieces_have_the_defined_bits() {
    for isa in LEVELS {
        for (a, b) in [(Rows, Rows), (Rows, Columns), (Columns, Rows), (Columns, Columns)] {
            for (m, k, n) in [(300, 70, 290), (600, 30, 520), (128, 784, 100), (2000, 150, 10)] {
                check(&Case { a, b, relu: true, ..Case::plain(m, k, n) }, isa);
            }
            let batched = Case { a, b, batch: 70, bias: true, ..Case::plain(40, 25, 60) };
            check(&batched, isa);
            check(&Case { same_b: true, accumulate: true, ..batched.clone() }, isa);
            check(&Case { batch: 3, ..Case::plain(9, 6, 1) }, isa);
            check(&Case { batch: 3, wide_c: 1, ..Case::plain(9, 6, 1) }, isa);
        }
    }
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    for threads in [1, 2, 3, 5] {
        pool::set_threads(threads);
        pool::set_split_all(true);
        for (a, b) in [(Rows, Rows), (Rows, Columns), (Columns, Rows)] {
            for (m, k, n) in [(300, 600, 290), (64, 784, 200), (520, 40, 310), (530, 530, 150)] {
                let case = Case { a, b, accumulate: true, bias: true, ..Case::plain(m, k, n) };
                check(&case, isa::best());
            }
            check(&Case { a, b, batch: 9, ..Case::plain(100, 64, 130) }, isa::best());
            check(&Case { a, b, bias: true, ..Case::plain(1, 784, 512) }, isa::best());
            check(&Case { a, b, relu: true, ..Case::plain(7, 400, 1200) }, isa::best());
            check(&Case { a, b, wide_c: 2, ..Case::plain(1200, 300, 1) }, isa::best());
        }
    }
    pool::set_split_all(false);
}

#[test]
fn operands_larger_than_the_scratch_memory_are_packed_in_parts() {
    for (a, b) in [(Rows, Rows), (Rows, Columns), (Columns, Rows)] {
        check(&Case { a, b, ..Case::plain(300, 9000, 490) }, isa::best());
        check(&Case { a, b, ..Case::plain(600, 9000, 200) }, isa::best());
    }
    // Rows too few for pieces to pack their own, and steps so many that A has two parts.
    check(&Case { a: Columns, ..Case::plain(500, 9000, 200) }, isa::best());
}

fn layout() -> impl Strategy<Value = Layout> {
    prop::sample::select(LAYOUTS.to_vec())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn random_products_agree_with_f64(
        (m, k, n) in prop_oneof![
            (0usize..80, 0usize..90, 0usize..120),
            (0usize..10, 0usize..700, 0usize..300),
            (0usize..300, 0usize..300, 0usize..2),
        ],
        (a, b) in (layout(), layout()),
        (wide_c, batch, same_b) in (0usize..4, 1usize..4, any::<bool>()),
        (accumulate, bias, relu) in any::<(bool, bool, bool)>(),
        seed in 0u64..1000,
        isa in prop::sample::select(LEVELS.to_vec()),
    ) {
        let case =
            Case { m, k, n, a, b, wide_c, batch, same_b, accumulate, bias, relu, seed };
        let Some(_turn) = level(isa) else { return Ok(()) };
        let out = run(&case, isa != Isa::Generic);
        prop_assert!(out.gaps_kept, "{case:?}");
        for (got, &(want, size)) in out.got.iter().zip(&out.f64s) {
            let room = (k + 3) as f64 * f64::from(f32::EPSILON) * size + 1e-30;
            prop_assert!((f64::from(*got) - want).abs() <= room, "{got} {want}: {case:?}");
        }
    }
}

/// A product of rows of A with rows of B that are put there as they are.
fn product(a: &[f32], b: &[f32], n: usize, relu: bool, c: &mut [f32]) -> bool {
    let k = b.len() / n;
    gemm(&Gemm {
        m: a.len() / k,
        k,
        n,
        a: Mem::read(a),
        a_strides: [k, 1],
        b: Mem::read(b),
        b_strides: [1, k],
        c: Mem::write(c),
        c_stride: n,
        batch: 1,
        a_batch: &[],
        b_batch: &[],
        accumulate: false,
        bias: None,
        activation: if relu { Activation::Relu } else { Activation::None },
        watch: true,
    })
    .unwrap()
}

#[test]
fn values_that_are_not_finite_are_kept_and_reported() {
    for isa in LEVELS {
        let Some(_turn) = level(isa) else { continue };
        for (m, n, k) in [(1, 5, 3), (4, 17, 20), (40, 70, 33)] {
            let all = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY];
            for (bad, column) in all.into_iter().flat_map(|bad| [(bad, 0), (bad, n - 1)]) {
                let (a, mut b) = (vec![1.0; m * k], vec![0.5; n * k]);
                let mut c = vec![0.0; m * n];
                assert!(product(&a, &b, n, true, &mut c));
                b[column * k + 1] = bad;
                let finite = product(&a, &b, n, true, &mut c);
                // Only written values count: relu makes a zero of minus infinity.
                assert_eq!(finite, bad == f32::NEG_INFINITY, "{} {m} {n} {bad}", isa.name());
                for i in 0..m {
                    for j in 0..n {
                        let x = c[i * n + j];
                        if j != column {
                            assert_eq!(x, 0.5 * k as f32);
                        } else if bad.is_nan() {
                            assert!(x.is_nan());
                        } else {
                            assert_eq!(x, bad.max(0.0));
                        }
                    }
                }
                assert!(!product(&a, &b, n, false, &mut c));
            }
            // Infinity in A meets the zeros beside a partly filled register; those do not count.
            let (mut a, b) = (vec![1.0; m * k], vec![0.5; n * k]);
            let mut c = vec![0.0; m * n];
            a[0] = f32::NEG_INFINITY;
            assert!(product(&a, &b, n, true, &mut c), "{} {m} {n}", isa.name());
        }
    }
}

#[test]
fn old_values_of_c_do_not_leak_into_a_product() {
    for k in [3, 600, 1100] {
        let (a, b) = (vec![1.0f32; 12 * k], vec![1.0f32; 40 * k]);
        let mut c = vec![f32::NAN; 12 * 40];
        assert!(product(&a, &b, 40, false, &mut c));
        assert!(c.iter().all(|&x| x == k as f32));
    }
}

#[test]
fn wrong_windows_are_refused() {
    let (a, b, bias) = (vec![1.0f32; 6], vec![1.0f32; 12], vec![1.0f32; 4]);
    let mut c = vec![0.0f32; 8];
    let ints = vec![0i64; 64];
    // Runs a good product after the change that is asked for.
    macro_rules! run {
        ($g:ident: $change:expr) => {{
            let mut $g = Gemm {
                m: 2,
                k: 3,
                n: 4,
                a: Mem::read(&a),
                a_strides: [3, 1],
                b: Mem::read(&b),
                b_strides: [4, 1],
                c: Mem::write(&mut c),
                c_stride: 4,
                batch: 1,
                a_batch: &[],
                b_batch: &[],
                accumulate: false,
                bias: Some(Mem::read(&bias)),
                activation: Activation::None,
                watch: false,
            };
            $change;
            gemm(&$g)
        }};
    }
    let bounds = |r: Result<bool, KernelError>| matches!(r, Err(KernelError::Bounds(_)));
    assert_eq!(run!(g: g.m = 2), Ok(true));
    assert!(bounds(run!(g: g.m = 3)));
    assert!(bounds(run!(g: g.k = 4)));
    assert!(bounds(run!(g: g.n = 5)));
    assert!(bounds(run!(g: g.a_strides = [4, 1])));
    assert!(bounds(run!(g: g.b_strides = [4, 2])));
    assert!(bounds(run!(g: g.b_strides = [usize::MAX, 2])));
    assert!(bounds(run!(g: g.c_stride = 3)));
    assert!(bounds(run!(g: g.c_stride = 5)));
    assert!(bounds(run!(g: g.batch = 2)));
    assert!(bounds(run!(g: g.a_batch = &[1])));
    assert!(bounds(run!(g: g.b_batch = &[usize::MAX])));
    assert!(bounds(run!(g: g.bias = g.a.slice(0, 3))));
    let wrong = |r: Result<bool, KernelError>| matches!(r, Err(KernelError::Type(_)));
    assert!(wrong(run!(g: g.a = Mem::read(&ints))));
    assert!(wrong(run!(g: g.b = Mem::read(&ints))));
    assert!(wrong(run!(g: g.c = Mem::read(&ints))));
    assert!(wrong(run!(g: g.bias = Some(Mem::read(&ints)))));
    assert!(wrong(run!(g: g.c = g.a)));
    let overlap = |r: Result<bool, KernelError>| matches!(r, Err(KernelError::Overlap(_)));
    assert!(overlap(run!(g: g.a = g.c)));
    assert!(overlap(run!(g: (g.n, g.b, g.b_strides) = (2, g.c, [2, 1]))));
    assert!(overlap(run!(g: g.bias = g.c.slice(1, 4))));
    assert_eq!(c, vec![4.0; 8], "only the good product was written");
}
