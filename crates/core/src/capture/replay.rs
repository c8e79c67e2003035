//! Doing again what a closure did.

use std::sync::Arc;

use crate::array::Array;
use crate::error::{Code, Error, Result};
use crate::exec::{self, Bindings, Fault};
use crate::graph::recorder;
use crate::ops::update::UpdateCall;
use crate::param::Cell;
use crate::plan::Plan;
use crate::random::{Draws, Mark};

/// Where the value of a leaf, or a result, comes from.
pub(super) enum Source {
    Input(u32),
    /// The value that a parameter or buffer has at that moment.
    Cell(Arc<Cell>),
    Made(Made),
    Constant(Array),
}

/// An output of a run of the same call.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Made {
    pub(super) run: u32,
    pub(super) output: u32,
}

/// A random key: its stream, and how many draws after the start of the call.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Draw {
    pub(crate) stream: u32,
    pub(crate) ahead: u32,
}

impl Source {
    pub(super) fn same(&self, other: &Source) -> bool {
        match (self, other) {
            (Source::Input(a), Source::Input(b)) => a == b,
            (Source::Cell(a), Source::Cell(b)) => Arc::ptr_eq(a, b),
            (Source::Made(a), Source::Made(b)) => a == b,
            (Source::Constant(a), Source::Constant(b)) => {
                let same = a.storage().addr() == b.storage().addr() && a.shape() == b.shape();
                same || a.same_bits(b)
            }
            _ => false,
        }
    }
}

/// One plan that the closure ran, with what it was given.
pub(super) struct Run {
    pub(super) plan: Arc<Plan>,
    pub(super) key: Box<[u64]>,
    pub(super) leaves: Vec<Source>,
    pub(super) draws: Vec<Draw>,
    /// Whether a call is the first one of its optimizer.
    pub(super) leads: Vec<bool>,
    /// Draws from the start of the call to this run.
    pub(super) drawn: Draws,
    /// Numbers, calls and targets stay from replay to replay.
    pub(super) bindings: Bindings,
    /// What the last replay made: the outputs that somebody wants.
    pub(super) made: Vec<Array>,
    /// Of each output, its place in `made`.
    pub(super) places: Vec<Option<u32>>,
}

/// All that a closure did.
pub(super) struct Trace {
    pub(super) runs: Vec<Run>,
    pub(super) results: Vec<Source>,
    pub(super) drawn: Draws,
    /// The last inputs, for results that are one of them.
    inputs: Vec<Array>,
}

/// Why a replay did not happen.
pub(super) enum Again {
    /// Nothing has changed yet: calling the closure does the same, and tells more.
    Call,
    /// A later run failed.
    Failed(Error),
}

impl Trace {
    pub(super) fn new(mut runs: Vec<Run>, results: Vec<Source>, drawn: Draws) -> Trace {
        let mut wanted: Vec<Made> = Vec::new();
        let leaves = runs.iter().flat_map(|run| &run.leaves);
        for source in leaves.chain(&results) {
            if let Source::Made(made) = source {
                wanted.push(*made);
            }
        }
        for (number, run) in runs.iter_mut().enumerate() {
            let mut next = 0;
            run.bindings.unwanted.clear();
            for output in 0..run.plan.outputs.len() {
                let made = Made { run: number as u32, output: output as u32 };
                let wanted = wanted.contains(&made);
                run.bindings.unwanted.push(!wanted);
                run.places.push(wanted.then_some(next));
                next += u32::from(wanted);
            }
        }
        Trace { runs, results, drawn, inputs: Vec::new() }
    }

    fn calls(&self) -> impl Iterator<Item = &Arc<UpdateCall>> {
        self.runs.iter().flat_map(|run| &run.bindings.calls)
    }

    /// Whether an optimizer has grouped its parameters anew.
    pub(super) fn is_outdated(&self) -> bool {
        self.calls().filter_map(|c| c.live()).any(|live| live.is_retired())
    }

    /// Takes the numbers that the optimizers' next steps have.
    pub(super) fn refresh_numbers(&mut self) -> Result<()> {
        self.runs.iter_mut().try_for_each(Run::refresh_numbers)
    }

