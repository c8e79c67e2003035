//! The gradient for the weight: elements of the window by output channels, summed over places.
//!
//! With few output channels most lanes would be empty, and each element of x would be read for a
//! single multiplication. There a line of the window is folded into the lanes ([`fold`]): a lane is an
//! output channel and an element of the line, a row of B the cotangent at as many neighbours, and x is
//! read once for all of them. Around the lines of the cotangent are zeros that take part.

use super::copy::{Ahead, Pad, Turn};
use super::data::{Axis, EACH, Field, Images, Room, Spread, Unit, part};
use super::pairs::{self, Kept, Rows, Two};
use super::tile::{self, Kernels, MOST_ROWS, OWN, SHARED, Tile, with_scratch};
use super::{Geometry, Pass, volume, winograd};
use crate::gemm::pack::Pack;
use crate::gemm::round::Form;
use crate::isa;
use crate::memory::Shared;
use crate::pool::{self, PiecePanicked};

/// Places in a block: one chain of multiply-adds. Part of the definition of the result.
const BLOCK: usize = 128;

/// Elements of the window, over channels, that a piece computes together.
const ROWS: usize = 576;

/// Output channels of a panel of the widest kernel: what pieces are counted with, on any machine.
const PANEL: usize = 48;

/// Pieces that keep many threads busy: with fewer, the batch is cut as well.
const PIECES: usize = 16;

/// Rows up to which a cotangent of more channels than lanes is read where it is: more of them pay for a
/// copy without gaps.
const GAPS: usize = 64;

/// Output channels of a group with which a line of the window is folded, and its elements at most.
const FEW: usize = 16;
const LONG: usize = 7;

/// Elements of the copy of a cotangent that may be read beyond its end.
const SLACK: usize = 64;

/// How many elements of a line of the window are folded into the lanes; 1 for none.
fn fold(g: &Geometry) -> usize {
    let [_, _, w] = g.kernel;
    let lines = g.y[0] > 1 || g.y[1] > 1;
    let dense = g.stride[2] == 1 && g.dilation[2] == 1;
    let outs = g.outputs / g.groups;
    // Multiplications of registers for a line, either way; without, each also reads.
    let folded = (outs * w).div_ceil(FEW) * (g.y[2] + w - 1);
    let pays = outs <= FEW && w <= LONG && folded * 4 <= w * g.y[2] * 5;
    if lines && dense && pays { w } else { 1 }
}

