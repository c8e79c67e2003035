//! Convolutions: forward, the gradient for the input, the gradient for the weight; f32, channels
//! second (`[batch, channels, depth, height, width]`), over one to three spatial axes.
//!
//! One micro-kernel serves all three, without im2col: `acc[row][lane] += A[row + tap] * B[tap][lane]`,
//! where rows and taps are lists of offsets into one operand, and B is a small packed matrix with
//! channels side by side (`tile`).
//!
//! | pass | rows | taps | B | lanes |
//! |---|---|---|---|---|
//! | forward | places of y | channels of x, kernel | weight, turned | channels of y |
//! | input | places of x | channels of y, kernel | weight | channels of x |
//! | weight | channels of x, kernel | places of y | gradient of y, turned | channels of y |
//!
//! Layouts are converted apart from the kernel: `data` pads the operand that is read by offsets (or
//! finds that it can be read where it is) and cuts places into units; results are turned back where
//! they are stored. `products` does forward and input, `weight` the gradient for the weight. With few
//! output channels most lanes would be empty: there `narrow` has places in the lanes (`strip`).
//!
//! **Bits.** Equal for any number of threads and for AVX2 and AVX-512. Taps are cut into blocks of
//! 512, each one chain of fused multiply-adds from 0 in the order of channels, then places; blocks
//! are added in order. For the weight, places come in units (parts of an image, or several images)
//! that the shape fixes, and units in at most 16 chunks whose sums are added in order; with few
//! output channels a unit is summed in 16 lanes, which are added up in a fixed tree at the end.
//! What is padded is a zero that takes part: zero times infinity is NaN.

mod data;
mod narrow;
mod products;
mod strip;
mod tile;
mod weight;

use crate::memory::{KernelError, Mem, Ty};

/// Which of x, w, y is computed from the other two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Pass {
    /// y from (x, w).
    Forward,
    /// The gradient of x from (gradient of y, w).
    Input,
    /// The gradient of w from (x, gradient of y).
    Weight,
}

/// The sizes of a convolution; missing axes are sizes of 1 in front.
///
/// x is `[batch, inputs, x..]`, y `[batch, outputs, y..]`, w `[outputs, inputs / groups, kernel..]`.
/// Element `o * stride + k * dilation - before` of x meets element `o` of y through `k`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// Images.
    pub batch: usize,
    /// Groups of channels that do not see each other.
    pub groups: usize,
    /// Channels of x, a multiple of the groups.
    pub inputs: usize,
    /// Channels of y, a multiple of the groups.
    pub outputs: usize,
    /// Spatial sizes of x.
    pub x: [usize; 3],
    /// Spatial sizes of y.
    pub y: [usize; 3],
    /// Sizes of the window.
    pub kernel: [usize; 3],
    /// Distance of two places of the window.
    pub stride: [usize; 3],
    /// Distance of two elements of the window.
    pub dilation: [usize; 3],
    /// Zeros before x.
    pub before: [usize; 3],
}

/// The product of sizes.
fn volume(dims: [usize; 3]) -> usize {
    dims.iter().fold(1, |a: usize, &b| a.saturating_mul(b))
}

impl Geometry {
    fn elements(&self) -> Option<[usize; 3]> {
        let all = |channels: usize, dims: [usize; 3]| {
            let [a, b, c] = dims;
            channels.checked_mul(a)?.checked_mul(b)?.checked_mul(c)
        };
        let per_group = self.inputs.checked_div(self.groups)?;
        let batch = |n: usize| n.checked_mul(self.batch);
        Some([
            all(self.inputs, self.x).and_then(batch)?,
            all(self.outputs.checked_mul(per_group)?, self.kernel)?,
            all(self.outputs, self.y).and_then(batch)?,
        ])
    }

    /// Multiply-adds of a pass.
    pub fn work(&self) -> usize {
        let taps = (self.inputs / self.groups.max(1)).saturating_mul(volume(self.kernel));
        let places = self.batch.saturating_mul(volume(self.y));
        taps.saturating_mul(places).saturating_mul(self.outputs)
    }
}

/// Runs one pass: `a` and `b` are the operands in the order that [`Pass`] gives.
///
/// # Errors
/// Windows that are too short, of another type than f32, not writable, or that overlap the result;
/// sizes that cannot be.
pub fn conv(
    pass: Pass,
    geometry: &Geometry,
    a: Mem<'_>,
    b: Mem<'_>,
    out: Mem<'_>,
) -> Result<(), KernelError> {
    let g = *geometry;
    let divided = g.groups > 0
        && g.inputs.is_multiple_of(g.groups)
        && g.outputs.is_multiple_of(g.groups)
        && !g.stride.contains(&0)
        && !g.dilation.contains(&0);
    let sizes = g.elements().filter(|_| divided);
    let [x, w, y] = sizes.ok_or(KernelError::Bounds("conv: sizes that cannot be"))?;
    let (na, nb, nout) = match pass {
        Pass::Forward => (x, w, y),
        Pass::Input => (y, w, x),
        Pass::Weight => (x, y, w),
    };
    if [&a, &b, &out].iter().any(|m| m.ty() != Ty::F32) || !out.writable() {
        return Err(KernelError::Type("conv: f32 windows, the result writable"));
    }
    let (Some(a), Some(b), Some(out)) = (a.slice(0, na), b.slice(0, nb), out.slice(0, nout)) else {
        return Err(KernelError::Bounds("conv: a window is too short"));
    };
    if out.overlaps(&a) || out.overlaps(&b) {
        return Err(KernelError::Overlap("conv: the result overlaps an operand"));
    }
    if nout == 0 {
        return Ok(());
    }
    if na == 0 || nb == 0 {
        return crate::scan::zero(out);
    }
    let kernels = tile::of(crate::isa::active());
    let (a, b, out) = (a.ptr::<f32>().cast_const(), b.ptr::<f32>().cast_const(), out.ptr::<f32>());
    // SAFETY: the level is one that this machine has; the windows hold all elements of the sizes,
    // and the result overlaps neither operand.
    unsafe {
        match pass {
            Pass::Forward => products::forward(kernels, &g, a, b, out)?,
            Pass::Input => products::input(kernels, &g, a, b, out)?,
            Pass::Weight => weight::weight(kernels, &g, a, b, out)?,
        }
    }
    Ok(())
}
