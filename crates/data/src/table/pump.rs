//! Blocks of a file in order, parsed by several threads, in bounded memory.
//!
//! Whoever is free cuts the next block from the file under a lock and parses it outside. Nobody
//! runs ahead of the consumer by more than a window of blocks, and the consumer takes them in
//! order, so nothing depends on the number of threads.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};

use gradus_core::{Code, Error, Result};

use crate::table::block::{Block, Fault, Type, parse};
use crate::table::dialect::Dialect;
use crate::table::fields::{Fields, QuoteFault, last_record_end};
use crate::table::number::Missing;
use crate::table::source::{Source, Stream};

/// Bytes of a file that are parsed as one piece.
pub(crate) const BLOCK: usize = 1 << 20;
/// A record cannot be longer; a quote that is never closed would otherwise read the whole file.
const LONGEST_RECORD: usize = 64 << 20;
/// More threads than this do not help: cutting and using blocks is done by one.
const MOST_THREADS: usize = 8;

/// Everything that parsing needs to know; shared by the threads.
pub(crate) struct Job {
    pub(crate) name: String,
    pub(crate) source: Source,
    pub(crate) dialect: Dialect,
    pub(crate) types: Vec<Type>,
    pub(crate) missing: Missing,
    /// Bytes of a block, usually [`BLOCK`].
    pub(crate) block: usize,
}

/// Whole records, and where they start in the file.
struct Piece {
    bytes: Vec<u8>,
    at: u64,
}

/// Cuts a stream into pieces.
struct Cutter {
    stream: Stream,
    /// Bytes that were read but belong to the next piece.
    left: Vec<u8>,
    at: u64,
    ended: bool,
    started: bool,
}

impl Cutter {
    fn next(&mut self, job: &Job, mut bytes: Vec<u8>) -> Result<Option<Piece>, Stop> {
        bytes.clear();
        bytes.append(&mut self.left);
        let mut first = 0;
        loop {
            if !self.ended {
                let want = (bytes.len() + 1).next_multiple_of(job.block) - bytes.len();
                let got = self.stream.append(&mut bytes, want).map_err(Stop::Error)?;
                self.ended = got < want;
            }
            if !self.started {
                let skipped = skip_start(&bytes, job);
                // A header that is not all here may look wrong, or look as if it ended.
                let cut = skipped.as_ref().map_or(true, |&end| end >= bytes.len());
                if cut && !self.ended && bytes.len() < LONGEST_RECORD {
                    continue;
                }
                first = skipped.map_err(|fault| Stop::Fault(fault, 0))?;
                self.started = true;
            }
            if self.ended {
                break;
            }
            let records = bytes.get(first..).unwrap_or(&[]);
            let (end, open) = last_record_end(records, job.dialect.cut);
            if let Some(end) = end.filter(|&end| end > 0) {
                self.left.extend_from_slice(records.get(end..).unwrap_or(&[]));
                bytes.truncate(first + end);
                break;
            }
            if bytes.len() >= LONGEST_RECORD {
                let fault = match open {
                    Some(at) => Fault::Quote(QuoteFault::Unclosed(first + at)),
                    None => Fault::TooLong { at: first },
                };
                return Err(Stop::Fault(fault, self.at));
            }
        }
        if bytes.is_empty() {
            return Ok(None);
        }
        let at = self.at;
        self.at += bytes.len() as u64;
        if first > 0 {
            bytes.drain(..first);
        }
        Ok(Some(Piece { bytes, at: at + first as u64 }))
    }
}

/// The byte-order mark and a first record that is not data.
fn skip_start(bytes: &[u8], job: &Job) -> Result<usize, Fault> {
    let mark = if bytes.starts_with(BOM) { BOM.len() } else { 0 };
    if !job.dialect.skip_first {
        return Ok(mark);
    }
    let mut fields = Fields::new(bytes.get(mark..).unwrap_or(&[]), job.dialect.cut);
    if !fields.skip_blank_lines().is_end {
        while !fields.next_field().map_err(Fault::Quote)?.1 {}
    }
    let end = mark + fields.position();
    // The rest is checked when it is parsed.
    match std::str::from_utf8(bytes.get(..end).unwrap_or(&[])) {
        Ok(_) => Ok(end),
        Err(error) => Err(Fault::Encoding { at: error.valid_up_to(), row: 0 }),
    }
}

