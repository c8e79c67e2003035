//! Convolutions and their gradients.

use gradus_kernels::memory::KernelError;

use super::Result;
use super::values::{Values, reals, round};
use crate::array::Array;
use crate::ops::Meta;
use crate::ops::conv::{Conv, ConvPass};

/// Any of the three products. What is outside of the data is a zero that takes part: of x for the
/// result and the weight, of the cotangent for the input.
pub(super) fn conv(conv: &Conv, a: &Array, b: &Array, out: Meta) -> Result<Array> {
    let g = conv.geometry(a.shape(), b.shape(), out.shape, false);
    let (cg, fg) = match (g.inputs.checked_div(g.groups), g.outputs.checked_div(g.groups)) {
        (Some(cg), Some(fg)) => (cg, fg),
        _ => return Err(KernelError::Bounds("a convolution without groups")),
    };
    let count = |channels: usize, d: [usize; 3]| channels * d[0] * d[1] * d[2];
    let x = count(g.batch * g.inputs, g.x);
    let w = count(g.outputs * cg, g.kernel);
    let y = count(g.batch * g.outputs, g.y);
    let want = match conv.pass {
        ConvPass::Forward => [x, w, y],
        ConvPass::Input => [y, w, x],
        ConvPass::Weight => [x, y, w],
    };
    if want != [a.shape().numel(), b.shape().numel(), out.shape.numel()] {
        return Err(KernelError::Bounds("the operands of a convolution do not go together"));
    }
    let rounded = |x: &Array| -> Result<Vec<f64>> {
        Ok(reals(x)?.into_iter().map(|x| round(conv.precision, x)).collect())
    };
    let (a, b) = (rounded(a)?, rounded(b)?);
    let at = |channel: usize, d: [usize; 3], i: [usize; 3]| {
        ((channel * d[0] + i[0]) * d[1] + i[1]) * d[2] + i[2]
    };
    let all = |d: [usize; 3]| {
        (0..d[0] * d[1] * d[2]).map(move |i| [i / (d[1] * d[2]), i / d[2] % d[1], i % d[2]])
    };
    let inside = |i: [isize; 3], d: [usize; 3]| -> Option<[usize; 3]> {
        let fits = i.iter().zip(d).all(|(&i, d)| i >= 0 && (i as usize) < d);
        fits.then(|| i.map(|i| i as usize))
    };
    let mut sums = vec![0.0f64; out.shape.numel()];
    for n in 0..g.batch {
        for f in 0..g.outputs {
            for c in 0..cg {
                let channel = f / fg * cg + c;
                let (x_of, y_of, w_of) = (n * g.inputs + channel, n * g.outputs + f, f * cg + c);
                for k in all(g.kernel) {
                    let w = at(w_of, g.kernel, k);
                    if conv.pass == ConvPass::Input {
                        for i in all(g.x) {
                            let o: [isize; 3] = std::array::from_fn(|s| {
                                (i[s] + g.before[s]) as isize - (k[s] * g.dilation[s]) as isize
                            });
                            if (0..3).any(|s| o[s].rem_euclid(g.stride[s] as isize) != 0) {
                                continue;
                            }
                            let o = std::array::from_fn(|s| o[s].div_euclid(g.stride[s] as isize));
                            let value = inside(o, g.y).map_or(0.0, |o| a[at(y_of, g.y, o)]);
                            sums[at(x_of, g.x, i)] += value * b[w];
                        }
                        continue;
                    }
                    for o in all(g.y) {
                        let i = std::array::from_fn(|s| {
                            (o[s] * g.stride[s] + k[s] * g.dilation[s]) as isize
                                - g.before[s] as isize
                        });
                        let value = inside(i, g.x).map_or(0.0, |i| a[at(x_of, g.x, i)]);
                        let y = at(y_of, g.y, o);
                        match conv.pass {
                            ConvPass::Weight => sums[w] += value * b[y],
                            _ => sums[y] += value * b[w],
                        }
                    }
                }
            }
        }
    }
    Values::Real(sums).into_array(out)
}
