//! The bilinear layer.

use std::fmt;

use gradus_core::{Code, Error, Operand, Param, Shape, Tag, Tensor};

use super::broken;
use crate::init;
use crate::module::{Module, Visitor};

/// A bilinear map of two inputs, `x1^T weight x2 + bias`.
///
/// `[.., in1_features]` and `[.., in2_features]` become `[.., out_features]`. `weight` is
/// `[out_features, in1_features, in2_features]`, `bias` `[out_features]`; both start uniform in
/// `±1 / sqrt(in1_features)`, as in PyTorch.
///
/// ```
/// use gradus_core::Tensor;
/// use gradus_nn::Bilinear;
/// let layer = Bilinear::new(2, 3, 4);
/// let y = layer.forward(&Tensor::zeros([5, 2]), &Tensor::zeros([5, 3]));
/// assert_eq!(y.dims::<2>()?, [5, 4]);
/// # Ok::<(), gradus_core::Error>(())
/// ```
pub struct Bilinear {
    /// `[out_features, in1_features, in2_features]`.
    pub weight: Param,
    /// `[out_features]`, unless [`Bilinear::no_bias`].
    pub bias: Option<Param>,
    tag: Tag,
}

impl Bilinear {
    /// A layer with PyTorch's initial values. A size of 0 is an error, which the first `forward`,
    /// `step` or `save` reports.
    pub fn new(in1_features: usize, in2_features: usize, out_features: usize) -> Bilinear {
        let sizes = format!("{in1_features}, {in2_features} -> {out_features}");
        let bound = 1.0 / libm::sqrt(in1_features as f64);
        let uniform = |shape: Shape| {
            if in1_features == 0 || in2_features == 0 || out_features == 0 {
                let text = format!("Bilinear: sizes must be at least 1, not {sizes}");
                return Err(Error::new(Code::Argument, text));
            }
            init::symmetric(shape, bound)
        };
        Bilinear {
            weight: Param::from_result(uniform([out_features, in1_features, in2_features].into())),
            bias: Some(Param::from_result(uniform(out_features.into()))),
            tag: Tag::new(format!("Bilinear({sizes})")),
        }
    }

    /// Without a bias.
    #[must_use]
    pub fn no_bias(mut self) -> Bilinear {
        self.bias = None;
        self
    }

    /// The result for `[.., in1_features]` and `[.., in2_features]`: `[.., out_features]`.
    #[track_caller]
    pub fn forward(&self, x1: &Tensor, x2: &Tensor) -> Tensor {
        let _scope = self.tag.enter();
        if let Some(failed) = broken(x1, [&self.weight]) {
            return failed;
        }
        let bias = self.bias.as_ref().map(|bias| bias as &dyn Operand);
        x1.bilinear(x2, &self.weight, bias)
    }
}

impl fmt::Debug for Bilinear {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.tag.describe())
    }
}

impl Module for Bilinear {
    fn walk(&self, visitor: &mut dyn Visitor) {
        visitor.tag(&self.tag);
        visitor.param("weight", &self.weight);
        if let Some(bias) = &self.bias {
            visitor.param("bias", bias);
        }
    }
}
