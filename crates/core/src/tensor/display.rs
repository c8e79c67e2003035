//! Printing. `Debug` shows type, shape, state and place without computing anything; `Display`
//! computes and prints the numbers.
//!
//! Numbers are printed as NumPy and PyTorch do: one precision for all, columns aligned, nested
//! brackets, `...` in the middle of more than [`FULL`] elements.

use std::fmt::{self, Write};

use super::Tensor;
use crate::array::Array;
use crate::error;
use crate::graph::dtype::DType;
use crate::graph::recorder;
use crate::ops::{Meta, Op};

/// Type, shape, state, and the line that made it; nothing is computed.
///
/// ```
/// use gradus_core::Tensor;
/// let x = Tensor::zeros([2, 3]) + 1.0;
/// assert!(format!("{x:?}").starts_with("Tensor(f32 [2, 3], `add`, not computed, at "));
/// ```
impl fmt::Debug for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(error) = self.failure() {
            return write!(f, "Tensor(failed: {})", error.title());
        }
        let (meta, what, history, line) = recorder::with(|r| {
            let node = r.node(self.slot());
            let what = match (&node.op, node.value.is_some()) {
                (Op::Leaf, _) if node.called.is_none() => "data".to_string(),
                (_, true) => format!("`{}`, computed", node.name()),
                (_, false) => format!("`{}`, not computed", node.name()),
            };
            let meta = Meta { shape: node.shape, dtype: node.dtype };
            (meta, what, node.grad, r.user_line(node.place, node.scope))
        });
        write!(f, "Tensor({} {}, {what}", meta.dtype, meta.shape)?;
        if history {
            f.write_str(", with gradient")?;
        }
        match line {
            Some(line) => write!(f, ", at {})", error::place(line)),
            None => f.write_str(")"),
        }
    }
}

/// The numbers, computed; the error's text if that fails. See the `Display` of [`Array`].
impl fmt::Display for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.to_array() {
            Ok(array) => fmt::Display::fmt(&array, f),
            Err(error) => fmt::Display::fmt(&error, f),
        }
    }
}

/// As `Display`, always with exponents.
impl fmt::LowerExp for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.to_array() {
            Ok(array) => fmt::LowerExp::fmt(&array, f),
            Err(error) => fmt::Display::fmt(&error, f),
        }
    }
}

/// At most this many elements are printed in full.
const FULL: usize = 1000;
/// Of longer tensors this many entries are printed at each end of an axis.
const EDGE: usize = 3;
/// Digits after the point, if the format does not say.
const DIGITS: usize = 4;
/// A row of numbers is broken before this column.
const COLUMNS: usize = 80;

/// The numbers, aligned: four digits after the point or as many as the format says (`{:.2}`), none
/// for whole numbers, exponents where a number is at least 1e8 or too small for the digits (or with
/// `{:e}`). More than 1000 elements are summarised with `...`, unless the format is `{:#}`. The type
/// follows if it is not f32, i64 or bool, and the shape if the brackets do not show it.
///
/// ```
/// use gradus_core::Tensor;
/// let x = Tensor::from([[1.0, -2.5], [10.0, 0.25]]);
/// assert_eq!(x.to_string(), "[[ 1.0000, -2.5000],\n [10.0000,  0.2500]]");
/// assert_eq!(format!("{x:.1}"), "[[ 1.0, -2.5],\n [10.0,  0.2]]");
/// assert_eq!(Tensor::arange(0, 3).to_string(), "[0, 1, 2]");
/// ```
impl fmt::Display for Array {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        print(self, f, false)
    }
}

/// As `Display`, always with exponents.
impl fmt::LowerExp for Array {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        print(self, f, true)
    }
}

fn print(array: &Array, f: &mut fmt::Formatter<'_>, exponents: bool) -> fmt::Result {
    let dims = array.dims();
    let short = array.numel() > FULL && !f.alternate();
    let mut shown = Vec::new();
    places(dims, short, 0, &mut shown);
    let cells = cells(array, &shown, f.precision(), exponents);
    let width = cells.iter().map(String::len).max().unwrap_or(0);
    let mut next = cells.iter();
    write_axis(f, &mut next, dims, short, 0, width)?;
    let evident = matches!(array.dtype(), DType::F32 | DType::I64 | DType::Bool);
    if !evident || short || array.numel() == 0 {
        write!(f, " {}", array.dtype())?;
    }
    if short || array.numel() == 0 && dims != [0] {
        write!(f, " {}", array.shape())?;
    }
    Ok(())
}

/// The entries of an axis that are printed: the first ones, and the last ones if some are left out.
fn ends(size: usize, short: bool) -> (usize, usize) {
    if short && size > 2 * EDGE { (EDGE, size - EDGE) } else { (size, size) }
}

