//! How much memory is kept for later. Alone in its process: the counters are those of all threads,
//! and a test beside it would give its cache back at any moment.

use gradus_kernels::memory::{Storage, Ty, memory_use, release_cached};

#[test]
fn what_is_cached_is_bounded_and_can_be_released() {
    release_cached();
    let base = memory_use();
    assert_eq!(base.cached, 0);
    let many: Vec<Storage> = (0..24).map(|_| Storage::any(Ty::Bool, 64 << 20)).collect();
    assert!(memory_use().system >= base.system + ((24 * 64) << 20));
    drop(many);
    let after = memory_use();
    assert!(after.cached <= (256 + 32) << 20, "{after:?}");
    assert_eq!(after.system - after.cached, base.system);
    release_cached();
    assert_eq!(memory_use(), base);
}
