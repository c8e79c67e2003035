//! Pooling layers: windows that slide over the last axes, and what they make of what they see.
//!
//! All take `[batch, channels, ..]` or `[channels, ..]`. The options are PyTorch's; a layer's errors
//! (a padding that is too large, a window that does not fit) come with its first result.

use gradus_core::{OutSizes, Pool, Sizes, Tag, Tensor};

use super::dropout::TagOf;
use crate::layer::Layer;
use crate::module::{Module, Visitor};

/// A layer without parameters, with a tag, from one tensor to one tensor.
macro_rules! plain {
    ($name:ident) => {
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
    };
}
pub(super) use plain;

/// A tag that shows a layer's name and options.
pub(super) fn tag(name: &str, options: impl std::fmt::Display) -> TagOf {
    TagOf(Tag::new(format!("{name}({options})")))
}

/// What pooling layers share: the options of the window.
macro_rules! windowed {
    ($name:ident, $n:literal) => {
        impl $name {
            fn with(mut self, pool: Pool<$n>) -> $name {
                self.tag = tag(stringify!($name), &pool);
                self.pool = pool;
                self
            }

            /// From one window to the next; the size of the window by default.
            #[must_use]
            pub fn stride(self, stride: impl Into<Sizes<$n>>) -> $name {
                let pool = self.pool.stride(stride);
                self.with(pool)
            }
        }
    };
    ($name:ident, $n:literal, ceil) => {
        windowed!($name, $n);
        impl $name {
            /// Whether a last window that does not fit whole counts too; not by default.
            #[must_use]
            pub fn ceil_mode(self, yes: bool) -> $name {
                let pool = self.pool.ceil_mode(yes);
                self.with(pool)
            }
        }
    };
    ($name:ident, $n:literal, padding) => {
        impl $name {
            /// Elements added before and behind each axis; at most half a window.
            #[must_use]
            pub fn padding(self, padding: impl Into<Sizes<$n>>) -> $name {
                let pool = self.pool.padding(padding);
                self.with(pool)
            }
        }
    };
}

macro_rules! max_pool {
    ($(#[$doc:meta])* $name:ident, $n:literal, $method:ident, $both:ident) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $name {
            pool: Pool<$n>,
            tag: TagOf,
        }

        impl $name {
            /// Windows of this size, one beside the other.
            pub fn new(kernel_size: impl Into<Sizes<$n>>) -> $name {
                let pool = Pool::new(kernel_size);
                $name { tag: tag(stringify!($name), &pool), pool }
            }

            /// From one element of a window to the next; 1 by default.
            #[must_use]
            pub fn dilation(self, dilation: impl Into<Sizes<$n>>) -> $name {
                let pool = self.pool.dilation(dilation);
                self.with(pool)
            }

            /// The largest element under each window.
            #[track_caller]
            pub fn forward(&self, x: &Tensor) -> Tensor {
                let _scope = self.tag.0.enter();
                x.$method(self.pool)
            }

            /// The same, and where each was: its number in the row-major plane of the pooled axes.
            #[track_caller]
            pub fn forward_with_indices(&self, x: &Tensor) -> (Tensor, Tensor) {
                let _scope = self.tag.0.enter();
                x.$both(self.pool)
            }
        }

        windowed!($name, $n, ceil);
        windowed!($name, $n, padding);
        plain!($name);
    };
}
max_pool! {
    /// The largest element under each window over the last axis; see [`Tensor::max_pool1d`].
    MaxPool1d, 1, max_pool1d, max_pool1d_with_indices
}
max_pool! {
    /// The largest element under each window over the last two axes; see [`Tensor::max_pool2d`].
    ///
    /// ```
    /// use gradus_core::Tensor;
    /// use gradus_nn::MaxPool2d;
    /// let pool = MaxPool2d::new(3).stride(2).padding(1);
    /// assert_eq!(pool.forward(&Tensor::zeros([1, 8, 32, 32])).dims::<4>()?, [1, 8, 16, 16]);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    MaxPool2d, 2, max_pool2d, max_pool2d_with_indices
}
max_pool! {
    /// The largest element under each window over the last three axes; see [`Tensor::max_pool3d`].
    MaxPool3d, 3, max_pool3d, max_pool3d_with_indices
}

