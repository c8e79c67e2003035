//! What all optimizers share: the parameters by name, groups, step counts, accumulated gradients and
//! saved state. Knows no rule.

use std::collections::HashSet;

use gradus_core::{
    Array, Buffer, Code, DType, Error, Gradients, Param, Result, Shape, StepReport, Tensor,
    snapshot, sync,
};

use super::argument;
use crate::module::Module;
use crate::state::{self, StateDict};
use crate::walk;

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

pub(super) struct Member {
    pub(super) name: String,
    pub(super) param: Param,
    pub(super) group: usize,
    /// Steps that this parameter took part in.
    pub(super) count: u64,
    /// The gradients that were accumulated.
    sum: Option<Array>,
}

/// Of a group: the factor on the learning rate, and its own weight decay.
struct Group {
    lr_scale: f64,
    weight_decay: Option<f64>,
}

/// The state of a parameter: buffers with their names, as PyTorch's.
pub(super) type States = Vec<(&'static str, Buffer)>;

pub(super) struct Members {
    pub(super) list: Vec<Member>,
    groups: Vec<Group>,
    pub(super) steps: u64,
    /// Of a constructor, until a step reports it.
    error: Option<Error>,
}

impl Members {
    pub(super) fn new<M: Module + ?Sized>(model: &M) -> Members {
        walk::stamp_once(model);
        let member = |(name, param)| Member { name, param, group: 0, count: 0, sum: None };
        Members {
            list: walk::parts(model).params.into_iter().map(member).collect(),
            groups: vec![Group { lr_scale: 1.0, weight_decay: None }],
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
        for member in self.list.iter_mut().filter(|m| select(&m.name, &m.param)) {
            member.group = group;
            any = true;
        }
        if !any {
            let names: Vec<&str> = self.list.iter().take(4).map(|m| m.name.as_str()).collect();
            let error = argument("a parameter group that no parameter is in".to_string());
            self.error = Some(error.help(format!("names look like {}", names.join(", "))));
        }
    }

    pub(super) fn parameters(&self) -> Vec<Param> {
        self.list.iter().map(|m| m.param.share()).collect()
    }

    /// Reports the error of a constructor, and rates and decays that are out of range.
    pub(super) fn check(&self, optimizer: &str, lr: f64, weight_decay: f64) -> Result<()> {
        if let Some(error) = &self.error {
            return Err(error.clone());
        }
        in_range(optimizer, "learning rate", lr, lr >= 0.0, "0 or more")?;
        let decay = |d: f64| in_range(optimizer, "weight decay", d, d >= 0.0, "0 or more");
        decay(weight_decay)?;
        for group in &self.groups {
            decay(group.weight_decay.unwrap_or(0.0))?;
            let scale = group.lr_scale;
            in_range(optimizer, "group's rate", scale, scale >= 0.0, "0 or more")?;
        }
        Ok(())
    }

    /// The factor on the rate of a group, and its own weight decay.
    pub(super) fn options(&self, group: usize) -> (f64, Option<f64>) {
        self.groups.get(group).map_or((1.0, None), |g| (g.lr_scale, g.weight_decay))
    }

    /// Learning rate and weight decay of a group.
    pub(super) fn rates(&self, group: usize, lr: f64, weight_decay: f64) -> (f64, f64) {
        let group = self.groups.get(group);
        let decay = group.and_then(|g| g.weight_decay).unwrap_or(weight_decay);
        (lr * group.map_or(1.0, |g| g.lr_scale), decay)
    }

    #[track_caller]
    pub(super) fn accumulate(&mut self, loss: &Tensor) -> Result<f64> {
        let gradients = loss.backward()?;
        let sums: Vec<Option<Tensor>> = self
            .list
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
            return Err(unreached());
        }
        // All of them as one plan; reading one by one would run the backward pass again each time.
        sync()?;
        let mut arrays = Vec::with_capacity(sums.len());
        for (member, sum) in self.list.iter().zip(&sums) {
            let array = sum.as_ref().map(Tensor::to_array).transpose()?;
            if array.as_ref().is_some_and(|a| !is_finite(a)) {
                let text = format!("the accumulated gradient of `{}` is not finite", member.name);
                return Err(Error::new(Code::NonFinite, text)
                    .help("it was not added; lower the learning rate, or look at this batch"));
            }
            arrays.push(array);
        }
        let value = loss.item()?;
        for (member, array) in self.list.iter_mut().zip(arrays) {
            if array.is_some() {
                member.sum = array;
            }
        }
        Ok(value)
    }

    /// The accumulated gradients.
    pub(super) fn accumulated(&self) -> Result<Gradients> {
        let sums = self.list.iter().filter_map(|m| Some((&m.param, m.sum.as_ref()?)));
        let gradients = Gradients::from_pairs(sums.map(|(p, sum)| (p, Tensor::from_array(sum))));
        if gradients.is_empty() {
            return Err(Error::new(Code::Gradient, "no gradients were accumulated")
                .help("call `accumulate` with the loss of each part of the batch first"));
        }
        Ok(gradients)
    }

    pub(super) fn clear_accumulated(&mut self) {
        self.list.iter_mut().for_each(|m| m.sum = None);
    }

    /// What is saved; `states` has one list a member.
    pub(super) fn save(&self, optimizer: &str, lr: f64, states: &[States]) -> Result<StateDict> {
        let buffers: Vec<&Buffer> = states.iter().flatten().map(|(_, buffer)| buffer).collect();
        let (_, values) = snapshot(&[], &buffers)?;
        let mut values = values.into_iter();
        let mut state = StateDict::new();
        state.set_metadata("optimizer", optimizer);
        state.insert("lr", Array::new((), &[lr])?);
        state.insert("steps", Array::new((), &[self.steps as i64])?);
        for (member, states) in self.list.iter().zip(states) {
            let name = &member.name;
            state.insert(format!("state.{name}.step"), Array::new((), &[member.count as i64])?);
            for ((what, _), value) in states.iter().zip(&mut values) {
                state.insert(format!("state.{name}.{what}"), value);
            }
        }
        Ok(state)
    }

    /// Takes over a state; the result is its learning rate.
    pub(super) fn load(
        &mut self,
        optimizer: &str,
        state: &StateDict,
        states: &[States],
    ) -> Result<f64> {
        is_of(optimizer, state)?;
        let mut slots = vec![
            state::Slot::new("lr", Shape::SCALAR, DType::F64),
            state::Slot::new("steps", Shape::SCALAR, DType::I64),
        ];
        for (member, states) in self.list.iter().zip(states) {
            let name = &member.name;
            let step = format!("state.{name}.step");
            slots.push(state::Slot::new(&step, Shape::SCALAR, DType::I64));
            for (what, buffer) in states {
                let name = format!("state.{name}.{what}");
                slots.push(state::Slot::new(&name, buffer.shape(), buffer.dtype()));
            }
        }
        let mut values = state::fit(&slots, &[], state, "optimizer")?.into_iter();
        let mut next = || values.next().ok_or_else(|| Error::internal("load: too few values"));
        let lr = next()?.to_f64().first().copied().unwrap_or(0.0);
        let steps = count(&next()?)?;
        // Everything is checked before anything is changed.
        let mut loaded = Vec::with_capacity(self.list.len());
        for states in states {
            let count = count(&next()?)?;
            let values = states.iter().map(|_| next()).collect::<Result<Vec<_>>>()?;
            loaded.push((count, values));
        }
        for ((member, states), (count, values)) in self.list.iter_mut().zip(states).zip(loaded) {
            for ((_, buffer), value) in states.iter().zip(values) {
                buffer.set(value)?;
            }
            member.count = count;
        }
        self.steps = steps;
        self.clear_accumulated();
        Ok(lr)
    }

    /// Which members a step reached; `None` if all.
    pub(super) fn reached_by_step(&self, report: &StepReport) -> Option<Vec<bool>> {
        if report.untouched.is_empty() {
            return None;
        }
        let untouched: HashSet<u64> = report.untouched.iter().copied().collect();
        Some(self.list.iter().map(|m| !untouched.contains(&m.param.id())).collect())
    }
}

/// An error unless the state was saved by that optimizer.
pub(super) fn is_of(optimizer: &str, state: &StateDict) -> Result<()> {
    let found = match state.metadata().get("optimizer") {
        Some(name) if name == optimizer => return Ok(()),
        Some(name) => format!("of {name}"),
        None => "of no optimizer".to_string(),
    };
    Err(Error::new(Code::State, format!("the saved state is {found}, not of {optimizer}")))
}

/// A count that was saved.
pub(super) fn count(array: &Array) -> Result<u64> {
    let value = array.to_vec::<i64>()?.first().copied().unwrap_or(0);
    u64::try_from(value).map_err(|_| {
        Error::new(Code::State, format!("the saved state has a step count of {value}"))
    })
}

pub(super) fn unreached() -> Error {
    let text = "the loss does not depend on any parameter of the optimizer";
    Error::new(Code::Gradient, text)
}

pub(super) fn is_finite(array: &Array) -> bool {
    match array.dtype() {
        DType::F32 => array.as_slice::<f32>().is_ok_and(|v| v.iter().all(|x| x.is_finite())),
        _ => array.to_f64().iter().all(|x| x.is_finite()),
    }
}

/// An error unless the hyper-parameter is finite and `ok`.
pub(super) fn in_range(
    optimizer: &str,
    what: &str,
    value: f64,
    ok: bool,
    range: &str,
) -> Result<()> {
    if ok && value.is_finite() {
        return Ok(());
    }
    Err(argument(format!("{optimizer}: the {what} must be {range}, not {value}")))
}
