//! Adam, and AdamW with decoupled weight decay.

use gradus_core::{Result, Rule};

use super::engine::{Engine, Method, Numbers, check, numbers_of};
use crate::module::Module;

/// The numbers that both share; `DECOUPLED` is AdamW.
#[derive(Clone)]
pub(super) struct AdamRule<const DECOUPLED: bool> {
    pub(super) lr: f64,
    betas: (f64, f64),
    eps: f64,
    weight_decay: f64,
    amsgrad: bool,
    maximize: bool,
}

impl<const DECOUPLED: bool> Method for AdamRule<DECOUPLED> {
    const NAME: &'static str = if DECOUPLED { "AdamW" } else { "Adam" };

    fn rule(&self) -> Rule {
        Rule::Adam { decoupled: DECOUPLED, amsgrad: self.amsgrad, maximize: self.maximize }
    }

    fn states(&self) -> &'static [&'static str] {
        let all: &[&str] = &["exp_avg", "exp_avg_sq", "max_exp_avg_sq"];
        if self.amsgrad { all } else { &["exp_avg", "exp_avg_sq"] }
    }

    fn lr(&self) -> f64 {
        self.lr
    }

    fn weight_decay(&self) -> f64 {
        self.weight_decay
    }

    fn numbers(&self, lr: f64, weight_decay: f64, count: u64) -> Numbers {
        numbers_of([lr, self.betas.0, self.betas.1, self.eps, weight_decay, (count + 1) as f64])
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

macro_rules! adam {
    ($(#[$doc:meta])* $name:ident, $decoupled:literal, $decay:literal, $(#[$decay_doc:meta])*) => {
        $(#[$doc])*
        pub struct $name {
            pub(super) engine: Engine,
            pub(super) rule: AdamRule<$decoupled>,
        }

        impl $name {
            /// Trains all parameters of a model at a learning rate; 1e-3 is usual.
            pub fn new<M: Module + ?Sized>(model: &M, lr: f64) -> $name {
                $name {
                    engine: Engine::new(model),
                    rule: AdamRule {
                        lr,
                        betas: (0.9, 0.999),
                        eps: 1e-8,
                        weight_decay: $decay,
                        amsgrad: false,
                        maximize: false,
                    },
                }
            }

            /// How slowly the averages of the gradient and of its square move, each at least 0
            /// and below 1; default 0.9 and 0.999.
            #[must_use]
            pub fn betas(mut self, betas: (f64, f64)) -> $name {
                self.rule.betas = betas;
                self
            }

            /// Added to the root that is divided by; default 1e-8.
            #[must_use]
            pub fn eps(mut self, eps: f64) -> $name {
                self.rule.eps = eps;
                self
            }

            $(#[$decay_doc])*
            #[must_use]
            pub fn weight_decay(mut self, weight_decay: f64) -> $name {
                self.rule.weight_decay = weight_decay;
                self
            }

            /// Divides by the largest average so far. Reddi et al., 2018. Default off.
            #[must_use]
            pub fn amsgrad(mut self, amsgrad: bool) -> $name {
                self.rule.amsgrad = amsgrad;
                self
            }

            /// Climbs instead of descending. Default off.
            #[must_use]
            pub fn maximize(mut self, maximize: bool) -> $name {
                self.rule.maximize = maximize;
                self
            }
        }

        super::optimizer!($name, moves betas.0);
    };
}

adam! {
    /// Adam: steps scaled by running averages of the gradient and its square, with bias
    /// correction. Kingma and Ba, 2015.
    ///
    /// ```
    /// use gradus_core::Tensor;
    /// use gradus_nn::{Adam, Linear, Optimizer};
    /// let model = Linear::new(2, 1);
    /// let mut opt = Adam::new(&model, 1e-3);
    /// let (x, y) = (Tensor::from([[1.0, 2.0]]), Tensor::from([[3.0]]));
    /// let report = opt.step(&model.forward(&x).mse_loss(&y))?;
    /// assert!(report.loss > 0.0 && report.untouched.is_empty());
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    Adam, false, 0.0,
    /// L2 penalty, added to the gradient as `weight_decay * p`; default 0. [`AdamW`] is usually
    /// better.
}

adam! {
    /// Adam with decoupled weight decay, `p = p - lr * weight_decay * p` beside each step; the
    /// decay is 1e-2 by default. Loshchilov and Hutter, 2019.
    ///
    /// ```
    /// use gradus_core::Tensor;
    /// use gradus_nn::{AdamW, Linear, Optimizer};
    /// let model = Linear::new(2, 1);
    /// let mut opt = AdamW::new(&model, 3e-4).betas((0.9, 0.95)).weight_decay(0.1);
    /// let (x, y) = (Tensor::from([[1.0, 2.0]]), Tensor::from([[3.0]]));
    /// let gradients = model.forward(&x).mse_loss(&y).backward()?;
    /// opt.apply(&gradients.clip_norm(1.0))?;
    /// assert_eq!(opt.steps(), 1);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    AdamW, true, 1e-2,
    /// How much a parameter shrinks beside each step, as a factor of the rate; default 1e-2.
}
