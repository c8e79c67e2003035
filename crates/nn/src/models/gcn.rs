//! A network of graph convolutions.

use std::fmt;

use gradus_core::{Tag, Tensor};

use crate::layers::{Dropout, GcnConv};
use crate::module::{Module, Visitor};

/// Graph convolutions with rectifiers between them: a class or a number for each node.
///
/// Features `[nodes, in_channels]` and edges `[2, edges]` give `[nodes, out_channels]`. Dropout
/// comes before every convolution, the first included. The layers are `convs.0`, `convs.1`, ..,
/// as in PyTorch Geometric's `GCN` (which drops between layers only). Kipf and Welling, 2017: two
/// layers, 16 hidden channels, dropout 0.5.
///
/// ```
/// use gradus_core::Tensor;
/// use gradus_nn::{Adam, Optimizer, models::Gcn};
/// let edges = Tensor::from([[0, 1, 2, 3], [1, 0, 3, 2]]);
/// let (x, y) = (Tensor::eye(4), Tensor::from([0, 0, 1, 1]));
/// let model = Gcn::new(4, 8, 2, 2).dropout(0.1);
/// let mut opt = Adam::new(&model, 0.1);
/// for _ in 0..20 {
///     opt.step(&model.forward(&x, &edges).cross_entropy(&y))?;
/// }
/// let classes = gradus_core::inference(|| model.forward(&x, &edges).argmax(-1));
/// assert_eq!(classes.to_vec::<i64>()?, [0, 0, 1, 1]);
/// # Ok::<(), gradus_core::Error>(())
/// ```
pub struct Gcn {
    /// The convolutions, in order.
    pub convs: Vec<GcnConv>,
    dropout: Dropout,
    tag: Tag,
}

impl Gcn {
    /// A network of `layers` convolutions (at least 1), with `hidden` channels between them.
    pub fn new(in_channels: usize, hidden: usize, out_channels: usize, layers: usize) -> Gcn {
        let layers = layers.max(1);
        let width = |i: usize| match i {
            0 => in_channels,
            i if i == layers => out_channels,
            _ => hidden,
        };
        Gcn {
            convs: (0..layers).map(|i| GcnConv::new(width(i), width(i + 1))).collect(),
            dropout: Dropout::new(0.0),
            tag: Tag::new(format!("Gcn({in_channels} -> {out_channels}, {layers} layers)")),
        }
    }

    /// The probability of a zero in the input of each convolution while training; 0 by default.
    #[must_use]
    pub fn dropout(mut self, p: f64) -> Gcn {
        self.dropout = Dropout::new(p);
        self
    }

    /// The result for features and edges.
    #[track_caller]
    pub fn forward(&self, x: &Tensor, edge_index: &Tensor) -> Tensor {
        let _scope = self.tag.enter();
        let mut h = x.clone();
        for (i, conv) in self.convs.iter().enumerate() {
            if i > 0 {
                h = h.relu();
            }
            h = conv.forward(&self.dropout.forward(&h), edge_index);
        }
        h
    }
}

impl fmt::Debug for Gcn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.tag.describe())
    }
}

impl Module for Gcn {
    fn walk(&self, visitor: &mut dyn Visitor) {
        visitor.tag(&self.tag);
        visitor.child("convs", &self.convs);
        visitor.child("dropout", &self.dropout);
    }
}
