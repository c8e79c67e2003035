//! What a dataset holds: features and targets, and how rows of them become arrays.
//!
//! Pixels stay bytes until a batch is made, so MNIST takes 47 MB and not 188. The copy loops are
//! written so that the compiler vectorises them; they are what a training loop waits for.

use std::sync::{Arc, OnceLock};

use gradus_core::{Array, Code, DType, Error, Result, Shape};
use sha2::{Digest, Sha256};

use crate::disk::DiskRows;
use crate::rows::{Rows, Run};

/// More classes than this is a column of numbers that was taken for class ids.
const MAX_CLASSES: i64 = 1 << 24;

/// The inputs, one row a sample.
pub(crate) struct Features {
    pub(crate) data: FeatureData,
    /// Numbers a sample.
    pub(crate) width: usize,
    rows: usize,
    hash: OnceLock<[u8; 32]>,
}

pub(crate) enum FeatureData {
    /// Bytes that become `byte * scale`.
    U8(Vec<u8>),
    F32(Array),
    /// f32 in a file, for data larger than memory.
    Disk(DiskRows),
}

/// What is to be predicted, one row a sample.
pub(crate) enum Targets {
    /// i64 of shape `[rows]`, all in `0..classes`.
    Classes { ids: Array, classes: usize },
    /// f32 of shape `[rows, ...]`.
    Values { values: Array, width: usize },
}

fn argument(title: impl Into<String>) -> Error {
    Error::new(Code::Argument, title)
}

/// The shape of one row of `[rows, ...]`.
pub(crate) fn row_shape(shape: &Shape) -> Shape {
    Shape::new(shape.dims().get(1..).unwrap_or(&[]))
}

/// A row's shape with the number of rows in front, without touching the heap.
pub(crate) fn with_rows(rows: usize, sample: &Shape) -> Shape {
    let mut dims = [rows; 8];
    let rank = sample.rank();
    if let Some(slots) = dims.get_mut(1..=rank) {
        slots.copy_from_slice(sample.dims());
    }
    Shape::new(dims.get(..=rank).unwrap_or(&[]))
}

/// A sample's shape must leave room for the batch axis and hold at least one number.
pub(crate) fn check_sample(what: &str, sample: &Shape) -> Result<()> {
    sample.check(what)?;
    if sample.rank() > 7 {
        return Err(Error::new(
            Code::Shape,
            format!("{what}: a sample has at most 7 axes (the batch is the eighth), not {sample}"),
        ));
    }
    if sample.numel() == 0 {
        return Err(Error::new(
            Code::Shape,
            format!("{what}: a sample of shape {sample} holds no numbers"),
        ));
    }
    Ok(())
}

impl Features {
    pub(crate) fn bytes(sample: &Shape, pixels: Vec<u8>) -> Result<Features> {
        let width = sample.numel().max(1);
        let rows = pixels.len() / width;
        if rows * width != pixels.len() || rows == 0 {
            let title = format!(
                "{} bytes are not a whole number of samples of shape {sample} ({width} bytes each)",
                pixels.len()
            );
            return Err(if rows == 0 { no_samples() } else { Error::new(Code::Shape, title) });
        }
        Ok(Features { data: FeatureData::U8(pixels), width, rows, hash: OnceLock::new() })
    }

    pub(crate) fn floats(x: Array) -> Result<Features> {
        if x.dtype() != DType::F32 {
            return Err(Error::new(
                Code::DType,
                format!("features must be f32, these are {}", x.dtype()),
            )
            .help("convert them to f32; bytes go through `Dataset::from_pixels`"));
        }
        if x.shape().rank() == 0 {
            return Err(Error::new(Code::Shape, "features need an axis of samples in front")
                .help("one sample of n features is [1, n]"));
        }
        let (rows, width) = (x.shape().dim(0), row_shape(&x.shape()).numel());
        if rows == 0 {
            return Err(no_samples());
        }
        check_sample("features", &row_shape(&x.shape()))?;
        Ok(Features { data: FeatureData::F32(x), width, rows, hash: OnceLock::new() })
    }

