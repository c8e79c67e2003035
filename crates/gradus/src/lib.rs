//! Gradus: define, train, understand and ship neural networks.
//!
//! This crate is the one to depend on; it re-exports the others and has no code of its own.
//! `use gradus::prelude::*;` brings what a training program needs.
//!
//! ```
//! use gradus::prelude::*;
//!
//! gradus::seed(17);
//! let (train, test) = gradus::data::digits()?.split(0.8, 17)?;
//! let model = seq![Linear::new(64, 32), Relu, Linear::new(32, 10)];
//! let mut opt = Adam::new(&model, 1e-2);
//! for epoch in 0..3 {
//!     for (x, y) in train.shuffled(epoch).batches(64) {
//!         let loss = model.forward(&x).cross_entropy(&y);
//!         opt.step(&loss)?; // backward and update: one plan
//!     }
//! }
//! assert!(accuracy(&model, &test)? > 0.8);
//! # Ok::<(), gradus::Error>(())
//! ```
//!
//! Where to look:
//!
//! | what | where |
//! |---|---|
//! | tensors, gradients, seeds, threads | here, at the root |
//! | all operations as a table | [`ops::registry`] |
//! | parameters of losses | [`ops::loss`] |
//! | numerical gradient checks | [`check`] |
//! | decompositions, solvers of equations | [`linalg`] |
//! | Jacobians, Hessians, per-sample gradients, `vmap` | [`derivatives`] |
//! | layers, initialisers, optimizers, saved states | [`nn`] |
//! | whole models: ResNet, LeNet, autoencoders, .. | [`nn::models`] |
//! | all layers as a table | [`nn::registry`] |
//! | datasets, file formats, splits, batches | [`data`]; tables (CSV) in [`data::table`] |
//! | the training loop, callbacks, runs on disk | [`train`] |
//! | tests of hypotheses, correlations, entropies | [`train::stats`] |
//! | predictions of a saved run | [`Predictor`] |

// The derive names this crate, also inside it.
extern crate self as gradus;

pub use gradus_core::{
    Array, Axes, Buffer, By, CacheStats, Code, Contracted, ConvOptions, ConvTransposeOptions,
    CustomOp, DType, Ellipsis, Error, Gradients, Index, IndexItem, Isa, Literal, MAX_RANK,
    Meshgrid, Meta, NewAxis, Number, Operand, Pad, Padding, Param, Quantile, Result, Rng, RngState,
    Rows, Rule, Scalar, ScatterReduce, Scope, Shape, Span, StepReport, Stream, Tag, Tensor, Truth,
    Unique, UpdateGroup, apply, bf16, check, check_mode, checkpoint, custom_gradient, eager, error,
    evaluation, explain, f16, inference, init_normal, init_uniform, is_training, isa, live_nodes,
    no_grad, ops, peak, pending_tensors, plan_cache, profile, release_memory, rng_state, seed,
    set_rng_state, set_split_all, set_threads, snapshot, span, step, sync, threads, training,
    transaction,
};
pub use gradus_core::{Bag, Precision, Profile, StepCost, autocast, is_sampling, sampling};
pub use gradus_core::{Captured, capture};
pub use gradus_core::{
    GridMode, GridPadding, Interpolation, OutSizes, Patches, Pool, Resize, Sizes,
};

/// Derivatives as functions of functions (`grad`, `jvp`, `hessian`, `vmap`, ..), and for all
/// parameters of a model (`of_model`).
pub mod derivatives {
    pub use gradus_core::derivatives::*;
    /// Per-sample gradients and Hessian-vector products for a model's parameters.
    pub use gradus_nn::derivatives as of_model;
}

/// Decompositions, solvers and functions of matrices, as methods of tensors.
pub use gradus_linalg as linalg;

/// Datasets, tables (CSV), file formats, splits, shuffles, batches, a loader.
pub use gradus_data as data;

/// Training loops, callbacks, metrics, runs on disk.
pub use gradus_train as train;

/// Layers, initialisers, optimizers, saved states, and `#[derive(Module)]`.
pub mod nn {
    // Both names of `Module`, the trait and the derive, come with the glob; the derive whose code
    // names this crate takes the place of the one that names `gradus_nn`.
    pub use gradus_derive::FacadeModule as Module;
    pub use gradus_nn::*;
}

pub use gradus_nn::seq;
pub use gradus_train::Predictor;
pub use nn::{Layer, Module, ModuleExt, Optimizer, StateDict};

/// What a training program needs.
pub mod prelude {
    pub use crate::nn::*;
    pub use crate::ops::loss::Reduction;
    pub use crate::{Array, Buffer, By, Code, DType, Ellipsis, NewAxis, Param, Shape, Tensor, seq};
    pub use gradus_data::Dataset;
    pub use gradus_linalg::Linalg;
    pub use gradus_train::{
        Accuracy, Callback, Checkpoint, EarlyStopping, Epochs, Event, Flow, Loss, Metric, Metrics,
        TrainState, Trainer, accuracy, bce_with_logits, cross_entropy, evaluate, mse,
    };
}
