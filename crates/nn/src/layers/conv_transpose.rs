//! Transposed convolution layers over one, two and three axes.

use std::fmt;

use gradus_core::{Array, ConvTransposeOptions, Operand, Param, Result, Shape, Sizes, Tag, Tensor};

use super::conv::{Filter, broken, reinit, setting};
use crate::layer::Layer;
use crate::module::{Module, Visitor};

fn described<const N: usize>(
    filter: &Filter<N>,
    name: &str,
    options: &ConvTransposeOptions<N>,
) -> Tag {
    let mut text = setting("stride", options.stride, 1);
    text.push_str(&setting("padding", options.padding, 0));
    text.push_str(&setting("output padding", options.output_padding, 0));
    text.push_str(&setting("dilation", options.dilation, 1));
    filter.tag(name, &text)
}

macro_rules! layers {
    ($($name:ident $axes:literal $method:ident $spatial:literal $kernel:literal $sizes:literal;)*) => {$(
        #[doc = concat!("Transposed convolution over ", $axes, " spatial axes: see [`Tensor::", stringify!($method), "`].")]
        ///
        #[doc = concat!("`[batch, in_channels, ", $spatial, "]`, or the same without the batch, becomes")]
        /// `[batch, out_channels, ..]`. `weight` is
        #[doc = concat!("`[in_channels, out_channels / groups, ", $kernel, "]`, `bias` `[out_channels]`;")]
        /// both start uniform in `±1 / sqrt(out_channels / groups * kernel sizes)`, as in PyTorch.
        ///
        /// ```
        /// use gradus_core::Tensor;
        #[doc = concat!("use gradus_nn::", stringify!($name), ";")]
        #[doc = concat!("let layer = ", stringify!($name), "::new(16, 3, 2).stride(2);")]
        #[doc = concat!("let y = layer.forward(&Tensor::zeros(", $sizes, "));")]
        /// assert_eq!(y.shape()?.dim(1), 3);
        /// assert_eq!(y.shape()?.last(0), 8);
        /// # Ok::<(), gradus_core::Error>(())
        /// ```
        pub struct $name {
            #[doc = concat!("`[in_channels, out_channels / groups, ", $kernel, "]`.")]
            pub weight: Param,
            #[doc = concat!("`[out_channels]`, unless [`", stringify!($name), "::no_bias`].")]
            pub bias: Option<Param>,
            filter: Filter<$axes>,
            options: ConvTransposeOptions<$axes>,
            tag: Tag,
        }

        impl $name {
            /// A layer with PyTorch's settings and initial values; the kernel is a number for all
            /// axes or one for each. Sizes that cannot be are an error, which the first `forward`,
            /// `step` or `save` reports.
            pub fn new(
                in_channels: usize,
                out_channels: usize,
                kernel_size: impl Into<Sizes<$axes>>,
            ) -> $name {
                let kernel = kernel_size.into().0;
                let (inputs, outputs) = (in_channels, out_channels);
                let filter = Filter { inputs, outputs, groups: 1, kernel };
                let options = ConvTransposeOptions::new();
                let (weight, bias) = filter.start(stringify!($name), true, true);
                let tag = described(&filter, stringify!($name), &options);
                $name { weight, bias, filter, options, tag }
            }

            fn set(mut self, options: ConvTransposeOptions<$axes>) -> $name {
                self.options = options;
                self.tag = described(&self.filter, stringify!($name), &options);
                self
            }

            /// Distance of two places of the window in the result; 1.
            #[must_use]
            pub fn stride(self, stride: impl Into<Sizes<$axes>>) -> $name {
                let options = self.options.stride(stride);
                self.set(options)
            }

            /// What is taken away around the result; 0.
            #[must_use]
            pub fn padding(self, padding: impl Into<Sizes<$axes>>) -> $name {
                let options = self.options.padding(padding);
                self.set(options)
            }

            /// What is added behind the result, less than the stride or the dilation; 0.
            #[must_use]
            pub fn output_padding(self, output_padding: impl Into<Sizes<$axes>>) -> $name {
                let options = self.options.output_padding(output_padding);
                self.set(options)
            }

            /// Distance of two elements of the window; 1.
            #[must_use]
            pub fn dilation(self, dilation: impl Into<Sizes<$axes>>) -> $name {
                let options = self.options.dilation(dilation);
                self.set(options)
            }

            /// Groups of channels that do not see each other; 1. The parameters start anew, so ask for
            /// groups before [`
            #[doc = concat!(stringify!($name), "::with_init`].")]
            #[must_use]
            pub fn groups(mut self, groups: usize) -> $name {
                self.filter.groups = groups;
                let bias = self.bias.is_some();
                (self.weight, self.bias) = self.filter.start(stringify!($name), true, bias);
                let options = self.options.groups(groups);
                self.set(options)
            }

            /// Without a bias.
            #[must_use]
            pub fn no_bias(mut self) -> $name {
                self.bias = None;
                self
            }

            /// Starts the weight anew from an initialiser, which is given the shape.
            #[must_use]
            pub fn with_init(mut self, init: impl FnOnce(Shape) -> Result<Array>) -> $name {
                self.weight = reinit(stringify!($name), &self.weight, init);
                self
            }

            /// Starts the bias anew from an initialiser; does nothing without a bias.
            #[must_use]
            pub fn with_bias_init(mut self, init: impl FnOnce(Shape) -> Result<Array>) -> $name {
                self.bias = self.bias.map(|bias| reinit(stringify!($name), &bias, init));
                self
            }

            /// Channels that go in.
            pub fn in_channels(&self) -> usize {
                self.filter.inputs
            }

            /// Channels that come out.
            pub fn out_channels(&self) -> usize {
                self.filter.outputs
            }

            /// Stride, paddings, dilation and groups.
            pub fn options(&self) -> ConvTransposeOptions<$axes> {
                self.options
            }

            /// The result: `[batch, out_channels, ..]`, without the batch if the input has none.
            #[track_caller]
            pub fn forward(&self, x: &Tensor) -> Tensor {
                let _scope = self.tag.enter();
                if let Some(failed) = broken(x, &self.weight, self.bias.as_ref()) {
                    return failed;
                }
                let bias = self.bias.as_ref().map(|b| b as &dyn Operand);
                x.$method(&self.weight, bias, self.options)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.tag.describe())
            }
        }

        impl Module for $name {
            fn walk(&self, visitor: &mut dyn Visitor) {
                visitor.tag(&self.tag);
                visitor.param("weight", &self.weight);
                if let Some(bias) = &self.bias {
                    visitor.param("bias", bias);
                }
            }
        }

        impl Layer for $name {
            #[track_caller]
            fn forward(&self, x: &Tensor) -> Tensor {
                $name::forward(self, x)
            }
        }
    )*};
}

layers! {
    ConvTranspose1d 1 conv_transpose1d "length" "kernel" "[2, 16, 4]";
    ConvTranspose2d 2 conv_transpose2d "height, width" "kernel_height, kernel_width" "[2, 16, 4, 4]";
    ConvTranspose3d 3 conv_transpose3d "depth, height, width" "kernel_depth, kernel_height, kernel_width" "[2, 16, 4, 4, 4]";
}
