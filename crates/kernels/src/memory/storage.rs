//! The shared handle on a value's memory.

use std::ptr::NonNull;
use std::sync::atomic::{Ordering, fence};

use super::recycle::{self, Head};
use super::{Element, Mem, Ty};

/// A shared handle on aligned, typed memory: cloning shares, like an `Arc`, and the memory may be
/// written only through the one handle that is left. When the last handle goes, the memory is kept
/// for the next storage of about its size.
pub struct Storage {
    head: NonNull<Head>,
    /// The first element: the block's first byte, or a later one of a part.
    first: NonNull<u8>,
    len: usize,
    ty: Ty,
}

// SAFETY: the handle count is atomic; the bytes are written only through a handle that is both
// unique and borrowed mutably.
unsafe impl Send for Storage {}
// SAFETY: as above; a shared handle only reads.
unsafe impl Sync for Storage {}

impl Storage {
    /// `len` zeros.
    pub fn zeroed(ty: Ty, len: usize) -> Storage {
        Storage::try_new(ty, len, true).unwrap_or_else(|| recycle::no_memory(len))
    }

    /// `len` elements of whatever is there, for a kernel to fill.
    pub fn any(ty: Ty, len: usize) -> Storage {
        Storage::try_new(ty, len, false).unwrap_or_else(|| recycle::no_memory(len))
    }

    /// `len` elements, zeroed or whatever is there; `None` if there is not so much memory.
    pub fn try_new(ty: Ty, len: usize, zeroed: bool) -> Option<Storage> {
        let bytes = len.checked_mul(ty.size())?;
        let (head, fresh) = recycle::take(bytes)?;
        // SAFETY: a head that was just taken lives; a block's address is never null.
        let first = unsafe { NonNull::new_unchecked(head.as_ref().block.ptr()) };
        let storage = Storage { head, first, len, ty };
        if zeroed && !fresh {
            // SAFETY: the block has at least `bytes` bytes, and nobody else has a handle yet.
            unsafe { storage.ptr().write_bytes(0, bytes) };
        }
        Some(storage)
    }

    /// A copy of `slice`.
    pub fn from_slice<T: Element>(slice: &[T]) -> Storage {
        let storage = Storage::any(T::TY, slice.len());
        // SAFETY: the new storage has room for `slice.len()` elements and overlaps nothing.
        unsafe {
            std::ptr::copy_nonoverlapping(slice.as_ptr(), storage.ptr().cast::<T>(), slice.len());
        }
        storage
    }

    #[inline]
    fn head(&self) -> &Head {
        // SAFETY: a head lives as long as it has a handle.
        unsafe { self.head.as_ref() }
    }

    #[inline]
    fn ptr(&self) -> *mut u8 {
        self.first.as_ptr()
    }

    /// A handle on `len` elements from `start` on, which shares their memory; `None` if that leaves
    /// the elements of this one.
    pub fn part(&self, start: usize, len: usize) -> Option<Storage> {
        if start.checked_add(len)? > self.len {
            return None;
        }
        let mut part = self.clone();
        // SAFETY: at most one past the last element of the block.
        part.first = unsafe { self.first.add(start * self.ty.size()) };
        part.len = len;
        Some(part)
    }

    /// Elements.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The element type.
    pub fn ty(&self) -> Ty {
        self.ty
    }

    /// The bytes that are kept for it, at least those of its elements.
    pub fn capacity_bytes(&self) -> usize {
        self.head().block.bytes()
    }

    /// The address of the first byte: equal for handles that share the same elements, and for no two
    /// others at a time that have elements.
    pub fn addr(&self) -> usize {
        self.ptr() as usize
    }

    /// Whether this is the only handle, so that the memory may be written.
    #[inline]
    pub fn is_unique(&self) -> bool {
        // Acquire: what other handles did before they went is seen by whoever writes next.
        self.head().refs.load(Ordering::Acquire) == 1
    }

    /// The elements; `None` for another type.
    #[inline]
    pub fn as_slice<T: Element>(&self) -> Option<&[T]> {
        if T::TY != self.ty {
            return None;
        }
        // SAFETY: `len` initialised elements of this type; nobody writes while a handle is borrowed.
        Some(unsafe { std::slice::from_raw_parts(self.ptr().cast::<T>(), self.len) })
    }

    /// The elements, to write; `None` for another type, or if other handles share them.
    pub fn get_mut_slice<T: Element>(&mut self) -> Option<&mut [T]> {
        if T::TY != self.ty || !self.is_unique() {
            return None;
        }
        // SAFETY: as in `as_slice`; the only handle is borrowed mutably, so nobody else can see
        // the elements until the slice is gone.
        Some(unsafe { std::slice::from_raw_parts_mut(self.ptr().cast::<T>(), self.len) })
    }

