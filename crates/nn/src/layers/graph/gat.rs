//! Graph attention.

use std::fmt;

use gradus_core::{Code, Error, Param, Result, ScatterReduce, Shape, Tag, Tensor};

use super::Edges;
use crate::init;
use crate::layers::failed_among;
use crate::layers::linear::Linear;
use crate::module::{Module, Visitor};

/// Graph attention: a node takes the mean of its neighbours and itself, with weights that each head
/// learns: `softmax_j(leaky_relu(a_src . W x_j + a_dst . W x_i))`.
///
/// Features `[nodes, in_channels]` and edges `[2, edges]` give `[nodes, heads * out_channels]`, or
/// `[nodes, out_channels]` with [`GatConv::no_concat`]. Parameters as in PyTorch Geometric's
/// `GATConv`: `att_src` and `att_dst` `[1, heads, out_channels]`, `bias`, and `lin.weight`
/// `[heads * out_channels, in_channels]`; all but the bias start with Glorot's law. Edges from a
/// node to itself are replaced by one self loop. Velickovic et al., *Graph attention networks*,
/// 2018.
///
/// ```
/// use gradus_core::Tensor;
/// use gradus_nn::GatConv;
/// let edges = Tensor::from([[0, 1, 1, 2], [1, 0, 2, 1]]);
/// let layer = GatConv::new(4, 2).heads(3).dropout(0.6);
/// assert_eq!(layer.forward(&Tensor::ones([3, 4]), &edges).dims::<2>()?, [3, 6]);
/// # Ok::<(), gradus_core::Error>(())
/// ```
pub struct GatConv {
    /// The map of features for all heads, without a bias.
    pub lin: Linear,
    /// `[1, heads, out_channels]`.
    pub att_src: Param,
    /// `[1, heads, out_channels]`.
    pub att_dst: Param,
    /// `[heads * out_channels]`, `[out_channels]` with [`GatConv::no_concat`]; none with
    /// [`GatConv::no_bias`].
    pub bias: Option<Param>,
    in_channels: usize,
    out_channels: usize,
    heads: usize,
    concat: bool,
    negative_slope: f64,
    dropout: f64,
    add_self_loops: bool,
    tag: Tag,
}

impl GatConv {
    /// Attention with one head. A size of 0 is an error, which the first `forward`, `step` or
    /// `save` reports.
    pub fn new(in_channels: usize, out_channels: usize) -> GatConv {
        GatConv::made(in_channels, out_channels, 1)
    }

    fn made(in_channels: usize, out_channels: usize, heads: usize) -> GatConv {
        let attention = || {
            let shape = Shape::from([1, heads, out_channels]);
            // Glorot's law over the last two axes, as there.
            let bound = libm::sqrt(6.0 / (heads + out_channels).max(1) as f64);
            Param::from_result(init::symmetric(shape, bound))
        };
        let width = heads * out_channels;
        GatConv {
            lin: Linear::new(in_channels, width)
                .no_bias()
                .with_init(|shape| init::xavier_uniform(shape, 1.0)),
            att_src: attention(),
            att_dst: attention(),
            bias: Some(Param::from_result(init::zeros(width))),
            in_channels,
            out_channels,
            heads,
            concat: true,
            negative_slope: 0.2,
            dropout: 0.0,
            add_self_loops: true,
            tag: Tag::new(format!("GatConv({in_channels} -> {out_channels}, {heads} heads)")),
        }
    }

    /// Number of heads; 1 by default. Starts all parameters anew.
    #[must_use]
    pub fn heads(self, heads: usize) -> GatConv {
        let mut new = GatConv::made(self.in_channels, self.out_channels, heads);
        if self.bias.is_none() {
            new.bias = None;
        }
        new.add_self_loops = self.add_self_loops;
        let new = new.negative_slope(self.negative_slope).dropout(self.dropout);
        if self.concat { new } else { new.no_concat() }
    }

