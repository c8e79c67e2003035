//! Where the bytes of a table come from, so that they can be read more than once, and the refusal
//! of what is not a table.

use std::fs::File;
use std::io::{BufReader, Cursor, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flate2::bufread::MultiGzDecoder;
use gradus_core::{Code, Error, Result};

use crate::disk::FileReader;
use crate::sniff::looks_like;
use crate::source::cannot_read;
use crate::table::options::{ReadOptions, Storage};

/// Bytes that can be read again from the start.
#[derive(Clone)]
pub(crate) enum Source {
    Path(PathBuf),
    Bytes(Arc<[u8]>),
    /// What came through a pipe and was too large for memory.
    Spool(Arc<File>),
}

const GZIP: [u8; 2] = [0x1f, 0x8b];

impl Source {
    /// A file. What is not a plain file (a pipe) is read through once and kept.
    pub(crate) fn path(path: &Path, options: &ReadOptions) -> Result<Source> {
        let failed = |cause| cannot_read(path, &cause);
        let meta = std::fs::metadata(path).map_err(failed)?;
        if meta.is_dir() {
            return Err(Error::new(
                Code::Data,
                format!("{} is a folder, not a table", path.display()),
            )
            .help("name a CSV file, plain or .gz"));
        }
        if !meta.is_file() {
            let file = File::open(path).map_err(failed)?;
            return Source::reader(&path.display().to_string(), file, options);
        }
        File::open(path).map_err(failed)?;
        Ok(Source::Path(path.to_owned()))
    }

    /// Anything that can be read once: into memory, or into a temporary file if it is large.
    pub(crate) fn reader(
        name: &str,
        mut reader: impl Read,
        options: &ReadOptions,
    ) -> Result<Source> {
        let failed = |cause: std::io::Error| Error::io("cannot read", name, &cause);
        let limit = match options.storage {
            Storage::Auto => options.memory_limit,
            Storage::Memory => u64::MAX,
            Storage::Disk => 0,
        };
        let mut bytes = Vec::new();
        (&mut reader).take(limit).read_to_end(&mut bytes).map_err(failed)?;
        let mut piece = [0u8; 1 << 16];
        let mut got = read_some(&mut reader, &mut piece).map_err(failed)?;
        if got == 0 {
            return Ok(Source::Bytes(bytes.into()));
        }
        let mut file = temporary(options)?;
        let full = |cause: std::io::Error| cannot_spool(&cause);
        file.write_all(&bytes).map_err(full)?;
        drop(bytes);
        while got > 0 {
            file.write_all(piece.get(..got).unwrap_or(&[])).map_err(full)?;
            got = read_some(&mut reader, &mut piece).map_err(failed)?;
        }
        Ok(Source::Spool(Arc::new(file)))
    }

    /// Starts reading from the beginning; gzip is told by its first bytes, not by a name.
    pub(crate) fn open(&self, name: &str) -> Result<Stream> {
        let plain: Box<dyn Read + Send> = match self {
            Source::Path(path) => {
                Box::new(File::open(path).map_err(|cause| cannot_read(path, &cause))?)
            }
            Source::Bytes(bytes) => Box::new(Cursor::new(bytes.clone())),
            // Clones of one handle share a place, so each reading keeps its own.
            Source::Spool(file) => Box::new(FileReader { file: file.clone(), at: 0 }),
        };
        Stream::new(plain, name)
    }
}

fn read_some(reader: &mut impl Read, buffer: &mut [u8]) -> std::io::Result<usize> {
    loop {
        match reader.read(buffer) {
            Err(cause) if cause.kind() == ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

/// A file that is gone when it is closed.
pub(crate) fn temporary(options: &ReadOptions) -> Result<File> {
    let made = match &options.temp_dir {
        Some(folder) => tempfile::tempfile_in(folder),
        None => tempfile::tempfile(),
    };
    made.map_err(|cause| {
        let folder = options.temp_dir.clone().unwrap_or_else(std::env::temp_dir);
        Error::io("cannot make a temporary file in", folder, &cause)
            .help("name another folder for temporary files")
    })
}

pub(crate) fn cannot_spool(cause: &std::io::Error) -> Error {
    Error::new(Code::Io, format!("cannot write a temporary file: {cause}"))
        .help("free some space, or name another folder for temporary files (TMPDIR)")
}

/// One reading of a source.
pub(crate) struct Stream {
    reader: Box<dyn Read + Send>,
    name: String,
    gzip: bool,
}

impl Stream {
    fn new(mut plain: Box<dyn Read + Send>, name: &str) -> Result<Stream> {
        let mut magic = [0u8; 2];
        let mut got = 0;
        while got < 2 {
            let rest = magic.get_mut(got..).unwrap_or(&mut []);
            match read_some(&mut plain, rest) {
                Ok(0) => break,
                Ok(n) => got += n,
                Err(cause) => return Err(Error::io("cannot read", name, &cause)),
            }
        }
        let gzip = magic == GZIP && got == 2;
        let head = Cursor::new(magic.get(..got).unwrap_or(&[]).to_vec());
        let whole = head.chain(plain);
        let reader: Box<dyn Read + Send> = if gzip {
            Box::new(MultiGzDecoder::new(BufReader::with_capacity(1 << 17, whole)))
        } else {
            Box::new(whole)
        };
        Ok(Stream { reader, name: name.to_owned(), gzip })
    }

    /// Appends up to `count` bytes to `buffer`; fewer only at the end.
    pub(crate) fn append(&mut self, buffer: &mut Vec<u8>, count: usize) -> Result<usize> {
        buffer.reserve(count);
        match (&mut self.reader).take(count as u64).read_to_end(buffer) {
            Ok(got) => Ok(got),
            Err(cause) => {
                let broken = matches!(
                    cause.kind(),
                    ErrorKind::InvalidData | ErrorKind::InvalidInput | ErrorKind::UnexpectedEof
                );
                if !(self.gzip && broken) {
                    return Err(Error::io("cannot read", &self.name, &cause));
                }
                Err(Error::new(
                    Code::Format,
                    format!("{}: its gzip stream cannot be decompressed: {cause}", self.name),
                )
                .help("the file is cut off or damaged; copy or download it again"))
            }
        }
    }
}

/// Whether text starts as objects or lists of JSON do. A name of a column may start with a bracket
/// (`[id]`), so one bracket is not enough.
fn is_json(head: &[u8]) -> bool {
    let mut signs = head.iter().filter(|byte| !byte.is_ascii_whitespace());
    match (signs.next(), signs.next()) {
        (Some(b'{'), Some(b'"')) => true,
        (Some(b'['), Some(next)) => matches!(next, b'{' | b'['),
        _ => false,
    }
}

/// Refuses bytes that are no table, by the first of them. `head` has no byte-order mark.
pub(crate) fn refuse(name: &str, head: &[u8]) -> Result<()> {
    let error = |what: &str, help: &str| {
        Err(Error::new(Code::Data, format!("{name} is not a table of text: it is {what}"))
            .help(help))
    };
    const SAVE: &str = "export it as CSV in UTF-8";
    if head.is_empty() {
        return Err(Error::new(Code::Data, format!("{name} is empty"))
            .help("a table has a line of names and at least one row"));
    }
    if head.starts_with(b"\xff\xfe") || head.starts_with(b"\xfe\xff") {
        return error("UTF-16 text", "save it as UTF-8: `iconv -f UTF-16 -t UTF-8 FILE > NEW.csv`");
    }
    if head.starts_with(b"PK\x03\x04") {
        return error(
            "a ZIP archive",
            "unpack it; a workbook (.xlsx, .ods) is one too: save its sheet as CSV in UTF-8",
        );
    }
    if head.starts_with(b"\xd0\xcf\x11\xe0") {
        return error("an old Excel workbook (.xls)", "save the sheet as CSV in UTF-8");
    }
    if head.contains(&0) {
        // Every second byte of UTF-16 text in Latin letters is zero.
        let (mut odd, mut even) = (0, 0);
        for (i, &byte) in head.iter().enumerate() {
            if byte == 0 {
                if i % 2 == 0 { even += 1 } else { odd += 1 }
            }
        }
        if odd.max(even) * 4 >= head.len() && odd.min(even) == 0 {
            return error(
                "UTF-16 text without a byte-order mark",
                "save it as UTF-8: `iconv -f UTF-16LE -t UTF-8 FILE > NEW.csv`",
            );
        }
        return error(&looks_like(head), SAVE);
    }
    if is_json(head) {
        return error("JSON text", SAVE);
    }
    let said = looks_like(head);
    if said.contains("HTML") || said.contains("LFS") || head.starts_with(b"%PDF-") {
        return error(&said, SAVE);
    }
    let text = match std::str::from_utf8(head) {
        Ok(_) => true,
        Err(e) => e.error_len().is_none(), // a character cut by the end of the head
    };
    let control = |&byte: &u8| byte < 32 && !matches!(byte, b'\n' | b'\r' | b'\t' | 12);
    // Text in another encoding is told later, with the place. Names of columns may start like a
    // magic number does ("BMI"), so text in UTF-8 passes.
    if !text && head.iter().any(control) {
        return error(&said, SAVE);
    }
    Ok(())
}
