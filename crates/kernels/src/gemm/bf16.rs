//! Products of operands that are rounded to bf16; sums, bias and result are f32.
//!
//! With the machine's instruction for pairs, two neighbours in k become one 32-bit element, and the driver
//! of f32 does the rest: it only moves elements, and its tiles multiply pairs. Without, operands are
//! rounded and stay f32.

use super::driver::{self, Job};
use super::kernels;
use super::pack::{ROUNDED, with_scratch};
use crate::levels::leveled;
use crate::memory::Shared;
use crate::pool::{self, PiecePanicked};

/// Steps of k, columns and rows below which pairs do not pay. Part of the definition of the result.
const FEW: [usize; 3] = [16, 16, 2];

/// Elements that one piece rounds.
const PIECE: usize = 1 << 15;

/// One operand of one product: `count` rows (of A) or columns (of B), each of `k` elements.
#[derive(Clone, Copy)]
struct Side {
    src: *const f32,
    count: usize,
    k: usize,
    /// Distance of rows or columns, and of steps of k.
    across: usize,
    step: usize,
}

/// Where an operand was put: distances of rows or columns, and of steps of k.
struct Placed {
    across: usize,
    step: usize,
}

/// # Safety
/// As for [`driver::run`], but for the instruction set.
pub(super) unsafe fn run(job: &Job<'_>) -> Result<bool, PiecePanicked> {
    let pairs = crate::isa::bf16_pairs() && job.k >= FEW[0] && job.n >= FEW[1] && job.m >= FEW[2];
    let k = if pairs { job.k.div_ceil(2) } else { job.k };
    let a_size = (job.m * k).next_multiple_of(16);
    let b_size = (k * job.n).next_multiple_of(16);
    with_scratch(&ROUNDED, a_size + b_size, |scratch| {
        let mut finite = true;
        for entry in 0..job.batch {
            let at = |offsets: &[usize]| offsets.get(entry).copied().unwrap_or(0);
            let a = Side {
                src: job.a.wrapping_add(at(job.a_batch)),
                count: job.m,
                k: job.k,
                across: job.a_row,
                step: job.a_col,
            };
            let b = Side {
                src: job.b.wrapping_add(at(job.b_batch)),
                count: job.n,
                k: job.k,
                across: job.b_col,
                step: job.b_row,
            };
            let (to_a, to_b) = (scratch, scratch.wrapping_add(a_size));
            // SAFETY: the contract; both have room.
            let (at_a, at_b) = unsafe { (rounded(a, pairs, to_a)?, rounded(b, pairs, to_b)?) };
            let one = Job {
                m: job.m,
                k,
                n: job.n,
                a: to_a,
                a_row: at_a.across,
                a_col: at_a.step,
                b: to_b,
                b_row: at_b.step,
                b_col: at_b.across,
                c: job.c.wrapping_add(entry * job.c_batch),
                c_row: job.c_row,
                batch: 1,
                a_batch: &[],
                b_batch: &[],
                c_batch: 0,
                end: job.end,
            };
            #[cfg(target_arch = "x86_64")]
            if pairs {
                // SAFETY: the contract, and the machine has the instructions for pairs.
                finite &= unsafe { driver::run(&kernels::PAIRS, &one) }?;
                continue;
            }
            let kernels = kernels::of(crate::isa::active(), job.m, job.n);
            // SAFETY: the contract, and the level is one that this machine has.
            finite &= unsafe { driver::run(kernels, &one) }?;
        }
        Ok(finite)
    })
}

