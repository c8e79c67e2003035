//! Matrix products.

use gradus_kernels::memory::KernelError;

use super::Result;
use super::values::{Values, reals};
use crate::array::Array;
use crate::ops::Meta;

/// `[.., m, k] @ [.., k, n] = [.., m, n]`, with equal batch axes or one right matrix for all batches.
pub(super) fn matmul(a: &Array, b: &Array, out: Meta) -> Result<Array> {
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
    if a.numel() == 0 || b.numel() == 0 {
        // No results, or results that are sums of nothing.
        return Values::Real(vec![0.0; out.shape.numel()]).into_array(out);
    }
    let (a, b) = (reals(a)?, reals(b)?);
    let mut result = Vec::with_capacity(out.shape.numel());
    // A single right matrix is used again and again.
    for (a, b) in a.chunks_exact(m * k).zip(b.chunks_exact(k * n).cycle()) {
        for a_row in a.chunks_exact(k) {
            // A row of the result is the sum of the rows of b, weighted by the row of a.
            let mut sums = vec![0.0; n];
            for (&weight, b_row) in a_row.iter().zip(b.chunks_exact(n)) {
                for (sum, &x) in sums.iter_mut().zip(b_row) {
                    *sum += weight * x;
                }
            }
            result.extend(sums);
        }
    }
    Values::Real(result).into_array(out)
}
