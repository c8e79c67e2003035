//! A call of the closure that is watched: what each of its runs was made of.

use std::panic::Location;
use std::sync::Arc;

use super::outputs::Outputs;
use super::replay::{Made, Run, Source, Trace};
use crate::array::Array;
use crate::error::{Code, Error, Result};
use crate::exec::Bindings;
use crate::graph::flush::{self, Request};
use crate::graph::recorder::{self, Node, Recorder, Side, Slot};
use crate::ops::update::UpdateCall;
use crate::plan::Plan;
use crate::random::Mark;
use crate::tensor::Tensor;

/// What is written down while the closure runs; the recorder has it meanwhile.
pub(crate) struct Session {
    /// The leaves that stand for the inputs.
    given: Vec<(Slot, u32, Array)>,
    start: Mark,
    /// Recording order of the first node that is the closure's.
    pub(crate) since: u64,
    runs: Vec<Run>,
    /// The tensors that these runs gave values, and which output of which run that was.
    made: Vec<(Slot, u32, Made)>,
    /// What is to be compared with.
    before: Option<Trace>,
    /// Why this cannot be replayed.
    error: Option<Error>,
    /// The closure has returned, and what it returned is computed.
    finishing: bool,
}

/// A session that is about to start.
pub(super) struct Recording {
    session: Box<Session>,
    tensors: Vec<Tensor>,
}

/// A run that is being looked at, in the closure.
pub(crate) struct Seen<'a> {
    pub(crate) order: &'a [(Slot, u32)],
    pub(crate) words: &'a [u64],
    pub(crate) recompute: bool,
    pub(crate) request: Request,
    pub(crate) plan: &'a Arc<Plan>,
}

/// Takes the session out of the recorder when dropped, also when the closure panics.
struct Watching;

impl Drop for Watching {
    fn drop(&mut self) {
        recorder::with(|r| drop(r.session.take()));
    }
}

impl Session {
    /// Leaves for the inputs; with `before`, what is recorded has to be the same.
    pub(super) fn prepare(
        inputs: &[Array],
        mut before: Option<Trace>,
        place: &'static Location<'static>,
    ) -> Result<Recording> {
        if let Some(trace) = &mut before {
            // What a replay would take now is what the closure has to take.
            trace.refresh_numbers()?;
        }
        let leaf = |array: &Array| recorder::leaf(array.clone(), false, place);
        let tensors: Vec<Tensor> = inputs.iter().map(leaf).collect();
        let session = recorder::with(|r| Session {
            given: tensors
                .iter()
                .zip(inputs)
                .map(|(t, array)| (t.slot(), r.generation(t.slot()), array.clone()))
                .collect(),
            start: r.streams.mark(),
            since: r.next_seq,
            runs: Vec::new(),
            made: Vec::new(),
            before,
            error: None,
            finishing: false,
        });
        Ok(Recording { session: Box::new(session), tensors })
    }

    /// Looks at a run before it happens.
    pub(crate) fn see(&mut self, r: &mut Recorder, seen: &Seen<'_>) -> Result<()> {
        let done = self.look(r, seen);
        if let Err(error) = &done {
            self.error.get_or_insert_with(|| error.clone());
        }
        done
    }

