//! Whole models, one a file, with the names of their parts as in the models they are known from.
//!
//! Their parts are fields, so a head is replaced by assigning it; `freeze` and `thaw` of
//! [`ModuleExt`](crate::ModuleExt) stop and resume the training of any part.

mod autoencoder;
mod char_rnn;
mod gcn;
mod generate;
mod gpt;
mod lenet;
mod mlp;
mod mobilenet;
mod resnet;
mod vgg;
mod vit;

pub use autoencoder::{AutoEncoder, Observed, Reconstruction, VariationalAutoEncoder};
pub use char_rnn::CharRnn;
pub use gcn::Gcn;
pub use gpt::{Gpt, GptBlock, GptConfig};
pub use lenet::LeNet;
pub use mlp::Mlp;
pub use mobilenet::MobileNetV2;
pub use resnet::{ResNet, ResidualBlock};
pub use vgg::{Vgg, VggConfig};
pub use vit::{PatchProjection, VisionLayer, VisionTransformer, VisionTransformerConfig};

use gradus_core::{Array, Result, Shape};

use crate::init::{self, Fan, Nonlinearity};
use crate::layers::{Conv2d, Linear};

/// The start of convolutions that are followed by ReLU, as torchvision has it.
fn kaiming(shape: Shape) -> Result<Array> {
    init::kaiming_normal(shape, Fan::Out, Nonlinearity::Relu)
}

/// A convolution without a bias that keeps the size, but for its stride.
fn conv(from: usize, to: usize, kernel: usize, stride: usize, groups: usize) -> Conv2d {
    let conv = Conv2d::new(from, to, kernel).stride(stride).padding(kernel / 2);
    conv.groups(groups).no_bias().with_init(kaiming)
}

/// A linear layer that starts normal with 0.01, made once: these are the largest arrays of a model.
fn linear(from: usize, to: usize) -> Linear {
    match (init::normal([to, from], 0.0, 0.01), init::zeros(to)) {
        (Ok(weight), Ok(bias)) => Linear::from_arrays(weight, Some(bias)),
        _ => Linear::new(from, to),
    }
}
