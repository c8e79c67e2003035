//! The order of the elements of rows, and where values go in ordered rows.

use std::cmp::Ordering;

use super::Result;
use super::formulas::above;
use super::values::Values;
use crate::array::Array;
use crate::ops::Meta;

/// How two elements are ordered: NaN is beyond every number and equal to NaN.
fn order<T: PartialOrd + Copy>(a: T, b: T) -> Ordering {
    match (above(a, b), above(b, a)) {
        (true, _) => Ordering::Greater,
        (_, true) => Ordering::Less,
        _ => Ordering::Equal,
    }
}

/// For each row, the positions of its elements in order; equal ones keep theirs.
pub(super) fn argsort(descending: bool, x: &Array, out: Meta) -> Result<Array> {
    let n = out.shape.last(0);
    let found = match Values::of(x)? {
        Values::Real(v) => rows(&v, n, descending),
        Values::Whole(v) => rows(&v, n, descending),
        Values::Truth(v) => rows(&v, n, descending),
    };
    Values::Whole(found).into_array(out)
}

fn rows<T: PartialOrd + Copy>(v: &[T], n: usize, descending: bool) -> Vec<i64> {
    let mut out = Vec::with_capacity(v.len());
    for row in v.chunks(n.max(1)) {
        let mut at: Vec<usize> = (0..row.len()).collect();
        at.sort_by(|&a, &b| {
            let order = order(row[a], row[b]);
            if descending { order.reverse() } else { order }
        });
        out.extend(at.into_iter().map(|i| i as i64));
    }
    out
}

/// How many elements of a sorted row lie before each value; with `right`, equal ones count.
pub(super) fn search(right: bool, sorted: &Array, values: &Array, out: Meta) -> Result<Array> {
    let n = sorted.shape().last(0);
    // One row serves all values; otherwise each row has its own.
    let m = if sorted.shape().rank() == 1 { out.shape.numel() } else { out.shape.last(0) };
    let found = match (Values::of(sorted)?, Values::of(values)?) {
        (Values::Real(s), Values::Real(v)) => places(&s, n, &v, m, right),
        (Values::Whole(s), Values::Whole(v)) => places(&s, n, &v, m, right),
        (Values::Truth(s), Values::Truth(v)) => places(&s, n, &v, m, right),
        _ => return Err(super::KernelError::Type("a search among elements of another type")),
    };
    Values::Whole(found).into_array(out)
}

fn places<T: PartialOrd + Copy>(s: &[T], n: usize, v: &[T], m: usize, right: bool) -> Vec<i64> {
    let place = |(k, &x): (usize, &T)| {
        let row = s.get(k / m.max(1) * n..).unwrap_or_default();
        let before = |&e: &T| {
            let order = order(e, x);
            order == Ordering::Less || right && order == Ordering::Equal
        };
        row.iter().take(n).take_while(|e| before(e)).count() as i64
    };
    v.iter().enumerate().map(place).collect()
}
