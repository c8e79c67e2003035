//! Stochastic gradient descent.

use gradus_core::{Result, Rule};

use super::argument;
use super::engine::{Engine, Method, Numbers, check, numbers_of};
use crate::module::Module;

/// Stochastic gradient descent, with momentum, Nesterov's variant and weight decay. With the whole
/// data set as one batch it is plain gradient descent, with one sample the perceptron's kind.
///
/// `b = momentum * b + (1 - dampening) * (g + weight_decay * p)`, starting with the gradient
/// itself, then `p = p - lr * b`. All but the rate are off by default, as in PyTorch. Polyak,
/// 1964; Sutskever et al., 2013.
///
/// ```
/// use gradus_core::Tensor;
/// use gradus_nn::{Linear, Optimizer, Sgd};
/// let model = Linear::new(2, 1);
/// let mut opt = Sgd::new(&model, 0.01).momentum(0.9).nesterov(true);
/// let (x, y) = (Tensor::from([[1.0, 2.0]]), Tensor::from([[3.0]]));
/// let first = opt.step(&model.forward(&x).mse_loss(&y))?.loss;
/// let second = opt.step(&model.forward(&x).mse_loss(&y))?.loss;
/// assert!(second < first);
/// # Ok::<(), gradus_core::Error>(())
/// ```
pub struct Sgd {
    pub(super) engine: Engine,
    pub(super) rule: SgdRule,
}

#[derive(Clone)]
pub(super) struct SgdRule {
    pub(super) lr: f64,
    momentum: f64,
    dampening: f64,
    weight_decay: f64,
    nesterov: bool,
    maximize: bool,
}

impl Sgd {
    /// Trains all parameters of a model at a learning rate.
    pub fn new<M: Module + ?Sized>(model: &M, lr: f64) -> Sgd {
        Sgd {
            engine: Engine::new(model),
            rule: SgdRule {
                lr,
                momentum: 0.0,
                dampening: 0.0,
                weight_decay: 0.0,
                nesterov: false,
                maximize: false,
            },
        }
    }

    /// How much of the last direction is kept; 0 or more, default 0.
    #[must_use]
    pub fn momentum(mut self, momentum: f64) -> Sgd {
        self.rule.momentum = momentum;
        self
    }

    /// How much less a new gradient counts in the momentum; default 0.
    #[must_use]
    pub fn dampening(mut self, dampening: f64) -> Sgd {
        self.rule.dampening = dampening;
        self
    }

    /// L2 penalty, added to the gradient as `weight_decay * p`; default 0.
    #[must_use]
    pub fn weight_decay(mut self, weight_decay: f64) -> Sgd {
        self.rule.weight_decay = weight_decay;
        self
    }

    /// Nesterov's momentum; needs a momentum and no dampening. Default off.
    #[must_use]
    pub fn nesterov(mut self, nesterov: bool) -> Sgd {
        self.rule.nesterov = nesterov;
        self
    }

    /// Climbs instead of descending. Default off.
    #[must_use]
    pub fn maximize(mut self, maximize: bool) -> Sgd {
        self.rule.maximize = maximize;
        self
    }
}

impl Method for SgdRule {
    const NAME: &'static str = "Sgd";

    fn rule(&self) -> Rule {
        Rule::Sgd {
            momentum: self.momentum != 0.0,
            nesterov: self.nesterov,
            maximize: self.maximize,
        }
    }

    fn states(&self) -> &'static [&'static str] {
        if self.momentum != 0.0 { &["momentum_buffer"] } else { &[] }
    }

    fn lr(&self) -> f64 {
        self.lr
    }

    fn weight_decay(&self) -> f64 {
        self.weight_decay
    }

    fn numbers(&self, lr: f64, weight_decay: f64, count: u64) -> Numbers {
        let first = if self.phase(count) == 0 && count == 0 { 1.0 } else { 0.0 };
        numbers_of([lr, self.momentum, self.dampening, weight_decay, first])
    }

    fn phase(&self, count: u64) -> u64 {
        // The first gradient is not dampened. Without dampening a buffer of zeros does the same.
        if self.momentum != 0.0 && self.dampening != 0.0 { count.min(1) } else { 0 }
    }

    fn validate(&self) -> Result<()> {
        check(self, "momentum", self.momentum, self.momentum >= 0.0, "0 or more")?;
        check(self, "dampening", self.dampening, true, "a number")?;
        if self.nesterov && (self.momentum == 0.0 || self.dampening != 0.0) {
            let text = "Sgd: Nesterov's variant needs a momentum and no dampening".to_string();
            return Err(argument(text).help("for example `.momentum(0.9).nesterov(true)`"));
        }
        Ok(())
    }
}

super::optimizer!(Sgd, moves momentum);
