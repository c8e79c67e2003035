//! Convolution layers over one, two and three axes.

use std::fmt;

use gradus_core::{
    Array, ConvOptions, Operand, Pad, Padding, Param, Result, Shape, Sizes, Tag, Tensor,
};

use super::broken;
use super::filter::{Filter, filter_layer, reinit, setting};
use crate::layer::Layer;
use crate::module::{Module, Visitor};

fn described<const N: usize>(filter: &Filter<N>, name: &str, options: &ConvOptions<N>) -> Tag {
    let mut text = setting("stride", options.stride, 1);
    match options.padding {
        Padding::Valid => {}
        Padding::Same => text.push_str(", padding same"),
        Padding::Each(pads) if pads.iter().all(|[a, b]| a == b) => {
            text.push_str(&setting("padding", pads.map(|[a, _]| a), 0));
        }
        Padding::Each(pads) => text.push_str(&format!(", padding {pads:?}")),
    }
    text.push_str(&setting("dilation", options.dilation, 1));
    if options.padding_mode != Pad::Constant(0.0) {
        text.push_str(&format!(", {:?}", options.padding_mode));
    }
    filter.tag(name, &text)
}

macro_rules! layers {
    ($($name:ident $axes:literal $method:ident $spatial:literal $kernel:literal $sizes:literal;)*) => {$(
        #[doc = concat!("Convolution over ", $axes, " spatial axes: see [`Tensor::", stringify!($method), "`].")]
        ///
        #[doc = concat!("`[batch, in_channels, ", $spatial, "]`, or the same without the batch, becomes")]
        /// `[batch, out_channels, ..]`. `weight` is
        #[doc = concat!("`[out_channels, in_channels / groups, ", $kernel, "]`, `bias` `[out_channels]`;")]
        /// both start uniform in `±1 / sqrt(in_channels / groups * kernel sizes)`, as in PyTorch.
        ///
        /// ```
        /// use gradus_core::Tensor;
        #[doc = concat!("use gradus_nn::", stringify!($name), ";")]
        #[doc = concat!("let layer = ", stringify!($name), "::new(3, 16, 3).stride(2).padding(1);")]
        #[doc = concat!("let y = layer.forward(&Tensor::zeros(", $sizes, "));")]
        /// assert_eq!(y.shape()?.dim(1), 16);
        /// assert_eq!(y.shape()?.last(0), 4);
        /// # Ok::<(), gradus_core::Error>(())
        /// ```
        pub struct $name {
            #[doc = concat!("`[out_channels, in_channels / groups, ", $kernel, "]`.")]
            pub weight: Param,
            #[doc = concat!("`[out_channels]`, unless [`", stringify!($name), "::no_bias`].")]
            pub bias: Option<Param>,
            filter: Filter<$axes>,
            options: ConvOptions<$axes>,
            tag: Tag,
        }

        impl $name {
            /// Distance of two places of the window; 1.
            #[must_use]
            pub fn stride(self, stride: impl Into<Sizes<$axes>>) -> $name {
                let options = self.options.stride(stride);
                self.set(options)
            }

            /// What is added around the input: numbers, or [`Padding::Same`]; nothing.
            #[must_use]
            pub fn padding(self, padding: impl Into<Padding<$axes>>) -> $name {
                let options = self.options.padding(padding);
                self.set(options)
            }

            /// Distance of two elements of the window; 1.
            #[must_use]
            pub fn dilation(self, dilation: impl Into<Sizes<$axes>>) -> $name {
                let options = self.options.dilation(dilation);
                self.set(options)
            }

            /// What the padding consists of; zeros.
            #[must_use]
            pub fn padding_mode(self, padding_mode: Pad) -> $name {
                let options = self.options.padding_mode(padding_mode);
                self.set(options)
            }
        }

        filter_layer!($name $axes $method ConvOptions false);
    )*};
}

layers! {
    Conv1d 1 conv1d "length" "kernel" "[2, 3, 8]";
    Conv2d 2 conv2d "height, width" "kernel_height, kernel_width" "[2, 3, 8, 8]";
    Conv3d 3 conv3d "depth, height, width" "kernel_depth, kernel_height, kernel_width" "[2, 3, 8, 8, 8]";
}
