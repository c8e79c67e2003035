//! Operations on rows (the last axis): softmax, cross-entropy and their gradients.

use gradus_kernels::memory::KernelError;

use super::Result;
use super::formulas::larger;
use super::values::{Values, elements, map, map2, reals};
use crate::array::Array;
use crate::ops::{Meta, Rows};

/// A kernel on rows.
pub(super) fn rows(kind: Rows, ins: &[&Array], out: Meta) -> Result<Array> {
    let result = match (kind, ins) {
        (Rows::Softmax, [x]) => each_row(x, softmax)?,
        (Rows::LogSoftmax, [x]) => each_row(x, log_softmax)?,
        (Rows::SoftmaxGrad, [y, g]) => each_row_pair(y, g, |y, g| {
            let total: f64 = map2(y, g, |y, g| g * y).iter().sum();
            map2(y, g, |y, g| y * (g - total))
        })?,
        (Rows::LogSoftmaxGrad, [y, g]) => each_row_pair(y, g, |y, g| {
            let total: f64 = g.iter().sum();
            map2(y, g, |y, g| g - libm::exp(y) * total)
        })?,
        (Rows::CrossEntropy { ignore }, [x, ids]) => {
            let classes = classes(x, ids, ignore)?;
            let loss = |(row, class): (&[f64], &Option<usize>)| match class {
                Some(class) => log_softmax(row).get(*class).map_or(f64::NAN, |y| -y),
                None => 0.0,
            };
            reals(x)?.chunks_exact(row_size(x)).zip(&classes).map(loss).collect()
        }
        (Rows::CrossEntropyGrad { ignore }, [x, ids, g]) => {
            let classes = classes(x, ids, ignore)?;
            let mut result = Vec::with_capacity(x.numel());
            let weights = weights(g, classes.len())?;
            let rows = reals(x)?;
            let rows = rows.chunks_exact(row_size(x)).zip(&classes).zip(weights);
            for ((row, class), weight) in rows {
                result.extend(cross_entropy_grad(row, *class, weight));
            }
            result
        }
        _ => return Err(KernelError::Type("the operands of a row kernel")),
    };
    Values::Real(result).into_array(out)
}

/// Elements in a row; at least 1, so that an array without elements has no rows.
fn row_size(x: &Array) -> usize {
    x.shape().last(0).max(1)
}

/// The rows that `f` makes of each row.
fn each_row(x: &Array, f: impl Fn(&[f64]) -> Vec<f64>) -> Result<Vec<f64>> {
    Ok(reals(x)?.chunks_exact(row_size(x)).flat_map(f).collect())
}

/// The rows that `f` makes of each pair of rows.
fn each_row_pair(x: &Array, y: &Array, f: impl Fn(&[f64], &[f64]) -> Vec<f64>) -> Result<Vec<f64>> {
    let (xs, ys) = (reals(x)?, reals(y)?);
    let rows = xs.chunks_exact(row_size(x)).zip(ys.chunks_exact(row_size(y)));
    Ok(rows.flat_map(|(x, y)| f(x, y)).collect())
}

/// The row less its largest element, so that `exp` cannot overflow.
fn shifted(x: &[f64]) -> Vec<f64> {
    let max = x.iter().copied().fold(f64::NEG_INFINITY, larger);
    map(x, |x| x - max)
}

/// `exp(x - max) / sum(exp(x - max))`.
fn softmax(x: &[f64]) -> Vec<f64> {
    let powers = map(&shifted(x), libm::exp);
    let total: f64 = powers.iter().sum();
    map(&powers, |p| p / total)
}

/// `x - max - log(sum(exp(x - max)))`.
fn log_softmax(x: &[f64]) -> Vec<f64> {
    let shifted = shifted(x);
    let total: f64 = map(&shifted, libm::exp).iter().sum();
    map(&shifted, |x| x - libm::log(total))
}

/// `(softmax - onehot) * g` of one row; zeros for a row without a class.
fn cross_entropy_grad(x: &[f64], class: Option<usize>, g: f64) -> Vec<f64> {
    let Some(class) = class else { return vec![0.0; x.len()] };
    let entry = |(i, p): (usize, f64)| (p - f64::from(u8::from(i == class))) * g;
    softmax(x).into_iter().enumerate().map(entry).collect()
}

/// The class of each row, `None` for a row that does not count.
fn classes(x: &Array, ids: &Array, ignore: Option<i64>) -> Result<Vec<Option<usize>>> {
    let size = x.shape().last(0);
    let class = |(position, value)| match usize::try_from(value) {
        _ if Some(value) == ignore => Ok(None),
        Ok(class) if class < size => Ok(Some(class)),
        _ => Err(KernelError::Index { position, value, size }),
    };
    if x.numel() != ids.numel().saturating_mul(size) {
        return Err(KernelError::Bounds("a cross-entropy takes one class id a row"));
    }
    elements::<i64>(ids)?.into_iter().enumerate().map(class).collect()
}

/// The gradient that came to each row's loss: one a row, or one for all.
fn weights(g: &Array, rows: usize) -> Result<Vec<f64>> {
    match reals(g)?.as_slice() {
        [one] => Ok(vec![*one; rows]),
        all if all.len() == rows => Ok(all.to_vec()),
        _ => Err(KernelError::Bounds("a cross-entropy has one gradient a row")),
    }
}