    /// Rows that lie in a file.
    pub(crate) fn disk(disk: DiskRows) -> Result<Features> {
        let (rows, width) = (disk.rows, disk.width);
        if rows == 0 || width == 0 {
            return Err(no_samples());
        }
        Ok(Features { data: FeatureData::Disk(disk), width, rows, hash: OnceLock::new() })
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// The rows as an f32 array of shape `[rows.len(), ...sample]`.
    pub(crate) fn gather(&self, rows: &Rows, sample: &Shape, scale: f32) -> Result<Array> {
        let shape = with_rows(rows.len(), sample);
        let mut complete = false;
        let array = match &self.data {
            FeatureData::U8(pixels) => Array::build(shape, |out: &mut [f32]| {
                complete = match rows.runs() {
                    Run::List(list) if (1..=STAGE / 2).contains(&self.width) => {
                        staged(pixels, self.width, list, out, scale)
                    }
                    _ => copy_rows(pixels, self.width, rows, out, |out, row| {
                        scale_bytes(out, row, scale);
                    }),
                };
            })?,
            FeatureData::F32(all) => {
                if rows.len() == self.rows && matches!(rows.runs(), Run::Range(0, _)) {
                    return all.reshape(shape); // everything: shared, not copied
                }
                let all = all.as_slice::<f32>()?;
                Array::build(shape, |out: &mut [f32]| {
                    complete = copy_rows(all, self.width, rows, out, <[f32]>::copy_from_slice);
                })?
            }
            FeatureData::Disk(disk) => {
                let mut read = Ok(());
                let array = Array::build(shape, |out: &mut [f32]| read = disk.gather(rows, out))?;
                read?;
                complete = true;
                array
            }
        };
        finished(array, complete)
    }

    /// SHA-256 of the contents, computed once.
    fn hash(&self) -> [u8; 32] {
        *self.hash.get_or_init(|| {
            let mut sha = Sha256::new();
            match &self.data {
                FeatureData::U8(pixels) => {
                    sha.update(b"u8");
                    sha.update(pixels);
                }
                FeatureData::F32(all) => hash_array(&mut sha, all),
                FeatureData::Disk(disk) => {
                    // The same bytes as of an array with these rows.
                    let shape = Shape::new(&[disk.rows, disk.width]);
                    sha.update(format!("{}{shape}", DType::F32));
                    if let Err(cause) = disk.each_piece(|bytes| sha.update(bytes)) {
                        sha.update(format!("unreadable: {cause}"));
                    }
                }
            }
            sha.finalize().into()
        })
    }
}

impl Targets {
    /// i64 `[rows]` are class ids, f32 `[rows, ...]` are values.
    pub(crate) fn new(y: Array) -> Result<Targets> {
        let shape = y.shape();
        if shape.rank() == 0 {
            return Err(Error::new(Code::Shape, "targets need an axis of samples in front"));
        }
        match y.dtype() {
            DType::F32 => {
                let row = row_shape(&shape);
                check_sample("targets", &row)?;
                Ok(Targets::Values { values: y, width: row.numel() })
            }
            DType::I64 if shape.rank() == 1 => {
                let classes = count_classes(y.as_slice::<i64>()?)?;
                Ok(Targets::Classes { ids: y, classes })
            }
            DType::I64 => Err(Error::new(
                Code::Shape,
                format!("class ids must have the shape [samples], these have {shape}"),
            )
            .help("one id a sample; values to predict must be f32")),
            other => Err(Error::new(
                Code::DType,
                format!("targets must be i64 class ids or f32 values, these are {other}"),
            )),
        }
    }

    pub(crate) fn rows(&self) -> usize {
        match self {
            Targets::Classes { ids, .. } => ids.numel(),
            Targets::Values { values, .. } => values.shape().dim(0),
        }
    }

