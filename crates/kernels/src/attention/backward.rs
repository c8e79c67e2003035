//! The backward pass.

use super::forward::ROOM;
use super::soft::{self, Block, Seen};
use super::{Heads, KEYS, Mask, Operand, check};
use crate::gemm::block::{Blocks, Into};
use crate::gemm::pack::with_scratch;
use crate::lanes::LANES;
use crate::memory::{KernelError, Mem, Shared};
use crate::pool;

/// A backward pass.
#[derive(Clone, Copy, Debug)]
pub struct Backward<'a> {
    /// How large.
    pub heads: Heads,
    /// Queries, as in the forward pass (and so on).
    pub q: Operand<'a>,
    /// Keys.
    pub k: Operand<'a>,
    /// Values.
    pub v: Operand<'a>,
    /// The mask.
    pub mask: Option<Mask<'a>>,
    /// What the forward pass made.
    pub tape: Mem<'a>,
    /// The gradient of the result, `[batch, queries, heads, out]`.
    pub g: Mem<'a>,
    /// Gradients of queries, keys and values; [`Heads::packed`] says how they lie.
    pub out: Mem<'a>,
}

/// Where the gradients of an operand go: the first element of a head, and the distance of rows.
#[derive(Clone, Copy)]
struct Place {
    at: usize,
    row: usize,
}

/// The places of operand `i` (queries, keys, values).
fn place(h: &Heads, i: usize, sample: usize, head: usize) -> Place {
    if h.packed() {
        let row = 3 * h.heads * h.size;
        return Place { at: sample * h.queries * row + (i * h.heads + head) * h.size, row };
    }
    let before: usize = h.gradients().iter().take(i).sum();
    let (rows, heads) = if i == 0 { (h.queries, h.heads) } else { (h.keys, h.of_keys()) };
    let width = if i == 2 { h.out } else { h.size };
    let row = heads * width;
    Place { at: before + sample * rows * row + head * width, row }
}

/// Runs a backward pass.
///
/// # Errors
/// [`KernelError`] for windows that do not fit.
pub fn backward(args: &Backward<'_>) -> Result<(), KernelError> {
    let h = args.heads;
    let operands = [&args.q, &args.k, &args.v];
    let whole = [(&args.tape, h.tape()), (&args.g, h.visible())];
    let out = (&args.out, h.gradients().iter().sum());
    if !check(&h, operands, args.mask.as_ref(), &whole, out)? {
        return crate::scan::zero(args.out);
    }
    let cost = (3 * h.work(h.size) + 2 * h.work(h.out)) / 60 + h.work(1);
    // SAFETY: pieces write the gradients of different heads.
    let shared = unsafe { Shared::new(*args) };
    pool::run(h.batch * h.of_keys(), cost, &|piece| {
        // SAFETY: all windows were checked, and this head of keys with its heads of queries is
        // this piece's.
        unsafe { run(shared.get(), piece / h.of_keys(), piece % h.of_keys()) };
    })?;
    Ok(())
}

