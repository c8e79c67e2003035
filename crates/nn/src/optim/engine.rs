//! What all update rules share: members, groups, step counts, accumulation, saved state.
//!
//! Parameters are updated in *parts*: those of one group whose step counts look the same to the
//! rule, because the bias correction of Adam and the first step of a momentum buffer belong to
//! each parameter. Usually a group is one part; it splits when some of its parameters got no
//! gradient.

use std::collections::HashSet;
use std::sync::Arc;

use gradus_core::{
    Array, Code, DType, Error, Gradients, Param, Result, Rule, Shape, StepReport, Tensor,
    UpdateGroup, snapshot, sync,
};
use smallvec::SmallVec;

use crate::module::Module;
use crate::state::{self, StateDict};
use crate::walk;

/// The numbers of a step; as many are used as the rule says.
pub(super) type Numbers = [f64; 10];

/// The numbers of a rule, the rest zeros.
pub(super) fn numbers_of<const N: usize>(own: [f64; N]) -> Numbers {
    let mut numbers = [0.0; 10];
    for (to, from) in numbers.iter_mut().zip(own) {
        *to = from;
    }
    numbers
}

/// A rule with its hyper-parameters.
pub(super) trait Method {
    /// What it is called in messages and files.
    const NAME: &'static str;
    /// The engine's rule.
    fn rule(&self) -> Rule;
    /// The names of its state, as PyTorch's.
    fn states(&self) -> &'static [&'static str];
    fn lr(&self) -> f64;
    fn weight_decay(&self) -> f64;
    /// The numbers for parameters that had `count` steps before.
    fn numbers(&self, lr: f64, weight_decay: f64, count: u64) -> Numbers;
    /// What of a step count matters; parameters that differ in it are updated apart.
    fn phase(&self, count: u64) -> u64;
    /// Whether the hyper-parameters are in range.
    fn validate(&self) -> Result<()>;
}

/// Options of some of the parameters; what is not set is the optimizer's.
#[derive(Clone, Copy, Debug, Default)]
pub struct GroupOptions {
    lr: Option<f64>,
    weight_decay: Option<f64>,
}

impl GroupOptions {
    /// No options.
    pub fn new() -> GroupOptions {
        GroupOptions::default()
    }

    /// A learning rate of their own. `set_lr` keeps its ratio to the optimizer's.
    #[must_use]
    pub fn lr(mut self, lr: f64) -> GroupOptions {
        self.lr = Some(lr);
        self
    }

    /// A weight decay of their own.
    #[must_use]
    pub fn weight_decay(mut self, weight_decay: f64) -> GroupOptions {
        self.weight_decay = Some(weight_decay);
        self
    }
}

struct Member {
    name: String,
    param: Param,
    group: usize,
    /// Steps that this parameter took part in.
    count: u64,
    /// The gradients that were accumulated.
    sum: Option<Array>,
}

/// Of a group: the factor on the learning rate, and its own weight decay.
struct Group {
    lr_scale: f64,
    weight_decay: Option<f64>,
}

/// Members that are updated with the same numbers.
struct Part {
    update: Arc<UpdateGroup>,
    members: Vec<usize>,
    group: usize,
}

pub(super) struct Engine {
    members: Vec<Member>,
    groups: Vec<Group>,
    parts: Vec<Part>,
    /// What the parts were made for.
    built: Option<Rule>,
    steps: u64,
    /// Of a constructor, until a step reports it.
    error: Option<Error>,
}

impl Engine {
    pub(super) fn new<M: Module + ?Sized>(model: &M) -> Engine {
        walk::stamp_once(model);
        let member = |(name, param)| Member { name, param, group: 0, count: 0, sum: None };
        Engine {
            members: walk::parts(model).params.into_iter().map(member).collect(),
            groups: vec![Group { lr_scale: 1.0, weight_decay: None }],
            parts: Vec::new(),
            built: None,
            steps: 0,
            error: None,
        }
    }