    fn look(&mut self, r: &mut Recorder, seen: &Seen<'_>) -> Result<()> {
        let reads = matches!(seen.request, Request::Read | Request::Assignments);
        if reads && !self.finishing {
            return Err(Error::new(Code::Argument, "a captured closure cannot read values")
                .help("return the tensor, and read it after `run`"));
        }
        let number = self.runs.len();
        let old = self.before.as_ref().map(|trace| trace.runs.get(number));
        if let Some(old) = old {
            self.same_structure(r, seen, old)?;
        }
        let old = old.flatten();
        let mut bindings = Bindings::new();
        let (mut leaves, mut draws, mut fixed) = (Vec::new(), Vec::new(), Vec::new());
        for &(slot, _) in seen.order {
            let node = r.node(slot);
            if flush::is_leaf(node, seen.recompute) {
                let source = self.source(r, slot)?;
                if let Some(old) = old
                    && !old.leaves.get(leaves.len()).is_some_and(|o| o.same(&source))
                {
                    return Err(changed(r, slot, "a value"));
                }
                leaves.push(source);
                continue;
            }
            match &node.side {
                Side::Number(v) => {
                    if let Some(old) = old {
                        let before = old.bindings.numbers.get(bindings.numbers.len());
                        if before.is_none_or(|b| b.to_bits() != v.to_bits()) {
                            let was = before.copied().unwrap_or(f64::NAN);
                            return Err(changed(r, slot, "a number")
                                .line("was", was.to_string())
                                .line("is now", v.to_string()));
                        }
                    }
                    bindings.numbers.push(*v);
                }
                Side::Key(key) => {
                    let draw = self.start.ahead(*key).ok_or_else(|| {
                        let text = "a captured closure set the seed, or uses a tensor of random \
                                    numbers that was made before it";
                        r.locate(Error::new(Code::Argument, text), node.scope, node.place)
                            .help("seed before `run`; give the tensor as an input")
                    })?;
                    let before = old.and_then(|o| o.draws.get(draws.len()).copied());
                    if old.is_some() && before != Some(draw) {
                        return Err(changed(r, slot, "another draw of random numbers"));
                    }
                    bindings.keys.push(*key);
                    draws.push(draw);
                }
                Side::Update(call) => {
                    if let Some(old) = old {
                        let before = old.bindings.calls.get(bindings.calls.len());
                        same_call(r, slot, before, call)?;
                    }
                    let leads = call.live().is_some_and(|live| {
                        let owner = Some(live.owner());
                        !bindings.calls.iter().any(|c| c.live().map(|l| l.owner()) == owner)
                    });
                    fixed.push(leads);
                    bindings.calls.push(Arc::new(UpdateCall {
                        group: call.group.clone(),
                        members: call.members.clone(),
                        numbers: call.numbers.clone(),
                    }));
                }
                Side::Buffer(cell) => {
                    let before = old.and_then(|o| o.bindings.targets.get(bindings.targets.len()));
                    if old.is_some() && !before.is_some_and(|b| Arc::ptr_eq(b, cell)) {
                        return Err(changed(r, slot, "an assignment to something else"));
                    }
                    bindings.targets.push(Arc::clone(cell));
                }
                _ => {}
            }
        }
        for (i, output) in seen.plan.outputs.iter().enumerate() {
            if let Some(&(slot, generation)) = seen.order.get(output.recorded as usize) {
                let made = Made { run: number as u32, output: i as u32 };
                self.made.push((slot, generation, made));
            }
        }
        self.runs.push(Run {
            plan: Arc::clone(seen.plan),
            key: seen.words.into(),
            leaves,
            draws,
            leads: fixed,
            drawn: self.start.drawn(&r.streams),
            bindings,
            made: Vec::new(),
            places: Vec::new(),
        });
        Ok(())
    }

    /// An error unless the run has the same key as the one before.
    fn same_structure(&self, r: &Recorder, seen: &Seen<'_>, old: Option<&Run>) -> Result<()> {
        let Some(old) = old else {
            let (slot, _) = seen.order.last().copied().unwrap_or_default();
            return Err(changed(r, slot, "one more step"));
        };
        if *old.key == *seen.words {
            return Ok(());
        }
        // The first node that is described in other words.
        let mut words = vec![u64::from(seen.recompute)];
        for &(slot, _) in seen.order {
            let at = words.len();
            flush::key_of(r, slot, seen.recompute, &mut words);
            if old.key.get(at..words.len()) != words.get(at..) {
                return Err(changed(r, slot, "another operation or shape"));
            }
        }
        let (slot, _) = seen.order.last().copied().unwrap_or_default();
        Err(changed(r, slot, "fewer operations"))
    }

    /// Where a replay takes the value of a leaf from.
    fn source(&self, r: &Recorder, slot: Slot) -> Result<Source> {
        let generation = r.generation(slot);
        let node = r.node(slot);
        if let Some(i) = self.given.iter().position(|g| (g.0, g.1) == (slot, generation)) {
            return Ok(Source::Input(i as u32));
        }
        if let Some(m) = self.made.iter().rev().find(|m| (m.0, m.1) == (slot, generation)) {
            return Ok(Source::Made(m.2));
        }
        let value = node.value.clone().ok_or_else(|| Error::internal("a leaf without a value"))?;
        match &node.side {
            Side::Param(snapshot) => {
                if !snapshot.is_current() {
                    let text = "a captured closure uses the value that a parameter had before the \
                                closure changed it";
                    return Err(located(r, node, text)
                        .help("`detach` what was computed before the first step"));
                }
                Ok(Source::Cell(Arc::clone(&snapshot.cell)))
            }
            Side::Value(cell) => {
                let text = "a captured closure uses a buffer that is gone when it ends";
                cell.upgrade().map(Source::Cell).ok_or_else(|| located(r, node, text))
            }
            _ => {
                // An input that was made a leaf anew, as `with_grad` does.
                let shares = |g: &(Slot, u32, Array)| {
                    g.2.storage().addr() == value.storage().addr()
                        && g.2.numel() == value.numel()
                        && value.numel() > 0
                };
                match self.given.iter().position(shares) {
                    Some(i) if value.shape() == self.given[i].2.shape() => {
                        Ok(Source::Input(i as u32))
                    }
                    _ => Ok(Source::Constant(value)),
                }
            }
        }
    }
}

