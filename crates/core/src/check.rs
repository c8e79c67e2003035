//! Numerical gradient checks, public: use them on your own functions and layers.
//!
//! A gradient is a claim about nearby values, so it can be tested: move one input element a little
//! to both sides, and see how far the result moves. The checks here do that for every element, in
//! f64, where differences are good to about ten digits.
//!
//! ```
//! use gradus_core::{Array, check};
//! let x = Array::new([2, 3], &[0.5f32, -1.0, 2.0, 0.1, -0.3, 0.7])?;
//! let w = Array::new([3], &[1.0f32, -2.0, 0.5])?;
//! check::gradients(|v| (&v[0] * &v[1]).tanh(), &[x.clone(), w.clone()])?;
//! check::second_order(|v| (&v[0] * &v[1]).tanh(), &[x, w])?;
//! # Ok::<(), gradus_core::Error>(())
//! ```

use crate::array::Array;
use crate::error::{Code, Error, Result};
use crate::graph::dtype::DType;
use crate::graph::recorder;
use crate::graph::shape::Shape;
use crate::tensor::Tensor;

/// How a check is done.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Options {
    /// How far an element is moved, times `max(1, |element| / 1000)`.
    pub step: f64,
    /// The allowed difference, times `max(1, |gradient|)`.
    pub tolerance: f64,
    /// Seed of the random weights on the elements of the result.
    pub seed: u64,
    /// At most this many elements of each input are moved, evenly spaced.
    pub elements: usize,
}

impl Default for Options {
    fn default() -> Options {
        Options { step: 1e-5, tolerance: 1e-6, seed: 17, elements: usize::MAX }
    }
}

/// Checks the gradients of `f` for all its float inputs against central differences.
///
/// The inputs are cast to f64 (integers and bools stay), so `f` has to be written without a fixed
/// float type. The result is weighted with random numbers and summed; random draws in `f` are the
/// same at each evaluation. An input that the result does not depend on has a gradient of zero.
///
/// # Errors
/// [`Code::Gradient`] with the input, the element and both numbers where they differ;
/// [`Code::DType`] when the result is not f64; any error of `f`.
pub fn gradients(f: impl Fn(&[Tensor]) -> Tensor, inputs: &[Array]) -> Result<()> {
    gradients_with(&Options::default(), f, inputs)
}

/// [`gradients`] with other [`Options`].
///
/// # Errors
/// As [`gradients`].
pub fn gradients_with(
    options: &Options,
    f: impl Fn(&[Tensor]) -> Tensor,
    inputs: &[Array],
) -> Result<()> {
    compare(options, "gradient", |xs| weighted(&f(xs), options.seed), inputs)
}

/// Checks the second derivatives of `f`: the gradients are weighted with random numbers and summed,
/// and the gradients of that sum (Hessian-vector products) are compared with differences of it.
///
/// It says nothing about the gradients themselves: check those too.
///
/// # Errors
/// As [`gradients`].
pub fn second_order(f: impl Fn(&[Tensor]) -> Tensor, inputs: &[Array]) -> Result<()> {
    second_order_with(&Options::default(), f, inputs)
}

/// [`second_order`] with other [`Options`].
///
/// # Errors
/// As [`gradients`].
pub fn second_order_with(
    options: &Options,
    f: impl Fn(&[Tensor]) -> Tensor,
    inputs: &[Array],
) -> Result<()> {
    let seed = options.seed;
    let sum_of_gradients = |xs: &[Tensor]| -> Result<Tensor> {
        let y = weighted(&f(xs), seed)?;
        let mut total = Tensor::exact((), &[0.0f64]);
        for (i, g) in reached(&y, xs)?.into_iter().enumerate() {
            if let Some(g) = g {
                total = total + weighted(&g, seed + 1 + i as u64)?;
            }
        }
        Ok(total)
    };
    compare(options, "second derivative", sum_of_gradients, inputs)
}

/// `sum(y * weights)`, with weights between 0.5 and 1.5 in size and of random sign.
fn weighted(y: &Tensor, seed: u64) -> Result<Tensor> {
    let (shape, dtype) = (y.shape()?, y.dtype()?);
    if dtype != DType::F64 {
        let text = format!("check: the function returns {dtype} for f64 inputs");
        let help = "write it without casts to a fixed type; integers and bools have no gradient";
        return Err(Error::new(Code::DType, text).help(help));
    }
    let drawn = crate::random::Rng::new(seed).uniform(shape, -1.0, 1.0)?;
    let weights: Vec<f64> = drawn.to_f64().iter().map(|v| v + 0.5f64.copysign(*v)).collect();
    Ok((y * Tensor::from(Array::new(shape, &weights)?)).sum())
}

/// The gradient of a scalar for each float input; `None` for those that it does not depend on.
fn reached(y: &Tensor, xs: &[Tensor]) -> Result<Vec<Option<Tensor>>> {
    let one = |x: &Tensor| match y.grad(x) {
        Ok(g) => Ok(Some(g)),
        Err(error) if error.code() == Code::Gradient => Ok(None),
        Err(error) => Err(error),
    };
    let float = |x: &Tensor| x.dtype().is_ok_and(DType::is_float);
    if !y.requires_grad() {
        return Ok(vec![None; xs.len()]);
    }
    xs.iter().map(|x| if float(x) { one(x) } else { Ok(None) }).collect()
}

