//! RMSprop.

use gradus_core::{Pointwise, Result, Rule};

use super::engine::{Method, Numbers, check};
use super::pointwise::{Common, pointwise};

pointwise! {
    /// RMSprop: the gradient over the root of a running average of its square. Hinton, 2012;
    /// centered: Graves, 2013.
    ///
    /// `s = alpha s + (1 - alpha) g^2`, `p -= lr * g / (sqrt(s) + eps)`; the epsilon is outside
    /// the root, as in PyTorch.
    ///
    /// ```
    /// use gradus_core::Tensor;
    /// use gradus_nn::{Linear, Optimizer, optim::RmsProp};
    /// let model = Linear::new(2, 1);
    /// let mut opt = RmsProp::new(&model, 0.01).momentum(0.9).centered(true);
    /// let (x, y) = (Tensor::from([[1.0, 2.0]]), Tensor::from([[3.0]]));
    /// let first = opt.step(&model.forward(&x).mse_loss(&y))?.loss;
    /// assert!(opt.step(&model.forward(&x).mse_loss(&y))?.loss < first);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    RmsProp, RmsPropRule, usual "1e-2 is usual", moves momentum;
    /// How slowly the average of squares moves; from 0 to 1, default 0.99.
    alpha: f64 = 0.99;
    /// Added to the root that is divided by; default 1e-8.
    eps: f64 = 1e-8;
    /// How much of the last step is kept; 0 or more, default 0.
    momentum: f64 = 0.0;
    /// Divides by the deviation of the gradient instead of its size. Default off.
    centered: bool = false;
}

impl Method for RmsPropRule {
    const NAME: &'static str = "RMSprop";

    fn rule(&self) -> Rule {
        let momentum = self.momentum > 0.0;
        Rule::Pointwise(Pointwise::RmsProp { centered: self.centered, momentum })
    }

    fn states(&self) -> &'static [&'static str] {
        match (self.momentum > 0.0, self.centered) {
            (false, false) => &["square_avg"],
            (true, false) => &["square_avg", "momentum_buffer"],
            (false, true) => &["square_avg", "grad_avg"],
            (true, true) => &["square_avg", "momentum_buffer", "grad_avg"],
        }
    }

    fn lr(&self) -> f64 {
        self.lr
    }

    fn weight_decay(&self) -> f64 {
        self.weight_decay
    }

    fn numbers(&self, lr: f64, coupled: f64, _: u64) -> Numbers {
        let common = Common { maximize: self.maximize, coupled, shrink: 1.0 };
        common.numbers([-lr, self.alpha, 1.0 - self.alpha, self.eps, self.momentum])
    }

    fn phase(&self, _: u64) -> u64 {
        0
    }

    fn validate(&self) -> Result<()> {
        check(self, "alpha", self.alpha, (0.0..=1.0).contains(&self.alpha), "from 0 to 1")?;
        check(self, "momentum", self.momentum, self.momentum >= 0.0, "0 or more")?;
        check(self, "epsilon", self.eps, self.eps >= 0.0, "0 or more")
    }
}
