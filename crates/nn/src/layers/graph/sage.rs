//! The convolution of GraphSAGE.

use std::fmt;

use gradus_core::{Result, ScatterReduce, Tag, Tensor};

use super::Edges;
use crate::layers::failed_among;
use crate::layers::linear::Linear;
use crate::module::{Module, Visitor};

/// How the messages of neighbours become one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Aggregation {
    /// Their mean; zero without neighbours.
    #[default]
    Mean,
    /// Their sum.
    Sum,
    /// The largest of each feature; zero without neighbours.
    Max,
}

/// The convolution of GraphSAGE: a map of the neighbours' mean plus a map of the node itself,
/// `mean(x_j) W_l^T + b + x_i W_r^T`.
///
/// Features `[nodes, in_channels]` and edges `[2, edges]` give `[nodes, out_channels]`. Parameters
/// as in PyTorch Geometric's `SAGEConv`: `lin_l.weight`, `lin_l.bias`, `lin_r.weight`, started as a
/// [`Linear`]. Hamilton, Ying and Leskovec, *Inductive representation learning on large graphs*,
/// 2017.
///
/// ```
/// use gradus_core::Tensor;
/// use gradus_nn::{Aggregation, SageConv};
/// let edges = Tensor::from([[0, 1, 1, 2], [1, 0, 2, 1]]);
/// let layer = SageConv::new(4, 2).aggr(Aggregation::Max).normalize();
/// assert_eq!(layer.forward(&Tensor::ones([3, 4]), &edges).dims::<2>()?, [3, 2]);
/// # Ok::<(), gradus_core::Error>(())
/// ```
pub struct SageConv {
    /// The map of what neighbours say.
    pub lin_l: Linear,
    /// The map of the node itself, unless [`SageConv::no_root_weight`].
    pub lin_r: Option<Linear>,
    aggr: Aggregation,
    normalize: bool,
    tag: Tag,
}

impl SageConv {
    /// A convolution by the mean of neighbours. A size of 0 is an error, which the first `forward`,
    /// `step` or `save` reports.
    pub fn new(in_channels: usize, out_channels: usize) -> SageConv {
        SageConv {
            lin_l: Linear::new(in_channels, out_channels),
            lin_r: Some(Linear::new(in_channels, out_channels).no_bias()),
            aggr: Aggregation::Mean,
            normalize: false,
            tag: Tag::new(format!("SageConv({in_channels} -> {out_channels})")),
        }
    }

    /// How the messages of neighbours become one; the mean by default.
    #[must_use]
    pub fn aggr(mut self, aggr: Aggregation) -> SageConv {
        self.aggr = aggr;
        self
    }

    /// Rows of the result have length 1.
    #[must_use]
    pub fn normalize(mut self) -> SageConv {
        self.normalize = true;
        self
    }

    /// Neighbours only: the node itself does not count.
    #[must_use]
    pub fn no_root_weight(mut self) -> SageConv {
        self.lin_r = None;
        self
    }

    /// Without a bias.
    #[must_use]
    pub fn no_bias(mut self) -> SageConv {
        self.lin_l = self.lin_l.no_bias();
        self
    }

    /// The result for features and edges.
    ///
    /// A node number that is not in `0..nodes` is found when the result is computed.
    #[track_caller]
    pub fn forward(&self, x: &Tensor, edge_index: &Tensor) -> Tensor {
        let _scope = self.tag.enter();
        match failed_among([x, edge_index]) {
            Some(failed) => failed,
            None => self.convolve(x, edge_index).unwrap_or_else(Tensor::failed),
        }
    }

    #[track_caller]
    fn convolve(&self, x: &Tensor, index: &Tensor) -> Result<Tensor> {
        let edges = Edges::new("SageConv", x, self.lin_l.in_features(), index)?;
        let messages = edges.at_source(x);
        let gathered = match self.aggr {
            Aggregation::Sum => edges.sum(&messages),
            Aggregation::Mean => {
                let count = edges.sum(&edges.ones()).clamp_min(1.0);
                edges.sum(&messages) / count.unsqueeze(1)
            }
            Aggregation::Max => {
                let none = x.zeros_like();
                none.index_reduce(0, &edges.target, &messages, ScatterReduce::Amax, false)
            }
        };
        let mut y = self.lin_l.forward(&gathered);
        if let Some(lin_r) = &self.lin_r {
            y = y + lin_r.forward(x);
        }
        Ok(if self.normalize { y.normalize(2, -1, 1e-12) } else { y })
    }
}

impl fmt::Debug for SageConv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.tag.describe())
    }
}

impl Module for SageConv {
    fn walk(&self, visitor: &mut dyn Visitor) {
        visitor.tag(&self.tag);
        visitor.child("lin_l", &self.lin_l);
        if let Some(lin_r) = &self.lin_r {
            visitor.child("lin_r", lin_r);
        }
    }
}
