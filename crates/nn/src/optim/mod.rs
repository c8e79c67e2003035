//! Optimizers: rules that change parameters from gradients, with their state.
//!
//! Most rules are one pass of the engine over a parameter: `engine.rs` does the work for them, a
//! rule says its numbers ([`Sgd`], [`Adam`], [`AdamW`]). A rule that needs norms or products is
//! a [`Formula`] of tensors ([`Adafactor`], [`Muon`], [`Lamb`]), and so is one of your own. What they
//! share (names, groups, step counts, accumulation, what is saved) is in `members.rs`.
//!
//! Gradient descent on the whole data set is [`Sgd`] with all of it as one batch.

mod adadelta;
mod adafactor;
mod adagrad;
mod adam;
mod adamax;
mod asgd;
mod average;
mod clip;
mod engine;
mod formula;
mod lamb;
mod lbfgs;
mod lion;
mod live;
mod lookahead;
mod members;
mod muon;
mod nadam;
mod nested;
mod pointwise;
mod proportional;
mod radam;
pub mod registry;
mod rmsprop;
mod rprop;
mod sam;
mod sgd;
mod together;
mod wolfe;

pub use adadelta::Adadelta;
pub use adafactor::Adafactor;
pub use adagrad::Adagrad;
pub use adam::{Adam, AdamW};
pub use adamax::Adamax;
pub use asgd::Asgd;
pub use average::Average;
pub use clip::clip_adaptive;
pub use formula::{ByFormula, Formula, Update};
pub use lamb::Lamb;
pub use lbfgs::{Lbfgs, LineSearch};
pub use lion::Lion;
pub use lookahead::Lookahead;
pub use members::GroupOptions;
pub use muon::{AdjustLr, Muon};
pub use nadam::NAdam;
pub use proportional::{Proportional, ProportionalTo};
pub use radam::RAdam;
pub use rmsprop::RmsProp;
pub use rprop::Rprop;
pub use sam::Sam;
pub use sgd::Sgd;
pub use together::Together;

use gradus_core::{Code, Error, Gradients, Param, Result, StepReport, Tensor};

use crate::state::StateDict;

/// What trains parameters.
///
/// A step that fails changes nothing: parameters, optimizer state and step counts are as before.
pub trait Optimizer: Send {
    /// Differentiates the loss and updates the parameters, as one plan.
    ///
    /// Parameters that the loss did not depend on stay as they are, their step counts too; the
    /// report lists them.
    ///
    /// # Errors
    /// The first error of recording the loss; of a layer whose constructor failed; a
    /// hyper-parameter out of range; [`Code::Gradient`] when no
    /// parameter is reached; [`Code::NonFinite`].
    #[track_caller]
    fn step(&mut self, loss: &Tensor) -> Result<StepReport>;

    /// A step whose loss is computed by a closure, which some optimizers call more than once.
    ///
    /// # Errors
    /// As [`Optimizer::step`].
    #[track_caller]
    fn step_with(&mut self, loss: &mut dyn FnMut() -> Tensor) -> Result<StepReport> {
        let loss = loss();
        self.step(&loss)
    }

    /// Updates the parameters from gradients, for example clipped ones:
    /// `opt.apply(&loss.backward()?.clip_norm(1.0))`.
    ///
    /// # Errors
    /// As [`Optimizer::step`].
    #[track_caller]
    fn apply(&mut self, gradients: &Gradients) -> Result<()>;

    /// Adds the gradients of a loss to a sum that is kept, at once; the result is the loss.
    ///
    /// For a mean over `n` parts of a batch, divide each loss by `n`.
    ///
    /// # Errors
    /// As [`Optimizer::step`]; the sum is then as before.
    #[track_caller]
    fn accumulate(&mut self, loss: &Tensor) -> Result<f64>;

    /// Updates the parameters from the accumulated gradients, and forgets those.
    ///
    /// # Errors
    /// [`Code::Gradient`] when nothing was accumulated; as
    /// [`Optimizer::step`].
    #[track_caller]
    fn apply_accumulated(&mut self) -> Result<()>;

    /// Forgets the accumulated gradients.
    fn clear_accumulated(&mut self);

    /// The learning rate. Groups with a rate of their own keep their ratio to it.
    fn lr(&self) -> f64;

    /// Sets the learning rate, for schedules; the next step uses it. No plan is made anew.
    fn set_lr(&mut self, lr: f64);

    /// Sets the momentum, or beta1, for schedules that move it; the result is whether this optimizer
    /// has one (and, of [`Sgd`] and [`RmsProp`], uses one).
    fn set_momentum(&mut self, _: f64) -> bool {
        false
    }

    /// How many steps succeeded.
    fn steps(&self) -> u64;

    /// Handles on the parameters, each once.
    fn parameters(&self) -> Vec<Param>;

    /// Everything that a later run needs to go on bit for bit: learning rate, step counts and
    /// state, by the names of the parameters. Other settings belong to the program.
    ///
    /// # Errors
    /// The error of a layer whose constructor failed.
    fn state_dict(&mut self) -> Result<StateDict>;

