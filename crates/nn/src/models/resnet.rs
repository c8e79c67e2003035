//! Residual networks.

use std::fmt;

use gradus_core::{Pad, Tag, Tensor};

use super::{conv, kaiming};
use crate::layer::Layer;
use crate::layers::{BatchNorm2d, Conv2d, Linear, MaxPool2d, Sequential};
use crate::module::{Module, Visitor};
use crate::seq;

/// Two or three convolutions beside a shortcut: `relu(convolutions(x) + shortcut(x))`, each
/// convolution followed by a batch normalisation.
pub struct ResidualBlock {
    /// 3x3 with the block's stride, or 1x1 to fewer channels if there are three.
    pub conv1: Conv2d,
    /// After `conv1`.
    pub bn1: BatchNorm2d,
    /// 3x3; of three it has the block's stride.
    pub conv2: Conv2d,
    /// After `conv2`.
    pub bn2: BatchNorm2d,
    /// 1x1 to four times the channels, with its normalisation, if there are three.
    pub third: Option<(Conv2d, BatchNorm2d)>,
    /// The shortcut as a 1x1 convolution and a normalisation, where sizes change.
    pub downsample: Option<Sequential>,
    /// Channels and stride of a shortcut without parameters, where sizes change.
    padded: Option<(usize, usize)>,
}

/// How blocks are made.
#[derive(Clone, Copy)]
struct Plan {
    /// Channels of a block's result, as a multiple of its width; 1 for blocks of two convolutions.
    expansion: usize,
    /// Whether shortcuts where sizes change have parameters.
    projected: bool,
}

impl ResidualBlock {
    fn new(from: usize, width: usize, stride: usize, plan: Plan) -> ResidualBlock {
        let to = width * plan.expansion;
        let bottleneck = plan.expansion > 1;
        let (k1, s1, s2) = if bottleneck { (1, 1, stride) } else { (3, stride, 1) };
        let changes = stride != 1 || from != to;
        ResidualBlock {
            conv1: conv(from, width, k1, s1, 1),
            bn1: BatchNorm2d::new(width),
            conv2: conv(width, width, 3, s2, 1),
            bn2: BatchNorm2d::new(width),
            third: bottleneck.then(|| (conv(width, to, 1, 1, 1), BatchNorm2d::new(to))),
            downsample: (changes && plan.projected)
                .then(|| seq![conv(from, to, 1, stride, 1), BatchNorm2d::new(to)]),
            padded: (changes && !plan.projected).then_some((to, stride)),
        }
    }

    fn shortcut(&self, x: &Tensor) -> Tensor {
        if let Some(downsample) = &self.downsample {
            return downsample.forward(x);
        }
        let Some((channels, stride)) = self.padded else { return x.clone() };
        // Every other pixel, and zeros for the channels that are new.
        let stride = stride as isize;
        let x = x.slice(2, 0, isize::MAX, stride).slice(3, 0, isize::MAX, stride);
        let more = channels.saturating_sub(x.shape().map_or(channels, |s| s.dim(1)));
        let before = more / 2;
        let (before, after) = (before as isize, (more - before) as isize);
        x.pad([0, 0, 0, 0, before, after], Pad::Constant(0.0))
    }

    fn forward(&self, x: &Tensor) -> Tensor {
        let h = self.bn1.forward(&self.conv1.forward(x)).relu();
        let mut h = self.bn2.forward(&self.conv2.forward(&h));
        if let Some((conv3, bn3)) = &self.third {
            h = bn3.forward(&conv3.forward(&h.relu()));
        }
        (h + self.shortcut(x)).relu()
    }
}

impl Module for ResidualBlock {
    fn walk(&self, visitor: &mut dyn Visitor) {
        visitor.child("conv1", &self.conv1);
        visitor.child("bn1", &self.bn1);
        visitor.child("conv2", &self.conv2);
        visitor.child("bn2", &self.bn2);
        if let Some((conv3, bn3)) = &self.third {
            visitor.child("conv3", conv3);
            visitor.child("bn3", bn3);
        }
        if let Some(downsample) = &self.downsample {
            visitor.child("downsample", downsample);
        }
    }
}

impl Layer for ResidualBlock {
    fn forward(&self, x: &Tensor) -> Tensor {
        ResidualBlock::forward(self, x)
    }
}

/// A residual network for images: He, Zhang, Ren and Sun, *Deep residual learning for image
/// recognition*, 2016.
///
/// [`ResNet::resnet18`], [`ResNet::resnet34`] and [`ResNet::resnet50`] take `[batch, 3, height,
/// width]`, usually 224x224, and have torchvision's names and sizes (`conv1.weight`,
/// `layer1.0.conv1.weight`, `layer2.0.downsample.0.weight`, ..): weights from there load as they are.
/// [`ResNet::resnet20`] and [`ResNet::resnet56`] are those of the paper for 32x32: three groups of 16,
/// 32 and 64 channels, shortcuts without parameters (its option A). Convolutions start normal with
/// Kaiming's variance of the fan out.
///
/// ```
/// use gradus_core::Tensor;
/// use gradus_nn::{Layer, Linear, ModuleExt, models::ResNet};
/// let mut model = ResNet::resnet20(10);
/// assert_eq!(model.num_parameters(), 269_722);
/// assert_eq!(model.predict(&Tensor::zeros([2, 3, 32, 32])).dims::<2>()?, [2, 10]);
/// // Transfer: keep what it has learned, train a new head, then thaw all.
/// model.freeze();
/// model.fc = Linear::new(model.fc.in_features(), 4);
/// assert_eq!(model.parameters().iter().filter(|p| !p.is_frozen()).count(), 2);
/// model.thaw();
/// # Ok::<(), gradus_core::Error>(())
/// ```
pub struct ResNet {
    /// The first convolution.
    pub conv1: Conv2d,
    /// After it.
    pub bn1: BatchNorm2d,
    /// 3x3 with stride 2, for large images.
    maxpool: Option<MaxPool2d>,
    /// Groups of blocks: `layer1`, `layer2`, ..
    pub groups: Vec<Vec<ResidualBlock>>,
    /// The head: from the channels of the last block to classes.
    pub fc: Linear,
    tag: Tag,
}

