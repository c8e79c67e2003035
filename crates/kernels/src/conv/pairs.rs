//! Copies in which two numbers rounded to bf16 share an element, as the machine's instruction for pairs
//! reads them; and numbers that are rounded where they are, for machines without.
//!
//! Of the data of forward and input a pair is two neighbouring channels of a place, the last of an odd
//! number with 0. For the gradient of the weight it is the same place of two neighbouring images, the
//! last of an odd number with 0: so no place meets one that it would not meet otherwise, whatever the
//! stride. Numbers below the smallest normal one are 0 in pairs, since that instruction takes them for 0.

use super::copy::{Pad, Turn};
use super::tile::Kernels;
use crate::gemm::round::{Form, along, clear, neighbours};
pub(super) use crate::gemm::round::{Rows, zip};

/// What is done with numbers as they are copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kept {
    /// Nothing; they may be read where they are.
    Full,
    /// Rounded to bf16, as f32.
    Wide,
    /// Two neighbouring channels become a pair.
    Channels,
    /// The same element of two neighbouring images becomes a pair.
    Images,
}

impl Kept {
    /// Images that one of the copy has.
    pub(super) fn images(self) -> usize {
        if self == Kept::Images { 2 } else { 1 }
    }

    /// Elements that so many channels take.
    pub(super) fn channels(self, n: usize) -> usize {
        if self == Kept::Channels { n.div_ceil(2) } else { n }
    }
}

/// Rounds numbers where they are; neighbours stay elements of their own.
///
/// # Safety
/// `n` numbers can be read and written there.
pub(super) unsafe fn wide(at: *mut f32, n: usize) {
    // SAFETY: the contract.
    unsafe { along(Form::Wide, Rows::here(at, n)) };
}

/// Elements of scratch memory that [`pad`] needs for lines of so many elements.
pub(super) fn room(line: usize) -> usize {
    2 * line.next_multiple_of(16)
}

/// What the two numbers of a pair are.
#[derive(Clone, Copy)]
pub(super) enum Two {
    Channels,
    /// The second image lies so far behind the first; none is 0.
    Images(Option<usize>),
}

/// A copy of pairs: `p` says what the copy is like, with distances in pairs and channels of the source.
///
/// # Safety
/// The machine has AVX512-BF16 and the instruction set of the kernels; the source can be read, the copy
/// written, and [`room`] for a line of the copy in f32 at `near`.
pub(super) unsafe fn pad(kernels: &Kernels, p: &Pad, two: Two, near: *mut f32) {
    let step = p.strides[2];
    let before = usize::try_from(-p.from[2]).unwrap_or(0).min(p.sizes[2]);
    let skip = usize::try_from(p.from[2]).unwrap_or(0).min(p.dims[2]);
    let n = (p.dims[2] - skip).min(p.sizes[2] - before);
    let behind = p.sizes[2] - before - n;
    let other = near.wrapping_add(room(n * p.channels) / 2);
    for d in 0..p.sizes[0] {
        for h in 0..p.sizes[1] {
            let (z, y) = (p.from[0] + d as isize, p.from[1] + h as isize);
            let inside = z >= 0 && (z as usize) < p.dims[0] && y >= 0 && (y as usize) < p.dims[1];
            let dst = p.dst.wrapping_add(d * p.strides[0] + h * p.strides[1]);
            // SAFETY: the contract.
            unsafe {
                if !inside {
                    clear(dst, p.sizes[2] * step);
                    continue;
                }
                let row = (z as usize * p.dims[1] + y as usize) * p.dims[2] + skip;
                let src = p.src.wrapping_add(row * p.src_place);
                clear(dst, before * step);
                let to = dst.wrapping_add(before * step);
                // Channels side by side, where they are or turned.
                let line = |src: *const f32, near: *mut f32| {
                    if p.src_channel == 1 || n == 0 {
                        return (src, p.src_place);
                    }
                    let (rows, dst_row) = (p.channels, p.channels);
                    let src_row = p.src_channel;
                    (kernels.turn)(&Turn { src, src_row, rows, cols: n, dst: near, dst_row });
                    (near.cast_const(), p.channels)
                };
                let (low, place) = line(src, near);
                match two {
                    Two::Channels => {
                        let (from, row, count, width) = (low, place, n, p.channels);
                        let whole = row == width && width == 2 * step;
                        let rows = Rows { from, row, count, width, to, to_row: step };
                        neighbours(&if whole { rows.one() } else { rows });
                    }
                    Two::Images(second) => {
                        let high = second.map(|apart| line(src.wrapping_add(apart), other).0);
                        let (from, row, count, width) = (low, place, n, p.channels);
                        let rows = Rows { from, row, count, width, to, to_row: step };
                        let whole = row == width && width == step;
                        let rows = if whole { rows.one() } else { rows };
                        zip(&rows, high.unwrap_or(std::ptr::null()), rows.width);
                    }
                }
                clear(to.wrapping_add(n * step), behind * step);
            }
        }
    }
}

/// Packed weights to pairs, in place: blocks of rows, of which those of the same channel are `near` rows
/// one after another; two neighbouring channels become one.
///
/// # Safety
/// The machine has AVX512-BF16; `blocks * channels * near` rows of `width` numbers can be read and
/// written there, and `width` is a multiple of 16.
pub(super) unsafe fn weights(
    at: *mut f32,
    blocks: usize,
    channels: usize,
    near: usize,
    width: usize,
) {
    let row = near * width;
    // What is written lies before what is read next.
    for block in 0..blocks {
        for pair in 0..channels.div_ceil(2) {
            let low = at.wrapping_add((block * channels + 2 * pair) * row).cast_const();
            let both = 2 * pair + 1 < channels;
            let high = if both { low.wrapping_add(row) } else { std::ptr::null() };
            let to = at.wrapping_add((block * channels.div_ceil(2) + pair) * row);
            let rows = Rows { from: low, row, count: 1, width: row, to, to_row: row };
            // SAFETY: the contract; each register is read before it is written.
            unsafe { zip(&rows, high, row) };
        }
    }
}
