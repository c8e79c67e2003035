//! Windows of 3 x 3 with 16 instead of 36 multiplications for four places: F(2 x 2, 3 x 3) of Lavin
//! and Gray, "Fast algorithms for convolutional neural networks" (2016), after Winograd.
//!
//! Places are cut into tiles of 2 x 2, which meet 4 x 4 elements `d` of the data. With
//!
//! ```text
//!         1  0 -1  0            1    0    0
//! B^T  =  0  1  1  0     G  =  1/2  1/2  1/2     A^T  =  1  1  1  0
//!         0 -1  1  0           1/2 -1/2  1/2             0  1 -1 -1
//!         0  1  0 -1            0    0    1
//! ```
//!
//! a tile is `A^T [(G g G^T) * (B^T d B)] A`, where `*` multiplies element by element and sums over
//! channels: 16 products of matrices, `[tiles, channels] [channels, outputs]`. Its gradient for the
//! window is `G^T [(B^T d B) * (A e A^T)] G` with the cotangent `e` of the tile, and `*` sums over
//! tiles: the same 16 products of other sides.
//!
//! | file | what it has |
//! |---|---|
//! | `pass` | forward, and the gradient for the input: the same with the window turned around |
//! | `weight` | the gradient for the weight |
//! | `transform` | the four matrices, applied to registers of channels |
//! | `product` | the 16 products, and what an instruction set has |
//!
//! **Error.** On random numbers it is 0.7 to 1.4 times that of the plain sum: there are roundings more, and
//! chains are shorter (a test bounds it). But elements and weights of a window are mixed before they are
//! multiplied, so it is relative to the largest of either, not to their products: beside a large element under a small
//! weight digits are lost, an exact zero may be a rounding error, and an infinity may be NaN. No place
//! depends on elements outside of its own window. The gradient for a weight depends on whole tiles, and so on a
//! line and a column more at either side.
//!
//! **Bits.** Tiles lie on a grid that starts at place 0. A sum over channels is a chain of fused
//! multiply-adds for each 128, added in order; over tiles, one for each group, added in order for each chunk, whose
//! sums are added in order; the shape fixes groups and chunks. Equal for AVX2 and AVX-512, any number of
//! threads and both layouts; those of an image do not depend on the batch.

mod pass;
mod product;
mod transform;
mod weight;

pub(super) use pass::Product;
pub(super) use product::of as sides;
pub(super) use weight::weight;

use super::data::{Axis, Unit};
use super::{Geometry, Pass};

/// Elements of a side of what a tile meets, and of all of it.
const SIDE: usize = 4;
const POINTS: usize = SIDE * SIDE;

/// Elements of the window.
const WINDOW: usize = 9;

/// Places of a side of a tile.
const STEP: usize = 2;

/// Channels of either side from which transforms cost less than they save.
const MANY: usize = 16;

/// Transformed data has so many channels of a tile side by side, then those of the next tile.
const BLOCK: usize = 16;

/// Tiles of a unit at most, and until when images are taken together: small units, so that threads can share an
/// image. Sums over tiles follow units, so this is part of the definition of the gradient for the weight.
const UNIT: usize = 96;
const IMAGES: usize = 48;

/// Added to what lies between two points, so that they do not meet in the cache.
const APART: usize = 16;

/// Inputs times outputs from which the sums of a weight's gradient (16 for each) do not stay near.
const LARGE: usize = 1 << 17;

/// Whether a pass is computed this way. From the sizes of an image alone: neither the batch nor the machine changes the bits of an
/// image.
pub(super) fn fits(g: &Geometry, pass: Pass) -> bool {
    let [_, h, w] = if pass == Pass::Input { g.x } else { g.y };
    let near = pass != Pass::Weight || g.inputs.saturating_mul(g.outputs) < LARGE;
    let plain = g.kernel == [1, 3, 3]
        && g.stride == [1; 3]
        && g.dilation == [1; 3]
        && g.groups == 1
        && g.x[0] == 1
        && g.y[0] == 1
        && g.before[0] == 0
        && !g.bf16;
    let tiles = h.div_ceil(STEP) * w.div_ceil(STEP);
    // At edges tiles compute places that nobody wants.
    plain && near && g.inputs.min(g.outputs) >= MANY && tiles * POINTS * 3 <= h * w * WINDOW * 2
}

/// Tiles as places of a window of 4: the axes of data whose element `first` the window's first element
/// meets at place 0.
fn tiles(places: [usize; 3], first: [isize; 3]) -> [Axis; 3] {
    std::array::from_fn(|i| match i {
        0 => Axis { places: 1, step: 1, taps: 1, first: first[0], delta: 1 },
        _ => Axis {
            places: places[i].div_ceil(STEP),
            step: STEP,
            taps: SIDE,
            first: first[i],
            delta: 1,
        },
    })
}

/// Distance of two points of groups of `T` tiles, each so many elements.
const fn points<const T: usize>(each: usize) -> usize {
    T * each + APART
}

/// Some tiles of a unit side by side.
struct Run {
    /// Number of the first, in the unit and in the group.
    tile: usize,
    at: usize,
    count: usize,
}

/// The tiles of a group, line by line.
fn runs(unit: &Unit, first: usize, count: usize) -> impl Iterator<Item = Run> {
    let (line, mut at) = (unit.line, 0);
    std::iter::from_fn(move || {
        let tile = first + at;
        let run = Run { tile, at, count: (line - tile % line).min(count - at) };
        at += run.count;
        (run.count > 0).then_some(run)
    })
}

/// The blocks of so many channels.
fn blocks(channels: usize) -> usize {
    channels.div_ceil(BLOCK)
}
