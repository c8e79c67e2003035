//! VGG networks.

use std::fmt;

use gradus_core::{Tag, Tensor};

use super::{kaiming, linear};
use crate::layer::Layer;
use crate::layers::{AdaptiveAvgPool2d, BatchNorm2d, Conv2d, Dropout, MaxPool2d, Relu, Sequential};
use crate::module::{Module, Visitor};
use crate::seq;

/// Settings of a [`Vgg`]. The usual ones are those of ImageNet.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct VggConfig {
    /// Layers with weights: 11, 13, 16 or 19; 16 by default.
    pub depth: usize,
    /// Outputs; 1,000 by default.
    pub classes: usize,
    /// Whether a batch normalisation follows each convolution; not by default.
    pub batch_norm: bool,
    /// Width of the two hidden linear layers; 4,096 by default.
    pub hidden: usize,
    /// What the channels are divided by, 1 by default: 8 makes a small network of the same form.
    pub narrow: usize,
    /// The probability of a zero between the linear layers; 0.5 by default.
    pub dropout: f64,
}

impl Default for VggConfig {
    fn default() -> VggConfig {
        VggConfig {
            depth: 16,
            classes: 1000,
            batch_norm: false,
            hidden: 4096,
            narrow: 1,
            dropout: 0.5,
        }
    }
}

/// A VGG network for images `[batch, 3, height, width]` (usually 224x224, at least 32x32): 3x3
/// convolutions with ReLU, max-pooling between their groups, three linear layers.
///
/// Names and sizes are torchvision's (`features.0.weight`, `classifier.6.weight`): weights from there
/// load as they are. Convolutions start normal with Kaiming's variance of the fan out, linear layers
/// normal with 0.01, biases 0. Simonyan and Zisserman, *Very deep convolutional networks for
/// large-scale image recognition*, 2015.
///
/// ```
/// use gradus_core::Tensor;
/// use gradus_nn::{Layer, Linear, ModuleExt, models::{Vgg, VggConfig}};
/// let small = VggConfig { depth: 11, classes: 10, hidden: 32, narrow: 16, ..VggConfig::default() };
/// let mut model = Vgg::with(small);
/// assert_eq!(model.predict(&Tensor::zeros([1, 3, 32, 32])).dims::<2>()?, [1, 10]);
/// // Another head on what it has learned.
/// model.freeze();
/// model.classifier.replace(6, Linear::new(32, 4));
/// assert_eq!(model.predict(&Tensor::zeros([1, 3, 32, 32])).dims::<2>()?, [1, 4]);
/// # Ok::<(), gradus_core::Error>(())
/// ```
pub struct Vgg {
    /// Convolutions, normalisations, activations and pooling.
    pub features: Sequential,
    /// To 7x7 pixels.
    avgpool: AdaptiveAvgPool2d,
    /// Linear layers at 0, 3 and 6, with activation and dropout between them.
    pub classifier: Sequential,
    tag: Tag,
}

impl Vgg {
    /// 11, 13, 16 or 19 layers, as torchvision's `vgg16` for 16. 16 layers have 138,357,544 parameters
    /// for 1,000 classes, three quarters of them in `classifier.0`.
    pub fn new(depth: usize, classes: usize) -> Vgg {
        Vgg::with(VggConfig { depth, classes, ..VggConfig::default() })
    }

    /// With settings. A depth that there is not makes a network whose first use is an error.
    pub fn with(config: VggConfig) -> Vgg {
        let VggConfig { depth, classes, batch_norm, hidden, narrow, dropout } = config;
        // Convolutions in each group; their channels double up to 512.
        let groups: [usize; 5] = match depth {
            11 => [1, 1, 2, 2, 2],
            13 => [2, 2, 2, 2, 2],
            16 => [2, 2, 3, 3, 3],
            19 => [2, 2, 4, 4, 4],
            _ => [0; 5],
        };
        let channels =
            |group: usize| ((64 << group).min(512usize)).checked_div(narrow).unwrap_or(0);
        let mut features = Sequential::new();
        let mut from = 3;
        for (group, count) in groups.into_iter().enumerate() {
            for _ in 0..count {
                let to = channels(group);
                let layer = Conv2d::new(from, to, 3).padding(1);
                features.push(layer.with_init(kaiming).with_bias_init(crate::init::zeros));
                if batch_norm {
                    features.push(BatchNorm2d::new(to));
                }
                features.push(Relu);
                from = to;
            }
            features.push(MaxPool2d::new(2));
        }
        // No such depth: a size of 0, which the layer's error names.
        let flat = if groups == [0; 5] { 0 } else { from * 49 };
        Vgg {
            features,
            avgpool: AdaptiveAvgPool2d::new(7),
            classifier: seq![
                linear(flat, hidden),
                Relu,
                Dropout::new(dropout),
                linear(hidden, hidden),
                Relu,
                Dropout::new(dropout),
                linear(hidden, classes),
            ],
            tag: Tag::new(format!("VGG-{depth}")),
        }
    }

    /// Logits `[batch, classes]`.
    #[track_caller]
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let _scope = self.tag.enter();
        let x = self.avgpool.forward(&self.features.forward(x));
        self.classifier.forward(&x.flatten(1))
    }
}

impl fmt::Debug for Vgg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.tag.describe())
    }
}

impl Module for Vgg {
    fn walk(&self, visitor: &mut dyn Visitor) {
        visitor.tag(&self.tag);
        visitor.child("features", &self.features);
        visitor.child("avgpool", &self.avgpool);
        visitor.child("classifier", &self.classifier);
    }
}

impl Layer for Vgg {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        Vgg::forward(self, x)
    }
}
