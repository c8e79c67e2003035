//! `config.toml` of a run: what was trained on what, how, and with which program.
//!
//! Enough to build the model again ([`RunConfig::build_model`]), to find and check the data, and
//! to do the same training once more.

use std::fmt;

use gradus_core::{Code, Error, Precision, Result, isa, threads};
use gradus_data::Dataset;
use gradus_nn::{
    Dropout, EmbedColumns, Flatten, Gelu, Layer, Linear, Relu, Sequential, Sigmoid, Tanh,
};
use serde::{Deserialize, Serialize};

use crate::loss::Loss;
use crate::optimizer::OptimizerConfig;
use crate::schedule::SchedulePlan;
use crate::tabular::TableConfig;

/// The version of a run folder's files that this version writes.
pub(crate) const FORMAT: u32 = 1;

/// What a run is; the contents of its `config.toml`.
///
/// Fields that [`Trainer::fit`](crate::Trainer::fit) knows better (seed, batch size, epochs, loss,
/// learning rate, threads, instructions) are filled in when the training starts.
///
/// ```
/// use gradus_train::{ModelConfig, RunConfig};
/// let digits = gradus_data::digits()?;
/// let mut config = RunConfig::for_data(&digits);
/// config.model = Some(ModelConfig::mlp(&digits, &[32]));
/// let model = config.build_model()?;
/// assert_eq!(format!("{model:?}"), "Sequential[Linear, Relu, Linear]");
/// assert_eq!(RunConfig::parse(&config.to_toml()?, "config.toml")?, config);
/// # Ok::<(), gradus_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RunConfig {
    /// The version of the folder's files.
    pub format: u32,
    /// The version of Gradus that wrote them.
    pub gradus: String,
    /// What is predicted.
    pub task: Task,
    /// The seed of the training.
    pub seed: u64,
    /// Threads that were used; they do not change the result.
    pub threads: usize,
    /// The instructions that were used: `avx512`, `avx2` or `generic`.
    pub isa: String,
    /// What is trained on.
    pub data: DataConfig,
    /// The model, if it is one that this file can describe.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<ModelConfig>,
    /// How it is trained.
    pub training: TrainingConfig,
}

/// What is predicted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// One of several classes.
    #[default]
    Classification,
    /// Yes or no, by one logit.
    Binary,
    /// Numbers.
    Regression,
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Task::Classification => "classification",
            Task::Binary => "binary",
            Task::Regression => "regression",
        })
    }
}

impl Task {
    /// The task that a loss is for; regression for one that is not known by name.
    pub fn of(loss: &Loss) -> Task {
        match loss {
            Loss::CrossEntropy => Task::Classification,
            Loss::BceWithLogits => Task::Binary,
            _ => Task::Regression,
        }
    }
}

/// The data of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct DataConfig {
    /// Its name, for people.
    pub name: String,
    /// Where it comes from: `digits`, or a path.
    pub source: String,
    /// The hash of all that was split; see [`Dataset::fingerprint`].
    pub fingerprint: String,
    /// Samples, before the split.
    pub samples: usize,
    /// The sizes of one sample.
    pub sample_shape: Vec<usize>,
    /// Number of classes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub classes: Option<usize>,
    /// Their names.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub class_names: Vec<String>,
    /// The fraction of the samples that is for validation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub valid: Option<f64>,
    /// The fraction of the samples that is for the test; none if the data has a test set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test: Option<f64>,
    /// The seed of the split.
    pub split_seed: u64,
    /// Of a table: how it was read, and what was asked of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub table: Option<TableConfig>,
}

impl DataConfig {
    /// A description of a dataset, with its fingerprint. `source` becomes its name.
    pub fn of(data: &Dataset) -> DataConfig {
        DataConfig {
            name: data.name().to_string(),
            source: data.name().to_string(),
            fingerprint: data.fingerprint(),
            samples: data.len(),
            sample_shape: data.sample_shape().dims().to_vec(),
            classes: data.classes(),
            class_names: data.class_names().map(<[String]>::to_vec).unwrap_or_default(),
            ..DataConfig::default()
        }
    }
}

