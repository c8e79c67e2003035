//! Convolution layers over one, two and three axes.

use std::fmt;

use gradus_core::{
    Array, Code, ConvOptions, DType, Error, Operand, Pad, Padding, Param, Result, Shape, Sizes,
    Tag, Tensor,
};

use crate::init;
use crate::layer::Layer;
use crate::module::{Module, Visitor};

/// Channels, groups and kernel of a layer, before it is known that they can be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Filter<const N: usize> {
    pub(super) inputs: usize,
    pub(super) outputs: usize,
    pub(super) groups: usize,
    pub(super) kernel: [usize; N],
}

impl<const N: usize> Filter<N> {
    /// The shape of the weight: `first` channels, those of the other side in one group, the kernel.
    fn shape(&self, first: usize, second: usize) -> Shape {
        let mut shape = Shape::from([first, second.checked_div(self.groups).unwrap_or(0)]);
        for (i, &k) in self.kernel.iter().enumerate() {
            shape = shape.insert(i + 2, k);
        }
        shape
    }

    pub(super) fn check(&self, name: &str) -> Result<()> {
        let &Filter { inputs, outputs, groups, kernel } = self;
        if inputs == 0 || outputs == 0 || groups == 0 || kernel.contains(&0) {
            let text = format!(
                "{name}: sizes must be at least 1, not {inputs} -> {outputs} channels, \
                 kernel {kernel:?}, {groups} groups"
            );
            return Err(Error::new(Code::Argument, text));
        }
        if !inputs.is_multiple_of(groups) || !outputs.is_multiple_of(groups) {
            let text =
                format!("{name}: {groups} groups do not divide {inputs} -> {outputs} channels");
            return Err(Error::new(Code::Argument, text)
                .help("every group has as many channels as every other"));
        }
        Ok(())
    }

    /// Weight and bias with PyTorch's initial values: uniform in `±1 / sqrt(fan_in)`, where the fan
    /// is counted on the weight's second axis.
    pub(super) fn start(&self, name: &str, transposed: bool, bias: bool) -> (Param, Option<Param>) {
        let shape = if transposed {
            self.shape(self.inputs, self.outputs)
        } else {
            self.shape(self.outputs, self.inputs)
        };
        let fan: f64 = shape.dims().iter().skip(1).map(|&d| d as f64).product();
        let bound = 1.0 / libm::sqrt(fan);
        let uniform = |shape: Shape| self.check(name).and_then(|()| init::symmetric(shape, bound));
        let weight = Param::from_result(uniform(shape));
        (weight, bias.then(|| Param::from_result(uniform(self.outputs.into()))))
    }

    /// What the layer is, as messages and `Debug` show it: without what PyTorch leaves out too.
    pub(super) fn tag(&self, name: &str, settings: &str) -> Tag {
        let kernel: Vec<String> = self.kernel.iter().map(ToString::to_string).collect();
        let groups =
            if self.groups == 1 { String::new() } else { format!(", groups {}", self.groups) };
        Tag::new(format!(
            "{name}({} -> {}, kernel {}{settings}{groups})",
            self.inputs,
            self.outputs,
            kernel.join("x")
        ))
    }
}

/// `, name 1x2` if a setting is not the usual one.
pub(super) fn setting<const N: usize>(name: &str, sizes: [usize; N], usual: usize) -> String {
    if sizes == [usual; N] {
        return String::new();
    }
    let sizes: Vec<String> = sizes.iter().map(ToString::to_string).collect();
    format!(", {name} {}", sizes.join("x"))
}

/// The first error among parameters; that of the input comes before it.
pub(super) fn broken(x: &Tensor, weight: &Param, bias: Option<&Param>) -> Option<Tensor> {
    let error = std::iter::once(weight).chain(bias).find_map(Param::error)?;
    Some(if x.check().is_err() { x.clone() } else { Tensor::failed(error.clone()) })
}

/// A parameter that starts anew; an error of the layer stays.
pub(super) fn reinit(name: &str, old: &Param, init: impl FnOnce(Shape) -> Result<Array>) -> Param {
    if let Some(error) = old.error() {
        return Param::from_result(Err(error.clone()));
    }
    let shape = old.shape();
    let value = init(shape).and_then(|value| {
        if value.shape() == shape && value.dtype() == DType::F32 {
            return Ok(value);
        }
        let (dtype, have) = (value.dtype(), value.shape());
        let text = format!("{name}: the initialiser gave {dtype} {have}, not f32 {shape}");
        Err(Error::new(Code::Shape, text))
    });
    Param::from_result(value)
}

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
                let options = ConvOptions::new();
                let (weight, bias) = filter.start(stringify!($name), false, true);
                let tag = described(&filter, stringify!($name), &options);
                $name { weight, bias, filter, options, tag }
            }

            fn set(mut self, options: ConvOptions<$axes>) -> $name {
                self.options = options;
                self.tag = described(&self.filter, stringify!($name), &options);
                self
            }

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

            /// Groups of channels that do not see each other; 1. The parameters start anew, so ask for
            /// groups before [`
            #[doc = concat!(stringify!($name), "::with_init`].")]
            #[must_use]
            pub fn groups(mut self, groups: usize) -> $name {
                self.filter.groups = groups;
                let bias = self.bias.is_some();
                (self.weight, self.bias) = self.filter.start(stringify!($name), false, bias);
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

            /// Stride, padding, dilation and groups.
            pub fn options(&self) -> ConvOptions<$axes> {
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
    Conv1d 1 conv1d "length" "kernel" "[2, 3, 8]";
    Conv2d 2 conv2d "height, width" "kernel_height, kernel_width" "[2, 3, 8, 8]";
    Conv3d 3 conv3d "depth, height, width" "kernel_depth, kernel_height, kernel_width" "[2, 3, 8, 8, 8]";
}
