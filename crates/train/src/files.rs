//! Files that appear complete or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use gradus_core::{Error, Result};
use gradus_nn::StateDict;

/// A system error with advice where there is some.
pub(crate) fn io(what: &str, path: &Path, cause: &std::io::Error) -> Error {
    let error = Error::io(what, path, cause);
    match cause.kind() {
        std::io::ErrorKind::StorageFull => error.help("the disk is full; make room and go on"),
        std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem => {
            error.help("choose a folder that you may write to")
        }
        _ => error,
    }
}

/// A name beside `path` that nobody else uses.
fn temporary(path: &Path) -> PathBuf {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{}.{count}.tmp", std::process::id()))
}

/// Writes a whole file under another name, makes sure it is on disk, then renames it.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    replace(path, bytes, true)
}

/// As [`write`]; without `sync` a power cut may cost it.
pub(crate) fn replace(path: &Path, bytes: &[u8], sync: bool) -> Result<()> {
    let temporary = temporary(path);
    let finish = |mut file: File| {
        file.write_all(bytes)?;
        if sync { file.sync_all() } else { Ok(()) }
    };
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&temporary)
        .and_then(finish)
        .and_then(|()| fs::rename(&temporary, path));
    written.map_err(|e| {
        let _ = fs::remove_file(&temporary);
        io("cannot write", path, &e)
    })
}

/// Saves states of a training, after every epoch however short.
///
/// A file is always complete, whenever the process is killed. Waiting for the disk would take
/// longer than an epoch of a small model, so that is done at most once a second, the first time a
/// second after the start: a power cut can cost a second more.
#[derive(Clone, Debug)]
pub(crate) struct Saver {
    synced: Instant,
}

impl Default for Saver {
    fn default() -> Saver {
        Saver { synced: Instant::now() }
    }
}

/// States above this size are written piece by piece, without a copy in memory.
const LARGE: usize = 64 << 20;

impl Saver {
    pub(crate) fn save(&mut self, state: &StateDict, path: &Path) -> Result<()> {
        let recent = self.synced.elapsed() < Duration::from_secs(1);
        let size: usize = state.iter().map(|(_, a)| a.numel() * a.dtype().size()).sum();
        if recent && size < LARGE {
            return replace(path, &state.to_bytes(), false);
        }
        state.save(path)?;
        self.synced = Instant::now();
        Ok(())
    }
}

/// Makes sure that a file is on disk; one that is not there is.
pub(crate) fn sync(path: &Path) -> Result<()> {
    match File::open(path).and_then(|file| file.sync_all()) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(io("cannot write", path, &e)),
        _ => Ok(()),
    }
}

/// Adds a line at the end of a file; if that fails, the file is as before.
pub(crate) fn append(path: &Path, line: &str) -> Result<()> {
    let add = || {
        let mut file = OpenOptions::new().create(true).append(true).open(path)?;
        let before = file.seek(SeekFrom::End(0))?;
        let added = file
            .write_all(line.as_bytes())
            .and_then(|()| file.write_all(b"\n"))
            .and_then(|()| file.flush());
        if added.is_err() {
            let _ = file.set_len(before);
        }
        added
    };
    add().map_err(|e| io("cannot write", path, &e))
}

/// Makes a folder and its parents, and checks that files can be made in it.
pub(crate) fn writable_folder(path: &Path) -> Result<()> {
    fs::create_dir_all(path).map_err(|e| io("cannot make the folder", path, &e))?;
    let probe = temporary(&path.join("probe"));
    let tried = File::create(&probe).and_then(|mut file| file.write_all(b"probe"));
    let _ = fs::remove_file(&probe);
    tried.map_err(|e| io("cannot write in the folder", path, &e))
}

/// Removes what a killed process left half-written of the given files.
pub(crate) fn sweep(folder: &Path, names: &[&str]) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let ours = name.strip_prefix('.').is_some_and(|rest| {
            rest.ends_with(".tmp") && names.iter().any(|n| rest.starts_with(&format!("{n}.")))
        });
        if ours {
            let _ = fs::remove_file(entry.path());
        }
    }
}
