//! The forward pass.

use super::soft::{self, Block, Seen};
use super::{Heads, KEYS, Mask, Operand, check};
use crate::gemm::block::{Blocks, Into};
use crate::gemm::pack::{Scratch, with_scratch};
use crate::lanes::LANES;
use crate::memory::{KernelError, Mem, Shared};
use crate::pool;
use std::cell::Cell;

thread_local! {
    /// Blocks on the thread that works on them.
    pub(super) static ROOM: Scratch = const { Cell::new(Vec::new()) };
}

/// A forward pass.
#[derive(Clone, Copy, Debug)]
pub struct Forward<'a> {
    /// How large.
    pub heads: Heads,
    /// Queries `[batch, heads, queries, size]`.
    pub q: Operand<'a>,
    /// Keys `[batch, heads / group, keys, size]`.
    pub k: Operand<'a>,
    /// Values `[batch, heads / group, keys, out]`.
    pub v: Operand<'a>,
    /// `[batch, heads, queries, keys]`.
    pub mask: Option<Mask<'a>>,
    /// [`Heads::tape`] elements: see there.
    pub tape: Mem<'a>,
}

/// Pieces that keep a few threads busy.
const PIECES: usize = 16;

/// Runs a forward pass.
///
/// # Errors
/// [`KernelError`] for windows that do not fit.
pub fn forward(args: &Forward<'_>) -> Result<(), KernelError> {
    let h = args.heads;
    let operands = [&args.q, &args.k, &args.v];
    if !check(&h, operands, args.mask.as_ref(), &[], (&args.tape, h.tape()))? {
        return Ok(());
    }
    // Heads, or where they are few some queries of a head: each piece packs all keys that it sees.
    let all = h.batch * h.heads;
    let blocks = h.queries.div_ceil(h.block());
    let cuts = PIECES.div_ceil(all).min(blocks.div_ceil(4));
    let cost = (h.work(h.size) + h.work(h.out)) / 60 + h.work(1) / 2;
    // SAFETY: pieces write the results of different queries and heads.
    let shared = unsafe { Shared::new(*args) };
    pool::run(all * cuts, cost, &|piece| {
        let (head, cut) = (piece / cuts, piece % cuts);
        let (from, to) = (cut * blocks / cuts, (cut + 1) * blocks / cuts);
        let rows = from * h.block()..h.queries.min(to * h.block());
        // SAFETY: all windows were checked, and these queries are this piece's.
        unsafe { run(shared.get(), head / h.heads, head % h.heads, rows) };
    })?;
    Ok(())
}

/// Some queries of a head, from a multiple of a block on.
///
/// # Safety
/// The windows were checked, and nobody else writes the results of these queries.
unsafe fn run(args: &Forward<'_>, sample: usize, head: usize, rows: std::ops::Range<usize>) {
    let h = args.heads;
    let blocks = Blocks::of(h.bf16);
    let most = KEYS.min(h.keys);
    let row = most.next_multiple_of(LANES) + LANES;
    let sizes = [
        blocks.room(h.size, most),
        blocks.room(most, h.out),
        h.block() * row,
        blocks.copy(most * h.size),
        blocks.copy(h.block() * h.size),
    ];
    with_scratch(&ROOM, sizes.iter().sum(), |room| {
        // SAFETY: the scratch memory has the sizes above; all else is inside the windows.
        unsafe {
            let mut next = room;
            let [to_k, to_v, scores, copy, of_q] = sizes.map(|size| {
                let at = next;
                next = next.add(size);
                at
            });
            let (q, [_, _, q_row]) = (args.q.head(sample, head), args.q.strides);
            let (k, [_, _, k_row]) = (args.k.head(sample, head / h.group), args.k.strides);
            let (v, [_, _, v_row]) = (args.v.head(sample, head / h.group), args.v.strides);
            let apart = h.heads * h.out;
            let tape = args.tape.ptr::<f32>();
            let y = tape.add(sample * h.queries * apart + head * h.out);
            let stats = tape.add(h.visible() + (sample * h.heads + head) * h.queries * 2);
            let seen = args.mask.as_ref().map_or(Seen::All, |m| m.head(sample, head));
            let last = if h.causal { h.keys.min(rows.end) } else { h.keys };
            for key in (0..last).step_by(KEYS) {
                let n = KEYS.min(last - key);
                let keys = blocks.pack(k.add(key * k_row), (1, k_row), (h.size, n), to_k, copy);
                let values = blocks.pack(v.add(key * v_row), (v_row, 1), (n, h.out), to_v, copy);
                for first in rows.clone().step_by(h.block()) {
                    let count = h.block().min(rows.end - first);
                    let end = if h.causal { last.min(first + count) } else { last };
                    if end <= key {
                        continue;
                    }
                    let limit = n.min(end - key);
                    let q = (q.add(first * q_row), q_row);
                    let left = blocks.left(q, (count, h.size), (of_q, h.size));
                    let into = Into { at: scores, row, add: false };
                    blocks.product(left, &keys, (count, h.size, limit), into);
                    let (causal, scale) = (h.causal, h.scale);
                    let block =
                        Block { scores, row, first, count, key, limit, causal, scale, seen, stats };
                    let total = y.add(first * apart);
                    soft::soften(block, key == 0, total, apart, h.out);
                    let left = blocks.left((scores, row), (count, limit), (scores, row));
                    let into = Into { at: total, row: apart, add: key > 0 };
                    blocks.product(left, &values, (count, limit, h.out), into);
                    if key + limit == end {
                        soft::finish(block, total, apart, h.out);
                    }
                }
            }
        }
    });
}
