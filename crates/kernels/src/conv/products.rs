//! The forward pass and the gradient for the input: places by channels of the result.

use super::copy::{Ahead, Turn};
use super::data::{Axis, EACH, Field, Images, Room, Spread, Unit, part};
use super::pairs::{self, Kept};
use super::tile::{self, BLOCK, Kernels, MOST_ROWS, OWN, RUN, SHARED, Tile, with_scratch};
use super::{End, Geometry, Pass, volume, winograd};
use crate::gemm::round::Form;
use crate::isa;
use crate::memory::Shared;
use crate::pool::{self, PiecePanicked};

/// Places whose results are kept near until they are turned and stored, with channels second.
const NEAR: usize = 96;

/// Channels of the result of a group with which the elements of a line of the window are taps one
/// after another: on the widest machine they are one register.
const FEW: usize = 16;

/// Whether the taps are in runs: neighbours of the window meet neighbours of the data.
fn runs(each: bool, outs: usize, axes: &[Axis; 3]) -> bool {
    let [_, _, w] = axes;
    !each && outs <= FEW && w.step == 1 && w.delta.abs() == 1 && w.taps == RUN
}

/// What both passes have in common: data by offsets, times packed weights.
struct Product<'a> {
    kernels: &'a Kernels,
    field: Field,
    /// Each lane has data of its own: then a group is some lanes.
    each: bool,
    /// The taps are in [`runs`].
    runs: bool,
    groups: usize,
    /// Elements of the window, and channels (planes, for `each`) of the data.
    window: usize,
    channels: usize,
    kept: Kept,
    /// Channels of the result, of a group (the last may have fewer).
    outs: usize,
    out: *mut f32,
    result: Images,
    /// Which elements of the result are the places: start and step.
    start: [usize; 3],
    step: [usize; 3],
    end: End,
    work: usize,
}

/// How a result of `outs` channels in `groups` groups is computed from `channels` channels a group:
/// groups, channels and outs of the product, and what the lanes have.
fn shape(groups: usize, channels: usize, outs: usize) -> (usize, usize, Option<Spread>) {
    let all = groups * outs;
    match super::each(groups, channels, outs) {
        true => (
            all.div_ceil(EACH),
            EACH.min(all),
            Some(Spread { planes: channels, repeat: outs, lanes: all }),
        ),
        false => (groups, outs, None),
    }
}

/// What is done with operands as they are copied.
fn kept(form: Form, each: bool) -> Kept {
    match form {
        Form::Full => Kept::Full,
        // There are few channels to pair.
        Form::Pairs if !each => Kept::Channels,
        _ => Kept::Wide,
    }
}

/// y from (x, w).
///
/// # Safety
/// The machine has the instruction set of the kernels; the windows have the sizes of the geometry.
pub(super) unsafe fn forward(
    form: Form,
    g: &Geometry,
    x: *const f32,
    w: *const f32,
    y: *mut f32,
    end: End,
) -> Result<(), PiecePanicked> {
    let channels = g.inputs / g.groups;
    let axes = std::array::from_fn(|i| Axis {
        places: g.y[i],
        step: g.stride[i],
        taps: g.kernel[i],
        first: -(g.before[i] as isize),
        delta: g.dilation[i] as isize,
    });
    let (groups, outs, spread) = shape(g.groups, channels, g.outputs / g.groups);
    let kept = kept(form, spread.is_some());
    let isa = isa::active();
    let kernels = tile::of(isa, kept == Kept::Channels);
    let data = Images::new(g.last, g.inputs, g.x);
    let width = if spread.is_some() { outs } else { channels };
    let window = volume(g.kernel);
    let tiles = winograd::fits(g, Pass::Forward);
    let runs = !tiles && runs(spread.is_some(), outs, &axes);
    // The weights of an output are a row: of each channel the window. They become columns: of each
    // element of the window the channels.
    let pack = |group: usize, first: usize, count: usize, width: usize, dst: *mut f32| {
        let src = w.wrapping_add((group * outs + first) * channels * window);
        let turn = Turn {
            src,
            src_row: channels * window,
            rows: count,
            cols: window,
            dst,
            dst_row: channels * width,
        };
        // SAFETY: the contract.
        unsafe {
            if window == 1 {
                return (kernels.turn)(&Turn { cols: channels, dst_row: width, ..turn });
            }
            for c in 0..channels {
                let src = src.wrapping_add(c * window);
                if !runs {
                    (kernels.turn)(&Turn { src, dst: dst.wrapping_add(c * width), ..turn });
                    continue;
                }
                for line in 0..window / RUN {
                    let src = src.wrapping_add(line * RUN);
                    let dst = dst.wrapping_add((line * channels + c) * RUN * width);
                    (kernels.turn)(&Turn { src, dst, cols: RUN, dst_row: width, ..turn });
                }
            }
        }
    };
    let result = Images::new(g.last, g.outputs, g.y);
    if tiles {
        let first = axes.map(|a| a.first);
        let (src, batch, out, work) = (x, g.batch, y, g.work());
        let flip = false;
        let product = winograd::Product {
            kernels,
            sides: winograd::sides(isa),
            src,
            data,
            batch,
            first,
            flip,
            out,
            result,
            end,
            work,
        };
        // SAFETY: the contract.
        return unsafe { product.run(&pack) };
    }
    let product = Product {
        kernels,
        runs,
        field: Field::new(x, data, g.batch, width, axes, spread, kept),
        each: spread.is_some(),
        groups,
        window,
        channels,
        kept,
        outs,
        out: y,
        result,
        start: [0; 3],
        step: [1; 3],
        end,
        work: g.work(),
    };
    // SAFETY: the contract.
    unsafe { product.run(&pack) }
}

