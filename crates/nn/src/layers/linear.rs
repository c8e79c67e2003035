//! The affine layer.

use std::fmt;

use gradus_core::{Array, Code, DType, Error, Param, Result, Shape, Tag, Tensor};

use crate::init;
use crate::layer::Layer;
use crate::module::{Module, Visitor};

/// Affine map of the last axis, `x @ weight^T + bias`.
///
/// `[.., in_features]` becomes `[.., out_features]`. `weight` is `[out_features, in_features]`,
/// `bias` `[out_features]`; both start uniform in `±1 / sqrt(in_features)`, as in PyTorch.
///
/// ```
/// use gradus_core::Tensor;
/// use gradus_nn::Linear;
/// let layer = Linear::new(4, 2);
/// let y = layer.forward(&Tensor::zeros([3, 4]));
/// assert_eq!(y.dims::<2>()?, [3, 2]);
/// # Ok::<(), gradus_core::Error>(())
/// ```
pub struct Linear {
    /// `[out_features, in_features]`.
    pub weight: Param,
    /// `[out_features]`, unless [`Linear::no_bias`].
    pub bias: Option<Param>,
    in_features: usize,
    out_features: usize,
    tag: Tag,
}

impl Linear {
    /// A layer with PyTorch's initial values. A size of 0 is an error, which the first `forward`,
    /// `step` or `save` reports.
    pub fn new(in_features: usize, out_features: usize) -> Linear {
        let bound = 1.0 / libm::sqrt(in_features as f64);
        let uniform = |shape: Shape| {
            check_sizes(in_features, out_features).and_then(|()| init::symmetric(shape, bound))
        };
        Linear {
            weight: Param::from_result(uniform([out_features, in_features].into())),
            bias: Some(Param::from_result(uniform(out_features.into()))),
            in_features,
            out_features,
            tag: Linear::tag(in_features, out_features),
        }
    }

    /// A layer with given values: `weight` `[out, in]` and, if there is one, `bias` `[out]`.
    ///
    /// f64 values make a layer for f64 data (gradient checks). Wrong shapes are an error, which
    /// the first `forward` reports.
    pub fn from_arrays(weight: Array, bias: Option<Array>) -> Linear {
        let (out_features, in_features) = (weight.shape().dim(0), weight.shape().dim(1));
        let mut checked = check_sizes(in_features, out_features);
        if weight.shape().rank() != 2 || !weight.dtype().is_float() {
            let text = format!(
                "Linear: a weight is [out_features, in_features], not {} {}",
                weight.dtype(),
                weight.shape()
            );
            checked = Err(Error::new(Code::Shape, text));
        }
        if let Some(bias) = &bias
            && (bias.shape() != Shape::from(out_features) || bias.dtype() != weight.dtype())
        {
            let text = format!(
                "Linear: the bias is {} {}, but the weight is {} {}",
                bias.dtype(),
                bias.shape(),
                weight.dtype(),
                weight.shape()
            );
            checked = Err(Error::new(Code::Shape, text).help("a bias is [out_features]"));
        }
        Linear {
            weight: Param::from_result(checked.map(|()| weight)),
            bias: bias.map(Param::new),
            in_features,
            out_features,
            tag: Linear::tag(in_features, out_features),
        }
    }

    fn tag(in_features: usize, out_features: usize) -> Tag {
        Tag::new(format!("Linear({in_features} -> {out_features})"))
    }

    /// Without a bias.
    #[must_use]
    pub fn no_bias(mut self) -> Linear {
        self.bias = None;
        self
    }

    /// Starts the weight anew from an initialiser, which is given the shape.
    ///
    /// ```
    /// use gradus_nn::Linear;
    /// use gradus_nn::init::{self, Fan, Nonlinearity};
    /// let layer = Linear::new(784, 128)
    ///     .with_init(|shape| init::kaiming_normal(shape, Fan::In, Nonlinearity::Relu))
    ///     .with_bias_init(init::zeros);
    /// assert_eq!(layer.weight.shape().dims(), [128, 784]);
    /// ```
    #[must_use]
    pub fn with_init(mut self, init: impl FnOnce(Shape) -> Result<Array>) -> Linear {
        self.weight = reinit(&self.weight, [self.out_features, self.in_features].into(), init);
        self
    }

