//! Initial values, from the global seed's init stream.
//!
//! Every function takes a shape first and returns an [`Array`]; layers take them through
//! `with_init`. Formulas and defaults are PyTorch's.

mod structured;

pub use structured::{dirac, eye, orthogonal, sparse, trunc_normal};

use gradus_core::{Array, Code, DType, Error, Result, Shape, init_normal, init_uniform};

/// Zeros, f32.
///
/// # Errors
/// A shape that is too large.
pub fn zeros(shape: impl Into<Shape>) -> Result<Array> {
    Array::zeros(shape, DType::F32)
}

/// Ones, f32.
///
/// # Errors
/// A shape that is too large.
pub fn ones(shape: impl Into<Shape>) -> Result<Array> {
    constant(shape, 1.0)
}

/// One value everywhere, f32.
///
/// # Errors
/// A shape that is too large.
pub fn constant(shape: impl Into<Shape>, value: f32) -> Result<Array> {
    Array::build::<f32>(shape, |out| out.fill(value))
}

/// Normal with a mean and a standard deviation.
///
/// # Errors
/// [`Code::Argument`] when `std` is negative or not finite.
pub fn normal(shape: impl Into<Shape>, mean: f32, std: f32) -> Result<Array> {
    if !(mean.is_finite() && std.is_finite() && std >= 0.0) {
        return Err(argument(format!(
            "init::normal: mean {mean} and standard deviation {std} are not finite, or negative"
        )));
    }
    init_normal(shape, mean, std)
}

/// Uniform in `[low, high)`.
///
/// # Errors
/// [`Code::Argument`] when `low > high` or one is not finite.
pub fn uniform(shape: impl Into<Shape>, low: f32, high: f32) -> Result<Array> {
    if !(low.is_finite() && high.is_finite() && low <= high) {
        return Err(argument(format!("init::uniform: [{low}, {high}) is not a range")));
    }
    init_uniform(shape, low, high)
}

/// Uniform in `±gain * sqrt(6 / (fan_in + fan_out))`: keeps the variance of activations and of
/// gradients. Glorot and Bengio, 2010.
///
/// ```
/// use gradus_nn::init::{self, Nonlinearity};
/// let weight = init::xavier_uniform([256, 128], Nonlinearity::Tanh.gain())?;
/// assert!(weight.to_f64().iter().all(|w| w.abs() <= 5.0 / 3.0 * 0.125));
/// # Ok::<(), gradus_core::Error>(())
/// ```
///
/// # Errors
/// [`Code::Shape`] for fewer than two axes.
pub fn xavier_uniform(shape: impl Into<Shape>, gain: f64) -> Result<Array> {
    let shape = shape.into();
    let (fan_in, fan_out) = fans(shape)?;
    let bound = gain * libm::sqrt(6.0 / (fan_in + fan_out));
    symmetric(shape, bound)
}

/// Normal with standard deviation `gain * sqrt(2 / (fan_in + fan_out))`. Glorot and Bengio, 2010.
///
/// # Errors
/// [`Code::Shape`] for fewer than two axes.
pub fn xavier_normal(shape: impl Into<Shape>, gain: f64) -> Result<Array> {
    let shape = shape.into();
    let (fan_in, fan_out) = fans(shape)?;
    centred(shape, gain * libm::sqrt(2.0 / (fan_in + fan_out)))
}

/// Uniform in `±gain * sqrt(3 / fan)`: keeps the variance through rectifiers. He et al., 2015.
///
/// # Errors
/// [`Code::Shape`] for fewer than two axes.
pub fn kaiming_uniform(
    shape: impl Into<Shape>,
    fan: Fan,
    nonlinearity: Nonlinearity,
) -> Result<Array> {
    let shape = shape.into();
    let fan = fan.of(fans(shape)?);
    symmetric(shape, nonlinearity.gain() * libm::sqrt(3.0 / fan))
}

