//! Rows of whole models, as small as they come; their names and sizes are tested in
//! `tests/models.rs`.

use gradus_core::{Rng, Tensor};

use super::samples::{floats, ids, unit};
use super::{Built, Group, LayerRow, Sample, fails};
use crate::models::{
    AutoEncoder, CharRnn, LeNet, Mlp, MobileNetV2, ResNet, VariationalAutoEncoder, Vgg, VggConfig,
};
use crate::{Module, ModuleExt};

pub(super) fn rows() -> Vec<LayerRow> {
    [vec![mlp(), lenet()], images(), vec![autoencoder(), variational(), char_rnn()]].concat()
}

fn mlp() -> LayerRow {
    LayerRow {
        name: "Mlp",
        signature: "models::Mlp::new(&sizes).activation(f).dropout(p).batch_norm().layer_norm()",
        computes: "linear layers with an activation between them: [.., sizes[0]] -> [.., last size]",
        parameters: "layers.0.weight, layers.0.bias, norms.0.weight, ..",
        group: Group::Model,
        pytorch: "-",
        samples: || {
            vec![
                Sample::new(
                    "two hidden layers, dropout",
                    || Built::layer(Mlp::new(&[3, 5, 4, 2]).activation(Tensor::tanh).dropout(0.2)),
                    || Ok(vec![floats([4, 3], 1)?]),
                ),
                Sample::new(
                    "layer norm",
                    || Built::layer(Mlp::new(&[3, 5, 2]).activation(Tensor::gelu).layer_norm()),
                    || Ok(vec![floats([2, 4, 3], 2)?]),
                ),
                Sample::new(
                    "batch norm",
                    || Built::layer(Mlp::new(&[3, 5, 2]).activation(Tensor::silu).batch_norm()),
                    || Ok(vec![floats([6, 3], 3)?]),
                ),
            ]
        },
        errors: || {
            vec![
                fails!("another width", Shape, "matmul: inner sizes differ", {
                    Mlp::new(&[3, 4, 2]).forward(&Tensor::zeros([1, 4]))
                }),
                fails!("a size of 0", Argument, "Linear: sizes must be at least 1", {
                    Mlp::new(&[3, 0, 2]).forward(&Tensor::zeros([1, 3]))
                }),
            ]
        },
    }
}

fn lenet() -> LayerRow {
    LayerRow {
        name: "LeNet",
        signature: "models::LeNet::new(classes)",
        computes: "LeNet-5 with ReLU and max-pooling: [batch, 1, 28, 28] -> logits [batch, classes]",
        parameters: "conv1, conv2, fc1, fc2, fc3, each with weight and bias",
        group: Group::Model,
        pytorch: "-",
        samples: || {
            vec![
                // ReLU and max-pooling have kinks nearly everywhere among so many units.
                Sample::new(
                    "two images",
                    || Built::layer(LeNet::new(3)),
                    || Ok(vec![unit([2, 1, 28, 28], 1)?]),
                )
                .fine(),
            ]
        },
        errors: || {
            vec![fails!("another size", Shape, "matmul: inner sizes differ", {
                LeNet::new(10).forward(&Tensor::zeros([1, 1, 32, 32]))
            })]
        },
    }
}

fn images() -> Vec<LayerRow> {
    vec![
        LayerRow {
            name: "ResNet",
            signature: "models::ResNet::resnet18(classes), resnet34, resnet50; resnet20, resnet56; \
                        imagenet(blocks, width, bottleneck, classes), cifar(n, in_channels, width, \
                        classes)",
            computes: "a residual network: [batch, 3, height, width] -> logits [batch, classes]",
            parameters: "torchvision's: conv1.weight, bn1.weight, layer1.0.conv1.weight, .., fc.bias",
            group: Group::Model,
            pytorch: "torchvision.models.resnet18",
            samples: || {
                vec![Sample::new(
                    "for 8x8, shortcuts without parameters",
                    || Built::layer(ResNet::cifar(1, 1, 2, 3)),
                    || Ok(vec![floats([2, 1, 8, 8], 1)?]),
                )]
            },
            errors: || {
                vec![fails!("grey images", Shape, "conv2d", {
                    ResNet::cifar(1, 3, 2, 3).forward(&Tensor::zeros([1, 1, 8, 8]))
                })]
            },
        },
        LayerRow {
            name: "Vgg",
            signature: "models::Vgg::new(depth, classes), Vgg::with(VggConfig { batch_norm, hidden, .. })",
            computes: "11, 13, 16 or 19 layers of 3x3 convolutions and linear layers: [batch, 3, \
                       height, width] -> logits [batch, classes]",
            parameters: "torchvision's: features.0.weight, .., classifier.6.bias",
            group: Group::Model,
            pytorch: "torchvision.models.vgg16",
            samples: || {
                vec![
                    Sample::new(
                        "11 layers, narrow",
                        || Built::layer(Vgg::with(SMALL)),
                        || Ok(vec![floats([2, 3, 32, 32], 1)?]),
                    )
                    .fine(),
                ]
            },
            errors: || {
                vec![
                    fails!("a depth that there is not", Argument, "Linear: sizes must be", {
                        let config = VggConfig { depth: 12, ..SMALL };
                        Vgg::with(config).forward(&Tensor::zeros([1, 3, 32, 32]))
                    }),
                    fails!("grey images", Shape, "conv2d", {
                        Vgg::with(SMALL).forward(&Tensor::zeros([1, 1, 32, 32]))
                    }),
                ]
            },
        },
        LayerRow {
            name: "MobileNetV2",
            signature: "models::MobileNetV2::new(classes), narrow(width, classes), of(groups, width, last, classes)",
            computes: "inverted residuals: [batch, 3, height, width] -> logits [batch, classes]",
            parameters: "torchvision's: features.0.0.weight, .., classifier.1.bias",
            group: Group::Model,
            pytorch: "torchvision.models.mobilenet_v2",
            samples: || {
                vec![
                    // All of its 52 convolutions would only take longer.
                    Sample::new(
                        "two blocks",
                        || {
                            Built::layer(shifted(MobileNetV2::of(
                                &[(1, 8, 1, 1), (2, 8, 1, 1)],
                                0.1,
                                8,
                                3,
                            )))
                        },
                        || Ok(vec![floats([2, 3, 8, 8], 1)?]),
                    )
                    .fine(),
                ]
            },
            errors: || {
                vec![fails!("grey images", Shape, "conv2d", {
                    MobileNetV2::narrow(0.1, 3).forward(&Tensor::zeros([1, 1, 32, 32]))
                })]
            },
        },
    ]
}

