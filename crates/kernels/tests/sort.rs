//! Sorting and searching against the standard library.
#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests

mod support;

use gradus_kernels::memory::{Element, Mem};
use gradus_kernels::sort::{argsort, search};
use proptest::prelude::*;
use std::cmp::Ordering;
use support::{Numbers, everywhere, output};

fn check<T: Element + PartialOrd>(xs: &[T], n: usize, is_nan: fn(T) -> bool) {
    let order = |a: T, b: T| match (is_nan(a), is_nan(b)) {
        (true, true) => Ordering::Equal,
        (true, false) => Ordering::Greater,
        (false, true) => Ordering::Less,
        _ => a.partial_cmp(&b).unwrap(),
    };
    for descending in [false, true] {
        let mut want: Vec<i64> = vec![];
        for row in xs.chunks(n.max(1)) {
            let mut at: Vec<i64> = (0..n as i64).collect();
            at.sort_by(|&a, &b| {
                let by = order(row[a as usize], row[b as usize]);
                if descending { by.reverse() } else { by }
            });
            want.extend(at);
        }
        let got = everywhere(|| {
            output::<i64>(xs.len(), |out| argsort(descending, Mem::read(xs), n, out)).unwrap()
        });
        assert_eq!(got, want);
    }
    // Each row, sorted, is searched for its own elements and for those of the first row.
    let mut sorted = vec![];
    for row in xs.chunks(n.max(1)) {
        let mut row = row.to_vec();
        row.sort_by(|&a, &b| order(a, b));
        sorted.extend(row);
    }
    for right in [false, true] {
        let count = |row: &[T], x: T| {
            let before =
                |&&e: &&T| order(e, x) == Ordering::Less || right && order(e, x) == Ordering::Equal;
            row.iter().filter(before).count() as i64
        };
        let rows = sorted.chunks(n.max(1)).zip(xs.chunks(n.max(1)));
        let want: Vec<i64> = rows.flat_map(|(s, v)| v.iter().map(move |&x| count(s, x))).collect();
        let (s, v) = (Mem::read(&sorted), Mem::read(xs));
        let got =
            everywhere(|| output::<i64>(xs.len(), |out| search(right, s, n, v, n, out)).unwrap());
        assert_eq!(got, want);
        let first = &sorted[..n.min(sorted.len())];
        let want: Vec<i64> = xs.iter().map(|&x| count(first, x)).collect();
        let (s, len) = (Mem::read(first), xs.len());
        let got =
            everywhere(|| output::<i64>(len, |out| search(right, s, n, v, len, out)).unwrap());
        assert_eq!(got, want);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn any_rows(rows in 0usize..6, n in 0usize..90, values in 1usize..60, seed in 0u64..99) {
        let mut numbers = Numbers(seed + 7);
        let whole: Vec<i64> =
            (0..rows * n).map(|_| numbers.below(values) as i64 - 7).collect();
        check(&whole, n, |_| false);
        let bits: Vec<u8> = whole.iter().map(|&v| u8::from(v > 0)).collect();
        check(&bits, n, |_| false);
        let odd = |v: i64| match v {
            0 => f32::NAN,
            1 => -0.0,
            2 => 0.0,
            3 => f32::INFINITY,
            4 => f32::NEG_INFINITY,
            5 => -f32::NAN,
            6 => 1e-40,
            v => v as f32 / 3.0,
        };
        let real: Vec<f32> = whole.iter().map(|&v| odd(v)).collect();
        check(&real, n, f32::is_nan);
        let wide: Vec<f64> = whole.iter().map(|&v| f64::from(odd(v))).collect();
        check(&wide, n, f64::is_nan);
    }
}

#[test]
fn sizes_that_are_split() {
    for (rows, n) in [(60, 90), (3, 900)] {
        let mut numbers = Numbers(rows as u64);
        let whole: Vec<i64> = (0..rows * n).map(|_| numbers.below(n) as i64 - 9).collect();
        check(&whole, n, |_| false);
    }
}

#[test]
fn wrong_windows_are_refused() {
    let x = [1.0f32; 6];
    let y = [1i64; 6];
    assert!(output::<i64>(5, |out| argsort(false, Mem::read(&x), 3, out)).is_err());
    assert!(output::<i64>(6, |out| argsort(false, Mem::read(&x), 4, out)).is_err());
    assert!(output::<f32>(6, |out| argsort(false, Mem::read(&x), 3, out)).is_err());
    assert!(argsort(false, Mem::read(&x), 3, Mem::read(&y)).is_err());
    let (x, y) = (Mem::read(&x), Mem::read(&y));
    assert!(output::<i64>(6, |out| search(false, x, 3, y, 3, out)).is_err());
    assert!(output::<i64>(6, |out| search(false, x, 2, x, 2, out)).is_ok());
    assert!(output::<i64>(6, |out| search(false, x, 2, x, 3, out)).is_err());
    assert!(output::<i64>(5, |out| search(false, x, 3, x, 3, out)).is_err());
}
