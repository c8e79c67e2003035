//! Rows of normalisation layers.

use gradus_core::Tensor;

use super::samples::floats;
use super::{Built, Group, LayerRow, Sample, fails};
use crate::{
    BatchNorm1d, BatchNorm2d, BatchNorm3d, GroupNorm, InstanceNorm1d, InstanceNorm2d,
    InstanceNorm3d, LayerNorm, Linear, LocalResponseNorm, Relu, RmsNorm, SpectralNorm, WeightNorm,
};

const RUNNING: &str = "weight, bias, running_mean, running_var [num_features], num_batches_tracked";
const AFFINE: &str = "weight, bias [num_features], running statistics, if asked for";

pub(super) fn rows() -> Vec<LayerRow> {
    [batch(), instance(), others(), wrappers()].concat()
}

fn batch() -> Vec<LayerRow> {
    vec![
        LayerRow {
            name: "BatchNorm1d",
            signature: "BatchNorm1d::new(num_features).eps(1e-5).momentum(0.1)",
            computes: "channels at mean 0 and variance 1 over the batch: [batch, channels(, length)]",
            parameters: RUNNING,
            group: Group::Norm,
            pytorch: "torch.nn.BatchNorm1d",
            samples: || {
                vec![
                    Sample::new(
                        "features",
                        || Built::layer(BatchNorm1d::new(3)),
                        || Ok(vec![floats([5, 3], 1)?]),
                    ),
                    Sample::new(
                        "series, cumulative statistics, no bias",
                        || Built::layer(BatchNorm1d::new(2).momentum(None).no_bias()),
                        || Ok(vec![floats([3, 2, 4], 2)?]),
                    ),
                    Sample::new(
                        "the batch's own statistics only",
                        || Built::layer(BatchNorm1d::new(2).no_track_running_stats().eps(1e-3)),
                        || Ok(vec![floats([4, 2], 3)?]),
                    ),
                ]
            },
            errors: || {
                vec![
                    fails!("one value a channel", Shape, "has fewer than two values", {
                        BatchNorm1d::new(2).forward(&Tensor::zeros([1, 2]))
                    }),
                    fails!("other channels", Shape, "BatchNorm1d: [4, 3] where 2 channels", {
                        BatchNorm1d::new(2).forward(&Tensor::zeros([4, 3]))
                    }),
                    fails!("no channels", Argument, "BatchNorm1d: the number of channels", {
                        BatchNorm1d::new(0).forward(&Tensor::zeros([4, 0]))
                    }),
                ]
            },
        },
        LayerRow {
            name: "BatchNorm2d",
            signature: "BatchNorm2d::new(num_features).eps(1e-5).momentum(0.1)",
            computes: "channels of images at mean 0 and variance 1 over the batch",
            parameters: RUNNING,
            group: Group::Norm,
            pytorch: "torch.nn.BatchNorm2d",
            samples: || {
                vec![
                    Sample::new(
                        "images",
                        || Built::layer(BatchNorm2d::new(2)),
                        || Ok(vec![floats([3, 2, 2, 3], 1)?]),
                    ),
                    Sample::new(
                        "no scale and shift",
                        || Built::layer(BatchNorm2d::new(2).no_affine()),
                        || Ok(vec![floats([2, 2, 3, 2], 2)?]),
                    ),
                ]
            },
            errors: || {
                vec![fails!("no image", Shape, "BatchNorm2d: [4, 2] where 2 channels", {
                    BatchNorm2d::new(2).forward(&Tensor::zeros([4, 2]))
                })]
            },
        },
        LayerRow {
            name: "BatchNorm3d",
            signature: "BatchNorm3d::new(num_features).eps(1e-5).momentum(0.1)",
            computes: "channels of volumes at mean 0 and variance 1 over the batch",
            parameters: RUNNING,
            group: Group::Norm,
            pytorch: "torch.nn.BatchNorm3d",
            samples: || {
                vec![Sample::new(
                    "volumes",
                    || Built::layer(BatchNorm3d::new(2)),
                    || Ok(vec![floats([2, 2, 2, 2, 2], 1)?]),
                )]
            },
            errors: || {
                vec![fails!("no volume", Shape, "BatchNorm3d: [4, 2, 3] where 2 channels", {
                    BatchNorm3d::new(2).forward(&Tensor::zeros([4, 2, 3]))
                })]
            },
        },
    ]
}

