//! The table of operations: one row each, with everything a test or a table has to know.
//!
//! A row says what the operation is called here and elsewhere, what it computes, whether it has a
//! gradient, and gives *samples* (calls that work) and *errors* (calls that must fail). From the
//! rows come the tests of `tests/registry.rs`, which run every sample through every executor and
//! check its gradients, and the table that `gradus ops` prints. To add an operation: add the
//! method, the row, the kernel.

mod activation;
mod arithmetic;
mod arranging;
mod arrays;
mod attention;
mod contraction;
mod convolution;
mod creation;
mod elementwise;
mod indexing;
mod loss;
mod losses;
mod losses_more;
mod movement;
mod norm;
mod order;
mod places;
mod pooling;
mod product;
mod random;
mod recurrent;
mod reduction;
mod scan;
mod sort;
mod spatial;
mod statistics;
mod subscript;

use std::sync::LazyLock;

use crate::array::Array;
use crate::error::Code;
use crate::tensor::Tensor;

/// What an operation does with elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Each element of the result depends on the elements at its place.
    Elementwise,
    /// Combines elements along axes.
    Reduction,
    /// Moves elements without computing.
    Movement,
    /// Sums of products.
    Product,
    /// Follows index tensors.
    Indexing,
    /// A scalar to be made small.
    Loss,
    /// Draws random numbers.
    Random,
    /// Makes a tensor from nothing.
    Creation,
}

impl Kind {
    /// The name that tables show.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Elementwise => "elementwise",
            Kind::Reduction => "reduction",
            Kind::Movement => "movement",
            Kind::Product => "product",
            Kind::Indexing => "indexing",
            Kind::Loss => "loss",
            Kind::Random => "random",
            Kind::Creation => "creation",
        }
    }
}

/// Whether gradients flow through an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gradient {
    /// To all float operands, also second derivatives.
    Yes,
    /// They are zero wherever they exist (steps such as `floor`).
    Zero,
    /// None, because of this.
    None(&'static str),
}

/// One operation.
#[derive(Clone, Debug)]
pub struct OpRow {
    /// The name in messages.
    pub name: &'static str,
    /// How it is written.
    pub signature: &'static str,
    /// What it computes, as plain text.
    pub formula: &'static str,
    /// What it does with elements.
    pub kind: Kind,
    /// Its name in PyTorch; `-` if there is none.
    pub pytorch: &'static str,
    /// Its name in ONNX, if there is such an operator.
    pub onnx: Option<&'static str>,
    /// Whether gradients flow through it.
    pub gradient: Gradient,
    /// Calls that work.
    pub samples: fn() -> Vec<Sample>,
    /// Calls that must fail.
    pub errors: fn() -> Vec<ErrorCase>,
}

/// A call that works.
#[derive(Clone, Debug)]
pub struct Sample {
    /// What is special about it.
    pub label: &'static str,
    /// The operands.
    pub inputs: Vec<Array>,
    /// The call.
    pub run: fn(&[Tensor]) -> Tensor,
    /// An operand lies where the operation has no derivative, or is infinite or NaN.
    pub kinks: bool,
}

impl Sample {
    fn new(label: &'static str, inputs: Vec<Array>, run: fn(&[Tensor]) -> Tensor) -> Sample {
        Sample { label, inputs, run, kinks: false }
    }

    /// Says that gradients cannot be measured here.
    fn kinks(self) -> Sample {
        Sample { kinks: true, ..self }
    }
}

/// A call that must fail.
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
        $crate::ops::registry::ErrorCase {
            label: $label,
            code: $crate::error::Code::$code,
            words: $words,
            at: (file!(), line!()),
            run: || $call,
        }
    };
}
use fails;

/// All operations, by kind and then in reading order.
///
/// ```
/// let rows = gradus_core::ops::registry::rows();
/// let exp = rows.iter().find(|row| row.name == "exp").ok_or("no exp")?;
/// assert_eq!((exp.signature, exp.pytorch), ("x.exp()", "torch.exp"));
/// # Ok::<(), &str>(())
/// ```
pub fn rows() -> &'static [OpRow] {
    static ROWS: LazyLock<Vec<OpRow>> = LazyLock::new(|| {
        [
            elementwise::rows(),
            arithmetic::rows(),
            activation::rows(),
            reduction::rows(),
            statistics::rows(),
            scan::rows(),
            order::rows(),
            pooling::rows(),
            spatial::rows(),
            product::rows(),
            contraction::rows(),
            attention::rows(),
            convolution::rows(),
            movement::rows(),
            indexing::rows(),
            subscript::rows(),
            arranging::rows(),
            places::rows(),
            sort::rows(),
            loss::rows(),
            losses::rows(),
            losses_more::rows(),
            recurrent::rows(),
            norm::rows(),
            random::rows(),
            creation::rows(),
        ]
        .concat()
    });
    &ROWS
}

/// The row of that name.
pub fn row(name: &str) -> Option<&'static OpRow> {
    rows().iter().find(|row| row.name == name)
}
