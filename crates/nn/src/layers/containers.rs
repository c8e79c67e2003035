//! Layers made of layers side by side: a residual block, parallel branches.
//!
//! Lists and maps of layers need no type here: `Vec`, arrays, tuples, `Option` and
//! `BTreeMap<String, _>` of modules are modules, with PyTorch's names (`layers.0`).

use std::fmt;

use gradus_core::{Tag, Tensor};

use crate::layer::Layer;
use crate::module::{Module, Visitor, index_name};

/// `x + f(x)`, or `shortcut(x) + f(x)`. He and others, 2015.
///
/// Its parts are named `body` and `shortcut`. What the two give has to have one shape (or one that
/// broadcasts).
///
/// ```
/// use gradus_core::Tensor;
/// use gradus_nn::{Linear, Relu, Residual, seq};
/// let block = Residual::new(seq![Linear::new(4, 8), Relu, Linear::new(8, 4)]);
/// assert_eq!(block.forward(&Tensor::ones([2, 4])).dims::<2>()?, [2, 4]);
/// let wider = Residual::new(Linear::new(4, 8)).shortcut(Linear::new(4, 8).no_bias());
/// assert_eq!(wider.forward(&Tensor::ones([2, 4])).dims::<2>()?, [2, 8]);
/// # Ok::<(), gradus_core::Error>(())
/// ```
pub struct Residual {
    body: Box<dyn Layer>,
    shortcut: Option<Box<dyn Layer>>,
    tag: Tag,
}

impl Residual {
    /// `x + body(x)`.
    pub fn new(body: impl Layer + 'static) -> Residual {
        Residual { body: Box::new(body), shortcut: None, tag: Tag::new("Residual") }
    }

    /// A layer for the way around, where shapes change.
    #[must_use]
    pub fn shortcut(mut self, shortcut: impl Layer + 'static) -> Residual {
        self.shortcut = Some(Box::new(shortcut));
        self
    }

    /// The sum of both ways.
    #[track_caller]
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let _scope = self.tag.enter();
        match &self.shortcut {
            Some(shortcut) => shortcut.forward(x) + self.body.forward(x),
            None => x + self.body.forward(x),
        }
    }
}

/// Branches that all get the input; their results are joined along an axis, or summed.
///
/// The names of its children are "0", "1", ... Without branches the result is the input.
///
/// ```
/// use gradus_core::Tensor;
/// use gradus_nn::{Linear, Parallel};
/// let both = Parallel::concat(-1).branch(Linear::new(4, 2)).branch(Linear::new(4, 3));
/// assert_eq!(both.forward(&Tensor::ones([6, 4])).dims::<2>()?, [6, 5]);
/// let sum = Parallel::sum().branch(Linear::new(4, 2)).branch(Linear::new(4, 2));
/// assert_eq!(sum.forward(&Tensor::ones([6, 4])).dims::<2>()?, [6, 2]);
/// # Ok::<(), gradus_core::Error>(())
/// ```
pub struct Parallel {
    branches: Vec<Box<dyn Layer>>,
    /// Where results are joined; `None` sums them.
    axis: Option<isize>,
    tag: Tag,
}

impl Parallel {
    /// Results are joined along an axis.
    pub fn concat(axis: isize) -> Parallel {
        Parallel { branches: Vec::new(), axis: Some(axis), tag: Tag::new("Parallel") }
    }

    /// Results are summed.
    pub fn sum() -> Parallel {
        Parallel { branches: Vec::new(), axis: None, tag: Tag::new("Parallel") }
    }

    /// With one more branch.
    #[must_use]
    pub fn branch(mut self, layer: impl Layer + 'static) -> Parallel {
        self.branches.push(Box::new(layer));
        self
    }

    /// Number of branches.
    pub fn len(&self) -> usize {
        self.branches.len()
    }

    /// Whether there are no branches.
    pub fn is_empty(&self) -> bool {
        self.branches.is_empty()
    }

    /// What the branches give, together.
    #[track_caller]
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let _scope = self.tag.enter();
        let Some((first, rest)) = self.branches.split_first() else { return x.clone() };
        let first = first.forward(x);
        match self.axis {
            None => rest.iter().fold(first, |sum, branch| sum + branch.forward(x)),
            Some(axis) => {
                let others: Vec<Tensor> = rest.iter().map(|branch| branch.forward(x)).collect();
                let parts: Vec<&Tensor> = std::iter::once(&first).chain(&others).collect();
                Tensor::concat(&parts, axis)
            }
        }
    }
}

impl fmt::Debug for Residual {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Residual({})", self.body.name())
    }
}

impl fmt::Debug for Parallel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.branches.iter().map(|branch| branch.name()).collect();
        write!(f, "Parallel({})", names.join(", "))
    }
}

impl Module for Residual {
    fn walk(&self, visitor: &mut dyn Visitor) {
        visitor.tag(&self.tag);
        visitor.child("body", &self.body);
        if let Some(shortcut) = &self.shortcut {
            visitor.child("shortcut", shortcut);
        }
    }
}

impl Module for Parallel {
    fn walk(&self, visitor: &mut dyn Visitor) {
        visitor.tag(&self.tag);
        for (i, branch) in self.branches.iter().enumerate() {
            visitor.child(&index_name(i), branch);
        }
    }
}

impl Layer for Residual {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        Residual::forward(self, x)
    }
}

impl Layer for Parallel {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        Parallel::forward(self, x)
    }
}
