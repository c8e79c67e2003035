//! The gradients of a loss: values that are looked up, changed and applied, not state.

use std::cell::RefCell;

use crate::graph::recorder;
use crate::param::Param;
use crate::tensor::Tensor;

/// The gradients of a loss, by parameter or leaf. Values, not state: nothing to zero.
pub struct Gradients {
    entries: List,
}

/// Gradients with their owners.
pub(crate) type List = Vec<(Key, Tensor)>;

thread_local! {
    static SPARE: RefCell<Vec<List>> = const { RefCell::new(Vec::new()) };
}

impl Drop for Gradients {
    fn drop(&mut self) {
        let mut list = std::mem::take(&mut self.entries);
        list.clear();
        let _ = SPARE.try_with(|spare| {
            let mut spare = spare.borrow_mut();
            if spare.len() < 8 {
                spare.push(list);
            }
        });
    }
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
        let mut entries = Gradients::list();
        entries.extend(pairs.into_iter().map(|(p, t)| (Key::Param(p.id()), t)));
        Gradients::merged(entries)
    }

    /// A parameter recorded under two values has two leaves; its gradient is the sum.
    #[track_caller]
    pub(crate) fn merged(mut entries: List) -> Gradients {
        let mut i = 0;
        while let Some((head, tail)) = entries.split_at_mut_checked(i) {
            let Some((key, t)) = tail.first() else { break };
            let same = |(k, _): &&mut (Key, Tensor)| matches!(k, Key::Param(_)) && k == key;
            match head.iter_mut().find(same) {
                Some((_, sum)) => {
                    *sum = &*sum + t;
                    entries.remove(i);
                }
                None => i += 1,
            }
        }
        Gradients { entries }
    }

    /// An empty list, with the memory of one that was dropped: a steady step allocates nothing.
    pub(crate) fn list() -> List {
        SPARE.with(|spare| spare.borrow_mut().pop()).unwrap_or_default()
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
    #[must_use]
    pub fn norm(&self) -> Tensor {
        self.norm_of(2.0)
    }

    /// The norm of some order over all gradients as if they were one vector, a scalar:
    /// `(sum |g|^order)^(1 / order)`, for infinity the largest `|g|`.
    ///
    /// ```
    /// use gradus_core::{Array, Gradients, Param, Tensor};
    /// let w = Param::new(Array::new([2], &[0.0f32, 0.0])?);
    /// let grads = Gradients::from_pairs([(&w, Tensor::from([3.0, -4.0]))]);
    /// assert_eq!(grads.norm_of(1.0).item()?, 7.0);
    /// assert_eq!(grads.norm_of(2.0).item()?, 5.0);
    /// assert_eq!(grads.norm_of(f64::INFINITY).item()?, 4.0);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    #[track_caller]
    #[must_use]
    pub fn norm_of(&self, order: f64) -> Tensor {
        let largest = order.is_infinite();
        let part = |t: &Tensor| match order {
            1.0 => t.abs().sum(),
            2.0 => t.square().sum(),
            _ if largest && t.numel() == Ok(0) => Tensor::from(0.0),
            _ if largest => t.abs().max(),
            _ => t.abs().pow(order).sum(),
        };
        let mut total: Option<Tensor> = None;
        for t in self.tensors() {
            let part = part(t);
            total = Some(match total {
                Some(sum) if largest => sum.maximum(part),
                Some(sum) => sum + part,
                None => part,
            });
        }
        let total = total.unwrap_or_else(|| Tensor::from(0.0));
        match order {
            2.0 => total.sqrt(),
            1.0 => total,
            _ if largest => total,
            _ => total.pow(1.0 / order),
        }
    }

    /// Scales all gradients so that their common 2-norm is at most `max_norm`; the factor is
    /// `max_norm / (norm + 1e-6)`, as in PyTorch.
    #[track_caller]
    #[must_use]
    pub fn clip_norm(self, max_norm: f64) -> Gradients {
        self.clip_norm_of(max_norm, 2.0)
    }

    /// [`Gradients::clip_norm`] by the norm of another order, 1 and infinity for example.
    #[track_caller]
    #[must_use]
    pub fn clip_norm_of(self, max_norm: f64, order: f64) -> Gradients {
        let factor = (max_norm / (self.norm_of(order) + 1e-6)).minimum(1.0);
        self.map(|g| g * &factor)
    }

    /// Cuts every element to `-limit..=limit`.
    ///
    /// ```
    /// use gradus_core::{Array, Gradients, Param, Tensor};
    /// let w = Param::new(Array::new([2], &[0.0f32, 0.0])?);
    /// let clipped = Gradients::from_pairs([(&w, Tensor::from([3.0, -0.4]))]).clip_value(0.5);
    /// assert_eq!(clipped.get(&w).map(|g| g.to_vec::<f32>()), Some(Ok(vec![0.5, -0.4])));
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    #[track_caller]
    #[must_use]
    pub fn clip_value(self, limit: f64) -> Gradients {
        self.map(|g| g.clamp(-limit, limit))
    }
}
