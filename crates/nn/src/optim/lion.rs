//! Lion.

use gradus_core::{Pointwise, Result, Rule};

use super::engine::{Method, Numbers, check};
use super::pointwise::{Common, method, pointwise};

pointwise! {
    /// Lion: steps of one size, along the sign of a momentum; decoupled weight decay. A third to
    /// a tenth of AdamW's rate fits, with a decay as much larger. Chen et al., 2023.
    ///
    /// `p = (1 - lr * weight_decay) p - lr * sign(beta1 m + (1 - beta1) g)`,
    /// `m = beta2 m + (1 - beta2) g`.
    ///
    /// ```
    /// use gradus_core::Tensor;
    /// use gradus_nn::{Linear, Optimizer, optim::Lion};
    /// let model = Linear::new(2, 1);
    /// let mut opt = Lion::new(&model, 1e-3).weight_decay(0.1);
    /// let (x, y) = (Tensor::from([[1.0, 2.0]]), Tensor::from([[3.0]]));
    /// let first = opt.step(&model.forward(&x).mse_loss(&y))?.loss;
    /// assert!(opt.step(&model.forward(&x).mse_loss(&y))?.loss < first);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    Lion, LionRule, usual "1e-4 is usual", moves betas.0;
    /// How much of the momentum is in the direction, and how slowly it moves, each at least 0 and
    /// below 1; default 0.9 and 0.99.
    betas: (f64, f64) = (0.9, 0.99);
}

impl Method for LionRule {
    method!("Lion", "exp_avg");

    fn rule(&self) -> Rule {
        Rule::Pointwise(Pointwise::Lion)
    }

    fn numbers(&self, lr: f64, decay: f64, _: u64) -> Numbers {
        let shrink = 1.0 - lr * decay;
        let common = Common { maximize: self.maximize, coupled: 0.0, shrink };
        common.numbers([-lr, self.betas.0, self.betas.1])
    }

    fn phase(&self, _: u64) -> u64 {
        0
    }

    fn validate(&self) -> Result<()> {
        for beta in [self.betas.0, self.betas.1] {
            check(self, "betas", beta, (0.0..1.0).contains(&beta), "at least 0 and below 1")?;
        }
        Ok(())
    }
}
