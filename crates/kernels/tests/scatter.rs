//! Scatters against plain loops: the order of the indices decides, whatever runs them.
#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests

mod support;

use gradus_kernels::index::Around;
use gradus_kernels::memory::{KernelError, Mem};
use gradus_kernels::scatter::{Combine, scatter, within};
use proptest::prelude::*;
use support::{Numbers, bits, everywhere, f32s};

fn combined(how: Combine, old: f32, new: f32) -> f32 {
    match how {
        Combine::Write => new,
        Combine::Prod => old * new,
        Combine::Max if old.is_nan() || new.is_nan() => f32::NAN,
        Combine::Max => old.max(new),
        Combine::Min if old.is_nan() || new.is_nan() => f32::NAN,
        Combine::Min => old.min(new),
    }
}

fn check(outer: usize, len: usize, inner: usize, m: usize, seed: u64) {
    let around = Around { outer, len, inner };
    let mut numbers = Numbers(seed + 5);
    let x = f32s(outer * len * inner, seed);
    let src = f32s(outer * m * inner, seed + 1);
    for each in [false, true] {
        let count = if each { src.len() } else { m };
        let index: Vec<i64> = (0..count).map(|_| numbers.below(len) as i64).collect();
        for how in [Combine::Write, Combine::Prod, Combine::Max, Combine::Min] {
            let mut want = x.clone();
            for o in 0..outer {
                for j in 0..m {
                    for i in 0..inner {
                        let at = (o * m + j) * inner + i;
                        let k = index[if each { at } else { j }] as usize;
                        let place = &mut want[(o * len + k) * inner + i];
                        *place = combined(how, *place, src[at]);
                    }
                }
            }
            let got = everywhere(|| {
                let mut dst = x.clone();
                let (to, ids) = (Mem::write(&mut dst), Mem::read(&index));
                scatter(how, to, ids, Mem::read(&src), around, m, each).unwrap();
                bits(&dst)
            });
            assert_eq!(got, bits(&want), "{how:?} {each} {around:?} {m}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn any_sizes(outer in 0usize..5, len in 1usize..20, inner in 0usize..40, m in 0usize..30, seed in 0u64..99) {
        check(outer, len, inner, m, seed);
    }
}

#[test]
fn sizes_that_are_split() {
    check(1, 100, 64, 600, 1);
    check(1, 50, 300, 200, 2);
    check(40, 9, 5, 30, 3);
    check(1, 20, 1, 40_000, 4);
}

#[test]
fn nan_integers_and_wrong_windows() {
    let around = Around { outer: 1, len: 2, inner: 1 };
    let mut dst = [f32::NAN, 1.0];
    let src = [5.0f32, f32::NAN];
    let ids = [0i64, 1];
    scatter(Combine::Max, Mem::write(&mut dst), Mem::read(&ids), Mem::read(&src), around, 2, true)
        .unwrap();
    assert!(dst.iter().all(|v| v.is_nan()));
    let mut dst = [200u8, 3];
    let src = [2u8, 4];
    scatter(Combine::Prod, Mem::write(&mut dst), Mem::read(&ids), Mem::read(&src), around, 2, true)
        .unwrap();
    assert_eq!(dst, [144, 12]);
    for (bad, position) in [([0i64, 2], 1), ([-1, 0], 0)] {
        let before = dst;
        let (to, ids) = (Mem::write(&mut dst), Mem::read(&bad));
        let found = scatter(Combine::Write, to, ids, Mem::read(&src), around, 2, true);
        let value = bad[position];
        assert_eq!(found, Err(KernelError::Index { position, value, size: 2 }));
        assert_eq!(dst, before);
    }
    let to = Mem::write(&mut dst);
    let found = scatter(Combine::Write, to, Mem::read(&ids), to, around, 2, true);
    assert!(matches!(found, Err(KernelError::Overlap(_))));
    let found = scatter(Combine::Write, to, Mem::read(&ids), Mem::read(&src), around, 3, true);
    assert!(matches!(found, Err(KernelError::Bounds(_))));
}

#[test]
fn negative_indices_count_from_the_end() {
    let mut out = [7i64; 3];
    assert_eq!(within(Mem::read(&[0i64, -1, 2]), 3, true, Mem::write(&mut out)), Ok(()));
    assert_eq!(out, [0, 2, 2]);
    for (negative, value) in [(false, -1), (true, -4), (true, 3), (true, i64::MIN)] {
        let found = within(Mem::read(&[0i64, value, 1]), 3, negative, Mem::write(&mut out));
        assert_eq!(found, Err(KernelError::Index { position: 1, value, size: 3 }));
    }
}
