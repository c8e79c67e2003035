//! Running results along an axis.

use gradus_kernels::memory::KernelError;
use gradus_kernels::special::logaddexp;

use super::Result;
use super::values::{Values, axis_of, number_of, places};
use crate::array::Array;
use crate::ops::{Meta, Running};

/// The result so far at each element, from the front or the back of its line.
pub(super) fn scan(
    kind: Running,
    axis: u8,
    reverse: bool,
    ins: &[&Array],
    out: Meta,
) -> Result<Array> {
    let type_error = KernelError::Type("the scan is not defined on such elements");
    let lines = lines(axis, reverse, out)?;
    let values = ins.iter().map(|x| Values::of(x)).collect::<Result<Vec<_>>>()?;
    match (kind, values.as_slice()) {
        (Running::Sum, [Values::Real(x)]) => Values::Real(each(&lines, x, 0.0, |h, x| h + x)),
        (Running::Prod, [Values::Real(x)]) => Values::Real(each(&lines, x, 1.0, |h, x| h * x)),
        (Running::LogSumExp, [Values::Real(x)]) => {
            Values::Real(each(&lines, x, f64::NEG_INFINITY, logaddexp))
        }
        (Running::Sum, [Values::Whole(x)]) => Values::Whole(each(&lines, x, 0, i64::wrapping_add)),
        (Running::Prod, [Values::Whole(x)]) => Values::Whole(each(&lines, x, 1, i64::wrapping_mul)),
        (Running::Linear, [Values::Real(a), Values::Real(b)]) => {
            let pairs: Vec<(f64, f64)> = a.iter().copied().zip(b.iter().copied()).collect();
            let h = each(&lines, &pairs, (0.0, 0.0), |(h, _), (a, b)| (a * h + b, 0.0));
            Values::Real(h.into_iter().map(|(h, _)| h).collect())
        }
        (Running::ArgMax, [Values::Real(x)]) => best(&lines, x, |a, b| a >= b),
        (Running::ArgMin, [Values::Real(x)]) => best(&lines, x, |a, b| a <= b),
        (Running::ArgMax, [Values::Whole(x)]) => best(&lines, x, |a, b| a >= b),
        (Running::ArgMin, [Values::Whole(x)]) => best(&lines, x, |a, b| a <= b),
        _ => return Err(type_error),
    }
    .into_array(out)
}

/// The numbers of the elements of each line, in the order of the scan.
fn lines(axis: u8, reverse: bool, out: Meta) -> Result<Vec<Vec<usize>>> {
    let axis = axis_of(axis, out.shape)?;
    let line = |mut place: super::values::Place| {
        let mut line = Vec::with_capacity(out.shape.dim(axis));
        for index in 0..out.shape.dim(axis) {
            place[axis] = index;
            line.extend(number_of(out.shape, place));
        }
        if reverse {
            line.reverse();
        }
        line
    };
    Ok(places(out.shape.with(axis, 1)).map(line).collect())
}

fn each<T: Copy>(lines: &[Vec<usize>], x: &[T], start: T, next: impl Fn(T, T) -> T) -> Vec<T> {
    let mut out = x.to_vec();
    for line in lines {
        let mut state = start;
        for &number in line {
            state = next(state, x[number]);
            out[number] = state;
        }
    }
    out
}

/// Where the best so far is along its line; the last of equal ones, NaN beyond every number.
fn best<T: Copy + PartialOrd>(
    lines: &[Vec<usize>],
    x: &[T],
    better: impl Fn(T, T) -> bool,
) -> Values {
    let nan = |x: T| x.partial_cmp(&x).is_none();
    let mut out = vec![0; x.len()];
    for line in lines {
        let reverse = line.first() > line.last();
        let mut found: Option<(T, usize)> = None;
        for (step, &number) in line.iter().enumerate() {
            let at = if reverse { line.len() - 1 - step } else { step };
            let value = x[number];
            match found {
                Some((old, _)) if !nan(value) && (nan(old) || !better(value, old)) => {}
                _ => found = Some((value, at)),
            }
            out[number] = found.map_or(0, |(_, at)| at as i64);
        }
    }
    Values::Whole(out)
}
