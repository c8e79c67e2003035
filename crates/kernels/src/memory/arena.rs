//! The workspace that one thread reuses for plan after plan.

use std::cell::Cell;
use std::marker::PhantomData;

use super::recycle::{ALIGN, Block};
use super::{Mem, Ty};

/// A growing piece of memory with windows at any multiple of 64 bytes, all writable. It can be sent
/// to another thread but not shared: its windows may overlap, as the plan that placed them wishes.
#[derive(Debug, Default)]
pub struct Arena {
    block: Option<Block>,
    unshared: PhantomData<Cell<u8>>,
}

/// Both a 32-bit and a 64-bit float that is a signalling NaN, twice over.
const POISON: u64 = 0x7ff4_0bad_7ff4_0bad;

impl Arena {
    /// An arena without memory.
    pub const fn new() -> Arena {
        Arena { block: None, unshared: PhantomData }
    }

    /// Bytes it has.
    #[inline]
    pub fn bytes(&self) -> usize {
        self.block.as_ref().map_or(0, Block::bytes)
    }

    /// Makes sure that it has at least `bytes`; false if the system has not so much. The content
    /// is lost only when it has to grow.
    #[inline]
    pub fn reserve(&mut self, bytes: usize) -> bool {
        if bytes <= self.bytes() {
            return true;
        }
        // The old block goes first, so that both never exist at once.
        self.block = None;
        self.block = bytes.checked_next_multiple_of(4096).and_then(Block::new);
        self.block.is_some()
    }

    /// Gives the memory back.
    pub fn clear(&mut self) {
        self.block = None;
    }

    /// A writable window of `len` elements from byte `offset` on; `None` if the offset is no
    /// multiple of 64 or the window leaves the arena.
    #[inline]
    pub fn mem(&self, offset: usize, ty: Ty, len: usize) -> Option<Mem<'_>> {
        let ptr = self.range(offset, len.checked_mul(ty.size())?)?;
        // SAFETY: the range lies in the block, whose bytes are initialised; 64 is a multiple of
        // every element's alignment; the arena gives out no references.
        Some(unsafe { Mem::from_raw(ptr, len, ty, true) })
    }

    /// Fills a range with signalling NaN, so that reading it before writing shows; false if the
    /// range is not one that [`Arena::mem`] would give.
    pub fn fill_nan(&self, offset: usize, bytes: usize) -> bool {
        let Some(ptr) = self.range(offset, bytes) else { return false };
        for i in 0..bytes / 8 {
            // SAFETY: inside the range, and aligned because the range starts at a multiple of 64.
            unsafe { ptr.cast::<u64>().add(i).write(POISON) };
        }
        for i in bytes / 8 * 8..bytes {
            // SAFETY: inside the range.
            unsafe { ptr.add(i).write(POISON.to_ne_bytes()[i % 8]) };
        }
        true
    }

    #[inline]
    fn range(&self, offset: usize, bytes: usize) -> Option<*mut u8> {
        if !offset.is_multiple_of(ALIGN) || offset.checked_add(bytes)? > self.bytes() {
            return None;
        }
        // An arena without memory has windows without elements.
        let start = self.block.as_ref().map_or(std::ptr::without_provenance_mut(ALIGN), Block::ptr);
        // SAFETY: the offset is inside the block or at its end.
        Some(unsafe { start.add(offset) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_stay_inside() {
        let mut arena = Arena::new();
        assert!(arena.mem(0, Ty::F32, 0).is_some() && arena.mem(0, Ty::F32, 1).is_none());
        assert!(arena.reserve(1000));
        assert!(arena.bytes() >= 1000);
        assert!(arena.mem(32, Ty::F32, 1).is_none());
        assert!(arena.mem(64, Ty::F64, (arena.bytes() - 64) / 8).is_some());
        assert!(arena.mem(64, Ty::F64, (arena.bytes() - 64) / 8 + 1).is_none());
        assert!(arena.mem(0, Ty::F64, usize::MAX / 4).is_none());
        assert!(arena.mem(usize::MAX - 63, Ty::Bool, 64).is_none());
        assert_eq!(arena.mem(128, Ty::F32, 2).and_then(|m| m.to_vec::<f32>()), Some(vec![0.0; 2]));
    }

    #[test]
    fn poison_is_nan_in_both_widths() {
        let mut arena = Arena::new();
        assert!(arena.reserve(256));
        assert!(arena.fill_nan(64, 68) && !arena.fill_nan(64, 1 << 20));
        let f32s = arena.mem(64, Ty::F32, 18).and_then(|m| m.to_vec::<f32>()).unwrap_or_default();
        assert!(f32s.iter().take(17).all(|x| x.is_nan()) && f32s.get(17) == Some(&0.0));
        let f64s = arena.mem(64, Ty::F64, 8).and_then(|m| m.to_vec::<f64>()).unwrap_or_default();
        assert!(f64s.len() == 8 && f64s.iter().all(|x| x.is_nan()));
    }
}
