//! The forward pass and the gradient for the input: tiles by channels of the result.

use super::product::{self, Multiply};
use super::transform::{Data, Results, Weights};
use super::{APART, BLOCK, IMAGES, POINTS, STEP, UNIT, WINDOW, blocks, points, runs, tiles};
use crate::conv::End;
use crate::conv::copy::{Ahead, Turn};
use crate::conv::data::{Field, Images, Room, Unit, part};
use crate::conv::pairs::Kept;
use crate::conv::products::PackWeights;
use crate::conv::tile::{Kernels, OWN, SHARED, with_scratch};
use crate::memory::Shared;
use crate::pool::{self, PiecePanicked};

/// Tiles that are transformed and multiplied together: a multiple of what every product has.
pub(super) const TOGETHER: usize = 24;

/// Channels in one chain of multiply-adds: longer ones lose digits. Part of the definition of the result.
const CHAIN: usize = 128;

/// A pass: data, and what becomes of them.
pub(in crate::conv) struct Product<'a> {
    pub(in crate::conv) kernels: &'a Kernels,
    /// Of the same instruction set.
    pub(in crate::conv) sides: &'a product::Kernels,
    pub(in crate::conv) src: *const f32,
    pub(in crate::conv) data: Images,
    pub(in crate::conv) batch: usize,
    /// The element of the data that the window's first meets at place 0, along each axis.
    pub(in crate::conv) first: [isize; 3],
    /// The window's elements are in the opposite order.
    pub(in crate::conv) flip: bool,
    pub(in crate::conv) out: *mut f32,
    pub(in crate::conv) result: Images,
    pub(in crate::conv) end: End,
    pub(in crate::conv) work: usize,
}

/// What all pieces read.
#[derive(Clone, Copy)]
struct Lists {
    /// Transformed weights: panels, points, channels, lanes.
    weights: *mut f32,
    /// Of the largest unit's tiles: where in the data.
    tiles: *mut usize,
}

/// Some channels of the result: registers side by side.
#[derive(Clone, Copy)]
struct Panel {
    vectors: usize,
    /// The first, how many lanes, and how many of them are channels.
    first: usize,
    lanes: usize,
    outs: usize,
    /// Where the weights are, and the distance of two points.
    weights: usize,
    plane: usize,
}

/// One unit, with its scratch memory.
struct Piece<'a> {
    field: &'a Field,
    unit: Unit,
    data: *const f32,
    lists: Lists,
    /// Transformed data: points, blocks, tiles, channels.
    points: *mut f32,
    /// Products: points, tiles, lanes.
    sums: *mut f32,
    /// Results until they are turned: lines, places, lanes.
    here: *mut f32,
    /// The unit that this thread will compute next, probably.
    next: usize,
}

