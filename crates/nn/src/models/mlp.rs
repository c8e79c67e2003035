//! A multilayer perceptron.

use std::fmt;

use gradus_core::{Tag, Tensor};

use crate::layer::Layer;
use crate::layers::{BatchNorm1d, Dropout, LayerNorm, Linear};
use crate::module::{Module, Visitor, index_name};

/// A normalisation between a linear layer and its activation.
enum Norm {
    None,
    Batch(Vec<BatchNorm1d>),
    Layer(Vec<LayerNorm>),
}

/// Linear layers with an activation between them: `[.., sizes[0]]` becomes `[.., sizes.last()]`.
///
/// After every linear layer but the last come the normalisation, if one is asked for, the activation
/// (ReLU by default) and the dropout. Parameters are `layers.0.weight`, `layers.0.bias`, ..,
/// `norms.0.weight`, ..
///
/// ```
/// use gradus_core::Tensor;
/// use gradus_nn::{Layer, models::Mlp};
/// let model = Mlp::new(&[784, 256, 128, 10]).activation(Tensor::gelu).layer_norm().dropout(0.1);
/// assert_eq!(model.forward(&Tensor::zeros([5, 784])).dims::<2>()?, [5, 10]);
/// # Ok::<(), gradus_core::Error>(())
/// ```
///
/// Another head for another task, the rest as it is (see [`ModuleExt::freeze`](crate::ModuleExt)):
///
/// ```
/// use gradus_nn::{Linear, ModuleExt, models::Mlp};
/// let mut model = Mlp::new(&[8, 16, 3]);
/// model.freeze();
/// if let Some(head) = model.layers.last_mut() {
///     *head = Linear::new(16, 5);
/// }
/// assert_eq!(model.parameters().iter().filter(|p| !p.is_frozen()).count(), 2);
/// ```
pub struct Mlp {
    /// The linear layers, in order.
    pub layers: Vec<Linear>,
    norms: Norm,
    activation: fn(&Tensor) -> Tensor,
    dropout: Dropout,
    widths: Vec<usize>,
    tag: Tag,
}

impl Mlp {
    /// A network with these sizes: of the input, of the hidden layers, of the output. With fewer than
    /// two sizes it has no layers, and the result is the input.
    pub fn new(sizes: &[usize]) -> Mlp {
        let pairs = sizes.iter().zip(sizes.iter().skip(1));
        let hidden = sizes.len().saturating_sub(2);
        let shown: Vec<String> = sizes.iter().map(ToString::to_string).collect();
        Mlp {
            layers: pairs.map(|(&from, &to)| Linear::new(from, to)).collect(),
            norms: Norm::None,
            activation: Tensor::relu,
            dropout: Dropout::new(0.0),
            widths: sizes.iter().skip(1).take(hidden).copied().collect(),
            tag: Tag::new(format!("Mlp({})", shown.join(" -> "))),
        }
    }

    /// What comes between the layers, `Tensor::gelu` perhaps.
    #[must_use]
    pub fn activation(mut self, activation: fn(&Tensor) -> Tensor) -> Mlp {
        self.activation = activation;
        self
    }

    /// The probability of a zero behind each activation while training; 0 by default.
    #[must_use]
    pub fn dropout(mut self, p: f64) -> Mlp {
        self.dropout = Dropout::new(p);
        self
    }

    /// Batch normalisation before each activation; then inputs are `[batch, size]`.
    #[must_use]
    pub fn batch_norm(mut self) -> Mlp {
        self.norms = Norm::Batch(self.widths.iter().map(|&n| BatchNorm1d::new(n)).collect());
        self
    }

    /// Layer normalisation before each activation.
    #[must_use]
    pub fn layer_norm(mut self) -> Mlp {
        self.norms = Norm::Layer(self.widths.iter().map(|&n| LayerNorm::new(n)).collect());
        self
    }

    /// The result of the last layer.
    #[track_caller]
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let _scope = self.tag.enter();
        let Some((last, rest)) = self.layers.split_last() else { return x.clone() };
        let mut h = x.clone();
        for (i, layer) in rest.iter().enumerate() {
            h = layer.forward(&h);
            h = match &self.norms {
                Norm::Batch(norms) => norms.get(i).map_or(h.clone(), |norm| norm.forward(&h)),
                Norm::Layer(norms) => norms.get(i).map_or(h.clone(), |norm| norm.forward(&h)),
                Norm::None => h,
            };
            h = (self.activation)(&h);
            if self.dropout.p() != 0.0 {
                h = self.dropout.forward(&h);
            }
        }
        last.forward(&h)
    }
}

impl fmt::Debug for Mlp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.tag.describe())
    }
}

impl Module for Norm {
    fn walk(&self, visitor: &mut dyn Visitor) {
        match self {
            Norm::None => {}
            Norm::Batch(norms) => {
                norms.iter().enumerate().for_each(|(i, norm)| visitor.child(&index_name(i), norm));
            }
            Norm::Layer(norms) => {
                norms.iter().enumerate().for_each(|(i, norm)| visitor.child(&index_name(i), norm));
            }
        }
    }
}

impl Module for Mlp {
    fn walk(&self, visitor: &mut dyn Visitor) {
        visitor.tag(&self.tag);
        visitor.child("layers", &self.layers);
        visitor.child("norms", &self.norms);
        visitor.child("dropout", &self.dropout);
    }
}

impl Layer for Mlp {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        Mlp::forward(self, x)
    }
}
