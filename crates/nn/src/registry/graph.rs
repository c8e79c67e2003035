//! Rows of layers on graphs.

use gradus_core::{Array, Result, Tensor};

use super::samples::{floats, ids, unit};
use super::{Built, Group, LayerRow, Sample, fails};
use crate::models::Gcn;
use crate::{Aggregation, GatConv, GcnConv, GinConv, Linear, SageConv, Tanh, seq};

pub(super) fn rows() -> Vec<LayerRow> {
    vec![gcn(), sage(), gat(), gin(), model()]
}

/// Features of four nodes, and six edges, some of them from a node to itself.
fn graph() -> Result<Vec<Array>> {
    Ok(vec![floats([4, 3], 1)?, ids([2, 6], 4, 2)?])
}

macro_rules! on_graph {
    ($layer:expr) => {
        Built::with($layer, |layer, xs| match xs {
            [x, edges, ..] => layer.forward(x, edges),
            _ => Tensor::zeros(1),
        })
    };
}

/// Two nodes and an edge that leads out of the graph.
fn astray() -> (Tensor, Tensor) {
    (Tensor::ones([2, 3]), Tensor::from([[0, 1], [1, 2]]))
}

fn gcn() -> LayerRow {
    LayerRow {
        name: "GcnConv",
        signature: "GcnConv::new(in_channels, out_channels).improved().no_self_loops().no_normalize()\
                    .no_bias()",
        computes: "D^(-1/2) (A + I) D^(-1/2) x W^T + bias: features [nodes, in], edges [2, edges] -> \
                   [nodes, out]",
        parameters: "lin.weight [out, in], bias [out]",
        group: Group::Graph,
        pytorch: "-",
        samples: || {
            vec![
                Sample::new("a graph", || on_graph!(GcnConv::new(3, 2)), graph),
                Sample::new(
                    "improved, edges with weights",
                    || {
                        Built::with(GcnConv::new(3, 2).improved(), |layer, xs| match xs {
                            [x, edges, weight, ..] => layer.forward_weighted(x, edges, weight),
                            _ => Tensor::zeros(1),
                        })
                    },
                    || {
                        let mut all = graph()?;
                        all.push(unit([6], 3)?);
                        Ok(all)
                    },
                ),
                Sample::new(
                    "sums alone",
                    || on_graph!(GcnConv::new(3, 2).no_normalize().no_bias()),
                    graph,
                ),
                Sample::new(
                    "without loops",
                    || on_graph!(GcnConv::new(3, 2).no_self_loops()),
                    graph,
                ),
            ]
        },
        errors: || {
            vec![
                fails!("a node that is not there", Index, "index 2", {
                    let (x, edges) = astray();
                    GcnConv::new(3, 2).forward(&x, &edges)
                }),
                fails!("other features", Shape, "the features are [4, 2], not [nodes, 3]", {
                    GcnConv::new(3, 2).forward(&Tensor::zeros([4, 2]), &Tensor::from([[0], [1]]))
                }),
                fails!("one row of edges", Shape, "the edges are [2], not [2, edges]", {
                    GcnConv::new(3, 2).forward(&Tensor::zeros([4, 3]), &Tensor::from([0, 1]))
                }),
                fails!("edges of floats", DType, "the edges are f32, not i64", {
                    GcnConv::new(3, 2).forward(&Tensor::zeros([4, 3]), &Tensor::zeros([2, 1]))
                }),
                fails!("a size of 0", Argument, "Linear: sizes must be at least 1", {
                    GcnConv::new(0, 2).forward(&Tensor::zeros([4, 0]), &Tensor::from([[0], [1]]))
                }),
            ]
        },
    }
}

