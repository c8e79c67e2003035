//! Softmax and its relatives, row by row, in f32.
//!
//! A row is read in vectors of 16, the lanes of `lanes`, and its sums are added up in that
//! order. Everything is written so that an output may be the very window of an operand: a vector is
//! loaded, worked on and stored before the next.

/// A wrapper for each level of an unsafe row kernel.
macro_rules! row_kernel {
    ($name:ident($($arg:ident: $ty:ty),*) => $body:ident) => {
        /// # Safety
        /// The pointers must be good for what the body reads and writes: the rows given.
        #[allow(clippy::too_many_arguments)]
        pub(super) unsafe fn $name($($arg: $ty),*) {
            leveled!(fn at_level[]($($arg: $ty),*) => inner);
            #[inline(always)]
            #[allow(clippy::too_many_arguments)]
            fn inner<const FMA: bool>($($arg: $ty),*) {
                // SAFETY: the caller of the outer function vouches for the pointers.
                unsafe { $body::<FMA>($($arg),*) }
            }
            at_level($($arg),*);
        }
    };
}

mod short;
pub(crate) mod vector;

use crate::lanes::{CHUNK, Fold, LANES, Larger, Pairwise, Sum, tree};
use crate::levels::{lanewise, leveled, one_vector_a_turn};
use crate::memory::{KernelError, Mem, Shared, Ty};
use crate::{pool, vmath};
use vector::{V, first_lanes, for_vectors, load, store};

/// Elements a piece of a job has, about.
const PIECE: usize = 16 * 1024;

/// `exp(x) / sum(exp(x))` of each row of `n`. A row with +inf, NaN, or nothing but -inf is NaN.
///
/// # Errors
/// [`KernelError`] for windows that do not fit.
pub fn softmax(x: Mem<'_>, out: Mem<'_>, n: usize) -> Result<(), KernelError> {
    each_row([x], out, n, 1.0, if n <= LANES { short::softmax_rows } else { softmax_rows })
}

/// `x - log(sum(exp(x)))` of each row of `n`; NaN where softmax is.
///
/// # Errors
/// [`KernelError`] for windows that do not fit.
pub fn log_softmax(x: Mem<'_>, out: Mem<'_>, n: usize) -> Result<(), KernelError> {
    let short = n <= LANES;
    each_row([x], out, n, 1.0, if short { short::log_softmax_rows } else { log_softmax_rows })
}

/// Gradient of [`softmax`] from its result `y` and the result's gradient `g`: `y * (g - sum(g * y))`.
///
/// # Errors
/// [`KernelError`] for windows that do not fit.
pub fn softmax_grad(y: Mem<'_>, g: Mem<'_>, dx: Mem<'_>, n: usize) -> Result<(), KernelError> {
    each_row([y, g], dx, n, 0.3, softmax_grad_rows)
}

/// Gradient of [`log_softmax`] from its result `y` and the result's gradient `g`:
/// `g - exp(y) * sum(g)`.
///
/// # Errors
/// [`KernelError`] for windows that do not fit.
pub fn log_softmax_grad(y: Mem<'_>, g: Mem<'_>, dx: Mem<'_>, n: usize) -> Result<(), KernelError> {
    each_row([y, g], dx, n, 0.6, log_softmax_grad_rows)
}

/// Cross-entropy of each row of `n` logits with its i64 target class: `log(sum(exp(x))) - x[target]`.
/// Rows whose target is `ignore` have loss 0.
///
/// # Errors
/// [`KernelError::Index`] for a target that is no class; others for windows that do not fit.
pub fn cross_entropy(
    logits: Mem<'_>,
    targets: Mem<'_>,
    loss: Mem<'_>,
    n: usize,
    ignore: Option<i64>,
) -> Result<(), KernelError> {
    let rows = loss.len();
    output(&loss, &[logits, targets], false)?;
    let targets = classes(&logits, targets, rows, n, ignore)?;
    // SAFETY: the loss overlaps no operand, and windows are used by one kernel at a time.
    let (x, to) = unsafe { Shared::new((logits.ptr::<f32>(), loss.ptr::<f32>())) }.parts();
    in_pieces(rows, n, 0.8, |first, count| {
        let targets = targets.get(first..first + count).unwrap_or_default();
        // SAFETY: rows `first..first + count` are inside both windows, and no other piece's.
        unsafe {
            let x = x.get().add(first * n);
            let kernel = if n <= LANES { short::cross_entropy_rows } else { cross_entropy_rows };
            kernel(x, (rows - first) * n, targets, to.get().add(first), n, ignore);
        }
    })
}

