//! The saved state of an optimizer inside that of another.

use gradus_core::{Code, Error, Result};

use super::Optimizer;
use crate::state::StateDict;

/// Puts an optimizer's state under `prefix.`; the result is its name.
pub(super) fn put(into: &mut StateDict, prefix: &str, inner: &mut dyn Optimizer) -> Result<String> {
    let state = inner.state_dict()?;
    for (name, value) in state.iter() {
        into.insert(format!("{prefix}.{name}"), value.clone());
    }
    for (key, value) in state.metadata() {
        into.set_metadata(format!("{prefix}.{key}"), value.clone());
    }
    Ok(state.metadata().get("optimizer").cloned().unwrap_or_default())
}

/// What is under `prefix.`.
pub(super) fn part(of: &StateDict, prefix: &str) -> StateDict {
    let under = |name: &str| Some(name.strip_prefix(prefix)?.strip_prefix('.')?.to_string());
    let mut state: StateDict =
        of.iter().filter_map(|(name, value)| Some((under(name)?, value.clone()))).collect();
    for (key, value) in of.metadata() {
        if let Some(key) = under(key) {
            state.set_metadata(key, value.clone());
        }
    }
    state
}

/// An error unless the state was saved by this kind of optimizer around others.
pub(super) fn is_of(kind: &str, state: &StateDict) -> Result<()> {
    match state.metadata().get("optimizer") {
        Some(name) if name.split('(').next() == Some(kind) => Ok(()),
        found => {
            let found = found.map_or("no optimizer", String::as_str);
            Err(Error::new(Code::State, format!("the saved state is of {found}, not of {kind}")))
        }
    }
}
