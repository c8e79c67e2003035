//! Rows of f32 in a file: written once in order, read at random.
//!
//! The file has no name, so nothing is left behind however the program ends.

use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::sync::Arc;

use gradus_core::{Code, Error, Result};

use crate::rows::{Rows, Run};

/// Reads exactly `buffer.len()` bytes from a place in a file, whatever else reads it.
#[cfg(unix)]
fn read_exact_at(file: &File, buffer: &mut [u8], at: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, buffer, at)
}

#[cfg(windows)]
fn read_exact_at(file: &File, mut buffer: &mut [u8], mut at: u64) -> io::Result<()> {
    while !buffer.is_empty() {
        match std::os::windows::fs::FileExt::seek_read(file, buffer, at) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(n) => {
                buffer = buffer.get_mut(n..).unwrap_or(&mut []);
                at += n as u64;
            }
            Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
            Err(cause) => return Err(cause),
        }
    }
    Ok(())
}

/// Reads a shared file from its start, with a place of its own.
pub(crate) struct FileReader {
    pub(crate) file: Arc<File>,
    pub(crate) at: u64,
}

impl Read for FileReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.file.metadata()?.len().saturating_sub(self.at);
        let want = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let part = buffer.get_mut(..want).unwrap_or(&mut []);
        read_exact_at(&self.file, part, self.at)?;
        self.at += want as u64;
        Ok(want)
    }
}

/// Writes rows one after the other.
pub(crate) struct RowWriter {
    file: BufWriter<File>,
    width: usize,
    written: usize,
    bytes: Vec<u8>,
}

impl RowWriter {
    pub(crate) fn new(file: File, width: usize) -> RowWriter {
        let file = BufWriter::with_capacity(1 << 18, file);
        RowWriter { file, width, written: 0, bytes: Vec::new() }
    }

    pub(crate) fn add(&mut self, rows: &[f32]) -> io::Result<()> {
        for piece in rows.chunks(1 << 14) {
            self.bytes.clear();
            self.bytes.extend(piece.iter().flat_map(|value| value.to_le_bytes()));
            self.file.write_all(&self.bytes)?;
        }
        self.written += rows.len();
        Ok(())
    }

    pub(crate) fn finish(self) -> io::Result<DiskRows> {
        let file = self.file.into_inner().map_err(io::IntoInnerError::into_error)?;
        Ok(DiskRows { file, width: self.width, rows: self.written / self.width.max(1) })
    }
}

/// Rows of `width` numbers in a file, as little-endian f32.
pub(crate) struct DiskRows {
    file: File,
    pub(crate) width: usize,
    pub(crate) rows: usize,
}

/// Bytes that are read and turned into numbers at once.
const STAGE: usize = 1 << 16;

impl DiskRows {
    /// Copies rows to `out`.
    pub(crate) fn gather(&self, rows: &Rows, out: &mut [f32]) -> Result<()> {
        if out.len() != rows.len().saturating_mul(self.width) {
            return Err(Error::internal("a dataset's view has rows it lacks"));
        }
        match rows.runs() {
            Run::Range(first, _) => self.read(first, out),
            Run::List(list) => {
                let mut left = list;
                let mut out = out;
                // Rows that follow one another are read together.
                while let Some(&first) = left.first() {
                    let next = |pair: &[usize]| matches!(pair, [a, b] if *b == a.wrapping_add(1));
                    let count = 1 + left.windows(2).take_while(|pair| next(pair)).count();
                    let (now, later) = out.split_at_mut((count * self.width).min(out.len()));
                    self.read(first, now)?;
                    out = later;
                    left = left.get(count..).unwrap_or(&[]);
                }
                Ok(())
            }
        }
    }

    fn read(&self, first: usize, out: &mut [f32]) -> Result<()> {
        let mut at = (first as u64).saturating_mul(4 * self.width as u64);
        let mut stage = [0u8; STAGE];
        for piece in out.chunks_mut(STAGE / 4) {
            let bytes = stage.get_mut(..4 * piece.len()).unwrap_or(&mut []);
            read_exact_at(&self.file, bytes, at).map_err(|cause| {
                Error::new(
                    Code::Io,
                    format!("cannot read rows back from a temporary file: {cause}"),
                )
            })?;
            for (o, four) in piece.iter_mut().zip(bytes.as_chunks::<4>().0) {
                *o = f32::from_le_bytes(*four);
            }
            at += bytes.len() as u64;
        }
        Ok(())
    }

    /// Hands the whole content to `with`, piece by piece.
    pub(crate) fn each_piece(&self, mut with: impl FnMut(&[u8])) -> io::Result<()> {
        let mut left = (self.rows as u64) * 4 * self.width as u64;
        let mut bytes = vec![0u8; STAGE];
        let mut at = 0;
        while left > 0 {
            let want = left.min(STAGE as u64) as usize;
            let part = bytes.get_mut(..want).unwrap_or(&mut []);
            read_exact_at(&self.file, part, at)?;
            with(part);
            at += want as u64;
            left -= want as u64;
        }
        Ok(())
    }
}
