//! Typed windows on memory, and the aligned blocks behind them.
//!
//! [`Storage`] is a shared handle on aligned bytes, [`Arena`] a workspace that one thread reuses;
//! [`Mem`] is a checked, typed window that kernels read and write.
//! The bytes behind the windows of one [`Arena`] are shared and mutable, like a slice of `Cell`s:
//! a window is not `Send`, a kernel runs to its end on the thread that called it, and each kernel
//! refuses windows that overlap in a way it does not allow.

mod arena;
mod element;
mod recycle;
mod storage;

pub use arena::Arena;
pub use element::{Element, Truth, Ty};
pub use recycle::{MemoryUse, memory_use, release_cached};
pub use storage::Storage;

use std::marker::PhantomData;

/// A typed window on memory: where, how many elements, of what type, and whether it may be written.
#[derive(Clone, Copy, Debug)]
pub struct Mem<'a> {
    ptr: *mut u8,
    len: usize,
    ty: Ty,
    writable: bool,
    life: PhantomData<&'a std::cell::Cell<u8>>,
}

impl<'a> Mem<'a> {
    /// A read-only window on a slice.
    pub fn read<T: Element>(slice: &'a [T]) -> Mem<'a> {
        let ptr = slice.as_ptr() as *mut u8;
        Mem { ptr, len: slice.len(), ty: T::TY, writable: false, life: PhantomData }
    }

    /// A window on a slice that kernels may write.
    pub fn write<T: Element>(slice: &'a mut [T]) -> Mem<'a> {
        let ptr = slice.as_mut_ptr() as *mut u8;
        Mem { ptr, len: slice.len(), ty: T::TY, writable: true, life: PhantomData }
    }

    /// Elements in the window.
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it has no elements.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The element type.
    #[inline]
    pub fn ty(&self) -> Ty {
        self.ty
    }

    /// Whether kernels may write here.
    #[inline]
    pub fn writable(&self) -> bool {
        self.writable
    }

    /// A window made from its parts.
    ///
    /// # Safety
    /// For the life `'a`, `ptr` must point to `len` initialised elements of type `ty`, aligned for
    /// it; if `writable`, nobody may hold a reference to them (other windows may exist).
    #[inline]
    pub(crate) unsafe fn from_raw(ptr: *mut u8, len: usize, ty: Ty, writable: bool) -> Mem<'a> {
        Mem { ptr, len, ty, writable, life: PhantomData }
    }

    /// `len` elements from `start` on; `None` if that leaves the window.
    #[inline]
    pub fn slice(self, start: usize, len: usize) -> Option<Mem<'a>> {
        if start.checked_add(len)? > self.len {
            return None;
        }
        // SAFETY: start <= self.len, so the pointer stays inside (or one past) the window.
        let ptr = unsafe { self.ptr.add(start * self.ty.size()) };
        Some(Mem { ptr, len, ..self })
    }

    /// Copies the elements out; `None` for another type.
    pub fn to_vec<T: Element>(&self) -> Option<Vec<T>> {
        if T::TY != self.ty {
            return None;
        }
        let mut out = Vec::with_capacity(self.len);
        // SAFETY: the window has len elements of type T, the vector room for them, and they do not
        // overlap because the vector is new.
        unsafe {
            std::ptr::copy_nonoverlapping(self.ptr as *const T, out.as_mut_ptr(), self.len);
            out.set_len(self.len);
        }
        Some(out)
    }

    /// The address of the first element, for kernels of this crate.
    #[inline]
    pub(crate) fn ptr<T: Element>(&self) -> *mut T {
        debug_assert_eq!(T::TY, self.ty);
        self.ptr as *mut T
    }

    /// The address of the first byte, for kernels of this crate.
    #[inline]
    pub(crate) fn ptr_bytes(&self) -> *mut u8 {
        self.ptr
    }

    /// Whether two windows share a byte.
    #[inline]
    pub fn overlaps(&self, other: &Mem<'_>) -> bool {
        let (a, b) = (self.ptr as usize, other.ptr as usize);
        let (a_end, b_end) = (a + self.len * self.ty.size(), b + other.len * other.ty.size());
        a < b_end && b < a_end
    }

    /// Whether two windows are the very same elements.
    #[inline]
    pub fn same(&self, other: &Mem<'_>) -> bool {
        self.ptr == other.ptr && self.len == other.len && self.ty == other.ty
    }
}

impl<'a> Mem<'a> {
    /// The elements, if they are of type `T`.
    ///
    /// # Safety
    /// Nobody may write to them while the slice is in use.
    #[inline]
    pub(crate) unsafe fn slice_of<T: Element>(&self) -> Option<&'a [T]> {
        if T::TY != self.ty {
            return None;
        }
        // SAFETY: the window has `len` initialised elements of this type for `'a`.
        Some(unsafe { std::slice::from_raw_parts(self.ptr as *const T, self.len) })
    }

    /// The elements to write, if they are of type `T` and may be written.
    ///
    /// # Safety
    /// Nobody else may read or write them while the slice is in use.
    #[inline]
    #[allow(clippy::mut_from_ref)] // a window is like a cell; the caller vouches for it
    pub(crate) unsafe fn slice_of_mut<T: Element>(&self) -> Option<&'a mut [T]> {
        if T::TY != self.ty || !self.writable {
            return None;
        }
        // SAFETY: as in `slice_of`, and nobody else uses the elements.
        Some(unsafe { std::slice::from_raw_parts_mut(self.ptr as *mut T, self.len) })
    }
}

/// What the pieces of one job share although its type forbids that: windows and raw pointers.
pub(crate) struct Shared<T>(T);

// SAFETY: whoever makes one promises that the use is sound.
unsafe impl<T> Sync for Shared<T> {}
// SAFETY: as above.
unsafe impl<T> Send for Shared<T> {}

impl<T> Shared<T> {
    /// # Safety
    /// All uses from several threads must be free of races: pieces read, or write apart.
    pub(crate) unsafe fn new(value: T) -> Self {
        Shared(value)
    }

    #[inline(always)]
    pub(crate) fn get(&self) -> &T {
        &self.0
    }

    pub(crate) fn into_inner(self) -> T {
        self.0
    }
}

/// Why a kernel refused to run. All of these are bugs of the caller (a wrong plan), not of the user,
/// except the ones about values: [`KernelError::Index`] and [`KernelError::DivisionByZero`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KernelError {
    /// A window is too short for the sizes and strides given.
    Bounds(&'static str),
    /// A window has the wrong element type, or may not be written.
    Type(&'static str),
    /// An output overlaps an operand in a way the kernel does not allow.
    Overlap(&'static str),
    /// An index in the data is out of range: its position in the index tensor, its value, the size.
    Index {
        /// Position in the (flattened) index operand.
        position: usize,
        /// The index found there.
        value: i64,
        /// Indices must be in `0..size`.
        size: usize,
    },
    /// An integer was divided by zero.
    DivisionByZero {
        /// Position in the (flattened) result.
        position: usize,
    },
    /// A piece of the job panicked.
    Panicked,
}

impl From<crate::pool::PiecePanicked> for KernelError {
    fn from(_: crate::pool::PiecePanicked) -> Self {
        KernelError::Panicked
    }
}
