//! The table of optimizers and of what goes with them: averages of weights, penalties, clipping.
//!
//! A row says what it is called here and in PyTorch, how it is made with its defaults, its formula and
//! its source, and gives *samples*, each with the same computed by a plain loop in f64, and *errors*
//! (settings that must fail). From the rows come the tests of `tests/optimizer_registry.rs`, the
//! catalogue that `gradus optimizers` prints, and the names that files and arguments may give. To add
//! an optimizer: add the rule and its row.

mod around;
mod gradient;
mod problem;
mod tensors;
mod weights;

use std::sync::LazyLock;

use gradus_core::{Gradients, Result, Tensor};

use super::{Average, Optimizer};
use crate::module::Module;
pub use problem::Problem;

/// What a row is: the headings of the catalogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Group {
    /// Rules that change parameters from gradients.
    Optimizer,
    /// What is put around other optimizers.
    Around,
    /// Averages of weights over a training.
    Average,
    /// What is added to a loss.
    Penalty,
    /// Limits of gradients.
    Clipping,
}

impl Group {
    /// All, in the order of the catalogue.
    pub const ALL: [Group; 5] =
        [Group::Optimizer, Group::Around, Group::Average, Group::Penalty, Group::Clipping];

    /// The name that tables show.
    pub fn name(self) -> &'static str {
        match self {
            Group::Optimizer => "optimizer",
            Group::Around => "around other optimizers",
            Group::Average => "average of weights",
            Group::Penalty => "penalty, added to a loss",
            Group::Clipping => "clipping of gradients",
        }
    }
}

/// One optimizer, average, penalty or clipping.
#[derive(Clone, Debug)]
pub struct OptimizerRow {
    /// The name of the type or function.
    pub name: &'static str,
    /// How it is written; its options with their defaults.
    pub signature: &'static str,
    /// What it computes, as plain text.
    pub formula: &'static str,
    /// What it is.
    pub group: Group,
    /// Its name in PyTorch; "-" if there is none.
    pub pytorch: &'static str,
    /// Where it differs from PyTorch's; empty if it does not.
    pub differs: &'static str,
    /// The paper that it is from; "-" if there is none.
    pub source: &'static str,
    /// How a file or an argument names it; none if neither can.
    pub named: Option<Named>,
    /// Uses that work, and what they must give.
    pub samples: fn() -> Vec<Sample>,
    /// Uses that must fail.
    pub errors: fn() -> Vec<ErrorCase>,
}

/// An optimizer that a file or an argument can name.
#[derive(Clone, Copy, Debug)]
pub struct Named {
    /// The name, in small letters.
    pub name: &'static str,
    /// A learning rate to begin with, for a small network.
    pub lr: f64,
    /// The names of the settings that it has, of those of [`Settings`].
    pub options: &'static [&'static str],
    /// Makes it; settings that it does not have are not looked at.
    pub build: fn(&dyn Module, &Settings) -> Box<dyn Optimizer>,
}

/// Settings of an optimizer that is named; those that are none are the optimizer's defaults.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Settings {
    /// Learning rate.
    pub lr: f64,
    /// Weight decay.
    pub weight_decay: Option<f64>,
    /// Momentum.
    pub momentum: Option<f64>,
    /// Nesterov's momentum.
    pub nesterov: Option<bool>,
    /// How slowly averages move.
    pub betas: Option<(f64, f64)>,
    /// What keeps divisors away from 0.
    pub eps: Option<f64>,
}

/// A [`Named`] of a type that is made by `new(model, lr)` and has these options.
macro_rules! named {
    ($name:literal, lr $lr:literal, $t:ident: $($option:ident),*) => {
        Some($crate::optim::registry::Named {
            name: $name,
            lr: $lr,
            options: &[$(stringify!($option)),*],
            build: |model, settings| {
                let opt = $t::new(model, settings.lr);
                $(let opt = match settings.$option {
                    Some(value) => opt.$option(value),
                    None => opt,
                };)*
                Box::new(opt)
            },
        })
    };
}
use named;

/// A use that works.
#[derive(Clone, Debug)]
pub struct Sample {
    /// What is special about it.
    pub label: &'static str,
    /// What is done.
    pub run: Run,
    /// What it must give on a problem after so many steps, by a loop of plain f64: the parameters of
    /// an optimizer or an average; the value of a penalty; the gradients that are left by clipping.
    pub expected: fn(&Problem, usize) -> Vec<f64>,
}

/// What a sample does on a problem.
#[derive(Clone, Copy, Debug)]
pub enum Run {
    /// Steps of an optimizer.
    Optimizer(fn(&Problem) -> Box<dyn Optimizer>),
    /// An average, updated after each step of plain gradient descent with [`Problem::LR`].
    Average(fn(&Problem) -> Average),
    /// A penalty on the parameters.
    Penalty(fn(&Problem) -> Tensor),
    /// Clipping of the problem's gradients.
    Clipping(fn(&Problem, Gradients) -> Gradients),
}

/// A sample of an optimizer.
fn steps(
    label: &'static str,
    build: fn(&Problem) -> Box<dyn Optimizer>,
    expected: fn(&Problem, usize) -> Vec<f64>,
) -> Sample {
    Sample { label, run: Run::Optimizer(build), expected }
}

/// A use that must fail.
#[derive(Clone, Debug)]
pub struct ErrorCase {
    /// What is wrong in it.
    pub label: &'static str,
    /// Words of its first sentence.
    pub words: &'static str,
    /// The use.
    pub run: fn(&Problem) -> Result<()>,
}

/// Settings of which the first step must say what is wrong.
fn refuses(label: &'static str, words: &'static str, run: fn(&Problem) -> Result<()>) -> ErrorCase {
    ErrorCase { label, words, run }
}

/// All rows, by group and then in reading order.
///
/// ```
/// use gradus_nn::optim::registry::rows;
/// let adam = rows().iter().find(|row| row.name == "Adam").ok_or("no Adam")?;
/// assert_eq!((adam.pytorch, adam.named.map(|n| n.name)), ("torch.optim.Adam", Some("adam")));
/// # Ok::<(), &str>(())
/// ```
pub fn rows() -> &'static [OptimizerRow] {
    static ROWS: LazyLock<Vec<OptimizerRow>> = LazyLock::new(|| {
        #[rustfmt::skip] // one a line
        let mut rows = [
            gradient::rows(),
            tensors::rows(),
            around::rows(),
            weights::rows(),
        ]
        .concat();
        // Stable: within a group the order above stays.
        rows.sort_by_key(|row| Group::ALL.iter().position(|group| *group == row.group));
        rows
    });
    &ROWS
}

/// The optimizers that a file or an argument can name, in the order of messages.
pub fn all_named() -> impl Iterator<Item = &'static Named> {
    rows().iter().filter_map(|row| row.named.as_ref())
}
