//! What an engine's parts give to captured closures: the numbers of the next step, computed where
//! the optimizer itself is not called.

use std::any::Any;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use gradus_core::{Live, Result};

use super::engine::{Method, Numbers};
use super::members::in_range;

/// The rule of an optimizer as it is now, whatever its type.
trait Current: Any + Send {
    fn numbers(&self, lr_scale: f64, decay: Option<f64>, count: u64) -> Result<Numbers>;
    fn as_any(&mut self) -> &mut dyn Any;
}

impl<M: Method + Send + 'static> Current for M {
    fn numbers(&self, lr_scale: f64, decay: Option<f64>, count: u64) -> Result<Numbers> {
        self.validate()?;
        let lr = self.lr();
        in_range(M::NAME, "learning rate", lr, lr >= 0.0, "0 or more")?;
        Ok(Method::numbers(self, lr * lr_scale, decay.unwrap_or(self.weight_decay()), count))
    }
    fn as_any(&mut self) -> &mut dyn Any {
        self
    }
}

/// What all parts of an optimizer share.
#[derive(Default)]
pub(super) struct Shared {
    /// `None` as long as no closure was captured.
    rule: Mutex<Option<Box<dyn Current>>>,
    /// Steps that were replayed, and that the optimizer has not counted yet.
    steps: AtomicU64,
}

impl Shared {
    /// Makes the rule known to replays; always, or only if they know one.
    pub(super) fn publish<M: Method + Clone + Send + 'static>(&self, rule: &M, always: bool) {
        let mut known = self.rule.lock().unwrap_or_else(PoisonError::into_inner);
        let there = known.is_some();
        match known.as_mut().and_then(|k| k.as_any().downcast_mut::<M>()) {
            Some(known) => known.clone_from(rule),
            None if always || there => *known = Some(Box::new(rule.clone())),
            None => {}
        }
    }

    pub(super) fn replayed(&self) -> u64 {
        self.steps.load(Ordering::Acquire)
    }

    pub(super) fn take_replayed(&self) -> u64 {
        self.steps.swap(0, Ordering::AcqRel)
    }
}

/// One part: what its numbers are made from beside the rule.
pub(super) struct PartLive {
    pub(super) shared: Arc<Shared>,
    pub(super) lr_scale: f64,
    pub(super) decay: Option<f64>,
    /// Number of members.
    pub(super) members: usize,
    /// Steps of the first member that the optimizer has counted.
    pub(super) count: AtomicU64,
    /// Replayed steps of all members, and more of single ones.
    pub(super) all: AtomicU64,
    pub(super) some: Mutex<Vec<u64>>,
    pub(super) retired: AtomicBool,
}

impl PartLive {
    fn first(&self) -> u64 {
        let some = self.some.lock().unwrap_or_else(PoisonError::into_inner);
        let own = some.first().copied().unwrap_or(0);
        self.count.load(Ordering::Acquire) + self.all.load(Ordering::Acquire) + own
    }

    /// Calls `f` with each member and its replayed steps, which are counted from now on.
    pub(super) fn take_replayed(&self, mut f: impl FnMut(usize, u64)) {
        let all = self.all.swap(0, Ordering::AcqRel);
        let mut some = self.some.lock().unwrap_or_else(PoisonError::into_inner);
        if all == 0 && some.is_empty() {
            return;
        }
        (0..self.members).for_each(|i| f(i, all + some.get(i).copied().unwrap_or(0)));
        some.clear();
    }
}

impl Live for PartLive {
    fn numbers(&self, numbers: &mut [f64]) -> Result<()> {
        let rule = self.shared.rule.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(rule) = rule.as_ref() {
            let now = rule.numbers(self.lr_scale, self.decay, self.first())?;
            for (to, from) in numbers.iter_mut().zip(now) {
                *to = from;
            }
        }
        Ok(())
    }

    fn done(&self, members: &[u32], leads: bool) {
        if leads {
            self.shared.steps.fetch_add(1, Ordering::AcqRel);
        }
        if members.len() == self.members {
            self.all.fetch_add(1, Ordering::AcqRel);
            return;
        }
        let mut some = self.some.lock().unwrap_or_else(PoisonError::into_inner);
        some.resize(self.members, 0);
        for &member in members {
            if let Some(count) = some.get_mut(member as usize) {
                *count += 1;
            }
        }
    }

    fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Acquire)
    }

    fn owner(&self) -> u64 {
        Arc::as_ptr(&self.shared) as u64
    }
}

impl std::fmt::Debug for PartLive {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PartLive").field("members", &self.members).finish_non_exhaustive()
    }
}
