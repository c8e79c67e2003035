//! The name that the user called, for methods that are made of other operations.
//!
//! `x.flatten(1)` records a reshape; messages about it should say `flatten`. A composed method holds
//! a [`Called`] while it records, and the nodes carry its name. It is for messages only: no plan and
//! no key knows of it.

use super::recorder;

/// Gives its name to what is recorded while it lives, unless an outer one already does.
pub(crate) struct Called {
    outermost: bool,
}

/// Starts a method: `let _called = called("flatten");`.
#[inline]
pub(crate) fn called(name: &'static str) -> Called {
    recorder::with(|r| {
        let outermost = r.calling.is_none();
        if outermost {
            r.calling = Some(name);
        }
        Called { outermost }
    })
}

impl Drop for Called {
    #[inline]
    fn drop(&mut self) {
        if self.outermost {
            recorder::with(|r| r.calling = None);
        }
    }
}
