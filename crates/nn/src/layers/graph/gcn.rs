//! Graph convolution.

use std::fmt;

use gradus_core::{Code, Error, Param, Result, Tag, Tensor};

use super::Edges;
use crate::init;
use crate::layers::failed_among;
use crate::layers::linear::Linear;
use crate::module::{Module, Visitor};

/// Graph convolution: the mean of a node's neighbours and itself, weighed by their degrees,
/// `D^(-1/2) (A + I) D^(-1/2) x W^T + bias`.
///
/// Features `[nodes, in_channels]` and edges `[2, edges]` give `[nodes, out_channels]`. `lin.weight`
/// is `[out_channels, in_channels]`, `bias` `[out_channels]`, as in PyTorch Geometric's `GCNConv`;
/// the weight starts with Glorot's law, the bias at zero. Degrees count the edges that go to a node.
/// Kipf and Welling, *Semi-supervised classification with graph convolutional networks*, 2017.
///
/// A node that lists an edge to itself gets no other one; several such edges count several times
/// (there the last one counts).
///
/// ```
/// use gradus_core::Tensor;
/// use gradus_nn::GcnConv;
/// // Three nodes in a row, each edge both ways.
/// let edges = Tensor::from([[0, 1, 1, 2], [1, 0, 2, 1]]);
/// let layer = GcnConv::new(4, 2);
/// assert_eq!(layer.forward(&Tensor::ones([3, 4]), &edges).dims::<2>()?, [3, 2]);
/// # Ok::<(), gradus_core::Error>(())
/// ```
pub struct GcnConv {
    /// The map of features, without a bias.
    pub lin: Linear,
    /// `[out_channels]`, unless [`GcnConv::no_bias`].
    pub bias: Option<Param>,
    add_self_loops: bool,
    normalize: bool,
    improved: bool,
    tag: Tag,
}

impl GcnConv {
    /// A convolution with self loops and normalisation. A size of 0 is an error, which the first
    /// `forward`, `step` or `save` reports.
    pub fn new(in_channels: usize, out_channels: usize) -> GcnConv {
        let lin = Linear::new(in_channels, out_channels)
            .no_bias()
            .with_init(|shape| init::xavier_uniform(shape, 1.0));
        GcnConv {
            lin,
            bias: Some(Param::from_result(init::zeros(out_channels))),
            add_self_loops: true,
            normalize: true,
            improved: false,
            tag: Tag::new(format!("GcnConv({in_channels} -> {out_channels})")),
        }
    }

    /// Without a bias.
    #[must_use]
    pub fn no_bias(mut self) -> GcnConv {
        self.bias = None;
        self
    }

    /// A node does not see itself, unless it has an edge to itself.
    #[must_use]
    pub fn no_self_loops(mut self) -> GcnConv {
        self.add_self_loops = false;
        self
    }

    /// Plain sums over the edges: no degrees, and no self loops (as in PyTorch Geometric).
    #[must_use]
    pub fn no_normalize(mut self) -> GcnConv {
        self.normalize = false;
        self
    }

    /// A node sees itself twice: `A + 2 I`.
    #[must_use]
    pub fn improved(mut self) -> GcnConv {
        self.improved = true;
        self
    }

    /// The result for features and edges.
    ///
    /// A node number that is not in `0..nodes` is found when the result is computed
    /// ([`Code::Index`]).
    #[track_caller]
    pub fn forward(&self, x: &Tensor, edge_index: &Tensor) -> Tensor {
        let _scope = self.tag.enter();
        match failed_among([x, edge_index]) {
            Some(failed) => failed,
            None => self.convolve(x, edge_index, None).unwrap_or_else(Tensor::failed),
        }
    }

    /// The result with a weight for each edge, `[edges]`; degrees are sums of weights then, and
    /// should be positive (of others the root counts as 0).
    #[track_caller]
    pub fn forward_weighted(&self, x: &Tensor, edge_index: &Tensor, weight: &Tensor) -> Tensor {
        let _scope = self.tag.enter();
        match failed_among([x, edge_index, weight]) {
            Some(failed) => failed,
            None => self.convolve(x, edge_index, Some(weight)).unwrap_or_else(Tensor::failed),
        }
    }

    #[track_caller]
    fn convolve(&self, x: &Tensor, index: &Tensor, weight: Option<&Tensor>) -> Result<Tensor> {
        if let Some(error) = self.bias.as_ref().and_then(Param::error) {
            return Err(error.clone());
        }
        let edges = Edges::new("GcnConv", x, self.lin.in_features(), index)?;
        if let Some(weight) = weight
            && (weight.shape()?.dims() != [edges.count] || !weight.dtype()?.is_float())
        {
            let have = format!("{} {}", weight.dtype()?, weight.shape()?);
            let text = format!("GcnConv: the weights of {} edges are {have}", edges.count);
            return Err(Error::new(Code::Shape, text).help("one float for each edge"));
        }
        let h = self.lin.forward(x);
        let gather = |h: &Tensor| match weight {
            Some(weight) => edges.sum(&(edges.at_source(h) * weight.unsqueeze(1))),
            None => edges.sum(&edges.at_source(h)),
        };
        let y = if self.normalize {
            let own = weight.map_or_else(|| edges.ones(), Tensor::clone);
            let mut degree = edges.sum(&own);
            let mut again = None;
            if self.add_self_loops {
                // A loop that is listed stays as it is; other nodes get one. None is added to the
                // list: what a node gives itself needs no edge.
                let listed = edges.sum(&edges.is_loop().cast(edges.dtype)).gt(0.0);
                let loops = listed.where_(0.0, if self.improved { 2.0 } else { 1.0 });
                let loops = loops.cast(edges.dtype);
                degree = degree + &loops;
                again = Some(loops.unsqueeze(1));
            }
            // Roots of degrees on both sides, once a node instead of once an edge.
            let positive = degree.gt(0.0);
            let root = positive.where_(degree, 1.0).rsqrt();
            let root = positive.where_(root, 0.0).unsqueeze(1);
            let h = h * &root;
            let y = match again {
                Some(again) => gather(&h) + again * h,
                None => gather(&h),
            };
            y * root
        } else {
            gather(&h)
        };
        Ok(match &self.bias {
            Some(bias) => y + bias,
            None => y,
        })
    }
}

impl fmt::Debug for GcnConv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.tag.describe())
    }
}

impl Module for GcnConv {
    fn walk(&self, visitor: &mut dyn Visitor) {
        visitor.tag(&self.tag);
        if let Some(bias) = &self.bias {
            visitor.param("bias", bias);
        }
        visitor.child("lin", &self.lin);
    }
}
