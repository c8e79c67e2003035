//! RAdam.

use gradus_core::{Pointwise, Result, Rule};

use super::engine::{Method, Numbers, check};
use super::pointwise::{Common, method, pointwise};

pointwise! {
    /// RAdam: Adam that waits with dividing until the average of squares can be trusted, and
    /// rectifies its step after that. Liu et al., 2020.
    ///
    /// ```
    /// use gradus_core::Tensor;
    /// use gradus_nn::{Linear, Optimizer, optim::RAdam};
    /// let model = Linear::new(2, 1);
    /// let mut opt = RAdam::new(&model, 1e-3);
    /// let (x, y) = (Tensor::from([[1.0, 2.0]]), Tensor::from([[3.0]]));
    /// let first = opt.step(&model.forward(&x).mse_loss(&y))?.loss;
    /// assert!(opt.step(&model.forward(&x).mse_loss(&y))?.loss < first);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    RAdam, RAdamRule, usual "1e-3 is usual", moves betas.0;
    /// How slowly the averages move, each at least 0 and below 1; default 0.9 and 0.999.
    betas: (f64, f64) = (0.9, 0.999);
    /// Added to the root that is divided by; default 1e-8.
    eps: f64 = 1e-8;
    /// The weights decay beside the step, as in AdamW. Default off.
    decoupled_weight_decay: bool = false;
}

impl Method for RAdamRule {
    method!("RAdam", "exp_avg", "exp_avg_sq");

    fn rule(&self) -> Rule {
        Rule::Pointwise(Pointwise::RAdam)
    }

    fn numbers(&self, lr: f64, decay: f64, count: u64) -> Numbers {
        let (beta1, beta2) = self.betas;
        let t = (count + 1) as f64;
        let power2 = libm::pow(beta2, t);
        let (correction1, correction2) = (1.0 - libm::pow(beta1, t), 1.0 - power2);
        let most = 2.0 / (1.0 - beta2) - 1.0;
        // The length of a plain average that would be as certain.
        let length = most - 2.0 * t * power2 / correction2;
        let rate = lr / correction1;
        let (rate, plain) = if length > 5.0 {
            let over = (length - 4.0) * (length - 2.0) * most;
            let under = (most - 4.0) * (most - 2.0) * length;
            (rate * libm::sqrt(over / under) * libm::sqrt(correction2), 0.0)
        } else {
            (rate, 1.0)
        };
        let (coupled, shrink) =
            if self.decoupled_weight_decay { (0.0, 1.0 - lr * decay) } else { (decay, 1.0) };
        let common = Common { maximize: self.maximize, coupled, shrink };
        common.numbers([-rate, 1.0 - beta1, beta2, 1.0 - beta2, self.eps, plain])
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
