//! Initial values with a structure: orthogonal, sparse, identity, and a cut normal.

use gradus_core::{Array, Code, Error, Result, Shape, Tensor, init_normal, init_uniform};

use super::{argument, normal, uniform, zeros};

/// Normal with a mean and a standard deviation, without what is outside `[low, high]`.
///
/// By inversion: uniform numbers through the inverse of the cut distribution, as in PyTorch.
///
/// ```
/// use gradus_nn::init;
/// let weight = init::trunc_normal([64, 64], 0.0, 0.02, -0.04, 0.04)?;
/// assert!(weight.to_f64().iter().all(|w| w.abs() <= 0.0400001));
/// # Ok::<(), gradus_core::Error>(())
/// ```
///
/// # Errors
/// [`Code::Argument`] when `std` is not above 0, `low > high`, or one is not finite.
pub fn trunc_normal(
    shape: impl Into<Shape>,
    mean: f64,
    std: f64,
    low: f64,
    high: f64,
) -> Result<Array> {
    let finite = [mean, std, low, high].iter().all(|v| v.is_finite());
    if !(finite && std > 0.0 && low <= high) {
        return Err(argument(format!(
            "init::trunc_normal: mean {mean}, standard deviation {std} and [{low}, {high}] make no law"
        )));
    }
    // The error function is the distribution, from -1 to 1 instead of 0 to 1.
    let width = std * std::f64::consts::SQRT_2;
    let law = |x: f64| libm::erf((x - mean) / width) as f32;
    let drawn = Tensor::from(uniform(shape, law(low), law(high))?);
    (drawn.erfinv() * width + mean).clamp(low, high).to_array()
}

/// Rows (or columns, if there are fewer) that are orthogonal and `gain` long; drawn evenly among all
/// such matrices. More than two axes count as `[first, all others]`. Saxe et al., 2014.
///
/// ```
/// use gradus_core::Tensor;
/// use gradus_nn::init;
/// let w = Tensor::from(init::orthogonal([4, 6], 1.0)?);
/// let apart = (w.matmul(w.t()) - Tensor::eye(4)).abs().max();
/// assert!(apart.item()? < 1e-6);
/// # Ok::<(), gradus_core::Error>(())
/// ```
///
/// # Errors
/// [`Code::Shape`] for fewer than two axes; [`Code::Argument`] for a gain that is not finite.
pub fn orthogonal(shape: impl Into<Shape>, gain: f64) -> Result<Array> {
    let shape = shape.into();
    if !gain.is_finite() {
        return Err(argument(format!("init::orthogonal: the gain {gain} is not finite")));
    }
    let Some((&rows, others)) = shape.dims().split_first().filter(|(_, o)| !o.is_empty()) else {
        return Err(axes("orthogonal", "two axes or more", shape));
    };
    if shape.numel() == 0 {
        return zeros(shape);
    }
    let columns: usize = others.iter().product();
    let (count, length) = (rows.min(columns), rows.max(columns));
    let drawn = init_normal([count, length], 0.0, 1.0)?.to_f64();
    let mut vectors: Vec<Vec<f64>> = Vec::with_capacity(count);
    for mut v in drawn.chunks(length).map(<[f64]>::to_vec) {
        // Once takes away what the others have; twice also what rounding left of it.
        for _ in 0..2 {
            for other in &vectors {
                let along = dot(&v, other);
                v.iter_mut().zip(other).for_each(|(a, b)| *a -= along * b);
            }
        }
        let norm = libm::sqrt(dot(&v, &v));
        v.iter_mut().for_each(|a| *a /= norm);
        vectors.push(v);
    }
    let at = |row: usize, column: usize| {
        let (vector, i) = if rows <= columns { (row, column) } else { (column, row) };
        vectors.get(vector).and_then(|v| v.get(i)).copied().unwrap_or(0.0)
    };
    Array::build::<f32>(shape, |out| {
        for (i, value) in out.iter_mut().enumerate() {
            *value = (gain * at(i / columns, i % columns)) as f32;
        }
    })
}

/// A sum in eight lanes, which the compiler makes vectors of; the order is fixed.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut lanes = [0.0; 8];
    let (a8, b8) = (a.chunks_exact(8), b.chunks_exact(8));
    let rest: f64 = a8.remainder().iter().zip(b8.remainder()).map(|(x, y)| x * y).sum();
    for (a, b) in a8.zip(b8) {
        for ((lane, x), y) in lanes.iter_mut().zip(a).zip(b) {
            *lane += x * y;
        }
    }
    lanes.iter().sum::<f64>() + rest
}

