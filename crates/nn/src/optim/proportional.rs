//! Rates in proportion to something: for teaching what a learning rate does.

use gradus_core::{Array, Result, Tensor};

use super::argument;
use super::formula::{Formula, FormulaEngine, Rated, Update};
use super::optimizer;
use crate::module::Module;

/// What the rate of [`Proportional`] is in proportion to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProportionalTo {
    /// The size of each gradient: `p -= lr * |g| * g`. Slow where it is flat, wild where it is steep.
    Gradient,
    /// The loss: `p -= lr * loss * g`. Only sensible for a loss from about 0 to 1.
    Loss,
    /// The size of each parameter: `p -= lr * |p| * g`. A parameter at 0 stays there.
    Value,
}

/// Gradient descent whose rate is in proportion to the gradient, the loss or the parameter: simple
/// kinds of adaptive rates, to compare with those of [`Adam`](super::Adam) and others.
///
/// ```
/// use gradus_core::Tensor;
/// use gradus_nn::optim::{Proportional, ProportionalTo};
/// use gradus_nn::{Linear, Optimizer};
/// let model = Linear::new(2, 1);
/// let mut opt = Proportional::new(&model, 0.01, ProportionalTo::Value);
/// let (x, y) = (Tensor::from([[1.0, 2.0]]), Tensor::from([[3.0]]));
/// let first = opt.step(&model.forward(&x).mse_loss(&y))?.loss;
/// assert!(opt.step(&model.forward(&x).mse_loss(&y))?.loss < first);
/// # Ok::<(), gradus_core::Error>(())
/// ```
pub struct Proportional {
    engine: FormulaEngine,
    rule: ProportionalRule,
}

pub(super) struct ProportionalRule {
    pub(super) lr: f64,
    to: ProportionalTo,
}

impl Proportional {
    /// Trains all parameters of a model; `lr` is the factor.
    pub fn new<M: Module + ?Sized>(model: &M, lr: f64, to: ProportionalTo) -> Proportional {
        Proportional { engine: FormulaEngine::new(model), rule: ProportionalRule { lr, to } }
    }
}

optimizer!(Proportional);

impl Rated for ProportionalRule {
    fn lr(&self) -> f64 {
        self.lr
    }
    fn weight_decay(&self) -> f64 {
        0.0
    }
}

impl Formula for ProportionalRule {
    const NAME: &'static str = "Proportional";

    fn states(&self, _: &str, _: &Array) -> Result<Vec<(&'static str, Array)>> {
        Ok(Vec::new())
    }

    fn update(&self, u: &Update<'_>) -> Result<Tensor> {
        let rate = match self.to {
            ProportionalTo::Gradient => u.gradient.abs(),
            ProportionalTo::Value => u.value.abs(),
            ProportionalTo::Loss => u.loss.map(Tensor::detach).ok_or_else(|| {
                argument(
                    "Proportional: a rate in proportion to the loss needs the loss".to_string(),
                )
                .help("call `step` with it; gradients alone do not have it")
            })?,
        };
        Ok(&u.value - u.lr * rate * u.gradient)
    }
}
