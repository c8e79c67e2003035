//! Random integers: in a range, as a permutation, by weights.

use std::panic::Location;

use super::Dist;
use super::creation::from_result;
use super::random::draw;
use crate::array::Array;
use crate::error::{Code, Error, Result};
use crate::graph::called::called;
use crate::graph::dtype::DType;
use crate::graph::recorder;
use crate::graph::shape::Shape;
use crate::random::Stream;
use crate::tensor::Tensor;

/// A draw has this many bits.
const BITS: u32 = 24;

impl Tensor {
    /// Uniform random i64 in `low..high`.
    ///
    /// At most 2^48 different values.
    ///
    /// ```
    /// use gradus_core::Tensor;
    /// let dice = Tensor::randint([2, 100], 1, 7);
    /// assert_eq!((dice.min().item()?, dice.max().item()?), (1.0, 6.0));
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    #[track_caller]
    pub fn randint(shape: impl Into<Shape>, low: i64, high: i64) -> Tensor {
        let _called = called("randint");
        let range = match high.checked_sub(low) {
            Some(range @ 1..) if range <= 1 << (2 * BITS) => range,
            Some(1..) | None => {
                let text = format!("randint: {low}..{high} has more than 2^48 values");
                return recorder::failed(Error::new(Code::Argument, text), Location::caller());
            }
            Some(_) => {
                let text = format!("randint: there is no integer in {low}..{high}");
                let help = "the first bound is included, the second is not";
                let error = Error::new(Code::Argument, text).help(help);
                return recorder::failed(error, Location::caller());
            }
        };
        let shape = shape.into();
        // Three draws of 24 bits: 62 bits, so that the remainder is as good as uniform.
        let mut bits = whole(shape, BITS);
        for n in [BITS, 62 - 2 * BITS] {
            bits = bits * (1i64 << n) + whole(shape, n);
        }
        bits % range + low
    }

    /// The integers `0..n` in random order, i64. The order is drawn at once.
    ///
    /// ```
    /// use gradus_core::Tensor;
    /// let mut order = Tensor::randperm(5).to_vec::<i64>()?;
    /// order.sort();
    /// assert_eq!(order, [0, 1, 2, 3, 4]);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    #[track_caller]
    pub fn randperm(n: usize) -> Tensor {
        let _called = called("randperm");
        let place = Location::caller();
        match uniforms(n) {
            Ok(noise) => from_result(Array::build::<i64>([n], |out| shuffle(out, &noise))),
            Err(error) => recorder::failed(error, place),
        }
    }

    /// `count` random positions by weight: of a vector of weights, or of each row of a matrix.
    ///
    /// Weights are not negative and need not sum to 1. With `replacement` a position can come again;
    /// without it they come in the order in which they would be drawn one by one. The result is i64,
    /// `[count]` or `[rows, count]`. It reads the weights, and gradients do not flow through it.
    ///
    /// ```
    /// use gradus_core::Tensor;
    /// let ids = Tensor::from([0.0, 3.0, 0.0, 1.0]).multinomial(2, false).to_vec::<i64>()?;
    /// assert!(ids == [1, 3] || ids == [3, 1]);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    #[track_caller]
    #[must_use]
    pub fn multinomial(&self, count: usize, replacement: bool) -> Tensor {
        let _called = called("multinomial");
        let place = Location::caller();
        match self.picked(count, replacement) {
            Ok(array) => recorder::leaf(array, false, place),
            Err(error) => recorder::failed(error, place),
        }
    }

    fn picked(&self, count: usize, replacement: bool) -> Result<Array> {
        let shape = self.shape()?;
        let (rows, n) = match *shape.dims() {
            [n] => (1, n),
            [rows, n] => (rows, n),
            _ => {
                let text = format!("multinomial: weights {shape} are no vector and no matrix");
                return Err(Error::new(Code::Shape, text));
            }
        };
        let wrong = |row: usize, why: String| {
            let of = if shape.rank() == 2 { format!(" of row {row}") } else { String::new() };
            Error::new(Code::Argument, format!("multinomial: the weights{of} {why}"))
        };
        let weights = self.to_array()?.to_f64();
        let draws = if replacement { count } else { n };
        let total = rows.saturating_mul(draws);
        let noise = uniforms(total)?;
        let out_shape = if shape.rank() == 2 { vec![rows, count] } else { vec![count] };
        let mut out = Vec::new();
        for row in 0..rows {
            let weights = weights.get(row * n..(row + 1) * n).unwrap_or(&[]);
            let noise = noise.get(row * draws..(row + 1) * draws).unwrap_or(&[]);
            if let Some(at) = weights.iter().position(|w| !(*w >= 0.0 && w.is_finite())) {
                return Err(wrong(row, format!("have {} at {at}", weights[at])));
            }
            let positive = weights.iter().filter(|&&w| w > 0.0).count();
            let needed = if replacement { count.min(1) } else { count };
            if positive < needed {
                let text = format!("have {positive} positive ones, {needed} are needed");
                return Err(wrong(row, text).help("draw fewer, or with replacement"));
            }
            match replacement {
                true => again(weights, noise, &mut out),
                false => once(weights, noise, count, &mut out),
            }
        }
        Array::new(out_shape, &out)
    }
}

/// Positions with replacement: where each draw falls among the running sums.
fn again(weights: &[f64], noise: &[f64], out: &mut Vec<i64>) {
    let mut total = 0.0;
    let mut sums = Vec::with_capacity(weights.len());
    for w in weights {
        total += w;
        sums.push(total);
    }
    let last = weights.iter().rposition(|&w| w > 0.0).unwrap_or(0);
    for u in noise {
        // The first running sum above the draw; rounding cannot lead past the last weight.
        out.push(sums.partition_point(|&s| s <= u * total).min(last) as i64);
    }
}

/// Positions without replacement: the first arrivals of exponential clocks that tick by weight
/// (Efraimidis and Spirakis, 2006).
fn once(weights: &[f64], noise: &[f64], count: usize, out: &mut Vec<i64>) {
    let mut clocks: Vec<(f64, usize)> = Vec::new();
    for (i, (&w, &u)) in weights.iter().zip(noise).enumerate() {
        if w > 0.0 {
            clocks.push((-(1.0 - u).ln() / w, i));
        }
    }
    clocks.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    out.extend(clocks.iter().take(count).map(|&(_, i)| i as i64));
}

/// Writes `0..n` in random order (Fisher and Yates).
fn shuffle(out: &mut [i64], noise: &[f64]) {
    for (i, o) in out.iter_mut().enumerate() {
        *o = i as i64;
    }
    for (i, u) in (1..out.len()).zip(noise).rev() {
        out.swap(i, ((u * (i + 1) as f64) as usize).min(i));
    }
}

/// Random integers of `bits` bits, at most 24.
#[track_caller]
fn whole(shape: Shape, bits: u32) -> Tensor {
    let noise = draw(Dist::Uniform, shape, Stream::User);
    // The noise is a multiple of 2^-24, so this is exact.
    (noise * f64::from(1u32 << bits)).floor().cast(DType::I64)
}

/// Random numbers in `[0, 1)` of 48 bits, now.
fn uniforms(n: usize) -> Result<Vec<f64>> {
    let shape = Shape::new(&[n]);
    shape.check("random")?;
    let (high, low) =
        (draw(Dist::Uniform, shape, Stream::User), draw(Dist::Uniform, shape, Stream::User));
    let (high, low) = (high.to_array()?.to_f64(), low.to_array()?.to_f64());
    let small = f64::from(1u32 << BITS).recip();
    Ok(high.iter().zip(&low).map(|(h, l)| h + l * small).collect())
}
