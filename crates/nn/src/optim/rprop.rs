//! Rprop.

use gradus_core::{Pointwise, Result, Rule};

use super::engine::{Method, Numbers, check};
use super::pointwise::{Common, first, method, pointwise};

pointwise! {
    /// Resilient propagation: only the sign of a gradient counts; an element's step grows while
    /// the sign stays and shrinks when it turns. For whole data sets, not for small batches.
    /// Riedmiller and Braun, 1993.
    ///
    /// ```
    /// use gradus_core::Tensor;
    /// use gradus_nn::{Linear, Optimizer, optim::Rprop};
    /// let model = Linear::new(2, 1);
    /// let mut opt = Rprop::new(&model, 0.01).etas((0.5, 1.2));
    /// let (x, y) = (Tensor::from([[1.0, 2.0]]), Tensor::from([[3.0]]));
    /// let first = opt.step(&model.forward(&x).mse_loss(&y))?.loss;
    /// assert!(opt.step(&model.forward(&x).mse_loss(&y))?.loss < first);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    Rprop, RpropRule, usual "the size of all first steps, 1e-2 is usual";
    /// The factors of a step whose sign turned (between 0 and 1) and stayed (above 1); default
    /// 0.5 and 1.2.
    etas: (f64, f64) = (0.5, 1.2);
    /// The smallest and the largest step; default 1e-6 and 50.
    step_sizes: (f64, f64) = (1e-6, 50.0);
}

impl Method for RpropRule {
    method!("Rprop", "prev", "step_size");

    fn rule(&self) -> Rule {
        Rule::Pointwise(Pointwise::Rprop)
    }

    fn numbers(&self, lr: f64, coupled: f64, count: u64) -> Numbers {
        let ((minus, plus), (least, most)) = (self.etas, self.step_sizes);
        let common = Common { maximize: self.maximize, coupled, shrink: 1.0 };
        common.numbers([plus, minus, least, most, lr, first(count)])
    }

    fn phase(&self, count: u64) -> u64 {
        count.min(1)
    }

    fn validate(&self) -> Result<()> {
        let (minus, plus) = self.etas;
        check(self, "first eta", minus, minus > 0.0 && minus < 1.0, "between 0 and 1")?;
        check(self, "second eta", plus, plus > 1.0, "above 1")?;
        let (least, most) = self.step_sizes;
        check(self, "smallest step", least, least >= 0.0 && least <= most, "0 to the largest")?;
        check(self, "largest step", most, most > 0.0, "above 0")
    }
}
