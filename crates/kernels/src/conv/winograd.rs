//! Windows of 3 x 3 with 16 instead of 36 multiplications for four places: F(2 x 2, 3 x 3) of Lavin
//! and Gray, "Fast algorithms for convolutional neural networks" (2016), after Winograd.
//!
//! Places are cut into tiles of 2 x 2, which meet 4 x 4 elements `d` of the data. With
//!
//! ```text
//!         1  0 -1  0           1   0   0
//! B^T  =  0  1  1  0     G  = 1/2 1/2 1/2     A^T  =  1  1  1  0
//!         0 -1  1  0          1/2-1/2 1/2             0  1 -1 -1
//!         0  1  0 -1           0   0   1
//! ```
//!
//! a tile is `A^T [(G g G^T) * (B^T d B)] A`, where `*` multiplies element by element and sums over
//! channels: 16 products of matrices, `[tiles, channels] [channels, outputs]`. So a pass is: the weights
//! transformed once; of some tiles at a time the data transformed, 16 products with the tiles of
//! `tile`, and the results transformed, finished and stored.
//!
//! **Error.** Sums and differences of neighbours are rounded, so the error of an element is relative to
//! the sizes of all 16 elements of its tile, not of the nine that it depends on; on random numbers it is
//! about twice that of the plain sum. An element that is not finite makes all four places of its tiles
//! NaN.

#![allow(clippy::needless_range_loop)] // rows and registers are indices into several arrays

use super::copy::{Ahead, Turn};
use super::data::{Axis, Field, Images, Room, Unit, part};
use super::pairs::Kept;
use super::products::PackWeights;
use super::tile::{BLOCK, Kernels, MOST_ROWS, OWN, SHARED, Tile, with_scratch};
use super::{End, Geometry};
use crate::gemm::simd::Simd;
use crate::memory::Shared;
use crate::pool::{self, PiecePanicked};

/// Elements of a side of what a tile meets, and of all of it.
const SIDE: usize = 4;
const POINTS: usize = SIDE * SIDE;

/// Elements of the window.
const WINDOW: usize = 9;

/// Places of a side of a tile.
const STEP: usize = 2;

/// Channels of either side from which transforms cost less than they save.
const MANY: usize = 16;

/// Tiles that are transformed and multiplied together.
const TOGETHER: usize = 24;

/// Added to what lies between two points, so that they do not meet in the cache.
const APART: usize = 16;

/// Whether a pass with so many places of the result is computed this way. From the sizes of an image
/// alone: neither the batch nor the machine changes the bits of an image.
pub(super) fn fits(g: &Geometry, places: [usize; 3]) -> bool {
    let [_, h, w] = places;
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
    plain && g.inputs.min(g.outputs) >= MANY && tiles * POINTS * 3 <= h * w * WINDOW * 2
}

/// A pass: data, and what becomes of them.
pub(super) struct Product<'a> {
    pub(super) kernels: &'a Kernels,
    pub(super) src: *const f32,
    pub(super) data: Images,
    pub(super) batch: usize,
    /// The element of the data that the window's first meets at place 0, along each axis.
    pub(super) first: [isize; 3],
    /// The window's elements are in the opposite order.
    pub(super) flip: bool,
    pub(super) out: *mut f32,
    pub(super) result: Images,
    pub(super) end: End,
    pub(super) work: usize,
}

/// What all pieces read.
#[derive(Clone, Copy)]
struct Lists {
    /// Transformed weights: panels, points, channels, lanes.
    weights: *mut f32,
    /// Of the largest unit's tiles: where in the data.
    tiles: *mut usize,
    /// 0, 1, and so on.
    taps: *mut usize,
    /// Rows of the transformed data of some tiles, and of the products.
    rows: *mut usize,
    to: *mut usize,
}

