//! Normalisation over the last axes: layer norm and root-mean-square norm.

use std::fmt;

use gradus_core::{Code, Error, Param, Result, Shape, Tag, Tensor};

use super::{Affine, operand, refused, walk_affine};
use crate::layer::Layer;
use crate::module::{Module, Visitor};

/// The last axes brought to mean 0 and variance 1, then scaled and shifted.
///
/// `normalized_shape` are the sizes of those axes: a number for the last one, or a list. Parameters
/// `weight` (ones) and `bias` (zeros) have that shape. PyTorch's eps, 1e-5, is the default. Source:
/// Ba, Kiros and Hinton, 2016.
///
/// ```
/// use gradus_core::Tensor;
/// use gradus_nn::LayerNorm;
/// let norm = LayerNorm::new(16);
/// let y = norm.forward(&(Tensor::randn([8, 5, 16]) * 3.0 + 1.0));
/// assert!(y.mean().item()?.abs() < 1e-5);
/// # Ok::<(), gradus_core::Error>(())
/// ```
pub struct LayerNorm {
    /// The scale, of the normalised shape, unless [`LayerNorm::no_affine`].
    pub weight: Option<Param>,
    /// The shift, unless [`LayerNorm::no_affine`] or [`LayerNorm::no_bias`].
    pub bias: Option<Param>,
    shape: Shape,
    eps: f64,
    checked: Result<()>,
    tag: Tag,
}

impl LayerNorm {
    /// A layer for those last axes. None, or a size of 0, is an error that the first `forward`,
    /// `step` or `save` reports.
    pub fn new(normalized_shape: impl Into<Shape>) -> LayerNorm {
        let shape = normalized_shape.into();
        let checked = check_axes("LayerNorm", shape);
        let affine = Affine::new(shape, checked.clone());
        let tag = Tag::new(format!("LayerNorm({})", sizes(shape)));
        LayerNorm { weight: affine.weight, bias: affine.bias, shape, eps: 1e-5, checked, tag }
    }

    /// What is added to the variance; 1e-5 by default.
    #[must_use]
    pub fn eps(mut self, eps: f64) -> LayerNorm {
        self.eps = eps;
        self
    }

    /// Without scale and shift (PyTorch's `elementwise_affine=False`).
    #[must_use]
    pub fn no_affine(mut self) -> LayerNorm {
        (self.weight, self.bias) = (None, None);
        self
    }

    /// Without shift.
    #[must_use]
    pub fn no_bias(mut self) -> LayerNorm {
        self.bias = None;
        self
    }

    /// The result, of `x`'s shape.
    #[track_caller]
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let _scope = self.tag.enter();
        match &self.checked {
            Err(error) => refused(x, error),
            Ok(()) => {
                x.layer_norm(self.shape, operand(&self.weight), operand(&self.bias), self.eps)
            }
        }
    }
}

/// The last axes divided by the root of their mean square, then scaled.
///
/// `normalized_shape` are the sizes of those axes; `weight` (ones) has that shape. Without
/// [`RmsNorm::eps`] it is the distance from 1 to the next number of the input's type, as in PyTorch.
/// Source: Zhang and Sennrich, 2019.
///
/// ```
/// use gradus_core::Tensor;
/// use gradus_nn::RmsNorm;
/// let y = RmsNorm::new(2).forward(&Tensor::from([[3.0, -3.0]]));
/// assert_eq!(y.round().to_vec::<f32>()?, [1.0, -1.0]);
/// # Ok::<(), gradus_core::Error>(())
/// ```
pub struct RmsNorm {
    /// The scale, of the normalised shape, unless [`RmsNorm::no_affine`].
    pub weight: Option<Param>,
    shape: Shape,
    eps: Option<f64>,
    checked: Result<()>,
    tag: Tag,
}

impl RmsNorm {
    /// A layer for those last axes. None, or a size of 0, is an error that the first `forward`,
    /// `step` or `save` reports.
    pub fn new(normalized_shape: impl Into<Shape>) -> RmsNorm {
        let shape = normalized_shape.into();
        let checked = check_axes("RmsNorm", shape);
        let affine = Affine::new(shape, checked.clone());
        let tag = Tag::new(format!("RmsNorm({})", sizes(shape)));
        RmsNorm { weight: affine.weight, shape, eps: None, checked, tag }
    }

    /// What is added to the mean square.
    #[must_use]
    pub fn eps(mut self, eps: f64) -> RmsNorm {
        self.eps = Some(eps);
        self
    }

    /// Without scale (PyTorch's `elementwise_affine=False`).
    #[must_use]
    pub fn no_affine(mut self) -> RmsNorm {
        self.weight = None;
        self
    }

    /// The result, of `x`'s shape.
    #[track_caller]
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let _scope = self.tag.enter();
        match &self.checked {
            Err(error) => refused(x, error),
            Ok(()) => x.rms_norm(self.shape, operand(&self.weight), self.eps),
        }
    }
}

/// `5`, or `[2, 5]`.
fn sizes(shape: Shape) -> String {
    match shape.dims() {
        [one] => one.to_string(),
        _ => shape.to_string(),
    }
}

fn check_axes(layer: &str, shape: Shape) -> Result<()> {
    if shape.rank() > 0 && shape.numel() > 0 {
        return Ok(());
    }
    let text = format!("{layer}: the normalised axes are {shape}");
    Err(Error::new(Code::Argument, text).help("there is at least one, and no size is 0"))
}

impl fmt::Debug for LayerNorm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.tag.describe())
    }
}

impl Module for LayerNorm {
    fn walk(&self, visitor: &mut dyn Visitor) {
        visitor.tag(&self.tag);
        walk_affine(&self.weight, &self.bias, visitor);
    }
}

impl Layer for LayerNorm {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        LayerNorm::forward(self, x)
    }
}

impl fmt::Debug for RmsNorm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.tag.describe())
    }
}

impl Module for RmsNorm {
    fn walk(&self, visitor: &mut dyn Visitor) {
        visitor.tag(&self.tag);
        walk_affine(&self.weight, &None, visitor);
    }
}

impl Layer for RmsNorm {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        RmsNorm::forward(self, x)
    }
}
