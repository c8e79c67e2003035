//! The engine of Gradus: record operations, differentiate, plan, run.
//!
//! [`Tensor`] operations are recorded and checked at once; nothing runs until a value is read or
//! an optimizer steps. A whole training step (forward, loss, backward, update) is then one *plan*:
//! fused steps over one block of memory, made once and kept.
//!
//! This crate knows nothing of layers, files or training loops. Start reading at `graph`
//! (recording), then `autodiff`, `plan` and `exec`; the operations are in `ops`, the obvious
//! implementation of each in `reference`.

mod array;
mod autodiff;
mod backend;
mod capture;
pub mod check;
pub mod derivatives;
pub mod error;
mod exec;
mod gradients;
mod graph;
mod mode;
pub mod ops;
mod param;
mod plan;
mod random;
mod reference;
mod tensor;

pub use array::Array;
pub use capture::{Captured, Outputs, capture, is_captured, refuse_capture};
pub use error::{Code, Error, Result};
pub use exec::check::check_mode;
pub use exec::profile::{Profile, StepCost, profile};
pub use exec::release_memory;
pub use gradients::Gradients;
pub use gradus_kernels::isa::{self, Isa};
pub use gradus_kernels::memory::Truth;
pub use gradus_kernels::peak;
pub use gradus_kernels::pool::{
    reset_workers_that_ran, set_split_all, set_threads, threads, workers_that_ran,
};
pub use graph::dtype::{DType, Scalar};
pub use graph::flush::{explain, sync};
pub use graph::recorder::{live_nodes, pending_tensors};
pub use graph::scope::{Scope, Tag};
pub use graph::shape::{MAX_RANK, Shape};
pub use graph::sizes::Sizes;
pub use graph::step::{StepReport, apply, step, transaction};
pub use half::{bf16, f16};
pub use mode::{
    autocast, eager, evaluation, inference, is_sampling, is_training, no_grad, sampling, training,
};
pub use ops::conv::{ConvOptions, ConvTransposeOptions, Padding};
pub use ops::grid::{GridMode, GridPadding};
pub use ops::join::Meshgrid;
pub use ops::masks::Unique;
pub use ops::pad::Pad;
pub use ops::patches::Patches;
pub use ops::pool::{OutSizes, Pool};
pub use ops::resize::{Interpolation, Resize};
pub use ops::scatter::ScatterReduce;
pub use ops::update::{Live, Pointwise, Rule, UpdateGroup};
pub use ops::{
    Bag, Contracted, CustomOp, Meta, Number, Precision, Quantile, checkpoint, custom_gradient,
};
pub use param::{Buffer, Param, snapshot};
pub use plan::cache::{CacheStats, plan_cache};
pub use random::{
    Rng, RngState, Stream, init_normal, init_uniform, rng_state, seed, set_rng_state,
};
pub use tensor::{
    Axes, By, Ellipsis, Index, IndexItem, Literal, NewAxis, Operand, Rows, Span, Tensor, span,
};
