//! The methods of pooling.

use super::{Allowed, OutSizes, Pool, adaptive, divisor, windows};
use crate::error::{Code, Error};
use crate::graph::called::called;
use crate::graph::recorder;
use crate::graph::shape::Shape;
use crate::graph::sizes::Sizes;
use crate::ops::{Divisor, Op, Pooling, Windows};
use crate::tensor::Tensor;

const MAX: Allowed = Allowed { dilation: true, mean: false };
const MEAN: Allowed = Allowed { dilation: false, mean: true };
const NORM: Allowed = Allowed { dilation: false, mean: false };

impl Tensor {
    /// Records a pool of what `made` says, or its error.
    #[track_caller]
    fn pooled<const N: usize>(
        &self,
        kind: Pooling,
        made: crate::error::Result<(Shape, [Windows; 3])>,
    ) -> Tensor {
        match made {
            Ok((shape, windows)) => {
                self.apply(Op::Pool { kind, rank: N as u8, windows }, &[], Some(shape))
            }
            Err(error) => self.refuse(error),
        }
    }

    #[track_caller]
    fn max_pool<const N: usize>(&self, what: &str, pool: Pool<N>) -> Tensor {
        let made = windows(what, &self.peek().shape, &pool, MAX);
        self.pooled::<N>(Pooling::Max, made)
    }

    #[track_caller]
    fn max_pool_at<const N: usize>(&self, what: &str, pool: Pool<N>) -> (Tensor, Tensor) {
        let made = || windows(what, &self.peek().shape, &pool, MAX);
        let values = self.pooled::<N>(Pooling::Max, made());
        if recorder::error_of(&values).is_some() {
            return (values.clone(), values);
        }
        (values, self.pooled::<N>(Pooling::MaxAt, made()))
    }

    #[track_caller]
    fn avg_pool<const N: usize>(&self, what: &str, pool: Pool<N>) -> Tensor {
        let (by, number) = divisor(&pool);
        let made = windows(what, &self.peek().shape, &pool, MEAN);
        let y = self.pooled::<N>(Pooling::Mean(by), made);
        match number {
            Some(n) => y / n as f64,
            None => y,
        }
    }

    #[track_caller]
    fn lp_pool<const N: usize>(&self, what: &str, p: f64, pool: Pool<N>) -> Tensor {
        if !(p.is_finite() && p > 0.0) || pool.padding != Sizes::all(0) {
            let text = match p.is_finite() && p > 0.0 {
                true => format!("{what}: has no padding"),
                false => format!("{what}: the norm must be a finite number above 0, not {p}"),
            };
            return self.refuse(Error::new(Code::Argument, text));
        }
        let powers = match p {
            1.0 => self.clone(),
            2.0 => self.square(),
            _ => self.pow(p),
        };
        let made = windows(what, &self.peek().shape, &pool, NORM);
        let sums = if pool.ceil_mode {
            // As in PyTorch: a window that is cut counts as if it were whole.
            let count: usize = pool.kernel.0.iter().product();
            powers.pooled::<N>(Pooling::Mean(Divisor::Padded), made) * count as f64
        } else {
            powers.pooled::<N>(Pooling::Mean(Divisor::One), made)
        };
        if p == 1.0 {
            return sums;
        }
        // The root of 0 has no derivative; PyTorch's is 0.
        let none = sums.eq(0.0);
        let safe = none.where_(1.0, &sums);
        let root = if p == 2.0 { safe.sqrt() } else { safe.pow(1.0 / p) };
        none.where_(0.0, root)
    }

    #[track_caller]
    fn adaptive_avg_pool<const N: usize>(&self, what: &str, sizes: OutSizes<N>) -> Tensor {
        let made = adaptive(what, &self.peek().shape, sizes);
        self.pooled::<N>(Pooling::Mean(Divisor::Inside), made)
    }

    #[track_caller]
    fn adaptive_max_pool<const N: usize>(&self, what: &str, sizes: OutSizes<N>) -> Tensor {
        let made = adaptive(what, &self.peek().shape, sizes);
        self.pooled::<N>(Pooling::Max, made)
    }

    #[track_caller]
    fn adaptive_max_pool_at<const N: usize>(
        &self,
        what: &str,
        sizes: OutSizes<N>,
    ) -> (Tensor, Tensor) {
        let values = self.adaptive_max_pool(what, sizes);
        if recorder::error_of(&values).is_some() {
            return (values.clone(), values);
        }
        let made = adaptive(what, &self.peek().shape, sizes);
        (values, self.pooled::<N>(Pooling::MaxAt, made))
    }