/// A multi-layer perceptron, for a table with embeddings of its last columns.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct ModelConfig {
    /// The sizes of one sample; more than one axis is flattened.
    pub input: Vec<usize>,
    /// For the last columns of the input, which are ids of categories: how many there are, and the
    /// size of their vectors; see [`EmbedColumns`].
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub embeddings: Vec<(usize, usize)>,
    /// Sizes of the hidden layers.
    pub layers: Vec<usize>,
    /// Size of the output.
    pub outputs: usize,
    /// After each hidden layer.
    pub activation: Activation,
    /// The probability of a zero after each activation; 0 is without dropout.
    pub dropout: f64,
}

/// An activation by name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// `max(x, 0)`.
    #[default]
    Relu,
    /// Hyperbolic tangent.
    Tanh,
    /// Logistic function.
    Sigmoid,
    /// Gaussian error linear unit.
    Gelu,
}

impl Activation {
    /// All, in the order of messages.
    pub const ALL: [Activation; 4] =
        [Activation::Relu, Activation::Tanh, Activation::Sigmoid, Activation::Gelu];

    /// The name in files and arguments.
    pub fn name(self) -> &'static str {
        match self {
            Activation::Relu => "relu",
            Activation::Tanh => "tanh",
            Activation::Sigmoid => "sigmoid",
            Activation::Gelu => "gelu",
        }
    }

    /// The activation of that name.
    pub fn parse(name: &str) -> Option<Activation> {
        Activation::ALL.into_iter().find(|a| a.name() == name)
    }

    fn layer(self) -> Box<dyn Layer> {
        match self {
            Activation::Relu => Box::new(Relu),
            Activation::Tanh => Box::new(Tanh),
            Activation::Sigmoid => Box::new(Sigmoid),
            Activation::Gelu => Box::new(Gelu),
        }
    }
}

impl ModelConfig {
    /// A perceptron for a dataset, with hidden layers of these sizes, ReLU and no dropout.
    pub fn mlp(data: &Dataset, layers: &[usize]) -> ModelConfig {
        ModelConfig {
            input: data.sample_shape().dims().to_vec(),
            embeddings: Vec::new(),
            layers: layers.to_vec(),
            outputs: data.classes().unwrap_or_else(|| data.target_shape().numel()),
            activation: Activation::Relu,
            dropout: 0.0,
        }
    }

    /// The last columns of the input are ids: the number of ids of each. The sizes of their vectors
    /// follow from it, `1.6 n^0.56` up to 50 (a rule of thumb of fastai's).
    ///
    /// ```
    /// use gradus_train::ModelConfig;
    /// let (x, y) = (gradus_core::Array::new([2, 3], &[0.5f32, 1.0, 0.0, 0.1, 4.0, 2.0])?,
    ///     gradus_core::Array::new([2], &[0i64, 1])?);
    /// let data = gradus_data::Dataset::from_arrays(x, y)?;
    /// let model = ModelConfig::mlp(&data, &[16]).embed(&[100, 3]);
    /// assert_eq!(model.embeddings, [(100, 21), (3, 3)]);
    /// assert_eq!(format!("{:?}", model.build()?), "Sequential[EmbedColumns, Linear, Relu, Linear]");
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    #[must_use]
    pub fn embed(mut self, ids: &[usize]) -> ModelConfig {
        let size = |n: usize| (1.6 * (n as f64).powf(0.56)).round().clamp(1.0, 50.0) as usize;
        self.embeddings = ids.iter().map(|&n| (n, size(n))).collect();
        self
    }

