//! The IDX format of MNIST: two zero bytes, the element type, the number of axes, the sizes as
//! big-endian u32, then the elements in big-endian order.
//!
//! Nothing in a header is believed: the sizes must match the bytes that are there exactly.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use flate2::{Compression, write::GzEncoder};
use gradus_core::{Array, Code, DType, Error, Result};

use crate::sniff::looks_like;
use crate::source::Input;

/// The element type of an IDX file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IdxType {
    /// Unsigned byte.
    U8,
    /// Signed byte.
    I8,
    /// 16-bit signed integer.
    I16,
    /// 32-bit signed integer.
    I32,
    /// 32-bit float.
    F32,
    /// 64-bit float.
    F64,
}

impl IdxType {
    /// All of them.
    pub const ALL: [IdxType; 6] =
        [IdxType::U8, IdxType::I8, IdxType::I16, IdxType::I32, IdxType::F32, IdxType::F64];

    /// The third byte of the file.
    pub fn code(self) -> u8 {
        match self {
            IdxType::U8 => 0x08,
            IdxType::I8 => 0x09,
            IdxType::I16 => 0x0B,
            IdxType::I32 => 0x0C,
            IdxType::F32 => 0x0D,
            IdxType::F64 => 0x0E,
        }
    }

    /// Bytes an element.
    pub fn size(self) -> usize {
        match self {
            IdxType::U8 | IdxType::I8 => 1,
            IdxType::I16 => 2,
            IdxType::I32 | IdxType::F32 => 4,
            IdxType::F64 => 8,
        }
    }

    /// Its name, as in `u8`.
    pub fn name(self) -> &'static str {
        match self {
            IdxType::U8 => "u8",
            IdxType::I8 => "i8",
            IdxType::I16 => "i16",
            IdxType::I32 => "i32",
            IdxType::F32 => "f32",
            IdxType::F64 => "f64",
        }
    }

    fn from_code(code: u8) -> Option<IdxType> {
        IdxType::ALL.into_iter().find(|t| t.code() == code)
    }
}

/// More axes than an array can have.
const MAX_RANK: usize = 8;

/// The start of an IDX file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) ty: IdxType,
    pub(crate) dims: Vec<usize>,
    /// Bytes of the elements.
    payload: u64,
}

impl Header {
    /// Reads a header without the elements, and checks a plain file's size against it.
    pub(crate) fn peek(path: &Path) -> Result<Header> {
        let mut input = Input::open(path)?;
        let header = Header::read(&mut input)?;
        header.check(&input)?;
        Ok(header)
    }

    fn read(input: &mut Input<'_>) -> Result<Header> {
        let mut magic = [0; 4];
        let got = input.fill(&mut magic)?;
        let (ty, rank) = match (got, magic) {
            (0, _) => {
                return Err(Error::new(Code::Format, format!("{} is empty", input.name))
                    .help("copy or download the file again"));
            }
            (4, [0, 0, code, rank]) => (IdxType::from_code(code), usize::from(rank)),
            _ => (None, 0),
        };
        let (Some(ty), 1..=MAX_RANK) = (ty, rank) else {
            let mut head = magic.get(..got).unwrap_or(&[]).to_vec();
            let mut more = [0; 508];
            let got = input.fill(&mut more).unwrap_or(0); // only to say what it looks like
            head.extend_from_slice(more.get(..got).unwrap_or(&[]));
            return Err(wrong_magic(&input.name, input.gzip, &head, ty.is_some().then_some(rank)));
        };
        let mut sizes = [0; 4 * MAX_RANK];
        let sizes = sizes.get_mut(..4 * rank).unwrap_or_default();
        let got = input.fill(sizes)?;
        if got < sizes.len() {
            return Err(truncated(input, "its header is not complete")
                .line("expected", format!("{} bytes of header", 4 + 4 * rank))
                .line("found", format!("{} bytes", 4 + got)));
        }
        let dims: Vec<u32> = big_endian(sizes, u32::from_be_bytes);
        let payload = dims
            .iter()
            .try_fold(ty.size() as u64, |n, &d| n.checked_mul(u64::from(d)))
            .filter(|&n| n <= isize::MAX as u64);
        let dims: Vec<usize> = dims.into_iter().map(|d| d as usize).collect();
        let Some(payload) = payload else {
            return Err(Error::new(
                Code::Format,
                format!("{} promises more bytes than any file holds", input.name),
            )
            .line("header", format!("{} {dims:?}", ty.name()))
            .help("the header is corrupt: copy or download the file again"));
        };
        Ok(Header { ty, dims, payload })
    }