    pub(super) fn add_group(
        &mut self,
        select: impl Fn(&str, &Param) -> bool,
        options: GroupOptions,
        lr: f64,
    ) {
        let lr_scale = match options.lr {
            None => 1.0,
            Some(own) if lr > 0.0 => own / lr,
            Some(own) => {
                let text =
                    format!("a group with the rate {own} of an optimizer with the rate {lr}");
                self.error = Some(argument(text).help("give the optimizer a rate above 0"));
                1.0
            }
        };
        let group = self.groups.len();
        self.groups.push(Group { lr_scale, weight_decay: options.weight_decay });
        let mut any = false;
        for member in self.members.iter_mut().filter(|m| select(&m.name, &m.param)) {
            member.group = group;
            any = true;
        }
        if !any {
            let names: Vec<&str> = self.members.iter().take(4).map(|m| m.name.as_str()).collect();
            let error = argument("a parameter group that no parameter is in".to_string());
            self.error = Some(error.help(format!("names look like {}", names.join(", "))));
        }
        self.built = None;
    }

    pub(super) fn parameters(&self) -> Vec<Param> {
        self.members.iter().map(|m| m.param.share()).collect()
    }

    pub(super) fn steps(&self) -> u64 {
        self.steps
    }

    /// Makes the parts if there are none for this rule, and checks the hyper-parameters.
    fn prepare(&mut self, method: &impl Method) -> Result<()> {
        if let Some(error) = &self.error {
            return Err(error.clone());
        }
        method.validate()?;
        check(method, "learning rate", method.lr(), method.lr() >= 0.0, "0 or more")?;
        check_decay(method, method.weight_decay())?;
        for group in &self.groups {
            check_decay(method, group.weight_decay.unwrap_or(0.0))?;
            check(method, "group's rate", group.lr_scale, group.lr_scale >= 0.0, "0 or more")?;
        }
        if self.built == Some(method.rule()) {
            return Ok(());
        }
        self.build(method)
    }

    /// Sorts the members into parts; state goes with its parameter.
    #[cold]
    fn build(&mut self, method: &impl Method) -> Result<()> {
        let mut keys: Vec<((usize, u64), Vec<usize>)> = Vec::new();
        for (i, member) in self.members.iter().enumerate() {
            let key = (member.group, method.phase(member.count));
            match keys.iter_mut().find(|(k, _)| *k == key) {
                Some((_, members)) => members.push(i),
                None => keys.push((key, vec![i])),
            }
        }
        let mut parts = Vec::new();
        for ((group, _), members) in keys {
            let params: Vec<&Param> =
                members.iter().filter_map(|&i| self.members.get(i)).map(|m| &m.param).collect();
            let update = UpdateGroup::new(method.rule(), &params)?;
            for (at, &i) in members.iter().enumerate() {
                for (new, old) in update.states(at).iter().zip(self.states_of(i)) {
                    new.set(old.get()?)?;
                }
            }
            parts.push(Part { update: Arc::new(update), members, group });
        }
        self.parts = parts;
        self.built = Some(method.rule());
        Ok(())
    }

    /// The state of a member; none before the first step.
    fn states_of(&self, member: usize) -> Vec<gradus_core::Buffer> {
        for part in &self.parts {
            if let Some(at) = part.members.iter().position(|&m| m == member) {
                return part.update.states(at);
            }
        }
        Vec::new()
    }

    /// Runs `run` with the parts and this step's numbers; on success the counts go up for the
    /// members it says were reached.
    #[track_caller]
    fn update<R>(
        &mut self,
        method: &impl Method,
        run: impl FnOnce(&[(&Arc<UpdateGroup>, &[f64])]) -> Result<R>,
        reached: impl FnOnce(&R, &[Member]) -> Option<Vec<bool>>,
    ) -> Result<R> {
        self.prepare(method)?;
        let mut numbers: SmallVec<[Numbers; 4]> = SmallVec::new();
        for part in &self.parts {
            let group = self.groups.get(part.group);
            let lr = method.lr() * group.map_or(1.0, |g| g.lr_scale);
            let decay = group.and_then(|g| g.weight_decay).unwrap_or(method.weight_decay());
            let first = part.members.first().and_then(|&i| self.members.get(i));
            numbers.push(method.numbers(lr, decay, first.map_or(0, |m| m.count)));
        }
        let used = method.rule().numbers();
        let calls: SmallVec<[(&Arc<UpdateGroup>, &[f64]); 4]> = self
            .parts
            .iter()
            .zip(&numbers)
            .map(|(part, n)| (&part.update, n.get(..used).unwrap_or(n)))
            .collect();
        let done = run(&calls);
        drop(calls);
        let done = done?;
        self.steps += 1;
        match reached(&done, &self.members) {
            None => self.members.iter_mut().for_each(|m| m.count += 1),
            Some(reached) => {
                for (member, reached) in self.members.iter_mut().zip(reached) {
                    member.count += u64::from(reached);
                }
                let mixed = self.parts.iter().any(|part| {
                    let mut phases = part
                        .members
                        .iter()
                        .filter_map(|&i| self.members.get(i))
                        .map(|m| method.phase(m.count));
                    let first = phases.next();
                    phases.any(|p| Some(p) != first)
                });
                if mixed {
                    self.build(method)?;
                }
            }
        }
        Ok(done)
    }

