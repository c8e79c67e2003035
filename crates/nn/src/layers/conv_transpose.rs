//! Transposed convolution layers over one, two and three axes.

use std::fmt;

use gradus_core::{Array, ConvTransposeOptions, Operand, Param, Result, Shape, Sizes, Tag, Tensor};

use super::broken;
use super::filter::{Filter, filter_layer, reinit, setting};
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
        }

        filter_layer!($name $axes $method ConvTransposeOptions true);
    )*};
}

layers! {
    ConvTranspose1d 1 conv_transpose1d "length" "kernel" "[2, 16, 4]";
    ConvTranspose2d 2 conv_transpose2d "height, width" "kernel_height, kernel_width" "[2, 16, 4, 4]";
    ConvTranspose3d 3 conv_transpose3d "depth, height, width" "kernel_depth, kernel_height, kernel_width" "[2, 16, 4, 4, 4]";
}
