//! Folders of IDX files, as MNIST and its relatives come: images and labels, to train and to test.
//!
//! Opening a folder reads the headers only, so that a wrong file is told before any work is done;
//! the pixels are read when they are asked for, so training need not wait for the test set.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use gradus_core::{Code, Error, Result};

use crate::dataset::Dataset;
use crate::idx::{Header, Idx, IdxType};
use crate::source::{cannot_read, list, summary};

/// Reads one file of images and one of labels, plain or gzip.
///
/// Images are IDX of shape `[samples, ...]`, for MNIST `[60000, 28, 28]`; bytes stay bytes and
/// become f32 in `0..=1` in a batch, other types become f32 as they are. Labels are integers of
/// shape `[samples]`.
///
/// # Errors
/// What [`Idx::read`] reports; [`Code::Data`] when the counts differ, [`Code::Index`] for a
/// negative label, [`Code::Shape`] when a file has the wrong number of axes.
pub fn load_idx(images: impl AsRef<Path>, labels: impl AsRef<Path>) -> Result<Dataset> {
    let pair = Pair { images: images.as_ref().into(), labels: labels.as_ref().into() };
    let name = pair.images.file_name().map(|n| n.to_string_lossy().into_owned());
    pair.check()?;
    pair.load(&name.unwrap_or_else(|| "images".to_owned()))
}

/// Opens a folder of IDX files; see [`ImageFolder`].
///
/// Found by name are `train-images-idx3-ubyte`, `train-labels-idx1-ubyte`, `t10k-images-idx3-ubyte`,
/// `t10k-labels-idx1-ubyte`, with a dot in place of the second hyphen or with `.gz`, `test` in place
/// of `t10k`, or a single pair of images and labels, which then has no test set. The folders `raw`
/// and `MNIST/raw` inside are tried too, as torchvision lays them out.
///
/// # Errors
/// [`Code::Io`] when it is not a folder or files are missing or ambiguous; what [`load_idx`]
/// reports when a header is wrong.
pub fn mnist_folder(path: impl AsRef<Path>) -> Result<ImageFolder> {
    let path = path.as_ref();
    let meta = std::fs::metadata(path).map_err(|cause| cannot_read(path, &cause))?;
    if !meta.is_dir() {
        let error = Error::new(Code::Io, format!("{} is not a folder", path.display()));
        return Err(match path.parent().filter(|p| !p.as_os_str().is_empty()) {
            Some(parent) => error.help(format!("did you mean its folder, {}?", parent.display())),
            None => error.help("give the folder that holds the IDX files"),
        });
    }
    let mut folder = path.to_owned();
    let mut found = Found::scan(&folder)?;
    for inner in ["raw", "MNIST/raw"].map(|inner| path.join(inner)) {
        if found.files.is_empty() && inner.is_dir() {
            found = Found::scan(&inner)?;
            folder = inner;
        }
    }
    if found.files.is_empty() {
        return Err(found
            .lines(Error::new(Code::Io, format!("no IDX images in {}", path.display())))
            .help("the files of MNIST have these names; see `Dataset` for other data"));
    }
    let train = match found.pair(&folder, Part::Train)? {
        Some(pair) => Some(pair),
        None if found.has(Part::Test) => None,
        None => found.pair(&folder, Part::Only)?,
    };
    let train = train.ok_or_else(|| {
        let title = format!("no training images in {}", folder.display());
        found.lines(Error::new(Code::Io, title))
    })?;
    let test = found.pair(&folder, Part::Test)?;
    let shape = train.check()?;
    if let Some(test) = &test {
        let other = test.check()?;
        if shape.get(1..) != other.get(1..) {
            return Err(Error::new(Code::Data, "training and test images differ in size")
                .cells("train", vec![format!("{shape:?}"), train.images.display().to_string()])
                .cells("test", vec![format!("{other:?}"), test.images.display().to_string()]));
        }
    }
    // `.` has no name of its own.
    let full = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let name = full.file_name().map(|n| n.to_string_lossy().into_owned());
    let name = name.unwrap_or_else(|| "images".to_owned());
    Ok(ImageFolder { name, train, test, train_data: OnceLock::new(), test_data: OnceLock::new() })
}

/// A folder of IDX files that was found in order; the pixels are read when they are asked for, once.
///
/// ```no_run
/// let mnist = gradus_data::mnist_folder("data/mnist")?;
/// let train = mnist.train()?.flatten(); // [784] a sample, for a linear layer
/// let test = mnist.test()?; // read now, not before
/// # Ok::<(), gradus_core::Error>(())
/// ```
#[derive(Debug)]
pub struct ImageFolder {
    name: String,
    train: Pair,
    test: Option<Pair>,
    train_data: OnceLock<Result<Dataset>>,
    test_data: OnceLock<Result<Dataset>>,
}

