//! Convolutions: forward, the gradient for the input, the gradient for the weight; f32, or operands
//! rounded to bf16 and sums in f32; over one to three spatial axes, channels last (`[batch, depth, height, width, channels]`) or second.
//!
//! Dense windows of 3 x 3 with many channels are computed in tiles, with 16 instead of 36 multiplications
//! for four places (`winograd`). For all others one micro-kernel serves all passes, without im2col: `acc[row][lane] += A[row + tap] * B[tap][lane]`,
//! where rows and taps are lists of offsets into one operand, and B is a small packed matrix with
//! channels side by side (`tile`).
//!
//! | pass | rows | taps | B | lanes |
//! |---|---|---|---|---|
//! | forward | places of y | kernel, channels of x | weight, turned | channels of y |
//! | input | places of x | kernel, channels of y | weight | channels of x |
//! | weight | kernel, channels of x | places of y | gradient of y | channels of y |
//!
//! Depthwise convolutions, and groups of so few channels that most lanes would be empty (`each`),
//! use the kernel's second form, where every lane has its own element of A too: lanes are channels of
//! all groups, and a tap is an element of the window (and one of the few channels of a group).
//!
//! A register that is read for one multiplication costs more than the multiplication. So with few
//! output channels (up to 16, one register on the widest machine) neighbours share what is read:
//! forward and input have tiles of neighbours in a line for windows of three (`tile::run`), and the
//! weight has a line of the window folded into its lanes (`weight::fold`).
//!
//! **Layouts.** The kernel reads and writes channels last. With [`Geometry::last`] that is how the
//! operands lie: they are read where they are, and copied only to put zeros around (a unit of places
//! at a time, which stays in the cache: `data`); results are stored where they belong. With channels
//! second, each unit is turned when it is copied, and its results when they are stored. Weights are
//! `[outputs, inputs / groups, kernel..]` in both. `products` does forward and input, `weight` the
//! gradient for the weight.
//!
//! **Bits** (those of `winograd` are said there). Equal for any number of threads, for both layouts, and for AVX2 and AVX-512. Taps are cut
//! into blocks of 512, each one chain of fused multiply-adds from 0 in the order of the window, then
//! channels (of lines of the window, channels, elements of a line, where neighbours share); blocks are
//! added in order. For the weight, places come in units (parts of an image, or several images) that
//! the shape fixes, cut into blocks of at most 128, and units in at most 16 chunks whose sums are
//! added in order. What is padded (and around the lines of a cotangent, where the window is folded) is
//! a zero that takes part: zero times infinity is NaN. The bias is added to the finished sum, as a
//! pass of its own would.
//!
//! **bf16.** With [`Geometry::bf16`] operands are rounded as they are copied, and they always are copied
//! then. With the machine's instruction for pairs two steps of a sum share an element: two channels, or
//! for the weight two images (`pairs`). The same tiles multiply them; read pairs above for taps, and
//! pairs of images for images. Where groups have few channels (`each`; forward and input), and on
//! machines without the instruction, rounded numbers are multiplied as f32. So bf16 has two kinds of
//! bits, with the instruction and without; either is equal for any number of threads, both layouts and
//! the levels that have it.

mod copy;
mod data;
mod pairs;
mod products;
mod tile;
mod weight;
mod winograd;

use crate::gemm::Activation;
use crate::gemm::round::Form;
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
/// x is `[batch, inputs, x..]`, y `[batch, outputs, y..]`, w `[outputs, inputs / groups, kernel..]`;
/// with `last`, x is `[batch, x.., inputs]` and y `[batch, y.., outputs]`.
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
    /// The channels of x and y lie side by side in memory. Changes no bit of any element.
    pub last: bool,
    /// Operands are rounded to bf16 (not the bias); sums and the result are f32.
    pub bf16: bool,
}

/// What is applied to each element of a result of the passes forward and input before it is stored.
/// The bits are those of separate passes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Epilogue<'a> {
    /// Added: an element for each channel of the result.
    pub bias: Option<Mem<'a>>,
    /// Applied last.
    pub activation: Activation,
}

/// An epilogue that is checked; no bias is null.
#[derive(Clone, Copy)]
struct End {
    bias: *const f32,
    relu: bool,
}

/// Whether each lane has its own data, instead of all lanes the same: groups of few channels.
fn each(groups: usize, inputs: usize, outputs: usize) -> bool {
    groups > 1 && inputs * outputs <= 4
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
/// sizes that cannot be; an epilogue of the gradient for the weight.
pub fn conv(
    pass: Pass,
    geometry: &Geometry,
    a: Mem<'_>,
    b: Mem<'_>,
    epilogue: &Epilogue<'_>,
    out: Mem<'_>,
) -> Result<(), KernelError> {
    let g = *geometry;
    let divided = g.groups > 0
        && g.inputs.is_multiple_of(g.groups)
        && g.outputs.is_multiple_of(g.groups)
        && g.before.iter().all(|&b| b <= isize::MAX as usize / 4)
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
    let channels = if pass == Pass::Forward { g.outputs } else { g.inputs };
    let end = end(epilogue, channels, &out)?;
    if pass == Pass::Weight && (end.relu || !end.bias.is_null()) {
        return Err(KernelError::Type("conv: the gradient for the weight has no epilogue"));
    }
    if nout == 0 {
        return Ok(());
    }
    let plane = nout / (g.batch * channels).max(1);
    if na == 0 || nb == 0 {
        crate::scan::zero(out)?;
        if !end.bias.is_null() {
            for i in 0..nout {
                let channel = if g.last { i % channels } else { i / plane % channels };
                // SAFETY: the window has so many elements, and the bias one a channel.
                unsafe {
                    let x = *end.bias.wrapping_add(channel);
                    *out.ptr::<f32>().wrapping_add(i) = if end.relu && 0.0 > x { 0.0 } else { x };
                }
            }
        }
        return Ok(());
    }
    let form = Form::of(g.bf16);
    let (a, b, out) = (a.ptr::<f32>().cast_const(), b.ptr::<f32>().cast_const(), out.ptr::<f32>());
    // SAFETY: the level is one that this machine has; the windows hold all elements of the sizes,
    // and the result overlaps neither operand.
    unsafe {
        match pass {
            Pass::Forward => products::forward(form, &g, a, b, out, end)?,
            Pass::Input => products::input(form, &g, a, b, out, end)?,
            Pass::Weight => weight::weight(form, &g, a, b, out)?,
        }
    }
    Ok(())
}

fn end(epilogue: &Epilogue<'_>, channels: usize, out: &Mem<'_>) -> Result<End, KernelError> {
    let relu = epilogue.activation == Activation::Relu;
    let Some(bias) = epilogue.bias else { return Ok(End { bias: std::ptr::null(), relu }) };
    if bias.ty() != Ty::F32 {
        return Err(KernelError::Type("conv: the bias is f32"));
    }
    let bias = bias.slice(0, channels).ok_or(KernelError::Bounds("conv: the bias is too short"))?;
    if out.overlaps(&bias) {
        return Err(KernelError::Overlap("conv: the result overlaps the bias"));
    }
    Ok(End { bias: bias.ptr::<f32>().cast_const(), relu })
}
