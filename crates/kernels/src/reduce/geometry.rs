//! How an iteration space falls apart into kept and reduced axes.

use super::{BLOCK, CHUNK, LANES, PIECE, TILE};
use crate::memory::KernelError;
use crate::pool;
use crate::program::MAX_RANK;

/// Axes as (size, step in the linear iteration space), outermost first.
#[derive(Clone, Copy, Default)]
struct Axes {
    axes: [(usize, usize); MAX_RANK],
    rank: usize,
}

impl Axes {
    /// Adds an axis outside the others.
    fn push(&mut self, size: usize, step: usize) {
        self.axes.copy_within(0..MAX_RANK - 1, 1);
        self.axes[0] = (size, step);
        self.rank = (self.rank + 1).min(MAX_RANK);
    }

    fn all(&self) -> &[(usize, usize)] {
        self.axes.get(..self.rank).unwrap_or_default()
    }

    fn size(&self) -> usize {
        self.all().iter().map(|a| a.0).product()
    }

    /// Where element `i` starts.
    fn start(&self, mut i: usize) -> usize {
        let mut at = 0;
        for &(size, step) in self.all().iter().rev() {
            at += i % size * step;
            i /= size;
        }
        at
    }
}

/// An iteration space with neighbouring axes of one kind merged and axes of size 1 dropped.
#[derive(Clone, Copy)]
pub(super) struct Geometry {
    /// Kept axes outside the innermost, if that is kept.
    outer: Axes,
    reduced: Axes,
    /// Size of the innermost axis if it is kept, else 1.
    pub(super) width: usize,
}

impl Geometry {
    pub(super) fn new(dims: &[usize], axes: u8) -> Result<Geometry, KernelError> {
        if dims.len() > MAX_RANK || (dims.len() < 8 && axes >> dims.len() != 0) {
            return Err(KernelError::Bounds("axes of a reduction"));
        }
        let total = dims.iter().try_fold(1usize, |n, &d| n.checked_mul(d.max(1)));
        if total.is_none_or(|n| n > isize::MAX as usize / 8) {
            return Err(KernelError::Bounds("iteration space of a reduction"));
        }
        let mut g = Geometry { outer: Axes::default(), reduced: Axes::default(), width: 1 };
        let mut step = 1;
        let mut last = None;
        for (axis, &size) in dims.iter().enumerate().rev() {
            if size == 1 {
                continue;
            }
            let reduced = axes >> axis & 1 == 1;
            let list = if reduced { &mut g.reduced } else { &mut g.outer };
            if last == Some(reduced) {
                list.axes[0].0 *= size;
            } else {
                list.push(size, step);
            }
            last = Some(reduced);
            step *= size.max(1);
        }
        if let Some((at, &(size, 1))) = g.outer.all().iter().enumerate().next_back() {
            g.width = size;
            g.outer.rank = at;
        }
        if g.reduced.rank == 0 {
            g.reduced.push(1, g.width);
        }
        Ok(g)
    }

    /// How many results.
    pub(super) fn kept(&self) -> usize {
        self.outer.size() * self.width
    }

    /// How many elements a result has.
    pub(super) fn reduced(&self) -> usize {
        self.reduced.size()
    }

    pub(super) fn outers(&self) -> usize {
        self.outer.size()
    }

    pub(super) fn outer_start(&self, i: usize) -> usize {
        self.outer.start(i)
    }

    /// Size of the innermost reduced axis: elements (or rows of `width`) that follow each other.
    pub(super) fn run(&self) -> usize {
        self.reduced.all().last().map_or(1, |a| a.0)
    }

    /// Where reduced element `r` is, from the start of its result, and how many follow in its run.
    pub(super) fn reduced_start(&self, r: usize) -> (usize, usize) {
        let run = self.run();
        (self.reduced.start(r), run - r % run)
    }

    /// Whether result `i` is made of elements `i * run..(i + 1) * run`.
    pub(super) fn rows_follow(&self) -> bool {
        self.reduced.rank == 1 && self.outer.rank <= 1 && self.width == 1
    }

    /// Whether the results are the columns of rows of `width` that follow each other.
    pub(super) fn columns_follow(&self) -> bool {
        self.reduced.rank == 1 && self.outer.rank == 0 && self.width > 1
    }

    pub(super) fn tiles(&self) -> usize {
        self.width.div_ceil(TILE).max(1)
    }

    /// First column and width of a tile.
    pub(super) fn tile(&self, tile: usize) -> (usize, usize) {
        (tile * TILE, (self.width - tile * TILE).min(TILE))
    }

    /// How many groups the elements of each result fall into, to be reduced apart.
    pub(super) fn groups(&self) -> usize {
        let items = self.outers() * self.tiles();
        if items >= 16 || self.reduced() * self.tile(0).1 < 2 * PIECE {
            return 1;
        }
        self.reduced().div_ceil(self.group_len())
    }

    /// How many parts the lanes fall into, to be filled by several threads: of columns that have a
    /// single chunk, which cannot be cut into groups. Changes no bit.
    pub(super) fn lane_parts(&self) -> usize {
        let columns = self.width >= 32 && self.outers() * self.tiles() == 1;
        let small = self.reduced() > CHUNK || self.reduced() * self.width < 2 * PIECE;
        if !columns || small || pool::threads() == 1 {
            return 1; // one thread reads all rows one after the other
        }
        // The rows of a part are evaluated together, and should fill a block.
        1 << (LANES * self.width / BLOCK).clamp(2, LANES / 2).ilog2()
    }

    /// Elements in a group: a power of two of chunks, so that a group is a subtree.
    fn group_len(&self) -> usize {
        let chunks = self.reduced().div_ceil(CHUNK);
        let least = (PIECE / self.tile(0).1 / CHUNK).max(1);
        chunks.div_ceil(64).max(least).next_power_of_two() * CHUNK
    }

    /// The elements of one group.
    pub(super) fn group(&self, groups: usize, group: usize) -> std::ops::Range<usize> {
        if groups == 1 {
            return 0..self.reduced();
        }
        let len = self.group_len();
        group * len..((group + 1) * len).min(self.reduced())
    }
}
