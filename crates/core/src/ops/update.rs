//! Optimizer updates: effects that change parameters and optimizer state in one fused pass.

use std::panic::Location;
use std::sync::Arc;

pub use gradus_kernels::update::Pointwise;

use crate::array::Array;
use crate::error::{Code, Error, Result};
use crate::graph::recorder;
use crate::param::{Buffer, Cell, Param};
use crate::tensor::Tensor;

/// How parameters change from their gradients. Flags are structure; the numbers (learning rate,
/// betas, step count) are given at each step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rule {
    /// Stochastic gradient descent. Numbers: lr, momentum, dampening, weight_decay, first step
    /// (1 or 0). State: the momentum buffer, if `momentum`.
    Sgd {
        /// Keep a momentum buffer.
        momentum: bool,
        /// Nesterov's look-ahead.
        nesterov: bool,
        /// Climb instead of descend.
        maximize: bool,
    },
    /// Adam. Numbers: lr, beta1, beta2, eps, weight_decay, step count (from 1).
    /// State: first and second moment (and the largest second moment, if `amsgrad`).
    Adam {
        /// Weight decay shrinks the parameter instead of being added to the gradient (AdamW).
        decoupled: bool,
        /// Keep the largest second moment.
        amsgrad: bool,
        /// Climb instead of descend.
        maximize: bool,
    },
    /// One of the rules that are a formula an element; numbers and state are described at each.
    Pointwise(Pointwise),
}

impl Rule {
    /// How many state buffers a parameter has.
    pub fn states(self) -> usize {
        match self {
            Rule::Sgd { momentum, .. } => usize::from(momentum),
            Rule::Adam { amsgrad, .. } => 2 + usize::from(amsgrad),
            Rule::Pointwise(kind) => kind.states(),
        }
    }

    /// How many numbers a step gives.
    pub fn numbers(self) -> usize {
        match self {
            Rule::Sgd { .. } => 5,
            Rule::Adam { .. } => 6,
            Rule::Pointwise(_) => gradus_kernels::update::NUMBERS,
        }
    }

    pub(crate) fn key(self) -> u64 {
        match self {
            Rule::Sgd { momentum, nesterov, maximize } => {
                u64::from(momentum) | u64::from(nesterov) << 1 | u64::from(maximize) << 2
            }
            Rule::Adam { decoupled, amsgrad, maximize } => {
                8 | u64::from(decoupled) | u64::from(amsgrad) << 1 | u64::from(maximize) << 2
            }
            Rule::Pointwise(kind) => {
                let which = match kind {
                    Pointwise::RmsProp { centered, momentum } => {
                        u64::from(centered) | u64::from(momentum) << 1
                    }
                    Pointwise::Adagrad => 4,
                    Pointwise::Adadelta => 5,
                    Pointwise::Adamax => 6,
                    Pointwise::NAdam => 7,
                    Pointwise::RAdam => 8,
                    Pointwise::Asgd => 9,
                    Pointwise::Rprop => 10,
                    Pointwise::Lion => 11,
                };
                16 | which << 8
            }
        }
    }
}

/// Parameters that share a rule and its numbers, with their state: made once by an optimizer.
pub struct UpdateGroup {
    pub(crate) rule: Rule,
    pub(crate) params: Vec<Arc<Cell>>,
    /// One list a parameter.
    pub(crate) states: Vec<Vec<Arc<Cell>>>,
    live: Option<Arc<dyn Live>>,
}

/// What an optimizer gives with its groups, so that its steps can be replayed by
/// [`capture`](crate::capture): the numbers of a step of which it is told only afterwards.
pub trait Live: Send + Sync {
    /// Writes down the numbers of the group's next step.
    ///
    /// # Errors
    /// A hyper-parameter that is out of range.
    fn numbers(&self, numbers: &mut [f64]) -> Result<()>;
    /// A step of these members (indices into the group) succeeded; `leads` for the first group of
    /// the optimizer in that step.
    fn done(&self, members: &[u32], leads: bool);
    /// Whether the optimizer has other groups now.
    fn is_retired(&self) -> bool;
    /// A number that is the optimizer's alone.
    fn owner(&self) -> u64;
}

