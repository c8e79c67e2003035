//! The gradient for the weight: channels by channels of the cotangent, summed over tiles.

use super::product::{self, Multiply};
use super::transform::{Cotangents, Data, Gradient};
use super::{BLOCK, IMAGES, POINTS, STEP, UNIT, WINDOW, blocks, points, runs, tiles};
use crate::conv::copy::{Ahead, Pad, Turn};
use crate::conv::data::{Field, Images, Room, Unit, part};
use crate::conv::pairs::Kept;
use crate::conv::tile::{self, Kernels, OWN, SHARED, with_scratch};
use crate::conv::{Geometry, volume};
use crate::isa;
use crate::memory::Shared;
use crate::pool::{self, PiecePanicked};

/// Tiles that are transformed and multiplied together. Part of the definition of the result.
pub(super) const TOGETHER: usize = 48;

/// Chunks of units, each with sums of its own, divided by the panels of the widest kernel. Part of the definition
/// of the result.
const CHUNKS: usize = 8;
const PANEL: usize = 48;

/// Elements that the vectors of a copy may write beyond its end.
const SLACK: usize = 64;

/// The gradient of w from (x, gradient of y).
///
/// # Safety
/// The machine has the instruction set that is active; the windows have the sizes of the geometry.
pub(in crate::conv) unsafe fn weight(
    g: &Geometry,
    x: *const f32,
    dy: *const f32,
    dw: *mut f32,
) -> Result<(), PiecePanicked> {
    let isa = isa::active();
    let (kernels, sides) = (tile::of(isa, false), product::of(isa));
    let (channels, outs, lanes) = (g.inputs, g.outputs, kernels.lanes);
    let axes = tiles(g.y, g.before.map(|b| -(b as isize)));
    let data = Images::new(g.last, channels, g.x);
    let field = Field::new(x, data, g.batch, channels, axes, None, Kept::Full);
    let field = field.units_of(UNIT, IMAGES);
    let cotangent = Cotangent::new(dy, Images::new(g.last, outs, g.y), &field);
    let units = field.units();
    // Not from this machine's panels: the sums must be the same on all of them.
    let chunks = (CHUNKS / outs.div_ceil(PANEL)).clamp(1, units);
    let registers = outs.div_ceil(lanes);
    let panels = registers.div_ceil(kernels.vectors);
    // With few chunks, threads share the panels, and each transforms the data. This changes no bit.
    let wanted = if pool::threads() == 1 { 1 } else { 2 * pool::threads() };
    let splits = wanted.div_ceil(chunks).clamp(1, panels);
    // Registers and lanes of a panel: the first and how many; and how many are channels.
    let panel = |p: usize| {
        let (first, vectors) = part(registers, panels, p);
        (vectors, first * lanes, vectors * lanes, (vectors * lanes).min(outs - first * lanes))
    };
    let (_, _, width, _) = panel(0);
    let rows = blocks(channels) * BLOCK;
    // Sums of a chunk: panels, blocks of channels, points, channels, lanes.
    let sums = POINTS * rows * registers * lanes;
    let most = field.most_places();
    let mut room = Room::new();
    let sums_at = room.elements(chunks * sums);
    let (tiles_at, others_at) = (room.offsets(most), room.offsets(most));
    let mut own = Room::new();
    let copy_at = own.elements(field.copy_len());
    let other_at = own.elements(cotangent.copy_len());
    let (plane, other_plane) = (points::<TOGETHER>(BLOCK), points::<TOGETHER>(lanes));
    let points_at = own.elements(blocks(channels) * POINTS * plane);
    let others_points_at = own.elements(width / lanes * POINTS * other_plane);
    with_scratch(&SHARED, room.len(), |scratch| {
        let partial = scratch.wrapping_add(sums_at);
        let offsets = |at: usize| scratch.wrapping_add(at).cast::<usize>();
        let (tiles, others) = (offsets(tiles_at), offsets(others_at));
        // SAFETY: there is room for the tiles of the largest unit.
        unsafe {
            field.places(&field.unit(0), tiles);
            field.positions(&field.unit(0), cotangent.image, cotangent.steps(), others);
        }
        let lists = (tiles.cast_const(), others.cast_const());
        // SAFETY: pieces write apart from each other.
        let shared = unsafe { Shared::new((&field, &cotangent, partial, lists, dw)) };
        let cost = g.work() as u64 / 2 / kernels.speed;
        pool::run(chunks * splits, cost, &|piece| {
            let &(field, cotangent, partial, (tiles, others), _) = shared.get();
            let chunk = piece % chunks;
            let (first_panel, some_panels) = part(panels, splits, piece / chunks);
            let partial = partial.wrapping_add(chunk * sums);
            let (first_unit, count) = part(units, chunks, chunk);
            with_scratch(&OWN, own.len(), |scratch| {
                let at = |at: usize| scratch.wrapping_add(at);
                let (points, other_points) = (at(points_at), at(others_points_at));
                for u in first_unit..first_unit + count {
                    let unit = field.unit(u);
                    // SAFETY: the contract; there is room for the copies.
                    let (a, b) = unsafe {
                        let a = field.load(kernels, &unit, 0, channels, at(copy_at));
                        (a, cotangent.load(kernels, field, &unit, at(other_at)))
                    };
                    let all = unit.images * unit.each;
                    let groups = all.div_ceil(TOGETHER);
                    let next = if u + 1 < first_unit + count { u + 1 } else { usize::MAX };
                    let regions = [field.region(next), (cotangent.src, 0)];
                    let mut ahead = Ahead::new(regions, groups * some_panels * POINTS);
                    for (i, (first, some)) in (0..groups).map(|i| (i, part(all, groups, i))) {
                        let [_, line, place] = field.strides();
                        for run in runs(&unit, first, some) {
                            // SAFETY: the contract.
                            unsafe {
                                (sides.data[1])(&Data {
                                    from: a.wrapping_add(*tiles.wrapping_add(run.tile)),
                                    count: run.count,
                                    line,
                                    place,
                                    channels,
                                    to: points.wrapping_add(run.at * BLOCK),
                                });
                            }
                        }
                        for p in first_panel..first_panel + some_panels {
                            let (vectors, lane, lanes, outs) = panel(p);
                            let [_, line, place] = cotangent.strides;
                            for run in runs(&unit, first, some) {
                                // SAFETY: as above.
                                unsafe {
                                    let at = lane + *others.wrapping_add(run.tile);
                                    (sides.cotangents)(&Cotangents {
                                        from: b.wrapping_add(at),
                                        count: run.count,
                                        line,
                                        place,
                                        outs,
                                        to: other_points.wrapping_add(run.at * kernels.lanes),
                                    });
                                }
                            }
                            for point in 0..POINTS {
                                ahead.step();
                                for channel in 0..blocks(channels) {
                                    let from = (channel * POINTS + point) * plane;
                                    let to = lane * rows + channel * BLOCK * lanes;
                                    let t = Multiply {
                                        a: points.wrapping_add(from),
                                        count: some,
                                        b: other_points.wrapping_add(point * other_plane),
                                        c: partial
                                            .wrapping_add(to * POINTS + point * BLOCK * lanes),
                                        add: u > first_unit || i > 0,
                                    };
                                    // SAFETY: as above.
                                    unsafe { sides.channels(vectors, &t) };
                                }
                            }
                        }
                    }
                }
            });
        })?;
        pool::run(panels * blocks(channels), (chunks * sums) as u64 / 4, &|piece| {
            let &(_, _, partial, _, dw) = shared.get();
            let (_, lane, lanes, outs) = panel(piece / blocks(channels));
            let first = piece % blocks(channels) * BLOCK;
            let count = (channels - first).min(BLOCK);
            let element = BLOCK * lanes;
            let from = |chunk: usize| {
                partial.wrapping_add(chunk * sums + (lane * rows + first * lanes) * POINTS)
            };
            for chunk in 1..chunks {
                // SAFETY: both have so many elements, whole registers.
                unsafe { (kernels.add)(from(0), from(chunk), POINTS * element) };
            }
            with_scratch(&OWN, WINDOW * element, |window| {
                let t = Gradient { from: from(0), plane: element, element, to: window };
                // SAFETY: the sums of a block, and room for its windows; the result has those of all
                // channels.
                unsafe {
                    (sides.gradient)(&t);
                    for c in 0..count {
                        (kernels.turn)(&Turn {
                            src: window.wrapping_add(c * lanes),
                            src_row: element,
                            rows: WINDOW,
                            cols: outs,
                            dst: dw.wrapping_add((lane * channels + first + c) * WINDOW),
                            dst_row: channels * WINDOW,
                        });
                    }
                }
            });
        })
    })
}

