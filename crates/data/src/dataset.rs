//! The one type that everything else makes or takes: samples in memory.

use std::fmt;
use std::sync::Arc;

use gradus_core::{Array, Code, Error, Result, Shape};

use crate::disk::DiskRows;
use crate::rows::Rows;
use crate::store::{self, FeatureData, Features, Targets};

/// Samples in memory: features and targets. `Send + Sync`; a clone shares everything.
///
/// A part of a dataset, or a dataset in another order, is again a `Dataset`: a list of row numbers
/// over the same memory. Features are kept as f32, or as bytes that become `byte * scale` while a
/// batch is made. Targets are class ids (i64, one a sample) or values (f32, for regression).
///
/// ```
/// use gradus_core::Array;
/// use gradus_data::Dataset;
///
/// let x = Array::new([4, 2], &[0.0f32, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0])?;
/// let y = Array::new([4], &[0i64, 1, 1, 0])?;
/// let data = Dataset::from_arrays(x, y)?.with_name("xor");
/// assert_eq!(data.len(), 4);
/// assert_eq!(data.sample_shape().dims(), [2]);
/// assert_eq!(data.classes(), Some(2));
/// assert_eq!(data.class_counts(), [2, 2]);
/// # Ok::<(), gradus_core::Error>(())
/// ```
#[derive(Clone)]
pub struct Dataset {
    pub(crate) features: Arc<Features>,
    pub(crate) targets: Arc<Targets>,
    pub(crate) rows: Rows,
    pub(crate) sample: Shape,
    scale: f32,
    classes: Option<usize>,
    class_names: Option<Arc<[String]>>,
    name: Arc<str>,
}

impl Dataset {
    /// A dataset of real features: `x` is f32 `[samples, ...]`, `y` is i64 `[samples]` (class ids
    /// from 0) or f32 `[samples, ...]` (values to predict). Both are shared, not copied.
    ///
    /// # Errors
    /// [`Code::Data`] without samples or with different numbers of rows, [`Code::DType`] and
    /// [`Code::Shape`] for other arrays, [`Code::Index`] for a negative or absurd class id.
    pub fn from_arrays(x: Array, y: Array) -> Result<Dataset> {
        let sample = store::row_shape(&x.shape());
        Dataset::new(Features::floats(x)?, sample, 1.0, y)
    }

    /// A dataset of bytes, for example grey pixels: `pixels` holds one sample of shape `sample`
    /// after the other; in a batch they are f32 in `0..=1` (`byte * (1 / 255)`; see
    /// [`with_scale`](Dataset::with_scale)). `y` is as in [`from_arrays`](Dataset::from_arrays).
    ///
    /// ```
    /// use gradus_core::Array;
    /// use gradus_data::Dataset;
    ///
    /// let labels = Array::new([2], &[0i64, 1])?;
    /// let data = Dataset::from_pixels([2, 2], vec![0, 51, 102, 255, 255, 0, 0, 0], labels)?;
    /// let (x, y) = data.sample(0)?;
    /// assert_eq!(x.dims(), [2, 2]);
    /// assert_eq!(x.as_slice::<f32>()?[3], 1.0);
    /// assert_eq!(y.as_slice::<i64>()?, [0]);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`from_arrays`](Dataset::from_arrays).
    pub fn from_pixels(sample: impl Into<Shape>, pixels: Vec<u8>, y: Array) -> Result<Dataset> {
        let sample = sample.into();
        store::check_sample("Dataset::from_pixels", &sample)?;
        Dataset::new(Features::bytes(&sample, pixels)?, sample, 1.0 / 255.0, y)
    }

    /// Rows of features in a file, with targets.
    pub(crate) fn from_disk(rows: DiskRows, y: Array) -> Result<Dataset> {
        let sample = Shape::new(&[rows.width]);
        Dataset::new(Features::disk(rows)?, sample, 1.0, y)
    }

    /// Whether the features lie in a file and are read when a batch is made.
    pub fn is_on_disk(&self) -> bool {
        matches!(self.features.data, FeatureData::Disk(_))
    }

    fn new(features: Features, sample: Shape, scale: f32, y: Array) -> Result<Dataset> {
        let targets = Targets::new(y)?;
        if features.rows() != targets.rows() {
            return Err(Error::new(
                Code::Data,
                format!("{} samples but {} targets", features.rows(), targets.rows()),
            )
            .help("each sample needs one target, in the same order"));
        }
        Ok(Dataset {
            rows: Rows::first(features.rows()),
            classes: targets.classes(),
            features: Arc::new(features),
            targets: Arc::new(targets),
            sample,
            scale,
            class_names: None,
            name: "data".into(),
        })
    }