/// The gradient of w from (x, gradient of y).
///
/// # Safety
/// The machine has the instruction set of the kernels; the windows have the sizes of the geometry.
pub(super) unsafe fn weight(
    form: Form,
    g: &Geometry,
    x: *const f32,
    dy: *const f32,
    dw: *mut f32,
) -> Result<(), PiecePanicked> {
    if winograd::fits(g, Pass::Weight) {
        // SAFETY: the contract.
        return unsafe { winograd::weight(g, x, dy, dw) };
    }
    let kept = match form {
        Form::Full => Kept::Full,
        Form::Wide => Kept::Wide,
        Form::Pairs => Kept::Images,
    };
    let kernels = tile::of(isa::active(), kept == Kept::Images);
    let (channels, per_group) = (g.inputs / g.groups, g.outputs / g.groups);
    let window = volume(g.kernel);
    let mut axes: [Axis; 3] = std::array::from_fn(|i| Axis {
        places: g.y[i],
        step: g.stride[i],
        taps: g.kernel[i],
        first: -(g.before[i] as isize),
        delta: g.dilation[i] as isize,
    });
    let spread = Spread { planes: channels, repeat: per_group, lanes: g.outputs };
    let spread = super::each(g.groups, channels, per_group).then_some(spread);
    let fold = if spread.is_some() { 1 } else { fold(g) };
    if fold > 1 {
        // Rows are lines of the window; places are all that a line touches.
        axes[2].places += fold - 1;
        axes[2].taps = 1;
    }
    let lines = window / fold;
    // Where each lane has its own data, a group is some lanes.
    let (groups, outs) = match spread {
        Some(s) => (s.lanes.div_ceil(EACH), EACH.min(s.lanes)),
        None => (g.groups, per_group),
    };
    let each = spread.is_some();
    let blocks = if each { 1 } else { channels.div_ceil((ROWS / lines).max(1)) };
    let block = channels.div_ceil(blocks);
    let data = Images::new(g.last, g.inputs, g.x);
    let field = Field::new(x, data, g.batch, if each { outs } else { block }, axes, spread, kept);
    let units = field.units();
    // Not from this machine's panels: the sums must be the same on all of them.
    let chunks = (PIECES / (groups * blocks * (outs * fold).div_ceil(PANEL))).clamp(1, units);
    let lanes = kernels.lanes;
    let vectors = (outs * fold).div_ceil(lanes);
    let panels = vectors.div_ceil(kernels.vectors);
    let rows = channels * lines;
    // Of one group in one chunk: panels one after another, each `rows` rows.
    let sums = rows * vectors * lanes;
    let most = field.most_places();
    let mut room = Room::new();
    let (partial_at, places_at) = (room.elements(chunks * groups * sums), room.offsets(most));
    let mut own = Room::new();
    let cotangent = Cotangent {
        kernels,
        kept,
        src: dy,
        images: Images::new(g.last, g.outputs, g.y),
        batch: g.batch,
        dims: g.y,
    };
    let near = cotangent.near(most, if fold > 1 { outs } else { kernels.vectors * lanes });
    let copy_at = own.elements(field.copy_len());
    let (rows_at, to_at) = (own.offsets(block * lines), own.offsets(block * lines));
    let turned = (most + fold) * (kernels.vectors * lanes).max(outs) + SLACK;
    let (turned_at, near_at) = (own.elements(turned), own.elements(near));
    // Lanes of a group, and of a panel: first, width, how many of them are channels.
    let panel = |group: usize, panel: usize| {
        let here = outs.min(g.outputs - group * outs) * fold;
        let vectors = here.div_ceil(lanes);
        let panels = vectors.div_ceil(kernels.vectors);
        let (vector, registers) =
            if panel < panels { part(vectors, panels, panel) } else { (0, 0) };
        let (out, width) = (vector * lanes, registers * lanes);
        (out, width, width.min(here - out))
    };
    with_scratch(&SHARED, room.len(), |scratch| {
        let partial = scratch.wrapping_add(partial_at);
        let places = scratch.wrapping_add(places_at).cast::<usize>();
        // SAFETY: there is room for the places of the largest unit.
        unsafe { field.places(&field.unit(0), places) };
        // SAFETY: pieces write apart from each other.
        let shared = unsafe { Shared::new((&field, partial, &cotangent, dw, places.cast_const())) };
        let cost = g.work() as u64 / kernels.speed;
        // A piece has all panels, so that x is read once, where that leaves pieces enough.
        let splits = (PIECES / 2 / (groups * blocks * chunks)).clamp(1, panels);
        pool::run(groups * blocks * splits * chunks, cost, &|piece| {
            let &(field, partial, cotangent, _, places) = shared.get();
            let (chunk, rest) = (piece % chunks, piece / chunks);
            let (split, rest) = (rest % splits, rest / splits);
            let (block_at, group) = (rest % blocks, rest / blocks);
            let (channel, count) = part(channels, blocks, block_at);
            let (first_panel, some_panels) = part(panels, splits, split);
            let mine = first_panel..first_panel + some_panels;
            // Lanes from the first of the first panel on.
            let (lane, _, _) = panel(group, first_panel);
            let lanes_here: usize = mine.clone().map(|p| panel(group, p).2).sum();
            if lanes_here == 0 {
                return;
            }
            let rows_here = count * lines;
            let partial = partial.wrapping_add((chunk * groups + group) * sums);
            with_scratch(&OWN, own.len(), |scratch| {
                let copy = scratch.wrapping_add(copy_at);
                let offsets = scratch.wrapping_add(rows_at).cast::<usize>();
                let to = scratch.wrapping_add(to_at).cast::<usize>();
                let turned = scratch.wrapping_add(turned_at);
                let near = scratch.wrapping_add(near_at);
                // SAFETY: the contract; the scratch memory has room for each part.
                unsafe { field.taps(count, offsets) };
                let mut to_width = 0;
                let (first_unit, some) = part(units, chunks, chunk);
                let end = first_unit + some;
                for u in first_unit..end {
                    let unit = field.unit(u);
                    let all = unit.images * unit.each;
                    // The lanes of the panels, or the channels of the block.
                    let (first, some) = if each {
                        (group * outs + lane, lanes_here)
                    } else {
                        (group * channels + channel, count)
                    };
                    // SAFETY: as above.
                    let a = unsafe { field.load(kernels, &unit, first, some, copy) };
                    if fold > 1 {
                        let (axis, start, len) = field.band(&unit);
                        let (mut from, mut sizes) = ([0; 3], g.y);
                        (from[axis], sizes[axis]) = (start as isize, len);
                        (from[2], sizes[2]) = (1 - fold as isize, g.y[2] + fold - 1);
                        // SAFETY: as above.
                        unsafe {
                            cotangent.lines(&unit, group * outs, outs, (from, sizes), turned, near);
                        }
                        // SAFETY: as above.
                        unsafe {
                            turned.wrapping_add(all * outs).write_bytes(0, (fold - 1) * outs);
                        }
                    }
                    // What the next unit reads.
                    let next = if u + 1 < end && groups == 1 { u + 1 } else { usize::MAX };
                    let cotangents = match next {
                        usize::MAX => (cotangent.src, 0),
                        _ => cotangent.region(&field.unit(next), field),
                    };
                    let tiles = rows_here.div_ceil(MOST_ROWS) * all.div_ceil(BLOCK);
                    let mut ahead =
                        Ahead::new([field.region(next), cotangents], tiles * some_panels);
                    for p in mine.clone() {
                        let (out, width, here) = panel(group, p);
                        if here == 0 {
                            continue;
                        }
                        if width != to_width {
                            for r in 0..rows_here {
                                // SAFETY: as above.
                                unsafe { *to.wrapping_add(r) = r * width };
                            }
                            to_width = width;
                        }
                        let first_out = group * outs + out;
                        let gaps = g.outputs == width || rows_here <= GAPS;
                        let in_place = cotangent.readable() && here == width && gaps;
                        let (b, b_row) = if fold > 1 {
                            (turned.wrapping_add(out).cast_const(), outs)
                        } else if in_place {
                            (cotangent.places(&unit, first_out), g.outputs)
                        } else {
                            // SAFETY: as above.
                            unsafe { cotangent.panel(&unit, first_out, here, width, turned, near) };
                            (turned.cast_const(), width)
                        };
                        let pieces = all.div_ceil(BLOCK);
                        for (place, some) in (0..pieces).map(|i| part(all, pieces, i)) {
                            let tile = Tile {
                                a: a.wrapping_add(if each { out - lane } else { 0 }),
                                rows: offsets,
                                taps: places.wrapping_add(place),
                                count: some,
                                step: 0,
                                b: b.wrapping_add(place * b_row),
                                b_row,
                                c: partial.wrapping_add(out * rows + channel * lines * width),
                                to,
                                tail: lanes,
                                add: u > first_unit || place > 0,
                                bias: std::ptr::null(),
                                relu: false,
                            };
                            let v = width / lanes;
                            // SAFETY: as above.
                            unsafe { kernels.sweep(each, v, rows_here, &tile, &mut ahead) };
                        }
                    }
                }
            });
        })?;
        let cost = (chunks * groups * sums) as u64 / 4;
        pool::run(groups * panels, cost, &|piece| {
            let &(_, partial, _, dw, _) = shared.get();
            let (group, panel_at) = (piece / panels, piece % panels);
            let (out, width, here) = panel(group, panel_at);
            if here == 0 {
                return;
            }
            let at =
                |chunk: usize| partial.wrapping_add((chunk * groups + group) * sums + out * rows);
            for chunk in 1..chunks {
                // SAFETY: both have `rows` rows of whole registers.
                unsafe { (kernels.add)(at(0), at(chunk), rows * width) };
            }
            for block_at in 0..blocks {
                let (channel, count) = part(channels, blocks, block_at);
                let src = at(0).wrapping_add(channel * lines * width).cast_const();
                if fold > 1 {
                    let dst = dw.wrapping_add(group * outs * channels * window + channel * window);
                    for (row, lane) in
                        (0..lines * count).flat_map(|r| (0..here).map(move |l| (r, l)))
                    {
                        let (j, f) = ((out + lane) / outs, (out + lane) % outs);
                        let (line, c) = (row / count, row % count);
                        let to = (f * channels + c) * window + line * fold + fold - 1 - j;
                        // SAFETY: the contract.
                        unsafe { *dst.wrapping_add(to) = *src.wrapping_add(row * width + lane) };
                    }
                    continue;
                }
                let dst = dw.wrapping_add((group * outs + out) * rows + channel * window);
                let turn = Turn {
                    src,
                    src_row: count * width,
                    rows: window,
                    cols: here,
                    dst,
                    dst_row: rows,
                };
                // SAFETY: the contract.
                unsafe {
                    if window == 1 {
                        (kernels.turn)(&Turn { src_row: width, rows: count, ..turn });
                        continue;
                    }
                    for c in 0..count {
                        let (src, dst) =
                            (src.wrapping_add(c * width), dst.wrapping_add(c * window));
                        (kernels.turn)(&Turn { src, dst, ..turn });
                    }
                }
            }
        })
    })
}