    #[track_caller]
    fn max_unpool<const N: usize>(
        &self,
        what: &str,
        indices: &Tensor,
        pool: Pool<N>,
        sizes: Option<Sizes<N>>,
    ) -> Tensor {
        let (shape, at) = (self.peek().shape, indices.peek().shape);
        if recorder::error_of(indices).is_some() && recorder::error_of(self).is_none() {
            return indices.clone();
        }
        if shape != at || (shape.rank() != N + 1 && shape.rank() != N + 2) {
            let text = format!("{what}: values {shape} and indices {at} do not go together");
            let help = "both are what `max_pool.._with_indices` gives";
            return self.refuse(Error::new(Code::Shape, text).help(help));
        }
        let (before, inside) = shape.dims().split_at(shape.rank() - N);
        let mut to = before.to_vec();
        for (i, &n) in inside.iter().enumerate() {
            let (kernel, step, padding) = (pool.kernel.0[i], pool.step().0[i], pool.padding.0[i]);
            let whole = (n.saturating_sub(1) * step + kernel).checked_sub(2 * padding);
            let Some(whole) = whole.filter(|_| kernel > 0 && step > 0) else {
                let text = format!("{what}: kernel {kernel}, stride {step}, padding {padding}");
                return self.refuse(Error::new(Code::Argument, format!("{text} do not fit")));
            };
            let size = sizes.map_or(whole, |s| s.0[i]);
            if size + step <= whole || size >= whole + step {
                let text = format!("{what}: {size} elements for windows that span {whole}");
                let help = "an output size differs by less than a stride";
                return self.refuse(Error::new(Code::Argument, text).help(help));
            }
            to.push(size);
        }
        let (plane, windows) = (to[before.len()..].iter().product(), inside.iter().product());
        let flat = |n: usize| Shape::joined([before, &[n]]);
        let zeros = Tensor::zeros(flat(plane)).cast(self.peek().dtype);
        let values = self.reshape_to(flat(windows));
        zeros.scatter(-1, &indices.reshape_to(flat(windows)), &values).reshape_to(to)
    }

    /// The mean of each channel: `[batch, channels, ..]` becomes `[batch, channels, 1, ..]`.
    ///
    /// # Errors
    /// [`Code::Shape`] with fewer than three axes.
    ///
    /// ```
    /// # use gradus_core::Tensor;
    /// let y = Tensor::ones([2, 3, 5, 4]).global_avg_pool();
    /// assert_eq!(y.dims::<4>()?, [2, 3, 1, 1]);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    #[track_caller]
    #[must_use]
    pub fn global_avg_pool(&self) -> Tensor {
        let _called = called("global_avg_pool");
        match self.inner_axes("global_avg_pool") {
            Ok(axes) => self.mean_keepdim(axes.as_slice()),
            Err(error) => self.refuse(error),
        }
    }

    /// The largest of each channel: `[batch, channels, ..]` becomes `[batch, channels, 1, ..]`. Of
    /// equal ones all share the gradient; see [`Tensor::max_keepdim`].
    ///
    /// # Errors
    /// [`Code::Shape`] with fewer than three axes, or no elements to choose from.
    #[track_caller]
    #[must_use]
    pub fn global_max_pool(&self) -> Tensor {
        let _called = called("global_max_pool");
        match self.inner_axes("global_max_pool") {
            Ok(axes) => self.max_keepdim(axes.as_slice()),
            Err(error) => self.refuse(error),
        }
    }

    /// All axes but batch and channels.
    fn inner_axes(&self, what: &str) -> crate::error::Result<Vec<usize>> {
        let shape = self.peek().shape;
        if shape.rank() < 3 {
            let text = format!("{what}: takes [batch, channels, ..], not {shape}");
            return Err(Error::new(Code::Shape, text));
        }
        Ok((2..shape.rank()).collect())
    }
}