/// One unit, with its scratch memory.
struct Piece {
    unit: Unit,
    data: *const f32,
    lists: Lists,
    /// Transformed data: points, tiles, channels.
    points: *mut f32,
    /// Products: points, tiles, lanes.
    sums: *mut f32,
    /// Results until they are turned: lines, places, lanes.
    here: *mut f32,
    /// The unit that this thread will compute next, probably.
    next: usize,
}

impl Product<'_> {
    /// First register and registers of a panel, and how many panels there are.
    fn panel(&self, p: usize) -> (usize, usize, usize) {
        let vectors = self.result.channels.div_ceil(self.kernels.lanes);
        let panels = vectors.div_ceil(self.kernels.vectors);
        let (first, count) = if p < panels { part(vectors, panels, p) } else { (0, 0) };
        (first, count, panels)
    }

    /// Elements of a row of products.
    fn width(&self) -> usize {
        self.panel(0).1 * self.kernels.lanes
    }

    /// Elements of a row of transformed data.
    fn row(&self) -> usize {
        self.data.channels.next_multiple_of(self.kernels.lanes)
    }

    fn field(&self) -> Field {
        let [_, h, w] = self.result.dims;
        let [low, y, x] = self.first;
        let along = |places: usize, first: isize| Axis {
            places: places.div_ceil(STEP),
            step: STEP,
            taps: SIDE,
            first,
            delta: 1,
        };
        let deep = Axis { places: 1, step: 1, taps: 1, first: low, delta: 1 };
        let axes = [deep, along(h, y), along(w, x)];
        Field::new(self.src, self.data, self.batch, self.data.channels, axes, None, Kept::Full)
    }

    /// `pack` makes rows of a panel: elements of the window, channels.
    ///
    /// # Safety
    /// The machine has the instruction set of the kernels; the windows have the sizes that are said.
    pub(super) unsafe fn run(&self, pack: PackWeights<'_>) -> Result<(), PiecePanicked> {
        let lanes = self.kernels.lanes;
        let channels = self.data.channels;
        let field = self.field();
        let (_, _, panels) = self.panel(0);
        let registers = self.result.channels.div_ceil(lanes);
        let (row, width) = (self.row(), self.width());
        let mut room = Room::new();
        let weights_at = room.elements(registers * lanes * channels * POINTS);
        let (tiles_at, taps_at) = (room.offsets(field.most_places()), room.offsets(channels));
        let (rows_at, to_at) = (room.offsets(TOGETHER), room.offsets(TOGETHER));
        let mut own = Room::new();
        let copy_at = own.elements(field.copy_len());
        let points_at = own.elements(POINTS * (TOGETHER * row + APART));
        let sums_at = own.elements(POINTS * (TOGETHER * width + APART));
        let here_at = own.elements(POINTS / SIDE * TOGETHER * width);
        let packed = width * channels * WINDOW;
        with_scratch(&SHARED, room.len(), |scratch| {
            let offsets = |at: usize| scratch.wrapping_add(at).cast::<usize>();
            let lists = Lists {
                weights: scratch.wrapping_add(weights_at),
                tiles: offsets(tiles_at),
                taps: offsets(taps_at),
                rows: offsets(rows_at),
                to: offsets(to_at),
            };
            // SAFETY: there is room for the offsets of the largest unit's tiles, of the channels, and
            // of the tiles that are computed together.
            unsafe {
                field.places(&field.unit(0), lists.tiles);
                for i in 0..channels {
                    *lists.taps.wrapping_add(i) = i;
                }
                for i in 0..TOGETHER {
                    *lists.rows.wrapping_add(i) = i * row;
                    *lists.to.wrapping_add(i) = i * width;
                }
            }
            // SAFETY: pieces write apart from each other.
            let shared = unsafe { Shared::new((self, &field, pack, lists)) };
            pool::run(panels, (registers * lanes * channels * POINTS) as u64, &|piece| {
                let &(product, _, pack, lists) = shared.get();
                let (first, count, _) = product.panel(piece);
                let (first, width) = (first * lanes, count * lanes);
                let outs = width.min(product.result.channels - first);
                with_scratch(&OWN, packed, |window| {
                    let to = lists.weights.wrapping_add(first * channels * POINTS);
                    let flip = product.flip;
                    let t = Weights { from: window.cast_const(), channels, width, flip, to };
                    // SAFETY: the weights of a panel, before and after.
                    unsafe {
                        if outs < width {
                            window.write_bytes(0, width * channels * WINDOW);
                        }
                        pack(0, first, outs, width, window);
                        (product.kernels.winograd.weights)(&t);
                    }
                });
            })?;
            let units = field.units();
            pool::run(units, self.work as u64 / 2 / self.kernels.speed, &|piece| {
                let &(product, field, _, lists) = shared.get();
                with_scratch(&OWN, own.len(), |scratch| {
                    let unit = field.unit(piece);
                    let copy = scratch.wrapping_add(copy_at);
                    // SAFETY: the contract; the scratch memory has room for each part.
                    unsafe {
                        let data = field.load(product.kernels, &unit, 0, channels, copy);
                        product.piece(
                            field,
                            &Piece {
                                unit,
                                data,
                                lists,
                                points: scratch.wrapping_add(points_at),
                                sums: scratch.wrapping_add(sums_at),
                                here: scratch.wrapping_add(here_at),
                                next: piece.saturating_add(pool::threads()),
                            },
                        );
                    }
                });
            })
        })
    }

    /// # Safety
    /// As for [`Product::run`]; the piece's parts are filled.
    unsafe fn piece(&self, field: &Field, p: &Piece) {
        let kernels = self.kernels;
        let channels = self.data.channels;
        let tiles = p.unit.images * p.unit.each;
        let (row, width) = (self.row(), self.width());
        let (plane, sums_plane) = (TOGETHER * row + APART, TOGETHER * width + APART);
        let (_, _, panels) = self.panel(0);
        let groups = tiles.div_ceil(TOGETHER);
        let steps = groups * panels * POINTS * TOGETHER.div_ceil(MOST_ROWS);
        let nothing = (self.out.cast_const(), 0);
        let mut ahead = Ahead::new([field.region(p.next), nothing], steps);
        let [_, down, right] = field.strides();
        for (first, count) in (0..groups).map(|i| part(tiles, groups, i)) {
            let data = Data {
                from: p.data,
                tiles: p.lists.tiles.wrapping_add(first),
                count,
                line: down,
                place: right,
                channels,
                to: p.points,
                row,
                plane,
            };
            // SAFETY: the contract.
            unsafe { (kernels.winograd.data)(&data) };
            for panel in 0..panels {
                let (register, vectors, _) = self.panel(panel);
                let (lane, lanes) = (register * kernels.lanes, vectors * kernels.lanes);
                let outs = lanes.min(self.result.channels - lane);
                let weights = p.lists.weights.wrapping_add(lane * channels * POINTS);
                for point in 0..POINTS {
                    for tap in (0..channels).step_by(BLOCK) {
                        let b = weights.wrapping_add((point * channels + tap) * lanes);
                        let tile = Tile {
                            a: p.points.wrapping_add(point * plane + tap),
                            rows: p.lists.rows,
                            taps: p.lists.taps,
                            count: (channels - tap).min(BLOCK),
                            step: row,
                            b,
                            b_row: lanes,
                            c: p.sums.wrapping_add(point * sums_plane),
                            to: p.lists.to,
                            tail: kernels.lanes,
                            add: tap > 0,
                            bias: std::ptr::null(),
                            relu: false,
                        };
                        // SAFETY: the contract.
                        unsafe { kernels.sweep(false, vectors, count, &tile, &mut ahead) };
                    }
                }
                let results = Results {
                    from: p.sums,
                    row: width,
                    plane: sums_plane,
                    to: self.out,
                    line: 0,
                    place: 0,
                    lines: 0,
                    places: 0,
                    outs,
                    bias: match self.end.bias {
                        bias if bias.is_null() => bias,
                        bias => bias.wrapping_add(lane),
                    },
                    relu: self.end.relu,
                };
                // SAFETY: the contract.
                unsafe { self.store(field, p, first, count, lane, &results) };
            }
        }
    }

    /// Transforms the products of `count` tiles and stores them, line by line of an image.
    ///
    /// # Safety
    /// As for [`Product::piece`].
    unsafe fn store(
        &self,
        field: &Field,
        p: &Piece,
        first: usize,
        count: usize,
        channel: usize,
        results: &Results,
    ) {
        let kernels = self.kernels;
        let [_, h, w] = self.result.dims;
        let [_, down, right] = self.result.strides();
        let (axis, start, _) = field.band(&p.unit);
        let mut at = 0;
        while at < count {
            let tile = first + at;
            let (image, inside) = (tile / p.unit.each, tile % p.unit.each);
            let (mut y, mut x) = (inside / p.unit.line, inside % p.unit.line);
            let some = (p.unit.line - x).min(count - at);
            *(if axis == 2 { &mut x } else { &mut y }) += start;
            let (y, x) = (y * STEP, x * STEP);
            let (lines, places) = (STEP.min(h - y), (some * STEP).min(w - x));
            let to = (p.unit.image + image) * self.result.image() + y * down + x * right;
            let to = self.out.wrapping_add(to + channel * self.result.channel());
            let from = results.from.wrapping_add(at * results.row);
            let here = Results { from, to, line: down, place: right, lines, places, ..*results };
            // SAFETY: the contract; what is near has room for two lines of all tiles.
            unsafe {
                if self.result.last {
                    (kernels.winograd.results)(&here);
                } else {
                    let line = STEP * TOGETHER * results.row;
                    let near = Results { to: p.here, line, place: results.row, ..here };
                    (kernels.winograd.results)(&near);
                    for i in 0..lines {
                        (kernels.turn)(&Turn {
                            src: p.here.wrapping_add(i * line),
                            src_row: results.row,
                            rows: places,
                            cols: results.outs,
                            dst: to.wrapping_add(i * down),
                            dst_row: self.result.channel(),
                        });
                    }
                }
            }
            at += some;
        }
    }
}

