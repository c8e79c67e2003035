//! What both passes begin with: windows that were checked, and the weight packed.

use std::ops::Range;

use super::{Cell, Walk, parts};
use crate::memory::{KernelError, Mem, Ty};

/// What both passes are given.
pub(super) struct Given<'a, 'b> {
    pub(super) walk: Walk,
    pub(super) weight: Mem<'a>,
    pub(super) h0: Mem<'a>,
    pub(super) c0: Option<Mem<'a>>,
    pub(super) lengths: Option<Mem<'a>>,
    pub(super) tape: Mem<'a>,
    pub(super) work: Mem<'a>,
    /// What else is read, and the length that it has.
    pub(super) read: &'b [(Mem<'a>, usize)],
    /// What the pass makes, and its length.
    pub(super) made: (Mem<'a>, usize),
}

/// What both passes work on; all windows have their lengths.
#[derive(Clone, Copy)]
pub(super) struct Ready<'a> {
    pub(super) walk: Walk,
    lengths: Option<&'a [i64]>,
    /// The weight, as [`parts::product`] takes it.
    pub(super) packed: *const f32,
    h0: *const f32,
    c0: *const f32,
    tape: *mut f32,
}

// SAFETY: parts write the places of different units and samples, and read those of others only
// where an earlier step has written them.
unsafe impl Sync for Ready<'_> {}

impl<'a> Given<'a, '_> {
    /// Checks the windows and packs the weight; nothing if there is nothing to do.
    pub(super) fn ready(self, back: bool) -> Result<Option<Ready<'a>>, KernelError> {
        let Given { walk, weight, h0, tape, work, .. } = self;
        let missing = KernelError::Bounds("an operand of a recurrent network is missing");
        let c0 = if walk.cell == Cell::Lstm { self.c0.ok_or(missing)? } else { h0 };
        check(
            &[(weight, walk.weight()), (h0, walk.state()), (c0, walk.state())],
            self.read,
            &[self.made, (work, walk.work())],
        )?;
        let lengths = match self.lengths {
            None => None,
            Some(window) if window.overlaps(&self.made.0) || window.overlaps(&work) => {
                return Err(KernelError::Overlap("a recurrent network"));
            }
            // SAFETY: nothing that is written overlaps them.
            Some(window) => match unsafe { window.slice_of::<i64>() } {
                Some(lengths) if lengths.len() == walk.batch => Some(lengths),
                Some(_) => return Err(KernelError::Bounds("lengths of sequences")),
                None => return Err(KernelError::Type("lengths of sequences")),
            },
        };
        if walk.state() == 0 || walk.time == 0 {
            return Ok(None);
        }
        let (from, to) = (weight.ptr::<f32>().cast_const(), work.ptr::<f32>());
        let (gates, n) = (walk.cell.gates(), walk.hidden);
        // SAFETY: the windows have these lengths, and the work memory overlaps nothing.
        unsafe {
            match back {
                true => parts::pack(from, (gates * n, 1, n), (n, 1), to),
                false => parts::pack(from, (n, gates, n), (1, n), to),
            }
        }
        let (h0, c0) = (h0.ptr::<f32>().cast_const(), c0.ptr::<f32>().cast_const());
        Ok(Some(Ready { walk, lengths, packed: to, h0, c0, tape: tape.ptr() }))
    }
}

impl Ready<'_> {
    /// Whether step `t` counts for a sample.
    pub(super) fn counts(&self, sample: usize, t: usize) -> bool {
        self.lengths.and_then(|l| l.get(sample)).is_none_or(|&n| (t as i64) < n)
    }

    /// The states of all samples after step `t`.
    pub(super) fn states(&self, t: usize) -> *mut f32 {
        self.tape.wrapping_add(t * self.walk.state())
    }

    /// The memories of an LSTM after step `t`; of other cells the states.
    pub(super) fn memories(&self, t: usize) -> *mut f32 {
        let start = if self.walk.cell == Cell::Lstm { self.walk.visible() } else { 0 };
        self.tape.wrapping_add(start + t * self.walk.state())
    }

    /// Where the last memory of an LSTM is visible.
    pub(super) fn last_memory(&self) -> *mut f32 {
        self.tape.wrapping_add(self.walk.states())
    }

    /// What is kept of a block of a sample in step `t`, gate after gate.
    pub(super) fn kept(&self, t: usize, sample: usize, units: &Range<usize>) -> *mut f32 {
        self.tape.wrapping_add(self.walk.kept_at(t, sample, 0, units.start))
    }

    /// States and memories before step number `i` on the way.
    pub(super) fn before(&self, i: usize) -> (*const f32, *const f32) {
        match i.checked_sub(1).map(|i| self.walk.step(i)) {
            None => (self.h0, self.c0),
            Some(t) => (self.states(t).cast_const(), self.memories(t).cast_const()),
        }
    }
}

/// Checks windows: all f32 of the right lengths, and what is written apart from all else.
fn check(
    read: &[(Mem<'_>, usize)],
    more: &[(Mem<'_>, usize)],
    written: &[(Mem<'_>, usize); 2],
) -> Result<(), KernelError> {
    let read = || read.iter().chain(more);
    for (w, _) in written {
        if !w.writable() {
            return Err(KernelError::Type("the result of a recurrent network"));
        }
        if read().any(|(other, _)| other.overlaps(w)) {
            return Err(KernelError::Overlap("a recurrent network"));
        }
    }
    if written[0].0.overlaps(&written[1].0) {
        return Err(KernelError::Overlap("a recurrent network"));
    }
    for (w, len) in read().chain(written) {
        if w.ty() != Ty::F32 {
            return Err(KernelError::Type("a recurrent network"));
        }
        if w.len() != *len {
            return Err(KernelError::Bounds("a recurrent network"));
        }
    }
    Ok(())
}
