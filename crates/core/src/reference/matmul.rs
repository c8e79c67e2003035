//! Matrix products.

use super::Result;
use super::values::{Values, round};
use crate::array::Array;
use crate::ops::{Meta, Precision};
use gradus_kernels::memory::KernelError;

/// `[.., m, k] @ [.., k, n] = [.., m, n]`, with equal batch axes or one right matrix for all batches.
pub(super) fn matmul(precision: Precision, a: &Array, b: &Array, out: Meta) -> Result<Array> {
    let (m, k, n) = (a.shape().last(1), a.shape().last(0), b.shape().last(0));
    let batch = |x: &Array| x.dims().split_last_chunk::<2>().map(|(batch, _)| batch.to_vec());
    let (Some(left), Some(right)) = (batch(a), batch(b)) else {
        return Err(KernelError::Bounds("a matrix product needs matrices"));
    };
    let result = left.iter().copied().chain([m, n]);
    let fits = b.shape().last(1) == k && (right.is_empty() || right == left);
    if !fits || !result.eq(out.shape.dims().iter().copied()) {
        return Err(KernelError::Bounds("the matrices of a product do not go together"));
    }
    let count = out.shape.numel();
    match (Values::of(a)?, Values::of(b)?) {
        (Values::Real(mut a), Values::Real(mut b)) => {
            for x in a.iter_mut().chain(&mut b) {
                *x = round(precision, *x);
            }
            Values::Real(product(&a, &b, [m, k, n], count, |sum, x, y| sum + x * y))
        }
        (Values::Whole(a), Values::Whole(b)) => {
            let add = |sum: i64, x: i64, y| sum.wrapping_add(x.wrapping_mul(y));
            Values::Whole(product(&a, &b, [m, k, n], count, add))
        }
        _ => return Err(KernelError::Type("a matrix product takes numbers")),
    }
    .into_array(out)
}

fn product<T: Copy + Default>(
    a: &[T],
    b: &[T],
    [m, k, n]: [usize; 3],
    count: usize,
    add: impl Fn(T, T, T) -> T,
) -> Vec<T> {
    if a.is_empty() || b.is_empty() {
        // No results, or results that are sums of nothing.
        return vec![T::default(); count];
    }
    let mut result = Vec::with_capacity(count);
    // A single right matrix is used again and again.
    for (a, b) in a.chunks_exact(m * k).zip(b.chunks_exact(k * n).cycle()) {
        for a_row in a.chunks_exact(k) {
            // A row of the result is the sum of the rows of b, weighted by the row of a.
            let mut sums = vec![T::default(); n];
            for (&weight, b_row) in a_row.iter().zip(b.chunks_exact(n)) {
                for (sum, &x) in sums.iter_mut().zip(b_row) {
                    *sum = add(*sum, weight, x);
                }
            }
            result.extend(sums);
        }
    }
    result
}
