//! Dropout.

use gradus_core::{Tag, Tensor};

use crate::layer::Layer;
use crate::module::{Module, Visitor};

/// Zeroes each element with probability `p` while training and divides the others by `1 - p`;
/// changes nothing in `predict`. Srivastava et al., 2014.
///
/// The masks come from the global seed's train stream.
///
/// ```
/// use gradus_core::Tensor;
/// use gradus_nn::{Dropout, Layer};
/// let x = Tensor::ones([4]);
/// let dropout = Dropout::new(0.5);
/// assert!(dropout.forward(&x).to_vec::<f32>()?.iter().all(|&v| v == 0.0 || v == 2.0));
/// assert_eq!(dropout.predict(&x).to_vec::<f32>()?, [1.0; 4]);
/// # Ok::<(), gradus_core::Error>(())
/// ```
#[derive(Debug)]
pub struct Dropout {
    p: f64,
    tag: TagOf,
}

/// A tag with a plain `Debug`.
pub(crate) struct TagOf(pub(crate) Tag);

impl std::fmt::Debug for TagOf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.describe())
    }
}

impl Dropout {
    /// Dropout with the probability of a zero, in `[0, 1]` (an error at the first `forward` if
    /// it is not).
    pub fn new(p: f64) -> Dropout {
        Dropout { p, tag: TagOf(Tag::new(format!("Dropout({p})"))) }
    }

    /// The probability of a zero.
    pub fn p(&self) -> f64 {
        self.p
    }

    /// The result, of `x`'s shape.
    #[track_caller]
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let _scope = self.tag.0.enter();
        x.dropout(self.p)
    }
}

impl Module for Dropout {
    fn walk(&self, visitor: &mut dyn Visitor) {
        visitor.tag(&self.tag.0);
    }
}

impl Layer for Dropout {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        Dropout::forward(self, x)
    }
}
