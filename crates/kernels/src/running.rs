//! Running results along an axis: sums, products, extremes, linear recurrences.
//!
//! A line is worked through from one end to the other by one thread, with sums and products of f32
//! kept in f64, so a long line loses no digits and the bits depend on nothing but the line. Lines
//! are independent pieces of work.

use crate::memory::{Element, KernelError, Mem, Shared, Ty};
use crate::pool;
use crate::special::logaddexp;

/// What runs along an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Running {
    /// The sum so far; integers wrap.
    Sum,
    /// The product so far; integers wrap.
    Prod,
    /// The logarithm of the sum of exponentials so far.
    LogSumExp,
    /// Where the largest so far is, i64: the last of equal ones; NaN is beyond every number.
    ArgMax,
    /// Where the smallest so far is, i64.
    ArgMin,
    /// Of (a, b): `h = a h + b`, from h = 0.
    Linear,
}

/// The sizes around an axis.
#[derive(Clone, Copy, Debug)]
pub struct Line {
    /// Product of the sizes before the axis.
    pub outer: usize,
    /// The size of the axis.
    pub len: usize,
    /// Product of the sizes after it.
    pub inner: usize,
}

/// Columns that are worked through side by side.
const TILE: usize = 64;

/// The state of one line.
trait State<T>: Copy + Send + Sync {
    type Out: Element;
    fn start() -> Self;
    fn next(&mut self, at: usize, a: T, b: T) -> Self::Out;
}

#[derive(Clone, Copy)]
struct Sum<A>(A);
#[derive(Clone, Copy)]
struct Prod<A>(A);
#[derive(Clone, Copy)]
struct LogSum(f64);
#[derive(Clone, Copy)]
struct Linear(f64);

macro_rules! floats {
    ($($t:ty),*) => {$(
        impl State<$t> for Sum<f64> {
            type Out = $t;
            fn start() -> Self { Sum(0.0) }
            #[inline(always)]
            fn next(&mut self, _: usize, a: $t, _: $t) -> $t {
                self.0 += f64::from(a);
                self.0 as $t
            }
        }
        impl State<$t> for Prod<f64> {
            type Out = $t;
            fn start() -> Self { Prod(1.0) }
            #[inline(always)]
            fn next(&mut self, _: usize, a: $t, _: $t) -> $t {
                self.0 *= f64::from(a);
                self.0 as $t
            }
        }
        impl State<$t> for LogSum {
            type Out = $t;
            fn start() -> Self { LogSum(f64::NEG_INFINITY) }
            #[inline(always)]
            fn next(&mut self, _: usize, a: $t, _: $t) -> $t {
                self.0 = logaddexp(self.0, f64::from(a));
                self.0 as $t
            }
        }
        impl State<$t> for Linear {
            type Out = $t;
            fn start() -> Self { Linear(0.0) }
            #[inline(always)]
            fn next(&mut self, _: usize, a: $t, b: $t) -> $t {
                self.0 = f64::from(a) * self.0 + f64::from(b);
                self.0 as $t
            }
        }
    )*};
}
floats!(f32, f64);

impl State<i64> for Sum<i64> {
    type Out = i64;
    fn start() -> Self {
        Sum(0)
    }
    #[inline(always)]
    fn next(&mut self, _: usize, a: i64, _: i64) -> i64 {
        self.0 = self.0.wrapping_add(a);
        self.0
    }
}
impl State<i64> for Prod<i64> {
    type Out = i64;
    fn start() -> Self {
        Prod(1)
    }
    #[inline(always)]
    fn next(&mut self, _: usize, a: i64, _: i64) -> i64 {
        self.0 = self.0.wrapping_mul(a);
        self.0
    }
}

/// The best so far and where it is.
#[derive(Clone, Copy)]
struct Best<T, const MAX: bool>(Option<T>, i64);

impl<T: Element + PartialOrd, const MAX: bool> State<T> for Best<T, MAX> {
    type Out = i64;
    fn start() -> Self {
        Best(None, 0)
    }
    #[inline(always)]
    fn next(&mut self, at: usize, a: T, _: T) -> i64 {
        let nan = |x: &T| x.partial_cmp(x).is_none();
        let better = match &self.0 {
            None => true,
            Some(best) => nan(&a) || !nan(best) && if MAX { a >= *best } else { a <= *best },
        };
        if better {
            *self = Best(Some(a), at as i64);
        }
        self.1
    }
}

