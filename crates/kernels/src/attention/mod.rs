//! Attention, forward and backward, in f32 or with products of bf16, without a matrix of scores in
//! memory.
//!
//! A head is worked on in blocks: some queries by at most `KEYS` keys. Forward, a block of scores
//! is computed, softened with what is the largest so far, and multiplied with the values; what was
//! summed up before shrinks when a larger score turns up. Kept are the result and two numbers a
//! query, from which the backward pass computes each block again (Dao and others,
//! *FlashAttention*, 2022). With a causal mask, blocks that nobody sees are skipped.
//!
//! In bf16 the operands of every product are rounded block by block, the weights and the gradients of
//! the scores too; what is between the products, and all sums, are f32.
//!
//! Operands are read by strides, so heads may lie side by side in the result of one projection.
//!
//! **Bits.** Blocks are cut by shape; sums run over k in order and over the lanes of `lanes`. A
//! piece of the work is a head, or some of its queries; of the backward pass a head of keys.

mod backward;
mod forward;
mod soft;

pub use backward::{Backward, backward};
pub use forward::{Forward, forward};

use crate::memory::{KernelError, Mem, Ty};

/// Keys of a block.
const KEYS: usize = 256;

/// Sizes of an attention over several heads.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Heads {
    /// Samples.
    pub batch: usize,
    /// Heads of queries.
    pub heads: usize,
    /// Heads of queries that share one of keys and values.
    pub group: usize,
    /// Queries.
    pub queries: usize,
    /// Keys, and values.
    pub keys: usize,
    /// Size of queries and keys; at most 512.
    pub size: usize,
    /// Size of values.
    pub out: usize,
    /// Whether query `i` sees only the keys `0..=i`.
    pub causal: bool,
    /// The factor of the scores.
    pub scale: f32,
    /// Operands of products are rounded to bf16.
    pub bf16: bool,
}

/// The largest size of a query: one block of k.
pub const MOST: usize = crate::gemm::block::STEPS;

impl Heads {
    /// Heads of keys.
    pub fn of_keys(&self) -> usize {
        self.heads / self.group.max(1)
    }

    /// Elements of the result, `[batch, queries, heads, out]`.
    pub fn visible(&self) -> usize {
        self.rows().saturating_mul(self.out)
    }

    /// Queries of all heads.
    fn rows(&self) -> usize {
        self.batch.saturating_mul(self.heads).saturating_mul(self.queries)
    }

    /// Elements of what the forward pass makes: the result, then for each sample, head and query
    /// the largest score and what the exponentials were multiplied with.
    pub fn tape(&self) -> usize {
        self.visible().saturating_add(self.rows().saturating_mul(2))
    }

    /// Whether the gradients lie as `[batch, queries, 3, heads, size]`, as they do in one projection;
    /// otherwise those of queries, keys and values follow one another, each `[batch, row, head, size]`.
    pub fn packed(&self) -> bool {
        self.group == 1 && self.queries == self.keys && self.size == self.out
    }

    /// Elements of the gradients of queries, keys and values.
    pub fn gradients(&self) -> [usize; 3] {
        let keys = self.batch.saturating_mul(self.of_keys()).saturating_mul(self.keys);
        [
            self.rows().saturating_mul(self.size),
            keys.saturating_mul(self.size),
            keys.saturating_mul(self.out),
        ]
    }

    /// Queries of a block.
    fn block(&self) -> usize {
        // Divides KEYS: blocks on the diagonal begin inside one block of keys.
        if self.keys <= KEYS { 32 } else { 64 }
    }

    /// Multiply-adds of one product of all scores.
    fn work(&self, size: usize) -> u64 {
        let all = self.rows().saturating_mul(self.keys).saturating_mul(size) as u64;
        if self.causal { all / 2 } else { all }
    }
}

/// Queries, keys or values: element (sample, head, row, j) is at the sum of the strides, `j` being
/// side by side.
#[derive(Clone, Copy, Debug)]
pub struct Operand<'a> {
    /// The window, which starts with the first element.
    pub mem: Mem<'a>,
    /// Distances of samples, heads and rows.
    pub strides: [usize; 3],
}

