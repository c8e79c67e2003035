//! Operations that users bring along, computed on the host.

use std::fmt;
use std::sync::Arc;

use smallvec::SmallVec;

use super::Meta;
use crate::array::Array;
use crate::error::Result;
use crate::graph::recorder::{self, Side};
use crate::tensor::Tensor;

/// An operation of the user's: a shape rule, a computation on arrays, and maybe a gradient.
///
/// A panic in `run` becomes an error. The computation must depend on its inputs only; `run` may
/// use tensors of its own and read them, but not step.
pub trait CustomOp: Send + Sync {
    /// The name that messages show.
    fn name(&self) -> &'static str;

    /// A number that differs between operations that compute different things (hash the
    /// attributes into it); equal keys share plans.
    fn key(&self) -> u64;

    /// Shape and type of the result.
    ///
    /// # Errors
    /// A sentence about what does not fit.
    fn infer(&self, inputs: &[Meta]) -> Result<Meta>;

    /// Computes the result; its shape and type must be what `infer` said.
    ///
    /// # Errors
    /// Any; the step then changes nothing.
    fn run(&self, inputs: &[Array]) -> Result<Array>;

    /// The gradient for input `i`, as an operation on (inputs..., result, cotangent of the
    /// result); `None` if there is none, and then a `backward` through it is an error.
    fn vjp(&self, input: usize) -> Option<Arc<dyn CustomOp>> {
        let _ = input;
        None
    }
}

impl fmt::Debug for dyn CustomOp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Tensor {
    /// Records an operation of the user's on the host.
    #[track_caller]
    pub fn custom(op: Arc<dyn CustomOp>, inputs: &[&Tensor]) -> Tensor {
        let place = std::panic::Location::caller();
        if let Some(failed) = inputs.iter().find(|t| t.is_failed()) {
            return (*failed).clone();
        }
        let metas: Vec<Meta> = inputs.iter().map(|t| t.peek()).collect();
        let asked = Asked {
            name: op.name(),
            key: op.key(),
            meta: op.infer(&metas),
            vjps: (0..inputs.len()).map(|i| op.vjp(i)).collect(),
            op,
        };
        let op = super::Op::Custom(Arc::new(asked));
        recorder::record(op, inputs, None, Side::None, place)
    }
}

/// An operation of the user's with its answers: they are asked once, before it is recorded, so
/// that they may use tensors too.
struct Asked {
    op: Arc<dyn CustomOp>,
    name: &'static str,
    key: u64,
    meta: Result<Meta>,
    vjps: SmallVec<[Option<Arc<dyn CustomOp>>; 3]>,
}

impl CustomOp for Asked {
    fn name(&self) -> &'static str {
        self.name
    }
    fn key(&self) -> u64 {
        self.key
    }
    fn infer(&self, _: &[Meta]) -> Result<Meta> {
        self.meta.clone()
    }
    fn run(&self, inputs: &[Array]) -> Result<Array> {
        self.op.run(inputs)
    }
    fn vjp(&self, input: usize) -> Option<Arc<dyn CustomOp>> {
        self.vjps.get(input)?.clone()
    }
}