    /// How many numbers there are to train.
    pub fn num_parameters(&self) -> u128 {
        let tables = self.embeddings.iter().map(|&(n, size)| n as u128 * size as u128).sum();
        let sizes = self.layers.iter().chain([&self.outputs]).map(|&n| n as u128);
        let add = |(inputs, total): (u128, u128), n| (n, total + (inputs + 1) * n);
        sizes.fold((self.width() as u128, tables), add).1
    }

    /// What goes into the first linear layer; 0 if that is impossible.
    fn width(&self) -> usize {
        let inputs = self.input.iter().try_fold(1usize, |n, &d| n.checked_mul(d)).unwrap_or(0);
        let vectors: usize = self.embeddings.iter().map(|e| e.1).sum();
        inputs.checked_sub(self.embeddings.len()).map_or(0, |dense| dense + vectors)
    }

    /// The model, with initial weights from the global seed.
    ///
    /// # Errors
    /// [`Code::Config`] for a size of 0 or a dropout that is not a probability below 1.
    pub fn build(&self) -> Result<Sequential> {
        let config = |text: String| Error::new(Code::Config, text);
        if self.width() == 0 {
            return Err(config(format!("a model cannot have the input {:?}", self.input)));
        }
        if let Some(i) = self.layers.iter().position(|&n| n == 0) {
            return Err(config(format!("hidden layer {} has size 0", i + 1))
                .help("layers are sizes from 1, such as 128,64"));
        }
        if self.outputs == 0 {
            return Err(config("a model cannot have 0 outputs".to_string()));
        }
        if !(0.0..1.0).contains(&self.dropout) {
            return Err(config(format!("dropout {} is not in 0..1", self.dropout))
                .help("it is the probability of a zero: 0.2 is usual"));
        }
        let mut layers: Vec<Box<dyn Layer>> = Vec::new();
        if self.input.len() != 1 {
            layers.push(Box::new(Flatten));
        }
        if !self.embeddings.is_empty() {
            let dense = self.input.iter().product::<usize>() - self.embeddings.len();
            layers.push(Box::new(EmbedColumns::new(dense, &self.embeddings)));
        }
        let mut width = self.width();
        for &size in &self.layers {
            layers.push(Box::new(Linear::new(width, size)));
            layers.push(self.activation.layer());
            if self.dropout > 0.0 {
                layers.push(Box::new(Dropout::new(self.dropout)));
            }
            width = size;
        }
        layers.push(Box::new(Linear::new(width, self.outputs)));
        Ok(Sequential::from(layers))
    }
}

fn full(precision: &Precision) -> bool {
    *precision == Precision::F32
}

/// A precision in files, by its name.
pub(crate) mod precision_name {
    use gradus_core::Precision;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(crate) fn serialize<S: Serializer>(p: &Precision, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(p.name())
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Precision, D::Error> {
        let name = String::deserialize(from)?;
        Precision::parse(&name)
            .ok_or_else(|| D::Error::custom(format!("precision is `{name}`; it takes f32 or bf16")))
    }
}

/// How a run is trained.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct TrainingConfig {
    /// The name of the loss; see [`Loss::parse`].
    pub loss: String,
    /// Samples a step.
    pub batch_size: usize,
    /// Epochs at most.
    pub epochs: usize,
    /// Epochs without progress after which it stops; none goes on to the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patience: Option<usize>,
    /// How the learning rate changes; none for a run that does not say, or does it by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schedule: Option<SchedulePlan>,
    /// The largest norm that the gradients of a step may have together; none does not clip.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clip_norm: Option<f64>,
    /// The largest size of an element of a gradient; none does not clip.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clip_value: Option<f64>,
    /// The largest norm of the gradient of a unit over the norm of its weights; none does not clip.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clip_adaptive: Option<f64>,
    /// How products of matrices, convolutions, recurrence and attention round their operands in training:
    /// `f32` (not at all) or `bf16`.
    #[serde(with = "precision_name", skip_serializing_if = "full")]
    pub precision: Precision,
    /// The optimizer.
    pub optimizer: OptimizerConfig,
}

