//! Where blocks of bytes come from and go to: the system, or a cache of freed ones.
//!
//! A freed block, together with the small head that counts its handles, goes to a list of its size
//! class: first in a cache of the thread that freed it, beyond a limit in a shared one, beyond
//! another limit back to the system. So a training step that makes and drops the same sizes again
//! and again never calls the allocator and never touches fresh pages.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::cell::UnsafeCell;
use std::ptr::NonNull;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Alignment of every block: a cache line, and an AVX-512 register.
pub(super) const ALIGN: usize = 64;
/// Blocks from this size on are aligned to it and ask for huge pages.
const HUGE: usize = 2 << 20;
/// Number of size classes: four for each power of two.
const CLASSES: usize = 4 * 48;
/// What one thread keeps for itself, in bytes.
const LOCAL_BYTES: usize = 32 << 20;
/// What the shared cache may always keep, in bytes; a quarter of what is live if that is more.
const SHARED_BYTES: usize = 256 << 20;

/// The size class of a block of `bytes`, and how many bytes blocks of that class have.
fn class(bytes: usize) -> Option<(usize, usize)> {
    let bytes = bytes.max(ALIGN);
    // The power of two below, and which quarter of the way to the next one: rounding up to quarters
    // wastes a fifth at most. Below 256 bytes a quarter is less than a cache line.
    let power = (bytes - 1).checked_ilog2()?;
    let quarter = 1usize << power.saturating_sub(2).max(6);
    let size = bytes.checked_next_multiple_of(quarter)?;
    let within = (size - 1 - (1 << power)) / quarter;
    let class = 4 * (power as usize).checked_sub(5)? + within;
    (class < CLASSES).then_some((class, size))
}

/// Aligned bytes from the system, always initialised; given back when dropped.
#[derive(Debug)]
pub(super) struct Block {
    ptr: NonNull<u8>,
    bytes: usize,
}

// SAFETY: a block is plain memory that it alone owns.
unsafe impl Send for Block {}
// SAFETY: a shared block gives out nothing but its address.
unsafe impl Sync for Block {}

impl Block {
    /// `bytes` zeroed bytes; `None` if the system has none, or if there are none to ask for.
    pub(super) fn new(bytes: usize) -> Option<Block> {
        let layout = Block::layout(bytes)?;
        if bytes == 0 {
            return None;
        }
        // SAFETY: the layout has a size above 0.
        let ptr = NonNull::new(unsafe { alloc(layout) })?;
        #[cfg(all(target_os = "linux", not(miri)))]
        if bytes >= HUGE {
            // SAFETY: the range is ours. The call is advice: a failure changes nothing.
            unsafe { libc::madvise(ptr.as_ptr().cast(), bytes, libc::MADV_HUGEPAGE) };
        }
        // Not `alloc_zeroed`: it would touch the pages before the advice is given.
        // SAFETY: the range is ours and `bytes` long.
        unsafe { ptr.as_ptr().write_bytes(0, bytes) };
        SYSTEM.fetch_add(bytes, Ordering::Relaxed);
        Some(Block { ptr, bytes })
    }

    fn layout(bytes: usize) -> Option<Layout> {
        Layout::from_size_align(bytes, if bytes >= HUGE { HUGE } else { ALIGN }).ok()
    }

    pub(super) fn ptr(&self) -> *mut u8 {
        self.ptr.as_ptr()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        if let Some(layout) = Block::layout(self.bytes) {
            SYSTEM.fetch_sub(self.bytes, Ordering::Relaxed);
            // SAFETY: allocated in `new` with this very layout.
            unsafe { dealloc(self.ptr.as_ptr(), layout) };
        }
    }
}

/// A block with the count of its handles. Recycled as a whole.
pub(super) struct Head {
    pub(super) refs: AtomicUsize,
    pub(super) block: Block,
    class: usize,
    next: Option<NonNull<Head>>,
}

/// Free blocks by class, as lists through the heads: keeping one needs no memory.
struct Cache {
    lists: [Option<NonNull<Head>>; CLASSES],
    bytes: usize,
}

// SAFETY: the heads in the lists belong to nobody else, and are plain memory.
unsafe impl Send for Cache {}

impl Cache {
    const fn new() -> Cache {
        Cache { lists: [None; CLASSES], bytes: 0 }
    }

    fn push(&mut self, mut head: NonNull<Head>) {
        // SAFETY: whoever pushes a head gives it away, so this is the only reference.
        let free = unsafe { head.as_mut() };
        self.bytes += free.block.bytes;
        if let Some(list) = self.lists.get_mut(free.class) {
            free.next = list.replace(head);
        }
    }

    fn pop(&mut self, class: usize) -> Option<NonNull<Head>> {
        let list = self.lists.get_mut(class)?;
        let mut head = (*list)?;
        // SAFETY: heads in a list belong to the list alone.
        let free = unsafe { head.as_mut() };
        *list = free.next.take();
        self.bytes -= free.block.bytes;
        Some(head)
    }

    fn clear(&mut self) {
        for class in 0..CLASSES {
            while let Some(head) = self.pop(class) {
                release(head);
            }
        }
    }
}