/// The transforms of an instruction set.
pub(super) struct Transforms {
    pub(super) weights: unsafe fn(&Weights),
    pub(super) data: unsafe fn(&Data),
    pub(super) results: unsafe fn(&Results),
}

/// Weights to transform: rows of `width` lanes, first of each element of the window the channels,
/// then of each point.
pub(super) struct Weights {
    from: *const f32,
    channels: usize,
    width: usize,
    flip: bool,
    to: *mut f32,
}

/// # Safety
/// The machine has the instruction set of `S`; both can be accessed.
#[inline(always)]
pub(super) unsafe fn weights<S: Simd>(t: &Weights) {
    let element = t.channels * t.width;
    // SAFETY: the contract above.
    unsafe {
        let half = S::splat(0.5);
        let zero = S::zero();
        let line = |g: [S; 3]| {
            let [a, b, c] = g;
            let ends = a.add(c);
            [a, ends.add(b).fma(half, zero), ends.sub(b).fma(half, zero), c]
        };
        for at in (0..element).step_by(S::LANES) {
            let from = t.from.wrapping_add(at);
            let mut rows = [[zero; 3]; SIDE];
            for x in 0..3 {
                let column: [S; 3] = std::array::from_fn(|y| {
                    let tap = y * 3 + x;
                    let tap = if t.flip { WINDOW - 1 - tap } else { tap };
                    S::load(from.wrapping_add(tap * element))
                });
                for (row, v) in rows.iter_mut().zip(line(column)) {
                    row[x] = v;
                }
            }
            for y in 0..SIDE {
                for (x, v) in line(rows[y]).into_iter().enumerate() {
                    v.store(t.to.wrapping_add((y * SIDE + x) * element + at));
                }
            }
        }
    }
}

