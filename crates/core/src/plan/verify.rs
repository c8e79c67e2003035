//! Checks every plan after it was made: a wrong plan must not run.

use super::lower::Lowered;
use super::memory::{ALIGN, Layout};
use crate::backend::{Bank, Effect, Step};
use crate::error::{Error, Result};

/// Each read follows its write, buffers that live at the same time do not overlap (but in place, at
/// the last use), nothing leaves the arena, and every effect's operand outlives the steps.
///
/// # Errors
/// An internal error that names the step.
pub(crate) fn verify(l: &Lowered, layout: &Layout) -> Result<()> {
    let wrong = |at: usize, why: &str| {
        Err(Error::internal(format!("plan step {at} ({}): {why}", name(&l.steps[at].step))))
    };
    let mut written = vec![false; l.buffers.len()];
    for (at, s) in l.steps.iter().enumerate() {
        let mut early = false;
        s.step.reads(|bank| {
            if let Bank::Buffer(b) = bank {
                early |= !written.get(b as usize).copied().unwrap_or(false);
            }
        });
        if early {
            return wrong(at, "reads a buffer before it is written");
        }
        let mut twice = false;
        s.step.writes(|loc| match loc.bank {
            Bank::Buffer(b) => {
                if let Some(w) = written.get_mut(b as usize) {
                    twice |= *w;
                    *w = true;
                }
            }
            Bank::Leaf(_) => twice = true,
        });
        if twice {
            return wrong(at, "writes a buffer again, or a leaf");
        }
    }
    overlaps(l, layout)?;
    let end = l.steps.len();
    for effect in &l.effects {
        let mut ok = true;
        let mut check = |bank| match bank {
            Bank::Buffer(b) => ok &= layout.lives[b as usize].1 == end && written[b as usize],
            Bank::Leaf(_) => ok = false,
        };
        match effect {
            Effect::Update { grads, .. } => grads.iter().for_each(|g| check(g.bank)),
            Effect::Assign { value, .. } => check(value.bank),
        }
        if !ok {
            return Err(Error::internal("an effect reads what is gone when it runs"));
        }
    }
    Ok(())
}

/// A sweep over the steps with the live buffers ordered by offset: each must end before the next.
fn overlaps(l: &Lowered, layout: &Layout) -> Result<()> {
    let mut live = std::collections::BTreeMap::<usize, u32>::new();
    let mut dying: Vec<Vec<u32>> = vec![Vec::new(); l.steps.len() + 1];
    for (b, life) in layout.lives.iter().enumerate() {
        if life.0 != usize::MAX {
            dying[life.1].push(b as u32);
        }
    }
    for (at, s) in l.steps.iter().enumerate() {
        let mut bad = None;
        s.step.writes(|loc| {
            let Bank::Buffer(b) = loc.bank else { return };
            let (offset, bytes) =
                (layout.offsets[b as usize], l.buffers[b as usize].bytes().max(1));
            if offset % ALIGN != 0 || offset.saturating_add(bytes) > layout.bytes.max(bytes) {
                bad = Some(format!("buffer {b} leaves the arena"));
                return;
            }
            // In place: the operand that dies here has the very same place.
            if let Some(&old) = live.get(&offset)
                && layout.lives[old as usize].1 == at
                && matches!(s.step, Step::Map { .. })
                && l.buffers[old as usize].bytes() == l.buffers[b as usize].bytes()
            {
                live.insert(offset, b);
                return;
            }
            let before = live.range(..offset + bytes).next_back();
            if let Some((&o, &other)) = before
                && o + l.buffers[other as usize].bytes().max(1) > offset
            {
                bad = Some(format!("buffer {b} overlaps live buffer {other}"));
            }
            live.insert(offset, b);
        });
        if let Some(why) = bad {
            return Err(Error::internal(format!("plan step {at} ({}): {why}", name(&s.step))));
        }
        for &b in &dying[at] {
            let offset = layout.offsets[b as usize];
            if live.get(&offset) == Some(&b) {
                live.remove(&offset);
            }
        }
    }
    Ok(())
}

/// The kind of a step, as plans are printed.
pub(crate) fn name(step: &Step) -> &'static str {
    match step {
        Step::Map { .. } => "map",
        Step::Reduce { .. } => "reduce",
        Step::ArgReduce { .. } => "argreduce",
        Step::Scan { .. } => "scan",
        Step::Pool { .. } => "pool",
        Step::Scatter { .. } => "scatter",
        Step::Within { .. } => "within",
        Step::Sort { .. } => "sort",
        Step::Search { .. } => "search",
        Step::Gemm(_) => "gemm",
        Step::Conv { .. } => "conv",
        Step::Attention(_) => "attention",
        Step::Recurrent { .. } => "recurrent",
        Step::Rows { .. } => "rows",
        Step::Copy { .. } => "copy",
        Step::Unslice { .. } => "unslice",
        Step::Concat { .. } => "concat",
        Step::Indexing { .. } => "indexing",
        Step::Host { .. } => "host",
        Step::Watch { .. } => "watch",
    }
}
