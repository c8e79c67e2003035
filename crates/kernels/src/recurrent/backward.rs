//! The backward pass: gradients of the gates and of the first state, from the last step on.

use super::parts::{self, Part};
use super::ready::{Given, Ready};
use super::units::{Back, back};
use super::{Cell, Walk};
use crate::memory::{KernelError, Mem};

/// A backward pass. An operand that the cell does not have is left out.
#[derive(Clone, Copy, Debug)]
pub struct Backward<'a> {
    /// Which, and how large.
    pub walk: Walk,
    /// What the forward pass made.
    pub tape: Mem<'a>,
    /// The gradient of what is visible of it, [`Walk::visible`] elements.
    pub g: Mem<'a>,
    /// `[gates * hidden, hidden]`.
    pub weight: Mem<'a>,
    /// The first state, `[batch, hidden]`.
    pub h0: Mem<'a>,
    /// The first memory of an LSTM.
    pub c0: Option<Mem<'a>>,
    /// How many steps of each sample count, i64.
    pub lengths: Option<Mem<'a>>,
    /// [`Walk::gradients`] elements: see there.
    pub out: Mem<'a>,
    /// [`Walk::work`] elements.
    pub work: Mem<'a>,
}

/// Runs a backward pass.
///
/// # Errors
/// [`KernelError`] for windows that do not fit.
pub fn backward(args: &Backward<'_>) -> Result<(), KernelError> {
    let &Backward { walk, tape, g, weight, h0, c0, lengths, out, work } = args;
    let read = [(tape, walk.tape()), (g, walk.visible())];
    let made = (out, walk.gradients());
    let given = Given { walk, weight, h0, c0, lengths, tape, work, read: &read, made };
    let Some(ready) = given.ready(true)? else { return Ok(()) };
    let pass = Pass { ready, g: g.ptr(), out: out.ptr() };
    // One more than there are steps: the last product gives the gradient of the first state.
    // SAFETY: the windows were checked, and nobody else has these samples and units.
    Ok(parts::run(walk, pass.ready.form, walk.time + 1, &|i, part| unsafe { pass.step(i, part) })?)
}

/// Samples by which memory is asked for in advance.
const NEXT: usize = 4;

struct Pass<'a> {
    ready: Ready<'a>,
    g: *const f32,
    out: *mut f32,
}

// SAFETY: see `Ready`.
unsafe impl Sync for Pass<'_> {}

impl Pass<'_> {
    /// The gradients of the gates of step `t`.
    fn gates(&self, t: usize) -> *mut f32 {
        let Walk { cell, batch, hidden, .. } = self.ready.walk;
        self.out.wrapping_add(t * batch * cell.gates() * hidden)
    }

    /// The gradients of what the state brings to the gates of step `t`.
    fn own(&self, t: usize) -> *mut f32 {
        let walk = self.ready.walk;
        let behind = if walk.cell == Cell::Gru { walk.gates() + walk.state() } else { 0 };
        self.gates(t).wrapping_add(behind)
    }

    /// Step number `i` from the end of some samples and units: what the step after it sends back,
    /// then the units. What goes on to the step before is where the gradient of the first state
    /// will be.
    ///
    /// # Safety
    /// The windows have their lengths, nobody else writes the places of this part, and the gradients
    /// of the gates of the step after are there.
    unsafe fn step(&self, i: usize, part: &Part) {
        let ready = &self.ready;
        let walk = ready.walk;
        let Walk { cell, hidden, time, .. } = walk;
        let width = cell.gates() * hidden;
        let (first, count, units) = (part.samples.start, part.samples.len(), part.units.len());
        let dh = self.out.wrapping_add(walk.gates() + part.units.start);
        let dc = dh.wrapping_add(walk.state());
        let left = time.checked_sub(i + 1);
        let block = |left: usize, sample: usize| {
            let (t, (h0, c0)) = (walk.step(left), ready.before(left));
            let row = sample * hidden;
            let at = row + part.units.start;
            let gates = sample * width + part.units.start;
            Back {
                units,
                hidden,
                g: self.g.wrapping_add(t * walk.state() + at),
                dh: dh.wrapping_add(row),
                dc: dc.wrapping_add(row),
                h0: h0.wrapping_add(at),
                c0: c0.wrapping_add(at),
                h: ready.states(t).wrapping_add(at),
                c: ready.memories(t).wrapping_add(at),
                kept: ready.kept(t, sample, &part.units),
                gates: self.gates(t).wrapping_add(gates),
                own: self.own(t).wrapping_add(gates),
            }
        };
        if i > 0 {
            let own = self.own(walk.step(time - i)).cast_const();
            let (k, a) = ready.left(i, first, (own, width));
            let c = (dh.wrapping_add(first * hidden), hidden);
            let units = (1, &part.units);
            // SAFETY: the states' gradients are no part of the gates'.
            unsafe { parts::product((count, k), a, ready.packed, units, c, (ready.form, true)) };
        }
        let Some(left) = left else { return };
        let t = walk.step(left);
        for sample in part.samples.clone() {
            // What is written is not in the nearest cache, and a store that has to wait for its line
            // keeps all others behind it waiting.
            if sample + NEXT < part.samples.end {
                block(left, sample + NEXT).fetch(cell);
            }
            let step = block(left, sample);
            // SAFETY: all places are inside the windows, by the sizes of the walk.
            unsafe {
                if i == 0 {
                    step.dh.write_bytes(0, units);
                    if cell == Cell::Lstm {
                        let at = walk.states() + sample * hidden + part.units.start;
                        let from = self.g.wrapping_add(at);
                        step.dc.copy_from_nonoverlapping(from, units);
                    }
                }
                match ready.counts(sample, t) {
                    true => back(cell, step),
                    false => step.pass(cell),
                }
            }
        }
        if let Some(copy) = &ready.copy {
            // SAFETY: the gradients of this part were written above.
            unsafe { copy.take(i + 1, part, (self.own(t), width)) };
        }
    }
}
