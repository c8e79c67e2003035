//! L-BFGS.

use std::collections::VecDeque;

use gradus_core::{
    Array, Code, Error, Gradients, Param, Result, StepReport, Tensor, no_grad, transaction,
};

use super::members::{count, in_range, unreached};
use super::wolfe::{Point, Search};
use super::{Optimizer, argument};
use crate::module::Module;
use crate::state::StateDict;
use crate::walk;

/// How far [`Lbfgs`] goes along its direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LineSearch {
    /// By the learning rate.
    #[default]
    None,
    /// To where the strong Wolfe conditions hold: the loss has fallen enough, and its slope too.
    StrongWolfe,
}

/// L-BFGS: Newton's direction, with the curvature from the last changes of the gradient. For losses
/// without noise (the whole data set as one batch) and few parameters. Liu and Nocedal, 1989.
///
/// One step is up to `max_iter` inner iterations, each of which computes the loss at least once, so it
/// is called with [`Optimizer::step_with`]. The loss in the report is the one at its start. As PyTorch
/// has it, but that a loss which is not finite ends the step with an error, or is too far for the line
/// search. It needs memory for `2 * history_size` copies of the parameters. Parameters have no groups.
///
/// ```
/// use gradus_core::{Array, Param, Tensor};
/// use gradus_nn::optim::{Lbfgs, LineSearch};
/// use gradus_nn::{Module, Optimizer};
/// #[derive(Module)]
/// struct Place {
///     at: Param,
/// }
/// // Rosenbrock's valley, whose lowest place is (1, 1).
/// let place = Place { at: Param::new(Array::new([2], &[-1.2f32, 1.0])?) };
/// let mut opt = Lbfgs::new(&place, 1.0).line_search(LineSearch::StrongWolfe).max_iter(100);
/// opt.step_with(&mut || {
///     let (x, y) = (place.at.tensor().i(0), place.at.tensor().i(1));
///     (1.0 - &x).square() + 100.0 * (y - x.square()).square()
/// })?;
/// let found = place.at.get()?.to_vec::<f32>()?;
/// assert!(found.iter().all(|v| (v - 1.0).abs() < 1e-3), "{found:?}");
/// # Ok::<(), gradus_core::Error>(())
/// ```
pub struct Lbfgs {
    params: Vec<Param>,
    lr: f64,
    max_iter: usize,
    max_eval: Option<usize>,
    tolerance_grad: f64,
    tolerance_change: f64,
    history_size: usize,
    line_search: LineSearch,
    steps: u64,
    state: State,
}

/// What it knows of the loss.
#[derive(Clone, Default)]
struct State {
    iterations: u64,
    /// The last direction, how far along it was gone, and the gradient before.
    last: Option<(Array, f64, Array)>,
    /// The scale of the first guess of the inverse Hessian.
    scale: f64,
    history: VecDeque<Pair>,
}

/// A change of the gradient, the change of the parameters that made it, and the inverse of their
/// product.
#[derive(Clone)]
struct Pair {
    y: Array,
    s: Array,
    rho: f64,
}

/// The loss somewhere, and its gradient as one vector.
struct Value {
    loss: f64,
    gradient: Array,
}

type Loss<'a> = &'a mut dyn FnMut() -> Tensor;

fn tensor(array: &Array) -> Tensor {
    Tensor::from_array(array)
}

fn dot(a: &Array, b: &Array) -> Result<f64> {
    (tensor(a) * tensor(b)).sum().item()
}

fn largest(a: &Array) -> Result<f64> {
    tensor(a).abs().max().item()
}

impl Lbfgs {
    /// Trains all parameters of a model; the learning rate is the first guess of a step along the
    /// direction, 1 is usual.
    pub fn new<M: Module + ?Sized>(model: &M, lr: f64) -> Lbfgs {
        walk::stamp_once(model);
        Lbfgs {
            params: walk::parts(model).params.into_iter().map(|(_, param)| param).collect(),
            lr,
            max_iter: 20,
            max_eval: None,
            tolerance_grad: 1e-7,
            tolerance_change: 1e-9,
            history_size: 100,
            line_search: LineSearch::None,
            steps: 0,
            state: State::default(),
        }
    }

