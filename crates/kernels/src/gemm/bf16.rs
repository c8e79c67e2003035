//! Products of operands that are rounded to bf16; sums, bias and result are f32.
//!
//! With the machine's instruction for pairs, two neighbours in k become one 32-bit element, and the driver
//! of f32 does the rest: it only moves elements, and its tiles multiply pairs. Without, operands are
//! rounded and stay f32.

use super::driver::{self, Job};
use super::pack::{ROUNDED, with_scratch};
use super::round::{Form, Rows, across, along};
use crate::memory::Shared;
use crate::pool::{self, PiecePanicked};

/// Steps of k, columns and rows below which pairs do not pay. Part of the definition of the result.
const FEW: [usize; 3] = [16, 16, 2];

/// Elements that one piece rounds.
const PIECE: usize = 1 << 15;

/// One operand of one product: `count` rows (of A) or columns (of B), each of `k` elements.
#[derive(Clone, Copy)]
struct Side {
    src: *const f32,
    count: usize,
    k: usize,
    /// Distance of rows or columns, and of steps of k.
    across: usize,
    step: usize,
}

/// Where an operand was put: distances of rows or columns, and of steps of k.
struct Placed {
    across: usize,
    step: usize,
}

/// # Safety
/// As for [`driver::run`], but for the instruction set.
pub(super) unsafe fn run(job: &Job<'_>) -> Result<bool, PiecePanicked> {
    let many = job.k >= FEW[0] && job.n >= FEW[1] && job.m >= FEW[2];
    let form = if many { Form::of(true) } else { Form::Wide };
    let k = form.kept(job.k);
    let a_size = (job.m * k).next_multiple_of(16);
    let b_size = (k * job.n).next_multiple_of(16);
    with_scratch(&ROUNDED, a_size + b_size, |scratch| {
        let mut finite = true;
        for entry in 0..job.batch {
            let at = |offsets: &[usize]| offsets.get(entry).copied().unwrap_or(0);
            let a = Side {
                src: job.a.wrapping_add(at(job.a_batch)),
                count: job.m,
                k: job.k,
                across: job.a_row,
                step: job.a_col,
            };
            let b = Side {
                src: job.b.wrapping_add(at(job.b_batch)),
                count: job.n,
                k: job.k,
                across: job.b_col,
                step: job.b_row,
            };
            let (to_a, to_b) = (scratch, scratch.wrapping_add(a_size));
            // SAFETY: the contract; both have room.
            let (at_a, at_b) = unsafe { (rounded(a, form, to_a)?, rounded(b, form, to_b)?) };
            let one = Job {
                m: job.m,
                k,
                n: job.n,
                a: to_a,
                a_row: at_a.across,
                a_col: at_a.step,
                b: to_b,
                b_row: at_b.step,
                b_col: at_b.across,
                c: job.c.wrapping_add(entry * job.c_batch),
                c_row: job.c_row,
                batch: 1,
                a_batch: &[],
                b_batch: &[],
                c_batch: 0,
                end: job.end,
                taker: None,
            };
            // SAFETY: the contract, and the machine has the instructions of the form's kernels.
            finite &= unsafe { driver::run(form.kernels(job.m, job.n), &one) }?;
        }
        Ok(finite)
    })
}

/// Rounds an operand to `to`, in the order of its memory: elements side by side stay so.
///
/// # Safety
/// The operand can be read; `to` has room for `count` times `k` elements (or pairs).
unsafe fn rounded(side: Side, form: Form, to: *mut f32) -> Result<Placed, PiecePanicked> {
    let kept = form.kept(side.k);
    // Rows of memory are steps of k where rows of the operand lie side by side.
    let sideways = side.across == 1 && side.step != 1;
    let lines = if sideways { kept } else { side.count };
    let length = if sideways { side.count } else { kept };
    let together = (PIECE / length.max(1)).max(1);
    let cost = (side.count * side.k) as u64 / 8;
    // SAFETY: pieces write different lines.
    let shared = unsafe { Shared::new((side, to)) };
    pool::run(lines.div_ceil(together), cost, &|piece| {
        let &(side, to) = shared.get();
        let first = piece * together;
        let count = together.min(lines - first);
        let to = to.wrapping_add(first * length);
        // SAFETY: the contract; the form is that of the machine, or wide.
        unsafe {
            if sideways {
                let step = if form == Form::Pairs { 2 } else { 1 };
                let from = side.src.wrapping_add(step * first * side.step);
                let count = (step * count).min(side.k - step * first);
                let width = side.count;
                across(form, Rows { from, row: side.step, count, width, to, to_row: length });
            } else {
                let from = side.src.wrapping_add(first * side.across);
                let row = side.across;
                let rows = Rows { from, row, count, width: side.k, to, to_row: length };
                if side.step == 1 { along(form, rows) } else { apart(form, rows, side.step) }
            }
        }
    })?;
    Ok(if sideways {
        Placed { across: 1, step: side.count }
    } else {
        Placed { across: kept, step: 1 }
    })
}

/// [`along`] rows whose numbers are `step` apart: some of them at a time are brought together.
///
/// # Safety
/// As for [`along`].
unsafe fn apart(form: Form, rows: Rows, step: usize) {
    let mut near = [0.0; 64];
    for r in 0..rows.count {
        let from = rows.from.wrapping_add(r * rows.row);
        let to = rows.to.wrapping_add(r * rows.to_row);
        for first in (0..rows.width).step_by(near.len()) {
            let width = near.len().min(rows.width - first);
            for (i, x) in near.iter_mut().take(width).enumerate() {
                // SAFETY: the contract.
                *x = unsafe { *from.add((first + i) * step) };
            }
            let to = to.wrapping_add(form.kept(first));
            let from = near.as_ptr();
            // SAFETY: the contract.
            unsafe { along(form, Rows { from, width, count: 1, to, ..rows }) };
        }
    }
}
