//! Matrix products: `C = act(A B + bias)`, batched, over any strides; bias and activation for f32.
//!
//! This module knows nothing of tensors or layers. [`gemm`] checks the windows; `driver` cuts the
//! product into pieces, panels and tiles; `tile` has the inner kernels, written once over the
//! registers of `simd`, and `kernels` the tables of them for each instruction set. That is f32; f64
//! is in `wide` and integers are in `whole`, each simpler by far.
//!
//! **Bits.** Each element of C is the same for every instruction set with fused multiply-add, any
//! strides and any number of threads: k is cut into blocks of 512; a block is one chain of fused
//! multiply-adds in order of k that starts with 0; the blocks are added in order, then the old C,
//! then the bias. Products of few rows, or of one column, have lanes instead, see `few`; which ones these are
//! depends on sizes alone. The generic level on machines without the fused instruction rounds products
//! separately, in the same order. Products of bf16 ([`gemm_bf16`]) have one order with the machine's
//! instruction for pairs (blocks of 512 pairs) and one without (that of many rows of f32). (Which of several NaN payloads comes out is not specified.)

pub(crate) mod beside;
pub(crate) mod bf16;
pub(crate) mod block;
mod bound;
mod driver;
mod few;
mod kernels;
pub(crate) mod pack;
#[cfg(not(target_arch = "x86_64"))]
mod plain;
pub(crate) mod round;
pub(crate) mod simd;
pub(crate) mod strip;
pub(crate) mod tile;
mod whole;
mod wide;

use crate::memory::{KernelError, Mem, Shared, Ty};
use beside::Taker;
pub use beside::takes;
pub use bound::BoundGemm;
pub(crate) use bound::Tiled;
use driver::Job;
use tile::End;

/// What is applied to each element of a product before it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Activation {
    /// Nothing.
    #[default]
    None,
    /// `0 > x ? 0 : x`; NaN stays NaN.
    Relu,
}

/// A product: `C[b,i,j] = act( sum_k A[b,i,k] * B[b,k,j] (+ C[b,i,j]) + bias[j] )`.
#[derive(Clone, Copy, Debug)]
pub struct Gemm<'a> {
    /// Rows of A and C.
    pub m: usize,
    /// Columns of A, rows of B; with 0 the sum is 0.
    pub k: usize,
    /// Columns of B and C.
    pub n: usize,
    /// The left operand; the window starts with element (0, 0) of the batch entry of offset 0.
    pub a: Mem<'a>,
    /// Distance of two rows and of two columns of A, in elements; anything, 0 repeats.
    pub a_strides: [usize; 2],
    /// The right operand.
    pub b: Mem<'a>,
    /// Distance of two rows and of two columns of B, in elements.
    pub b_strides: [usize; 2],
    /// The result, row-major; it overlaps no operand.
    pub c: Mem<'a>,
    /// Distance of two rows of C, at least `n`.
    pub c_stride: usize,
    /// Number of products; entry `b` of C is at `b * m * c_stride`.
    pub batch: usize,
    /// Where each batch entry of A starts, in elements; may be empty if `batch` is 1.
    pub a_batch: &'a [usize],
    /// Where each batch entry of B starts; may be empty if `batch` is 1.
    pub b_batch: &'a [usize],
    /// Add to what C holds, before the bias.
    pub accumulate: bool,
    /// `n` elements, one a column.
    pub bias: Option<Mem<'a>>,
    /// Applied last, in registers.
    pub activation: Activation,
    /// Look whether all written values are finite.
    pub watch: bool,
}

/// Computes the product. Returns whether all written values are finite, or true if not watched.
///
/// # Errors
/// A window that is too short, of another type, not writable, or that overlaps C.
pub fn gemm(args: &Gemm<'_>) -> Result<bool, KernelError> {
    product(args, false, None)
}

/// As [`gemm`], for f32, with both operands rounded to bf16 first: products of two bf16 are exact in f32,
/// and they are added up in f32. Bias, result and what C holds stay f32.
///
/// # Errors
/// As for [`gemm`]; other types than f32.
pub fn gemm_bf16(args: &Gemm<'_>) -> Result<bool, KernelError> {
    if args.c.ty() != Ty::F32 {
        return Err(KernelError::Type("gemm_bf16: the windows must hold f32"));
    }
    product(args, true, None)
}

