//! LAMB.

use gradus_core::{Array, Result, Tensor};

use super::formula::{Formula, FormulaEngine, Update, rated};
use super::members::in_range;
use super::pointwise::settings;

settings! {
    /// LAMB: Adam's direction, with a length in proportion to the parameter's own norm, so that very
    /// large batches train as small ones. Decoupled weight decay. You et al., 2020.
    ///
    /// `m`, `v` as Adam's, with bias correction; `r = m / (sqrt(v) + eps) + weight_decay * p`,
    /// `p -= lr * |p| / |r| * r` with 2-norms of the parameter; the quotient is 1 where one of them
    /// is 0.
    ///
    /// ```
    /// use gradus_core::Tensor;
    /// use gradus_nn::{Linear, Optimizer, optim::Lamb};
    /// let model = Linear::new(2, 1);
    /// let mut opt = Lamb::new(&model, 1e-2).weight_decay(0.01);
    /// let (x, y) = (Tensor::from([[1.0, 2.0]]), Tensor::from([[30.0]]));
    /// let first = opt.step(&model.forward(&x).mse_loss(&y))?.loss;
    /// assert!(opt.step(&model.forward(&x).mse_loss(&y))?.loss < first);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    Lamb, LambRule by FormulaEngine, usual "1e-3 to 1e-2 is usual", decay 0.0, moves betas.0;
    /// How slowly the averages move, each at least 0 and below 1; default 0.9 and 0.999.
    betas: (f64, f64) = (0.9, 0.999);
    /// Added to the root that is divided by; default 1e-6.
    eps: f64 = 1e-6;
}

rated!(LambRule);

impl Formula for LambRule {
    const NAME: &'static str = "LAMB";

    fn states(&self, _: &str, value: &Array) -> Result<Vec<(&'static str, Array)>> {
        let zeros = || Array::zeros(value.shape(), value.dtype());
        Ok(vec![("exp_avg", zeros()?), ("exp_avg_sq", zeros()?)])
    }

    fn update(&self, u: &Update<'_>) -> Result<Tensor> {
        let (beta1, beta2) = self.betas;
        let t = u.step as f64;
        let g = if self.maximize { -u.gradient } else { u.gradient.clone() };
        let (m, v) = (u.state("exp_avg")?, u.state("exp_avg_sq")?);
        let average = beta1 * m.tensor() + (1.0 - beta1) * &g;
        let squares = beta2 * v.tensor() + (1.0 - beta2) * g.square();
        m.assign(&average);
        v.assign(&squares);
        let average = average / (1.0 - libm::pow(beta1, t));
        let root = (squares / (1.0 - libm::pow(beta2, t))).sqrt() + self.eps;
        let r = average / root + u.weight_decay * &u.value;
        let (own, step) = (u.value.square().sum().sqrt(), r.square().sum().sqrt());
        let plain = own.eq(0.0) | step.eq(0.0);
        let trust = plain.where_(1.0, own / plain.where_(1.0, step));
        Ok(&u.value - u.lr * trust * r)
    }

    fn validate(&self) -> Result<()> {
        for beta in [self.betas.0, self.betas.1] {
            let ok = (0.0..1.0).contains(&beta);
            in_range(Self::NAME, "betas", beta, ok, "at least 0 and below 1")?;
        }
        in_range(Self::NAME, "epsilon", self.eps, self.eps >= 0.0, "0 or more")
    }
}
