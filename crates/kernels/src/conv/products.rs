//! The forward pass and the gradient for the input: places by output channels.

use super::data::{Axis, Field, Room, Unit, part};
use super::narrow::Narrow;
use super::strip::NARROW;
use super::tile::{BLOCK, Kernels, OWN, SHARED, Tile, Turn, with_scratch};
use super::{Geometry, volume};
use crate::gemm::pack::Pack;
use crate::gemm::simd::prefetch;
use crate::memory::Shared;
use crate::pool::{self, PiecePanicked};

/// Places whose results are kept near until they are turned and stored.
const NEAR: usize = 64;

/// Elements of a cache line.
const LINE: usize = 16;

/// What both passes have in common: data by offsets, times packed weights.
struct Product<'a> {
    kernels: &'a Kernels,
    field: Field,
    groups: usize,
    /// Taps of a place: data channels of a group by elements of the window.
    taps: usize,
    /// Data channels of a group, and channels of the result of a group.
    channels: usize,
    outs: usize,
    out: *mut f32,
    /// Sizes of the result, and which of its elements are the places: start and step.
    dims: [usize; 3],
    start: [usize; 3],
    step: [usize; 3],
    work: usize,
}

/// y from (x, w).
///
/// # Safety
/// The machine has the instruction set of the kernels; the windows have the sizes of the geometry.
pub(super) unsafe fn forward(
    kernels: &Kernels,
    g: &Geometry,
    x: *const f32,
    w: *const f32,
    y: *mut f32,
) -> Result<(), PiecePanicked> {
    let channels = g.inputs / g.groups;
    let axes = std::array::from_fn(|i| Axis {
        places: g.y[i],
        step: g.stride[i],
        taps: g.kernel[i],
        first: -(g.before[i] as isize),
        delta: g.dilation[i] as isize,
    });
    let narrow = g.outputs / g.groups <= NARROW;
    let product = Product {
        kernels,
        field: Field::new(x, g.batch, g.inputs, channels, g.x, axes, narrow),
        groups: g.groups,
        taps: channels * volume(g.kernel),
        channels,
        outs: g.outputs / g.groups,
        out: y,
        dims: g.y,
        start: [0; 3],
        step: [1; 3],
        work: g.work(),
    };
    let taps = product.taps;
    if narrow {
        let outs = product.outs;
        // SAFETY: the contract.
        let weight = |group: usize, f: usize, tap: usize| unsafe {
            *w.wrapping_add((group * outs + f) * taps + tap)
        };
        // SAFETY: the contract.
        return unsafe { product.narrow().run(&weight) };
    }
    // The weight's rows are taps in the order that is wanted; they only have to be turned.
    let pack = |group: usize, first: usize, count: usize, width: usize, dst: *mut f32| {
        let pack = Pack {
            src: w.wrapping_add((group * product.outs + first) * taps),
            step: 1,
            across: taps,
            k: taps,
            count,
            width,
            dst,
            repeat: 1,
            apart: 0,
        };
        // SAFETY: the contract.
        unsafe { (kernels.panel)(&pack) }
    };
    // SAFETY: the contract.
    unsafe { product.run(&pack) }
}