fn sage() -> LayerRow {
    LayerRow {
        name: "SageConv",
        signature: "SageConv::new(in_channels, out_channels).aggr(Aggregation::Max).normalize()\
                    .no_root_weight().no_bias()",
        computes: "mean of neighbours W_l^T + bias + x W_r^T: features [nodes, in], edges [2, edges] -> \
                   [nodes, out]",
        parameters: "lin_l.weight [out, in], lin_l.bias [out], lin_r.weight [out, in]",
        group: Group::Graph,
        pytorch: "-",
        samples: || {
            vec![
                Sample::new("means", || on_graph!(SageConv::new(3, 2)), graph),
                Sample::new(
                    "the largest, normalised",
                    || on_graph!(SageConv::new(3, 2).aggr(Aggregation::Max).normalize()),
                    graph,
                ),
                Sample::new(
                    "sums of neighbours alone",
                    || {
                        let layer = SageConv::new(3, 2).aggr(Aggregation::Sum);
                        on_graph!(layer.no_root_weight().no_bias())
                    },
                    graph,
                ),
            ]
        },
        errors: || {
            vec![fails!("a node that is not there", Index, "index 2", {
                let (x, edges) = astray();
                SageConv::new(3, 2).forward(&x, &edges)
            })]
        },
    }
}

fn gat() -> LayerRow {
    LayerRow {
        name: "GatConv",
        signature: "GatConv::new(in_channels, out_channels).heads(n).no_concat().negative_slope(0.2)\
                    .dropout(p).no_self_loops().no_bias()",
        computes: "a mean of neighbours with learned weights in each head: features [nodes, in], edges \
                   [2, edges] -> [nodes, heads * out]",
        parameters: "att_src, att_dst [1, heads, out], bias, lin.weight [heads * out, in]",
        group: Group::Graph,
        pytorch: "-",
        samples: || {
            vec![
                Sample::new("one head", || on_graph!(GatConv::new(3, 2)), graph),
                Sample::new(
                    "heads side by side, dropout",
                    || on_graph!(GatConv::new(3, 2).heads(2).dropout(0.3)),
                    graph,
                ),
                Sample::new(
                    "mean of heads, without loops",
                    || {
                        let layer = GatConv::new(3, 2).heads(3).no_concat().no_self_loops();
                        on_graph!(layer.no_bias())
                    },
                    graph,
                ),
            ]
        },
        errors: || {
            vec![
                fails!("a node that is not there", Index, "index 2", {
                    let (x, edges) = astray();
                    GatConv::new(3, 2).forward(&x, &edges)
                }),
                fails!("no heads", Argument, "needs at least one head", {
                    GatConv::new(3, 2)
                        .heads(0)
                        .forward(&Tensor::zeros([4, 3]), &Tensor::from([[0], [1]]))
                }),
            ]
        },
    }
}

fn gin() -> LayerRow {
    LayerRow {
        name: "GinConv",
        signature: "GinConv::new(network).eps(0.0).train_eps()",
        computes: "network((1 + eps) x + sum of neighbours): features [nodes, in], edges [2, edges] -> \
                   [nodes, out]",
        parameters: "eps [1] (a buffer unless trained), nn",
        group: Group::Graph,
        pytorch: "-",
        samples: || {
            vec![
                Sample::new("one map", || on_graph!(GinConv::new(Linear::new(3, 2))), graph),
                Sample::new(
                    "two maps, eps is trained",
                    || {
                        let network = seq![Linear::new(3, 4), Tanh, Linear::new(4, 2)];
                        on_graph!(GinConv::new(network).eps(0.5).train_eps())
                    },
                    graph,
                ),
            ]
        },
        errors: || {
            vec![fails!("a node that is not there", Index, "index 2", {
                let (x, edges) = astray();
                GinConv::new(Linear::new(3, 2)).forward(&x, &edges)
            })]
        },
    }
}

fn model() -> LayerRow {
    LayerRow {
        name: "Gcn",
        signature: "models::Gcn::new(in_channels, hidden, out_channels, layers).dropout(p)",
        computes: "graph convolutions with rectifiers between them: features [nodes, in], edges \
                   [2, edges] -> [nodes, out]",
        parameters: "convs.0.lin.weight, convs.0.bias, ..",
        group: Group::Model,
        pytorch: "-",
        samples: || {
            vec![Sample::new(
                "two layers, dropout",
                || on_graph!(Gcn::new(3, 8, 2, 2).dropout(0.2)),
                graph,
            )]
        },
        errors: || {
            vec![fails!("other features", Shape, "the features are [4, 2], not [nodes, 3]", {
                Gcn::new(3, 4, 2, 2).forward(&Tensor::zeros([4, 2]), &Tensor::from([[0], [1]]))
            })]
        },
    }
}