fn instance() -> Vec<LayerRow> {
    vec![
        LayerRow {
            name: "InstanceNorm1d",
            signature: "InstanceNorm1d::new(num_features).affine().track_running_stats()",
            computes: "channels of each series at mean 0 and variance 1",
            parameters: AFFINE,
            group: Group::Norm,
            pytorch: "torch.nn.InstanceNorm1d",
            samples: || {
                vec![
                    Sample::new(
                        "series",
                        || Built::layer(InstanceNorm1d::new(2).affine()),
                        || Ok(vec![floats([3, 2, 4], 1)?]),
                    ),
                    Sample::new(
                        "without batch, running statistics",
                        || Built::layer(InstanceNorm1d::new(2).track_running_stats()),
                        || Ok(vec![floats([2, 5], 2)?]),
                    ),
                ]
            },
            errors: || {
                vec![fails!("one element", Shape, "instance_norm: [3, 2, 1] has fewer", {
                    InstanceNorm1d::new(2).forward(&Tensor::zeros([3, 2, 1]))
                })]
            },
        },
        LayerRow {
            name: "InstanceNorm2d",
            signature: "InstanceNorm2d::new(num_features).affine().track_running_stats()",
            computes: "channels of each image at mean 0 and variance 1",
            parameters: AFFINE,
            group: Group::Norm,
            pytorch: "torch.nn.InstanceNorm2d",
            samples: || {
                vec![Sample::new(
                    "images",
                    || Built::layer(InstanceNorm2d::new(2).affine().no_bias().eps(1e-3)),
                    || Ok(vec![floats([2, 2, 3, 2], 1)?]),
                )]
            },
            errors: || {
                vec![fails!("other channels", Shape, "InstanceNorm2d: [1, 3, 2, 2] where 2", {
                    InstanceNorm2d::new(2).forward(&Tensor::zeros([1, 3, 2, 2]))
                })]
            },
        },
        LayerRow {
            name: "InstanceNorm3d",
            signature: "InstanceNorm3d::new(num_features).affine().track_running_stats()",
            computes: "channels of each volume at mean 0 and variance 1",
            parameters: AFFINE,
            group: Group::Norm,
            pytorch: "torch.nn.InstanceNorm3d",
            samples: || {
                vec![Sample::new(
                    "volumes",
                    || Built::layer(InstanceNorm3d::new(2).affine()),
                    || Ok(vec![floats([2, 2, 2, 2, 2], 1)?]),
                )]
            },
            errors: || {
                vec![fails!("no volume", Shape, "InstanceNorm3d: [2, 3] where 2", {
                    InstanceNorm3d::new(2).forward(&Tensor::zeros([2, 3]))
                })]
            },
        },
    ]
}