/// The gradient of x from (gradient of y, w): for each residue of the stride, a product of its own.
///
/// # Safety
/// As for [`forward`].
pub(super) unsafe fn input(
    kernels: &Kernels,
    g: &Geometry,
    dy: *const f32,
    w: *const f32,
    dx: *mut f32,
) -> Result<(), PiecePanicked> {
    let phases: [usize; 3] = std::array::from_fn(|i| g.stride[i].min(g.x[i]));
    for phase in 0..volume(phases) {
        let start =
            [phase / (phases[1] * phases[2]), phase / phases[2] % phases[1], phase % phases[2]];
        // SAFETY: the contract.
        unsafe { residue(kernels, g, dy, w, dx, start, volume(phases)) }?;
    }
    Ok(())
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// The elements `start + stride * place` of the gradient of x.
///
/// # Safety
/// As for [`forward`].
unsafe fn residue(
    kernels: &Kernels,
    g: &Geometry,
    dy: *const f32,
    w: *const f32,
    dx: *mut f32,
    start: [usize; 3],
    phases: usize,
) -> Result<(), PiecePanicked> {
    let (channels, outs) = (g.outputs / g.groups, g.inputs / g.groups);
    // Element i of x meets element (i + before - k * dilation) / stride of y: only every so many
    // elements of the window leave no rest.
    let every: [usize; 3] = std::array::from_fn(|i| g.stride[i] / gcd(g.stride[i], g.dilation[i]));
    let first: [usize; 3] = std::array::from_fn(|i| {
        let (s, d) = (g.stride[i], g.dilation[i]);
        let want = (start[i] + g.before[i]) % s;
        (0..every[i]).find(|&k| k * d % s == want).unwrap_or(g.kernel[i])
    });
    let axes = std::array::from_fn(|i| Axis {
        places: (g.x[i] - start[i]).div_ceil(g.stride[i]),
        step: 1,
        taps: g.kernel[i].saturating_sub(first[i]).div_ceil(every[i]),
        first: ((start[i] + g.before[i]) as isize - (first[i] * g.dilation[i]) as isize)
            .div_euclid(g.stride[i] as isize),
        delta: -((every[i] * g.dilation[i] / g.stride[i]) as isize),
    });
    let window: [usize; 3] = axes.map(|a: Axis| a.taps);
    let narrow = outs <= NARROW && volume(window) > 0;
    let product = Product {
        kernels,
        field: Field::new(dy, g.batch, g.outputs, channels, g.y, axes, narrow),
        groups: g.groups,
        taps: channels * volume(window),
        channels,
        outs,
        out: dx,
        dims: g.x,
        start,
        step: g.stride,
        work: g.work() / phases,
    };
    let all = volume(g.kernel);
    if narrow {
        let weight = |group: usize, c: usize, tap: usize| {
            let (f, tap) = (tap / volume(window), tap % volume(window));
            let j = [tap / (window[1] * window[2]), tap / window[2] % window[1], tap % window[2]];
            let k: [usize; 3] = std::array::from_fn(|i| first[i] + j[i] * every[i]);
            let at = (k[0] * g.kernel[1] + k[1]) * g.kernel[2] + k[2];
            // SAFETY: the contract.
            unsafe { *w.wrapping_add(((group * channels + f) * outs + c) * all + at) }
        };
        // SAFETY: the contract.
        return unsafe { product.narrow().run(&weight) };
    }
    let pack = |group: usize, first_out: usize, count: usize, width: usize, dst: *mut f32| {
        let mut to = dst;
        for f in 0..channels {
            let from = w.wrapping_add(((group * channels + f) * outs + first_out) * all);
            for tap in 0..volume(window) {
                let j =
                    [tap / (window[1] * window[2]), tap / window[2] % window[1], tap % window[2]];
                let k: [usize; 3] = std::array::from_fn(|i| first[i] + j[i] * every[i]);
                let at = (k[0] * g.kernel[1] + k[1]) * g.kernel[2] + k[2];
                for lane in 0..width {
                    // SAFETY: the contract; there is room for `width` elements a tap.
                    unsafe {
                        *to = if lane < count { *from.wrapping_add(lane * all + at) } else { 0.0 };
                    }
                    to = to.wrapping_add(1);
                }
            }
        }
    };
    // SAFETY: the contract.
    unsafe { product.run(&pack) }
}

/// Packs the weights of a group for some channels of the result: first channel, how many, elements
/// a row of the copy, and where to.
type PackWeights<'a> = &'a dyn Fn(usize, usize, usize, usize, *mut f32);

impl<'a> Product<'a> {
    /// The same with places in the lanes.
    fn narrow(self) -> Narrow<'a> {
        let Product { kernels, field, groups, taps, channels, outs, out, dims, start, step, work } =
            self;
        Narrow { kernels, field, groups, taps, channels, outs, out, dims, start, step, work }
    }

    /// First register and registers of a panel.
    fn panel(&self, p: usize) -> (usize, usize) {
        let vectors = self.outs.div_ceil(self.kernels.lanes);
        part(vectors, vectors.div_ceil(self.kernels.vectors), p)
    }

    /// # Safety
    /// As for [`forward`].
    unsafe fn run(&self, pack: PackWeights<'_>) -> Result<(), PiecePanicked> {
        let lanes = self.kernels.lanes;
        let vectors = self.outs.div_ceil(lanes);
        let panels = vectors.div_ceil(self.kernels.vectors);
        let weights = vectors * lanes * self.taps;
        let mut room = Room::new();
        let (b_at, taps_at) = (room.elements(self.groups * weights), room.offsets(self.taps));
        let (places, copy) = (self.field.most_places(), self.field.copy_len());
        let mut own = Room::new();
        let (copy_at, rows_at, to_at) =
            (own.elements(copy), own.offsets(places), own.offsets(places));
        let near_at = own.elements(NEAR * self.kernels.vectors * lanes);
        let dense = self.step == [1; 3];
        with_scratch(&SHARED, room.len(), |scratch| {
            let b = scratch.wrapping_add(b_at);
            let taps = scratch.wrapping_add(taps_at).cast::<usize>();
            // SAFETY: there is room for the offsets of all taps.
            unsafe { self.field.taps(self.channels, taps) };
            // SAFETY: pieces write apart from each other.
            let shared = unsafe { Shared::new((self, pack, b, taps)) };
            pool::run(self.groups * panels, (self.groups * weights) as u64, &|piece| {
                let &(product, pack, b, _) = shared.get();
                let (group, (first, count)) = (piece / panels, product.panel(piece % panels));
                let channel = first * lanes;
                let width = count * lanes;
                let dst = b.wrapping_add(group * weights + channel * product.taps);
                pack(group, channel, width.min(product.outs - channel), width, dst);
            })?;
            let units = self.field.units();
            let cost = self.work as u64 / self.kernels.speed;
            pool::run(self.groups * units, cost, &|piece| {
                let &(product, _, b, taps) = shared.get();
                with_scratch(&OWN, own.len(), |scratch| {
                    let (group, unit) = (piece / units, product.field.unit(piece % units));
                    let (copy, near) =
                        (scratch.wrapping_add(copy_at), scratch.wrapping_add(near_at));
                    let rows = scratch.wrapping_add(rows_at).cast::<usize>();
                    let to = scratch.wrapping_add(to_at).cast::<usize>();
                    // SAFETY: the contract; the scratch memory has room for each part.
                    unsafe {
                        let (first, channels) = (group * product.channels, product.channels);
                        let a = if product.taps == 0 {
                            std::ptr::null()
                        } else {
                            product.field.load(product.kernels, &unit, first, channels, copy)
                        };
                        product.field.places(&unit, rows);
                        if !dense {
                            product.scattered(&unit, to);
                        }
                        let b = b.wrapping_add(group * weights);
                        let piece = Piece { group, unit, a, b, rows, taps, near, to, dense };
                        product.piece(&piece, panels);
                    }
                });
            })
        })
    }

    /// Where in the result the places of a unit are.
    ///
    /// # Safety
    /// There is room for the unit's places.
    unsafe fn scattered(&self, unit: &Unit, to: *mut usize) {
        let strides = [self.dims[1] * self.dims[2], self.dims[2], 1];
        let start = std::array::from_fn(|i| self.start[i] * strides[i]);
        let steps: [usize; 3] = std::array::from_fn(|i| self.step[i] * strides[i]);
        let image = self.groups * self.outs * volume(self.dims);
        // The unit's first place along the axis that is cut.
        let mut start: [usize; 3] = start;
        start[0] += self.field.offset(unit, steps);
        // SAFETY: the contract.
        unsafe { self.field.positions(unit, image, start, steps, to) };
    }

    /// # Safety
    /// As for [`forward`]; the piece's parts are filled.
    unsafe fn piece(&self, p: &Piece, panels: usize) {
        let (kernels, lanes) = (self.kernels, self.kernels.lanes);
        let count = p.unit.images * p.unit.each;
        for panel in 0..panels {
            let (vector, vectors) = self.panel(panel);
            let (channel, width) = (vector * lanes, vectors * lanes);
            let b = p.b.wrapping_add(channel * self.taps);
            for place in (0..count).step_by(NEAR) {
                let places = (count - place).min(NEAR);
                let slivers = places.div_ceil(kernels.rows);
                let channels = width.min(self.outs - channel);
                self.expect(p, place, places, channel, channels);
                let mut tap = 0;
                loop {
                    let taps = (self.taps - tap).min(BLOCK);
                    for s in 0..slivers {
                        let (row, rows) = part(places, slivers, s);
                        let tile = Tile {
                            a: p.a,
                            rows: p.rows.wrapping_add(place + row),
                            taps: p.taps.wrapping_add(tap),
                            count: taps,
                            b: b.wrapping_add(tap * width),
                            c: p.near.wrapping_add(row * width),
                            c_row: width,
                            add: tap > 0,
                        };
                        // SAFETY: the contract; the kernel is the one for these sizes.
                        unsafe { kernels.tile(rows, vectors)(&tile) };
                    }
                    tap += taps;
                    if tap >= self.taps {
                        break;
                    }
                }
                // SAFETY: the contract.
                unsafe { self.store(p, place, places, channel, channels, width) };
            }
        }
    }

    /// Asks for the lines of the result that will be stored: each channel is another page.
    fn expect(&self, p: &Piece, place: usize, places: usize, channel: usize, channels: usize) {
        if !p.dense {
            return;
        }
        let plane = volume(self.dims);
        let (i, at) = (place / p.unit.each, place % p.unit.each);
        let first = ((p.unit.image + i) * self.groups + p.group) * self.outs + channel;
        let out = self.out.wrapping_add(first * plane + p.unit.first + at);
        for f in 0..channels {
            for line in (0..places + LINE).step_by(LINE) {
                prefetch(out.wrapping_add(f * plane + line));
            }
        }
    }

    /// Turns results and stores them.
    ///
    /// # Safety
    /// As for [`Product::piece`].
    unsafe fn store(
        &self,
        p: &Piece,
        place: usize,
        places: usize,
        channel: usize,
        channels: usize,
        width: usize,
    ) {
        let plane = volume(self.dims);
        let image = self.groups * self.outs * plane;
        let out =
            self.out.wrapping_add(p.unit.image * image + (p.group * self.outs + channel) * plane);
        if !p.dense {
            for f in 0..channels {
                let out = out.wrapping_add(f * plane);
                for q in 0..places {
                    // SAFETY: the contract.
                    unsafe {
                        *out.wrapping_add(*p.to.wrapping_add(place + q)) =
                            *p.near.wrapping_add(q * width + f);
                    }
                }
            }
            return;
        }
        let mut q = 0;
        while q < places {
            let (i, at) = ((place + q) / p.unit.each, (place + q) % p.unit.each);
            let rows = (p.unit.each - at).min(places - q);
            let turn = Turn {
                src: p.near.wrapping_add(q * width).cast_const(),
                src_row: width,
                rows,
                cols: channels,
                dst: out.wrapping_add(i * image + p.unit.first + at),
                dst_row: plane,
            };
            // SAFETY: the contract.
            unsafe { (self.kernels.turn)(&turn) };
            q += rows;
        }
    }
}

/// One unit of one group, with its scratch memory.
struct Piece {
    group: usize,
    unit: Unit,
    a: *const f32,
    b: *const f32,
    rows: *const usize,
    taps: *const usize,
    near: *mut f32,
    to: *const usize,
    dense: bool,
}
