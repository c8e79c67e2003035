//! Shapes: up to eight sizes, stored in place.

use std::fmt;

use crate::error::{Code, Error, Result};

/// The highest rank a tensor can have.
pub const MAX_RANK: usize = 8;

/// The sizes of a tensor, slowest axis first. A scalar has rank 0.
///
/// A shape made from more than [`MAX_RANK`] sizes is kept as an invalid one; the first operation
/// that sees it reports the error.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Shape {
    rank: u8,
    dims: [usize; MAX_RANK],
}

const INVALID: u8 = u8::MAX;

impl Shape {
    /// The shape of a single number.
    pub const SCALAR: Shape = Shape { rank: 0, dims: [1; MAX_RANK] };

    /// A shape from sizes; invalid if there are more than [`MAX_RANK`].
    pub fn new(dims: &[usize]) -> Shape {
        let mut out = [1; MAX_RANK];
        match out.get_mut(..dims.len()) {
            Some(slots) => slots.copy_from_slice(dims),
            None => return Shape { rank: INVALID, dims: [0; MAX_RANK] },
        }
        Shape { rank: dims.len() as u8, dims: out }
    }

    /// The sizes of several lists after each other; invalid if there are more than [`MAX_RANK`].
    pub(crate) fn joined<const N: usize>(parts: [&[usize]; N]) -> Shape {
        let mut out = Shape::SCALAR;
        let mut rank = 0;
        for part in parts {
            match out.dims.get_mut(rank..rank + part.len()) {
                Some(slots) => slots.copy_from_slice(part),
                None => return Shape { rank: INVALID, dims: [0; MAX_RANK] },
            }
            rank += part.len();
        }
        Shape { rank: rank as u8, ..out }
    }

    /// Number of axes.
    #[inline]
    pub fn rank(&self) -> usize {
        if self.rank == INVALID { 0 } else { self.rank as usize }
    }

    /// The sizes.
    #[inline]
    pub fn dims(&self) -> &[usize] {
        &self.dims[..self.rank()]
    }

    /// Size of one axis; 1 past the last.
    #[inline]
    pub fn dim(&self, axis: usize) -> usize {
        self.dims.get(axis).copied().unwrap_or(1)
    }

    /// Size of an axis counted from the end (`last(0)` is the fastest axis); 1 past the first.
    #[inline]
    pub fn last(&self, back: usize) -> usize {
        if back < self.rank() { self.dims[self.rank() - 1 - back] } else { 1 }
    }

    /// Number of elements. Shapes that passed [`Shape::check`] cannot overflow.
    #[inline]
    pub fn numel(&self) -> usize {
        self.dims().iter().fold(1usize, |a, &b| a.saturating_mul(b))
    }

    /// Whether it has at most [`MAX_RANK`] axes and a size in bytes that memory can address.
    pub fn check(&self, what: &str) -> Result<()> {
        if self.rank == INVALID {
            return Err(Error::new(
                Code::Shape,
                format!("{what}: a tensor has at most {MAX_RANK} axes"),
            ));
        }
        let total = self.dims().iter().try_fold(1usize, |a, &b| a.checked_mul(b.max(1)));
        match total {
            Some(n) if n <= (isize::MAX as usize) / 16 => Ok(()),
            _ => Err(Error::new(Code::Memory, format!("{what}: {self:?} is too large to address"))
                .help("no machine has that much memory; look for a wrong size")),
        }
    }

    /// Row-major strides in elements.
    pub fn strides(&self) -> [isize; MAX_RANK] {
        let mut strides = [0; MAX_RANK];
        let mut step = 1usize;
        for axis in (0..self.rank()).rev() {
            strides[axis] = step as isize;
            step = step.saturating_mul(self.dims[axis]);
        }
        strides
    }

    /// This shape with one size changed.
    #[must_use]
    pub fn with(&self, axis: usize, size: usize) -> Shape {
        let mut out = *self;
        if let Some(d) = out.dims.get_mut(axis) {
            *d = size;
        }
        out
    }

    /// This shape with an axis inserted; unchanged when it is full.
    #[must_use]
    pub fn insert(&self, axis: usize, size: usize) -> Shape {
        let mut dims = smallvec::SmallVec::<[usize; MAX_RANK]>::from_slice(self.dims());
        dims.insert(axis.min(dims.len()), size);
        Shape::new(&dims)
    }

    /// This shape without an axis.
    #[must_use]
    pub fn remove(&self, axis: usize) -> Shape {
        let mut out = Shape::SCALAR;
        for (i, &d) in self.dims().iter().enumerate() {
            if i != axis {
                out.dims[out.rank as usize] = d;
                out.rank += 1;
            }
        }
        out
    }

    /// The common shape of two operands as in NumPy, if there is one.
    pub fn broadcast(&self, other: &Shape) -> Option<Shape> {
        if self == other {
            return Some(*self);
        }
        let rank = self.rank().max(other.rank());
        let mut out = Shape { rank: rank as u8, dims: [1; MAX_RANK] };
        for back in 0..rank {
            let (a, b) = (self.last(back), other.last(back));
            out.dims[rank - 1 - back] = match (a, b) {
                _ if a == b => a,
                (1, _) => b,
                (_, 1) => a,
                _ => return None,
            };
        }
        Some(out)
    }
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.dims(), f)
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.dims(), f)
    }
}

impl From<&[usize]> for Shape {
    fn from(dims: &[usize]) -> Shape {
        Shape::new(dims)
    }
}
impl From<&Vec<usize>> for Shape {
    fn from(dims: &Vec<usize>) -> Shape {
        Shape::new(dims)
    }
}
impl From<Vec<usize>> for Shape {
    fn from(dims: Vec<usize>) -> Shape {
        Shape::new(&dims)
    }
}
impl<const N: usize> From<[usize; N]> for Shape {
    fn from(dims: [usize; N]) -> Shape {
        Shape::new(&dims)
    }
}
impl<const N: usize> From<&[usize; N]> for Shape {
    fn from(dims: &[usize; N]) -> Shape {
        Shape::new(dims)
    }
}
impl From<usize> for Shape {
    fn from(size: usize) -> Shape {
        Shape::new(&[size])
    }
}
impl From<()> for Shape {
    fn from(_: ()) -> Shape {
        Shape::SCALAR
    }
}
