//! NAdam.

use std::cell::Cell;

use gradus_core::{Pointwise, Result, Rule};

use super::engine::{Method, Numbers, check};
use super::pointwise::{Common, method, pointwise};

pointwise! {
    /// NAdam: Adam with Nesterov's momentum. Dozat, 2016.
    ///
    /// With `mu_t = beta1 * (1 - 0.96^(t * momentum_decay) / 2)` and `M` the product of all `mu`
    /// so far: `p -= lr * ((1 - mu_t) / (1 - M_t) * g + mu_(t+1) / (1 - M_(t+1)) * m) / r`, where
    /// `r` is Adam's corrected root plus eps.
    ///
    /// ```
    /// use gradus_core::Tensor;
    /// use gradus_nn::{Linear, Optimizer, optim::NAdam};
    /// let model = Linear::new(2, 1);
    /// let mut opt = NAdam::new(&model, 2e-3);
    /// let (x, y) = (Tensor::from([[1.0, 2.0]]), Tensor::from([[3.0]]));
    /// let first = opt.step(&model.forward(&x).mse_loss(&y))?.loss;
    /// assert!(opt.step(&model.forward(&x).mse_loss(&y))?.loss < first);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    NAdam, NAdamRule, usual "2e-3 is usual", moves betas.0;
    /// How slowly the averages move, each at least 0 and below 1; default 0.9 and 0.999.
    betas: (f64, f64) = (0.9, 0.999);
    /// Added to the root that is divided by; default 1e-8.
    eps: f64 = 1e-8;
    /// How fast the momentum grows to its final size; 0 or more, default 4e-3.
    momentum_decay: f64 = 4e-3;
    /// The weights decay beside the step, as in AdamW. Default off.
    decoupled_weight_decay: bool = false;
}

thread_local! {
    /// The last product of momenta: for which momentum, decay and count. Only to save time.
    static PRODUCT: Cell<(f64, f64, u64, f64)> = const { Cell::new((0.0, 0.0, 0, 1.0)) };
}

impl NAdamRule {
    fn mu(&self, t: u64) -> f64 {
        self.betas.0 * (1.0 - 0.5 * libm::pow(0.96, t as f64 * self.momentum_decay))
    }

    /// The product of `mu` of the steps 1 to `t`.
    fn product(&self, t: u64) -> f64 {
        let (beta, decay, count, product) = PRODUCT.get();
        let known = (beta, decay) == (self.betas.0, self.momentum_decay) && count <= t;
        let (from, product) = if known { (count, product) } else { (0, 1.0) };
        let mut product = product;
        for step in from + 1..=t {
            // It will not rise again.
            if product == 0.0 {
                break;
            }
            product *= self.mu(step);
        }
        PRODUCT.set((self.betas.0, self.momentum_decay, t, product));
        product
    }
}

impl Method for NAdamRule {
    method!("NAdam", "exp_avg", "exp_avg_sq");

    fn rule(&self) -> Rule {
        Rule::Pointwise(Pointwise::NAdam)
    }

    fn numbers(&self, lr: f64, decay: f64, count: u64) -> Numbers {
        let (beta1, beta2) = self.betas;
        let t = count + 1;
        let (mu, next, product) = (self.mu(t), self.mu(t + 1), self.product(t));
        let correction = 1.0 - libm::pow(beta2, t as f64);
        let of_g = -lr * (1.0 - mu) / (1.0 - product);
        let of_m = -lr * next / (1.0 - product * next);
        let (coupled, shrink) =
            if self.decoupled_weight_decay { (0.0, 1.0 - lr * decay) } else { (decay, 1.0) };
        let common = Common { maximize: self.maximize, coupled, shrink };
        common.numbers([of_g, 1.0 - beta1, beta2, 1.0 - beta2, correction, self.eps, of_m])
    }

    fn phase(&self, count: u64) -> u64 {
        count
    }

    fn validate(&self) -> Result<()> {
        for beta in [self.betas.0, self.betas.1] {
            check(self, "betas", beta, (0.0..1.0).contains(&beta), "at least 0 and below 1")?;
        }
        let decay = self.momentum_decay;
        check(self, "momentum decay", decay, decay >= 0.0, "0 or more")?;
        check(self, "epsilon", self.eps, self.eps >= 0.0, "0 or more")
    }
}
