//! Muon.

use gradus_core::{Array, Result, Tensor};

use super::argument;
use super::formula::{Formula, FormulaEngine, Update, rated};
use super::members::in_range;
use super::pointwise::settings;

/// How [`Muon`]'s rate depends on the shape `[a, b]` of a matrix.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AdjustLr {
    /// `sqrt(max(1, a / b))`, as it was published.
    #[default]
    Original,
    /// `0.2 sqrt(max(a, b))`: steps as large as AdamW's, whose rate and decay then fit. Liu et al., 2025.
    MatchRmsAdamW,
}

settings! {
    /// Muon: the momentum of a matrix, made orthogonal, so that all its directions count alike.
    /// Decoupled weight decay. For the matrices of hidden layers: another parameter is an error that
    /// names it. Jordan et al., 2024.
    ///
    /// `B = momentum * B + (1 - momentum) g`, `u = (1 - momentum) g + momentum * B` (Nesterov) or `B`,
    /// `X = u / |u|`, five times `X = a X + (b A + c A^2) X` with `A = X X^T`, then
    /// `p = (1 - lr * weight_decay) p - lr * adjust * X`. As PyTorch has it, but for the type: PyTorch
    /// computes `X` in bf16, Gradus in the parameter's own type.
    ///
    /// Other parameters need an optimizer of their own; [`Together`](super::Together) makes one of both:
    ///
    /// ```
    /// use gradus_core::Tensor;
    /// use gradus_nn::optim::{Muon, Together};
    /// use gradus_nn::{AdamW, Linear, ModuleExt, Optimizer};
    /// let model = Linear::new(2, 2);
    /// let muon = Muon::new(&model.select(|_, p| p.shape().rank() == 2), 0.02);
    /// let adamw = AdamW::new(&model.select(|_, p| p.shape().rank() != 2), 1e-3);
    /// let mut opt = Together::new(muon).with(adamw);
    /// let (x, y) = (Tensor::from([[1.0, 2.0]]), Tensor::from([[30.0, 3.0]]));
    /// let first = opt.step(&model.forward(&x).mse_loss(&y))?.loss;
    /// assert!(opt.step(&model.forward(&x).mse_loss(&y))?.loss < first);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    Muon, MuonRule by FormulaEngine, usual "1e-3 to 2e-2 is usual", decay 0.1, moves momentum;
    /// How much of the last direction is kept; 0 or more, default 0.95.
    momentum: f64 = 0.95;
    /// Nesterov's momentum. Default on.
    nesterov: bool = true;
    /// Of the polynomial that makes a matrix orthogonal; default 3.4445, -4.775 and 2.0315.
    ns_coefficients: (f64, f64, f64) = (3.4445, -4.7750, 2.0315);
    /// The smallest norm that is divided by; default 1e-7.
    eps: f64 = 1e-7;
    /// How often the polynomial is used; below 100, default 5.
    ns_steps: usize = 5;
    /// How the rate depends on the shape.
    adjust_lr: AdjustLr = AdjustLr::Original;
}

rated!(MuonRule);

impl MuonRule {
    /// About `U V^T` of the singular value decomposition `U S V^T`; singular values become numbers
    /// near 1.
    fn orthogonal(&self, x: &Tensor, wide: bool) -> Tensor {
        let (a, b, c) = self.ns_coefficients;
        let mut x = if wide { x.clone() } else { x.t() };
        x = &x / x.square().sum().sqrt().clamp_min(self.eps);
        for _ in 0..self.ns_steps {
            let gram = x.matmul(x.t());
            let factor = b * &gram + c * gram.matmul(&gram);
            x = a * &x + factor.matmul(&x);
        }
        if wide { x } else { x.t() }
    }
}

impl Formula for MuonRule {
    const NAME: &'static str = "Muon";

    fn states(&self, name: &str, value: &Array) -> Result<Vec<(&'static str, Array)>> {
        if value.shape().rank() != 2 {
            let text = format!("Muon trains matrices; `{name}` has the shape {}", value.shape());
            return Err(argument(text).help(
                "give it `model.select(|_, p| p.shape().rank() == 2)` and the others to another \
                 optimizer; `Together` makes one of both",
            ));
        }
        Ok(vec![("momentum_buffer", Array::zeros(value.shape(), value.dtype())?)])
    }

    fn update(&self, u: &Update<'_>) -> Result<Tensor> {
        let [rows, columns] = u.value.dims::<2>()?;
        let g = if self.maximize { -u.gradient } else { u.gradient.clone() };
        let state = u.state("momentum_buffer")?;
        let buffer = state.tensor().lerp(&g, 1.0 - self.momentum);
        state.assign(&buffer);
        let direction = if self.nesterov { g.lerp(&buffer, self.momentum) } else { buffer };
        let step = self.orthogonal(&direction, rows <= columns);
        let (a, b) = (rows as f64, columns as f64);
        let adjust = match self.adjust_lr {
            AdjustLr::Original => libm::sqrt(f64::max(1.0, a / b)),
            AdjustLr::MatchRmsAdamW => 0.2 * libm::sqrt(f64::max(a, b)),
        };
        Ok(&u.value * (1.0 - u.lr * u.weight_decay) - (u.lr * adjust) * step)
    }

    fn validate(&self) -> Result<()> {
        let check = |what, value, ok, range| in_range(Self::NAME, what, value, ok, range);
        check("momentum", self.momentum, self.momentum >= 0.0, "0 or more")?;
        check("epsilon", self.eps, self.eps >= 0.0, "0 or more")?;
        let (a, b, c) = self.ns_coefficients;
        check("coefficients", a + b + c, true, "finite")?;
        check("number of steps", self.ns_steps as f64, self.ns_steps < 100, "below 100")
    }
}