fn located(r: &Recorder, node: &Node, text: &str) -> Error {
    r.locate(Error::new(Code::Argument, text), node.scope, node.place)
}

#[cold]
fn changed(r: &Recorder, slot: Slot, what: &str) -> Error {
    let node = r.node(slot);
    let text = format!("a captured closure recorded {what} that was not there before");
    located(r, node, &text)
        .line("operation", format!("`{}` {:?}", node.name(), node.shape))
        .help("pass it as an input; or capture a closure for each case")
}

/// An error unless an update does what a replay would do.
fn same_call(
    r: &Recorder,
    slot: Slot,
    before: Option<&Arc<UpdateCall>>,
    call: &UpdateCall,
) -> Result<()> {
    let group = |c: &UpdateCall| c.group.as_ref().map(Arc::as_ptr);
    let Some(before) = before.filter(|b| group(b) == group(call) && b.members == call.members)
    else {
        return Err(changed(r, slot, "an update of other parameters"));
    };
    let bits = |numbers: &[f64]| numbers.iter().map(|n| n.to_bits()).collect::<Vec<_>>();
    if bits(&before.numbers) == bits(&call.numbers) {
        return Ok(());
    }
    Err(changed(r, slot, "an update with numbers")
        .line("were", format!("{:?}", before.numbers))
        .line("are now", format!("{:?}", call.numbers))
        .help("set an optimizer's rate between two calls, not in the closure"))
}

impl Recording {
    /// Calls the closure; the result is what it returned, and how to do it again.
    pub(super) fn record<O: Outputs>(
        self,
        closure: impl FnOnce(&[Tensor]) -> Result<O>,
    ) -> Result<(O, Option<Trace>)> {
        let Recording { session, tensors } = self;
        recorder::with(|r| r.session = Some(session));
        let watching = Watching;
        let outputs = closure(&tensors);
        let outputs = watched(|s| s.error.clone()).flatten().map_or(outputs, Err)?;
        let mut waiting = Vec::new();
        let mut error = None;
        outputs.each(&mut |t| {
            error = error.take().or(t.check().err());
            if recorder::with(|r| r.node(t.slot()).value.is_none()) {
                waiting.push(t.clone());
            }
        });
        if let Some(error) = error {
            return Err(error);
        }
        if !waiting.is_empty() {
            watched(|s| s.finishing = true);
            flush::read_together(&waiting)?;
        }
        if recorder::with(|r| !r.effects.is_empty()) {
            crate::graph::step::abandon();
            let text = "a captured closure leaves assignments that no step of it runs";
            return Err(Error::new(Code::Argument, text).help(
                "layers with running statistics assign them in training: use `predict` or \
                 `inference`, or let the closure step",
            ));
        }
        let session = recorder::with(|r| r.session.take());
        drop(watching);
        let mut session = session.ok_or_else(|| Error::internal("a session was lost"))?;
        let mut results = Vec::new();
        recorder::with(|r| {
            outputs.each(&mut |t| results.push(session.source(r, t.slot())));
        });
        let results = results.into_iter().collect::<Result<Vec<Source>>>()?;
        if results.iter().any(|s| matches!(s, Source::Cell(_))) {
            let text = "a captured closure returns a parameter or buffer itself";
            return Err(Error::new(Code::Argument, text).help("read it from the model"));
        }
        let drawn = recorder::with(|r| session.start.drawn(&r.streams));
        if let Some(before) = session.before.take() {
            let same = before.runs.len() == session.runs.len()
                && before.results.len() == results.len()
                && before.results.iter().zip(&results).all(|(a, b)| a.same(b))
                && before.drawn == drawn;
            if !same {
                let text = "a captured closure did something else than before";
                return Err(Error::new(Code::Argument, text)
                    .help("what it does and returns must not change from call to call"));
            }
            return Ok((outputs, Some(before)));
        }
        let trace = Trace::new(std::mem::take(&mut session.runs), results, drawn);
        Ok((outputs, Some(trace)))
    }
}

/// Calls `f` with the session, if the recorder has one.
fn watched<R>(f: impl FnOnce(&mut Session) -> R) -> Option<R> {
    recorder::with(|r| r.session.as_deref_mut().map(f))
}
