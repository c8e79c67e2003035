//! Windows that slide over the last axes.

use gradus_kernels::memory::KernelError;

use super::Result;
use super::values::{Values, reals};
use crate::array::Array;
use crate::graph::shape::Shape;
use crate::ops::{Divisor, Meta, Pooling, Windows};

/// An axis and its windows.
#[derive(Clone, Copy)]
struct Axis {
    size: usize,
    out: usize,
    windows: Windows,
}

impl Axis {
    /// Where window `j` starts (it may be before the axis), and where it ends when it is cut at the
    /// end of the padding.
    fn span(&self, j: usize) -> (isize, isize) {
        let w = self.windows;
        let start = (j * usize::from(w.stride)) as isize - isize::from(w.padding as i16);
        let past = start + ((w.kernel as usize - 1) * w.dilation as usize + 1) as isize;
        (start, past.min((self.size + w.padding as usize) as isize))
    }

    /// The elements of window `j`.
    fn members(&self, j: usize) -> Vec<usize> {
        if self.windows.kernel == 0 {
            let start = j * self.size / self.out;
            return (start..((j + 1) * self.size).div_ceil(self.out)).collect();
        }
        let (start, past) = self.span(j);
        (start..past)
            .step_by(usize::from(self.windows.dilation))
            .filter_map(|i| usize::try_from(i).ok().filter(|&i| i < self.size))
            .collect()
    }

    /// What window `j` counts for in a mean.
    fn count(&self, j: usize, by: Divisor) -> usize {
        match by {
            Divisor::One => 1,
            Divisor::Padded if self.windows.kernel > 0 => {
                let (start, past) = self.span(j);
                (past - start).unsigned_abs()
            }
            _ => self.members(j).len(),
        }
    }
}

/// A window: its elements in row-major order, and what its sum is divided by.
type Window = (Vec<usize>, f64);

fn windows([a, b, c]: [Axis; 3], by: Divisor) -> Vec<Window> {
    let mut out = Vec::new();
    for i in 0..a.out {
        for j in 0..b.out {
            for k in 0..c.out {
                let mut elements = Vec::new();
                for d in a.members(i) {
                    for h in b.members(j) {
                        let row = (d * b.size + h) * c.size;
                        elements.extend(c.members(k).iter().map(|w| row + w));
                    }
                }
                let count = a.count(i, by) * b.count(j, by) * c.count(k, by);
                out.push((elements, count as f64));
            }
        }
    }
    out
}

/// Where the largest is: the first of equal ones, the last NaN.
fn largest(plane: &[f64], (elements, _): &Window) -> Option<usize> {
    let mut best = elements.first().copied()?;
    for &i in elements {
        if plane[i] > plane[best] || plane[i].is_nan() {
            best = i;
        }
    }
    Some(best)
}

/// Pools; `rank` is the number of axes, and the windows of the last one are the last ones.
pub(super) fn pool(
    (kind, rank, how): (Pooling, u8, &[Windows; 3]),
    ins: &[&Array],
    out: Meta,
) -> Result<Array> {
    let operands = ins.iter().map(|x| reals(x)).collect::<Result<Vec<_>>>()?;
    let shape = |k: usize| ins.get(k).map_or(Shape::SCALAR, |x| x.shape());
    let whole = if kind.spreads() { out.shape } else { shape(0) };
    let short = match kind {
        Pooling::MaxPlace => shape(1),
        Pooling::Spread(_) => shape(0),
        _ => out.shape,
    };
    let mut axes = how.map(|windows| Axis { size: 1, out: 1, windows });
    for back in 0..usize::from(rank).min(3) {
        axes[2 - back].size = whole.last(back);
        axes[2 - back].out = short.last(back);
    }
    let by = match kind {
        Pooling::Mean(by) | Pooling::Spread(by) => by,
        _ => Divisor::One,
    };
    let list = windows(axes, by);
    let plane: usize = axes.iter().map(|a| a.size).product();
    let planes = whole.numel().checked_div(plane).unwrap_or(0);
    let no_window = KernelError::Bounds("a window without elements");
    let mut positions = Vec::new();
    let mut values = vec![0.0; if kind.spreads() { out.shape.numel() } else { 0 }];
    for p in 0..planes {
        let part = |k: usize, n: usize| operands.get(k).map_or(&[][..], |x| &x[p * n..(p + 1) * n]);
        for (number, window) in list.iter().enumerate() {
            let at = || largest(part(0, plane), window).ok_or(no_window.clone());
            match kind {
                Pooling::Max => values.push(part(0, plane)[at()?]),
                Pooling::MaxAt => positions.push(at()? as i64),
                Pooling::MaxPick => values.push(part(1, plane)[at()?]),
                Pooling::MaxPlace => {
                    values[p * plane + at()?] += part(1, list.len())[number];
                }
                Pooling::Mean(_) => {
                    let x = part(0, plane);
                    values.push(window.0.iter().map(|&i| x[i]).sum::<f64>() / window.1);
                }
                Pooling::Spread(_) => {
                    for i in &window.0 {
                        values[p * plane + i] += part(0, list.len())[number] / window.1;
                    }
                }
            }
        }
    }
    if kind == Pooling::MaxAt { Values::Whole(positions) } else { Values::Real(values) }
        .into_array(out)
}