impl ResNet {
    /// A network for large images: a 7x7 convolution and a max-pooling, then four groups of so many
    /// blocks, the first of this width (64 in the paper), each next one of twice that. A bottleneck
    /// block has three convolutions and four times the channels.
    pub fn imagenet(blocks: [usize; 4], width: usize, bottleneck: bool, classes: usize) -> ResNet {
        let expansion = if bottleneck { 4 } else { 1 };
        let convolutions = blocks.iter().sum::<usize>() * if bottleneck { 3 } else { 2 };
        let plan = Plan { expansion, projected: true };
        let first = Conv2d::new(3, width, 7).stride(2).padding(3).no_bias().with_init(kaiming);
        let name = format!("ResNet-{}", convolutions + 2);
        let mut net = ResNet::build(&name, first, width, &blocks, plan, classes);
        net.maxpool = Some(MaxPool2d::new(3).stride(2).padding(1));
        net
    }

    fn build(
        name: &str,
        conv1: Conv2d,
        width: usize,
        blocks: &[usize],
        plan: Plan,
        classes: usize,
    ) -> ResNet {
        let mut from = width;
        let mut groups = Vec::new();
        for (g, &count) in blocks.iter().enumerate() {
            let width = width << g;
            let mut group = Vec::new();
            for b in 0..count {
                let stride = if g > 0 && b == 0 { 2 } else { 1 };
                group.push(ResidualBlock::new(from, width, stride, plan));
                from = width * plan.expansion;
            }
            groups.push(group);
        }
        ResNet {
            conv1,
            bn1: BatchNorm2d::new(width),
            maxpool: None,
            groups,
            fc: Linear::new(from, classes),
            tag: Tag::new(name.to_string()),
        }
    }

    /// 18 layers, for ImageNet's images: 11,689,512 parameters for 1,000 classes.
    pub fn resnet18(classes: usize) -> ResNet {
        ResNet::imagenet([2, 2, 2, 2], 64, false, classes)
    }

    /// 34 layers: 21,797,672 parameters for 1,000 classes.
    pub fn resnet34(classes: usize) -> ResNet {
        ResNet::imagenet([3, 4, 6, 3], 64, false, classes)
    }

    /// 50 layers, blocks of three convolutions: 25,557,032 parameters for 1,000 classes. The stride is
    /// that of the 3x3 convolution, as in torchvision.
    pub fn resnet50(classes: usize) -> ResNet {
        ResNet::imagenet([3, 4, 6, 3], 64, true, classes)
    }

    /// `6 n + 2` layers for images of 32x32 with these channels; any width, 16 in the paper.
    pub fn cifar(n: usize, in_channels: usize, width: usize, classes: usize) -> ResNet {
        let plan = Plan { expansion: 1, projected: false };
        let first = conv(in_channels, width, 3, 1, 1);
        ResNet::build(&format!("ResNet-{}", 6 * n + 2), first, width, &[n; 3], plan, classes)
    }

    /// 20 layers, for 32x32: 269,722 parameters for 10 classes.
    pub fn resnet20(classes: usize) -> ResNet {
        ResNet::cifar(3, 3, 16, classes)
    }

    /// 56 layers, for 32x32: 853,018 parameters for 10 classes.
    pub fn resnet56(classes: usize) -> ResNet {
        ResNet::cifar(9, 3, 16, classes)
    }

    /// What the head sees: `[batch, channels of the last block]`.
    #[track_caller]
    pub fn features(&self, x: &Tensor) -> Tensor {
        let _scope = self.tag.enter();
        let mut h = self.bn1.forward(&self.conv1.forward(x)).relu();
        if let Some(maxpool) = &self.maxpool {
            h = maxpool.forward(&h);
        }
        for block in self.groups.iter().flatten() {
            h = block.forward(&h);
        }
        h.mean_dim([-2, -1])
    }

    /// Logits `[batch, classes]`.
    #[track_caller]
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let _scope = self.tag.enter();
        self.fc.forward(&self.features(x))
    }
}

impl fmt::Debug for ResNet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.tag.describe())
    }
}

impl Module for ResNet {
    fn walk(&self, visitor: &mut dyn Visitor) {
        visitor.tag(&self.tag);
        visitor.child("conv1", &self.conv1);
        visitor.child("bn1", &self.bn1);
        if let Some(maxpool) = &self.maxpool {
            visitor.child("maxpool", maxpool);
        }
        for (i, group) in self.groups.iter().enumerate() {
            let name = ["layer1", "layer2", "layer3", "layer4"].get(i).copied();
            visitor.child(name.unwrap_or("layer"), group);
        }
        visitor.child("fc", &self.fc);
    }
}

impl Layer for ResNet {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        ResNet::forward(self, x)
    }
}
