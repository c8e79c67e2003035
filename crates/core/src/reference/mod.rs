//! The reference executor: every operation evaluated the obvious, slow, right way.
//!
//! It is the oracle that the optimised executor is tested against, the executor of the few operations that no kernel does in a type, and
//! the replay that finds which operation first made a NaN. To learn what an operation means, read it
//! here. There are no fused steps, no threads and no tricks: operands are contiguous, results are
//! new, and each file below is one idea.
//!
//! | File | What is in it |
//! |---|---|
//! | `values` | how elements are read and written: floats are computed in f64, integers in i64, and rounded or wrapped once |
//! | `formulas` | what each element-wise operation does to one element |
//! | `elementwise` | operations applied to each element |
//! | `source` | numbers, random numbers, indices |
//! | `reduce` | sums, extremes and their positions |
//! | `movement` | operations that move elements without computing |
//! | `indexing` | operations that follow index tensors |
//! | `sort` | the order of rows, and where values go in them |
//! | `matmul` | matrix products |
//! | `pool` | windows that slide over the last axes |
//! | `conv` | convolutions and their gradients |
//! | `scan` | running results along an axis |
//! | `recurrent` | recurrent networks |
//! | `rows` | softmax, cross-entropy and their gradients |

mod attention;
mod conv;
mod elementwise;
mod formulas;
mod indexing;
mod matmul;
mod movement;
mod pool;
mod recurrent;
mod reduce;
mod rows;
mod scan;
mod sort;
mod source;
#[cfg(test)]
mod tests;
mod values;

use gradus_kernels::memory::KernelError;
use gradus_kernels::program::RandomKey;

use crate::array::Array;
use crate::ops::{Meta, Op};

/// What every evaluation gives.
type Result<T> = std::result::Result<T, KernelError>;

/// Evaluates one operation on arrays.
///
/// `out` is the result's shape and type by the rules of [`crate::ops::infer`]. `number` is the value
/// of an [`Op::Slot`], `key` the key of an [`Op::Random`]; other operations ignore them.
///
/// # Errors
/// [`KernelError::Index`] and [`KernelError::DivisionByZero`] for values that the operation does not
/// accept; the others for operations, shapes or types that the recorder should never have let
/// through.
pub(crate) fn eval(
    op: &Op,
    ins: &[&Array],
    out: Meta,
    number: f64,
    key: RandomKey,
) -> Result<Array> {
    let result = match (op, ins) {
        (Op::Slot, []) => source::number(number, out),
        (Op::Const(value), []) => source::number(*value, out),
        (Op::Random(dist), []) => source::random(*dist, key, out),
        (Op::Index(axis), []) => source::index(*axis, out),

        (Op::Unary(op), [x]) => elementwise::unary(*op, x, out),
        (Op::Binary(op), [a, b]) => elementwise::binary(*op, a, b, out),
        (Op::Ternary(op), [a, b, c]) => elementwise::ternary(*op, a, b, c, out),
        (Op::Cast(_), [x]) => elementwise::cast(x, out),

        (Op::Reduce(kind, axes), [x]) => reduce::reduce(*kind, *axes, x, out),
        (Op::ArgReduce { max, axis }, [x]) => reduce::position(*max, *axis, x, out),

        (Op::Detach | Op::Reshape, [x]) | (Op::CustomGrad | Op::Checkpoint, [x, ..]) => {
            movement::reshape(x, out)
        }
        (Op::Permute(order), [x]) => movement::permute(order, x, out),
        (Op::Broadcast, [x]) => movement::broadcast(x, out),
        (Op::Slice { axis, start, step }, [x]) => movement::slice(*axis, *start, *step, x, out),
        (Op::Unslice { axis, start, step }, [x]) => movement::unslice(*axis, *start, *step, x, out),
        (Op::Concat { axis }, parts) => movement::concat(*axis, parts, out),

        (Op::Gather { axis }, [x, index]) => indexing::gather(*axis, x, index, out),
        (Op::ScatterAdd { axis }, [x, index]) => indexing::scatter_add(*axis, x, index, out),
        (Op::IndexSelect { axis }, [x, index]) => indexing::index_select(*axis, x, index, out),
        (Op::IndexAdd { axis }, [x, index]) => indexing::index_add(*axis, x, index, out),

        (Op::Scan { kind, axis, reverse }, ins) => scan::scan(*kind, *axis, *reverse, ins, out),
        (Op::Scatter { axis, how, whole }, [x, index, source]) => {
            indexing::scatter((*how, *whole), *axis, [x, index, source], out)
        }
        (Op::Within { size, negative }, [x]) => indexing::within(*size, *negative, x, out),
        (Op::Argsort { descending }, [x]) => sort::argsort(*descending, x, out),
        (Op::Search { right }, [sorted, values]) => sort::search(*right, sorted, values, out),

        (Op::Matmul(precision), [a, b]) => matmul::matmul(*precision, a, b, out),
        (Op::Pool { kind, rank, windows }, ins) => pool::pool((*kind, *rank, windows), ins, out),
        (Op::Conv(c), [a, b]) => conv::conv(c, a, b, out),
        (Op::Rows(rows), ins) => rows::rows(*rows, ins, out),
        (Op::Recurrent(steps), ins) => recurrent::forward(*steps, ins, out),
        (Op::Attention(a), ins) => attention::forward(*a, ins, out),
        (Op::AttentionGrad(a), ins) => attention::backward(*a, ins, out),
        (Op::RecurrentGrad(steps), ins) => recurrent::backward(*steps, ins, out),

        _ => Err(KernelError::Type("the reference executor does not evaluate this operation")),
    }?;
    if result.shape() != out.shape {
        return Err(KernelError::Bounds("a reference result has another shape than was inferred"));
    }
    if result.dtype() != out.dtype {
        return Err(KernelError::Type("a reference result has another type than was inferred"));
    }
    Ok(result)
}