    /// Starts the bias anew from an initialiser; does nothing without a bias.
    #[must_use]
    pub fn with_bias_init(mut self, init: impl FnOnce(Shape) -> Result<Array>) -> Linear {
        self.bias = self.bias.map(|bias| reinit(&bias, self.out_features.into(), init));
        self
    }

    /// Size of the last axis that goes in.
    pub fn in_features(&self) -> usize {
        self.in_features
    }

    /// Size of the last axis that comes out.
    pub fn out_features(&self) -> usize {
        self.out_features
    }

    /// The same layer again: tied, with the same parameters.
    #[must_use]
    pub fn share(&self) -> Linear {
        Linear {
            weight: self.weight.share(),
            bias: self.bias.as_ref().map(Param::share),
            in_features: self.in_features,
            out_features: self.out_features,
            tag: self.tag.clone(),
        }
    }

    /// A layer of its own that starts with the same values.
    #[must_use]
    pub fn duplicate(&self) -> Linear {
        let copy = |param: &Param| Param::from_result(param.get());
        Linear {
            weight: copy(&self.weight),
            bias: self.bias.as_ref().map(copy),
            in_features: self.in_features,
            out_features: self.out_features,
            tag: Linear::tag(self.in_features, self.out_features),
        }
    }

    /// The result for `[.., in_features]`: `[.., out_features]`.
    #[track_caller]
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let _scope = self.tag.enter();
        for param in std::iter::once(&self.weight).chain(&self.bias) {
            if let Some(error) = param.error() {
                return if x.check().is_err() { x.clone() } else { Tensor::failed(error.clone()) };
            }
        }
        let y = match &self.bias {
            Some(bias) => x.linear(&self.weight, Some(bias)),
            None => x.linear(&self.weight, None),
        };
        match x.shape() {
            Ok(shape) if shape.rank() == 0 || shape.last(0) != self.in_features => {
                self.misfit(&y, shape)
            }
            _ => y,
        }
    }

    /// What the matrix product says about a wrong width, with what this layer expects.
    #[cold]
    fn misfit(&self, y: &Tensor, shape: Shape) -> Tensor {
        let Err(error) = y.check() else { return y.clone() };
        // The lines about the operands; `failed` adds the layer and the user's line again.
        let mut own = Error::new(error.code(), error.title());
        for label in ["left", "right", "input"] {
            if let Some(text) = error.get(label) {
                own = own.cells(label, text.split("  ").map(str::to_string).collect());
            }
        }
        let width = match shape.dims().last() {
            Some(width) => format!("the batch has {width}"),
            None => "the batch is a single number".to_string(),
        };
        let mut help =
            format!("this layer expects {} features in the last axis; {width}", self.in_features);
        let rest: usize = shape.dims().iter().skip(1).product();
        if shape.rank() > 2 && rest == self.in_features {
            help.push_str("; put a `Flatten` before it");
        }
        Tensor::failed(own.help(help))
    }
}

fn check_sizes(in_features: usize, out_features: usize) -> Result<()> {
    if in_features > 0 && out_features > 0 {
        return Ok(());
    }
    Err(Error::new(
        Code::Argument,
        format!("Linear: sizes must be at least 1, not {in_features} -> {out_features}"),
    ))
}

/// A parameter that starts anew; an error of the layer stays.
fn reinit(old: &Param, shape: Shape, init: impl FnOnce(Shape) -> Result<Array>) -> Param {
    if let Some(error) = old.error() {
        return Param::from_result(Err(error.clone()));
    }
    let value = init(shape).and_then(|value| {
        if value.shape() == shape && value.dtype() == DType::F32 {
            return Ok(value);
        }
        let text = format!(
            "Linear: the initialiser gave {} {}, not f32 {shape}",
            value.dtype(),
            value.shape()
        );
        Err(Error::new(Code::Shape, text))
    });
    Param::from_result(value)
}

impl fmt::Debug for Linear {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.tag.describe())
    }
}

impl Module for Linear {
    fn walk(&self, visitor: &mut dyn Visitor) {
        visitor.tag(&self.tag);
        visitor.param("weight", &self.weight);
        if let Some(bias) = &self.bias {
            visitor.param("bias", bias);
        }
    }
}

impl Layer for Linear {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        Linear::forward(self, x)
    }
}
