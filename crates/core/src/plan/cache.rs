//! Plans that were made before, shared by all threads.
//!
//! The key is what the user recorded: operations, operands, shapes, types, what is held, and the
//! mode. A hit is compared in full. Entries are inserted complete, and the least recently used go
//! when the limit in bytes is reached.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use super::Plan;
use crate::error::Result;
use crate::graph::scope::FastHash;

/// Bytes that all plans together may take.
const LIMIT: usize = 256 << 20;

struct Entry {
    key: Box<[u64]>,
    plan: Arc<Plan>,
    used: u64,
}

#[derive(Default)]
struct Cache {
    entries: HashMap<u64, Vec<Entry>, FastHash>,
    bytes: usize,
    clock: u64,
}

static CACHE: Mutex<Option<Cache>> = Mutex::new(None);
static HITS: AtomicU64 = AtomicU64::new(0);
static MISSES: AtomicU64 = AtomicU64::new(0);
static MAKING: AtomicU64 = AtomicU64::new(0);

/// How the plan cache has done since the process started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheStats {
    /// Runs that found their plan.
    pub hits: u64,
    /// Plans that were made.
    pub misses: u64,
    /// Plans kept now.
    pub plans: usize,
    /// About how many bytes they take.
    pub bytes: usize,
    /// Wall time that making plans took, in nanoseconds, of all threads together.
    pub making_ns: u64,
}

/// Statistics of the plan cache. A miss in a steady loop means that something structural changes
/// from step to step: a shape, the set of held tensors, an axis.
pub fn plan_cache() -> CacheStats {
    let mut guard = CACHE.lock().unwrap_or_else(PoisonError::into_inner);
    let cache = guard.get_or_insert_default();
    CacheStats {
        hits: HITS.load(Ordering::Relaxed),
        misses: MISSES.load(Ordering::Relaxed),
        plans: cache.entries.values().map(Vec::len).sum(),
        bytes: cache.bytes,
        making_ns: MAKING.load(Ordering::Relaxed),
    }
}

/// A fast hash of the key; equality is checked in full afterwards.
#[inline]
fn hash(key: &[u64]) -> u64 {
    let mut h = 0x9e37_79b9_7f4a_7c15u64;
    for &word in key {
        let mixed = u128::from(h ^ word) * 0xd6e8_feb8_6659_fd93_u128;
        h = (mixed as u64) ^ ((mixed >> 64) as u64) ^ word.rotate_left(32);
    }
    h
}

/// The plan of a key, if there is one.
pub(crate) fn find(key: &[u64]) -> Option<Arc<Plan>> {
    let h = hash(key);
    let mut guard = CACHE.lock().unwrap_or_else(PoisonError::into_inner);
    let cache = guard.get_or_insert_default();
    cache.clock += 1;
    let clock = cache.clock;
    let found = cache.entries.get_mut(&h)?;
    let entry = found.iter_mut().find(|e| *e.key == *key)?;
    entry.used = clock;
    HITS.fetch_add(1, Ordering::Relaxed);
    Some(Arc::clone(&entry.plan))
}

/// Makes the plan of a key that [`find`] did not find, and keeps it.
pub(crate) fn make(key: &[u64], make: impl FnOnce() -> Result<Plan>) -> Result<Arc<Plan>> {
    let h = hash(key);
    // Made outside the lock; two threads may make the same plan, and one of the two is kept.
    MISSES.fetch_add(1, Ordering::Relaxed);
    let started = Instant::now();
    let made = make();
    MAKING.fetch_add(started.elapsed().as_nanos() as u64, Ordering::Relaxed);
    let plan = Arc::new(made?);
    let mut guard = CACHE.lock().unwrap_or_else(PoisonError::into_inner);
    let cache = guard.get_or_insert_default();
    let weight = plan.weight() + size_of_val(key);
    while cache.bytes + weight > LIMIT && cache.evict() {}
    let used = cache.clock;
    let list = cache.entries.entry(h).or_default();
    if list.iter().all(|e| *e.key != *key) {
        list.push(Entry { key: key.into(), plan: Arc::clone(&plan), used });
        cache.bytes += weight;
    }
    Ok(plan)
}

impl Cache {
    /// Drops the least recently used plan; false if there is none.
    fn evict(&mut self) -> bool {
        let oldest = self
            .entries
            .iter()
            .flat_map(|(&h, list)| list.iter().enumerate().map(move |(i, e)| (e.used, h, i)))
            .min();
        let Some((_, h, i)) = oldest else { return false };
        if let Some(list) = self.entries.get_mut(&h) {
            let entry = list.swap_remove(i);
            self.bytes = self.bytes.saturating_sub(entry.plan.weight() + size_of_val(&*entry.key));
            if list.is_empty() {
                self.entries.remove(&h);
            }
        }
        true
    }
}
