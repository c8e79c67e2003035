//! Where each buffer lies in the arena.
//!
//! A buffer lives from the step that writes it to the last one that reads it. Element-wise steps
//! write over an operand that dies with them; everything else gets the smallest free gap that fits,
//! in one pass over the steps.

use std::collections::{BTreeMap, BTreeSet};

use super::lower::Lowered;
use crate::backend::{Bank, Effect, Loc, Step};

/// Offsets are multiples of this: a cache line, and the width of a vector register.
pub(crate) const ALIGN: usize = 64;

pub(crate) struct Layout {
    /// Byte offset of each buffer.
    pub(crate) offsets: Vec<usize>,
    /// First and last step of each buffer's life, both included.
    pub(crate) lives: Vec<(usize, usize)>,
    /// Bytes the arena needs.
    pub(crate) bytes: usize,
}

/// Free stretches, by offset and by size.
#[derive(Default)]
struct Gaps {
    by_offset: BTreeMap<usize, usize>,
    by_size: BTreeSet<(usize, usize)>,
    end: usize,
}

impl Gaps {
    fn insert(&mut self, mut offset: usize, mut size: usize) {
        if let Some((&before, &s)) = self.by_offset.range(..offset).next_back()
            && before + s == offset
        {
            self.remove(before, s);
            offset = before;
            size += s;
        }
        if let Some(&after) = self.by_offset.get(&(offset + size)) {
            self.remove(offset + size, after);
            size += after;
        }
        self.by_offset.insert(offset, size);
        self.by_size.insert((size, offset));
    }

    fn remove(&mut self, offset: usize, size: usize) {
        self.by_offset.remove(&offset);
        self.by_size.remove(&(size, offset));
    }

    fn take(&mut self, size: usize) -> usize {
        if let Some(&(have, offset)) = self.by_size.range((size, 0)..).next() {
            self.remove(offset, have);
            if have > size {
                self.insert(offset + size, have - size);
            }
            return offset;
        }
        // Grow at the end, using a gap that touches it.
        if let Some((&offset, &have)) = self.by_offset.iter().next_back()
            && offset + have == self.end
        {
            self.remove(offset, have);
            self.end = offset.saturating_add(size);
            return offset;
        }
        let offset = self.end;
        self.end = offset.saturating_add(size);
        offset
    }
}

/// Places the buffers. With `zones`, each is followed by a red zone and none is shared in place.
pub(crate) fn layout(l: &Lowered, zones: bool) -> Layout {
    let n = l.buffers.len();
    let steps = l.steps.len();
    let mut lives = vec![(usize::MAX, 0usize); n];
    for (at, s) in l.steps.iter().enumerate() {
        s.step.writes(|loc| {
            if let Bank::Buffer(b) = loc.bank {
                let life = &mut lives[b as usize];
                life.0 = life.0.min(at);
                life.1 = life.1.max(at);
            }
        });
        s.step.reads(|bank| {
            if let Bank::Buffer(b) = bank {
                let life = &mut lives[b as usize];
                life.1 = life.1.max(at);
            }
        });
    }
    let mut keep = |bank: Bank| {
        if let Bank::Buffer(b) = bank {
            lives[b as usize].1 = steps;
        }
    };
    l.outputs.iter().for_each(|o| keep(o.from.bank));
    for effect in &l.effects {
        match effect {
            Effect::Update { grads, .. } => grads.iter().for_each(|g| keep(g.bank)),
            Effect::Assign { value, .. } => keep(value.bank),
        }
    }
    let size = |b: u32| {
        let bytes = l.buffers[b as usize].bytes().clamp(1, usize::MAX / 4).next_multiple_of(ALIGN);
        if zones { bytes + ALIGN } else { bytes }
    };
    let mut dying: Vec<Vec<u32>> = vec![Vec::new(); steps + 1];
    for (b, life) in lives.iter().enumerate() {
        dying[life.1].push(b as u32);
    }
    let mut offsets = vec![usize::MAX; n];
    let mut taken_over = vec![false; n];
    let mut gaps = Gaps::default();
    for (at, s) in l.steps.iter().enumerate() {
        let mut written: smallvec::SmallVec<[u32; 4]> = smallvec::SmallVec::new();
        s.step.writes(|loc| {
            if let Bank::Buffer(b) = loc.bank
                && offsets[b as usize] == usize::MAX
            {
                written.push(b);
            }
        });
        for b in written {
            let reuse = if zones { None } else { in_place(l, &s.step, at, b, &lives, &taken_over) };
            offsets[b as usize] = match reuse {
                Some(old) => {
                    taken_over[old as usize] = true;
                    offsets[old as usize]
                }
                None => gaps.take(size(b)),
            };
        }
        for &b in &dying[at] {
            if !taken_over[b as usize] {
                gaps.insert(offsets[b as usize], size(b));
            }
        }
    }
    Layout { offsets, lives, bytes: gaps.end }
}

/// An operand of a map that dies here, is read contiguously, and is as large as output `b`.
fn in_place(
    l: &Lowered,
    step: &Step,
    at: usize,
    b: u32,
    lives: &[(usize, usize)],
    taken_over: &[bool],
) -> Option<u32> {
    let Step::Map { plain, operands, .. } = step else { return None };
    let want = l.buffers[b as usize];
    operands.iter().enumerate().find_map(|(i, loc): (usize, &Loc)| {
        let Bank::Buffer(old) = loc.bank else { return None };
        let have = l.buffers[old as usize];
        let fits = lives[old as usize].1 == at
            && !taken_over[old as usize]
            && have.len == want.len
            && have.dtype == want.dtype
            && loc.start == 0
            && plain[i];
        fits.then_some(old)
    })
}