    /// The same data under a name that messages and reports show.
    #[must_use]
    pub fn with_name(mut self, name: impl Into<String>) -> Dataset {
        self.name = name.into().into();
        self
    }

    /// The same data with another factor for bytes: a pixel of 0 to 16 wants `1.0 / 16.0`.
    ///
    /// # Errors
    /// [`Code::Argument`] when the features are f32, or the factor is zero or not finite.
    pub fn with_scale(mut self, scale: f32) -> Result<Dataset> {
        let argument = |why| Error::new(Code::Argument, format!("with_scale({scale}): {why}"));
        if !matches!(self.features.data, FeatureData::U8(_)) {
            return Err(argument("only byte features have a scale, these are f32"));
        }
        if !scale.is_finite() || scale == 0.0 {
            return Err(argument("the factor must be finite and not zero"));
        }
        self.scale = scale;
        Ok(self)
    }

    /// The same data with a given number of classes, for a part that does not show all of them.
    ///
    /// # Errors
    /// [`Code::Index`] when a class id is not below `classes`, [`Code::Data`] for regression data.
    pub fn with_classes(mut self, classes: usize) -> Result<Dataset> {
        let ids = self.targets.ids().ok_or_else(|| self.not_classes("with_classes"))?;
        store::check_classes(ids, classes)?;
        self.classes = Some(classes);
        self.class_names = None;
        Ok(self)
    }

    /// The same data with names of the classes, in the order of their ids. There may be more names
    /// than classes seen: the number of classes becomes the number of names.
    ///
    /// # Errors
    /// As [`with_classes`](Dataset::with_classes).
    pub fn with_class_names<S: Into<String>>(
        self,
        names: impl IntoIterator<Item = S>,
    ) -> Result<Dataset> {
        let names: Arc<[String]> = names.into_iter().map(Into::into).collect();
        let mut data = self.with_classes(names.len())?;
        data.class_names = Some(names);
        Ok(data)
    }

    /// Number of samples.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are no samples; only a part can be empty, such as `take(0)`.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The name given by [`with_name`](Dataset::with_name), or by the function that made it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The shape of one sample's features; a batch has the shape `[batch, ...sample_shape]`.
    pub fn sample_shape(&self) -> Shape {
        self.sample
    }

    /// The shape of one sample's target: `[]` for a class id.
    pub fn target_shape(&self) -> Shape {
        self.targets.shape()
    }

    /// Number of classes; `None` when the targets are values (regression).
    ///
    /// It is the largest class id of the whole data plus one, or what
    /// [`with_classes`](Dataset::with_classes) said; a part has as many classes as the whole.
    pub fn classes(&self) -> Option<usize> {
        self.classes
    }

    /// The names of the classes, if they have names.
    pub fn class_names(&self) -> Option<&[String]> {
        self.class_names.as_deref()
    }

    /// Samples of each class; empty for regression.
    pub fn class_counts(&self) -> Vec<usize> {
        let mut counts = vec![0usize; self.classes.unwrap_or(0)];
        for class in self.rows.iter().filter_map(|row| self.class_of(row)) {
            if let Some(count) = counts.get_mut(class) {
                *count += 1;
            }
        }
        counts
    }

    /// The class of a row of the store; `None` for regression.
    pub(crate) fn class_of(&self, row: usize) -> Option<usize> {
        usize::try_from(*self.targets.ids()?.get(row)?).ok()
    }

    /// The features and the target of one sample, of shapes [`sample_shape`](Dataset::sample_shape)
    /// and [`target_shape`](Dataset::target_shape).
    ///
    /// # Errors
    /// [`Code::Index`] when `i` is not below [`len`](Dataset::len).
    pub fn sample(&self, i: usize) -> Result<(Array, Array)> {
        if i >= self.len() {
            return Err(self.no_such_sample(i));
        }
        let (x, y) = self.gather(&self.rows.slice(i, 1))?;
        Ok((x.reshape(self.sample)?, y.reshape(self.target_shape())?))
    }

