//! Row kernels against f64, in place, and on the edges.
#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests

mod support;

use gradus_kernels::memory::{KernelError, Mem};
use gradus_kernels::rows::*;
use proptest::prelude::*;
use support::{bits, everywhere, f32s, output};

fn lse(x: &[f32]) -> f64 {
    let m = x.iter().fold(f64::NEG_INFINITY, |m, &x| m.max(f64::from(x)));
    m + x.iter().map(|&x| (f64::from(x) - m).exp()).sum::<f64>().ln()
}

fn close(got: &[f32], expected: &[f64], tolerance: f64) {
    assert_eq!(got.len(), expected.len());
    for (i, (&g, &e)) in got.iter().zip(expected).enumerate() {
        assert!((f64::from(g) - e).abs() <= tolerance * (1.0 + e.abs()), "{i}: {g} {e}");
    }
}

/// Runs a kernel to another window and in place of operand `same`, everywhere.
fn go(
    operands: &[&[f32]],
    same: usize,
    f: impl Fn(&[Mem<'_>], Mem<'_>) -> Result<(), KernelError>,
) -> Vec<f32> {
    let apart = everywhere(|| {
        let reads: Vec<_> = operands.iter().map(|o| Mem::read(o)).collect();
        bits(&output::<f32>(operands[same].len(), |out| f(&reads, out)).unwrap())
    });
    let in_place = everywhere(|| {
        let mut own = operands[same].to_vec();
        let out = Mem::write(&mut own);
        let mut all: Vec<_> = operands.iter().map(|o| Mem::read(o)).collect();
        all[same] = out;
        f(&all, out).unwrap();
        bits(&own)
    });
    assert_eq!(apart, in_place);
    apart.iter().map(|&b| f32::from_bits(b)).collect()
}

fn check(rows: usize, n: usize, seed: u64) {
    let x: Vec<f32> = f32s(rows * n, seed).iter().map(|x| x * 9.0).collect();
    let g = f32s(rows * n, seed + 1);
    let sums: Vec<f64> = x.chunks(n).map(lse).collect();
    let each = |f: &dyn Fn(&[f32], usize) -> Vec<f64>| -> Vec<f64> {
        x.chunks(n).enumerate().flat_map(|(r, row)| f(row, r)).collect()
    };
    let y = go(&[&x], 0, |m, out| softmax(m[0], out, n));
    close(&y, &each(&|x, r| x.iter().map(|&v| (f64::from(v) - sums[r]).exp()).collect()), 2e-6);
    let l = go(&[&x], 0, |m, out| log_softmax(m[0], out, n));
    close(&l, &each(&|x, r| x.iter().map(|&v| f64::from(v) - sums[r]).collect()), 2e-6);
    for same in 0..2 {
        let dx = go(&[&y, &g], same, |m, out| softmax_grad(m[0], m[1], out, n));
        let expected: Vec<f64> = y
            .chunks(n)
            .zip(g.chunks(n))
            .flat_map(|(y, g)| {
                let s: f64 = y.iter().zip(g).map(|(&y, &g)| f64::from(y) * f64::from(g)).sum();
                y.iter()
                    .zip(g)
                    .map(|(&y, &g)| f64::from(y) * (f64::from(g) - s))
                    .collect::<Vec<_>>()
            })
            .collect();
        close(&dx, &expected, 1e-5);
        let dx = go(&[&l, &g], same, |m, out| log_softmax_grad(m[0], m[1], out, n));
        let expected: Vec<f64> = l
            .chunks(n)
            .zip(g.chunks(n))
            .flat_map(|(l, g)| {
                let s: f64 = g.iter().map(|&g| f64::from(g)).sum();
                l.iter()
                    .zip(g)
                    .map(|(&l, &g)| f64::from(g) - f64::from(l).exp() * s)
                    .collect::<Vec<_>>()
            })
            .collect();
        close(&dx, &expected, 1e-5 * (n as f64).sqrt());
    }
    let targets: Vec<i64> =
        (0..rows as i64).map(|r| if r % 5 == 3 { -100 } else { r * 7 % n as i64 }).collect();
    let loss = everywhere(|| {
        let loss = output::<f32>(rows, |out| {
            cross_entropy(Mem::read(&x), Mem::read(&targets), out, n, Some(-100))
        });
        bits(&loss.unwrap())
    });
    let loss: Vec<f32> = loss.iter().map(|&b| f32::from_bits(b)).collect();
    close(
        &loss,
        &each(&|x, r| {
            let ignored = targets[r] == -100;
            vec![if ignored { 0.0 } else { sums[r] - f64::from(x[targets[r] as usize]) }]
        }),
        2e-6,
    );
    for g in [&f32s(rows, seed + 2)[..], &[0.25]] {
        let dx = go(&[&x], 0, |m, out| {
            cross_entropy_grad(m[0], Mem::read(&targets), Mem::read(g), out, n, Some(-100))
        });
        let expected = each(&|x, r| {
            let g = f64::from(g[if g.len() == 1 { 0 } else { r }]);
            let hot = |i: usize| f64::from(u8::from(i as i64 == targets[r]));
            let grad = |(i, &v): (usize, &f32)| ((f64::from(v) - sums[r]).exp() - hot(i)) * g;
            let row = x.iter().enumerate().map(grad);
            if targets[r] == -100 { vec![0.0; x.len()] } else { row.collect() }
        });
        close(&dx, &expected, 2e-6);
    }
}

#[test]
fn rows_of_all_lengths() {
    for (rows, n) in
        [(128, 10), (1, 1), (9, 1), (40, 16), (33, 17), (5, 1000), (3, 5000), (2, 32_000)]
    {
        check(rows, n, 5);
    }
    assert_eq!(output::<f32>(0, |out| softmax(Mem::read::<f32>(&[]), out, 7)), Ok(vec![]));
    assert_eq!(output::<f32>(0, |out| softmax(Mem::read::<f32>(&[]), out, 0)), Ok(vec![]));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn any_rows(rows in 1usize..40, n in 1usize..70, seed in 0u64..99) {
        check(rows, n, seed);
    }
}

#[test]
fn a_sum_of_probabilities_is_that_of_reduce() {
    // The sum inside is the promised one: with logits 0 every term is 1 and the sum exact.
    for n in [10usize, 100, 4096, 10_000] {
        let y = output::<f32>(n, |out| softmax(Mem::read(&vec![0.0f32; n]), out, n)).unwrap();
        assert!(y.iter().all(|&y| y == 1.0 / n as f32));
    }
}

#[test]
fn a_sum_over_a_row_has_the_bits_of_a_reduction() {
    use gradus_kernels::memory::Ty;
    use gradus_kernels::reduce::{ReduceKind, run};
    for n in [3usize, 16, 17, 100, 4096, 4097, 9000, 20_000] {
        let g = f32s(n, 3);
        let program = support::plain(Ty::F32, support::strides(&[n])).compile().unwrap();
        let total = output::<f32>(1, |out| {
            let x = [Mem::read(&g)];
            run(ReduceKind::Sum, &program, &[n], 1, &x, &[out], &[], &[], 0).map(|_| ())
        })
        .unwrap()[0];
        // Of logarithms that are 0, the gradient is `g - total`.
        let zeros = vec![0.0f32; n];
        let dx = go(&[&zeros, &g], 1, |m, out| log_softmax_grad(m[0], m[1], out, n));
        let want: Vec<f32> = g.iter().map(|g| g - total).collect();
        assert_eq!(bits(&dx), bits(&want), "{n}");
    }
}

#[test]
fn rows_far_from_0_are_taken_from_their_largest() {
    for n in [1usize, 10, 16, 17, 20, 5000] {
        for far in [-300.0f32, 300.0] {
            let x = vec![far; 2 * n];
            let y = go(&[&x], 0, |m, out| softmax(m[0], out, n));
            close(&y, &vec![1.0 / n as f64; 2 * n], 1e-7);
            let l = go(&[&x], 0, |m, out| log_softmax(m[0], out, n));
            close(&l, &vec![-(n as f64).ln(); 2 * n], 1e-6);
        }
    }
}

#[test]
fn infinities_and_nan() {
    let (inf, nan) = (f32::INFINITY, f32::NAN);
    for n in [3usize, 16, 20, 5000] {
        for bad in [inf, nan] {
            let mut x = vec![1.0f32; 2 * n];
            x[n - 1] = bad;
            let y = go(&[&x], 0, |m, out| softmax(m[0], out, n));
            // In the one form that all paths give.
            assert!(y[..n].iter().all(|y| y.to_bits() == nan.to_bits()));
            assert!(y[n..].iter().all(|y| *y == 1.0 / n as f32));
            let y = go(&[&x], 0, |m, out| log_softmax(m[0], out, n));
            assert!(y[..n].iter().all(|y| y.is_nan()) && y[n..].iter().all(|y| y.is_finite()));
            let loss = output::<f32>(2, |out| {
                cross_entropy(Mem::read(&x), Mem::read(&[0i64, 0]), out, n, None)
            })
            .unwrap();
            assert!(loss[0].is_nan() && loss[1].is_finite());
        }
        let x = vec![f32::NEG_INFINITY; n];
        assert!(go(&[&x], 0, |m, out| softmax(m[0], out, n)).iter().all(|y| y.is_nan()));
        assert!(go(&[&x], 0, |m, out| log_softmax(m[0], out, n)).iter().all(|y| y.is_nan()));
        let mut x = vec![f32::NEG_INFINITY; n];
        x[1] = 2.0;
        let y = go(&[&x], 0, |m, out| softmax(m[0], out, n));
        assert!(y[1] == 1.0 && y[0] == 0.0 && y[2] == 0.0);
        let loss = |t: i64| {
            output::<f32>(1, |out| cross_entropy(Mem::read(&x), Mem::read(&[t]), out, n, None))
                .unwrap()[0]
        };
        assert_eq!((loss(1), loss(0)), (0.0, inf));
    }
}

#[test]
fn wrong_targets_and_windows() {
    let x = [0.0f32; 12];
    let go = |targets: &[i64], ignore| {
        output::<f32>(4, |out| cross_entropy(Mem::read(&x), Mem::read(targets), out, 3, ignore))
    };
    assert_eq!(go(&[0, 1, 3, 9], None), Err(KernelError::Index { position: 2, value: 3, size: 3 }));
    assert_eq!(
        go(&[0, 1, 2, -1], None),
        Err(KernelError::Index { position: 3, value: -1, size: 3 })
    );
    assert!(go(&[0, 1, 2, -1], Some(-1)).is_ok_and(|loss| loss[3] == 0.0 && loss[0] > 0.0));
    assert!(matches!(go(&[0, 1, 2], None), Err(KernelError::Bounds(_))));
    let r = output::<f32>(12, |out| softmax(Mem::read(&x), out, 5));
    assert!(matches!(r, Err(KernelError::Bounds(_))));
    let r = output::<f32>(12, |out| softmax(Mem::read(&[0i64; 12]), out, 3));
    assert!(matches!(r, Err(KernelError::Type(_))));
    let mut own = [0.0f32; 13];
    let mem = Mem::write(&mut own);
    let r = softmax(mem.slice(0, 12).unwrap(), mem.slice(1, 12).unwrap(), 3);
    assert!(matches!(r, Err(KernelError::Overlap(_))));
}
