//! Adafactor.

use gradus_core::{Array, DType, Result, Tensor};

use super::formula::{Formula, FormulaEngine, Update, rated};
use super::members::in_range;
use super::pointwise::settings;

settings! {
    /// Adafactor: the averages of squared gradients of a matrix are kept as one number a row and one a
    /// column, so its state is small; steps are in proportion to the size of the parameter.
    /// Decoupled weight decay. Shazeer and Stern, 2018, as PyTorch has it.
    ///
    /// With `b = t^beta2_decay`: `R = (1 - b) R + b mean_columns(g^2)`, `C` likewise over rows,
    /// `V = R C / max(mean(R), eps1)` (of a vector: `V = (1 - b) V + b g^2`),
    /// `u = g / sqrt(max(V, eps1^2))`, `p = (1 - lr * weight_decay) p
    /// - min(lr, 1 / sqrt(t)) * max(eps2, rms(p)) * u / max(1, rms(u) / d)`.
    /// Of more than two axes the last two are rows and columns.
    ///
    /// ```
    /// use gradus_core::Tensor;
    /// use gradus_nn::{Linear, Optimizer, optim::Adafactor};
    /// let model = Linear::new(2, 1);
    /// let mut opt = Adafactor::new(&model, 0.01);
    /// let (x, y) = (Tensor::from([[1.0, 2.0]]), Tensor::from([[30.0]]));
    /// let first = opt.step(&model.forward(&x).mse_loss(&y))?.loss;
    /// assert!(opt.step(&model.forward(&x).mse_loss(&y))?.loss < first);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    Adafactor, AdafactorRule by FormulaEngine, usual "1e-2 is usual", decay 0.0;
    /// How fast the averages slow down; 0 or less, default -0.8.
    beta2_decay: f64 = -0.8;
    /// The smallest mean square that is divided by (`None`: what the type resolves), and the smallest
    /// size that a parameter counts as; default `None` and 1e-3.
    eps: (Option<f64>, f64) = (None, 1e-3);
    /// The largest root mean square of a step's direction; 1 or more, default 1.
    d: f64 = 1.0;
}

rated!(AdafactorRule);

/// The root of the mean square; 0 of nothing.
fn rms(x: &Tensor, numel: usize) -> Tensor {
    (x.square().sum() / numel.max(1) as f64).sqrt()
}

impl Formula for AdafactorRule {
    const NAME: &'static str = "Adafactor";

    fn states(&self, _: &str, value: &Array) -> Result<Vec<(&'static str, Array)>> {
        let (shape, dtype) = (value.shape(), value.dtype());
        if shape.rank() < 2 {
            return Ok(vec![("variance", Array::zeros(shape, dtype)?)]);
        }
        let mut rows = shape.dims().to_vec();
        let mut columns = rows.clone();
        if let ([.., row], [.., column, _]) = (&mut rows[..], &mut columns[..]) {
            (*row, *column) = (1, 1);
        }
        let (row, column) = (Array::zeros(&rows[..], dtype)?, Array::zeros(&columns[..], dtype)?);
        Ok(vec![("row_var", row), ("col_var", column)])
    }

    fn update(&self, u: &Update<'_>) -> Result<Tensor> {
        let shape = u.value.shape()?;
        let epsilon =
            if u.value.dtype()? == DType::F64 { f64::EPSILON } else { f32::EPSILON.into() };
        let (eps1, eps2) = (self.eps.0.unwrap_or(epsilon), self.eps.1);
        let t = u.step as f64;
        let weight = libm::pow(t, self.beta2_decay);
        let g = if self.maximize { -u.gradient } else { u.gradient.clone() };
        let average = |name: &str, now: Tensor| {
            let state = u.state(name)?;
            let average = state.tensor().lerp(&now, weight);
            state.assign(&average);
            Ok(average)
        };
        let variance = if shape.rank() < 2 {
            average("variance", g.square())?
        } else {
            let row = average("row_var", g.square().mean_keepdim(-1))?;
            let column = average("col_var", g.square().mean_keepdim(-2))?;
            &row * column / row.mean_keepdim(-2).clamp_min(eps1)
        };
        let direction = g / variance.clamp_min(eps1 * eps1).sqrt();
        let numel = shape.numel();
        let size = rms(&u.value, numel).clamp_min(eps2) * f64::min(u.lr, 1.0 / libm::sqrt(t));
        let rate = size / (rms(&direction, numel) / self.d).clamp_min(1.0);
        Ok(&u.value * (1.0 - u.lr * u.weight_decay) - rate * direction)
    }

    fn validate(&self) -> Result<()> {
        let check = |what, value, ok, range| in_range(Self::NAME, what, value, ok, range);
        check("beta2 decay", self.beta2_decay, self.beta2_decay <= 0.0, "0 or less")?;
        let eps1 = self.eps.0.unwrap_or(0.0);
        check("first epsilon", eps1, eps1 >= 0.0, "0 or more")?;
        check("second epsilon", self.eps.1, self.eps.1 >= 0.0, "0 or more")?;
        check("threshold d", self.d, self.d >= 1.0, "1 or more")
    }
}
