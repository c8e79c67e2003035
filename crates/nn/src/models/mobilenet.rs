//! MobileNetV2.

use std::fmt;

use gradus_core::{Tag, Tensor};

use super::{conv, linear};
use crate::layer::Layer;
use crate::layers::{BatchNorm2d, Dropout, Relu6, Sequential};
use crate::module::{Module, Visitor};
use crate::seq;

/// A convolution with its normalisation and activation.
fn unit(from: usize, to: usize, kernel: usize, stride: usize, groups: usize) -> Sequential {
    seq![conv(from, to, kernel, stride, groups), BatchNorm2d::new(to), Relu6]
}

/// An inverted residual: more channels, a convolution in each of them, fewer channels again, beside a
/// shortcut where sizes stay.
struct Inverted {
    conv: Sequential,
    residual: bool,
}

impl Inverted {
    fn new(from: usize, to: usize, stride: usize, expand: usize) -> Inverted {
        let hidden = from * expand;
        let mut layers = Sequential::new();
        if expand != 1 {
            layers.push(unit(from, hidden, 1, 1, 1));
        }
        layers.push(unit(hidden, hidden, 3, stride, hidden));
        layers.push(conv(hidden, to, 1, 1, 1));
        layers.push(BatchNorm2d::new(to));
        Inverted { conv: layers, residual: stride == 1 && from == to }
    }
}

impl Module for Inverted {
    fn walk(&self, visitor: &mut dyn Visitor) {
        visitor.child("conv", &self.conv);
    }
}

impl Layer for Inverted {
    fn forward(&self, x: &Tensor) -> Tensor {
        let h = self.conv.forward(x);
        if self.residual { h + x } else { h }
    }
}

/// MobileNetV2 for images `[batch, 3, height, width]`, usually 224x224: few parameters and few
/// multiplications, for phones. 3,504,872 parameters for 1,000 classes.
///
/// Names and sizes are torchvision's (`features.1.conv.0.0.weight`, `classifier.1.weight`): weights
/// from there load as they are. Sandler and others, *MobileNetV2: inverted residuals and linear
/// bottlenecks*, 2018.
///
/// ```
/// use gradus_core::Tensor;
/// use gradus_nn::{Layer, models::MobileNetV2};
/// let model = MobileNetV2::narrow(0.25, 10);
/// assert_eq!(model.predict(&Tensor::zeros([1, 3, 32, 32])).dims::<2>()?, [1, 10]);
/// # Ok::<(), gradus_core::Error>(())
/// ```
pub struct MobileNetV2 {
    /// A convolution, 17 inverted residuals, a convolution to 1,280 channels.
    pub features: Sequential,
    /// Dropout of 0.2 and a linear layer, the head.
    pub classifier: Sequential,
    tag: Tag,
}

impl MobileNetV2 {
    /// The network of the paper.
    pub fn new(classes: usize) -> MobileNetV2 {
        MobileNetV2::narrow(1.0, classes)
    }

    /// With the channels times `width` (0.25 to 1.4 in the paper), in multiples of 8.
    pub fn narrow(width: f64, classes: usize) -> MobileNetV2 {
        let groups = [
            (1, 16, 1, 1),
            (6, 24, 2, 2),
            (6, 32, 3, 2),
            (6, 64, 4, 2),
            (6, 96, 3, 1),
            (6, 160, 3, 2),
            (6, 320, 1, 1),
        ];
        MobileNetV2::of(&groups, width, 1280, classes)
    }

    /// Of other groups of blocks, each given by its expansion, its channels, how many blocks it has and
    /// the stride of the first; and of so many channels before the head, 1,280 in the paper.
    pub fn of(
        groups: &[(usize, usize, usize, usize)],
        width: f64,
        last: usize,
        classes: usize,
    ) -> MobileNetV2 {
        let scaled = |channels: usize| eighths(channels as f64 * width);
        let last = eighths(last as f64 * width.max(1.0));
        let mut from = scaled(32);
        let mut features = seq![unit(3, from, 3, 2, 1)];
        for &(expand, channels, count, stride) in groups {
            for block in 0..count {
                let stride = if block == 0 { stride } else { 1 };
                features.push(Inverted::new(from, scaled(channels), stride, expand));
                from = scaled(channels);
            }
        }
        features.push(unit(from, last, 1, 1, 1));
        let classifier = seq![Dropout::new(0.2), linear(last, classes)];
        MobileNetV2 { features, classifier, tag: Tag::new("MobileNetV2") }
    }

    /// Logits `[batch, classes]`.
    #[track_caller]
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let _scope = self.tag.enter();
        self.classifier.forward(&self.features.forward(x).mean_dim([-2, -1]))
    }
}

/// The nearest multiple of 8, not less than 9/10 of the number.
fn eighths(channels: f64) -> usize {
    let near = ((channels + 4.0) as usize / 8 * 8).max(8);
    if (near as f64) < 0.9 * channels { near + 8 } else { near }
}

impl fmt::Debug for MobileNetV2 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MobileNetV2")
    }
}

impl Module for MobileNetV2 {
    fn walk(&self, visitor: &mut dyn Visitor) {
        visitor.tag(&self.tag);
        visitor.child("features", &self.features);
        visitor.child("classifier", &self.classifier);
    }
}

impl Layer for MobileNetV2 {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        MobileNetV2::forward(self, x)
    }
}
