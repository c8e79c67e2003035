//! LeNet-5.

use std::fmt;

use gradus_core::{Tag, Tensor};

use crate::layer::Layer;
use crate::layers::{Conv2d, Linear};
use crate::module::{Module, Visitor};

/// LeNet-5 for images of 28x28 pixels, as it is usually trained today: two convolutions with ReLU
/// and max-pooling, three linear layers. 61,706 parameters for 10 classes.
///
/// `[batch, 1, 28, 28]` becomes logits `[batch, classes]`; the first convolution pads by 2, which
/// stands for the 32x32 of the paper. `[batch, 28, 28]` and `[batch, 784]` are taken as one channel.
/// Differs from LeCun, Bottou, Bengio and Haffner, *Gradient-based learning applied to document
/// recognition*, 1998, in: ReLU for tanh, max for trainable average pooling, full connections between
/// the convolutions, no radial output layer.
///
/// ```
/// use gradus_core::Tensor;
/// use gradus_nn::{ModuleExt, models::LeNet};
/// let model = LeNet::new(10);
/// assert_eq!(model.num_parameters(), 61_706);
/// assert_eq!(model.forward(&Tensor::zeros([2, 1, 28, 28])).dims::<2>()?, [2, 10]);
/// # Ok::<(), gradus_core::Error>(())
/// ```
pub struct LeNet {
    /// 1 to 6 channels, 5x5, padded by 2.
    pub conv1: Conv2d,
    /// 6 to 16 channels, 5x5.
    pub conv2: Conv2d,
    /// 400 to 120.
    pub fc1: Linear,
    /// 120 to 84.
    pub fc2: Linear,
    /// 84 to the classes: the head.
    pub fc3: Linear,
    tag: Tag,
}

impl LeNet {
    /// For that many classes.
    pub fn new(classes: usize) -> LeNet {
        LeNet {
            conv1: Conv2d::new(1, 6, 5).padding(2),
            conv2: Conv2d::new(6, 16, 5),
            fc1: Linear::new(400, 120),
            fc2: Linear::new(120, 84),
            fc3: Linear::new(84, classes),
            tag: Tag::new("LeNet"),
        }
    }

    /// Logits `[batch, classes]`.
    #[track_caller]
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let _scope = self.tag.enter();
        let x = match x.shape().map(|s| s.dims().to_vec()).as_deref() {
            Ok([batch, 784] | [batch, 28, 28]) => x.reshape_to([*batch, 1, 28, 28]),
            _ => x.clone(),
        };
        let x = self.conv1.forward(&x).relu().max_pool2d(2);
        let x = self.conv2.forward(&x).relu().max_pool2d(2).flatten(1);
        let x = self.fc2.forward(&self.fc1.forward(&x).relu()).relu();
        self.fc3.forward(&x)
    }
}

impl fmt::Debug for LeNet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LeNet")
    }
}

impl Module for LeNet {
    fn walk(&self, visitor: &mut dyn Visitor) {
        visitor.tag(&self.tag);
        visitor.child("conv1", &self.conv1);
        visitor.child("conv2", &self.conv2);
        visitor.child("fc1", &self.fc1);
        visitor.child("fc2", &self.fc2);
        visitor.child("fc3", &self.fc3);
    }
}

impl Layer for LeNet {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        LeNet::forward(self, x)
    }
}