fn others() -> Vec<LayerRow> {
    vec![
        LayerRow {
            name: "LayerNorm",
            signature: "LayerNorm::new(normalized_shape).eps(1e-5)",
            computes: "the last axes at mean 0 and variance 1",
            parameters: "weight, bias [normalized_shape]",
            group: Group::Norm,
            pytorch: "torch.nn.LayerNorm",
            samples: || {
                vec![
                    Sample::new(
                        "rows",
                        || Built::layer(LayerNorm::new(4)),
                        || Ok(vec![floats([2, 3, 4], 1)?]),
                    ),
                    Sample::new(
                        "two axes, no bias",
                        || Built::layer(LayerNorm::new([2, 3]).no_bias()),
                        || Ok(vec![floats([3, 2, 3], 2)?]),
                    ),
                    Sample::new(
                        "no scale and shift",
                        || Built::layer(LayerNorm::new(5).no_affine().eps(1e-3)),
                        || Ok(vec![floats([2, 5], 3)?]),
                    ),
                ]
            },
            errors: || {
                vec![
                    fails!("another width", Shape, "layer_norm: the last axes of [2, 3] are", {
                        LayerNorm::new(4).forward(&Tensor::zeros([2, 3]))
                    }),
                    fails!("no axes", Argument, "LayerNorm: the normalised axes are []", {
                        LayerNorm::new(()).forward(&Tensor::zeros([2, 3]))
                    }),
                ]
            },
        },
        LayerRow {
            name: "RmsNorm",
            signature: "RmsNorm::new(normalized_shape).eps(1e-6)",
            computes: "the last axes divided by the root of their mean square",
            parameters: "weight [normalized_shape]",
            group: Group::Norm,
            pytorch: "torch.nn.RMSNorm",
            samples: || {
                vec![
                    Sample::new(
                        "rows",
                        || Built::layer(RmsNorm::new(4)),
                        || Ok(vec![floats([2, 3, 4], 1)?]),
                    ),
                    Sample::new(
                        "two axes, no scale",
                        || Built::layer(RmsNorm::new([2, 3]).no_affine().eps(1e-4)),
                        || Ok(vec![floats([3, 2, 3], 2)?]),
                    ),
                ]
            },
            errors: || {
                vec![fails!("another width", Shape, "rms_norm: the last axes of [2, 3] are", {
                    RmsNorm::new(4).forward(&Tensor::zeros([2, 3]))
                })]
            },
        },
        LayerRow {
            name: "GroupNorm",
            signature: "GroupNorm::new(num_groups, num_channels).eps(1e-5)",
            computes: "groups of channels of each sample at mean 0 and variance 1",
            parameters: "weight, bias [num_channels]",
            group: Group::Norm,
            pytorch: "torch.nn.GroupNorm",
            samples: || {
                vec![
                    Sample::new(
                        "images",
                        || Built::layer(GroupNorm::new(2, 4)),
                        || Ok(vec![floats([2, 4, 2, 2], 1)?]),
                    ),
                    Sample::new(
                        "features, one group",
                        || Built::layer(GroupNorm::new(1, 6).no_affine()),
                        || Ok(vec![floats([3, 6], 2)?]),
                    ),
                ]
            },
            errors: || {
                vec![
                    fails!("uneven groups", Argument, "GroupNorm: 3 channels do not make 2", {
                        GroupNorm::new(2, 3).forward(&Tensor::zeros([1, 3]))
                    }),
                    fails!("other channels", Shape, "GroupNorm: [1, 6] where 4 channels", {
                        GroupNorm::new(2, 4).forward(&Tensor::zeros([1, 6]))
                    }),
                ]
            },
        },
        LayerRow {
            name: "LocalResponseNorm",
            signature: "LocalResponseNorm::new(size).alpha(1e-4).beta(0.75).k(1.0)",
            computes: "x / (k + alpha * mean of x^2 over size channels)^beta",
            parameters: "",
            group: Group::Norm,
            pytorch: "torch.nn.LocalResponseNorm",
            samples: || {
                vec![Sample::new(
                    "images",
                    || Built::layer(LocalResponseNorm::new(3).alpha(0.5).k(2.0).beta(0.5)),
                    || Ok(vec![floats([2, 4, 2, 2], 1)?]),
                )]
            },
            errors: || {
                vec![fails!("no window", Argument, "local_response_norm: a window of 0", {
                    LocalResponseNorm::new(0).forward(&Tensor::zeros([1, 3, 2]))
                })]
            },
        },
    ]
}

fn wrappers() -> Vec<LayerRow> {
    vec![
        LayerRow {
            name: "WeightNorm",
            signature: "WeightNorm::new(layer).name(\"weight\").dim(0)",
            computes: "a layer whose weight is g * v / |v|",
            parameters: "weight_g [out, 1, ..], weight_v, and the layer's others (bias)",
            group: Group::Norm,
            pytorch: "torch.nn.utils.weight_norm",
            samples: || {
                vec![
                    Sample::new(
                        "a length each",
                        || Built::layer(WeightNorm::new(Linear::new(3, 2))),
                        || Ok(vec![floats([4, 3], 1)?]),
                    ),
                    Sample::new(
                        "one length",
                        || Built::layer(WeightNorm::new(Linear::new(3, 2).no_bias()).dim(None)),
                        || Ok(vec![floats([4, 3], 2)?]),
                    ),
                ]
            },
            errors: || {
                vec![fails!("no such parameter", Argument, "WeightNorm: `Relu` has no", {
                    WeightNorm::new(Relu).forward(&Tensor::zeros([1, 3]))
                })]
            },
        },
        LayerRow {
            name: "SpectralNorm",
            signature: "SpectralNorm::new(layer).n_power_iterations(1).eps(1e-12)",
            computes: "a layer whose weight is divided by its largest singular value",
            parameters: "weight_orig, weight_u, weight_v, and the layer's others (bias)",
            group: Group::Norm,
            pytorch: "torch.nn.utils.spectral_norm",
            samples: || {
                vec![
                    // No steps: a step's vectors depend on the weight, which the gradient leaves out.
                    Sample::new(
                        "fixed vectors",
                        || Built::layer(SpectralNorm::new(Linear::new(3, 2)).n_power_iterations(0)),
                        || Ok(vec![floats([4, 3], 1)?]),
                    ),
                    Sample::new(
                        "a step each pass",
                        || Built::layer(SpectralNorm::new(Linear::new(3, 2).no_bias())),
                        || Ok(vec![floats([4, 3], 2)?]),
                    )
                    .kinks(),
                ]
            },
            errors: || {
                vec![fails!("no such parameter", Argument, "SpectralNorm: `Linear` has no", {
                    SpectralNorm::new(Linear::new(2, 2))
                        .name("kernel")
                        .forward(&Tensor::zeros([1, 2]))
                })]
            },
        },
    ]
}