/// The gradient of y, of which a unit's tiles are read where they are, or copied with zeros behind.
struct Cotangent {
    src: *const f32,
    images: Images,
    in_place: bool,
    /// Images of the largest unit.
    most: usize,
    /// Distances where tiles are read: along the axes, and of two images.
    strides: [usize; 3],
    image: usize,
}

impl Cotangent {
    fn new(src: *const f32, images: Images, field: &Field) -> Cotangent {
        let [_, h, w] = images.dims;
        let unit = field.unit(0);
        let sizes = Cotangent::sizes(field, &unit);
        let in_place = images.last && h.is_multiple_of(STEP) && w.is_multiple_of(STEP);
        let (strides, image) = if in_place {
            (images.strides(), images.image())
        } else {
            let line = sizes[2] * images.channels;
            ([sizes[1] * line, line, images.channels], volume(sizes) * images.channels)
        };
        Cotangent { src, images, in_place, most: unit.images, strides, image }
    }

    /// Places of a unit's tiles.
    fn sizes(field: &Field, unit: &Unit) -> [usize; 3] {
        let (axis, _, len) = field.band(unit);
        let mut sizes = field.axes.map(|a| a.places * STEP);
        sizes[axis] = len * STEP;
        [1, sizes[1], sizes[2]]
    }

    fn copy_len(&self) -> usize {
        if self.in_place { 0 } else { self.most * self.image + SLACK }
    }

    /// From one tile to the next.
    fn steps(&self) -> [usize; 3] {
        self.strides.map(|s| s * STEP)
    }

    /// Where a unit's first tile is.
    ///
    /// # Safety
    /// The machine has the instruction set of the kernels; there is room for the copy.
    unsafe fn load(
        &self,
        kernels: &Kernels,
        field: &Field,
        unit: &Unit,
        copy: *mut f32,
    ) -> *const f32 {
        let (axis, start, _) = field.band(unit);
        let src = self.src.wrapping_add(unit.image * self.images.image());
        if self.in_place {
            return src.wrapping_add(start * STEP * self.strides[axis]);
        }
        let mut from = [0; 3];
        from[axis] = (start * STEP) as isize;
        for image in 0..unit.images {
            let pad = Pad {
                src: src.wrapping_add(image * self.images.image()),
                dims: self.images.dims,
                src_channel: self.images.channel(),
                src_place: self.images.place(),
                from,
                sizes: Cotangent::sizes(field, unit),
                strides: self.strides,
                channels: self.images.channels,
                dst: copy.wrapping_add(image * self.image),
            };
            // SAFETY: the contract.
            unsafe { (kernels.pad)(&pad) };
        }
        copy.cast_const()
    }
}
