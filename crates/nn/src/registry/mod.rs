//! The table of layers: one row each, with everything a test or a catalogue has to know.
//!
//! A row says what the layer is called here and in PyTorch, what it computes, which parameters it
//! has, and gives *samples* (layers with inputs that fit) and *errors* (uses that must fail). From
//! the rows come the tests of `tests/registry.rs`, which check every sample's gradients in f64, its
//! bits in every mode, the reference executor, saving and loading; and the catalogue that
//! `gradus layers` prints. To add a layer: add the struct and its row.

mod activation;
mod affine;
mod attention;
mod convolution;
mod graph;
mod models;
mod norm;
mod pool;
mod recurrent;
mod regular;
mod samples;
mod spatial;
mod transformer_models;

use std::sync::{Arc, LazyLock};

use gradus_core::{Array, Code, Result, Tensor};

use crate::layer::Layer;
use crate::module::Module;

/// What a layer is for: the headings of the catalogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Group {
    /// Affine and bilinear maps.
    Linear,
    /// Convolutions and transposed convolutions.
    Convolution,
    /// Pooling.
    Pooling,
    /// Padding, resizing, rearranging of images.
    Spatial,
    /// Normalisation.
    Norm,
    /// Random regularisation.
    Dropout,
    /// Tables of vectors.
    Embedding,
    /// Recurrent layers.
    Recurrent,
    /// Attention, transformers, positions.
    Attention,
    /// Layers on graphs.
    Graph,
    /// Activations.
    Activation,
    /// Shapes, and layers made of layers.
    Structure,
    /// Whole models.
    Model,
}

impl Group {
    /// All, in the order of the catalogue.
    pub const ALL: [Group; 13] = [
        Group::Linear,
        Group::Convolution,
        Group::Pooling,
        Group::Spatial,
        Group::Norm,
        Group::Dropout,
        Group::Embedding,
        Group::Recurrent,
        Group::Attention,
        Group::Graph,
        Group::Activation,
        Group::Structure,
        Group::Model,
    ];

    /// The name that tables show.
    pub fn name(self) -> &'static str {
        match self {
            Group::Linear => "linear",
            Group::Convolution => "convolution",
            Group::Pooling => "pooling",
            Group::Spatial => "padding, resizing, rearranging",
            Group::Norm => "normalisation",
            Group::Dropout => "dropout",
            Group::Embedding => "embedding",
            Group::Recurrent => "recurrent",
            Group::Attention => "attention",
            Group::Graph => "graph",
            Group::Activation => "activation",
            Group::Structure => "structure",
            Group::Model => "model",
        }
    }
}

/// One layer.
#[derive(Clone, Debug)]
pub struct LayerRow {
    /// The name of the type.
    pub name: &'static str,
    /// How it is made, with the options that it has.
    pub signature: &'static str,
    /// What it computes, as plain text, with shapes.
    pub computes: &'static str,
    /// Names and shapes of its parameters and buffers; empty if it has none.
    pub parameters: &'static str,
    /// What it is for.
    pub group: Group,
    /// Its name in PyTorch; "-" if there is none.
    pub pytorch: &'static str,
    /// Layers with inputs that fit.
    pub samples: fn() -> Vec<Sample>,
    /// Uses that must fail.
    pub errors: fn() -> Vec<ErrorCase>,
}

/// A layer with inputs that fit.
#[derive(Clone, Debug)]
pub struct Sample {
    /// What is special about it.
    pub label: &'static str,
    /// Makes the layer; its initial values come from the global seed.
    pub build: fn() -> Built,
    /// Makes the inputs.
    pub inputs: fn() -> Result<Vec<Array>>,
    /// There is no derivative to measure here (a kink, or it is none by design).
    pub kinks: bool,
    /// How far elements are moved to measure derivatives.
    pub step: f64,
}

impl Sample {
    /// A sample.
    pub(crate) fn new(
        label: &'static str,
        build: fn() -> Built,
        inputs: fn() -> Result<Vec<Array>>,
    ) -> Sample {
        Sample { label, build, inputs, kinks: false, step: 1e-5 }
    }

    /// Says that gradients cannot be measured here.
    pub(crate) fn kinks(self) -> Sample {
        Sample { kinks: true, ..self }
    }

    /// Says that kinks are near, as among thousands of ReLUs, so that gradients are measured by steps
    /// too small to meet one: 1e-7.
    pub(crate) fn fine(self) -> Sample {
        Sample { step: 1e-7, ..self }
    }
}

/// How a layer is called with all its inputs.
type Run = Box<dyn Fn(&[Tensor]) -> Tensor>;

/// A layer that was made, and how it is called.
pub struct Built {
    /// The layer.
    pub module: Arc<dyn Module>,
    /// Its result for inputs; several results are joined into one tensor.
    pub run: Run,
}

impl Built {
    /// A layer of one input.
    pub(crate) fn layer<L: Layer + 'static>(layer: L) -> Built {
        Built::with(layer, |layer, xs| match xs.first() {
            Some(x) => layer.forward(x),
            None => Tensor::failed(gradus_core::Error::internal("a sample without inputs")),
        })
    }

    /// A module that `run` calls.
    pub(crate) fn with<M: Module + 'static>(
        module: M,
        run: impl Fn(&M, &[Tensor]) -> Tensor + 'static,
    ) -> Built {
        let module = Arc::new(module);
        let own = Arc::clone(&module);
        Built { module, run: Box::new(move |xs| run(&own, xs)) }
    }
}

/// A use that must fail.
#[derive(Clone, Debug)]
pub struct ErrorCase {
    /// What is wrong in it.
    pub label: &'static str,
    /// The code of the error.
    pub code: Code,
    /// Words of its first sentence.
    pub words: &'static str,
    /// The source line of the call, which the message has to show.
    pub at: (&'static str, u32),
    /// The call; it may fail when recorded or when its value is read.
    pub run: fn() -> Tensor,
}

/// An [`ErrorCase`] that knows its own line.
macro_rules! fails {
    ($label:expr, $code:ident, $words:expr, $call:expr $(,)?) => {
        $crate::registry::ErrorCase {
            label: $label,
            code: gradus_core::Code::$code,
            words: $words,
            at: (file!(), line!()),
            run: || $call,
        }
    };
}
use fails;

/// All layers, by group and then in reading order.
///
/// ```
/// let rows = gradus_nn::registry::rows();
/// let linear = rows.iter().find(|row| row.name == "Linear").ok_or("no Linear")?;
/// assert_eq!(linear.pytorch, "torch.nn.Linear");
/// # Ok::<(), &str>(())
/// ```
pub fn rows() -> &'static [LayerRow] {
    static ROWS: LazyLock<Vec<LayerRow>> = LazyLock::new(|| {
        #[rustfmt::skip] // one a line
        let mut rows = [
            affine::rows(),
            attention::rows(),
            convolution::rows(),
            graph::rows(),
            models::rows(),
            pool::rows(),
            recurrent::rows(),
            spatial::rows(),
            transformer_models::rows(),
            norm::rows(),
            activation::rows(),
            regular::rows(),
        ]
        .concat();
        // Stable: within a group the order above stays.
        rows.sort_by_key(|row| Group::ALL.iter().position(|group| *group == row.group));
        rows
    });
    &ROWS
}

/// The row of that name.
pub fn row(name: &str) -> Option<&'static LayerRow> {
    rows().iter().find(|row| row.name == name)
}
