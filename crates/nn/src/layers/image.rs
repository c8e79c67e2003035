//! Layers that give images other sizes or arrangements: resizing, pixels and channels, patches.

use gradus_core::{Interpolation, Patches, Resize, Sizes, Tensor};

use super::dropout::TagOf;
use super::pool::{plain, tag};
use crate::layer::Layer;
use crate::module::{Module, Visitor};

/// An image in other sizes; see [`Tensor::interpolate`].
///
/// ```
/// use gradus_core::{Interpolation, Tensor};
/// use gradus_nn::Upsample;
/// let x = Tensor::ones([1, 3, 8, 6]);
/// assert_eq!(Upsample::by(2.0).forward(&x).dims::<4>()?, [1, 3, 16, 12]);
/// let smooth = Upsample::to([5, 5]).mode(Interpolation::Linear).align_corners(true);
/// assert_eq!(smooth.forward(&x).dims::<4>()?, [1, 3, 5, 5]);
/// # Ok::<(), gradus_core::Error>(())
/// ```
#[derive(Debug)]
pub struct Upsample {
    how: Resize,
    tag: TagOf,
}

impl Upsample {
    fn new(how: Resize) -> Upsample {
        Upsample { how, tag: tag("Upsample", how) }
    }

    /// To these sizes of the last axes; one number stands for all.
    pub fn to(size: impl AsRef<[usize]>) -> Upsample {
        Upsample::new(Resize::to(size))
    }

    /// By one factor on all axes.
    pub fn by(scale_factor: f64) -> Upsample {
        Upsample::new(Resize::by(scale_factor))
    }

    /// By a factor on each of the last axes.
    pub fn by_each(scale_factors: impl AsRef<[f64]>) -> Upsample {
        Upsample::new(Resize::by_each(scale_factors))
    }

    /// How values between pixels are found; [`Interpolation::Nearest`] by default.
    #[must_use]
    pub fn mode(self, mode: Interpolation) -> Upsample {
        Upsample::new(self.how.mode(mode))
    }

    /// Whether the corner pixels of both images lie on each other; not by default.
    #[must_use]
    pub fn align_corners(self, yes: bool) -> Upsample {
        Upsample::new(self.how.align_corners(yes))
    }

    /// Whether pixels are found by the ratio of the sizes instead of by the factor; not by default.
    #[must_use]
    pub fn recompute_scale_factor(self, yes: bool) -> Upsample {
        Upsample::new(self.how.recompute_scale_factor(yes))
    }

    /// The image in its new sizes.
    #[track_caller]
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let _scope = self.tag.0.enter();
        x.interpolate(self.how)
    }
}
plain!(Upsample);

macro_rules! rearranging {
    ($($(#[$doc:meta])* $name:ident, $field:ident, $method:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $name {
            $field: usize,
            tag: TagOf,
        }

        impl $name {
            /// The layer.
            pub fn new($field: usize) -> $name {
                $name { tag: tag(stringify!($name), $field), $field }
            }

            /// The result.
            #[track_caller]
            pub fn forward(&self, x: &Tensor) -> Tensor {
                let _scope = self.tag.0.enter();
                x.$method(self.$field)
            }
        }

        plain!($name);
    )*};
}
rearranging! {
    /// Channels to pixels: `[.., c * r * r, h, w]` to `[.., c, h * r, w * r]`. Shi et al., 2016.
    ///
    /// ```
    /// use gradus_core::Tensor;
    /// use gradus_nn::PixelShuffle;
    /// let y = PixelShuffle::new(2).forward(&Tensor::ones([1, 12, 4, 5]));
    /// assert_eq!(y.dims::<4>()?, [1, 3, 8, 10]);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    PixelShuffle, upscale_factor, pixel_shuffle;
    /// Pixels to channels, the inverse of [`PixelShuffle`].
    PixelUnshuffle, downscale_factor, pixel_unshuffle;
    /// Runs of channels interleaved. Zhang et al., 2018.
    ChannelShuffle, groups, channel_shuffle;
}