/// Data of some tiles to transform: a row of channels a tile, for each point.
pub(super) struct Data {
    from: *const f32,
    /// Where tiles start.
    tiles: *const usize,
    count: usize,
    /// Distances of two lines and two places.
    line: usize,
    place: usize,
    channels: usize,
    to: *mut f32,
    row: usize,
    plane: usize,
}

/// # Safety
/// The machine has the instruction set of `S`; the data can be read, and whole registers written.
#[inline(always)]
pub(super) unsafe fn data<S: Simd>(t: &Data) {
    // SAFETY: the contract above.
    unsafe {
        let side = |d: [S; SIDE]| {
            let [a, b, c, d] = d;
            [a.sub(c), b.add(c), c.sub(b), b.sub(d)]
        };
        for tile in 0..t.count {
            let from = t.from.wrapping_add(*t.tiles.wrapping_add(tile));
            let to = t.to.wrapping_add(tile * t.row);
            for channel in (0..t.channels).step_by(S::LANES) {
                let left = t.channels - channel;
                let mut rows = [[S::zero(); SIDE]; SIDE];
                for x in 0..SIDE {
                    let column: [S; SIDE] = std::array::from_fn(|y| {
                        let p = from.wrapping_add(y * t.line + x * t.place + channel);
                        if left < S::LANES { S::load_mask(p, S::mask(left)) } else { S::load(p) }
                    });
                    for (row, v) in rows.iter_mut().zip(side(column)) {
                        row[x] = v;
                    }
                }
                for y in 0..SIDE {
                    for (x, v) in side(rows[y]).into_iter().enumerate() {
                        v.store(to.wrapping_add((y * SIDE + x) * t.plane + channel));
                    }
                }
            }
        }
    }
}

