//! Update rules written with tensors: for those that need more than one pass over the elements of a
//! parameter, such as norms, factored moments and products, and for users' own.

use gradus_core::{
    Array, Buffer, Code, Error, Gradients, Param, Result, StepReport, Tensor, no_grad,
    refuse_capture, transaction,
};

use super::members::{GroupOptions, Members, States, is_of, unreached};
use super::optimizer;
use crate::module::Module;
use crate::state::StateDict;

/// An update rule written with tensors, for [`ByFormula`].
///
/// What it records becomes part of the step's plan: forward, backward and update run as one, and
/// when anything is not finite nothing changes. Numbers may be others at each step without a new plan.
pub trait Formula: Send {
    /// What it is called in messages and files.
    const NAME: &'static str;

    /// The state that a parameter has, with its first values; asked once, before the first step.
    ///
    /// # Errors
    /// When this rule cannot train such a parameter.
    fn states(&self, name: &str, value: &Array) -> Result<Vec<(&'static str, Array)>>;

    /// The new value of a parameter; new values of its state are assigned on the way.
    ///
    /// # Errors
    /// Those of the rule.
    fn update(&self, update: &Update<'_>) -> Result<Tensor>;

    /// Whether the rule's settings are in range; asked at every step.
    ///
    /// # Errors
    /// [`Code::Argument`](gradus_core::Code::Argument) with the one that is not.
    fn validate(&self) -> Result<()> {
        Ok(())
    }
}

/// What a [`Formula`] is given for one parameter.
pub struct Update<'a> {
    /// The parameter's name from the model's root.
    pub name: &'a str,
    /// Its value.
    pub value: Tensor,
    /// Its gradient.
    pub gradient: &'a Tensor,
    /// The loss, a scalar; none where only gradients are given (`apply`).
    pub loss: Option<&'a Tensor>,
    /// The learning rate of its group.
    pub lr: f64,
    /// The weight decay of its group.
    pub weight_decay: f64,
    /// Which of its steps this is, from 1.
    pub step: u64,
    states: &'a States,
}

impl Update<'_> {
    /// A part of the parameter's state, to read (`tensor`) and to `assign`.
    ///
    /// # Errors
    /// [`Code::Argument`](gradus_core::Code::Argument) when [`Formula::states`] has no such name.
    pub fn state(&self, name: &str) -> Result<&Buffer> {
        let found = self.states.iter().find(|(n, _)| *n == name);
        found.map(|(_, buffer)| buffer).ok_or_else(|| {
            let names: Vec<&str> = self.states.iter().map(|(n, _)| *n).collect();
            let text = format!("`{}` has no state `{name}`", self.name);
            Error::new(Code::Argument, text).help(format!("it has: {}", names.join(", ")))
        })
    }
}

/// A formula with its rates: what the engine below trains with.
pub(super) trait Rated: Formula {
    fn lr(&self) -> f64;
    fn weight_decay(&self) -> f64;
}

pub(super) struct FormulaEngine {
    members: Members,
    /// One list a member; empty before the first step.
    states: Vec<States>,
    /// Which members the step at hand reaches.
    reached: Vec<bool>,
}

impl FormulaEngine {
    pub(super) fn new<M: Module + ?Sized>(model: &M) -> FormulaEngine {
        FormulaEngine { members: Members::new(model), states: Vec::new(), reached: Vec::new() }
    }

    pub(super) fn add_group(
        &mut self,
        select: impl Fn(&str, &Param) -> bool,
        options: GroupOptions,
        lr: f64,
    ) {
        self.members.add_group(select, options, lr);
    }

    pub(super) fn parameters(&self) -> Vec<Param> {
        self.members.parameters()
    }

    pub(super) fn publish<F>(&self, _: &F) {}

    pub(super) fn steps(&self) -> u64 {
        self.members.steps
    }

    /// Checks the settings, and makes the state if there is none.
    fn prepare<F: Rated>(&mut self, formula: &F) -> Result<()> {
        refuse_capture(F::NAME)?;
        formula.validate()?;
        self.members.check(F::NAME, formula.lr(), formula.weight_decay())?;
        if self.states.len() == self.members.list.len() {
            return Ok(());
        }
        let mut states = Vec::with_capacity(self.members.list.len());
        for member in &self.members.list {
            let value = member.param.get()?;
            if !value.dtype().is_float() {
                let text = format!("{}: `{}` is {}", F::NAME, member.name, value.dtype());
                return Err(Error::new(Code::DType, text).help("only f32 and f64 can be trained"));
            }
            let made = formula.states(&member.name, &value)?.into_iter();
            states.push(made.map(|(name, first)| (name, Buffer::new(first))).collect());
        }
        self.states = states;
        Ok(())
    }

    /// Records the new values of what the gradients reach.
    #[track_caller]
    fn record<F: Rated>(
        &mut self,
        formula: &F,
        gradients: &Gradients,
        loss: Option<&Tensor>,
    ) -> Result<()> {
        self.reached.clear();
        for (member, states) in self.members.list.iter().zip(&self.states) {
            let gradient = gradients.get(&member.param);
            self.reached.push(gradient.is_some());
            let Some(gradient) = gradient else { continue };
            let (lr, weight_decay) =
                self.members.rates(member.group, formula.lr(), formula.weight_decay());
            let (name, step) = (member.name.as_str(), member.count + 1);
            let value = no_grad(|| member.param.tensor());
            let update = Update { name, value, gradient, loss, lr, weight_decay, step, states };
            member.param.assign(&no_grad(|| formula.update(&update))?);
        }
        if self.reached.contains(&true) { Ok(()) } else { Err(unreached()) }
    }

