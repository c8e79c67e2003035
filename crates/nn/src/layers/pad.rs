//! Padding layers: elements added around images.

use gradus_core::{Code, Error, Pad, Tensor};

use super::dropout::TagOf;
use super::pool::{plain, tag};
use crate::layer::Layer;
use crate::module::{Module, Visitor};

/// How much is added before and behind each of the last `N` axes, the last axis first, as PyTorch
/// writes it: one number for all, or `[left, right]`, `[left, right, top, bottom]`,
/// `[left, right, top, bottom, front, back]`. Constant padding takes negative numbers, which take
/// elements away.
///
/// ```
/// use gradus_nn::Margins;
/// assert_eq!(Margins::<2>::from(1), Margins::<2>::from([1, 1, 1, 1]));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Margins<const N: usize>(Vec<isize>);

impl<const N: usize> From<isize> for Margins<N> {
    fn from(all: isize) -> Margins<N> {
        Margins(vec![all; 2 * N])
    }
}
macro_rules! margins {
    ($($n:literal: $count:literal),*) => {$(
        impl From<[isize; $count]> for Margins<$n> {
            fn from(each: [isize; $count]) -> Margins<$n> {
                Margins(each.to_vec())
            }
        }
    )*};
}
margins!(1: 2, 2: 4, 3: 6);

/// Pads the last axes of a batch of images, or of one.
#[track_caller]
fn pad<const N: usize>(name: &str, x: &Tensor, margins: &Margins<N>, mode: Pad) -> Tensor {
    let Ok(shape) = x.shape() else { return x.clone() };
    let ranks = N + 1..=N + 2;
    if !ranks.contains(&shape.rank()) {
        let text =
            format!("{name}: takes {N} axes after [batch, channels] or [channels], not {shape}");
        return Tensor::failed(Error::new(Code::Shape, text));
    }
    if !matches!(mode, Pad::Constant(_)) && margins.0.iter().any(|&m| m < 0) {
        let text = format!("{name}: {:?} would take elements away", margins.0);
        let help = "only constant padding takes negative numbers";
        return Tensor::failed(Error::new(Code::Argument, text).help(help));
    }
    x.pad(&margins.0, mode)
}

macro_rules! padding {
    ($($(#[$doc:meta])* $name:ident, $n:literal, $mode:expr;)*) => {$(
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $name {
            padding: Margins<$n>,
            tag: TagOf,
        }

        impl $name {
            /// With one number for all sides, or one a side; see [`Margins`].
            pub fn new(padding: impl Into<Margins<$n>>) -> $name {
                let padding = padding.into();
                $name { tag: tag(stringify!($name), format!("{:?}", padding.0)), padding }
            }

            /// The image with its margins.
            #[track_caller]
            pub fn forward(&self, x: &Tensor) -> Tensor {
                let _scope = self.tag.0.enter();
                pad(stringify!($name), x, &self.padding, $mode)
            }
        }

        plain!($name);
    )*};
}
padding! {
    /// Zeros before and behind the last axis.
    ZeroPad1d, 1, Pad::Constant(0.0);
    /// Zeros around the last two axes.
    ///
    /// ```
    /// use gradus_core::Tensor;
    /// use gradus_nn::ZeroPad2d;
    /// let y = ZeroPad2d::new([1, 2, 0, 3]).forward(&Tensor::ones([1, 4, 4]));
    /// assert_eq!(y.dims::<3>()?, [1, 7, 7]);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    ZeroPad2d, 2, Pad::Constant(0.0);
    /// Zeros around the last three axes.
    ZeroPad3d, 3, Pad::Constant(0.0);
    /// The last axis mirrored at its ends, which are not repeated.
    ReflectionPad1d, 1, Pad::Reflect;
    /// The last two axes mirrored at their ends, which are not repeated.
    ReflectionPad2d, 2, Pad::Reflect;
    /// The last three axes mirrored at their ends, which are not repeated.
    ReflectionPad3d, 3, Pad::Reflect;
    /// The elements at the ends of the last axis repeated.
    ReplicationPad1d, 1, Pad::Replicate;
    /// The elements at the ends of the last two axes repeated.
    ReplicationPad2d, 2, Pad::Replicate;
    /// The elements at the ends of the last three axes repeated.
    ReplicationPad3d, 3, Pad::Replicate;
    /// The last axis continued from its other end.
    CircularPad1d, 1, Pad::Circular;
    /// The last two axes continued from their other ends.
    CircularPad2d, 2, Pad::Circular;
    /// The last three axes continued from their other ends.
    CircularPad3d, 3, Pad::Circular;
}

macro_rules! constant {
    ($($(#[$doc:meta])* $name:ident, $n:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $name {
            padding: Margins<$n>,
            value: f64,
            tag: TagOf,
        }

        impl $name {
            /// With one number for all sides, or one a side (see [`Margins`]), and the value.
            pub fn new(padding: impl Into<Margins<$n>>, value: f64) -> $name {
                let padding = padding.into();
                let tag = tag(stringify!($name), format!("{:?}, {value}", padding.0));
                $name { tag, padding, value }
            }

            /// The image with its margins.
            #[track_caller]
            pub fn forward(&self, x: &Tensor) -> Tensor {
                let _scope = self.tag.0.enter();
                pad(stringify!($name), x, &self.padding, Pad::Constant(self.value))
            }
        }

        plain!($name);
    )*};
}
constant! {
    /// A number before and behind the last axis.
    ConstantPad1d, 1;
    /// A number around the last two axes.
    ConstantPad2d, 2;
    /// A number around the last three axes.
    ConstantPad3d, 3;
}
