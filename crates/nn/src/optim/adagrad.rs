//! Adagrad.

use gradus_core::{Pointwise, Result, Rule};

use super::engine::{Method, Numbers, check};
use super::pointwise::{Common, first, method, pointwise};

pointwise! {
    /// Adagrad: each element's rate falls with the root of the sum of its squared gradients.
    /// Duchi, Hazan and Singer, 2011.
    ///
    /// `s += g^2`, `p -= lr / (1 + (t - 1) * lr_decay) * g / (sqrt(s) + eps)`.
    ///
    /// ```
    /// use gradus_core::Tensor;
    /// use gradus_nn::{Linear, Optimizer, optim::Adagrad};
    /// let model = Linear::new(2, 1);
    /// let mut opt = Adagrad::new(&model, 0.1).lr_decay(1e-3);
    /// let (x, y) = (Tensor::from([[1.0, 2.0]]), Tensor::from([[3.0]]));
    /// let first = opt.step(&model.forward(&x).mse_loss(&y))?.loss;
    /// assert!(opt.step(&model.forward(&x).mse_loss(&y))?.loss < first);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    Adagrad, AdagradRule, usual "1e-2 is usual";
    /// How fast the rate falls with the steps by itself; 0 or more, default 0.
    lr_decay: f64 = 0.0;
    /// Where the sums of squares start; 0 or more, default 0.
    initial_accumulator_value: f64 = 0.0;
    /// Added to the root that is divided by; default 1e-10.
    eps: f64 = 1e-10;
}

impl Method for AdagradRule {
    method!("Adagrad", "sum");

    fn rule(&self) -> Rule {
        Rule::Pointwise(Pointwise::Adagrad)
    }

    fn numbers(&self, lr: f64, coupled: f64, count: u64) -> Numbers {
        let rate = lr / (1.0 + count as f64 * self.lr_decay);
        let common = Common { maximize: self.maximize, coupled, shrink: 1.0 };
        common.numbers([-rate, self.eps, first(count), self.initial_accumulator_value])
    }

    fn phase(&self, count: u64) -> u64 {
        if self.lr_decay == 0.0 { count.min(1) } else { count }
    }

    fn validate(&self) -> Result<()> {
        check(self, "rate's decay", self.lr_decay, self.lr_decay >= 0.0, "0 or more")?;
        let start = self.initial_accumulator_value;
        check(self, "initial accumulator value", start, start >= 0.0, "0 or more")?;
        check(self, "epsilon", self.eps, self.eps >= 0.0, "0 or more")
    }
}