    /// The result is the mean over the heads instead of all of them side by side.
    #[must_use]
    pub fn no_concat(mut self) -> GatConv {
        self.concat = false;
        self.bias = self.bias.map(|_| Param::from_result(init::zeros(self.out_channels)));
        self
    }

    /// The slope of the leaky rectifier for negative scores; 0.2 by default.
    #[must_use]
    pub fn negative_slope(mut self, slope: f64) -> GatConv {
        self.negative_slope = slope;
        self
    }

    /// The probability with which a weight is dropped while training; 0 by default.
    #[must_use]
    pub fn dropout(mut self, p: f64) -> GatConv {
        self.dropout = p;
        self
    }

    /// A node does not see itself, unless it has an edge to itself; those stay then.
    #[must_use]
    pub fn no_self_loops(mut self) -> GatConv {
        self.add_self_loops = false;
        self
    }

    /// Without a bias.
    #[must_use]
    pub fn no_bias(mut self) -> GatConv {
        self.bias = None;
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
            None => self.attend(x, edge_index).unwrap_or_else(Tensor::failed),
        }
    }

    #[track_caller]
    fn attend(&self, x: &Tensor, index: &Tensor) -> Result<Tensor> {
        if self.heads == 0 {
            let error = Error::new(Code::Argument, "GatConv: needs at least one head");
            return Err(error);
        }
        for param in [Some(&self.att_src), Some(&self.att_dst), self.bias.as_ref()] {
            if let Some(error) = param.and_then(Param::error) {
                return Err(error.clone());
            }
        }
        let edges = Edges::new("GatConv", x, self.in_channels, index)?;
        let (nodes, heads, out) = (edges.nodes, self.heads, self.out_channels);
        let h = self.lin.forward(x).reshape_to([nodes, heads, out]);
        // A score is a sum of what its two ends say, `[nodes, heads]` each.
        let (from, to) = ((&h * &self.att_src).sum_dim(-1), (&h * &self.att_dst).sum_dim(-1));
        let mut scores =
            (edges.at_source(&from) + edges.at_target(&to)).leaky_relu(self.negative_slope);
        let mut own = None;
        if self.add_self_loops {
            scores = edges.is_loop().unsqueeze(1).where_(f64::NEG_INFINITY, &scores);
            own = Some((&from + &to).leaky_relu(self.negative_slope));
        }
        // Softmax over the edges that go to a node; its largest score is only there for the range.
        let lowest = match &own {
            Some(own) => own.detach(),
            None => from.detach().full_like(f64::NEG_INFINITY),
        };
        let largest =
            lowest.index_reduce(0, &edges.target, &scores.detach(), ScatterReduce::Amax, true);
        let raised = (scores - edges.at_target(&largest)).exp();
        let own = own.map(|own| (own - &largest).exp());
        let mut total = edges.sum(&raised);
        if let Some(own) = &own {
            total = total + own;
        }
        let weights = (raised / edges.at_target(&total)).dropout(self.dropout);
        let mut y = edges.sum(&(edges.at_source(&h) * weights.unsqueeze(-1)));
        if let Some(own) = own {
            y = y + h * (own / total).dropout(self.dropout).unsqueeze(-1);
        }
        let y = if self.concat { y.reshape_to([nodes, heads * out]) } else { y.mean_dim(1) };
        Ok(match &self.bias {
            Some(bias) => y + bias,
            None => y,
        })
    }
}

impl fmt::Debug for GatConv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.tag.describe())
    }
}

impl Module for GatConv {
    fn walk(&self, visitor: &mut dyn Visitor) {
        visitor.tag(&self.tag);
        visitor.param("att_src", &self.att_src);
        visitor.param("att_dst", &self.att_dst);
        if let Some(bias) = &self.bias {
            visitor.param("bias", bias);
        }
        visitor.child("lin", &self.lin);
    }
}