    #[track_caller]
    pub(super) fn step(&mut self, method: &impl Method, loss: &Tensor) -> Result<StepReport> {
        self.update(method, |calls| gradus_core::step(loss, calls), reached_by_step)
    }

    #[track_caller]
    pub(super) fn apply(&mut self, method: &impl Method, gradients: &Gradients) -> Result<()> {
        self.update(
            method,
            |calls| gradus_core::apply(gradients, calls),
            |(), members| {
                let reached: Vec<bool> =
                    members.iter().map(|m| gradients.get(&m.param).is_some()).collect();
                (!reached.iter().all(|&r| r)).then_some(reached)
            },
        )
    }

    #[track_caller]
    pub(super) fn accumulate(&mut self, loss: &Tensor) -> Result<f64> {
        let gradients = loss.backward()?;
        let sums: Vec<Option<Tensor>> = self
            .members
            .iter()
            .map(|member| {
                let gradient = gradients.get(&member.param)?;
                Some(match &member.sum {
                    Some(sum) => Tensor::from_array(sum) + gradient,
                    None => gradient.clone(),
                })
            })
            .collect();
        if sums.iter().all(Option::is_none) {
            let text = "the loss does not depend on any parameter of the optimizer";
            return Err(Error::new(Code::Gradient, text));
        }
        // All of them as one plan; reading one by one would run the backward pass again each time.
        sync()?;
        let mut arrays = Vec::with_capacity(sums.len());
        for (member, sum) in self.members.iter().zip(&sums) {
            let array = sum.as_ref().map(Tensor::to_array).transpose()?;
            if array.as_ref().is_some_and(|a| !is_finite(a)) {
                let text = format!("the accumulated gradient of `{}` is not finite", member.name);
                return Err(Error::new(Code::NonFinite, text)
                    .help("it was not added; lower the learning rate, or look at this batch"));
            }
            arrays.push(array);
        }
        let value = loss.item()?;
        for (member, array) in self.members.iter_mut().zip(arrays) {
            if array.is_some() {
                member.sum = array;
            }
        }
        Ok(value)
    }

    #[track_caller]
    pub(super) fn apply_accumulated(&mut self, method: &impl Method) -> Result<()> {
        // A linear loss whose gradients are the sums, exactly: the engine has no other public way
        // from arrays to an update.
        let mut total: Option<Tensor> = None;
        for member in &self.members {
            if let Some(sum) = &member.sum {
                let term = (member.param.tensor() * Tensor::from_array(sum)).sum();
                total = Some(match total {
                    Some(total) => total + term,
                    None => term,
                });
            }
        }
        let Some(loss) = total else {
            return Err(Error::new(Code::Gradient, "no gradients were accumulated")
                .help("call `accumulate` with the loss of each part of the batch first"));
        };
        self.update(method, |calls| gradus_core::step(&loss, calls), reached_by_step)?;
        self.clear_accumulated();
        Ok(())
    }

    pub(super) fn clear_accumulated(&mut self) {
        self.members.iter_mut().for_each(|m| m.sum = None);
    }