/// Gradient of [`cross_entropy`]: `(softmax(x) - onehot(target)) * g`, 0 for ignored rows. `g` has
/// one element a row, or a single one.
///
/// # Errors
/// As [`cross_entropy`].
pub fn cross_entropy_grad(
    logits: Mem<'_>,
    targets: Mem<'_>,
    g: Mem<'_>,
    dx: Mem<'_>,
    n: usize,
    ignore: Option<i64>,
) -> Result<(), KernelError> {
    let rows = targets.len();
    output(&dx, &[logits], true)?;
    output(&dx, &[g, targets], false)?;
    let targets = classes(&logits, targets, rows, n, ignore)?;
    if g.ty() != Ty::F32 {
        return Err(KernelError::Type("gradient of a cross-entropy"));
    }
    if (g.len() != rows && g.len() != 1) || dx.len() != logits.len() {
        return Err(KernelError::Bounds("gradient of a cross-entropy"));
    }
    let step = usize::from(g.len() == rows);
    // SAFETY: `dx` overlaps only the logits, and these only as the same window; pieces have
    // different rows.
    let (x, to) = unsafe { Shared::new((logits.ptr::<f32>(), dx.ptr::<f32>())) }.parts();
    // SAFETY: `g` is only read, by one kernel at a time.
    let Some(g) = (unsafe { g.slice_of::<f32>() }) else { return Ok(()) };
    in_pieces(rows, n, 1.0, |first, count| {
        let targets = targets.get(first..first + count).unwrap_or_default();
        // SAFETY: rows `first..first + count` are inside both windows, and no other piece's. Only
        // what this piece has not written yet may be read ahead, and no other piece's rows.
        unsafe {
            let (x, to) = (x.get().add(first * n), to.get().add(first * n));
            let g = g.get(first * step..).unwrap_or_default();
            let kernel =
                if n <= LANES { short::cross_entropy_grad_rows } else { cross_entropy_grad_rows };
            kernel(x, count * n, targets, g, step, to, n, ignore);
        }
    })
}

impl<A, B> Shared<(A, B)> {
    /// The two parts, each shared as the pair was.
    fn parts(self) -> (Shared<A>, Shared<B>) {
        let (a, b) = self.into_inner();
        // SAFETY: the promise made for the pair holds for its parts.
        unsafe { (Shared::new(a), Shared::new(b)) }
    }
}

/// The targets, all of them classes or to be ignored.
fn classes<'a>(
    logits: &Mem<'a>,
    targets: Mem<'a>,
    rows: usize,
    n: usize,
    ignore: Option<i64>,
) -> Result<&'a [i64], KernelError> {
    if logits.ty() != Ty::F32 || targets.ty() != Ty::I64 {
        return Err(KernelError::Type("operand of a cross-entropy"));
    }
    if targets.len() != rows || rows.checked_mul(n) != Some(logits.len()) {
        return Err(KernelError::Bounds("operand of a cross-entropy"));
    }
    // SAFETY: the callers have checked that the output does not overlap the targets.
    let Some(slice) = (unsafe { targets.slice_of::<i64>() }) else { return Ok(&[]) };
    let wrong = |t: &i64| !(0..n as i64).contains(t) && Some(*t) != ignore;
    match slice.iter().position(wrong) {
        Some(position) => {
            let value = slice.get(position).copied().unwrap_or_default();
            Err(KernelError::Index { position, value, size: n })
        }
        None => Ok(slice),
    }
}