    /// After a step: the counts go up for the members that it reached.
    fn count(&mut self) {
        self.members.steps += 1;
        for (member, &reached) in self.members.list.iter_mut().zip(&self.reached) {
            member.count += u64::from(reached);
        }
    }

    #[track_caller]
    pub(super) fn step<F: Rated>(&mut self, formula: &F, loss: &Tensor) -> Result<StepReport> {
        self.prepare(formula)?;
        transaction(|| self.record(formula, &loss.backward()?, Some(loss)))?;
        self.count();
        let members = self.members.list.iter().zip(&self.reached);
        let untouched = members.filter(|(_, r)| !**r).map(|(m, _)| m.param.id()).collect();
        Ok(StepReport { loss: loss.item()?, untouched })
    }

    #[track_caller]
    pub(super) fn apply<F: Rated>(&mut self, formula: &F, gradients: &Gradients) -> Result<()> {
        self.prepare(formula)?;
        transaction(|| self.record(formula, gradients, None))?;
        self.count();
        Ok(())
    }

    #[track_caller]
    pub(super) fn accumulate(&mut self, loss: &Tensor) -> Result<f64> {
        self.members.accumulate(loss)
    }

    #[track_caller]
    pub(super) fn apply_accumulated<F: Rated>(&mut self, formula: &F) -> Result<()> {
        self.apply(formula, &self.members.accumulated()?)?;
        self.clear_accumulated();
        Ok(())
    }

    pub(super) fn clear_accumulated(&mut self) {
        self.members.clear_accumulated();
    }

    pub(super) fn state_dict<F: Rated>(&mut self, formula: &F) -> Result<StateDict> {
        self.prepare(formula)?;
        self.members.save(F::NAME, formula.lr(), &self.states)
    }

    pub(super) fn load_state_dict<F: Rated>(
        &mut self,
        formula: &F,
        state: &StateDict,
    ) -> Result<f64> {
        is_of(F::NAME, state)?;
        self.prepare(formula)?;
        self.members.load(F::NAME, state, &self.states)
    }
}

/// An optimizer made from an update rule of your own.
///
/// Groups, accumulation, saved state and failed steps that change nothing come with it.
///
/// ```
/// use gradus_core::{Array, Result, Tensor};
/// use gradus_nn::optim::{ByFormula, Formula, Update};
/// use gradus_nn::{Linear, Optimizer};
///
/// /// Steps of one length along a momentum.
/// struct Normalized {
///     momentum: f64,
/// }
///
/// impl Formula for Normalized {
///     const NAME: &'static str = "Normalized";
///
///     fn states(&self, _: &str, value: &Array) -> Result<Vec<(&'static str, Array)>> {
///         Ok(vec![("momentum", Array::zeros(value.shape(), value.dtype())?)])
///     }
///
///     fn update(&self, u: &Update<'_>) -> Result<Tensor> {
///         let state = u.state("momentum")?;
///         let m = self.momentum * state.tensor() + u.gradient;
///         state.assign(&m);
///         let length = m.square().sum().sqrt();
///         Ok(&u.value - u.lr * m / (length + 1e-8))
///     }
/// }
///
/// let model = Linear::new(2, 1);
/// let mut opt = ByFormula::new(&model, 0.1, Normalized { momentum: 0.9 });
/// let (x, y) = (Tensor::from([[1.0, 2.0]]), Tensor::from([[30.0]]));
/// let first = opt.step(&model.forward(&x).mse_loss(&y))?.loss;
/// assert!(opt.step(&model.forward(&x).mse_loss(&y))?.loss < first);
/// # Ok::<(), gradus_core::Error>(())
/// ```
pub struct ByFormula<F: Formula> {
    pub(super) engine: FormulaEngine,
    pub(super) rule: Own<F>,
}

pub(super) struct Own<F> {
    pub(super) lr: f64,
    weight_decay: f64,
    formula: F,
}

impl<F: Formula> ByFormula<F> {
    /// Trains all parameters of a model at a learning rate.
    pub fn new<M: Module + ?Sized>(model: &M, lr: f64, formula: F) -> ByFormula<F> {
        let rule = Own { lr, weight_decay: 0.0, formula };
        ByFormula { engine: FormulaEngine::new(model), rule }
    }

    /// The weight decay that the rule is given; default 0.
    #[must_use]
    pub fn weight_decay(mut self, weight_decay: f64) -> ByFormula<F> {
        self.rule.weight_decay = weight_decay;
        self
    }

    /// The rule.
    pub fn formula(&self) -> &F {
        &self.rule.formula
    }
}

impl<F: Formula> Formula for Own<F> {
    const NAME: &'static str = F::NAME;
    fn states(&self, name: &str, value: &Array) -> Result<Vec<(&'static str, Array)>> {
        self.formula.states(name, value)
    }
    fn update(&self, update: &Update<'_>) -> Result<Tensor> {
        self.formula.update(update)
    }
    fn validate(&self) -> Result<()> {
        self.formula.validate()
    }
}

impl<F: Formula> Rated for Own<F> {
    fn lr(&self) -> f64 {
        self.lr
    }
    fn weight_decay(&self) -> f64 {
        self.weight_decay
    }
}

optimizer!(ByFormula<F: Formula>);

/// The rates of a rule that `settings` made.
macro_rules! rated {
    ($rule:ident) => {
        impl $crate::optim::formula::Rated for $rule {
            fn lr(&self) -> f64 {
                self.lr
            }
            fn weight_decay(&self) -> f64 {
                self.weight_decay
            }
        }
    };
}
pub(super) use rated;
