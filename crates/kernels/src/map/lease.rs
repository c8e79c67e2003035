//! Working memory that a thread keeps from one run to the next, so that a run allocates nothing.

use std::cell::RefCell;
use std::mem::ManuallyDrop;
use std::ops::{Deref, DerefMut};

/// What a thread keeps when nobody uses it; several, as evaluators may be nested.
pub(super) type Shelf<T> = RefCell<Vec<Box<T>>>;

/// Something kept on a shelf.
pub(super) trait Kept: Default + 'static {
    /// Calls `f` with this thread's shelf; `None` while the thread ends.
    fn shelf<R>(f: impl FnOnce(&Shelf<Self>) -> R) -> Option<R>;
}

/// A kept value in use; it goes back to the shelf of the thread that drops it.
pub(super) struct Lease<T: Kept>(ManuallyDrop<Box<T>>);

impl<T: Kept> Lease<T> {
    #[inline]
    pub(super) fn take() -> Lease<T> {
        let kept = T::shelf(|s| s.try_borrow_mut().ok().and_then(|mut s| s.pop()));
        Lease(ManuallyDrop::new(kept.flatten().unwrap_or_default()))
    }
}

impl<T: Kept> Drop for Lease<T> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: the box is taken once, here.
        let kept = unsafe { ManuallyDrop::take(&mut self.0) };
        T::shelf(|s| {
            if let Ok(mut s) = s.try_borrow_mut() {
                s.push(kept);
            }
        });
    }
}

impl<T: Kept> Deref for Lease<T> {
    type Target = T;
    #[inline]
    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: Kept> DerefMut for Lease<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}
