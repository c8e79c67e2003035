//! The safetensors format: a length, a JSON header, then the bytes of all tensors.
//!
//! Reading checks everything before anything is used, so a damaged file is an error and nothing
//! else. Writing is ours, because the bytes have to be the same for the same state (the crate
//! keeps metadata in a randomly ordered map).

use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use gradus_core::{Array, Code, DType, Error, Result, Shape, Truth, bf16, f16};
use safetensors::{Dtype, SafeTensorError, SafeTensors};

use crate::state::StateDict;

/// The version of what we put in the metadata. Files without it are read as plain safetensors.
const VERSION: &str = "1";
/// Metadata that describes the file, not the state.
const OWN: [&str; 3] = ["format", "gradus", "gradus_version"];

/// The name of a type in a header.
fn type_name(dtype: DType) -> &'static str {
    match dtype {
        DType::F32 => "F32",
        DType::F64 => "F64",
        DType::I64 => "I64",
        DType::I32 => "I32",
        DType::U8 => "U8",
        DType::BF16 => "BF16",
        DType::F16 => "F16",
        DType::Bool => "BOOL",
    }
}

/// A JSON string.
fn quote(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if c < ' ' => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

/// The arrays in the order of the file: wide elements first, so that all are aligned.
fn ordered(state: &StateDict) -> Vec<(&str, &Array)> {
    let mut entries: Vec<(&str, &Array)> = state.iter().collect();
    entries.sort_by_key(|(_, array)| std::cmp::Reverse(array.dtype().size()));
    entries
}

/// The length and the header, padded to a multiple of eight bytes.
fn header(state: &StateDict, entries: &[(&str, &Array)]) -> Vec<u8> {
    let mut json = String::from("{\"__metadata__\":{\"format\":\"pt\",\"gradus\":\"");
    json.push_str(VERSION);
    json.push_str("\",\"gradus_version\":");
    quote(&mut json, env!("CARGO_PKG_VERSION"));
    for (key, value) in state.metadata().iter().filter(|(k, _)| !OWN.contains(&k.as_str())) {
        json.push(',');
        quote(&mut json, key);
        json.push(':');
        quote(&mut json, value);
    }
    json.push('}');
    let mut start = 0usize;
    for (name, array) in entries {
        json.push(',');
        quote(&mut json, name);
        let end = start + array.numel() * array.dtype().size();
        let _ = write!(
            json,
            ":{{\"dtype\":\"{}\",\"shape\":{:?},\"data_offsets\":[{start},{end}]}}",
            type_name(array.dtype()),
            array.dims()
        );
        start = end;
    }
    json.push('}');
    while json.len() % 8 != 0 {
        json.push(' ');
    }
    let mut bytes = (json.len() as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(json.as_bytes());
    bytes
}

/// Writes elements as little-endian bytes, in blocks.
fn put<T: Copy, const N: usize>(
    out: &mut dyn Write,
    values: &[T],
    bytes: impl Fn(T) -> [u8; N],
) -> std::io::Result<()> {
    let mut block = Vec::with_capacity(values.len().min(8192) * N);
    for values in values.chunks(8192) {
        block.clear();
        block.extend(values.iter().flat_map(|&v| bytes(v)));
        out.write_all(&block)?;
    }
    Ok(())
}

fn put_array(out: &mut dyn Write, array: &Array) -> std::io::Result<()> {
    let wrong = |e: Error| std::io::Error::other(e.to_string());
    match array.dtype() {
        DType::F32 => put(out, array.as_slice::<f32>().map_err(wrong)?, f32::to_le_bytes),
        DType::F64 => put(out, array.as_slice::<f64>().map_err(wrong)?, f64::to_le_bytes),
        DType::I64 => put(out, array.as_slice::<i64>().map_err(wrong)?, i64::to_le_bytes),
        DType::I32 => put(out, array.as_slice::<i32>().map_err(wrong)?, i32::to_le_bytes),
        DType::U8 => out.write_all(array.as_slice::<u8>().map_err(wrong)?),
        DType::BF16 => put(out, array.as_slice::<bf16>().map_err(wrong)?, bf16::to_le_bytes),
        DType::F16 => put(out, array.as_slice::<f16>().map_err(wrong)?, f16::to_le_bytes),
        DType::Bool => put(out, &array.to_vec::<bool>().map_err(wrong)?, |v: bool| [u8::from(v)]),
    }
}

fn put_state(out: &mut dyn Write, state: &StateDict) -> std::io::Result<()> {
    let entries = ordered(state);
    out.write_all(&header(state, &entries))?;
    entries.iter().try_for_each(|(_, array)| put_array(out, array))
}

pub(crate) fn to_bytes(state: &StateDict) -> Vec<u8> {
    let mut bytes = Vec::new();
    // A vector takes all that is written to it.
    let _ = put_state(&mut bytes, state);
    bytes
}

/// Removes the unfinished file unless the writing went well.
struct Unfinished(Option<PathBuf>);

impl Drop for Unfinished {
    fn drop(&mut self) {
        if let Some(path) = self.0.take() {
            let _ = fs::remove_file(path);
        }
    }
}

/// Writes under another name in the same folder, makes sure it is on disk, then renames.
pub(crate) fn write(state: &StateDict, path: &Path) -> Result<()> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let fail = |e: &std::io::Error| {
        let error = Error::io("cannot write", path, e);
        match e.kind() {
            std::io::ErrorKind::NotFound => error.help("make the folder first"),
            std::io::ErrorKind::StorageFull => error.help("the disk is full; nothing was changed"),
            _ => error,
        }
    };
    let Some(name) = path.file_name() else {
        return Err(Error::new(Code::Io, format!("cannot write {}: no file name", path.display())));
    };
    if path.is_dir() {
        let text = format!("cannot write {}: it is a folder", path.display());
        return Err(Error::new(Code::Io, text).help("give the name of a file in it"));
    }
    let mut temporary = std::ffi::OsString::from(".");
    temporary.push(name);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    temporary.push(format!(".{}.{count}.tmp", std::process::id()));
    let temporary = path.with_file_name(temporary);
    let file = OpenOptions::new().write(true).create_new(true).open(&temporary);
    let file = file.map_err(|e| fail(&e))?;
    let mut unfinished = Unfinished(Some(temporary.clone()));
    let mut out = BufWriter::with_capacity(1 << 16, file);
    put_state(&mut out, state)
        .and_then(|()| out.into_inner().map_err(|e| e.into_error()))
        .and_then(|file| file.sync_all())
        .and_then(|()| fs::rename(&temporary, path))
        .map_err(|e| fail(&e))?;
    unfinished.0 = None;
    // The rename itself survives a power cut only with its folder; not every system allows that.
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if let Ok(folder) = File::open(folder) {
        let _ = folder.sync_all();
    }
    Ok(())
}

pub(crate) fn read(path: &Path) -> Result<StateDict> {
    let bytes = fs::read(path).map_err(|e| Error::io("cannot read", path, &e))?;
    parse(&bytes, &path.display().to_string())
}

pub(crate) fn parse(bytes: &[u8], what: &str) -> Result<StateDict> {
    let (length, metadata) =
        SafeTensors::read_metadata(bytes).map_err(|e| explain(&e, bytes, what))?;
    let data = length.checked_add(8).and_then(|start| bytes.get(start..)).unwrap_or_default();
    let mut state = StateDict::new();
    for name in metadata.offset_keys() {
        let Some(info) = metadata.info(&name) else { continue };
        let (start, end) = info.data_offsets;
        let Some(raw) = data.get(start..end) else {
            return Err(damaged(what, format!("tensor `{name}` lies outside the file")));
        };
        let array = array(info.dtype, &info.shape, raw).map_err(|e| match e {
            Unreadable::Type => Error::new(
                Code::Format,
                format!("{what}: tensor `{name}` has the type {:?}", info.dtype),
            )
            .help("F64, F32, F16, BF16, integers and BOOL are read; convert it to one of them"),
            Unreadable::Rank => Error::new(
                Code::Format,
                format!("{what}: tensor `{name}` has {} axes", info.shape.len()),
            )
            .help(format!("a tensor has at most {} axes", gradus_core::MAX_RANK)),
            Unreadable::Other(error) => {
                damaged(what, format!("tensor `{name}`: {}", error.title()))
            }
        })?;
        state.insert(name, array);
    }
    for (key, value) in metadata.metadata().iter().flatten() {
        if !OWN.contains(&key.as_str()) {
            state.set_metadata(key, value);
        }
    }
    Ok(state)
}

fn damaged(what: &str, text: String) -> Error {
    Error::new(Code::Format, format!("{what} is damaged: {text}")).help("copy or download it again")
}

#[cold]
fn explain(error: &SafeTensorError, bytes: &[u8], what: &str) -> Error {
    if bytes.starts_with(b"PK\x03\x04") || bytes.starts_with(b"\x80\x02") {
        let text = format!("{what} is a pickle of PyTorch, not a safetensors file");
        return Error::new(Code::Format, text).help(
            "pickles can run code, so they are not read; convert it in Python with \
             `safetensors.torch.save_file(torch.load(..), ..)`",
        );
    }
    // After the length, a header starts with a brace.
    let looks_right = bytes.get(8) == Some(&b'{');
    let promised = bytes.first_chunk::<8>().map_or(0, |b| u64::from_le_bytes(*b));
    match error {
        SafeTensorError::HeaderTooSmall => {
            damaged(what, format!("{} bytes are too few for a safetensors file", bytes.len()))
        }
        SafeTensorError::InvalidHeaderLength | SafeTensorError::HeaderTooLarge if looks_right => {
            let text = format!(
                "its header should have {promised} bytes, the file has {} in all",
                bytes.len()
            );
            damaged(what, text)
        }
        SafeTensorError::MetadataIncompleteBuffer => damaged(
            what,
            format!(
                "the tensors its header lists do not add up to its {} bytes; it may have been \
                 cut short",
                bytes.len()
            ),
        ),
        other if looks_right => damaged(what, other.to_string()),
        _ => Error::new(Code::Format, format!("{what} is not a safetensors file"))
            .help("models are saved as safetensors (`model.save(..)`)"),
    }
}

enum Unreadable {
    Type,
    Rank,
    Other(Error),
}

/// Elements from little-endian bytes.
fn get<T, const N: usize>(raw: &[u8], to: &mut [T], value: impl Fn([u8; N]) -> T) {
    for (slot, bytes) in to.iter_mut().zip(raw.as_chunks::<N>().0) {
        *slot = value(*bytes);
    }
}

fn array(dtype: Dtype, dims: &[usize], raw: &[u8]) -> std::result::Result<Array, Unreadable> {
    if dims.len() > gradus_core::MAX_RANK {
        return Err(Unreadable::Rank);
    }
    let shape = Shape::new(dims);
    macro_rules! build {
        ($to:ty, |$b:ident: $n:literal| $e:expr) => {
            Array::build::<$to>(shape, |to| get::<$to, $n>(raw, to, |$b| $e))
        };
    }
    match dtype {
        Dtype::F32 => build!(f32, |b: 4| f32::from_le_bytes(b)),
        Dtype::F64 => build!(f64, |b: 8| f64::from_le_bytes(b)),
        Dtype::F16 => build!(f16, |b: 2| f16::from_le_bytes(b)),
        Dtype::BF16 => build!(bf16, |b: 2| bf16::from_le_bytes(b)),
        Dtype::I64 => build!(i64, |b: 8| i64::from_le_bytes(b)),
        Dtype::I32 => build!(i32, |b: 4| i32::from_le_bytes(b)),
        Dtype::U32 => build!(i64, |b: 4| i64::from(u32::from_le_bytes(b))),
        Dtype::I16 => build!(i64, |b: 2| i64::from(i16::from_le_bytes(b))),
        Dtype::U16 => build!(i64, |b: 2| i64::from(u16::from_le_bytes(b))),
        Dtype::I8 => build!(i64, |b: 1| i64::from(i8::from_le_bytes(b))),
        Dtype::U8 => build!(u8, |b: 1| u8::from_le_bytes(b)),
        Dtype::BOOL => build!(Truth, |b: 1| Truth::from(b != [0])),
        _ => return Err(Unreadable::Type),
    }
    .map_err(Unreadable::Other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_quotes_what_json_needs() {
        let mut out = String::new();
        quote(&mut out, "a\"b\\c\nd\u{e9}");
        assert_eq!(out, "\"a\\\"b\\\\c\\u000ad\u{e9}\"");
    }
}