    /// A window that kernels may read.
    #[inline]
    pub fn read(&self) -> Mem<'_> {
        // SAFETY: `len` initialised elements that live as long as the borrow.
        unsafe { Mem::from_raw(self.ptr(), self.len, self.ty, false) }
    }

    /// A window that kernels may write; `None` if other handles share the elements.
    #[inline]
    pub fn write(&mut self) -> Option<Mem<'_>> {
        if !self.is_unique() {
            return None;
        }
        // SAFETY: as in `read`, and the only handle is borrowed mutably for as long.
        Some(unsafe { Mem::from_raw(self.ptr(), self.len, self.ty, true) })
    }
}

impl Clone for Storage {
    #[inline]
    fn clone(&self) -> Self {
        let before = self.head().refs.fetch_add(1, Ordering::Relaxed);
        // Only a program that forgets handles on purpose gets here; wrapping round would free
        // memory in use, so it ends instead, as `Arc` does.
        if before > isize::MAX as usize {
            std::process::abort();
        }
        Storage { head: self.head, first: self.first, len: self.len, ty: self.ty }
    }
}

impl Drop for Storage {
    #[inline]
    fn drop(&mut self) {
        // Release: our reads and writes happen before whoever recycles the memory writes to it.
        if self.head().refs.fetch_sub(1, Ordering::Release) == 1 {
            fence(Ordering::Acquire);
            // SAFETY: that was the last handle.
            unsafe { recycle::put_back(self.head) };
        }
    }
}

impl std::fmt::Debug for Storage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Storage({:?} x {} at {:#x})", self.ty, self.len, self.addr())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_shares_and_stays_inside() {
        let mut a = Storage::from_slice(&[1.0f32, 2.0, 3.0, 4.0]);
        let mut part = a.part(1, 2).unwrap_or_else(|| Storage::any(Ty::F32, 0));
        assert_eq!(part.as_slice::<f32>(), Some(&[2.0, 3.0][..]));
        assert!(a.write().is_none() && part.write().is_none());
        assert!(a.part(3, 2).is_none() && part.part(1, 2).is_none() && a.part(4, 0).is_some());
        assert!(a.part(usize::MAX, 2).is_none());
        let last = part.part(1, 1).and_then(|p| p.as_slice::<f32>().map(<[f32]>::to_vec));
        assert_eq!(last, Some(vec![3.0]));
        drop(a);
        // The part alone keeps the block, and may write its own elements.
        assert!(part.get_mut_slice::<f32>().is_some_and(|s| s.len() == 2));
    }

    #[test]
    fn sharing_protects_from_writing() {
        let mut a = Storage::from_slice(&[1.0f32, 2.0, 3.0]);
        assert_eq!(a.addr() % 64, 0);
        let b = a.clone();
        assert!(!a.is_unique() && a.get_mut_slice::<f32>().is_none() && a.write().is_none());
        assert_eq!(a.addr(), b.addr());
        drop(b);
        assert!(a.get_mut_slice::<i64>().is_none() && a.as_slice::<f64>().is_none());
        if let Some(slice) = a.get_mut_slice::<f32>() {
            slice[1] = 5.0;
        }
        assert!(a.write().is_some_and(|m| m.writable()) && !a.read().writable());
        assert_eq!(a.as_slice(), Some(&[1.0f32, 5.0, 3.0][..]));
        assert_eq!(a.read().to_vec::<f32>(), Some(vec![1.0, 5.0, 3.0]));
    }

    #[test]
    fn memory_comes_back_and_zeroed_means_zero() {
        let mut a = Storage::zeroed(Ty::I64, 100);
        let addr = a.addr();
        if let Some(slice) = a.get_mut_slice::<i64>() {
            slice.fill(7);
        }
        drop(a);
        let b = Storage::any(Ty::F32, 199); // same class, another type: old bytes, initialised
        assert_eq!(b.addr(), addr);
        assert_eq!(b.as_slice::<f32>().map(<[f32]>::len), Some(199));
        drop(b);
        let c = Storage::zeroed(Ty::F64, 100);
        assert_eq!(c.addr(), addr);
        assert_eq!(c.as_slice::<f64>(), Some(&[0.0; 100][..]));
    }

    #[test]
    fn empty_and_impossible_sizes() {
        let empty = Storage::zeroed(Ty::F32, 0);
        assert_eq!(empty.as_slice::<f32>(), Some(&[][..]));
        assert!(empty.is_empty() && empty.addr() != 0);
        assert!(Storage::try_new(Ty::F64, usize::MAX / 4, false).is_none());
        assert!(Storage::try_new(Ty::F64, usize::MAX, false).is_none());
        #[cfg(not(miri))]
        assert!(Storage::try_new(Ty::Bool, isize::MAX as usize - 4096, false).is_none());
    }

    #[test]
    fn handles_dropped_in_other_threads() {
        let rounds = if cfg!(miri) { 3 } else { 200 };
        for i in 0..rounds {
            let a = Storage::from_slice(&[i as i64; 9]);
            std::thread::scope(|s| {
                for _ in 0..3 {
                    let b = a.clone();
                    s.spawn(move || {
                        assert_eq!(b.as_slice::<i64>(), Some(&[i as i64; 9][..]));
                        drop(b);
                        drop(Storage::zeroed(Ty::I64, 9));
                    });
                }
                drop(a);
            });
        }
    }
}