    /// Inner iterations of a step; 1 or more, default 20.
    #[must_use]
    pub fn max_iter(mut self, max_iter: usize) -> Lbfgs {
        self.max_iter = max_iter;
        self
    }

    /// How often a step may compute the loss; default `max_iter * 5 / 4`.
    #[must_use]
    pub fn max_eval(mut self, max_eval: usize) -> Lbfgs {
        self.max_eval = Some(max_eval);
        self
    }

    /// A step ends when no element of the gradient is larger; default 1e-7.
    #[must_use]
    pub fn tolerance_grad(mut self, tolerance: f64) -> Lbfgs {
        self.tolerance_grad = tolerance;
        self
    }

    /// A step ends when neither the loss nor any parameter changes by more; default 1e-9.
    #[must_use]
    pub fn tolerance_change(mut self, tolerance: f64) -> Lbfgs {
        self.tolerance_change = tolerance;
        self
    }

    /// How many changes are remembered; default 100.
    #[must_use]
    pub fn history_size(mut self, history_size: usize) -> Lbfgs {
        self.history_size = history_size;
        self
    }

    /// How far it goes along its direction; by the rate by default, [`LineSearch::StrongWolfe`] is
    /// usually better.
    #[must_use]
    pub fn line_search(mut self, line_search: LineSearch) -> Lbfgs {
        self.line_search = line_search;
        self
    }

    fn validate(&self) -> Result<()> {
        let check = |what, value, ok, range| in_range("LBFGS", what, value, ok, range);
        check("learning rate", self.lr, self.lr >= 0.0, "0 or more")?;
        let (grad, change) = (self.tolerance_grad, self.tolerance_change);
        check("gradient's tolerance", grad, grad >= 0.0, "0 or more")?;
        check("change's tolerance", change, change >= 0.0, "0 or more")?;
        check("number of iterations", self.max_iter as f64, self.max_iter > 0, "1 or more")
    }

    /// The loss where the parameters are; beside it, those that it does not depend on.
    #[track_caller]
    fn evaluate(&self, loss: Loss<'_>) -> Result<(Value, Vec<u64>)> {
        let (loss, flat, untouched) = transaction(|| {
            let loss = loss();
            let gradients = loss.backward()?;
            let mut untouched = Vec::new();
            let mut parts = Vec::with_capacity(self.params.len());
            for param in &self.params {
                parts.push(match gradients.get(param) {
                    Some(gradient) => gradient.reshape([-1]),
                    None => {
                        untouched.push(param.id());
                        tensor(&Array::zeros([param.numel()], param.dtype())?)
                    }
                });
            }
            if untouched.len() == self.params.len() {
                return Err(unreached());
            }
            let parts: Vec<&Tensor> = parts.iter().collect();
            Ok((loss, Tensor::concat(&parts, 0), untouched))
        })?;
        Ok((Value { loss: loss.item()?, gradient: flat.to_array()? }, untouched))
    }

    /// Puts the parameters at `from + t * direction`.
    #[track_caller]
    fn go(&self, from: &[Array], direction: &Array, t: f64) -> Result<()> {
        transaction(|| {
            no_grad(|| {
                let (direction, mut start) = (tensor(direction), 0);
                for (param, from) in self.params.iter().zip(from) {
                    let step = direction.narrow(0, start, param.numel());
                    start += param.numel();
                    let to = tensor(from) + t * step.reshape_to(param.shape());
                    param.assign(&to.cast(param.dtype()));
                }
            });
            Ok(())
        })
    }

    fn put_back(&self, values: &[Array]) -> Result<()> {
        self.params.iter().zip(values).try_for_each(|(param, value)| param.set(value.clone()))
    }

    fn values(&self) -> Result<Vec<Array>> {
        self.params.iter().map(Param::get).collect()
    }

