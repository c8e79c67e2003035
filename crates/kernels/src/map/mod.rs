//! Fused element-wise maps: a [`Program`](crate::program::Program) runs over every element of an
//! iteration space, a block of [`BLOCK`] lanes at a time, with its temporaries in the first-level
//! cache.
//!
//! It knows nothing of what a program means. Start at `compile.rs` (a program becomes kernel calls
//! on registers), then `prepare.rs` (checks and operands of one run), `eval.rs` (one block),
//! `kernels.rs` and `ops.rs` (one instruction), `load.rs` (strided reading).
//!
//! **Bits.** Every lane is computed by itself, so neither the cut into blocks and pieces nor the
//! number of threads changes a bit; see [`crate::vmath`] about instruction sets.

mod bound;
mod compile;
mod eval;
mod kernels;
mod lease;
mod load;
mod ops;
mod prepare;
#[cfg(test)]
mod tests;
mod typed;

use crate::memory::{KernelError, Mem};
use crate::program::RandomKey;
use eval::Worker;
use prepare::Prepared;

pub(crate) use bound::Bound;
pub use compile::{Compiled, supports};
pub(crate) use eval::BlockEval;
pub(crate) use load::copy_short;

/// Lanes of a block: registers of 2 KiB, so that a dozen of them fit the first-level cache.
pub const BLOCK: usize = 512;

/// Elements of a piece of work for the pool; a fixed number, whatever the number of threads.
const PIECE: usize = 32 * BLOCK;

/// Evaluates the program for every element of the row-major iteration space `dims` and writes
/// result `i` to `outputs[i]`, row-major.
///
/// An output may be the very same window as an operand that is read contiguously (in place). No
/// other output may overlap an operand or another output.
///
/// # Errors
/// [`KernelError::Bounds`] where something is missing, too short or of the wrong rank,
/// [`KernelError::Type`] for a window of the wrong type or that may not be written,
/// [`KernelError::Overlap`], and, after all outputs were written with 0 in those places,
/// [`KernelError::DivisionByZero`] with the first element whose integer divisor was 0.
pub fn run(
    program: &Compiled,
    dims: &[usize],
    operands: &[Mem<'_>],
    outputs: &[Mem<'_>],
    slots: &[f64],
    keys: &[RandomKey],
) -> Result<(), KernelError> {
    let mut prepared = Prepared::unbound(program);
    prepared.bind(dims, operands, slots, keys)?;
    prepared.bind_outputs(operands, outputs)?;
    let prepared = &prepared;
    let n = prepared.elements;
    if n == 0 {
        return Ok(());
    }
    if n <= PIECE {
        // SAFETY: the whole space, by one thread.
        unsafe { Worker::new(prepared).map(prepared, 0, n) };
    } else {
        let cost = (n as f32 * program.cost_ns()) as u64;
        crate::pool::run(n.div_ceil(PIECE), cost, &|i| {
            let start = (i * PIECE).min(n);
            let end = (start + PIECE).min(n);
            // SAFETY: pieces are disjoint ranges of the space.
            unsafe { Worker::new(prepared).map(prepared, start, end) };
        })?;
    }
    match prepared.error() {
        None => Ok(()),
        Some(e) => Err(e),
    }
}