    /// Bytes of the header itself.
    fn bytes(&self) -> u64 {
        4 + 4 * self.dims.len() as u64
    }

    /// Compares with what the input can give, before any memory is asked for.
    fn check(&self, input: &Input<'_>) -> Result<()> {
        let expected = self.bytes().saturating_add(self.payload);
        let most = input.most();
        if expected > most {
            let found = if input.gzip {
                format!("{} bytes of gzip, which hold {most} bytes at most", input.stored)
            } else {
                format!("{} bytes", input.stored)
            };
            Err(self.too_short(input, found))
        } else if !input.gzip && expected < most {
            Err(self.too_long(input, format!("{most} bytes")))
        } else {
            Ok(())
        }
    }

    fn describe(&self) -> String {
        format!("{} {:?}", self.ty.name(), self.dims)
    }

    fn expected(&self) -> String {
        let total = self.bytes().saturating_add(self.payload);
        format!("{total} bytes ({} of header and {} of data)", self.bytes(), self.payload)
    }

    fn too_short(&self, input: &Input<'_>, found: String) -> Error {
        truncated(input, "its header promises more than it holds")
            .line("header", self.describe())
            .line("expected", self.expected())
            .line("found", found)
    }

    fn too_long(&self, input: &Input<'_>, found: String) -> Error {
        let title = format!("{} is longer than its header says", input.name);
        Error::new(Code::Format, title)
            .line("header", self.describe())
            .line("expected", self.expected())
            .line("found", found)
            .help("the header or the file is corrupt: copy or download it again")
    }
}

fn truncated(input: &Input<'_>, why: &str) -> Error {
    Error::new(Code::Format, format!("{} is truncated: {why}", input.name))
        .help("copy or download the file again")
}

fn wrong_magic(name: &str, gzip: bool, head: &[u8], rank: Option<usize>) -> Error {
    let start: Vec<String> = head.iter().take(4).map(|b| format!("{b:02x}")).collect();
    let error = Error::new(Code::Format, format!("{name} is not an IDX file"))
        .line("expected", "00 00, the type (08, 09 or 0b to 0e), the number of axes (01 to 08)");
    let error = match rank {
        Some(rank) => error.line("found", format!("{} ({rank} axes)", start.join(" "))),
        None => {
            error.line("found", start.join(" ")).line("looks", format!("like {}", looks_like(head)))
        }
    };
    let error =
        if gzip { error.line("inside", "a gzip stream that is itself good") } else { error };
    error.help("IDX is the format of MNIST: names end with `-idx3-ubyte` or `-idx1-ubyte`")
}

/// Groups of bytes as numbers. Bytes that are left over are not a number; callers check before.
fn big_endian<const N: usize, T>(bytes: &[u8], number: impl Fn([u8; N]) -> T) -> Vec<T> {
    bytes.as_chunks::<N>().0.iter().map(|&chunk| number(chunk)).collect()
}

/// The contents of an IDX file, as they lie in it.
///
/// ```
/// use gradus_data::{Idx, IdxType};
///
/// let idx = Idx::new(IdxType::U8, &[2, 3], vec![0, 1, 2, 3, 4, 5])?;
/// let again = Idx::parse(&idx.to_bytes(), "memory")?;
/// assert_eq!(again, idx);
/// assert_eq!(again.dims(), [2, 3]);
/// assert_eq!(again.to_array()?.as_slice::<i64>()?, [0, 1, 2, 3, 4, 5]);
/// # Ok::<(), gradus_core::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Idx {
    header: Header,
    data: Vec<u8>,
}