impl ImageFolder {
    /// The images to train on; `[28, 28]` a sample for MNIST.
    ///
    /// # Errors
    /// What [`load_idx`] reports.
    pub fn train(&self) -> Result<Dataset> {
        self.train_data.get_or_init(|| self.train.load(&format!("{}/train", self.name))).clone()
    }

    /// The images to test with, if the folder has some; they have the training set's classes.
    ///
    /// # Errors
    /// What [`load_idx`] reports; [`Code::Index`] for a label that the training set does not have.
    pub fn test(&self) -> Result<Option<Dataset>> {
        let Some(pair) = &self.test else { return Ok(None) };
        let test = self.raw_test(pair)?;
        let classes = self.train()?.classes().unwrap_or(0);
        test.with_classes(classes).map(Some).map_err(|e| pair.blame_labels(e))
    }

    /// Both sets, read at the same time.
    ///
    /// # Errors
    /// What [`train`](ImageFolder::train) and [`test`](ImageFolder::test) report.
    pub fn load(&self) -> Result<(Dataset, Option<Dataset>)> {
        std::thread::scope(|scope| {
            if let Some(pair) = &self.test {
                // Without a second thread the test set is read below, which is only slower.
                drop(std::thread::Builder::new().spawn_scoped(scope, || self.raw_test(pair)));
            }
            drop(self.train());
        });
        Ok((self.train()?, self.test()?))
    }

    /// Whether there is a test set.
    pub fn has_test(&self) -> bool {
        self.test.is_some()
    }

    fn raw_test(&self, pair: &Pair) -> Result<Dataset> {
        self.test_data.get_or_init(|| pair.load(&format!("{}/test", self.name))).clone()
    }
}

/// A file of images and the file of their labels.
#[derive(Debug)]
struct Pair {
    images: PathBuf,
    labels: PathBuf,
}

impl Pair {
    /// Reads both headers and compares them; the shape of the images.
    fn check(&self) -> Result<Vec<usize>> {
        let images = Header::peek(&self.images)?;
        let labels = Header::peek(&self.labels)?;
        self.compare(&images, &labels)?;
        Ok(images.dims)
    }

    fn compare(&self, images: &Header, labels: &Header) -> Result<()> {
        let (i, l) = (self.images.display(), self.labels.display());
        if images.dims.len() < 2 {
            return Err(Error::new(Code::Shape, format!("{i} does not hold images"))
                .line("shape", format!("{:?}, one number a sample", images.dims))
                .help("are the files of images and labels swapped?"));
        }
        if labels.dims.len() != 1 {
            return Err(Error::new(Code::Shape, format!("{l} does not hold labels"))
                .line("shape", format!("{:?}, not one number a sample", labels.dims))
                .help("are the files of images and labels swapped?"));
        }
        if matches!(labels.ty, IdxType::F32 | IdxType::F64) {
            return Err(Error::new(Code::DType, format!("{l} holds real numbers, not labels"))
                .line("type", labels.ty.name()));
        }
        let count = |header: &Header| header.dims.first().copied().unwrap_or(0);
        let (images, labels) = (count(images), count(labels));
        if images != labels {
            return Err(Error::new(Code::Data, format!("{images} images but {labels} labels"))
                .cells("images", vec![images.to_string(), i.to_string()])
                .cells("labels", vec![labels.to_string(), l.to_string()])
                .help("the two files do not belong together, or one is not complete"));
        }
        if images == 0 {
            return Err(Error::new(Code::Data, format!("{i} holds no images")));
        }
        Ok(())
    }

    fn load(&self, name: &str) -> Result<Dataset> {
        let labels = Idx::read(&self.labels)?;
        let images = Idx::read(&self.images)?;
        // Again, in case a file was changed since its header was read.
        self.compare(images.header(), labels.header())?;
        let y = labels.to_array()?;
        let data = if images.ty() == IdxType::U8 {
            let sample = images.dims().get(1..).unwrap_or(&[]).to_vec();
            Dataset::from_pixels(sample, images.into_data(), y)
        } else {
            Dataset::from_arrays(images.to_f32()?, y)
        };
        match data {
            Ok(data) => Ok(data.with_name(name)),
            Err(e) if e.code() == Code::Index => Err(self.blame_labels(e)),
            Err(e) => Err(e.line("file", self.images.display().to_string())),
        }
    }