/// The gradient of y, of which some places and channels at a time become B.
struct Cotangent<'a> {
    kernels: &'a Kernels,
    kept: Kept,
    src: *const f32,
    images: Images,
    /// Images of it, and their sizes.
    batch: usize,
    dims: [usize; 3],
}

impl Cotangent<'_> {
    /// Whether B can be read where it is.
    fn readable(&self) -> bool {
        self.images.last && self.kept == Kept::Full
    }

    /// Elements near by for making pairs of so many places, `width` channels each.
    fn near(&self, places: usize, width: usize) -> usize {
        if self.kept != Kept::Images || self.images.last {
            return 0;
        }
        (places * width).max(pairs::room(self.dims[2] * width))
    }

    /// The images of a unit: the first, and how many.
    fn of(&self, unit: &Unit) -> (usize, usize) {
        let first = unit.image * self.kept.images();
        (first, (unit.images * self.kept.images()).min(self.batch - first))
    }

    /// A unit's first place, of this channel.
    fn places(&self, unit: &Unit, channel: usize) -> *const f32 {
        let at = self.of(unit).0 * self.images.image() + channel * self.images.channel();
        self.src.wrapping_add(at + unit.first * self.images.place())
    }

    /// Where a unit's places are, and how many elements: none where they are in many places.
    fn region(&self, unit: &Unit, field: &Field) -> (*const f32, usize) {
        if !self.images.last {
            return (self.src, 0);
        }
        let (axis, start, len) = field.band(unit);
        let row = self.images.strides()[axis];
        let (first, count) = self.of(unit);
        let at = first * self.images.image() + start * row;
        let all = count * self.images.image();
        (self.src.wrapping_add(at), if unit.first > 0 { len * row } else { all })
    }

    /// Lines of `outs` channels from `first` on, with zeros around: where they start, and the sizes of
    /// the copy.
    ///
    /// # Safety
    /// The machine has the instruction set of the kernels; there is room for the copy, and
    /// [`Cotangent::near`] for its places.
    unsafe fn lines(
        &self,
        unit: &Unit,
        first: usize,
        outs: usize,
        (from, sizes): ([isize; 3], [usize; 3]),
        to: *mut f32,
        near: *mut f32,
    ) {
        let (image, count) = self.of(unit);
        let apart = self.images.image();
        for i in 0..unit.images {
            let source = i * self.kept.images();
            let at = (image + source) * apart + first * self.images.channel();
            let pad = Pad {
                src: self.src.wrapping_add(at),
                dims: self.dims,
                src_channel: self.images.channel(),
                src_place: self.images.place(),
                from,
                sizes,
                strides: [sizes[1] * sizes[2] * outs, sizes[2] * outs, outs],
                channels: outs,
                dst: to.wrapping_add(i * unit.each * outs),
            };
            // SAFETY: the contract; there are pairs only where the machine has the instruction.
            unsafe {
                if self.kept == Kept::Images {
                    let second = (source + 1 < count).then_some(apart);
                    pairs::pad(self.kernels, &pad, Two::Images(second), near);
                } else {
                    (self.kernels.pad)(&pad);
                }
            }
        }
        if self.kept == Kept::Wide {
            // SAFETY: the copy has so many elements.
            unsafe { pairs::wide(to, unit.images * unit.each * outs) };
        }
    }

    /// A panel of `here` channels from `first` on, a unit's places one after another.
    ///
    /// # Safety
    /// As for [`Cotangent::lines`].
    unsafe fn panel(
        &self,
        unit: &Unit,
        first: usize,
        here: usize,
        width: usize,
        to: *mut f32,
        near: *mut f32,
    ) {
        let (_, count) = self.of(unit);
        let apart = self.images.image();
        let start = self.places(unit, first);
        for i in 0..unit.images {
            let source = i * self.kept.images();
            let dst = to.wrapping_add(i * unit.each * width);
            let pack = Pack {
                src: start.wrapping_add(source * apart),
                step: self.images.place(),
                across: self.images.channel(),
                k: unit.each,
                count: here,
                width,
                dst,
                repeat: 1,
                apart: 0,
            };
            let second = source + 1 < count;
            // SAFETY: the contract; there are pairs only where the machine has the instruction.
            unsafe {
                if self.kept == Kept::Images && self.images.last {
                    let high = pack.src.wrapping_add(apart);
                    let high = if second { high } else { std::ptr::null() };
                    let (row, count) = (self.images.place(), unit.each);
                    let rows =
                        Rows { from: pack.src, row, count, width: here, to: dst, to_row: width };
                    pairs::zip(&rows, high, width);
                    continue;
                }
                (self.kernels.panel)(&pack);
                if self.kept == Kept::Images {
                    if second {
                        let src = pack.src.wrapping_add(apart);
                        (self.kernels.panel)(&Pack { src, dst: near, ..pack });
                    }
                    let high = if second { near.cast_const() } else { std::ptr::null() };
                    let n = unit.each * width;
                    let rows = Rows { from: dst, row: n, count: 1, width: n, to: dst, to_row: n };
                    pairs::zip(&rows, high, n);
                }
            }
        }
        if self.kept == Kept::Wide {
            // SAFETY: the copy has so many elements.
            unsafe { pairs::wide(to, unit.images * unit.each * width) };
        }
    }
}