impl Idx {
    /// Reads a file, plain or gzip.
    ///
    /// # Errors
    /// [`Code::Io`] when it cannot be read; [`Code::Format`] when it is not IDX, truncated, too
    /// long, empty, or its gzip stream is broken; [`Code::Memory`] when it does not fit.
    pub fn read(path: impl AsRef<Path>) -> Result<Idx> {
        Idx::read_from(Input::open(path.as_ref())?)
    }

    /// As [`read`](Idx::read), from bytes in memory; `name` is shown in messages.
    ///
    /// # Errors
    /// As [`read`](Idx::read).
    pub fn parse(bytes: &[u8], name: &str) -> Result<Idx> {
        Idx::read_from(Input::memory(bytes, name))
    }

    fn read_from(mut input: Input<'_>) -> Result<Idx> {
        let header = Header::read(&mut input)?;
        header.check(&input)?;
        let data = input.read(header.payload)?;
        if (data.len() as u64) < header.payload {
            let found = format!("{} bytes", input.taken);
            return Err(header.too_short(&input, found));
        }
        if !input.at_end()? {
            let found = format!("at least {} bytes", input.taken);
            return Err(header.too_long(&input, found));
        }
        Ok(Idx { header, data })
    }

    /// Contents from their bytes, each element in big-endian order.
    ///
    /// # Errors
    /// [`Code::Shape`] when the number of bytes does not fit the sizes, or the format cannot hold
    /// them: 1 to 8 axes below 2^32.
    pub fn new(ty: IdxType, dims: &[usize], data: Vec<u8>) -> Result<Idx> {
        let wrong = |why: String| Error::new(Code::Shape, format!("Idx::new: {why}"));
        if dims.is_empty() || dims.len() > MAX_RANK {
            return Err(wrong(format!("IDX has 1 to {MAX_RANK} axes, not {}", dims.len())));
        }
        if dims.iter().any(|&d| u32::try_from(d).is_err()) {
            return Err(wrong(format!("sizes in IDX are below 2^32, not {dims:?}")));
        }
        let payload = dims.iter().try_fold(ty.size(), |n, &d| n.checked_mul(d));
        if payload != Some(data.len()) {
            let given = data.len();
            return Err(wrong(format!("{given} bytes do not fit {} {dims:?}", ty.name())));
        }
        let payload = data.len() as u64;
        Ok(Idx { header: Header { ty, dims: dims.to_vec(), payload }, data })
    }

    /// Contents from an array: f32, f64, i32 and u8 as they are, bool as u8, i64 as i32, bf16
    /// and f16 as f32.
    ///
    /// # Errors
    /// [`Code::Index`] when an integer does not fit 32 bits, [`Code::Shape`] for a scalar.
    pub fn from_array(array: &Array) -> Result<Idx> {
        let (ty, data) = match array.dtype() {
            DType::F32 => (IdxType::F32, bytes_of(array.as_slice::<f32>()?, f32::to_be_bytes)),
            DType::F64 => (IdxType::F64, bytes_of(array.as_slice::<f64>()?, f64::to_be_bytes)),
            DType::I32 => (IdxType::I32, bytes_of(array.as_slice::<i32>()?, i32::to_be_bytes)),
            DType::U8 => (IdxType::U8, array.to_vec::<u8>()?),
            DType::BF16 | DType::F16 => {
                let wide = array.cast(DType::F32)?;
                (IdxType::F32, bytes_of(wide.as_slice::<f32>()?, f32::to_be_bytes))
            }
            DType::Bool => {
                (IdxType::U8, array.to_vec::<bool>()?.into_iter().map(u8::from).collect())
            }
            DType::I64 => {
                let small: Option<Vec<i32>> =
                    array.as_slice::<i64>()?.iter().map(|&x| i32::try_from(x).ok()).collect();
                let small = small.ok_or_else(|| {
                    Error::new(Code::Index, "Idx::from_array: a number does not fit 32 bits")
                })?;
                (IdxType::I32, bytes_of(&small, i32::to_be_bytes))
            }
        };
        Idx::new(ty, array.dims(), data)
    }

    pub(crate) fn header(&self) -> &Header {
        &self.header
    }

    /// The element type.
    pub fn ty(&self) -> IdxType {
        self.header.ty
    }

