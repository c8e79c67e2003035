//! Values that outlive a step: parameters and buffers.
//!
//! Both are a *cell*: the current array, a version, and a name. Recording an operation takes the
//! array that is in the cell at that moment (a snapshot), so it does not matter who changes the
//! cell afterwards. A plan's update writes in place when nobody else holds the array.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::array::Array;
use crate::derivatives::functional;
use crate::error::{Code, Error, Result};
use crate::graph::dtype::DType;
use crate::graph::scope::fresh_id;
use crate::graph::shape::Shape;
use crate::graph::{effect, snapshot};
use crate::tensor::Tensor;

/// Goes up when something changes that decides what layers record: which parameters are frozen.
static STRUCTURE: AtomicU64 = AtomicU64::new(0);

/// See [`STRUCTURE`]; what was recorded under another number may be recorded otherwise now.
pub(crate) fn structure() -> u64 {
    STRUCTURE.load(Ordering::Acquire)
}

pub(crate) struct Cell {
    id: u64,
    shape: Shape,
    dtype: DType,
    /// `None` while an update has it, and in a cell that was made from an error.
    value: Mutex<Option<Array>>,
    version: AtomicU64,
    frozen: AtomicBool,
    error: Option<Error>,
    path: Mutex<Option<Arc<str>>>,
}

impl Cell {
    fn new(value: Result<Array>) -> Cell {
        let (value, error) = match value {
            Ok(array) => (Some(array), None),
            Err(error) => (None, Some(error)),
        };
        Cell {
            id: fresh_id(),
            shape: value.as_ref().map_or(Shape::SCALAR, Array::shape),
            dtype: value.as_ref().map_or(DType::F32, Array::dtype),
            value: Mutex::new(value),
            version: AtomicU64::new(0),
            frozen: AtomicBool::new(false),
            error,
            path: Mutex::new(None),
        }
    }

    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    pub(crate) fn shape(&self) -> Shape {
        self.shape
    }

    pub(crate) fn dtype(&self) -> DType {
        self.dtype
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Option<Array>> {
        self.value.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn bump(&self) {
        self.version.fetch_add(1, Ordering::Release);
    }

    pub(crate) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    pub(crate) fn get(&self) -> Result<Array> {
        match (&*self.lock(), &self.error) {
            (Some(array), _) => Ok(array.clone()),
            (None, Some(error)) => Err(error.clone()),
            (None, None) => Err(Error::internal("a cell lost its value")),
        }
    }

    fn set(&self, value: Array) -> Result<()> {
        if let Some(error) = &self.error {
            return Err(error.clone());
        }
        if value.shape() != self.shape || value.dtype() != self.dtype {
            let name = self.name();
            return Err(Error::new(
                Code::Shape,
                format!(
                    "set {name}: it is {} {}, the new value {} {}",
                    self.dtype,
                    self.shape,
                    value.dtype(),
                    value.shape()
                ),
            ));
        }
        // Exclusive against snapshots of a whole model only while a commit is shared.
        let _commit = crate::exec::commit_lock();
        *self.lock() = Some(value);
        self.bump();
        Ok(())
    }

    pub(crate) fn name(&self) -> String {
        match &*self.path.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(path) => format!("`{path}`"),
            None => "(unnamed)".to_string(),
        }
    }
}

macro_rules! cell_methods {
    ($_what:literal) => {
        /// The current value, shared.
        ///
        /// # Errors
        /// The error of the constructor that made it, if it failed.
        pub fn get(&self) -> Result<Array> {
            self.0.get()
        }

        /// Replaces the value; operations recorded before keep the old one.
        ///
        /// # Errors
        /// [`Code::Shape`] when shape or type differ.
        pub fn set(&self, value: Array) -> Result<()> {
            self.0.set(value)
        }

        /// The sizes.
        pub fn shape(&self) -> Shape {
            self.0.shape
        }

        /// The element type.
        pub fn dtype(&self) -> DType {
            self.0.dtype
        }

        /// Number of elements.
        pub fn numel(&self) -> usize {
            self.0.shape.numel()
        }

        /// How often the value was changed.
        pub fn version(&self) -> u64 {
            self.0.version()
        }

        /// A number that is this one's alone; shared (tied) ones have the same.
        pub fn id(&self) -> u64 {
            self.0.id
        }

        /// The error it was made from, if its constructor failed.
        pub fn error(&self) -> Option<&Error> {
            self.0.error.as_ref()
        }

        /// Another handle on the same cell.
        #[must_use]
        pub fn share(&self) -> Self {
            Self(Arc::clone(&self.0))
        }

        /// Sets the path from the model's root (`l1.weight`), which messages show.
        pub fn set_path(&self, path: &str) {
            *self.0.path.lock().unwrap_or_else(PoisonError::into_inner) = Some(path.into());
        }

        /// The path, if a model with it was walked.
        pub fn path(&self) -> Option<Arc<str>> {
            self.0.path.lock().unwrap_or_else(PoisonError::into_inner).clone()
        }
    };
}

/// A trainable array: gradients reach it and optimizers change it. `Send + Sync`.
///
/// ```
/// use gradus_core::{Array, Param, Tensor};
/// let w = Param::new(Array::new([2], &[3.0f32, 4.0])?);
/// let loss = (w.tensor() * Tensor::from([1.0, 2.0])).sum();
/// assert_eq!(loss.item()?, 11.0);
/// # Ok::<(), gradus_core::Error>(())
/// ```
pub struct Param(pub(crate) Arc<Cell>);

impl Param {
    /// A parameter that starts with `value`.
    pub fn new(value: Array) -> Param {
        Param(Arc::new(Cell::new(Ok(value))))
    }

