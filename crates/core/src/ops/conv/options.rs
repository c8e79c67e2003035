//! What users set about a convolution.

use crate::Sizes;
use crate::ops::pad::Pad;

/// Zeros (or, with a padding mode, other elements) around the input of a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Padding<const N: usize> {
    /// None.
    Valid,
    /// As many as make the result as large as the input, for a stride of 1; where that is an odd
    /// number, one more behind.
    Same,
    /// So many before and behind along each axis.
    Each([[usize; 2]; N]),
}

macro_rules! paddings {
    ($($n:literal: $($from:ty),*;)*) => {$($(
        impl From<$from> for Padding<$n> {
            fn from(sizes: $from) -> Padding<$n> {
                Padding::Each(<Sizes<$n>>::from(sizes).0.map(|p| [p, p]))
            }
        }
    )*)*};
}
paddings! {
    1: usize, [usize; 1];
    2: usize, [usize; 2], (usize, usize);
    3: usize, [usize; 3], (usize, usize, usize);
}

/// Settings of [`Tensor::conv1d`](crate::Tensor::conv1d) and its relatives over `N` axes.
///
/// ```
/// use gradus_core::{ConvOptions, Padding, Tensor};
/// let (x, w) = (Tensor::ones([1, 3, 8, 8]), Tensor::ones([4, 3, 3, 3]));
/// let y = x.conv2d(&w, None, ConvOptions::new().stride(2).padding(1));
/// assert_eq!(y.dims::<4>()?, [1, 4, 4, 4]);
/// let y = x.conv2d(&w, None, ConvOptions::new().padding(Padding::Same).dilation([1, 2]));
/// assert_eq!(y.dims::<4>()?, [1, 4, 8, 8]);
/// # Ok::<(), gradus_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ConvOptions<const N: usize> {
    /// Distance of two places of the window; 1.
    pub stride: [usize; N],
    /// What is added around the input; nothing.
    pub padding: Padding<N>,
    /// Distance of two elements of the window; 1.
    pub dilation: [usize; N],
    /// Channels are cut into so many groups that do not see each other; 1.
    pub groups: usize,
    /// What the padding consists of; zeros.
    pub padding_mode: Pad,
}

impl<const N: usize> Default for ConvOptions<N> {
    fn default() -> Self {
        ConvOptions::new()
    }
}

impl<const N: usize> ConvOptions<N> {
    /// PyTorch's defaults.
    #[must_use]
    pub fn new() -> Self {
        ConvOptions {
            stride: [1; N],
            padding: Padding::Valid,
            dilation: [1; N],
            groups: 1,
            padding_mode: Pad::Constant(0.0),
        }
    }

    /// Distance of two places of the window, from 1 on.
    #[must_use]
    pub fn stride(self, stride: impl Into<Sizes<N>>) -> Self {
        ConvOptions { stride: stride.into().0, ..self }
    }

    /// What is added around the input: a number for all axes, one for each, or a [`Padding`].
    #[must_use]
    pub fn padding(self, padding: impl Into<Padding<N>>) -> Self {
        ConvOptions { padding: padding.into(), ..self }
    }

    /// Distance of two elements of the window, from 1 on.
    #[must_use]
    pub fn dilation(self, dilation: impl Into<Sizes<N>>) -> Self {
        ConvOptions { dilation: dilation.into().0, ..self }
    }

    /// Groups of channels that do not see each other; must divide those of the input and the result.
    #[must_use]
    pub fn groups(self, groups: usize) -> Self {
        ConvOptions { groups, ..self }
    }

    /// What the padding consists of; see [`Tensor::pad`](crate::Tensor::pad).
    #[must_use]
    pub fn padding_mode(self, padding_mode: Pad) -> Self {
        ConvOptions { padding_mode, ..self }
    }
}

/// Settings of [`Tensor::conv_transpose1d`](crate::Tensor::conv_transpose1d) and its relatives.
///
/// ```
/// use gradus_core::{ConvTransposeOptions, Tensor};
/// let (x, w) = (Tensor::ones([1, 4, 4, 4]), Tensor::ones([4, 3, 2, 2]));
/// let y = x.conv_transpose2d(&w, None, ConvTransposeOptions::new().stride(2));
/// assert_eq!(y.dims::<4>()?, [1, 3, 8, 8]);
/// # Ok::<(), gradus_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvTransposeOptions<const N: usize> {
    /// Distance of two places of the window in the result; 1.
    pub stride: [usize; N],
    /// What is taken away around the result; 0.
    pub padding: [usize; N],
    /// What is added behind the result, less than the stride or the dilation; 0.
    pub output_padding: [usize; N],
    /// Distance of two elements of the window; 1.
    pub dilation: [usize; N],
    /// Channels are cut into so many groups that do not see each other; 1.
    pub groups: usize,
}

impl<const N: usize> Default for ConvTransposeOptions<N> {
    fn default() -> Self {
        ConvTransposeOptions::new()
    }
}

impl<const N: usize> ConvTransposeOptions<N> {
    /// PyTorch's defaults.
    #[must_use]
    pub fn new() -> Self {
        ConvTransposeOptions {
            stride: [1; N],
            padding: [0; N],
            output_padding: [0; N],
            dilation: [1; N],
            groups: 1,
        }
    }

    /// Distance of two places of the window in the result, from 1 on.
    #[must_use]
    pub fn stride(self, stride: impl Into<Sizes<N>>) -> Self {
        ConvTransposeOptions { stride: stride.into().0, ..self }
    }

    /// What is taken away around the result: the padding of the convolution that this is the adjoint
    /// of.
    #[must_use]
    pub fn padding(self, padding: impl Into<Sizes<N>>) -> Self {
        ConvTransposeOptions { padding: padding.into().0, ..self }
    }

    /// What is added behind the result: convolutions with a stride make several sizes equal, this
    /// chooses between them.
    #[must_use]
    pub fn output_padding(self, output_padding: impl Into<Sizes<N>>) -> Self {
        ConvTransposeOptions { output_padding: output_padding.into().0, ..self }
    }

    /// Distance of two elements of the window, from 1 on.
    #[must_use]
    pub fn dilation(self, dilation: impl Into<Sizes<N>>) -> Self {
        ConvTransposeOptions { dilation: dilation.into().0, ..self }
    }

    /// Groups of channels that do not see each other; must divide those of the input and the result.
    #[must_use]
    pub fn groups(self, groups: usize) -> Self {
        ConvTransposeOptions { groups, ..self }
    }
}
