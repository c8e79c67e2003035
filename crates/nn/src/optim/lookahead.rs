//! Lookahead.

use gradus_core::{
    Array, Buffer, Code, Error, Gradients, Param, Result, StepReport, Tensor, transaction,
};

use super::members::in_range;
use super::{Optimizer, argument, nested};
use crate::state::StateDict;

/// Lookahead around another optimizer: slow weights that go a part of the way after every few
/// steps, from where the fast ones then start again. Zhang et al., 2019.
///
/// After every `k` steps of the optimizer: `slow += alpha * (fast - slow)`, `fast = slow`.
///
/// ```
/// use gradus_core::Tensor;
/// use gradus_nn::{Adam, Linear, Optimizer, optim::Lookahead};
/// let model = Linear::new(2, 1);
/// let mut opt = Lookahead::new(Adam::new(&model, 1e-2)).k(5).alpha(0.5);
/// let (x, y) = (Tensor::from([[1.0, 2.0]]), Tensor::from([[30.0]]));
/// let first = opt.step(&model.forward(&x).mse_loss(&y))?.loss;
/// assert!(opt.step(&model.forward(&x).mse_loss(&y))?.loss < first);
/// # Ok::<(), gradus_core::Error>(())
/// ```
pub struct Lookahead<O> {
    base: O,
    k: u64,
    alpha: f64,
    /// The slow weights, one a parameter; empty before the first step.
    slow: Vec<Buffer>,
    params: Vec<Param>,
}

impl<O: Optimizer> Lookahead<O> {
    /// Around an optimizer, with `k` 6 and `alpha` 0.5.
    pub fn new(base: O) -> Lookahead<O> {
        let params = base.parameters();
        Lookahead { base, k: 6, alpha: 0.5, slow: Vec::new(), params }
    }

    /// Steps of the optimizer between two of the slow weights; 1 or more, default 6.
    #[must_use]
    pub fn k(mut self, k: u64) -> Lookahead<O> {
        self.k = k;
        self
    }

    /// How much of the way the slow weights go; from 0 to 1, default 0.5.
    #[must_use]
    pub fn alpha(mut self, alpha: f64) -> Lookahead<O> {
        self.alpha = alpha;
        self
    }

    /// The optimizer inside.
    pub fn base(&self) -> &O {
        &self.base
    }

    fn prepare(&mut self) -> Result<()> {
        gradus_core::refuse_capture("Lookahead")?;
        in_range(
            "Lookahead",
            "alpha",
            self.alpha,
            (0.0..=1.0).contains(&self.alpha),
            "from 0 to 1",
        )?;
        if self.k == 0 {
            return Err(argument("Lookahead: k must be 1 or more, not 0".to_string()));
        }
        if self.slow.is_empty() {
            let first: Result<Vec<Array>> = self.params.iter().map(Param::get).collect();
            self.slow = first?.into_iter().map(Buffer::new).collect();
        }
        Ok(())
    }

    /// After a step of the optimizer.
    #[track_caller]
    fn look(&mut self) -> Result<()> {
        if !self.base.steps().is_multiple_of(self.k) {
            return Ok(());
        }
        transaction(|| {
            gradus_core::no_grad(|| {
                for (param, slow) in self.params.iter().zip(&self.slow) {
                    let value = slow.tensor().lerp(&param.tensor(), self.alpha);
                    slow.assign(&value);
                    param.assign(&value);
                }
            });
            Ok(())
        })
    }
}

impl<O: Optimizer> Optimizer for Lookahead<O> {
    #[track_caller]
    fn step(&mut self, loss: &Tensor) -> Result<StepReport> {
        self.prepare()?;
        let report = self.base.step(loss)?;
        self.look()?;
        Ok(report)
    }

    #[track_caller]
    fn step_with(&mut self, loss: &mut dyn FnMut() -> Tensor) -> Result<StepReport> {
        self.prepare()?;
        let report = self.base.step_with(loss)?;
        self.look()?;
        Ok(report)
    }

    #[track_caller]
    fn apply(&mut self, gradients: &Gradients) -> Result<()> {
        self.prepare()?;
        self.base.apply(gradients)?;
        self.look()
    }

    #[track_caller]
    fn accumulate(&mut self, loss: &Tensor) -> Result<f64> {
        self.base.accumulate(loss)
    }

    #[track_caller]
    fn apply_accumulated(&mut self) -> Result<()> {
        self.prepare()?;
        self.base.apply_accumulated()?;
        self.look()
    }

    fn clear_accumulated(&mut self) {
        self.base.clear_accumulated();
    }

    fn lr(&self) -> f64 {
        self.base.lr()
    }

    fn set_lr(&mut self, lr: f64) {
        self.base.set_lr(lr);
    }

    fn set_momentum(&mut self, momentum: f64) -> bool {
        self.base.set_momentum(momentum)
    }

    fn steps(&self) -> u64 {
        self.base.steps()
    }

    fn parameters(&self) -> Vec<Param> {
        self.base.parameters()
    }

    fn state_dict(&mut self) -> Result<StateDict> {
        self.prepare()?;
        let mut state = StateDict::new();
        let name = nested::put(&mut state, "base", &mut self.base)?;
        for (i, slow) in self.slow.iter().enumerate() {
            state.insert(format!("slow.{i}"), slow.get()?);
        }
        state.set_metadata("optimizer", format!("Lookahead({name})"));
        Ok(state)
    }

    fn load_state_dict(&mut self, state: &StateDict) -> Result<()> {
        nested::is_of("Lookahead", state)?;
        self.prepare()?;
        let fits = |(i, own): (usize, &Buffer)| {
            let name = format!("slow.{i}");
            let value =
                state.get(&name).filter(|v| v.shape() == own.shape() && v.dtype() == own.dtype());
            value.cloned().ok_or_else(|| {
                let text = format!("the saved state has no `{name}` that is {}", own.shape());
                Error::new(Code::State, text)
            })
        };
        let slow = self.slow.iter().enumerate().map(fits).collect::<Result<Vec<_>>>()?;
        self.base.load_state_dict(&nested::part(state, "base"))?;
        self.slow.iter().zip(slow).try_for_each(|(own, value)| own.set(value))
    }
}
