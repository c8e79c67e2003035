//! Recurrent networks over a sequence, forward and backward, in f32.
//!
//! Samples do not know of each other, so a piece of the work is some samples over all time steps: no
//! piece waits for another. In a step, the state's part of the gates is a product with a weight that
//! was packed once; `units` has what follows, all gates of a unit in registers. Nothing is
//! allocated: packed weights and states on the way lie in memory that the caller gives.
//!
//! **Bits.** The products are those of [`crate::gemm`], all else is element by element; pieces are
//! cut by shape.

mod backward;
mod forward;
mod units;

pub use backward::{Backward, backward};
pub use forward::{Forward, forward};

use crate::gemm::{Activation, Gemm, gemm};
use crate::memory::{KernelError, Mem, Ty};

/// What happens in one time step of a recurrent network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Cell {
    /// `h = tanh(x + W h)`.
    #[default]
    Tanh,
    /// `h = max(x + W h, 0)`.
    Relu,
    /// Long short-term memory, gates in the order i, f, g, o: `c = f c + i g`, `h = o tanh(c)`.
    Lstm,
    /// Gated recurrent unit, gates in the order r, z, n: `n = tanh(x_n + r (W_n h + b_n))`,
    /// `h = (1 - z) n + z h`.
    Gru,
}

impl Cell {
    /// How many gates there are.
    pub fn gates(self) -> usize {
        match self {
            Cell::Tanh | Cell::Relu => 1,
            Cell::Gru => 3,
            Cell::Lstm => 4,
        }
    }

    /// How many numbers of a unit and step are kept for the backward pass, beside the states.
    fn kept(self) -> usize {
        match self {
            Cell::Tanh | Cell::Relu => 0,
            // The gates, and of a GRU what `r` multiplies.
            Cell::Gru | Cell::Lstm => 4,
        }
    }
}

/// A recurrence: which, which way, and how large.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Walk {
    /// What happens in a step.
    pub cell: Cell,
    /// From the last step to the first.
    pub reverse: bool,
    /// Steps.
    pub time: usize,
    /// Samples.
    pub batch: usize,
    /// Units.
    pub hidden: usize,
}

/// Columns of a block of a packed weight: whole registers of every level, and whole tiles.
const BLOCK: usize = 48;

impl Walk {
    /// Elements of a state of all samples.
    pub fn state(&self) -> usize {
        self.batch.saturating_mul(self.hidden)
    }

    /// Elements of the states of all steps.
    pub fn states(&self) -> usize {
        self.time.saturating_mul(self.state())
    }

    /// Elements of the gates of all steps.
    pub fn gates(&self) -> usize {
        self.states().saturating_mul(self.cell.gates())
    }

    /// Elements of what others see: the states of all steps, then an LSTM's last memory.
    pub fn visible(&self) -> usize {
        let memory = if self.cell == Cell::Lstm { self.state() } else { 0 };
        self.states().saturating_add(memory)
    }

    /// Elements of what the forward pass makes: what is visible, an LSTM's memories, what is kept.
    pub fn tape(&self) -> usize {
        let memories = if self.cell == Cell::Lstm { self.states() } else { 0 };
        let kept = self.states().saturating_mul(self.cell.kept());
        self.visible().saturating_add(memories).saturating_add(kept)
    }

    /// Elements of what the backward pass makes: gradients of the gates, of the first state, of an
    /// LSTM's first memory; and of a GRU those of `W h + b`.
    pub fn gradients(&self) -> usize {
        let more = match self.cell {
            Cell::Lstm => self.state(),
            Cell::Gru => self.gates(),
            _ => 0,
        };
        self.gates().saturating_add(self.state()).saturating_add(more)
    }

    /// Elements of memory that a pass works in.
    pub fn work(&self) -> usize {
        let gates = self.cell.gates() * self.hidden;
        let weight = self.hidden.saturating_mul(gates);
        weight.saturating_add(self.batch.saturating_mul(gates.max(2 * self.hidden)))
    }

    /// Where a memory of step `t` is on the tape.
    fn memory(&self, t: usize) -> usize {
        self.visible() + t * self.state()
    }

