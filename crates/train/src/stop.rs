//! A way to ask a training to stop from elsewhere.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Asks a [`Trainer`](crate::Trainer) to stop before its next step; clones are the same token.
///
/// A signal handler, another thread or a window's button can hold one. The training then ends as
/// if it were finished: the best checkpoint is kept, and with a run folder it can be resumed.
///
/// ```
/// use gradus_train::StopToken;
/// let token = StopToken::new();
/// let held_elsewhere = token.clone();
/// held_elsewhere.stop();
/// assert!(token.is_stopped());
/// ```
#[derive(Clone, Debug, Default)]
pub struct StopToken(Arc<AtomicBool>);

impl StopToken {
    /// A token that was not used yet.
    pub fn new() -> StopToken {
        StopToken::default()
    }

    /// Asks to stop; may be called from a signal handler, and more than once.
    pub fn stop(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether somebody asked.
    pub fn is_stopped(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl From<Arc<AtomicBool>> for StopToken {
    fn from(flag: Arc<AtomicBool>) -> StopToken {
        StopToken(flag)
    }
}