impl Product<'_> {
    fn panels(&self) -> usize {
        self.registers().div_ceil(self.kernels.vectors)
    }

    fn registers(&self) -> usize {
        self.result.channels.div_ceil(self.kernels.lanes)
    }

    fn panel(&self, p: usize) -> Panel {
        let (first, vectors) = part(self.registers(), self.panels(), p);
        let (first, lanes) = (first * self.kernels.lanes, vectors * self.kernels.lanes);
        let outs = lanes.min(self.result.channels - first);
        let channels = self.data.channels;
        let weights = (first * channels + p * APART) * POINTS;
        Panel { vectors, first, lanes, outs, weights, plane: lanes * channels + APART }
    }

    /// `pack` makes rows of a panel: elements of the window, channels.
    ///
    /// # Safety
    /// The machine has the instruction set of the kernels; the windows have the sizes that are said.
    pub(in crate::conv) unsafe fn run(&self, pack: PackWeights<'_>) -> Result<(), PiecePanicked> {
        let channels = self.data.channels;
        let axes = tiles(self.result.dims, self.first);
        let (src, data) = (self.src, self.data);
        let field = Field::new(src, data, self.batch, channels, axes, None, Kept::Full);
        let field = field.units_of(UNIT, IMAGES);
        let panels = self.panels();
        // The first panel is the widest.
        let (width, lanes) = (self.panel(0).lanes, self.kernels.lanes);
        let mut room = Room::new();
        let all = self.registers() * self.kernels.lanes * channels;
        let weights_at = room.elements((all + panels * APART) * POINTS);
        let tiles_at = room.offsets(field.most_places());
        let mut own = Room::new();
        let copy_at = own.elements(field.copy_len());
        let points_at = own.elements(blocks(channels) * POINTS * points::<TOGETHER>(BLOCK));
        let sums_at = own.elements(width / lanes * POINTS * points::<TOGETHER>(lanes));
        let here_at = own.elements(STEP * STEP * TOGETHER * width);
        with_scratch(&SHARED, room.len(), |scratch| {
            let lists = Lists {
                weights: scratch.wrapping_add(weights_at),
                tiles: scratch.wrapping_add(tiles_at).cast::<usize>(),
            };
            // SAFETY: there is room for the offsets of the largest unit's tiles.
            unsafe { field.places(&field.unit(0), lists.tiles) };
            // SAFETY: pieces write apart from each other.
            let shared = unsafe { Shared::new((self, &field, pack, lists)) };
            pool::run(panels, (all * POINTS) as u64, &|piece| {
                let &(product, _, pack, lists) = shared.get();
                let panel = product.panel(piece);
                let element = channels * panel.lanes;
                with_scratch(&OWN, element * WINDOW, |window| {
                    let t = Weights {
                        from: window.cast_const(),
                        element,
                        flip: product.flip,
                        to: lists.weights.wrapping_add(panel.weights),
                        plane: panel.plane,
                    };
                    // SAFETY: the weights of a panel, before and after.
                    unsafe {
                        if panel.outs < panel.lanes {
                            window.write_bytes(0, element * WINDOW);
                        }
                        pack(0, panel.first, panel.outs, panel.lanes, window);
                        (product.sides.weights)(&t);
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
                        product.piece(&Piece {
                            field,
                            unit,
                            data,
                            lists,
                            points: scratch.wrapping_add(points_at),
                            sums: scratch.wrapping_add(sums_at),
                            here: scratch.wrapping_add(here_at),
                            next: piece.saturating_add(pool::threads()),
                        });
                    }
                });
            })
        })
    }

    /// # Safety
    /// As for [`Product::run`]; the piece's parts are filled.
    unsafe fn piece(&self, p: &Piece) {
        let channels = self.data.channels;
        let tiles = p.unit.images * p.unit.each;
        let panels = self.panels();
        let groups = tiles.div_ceil(TOGETHER);
        let nothing = (self.out.cast_const(), 0);
        let mut ahead = Ahead::new([p.field.region(p.next), nothing], groups * panels * POINTS);
        let [_, line, place] = p.field.strides();
        for first in (0..tiles).step_by(TOGETHER) {
            let count = (tiles - first).min(TOGETHER);
            for run in runs(&p.unit, first, count) {
                // SAFETY: the contract.
                unsafe {
                    (self.sides.data[0])(&Data {
                        from: p.data.wrapping_add(*p.lists.tiles.wrapping_add(run.tile)),
                        count: run.count,
                        line,
                        place,
                        channels,
                        to: p.points.wrapping_add(run.at * BLOCK),
                    });
                }
            }
            for panel in (0..panels).map(|i| self.panel(i)) {
                for point in 0..POINTS {
                    ahead.step();
                    let weights = p.lists.weights.wrapping_add(panel.weights + point * panel.plane);
                    for channel in (0..channels).step_by(CHAIN) {
                        let t = Multiply {
                            a: p.points.wrapping_add(
                                (channel / BLOCK * POINTS + point) * points::<TOGETHER>(BLOCK),
                            ),
                            count: (channels - channel).min(CHAIN),
                            b: weights.wrapping_add(channel * panel.lanes),
                            c: p.sums.wrapping_add(point * points::<TOGETHER>(self.kernels.lanes)),
                            add: channel > 0,
                        };
                        // SAFETY: the contract; there is room for all tiles of a group.
                        unsafe { self.sides.tiles(panel.vectors, count, &t) };
                    }
                }
                // SAFETY: the contract.
                unsafe { self.store(p, first, count, &panel) };
            }
        }
    }

    /// Transforms the products of `count` tiles and stores them, line by line of an image.
    ///
    /// # Safety
    /// As for [`Product::piece`].
    unsafe fn store(&self, p: &Piece, first: usize, count: usize, panel: &Panel) {
        let [_, h, w] = self.result.dims;
        let [_, down, right] = self.result.strides();
        let (axis, start, _) = p.field.band(&p.unit);
        let apart = self.result.channel();
        for run in runs(&p.unit, first, count) {
            let (image, inside) = (run.tile / p.unit.each, run.tile % p.unit.each);
            let (mut y, mut x) = (inside / p.unit.line, inside % p.unit.line);
            *(if axis == 2 { &mut x } else { &mut y }) += start;
            let (y, x) = (y * STEP, x * STEP);
            let (lines, places) = (STEP.min(h - y), (run.count * STEP).min(w - x));
            let to = (p.unit.image + image) * self.result.image() + y * down + x * right;
            let to = self.out.wrapping_add(to + panel.first * apart);
            let bias = self.end.bias;
            let results = Results {
                from: p.sums.wrapping_add(run.at * self.kernels.lanes),
                to,
                line: down,
                place: right,
                lines,
                places,
                outs: panel.outs,
                bias: if bias.is_null() { bias } else { bias.wrapping_add(panel.first) },
                relu: self.end.relu,
            };
            // SAFETY: the contract; what is near has room for two lines of all tiles.
            unsafe {
                if self.result.last {
                    (self.sides.results)(&results);
                } else {
                    let (line, place) = (STEP * TOGETHER * panel.lanes, panel.lanes);
                    (self.sides.results)(&Results { to: p.here, line, place, ..results });
                    for i in 0..lines {
                        (self.kernels.turn)(&Turn {
                            src: p.here.wrapping_add(i * line),
                            src_row: place,
                            rows: places,
                            cols: panel.outs,
                            dst: to.wrapping_add(i * down),
                            dst_row: apart,
                        });
                    }
                }
            }
        }
    }
}