    /// Where what is kept of step `t` is on the tape.
    fn kept(&self, t: usize) -> usize {
        let memories = if self.cell == Cell::Lstm { self.states() } else { 0 };
        self.visible() + memories + t * self.state() * self.cell.kept()
    }

    /// Step number `i` on the way.
    fn step(&self, i: usize) -> usize {
        if self.reverse { self.time - 1 - i } else { i }
    }

    /// Samples of a piece.
    fn rows(&self) -> usize {
        if self.batch <= 128 { 16 } else { 24 }
    }

    /// About how long a pass takes on one thread, in nanoseconds.
    fn cost(&self) -> u64 {
        let gates = self.gates() as u64;
        gates.saturating_mul(self.hidden as u64) / 40 + gates
    }
}

/// Packs a matrix `[k, n]` in blocks of columns: element (i, j) is at `i * row + j * col` of `from`.
fn pack(from: &[f32], (k, n): (usize, usize), (row, col): (usize, usize), to: &mut [f32]) {
    let mut rest = to;
    for first in (0..n).step_by(BLOCK) {
        let width = BLOCK.min(n - first);
        let Some((block, after)) = rest.split_at_mut_checked(k * width) else { return };
        for (i, line) in block.chunks_exact_mut(width).enumerate() {
            let start = i * row + first * col;
            let source = from.get(start..).unwrap_or(&[]).iter().step_by(col.max(1));
            for (x, &y) in line.iter_mut().zip(source) {
                *x = y;
            }
        }
        rest = after;
    }
}

/// `C (+)= A B` with a packed B of `[k, n]`; rows of A are `k` apart.
fn product(
    a: Mem<'_>,
    (m, k, n): (usize, usize, usize),
    packed: Mem<'_>,
    c: Mem<'_>,
    accumulate: bool,
) -> Result<(), KernelError> {
    let short = KernelError::Bounds("a product of a recurrent network");
    for first in (0..n).step_by(BLOCK) {
        let width = BLOCK.min(n - first);
        let b = packed.slice(k * first, k * width).ok_or(short.clone())?;
        let to = c.len().checked_sub(first).and_then(|len| c.slice(first, len));
        gemm(&Gemm {
            m,
            k,
            n: width,
            a,
            a_strides: [k, 1],
            b,
            b_strides: [width, 1],
            c: to.ok_or(short.clone())?,
            c_stride: n,
            batch: 1,
            a_batch: &[],
            b_batch: &[],
            accumulate,
            bias: None,
            activation: Activation::None,
            watch: false,
        })?;
    }
    Ok(())
}

/// Checks windows: all f32 of the right lengths, and what is written apart from all else.
fn check(read: &[(Mem<'_>, usize)], written: &[(Mem<'_>, usize)]) -> Result<(), KernelError> {
    for (i, (w, len)) in written.iter().enumerate() {
        if !w.writable() {
            return Err(KernelError::Type("the result of a recurrent network"));
        }
        let others = written.iter().skip(i + 1);
        if read.iter().chain(others).any(|(other, _)| other.overlaps(w)) {
            return Err(KernelError::Overlap("a recurrent network"));
        }
        let _ = len;
    }
    for (w, len) in read.iter().chain(written) {
        if w.ty() != Ty::F32 {
            return Err(KernelError::Type("a recurrent network"));
        }
        if w.len() != *len {
            return Err(KernelError::Bounds("a recurrent network"));
        }
    }
    Ok(())
}

/// The lengths of the samples, if there are some.
///
/// # Safety
/// Nobody writes them while they are in use.
unsafe fn lengths<'a>(
    window: Option<Mem<'a>>,
    batch: usize,
) -> Result<Option<&'a [i64]>, KernelError> {
    let Some(window) = window else { return Ok(None) };
    // SAFETY: the caller's promise.
    let lengths = unsafe { window.slice_of::<i64>() };
    let lengths = lengths.ok_or(KernelError::Type("lengths of sequences"))?;
    if lengths.len() != batch {
        return Err(KernelError::Bounds("lengths of sequences"));
    }
    Ok(Some(lengths))
}

/// Whether step `t` counts for sample `row`.
fn counts(lengths: Option<&[i64]>, row: usize, t: usize) -> bool {
    lengths.and_then(|l| l.get(row)).is_none_or(|&n| (t as i64) < n)
}

#[cfg(test)]
mod tests;