/// Checks an output against operands; `in_place` allows it to be the same window as one.
fn output(out: &Mem<'_>, operands: &[Mem<'_>], in_place: bool) -> Result<(), KernelError> {
    if out.ty() != Ty::F32 || !out.writable() {
        return Err(KernelError::Type("output of a row kernel"));
    }
    if operands.iter().any(|m| m.overlaps(out) && !(in_place && m.same(out))) {
        return Err(KernelError::Overlap("output of a row kernel"));
    }
    Ok(())
}

/// A kernel on rows: operands, how many elements may be read from each, output, rows, `n`.
type RowsKernel<const K: usize> = unsafe fn([*const f32; K], usize, *mut f32, usize, usize);

fn each_row<const K: usize>(
    operands: [Mem<'_>; K],
    out: Mem<'_>,
    n: usize,
    ns: f64,
    kernel: RowsKernel<K>,
) -> Result<(), KernelError> {
    if operands.iter().any(|m| m.ty() != Ty::F32) {
        return Err(KernelError::Type("operand of a row kernel"));
    }
    let rows = out.len().checked_div(n).unwrap_or(0);
    if rows * n != out.len() || operands.iter().any(|m| m.len() != out.len()) {
        return Err(KernelError::Bounds("rows"));
    }
    output(&out, &operands, true)?;
    // SAFETY: the output overlaps operands only as the same window; pieces have different rows.
    let shared = unsafe { Shared::new((operands.map(|m| m.ptr::<f32>()), out.ptr::<f32>())) };
    in_pieces(rows, n, ns, |first, count| {
        let (from, to) = shared.get();
        // SAFETY: rows `first..first + count` are inside all windows and no other piece's; the
        // kernel reads no further than those rows, since others may be being written.
        unsafe {
            let from = from.map(|p| p.add(first * n).cast_const());
            kernel(from, count * n, to.add(first * n), count, n);
        }
    })
}

/// Cuts rows into pieces of a size that depends on `n` alone; `job(first, count)`.
fn in_pieces(
    rows: usize,
    n: usize,
    ns: f64,
    job: impl Fn(usize, usize) + Sync,
) -> Result<(), KernelError> {
    let a_piece = (PIECE / n.max(1)).max(1);
    let cost = (rows as f64 * (n.max(LANES) as f64 * ns + 5.0)) as u64;
    pool::run(rows.div_ceil(a_piece), cost, &|piece| {
        let first = piece * a_piece;
        job(first, a_piece.min(rows - first));
    })?;
    Ok(())
}

/// `sum_vectors!(n => |start, count| vector)`: the sum over a row, in the order of
/// `lanes`; the vectors must have 0 in the lanes beyond `count`.
macro_rules! sum_vectors {
    ($n:expr => |$i:ident, $count:ident| $vector:expr) => {{
        let n: usize = $n;
        let mut chunks: Option<Pairwise<f32, Sum>> = None;
        let mut $i = 0;
        loop {
            let end = n.min($i + CHUNK);
            let mut lanes: V = [0.0; LANES];
            while $i + LANES <= end {
                let $count = LANES;
                lanes = lanewise!(lanes, $vector => |a, b| a + b);
                $i += LANES;
                one_vector_a_turn();
            }
            if $i < end {
                let $count = end - $i;
                lanes = lanewise!(lanes, $vector => |a, b| a + b);
                $i = end;
            }
            let total = tree::<f32, Sum>(lanes);
            if chunks.is_none() && end == n {
                break total; // the usual case, without the tree of chunks
            }
            let chunks = chunks.get_or_insert_with(Pairwise::new);
            chunks.push(total);
            if end == n {
                break chunks.finish();
            }
        }
    }};
}

/// The largest number of a row: NaNs are passed over, since they come back through the sum.
///
/// # Safety
/// `readable >= n` elements may be read at `x`.
#[inline(always)]
unsafe fn max(x: *const f32, n: usize, readable: usize) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; LANES];
    for_vectors!(n => |i, count| {
        // SAFETY: i + count <= n.
        let v = unsafe { load(x.add(i), count, readable - i, f32::NEG_INFINITY) };
        lanes = lanewise!(lanes, v => |a, b| Larger::join(a, b));
    });
    tree::<f32, Larger>(lanes)
}

