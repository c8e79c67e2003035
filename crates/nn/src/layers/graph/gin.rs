//! The convolution of graph isomorphism networks.

use std::fmt;

use gradus_core::{Array, Buffer, Code, Error, Param, Result, Tag, Tensor};

use super::Edges;
use crate::init;
use crate::layer::Layer;
use crate::layers::failed_among;
use crate::module::{Module, Visitor};

/// The convolution of graph isomorphism networks: a network `nn` of the sum of a node and its
/// neighbours, `nn((1 + eps) x_i + sum of x_j)`.
///
/// Features `[nodes, in]` and edges `[2, edges]` give what `nn` makes of `[nodes, in]`. Names as in
/// PyTorch Geometric's `GINConv`: `eps` `[1]`, a buffer unless it is trained, and `nn`. Xu et al.,
/// *How powerful are graph neural networks?*, 2019.
///
/// ```
/// use gradus_core::Tensor;
/// use gradus_nn::{GinConv, Linear, Relu, seq};
/// let edges = Tensor::from([[0, 1, 1, 2], [1, 0, 2, 1]]);
/// let layer = GinConv::new(seq![Linear::new(4, 8), Relu, Linear::new(8, 2)]).train_eps();
/// assert_eq!(layer.forward(&Tensor::ones([3, 4]), &edges).dims::<2>()?, [3, 2]);
/// # Ok::<(), gradus_core::Error>(())
/// ```
pub struct GinConv {
    /// The network that the sums go through.
    pub nn: Box<dyn Layer>,
    /// How much more than a neighbour a node itself counts.
    pub eps: Epsilon,
    tag: Tag,
}

/// How much more than a neighbour a node itself counts in a [`GinConv`]; `[1]`.
#[derive(Debug)]
pub enum Epsilon {
    /// It stays as it is.
    Kept(Buffer),
    /// It is learned.
    Trained(Param),
}

impl GinConv {
    /// A convolution with `eps` 0, which is not trained.
    pub fn new(nn: impl Layer + 'static) -> GinConv {
        let eps = Epsilon::Kept(Buffer::from_result(init::zeros(1)));
        GinConv { nn: Box::new(nn), eps, tag: Tag::new("GinConv") }
    }

    /// Another `eps`; 0 by default.
    #[must_use]
    pub fn eps(mut self, eps: f32) -> GinConv {
        let value = init::constant(1, eps);
        self.eps = match self.eps {
            Epsilon::Kept(_) => Epsilon::Kept(Buffer::from_result(value)),
            Epsilon::Trained(_) => Epsilon::Trained(Param::from_result(value)),
        };
        self
    }

    /// Trains `eps` with the rest.
    #[must_use]
    pub fn train_eps(mut self) -> GinConv {
        let value: Result<Array> = match &self.eps {
            Epsilon::Kept(eps) => eps.get(),
            Epsilon::Trained(eps) => eps.get(),
        };
        self.eps = Epsilon::Trained(Param::from_result(value));
        self
    }

    /// The result for features and edges.
    ///
    /// A node number that is not in `0..nodes` is found when the result is computed.
    #[track_caller]
    pub fn forward(&self, x: &Tensor, edge_index: &Tensor) -> Tensor {
        let _scope = self.tag.enter();
        if let Some(failed) = failed_among([x, edge_index]) {
            return failed;
        }
        match self.gathered(x, edge_index) {
            Ok(sums) => self.nn.forward(&sums),
            Err(error) => Tensor::failed(error),
        }
    }

    #[track_caller]
    fn gathered(&self, x: &Tensor, index: &Tensor) -> Result<Tensor> {
        let shape = x.shape()?;
        if shape.rank() != 2 {
            let text = format!("GinConv: the features are {shape}, not [nodes, features]");
            return Err(Error::new(Code::Shape, text));
        }
        let edges = Edges::new("GinConv", x, shape.dim(1), index)?;
        let eps = match &self.eps {
            Epsilon::Kept(eps) => eps.tensor(),
            Epsilon::Trained(eps) => eps.tensor(),
        };
        Ok(edges.sum(&edges.at_source(x)) + x * (eps + 1.0))
    }
}

impl fmt::Debug for GinConv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.tag.describe())
    }
}

impl Module for GinConv {
    fn walk(&self, visitor: &mut dyn Visitor) {
        visitor.tag(&self.tag);
        match &self.eps {
            Epsilon::Kept(eps) => visitor.buffer("eps", eps),
            Epsilon::Trained(eps) => visitor.param("eps", eps),
        }
        visitor.child("nn", &self.nn);
    }
}
