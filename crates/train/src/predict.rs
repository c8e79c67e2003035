//! Predictions of a trained run: the same bits as in the process that trained it.
//!
//! Every batch has the same size, the last one is filled up: a matrix product may be computed in
//! another way for another number of rows, and then a row's last bits would depend on its
//! neighbours. So a prediction depends on the model and the row, and on nothing else.

use std::path::Path;

use gradus_core::{Array, Code, DType, Error, Result, Shape, Tensor, inference};
use gradus_data::Dataset;
use gradus_data::table::{Encoded, EncodedParts, Encoder, Report, Table};
use gradus_nn::{Layer, Sequential};

use crate::config::Task;
use crate::run::Run;

/// Rows of every batch.
const ROWS: usize = 256;

/// A trained model with what its inputs and outputs mean.
///
/// ```
/// use gradus_data::table::{Parts, ReadOptions, Table, TaskOptions};
/// use gradus_nn::Adam;
/// use gradus_train::{Checkpoint, Epochs, Loss, ModelConfig, Predictor, Run, RunConfig, Trainer};
/// # let folder = std::env::temp_dir().join("gradus_doc_predictor");
/// # std::fs::remove_dir_all(&folder).ok();
/// let rows: String = (0..200).map(|i| format!("{},{}\n", i, ["low", "high"][i / 100])).collect();
/// let table = Table::from_bytes("levels", format!("x,level\n{rows}"), &ReadOptions::new())?;
/// let data = table
///     .task(&TaskOptions::new().target("level").keep(["x"]))?
///     .prepare(Parts { valid: 0.2, test: 0.0 }, 17)?;
///
/// let mut config = RunConfig::for_data(&data.train);
/// config.model = Some(ModelConfig::mlp(&data.train, &[8]));
/// let (run, model) = (Run::create(&folder, &config)?, config.build_model()?);
/// run.save_encoder(&data.encoder)?;
/// Trainer::new(&model, Adam::new(&model, 0.05))
///     .loss(Loss::CrossEntropy)
///     .callback(Checkpoint::best("valid.loss", &folder).restore_best())
///     .run(run)
///     .fit(&data.train, &data.valid, Epochs(20))?;
///
/// // Later, elsewhere: the folder is all that is needed.
/// let predictor = Predictor::open(&folder)?;
/// let new = Table::from_bytes("new", "x\n3\n180\n", &predictor.read_options())?;
/// let predictions = predictor.predict(&new)?;
/// assert_eq!(predictions.class_name(0), Some("low"));
/// assert!(predictions.probabilities(1)[0] > 0.9); // `high` comes first in the alphabet
/// # std::fs::remove_dir_all(folder).ok();
/// # Ok::<(), gradus_core::Error>(())
/// ```
pub struct Predictor {
    model: Box<dyn Layer>,
    encoder: Option<Encoder>,
    sample: Shape,
    task: Task,
    classes: Vec<String>,
}

/// Predictions for some rows, in their order.
#[derive(Clone, Debug, PartialEq)]
pub struct Predictions {
    first_row: usize,
    rows: usize,
    classes: Vec<String>,
    /// `[rows, classes]`; empty for regression.
    probabilities: Vec<f32>,
    /// `[rows, columns]`, in the unit of the targets; empty for classes.
    values: Vec<f64>,
    /// Smaller differences of values mean nothing.
    resolution: f64,
}

impl Predictor {
    /// Opens a run folder, wherever it is now.
    ///
    /// # Errors
    /// As [`Run::open`], [`Run::load_model`] and [`Run::encoder`].
    pub fn open(run: impl AsRef<Path>) -> Result<Predictor> {
        let run = Run::open(run)?;
        let model = run.load_model()?;
        Predictor::of(&run, model)
    }