impl UpdateGroup {
    /// A group with zeroed state.
    ///
    /// # Errors
    /// A parameter that failed to be made, or is not a float.
    pub fn new(rule: Rule, params: &[&Param]) -> Result<UpdateGroup> {
        let mut group = UpdateGroup { rule, params: Vec::new(), states: Vec::new(), live: None };
        for param in params {
            let value = param.get()?;
            if !value.dtype().is_float() {
                let text = format!("optimizer: {} is {}", param.0.name(), value.dtype());
                return Err(Error::new(Code::DType, text).help("only f32 and f64 can be trained"));
            }
            let mut states = Vec::new();
            for _ in 0..rule.states() {
                states.push(Buffer::new(Array::zeros(value.shape(), value.dtype())?).0);
            }
            group.params.push(Arc::clone(&param.0));
            group.states.push(states);
        }
        Ok(group)
    }

    /// The group of an optimizer whose steps can be replayed.
    #[must_use]
    pub fn with_live(mut self, live: Arc<dyn Live>) -> UpdateGroup {
        self.live = Some(live);
        self
    }

    pub(crate) fn live(&self) -> Option<&dyn Live> {
        self.live.as_deref()
    }

    /// The rule.
    pub fn rule(&self) -> Rule {
        self.rule
    }

    /// The parameters.
    pub fn params(&self) -> Vec<Param> {
        self.params.iter().map(|c| Param(Arc::clone(c))).collect()
    }

    /// The state buffers of parameter `i`, for saving and loading.
    pub fn states(&self, i: usize) -> Vec<Buffer> {
        self.states.get(i).into_iter().flatten().map(|c| Buffer(Arc::clone(c))).collect()
    }
}

/// One recorded use of a group: which of its parameters get a gradient, and the numbers.
pub(crate) struct UpdateCall {
    /// `None` in a call that is kept only for its memory.
    pub(crate) group: Option<Arc<UpdateGroup>>,
    /// For each gradient operand of the node, the parameter's index in the group.
    pub(crate) members: Vec<u32>,
    pub(crate) numbers: Vec<f64>,
}

impl UpdateCall {
    pub(crate) fn live(&self) -> Option<&dyn Live> {
        self.group.as_ref().and_then(|group| group.live())
    }
}

/// Records the update of a group from gradients; `grads[i]` belongs to parameter `members[i]`.
pub(crate) fn record(
    group: &Arc<UpdateGroup>,
    members: &[u32],
    grads: &[&Tensor],
    numbers: &[f64],
    place: &'static Location<'static>,
) -> Result<()> {
    if numbers.len() != group.rule.numbers() {
        return Err(Error::new(
            Code::Argument,
            format!("update: {} numbers for a rule of {}", numbers.len(), group.rule.numbers()),
        ));
    }
    for (&member, grad) in members.iter().zip(grads) {
        if let Some(error) = recorder::error_of(grad) {
            return Err(error);
        }
        let meta = grad.peek();
        let Some(cell) = group.params.get(member as usize) else {
            return Err(Error::internal("update: no such parameter"));
        };
        let value = cell.get()?;
        if meta.shape != value.shape() || meta.dtype != value.dtype() {
            return Err(Error::new(
                Code::Shape,
                format!(
                    "update: the gradient of {} is {} {}, the parameter {} {}",
                    cell.name(),
                    meta.dtype,
                    meta.shape,
                    value.dtype(),
                    value.shape()
                ),
            ));
        }
    }
    recorder::with(|r| {
        let mut call = r.spare_call(group, numbers);
        let Some(c) = Arc::get_mut(&mut call) else {
            return Err(Error::internal("an update call is shared"));
        };
        c.members.extend_from_slice(members);
        let mut inputs = r.spare_operands();
        inputs.extend(grads.iter().map(|t| t.slot()));
        r.record_update(call, inputs, place);
        Ok(())
    })
}
