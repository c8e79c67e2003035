//! Operands for samples: the same numbers in every run.

use gradus_kernels::memory::Storage;

use crate::array::Array;
use crate::graph::dtype::Scalar;
use crate::graph::shape::Shape;

/// A stream of well-mixed numbers (splitmix64).
struct Mix(u64);

impl Mix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// In [0, 1).
    fn unit(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1u64 << 24) as f32
    }
}

fn make<T: Scalar>(shape: &[usize], seed: u64, mut f: impl FnMut(&mut Mix) -> T) -> Array {
    let shape = Shape::new(shape);
    let mut mix = Mix(seed ^ (shape.numel() as u64) << 32);
    let data: Vec<T::Repr> = (0..shape.numel()).map(|_| f(&mut mix).to_repr()).collect();
    Array::from_storage(Storage::from_slice(&data), shape, T::DTYPE)
}

/// Exactly these elements, one axis.
pub(super) fn exact<T: Scalar>(data: &[T]) -> Array {
    let repr: Vec<T::Repr> = data.iter().map(|&v| v.to_repr()).collect();
    Array::from_storage(Storage::from_slice(&repr), Shape::new(&[data.len()]), T::DTYPE)
}

/// f32 of both signs, at least 0.1 away from every integer and from every half.
pub(super) fn any(shape: &[usize], seed: u64) -> Array {
    make(shape, seed, |m| (m.next() % 4) as f32 - 2.0 + 0.1 + 0.3 * m.unit())
}

/// f32 between 0.3 and 1.8.
pub(super) fn positive(shape: &[usize], seed: u64) -> Array {
    make(shape, seed, |m| 0.3 + 1.5 * m.unit())
}

/// f32 between 0.05 and 0.95.
pub(super) fn unit(shape: &[usize], seed: u64) -> Array {
    make(shape, seed, |m| 0.05 + 0.9 * m.unit())
}

/// f32 between 1.3 and 2.8.
pub(super) fn beyond(shape: &[usize], seed: u64) -> Array {
    make(shape, seed, |m| 1.3 + 1.5 * m.unit())
}

/// i64 in `0..below`.
pub(super) fn ids(shape: &[usize], below: u64, seed: u64) -> Array {
    make(shape, seed, |m| (m.next() % below.max(1)) as i64)
}

/// i64 from -9 to 9, without 0.
pub(super) fn whole(shape: &[usize], seed: u64) -> Array {
    make(shape, seed, |m| {
        let size = (m.next() % 9) as i64 + 1;
        if m.next().is_multiple_of(2) { size } else { -size }
    })
}

/// bool.
pub(super) fn truth(shape: &[usize], seed: u64) -> Array {
    make(shape, seed, |m| m.next().is_multiple_of(2))
}

/// f32 where surprises are: zeros of both signs, halves, subnormals, the largest, infinite, NaN.
pub(super) fn edges() -> Array {
    exact(&[
        0.0f32,
        -0.0,
        0.5,
        -0.5,
        1.5,
        2.5,
        1.0,
        -1.0,
        1e-40,
        -1e-40,
        f32::MIN_POSITIVE,
        88.0,
        -88.0,
        104.0,
        -104.0,
        1e10,
        f32::MAX,
        f32::MIN,
        f32::INFINITY,
        f32::NEG_INFINITY,
        f32::NAN,
    ])
}

/// f32 where the surprises of composed operations are: no number whose square or exponential leaves
/// the range.
pub(super) fn mild_edges() -> Array {
    let (inf, nan) = (f32::INFINITY, f32::NAN);
    exact(&[0.0f32, -0.0, 0.5, -0.5, 1.5, 2.5, 1.0, -1.0, 3.0, -3.0, inf, -inf, nan])
}

/// i64 where surprises are.
pub(super) fn whole_edges() -> Array {
    exact(&[0i64, 1, -1, i64::MAX, i64::MIN, (1 << 53) + 1])
}
