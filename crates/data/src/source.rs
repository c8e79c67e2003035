//! Files as streams of bytes, plain or gzip (told by the first bytes, not by the name), and the
//! messages for what can be wrong with a path.

use std::fs::File;
use std::io::{BufReader, ErrorKind, Read, Seek};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;
use gradus_core::{Code, Error, Result};

/// The most bytes that one byte of a deflate stream can stand for.
const MOST_INFLATED: u64 = 1032;

/// Where bytes come from, and what is known of how many there are.
pub(crate) struct Input<'a> {
    /// The file, for messages.
    pub(crate) name: String,
    reader: Box<dyn Read + 'a>,
    /// Bytes of the file as it lies on disk.
    pub(crate) stored: u64,
    pub(crate) gzip: bool,
    /// Bytes handed out so far.
    pub(crate) taken: u64,
}

impl Input<'static> {
    /// Opens a file.
    pub(crate) fn open(path: &Path) -> Result<Input<'static>> {
        let failed = |cause| cannot_read(path, &cause);
        let meta = std::fs::metadata(path).map_err(failed)?;
        if meta.is_dir() {
            return Err(Error::new(
                Code::Io,
                format!("{} is a folder, not a file", path.display()),
            ));
        }
        if !meta.is_file() {
            // A pipe could keep the reader waiting for ever.
            return Err(Error::new(Code::Io, format!("{} is not a plain file", path.display())));
        }
        let mut file = File::open(path).map_err(failed)?;
        let stored = file.metadata().map_err(failed)?.len();
        let mut magic = [0; 2];
        let gzip = match file.read_exact(&mut magic) {
            Ok(()) => magic == GZIP,
            Err(cause) if cause.kind() == ErrorKind::UnexpectedEof => false,
            Err(cause) => return Err(failed(cause)),
        };
        file.rewind().map_err(failed)?;
        let reader: Box<dyn Read> = if gzip {
            Box::new(MultiGzDecoder::new(BufReader::with_capacity(1 << 16, file)))
        } else {
            Box::new(file)
        };
        Ok(Input { name: path.display().to_string(), reader, stored, gzip, taken: 0 })
    }
}

const GZIP: [u8; 2] = [0x1f, 0x8b];

impl<'a> Input<'a> {
    /// Reads from memory; `name` is shown in messages.
    pub(crate) fn memory(bytes: &'a [u8], name: &str) -> Input<'a> {
        let gzip = bytes.starts_with(&GZIP);
        let reader: Box<dyn Read + 'a> =
            if gzip { Box::new(MultiGzDecoder::new(bytes)) } else { Box::new(bytes) };
        Input { name: name.to_owned(), reader, stored: bytes.len() as u64, gzip, taken: 0 }
    }

    /// The most bytes that this input can give: exact for a plain file, a bound for gzip.
    pub(crate) fn most(&self) -> u64 {
        if self.gzip { self.stored.saturating_mul(MOST_INFLATED) } else { self.stored }
    }

    /// Reads until `buffer` is full or the input ends; the number of bytes read.
    pub(crate) fn fill(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let mut got = 0;
        while let Some(rest) = buffer.get_mut(got..).filter(|rest| !rest.is_empty()) {
            match self.reader.read(rest) {
                Ok(0) => break,
                Ok(n) => got += n,
                Err(cause) if cause.kind() == ErrorKind::Interrupted => {}
                Err(cause) => return Err(self.failed(&cause, got)),
            }
        }
        self.taken += got as u64;
        Ok(got)
    }

    /// Reads `size` bytes, or fewer if the input ends before. The caller has checked `size` against
    /// [`most`](Input::most), so a lying header cannot ask for memory that no data stands behind.
    pub(crate) fn read(&mut self, size: u64) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let room = usize::try_from(size).ok().and_then(|n| bytes.try_reserve_exact(n).ok());
        if room.is_none() {
            let title = format!("{}: no memory for its {size} bytes", self.name);
            return Err(Error::new(Code::Memory, title));
        }
        if let Err(cause) = (&mut self.reader).take(size).read_to_end(&mut bytes) {
            return Err(self.failed(&cause, bytes.len()));
        }
        self.taken += bytes.len() as u64;
        Ok(bytes)
    }

    /// Whether nothing follows. For gzip this is also where the checksum is compared.
    pub(crate) fn at_end(&mut self) -> Result<bool> {
        Ok(self.fill(&mut [0])? == 0)
    }

    fn failed(&self, cause: &std::io::Error, got: usize) -> Error {
        let got = self.taken + got as u64;
        let kind = cause.kind();
        let broken = matches!(
            kind,
            ErrorKind::InvalidData | ErrorKind::InvalidInput | ErrorKind::UnexpectedEof
        );
        if !(self.gzip && broken) {
            return Error::io("cannot read", &self.name, cause);
        }
        let title = if kind == ErrorKind::UnexpectedEof {
            format!("{} is truncated: its gzip stream ends too early", self.name)
        } else {
            format!("{} is corrupt: its gzip stream cannot be decompressed", self.name)
        };
        Error::new(Code::Format, title)
            .line("stored", format!("{} bytes", self.stored))
            .line("found", format!("{got} good bytes, then: {cause}"))
            .help("copy or download the file again")
    }
}

/// A path that cannot be read, with what is there instead when it does not exist.
pub(crate) fn cannot_read(path: &Path, cause: &std::io::Error) -> Error {
    if cause.kind() != ErrorKind::NotFound {
        return Error::io("cannot read", path, cause);
    }
    let error = Error::new(Code::Io, format!("{} does not exist", path.display()));
    let parent = match path.parent() {
        Some(p) if p.as_os_str().is_empty() => Path::new("."),
        Some(p) => p,
        None => return error,
    };
    let shown = parent.display();
    match list(parent) {
        Ok(names) => error.line("there", format!("{shown} holds {}", summary(&names))),
        Err(_) => error.line("there", format!("the folder {shown} does not exist either")),
    }
}

/// The names in a folder, sorted, without hidden ones (macOS leaves `._` copies of files beside
/// them on foreign disks).
pub(crate) fn list(folder: &Path) -> std::io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if !name.starts_with('.') {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// The first names of a list, and how many more there are.
pub(crate) fn summary(names: &[String]) -> String {
    const SHOWN: usize = 8;
    if names.is_empty() {
        return "nothing".to_owned();
    }
    let mut text = names.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN {
        text.push_str(&format!(" and {} more", names.len() - SHOWN));
    }
    text
}