/// Normal with standard deviation `gain / sqrt(fan)`. He et al., 2015.
///
/// # Errors
/// [`Code::Shape`] for fewer than two axes.
pub fn kaiming_normal(
    shape: impl Into<Shape>,
    fan: Fan,
    nonlinearity: Nonlinearity,
) -> Result<Array> {
    let shape = shape.into();
    let fan = fan.of(fans(shape)?);
    centred(shape, nonlinearity.gain() / libm::sqrt(fan))
}

/// Uniform in `±sqrt(3 / fan_in)`: keeps the variance of activations through a linear layer. LeCun et
/// al., 1998.
///
/// ```
/// use gradus_nn::init;
/// let weight = init::lecun_uniform([64, 300])?;
/// assert!(weight.to_f64().iter().all(|w| w.abs() <= 0.1));
/// # Ok::<(), gradus_core::Error>(())
/// ```
///
/// # Errors
/// [`Code::Shape`] for fewer than two axes.
pub fn lecun_uniform(shape: impl Into<Shape>) -> Result<Array> {
    kaiming_uniform(shape, Fan::In, Nonlinearity::Linear)
}

/// Normal with standard deviation `1 / sqrt(fan_in)`: what self-normalising networks (SELU) need. LeCun
/// et al., 1998; Klambauer et al., 2017.
///
/// # Errors
/// [`Code::Shape`] for fewer than two axes.
pub fn lecun_normal(shape: impl Into<Shape>) -> Result<Array> {
    kaiming_normal(shape, Fan::In, Nonlinearity::Linear)
}

/// Which variance Kaiming's initialisers keep.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fan {
    /// That of activations, forward.
    #[default]
    In,
    /// That of gradients, backward.
    Out,
}

impl Fan {
    fn of(self, (fan_in, fan_out): (f64, f64)) -> f64 {
        match self {
            Fan::In => fan_in,
            Fan::Out => fan_out,
        }
    }
}

/// What follows a layer; its gain makes up for the variance that it takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Nonlinearity {
    /// Nothing, gain 1; also for convolutions.
    Linear,
    /// Gain 1.
    Sigmoid,
    /// Gain 5/3.
    Tanh,
    /// Gain `sqrt(2)`.
    Relu,
    /// Gain `sqrt(2 / (1 + slope^2))`, with the slope for negative values (0.01 if unsure).
    LeakyRelu(f64),
    /// Gain 3/4.
    Selu,
}

impl Nonlinearity {
    /// The factor for the standard deviation.
    pub fn gain(self) -> f64 {
        match self {
            Nonlinearity::Linear | Nonlinearity::Sigmoid => 1.0,
            Nonlinearity::Tanh => 5.0 / 3.0,
            Nonlinearity::Relu => std::f64::consts::SQRT_2,
            Nonlinearity::LeakyRelu(slope) => libm::sqrt(2.0 / (1.0 + slope * slope)),
            Nonlinearity::Selu => 0.75,
        }
    }
}

/// Inputs and outputs a unit has, for a weight `[out, in, ...]`; further axes are a window that
/// multiplies both.
///
/// # Errors
/// [`Code::Shape`] for fewer than two axes.
pub fn fans(shape: impl Into<Shape>) -> Result<(f64, f64)> {
    let shape = shape.into();
    let (Some(&fan_out), Some(&fan_in)) = (shape.dims().first(), shape.dims().get(1)) else {
        return Err(Error::new(
            Code::Shape,
            format!("an initialiser with fans needs two axes or more, not {shape}"),
        )
        .help("use `uniform`, `normal` or `zeros` for vectors such as a bias"));
    };
    let window: f64 = shape.dims().iter().skip(2).map(|&d| d as f64).product();
    Ok((fan_in as f64 * window, fan_out as f64 * window))
}

/// Uniform in `±bound`; a weight without elements has no finite bound and needs none.
pub(crate) fn symmetric(shape: Shape, bound: f64) -> Result<Array> {
    if shape.numel() == 0 {
        return zeros(shape);
    }
    uniform(shape, -bound as f32, bound as f32)
}

fn centred(shape: Shape, std: f64) -> Result<Array> {
    if shape.numel() == 0 {
        return zeros(shape);
    }
    normal(shape, 0.0, std as f32)
}

fn argument(text: String) -> Error {
    Error::new(Code::Argument, text)
}