/// Products of tiles side by side to transform, finish and store.
#[derive(Clone, Copy)]
pub(super) struct Results {
    from: *const f32,
    row: usize,
    plane: usize,
    to: *mut f32,
    /// Distances of two lines and two places, and how many are stored.
    line: usize,
    place: usize,
    lines: usize,
    places: usize,
    outs: usize,
    /// Added last, an element a lane; null for none.
    bias: *const f32,
    relu: bool,
}

/// # Safety
/// The machine has the instruction set of `S`; whole registers of products can be read, and what
/// their places say be written and read at the bias.
#[inline(always)]
pub(super) unsafe fn results<S: Simd>(t: &Results) {
    // SAFETY: the contract above.
    unsafe {
        let pair = |m: [S; SIDE]| {
            let [a, b, c, d] = m;
            [a.add(b).add(c), b.sub(c).sub(d)]
        };
        for lane in (0..t.outs).step_by(S::LANES) {
            let left = (t.outs - lane).min(S::LANES);
            let (whole, mask) = (left == S::LANES, S::mask(left));
            let bias = match t.bias.is_null() {
                true => None,
                false => Some(S::load_mask(t.bias.wrapping_add(lane), mask)),
            };
            for tile in 0..t.places.div_ceil(STEP) {
                let from = t.from.wrapping_add(tile * t.row + lane);
                let mut lines = [[S::zero(); SIDE]; STEP];
                for x in 0..SIDE {
                    let column: [S; SIDE] = std::array::from_fn(|y| {
                        S::load(from.wrapping_add((y * SIDE + x) * t.plane))
                    });
                    let [first, second] = pair(column);
                    lines[0][x] = first;
                    lines[1][x] = second;
                }
                let to = t.to.wrapping_add(tile * STEP * t.place + lane);
                for y in 0..t.lines.min(STEP) {
                    let left = (t.places - tile * STEP).min(STEP);
                    for (x, mut v) in pair(lines[y]).into_iter().enumerate().take(left) {
                        if let Some(bias) = bias {
                            v = v.add(bias);
                        }
                        if t.relu {
                            v = v.relu();
                        }
                        let to = to.wrapping_add(y * t.line + x * t.place);
                        if whole {
                            v.store(to);
                        } else {
                            v.store_mask(to, mask);
                        }
                    }
                }
            }
        }
    }
}
