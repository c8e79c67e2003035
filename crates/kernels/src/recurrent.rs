//! Recurrent networks over a sequence, forward and backward, in f32; products in f32 or of bf16.
//!
//! A step is a product of the states before with a weight that was packed once, and then something
//! element by element (`units`), block of units by block of units; `parts` says how that is cut.
//! Both passes are this: forward, the product makes the state's part of the gates; backward, it
//! brings the gradients of the gates of the step after to the states. Nothing is allocated but room
//! for a block, which each thread keeps: the packed weight lies in memory that the caller gives.
//!
//! In bf16 the weight is rounded as it is packed, and a copy of what a step makes is rounded for the
//! products of the next step; states, memories and gates stay f32.
//!
//! **Bits.** The products are those of [`crate::gemm`], all else is element by element, so it does
//! not matter who computes what. Products of bf16 have two orders, with the machine's instruction for
//! pairs and without, as there.

mod backward;
mod forward;
mod parts;
mod ready;
mod units;

pub use backward::{Backward, backward};
pub use forward::{Forward, forward};

use crate::gemm::round::Form;

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
    /// Operands of products are rounded to bf16.
    pub bf16: bool,
}

/// Units of a block, and columns of a panel of the weight: whole registers of every level.
const BLOCK: usize = 32;

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

    /// Elements of the weight, `[gates * hidden, hidden]`.
    fn weight(&self) -> usize {
        (self.cell.gates() * self.hidden).saturating_mul(self.hidden)
    }

    /// Elements of memory that a pass works in: the weight, packed, and in bf16 what two steps read.
    pub fn work(&self) -> usize {
        let step = self.state().saturating_mul(self.cell.gates());
        self.packed().saturating_add(if self.bf16 { step.saturating_mul(2) } else { 0 })
    }

    /// Elements of the packed weight, at most.
    fn packed(&self) -> usize {
        (self.cell.gates() * self.hidden).saturating_mul(self.hidden.next_multiple_of(16))
    }

    /// Where on the tape a kept number is: `gate` of a unit of a sample in step `t`. Side by side is
    /// what one block of units needs: rows that are a multiple of 4096 bytes apart would push each
    /// other out of the cache.
    pub fn kept_at(&self, t: usize, sample: usize, gate: usize, unit: usize) -> usize {
        let memories = if self.cell == Cell::Lstm { self.states() } else { 0 };
        let numbers = self.cell.kept();
        let (first, at) = (unit - unit % BLOCK, unit % BLOCK);
        let step = self.visible() + memories + t * self.state() * numbers;
        let units = BLOCK.min(self.hidden - first);
        step + first * self.batch * numbers + (sample * numbers + gate) * units + at
    }

    /// Step number `i` on the way.
    fn step(&self, i: usize) -> usize {
        if self.reverse { self.time - 1 - i } else { i }
    }

    /// About how long a step takes on one thread, in nanoseconds.
    fn cost(&self, form: Form) -> u64 {
        let gates = self.state().saturating_mul(self.cell.gates());
        // Few samples wait for the weight.
        let product = (gates.saturating_mul(self.hidden) / 80).max(self.weight() / 8);
        let product = form.kept(product);
        product.saturating_add(gates) as u64
    }
}

#[cfg(test)]
mod tests;
