//! What all update rules share that are one pass of the engine: parts and their numbers.
//!
//! Parameters are updated in *parts*: those of one group whose step counts look the same to the
//! rule, because the bias correction of Adam and the first step of a momentum buffer belong to
//! each parameter. Usually a group is one part; it splits when some of its parameters got no
//! gradient.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use gradus_core::{
    Buffer, Gradients, Live, Param, Result, Rule, StepReport, Tensor, UpdateGroup, is_captured,
};
use smallvec::SmallVec;

use super::live::{PartLive, Shared};
use super::members::{GroupOptions, Members, States, in_range};
use crate::module::Module;
use crate::state::StateDict;

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
pub(super) trait Method: Clone + Send + 'static {
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

/// Members that are updated with the same numbers.
struct Part {
    update: Arc<UpdateGroup>,
    live: Arc<PartLive>,
    members: Vec<usize>,
    group: usize,
}

impl Part {
    /// Tells replays how many steps were counted.
    fn know_count(&self, members: &Members) {
        let first = self.members.first().and_then(|&i| members.list.get(i));
        self.live.count.store(first.map_or(0, |m| m.count), Ordering::Release);
    }
}

pub(super) struct Engine {
    members: Members,
    parts: Vec<Part>,
    /// What the parts were made for.
    built: Option<Rule>,
    shared: Arc<Shared>,
}

impl Drop for Part {
    fn drop(&mut self) {
        self.live.retired.store(true, Ordering::Release);
    }
}

impl Engine {
    pub(super) fn new<M: Module + ?Sized>(model: &M) -> Engine {
        Engine {
            members: Members::new(model),
            parts: Vec::new(),
            built: None,
            shared: Arc::default(),
        }
    }

    pub(super) fn add_group(
        &mut self,
        select: impl Fn(&str, &Param) -> bool,
        options: GroupOptions,
        lr: f64,
    ) {
        self.members.add_group(select, options, lr);
        self.built = None;
    }

    pub(super) fn parameters(&self) -> Vec<Param> {
        self.members.parameters()
    }

    pub(super) fn steps(&self) -> u64 {
        self.members.steps + self.shared.replayed()
    }

