//! Averaged SGD.

use gradus_core::{Pointwise, Result, Rule};

use super::engine::{Method, Numbers, check};
use super::pointwise::{Common, method, pointwise};

pointwise! {
    /// Averaged stochastic gradient descent: SGD with a falling rate that also keeps the average
    /// of the parameters, as state `ax`. Polyak and Juditsky, 1992.
    ///
    /// `eta = lr / (1 + lambd * lr * (t - 1))^alpha`, `p = (1 - lambd * eta) p - eta * g`; after
    /// step `t0` the average moves by `1 / (t - 1 - t0)`.
    ///
    /// ```
    /// use gradus_core::Tensor;
    /// use gradus_nn::{Linear, Optimizer, optim::Asgd};
    /// let model = Linear::new(2, 1);
    /// let mut opt = Asgd::new(&model, 0.01).t0(100.0);
    /// let (x, y) = (Tensor::from([[1.0, 2.0]]), Tensor::from([[3.0]]));
    /// let first = opt.step(&model.forward(&x).mse_loss(&y))?.loss;
    /// assert!(opt.step(&model.forward(&x).mse_loss(&y))?.loss < first);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    Asgd, AsgdRule, usual "1e-2 is usual";
    /// How much the parameters decay, and the rate falls; 0 or more, default 1e-4.
    lambd: f64 = 1e-4;
    /// The power by which the rate falls; 0 or more, default 0.75.
    alpha: f64 = 0.75;
    /// The step after which the average begins; default 1e6.
    t0: f64 = 1e6;
}

impl Method for AsgdRule {
    method!("ASGD", "ax");

    fn rule(&self) -> Rule {
        Rule::Pointwise(Pointwise::Asgd)
    }

    fn numbers(&self, lr: f64, coupled: f64, count: u64) -> Numbers {
        let t = count as f64;
        let eta = lr / libm::pow(1.0 + self.lambd * lr * t, self.alpha);
        let average = 1.0 / f64::max(1.0, t - self.t0);
        let common = Common { maximize: self.maximize, coupled, shrink: 1.0 };
        common.numbers([-eta, 1.0 - self.lambd * eta, average])
    }

    fn phase(&self, count: u64) -> u64 {
        count
    }

    fn validate(&self) -> Result<()> {
        check(self, "lambd", self.lambd, self.lambd >= 0.0, "0 or more")?;
        check(self, "alpha", self.alpha, self.alpha >= 0.0, "0 or more")?;
        check(self, "t0", self.t0, true, "finite")
    }
}