impl<'a> Operand<'a> {
    fn check(&self, sizes: [usize; 3], width: usize) -> Result<(), KernelError> {
        if self.mem.ty() != Ty::F32 {
            return Err(KernelError::Type("an operand of attention"));
        }
        let mut last = width;
        for (size, stride) in sizes.into_iter().zip(self.strides) {
            last = last.saturating_add((size - 1).saturating_mul(stride));
        }
        if last > self.mem.len() {
            return Err(KernelError::Bounds("an operand of attention"));
        }
        Ok(())
    }

    /// The first element of a head.
    ///
    /// # Safety
    /// The window was checked for sizes that these are inside of.
    unsafe fn head(&self, sample: usize, head: usize) -> *const f32 {
        // SAFETY: the caller's promise.
        unsafe { self.mem.ptr::<f32>().add(sample * self.strides[0] + head * self.strides[1]) }
    }
}

/// What is added to the scores (f32), or which of them count (bool).
#[derive(Clone, Copy, Debug)]
pub struct Mask<'a> {
    /// The window, which starts with the first element.
    pub mem: Mem<'a>,
    /// Distances of samples, heads, queries and keys; that of keys is 0 or 1.
    pub strides: [usize; 4],
}

impl Mask<'_> {
    fn check(&self, h: &Heads) -> Result<(), KernelError> {
        if !matches!(self.mem.ty(), Ty::F32 | Ty::Bool) {
            return Err(KernelError::Type("the mask of attention"));
        }
        let mut last = 1usize;
        let sizes = [h.batch, h.heads, h.queries, h.keys];
        for (size, stride) in sizes.into_iter().zip(self.strides) {
            last = last.saturating_add((size - 1).saturating_mul(stride));
        }
        if last > self.mem.len() || self.strides[3] > 1 {
            return Err(KernelError::Bounds("the mask of attention"));
        }
        Ok(())
    }

    /// Of a head.
    ///
    /// # Safety
    /// The window was checked for sizes that these are inside of.
    unsafe fn head(&self, sample: usize, head: usize) -> soft::Seen {
        let at = sample * self.strides[0] + head * self.strides[1];
        let (row, col) = (self.strides[2], self.strides[3]);
        // SAFETY: the caller's promise.
        unsafe {
            match self.mem.ty() {
                Ty::F32 => soft::Seen::Added(self.mem.ptr::<f32>().add(at), row, col),
                _ => soft::Seen::Chosen(self.mem.ptr_bytes().add(at), row, col),
            }
        }
    }
}

/// Checks sizes and operands. False if there is nothing to do.
fn check(
    h: &Heads,
    [q, k, v]: [&Operand<'_>; 3],
    mask: Option<&Mask<'_>>,
    whole: &[(&Mem<'_>, usize)],
    out: (&Mem<'_>, usize),
) -> Result<bool, KernelError> {
    if h.size > MOST || h.group == 0 || !h.heads.is_multiple_of(h.group) {
        return Err(KernelError::Bounds("the sizes of attention"));
    }
    for (mem, len) in whole.iter().chain([&out]) {
        if mem.ty() != Ty::F32 {
            return Err(KernelError::Type("an operand of attention"));
        }
        if mem.len() != *len {
            return Err(KernelError::Bounds("an operand of attention"));
        }
    }
    if !out.0.writable() {
        return Err(KernelError::Type("the result of attention"));
    }
    let reads = [&q.mem, &k.mem, &v.mem].into_iter().chain(mask.map(|m| &m.mem));
    if reads.chain(whole.iter().map(|(m, _)| *m)).any(|m| m.overlaps(out.0)) {
        return Err(KernelError::Overlap("the result of attention"));
    }
    if [h.batch, h.heads, h.queries, h.keys, h.size, h.out].contains(&0) {
        return Ok(false);
    }
    q.check([h.batch, h.heads, h.queries], h.size)?;
    k.check([h.batch, h.of_keys(), h.keys], h.size)?;
    v.check([h.batch, h.of_keys(), h.keys], h.out)?;
    if let Some(mask) = mask {
        mask.check(h)?;
    }
    Ok(true)
}
