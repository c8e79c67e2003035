//! Operations without operands: numbers, random numbers, indices.

use std::f64::consts::TAU;

use gradus_kernels::memory::KernelError;
use gradus_kernels::philox::philox4x32;
use gradus_kernels::program::RandomKey;

use super::Result;
use super::elementwise::convert;
use super::values::{Values, axis_of, places};
use crate::array::Array;
use crate::ops::{Dist, Meta};

/// One number, converted to the result's type.
pub(super) fn number(value: f64, out: Meta) -> Result<Array> {
    convert(Values::Real(vec![value; out.shape.numel()]), out.dtype).into_array(out)
}

/// The index of each element along an axis.
pub(super) fn index(axis: u8, out: Meta) -> Result<Array> {
    let axis = axis_of(axis, out.shape)?;
    Values::Whole(places(out.shape).map(|place| place[axis] as i64).collect()).into_array(out)
}

/// Random numbers that depend on the key and the element's number only. They are f32; an f64 tensor
/// gets the same ones.
pub(super) fn random(dist: Dist, key: RandomKey, out: Meta) -> Result<Array> {
    if !out.dtype.is_float() {
        return Err(KernelError::Type("random numbers are real"));
    }
    let draw: fn([u32; 4]) -> [f64; 4] = match dist {
        Dist::Uniform => |words| words.map(unit),
        Dist::Normal => |[a, b, c, d]| {
            let ([x, y], [z, w]) = (box_muller(a, b), box_muller(c, d));
            [x, y, z, w]
        },
    };
    let four = |counter: usize| {
        let counter = counter as u64;
        let words = [counter as u32, (counter >> 32) as u32, key.draw, key.stream];
        draw(philox4x32(words, [key.seed as u32, (key.seed >> 32) as u32]))
    };
    // One counter gives the numbers of four elements.
    let numbers = (0..out.shape.numel().div_ceil(4)).flat_map(four).take(out.shape.numel());
    Values::Real(numbers.map(|x| f64::from(x as f32)).collect()).into_array(out)
}

/// The upper 24 bits as a number in [0, 1).
fn unit(word: u32) -> f64 {
    f64::from(word >> 8) / 16_777_216.0
}

/// Two independent normal numbers from two words: a radius and an angle.
fn box_muller(a: u32, b: u32) -> [f64; 2] {
    // In (0, 1], so that the logarithm is finite.
    let u = unit(a) + 1.0 / 16_777_216.0;
    let radius = (-2.0 * libm::log(u)).sqrt();
    // The nearest quarter of a turn is taken off first: unlike the multiples of pi / 2, it is exact.
    let quarter = (4.0 * unit(b)).round();
    let rest = TAU * (unit(b) - quarter / 4.0);
    let (sin, cos) = (libm::sin(rest), libm::cos(rest));
    match quarter as u8 % 4 {
        0 => [radius * cos, radius * sin],
        1 => [radius * -sin, radius * cos],
        2 => [radius * -cos, radius * -sin],
        _ => [radius * sin, radius * -cos],
    }
}
