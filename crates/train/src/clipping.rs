//! The limits of a training's gradients.

use gradus_core::{Code, Error, Gradients, Param, Result, StepReport, Tensor};
use gradus_nn::optim::clip_adaptive;
use gradus_nn::{Layer, Optimizer};
use serde::{Deserialize, Serialize};

/// The smallest length that a row of a weight counts as in adaptive clipping, as in the paper.
const EPS: f64 = 1e-3;

/// How gradients are limited before a step; nothing by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Clipping {
    /// The largest size of an element.
    #[serde(default, rename = "clip_value")]
    pub(crate) value: Option<f64>,
    /// The largest norm of a unit's gradient over the norm of its weights.
    #[serde(default, rename = "clip_adaptive")]
    pub(crate) adaptive: Option<f64>,
    /// The largest norm of all together.
    #[serde(default, rename = "clip_norm")]
    pub(crate) norm: Option<f64>,
}

impl Clipping {
    /// Each limit with what it is.
    pub(crate) fn limits(&self) -> [(&'static str, Option<f64>); 3] {
        [("clip_value", self.value), ("clip_adaptive", self.adaptive), ("clip_norm", self.norm)]
    }

    /// Refuses limits that leave nothing.
    pub(crate) fn check(&self) -> Result<()> {
        let ways = ["values of", "a length over the weights' of", "a norm of"];
        for ((_, limit), way) in self.limits().into_iter().zip(ways) {
            if let Some(limit) = limit.filter(|&n| n.is_nan() || n <= 0.0) {
                let text = format!("gradients cannot be clipped to {way} {limit}");
                let usual = if way.ends_with("norm of") { "1.0" } else { "0.01 to 1.0" };
                return Err(Error::new(Code::Argument, text).help(format!("{usual} is usual")));
            }
        }
        Ok(())
    }

    /// A step along limited gradients.
    pub(crate) fn step(
        &self,
        model: &dyn Layer,
        optimizer: &mut dyn Optimizer,
        loss: &mut dyn FnMut() -> Tensor,
    ) -> Result<StepReport> {
        if *self == Clipping::default() {
            return optimizer.step_with(loss);
        }
        let loss = loss();
        let gradients = self.limit(model, loss.backward()?);
        let reached = |param: &Param| gradients.get(param).is_some();
        let params = optimizer.parameters();
        let untouched = params.iter().filter(|p| !reached(p)).map(Param::id).collect();
        optimizer.apply(&gradients)?;
        Ok(StepReport { loss: loss.item()?, untouched })
    }

    fn limit(&self, model: &dyn Layer, mut gradients: Gradients) -> Gradients {
        if let Some(limit) = self.value {
            gradients = gradients.clip_value(limit);
        }
        if let Some(clipping) = self.adaptive {
            gradients = clip_adaptive(model, &gradients, clipping, EPS);
        }
        match self.norm {
            Some(norm) => gradients.clip_norm(norm),
            None => gradients,
        }
    }
}
