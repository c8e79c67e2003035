//! The forward pass.

use super::parts::{self, Part};
use super::ready::{Given, Ready};
use super::units::{Ahead, ahead};
use super::{Cell, Walk};
use crate::memory::{KernelError, Mem};

/// A forward pass. An operand that the cell does not have is left out.
#[derive(Clone, Copy, Debug)]
pub struct Forward<'a> {
    /// Which, and how large.
    pub walk: Walk,
    /// What the inputs bring, `[time, batch, gates * hidden]`.
    pub gates: Mem<'a>,
    /// `[gates * hidden, hidden]`.
    pub weight: Mem<'a>,
    /// The first state, `[batch, hidden]`.
    pub h0: Mem<'a>,
    /// The first memory of an LSTM.
    pub c0: Option<Mem<'a>>,
    /// Of a GRU, `[3 * hidden]`.
    pub bias: Option<Mem<'a>>,
    /// How many steps of each sample count, i64.
    pub lengths: Option<Mem<'a>>,
    /// [`Walk::tape`] elements: see there.
    pub tape: Mem<'a>,
    /// [`Walk::work`] elements.
    pub work: Mem<'a>,
}

/// Runs a forward pass.
///
/// # Errors
/// [`KernelError`] for windows that do not fit.
pub fn forward(args: &Forward<'_>) -> Result<(), KernelError> {
    let &Forward { walk, gates, weight, h0, c0, lengths, tape, work, .. } = args;
    let missing = KernelError::Bounds("an operand of a recurrent network is missing");
    let (bias, len) = match walk.cell {
        Cell::Gru => (args.bias.ok_or(missing)?, walk.cell.gates() * walk.hidden),
        _ => (h0, walk.state()),
    };
    let read = [(gates, walk.gates()), (bias, len)];
    let made = (tape, walk.tape());
    let given = Given { walk, weight, h0, c0, lengths, tape, work, read: &read, made };
    let Some(ready) = given.ready(false)? else { return Ok(()) };
    let pass = Pass { ready, gates: gates.ptr(), bias: bias.ptr() };
    // SAFETY: the windows were checked, and nobody else has these samples and units.
    Ok(parts::run(walk, pass.ready.form, walk.time, &|i, part| unsafe { pass.step(i, part) })?)
}

struct Pass<'a> {
    ready: Ready<'a>,
    gates: *const f32,
    bias: *const f32,
}

// SAFETY: see `Ready`.
unsafe impl Sync for Pass<'_> {}

impl Pass<'_> {
    /// What the inputs bring to the gates of a sample in step `t`.
    fn x(&self, t: usize, sample: usize) -> *const f32 {
        let Walk { cell, hidden, batch, .. } = self.ready.walk;
        self.gates.wrapping_add((t * batch + sample) * cell.gates() * hidden)
    }

    /// Step number `i` of some samples and units.
    ///
    /// # Safety
    /// The windows have their lengths, nobody else writes the places of this part, and the states of
    /// the step before are there.
    unsafe fn step(&self, i: usize, part: &Part) {
        let ready = &self.ready;
        let Walk { cell, hidden, .. } = ready.walk;
        let t = ready.walk.step(i);
        let (first, count) = (part.samples.start, part.samples.len());
        let columns = cell.gates() * part.units.len();
        let (h0, c0) = ready.before(i);
        let last = i + 1 == ready.walk.time && cell == Cell::Lstm;
        parts::with_room(count * columns, |brought| {
            let (k, a) = ready.left(i, first, (h0, hidden));
            let gates = (cell.gates(), &part.units);
            let c = (brought, columns);
            let block = |sample: usize| {
                let at = sample * hidden + part.units.start;
                Ahead {
                    units: part.units.len(),
                    hidden,
                    x: self.x(t, sample).wrapping_add(part.units.start),
                    s: brought.wrapping_add((sample - first) * columns),
                    bias: self.bias.wrapping_add(part.units.start),
                    h0: h0.wrapping_add(at),
                    c0: c0.wrapping_add(at),
                    h: ready.states(t).wrapping_add(at),
                    c: ready.memories(t).wrapping_add(at),
                    kept: ready.kept(t, sample, &part.units),
                }
            };
            // SAFETY: the room is as large, and no part of what is read.
            unsafe { parts::product((count, k), a, ready.packed, gates, c, (ready.form, false)) };
            for sample in part.samples.clone() {
                let step = block(sample);
                // SAFETY: all places are inside the windows, by the sizes of the walk.
                unsafe {
                    match ready.counts(sample, t) {
                        true => ahead(cell, step),
                        false => step.stay(cell),
                    }
                    if last {
                        let at = sample * hidden + part.units.start;
                        let to = ready.last_memory().wrapping_add(at);
                        to.copy_from_nonoverlapping(step.c, step.units);
                    }
                }
            }
            if let Some(copy) = &ready.copy
                && i + 1 < ready.walk.time
            {
                // SAFETY: the states of this part were written above.
                unsafe { copy.take(i + 1, part, (ready.states(t), hidden)) };
            }
        });
    }
}