/// Writes the running result along the middle of `[outer, len, inner]`, from the front or
/// (`reverse`) from the back; positions count from the front in both. `operands` is one window, or
/// two for [`Running::Linear`].
///
/// # Errors
/// [`KernelError`] for windows that do not fit, and types that the kind is not defined on.
pub fn running(
    kind: Running,
    reverse: bool,
    operands: &[Mem<'_>],
    line: Line,
    out: Mem<'_>,
) -> Result<(), KernelError> {
    let bounds = KernelError::Bounds("running results");
    let (a, b) = match (kind, operands) {
        (Running::Linear, [a, b]) => (a, b),
        (Running::Linear, _) => return Err(bounds),
        (_, [a]) => (a, a),
        _ => return Err(bounds),
    };
    let count = line.outer.checked_mul(line.len).and_then(|n| n.checked_mul(line.inner));
    if count != Some(out.len()) || a.len() != out.len() || b.len() != out.len() {
        return Err(bounds);
    }
    if !out.writable() || a.ty() != b.ty() {
        return Err(KernelError::Type("running results"));
    }
    if operands.iter().any(|m| m.overlaps(&out)) {
        return Err(KernelError::Overlap("running results"));
    }
    use Running as R;
    match (kind, a.ty()) {
        (R::Sum, Ty::F32) => lines::<f32, Sum<f64>>(a, b, reverse, line, out),
        (R::Sum, Ty::F64) => lines::<f64, Sum<f64>>(a, b, reverse, line, out),
        (R::Sum, Ty::I64) => lines::<i64, Sum<i64>>(a, b, reverse, line, out),
        (R::Prod, Ty::F32) => lines::<f32, Prod<f64>>(a, b, reverse, line, out),
        (R::Prod, Ty::F64) => lines::<f64, Prod<f64>>(a, b, reverse, line, out),
        (R::Prod, Ty::I64) => lines::<i64, Prod<i64>>(a, b, reverse, line, out),
        (R::LogSumExp, Ty::F32) => lines::<f32, LogSum>(a, b, reverse, line, out),
        (R::LogSumExp, Ty::F64) => lines::<f64, LogSum>(a, b, reverse, line, out),
        (R::Linear, Ty::F32) => lines::<f32, Linear>(a, b, reverse, line, out),
        (R::Linear, Ty::F64) => lines::<f64, Linear>(a, b, reverse, line, out),
        (R::ArgMax, Ty::F32) => lines::<f32, Best<f32, true>>(a, b, reverse, line, out),
        (R::ArgMax, Ty::F64) => lines::<f64, Best<f64, true>>(a, b, reverse, line, out),
        (R::ArgMax, Ty::I64) => lines::<i64, Best<i64, true>>(a, b, reverse, line, out),
        (R::ArgMin, Ty::F32) => lines::<f32, Best<f32, false>>(a, b, reverse, line, out),
        (R::ArgMin, Ty::F64) => lines::<f64, Best<f64, false>>(a, b, reverse, line, out),
        (R::ArgMin, Ty::I64) => lines::<i64, Best<i64, false>>(a, b, reverse, line, out),
        _ => Err(KernelError::Type("running results of this type")),
    }
}

fn lines<T: Element, S: State<T>>(
    a: &Mem<'_>,
    b: &Mem<'_>,
    reverse: bool,
    Line { outer, len, inner }: Line,
    out: Mem<'_>,
) -> Result<(), KernelError> {
    // SAFETY: `out` overlaps no operand, and windows are used by one kernel at a time.
    let windows = unsafe { (a.slice_of::<T>(), b.slice_of::<T>(), out.slice_of_mut::<S::Out>()) };
    let (Some(a), Some(b), Some(out)) = windows else {
        return Err(KernelError::Type("running results"));
    };
    if out.is_empty() {
        return Ok(());
    }
    let tiles = inner.div_ceil(TILE);
    let jobs = outer * tiles;
    // Several short lines make a piece.
    let a_piece = (4096 / (len * inner.min(TILE))).clamp(1, jobs);
    let cost = out.len() as u64 * 2;
    // SAFETY: pieces write different columns.
    let to = unsafe { Shared::new(out.as_mut_ptr()) };
    pool::run(jobs.div_ceil(a_piece), cost, &|piece| {
        for job in piece * a_piece..((piece + 1) * a_piece).min(jobs) {
            let (o, first) = (job / tiles, job % tiles * TILE);
            let width = TILE.min(inner - first);
            let mut states = [S::start(); TILE];
            for step in 0..len {
                let at = if reverse { len - 1 - step } else { step };
                let row = (o * len + at) * inner + first;
                let (Some(x), Some(y)) = (a.get(row..row + width), b.get(row..row + width)) else {
                    continue;
                };
                for (j, ((state, &x), &y)) in states.iter_mut().zip(x).zip(y).enumerate() {
                    let value = state.next(at, x, y);
                    // SAFETY: inside, as the operands are as long as the output, and this column
                    // belongs to this piece alone.
                    unsafe { to.get().add(row + j).write(value) };
                }
            }
        }
    })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn f32s(kind: Running, reverse: bool, x: &[&[f32]], line: Line) -> Vec<f32> {
        let mut out = vec![0.0f32; x[0].len()];
        let operands: Vec<Mem<'_>> = x.iter().map(|x| Mem::read(x)).collect();
        assert!(running(kind, reverse, &operands, line, Mem::write(&mut out)).is_ok());
        out
    }

    #[test]
    fn lines_run_both_ways_and_across_columns() {
        let x = [1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0];
        let line = |outer, len, inner| Line { outer, len, inner };
        assert_eq!(f32s(Running::Sum, false, &[&x], line(1, 6, 1)), [1., 3., 6., 10., 15., 21.]);
        assert_eq!(f32s(Running::Sum, true, &[&x], line(2, 3, 1)), [6., 5., 3., 15., 11., 6.]);
        assert_eq!(f32s(Running::Prod, false, &[&x], line(1, 3, 2)), [1., 2., 3., 8., 15., 48.]);
        let two = f32s(Running::Linear, false, &[&[2.0; 6], &x], line(1, 6, 1));
        assert_eq!(two, [1., 4., 11., 26., 57., 120.]);
    }

    #[test]
    fn many_columns_are_as_one_by_one() {
        let (len, inner) = (5, 3 * TILE + 7);
        let x: Vec<f32> = (0..2 * len * inner).map(|i| (i * 37 % 101) as f32 - 50.0).collect();
        let all = f32s(Running::Sum, true, &[&x], Line { outer: 2, len, inner });
        for (o, j) in [(0, 0), (0, TILE), (1, inner - 1)] {
            let column: Vec<f32> = (0..len).map(|i| x[(o * len + i) * inner + j]).collect();
            let one = f32s(Running::Sum, true, &[&column], Line { outer: 1, len, inner: 1 });
            let from: Vec<f32> = (0..len).map(|i| all[(o * len + i) * inner + j]).collect();
            assert_eq!(one, from);
        }
    }

    #[test]
    fn the_last_of_equal_ones_is_the_extreme_and_nan_stays() {
        let x = [1.0f32, 3.0, 3.0, f32::NAN, 9.0];
        let mut out = [0i64; 5];
        let line = Line { outer: 1, len: 5, inner: 1 };
        let to = Mem::write(&mut out);
        assert!(running(Running::ArgMax, false, &[Mem::read(&x)], line, to).is_ok());
        assert_eq!(out, [0, 1, 2, 3, 3]);
    }

    #[test]
    fn windows_are_checked() {
        let (x, mut out) = ([1.0f32; 6], [0.0f32; 6]);
        let line = Line { outer: 1, len: 5, inner: 1 };
        assert!(
            running(Running::Sum, false, &[Mem::read(&x)], line, Mem::write(&mut out)).is_err()
        );
        let line = Line { outer: 1, len: 6, inner: 1 };
        assert!(running(Running::Sum, false, &[Mem::read(&x)], line, Mem::read(&out)).is_err());
        let one = [Mem::read(&x)];
        assert!(running(Running::Linear, false, &one, line, Mem::write(&mut out)).is_err());
        let mut whole = [0i64; 6];
        assert!(running(Running::Sum, false, &one, line, Mem::write(&mut whole)).is_err());
    }
}