    pub(super) fn state_dict<M: Method>(&mut self, method: &M) -> Result<StateDict> {
        self.prepare(method)?;
        let buffers: Vec<gradus_core::Buffer> =
            (0..self.members.len()).flat_map(|i| self.states_of(i)).collect();
        let (_, values) = snapshot(&[], &buffers.iter().collect::<Vec<_>>())?;
        let mut values = values.into_iter();
        let mut state = StateDict::new();
        state.set_metadata("optimizer", M::NAME);
        state.insert("lr", Array::new((), &[method.lr()])?);
        state.insert("steps", Array::new((), &[self.steps as i64])?);
        for member in &self.members {
            let name = &member.name;
            state.insert(format!("state.{name}.step"), Array::new((), &[member.count as i64])?);
            for (what, value) in method.states().iter().zip(&mut values) {
                state.insert(format!("state.{name}.{what}"), value);
            }
        }
        Ok(state)
    }

    /// Takes over a state; the result is its learning rate.
    pub(super) fn load_state_dict<M: Method>(
        &mut self,
        method: &M,
        state: &StateDict,
    ) -> Result<f64> {
        match state.metadata().get("optimizer") {
            Some(name) if name == M::NAME => {}
            found => {
                let found = match found {
                    Some(name) => format!("of {name}"),
                    None => "of no optimizer".to_string(),
                };
                let text = format!("the saved state is {found}, not of {}", M::NAME);
                return Err(Error::new(Code::State, text));
            }
        }
        self.prepare(method)?;
        let mut slots = vec![
            state::Slot::new("lr", Shape::SCALAR, DType::F64),
            state::Slot::new("steps", Shape::SCALAR, DType::I64),
        ];
        for member in &self.members {
            let (name, param) = (&member.name, &member.param);
            let step = format!("state.{name}.step");
            slots.push(state::Slot::new(&step, Shape::SCALAR, DType::I64));
            for what in method.states() {
                let name = format!("state.{name}.{what}");
                slots.push(state::Slot::new(&name, param.shape(), param.dtype()));
            }
        }
        let mut values = state::fit(&slots, &[], state, "optimizer")?.into_iter();
        let mut next = || values.next().ok_or_else(|| Error::internal("load: too few values"));
        let lr = next()?.to_f64().first().copied().unwrap_or(0.0);
        let count = |array: Array| -> Result<u64> {
            let value = array.to_vec::<i64>()?.first().copied().unwrap_or(0);
            u64::try_from(value).map_err(|_| {
                Error::new(Code::State, format!("the saved state has a step count of {value}"))
            })
        };
        let steps = count(next()?)?;
        // Everything is checked before anything is changed.
        let mut loaded = Vec::with_capacity(self.members.len());
        for _ in &self.members {
            let count = count(next()?)?;
            let values = method.states().iter().map(|_| next()).collect::<Result<Vec<_>>>()?;
            loaded.push((count, values));
        }
        for (i, (count, values)) in loaded.into_iter().enumerate() {
            for (buffer, value) in self.states_of(i).iter().zip(values) {
                buffer.set(value)?;
            }
            if let Some(member) = self.members.get_mut(i) {
                member.count = count;
            }
        }
        self.steps = steps;
        self.clear_accumulated();
        self.build(method)?;
        Ok(lr)
    }
}

/// Which members a step reached; `None` if all.
fn reached_by_step(report: &StepReport, members: &[Member]) -> Option<Vec<bool>> {
    if report.untouched.is_empty() {
        return None;
    }
    let untouched: HashSet<u64> = report.untouched.iter().copied().collect();
    Some(members.iter().map(|m| !untouched.contains(&m.param.id())).collect())
}

fn is_finite(array: &Array) -> bool {
    match array.dtype() {
        DType::F32 => array.as_slice::<f32>().is_ok_and(|v| v.iter().all(|x| x.is_finite())),
        _ => array.to_f64().iter().all(|x| x.is_finite()),
    }
}

pub(super) fn argument(text: String) -> Error {
    Error::new(Code::Argument, text)
}

/// An error unless the hyper-parameter is finite and `ok`.
pub(super) fn check<M: Method>(_: &M, what: &str, value: f64, ok: bool, range: &str) -> Result<()> {
    if ok && value.is_finite() {
        return Ok(());
    }
    Err(argument(format!("{}: the {what} must be {range}, not {value}", M::NAME)))
}

fn check_decay(method: &impl Method, decay: f64) -> Result<()> {
    check(method, "weight decay", decay, decay >= 0.0, "0 or more")
}