    /// Goes on from a saved state.
    ///
    /// # Errors
    /// [`Code::State`] when it is of another optimizer or model;
    /// nothing is changed then.
    fn load_state_dict(&mut self, state: &StateDict) -> Result<()>;
}

impl<O: Optimizer + ?Sized> Optimizer for Box<O> {
    #[track_caller]
    fn step(&mut self, loss: &Tensor) -> Result<StepReport> {
        (**self).step(loss)
    }
    #[track_caller]
    fn step_with(&mut self, loss: &mut dyn FnMut() -> Tensor) -> Result<StepReport> {
        (**self).step_with(loss)
    }
    #[track_caller]
    fn apply(&mut self, gradients: &Gradients) -> Result<()> {
        (**self).apply(gradients)
    }
    #[track_caller]
    fn accumulate(&mut self, loss: &Tensor) -> Result<f64> {
        (**self).accumulate(loss)
    }
    #[track_caller]
    fn apply_accumulated(&mut self) -> Result<()> {
        (**self).apply_accumulated()
    }
    fn clear_accumulated(&mut self) {
        (**self).clear_accumulated();
    }
    fn lr(&self) -> f64 {
        (**self).lr()
    }
    fn set_lr(&mut self, lr: f64) {
        (**self).set_lr(lr);
    }
    fn set_momentum(&mut self, momentum: f64) -> bool {
        (**self).set_momentum(momentum)
    }
    fn steps(&self) -> u64 {
        (**self).steps()
    }
    fn parameters(&self) -> Vec<Param> {
        (**self).parameters()
    }
    fn state_dict(&mut self) -> Result<StateDict> {
        (**self).state_dict()
    }
    fn load_state_dict(&mut self, state: &StateDict) -> Result<()> {
        (**self).load_state_dict(state)
    }
}

/// The constructor, common setters and the trait, for a struct of an engine and a rule.
macro_rules! optimizer {
    ($name:ident $(<$f:ident: $bound:ident>)? $(, moves $($momentum:tt).+)?) => {
        impl$(<$f: $bound>)? $name$(<$f>)? {
            /// Gives the parameters that `select` picks (by name and handle) options of their
            /// own; a parameter is in the last group that picked it.
            ///
            /// ```
            /// use gradus_nn::optim::GroupOptions;
            /// use gradus_nn::{AdamW, Linear};
            /// let model = Linear::new(4, 2);
            /// let opt = AdamW::new(&model, 1e-3)
            ///     .group(|name, _| name.ends_with("bias"), GroupOptions::new().weight_decay(0.0));
            /// # let _ = opt;
            /// ```
            #[must_use]
            pub fn group(
                mut self,
                select: impl Fn(&str, &gradus_core::Param) -> bool,
                options: $crate::optim::GroupOptions,
            ) -> $name$(<$f>)? {
                self.engine.add_group(select, options, self.rule.lr);
                self
            }
        }

        impl$(<$f: $bound>)? $crate::optim::Optimizer for $name$(<$f>)? {
            #[track_caller]
            fn step(
                &mut self,
                loss: &gradus_core::Tensor,
            ) -> gradus_core::Result<gradus_core::StepReport> {
                self.engine.step(&self.rule, loss)
            }
            #[track_caller]
            fn apply(&mut self, gradients: &gradus_core::Gradients) -> gradus_core::Result<()> {
                self.engine.apply(&self.rule, gradients)
            }
            #[track_caller]
            fn accumulate(&mut self, loss: &gradus_core::Tensor) -> gradus_core::Result<f64> {
                self.engine.accumulate(loss)
            }
            #[track_caller]
            fn apply_accumulated(&mut self) -> gradus_core::Result<()> {
                self.engine.apply_accumulated(&self.rule)
            }
            fn clear_accumulated(&mut self) {
                self.engine.clear_accumulated();
            }
            fn lr(&self) -> f64 {
                self.rule.lr
            }
            fn set_lr(&mut self, lr: f64) {
                self.rule.lr = lr;
                self.engine.publish(&self.rule);
            }
            $(fn set_momentum(&mut self, momentum: f64) -> bool {
                let own = &mut self.rule.$($momentum).+;
                // One that is off is another rule.
                let used = *own != 0.0;
                if used {
                    *own = momentum;
                    self.engine.publish(&self.rule);
                }
                used
            })?
            fn steps(&self) -> u64 {
                self.engine.steps()
            }
            fn parameters(&self) -> Vec<gradus_core::Param> {
                self.engine.parameters()
            }
            fn state_dict(&mut self) -> gradus_core::Result<$crate::StateDict> {
                self.engine.state_dict(&self.rule)
            }
            fn load_state_dict(&mut self, state: &$crate::StateDict) -> gradus_core::Result<()> {
                self.rule.lr = self.engine.load_state_dict(&self.rule, state)?;
                self.engine.publish(&self.rule);
                Ok(())
            }
        }
    };
}
use optimizer;

fn argument(text: String) -> Error {
    Error::new(Code::Argument, text)
}