/// The gradient of x from (gradient of y, w): for each residue of the stride, a product of its own.
///
/// # Safety
/// As for [`forward`].
pub(super) unsafe fn input(
    form: Form,
    g: &Geometry,
    dy: *const f32,
    w: *const f32,
    dx: *mut f32,
    end: End,
) -> Result<(), PiecePanicked> {
    let phases: [usize; 3] = std::array::from_fn(|i| g.stride[i].min(g.x[i]));
    for phase in 0..volume(phases) {
        let start =
            [phase / (phases[1] * phases[2]), phase / phases[2] % phases[1], phase % phases[2]];
        // SAFETY: the contract.
        unsafe { residue(form, g, dy, w, dx, end, start, volume(phases)) }?;
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
#[allow(clippy::too_many_arguments)]
unsafe fn residue(
    form: Form,
    g: &Geometry,
    dy: *const f32,
    w: *const f32,
    dx: *mut f32,
    end: End,
    start: [usize; 3],
    phases: usize,
) -> Result<(), PiecePanicked> {
    let (channels, per_group) = (g.outputs / g.groups, g.inputs / g.groups);
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
    let taps: [usize; 3] = axes.map(|a: Axis| a.taps);
    let window = volume(taps);
    let (groups, outs, spread) = shape(g.groups, channels, per_group);
    let kept = kept(form, spread.is_some());
    let isa = isa::active();
    let kernels = tile::of(isa, kept == Kept::Channels);
    let data = Images::new(g.last, g.outputs, g.y);
    let width = if spread.is_some() { outs } else { channels };
    let tiles = winograd::fits(g, Pass::Input);
    let runs = !tiles && runs(spread.is_some(), outs, &axes);
    let all = volume(g.kernel);
    // The element of the kernel that is a tap.
    let element = |tap: usize| {
        let j = [tap / (taps[1] * taps[2]), tap / taps[2] % taps[1], tap % taps[2]];
        let k: [usize; 3] = std::array::from_fn(|i| first[i] + j[i] * every[i]);
        (k[0] * g.kernel[1] + k[1]) * g.kernel[2] + k[2]
    };
    let each = spread.is_some();
    let pack = |group: usize, from: usize, count: usize, width: usize, dst: *mut f32| {
        if each {
            // A lane's channels are those of its group.
            for lane in 0..count {
                let c = group * outs + from + lane;
                for tap in 0..window {
                    for f in 0..channels {
                        let row = (c / per_group * channels + f) * per_group + c % per_group;
                        // SAFETY: the contract.
                        unsafe {
                            *dst.wrapping_add((tap * channels + f) * width + lane) =
                                *w.wrapping_add(row * all + element(tap));
                        }
                    }
                }
            }
            return;
        }
        for f in 0..channels {
            let src = w.wrapping_add(((group * channels + f) * per_group + from) * all);
            let panel = dst;
            let dst = dst.wrapping_add(f * width);
            // SAFETY: the contract.
            unsafe {
                if window == all && !runs {
                    let dst_row = channels * width;
                    let turn = Turn { src, src_row: all, rows: count, cols: all, dst, dst_row };
                    (kernels.turn)(&turn);
                    continue;
                }
                for tap in 0..window {
                    let src = src.wrapping_add(element(tap));
                    // In a run the nearest comes first, and that is the window's last.
                    let (line, at) = (tap / taps[2], taps[2] - 1 - tap % taps[2]);
                    let run = (line * channels + f) * taps[2] + at;
                    let dst = if runs {
                        panel.wrapping_add(run * width)
                    } else {
                        dst.wrapping_add(tap * channels * width)
                    };
                    for lane in 0..count {
                        *dst.wrapping_add(lane) = *src.wrapping_add(lane * all);
                    }
                }
            }
        }
    };
    let result = Images::new(g.last, g.inputs, g.x);
    if tiles {
        // The window's last element meets the first of the data.
        let first = std::array::from_fn(|i| axes[i].first - (g.kernel[i] - 1) as isize);
        let (src, batch, out, work) = (dy, g.batch, dx, g.work());
        let flip = true;
        let product = winograd::Product {
            kernels,
            sides: winograd::sides(isa),
            src,
            data,
            batch,
            first,
            flip,
            out,
            result,
            end,
            work,
        };
        // SAFETY: the contract.
        return unsafe { product.run(&pack) };
    }
    let product = Product {
        kernels,
        runs,
        field: Field::new(dy, data, g.batch, width, axes, spread, kept),
        each: spread.is_some(),
        groups,
        window,
        channels,
        kept,
        outs,
        out: dx,
        result,
        start,
        step: g.stride,
        end,
        work: g.work() / phases,
    };
    // SAFETY: the contract.
    unsafe { product.run(&pack) }
}

/// Packs the weights of a group for some channels of the result: first channel, how many, elements
/// a row of the copy, and where to.
pub(super) type PackWeights<'a> = &'a dyn Fn(usize, usize, usize, usize, *mut f32);

/// What all pieces read.
#[derive(Clone, Copy)]
struct Lists {
    /// Weights: groups, panels, taps, lanes.
    b: *mut f32,
    taps: *mut usize,
    /// Of the largest unit's places: where in the data, and where in the result.
    rows: *mut usize,
    to: *mut usize,
    /// Where results are kept near.
    near: *mut usize,
}

impl Product<'_> {
    /// First register and registers of a panel of a group, and how many panels there are.
    fn panel(&self, group: usize, p: usize) -> (usize, usize, usize) {
        let vectors = self.outs_of(group).div_ceil(self.kernels.lanes);
        let panels = vectors.div_ceil(self.kernels.vectors);
        let (first, count) = if p < panels { part(vectors, panels, p) } else { (0, 0) };
        (first, count, panels)
    }

    /// Channels of the result of a group.
    fn outs_of(&self, group: usize) -> usize {
        self.outs.min(self.result.channels - group * self.outs)
    }

    /// Weights of a channel of the result.
    fn rows(&self) -> usize {
        self.window * self.channels
    }

    /// Steps of a sum: weights, or pairs of them.
    fn taps(&self) -> usize {
        self.window * self.kept.channels(self.channels)
    }

    /// Rounds the weights of a panel, where that is wanted.
    ///
    /// # Safety
    /// The panel is packed.
    unsafe fn round(&self, width: usize, panel: *mut f32) {
        let near = if self.runs { RUN } else { 1 };
        // SAFETY: the contract; there are pairs only where the machine has the instruction.
        unsafe {
            match self.kept {
                Kept::Channels => {
                    pairs::weights(panel, self.window / near, self.channels, near, width);
                }
                Kept::Wide => pairs::wide(panel, width * self.rows()),
                _ => {}
            }
        }
    }

    /// # Safety
    /// As for [`forward`].
    unsafe fn run(&self, pack: PackWeights<'_>) -> Result<(), PiecePanicked> {
        let lanes = self.kernels.lanes;
        let (rows, taps) = (self.rows(), self.taps());
        let vectors = self.outs.div_ceil(lanes);
        let panels = vectors.div_ceil(self.kernels.vectors);
        let weights = vectors * lanes * rows;
        let places = self.field.most_places();
        let mut room = Room::new();
        let b_at = room.elements(self.groups * weights);
        let (taps_at, rows_at) = (room.offsets(taps), room.offsets(places));
        let (to_at, near_at) = (room.offsets(places), room.offsets(NEAR));
        let mut own = Room::new();
        let copy_at = own.elements(self.field.copy_len());
        let here_at = own.elements(NEAR * self.kernels.vectors * lanes);
        let strides = self.result.strides();
        let steps: [usize; 3] = std::array::from_fn(|i| self.step[i] * strides[i]);
        let start: usize = (0..3).map(|i| self.start[i] * strides[i]).sum();
        with_scratch(&SHARED, room.len(), |scratch| {
            let offsets = |at: usize| scratch.wrapping_add(at).cast::<usize>();
            let lists = Lists {
                b: scratch.wrapping_add(b_at),
                taps: offsets(taps_at),
                rows: offsets(rows_at),
                to: offsets(to_at),
                near: offsets(near_at),
            };
            // SAFETY: there is room for the offsets of all taps, of the places of the largest unit,
            // and of those that are near.
            unsafe {
                if self.runs {
                    self.field.runs(self.kept.channels(self.channels), lists.taps);
                } else {
                    self.field.taps(self.kept.channels(self.channels), lists.taps);
                }
                let unit = self.field.unit(0);
                self.field.places(&unit, lists.rows);
                self.field.positions(&unit, self.result.image(), steps, lists.to);
                for i in 0..NEAR {
                    *lists.near.wrapping_add(i) = i * self.kernels.vectors * lanes;
                }
            }
            // SAFETY: pieces write apart from each other.
            let shared = unsafe { Shared::new((self, pack, lists)) };
            pool::run(self.groups * panels, (self.groups * weights) as u64, &|piece| {
                let &(product, pack, lists) = shared.get();
                let (group, panel) = (piece / panels, piece % panels);
                let (first, count, _) = product.panel(group, panel);
                if count == 0 || taps == 0 {
                    return;
                }
                let (channel, width) = (first * lanes, count * lanes);
                let dst = lists.b.wrapping_add(group * weights + channel * rows);
                let outs = width.min(product.outs_of(group) - channel);
                if outs < width {
                    // SAFETY: the weights of a panel.
                    unsafe { dst.write_bytes(0, width * rows) };
                }
                pack(group, channel, outs, width, dst);
                // SAFETY: the weights of a panel, which are packed.
                unsafe { product.round(width, dst) };
            })?;
            let units = self.field.units();
            let cost = self.work as u64 / self.kernels.speed;
            pool::run(self.groups * units, cost, &|piece| {
                let &(product, _, lists) = shared.get();
                with_scratch(&OWN, own.len(), |scratch| {
                    let (group, unit) = (piece / units, product.field.unit(piece % units));
                    let copy = scratch.wrapping_add(copy_at);
                    let here = scratch.wrapping_add(here_at);
                    let first = group * if product.each { product.outs } else { product.channels };
                    let channels =
                        if product.each { product.outs_of(group) } else { product.channels };
                    let image = unit.image * product.result.image();
                    let out = image + start + product.field.offset(&unit, steps);
                    // SAFETY: the contract; the scratch memory has room for each part.
                    unsafe {
                        let a = if taps == 0 {
                            std::ptr::null()
                        } else {
                            product.field.load(product.kernels, &unit, first, channels, copy)
                        };
                        let lists = Lists { b: lists.b.wrapping_add(group * weights), ..lists };
                        let next = (piece % units).saturating_add(pool::threads());
                        let next = if product.groups == 1 { next } else { usize::MAX };
                        product.piece(&Piece { group, unit, a, lists, here, out, next });
                    }
                });
            })
        })
    }

    /// # Safety
    /// As for [`forward`]; the piece's parts are filled.
    unsafe fn piece(&self, p: &Piece) {
        let (kernels, lanes) = (self.kernels, self.kernels.lanes);
        let places = p.unit.images * p.unit.each;
        let all_taps = self.taps();
        let (_, _, panels) = self.panel(p.group, 0);
        let direct = self.result.last;
        let chunk = if direct { places.max(1) } else { NEAR };
        let block = if self.runs { BLOCK / RUN * RUN } else { BLOCK };
        let line = p.unit.line;
        let steps = places.div_ceil(MOST_ROWS) * all_taps.div_ceil(block).max(1) * panels;
        let nothing = (self.out.cast_const(), 0);
        let mut ahead = Ahead::new([self.field.region(p.next), nothing], steps);
        for panel in 0..panels {
            let (vector, vectors, _) = self.panel(p.group, panel);
            let (first, width) = (vector * lanes, vectors * lanes);
            let channels = width.min(self.outs_of(p.group) - first);
            let channel = p.group * self.outs + first;
            let b = p.lists.b.wrapping_add(first * self.rows());
            let a = p.a.wrapping_add(if self.each { first } else { 0 });
            let to = self.out.wrapping_add(p.out + channel * self.result.channel());
            for place in (0..places).step_by(chunk) {
                let count = (places - place).min(chunk);
                let mut tap = 0;
                loop {
                    let taps = (all_taps - tap).min(block);
                    let ends = tap + taps == all_taps;
                    let bias = match self.end.bias {
                        bias if ends && !bias.is_null() => bias.wrapping_add(channel),
                        _ => std::ptr::null(),
                    };
                    let tile = Tile {
                        a,
                        rows: p.lists.rows.wrapping_add(place),
                        taps: p.lists.taps.wrapping_add(tap),
                        count: taps,
                        step: self.field.strides()[2],
                        b: b.wrapping_add(tap * width),
                        b_row: width,
                        c: if direct { to } else { p.here },
                        to: if direct { p.lists.to.wrapping_add(place) } else { p.lists.near },
                        tail: channels - (vectors - 1) * lanes,
                        add: tap > 0,
                        bias,
                        relu: ends && self.end.relu,
                    };
                    // SAFETY: the contract.
                    unsafe {
                        if self.runs && vectors == 1 && kernels.has_runs() {
                            kernels.runs(line, place, count, &tile, &mut ahead);
                        } else {
                            kernels.sweep(self.each, vectors, count, &tile, &mut ahead);
                        }
                    }
                    tap += taps;
                    if tap >= all_taps {
                        break;
                    }
                }
                if !direct {
                    // SAFETY: the contract.
                    unsafe { self.store(p, to, place, count, channels) };
                }
            }
        }
    }

    /// Turns results and stores them.
    ///
    /// # Safety
    /// As for [`Product::piece`].
    unsafe fn store(&self, p: &Piece, out: *mut f32, place: usize, count: usize, channels: usize) {
        let plane = self.result.channel();
        let row = self.kernels.vectors * self.kernels.lanes;
        let to = p.lists.to;
        let mut q = 0;
        while q < count {
            // With steps of one, places side by side are so in the result too.
            let left = p.unit.each - (place + q) % p.unit.each;
            let rows = if self.step == [1; 3] { left.min(count - q) } else { 1 };
            // SAFETY: the contract.
            unsafe {
                let from = p.here.wrapping_add(q * row).cast_const();
                let dst = out.wrapping_add(*to.wrapping_add(place + q));
                if rows == 1 {
                    for f in 0..channels {
                        *dst.wrapping_add(f * plane) = *from.wrapping_add(f);
                    }
                } else {
                    (self.kernels.turn)(&Turn {
                        src: from,
                        src_row: row,
                        rows,
                        cols: channels,
                        dst,
                        dst_row: plane,
                    });
                }
            }
            q += rows;
        }
    }
}

/// One unit of one group, with its scratch memory.
struct Piece {
    group: usize,
    unit: Unit,
    a: *const f32,
    lists: Lists,
    here: *mut f32,
    /// Where in the result the first place's channel 0 is.
    out: usize,
    /// The unit that this thread will compute next, probably.
    next: usize,
}