    /// A parameter of a module whose constructor may have failed: the error appears at the first
    /// use, so that constructors need not return a result.
    pub fn from_result(value: Result<Array>) -> Param {
        Param(Arc::new(Cell::new(value)))
    }

    /// The value now, as a tensor that gradients reach; inside
    /// [`functional_call`](crate::derivatives::functional_call) what was given for it.
    #[track_caller]
    pub fn tensor(&self) -> Tensor {
        if let Some(value) = functional::value_for(self) {
            return value;
        }
        snapshot::param(self, std::panic::Location::caller())
    }

    /// Stops (or, with `false`, resumes) training of this parameter: it records as a constant.
    pub fn freeze(&self, frozen: bool) {
        if self.0.frozen.swap(frozen, Ordering::Relaxed) != frozen {
            STRUCTURE.fetch_add(1, Ordering::Release);
        }
    }

    /// Records that the parameter becomes `value`, once the step it belongs to succeeds: what an
    /// update rule of one's own is made of, inside a [`transaction`](crate::transaction).
    ///
    /// The write is an effect, as [`Buffer::assign`]: it happens exactly once, in order, with the
    /// next `step` or `transaction` of this thread, and not at all if that one fails. Until then
    /// [`Param::tensor`] is the value before.
    ///
    /// ```
    /// use gradus_core::{Array, Param, Tensor, transaction};
    /// let w = Param::new(Array::new([2], &[3.0f32, 4.0])?);
    /// let loss = w.tensor().square().sum();
    /// transaction(|| {
    ///     let gradients = loss.backward()?;
    ///     if let Some(gradient) = gradients.get(&w) {
    ///         w.assign(&(w.tensor() - 0.25 * gradient));
    ///     }
    ///     Ok(())
    /// })?;
    /// assert_eq!(w.get()?.to_vec::<f32>()?, [1.5, 2.0]);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    #[track_caller]
    pub fn assign(&self, value: &Tensor) {
        effect::assign(&self.0, "parameter", value, std::panic::Location::caller());
    }

    /// Whether it is frozen.
    pub fn is_frozen(&self) -> bool {
        self.0.frozen.load(Ordering::Relaxed)
    }

    cell_methods!("parameter");
}

/// An array that a model keeps and writes itself, such as running statistics. `Send + Sync`.
pub struct Buffer(pub(crate) Arc<Cell>);

impl Buffer {
    /// A buffer that starts with `value`.
    pub fn new(value: Array) -> Buffer {
        Buffer(Arc::new(Cell::new(Ok(value))))
    }

    /// A buffer of a module whose constructor may have failed.
    pub fn from_result(value: Result<Array>) -> Buffer {
        Buffer(Arc::new(Cell::new(value)))
    }

    /// The value as a tensor: what was last assigned in this thread, else what is stored.
    #[track_caller]
    pub fn tensor(&self) -> Tensor {
        effect::buffer(self, std::panic::Location::caller())
    }

    /// Records that the buffer becomes `value`, once the step it belongs to succeeds.
    ///
    /// The write is an effect: it happens exactly once, in order, whether or not anything else
    /// needs `value`, with the next `step` (or a read of this buffer), and not at all if that
    /// step fails. Of several for one buffer that wait for a step, the last one counts.
    ///
    /// Until then a read of something else may compute `value`, but does not write it, so a loop that
    /// only reads stays small. Inside [`vmap`](crate::derivatives::vmap) it is an error.
    #[track_caller]
    pub fn assign(&self, value: &Tensor) {
        effect::assign(&self.0, "buffer", value, std::panic::Location::caller());
    }

    /// The value after all recorded assignments.
    ///
    /// # Errors
    /// The error of an assignment.
    pub fn read(&self) -> Result<Array> {
        crate::graph::flush::run_assignments(self)?;
        self.get()
    }

    cell_methods!("buffer");
}

impl fmt::Debug for Param {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Param({} {} {})", self.0.name(), self.0.dtype, self.0.shape)
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Buffer({} {} {})", self.0.name(), self.0.dtype, self.0.shape)
    }
}

/// The values of several parameters at one moment: no step is half applied in them.
///
/// # Errors
/// The error of a parameter whose constructor failed.
pub fn snapshot(params: &[&Param], buffers: &[&Buffer]) -> Result<(Vec<Array>, Vec<Array>)> {
    let _alone = crate::exec::snapshot_lock();
    let params = params.iter().map(|p| p.get()).collect::<Result<_>>()?;
    let buffers = buffers.iter().map(|b| b.get()).collect::<Result<_>>()?;
    Ok((params, buffers))
}
