//! The gradients of a loss: values that are looked up, changed and applied, not state.

use crate::graph::recorder;
use crate::param::Param;
use crate::tensor::Tensor;

/// The gradients of a loss, by parameter or leaf. Values, not state: nothing to zero.
pub struct Gradients {
    entries: Vec<(Key, Tensor)>,
}

/// Whose gradient it is: a parameter by its id, or a leaf by slot and generation.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Key {
    Param(u64),
    Leaf(u32, u32),
}

impl Gradients {
    /// Gradients from pairs, for example computed by hand, accumulated or read from a file; those
    /// of one parameter are added.
    ///
    /// ```
    /// use gradus_core::{Array, Gradients, Param, Tensor};
    /// let w = Param::new(Array::new([2], &[1.0f32, 2.0])?);
    /// let grads = Gradients::from_pairs([(&w, Tensor::from([0.5, 0.5]))]);
    /// assert_eq!(grads.scale(2.0).get(&w).map(|g| g.to_vec::<f32>()), Some(Ok(vec![1.0, 1.0])));
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    #[track_caller]
    pub fn from_pairs<'a>(pairs: impl IntoIterator<Item = (&'a Param, Tensor)>) -> Gradients {
        Gradients::merged(pairs.into_iter().map(|(p, t)| (Key::Param(p.id()), t)))
    }

    /// A parameter recorded under two values has two leaves; its gradient is the sum.
    #[track_caller]
    pub(crate) fn merged(pairs: impl IntoIterator<Item = (Key, Tensor)>) -> Gradients {
        let pairs = pairs.into_iter();
        let mut entries: Vec<(Key, Tensor)> = Vec::with_capacity(pairs.size_hint().0);
        for (key, t) in pairs {
            match entries.iter_mut().find(|(k, _)| matches!(k, Key::Param(_)) && *k == key) {
                Some((_, sum)) => *sum = &*sum + &t,
                None => entries.push((key, t)),
            }
        }
        Gradients { entries }
    }

    /// The gradient of a parameter; `None` if the loss did not depend on it.
    pub fn get(&self, param: &Param) -> Option<&Tensor> {
        self.find(Key::Param(param.id()))
    }

    /// The gradient of a `with_grad` leaf.
    pub fn of(&self, leaf: &Tensor) -> Option<&Tensor> {
        let generation = recorder::with(|r| r.generation(leaf.slot()));
        self.find(Key::Leaf(leaf.slot(), generation))
    }

    fn find(&self, key: Key) -> Option<&Tensor> {
        self.entries.iter().find(|(k, _)| *k == key).map(|(_, t)| t)
    }

    /// How many parameters and leaves have a gradient.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The gradient tensors, in the order in which the loss reached their owners.
    pub fn tensors(&self) -> impl Iterator<Item = &Tensor> {
        self.entries.iter().map(|(_, t)| t)
    }

    /// The gradients of parameters with the parameters' ids ([`Param::id`]); those of leaves are not
    /// among them.
    pub fn params(&self) -> impl Iterator<Item = (u64, &Tensor)> {
        self.entries.iter().filter_map(|(key, t)| match key {
            Key::Param(id) => Some((*id, t)),
            Key::Leaf(..) => None,
        })
    }

    /// All gradients times a number.
    #[track_caller]
    #[must_use]
    pub fn scale(self, factor: f64) -> Gradients {
        self.map(|g| g * factor)
    }

    /// Replaces every gradient by `f` of it, for example to clip.
    #[must_use]
    pub fn map(mut self, f: impl Fn(&Tensor) -> Tensor) -> Gradients {
        for (_, t) in &mut self.entries {
            *t = f(t);
        }
        self
    }

    /// The 2-norm over all gradients, a scalar.
    #[track_caller]
    pub fn norm(&self) -> Tensor {
        let mut total: Option<Tensor> = None;
        for t in self.tensors() {
            let part = t.square().sum();
            total = Some(match total {
                Some(sum) => sum + part,
                None => part,
            });
        }
        total.unwrap_or_else(|| Tensor::from(0.0)).sqrt()
    }

    /// Scales all gradients so that their common 2-norm is at most `max_norm`; the factor is
    /// `max_norm / (norm + 1e-6)`, as in PyTorch.
    #[track_caller]
    #[must_use]
    pub fn clip_norm(self, max_norm: f64) -> Gradients {
        let factor = (max_norm / (self.norm() + 1e-6)).minimum(1.0);
        self.map(|g| g * &factor)
    }
}
