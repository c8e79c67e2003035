//! Storages recycle: a steady loop never calls the allocator.
#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests

use gradus_kernels::memory::{Arena, Storage, Ty};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Mutex;

thread_local! {
    static CALLS: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: hands everything on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = CALLS.try_with(|c| c.set(c.get() + 1));
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        let _ = CALLS.try_with(|c| c.set(c.get() + 1));
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// The caches are shared by the tests of this file.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn alone() -> std::sync::MutexGuard<'static, ()> {
    ONE_AT_A_TIME.lock().unwrap_or_else(|e| e.into_inner())
}

fn step(sizes: &[usize]) {
    let mut held: [Option<Storage>; 8] = Default::default();
    for (i, &len) in sizes.iter().enumerate() {
        let mut a = Storage::any(Ty::F32, len);
        if let Some(slice) = a.get_mut_slice::<f32>() {
            slice[0] = 1.0;
        }
        held[(i * 5) % 8] = Some(a.clone());
    }
}

#[test]
fn steady_steps_call_the_allocator_zero_times() {
    let _alone = alone();
    // Small and large: the last ones go through the shared cache.
    let sizes = [1, 10, 640, 8192, 8193, 1 << 20, 9 << 20, 10 << 20, 12_345_678];
    for _ in 0..3 {
        step(&sizes);
    }
    let before = CALLS.with(Cell::get);
    for _ in 0..100 {
        step(&sizes);
    }
    assert_eq!(CALLS.with(Cell::get) - before, 0);
}

#[test]
fn large_blocks_are_aligned_to_huge_pages() {
    let _alone = alone();
    let a = Storage::zeroed(Ty::F32, 1 << 20);
    assert_eq!(a.addr() % (2 << 20), 0);
    let mut arena = Arena::new();
    assert!(arena.reserve(5 << 20));
    assert!(arena.bytes() >= 5 << 20);
    assert!(!arena.reserve(usize::MAX) && !arena.reserve(isize::MAX as usize));
    assert!(arena.reserve(1 << 10));
}
