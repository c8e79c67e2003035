//! Adadelta.

use gradus_core::{Pointwise, Result, Rule};

use super::engine::{Method, Numbers, check};
use super::pointwise::{Common, method, pointwise};

pointwise! {
    /// Adadelta: steps in the units of the parameter, from running averages of squared gradients
    /// and squared steps. Zeiler, 2012.
    ///
    /// `s = rho s + (1 - rho) g^2`, `x = sqrt(d + eps) / sqrt(s + eps) * g`,
    /// `d = rho d + (1 - rho) x^2`, `p -= lr * x`.
    ///
    /// ```
    /// use gradus_core::Tensor;
    /// use gradus_nn::{Linear, Optimizer, optim::Adadelta};
    /// let model = Linear::new(2, 1);
    /// let mut opt = Adadelta::new(&model, 1.0).rho(0.95);
    /// let (x, y) = (Tensor::from([[1.0, 2.0]]), Tensor::from([[3.0]]));
    /// let first = opt.step(&model.forward(&x).mse_loss(&y))?.loss;
    /// assert!(opt.step(&model.forward(&x).mse_loss(&y))?.loss < first);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    Adadelta, AdadeltaRule, usual "1 is usual";
    /// How slowly the averages move; from 0 to 1, default 0.9.
    rho: f64 = 0.9;
    /// Added under the roots; default 1e-6.
    eps: f64 = 1e-6;
}

impl Method for AdadeltaRule {
    method!("Adadelta", "square_avg", "acc_delta");

    fn rule(&self) -> Rule {
        Rule::Pointwise(Pointwise::Adadelta)
    }

    fn numbers(&self, lr: f64, coupled: f64, _: u64) -> Numbers {
        let common = Common { maximize: self.maximize, coupled, shrink: 1.0 };
        common.numbers([-lr, self.rho, 1.0 - self.rho, self.eps])
    }

    fn phase(&self, _: u64) -> u64 {
        0
    }

    fn validate(&self) -> Result<()> {
        check(self, "rho", self.rho, (0.0..=1.0).contains(&self.rho), "from 0 to 1")?;
        check(self, "epsilon", self.eps, self.eps >= 0.0, "0 or more")
    }
}
