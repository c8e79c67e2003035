//! Indexed kernels against plain loops.
#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests

mod support;

use gradus_kernels::index::*;
use gradus_kernels::memory::{KernelError, Mem, Truth};
use proptest::prelude::*;
use support::{Numbers, bits, everywhere, f32s, output};

fn check(outer: usize, len: usize, inner: usize, m: usize, seed: u64) {
    let around = Around { outer, len, inner };
    let mut numbers = Numbers(seed + 5);
    let x = f32s(outer * len * inner, seed);
    let few: Vec<i64> = (0..m).map(|_| numbers.below(len) as i64).collect();
    let many: Vec<i64> = (0..outer * m * inner).map(|_| numbers.below(len) as i64).collect();
    let src = f32s(outer * m * inner, seed + 1);
    let place = |o: usize, k: usize, i: usize| (o * len + k) * inner + i;
    let mut selected = vec![];
    let mut gathered = vec![];
    let (mut added, mut scattered) = (x.clone(), x.clone());
    for o in 0..outer {
        for j in 0..m {
            for i in 0..inner {
                let at = (o * m + j) * inner + i;
                selected.push(x[place(o, few[j] as usize, i)]);
                gathered.push(x[place(o, many[at] as usize, i)]);
                added[place(o, few[j] as usize, i)] += src[at];
                scattered[place(o, many[at] as usize, i)] += src[at];
            }
        }
    }
    let n = src.len();
    let got = everywhere(|| {
        output::<f32>(n, |out| index_select(Mem::read(&x), Mem::read(&few), out, around)).unwrap()
    });
    assert_eq!(got, selected);
    let got = everywhere(|| {
        output::<f32>(n, |out| gather(Mem::read(&x), Mem::read(&many), out, around, m)).unwrap()
    });
    assert_eq!(got, gathered);
    let got = everywhere(|| {
        let mut dst = x.clone();
        index_add(Mem::write(&mut dst), Mem::read(&few), Mem::read(&src), around).unwrap();
        bits(&dst)
    });
    assert_eq!(got, bits(&added));
    let got = everywhere(|| {
        let mut dst = x.clone();
        scatter_add(Mem::write(&mut dst), Mem::read(&many), Mem::read(&src), around, m).unwrap();
        bits(&dst)
    });
    assert_eq!(got, bits(&scattered));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn any_sizes(outer in 0usize..5, len in 1usize..20, inner in 0usize..40, m in 0usize..30, seed in 0u64..99) {
        check(outer, len, inner, m, seed);
    }
}

#[test]
fn sizes_that_are_split() {
    check(1, 1000, 64, 2000, 1);
    check(1, 50, 300, 700, 2);
    check(40, 9, 5, 30, 3);
    check(1, 20, 1, 70_000, 4);
    check(300, 10, 1, 3, 5);
    check(3, 7, 5, 9000, 6);
}

#[test]
fn other_types() {
    let around = Around { outer: 1, len: 3, inner: 2 };
    let index = [2i64, 0, 2];
    let x = [1u8, 0, 0, 1, 1, 1].map(Truth);
    let got = output::<Truth>(6, |out| index_select(Mem::read(&x), Mem::read(&index), out, around));
    assert_eq!(got, Ok([1, 1, 1, 0, 1, 1].map(Truth).to_vec()));
    let x = [1i64, 2, 3, 4, i64::MAX, 6];
    let got = output::<i64>(6, |out| index_select(Mem::read(&x), Mem::read(&index), out, around));
    assert_eq!(got, Ok(vec![i64::MAX, 6, 1, 2, i64::MAX, 6]));
    let mut dst = x;
    let src = [1i64; 6];
    let r = index_add(Mem::write(&mut dst), Mem::read(&index), Mem::read(&src), around);
    assert_eq!((r, dst), (Ok(()), [2, 3, 3, 4, i64::MIN + 1, 8]));
    let mut dst = [0.5f64; 6];
    let r = index_add(Mem::write(&mut dst), Mem::read(&index), Mem::read(&[1.0f64; 6]), around);
    assert_eq!((r, dst), (Ok(()), [1.5, 1.5, 0.5, 0.5, 2.5, 2.5]));
    let mut flags = [Truth(0); 6];
    let r = index_add(Mem::write(&mut flags), Mem::read(&index), Mem::read(&[Truth(1); 6]), around);
    assert!(matches!(r, Err(KernelError::Type(_))));
}

#[test]
fn out_of_range_and_wrong_windows() {
    let around = Around { outer: 1, len: 3, inner: 2 };
    let x = [1.0f32; 6];
    let go = |index: &[i64]| {
        let mut out = vec![7.0f32; 2 * index.len()];
        let r = index_select(Mem::read(&x), Mem::read(index), Mem::write(&mut out), around);
        (r, out)
    };
    for (index, position, value) in
        [(&[0, 3][..], 1, 3), (&[-1], 0, -1), (&[i64::MIN], 0, i64::MIN)]
    {
        let (r, out) = go(index);
        assert_eq!(r, Err(KernelError::Index { position, value, size: 3 }));
        assert!(out.iter().all(|&x| x == 7.0));
    }
    let mut dst = x;
    let r = scatter_add(
        Mem::write(&mut dst),
        Mem::read(&[0i64, 9]),
        Mem::read(&[1.0f32; 2]),
        around,
        1,
    );
    assert_eq!(r, Err(KernelError::Index { position: 1, value: 9, size: 3 }));
    assert_eq!(dst, x);
    let r = output::<f32>(3, |out| index_select(Mem::read(&x), Mem::read(&[0i64]), out, around));
    assert!(matches!(r, Err(KernelError::Bounds(_))));
    let r = output::<f32>(2, |out| index_select(Mem::read(&x), Mem::read(&[0.0f32]), out, around));
    assert!(matches!(r, Err(KernelError::Type(_))));
    let empty = Around { outer: 1, len: 0, inner: 2 };
    let r =
        output::<f32>(2, |out| index_select(Mem::read::<f32>(&[]), Mem::read(&[0i64]), out, empty));
    assert_eq!(r, Err(KernelError::Index { position: 0, value: 0, size: 0 }));
}
