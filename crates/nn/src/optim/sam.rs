//! Sharpness-aware minimisation.

use gradus_core::{
    Array, Code, Error, Gradients, Param, Result, StepReport, Tensor, no_grad, transaction,
};

use super::members::{in_range, unreached};
use super::{Optimizer, nested};
use crate::state::StateDict;

/// Sharpness-aware minimisation around another optimizer: its step is made with the gradient at the
/// worst place nearby, so that it ends where the loss is flat. Twice the work. Foret et al., 2021;
/// adaptive: Kwon et al., 2021.
///
/// `e = rho * g / |g|` (2-norm over all gradients), then the optimizer steps from `w` with the
/// gradient at `w + e`. Use [`Optimizer::step_with`]: the loss is computed twice, at `w` and at
/// `w + e`, so running statistics and dropout move twice. The report has the loss at `w`.
///
/// ```
/// use gradus_core::Tensor;
/// use gradus_nn::{Linear, Optimizer, Sgd, optim::Sam};
/// let model = Linear::new(2, 1);
/// let mut opt = Sam::new(Sgd::new(&model, 0.01), 0.05);
/// let (x, y) = (Tensor::from([[1.0, 2.0]]), Tensor::from([[30.0]]));
/// let mut loss = || model.forward(&x).mse_loss(&y);
/// let first = opt.step_with(&mut loss)?.loss;
/// assert!(opt.step_with(&mut loss)?.loss < first);
/// # Ok::<(), gradus_core::Error>(())
/// ```
pub struct Sam<O> {
    base: O,
    rho: f64,
    adaptive: bool,
    params: Vec<Param>,
}

impl<O: Optimizer> Sam<O> {
    /// Around an optimizer, looking `rho` far: 0.05 is usual, adaptive 0.5 to 2.
    pub fn new(base: O, rho: f64) -> Sam<O> {
        let params = base.parameters();
        Sam { base, rho, adaptive: false, params }
    }

    /// Measures nearness relative to each weight: `e = rho * w^2 g / |w g|`. Default off.
    #[must_use]
    pub fn adaptive(mut self, adaptive: bool) -> Sam<O> {
        self.adaptive = adaptive;
        self
    }

    /// The optimizer inside.
    pub fn base(&self) -> &O {
        &self.base
    }

    /// Moves the parameters to the worst place nearby.
    #[track_caller]
    fn climb(&self, gradients: &Gradients) -> Result<()> {
        transaction(|| {
            no_grad(|| {
                let reached: Vec<(&Param, &Tensor)> =
                    self.params.iter().filter_map(|p| Some((p, gradients.get(p)?))).collect();
                let scaled = |(p, g): (&Param, &Tensor)| match self.adaptive {
                    true => p.tensor().abs() * g,
                    false => g.clone(),
                };
                let squares = reached.iter().map(|&pair| scaled(pair).square().sum());
                let Some(total) = squares.reduce(|a, b| a + b) else { return Err(unreached()) };
                let scale = self.rho / (total.sqrt() + 1e-12);
                for (param, gradient) in reached {
                    let w = param.tensor();
                    let direction = match self.adaptive {
                        true => w.square() * gradient,
                        false => gradient.clone(),
                    };
                    param.assign(&(w + &scale * direction));
                }
                Ok(())
            })
        })
    }
}

fn twice() -> Error {
    Error::new(Code::Argument, "Sam needs the loss at two places").help(
        "call `step_with(&mut || model.forward(&x).cross_entropy(&y))`, without clipping and \
         accumulation",
    )
}

impl<O: Optimizer> Optimizer for Sam<O> {
    #[track_caller]
    fn step(&mut self, _: &Tensor) -> Result<StepReport> {
        Err(twice())
    }

    #[track_caller]
    fn step_with(&mut self, loss: &mut dyn FnMut() -> Tensor) -> Result<StepReport> {
        in_range("Sam", "rho", self.rho, self.rho >= 0.0, "0 or more")?;
        let before: Vec<Array> = self.params.iter().map(Param::get).collect::<Result<_>>()?;
        let first = loss();
        let gradients = first.backward()?;
        self.climb(&gradients)?;
        let value = first.item()?;
        let params = self.params.iter();
        let untouched = params.filter(|p| gradients.get(p).is_none()).map(Param::id).collect();
        drop((first, gradients));
        // The loss takes the values as they are while it is recorded, so they can go back before
        // anything runs, also when it failed.
        let second = loss().backward();
        for (param, value) in self.params.iter().zip(before) {
            param.set(value)?;
        }
        self.base.apply(&second?)?;
        Ok(StepReport { loss: value, untouched })
    }

    #[track_caller]
    fn apply(&mut self, _: &Gradients) -> Result<()> {
        Err(twice())
    }

    #[track_caller]
    fn accumulate(&mut self, _: &Tensor) -> Result<f64> {
        Err(twice())
    }

    #[track_caller]
    fn apply_accumulated(&mut self) -> Result<()> {
        Err(twice())
    }

    fn clear_accumulated(&mut self) {}

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
        let mut state = StateDict::new();
        let name = nested::put(&mut state, "base", &mut self.base)?;
        state.set_metadata("optimizer", format!("Sam({name})"));
        Ok(state)
    }

    fn load_state_dict(&mut self, state: &StateDict) -> Result<()> {
        nested::is_of("Sam", state)?;
        self.base.load_state_dict(&nested::part(state, "base"))
    }
}