/// `sum(exp(x - m))` of a row; with `keep`, stores the terms.
///
/// # Safety
/// `readable >= n` elements may be read at `x`, and `n` written at `keep` if that is given.
#[inline(always)]
unsafe fn sum_exp<const FMA: bool>(
    x: *const f32,
    n: usize,
    readable: usize,
    m: f32,
    keep: Option<*mut f32>,
) -> f32 {
    sum_vectors!(n => |i, count| {
        // SAFETY: i + count <= n.
        let v = unsafe { load(x.add(i), count, readable - i, m) };
        let mut t = lanewise!(v => |x| vmath::exp::<FMA>(x - m));
        if count < LANES {
            // Not by way of exp(-inf): its path through subnormals takes longer than all the rest.
            t = first_lanes(t, count, 0.0);
        }
        if let Some(keep) = keep {
            // SAFETY: i + count <= n.
            unsafe { store(keep.add(i), t, count) };
        }
        t
    })
}

/// Makes a row NaN in the one form that all paths give.
///
/// # Safety
/// `n` elements may be written at `y`.
#[inline(never)]
unsafe fn nan_row(y: *mut f32, n: usize) {
    for i in 0..n {
        // SAFETY: i < n.
        unsafe { y.add(i).write(f32::NAN) };
    }
}

row_kernel!(softmax_rows(x: [*const f32; 1], readable: usize, y: *mut f32, rows: usize, n: usize)
    => softmax_body);
#[inline(always)]
unsafe fn softmax_body<const FMA: bool>(
    [x]: [*const f32; 1],
    readable: usize,
    y: *mut f32,
    rows: usize,
    n: usize,
) {
    for row in 0..rows {
        let at = row * n;
        // SAFETY: the row is inside, and what follows it may be read up to `readable`.
        unsafe {
            let (x, y) = (x.add(at), y.add(at));
            let m = max(x, n, readable - at);
            let total = sum_exp::<FMA>(x, n, readable - at, m, Some(y));
            if total.is_nan() {
                nan_row(y, n);
                continue;
            }
            let scale = 1.0 / total;
            for_vectors!(n => |i, count| {
                let t = load(y.add(i), count, readable - at - i, 0.0);
                store(y.add(i), lanewise!(t => |t| t * scale), count);
            });
        }
    }
}

row_kernel!(log_softmax_rows(x: [*const f32; 1], readable: usize, y: *mut f32, rows: usize,
    n: usize) => log_softmax_body);
#[inline(always)]
unsafe fn log_softmax_body<const FMA: bool>(
    [x]: [*const f32; 1],
    readable: usize,
    y: *mut f32,
    rows: usize,
    n: usize,
) {
    for row in 0..rows {
        let at = row * n;
        // SAFETY: the row is inside, and what follows it may be read up to `readable`.
        unsafe {
            let (x, y) = (x.add(at), y.add(at));
            let m = max(x, n, readable - at);
            let total = sum_exp::<FMA>(x, n, readable - at, m, None);
            if total.is_nan() {
                nan_row(y, n);
                continue;
            }
            let log = vmath::log::<FMA>(total);
            for_vectors!(n => |i, count| {
                let v = load(x.add(i), count, readable - at - i, 0.0);
                store(y.add(i), lanewise!(v => |x| (x - m) - log), count);
            });
        }
    }
}

row_kernel!(softmax_grad_rows(yg: [*const f32; 2], readable: usize, dx: *mut f32, rows: usize,
    n: usize) => softmax_grad_body);
#[inline(always)]
unsafe fn softmax_grad_body<const FMA: bool>(
    [y, g]: [*const f32; 2],
    readable: usize,
    dx: *mut f32,
    rows: usize,
    n: usize,
) {
    for row in 0..rows {
        let at = row * n;
        // SAFETY: the row is inside, and what follows it may be read up to `readable`.
        unsafe {
            let (y, g, dx) = (y.add(at), g.add(at), dx.add(at));
            let total = sum_vectors!(n => |i, count| {
                let left = readable - at - i;
                let (y, g) = (load(y.add(i), count, left, 0.0), load(g.add(i), count, left, 0.0));
                lanewise!(y, g => |y, g| g * y)
            });
            for_vectors!(n => |i, count| {
                let left = readable - at - i;
                let (y, g) = (load(y.add(i), count, left, 0.0), load(g.add(i), count, left, 0.0));
                store(dx.add(i), lanewise!(y, g => |y, g| y * (g - total)), count);
            });
        }
    }
}

