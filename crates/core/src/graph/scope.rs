//! Which layer an operation belongs to.
//!
//! A layer of the library enters a scope in its `forward`; nodes keep the scope's number. Scopes
//! are interned, so a training loop enters the same ones over and over without allocating.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::panic::Location;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::recorder;

/// The identity of a module: what it is, how big, and its path once a model was walked.
///
/// Library layers own one and open a scope with it; clones are the same module.
#[derive(Clone)]
pub struct Tag(Arc<TagInner>);

struct TagInner {
    id: u64,
    label: String,
    path: Mutex<Option<Arc<str>>>,
}

/// A new process-wide identity.
pub(crate) fn fresh_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

impl Tag {
    /// The tag of a new module, with the label that messages show: `Linear(784 -> 128)`.
    pub fn new(label: impl Into<String>) -> Tag {
        Tag(Arc::new(TagInner { id: fresh_id(), label: label.into(), path: Mutex::new(None) }))
    }

    /// A number that is this module's alone.
    pub fn id(&self) -> u64 {
        self.0.id
    }

    /// What the module is: `Linear(784 -> 128)`.
    pub fn label(&self) -> &str {
        &self.0.label
    }

    /// Sets the path from the model's root, for example `Mlp > l1`.
    pub fn set_path(&self, path: &str) {
        *self.0.path.lock().unwrap_or_else(PoisonError::into_inner) = Some(path.into());
    }

    /// The path, if a model with this module was walked.
    pub fn path(&self) -> Option<Arc<str>> {
        self.0.path.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Path and label for a message: `Mlp > l1: Linear(784 -> 128)`.
    pub fn describe(&self) -> String {
        match self.path() {
            Some(path) if !path.is_empty() => format!("{path}: {}", self.label()),
            _ => self.label().to_string(),
        }
    }

    /// Opens a scope: operations recorded until the guard is dropped belong to this module.
    #[track_caller]
    #[inline]
    pub fn enter(&self) -> Scope {
        let place = Location::caller();
        Scope { parent: recorder::enter_scope(self, place) }
    }
}

/// Closes its scope when dropped.
#[must_use = "a scope lasts until its guard is dropped"]
pub struct Scope {
    parent: u32,
}

impl Drop for Scope {
    fn drop(&mut self) {
        recorder::leave_scope(self.parent);
    }
}

/// A scope's number; 0 is outside all layers.
pub(crate) type ScopeId = u32;

pub(crate) struct ScopeEntry {
    pub(crate) parent: ScopeId,
    pub(crate) tag: Tag,
    pub(crate) place: &'static Location<'static>,
}

/// The interned scopes of a thread.
pub(crate) struct Scopes {
    entries: Vec<ScopeEntry>,
    index: HashMap<(ScopeId, u64, usize), ScopeId, FastHash>,
    pub(crate) current: ScopeId,
}

/// More than this many scopes means models come and go; the table is then started anew.
const MANY: usize = 1 << 16;

impl Scopes {
    pub(crate) const fn new() -> Scopes {
        Scopes {
            entries: Vec::new(),
            index: HashMap::with_hasher(BuildHasherDefault::new()),
            current: 0,
        }
    }

    /// Enters a scope; the result is the parent to return to.
    pub(crate) fn enter(&mut self, tag: &Tag, place: &'static Location<'static>) -> ScopeId {
        let parent = self.current;
        let key = (parent, tag.id(), std::ptr::from_ref(place) as usize);
        if let Some(&id) = self.index.get(&key) {
            self.current = id;
            return parent;
        }
        if self.entries.len() < MANY {
            self.entries.push(ScopeEntry { parent, tag: tag.clone(), place });
            self.current = self.entries.len() as ScopeId;
            self.index.insert(key, self.current);
        }
        parent
    }

    /// Forgets all scopes; only when no node is alive.
    pub(crate) fn clear_if_many(&mut self) {
        if self.entries.len() >= MANY && self.current == 0 {
            self.entries.clear();
            self.index.clear();
        }
    }

    pub(crate) fn get(&self, id: ScopeId) -> Option<&ScopeEntry> {
        self.entries.get((id as usize).checked_sub(1)?)
    }
}

/// A multiplicative hasher for small fixed keys; not for keys that an adversary chooses.
#[derive(Clone, Copy, Default)]
pub(crate) struct Fast(u64);

pub(crate) type FastHash = BuildHasherDefault<Fast>;

impl Hasher for Fast {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for &b in bytes {
            self.write_u64(u64::from(b));
        }
    }
    fn write_u8(&mut self, v: u8) {
        self.write_u64(u64::from(v));
    }
    fn write_u32(&mut self, v: u32) {
        self.write_u64(u64::from(v));
    }
    #[inline]
    fn write_u64(&mut self, v: u64) {
        let mixed = u128::from(self.0 ^ v ^ 0x9e37_79b9_7f4a_7c15) * 0xd6e8_feb8_6659_fd93;
        self.0 = (mixed as u64) ^ ((mixed >> 64) as u64);
    }
    fn write_usize(&mut self, v: usize) {
        self.write_u64(v as u64);
    }
}