macro_rules! avg_pool {
    ($(#[$doc:meta])* $name:ident, $n:literal, $method:ident) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $name {
            pool: Pool<$n>,
            tag: TagOf,
        }

        impl $name {
            /// Windows of this size, one beside the other.
            pub fn new(kernel_size: impl Into<Sizes<$n>>) -> $name {
                let pool = Pool::new(kernel_size);
                $name { tag: tag(stringify!($name), &pool), pool }
            }

            /// Whether the zeros of the padding count; so they do by default.
            #[must_use]
            pub fn count_include_pad(self, yes: bool) -> $name {
                let pool = self.pool.count_include_pad(yes);
                self.with(pool)
            }

            /// Divides sums by this number instead of by the count of elements.
            #[must_use]
            pub fn divisor_override(self, divisor: usize) -> $name {
                let pool = self.pool.divisor_override(divisor);
                self.with(pool)
            }

            /// The mean under each window.
            #[track_caller]
            pub fn forward(&self, x: &Tensor) -> Tensor {
                let _scope = self.tag.0.enter();
                x.$method(self.pool)
            }
        }

        windowed!($name, $n, ceil);
        windowed!($name, $n, padding);
        plain!($name);
    };
}
avg_pool! {
    /// The mean of the elements under each window over the last axis; see [`Tensor::avg_pool1d`].
    AvgPool1d, 1, avg_pool1d
}
avg_pool! {
    /// The mean of the elements under each window over the last two axes; see
    /// [`Tensor::avg_pool2d`].
    ///
    /// ```
    /// use gradus_core::Tensor;
    /// use gradus_nn::AvgPool2d;
    /// let y = AvgPool2d::new(2).forward(&Tensor::ones([1, 8, 32, 32]));
    /// assert_eq!(y.dims::<4>()?, [1, 8, 16, 16]);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    AvgPool2d, 2, avg_pool2d
}
avg_pool! {
    /// The mean of the elements under each window over the last three axes; see
    /// [`Tensor::avg_pool3d`].
    AvgPool3d, 3, avg_pool3d
}

macro_rules! lp_pool {
    ($(#[$doc:meta])* $name:ident, $n:literal, $method:ident) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $name {
            norm_type: f64,
            pool: Pool<$n>,
            tag: TagOf,
        }

        impl $name {
            /// Windows of this size, one beside the other, and the exponent of the norm.
            pub fn new(norm_type: f64, kernel_size: impl Into<Sizes<$n>>) -> $name {
                let pool = Pool::new(kernel_size);
                $name { tag: tag(stringify!($name), &pool), pool, norm_type }
            }

            /// The norm of what is under each window.
            #[track_caller]
            pub fn forward(&self, x: &Tensor) -> Tensor {
                let _scope = self.tag.0.enter();
                x.$method(self.norm_type, self.pool)
            }
        }

        windowed!($name, $n, ceil);
        plain!($name);
    };
}
lp_pool! {
    /// `(sum x^p)^(1/p)` under each window over the last axis; see [`Tensor::lp_pool1d`].
    LpPool1d, 1, lp_pool1d
}
lp_pool! {
    /// `(sum x^p)^(1/p)` under each window over the last two axes; see [`Tensor::lp_pool2d`].
    LpPool2d, 2, lp_pool2d
}
lp_pool! {
    /// `(sum x^p)^(1/p)` under each window over the last three axes; see [`Tensor::lp_pool3d`].
    LpPool3d, 3, lp_pool3d
}