row_kernel!(log_softmax_grad_rows(yg: [*const f32; 2], readable: usize, dx: *mut f32, rows: usize,
    n: usize) => log_softmax_grad_body);
#[inline(always)]
unsafe fn log_softmax_grad_body<const FMA: bool>(
    [y, g]: [*const f32; 2],
    readable: usize,
    dx: *mut f32,
    rows: usize,
    n: usize,
) {
    for row in 0..rows {
        let at = row * n;
        // SAFETY: the row is inside, and what follows it may be read up to `readable`.
        unsafe {
            let (y, g, dx) = (y.add(at), g.add(at), dx.add(at));
            let total = sum_vectors!(n => |i, count| load(g.add(i), count, readable - at - i, 0.0));
            for_vectors!(n => |i, count| {
                let left = readable - at - i;
                let (y, g) = (load(y.add(i), count, left, 0.0), load(g.add(i), count, left, 0.0));
                store(dx.add(i), lanewise!(y, g => |y, g| g - vmath::exp::<FMA>(y) * total), count);
            });
        }
    }
}

row_kernel!(cross_entropy_rows(x: *const f32, readable: usize, targets: &[i64], loss: *mut f32,
    n: usize, ignore: Option<i64>) => cross_entropy_body);
#[inline(always)]
unsafe fn cross_entropy_body<const FMA: bool>(
    x: *const f32,
    readable: usize,
    targets: &[i64],
    loss: *mut f32,
    n: usize,
    ignore: Option<i64>,
) {
    for (row, &target) in targets.iter().enumerate() {
        let at = row * n;
        // SAFETY: the row is inside, what follows it may be read up to `readable`, and a target
        // that is not to be ignored was checked to be a class.
        unsafe {
            let value = if Some(target) == ignore {
                0.0
            } else {
                let x = x.add(at);
                let m = max(x, n, readable - at);
                let total = sum_exp::<FMA>(x, n, readable - at, m, None);
                vmath::log::<FMA>(total) - (x.add(target as usize).read() - m)
            };
            loss.add(row).write(if value.is_nan() { f32::NAN } else { value });
        }
    }
}

row_kernel!(cross_entropy_grad_rows(x: *const f32, readable: usize, targets: &[i64], g: &[f32],
    step: usize, dx: *mut f32, n: usize, ignore: Option<i64>) => cross_entropy_grad_body);
#[inline(always)]
#[allow(clippy::too_many_arguments)]
unsafe fn cross_entropy_grad_body<const FMA: bool>(
    x: *const f32,
    readable: usize,
    targets: &[i64],
    g: &[f32],
    step: usize,
    dx: *mut f32,
    n: usize,
    ignore: Option<i64>,
) {
    for (row, &target) in targets.iter().enumerate() {
        let at = row * n;
        let g = g.get(row * step).copied().unwrap_or_default();
        // SAFETY: the row is inside, what follows it may be read up to `readable`, and a target
        // that is not to be ignored was checked to be a class.
        unsafe {
            let (x, dx) = (x.add(at), dx.add(at));
            if Some(target) == ignore {
                for i in 0..n {
                    dx.add(i).write(0.0);
                }
                continue;
            }
            let m = max(x, n, readable - at);
            let total = sum_exp::<FMA>(x, n, readable - at, m, Some(dx));
            if total.is_nan() {
                nan_row(dx, n);
                continue;
            }
            let scale = 1.0 / total;
            let of_target = (dx.add(target as usize).read() * scale - 1.0) * g;
            for_vectors!(n => |i, count| {
                let t = load(dx.add(i), count, readable - at - i, 0.0);
                store(dx.add(i), lanewise!(t => |t| t * scale * g), count);
            });
            dx.add(target as usize).write(of_target);
        }
    }
}