/// The row-major numbers of the elements that are printed, in order.
fn places(dims: &[usize], short: bool, start: usize, out: &mut Vec<usize>) {
    let Some((&size, rest)) = dims.split_first() else {
        out.push(start);
        return;
    };
    let step = rest.iter().product::<usize>();
    let (head, tail) = ends(size, short);
    for i in (0..head).chain(tail..size) {
        if step > 0 {
            places(rest, short, start + i * step, out);
        }
    }
}

/// The text of the elements at some places.
fn cells(array: &Array, shown: &[usize], digits: Option<usize>, exponents: bool) -> Vec<String> {
    fn at<T: Copy>(values: &[T], shown: &[usize]) -> Vec<T> {
        shown.iter().filter_map(|&i| values.get(i).copied()).collect()
    }
    macro_rules! whole {
        ($t:ty) => {
            match array.as_slice::<$t>() {
                Ok(values) => at(values, shown).iter().map(|v| v.to_string()).collect(),
                Err(_) => Vec::new(),
            }
        };
    }
    let real = |values: Vec<f64>| numbers(&values, digits, exponents);
    match array.dtype() {
        DType::I64 => whole!(i64),
        DType::I32 => whole!(i32),
        DType::U8 => whole!(u8),
        DType::F32 => match array.as_slice::<f32>() {
            Ok(values) => real(at(values, shown).into_iter().map(f64::from).collect()),
            Err(_) => Vec::new(),
        },
        DType::F64 => array.as_slice::<f64>().map(|v| real(at(v, shown))).unwrap_or_default(),
        DType::Bool => at(&array.to_f64(), shown).iter().map(|&v| (v != 0.0).to_string()).collect(),
        _ => real(at(&array.to_f64(), shown)),
    }
}

/// Real numbers with one precision for all.
fn numbers(values: &[f64], digits: Option<usize>, exponents: bool) -> Vec<String> {
    let finite = || values.iter().map(|v| v.abs()).filter(|v| v.is_finite());
    let largest = finite().fold(0.0, f64::max);
    let smallest = finite().filter(|&v| v > 0.0).fold(f64::INFINITY, f64::min);
    let whole = digits.is_none() && finite().all(|v| v.fract() == 0.0);
    let digits = digits.unwrap_or(DIGITS);
    // Smaller than one in the last of the usual digits.
    let least = 10f64.powi(-(digits.clamp(DIGITS, 300) as i32));
    let exponents = exponents || largest >= 1e8 || smallest < least;
    let text = |v: f64| match (v.is_finite(), exponents) {
        (false, _) => format!("{v}"),
        (_, true) => exponent(format!("{v:.digits$e}")),
        (_, false) if whole => format!("{v:.0}."),
        (_, false) => format!("{v:.digits$}"),
    };
    values.iter().map(|&v| text(v)).collect()
}

/// `1.5e7` as `1.5e+07`, so that exponents have one width.
fn exponent(text: String) -> String {
    let Some((number, exponent)) = text.split_once('e') else { return text };
    match exponent.strip_prefix('-') {
        Some(size) => format!("{number}e-{size:0>2}"),
        None => format!("{number}e+{exponent:0>2}"),
    }
}

fn write_axis<'a>(
    f: &mut fmt::Formatter<'_>,
    cells: &mut impl Iterator<Item = &'a String>,
    dims: &[usize],
    short: bool,
    depth: usize,
    width: usize,
) -> fmt::Result {
    let Some((&size, rest)) = dims.split_first() else {
        return f.write_str(cells.next().map_or("", String::as_str));
    };
    // Nothing inside: one pair of brackets; the shape follows.
    if dims.contains(&0) {
        return f.write_str("[]");
    }
    f.write_char('[')?;
    let (head, tail) = ends(size, short);
    let per_line = (COLUMNS.saturating_sub(depth + 2) / (width + 2)).max(1);
    let mut written = 0;
    let mut gap = |f: &mut fmt::Formatter<'_>| {
        written += 1;
        if written == 1 {
            return Ok(());
        }
        f.write_char(',')?;
        match rest.len() {
            0 if (written - 1) % per_line != 0 => f.write_char(' '),
            // A blank line between matrices, two between blocks of them, and so on.
            n => write!(f, "{}{:2$}", "\n".repeat(n.max(1)), "", depth + 1),
        }
    };
    for i in (0..head).chain(tail..size) {
        if i == tail && tail > head {
            gap(f)?;
            f.write_str("...")?;
        }
        gap(f)?;
        if rest.is_empty() {
            write!(f, "{:>width$}", cells.next().map_or("", String::as_str))?;
        } else {
            write_axis(f, cells, rest, short, depth + 1, width)?;
        }
    }
    f.write_char(']')
}
