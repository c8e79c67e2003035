//! What layers of convolutions share, transposed ones too: channels, groups and kernel, how the
//! parameters start, what a layer is called, and the methods that do not depend on its settings.

use gradus_core::{Array, Code, DType, Error, Param, Result, Shape, Tag};

use crate::init;

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

/// `filter_layer!(Name axes method Options transposed);`: the constructor, what both directions can be
/// told, `forward` and the traits of a layer. It has the fields `weight`, `bias`, `filter`, `options`
/// and `tag`; the caller's `described(filter, name, options)` makes the last.
macro_rules! filter_layer {
    ($name:ident $axes:literal $method:ident $options:ident $transposed:literal) => {
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
                let options = $options::new();
                let (weight, bias) = filter.start(stringify!($name), $transposed, true);
                let tag = described(&filter, stringify!($name), &options);
                $name { weight, bias, filter, options, tag }
            }

            fn set(mut self, options: $options<$axes>) -> $name {
                self.options = options;
                self.tag = described(&self.filter, stringify!($name), &options);
                self
            }

            /// Groups of channels that do not see each other; 1. The parameters start anew, so ask for
            /// groups before [`
            #[doc = concat!(stringify!($name), "::with_init`].")]
            #[must_use]
            pub fn groups(mut self, groups: usize) -> $name {
                self.filter.groups = groups;
                let bias = self.bias.is_some();
                (self.weight, self.bias) = self.filter.start(stringify!($name), $transposed, bias);
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

            /// The settings as the operation takes them.
            pub fn options(&self) -> $options<$axes> {
                self.options
            }

            /// The result: `[batch, out_channels, ..]`, without the batch if the input has none.
            #[track_caller]
            pub fn forward(&self, x: &Tensor) -> Tensor {
                let _scope = self.tag.enter();
                let params = std::iter::once(&self.weight).chain(&self.bias);
                if let Some(failed) = broken(x, params) {
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
    };
}
pub(super) use filter_layer;