/// Rounds an operand to `to`, in the order of its memory: elements side by side stay so.
///
/// # Safety
/// The operand can be read; `to` has room for `count` times `k` elements (or pairs).
unsafe fn rounded(side: Side, pairs: bool, to: *mut f32) -> Result<Placed, PiecePanicked> {
    let kept = if pairs { side.k.div_ceil(2) } else { side.k };
    // Rows of memory are steps of k where rows of the operand lie side by side.
    let sideways = side.across == 1 && side.step != 1;
    let lines = if sideways { kept } else { side.count };
    let length = if sideways { side.count } else { kept };
    let together = (PIECE / length.max(1)).max(1);
    let cost = (side.count * side.k) as u64 / 8;
    // SAFETY: pieces write different lines.
    let shared = unsafe { Shared::new((side, to)) };
    pool::run(lines.div_ceil(together), cost, &|piece| {
        let &(side, to) = shared.get();
        for line in piece * together..lines.min((piece + 1) * together) {
            line_of(&side, pairs, sideways, line, to.wrapping_add(line * length));
        }
    })?;
    Ok(if sideways {
        Placed { across: 1, step: side.count }
    } else {
        Placed { across: kept, step: 1 }
    })
}

leveled!(fn line_of[](side: &Side, pairs: bool, sideways: bool, line: usize, to: *mut f32) => line_body);
/// One line of a rounded operand. Called only by [`rounded`], whose caller vouches for the pointers.
#[inline(always)]
fn line_body<const FMA: bool>(side: &Side, pairs: bool, sideways: bool, line: usize, to: *mut f32) {
    let _ = FMA;
    let &Side { src, count, k, across, step } = side;
    // SAFETY: element (i, k) of the operand is at i * across + k * step, and the line has room.
    unsafe {
        let to = to.cast::<u32>();
        match (pairs, sideways) {
            (true, true) => {
                let low = src.wrapping_add(2 * line * step);
                if 2 * line + 1 < k {
                    let high = low.wrapping_add(step);
                    for i in 0..count {
                        *to.add(i) = pair(*low.add(i), *high.add(i));
                    }
                } else {
                    for i in 0..count {
                        *to.add(i) = pair(*low.add(i), 0.0);
                    }
                }
            }
            (true, false) => {
                let row = src.wrapping_add(line * across);
                if step == 1 {
                    for i in 0..k / 2 {
                        *to.add(i) = pair(*row.add(2 * i), *row.add(2 * i + 1));
                    }
                } else {
                    for i in 0..k / 2 {
                        *to.add(i) = pair(*row.add(2 * i * step), *row.add((2 * i + 1) * step));
                    }
                }
                if k % 2 == 1 {
                    *to.add(k / 2) = pair(*row.add((k - 1) * step), 0.0);
                }
            }
            (false, true) => {
                let row = src.wrapping_add(line * step);
                for i in 0..count {
                    *to.add(i) = round(*row.add(i));
                }
            }
            (false, false) => {
                let row = src.wrapping_add(line * across);
                for i in 0..k {
                    *to.add(i) = round(*row.add(i * step));
                }
            }
        }
    }
}

/// The bits of the nearest bf16 in the upper half, ties to even; NaN stays NaN.
#[inline(always)]
pub(crate) fn round(x: f32) -> u32 {
    let bits = x.to_bits();
    let rounded = bits.wrapping_add(0x7fff + (bits >> 16 & 1)) & 0xffff_0000;
    if bits & 0x7fff_ffff > 0x7f80_0000 { bits & 0xffff_0000 | 0x0040_0000 } else { rounded }
}

/// Two bf16: the first in the lower half.
#[inline(always)]
pub(crate) fn pair(first: f32, second: f32) -> u32 {
    round(first) >> 16 | round(second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_is_to_the_nearest_and_keeps_what_is_no_number() {
        let to = |x: f32| f32::from_bits(round(x));
        assert_eq!(to(1.0), 1.0);
        assert_eq!(to(1.0 + 1.0 / 256.0), 1.0, "a tie goes to even");
        assert_eq!(to(1.0 + 3.0 / 256.0), 1.0 + 4.0 / 256.0);
        assert_eq!(to(f32::MAX), f32::INFINITY);
        assert_eq!(to(f32::NEG_INFINITY), f32::NEG_INFINITY);
        assert!(to(f32::NAN).is_nan() && to(f32::from_bits(0x7f80_0001)).is_nan());
        assert_eq!(pair(1.0, 2.0), 0x4000_3f80);
    }
}
