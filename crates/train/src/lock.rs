//! One training at a time writes into a folder.
//!
//! The system's own lock on the open folder, so that it goes away with its process, however that
//! ends, and leaves no file behind.

use std::fs::{File, TryLockError};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use gradus_core::{Code, Error, Result};

/// Held until it is released or the last clone is dropped.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lock(Arc<Mutex<Option<File>>>);

impl Lock {
    /// Locks a folder that exists.
    pub(crate) fn take(folder: &Path) -> Result<Lock> {
        // Where a folder cannot be opened as a file (not on Unix), a hidden file stands for it.
        let opened = if cfg!(unix) {
            File::open(folder)
        } else {
            File::options().create(true).append(true).open(folder.join(".lock"))
        };
        let Ok(file) = opened else {
            // Who cannot open the folder will be told when the first file is written.
            return Ok(Lock::default());
        };
        match file.try_lock() {
            Ok(()) => Ok(Lock(Arc::new(Mutex::new(Some(file))))),
            Err(TryLockError::WouldBlock) => {
                let title = format!("{} is in use by another training", folder.display());
                Err(Error::new(Code::Io, title)
                    .help("wait until that one ends, or choose another folder"))
            }
            // A file system without locks.
            Err(TryLockError::Error(_)) => Ok(Lock::default()),
        }
    }

    /// Lets others have the folder, also when there are clones.
    pub(crate) fn release(&self) {
        drop(self.0.lock().unwrap_or_else(PoisonError::into_inner).take());
    }

    pub(crate) fn is_held(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }
}