    /// The direction from a place with this gradient, and what is known then.
    fn direction(&mut self, gradient: &Array) -> Result<Array> {
        self.state.iterations += 1;
        let Some((d, t, before)) = &self.state.last else {
            self.state.scale = 1.0;
            return (-tensor(gradient)).to_array();
        };
        let y = (tensor(gradient) - tensor(before)).to_array()?;
        let s = (tensor(d) * *t).to_array()?;
        let ys = dot(&y, &s)?;
        if ys > 1e-10 {
            if self.state.history.len() >= self.history_size {
                self.state.history.pop_front();
            }
            self.state.scale = ys / dot(&y, &y)?;
            if self.history_size > 0 {
                self.state.history.push_back(Pair { y, s, rho: 1.0 / ys });
            }
        }
        // The two loops; each pass is read at once, so that all are runs of one small plan.
        let mut q = -tensor(gradient);
        let mut factors = Vec::with_capacity(self.state.history.len());
        for pair in self.state.history.iter().rev() {
            let factor = (tensor(&pair.s) * &q).sum() * pair.rho;
            q = q - tensor(&pair.y) * &factor;
            q.to_array()?;
            factors.push(factor);
        }
        let mut r = q * self.state.scale;
        for (pair, factor) in self.state.history.iter().zip(factors.iter().rev()) {
            let own = (tensor(&pair.y) * &r).sum() * pair.rho;
            r = r + tensor(&pair.s) * (factor - own);
            r.to_array()?;
        }
        r.to_array()
    }

    /// All inner iterations; the result is the report.
    #[track_caller]
    fn minimise(&mut self, loss: Loss<'_>) -> Result<StepReport> {
        let finite =
            |value: &Value| match value.loss.is_finite() && largest(&value.gradient)?.is_finite() {
                true => Ok(()),
                false => Err(Error::new(
                    Code::NonFinite,
                    "LBFGS: the loss or its gradient is infinite or NaN",
                )
                .help("nothing was changed by this step; a line search takes shorter steps")),
            };
        let (mut now, untouched) = self.evaluate(loss)?;
        finite(&now)?;
        let report = StepReport { loss: now.loss, untouched };
        let max_eval = self.max_eval.unwrap_or(self.max_iter.saturating_mul(5) / 4);
        let mut evaluations = 1;
        if largest(&now.gradient)? <= self.tolerance_grad {
            return Ok(report);
        }
        for iteration in 1..=self.max_iter {
            let d = self.direction(&now.gradient)?;
            let before = now.loss;
            let mut t = self.lr;
            if self.state.iterations == 1 {
                t *= f64::min(1.0, 1.0 / tensor(&now.gradient).abs().sum().item()?);
            }
            let slope = dot(&now.gradient, &d)?;
            self.state.last = Some((d.clone(), t, now.gradient.clone()));
            if slope > -self.tolerance_change {
                break;
            }
            let from = self.values()?;
            match self.line_search {
                LineSearch::None => {
                    self.go(&from, &d, t)?;
                    if iteration < self.max_iter {
                        now = self.evaluate(loss)?.0;
                        finite(&now)?;
                        evaluations += 1;
                    }
                }
                LineSearch::StrongWolfe => {
                    let start =
                        Point { t: 0.0, f: now.loss, slope, gradient: now.gradient.clone() };
                    let search = Search {
                        reach: largest(&d)?,
                        tolerance: self.tolerance_change,
                        evaluations: max_eval.saturating_sub(evaluations),
                    };
                    let (found, more) = search.run(&start, t, |t| {
                        self.go(&from, &d, t)?;
                        let value = self.evaluate(loss)?.0;
                        let slope = dot(&value.gradient, &d)?;
                        Ok(Point { t, f: value.loss, slope, gradient: value.gradient })
                    })?;
                    t = found.t;
                    self.go(&from, &d, t)?;
                    now = Value { loss: found.f, gradient: found.gradient };
                    finite(&now)?;
                    evaluations += more;
                }
            }
            if let Some((_, along, _)) = &mut self.state.last {
                *along = t;
            }
            if evaluations >= max_eval
                || largest(&now.gradient)? <= self.tolerance_grad
                || largest(&d)? * t <= self.tolerance_change
                || (now.loss - before).abs() < self.tolerance_change
            {
                break;
            }
        }
        Ok(report)
    }
}