/// Normal with mean 0, but in each column a part of the elements (`sparsity`, rounded up) is 0.
/// Martens, 2010.
///
/// ```
/// use gradus_nn::init;
/// let weight = init::sparse([10, 4], 0.25, 0.01)?;
/// assert_eq!(weight.to_f64().iter().filter(|w| **w == 0.0).count(), 4 * 3);
/// # Ok::<(), gradus_core::Error>(())
/// ```
///
/// # Errors
/// [`Code::Shape`] for other than two axes; [`Code::Argument`] for a part that is not from 0 to 1.
pub fn sparse(shape: impl Into<Shape>, sparsity: f64, std: f64) -> Result<Array> {
    let shape = shape.into();
    let &[rows, columns] = shape.dims() else {
        return Err(axes("sparse", "two axes", shape));
    };
    if !(0.0..=1.0).contains(&sparsity) {
        return Err(argument(format!(
            "init::sparse: the part {sparsity} of zeros is not in 0..=1"
        )));
    }
    let zeros = (sparsity * rows as f64).ceil() as usize;
    let mut values = normal(shape, 0.0, std as f32)?.to_vec::<f32>()?;
    // The rows of the smallest draws are as good as any.
    let draws = init_uniform([columns, rows], 0.0, 1.0)?.to_vec::<f32>()?;
    for (column, draws) in draws.chunks(rows.max(1)).enumerate() {
        let mut order: Vec<(usize, &f32)> = draws.iter().enumerate().collect();
        order.sort_by(|a, b| a.1.total_cmp(b.1));
        for (row, _) in order.into_iter().take(zeros) {
            if let Some(value) = values.get_mut(row * columns + column) {
                *value = 0.0;
            }
        }
    }
    Array::new(shape, &values)
}

/// Ones on the diagonal of a matrix, zeros beside it: a linear layer that passes its input on.
///
/// ```
/// use gradus_nn::init;
/// assert_eq!(init::eye([2, 3])?.to_f64(), [1.0, 0.0, 0.0, 0.0, 1.0, 0.0]);
/// # Ok::<(), gradus_core::Error>(())
/// ```
///
/// # Errors
/// [`Code::Shape`] for other than two axes.
pub fn eye(shape: impl Into<Shape>) -> Result<Array> {
    let shape = shape.into();
    let &[_, columns] = shape.dims() else {
        return Err(axes("eye", "two axes", shape));
    };
    Array::build::<f32>(shape, |out| {
        out.fill(0.0);
        out.iter_mut().step_by(columns + 1).take(columns).for_each(|value| *value = 1.0);
    })
}

/// The identity of a convolution's weight `[out, in / groups, window...]`: each output of a group
/// passes on one input, as many as there are.
///
/// ```
/// use gradus_nn::init;
/// assert_eq!(init::dirac([2, 1, 3], 1)?.to_f64(), [0.0, 1.0, 0.0, 0.0, 0.0, 0.0]);
/// # Ok::<(), gradus_core::Error>(())
/// ```
///
/// # Errors
/// [`Code::Shape`] for other than three to five axes; [`Code::Argument`] when the groups do not divide
/// the outputs.
pub fn dirac(shape: impl Into<Shape>, groups: usize) -> Result<Array> {
    let shape = shape.into();
    let (&[outputs, inputs, ..], 3..=5) = (shape.dims(), shape.rank()) else {
        return Err(axes("dirac", "three to five axes", shape));
    };
    if groups == 0 || !outputs.is_multiple_of(groups) {
        let text = format!("init::dirac: {groups} groups do not divide {outputs} outputs");
        return Err(argument(text));
    }
    let window = shape.dims().get(2..).unwrap_or_default();
    let middle = window.iter().fold(0, |at, &size| at * size + size / 2);
    let (size, own) = (window.iter().product::<usize>(), outputs / groups);
    let mut values = vec![0.0f32; shape.numel()];
    for group in 0..groups {
        for i in 0..own.min(inputs) {
            let at = ((group * own + i) * inputs + i) * size + middle;
            if let Some(value) = values.get_mut(at) {
                *value = 1.0;
            }
        }
    }
    Array::new(shape, &values)
}

fn axes(what: &str, wanted: &str, shape: Shape) -> Error {
    Error::new(Code::Shape, format!("init::{what} is for {wanted}, not {shape}"))
}
