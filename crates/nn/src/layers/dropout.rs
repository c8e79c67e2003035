//! Dropout in its forms.
//!
//! Masks come from the global seed's train stream while training, from its inference stream in a
//! [`gradus_core::sampling`].

use gradus_core::{Code, Error, Tag, Tensor};

use crate::layer::Layer;
use crate::module::{Module, Visitor};

/// A tag with a plain `Debug`.
pub(crate) struct TagOf(pub(crate) Tag);

impl std::fmt::Debug for TagOf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.describe())
    }
}

/// Zeroes each element with probability `p` while training and divides the others by `1 - p`;
/// changes nothing in `predict`. Srivastava et al., 2014.
///
/// ```
/// use gradus_core::Tensor;
/// use gradus_nn::{Dropout, Layer};
/// let x = Tensor::ones([4]);
/// let dropout = Dropout::new(0.5);
/// assert!(dropout.forward(&x).to_vec::<f32>()?.iter().all(|&v| v == 0.0 || v == 2.0));
/// assert_eq!(dropout.predict(&x).to_vec::<f32>()?, [1.0; 4]);
/// # Ok::<(), gradus_core::Error>(())
/// ```
#[derive(Debug)]
pub struct Dropout {
    p: f64,
    classic: bool,
    tag: TagOf,
}

impl Dropout {
    /// Dropout with the probability of a zero, in `[0, 1]` (an error at the first `forward` if
    /// it is not).
    pub fn new(p: f64) -> Dropout {
        Dropout { p, classic: false, tag: TagOf(Tag::new(format!("Dropout({p})"))) }
    }

    /// As it was first described: what is kept in training stays as it is, and in `predict`
    /// everything is multiplied by `1 - p`.
    ///
    /// ```
    /// use gradus_core::Tensor;
    /// use gradus_nn::{Dropout, Layer};
    /// let y = Dropout::new(0.25).classic().predict(&Tensor::from([4.0]));
    /// assert_eq!(y.item()?, 3.0);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    #[must_use]
    pub fn classic(mut self) -> Dropout {
        self.classic = true;
        self
    }

    /// The probability of a zero.
    pub fn p(&self) -> f64 {
        self.p
    }

    /// The result, of `x`'s shape.
    #[track_caller]
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let _scope = self.tag.0.enter();
        if self.classic { x.classic_dropout(self.p) } else { x.dropout(self.p) }
    }
}

/// Zeroes whole channels of single samples with probability `p` while training and divides the
/// others by `1 - p`. Tompson and others, 2015.
///
/// [`Dropout1d`] takes `[batch, channels, length]`, [`Dropout2d`] images, [`Dropout3d`] volumes; each
/// also without the batch. (PyTorch takes three axes in `Dropout2d` for a batch of series.)
///
/// ```
/// use gradus_core::Tensor;
/// use gradus_nn::Dropout2d;
/// let y = Dropout2d::new(0.5).forward(&Tensor::ones([1, 1, 2, 2])).to_vec::<f32>()?;
/// assert!(y == [0.0; 4] || y == [2.0; 4]);
/// # Ok::<(), gradus_core::Error>(())
/// ```
#[derive(Debug)]
pub struct FeatureDropout<const AXES: usize> {
    p: f64,
    tag: TagOf,
}

/// [`FeatureDropout`] of `[batch, channels, length]`.
pub type Dropout1d = FeatureDropout<1>;
/// [`FeatureDropout`] of images, `[batch, channels, height, width]`.
pub type Dropout2d = FeatureDropout<2>;
/// [`FeatureDropout`] of volumes, `[batch, channels, depth, height, width]`.
pub type Dropout3d = FeatureDropout<3>;

impl<const AXES: usize> FeatureDropout<AXES> {
    /// With the probability of a zero, in `[0, 1]` (an error at the first `forward` if it is not).
    pub fn new(p: f64) -> FeatureDropout<AXES> {
        FeatureDropout { p, tag: TagOf(Tag::new(format!("Dropout{AXES}d({p})"))) }
    }

    /// The probability of a zero.
    pub fn p(&self) -> f64 {
        self.p
    }

    /// The result, of `x`'s shape.
    #[track_caller]
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let _scope = self.tag.0.enter();
        let Ok(shape) = x.shape() else { return x.clone() };
        if shape.rank() == AXES + 2 {
            return x.feature_dropout(self.p);
        }
        if shape.rank() == AXES + 1 {
            return x.unsqueeze(0).feature_dropout(self.p).squeeze(0);
        }
        let text = format!("Dropout{AXES}d: {shape} has other axes");
        let help = format!("they are [batch, channels] and {AXES} more, or without the batch");
        Tensor::failed(Error::new(Code::Shape, text).help(help))
    }
}

/// Layers with a probability: doc, name, method.
macro_rules! dropouts {
    ($($(#[$doc:meta])* $name:ident, $op:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $name {
            p: f64,
            tag: TagOf,
        }

        impl $name {
            /// With a probability in `[0, 1]` (an error at the first `forward` if it is not).
            pub fn new(p: f64) -> $name {
                $name { p, tag: TagOf(Tag::new(format!("{}({p})", stringify!($name)))) }
            }

            /// The probability.
            pub fn p(&self) -> f64 {
                self.p
            }

            /// The result, of `x`'s shape.
            #[track_caller]
            pub fn forward(&self, x: &Tensor) -> Tensor {
                let _scope = self.tag.0.enter();
                x.$op(self.p)
            }
        }
    )*};
}

dropouts! {
    /// Dropout for networks of [`Selu`](crate::Selu): elements become the value of a saturated unit
    /// with probability `p` while training, and mean and variance stay. Klambauer and others, 2017.
    AlphaDropout, alpha_dropout;

    /// [`AlphaDropout`] of whole channels (axis 1) of single samples.
    FeatureAlphaDropout, feature_alpha_dropout;

    /// Stochastic depth: zeroes whole samples (axis 0) with probability `p` while training and
    /// divides the others by `1 - p`, for the branch of a residual block. Huang and others, 2016.
    ///
    /// ```
    /// use gradus_core::Tensor;
    /// use gradus_nn::{DropPath, Linear, Residual, seq};
    /// let block = Residual::new(seq![Linear::new(4, 4), DropPath::new(0.2)]);
    /// assert_eq!(block.forward(&Tensor::ones([3, 4])).dims::<2>()?, [3, 4]);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    DropPath, drop_path;
}

macro_rules! modules {
    ($($name:ident),*) => {$(
        impl Module for $name {
            fn walk(&self, visitor: &mut dyn Visitor) {
                visitor.tag(&self.tag.0);
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
modules!(Dropout, AlphaDropout, FeatureAlphaDropout, DropPath);

impl<const AXES: usize> Module for FeatureDropout<AXES> {
    fn walk(&self, visitor: &mut dyn Visitor) {
        visitor.tag(&self.tag.0);
    }

    fn name(&self) -> &'static str {
        match AXES {
            1 => "Dropout1d",
            2 => "Dropout2d",
            3 => "Dropout3d",
            _ => "FeatureDropout",
        }
    }
}

impl<const AXES: usize> Layer for FeatureDropout<AXES> {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        FeatureDropout::forward(self, x)
    }
}
