//! What both passes begin with: windows that were checked, and the weight packed.

use std::ops::Range;

use super::parts::Part;
use super::{Cell, Walk, parts};
use crate::gemm::pack::{ROUNDED, with_scratch};
use crate::gemm::round::{Form, Rows, across, along};
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
pub(super) struct Ready<'a> {
    pub(super) walk: Walk,
    lengths: Option<&'a [i64]>,
    /// The weight, as [`parts::product`] takes it.
    pub(super) packed: *const f32,
    pub(super) form: Form,
    /// What is read of the step before, in bf16.
    pub(super) copy: Option<Rounded>,
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
        let form = Form::of(walk.bf16);
        let to = work.ptr::<f32>();
        // SAFETY: the windows have these lengths, and the work memory overlaps nothing.
        unsafe { pack(walk, form, back, weight.ptr(), to) };
        let (h0, c0) = (h0.ptr::<f32>().cast_const(), c0.ptr::<f32>().cast_const());
        let copy = walk.bf16.then(|| {
            let gates = if back { walk.cell.gates() } else { 1 };
            let at = to.wrapping_add(walk.packed());
            Rounded { at, form, gates, hidden: walk.hidden, batch: walk.batch }
        });
        if let (Some(copy), false) = (&copy, back) {
            let all = Part { samples: 0..walk.batch, units: 0..walk.hidden };
            // SAFETY: the first state was checked, and nothing runs yet.
            unsafe { copy.take(0, &all, (h0, walk.hidden)) };
        }
        Ok(Some(Ready { walk, lengths, packed: to, form, copy, h0, c0, tape: tape.ptr() }))
    }
}

/// Packs the weight, as [`parts::product`] takes it.
///
/// # Safety
/// The weight can be read, and [`Walk::packed`] elements be written at `to`.
unsafe fn pack(walk: Walk, form: Form, back: bool, from: *const f32, to: *mut f32) {
    let (gates, n) = (walk.cell.gates(), walk.hidden);
    let half = form.kept(n);
    let packed = |from: *const f32| {
        // SAFETY: the contract; a rounded weight has as many elements as the sizes say.
        unsafe {
            match back {
                true => parts::pack(from, (gates * half, 1, n), (n, 1), to),
                false => parts::pack(from, (half, gates, n), (1, half), to),
            }
        }
    };
    if form == Form::Full {
        return packed(from);
    }
    with_scratch(&ROUNDED, gates * n * half, |rounded| {
        // Backward, each gate has pairs of its own: what comes to them is rounded gate by gate.
        for gate in 0..gates {
            let from = from.wrapping_add(gate * n * n);
            let to = rounded.wrapping_add(gate * n * half);
            let rows = Rows { from, row: n, count: n, width: n, to, to_row: n };
            // SAFETY: the contract, and the scratch memory has room.
            unsafe {
                match back {
                    true => across(form, rows),
                    false => along(form, Rows { to_row: half, ..rows }),
                }
            }
        }
        packed(rounded);
    });
}

/// Left operands of the products of two steps, rounded: that which is read, and that which is made.
pub(super) struct Rounded {
    at: *mut f32,
    form: Form,
    gates: usize,
    hidden: usize,
    batch: usize,
}

impl Rounded {
    /// Elements of a sample.
    fn row(&self) -> usize {
        self.gates * self.form.kept(self.hidden)
    }

    /// What step number `i` reads.
    fn of(&self, i: usize) -> *mut f32 {
        self.at.wrapping_add(i % 2 * self.batch * self.row())
    }

    /// Rounds a part of what step number `i` will read. Gates of `from` are `hidden` apart.
    ///
    /// # Safety
    /// All samples with all units can be read at `from`, and nobody else has this part of them or
    /// of the copy.
    pub(super) unsafe fn take(&self, i: usize, part: &Part, (from, row): (*const f32, usize)) {
        let (first, unit) = (part.samples.start, part.units.start);
        let (from, to) =
            (from.wrapping_add(first * row), self.of(i).wrapping_add(first * self.row()));
        for gate in 0..self.gates {
            let rows = Rows {
                from: from.wrapping_add(gate * self.hidden + unit),
                row,
                count: part.samples.len(),
                width: part.units.len(),
                // Blocks of units start at even ones.
                to: to.wrapping_add(gate * self.form.kept(self.hidden) + self.form.kept(unit)),
                to_row: self.row(),
            };
            // SAFETY: the contract; the copy has room for all samples.
            unsafe { along(self.form, rows) };
        }
    }
}

impl Ready<'_> {
    /// The left operand of the product of step number `i` from a sample on: its elements of k, where
    /// it is and how far apart samples are. In f32 that is what is given, for all samples.
    pub(super) fn left(
        &self,
        i: usize,
        sample: usize,
        (full, row): (*const f32, usize),
    ) -> (usize, (*const f32, usize)) {
        let (at, row) = match &self.copy {
            None => (full, row),
            Some(copy) => (copy.of(i).cast_const(), copy.row()),
        };
        (row, (at.wrapping_add(sample * row), row))
    }

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