    pub(super) fn outputs(&self) -> usize {
        self.results.len()
    }

    /// A result of the last replay.
    pub(super) fn output(&self, i: usize) -> Option<&Array> {
        match self.results.get(i)? {
            Source::Input(i) => self.inputs.get(*i as usize),
            Source::Made(made) => find(&self.runs, *made),
            Source::Constant(array) => Some(array),
            Source::Cell(_) => None,
        }
    }

    /// Does everything again.
    pub(super) fn replay(&mut self, inputs: &[Array]) -> std::result::Result<(), Again> {
        let random = self.drawn.any();
        let start = if random { Some(recorder::with(|r| r.streams.mark())) } else { None };
        for number in 0..self.runs.len() {
            let again = |error: Error| if number == 0 { Again::Call } else { Again::Failed(error) };
            let (before, rest) = self.runs.split_at_mut(number);
            let Some(run) = rest.first_mut() else { break };
            run.bind(inputs, before, start.as_ref()).map_err(again)?;
            let drawn = run.drawn;
            let done = run.run(|| {
                if let Some(start) = &start {
                    recorder::with(|r| r.streams.advance(start, &drawn));
                }
            });
            done.map_err(|fault| again(told(fault)))?;
            for (call, &leads) in run.bindings.calls.iter().zip(&run.leads) {
                if let Some(live) = call.live() {
                    live.done(&call.members, leads);
                }
            }
        }
        if let Some(start) = &start {
            let drawn = self.drawn;
            recorder::with(|r| r.streams.advance(start, &drawn));
        }
        if self.results.iter().any(|s| matches!(s, Source::Input(_))) {
            self.inputs.clear();
            self.inputs.extend_from_slice(inputs);
        }
        Ok(())
    }
}

/// An output of a run that has happened.
fn find(runs: &[Run], made: Made) -> Option<&Array> {
    let run = runs.get(made.run as usize)?;
    let at = run.places.get(made.output as usize).copied().flatten()?;
    run.made.get(at as usize)
}

/// A fault of a run after the first one: what is known without the nodes of the closure.
#[cold]
fn told(fault: Fault) -> Error {
    match fault {
        Fault::Custom { error, .. } | Fault::Internal(error) => error,
        Fault::NonFinite { .. } => {
            Error::new(Code::NonFinite, "the loss or a gradient is infinite or NaN")
        }
        Fault::Memory { bytes } => {
            Error::new(Code::Memory, format!("no memory for the {bytes} bytes this step needs"))
        }
        Fault::Kernel { error, .. } => {
            Error::new(Code::Index, format!("a step of a captured closure failed: {error:?}"))
        }
    }
}

impl Run {
    fn refresh_numbers(&mut self) -> Result<()> {
        for call in &mut self.bindings.calls {
            if let Some(UpdateCall { group: Some(group), numbers, .. }) = Arc::get_mut(call)
                && let Some(live) = group.live()
            {
                live.numbers(numbers)?;
            }
        }
        Ok(())
    }

    /// Gathers what this run is given.
    fn bind(&mut self, inputs: &[Array], before: &[Run], start: Option<&Mark>) -> Result<()> {
        let lost = || Error::internal("capture: a value is missing");
        self.bindings.leaves.clear();
        for source in &self.leaves {
            let array = match source {
                Source::Input(i) => inputs.get(*i as usize).ok_or_else(lost)?.clone(),
                Source::Cell(cell) => cell.get()?,
                Source::Made(made) => find(before, *made).ok_or_else(lost)?.clone(),
                Source::Constant(array) => array.clone(),
            };
            self.bindings.leaves.push(array);
        }
        if let Some(start) = start {
            for (key, draw) in self.bindings.keys.iter_mut().zip(&self.draws) {
                *key = start.key(*draw);
            }
        }
        self.refresh_numbers()
    }

    fn run(&mut self, commit: impl FnOnce()) -> std::result::Result<(), Fault> {
        let done = exec::run(&self.plan, &mut self.bindings, &mut self.made, |_| commit());
        self.bindings.leaves.clear();
        done
    }
}
