//! Layers one after the other.

use std::fmt;

use gradus_core::{Tag, Tensor};

use crate::layer::Layer;
use crate::module::{Module, Visitor, index_name};

/// Layers one after the other; the names of its children are "0", "1", ...
///
/// Made with [`seq!`](crate::seq).
///
/// ```
/// use gradus_core::Tensor;
/// use gradus_nn::{Linear, Relu, seq};
/// let model = seq![Linear::new(64, 128), Relu, Linear::new(128, 10)];
/// assert_eq!(model.forward(&Tensor::zeros([5, 64])).dims::<2>()?, [5, 10]);
/// # Ok::<(), gradus_core::Error>(())
/// ```
pub struct Sequential {
    layers: Vec<Box<dyn Layer>>,
    tag: Tag,
}

impl Sequential {
    /// No layers: the result is the input.
    pub fn new() -> Sequential {
        Sequential::from(Vec::new())
    }

    /// Adds a layer at the end.
    pub fn push(&mut self, layer: impl Layer + 'static) {
        self.layers.push(Box::new(layer));
    }

    /// Puts another layer in the place of layer `i`, which is given back: a new head perhaps. None, and
    /// nothing is changed, if there is no such place.
    ///
    /// ```
    /// use gradus_nn::{Linear, Relu, seq};
    /// let mut model = seq![Linear::new(4, 8), Relu, Linear::new(8, 10)];
    /// assert!(model.replace(2, Linear::new(8, 2)).is_some());
    /// assert!(model.replace(3, Relu).is_none());
    /// ```
    pub fn replace(&mut self, i: usize, layer: impl Layer + 'static) -> Option<Box<dyn Layer>> {
        let place = self.layers.get_mut(i)?;
        Some(std::mem::replace(place, Box::new(layer)))
    }

    /// Layer `i`, from 0.
    pub fn get(&self, i: usize) -> Option<&dyn Layer> {
        self.layers.get(i).map(|layer| &**layer)
    }

    /// The layers, in order.
    pub fn iter(&self) -> impl Iterator<Item = &dyn Layer> {
        self.layers.iter().map(|layer| &**layer)
    }

    /// Number of layers.
    pub fn len(&self) -> usize {
        self.layers.len()
    }

    /// Whether there are no layers.
    pub fn is_empty(&self) -> bool {
        self.layers.is_empty()
    }

    /// The result of the last layer.
    #[track_caller]
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let _scope = self.tag.enter();
        let Some((first, rest)) = self.layers.split_first() else { return x.clone() };
        rest.iter().fold(first.forward(x), |x, layer| layer.forward(&x))
    }
}

impl Default for Sequential {
    fn default() -> Sequential {
        Sequential::new()
    }
}

impl From<Vec<Box<dyn Layer>>> for Sequential {
    fn from(layers: Vec<Box<dyn Layer>>) -> Sequential {
        Sequential { layers, tag: Tag::new("Sequential") }
    }
}

impl fmt::Debug for Sequential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sequential[")?;
        for (i, layer) in self.layers.iter().enumerate() {
            f.write_str(if i == 0 { "" } else { ", " })?;
            f.write_str(layer.name())?;
        }
        f.write_str("]")
    }
}

impl Module for Sequential {
    fn walk(&self, visitor: &mut dyn Visitor) {
        visitor.tag(&self.tag);
        for (i, layer) in self.layers.iter().enumerate() {
            visitor.child(&index_name(i), layer);
        }
    }
}

impl Layer for Sequential {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        Sequential::forward(self, x)
    }
}

/// A [`Sequential`] of layers.
///
/// ```
/// use gradus_nn::{Dropout, Linear, Relu, seq};
/// let model = seq![Linear::new(64, 128), Relu, Dropout::new(0.2), Linear::new(128, 10)];
/// assert_eq!(model.len(), 4);
/// ```
#[macro_export]
macro_rules! seq {
    ($($layer:expr),* $(,)?) => {
        $crate::Sequential::from(::std::vec![
            $(::std::boxed::Box::new($layer) as ::std::boxed::Box<dyn $crate::Layer>),*
        ] as ::std::vec::Vec<::std::boxed::Box<dyn $crate::Layer>>)
    };
}
