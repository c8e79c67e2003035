//! The backward pass: gradients of the gates and of the first state, from the last step on.

use std::sync::atomic::{AtomicBool, Ordering};

use super::units::{Back, back};
use super::{Cell, Walk, check, counts, lengths, pack, product};
use crate::memory::{KernelError, Mem, Shared, Ty};
use crate::pool;

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
    let walk = args.walk;
    let Walk { cell, time, batch, hidden, .. } = walk;
    let width = cell.gates() * hidden;
    let missing = KernelError::Bounds("an operand of a recurrent network is missing");
    let c0 = if cell == Cell::Lstm { args.c0.ok_or(missing)? } else { args.h0 };
    let read = [
        (args.tape, walk.tape()),
        (args.g, walk.visible()),
        (args.weight, width * hidden),
        (args.h0, walk.state()),
        (c0, walk.state()),
    ];
    check(&read, &[(args.out, walk.gradients()), (args.work, walk.work())])?;
    if args.lengths.is_some_and(|l| l.overlaps(&args.out) || l.overlaps(&args.work)) {
        return Err(KernelError::Overlap("a recurrent network"));
    }
    // SAFETY: nothing that is written overlaps them.
    let lengths = unsafe { lengths(args.lengths, batch) }?;
    if walk.state() == 0 || time == 0 {
        return Ok(());
    }
    let packed = args.work.slice(0, width * hidden);
    let packed = packed.ok_or(KernelError::Bounds("a recurrent network"))?;
    // SAFETY: the work memory overlaps nothing, and nobody else uses it here.
    let windows = unsafe { (args.weight.slice_of::<f32>(), packed.slice_of_mut::<f32>()) };
    let (Some(weight), Some(to)) = windows else {
        return Err(KernelError::Type("a recurrent network"));
    };
    pack(weight, (width, hidden), (hidden, 1), to);
    let failed = AtomicBool::new(false);
    // SAFETY: pieces write the places of different samples.
    let shared = unsafe { Shared::new((*args, c0)) };
    pool::run(batch.div_ceil(walk.rows()), walk.cost(), &|piece| {
        let (args, c0) = shared.get();
        let first = piece * walk.rows();
        let rows = walk.rows().min(batch - first);
        // SAFETY: all windows have the lengths that were checked, and these samples are this
        // piece's.
        if unsafe { run(args, *c0, lengths, first, rows) }.is_err() {
            failed.store(true, Ordering::Relaxed);
        }
    })?;
    match failed.into_inner() {
        true => Err(KernelError::Bounds("a recurrent network")),
        false => Ok(()),
    }
}

/// Some samples over all steps.
///
/// # Safety
/// The windows have their lengths, and nobody else writes the places of these samples.
unsafe fn run(
    args: &Backward<'_>,
    c0: Mem<'_>,
    lengths: Option<&[i64]>,
    first: usize,
    rows: usize,
) -> Result<(), KernelError> {
    let walk = args.walk;
    let Walk { cell, batch, hidden, .. } = walk;
    let (width, states) = (cell.gates() * hidden, walk.states());
    // SAFETY: all places are inside the windows, by the sizes of the walk.
    unsafe {
        let (tape, out) = (args.tape.ptr::<f32>().cast_const(), args.out.ptr::<f32>());
        let g = args.g.ptr::<f32>().cast_const();
        let work = args.work.ptr::<f32>();
        let packed = Mem::from_raw(work.cast(), width * hidden, Ty::F32, false);
        let size = rows * hidden;
        let room = work.add(width * hidden + 2 * first * hidden);
        let (dh, dc) = (room, room.add(size));
        let carried = Mem::from_raw(dh.cast(), size, Ty::F32, true);
        dh.write_bytes(0, size);
        if cell == Cell::Lstm {
            dc.copy_from_nonoverlapping(g.add(states + first * hidden), size);
        }
        // Behind the gradients of the gates and of the first state.
        let own = if cell == Cell::Gru { walk.gates() + walk.state() } else { 0 };
        for i in (0..walk.time).rev() {
            let t = walk.step(i);
            let (h0, before) = match i {
                0 => (args.h0.ptr::<f32>().cast_const(), c0.ptr::<f32>().cast_const()),
                _ => {
                    let t = walk.step(i - 1);
                    (
                        tape.add(t * walk.state()),
                        tape.add(if cell == Cell::Lstm { walk.memory(t) } else { 0 }),
                    )
                }
            };
            for row in 0..rows {
                let sample = first + row;
                let at = sample * hidden;
                let gates = out.add((t * batch + sample) * width);
                let own = out.add(own + (t * batch + sample) * width);
                let g = g.add(t * walk.state() + at);
                let dh = dh.add(row * hidden);
                if !counts(lengths, sample, t) {
                    // The state passed through.
                    for k in 0..hidden {
                        *dh.add(k) += *g.add(k);
                    }
                    gates.write_bytes(0, width);
                    own.write_bytes(0, width);
                    continue;
                }
                let memory = if cell == Cell::Lstm { walk.memory(t) } else { 0 };
                let step = Back {
                    hidden,
                    g,
                    dh,
                    dc: dc.add(row * hidden),
                    h0: h0.add(at),
                    c0: before.add(at),
                    h: tape.add(t * walk.state() + at),
                    c: tape.add(memory + at),
                    kept: tape.add(walk.kept(t) + sample * cell.kept() * hidden),
                    gates,
                    own,
                };
                back(cell, step);
            }
            let from = out.add(own + (t * batch + first) * width);
            let from = Mem::from_raw(from.cast(), rows * width, Ty::F32, false);
            product(from, (rows, width, hidden), packed, carried, true)?;
        }
        let to = out.add(walk.gates() + first * hidden);
        to.copy_from_nonoverlapping(dh, size);
        if cell == Cell::Lstm {
            to.add(walk.state()).copy_from_nonoverlapping(dc, size);
        }
    }
    Ok(())
}