impl Default for RunConfig {
    fn default() -> RunConfig {
        RunConfig {
            format: FORMAT,
            gradus: env!("CARGO_PKG_VERSION").to_string(),
            task: Task::default(),
            seed: 0,
            threads: threads(),
            isa: isa::active().name().to_string(),
            data: DataConfig::default(),
            model: None,
            training: TrainingConfig::default(),
        }
    }
}

impl RunConfig {
    /// A configuration that says nothing yet; a training fills in what it knows.
    pub fn new() -> RunConfig {
        RunConfig::default()
    }

    /// A configuration for a dataset: its description, and the task that its targets suggest.
    pub fn for_data(data: &Dataset) -> RunConfig {
        let (task, loss) = match data.classes() {
            Some(_) => (Task::Classification, Loss::CrossEntropy),
            None => (Task::Regression, Loss::Mse),
        };
        let training = TrainingConfig { loss: loss.name().to_string(), ..Default::default() };
        RunConfig { task, training, data: DataConfig::of(data), ..RunConfig::default() }
    }

    /// The model, with initial weights from the global seed.
    ///
    /// # Errors
    /// [`Code::Config`] when there is no model in the configuration, or an impossible one.
    pub fn build_model(&self) -> Result<Sequential> {
        match &self.model {
            Some(model) => model.build(),
            None => Err(Error::new(Code::Config, "this run does not describe its model")
                .help("it was trained by a program of its own, which has to build the model")),
        }
    }

    /// The loss.
    ///
    /// # Errors
    /// [`Code::Config`] for a name that is not known.
    pub fn build_loss(&self) -> Result<Loss> {
        let name = &self.training.loss;
        Loss::parse(name).ok_or_else(|| {
            Error::new(Code::Config, format!("`{name}` is no loss that this version knows by name"))
                .help(format!(
                    "there are {}",
                    Loss::NAMED.map(|loss| loss.name().to_string()).join(", ")
                ))
        })
    }

    /// The text of a `config.toml`.
    ///
    /// # Errors
    /// [`Code::Config`] when a number does not fit into TOML: a seed above 2^63.
    pub fn to_toml(&self) -> Result<String> {
        let error = |e: toml::ser::Error| {
            Error::new(Code::Config, format!("this configuration cannot be written: {e}"))
                .help("numbers in TOML are below 2^63, the seed too")
        };
        if i64::try_from(self.seed).is_err() || i64::try_from(self.data.split_seed).is_err() {
            return Err(Error::new(Code::Config, format!("the seed {} is too large", self.seed))
                .help("use a seed below 2^63; smaller ones are as good"));
        }
        toml::to_string(self).map_err(error)
    }

    /// Reads the text of a `config.toml`; `what` names it in messages.
    ///
    /// # Errors
    /// [`Code::Format`] when it is none, or of a version that this program does not read.
    pub fn parse(text: &str, what: &str) -> Result<RunConfig> {
        // The version first: a later one may look different in every other way.
        let table: toml::Table = toml::from_str(text).map_err(|e| damaged(what, &e))?;
        match table.get("format").and_then(toml::Value::as_integer) {
            Some(format) if format == i64::from(FORMAT) => {}
            Some(format) => {
                let text = format!("{what} has format {format}; this program reads {FORMAT}");
                return Err(Error::new(Code::Format, text)
                    .help("use the version of Gradus that wrote the run, or a newer one"));
            }
            None => {
                let text = format!("{what} is not of a Gradus run: it has no `format`");
                return Err(Error::new(Code::Format, text));
            }
        }
        toml::from_str(text).map_err(|e| damaged(what, &e))
    }
}

fn damaged(what: &str, error: &toml::de::Error) -> Error {
    // The first line says where, the last what.
    let text = error.to_string();
    let place = text.lines().next().unwrap_or_default().to_lowercase();
    Error::new(Code::Format, format!("{what}: {}", error.message())).line("place", place)
}
