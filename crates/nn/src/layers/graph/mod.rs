//! Layers on graphs: a row of features for each node, and the edges as two rows of node numbers.
//!
//! `edge_index` is `[2, edges]` of i64 as in PyTorch Geometric: the first row says where an edge
//! comes from, the second where it goes to. A node gathers from the edges that go to it, so a graph
//! without directions lists each edge both ways. Sums run over the edges in their order, so results
//! have the same bits for any number of threads.

mod gat;
mod gcn;
mod gin;
mod sage;

pub use gat::GatConv;
pub use gcn::GcnConv;
pub use gin::{Epsilon, GinConv};
pub use sage::{Aggregation, SageConv};

use gradus_core::{Code, DType, Error, Result, Tensor};

/// The edges of a graph, checked against the features of its nodes.
struct Edges {
    /// Where each edge comes from, `[edges]`.
    source: Tensor,
    /// Where each edge goes to, `[edges]`.
    target: Tensor,
    nodes: usize,
    count: usize,
    /// The type of the features.
    dtype: DType,
}

impl Edges {
    /// Checks features `[nodes, width]` and edges `[2, edges]`. Node numbers are checked when the
    /// result is computed.
    #[track_caller]
    fn new(layer: &str, x: &Tensor, width: usize, edge_index: &Tensor) -> Result<Edges> {
        let (shape, dtype) = (x.shape()?, x.dtype()?);
        let (edges, index) = (edge_index.shape()?, edge_index.dtype()?);
        if shape.rank() != 2 || shape.dim(1) != width {
            let text = format!("{layer}: the features are {shape}, not [nodes, {width}]");
            return Err(Error::new(Code::Shape, text).help("each node has one row of features"));
        }
        if !dtype.is_float() {
            let text = format!("{layer}: the features are {dtype}, not floats");
            return Err(Error::new(Code::DType, text).help("`cast(DType::F32)` them"));
        }
        let help = "the first row says where an edge comes from, the second where it goes to";
        if edges.rank() != 2 || edges.dim(0) != 2 {
            let text = format!("{layer}: the edges are {edges}, not [2, edges]");
            return Err(Error::new(Code::Shape, text).help(help));
        }
        if index != DType::I64 {
            let text = format!("{layer}: the edges are {index}, not i64");
            return Err(Error::new(Code::DType, text).help(help));
        }
        Ok(Edges {
            source: edge_index.select(0, 0),
            target: edge_index.select(0, 1),
            nodes: shape.dim(0),
            count: edges.dim(1),
            dtype,
        })
    }

    /// For each edge the row of the node that it comes from.
    #[track_caller]
    fn at_source(&self, x: &Tensor) -> Tensor {
        x.index_select(0, &self.source)
    }

    /// For each edge the row of the node that it goes to.
    #[track_caller]
    fn at_target(&self, x: &Tensor) -> Tensor {
        x.index_select(0, &self.target)
    }

    /// For each node the sum over the edges that go to it; zero without one.
    #[track_caller]
    fn sum(&self, messages: &Tensor) -> Tensor {
        match messages.shape() {
            Ok(shape) => {
                let zeros = Tensor::zeros(shape.with(0, self.nodes)).cast(self.dtype);
                zeros.index_add(0, &self.target, messages)
            }
            Err(_) => messages.clone(),
        }
    }

    /// 1 for each edge.
    #[track_caller]
    fn ones(&self) -> Tensor {
        Tensor::ones([self.count]).cast(self.dtype)
    }

    /// Whether an edge leads from a node to itself.
    #[track_caller]
    fn is_loop(&self) -> Tensor {
        self.source.eq(&self.target)
    }
}
