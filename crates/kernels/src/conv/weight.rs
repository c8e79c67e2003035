//! The gradient for the weight: elements of the window by output channels, summed over places.

use super::data::{Axis, Field, Room, part};
use super::narrow;
use super::strip::NARROW;
use super::tile::{BLOCK, Kernels, OWN, SHARED, Tile, Turn, with_scratch};
use super::{Geometry, volume};
use crate::gemm::pack::Pack;
use crate::memory::Shared;
use crate::pool::{self, PiecePanicked};

/// Elements of the window, over channels, that a piece computes together.
const ROWS: usize = 576;

/// Output channels of a panel of the widest kernel: what pieces are counted with, on any machine.
const PANEL: usize = 48;

/// Pieces that keep many threads busy: with fewer, the batch is cut as well.
const PIECES: usize = 16;

/// The gradient of w from (x, gradient of y).
///
/// # Safety
/// The machine has the instruction set of the kernels; the windows have the sizes of the geometry.
pub(super) unsafe fn weight(
    kernels: &Kernels,
    g: &Geometry,
    x: *const f32,
    dy: *const f32,
    dw: *mut f32,
) -> Result<(), PiecePanicked> {
    let (channels, outs) = (g.inputs / g.groups, g.outputs / g.groups);
    let window = volume(g.kernel);
    let axes = std::array::from_fn(|i| Axis {
        places: g.y[i],
        step: g.stride[i],
        taps: g.kernel[i],
        first: -(g.before[i] as isize),
        delta: g.dilation[i] as isize,
    });
    if outs <= NARROW {
        let field = Field::new(x, g.batch, g.inputs, channels, g.x, axes, true);
        // SAFETY: the contract.
        return unsafe { narrow::weight(kernels, g, &field, dy, dw) };
    }
    let blocks = channels.div_ceil((ROWS / window).max(1));
    let block = channels.div_ceil(blocks);
    let field = Field::new(x, g.batch, g.inputs, block, g.x, axes, false);
    let units = field.units();
    // Not from this machine's panels: the sums must be the same on all of them.
    let chunks = (PIECES / (g.groups * blocks * outs.div_ceil(PANEL))).clamp(1, units);
    let lanes = kernels.lanes;
    let vectors = outs.div_ceil(lanes);
    let panels = vectors.div_ceil(kernels.vectors);
    let rows = channels * window;
    // Of one group in one chunk: panels one after another, each `rows` rows.
    let sums = rows * vectors * lanes;
    let mut own = Room::new();
    let (copy_at, places_at) = (own.elements(field.copy_len()), own.offsets(field.most_places()));
    let rows_at = own.offsets(block * window);
    let turned_at = own.elements(field.most_places() * kernels.vectors * lanes);
    let plane = volume(g.y);
    with_scratch(&SHARED, chunks * g.groups * sums, |partial| {
        // SAFETY: pieces write apart from each other.
        let shared = unsafe { Shared::new((&field, partial, dy, dw)) };
        let cost = g.work() as u64 / kernels.speed;
        pool::run(g.groups * blocks * panels * chunks, cost, &|piece| {
            let &(field, partial, dy, _) = shared.get();
            let (chunk, rest) = (piece % chunks, piece / chunks);
            let (panel, rest) = (rest % panels, rest / panels);
            let (block, group) = (rest % blocks, rest / blocks);
            let (channel, count) = part(channels, blocks, block);
            let (vector, registers) = part(vectors, panels, panel);
            let (out, width) = (vector * lanes, registers * lanes);
            let outs_here = width.min(outs - out);
            let sums_at = (chunk * g.groups + group) * sums + out * rows + channel * window * width;
            let c = partial.wrapping_add(sums_at);
            with_scratch(&OWN, own.len(), |scratch| {
                let copy = scratch.wrapping_add(copy_at);
                let places = scratch.wrapping_add(places_at).cast::<usize>();
                let offsets = scratch.wrapping_add(rows_at).cast::<usize>();
                let turned = scratch.wrapping_add(turned_at);
                // SAFETY: the contract; the scratch memory has room for each part.
                unsafe { field.taps(count, offsets) };
                let (first_unit, some) = part(units, chunks, chunk);
                for u in first_unit..first_unit + some {
                    let unit = field.unit(u);
                    let all = unit.images * unit.each;
                    let first_channel = group * channels + channel;
                    // SAFETY: as above.
                    let a = unsafe {
                        field.places(&unit, places);
                        field.load(kernels, &unit, first_channel, count, copy)
                    };
                    for i in 0..unit.images {
                        let at = (unit.image + i) * g.outputs + group * outs + out;
                        let pack = Pack {
                            src: dy.wrapping_add(at * plane + unit.first),
                            step: 1,
                            across: plane,
                            k: unit.each,
                            count: outs_here,
                            width,
                            dst: turned.wrapping_add(i * unit.each * width),
                            repeat: 1,
                            apart: 0,
                        };
                        // SAFETY: as above.
                        unsafe { (kernels.panel)(&pack) };
                    }
                    let slivers = (count * window).div_ceil(kernels.rows);
                    for place in (0..all).step_by(BLOCK) {
                        for s in 0..slivers {
                            let (row, rows) = part(count * window, slivers, s);
                            let tile = Tile {
                                a,
                                rows: offsets.wrapping_add(row),
                                taps: places.wrapping_add(place),
                                count: (all - place).min(BLOCK),
                                b: turned.wrapping_add(place * width),
                                c: c.wrapping_add(row * width),
                                c_row: width,
                                add: u > first_unit || place > 0,
                            };
                            // SAFETY: as above; the kernel is the one for these sizes.
                            unsafe { kernels.tile(rows, registers)(&tile) };
                        }
                    }
                }
            });
        })?;
        let cost = (chunks * g.groups * sums) as u64 / 4;
        pool::run(g.groups * panels, cost, &|piece| {
            let &(_, partial, _, dw) = shared.get();
            let (group, panel) = (piece / panels, piece % panels);
            let (vector, registers) = part(vectors, panels, panel);
            let (out, width) = (vector * lanes, registers * lanes);
            let at =
                |chunk: usize| partial.wrapping_add((chunk * g.groups + group) * sums + out * rows);
            for chunk in 1..chunks {
                // SAFETY: both have `rows` rows of whole registers.
                unsafe { (kernels.add)(at(0), at(chunk), rows * width) };
            }
            let turn = Turn {
                src: at(0),
                src_row: width,
                rows,
                cols: width.min(outs - out),
                dst: dw.wrapping_add((group * outs + out) * rows),
                dst_row: rows,
            };
            // SAFETY: the contract.
            unsafe { (kernels.turn)(&turn) };
        })
    })
}