/// The byte-order mark of UTF-8.
pub(crate) const BOM: &[u8] = b"\xef\xbb\xbf";

/// Why no more blocks come: an error, or a fault with the place in the file of the piece it is in.
enum Stop {
    Error(Error),
    Fault(Fault, u64),
}

struct State {
    cutter: Cutter,
    /// Number of the next piece to cut, and of the next block to hand out.
    cut: usize,
    taken: usize,
    done: BTreeMap<usize, Result<Block, Stop>>,
    /// Pieces whose memory can be used again.
    spare: Vec<Vec<u8>>,
    /// No more pieces: the number of the one that would be next.
    end: Option<usize>,
    stopped: bool,
}

struct Shared {
    job: Job,
    state: Mutex<State>,
    change: Condvar,
    window: usize,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Cuts and parses one block; `false` when there is nothing more to do.
    fn work(&self, wait: bool) -> bool {
        let mut state = self.lock();
        while wait
            && !state.stopped
            && state.end.is_none()
            && state.cut >= state.taken + self.window
        {
            state = self.change.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.stopped || state.end.is_some() {
            return false;
        }
        let number = state.cut;
        let spare = state.spare.pop().unwrap_or_default();
        let cut = state.cutter.next(&self.job, spare);
        let piece = match cut {
            Ok(Some(piece)) => piece,
            Ok(None) => {
                state.end = Some(number);
                self.change.notify_all();
                return false;
            }
            Err(stop) => {
                state.done.insert(number, Err(stop));
                state.end = Some(number + 1);
                self.change.notify_all();
                return false;
            }
        };
        state.cut += 1;
        drop(state);
        let job = &self.job;
        let parsed = catch_unwind(AssertUnwindSafe(|| {
            parse(&piece.bytes, &job.dialect, &job.types, &job.missing)
        }));
        let result = match parsed {
            Ok(result) => result.map_err(|fault| Stop::Fault(fault, piece.at)),
            Err(_) => Err(Stop::Error(Error::internal("parsing a table panicked"))),
        };
        let mut state = self.lock();
        state.done.insert(number, result);
        state.spare.push(piece.bytes);
        self.change.notify_all();
        true
    }
}

/// An iterator over the blocks of a file, in order. After an error it ends.
pub(crate) struct Pump {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    rows: usize,
    failed: bool,
}

impl Pump {
    /// Starts to read from the beginning of the job's source.
    pub(crate) fn start(job: Job) -> Result<Pump> {
        let stream = job.source.open(&job.name)?;
        let wanted = gradus_core::threads().min(MOST_THREADS);
        // With one thread the consumer does the work when it asks.
        let count = if wanted > 1 { wanted } else { 0 };
        let cutter = Cutter { stream, left: Vec::new(), at: 0, ended: false, started: false };
        let state = State {
            cutter,
            cut: 0,
            taken: 0,
            done: BTreeMap::new(),
            spare: Vec::new(),
            end: None,
            stopped: false,
        };
        let shared = Arc::new(Shared {
            job,
            state: Mutex::new(state),
            change: Condvar::new(),
            window: count + 2,
        });
        let mut pump = Pump { shared, threads: Vec::new(), rows: 0, failed: false };
        for _ in 0..count {
            let shared = pump.shared.clone();
            let run = move || while shared.work(true) {};
            match Builder::new().name("gradus-table".into()).spawn(run) {
                Ok(handle) => pump.threads.push(handle),
                Err(_) => break, // the consumer works if nobody else does
            }
        }
        Ok(pump)
    }