macro_rules! adaptive {
    ($(#[$doc:meta])* $name:ident, $n:literal, $method:ident) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $name {
            output_size: OutSizes<$n>,
            tag: TagOf,
        }

        impl $name {
            /// The sizes to make, one an axis or one for all; `None` keeps a size.
            pub fn new(output_size: impl Into<OutSizes<$n>>) -> $name {
                let output_size = output_size.into();
                let sizes = output_size.0.map(|s| s.map_or("same".to_string(), |s| s.to_string()));
                $name { tag: tag(stringify!($name), sizes.join("x")), output_size }
            }

            /// The result, of the layer's sizes on the last axes.
            #[track_caller]
            pub fn forward(&self, x: &Tensor) -> Tensor {
                let _scope = self.tag.0.enter();
                x.$method(self.output_size)
            }
        }

        plain!($name);
    };
    ($(#[$doc:meta])* $name:ident, $n:literal, $method:ident, $both:ident) => {
        adaptive!($(#[$doc])* $name, $n, $method);

        impl $name {
            /// The same, and where each was: its number in the row-major plane of the pooled axes.
            #[track_caller]
            pub fn forward_with_indices(&self, x: &Tensor) -> (Tensor, Tensor) {
                let _scope = self.tag.0.enter();
                x.$both(self.output_size)
            }
        }
    };
}
adaptive! {
    /// Means that share the last axis out evenly; see [`Tensor::adaptive_avg_pool1d`].
    AdaptiveAvgPool1d, 1, adaptive_avg_pool1d
}
adaptive! {
    /// Means that share the last two axes out evenly, whatever their sizes; see
    /// [`Tensor::adaptive_avg_pool2d`].
    ///
    /// ```
    /// use gradus_core::Tensor;
    /// use gradus_nn::AdaptiveAvgPool2d;
    /// let y = AdaptiveAvgPool2d::new(7).forward(&Tensor::ones([1, 8, 11, 30]));
    /// assert_eq!(y.dims::<4>()?, [1, 8, 7, 7]);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    AdaptiveAvgPool2d, 2, adaptive_avg_pool2d
}
adaptive! {
    /// Means that share the last three axes out evenly; see [`Tensor::adaptive_avg_pool3d`].
    AdaptiveAvgPool3d, 3, adaptive_avg_pool3d
}
adaptive! {
    /// The largest in windows that share the last axis out evenly; see
    /// [`Tensor::adaptive_max_pool1d`].
    AdaptiveMaxPool1d, 1, adaptive_max_pool1d, adaptive_max_pool1d_with_indices
}
adaptive! {
    /// The largest in windows that share the last two axes out evenly; see
    /// [`Tensor::adaptive_max_pool2d`].
    AdaptiveMaxPool2d, 2, adaptive_max_pool2d, adaptive_max_pool2d_with_indices
}
adaptive! {
    /// The largest in windows that share the last three axes out evenly; see
    /// [`Tensor::adaptive_max_pool3d`].
    AdaptiveMaxPool3d, 3, adaptive_max_pool3d, adaptive_max_pool3d_with_indices
}

macro_rules! unpool {
    ($(#[$doc:meta])* $name:ident, $n:literal, $method:ident, $to:ident) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $name {
            pool: Pool<$n>,
            tag: TagOf,
        }

        impl $name {
            /// For values from windows of this size, one beside the other.
            pub fn new(kernel_size: impl Into<Sizes<$n>>) -> $name {
                let pool = Pool::new(kernel_size);
                $name { tag: tag(stringify!($name), &pool), pool }
            }

            /// The values at their places, zeros elsewhere, in the smallest sizes that fit.
            #[track_caller]
            pub fn forward(&self, x: &Tensor, indices: &Tensor) -> Tensor {
                let _scope = self.tag.0.enter();
                x.$method(indices, self.pool)
            }

            /// The same in sizes that differ by less than a stride.
            #[track_caller]
            pub fn forward_to(
                &self,
                x: &Tensor,
                indices: &Tensor,
                output_size: impl Into<Sizes<$n>>,
            ) -> Tensor {
                let _scope = self.tag.0.enter();
                x.$to(indices, self.pool, output_size)
            }
        }

        windowed!($name, $n);
        windowed!($name, $n, padding);

        impl Module for $name {
            fn walk(&self, visitor: &mut dyn Visitor) {
                visitor.tag(&self.tag.0);
            }
        }
    };
}
unpool! {
    /// Puts back what [`MaxPool1d`] took; see [`Tensor::max_unpool1d`].
    MaxUnpool1d, 1, max_unpool1d, max_unpool1d_to
}
unpool! {
    /// Puts back what [`MaxPool2d`] took; see [`Tensor::max_unpool2d`].
    ///
    /// ```
    /// use gradus_core::Tensor;
    /// use gradus_nn::{MaxPool2d, MaxUnpool2d};
    /// let x = Tensor::from([[1.0, 2.0], [3.0, 4.0]]).reshape([1, 2, 2]);
    /// let (y, at) = MaxPool2d::new(2).forward_with_indices(&x);
    /// let back = MaxUnpool2d::new(2).forward(&y, &at);
    /// assert_eq!(back.to_vec::<f32>()?, [0.0, 0.0, 0.0, 4.0]);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    MaxUnpool2d, 2, max_unpool2d, max_unpool2d_to
}
unpool! {
    /// Puts back what [`MaxPool3d`] took; see [`Tensor::max_unpool3d`].
    MaxUnpool3d, 3, max_unpool3d, max_unpool3d_to
}

macro_rules! global {
    ($(#[$doc:meta])* $name:ident, $method:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct $name;

        impl $name {
            /// The result, `[batch, channels, 1, ..]`.
            #[track_caller]
            pub fn forward(&self, x: &Tensor) -> Tensor {
                x.$method()
            }
        }

        impl Module for $name {
            fn walk(&self, _: &mut dyn Visitor) {}
        }

        impl Layer for $name {
            #[track_caller]
            fn forward(&self, x: &Tensor) -> Tensor {
                $name::forward(self, x)
            }
        }
    };
}
global! {
    /// The mean of each channel, whatever its sizes: `[batch, channels, ..]` to
    /// `[batch, channels, 1, ..]`.
    GlobalAvgPool, global_avg_pool
}
global! {
    /// The largest of each channel: `[batch, channels, ..]` to `[batch, channels, 1, ..]`.
    GlobalMaxPool, global_max_pool
}