/// A head of keys, with all heads of queries that share it.
///
/// # Safety
/// The windows were checked, and nobody else writes the gradients of these heads.
unsafe fn run(args: &Backward<'_>, sample: usize, of_keys: usize) {
    let h = args.heads;
    let blocks = Blocks::of(h.bf16);
    let most = KEYS.min(h.keys);
    let row = most.next_multiple_of(LANES) + LANES;
    let sizes = [
        blocks.room(h.size, most),
        blocks.room(h.out, most),
        blocks.room(most, h.size),
        blocks.room(h.block(), h.size),
        blocks.room(h.block(), h.out),
        h.block() * row,
        h.block() * row,
        most * h.size,
        most * h.out,
        blocks.copy(most * h.size.max(h.out)),
        blocks.copy(h.block() * h.size),
        blocks.copy(h.block() * h.out),
        blocks.copy(h.block() * row),
    ];
    with_scratch(&ROOM, sizes.iter().sum(), |room| {
        // SAFETY: the scratch memory has the sizes above; all else is inside the windows.
        unsafe {
            let mut next = room;
            let places = sizes.map(|size| {
                let at = next;
                next = next.add(size);
                at
            });
            let [to_k, to_v, to_rows, to_q, to_g, scores, grads, dk, dv, ..] = places;
            let [.., copy, left_q, left_g, left_grads] = places;
            let (k, [_, _, k_row]) = (args.k.head(sample, of_keys), args.k.strides);
            let (v, [_, _, v_row]) = (args.v.head(sample, of_keys), args.v.strides);
            let apart = h.heads * h.out;
            let out = args.out.ptr::<f32>();
            for key in (0..h.keys).step_by(KEYS) {
                let n = KEYS.min(h.keys - key);
                let keys = blocks.pack(k.add(key * k_row), (1, k_row), (h.size, n), to_k, copy);
                let values = blocks.pack(v.add(key * v_row), (1, v_row), (h.out, n), to_v, copy);
                let rows = blocks.pack(k.add(key * k_row), (k_row, 1), (n, h.size), to_rows, copy);
                dk.write_bytes(0, n * h.size);
                dv.write_bytes(0, n * h.out);
                for head in of_keys * h.group..(of_keys + 1) * h.group {
                    let (q, [_, _, q_row]) = (args.q.head(sample, head), args.q.strides);
                    let start = sample * h.queries * apart + head * h.out;
                    let tape = args.tape.ptr::<f32>();
                    let stats = tape.add(h.visible() + (sample * h.heads + head) * h.queries * 2);
                    let (y, g) = (tape.add(start), args.g.ptr::<f32>().add(start));
                    let seen = args.mask.as_ref().map_or(Seen::All, |m| m.head(sample, head));
                    let dq = place(&h, 0, sample, head);
                    for first in (0..h.queries).step_by(h.block()) {
                        let count = h.block().min(h.queries - first);
                        let end = if h.causal { h.keys.min(first + count) } else { h.keys };
                        if end <= key {
                            continue;
                        }
                        let limit = n.min(end - key);
                        let (q, g) = (q.add(first * q_row), g.add(first * apart));
                        let of_q = blocks.pack(q, (q_row, 1), (count, h.size), to_q, copy);
                        let of_g = blocks.pack(g, (apart, 1), (count, h.out), to_g, copy);
                        let left = blocks.left((q, q_row), (count, h.size), (left_q, h.size));
                        let into = Into { at: scores, row, add: false };
                        blocks.product(left, &keys, (count, h.size, limit), into);
                        let left = blocks.left((g, apart), (count, h.out), (left_g, h.out));
                        let into = Into { at: grads, row, add: false };
                        blocks.product(left, &values, (count, h.out, limit), into);
                        let (causal, scale) = (h.causal, h.scale);
                        let block = Block {
                            scores,
                            row,
                            first,
                            count,
                            key,
                            limit,
                            causal,
                            scale,
                            seen,
                            stats,
                        };
                        soft::weigh(block, grads, y.add(first * apart), g, apart, h.out);
                        let of_grads = blocks.left((grads, row), (count, limit), (left_grads, row));
                        let into = Into { at: dv, row: h.out, add: true };
                        let left = blocks.turned(scores, row, (limit, count));
                        blocks.product(left, &of_g, (limit, count, h.out), into);
                        let into = Into { at: dk, row: h.size, add: true };
                        let left = blocks.turned(grads, row, (limit, count));
                        blocks.product(left, &of_q, (limit, count, h.size), into);
                        let at = out.add(dq.at + first * dq.row);
                        let into = Into { at, row: dq.row, add: key > 0 };
                        blocks.product(of_grads, &rows, (count, limit, h.size), into);
                    }
                }
                for (i, from, width) in [(1, dk, h.size), (2, dv, h.out)] {
                    let to = place(&h, i, sample, of_keys);
                    for r in 0..n {
                        let to = out.add(to.at + (key + r) * to.row);
                        to.copy_from_nonoverlapping(from.add(r * width), width);
                    }
                }
            }
        }
    });
}