macro_rules! patched {
    ($name:ident) => {
        impl $name {
            /// From one element of a patch to the next; 1 by default.
            #[must_use]
            pub fn dilation(self, dilation: impl Into<Sizes<2>>) -> $name {
                let patches = self.patches.dilation(dilation);
                self.with(patches)
            }

            /// Zeros around the image; none by default.
            #[must_use]
            pub fn padding(self, padding: impl Into<Sizes<2>>) -> $name {
                let patches = self.patches.padding(padding);
                self.with(patches)
            }

            /// From one patch to the next; 1 by default.
            #[must_use]
            pub fn stride(self, stride: impl Into<Sizes<2>>) -> $name {
                let patches = self.patches.stride(stride);
                self.with(patches)
            }
        }
        plain!($name);
    };
}

/// The patches of images as columns; see [`Tensor::unfold2d`].
///
/// ```
/// use gradus_core::Tensor;
/// use gradus_nn::{Fold, Unfold};
/// let x = Tensor::ones([1, 3, 8, 8]);
/// let columns = Unfold::new(4).stride(4).forward(&x);
/// assert_eq!(columns.dims::<3>()?, [1, 48, 4]);
/// let back = Fold::new([8, 8], 4).stride(4).forward(&columns);
/// assert_eq!(back.dims::<4>()?, [1, 3, 8, 8]);
/// # Ok::<(), gradus_core::Error>(())
/// ```
#[derive(Debug)]
pub struct Unfold {
    patches: Patches,
    tag: TagOf,
}

impl Unfold {
    /// Patches of this size, one at each place.
    pub fn new(kernel_size: impl Into<Sizes<2>>) -> Unfold {
        let patches = Patches::new(kernel_size);
        Unfold { tag: tag("Unfold", patches), patches }
    }

    fn with(self, patches: Patches) -> Unfold {
        Unfold { tag: tag("Unfold", patches), patches }
    }

    /// The columns, `[batch, channels * kernel_h * kernel_w, patches]`.
    #[track_caller]
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let _scope = self.tag.0.enter();
        x.unfold2d(self.patches)
    }
}
patched!(Unfold);

/// The sum of patches in images; see [`Tensor::fold2d`].
#[derive(Debug)]
pub struct Fold {
    output_size: Sizes<2>,
    patches: Patches,
    tag: TagOf,
}

impl Fold {
    /// Images of `output_size` `[height, width]` from patches of this size, one at each place.
    pub fn new(output_size: impl Into<Sizes<2>>, kernel_size: impl Into<Sizes<2>>) -> Fold {
        let patches = Patches::new(kernel_size);
        Fold { output_size: output_size.into(), tag: tag("Fold", patches), patches }
    }

    fn with(self, patches: Patches) -> Fold {
        Fold { tag: tag("Fold", patches), patches, ..self }
    }

    /// The images, `[batch, channels, height, width]`.
    #[track_caller]
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let _scope = self.tag.0.enter();
        x.fold2d(self.output_size, self.patches)
    }
}
patched!(Fold);

/// One axis as several, the opposite of [`Flatten`](crate::Flatten); see [`Tensor::unflatten`].
///
/// ```
/// use gradus_core::Tensor;
/// use gradus_nn::Unflatten;
/// let y = Unflatten::new(1, [3, -1, 4]).forward(&Tensor::zeros([2, 60]));
/// assert_eq!(y.dims::<4>()?, [2, 3, 5, 4]);
/// # Ok::<(), gradus_core::Error>(())
/// ```
#[derive(Debug)]
pub struct Unflatten {
    dim: isize,
    unflattened_size: Vec<isize>,
    tag: TagOf,
}

impl Unflatten {
    /// Axis `dim` gets these sizes, of which one may be -1.
    pub fn new(dim: isize, unflattened_size: impl AsRef<[isize]>) -> Unflatten {
        let unflattened_size = unflattened_size.as_ref().to_vec();
        let tag = tag("Unflatten", format!("{dim}, {unflattened_size:?}"));
        Unflatten { dim, unflattened_size, tag }
    }

    /// The result.
    #[track_caller]
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let _scope = self.tag.0.enter();
        x.unflatten(self.dim, &self.unflattened_size)
    }
}
plain!(Unflatten);