fn product(args: &Gemm<'_>, half: bool, taker: Option<&dyn Taker>) -> Result<bool, KernelError> {
    let &Gemm { m, k, n, batch, c_stride, .. } = args;
    let [a_row, a_col] = args.a_strides;
    let [b_row, b_col] = args.b_strides;
    let ty = args.c.ty();
    let same = |w: &Mem<'_>| w.ty() == ty;
    if !same(&args.a) || !same(&args.b) || !args.bias.as_ref().is_none_or(same) {
        return Err(KernelError::Type("gemm: the windows must hold elements of one type"));
    }
    if !args.c.writable() {
        return Err(KernelError::Type("gemm: the result may not be written"));
    }
    if m == 0 || n == 0 || batch == 0 {
        return Ok(true);
    }
    let a = used(&args.a, [m, k], args.a_strides, batch, args.a_batch)
        .ok_or(KernelError::Bounds("gemm: the left operand is too short"))?;
    let b = used(&args.b, [k, n], args.b_strides, batch, args.b_batch)
        .ok_or(KernelError::Bounds("gemm: the right operand is too short"))?;
    let rows = batch.checked_mul(m).ok_or(KernelError::Bounds("gemm: the batch is too large"))?;
    let c = extent([rows, n], [c_stride, 1], 0)
        .filter(|_| c_stride >= n || rows == 1)
        .and_then(|len| args.c.slice(0, len))
        .ok_or(KernelError::Bounds("gemm: the result is too short"))?;
    let bias = match args.bias {
        None => None,
        Some(w) => Some(w.slice(0, n).ok_or(KernelError::Bounds("gemm: the bias is too short"))?),
    };
    if c.overlaps(&a) || c.overlaps(&b) || bias.as_ref().is_some_and(|w| c.overlaps(w)) {
        return Err(KernelError::Overlap("gemm: the result overlaps an operand"));
    }

    if ty != Ty::F32 {
        if taker.is_some() {
            return Err(KernelError::Type("gemm: only f32 can be taken"));
        }
        if args.bias.is_some() || args.activation != Activation::None {
            return Err(KernelError::Type("gemm: only f32 has a bias and an activation"));
        }
        return other(args, a, b, c);
    }
    let mut job = Job {
        m,
        k,
        n,
        a: a.ptr::<f32>(),
        a_row,
        a_col,
        b: b.ptr::<f32>(),
        b_row,
        b_col,
        c: c.ptr::<f32>(),
        c_row: c_stride,
        batch,
        a_batch: args.a_batch,
        b_batch: args.b_batch,
        c_batch: m * c_stride,
        end: End {
            accumulate: args.accumulate,
            bias: bias.map_or(std::ptr::null(), |w| w.ptr::<f32>()),
            bias_each: true,
            relu: args.activation == Activation::Relu,
            watch: args.watch,
        },
        taker,
    };
    let few = !half && few::fits(rows, k, n);
    let mut c_col = 1;
    if few && n == 1 {
        // Such columns may be apart.
        (job.c_row, c_col) = (1, c_stride);
    }
    orient(&mut job);
    if half {
        // SAFETY: the windows hold all elements that sizes, strides and offsets reach, and C overlaps
        // none of the operands.
        return Ok(unsafe { bf16::run(&job) }?);
    }
    let isa = crate::isa::active();
    if few {
        let (kernel, kernels) = (kernels::few_of(isa), kernels::of(isa, job.m, job.n));
        // SAFETY: as below.
        return Ok(unsafe { few::run(kernel, kernels, &job, c_col) }?);
    }
    // SAFETY: the level is one that this machine has; the windows hold all elements that sizes,
    // strides and offsets reach, and C overlaps none of the operands.
    Ok(unsafe { driver::run(kernels::of(isa, job.m, job.n), &job) }?)
}

