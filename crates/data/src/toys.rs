//! Tiny problems that show what a network can learn: logic gates, a line, blobs, moons, spirals.
//!
//! They are made from a seed by the generator of `rng.rs` and the `libm` crate, so the same call
//! gives the same bits on every machine.

use std::f64::consts::{PI, TAU};

use gradus_core::{Array, Code, Error, Result};

use crate::dataset::Dataset;
use crate::rng::{Draws, Purpose};

/// The four rows of a truth table: x f32 `[4, 2]`, y f32 `[4, 1]` of 0 and 1.
fn gate(name: &str, outputs: [f32; 4]) -> Result<Dataset> {
    let x = Array::new([4, 2], &[0.0f32, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0])?;
    let y = Array::new([4, 1], &outputs)?;
    Ok(Dataset::from_arrays(x, y)?.with_name(name))
}

/// Exclusive or, the gate that one layer cannot learn: two inputs, and 1 where they differ.
/// Targets are f32 `[4, 1]`, as a binary cross-entropy or a mean squared error wants them.
///
/// ```
/// let (x, y) = gradus_data::xor()?.arrays()?;
/// assert_eq!(x.as_slice::<f32>()?, [0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0]);
/// assert_eq!(y.as_slice::<f32>()?, [0.0, 1.0, 1.0, 0.0]);
/// # Ok::<(), gradus_core::Error>(())
/// ```
///
/// # Errors
/// None.
pub fn xor() -> Result<Dataset> {
    gate("xor", [0.0, 1.0, 1.0, 0.0])
}

/// Logical and, in the form of [`xor`].
///
/// # Errors
/// None.
pub fn and_gate() -> Result<Dataset> {
    gate("and", [0.0, 0.0, 0.0, 1.0])
}

/// Logical or, in the form of [`xor`].
///
/// # Errors
/// None.
pub fn or_gate() -> Result<Dataset> {
    gate("or", [0.0, 1.0, 1.0, 1.0])
}

/// Not-and, in the form of [`xor`].
///
/// # Errors
/// None.
pub fn nand_gate() -> Result<Dataset> {
    gate("nand", [1.0, 1.0, 1.0, 0.0])
}

/// Checks the arguments that the generators share.
fn check(call: &str, n: usize, spread: f64) -> Result<()> {
    let wrong = |why: &str| Err(Error::new(Code::Argument, format!("{call}: {why}")));
    if n == 0 {
        return wrong("n is 0, there must be at least one sample");
    }
    if !(spread.is_finite() && spread >= 0.0) {
        return wrong(&format!("the noise is {spread}, it must be finite and not negative"));
    }
    // Asked for first, because a `Vec` that finds no room ends the program.
    match Vec::<[f32; 4]>::new().try_reserve_exact(n) {
        Ok(()) => Ok(()),
        Err(_) => Err(Error::new(Code::Memory, format!("{call}: no memory for {n} samples"))),
    }
}

/// Points on the line `y = 2 x + 1` with noise: x even in `[-1, 1)`, f32 `[n, 1]`; y with normal
/// noise of standard deviation `noise`, f32 `[n, 1]`. The best mean squared error is `noise^2`.
///
/// ```
/// let (x, y) = gradus_data::noisy_line(50, 0.0, 0)?.arrays()?;
/// for (x, y) in x.as_slice::<f32>()?.iter().zip(y.as_slice::<f32>()?) {
///     assert!((y - (2.0 * x + 1.0)).abs() < 1e-6);
/// }
/// # Ok::<(), gradus_core::Error>(())
/// ```
///
/// # Errors
/// [`Code::Argument`] when `n` is 0 or `noise` is negative or not finite.
pub fn noisy_line(n: usize, noise: f64, seed: u64) -> Result<Dataset> {
    check("noisy_line", n, noise)?;
    let (draws, errors) = streams(seed);
    let (mut x, mut y) = (Vec::with_capacity(n), Vec::with_capacity(n));
    for i in 0..n as u64 {
        let at = 2.0 * draws.uniform(i) - 1.0;
        x.push(at as f32);
        y.push((2.0 * at + 1.0 + noise * errors.normal(i)) as f32);
    }
    let data = Dataset::from_arrays(Array::new([n, 1], &x)?, Array::new([n, 1], &y)?)?;
    Ok(data.with_name("noisy_line"))
}

fn streams(seed: u64) -> (Draws, Draws) {
    (Draws::new(Purpose::Generate, seed), Draws::new(Purpose::Noise, seed))
}

/// Points of two classes in turn, at `place(class, draw in [0, 1))`, with normal noise.
fn plane(
    name: &str,
    n: usize,
    noise: f64,
    seed: u64,
    place: impl Fn(usize, f64) -> (f64, f64),
) -> Result<Dataset> {
    check(name, n, noise)?;
    let (draws, errors) = streams(seed);
    let (mut x, mut y) = (Vec::with_capacity(n.saturating_mul(2)), Vec::with_capacity(n));
    for i in 0..n as u64 {
        let class = i % 2;
        let (a, b) = place(class as usize, draws.uniform(i));
        x.push((a + noise * errors.normal(2 * i)) as f32);
        x.push((b + noise * errors.normal(2 * i + 1)) as f32);
        y.push(class as i64);
    }
    let data = Dataset::from_arrays(Array::new([n, 2], &x)?, Array::new([n], &y)?)?;
    Ok(data.with_classes(2)?.with_name(name))
}

/// Two round clouds around (-1, -1) and (1, 1) with standard deviation `spread`: x f32 `[n, 2]`,
/// classes 0 and 1 in turn. A straight line separates them if `spread` is small.
///
/// # Errors
/// [`Code::Argument`] when `n` is 0 or `spread` is negative or not finite.
pub fn two_blobs(n: usize, spread: f64, seed: u64) -> Result<Dataset> {
    plane("two_blobs", n, spread, seed, |class, _| {
        let at = 2.0 * class as f64 - 1.0;
        (at, at)
    })
}

/// Two half circles that reach into each other, with normal noise: x f32 `[n, 2]`, classes 0 and 1
/// in turn. The shape of scikit-learn's `make_moons`.
///
/// ```
/// let moons = gradus_data::moons(200, 0.1, 0)?;
/// assert_eq!(moons.class_counts(), [100, 100]);
/// # Ok::<(), gradus_core::Error>(())
/// ```
///
/// # Errors
/// [`Code::Argument`] when `n` is 0 or `noise` is negative or not finite.
pub fn moons(n: usize, noise: f64, seed: u64) -> Result<Dataset> {
    plane("moons", n, noise, seed, |class, t| {
        let (sin, cos) = libm::sincos(PI * t);
        if class == 0 { (cos, sin) } else { (1.0 - cos, 0.5 - sin) }
    })
}

/// Two spirals wound around each other one and a half times, within radius 1, with normal noise:
/// x f32 `[n, 2]`, classes 0 and 1 in turn. Needs a hidden layer or two.
///
/// # Errors
/// [`Code::Argument`] when `n` is 0 or `noise` is negative or not finite.
pub fn spirals(n: usize, noise: f64, seed: u64) -> Result<Dataset> {
    plane("spirals", n, noise, seed, |class, t| {
        let radius = t.sqrt(); // as many points on the outer windings as their length asks for
        let (sin, cos) = libm::sincos(1.5 * TAU * radius + PI * class as f64);
        (radius * cos, radius * sin)
    })
}