/// The methods for one count of axes.
macro_rules! methods {
    ($n:literal, $axes:literal, $max:ident, $max_at:ident, $avg:ident, $lp:ident, $ada:ident,
     $ada_max:ident, $ada_max_at:ident, $unpool:ident, $unpool_to:ident) => {
        impl Tensor {
            #[doc = concat!("The largest element under each window over ", $axes, ".")]
            ///
            /// Takes `[batch, channels, ..]` or `[channels, ..]`. NaN wins; of equal ones the first
            /// gets the gradient. Sizes become
            /// `(size + 2 padding - dilation (kernel - 1) - 1) / stride + 1`.
            ///
            /// # Errors
            /// [`Code::Argument`] for sizes of 0, a padding of more than half a window;
            /// [`Code::Shape`] for another rank, or a window that does not fit.
            #[track_caller]
            #[must_use]
            pub fn $max(&self, pool: impl Into<Pool<$n>>) -> Tensor {
                let _called = called(stringify!($max));
                self.max_pool(stringify!($max), pool.into())
            }

            #[doc = concat!("[`Tensor::", stringify!($max), "`] and where each element was,")]
            /// as its number in the row-major plane of the pooled axes (i64).
            ///
            /// # Errors
            /// As without indices.
            #[track_caller]
            #[must_use]
            pub fn $max_at(&self, pool: impl Into<Pool<$n>>) -> (Tensor, Tensor) {
                let _called = called(stringify!($max));
                self.max_pool_at(stringify!($max), pool.into())
            }

            #[doc = concat!("The mean of the elements under each window over ", $axes, ".")]
            ///
            /// Takes `[batch, channels, ..]` or `[channels, ..]`. Padding counts as zeros, unless
            /// [`Pool::count_include_pad`] or [`Pool::divisor_override`] says otherwise.
            ///
            /// # Errors
            /// [`Code::Argument`] for sizes of 0, a padding of more than half a window, a dilation;
            /// [`Code::Shape`] for another rank, or a window that does not fit.
            #[track_caller]
            #[must_use]
            pub fn $avg(&self, pool: impl Into<Pool<$n>>) -> Tensor {
                let _called = called(stringify!($avg));
                self.avg_pool(stringify!($avg), pool.into())
            }

            #[doc = concat!("`(sum x^p)^(1/p)` of the elements under each window over ", $axes, ".")]
            ///
            /// Takes `[batch, channels, ..]` or `[channels, ..]`. Where the sum is 0 the gradient is
            /// 0. With [`Pool::ceil_mode`] a window that is cut counts as if it were whole.
            ///
            /// # Errors
            /// [`Code::Argument`] for a norm that is not a finite number above 0, sizes of 0, a
            /// padding or dilation; [`Code::Shape`] for another rank, or a window that does not fit.
            #[track_caller]
            #[must_use]
            pub fn $lp(&self, norm_type: f64, pool: impl Into<Pool<$n>>) -> Tensor {
                let _called = called(stringify!($lp));
                self.lp_pool(stringify!($lp), norm_type, pool.into())
            }

            #[doc = concat!("Means that share ", $axes, " out evenly, so that `output_size` of them")]
            /// come out: number i of n is over `floor(i size / n)..ceil((i + 1) size / n)`.
            ///
            /// # Errors
            /// [`Code::Shape`] for another rank, or nothing to take a mean of.
            #[track_caller]
            #[must_use]
            pub fn $ada(&self, output_size: impl Into<OutSizes<$n>>) -> Tensor {
                let _called = called(stringify!($ada));
                self.adaptive_avg_pool(stringify!($ada), output_size.into())
            }

            #[doc = concat!("The largest elements of windows as those of [`Tensor::", stringify!($ada), "`].")]
            ///
            /// # Errors
            /// [`Code::Shape`] for another rank, or nothing to choose from.
            #[track_caller]
            #[must_use]
            pub fn $ada_max(&self, output_size: impl Into<OutSizes<$n>>) -> Tensor {
                let _called = called(stringify!($ada_max));
                self.adaptive_max_pool(stringify!($ada_max), output_size.into())
            }

            #[doc = concat!("[`Tensor::", stringify!($ada_max), "`] and where each element was,")]
            /// as its number in the row-major plane of the pooled axes (i64).
            ///
            /// # Errors
            /// As without indices.
            #[track_caller]
            #[must_use]
            pub fn $ada_max_at(&self, output_size: impl Into<OutSizes<$n>>) -> (Tensor, Tensor) {
                let _called = called(stringify!($ada_max));
                self.adaptive_max_pool_at(stringify!($ada_max), output_size.into())
            }

            #[doc = concat!("What [`Tensor::", stringify!($max_at), "`] took, put back where it was; zeros elsewhere.")]
            ///
            /// The sizes are the smallest that the windows need. Of several values for one place
            /// the last one stays.
            ///
            /// # Errors
            /// [`Code::Shape`] when values and indices differ in shape, [`Code::Index`] for an index
            /// that the plane does not have (found when run).
            #[track_caller]
            #[must_use]
            pub fn $unpool(&self, indices: &Tensor, pool: impl Into<Pool<$n>>) -> Tensor {
                let _called = called(stringify!($unpool));
                self.max_unpool(stringify!($unpool), indices, pool.into(), None)
            }

            #[doc = concat!("[`Tensor::", stringify!($unpool), "`] to sizes that differ by less than a stride.")]
            ///
            /// # Errors
            /// As there; [`Code::Argument`] for other sizes.
            #[track_caller]
            #[must_use]
            pub fn $unpool_to(
                &self,
                indices: &Tensor,
                pool: impl Into<Pool<$n>>,
                output_size: impl Into<Sizes<$n>>,
            ) -> Tensor {
                let _called = called(stringify!($unpool));
                let sizes = Some(output_size.into());
                self.max_unpool(stringify!($unpool), indices, pool.into(), sizes)
            }
        }
    };
}
methods!(
    1,
    "the last axis",
    max_pool1d,
    max_pool1d_with_indices,
    avg_pool1d,
    lp_pool1d,
    adaptive_avg_pool1d,
    adaptive_max_pool1d,
    adaptive_max_pool1d_with_indices,
    max_unpool1d,
    max_unpool1d_to
);
methods!(
    2,
    "the last two axes",
    max_pool2d,
    max_pool2d_with_indices,
    avg_pool2d,
    lp_pool2d,
    adaptive_avg_pool2d,
    adaptive_max_pool2d,
    adaptive_max_pool2d_with_indices,
    max_unpool2d,
    max_unpool2d_to
);
methods!(
    3,
    "the last three axes",
    max_pool3d,
    max_pool3d_with_indices,
    avg_pool3d,
    lp_pool3d,
    adaptive_avg_pool3d,
    adaptive_max_pool3d,
    adaptive_max_pool3d_with_indices,
    max_unpool3d,
    max_unpool3d_to
);