/// Fresh leaves; those that are floats have gradients.
fn leaves(arrays: &[Array]) -> Vec<Tensor> {
    let leaf = |a: &Array| {
        let t = Tensor::from_array(a);
        if a.dtype().is_float() { t.with_grad() } else { t }
    };
    arrays.iter().map(leaf).collect()
}

/// Compares the gradients of the scalar `f` with its differences.
fn compare(
    options: &Options,
    what: &str,
    f: impl Fn(&[Tensor]) -> Result<Tensor>,
    inputs: &[Array],
) -> Result<()> {
    let widen = |a: &Array| match a.dtype() {
        DType::F32 => Array::new(a.shape(), &a.to_f64()),
        _ => Ok(a.clone()),
    };
    let mut arrays: Vec<Array> = inputs.iter().map(widen).collect::<Result<_>>()?;
    // Every evaluation draws the same random numbers.
    let streams = recorder::with(|r| r.streams);
    let start = |arrays: &[Array]| -> Result<(Vec<Tensor>, Tensor)> {
        recorder::with(|r| r.streams = streams);
        let xs = leaves(arrays);
        let y = f(&xs)?;
        Ok((xs, y))
    };
    let value = |arrays: &[Array]| start(arrays)?.1.item();
    let (xs, y) = start(&arrays)?;
    let here = y.item()?;
    let claims: Vec<Option<Array>> = reached(&y, &xs)?
        .into_iter()
        .map(|g| g.map(|g| g.to_array()).transpose())
        .collect::<Result<_>>()?;
    drop((xs, y));
    for (i, claim) in claims.into_iter().enumerate() {
        let input = arrays[i].clone();
        if !input.dtype().is_float() {
            continue;
        }
        let (values, claim) = (input.to_f64(), claim.map(|c| c.to_f64()));
        let stride = values.len().div_ceil(options.elements.max(1)).max(1);
        for k in (0..values.len()).step_by(stride) {
            let mut at = |x: f64| -> Result<f64> {
                let mut moved = values.clone();
                moved[k] = x;
                arrays[i] = Array::new(input.shape(), &moved)?;
                value(&arrays)
            };
            let h = options.step * (values[k].abs() / 1000.0).max(1.0);
            let (right, left) = (values[k] + h, values[k] - h);
            let (above, below) = (at(right)?, at(left)?);
            let measured = (above - below) / (right - left);
            let claimed = claim.as_ref().map_or(0.0, |c| c.get(k).copied().unwrap_or(f64::NAN));
            let noise = 64.0 * f64::EPSILON * above.abs().max(below.abs()) / h;
            let allowed = options.tolerance * measured.abs().max(claimed.abs()).max(1.0) + noise;
            if (measured - claimed).abs() <= allowed {
                continue;
            }
            let slopes =
                ((here - below) / (values[k] - left), (above - here) / (right - values[k]));
            return Err(Wrong {
                what,
                input: i,
                at: place(k, input.shape()),
                element: values[k],
                claimed,
                measured,
                slopes,
                reached: claim.is_some(),
            }
            .error());
        }
        arrays[i] = input;
    }
    Ok(())
}

/// A difference that was found.
struct Wrong<'a> {
    what: &'a str,
    input: usize,
    at: Vec<usize>,
    element: f64,
    claimed: f64,
    measured: f64,
    /// From the left and from the right.
    slopes: (f64, f64),
    reached: bool,
}

impl Wrong<'_> {
    fn error(&self) -> Error {
        let Wrong { what, input, at, element, claimed, measured, .. } = self;
        let text = format!(
            "check: the {what} for input {input} at {at:?} is {claimed:.9}, differences give \
             {measured:.9}"
        );
        let (left, right) = self.slopes;
        let error = Error::new(Code::Gradient, text)
            .line("element", format!("{element}"))
            .line("slopes", format!("{left:.6} from the left, {right:.6} from the right"));
        let scale = left.abs().max(right.abs()).max(1.0);
        error.help(if !measured.is_finite() {
            "the function is not finite near this element; choose inputs inside its domain"
        } else if (left - right).abs() > 1e-2 * scale {
            "the two slopes differ: a kink or a jump is near (|x| at 0, a tie of max, rounding); \
             move the input away from it"
        } else if !self.reached {
            "no gradient reaches this input: is it detached, cast to an integer, or compared?"
        } else {
            "the function is smooth here, so the gradient rule is wrong, or the step unsuitable"
        })
    }
}

/// The index along each axis of element `k`.
fn place(mut k: usize, shape: Shape) -> Vec<usize> {
    let mut at = vec![0; shape.rank()];
    for (index, &size) in at.iter_mut().zip(shape.dims()).rev() {
        *index = k % size.max(1);
        k /= size.max(1);
    }
    at
}