    /// Makes the rule known to captured closures, if there are any.
    pub(super) fn publish<M: Method + Clone + Send + 'static>(&self, rule: &M) {
        self.shared.publish(rule, false);
    }

    /// Counts the steps that were replayed.
    fn count_replayed(&mut self) {
        let steps = self.shared.take_replayed();
        if steps == 0 {
            return;
        }
        self.members.steps += steps;
        for part in &self.parts {
            part.live.take_replayed(|i, steps| {
                let member = part.members.get(i).and_then(|&m| self.members.list.get_mut(m));
                if let Some(member) = member {
                    member.count += steps;
                }
            });
            part.know_count(&self.members);
        }
    }

    /// Makes the parts if there are none for this rule, and checks the hyper-parameters.
    fn prepare<M: Method>(&mut self, method: &M) -> Result<()> {
        method.validate()?;
        self.members.check(M::NAME, method.lr(), method.weight_decay())?;
        if self.built == Some(method.rule()) {
            return Ok(());
        }
        self.build(method)
    }

    /// Sorts the members into parts; state goes with its parameter.
    #[cold]
    fn build(&mut self, method: &impl Method) -> Result<()> {
        let list = &self.members.list;
        let mut keys: Vec<((usize, u64), Vec<usize>)> = Vec::new();
        for (i, member) in list.iter().enumerate() {
            let key = (member.group, method.phase(member.count));
            match keys.iter_mut().find(|(k, _)| *k == key) {
                Some((_, members)) => members.push(i),
                None => keys.push((key, vec![i])),
            }
        }
        let mut parts = Vec::new();
        for ((group, _), members) in keys {
            let params: Vec<&Param> =
                members.iter().filter_map(|&i| list.get(i)).map(|m| &m.param).collect();
            let update = UpdateGroup::new(method.rule(), &params)?;
            for (at, &i) in members.iter().enumerate() {
                for (new, old) in update.states(at).iter().zip(self.states_of(i)) {
                    new.set(old.get()?)?;
                }
            }
            let (lr_scale, decay) = self.members.options(group);
            let live = Arc::new(PartLive {
                shared: Arc::clone(&self.shared),
                lr_scale,
                decay,
                members: members.len(),
                count: AtomicU64::new(0),
                all: AtomicU64::new(0),
                some: Mutex::new(Vec::new()),
                retired: AtomicBool::new(false),
            });
            let update = Arc::new(update.with_live(Arc::clone(&live) as Arc<dyn Live>));
            let part = Part { update, live, members, group };
            part.know_count(&self.members);
            parts.push(part);
        }
        self.parts = parts;
        self.built = Some(method.rule());
        Ok(())
    }

    /// The state of a member; none before the first step.
    fn states_of(&self, member: usize) -> Vec<Buffer> {
        for part in &self.parts {
            if let Some(at) = part.members.iter().position(|&m| m == member) {
                return part.update.states(at);
            }
        }
        Vec::new()
    }

    /// The state of every member, with names.
    fn states(&self, method: &impl Method) -> Vec<States> {
        let names = method.states();
        let named = |i| names.iter().copied().zip(self.states_of(i)).collect();
        (0..self.members.list.len()).map(named).collect()
    }

    /// Runs `run` with the parts and this step's numbers; on success the counts go up for the
    /// members it says were reached.
    #[track_caller]
    fn update<R>(
        &mut self,
        method: &impl Method,
        run: impl FnOnce(&[(&Arc<UpdateGroup>, &[f64])]) -> Result<R>,
        reached: impl FnOnce(&R, &Members) -> Option<Vec<bool>>,
    ) -> Result<R> {
        self.count_replayed();
        self.prepare(method)?;
        if is_captured() {
            self.shared.publish(method, true);
        }
        let mut numbers: SmallVec<[Numbers; 4]> = SmallVec::new();
        for part in &self.parts {
            let (lr, decay) = self.members.rates(part.group, method.lr(), method.weight_decay());
            let first = part.members.first().and_then(|&i| self.members.list.get(i));
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
        self.members.steps += 1;
        match reached(&done, &self.members) {
            None => self.members.list.iter_mut().for_each(|m| m.count += 1),
            Some(reached) => {
                for (member, reached) in self.members.list.iter_mut().zip(reached) {
                    member.count += u64::from(reached);
                }
                let mixed = self.parts.iter().any(|part| {
                    let mut phases = part
                        .members
                        .iter()
                        .filter_map(|&i| self.members.list.get(i))
                        .map(|m| method.phase(m.count));
                    let first = phases.next();
                    phases.any(|p| Some(p) != first)
                });
                if mixed {
                    self.build(method)?;
                }
            }
        }
        self.parts.iter().for_each(|part| part.know_count(&self.members));
        Ok(done)
    }

    #[track_caller]
    pub(super) fn step(&mut self, method: &impl Method, loss: &Tensor) -> Result<StepReport> {
        self.update(
            method,
            |calls| gradus_core::step(loss, calls),
            |report, members| members.reached_by_step(report),
        )
    }

    #[track_caller]
    pub(super) fn apply(&mut self, method: &impl Method, gradients: &Gradients) -> Result<()> {
        self.update(
            method,
            |calls| gradus_core::apply(gradients, calls),
            |(), members| {
                let reached: Vec<bool> =
                    members.list.iter().map(|m| gradients.get(&m.param).is_some()).collect();
                (!reached.iter().all(|&r| r)).then_some(reached)
            },
        )
    }

    #[track_caller]
    pub(super) fn accumulate(&mut self, loss: &Tensor) -> Result<f64> {
        self.members.accumulate(loss)
    }

    #[track_caller]
    pub(super) fn apply_accumulated(&mut self, method: &impl Method) -> Result<()> {
        self.apply(method, &self.members.accumulated()?)?;
        self.clear_accumulated();
        Ok(())
    }

    pub(super) fn clear_accumulated(&mut self) {
        self.members.clear_accumulated();
    }

    pub(super) fn state_dict<M: Method>(&mut self, method: &M) -> Result<StateDict> {
        self.count_replayed();
        self.prepare(method)?;
        self.members.save(M::NAME, method.lr(), &self.states(method))
    }

    /// Takes over a state; the result is its learning rate.
    pub(super) fn load_state_dict<M: Method>(
        &mut self,
        method: &M,
        state: &StateDict,
    ) -> Result<f64> {
        super::members::is_of(M::NAME, state)?;
        self.count_replayed();
        self.prepare(method)?;
        let states = self.states(method);
        let lr = self.members.load(M::NAME, state, &states)?;
        self.build(method)?;
        Ok(lr)
    }
}

/// An error unless the hyper-parameter is finite and `ok`.
pub(super) fn check<M: Method>(_: &M, what: &str, value: f64, ok: bool, range: &str) -> Result<()> {
    in_range(M::NAME, what, value, ok, range)
}