    /// The sizes, slowest axis first.
    pub fn dims(&self) -> &[usize] {
        &self.header.dims
    }

    /// The elements' bytes in big-endian order, row-major.
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// The elements' bytes, without a copy.
    pub fn into_data(self) -> Vec<u8> {
        self.data
    }

    /// The elements as an array: integers become i64, floats keep their type.
    ///
    /// # Errors
    /// [`Code::Memory`] when they are too many.
    pub fn to_array(&self) -> Result<Array> {
        let (dims, data) = (self.dims(), &*self.data);
        let ints = |v: Vec<i64>| Array::new(dims, &v);
        match self.ty() {
            IdxType::U8 => ints(data.iter().map(|&b| i64::from(b)).collect()),
            IdxType::I8 => ints(big_endian(data, |b| i64::from(i8::from_be_bytes(b)))),
            IdxType::I16 => ints(big_endian(data, |b| i64::from(i16::from_be_bytes(b)))),
            IdxType::I32 => ints(big_endian(data, |b| i64::from(i32::from_be_bytes(b)))),
            IdxType::F32 => Array::new(dims, &big_endian(data, f32::from_be_bytes)),
            IdxType::F64 => Array::new(dims, &big_endian(data, f64::from_be_bytes)),
        }
    }

    /// The elements as f32, rounded where they do not fit.
    ///
    /// # Errors
    /// [`Code::Memory`] when they are too many.
    pub fn to_f32(&self) -> Result<Array> {
        let (dims, data) = (self.dims(), &*self.data);
        let numbers = match self.ty() {
            IdxType::U8 => data.iter().map(|&b| f32::from(b)).collect(),
            IdxType::I8 => big_endian(data, |b| f32::from(i8::from_be_bytes(b))),
            IdxType::I16 => big_endian(data, |b| f32::from(i16::from_be_bytes(b))),
            IdxType::I32 => big_endian(data, |b| i32::from_be_bytes(b) as f32),
            IdxType::F32 => big_endian(data, f32::from_be_bytes),
            IdxType::F64 => big_endian(data, |b| f64::from_be_bytes(b) as f32),
        };
        Array::new(dims, &numbers)
    }

    /// The file's bytes, not compressed.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.head();
        bytes.extend_from_slice(&self.data);
        bytes
    }

    fn head(&self) -> Vec<u8> {
        let mut head = vec![0, 0, self.ty().code(), self.dims().len() as u8];
        head.extend(self.dims().iter().flat_map(|&d| (d as u32).to_be_bytes()));
        head
    }

    /// Writes a file; compressed if its name ends with `.gz`. It is written beside its place and
    /// then moved there, so a failure leaves an old file as it was and no half of a new one.
    ///
    /// # Errors
    /// [`Code::Io`] when it cannot be written.
    pub fn write(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let failed = |cause: &std::io::Error| Error::io("cannot write", path, cause);
        let mut draft = path.as_os_str().to_owned();
        draft.push(format!(".{}.part", std::process::id()));
        let draft = PathBuf::from(draft);
        let written = self.write_draft(&draft, path.extension().is_some_and(|e| e == "gz"));
        written.and_then(|()| fs::rename(&draft, path)).map_err(|cause| {
            drop(fs::remove_file(&draft)); // the first cause is the one to tell
            failed(&cause)
        })
    }

    fn write_draft(&self, draft: &Path, gzip: bool) -> std::io::Result<()> {
        let mut file = fs::File::create(draft)?;
        if gzip {
            let mut encoder = GzEncoder::new(&mut file, Compression::default());
            encoder.write_all(&self.head())?;
            encoder.write_all(&self.data)?;
            encoder.finish()?;
        } else {
            file.write_all(&self.head())?;
            file.write_all(&self.data)?;
        }
        file.sync_all()
    }
}

impl std::fmt::Debug for Idx {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Idx({})", self.header.describe())
    }
}

fn bytes_of<T: Copy, const N: usize>(numbers: &[T], bytes: impl Fn(T) -> [u8; N]) -> Vec<u8> {
    numbers.iter().flat_map(|&x| bytes(x)).collect()
}