fn whole() -> Error {
    Error::new(Code::Argument, "LBFGS computes the loss more than once a step")
        .help("call `step_with(&mut || ..)` with the loss of the whole data set, without clipping")
}

impl Optimizer for Lbfgs {
    #[track_caller]
    fn step(&mut self, _: &Tensor) -> Result<StepReport> {
        Err(whole())
    }

    #[track_caller]
    fn step_with(&mut self, loss: &mut dyn FnMut() -> Tensor) -> Result<StepReport> {
        self.validate()?;
        let (values, state) = (self.values()?, self.state.clone());
        let done = self.minimise(loss);
        match done {
            Ok(_) => self.steps += 1,
            Err(_) => {
                self.put_back(&values)?;
                self.state = state;
            }
        }
        done
    }

    #[track_caller]
    fn apply(&mut self, _: &Gradients) -> Result<()> {
        Err(whole())
    }

    #[track_caller]
    fn accumulate(&mut self, _: &Tensor) -> Result<f64> {
        Err(whole())
    }

    #[track_caller]
    fn apply_accumulated(&mut self) -> Result<()> {
        Err(whole())
    }

    fn clear_accumulated(&mut self) {}

    fn lr(&self) -> f64 {
        self.lr
    }

    fn set_lr(&mut self, lr: f64) {
        self.lr = lr;
    }

    fn steps(&self) -> u64 {
        self.steps
    }

    fn parameters(&self) -> Vec<Param> {
        self.params.iter().map(Param::share).collect()
    }

    fn state_dict(&mut self) -> Result<StateDict> {
        self.validate()?;
        let mut state = StateDict::new();
        state.set_metadata("optimizer", "LBFGS");
        state.insert("lr", Array::new((), &[self.lr])?);
        state.insert("steps", Array::new((), &[self.steps as i64])?);
        state.insert("iterations", Array::new((), &[self.state.iterations as i64])?);
        state.insert("scale", Array::new((), &[self.state.scale])?);
        if let Some((d, t, before)) = &self.state.last {
            state.insert("direction", d.clone());
            state.insert("along", Array::new((), &[*t])?);
            state.insert("gradient", before.clone());
        }
        for (i, pair) in self.state.history.iter().enumerate() {
            state.insert(format!("y.{i}"), pair.y.clone());
            state.insert(format!("s.{i}"), pair.s.clone());
            state.insert(format!("rho.{i}"), Array::new((), &[pair.rho])?);
        }
        Ok(state)
    }

    fn load_state_dict(&mut self, state: &StateDict) -> Result<()> {
        super::members::is_of("LBFGS", state)?;
        let numel: usize = self.params.iter().map(Param::numel).sum();
        let get = |name: &str| {
            state.get(name).ok_or_else(|| {
                Error::new(Code::State, format!("the saved state of LBFGS has no `{name}`"))
            })
        };
        let number = |name: &str| Ok(get(name)?.to_f64().first().copied().unwrap_or(0.0));
        let vector = |name: &str| match get(name)? {
            array if array.numel() == numel => Ok(array.clone()),
            array => {
                let text = format!("the saved state's `{name}` has {} numbers", array.numel());
                Err(Error::new(Code::State, text).help(format!("the model has {numel}")))
            }
        };
        let mut new = State {
            iterations: count(get("iterations")?)?,
            scale: number("scale")?,
            ..State::default()
        };
        if state.get("direction").is_some() {
            new.last = Some((vector("direction")?, number("along")?, vector("gradient")?));
        }
        for i in 0.. {
            if state.get(&format!("y.{i}")).is_none() {
                break;
            }
            new.history.push_back(Pair {
                y: vector(&format!("y.{i}"))?,
                s: vector(&format!("s.{i}"))?,
                rho: number(&format!("rho.{i}"))?,
            });
        }
        let (lr, steps): (f64, u64) = (number("lr")?, count(get("steps")?)?);
        if !lr.is_finite() {
            return Err(argument(format!("the saved state has the learning rate {lr}")));
        }
        (self.lr, self.steps, self.state) = (lr, steps, new);
        Ok(())
    }
}