/// Turns a job into one that the kernels are faster at; says whether A and B have changed places.
fn orient(job: &mut Job<'_>) -> bool {
    let turned = job.n == 1 && job.c_row == 1;
    if turned {
        // A column is stored like a row, and registers hold several elements of a row.
        (job.m, job.n, job.c_row) = (1, job.m, job.m);
        (job.a, job.b) = (job.b, job.a);
        (job.a_batch, job.b_batch) = (job.b_batch, job.a_batch);
        (job.a_row, job.a_col, job.b_row, job.b_col) = (job.b_col, job.b_row, job.a_col, job.a_row);
        job.end.bias_each = false;
    }
    // A stride that nothing steps over is free to be the fast one.
    if job.n == 1 {
        job.b_col = 1;
    }
    if job.k == 1 {
        job.a_col = 1;
        if job.b_col != 1 {
            job.b_row = 1;
        }
    }
    turned
}

/// Products of other types than f32; the windows are checked.
fn other(args: &Gemm<'_>, a: Mem<'_>, b: Mem<'_>, c: Mem<'_>) -> Result<bool, KernelError> {
    let &Gemm { m, k, n, batch, c_stride: c_row, a_strides, b_strides, accumulate, .. } = args;
    let work = m.saturating_mul(n).saturating_mul(k);
    let at = |offsets: &[usize], entry: usize| offsets.get(entry).copied().unwrap_or(0);
    macro_rules! job {
        ($module:ident, $t:ty, $entry:ident, $a:ident, $b:ident, $c:ident) => {
            $module::Job {
                m,
                k,
                n,
                a: $a.ptr::<$t>().cast_const().wrapping_add(at(args.a_batch, $entry)),
                a_strides,
                b: $b.ptr::<$t>().cast_const().wrapping_add(at(args.b_batch, $entry)),
                b_strides,
                c: $c.ptr::<$t>().wrapping_add($entry * m * c_row),
                c_row,
                accumulate,
            }
        };
    }
    match c.ty() {
        Ty::F64 if batch > 1 && work < 1 << 20 => {
            // Many small products: each by one thread.
            let cost = batch.saturating_mul(work) as u64 / 8;
            // SAFETY: pieces write different entries of C.
            let shared = unsafe { Shared::new((a, b, c)) };
            let together = ((1 << 18) / work.max(1)).clamp(1, batch);
            crate::pool::run(batch.div_ceil(together), cost, &|piece| {
                let &(a, b, c) = shared.get();
                for entry in piece * together..((piece + 1) * together).min(batch) {
                    let job = job!(wide, f64, entry, a, b, c);
                    // SAFETY: the windows hold all elements that the job reaches, C overlaps
                    // neither operand. Alone, nothing can go wrong in another thread.
                    let _ = unsafe { wide::run(&job, true) };
                }
            })?;
        }
        Ty::F64 => {
            for entry in 0..batch {
                // SAFETY: as above.
                unsafe { wide::run(&job!(wide, f64, entry, a, b, c), false) }?;
            }
        }
        Ty::I64 => {
            for entry in 0..batch {
                // SAFETY: as above.
                unsafe { whole::run(&job!(whole, i64, entry, a, b, c)) }?;
            }
        }
        Ty::I32 => {
            for entry in 0..batch {
                // SAFETY: as above.
                unsafe { whole::run(&job!(whole, i32, entry, a, b, c)) }?;
            }
        }
        Ty::U8 => {
            for entry in 0..batch {
                // SAFETY: as above.
                unsafe { whole::run(&job!(whole, u8, entry, a, b, c)) }?;
            }
        }
        _ => return Err(KernelError::Type("gemm: not defined on such elements")),
    }
    Ok(!args.watch || crate::scan::all_finite(c))
}

/// Elements from the first to the last that sizes, strides and a start reach.
fn extent(sizes: [usize; 2], strides: [usize; 2], start: usize) -> Option<usize> {
    if sizes[0] == 0 || sizes[1] == 0 {
        return Some(0);
    }
    let down = (sizes[0] - 1).checked_mul(strides[0])?;
    let along = (sizes[1] - 1).checked_mul(strides[1])?;
    down.checked_add(along)?.checked_add(start)?.checked_add(1)
}

/// The part of an operand's window that the product reads.
fn used<'a>(
    window: &Mem<'a>,
    sizes: [usize; 2],
    strides: [usize; 2],
    batch: usize,
    offsets: &[usize],
) -> Option<Mem<'a>> {
    if offsets.len() != batch && !(batch == 1 && offsets.is_empty()) {
        return None;
    }
    let far = offsets.iter().copied().max().unwrap_or(0);
    window.slice(0, extent(sizes, strides, far)?)
}
