//! The forward pass.

use std::sync::atomic::{AtomicBool, Ordering};

use super::units::{Ahead, ahead};
use super::{Cell, Walk, check, counts, lengths, pack, product};
use crate::memory::{KernelError, Mem, Shared, Ty};
use crate::pool;

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
    let walk = args.walk;
    let Walk { cell, time, batch, hidden, .. } = walk;
    let width = cell.gates() * hidden;
    let missing = KernelError::Bounds("an operand of a recurrent network is missing");
    let c0 = if cell == Cell::Lstm { args.c0.ok_or(missing.clone())? } else { args.h0 };
    let bias = if cell == Cell::Gru { args.bias.ok_or(missing)? } else { args.h0 };
    let bias_len = if cell == Cell::Gru { width } else { walk.state() };
    let read = [
        (args.gates, walk.gates()),
        (args.weight, width * hidden),
        (args.h0, walk.state()),
        (c0, walk.state()),
        (bias, bias_len),
    ];
    check(&read, &[(args.tape, walk.tape()), (args.work, walk.work())])?;
    if args.lengths.is_some_and(|l| l.overlaps(&args.tape) || l.overlaps(&args.work)) {
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
    pack(weight, (hidden, width), (1, hidden), to);
    let failed = AtomicBool::new(false);
    // SAFETY: pieces write the places of different samples.
    let shared = unsafe { Shared::new((*args, c0, bias)) };
    pool::run(batch.div_ceil(walk.rows()), walk.cost(), &|piece| {
        let (args, c0, bias) = shared.get();
        let first = piece * walk.rows();
        let rows = walk.rows().min(batch - first);
        // SAFETY: all windows have the lengths that were checked, and these samples are this
        // piece's.
        if unsafe { run(args, *c0, *bias, lengths, first, rows) }.is_err() {
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
    args: &Forward<'_>,
    c0: Mem<'_>,
    bias: Mem<'_>,
    lengths: Option<&[i64]>,
    first: usize,
    rows: usize,
) -> Result<(), KernelError> {
    let walk = args.walk;
    let Walk { cell, batch, hidden, .. } = walk;
    let width = cell.gates() * hidden;
    let tape = args.tape.ptr::<f32>();
    // SAFETY: inside the work memory, behind the packed weight; the room of these samples.
    let (packed, own) = unsafe {
        let work = args.work.ptr::<f32>();
        let own = work.add(width * hidden + first * width);
        let window = |p: *mut f32, len| Mem::from_raw(p.cast(), len, Ty::F32, true);
        (window(work, width * hidden), window(own, rows * width))
    };
    // SAFETY: all places are inside the windows, by the sizes of the walk.
    unsafe {
        let start = |window: Mem<'_>| window.ptr::<f32>().cast_const().add(first * hidden);
        let (mut h0, mut c0) = (start(args.h0), start(c0));
        for i in 0..walk.time {
            let t = walk.step(i);
            let a = Mem::from_raw(h0.cast_mut().cast(), rows * hidden, Ty::F32, false);
            product(a, (rows, hidden, width), packed, own, false)?;
            let h = tape.add(t * walk.state() + first * hidden);
            let c = match cell {
                Cell::Lstm => tape.add(walk.memory(t) + first * hidden),
                _ => h,
            };
            for row in 0..rows {
                let (at, sample) = (row * hidden, first + row);
                let numbers = cell.kept() * hidden;
                let kept = tape.add(walk.kept(t) + sample * numbers);
                if !counts(lengths, sample, t) {
                    h.add(at).copy_from_nonoverlapping(h0.add(at), hidden);
                    if cell == Cell::Lstm {
                        c.add(at).copy_from_nonoverlapping(c0.add(at), hidden);
                    }
                    kept.write_bytes(0, numbers);
                    continue;
                }
                let step = Ahead {
                    hidden,
                    x: args.gates.ptr::<f32>().add((t * batch + sample) * width),
                    s: own.ptr::<f32>().add(row * width),
                    bias: bias.ptr::<f32>(),
                    h0: h0.add(at),
                    c0: c0.add(at),
                    h: h.add(at),
                    c: c.add(at),
                    kept,
                };
                ahead(cell, step);
            }
            (h0, c0) = (h.cast_const(), c.cast_const());
        }
        if cell == Cell::Lstm {
            let last = tape.add(walk.states() + first * hidden);
            last.copy_from_nonoverlapping(c0, rows * hidden);
        }
    }
    Ok(())
}
