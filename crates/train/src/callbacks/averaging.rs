//! Ends a training with averaged weights.

use gradus_core::Result;
use gradus_nn::StateDict;
use gradus_nn::optim::Average;

use crate::event::{Callback, CallbackState, Event, Flow, TrainState};

/// Averages the weights while a model trains, and puts the average into the model at the end: a moving
/// average after each step, or the mean of those at the end of the last epochs.
///
/// What is measured after an epoch is of the weights as they are then. With `restore_best` of another
/// callback, add this one first: the last one has the say.
///
/// ```
/// use gradus_nn::{Linear, Sgd};
/// use gradus_train::{Averaging, Epochs, Loss, Trainer};
/// let digits = gradus_data::digits()?.take(256);
/// let model = Linear::new(64, 10);
/// Trainer::new(&model, Sgd::new(&model, 0.1))
///     .loss(Loss::CrossEntropy)
///     .callback(Averaging::swa(2))
///     .fit(&digits, None, Epochs(4))?;
/// # Ok::<(), gradus_core::Error>(())
/// ```
pub struct Averaging {
    kind: Kind,
    average: Option<Average>,
    /// Of a run that is resumed, until the model is known.
    saved: Option<StateDict>,
}

enum Kind {
    Moving(f64),
    From(usize),
}

impl Averaging {
    /// A moving average of the weights after each step, with a decay such as 0.999.
    pub fn ema(decay: f64) -> Averaging {
        Averaging { kind: Kind::Moving(decay), average: None, saved: None }
    }

    /// The mean of the weights at the end of each epoch from `epoch` on (1 is the first).
    pub fn swa(epoch: usize) -> Averaging {
        Averaging { kind: Kind::From(epoch), average: None, saved: None }
    }
}

impl Callback for Averaging {
    fn on_event(&mut self, event: &Event<'_>, state: &mut TrainState<'_>) -> Result<Flow> {
        if let Event::FitStart { .. } = event {
            let mut average = match self.kind {
                Kind::Moving(decay) => Average::ema(state.model(), decay),
                Kind::From(_) => Average::swa(state.model()),
            };
            if let Some(saved) = self.saved.take() {
                average.load_state_dict(&saved)?;
            }
            self.average = Some(average);
        }
        let Some(average) = &mut self.average else { return Ok(Flow::Continue) };
        match (event, &self.kind) {
            (Event::StepEnd { .. }, Kind::Moving(_)) => average.update()?,
            (Event::EpochEnd { epoch, .. }, Kind::From(first)) if epoch >= first => {
                average.update()?;
            }
            (Event::TrainingEnd { .. }, _) if average.updates() > 0 => average.swap()?,
            _ => {}
        }
        Ok(Flow::Continue)
    }

    fn name(&self) -> &'static str {
        "averaging"
    }

    fn save_state(&self) -> Option<CallbackState> {
        let arrays = self.average.as_ref().and_then(|a| a.state_dict().ok()).unwrap_or_default();
        Some(CallbackState { arrays, ..CallbackState::default() })
    }

    fn load_state(&mut self, state: CallbackState) -> Result<()> {
        self.saved = (!state.arrays.is_empty()).then_some(state.arrays);
        Ok(())
    }
}
