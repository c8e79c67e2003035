//! Sizes along `N` spatial axes, as arguments of windows: kernels, strides, paddings.

/// One size an axis, for operations over `N` spatial axes; made from one number for all axes, an
/// array or a tuple.
///
/// ```
/// use gradus_core::Sizes;
/// let of = |kernel: Sizes<2>| kernel.0;
/// assert_eq!(of(3.into()), [3, 3]);
/// assert_eq!(of((3, 5).into()), of([3, 5].into()));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Sizes<const N: usize>(pub [usize; N]);

impl<const N: usize> Sizes<N> {
    /// The same size along every axis.
    pub const fn all(size: usize) -> Sizes<N> {
        Sizes([size; N])
    }

    /// As a slice, one an axis.
    pub fn as_slice(&self) -> &[usize] {
        &self.0
    }
}

impl<const N: usize> From<usize> for Sizes<N> {
    fn from(size: usize) -> Sizes<N> {
        Sizes::all(size)
    }
}

impl<const N: usize> From<[usize; N]> for Sizes<N> {
    fn from(sizes: [usize; N]) -> Sizes<N> {
        Sizes(sizes)
    }
}

impl From<(usize, usize)> for Sizes<2> {
    fn from((a, b): (usize, usize)) -> Sizes<2> {
        Sizes([a, b])
    }
}

impl From<(usize, usize, usize)> for Sizes<3> {
    fn from((a, b, c): (usize, usize, usize)) -> Sizes<3> {
        Sizes([a, b, c])
    }
}
