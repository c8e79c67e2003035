//! Several optimizers as one.

use gradus_core::{Code, Error, Gradients, Param, Result, StepReport, Tensor};

use super::members::unreached;
use super::{Optimizer, nested};
use crate::state::StateDict;

/// Optimizers that train different parameters of a model, as one: Muon for the matrices and AdamW for
/// the rest, say. See [`Muon`](super::Muon) for an example.
///
/// A gradient that is not finite is found before any of them steps. `lr` is the first one's; the
/// others keep their ratio to it.
pub struct Together {
    parts: Vec<Box<dyn Optimizer>>,
    /// Rates of the parts over the first one's.
    ratios: Vec<f64>,
    steps: u64,
    checked: bool,
}

impl Together {
    /// One optimizer; add others with [`Together::with`].
    pub fn new(first: impl Optimizer + 'static) -> Together {
        Together { parts: vec![Box::new(first)], ratios: vec![1.0], steps: 0, checked: false }
    }

    /// And another one.
    #[must_use]
    pub fn with(mut self, next: impl Optimizer + 'static) -> Together {
        self.ratios.push(if self.lr() > 0.0 { next.lr() / self.lr() } else { 1.0 });
        self.parts.push(Box::new(next));
        self
    }

    /// Settings that are out of range are found before the first step.
    fn check(&mut self) -> Result<()> {
        if !self.checked {
            self.parts.iter_mut().try_for_each(|part| part.state_dict().map(drop))?;
            self.checked = true;
        }
        Ok(())
    }

    /// Gives each part its gradients.
    #[track_caller]
    fn apply_all(&mut self, gradients: &Gradients, loss: Option<&Tensor>) -> Result<()> {
        self.check()?;
        let reached = |part: &dyn Optimizer| {
            part.parameters().iter().any(|param| gradients.get(param).is_some())
        };
        let mut parts: Vec<_> = self.parts.iter_mut().filter(|part| reached(&***part)).collect();
        if parts.is_empty() {
            return Err(unreached());
        }
        // The gradients first: the loss then has its value from the same run.
        let largest = gradients.norm_of(f64::INFINITY).item()?;
        let loss = loss.map_or(Ok(0.0), Tensor::item)?;
        if !(largest.is_finite() && loss.is_finite()) {
            let text = "the loss or a gradient is infinite or NaN";
            return Err(Error::new(Code::NonFinite, text).help(
                "nothing was changed by this step; lower the learning rate, or look at the batch",
            ));
        }
        parts.iter_mut().try_for_each(|part| part.apply(gradients))?;
        self.steps += 1;
        Ok(())
    }
}

impl Optimizer for Together {
    #[track_caller]
    fn step(&mut self, loss: &Tensor) -> Result<StepReport> {
        let gradients = loss.backward()?;
        self.apply_all(&gradients, Some(loss))?;
        let params = self.parameters().into_iter();
        let untouched = params.filter(|p| gradients.get(p).is_none()).map(|p| p.id()).collect();
        Ok(StepReport { loss: loss.item()?, untouched })
    }

    #[track_caller]
    fn apply(&mut self, gradients: &Gradients) -> Result<()> {
        self.apply_all(gradients, None)
    }

    #[track_caller]
    fn accumulate(&mut self, _: &Tensor) -> Result<f64> {
        Err(Error::new(Code::Argument, "Together does not accumulate gradients")
            .help("add them yourself and `apply` the sum"))
    }

    #[track_caller]
    fn apply_accumulated(&mut self) -> Result<()> {
        Err(Error::new(Code::Gradient, "no gradients were accumulated"))
    }

    fn clear_accumulated(&mut self) {}

    fn lr(&self) -> f64 {
        self.parts.first().map_or(0.0, |part| part.lr())
    }

    fn set_lr(&mut self, lr: f64) {
        for (part, ratio) in self.parts.iter_mut().zip(&self.ratios) {
            part.set_lr(lr * ratio);
        }
    }

    fn set_momentum(&mut self, momentum: f64) -> bool {
        let moved = self.parts.iter_mut().map(|part| part.set_momentum(momentum));
        moved.filter(|&moved| moved).count() > 0
    }

    fn steps(&self) -> u64 {
        self.steps
    }

    fn parameters(&self) -> Vec<Param> {
        self.parts.iter().flat_map(|part| part.parameters()).collect()
    }

    fn state_dict(&mut self) -> Result<StateDict> {
        let mut state = StateDict::new();
        let mut names = Vec::new();
        for (i, part) in self.parts.iter_mut().enumerate() {
            names.push(nested::put(&mut state, &i.to_string(), &mut **part)?);
        }
        state.insert("steps", gradus_core::Array::new((), &[self.steps as i64])?);
        state.set_metadata("optimizer", format!("Together({})", names.join(", ")));
        Ok(state)
    }

    fn load_state_dict(&mut self, state: &StateDict) -> Result<()> {
        nested::is_of("Together", state)?;
        let steps = state.get("steps").map(super::members::count).transpose()?.unwrap_or(0);
        let before: Vec<StateDict> =
            self.parts.iter_mut().map(|part| part.state_dict()).collect::<Result<_>>()?;
        for i in 0..self.parts.len() {
            let own = nested::part(state, &i.to_string());
            let done = self.parts.get_mut(i).map_or(Ok(()), |part| part.load_state_dict(&own));
            if let Err(error) = done {
                for (part, before) in self.parts.iter_mut().zip(&before).take(i) {
                    part.load_state_dict(before)?;
                }
                return Err(error.line("part", i.to_string()));
            }
        }
        self.steps = steps;
        Ok(())
    }
}