    fn take(&mut self) -> Option<Result<Block, Stop>> {
        loop {
            let mut state = self.shared.lock();
            loop {
                let number = state.taken;
                if let Some(result) = state.done.remove(&number) {
                    state.taken += 1;
                    self.shared.change.notify_all();
                    return Some(result);
                }
                if state.end.is_some_and(|end| number >= end) {
                    return None;
                }
                if self.threads.is_empty() {
                    break;
                }
                state = self.shared.change.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            drop(state);
            self.shared.work(false);
        }
    }

    fn error(&self, stop: Stop) -> Error {
        let job = &self.shared.job;
        match stop {
            Stop::Error(error) => error,
            Stop::Fault(fault, at) => explain(job, &fault, at, self.rows),
        }
    }
}

impl Iterator for Pump {
    type Item = Result<Block>;

    fn next(&mut self) -> Option<Result<Block>> {
        if self.failed {
            return None;
        }
        match self.take()? {
            Ok(mut block) => {
                block.first_row = self.rows;
                self.rows += block.rows;
                Some(Ok(block))
            }
            Err(stop) => {
                self.failed = true;
                Some(Err(self.error(stop)))
            }
        }
    }
}

impl Drop for Pump {
    fn drop(&mut self) {
        self.shared.lock().stopped = true;
        self.shared.change.notify_all();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// The message for a fault in a piece that starts at byte `at`, after `rows` rows.
fn explain(job: &Job, fault: &Fault, at: u64, rows: usize) -> Error {
    let name = &job.name;
    let place = |within: usize| line_of(job, at + within as u64);
    let data = |title: String| Error::new(Code::Data, title);
    match *fault {
        Fault::Quote(QuoteFault::Unclosed(within)) => {
            let line = place(within);
            data(format!("{name}, line {line}: a quote is opened and never closed"))
                .help("close it, or write a quote inside a quoted cell as two (\"\")")
        }
        Fault::Quote(QuoteFault::Trailing(within)) => {
            let line = place(within);
            data(format!("{name}, line {line}: text follows a closing quote"))
                .help("write a quote inside a quoted cell as two (\"\")")
        }
        Fault::Ragged { at: within, row, found } => {
            let (line, expected) = (place(within), job.types.len());
            let error = data(format!(
                "{name}, line {line} has {found} cells where {expected} are expected"
            ))
            .line("row", (rows + row + 1).to_string())
            .line("separator", job.dialect.cut.name());
            let from = if job.dialect.header { "the header" } else { "most lines" };
            error.line("expected", format!("{expected} cells, as in {from}")).help(
                if job.dialect.header && found == expected + 1 && rows + row == 0 {
                    "if the first column holds names of rows, give it a name in the header"
                } else {
                    "put text that contains the separator in quotes, or name another separator"
                },
            )
        }
        Fault::Encoding { at: within, row } => {
            let line = place(within);
            data(format!("{name}, line {line} is not UTF-8 text"))
                .line("row", (rows + row + 1).to_string())
                .line("byte", format!("{} of the file", at + within as u64))
                .help(format!(
                    "probably Latin-1; `iconv -f WINDOWS-1252 -t UTF-8 {name} > new.csv` converts it"
                ))
        }
        Fault::TooLong { at: within } => {
            let (line, most) = (place(within), LONGEST_RECORD >> 20);
            data(format!("{name}, line {line}: a row is longer than {most} MiB"))
                .help("is this a table? Its lines may end in another way")
        }
    }
}

/// The line, from 1, that a byte of the file is on, by reading up to it.
fn line_of(job: &Job, byte: u64) -> u64 {
    let Ok(mut stream) = job.source.open(&job.name) else { return 0 };
    let (mut left, mut lines) = (byte, 1u64);
    let mut bytes = Vec::new();
    while left > 0 {
        bytes.clear();
        let want = left.min(1 << 16) as usize;
        match stream.append(&mut bytes, want) {
            Ok(got) if got > 0 => {
                lines += memchr::memchr_iter(job.dialect.cut.newline, &bytes).count() as u64;
                left -= got as u64;
            }
            _ => break,
        }
    }
    lines
}
