//! Ctrl-C: the first one asks the training to stop, the second one ends the program.

use std::sync::atomic::{AtomicBool, Ordering};

use gradus::train::StopToken;
use gradus::{Code, Error, Result};

/// What a shell expects of a program that Ctrl-C ended: 128 and the number of the signal.
pub(crate) const INTERRUPTED: u8 = 130;

/// A token that the first Ctrl-C uses.
pub(crate) fn stop_token() -> Result<StopToken> {
    let token = StopToken::new();
    let held = token.clone();
    let asked = AtomicBool::new(false);
    let set = ctrlc::set_handler(move || {
        if asked.swap(true, Ordering::Relaxed) {
            // Files are replaced as a whole, so none is left half-written.
            std::process::exit(i32::from(INTERRUPTED));
        }
        held.stop();
    });
    set.map_err(|e| Error::new(Code::Internal, format!("Ctrl-C cannot be handled: {e}")))?;
    Ok(token)
}