    /// A model that this process has trained, with the configuration and encoder of its run.
    ///
    /// # Errors
    /// As [`Run::encoder`].
    pub fn of(run: &Run, model: Sequential) -> Result<Predictor> {
        let config = run.config();
        let encoder = match config.data.table.is_some() || run.has_encoder() {
            true => Some(run.encoder()?),
            false => None,
        };
        let classes = match &encoder {
            Some(encoder) => encoder.classes().to_vec(),
            None => {
                let name = |c: usize| config.data.class_names.get(c).cloned();
                let count = config.data.classes.unwrap_or(0);
                (0..count).map(|c| name(c).unwrap_or_else(|| c.to_string())).collect()
            }
        };
        Ok(Predictor {
            model: Box::new(model),
            encoder,
            sample: Shape::new(&config.data.sample_shape),
            task: config.task,
            classes,
        })
    }

    /// What is predicted.
    pub fn task(&self) -> Task {
        self.task
    }

    /// The encoder of a run that was trained on a table.
    pub fn encoder(&self) -> Option<&Encoder> {
        self.encoder.as_ref()
    }

    /// How to read a file with rows to predict.
    pub fn read_options(&self) -> gradus_data::table::ReadOptions {
        self.encoder.as_ref().map(Encoder::read_options).unwrap_or_default()
    }

    /// The names of the classes, in the order of [`Predictions::probabilities`]; empty for
    /// regression.
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// Predicts all rows of a table at once.
    ///
    /// # Errors
    /// [`Code::Data`] when the columns do not fit, or a cell cannot be read (with its row and
    /// column).
    pub fn predict(&self, table: &Table) -> Result<Predictions> {
        self.encoded(&self.table_encoder()?.encode(table)?)
    }

    /// Predicts a table piece by piece, in bounded memory. With each piece comes what was noticed
    /// in its rows.
    ///
    /// # Errors
    /// As [`Predictor::predict`]; those of a cell come from the iterator.
    pub fn predict_chunks<'a>(&'a self, table: &'a Table) -> Result<Chunks<'a>> {
        Ok(Chunks { predictor: self, parts: self.table_encoder()?.encode_chunks(table)? })
    }

    fn table_encoder(&self) -> Result<&Encoder> {
        self.encoder.as_ref().ok_or_else(|| {
            Error::new(Code::State, "this run was not trained on a table")
                .help("it takes samples of the shape it was trained on")
        })
    }

    /// Predicts rows that are encoded.
    ///
    /// # Errors
    /// As [`Predictor::predict_array`].
    pub fn encoded(&self, rows: &Encoded) -> Result<Predictions> {
        let mut predictions = self.predict_array(rows.x())?;
        predictions.first_row = rows.first_row();
        Ok(predictions)
    }

    /// Predicts all samples of a dataset, in its order. Its targets are not looked at.
    ///
    /// # Errors
    /// As [`Predictor::predict_array`].
    pub fn predict_dataset(&self, data: &Dataset) -> Result<Predictions> {
        let mut all = self.predict_array(&Array::zeros(self.shape_of(0), DType::F32)?)?;
        for batch in data.array_batches(ROWS) {
            all.append(self.predict_array(&batch?.x)?);
        }
        Ok(all)
    }

    fn shape_of(&self, rows: usize) -> Shape {
        let mut dims = vec![rows];
        dims.extend_from_slice(self.sample.dims());
        Shape::new(&dims)
    }

    /// Predicts samples as the model takes them, f32 `[rows, ...]`.
    ///
    /// # Errors
    /// [`Code::Shape`] when they are of another shape; an error of the model.
    pub fn predict_array(&self, x: &Array) -> Result<Predictions> {
        let rows = x.shape().dim(0);
        if x.shape() != self.shape_of(rows) {
            let title = format!("the model takes {}, not {}", self.shape_of(rows), x.shape());
            return Err(Error::new(Code::Shape, title));
        }
        let (mean, scale) = match (&self.encoder, self.task) {
            (Some(encoder), Task::Regression) => encoder.target_scale(),
            _ => (0.0, 1.0),
        };
        let mut all = Predictions {
            first_row: 0,
            rows,
            classes: self.classes.clone(),
            probabilities: Vec::new(),
            values: Vec::new(),
            // Of a standardised f32, seen from the unit of the target.
            resolution: if mean == 0.0 && scale == 1.0 { 0.0 } else { scale * 1e-7 },
        };
        let width = self.sample.numel();
        let from = x.as_slice::<f32>()?;
        let mut start = 0;
        while start < rows {
            let count = ROWS.min(rows - start);
            let part = from.get(start * width..(start + count) * width).unwrap_or_default();
            let batch = Array::build(self.shape_of(ROWS), |out: &mut [f32]| {
                let (filled, rest) = out.split_at_mut(part.len());
                filled.copy_from_slice(part);
                rest.fill(0.0);
            })?;
            self.batch(batch, count, &mut all)?;
            start += count;
        }
        Ok(all)
    }

