//! Adamax.

use gradus_core::{Pointwise, Result, Rule};

use super::engine::{Method, Numbers, check};
use super::pointwise::{Common, method, pointwise};

pointwise! {
    /// Adamax: Adam with the largest gradient so far, slowly forgotten, in place of the average
    /// of squares. Kingma and Ba, 2015, section 7.
    ///
    /// `m = beta1 m + (1 - beta1) g`, `u = max(beta2 u, |g| + eps)`,
    /// `p -= lr / (1 - beta1^t) * m / u`.
    ///
    /// ```
    /// use gradus_core::Tensor;
    /// use gradus_nn::{Linear, Optimizer, optim::Adamax};
    /// let model = Linear::new(2, 1);
    /// let mut opt = Adamax::new(&model, 2e-3).betas((0.9, 0.99));
    /// let (x, y) = (Tensor::from([[1.0, 2.0]]), Tensor::from([[3.0]]));
    /// let first = opt.step(&model.forward(&x).mse_loss(&y))?.loss;
    /// assert!(opt.step(&model.forward(&x).mse_loss(&y))?.loss < first);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    Adamax, AdamaxRule, usual "2e-3 is usual", moves betas.0;
    /// How slowly the average and the largest move, each at least 0 and below 1; default 0.9 and
    /// 0.999.
    betas: (f64, f64) = (0.9, 0.999);
    /// Added to the size of a gradient; default 1e-8.
    eps: f64 = 1e-8;
}

impl Method for AdamaxRule {
    method!("Adamax", "exp_avg", "exp_inf");

    fn rule(&self) -> Rule {
        Rule::Pointwise(Pointwise::Adamax)
    }

    fn numbers(&self, lr: f64, coupled: f64, count: u64) -> Numbers {
        let (beta1, beta2) = self.betas;
        let rate = lr / (1.0 - libm::pow(beta1, (count + 1) as f64));
        let common = Common { maximize: self.maximize, coupled, shrink: 1.0 };
        common.numbers([-rate, 1.0 - beta1, beta2, self.eps])
    }

    fn phase(&self, count: u64) -> u64 {
        count
    }

    fn validate(&self) -> Result<()> {
        for beta in [self.betas.0, self.betas.1] {
            check(self, "betas", beta, (0.0..1.0).contains(&beta), "at least 0 and below 1")?;
        }
        check(self, "epsilon", self.eps, self.eps >= 0.0, "0 or more")
    }
}