    fn blame_labels(&self, error: Error) -> Error {
        error.line("file", self.labels.display().to_string())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Train,
    Test,
    /// A name that says neither.
    Only,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Images,
    Labels,
}

/// What a file is by its name; `None` for a file that is not of this kind.
fn role(name: &str) -> Option<(Part, Kind)> {
    let name = name.to_ascii_lowercase();
    let name = name.strip_suffix(".gz").unwrap_or(&name);
    if !name.contains("idx") && !name.ends_with("ubyte") {
        return None;
    }
    let kind = match (name.contains("images"), name.contains("labels")) {
        (true, false) => Kind::Images,
        (false, true) => Kind::Labels,
        _ => return None,
    };
    let part = if name.contains("train") {
        Part::Train
    } else if name.contains("t10k") || name.contains("test") {
        Part::Test
    } else {
        Part::Only
    };
    Some((part, kind))
}

/// The IDX files of a folder by their names.
struct Found {
    files: Vec<(Part, Kind, String)>,
    all: Vec<String>,
}

impl Found {
    fn scan(folder: &Path) -> Result<Found> {
        let all = list(folder).map_err(|cause| Error::io("cannot list", folder, &cause))?;
        let mut files = Vec::new();
        for name in &all {
            let plain = name.strip_suffix(".gz");
            // The same file plain and compressed: the plain one is read faster.
            if plain.is_some_and(|plain| all.iter().any(|other| other == plain)) {
                continue;
            }
            if let Some((part, kind)) = role(name) {
                files.push((part, kind, name.clone()));
            }
        }
        Ok(Found { files, all })
    }

    fn has(&self, part: Part) -> bool {
        self.files.iter().any(|(p, _, _)| *p == part)
    }

    fn one(&self, part: Part, kind: Kind) -> Result<Option<&str>> {
        let mut names = self.files.iter().filter(|(p, k, _)| (*p, *k) == (part, kind));
        let (first, second) = (names.next(), names.next());
        if let (Some((_, _, first)), Some((_, _, second))) = (first, second) {
            let what = describe(part, kind);
            return Err(Error::new(Code::Io, format!("two files could be the {what}"))
                .line("first", first)
                .line("second", second)
                .help("keep one pair of images and labels a part in the folder"));
        }
        Ok(first.map(|(_, _, name)| name.as_str()))
    }

    /// Both files of a part; `None` if it has neither. Half a pair is an error: somebody who has
    /// test images without labels should hear it before training, not after.
    fn pair(&self, folder: &Path, part: Part) -> Result<Option<Pair>> {
        let missing = |missing: Kind, there: &str| {
            let title =
                format!("the {} are missing in {}", describe(part, missing), folder.display());
            self.lines(Error::new(Code::Io, title)).line("beside", there)
        };
        match (self.one(part, Kind::Images)?, self.one(part, Kind::Labels)?) {
            (None, None) => Ok(None),
            (Some(i), Some(l)) => Ok(Some(Pair { images: folder.join(i), labels: folder.join(l) })),
            (Some(i), None) => Err(missing(Kind::Labels, i)),
            (None, Some(l)) => Err(missing(Kind::Images, l)),
        }
    }

    /// Adds what was looked for and what is there.
    fn lines(&self, error: Error) -> Error {
        error
            .line("looked", "for train-images-idx3-ubyte and train-labels-idx1-ubyte,")
            .line("", "t10k-images-idx3-ubyte and t10k-labels-idx1-ubyte (plain or .gz)")
            .line("there", summary(&self.all))
    }
}

fn describe(part: Part, kind: Kind) -> &'static str {
    match (part, kind) {
        (Part::Train, Kind::Images) => "training images",
        (Part::Train, Kind::Labels) => "training labels",
        (Part::Test, Kind::Images) => "test images",
        (Part::Test, Kind::Labels) => "test labels",
        (Part::Only, Kind::Images) => "images",
        (Part::Only, Kind::Labels) => "labels",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_the_role() {
        for (name, want) in [
            ("train-images-idx3-ubyte", Some((Part::Train, Kind::Images))),
            ("train-images.idx3-ubyte.gz", Some((Part::Train, Kind::Images))),
            ("T10K-LABELS-IDX1-UBYTE", Some((Part::Test, Kind::Labels))),
            ("test-images.idx3-ubyte", Some((Part::Test, Kind::Images))),
            ("my-images.idx", Some((Part::Only, Kind::Images))),
            ("emnist-letters-train-labels-idx1-ubyte.gz", Some((Part::Train, Kind::Labels))),
            ("train-images.png", None),
            ("images.csv", None),
            ("README.md", None),
        ] {
            assert_eq!(role(name), want, "{name}");
        }
    }
}