    /// Adds the first `count` predictions of a full batch.
    fn batch(&self, batch: Array, count: usize, all: &mut Predictions) -> Result<()> {
        let output = self.model.predict(&Tensor::from(batch));
        let output = inference(|| match self.task {
            Task::Classification => output.softmax(-1),
            Task::Binary => {
                let p = output.sigmoid();
                Tensor::concat(&[&(1.0 - &p), &p], -1)
            }
            Task::Regression => output,
        });
        let output = output.to_array()?;
        let columns = output.numel() / ROWS;
        let values = output.as_slice::<f32>()?.get(..count * columns).unwrap_or_default();
        match self.task {
            Task::Regression => {
                let decode = |&v: &f32| match &self.encoder {
                    Some(encoder) => encoder.decode_value(f64::from(v)),
                    None => f64::from(v),
                };
                all.values.extend(values.iter().map(decode));
            }
            _ => all.probabilities.extend_from_slice(values),
        }
        Ok(())
    }
}

/// The predictions of a table, piece by piece; see [`Predictor::predict_chunks`].
pub struct Chunks<'a> {
    predictor: &'a Predictor,
    parts: EncodedParts,
}

impl Iterator for Chunks<'_> {
    type Item = Result<(Predictions, Report)>;

    fn next(&mut self) -> Option<Self::Item> {
        let part = self.parts.next()?;
        Some(part.and_then(|rows| Ok((self.predictor.encoded(&rows)?, rows.report().clone()))))
    }
}

impl Predictions {
    /// Number of rows.
    pub fn len(&self) -> usize {
        self.rows
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// The place of the first one among all rows, from 0.
    pub fn first_row(&self) -> usize {
        self.first_row
    }

    /// The names of the classes; empty for regression.
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// The probabilities of the classes for a row; empty for regression.
    pub fn probabilities(&self, row: usize) -> &[f32] {
        let n = self.probabilities.len() / self.rows.max(1);
        self.probabilities.get(row * n..(row + 1) * n).unwrap_or_default()
    }

    /// The most probable class of a row, of equal ones the first; `None` for regression.
    pub fn class(&self, row: usize) -> Option<usize> {
        let p = self.probabilities(row);
        (0..p.len()).rev().max_by(|&a, &b| match (p.get(a), p.get(b)) {
            (Some(a), Some(b)) => a.total_cmp(b),
            _ => std::cmp::Ordering::Equal,
        })
    }

    /// Its name.
    pub fn class_name(&self, row: usize) -> Option<&str> {
        self.classes.get(self.class(row)?).map(String::as_str)
    }

    /// The values of a row, in the unit of the targets; empty for classes.
    pub fn values(&self, row: usize) -> &[f64] {
        let n = self.values.len() / self.rows.max(1);
        self.values.get(row * n..(row + 1) * n).unwrap_or_default()
    }

    /// The first value of a row; `None` for classes.
    pub fn value(&self, row: usize) -> Option<f64> {
        self.values(row).first().copied()
    }

    /// A value as text, with the digits that mean something.
    pub fn text(&self, value: f64) -> String {
        if self.resolution <= 0.0 || !value.is_finite() {
            return (value as f32).to_string();
        }
        let decimals = (-self.resolution.log10()).ceil().clamp(0.0, 17.0) as usize;
        let text = format!("{value:.decimals$}");
        let text = match text.contains('.') {
            true => text.trim_end_matches('0').trim_end_matches('.'),
            false => &text,
        };
        if text == "-0" { "0".to_string() } else { text.to_string() }
    }

    fn append(&mut self, more: Predictions) {
        self.rows += more.rows;
        self.probabilities.extend(more.probabilities);
        self.values.extend(more.values);
    }
}