    /// All samples as one pair of arrays, for data small enough to train on at once.
    ///
    /// ```
    /// let (x, y) = gradus_data::xor()?.arrays()?;
    /// assert_eq!((x.dims(), y.dims()), (&[4, 2][..], &[4, 1][..]));
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Code::Memory`] when they are too large.
    pub fn arrays(&self) -> Result<(Array, Array)> {
        self.gather(&self.rows)
    }

    /// The features and targets of some rows of the store.
    pub(crate) fn gather(&self, rows: &Rows) -> Result<(Array, Array)> {
        let x = self.features.gather(rows, &self.sample, self.scale)?;
        Ok((x, self.targets.gather(rows)?))
    }

    /// The row number of each sample in the data as it was loaded, in this dataset's order.
    pub fn indices(&self) -> impl ExactSizeIterator<Item = usize> + '_ {
        self.rows.iter()
    }

    /// The same data with each sample as one row of features, as a linear layer wants it.
    ///
    /// ```
    /// let images = gradus_data::digits_images()?;
    /// assert_eq!(images.sample_shape().dims(), [8, 8]);
    /// assert_eq!(images.flatten().sample_shape().dims(), [64]);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    #[must_use]
    pub fn flatten(&self) -> Dataset {
        Dataset { sample: Shape::new(&[self.features.width]), ..self.clone() }
    }

    /// The same data with each sample in another shape, for example `[1, 28, 28]` for a
    /// convolution.
    ///
    /// # Errors
    /// [`Code::Shape`] when the shape does not hold as many numbers as a sample has.
    pub fn reshape_samples(&self, sample: impl Into<Shape>) -> Result<Dataset> {
        let sample = sample.into();
        store::check_sample("reshape_samples", &sample)?;
        if sample.numel() != self.features.width {
            return Err(Error::new(
                Code::Shape,
                format!("reshape_samples: samples of {} cannot become {sample}", self.sample),
            )
            .line("sample", format!("{} numbers", self.features.width))
            .line("shape", format!("{} numbers", sample.numel())));
        }
        Ok(Dataset { sample, ..self.clone() })
    }

    /// The same two-class data with its targets as f32 `[samples, 1]` of 0 and 1, as a binary
    /// cross-entropy wants them. Split first: a split keeps the classes in proportion, and values
    /// have none.
    ///
    /// ```
    /// let data = gradus_data::moons(100, 0.1, 0)?.binary_targets()?;
    /// assert_eq!(data.arrays()?.1.dims(), [100, 1]);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Code::Data`] when there are not exactly two classes.
    pub fn binary_targets(&self) -> Result<Dataset> {
        let ids = self.targets.ids().ok_or_else(|| self.not_classes("binary_targets"))?;
        if self.classes != Some(2) {
            let classes = self.classes.unwrap_or(0);
            return Err(Error::new(
                Code::Data,
                format!("binary_targets: `{}` has {classes} classes, not 2", self.name),
            ));
        }
        let values: Vec<f32> = ids.iter().map(|&id| id as f32).collect();
        let targets = Targets::new(Array::new([values.len(), 1], &values)?)?;
        let targets = Arc::new(targets);
        Ok(Dataset { targets, classes: None, class_names: None, ..self.clone() })
    }

    /// A SHA-256, in hexadecimal, of what is trained on: contents, scale, shape, and which rows in
    /// which order. Names do not count. The same on every machine; the contents are hashed once,
    /// however many parts and views are asked.
    pub fn fingerprint(&self) -> String {
        store::fingerprint(
            &self.features,
            &self.targets,
            self.scale,
            &self.sample,
            self.classes,
            &self.rows,
        )
    }

    pub(crate) fn view(&self, rows: Rows) -> Dataset {
        Dataset { rows, ..self.clone() }
    }

    pub(crate) fn no_such_sample(&self, i: usize) -> Error {
        Error::new(Code::Index, format!("`{}` has no sample {i}", self.name))
            .line("samples", format!("{} (0 to {})", self.len(), self.len().saturating_sub(1)))
    }

    fn not_classes(&self, call: &str) -> Error {
        Error::new(
            Code::Data,
            format!("{call}: the targets of `{}` are values, not classes", self.name),
        )
        .help("class targets are i64 of shape [samples]")
    }
}

/// One line, as in `digits: 1797 samples of u8 [64], 10 classes`.
impl fmt::Display for Dataset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.features.data {
            FeatureData::U8(_) => "u8",
            FeatureData::F32(_) | FeatureData::Disk(_) => "f32",
        };
        write!(f, "{}: {} samples of {kind} {}, ", self.name, self.len(), self.sample)?;
        match self.classes {
            Some(classes) => write!(f, "{classes} classes"),
            None => write!(f, "targets {}", self.target_shape()),
        }
    }
}

impl fmt::Debug for Dataset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Dataset({self})")
    }
}
