//! Copies between layouts against loops over all indices.
#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests

mod support;

use gradus_kernels::copy::{Side, copy, into_part, to_contiguous};
use gradus_kernels::memory::{Element, KernelError, Mem};
use proptest::prelude::*;
use support::{Poison, everywhere, output, strides};

/// Elements by strides, in row-major order.
fn naive<T: Copy>(dims: &[usize], xs: &[T], offset: usize, steps: &[isize]) -> Vec<T> {
    let total: usize = dims.iter().product();
    let row = strides(dims);
    (0..total)
        .map(|i| {
            let at: isize =
                (0..dims.len()).map(|a| i as isize / row[a] % dims[a] as isize * steps[a]).sum();
            xs[(offset as isize + at) as usize]
        })
        .collect()
}

fn check<T: Element + Poison + PartialEq + std::fmt::Debug>(
    dims: &[usize],
    xs: &[T],
    offset: usize,
    steps: &[isize],
) {
    let total = dims.iter().product();
    let got = everywhere(|| {
        output::<T>(total, |out| to_contiguous(dims, Mem::read(xs), offset, steps, out)).unwrap()
    });
    assert_eq!(got, naive(dims, xs, offset, steps), "{dims:?} {steps:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn permuted_flipped_and_broadcast(
        dims in prop::collection::vec(1usize..10, 0..6),
        order in Just((0..6).collect::<Vec<usize>>()).prop_shuffle(),
        kinds in prop::collection::vec(0u8..4, 6),
    ) {
        // Strides of a permuted contiguous tensor; some axes flipped, some broadcast.
        let order: Vec<usize> = order.into_iter().filter(|&a| a < dims.len()).collect();
        let mut steps = vec![0isize; dims.len()];
        let (mut step, mut offset) = (1usize, 0usize);
        for &axis in order.iter().rev() {
            match kinds[axis] {
                0 => {}
                1 => {
                    steps[axis] = -(step as isize);
                    offset += step * (dims[axis] - 1);
                    step *= dims[axis];
                }
                _ => {
                    steps[axis] = step as isize;
                    step *= dims[axis];
                }
            }
        }
        let xs: Vec<i64> = (0..step as i64).collect();
        check(&dims, &xs, offset, &steps);
        let xs: Vec<f32> = (0..step).map(|i| i as f32).collect();
        check(&dims, &xs, offset, &steps);
        let xs: Vec<u8> = (0..step).map(|i| (i % 251) as u8).collect();
        check(&dims, &xs, offset, &steps);
    }
}

#[test]
fn transposes() {
    // Also with rows and columns beyond what is copied at a time.
    let sizes =
        [(1, 1), (16, 16), (17, 33), (64, 100), (300, 7), (5, 5000), (130, 4200), (5000, 70)];
    for (r, c) in sizes {
        let xs: Vec<f32> = (0..r * c).map(|i| i as f32).collect();
        check(&[c, r], &xs, 0, &[1, c as isize]);
        let xs: Vec<f64> = (0..r * c).map(|i| i as f64).collect();
        check(&[c, r], &xs, 0, &[1, c as isize]);
    }
    // NCHW to NHWC and back.
    let xs: Vec<f32> = (0..2 * 3 * 10 * 12).map(|i| i as f32).collect();
    check(&[2, 10, 12, 3], &xs, 0, &[360, 12, 1, 120]);
    check(&[2, 3, 10, 12], &xs, 0, &[360, 1, 36, 3]);
}

#[test]
fn concatenation() {
    let (a, b): (Vec<f32>, Vec<f32>) =
        ((0..24).map(|i| i as f32).collect(), (0..12).map(|i| -(i as f32)).collect());
    // [2, 4, 3] and [2, 2, 3] along axis 1.
    let got = everywhere(|| {
        output::<f32>(36, |out| {
            into_part(Mem::read(&a), out, 2, 3, (0, 4, 6))?;
            into_part(Mem::read(&b), out, 2, 3, (4, 2, 6))
        })
        .unwrap()
    });
    let expected: Vec<f32> =
        a.chunks(12).zip(b.chunks(6)).flat_map(|(a, b)| [a, b].concat()).collect();
    assert_eq!(got, expected);
    let r = output::<f32>(36, |out| into_part(Mem::read(&a), out, 2, 3, (3, 4, 6)));
    assert!(matches!(r, Err(KernelError::Bounds(_))));
}

#[test]
fn wrong_copies() {
    let xs = [0.0f32; 6];
    let go = |dims: &[usize], offset, steps: &[isize], n| {
        output::<f32>(n, |out| to_contiguous(dims, Mem::read(&xs), offset, steps, out))
    };
    assert!(go(&[2, 3], 0, &[3, 1], 6).is_ok());
    assert!(matches!(go(&[2, 3], 1, &[3, 1], 6), Err(KernelError::Bounds(_))));
    assert!(matches!(go(&[2, 3], 0, &[-3, 1], 6), Err(KernelError::Bounds(_))));
    assert!(matches!(go(&[2, 3], 0, &[3, 1], 5), Err(KernelError::Bounds(_))));
    assert!(matches!(go(&[2, 3], 0, &[3], 6), Err(KernelError::Bounds(_))));
    assert!(matches!(go(&[2, 3], 0, &[isize::MAX, isize::MIN], 6), Err(KernelError::Bounds(_))));
    assert_eq!(go(&[0, 3], 99, &[3, 1], 0), Ok(vec![]));
    assert_eq!(go(&[], 5, &[], 1), Ok(vec![0.0]));
    // Two elements in one place of the destination.
    let r = output::<f32>(6, |out| {
        let src = Side { mem: Mem::read(&xs), offset: 0, strides: &[3, 1] };
        copy(&[2, 3], src, Side { mem: out, offset: 0, strides: &[1, 1] })
    });
    assert!(matches!(r, Err(KernelError::Overlap(_))));
    let ints = [0i64; 6];
    let r = output::<f32>(6, |out| to_contiguous(&[6], Mem::read(&ints), 0, &[1], out));
    assert!(matches!(r, Err(KernelError::Type(_))));
}