impl Drop for Cache {
    fn drop(&mut self) {
        self.clear();
    }
}

/// Gives a head and its block back to the system.
fn release(head: NonNull<Head>) {
    // SAFETY: it came from a box (see `take`) and is in no list any more.
    drop(unsafe { Box::from_raw(head.as_ptr()) });
}

thread_local! {
    static LOCAL: UnsafeCell<Cache> = const { UnsafeCell::new(Cache::new()) };
}
static SHARED: Mutex<Cache> = Mutex::new(Cache::new());
/// Bytes that blocks hold now, in use or cached.
static SYSTEM: AtomicUsize = AtomicUsize::new(0);

fn with_shared<R>(f: impl FnOnce(&mut Cache) -> R) -> R {
    // A cache is consistent between any two of its calls, so poison means nothing here.
    f(&mut SHARED.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
}

/// Runs `f` on this thread's cache; `None` when the thread is ending and has none any more.
fn with_local<R>(f: impl FnOnce(&mut Cache) -> R) -> Option<R> {
    // SAFETY: the cell is this thread's own, and no `f` of this file calls `with_local` again.
    LOCAL.try_with(|cell| f(unsafe { &mut *cell.get() })).ok()
}

/// A head for one handle, with a block of at least `bytes`, and whether its bytes are known to be
/// zero. `None` if there is no memory.
pub(super) fn take(bytes: usize) -> Option<(NonNull<Head>, bool)> {
    let (class, size) = class(bytes)?;
    let cached = with_local(|cache| cache.pop(class)).flatten();
    if let Some(mut head) = cached.or_else(|| with_shared(|cache| cache.pop(class))) {
        // SAFETY: just taken off its list, so nobody else knows it.
        *unsafe { head.as_mut() }.refs.get_mut() = 1;
        return Some((head, false));
    }
    // What other threads and other sizes left behind may be all the memory that there is.
    let block = Block::new(size).or_else(|| {
        release_cached();
        Block::new(size)
    })?;
    let head = Box::new(Head { refs: AtomicUsize::new(1), block, class, next: None });
    Some((NonNull::from(Box::leak(head)), true))
}

/// Puts back what [`take`] gave.
///
/// # Safety
/// `head` must come from `take` and have no handle any more.
pub(super) unsafe fn put_back(head: NonNull<Head>) {
    // SAFETY: nobody else knows it any more.
    let bytes = unsafe { head.as_ref() }.block.bytes;
    let kept = with_local(|cache| {
        let room = cache.bytes + bytes <= LOCAL_BYTES;
        if room {
            cache.push(head);
        }
        room
    });
    if kept == Some(true) {
        return;
    }
    let rest = with_shared(|cache| {
        let live = SYSTEM.load(Ordering::Relaxed).saturating_sub(cache.bytes);
        let limit = SHARED_BYTES.max(live / 4);
        // When the cache is full, what it holds was not asked for lately: start afresh.
        let old = (cache.bytes + bytes > limit).then(|| std::mem::replace(cache, Cache::new()));
        if bytes <= limit {
            cache.push(head);
        } else {
            release(head);
        }
        old
    });
    drop(rest); // outside the lock: giving back many pages takes a while
}

/// Ends the program as a failed allocation does in the standard library.
#[cold]
pub(super) fn no_memory(bytes: usize) -> ! {
    let bytes = bytes.clamp(1, isize::MAX as usize & !(ALIGN - 1));
    handle_alloc_error(Layout::from_size_align(bytes, ALIGN).unwrap_or(Layout::new::<u64>()))
}

/// Gives the blocks that are kept for reuse back to the system: this thread's and the shared ones.
pub fn release_cached() {
    with_local(Cache::clear);
    let old = with_shared(|cache| std::mem::replace(cache, Cache::new()));
    drop(old);
}

/// How much memory blocks hold; see [`memory_use`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryUse {
    /// Bytes taken from the system, in use or kept for reuse.
    pub system: usize,
    /// Of these, bytes that this thread and the shared cache keep for reuse.
    pub cached: usize,
}

/// How much memory storages and arenas hold now.
pub fn memory_use() -> MemoryUse {
    let local = with_local(|cache| cache.bytes).unwrap_or(0);
    let cached = local + with_shared(|cache| cache.bytes);
    MemoryUse { system: SYSTEM.load(Ordering::Relaxed), cached }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_grow_with_size_and_waste_little() {
        let mut last = (0, ALIGN);
        for bytes in (0..5000).chain((1..40).map(|i| (1 << i) + 1)) {
            let Some((class, size)) = class(bytes) else { panic!("no class for {bytes}") };
            assert!(size >= bytes && size % ALIGN == 0 && class < CLASSES);
            assert!(bytes < 512 || size - bytes <= bytes / 4 + 1, "{bytes} -> {size}");
            if bytes >= last.1 {
                assert!(class >= last.0, "class of {bytes}");
                assert!(size == last.1 || class > last.0, "two sizes in class {class}: {bytes}");
            }
            last = (class, size);
        }
        assert_eq!(super::class(usize::MAX), None);
    }
}