    pub(crate) fn classes(&self) -> Option<usize> {
        match self {
            Targets::Classes { classes, .. } => Some(*classes),
            Targets::Values { .. } => None,
        }
    }

    /// The shape of one sample's target: `[]` for a class id.
    pub(crate) fn shape(&self) -> Shape {
        match self {
            Targets::Classes { .. } => Shape::SCALAR,
            Targets::Values { values, .. } => row_shape(&values.shape()),
        }
    }

    /// The class ids, if these are some.
    pub(crate) fn ids(&self) -> Option<&[i64]> {
        match self {
            Targets::Classes { ids, .. } => ids.as_slice::<i64>().ok(),
            Targets::Values { .. } => None,
        }
    }

    /// The rows as an array: i64 `[rows.len()]` or f32 `[rows.len(), ...]`.
    pub(crate) fn gather(&self, rows: &Rows) -> Result<Array> {
        let shape = with_rows(rows.len(), &self.shape());
        let mut complete = false;
        let array = match self {
            Targets::Classes { ids, .. } => {
                let ids = ids.as_slice::<i64>()?;
                Array::build(shape, |out: &mut [i64]| {
                    complete = copy_rows(ids, 1, rows, out, <[i64]>::copy_from_slice);
                })?
            }
            Targets::Values { values, width } => {
                let values = values.as_slice::<f32>()?;
                Array::build(shape, |out: &mut [f32]| {
                    complete = copy_rows(values, *width, rows, out, <[f32]>::copy_from_slice);
                })?
            }
        };
        finished(array, complete)
    }
}

/// The number of classes that these ids need.
fn count_classes(ids: &[i64]) -> Result<usize> {
    let mut most = -1;
    for (row, &id) in ids.iter().enumerate() {
        if !(0..MAX_CLASSES).contains(&id) {
            return Err(Error::new(
                Code::Index,
                format!("class id {id} of sample {row} is out of range"),
            )
            .line("allowed", format!("0 to {}", MAX_CLASSES - 1))
            .help("class ids count from 0; values to predict (regression) must be f32"));
        }
        most = most.max(id);
    }
    Ok(usize::try_from(most + 1).unwrap_or(0))
}

/// Checks ids against a number of classes that is given.
pub(crate) fn check_classes(ids: &[i64], classes: usize) -> Result<()> {
    let limit = i64::try_from(classes).unwrap_or(i64::MAX);
    if limit == 0 {
        return Err(argument("a classification needs at least one class"));
    }
    if limit > MAX_CLASSES {
        return Err(argument(format!("{classes} classes are too many (at most {MAX_CLASSES})")));
    }
    match ids.iter().position(|id| !(0..limit).contains(id)) {
        None => Ok(()),
        Some(row) => {
            let id = ids.get(row).copied().unwrap_or(0);
            Err(Error::new(Code::Index, format!("class id {id} of sample {row} is out of range"))
                .line("allowed", format!("0 to {} ({classes} classes)", limit - 1))
                .help("check that the labels belong to these samples"))
        }
    }
}

/// Copies rows of `width` elements with `copy(out, row)`; `false` if a row is not there.
#[inline]
fn copy_rows<S, T>(
    all: &[S],
    width: usize,
    rows: &Rows,
    out: &mut [T],
    copy: impl Fn(&mut [T], &[S]),
) -> bool {
    let span = |row: usize, count: usize| {
        let start = row.checked_mul(width)?;
        all.get(start..start.checked_add(count.checked_mul(width)?)?)
    };
    match rows.runs() {
        Run::Range(first, count) => match span(first, count) {
            Some(from) if from.len() == out.len() => copy(out, from),
            _ => return false,
        },
        Run::List(list) => {
            if out.len() != list.len().saturating_mul(width) {
                return false;
            }
            for (out, &row) in out.chunks_exact_mut(width.max(1)).zip(list) {
                match span(row, 1) {
                    Some(from) => copy(out, from),
                    None => return false,
                }
            }
        }
    }
    true
}

/// `out = row * scale`, in pieces of one SSE register of bytes: left to itself the compiler loads
/// four bytes at a time.
#[inline]
fn scale_bytes(out: &mut [f32], row: &[u8], scale: f32) {
    let (out, out_rest) = out.as_chunks_mut::<16>();
    let (row, row_rest) = row.as_chunks::<16>();
    for (out, row) in out.iter_mut().zip(row) {
        *out = row.map(|byte| f32::from(byte) * scale);
    }
    for (o, &byte) in out_rest.iter_mut().zip(row_rest) {
        *o = f32::from(byte) * scale;
    }
}

/// Bytes that are collected before they are turned into numbers; they stay in the first cache.
const STAGE: usize = 8 << 10;

/// As [`copy_rows`] with [`scale_bytes`] for scattered rows of bytes. Copying some rows first and
/// turning them into numbers afterwards lets the processor wait for several rows at once; row by
/// row a shuffled batch of MNIST takes half as long again.
fn staged(all: &[u8], width: usize, list: &[usize], out: &mut [f32], scale: f32) -> bool {
    if out.len() != list.len().saturating_mul(width) {
        return false;
    }
    let mut stage = [0u8; STAGE];
    let rows = STAGE / width;
    for (out, list) in out.chunks_mut(rows * width).zip(list.chunks(rows)) {
        for (slot, &row) in stage.chunks_exact_mut(width).zip(list) {
            let start = row.checked_mul(width);
            let from = start.and_then(|s| all.get(s..s.checked_add(width)?));
            match from {
                Some(from) => slot.copy_from_slice(from),
                None => return false,
            }
        }
        scale_bytes(out, stage.get(..out.len()).unwrap_or(&[]), scale);
    }
    true
}

/// Rows are checked when a view is made, so an incomplete copy is a mistake of ours.
fn finished(array: Array, complete: bool) -> Result<Array> {
    if complete { Ok(array) } else { Err(Error::internal("a dataset's view has rows it lacks")) }
}

pub(crate) fn no_samples() -> Error {
    Error::new(Code::Data, "there are no samples")
}

/// Hashes the elements as little-endian bytes, so that the result is the same on any machine.
fn hash_array(sha: &mut Sha256, array: &Array) {
    fn pieces<const N: usize, T: Copy>(sha: &mut Sha256, all: &[T], bytes: impl Fn(T) -> [u8; N]) {
        let mut buffer = Vec::with_capacity(1024 * N);
        for piece in all.chunks(1024) {
            buffer.clear();
            buffer.extend(piece.iter().flat_map(|&x| bytes(x)));
            sha.update(&buffer);
        }
    }
    sha.update(format!("{}{}", array.dtype(), array.shape()));
    if let Ok(all) = array.as_slice::<f32>() {
        pieces(sha, all, f32::to_le_bytes);
    } else if let Ok(all) = array.as_slice::<i64>() {
        pieces(sha, all, i64::to_le_bytes);
    }
}

/// The hash of a view: contents, scale and shape, and which rows in which order.
pub(crate) fn fingerprint(
    features: &Arc<Features>,
    targets: &Arc<Targets>,
    scale: f32,
    sample: &Shape,
    classes: Option<usize>,
    rows: &Rows,
) -> String {
    let mut sha = Sha256::new();
    sha.update(b"gradus-data 1\n");
    sha.update(features.hash());
    if let FeatureData::U8(_) = features.data {
        sha.update(scale.to_le_bytes());
    }
    match &**targets {
        Targets::Classes { ids: y, .. } | Targets::Values { values: y, .. } => {
            hash_array(&mut sha, y);
        }
    }
    sha.update(format!("{sample} {}", classes.unwrap_or(0)));
    let mut buffer = Vec::with_capacity(8 * 1024);
    for row in rows.iter() {
        buffer.extend((row as u64).to_le_bytes());
        if buffer.len() == buffer.capacity() {
            sha.update(&buffer);
            buffer.clear();
        }
    }
    sha.update(&buffer);
    sha.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