/// With biases that are not 0, so that where nothing arrives a ReLU is not at its kink.
fn shifted<M: Module>(model: M) -> M {
    for (i, param) in model.parameters().iter().enumerate() {
        let by = Rng::new(i as u64).uniform(param.shape(), 0.1, 0.3);
        if let (1, Ok(by)) = (param.shape().rank(), by) {
            // Where it fails, the sample's check says so.
            let _ = (param.tensor() + Tensor::from(by)).to_array().and_then(|a| param.set(a));
        }
    }
    model
}

const SMALL: VggConfig =
    VggConfig { depth: 11, classes: 3, batch_norm: false, hidden: 4, narrow: 32, dropout: 0.5 };

fn autoencoder() -> LayerRow {
    LayerRow {
        name: "AutoEncoder",
        signature: "models::AutoEncoder::new(&sizes), of(encoder, decoder)",
        computes: "the input again, through a small code: [.., sizes[0]] -> the same",
        parameters: "encoder.layers.0.weight, .., decoder.layers.0.weight, ..",
        group: Group::Model,
        pytorch: "-",
        samples: || {
            vec![Sample::new(
                "a code of 2, smooth",
                || {
                    let smooth = |sizes: &[usize]| Mlp::new(sizes).activation(Tensor::tanh);
                    Built::layer(AutoEncoder::of(smooth(&[5, 4, 2]), smooth(&[2, 4, 5])))
                },
                || Ok(vec![floats([3, 5], 1)?]),
            )]
        },
        errors: || {
            vec![fails!("another width", Shape, "matmul: inner sizes differ", {
                AutoEncoder::new(&[5, 2]).forward(&Tensor::zeros([1, 4]))
            })]
        },
    }
}

fn variational() -> LayerRow {
    LayerRow {
        name: "VariationalAutoEncoder",
        signature: "models::VariationalAutoEncoder::new(&sizes).observed(kind).beta(beta)",
        computes: "the input again through a random code; loss(&x) is reconstruction + beta KL",
        parameters: "encoder.layers.0.weight, .., mean, log_var, decoder.layers.0.weight, ..",
        group: Group::Model,
        pytorch: "-",
        samples: || {
            vec![Sample::new(
                "the loss",
                || {
                    let model = VariationalAutoEncoder::new(&[5, 3, 2]).beta(0.5);
                    Built::with(model, |model, xs| match xs.first() {
                        Some(x) => model.loss(x),
                        None => Tensor::zeros(0),
                    })
                },
                || Ok(vec![unit([3, 5], 1)?]),
            )]
        },
        errors: || {
            vec![fails!("no code", Argument, "Linear: sizes must be at least 1", {
                VariationalAutoEncoder::new(&[5]).loss(&Tensor::zeros([1, 5]))
            })]
        },
    }
}

fn char_rnn() -> LayerRow {
    LayerRow {
        name: "CharRnn",
        signature: "models::CharRnn::new(vocabulary, embedding_dim, hidden_size).num_layers(n).dropout(p)",
        computes: "embedding, LSTM, linear: ids [batch, time] -> logits [batch, time, vocabulary]; \
                   generate(&prompt, n, temperature, top_k)",
        parameters: "embedding.weight, lstm.weight_ih_l0, .., head.weight, head.bias",
        group: Group::Model,
        pytorch: "-",
        samples: || {
            vec![Sample::new(
                "two layers, dropout",
                || Built::layer(CharRnn::new(4, 3, 2).num_layers(2).dropout(0.2)),
                || Ok(vec![ids([2, 3], 4, 1)?]),
            )]
        },
        errors: || {
            vec![fails!("an id too large", Index, "index_select: index 4", {
                CharRnn::new(4, 3, 2).forward(&Tensor::from([[0i64, 4]]))
            })]
        },
    }
}
